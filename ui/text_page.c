/*
 * Text consoles as pictures (contract in ui/text_page.h).
 *
 * Not modelled: a cursor that blinks.
 * Source: IBM VGA, for the sixteen colours.
 */
#include "ui/text_page.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

static const uint32_t colours[16] = {
	0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa, 0xaa5500, 0xaaaaaa,
	0x555555, 0x5555ff, 0x55ff55, 0x55ffff, 0xff5555, 0xff55ff, 0xffff55, 0xffffff,
};

static void draw_cell(struct text_page *p, int x, int y, struct vt_cell c, bool cursor)
{
	uint32_t ink = colours[c.attr & 15], paper = colours[c.attr >> 4 & 7];
	uint32_t *to = p->s.px + (size_t)y * FONT_H * (size_t)p->s.w + (size_t)x * FONT_W;
	uint8_t other[FONT_H], *glyph = c.ch < ARRAY_LEN(p->ascii) ? p->ascii[c.ch] : other;

	if (cursor) {
		paper = ink;
		ink = colours[c.attr >> 4 & 7];
	}
	if (glyph == other)
		font_glyph(c.ch, glyph);
	for (int dy = 0; dy < FONT_H; dy++, to += p->s.w)
		for (int dx = 0; dx < FONT_W; dx++)
			to[dx] = glyph[dy] >> (7 - dx) & 1 ? ink : paper;
}

static void draw_row(struct text_page *p, int y, const struct vt_cell *cells, int cursor)
{
	for (int x = 0; x < p->w; x++)
		draw_cell(p, x, y, cells[x], x == cursor);
}

/* Which column of row y has the cursor; -1: none. */
static int cursor_in(const struct console_view *v, int y)
{
	return v->x >= 0 && v->y == y ? v->x : -1;
}

static bool fit(struct text_page *p, const struct console_view *v, bool *resized)
{
	struct vt_cell *cell;

	*resized = p->w != v->w || p->h != v->h;
	if (!*resized)
		return true;
	for (uint32_t ch = 0; ch < ARRAY_LEN(p->ascii); ch++)
		font_glyph(ch, p->ascii[ch]);
	cell = calloc((size_t)v->w * (size_t)v->h, sizeof(*cell));
	if (!cell || !surface_resize(&p->s, v->w * FONT_W, v->h * FONT_H)) {
		free(cell);
		return false;
	}
	free(p->cell);
	p->cell = cell;
	p->w = v->w;
	p->h = v->h;
	return true;
}

/* Cells have padding. */
static bool same_cells(const struct vt_cell *a, const struct vt_cell *b, int n)
{
	for (int i = 0; i < n; i++)
		if (a[i].ch != b[i].ch || a[i].attr != b[i].attr)
			return false;
	return true;
}

bool text_page_draw(struct text_page *p, const struct consoles *c, int n, bool *resized,
		    void (*rows)(void *opaque, int first, int n), void *opaque)
{
	struct console_view v = consoles_view(c, n);

	if (!fit(p, &v, resized))
		return false;
	for (int y = 0; y < p->h; y++) {
		const struct vt_cell *cells = consoles_row(c, n, y);
		struct vt_cell *before = p->cell + (size_t)y * (size_t)p->w;
		int cursor = cursor_in(&v, y);

		if (!*resized && cursor == cursor_in(&p->view, y) && same_cells(cells, before, p->w))
			continue;
		memcpy(before, cells, (size_t)p->w * sizeof(*cells));
		draw_row(p, y, cells, cursor);
		rows(opaque, y * FONT_H, FONT_H);
	}
	p->view = v;
	return true;
}

void text_page_fini(struct text_page *p)
{
	surface_fini(&p->s);
	free(p->cell);
}
