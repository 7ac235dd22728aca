/*
 * What SATA disks and optical drives do with a command.
 *
 * Disks: reads and writes of every kind (queued, DMA, PIO), flushes, TRIM, settings,
 * identification. Optical drives: packet commands, carried out by scsi.h's unit.
 *
 * Not modelled: SMART, security, the host protected area, logs but the one of queued
 * commands' errors.
 * Source: ATA/ATAPI Command Set 3 (T13 2161D); Serial ATA 2.6, 13.6 (native queueing).
 */
#include <string.h>

#include "hw/disk/ahci_priv.h"

#define MODEL_DISK	"RHEA HARDDISK"
#define MODEL_CD	"RHEA DVD-ROM"
#define FIRMWARE	"1.0"
#define PIECE_SECTORS	2048u		/* moved by one request */
#define TRIM_RANGE	8u		/* bytes */
#define TRIM_BLOCKS	8u		/* of ranges in a command */
#define ER_BAD_ADDRESS	(ER_IDNF | ER_ABRT)

/* ---- fields ---- */

static uint64_t lba48(const struct ahci_cmd *c)
{
	const uint8_t *f = c->fis;

	return (uint64_t)f[FIS_LBA_EXT + 2] << 40 | (uint64_t)f[FIS_LBA_EXT + 1] << 32 | (uint64_t)f[FIS_LBA_EXT] << 24 |
	       (uint64_t)f[FIS_LBA + 2] << 16 | (uint64_t)f[FIS_LBA + 1] << 8 | f[FIS_LBA];
}

static uint64_t lba28(const struct ahci_cmd *c)
{
	const uint8_t *f = c->fis;

	return (uint64_t)(f[FIS_DEVICE] & 15) << 24 | (uint64_t)f[FIS_LBA + 2] << 16 | (uint64_t)f[FIS_LBA + 1] << 8 | f[FIS_LBA];
}

static uint32_t count16(uint8_t low, uint8_t high)
{
	uint32_t n = (uint32_t)high << 8 | low;

	return n ? n : 65536;
}

/* ---- sectors between memory and disk ---- */

static void next_piece(struct ahci_cmd *c);

static void piece_done(struct drive_req *r)
{
	struct ahci_cmd *c = (struct ahci_cmd *)((char *)r - offsetof(struct ahci_cmd, r));
	uint32_t n = r->n * SECTOR;

	if (!r->ok) {
		ahci_done(c, r->op == DRIVE_READ ? ER_UNC : ER_ABRT);
		return;
	}
	if (r->op == DRIVE_READ)
		sg_written(&c->sg, n);
	c->at += r->n;
	c->left -= r->n;
	c->moved += n;
	next_piece(c);
}

static void submit(struct ahci_cmd *c, enum drive_op op, uint32_t n, void (*done)(struct drive_req *r))
{
	c->r = (struct drive_req){ .op = op, .at = c->at, .n = n, .iov = c->sg.iov, .niov = c->sg.n, .done = done };
	drive_submit(c->port->drive, &c->r);
}

static void flushed(struct drive_req *r)
{
	struct ahci_cmd *c = (struct ahci_cmd *)((char *)r - offsetof(struct ahci_cmd, r));

	ahci_done(c, r->ok ? 0 : ER_ABRT);
}

static void flush(struct ahci_cmd *c)
{
	submit(c, DRIVE_FLUSH, 0, flushed);
}

static bool must_flush(const struct ahci_cmd *c)
{
	bool fua = (c->ncq && c->fis[FIS_DEVICE] & 0x80) || c->fis[FIS_COMMAND] == 0x3d;

	return c->write && (fua || !c->port->r.write_cache);
}

static void next_piece(struct ahci_cmd *c)
{
	uint64_t n = min_u64(c->left, PIECE_SECTORS), got;

	if (!c->left) {
		if (must_flush(c))
			flush(c);
		else
			ahci_done(c, 0);
		return;
	}
	got = ahci_gather(c, n * SECTOR, SECTOR, !c->write) / SECTOR;
	if (!got) {
		log_guest("SATA: a transfer of %llu sectors more than its memory", (unsigned long long)c->left);
		ahci_done(c, ER_ABRT);
		return;
	}
	submit(c, c->write ? DRIVE_WRITE : DRIVE_READ, (uint32_t)got, piece_done);
}

