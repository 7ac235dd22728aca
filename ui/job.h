/*
 * Jobs: work that a command begins and that goes on after it. Programs follow them by events
 * and query-jobs. What a job does is its maker's; here is what they all have.
 *
 *	created -> running [-> ready] -> concluded -> null (dismissed)
 *
 * Main loop's thread, machine lock.
 */
#ifndef UI_JOB_H
#define UI_JOB_H

#include "base/error.h"
#include "base/value.h"

struct vm;
struct block_job;

enum job_status { JOB_CREATED, JOB_RUNNING, JOB_PAUSED, JOB_READY, JOB_STANDBY, JOB_ABORTING, JOB_CONCLUDED, JOB_NULL };

struct job {
	struct vm *vm;
	struct job *next;
	char *id;
	const char *type;		/* as QEMU calls it */
	enum job_status status;
	bool is_ready;
	bool auto_dismiss;
	uint64_t done, all;		/* of jobs that are no block jobs */
	struct err err;			/* empty: none */
	struct block_job *block;	/* what works on a drive, or NULL */
	uint64_t speed;
};

/* NULL with err: the id is taken. */
struct job *job_new(struct vm *vm, const char *id, const char *type, bool auto_dismiss, struct err *e);
struct job *job_find(struct vm *vm, const char *id);
void job_set_status(struct job *j, enum job_status status);
/* It is over (e empty: well). It stays until it is dismissed, unless that goes by itself. */
void job_concluded(struct job *j, const struct err *e);
void job_free(struct job *j);
const char *job_status_word(enum job_status s);
/* The program ends: what works is stopped, all are freed. */
void jobs_abandon(struct vm *vm);

#endif
