/* Consoles and byte streams: virtio-serial-pci, and its ports virtconsole and virtserialport. */
#ifndef HW_VIRTIO_VIRTIO_SERIAL_H
#define HW_VIRTIO_VIRTIO_SERIAL_H

#include "hw/virtio/virtio.h"

extern const struct dev_type virtio_serial_type;	/* on PCI */
extern const struct dev_type virtio_serial_bus_type;	/* at a virtio-mmio transport */
extern const struct dev_type virtconsole_type, virtserialport_type;

#endif
