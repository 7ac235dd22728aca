/*
 * Text consoles (contract in ui/consoles.h).
 *
 * Source: console_codes(4); xterm's ctlseqs, "PC-Style Function Keys" and "VT220-Style Function Keys", for what
 * keys send; X11/keysymdef.h.
 */
#include "ui/consoles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/core/bus.h"
#include "hw/core/chr.h"
#include "hw/core/loop.h"

#define COLUMNS		80
#define ROWS		24
#define PAST		1000		/* rows to look back at */

struct console {
	struct consoles *all;
	char name[40];
	char *id;			/* its stream's, which may go */
	int fd;
	struct loop_fd *watch;
	struct vt vt;
	int back;			/* rows that the view is above the page */
	bool fixed;			/* its size was chosen */
};

struct consoles {
	struct machine *m;
	struct console console[MAX_CONSOLES];
	int n;
	struct console_watcher *watchers;
};

static void tell(struct console *k)
{
	struct consoles *c = k->all;

	for (struct console_watcher *w = c->watchers; w; w = w->next)
		w->changed(w->opaque, (int)(k - c->console) + 1);
}

/* ---- what is to be seen ---- */

struct console_view consoles_view(const struct consoles *c, int n)
{
	const struct console *k = &c->console[n - 1];
	const struct vt *t = &k->vt;
	struct console_view v = { t->w, t->h, t->x < t->w ? t->x : t->w - 1, t->y + k->back };

	if (t->hidden || v.y >= t->h)
		v.x = -1;
	return v;
}

const struct vt_cell *consoles_row(const struct consoles *c, int n, int y)
{
	const struct console *k = &c->console[n - 1];

	return vt_row(&k->vt, y - k->back);
}

static void look_back(struct console *k, int rows)
{
	rows = rows < 0 ? 0 : rows > k->vt.n_past ? k->vt.n_past : rows;
	if (rows == k->back)
		return;
	k->back = rows;
	tell(k);
}

void consoles_scroll(struct consoles *c, int n, int rows)
{
	struct console *k = &c->console[n - 1];

	look_back(k, k->back + rows);
}

/* ---- keys ---- */

/* X keysyms. */
enum {
	SYM_BACKSPACE = 0xff08, SYM_TAB = 0xff09, SYM_RETURN = 0xff0d, SYM_ESCAPE = 0xff1b, SYM_HOME = 0xff50,
	SYM_LEFT, SYM_UP, SYM_RIGHT, SYM_DOWN, SYM_PAGE_UP, SYM_PAGE_DOWN, SYM_END, SYM_INSERT = 0xff63,
	SYM_KP_ENTER = 0xff8d, SYM_KP_HOME = 0xff95, SYM_KP_END = 0xff9c, SYM_KP_INSERT = 0xff9e, SYM_KP_DELETE = 0xff9f,
	SYM_KP_FIRST = 0xffaa, SYM_KP_9 = 0xffb9, SYM_F1 = 0xffbe, SYM_DELETE = 0xffff,
	SYM_BACK_TAB = 0xfe20, SYM_EURO = 0x20ac, SYM_UNICODE = 0x1000000,
};

/* What a terminal sends for keys that are no characters. */
static const struct { uint32_t symbol; const char *text; } sent[] = {
	{ SYM_UP,	   "\033[A" },	{ SYM_DOWN,	 "\033[B" },  { SYM_RIGHT,	 "\033[C" },  { SYM_LEFT,	 "\033[D" },
	{ SYM_HOME,	   "\033[H" },	{ SYM_END,	 "\033[F" },  { SYM_INSERT,	 "\033[2~" }, { SYM_DELETE,	 "\033[3~" },
	{ SYM_PAGE_UP,	   "\033[5~" },	{ SYM_PAGE_DOWN, "\033[6~" }, { SYM_BACKSPACE,	 "\177" },    { SYM_RETURN,	 "\r" },
	{ SYM_TAB,	   "\t" },	{ SYM_ESCAPE,	 "\033" },    { SYM_BACK_TAB,	 "\033[Z" },  { SYM_F1,		 "\033OP" },
	{ SYM_F1 + 1,	   "\033OQ" },	{ SYM_F1 + 2,	 "\033OR" },  { SYM_F1 + 3,	 "\033OS" },  { SYM_F1 + 4,	 "\033[15~" },
	{ SYM_F1 + 5,	   "\033[17~" }, { SYM_F1 + 6,	 "\033[18~" }, { SYM_F1 + 7,	 "\033[19~" }, { SYM_F1 + 8,	 "\033[20~" },
	{ SYM_F1 + 9,	   "\033[21~" }, { SYM_F1 + 10,	 "\033[23~" }, { SYM_F1 + 11,	 "\033[24~" },
};

