/*
 * Disk images: what a disk device reads and writes, in sectors of 512 bytes.
 *
 * An image is a table of functions per format (block_ops) behind one interface.
 * Transfers complete before the call returns. Machine lock.
 */
#ifndef HW_BACKEND_BLOCK_H
#define HW_BACKEND_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SECTOR 512u

enum block_cache {
	BLOCK_WRITEBACK,	/* the host caches; the guest's flushes reach the disk */
	BLOCK_WRITETHROUGH,	/* every write reaches the disk */
	BLOCK_UNSAFE,		/* flushes are ignored */
};

struct block;

struct block_options {
	const char *file;
	const char *format;	/* "raw", NULL: found out (raw) */
	bool readonly;
	bool snapshot;		/* writes stay in memory and are lost at the end */
	enum block_cache cache;
};

/* Open an image. NULL with err filled. */
struct block *block_open(const struct block_options *o, struct err *e);
void block_close(struct block *b);		/* NULL is fine; flushes */

uint64_t block_sectors(const struct block *b);
bool block_readonly(const struct block *b);
const char *block_file(const struct block *b);

/* n sectors at sector `at`. False: outside the image, read-only, or the host failed (err filled). */
bool block_read(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e);
bool block_write(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e);
bool block_flush(struct block *b, struct err *e);

/* ---- for implementers ---- */

struct block_ops {
	const char *name;
	bool (*read)(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e);
	bool (*write)(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e);
	bool (*flush)(struct block *b, struct err *e);
	void (*close)(struct block *b);		/* frees the whole struct */
};

struct block {
	const struct block_ops *ops;
	char *file;
	uint64_t sectors;
	bool readonly;
	enum block_cache cache;
	struct block_overlay *overlay;	/* snapshot: sectors written since start, or NULL */
};

struct block *block_raw_open(const struct block_options *o, struct err *e);

#endif
