/*
 * The event loop: one ppoll() over all descriptors, with the time to the next
 * timer as its time-out.
 *
 * Sleeping and being woken. Before it sleeps the loop publishes until when it will
 * (`sleep_until`), and then looks at its timers once more. A timer armed for an earlier
 * time by another thread compares against that and writes to the eventfd only
 * if it must: either the loop sees the timer, or the thread sees that the loop sleeps.
 * Descriptors that are deleted in a callback stay in the list, dead, until the
 * round is over.
 *
 * loop_new() makes the process ignore SIGPIPE: a reader that goes away is an
 * error of write(), not the end of the machine.
 */
#include "hw/core/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hw/core/bus.h"

struct loop_fd {
	int fd;
	unsigned want;
	uint64_t rests_until;		/* host clock; 0: it does not rest */
	loop_fd_fn *fn;
	void *opaque;
	bool dead;
	struct loop_fd *next;
};

struct call {
	void (*fn)(void *opaque);
	void *opaque;
	struct call *next;
};

#define MAX_SIGNALS 16
struct sig {
	int signo;
	void (*fn)(void *opaque, int signo);
	void *opaque;
};

struct loop {
	struct machine *m;
	struct clock host_clock;
	struct loop_fd *fds;
	int n_fds;
	struct pollfd *poll;		/* rebuilt each round; poll_owner[i] owns poll[i] */
	struct loop_fd **poll_owner;
	int cap_poll, n_poll;
	struct loop_poller *pollers;
	int event_fd, signal_fd;
	sigset_t sigmask;
	struct sig sigs[MAX_SIGNALS];
	int n_sigs;
	pthread_mutex_t call_lock;
	struct call *calls, **calls_tail;
	_Atomic uint64_t sleep_until;	/* host ns; 0: awake */
	_Atomic bool quit;
	_Atomic int status;
};

/* ---- waking ---- */

void loop_wake(struct loop *l)
{
	uint64_t one = 1;
	ssize_t r = write(l->event_fd, &one, sizeof(one));

	(void)r;		/* EAGAIN: it is as awake as can be */
}

/* Something wants the loop at host time t; wake it if it sleeps longer. */
static void wake_for(struct loop *l, uint64_t t)
{
	uint64_t until = atomic_load(&l->sleep_until);

	if (until && t < until && atomic_exchange(&l->sleep_until, 0))
		loop_wake(l);
}

/* A clock's deadline in host time; what is past counts as 0. */
static uint64_t host_time(const struct clock *c, uint64_t deadline)
{
	int64_t t = (int64_t)(deadline - atomic_load(&c->base));

	return t < 0 ? 0 : (uint64_t)t;
}

static void earlier_host(void *opaque, uint64_t deadline)
{
	struct loop *l = opaque;

	wake_for(l, host_time(&l->host_clock, deadline));
}

static void earlier_guest(void *opaque, uint64_t deadline)
{
	struct loop *l = opaque;

	wake_for(l, host_time(&l->m->clock, deadline));
}

static void drain_wake(void *opaque, int fd, unsigned events)
{
	uint64_t n;
	ssize_t r = read(fd, &n, sizeof(n));

	(void)opaque, (void)events, (void)r;
}

/* ---- life ---- */

struct loop *loop_new(struct machine *m, struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, "no memory for the event loop");
		return NULL;
	}
	l->m = m;
	l->signal_fd = -1;
	l->calls_tail = &l->calls;
	sigemptyset(&l->sigmask);
	pthread_mutex_init(&l->call_lock, NULL);
	clock_init(&l->host_clock, m ? &m->clock.host : NULL);
	clock_start(&l->host_clock);
	l->host_clock.on_earlier = earlier_host;
	l->host_clock.on_earlier_opaque = l;
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->event_fd < 0) {
		err_errno(e, "eventfd");
		loop_free(l);
		return NULL;
	}
	if (m) {
		m->clock.on_earlier = earlier_guest;
		m->clock.on_earlier_opaque = l;
		m->loop = l;
	}
	signal(SIGPIPE, SIG_IGN);
	loop_fd_add(l, l->event_fd, LOOP_READ, drain_wake, l);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (struct loop_fd *f = l->fds, *next; f; f = next) {
		next = f->next;
		free(f);
	}
	for (struct call *c = l->calls, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	loop_forget_machine(l);
	if (l->event_fd >= 0)
		close(l->event_fd);
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	clock_fini(&l->host_clock);
	pthread_mutex_destroy(&l->call_lock);
	free(l->poll);
	free(l->poll_owner);
	free(l);
}