/* The keypad's keys are those they stand for. */
static uint32_t plain_symbol(uint32_t symbol, unsigned hold)
{
	if (symbol >= SYM_KP_HOME && symbol <= SYM_KP_END)
		return symbol - SYM_KP_HOME + SYM_HOME;
	if (symbol == SYM_KP_INSERT)
		return SYM_INSERT;
	if (symbol == SYM_KP_DELETE)
		return SYM_DELETE;
	if (symbol == SYM_KP_ENTER)
		return SYM_RETURN;
	if (symbol >= SYM_KP_FIRST && symbol <= SYM_KP_9)
		return symbol & 0x7f;
	if (symbol == SYM_TAB && hold & HOLD_SHIFT)
		return SYM_BACK_TAB;
	return symbol;
}

/* What does not fit into the stream's queue is lost, as with a terminal whose line is not read. */
static void send(void *opaque, const char *bytes, size_t n)
{
	struct console *k = opaque;
	ssize_t r = write(k->fd, bytes, n);

	(void)r;
}

static void type(struct console *k, const char *bytes, int n)
{
	send(k, bytes, (size_t)n);
	look_back(k, 0);
}

static int encode(uint32_t ch, char *to)
{
	if (ch < 0x80) {
		to[0] = (char)ch;
		return 1;
	}
	if (ch < 0x800) {
		to[0] = (char)(0xc0 | ch >> 6);
		to[1] = (char)(0x80 | (ch & 0x3f));
		return 2;
	}
	if (ch < 0x10000) {
		to[0] = (char)(0xe0 | ch >> 12);
		to[1] = (char)(0x80 | (ch >> 6 & 0x3f));
		to[2] = (char)(0x80 | (ch & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | (ch >> 18 & 7));
	to[1] = (char)(0x80 | (ch >> 12 & 0x3f));
	to[2] = (char)(0x80 | (ch >> 6 & 0x3f));
	to[3] = (char)(0x80 | (ch & 0x3f));
	return 4;
}

void consoles_character(struct consoles *c, int n, uint32_t ch, bool alt)
{
	char text[8] = "\033";

	type(&c->console[n - 1], text, alt + encode(ch, text + alt));
}

/* Keys that look back are not typed. */
static bool looks_back(struct console *k, uint32_t symbol, unsigned hold)
{
	int page = k->vt.h > 2 ? k->vt.h / 2 : 1, rows;

	switch (symbol) {
	case SYM_PAGE_UP:	rows = page; break;
	case SYM_PAGE_DOWN:	rows = -page; break;
	case SYM_UP:		rows = hold & HOLD_CTRL ? 1 : 0; break;
	case SYM_DOWN:		rows = hold & HOLD_CTRL ? -1 : 0; break;
	default:		return false;
	}
	if (!rows || hold & HOLD_ALT || !(hold & (HOLD_SHIFT | HOLD_CTRL)))
		return false;
	look_back(k, k->back + rows);
	return true;
}

/* Ctrl makes of @ A..Z [ \ ] ^ _ the characters 0 .. 31; blank and ? are used for the first and for DEL. */
static uint32_t with_ctrl(uint32_t ch)
{
	if (ch == ' ')
		return 0;
	if (ch == '?')
		return 0x7f;
	return (ch >= '@' && ch <= '_') || (ch >= 'a' && ch <= 'z') ? ch & 0x1f : ch;
}

void consoles_key(struct consoles *c, int n, uint32_t symbol, unsigned hold)
{
	struct console *k = &c->console[n - 1];

	symbol = plain_symbol(symbol, hold);
	if (looks_back(k, symbol, hold))
		return;
	for (size_t i = 0; i < ARRAY_LEN(sent); i++)
		if (sent[i].symbol == symbol) {
			char text[16];

			type(k, text, snprintf(text, sizeof(text), "%s%s", hold & HOLD_ALT ? "\033" : "", sent[i].text));
			return;
		}
	if (symbol >= SYM_UNICODE)
		symbol -= SYM_UNICODE;
	else if (symbol >= 0x100 && symbol != SYM_EURO)
		return;
	if (symbol)
		consoles_character(c, n, hold & HOLD_CTRL ? with_ctrl(symbol) : symbol, hold & HOLD_ALT);
}

/* ---- streams ---- */

/* Who looks back goes on seeing the same rows. */
static void take(struct console *k, const char *bytes, size_t n)
{
	struct vt *t = &k->vt;
	uint64_t before = t->kept;

	vt_write(t, bytes, n);
	if (k->back) {
		uint64_t back = (uint64_t)k->back + (t->kept - before);

		k->back = back > (uint64_t)t->n_past ? t->n_past : (int)back;
	}
	tell(k);
}

static void on_output(void *opaque, int fd, unsigned events)
{
	struct console *k = opaque;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)events;
	if (n > 0) {
		take(k, buf, (size_t)n);
	} else if (n == 0) {
		loop_fd_del(k->all->m->loop, k->watch);
		k->watch = NULL;
	}
}

static bool is_monitor(const char *id)
{
	return !strncmp(id, "compat_monitor", 14);
}

/* The first monitor has no number: mostly there is only the one. */
static void make_name(char *name, size_t n, const char *id)
{
	const char *number = is_monitor(id) ? id + 14 : id;

	if (is_monitor(id))
		snprintf(name, n, "monitor%s", strcmp(number, "0") ? number : "");
	else
		snprintf(name, n, "%.*s", (int)n - 1, id);
}

/* What this is, before anybody writes to it. */
static void head(struct console *k)
{
	char text[80];
	int n = snprintf(text, sizeof(text), "\033[44m%s console\033[0m\r\n", k->name);

	vt_write(&k->vt, text, (size_t)n);
}

static bool add(struct consoles *c, struct chr *chr, struct err *e)
{
	struct console *k = &c->console[c->n];
	int w = 0, h = 0, fd = c->n < MAX_CONSOLES ? chr_vc_open(chr, &w, &h) : -1;

	if (fd < 0)
		return true;
	k->fixed = w && h;
	k->id = strdup(chr->id);
	if (!k->id || !vt_init(&k->vt, w ? w : COLUMNS, h ? h : ROWS) || !vt_keep(&k->vt, PAST)) {
		free(k->id);
		vt_fini(&k->vt);
		close(fd);
		return err_set(e, "no memory for the console of %s", chr->id);
	}
	make_name(k->name, sizeof(k->name), chr->id);
	head(k);
	k->vt.answer = send;
	k->vt.opaque = k;
	k->all = c;
	k->fd = fd;
	k->watch = loop_fd_add(c->m->loop, fd, LOOP_READ, on_output, k);
	c->n++;
	chr_vc_resized(chr, k->vt.w, k->vt.h);
	return true;
}

/* The machine's list has the newest first. */
static bool add_older(struct consoles *c, struct chr *chr, bool monitors, struct err *e)
{
	return !chr || (add_older(c, chr->next, monitors, e) && (is_monitor(chr->id) != monitors || add(c, chr, e)));
}

struct consoles *consoles_new(struct machine *m, struct err *e)
{
	struct consoles *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, "no memory for consoles");
		return NULL;
	}
	c->m = m;
	if (!add_older(c, m->chrs, true, e) || !add_older(c, m->chrs, false, e)) {
		consoles_free(c);
		return NULL;
	}
	return c;
}

void consoles_free(struct consoles *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->n; i++) {
		loop_fd_del(c->m->loop, c->console[i].watch);
		close(c->console[i].fd);
		free(c->console[i].id);
		vt_fini(&c->console[i].vt);
	}
	free(c);
}

int consoles_count(const struct consoles *c)
{
	return c ? c->n : 0;
}

const char *consoles_name(const struct consoles *c, int n)
{
	return c->console[n - 1].name;
}

void consoles_resize(struct consoles *c, int w, int h)
{
	for (int i = 0; i < c->n; i++) {
		struct console *k = &c->console[i];

		if (k->fixed || !vt_resize(&k->vt, w, h))
			continue;
		k->back = 0;
		chr_vc_resized(chr_find(c->m, k->id), w, h);
		tell(k);
	}
}

void consoles_watch(struct consoles *c, struct console_watcher *w)
{
	w->next = c->watchers;
	c->watchers = w;
}

void consoles_unwatch(struct consoles *c, struct console_watcher *w)
{
	for (struct console_watcher **p = &c->watchers; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
}
