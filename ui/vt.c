/*
 * A text terminal (contract in ui/vt.h).
 *
 * Not modelled: character sets other than UTF-8, tabulators other
 * than every eight columns, a second page, the terminal's identity, underlines and blinking.
 * Source: ECMA-48; console_codes(4).
 */
#include "ui/vt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* ---- the page ---- */

static struct vt_cell blank(const struct vt *t)
{
	return (struct vt_cell){ 0, (uint8_t)(t->attr & 0x70) | VT_PLAIN };
}

static struct vt_cell *row(const struct vt *t, int y) { return t->cell + (size_t)y * (size_t)t->w; }

/* n characters from (x, y) on, over ends of lines. */
static void erase(struct vt *t, int x, int y, int n)
{
	struct vt_cell *c = row(t, y) + x;

	while (n-- > 0)
		*c++ = blank(t);
}

/* Rows first .. last move up by n (down: negative); blank ones follow. */
static void scroll(struct vt *t, int first, int last, int n)
{
	int rows = last - first + 1, keep;
	size_t bytes = (size_t)t->w * sizeof(*t->cell);

	n = n > rows ? rows : n < -rows ? -rows : n;
	keep = rows - abs(n);
	if (n > 0) {
		memmove(row(t, first), row(t, first + n), (size_t)keep * bytes);
		erase(t, 0, first + keep, n * t->w);
	} else {
		memmove(row(t, first - n), row(t, first), (size_t)keep * bytes);
		erase(t, 0, first, -n * t->w);
	}
}

static struct vt_cell *past_row(const struct vt *t, int i)
{
	return t->past + (size_t)i * (size_t)t->w;
}

/* The top row goes out: it can be looked back at. */
static void keep_row(struct vt *t)
{
	if (!t->room_past)
		return;
	memcpy(past_row(t, t->next_past), t->cell, (size_t)t->w * sizeof(*t->cell));
	t->next_past = (t->next_past + 1) % t->room_past;
	t->n_past += t->n_past < t->room_past;
	t->kept++;
}

const struct vt_cell *vt_row(const struct vt *t, int y)
{
	return y >= 0 ? row(t, y) : past_row(t, (t->next_past + y + t->room_past) % t->room_past);
}

