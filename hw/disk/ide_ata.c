/*
 * ATA disk commands.
 *
 * Not modelled: security, host-protected area (the native size is the size),
 * queued commands, streaming, SMART self tests; errors of the host's disk are
 * reported as uncorrectable data.
 * Source: ATA/ATAPI-6 (T13 1410D), chapter 8.
 */
#include <stdio.h>
#include <string.h>

#include "hw/disk/ide_priv.h"

#define MODEL		"RHEA HARDDISK"
#define FIRMWARE	"1.0"
#define MAX_CYLINDERS	16383u
#define MIN_CYLINDERS	2u
#define HEADS		16u
#define SECTORS_TRACK	63u

/* ---- addresses ---- */

static uint32_t sector_count(const struct ide_drive *v)
{
	uint32_t n = v->lba48 ? (uint32_t)v->hob_count << 8 | v->count : v->count;
	return n ? n : v->lba48 ? 65536 : 256;
}

/* First sector from the task file; all ones if a CHS address is impossible. */
static uint64_t first_sector(const struct ide_drive *v)
{
	if (v->lba48)
		return (uint64_t)v->hob_lba2 << 40 | (uint64_t)v->hob_lba1 << 32 | (uint64_t)v->hob_lba0 << 24
			| (uint64_t)v->lba2 << 16 | (uint64_t)v->lba1 << 8 | v->lba0;
	if (v->select & SEL_LBA)
		return (uint64_t)(v->select & 0x0f) << 24 | (uint64_t)v->lba2 << 16 | (uint64_t)v->lba1 << 8 | v->lba0;
	uint64_t cyl = (uint64_t)v->lba2 << 8 | v->lba1, head = v->select & 0x0f;
	if (!v->lba0 || v->lba0 > v->sectors || head >= v->heads)
		return UINT64_MAX;
	return (cyl * v->heads + head) * v->sectors + v->lba0 - 1;
}

static void put_address(struct ide_drive *v, uint64_t at)
{
	v->lba0 = (uint8_t)at;
	v->lba1 = (uint8_t)(at >> 8);
	v->lba2 = (uint8_t)(at >> 16);
	v->hob_lba0 = (uint8_t)(at >> 24);
	v->hob_lba1 = (uint8_t)(at >> 32);
	v->hob_lba2 = (uint8_t)(at >> 40);
	if (!v->lba48)
		v->select = (uint8_t)((v->select & 0xf0) | (at >> 24 & 0x0f));
}

/* Take sectors and count from the task file; aborts and says false if they don't exist. */
static bool set_up(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	uint64_t total = ide_sectors(d, i);
	v->at = first_sector(v);
	v->left = sector_count(v);
	if (v->at >= total || v->left > total - v->at) {
		ide_abort(d, i, ER_IDNF | ER_ABRT);
		return false;
	}
	return true;
}

/* The host's disk failed, which the drive has said. */
static void host_failed(struct ide *d, int i)
{
	put_address(&d->drive[i], d->drive[i].at);
	ide_abort(d, i, ER_UNC);
}

static void done_or_failed(struct ide *d, int i, bool ok)
{
	if (ok)
		ide_done(d, i);
	else
		host_failed(d, i);
}

static void flush(struct ide *d, int i)
{
	ide_io_flush(d, i, done_or_failed);
}

/* All sectors are there. Without a write cache they must be on the disk. */
static void written(struct ide *d, int i)
{
	if (d->drive[i].write_cache)
		ide_done(d, i);
	else
		flush(d, i);
}

/* ---- sectors through the data port: the buffer holds those of several data requests ---- */

/* The next data request out of (or into) what is in buf. */
static void offer(struct ide *d, int i, bool quiet)
{
	struct ide_drive *v = &d->drive[i];

	v->len = (uint32_t)min_u64(v->pos + (uint64_t)v->block * SECTOR, v->fill);
	v->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (!quiet)
		ide_raise(d, i);
}

/* The sectors that buf takes next. */
static uint32_t take_piece(struct ide_drive *v)
{
	uint32_t n = v->left < BUF_SECTORS ? v->left : BUF_SECTORS;

	v->left -= n;
	v->pos = 0;
	v->fill = n * SECTOR;
	return n;
}

