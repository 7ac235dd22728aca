/*
 * PIIX IDE controller: two channels with two drives each, disks or CD-ROMs.
 */
#ifndef HW_DISK_IDE_H
#define HW_DISK_IDE_H

#include "hw/pci/pci.h"

struct drive;

extern const struct dev_type ide_type;

/*
 * Put a drive at index 0..3 (channel * 2 + unit) before the machine runs. It is this
 * device's until ide_detach() or the controller's end; a disk must have a medium. serial
 * NULL: made from the index. Users do that by devices (ata_bus.h).
 */
bool ide_attach(struct dev *dev, int index, struct drive *drive, bool cdrom, const char *serial,
		struct err *e);
void ide_detach(struct dev *dev, int index);
/* The drive of the disk there, or NULL. */
struct drive *ide_disk(const struct dev *dev, int index);

#endif
