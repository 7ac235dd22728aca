/*
 * Drives: what a storage device reads and writes, asynchronously.
 *
 * A drive is a named place for an image (block.h): a disk has one for good, an optical
 * or floppy drive has one or none. A device refers to it by a property
 * PROP_REF("drive", ...) and hands it requests; worker threads do them, or the vCPU that
 * asked, behind its access to the device; each request's done() runs later under the machine lock, on any thread.
 *
 *	struct my_request { struct drive_req r; struct sg sg; ... };
 *	q->r = (struct drive_req){ .op = DRIVE_READ, .at = lba, .n = sectors,
 *				   .iov = q->sg.iov, .niov = q->sg.n, .done = my_done };
 *	drive_submit(d, &q->r);
 *	...
 *	static void my_done(struct drive_req *r) { r->ok ? ... : ...; free or reuse r }
 *
 * Rules
 *  - Everything here wants the machine lock. No image is read or written under it.
 *  - done() is never called from inside drive_submit(). It may submit again.
 *  - A request, its iovec and its memory stay as they are until done() or drive_cancel().
 *    Guest RAM never goes away while the machine exists; hw/core/sg.h makes iovecs of it.
 *  - Requests that overlap, one of them changing the disk, take effect in the order of
 *    submission. All others may be done in any order, several at a time.
 *  - A flush makes permanent what was *done* when it was submitted, nothing more.
 *  - A request outside the disk, or one that changes a read-only one, fails.
 *  - Before a machine is saved, reset or taken apart: drive_drain(). Afterwards nothing
 *    is under way but what waits for `cont` after an error (drive_stopped()).
 *  - A device cancels what it has under way when it is reset by the guest.
 *
 * What happens when the host fails is the drive's policy (rerror=, werror=). With
 * `stop` the machine stops, the request waits, and is tried again when it goes on: the
 * device sees nothing of it. Only what is to be reported reaches done() with ok false.
 */
#ifndef HW_BACKEND_DRIVE_H
#define HW_BACKEND_DRIVE_H

#include <sys/uio.h>

#include "hw/backend/block.h"

struct machine;
struct drive;

/* ---- requests ---- */

enum drive_op { DRIVE_READ, DRIVE_WRITE, DRIVE_FLUSH, DRIVE_DISCARD, DRIVE_ZERO, DRIVE_N_OPS };

struct drive_req {
	/* the submitter's */
	enum drive_op op;
	uint64_t at;			/* first sector of 512 bytes */
	uint32_t n;			/* sectors; not for FLUSH */
	const struct iovec *iov;	/* n * SECTOR bytes: READ, WRITE; any alignment */
	int niov;
	bool unmap;			/* ZERO: the space may be given back to the host */
	void (*done)(struct drive_req *r);
	/* for done() */
	bool ok;
	int error;			/* errno of the host, 0 if there is none */
	/* the drive's own */
	struct drive *drive;
	struct drive_req *next;		/* in the list that `state` tells */
	struct drive_req *next_active;
	enum drive_req_state {
		DRIVE_IDLE, DRIVE_WAITING, DRIVE_OWED, DRIVE_QUEUED, DRIVE_RUNNING, DRIVE_DONE, DRIVE_STOPPED,
	} state;
	bool is_active;			/* the workers may have it: state is theirs to change */
	bool invalid;			/* it was no fault of the host */
	uint64_t since;			/* host ns: submitted */
	struct err err;
};

void drive_submit(struct drive *d, struct drive_req *r);
/* Forget r: done() is not called any more. Waits for the worker that has it, at most for one transfer. */
void drive_cancel(struct drive_req *r);
/* Do everything that was submitted, in this thread's time, and call its done(). NULL: all drives. */
void drive_drain(struct machine *m, struct drive *d);
/* Is anything submitted and not done? Does a request wait for `cont` after an error? */
bool drive_busy(const struct drive *d);
bool drive_stopped(const struct drive *d);
/* Drained, may the machine be saved? Not while a request waits for `cont`: it stands in no device's state. */
bool drive_can_save(struct machine *m, struct err *e);
/* The machine goes on: try again what failed. All drives. */
void drive_retry(struct machine *m);
/* One transfer, waited for: for boards and start-up code only. */
bool drive_transfer(struct drive *d, enum drive_op op, uint64_t at, void *buf, uint32_t n, struct err *e);

/* ---- what it is ---- */

bool drive_present(const struct drive *d);		/* there is a medium */
uint64_t drive_sectors(const struct drive *d);		/* 0 without a medium */
bool drive_readonly(const struct drive *d);		/* or no medium */
bool drive_is_cdrom(const struct drive *d);		/* media=cdrom was given */
const char *drive_id(const struct drive *d);
const char *drive_serial(const struct drive *d);	/* serial=, or NULL */

/* ---- the device in front ---- */

struct drive_user {
	const char *name;			/* of the device, for messages */
	void (*changed)(void *opaque);		/* another medium, or none; may be NULL */
	void (*resized)(void *opaque);		/* drive_sectors() is another; may be NULL */
	bool (*locked)(void *opaque);		/* the guest keeps the door closed; may be NULL */
	bool (*tray_open)(void *opaque);	/* may be NULL */
	void (*set_tray)(void *opaque, bool open);	/* may be NULL: there is none */
	void (*ask_eject)(void *opaque);	/* somebody pressed the button of a locked door; may be NULL */
	bool removable;
};
/* One device has a drive. False with err: another one has it. u stays the caller's. */
bool drive_attach(struct drive *d, const struct drive_user *u, void *opaque, struct err *e);
void drive_detach(struct drive *d);		/* cancels nothing: do that before */

/* ---- what people do to it ---- */

