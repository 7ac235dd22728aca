/*
 * The worker threads that do drives' requests.
 *
 * They are started when there is more to do than idle threads, up to a limit, and
 * stay. A finished request goes into a list. The worker that finishes the last one under way
 * runs done() of those that are there, if the machine lock is free; otherwise the main loop is
 * asked once to look at them, however many follow until it does.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "hw/backend/drive_priv.h"
#include "hw/core/loop.h"

/* ---- finished requests ---- */

static void look_at_done(void *opaque)
{
	drive_reap(opaque);
}

/* Lock held, here and in the next two. */
static void finished(struct drive_set *s, struct drive_req *r)
{
	r->state = DRIVE_DONE;
	drive_list_add(&s->done, r);
	s->ndone++;
	if (s->nwaiters)
		pthread_cond_broadcast(&s->finished);
}

static void tell_loop(struct drive_set *s)
{
	if (s->told || !s->m->loop)
		return;
	s->told = true;
	loop_call(s->m->loop, look_at_done, s);
}

/* Without processors (tests) nothing waits for it. */
static void hand_over(struct drive_set *s)
{
	bool last = !s->nrunning && !s->nqueued && s->m->n_cpus;

	if (last) {
		pthread_mutex_unlock(&s->lock);
		last = machine_trylock(s->m);
		if (last) {
			drive_reap(s);
			machine_unlock(s->m);
		}
		pthread_mutex_lock(&s->lock);
	}
	if (!last && s->done.first)
		tell_loop(s);
}

void drive_pool_finished(struct drive_set *s, struct drive_req *r)
{
	pthread_mutex_lock(&s->lock);
	finished(s, r);
	tell_loop(s);
	pthread_mutex_unlock(&s->lock);
}

unsigned drive_pool_ndone(struct drive_set *s)
{
	pthread_mutex_lock(&s->lock);
	unsigned n = s->ndone;
	s->told = false;
	pthread_mutex_unlock(&s->lock);
	return n;
}

