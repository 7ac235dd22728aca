/*
 * Internal snapshots: L1 tables kept beside the active one.
 *
 * A snapshot refers to all L2 tables and clusters that the active L1 table
 * refers to, which counts each of them once more; writes then go elsewhere.
 * What is new is complete in the file before the header names it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hw/backend/qcow2_priv.h"

#define FIXED	40u		/* bytes of an entry before its extra data */

/* ---- the table ---- */

static void free_one(struct qcow2_snapshot *s)
{
	free(s->id);
	free(s->name);
	free(s->extra);
}

void qcow2_snapshots_free(struct qcow2 *q)
{
	for (unsigned i = 0; q->snapshots && i < q->nsnapshots; i++)
		free_one(&q->snapshots[i]);
	free(q->snapshots);
	q->snapshots = NULL;
}

static char *take_string(struct qcow2 *q, uint64_t at, size_t n, struct err *e)
{
	char *s = calloc(1, n + 1);
	if (s && qcow2_read_bytes(q, at, s, n, e))
		return s;
	free(s);
	return NULL;
}

static bool read_one(struct qcow2 *q, uint64_t *at, struct qcow2_snapshot *s, struct err *e)
{
	uint8_t h[FIXED], extra[16] = { 0 };

	if (!qcow2_read_bytes(q, *at, h, sizeof(h), e))
		return false;
	uint32_t id_len = be16(h + 12), name_len = be16(h + 14), extra_len = be32(h + 36);
	if (extra_len > 1024)
		return err_set(e, "'%s': a snapshot has %u bytes of extra data", q->block.file, extra_len);
	if (!qcow2_read_bytes(q, *at + FIXED, extra, min_u64(extra_len, 16), e))
		return false;
	*s = (struct qcow2_snapshot){
		.l1_offset = be64(h), .l1_size = be32(h + 8), .date_sec = be32(h + 16), .date_nsec = be32(h + 20),
		.vm_clock_nsec = be64(h + 24), .vm_state_size = extra_len >= 8 ? be64(extra) : be32(h + 32),
		.disk_size = extra_len >= 16 ? be64(extra + 8) : q->size,
		.extra_size = extra_len > 16 ? extra_len - 16 : 0,
	};
	s->id = take_string(q, *at + FIXED + extra_len, id_len, e);
	s->name = take_string(q, *at + FIXED + extra_len + id_len, name_len, e);
	s->extra = (uint8_t *)take_string(q, *at + FIXED + 16, s->extra_size, e);
	if (!s->id || !s->name || !s->extra)
		return err_set(e, "'%s': the snapshot table cannot be read", q->block.file);
	if (s->l1_size > MAX_L1_BYTES / 8 || s->l1_offset & (q->cluster_size - 1) || s->l1_offset > OFFSET_MASK
	    || (s->l1_size && !s->l1_offset))
		return err_set(e, "'%s': snapshot '%s' has an impossible L1 table", q->block.file, s->name);
	*at = align_up(*at + FIXED + extra_len + id_len + name_len, 8);
	return true;
}

bool qcow2_snapshots_read(struct qcow2 *q, struct err *e)
{
	uint64_t at = q->snapshots_offset;

	if (!(q->snapshots = calloc(q->nsnapshots + 1, sizeof(*q->snapshots))))
		return err_set(e, "'%s': no memory", q->block.file);
	for (unsigned i = 0; i < q->nsnapshots; i++) {
		if (!read_one(q, &at, &q->snapshots[i], e))
			return false;
		if (at - q->snapshots_offset > MAX_SNAPSHOT_BYTES)
			return err_set(e, "'%s': the snapshot table is too large", q->block.file);
	}
	q->snapshots_bytes = (uint32_t)(at - q->snapshots_offset);
	return true;
}

static size_t entry_bytes(const struct qcow2_snapshot *s)
{
	return align_up(FIXED + 16 + s->extra_size + strlen(s->id) + strlen(s->name), 8);
}

