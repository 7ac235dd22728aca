/*
 * Has the picture changed? Display memory has a dirty bit per page; of the
 * registers that shape the picture a checksum is kept. The window is held meanwhile:
 * what an access there has done is marked, or comes later (vga_mem_light.c).
 */
#include <zlib.h>

#include "hw/core/bus.h"
#include "hw/display/vga_priv.h"

static uint32_t sum(uint32_t s, const void *p, size_t n)
{
	return (uint32_t)crc32(s, p, (uInt)n);
}

static uint32_t registers(const struct vga *v)
{
	uint8_t on = v->attr_index & ATTR_SCREEN_ON;
	uint32_t s = sum(0, v->seq, sizeof(v->seq));

	s = sum(s, v->gc, sizeof(v->gc));
	s = sum(s, v->crtc, sizeof(v->crtc));
	s = sum(s, v->attr, sizeof(v->attr));
	s = sum(s, v->palette, sizeof(v->palette));
	s = sum(s, v->vbe, sizeof(v->vbe));
	s = sum(s, &v->dac_mask, 1);
	return sum(s, &on, 1) | 1;
}

void vga_watch(struct vga *v, bool on)
{
	vga_hold(v);
	phys_log_dirty(v->pci.dev.m->phys, v->vram, 0, v->vram_size, on);
	vga_let(v);
	v->seen = 0;
}

bool vga_changed(struct vga *v)
{
	uint32_t now = registers(v);
	bool changed = now != v->seen;

	v->seen = now;
	vga_hold(v);
	for (uint64_t at = 0; at < v->vram_size; at += 4096)
		changed |= phys_test_clear_dirty(v->pci.dev.m->phys, v->vram, at);
	vga_let(v);
	return changed;
}
