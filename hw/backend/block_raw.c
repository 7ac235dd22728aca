/*
 * Raw disk images and host devices: byte n of the file is byte n of the disk.
 * A file whose length is no multiple of 512 gets a last sector padded with zeros
 * that cannot be written beyond its end.
 *
 * Another Rhea that writes the same image is kept out by a lock on the file.
 * An image whose format was found out to be raw must not become another format
 * by what the guest writes: sector 0 of such an image refuses qcow2's magic.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/block.h"
#include "hw/backend/block_file.h"

struct raw {
	struct block block;
	int fd;
	bool probed;
	uint64_t bytes;
};

static bool raw_read(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e)
{
	struct raw *r = (struct raw *)b;
	return block_file_read(r->fd, b->file, at * SECTOR, buf, (size_t)n * SECTOR, e);
}

/* Bytes of n sectors at sector `at` that the file has. */
static size_t inside(const struct raw *r, uint64_t at, uint32_t n)
{
	return (size_t)min_u64((uint64_t)n * SECTOR, r->bytes - min_u64(r->bytes, at * SECTOR));
}

static bool raw_write(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e)
{
	struct raw *r = (struct raw *)b;
	if (r->probed && at == 0 && n && !memcmp(buf, BLOCK_QCOW2_MAGIC, 4))
		return err_set(e, "'%s': a guest may not turn a raw disk into a qcow2 image; "
			       "start with format=raw to allow it", b->file);
	return block_file_write(r->fd, b->file, at * SECTOR, buf, inside(r, at, n), e);
}

static bool raw_flush(struct block *b, struct err *e)
{
	return block_file_sync(((struct raw *)b)->fd, b->file, e);
}

static bool raw_discard(struct block *b, uint64_t at, uint32_t n, bool zero, struct err *e)
{
	struct raw *r = (struct raw *)b;
	static const uint8_t zeros[64 * SECTOR];

	if (!inside(r, at, n) || !fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					    (off_t)(at * SECTOR), (off_t)inside(r, at, n)) || !zero)
		return true;
	for (uint32_t k; n; at += k, n -= k) {
		k = (uint32_t)min_u64(n, 64);
		if (!raw_write(b, at, zeros, k, e))
			return false;
	}
	return true;
}

static bool raw_status(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e)
{
	struct raw *r = (struct raw *)b;
	off_t from = (off_t)(at * SECTOR);
	off_t data = lseek(r->fd, from, SEEK_DATA), hole = -1;

	(void)e;
	*x = (struct block_extent){ .sectors = n, .allocated = true, .data = true, .has_offset = true,
				    .offset = at * SECTOR };
	if (data < 0 && errno == ENXIO)
		x->data = false;
	else if (data > from) {
		x->data = (uint64_t)data / SECTOR == at;
		x->sectors = x->data ? 1 : min_u64(n, (uint64_t)data / SECTOR - at);
	} else if (data == from && (hole = lseek(r->fd, from, SEEK_HOLE)) >= 0)
		x->sectors = min_u64(n, ((uint64_t)hole + SECTOR - 1) / SECTOR - at);
	x->zero = !x->data;
	return true;
}

static bool raw_resize(struct block *b, uint64_t sectors, struct err *e)
{
	struct raw *r = (struct raw *)b;
	if (ftruncate(r->fd, (off_t)(sectors * SECTOR)))
		return err_errno(e, "'%s'", b->file);
	r->bytes = sectors * SECTOR;
	b->sectors = sectors;
	return true;
}

static void raw_close(struct block *b)
{
	struct raw *r = (struct raw *)b;
	if (r->fd >= 0)
		close(r->fd);
	free(b->file);
	free(r);
}

static const struct block_ops raw_ops = {
	"raw", raw_read, raw_write, raw_flush, raw_close, raw_discard, raw_status, raw_resize,
};

struct block *block_raw_open(const struct block_options *o, struct err *e)
{
	struct raw *r = calloc(1, sizeof(*r));

	if (!r || !(r->block.file = strdup(o->file))) {
		free(r);
		err_set(e, "no memory");
		return NULL;
	}
	r->block.ops = &raw_ops;
	r->block.readonly = o->readonly || o->snapshot;
	r->block.writethrough = o->writethrough;
	r->block.no_flush = o->no_flush;
	r->probed = !o->format;
	r->fd = block_file_open(o, e);
	if (r->fd < 0 || !block_file_size(r->fd, o->file, &r->bytes, e)) {
		raw_close(&r->block);
		return NULL;
	}
	r->block.sectors = (r->bytes + SECTOR - 1) / SECTOR;
	return &r->block;
}
