#ifndef HW_AUDIO_HDA_H
#define HW_AUDIO_HDA_H

#include "hw/core/dev.h"

extern const struct dev_type hda_type, ich9_hda_type;
extern const struct dev_type hda_output_type, hda_duplex_type;

#endif
