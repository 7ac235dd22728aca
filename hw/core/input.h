/*
 * Keys and pointer events on their way from a display to a device.
 *
 * A device that takes input links a sink into machine->inputs; displays send by
 * the functions below. Keys are named by codes of the set-1 scan code table
 * (make code; extended keys have 0x100 added), which is what keyboards of every
 * kind map from. Machine lock.
 */
#ifndef HW_CORE_INPUT_H
#define HW_CORE_INPUT_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

#define KEY_EXT		0x100		/* e0-prefixed in set 1 */
#define KEY_PAUSE	0x200		/* e1 1d 45 */
#define KEY_PRINT	(KEY_EXT | 0x37)

#define BTN_LEFT	1u
#define BTN_RIGHT	2u
#define BTN_MIDDLE	4u
#define BTN_SIDE	8u
#define BTN_EXTRA	16u

struct input_sink {
	void (*key)(void *opaque, int key, bool down);
	void (*rel)(void *opaque, int dx, int dy, int dz, unsigned buttons);	/* y down, z wheel up */
	/* x, y in 0..0x7fff over the display. */
	void (*abs)(void *opaque, int x, int y, int dz, unsigned buttons);
	void (*leds)(void *opaque);
	void *opaque;
	struct input_sink *next;
};

/* The newest sink that has the function gets the event. */
void input_add(struct machine *m, struct input_sink *s);
void input_del(struct machine *m, struct input_sink *s);
void input_key(struct machine *m, int key, bool down);
void input_rel(struct machine *m, int dx, int dy, int dz, unsigned buttons);
void input_abs(struct machine *m, int x, int y, int dz, unsigned buttons);
bool input_has_abs(const struct machine *m);

#endif
