/*
 * Between the machine's screen, keyboard and mouse and whoever shows them: VNC,
 * a window. Main loop's thread, machine lock.
 *
 * The screen is looked at only while a viewer is active: thirty times a second
 * when it changes or somebody types, seldom when it does not. Only the rows that
 * differ are handed out.
 *
 * A viewer sees one page: the guest's screen (0), or a text console (ui/consoles.h), whose picture and keyboard
 * it has instead. Ctrl and Alt with 1, 2, 3.. choose. Without a screen it begins with the first console.
 */
#ifndef UI_DISPLAY_H
#define UI_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hw/display/surface.h"

struct machine;
struct vga;
struct layout;
struct consoles;
struct display;

/* vga NULL: the machine has no screen; viewers see an empty one. NULL: no memory. */
struct display *display_new(struct machine *m, struct vga *vga, struct err *e);
struct machine *display_machine(const struct display *d);
/* The text consoles, which stay the caller's; before viewers come. NULL: none. */
void display_set_consoles(struct display *d, struct consoles *c);
struct consoles *display_consoles(const struct display *d);
/* After all viewers have gone. */
void display_free(struct display *d);

struct viewer {
	/*
	 * Rows first .. first + n - 1 of *s are new. All of them are, once, when the
	 * viewer becomes active and whenever the size or the page changes.
	 */
	void (*rows)(void *opaque, const struct surface *s, int first, int n);
	/* A frame is complete: what rows() told belongs together. */
	void (*done)(void *opaque);
	void (*leds)(void *opaque, uint8_t leds);	/* LED_ bits are others now; at first none is on. May be NULL */
	void *opaque;
	bool active, fresh;		/* display.c's: it is looking; it has seen everything */
	uint8_t told_leds;
	uint8_t down[0x300 / 8];	/* keys it holds */
	int page;			/* what it looks at */
	struct viewer *next;
};

/* A viewer starts inactive. */
void display_add(struct display *d, struct viewer *v);
void display_del(struct display *d, struct viewer *v);		/* lets go of its keys */
void display_set_active(struct display *d, struct viewer *v, bool active);
/* Look at another page, if there is such a one. Keys that are down for the guest are let go of. */
void display_show(struct display *d, struct viewer *v, int page);

/*
 * A key, as in hw/core/input.h. Keys of one burst reach the guest one after the other. symbol: the X keysym that
 * it gives at the viewer's end, for text consoles, or 0. Key 0: only the symbol is known.
 */
void display_key(struct display *d, struct viewer *v, int key, uint32_t symbol, bool down);
/* By X keysym; presses or lifts Shift and AltGr around characters that want it. */
void display_symbol(struct display *d, struct viewer *v, uint32_t symbol, bool down);
/* The layout of the guest's keyboard, which stays the caller's; NULL: American. */
void display_set_layout(struct display *d, const struct layout *l);
void display_release_keys(struct display *d, struct viewer *v);

/*
 * What a pointer did: how far it moved and, for viewers that know, where it is on the
 * screen (0 .. INPUT_ABS_MAX; x < 0: unknown). The guest's tablet takes the place if it
 * has one, else its mouse the move. Wheel steps are positive away from the user; buttons
 * are BTN_ bits. On a text console the wheel looks back.
 */
struct pointer {
	int dx, dy, dz, x, y;
	unsigned buttons;
};
/* A pixel of `size` in a row or column as a place. Any thread. */
int display_place(int at, int size);
void display_point(struct display *d, const struct viewer *v, const struct pointer *p);
/* Places are wanted: there is no need to catch the pointer. */
bool display_wants_place(const struct display *d);

/* Look at screen and consoles now, as timers do. For tests. */
void display_refresh(struct display *d);

#endif
