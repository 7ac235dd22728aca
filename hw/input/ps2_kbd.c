/*
 * PS/2 keyboard: commands, and keys as scan codes of set 1 or 2.
 *
 * Not modelled: scan code set 3 (accepted, sends set 2), typematic repeat (the
 * display repeats), the per-key commands of set 3, test errors.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and
 * 102-Key)".
 */
#include "hw/core/input.h"
#include "hw/input/ps2.h"

enum {
	ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa, ECHO = 0xee,
	CMD_LEDS = 0xed, CMD_ECHO = 0xee, CMD_SET = 0xf0, CMD_ID = 0xf2, CMD_RATE = 0xf3, CMD_ENABLE = 0xf4,
	CMD_DISABLE = 0xf5, CMD_DEFAULTS = 0xf6, CMD_RESEND = 0xfe, CMD_RESET = 0xff,
	KEYS_MAX = 16,		/* key bytes held; answers to commands may use the rest */
};

static const uint8_t set2_of[128] = {
#define KEY(set1, set2) [set1] = set2,
#include "hw/input/kbd.def"
#undef KEY
};

static void put(struct ps2_kbd *k, uint8_t v)
{
	fifo8_push(&k->out, v, FIFO8_CAP);
}

static void defaults(struct ps2_kbd *k)
{
	k->set = 2;
	k->leds = 0;
	k->command = 0;
	fifo8_clear(&k->out);
}

void ps2_kbd_reset(struct ps2_kbd *k)
{
	defaults(k);
	k->scanning = true;
}

static void parameter(struct ps2_kbd *k, uint8_t v)
{
	uint8_t command = k->command;

	k->command = 0;
	put(k, ACK);
	if (command == CMD_LEDS)
		k->leds = v & 7;
	else if (command == CMD_SET && !v)
		put(k, k->set);
	else if (command == CMD_SET && v <= 3)
		k->set = v;
}

void ps2_kbd_command(struct ps2_kbd *k, uint8_t v)
{
	if (k->command && v < 0x80) {
		parameter(k, v);
		return;
	}
	k->command = 0;
	switch (v) {
	case CMD_LEDS: case CMD_SET: case CMD_RATE:
		k->command = v;
		put(k, ACK);
		break;
	case CMD_ECHO:
		put(k, ECHO);
		break;
	case CMD_ID:
		put(k, ACK);
		put(k, 0xab);
		put(k, 0x83);
		break;
	case CMD_ENABLE:
		fifo8_clear(&k->out);
		k->scanning = true;
		put(k, ACK);
		break;
	case CMD_DISABLE: case CMD_DEFAULTS:
		defaults(k);
		k->scanning = v == CMD_DEFAULTS;
		put(k, ACK);
		break;
	case CMD_RESEND:
		put(k, k->last);
		break;
	case CMD_RESET:
		ps2_kbd_reset(k);
		put(k, ACK);
		put(k, SELF_TEST_OK);
		break;
	default:
		put(k, v >= 0xf7 && v <= 0xfd ? ACK : RESEND);
	}
}

/* ---- keys ---- */

struct code {
	uint8_t n, b[10];
};

static void add(struct code *c, uint8_t v)
{
	c->b[c->n++] = v;
}

static void add_key(const struct ps2_kbd *k, struct code *c, int key, bool down)
{
	uint8_t set1 = key & 0x7f;

	if (key & KEY_EXT)
		add(c, 0xe0);
	if (k->set == 1) {
		add(c, down ? set1 : set1 | 0x80);
		return;
	}
	if (!down)
		add(c, 0xf0);
	add(c, set2_of[set1]);
}

void ps2_kbd_key(struct ps2_kbd *k, int key, bool down)
{
	struct code c = { 0 };

	if (!k->scanning || !(key & 0x7f || key == KEY_PAUSE))
		return;
	if (key == KEY_PAUSE) {		/* make and break at once: E1 Ctrl NumLock, both ways */
		if (!down)
			return;
		for (int i = 0; i < 2; i++) {
			add(&c, 0xe1);
			add_key(k, &c, 0x1d, !i);
			add_key(k, &c, 0x45, !i);
		}
	} else if (key == KEY_PRINT) {	/* comes with a shift of its own */
		add_key(k, &c, down ? KEY_EXT | 0x2a : KEY_PRINT, down);
		add_key(k, &c, down ? KEY_PRINT : KEY_EXT | 0x2a, down);
	} else {
		add_key(k, &c, key, down);
	}
	if (fifo8_count(&k->out) + c.n > KEYS_MAX)
		return;
	for (int i = 0; i < c.n; i++)
		put(k, c.b[i]);
}

/* The command's bits: 0 scroll, 1 num, 2 caps. */
uint8_t ps2_kbd_leds(const struct ps2_kbd *k)
{
	return (uint8_t)((k->leds & 1 ? LED_SCROLL : 0) | (k->leds & 2 ? LED_NUM : 0) | (k->leds & 4 ? LED_CAPS : 0));
}

bool ps2_kbd_valid(const struct ps2_kbd *k)
{
	return fifo8_valid(&k->out) && k->set >= 1 && k->set <= 3;
}
