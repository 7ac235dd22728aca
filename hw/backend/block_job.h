/*
 * Jobs: work on the images of a drive by a thread of its own, while the guest goes on.
 *
 *	COMMIT	what images from `top` down to above `base` hold goes into base, and they go. If
 *		top is what the guest writes, the job follows it until it is told to complete;
 *		then base takes its place.
 *	STREAM	what images below the first one and above `base` (NULL: all) hold goes into the
 *		first one, and they go.
 *	MIRROR	the disk is copied to `target`, and the job follows the guest; completed, target
 *		takes the disk's place, cancelled then, it is a copy of that moment.
 *	BACKUP	the disk as it was when the job began is copied to `target`: before the guest
 *		changes something that is not there yet it is copied.
 *
 * Main loop's thread, machine lock. Whatever fails, the guest's disk is what it was.
 */
#ifndef HW_BACKEND_BLOCK_JOB_H
#define HW_BACKEND_BLOCK_JOB_H

#include "hw/backend/drive.h"

struct block_job;

enum block_job_kind { BLOCK_COMMIT, BLOCK_STREAM, BLOCK_MIRROR, BLOCK_BACKUP };

struct block_job_spec {
	enum block_job_kind kind;
	struct drive *drive;
	struct block *top, *base;
	struct block *target;		/* the job's, if it starts */
	bool whole;			/* MIRROR, BACKUP: with what backing images hold */
	const char *backing;		/* COMMIT, STREAM: how base is called in the image above; NULL: its file */
	uint64_t rate;			/* bytes a second, 0: any number */
	void (*ready)(void *opaque);	/* it follows the guest from now on */
	/* It is over, and about to be freed. cancelled: on request, before it was complete. */
	void (*done)(void *opaque, bool cancelled, const struct err *e);
	void *opaque;
};

/* False with err: nothing has happened. */
struct block_job *block_job_start(const struct block_job_spec *s, struct err *e);
/* End it; done() follows. force: a copy need not be of one moment. */
void block_job_cancel(struct block_job *j, bool force);
/* One that is ready: end it and do what it is for. done() follows. */
bool block_job_complete(struct block_job *j, struct err *e);
void block_job_pause(struct block_job *j, bool on);
void block_job_set_rate(struct block_job *j, uint64_t rate);
/* Bytes done, and all there are so far. */
void block_job_progress(struct block_job *j, uint64_t *done, uint64_t *all);
/* The program ends: it is over when this returns. */
void block_job_abandon(struct block_job *j);

/*
 * At once, with everything else waiting: what the first image holds goes into the next one, and the
 * first one is empty then; of a drive with snapshot=on, what it keeps in memory goes into its image.
 */
bool drive_commit(struct drive *d, struct err *e);

#endif
