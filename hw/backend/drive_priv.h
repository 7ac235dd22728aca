/*
 * Drives inside, shared by their files:
 *
 *	drive.c		life, media, what people ask and change
 *	drive_queue.c	requests from submission to done(), what happens to failed ones
 *	drive_limit.c	limits of bytes and operations per second
 *	drive_pool.c	the worker threads
 *	drive_prompt.c	what the vCPU that asks does itself
 *
 * A request goes WAITING -> QUEUED -> RUNNING -> DONE -> done(), or WAITING -> OWED ->
 * RUNNING. Waiting and active lists belong to the machine lock; the run queue, what is owed,
 * the done list and the states from OWED to DONE to drive_set.lock, which is held for moments
 * only. A worker that has a request touches nothing but it and the image.
 */
#ifndef HW_BACKEND_DRIVE_PRIV_H
#define HW_BACKEND_DRIVE_PRIV_H

#include <pthread.h>

#include "hw/backend/drive.h"
#include "hw/core/bus.h"

#define DRIVE_MAX_WORKERS	16
#define DRIVE_MAX_ACTIVE	64	/* of one drive, given to the workers */

struct drive_list {
	struct drive_req *first, **tail;
};

/* One of the limits: a bucket that leaks at `rate` and may hold `room`. */
struct drive_bucket {
	double rate, room, level;
	uint64_t when;			/* host ns of `level` */
};
enum drive_direction { DRIVE_BOTH, DRIVE_IN, DRIVE_OUT };

struct drive {
	struct drive_set *set;
	struct drive *next;
	char *id, *serial;
	bool cdrom;
	struct block *image;		/* or NULL */
	const struct drive_watch *watch; /* or NULL */
	const struct drive_user *user;
	void *user_opaque;
	enum drive_policy rerror, werror;
	struct drive_stats stats;
	char last_error[sizeof(((struct err *)0)->msg)];

	struct drive_list waiting;	/* for others, or for a limit */
	struct drive_req *active;	/* QUEUED to DONE; by next_active */
	unsigned nactive;
	struct drive_list stopped;	/* for `cont` */

	struct drive_limits limits;
	struct drive_bucket bytes[3], ops[3];
	bool limited;
	struct timer limit_timer;

	_Atomic uint64_t prompt_from;	/* host ns: earlier no vCPU writes itself; set without the machine lock */
};

struct drive_set {
	struct machine *m;
	struct drive *drives;
	int draining;			/* limits and holds don't count */
	bool elsewhere;			/* the images are another program's, until they are taken back */
	enum { REAPING_NOT, REAPING, REAPING_FOR_MORE } reaping;	/* by a vCPU that has done what it owed */
	void (*on_error)(void *opaque, struct drive *d, const struct drive_req *r, enum drive_policy action);
	void *error_opaque;

	pthread_mutex_t lock;		/* what follows */
	pthread_cond_t work, finished;
	struct drive_list owed, queue, done;
	unsigned nqueued, ndone, nidle, nrunning, nwaiters;
	bool told;			/* the loop is going to look at `done` */
	bool hold, hurry, quit;
	int nthreads;
	pthread_t thread[DRIVE_MAX_WORKERS];
};

static inline void drive_list_init(struct drive_list *l)
{
	l->first = NULL;
	l->tail = &l->first;
}
static inline void drive_list_add(struct drive_list *l, struct drive_req *r)
{
	r->next = NULL;
	*l->tail = r;
	l->tail = &r->next;
}
static inline struct drive_req *drive_list_take(struct drive_list *l)
{
	struct drive_req *r = l->first;
	if (r && !(l->first = r->next))
		l->tail = &l->first;
	return r;
}
/* False: it is not in the list. */
static inline bool drive_list_del(struct drive_list *l, struct drive_req *r)
{
	struct drive_req **p = &l->first;
	while (*p && *p != r)
		p = &(*p)->next;
	if (!*p)
		return false;
	if (!(*p = r->next))
		l->tail = p;
	return true;
}
static inline uint64_t drive_now(const struct drive_set *s)
{
	return s->m->clock.host.mono_ns(s->m->clock.host.opaque);
}

/* ---- drive_queue.c ---- */

void drive_trace_names(struct machine *m, struct trace_names *l);
/* Start what may be started. */
void drive_kick(struct drive *d);
/* Run done() of what is finished now, not of what finishes meanwhile. True: there was something. */
bool drive_reap(struct drive_set *s);

/* ---- drive_limit.c ---- */

void drive_limit_init(struct drive *d);
void drive_limit_fini(struct drive *d);
/* May r go now? If so it is counted; else *wait is shortened to when to ask again. */
bool drive_limit_admit(struct drive *d, const struct drive_req *r, uint64_t *wait);
void drive_limit_wait(struct drive *d, uint64_t ns);

/* ---- drive_pool.c ---- */

struct drive_set *drive_set_of(struct machine *m, struct err *e);	/* made if there is none */
void drive_set_free(struct drive_set *s);
void drive_pool_add(struct drive_set *s, struct drive_req *r);
/* A request that needs no worker is finished. */
void drive_pool_finished(struct drive_set *s, struct drive_req *r);
/* How many are finished; of those that follow the main loop is told. */
unsigned drive_pool_ndone(struct drive_set *s);
struct drive_req *drive_pool_take_done(struct drive_set *s);
/* Take r back, waiting for the worker that has it. */
void drive_pool_remove(struct drive_set *s, struct drive_req *r);
/* Wait until something is finished (or nothing is under way). */
void drive_pool_wait(struct drive_set *s);
void drive_pool_hurry(struct drive_set *s, bool on);
/* The next one that this vCPU owes, RUNNING from now on; NULL: none is left. */
struct drive_req *drive_pool_take_owed(struct drive_set *s);
void drive_pool_owe(struct drive_set *s, struct drive_req *r);
/* The vCPU has done r, or (false) gives it to the workers. */
void drive_pool_owed_done(struct drive_set *s, struct drive_req *r);
bool drive_pool_pass_on(struct drive_set *s, struct drive_req *r);
/* What r asks for, by this thread. */
bool drive_pool_transfer(struct drive_req *r);

/* ---- drive_prompt.c ---- */

/* The vCPU whose access submits r will do it itself. False: no. */
bool drive_prompt(struct drive *d, struct drive_req *r);

#endif
