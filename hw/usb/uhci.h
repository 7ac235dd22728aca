/*
 * UHCI: the USB 1.1 controller of the PIIX3, function 2 of its slot.
 */
#ifndef HW_USB_UHCI_H
#define HW_USB_UHCI_H

#include "hw/core/dev.h"

extern const struct dev_type uhci_type;

#endif
