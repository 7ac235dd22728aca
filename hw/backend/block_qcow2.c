/*
 * qcow2 images, versions 2 and 3: header, opening, closing.
 *
 * Everything in the file is checked before it is believed; an image that
 * contradicts itself while it is used is marked corrupt and written no more.
 *
 * Not modelled: encryption, external data files, extended L2 entries
 * (subclusters), use of bitmaps (writing makes them invalid, as the format says).
 * Source: qcow2 specification (qcow2_priv.h).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hw/backend/qcow2_priv.h"

/* ---- the file ---- */

bool qcow2_read_bytes(struct qcow2 *q, uint64_t at, void *buf, size_t n, struct err *e)
{
	return block_file_read(&q->f, at, buf, n, e);
}

bool qcow2_write_bytes(struct qcow2 *q, uint64_t at, const void *buf, size_t n, struct err *e)
{
	if (q->broken)
		return err_set(e, "'%s': the image is corrupt and is not written any more", q->block.file);
	q->file_end = max_u64(q->file_end, align_up(at + n, q->cluster_size));
	return block_file_write(&q->f, at, buf, n, e);
}

void qcow2_leave(struct qcow2 *q)
{
	while (q->settling)
		pthread_cond_wait(&q->changed, &q->lock);
	q->busy++;
	pthread_mutex_unlock(&q->lock);
}

void qcow2_enter(struct qcow2 *q)
{
	pthread_mutex_lock(&q->lock);
	if (!--q->busy && q->settling)
		pthread_cond_broadcast(&q->changed);
}

bool qcow2_barrier(struct qcow2 *q, struct err *e)
{
	return q->block.no_flush || block_file_sync(&q->f, e);
}

bool qcow2_set_incompat(struct qcow2 *q, uint64_t incompat, struct err *e)
{
	uint8_t h[8];
	put_be64(h, incompat);
	q->incompat = incompat;
	return qcow2_barrier(q, e) && qcow2_write_bytes(q, 72, h, sizeof(h), e) && qcow2_barrier(q, e);
}

bool qcow2_corrupt(struct qcow2 *q, struct err *e, const char *what, uint64_t offset)
{
	if (q->writable && !q->broken && q->version >= 3)
		qcow2_set_incompat(q, q->incompat | INCOMPAT_CORRUPT, e);
	q->broken = q->writable;
	return err_set(e, "'%s': the image is corrupt: %s (0x%" PRIx64 "); rhea-img check tells more",
		       q->block.file, what, offset);
}

uint64_t *qcow2_read_table(struct qcow2 *q, uint64_t offset, uint64_t n, uint64_t max_bytes, const char *what,
			   struct err *e)
{
	uint64_t *t;

	if (n > max_bytes / 8 || offset & (q->cluster_size - 1) || offset > OFFSET_MASK || (n && !offset)) {
		err_set(e, "'%s': %s at 0x%" PRIx64 " with %" PRIu64 " entries is not possible", q->block.file,
			what, offset, n);
		return NULL;
	}
	if (!(t = malloc(n * 8 + 1))) {
		err_set(e, "'%s': no memory for %s", q->block.file, what);
		return NULL;
	}
	if (!qcow2_read_bytes(q, offset, t, n * 8, e)) {
		free(t);
		return NULL;
	}
	for (uint64_t i = 0; i < n; i++)
		t[i] = __builtin_bswap64(t[i]);
	return t;
}

bool qcow2_write_table(struct qcow2 *q, uint64_t offset, const uint64_t *table, uint64_t n, struct err *e)
{
	uint64_t piece[512];
	for (uint64_t i = 0, k; i < n; i += k) {
		k = min_u64(n - i, ARRAY_LEN(piece));
		for (uint64_t j = 0; j < k; j++)
			piece[j] = __builtin_bswap64(table[i + j]);
		if (!qcow2_write_bytes(q, offset + 8 * i, piece, 8 * k, e))
			return false;
	}
	return true;
}

