/*
 * Jobs on a drive's images: see block_job.h.
 *
 * The disk is divided into chunks. The thread takes one after the other; a chunk that it works
 * on, and every range a worker changes for the guest, stands in a list meanwhile, and whoever
 * wants what overlaps waits. So neither side sees half of what the other does. What the guest
 * changes behind the thread is marked, and copied again (COMMIT of the first image, MIRROR);
 * or the worker copies it first (BACKUP). The end, where images change places, is on the main
 * loop with the drive drained.
 *
 * Not modelled: bitmaps that outlive a job (incremental backups), several jobs on one drive.
 */
#include "hw/backend/block_job.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "hw/backend/drive_priv.h"
#include "hw/backend/qcow2.h"
#include "hw/core/loop.h"

#define CHUNK	128u			/* sectors: 64 KiB */
#define CHUNK_BYTES (CHUNK * SECTOR)
#define FEW	16u			/* chunks that may be copied while everything waits */

/* A range somebody is at. */
struct range {
	uint64_t at, end;
	pthread_t who;
	bool taken;			/* of `worker` below */
	struct range *next;
};

struct block_job {
	struct block_job_spec s;
	struct machine *m;
	struct block *from, *to;	/* what is read and written */
	struct block *below;		/* what is in it or under it is not copied; NULL: nothing is left out */
	bool follow;			/* until it is told to end */
	struct drive_watch watch;
	pthread_t thread;
	bool joined;

	pthread_mutex_t lock;		/* for what follows */
	pthread_cond_t changed;
	struct range *busy;
	struct range worker[DRIVE_MAX_WORKERS];
	uint64_t *pending;		/* bit per chunk */
	uint64_t n_todo;
	bool ready, paused;
	enum { GO_ON, CANCEL, CANCEL_NOW, COMPLETE, ABANDON } wish;

	_Atomic uint64_t done, all, rate;
	bool ok;
	struct err err;
};

/* ---- who is where: job->lock held ---- */

static bool overlaps(const struct block_job *j, uint64_t at, uint64_t end)
{
	for (const struct range *r = j->busy; r; r = r->next)
		if (at < r->end && r->at < end)
			return true;
	return false;
}

static void enter(struct block_job *j, struct range *r, uint64_t at, uint64_t n)
{
	*r = (struct range){ .at = at, .end = at + n, .who = pthread_self(), .taken = true };
	while (overlaps(j, r->at, r->end))
		pthread_cond_wait(&j->changed, &j->lock);
	r->next = j->busy;
	j->busy = r;
}

static void leave(struct block_job *j, struct range *r)
{
	struct range **p = &j->busy;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	r->taken = false;
	pthread_cond_broadcast(&j->changed);
}

static bool marked(const struct block_job *j, uint64_t chunk)
{
	return j->pending[chunk / 64] >> (chunk % 64) & 1;
}

static void mark(struct block_job *j, uint64_t chunk, bool on)
{
	if (marked(j, chunk) == on)
		return;
	j->pending[chunk / 64] ^= BIT(chunk % 64);
	j->n_todo += on ? 1 : -1ull;
}

/* ---- copying ---- */

static uint32_t chunk_sectors(const struct block_job *j, uint64_t chunk)
{
	return (uint32_t)min_u64(CHUNK, block_sectors(j->from) - chunk * CHUNK);
}

/* Is there something between `from` and `below` at all? n: for how many sectors that holds. */
static bool concerns(const struct block_job *j, uint64_t at, uint32_t *n, bool *zero, bool *any, struct err *e)
{
	struct block_extent x;

	if (!block_map(j->from, at, *n, &x, e))
		return false;
	*n = (uint32_t)min_u64(*n, x.sectors);
	*zero = x.zero;
	*any = !j->below || (x.allocated && x.image != j->below && !block_is_above(j->below, x.image));
	/* A stream leaves alone what the first image has, and zeros if nothing stays below. */
	if (j->s.kind == BLOCK_STREAM && (!x.allocated || x.image == j->from || (x.zero && !j->below)))
		*any = false;
	return true;
}

