/*
 * State and helpers shared by the files of the qcow2 format.
 *
 *   block_qcow2.c      header, opening and closing, block_ops
 *   qcow2_cache.c      tables in memory; the order in which they reach the file
 *   qcow2_refcount.c   reference counts, finding free clusters
 *   qcow2_map.c        guest clusters: reading, writing, copy on write, discard
 *   qcow2_zip.c        compressed clusters
 *   qcow2_snapshot.c   internal snapshots
 *   qcow2_vmstate.c    a machine's state behind the disk's end
 *   qcow2_check.c      consistency of the whole image, repair
 *   qcow2_create.c     new images, changes of the header
 *
 * Order of writes. What the file holds is consistent after every single write,
 * apart from clusters that are counted but not used:
 *
 *   1 data, refcount blocks with increments     sync
 *   2 L2 tables                                 sync if the L1 table changed
 *   3 L1 entries                                sync
 *   4 decrements: a cluster that something in the file still refers to is
 *     neither counted down nor used again before the reference is gone
 *
 * Threads. Reading, writing, discarding and flushing take `lock`, which protects all of
 * struct qcow2 and the tables; it is given up around transfers of data and around
 * decompression (qcow2_leave, qcow2_enter). Meanwhile
 *   - a guest cluster that gets a new place is in `moving`: other writers wait for it;
 *   - clusters are not freed (`busy`, qcow2_settle), so nobody reads or writes at a
 *     place that has become somebody else's.
 * That two transfers do not meet in the same sectors is the caller's business (block.h).
 * Everything else (snapshots, checks, tools) has the image for itself.
 *
 * Source: "QCOW2 image format" specification (docs/interop/qcow2.txt of QEMU);
 * numbers are big-endian.
 */
#ifndef HW_BACKEND_QCOW2_PRIV_H
#define HW_BACKEND_QCOW2_PRIV_H

#include "base/bits.h"
#include "hw/backend/block.h"
#include "hw/backend/block_file.h"
#include "hw/backend/iov.h"
#include "hw/backend/qcow2.h"

#define INCOMPAT_DIRTY		1u
#define INCOMPAT_CORRUPT	2u
#define INCOMPAT_DATA_FILE	4u
#define INCOMPAT_COMPRESSION	8u
#define INCOMPAT_EXTENDED_L2	16u
#define COMPAT_LAZY		1u
#define AUTOCLEAR_BITMAPS	1u

#define EXT_END			0u
#define EXT_BACKING_FORMAT	0xe2792acau
#define EXT_FEATURE_NAMES	0x6803f857u
#define EXT_BITMAPS		0x23852875u

#define FLAG_COPIED		(1ull << 63)
#define FLAG_COMPRESSED		(1ull << 62)
#define FLAG_ZERO		1ull
#define OFFSET_MASK		0x00fffffffffffe00ull	/* bits 9-55 */
#define REFTABLE_MASK		0xfffffffffffffe00ull

#define MIN_CLUSTER_BITS	9
#define MAX_CLUSTER_BITS	21
#define MAX_L1_BYTES		(32u << 20)
#define MAX_REFTABLE_BYTES	(8u << 20)
#define MAX_SNAPSHOTS		65536u
#define MAX_SNAPSHOT_BYTES	(64u << 20)
#define MAX_BACKING_NAME	1023u
#define HEADER_V2		72u
#define HEADER_V3		104u

/* One kind of table in memory: slots of one cluster, the least recently used one goes. */
struct qcow2_slot {
	uint64_t offset;	/* in the file; 0: free */
	uint64_t used;		/* cache->tick of the last use */
	bool dirty;
	int next;		/* in the hash chain, -1: last */
	uint8_t *data;
};
#define QCOW2_HASH 256
struct qcow2_cache {
	unsigned n, ndirty;
	uint64_t tick;
	int head[QCOW2_HASH];
	struct qcow2_slot *slot;
};

struct qcow2_range {
	uint64_t offset, bytes;
	bool punch;		/* of frees: the host gets the room back */
};
/* Clusters whose last reference in the file is not gone yet. */
struct qcow2_frees {
	size_t n, room, safe;	/* safe: so many at the front have no reference in the file */
	struct qcow2_range *r;
};

/* Guest clusters [first, first + n) that a writer gives a new place. */
struct qcow2_moving {
	uint64_t first, n;
	struct qcow2_moving *next;
};

