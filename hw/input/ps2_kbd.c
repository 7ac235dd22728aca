/*
 * PS/2 keyboard: commands, and keys as scan codes of set 1, 2 or 3.
 *
 * A held key repeats by itself, the one pressed last, after a delay and at a rate that
 * the host sets; what displays repeat is ignored. In set 3 the host chooses for each key
 * whether it repeats and whether it tells that it comes up.
 *
 * Not modelled: the shifts that extended keys of sets 1 and 2 send around their codes
 * while shift or num lock is on (but Print's own), test errors.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and
 * 102-Key)".
 */
#include <stddef.h>

#include "base/bits.h"
#include "hw/core/clock.h"
#include "hw/core/input.h"
#include "hw/input/ps2.h"

enum {
	ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa, ECHO = 0xee,
	CMD_LEDS = 0xed, CMD_ECHO = 0xee, CMD_SET = 0xf0, CMD_ID = 0xf2, CMD_RATE = 0xf3, CMD_ENABLE = 0xf4,
	CMD_DISABLE = 0xf5, CMD_DEFAULTS = 0xf6, CMD_ALL_REPEAT = 0xf7, CMD_ALL_BREAK = 0xf8, CMD_ALL_MAKE = 0xf9,
	CMD_ALL_BOTH = 0xfa, CMD_KEY_REPEAT = 0xfb, CMD_KEY_BREAK = 0xfc, CMD_KEY_MAKE = 0xfd, CMD_RESEND = 0xfe,
	CMD_RESET = 0xff,
	KEYS_MAX = 16,		/* key bytes held; answers to commands may use the rest */
	DEFAULT_RATE = 0x2b,	/* 500 ms, 10.9 a second */
	KEY_SYSRQ = 0x54, KEY_BREAK = KEY_EXT | 0x46,
	KEY_CTRL = 0x1d, KEY_ALT = 0x38, KEY_SHIFT = 0x2a, KEY_SHIFT_R = 0x36,
};

static const uint8_t set2_of[128] = {
#define KEY(set1, set2) [set1] = set2,
#include "hw/input/kbd.def"
#undef KEY
};

enum { MAKE = 0, REPEATS = 1, BREAKS = 2 };
static const struct { uint8_t code, kind; } set3_of[PS2_KEYS] = {
#define KEY(key, set3, kind) [key] = { set3, kind },
#include "hw/input/kbd_set3.def"
#undef KEY
};

static void put(struct ps2_kbd *k, uint8_t v)
{
	fifo8_push(&k->out, v, FIFO8_CAP);
}

static bool bit(const uint8_t *map, unsigned i)
{
	return map[i / 8] >> i % 8 & 1;
}

static void set_bit(uint8_t *map, unsigned i, bool on)
{
	map[i / 8] = (uint8_t)((map[i / 8] & ~(1u << i % 8)) | (unsigned)on << i % 8);
}

/* ---- what keys do in set 3 ---- */

static void set_kind(struct ps2_kbd *k, uint8_t code, unsigned kind)
{
	set_bit(k->repeats, code, kind & REPEATS);
	set_bit(k->breaks, code, kind & BREAKS);
}

static void set_all_kinds(struct ps2_kbd *k, unsigned kind)
{
	for (unsigned i = 0; i < 256; i++)
		set_kind(k, (uint8_t)i, kind);
}

static void default_kinds(struct ps2_kbd *k)
{
	for (size_t i = 0; i < ARRAY_LEN(set3_of); i++)
		if (set3_of[i].code)
			set_kind(k, set3_of[i].code, set3_of[i].kind);
}

static unsigned kind_of(uint8_t command)
{
	switch (command) {
	case CMD_ALL_REPEAT: case CMD_KEY_REPEAT:	return REPEATS;
	case CMD_ALL_BREAK: case CMD_KEY_BREAK:		return BREAKS;
	case CMD_ALL_BOTH:				return REPEATS | BREAKS;
	default:					return MAKE;
	}
}

/* ---- commands ---- */

static void defaults(struct ps2_kbd *k)
{
	k->set = 2;
	k->leds = 0;
	k->command = 0;
	k->rate = DEFAULT_RATE;
	k->repeating = 0;
	default_kinds(k);
	fifo8_clear(&k->out);
}

void ps2_kbd_reset(struct ps2_kbd *k)
{
	defaults(k);
	for (size_t i = 0; i < sizeof(k->down); i++)
		k->down[i] = 0;
	k->scanning = true;
}

static void parameter(struct ps2_kbd *k, uint8_t v)
{
	uint8_t command = k->command;

	if (command >= CMD_KEY_REPEAT) {	/* a list of codes, up to the next command */
		set_kind(k, v, kind_of(command));
		put(k, ACK);
		return;
	}
	k->command = 0;
	if (command == CMD_SET && v > 3) {
		put(k, RESEND);
		return;
	}
	put(k, ACK);
	if (command == CMD_LEDS)
		k->leds = v & 7;
	else if (command == CMD_RATE)
		k->rate = v & 0x7f;
	else if (!v)
		put(k, k->set);
	else
		k->set = v;
}

/* Codes of set 3 may be as large as 8Dh. */
static bool is_parameter(const struct ps2_kbd *k, uint8_t v)
{
	return k->command && v < (k->command >= CMD_KEY_REPEAT ? CMD_LEDS : 0x80);
}

