/*
 * Consistency of a qcow2 image: count every reference, compare with what the
 * refcounts say, and put right what can be.
 *
 * A cluster that counts more than it is used is leaked: room is lost, nothing
 * else. One that counts less will be overwritten some day: a corruption.
 *
 * Not modelled: clusters of valid bitmaps are not counted; an image with them
 * is reported as not checkable and left as it is.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "hw/backend/qcow2_priv.h"

#define BEHIND_END	65536u

struct check {
	struct qcow2 *q;
	struct qcow2_check *c;
	enum qcow2_fix fix;
	uint32_t *count;		/* references found, by cluster */
	uint64_t n;
	uint64_t next;			/* where a data cluster is not fragmented */
};

static void __attribute__((format(printf, 2, 3))) say(struct check *k, const char *fmt, ...)
{
	char line[200];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (k->c->say)
		k->c->say(k->c->arg, line);
}

static void refer(struct check *k, uint64_t offset, uint64_t bytes, const char *what)
{
	uint64_t first = offset >> k->q->cluster_bits;
	if (!bytes)
		return;
	if (offset + bytes < offset || (offset + bytes - 1) >> k->q->cluster_bits >= k->n) {
		say(k, "ERROR %s at 0x%" PRIx64 " lies behind the end of the image", what, offset);
		k->c->corruptions++;
		return;
	}
	for (uint64_t i = first; i <= (offset + bytes - 1) >> k->q->cluster_bits; i++)
		k->count[i] += k->count[i] != UINT32_MAX;
}

static bool aligned(struct check *k, uint64_t offset, const char *what)
{
	if (!(offset & (k->q->cluster_size - 1)))
		return true;
	say(k, "ERROR %s at 0x%" PRIx64 " is not at a cluster boundary", what, offset);
	k->c->corruptions++;
	return false;
}

static void count_entry(struct check *k, uint64_t entry, bool active)
{
	struct qcow2 *q = k->q;
	uint64_t at = entry & OFFSET_MASK;

	if (entry & FLAG_COMPRESSED) {
		struct qcow2_range r = qcow2_zip_range(q, entry);
		refer(k, r.offset, r.bytes, "compressed cluster");
		k->c->compressed += active;
		k->c->allocated += active;
		k->c->fragmented += active;
		return;
	}
	if (!at || !aligned(k, at, "data cluster"))
		return;
	refer(k, at, q->cluster_size, "data cluster");
	if (!active)
		return;
	k->c->allocated++;
	k->c->fragmented += k->next && at != k->next;
	k->next = at + q->cluster_size;
}

static bool count_l1(struct check *k, const uint64_t *l1, uint32_t n, bool active, struct err *e)
{
	struct qcow2 *q = k->q;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = l1[i] & OFFSET_MASK;
		if (!at || !aligned(k, at, "L2 table"))
			continue;
		refer(k, at, q->cluster_size, "L2 table");
		if (at >> q->cluster_bits >= k->n)
			continue;
		uint8_t *l2 = qcow2_table(q, &q->l2, at, e);
		if (!l2)
			return false;
		for (uint64_t j = 0; j < l2_entries(q); j++)
			count_entry(k, be64(l2 + 8 * j), active);
	}
	return true;
}

static bool count_snapshots(struct check *k, struct err *e)
{
	struct qcow2 *q = k->q;

	refer(k, q->snapshots_offset, q->snapshots_bytes, "snapshot table");
	for (unsigned i = 0; i < q->nsnapshots; i++) {
		const struct qcow2_snapshot *s = &q->snapshots[i];
		refer(k, s->l1_offset, 8ull * s->l1_size, "L1 table of a snapshot");
		uint64_t *l1 = qcow2_read_table(q, s->l1_offset, s->l1_size, MAX_L1_BYTES,
						"a snapshot's L1 table", e);
		bool ok = l1 && count_l1(k, l1, s->l1_size, false, e);
		free(l1);
		if (!ok)
			return false;
	}
	return true;
}

static void count_refblocks(struct check *k)
{
	struct qcow2 *q = k->q;

	refer(k, q->reftable_offset, (uint64_t)q->reftable_clusters << q->cluster_bits, "refcount table");
	for (uint64_t t = 0; t < reftable_entries(q); t++) {
		uint64_t at = q->reftable[t] & REFTABLE_MASK;
		bool lost = at && (!aligned(k, at, "refcount block") || at >> q->cluster_bits >= k->n);
		if (at)
			refer(k, at, q->cluster_size, "refcount block");
		if (lost && k->fix == QCOW2_FIX_ALL) {	/* it cannot be used; another is made */
			q->reftable[t] = 0;
			q->reftable_dirty = true;
			k->c->corruptions_fixed++;
		}
	}
}

static bool put_right(struct check *k, uint64_t i, uint32_t want, struct err *e)
{
	if (want && !qcow2_refcount_cover(k->q, i, e))
		return false;
	return qcow2_refcount_put(k->q, i, want, e);
}

