/*
 * Guest time: nanoseconds since power-on that stand still while the machine is
 * stopped, and timers on it.
 *
 * All guest-visible time comes from here. Host time enters through one seam,
 * struct clock_host, which tests (and later a counted mode) replace.
 *
 * Threads: clock_now() may be called by any thread without a lock, timer_mod() and
 * timer_del() under whatever lock the timer's owner keeps it. Everything else wants the
 * machine lock. Timer callbacks run on the main loop's thread under the machine lock,
 * at or after their deadline; an owner with a lock of its own may have armed the timer
 * again, or not want it any more, by the time the callback gets that lock.
 */
#ifndef HW_CORE_CLOCK_H
#define HW_CORE_CLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"

#define NS_PER_SEC	1000000000ull
#define NS_PER_MS	1000000ull
#define NS_PER_US	1000ull
#define TIME_NEVER	UINT64_MAX

/* Where time comes from. */
struct clock_host {
	uint64_t (*mono_ns)(void *opaque);	/* monotonic */
	uint64_t (*wall_ns)(void *opaque);	/* since 1970-01-01 UTC */
	void *opaque;
};
extern const struct clock_host clock_host_real;

struct timer;

struct clock {
	struct clock_host host;
	_Atomic uint64_t frozen;	/* time of a stopped clock; TIME_NEVER: it runs */
	_Atomic uint64_t base;		/* of a running one: now = mono + base */
	pthread_mutex_t lock;		/* of the heap and its timers' deadlines; taken last */
	struct timer **heap;		/* binary heap by deadline */
	size_t n_timers, cap_timers;
	/* Called when the earliest deadline has become earlier (any thread, no lock of the clock). */
	void (*on_earlier)(void *opaque, uint64_t deadline);
	void *on_earlier_opaque;
	/* The guest's wall clock is the host's or the guest clock, plus wall_base. */
	int64_t wall_base;
	bool wall_date;			/* it began at a date, not at the host's time */
	bool wall_vm;			/* -rtc clock=vm: stands while the machine is stopped */
};

/* A stopped clock at 0. host NULL: the real one. */
void clock_init(struct clock *c, const struct clock_host *host);
void clock_fini(struct clock *c);

/* Guest nanoseconds. Never goes back. */
uint64_t clock_now(const struct clock *c);
static inline bool clock_running(const struct clock *c)
{
	return atomic_load_explicit(&c->frozen, memory_order_acquire) == TIME_NEVER;
}
void clock_start(struct clock *c);
void clock_stop(struct clock *c);
/* Set the time of a stopped clock (loading state). Armed timers keep their deadlines. */
void clock_set(struct clock *c, uint64_t now);

/*
 * What the guest's wall clock shows: "utc" (default), "localtime", or a date
 * "2006-06-17T16:01:21" / "2006-06-17", counted from now on.
 */
bool clock_set_wall(struct clock *c, const char *base, struct err *e);
/* ns since 1970-01-01 00:00:00 in the guest's own zone. */
int64_t clock_wall(const struct clock *c);

/* ---- timers ---- */

struct timer {
	struct clock *clock;
	void (*fn)(void *opaque);
	void *opaque;
	uint64_t deadline;	/* guest ns, or TIME_NEVER: not armed */
	size_t pos;		/* in the heap */
};

/* Storage is the owner's; a timer starts unarmed. */
void timer_init(struct timer *t, struct clock *c, void (*fn)(void *opaque), void *opaque);
/* Arm or re-arm. A deadline in the past fires as soon as the loop runs. */
void timer_mod(struct timer *t, uint64_t deadline);
void timer_del(struct timer *t);	/* accepts zeroed and unarmed timers */
static inline bool timer_pending(const struct timer *t)
{
	return t->clock && t->deadline != TIME_NEVER;
}

/* Earliest deadline or TIME_NEVER. */
uint64_t clock_next(struct clock *c);
/* Run every callback that is due at clock_now(). The loop's job; tests call it too. */
void clock_run(struct clock *c);
/* The same for a stopped clock: what was due when it stopped. */
void clock_settle(struct clock *c);

/* a * b / c without overflow of the product. */
static inline uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}

#endif
