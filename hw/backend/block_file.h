/*
 * The file under an image: whole transfers at byte offsets, locking, size.
 *
 * Transfers may be made by several threads at once. Past the page cache (direct) they go
 * through aligned memory where address, offset or length are not what the host wants.
 */
#ifndef HW_BACKEND_BLOCK_FILE_H
#define HW_BACKEND_BLOCK_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

struct block_options;

struct block_file {
	int fd;			/* -1: not open */
	const char *name;	/* the owner's */
	bool writing;
	bool direct;
	uint32_t align;		/* of direct transfers */
	_Atomic bool no_now;	/* the host cannot say what it has in memory; found out by any thread, as the next */
	_Atomic bool in_memory;	/* all of it */
	uint64_t keep;		/* the file is to have this length, whatever whole units need; 0: any */
	pthread_mutex_t partial;	/* direct: parts of aligned units are changed one at a time */
};

/* Open and lock o->file (for writing unless o says otherwise). name outlives it. False with err filled. */
bool block_file_open(struct block_file *f, const char *name, const struct block_options *o, struct err *e);
/* A descriptor that is open already, for writing. */
void block_file_adopt(struct block_file *f, const char *name, int fd);
void block_file_close(struct block_file *f);	/* one that is not open is fine */
/* Keep other programs off a file that is made anew; they may be Rheas or QEMUs. */
bool block_file_lock(int fd, const char *name, bool writing, struct err *e);
/* Length of a regular file or a device. */
bool block_file_size(struct block_file *f, uint64_t *bytes, struct err *e);
/* What stands behind the end of the file reads as zeros. */
bool block_file_readv(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n, struct err *e);
bool block_file_writev(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n,
		       struct err *e);
bool block_file_read(struct block_file *f, uint64_t at, void *buf, size_t n, struct err *e);
bool block_file_write(struct block_file *f, uint64_t at, const void *buf, size_t n, struct err *e);
/* What the host has in memory, all of it; one thread at a time. */
bool block_file_read_now(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n);
bool block_file_sync(struct block_file *f, struct err *e);
/* Zeros without storing them; unmap: their room is given back. False: not by this host (no err). */
bool block_file_zero(struct block_file *f, uint64_t at, uint64_t n, bool unmap);

#endif
