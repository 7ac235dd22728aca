/*
 * Guest clusters: where they are, reading, writing with copy on write, discard.
 *
 * A standard cluster with FLAG_COPIED is written in place. Anything else gets a
 * new cluster, which is written whole, before the L2 entry names it.
 */
#include <string.h>

#include "hw/backend/qcow2_priv.h"

/* One cluster's part of a transfer. */
struct part {
	uint64_t cluster;		/* guest cluster */
	uint32_t off, n;		/* bytes in it */
};

static struct part part_at(const struct qcow2 *q, uint64_t byte, uint64_t left)
{
	uint32_t off = (uint32_t)(byte & (q->cluster_size - 1));
	return (struct part){ byte >> q->cluster_bits, off, (uint32_t)min_u64(left, q->cluster_size - off) };
}

/* ---- entries ---- */

static bool is_zero(const struct qcow2 *q, uint64_t entry)
{
	return q->version >= 3 && !(entry & FLAG_COMPRESSED) && entry & FLAG_ZERO;
}

static uint64_t offset_of(uint64_t entry)
{
	return entry & OFFSET_MASK;
}

/* Stored data: a standard cluster that is there and no zero cluster. */
static bool is_data(const struct qcow2 *q, uint64_t entry)
{
	return !(entry & FLAG_COMPRESSED) && !is_zero(q, entry) && offset_of(entry);
}

bool qcow2_check_entry(struct qcow2 *q, uint64_t entry, struct err *e)
{
	if (offset_of(entry) & (q->cluster_size - 1))
		return qcow2_corrupt(q, e, "a data cluster at an impossible offset", offset_of(entry));
	if (q->writable && qcow2_is_metadata(q, offset_of(entry)))
		return qcow2_corrupt(q, e, "a data cluster where a table stands", offset_of(entry));
	return true;
}

bool qcow2_entry(struct qcow2 *q, uint64_t cluster, uint64_t *entry, struct err *e)
{
	uint64_t i = cluster / l2_entries(q);
	*entry = 0;
	if (i >= q->l1_size || !offset_of(q->l1[i]))
		return true;
	uint8_t *l2 = qcow2_table(q, &q->l2, offset_of(q->l1[i]), e);
	if (!l2)
		return false;
	*entry = be64(l2 + 8 * (cluster % l2_entries(q)));
	return true;
}

uint8_t *qcow2_l2_for_write(struct qcow2 *q, uint64_t cluster, struct err *e)
{
	uint32_t i = (uint32_t)(cluster / l2_entries(q));
	uint64_t old = offset_of(q->l1[i]), at = old;
	uint8_t *l2, *from;

	if (!old || !(q->l1[i] & FLAG_COPIED)) {
		if (!(at = qcow2_alloc(q, 1, e)) || !(l2 = qcow2_table_new(q, &q->l2, at, e)))
			return NULL;
		if (old && !(from = qcow2_table(q, &q->l2, old, e)))
			return NULL;
		if (old)
			memcpy(l2, from, q->cluster_size);
		if (old && !qcow2_free_later(q, old, q->cluster_size, e))
			return NULL;
		qcow2_l1_set(q, i, at | FLAG_COPIED);
	} else if (!(l2 = qcow2_table(q, &q->l2, at, e)))
		return NULL;
	qcow2_table_dirty(&q->l2, at);
	return l2;
}

bool qcow2_set_entry(struct qcow2 *q, uint64_t cluster, uint64_t entry, bool free_old, struct err *e)
{
	uint8_t *l2 = qcow2_l2_for_write(q, cluster, e);
	if (!l2)
		return false;
	uint8_t *p = l2 + 8 * (cluster % l2_entries(q));
	uint64_t old = be64(p);
	put_be64(p, entry);
	if (old & FLAG_COMPRESSED)
		q->unzipped_entry = 0;
	if (!free_old)
		return true;
	if (old & FLAG_COMPRESSED) {
		struct qcow2_range r = qcow2_zip_range(q, old);
		return qcow2_free_later(q, r.offset, r.bytes, e);
	}
	return !offset_of(old) || qcow2_free_later(q, offset_of(old), q->cluster_size, e);
}

