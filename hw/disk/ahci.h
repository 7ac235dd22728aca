/* AHCI controller with SATA disks and optical drives. */
#ifndef HW_DISK_AHCI_H
#define HW_DISK_AHCI_H

#include "hw/core/dev.h"

struct drive;

#define AHCI_PORTS 6

extern const struct dev_type ahci_type;

/* Put a drive at port 0 .. AHCI_PORTS - 1; serial may be NULL. Machine lock. Users do that by devices (ata_bus.h). */
bool ahci_attach(struct dev *dev, int port, struct drive *drive, bool cdrom, const char *serial, struct err *e);
void ahci_detach(struct dev *dev, int port);

#endif
