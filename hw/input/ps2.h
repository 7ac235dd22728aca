/*
 * PS/2 keyboard and mouse: what is at the ends of the controller's two cables.
 * Parts of hw/input/i8042.c; only that file uses them.
 */
#ifndef HW_INPUT_PS2_H
#define HW_INPUT_PS2_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fifo.h"

#define PS2_KEYS 0x208		/* keys of hw/core/input.h are below */

struct ps2_kbd {
	struct fifo8 out;		/* bytes for the controller, scan codes in the chosen set */
	uint8_t set;			/* 1, 2, 3 */
	uint8_t leds;
	uint8_t command;		/* waits for its parameter; 0: none */
	uint8_t last;			/* for "resend" */
	bool scanning;
	uint8_t rate;			/* of repeating, as the host set it */
	uint16_t repeating;		/* the key; 0: none */
	uint8_t down[PS2_KEYS / 8];	/* keys that are held */
	uint8_t repeats[32], breaks[32];	/* what codes of set 3 do */
};

struct ps2_mouse {
	struct fifo8 out;
	int32_t dx, dy, dz;		/* moved since the last packet; y up */
	uint8_t buttons;
	uint8_t sent_buttons;		/* as in the last packet */
	uint8_t command;
	uint8_t rate, resolution;
	uint8_t id;			/* 0, 3 wheel, 4 five buttons */
	uint8_t rates[3];		/* the last three set: the way to the other ids */
	uint8_t last;
	bool scaling21, reporting, remote, wrap;
};

void ps2_kbd_reset(struct ps2_kbd *k);
void ps2_kbd_command(struct ps2_kbd *k, uint8_t v);
/* Will the next key be no overrun? */
bool ps2_kbd_has_room(const struct ps2_kbd *k);
/* A key as in hw/core/input.h. True: it will repeat, for the first time after ps2_kbd_delay(). */
bool ps2_kbd_key(struct ps2_kbd *k, int key, bool down);
/* It is time. False: nothing repeats any more; else the next time is after ps2_kbd_period(). ns. */
bool ps2_kbd_repeat(struct ps2_kbd *k);
uint64_t ps2_kbd_delay(const struct ps2_kbd *k);
uint64_t ps2_kbd_period(const struct ps2_kbd *k);
/* LED_ bits of hw/core/input.h. */
uint8_t ps2_kbd_leds(const struct ps2_kbd *k);
bool ps2_kbd_valid(const struct ps2_kbd *k);

void ps2_mouse_reset(struct ps2_mouse *s);
void ps2_mouse_command(struct ps2_mouse *s, uint8_t v);
void ps2_mouse_move(struct ps2_mouse *s, int dx, int dy, int dz, unsigned buttons);
/* The controller took a byte: make another packet if there is something to tell. */
void ps2_mouse_poll(struct ps2_mouse *s);
bool ps2_mouse_valid(const struct ps2_mouse *s);

#endif
