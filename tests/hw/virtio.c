/* A virtio driver for tests. */
#include <criterion/criterion.h>

#include "tests/hw/virtio.h"

#define SLOT 4

void vt_machine(struct bench *b)
{
	bench_open_pci(b, VT_RAM);
	log_mask = 0;
}

static void set_conf(struct bench *b, unsigned reg, uint32_t v)
{
	pci_config_write(b->m->pci, 0, SLOT * 8, reg, 4, v);
}

uint32_t vt_common(struct vt *t, unsigned reg, int n)
{
	return (uint32_t)phys_read(t->b->m->phys, VT_BAR + reg, n);
}

void vt_set_common(struct vt *t, unsigned reg, int n, uint32_t v)
{
	phys_write(t->b->m->phys, VT_BAR + reg, n, v);
}

uint8_t vt_isr(struct vt *t)
{
	return (uint8_t)phys_read(t->b->m->phys, VT_BAR + 0x1000, 1);
}

uint32_t vt_config(struct vt *t, unsigned off, int n)
{
	return (uint32_t)phys_read(t->b->m->phys, VT_BAR + 0x2000 + off, n);
}

uint64_t vt_offered(struct vt *t)
{
	uint64_t f;

	vt_set_common(t, 0, 4, 0);
	f = vt_common(t, 4, 4);
	vt_set_common(t, 0, 4, 1);
	return f | (uint64_t)vt_common(t, 4, 4) << 32;
}

void vt_map(struct vt *t, struct bench *b, struct dev *d)
{
	*t = (struct vt){ .b = b, .v = (struct virtio *)d };
	set_conf(b, 0x10, 0xc000);
	set_conf(b, 0x14, VT_BAR + 0x10000);
	set_conf(b, 0x20, VT_BAR);
	set_conf(b, 0x04, 7);
}

void vt_queue(struct vt *t, unsigned q)
{
	vt_set_common(t, 0x16, 2, q);
	vt_set_common(t, 0x18, 2, VT_QSIZE);
	vt_set_common(t, 0x20, 4, VT_DESC(q));
	vt_set_common(t, 0x28, 4, VT_AVAIL(q));
	vt_set_common(t, 0x30, 4, VT_USED(q));
	vt_set_common(t, 0x1c, 2, 1);
}

void vt_start(struct vt *t, struct bench *b, struct dev *d, uint64_t features, unsigned n)
{
	vt_map(t, b, d);
	vt_set_common(t, 0x14, 1, 3);
	features = (features | VIRTIO_VERSION_1) & vt_offered(t);
	for (unsigned i = 0; i < 2; i++) {
		vt_set_common(t, 0x08, 4, i);
		vt_set_common(t, 0x0c, 4, (uint32_t)(features >> 32 * i));
	}
	vt_set_common(t, 0x14, 1, 0x0b);
	cr_assert_eq(vt_common(t, 0x14, 1), 0x0b);
	for (unsigned q = 0; q < n; q++)
		vt_queue(t, q);
	vt_set_common(t, 0x14, 1, 0x0f);
}

void vt_desc(struct vt *t, unsigned q, unsigned i, uint64_t pa, uint32_t len, unsigned flags, unsigned next)
{
	uint8_t d[16];

	st64(d, pa);
	st32(d + 8, len);
	st16(d + 12, (uint16_t)flags);
	st16(d + 14, (uint16_t)next);
	phys_write_buf(t->b->m->phys, VT_DESC(q) + 16u * i, d, sizeof(d));
}

void vt_offer(struct vt *t, unsigned q, unsigned head)
{
	phys_write(t->b->m->phys, VT_AVAIL(q) + 4 + 2u * (t->avail[q] % VT_QSIZE), 2, head);
	phys_write(t->b->m->phys, VT_AVAIL(q) + 2, 2, ++t->avail[q]);
}

void vt_kick(struct vt *t, unsigned q)
{
	phys_write(t->b->m->phys, VT_BAR + 0x3000 + 4u * q, 2, q);
}

bool vt_take(struct vt *t, unsigned q, uint32_t *id, uint32_t *len)
{
	struct phys *p = t->b->m->phys;

	if ((uint16_t)phys_read(p, VT_USED(q) + 2, 2) == t->used[q])
		return false;
	*id = (uint32_t)phys_read(p, VT_USED(q) + 4 + 8u * (t->used[q] % VT_QSIZE), 4);
	*len = (uint32_t)phys_read(p, VT_USED(q) + 8 + 8u * (t->used[q] % VT_QSIZE), 4);
	t->used[q]++;
	return true;
}

bool vt_broken(struct vt *t)
{
	return vt_common(t, 0x14, 1) & VIRTIO_NEEDS_RESET;
}
