/*
 * VGA register files and ports, and the PCI card around them.
 *
 *	0x3b4/5, 0x3d4/5   CRT controller (mono, colour)
 *	0x3c0/1            attribute controller: index and data take turns
 *	0x3c2, 0x3cc       miscellaneous output; 0x3c2 reads input status 0
 *	0x3c4/5            sequencer
 *	0x3c6-0x3c9        palette (DAC)
 *	0x3ce/f            graphics controller
 *	0x3ba, 0x3da       input status 1: retrace, computed from guest time
 *	BAR 0              frame buffer
 *	BAR 2              0 EDID, 0x400 VGA ports, 0x500 display extensions, 0x600 byte order
 *
 * Not modelled: the vertical retrace interrupt, monitor detection at the
 * connector, light pen, big-endian frame buffers.
 * Source: IBM PS/2 hardware interface technical reference, "Video subsystem";
 * FreeVGA documentation; for BAR 2 the facts in Linux drivers/gpu/drm/tiny/bochs.c.
 */
#include "hw/display/vga.h"

#include <string.h>

#include "hw/display/vga_priv.h"

#define MMIO_SIZE	0x1000
#define MMIO_VGA	0x400
#define MMIO_VBE	0x500
#define MMIO_EXT	0x600
#define EXT_LITTLE_ENDIAN 0x1e1e1e1eu

/* Bits that exist, per register. */
static const uint8_t seq_mask[NSEQ] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff };
static const uint8_t gc_mask[NGC] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const uint8_t attr_mask[NATTR] = {
	0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
	0xef, 0xff, 0x3f, 0x0f, 0x0f,
};
#define CRTC_LOCK	0x80u		/* in CR_VSYNC_END: registers 0-7 read-only */
#define CRTC_LOCKED	8
#define OVERFLOW_LC	0x10u		/* but this bit of CR_OVERFLOW stays writable */

/* ---- input status 1 ---- */

#define FRAME_NS	16683333ull	/* 59.94 Hz */
#define NLINES		525ull
#define VISIBLE_LINES	480ull
#define VSYNC_FIRST	490ull
#define VSYNC_END	492ull
#define ST1_BLANK	0x01
#define ST1_VSYNC	0x08

static uint8_t input_status1(struct vga *v)
{
	uint64_t t = clock_now(&v->pci.dev.m->clock) % FRAME_NS * NLINES;
	uint64_t line = t / FRAME_NS, in_line = t % FRAME_NS * 100 / FRAME_NS;
	uint8_t st = 0;
	v->attr_flip = false;
	if (line >= VISIBLE_LINES || in_line >= 80)
		st |= ST1_BLANK;
	if (line >= VSYNC_FIRST && line < VSYNC_END)
		st |= ST1_VSYNC;
	return st;
}

/* ---- palette ---- */

static bool dac_is_8bit(const struct vga *v)
{
	return vga_vbe_on(v) && v->vbe[VBE_ENABLE] & VBE_8BIT_DAC;
}

static uint8_t dac_data_read(struct vga *v)
{
	uint8_t r = v->palette[v->dac_read * 3 + v->dac_phase];
	if (++v->dac_phase == 3) {
		v->dac_phase = 0;
		v->dac_read++;
	}
	return r;
}

/* An entry changes when its third byte arrives. */
static void dac_data_write(struct vga *v, uint8_t value)
{
	v->dac_latch[v->dac_phase] = dac_is_8bit(v) ? value : value & 0x3f;
	if (++v->dac_phase == 3) {
		memcpy(v->palette + v->dac_write * 3, v->dac_latch, 3);
		v->dac_phase = 0;
		v->dac_write++;
	}
}

/* ---- register files ---- */

static void attr_write(struct vga *v, uint8_t value)
{
	unsigned i = v->attr_index & 0x1f;
	if (!v->attr_flip)
		v->attr_index = value & 0x3f;
	else if (i >= 0x10 || !(v->attr_index & ATTR_SCREEN_ON))
		v->attr[i] = value & attr_mask[i];
	v->attr_flip = !v->attr_flip;
}

static void crtc_write(struct vga *v, uint8_t value)
{
	unsigned i = v->crtc_index;
	if (i >= NCRTC)
		return;
	if (i < CRTC_LOCKED && v->crtc[CR_VSYNC_END] & CRTC_LOCK) {
		if (i == CR_OVERFLOW)
			v->crtc[i] = (uint8_t)((v->crtc[i] & ~OVERFLOW_LC) | (value & OVERFLOW_LC));
		return;
	}
	v->crtc[i] = value;
}

/* A register of the sequencer or the graphics controller, which stand between the processor and memory. */
static void memory_write(struct vga *v, uint8_t *r, unsigned value)
{
	if (*r == value)
		return;
	*r = (uint8_t)value;
	vga_register_changed(v, r);
}

static bool is_colour(const struct vga *v)
{
	return v->misc & MISC_COLOUR;
}

