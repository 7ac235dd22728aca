/*
 * VGA memory window 0xa0000-0xbffff: how processor accesses reach the planes.
 *
 * A read fills the latches with all four planes; a write combines data, latches
 * and the graphics controller's registers. Odd/even mode sends even addresses
 * to planes 0 and 2, odd ones to 1 and 3; chain-4 spreads four addresses over
 * the planes, which makes 256-colour memory linear.
 *
 * What the registers say is worked out when they change (struct vga_path), and an
 * access is made in vga_mem_light.c, mostly the quick way.
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
#include <sched.h>

#include "hw/display/vga_priv.h"

/*
 * Sequencer and graphics controller are to be told the same. GRUB as firmware tells the latter alone
 * when it fills the font's plane, and is right on the Bochs adapter.
 */
static bool writes_alternate(const struct vga *v)
{
	return !(v->seq[SEQ_MODE] & SEQ_MODE_SEQUENTIAL) && v->gc[GC_MODE] & GC_MODE_ODDEVEN;
}

void vga_find_path(const struct vga *v, struct vga_path *p)
{
	static const struct { uint32_t base, size; } window[4] = {
		{ 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 },
	};
	unsigned w = v->gc[GC_MISC] >> 2 & 3;
	bool vbe = vga_vbe_on(v);

	p->base = window[w].base;
	p->size = window[w].size;
	p->off = vbe ? (uint64_t)v->vbe[VBE_BANK] << 16 : 0;
	p->linear = v->seq[SEQ_MODE] & SEQ_MODE_CHAIN4 && vbe;
	p->chained = v->seq[SEQ_MODE] & SEQ_MODE_CHAIN4;
	p->read_alternate = v->gc[GC_MODE] & GC_MODE_ODDEVEN;
	p->write_alternate = writes_alternate(v);
	p->compare_read = v->gc[GC_MODE] & GC_MODE_READ1;
	p->read_plane = v->gc[GC_READ_PLANE] & 3;
	p->write_mode = v->gc[GC_MODE] & GC_MODE_WRITE;
	p->rotate = v->gc[GC_ROTATE] & 7;
	p->logic = v->gc[GC_ROTATE] >> 3 & 3;
	p->planes = vga_spread(v->seq[SEQ_MAP_MASK]);
	p->mask = v->gc[GC_BIT_MASK] * 0x01010101u;
	p->set = vga_spread(v->gc[GC_SET]);
	p->enable_set = vga_spread(v->gc[GC_ENABLE_SET]);
	p->compare = vga_spread(v->gc[GC_COMPARE]);
	p->care = vga_spread(v->gc[GC_DONT_CARE]);
}

void vga_hold(struct vga *v)
{
	while (!vga_tryhold(v))
		sched_yield();
}

static uint64_t window_read(void *opaque, uint64_t addr, int size)
{
	struct vga *v = opaque;
	uint64_t r;

	vga_map_count(v);
	vga_hold(v);
	r = vga_mem_read(v, addr, size);
	vga_let(v);
	return r;
}

static void window_write(void *opaque, uint64_t addr, int size, uint64_t value)
{
	struct vga *v = opaque;
	uint64_t byte;
	bool written;

	vga_map_count(v);
	vga_hold(v);
	written = vga_mem_write(v, addr, size, value, &byte);
	vga_let(v);
	if (written)
		phys_ram_written(v->pci.dev.m->phys, v->vram, byte & ~(uint64_t)(VGA_REACH - 1), VGA_REACH);
}

const struct mmio_ops vga_window_ops = {
	.read = window_read, .write = window_write, .max_size = 8, .dma = true,
	.read_quick = vga_mem_read_quick, .write_quick = vga_mem_write_quick,
};
