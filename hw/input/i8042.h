/*
 * AT keyboard controller with PS/2 keyboard and mouse, and port 92h.
 */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include "hw/core/dev.h"

extern const struct dev_type i8042_type;

#endif
