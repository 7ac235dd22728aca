/*
 * The floppy controller's commands with data: sector by sector between the drive's image
 * and the DMA controller, or the processor if SPECIFY says so. A command ends with the
 * last byte the DMA controller wants (terminal count), at the last sector of the track,
 * or with an error.
 * Source: Intel 82077AA data sheet, 5.1 (data transfer commands), table 5-5 (final
 * sector address).
 */
#include "hw/disk/fdc_priv.h"

#include <stdlib.h>
#include <string.h>

struct fdc_io {
	struct drive_req r;
	struct iovec iov;
	struct fdc *f;
	bool pending;
};

static void next_sector(struct fdc *f);

/* ---- the end ---- */

static void finish(struct fdc *f)
{
	uint8_t *r = f->result;
	bool bad = f->st1 || f->st2 & ~ST2_CONTROL_MARK;

	r[0] = (uint8_t)((bad ? ST0_ABNORMAL : 0) | (f->head ? ST0_HEAD : 0) | fdc_unit(f));
	r[1] = f->st1;
	r[2] = f->st2;
	r[3] = f->cyl;
	r[4] = f->side;
	r[5] = f->sector;
	r[6] = 2;
	f->job = JOB_NONE;
	f->waiting = false;
	fdc_result(f, 7);
	f->interrupt = true;
}

static void fail(struct fdc *f, uint8_t st1, uint8_t st2)
{
	f->st1 |= st1;
	f->st2 |= st2;
	finish(f);
}

/* ---- the drive ---- */

static void drive_done(struct drive_req *r)
{
	struct fdc *f = container_of(r, struct fdc_io, r)->f;

	f->io->pending = false;
	f->waiting = false;
	if (!r->ok)
		fail(f, ST1_DATA_ERROR, ST2_DATA_ERROR);
	else
		next_sector(f);
	dev_update(&f->dev);
}

static uint64_t lba(const struct fdc *f, const struct fdc_format *g)
{
	unsigned track = f->track[fdc_unit(f)];

	if (g->tracks == 40 && f->kind[fdc_unit(f)] != 1)
		track /= 2;
	return ((uint64_t)track * g->heads + f->head) * g->sectors + f->sector - 1;
}

static void submit(struct fdc *f, enum drive_op op)
{
	unsigned n = fdc_unit(f);
	const struct fdc_format *g = fdc_format(f, n);

	if (!g || lba(f, g) >= drive_sectors(f->drive[n])) {
		fail(f, ST1_NO_DATA, 0);
		return;
	}
	f->phase = PHASE_RUN;
	f->waiting = f->io->pending = true;
	f->io->f = f;
	f->io->iov = (struct iovec){ f->buf, FDC_BUF };
	f->io->r = (struct drive_req){ .op = op, .at = lba(f, g), .n = 1, .iov = &f->io->iov, .niov = 1,
				       .done = drive_done };
	drive_submit(f->drive[n], &f->io->r);
}

void fdc_cancel(struct fdc *f)
{
	if (f->io && f->io->pending)
		drive_cancel(&f->io->r);
	if (f->io)
		f->io->pending = false;
	f->waiting = false;
	f->job = JOB_NONE;
}

void fdc_resume(struct fdc *f)
{
	if (f->io->pending)
		drive_cancel(&f->io->r);
	f->io->pending = false;
	if (f->waiting)
		submit(f, f->job == JOB_WRITE || f->job == JOB_FORMAT ? DRIVE_WRITE : DRIVE_READ);
}

bool fdc_io_new(struct fdc *f)
{
	return (f->io = calloc(1, sizeof(*f->io)));
}

/* ---- where ---- */

/* Can anything be read under the head: a disk, formatted at this rate, and a track? */
static bool readable(const struct fdc *f, const struct fdc_format *g)
{
	unsigned n = fdc_unit(f), rate = f->dsr & 3, track = f->track[n];
	bool double_step = g && g->tracks == 40 && f->kind[n] != 1;

	return g && f->cmd[0] & CMD_MFM && (rate == g->rate || (rate == 1 && g->rate == 2)) && f->head < g->heads &&
	       !(double_step && track & 1) && track >> double_step < g->tracks;
}

