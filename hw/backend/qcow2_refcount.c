/*
 * Reference counts of an image's clusters, and finding free ones.
 *
 * A range of clusters that no refcount block covers is free. New blocks, and a
 * larger refcount table, are put at the end of the image, where nothing is.
 */
#include <stdlib.h>
#include <string.h>

#include "hw/backend/qcow2_priv.h"

uint64_t refcount_in(const uint8_t *p, unsigned order, uint64_t i)
{
	switch (order) {
	case 3: return p[i];
	case 4: return be16(p + 2 * i);
	case 5: return be32(p + 4 * i);
	case 6: return be64(p + 8 * i);
	default:	/* less than a byte: the lowest bits come first */
		return p[i >> (3 - order)] >> ((i << order) & 7) & ((1u << (1u << order)) - 1);
	}
}

void refcount_out(uint8_t *p, unsigned order, uint64_t i, uint64_t v)
{
	switch (order) {
	case 3: p[i] = (uint8_t)v; break;
	case 4: put_be16(p + 2 * i, (uint16_t)v); break;
	case 5: put_be32(p + 4 * i, (uint32_t)v); break;
	case 6: put_be64(p + 8 * i, v); break;
	default: {
		unsigned shift = (i << order) & 7, mask = ((1u << (1u << order)) - 1) << shift;
		uint8_t *byte = &p[i >> (3 - order)];
		*byte = (uint8_t)((*byte & ~mask) | ((unsigned)v << shift & mask));
	}
	}
}

uint64_t qcow2_refcount_max(const struct qcow2 *q)
{
	return q->refcount_order == 6 ? UINT64_MAX >> 1 : (1ull << (1u << q->refcount_order)) - 1;
}

/* The block that covers a cluster; *data NULL if there is none. */
static bool block_of(struct qcow2 *q, uint64_t cluster, uint64_t *offset, uint8_t **data, struct err *e)
{
	uint64_t t = cluster / refblock_entries(q);
	*data = NULL;
	*offset = t < reftable_entries(q) ? q->reftable[t] & REFTABLE_MASK : 0;
	return !*offset || (*data = qcow2_table(q, &q->refblocks, *offset, e)) != NULL;
}

bool qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count, struct err *e)
{
	uint64_t offset;
	uint8_t *data;
	if (!block_of(q, cluster, &offset, &data, e))
		return false;
	*count = data ? refcount_in(data, q->refcount_order, cluster % refblock_entries(q)) : 0;
	return true;
}

bool qcow2_refcount_put(struct qcow2 *q, uint64_t cluster, uint64_t count, struct err *e)
{
	uint64_t offset;
	uint8_t *data;
	if (!block_of(q, cluster, &offset, &data, e))
		return false;
	if (!data)
		return qcow2_corrupt(q, e, "no refcount covers a cluster in use", cluster << q->cluster_bits);
	refcount_out(data, q->refcount_order, cluster % refblock_entries(q), count);
	qcow2_table_dirty(&q->refblocks, offset);
	if (!count && cluster < q->hint)
		q->hint = cluster;
	return true;
}

bool qcow2_refcount_add(struct qcow2 *q, uint64_t cluster, int delta, struct err *e)
{
	uint64_t count;
	if (!qcow2_refcount_get(q, cluster, &count, e))
		return false;
	if (delta < 0 && !count)
		return qcow2_corrupt(q, e, "a cluster in use counts as free", cluster << q->cluster_bits);
	if (delta > 0 && count >= qcow2_refcount_max(q))
		return err_set(e, "'%s': a cluster has more references than %u-bit counts can hold",
			       q->block.file, 1u << q->refcount_order);
	count = delta > 0 ? count + 1 : count - 1;
	if (!count) {
		uint64_t offset = cluster << q->cluster_bits;
		qcow2_cache_drop(&q->l2, offset);
		if (q->zip_at >> q->cluster_bits == cluster)
			q->zip_at = 0;
	}
	return qcow2_refcount_put(q, cluster, count, e);
}

bool qcow2_refcount_range(struct qcow2 *q, uint64_t offset, uint64_t bytes, int delta, struct err *e)
{
	if (!bytes)
		return true;
	for (uint64_t c = offset >> q->cluster_bits; c <= (offset + bytes - 1) >> q->cluster_bits; c++)
		if (!qcow2_refcount_add(q, c, delta, e))
			return false;
	return true;
}

