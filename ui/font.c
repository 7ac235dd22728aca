/*
 * Letters (contract in ui/font.h): those of ui/font.def, letters with accents made of two parts, and lines
 * and blocks by what they are.
 *
 * Not modelled: double and heavy lines (they are plain), broken and diagonal ones; scripts other than Latin.
 * Source: Unicode, "Latin-1 Supplement", "Box Drawing", "Block Elements".
 */
#include "ui/font.h"

#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "ui/cp437.h"

#define SIDE_BY_SIDE	8

static const char *const drawn[] = {
#include "ui/font.def"
};

/* Those that follow ASCII in ui/font.def. */
static const uint16_t others[] = { 0xdf, 0xb0, 0xb5, 0xa7, 0xd7, 0x2022, 0x20ac, 0x2192, 0x2190 };

#define N_ASCII	('~' - ' ' + 1)
_Static_assert(ARRAY_LEN(drawn) == (N_ASCII + ARRAY_LEN(others)) / SIDE_BY_SIDE * FONT_H, "whole bands");

static void take_drawn(size_t i, uint8_t rows[FONT_H])
{
	for (int y = 0; y < FONT_H; y++) {
		const char *p = drawn[i / SIDE_BY_SIDE * FONT_H + (size_t)y] + i % SIDE_BY_SIDE * FONT_W;

		rows[y] = 0;
		for (int x = 0; x < FONT_W; x++)
			rows[y] |= p[x] == '#' ? 0x80 >> x : 0;
	}
}

static bool is_drawn(uint32_t ch, size_t *i)
{
	*i = ch - ' ';
	if (ch >= ' ' && ch <= '~')
		return true;
	for (size_t k = 0; k < ARRAY_LEN(others); k++)
		if (others[k] == ch) {
			*i = N_ASCII + k;
			return true;
		}
	return false;
}

/* ---- letters with accents ---- */

/* U+00C0 .. U+00DF, and as small letters U+00E0 .. U+00FF: the letter, and what stands above (or below) it. */
static const char bases[] = "AAAAAA CEEEEIIII NOOOOO  UUUUY  ", marks[] = "`'^~:o ,`'^:`'^: ~`'^~:  `'^:'  ";
static const struct { char mark; uint8_t rows[2]; } accents[] = {
	{ '`', { 0x30, 0x18 } }, { '\'', { 0x18, 0x30 } }, { '^', { 0x38, 0x6c } }, { '~', { 0x76, 0xdc } },
	{ ':', { 0x6c, 0x00 } }, { 'o', { 0x28, 0x38 } }, { ',', { 0x18, 0x30 } },
};
enum { CAPITAL_ACCENT = 0, SMALL_ACCENT = 2, SMALL_TOP = 5, CEDILLA = 12 };

static bool accented(uint32_t ch, uint8_t rows[FONT_H])
{
	bool small = ch >= 0xe0;
	unsigned i = ch & 31;
	char base = ch == 0xff ? 'Y' : bases[i], mark = ch == 0xff ? ':' : marks[i];
	int at = mark == ',' ? CEDILLA : small ? SMALL_ACCENT : CAPITAL_ACCENT;

	if (ch < 0xc0 || ch > 0xff || base == ' ')
		return false;
	take_drawn((size_t)(base - ' ' + (small ? 'a' - 'A' : 0)), rows);
	for (int y = 0; y < SMALL_TOP && small && mark != ','; y++)
		rows[y] = 0;			/* the dot of the i */
	for (size_t k = 0; k < ARRAY_LEN(accents); k++)
		if (accents[k].mark == mark)
			memcpy(rows + at, accents[k].rows, sizeof(accents[k].rows));
	return true;
}

/* ---- lines and blocks ---- */

enum { UP = 1, DOWN = 2, LEFT = 4, RIGHT = 8, ACROSS = LEFT | RIGHT, ALONG = UP | DOWN };

