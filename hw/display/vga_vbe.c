/*
 * Bochs display extensions ("dispi"): resolution and depth beyond VGA.
 *
 * Sixteen-bit registers behind an index port 0x1ce and a data port 0x1cf (also
 * 0x1d0), and in BAR 2. Writing ENABLE with bit 0 set starts the mode that the
 * registers describe; memory is cleared unless bit 7 says no.
 *
 * Source: VBE extension interface as documented for the Bochs VGA BIOS
 * (vbe_display_api.txt); facts in Linux drivers/gpu/drm/tiny/bochs.c.
 */
#include <string.h>

#include "hw/display/vga_priv.h"

#define ID_NEWEST	0xb0c5
#define ID_OLDEST	0xb0c0
#define MAX_XRES	4096
#define MAX_YRES	4096
#define MAX_BPP		32

static unsigned pixel_bits(const struct vga *v)
{
	unsigned bpp = v->vbe[VBE_BPP];
	return bpp == 15 ? 16 : bpp;
}

/* Bytes of a line of n pixels. */
static uint32_t line_bytes(const struct vga *v, unsigned n)
{
	return pixel_bits(v) == 4 ? n / 2 : n * pixel_bits(v) / 8;
}

/* Make the virtual size fit: at least the visible width, as high as memory allows. */
static void fix_geometry(struct vga *v)
{
	uint16_t *r = v->vbe;
	if (!r[VBE_XRES])
		r[VBE_XRES] = 8;
	if (!r[VBE_YRES])
		r[VBE_YRES] = 8;
	if (r[VBE_VIRT_WIDTH] < r[VBE_XRES])
		r[VBE_VIRT_WIDTH] = r[VBE_XRES];
	uint32_t pitch = line_bytes(v, r[VBE_VIRT_WIDTH]);
	uint32_t lines = pitch ? v->vram_size / pitch : 0;
	r[VBE_VIRT_HEIGHT] = lines > 0xffff ? 0xffff : (uint16_t)lines;
	if (r[VBE_YRES] > r[VBE_VIRT_HEIGHT] && r[VBE_VIRT_HEIGHT])
		r[VBE_YRES] = r[VBE_VIRT_HEIGHT];
}

/* The window at a0000 shows 64 KiB of the frame buffer, whatever mode the VGA was in. */
static void open_window(struct vga *v)
{
	v->gc[GC_MISC] = GC_MISC_GRAPHICS | GC_MISC_A0000;
	v->seq[SEQ_MODE] &= (uint8_t)~SEQ_MODE_CHAIN4;
	if (pixel_bits(v) == 4)
		return;
	v->seq[SEQ_MODE] |= SEQ_MODE_CHAIN4;
	v->seq[SEQ_MAP_MASK] = 0x0f;
}

static void enable(struct vga *v, uint16_t value)
{
	bool was = vga_vbe_on(v);
	v->vbe[VBE_ENABLE] = value;
	if (!(value & VBE_ENABLED) || was)
		return;
	v->vbe[VBE_BANK] = v->vbe[VBE_X_OFFSET] = v->vbe[VBE_Y_OFFSET] = 0;
	v->vbe[VBE_VIRT_WIDTH] = 0;
	fix_geometry(v);
	open_window(v);
	if (!(value & VBE_NOCLEAR)) {
		uint64_t n = min_u64(v->vram_size, (uint64_t)line_bytes(v, v->vbe[VBE_VIRT_WIDTH]) * v->vbe[VBE_YRES]);
		memset(v->vram->host, 0, n);
		phys_ram_written(v->pci.dev.m->phys, v->vram, 0, n);
	}
}

bool vga_vbe_depth_exists(unsigned bpp)
{
	return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

uint16_t vga_vbe_read(const struct vga *v, unsigned index)
{
	bool caps = v->vbe[VBE_ENABLE] & VBE_GETCAPS;
	if (index >= NVBE)
		return 0;
	switch (index) {
	case VBE_XRES: return caps ? MAX_XRES : v->vbe[index];
	case VBE_YRES: return caps ? MAX_YRES : v->vbe[index];
	case VBE_BPP: return caps ? MAX_BPP : v->vbe[index];
	case VBE_MEMORY: return (uint16_t)(v->vram_size >> 16);
	default: return v->vbe[index];
	}
}

static void write_register(struct vga *v, unsigned index, uint16_t value)
{
	switch (index) {
	case VBE_ID:
		if (value >= ID_OLDEST && value <= ID_NEWEST)
			v->vbe[VBE_ID] = value;
		break;
	case VBE_XRES:
		if (value <= MAX_XRES)
			v->vbe[index] = value & ~7u;
		break;
	case VBE_YRES:
		if (value <= MAX_YRES)
			v->vbe[index] = value;
		break;
	case VBE_BPP:
		if (value == 0)
			value = 8;
		if (vga_vbe_depth_exists(value))
			v->vbe[index] = value;
		break;
	case VBE_ENABLE:
		enable(v, value);
		break;
	case VBE_BANK:
		v->vbe[index] = (uint16_t)min_u64(value, (v->vram_size >> 16) - 1);
		break;
	case VBE_VIRT_WIDTH:
		if (value && line_bytes(v, value) <= v->vram_size)
			v->vbe[index] = value;
		fix_geometry(v);
		break;
	case VBE_X_OFFSET:
	case VBE_Y_OFFSET:
		v->vbe[index] = value;
		break;
	default:
		break;
	}
}

void vga_vbe_write(struct vga *v, unsigned index, uint16_t value)
{
	write_register(v, index, value);
	vga_map_update(v);
}

void vga_vbe_reset(struct vga *v)
{
	memset(v->vbe, 0, sizeof(v->vbe));
	v->vbe[VBE_ID] = ID_NEWEST;
	v->vbe[VBE_BPP] = 8;
	v->vbe_index = 0;
}

static uint32_t vbe_port_read(void *opaque, uint16_t off, int size)
{
	const struct vga *v = opaque;
	uint16_t r = off == 0 ? v->vbe_index : vga_vbe_read(v, v->vbe_index);
	return size == 2 ? r : r & 0xff;
}

static void vbe_port_write(void *opaque, uint16_t off, int size, uint32_t value)
{
	struct vga *v = opaque;
	(void)size;
	if (off == 0)
		v->vbe_index = (uint16_t)value;
	else
		vga_vbe_write(v, v->vbe_index, (uint16_t)value);
}

const struct port_ops vga_vbe_port_ops = { vbe_port_read, vbe_port_write, 2, 2 };