/* The address under the head must be the one that is looked for. */
static bool find_sector(struct fdc *f)
{
	unsigned n = fdc_unit(f);
	const struct fdc_format *g = fdc_format(f, n);
	bool double_step = g && g->tracks == 40 && f->kind[n] != 1;

	if (!readable(f, g))
		fail(f, ST1_NO_MARK, 0);
	else if (f->cyl != f->track[n] >> double_step)
		fail(f, ST1_NO_DATA, ST2_WRONG_CYLINDER);
	else if (f->side != f->head || f->cmd[5] != 2 || !f->sector || f->sector > g->sectors)
		fail(f, ST1_NO_DATA, 0);
	else
		return true;
	return false;
}

/* Table 5-5. False: that was the last one. */
static bool step_address(struct fdc *f)
{
	if (f->sector++ != f->cmd[6])
		return true;
	f->sector = 1;
	if (f->cmd[0] & CMD_BOTH_SIDES && !f->head) {
		f->side = 1;
		return true;
	}
	f->cyl++;
	if (f->cmd[0] & CMD_BOTH_SIDES)
		f->side = 0;
	return false;
}

/* ---- the host's side ---- */

static bool by_dma(const struct fdc *f)
{
	return !(f->specify[1] & SPECIFY_NO_DMA);
}

/* True: all n bytes, or the last ones wanted, have moved. Without terminal count: the host was too slow. */
static bool move_dma(struct fdc *f, uint32_t n, bool in)
{
	bool tc = false;
	int got = machine_dma(f->dev.m, f->dma, f->buf, (int)n, in, &tc);

	f->tc = tc;
	if (got == (int)n || tc)
		return true;
	fail(f, ST1_OVERRUN, 0);
	return false;
}

static uint32_t piece(const struct fdc *f)
{
	return f->job == JOB_FORMAT ? 4 : FDC_BUF;
}

static void write_sector(struct fdc *f)
{
	if (f->job == JOB_FORMAT) {
		const struct fdc_format *g = fdc_format(f, fdc_unit(f));
		f->cyl = f->buf[0];
		f->side = f->buf[1];
		f->sector = f->buf[2];
		if (f->buf[3] != 2 || !g || !f->sector || f->sector > g->sectors) {
			log_guest("fdc: formats what the image cannot hold");
			fail(f, ST1_NO_DATA, 0);
			return;
		}
		memset(f->buf, f->cmd[5], FDC_BUF);
	}
	submit(f, DRIVE_WRITE);
}

/* Get what is to be written; the processor brings it by and by. */
static void fetch(struct fdc *f)
{
	memset(f->buf, 0, FDC_BUF);
	f->at = 0;
	if (by_dma(f)) {
		if (move_dma(f, piece(f), false))
			write_sector(f);
		return;
	}
	f->phase = PHASE_OUT;
	f->interrupt = true;
}

static void start_sector(struct fdc *f)
{
	if (f->job != JOB_FORMAT && !find_sector(f))
		return;
	if (f->job == JOB_WRITE || f->job == JOB_FORMAT)
		fetch(f);
	else
		submit(f, DRIVE_READ);
}

/* ---- from sector to sector ---- */

static void advance(struct fdc *f)
{
	bool more = f->job == JOB_FORMAT || step_address(f);
	bool counted = f->job == JOB_FORMAT || (f->job == JOB_VERIFY && f->cmd[1] & 0x80);

	if (f->tc || f->st2 || (counted && !--f->left) || (f->job == JOB_VERIFY && !more))
		finish(f);
	else if (!more)
		fail(f, ST1_END, 0);
	else {
		if (f->job != JOB_FORMAT)
			f->head = f->side;
		start_sector(f);
	}
}

