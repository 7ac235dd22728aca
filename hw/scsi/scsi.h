/*
 * SCSI units: a disk or an optical drive behind any transport (USB mass storage,
 * virtio-scsi). A transport hands over commands and memory; the unit interprets.
 *
 *	r->unit = u; r->done = my_done; memcpy(r->job.cdb, cdb, 16);
 *	scsi_begin(r);			now r->job.dir and r->job.len say what will move
 *	scsi_move(r, iov, niov, n);	the next n bytes: all of them or a piece, in blocks of the
 *	...				unit unless they are the last; n is 0 for SCSI_NONE
 *	my_done(r):			that is done; until scsi_finished(r), more moves follow,
 *					then r->job.status and r->job.sense hold the result
 *
 * Each scsi_move() ends in one done(), perhaps before it returns. Memory stays as it is
 * until then. A transport may end a command early by scsi_cancel(). Between moves
 * everything about a command is in r->job, which holds no pointer: it can be saved.
 * A unit carries out any number of commands at a time.
 *
 * Everything here wants the machine lock.
 *
 * Source: SPC-4, SBC-3, MMC-6 (T10).
 */
#ifndef HW_SCSI_SCSI_H
#define HW_SCSI_SCSI_H

#include "hw/backend/drive.h"
#include "hw/core/dev.h"

enum scsi_dir { SCSI_NONE, SCSI_IN /* to the guest */, SCSI_OUT };
enum { SCSI_GOOD = 0x00, SCSI_CHECK = 0x02 };
#define SCSI_SENSE	18u
#define SCSI_BUF	4096u

/* A command as far as it got. */
struct scsi_job {
	uint8_t cdb[16];
	uint8_t dir;			/* enum scsi_dir */
	uint8_t kind;			/* scsi.c's */
	uint8_t finished;
	uint8_t status;
	uint64_t len, at;		/* bytes that move; that moved */
	uint64_t lba;			/* sectors of 512 bytes: what is next */
	uint64_t left;			/* and how many of them */
	uint32_t n_buf;			/* bytes in buf */
	uint8_t n_sense, sense[SCSI_SENSE];
	uint8_t buf[SCSI_BUF];		/* answers and parameters */
};

struct scsi_req {
	struct scsi_unit *unit;
	void (*done)(struct scsi_req *r);
	void *opaque;			/* the transport's */
	struct scsi_job job;
	/* scsi.c's */
	struct drive_req drive;
	struct iovec iov;
	uint64_t moving;
	bool pending;			/* a move is under way */
};

struct scsi_unit {
	struct dev *dev;
	struct drive *drive;
	bool cd;
	bool autosense;			/* the transport delivers sense data with the status */
	const char *vendor, *product, *version;	/* 8, 16, 4 characters at most */
	const char *serial;		/* may be NULL */
	uint64_t wwn;			/* 0: none */
	void (*changed)(struct scsi_unit *u, uint16_t asc);	/* medium or size; may be NULL */

	/* saved (SCSI_UNIT_STATE) */
	uint8_t attention;		/* what is reported first: 0, or ATTENTION_ */
	uint8_t locked, tray_open, media_event, write_cache;
	uint8_t n_sense, sense[SCSI_SENSE];	/* of the last command, for REQUEST SENSE */
	struct drive_user user;
};
#define SCSI_UNIT_STATE(t, f) \
	STATE(t, f.attention), STATE(t, f.locked), STATE(t, f.tray_open), STATE(t, f.media_event), \
	STATE(t, f.write_cache), STATE(t, f.n_sense), STATE(t, f.sense)

/* Takes the drive; dev, drive and strings are set. An optical drive if cd says so or the drive does. */
bool scsi_unit_init(struct scsi_unit *u, struct err *e);
void scsi_unit_fini(struct scsi_unit *u);
void scsi_unit_reset(struct scsi_unit *u);
/* By the transport: the guest is told, the tray stays as it is. Commands are the transport's to end. */
void scsi_unit_bus_reset(struct scsi_unit *u);
bool scsi_unit_loaded(const struct scsi_unit *u, struct err *e);

void scsi_begin(struct scsi_req *r);
void scsi_move(struct scsi_req *r, const struct iovec *iov, int niov, uint64_t n);
/* done() is not called any more. */
void scsi_cancel(struct scsi_req *r);
static inline bool scsi_finished(const struct scsi_req *r) { return r->job.finished; }
/* After loading a job; false: it is impossible. */
bool scsi_job_valid(const struct scsi_unit *u, const struct scsi_job *j);
/* Of the last command that failed, if the transport does not deliver sense data; or 0. */
static inline uint8_t scsi_sense_key(const struct scsi_unit *u) { return u->n_sense ? u->sense[2] & 15 : 0; }
/* Bytes of a block. */
static inline uint32_t scsi_block(const struct scsi_unit *u) { return u->cd ? 2048 : 512; }

#endif
