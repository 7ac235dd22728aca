/*
 * Raw disk images and host devices: byte n of the file is byte n of the disk.
 * A file whose length is no multiple of 512 gets a last sector padded with zeros
 * that cannot be written beyond its end.
 *
 * An image whose format was found out to be raw must not become another format
 * by what the guest writes: sector 0 of such an image refuses their magic numbers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/block.h"
#include "hw/backend/block_file.h"
#include "hw/backend/iov.h"

#define START	8u	/* sectors that are copied: what is behind stays aligned */

struct raw {
	struct block block;
	struct block_file f;
	bool probed;
	uint64_t bytes;
};

static bool raw_readv(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	struct raw *r = (struct raw *)b;
	return block_file_readv(&r->f, at * SECTOR, iov, niov, (size_t)n * SECTOR, e);
}

static bool raw_read_now(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n)
{
	return block_file_read_now(&((struct raw *)b)->f, at * SECTOR, iov, niov, (size_t)n * SECTOR);
}

/* Bytes of n sectors at sector `at` that the file has. */
static size_t inside(const struct raw *r, uint64_t at, uint32_t n)
{
	return (size_t)min_u64((uint64_t)n * SECTOR, r->bytes - min_u64(r->bytes, at * SECTOR));
}

static bool write_pieces(struct raw *r, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	size_t bytes = inside(r, at, n);
	struct iovec part[IOV_PIECES];

	if (bytes == (size_t)n * SECTOR)
		return block_file_writev(&r->f, at * SECTOR, iov, niov, bytes, e);
	if (niov > IOV_PIECES)
		return err_set(e, "'%s': a transfer of too many pieces", r->block.file);
	return block_file_writev(&r->f, at * SECTOR, part, iov_slice(iov, niov, 0, bytes, part), bytes, e);
}

/* The bytes that tell a format are written from a copy: the guest could change its own after the look. */
static bool write_start(struct raw *r, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	uint8_t head[START * SECTOR];
	uint32_t k = n < START ? n : START;
	struct iovec part[IOV_PIECES], copy = { head, k * SECTOR };

	iov_get(part, iov_slice(iov, niov, 0, k * SECTOR, part), head);
	if (!memcmp(head, BLOCK_QCOW2_MAGIC, 4) || block_foreign(head, BLOCK_PROBED))
		return err_set(e, "'%s': a guest may not turn a raw disk into an image of another format; "
			       "start with format=raw to allow it", r->block.file);
	return write_pieces(r, 0, &copy, 1, k, e) &&
	       (k == n || write_pieces(r, k, part, iov_slice(iov, niov, k * SECTOR, (size_t)(n - k) * SECTOR, part), n - k, e));
}

static bool raw_writev(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	struct raw *r = (struct raw *)b;

	return n && !at && r->probed ? write_start(r, iov, niov, n, e) : write_pieces(r, at, iov, niov, n, e);
}

static bool raw_flush(struct block *b, struct err *e)
{
	return block_file_sync(&((struct raw *)b)->f, e);
}

static bool raw_discard(struct block *b, uint64_t at, uint32_t n, bool zero, bool unmap, struct err *e)
{
	struct raw *r = (struct raw *)b;
	static const uint8_t zeros[128 * SECTOR];
	uint64_t bytes = inside(r, at, n);

	if (!bytes || block_file_zero(&r->f, at * SECTOR, bytes, unmap) || !zero)
		return true;
	for (uint64_t done = 0, k; done < bytes; done += k) {
		k = min_u64(bytes - done, sizeof(zeros));
		if (!block_file_write(&r->f, at * SECTOR + done, zeros, k, e))
			return false;
	}
	return true;
}

static bool raw_status(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e)
{
	struct raw *r = (struct raw *)b;
	off_t from = (off_t)(at * SECTOR);
	off_t data = lseek(r->f.fd, from, SEEK_DATA), hole = -1;

	(void)e;
	*x = (struct block_extent){ .sectors = n, .allocated = true, .data = true, .has_offset = true,
				    .offset = at * SECTOR };
	if (data < 0 && errno == ENXIO)
		x->data = false;
	else if (data > from) {
		x->data = (uint64_t)data / SECTOR == at;
		x->sectors = x->data ? 1 : min_u64(n, (uint64_t)data / SECTOR - at);
	} else if (data == from && (hole = lseek(r->f.fd, from, SEEK_HOLE)) >= 0)
		x->sectors = min_u64(n, ((uint64_t)hole + SECTOR - 1) / SECTOR - at);
	x->zero = !x->data;
	return true;
}

static bool raw_resize(struct block *b, uint64_t sectors, struct err *e)
{
	struct raw *r = (struct raw *)b;
	if (ftruncate(r->f.fd, (off_t)(sectors * SECTOR)))
		return err_errno(e, "'%s'", b->file);
	r->bytes = r->f.keep = sectors * SECTOR;
	b->sectors = sectors;
	return true;
}

static void raw_close(struct block *b)
{
	struct raw *r = (struct raw *)b;
	block_file_close(&r->f);
	free(b->file);
	free(r);
}

static int raw_fd(const struct block *b)
{
	return ((const struct raw *)b)->f.fd;
}

static const struct block_ops raw_ops = {
	"raw", raw_readv, raw_writev, raw_flush, raw_close, raw_discard, raw_status, raw_resize, raw_read_now, raw_fd,
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
	r->probed = !o->format || o->probed;
	if (!block_file_open(&r->f, r->block.file, o, e) || !block_file_size(&r->f, &r->bytes, e)) {
		raw_close(&r->block);
		return NULL;
	}
	r->f.keep = r->bytes;
	r->block.readonly = !r->f.writing;
	r->block.sectors = (r->bytes + SECTOR - 1) / SECTOR;
	return &r->block;
}
