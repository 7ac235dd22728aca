/*
 * The driver's side of a virtio device: finds the parts of its BAR through the
 * capabilities, negotiates, and keeps rings in a small guest memory.
 *
 * Tests include this after tests/bench.h and keep one `static struct bench b`.
 */
#ifndef TESTS_HW_VIRTIO_H
#define TESTS_HW_VIRTIO_H

#include "hw/pci/i440fx.h"
#include "hw/virtio/virtio.h"
#include "tests/bench.h"

#define VT_RAM		(4u << 20)
#define VT_BAR		0xe0000000u
#define VT_QSIZE	16u

/* Queue n's rings in guest memory, and a place for buffers. */
#define VT_DESC(n)	(0x10000u + (n) * 0x3000u)
#define VT_AVAIL(n)	(VT_DESC(n) + 0x1000u)
#define VT_USED(n)	(VT_DESC(n) + 0x2000u)
#define VT_BUF		0x100000u

enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4 };

struct vt {
	struct bench *b;
	struct virtio *v;
	uint16_t avail[VIRTIO_MAX_QUEUES], used[VIRTIO_MAX_QUEUES];	/* what the driver counts */
};

/* A machine with memory and a PCI bus, for devices at slot 4. */
void vt_machine(struct bench *b);
/* Put the device's BARs in place, negotiate `features` (of those offered), set up n queues, start. */
void vt_start(struct vt *t, struct bench *b, struct dev *d, uint64_t features, unsigned n);
/* The same steps one by one. */
void vt_map(struct vt *t, struct bench *b, struct dev *d);
void vt_queue(struct vt *t, unsigned q);

uint32_t vt_common(struct vt *t, unsigned reg, int n);
void vt_set_common(struct vt *t, unsigned reg, int n, uint32_t v);
uint8_t vt_isr(struct vt *t);
uint32_t vt_config(struct vt *t, unsigned off, int n);
uint64_t vt_offered(struct vt *t);

void vt_desc(struct vt *t, unsigned q, unsigned i, uint64_t pa, uint32_t len, unsigned flags, unsigned next);
/* Put a chain's head into the avail ring, without and with the notification. */
void vt_offer(struct vt *t, unsigned q, unsigned head);
void vt_kick(struct vt *t, unsigned q);
/* The next entry of the used ring: false, there is none. */
bool vt_take(struct vt *t, unsigned q, uint32_t *id, uint32_t *len);
bool vt_broken(struct vt *t);

#endif