static bool copy_part(struct block_job *j, uint64_t at, uint32_t n, bool zero, uint8_t *buf, struct err *e)
{
	if (zero)
		return block_write_zeroes(j->to, at, n, true, e);
	return block_read(j->from, at, buf, n, e) && block_write(j->to, at, buf, n, e);
}

static bool copy_chunk(struct block_job *j, uint64_t chunk, struct err *e)
{
	uint8_t *buf = malloc(CHUNK_BYTES);
	uint64_t at = chunk * CHUNK, end = at + chunk_sectors(j, chunk);
	bool ok = buf || err_set(e, "no memory"), zero, any;

	for (uint32_t n; ok && at < end; at += n) {
		n = (uint32_t)(end - at);
		ok = concerns(j, at, &n, &zero, &any, e) && (!any || copy_part(j, at, n, zero, buf, e));
	}
	free(buf);
	return ok;
}

/* The first failure ends the job. */
static void failed(struct block_job *j, const struct err *e)
{
	if (j->ok)
		j->err = *e;
	j->ok = false;
	if (j->wish == GO_ON)
		j->wish = CANCEL_NOW;
	pthread_cond_broadcast(&j->changed);
}

/* ---- what the guest changes: workers ---- */

static struct range *range_of_this_thread(struct block_job *j, uint64_t at)
{
	struct range *r = j->busy;

	while (r && !(pthread_equal(r->who, pthread_self()) && at >= r->at && at < r->end))
		r = r->next;
	return r;
}

static void save_first(struct block_job *j, uint64_t first, uint64_t last)
{
	struct err e;

	for (uint64_t c = first; c <= last && j->wish == GO_ON; c++) {
		if (!marked(j, c))
			continue;
		pthread_mutex_unlock(&j->lock);
		bool ok = copy_chunk(j, c, &e);
		pthread_mutex_lock(&j->lock);
		mark(j, c, false);
		atomic_fetch_add(&j->done, CHUNK_BYTES);
		if (!ok)
			failed(j, &e);
	}
}

static void before(void *opaque, uint64_t at, uint32_t n)
{
	struct block_job *j = opaque;
	uint64_t first = at / CHUNK, last = (at + n - 1) / CHUNK;
	struct range *r = j->worker;

	pthread_mutex_lock(&j->lock);
	while (r->taken)		/* there is one for every worker */
		r++;
	enter(j, r, first * CHUNK, (last - first + 1) * CHUNK);
	if (j->s.kind == BLOCK_BACKUP)
		save_first(j, first, last);
	pthread_mutex_unlock(&j->lock);
}

static void after(void *opaque, uint64_t at, uint32_t n, bool changed)
{
	struct block_job *j = opaque;
	uint64_t first = at / CHUNK, last = (at + n - 1) / CHUNK;

	pthread_mutex_lock(&j->lock);
	for (uint64_t c = first; c <= last && j->follow && changed; c++) {
		if (!marked(j, c))
			atomic_fetch_add(&j->all, CHUNK_BYTES);
		mark(j, c, true);
	}
	leave(j, range_of_this_thread(j, at));
	pthread_mutex_unlock(&j->lock);
}

/* ---- the thread ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Until there is something to do or to end for. At most a tenth of a second. */
static void rest(struct block_job *j, uint64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += (long)min_u64(ns, NS_PER_SEC / 10);
	if (t.tv_nsec >= (long)NS_PER_SEC) {
		t.tv_sec++;
		t.tv_nsec -= (long)NS_PER_SEC;
	}
	pthread_cond_timedwait(&j->changed, &j->lock, &t);
}

static void tell_ready(void *opaque)
{
	struct block_job *j = opaque;

	if (j->s.ready)
		j->s.ready(j->s.opaque);
}

