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

#include "base/error.h"

struct machine;

#define KEY_EXT		0x100		/* e0-prefixed in set 1 */
#define KEY_PAUSE	0x200		/* e1 1d 45 */
#define KEY_PRINT	(KEY_EXT | 0x37)

#define BTN_LEFT	1u
#define BTN_RIGHT	2u
#define BTN_MIDDLE	4u
#define BTN_SIDE	8u
#define BTN_EXTRA	16u

/* LEDs as the guest set them */
#define LED_NUM		1u
#define LED_CAPS	2u
#define LED_SCROLL	4u

struct input_sink {
	const char *name;		/* for people */
	void (*key)(void *opaque, int key, bool down);
	bool (*key_room)(void *opaque);		/* for one more; NULL: always. input_go_on() when it is again */
	void (*rel)(void *opaque, int dx, int dy, int dz, unsigned buttons);	/* y down, z wheel up */
	/* x, y in 0..0x7fff over the display. */
	void (*abs)(void *opaque, int x, int y, int dz, unsigned buttons);
	uint8_t (*leds)(void *opaque);
	bool (*listening)(void *opaque);	/* the guest has a driver for it; NULL: always */
	void *opaque;
	int index;			/* input.c's: for info mice */
	struct input_sink *next;
};

#define INPUT_ABS_MAX	0x7fff

/* The newest sink that has the function and listens gets the event. */
void input_add(struct machine *m, struct input_sink *s);
void input_del(struct machine *m, struct input_sink *s);
/* Keys that come faster than the guest takes them wait, as many as a person types ahead. */
void input_key(struct machine *m, int key, bool down);
/* The keyboard has room again. */
void input_go_on(struct machine *m);
/* Keys that wait are forgotten: the machine was reset. */
void input_forget(struct machine *m);
void input_rel(struct machine *m, int dx, int dy, int dz, unsigned buttons);
void input_abs(struct machine *m, int x, int y, int dz, unsigned buttons);
/* Positions go to a tablet: it listens, and no mouse was chosen over it. */
bool input_has_abs(const struct machine *m);
/* LED_ bits of the keyboard that gets the keys. */
uint8_t input_leds(const struct machine *m);

/* Pointing devices: the one that comes first in the list gets moves if it listens. */
void input_each_mouse(const struct machine *m, void (*fn)(void *opaque, const struct input_sink *s, bool current),
		      void *opaque);
/* Prefer the one with that index. */
bool input_choose_mouse(struct machine *m, int index, struct err *e);

#endif