/* ---- reading ---- */

static bool read_backing(struct qcow2 *q, uint64_t byte, uint8_t *buf, uint32_t n, struct err *e)
{
	struct block *b = q->block.backing;
	uint64_t at = byte / SECTOR, have = b && b->sectors > at ? min_u64(b->sectors - at, n / SECTOR) : 0;

	memset(buf + have * SECTOR, 0, n - have * SECTOR);
	return !have || block_read(b, at, buf, (uint32_t)have, e);
}

static bool read_part(struct qcow2 *q, uint64_t entry, struct part p, uint8_t *buf, struct err *e)
{
	if (entry & FLAG_COMPRESSED) {
		if (!qcow2_unzip(q, entry, e))
			return false;
		memcpy(buf, q->unzipped + p.off, p.n);
		return true;
	}
	if (is_data(q, entry)) {
		if (offset_of(entry) & (q->cluster_size - 1))
			return qcow2_check_entry(q, entry, e);
		return qcow2_read_bytes(q, offset_of(entry) + p.off, buf, p.n, e);
	}
	if (is_zero(q, entry)) {
		memset(buf, 0, p.n);
		return true;
	}
	return read_backing(q, (p.cluster << q->cluster_bits) + p.off, buf, p.n, e);
}

/* How many of the bytes from p on can be read at once: data clusters in a row. */
static bool extend_data(struct qcow2 *q, uint64_t entry, struct part *p, uint64_t left, struct err *e)
{
	uint64_t next;
	for (uint64_t i = 1; p->n < left; i++) {
		if (!qcow2_entry(q, p->cluster + i, &next, e))
			return false;
		if (!is_data(q, next) || offset_of(next) != offset_of(entry) + (i << q->cluster_bits))
			return true;
		p->n += (uint32_t)min_u64(left - p->n, q->cluster_size);
	}
	return true;
}

bool qcow2_read(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	uint64_t byte = at * SECTOR, left = (uint64_t)n * SECTOR, entry;
	uint8_t *to = buf;

	while (left) {
		struct part p = part_at(q, byte, left);
		if (!qcow2_entry(q, p.cluster, &entry, e)
		    || (is_data(q, entry) && !extend_data(q, entry, &p, left, e))
		    || !read_part(q, entry, p, to, e))
			return false;
		byte += p.n;
		to += p.n;
		left -= p.n;
	}
	return true;
}

/* ---- writing ---- */

/* Does a cluster that is neither data nor compressed read as zeros? */
static bool reads_zero(const struct qcow2 *q, uint64_t entry, uint64_t cluster)
{
	const struct block *b = q->block.backing;
	return is_zero(q, entry) || (!(entry & FLAG_COMPRESSED) && !offset_of(entry)
				     && (!b || cluster << q->cluster_bits >= b->sectors * SECTOR));
}

/* A cluster's new contents at host offset `at`; what is not written is the old. */
static bool fill(struct qcow2 *q, uint64_t at, uint64_t entry, struct part p, const uint8_t *from, bool fresh,
		 struct err *e)
{
	struct part whole = { p.cluster, 0, q->cluster_size };
	if (p.n == q->cluster_size)
		return qcow2_write_bytes(q, at, from, p.n, e);
	if (fresh && reads_zero(q, entry, p.cluster))	/* the rest of it is zeros already */
		return qcow2_write_bytes(q, at + p.off, from, p.n, e);
	if (!read_part(q, entry, whole, q->buf, e))
		return false;
	memcpy(q->buf + p.off, from, p.n);
	return qcow2_write_bytes(q, at, q->buf, q->cluster_size, e);
}