/* Port 0x3b0..0x3df; the CRTC answers at one of its two places. */
static uint8_t vga_read(struct vga *v, unsigned port)
{
	if ((port & ~0xfu) == 0x3b0 && is_colour(v))
		return 0xff;
	if ((port & ~0xfu) == 0x3d0 && !is_colour(v))
		return 0xff;
	switch (port) {
	case 0x3c0: return v->attr_flip ? 0 : v->attr_index;
	case 0x3c1: return v->attr[v->attr_index & 0x1f];
	case 0x3c2: return 0x10;	/* monitor sense */
	case 0x3c4: return v->seq_index;
	case 0x3c5: return v->seq[v->seq_index % NSEQ];
	case 0x3c6: return v->dac_mask;
	case 0x3c7: return v->dac_state;
	case 0x3c8: return v->dac_write;
	case 0x3c9: return dac_data_read(v);
	case 0x3ca: return v->feature;
	case 0x3cc: return v->misc;
	case 0x3ce: return v->gc_index;
	case 0x3cf: return v->gc[v->gc_index % NGC];
	case 0x3b4: case 0x3d4: return v->crtc_index;
	case 0x3b5: case 0x3d5: return v->crtc_index < NCRTC ? v->crtc[v->crtc_index] : 0;
	case 0x3ba: case 0x3da: return input_status1(v);
	default: return 0xff;
	}
}

static void vga_write(struct vga *v, unsigned port, uint8_t value)
{
	if ((port & ~0xfu) == 0x3b0 && is_colour(v))
		return;
	if ((port & ~0xfu) == 0x3d0 && !is_colour(v))
		return;
	switch (port) {
	case 0x3c0: attr_write(v, value); break;
	case 0x3c2: v->misc = value; break;
	case 0x3c4: v->seq_index = value & 7; break;
	case 0x3c5: memory_write(v, &v->seq[v->seq_index], value & seq_mask[v->seq_index]); break;
	case 0x3c6: v->dac_mask = value; break;
	case 0x3c7: v->dac_read = value; v->dac_phase = 0; v->dac_state = 3; break;
	case 0x3c8: v->dac_write = value; v->dac_phase = 0; v->dac_state = 0; break;
	case 0x3c9: dac_data_write(v, value); break;
	case 0x3ce: v->gc_index = value & 0x0f; break;
	case 0x3cf: memory_write(v, &v->gc[v->gc_index], value & gc_mask[v->gc_index]); break;
	case 0x3b4: case 0x3d4: v->crtc_index = value; break;
	case 0x3b5: case 0x3d5: crtc_write(v, value); break;
	case 0x3ba: case 0x3da: v->feature = value & 8; break;
	default: break;
	}
}

/* ---- ports ---- */

static uint32_t mono_read(void *opaque, uint16_t off, int size)
{
	(void)size;
	return vga_read(opaque, 0x3b0u + off);
}

static void mono_write(void *opaque, uint16_t off, int size, uint32_t value)
{
	(void)size;
	vga_write(opaque, 0x3b0u + off, (uint8_t)value);
}

static uint32_t colour_read(void *opaque, uint16_t off, int size)
{
	(void)size;
	return vga_read(opaque, 0x3c0u + off);
}

static void colour_write(void *opaque, uint16_t off, int size, uint32_t value)
{
	(void)size;
	vga_write(opaque, 0x3c0u + off, (uint8_t)value);
}

static const struct port_ops mono_ops = { mono_read, mono_write, 1, 1 };
static const struct port_ops colour_ops = { colour_read, colour_write, 1, 1 };

/* ---- BAR 2 ---- */

static uint64_t bar2_read(void *opaque, uint64_t off, int size)
{
	struct vga *v = opaque;
	if (v->edid && off + (unsigned)size <= EDID_SIZE)
		return ld_n(v->edid_block + off, size);
	if (off >= MMIO_VGA && off < MMIO_VGA + 0x20 && size == 1)
		return vga_read(v, 0x3c0 + (unsigned)(off - MMIO_VGA));
	if (off >= MMIO_VBE && off < MMIO_VBE + 2 * NVBE && size == 2 && !(off & 1))
		return vga_vbe_read(v, (unsigned)(off - MMIO_VBE) / 2);
	if (off == MMIO_EXT)
		return 8;		/* bytes of extension registers */
	if (off == MMIO_EXT + 4)
		return EXT_LITTLE_ENDIAN;
	return off < MMIO_VGA ? 0 : size_mask(size);
}

static void bar2_write(void *opaque, uint64_t off, int size, uint64_t value)
{
	struct vga *v = opaque;
	if (off >= MMIO_VGA && off + (unsigned)size <= MMIO_VGA + 0x20) {
		for (int i = 0; i < size; i++)
			vga_write(v, 0x3c0 + (unsigned)(off - MMIO_VGA) + (unsigned)i,
				  (uint8_t)(value >> 8 * i));
	} else if (off >= MMIO_VBE && off < MMIO_VBE + 2 * NVBE && size == 2 && !(off & 1)) {
		vga_vbe_write(v, (unsigned)(off - MMIO_VBE) / 2, (uint16_t)value);
	}
}

static const struct mmio_ops bar2_ops = { bar2_read, bar2_write, 4 };

/* ---- device ---- */

