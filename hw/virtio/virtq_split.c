/*
 * Split virtqueues: a table of descriptors, a ring of what the driver offers and
 * a ring of what the device has used.
 *
 *	desc    size * { address u64, length u32, flags u16, next u16 }
 *	avail   flags u16, idx u16, ring[size] u16, used_event u16
 *	used    flags u16, idx u16, ring[size] { id u32, length u32 }, avail_event u16
 *
 * Indices count modulo 65536.
 *
 * Source: Virtio 1.2, 2.7.
 */
#include "hw/virtio/virtq.h"

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY	1u

/* ---- taking buffers ---- */

static bool waiting(struct virtio *v, const struct virtq *q)
{
	uint16_t idx;

	if (!virtq_get16(v, q->avail + 2, &idx))
		return false;
	uint16_t n = (uint16_t)(idx - q->last_avail);
	if (n > q->size)
		return virtio_broken(v, "more buffers on offer than the queue holds");
	return n;
}

static bool walk(struct virtio *v, const struct virtq *q, uint16_t head, struct vbuf *b)
{
	uint64_t table = q->desc;
	uint32_t n = q->size, i = head;
	bool inside = false;
	uint8_t d[DESC_SIZE];
	uint16_t flags;

	b->head = (struct vbuf_head){ head, 1 };
	virtq_begin(b);
	do {
		if (i >= n)
			return virtio_broken(v, "a descriptor outside the table");
		if (!virtio_mem_read(v, table + (uint64_t)i * DESC_SIZE, d, DESC_SIZE))
			return false;
		flags = ld16(d + 12);
		if (flags & DESC_INDIRECT) {
			if (!virtq_enter_table(v, d, inside, &table, &n))
				return false;
			inside = true;
			flags = DESC_NEXT;
			i = 0;
			continue;
		}
		if (!virtq_add(v, b, d))
			return false;
		i = ld16(d + 14);
	} while (flags & DESC_NEXT);
	return true;
}

static bool pop(struct virtio *v, struct virtq *q, struct vbuf *b)
{
	uint16_t head;

	if (!waiting(v, q) || !virtq_get16(v, q->avail + 4 + 2 * (uint64_t)(q->last_avail % q->size), &head))
		return false;
	if (!walk(v, q, head, b))
		return false;
	q->last_avail++;
	return true;
}

static void unpop(struct virtq *q, const struct vbuf *b)
{
	(void)b;
	q->last_avail--;
}

/* ---- giving them back ---- */

static void fill(struct virtio *v, struct virtq *q, unsigned ahead, struct vbuf_head head, uint32_t n)
{
	uint8_t e[8];

	st32(e, head.id);
	st32(e + 4, n);
	virtio_mem_write(v, q->used + 4 + 8 * (uint64_t)((uint16_t)(q->used_idx + ahead) % q->size), e, sizeof(e));
}

static void show(struct virtio *v, struct virtq *q, unsigned n)
{
	q->used_idx = (uint16_t)(q->used_idx + n);
	/* Far from what was told: the comparison of 16-bit indices would be wrong. */
	if ((uint16_t)(q->used_idx - q->signalled) > 0x7fff)
		q->told_once = 0;
	virtq_put16(v, q->used + 2, q->used_idx);
}

/* ---- telling each other ---- */

static void ask(struct virtio *v, struct virtq *q, bool on)
{
	if (!virtio_has(v, VIRTIO_EVENT_IDX))
		virtq_put16(v, q->used, on ? 0 : USED_NO_NOTIFY);
	else if (on)
		virtq_put16(v, q->used + 4 + 8 * (uint64_t)q->size, q->last_avail);
}

/* 2.7.7, 2.7.10: by flag, or with used_event among the entries that are new. */
static bool wants_interrupt(struct virtio *v, struct virtq *q)
{
	uint16_t event, was = q->signalled;
	bool known = q->told_once;

	if (!virtio_has(v, VIRTIO_EVENT_IDX))
		return virtq_get16(v, q->avail, &event) && !(event & AVAIL_NO_INTERRUPT);
	if (!virtq_get16(v, q->avail + 4 + 2 * (uint64_t)q->size, &event))
		return false;
	q->signalled = q->used_idx;
	q->told_once = 1;
	return !known || (uint16_t)(q->used_idx - event - 1) < (uint16_t)(q->used_idx - was);
}

const struct virtq_ops virtq_split = { waiting, pop, unpop, fill, show, ask, wants_interrupt };
