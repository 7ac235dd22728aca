/*
 * The picture a VGA shows: text, planar, CGA-style and 256-colour modes from the
 * CRT controller's registers, or the mode of the display extensions.
 *
 * The memory address counter (MA) starts at the start address, goes up by one
 * per character clock and by twice the offset register per row; how it becomes
 * a plane address depends on byte, word or doubleword mode. Below the line of
 * the line compare register it starts at 0 again (split screen). Smooth scrolling
 * moves the picture by pixels (panning) and rows by scan lines (preset row scan).
 * Every scan line and dot is shown: 640 by 400 for 320 by 200 pixels, so that
 * the picture has the proportions of a screen.
 *
 * What blinks is shown or not as the caller says; vga_blinking() says what does.
 *
 * Not modelled: blinking in graphics modes, interlace, overscan.
 * Source: IBM PS/2 hardware interface technical reference; FreeVGA, "CRTC
 * registers", "Attribute controller registers", "VGA text mode operation".
 */
#include <string.h>

#include "hw/display/vga_priv.h"

/* ---- colours ---- */

static uint32_t dac_colour(const struct vga *v, uint8_t i)
{
	const uint8_t *c = v->palette + 3 * (i & v->dac_mask);
	if (vga_vbe_on(v) && v->vbe[VBE_ENABLE] & VBE_8BIT_DAC)
		return (uint32_t)c[0] << 16 | (uint32_t)c[1] << 8 | c[2];
	uint32_t r = 0;
	for (int k = 0; k < 3; k++)
		r = r << 8 | (uint32_t)((c[k] & 0x3f) << 2 | (c[k] & 0x3f) >> 4);
	return r;
}

/* A four-bit attribute colour through the palette registers. */
static uint32_t attr_colour(const struct vga *v, unsigned i)
{
	uint8_t p = v->attr[i & v->attr[ATTR_PLANES] & 0x0f], sel = v->attr[ATTR_SELECT];
	if (v->attr[ATTR_MODE] & ATTR_MODE_P54S)
		p = (uint8_t)((p & 0x0f) | (sel & 0x0f) << 4);
	else
		p = (uint8_t)((p & 0x3f) | (sel & 0x0c) << 4);
	return dac_colour(v, p);
}

/* ---- geometry ---- */

struct geometry {
	int columns;			/* character clocks in a line */
	int lines;			/* scan lines shown */
	int scans, times;		/* the row scan counter's steps; scan lines of each */
	int first_scan;			/* of the first row */
	int split;			/* the line where the address starts at `below` */
	uint32_t start, below, pitch;	/* in MA units */
	int pan, pan_below;		/* pixels by which the picture is moved to the left */
};

/* The panning register counts half pixels in 256 colours; nine dots begin at 8, 0, 1.. */
static int pan_pixels(const struct vga *v)
{
	int n = v->attr[ATTR_PAN] & 0x0f;

	if (v->gc[GC_MODE] & GC_MODE_256)
		return (n & 7) >> 1;
	if (v->gc[GC_MISC] & GC_MISC_GRAPHICS || v->seq[SEQ_CLOCK] & SEQ_CLOCK_8DOT)
		return n & 7;
	return n < 8 ? n + 1 : 0;
}

static struct geometry geometry(const struct vga *v)
{
	const uint8_t *c = v->crtc;
	uint8_t o = c[CR_OVERFLOW];
	int lines = (c[CR_VDISP_END] | (o & 0x02) << 7 | (o & 0x40) << 3) + 1;
	int compare = c[CR_LINE_COMPARE] | (o & 0x10) << 4 | (c[CR_MAX_SCAN] & 0x40) << 3;
	uint32_t pan_bytes = c[CR_PRESET_ROW] >> 5 & 3;
	bool pan_all = !(v->attr[ATTR_MODE] & ATTR_MODE_PAN_TOP);

	return (struct geometry){
		.columns = c[CR_HDISP_END] + 1,
		.lines = lines,
		.scans = (c[CR_MAX_SCAN] & 0x1f) + 1,
		.times = c[CR_MAX_SCAN] & 0x80 ? 2 : 1,
		.first_scan = c[CR_PRESET_ROW] & 0x1f,
		.split = compare + 1,
		.start = ((uint32_t)c[CR_START_HI] << 8 | c[CR_START_LO]) + pan_bytes,
		.below = pan_all ? pan_bytes : 0,
		.pitch = 2u * c[CR_OFFSET],
		.pan = pan_pixels(v),
		.pan_below = pan_all ? pan_pixels(v) : 0,
	};
}

static int text_rows(const struct geometry *g)
{
	return g->lines / (g->scans * g->times);
}

