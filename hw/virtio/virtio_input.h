/* Keyboard, mouse and tablet: virtio-keyboard-pci, virtio-mouse-pci, virtio-tablet-pci. */
#ifndef HW_VIRTIO_VIRTIO_INPUT_H
#define HW_VIRTIO_VIRTIO_INPUT_H

#include "hw/virtio/virtio.h"

/* On PCI. */
extern const struct dev_type virtio_keyboard_type, virtio_mouse_type, virtio_tablet_type;
/* At a virtio-mmio transport. */
extern const struct dev_type virtio_keyboard_bus_type, virtio_mouse_bus_type, virtio_tablet_bus_type;

#endif
