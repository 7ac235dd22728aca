/*
 * The VGA's state, shared by its files: vga.c (device, ports), vga_mem.c
 * (memory window; vga_mem_light.c: what an access does), vga_map.c (where it is plain memory), vga_vbe.c (display extensions), vga_render.c (picture).
 *
 * Display memory is one array of 32-bit groups: byte p of group a is plane p at
 * plane address a. So 256-colour modes are linear, and the same bytes are the
 * frame buffer behind BAR 0.
 */
#ifndef HW_DISPLAY_VGA_PRIV_H
#define HW_DISPLAY_VGA_PRIV_H

#include "hw/display/edid.h"
#include "hw/display/vga.h"

enum { SEQ_CLOCK = 1, SEQ_MAP_MASK = 2, SEQ_FONT = 3, SEQ_MODE = 4, NSEQ = 8 };
#define SEQ_CLOCK_8DOT	0x01u
#define SEQ_CLOCK_HALF	0x08u		/* a pixel is two dots */
#define SEQ_CLOCK_OFF	0x20u
#define SEQ_MODE_SEQUENTIAL 0x04u	/* clear: odd/even */
#define SEQ_MODE_CHAIN4	0x08u

enum {
	GC_SET = 0, GC_ENABLE_SET = 1, GC_COMPARE = 2, GC_ROTATE = 3, GC_READ_PLANE = 4,
	GC_MODE = 5, GC_MISC = 6, GC_DONT_CARE = 7, GC_BIT_MASK = 8, NGC = 16
};
#define GC_MODE_WRITE	0x03u
#define GC_MODE_READ1	0x08u
#define GC_MODE_ODDEVEN	0x10u
#define GC_MODE_CGA4	0x20u
#define GC_MODE_256	0x40u
#define GC_MISC_GRAPHICS 0x01u
#define GC_MISC_A0000	0x04u		/* the window is 64 KiB at a0000 */

enum {
	CR_HDISP_END = 0x01, CR_OVERFLOW = 0x07, CR_PRESET_ROW = 0x08, CR_MAX_SCAN = 0x09,
	CR_CURSOR_START = 0x0a, CR_CURSOR_END = 0x0b, CR_START_HI = 0x0c, CR_START_LO = 0x0d,
	CR_CURSOR_HI = 0x0e, CR_CURSOR_LO = 0x0f, CR_VSYNC_END = 0x11, CR_VDISP_END = 0x12,
	CR_OFFSET = 0x13, CR_UNDERLINE = 0x14, CR_MODE = 0x17, CR_LINE_COMPARE = 0x18, NCRTC = 32
};
#define CR_MODE_BYTE	0x40u
#define CR_UNDERLINE_DWORD 0x40u

enum { ATTR_MODE = 0x10, ATTR_OVERSCAN = 0x11, ATTR_PLANES = 0x12, ATTR_PAN = 0x13, ATTR_SELECT = 0x14, NATTR = 32 };
#define ATTR_MODE_MONO	0x02u
#define ATTR_MODE_LINE	0x04u
#define ATTR_MODE_BLINK	0x08u
#define ATTR_MODE_PAN_TOP 0x20u		/* what is below a split screen's line is not panned */
#define ATTR_MODE_P54S	0x80u
#define ATTR_SCREEN_ON	0x20u		/* in the index register */

#define MISC_COLOUR	0x01u		/* registers at 3dx, not 3bx */

enum {
	VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH,
	VBE_VIRT_HEIGHT, VBE_X_OFFSET, VBE_Y_OFFSET, VBE_MEMORY, NVBE
};
#define VBE_ENABLED	0x01u
#define VBE_GETCAPS	0x02u
#define VBE_8BIT_DAC	0x20u
#define VBE_LFB		0x40u
#define VBE_NOCLEAR	0x80u

/*
 * How an access through the window reaches memory: made from the registers, whenever one of them changes. Masks of
 * planes have a byte of ones per plane.
 */
