/*
 * A machine's state inside an image: clusters behind the disk's end.
 *
 * They stand in the active L1 table while they are written, from the first entry on that
 * no sector of the disk belongs to. A snapshot takes them along and says how many bytes
 * count; then they go from the active table, which holds none between two saves.
 *
 * Source: "QCOW2 image format", "Snapshots" (vm_state_size).
 */
#include <stdlib.h>
#include <string.h>

#include "hw/backend/qcow2_priv.h"

static bool is_qcow2(struct block *b, struct err *e)
{
	struct qcow2_info ignored;

	return qcow2_info(b, &ignored, e);
}

uint32_t qcow2_vmstate_index(const struct qcow2 *q, uint64_t disk_size)
{
	uint64_t per = l2_entries(q) << q->cluster_bits;

	return (uint32_t)((disk_size + per - 1) / per);
}

/* ---- writing ---- */

static bool drop_table(struct qcow2 *q, uint32_t i, struct err *e)
{
	uint64_t at = q->l1[i] & OFFSET_MASK;

	for (uint64_t j = 0; j < l2_entries(q); j++) {
		uint8_t *l2 = qcow2_table(q, &q->l2, at, e);
		if (!l2)
			return false;
		uint64_t entry = be64(l2 + 8 * j) & OFFSET_MASK;
		if (entry && !qcow2_free_later(q, entry, q->cluster_size, e))
			return false;
	}
	qcow2_l1_set(q, i, 0);
	return qcow2_free_later(q, at, q->cluster_size, e);
}

bool qcow2_vmstate_drop(struct qcow2 *q, struct err *e)
{
	bool any = false;

	for (uint32_t i = qcow2_vmstate_index(q, q->size); i < q->l1_size; i++)
		any |= q->l1[i] != 0;
	if (!any)
		return true;
	if (!qcow2_flush_all(q, e))
		return false;
	for (uint32_t i = qcow2_vmstate_index(q, q->size); i < q->l1_size; i++)
		if (q->l1[i] && !drop_table(q, i, e))
			return false;
	return qcow2_flush_all(q, e);
}

static bool begin(struct qcow2 *q, struct err *e)
{
	return qcow2_begin_write(q, e) && qcow2_vmstate_drop(q, e);
}

bool qcow2_vmstate_begin(struct block *b, struct err *e)
{
	if (!is_qcow2(b, e))
		return false;
	if (b->readonly || b->overlay)
		return err_set(e, "'%s' is read-only", b->file);
	pthread_mutex_lock(&to_qcow2(b)->lock);
	bool ok = begin(to_qcow2(b), e);
	pthread_mutex_unlock(&to_qcow2(b)->lock);
	return ok;
}

static bool put(struct qcow2 *q, uint64_t at, const void *buf, size_t n, struct err *e)
{
	uint64_t per = l2_entries(q) << q->cluster_bits, base = qcow2_vmstate_index(q, q->size) * per;
	uint64_t need = (base + at + n + per - 1) / per;

	return (need <= q->l1_size || qcow2_grow_l1(q, need, e)) && qcow2_write_clusters(q, base + at, buf, n, e);
}

bool qcow2_vmstate_write(struct block *b, uint64_t at, const void *buf, size_t n, struct err *e)
{
	pthread_mutex_lock(&to_qcow2(b)->lock);
	bool ok = put(to_qcow2(b), at, buf, n, e);
	pthread_mutex_unlock(&to_qcow2(b)->lock);
	return ok;
}

bool qcow2_vmstate_end(struct block *b, struct err *e)
{
	pthread_mutex_lock(&to_qcow2(b)->lock);
	bool ok = qcow2_vmstate_drop(to_qcow2(b), e);
	pthread_mutex_unlock(&to_qcow2(b)->lock);
	return ok;
}

/* ---- reading ---- */

struct qcow2_vmstate {
	struct qcow2 *q;
	uint64_t *l1;
	uint32_t l1_size;
	uint64_t first;			/* cluster */
	uint64_t size;
};

static struct qcow2_vmstate *open_state(struct qcow2 *q, const struct qcow2_snapshot *s, struct err *e)
{
	struct qcow2_vmstate *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, "no memory");
		return NULL;
	}
	*v = (struct qcow2_vmstate){
		.q = q, .l1_size = s->l1_size, .size = s->vm_state_size,
		.first = qcow2_vmstate_index(q, s->disk_size) * l2_entries(q),
		.l1 = qcow2_read_table(q, s->l1_offset, s->l1_size, MAX_L1_BYTES, "a snapshot's L1 table", e),
	};
	if (v->l1)
		return v;
	free(v);
	return NULL;
}

struct qcow2_vmstate *qcow2_vmstate_open(struct block *b, const char *which, uint64_t *size, struct err *e)
{
	const struct qcow2_snapshot *s = is_qcow2(b, e) ? qcow2_snapshot_find(b, which, e) : NULL;

	if (!s)
		return NULL;
	*size = s->vm_state_size;
	pthread_mutex_lock(&to_qcow2(b)->lock);
	struct qcow2_vmstate *v = open_state(to_qcow2(b), s, e);
	pthread_mutex_unlock(&to_qcow2(b)->lock);
	return v;
}

void qcow2_vmstate_close(struct qcow2_vmstate *v)
{
	if (v)
		free(v->l1);
	free(v);
}

/* A piece of one cluster. */
static bool get_part(struct qcow2_vmstate *v, uint64_t cluster, uint32_t off, uint8_t *to, uint32_t n, struct err *e)
{
	struct qcow2 *q = v->q;
	uint64_t i = cluster / l2_entries(q), at = i < v->l1_size ? v->l1[i] & OFFSET_MASK : 0, entry = 0;

	if (at) {
		const uint8_t *l2 = qcow2_table(q, &q->l2, at, e);
		if (!l2)
			return false;
		entry = be64(l2 + 8 * (cluster % l2_entries(q)));
	}
	if (entry & FLAG_COMPRESSED || (entry & OFFSET_MASK & (q->cluster_size - 1)))
		return err_set(e, "'%s': an impossible cluster in a saved state", q->block.file);
	if (entry & FLAG_ZERO || !(entry & OFFSET_MASK)) {
		memset(to, 0, n);
		return true;
	}
	return qcow2_read_bytes(q, (entry & OFFSET_MASK) + off, to, n, e);
}

static bool get(struct qcow2_vmstate *v, uint64_t at, void *buf, size_t n, struct err *e)
{
	uint8_t *to = buf;

	while (n) {
		uint32_t off = (uint32_t)(at & (v->q->cluster_size - 1));
		uint32_t k = (uint32_t)min_u64(n, v->q->cluster_size - off);

		if (!get_part(v, v->first + (at >> v->q->cluster_bits), off, to, k, e))
			return false;
		at += k;
		to += k;
		n -= k;
	}
	return true;
}

bool qcow2_vmstate_read(struct qcow2_vmstate *v, uint64_t at, void *buf, size_t n, struct err *e)
{
	if (at > v->size || n > v->size - at)
		return err_set(e, "it is cut short");
	pthread_mutex_lock(&v->q->lock);
	bool ok = get(v, at, buf, n, e);
	pthread_mutex_unlock(&v->q->lock);
	return ok;
}
