/*
 * Guest time and its timers.
 *
 * Timers stand in a binary heap ordered by deadline; each knows its place, so
 * arming, re-arming and removing cost O(log n) and allocate only when the heap
 * grows. Whoever sleeps until the earliest deadline learns through on_earlier
 * that it has moved forward.
 */
#include "hw/core/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Callbacks in one clock_run(): a timer that re-arms itself in the past must not starve the loop. */
#define MAX_CALLBACKS 4096

static uint64_t read_host(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t real_mono(void *opaque)
{
	(void)opaque;
	return read_host(CLOCK_MONOTONIC);
}

static uint64_t real_wall(void *opaque)
{
	(void)opaque;
	return read_host(CLOCK_REALTIME);
}

const struct clock_host clock_host_real = { real_mono, real_wall, NULL };

void clock_init(struct clock *c, const struct clock_host *host)
{
	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	c->host = host ? *host : clock_host_real;
}

void clock_fini(struct clock *c)
{
	free(c->heap);
	c->heap = NULL;
	c->n_timers = c->cap_timers = 0;
	pthread_mutex_destroy(&c->lock);
}

/* `frozen` is read before `base` and `base` before the host's time: stop and start in between never turn time back. */
uint64_t clock_now(const struct clock *c)
{
	uint64_t frozen = atomic_load_explicit(&c->frozen, memory_order_acquire);
	uint64_t base;

	if (frozen != TIME_NEVER)
		return frozen;
	base = atomic_load_explicit(&c->base, memory_order_acquire);
	return c->host.mono_ns(c->host.opaque) + base;
}

void clock_start(struct clock *c)
{
	uint64_t frozen = atomic_load(&c->frozen);

	if (frozen == TIME_NEVER)
		return;
	atomic_store(&c->base, frozen - c->host.mono_ns(c->host.opaque));
	atomic_store(&c->frozen, TIME_NEVER);
	if (clock_next(c) != TIME_NEVER && c->on_earlier)
		c->on_earlier(c->on_earlier_opaque, clock_next(c));
}

void clock_stop(struct clock *c)
{
	if (clock_running(c))
		atomic_store(&c->frozen, clock_now(c));
}

void clock_set(struct clock *c, uint64_t now)
{
	assert(!clock_running(c));
	atomic_store(&c->frozen, now);
}

/* ---- wall clock ---- */

static int64_t wall_source(const struct clock *c)
{
	return (int64_t)(c->wall_vm ? clock_now(c) : c->host.wall_ns(c->host.opaque));
}

int64_t clock_wall(const struct clock *c)
{
	return wall_source(c) + c->wall_base;
}

/* "YYYY-MM-DD[THH:MM:SS]" as seconds since 1970, taken as it stands. */
static bool parse_date(const char *s, time_t *out)
{
	struct tm tm = { 0 };
	int n = 0, k = sscanf(s, "%d-%d-%d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &n);

	if (k != 3)
		return false;
	if (s[n]) {
		int n2 = 0;

		if (sscanf(s + n, "%*1[T ]%d:%d:%d%n", &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n2) != 3
		    || s[n + n2])
			return false;
	}
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	struct tm given = tm;
	*out = timegm(&tm);		/* makes a date that exists of it */
	return tm.tm_year == given.tm_year && tm.tm_mon == given.tm_mon && tm.tm_mday == given.tm_mday &&
	       tm.tm_hour == given.tm_hour && tm.tm_min == given.tm_min && tm.tm_sec == given.tm_sec;
}

bool clock_set_wall(struct clock *c, const char *base, struct err *e)
{
	int64_t host = (int64_t)c->host.wall_ns(c->host.opaque), want = host;

	if (!strcmp(base, "localtime")) {
		time_t t = host / (int64_t)NS_PER_SEC;
		struct tm tm;

		localtime_r(&t, &tm);
		want += tm.tm_gmtoff * (int64_t)NS_PER_SEC;
	} else if (strcmp(base, "utc")) {
		time_t t;

		if (!parse_date(base, &t))
			return err_set(e, "'%s' is neither utc, localtime nor a date", base);
		want = (int64_t)t * (int64_t)NS_PER_SEC;
	}
	c->wall_date = strcmp(base, "localtime") && strcmp(base, "utc");
	c->wall_base = want - wall_source(c);
	return true;
}

/* ---- the heap ---- */

static void place(struct clock *c, size_t pos, struct timer *t)
{
	c->heap[pos] = t;
	t->pos = pos;
}

static void sift_up(struct clock *c, size_t pos, struct timer *t)
{
	while (pos > 0) {
		size_t up = (pos - 1) / 2;

		if (c->heap[up]->deadline <= t->deadline)
			break;
		place(c, pos, c->heap[up]);
		pos = up;
	}
	place(c, pos, t);
}

static void sift_down(struct clock *c, size_t pos, struct timer *t)
{
	for (;;) {
		size_t kid = 2 * pos + 1;

		if (kid >= c->n_timers)
			break;
		if (kid + 1 < c->n_timers && c->heap[kid + 1]->deadline < c->heap[kid]->deadline)
			kid++;
		if (t->deadline <= c->heap[kid]->deadline)
			break;
		place(c, pos, c->heap[kid]);
		pos = kid;
	}
	place(c, pos, t);
}

static void heap_remove(struct clock *c, struct timer *t)
{
	size_t pos = t->pos;
	struct timer *last = c->heap[--c->n_timers];

	if (last == t)
		return;
	if (pos > 0 && c->heap[(pos - 1) / 2]->deadline > last->deadline)
		sift_up(c, pos, last);
	else
		sift_down(c, pos, last);
}

static void heap_insert(struct clock *c, struct timer *t)
{
	if (c->n_timers == c->cap_timers) {
		c->cap_timers = c->cap_timers ? 2 * c->cap_timers : 32;
		c->heap = realloc(c->heap, c->cap_timers * sizeof(*c->heap));
		assert(c->heap);
	}
	sift_up(c, c->n_timers++, t);
}

/* ---- timers ---- */

void timer_init(struct timer *t, struct clock *c, void (*fn)(void *opaque), void *opaque)
{
	*t = (struct timer){ .clock = c, .fn = fn, .opaque = opaque, .deadline = TIME_NEVER };
}

static uint64_t earliest(const struct clock *c)
{
	return c->n_timers ? c->heap[0]->deadline : TIME_NEVER;
}

/* Clock's lock. True: the clock's earliest deadline is earlier than before. */
static bool set_deadline(struct timer *t, uint64_t deadline)
{
	struct clock *c = t->clock;
	uint64_t before = earliest(c);

	if (deadline == t->deadline)
		return false;
	if (t->deadline != TIME_NEVER)
		heap_remove(c, t);
	t->deadline = deadline;
	if (deadline != TIME_NEVER)
		heap_insert(c, t);
	return deadline < before;
}

void timer_mod(struct timer *t, uint64_t deadline)
{
	struct clock *c = t->clock;
	bool earlier;

	pthread_mutex_lock(&c->lock);
	earlier = set_deadline(t, deadline);
	pthread_mutex_unlock(&c->lock);
	if (earlier && c->on_earlier && clock_running(c))
		c->on_earlier(c->on_earlier_opaque, deadline);
}

void timer_del(struct timer *t)
{
	if (t->clock)
		timer_mod(t, TIME_NEVER);
}

uint64_t clock_next(struct clock *c)
{
	uint64_t next;

	pthread_mutex_lock(&c->lock);
	next = earliest(c);
	pthread_mutex_unlock(&c->lock);
	return next;
}

/* The earliest timer, no longer armed, if it is due. */
static struct timer *take_due(struct clock *c, uint64_t now)
{
	struct timer *t = NULL;

	pthread_mutex_lock(&c->lock);
	if (earliest(c) <= now) {
		t = c->heap[0];
		set_deadline(t, TIME_NEVER);
	}
	pthread_mutex_unlock(&c->lock);
	return t;
}

static void run_due(struct clock *c)
{
	uint64_t now = clock_now(c);
	struct timer *t;

	for (int i = 0; i < MAX_CALLBACKS && (t = take_due(c, now)); i++)
		t->fn(t->opaque);
}

void clock_run(struct clock *c)
{
	if (clock_running(c))
		run_due(c);
}

void clock_settle(struct clock *c)
{
	assert(!clock_running(c));
	run_due(c);
}
