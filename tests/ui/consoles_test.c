/* ui/consoles.c: streams of kind vc as consoles, what keys send, and looking back. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/chr.h"
#include "hw/core/loop.h"
#include "tests/bench.h"
#include "ui/consoles.h"

static struct bench b;
static struct consoles *consoles;
static uint8_t typed[100];
static int n_typed, n_told;

static int room(void *opaque)
{
	(void)opaque;
	return (int)sizeof(typed) - n_typed;
}

static void input(void *opaque, const uint8_t *p, int n)
{
	(void)opaque;
	memcpy(typed + n_typed, p, (size_t)n);
	n_typed += n;
}

static const struct chr_front front = { .room = room, .input = input };

static void changed(void *opaque, int n)
{
	(void)opaque;
	n_told = n;
}

static struct console_watcher watcher = { .changed = changed };

static struct chr *add(const char *id, const char *spec)
{
	struct chr *c = chr_new(b.m, id, spec, &b.err);

	cr_assert(c, "%s", b.err.msg);
	return c;
}

static void setup(void)
{
	bench_machine(&b);
	cr_assert(loop_new(b.m, &b.err), "%s", b.err.msg);
}

static void open_all(void)
{
	consoles = consoles_new(b.m, &b.err);
	cr_assert(consoles, "%s", b.err.msg);
	consoles_watch(consoles, &watcher);
}

static void teardown(void)
{
	consoles_free(consoles);
	chr_free_all(b.m);
}

TestSuite(consoles, .init = setup, .fini = teardown);

static void turn(void)
{
	machine_unlock(b.m);
	loop_step(b.m->loop, 0);
	machine_lock(b.m);
	b.mono += 10 * NS_PER_MS;
}

static void say(struct chr *c, const char *text)
{
	chr_puts(c, text);
	chr_flush_all(b.m);
	for (int i = 0; i < 3; i++)
		turn();
}

/* What the front end got for a key. */
static const char *sends(uint32_t symbol, unsigned hold)
{
	static char text[sizeof(typed) + 1];

	n_typed = 0;
	consoles_key(consoles, 1, symbol, hold);
	for (int i = 0; i < 3; i++)
		turn();
	memcpy(text, typed, (size_t)n_typed);
	text[n_typed] = 0;
	return text;
}

/* A row as text, without blanks at its end. */
static const char *row(int n, int y)
{
	static char text[200];
	struct console_view v = consoles_view(consoles, n);
	const struct vt_cell *c = consoles_row(consoles, n, y);
	int end = 0;

	for (int x = 0; x < v.w; x++) {
		text[x] = c[x].ch ? (char)c[x].ch : ' ';
		end = text[x] == ' ' ? end : x + 1;
	}
	text[end] = 0;
	return text;
}

Test(consoles, monitors_come_first_and_then_the_oldest)
{
	add("mine", "vc");
	add("serial0", "vc");
	add("file", "null");
	add("serial1", "mon:vc");
	add("compat_monitor0", "vc");
	add("compat_monitor1", "vc");
	open_all();
	cr_assert_eq(consoles_count(consoles), 5);
	cr_expect_str_eq(consoles_name(consoles, 1), "monitor");
	cr_expect_str_eq(consoles_name(consoles, 2), "monitor1");
	cr_expect_str_eq(consoles_name(consoles, 3), "mine");
	cr_expect_str_eq(consoles_name(consoles, 4), "serial0");
	cr_expect_str_eq(consoles_name(consoles, 5), "serial1");
	cr_expect_eq(consoles_count(NULL), 0);
}

Test(consoles, no_more_than_there_are_digits)
{
	char id[] = "c0";

	for (; id[1] <= '9'; id[1]++)
		add(id, "vc");
	open_all();
	cr_expect_eq(consoles_count(consoles), MAX_CONSOLES);
}

static void expect_size(const char *spec, int w, int h)
{
	struct console_view v;
	struct chr_terminal t;
	struct chr *c = add("a", spec);

	open_all();
	v = consoles_view(consoles, 1);
	chr_terminal(c, &t);
	cr_expect(v.w == w && v.h == h, "%s: %d x %d", spec, v.w, v.h);
	cr_expect(t.columns == w && t.rows == h, "%s: told %d x %d", spec, t.columns, t.rows);
	consoles_resize(consoles, 100, 30);
	v = consoles_view(consoles, 1);
	chr_terminal(c, &t);
	cr_expect(v.w == (strcmp(spec, "vc") ? w : 100), "%s: a size that was chosen stays", spec);
	cr_expect_eq(t.columns, v.w);
	consoles_free(consoles);
	consoles = NULL;
	chr_free_all(b.m);
}

Test(consoles, a_size_can_be_chosen)
{
	expect_size("vc", 80, 24);
	expect_size("vc:132Cx50C", 132, 50);
	expect_size("vc:640x400", 80, 25);
	expect_size("vc,cols=40,rows=12", 40, 12);
	expect_size("vc,width=800,height=600", 100, 37);
}