struct qcow2 {
	struct block block;
	struct block_file f;
	pthread_mutex_t lock;
	pthread_cond_t changed;			/* busy is 0, moving is shorter, settling is over */
	unsigned busy;				/* transfers of data without the lock */
	bool settling;				/* no new ones */
	struct qcow2_moving *moving;
	bool writable;
	bool begun;				/* something has been written since it was opened */
	bool broken;				/* found corrupt: nothing is written any more */
	bool lazy;				/* refcounts may wait until the end: the dirty bit is set */
	/* header */
	int version;
	unsigned cluster_bits, refcount_order;
	uint32_t cluster_size;
	uint64_t size;				/* bytes of the disk */
	uint64_t incompat, compat, autoclear;
	uint32_t header_length;
	uint8_t compression;			/* 0 zlib, 1 zstd */
	uint64_t l1_offset, reftable_offset, snapshots_offset;
	uint32_t l1_size, reftable_clusters, nsnapshots;
	char *backing, *backing_format, *backing_path;
	bool has_bitmaps;
	/* tables held as a whole, in host byte order */
	uint64_t *l1;
	bool l1_dirty;
	uint32_t l1_dirty_from, l1_dirty_to;	/* entries */
	uint64_t *reftable;
	bool reftable_dirty;
	struct qcow2_snapshot *snapshots;
	uint32_t snapshots_bytes;
	/* tables held in part */
	struct qcow2_cache l2, refblocks;
	struct qcow2_frees frees;
	bool discarding;			/* what is freed now is given back to the host */
	uint64_t end;				/* in clusters: everything from here on is free */
	uint64_t hint;				/* no free cluster below */
	uint64_t zip_at;			/* where the next compressed cluster may go, 0: nowhere */
	uint64_t file_end;			/* bytes: the file reads as zeros from here on */
	uint8_t *buf;				/* one cluster, for the header */
	uint8_t *unzipped;			/* the last one decompressed... */
	uint64_t unzipped_entry;		/* ... and its L2 entry, 0: none */
	uint64_t zip_gone;			/* counts compressed clusters that lost their entry */
};

static inline uint16_t be16(const void *p) { return __builtin_bswap16(ld16(p)); }
static inline uint32_t be32(const void *p) { return __builtin_bswap32(ld32(p)); }
static inline uint64_t be64(const void *p) { return __builtin_bswap64(ld64(p)); }
static inline void put_be16(void *p, uint16_t v) { st16(p, __builtin_bswap16(v)); }
static inline void put_be32(void *p, uint32_t v) { st32(p, __builtin_bswap32(v)); }
static inline void put_be64(void *p, uint64_t v) { st64(p, __builtin_bswap64(v)); }

static inline struct qcow2 *to_qcow2(struct block *b)
{
	return container_of(b, struct qcow2, block);
}
static inline uint64_t l2_entries(const struct qcow2 *q)
{
	return q->cluster_size / 8;
}
static inline uint64_t refblock_entries(const struct qcow2 *q)
{
	return (uint64_t)q->cluster_size * 8 >> q->refcount_order;
}
static inline uint64_t reftable_entries(const struct qcow2 *q)
{
	return (uint64_t)q->reftable_clusters << (q->cluster_bits - 3);
}
static inline uint64_t clusters_of(const struct qcow2 *q, uint64_t bytes)
{
	return (bytes + q->cluster_size - 1) >> q->cluster_bits;
}

/* ---- block_qcow2.c ---- */

bool qcow2_read_bytes(struct qcow2 *q, uint64_t at, void *buf, size_t n, struct err *e);
bool qcow2_write_bytes(struct qcow2 *q, uint64_t at, const void *buf, size_t n, struct err *e);
/* Give the lock up for a transfer of data, and take it again. */
void qcow2_leave(struct qcow2 *q);
void qcow2_enter(struct qcow2 *q);
/* All writes so far are before all later ones, even if the host fails. */
bool qcow2_barrier(struct qcow2 *q, struct err *e);
/* The image contradicts itself: marked in its header, and written no more. False. */
bool qcow2_corrupt(struct qcow2 *q, struct err *e, const char *what, uint64_t offset);
bool qcow2_set_incompat(struct qcow2 *q, uint64_t incompat, struct err *e);
/* A table of n big-endian entries at offset, in host order; NULL with err. Checked for place and size. */
uint64_t *qcow2_read_table(struct qcow2 *q, uint64_t offset, uint64_t n, uint64_t max_bytes, const char *what,
			   struct err *e);
bool qcow2_write_table(struct qcow2 *q, uint64_t offset, const uint64_t *table, uint64_t n, struct err *e);
/* Is a cluster part of a table that is known? */
bool qcow2_is_metadata(struct qcow2 *q, uint64_t offset);

/* ---- qcow2_cache.c ---- */

bool qcow2_cache_init(struct qcow2_cache *c, const struct qcow2 *q);
void qcow2_cache_fini(struct qcow2_cache *c);
bool qcow2_cache_holds(const struct qcow2_cache *c, uint64_t offset);
/* The table at offset, valid until the next two calls for the same cache. */
uint8_t *qcow2_table(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, struct err *e);
/* The same for a table that is new: all zeros, dirty. */
uint8_t *qcow2_table_new(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, struct err *e);
void qcow2_table_dirty(struct qcow2_cache *c, uint64_t offset);
/* Forget the table at an offset, written or not. */
void qcow2_cache_drop(struct qcow2_cache *c, uint64_t offset);
void qcow2_l1_set(struct qcow2 *q, uint32_t i, uint64_t entry);
/* Refcounts to the file (step 1), all tables in order (1 to 3), all and decrements (1 to 4). */
bool qcow2_flush_refcounts(struct qcow2 *q, struct err *e);
bool qcow2_flush_tables(struct qcow2 *q, struct err *e);
bool qcow2_flush_all(struct qcow2 *q, struct err *e);
/* A range loses a reference when the tables have been flushed. */
bool qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct err *e);
/* Tables and decrements as qcow2_flush_all, but for the last sync. */
bool qcow2_flush_metadata(struct qcow2 *q, struct err *e);
/* Count down what is safe, when no transfer is under way. */
bool qcow2_settle(struct qcow2 *q, struct err *e);