struct drive_req *drive_pool_take_done(struct drive_set *s)
{
	pthread_mutex_lock(&s->lock);
	struct drive_req *r = drive_list_take(&s->done);
	s->ndone -= r != NULL;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* ---- workers ---- */

static bool do_transfer(struct drive_req *r)
{
	struct block *b = r->drive->image;

	switch (r->op) {
	case DRIVE_READ: return block_readv(b, r->at, r->iov, r->niov, r->n, &r->err);
	case DRIVE_WRITE: return block_writev(b, r->at, r->iov, r->niov, r->n, &r->err);
	case DRIVE_FLUSH: return block_flush(b, &r->err);
	case DRIVE_DISCARD: return block_discard(b, r->at, r->n, &r->err);
	case DRIVE_ZERO: return block_write_zeroes(b, r->at, r->n, r->unmap, &r->err);
	default: return err_set(&r->err, "there is no such request");
	}
}

bool drive_pool_transfer(struct drive_req *r)
{
	/* A request for no sectors may be at the disk's end, behind all that somebody watches. */
	const struct drive_watch *w = r->op == DRIVE_FLUSH || !r->n ? NULL : r->drive->watch;
	bool ok;

	if (w && r->op == DRIVE_READ && !w->reads)
		w = NULL;
	if (w)
		w->before(w->opaque, r->at, r->n);
	ok = do_transfer(r);
	if (w)
		w->after(w->opaque, r->at, r->n, r->op != DRIVE_READ);
	return ok;
}

static bool may_take(const struct drive_set *s)
{
	return s->queue.first && (!s->hold || s->hurry);
}

static void *work(void *arg)
{
	struct drive_set *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!may_take(s) && !s->quit) {
			s->nidle++;
			pthread_cond_wait(&s->work, &s->lock);
			s->nidle--;
		}
		if (s->quit)
			break;
		struct drive_req *r = drive_list_take(&s->queue);
		s->nqueued--;
		r->state = DRIVE_RUNNING;
		s->nrunning++;
		pthread_mutex_unlock(&s->lock);
		r->ok = drive_pool_transfer(r);
		pthread_mutex_lock(&s->lock);
		s->nrunning--;
		finished(s, r);
		hand_over(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Signals are the main loop's and the processors'. */
static void start_worker(struct drive_set *s)
{
	sigset_t all, old;
	char name[16];

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&s->thread[s->nthreads], NULL, work, s)) {
		snprintf(name, sizeof(name), "disk %d", s->nthreads);
		pthread_setname_np(s->thread[s->nthreads++], name);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void enqueue(struct drive_set *s, struct drive_req *r)
{
	r->state = DRIVE_QUEUED;
	drive_list_add(&s->queue, r);
	s->nqueued++;
	if (s->nqueued > s->nidle && s->nthreads < DRIVE_MAX_WORKERS)
		start_worker(s);
	pthread_cond_signal(&s->work);
}

void drive_pool_add(struct drive_set *s, struct drive_req *r)
{
	pthread_mutex_lock(&s->lock);
	enqueue(s, r);
	pthread_mutex_unlock(&s->lock);
}

/* ---- what a vCPU does itself ---- */

void drive_pool_owe(struct drive_set *s, struct drive_req *r)
{
	pthread_mutex_lock(&s->lock);
	r->state = DRIVE_OWED;
	drive_list_add(&s->owed, r);
	pthread_mutex_unlock(&s->lock);
}

struct drive_req *drive_pool_take_owed(struct drive_set *s)
{
	pthread_mutex_lock(&s->lock);
	struct drive_req *r = drive_list_take(&s->owed);
	if (r)
		r->state = DRIVE_RUNNING;
	pthread_mutex_unlock(&s->lock);
	return r;
}

void drive_pool_owed_done(struct drive_set *s, struct drive_req *r)
{
	pthread_mutex_lock(&s->lock);
	finished(s, r);
	pthread_mutex_unlock(&s->lock);
}

/* Not if somebody waits for it: he is told of its end only. */
bool drive_pool_pass_on(struct drive_set *s, struct drive_req *r)
{
	pthread_mutex_lock(&s->lock);
	bool ok = !s->nwaiters;
	if (ok)
		enqueue(s, r);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

void drive_pool_remove(struct drive_set *s, struct drive_req *r)
{
	pthread_mutex_lock(&s->lock);
	if (r->state == DRIVE_OWED)
		drive_list_del(&s->owed, r);
	if (r->state == DRIVE_QUEUED) {
		drive_list_del(&s->queue, r);
		s->nqueued--;
	}
	s->nwaiters++;
	while (r->state == DRIVE_RUNNING)
		pthread_cond_wait(&s->finished, &s->lock);
	s->nwaiters--;
	if (r->state == DRIVE_DONE)
		s->ndone -= drive_list_del(&s->done, r);
	r->state = DRIVE_IDLE;
	pthread_mutex_unlock(&s->lock);
}

void drive_pool_wait(struct drive_set *s)
{
	pthread_mutex_lock(&s->lock);
	s->nwaiters++;
	while (!s->done.first)
		pthread_cond_wait(&s->finished, &s->lock);
	s->nwaiters--;
	pthread_mutex_unlock(&s->lock);
}

void drive_pool_hurry(struct drive_set *s, bool on)
{
	struct drive_req *r;

	pthread_mutex_lock(&s->lock);
	s->hurry = on;
	while ((r = drive_list_take(&s->owed)))	/* by a thread that may be this one */
		enqueue(s, r);
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
}

/* ---- tests ---- */

void drive_hold(struct machine *m, bool hold)
{
	struct err e;
	struct drive_set *s = drive_set_of(m, &e);

	pthread_mutex_lock(&s->lock);
	s->hold = hold;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
}

/* ---- life ---- */

struct drive_set *drive_set_of(struct machine *m, struct err *e)
{
	if (m->drives)
		return m->drives;
	struct drive_set *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(e, "no memory for drives");
		return NULL;
	}
	s->m = m;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->finished, NULL);
	drive_list_init(&s->owed);
	drive_list_init(&s->queue);
	drive_list_init(&s->done);
	trace_add_source(m, drive_trace_names);
	return m->drives = s;
}

void drive_set_free(struct drive_set *s)
{
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < s->nthreads; i++)
		pthread_join(s->thread[i], NULL);
	s->m->drives = NULL;
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->finished);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
