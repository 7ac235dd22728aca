/* ui/text_page.c and ui/font.c: what consoles look like, and that only what changes is drawn. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/chr.h"
#include "hw/core/loop.h"
#include "tests/bench.h"
#include "ui/font.h"
#include "ui/text_page.h"

static struct bench b;
static struct consoles *consoles;
static struct chr *stream;
static struct text_page page;
static int first_row, n_rows;
static bool resized;

static void setup(void)
{
	bench_machine(&b);
	cr_assert(loop_new(b.m, &b.err), "%s", b.err.msg);
	stream = chr_new(b.m, "serial0", "vc:20Cx3C", &b.err);
	cr_assert(stream, "%s", b.err.msg);
	consoles = consoles_new(b.m, &b.err);
	cr_assert(consoles, "%s", b.err.msg);
}

static void teardown(void)
{
	text_page_fini(&page);
	consoles_free(consoles);
	chr_free_all(b.m);
}

TestSuite(text_page, .init = setup, .fini = teardown);

static void rows(void *opaque, int first, int n)
{
	(void)opaque;
	first_row = n_rows ? first_row : first;
	n_rows += n;
}

static void draw(void)
{
	n_rows = 0;
	cr_assert(text_page_draw(&page, consoles, 1, &resized, rows, NULL));
}

static void say(const char *text)
{
	chr_puts(stream, text);
	chr_flush_all(b.m);
	for (int i = 0; i < 3; i++) {
		machine_unlock(b.m);
		loop_step(b.m->loop, 0);
		machine_lock(b.m);
	}
}

static uint32_t pixel(int column, int row, int x, int y)
{
	return page.s.px[(row * FONT_H + y) * page.s.w + column * FONT_W + x];
}

/* Does the cell show this character in these colours? */
static bool shows(int column, int row, uint32_t ch, uint32_t ink, uint32_t paper)
{
	uint8_t glyph[FONT_H];

	font_glyph(ch, glyph);
	for (int y = 0; y < FONT_H; y++)
		for (int x = 0; x < FONT_W; x++)
			if (pixel(column, row, x, y) != (glyph[y] >> (7 - x) & 1 ? ink : paper))
				return false;
	return true;
}

Test(text_page, characters_have_their_colours_and_the_cursor_is_seen)
{
	say("\033ca\033[1;31mb\033[0;44mc\033[0m");
	draw();
	cr_expect(resized);
	cr_expect_eq(page.s.w, 160);
	cr_expect_eq(page.s.h, 48);
	cr_expect_eq(n_rows, 48);
	cr_expect(shows(0, 0, 'a', 0xaaaaaa, 0));
	cr_expect(shows(1, 0, 'b', 0xff5555, 0));
	cr_expect(shows(2, 0, 'c', 0xaaaaaa, 0x0000aa));
	cr_expect(shows(3, 0, ' ', 0, 0xaaaaaa), "the cursor");
	cr_expect(shows(4, 0, ' ', 0xaaaaaa, 0));
	say("\033[?25l");
	draw();
	cr_expect(shows(3, 0, ' ', 0xaaaaaa, 0), "it is hidden");
}

Test(text_page, rows_that_do_not_change_are_not_drawn)
{
	say("\033c1\r\n2\r\n");
	draw();
	draw();
	cr_expect_not(resized);
	cr_expect_eq(n_rows, 0);
	say("x");
	draw();
	cr_expect_eq(n_rows, FONT_H);
	cr_expect_eq(first_row, 2 * FONT_H);
	say("\033[1;5H");
	draw();
	cr_expect_eq(n_rows, 2 * FONT_H, "where the cursor was, and where it is");
}

static bool same(uint32_t c, uint32_t d)
{
	uint8_t one[FONT_H], other[FONT_H];

	font_glyph(c, one);
	font_glyph(d, other);
	return !memcmp(one, other, FONT_H);
}

Test(text_page, every_printable_character_has_a_shape_of_its_own)
{
	for (uint32_t i = ' '; i <= 0xff; i++) {
		if (i >= 0x7f && i < 0xc0)
			continue;
		for (uint32_t k = ' '; k < i && i <= '~'; k++)
			cr_expect_not(same(i, k), "%c and %c", (char)i, (char)k);
		cr_expect(i == ' ' || !same(i, ' '), "U+%02x is blank", i);
		cr_expect(strchr("\xc6\xd0\xd8\xf7\xde\xe6\xf0\xf8\xfe", (int)i) || !same(i, 0xffff), "U+%02x is a box", i);
	}
}

Test(text_page, characters_without_a_shape_are_what_comes_near_or_a_box)
{
	cr_expect(same(0x2019, '\''));
	cr_expect(same(0x2551, 0x2502));
	cr_expect(same(0, ' '));
	cr_expect_not(same(0x4e00, ' '));
	cr_expect(same(0x4e00, 0x10ffff));
	cr_expect(same(0x2588, 0x2588));
	for (uint32_t ch = 0; ch < 0x30000; ch++) {
		uint8_t rows[FONT_H];

		font_glyph(ch, rows);
	}
}

Test(text_page, lines_meet)
{
	uint8_t across[FONT_H], along[FONT_H], corner[FONT_H];

	font_glyph(0x2500, across);
	font_glyph(0x2502, along);
	font_glyph(0x250c, corner);
	for (int y = 0; y < FONT_H; y++) {
		cr_expect_eq(across[y], y == 7 ? 0xff : 0);
		cr_expect_eq(along[y], 0x18);
		cr_expect_eq(corner[y], y < 7 ? 0 : y == 7 ? 0x1f : 0x18);
	}
}
