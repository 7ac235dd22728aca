/*
 * Guest clusters: where they are, reading, writing with copy on write, discard.
 *
 * A standard cluster with FLAG_COPIED is written in place. Anything else gets a
 * new cluster, which is written whole, before the L2 entry names it; a run of them
 * gets clusters in a row and one write.
 */
#include <stdlib.h>
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
	if (old & FLAG_COMPRESSED) {
		q->unzipped_entry = 0;
		q->zip_gone++;
	}
	if (!free_old)
		return true;
	if (old & FLAG_COMPRESSED) {
		struct qcow2_range r = qcow2_zip_range(q, old);
		return qcow2_free_later(q, r.offset, r.bytes, e);
	}
	return !offset_of(old) || qcow2_free_later(q, offset_of(old), q->cluster_size, e);
}

/* What a transfer can do in one go. */
enum kind { NOTHING, ZEROS, DATA, ZIPPED };

static enum kind kind_of(const struct qcow2 *q, uint64_t entry)
{
	return entry & FLAG_COMPRESSED ? ZIPPED : is_zero(q, entry) ? ZEROS : offset_of(entry) ? DATA : NOTHING;
}

#define MOST_IN_ONE_PART (1u << 30)	/* bytes, about */

/* Make p longer by the clusters behind it that are as the first one, data without a gap. */
static bool extend(struct qcow2 *q, uint64_t entry, struct part *p, uint64_t left, bool in_place, struct err *e)
{
	enum kind kind = kind_of(q, entry);
	uint64_t next;

	left = min_u64(left, MOST_IN_ONE_PART);
	for (uint64_t i = 1; p->n < left && kind != ZIPPED; i++) {
		if (!qcow2_entry(q, p->cluster + i, &next, e))
			return false;
		if (kind_of(q, next) != kind || (in_place && !(next & FLAG_COPIED))
		    || (kind == DATA && offset_of(next) != offset_of(entry) + (i << q->cluster_bits)))
			return true;
		p->n += (uint32_t)min_u64(left - p->n, q->cluster_size);
	}
	return true;
}

/* ---- reading ---- */

static bool read_backing(struct qcow2 *q, uint64_t byte, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	struct block *b = q->block.backing;
	uint64_t at = byte / SECTOR, have = b && b->sectors > at ? min_u64(b->sectors - at, n / SECTOR) : 0;
	struct iovec part[IOV_PIECES];

	iov_zero(part, iov_slice(iov, niov, have * SECTOR, n - have * SECTOR, part));
	if (!have)
		return true;
	return block_readv(b, at, part, iov_slice(iov, niov, 0, have * SECTOR, part), (uint32_t)have, e);
}

/* p is all of one kind. With the lock, which is given up meanwhile. */
static bool read_part(struct qcow2 *q, uint64_t entry, struct part p, const struct iovec *iov, int niov,
		      struct err *e)
{
	bool ok;

	switch (kind_of(q, entry)) {
	case ZIPPED:
		return qcow2_read_zipped(q, entry, p.off, iov, niov, e);
	case ZEROS:
		iov_zero(iov, niov);
		return true;
	case DATA:
		if (offset_of(entry) & (q->cluster_size - 1))
			return qcow2_check_entry(q, entry, e);
		qcow2_leave(q);
		ok = block_file_readv(&q->f, offset_of(entry) + p.off, iov, niov, p.n, e);
		break;
	default:
		qcow2_leave(q);
		ok = read_backing(q, (p.cluster << q->cluster_bits) + p.off, iov, niov, p.n, e);
	}
	qcow2_enter(q);
	return ok;
}

static bool read_locked(struct qcow2 *q, uint64_t byte, const struct iovec *iov, int niov, uint64_t n, struct err *e)
{
	struct iovec part[IOV_PIECES];
	uint64_t entry;

	for (uint64_t done = 0; done < n;) {
		struct part p = part_at(q, byte + done, n - done);
		if (!qcow2_entry(q, p.cluster, &entry, e) || !extend(q, entry, &p, n - done, false, e)
		    || !read_part(q, entry, p, part, iov_slice(iov, niov, done, p.n, part), e))
			return false;
		done += p.n;
	}
	return true;
}

bool qcow2_readv(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);

	pthread_mutex_lock(&q->lock);
	bool ok = read_locked(q, at * SECTOR, iov, niov, (uint64_t)n * SECTOR, e);
	pthread_mutex_unlock(&q->lock);
	return ok;
}