void ps2_kbd_command(struct ps2_kbd *k, uint8_t v)
{
	if (is_parameter(k, v)) {
		parameter(k, v);
		return;
	}
	k->command = 0;
	switch (v) {
	case CMD_LEDS: case CMD_SET: case CMD_RATE: case CMD_KEY_REPEAT: case CMD_KEY_BREAK: case CMD_KEY_MAKE:
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
	case CMD_ALL_REPEAT: case CMD_ALL_BREAK: case CMD_ALL_MAKE: case CMD_ALL_BOTH:
		set_all_kinds(k, kind_of(v));
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
		put(k, RESEND);
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

static bool held(const struct ps2_kbd *k, int key)
{
	return bit(k->down, (unsigned)key) || bit(k->down, (unsigned)(key | KEY_EXT));
}

/* Pause makes and breaks at once, E1 Ctrl NumLock both ways; with Ctrl it is Break. */
static void add_pause(const struct ps2_kbd *k, struct code *c, bool down)
{
	if (!down)
		return;
	for (int i = 0; i < 2; i++) {
		if (held(k, KEY_CTRL)) {
			add_key(k, c, KEY_BREAK, !i);
			continue;
		}
		add(c, 0xe1);
		add_key(k, c, 0x1d, !i);
		add_key(k, c, 0x45, !i);
	}
}

/* Print comes with a shift of its own, unless a modifier is down; with Alt it is SysRq. */
static void add_print(const struct ps2_kbd *k, struct code *c, bool down)
{
	bool bare = !held(k, KEY_CTRL) && !bit(k->down, KEY_SHIFT) && !bit(k->down, KEY_SHIFT_R);

	if (held(k, KEY_ALT)) {
		add_key(k, c, KEY_SYSRQ, down);
		return;
	}
	if (bare && down)
		add_key(k, c, KEY_EXT | KEY_SHIFT, true);
	add_key(k, c, KEY_PRINT, down);
	if (bare && !down)
		add_key(k, c, KEY_EXT | KEY_SHIFT, false);
}

static void add_set3(const struct ps2_kbd *k, struct code *c, int key, bool down)
{
	uint8_t code = set3_of[key].code;

	if (!code || (!down && !bit(k->breaks, code)))
		return;
	if (!down)
		add(c, 0xf0);
	add(c, code);
}

static void send_key(struct ps2_kbd *k, int key, bool down)
{
	struct code c = { 0 };

	if (k->set == 3)
		add_set3(k, &c, key, down);
	else if (key == KEY_PAUSE)
		add_pause(k, &c, down);
	else if (key == KEY_PRINT)
		add_print(k, &c, down);
	else
		add_key(k, &c, key, down);
	if (fifo8_count(&k->out) + c.n > KEYS_MAX) {
		if (fifo8_count(&k->out) <= KEYS_MAX)	/* an overrun is told once */
			put(k, k->set == 1 ? 0xff : 0x00);
		return;
	}
	for (int i = 0; i < c.n; i++)
		put(k, c.b[i]);
}

/* The longest key is eight bytes. */
bool ps2_kbd_has_room(const struct ps2_kbd *k)
{
	return fifo8_count(&k->out) + 8 <= KEYS_MAX;
}

static bool repeats(const struct ps2_kbd *k, int key)
{
	return k->set == 3 ? bit(k->repeats, set3_of[key].code) : key != KEY_PAUSE;
}

bool ps2_kbd_key(struct ps2_kbd *k, int key, bool down)
{
	if (key <= 0 || key >= PS2_KEYS || !(key & 0x7f || key == KEY_PAUSE) || down == bit(k->down, (unsigned)key))
		return false;
	set_bit(k->down, (unsigned)key, down);
	if (!k->scanning)
		return false;
	send_key(k, key, down);
	if (down)
		k->repeating = repeats(k, key) ? (uint16_t)key : 0;
	else if (k->repeating == key)
		k->repeating = 0;
	return down && k->repeating;
}

/* ---- repeating ---- */

/* Bits 6:5: (n + 1) * 250 ms. */
uint64_t ps2_kbd_delay(const struct ps2_kbd *k)
{
	return ((k->rate >> 5 & 3) + 1u) * 250 * NS_PER_MS;
}

/* Bits 4:0: (8 + A) * 2^B * 4.17 ms. */
uint64_t ps2_kbd_period(const struct ps2_kbd *k)
{
	return (8u + (k->rate & 7)) * (1u << (k->rate >> 3 & 3)) * 4167 * NS_PER_US;
}

bool ps2_kbd_repeat(struct ps2_kbd *k)
{
	if (!k->repeating || !k->scanning)
		return false;
	if (fifo8_empty(&k->out))	/* a host that does not read misses nothing */
		send_key(k, k->repeating, true);
	return true;
}

/* The command's bits: 0 scroll, 1 num, 2 caps. */
uint8_t ps2_kbd_leds(const struct ps2_kbd *k)
{
	return (uint8_t)((k->leds & 1 ? LED_SCROLL : 0) | (k->leds & 2 ? LED_NUM : 0) | (k->leds & 4 ? LED_CAPS : 0));
}

bool ps2_kbd_valid(const struct ps2_kbd *k)
{
	return fifo8_valid(&k->out) && k->set >= 1 && k->set <= 3 && k->repeating < PS2_KEYS;
}
