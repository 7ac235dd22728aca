/* Random numbers from the host: virtio-rng-pci. */
#ifndef HW_VIRTIO_VIRTIO_RNG_H
#define HW_VIRTIO_VIRTIO_RNG_H

#include "hw/virtio/virtio.h"

extern const struct dev_type virtio_rng_type;		/* on PCI */
extern const struct dev_type virtio_rng_bus_type;	/* at a virtio-mmio transport */

#endif
