/* A network card behind virtio: virtio-net-pci. */
#ifndef HW_VIRTIO_VIRTIO_NET_H
#define HW_VIRTIO_VIRTIO_NET_H

#include "hw/virtio/virtio.h"

extern const struct dev_type virtio_net_type;		/* on PCI */
extern const struct dev_type virtio_net_bus_type;	/* at a virtio-mmio transport */

#endif
