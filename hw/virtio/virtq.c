/*
 * Split virtqueues: a table of descriptors, a ring of what the driver offers and
 * a ring of what the device has used.
 *
 *	desc    size * { address u64, length u32, flags u16, next u16 }
 *	avail   flags u16, idx u16, ring[size] u16, used_event u16
 *	used    flags u16, idx u16, ring[size] { id u32, length u32 }, avail_event u16
 *
 * Indices count modulo 65536. Every value the driver wrote is read once, checked
 * and then used; the driver may be writing on another processor meanwhile.
 *
 * Not modelled: packed virtqueues, rings and buffers outside RAM.
 * Source: Virtio 1.2, 2.7.
 */
#include <string.h>

#include "hw/core/sg.h"
#include "hw/virtio/virtio_transport.h"

#define DESC_NEXT	1u
#define DESC_WRITE	2u
#define DESC_INDIRECT	4u
#define DESC_SIZE	16u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY	1u
#define PAGE_SIZE	4096u

/* ---- memory: RAM only, a page at a time ---- */

bool virtio_mem_read(struct virtio *v, uint64_t pa, void *to, uint64_t n)
{
	uint8_t *p = to;
	struct phys_page pg;

	while (n) {
		uint64_t at = pa % PAGE_SIZE, k = min_u64(n, PAGE_SIZE - at);
		phys_lookup(v->pci.dev.m->phys, pa, &pg);
		if (!pg.rhost)
			return virtio_broken(v, "an address outside RAM");
		memcpy(p, pg.rhost + at, k);
		p += k;
		pa += k;
		n -= k;
	}
	return true;
}

bool virtio_mem_write(struct virtio *v, uint64_t pa, const void *from, uint64_t n)
{
	const uint8_t *p = from;
	struct phys_page pg;

	while (n) {
		uint64_t k = min_u64(n, PAGE_SIZE - pa % PAGE_SIZE);
		phys_lookup(v->pci.dev.m->phys, pa, &pg);
		if (!pg.whost)
			return virtio_broken(v, "an address outside RAM");
		phys_write_buf(v->pci.dev.m->phys, pa, p, k);
		p += k;
		pa += k;
		n -= k;
	}
	return true;
}

static bool get16(struct virtio *v, uint64_t pa, uint16_t *out)
{
	struct phys_page pg;

	phys_lookup(v->pci.dev.m->phys, pa, &pg);
	if (!pg.rhost || pa & 1)
		return virtio_broken(v, "a ring outside RAM or at an odd address");
	*out = __atomic_load_n((uint16_t *)(pg.rhost + pa % PAGE_SIZE), __ATOMIC_ACQUIRE);
	return true;
}

/* The driver may look at any time: both bytes change at once. Then the page's marks. */
static bool put16(struct virtio *v, uint64_t pa, uint16_t value)
{
	struct phys_page pg;

	phys_lookup(v->pci.dev.m->phys, pa, &pg);
	if (!pg.whost || pa & 1)
		return virtio_broken(v, "a ring outside RAM or at an odd address");
	__atomic_store_n((uint16_t *)(pg.whost + pa % PAGE_SIZE), value, __ATOMIC_RELEASE);
	phys_write_buf(v->pci.dev.m->phys, pa, &value, 2);
	return true;
}

/* ---- taking buffers ---- */

static bool usable(const struct virtio *v, const struct virtq *q)
{
	return virtio_running(v) && q->enabled && v->transport->may_dma(v);
}

/* How many buffers wait; -1: the ring is broken. */
static int waiting(struct virtio *v, const struct virtq *q)
{
	uint16_t idx;

	if (!usable(v, q))
		return 0;
	if (!get16(v, q->avail + 2, &idx))
		return -1;
	uint16_t n = (uint16_t)(idx - q->last_avail);
	if (n > q->size) {
		virtio_broken(v, "more buffers on offer than the queue holds");
		return -1;
	}
	return n;
}