/* Is the table in memory that has the entry of a cluster? */
static bool entry_is_here(const struct qcow2 *q, uint64_t cluster)
{
	uint64_t i = cluster / l2_entries(q), at = i < q->l1_size ? offset_of(q->l1[i]) : 0;
	return !at || qcow2_cache_holds(&q->l2, at);
}

/* In one piece, from tables and contents in memory. */
static bool read_now(struct qcow2 *q, uint64_t byte, const struct iovec *iov, int niov, uint64_t n)
{
	struct part p = part_at(q, byte, n);
	uint64_t entry;
	struct err e;

	if (!entry_is_here(q, p.cluster) || !entry_is_here(q, (byte + n - 1) >> q->cluster_bits)
	    || !qcow2_entry(q, p.cluster, &entry, &e) || kind_of(q, entry) != DATA
	    || offset_of(entry) & (q->cluster_size - 1) || !extend(q, entry, &p, n, false, &e) || p.n != n)
		return false;
	return block_file_read_now(&q->f, offset_of(entry) + p.off, iov, niov, n);
}

bool qcow2_read_now(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n)
{
	struct qcow2 *q = to_qcow2(b);

	if (!n || pthread_mutex_trylock(&q->lock))
		return false;
	bool ok = read_now(q, at * SECTOR, iov, niov, (uint64_t)n * SECTOR);
	pthread_mutex_unlock(&q->lock);
	return ok;
}

/* ---- writing ---- */

static bool is_moving(const struct qcow2 *q, uint64_t cluster)
{
	for (const struct qcow2_moving *m = q->moving; m; m = m->next)
		if (cluster - m->first < m->n)
			return true;
	return false;
}

static void wait_for_cluster(struct qcow2 *q, uint64_t cluster)
{
	while (is_moving(q, cluster))
		pthread_cond_wait(&q->changed, &q->lock);
}

static void moving_begin(struct qcow2 *q, struct qcow2_moving *m)
{
	m->next = q->moving;
	q->moving = m;
}

static void moving_end(struct qcow2 *q, struct qcow2_moving *m)
{
	struct qcow2_moving **p = &q->moving;
	while (*p != m)
		p = &(*p)->next;
	*p = m->next;
	pthread_cond_broadcast(&q->changed);
}

/* Does a cluster that is neither data nor compressed read as zeros? */
static bool reads_zero(const struct qcow2 *q, uint64_t entry, uint64_t cluster)
{
	const struct block *b = q->block.backing;
	return is_zero(q, entry) || (!(entry & FLAG_COMPRESSED) && !offset_of(entry)
				     && (!b || cluster << q->cluster_bits >= b->sectors * SECTOR));
}

/* A standard cluster of this image alone: its place can be written to. */
static bool has_place(uint64_t entry)
{
	return !(entry & FLAG_COMPRESSED) && offset_of(entry) && entry & FLAG_COPIED;
}

static bool write_data(struct qcow2 *q, uint64_t at, const struct iovec *iov, int niov, size_t n, struct err *e)
{
	if (q->broken)
		return err_set(e, "'%s': the image is corrupt and is not written any more", q->block.file);
	qcow2_leave(q);
	bool ok = block_file_writev(&q->f, at, iov, niov, n, e);
	qcow2_enter(q);
	return ok;
}

/* Clusters that get new contents at `at`: what the guest writes, and around it what was there. */
struct filling {
	uint64_t at;			/* in the file */
	struct part p;			/* what is written: off in the first cluster, n bytes */
	uint32_t head, tail;		/* bytes before and behind that are copied */
	uint64_t blank;			/* the file reads as zeros from here on */
};

static bool copy_around(struct qcow2 *q, const struct filling *f, const struct iovec *iov, int niov, uint8_t *buf,
			struct err *e)
{
	struct iovec all[IOV_PIECES + 2];
	uint64_t guest = f->p.cluster << q->cluster_bits, end = guest + f->p.off + f->p.n;
	struct iovec head = { buf, f->head }, tail = { buf + f->head, f->tail };
	int n = 0;

	if ((f->head && !read_locked(q, guest, &head, 1, f->head, e))
	    || (f->tail && !read_locked(q, end, &tail, 1, f->tail, e)))
		return false;
	if (niov + 2 > IOV_PIECES)	/* three writes instead of one */
		return (!f->head || write_data(q, f->at, &head, 1, f->head, e))
			&& write_data(q, f->at + f->p.off, iov, niov, f->p.n, e)
			&& (!f->tail || write_data(q, f->at + f->p.off + f->p.n, &tail, 1, f->tail, e));
	if (f->head)
		all[n++] = head;
	memcpy(all + n, iov, (size_t)niov * sizeof(*iov));
	n += niov;
	if (f->tail)
		all[n++] = tail;
	return write_data(q, f->at + f->p.off - f->head, all, n, f->head + f->p.n + f->tail, e);
}

