/*
 * New qcow2 images, and changes of the header: size, backing image.
 *
 * A new image starts as header, refcount table and one refcount block for a
 * disk of no size; growing it makes the L1 table.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/qcow2_priv.h"

/* ---- the first cluster ---- */

static uint8_t *put_extension(uint8_t *p, uint8_t *end, uint32_t type, const void *data, uint32_t n)
{
	uint64_t room = align_up(n, 8) + 8;
	if (!p || (size_t)(end - p) < room)
		return NULL;
	put_be32(p, type);
	put_be32(p + 4, n);
	memset(p + 8, 0, room - 8);
	if (n)
		memcpy(p + 8, data, n);
	return p + room;
}

/* What tells older programs which feature they lack. */
static uint32_t feature_names(uint8_t *t)
{
	static const struct { uint8_t type, bit; const char *name; } row[] = {
		{ 0, 0, "dirty bit" }, { 0, 1, "corrupt bit" }, { 0, 2, "external data file" },
		{ 0, 3, "compression type" }, { 0, 4, "extended L2 entries" },
		{ 1, 0, "lazy refcounts" }, { 2, 0, "bitmaps" }, { 2, 1, "raw external data" },
	};
	memset(t, 0, ARRAY_LEN(row) * 48);
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		t[48 * i] = row[i].type;
		t[48 * i + 1] = row[i].bit;
		memcpy(t + 48 * i + 2, row[i].name, strlen(row[i].name));
	}
	return ARRAY_LEN(row) * 48;
}

static void put_fields(const struct qcow2 *q, uint8_t *h)
{
	memcpy(h, BLOCK_QCOW2_MAGIC, 4);
	put_be32(h + 4, (uint32_t)q->version);
	put_be32(h + 20, q->cluster_bits);
	put_be64(h + 24, q->size);
	put_be32(h + 36, q->l1_size);
	put_be64(h + 40, q->l1_offset);
	put_be64(h + 48, q->reftable_offset);
	put_be32(h + 56, q->reftable_clusters);
	put_be32(h + 60, q->nsnapshots);
	put_be64(h + 64, q->snapshots_offset);
	if (q->version < 3)
		return;
	put_be64(h + 72, q->incompat);
	put_be64(h + 80, q->compat);
	put_be64(h + 88, q->autoclear);
	put_be32(h + 96, q->refcount_order);
	put_be32(h + 100, q->header_length);
	if (q->header_length > HEADER_V3)
		h[104] = q->compression;
}

/* Extensions that are not made here stay as they are. */
static uint8_t *keep_extensions(const struct qcow2 *q, const uint8_t *old, uint8_t *p, uint8_t *end)
{
	uint64_t name_at = be64(old + 8), at = q->header_length, to = name_at ? name_at : q->cluster_size;
	if (memcmp(old, BLOCK_QCOW2_MAGIC, 4))
		return p;
	while (p && at + 8 <= to) {
		uint32_t type = be32(old + at), n = be32(old + at + 4);
		if (type == EXT_END || n > to - at - 8)
			break;
		if (type != EXT_BACKING_FORMAT && type != EXT_FEATURE_NAMES)
			p = put_extension(p, end, type, old + at + 8, n);
		at += 8 + align_up(n, 8);
	}
	return p;
}

bool qcow2_header_write(struct qcow2 *q, struct err *e)
{
	uint8_t *old = malloc(q->cluster_size), *h = calloc(1, q->cluster_size), names[8 * 48];
	bool ok = old && h && qcow2_read_bytes(q, 0, old, q->cluster_size, e);

	if (!ok) {
		free(old);
		free(h);
		return err_set(e, "'%s': cannot read the header", q->block.file);
	}
	put_fields(q, h);
	/* Fields behind those known here. */
	uint32_t known = q->version < 3 ? HEADER_V2 : (uint32_t)min_u64(q->header_length, 112);
	if (!memcmp(old, BLOCK_QCOW2_MAGIC, 4) && q->header_length > known)
		memcpy(h + known, old + known, q->header_length - known);
	uint8_t *p = h + q->header_length, *end = h + q->cluster_size;
	if (q->backing_format)
		p = put_extension(p, end, EXT_BACKING_FORMAT, q->backing_format, (uint32_t)strlen(q->backing_format));
	p = keep_extensions(q, old, p, end);
	uint64_t need = 8 + (q->backing ? strlen(q->backing) : 0);
	/* The names are left out where clusters are too small for them. */
	if (p && q->version >= 3 && (size_t)(end - p) >= need + sizeof(names) + 8)
		p = put_extension(p, end, EXT_FEATURE_NAMES, names, feature_names(names));
	p = put_extension(p, end, EXT_END, NULL, 0);
	if (!p || (size_t)(end - p) < need - 8)
		ok = err_set(e, "'%s': the backing image's name is too long for the first cluster", q->block.file);
	if (ok && q->backing) {
		put_be64(h + 8, (uint64_t)(p - h));
		put_be32(h + 16, (uint32_t)(need - 8));
		memcpy(p, q->backing, need - 8);
	}
	ok = ok && qcow2_write_bytes(q, 0, h, q->cluster_size, e) && qcow2_barrier(q, e);
	free(old);
	free(h);
	return ok;
}

