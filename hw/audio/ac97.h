#ifndef HW_AUDIO_AC97_H
#define HW_AUDIO_AC97_H

#include "hw/core/dev.h"

extern const struct dev_type ac97_type;

#endif