/* Is a cluster of zeros going to the part of the file that reads as zeros? Then nothing need be copied. */
static bool skip_copy(struct qcow2 *q, const struct filling *f, uint64_t cluster, bool *skip, struct err *e)
{
	uint64_t entry;

	if (!qcow2_entry(q, cluster, &entry, e))
		return false;
	*skip = f->at >= f->blank && reads_zero(q, entry, cluster);
	return true;
}

static bool fill(struct qcow2 *q, struct filling *f, const struct iovec *iov, int niov, struct err *e)
{
	uint64_t end = f->p.off + (uint64_t)f->p.n, last = f->p.cluster + ((end - 1) >> q->cluster_bits);
	bool skip_head, skip_tail;

	if (!skip_copy(q, f, f->p.cluster, &skip_head, e) || !skip_copy(q, f, last, &skip_tail, e))
		return false;
	f->head = skip_head ? 0 : f->p.off;
	f->tail = skip_tail ? 0 : (uint32_t)(align_up(end, q->cluster_size) - end);
	if (!f->head && !f->tail)
		return write_data(q, f->at + f->p.off, iov, niov, f->p.n, e);
	uint8_t *buf = malloc((size_t)f->head + f->tail);
	bool ok = buf ? copy_around(q, f, iov, niov, buf, e) : err_set(e, "'%s': no memory", q->block.file);
	free(buf);
	return ok;
}

/* The clusters of p are at `at` from now on. */
static bool name_clusters(struct qcow2 *q, const struct filling *f, uint64_t n, bool free_old, struct err *e)
{
	for (uint64_t i = 0; i < n; i++)
		if (!qcow2_set_entry(q, f->p.cluster + i, (f->at + (i << q->cluster_bits)) | FLAG_COPIED, free_old, e))
			return false;
	return true;
}

/* How many clusters from p's on, of those that `left` bytes touch, need a new place. */
static bool count_new(struct qcow2 *q, const struct part *p, uint64_t left, uint64_t *n, struct err *e)
{
	uint64_t most = clusters_of(q, p->off + left), entry;

	for (*n = 1; *n < most; ++*n) {
		if (!qcow2_entry(q, p->cluster + *n, &entry, e))
			return false;
		if (has_place(entry) || is_moving(q, p->cluster + *n))
			break;
	}
	return true;
}

#define MOST_AT_ONCE	(8u << 20)	/* bytes of new clusters in a row */

static bool write_new(struct qcow2 *q, struct part *p, uint64_t left, const struct iovec *iov, int niov, struct err *e)
{
	struct filling f = { .blank = q->file_end };
	struct iovec part[IOV_PIECES];
	uint64_t n;

	left = min_u64(left, max_u64(MOST_AT_ONCE, q->cluster_size) - p->off);
	if (!count_new(q, p, left, &n, e) || !(f.at = qcow2_alloc(q, n, e)))
		return false;
	p->n = (uint32_t)min_u64(left, (n << q->cluster_bits) - p->off);
	f.p = *p;
	q->file_end = max_u64(q->file_end, f.at + (n << q->cluster_bits));
	struct qcow2_moving m = { .first = p->cluster, .n = n };
	moving_begin(q, &m);
	bool ok = fill(q, &f, part, iov_slice(iov, niov, 0, p->n, part), e);
	struct err ignored;
	if (!ok)			/* nothing names them: they are free again */
		qcow2_refcount_range(q, f.at, n << q->cluster_bits, -1, &ignored);
	ok = ok && name_clusters(q, &f, n, true, e);
	moving_end(q, &m);
	return ok;
}

/* A cluster of zeros that has a place already. */
static bool write_prepared(struct qcow2 *q, uint64_t entry, struct part *p, const struct iovec *iov, int niov,
			   struct err *e)
{
	struct filling f = { .at = offset_of(entry), .p = *p, .blank = UINT64_MAX };
	struct qcow2_moving m = { .first = p->cluster, .n = 1 };
	struct iovec part[IOV_PIECES];

	moving_begin(q, &m);
	bool ok = fill(q, &f, part, iov_slice(iov, niov, 0, p->n, part), e) && name_clusters(q, &f, 1, false, e);
	moving_end(q, &m);
	return ok;
}

/* Some of what is to be written at p; how much is in p->n then. */
static bool write_some(struct qcow2 *q, struct part *p, uint64_t left, const struct iovec *iov, int niov,
		       struct err *e)
{
	struct iovec part[IOV_PIECES];
	uint64_t entry;

