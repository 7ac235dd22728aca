/*
 * The floppy controller's commands that move no data.
 * Source: Intel 82077AA data sheet, 5 (command set).
 */
#include "hw/disk/fdc_priv.h"

#include <string.h>

#define VERSION 0x90

/* ---- heads ---- */

/* The drive steps: with a disk in it, that ends the disk change signal. */
void fdc_seek(struct fdc *f, unsigned n, uint8_t track)
{
	struct drive *d = fdc_drive(f, n);

	if (d && f->track[n] != track && drive_present(d))
		f->changed[n] = false;
	f->track[n] = track;
}

static void arrived(struct fdc *f, unsigned n, uint8_t st0)
{
	f->seek_st0[n] = (uint8_t)(st0 | n);
	f->seeks |= (uint8_t)(1u << n);
	f->interrupt = true;
}

/* Without a drive nobody says that track 0 is reached. */
static void recalibrate(struct fdc *f)
{
	unsigned n = fdc_unit(f);

	fdc_seek(f, n, 0);
	arrived(f, n, fdc_drive(f, n) ? ST0_SEEK : ST0_SEEK | ST0_EQUIPMENT | ST0_ABNORMAL);
}

static void seek(struct fdc *f)
{
	fdc_seek(f, fdc_unit(f), f->cmd[2]);
	arrived(f, fdc_unit(f), (uint8_t)(ST0_SEEK | (f->cmd[1] & ST0_HEAD)));
}

static void relative_seek(struct fdc *f)
{
	unsigned n = fdc_unit(f);
	int to = f->track[n] + (f->cmd[0] & 0x40 ? f->cmd[2] : -f->cmd[2]);

	fdc_seek(f, n, (uint8_t)(to < 0 ? 0 : to > 255 ? 255 : to));
	arrived(f, n, (uint8_t)(ST0_SEEK | (f->cmd[1] & ST0_HEAD)));
}

static void sense_interrupt(struct fdc *f)
{
	unsigned n = 0;

	f->interrupt = false;
	if (f->resets) {
		n = 4u - f->resets--;
		f->result[0] = (uint8_t)(ST0_READY_CHANGED | n);
	} else if (f->seeks) {
		n = (unsigned)__builtin_ctz(f->seeks);
		f->seeks &= (uint8_t)(f->seeks - 1);
		f->result[0] = f->seek_st0[n];
		f->interrupt = f->seeks;
	} else {
		f->result[0] = ST0_INVALID;
		fdc_result(f, 1);
		return;
	}
	f->result[1] = f->track[n];
	fdc_result(f, 2);
}

static void sense_drive(struct fdc *f)
{
	unsigned n = fdc_unit(f);
	struct drive *d = fdc_drive(f, n);
	bool protected = d && drive_present(d) && drive_readonly(d);

	f->result[0] = (uint8_t)(ST3_FIXED | (f->cmd[1] & 7) | (d && !f->track[n] ? ST3_TRACK0 : 0) |
				 (protected ? ST3_PROTECTED : 0));
	fdc_result(f, 1);
}

/* ---- settings ---- */

static void specify(struct fdc *f)
{
	memcpy(f->specify, f->cmd + 1, 2);
}

static void configure(struct fdc *f)
{
	f->config = f->cmd[2] & 0x7f;
	f->pretrack = f->cmd[3];
}

/* OW: the drives' bits are to change as well. */
static void perpendicular(struct fdc *f)
{
	f->perpendicular = f->cmd[1] & 0x80 ? f->cmd[1] & 0x3f : (f->perpendicular & 0x3c) | (f->cmd[1] & 3);
}

static void lock(struct fdc *f)
{
	f->locked = f->cmd[0] & 0x80;
	f->result[0] = f->locked ? 0x10 : 0;
	fdc_result(f, 1);
}

static void dump_registers(struct fdc *f)
{
	uint8_t *r = f->result;

	memcpy(r, f->track, 4);
	memcpy(r + 4, f->specify, 2);
	r[6] = f->last_eot;
	r[7] = (uint8_t)((f->locked ? 0x80 : 0) | f->perpendicular);
	r[8] = f->config;
	r[9] = f->pretrack;
	fdc_result(f, 10);
}

static void version(struct fdc *f)
{
	f->result[0] = VERSION;
	fdc_result(f, 1);
}

static void invalid(struct fdc *f)
{
	log_guest("fdc: no command %02x", f->cmd[0]);
	f->result[0] = ST0_INVALID;
	fdc_result(f, 1);
}

/* ---- the table ---- */

static const struct command {
	uint8_t mask, op, n;		/* n: parameters */
	void (*run)(struct fdc *f);
} commands[] = {
	{ 0x1f, 0x06, 8, fdc_read },		/* READ DATA, READ DELETED DATA */
	{ 0x1f, 0x0c, 8, fdc_read },
	{ 0x3f, 0x05, 8, fdc_write },		/* WRITE DATA, WRITE DELETED DATA */
	{ 0x3f, 0x09, 8, fdc_write },
	{ 0x9f, 0x02, 8, fdc_read_track },
	{ 0x1f, 0x16, 8, fdc_verify },
	{ 0xbf, 0x0d, 5, fdc_do_format },
	{ 0xbf, 0x0a, 1, fdc_read_id },
	{ 0xff, 0x07, 1, recalibrate },
	{ 0xff, 0x08, 0, sense_interrupt },
	{ 0xff, 0x03, 2, specify },
	{ 0xff, 0x04, 1, sense_drive },
	{ 0xff, 0x0f, 2, seek },
	{ 0xbf, 0x8f, 2, relative_seek },
	{ 0xff, 0x13, 3, configure },
	{ 0xff, 0x12, 1, perpendicular },
	{ 0x7f, 0x14, 0, lock },
	{ 0xff, 0x0e, 0, dump_registers },
	{ 0xff, 0x10, 0, version },
	{ 0x00, 0x00, 0, invalid },
};

void fdc_command_byte(struct fdc *f, uint8_t v)
{
	const struct command *c = commands;

	f->cmd[f->n_cmd++] = v;
	while ((f->cmd[0] & c->mask) != c->op)
		c++;
	if (f->n_cmd <= c->n)
		return;
	f->n_cmd = 0;
	c->run(f);
}