/* The next marked chunk from *at on, round and round. Lock held. */
static bool next_chunk(struct block_job *j, uint64_t *at)
{
	uint64_t n = (block_sectors(j->from) + CHUNK - 1) / CHUNK;

	if (!j->n_todo)
		return false;
	while (!marked(j, *at % n))
		++*at;
	*at %= n;
	return true;
}

static void do_chunk(struct block_job *j, uint64_t chunk)
{
	struct range r;
	struct err e;
	bool ok = true;

	enter(j, &r, chunk * CHUNK, CHUNK);
	if (marked(j, chunk)) {		/* else a worker was first */
		mark(j, chunk, false);
		pthread_mutex_unlock(&j->lock);
		ok = copy_chunk(j, chunk, &e);
		pthread_mutex_lock(&j->lock);
		atomic_fetch_add(&j->done, CHUNK_BYTES);
	}
	leave(j, &r);
	if (!ok)
		failed(j, &e);
}

static void pace(struct block_job *j, uint64_t *due)
{
	uint64_t rate = atomic_load(&j->rate), now = now_ns();

	if (!rate || *due > now + NS_PER_SEC)
		*due = now;
	if (*due > now)
		rest(j, *due - now);
	else if (now - *due > NS_PER_SEC / 10)
		*due = now;
	*due += rate ? CHUNK_BYTES * NS_PER_SEC / rate : 0;
}

/* Told to end with what the guest has written, it still comes near enough. Lock held. */
static bool goes_on(const struct block_job *j)
{
	bool wanted = j->wish == COMPLETE || (j->wish == CANCEL && j->s.kind == BLOCK_MIRROR);

	return j->wish == GO_ON || (wanted && j->ready && j->ok && j->n_todo > FEW);
}

static void finish_on_loop(void *opaque);

static void *work(void *opaque)
{
	struct block_job *j = opaque;
	uint64_t at = 0, due = now_ns();

	pthread_mutex_lock(&j->lock);
	while (goes_on(j)) {
		bool ending = j->wish != GO_ON;	/* neither pause nor rate count any more */
		if (j->paused && !ending) {
			rest(j, NS_PER_SEC);
		} else if (next_chunk(j, &at)) {
			if (!ending)
				pace(j, &due);
			if (ending || (j->wish == GO_ON && !j->paused))
				do_chunk(j, at);
		} else if (!j->follow) {
			break;
		} else {
			if (!j->ready) {
				j->ready = true;
				loop_call(j->m->loop, tell_ready, j);
			}
			rest(j, NS_PER_SEC);
		}
	}
	pthread_mutex_unlock(&j->lock);
	loop_call(j->m->loop, finish_on_loop, j);
	return NULL;
}

/* ---- the end: main loop, nothing else works on the images ---- */

static bool copy_rest(struct block_job *j)
{
	uint64_t at = 0;

	while (j->ok && next_chunk(j, &at)) {
		mark(j, at, false);
		if (!copy_chunk(j, at, &j->err))
			j->ok = false;
	}
	return j->ok;
}

/* The image whose backing image `b` is, from the drive's first one down; where the pointer to it stands. */
static struct block **place_above(struct block **first, struct block *b)
{
	struct block **p = first;

	while (*p && (*p)->backing != b)
		p = &(*p)->backing;
	return *p ? p : NULL;
}

/* *place shall stand on base, by name, and what is in between goes. */
static bool stand_on(struct block_job *j, struct block **place, struct block *base, struct err *e)
{
	bool was_readonly = (*place)->readonly;
	const char *name = j->s.backing ? j->s.backing : base ? block_file(base) : NULL;
	struct block *between;
	struct err ignored;

	if (!block_reopen(place, true, e) || !qcow2_set_backing(*place, name, base ? block_format(base) : NULL, e))
		return false;
	between = (*place)->backing;
	(*place)->backing = base;
	(*place)->copy_on_read &= base != NULL;
	block_close_above(between, base);
	if (was_readonly)
		block_reopen(place, false, &ignored);
	return true;
}

