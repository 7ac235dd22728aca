/*
 * The PC's loudspeaker, as a voice. The board connects it to the interval timer.
 */
#ifndef HW_AUDIO_PCSPK_H
#define HW_AUDIO_PCSPK_H

#include "hw/core/dev.h"

extern const struct dev_type pcspk_type;

/* level(opaque, t): where the membrane is pulled at guest time t. */
void pcspk_connect(struct dev *d, bool (*level)(struct dev *timer, uint64_t t), struct dev *timer);
/* The level is about to change; on: whether anything may be heard from now on. opaque: the device. */
void pcspk_changing(void *opaque, bool on);

#endif
