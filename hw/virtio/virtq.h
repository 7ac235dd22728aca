/*
 * Between the two layouts of rings and what they have in common.
 */
#ifndef HW_VIRTIO_VIRTQ_H
#define HW_VIRTIO_VIRTQ_H

#include "hw/virtio/virtio_transport.h"

/* Descriptors, of rings and of indirect tables: address u64, length u32, and two more of 16 bits each. */
#define DESC_NEXT	1u
#define DESC_WRITE	2u
#define DESC_INDIRECT	4u
#define DESC_SIZE	16u

/* Queues here are enabled, of drivers that run. */
struct virtq_ops {
	/* False: there is no buffer, or the ring is broken. */
	bool (*waiting)(struct virtio *v, const struct virtq *q);
	bool (*pop)(struct virtio *v, struct virtq *q, struct vbuf *b);
	void (*unpop)(struct virtq *q, const struct vbuf *b);
	void (*fill)(struct virtio *v, struct virtq *q, unsigned ahead, struct vbuf_head head, uint32_t n);
	void (*show)(struct virtio *v, struct virtq *q, unsigned n);
	void (*ask)(struct virtio *v, struct virtq *q, bool on);
	bool (*wants_interrupt)(struct virtio *v, struct virtq *q);
};
extern const struct virtq_ops virtq_split, virtq_packed;

/* Numbers that the driver reads or writes at the same time; false (and broken): not in RAM. */
bool virtq_get16(struct virtio *v, uint64_t pa, uint16_t *out);
bool virtq_put16(struct virtio *v, uint64_t pa, uint16_t value);

/* A buffer of no segments; one more; a descriptor that leads to a table of n. False: broken. */
void virtq_begin(struct vbuf *b);
bool virtq_add(struct virtio *v, struct vbuf *b, const uint8_t *desc);
bool virtq_enter_table(struct virtio *v, const uint8_t *desc, bool inside, uint64_t *table, uint32_t *n);

#endif