static void put_one(uint8_t *p, const struct qcow2_snapshot *s)
{
	size_t id = strlen(s->id), name = strlen(s->name);
	put_be64(p, s->l1_offset);
	put_be32(p + 8, s->l1_size);
	put_be16(p + 12, (uint16_t)id);
	put_be16(p + 14, (uint16_t)name);
	put_be32(p + 16, s->date_sec);
	put_be32(p + 20, s->date_nsec);
	put_be64(p + 24, s->vm_clock_nsec);
	put_be32(p + 32, (uint32_t)s->vm_state_size);
	put_be32(p + 36, 16 + s->extra_size);
	put_be64(p + 40, s->vm_state_size);
	put_be64(p + 48, s->disk_size);
	p += FIXED + 16;
	memcpy(p, s->extra, s->extra_size);
	memcpy(p + s->extra_size, s->id, id);
	memcpy(p + s->extra_size + id, s->name, name);
}

/* The list as it is in memory, at a new place; header fields 60..71 name it in one write. */
static bool write_list(struct qcow2 *q, struct err *e)
{
	uint64_t old = q->snapshots_offset, at = 0, bytes = 0;
	uint32_t old_bytes = q->snapshots_bytes;
	uint8_t h[12];

	for (unsigned i = 0; i < q->nsnapshots; i++)
		bytes += entry_bytes(&q->snapshots[i]);
	if (bytes > MAX_SNAPSHOT_BYTES)
		return err_set(e, "'%s': the snapshot table would be too large", q->block.file);
	uint8_t *t = calloc(1, bytes + 1), *p = t;
	if (!t || (bytes && !(at = qcow2_alloc(q, clusters_of(q, bytes), e)))) {
		free(t);
		return false;
	}
	for (unsigned i = 0; i < q->nsnapshots; i++) {
		put_one(p, &q->snapshots[i]);
		p += entry_bytes(&q->snapshots[i]);
	}
	put_be32(h, q->nsnapshots);
	put_be64(h + 4, at);
	bool ok = qcow2_flush_refcounts(q, e) && (!bytes || qcow2_write_bytes(q, at, t, bytes, e))
		&& qcow2_barrier(q, e) && qcow2_write_bytes(q, 60, h, sizeof(h), e) && qcow2_barrier(q, e);
	free(t);
	if (!ok)
		return false;
	q->snapshots_offset = at;
	q->snapshots_bytes = (uint32_t)bytes;
	return qcow2_refcount_range(q, old, old_bytes, -1, e);
}

static int find(const struct qcow2 *q, const char *which)
{
	for (unsigned i = 0; i < q->nsnapshots; i++)
		if (!strcmp(q->snapshots[i].id, which))
			return (int)i;
	for (unsigned i = 0; i < q->nsnapshots; i++)
		if (!strcmp(q->snapshots[i].name, which))
			return (int)i;
	return -1;
}

/* ---- references ---- */

/* Count everything an L1 table refers to, tables included, up or down. */
static bool count_all(struct qcow2 *q, const uint64_t *l1, uint32_t n, int delta, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = l1[i] & OFFSET_MASK;
		if (!at)
			continue;
		for (uint64_t j = 0; j < l2_entries(q); j++) {
			uint8_t *l2 = qcow2_table(q, &q->l2, at, e);
			if (!l2)
				return false;
			uint64_t entry = be64(l2 + 8 * j);
			struct qcow2_range r = { entry & OFFSET_MASK, entry & OFFSET_MASK ? q->cluster_size : 0 };
			if (entry & FLAG_COMPRESSED)
				r = qcow2_zip_range(q, entry);
			if (!qcow2_refcount_range(q, r.offset, r.bytes, delta, e))
				return false;
		}
		if (!qcow2_refcount_add(q, at >> q->cluster_bits, delta, e))
			return false;
	}
	return true;
}

static bool flag_for(struct qcow2 *q, uint64_t entry, uint64_t *flag, struct err *e)
{
	uint64_t count = 0;
	if (entry & FLAG_COMPRESSED || !(entry & OFFSET_MASK)) {
		*flag = 0;
		return true;
	}
	if (!qcow2_refcount_get(q, (entry & OFFSET_MASK) >> q->cluster_bits, &count, e))
		return false;
	*flag = count == 1 ? FLAG_COPIED : 0;
	return true;
}

static bool flag_table(struct qcow2 *q, uint64_t at, struct err *e)
{
	for (uint64_t j = 0; j < l2_entries(q); j++) {
		uint8_t *l2 = qcow2_table(q, &q->l2, at, e);
		uint64_t entry = l2 ? be64(l2 + 8 * j) : 0, flag;
		if (!l2 || !flag_for(q, entry, &flag, e))
			return false;
		if (entry == ((entry & ~FLAG_COPIED) | flag))
			continue;
		if (!(l2 = qcow2_table(q, &q->l2, at, e)))
			return false;
		put_be64(l2 + 8 * j, (entry & ~FLAG_COPIED) | flag);
		qcow2_table_dirty(&q->l2, at);
	}
	return true;
}

