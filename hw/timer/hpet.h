/*
 * High precision event timer.
 */
#ifndef HW_TIMER_HPET_H
#define HW_TIMER_HPET_H

#include "hw/core/dev.h"

extern const struct dev_type hpet_type;

/*
 * Lines that the HPET takes away in legacy replacement mode: n = 0 the 8254's
 * counter 0, n = 1 the real-time clock. They go on to ISA lines 0 and 8.
 */
struct irq hpet_legacy_in(struct dev *d, int n);

#endif
