/*
 * 82077AA floppy disk controller, as in an AT: two drives, DMA channel 2, interrupt 6.
 *
 *	3F2 DOR  drive, reset, DMA and interrupt gate, motors	3F5  data: commands, results
 *	3F4 MSR  status (read), DSR: reset, data rate (write)	3F7  DIR disk change (read), data rate
 *
 * A command's bytes go to the data register, then it runs, then its result is read
 * there. Any image of a floppy's size is a disk of the format that has this size; a
 * smaller one is the beginning of a 1.44 or 2.88 MB disk. After a reset of the machine
 * it runs, as firmware would leave it: SeaBIOS does nothing about it when the machine
 * wakes from S3, and drivers then only pulse DSR.
 *
 * Not modelled: rotation and stepping times (seeks and motors are ready at once), what
 * a drive's mechanics cannot read, waiting for ever where there is no disk (no address
 * mark is found), deleted data, sectors of other sizes than 512 bytes, the scan
 * commands, FM, the FIFO's threshold, registers of PS/2 mode.
 * Source: Intel 82077AA data sheet, 1994: 2 (registers), 4 (phases), 5 (commands),
 * 7 (reset).
 */
#include "hw/disk/fdc_priv.h"

#include <stdlib.h>
#include <string.h>

enum { MSR_BUSY = 0x10, MSR_NO_DMA = 0x20, MSR_IN = 0x40, MSR_READY = 0x80 };
enum { DSR_RESET = 0x80 };
enum { DIR_CHANGED = 0x80 };

/* ---- disks ---- */

static const struct fdc_format formats[] = {
	{  160,  8, 40, 1, 2, 1 }, {  180,  9, 40, 1, 2, 1 }, {  320,  8, 40, 2, 2, 1 }, {  360,  9, 40, 2, 2, 1 },
	{  720,  9, 80, 2, 2, 4 }, { 1200, 15, 80, 2, 0, 2 }, { 1440, 18, 80, 2, 0, 4 }, { 1680, 21, 80, 2, 0, 4 },
	{ 2880, 36, 80, 2, 3, 5 },
};
#define EMPTY_KIND 4		/* a drive without a disk takes 1.44 MB */

static const struct fdc_format *format_of(uint64_t sectors, bool exact)
{
	const struct fdc_format *best = NULL;

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		const struct fdc_format *g = &formats[i];
		if (sectors == 2ull * g->kb)
			return g;
		if (!exact && !best && g->kb >= 1440 && sectors < 2ull * g->kb)
			best = g;
	}
	return best;
}

const struct fdc_format *fdc_format(const struct fdc *f, unsigned n)
{
	struct drive *d = fdc_drive(f, n);

	return d && drive_present(d) ? format_of(drive_sectors(d), false) : NULL;
}

bool fdc_is_floppy_size(uint64_t bytes)
{
	return bytes && !(bytes % SECTOR) && format_of(bytes / SECTOR, true);
}

unsigned fdc_drive_kind(const struct dev *fdc, int n)
{
	const struct fdc *f = (const struct fdc *)fdc;

	return f->drive[n] ? f->kind[n] : 0;
}

/* ---- phases ---- */

void fdc_result(struct fdc *f, unsigned n)
{
	f->n_result = (uint8_t)n;
	f->at_result = 0;
	f->phase = PHASE_RESULT;
}

/* By DOR or DSR; LOCK keeps what CONFIGURE has set. */
static void reset_controller(struct fdc *f)
{
	fdc_cancel(f);
	f->phase = PHASE_COMMAND;
	f->n_cmd = f->n_result = f->at_result = 0;
	f->seeks = 0;
	f->interrupt = false;
	f->resets = 0;
	memset(f->track, 0, sizeof(f->track));
	f->perpendicular &= f->locked ? 0xff : 0x3c;
	if (!f->locked) {
		f->config = CONFIG_DEFAULT;
		f->pretrack = 0;
	}
}

/* Out of reset: the drives are looked at. */
static void start_controller(struct fdc *f)
{
	if (f->config & CONFIG_NO_POLL)
		return;
	f->resets = 4;
	f->interrupt = true;
}

/* ---- registers ---- */

static void fdc_update(void *dev)
{
	struct fdc *f = dev;

	irq_set(f->irq, f->interrupt && f->dor & DOR_GATE);
}

static void dor_write(void *dev, uint32_t v, uint32_t old)
{
	struct fdc *f = dev;

	if (!(v & DOR_RUN))
		reset_controller(f);
	else if (!(old & DOR_RUN))
		start_controller(f);
}

