/* The line below the picture: its letters, their size, its edges. */
#include "ui/foot.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct line {
	int w, h;
	uint32_t *px;
};

static struct line draw(int w, const char *text)
{
	struct line l = { w, foot_rows(w), NULL };

	l.px = calloc((size_t)w * (size_t)l.h + 1, sizeof(*l.px));
	l.px[w * l.h] = 0xabcdef;
	foot_draw(l.px, w, text);
	cr_expect_eq(l.px[w * l.h], 0xabcdef, "it ends where it should");
	return l;
}

/* Pixels unlike the paper in columns from .. to - 1. */
static int ink(const struct line *l, int from, int to)
{
	int n = 0;

	for (int y = 0; y < l->h; y++)
		for (int x = from; x < to && x < l->w; x++)
			n += l->px[y * l->w + x] != l->px[0];
	return n;
}

Test(foot, letters_look_like_themselves)
{
	struct line l = draw(320, "I");		/* small enough for a step of one */
	static const char *const want[] = {
		"......", "..###.", "...#..", "...#..", "...#..", "...#..", "...#..", "..###.", "......", "......",
	};

	cr_assert_eq(l.h, 10);
	for (int y = 0; y < l.h; y++)
		for (int x = 0; x < 6; x++)
			cr_expect_eq(l.px[y * l.w + x] != l.px[0], want[y][x] == '#', "%d %d", x, y);
	free(l.px);
}

Test(foot, all_of_ascii_is_there_and_no_two_letters_are_the_same)
{
	uint32_t seen['~' + 1][60];
	char text[2] = "";

	for (int c = ' '; c <= '~'; c++) {
		struct line l;

		text[0] = (char)c;
		l = draw(6, text);
		cr_expect_eq(ink(&l, 0, 6) > 0, c != ' ', "%c", c);
		for (int o = ' '; o < c; o++)
			cr_expect_neq(memcmp(seen[o], l.px, sizeof(seen[o])), 0, "%c is %c", c, o);
		memcpy(seen[c], l.px, sizeof(seen[c]));
		free(l.px);
	}
}

Test(foot, it_is_as_large_as_there_is_room)
{
	char text[200] = "tcg 97% | disk read 12.3M write 0 | net in 340 out 12";
	struct line l = draw(640, text);	/* 53 letters of 12 pixels */

	cr_expect_eq(l.h, 20);
	cr_expect(ink(&l, 630, 636) > 0, "the last letter ends at the right edge");
	free(l.px);
	strcat(text, " ....");
	l = draw(640, text);
	cr_expect_eq(l.h, 20);
	cr_expect_eq(ink(&l, 6 * 58, 640), 0);
	cr_expect(ink(&l, 6 * 57, 6 * 58) > 0);
	free(l.px);
}

Test(foot, what_is_too_long_is_left_off)
{
	char text[300];
	struct line l;

	memset(text, '#', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (int w = 1; w < 3000; w += 111) {
		l = draw(w, text);
		free(l.px);
	}
}

Test(foot, other_bytes_are_spaces)
{
	struct line l = draw(100, "\x80\xff\t\x7f\n");

	cr_expect_eq(ink(&l, 0, 100), 0);
	free(l.px);
}
