/*
 * PC parallel port ("isa-parallel").
 */
#ifndef HW_CHAR_PARALLEL_H
#define HW_CHAR_PARALLEL_H

#include "hw/core/dev.h"

extern const struct dev_type parallel_type;

#endif