/* ---- size ---- */

uint64_t qcow2_put_l1(struct qcow2 *q, const uint64_t *l1, uint64_t n, struct err *e)
{
	uint64_t at = qcow2_alloc(q, clusters_of(q, n * 8), e);
	struct err ignored;
	uint8_t h[12];

	if (!at)
		return 0;
	put_be32(h, (uint32_t)n);
	put_be64(h + 4, at);
	if (!qcow2_flush_refcounts(q, e) || !qcow2_write_table(q, at, l1, n, e) || !qcow2_barrier(q, e)) {
		qcow2_refcount_range(q, at, n * 8, -1, &ignored);
		return 0;
	}
	return qcow2_write_bytes(q, 36, h, sizeof(h), e) && qcow2_barrier(q, e) ? at : 0;
}

/* A larger L1 table at a new place. */
bool qcow2_grow_l1(struct qcow2 *q, uint64_t n, struct err *e)
{
	uint64_t old_at = q->l1_offset, old_bytes = 8ull * q->l1_size, at;

	if (n > MAX_L1_BYTES / 8)
		return err_set(e, "'%s': clusters of %u bytes are too small for a disk of that size", q->block.file,
			       q->cluster_size);
	uint64_t *l1 = calloc(n, 8);
	bool flushed = l1 && qcow2_flush_all(q, e);
	if (flushed)
		memcpy(l1, q->l1, old_bytes);
	if (!flushed || !(at = qcow2_put_l1(q, l1, n, e))) {
		free(l1);
		return err_prefix(e, "L1 table");
	}
	free(q->l1);
	q->l1 = l1;
	q->l1_offset = at;
	q->l1_size = (uint32_t)n;
	return qcow2_refcount_range(q, old_at, old_bytes, -1, e) && qcow2_flush_all(q, e);
}

static bool drop_behind(struct qcow2 *q, uint64_t bytes, struct err *e)
{
	uint64_t entry;
	for (uint64_t c = clusters_of(q, bytes); c < clusters_of(q, q->size); c++)
		if (!qcow2_entry(q, c, &entry, e) || (entry && !qcow2_set_entry(q, c, 0, true, e)))
			return false;
	return qcow2_flush_all(q, e);
}

bool qcow2_resize(struct block *b, uint64_t sectors, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	uint64_t bytes = sectors * SECTOR, per = l2_entries(q) << q->cluster_bits;
	uint8_t h[8];

	if (sectors > INT64_MAX / SECTOR - 1 || bytes / per >= MAX_L1_BYTES / 8)
		return err_set(e, "'%s': clusters of %u bytes are too small for a disk of that size", b->file,
			       q->cluster_size);
	if (!qcow2_begin_write(q, e) || !qcow2_vmstate_drop(q, e))
		return false;
	uint64_t n = (bytes + per - 1) / per;
	if (bytes < q->size && q->nsnapshots)
		return err_set(e, "'%s': an image with snapshots cannot be made smaller", b->file);
	if (bytes < q->size && !drop_behind(q, bytes, e))
		return false;
	if (n > q->l1_size && !qcow2_grow_l1(q, n, e))
		return false;
	/* What the backing image has behind the old end is no part of the disk. */
	uint64_t from = q->size / SECTOR, have = q->block.backing ? q->block.backing->sectors : 0;
	put_be64(h, bytes);
	q->size = bytes;
	b->sectors = sectors;
	for (uint64_t at = from, k; at < sectors && at < have; at += k) {
		k = min_u64(min_u64(sectors, have) - at, BIT(20));
		if (!qcow2_discard(b, at, (uint32_t)k, true, true, e))
			return false;
	}
	return qcow2_flush_all(q, e) && qcow2_write_bytes(q, 24, h, sizeof(h), e) && qcow2_barrier(q, e);
}

/* ---- backing image ---- */

bool qcow2_set_backing(struct block *b, const char *name, const char *format, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	struct qcow2_info ignored;
	char *n = name ? strdup(name) : NULL, *f = name && format ? strdup(format) : NULL;

	if (!qcow2_info(b, &ignored, e) || !qcow2_begin_write(q, e) || !qcow2_flush_all(q, e) || (name && !n)) {
		free(n);
		free(f);
		return false;
	}
	free(q->backing);
	free(q->backing_format);
	q->backing = n;
	q->backing_format = f;
	return qcow2_header_write(q, e);
}

bool qcow2_make_empty(struct block *b, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	struct qcow2_info ignored;
	uint64_t entry;

	if (!qcow2_info(b, &ignored, e) || !qcow2_begin_write(q, e))
		return false;
	for (uint64_t c = 0; c < clusters_of(q, q->size); c++) {
		if (!(q->l1[c / l2_entries(q)] & OFFSET_MASK)) {
			c += l2_entries(q) - 1 - c % l2_entries(q);
			continue;
		}
		if (!qcow2_entry(q, c, &entry, e) || (entry && !qcow2_set_entry(q, c, 0, true, e)))
			return false;
	}
	return qcow2_flush_all(q, e);
}

