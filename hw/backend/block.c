/*
 * Disk images: bounds, write policy, and the overlay of -snapshot.
 *
 * The overlay keeps written chunks in memory, in a two-level table by chunk
 * number; a chunk is filled from the image when it is first written.
 *
 * Not modelled: asynchronous transfers, discard.
 */
#include "hw/backend/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* ---- overlay ---- */

#define CHUNK_SECTORS	128u		/* 64 KiB */
#define LEAF		1024u

struct block_overlay {
	uint64_t nleaves;
	uint8_t ***leaf;		/* leaf[i][j]: chunk i * LEAF + j, or NULL */
};

static struct block_overlay *overlay_new(uint64_t sectors)
{
	struct block_overlay *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->nleaves = sectors / CHUNK_SECTORS / LEAF + 1;
	o->leaf = calloc(o->nleaves, sizeof(*o->leaf));
	if (!o->leaf) {
		free(o);
		return NULL;
	}
	return o;
}

static void overlay_free(struct block_overlay *o)
{
	if (!o)
		return;
	for (uint64_t i = 0; i < o->nleaves; i++) {
		for (unsigned j = 0; o->leaf[i] && j < LEAF; j++)
			free(o->leaf[i][j]);
		free(o->leaf[i]);
	}
	free(o->leaf);
	free(o);
}

static uint8_t *overlay_find(const struct block_overlay *o, uint64_t chunk)
{
	uint8_t **leaf = o->leaf[chunk / LEAF];
	return leaf ? leaf[chunk % LEAF] : NULL;
}

/* The chunk to write to, made from the image if it is new. */
static uint8_t *overlay_make(struct block *b, uint64_t chunk, struct err *e)
{
	uint8_t ***leaf = &b->overlay->leaf[chunk / LEAF];
	uint64_t first = chunk * CHUNK_SECTORS;
	uint32_t n = (uint32_t)min_u64(CHUNK_SECTORS, b->sectors - first);

	if (!*leaf)
		*leaf = calloc(LEAF, sizeof(**leaf));
	uint8_t *p = *leaf ? (*leaf)[chunk % LEAF] : NULL;
	if (p || !*leaf)
		return p;
	p = malloc((size_t)CHUNK_SECTORS * SECTOR);
	if (p && !b->ops->read(b, first, p, n, e)) {
		free(p);
		return NULL;
	}
	if (!p)
		err_set(e, "no memory for changes to '%s'", b->file);
	return (*leaf)[chunk % LEAF] = p;
}

/* Go through a transfer chunk by chunk. */
static bool overlay_transfer(struct block *b, uint64_t at, uint8_t *in, const uint8_t *out, uint32_t n,
			     struct err *e)
{
	while (n) {
		uint64_t chunk = at / CHUNK_SECTORS;
		uint32_t off = (uint32_t)(at % CHUNK_SECTORS), k = (uint32_t)min_u64(n, CHUNK_SECTORS - off);
		uint8_t *p = out ? overlay_make(b, chunk, e) : overlay_find(b->overlay, chunk);
		if (out && !p)
			return false;
		if (out)
			memcpy(p + off * SECTOR, out, (size_t)k * SECTOR);
		else if (p)
			memcpy(in, p + off * SECTOR, (size_t)k * SECTOR);
		else if (!b->ops->read(b, at, in, k, e))
			return false;
		in += in ? (size_t)k * SECTOR : 0;
		out += out ? (size_t)k * SECTOR : 0;
		at += k;
		n -= k;
	}
	return true;
}

/* ---- interface ---- */

struct block *block_open(const struct block_options *o, struct err *e)
{
	if (o->format && strcmp(o->format, "raw")) {
		err_set(e, "'%s': image format '%s' is not supported (raw is)", o->file, o->format);
		return NULL;
	}
	struct block *b = block_raw_open(o, e);
	if (b && o->snapshot) {
		b->overlay = overlay_new(b->sectors);
		b->readonly = false;
		if (!b->overlay) {
			block_close(b);
			err_set(e, "'%s': no memory", o->file);
			return NULL;
		}
	}
	return b;
}

void block_close(struct block *b)
{
	struct err ignored;
	if (!b)
		return;
	if (!b->readonly)
		block_flush(b, &ignored);
	overlay_free(b->overlay);
	b->ops->close(b);
}

uint64_t block_sectors(const struct block *b)
{
	return b->sectors;
}

bool block_readonly(const struct block *b)
{
	return b->readonly;
}

const char *block_file(const struct block *b)
{
	return b->file;
}

static bool in_range(const struct block *b, uint64_t at, uint32_t n)
{
	return at <= b->sectors && n <= b->sectors - at;
}

bool block_read(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e)
{
	if (!in_range(b, at, n))
		return err_set(e, "read behind the end of '%s'", b->file);
	if (b->overlay)
		return overlay_transfer(b, at, buf, NULL, n, e);
	return b->ops->read(b, at, buf, n, e);
}

bool block_write(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e)
{
	if (!in_range(b, at, n))
		return err_set(e, "write behind the end of '%s'", b->file);
	if (b->readonly)
		return err_set(e, "'%s' is read-only", b->file);
	if (b->overlay)
		return overlay_transfer(b, at, NULL, buf, n, e);
	return b->ops->write(b, at, buf, n, e)
		&& (b->cache != BLOCK_WRITETHROUGH || b->ops->flush(b, e));
}

bool block_flush(struct block *b, struct err *e)
{
	return b->readonly || b->overlay || b->cache == BLOCK_UNSAFE || b->ops->flush(b, e);
}
