/*
 * Disk images: what a disk device reads and writes, in sectors of 512 bytes.
 *
 * An image is a table of functions per format (block_ops) behind one interface.
 * Transfers complete before the call returns; devices use drive.h instead, which has
 * them done by other threads.
 *
 * Threads: readv, writev, read, write, flush, discard and write_zeroes may be called by
 * several threads at once, as long as transfers that overlap, one of them changing the
 * disk, do not meet. Everything else wants the image for itself.
 */
#ifndef HW_BACKEND_BLOCK_H
#define HW_BACKEND_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

#define SECTOR 512u

/* What zeros that the guest writes become. */
enum block_zeroes { BLOCK_ZEROES_OFF, BLOCK_ZEROES_ON, BLOCK_ZEROES_UNMAP };
/* Whether other programs are kept off the image: AUTO: where the host can. */
enum block_locking { BLOCK_LOCK_AUTO, BLOCK_LOCK_ON, BLOCK_LOCK_OFF };

struct block;

struct block_options {
	const char *file;
	const char *format;	/* "raw", "qcow2"; NULL: found out */
	bool probed;		/* it was found out the first time */
	bool readonly;
	bool snapshot;		/* writes stay in memory and are lost at the end */
	bool direct;		/* past the host's page cache */
	bool writethrough;	/* every write reaches the disk before it is done */
	bool no_flush;		/* flushes are ignored */
	bool no_discard;	/* what is discarded keeps its place on the host */
	enum block_zeroes detect_zeroes;
	bool copy_on_read;	/* what is read from the backing image is kept */
	bool auto_readonly;	/* read-only if it cannot be opened for writing */
	bool let_go;		/* begins as block_let_go() leaves an image */
	enum block_locking locking;
	bool null_co;		/* no file: `size` bytes that read as zeros and forget what is written */
	uint64_t size;
	/* for tools */
	bool unlocked;		/* whoever else uses the image */
	bool backing_writable;	/* the backing image is opened for writing, too */
	bool repairing;		/* of a damaged image: opened as it is */
	bool no_backing;	/* the backing image is not opened; what it holds reads as zeros */
	int depth;		/* how many images of the chain stand above this one */
	/* for programs that name every image of a chain */
	const char *node, *file_node;	/* the image's name, its file's; NULL: none */
	const struct block_options *backing;	/* the backing image, whatever the image says; NULL: as it says */
};

/* What a range of a disk is, in one image or (block_map) in its whole chain. */
struct block_extent {
	uint64_t sectors;	/* how far this holds */
	bool allocated;		/* this image decides, not its backing image */
	bool data;		/* the contents are stored; else zeros (or the backing image's) */
	bool zero;		/* reads as zeros */
	bool compressed;
	bool has_offset;
	uint64_t offset;	/* in the file, in bytes */
	struct block *image;	/* block_map: the image that decides */
	int depth;		/* block_map: how far below the first it is */
};

/* The words of cache=: none, writeback, writethrough, directsync, unsafe. False: another word. */
bool block_cache_mode(struct block_options *o, const char *word);

/* Open an image. NULL with err filled. */
struct block *block_open(const struct block_options *o, struct err *e);
void block_close(struct block *b);		/* NULL is fine; flushes */

/* ---- chains: the image must be at rest ---- */

/*
 * The image at *place is opened anew, for writing or not, with what stands below it. False: it is
 * there as before. Others are kept off it as far as it is used, but for the moment in between.
 */
bool block_reopen(struct block **place, bool writable, struct err *e);
/*
 * An image that is written is another program's for now, which may change it: here it is open for reading, without
 * locks. Taken back it is opened anew. False: nothing has happened.
 */