	wait_for_cluster(q, p->cluster);
	if (!qcow2_entry(q, p->cluster, &entry, e))
		return false;
	if (!has_place(entry))
		return write_new(q, p, left, iov, niov, e);
	if (!qcow2_check_entry(q, entry, e))
		return false;
	if (is_zero(q, entry))
		return write_prepared(q, entry, p, iov, niov, e);
	return extend(q, entry, p, left, true, e)
		&& write_data(q, offset_of(entry) + p->off, part, iov_slice(iov, niov, 0, p->n, part), p->n, e);
}

static bool write_locked(struct qcow2 *q, uint64_t byte, const struct iovec *iov, int niov, uint64_t n, struct err *e)
{
	struct iovec rest[IOV_PIECES];

	for (uint64_t done = 0; done < n;) {
		struct part p = part_at(q, byte + done, n - done);
		int k = iov_slice(iov, niov, done, n - done, rest);
		if (!write_some(q, &p, n - done, rest, k, e))
			return false;
		done += p.n;
	}
	return true;
}

bool qcow2_write_clusters(struct qcow2 *q, uint64_t byte, const void *buf, size_t n, struct err *e)
{
	struct iovec v = { (void *)buf, n };

	return qcow2_begin_write(q, e) && write_locked(q, byte, &v, 1, n, e) && qcow2_settle(q, e);
}

bool qcow2_writev(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);

	pthread_mutex_lock(&q->lock);
	bool ok = qcow2_begin_write(q, e) && write_locked(q, at * SECTOR, iov, niov, (uint64_t)n * SECTOR, e)
		&& qcow2_settle(q, e);
	pthread_mutex_unlock(&q->lock);
	return ok;
}

/* ---- discard ---- */

/* A whole cluster goes. Version 2 has no zero clusters to hide a backing image with. */
static bool drop_cluster(struct qcow2 *q, uint64_t cluster, bool zero, bool unmap, bool *done, struct err *e)
{
	uint64_t entry, now = q->block.backing || q->backing ? FLAG_ZERO : 0;

	*done = true;
	wait_for_cluster(q, cluster);
	if (!qcow2_entry(q, cluster, &entry, e))
		return false;
	if (entry == now || (!zero && !entry) || (is_zero(q, entry) && (!offset_of(entry) || !unmap)))
		return true;
	if (!entry && reads_zero(q, entry, cluster))
		return true;
	if (!unmap && has_place(entry) && q->version >= 3)	/* it keeps its place */
		return qcow2_set_entry(q, cluster, entry | FLAG_ZERO, false, e);
	if (now && q->version < 3) {
		*done = !zero;
		return true;
	}
	q->discarding = unmap;
	bool ok = qcow2_set_entry(q, cluster, now, true, e);
	q->discarding = false;
	return ok;
}

static bool discard_part(struct qcow2 *q, struct part p, bool whole, bool zero, bool unmap, struct err *e)
{
	static const uint8_t zeros[1u << MAX_CLUSTER_BITS];
	struct iovec v = { (void *)zeros, p.n };
	bool done = false;

	if (whole && !drop_cluster(q, p.cluster, zero, unmap, &done, e))
		return false;
	return done || !zero || write_locked(q, (p.cluster << q->cluster_bits) + p.off, &v, 1, p.n, e);
}

bool qcow2_discard(struct block *b, uint64_t at, uint32_t n, bool zero, bool unmap, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	uint64_t byte = at * SECTOR, end = byte + (uint64_t)n * SECTOR, disk = b->sectors * (uint64_t)SECTOR;

	pthread_mutex_lock(&q->lock);
	bool ok = qcow2_begin_write(q, e);
	while (ok && byte < end) {
		struct part p = part_at(q, byte, end - byte);
		bool whole = !p.off && (p.n == q->cluster_size || byte + p.n == disk);
		ok = discard_part(q, p, whole, zero, unmap, e);
		byte += p.n;
	}
	ok = ok && qcow2_settle(q, e);
	pthread_mutex_unlock(&q->lock);
	return ok;
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
	pthread_mutex_lock(&q->lock);
	while (left) {
		struct part p = part_at(q, byte, left);
		if (!qcow2_entry(q, p.cluster, &entry, e))
			break;
		struct block_extent next = describe(q, entry, p.off);
		if (!x->sectors)
			*x = next;
		else if (!continues(x, &next))
			break;
		x->sectors += p.n / SECTOR;
		byte += p.n;
		left -= p.n;
	}
	pthread_mutex_unlock(&q->lock);
	return x->sectors;
}