/* FLAG_COPIED of everything active, from the refcounts. */
bool qcow2_flag_all(struct qcow2 *q, struct err *e)
{
	for (uint32_t i = 0; i < q->l1_size; i++) {
		uint64_t at = q->l1[i] & OFFSET_MASK, flag;
		if (!at)
			continue;
		if (!flag_table(q, at, e) || !flag_for(q, at, &flag, e))
			return false;
		if ((q->l1[i] & FLAG_COPIED) != flag)
			qcow2_l1_set(q, i, at | flag);
	}
	return qcow2_flush_all(q, e);
}

/* ---- operations ---- */

static bool begin(struct block *b, struct err *e)
{
	struct qcow2_info ignored;
	if (!qcow2_info(b, &ignored, e))
		return false;
	if (b->readonly || b->overlay)
		return err_set(e, "'%s' is read-only", b->file);
	return qcow2_begin_write(to_qcow2(b), e) && qcow2_flush_all(to_qcow2(b), e);
}

static int find_or_say(struct qcow2 *q, const char *which, struct err *e)
{
	int i = find(q, which);
	if (i < 0)
		err_set(e, "'%s': there is no snapshot '%s'", q->block.file, which);
	return i;
}

const struct qcow2_snapshot *qcow2_snapshot_find(struct block *b, const char *which, struct err *e)
{
	struct qcow2_info ignored;
	int i = qcow2_info(b, &ignored, e) ? find_or_say(to_qcow2(b), which, e) : -1;

	return i < 0 ? NULL : &to_qcow2(b)->snapshots[i];
}

const struct qcow2_snapshot *qcow2_snapshot_get(struct block *b, unsigned i)
{
	return i < to_qcow2(b)->nsnapshots ? &to_qcow2(b)->snapshots[i] : NULL;
}

static bool new_entry(struct qcow2 *q, const char *name, struct qcow2_snapshot *s, struct err *e)
{
	struct timespec now;
	unsigned long id = 0;
	char text[24];

	for (unsigned i = 0; i < q->nsnapshots; i++)
		id = max_u64(id, strtoul(q->snapshots[i].id, NULL, 10));
	snprintf(text, sizeof(text), "%lu", id + 1);
	clock_gettime(CLOCK_REALTIME, &now);
	*s = (struct qcow2_snapshot){
		.l1_size = q->l1_size, .date_sec = (uint32_t)now.tv_sec, .date_nsec = (uint32_t)now.tv_nsec,
		.disk_size = q->size, .id = strdup(text), .name = strdup(name), .extra = calloc(1, 1),
	};
	if (s->id && s->name && s->extra)
		return true;
	free_one(s);
	return err_set(e, "no memory");
}

bool qcow2_snapshot_create(struct block *b, const char *name, struct err *e)
{
	return qcow2_snapshot_create_vm(b, name, 0, 0, e);
}

bool qcow2_snapshot_create_vm(struct block *b, const char *name, uint64_t size, uint64_t vm_clock, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	struct qcow2_snapshot s, *list;

	if (!begin(b, e))
		return false;
	if (find(q, name) >= 0)
		return err_set(e, "'%s': there is a snapshot '%s' already", b->file, name);
	if (!q->refcount_order)
		return err_set(e, "'%s': 1-bit reference counts leave no room for snapshots", b->file);
	if (q->nsnapshots >= MAX_SNAPSHOTS || strlen(name) > UINT16_MAX)
		return err_set(e, "'%s': too many snapshots, or too long a name", b->file);
	list = realloc(q->snapshots, (q->nsnapshots + 2) * sizeof(*list));
	if ((!size && !qcow2_vmstate_drop(q, e)) || !list || (q->snapshots = list, !new_entry(q, name, &s, e)))
		return false;
	s.vm_state_size = size;
	s.vm_clock_nsec = vm_clock;
	s.l1_offset = q->l1_size ? qcow2_alloc(q, clusters_of(q, 8ull * q->l1_size), e) : 0;
	if ((q->l1_size && !s.l1_offset) || !count_all(q, q->l1, q->l1_size, 1, e)
	    || !qcow2_flush_refcounts(q, e) || !qcow2_write_table(q, s.l1_offset, q->l1, q->l1_size, e)
	    || !qcow2_flag_all(q, e)) {
		free_one(&s);
		return false;
	}
	q->snapshots[q->nsnapshots++] = s;
	return write_list(q, e) && qcow2_flush_all(q, e);
}