/* Where a row of text begins, all rows being whole. */
static uint32_t row_address(const struct geometry *g, int row)
{
	int h = g->scans * g->times, above = (g->split + h - 1) / h;

	return row < above ? g->start + (uint32_t)row * g->pitch : g->below + (uint32_t)(row - above) * g->pitch;
}

struct pixels {
	int n;				/* of a character clock */
	int dots;			/* of each */
};

static struct pixels clock_pixels(const struct vga *v, bool text)
{
	if (!text && v->gc[GC_MODE] & GC_MODE_256)
		return (struct pixels){ 4, 2 };
	return (struct pixels){ text && !(v->seq[SEQ_CLOCK] & SEQ_CLOCK_8DOT) ? 9 : 8,
				v->seq[SEQ_CLOCK] & SEQ_CLOCK_HALF ? 2 : 1 };
}

static uint32_t plane_address(const struct vga *v, uint32_t ma)
{
	if (v->crtc[CR_UNDERLINE] & CR_UNDERLINE_DWORD)
		return ma << 2;
	if (!(v->crtc[CR_MODE] & CR_MODE_BYTE))
		return ma << 1;
	return ma;
}

static uint32_t group_at(const struct vga *v, uint32_t a)
{
	a &= v->vram_size / 4 - 1;
	return ld32(v->vram->host + 4 * (size_t)a);
}

/* ---- text ---- */

static unsigned font_base(unsigned select)
{
	static const uint16_t base[8] = { 0, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000 };
	return base[select & 7];
}

/* The font offsets for attribute bit 3 clear and set. */
static void font_bases(const struct vga *v, unsigned out[2])
{
	uint8_t s = v->seq[SEQ_FONT];
	out[0] = font_base((s & 3u) | (s >> 2 & 4u));
	out[1] = font_base((s >> 2 & 3u) | (s >> 3 & 4u));
}

/* The nine dots of a line of a character, the leftmost in bit 8. */
static unsigned glyph_dots(const struct vga *v, unsigned font, unsigned ch, unsigned scan)
{
	unsigned dots = (group_at(v, font + ch * 32 + scan) >> 16 & 0xff) << 1;

	if (v->attr[ATTR_MODE] & ATTR_MODE_LINE && (ch & 0xe0) == 0xc0)
		dots |= dots >> 1 & 1;
	return dots;
}

static bool cursor_in(const struct vga *v, unsigned scan)
{
	uint8_t first = v->crtc[CR_CURSOR_START];

	return !(first & 0x20) && scan >= (first & 0x1fu) && scan <= (v->crtc[CR_CURSOR_END] & 0x1fu);
}

/* Monochrome adapters underline instead of blue. */
static bool underlined(const struct vga *v, unsigned at, unsigned scan)
{
	return v->attr[ATTR_MODE] & ATTR_MODE_MONO && (at & 0x77) == 1 && scan == (v->crtc[CR_UNDERLINE] & 0x1fu);
}

static bool text_blinks(const struct vga *v)
{
	return v->attr[ATTR_MODE] & ATTR_MODE_BLINK;
}

static void text_line(const struct vga *v, uint32_t *to, int columns, uint32_t ma, unsigned scan,
		      const uint32_t colour[16], unsigned hidden)
{
	uint32_t cursor = (uint32_t)v->crtc[CR_CURSOR_HI] << 8 | v->crtc[CR_CURSOR_LO];
	unsigned bg_mask = text_blinks(v) ? 7 : 15, hides = text_blinks(v) && hidden & VGA_TEXT ? 0x80 : 0;
	int w = clock_pixels(v, true).n;
	bool in_cursor = cursor_in(v, scan) && !(hidden & VGA_CURSOR);
	unsigned font[2];

	font_bases(v, font);
	for (int col = 0; col < columns; col++, ma++, to += w) {
		uint32_t cell = group_at(v, plane_address(v, ma));
		unsigned at = cell >> 8 & 0xff;
		uint32_t fg = colour[at & 15], bg = colour[at >> 4 & bg_mask];
		unsigned dots = in_cursor && ma == cursor ? 0x1ff : at & hides ? 0 : underlined(v, at, scan) ? 0x1ff :
				glyph_dots(v, font[at >> 3 & 1], cell & 0xff, scan);

		for (int x = 0; x < w; x++)
			to[x] = dots >> (8 - x) & 1 ? fg : bg;
	}
}

static bool is_text(const struct vga *v)
{
	return !vga_vbe_on(v) && !(v->gc[GC_MISC] & GC_MISC_GRAPHICS);
}

