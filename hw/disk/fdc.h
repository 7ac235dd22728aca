/* Floppy disk controller with two drives: isa-fdc. */
#ifndef HW_DISK_FDC_H
#define HW_DISK_FDC_H

#include "hw/core/dev.h"

extern const struct dev_type fdc_type;

/* What the BIOS calls drive 0 or 1, for its CMOS memory: 0 none, 1 360K, 2 1.2M, 4 1.44M, 5 2.88M. */
unsigned fdc_drive_kind(const struct dev *fdc, int n);
/* Is there a floppy disk of exactly so many bytes? */
bool fdc_is_floppy_size(uint64_t bytes);

#endif
