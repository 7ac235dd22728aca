/*
 * Between virtio devices (virtio.c, virtq.c) and what a driver reaches them by.
 */
#ifndef HW_VIRTIO_VIRTIO_TRANSPORT_H
#define HW_VIRTIO_VIRTIO_TRANSPORT_H

#include "hw/virtio/virtio.h"

struct virtio_transport {
	bool (*init)(struct virtio *v, struct err *e);
	void (*fini)(struct virtio *v);
	void (*reset)(struct virtio *v);
	bool (*loaded)(struct virtio *v, struct err *e);
	/* An interrupt: by vector, or by a bit in v->isr. */
	void (*signal)(struct virtio *v, uint16_t vector, uint8_t isr_bit);
	void (*quiet)(struct virtio *v);	/* v->isr is 0 */
	bool (*may_dma)(const struct virtio *v);
};
extern const struct virtio_transport virtio_pci_transport, virtio_mmio_transport;

/* ---- what drivers do, for transports ---- */

void virtio_notified(struct virtio *v, unsigned q);
/* 0 resets. */
void virtio_set_status(struct virtio *v, uint8_t status);
/* What each interface may show. */
uint64_t virtio_offered(const struct virtio *v, bool legacy);
void virtio_accept(struct virtio *v, unsigned sel, uint32_t value, bool legacy);
void virtio_set_queue_size(struct virtio *v, struct virtq *q, uint16_t size);
void virtio_enable_queue(struct virtio *v, struct virtq *q);
/* A legacy queue of q->size entries begins here; 0 takes it away. */
void virtio_legacy_place(struct virtq *q, uint64_t desc, uint32_t align);
/* A 64-bit address is written in halves. */
static inline void virtio_set_half(uint64_t *field, bool high, uint32_t value)
{
	*field = high ? (*field & 0xffffffffu) | (uint64_t)value << 32 : (*field & ~0xffffffffull) | value;
}
/* The device's own configuration. */
uint32_t virtio_config_read(const struct virtio *v, uint64_t off, int n);
void virtio_config_write(struct virtio *v, uint64_t off, int n, uint32_t value);

#endif
