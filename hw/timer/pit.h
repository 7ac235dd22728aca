/*
 * The 8254 interval timer and the speaker gate at port 61h.
 */
#ifndef HW_TIMER_PIT_H
#define HW_TIMER_PIT_H

#include "hw/core/dev.h"

#define PIT_HZ 1193182u

extern const struct dev_type pit_type;

/* Where counter 0's output goes instead of ISA line 0. */
void pit_connect(struct dev *d, struct irq out);
/* What the speaker does: frequency in Hz of a square wave, or 0: silent. */
uint32_t pit_speaker_hz(struct dev *d);

#endif
