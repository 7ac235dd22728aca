/*
 * Every device type there is, in start-up order; NULL-terminated.
 */
#ifndef HW_PC_TYPES_H
#define HW_PC_TYPES_H

#include "hw/core/dev.h"

extern const struct dev_type *const dev_types[];
extern const unsigned n_dev_types;	/* without the terminator */

#endif