void loop_forget_machine(struct loop *l)
{
	if (!l || !l->m)
		return;
	l->m->loop = NULL;
	l->m->clock.on_earlier = NULL;
	l->m = NULL;
}

struct clock *loop_host_clock(struct loop *l)
{
	return &l->host_clock;
}

/* ---- descriptors ---- */

struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *opaque)
{
	struct loop_fd *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct loop_fd){ .fd = fd, .want = events, .fn = fn, .opaque = opaque, .next = l->fds };
	l->fds = f;
	l->n_fds++;
	wake_for(l, 0);
	return f;
}

void loop_fd_want(struct loop *l, struct loop_fd *f, unsigned events)
{
	if (f->want == events)
		return;
	f->want = events;
	wake_for(l, 0);
}

void loop_fd_rest(struct loop *l, struct loop_fd *f, uint64_t ns)
{
	f->rests_until = ns ? clock_now(&l->host_clock) + ns : 0;
	if (!ns)
		wake_for(l, 0);
}

void loop_fd_del(struct loop *l, struct loop_fd *f)
{
	if (!f)
		return;
	f->dead = true;
	f->want = 0;
	wake_for(l, 0);
}

static void sweep(struct loop *l)
{
	for (struct loop_fd **p = &l->fds; *p;) {
		struct loop_fd *f = *p;

		if (f->dead) {
			*p = f->next;
			l->n_fds--;
			free(f);
		} else {
			p = &f->next;
		}
	}
}

static int add_poll(struct loop *l, int fd, short events, struct loop_fd *owner)
{
	if (l->n_poll == l->cap_poll) {
		l->cap_poll += 16;
		l->poll = realloc(l->poll, l->cap_poll * sizeof(*l->poll));
		l->poll_owner = realloc(l->poll_owner, l->cap_poll * sizeof(*l->poll_owner));
		if (!l->poll || !l->poll_owner)
			abort();
	}
	l->poll[l->n_poll] = (struct pollfd){ .fd = fd, .events = events };
	l->poll_owner[l->n_poll] = owner;
	return l->n_poll++;
}

static bool rests(struct loop *l, struct loop_fd *f, uint64_t *max_ns)
{
	uint64_t now = f->rests_until ? clock_now(&l->host_clock) : 0;

	if (now >= f->rests_until)
		f->rests_until = 0;
	else
		*max_ns = min_u64(*max_ns, f->rests_until - now);
	return f->rests_until;
}

static void build_poll(struct loop *l, uint64_t *max_ns)
{
	sweep(l);
	l->n_poll = 0;
	for (struct loop_fd *f = l->fds; f; f = f->next)
		if (f->want && !rests(l, f, max_ns))
			add_poll(l, f->fd, (f->want & LOOP_READ ? POLLIN : 0) |
				 (f->want & LOOP_WRITE ? POLLOUT : 0), f);
	for (struct loop_poller *p = l->pollers; p; p = p->next)
		p->fill(p->opaque, l, max_ns);
}

/* ---- descriptors of libraries ---- */

void loop_poller_add(struct loop *l, struct loop_poller *p)
{
	p->next = l->pollers;
	l->pollers = p;
	wake_for(l, 0);
}

void loop_poller_del(struct loop *l, struct loop_poller *p)
{
	struct loop_poller **at = &l->pollers;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
}

int loop_poll_add(struct loop *l, int fd, short events)
{
	return add_poll(l, fd, events, NULL);
}

short loop_poll_events(const struct loop *l, int index)
{
	return index >= 0 && index < l->n_poll ? l->poll[index].revents : 0;
}

void loop_poll_again(struct loop *l)
{
	wake_for(l, 0);
}

static void tell_pollers(struct loop *l, bool failed)
{
	for (struct loop_poller *p = l->pollers, *next; p; p = next) {
		next = p->next;
		p->done(p->opaque, l, failed);
	}
}

static void dispatch(struct loop *l)
{
	for (int i = 0; i < l->n_poll; i++) {
		struct loop_fd *f = l->poll_owner[i];
		if (!f)
			continue;
		short r = l->poll[i].revents;
		unsigned ev = (r & POLLIN ? LOOP_READ : 0) | (r & POLLOUT ? LOOP_WRITE : 0) |
			      (r & (POLLHUP | POLLERR | POLLNVAL) ? LOOP_HUP : 0);

		ev &= f->want | LOOP_HUP;
		if (ev && !f->dead && f->want)
			f->fn(f->opaque, f->fd, ev);
	}
}

