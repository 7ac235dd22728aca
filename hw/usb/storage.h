/*
 * USB disks and optical drives.
 */
#ifndef HW_USB_STORAGE_H
#define HW_USB_STORAGE_H

#include "hw/core/dev.h"

extern const struct dev_type usb_storage_type;

#endif