static bool add_segment(struct virtio *v, struct vbuf *b, uint64_t pa, uint32_t len, bool in)
{
	unsigned n = b->n_out + b->n_in;

	if (n == VBUF_MAX_SEGS)
		return virtio_broken(v, "an endless or too long chain");
	if (!in && b->n_in)
		return virtio_broken(v, "a readable buffer behind a writable one");
	b->seg[n].pa = pa;
	b->seg[n].len = len;
	*(in ? &b->n_in : &b->n_out) += 1;
	*(in ? &b->in_len : &b->out_len) += len;
	return true;
}

/* A descriptor that leads to a table of its own: the last of its chain, and not in such a table. */
static bool enter_table(struct virtio *v, const uint8_t *d, bool inside, uint64_t *table, uint32_t *n)
{
	uint32_t len = ld32(d + 8);

	if (inside || !virtio_has(v, VIRTIO_INDIRECT_DESC) || ld16(d + 12) & DESC_NEXT)
		return virtio_broken(v, "an indirect descriptor where none may be");
	if (!len || len % DESC_SIZE)
		return virtio_broken(v, "an indirect table of no whole length");
	*table = ld64(d);
	*n = len / DESC_SIZE;
	return true;
}

static bool walk(struct virtio *v, const struct virtq *q, uint16_t head, struct vbuf *b)
{
	uint64_t table = q->desc;
	uint32_t n = q->size, i = head;
	bool inside = false;
	uint8_t d[DESC_SIZE];
	uint16_t flags;

	b->head = (struct vbuf_head){ head, 1 };
	b->n_out = b->n_in = 0;
	b->out_len = b->in_len = 0;
	do {
		if (i >= n)
			return virtio_broken(v, "a descriptor outside the table");
		if (!virtio_mem_read(v, table + (uint64_t)i * DESC_SIZE, d, DESC_SIZE))
			return false;
		flags = ld16(d + 12);
		if (flags & DESC_INDIRECT) {
			if (!enter_table(v, d, inside, &table, &n))
				return false;
			inside = true;
			flags = DESC_NEXT;
			i = 0;
			continue;
		}
		if (!add_segment(v, b, ld64(d), ld32(d + 8), flags & DESC_WRITE))
			return false;
		i = ld16(d + 14);
	} while (flags & DESC_NEXT);
	return true;
}

bool virtq_pop(struct virtio *v, unsigned qn, struct vbuf *b)
{
	struct virtq *q = &v->q[qn];
	uint16_t head;

	if (waiting(v, q) <= 0)
		return false;
	if (!get16(v, q->avail + 4 + 2 * (uint64_t)(q->last_avail % q->size), &head))
		return false;
	if (!walk(v, q, head, b))
		return false;
	q->last_avail++;
	return true;
}

void virtq_unpop(struct virtio *v, unsigned q)
{
	v->q[q].last_avail--;
}

/* ---- giving them back ---- */

void virtq_fill(struct virtio *v, unsigned qn, unsigned ahead, const struct vbuf *b, uint32_t n)
{
	const struct virtq *q = &v->q[qn];
	uint8_t e[8];

	st32(e, b->head.id);
	st32(e + 4, n);
	virtio_mem_write(v, q->used + 4 + 8 * (uint64_t)((uint16_t)(q->used_idx + ahead) % q->size), e, sizeof(e));
}

void virtq_show(struct virtio *v, unsigned qn, unsigned n)
{
	struct virtq *q = &v->q[qn];

	q->used_idx = (uint16_t)(q->used_idx + n);
	/* Far from what was told: the comparison of 16-bit indices would be wrong. */
	if ((uint16_t)(q->used_idx - q->signalled) > 0x7fff)
		q->told_once = 0;
	put16(v, q->used + 2, q->used_idx);
}

void virtq_push(struct virtio *v, unsigned q, const struct vbuf *b, uint32_t n)
{
	virtq_fill(v, q, 0, b, n);
	virtq_show(v, q, 1);
}

