#ifndef HW_TIMER_I6300ESB_H
#define HW_TIMER_I6300ESB_H

#include "hw/core/dev.h"

extern const struct dev_type i6300esb_type;

#endif