static bool meets(const struct qcow2 *q, uint64_t offset, uint64_t at, uint64_t bytes)
{
	return offset < at + bytes && at < offset + q->cluster_size;
}

bool qcow2_is_metadata(struct qcow2 *q, uint64_t offset)
{
	if (!offset || meets(q, offset, q->l1_offset, 8ull * q->l1_size)
	    || meets(q, offset, q->reftable_offset, (uint64_t)q->reftable_clusters << q->cluster_bits)
	    || meets(q, offset, q->snapshots_offset, q->snapshots_bytes))
		return true;
	for (unsigned i = 0; i < q->nsnapshots; i++)
		if (meets(q, offset, q->snapshots[i].l1_offset, 8ull * q->snapshots[i].l1_size))
			return true;
	return qcow2_cache_holds(&q->l2, offset) || qcow2_cache_holds(&q->refblocks, offset);
}

bool qcow2_begin_write(struct qcow2 *q, struct err *e)
{
	static const uint8_t none[8];
	if (q->begun)
		return true;
	if (q->autoclear && !qcow2_write_bytes(q, 88, none, 8, e))
		return false;
	q->autoclear = 0;
	if (q->version >= 3 && q->compat & COMPAT_LAZY) {
		if (!qcow2_set_incompat(q, q->incompat | INCOMPAT_DIRTY, e))
			return false;
		q->lazy = true;
	}
	q->begun = true;
	return true;
}

/* ---- header ---- */

static char *copy_string(const uint8_t *p, size_t n)
{
	char *s = malloc(n + 1);
	if (s) {
		memcpy(s, p, n);
		s[n] = 0;
	}
	return s;
}

static bool bad(const struct qcow2 *q, struct err *e, const char *what, uint64_t v)
{
	return err_set(e, "'%s' is no valid qcow2 image: %s %" PRIu64, q->block.file, what, v);
}

static bool check_features(struct qcow2 *q, struct err *e)
{
	static const struct { uint64_t bit; const char *name; } lacking[] = {
		{ INCOMPAT_DATA_FILE,	"an external data file" },
		{ INCOMPAT_EXTENDED_L2,	"extended L2 entries" },
	};
	for (unsigned i = 0; i < ARRAY_LEN(lacking); i++)
		if (q->incompat & lacking[i].bit)
			return err_set(e, "'%s': %s is not supported; convert the image first", q->block.file,
				       lacking[i].name);
	if (q->incompat & ~(INCOMPAT_DIRTY | INCOMPAT_CORRUPT | INCOMPAT_COMPRESSION))
		return err_set(e, "'%s': unknown incompatible features 0x%" PRIx64, q->block.file, q->incompat);
	if (!(q->incompat & INCOMPAT_COMPRESSION) != !q->compression)
		return bad(q, e, "compression type", q->compression);
	if (q->compression > 1)
		return err_set(e, "'%s': compression type %u is not known", q->block.file, q->compression);
	return true;
}

