/*
 * What IDE drives have under way on their disks: one transfer or flush each.
 *
 * Meanwhile the drive is BSY, and its buffer, or the guest memory that the bus master
 * was told, belongs to the worker that moves the data.
 */
#include "hw/disk/ide_priv.h"

static void done(struct drive_req *r)
{
	struct ide_io *io = container_of(r, struct ide_io, r);

	if (r->ok && r->op == DRIVE_READ && r->iov == io->sg.iov)
		sg_written(&io->sg, (uint64_t)r->n * SECTOR);
	io->then(io->ide, io->index, r->ok);
}

static void start(struct ide *d, int i, struct drive_req r, ide_then *then)
{
	struct ide_io *io = &d->io[i];

	d->drive[i].status = ST_BSY;
	io->then = then;
	io->r = r;
	io->r.done = done;
	drive_submit(d->medium[i].drive, &io->r);
}

void ide_io_buf(struct ide *d, int i, enum drive_op op, uint64_t at, uint32_t n, ide_then *then)
{
	struct ide_io *io = &d->io[i];

	io->buf = (struct iovec){ d->drive[i].buf, (size_t)n * SECTOR };
	start(d, i, (struct drive_req){ .op = op, .at = at, .n = n, .iov = &io->buf, .niov = 1 }, then);
}

void ide_io_sg(struct ide *d, int i, enum drive_op op, uint64_t at, uint32_t n, ide_then *then)
{
	struct sg *s = &d->io[i].sg;

	start(d, i, (struct drive_req){ .op = op, .at = at, .n = n, .iov = s->iov, .niov = s->n }, then);
}

void ide_io_flush(struct ide *d, int i, ide_then *then)
{
	start(d, i, (struct drive_req){ .op = DRIVE_FLUSH }, then);
}

void ide_io_cancel(struct ide *d, int i)
{
	drive_cancel(&d->io[i].r);
	if (d->medium[i].cdrom)
		scsi_cancel(&d->io[i].scsi);
}