bool vga_cells(struct vga *v, struct vga_cells *out)
{
	struct geometry g = geometry(v);
	uint32_t cursor = (uint32_t)v->crtc[CR_CURSOR_HI] << 8 | v->crtc[CR_CURSOR_LO];
	bool cursor_on = !(v->crtc[CR_CURSOR_START] & 0x20);

	out->w = g.columns;
	out->h = text_rows(&g);
	out->cursor = -1;
	if (!is_text(v) || out->w <= 0 || out->h <= 0 || (size_t)out->w * (size_t)out->h > ARRAY_LEN(out->cell))
		return false;
	for (int row = 0, n = 0; row < out->h; row++) {
		uint32_t ma = row_address(&g, row);

		for (int col = 0; col < out->w; col++, n++, ma++) {
			out->cell[n] = (uint16_t)group_at(v, plane_address(v, ma));
			if (cursor_on && ma == cursor)
				out->cursor = n;
		}
	}
	return true;
}

size_t vga_text(struct vga *v, char *buf, size_t n)
{
	struct geometry g = geometry(v);
	size_t k = 0;
	if (!is_text(v) || !n)
		return 0;
	for (int row = 0; row < text_rows(&g); row++) {
		uint32_t ma = row_address(&g, row);
		for (int col = 0; col < g.columns && k + 2 < n; col++, ma++) {
			unsigned ch = group_at(v, plane_address(v, ma)) & 0xff;
			buf[k++] = (char)(ch >= 0x20 && ch < 0x7f ? ch : ' ');
		}
		while (k && buf[k - 1] == ' ')
			k--;
		if (k + 1 < n)
			buf[k++] = '\n';
	}
	buf[k] = 0;
	return k;
}

/* ---- graphics ---- */

/* CRTC mode bits 0 and 1 clear: address bits 13 and 14 come from the row scan counter. */
static uint32_t scan_bits(const struct vga *v, uint32_t a, int scan)
{
	if (!(v->crtc[CR_MODE] & 1))
		a = (a & ~0x2000u) | (scan & 1 ? 0x2000u : 0);
	if (!(v->crtc[CR_MODE] & 2))
		a = (a & ~0x4000u) | (scan & 2 ? 0x4000u : 0);
	return a;
}

/* Eight pixels, four planes: bit 7 first. */
static void planar_pixels(uint32_t *to, uint32_t g, const uint32_t colour[16])
{
	for (int b = 7; b >= 0; b--) {
		unsigned i = (g >> b & 1) | (g >> (8 + b) & 1) << 1
			| (g >> (16 + b) & 1) << 2 | (g >> (24 + b) & 1) << 3;
		*to++ = colour[i];
	}
}

/* CGA four colours: two bits a pixel, even bytes in planes 0 and 2, odd in 1 and 3. */
static void cga_pixels(uint32_t *to, uint32_t g, const uint32_t colour[16])
{
	for (int plane = 0; plane < 2; plane++)
		for (int b = 6; b >= 0; b -= 2) {
			unsigned lo = g >> (8 * plane + b) & 3, hi = g >> (16 + 8 * plane + b) & 3;
			*to++ = colour[lo | hi << 2];
		}
}

static void graphics_line(const struct vga *v, uint32_t *to, int columns, uint32_t ma, int scan,
			  const uint32_t colour[16])
{
	uint8_t mode = v->gc[GC_MODE];
	for (int col = 0; col < columns; col++, ma++) {
		if (mode & GC_MODE_256) {
			uint32_t px = group_at(v, ma);
			for (int i = 0; i < 4; i++)
				*to++ = dac_colour(v, (uint8_t)(px >> 8 * i));
			continue;
		}
		uint32_t cell = group_at(v, scan_bits(v, plane_address(v, ma), scan));
		if (mode & GC_MODE_CGA4)
			cga_pixels(to, cell, colour);
		else
			planar_pixels(to, cell, colour);
		to += 8;
	}
}

/* ---- lines ---- */

static void put_line(uint32_t *to, const uint32_t *from, int w, int dots)
{
	if (dots == 1)
		memcpy(to, from, (size_t)w * sizeof(*to));
	else
		for (int x = 0; x < w; x++)
			to[x] = from[x / 2];
}

static bool render_lines(const struct vga *v, struct surface *s, unsigned hidden)
{
	struct geometry g = geometry(v);
	bool text = is_text(v);
	struct pixels px = clock_pixels(v, text);
	int h = text ? text_rows(&g) * g.scans * g.times : g.lines;
	int scan = g.first_scan, time = 0, pan = g.pan;
	uint32_t ma = g.start, colour[16], line[(256 + 1) * 9];

	if (!h || !surface_resize(s, g.columns * px.n * px.dots, h))
		return false;
	for (unsigned i = 0; i < 16; i++)
		colour[i] = attr_colour(v, i);
	for (int y = 0; y < h; y++) {
		if (y == g.split) {
			ma = g.below;
			pan = g.pan_below;
			scan = time = 0;
		}
		if (!time && text)
			text_line(v, line, g.columns + 1, ma, (unsigned)scan, colour, hidden);
		else if (!time)
			graphics_line(v, line, g.columns + 1, ma, scan, colour);
		put_line(s->px + (size_t)y * (size_t)s->w, line + pan, s->w, px.dots);
		if (++time < g.times)
			continue;
		time = 0;
		if (++scan >= g.scans) {
			scan = 0;
			ma += g.pitch;
		}
	}
	return true;
}