/* The active L1 table becomes a copy of another, in one write of the header. */
static bool switch_l1(struct qcow2 *q, uint64_t *l1, uint32_t n, struct err *e)
{
	uint64_t old_at = q->l1_offset, at = qcow2_put_l1(q, l1, n, e);
	uint32_t old_n = q->l1_size;
	uint64_t *old = q->l1;

	if (!at)
		return false;
	q->l1 = l1;
	q->l1_size = n;
	q->l1_offset = at;
	bool ok = count_all(q, old, old_n, -1, e) && qcow2_refcount_range(q, old_at, 8ull * old_n, -1, e);
	free(old);
	return ok && qcow2_flag_all(q, e);
}

bool qcow2_snapshot_apply(struct block *b, const char *which, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	int i;

	if (!begin(b, e) || (i = find_or_say(q, which, e)) < 0)
		return false;
	const struct qcow2_snapshot *s = &q->snapshots[i];
	if (s->disk_size != q->size)
		return err_set(e, "'%s': the disk was resized since snapshot '%s'; resize it to %llu bytes first",
			       b->file, which, (unsigned long long)s->disk_size);
	uint32_t n = (uint32_t)max_u64(s->l1_size, q->l1_size);
	uint64_t *read = qcow2_read_table(q, s->l1_offset, s->l1_size, MAX_L1_BYTES, "a snapshot's L1 table", e);
	uint64_t *l1 = read ? realloc(read, 8ull * n + 1) : NULL;
	if (!l1) {
		free(read);
		return false;
	}
	memset(l1 + s->l1_size, 0, 8ull * (n - s->l1_size));
	for (uint32_t k = 0; k < n; k++)	/* a saved machine behind the disk is not part of it */
		l1[k] = k < qcow2_vmstate_index(q, q->size) ? l1[k] & OFFSET_MASK : 0;
	if (count_all(q, l1, n, 1, e) && switch_l1(q, l1, n, e))
		return true;
	if (q->l1 != l1)
		free(l1);
	return false;
}

bool qcow2_snapshot_show(struct block *b, const char *which, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	struct qcow2_info ignored;
	int i;

	if (!qcow2_info(b, &ignored, e) || (i = find_or_say(q, which, e)) < 0)
		return false;
	if (q->writable)
		return err_set(e, "'%s' is open for writing", b->file);
	const struct qcow2_snapshot *s = &q->snapshots[i];
	uint64_t per = l2_entries(q) << q->cluster_bits;
	uint64_t *l1 = qcow2_read_table(q, s->l1_offset, s->l1_size, MAX_L1_BYTES, "a snapshot's L1 table", e);
	if (!l1 || s->disk_size > per * s->l1_size) {
		free(l1);
		return err_set(e, "'%s': the L1 table of snapshot '%s' cannot be used", b->file, which);
	}
	free(q->l1);
	q->l1 = l1;
	q->l1_size = s->l1_size;
	q->l1_offset = s->l1_offset;
	q->size = s->disk_size;
	b->sectors = (q->size + SECTOR - 1) / SECTOR;
	return true;
}

bool qcow2_snapshot_delete(struct block *b, const char *which, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);
	int i;

	if (!begin(b, e) || (i = find_or_say(q, which, e)) < 0)
		return false;
	struct qcow2_snapshot s = q->snapshots[i];
	uint64_t *l1 = qcow2_read_table(q, s.l1_offset, s.l1_size, MAX_L1_BYTES, "a snapshot's L1 table", e);
	if (!l1)
		return false;
	memmove(&q->snapshots[i], &q->snapshots[i + 1], (q->nsnapshots - 1 - (unsigned)i) * sizeof(s));
	q->nsnapshots--;
	bool ok = write_list(q, e) && count_all(q, l1, s.l1_size, -1, e)
		&& qcow2_refcount_range(q, s.l1_offset, 8ull * s.l1_size, -1, e) && qcow2_flag_all(q, e);
	free(l1);
	free_one(&s);
	return ok;
}