/* The drive has done a sector. */
static void next_sector(struct fdc *f)
{
	if (f->job != JOB_READ) {
		if (f->job == JOB_FORMAT)
			f->tc = false;		/* the count of sectors ends it */
		advance(f);
	} else if (by_dma(f)) {
		if (move_dma(f, FDC_BUF, true))
			advance(f);
	} else {
		f->at = 0;
		f->phase = PHASE_IN;
		f->interrupt = true;
	}
}

uint8_t fdc_data_in(struct fdc *f)
{
	uint8_t v = f->buf[f->at++];

	if (f->at == FDC_BUF) {
		f->interrupt = false;
		advance(f);
	}
	return v;
}

void fdc_data_out(struct fdc *f, uint8_t v)
{
	f->buf[f->at++] = v;
	if (f->at == piece(f)) {
		f->interrupt = false;
		write_sector(f);
	}
}

/* ---- commands ---- */

/* Parameters: unit and head, C, H, R, N, last sector, gap, length. */
static void begin(struct fdc *f, enum fdc_job job)
{
	f->job = (uint8_t)job;
	f->phase = PHASE_RUN;
	f->tc = false;
	f->st1 = f->st2 = 0;
	f->head = f->cmd[1] >> 2 & 1;
	f->cyl = f->cmd[2];
	f->side = f->cmd[3];
	f->sector = f->cmd[4];
	f->last_eot = f->cmd[6];
	if (f->config & CONFIG_SEEKS)
		fdc_seek(f, fdc_unit(f), f->cyl);
}

/* Images hold no deleted data: who looks for them finds other data, and stops or skips them. */
void fdc_read(struct fdc *f)
{
	bool deleted = (f->cmd[0] & 0x1f) == 0x0c;

	begin(f, JOB_READ);
	if (deleted && f->cmd[0] & CMD_SKIP) {
		fail(f, ST1_END, ST2_CONTROL_MARK);
		return;
	}
	f->st2 = deleted ? ST2_CONTROL_MARK : 0;
	start_sector(f);
}

/* Sectors as they come by after the index hole. */
void fdc_read_track(struct fdc *f)
{
	begin(f, JOB_READ);
	f->sector = 1;
	start_sector(f);
}

static bool writable(struct fdc *f)
{
	struct drive *d = fdc_drive(f, fdc_unit(f));

	if (!d || !drive_present(d) || !drive_readonly(d))
		return true;
	fail(f, ST1_PROTECTED, 0);
	return false;
}

void fdc_write(struct fdc *f)
{
	begin(f, JOB_WRITE);
	if (writable(f))
		start_sector(f);
}

void fdc_verify(struct fdc *f)
{
	begin(f, JOB_VERIFY);
	f->left = f->cmd[8];
	start_sector(f);
}

/* Parameters: unit and head, N, sectors of the track, gap, filler. */
void fdc_do_format(struct fdc *f)
{
	uint8_t n = f->cmd[2], sectors = f->cmd[3];

	f->job = JOB_FORMAT;
	f->tc = false;
	f->st1 = f->st2 = 0;
	f->head = f->cmd[1] >> 2 & 1;
	f->cyl = f->track[fdc_unit(f)];
	f->side = f->head;
	f->sector = 1;
	f->left = f->last_eot = sectors;
	if (!writable(f))
		return;
	if (n != 2 || !sectors || !readable(f, fdc_format(f, fdc_unit(f))))
		fail(f, ST1_NO_MARK, 0);
	else
		start_sector(f);
}

void fdc_read_id(struct fdc *f)
{
	unsigned n = fdc_unit(f);
	const struct fdc_format *g = fdc_format(f, n);

	f->st1 = f->st2 = 0;
	f->head = f->side = f->cmd[1] >> 2 & 1;
	f->sector = 0;
	f->cyl = f->track[n];
	if (!readable(f, g)) {
		fail(f, ST1_NO_MARK, 0);
		return;
	}
	if (g->tracks == 40 && f->kind[n] != 1)
		f->cyl /= 2;
	f->next_id[n] = (uint8_t)(f->next_id[n] % g->sectors + 1);
	f->sector = f->next_id[n];
	finish(f);
}
