/*
 * PIIX IDE controller: two channels with two drives each, disks or CD-ROMs.
 */
#ifndef HW_DISK_IDE_H
#define HW_DISK_IDE_H

#include "hw/pci/pci.h"

struct block;

extern const struct dev_type ide_type;

/*
 * Put a drive at index 0..3 (channel * 2 + unit) before the machine runs. The
 * image stays the caller's; NULL for a CD-ROM drive without a disc. serial NULL:
 * made from the index.
 */
bool ide_attach(struct dev *dev, int index, struct block *image, bool cdrom, const char *serial,
		struct err *e);
/* Change (or with NULL take out) the disc of a CD-ROM drive. */
bool ide_change_disc(struct dev *dev, int index, struct block *image, struct err *e);
bool ide_is_cdrom(const struct dev *dev, int index);

#endif