static bool vga_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x1234, 0x1111, 0x1af4, 0x1100, 0x030000, 0x02, 0, false };
	struct vga *v = dev;
	struct machine *m = v->pci.dev.m;

	if (!v->vgamem_mb || v->vgamem_mb > 256 || v->vgamem_mb & (v->vgamem_mb - 1))
		return err_set(e, "vgamem_mb must be a power of two up to 256");
	if (!v->xres || !v->yres || v->xres > EDID_MAX_RES || v->yres > EDID_MAX_RES)
		return err_set(e, "xres and yres must be 1 to %u", EDID_MAX_RES);
	edid_make(v->edid_block, v->xres, v->yres);
	v->vram_size = v->vgamem_mb << 20;
	v->vram = phys_ram_new(m->phys, "vga.vram", v->vram_size, e);
	if (!v->vram || !pci_attach(&v->pci, &ids, e))
		return false;
	if (!pci_bar_ram(&v->pci, 0, v->vram, true, e)
	    || !pci_bar_mmio(&v->pci, 2, MMIO_SIZE, &bar2_ops, v, e) || !pci_romfile(&v->pci, e))
		return false;
	v->window = mmio_map(m, VGA_WINDOW_BASE, VGA_WINDOW_SIZE, VGA_WINDOW_PRIO, &vga_window_ops, v, "vga-window", e);
	if (!v->window)
		return false;
	v->ports[0] = port_map(m, 0x3b0, 12, &mono_ops, v, "vga-mono");
	v->ports[1] = port_map(m, 0x3c0, 32, &colour_ops, v, "vga");
	v->ports[2] = port_map(m, 0x1ce, 4, &vga_vbe_port_ops, v, "vga-dispi");
	return true;
}

static void vga_fini(void *dev)
{
	struct vga *v = dev;
	for (size_t i = 0; i < ARRAY_LEN(v->ports); i++)
		port_unmap(v->pci.dev.m, v->ports[i]);
	vga_map_drop(v);
	mmio_unmap(v->pci.dev.m, v->window);
	pci_detach(&v->pci);
	phys_ram_drop(v->pci.dev.m->phys, v->vram);
}

static void vga_reset(void *dev)
{
	struct vga *v = dev;
	pci_reset(&v->pci);
	v->misc = v->feature = 0;
	v->seq_index = v->gc_index = v->crtc_index = v->attr_index = 0;
	v->attr_flip = false;
	memset(v->seq, 0, sizeof(v->seq));
	memset(v->gc, 0, sizeof(v->gc));
	memset(v->crtc, 0, sizeof(v->crtc));
	memset(v->attr, 0, sizeof(v->attr));
	v->attr[ATTR_PLANES] = 0x0f;	/* undefined by the manual; firmware without a video BIOS leaves it alone */
	memset(v->palette, 0, sizeof(v->palette));
	v->dac_mask = 0xff;
	v->dac_read = v->dac_write = v->dac_phase = v->dac_state = 0;
	phys_ram_clear(v->vram);
	vga_vbe_reset(v);
	vga_map_update(v);
	vga_hold(v);
	v->latch = 0;
	vga_let(v);
}

static bool vga_loaded(void *dev, struct err *e)
{
	struct vga *v = dev;
	if (v->dac_phase > 2 || v->seq_index >= NSEQ || v->gc_index >= NGC || !vga_vbe_depth_exists(v->vbe[VBE_BPP]))
		return err_set(e, "damaged VGA state");
	vga_map_update(v);
	return pci_loaded(&v->pci);
}

static const struct state vga_state[] = {
	STATE(vga, misc), STATE(vga, feature), STATE(vga, seq_index), STATE(vga, gc_index),
	STATE(vga, crtc_index), STATE(vga, attr_index), STATE(vga, attr_flip), STATE(vga, seq),
	STATE(vga, gc), STATE(vga, crtc), STATE(vga, attr), STATE(vga, dac_mask),
	STATE(vga, dac_read), STATE(vga, dac_write), STATE(vga, dac_phase), STATE(vga, dac_state),
	STATE(vga, dac_latch), STATE(vga, palette), STATE(vga, latch), STATE(vga, vbe_index),
	STATE(vga, vbe), { 0 }
};
static const struct prop vga_props[] = {
	PROP(U32, vga, vgamem_mb, "vgamem_mb", 16, "MiB of display memory"),
	PROP(BOOL, vga, edid, "edid", true, "tell the guest of a monitor"),
	PROP(U32, vga, xres, "xres", 1280, "the size that the monitor prefers"),
	PROP(U32, vga, yres, "yres", 800, "the size that the monitor prefers"),
	PCI_PROP_ROMFILE,
	{ 0 }
};

const struct dev_type vga_type = {
	.name = "VGA", .bus = "pci", .help = "VGA with Bochs display extensions",
	.size = sizeof(struct vga), .version = 1, .state = vga_state, .props = vga_props,
	.bus_props = pci_props, .bus_state = pci_state, .fixed = true,
	.init = vga_init, .fini = vga_fini, .reset = vga_reset, .loaded = vga_loaded,
};