/* The fields of the header; h holds at least 112 bytes. */
static bool parse_header(struct qcow2 *q, const uint8_t *h, struct err *e)
{
	if (memcmp(h, BLOCK_QCOW2_MAGIC, 4))
		return err_set(e, "'%s' is no qcow2 image", q->block.file);
	q->version = (int)be32(h + 4);
	if (q->version != 2 && q->version != 3)
		return err_set(e, "'%s': version %d of the qcow2 format is not supported", q->block.file, q->version);
	q->cluster_bits = be32(h + 20);
	if (q->cluster_bits < MIN_CLUSTER_BITS || q->cluster_bits > MAX_CLUSTER_BITS)
		return bad(q, e, "cluster bits", q->cluster_bits);
	q->cluster_size = 1u << q->cluster_bits;
	q->size = be64(h + 24);
	if (be32(h + 32))
		return err_set(e, "'%s': encrypted images are not supported", q->block.file);
	q->l1_size = be32(h + 36);
	q->l1_offset = be64(h + 40);
	q->reftable_offset = be64(h + 48);
	q->reftable_clusters = be32(h + 56);
	q->nsnapshots = be32(h + 60);
	q->snapshots_offset = be64(h + 64);
	q->refcount_order = 4;
	q->header_length = HEADER_V2;
	if (q->version == 2)
		return true;
	q->incompat = be64(h + 72);
	q->compat = be64(h + 80);
	q->autoclear = be64(h + 88);
	q->refcount_order = be32(h + 96);
	q->header_length = be32(h + 100);
	if (q->refcount_order > 6)
		return bad(q, e, "refcount order", q->refcount_order);
	if (q->header_length < HEADER_V3 || q->header_length > q->cluster_size || q->header_length % 8)
		return bad(q, e, "header length", q->header_length);
	q->compression = q->header_length > 104 ? h[104] : 0;
	return check_features(q, e);
}

static bool overlap(uint64_t a, uint64_t n, uint64_t b, uint64_t m)
{
	return n && m && a < b + m && b < a + n;
}

static bool check_geometry(struct qcow2 *q, struct err *e)
{
	uint64_t per = l2_entries(q) << q->cluster_bits, reft = (uint64_t)q->reftable_clusters << q->cluster_bits;

	if (q->size > per * (MAX_L1_BYTES / 8) || q->size > INT64_MAX - SECTOR)
		return bad(q, e, "size", q->size);
	if (q->l1_size > MAX_L1_BYTES / 8 || q->l1_size < (q->size + per - 1) / per)
		return bad(q, e, "L1 table size", q->l1_size);
	if (!q->reftable_clusters || reft > MAX_REFTABLE_BYTES)
		return bad(q, e, "refcount table size", q->reftable_clusters);
	if (q->reftable_offset & (q->cluster_size - 1) || !q->reftable_offset || q->reftable_offset > OFFSET_MASK)
		return bad(q, e, "refcount table offset", q->reftable_offset);
	if (q->l1_offset & (q->cluster_size - 1) || (q->l1_size && !q->l1_offset) || q->l1_offset > OFFSET_MASK)
		return bad(q, e, "L1 table offset", q->l1_offset);
	if (q->nsnapshots > MAX_SNAPSHOTS)
		return bad(q, e, "number of snapshots", q->nsnapshots);
	if (q->nsnapshots && (q->snapshots_offset & (q->cluster_size - 1) || !q->snapshots_offset
			      || q->snapshots_offset > OFFSET_MASK))
		return bad(q, e, "snapshot table offset", q->snapshots_offset);
	if (overlap(q->l1_offset, 8ull * q->l1_size, q->reftable_offset, reft))
		return bad(q, e, "L1 table in the refcount table, at", q->l1_offset);
	return true;
}

/* Extensions and backing name; h is the first cluster. */
static bool parse_extensions(struct qcow2 *q, const uint8_t *h, struct err *e)
{
	uint64_t name_at = be64(h + 8), name_len = name_at ? be32(h + 16) : 0, at = q->header_length;
	uint64_t end = name_at ? name_at : q->cluster_size;

	if (name_len > MAX_BACKING_NAME || name_at > q->cluster_size || name_len > q->cluster_size - name_at
	    || (name_at && name_at < q->header_length))
		return bad(q, e, "backing name at", name_at);
	while (at + 8 <= end) {
		uint32_t type = be32(h + at), n = be32(h + at + 4);
		at += 8;
		if (type == EXT_END)
			break;
		if (n > end - at)
			return bad(q, e, "length of a header extension", n);
		if (type == EXT_BACKING_FORMAT && !q->backing_format
		    && !(q->backing_format = copy_string(h + at, min_u64(n, 15))))
			return err_set(e, "no memory");
		q->has_bitmaps |= type == EXT_BITMAPS;
		at += align_up(n, 8);
	}
	if (name_len && !(q->backing = copy_string(h + name_at, name_len)))
		return err_set(e, "no memory");
	return true;
}

