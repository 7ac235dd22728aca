/* A SCSI host adapter behind virtio: virtio-scsi-pci. */
#ifndef HW_VIRTIO_VIRTIO_SCSI_H
#define HW_VIRTIO_VIRTIO_SCSI_H

#include "hw/virtio/virtio.h"

extern const struct dev_type virtio_scsi_type;		/* on PCI */
extern const struct dev_type virtio_scsi_bus_type;	/* at a virtio-mmio transport */

#endif
