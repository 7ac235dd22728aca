/*
 * Small devices for firmware and test programs: debug console, exit port,
 * pvpanic, and the device of kvm-unit-tests.
 */
#ifndef HW_CHAR_DEBUG_H
#define HW_CHAR_DEBUG_H

#include "hw/core/dev.h"

extern const struct dev_type debugcon_type;
extern const struct dev_type debug_exit_type;
extern const struct dev_type pvpanic_type;
extern const struct dev_type testdev_type;

#endif