static bool in_disk(const struct ahci_cmd *c)
{
	uint64_t total = drive_sectors(c->port->drive);

	return c->at < total && c->left <= total - c->at;
}

static void transfer(struct ahci_cmd *c, uint64_t at, uint32_t n, bool write)
{
	c->at = at;
	c->left = n;
	c->write = write;
	if (in_disk(c))
		next_piece(c);
	else
		ahci_done(c, ER_BAD_ADDRESS);
}

static uint32_t count8(const struct ahci_cmd *c)
{
	return c->fis[FIS_COUNT] ? c->fis[FIS_COUNT] : 256;
}

static uint32_t count48(const struct ahci_cmd *c)
{
	return count16(c->fis[FIS_COUNT], c->fis[FIS_COUNT_EXT]);
}

static void cmd_read(struct ahci_cmd *c)	{ transfer(c, lba28(c), count8(c), false); }
static void cmd_write(struct ahci_cmd *c)	{ transfer(c, lba28(c), count8(c), true); }
static void cmd_read_ext(struct ahci_cmd *c)	{ transfer(c, lba48(c), count48(c), false); }
static void cmd_write_ext(struct ahci_cmd *c)	{ transfer(c, lba48(c), count48(c), true); }

static void cmd_read_pio(struct ahci_cmd *c)
{
	c->pio_in = true;
	cmd_read(c);
}

static void cmd_read_pio_ext(struct ahci_cmd *c)
{
	c->pio_in = true;
	cmd_read_ext(c);
}

/* Queued: the count is where other commands have features; the tag must be the slot. */
static void queued(struct ahci_cmd *c, bool write)
{
	if (c->fis[FIS_COUNT] >> 3 != c->slot)
		log_guest("SATA: a queued command with tag %u in slot %u", c->fis[FIS_COUNT] >> 3, c->slot);
	transfer(c, lba48(c), count16(c->fis[FIS_FEATURES], c->fis[FIS_FEATURES_EXT]), write);
}

static void cmd_read_queued(struct ahci_cmd *c)	 { queued(c, false); }
static void cmd_write_queued(struct ahci_cmd *c) { queued(c, true); }

bool ahci_is_queued(uint8_t command)
{
	return command == 0x60 || command == 0x61;
}

static void cmd_verify(struct ahci_cmd *c)
{
	bool ext = c->fis[FIS_COMMAND] == 0x42;

	c->at = ext ? lba48(c) : lba28(c);
	c->left = ext ? count48(c) : count8(c);
	ahci_done(c, in_disk(c) ? 0 : ER_BAD_ADDRESS);
}

/* ---- TRIM: blocks of ranges, each an address (48 bits) and a number of sectors (16) ---- */

static void trim_next(struct ahci_cmd *c);

static void trimmed(struct drive_req *r)
{
	struct ahci_cmd *c = (struct ahci_cmd *)((char *)r - offsetof(struct ahci_cmd, r));

	if (r->ok)
		trim_next(c);
	else
		ahci_done(c, ER_ABRT);
}

/* c->left counts the bytes of ranges that were not looked at. */
static void trim_next(struct ahci_cmd *c)
{
	uint8_t range[TRIM_RANGE];

	while (c->left) {
		if (ahci_gather(c, sizeof(range), sizeof(range), false) < sizeof(range)) {
			ahci_done(c, ER_ABRT);
			return;
		}
		sg_get(&c->sg, 0, range, sizeof(range));
		c->left -= sizeof(range);
		c->at = ld64(range) & 0xffffffffffffull;
		uint32_t n = ld16(range + 6);
		uint64_t total = drive_sectors(c->port->drive);
		if (!n)
			continue;
		if (c->at >= total || n > total - c->at) {
			ahci_done(c, ER_BAD_ADDRESS);
			return;
		}
		submit(c, DRIVE_DISCARD, n, trimmed);
		return;
	}
	ahci_done(c, 0);
}