/* AUTO: report failed reads, stop when the host's disk is full. ENOSPC: stop then, else report. */
enum drive_policy { DRIVE_AUTO, DRIVE_REPORT, DRIVE_IGNORE, DRIVE_STOP, DRIVE_ENOSPC };

/* Limits per second, 0: none. [0] both directions, [1] reads, [2] writes. */
struct drive_limits {
	double bps[3], iops[3];
	double bps_max[3], iops_max[3];		/* for a burst */
	double bps_length[3], iops_length[3];	/* ... of so many seconds, 0: 1 */
	uint64_t iops_size;			/* bytes that count as one operation, 0: any number */
};

/* Their words, NULL-terminated; reads take no enospc. */
extern const char *const drive_policy_words[], *const drive_read_policy_words[];

/* Properties by which a device overrules its drive; NULL: as the drive says. */
struct drive_wishes {
	char *rerror, *werror;
};
bool drive_wish(struct drive *d, const struct drive_wishes *w, struct err *e);
#define PROP_DRIVE_WISHES(t, f) \
	PROP_TEXT(t, f.rerror, "rerror", NULL, "when the host fails to read: report, ignore, stop; default: as the -drive says"), \
	PROP_TEXT(t, f.werror, "werror", NULL, "when the host fails to write: report, ignore, stop, enospc")

struct drive_options {
	const char *id;
	struct block_options image;		/* file NULL: no medium, unless a driver needs none */
	bool cdrom;
	const char *serial;
	enum drive_policy rerror, werror;
	struct drive_limits limits;
};

/* Open the image; the drive becomes the back end "drive" of that id. NULL with err. */
struct drive *drive_new(struct machine *m, const struct drive_options *o, struct err *e);
/* By id, or NULL. */
struct drive *drive_find(struct machine *m, const char *id);
/* All of them, in order of creation: NULL gives the first. */
struct drive *drive_next(struct machine *m, struct drive *after);
/* Drained, closed, forgotten. Its device must have let go of it. */
void drive_free(struct drive *d);
/* After all devices: drives and workers. */
void drive_free_all(struct machine *m);

/* Another medium (image->file NULL: none). Fails if the guest has locked it, unless forced. */
bool drive_change(struct drive *d, const struct block_options *image, bool force, struct err *e);
/* Open or close the tray, with what is in it. Opening fails if the guest has locked it, unless forced. */
bool drive_set_tray(struct drive *d, bool open, bool force, struct err *e);
/* The tray has moved, by whomever: tell controlling programs. */
void drive_tray_moved(struct drive *d, bool open);
bool drive_resize(struct drive *d, uint64_t bytes, struct err *e);
/* The image itself (or NULL), for monitors and snapshots: drain first, nothing may be submitted meanwhile. */
struct block *drive_image(struct drive *d);
/* The device in front, or NULL; its door. */
const struct drive_user *drive_user(const struct drive *d);
bool drive_locked(const struct drive *d);
bool drive_tray_open(const struct drive *d);
const struct drive_limits *drive_limits(const struct drive *d);
bool drive_set_limits(struct drive *d, const struct drive_limits *l, struct err *e);
/* The message of the last failure, "" if there was none. */
const char *drive_last_error(const struct drive *d);

/*
 * The machine goes to another program, which needs its images: those that are written are let go of (block_let_go()), all
 * but those that a job works on, which the other one will not get. Taken back before it goes on here. False: some may be, some not.
 */
bool drive_let_go(struct machine *m, struct err *e);
bool drive_take_back(struct machine *m, struct err *e);
/* It is still to come from another one: images that are opened from now on are let go of. */
bool drive_begin_elsewhere(struct machine *m, struct err *e);

/*
 * Another image in the place of this one (or the same, changed below): the guest sees no
 * difference. Drain first; the one before is the caller's from now on.
 */
struct block *drive_swap_image(struct drive *d, struct block *b);
/* A drive that no device uses gives its image away and goes. */
struct block *drive_take_apart(struct drive *d);

/*
 * Somebody works on the images while the guest goes on (block_job.h): told of everything that is
 * about to change the disk and of what has, by workers, without the machine lock. before() may
 * wait, but for nothing that wants a lock. Drain first.
 */
struct drive_watch {
	void (*before)(void *opaque, uint64_t at, uint32_t n);
	void (*after)(void *opaque, uint64_t at, uint32_t n, bool changed);
	void *opaque;
	bool reads;			/* of reads, too */
};
void drive_set_watch(struct drive *d, const struct drive_watch *w);	/* NULL: nobody */
/* Nobody works on its images? */
bool drive_may_change(const struct drive *d, struct err *e);
/* ... and they have not been let go of, so that what is written there, or known of them, is not another program's matter? */
bool drive_may_work_on(const struct drive *d, struct err *e);

struct drive_stats {
	struct drive_op_stats {
		uint64_t ops, bytes, failed, invalid;
		uint64_t ns;			/* time they took, added up */
	} op[DRIVE_N_OPS];
	uint64_t wr_highest;			/* byte behind the last one written */
	uint64_t last_access;			/* 0: never */
};
const struct drive_stats *drive_stats(const struct drive *d);
/* Host ns since the last request was done; of a drive that had one. */
uint64_t drive_idle_ns(const struct drive *d);

/*
 * A request failed (BLOCK_IO_ERROR). Called once for each, before the machine stops
 * if `action` says so. Set by the monitor; machine lock.
 */
void drive_on_error(struct machine *m, void (*fn)(void *opaque, struct drive *d, const struct drive_req *r,
						  enum drive_policy action), void *opaque);

/* ---- for tests ---- */

/* Workers take nothing up until they are released. */
void drive_hold(struct machine *m, bool hold);

#endif