static void loaded(struct ide *d, int i, bool ok)
{
	struct ide_drive *v = &d->drive[i];

	if (!ok) {
		host_failed(d, i);
		return;
	}
	v->at += v->fill / SECTOR;
	offer(d, i, false);
}

static void load(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	uint32_t n = take_piece(v);

	v->len = 0;
	ide_io_buf(d, i, DRIVE_READ, v->at, n, loaded);
}

static void stored(struct ide *d, int i, bool ok)
{
	struct ide_drive *v = &d->drive[i];

	if (!ok) {
		host_failed(d, i);
		return;
	}
	v->at += v->fill / SECTOR;
	if (!v->left) {
		written(d, i);
		return;
	}
	take_piece(v);
	offer(d, i, false);
}

void ide_ata_next(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];

	if (v->xfer != XFER_DATA_IN && v->pos < v->fill) {
		offer(d, i, false);
	} else if (v->xfer == XFER_WRITE) {
		ide_io_buf(d, i, DRIVE_WRITE, v->at, v->fill / SECTOR, stored);
	} else if (v->xfer == XFER_READ && v->left) {
		load(d, i);
	} else {
		v->xfer = XFER_NONE;
		v->status = ST_DRDY | ST_DSC;
	}
}

/* ---- sectors by bus master: pieces of a bounded size between disk and guest memory ---- */

#define DMA_SECTORS	2048u

static void dma_next(struct ide *d, int i);

static void dma_moved(struct ide *d, int i, bool ok)
{
	struct ide_drive *v = &d->drive[i];
	uint32_t n = d->io[i].r.n;

	if (!ok) {
		host_failed(d, i);
		ide_dma_end(d, i, true);	/* the drive has reported it */
		return;
	}
	v->at += n;
	v->left -= n;
	dma_next(d, i);
}

static void dma_next(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	bool reading = v->xfer == XFER_READ;

	if (!v->left) {
		ide_dma_end(d, i, true);
		if (reading)
			ide_done(d, i);
		else
			written(d, i);
		return;
	}
	uint32_t n = ide_dma_gather(d, i / 2, &d->io[i].sg, v->left < DMA_SECTORS ? v->left : DMA_SECTORS, reading);
	if (!n) {
		ide_abort(d, i, ER_ABRT);
		ide_dma_end(d, i, false);
		return;
	}
	ide_io_sg(d, i, reading ? DRIVE_READ : DRIVE_WRITE, v->at, n, dma_moved);
}

void ide_ata_dma(struct ide *d, int i)
{
	dma_next(d, i);
}

/* ---- transfer commands ---- */

static void start_read(struct ide *d, int i)
{
	d->drive[i].xfer = XFER_READ;
	load(d, i);
}

static void cmd_read(struct ide *d, int i)
{
	d->drive[i].block = 1;
	if (set_up(d, i))
		start_read(d, i);
}

static void start_write(struct ide *d, int i)
{
	d->drive[i].xfer = XFER_WRITE;
	take_piece(&d->drive[i]);
	offer(d, i, true);
}

static void cmd_write(struct ide *d, int i)
{
	d->drive[i].block = 1;
	if (set_up(d, i))
		start_write(d, i);
}

static void cmd_read_multiple(struct ide *d, int i)
{
	d->drive[i].block = d->drive[i].multiple;
	if (!d->drive[i].multiple)
		ide_abort(d, i, ER_ABRT);
	else if (set_up(d, i))
		start_read(d, i);
}

static void cmd_write_multiple(struct ide *d, int i)
{
	d->drive[i].block = d->drive[i].multiple;
	if (!d->drive[i].multiple)
		ide_abort(d, i, ER_ABRT);
	else if (set_up(d, i))
		start_write(d, i);
}

static void start_dma(struct ide *d, int i, enum transfer x)
{
	struct ide_drive *v = &d->drive[i];
	if (!set_up(d, i))
		return;
	v->xfer = (uint8_t)x;
	v->dma = 1;
	v->pos = v->len = v->fill = 0;
	v->status = ST_DRDY | ST_DSC | ST_DRQ;
	ide_dma_try(d, i);
}