static void cmd_data_set_management(struct ahci_cmd *c)
{
	if (!(c->fis[FIS_FEATURES] & 1) || count48(c) > TRIM_BLOCKS) {
		ahci_done(c, ER_ABRT);
		return;
	}
	c->left = (uint64_t)count48(c) * SECTOR;
	trim_next(c);
}

/* ---- what the device is ---- */

static void put_words(uint8_t *id, const uint16_t (*words)[2], size_t n)
{
	for (size_t k = 0; k < n; k++)
		st16(id + 2 * words[k][0], words[k][1]);
}

static void identify(struct ahci_cmd *c, uint8_t *id, const char *model)
{
	ide_put_string(id + 20, c->port->serial, 20);
	ide_put_string(id + 46, FIRMWARE, 8);
	ide_put_string(id + 54, model, 40);
	c->pio_in = true;
	ahci_answer(c, id, SECTOR);
	ahci_done(c, 0);
}

static void cmd_identify(struct ahci_cmd *c)
{
	static const uint16_t words[][2] = {
		{ 0, 0x0040 }, { 1, 16383 }, { 3, 16 }, { 6, 63 }, { 47, 0x8010 }, { 48, 0x4000 }, { 49, 0x0f00 }, { 50, 0x4000 },
		{ 51, 0x0200 }, { 53, 0x0007 }, { 59, 0x0110 }, { 63, 0x0007 }, { 64, 3 }, { 65, 120 }, { 66, 120 }, { 67, 120 },
		{ 68, 120 }, { 69, 0x4020 /* reads after TRIM are zeros */ }, { 75, AHCI_SLOTS - 1 }, { 76, 0x0102 /* queues */ },
		{ 80, 0x01f0 }, { 82, 0x4020 }, { 83, 0x7400 }, { 84, 0x4040 }, { 86, 0x3400 }, { 87, 0x4040 },
		{ 88, 0x203f }, { 105, TRIM_BLOCKS }, { 106, 0x4000 }, { 169, 1 /* TRIM */ },
		{ 217, 1 /* nothing turns */ },
	};
	uint64_t total = drive_sectors(c->port->drive);
	uint8_t id[SECTOR] = { 0 };

	put_words(id, words, ARRAY_LEN(words));
	st16(id + 2 * 85, (uint16_t)(0x4000 | (c->port->r.write_cache ? 0x20 : 0)));
	st32(id + 2 * 60, (uint32_t)min_u64(total, 0x0fffffff));
	st64(id + 2 * 100, total);
	identify(c, id, MODEL_DISK);
}

static void cmd_identify_packet(struct ahci_cmd *c)
{
	static const uint16_t words[][2] = {
		{ 0, 0x85c0 /* CD-ROM, removable, 12-byte packets */ }, { 49, 0x0b00 }, { 53, 0x0006 }, { 63, 0x0007 },
		{ 64, 3 }, { 65, 120 }, { 66, 120 }, { 67, 120 }, { 68, 120 }, { 76, 0x0002 }, { 80, 0x01f0 }, { 82, 0x0210 },
		{ 83, 0x4000 }, { 84, 0x4000 }, { 85, 0x0210 }, { 87, 0x4000 }, { 88, 0x203f },
	};
	uint8_t id[SECTOR] = { 0 };

	put_words(id, words, ARRAY_LEN(words));
	identify(c, id, MODEL_CD);
}

/* ---- settings ---- */

static void cmd_set_features(struct ahci_cmd *c)
{
	switch (c->fis[FIS_FEATURES]) {
	case 0x02:
		c->port->r.write_cache = 1;
		break;
	case 0x82:
		c->port->r.write_cache = 0;
		if (!c->port->cdrom) {
			flush(c);
			return;
		}
		break;
	case 0x03: case 0x05: case 0x85: case 0x10: case 0x90: case 0x42: case 0xc2: case 0x55: case 0xaa: case 0x66: case 0xcc:
		break;				/* transfer mode, power management, link features, look-ahead: no difference */
	default:
		ahci_done(c, ER_ABRT);
		return;
	}
	ahci_done(c, 0);
}

