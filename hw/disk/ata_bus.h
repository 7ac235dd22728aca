/*
 * The places of an IDE or SATA controller, and the devices ide-hd and ide-cd that fill
 * them with drives. A device only says which drive stands where; registers, commands
 * and saved state are the controller's.
 *
 * A channel is a bus with units 0 and 1, a SATA port one with unit 0. Its names for
 * bus= are "ID.N", ID being the controller's and N counting its buses, and "ide.N", N
 * counting all of the machine.
 */
#ifndef HW_DISK_ATA_BUS_H
#define HW_DISK_ATA_BUS_H

#include "hw/core/dev.h"

struct drive;

#define ATA_UNITS 2

/* What a controller does for a device; positions count units through all its buses. */
struct ata_controller {
	bool (*attach)(struct dev *owner, int position, struct drive *drive, bool cdrom, const char *serial,
		       struct err *e);
	void (*detach)(struct dev *owner, int position);
};

struct ata_dev;

struct ata_bus {
	struct dev *owner;
	const struct ata_controller *controller;
	unsigned number, units;		/* which of the controller's buses; how many places */
	char names[2][64];
	struct ata_dev *dev[ATA_UNITS];
};

/* controller, number and units are set; the bus gets its names. */
void ata_bus_init(struct ata_bus *b, struct dev *owner);
/* What is on it stays without a bus. */
void ata_bus_fini(struct ata_bus *b);

extern const struct dev_type ide_hd_type, ide_cd_type;

#endif