static void cmd_read_dma(struct ide *d, int i)
{
	start_dma(d, i, XFER_READ);
}

static void cmd_write_dma(struct ide *d, int i)
{
	start_dma(d, i, XFER_WRITE);
}

static void cmd_verify(struct ide *d, int i)
{
	if (set_up(d, i))
		ide_done(d, i);
}

static void cmd_flush(struct ide *d, int i)
{
	flush(d, i);
}

/* ---- identification ---- */

void ide_put_string(uint8_t *to, const char *s, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		to[k ^ 1] = (uint8_t)(*s ? *s++ : ' ');
}

static void put_word(uint8_t *id, unsigned word, uint32_t v)
{
	st16(id + 2 * word, (uint16_t)v);
}

/* Firmware reads no disk without cylinders, so an image of a lone boot sector has some, too. */
static uint32_t cylinders(uint64_t total, uint32_t heads, uint32_t sectors)
{
	uint64_t n = heads && sectors ? total / (heads * sectors) : 0;
	return n > MAX_CYLINDERS ? MAX_CYLINDERS : n < MIN_CYLINDERS ? MIN_CYLINDERS : (uint32_t)n;
}

static void identify_geometry(const struct ide_drive *v, uint8_t *id, uint64_t total)
{
	uint32_t c = cylinders(total, v->heads, v->sectors);
	put_word(id, 1, cylinders(total, HEADS, SECTORS_TRACK));
	put_word(id, 3, HEADS);
	put_word(id, 6, SECTORS_TRACK);
	put_word(id, 54, c);
	put_word(id, 55, v->heads);
	put_word(id, 56, v->sectors);
	st32(id + 2 * 57, (uint32_t)min_u64(total, (uint64_t)c * v->heads * v->sectors));
	st32(id + 2 * 60, (uint32_t)min_u64(total, 0x0fffffff));
	st64(id + 2 * 100, total);
}

static void identify_features(const struct ide_drive *v, uint8_t *id)
{
	static const uint16_t words[][2] = {
		{ 0, 0x0040 }, { 47, 0x8000 | MAX_MULTIPLE }, { 48, 1 }, { 49, 0x0f00 }, { 50, 0x4000 },
		{ 51, 0x0200 }, { 53, 0x0007 }, { 64, 0x0003 }, { 65, 120 }, { 66, 120 }, { 67, 120 },
		{ 68, 120 }, { 80, 0x00f0 }, { 81, 0x0016 }, { 82, 0x4021 }, { 83, 0x7400 }, { 84, 0x4000 },
		{ 86, 0x3400 }, { 87, 0x4000 }, { 93, 0x600b },
	};
	for (size_t k = 0; k < ARRAY_LEN(words); k++)
		put_word(id, words[k][0], words[k][1]);
	put_word(id, 59, v->multiple ? 0x100u | v->multiple : 0);
	put_word(id, 63, 0x07u | (v->mwdma ? 0x100u << (v->mwdma - 1) : 0));
	put_word(id, 85, 0x4000u | (v->write_cache ? 0x20 : 0) | (v->smart ? 1 : 0));
	put_word(id, 88, 0x3fu | (v->udma ? 0x100u << (v->udma - 1) : 0));
}

static void cmd_identify(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	memset(v->buf, 0, SECTOR);
	identify_features(v, v->buf);
	identify_geometry(v, v->buf, ide_sectors(d, i));
	ide_put_string(v->buf + 20, d->medium[i].serial, 20);
	ide_put_string(v->buf + 46, FIRMWARE, 8);
	ide_put_string(v->buf + 54, MODEL, 40);
	ide_request(d, i, XFER_DATA_IN, SECTOR, false);
}

/* A packet device refuses and shows its signature. */
static void cmd_identify_refused(struct ide *d, int i)
{
	ide_signature(d, i);
	ide_abort(d, i, ER_ABRT);
}

/* ---- settings ---- */