static uint32_t msr_read(void *dev)
{
	struct fdc *f = dev;

	if (!(f->dor & DOR_RUN))
		return 0;
	switch (f->phase) {
	case PHASE_COMMAND: return MSR_READY | (f->n_cmd ? MSR_BUSY : 0);
	case PHASE_IN: return MSR_READY | MSR_IN | MSR_NO_DMA | MSR_BUSY;
	case PHASE_OUT: return MSR_READY | MSR_NO_DMA | MSR_BUSY;
	case PHASE_RESULT: return MSR_READY | MSR_IN | MSR_BUSY;
	default: return MSR_BUSY;
	}
}

static void dsr_write(void *dev, uint32_t v, uint32_t old)
{
	struct fdc *f = dev;

	(void)old;
	f->dsr = v & ~DSR_RESET;	/* clears itself */
	if (v & DSR_RESET && f->dor & DOR_RUN) {
		reset_controller(f);
		start_controller(f);
	}
}

static uint32_t data_read(void *dev)
{
	struct fdc *f = dev;

	if (f->phase == PHASE_IN)
		return fdc_data_in(f);
	if (f->phase != PHASE_RESULT) {
		log_guest("fdc: there is nothing to read");
		return 0;
	}
	if (!f->seeks)
		f->interrupt = false;
	uint8_t v = f->result[f->at_result++];
	if (f->at_result == f->n_result)
		f->phase = PHASE_COMMAND;
	return v;
}

static void data_write(void *dev, uint32_t v, uint32_t old)
{
	struct fdc *f = dev;

	(void)old;
	if (f->phase == PHASE_OUT)
		fdc_data_out(f, (uint8_t)v);
	else if (f->phase == PHASE_COMMAND && f->dor & DOR_RUN)
		fdc_command_byte(f, (uint8_t)v);
	else
		log_guest("fdc: takes no byte now");
}

/* The selected drive's signal, if its motor is on. */
static uint32_t dir_read(void *dev)
{
	struct fdc *f = dev;
	unsigned n = f->dor & DOR_DRIVE;

	return fdc_drive(f, n) && f->dor & DOR_MOTOR0 << n && f->changed[n] ? DIR_CHANGED : 0;
}

static void ccr_write(void *dev, uint32_t v, uint32_t old)
{
	struct fdc *f = dev;

	(void)old;
	f->dsr = (uint8_t)((f->dsr & ~3u) | (v & 3));
}

/* Port 7 stands alone: 6 is the IDE controller's. */
static uint32_t port7_read(void *dev, uint16_t off, int size)
{
	(void)off;
	return dev_reg_read(dev, 7, size);
}

static void port7_write(void *dev, uint16_t off, int size, uint32_t v)
{
	(void)off;
	dev_reg_write(dev, 7, size, v);
}

static const struct port_ops port7_ops = { port7_read, port7_write, 1, 1 };

/* ---- life ---- */

static void changed_a(void *opaque)
{
	((struct fdc *)opaque)->changed[0] = true;
}

static void changed_b(void *opaque)
{
	((struct fdc *)opaque)->changed[1] = true;
}

static const struct drive_user users[FDC_DRIVES] = {
	{ .name = "a floppy drive", .changed = changed_a, .removable = true },
	{ .name = "a floppy drive", .changed = changed_b, .removable = true },
};

static bool take_drive(struct fdc *f, int n, struct err *e)
{
	struct drive *d = f->drive[n];
	const struct fdc_format *g = fdc_format(f, (unsigned)n);

	f->kind[n] = g ? g->kind : EMPTY_KIND;
	if (!d)
		return true;
	if (drive_present(d) && !g)
		err_set(e, "drive '%s' is larger than a floppy disk (2880K); -hda takes hard disks", drive_id(d));
	else
		f->taken[n] = drive_attach(d, &users[n], f, e);
	return f->taken[n];
}

static bool fdc_init(void *dev, struct err *e)
{
	struct fdc *f = dev;

	if (f->dma > 3)
		return err_set(e, "dma=%u: expected 0 to 3", f->dma);
	if (!take_drive(f, 0, e) || !take_drive(f, 1, e))
		return false;
	if (!fdc_io_new(f))
		return err_set(e, "no memory");
	f->ports[0] = port_map(f->dev.m, f->iobase, 6, &dev_port_ops, f, "fdc");
	f->ports[1] = port_map(f->dev.m, (uint16_t)(f->iobase + 7), 1, &port7_ops, f, "fdc");
	return true;
}