/* ---- qcow2_refcount.c ---- */

bool qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count, struct err *e);
bool qcow2_refcount_add(struct qcow2 *q, uint64_t cluster, int delta, struct err *e);
/* All clusters that a range of bytes touches. */
bool qcow2_refcount_range(struct qcow2 *q, uint64_t offset, uint64_t bytes, int delta, struct err *e);
bool qcow2_refcount_put(struct qcow2 *q, uint64_t cluster, uint64_t count, struct err *e);
uint64_t qcow2_refcount_max(const struct qcow2 *q);
uint64_t refcount_in(const uint8_t *block, unsigned order, uint64_t i);
void refcount_out(uint8_t *block, unsigned order, uint64_t i, uint64_t v);
/* n clusters in a row, counted once. Byte offset, 0: err. */
uint64_t qcow2_alloc(struct qcow2 *q, uint64_t n, struct err *e);
/* Make sure that a cluster below q->end has a refcount block. */
bool qcow2_refcount_cover(struct qcow2 *q, uint64_t cluster, struct err *e);
bool qcow2_find_end(struct qcow2 *q, struct err *e);

/* ---- qcow2_map.c ---- */

/* L2 entry of a guest cluster; 0 if there is no L2 table. */
bool qcow2_entry(struct qcow2 *q, uint64_t cluster, uint64_t *entry, struct err *e);
/* The L2 table of a guest cluster, made or copied so that it may be written. */
uint8_t *qcow2_l2_for_write(struct qcow2 *q, uint64_t cluster, struct err *e);
/* Replace an entry; what the old one referred to is freed. */
bool qcow2_set_entry(struct qcow2 *q, uint64_t cluster, uint64_t entry, bool free_old, struct err *e);
/* n bytes at a byte of the disk or behind it, as far as the L1 table reaches. With the lock. */
bool qcow2_write_clusters(struct qcow2 *q, uint64_t byte, const void *buf, size_t n, struct err *e);
bool qcow2_readv(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e);
bool qcow2_read_now(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n);
bool qcow2_writev(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e);
bool qcow2_discard(struct block *b, uint64_t at, uint32_t n, bool zero, bool unmap, struct err *e);
bool qcow2_status(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e);
/* Before the first change: auto-clear bits, dirty bit of lazy refcounts. */
bool qcow2_begin_write(struct qcow2 *q, struct err *e);
/* Is entry a standard cluster where one may stand? Else the image is corrupt (false). */
bool qcow2_check_entry(struct qcow2 *q, uint64_t entry, struct err *e);

/* ---- qcow2_zip.c ---- */

/* Where a compressed cluster's data are. */
struct qcow2_range qcow2_zip_range(const struct qcow2 *q, uint64_t entry);
/* Bytes of a compressed cluster. With the lock, which is given up meanwhile. */
bool qcow2_read_zipped(struct qcow2 *q, uint64_t entry, uint32_t off, const struct iovec *iov, int niov,
		       struct err *e);
bool qcow2_zip_supported(uint8_t type);

/* ---- qcow2_snapshot.c ---- */

bool qcow2_snapshots_read(struct qcow2 *q, struct err *e);
void qcow2_snapshots_free(struct qcow2 *q);
/* Set FLAG_COPIED in all active tables where the refcount is one, clear it elsewhere. */
bool qcow2_flag_all(struct qcow2 *q, struct err *e);

/* ---- qcow2_vmstate.c ---- */

/* The first L1 entry behind a disk of so many bytes. */
uint32_t qcow2_vmstate_index(const struct qcow2 *q, uint64_t disk_size);
/* The active L1 table holds nothing behind the disk any more. */
bool qcow2_vmstate_drop(struct qcow2 *q, struct err *e);

/* ---- qcow2_create.c ---- */

/*
 * An L1 table at a new place: header fields 36..47 name it in one write. Where; 0: the file has the old one,
 * and so has *q either way.
 */
uint64_t qcow2_put_l1(struct qcow2 *q, const uint64_t *l1, uint64_t n, struct err *e);
bool qcow2_grow_l1(struct qcow2 *q, uint64_t n, struct err *e);

/* Write the first cluster anew from what q says: extensions and backing name. */
bool qcow2_header_write(struct qcow2 *q, struct err *e);
bool qcow2_resize(struct block *b, uint64_t sectors, struct err *e);

#endif
