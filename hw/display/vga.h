/*
 * VGA with the Bochs display extensions, as PCI card 1234:1111.
 */
#ifndef HW_DISPLAY_VGA_H
#define HW_DISPLAY_VGA_H

#include "hw/display/surface.h"
#include "hw/pci/pci.h"

struct vga;
extern const struct dev_type vga_type;

/* Draw what the screen shows now, with what blinks. False: nothing can be shown (bad mode, no memory). */
bool vga_render(struct vga *v, struct surface *out);
/* The same in a moment when these are not to be seen. */
#define VGA_CURSOR	1u
#define VGA_TEXT	2u
bool vga_render_phase(struct vga *v, struct surface *out, unsigned hidden);
/* Those of them that blink now. */
unsigned vga_blinking(struct vga *v);
/* Begin or end to keep track of writes to display memory, for vga_changed(). Machine lock. */
void vga_watch(struct vga *v, bool on);
/* May the picture differ from the one at the last call? Cheap. Always true at first. Machine lock. */
bool vga_changed(struct vga *v);
/* A text mode as it stands in display memory: character in the low byte, attribute in the high one. */
struct vga_cells {
	int w, h;
	int cursor;			/* index of the cell it is on; -1: not shown */
	uint16_t cell[16384];
};
/* False: a graphics mode, or more cells than fit. */
bool vga_cells(struct vga *v, struct vga_cells *out);
/* The characters of a text mode, lines ended by newlines; 0 in a graphics mode. */
size_t vga_text(struct vga *v, char *buf, size_t n);

#endif