/* ---- backing image ---- */

static bool open_backing(struct qcow2 *q, const struct block_options *o, struct err *e)
{
	if (o->backing && !o->no_backing) {
		struct block_options named = *o->backing;

		named.readonly = true;
		named.depth = o->depth + 1;
		q->block.backing = block_open(&named, e);
		return q->block.backing || err_prefix(e, "'%s': backing image", q->block.file);
	}
	if (!q->backing)
		return true;
	if (!(q->backing_path = block_backing_path(q->block.file, q->backing)))
		return err_set(e, "no memory");
	if (o->no_backing)
		return true;
	struct block_options b = {
		.file = q->backing_path, .format = q->backing_format, .readonly = !o->backing_writable,
		.direct = o->direct, .no_flush = o->no_flush, .locking = o->locking, .unlocked = o->unlocked, .depth = o->depth + 1,
	};
	q->block.backing = block_open(&b, e);
	return q->block.backing || err_prefix(e, "'%s': backing image", q->block.file);
}

/* ---- opening and closing ---- */

static bool close_tables(struct qcow2 *q, struct err *e)
{
	if (!q->writable || q->broken)
		return true;
	if (!qcow2_flush_all(q, e))
		return false;
	if (!q->lazy)
		return true;
	q->lazy = false;
	return qcow2_flush_all(q, e) && qcow2_set_incompat(q, q->incompat & ~(uint64_t)INCOMPAT_DIRTY, e);
}

static void qcow2_close(struct block *b)
{
	struct qcow2 *q = to_qcow2(b);
	struct err ignored;

	if (q->l2.slot && q->refblocks.slot)
		close_tables(q, &ignored);
	qcow2_snapshots_free(q);
	if (q->l2.slot)
		qcow2_cache_fini(&q->l2);
	if (q->refblocks.slot)
		qcow2_cache_fini(&q->refblocks);
	block_file_close(&q->f);
	free(q->frees.r);
	free(q->l1);
	free(q->reftable);
	free(q->backing);
	free(q->backing_format);
	free(q->backing_path);
	free(q->buf);
	free(q->unzipped);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->changed);
	free(b->file);
	free(q);
}

static bool qcow2_flush(struct block *b, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);

	pthread_mutex_lock(&q->lock);
	bool ok = q->broken ? err_set(e, "'%s': the image is corrupt and is not written any more", b->file)
		: !q->begun || qcow2_flush_metadata(q, e);
	pthread_mutex_unlock(&q->lock);
	return ok && qcow2_barrier(q, e);
}

static int qcow2_fd(const struct block *b)
{
	return ((const struct qcow2 *)b)->f.fd;
}

static const struct block_ops qcow2_ops = {
	"qcow2", qcow2_readv, qcow2_writev, qcow2_flush, qcow2_close, qcow2_discard, qcow2_status, qcow2_resize,
	qcow2_read_now, qcow2_fd,
};

static bool read_header(struct qcow2 *q, struct err *e)
{
	uint8_t h[112];
	if (!qcow2_read_bytes(q, 0, h, sizeof(h), e) || !parse_header(q, h, e) || !check_geometry(q, e))
		return false;
	q->buf = malloc(q->cluster_size);
	q->unzipped = malloc(q->cluster_size);
	if (!q->buf || !q->unzipped || !qcow2_cache_init(&q->l2, q) || !qcow2_cache_init(&q->refblocks, q))
		return err_set(e, "'%s': no memory", q->block.file);
	return qcow2_read_bytes(q, 0, q->buf, q->cluster_size, e) && parse_extensions(q, q->buf, e);
}

