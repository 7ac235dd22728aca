/*
 * Pictures and their files.
 *
 * Source: PNG specification, second edition, 5 (chunks), 9 (filters, only
 * "none" is used), 10 (zlib).
 */
#include "hw/display/surface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bits.h"

#define MAX_SIDE	16384

bool surface_resize(struct surface *s, int w, int h)
{
	if (w <= 0 || h <= 0 || w > MAX_SIDE || h > MAX_SIDE)
		return false;
	size_t n = (size_t)w * (size_t)h;
	if (n > s->cap) {
		uint32_t *p = realloc(s->px, n * sizeof(*p));
		if (!p)
			return false;
		s->px = p;
		s->cap = n;
	}
	s->w = w;
	s->h = h;
	return true;
}

void surface_fini(struct surface *s)
{
	free(s->px);
	*s = (struct surface){ 0 };
}

/* Rows of RGB bytes, each with `lead` zero bytes in front. */
static uint8_t *to_rgb(const struct surface *s, size_t lead)
{
	size_t pitch = lead + 3 * (size_t)s->w;
	uint8_t *out = calloc((size_t)s->h, pitch);
	for (int y = 0; out && y < s->h; y++) {
		uint8_t *o = out + pitch * (size_t)y + lead;
		for (int x = 0; x < s->w; x++) {
			uint32_t v = s->px[(size_t)y * (size_t)s->w + (size_t)x];
			*o++ = (uint8_t)(v >> 16);
			*o++ = (uint8_t)(v >> 8);
			*o++ = (uint8_t)v;
		}
	}
	return out;
}

static void put_chunk(FILE *fp, const char *type, const uint8_t *p, uint32_t n)
{
	uint8_t word[4];
	uLong crc = crc32(crc32(0, (const Bytef *)type, 4), p, n);

	st32(word, __builtin_bswap32(n));
	fwrite(word, 1, 4, fp);
	fwrite(type, 1, 4, fp);
	fwrite(p, 1, n, fp);
	st32(word, __builtin_bswap32((uint32_t)(n ? crc : crc32(0, (const Bytef *)type, 4))));
	fwrite(word, 1, 4, fp);
}

static bool put_png(const struct surface *s, FILE *fp)
{
	static const uint8_t magic[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
	uint8_t head[13] = { [8] = 8, [9] = 2 };	/* 8 bits a sample, true colour */
	uLong raw_n = (uLong)s->h * (1 + 3 * (uLong)s->w);
	uLongf n = compressBound(raw_n);
	uint8_t *raw = to_rgb(s, 1), *z = malloc(n);
	bool ok = raw && z && compress2(z, &n, raw, raw_n, Z_DEFAULT_COMPRESSION) == Z_OK;

	st32(head, __builtin_bswap32((uint32_t)s->w));
	st32(head + 4, __builtin_bswap32((uint32_t)s->h));
	if (ok) {
		fwrite(magic, 1, sizeof(magic), fp);
		put_chunk(fp, "IHDR", head, sizeof(head));
		put_chunk(fp, "IDAT", z, (uint32_t)n);
		put_chunk(fp, "IEND", z, 0);
	}
	free(raw);
	free(z);
	return ok;
}

static bool put_ppm(const struct surface *s, FILE *fp)
{
	uint8_t *raw = to_rgb(s, 0);
	if (raw) {
		fprintf(fp, "P6\n%d %d\n255\n", s->w, s->h);
		fwrite(raw, 3, (size_t)s->w * (size_t)s->h, fp);
	}
	free(raw);
	return raw;
}

bool surface_save(const struct surface *s, const char *path, enum surface_format f, struct err *e)
{
	size_t len = strlen(path);
	bool named_png = len > 4 && !strcmp(path + len - 4, ".png");
	bool ppm = f == SURFACE_BY_NAME ? !named_png : f == SURFACE_PPM;
	FILE *fp = fopen(path, "wb");

	if (!fp)
		return err_errno(e, "'%s'", path);
	bool ok = ppm ? put_ppm(s, fp) : put_png(s, fp);
	ok = !ferror(fp) && ok;
	ok = !fclose(fp) && ok;
	return ok ? true : err_set(e, "'%s': writing the picture failed", path);
}
