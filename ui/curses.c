/*
 * The console on a text terminal, by ncurses. It shows one of several pages: the guest's screen
 * (text modes as they are, of graphics modes only that there is one), and the text consoles. Alt and a digit choose; all other keys go to what is shown.
 *
 * A terminal tells characters, not keys. So the guest gets the keys that give a character on its
 * keyboard (-k), pressed and let go of at once.
 *
 * Not modelled: keys of their own for Shift, Ctrl and Alt; the guest's font (its characters are
 * taken for those of code page 437), blinking, changed palettes.
 * Source: ncurses(3x) and the pages it names; X11/keysymdef.h for names of keys.
 */
#include "ui/curses.h"

#include <stddef.h>

#include "config.h"

#ifdef CONFIG_NCURSES

#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/core/loop.h"
#include "hw/display/vga.h"
#include "ui/consoles.h"
#include "ui/cp437.h"
#include "ui/display.h"
#include "ui/vm.h"

#define SIZE_CHECK	(NS_PER_SEC / 4)
#define ESC_DELAY	25		/* milliseconds in which the rest of a key's sequence comes */

struct curses {
	struct display *d;
	struct vga *vga;
	struct loop *loop;
	struct viewer viewer;
	SCREEN *screen;
	struct loop_fd *keys;
	struct timer size;		/* looks whether the terminal has another one */
	struct consoles *consoles;	/* may be NULL */
	struct console_watcher watcher;
	int shown;			/* 0: the screen, or a console */
	int w, h;			/* of the guest's picture */
	bool utf8;
	int colours;			/* 16, 8, or 0: none */
	struct vga_cells cells;
};

/* ---- colours and characters ---- */

/* VGA's colour numbers count blue first, terminals' red. */
static short terminal_colour(int vga)
{
	return (short)((vga & 8) | (vga & 4) >> 2 | (vga & 2) | (vga & 1) << 2);
}

static void make_colours(struct curses *c)
{
	if (!has_colors() || start_color() == ERR)
		return;
	c->colours = COLORS >= 16 && COLOR_PAIRS > 256 ? 16 : 8;
	for (int bg = 0; bg < c->colours; bg++)
		for (int fg = 0; fg < c->colours; fg++)
			init_pair((short)(1 + bg * c->colours + fg), terminal_colour(fg), terminal_colour(bg));
}

static void set_attribute(struct curses *c, uint8_t at)
{
	int fg = at & 15, bg = at >> 4 & 7;
	attr_t a = A_NORMAL;

	if (!c->colours) {
		attrset((fg & 8 ? A_BOLD : 0) | (bg && !(fg & 7) ? A_REVERSE : 0));
		return;
	}
	if (c->colours == 8 && fg & 8) {
		fg &= 7;
		a = A_BOLD;
	}
	attr_set(a, (short)(1 + bg * c->colours + fg), NULL);
}

static void put(struct curses *c, int x, int y, uint32_t ch, uint8_t at)
{
	wchar_t text[2] = { (wchar_t)ch, 0 };

	set_attribute(c, at);
	mvaddwstr(y, x, text);
}

/* ---- what is shown ---- */

/* Where a page of `size` begins so that `at` is to be seen in `room` (at < 0: its start). */
static int first_shown(int size, int at, int room)
{
	if (size <= room || at < room)
		return 0;
	return at - room + 1;
}

static void show_cursor(int x, int y)
{
	if (x >= 0 && x < COLS && y >= 0 && y < LINES) {
		curs_set(1);
		move(y, x);
	} else {
		curs_set(0);
	}
}

static void show_text_mode(struct curses *c)
{
	const struct vga_cells *s = &c->cells;
	int at_x = s->cursor < 0 ? -1 : s->cursor % s->w, at_y = s->cursor < 0 ? -1 : s->cursor / s->w;
	int left = first_shown(s->w, at_x, COLS), top = first_shown(s->h, at_y, LINES);

	for (int y = 0; y < s->h - top && y < LINES; y++)
		for (int x = 0; x < s->w - left && x < COLS; x++) {
			uint16_t cell = s->cell[(y + top) * s->w + x + left];
			uint8_t ch = cell & 0xff;

			put(c, x, y, c->utf8 ? cp437[ch] : (uint32_t)cp437_ascii(ch), cell >> 8);
		}
	show_cursor(at_x - left, at_y - top);
}