static bool set_transfer_mode(struct ide_drive *v)
{
	uint8_t mode = v->count & 7;
	switch (v->count >> 3) {
	case 0: case 1:			/* PIO: the DMA modes are off */
		v->mwdma = v->udma = 0;
		return true;
	case 4:
		v->mwdma = mode + 1;
		v->udma = 0;
		return mode <= 2;
	case 8:
		v->udma = mode + 1;
		v->mwdma = 0;
		return mode <= 5;
	default:
		return false;
	}
}

static void cmd_set_features(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	bool ok = true;
	switch (v->feature) {
	case 0x02: v->write_cache = 1; break;
	case 0x82:
		v->write_cache = 0;
		if (!d->medium[i].cdrom) {
			flush(d, i);
			return;
		}
		break;
	case 0x03: ok = set_transfer_mode(v); break;
	case 0x05: case 0x85:		/* advanced power management */
	case 0x42: case 0xc2:		/* acoustic management */
	case 0x55: case 0xaa:		/* read look-ahead */
	case 0x66: case 0xcc:		/* power-on defaults after reset */
		break;
	default: ok = false;
	}
	if (ok)
		ide_done(d, i);
	else
		ide_abort(d, i, ER_ABRT);
}

static void cmd_set_multiple(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	uint8_t n = v->count;
	if (n > MAX_MULTIPLE || n & (n - 1)) {
		v->multiple = 0;
		ide_abort(d, i, ER_ABRT);
		return;
	}
	v->multiple = n;
	ide_done(d, i);
}

static void cmd_init_params(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	if (!v->count) {
		ide_abort(d, i, ER_ABRT);
		return;
	}
	v->heads = (v->select & 0x0f) + 1;
	v->sectors = v->count;
	ide_done(d, i);
}

static void cmd_native_max(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	uint64_t last = ide_sectors(d, i) - 1;
	put_address(v, v->lba48 ? last : min_u64(last, 0x0fffffff - 1));
	ide_done(d, i);
}

static void cmd_nothing(struct ide *d, int i)
{
	ide_done(d, i);
}

static void cmd_check_power(struct ide *d, int i)
{
	d->drive[i].count = 0xff;	/* active */
	ide_done(d, i);
}

static void cmd_diagnostic(struct ide *d, int i)
{
	int first = i & ~1;
	for (int k = first; k < first + 2; k++) {
		ide_io_cancel(d, k);
		d->drive[k].select = 0;
		ide_signature(d, k);
	}
	d->ch[i / 2].unit = 0;
	ide_raise(d, first);
}

static void cmd_device_reset(struct ide *d, int i)
{
	ide_signature(d, i);
}

/* ---- SMART ---- */

static void smart_data(struct ide *d, int i, bool thresholds)
{
	uint8_t *p = d->drive[i].buf;
	memset(p, 0, SECTOR);
	st16(p, 16);			/* revision */
	p[2] = 9;			/* one attribute: power-on hours */
	if (!thresholds) {
		st16(p + 3, 0x0003);
		p[5] = p[6] = 100;
		p[362] = 0x02;		/* off-line data collected */
		st16(p + 368, 0x0003);
	}
	uint8_t sum = 0;
	for (unsigned k = 0; k < SECTOR - 1; k++)
		sum += p[k];
	p[SECTOR - 1] = (uint8_t)-sum;
	ide_request(d, i, XFER_DATA_IN, SECTOR, false);
}

static void cmd_smart(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	bool known = v->lba1 == 0x4f && v->lba2 == 0xc2 && (v->smart || v->feature == 0xd8);
	switch (known ? v->feature : 0) {
	case 0xd0: smart_data(d, i, false); break;
	case 0xd1: smart_data(d, i, true); break;
	case 0xd2: case 0xd3: case 0xd4: ide_done(d, i); break;
	case 0xd8: v->smart = 1; ide_done(d, i); break;
	case 0xd9: v->smart = 0; ide_done(d, i); break;
	case 0xda: ide_done(d, i); break;	/* LBA mid and high unchanged: no failure foreseen */
	default: ide_abort(d, i, ER_ABRT);
	}
}

/* ---- the table ---- */

