/*
 * Display memory that behaves as plain memory is mapped as such: 256-colour modes
 * (chain 4) with nothing in the graphics controller that would change a byte on its
 * way, and the banks of the display extensions.
 *
 * The mapping goes as soon as a register changes what the window shows. It comes
 * after so many accesses that ended in vga_mem.c, so that programs that switch
 * planes or banks for a few bytes do not pay for changes of the map: these cost
 * about as much as those accesses.
 */
#include "hw/core/bus.h"
#include "hw/display/vga_priv.h"

#define ACCESSES_FIRST	128

/* All ones or all zeroes in the right places: a byte is written and read as it is. */
static bool passes_bytes(const struct vga *v)
{
	return !(v->gc[GC_MODE] & (GC_MODE_WRITE | GC_MODE_READ1)) && !v->gc[GC_ENABLE_SET] && !v->gc[GC_ROTATE] &&
	       v->gc[GC_BIT_MASK] == 0xff;
}

static bool is_plain(const struct vga *v)
{
	return v->seq[SEQ_MODE] & SEQ_MODE_CHAIN4 && v->seq[SEQ_MAP_MASK] == 0x0f && (vga_vbe_on(v) || passes_bytes(v));
}

static struct phys_range wanted(const struct vga *v)
{
	const struct vga_path *w = &v->path;
	struct phys_range r = {
		.pa = VGA_WINDOW_BASE + w->base, .size = w->size, .prio = VGA_WINDOW_PRIO, .rram = v->vram, .wram = v->vram,
		.off = w->off, .name = "vga-window-memory",
	};

	if (!is_plain(v) || r.off + r.size > v->vram_size)
		r.size = 0;
	return r;
}

static void update_plain(struct vga *v)
{
	struct phys_range r = wanted(v);

	if (r.pa == v->plain.pa && r.size == v->plain.size && r.off == v->plain.off)
		return;
	v->plain = r;
	v->accesses = 0;
	phys_unmap(v->pci.dev.m->phys, v->direct);
	v->direct = NULL;
}

void vga_map_update(struct vga *v)
{
	bool plain = is_plain(v);

	vga_hold(v);
	vga_find_path(v, &v->path);
	v->path.quick = !plain;		/* else vga_map_count() is to see accesses */
	vga_let(v);
	if (plain || v->plain.size)
		update_plain(v);
}

/*
 * What programs change for every few bytes: one word of `path` each, so nobody need be kept out meanwhile. Behind
 * chain 4 they may decide whether memory is plain.
 */
static bool update_word(struct vga *v, const uint8_t *r)
{
	struct vga_path *p = &v->path;

	if (p->chained)
		return false;
	if (r == &v->seq[SEQ_MAP_MASK])
		__atomic_store_n(&p->planes, vga_spread(*r), __ATOMIC_RELAXED);
	else if (r == &v->gc[GC_BIT_MASK])
		__atomic_store_n(&p->mask, *r * 0x01010101u, __ATOMIC_RELAXED);
	else if (r == &v->gc[GC_SET])
		__atomic_store_n(&p->set, vga_spread(*r), __ATOMIC_RELAXED);
	else if (r == &v->gc[GC_READ_PLANE])
		__atomic_store_n(&p->read_plane, *r & 3, __ATOMIC_RELAXED);
	else
		return false;
	return true;
}

void vga_register_changed(struct vga *v, const uint8_t *r)
{
	if (!update_word(v, r))
		vga_map_update(v);
}

void vga_map_count(struct vga *v)
{
	struct err e;

	if (v->direct || !v->plain.size || ++v->accesses < ACCESSES_FIRST)
		return;
	v->accesses = 0;
	v->direct = phys_map(v->pci.dev.m->phys, &v->plain, &e);
}

void vga_map_drop(struct vga *v)
{
	phys_unmap(v->pci.dev.m->phys, v->direct);
	v->direct = NULL;
}