/* ---- display extensions ---- */

static uint32_t pixel(const struct vga *v, const uint8_t *p)
{
	switch (v->vbe[VBE_BPP]) {
	case 8:
		return dac_colour(v, *p);
	case 15: {
		uint32_t w = ld16(p), r = w >> 10 & 31, g = w >> 5 & 31, b = w & 31;
		return (r << 3 | r >> 2) << 16 | (g << 3 | g >> 2) << 8 | (b << 3 | b >> 2);
	}
	case 16: {
		uint32_t w = ld16(p), r = w >> 11, g = w >> 5 & 63, b = w & 31;
		return (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2);
	}
	case 24:
		return (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
	default:
		return ld32(p) & 0xffffff;
	}
}

static bool render_vbe_planar(const struct vga *v, struct surface *s)
{
	struct geometry g = {
		.columns = v->vbe[VBE_XRES] / 8, .pitch = v->vbe[VBE_VIRT_WIDTH] / 8u, .scans = 1,
		.start = v->vbe[VBE_Y_OFFSET] * (v->vbe[VBE_VIRT_WIDTH] / 8u) + v->vbe[VBE_X_OFFSET] / 8u,
	};
	uint32_t colour[16];
	if (!surface_resize(s, g.columns * 8, v->vbe[VBE_YRES]))
		return false;
	for (unsigned i = 0; i < 16; i++)
		colour[i] = attr_colour(v, i);
	for (int y = 0; y < s->h; y++) {
		uint32_t ma = g.start + (uint32_t)y * g.pitch;
		for (int col = 0; col < g.columns; col++)
			planar_pixels(s->px + (size_t)y * (size_t)s->w + 8 * (size_t)col,
				      group_at(v, ma + (uint32_t)col), colour);
	}
	return true;
}

static bool render_vbe(const struct vga *v, struct surface *s)
{
	size_t bytes = v->vbe[VBE_BPP] == 15 ? 2 : v->vbe[VBE_BPP] / 8u;
	size_t pitch = v->vbe[VBE_VIRT_WIDTH] * bytes;
	if (v->vbe[VBE_BPP] == 4)
		return render_vbe_planar(v, s);
	if (!surface_resize(s, v->vbe[VBE_XRES], v->vbe[VBE_YRES]))
		return false;
	for (int y = 0; y < s->h; y++) {
		uint32_t *to = s->px + (size_t)y * (size_t)s->w;
		size_t at = (size_t)(v->vbe[VBE_Y_OFFSET] + y) * pitch + v->vbe[VBE_X_OFFSET] * bytes;
		if (at + (size_t)s->w * bytes > v->vram_size) {
			memset(to, 0, (size_t)s->w * sizeof(*to));
			continue;
		}
		const uint8_t *p = v->vram->host + at;
		for (int x = 0; x < s->w; x++, p += bytes)
			to[x] = pixel(v, p);
	}
	return true;
}

static bool render_blank(const struct vga *v, struct surface *s)
{
	struct geometry g = geometry(v);
	if (!surface_resize(s, g.columns < 40 ? 640 : g.columns * 8, g.lines < 100 ? 480 : g.lines))
		return false;
	memset(s->px, 0, (size_t)s->w * (size_t)s->h * sizeof(*s->px));
	return true;
}

static bool is_blank(const struct vga *v)
{
	return !(v->attr_index & ATTR_SCREEN_ON) || v->seq[SEQ_CLOCK] & SEQ_CLOCK_OFF;
}

unsigned vga_blinking(struct vga *v)
{
	struct vga_cells cells;
	unsigned some = 0;

	if (!is_text(v) || is_blank(v) || !vga_cells(v, &cells))
		return 0;
	for (int i = 0; i < cells.w * cells.h && text_blinks(v) && !some; i++)
		some = cells.cell[i] & 0x8000 ? VGA_TEXT : 0;
	return some | (cells.cursor >= 0 ? VGA_CURSOR : 0);
}

bool vga_render_phase(struct vga *v, struct surface *s, unsigned hidden)
{
	if (vga_vbe_on(v))
		return render_vbe(v, s);
	if (is_blank(v))
		return render_blank(v, s);
	return render_lines(v, s, hidden);
}

bool vga_render(struct vga *v, struct surface *s)
{
	return vga_render_phase(v, s, 0);
}