/* ---- calls ---- */

void loop_call(struct loop *l, void (*fn)(void *opaque), void *opaque)
{
	struct call *c = malloc(sizeof(*c));
	bool first;

	if (!c)
		abort();
	*c = (struct call){ fn, opaque, NULL };
	pthread_mutex_lock(&l->call_lock);
	first = !l->calls;
	*l->calls_tail = c;
	l->calls_tail = &c->next;
	pthread_mutex_unlock(&l->call_lock);
	if (first)
		loop_wake(l);
}

static void run_calls(struct loop *l)
{
	struct call *c;

	pthread_mutex_lock(&l->call_lock);
	c = l->calls;
	l->calls = NULL;
	l->calls_tail = &l->calls;
	pthread_mutex_unlock(&l->call_lock);
	while (c) {
		struct call *next = c->next;

		c->fn(c->opaque);
		free(c);
		c = next;
	}
}

/* ---- signals ---- */

static void on_signal_fd(void *opaque, int fd, unsigned events)
{
	struct loop *l = opaque;
	struct signalfd_siginfo si;

	(void)events;
	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	for (int i = 0; i < l->n_sigs; i++)
		if (l->sigs[i].signo == (int)si.ssi_signo)
			l->sigs[i].fn(l->sigs[i].opaque, l->sigs[i].signo);
}

bool loop_signal(struct loop *l, int signo, void (*fn)(void *opaque, int signo), void *opaque,
		 struct err *e)
{
	int fd;

	if (l->n_sigs == MAX_SIGNALS)
		return err_set(e, "too many signals");
	sigaddset(&l->sigmask, signo);
	pthread_sigmask(SIG_BLOCK, &l->sigmask, NULL);
	fd = signalfd(l->signal_fd, &l->sigmask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_errno(e, "signalfd");
	if (l->signal_fd < 0) {
		l->signal_fd = fd;
		loop_fd_add(l, fd, LOOP_READ, on_signal_fd, l);
	}
	l->sigs[l->n_sigs++] = (struct sig){ signo, fn, opaque };
	return true;
}

/* ---- running ---- */

static void lock(struct loop *l)
{
	if (l->m)
		machine_lock(l->m);
}

static void unlock(struct loop *l)
{
	if (l->m)
		machine_unlock(l->m);
}

static uint64_t until(struct clock *c)
{
	uint64_t next, now;

	if (!clock_running(c) || (next = clock_next(c)) == TIME_NEVER)
		return TIME_NEVER;
	now = clock_now(c);
	return next > now ? next - now : 0;
}

static uint64_t until_timers(struct loop *l)
{
	uint64_t ns = until(&l->host_clock);

	return l->m ? min_u64(ns, until(&l->m->clock)) : ns;
}

/* How long to sleep; sleep_until tells other threads. Machine lock. */
static uint64_t plan_sleep(struct loop *l, uint64_t max_ns)
{
	uint64_t ns = min_u64(max_ns, until_timers(l)), now;

	now = l->host_clock.host.mono_ns(l->host_clock.host.opaque);
	if (ns)
		atomic_store(&l->sleep_until, ns > TIME_NEVER - now ? TIME_NEVER : now + ns);
	return min_u64(ns, until_timers(l));
}

void loop_step(struct loop *l, uint64_t max_ns)
{
	struct timespec ts;
	uint64_t ns;
	int r;

	lock(l);
	build_poll(l, &max_ns);
	ns = plan_sleep(l, max_ns);
	unlock(l);
	ts.tv_sec = (time_t)(ns / NS_PER_SEC);
	ts.tv_nsec = (long)(ns % NS_PER_SEC);
	r = ppoll(l->poll, (nfds_t)l->n_poll, ns == TIME_NEVER ? NULL : &ts, NULL);
	atomic_store(&l->sleep_until, 0);

	lock(l);
	clock_run(&l->host_clock);	/* first: a key is let go before the guest's keyboard repeats it */
	if (l->m)
		clock_run(&l->m->clock);
	tell_pollers(l, r < 0);
	if (r > 0)
		dispatch(l);
	run_calls(l);
	unlock(l);
}

int loop_run(struct loop *l)
{
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	while (!loop_quitting(l))
		loop_step(l, TIME_NEVER);
	return atomic_load(&l->status);
}

void loop_quit(struct loop *l, int status)
{
	atomic_store(&l->status, status);
	atomic_store(&l->quit, true);
	loop_wake(l);
}

bool loop_quitting(const struct loop *l)
{
	return atomic_load(&l->quit);
}
