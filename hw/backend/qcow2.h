/*
 * qcow2 images beyond reading and writing: making them, snapshots, checking.
 * The block given to these is one that block_open() returned; they fail with a
 * message if it is not a qcow2 image.
 */
#ifndef HW_BACKEND_QCOW2_H
#define HW_BACKEND_QCOW2_H

#include "hw/backend/block.h"

enum qcow2_prealloc { QCOW2_PREALLOC_OFF, QCOW2_PREALLOC_METADATA, QCOW2_PREALLOC_FALLOC, QCOW2_PREALLOC_FULL };

struct qcow2_create {
	uint64_t size;			/* bytes */
	int version;			/* 2 or 3 */
	uint32_t cluster_size;
	unsigned refcount_bits;
	bool lazy_refcounts, zstd;
	enum qcow2_prealloc prealloc;
	const char *backing, *backing_format;	/* NULL: none, not noted */
};
#define QCOW2_CREATE_DEFAULT { .version = 3, .cluster_size = 65536, .refcount_bits = 16 }

/* Do the options go together? file is for messages. */
bool qcow2_create_possible(const char *file, const struct qcow2_create *c, struct err *e);
bool qcow2_create(const char *file, const struct qcow2_create *c, struct err *e);

struct qcow2_info {
	int version;
	uint32_t cluster_size;
	unsigned refcount_bits;
	bool lazy_refcounts, dirty, corrupt, zstd;
	const char *backing, *backing_format;	/* as they stand in the image; NULL: none */
	const char *backing_path;		/* the name to open */
	unsigned nsnapshots;
};
bool qcow2_info(struct block *b, struct qcow2_info *i, struct err *e);

struct qcow2_snapshot {
	uint64_t l1_offset;
	uint32_t l1_size;
	uint32_t date_sec, date_nsec;
	uint64_t vm_clock_nsec;
	uint64_t vm_state_size;
	uint64_t disk_size;
	char *id, *name;
	uint32_t extra_size;		/* extra data behind what is known here */
	uint8_t *extra;
};
const struct qcow2_snapshot *qcow2_snapshot_get(struct block *b, unsigned i);
/* By id or name; NULL with err: there is none. */
const struct qcow2_snapshot *qcow2_snapshot_find(struct block *b, const char *which, struct err *e);
bool qcow2_snapshot_create(struct block *b, const char *name, struct err *e);
/* The same with a machine's state of `size` bytes (0: none), which was written before. */
bool qcow2_snapshot_create_vm(struct block *b, const char *name, uint64_t size, uint64_t vm_clock, struct err *e);
/* By id or name. */
bool qcow2_snapshot_apply(struct block *b, const char *which, struct err *e);
bool qcow2_snapshot_delete(struct block *b, const char *which, struct err *e);

/* A read-only image shows what a snapshot holds from now on. */
bool qcow2_snapshot_show(struct block *b, const char *which, struct err *e);

/*
 * A machine's state in the image: begin, write anywhere, then qcow2_snapshot_create_vm();
 * end drops what was written, also after a failure. Writes may come from any thread.
 */
bool qcow2_vmstate_begin(struct block *b, struct err *e);
bool qcow2_vmstate_write(struct block *b, uint64_t at, const void *buf, size_t n, struct err *e);
bool qcow2_vmstate_end(struct block *b, struct err *e);
/* A snapshot's, without making that snapshot the disk. */
struct qcow2_vmstate *qcow2_vmstate_open(struct block *b, const char *which, uint64_t *size, struct err *e);
bool qcow2_vmstate_read(struct qcow2_vmstate *v, uint64_t at, void *buf, size_t n, struct err *e);
void qcow2_vmstate_close(struct qcow2_vmstate *v);

enum qcow2_fix { QCOW2_FIX_NONE, QCOW2_FIX_LEAKS, QCOW2_FIX_ALL };
struct qcow2_check {
	uint64_t corruptions, leaks, corruptions_fixed, leaks_fixed, errors;
	uint64_t lost;			/* of the corruptions: clusters that count too few references */
	uint64_t total_clusters, allocated, fragmented, compressed;
	uint64_t end;			/* image end offset */
	void (*say)(void *arg, const char *line);	/* NULL: quiet */
	void *arg;
};
bool qcow2_check(struct block *b, enum qcow2_fix fix, struct qcow2_check *c, struct err *e);

/* A whole cluster of data, stored compressed where that is shorter. at: a multiple of the cluster size. */
bool qcow2_write_compressed(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e);
/* The same in two steps. The first may be done by any thread: how long the cluster is compressed, 0: no shorter. */
size_t qcow2_zip(struct block *b, const void *cluster, uint8_t *zip);
bool qcow2_write_zipped(struct block *b, uint64_t at, const uint8_t *zip, size_t n, struct err *e);
/* The image names another backing image from now on (NULL: none); nothing is copied. */
bool qcow2_set_backing(struct block *b, const char *name, const char *format, struct err *e);
/* All clusters lose their contents: what the backing image holds is seen again. */
bool qcow2_make_empty(struct block *b, struct err *e);

#endif