static bool compare(struct check *k, struct err *e)
{
	uint64_t max = qcow2_refcount_max(k->q);

	for (uint64_t i = 0, have; i < k->n; i++) {
		uint32_t want = k->count[i];
		if (!qcow2_refcount_get(k->q, i, &have, e))
			return false;
		if (have == want)
			continue;
		bool leak = have > want, fix = k->fix == QCOW2_FIX_ALL || (leak && k->fix == QCOW2_FIX_LEAKS);
		fix &= want <= max;
		say(k, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%u",
		    fix ? "Repairing" : leak ? "Leaked" : "ERROR", i, have, want);
		*(leak ? &k->c->leaks : &k->c->corruptions) += 1;
		k->c->lost += !leak;
		if (fix && !put_right(k, i, want, e))
			return false;
		*(leak ? &k->c->leaks_fixed : &k->c->corruptions_fixed) += fix;
	}
	return true;
}

/* Is FLAG_COPIED what the refcount says? */
static bool check_flag(struct check *k, uint64_t entry, const char *what, uint64_t *wrong, struct err *e)
{
	uint64_t at = entry & OFFSET_MASK, count;
	if (entry & FLAG_COMPRESSED || !at || at >> k->q->cluster_bits >= k->n || at & (k->q->cluster_size - 1))
		return true;
	if (!qcow2_refcount_get(k->q, at >> k->q->cluster_bits, &count, e))
		return false;
	if ((count == 1) == !!(entry & FLAG_COPIED))
		return true;
	say(k, "%s OFLAG_COPIED %s: entry=%" PRIx64 " refcount=%" PRIu64,
	    k->fix == QCOW2_FIX_ALL ? "Repairing" : "ERROR", what, entry, count);
	++*wrong;
	return true;
}

static bool check_flags(struct check *k, struct err *e)
{
	struct qcow2 *q = k->q;
	uint64_t wrong = 0;

	for (uint32_t i = 0; i < q->l1_size; i++) {
		uint64_t at = q->l1[i] & OFFSET_MASK;
		if (!check_flag(k, q->l1[i], "L2 table", &wrong, e))
			return false;
		if (!at || at & (q->cluster_size - 1) || at >> q->cluster_bits >= k->n)
			continue;
		for (uint64_t j = 0; j < l2_entries(q); j++) {
			uint8_t *l2 = qcow2_table(q, &q->l2, at, e);
			if (!l2 || !check_flag(k, be64(l2 + 8 * j), "data cluster", &wrong, e))
				return false;
		}
	}
	k->c->corruptions += wrong;
	if (!wrong || k->fix != QCOW2_FIX_ALL)
		return true;
	k->c->corruptions_fixed += wrong;
	return qcow2_flag_all(q, e);
}

static bool run(struct check *k, struct err *e)
{
	struct qcow2 *q = k->q;

	refer(k, 0, q->cluster_size, "header");
	refer(k, q->l1_offset, 8ull * q->l1_size, "L1 table");
	if (!count_l1(k, q->l1, q->l1_size, true, e) || !count_snapshots(k, e))
		return false;
	count_refblocks(k);
	if (q->has_bitmaps && q->autoclear & AUTOCLEAR_BITMAPS) {	/* else they are void */
		say(k, "The image has bitmaps, which this check does not count");
		k->c->errors++;
		return true;
	}
	return compare(k, e) && check_flags(k, e);
}

/* What was put right reaches the file; the marks in the header go if nothing is left. */
static bool finish(struct check *k, struct err *e)
{
	struct qcow2 *q = k->q;
	uint64_t marks = INCOMPAT_DIRTY | INCOMPAT_CORRUPT;

	if (k->fix == QCOW2_FIX_NONE)
		return true;
	if (!qcow2_flush_refcounts(q, e) || !qcow2_flush_all(q, e))
		return false;
	if (k->c->errors || k->c->corruptions > k->c->corruptions_fixed || k->fix != QCOW2_FIX_ALL)
		return true;
	return q->lazy || !(q->incompat & marks) || qcow2_set_incompat(q, q->incompat & ~marks, e);
}

bool qcow2_check(struct block *b, enum qcow2_fix fix, struct qcow2_check *c, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	struct check k = { .q = q, .c = c, .fix = fix };
	struct qcow2_info ignored;

	if (!qcow2_info(b, &ignored, e))
		return false;
	if (fix != QCOW2_FIX_NONE && b->readonly)
		return err_set(e, "'%s' is read-only", b->file);
	c->total_clusters = clusters_of(q, q->size);
	/* Counts far behind the end of the file are believed by nobody. */
	k.n = min_u64(q->end, (q->file_end >> q->cluster_bits) + BEHIND_END);
	k.count = calloc(k.n + 1, sizeof(*k.count));
	if (!k.count)
		return err_set(e, "'%s': no memory to check %" PRIu64 " clusters", b->file, k.n);
	bool ok = run(&k, e) && finish(&k, e);
	uint64_t last = k.n;
	while (last && !k.count[last - 1])
		last--;
	c->end = last << q->cluster_bits;
	free(k.count);
	return ok;
}