/* ---- allocation ---- */

static bool mark_used(struct qcow2 *q, uint64_t first, uint64_t n, struct err *e)
{
	for (uint64_t i = first; i < first + n; i++)
		if (!qcow2_refcount_put(q, i, 1, e))
			return false;
	q->end = max_u64(q->end, first + n);
	return true;
}

/* n free clusters in a row below the end. *found 0: there are none. */
static bool search(struct qcow2 *q, uint64_t n, uint64_t *found, struct err *e)
{
	uint64_t run = 0, per = refblock_entries(q), offset;
	uint8_t *data;

	*found = 0;
	for (uint64_t c = q->hint; c < q->end; c++) {
		if (!block_of(q, c, &offset, &data, e))
			return false;
		if (!data) {		/* to the next block */
			run = 0;
			c += per - 1 - c % per;
			continue;
		}
		for (;; c++) {
			run = refcount_in(data, q->refcount_order, c % per) ? 0 : run + 1;
			if (run == n) {
				*found = c + 1 - n;
				return true;
			}
			if (c % per == per - 1 || c + 1 >= q->end)
				break;
		}
	}
	return true;
}

/* What is needed at the end for n clusters: m refcount blocks, a table of k clusters (0: the old one does). */
struct growth {
	uint64_t m, k;
};

static struct growth plan(const struct qcow2 *q, uint64_t n)
{
	struct growth g = { 0, 0 };
	uint64_t per = refblock_entries(q);

	for (;;) {
		uint64_t last = (q->end + g.m + g.k + n - 1) / per, m = 0, k = 0;
		for (uint64_t t = q->end / per; t <= last; t++)
			m += t >= reftable_entries(q) || !(q->reftable[t] & REFTABLE_MASK);
		if (last >= reftable_entries(q))
			k = clusters_of(q, (last + 1 + last / 4) * 8);
		if (m <= g.m && k <= g.k)
			return g;
		g.m = max_u64(g.m, m);
		g.k = max_u64(g.k, k);
	}
}

/* The refcount table, and where the file has it. */
struct table {
	uint64_t *p;
	struct qcow2_range at;
};

static struct table table_now(const struct qcow2 *q)
{
	return (struct table){ q->reftable, { q->reftable_offset, (uint64_t)q->reftable_clusters << q->cluster_bits } };
}

/* A table of k clusters in memory, for that place; the file keeps the old one until name_table(). */
static bool grow_table(struct qcow2 *q, uint64_t k, uint64_t offset, struct err *e)
{
	uint64_t bytes = k << q->cluster_bits, old = reftable_entries(q) * 8;
	if (bytes > MAX_REFTABLE_BYTES)
		return err_set(e, "'%s': the image is as large as its cluster size allows", q->block.file);
	uint64_t *t = calloc(1, bytes);
	if (!t)
		return err_set(e, "'%s': no memory", q->block.file);
	memcpy(t, q->reftable, old);
	q->reftable = t;
	q->reftable_clusters = (uint32_t)k;
	q->reftable_offset = offset;
	q->reftable_dirty = true;
	return true;
}

/* The new table is written whole, then named by the header in one write. */
static bool name_table(struct qcow2 *q, struct err *e)
{
	uint8_t h[12];

	put_be64(h, q->reftable_offset);
	put_be32(h + 8, q->reftable_clusters);
	return qcow2_flush_refcounts(q, e) && qcow2_barrier(q, e) && qcow2_write_bytes(q, 48, h, sizeof(h), e);
}

/* Refcount blocks from first on, for themselves and what else of `all` clusters none covers; all are used. */
static bool add_blocks(struct qcow2 *q, uint64_t first, uint64_t all, struct err *e)
{
	uint64_t per = refblock_entries(q), next = first;

	for (uint64_t t = first / per; t <= (first + all - 1) / per; t++) {
		if (q->reftable[t] & REFTABLE_MASK)
			continue;
		if (!qcow2_table_new(q, &q->refblocks, next << q->cluster_bits, e))
			return false;
		q->reftable[t] = next++ << q->cluster_bits;
		q->reftable_dirty = true;
	}
	return mark_used(q, first, all, e);
}

