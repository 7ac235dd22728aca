/*
 * The event loop of the main thread: file descriptors, timers, calls from other
 * threads, signals.
 *
 * The loop holds the machine lock while callbacks run and gives it up while it
 * sleeps. Sleep is precise to the host timer's nanoseconds. Only loop_call(),
 * loop_wake() and loop_quit() may be used by other threads without the lock;
 * the rest wants the machine lock (and may be used from any thread with it).
 */
#ifndef HW_CORE_LOOP_H
#define HW_CORE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hw/core/clock.h"

struct loop;
struct machine;

/* m (may be NULL in tests): its lock is taken around callbacks and its clock served. */
struct loop *loop_new(struct machine *m, struct err *e);
/* After machine_free(), whose streams still use the loop. */
void loop_free(struct loop *l);
/* The machine goes away: machine_free() calls it. */
void loop_forget_machine(struct loop *l);

/* ---- file descriptors ---- */
#define LOOP_READ	1u
#define LOOP_WRITE	2u
#define LOOP_HUP	4u	/* error or hang-up; always reported */

struct loop_fd;
typedef void loop_fd_fn(void *opaque, int fd, unsigned events);
/* Watch fd for `events`; does not own the descriptor. NULL only for lack of memory. */
struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *opaque);
/* Change what is watched. 0 suspends it completely (no LOOP_HUP either). */
void loop_fd_want(struct loop *l, struct loop_fd *f, unsigned events);
/* Look away for a while: what it reports cannot be served now, and would be reported in each round. 0: look again. */
void loop_fd_rest(struct loop *l, struct loop_fd *f, uint64_t ns);
void loop_fd_del(struct loop *l, struct loop_fd *f);	/* NULL is fine; safe inside any callback */

/*
 * A library that has descriptors of its own, other ones from round to round: it is
 * asked before each sleep and told afterwards. Storage is the owner's.
 */
struct loop_poller {
	/* loop_poll_add() every descriptor; make *max_ns smaller to be told sooner. */
	void (*fill)(void *opaque, struct loop *l, uint64_t *max_ns);
	/* Look at loop_poll_events(); failed: the host could not watch. */
	void (*done)(void *opaque, struct loop *l, bool failed);
	void *opaque;
	struct loop_poller *next;
};
void loop_poller_add(struct loop *l, struct loop_poller *p);
void loop_poller_del(struct loop *l, struct loop_poller *p);
/* poll()'s events; the result is the index that loop_poll_events() takes in the same round. */
int loop_poll_add(struct loop *l, int fd, short events);
short loop_poll_events(const struct loop *l, int index);
/* fill() would say something else now: a round at once. */
void loop_poll_again(struct loop *l);

/* ---- time ---- */
/* Host time: runs while the machine is stopped. For displays, time-outs. */
struct clock *loop_host_clock(struct loop *l);

/* ---- calls from anywhere ---- */
/* Run fn(opaque) on the loop's thread soon, in order. Any thread; not from signal handlers. */
void loop_call(struct loop *l, void (*fn)(void *opaque), void *opaque);
/* Make the loop look at its timers again. Any thread; signal-safe. */
void loop_wake(struct loop *l);

/* ---- signals ---- */
/* Block signo and have it delivered as a callback. Call before other threads start. */
bool loop_signal(struct loop *l, int signo, void (*fn)(void *opaque, int signo), void *opaque,
		 struct err *e);

/* ---- running ---- */
/* Until loop_quit(). Returns its status. */
int loop_run(struct loop *l);
/* One round: sleep at most max_ns (0: poll), then run what is due. */
void loop_step(struct loop *l, uint64_t max_ns);
void loop_quit(struct loop *l, int status);
bool loop_quitting(const struct loop *l);

#endif