static bool write_part(struct qcow2 *q, struct part p, const uint8_t *from, struct err *e)
{
	uint64_t entry, at;

	if (!qcow2_entry(q, p.cluster, &entry, e))
		return false;
	if (!(entry & FLAG_COMPRESSED) && offset_of(entry) && entry & FLAG_COPIED) {
		if (!qcow2_check_entry(q, entry, e))
			return false;
		at = offset_of(entry);
		if (!is_zero(q, entry))
			return qcow2_write_bytes(q, at + p.off, from, p.n, e);
		return fill(q, at, entry, p, from, false, e)
			&& qcow2_set_entry(q, p.cluster, at | FLAG_COPIED, false, e);
	}
	if (!(at = qcow2_alloc(q, 1, e)))
		return false;
	return fill(q, at, entry, p, from, at >= q->file_end, e)
		&& qcow2_set_entry(q, p.cluster, at | FLAG_COPIED, true, e);
}

bool qcow2_write_clusters(struct qcow2 *q, uint64_t byte, const void *buf, size_t n, struct err *e)
{
	const uint8_t *from = buf;

	if (!qcow2_begin_write(q, e))
		return false;
	while (n) {
		struct part p = part_at(q, byte, n);
		if (!write_part(q, p, from, e))
			return false;
		byte += p.n;
		from += p.n;
		n -= p.n;
	}
	return qcow2_settle(q, e);
}

bool qcow2_write(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e)
{
	return qcow2_write_clusters(to_qcow2(b), at * SECTOR, buf, (size_t)n * SECTOR, e);
}

/* ---- discard ---- */

/* A whole cluster goes. Version 2 has no zero clusters to hide a backing image with. */
static bool drop_cluster(struct qcow2 *q, uint64_t cluster, bool zero, bool *done, struct err *e)
{
	uint64_t entry, now = q->block.backing || q->backing ? FLAG_ZERO : 0;

	*done = true;
	if (!qcow2_entry(q, cluster, &entry, e))
		return false;
	if (entry == now || (!zero && !entry) || (is_zero(q, entry) && !offset_of(entry)))
		return true;
	if (!entry && reads_zero(q, entry, cluster))
		return true;
	if (now && q->version < 3) {
		*done = !zero;
		return true;
	}
	return qcow2_set_entry(q, cluster, now, true, e);
}

bool qcow2_discard(struct block *b, uint64_t at, uint32_t n, bool zero, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	uint64_t byte = at * SECTOR, left = (uint64_t)n * SECTOR, disk = b->sectors * (uint64_t)SECTOR;

	if (!qcow2_begin_write(q, e))
		return false;
	while (left) {
		struct part p = part_at(q, byte, left);
		bool whole = !p.off && (p.n == q->cluster_size || byte + p.n == disk), done = false;
		if (whole && !drop_cluster(q, p.cluster, zero, &done, e))
			return false;
		if (!done && zero) {
			static const uint8_t zeros[1u << MAX_CLUSTER_BITS];
			if (!write_part(q, p, zeros, e))
				return false;
		}
		byte += p.n;
		left -= p.n;
	}
	return qcow2_settle(q, e);
}

/* ---- status ---- */

static struct block_extent describe(const struct qcow2 *q, uint64_t entry, uint32_t off)
{
	struct block_extent x = { .allocated = entry != 0 };
	if (entry & FLAG_COMPRESSED)
		x.data = x.compressed = true;
	else if (is_zero(q, entry))
		x.zero = true;
	else
		x.data = offset_of(entry);
	if (!x.compressed && offset_of(entry)) {
		x.has_offset = true;
		x.offset = offset_of(entry) + off;
	}
	return x;
}

static bool continues(const struct block_extent *x, const struct block_extent *next)
{
	return x->allocated == next->allocated && x->data == next->data && x->zero == next->zero
		&& x->compressed == next->compressed && x->has_offset == next->has_offset
		&& (!x->has_offset || next->offset == x->offset + x->sectors * SECTOR);
}

bool qcow2_status(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	uint64_t byte = at * SECTOR, left = n * SECTOR, entry;

	x->sectors = 0;
	while (left) {
		struct part p = part_at(q, byte, left);
		if (!qcow2_entry(q, p.cluster, &entry, e))
			return false;
		struct block_extent next = describe(q, entry, p.off);
		if (!x->sectors)
			*x = next;
		else if (!continues(x, &next))
			break;
		x->sectors += p.n / SECTOR;
		byte += p.n;
		left -= p.n;
	}
	return true;
}