bool block_let_go(struct block **place, struct err *e);
bool block_take_back(struct block **place, struct err *e);
/* b, which has no backing image, goes on top of below, and is used as that was. */
void block_put_on(struct block *b, struct block *below);
/* What is above `base` (NULL: the whole chain) down from top is closed; base stays. */
void block_close_above(struct block *top, struct block *base);
/* The image of the chain by its name, or by the name of its file's node; NULL: it is not there. */
struct block *block_find_node(struct block *b, const char *node);
struct block *block_find_file(struct block *b, const char *file);
/* An image with changes in memory: are the sectors from `at` among them? For how many that holds. */
uint64_t block_overlay_extent(const struct block *b, uint64_t at, bool *changed);
/* Is `below` in the chain under b? */
bool block_is_above(const struct block *b, const struct block *below);

uint64_t block_sectors(const struct block *b);
bool block_readonly(const struct block *b);	/* one that is let go of is not, though it cannot be written now */
const char *block_file(const struct block *b);

/* n sectors at sector `at`. False: outside the image, read-only, or the host failed (err filled). */
bool block_read(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e);
bool block_write(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e);
/* The same from and to several pieces of memory, n sectors together. */
bool block_readv(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e);
bool block_writev(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e);
/* Only if it takes no waiting, because the host has it in memory. False: read it the other way. */
bool block_read_now(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n);
bool block_flush(struct block *b, struct err *e);
/* The guest needs n sectors no more: they may keep their contents or read as zeros. */
bool block_discard(struct block *b, uint64_t at, uint32_t n, struct err *e);
/* n sectors of zeros, without storing them where the format can; unmap: their space may be given back. */
bool block_write_zeroes(struct block *b, uint64_t at, uint32_t n, bool unmap, struct err *e);
/* Does reading change the image, too (what its backing image holds is copied)? */
bool block_copies_on_read(const struct block *b);

/* ---- for tools ---- */

const char *block_format(const struct block *b);
struct block *block_backing(const struct block *b);	/* NULL: none */
/* What the sectors from `at` are in this image alone; in the chain. */
bool block_status(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e);
bool block_map(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e);
bool block_resize(struct block *b, uint64_t sectors, struct err *e);
/* The path of a backing image: a relative name is relative to the image's folder. To be freed. */
char *block_backing_path(const char *file, const char *name);
/* The format by a file's first bytes: "qcow2" or "raw". NULL with err filled: cannot be read, or block_foreign(). */
const char *block_probe(const char *file, struct err *e);
/* The name of a format that other programs read, by the first n bytes; NULL: none of these. */
#define BLOCK_PROBED 128	/* bytes that matter */
const char *block_foreign(const void *head, size_t n);

/* ---- for implementers ---- */

struct block_ops {
	const char *name;
	/* n sectors; iov holds n * SECTOR bytes in at most IOV_PIECES pieces */
	bool (*readv)(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e);
	bool (*writev)(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e);
	bool (*flush)(struct block *b, struct err *e);
	void (*close)(struct block *b);		/* frees the whole struct */
	/* n sectors are not needed; zero: they must read as zeros from now on; unmap: their room may go */
	bool (*discard)(struct block *b, uint64_t at, uint32_t n, bool zero, bool unmap, struct err *e);
	bool (*status)(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e);
	bool (*resize)(struct block *b, uint64_t sectors, struct err *e);
	/* may be NULL */
	bool (*read_now)(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n);
	int (*fd)(const struct block *b);	/* of its file */
};

struct block {
	const struct block_ops *ops;
	char *file;
	uint64_t sectors;
	bool readonly;
	bool let_go;			/* block_let_go(); readonly meanwhile */
	bool writethrough, no_flush, no_discard, copy_on_read;
	enum block_zeroes detect_zeroes;
	struct block *backing;		/* owned; closed after the image */
	struct block_overlay *overlay;	/* snapshot: sectors written since start, or NULL */
	char *node, *file_node;		/* names, or NULL */
	struct block_options opened;	/* how it was opened; file and format are its own */
};

#define BLOCK_QCOW2_MAGIC "QFI\xfb"

struct block *block_null_open(const struct block_options *o, struct err *e);
struct block *block_raw_open(const struct block_options *o, struct err *e);
struct block *block_qcow2_open(const struct block_options *o, struct err *e);

#endif