/* Where lines go from the middle: characters up to `last`, from that of the row before on. */
static const struct { uint16_t last; uint8_t to; } lines[] = {
	{ 0x24ff, 0 }, { 0x2501, ACROSS }, { 0x2503, ALONG }, { 0x2505, ACROSS }, { 0x2507, ALONG }, { 0x2509, ACROSS },
	{ 0x250b, ALONG }, { 0x250f, DOWN | RIGHT }, { 0x2513, DOWN | LEFT }, { 0x2517, UP | RIGHT }, { 0x251b, UP | LEFT },
	{ 0x2523, ALONG | RIGHT }, { 0x252b, ALONG | LEFT }, { 0x2533, ACROSS | DOWN }, { 0x253b, ACROSS | UP },
	{ 0x254b, ACROSS | ALONG }, { 0x254d, ACROSS }, { 0x254f, ALONG }, { 0x2550, ACROSS }, { 0x2551, ALONG },
	{ 0x2554, DOWN | RIGHT }, { 0x2557, DOWN | LEFT }, { 0x255a, UP | RIGHT }, { 0x255d, UP | LEFT }, { 0x2560, ALONG | RIGHT },
	{ 0x2563, ALONG | LEFT }, { 0x2566, ACROSS | DOWN }, { 0x2569, ACROSS | UP }, { 0x256c, ACROSS | ALONG },
	{ 0x256d, DOWN | RIGHT }, { 0x256e, DOWN | LEFT }, { 0x256f, UP | LEFT }, { 0x2570, UP | RIGHT }, { 0x2573, 0 },
	{ 0x2574, LEFT }, { 0x2575, UP }, { 0x2576, RIGHT }, { 0x2577, DOWN },
};
#define MIDDLE		7		/* the row of lines across */
#define STEM		0x18		/* the columns of those along */

static bool line(uint32_t ch, uint8_t rows[FONT_H])
{
	unsigned to = 0;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (ch <= lines[i].last) {
			to = lines[i].to;
			break;
		}
	for (int y = 0; y < FONT_H; y++)
		rows[y] = (y <= MIDDLE && to & UP) || (y >= MIDDLE && to & DOWN) ? STEM : 0;
	rows[MIDDLE] |= (uint8_t)((to & LEFT ? 0xf8 : 0) | (to & RIGHT ? 0x1f : 0));
	return to;
}

static bool block(uint32_t ch, uint8_t rows[FONT_H])
{
	for (int y = 0; y < FONT_H; y++)
		switch (ch) {
		case 0x2580: rows[y] = y < FONT_H / 2 ? 0xff : 0; break;
		case 0x2581 ... 0x2588: rows[y] = y >= FONT_H - 2 * (int)(ch - 0x2580) ? 0xff : 0; break;
		case 0x2589 ... 0x258f: rows[y] = (uint8_t)(0xff << (ch - 0x2588)); break;
		case 0x2590: rows[y] = 0x0f; break;
		case 0x2591: rows[y] = y & 1 ? 0x44 : 0x11; break;
		case 0x2592: rows[y] = y & 1 ? 0xaa : 0x55; break;
		case 0x2593: rows[y] = y & 1 ? 0xdd : 0x77; break;
		case 0x25a0: rows[y] = y >= 4 && y < 12 ? 0x7e : 0; break;
		default: return false;
		}
	return true;
}

/* ---- all ---- */

/* Typographers' marks that programs put into plain messages. */
static const struct { uint16_t ch; char near; } nears[] = {
	{ 0xa0, ' ' }, { 0x2010, '-' }, { 0x2011, '-' }, { 0x2012, '-' }, { 0x2013, '-' }, { 0x2014, '-' }, { 0x2018, '\'' },
	{ 0x2019, '\'' }, { 0x201c, '"' }, { 0x201d, '"' }, { 0x2026, '.' }, { 0x25cf, '*' }, { 0x2713, 'v' },
};

/* 0: nothing does. */
static char near_ascii(uint32_t ch)
{
	for (size_t i = 0; i < ARRAY_LEN(nears); i++)
		if (nears[i].ch == ch)
			return nears[i].near;
	for (int i = 0; i < 256; i++)
		if (cp437[i] == ch && cp437_ascii((uint8_t)i) != '?')
			return cp437_ascii((uint8_t)i);
	return 0;
}

static void box(uint8_t rows[FONT_H])
{
	for (int y = 0; y < FONT_H; y++)
		rows[y] = y < 2 || y > 11 ? 0 : y == 2 || y == 11 ? 0xfe : 0x82;
}

void font_glyph(uint32_t ch, uint8_t rows[FONT_H])
{
	size_t i;
	char near;

	if (is_drawn(ch < ' ' ? ' ' : ch, &i))
		take_drawn(i, rows);
	else if (!accented(ch, rows) && !line(ch, rows) && !block(ch, rows)) {
		near = near_ascii(ch);
		if (near)
			take_drawn((size_t)(near - ' '), rows);
		else
			box(rows);
	}
}
