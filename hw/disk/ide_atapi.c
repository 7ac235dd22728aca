/*
 * Packet commands (ATAPI): how a command and its data get across the bus.
 *
 * After PACKET the host writes twelve bytes; the device answers with data in
 * blocks of at most the byte count limit (LBA mid and high), each announced by
 * an interrupt, or by bus master, and a last interrupt that says good or bad.
 * The sector count register tells the phase: COD set: command or end; IO: to
 * the host. Large reads stream through the buffer, sector groups at a time.
 *
 * Not modelled: command queueing, parameter data to the device (accepted and
 * ignored).
 * Source: ATA/ATAPI-6 (T13 1410D) 9.8; SFF-8020i revision 2.6.
 */
#include <string.h>

#include "hw/disk/ide_priv.h"

#define PACKET_BYTES	12
#define FEATURE_DMA	0x01u
#define CD_PER_SECTOR	(CD_SECTOR / SECTOR)
#define BUF_CD_SECTORS	(BUF_BYTES / CD_SECTOR)
#define MODEL		"RHEA DVD-ROM"

/* ---- phases ---- */

void ide_packet_begin(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	v->dma = 0;
	v->left = 0;
	v->limit = (uint32_t)v->lba2 << 8 | v->lba1;
	if (v->limit == 0 || v->limit == 0xffff)
		v->limit = 0xfffe;
	v->limit &= ~1u;
	if (!v->limit)
		v->limit = 2;
	v->count = REASON_COD;
	ide_request(d, i, XFER_PACKET, PACKET_BYTES, true);
}

static void finish(struct ide *d, int i, bool good)
{
	struct ide_drive *v = &d->drive[i];
	v->xfer = XFER_NONE;
	v->dma = 0;
	v->count = REASON_COD | REASON_IO;
	v->error = good ? 0 : (uint8_t)(v->sense_key << 4 | ER_ABRT);
	v->status = ST_DRDY | ST_DSC | (good ? 0 : ST_ERR);
	ide_raise(d, i);
}

void ide_packet_good(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	v->sense_key = v->asc = v->ascq = 0;
	finish(d, i, true);
}

void ide_packet_fail(struct ide *d, int i, uint8_t key, uint8_t asc, uint8_t ascq)
{
	struct ide_drive *v = &d->drive[i];
	v->sense_key = key;
	v->asc = asc;
	v->ascq = ascq;
	finish(d, i, false);
}

/* ---- data to the host ---- */

/* Announce the next piece of buf: pos..end of the piece; bytes behind stay for later. */
static void announce(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	uint32_t n = v->fill - v->pos;
	if (n > v->limit)
		n = v->limit;
	v->xfer = XFER_PACKET_IN;
	v->len = v->pos + n;
	v->lba1 = (uint8_t)n;
	v->lba2 = (uint8_t)(n >> 8);
	v->count = REASON_IO;
	v->status = ST_DRDY | ST_DSC | ST_DRQ;
	ide_raise(d, i);
}

static void start_data(struct ide *d, int i);

static void filled(struct ide *d, int i, bool ok)
{
	struct ide_drive *v = &d->drive[i];
	uint32_t n = v->fill / CD_SECTOR;

	if (!ok) {
		ide_packet_fail(d, i, 3, 0x11, 0);	/* unrecovered read error */
		return;
	}
	v->at += n;
	v->left -= n;
	start_data(d, i);
}

/* Fill buf with the next sectors. */
static void fill(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	uint32_t n = v->left < BUF_CD_SECTORS ? v->left : BUF_CD_SECTORS;

	v->pos = v->len = 0;
	v->fill = n * CD_SECTOR;
	ide_io_buf(d, i, DRIVE_READ, v->at * CD_PER_SECTOR, n * CD_PER_SECTOR, filled);
}

static void start_data(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	if (!v->dma) {
		announce(d, i);
		return;
	}
	v->xfer = XFER_PACKET_IN;
	v->count = REASON_IO;
	v->status = ST_DRDY | ST_DSC | ST_DRQ;
	ide_dma_try(d, i);
}

void ide_packet_reply(struct ide *d, int i, uint32_t n, uint32_t allocated)
{
	struct ide_drive *v = &d->drive[i];
	v->left = 0;
	v->pos = 0;
	v->fill = n < allocated ? n : allocated;
	if (v->fill)
		start_data(d, i);
	else
		ide_packet_good(d, i);
}

void ide_packet_sectors(struct ide *d, int i, uint32_t lba, uint32_t n)
{
	struct ide_drive *v = &d->drive[i];
	uint64_t total = ide_sectors(d, i) / CD_PER_SECTOR;
	if (!n) {
		ide_packet_good(d, i);
		return;
	}
	if (lba >= total || n > total - lba) {
		ide_packet_fail(d, i, 5, 0x21, 0);	/* address out of range */
		return;
	}
	v->at = lba;
	v->left = n;
	fill(d, i);
}

/* A piece is through, or the packet is here. */
void ide_packet_next(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	if (v->xfer == XFER_PACKET) {
		memcpy(v->packet, v->buf, PACKET_BYTES);
		v->dma = v->feature & FEATURE_DMA;
		v->status = ST_DRDY | ST_DSC;
		ide_cd_command(d, i);
	} else if (v->xfer == XFER_PACKET_OUT) {
		ide_packet_good(d, i);
	} else if (v->pos < v->fill) {
		announce(d, i);
	} else if (!v->left) {
		ide_packet_good(d, i);
	} else {
		fill(d, i);
	}
}

void ide_packet_dma(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	bool ok = ide_dma_move(d, i / 2, v->buf, v->fill, v->xfer == XFER_PACKET_IN);

	if (ok && v->left) {
		fill(d, i);
		return;
	}
	/* A host that reserved less than the reply takes what fits. */
	bool enough = ok || !v->left;
	ide_packet_good(d, i);
	ide_dma_end(d, i, enough);
}

/* ---- identification ---- */

void ide_identify_packet(struct ide *d, int i)
{
	static const uint16_t words[][2] = {
		{ 0, 0x85c0 },		/* CD-ROM, removable, DRQ within 50 us, 12-byte packets */
		{ 48, 1 }, { 49, 0x0b00 }, { 53, 0x0007 }, { 64, 0x0001 }, { 65, 0x00b4 },
		{ 66, 0x00b4 }, { 67, 0x012c }, { 68, 0x00b4 }, { 80, 0x001e }, { 82, 0x0210 },
		{ 83, 0x4000 }, { 84, 0x4000 }, { 85, 0x0210 }, { 87, 0x4000 }, { 93, 0x600b },
	};
	struct ide_drive *v = &d->drive[i];
	memset(v->buf, 0, SECTOR);
	for (size_t k = 0; k < ARRAY_LEN(words); k++)
		st16(v->buf + 2 * words[k][0], words[k][1]);
	st16(v->buf + 2 * 63, (uint16_t)(0x07 | (v->mwdma ? 0x100 << (v->mwdma - 1) : 0)));
	st16(v->buf + 2 * 88, (uint16_t)(0x3f | (v->udma ? 0x100 << (v->udma - 1) : 0)));
	ide_put_string(v->buf + 20, d->medium[i].serial, 20);
	ide_put_string(v->buf + 46, "1.0", 8);
	ide_put_string(v->buf + 54, MODEL, 40);
	ide_request(d, i, XFER_DATA_IN, SECTOR, false);
}