void virtq_push_head(struct virtio *v, unsigned q, struct vbuf_head head, uint32_t n)
{
	v->buf.head = head;
	virtq_push(v, q, &v->buf, n);
}

/* ---- telling each other ---- */

bool virtq_ask(struct virtio *v, unsigned qn, bool on)
{
	struct virtq *q = &v->q[qn];

	if (!usable(v, q))
		return false;
	if (!virtio_has(v, VIRTIO_EVENT_IDX))
		put16(v, q->used, on ? 0 : USED_NO_NOTIFY);
	else if (on)
		put16(v, q->used + 4 + 8 * (uint64_t)q->size, q->last_avail);
	if (!on)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return waiting(v, q) > 0;
}

/* 2.7.7, 2.7.10: by flag, or with used_event among the entries that are new. */
static bool wants_interrupt(struct virtio *v, struct virtq *q)
{
	uint16_t event, was = q->signalled;
	bool known = q->told_once;

	if (!virtio_has(v, VIRTIO_EVENT_IDX))
		return get16(v, q->avail, &event) && !(event & AVAIL_NO_INTERRUPT);
	if (!get16(v, q->avail + 4 + 2 * (uint64_t)q->size, &event))
		return false;
	q->signalled = q->used_idx;
	q->told_once = 1;
	return !known || (uint16_t)(q->used_idx - event - 1) < (uint16_t)(q->used_idx - was);
}

void virtq_interrupt(struct virtio *v, unsigned qn)
{
	struct virtq *q = &v->q[qn];

	if (!usable(v, q))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (wants_interrupt(v, q))
		virtio_signal(v, q->vector, VIRTIO_ISR_QUEUE);
}

/* ---- contents ---- */

/* Copy between `host` and segments [first, first + count) from byte off on. */
static bool copy(struct virtio *v, const struct vbuf *b, unsigned first, unsigned count, uint64_t off,
		 uint8_t *host, uint64_t n, bool to_guest)
{
	for (unsigned i = first; i < first + count && n; i++) {
		uint64_t len = b->seg[i].len;
		if (off >= len) {
			off -= len;
			continue;
		}
		uint64_t k = min_u64(n, len - off), pa = b->seg[i].pa + off;
		if (!(to_guest ? virtio_mem_write(v, pa, host, k) : virtio_mem_read(v, pa, host, k)))
			return false;
		host += k;
		n -= k;
		off = 0;
	}
	return !n || virtio_broken(v, "a buffer that is too short");
}

bool vbuf_read(struct virtio *v, const struct vbuf *b, uint64_t off, void *to, uint64_t n)
{
	return copy(v, b, 0, b->n_out, off, to, n, false);
}

bool vbuf_write(struct virtio *v, const struct vbuf *b, uint64_t off, const void *from, uint64_t n)
{
	return copy(v, b, b->n_out, b->n_in, off, (uint8_t *)from, n, true);
}

bool vbuf_sg(struct virtio *v, const struct vbuf *b, bool in, uint64_t off, uint64_t n, struct sg *s)
{
	unsigned first = in ? b->n_out : 0, count = in ? b->n_in : b->n_out;

	for (unsigned i = first; i < first + count && n; i++) {
		uint64_t len = b->seg[i].len;
		if (off >= len) {
			off -= len;
			continue;
		}
		uint64_t k = min_u64(n, len - off);
		if (!sg_add(s, b->seg[i].pa + off, k))
			return s->not_ram ? virtio_broken(v, "an address outside RAM") : false;
		n -= k;
		off = 0;
	}
	return !n || virtio_broken(v, "a buffer that is too short");
}

uint64_t vbuf_in_address(const struct vbuf *b, uint64_t off)
{
	unsigned i = b->n_out;

	while (off >= b->seg[i].len)
		off -= b->seg[i++].len;
	return b->seg[i].pa + off;
}
