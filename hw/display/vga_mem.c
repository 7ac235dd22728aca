/*
 * VGA memory window 0xa0000-0xbffff: how processor accesses reach the planes.
 *
 * A read fills the latches with all four planes; a write combines data, latches
 * and the graphics controller's registers. Odd/even mode sends even addresses
 * to planes 0 and 2, odd ones to 1 and 3; chain-4 spreads four addresses over
 * the planes, which makes 256-colour memory linear.
 *
 * Not modelled: write modes other than 0 in chain-4 mode, the odd/even page
 * bit of the miscellaneous output register. Its "enable RAM" bit takes nothing
 * away: on the Bochs adapter it never did, and GRUB as firmware leaves it clear.
 * Source: IBM VGA technical reference (PS/2 hardware interface), "Graphics
 * controller registers"; FreeVGA documentation, "Accessing the VGA display memory".
 */
#include "hw/display/vga_priv.h"

#define WINDOW_SIZE	0x20000u

/* Offset in the display window, or -1 if address `off` is not in it. */
static int64_t window_offset(const struct vga *v, uint64_t off)
{
	static const struct { uint32_t base, size; } map[4] = {
		{ 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 },
	};
	unsigned sel = v->gc[GC_MISC] >> 2 & 3;
	if (off < map[sel].base || off - map[sel].base >= map[sel].size)
		return -1;
	off -= map[sel].base;
	if (vga_vbe_on(v))
		off += (uint64_t)v->vbe[VBE_BANK] << 16;
	return (int64_t)off;
}

static uint32_t *group(struct vga *v, uint64_t a)
{
	return a < v->vram_size / 4 ? (uint32_t *)(void *)v->vram->host + a : NULL;
}

/* One bit per plane -> one byte of ones per plane. */
static uint32_t spread(unsigned planes)
{
	uint32_t m = 0;
	for (int p = 0; p < 4; p++)
		if (planes >> p & 1)
			m |= 0xffu << 8 * p;
	return m;
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

static uint8_t read_byte(struct vga *v, uint64_t addr)
{
	int64_t off = window_offset(v, addr);
	if (off < 0)
		return 0xff;
	if (v->seq[SEQ_MODE] & SEQ_MODE_CHAIN4)
		return (uint64_t)off < v->vram_size ? v->vram->host[off] : 0xff;

	unsigned plane = v->gc[GC_READ_PLANE] & 3;
	if (v->gc[GC_MODE] & GC_MODE_ODDEVEN) {
		plane = (plane & 2) | (off & 1);
		off &= ~1ll;
	}
	const uint32_t *g = group(v, (uint64_t)off);
	if (!g)
		return 0xff;
	v->latch = *g;
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

	switch (v->gc[GC_MODE] & 3) {
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

static void write_byte(struct vga *v, uint64_t addr, uint8_t b)
{
	int64_t off = window_offset(v, addr);
	unsigned planes = v->seq[SEQ_MAP_MASK] & 0x0f;
	if (off < 0)
		return;
	if (v->seq[SEQ_MODE] & SEQ_MODE_CHAIN4) {
		if ((uint64_t)off < v->vram_size && planes >> (off & 3) & 1) {
			v->vram->host[off] = b;
			mark_dirty(v, (uint64_t)off);
		}
		return;
	}
	if (writes_alternate(v)) {
		planes &= off & 1 ? 0x0a : 0x05;
		off &= ~1ll;
	}
	uint32_t *g = group(v, (uint64_t)off), m = spread(planes);
	if (!g)
		return;
	*g = (combine(v, b) & m) | (*g & ~m);
	mark_dirty(v, (uint64_t)off * 4);
}

static uint64_t window_read(void *opaque, uint64_t off, int size)
{
	uint64_t r = 0;
	for (int i = 0; i < size; i++)
		r |= (uint64_t)read_byte(opaque, off + (unsigned)i) << 8 * i;
	return r;
}

static void window_write(void *opaque, uint64_t off, int size, uint64_t value)
{
	for (int i = 0; i < size; i++)
		write_byte(opaque, off + (unsigned)i, (uint8_t)(value >> 8 * i));
}

const struct mmio_ops vga_window_ops = { window_read, window_write, 8, .dma = true };
