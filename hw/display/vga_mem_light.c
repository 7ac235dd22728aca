/*
 * One access to the VGA memory window, by what vga_mem.c made of the registers: a byte is read from all four planes
 * at once, and written to all four.
 *
 * The quick way needs no machine lock: the device's own one, which is held for a few instructions only, guards the
 * latches. Who is refused it, or may be about to get plain memory instead, takes the long way.
 */
#include "hw/display/vga_priv.h"

bool vga_tryhold(struct vga *v)
{
	return !atomic_exchange_explicit(&v->busy, true, memory_order_acquire);
}

void vga_let(struct vga *v)
{
	atomic_store_explicit(&v->busy, false, memory_order_release);
}

/*
 * The group at plane address a. No access is cut by the end of memory: this is a power of two, and an
 * access is aligned.
 */
static uint32_t *group(struct vga *v, uint64_t a)
{
	return (uint32_t *)(void *)v->vram->host + a;
}

static uint32_t replicate(uint8_t b)
{
	return b * 0x01010101u;
}

/* ---- reading ---- */

static uint8_t colour_compare(const struct vga_path *p, uint32_t latch)
{
	uint32_t diff = (latch ^ p->compare) & p->care;

	diff |= diff >> 16;
	diff |= diff >> 8;
	return (uint8_t)~diff;
}

static uint8_t read_byte(struct vga *v, uint64_t off)
{
	const struct vga_path *p = &v->path;
	unsigned plane = p->read_plane;

	if (p->linear)
		return v->vram->host[off];
	if (p->chained) {
		plane = off & 3;
		off >>= 2;
	} else if (p->read_alternate) {
		plane = (plane & 2) | (off & 1);
		off &= ~1ull;
	}
	v->latch = *group(v, off);
	return p->compare_read ? colour_compare(p, v->latch) : (uint8_t)(v->latch >> 8 * plane);
}

/* ---- writing ---- */

static uint8_t rotated(const struct vga_path *p, uint8_t b)
{
	return (uint8_t)(b >> p->rotate | b << (8 - p->rotate));
}

static uint32_t logical(const struct vga_path *p, uint32_t data, uint32_t latch)
{
	switch (p->logic) {
	case 1: return data & latch;
	case 2: return data | latch;
	case 3: return data ^ latch;
	default: return data;
	}
}

/* What the four planes get, before the map mask. */
static uint32_t combine(const struct vga_path *p, uint8_t b, uint32_t latch)
{
	uint32_t mask = p->mask, data;

	switch (p->write_mode) {
	case 0:
		data = logical(p, (replicate(rotated(p, b)) & ~p->enable_set) | (p->set & p->enable_set), latch);
		break;
	case 1:
		return latch;
	case 2:
		data = logical(p, vga_spread(b), latch);
		break;
	default:
		mask &= replicate(rotated(p, b));
		data = p->set;
	}
	return (data & mask) | (latch & ~mask);
}

static void write_byte(struct vga *v, uint64_t off, uint8_t b)
{
	const struct vga_path *p = &v->path;
	uint32_t planes = p->planes;

	if (p->linear) {
		if (planes >> 8 * (off & 3) & 1)
			v->vram->host[off] = b;
		return;
	}
	if (p->chained) {
		planes &= 0xffu << 8 * (off & 3);
		off >>= 2;
	} else if (p->write_alternate) {
		planes &= off & 1 ? 0xff00ff00u : 0x00ff00ffu;
		off &= ~1ull;
	}
	uint32_t *g = group(v, off);
	*g = (combine(p, b, v->latch) & planes) | (*g & ~planes);
}

/* ---- the window ---- */

/* Where in memory, by plane or linear address, an access goes. False: there is none. */
static bool reach(const struct vga *v, uint64_t addr, uint64_t *off, uint64_t *byte)
{
	const struct vga_path *p = &v->path;

	*off = addr - p->base + p->off;
	*byte = p->chained ? *off : *off * 4;
	return addr - p->base < p->size && *byte < v->vram_size;
}

/*
 * Who looks for changes of the picture holds the window meanwhile, so a mark that is there covers this write, too;
 * who tracks memory does not.
 */
static void mark_dirty(struct vga *v, uint64_t byte)
{
	_Atomic uint8_t *f = &v->vram->page[byte >> 12];
	uint8_t is = atomic_load_explicit(f, memory_order_relaxed);

	if (is & PAGE_TRACK || !(is & PAGE_DIRTY))
		atomic_fetch_or(f, PAGE_WRITTEN);
}

uint64_t vga_mem_read(struct vga *v, uint64_t addr, int size)
{
	uint64_t off, byte, r = 0;

	if (!reach(v, addr, &off, &byte))
		return size_mask(size);
	for (int i = 0; i < size; i++)
		r |= (uint64_t)read_byte(v, off + (unsigned)i) << 8 * i;
	return r;
}

static void write_at(struct vga *v, uint64_t off, uint64_t byte, int size, uint64_t value)
{
	for (int i = 0; i < size; i++)
		write_byte(v, off + (unsigned)i, (uint8_t)(value >> 8 * i));
	mark_dirty(v, byte);
}

bool vga_mem_write(struct vga *v, uint64_t addr, int size, uint64_t value, uint64_t *byte)
{
	uint64_t off;

	if (!reach(v, addr, &off, byte))
		return false;
	write_at(v, off, *byte, size, value);
	return true;
}

bool vga_mem_read_quick(void *opaque, uint64_t addr, int size, uint64_t *value)
{
	struct vga *v = opaque;
	bool open;

	if (!vga_tryhold(v))
		return false;
	open = v->path.quick;
	if (open)
		*value = vga_mem_read(v, addr, size);
	vga_let(v);
	return open;
}

/* Programs may have run from display memory while it was plain: of writes to those bytes only the long way tells. */
static bool has_code(const struct vga *v, uint64_t byte)
{
	return atomic_load_explicit(&v->vram->page[byte >> 12], memory_order_relaxed) & PAGE_CODE;
}

bool vga_mem_write_quick(void *opaque, uint64_t addr, int size, uint64_t value)
{
	struct vga *v = opaque;
	uint64_t off, byte;
	bool open;

	if (!vga_tryhold(v))
		return false;
	open = v->path.quick;
	if (open && reach(v, addr, &off, &byte)) {
		open = !has_code(v, byte);
		if (open)
			write_at(v, off, byte, size, value);
	}
	vga_let(v);
	return open;
}