static void cmd_native_max(struct ahci_cmd *c)
{
	uint64_t last = drive_sectors(c->port->drive) - 1;

	for (int i = 0; i < 3; i++) {
		c->fis[FIS_LBA + i] = (uint8_t)(last >> 8 * i);
		c->fis[FIS_LBA_EXT + i] = (uint8_t)(last >> (24 + 8 * i));
	}
	ahci_done(c, 0);
}

static void cmd_check_power(struct ahci_cmd *c)
{
	c->fis[FIS_COUNT] = 0xff;		/* active */
	ahci_done(c, 0);
}

static void cmd_nothing(struct ahci_cmd *c)
{
	ahci_done(c, 0);
}

/* Log 0: which logs there are, and how many pages each has. */
static void put_directory(uint8_t *page)
{
	st16(page, 1);			/* version */
	st16(page + 2 * 0x10, 1);
}

/* Log 10h: which queued command failed. */
static void put_queue_error(struct ahci_regs *r, uint8_t *page)
{
	uint8_t sum = 0;

	page[0] = r->failed_tag == AHCI_NO_SLOT ? 0x80 : r->failed_tag;
	page[2] = ST_DRDY | ST_ERR;
	page[3] = r->failed_error;
	for (unsigned k = 0; k < SECTOR - 1; k++)
		sum = (uint8_t)(sum + page[k]);
	page[SECTOR - 1] = (uint8_t)-sum;
	r->failed_tag = AHCI_NO_SLOT;
}

static void cmd_read_log(struct ahci_cmd *c)
{
	uint8_t page[SECTOR] = { 0 };

	if (c->fis[FIS_LBA] == 0)
		put_directory(page);
	else if (c->fis[FIS_LBA] == 0x10)
		put_queue_error(&c->port->r, page);
	else {
		ahci_done(c, ER_ABRT);
		return;
	}
	c->pio_in = c->fis[FIS_COMMAND] == 0x2f;
	ahci_answer(c, page, SECTOR);
	ahci_done(c, 0);
}

/* A packet device shows what it is. */
static void cmd_refused(struct ahci_cmd *c)
{
	c->fis[FIS_LBA + 1] = 0x14;
	c->fis[FIS_LBA + 2] = 0xeb;
	ahci_done(c, ER_ABRT);
}

/* ---- packets ---- */

static void packet_next(struct ahci_cmd *c)
{
	struct scsi_req *r = &c->port->scsi;
	uint64_t left = r->job.len - r->job.at, n;

	if (scsi_finished(r)) {
		c->fis[FIS_COUNT] = REASON_COD | REASON_IO;
		ahci_done(c, r->job.status == SCSI_GOOD ? 0 : (uint8_t)(scsi_sense_key(r->unit) << 4 | ER_ABRT));
		return;
	}
	n = r->job.dir == SCSI_NONE ? 0 : ahci_gather(c, min_u64(left, PIECE_SECTORS * SECTOR), scsi_block(r->unit), r->job.dir == SCSI_IN);
	if (!n && r->job.dir == SCSI_IN && left <= SCSI_BUF) {
		c->port->spilling = true;
		c->port->spill_iov = (struct iovec){ c->port->spill, left };
		scsi_move(r, &c->port->spill_iov, 1, left);
		return;
	}
	if (!n && r->job.dir != SCSI_NONE) {
		log_guest("SATA: a packet command that moves more than its memory");
		scsi_cancel(r);
		ahci_done(c, ER_ABRT);
		return;
	}
	scsi_move(r, c->sg.iov, r->job.dir == SCSI_NONE ? 0 : c->sg.n, n);
}

void ahci_scsi_moved(struct scsi_req *r)
{
	struct ahci_cmd *c = r->opaque;
	uint32_t n = (uint32_t)r->job.at - c->moved;

	if (c->port->spilling) {		/* what fits */
		c->port->spilling = false;
		ahci_answer(c, c->port->spill, n);
		packet_next(c);
		return;
	}
	if (r->job.dir == SCSI_IN && n)
		sg_written(&c->sg, n);
	c->moved += n;
	packet_next(c);
}

