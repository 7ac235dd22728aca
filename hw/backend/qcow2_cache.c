/* L2 tables and refcount blocks in memory, and the order in which changes reach the file (qcow2_priv.h). */
#include <stdlib.h>
#include <string.h>

#include "hw/backend/qcow2_priv.h"

#define CACHE_BYTES	(8u << 20)
#define CACHE_MIN	8u
#define CACHE_MAX	2048u
#define MANY_FREES	4096u		/* ranges; then they are freed without waiting for a flush */

bool qcow2_cache_init(struct qcow2_cache *c, const struct qcow2 *q)
{
	c->n = (unsigned)max_u64(CACHE_MIN, min_u64(CACHE_MAX, CACHE_BYTES / q->cluster_size));
	for (int i = 0; i < QCOW2_HASH; i++)
		c->head[i] = -1;
	return (c->slot = calloc(c->n, sizeof(*c->slot))) != NULL;
}

void qcow2_cache_fini(struct qcow2_cache *c)
{
	for (unsigned i = 0; c->slot && i < c->n; i++)
		free(c->slot[i].data);
	free(c->slot);
	c->slot = NULL;
}

static int *chain(struct qcow2_cache *c, uint64_t offset)
{
	return &c->head[(offset * 0x9e3779b97f4a7c15ull) >> 56];
}

static struct qcow2_slot *find(const struct qcow2_cache *c, uint64_t offset)
{
	for (int i = *chain((struct qcow2_cache *)c, offset); i >= 0; i = c->slot[i].next)
		if (c->slot[i].offset == offset)
			return &c->slot[i];
	return NULL;
}

bool qcow2_cache_holds(const struct qcow2_cache *c, uint64_t offset)
{
	return find(c, offset) != NULL;
}

static void unlink_slot(struct qcow2_cache *c, struct qcow2_slot *s)
{
	int *p = chain(c, s->offset), i = (int)(s - c->slot);
	while (*p != i)
		p = &c->slot[*p].next;
	*p = s->next;
	c->ndirty -= s->dirty;
	s->dirty = false;
	s->offset = 0;
}

void qcow2_cache_drop(struct qcow2_cache *c, uint64_t offset)
{
	struct qcow2_slot *s = find(c, offset);
	if (s)
		unlink_slot(c, s);
}

/* A slot for a new offset: a free one, else the one used least recently. */
static struct qcow2_slot *take(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, struct err *e)
{
	struct qcow2_slot *s = &c->slot[0];
	for (unsigned i = 0; i < c->n && s->offset; i++)
		if (!c->slot[i].offset || c->slot[i].used < s->used)
			s = &c->slot[i];
	if (s->dirty && !(qcow2_flush_tables(q, e) && (!q->lazy || qcow2_flush_refcounts(q, e))))
		return NULL;
	if (s->offset)
		unlink_slot(c, s);
	if (!s->data && !(s->data = malloc(q->cluster_size))) {
		err_set(e, "'%s': no memory", q->block.file);
		return NULL;
	}
	s->offset = offset;
	s->next = *chain(c, offset);
	*chain(c, offset) = (int)(s - c->slot);
	s->used = ++c->tick;
	return s;
}

uint8_t *qcow2_table(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, struct err *e)
{
	struct qcow2_slot *s = find(c, offset);
	if (s) {
		s->used = ++c->tick;
		return s->data;
	}
	if (offset & (q->cluster_size - 1) || !offset || offset > OFFSET_MASK) {
		qcow2_corrupt(q, e, "a table stands at an impossible offset", offset);
		return NULL;
	}
	if (!(s = take(q, c, offset, e)))
		return NULL;
	if (!qcow2_read_bytes(q, offset, s->data, q->cluster_size, e)) {
		unlink_slot(c, s);
		return NULL;
	}
	return s->data;
}

uint8_t *qcow2_table_new(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, struct err *e)
{
	struct qcow2_slot *s = find(c, offset);
	if (!s && !(s = take(q, c, offset, e)))
		return NULL;
	memset(s->data, 0, q->cluster_size);
	qcow2_table_dirty(c, offset);
	return s->data;
}

void qcow2_table_dirty(struct qcow2_cache *c, uint64_t offset)
{
	struct qcow2_slot *s = find(c, offset);
	c->ndirty += !s->dirty;
	s->dirty = true;
}

