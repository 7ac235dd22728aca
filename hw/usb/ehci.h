/*
 * EHCI: USB 2 at high speed.
 */
#ifndef HW_USB_EHCI_H
#define HW_USB_EHCI_H

#include "hw/core/dev.h"

extern const struct dev_type ehci_type;		/* usb-ehci */
extern const struct dev_type ich9_ehci_type;	/* ich9-usb-ehci1 */

#endif