static int within(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

static void go_to(struct vt *t, int x, int y)
{
	t->x = within(x, 0, t->w - 1);
	t->y = within(y, 0, t->h - 1);
}

static void line_feed(struct vt *t)
{
	if (t->y == t->bottom) {
		if (t->top == 0)
			keep_row(t);
		scroll(t, t->top, t->bottom, 1);
	} else if (t->y < t->h - 1) {
		t->y++;
	}
}

/* Whoever shows the page gives its characters to a terminal, which may obey these in any form. */
static bool is_control(uint32_t ch)
{
	return ch < 0x20 || (ch >= 0x7f && ch < 0xa0);
}

static void put(struct vt *t, uint32_t ch)
{
	uint8_t attr = t->attr;

	if (is_control(ch))
		return;
	if (t->x == t->w) {
		t->x = 0;
		line_feed(t);
	}
	if (t->reverse)
		attr = (uint8_t)((attr & 7) << 4 | (attr >> 4 & 7) | (attr & 8));
	row(t, t->y)[t->x++] = (struct vt_cell){ ch, attr };
}

/* ---- control sequences ---- */

/* Argument i; a 0 or none is `def`. */
static int arg(const struct vt *t, unsigned i, int def)
{
	return i < t->n_args && t->arg[i] ? (int)t->arg[i] : def;
}

/* ECMA's colours are red, green, blue from the lowest bit on; VGA's the other way round. */
static uint8_t colour(unsigned n)
{
	return (uint8_t)((n & 1) << 2 | (n & 2) | (n >> 2 & 1));
}

static void set_attribute(struct vt *t, unsigned n)
{
	switch (n) {
	case 0: t->attr = VT_PLAIN; t->reverse = false; break;
	case 1: t->attr |= 8; break;
	case 2: case 22: t->attr &= (uint8_t)~8; break;
	case 7: t->reverse = true; break;
	case 27: t->reverse = false; break;
	case 30 ... 37: t->attr = (uint8_t)((t->attr & 0x78) | colour(n - 30)); break;
	case 39: t->attr = (uint8_t)((t->attr & 0x78) | 7); break;
	case 40 ... 47: t->attr = (uint8_t)((t->attr & 0x0f) | colour(n - 40) << 4); break;
	case 49: t->attr &= 0x0f; break;
	case 90 ... 97: t->attr = (uint8_t)((t->attr & 0x70) | 8 | colour(n - 90)); break;
	case 100 ... 107: t->attr = (uint8_t)((t->attr & 0x0f) | colour(n - 100) << 4); break;
	default: break;
	}
}

/* 38;5;n and 38;2;r;g;b name colours we do not have: they are stepped over. */
static void set_attributes(struct vt *t)
{
	if (!t->n_args)
		set_attribute(t, 0);
	for (unsigned i = 0; i < t->n_args; i++) {
		if (t->arg[i] == 38 || t->arg[i] == 48)
			i += i + 1 < t->n_args && t->arg[i + 1] == 2 ? 4 : 2;
		else
			set_attribute(t, t->arg[i]);
	}
}

static void erase_display(struct vt *t, int how)
{
	int here = t->y * t->w + within(t->x, 0, t->w - 1), all = t->w * t->h;

	if (how == 0)
		erase(t, here % t->w, t->y, all - here);
	else if (how == 1)
		erase(t, 0, 0, here + 1);
	else
		erase(t, 0, 0, all);
}

static void erase_line(struct vt *t, int how)
{
	int x = within(t->x, 0, t->w - 1);

	if (how == 0)
		erase(t, x, t->y, t->w - x);
	else if (how == 1)
		erase(t, 0, t->y, x + 1);
	else
		erase(t, 0, t->y, t->w);
}

/* n characters at the cursor go, or (negative) come. */
static void shift_line(struct vt *t, int n)
{
	int x = within(t->x, 0, t->w - 1), room = t->w - x, keep;
	struct vt_cell *c = row(t, t->y) + x;

	n = within(n, -room, room);
	keep = room - abs(n);
	if (n > 0) {
		memmove(c, c + n, (size_t)keep * sizeof(*c));
		erase(t, x + keep, t->y, n);
	} else {
		memmove(c - n, c, (size_t)keep * sizeof(*c));
		erase(t, x, t->y, -n);
	}
}

static void set_scrolling(struct vt *t)
{
	int top = arg(t, 0, 1) - 1, bottom = arg(t, 1, t->h) - 1;

	if (top >= bottom || bottom >= t->h)
		return;
	t->top = top;
	t->bottom = bottom;
	go_to(t, 0, 0);
}

static void reset(struct vt *t)
{
	t->attr = VT_PLAIN;
	t->reverse = t->hidden = false;
	t->top = 0;
	t->bottom = t->h - 1;
	t->saved_x = t->saved_y = 0;
	go_to(t, 0, 0);
	erase(t, 0, 0, t->w * t->h);
}

/* Device status report: "ready", or the cursor's row and column from 1 on. */
static void report(struct vt *t, int what)
{
	char text[40] = "\033[0n";

	if (!t->answer || (what != 5 && what != 6))
		return;
	if (what == 6)
		snprintf(text, sizeof(text), "\033[%d;%dR", t->y + 1, within(t->x, 0, t->w - 1) + 1);
	t->answer(t->opaque, text, strlen(text));
}

static void control(struct vt *t, uint8_t final)
{
	int n = arg(t, 0, 1);

	if (t->asks) {
		if ((final == 'h' || final == 'l') && arg(t, 0, 0) == 25)
			t->hidden = final == 'l';
		return;
	}
	switch (final) {
	case 'A': go_to(t, t->x, t->y - n); break;
	case 'B': case 'e': go_to(t, t->x, t->y + n); break;
	case 'C': case 'a': go_to(t, t->x + n, t->y); break;
	case 'D': go_to(t, t->x - n, t->y); break;
	case 'E': go_to(t, 0, t->y + n); break;
	case 'F': go_to(t, 0, t->y - n); break;
	case 'G': case '`': go_to(t, n - 1, t->y); break;
	case 'd': go_to(t, t->x, n - 1); break;
	case 'H': case 'f': go_to(t, arg(t, 1, 1) - 1, n - 1); break;
	case 'J': erase_display(t, arg(t, 0, 0)); break;
	case 'K': erase_line(t, arg(t, 0, 0)); break;
	case 'L': case 'M':
		if (t->y >= t->top && t->y <= t->bottom)
			scroll(t, t->y, t->bottom, final == 'M' ? n : -n);
		break;
	case 'P': shift_line(t, n); break;
	case '@': shift_line(t, -n); break;
	case 'X': erase(t, within(t->x, 0, t->w - 1), t->y, within(n, 0, t->w - within(t->x, 0, t->w - 1))); break;
	case 'S': scroll(t, t->top, t->bottom, n); break;
	case 'T': scroll(t, t->top, t->bottom, -n); break;
	case 'm': set_attributes(t); break;
	case 'n': report(t, arg(t, 0, 0)); break;
	case 'r': set_scrolling(t); break;
	case 's': t->saved_x = t->x; t->saved_y = t->y; break;
	case 'u': go_to(t, t->saved_x, t->saved_y); break;
	default: break;
	}
}

/* ---- bytes ---- */

static void escape(struct vt *t, uint8_t b)
{
	t->state = VT_TEXT;
	switch (b) {
	case '[':
		t->state = VT_CSI;
		t->asks = false;
		t->n_args = 0;
		memset(t->arg, 0, sizeof(t->arg));
		break;
	case ']': case 'P': case '_': case '^': t->state = VT_STRING; break;
	case '(': case ')': case '#': case '%': t->state = VT_SKIP; break;
	case '7': t->saved_x = t->x; t->saved_y = t->y; break;
	case '8': go_to(t, t->saved_x, t->saved_y); break;
	case 'D': line_feed(t); break;
	case 'E': t->x = 0; line_feed(t); break;
	case 'M':
		if (t->y == t->top)
			scroll(t, t->top, t->bottom, -1);
		else
			go_to(t, t->x, t->y - 1);
		break;
	case 'c': reset(t); break;
	default: break;
	}
}

static void sequence(struct vt *t, uint8_t b)
{
	unsigned *last = &t->arg[t->n_args ? t->n_args - 1 : 0];

	if (b >= '0' && b <= '9') {
		t->n_args += !t->n_args;
		*last = *last > 9999 ? *last : *last * 10 + (b - '0');
	} else if (b == ';' || b == ':') {
		t->n_args += !t->n_args;
		if (t->n_args < ARRAY_LEN(t->arg))
			t->n_args++;
	} else if (b == '?') {
		t->asks = true;
	} else if (b >= 0x40 && b <= 0x7e) {
		t->state = VT_TEXT;
		control(t, b);
	}
}

/* Bytes of UTF-8; what is none is Latin-1. */
static void text(struct vt *t, uint8_t b)
{
	if (t->utf8_left && b >> 6 == 2) {
		t->utf8 = t->utf8 << 6 | (b & 0x3f);
		if (!--t->utf8_left)
			put(t, t->utf8);
		return;
	}
	t->utf8_left = b >= 0xf0 && b < 0xf8 ? 3 : b >= 0xe0 && b < 0xf0 ? 2 : b >= 0xc2 && b < 0xe0 ? 1 : 0;
	t->utf8 = b & (0x3fu >> t->utf8_left);
	if (!t->utf8_left)
		put(t, b);
}

static void one(struct vt *t, uint8_t b)
{
	if (t->state == VT_STRING) {
		t->state = b == 7 ? VT_TEXT : b == 0x1b ? VT_ESC : VT_STRING;	/* ESC \ ends it, too */
		return;
	}
	switch (b) {
	case 7: return;
	case 8: t->x = within(t->x, 0, t->w - 1); go_to(t, t->x - 1, t->y); return;
	case 9: go_to(t, (t->x / 8 + 1) * 8, t->y); return;
	case 10: case 11: case 12: line_feed(t); return;
	case 13: t->x = 0; return;
	case 0x1b: t->state = VT_ESC; return;
	default: break;
	}
	switch (t->state) {
	case VT_ESC: escape(t, b); break;
	case VT_CSI: sequence(t, b); break;
	case VT_SKIP: t->state = VT_TEXT; break;
	default:
		text(t, b);
	}
}

void vt_write(struct vt *t, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n--)
		one(t, *p++);
}

