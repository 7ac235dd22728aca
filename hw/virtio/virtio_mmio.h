/*
 * A virtio-mmio transport: registers at an address, and room for one device.
 */
#ifndef HW_VIRTIO_VIRTIO_MMIO_H
#define HW_VIRTIO_VIRTIO_MMIO_H

#include "hw/core/dev.h"

extern const struct dev_type virtio_mmio_type;

#define VIRTIO_MMIO_SIZE 0x1000u	/* its registers: 256 bytes, then the device's configuration */

/* Where it is, how its bus is called, and its line. Once. */
void virtio_mmio_place(struct dev *d, uint64_t pa, const char *bus, struct irq irq);

#endif
