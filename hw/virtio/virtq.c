/*
 * Virtqueues, whichever of the two layouts the driver has chosen (virtq_split.c,
 * virtq_packed.c): guest memory, chains of descriptors, and what is in buffers.
 *
 * Every value the driver wrote is read once, checked and then used; the driver may be
 * writing on another processor meanwhile.
 *
 * Not modelled: rings and buffers outside RAM.
 * Source: Virtio 1.2, 2.6 to 2.8.
 */
#include <string.h>

#include "hw/core/sg.h"
#include "hw/virtio/virtq.h"

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

bool virtq_get16(struct virtio *v, uint64_t pa, uint16_t *out)
{
	struct phys_page pg;

	phys_lookup(v->pci.dev.m->phys, pa, &pg);
	if (!pg.rhost || pa & 1)
		return virtio_broken(v, "a ring outside RAM or at an odd address");
	*out = __atomic_load_n((uint16_t *)(pg.rhost + pa % PAGE_SIZE), __ATOMIC_ACQUIRE);
	return true;
}

/* The driver may look at any time: both bytes change at once. Then the page's marks. */
bool virtq_put16(struct virtio *v, uint64_t pa, uint16_t value)
{
	struct phys_page pg;

	phys_lookup(v->pci.dev.m->phys, pa, &pg);
	if (!pg.whost || pa & 1)
		return virtio_broken(v, "a ring outside RAM or at an odd address");
	__atomic_store_n((uint16_t *)(pg.whost + pa % PAGE_SIZE), value, __ATOMIC_RELEASE);
	phys_write_buf(v->pci.dev.m->phys, pa, &value, 2);
	return true;
}

/* ---- chains ---- */

void virtq_begin(struct vbuf *b)
{
	b->n_out = b->n_in = 0;
	b->out_len = b->in_len = 0;
}

bool virtq_add(struct virtio *v, struct vbuf *b, const uint8_t *d)
{
	unsigned n = b->n_out + b->n_in;
	bool in = ld16(d + 12) & DESC_WRITE;
	uint32_t len = ld32(d + 8);

	if (n == VBUF_MAX_SEGS)
		return virtio_broken(v, "an endless or too long chain");
	if (!in && b->n_in)
		return virtio_broken(v, "a readable buffer behind a writable one");
	b->seg[n].pa = ld64(d);
	b->seg[n].len = len;
	*(in ? &b->n_in : &b->n_out) += 1;
	*(in ? &b->in_len : &b->out_len) += len;
	return true;
}

bool virtq_enter_table(struct virtio *v, const uint8_t *d, bool inside, uint64_t *table, uint32_t *n)
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

/* ---- of both layouts ---- */

static const struct virtq_ops *ops(const struct virtio *v)
{
	return virtio_has(v, VIRTIO_RING_PACKED) ? &virtq_packed : &virtq_split;
}

static bool usable(const struct virtio *v, const struct virtq *q)
{
	return virtio_running(v) && q->enabled && v->transport->may_dma(v);
}

bool virtq_pop(struct virtio *v, unsigned q, struct vbuf *b)
{
	return usable(v, &v->q[q]) && ops(v)->pop(v, &v->q[q], b);
}

void virtq_unpop(struct virtio *v, unsigned q, const struct vbuf *b)
{
	ops(v)->unpop(&v->q[q], b);
}

void virtq_fill(struct virtio *v, unsigned q, unsigned ahead, const struct vbuf *b, uint32_t n)
{
	ops(v)->fill(v, &v->q[q], ahead, b->head, n);
}

void virtq_show(struct virtio *v, unsigned q, unsigned n)
{
	v->shown |= BIT(q);
	ops(v)->show(v, &v->q[q], n);
}

void virtq_push(struct virtio *v, unsigned q, const struct vbuf *b, uint32_t n)
{
	virtq_push_head(v, q, b->head, n);
}

void virtq_push_head(struct virtio *v, unsigned q, struct vbuf_head head, uint32_t n)
{
	ops(v)->fill(v, &v->q[q], 0, head, n);
	virtq_show(v, q, 1);
}

bool virtq_ask(struct virtio *v, unsigned qn, bool on)
{
	struct virtq *q = &v->q[qn];

	if (!usable(v, q))
		return false;
	ops(v)->ask(v, q, on);
	if (!on)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ops(v)->waiting(v, q);
}

void virtq_interrupt(struct virtio *v, unsigned qn)
{
	struct virtq *q = &v->q[qn];

	if (!usable(v, q))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ops(v)->wants_interrupt(v, q))
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
