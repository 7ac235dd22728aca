/*
 * Parallel NOR flash (CFI command set 1), byte-wide, that holds firmware.
 */
#ifndef HW_FLASH_PFLASH_H
#define HW_FLASH_PFLASH_H

#include "hw/core/dev.h"

extern const struct dev_type pflash_type;

/* Erase blocks; image sizes are multiples of it. */
#define PFLASH_BLOCK	4096u
#define PFLASH_MOST	(16u << 20)

/* Its bytes: what reads give in array mode. */
struct ram *pflash_ram(const struct dev *d);
/* Put it at this address. */
void pflash_place(struct dev *d, uint64_t pa);

#endif
