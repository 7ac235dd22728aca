/*
 * The AHCI controller's parts: ahci.c (registers, FISes, which command runs when),
 * ahci_ata.c (what the commands do). Machine lock.
 */
#ifndef HW_DISK_AHCI_PRIV_H
#define HW_DISK_AHCI_PRIV_H

#include "hw/core/sg.h"
#include "hw/disk/ahci.h"
#include "hw/disk/ata_bus.h"
#include "hw/disk/ide_priv.h"
#include "hw/scsi/scsi.h"
#include "hw/pci/pci.h"

#define AHCI_SLOTS	32
#define AHCI_NO_SLOT	0xff
#define AHCI_CFIS	64		/* bytes of a command FIS */

/* Offsets in a Register FIS, host to device. */
enum { FIS_FLAGS = 1, FIS_COMMAND = 2, FIS_FEATURES = 3, FIS_LBA = 4, FIS_DEVICE = 7, FIS_LBA_EXT = 8,
	FIS_FEATURES_EXT = 11, FIS_COUNT = 12, FIS_COUNT_EXT = 13, FIS_CONTROL = 15 };

struct ahci;
struct ahci_port;

/* A command under way. Not saved: a loaded machine begins again with what PxCI and PxSACT hold. */
struct ahci_cmd {
	struct ahci_port *port;
	uint8_t slot;
	bool running, ncq, pio_in, write;
	uint8_t fis[AHCI_CFIS];
	uint64_t at;			/* next sector */
	uint64_t left;			/* sectors that are not moved yet */
	uint64_t table;			/* of regions: where it is, entries, the one at hand, bytes of it used */
	uint32_t n_regions, region, used;
	uint32_t moved;			/* bytes */
	struct sg sg;
	struct drive_req r;
};

/* Registers, saved whole. */
struct ahci_regs {
	uint64_t clb, fb;
	uint32_t is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
	uint8_t resetting;		/* SRST is set in the device's control register */
	uint8_t write_cache;
	uint8_t failed_tag;		/* for the log of queued commands; AHCI_NO_SLOT: none failed */
	uint8_t failed_error;
};

struct ahci_port {
	struct ahci *hba;
	unsigned n;
	struct ahci_regs r;
	struct drive *drive;		/* NULL: nothing is attached */
	char serial[21];
	bool present, cdrom;
	struct scsi_unit unit;		/* the optical drive */
	struct scsi_req scsi;
	bool spilling;			/* its answer goes to spill: the host has less room */
	struct iovec spill_iov;
	uint8_t spill[SCSI_BUF];
	struct ahci_cmd *cmd;		/* by slot */
	uint32_t running;		/* slots */
	uint8_t alone;			/* the slot of a command that does not share, or AHCI_NO_SLOT */
};

struct ahci {
	struct pci_dev pci;
	uint32_t ghc, is;
	struct ahci_port port[AHCI_PORTS];
	struct ata_bus bus[AHCI_PORTS];
};

/* ---- ahci.c ---- */

/* The command's end. status_error: the error register; 0: success. It may be gone afterwards. */
void ahci_done(struct ahci_cmd *c, uint8_t status_error);
/* The next n bytes of memory at most, as c->sg; how many: n, or a multiple of unit. */
uint64_t ahci_gather(struct ahci_cmd *c, uint64_t n, uint32_t unit, bool to_guest);
/* n bytes of an answer to memory. */
void ahci_answer(struct ahci_cmd *c, const void *p, uint32_t n);

/* ---- ahci_ata.c ---- */

/* Begin what c->fis says; it ends in ahci_done(), perhaps before this returns. */
void ahci_execute(struct ahci_cmd *c, const uint8_t *packet);
bool ahci_is_queued(uint8_t command);
void ahci_scsi_moved(struct scsi_req *r);

#endif
