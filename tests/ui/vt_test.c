/* The text terminal: what programs write, and the page it gives. */
#include "ui/vt.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The page as text, rows divided by '|', without blanks at their ends. */
static const char *page(const struct vt *t)
{
	static char out[4096];
	size_t n = 0;

	for (int y = 0; y < t->h; y++) {
		size_t end = n;

		for (int x = 0; x < t->w; x++) {
			uint32_t ch = t->cell[y * t->w + x].ch;

			out[n++] = ch ? (char)(ch < 0x80 ? ch : '?') : ' ';
			if (ch && ch != ' ')
				end = n;
		}
		n = end;
		out[n++] = '|';
	}
	out[n] = 0;
	return out;
}

static struct vt write(const char *text)
{
	struct vt t;

	cr_assert(vt_init(&t, 10, 4));
	vt_write(&t, text, strlen(text));
	return t;
}

#define PAGE(text, expected) do {								\
	struct vt t = write(text);								\
	cr_expect_str_eq(page(&t), expected, "%s: %s", text, page(&t));				\
	vt_fini(&t);										\
} while (0)

Test(vt, text_wraps_and_scrolls)
{
	PAGE("hello", "hello||||");
	PAGE("0123456789", "0123456789||||");
	PAGE("0123456789a", "0123456789|a|||");
	PAGE("1\r\n2\r\n3\r\n4\r\n5", "2|3|4|5|");
	PAGE("a\tb\bc", "a       c||||");
	PAGE("abc\rX", "Xbc||||");
}

Test(vt, the_cursor_moves)
{
	PAGE("\033[2;3Hx\033[4;1Hy", "|  x||y|");
	PAGE("\033[99;99Hz", "|||         z|");
	PAGE("abc\033[2DX\033[BY\033[AZ", "aXcZ|  Y|||");
	PAGE("a\0337bc\0338X", "aXc||||");
	PAGE("\033[3dk\033[5Gm", "||k   m||");
}

Test(vt, parts_are_erased_and_moved)
{
	PAGE("abcdef\033[3D\033[K", "abc||||");
	PAGE("abcdef\033[3D\033[1K", "    ef||||");
	PAGE("ab\r\ncd\033[2J", "||||");
	PAGE("ab\r\ncd\r\nef\033[2;1H\033[J", "ab||||");
	PAGE("abcdef\033[1;2H\033[2P", "adef||||");
	PAGE("abcdef\033[1;2H\033[2@", "a  bcdef||||");
	PAGE("abcdef\033[1;2H\033[2X", "a  def||||");
	PAGE("1\r\n2\r\n3\033[1;1H\033[L", "|1|2|3|");
	PAGE("1\r\n2\r\n3\033[1;1H\033[M", "2|3|||");
}

Test(vt, a_part_scrolls)
{
	PAGE("1\r\n2\r\n3\r\n4\033[2;3r\033[3;1H\n", "1|3||4|");
	PAGE("1\r\n2\r\n3\r\n4\033[2;3r\033[2;1H\033M", "1||2|4|");
}

Test(vt, colours_are_those_of_vga)
{
	struct vt t = write("a\033[31mb\033[1;44mc\033[7md\033[0me\033[38;5;200mf\033[92mg");

	cr_expect_eq(t.cell[0].attr, 0x07);
	cr_expect_eq(t.cell[1].attr, 0x04);
	cr_expect_eq(t.cell[2].attr, 0x1c);
	cr_expect_eq(t.cell[3].attr, 0x49);
	cr_expect_eq(t.cell[4].attr, 0x07);
	cr_expect_eq(t.cell[5].attr, 0x07);
	cr_expect_eq(t.cell[6].attr, 0x0a);
	vt_fini(&t);
}

Test(vt, bytes_beyond_ascii_are_utf8)
{
	struct vt t = write("\xe2\x94\x80\xc3\xa4\xe4x");

	cr_expect_eq(t.cell[0].ch, 0x2500);
	cr_expect_eq(t.cell[1].ch, 0xe4);
	vt_fini(&t);
}