/* The target is the disk from now on; `keep` is what of the old chain stays in use. */
static void pivot(struct block_job *j, struct block *to, struct block *keep)
{
	struct block *old = drive_image(j->s.drive);

	to->writethrough = old->writethrough;
	to->no_flush = old->no_flush;
	to->no_discard = old->no_discard;
	to->detect_zeroes = old->detect_zeroes;
	drive_swap_image(j->s.drive, to);
	block_close_above(old, keep);
}

static bool end_commit(struct block_job *j)
{
	struct block *first = drive_image(j->s.drive), **place;

	if (j->s.top == first) {
		pivot(j, j->s.base, j->s.base);
		return true;
	}
	place = place_above(&first, j->s.top);
	if (!place)
		return err_set(&j->err, "the chain of images has changed");
	bool ok = stand_on(j, place, j->s.base, &j->err);
	struct err ignored;
	if (ok)
		block_reopen(&(*place)->backing, false, &ignored);
	drive_swap_image(j->s.drive, first);
	return ok;
}

static bool end_stream(struct block_job *j)
{
	struct block *first = drive_image(j->s.drive);
	bool ok = stand_on(j, &first, j->s.base, &j->err);

	drive_swap_image(j->s.drive, first);
	return ok;
}

static bool end_well(struct block_job *j)
{
	struct err *e = &j->err;

	if (!copy_rest(j) || !block_flush(j->to, e))
		return false;
	switch (j->s.kind) {
	case BLOCK_COMMIT:
		return end_commit(j);
	case BLOCK_STREAM:
		return end_stream(j);
	case BLOCK_MIRROR:
		if (j->wish == COMPLETE) {
			pivot(j, j->s.target, NULL);
			j->s.target = NULL;
		}
		return true;
	default:
		return true;
	}
}

/* A base that was opened for this is not written any more. */
static void end_badly(struct block_job *j)
{
	struct block *first = drive_image(j->s.drive), **place;
	struct err ignored;

	if (j->s.kind != BLOCK_COMMIT || !first)
		return;
	place = place_above(&first, j->s.base);
	if (place)
		block_reopen(&(*place)->backing, false, &ignored);
}

static void job_free(struct block_job *j)
{
	block_close(j->s.target);
	free((char *)j->s.backing);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->changed);
	free(j->pending);
	free(j);
}

static void finish(struct block_job *j)
{
	bool copy_wanted = j->s.kind == BLOCK_MIRROR && j->ready && j->wish == CANCEL;
	bool complete = j->ok && (j->wish == GO_ON || j->wish == COMPLETE || copy_wanted);

	drive_drain(j->m, j->s.drive);
	drive_set_watch(j->s.drive, NULL);
	if (complete)
		complete = end_well(j);
	if (!complete)
		end_badly(j);
	j->s.done(j->s.opaque, !complete && !*j->err.msg, &j->err);
	job_free(j);
}

static void finish_on_loop(void *opaque)
{
	struct block_job *j = opaque;

	pthread_join(j->thread, NULL);
	finish(j);
}

/* ---- from outside ---- */

static bool chunks_init(struct block_job *j, struct err *e)
{
	uint64_t n = (block_sectors(j->from) + CHUNK - 1) / CHUNK;

	j->pending = calloc(n / 64 + 1, 8);
	if (!j->pending)
		return err_set(e, "no memory");
	for (uint64_t i = 0; i < n; i++)
		mark(j, i, true);
	atomic_store(&j->all, n * CHUNK_BYTES);
	return true;
}

