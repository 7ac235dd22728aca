/*
 * PS/2 mouse, with the wheel and five-button protocols that drivers ask for by
 * setting sample rates 200-100-80 and 200-200-80.
 *
 * Movement collects until the controller has taken the last packet, so a slow
 * guest sees fewer, longer moves.
 *
 * Not modelled: the sample rate as a limit.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Auxiliary Device";
 * Microsoft, "Intellimouse protocol" for the ids.
 */
#include "hw/core/input.h"
#include "hw/input/ps2.h"

enum {
	ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa,
	CMD_SCALE11 = 0xe6, CMD_SCALE21 = 0xe7, CMD_RESOLUTION = 0xe8, CMD_STATUS = 0xe9, CMD_STREAM = 0xea,
	CMD_READ = 0xeb, CMD_UNWRAP = 0xec, CMD_WRAP = 0xee, CMD_REMOTE = 0xf0, CMD_ID = 0xf2, CMD_RATE = 0xf3,
	CMD_ENABLE = 0xf4, CMD_DISABLE = 0xf5, CMD_DEFAULTS = 0xf6, CMD_RESEND = 0xfe, CMD_RESET = 0xff,
	OUT_MAX = 16,		/* bytes queued before packets wait */
};

static void put(struct ps2_mouse *s, uint8_t v)
{
	fifo8_push(&s->out, v, FIFO8_CAP);
}

static void defaults(struct ps2_mouse *s)
{
	s->rate = 100;
	s->resolution = 2;
	s->scaling21 = s->reporting = s->remote = false;
	s->dx = s->dy = s->dz = 0;
}

void ps2_mouse_reset(struct ps2_mouse *s)
{
	uint8_t buttons = s->buttons;

	*s = (struct ps2_mouse){ .buttons = buttons, .sent_buttons = buttons };
	defaults(s);
}

/* ---- packets ---- */

static int32_t clamp(int32_t v, int32_t lo, int32_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* Takes up to `max` from *left. */
static int32_t take(int32_t *left, int32_t lo, int32_t hi)
{
	int32_t v = clamp(*left, lo, hi);

	*left -= v;
	return v;
}

/* Scaling 2:1 doubles what is told of itself, and makes small moves smaller. */
static int32_t scale(const struct ps2_mouse *s, int32_t v)
{
	static const uint8_t small[6] = { 0, 1, 1, 3, 6, 9 };
	int32_t n = v < 0 ? -v : v;

	if (!s->scaling21 || s->remote)
		return v;
	n = n < 6 ? small[n] : 2 * n;
	return clamp(v < 0 ? -n : n, -256, 255);
}

static void packet(struct ps2_mouse *s)
{
	int32_t x = scale(s, take(&s->dx, -256, 255)), y = scale(s, take(&s->dy, -256, 255)), z;

	put(s, (uint8_t)((s->buttons & 7) | 0x08 | (x < 0) << 4 | (y < 0) << 5));
	put(s, (uint8_t)x);
	put(s, (uint8_t)y);
	if (s->id == 3) {
		put(s, (uint8_t)take(&s->dz, -8, 7));
	} else if (s->id == 4) {
		z = take(&s->dz, -8, 7);
		put(s, (uint8_t)((z & 0x0f) | (s->buttons & (BTN_SIDE | BTN_EXTRA)) << 1));
	} else {
		s->dz = 0;
	}
	s->sent_buttons = s->buttons;
}

void ps2_mouse_poll(struct ps2_mouse *s)
{
	if (!s->reporting || s->remote || s->wrap || fifo8_count(&s->out) + 4 > OUT_MAX)
		return;
	if (s->dx || s->dy || s->dz || s->buttons != s->sent_buttons)
		packet(s);
}

void ps2_mouse_move(struct ps2_mouse *s, int dx, int dy, int dz, unsigned buttons)
{
	s->dx = clamp(s->dx + dx, -65536, 65536);
	s->dy = clamp(s->dy - dy, -65536, 65536);
	s->dz = clamp(s->dz - dz, -256, 256);
	s->buttons = (uint8_t)(buttons & 0x1f);
	ps2_mouse_poll(s);
}

/* ---- commands ---- */

static void set_rate(struct ps2_mouse *s, uint8_t v)
{
	s->rate = v;
	s->rates[0] = s->rates[1];
	s->rates[1] = s->rates[2];
	s->rates[2] = v;
	if (s->rates[0] == 200 && s->rates[1] == 100 && v == 80)
		s->id = 3;
	else if (s->rates[0] == 200 && s->rates[1] == 200 && v == 80)
		s->id = 4;
}

static void status(struct ps2_mouse *s)
{
	put(s, (uint8_t)(s->remote << 6 | s->reporting << 5 | s->scaling21 << 4 |
			 (s->buttons & BTN_LEFT ? 4 : 0) | (s->buttons & BTN_MIDDLE ? 2 : 0) |
			 (s->buttons & BTN_RIGHT ? 1 : 0)));
	put(s, s->resolution);
	put(s, s->rate);
}

static void parameter(struct ps2_mouse *s, uint8_t v)
{
	if (s->command == CMD_RATE)
		set_rate(s, v);
	else
		s->resolution = v & 3;
	s->command = 0;
	put(s, ACK);
}

/* Commands that do something besides the acknowledgement, which is already in the queue. */
static void plain_command(struct ps2_mouse *s, uint8_t v)
{
	switch (v) {
	case CMD_SCALE11: case CMD_SCALE21:
		s->scaling21 = v == CMD_SCALE21;
		break;
	case CMD_RESOLUTION: case CMD_RATE:
		s->command = v;
		break;
	case CMD_STATUS:
		status(s);
		break;
	case CMD_STREAM:
		s->remote = false;
		break;
	case CMD_READ:
		packet(s);
		break;
	case CMD_WRAP:
		s->wrap = true;
		break;
	case CMD_REMOTE:
		s->remote = true;
		break;
	case CMD_ID:
		put(s, s->id);
		break;
	case CMD_ENABLE: case CMD_DISABLE:
		s->reporting = v == CMD_ENABLE;
		break;
	case CMD_DEFAULTS:
		defaults(s);
		break;
	}
}

void ps2_mouse_command(struct ps2_mouse *s, uint8_t v)
{
	if (s->wrap && v != CMD_UNWRAP && v != CMD_RESET) {
		put(s, v);
		return;
	}
	if (s->command) {
		parameter(s, v);
		return;
	}
	if (v == CMD_RESEND) {
		put(s, s->last);
		return;
	}
	fifo8_clear(&s->out);
	if (v == CMD_RESET) {
		ps2_mouse_reset(s);
		put(s, ACK);
		put(s, SELF_TEST_OK);
		put(s, 0);
		return;
	}
	if (v < CMD_SCALE11 || v > CMD_DEFAULTS) {
		put(s, RESEND);
		return;
	}
	s->wrap = false;
	put(s, ACK);
	plain_command(s, v);
}

bool ps2_mouse_valid(const struct ps2_mouse *s)
{
	return fifo8_valid(&s->out);
}