#define DISK	1u
#define CD	2u
#define LBA48	4u

static const struct command {
	uint8_t first, last;
	uint8_t flags;
	void (*run)(struct ide *d, int i);
} commands[] = {
	{ 0x08, 0x08, CD,           cmd_device_reset },
	{ 0x10, 0x1f, DISK,         cmd_nothing },		/* RECALIBRATE */
	{ 0x20, 0x21, DISK,         cmd_read },
	{ 0x20, 0x20, CD,           cmd_identify_refused },
	{ 0x24, 0x24, DISK | LBA48, cmd_read },
	{ 0x25, 0x25, DISK | LBA48, cmd_read_dma },
	{ 0x27, 0x27, DISK | LBA48, cmd_native_max },
	{ 0x29, 0x29, DISK | LBA48, cmd_read_multiple },
	{ 0x30, 0x31, DISK,         cmd_write },
	{ 0x34, 0x34, DISK | LBA48, cmd_write },
	{ 0x35, 0x35, DISK | LBA48, cmd_write_dma },
	{ 0x39, 0x39, DISK | LBA48, cmd_write_multiple },
	{ 0x3c, 0x3c, DISK,         cmd_write },		/* WRITE VERIFY */
	{ 0x40, 0x41, DISK,         cmd_verify },
	{ 0x42, 0x42, DISK | LBA48, cmd_verify },
	{ 0x70, 0x7f, DISK,         cmd_nothing },		/* SEEK */
	{ 0x90, 0x90, DISK | CD,    cmd_diagnostic },
	{ 0x91, 0x91, DISK,         cmd_init_params },
	{ 0xa0, 0xa0, CD,           ide_packet_begin },
	{ 0xa1, 0xa1, CD,           ide_identify_packet },
	{ 0xb0, 0xb0, DISK,         cmd_smart },
	{ 0xc4, 0xc4, DISK,         cmd_read_multiple },
	{ 0xc5, 0xc5, DISK,         cmd_write_multiple },
	{ 0xc6, 0xc6, DISK,         cmd_set_multiple },
	{ 0xc8, 0xc9, DISK,         cmd_read_dma },
	{ 0xca, 0xcb, DISK,         cmd_write_dma },
	{ 0xe0, 0xe3, DISK | CD,    cmd_nothing },		/* STANDBY, IDLE */
	{ 0xe5, 0xe5, DISK | CD,    cmd_check_power },
	{ 0xe6, 0xe6, DISK | CD,    cmd_nothing },		/* SLEEP */
	{ 0xe7, 0xe7, DISK,         cmd_flush },
	{ 0xea, 0xea, DISK | LBA48, cmd_flush },
	{ 0xec, 0xec, DISK,         cmd_identify },
	{ 0xec, 0xec, CD,           cmd_identify_refused },
	{ 0xef, 0xef, DISK | CD,    cmd_set_features },
	{ 0xf8, 0xf8, DISK,         cmd_native_max },
};

void ide_command(struct ide *d, int i, uint8_t command)
{
	struct ide_drive *v = &d->drive[i];
	unsigned kind = d->medium[i].cdrom ? CD : DISK;
	ide_io_cancel(d, i);		/* DEVICE RESET alone comes while something is under way */
	v->error = 0;
	v->command = command;
	v->xfer = XFER_NONE;
	v->dma = 0;
	for (size_t k = 0; k < ARRAY_LEN(commands); k++) {
		const struct command *c = &commands[k];
		if (command < c->first || command > c->last || !(c->flags & kind))
			continue;
		v->lba48 = !!(c->flags & LBA48);
		c->run(d, i);
		return;
	}
	ide_abort(d, i, ER_ABRT);
}

void ide_ata_power_on(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];

	memset(v, 0, sizeof(*v));
	v->heads = HEADS;
	v->sectors = SECTORS_TRACK;
	v->multiple = d->medium[i].cdrom ? 0 : MAX_MULTIPLE;
	v->write_cache = 1;
	v->smart = 1;
	if (d->medium[i].cdrom)
		scsi_unit_reset(&d->medium[i].unit);
}
