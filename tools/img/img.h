/*
 * rhea-img: the disk image tool. One row of img.c per command, one set of
 * options for all of them; a command takes what its row allows.
 */
#ifndef TOOLS_IMG_H
#define TOOLS_IMG_H

#include <stdio.h>

#include "hw/backend/block.h"
#include "hw/backend/qcow2.h"

struct args {
	const char *command;
	const char *f, *F, *O;		/* formats: of the image, of the other one, of the output */
	const char *b;			/* -b or -B: backing image */
	const char *o;			/* -o: format options, all of them joined by commas */
	const char *l;			/* convert -l: snapshot */
	char snapshot;			/* snapshot: 'l', 'a', 'c', 'd' */
	const char *name;		/* ... and its argument */
	const char *repair;
	bool compress, progress, quiet, unsafe, strict, no_create, drop, shared, json, chain, shrink, help;
	struct block_options cache;	/* what -t says: direct, writethrough, no_flush */
	uint64_t sparse;		/* -S, in bytes */
	uint64_t start, length;		/* map */
	int prealloc;			/* resize: enum qcow2_prealloc */
	bool has_length;		/* measure --size: in `length` */
	int count, depth, flush_interval, pattern;	/* bench */
	uint64_t buffer, step;
	bool write;
	int workers;			/* -m; 0: as many as suit the host */
	bool out_of_order;		/* -W */
	const char *size;		/* resize: taken out of argv, as it may begin with - */
	int n;
	char **file;
};

/* Print "rhea-img: message", return the exit status 1. */
int fail(const struct err *e);
int fail_with(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "10", "1.5G", "512k"; a bare number is bytes. */
bool parse_size(const char *s, uint64_t *bytes, struct err *e);
/* "1.5 GiB" in buf. */
const char *human_size(char *buf, size_t n, uint64_t bytes);
/* A string in JSON, quoted. */
void json_string(FILE *out, const char *s);
void progress(const struct args *a, uint64_t done, uint64_t all);

/* Options for opening an image of the command line. */
struct block_options open_options(const struct args *a, const char *file, const char *format, bool write);
struct block *open_image(const struct args *a, const char *file, const char *format, bool write, struct err *e);

/* A new image of any format. size UINT64_MAX: the backing image's. */
struct new_image {
	const char *file, *format;
	uint64_t size;
	const char *backing, *backing_format;
	bool unsafe, quiet;
	const char *options;		/* -o */
};
bool new_image(const struct new_image *n, struct err *e);
/* -o of a new image without making it. */
bool parse_new_options(const char *list, bool qcow2, struct qcow2_create *c, struct err *e);
bool parse_prealloc(const char *word, enum qcow2_prealloc *p, struct err *e);
void list_options(const char *format);

/* ---- img_copy.c ---- */
bool all_zero(const uint8_t *p, size_t n);
/* What the sectors at `at` read as: all zeros, or to be looked at. n: how far. b NULL: all zeros. */
bool zeros_at(struct block *b, uint64_t at, uint64_t *n, bool *zero, struct err *e);

int cmd_bench(const struct args *a);
int cmd_check(const struct args *a);
int cmd_commit(const struct args *a);
int cmd_compare(const struct args *a);
int cmd_convert(const struct args *a);
int cmd_create(const struct args *a);
int cmd_dd(const struct args *a);
int cmd_info(const struct args *a);
int cmd_map(const struct args *a);
int cmd_measure(const struct args *a);
int cmd_rebase(const struct args *a);
int cmd_resize(const struct args *a);
int cmd_snapshot(const struct args *a);

#endif