static bool write_slots(struct qcow2 *q, struct qcow2_cache *c, struct err *e)
{
	for (unsigned i = 0; i < c->n && c->ndirty; i++) {
		struct qcow2_slot *s = &c->slot[i];
		if (!s->dirty)
			continue;
		if (!qcow2_write_bytes(q, s->offset, s->data, q->cluster_size, e))
			return false;
		s->dirty = false;
		c->ndirty--;
	}
	return true;
}

void qcow2_l1_set(struct qcow2 *q, uint32_t i, uint64_t entry)
{
	q->l1[i] = entry;
	q->l1_dirty_from = q->l1_dirty ? (uint32_t)min_u64(q->l1_dirty_from, i) : i;
	q->l1_dirty_to = q->l1_dirty ? (uint32_t)max_u64(q->l1_dirty_to, i + 1) : i + 1;
	q->l1_dirty = true;
}

bool qcow2_flush_refcounts(struct qcow2 *q, struct err *e)
{
	if (!write_slots(q, &q->refblocks, e))
		return false;
	if (!q->reftable_dirty)
		return true;
	if (!qcow2_barrier(q, e) || !qcow2_write_table(q, q->reftable_offset, q->reftable, reftable_entries(q), e))
		return false;
	q->reftable_dirty = false;
	return true;
}

bool qcow2_flush_tables(struct qcow2 *q, struct err *e)
{
	if (!q->lazy && !qcow2_flush_refcounts(q, e))
		return false;
	if (q->l2.ndirty || q->l1_dirty) {
		if (!qcow2_barrier(q, e) || !write_slots(q, &q->l2, e))
			return false;
	}
	if (q->l1_dirty) {
		uint32_t from = q->l1_dirty_from;
		if (!qcow2_barrier(q, e) || !qcow2_write_table(q, q->l1_offset + 8ull * from, q->l1 + from,
							       q->l1_dirty_to - from, e))
			return false;
		q->l1_dirty = false;
	}
	q->frees.safe = q->frees.n;
	return true;
}

bool qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct err *e)
{
	struct qcow2_frees *f = &q->frees;
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 64;
		struct qcow2_range *r = realloc(f->r, room * sizeof(*r));
		if (!r)
			return err_set(e, "'%s': no memory", q->block.file);
		f->r = r;
		f->room = room;
	}
	f->r[f->n++] = (struct qcow2_range){ offset, bytes, q->discarding };
	return true;
}

/* Counting down may flush, which makes more of the list safe. */
/* A discarded cluster that nothing refers to any more leaves a hole in the file, where the host can. */
static bool punch(struct qcow2 *q, struct qcow2_range r, struct err *e)
{
	uint64_t count;

	if (r.bytes != q->cluster_size || r.offset & (q->cluster_size - 1))
		return true;
	if (!qcow2_refcount_get(q, r.offset >> q->cluster_bits, &count, e))
		return false;
	if (!count)
		block_file_zero(&q->f, r.offset, r.bytes, true);
	return true;
}

static bool count_down(struct qcow2 *q, struct err *e)
{
	struct qcow2_frees *f = &q->frees;
	size_t done = 0;

	while (done < f->safe) {
		struct qcow2_range r = f->r[done++];
		if (!qcow2_refcount_range(q, r.offset, r.bytes, -1, e) || (r.punch && !punch(q, r, e)))
			return false;
	}
	memmove(f->r, f->r + done, (f->n - done) * sizeof(*f->r));
	f->n -= done;
	f->safe = 0;
	return true;
}

bool qcow2_settle(struct qcow2 *q, struct err *e)
{
	struct qcow2_frees *f = &q->frees;

	if (f->n >= MANY_FREES && !f->safe && !qcow2_flush_tables(q, e))
		return false;
	while (q->settling)
		pthread_cond_wait(&q->changed, &q->lock);
	if (!f->safe)
		return true;
	q->settling = true;
	while (q->busy)
		pthread_cond_wait(&q->changed, &q->lock);
	bool ok = qcow2_barrier(q, e) && count_down(q, e);
	q->settling = false;
	pthread_cond_broadcast(&q->changed);
	return ok;
}

bool qcow2_flush_metadata(struct qcow2 *q, struct err *e)
{
	return qcow2_flush_tables(q, e) && qcow2_settle(q, e) && qcow2_flush_tables(q, e);
}

bool qcow2_flush_all(struct qcow2 *q, struct err *e)
{
	return qcow2_flush_metadata(q, e) && qcow2_barrier(q, e);
}
