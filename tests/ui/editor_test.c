/* ui/editor*.c: what is typed, and what a person at a terminal (ui/vt.h) sees of it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "config.h"
#include "hw/core/chr.h"
#include "ui/editor.h"
#include "ui/monitor_complete.h"
#include "ui/vt.h"

static struct vt screen;
static struct editor *ed;
static size_t shown;			/* bytes in all */

static void show(void *opaque, const char *text, size_t n)
{
	(void)opaque;
	shown += n;
	for (; n--; text++)
		vt_write(&screen, *text == '\n' ? "\r\n" : text, *text == '\n' ? 2 : 1);
}

static void offer(void *opaque, const char *line, struct completion *c)
{
	static const char *const words[] = { "start", "status", "stop" };
	const char *last = strrchr(line, ' ');

	(void)opaque;
	snprintf(c->stem, sizeof(c->stem), "%s", last ? last + 1 : line);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strncmp(words[i], c->stem, strlen(c->stem)))
			c->word[c->n++] = strdup(words[i]);
}

static const struct editor_user user = { show, offer };

static void setup(void)
{
	cr_assert(vt_init(&screen, 40, 8));
	ed = editor_new("> ", &user, NULL);
	cr_assert(ed);
	editor_set_terminal(ed, &(struct chr_terminal){ "xterm", 40, 8 });
	editor_begin(ed);
}

static void teardown(void)
{
	editor_free(ed);
	vt_fini(&screen);
}

TestSuite(editor, .init = setup, .fini = teardown);

/* The last whole line that comes of it; "" if none does. */
static const char *type(const char *keys)
{
	static char line[EDITOR_LINE];

	*line = 0;
	for (; *keys; keys++) {
		const char *got = editor_type(ed, (uint8_t)*keys);

		if (!got)
			continue;
		snprintf(line, sizeof(line), "%s", got);
		editor_begin(ed);
	}
	return line;
}

static const char *row(int y)
{
	static char text[200];
	int n = 0;

	for (int x = 0; x < screen.w; x++)
		text[x] = (char)(screen.cell[y * screen.w + x].ch ?: ' ');
	for (int x = 0; x < screen.w; x++)
		n = text[x] == ' ' ? n : x + 1;
	text[n] = 0;
	return text;
}

Test(editor, a_line_is_what_was_typed_and_another_begins)
{
	cr_assert_str_eq(type("one"), "");
	cr_assert_str_eq(row(0), "> one");
	cr_assert_str_eq(type("\r"), "one");
	cr_assert_str_eq(type("two\n"), "two");
	cr_assert_str_eq(row(1), "> two");
	cr_assert_str_eq(row(2), ">");
}

Test(editor, backspace_takes_characters_not_bytes)
{
	cr_assert_str_eq(type("a\303\244\303\266\x7f" "b\b\rx"), "a\303\244");
}

Test(editor, others_may_write_between)
{
	type("half");
	show(NULL, "\nsomething\n", 11);
	editor_show(ed);
	cr_assert_str_eq(row(2), "> half");
	cr_assert_str_eq(type("\r"), "half");
}

Test(editor, a_new_line_gives_up_the_one_under_way)
{
	type("half");
	editor_begin(ed);
	cr_assert_str_eq(type("x\r"), "x");
}

Test(editor, lines_have_an_end)
{
	for (int i = 0; i < 5000; i++)
		cr_assert_not(editor_type(ed, 'x'));
	cr_assert_eq(strlen(type("\r")), EDITOR_LINE - 1);
}

#ifdef CONFIG_LIBEDIT

static void resize(int columns, int rows)
{
	vt_resize(&screen, columns, rows);
	editor_set_terminal(ed, &(struct chr_terminal){ "xterm", columns, rows });
}

Test(editor, what_is_no_character_is_left_out)
{
	cr_assert_str_eq(type("a\377\303" "bc\r"), "ac");
}

Test(editor, keys_move_and_erase)
{
	static const char *const keys[][2] = {
		{ "bc\001a\005d\r", "abcd" },
		{ "ac\002b\006d\r", "abcd" },
		{ "ac\033[Db\033[Cd\r", "abcd" },
		{ "bc\033[Ha\033[Fd\r", "abcd" },
		{ "bc\033[1~a\033[4~d\r", "abcd" },
		{ "bc\033OHa\033OFd\r", "abcd" },
		{ "abcd\002\002\013\r", "ab" },
		{ "abcd\002\002\025\r", "cd" },
		{ "abcd\002\033[3~\r", "abc" },
		{ "abcd\002\004\r", "abc" },
		{ "go to /a/b\027c\r", "go to c" },
		{ "one two\001\013three \031\r", "three one two" },
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		cr_expect_str_eq(type(keys[i][0]), keys[i][1], "%zu", i);
}

Test(editor, what_is_seen_is_the_line)
{
	type("wrong words");
	type("\027\027right\001all \033[C\033[C\004");
	cr_assert_str_eq(row(0), "> all riht");
	cr_assert_eq(screen.x, 8);
}

Test(editor, control_c_leaves_the_line)
{
	cr_assert_str_eq(type("no\003"), "");
	cr_assert_str_eq(type("yes\r"), "yes");
	cr_assert_str_eq(row(0), "> no");
	cr_assert_str_eq(row(1), "> yes");
	cr_assert_str_eq(type("\033[A\033[A\r"), "yes", "it is not remembered");
}

Test(editor, lines_before_come_back)
{
	type("one\rtwo\rtwo\rthree\r");
	cr_assert_str_eq(type("\033[A\033[A\r"), "two");
	cr_assert_str_eq(type("\020\020\020\020\r"), "one");
	cr_assert_str_eq(type("ne\020\016w\r"), "new");
	cr_assert_str_eq(type("\033OA\r"), "new");
}

Test(editor, only_so_many_lines_are_remembered)
{
	char line[20], ups[4 * 100] = "";

	for (int i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "line %d\r", i);
		type(line);
		strcat(ups, "\033[A");
	}
	type(ups);
	cr_assert_str_eq(type("\r"), "line 36");
}