static void show_note(struct curses *c)
{
	char note[60] = "no screen";

	if (c->vga && c->w)
		snprintf(note, sizeof(note), "%d x %d graphics mode", c->w, c->h);
	set_attribute(c, VT_PLAIN);
	mvaddnstr(LINES / 2, COLS > (int)strlen(note) ? (COLS - (int)strlen(note)) / 2 : 0, note, COLS);
	curs_set(0);
}

static void show_console(struct curses *c)
{
	struct console_view v = consoles_view(c->consoles, c->shown);

	for (int y = 0; y < v.h && y < LINES; y++) {
		const struct vt_cell *cell = consoles_row(c->consoles, c->shown, y);

		for (int x = 0; x < v.w && x < COLS; x++) {
			uint32_t ch = cell[x].ch >= 0x20 ? cell[x].ch : ' ';

			put(c, x, y, c->utf8 || ch < 0x7f ? ch : '?', cell[x].attr);
		}
	}
	show_cursor(v.x, v.y);
}

static void redraw(struct curses *c)
{
	if (!c->screen)
		return;
	erase();
	if (c->shown)
		show_console(c);
	else if (c->vga && vga_cells(c->vga, &c->cells))
		show_text_mode(c);
	else
		show_note(c);
	refresh();
}

static void on_rows(void *opaque, const struct surface *s, int first, int n)
{
	struct curses *c = opaque;

	(void)first;
	(void)n;
	c->w = s->w;
	c->h = s->h;
}

static void on_done(void *opaque)
{
	struct curses *c = opaque;

	if (!c->shown)
		redraw(c);
}

static void on_console(void *opaque, int n)
{
	struct curses *c = opaque;

	if (c->shown == n)
		redraw(c);
}

static void show(struct curses *c, int n)
{
	if (n > consoles_count(c->consoles))
		return;
	c->shown = n;
	clearok(curscr, TRUE);		/* whatever else has written to the terminal goes */
	redraw(c);
}

/* ---- keys ---- */

/* X keysyms. */
enum {
	SYM_BACKSPACE = 0xff08, SYM_TAB = 0xff09, SYM_RETURN = 0xff0d, SYM_ESCAPE = 0xff1b, SYM_HOME = 0xff50,
	SYM_LEFT, SYM_UP, SYM_RIGHT, SYM_DOWN, SYM_PAGE_UP, SYM_PAGE_DOWN, SYM_END, SYM_INSERT = 0xff63, SYM_F1 = 0xffbe,
	SYM_SHIFT = 0xffe1, SYM_CTRL = 0xffe3, SYM_ALT = 0xffe9, SYM_DELETE = 0xffff, SYM_UNICODE = 0x1000000,
};

/* What ncurses calls a key, and its symbol. */
static const struct special {
	int key;
	uint32_t symbol;
	unsigned hold;
} specials[] = {
	{ KEY_UP,	 SYM_UP,	0 },		{ KEY_DOWN,	SYM_DOWN,	0 },
	{ KEY_RIGHT,	 SYM_RIGHT,	0 },		{ KEY_LEFT,	SYM_LEFT,	0 },
	{ KEY_HOME,	 SYM_HOME,	0 },		{ KEY_END,	SYM_END,	0 },
	{ KEY_IC,	 SYM_INSERT,	0 },		{ KEY_DC,	SYM_DELETE,	0 },
	{ KEY_PPAGE,	 SYM_PAGE_UP,	0 },		{ KEY_NPAGE,	SYM_PAGE_DOWN,	0 },
	{ KEY_BACKSPACE, SYM_BACKSPACE,	0 },		{ KEY_ENTER,	SYM_RETURN,	0 },
	{ KEY_BTAB,	 SYM_TAB, HOLD_SHIFT },
	{ KEY_SLEFT,	 SYM_LEFT, HOLD_SHIFT },	{ KEY_SRIGHT,	SYM_RIGHT, HOLD_SHIFT },
	{ KEY_SR,	 SYM_UP, HOLD_SHIFT },		{ KEY_SF,	SYM_DOWN, HOLD_SHIFT },
	{ KEY_SHOME,	 SYM_HOME, HOLD_SHIFT },	{ KEY_SEND,	SYM_END, HOLD_SHIFT },
	{ KEY_SDC,	 SYM_DELETE, HOLD_SHIFT },	{ KEY_SIC,	SYM_INSERT, HOLD_SHIFT },
	{ KEY_SPREVIOUS, SYM_PAGE_UP, HOLD_SHIFT },	{ KEY_SNEXT,	SYM_PAGE_DOWN, HOLD_SHIFT },
};

