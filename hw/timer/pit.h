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
/* Who makes the speaker's sound is told before it changes; on: whether port 61h lets it through from then on. */
void pit_connect_speaker(struct dev *d, void (*changing)(void *opaque, bool on), void *opaque);
/* Where the speaker's membrane is at guest time t, not long ago. */
bool pit_speaker_level(struct dev *d, uint64_t t);

#endif
