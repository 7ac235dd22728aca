/* The floppy controller's parts: fdc.c (registers, phases, life), fdc_cmd.c (commands), fdc_data.c (data). */
#ifndef HW_DISK_FDC_PRIV_H
#define HW_DISK_FDC_PRIV_H

#include "hw/backend/drive.h"
#include "hw/disk/fdc.h"

#define FDC_DRIVES	2
#define FDC_BUF		512u

enum { DOR_DRIVE = 0x03, DOR_RUN = 0x04, DOR_GATE = 0x08, DOR_MOTOR0 = 0x10 };
enum { ST0_HEAD = 0x04, ST0_EQUIPMENT = 0x10, ST0_SEEK = 0x20, ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80,
       ST0_READY_CHANGED = 0xc0 };
enum { ST1_NO_MARK = 0x01, ST1_PROTECTED = 0x02, ST1_NO_DATA = 0x04, ST1_OVERRUN = 0x10, ST1_DATA_ERROR = 0x20,
       ST1_END = 0x80 };
enum { ST2_WRONG_CYLINDER = 0x10, ST2_DATA_ERROR = 0x20, ST2_CONTROL_MARK = 0x40 };
enum { ST3_TRACK0 = 0x10, ST3_PROTECTED = 0x40, ST3_FIXED = 0x28 };
enum { CONFIG_SEEKS = 0x40, CONFIG_NO_POLL = 0x10, CONFIG_DEFAULT = 0x20 };
enum { SPECIFY_NO_DMA = 0x01 };
/* Of the first command byte */
enum { CMD_BOTH_SIDES = 0x80, CMD_MFM = 0x40, CMD_SKIP = 0x20 };

enum fdc_phase {
	PHASE_COMMAND,
	PHASE_RUN,			/* the drive or the DMA controller is at work */
	PHASE_IN, PHASE_OUT,		/* the processor moves the sector's bytes */
	PHASE_RESULT,
	PHASE_LAST = PHASE_RESULT
};
enum fdc_job { JOB_NONE, JOB_READ, JOB_WRITE, JOB_VERIFY, JOB_FORMAT };

struct fdc_format {
	uint16_t kb;
	uint8_t sectors, tracks, heads;
	uint8_t rate;			/* 0 500, 1 300, 2 250 kbit/s, 3 1 Mbit/s */
	uint8_t kind;			/* of the drive it belongs in, as in CMOS memory */
};

struct fdc_io;

struct fdc {
	struct dev dev;
	uint16_t iobase;		/* property */
	uint8_t dma;			/* property */
	struct irq irq;			/* property */
	struct drive *drive[FDC_DRIVES];	/* properties */
	bool taken[FDC_DRIVES];
	struct port_range *ports[2];
	struct fdc_io *io;		/* the request to the drive */

	uint8_t dor, tdr, dsr;		/* dsr & 3: the data rate */
	uint8_t phase;
	uint8_t cmd[9], n_cmd;		/* bytes that came */
	uint8_t result[10], n_result, at_result;
	bool interrupt;
	uint8_t resets;			/* drives yet to be told of after a reset */
	uint8_t seeks;			/* drives that have arrived */
	uint8_t seek_st0[4], track[4];
	uint8_t changed[FDC_DRIVES];	/* disk change line */
	uint8_t next_id[FDC_DRIVES];	/* the sector that comes by */
	uint8_t kind[FDC_DRIVES];
	uint8_t specify[2], config, pretrack, perpendicular;
	bool locked;
	uint8_t last_eot;

	/* a command with data */
	uint8_t job;
	bool waiting;			/* for the drive, or for data to give it */
	bool tc;			/* the last byte has moved */
	uint8_t head, cyl, side, sector;	/* where the head is; the address looked for */
	uint8_t left;			/* sectors, of verify and format */
	uint8_t st1, st2;
	uint16_t at;			/* in buf, of PHASE_IN and PHASE_OUT */
	uint8_t buf[FDC_BUF];
};

/* ---- fdc.c ---- */
const struct fdc_format *fdc_format(const struct fdc *f, unsigned n);	/* NULL: no disk, or none of ours */
void fdc_result(struct fdc *f, unsigned n);	/* n bytes of f->result are to be read */
static inline unsigned fdc_unit(const struct fdc *f) { return f->cmd[1] & 3; }
static inline struct drive *fdc_drive(const struct fdc *f, unsigned n)
{
	return n < FDC_DRIVES ? f->drive[n] : NULL;
}

/* ---- fdc_cmd.c ---- */
/* Another byte of a command; runs it when it is complete. */
void fdc_command_byte(struct fdc *f, uint8_t v);
void fdc_seek(struct fdc *f, unsigned n, uint8_t track);

/* ---- fdc_data.c ---- */
void fdc_read(struct fdc *f);
void fdc_read_track(struct fdc *f);
void fdc_write(struct fdc *f);
void fdc_verify(struct fdc *f);
void fdc_do_format(struct fdc *f);
void fdc_read_id(struct fdc *f);
/* A byte of data by the processor, without DMA. */
uint8_t fdc_data_in(struct fdc *f);
void fdc_data_out(struct fdc *f, uint8_t v);
void fdc_cancel(struct fdc *f);
/* Ask the drive again for what was asked when the state was saved. */
void fdc_resume(struct fdc *f);
bool fdc_io_new(struct fdc *f);

#endif
