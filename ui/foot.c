/*
 * A line of text below the picture (contract in ui/foot.h): letters of five by eight pixels from
 * ui/glyphs.def, made larger in whole steps.
 */
#include "ui/foot.h"

#include <stdbool.h>
#include <string.h>

#define CELL_W		6
#define CELL_H		10
#define MAX_STEP	3
#define PAPER		0x202020
#define INK		0xd0d0d0

struct glyph {
	char c;
	const char *rows[8];
};

static const struct glyph glyphs[] = {
#define GLYPH(c, ...) { c, { __VA_ARGS__ } },
#include "ui/glyphs.def"
#undef GLYPH
};
_Static_assert(sizeof(glyphs) / sizeof(*glyphs) == '~' - ' ' + 1, "all of printable ASCII");

/* Pixels of the picture for one of a letter: wide pictures are mostly shown smaller. */
static int step_of(int w)
{
	int step = (w + 384) / 512;

	return step < 1 ? 1 : step > MAX_STEP ? MAX_STEP : step;
}

int foot_rows(int w)
{
	return CELL_H * step_of(w);
}

/* Is there ink at this pixel of the text, in letters' pixels? */
static bool is_inked(const char *text, size_t len, int x, int y)
{
	int column = x / CELL_W, dx = x % CELL_W - 1, dy = y - 1;
	unsigned char c;

	if (x < 0 || (size_t)column >= len || dx < 0 || dy < 0 || dy >= 8)
		return false;
	c = (unsigned char)text[column];
	return c >= ' ' && c <= '~' && glyphs[c - ' '].rows[dy][dx] == '#';
}

void foot_draw(uint32_t *px, int w, const char *text)
{
	size_t len = strlen(text);
	int rows = foot_rows(w), step = step_of(w), top;

	while (step > 1 && len * (size_t)(CELL_W * step) > (size_t)w)
		step--;
	top = (rows - CELL_H * step) / 2;
	for (int y = 0; y < rows; y++)
		for (int x = 0; x < w; x++)
			*px++ = y >= top && is_inked(text, len, x / step, (y - top) / step) ? INK : PAPER;
}