static void fdc_fini(void *dev)
{
	struct fdc *f = dev;

	fdc_cancel(f);
	for (int i = 0; i < FDC_DRIVES; i++)
		if (f->taken[i])
			drive_detach(f->drive[i]);
	for (int i = 0; i < 2; i++)
		port_unmap(f->dev.m, f->ports[i]);
	free(f->io);
}

static void fdc_reset(void *dev)
{
	struct fdc *f = dev;

	f->locked = false;
	reset_controller(f);
	f->perpendicular = 0;
	memset(f->specify, 0, sizeof(f->specify));
	memset(f->changed, 1, sizeof(f->changed));
}

static bool fdc_loaded(void *dev, struct err *e)
{
	struct fdc *f = dev;
	bool in_data = f->phase == PHASE_IN || f->phase == PHASE_OUT;

	if (f->phase > PHASE_LAST || f->n_cmd >= sizeof(f->cmd) || f->n_result > sizeof(f->result) ||
	    f->at > FDC_BUF || (in_data && f->at >= (f->job == JOB_FORMAT ? 4 : FDC_BUF)) || f->resets > 4 ||
	    f->seeks > 15 || f->job > JOB_FORMAT || f->perpendicular > 0x3f || f->head > 1 ||
	    (f->phase == PHASE_RESULT && f->at_result >= f->n_result) || (in_data && !f->job) ||
	    (f->waiting && (!f->job || f->phase != PHASE_RUN || !fdc_drive(f, fdc_unit(f)))))
		return err_set(e, "an impossible state of a floppy controller");
	fdc_resume(f);
	return true;
}

#define F(f) offsetof(struct fdc, f)
static const struct reg fdc_regs[] = {
	/*off bank name    stored    reset write clears on read    on write */
	{ 2, 0,   "dor",  F(dor),   DOR_RUN | DOR_GATE, 0xff, 0,     NULL,      dor_write },
	{ 3, 0,   "tdr",  F(tdr),   0,    0x03, 0 },
	{ 4, 0,   "msr",  F(dsr),   2,    0xff, 0,     msr_read,  dsr_write },
	{ 5, 0,   "data", REG_NONE, 0,    0,    0,     data_read, data_write },
	{ 7, 0,   "dir",  REG_NONE, 0,    0,    0,     dir_read,  ccr_write },
	{ 0 }
};
static const struct state fdc_state[] = {
	STATE(fdc, phase), STATE(fdc, cmd), STATE(fdc, n_cmd), STATE(fdc, result), STATE(fdc, n_result),
	STATE(fdc, at_result), STATE(fdc, interrupt), STATE(fdc, resets), STATE(fdc, seeks), STATE(fdc, seek_st0),
	STATE(fdc, track), STATE(fdc, changed), STATE(fdc, next_id), STATE(fdc, kind), STATE(fdc, specify),
	STATE(fdc, config), STATE(fdc, pretrack), STATE(fdc, perpendicular), STATE(fdc, locked),
	STATE(fdc, last_eot), STATE(fdc, job), STATE(fdc, waiting), STATE(fdc, tc), STATE(fdc, head),
	STATE(fdc, cyl), STATE(fdc, side), STATE(fdc, sector), STATE(fdc, left), STATE(fdc, st1), STATE(fdc, st2),
	STATE(fdc, at), STATE(fdc, buf), { 0 }
};
static const struct prop fdc_props[] = {
	PROP(U16, fdc, iobase, "iobase", 0x3f0, "first of its I/O ports"),
	PROP(IRQ, fdc, irq,    "irq",    6,     "ISA interrupt line"),
	PROP(U8,  fdc, dma,    "dma",    2,     "DMA channel, 0 to 3"),
	PROP_REF("drive", fdc, drive[0], "driveA", "the first drive, a -drive's id"),
	PROP_REF("drive", fdc, drive[1], "driveB", "the second drive"),
	{ 0 }
};

const struct dev_type fdc_type = {
	.name = "isa-fdc", .bus = "isa", .help = "floppy controller with up to two drives",
	.size = sizeof(struct fdc), .version = 1, .regs = fdc_regs, .state = fdc_state, .props = fdc_props,
	.init = fdc_init, .fini = fdc_fini, .reset = fdc_reset, .update = fdc_update, .loaded = fdc_loaded,
};