static bool roles_commit(struct block_job *j, struct err *e)
{
	struct block *first = drive_image(j->s.drive), **place;

	if (!j->s.base || !block_is_above(j->s.top, j->s.base))
		return err_set(e, "the base is not below the top image");
	place = place_above(&first, j->s.base);
	if (!block_reopen(&(*place)->backing, true, e))
		return err_prefix(e, "the base cannot be written");
	j->s.base = j->to = j->below = (*place)->backing;
	j->from = j->s.top;
	j->follow = j->s.top == first;
	return block_sectors(j->to) >= block_sectors(j->from) || block_resize(j->to, block_sectors(j->from), e);
}

static bool roles(struct block_job *j, struct err *e)
{
	struct block *first = drive_image(j->s.drive);

	switch (j->s.kind) {
	case BLOCK_COMMIT:
		return roles_commit(j, e);
	case BLOCK_STREAM:
		j->from = j->to = first;
		j->below = j->s.base;
		return first->backing ? true : err_set(e, "'%s' has no backing image", block_file(first));
	default:
		j->from = first;
		j->to = j->s.target;
		j->below = j->s.whole ? NULL : first->backing;
		j->follow = j->s.kind == BLOCK_MIRROR;
		return block_sectors(j->to) >= block_sectors(first) ||
		       err_set(e, "'%s' is smaller than the disk", block_file(j->to));
	}
}

struct block_job *block_job_start(const struct block_job_spec *s, struct err *e)
{
	struct block *first = drive_image(s->drive);
	struct block_job *j = NULL;

	if (!first || first->overlay)
		err_set(e, "drive '%s' has no image in a file", drive_id(s->drive));
	else if (!drive_may_work_on(s->drive, e))
		;
	else if (!(j = calloc(1, sizeof(*j))))
		err_set(e, "no memory");
	if (!j)
		return NULL;
	j->s = *s;
	j->s.target = NULL;
	j->s.backing = s->backing ? strdup(s->backing) : NULL;
	j->m = s->drive->set->m;
	j->ok = true;
	atomic_store(&j->rate, s->rate);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->changed, NULL);
	j->watch = (struct drive_watch){ before, after, j, .reads = s->kind == BLOCK_STREAM };
	drive_drain(j->m, s->drive);
	j->s.target = s->target;
	if (!roles(j, e) || !chunks_init(j, e))
		goto failed;
	drive_set_watch(s->drive, &j->watch);
	if (!pthread_create(&j->thread, NULL, work, j)) {
		pthread_setname_np(j->thread, "block job");
		return j;
	}
	drive_set_watch(s->drive, NULL);
	err_set(e, "cannot start a thread");
failed:
	end_badly(j);
	j->s.target = NULL;		/* the caller's still */
	job_free(j);
	return NULL;
}

static void wish(struct block_job *j, int what)
{
	pthread_mutex_lock(&j->lock);
	if (j->wish == GO_ON || what == CANCEL_NOW || what == ABANDON)
		j->wish = what;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
}

void block_job_cancel(struct block_job *j, bool force)
{
	wish(j, force ? CANCEL_NOW : CANCEL);
}

bool block_job_complete(struct block_job *j, struct err *e)
{
	pthread_mutex_lock(&j->lock);
	bool ready = j->ready;
	pthread_mutex_unlock(&j->lock);
	if (!ready)
		return err_set(e, "the job is not ready to be completed");
	wish(j, COMPLETE);
	return true;
}

void block_job_pause(struct block_job *j, bool on)
{
	pthread_mutex_lock(&j->lock);
	j->paused = on;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
}

void block_job_set_rate(struct block_job *j, uint64_t rate)
{
	atomic_store(&j->rate, rate);
}

void block_job_progress(struct block_job *j, uint64_t *done, uint64_t *all)
{
	*all = atomic_load(&j->all);
	*done = min_u64(atomic_load(&j->done), *all);
}

void block_job_abandon(struct block_job *j)
{
	wish(j, ABANDON);
	machine_unlock(j->m);
	pthread_join(j->thread, NULL);
	machine_lock(j->m);
	finish(j);
}
