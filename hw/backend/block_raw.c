/*
 * Raw disk images and host devices: byte n of the file is byte n of the disk.
 * A file whose length is no multiple of 512 gets a last sector padded with zeros
 * that cannot be written beyond its end.
 *
 * Another Rhea that writes the same image is kept out by a lock on the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/block.h"

struct raw {
	struct block block;
	int fd;
	uint64_t bytes;
};

static bool raw_read(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e)
{
	struct raw *r = (struct raw *)b;
	size_t want = (size_t)n * SECTOR, got = 0;
	uint8_t *p = buf;

	while (got < want) {
		ssize_t k = pread(r->fd, p + got, want - got, (off_t)(at * SECTOR + got));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_errno(e, "'%s': reading sector %llu", b->file, (unsigned long long)at);
		if (k == 0)
			break;
		got += (size_t)k;
	}
	memset(p + got, 0, want - got);
	return true;
}

static bool raw_write(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e)
{
	struct raw *r = (struct raw *)b;
	size_t want = (size_t)min_u64((uint64_t)n * SECTOR, r->bytes - min_u64(r->bytes, at * SECTOR));
	const uint8_t *p = buf;

	for (size_t done = 0; done < want;) {
		ssize_t k = pwrite(r->fd, p + done, want - done, (off_t)(at * SECTOR + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_errno(e, "'%s': writing sector %llu", b->file, (unsigned long long)at);
		done += (size_t)k;
	}
	return true;
}

static bool raw_flush(struct block *b, struct err *e)
{
	if (fdatasync(((struct raw *)b)->fd) && errno != EINVAL && errno != EROFS)
		return err_errno(e, "'%s': flushing", b->file);
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

static const struct block_ops raw_ops = { "raw", raw_read, raw_write, raw_flush, raw_close };

static bool find_size(struct raw *r, struct err *e)
{
	struct stat st;
	if (fstat(r->fd, &st))
		return err_errno(e, "'%s'", r->block.file);
	if (S_ISDIR(st.st_mode))
		return err_set(e, "'%s' is a folder", r->block.file);
	off_t n = S_ISREG(st.st_mode) ? st.st_size : lseek(r->fd, 0, SEEK_END);
	if (n < 0)
		return err_errno(e, "'%s'", r->block.file);
	r->bytes = (uint64_t)n;
	r->block.sectors = (r->bytes + SECTOR - 1) / SECTOR;
	return true;
}

static bool lock_image(struct raw *r, bool writing, struct err *e)
{
	if (!flock(r->fd, (writing ? LOCK_EX : LOCK_SH) | LOCK_NB) || errno != EWOULDBLOCK)
		return true;
	return err_set(e, "'%s' is in use by another program", r->block.file);
}

struct block *block_raw_open(const struct block_options *o, struct err *e)
{
	bool writing = !o->readonly && !o->snapshot;
	struct raw *r = calloc(1, sizeof(*r));

	if (!r || !(r->block.file = strdup(o->file))) {
		free(r);
		err_set(e, "no memory");
		return NULL;
	}
	r->block.ops = &raw_ops;
	r->block.readonly = o->readonly;
	r->block.cache = o->cache;
	r->fd = open(o->file, (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (r->fd < 0)
		err_errno(e, "'%s'", o->file);
	if (r->fd < 0 || !find_size(r, e) || !lock_image(r, writing, e)) {
		raw_close(&r->block);
		return NULL;
	}
	return &r->block;
}
