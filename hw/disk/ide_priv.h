/*
 * State and helpers of the IDE controller, shared by its files: ide.c (channels,
 * task files, PCI), ide_io.c (transfers under way), ide_dma.c (bus master),
 * ide_ata.c (disk commands), ide_atapi.c (packet commands).
 */
#ifndef HW_DISK_IDE_PRIV_H
#define HW_DISK_IDE_PRIV_H

#include "hw/backend/drive.h"
#include "hw/core/sg.h"
#include "hw/disk/ata_bus.h"
#include "hw/disk/ide.h"
#include "hw/scsi/scsi.h"

#define ST_ERR	0x01u
#define ST_DRQ	0x08u
#define ST_DSC	0x10u
#define ST_DF	0x20u
#define ST_DRDY	0x40u
#define ST_BSY	0x80u

#define ER_ABRT	0x04u
#define ER_IDNF	0x10u
#define ER_UNC	0x40u

#define SEL_LBA	0x40u

/* Interrupt reason in the sector count register (packet commands). */
#define REASON_COD	1u
#define REASON_IO	2u

#define BUF_SECTORS	128u
#define BUF_BYTES	(BUF_SECTORS * SECTOR)
#define MAX_MULTIPLE	16u

/* What the data port or the bus master is moving. */
enum transfer {
	XFER_NONE,
	XFER_DATA_IN,		/* one block of data, then done (identify and its like) */
	XFER_READ, XFER_WRITE,	/* sectors */
	XFER_PACKET,		/* 12 command bytes */
	XFER_PACKET_IN,		/* data of a packet command */
	XFER_PACKET_OUT,
};

/* Everything of a drive that is saved. */
struct ide_drive {
	/* task file; hob: previous contents of the two-byte registers */
	uint8_t feature, count, lba0, lba1, lba2, select, status, error;
	uint8_t hob_feature, hob_count, hob_lba0, hob_lba1, hob_lba2;
	uint8_t command;
	uint16_t heads, sectors;	/* translation set by the host */
	uint8_t multiple;		/* sectors per interrupt, 0: off */
	uint8_t udma, mwdma;		/* selected mode + 1, or 0 */
	uint8_t write_cache, smart;
	uint8_t xfer;			/* enum transfer */
	uint8_t dma;			/* ... by the bus master */
	uint8_t lba48;
	uint32_t pos, len, fill;	/* in buf: next byte, end of the data request, of what is there */
	uint64_t at;			/* next sector (of the medium) to move between buf and disk */
	uint32_t left;			/* sectors after what is in buf */
	uint32_t block;			/* sectors per data request */
	uint32_t limit;			/* packet device: bytes per data request */
	uint8_t buf[BUF_BYTES];
};

struct ide_channel {
	uint8_t unit;			/* selected drive */
	uint8_t control;		/* device control register */
	uint8_t intrq;
	uint8_t bm_command, bm_status;
	uint32_t bm_prd;
	/* bus master: the current region of memory */
	uint32_t prd_next, prd_addr, prd_left;
	uint8_t prd_last;
};

/* What stands behind a drive; not saved. */
struct ide_medium {
	bool present, cdrom;
	struct drive *drive;
	char serial[21];
	struct scsi_unit unit;		/* of an optical drive, which owns `drive` */
};

/* What a drive has under way; nothing is when the machine is saved. */
struct ide_io {
	struct drive_req r;
	struct ide *ide;
	int index;
	struct sg sg;			/* guest memory of DMA */
	struct iovec buf;		/* or the drive's buffer */
	void (*then)(struct ide *d, int i, bool ok);
	struct scsi_req scsi;		/* the packet command; its job is saved */
	uint64_t from;			/* bytes it had moved before the move under way */
};

struct ide {
	struct pci_dev pci;
	struct ide_channel ch[2];
	struct ide_drive drive[4];
	struct ide_medium medium[4];
	struct ide_io io[4];
	struct port_range *ports[4];
	struct ata_bus bus[2];
};

static inline struct ide_channel *ide_channel_of(struct ide *d, int i)
{
	return &d->ch[i / 2];
}
static inline uint64_t ide_sectors(const struct ide *d, int i)
{
	return d->medium[i].drive ? drive_sectors(d->medium[i].drive) : 0;
}

/* ---- ide.c ---- */

/* INTRQ of drive i's channel, if i is the selected drive. */
void ide_raise(struct ide *d, int i);
/* Command over: status and error are set, an interrupt follows. */
void ide_done(struct ide *d, int i);
void ide_abort(struct ide *d, int i, uint8_t error);
/* Registers as after a reset: which kind of device this is. */
void ide_signature(struct ide *d, int i);
/* n bytes of buf are to be read or written by the host; drq without an interrupt if quiet. */
void ide_request(struct ide *d, int i, enum transfer x, uint32_t n, bool quiet);

/* ---- ide_io.c ---- */
/*
 * The drive is busy until then(), which the main loop calls: n sectors (of 512 bytes) from `at` between the
 * disk and buf, or the guest memory in io->sg; or a flush.
 */
typedef void ide_then(struct ide *d, int i, bool ok);
void ide_io_buf(struct ide *d, int i, enum drive_op op, uint64_t at, uint32_t n, ide_then *then);
void ide_io_sg(struct ide *d, int i, enum drive_op op, uint64_t at, uint32_t n, ide_then *then);
void ide_io_flush(struct ide *d, int i, ide_then *then);
void ide_io_cancel(struct ide *d, int i);

/* ---- ide_dma.c ---- */
extern const struct port_ops ide_bm_ops;
void ide_dma_reset(struct ide_channel *c);
/* The drive's command is set up for DMA: go on as soon as the host has started the engine. */
void ide_dma_try(struct ide *d, int i);
/* Move n bytes between buf and the memory that the descriptors name. False: none left. */
bool ide_dma_move(struct ide *d, int ch, void *buf, uint32_t n, bool to_mem);
/* Up to n sectors of what the descriptors name, as a list. How many; 0: the descriptors have run out. */
uint32_t ide_dma_gather(struct ide *d, int ch, struct sg *s, uint32_t n, bool to_mem);
/* The command is over; ok: the descriptors were enough. */
void ide_dma_end(struct ide *d, int i, bool ok);

/* ---- ide_ata.c ---- */
void ide_command(struct ide *d, int i, uint8_t command);
/* The data request is through: the next one, or the end. */
void ide_ata_next(struct ide *d, int i);
/* The bus master has started: move the command's data. */
void ide_ata_dma(struct ide *d, int i);
void ide_ata_power_on(struct ide *d, int i);

/* ---- ide_atapi.c ---- */
void ide_packet_begin(struct ide *d, int i);
void ide_packet_next(struct ide *d, int i);
void ide_packet_dma(struct ide *d, int i);
void ide_identify_packet(struct ide *d, int i);
/* For struct scsi_req: done(). */
void ide_packet_moved(struct scsi_req *r);

/* Identify strings: two characters a word, swapped, padded with blanks. */
void ide_put_string(uint8_t *to, const char *s, unsigned n);

#endif
