/*
 * Packet commands (ATAPI): how a command and its data get across the bus.
 *
 * After PACKET the host writes twelve bytes; the device answers with data in
 * blocks of at most the byte count limit (LBA mid and high), each announced by
 * an interrupt, or by bus master, and a last interrupt that says good or bad.
 * The sector count register tells the phase: COD set: command or end; IO: to
 * the host. What a command means and moves is the SCSI unit's (hw/scsi/scsi.h); data
 * pass through the drive's buffer, as much as it holds at a time.
 *
 * Not modelled: command queueing.
 * Source: ATA/ATAPI-6 (T13 1410D) 9.8; SFF-8020i revision 2.6.
 */
#include <string.h>

#include "hw/disk/ide_priv.h"

#define PACKET_BYTES	12
#define FEATURE_DMA	0x01u
#define MODEL		"RHEA DVD-ROM"

/* ---- phases ---- */

void ide_packet_begin(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];

	v->dma = 0;
	v->limit = (uint32_t)v->lba2 << 8 | v->lba1;
	if (v->limit == 0 || v->limit == 0xffff)
		v->limit = 0xfffe;
	v->limit &= ~1u;
	if (!v->limit)
		v->limit = 2;
	v->count = REASON_COD;
	ide_request(d, i, XFER_PACKET, PACKET_BYTES, true);
}

static void finish(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	const struct scsi_req *r = &d->io[i].scsi;
	bool good = r->job.status == SCSI_GOOD, dma = v->dma;

	v->xfer = XFER_NONE;
	v->dma = 0;
	v->count = REASON_COD | REASON_IO;
	v->error = good ? 0 : (uint8_t)(scsi_sense_key(r->unit) << 4 | ER_ABRT);
	v->status = ST_DRDY | ST_DSC | (good ? 0 : ST_ERR);
	ide_raise(d, i);
	if (dma)
		ide_dma_end(d, i, true);
}

/* The host's turn: the next piece of buf, pos to len; what is behind stays for later. */
static void announce(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	uint32_t n = (uint32_t)min_u64(v->fill - v->pos, v->limit);

	v->len = v->pos + n;
	v->lba1 = (uint8_t)n;
	v->lba2 = (uint8_t)(n >> 8);
	v->count = v->xfer == XFER_PACKET_IN ? REASON_IO : 0;
	v->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (v->dma)
		ide_dma_try(d, i);
	else
		ide_raise(d, i);
}

/* The unit's turn: fill bytes of buf. */
static void move(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	struct ide_io *io = &d->io[i];

	v->status = ST_BSY;
	io->from = io->scsi.job.at;
	io->buf = (struct iovec){ v->buf, v->fill };
	scsi_move(&io->scsi, &io->buf, 1, v->fill);
}

static void next(struct ide *d, int i)
{
	static const uint8_t phases[] = { [SCSI_NONE] = XFER_NONE, [SCSI_IN] = XFER_PACKET_IN, [SCSI_OUT] = XFER_PACKET_OUT };
	struct ide_drive *v = &d->drive[i];
	const struct scsi_req *r = &d->io[i].scsi;

	if (scsi_finished(r)) {
		finish(d, i);
		return;
	}
	v->xfer = phases[r->job.dir];
	v->pos = v->len = 0;
	v->fill = (uint32_t)min_u64(r->job.len - r->job.at, BUF_BYTES);
	if (v->xfer == XFER_PACKET_OUT)
		announce(d, i);
	else
		move(d, i);
}

void ide_packet_moved(struct scsi_req *r)
{
	struct ide_io *io = r->opaque;

	if (io->ide->drive[io->index].xfer == XFER_PACKET_IN && r->job.at > io->from)
		announce(io->ide, io->index);
	else
		next(io->ide, io->index);
}

/* The host is through with buf. */
static void passed(struct ide *d, int i)
{
	if (d->drive[i].xfer == XFER_PACKET_OUT)
		move(d, i);
	else
		next(d, i);
}

static void execute(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	struct scsi_req *r = &d->io[i].scsi;

	memset(r->job.cdb, 0, sizeof(r->job.cdb));
	memcpy(r->job.cdb, v->buf, PACKET_BYTES);
	v->dma = v->feature & FEATURE_DMA;
	scsi_begin(r);
	next(d, i);
}

void ide_packet_next(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];

	if (v->xfer == XFER_PACKET)
		execute(d, i);
	else if (v->pos < v->fill)
		announce(d, i);
	else
		passed(d, i);
}

/* A host that reserved less than an answer takes what fits. */
void ide_packet_dma(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	struct scsi_req *r = &d->io[i].scsi;
	bool in = v->xfer == XFER_PACKET_IN;

	if (ide_dma_move(d, i / 2, v->buf, v->fill, in) || (in && scsi_finished(r))) {
		passed(d, i);
		return;
	}
	log_guest("%s: a packet command that moves more than its memory", d->pci.dev.id);
	scsi_cancel(r);
	ide_abort(d, i, ER_ABRT);
	ide_dma_end(d, i, false);
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
