/* A disk behind virtio: virtio-blk-pci. */
#ifndef HW_VIRTIO_VIRTIO_BLK_H
#define HW_VIRTIO_VIRTIO_BLK_H

#include "hw/virtio/virtio.h"

extern const struct dev_type virtio_blk_type;		/* on PCI */
extern const struct dev_type virtio_blk_bus_type;	/* at a virtio-mmio transport */

#endif