/* That has failed, for the host is full: the tables in memory are again as they were. */
static void take_back(struct qcow2 *q, const struct table *old, uint64_t first, uint64_t all)
{
	uint64_t per = refblock_entries(q);
	struct err ignored;

	for (uint64_t t = first / per; t < reftable_entries(q) && t <= (first + all - 1) / per; t++)
		if ((q->reftable[t] & REFTABLE_MASK) >> q->cluster_bits >= first) {
			qcow2_cache_drop(&q->refblocks, q->reftable[t] & REFTABLE_MASK);
			q->reftable[t] = 0;
			q->reftable_dirty = true;
		}
	if (q->reftable != old->p) {
		free(q->reftable);
		q->reftable = old->p;
		q->reftable_offset = old->at.offset;
		q->reftable_clusters = (uint32_t)(old->at.bytes >> q->cluster_bits);
	}
	for (uint64_t c = first; c < first + all && c / per < reftable_entries(q) && q->reftable[c / per]; c++)
		qcow2_refcount_put(q, c, 0, &ignored);
	q->end = first;
}

/* n clusters at the end: first those that count the new ones, then these. 0: err. */
static uint64_t extend(struct qcow2 *q, uint64_t n, struct err *e)
{
	struct growth g = plan(q, n);
	uint64_t first = q->end, all = g.m + g.k + n;
	struct table old = table_now(q);

	if (first + all > OFFSET_MASK >> q->cluster_bits) {
		err_set(e, "'%s': the image is too large", q->block.file);
		return 0;
	}
	/* What the old table lacks is written now: later flushes go to the new one. */
	if (g.k && (!qcow2_flush_refcounts(q, e) || !grow_table(q, g.k, (first + g.m) << q->cluster_bits, e)))
		return 0;
	if (!add_blocks(q, first, all, e) || (g.k && !name_table(q, e))) {
		take_back(q, &old, first, all);
		return 0;
	}
	if (g.k)
		free(old.p);
	if (g.k && (!qcow2_barrier(q, e) || !qcow2_refcount_range(q, old.at.offset, old.at.bytes, -1, e)))
		return 0;
	return first + g.m + g.k;
}

uint64_t qcow2_alloc(struct qcow2 *q, uint64_t n, struct err *e)
{
	uint64_t c;

	if (!search(q, n, &c, e))
		return 0;
	if (c && (!mark_used(q, c, n, e)))
		return 0;
	if (!c && !(c = extend(q, n, e)))
		return 0;
	if (n == 1)
		q->hint = c + 1;
	for (uint64_t i = c; i < c + n; i++)
		if (qcow2_is_metadata(q, i << q->cluster_bits)) {
			qcow2_corrupt(q, e, "a table's cluster counts as free", i << q->cluster_bits);
			return 0;
		}
	return c << q->cluster_bits;
}

bool qcow2_refcount_cover(struct qcow2 *q, uint64_t cluster, struct err *e)
{
	uint64_t t = cluster / refblock_entries(q), c;

	if (t < reftable_entries(q) && q->reftable[t] & REFTABLE_MASK)
		return true;
	if (!(c = extend(q, 1, e)))
		return false;
	if (q->reftable[t] & REFTABLE_MASK)	/* the extension happened to cover it */
		return qcow2_refcount_put(q, c, 0, e);
	if (!qcow2_table_new(q, &q->refblocks, c << q->cluster_bits, e)) {
		struct err ignored;
		qcow2_refcount_put(q, c, 0, &ignored);
		return false;
	}
	q->reftable[t] = c << q->cluster_bits;
	q->reftable_dirty = true;
	return true;
}

/* Everything behind the last counted cluster and the file's end is free. */
bool qcow2_find_end(struct qcow2 *q, struct err *e)
{
	uint64_t per = refblock_entries(q), bytes, offset;
	uint8_t *data;

	if (!block_file_size(&q->f, &bytes, e))
		return false;
	q->hint = 1;
	q->end = clusters_of(q, bytes);
	q->file_end = q->end << q->cluster_bits;
	for (uint64_t t = reftable_entries(q); t-- > 0;) {
		if (!(q->reftable[t] & REFTABLE_MASK))
			continue;
		if (t * per + per <= q->end)
			break;
		if (!block_of(q, t * per, &offset, &data, e))
			return false;
		uint64_t i = per;
		while (i > 0 && !refcount_in(data, q->refcount_order, i - 1))
			i--;
		q->end = max_u64(q->end, i ? t * per + i : 0);
		if (i)
			break;
	}
	return true;
}