/* ---- life ---- */

bool vt_init(struct vt *t, int w, int h)
{
	*t = (struct vt){ .w = w, .h = h, .cell = calloc((size_t)w * (size_t)h, sizeof(*t->cell)) };
	if (!t->cell)
		return false;
	reset(t);
	return true;
}

void vt_fini(struct vt *t)
{
	free(t->cell);
	free(t->past);
}

bool vt_keep(struct vt *t, int n)
{
	free(t->past);
	t->n_past = t->next_past = 0;
	t->past = calloc((size_t)n * (size_t)t->w, sizeof(*t->past));
	t->room_past = t->past ? n : 0;
	return t->past;
}

/* What `from` has kept, in rows of another width; n's own memory is there already. */
static void copy_past(struct vt *n, const struct vt *from)
{
	int w = n->w < from->w ? n->w : from->w;

	n->n_past = n->next_past = 0;
	for (int y = -from->n_past; y < 0; y++) {
		struct vt_cell *to = past_row(n, n->next_past);

		for (int x = w; x < n->w; x++)
			to[x] = (struct vt_cell){ 0, VT_PLAIN };
		memcpy(to, vt_row(from, y), (size_t)w * sizeof(*to));
		n->next_past = (n->next_past + 1) % n->room_past;
		n->n_past++;
	}
}

bool vt_resize(struct vt *t, int w, int h)
{
	struct vt n = *t;
	int first = t->y >= h ? t->y - h + 1 : 0;	/* the cursor's row stays */

	if (w == t->w && h == t->h)
		return true;
	n.w = w;
	n.h = h;
	n.cell = calloc((size_t)w * (size_t)h, sizeof(*n.cell));
	n.past = t->room_past ? calloc((size_t)t->room_past * (size_t)w, sizeof(*n.past)) : NULL;
	if (!n.cell || (t->room_past && !n.past)) {
		free(n.cell);
		free(n.past);
		return false;
	}
	erase(&n, 0, 0, w * h);
	for (int y = first; y < t->h && y - first < h; y++)
		memcpy(row(&n, y - first), row(t, y), (size_t)(w < t->w ? w : t->w) * sizeof(*n.cell));
	copy_past(&n, t);
	n.top = 0;
	n.bottom = h - 1;
	go_to(&n, t->x, t->y - first);
	vt_fini(t);
	*t = n;
	return true;
}