/* Each entry names a cluster of its own, so there are not more than clusters: this bounds all walks. */
static bool plausible(struct qcow2 *q, const uint64_t *table, uint64_t n, const char *what, struct err *e)
{
	uint64_t used = 0, bytes;

	if (!block_file_size(&q->f, &bytes, e))
		return false;
	for (uint64_t i = 0; i < n; i++)
		used += (table[i] & OFFSET_MASK) != 0;
	return used <= clusters_of(q, bytes)
		|| err_set(e, "'%s': %s has more entries than the file has clusters", q->block.file, what);
}

static bool read_tables(struct qcow2 *q, struct err *e)
{
	q->l1 = qcow2_read_table(q, q->l1_offset, q->l1_size, MAX_L1_BYTES, "the L1 table", e);
	if (!q->l1)
		return false;
	q->reftable = qcow2_read_table(q, q->reftable_offset, reftable_entries(q), MAX_REFTABLE_BYTES,
				       "the refcount table", e);
	return q->reftable && plausible(q, q->l1, q->l1_size, "the L1 table", e)
		&& plausible(q, q->reftable, reftable_entries(q), "the refcount table", e)
		&& qcow2_snapshots_read(q, e);
}

/* Refcounts were not written: count anew. */
static bool repair(struct qcow2 *q, struct err *e)
{
	struct qcow2_check c = { 0 };
	if (!qcow2_check(&q->block, QCOW2_FIX_ALL, &c, e))
		return false;
	if (c.errors || c.corruptions > c.corruptions_fixed)
		return err_set(e, "'%s': was not closed and cannot be repaired; see rhea-img check", q->block.file);
	return true;
}

static bool open_image(struct qcow2 *q, const struct block_options *o, struct err *e)
{
	if (!block_file_open(&q->f, q->block.file, o, e))
		return false;
	q->writable = q->f.writing;
	q->block.readonly = !q->writable;
	if (!read_header(q, e) || !read_tables(q, e))
		return false;
	q->block.sectors = (q->size + SECTOR - 1) / SECTOR;
	if (q->writable && q->incompat & INCOMPAT_CORRUPT && !o->repairing)
		return err_set(e, "'%s' is marked corrupt; it can be opened read-only, or repaired by "
			       "rhea-img check -r all", q->block.file);
	if (!qcow2_zip_supported(q->compression))
		return err_set(e, "'%s': this build lacks zstd, which the image is compressed with", q->block.file);
	if (!open_backing(q, o, e) || !qcow2_find_end(q, e))
		return false;
	return !q->writable || !(q->incompat & INCOMPAT_DIRTY) || o->repairing || repair(q, e);
}

struct block *block_qcow2_open(const struct block_options *o, struct err *e)
{
	struct qcow2 *q = calloc(1, sizeof(*q));

	if (!q || !(q->block.file = strdup(o->file))) {
		free(q);
		err_set(e, "no memory");
		return NULL;
	}
	q->block.ops = &qcow2_ops;
	q->block.no_flush = o->no_flush;
	q->f.fd = -1;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	if (!open_image(q, o, e)) {
		struct block *backing = q->block.backing;
		q->writable = false;
		qcow2_close(&q->block);
		block_close(backing);
		return NULL;
	}
	return &q->block;
}

bool qcow2_info(struct block *b, struct qcow2_info *i, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	if (b->ops != &qcow2_ops)
		return err_set(e, "'%s' is no qcow2 image", b->file);
	*i = (struct qcow2_info){
		.version = q->version, .cluster_size = q->cluster_size, .refcount_bits = 1u << q->refcount_order,
		.lazy_refcounts = q->compat & COMPAT_LAZY, .dirty = q->incompat & INCOMPAT_DIRTY,
		.corrupt = q->incompat & INCOMPAT_CORRUPT, .zstd = q->compression == 1,
		.backing = q->backing, .backing_format = q->backing_format, .backing_path = q->backing_path,
		.nsnapshots = q->nsnapshots,
	};
	return true;
}