Test(editor, what_is_remembered_can_be_listed)
{
	cr_assert_null(editor_remembered(ed, 0));
	type("one\rtwo\rnot this");
	cr_assert_str_eq(editor_remembered(ed, 0), "one");
	cr_assert_str_eq(editor_remembered(ed, 1), "two");
	cr_assert_null(editor_remembered(ed, 2));
}

Test(editor, control_r_searches_the_lines_before)
{
	type("info status\rprint 1\rinfo version\r");
	cr_assert_str_eq(type("\022stat"), "");
	cr_assert_str_eq(row(3), "> info status");
	cr_assert_str_eq(row(4), "bck:stat");
	cr_assert_str_eq(type("\r"), "info status");
	cr_assert_str_eq(row(3), "> info status");
	cr_assert_str_eq(type("\022info\022\r"), "info version");
	cr_assert_str_eq(type("keep\022print\007\025x\r"), "x");
}

Test(editor, tab_completes_a_word)
{
	type("x sto\t");
	cr_assert_str_eq(row(0), "> x stop");
	cr_assert_eq(screen.x, 9);
	cr_assert_str_eq(type("y s\ta\tt\t\r"), "x stop y status ");
}

Test(editor, tab_lists_what_there_is_and_the_line_again)
{
	type("x st\t");
	cr_assert_str_eq(row(0), "> x st");
	cr_assert_str_eq(row(1), "start   status  stop");
	cr_assert_str_eq(row(2), "> x st");
	cr_assert_str_eq(type("op\r"), "x stop");
}

Test(editor, long_lines_wrap_and_follow_the_terminals_size)
{
	type("0123456789 123456789 123456789 123456789 123456789");
	cr_assert_str_eq(row(0), "> 0123456789 123456789 123456789 1234567");
	cr_assert_str_eq(row(1), "89 123456789");
	type("\001x");
	cr_assert_str_eq(row(0), "> x0123456789 123456789 123456789 123456");
	cr_assert_str_eq(row(1), "789 123456789");
	type("\003");
	resize(20, 8);
	type("0123456789 123456789 123456789");
	cr_assert_str_eq(row(screen.y - 1), "> 0123456789 1234567");
	cr_assert_str_eq(row(screen.y), "89 123456789");
}

Test(editor, a_terminal_may_change_while_a_line_is_typed)
{
	type("0123456789 123456789");
	resize(60, 8);
	type(" 123456789 123456789 123");
	cr_assert_str_eq(row(0), "> 0123456789 123456789 123456789 123456789 123");
	type("\001\013");
	cr_assert_str_eq(row(0), ">");
}

/* libedit itself writes beyond its rows then. */
Test(editor, a_line_may_be_larger_than_the_screen)
{
	static const char *const keys[] = { "\001\005x\026\n", "\022a\007", "\001\013\031\031", "\033[A\033[B", "\b\002y" };
	char line[600];

	for (int w = 2; w < 30; w += 3) {
		resize(w, 2);
		memset(line, 'a', sizeof(line) - 1);
		line[sizeof(line) - 1] = 0;
		type(line);
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			type(keys[i]);
		type("\r");
	}
	cr_assert_str_eq(type("\025x\r"), "x");
}

Test(editor, nobody_knows_the_terminal_then_nothing_but_the_line_is_sent)
{
	editor_set_terminal(ed, &(struct chr_terminal){ 0 });
	editor_begin(ed);
	shown = 0;
	for (int i = 0; i < 500; i++)
		editor_type(ed, 'x');
	type(" stat\t");
	cr_assert_eq(shown, 500 + strlen(" status "));
}

/* Each byte of a search is a call inside another. */
Test(editor, searching_has_an_end)
{
	type("aaaa\r");
	for (int i = 0; i < 100000; i++)
		editor_type(ed, i ? '\022' : 'a') ? editor_begin(ed) : (void)0;
	editor_begin(ed);
	cr_assert_str_eq(type("x\r"), "x");
}

Test(editor, counts_and_cutting_do_not_let_a_line_grow)
{
	type("\03399999\0339x");
	cr_assert_str_eq(row(0), "> 9999x");
	type("\025");
	for (int i = 0; i < 1000; i++)
		type("0123456789\001\013\031\031\031\031");
	cr_assert_leq(shown, 20u << 20);
	type("\025");
	cr_assert_str_eq(type("x\r"), "x");
}

Test(editor, any_bytes_do_no_harm)
{
	uint32_t x = 12345;

	for (int i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		if (editor_type(ed, x >> 28 ? (uint8_t)(x >> 20) & 0x1f : (uint8_t)(x >> 20)))
			editor_begin(ed);
		if (!(i % 5000))
			resize(2 + (int)(x >> 24) % 100, 1 + (int)(x >> 16) % 30);
	}
	editor_begin(ed);
	cr_assert_str_eq(type("x\r"), "x");
}

#endif
