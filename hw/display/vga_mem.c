/*
 * VGA memory window 0xa0000-0xbffff: how processor accesses reach the planes.
 *
 * A read fills the latches with all four planes; a write combines data, latches
 * and the graphics controller's registers. Odd/even mode sends even addresses
 * to planes 0 and 2, odd ones to 1 and 3; chain-4 spreads four addresses over
 * the planes, which makes 256-colour memory linear.
 *
 * Behind the display extensions chain-4 memory is plain, whatever the graphics
 * controller says. Where it is plain vga_map.c takes most accesses away from here.
 *
 * Not modelled: the latches of reads from plain chain-4 memory, the odd/even page
 * bit of the miscellaneous output register. Its "enable RAM" bit takes nothing
 * away: on the Bochs adapter it never did, and GRUB as firmware leaves it clear.
 * Source: IBM VGA technical reference (PS/2 hardware interface), "Graphics
 * controller registers"; FreeVGA documentation, "Accessing the VGA display memory".
 */
#include "hw/display/vga_priv.h"

struct vga_window vga_window(const struct vga *v)
{
	static const struct vga_window map[4] = {
		{ 0, 0x20000, 0 }, { 0, 0x10000, 0 }, { 0x10000, 0x8000, 0 }, { 0x18000, 0x8000, 0 },
	};
	struct vga_window w = map[v->gc[GC_MISC] >> 2 & 3];

	w.off = vga_vbe_on(v) ? (uint64_t)v->vbe[VBE_BANK] << 16 : 0;
	return w;
}

/* Offset in display memory, or -1 if address `off` is not in the window. */
static int64_t window_offset(const struct vga *v, uint64_t off)
{
	struct vga_window w = vga_window(v);

	return off - w.base < w.size ? (int64_t)(off - w.base + w.off) : -1;
}

/*
 * The group at plane address a. No access is cut by the end of memory: this is a power of two, and an
 * access is aligned.
 */
static uint32_t *group(struct vga *v, uint64_t a)
{
	return (uint32_t *)(void *)v->vram->host + a;
}

/* One bit per plane -> one byte of ones per plane. */
static uint32_t spread(unsigned planes)
{
	return ((planes & 0x0f) * 0x00204081u & 0x01010101u) * 0xffu;
}

static uint32_t replicate(uint8_t b)
{
	return b * 0x01010101u;
}

/* ---- reading ---- */

static uint8_t colour_compare(const struct vga *v)
{
	uint32_t care = spread(v->gc[GC_DONT_CARE]);
	uint32_t diff = (v->latch ^ spread(v->gc[GC_COMPARE])) & care;
	diff |= diff >> 16;
	diff |= diff >> 8;
	return (uint8_t)~diff;
}

static bool is_linear(const struct vga *v)
{
	return v->seq[SEQ_MODE] & SEQ_MODE_CHAIN4 && vga_vbe_on(v);
}

static bool is_chained(const struct vga *v)
{
	return v->seq[SEQ_MODE] & SEQ_MODE_CHAIN4;
}

static uint8_t read_byte(struct vga *v, uint64_t off)
{
	unsigned plane = v->gc[GC_READ_PLANE] & 3;

	if (is_linear(v))
		return v->vram->host[off];
	if (is_chained(v)) {
		plane = off & 3;
		off >>= 2;
	} else if (v->gc[GC_MODE] & GC_MODE_ODDEVEN) {
		plane = (plane & 2) | (off & 1);
		off &= ~1ull;
	}
	v->latch = *group(v, off);
	if (v->gc[GC_MODE] & GC_MODE_READ1)
		return colour_compare(v);
	return (uint8_t)(v->latch >> 8 * plane);
}

/* ---- writing ---- */

static uint8_t rotated(const struct vga *v, uint8_t b)
{
	unsigned n = v->gc[GC_ROTATE] & 7;
	return (uint8_t)(b >> n | b << (8 - n));
}

static uint32_t logical(const struct vga *v, uint32_t data)
{
	switch (v->gc[GC_ROTATE] >> 3 & 3) {
	case 1: return data & v->latch;
	case 2: return data | v->latch;
	case 3: return data ^ v->latch;
	default: return data;
	}
}

/* What the four planes get, before the map mask. */
static uint32_t combine(const struct vga *v, uint8_t b)
{
	uint32_t mask = replicate(v->gc[GC_BIT_MASK]), set = spread(v->gc[GC_SET]), data;

	switch (v->gc[GC_MODE] & GC_MODE_WRITE) {
	case 0: {
		uint32_t enable = spread(v->gc[GC_ENABLE_SET]);
		data = logical(v, (replicate(rotated(v, b)) & ~enable) | (set & enable));
		break;
	}
	case 1:
		return v->latch;
	case 2:
		data = logical(v, spread(b & 0x0f));
		break;
	default:
		mask &= replicate(rotated(v, b));
		data = set;
	}
	return (data & mask) | (v->latch & ~mask);
}

static void mark_dirty(struct vga *v, uint64_t byte)
{
	atomic_fetch_or_explicit(&v->vram->page[byte >> 12], PAGE_WRITTEN, memory_order_relaxed);
}

/*
 * Sequencer and graphics controller are to be told the same. GRUB as firmware tells the latter alone
 * when it fills the font's plane, and is right on the Bochs adapter.
 */
static bool writes_alternate(const struct vga *v)
{
	return !(v->seq[SEQ_MODE] & SEQ_MODE_SEQUENTIAL) && v->gc[GC_MODE] & GC_MODE_ODDEVEN;
}

static void write_byte(struct vga *v, uint64_t off, uint8_t b)
{
	unsigned planes = v->seq[SEQ_MAP_MASK] & 0x0f;

	if (is_linear(v)) {
		if (planes >> (off & 3) & 1)
			v->vram->host[off] = b;
		return;
	}
	if (is_chained(v)) {
		planes &= 1u << (off & 3);
		off >>= 2;
	} else if (writes_alternate(v)) {
		planes &= off & 1 ? 0x0a : 0x05;
		off &= ~1ull;
	}
	uint32_t *g = group(v, off), m = spread(planes);
	*g = (combine(v, b) & m) | (*g & ~m);
}

/* ---- the window ---- */

/* The first byte of display memory that an access at plane or linear address `off` may touch. */
static uint64_t first_byte(const struct vga *v, uint64_t off)
{
	return is_chained(v) ? off : off * 4;
}

static bool in_memory(const struct vga *v, int64_t off)
{
	return off >= 0 && first_byte(v, (uint64_t)off) < v->vram_size;
}

static uint64_t window_read(void *opaque, uint64_t addr, int size)
{
	struct vga *v = opaque;
	int64_t off = window_offset(v, addr);
	uint64_t r = 0;

	vga_map_count(v);
	if (!in_memory(v, off))
		return size_mask(size);
	for (int i = 0; i < size; i++)
		r |= (uint64_t)read_byte(v, (uint64_t)off + (unsigned)i) << 8 * i;
	return r;
}

static void window_write(void *opaque, uint64_t addr, int size, uint64_t value)
{
	struct vga *v = opaque;
	int64_t off = window_offset(v, addr);

	vga_map_count(v);
	if (!in_memory(v, off))
		return;
	for (int i = 0; i < size; i++)
		write_byte(v, (uint64_t)off + (unsigned)i, (uint8_t)(value >> 8 * i));
	mark_dirty(v, first_byte(v, (uint64_t)off));
}

const struct mmio_ops vga_window_ops = { window_read, window_write, 8, .dma = true };
