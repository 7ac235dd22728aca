/*
 * Packed virtqueues: one ring of descriptors that both sides write.
 *
 *	desc    size * { address u64, length u32, id u16, flags u16 }
 *	avail   what the driver wants to be told: place u16, flags u16
 *	used    what the device wants to be told: the same
 *
 * The driver fills descriptors in order, a buffer's ones behind each other, its id in the
 * last. The device gives a buffer back by overwriting the next descriptor that it has not
 * used, and goes on as many descriptors as the buffer had. Flags AVAIL and USED say whose
 * turn a descriptor is, in terms of wrap counters, which change with each round.
 *
 * Source: Virtio 1.2, 2.8.
 */
#include "hw/virtio/virtq.h"

#define DESC_AVAIL	0x0080u
#define DESC_USED	0x8000u
#define AT_ID		12u		/* offsets in a descriptor */
#define AT_FLAGS	14u

enum { EVENTS_ENABLE = 0, EVENTS_DISABLE = 1, EVENTS_DESC = 2 };	/* 2.8.10 */

/* ---- places: an entry's number, and the wrap counter in bit 15 ---- */

static uint16_t entry(uint16_t place)
{
	return place & ~VIRTQ_WRAP;
}

static uint16_t advance(const struct virtq *q, uint16_t place, unsigned n)
{
	unsigned i = entry(place) + n;

	return i < q->size ? (uint16_t)(place + n) : (uint16_t)((i - q->size) | ((place & VIRTQ_WRAP) ^ VIRTQ_WRAP));
}

/* How far `to` is behind `from`, up to two rounds. */
static unsigned distance(const struct virtq *q, uint16_t from, uint16_t to)
{
	unsigned rounds = 2u * q->size, a = entry(from) + (from & VIRTQ_WRAP ? 0 : q->size);
	unsigned b = entry(to) + (to & VIRTQ_WRAP ? 0 : q->size);

	return (b + rounds - a) % rounds;
}

static uint64_t address(const struct virtq *q, uint16_t place)
{
	return q->desc + (uint64_t)entry(place) * DESC_SIZE;
}

/* ---- taking buffers ---- */

static bool waiting(struct virtio *v, const struct virtq *q)
{
	bool wrap = q->last_avail & VIRTQ_WRAP;
	uint16_t flags;

	return virtq_get16(v, address(q, q->last_avail) + AT_FLAGS, &flags)
		&& !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

/* Descriptors have their flags where those of split rings have the next one's number. */
static bool fetch(struct virtio *v, uint64_t pa, uint8_t d[DESC_SIZE], uint16_t *id)
{
	if (!virtio_mem_read(v, pa, d, DESC_SIZE))
		return false;
	*id = ld16(d + AT_ID);
	st16(d + 12, ld16(d + AT_FLAGS));
	return true;
}

/* All of a table, without NEXT. */
static bool walk_table(struct virtio *v, uint8_t d[DESC_SIZE], struct vbuf *b)
{
	uint64_t table;
	uint32_t n;
	uint16_t id;

	if (!virtq_enter_table(v, d, b->n_out + b->n_in, &table, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!fetch(v, table + (uint64_t)i * DESC_SIZE, d, &id) || !virtq_add(v, b, d))
			return false;
	return true;
}

static bool pop(struct virtio *v, struct virtq *q, struct vbuf *b)
{
	uint16_t at = q->last_avail, flags;
	uint8_t d[DESC_SIZE];

	if (!waiting(v, q))
		return false;
	b->head.n = 0;
	virtq_begin(b);
	do {
		if (b->head.n++ == q->size)
			return virtio_broken(v, "an endless or too long chain");
		if (!fetch(v, address(q, at), d, &b->head.id))
			return false;
		flags = ld16(d + 12);
		if (!(flags & DESC_INDIRECT ? walk_table(v, d, b) : virtq_add(v, b, d)))
			return false;
		at = advance(q, at, 1);
	} while (flags & DESC_NEXT);
	q->last_avail = at;
	return true;
}

static void unpop(struct virtq *q, const struct vbuf *b)
{
	unsigned i = entry(q->last_avail), wrap = q->last_avail & VIRTQ_WRAP;

	q->last_avail = (uint16_t)(i >= b->head.n ? (i - b->head.n) | wrap : (i + q->size - b->head.n) | (wrap ^ VIRTQ_WRAP));
}

/* ---- giving them back ---- */

/* What is used overwrites what is available, so nothing is written before all is known. */
static void fill(struct virtio *v, struct virtq *q, unsigned ahead, struct vbuf_head head, uint32_t n)
{
	if (ahead >= q->size) {
		virtio_broken(v, "more buffers at once than the queue holds");
		return;
	}
	v->filled[ahead].head = head;
	v->filled[ahead].len = n;
}

static void write_used(struct virtio *v, const struct virtq *q, uint16_t at, struct vbuf_head head, uint32_t n)
{
	uint16_t flags = (uint16_t)((at & VIRTQ_WRAP ? DESC_AVAIL | DESC_USED : 0) | (n ? DESC_WRITE : 0));
	uint8_t e[6];

	st32(e, n);
	st16(e + 4, head.id);
	virtio_mem_write(v, address(q, at) + 8, e, sizeof(e));
	virtq_put16(v, address(q, at) + AT_FLAGS, flags);
}

/* The first one comes last: the driver looks there. */
static void show(struct virtio *v, struct virtq *q, unsigned n)
{
	uint16_t at = q->used_idx;

	if (n > q->size)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (i)
			write_used(v, q, at, v->filled[i].head, v->filled[i].len);
		at = advance(q, at, v->filled[i].head.n);
	}
	write_used(v, q, q->used_idx, v->filled[0].head, v->filled[0].len);
	/* More than a round since the driver was told: places would be taken for others. */
	if (distance(q, q->signalled, q->used_idx) + distance(q, q->used_idx, at) >= q->size)
		q->told_once = 0;
	q->used_idx = at;
}

/* ---- telling each other ---- */

static void ask(struct virtio *v, struct virtq *q, bool on)
{
	bool by_place = on && virtio_has(v, VIRTIO_EVENT_IDX);

	if (by_place && !virtq_put16(v, q->used, q->last_avail))
		return;
	virtq_put16(v, q->used + 2, by_place ? EVENTS_DESC : on ? EVENTS_ENABLE : EVENTS_DISABLE);
}

static bool wants_interrupt(struct virtio *v, struct virtq *q)
{
	uint16_t flags, event, was = q->signalled;
	bool known = q->told_once;

	if (!virtq_get16(v, q->avail + 2, &flags))
		return false;
	q->signalled = q->used_idx;
	q->told_once = 1;
	if (flags != EVENTS_DESC || !virtio_has(v, VIRTIO_EVENT_IDX))
		return flags != EVENTS_DISABLE;
	if (!virtq_get16(v, q->avail, &event))
		return false;
	/* Is the place among those used since? */
	return !known || entry(event) >= q->size || distance(q, was, event) < distance(q, was, q->used_idx);
}

const struct virtq_ops virtq_packed = { waiting, pop, unpop, fill, show, ask, wants_interrupt };