/* ---- new images ---- */

bool qcow2_create_possible(const char *file, const struct qcow2_create *c, struct err *e)
{
	unsigned bits = c->refcount_bits;
	uint32_t cs = c->cluster_size;
	if (cs < BIT(MIN_CLUSTER_BITS) || cs > BIT(MAX_CLUSTER_BITS) || cs & (cs - 1))
		return err_set(e, "'%s': the cluster size must be a power of two from 512 to 2M", file);
	if (!bits || bits > 64 || bits & (bits - 1))
		return err_set(e, "'%s': refcount_bits must be a power of two from 1 to 64", file);
	if (c->version == 2 && (bits != 16 || c->lazy_refcounts || c->zstd))
		return err_set(e, "'%s': %s needs compat=1.1", file, bits != 16 ? "refcount_bits other than 16"
			       : c->lazy_refcounts ? "lazy_refcounts" : "compression_type=zstd");
	if (c->zstd && !qcow2_zip_supported(1))
		return err_set(e, "'%s': this build lacks zstd", file);
	if (c->backing && c->prealloc)
		return err_set(e, "'%s': preallocation would hide the backing image", file);
	if (c->backing && strlen(c->backing) > MAX_BACKING_NAME)
		return err_set(e, "'%s': the backing image's name is too long", file);
	return true;
}

/* Header, refcount table with one entry, a refcount block that counts these three. */
static bool write_empty(int fd, const char *file, const struct qcow2_create *c, struct err *e)
{
	struct qcow2 q = { .version = c->version, .cluster_size = c->cluster_size,
			   .cluster_bits = (unsigned)__builtin_ctz(c->cluster_size),
			   .refcount_order = (unsigned)__builtin_ctz(c->refcount_bits),
			   .header_length = c->version == 2 ? HEADER_V2 : 112, .compression = c->zstd,
			   .incompat = c->zstd ? INCOMPAT_COMPRESSION : 0, .reftable_clusters = 1,
			   .compat = c->lazy_refcounts ? COMPAT_LAZY : 0, .reftable_offset = c->cluster_size,
			   .l1_offset = 0, .backing = (char *)c->backing,
			   .backing_format = c->backing ? (char *)c->backing_format : NULL };
	uint64_t entry = 2ull << q.cluster_bits;
	uint8_t *p = calloc(1, c->cluster_size);

	q.block.file = (char *)file;
	block_file_adopt(&q.f, file, fd);
	q.block.no_flush = true;
	for (int i = 0; p && i < 3; i++)
		refcount_out(p, q.refcount_order, (uint64_t)i, 1);
	bool ok = p && qcow2_write_bytes(&q, entry, p, q.cluster_size, e);
	if (ok)
		memset(p, 0, q.cluster_size);
	ok = ok && qcow2_write_bytes(&q, q.cluster_size, p, q.cluster_size, e)
		&& qcow2_write_table(&q, q.cluster_size, &entry, 1, e) && qcow2_header_write(&q, e);
	free(p);
	return ok || (p ? false : err_set(e, "no memory"));
}

static bool preallocate(struct qcow2 *q, enum qcow2_prealloc how, struct err *e)
{
	for (uint64_t c = 0; c < clusters_of(q, q->size); c++) {
		uint64_t at = qcow2_alloc(q, 1, e);
		if (!at || !qcow2_set_entry(q, c, at | FLAG_COPIED, true, e))
			return false;
		memset(q->buf, 0, q->cluster_size);
		if (how == QCOW2_PREALLOC_FULL && !qcow2_write_bytes(q, at, q->buf, q->cluster_size, e))
			return false;
	}
	if (!qcow2_flush_all(q, e))
		return false;
	off_t end = (off_t)(q->end << q->cluster_bits);
	if (how == QCOW2_PREALLOC_METADATA ? ftruncate(q->f.fd, end) : posix_fallocate(q->f.fd, 0, end))
		return err_errno(e, "'%s': making room", q->block.file);
	return true;
}

bool qcow2_create(const char *file, const struct qcow2_create *c, struct err *e)
{
	if (!qcow2_create_possible(file, c, e))
		return false;
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(e, "'%s'", file);
	if (!block_file_lock(fd, file, true, e)) {
		close(fd);
		return false;
	}
	bool ok = !ftruncate(fd, 0) ? write_empty(fd, file, c, e) : err_errno(e, "'%s'", file);
	close(fd);
	if (!ok)
		return false;
	struct block_options o = { .file = file, .format = "qcow2", .no_backing = true, .no_flush = true };
	struct block *b = block_open(&o, e);
	ok = b && block_resize(b, (c->size + SECTOR - 1) / SECTOR, e)
		&& (c->prealloc == QCOW2_PREALLOC_OFF || preallocate(to_qcow2(b), c->prealloc, e))
		&& block_flush(b, e);
	block_close(b);
	return ok;
}