/* A key that makes no character. */
static struct special find_special(int key)
{
	int f = key - KEY_F0;

	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		if (specials[i].key == key)
			return specials[i];
	if (f >= 1 && f <= 48)		/* terminals count on with Shift, Ctrl and both */
		return (struct special){ key, SYM_F1 + (uint32_t)((f - 1) % 12), (unsigned)((f - 1) / 12) };
	return (struct special){ 0 };
}

/* A character as a symbol. */
static struct special find_character(uint32_t ch)
{
	struct special k = { .symbol = ch };

	switch (ch) {
	case 8: case 0x7f: k.symbol = SYM_BACKSPACE; break;
	case 9: k.symbol = SYM_TAB; break;
	case 10: case 13: k.symbol = SYM_RETURN; break;
	case 0x1b: k.symbol = SYM_ESCAPE; break;
	case 0: k.symbol = ' '; k.hold = HOLD_CTRL; break;
	default:
		if (ch < 0x20) {	/* Ctrl-A is 1, Ctrl-\ is 28 */
			k.symbol = ch <= 26 ? ch + 'a' - 1 : ch + '@';
			k.hold = HOLD_CTRL;
		} else if (ch >= 0x100) {
			k.symbol = SYM_UNICODE | ch;
		}
	}
	return k;
}

static void hold(struct curses *c, unsigned what, bool down)
{
	if (what & HOLD_CTRL)
		display_symbol(c->d, &c->viewer, SYM_CTRL, down);
	if (what & HOLD_ALT)
		display_symbol(c->d, &c->viewer, SYM_ALT, down);
	if (what & HOLD_SHIFT)
		display_symbol(c->d, &c->viewer, SYM_SHIFT, down);
}

static void key_to_guest(struct curses *c, struct special k)
{
	if (!k.symbol)
		return;
	hold(c, k.hold, true);
	display_symbol(c->d, &c->viewer, k.symbol, true);
	display_symbol(c->d, &c->viewer, k.symbol, false);
	hold(c, k.hold, false);
}

/* Characters are a terminal's already. */
static void key_to_console(struct curses *c, bool special, uint32_t key, bool alt)
{
	struct special k;

	if (!special) {
		consoles_character(c->consoles, c->shown, key, alt);
		return;
	}
	k = find_special((int)key);
	if (k.symbol)
		consoles_key(c->consoles, c->shown, k.symbol, k.hold | (alt ? HOLD_ALT : 0));
}

/* One key; alt: Alt is held with it. */
static void on_key(struct curses *c, bool special, uint32_t key, bool alt)
{
	struct special k;

	if (special && key == KEY_RESIZE) {
		redraw(c);
	} else if (alt && !special && key >= '1' && key <= '9') {
		show(c, (int)key - '1');
	} else if (c->shown) {
		key_to_console(c, special, key, alt);
	} else {
		k = special ? find_special((int)key) : find_character(key);
		k.hold |= alt ? HOLD_ALT : 0;
		key_to_guest(c, k);
	}
}