struct vga_path {
	uint32_t base, size;		/* the part of the window in which memory shows, */
	uint64_t off;			/* and what its first byte is */
	bool linear, chained;		/* memory is bytes, or spread over the planes by four */
	bool read_alternate, write_alternate;	/* odd addresses are other planes */
	bool compare_read;
	uint8_t read_plane, write_mode, rotate, logic;
	uint32_t planes;		/* that are written */
	uint32_t mask;			/* bits of the data, not of the latches */
	uint32_t set, enable_set;
	uint32_t compare, care;
	bool quick;			/* the quick way is open */
};

struct vga {
	struct pci_dev pci;
	uint32_t vgamem_mb;		/* property: 1..256, a power of two */
	bool edid;			/* property: BAR 2 begins with edid_block */
	uint32_t xres, yres;		/* properties: 1..EDID_MAX_RES */
	uint8_t edid_block[EDID_SIZE];

	struct ram *vram;
	uint32_t vram_size;
	struct mmio *window;
	struct phys_map *direct;	/* plain memory in front of the window, or NULL */
	struct phys_range plain;	/* what `direct` maps or would map; size 0: nothing */
	unsigned accesses;		/* that reached the window since `plain` changed */
	struct vga_path path;		/* of vga_hold(), as the latches */
	_Atomic bool busy;
	struct port_range *ports[4];

	uint8_t misc, feature;
	uint8_t seq_index, gc_index, crtc_index, attr_index;
	bool attr_flip;			/* next write to 3c0 is data */
	uint8_t seq[NSEQ], gc[NGC], crtc[NCRTC], attr[NATTR];
	uint8_t dac_mask, dac_read, dac_write, dac_phase, dac_state;
	uint8_t dac_latch[3];
	uint8_t palette[768];
	uint32_t latch;			/* four planes */
	uint16_t vbe_index, vbe[NVBE];
	uint32_t seen;			/* of vga_changed(): what the registers were */
};

static inline bool vga_vbe_on(const struct vga *v)
{
	return v->vbe[VBE_ENABLE] & VBE_ENABLED;
}

#define VGA_WINDOW_BASE	0xa0000u
#define VGA_WINDOW_SIZE	0x20000u
#define VGA_WINDOW_PRIO	3

extern const struct mmio_ops vga_window_ops;

/* One bit per plane -> one byte of ones per plane. */
static inline uint32_t vga_spread(unsigned planes)
{
	return ((planes & 0x0f) * 0x00204081u & 0x01010101u) * 0xffu;
}

/* As the registers are now; not p->quick. */
void vga_find_path(const struct vga *v, struct vga_path *p);

/*
 * Who holds this has the latches and `path` to himself, and knows that no access to the window is under way. Short.
 * Accesses come without the machine lock.
 */
bool vga_tryhold(struct vga *v);
void vga_hold(struct vga *v);
void vga_let(struct vga *v);

/* An access to the window, held. Light. A write that reaches memory (true) is made within VGA_REACH bytes around `byte`. */
#define VGA_REACH	32u		/* eight groups, aligned */
uint64_t vga_mem_read(struct vga *v, uint64_t addr, int size);
bool vga_mem_write(struct vga *v, uint64_t addr, int size, uint64_t value, uint64_t *byte);
/* mmio_ops.read_quick and write_quick. */
bool vga_mem_read_quick(void *opaque, uint64_t addr, int size, uint64_t *value);
bool vga_mem_write_quick(void *opaque, uint64_t addr, int size, uint64_t value);

/* Registers have changed. */
void vga_map_update(struct vga *v);
/* This one has: it is in seq or gc. */
void vga_register_changed(struct vga *v, const uint8_t *r);
/* An access has come to the window. */
void vga_map_count(struct vga *v);
void vga_map_drop(struct vga *v);

/* Dispi registers by index. */
uint16_t vga_vbe_read(const struct vga *v, unsigned index);
void vga_vbe_write(struct vga *v, unsigned index, uint16_t value);
void vga_vbe_reset(struct vga *v);
bool vga_vbe_depth_exists(unsigned bpp);
extern const struct port_ops vga_vbe_port_ops;

#endif