Test(consoles, sizes_that_are_none_are_refused)
{
	static const char *const bad[] = {
		"vc:80", "vc:80Cx", "vc:80Cx24", "vc:0Cx24C", "vc:5x5", "vc:80Cx24Cx", "vc,cols=80", "vc,cols=0,rows=1",
		"vc,width=4,height=100", "vc:2000Cx10C", "null,cols=80",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_expect_null(chr_new(b.m, "a", bad[i], &b.err), "%s", bad[i]);
}

Test(consoles, keys_send_what_a_terminal_does)
{
	struct chr *c = add("serial0", "vc");

	chr_attach(c, &front, NULL);
	open_all();
	cr_expect_str_eq(sends('a', 0), "a");
	cr_expect_str_eq(sends('a', HOLD_CTRL), "\001");
	cr_expect_str_eq(sends('[', HOLD_CTRL), "\033");
	cr_expect_str_eq(sends('?', HOLD_CTRL), "\177");
	cr_expect_str_eq(sends('x', HOLD_ALT), "\033x");
	cr_expect_str_eq(sends(0xe4, 0), "\xc3\xa4");
	cr_expect_str_eq(sends(0x20ac, 0), "\xe2\x82\xac");
	cr_expect_str_eq(sends(0x1000416, 0), "\xd0\x96");
	cr_expect_str_eq(sends(0xff0d, 0), "\r");
	cr_expect_str_eq(sends(0xff08, 0), "\177");
	cr_expect_str_eq(sends(0xff09, 0), "\t");
	cr_expect_str_eq(sends(0xff09, HOLD_SHIFT), "\033[Z");
	cr_expect_str_eq(sends(0xff52, 0), "\033[A");
	cr_expect_str_eq(sends(0xff97, 0), "\033[A", "of the keypad");
	cr_expect_str_eq(sends(0xffb7, 0), "7");
	cr_expect_str_eq(sends(0xff8d, 0), "\r");
	cr_expect_str_eq(sends(0xffff, 0), "\033[3~");
	cr_expect_str_eq(sends(0xff55, 0), "\033[5~");
	cr_expect_str_eq(sends(0xffbe, 0), "\033OP");
	cr_expect_str_eq(sends(0xffc9, 0), "\033[24~");
	cr_expect_str_eq(sends(0xffe1, 0), "", "Shift alone");
	sends('@', HOLD_CTRL);
	cr_expect(n_typed == 1 && typed[0] == 0);
}

/* As resize(1) finds out how large the terminal of a serial line is. */
Test(consoles, programs_may_ask_where_the_cursor_is)
{
	struct chr *c = add("serial0", "vc:100Cx30C");

	chr_attach(c, &front, NULL);
	open_all();
	say(c, "\033[5n");
	say(c, "\033[999;999H\033[6n\033[2;3H\033[6n\033[7n");
	for (int i = 0; i < 3; i++)
		turn();
	cr_expect_eq(n_typed, 4 + 9 + 6);
	cr_expect(!memcmp(typed, "\033[0n\033[30;100R\033[2;3R", 19));
}

Test(consoles, page_up_looks_back_and_typing_returns)
{
	struct chr *c = add("serial0", "vc:20Cx4C");

	chr_attach(c, &front, NULL);
	open_all();
	cr_expect_str_eq(row(1, 0), "serial0 console");
	say(c, "\033c1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7");
	cr_expect_eq(n_told, 1);
	cr_expect_str_eq(row(1, 0), "4");
	cr_expect_eq(consoles_view(consoles, 1).y, 3);
	cr_expect_str_eq(sends(0xff55, HOLD_SHIFT), "");
	cr_expect_str_eq(row(1, 0), "2");
	cr_expect_str_eq(row(1, 3), "5");
	cr_expect_eq(consoles_view(consoles, 1).x, -1, "the cursor is below");
	say(c, "\r\n8\r\n9");
	cr_expect_str_eq(row(1, 0), "2", "new rows do not move the view");
	cr_expect_str_eq(sends(0xff52, HOLD_CTRL), "");
	cr_expect_str_eq(row(1, 0), "1");
	sends(0xff55, HOLD_CTRL);
	cr_expect_str_eq(row(1, 0), "1", "there is no more");
	cr_expect_str_eq(sends('x', 0), "x");
	cr_expect_str_eq(row(1, 0), "6");
	consoles_scroll(consoles, 1, 3);
	cr_expect_str_eq(row(1, 0), "3");
	consoles_scroll(consoles, 1, -9);
	cr_expect_str_eq(row(1, 0), "6");
}

Test(consoles, a_stream_that_goes_leaves_its_page)
{
	struct chr *c = add("serial0", "vc");

	open_all();
	say(c, "so long");
	chr_free_all(b.m);
	turn();
	turn();
	cr_expect_str_eq(row(1, 1), "so long");
	consoles_resize(consoles, 40, 10);
	consoles_key(consoles, 1, 'x', 0);
	cr_expect_str_eq(row(1, 1), "so long");
}
