#ifndef HW_DISK_NVME_H
#define HW_DISK_NVME_H

#include "hw/core/dev.h"

extern const struct dev_type nvme_type;

#endif
