/* Folders of the host for the guest: virtio-9p-pci. */
#ifndef HW_VIRTIO_VIRTIO_9P_H
#define HW_VIRTIO_VIRTIO_9P_H

#include "hw/virtio/virtio.h"

extern const struct dev_type virtio_9p_type;		/* on PCI */
extern const struct dev_type virtio_9p_bus_type;	/* at a virtio-mmio transport */

#endif