/* They would be the terminal's own: U+009B begins a control sequence. */
Test(vt, control_characters_beyond_ascii_are_no_text)
{
	PAGE("a\xc2\x9b" "c", "ac||||");
	PAGE("a\x9b" "c\x84", "ac||||");
	PAGE("a\xe0\x82\x9b" "c\xc1\xbf", "ac??||||");
	PAGE("a\xe0\x80\x9b" "c\xe0\x81\xbf", "ac||||");
}

Test(vt, titles_and_unknown_sequences_are_no_text)
{
	PAGE("\033]0;title\007a\033(Bb\033[?25lc\033]2;x\033\\d\033[5ne", "abcde||||");
}

Test(vt, another_size_keeps_what_fits)
{
	struct vt t = write("one\r\ntwo\r\nthree");

	cr_assert(vt_resize(&t, 3, 2));
	cr_expect_str_eq(page(&t), "two|thr|");
	cr_assert(vt_resize(&t, 6, 3));
	vt_write(&t, "X", 1);
	cr_expect_str_eq(page(&t), "two|thX||", "%s", page(&t));
	vt_fini(&t);
}

/* Row y as text, without blanks at its end. */
static const char *line(const struct vt *t, int y)
{
	static char out[100];
	const struct vt_cell *c = vt_row(t, y);
	int n = 0;

	for (int x = 0; x < t->w; x++) {
		out[x] = c[x].ch ? (char)c[x].ch : ' ';
		n = out[x] == ' ' ? n : x + 1;
	}
	out[n] = 0;
	return out;
}

static void add(struct vt *t, const char *text)
{
	vt_write(t, text, strlen(text));
}

Test(vt, rows_that_went_out_at_the_top_are_kept)
{
	struct vt t;

	cr_assert(vt_init(&t, 10, 2));
	cr_assert(vt_keep(&t, 3));
	add(&t, "one\r\ntwo\r\nthree\r\nfour");
	cr_expect_eq(t.n_past, 2);
	cr_expect_str_eq(line(&t, -2), "one");
	cr_expect_str_eq(line(&t, -1), "two");
	cr_expect_str_eq(line(&t, 0), "three");
	add(&t, "\r\nfive\r\nsix\r\nseven");
	cr_expect_eq(t.n_past, 3);
	cr_expect_eq(t.kept, 5);
	cr_expect_str_eq(line(&t, -3), "three");
	cr_expect_str_eq(line(&t, -1), "five");
	cr_assert(vt_resize(&t, 4, 3));
	cr_expect_str_eq(line(&t, -3), "thre");
	cr_expect_str_eq(line(&t, -1), "five");
	cr_assert(vt_resize(&t, 12, 3));
	cr_expect_str_eq(line(&t, -2), "four");
	add(&t, "\033[2;3r\033[3;1H\n\n");
	cr_expect_str_eq(line(&t, -1), "five", "rows that scroll below others are gone");
	vt_fini(&t);
}

Test(vt, nothing_leaves_the_page)
{
	struct vt t;

	srand(1);
	cr_assert(vt_init(&t, 7, 3));
	cr_assert(vt_keep(&t, 5));
	for (int i = 0; i < 300000; i++) {
		static const char some[] = "\033[;?0123456789ABCDHJKLMPX@STrsumhl\r\n\b\t78c";
		char c = rand() % 3 ? some[rand() % (int)(sizeof(some) - 1)] : (char)rand();

		vt_write(&t, &c, 1);
		if (i % 1000 == 0)
			cr_assert(vt_resize(&t, 1 + rand() % 9, 1 + rand() % 5));
		cr_assert(t.x >= 0 && t.x <= t.w && t.y >= 0 && t.y < t.h);
	}
	vt_fini(&t);
}
