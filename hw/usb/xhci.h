/*
 * xHCI: USB 3 and 2 by one controller.
 */
#ifndef HW_USB_XHCI_H
#define HW_USB_XHCI_H

#include "hw/core/dev.h"

extern const struct dev_type xhci_type;		/* qemu-xhci */
extern const struct dev_type nec_xhci_type;	/* nec-usb-xhci */

#endif