/* Terminals send ESC in front of what is typed with Alt. ESC alone is the key. */
static void on_keys(void *opaque, int fd, unsigned events)
{
	struct curses *c = opaque;
	wint_t key;
	int what;

	(void)fd;
	if (events & LOOP_HUP) {
		loop_fd_want(c->loop, c->keys, 0);
		return;
	}
	while ((what = get_wch(&key)) != ERR) {
		bool alt = false;

		if (what == OK && key == 0x1b) {
			wint_t next;
			int with = get_wch(&next);

			alt = with != ERR;
			if (alt) {
				what = with;
				key = next;
			}
		}
		on_key(c, what == KEY_CODE_YES, key, alt);
	}
}

/* ---- the terminal ---- */

static void check_size(void *opaque)
{
	struct curses *c = opaque;
	struct winsize ws;

	timer_mod(&c->size, clock_now(c->size.clock) + SIZE_CHECK);
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) || !ws.ws_row || !ws.ws_col || (ws.ws_row == LINES && ws.ws_col == COLS))
		return;
	resizeterm(ws.ws_row, ws.ws_col);
	if (c->consoles)
		consoles_resize(c->consoles, COLS, LINES);
	clearok(curscr, TRUE);
	redraw(c);
}

static bool open_terminal(struct curses *c, struct err *e)
{
	const char *term = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return err_set(e, "standard input and output are no terminal");
	setlocale(LC_CTYPE, "");
	c->utf8 = MB_CUR_MAX > 1;
	c->screen = newterm(NULL, stdout, stdin);
	if (!c->screen)
		return err_set(e, "the terminal '%s' is not known (TERM)", term ? term : "");
	raw();
	noecho();
	nonl();
	nodelay(stdscr, TRUE);
	keypad(stdscr, TRUE);
	intrflush(stdscr, FALSE);
	scrollok(stdscr, FALSE);
	set_escdelay(ESC_DELAY);
	make_colours(c);
	return true;
}

bool curses_built_in(void)
{
	return true;
}

struct curses *curses_new(struct display *d, struct vga *vga, struct vm *vm, struct consoles *consoles, struct err *e)
{
	struct curses *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, "no memory for the terminal");
		return NULL;
	}
	c->d = d;
	c->vga = vga;
	c->loop = vm->loop;
	c->viewer = (struct viewer){ .rows = on_rows, .done = on_done, .opaque = c };
	display_add(d, &c->viewer);
	display_show(d, &c->viewer, 0);	/* consoles are shown here as characters */
	if (!open_terminal(c, e)) {
		curses_free(c);
		return NULL;
	}
	c->keys = loop_fd_add(c->loop, STDIN_FILENO, LOOP_READ, on_keys, c);
	timer_init(&c->size, loop_host_clock(c->loop), check_size, c);
	check_size(c);
	c->consoles = consoles;
	if (consoles) {
		c->watcher = (struct console_watcher){ .changed = on_console, .opaque = c };
		consoles_resize(consoles, COLS > 0 ? COLS : 80, LINES > 0 ? LINES : 24);
		consoles_watch(consoles, &c->watcher);
		c->shown = !vga && consoles_count(consoles);
	}
	display_set_active(d, &c->viewer, true);
	redraw(c);
	return c;
}

void curses_free(struct curses *c)
{
	if (!c)
		return;
	timer_del(&c->size);
	loop_fd_del(c->loop, c->keys);
	if (c->consoles)
		consoles_unwatch(c->consoles, &c->watcher);
	display_del(c->d, &c->viewer);
	if (c->screen) {
		endwin();
		delscreen(c->screen);
	}
	free(c);
}

#else

bool curses_built_in(void)
{
	return false;
}

struct curses *curses_new(struct display *d, struct vga *vga, struct vm *vm, struct consoles *consoles, struct err *e)
{
	(void)d, (void)vga, (void)vm, (void)consoles;
	err_set(e, "this program was built without it (Debian package libncurses-dev, then configure again)");
	return NULL;
}

void curses_free(struct curses *c) { (void)c; }

#endif
