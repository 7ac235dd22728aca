/*
 * USB hub.
 */
#ifndef HW_USB_HUB_H
#define HW_USB_HUB_H

#include "hw/core/dev.h"

extern const struct dev_type usb_hub_type;

#endif
