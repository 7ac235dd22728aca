/*
 * A SCSI bus: units at addresses (target and logical unit) behind a host adapter,
 * and the devices scsi-hd, scsi-cd, scsi-disk that sit on it.
 *
 * An adapter owns a bus. Its name for bus= is "ID.0", ID being the adapter's, and
 * "scsi.N", N counting adapters.
 */
#ifndef HW_SCSI_SCSI_BUS_H
#define HW_SCSI_SCSI_BUS_H

#include "hw/scsi/scsi.h"

struct scsi_bus;

struct scsi_dev {
	struct dev dev;
	struct scsi_unit unit;
	struct scsi_bus *bus;		/* property; NULL: it is on none */
	uint32_t channel, target, lun;	/* properties */
	char *serial, *vendor, *product, *version;	/* properties */
	uint64_t wwn;			/* property */
	bool removable;			/* property */
	struct drive_wishes wishes;	/* properties */
	bool attached;
	struct scsi_dev *next;		/* by address */
};

struct scsi_bus {
	struct machine *m;
	struct dev *owner;
	char names[2][64];
	uint32_t max_target, max_lun;
	struct scsi_dev *devs;		/* ordered by address */
	void *opaque;
	/* A unit came, or goes: whatever it has under way must end. It is on the bus in both calls. */
	void (*came)(void *opaque, struct scsi_dev *d);
	void (*goes)(void *opaque, struct scsi_dev *d);
	/* A unit has something to tell, an additional sense code: its medium or size is another. */
	void (*changed)(void *opaque, struct scsi_dev *d, uint16_t asc);
};

/* The limits and functions are set; the bus gets its names. */
void scsi_bus_init(struct scsi_bus *b, struct dev *owner);
/* What is on it stays without a bus. */
void scsi_bus_fini(struct scsi_bus *b);
struct scsi_dev *scsi_bus_find(const struct scsi_bus *b, uint32_t target, uint32_t lun);
/* The first unit of a target, or NULL; others follow it. */
struct scsi_dev *scsi_bus_target(const struct scsi_bus *b, uint32_t target);

extern const struct dev_type scsi_hd_type, scsi_cd_type, scsi_disk_type;

#endif