static void packet(struct ahci_cmd *c, const uint8_t *cdb)
{
	struct scsi_req *r = &c->port->scsi;

	r->opaque = c;
	c->port->spilling = false;
	memset(r->job.cdb, 0, sizeof(r->job.cdb));
	memcpy(r->job.cdb, cdb, 12);
	scsi_begin(r);
	packet_next(c);
}

/* ---- the table ---- */

enum { DISK = 1, CD = 2 };

static const struct command {
	uint8_t first, last, who;
	void (*run)(struct ahci_cmd *c);
} commands[] = {
	{ 0x06, 0x06, DISK,      cmd_data_set_management },
	{ 0x08, 0x08, CD,        cmd_nothing },		/* DEVICE RESET */
	{ 0x10, 0x1f, DISK,      cmd_nothing },		/* RECALIBRATE */
	{ 0x20, 0x21, DISK,      cmd_read_pio },
	{ 0x20, 0x20, CD,        cmd_refused },
	{ 0x24, 0x24, DISK,      cmd_read_pio_ext },
	{ 0x25, 0x25, DISK,      cmd_read_ext },
	{ 0x27, 0x27, DISK,      cmd_native_max },
	{ 0x29, 0x29, DISK,      cmd_read_pio_ext },
	{ 0x2f, 0x2f, DISK,      cmd_read_log },
	{ 0x47, 0x47, DISK,      cmd_read_log },	/* ... DMA */
	{ 0x30, 0x31, DISK,      cmd_write },
	{ 0x34, 0x35, DISK,      cmd_write_ext },
	{ 0x39, 0x39, DISK,      cmd_write_ext },
	{ 0x3d, 0x3d, DISK,      cmd_write_ext },	/* ... FUA */
	{ 0x40, 0x42, DISK,      cmd_verify },
	{ 0x60, 0x60, DISK,      cmd_read_queued },
	{ 0x61, 0x61, DISK,      cmd_write_queued },
	{ 0x70, 0x7f, DISK,      cmd_nothing },		/* SEEK */
	{ 0x91, 0x91, DISK,      cmd_nothing },		/* INITIALIZE DEVICE PARAMETERS */
	{ 0xa1, 0xa1, CD,        cmd_identify_packet },
	{ 0xc4, 0xc4, DISK,      cmd_read_pio },
	{ 0xc5, 0xc5, DISK,      cmd_write },
	{ 0xc6, 0xc6, DISK,      cmd_nothing },		/* SET MULTIPLE MODE */
	{ 0xc8, 0xc9, DISK,      cmd_read },
	{ 0xca, 0xcb, DISK,      cmd_write },
	{ 0xe0, 0xe3, DISK | CD, cmd_nothing },		/* STANDBY, IDLE */
	{ 0xe5, 0xe5, DISK | CD, cmd_check_power },
	{ 0xe6, 0xe6, DISK | CD, cmd_nothing },		/* SLEEP */
	{ 0xe7, 0xe7, DISK,      flush },
	{ 0xea, 0xea, DISK,      flush },
	{ 0xec, 0xec, DISK,      cmd_identify },
	{ 0xec, 0xec, CD,        cmd_refused },
	{ 0xef, 0xef, DISK | CD, cmd_set_features },
	{ 0xf8, 0xf8, DISK,      cmd_native_max },
};

void ahci_execute(struct ahci_cmd *c, const uint8_t *cdb)
{
	uint8_t command = c->fis[FIS_COMMAND], who = c->port->cdrom ? CD : DISK;

	if (command == 0xa0 && who == CD) {
		packet(c, cdb);
		return;
	}
	for (size_t k = 0; k < ARRAY_LEN(commands); k++)
		if (command >= commands[k].first && command <= commands[k].last && commands[k].who & who) {
			commands[k].run(c);
			return;
		}
	ahci_done(c, ER_ABRT);
}
