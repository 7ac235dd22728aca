/* The event loop, in real time but without waiting for it. */
#include <criterion/criterion.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "tests/bench.h"
#include "hw/core/loop.h"
#include "hw/pc/types.h"

static struct machine *m;
static struct loop *l;
static int count;

static void setup(void)
{
	struct err e;

	m = machine_new(dev_types, NULL, &e);
	l = loop_new(m, &e);
	cr_assert(l, "%s", e.msg);
	clock_start(&m->clock);
}
static void teardown(void)
{
	machine_free(m);
	loop_free(l);
}
TestSuite(loop, .init = setup, .fini = teardown, .timeout = 20);

static void bump(void *opaque)
{
	(void)opaque;
	cr_assert(machine_locked(m));
	count++;
}

static void quit(void *opaque)
{
	(void)opaque;
	loop_quit(l, 42);
}

Test(loop, it_runs_until_told_to_quit)
{
	loop_call(l, bump, NULL);
	loop_call(l, quit, NULL);
	cr_assert_eq(loop_run(l), 42);
	cr_assert_eq(count, 1);
}

static void *arm_from_afar(void *opaque)
{
	struct timer *t = opaque;

	usleep(20000);			/* let the loop fall asleep without a deadline */
	machine_lock(m);
	timer_mod(t, clock_now(&m->clock) + 1000);
	machine_unlock(m);
	return NULL;
}

Test(loop, a_timer_armed_by_another_thread_wakes_it)
{
	struct timer t;
	pthread_t th;

	timer_init(&t, &m->clock, quit, NULL);
	pthread_create(&th, NULL, arm_from_afar, &t);
	cr_assert_eq(loop_run(l), 42);
	pthread_join(th, NULL);
}

static void *call_from_afar(void *opaque)
{
	(void)opaque;
	usleep(20000);
	loop_call(l, quit, NULL);
	return NULL;
}

Test(loop, a_call_from_another_thread_wakes_it)
{
	pthread_t th;

	pthread_create(&th, NULL, call_from_afar, NULL);
	loop_run(l);
	pthread_join(th, NULL);
}

static struct loop_fd *watched;

static void on_byte(void *opaque, int fd, unsigned events)
{
	char c;

	cr_assert(events & LOOP_READ);
	cr_assert_eq(read(fd, &c, 1), 1);
	count++;
	if (c == 'q') {
		loop_fd_del(l, watched);
		loop_quit(l, 0);
	}
	(void)opaque;
}

Test(loop, descriptors_are_served_and_may_go_in_their_callback)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(write(p[1], "aaq", 3), 3);
	watched = loop_fd_add(l, p[0], LOOP_READ, on_byte, NULL);
	loop_run(l);
	cr_assert_eq(count, 3);
	cr_assert_eq(write(p[1], "a", 1), 1);
	loop_step(l, 0);
	cr_assert_eq(count, 3);
}

Test(loop, a_suspended_descriptor_is_left_alone)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	watched = loop_fd_add(l, p[0], 0, on_byte, NULL);
	close(p[1]);			/* a hang-up nobody wants to hear of */
	loop_step(l, 0);
	loop_step(l, 0);
	cr_assert_eq(count, 0);
}

static void on_signal(void *opaque, int signo)
{
	(void)opaque;
	cr_assert_eq(signo, SIGUSR1);
	loop_quit(l, 1);
}

Test(loop, signals_become_callbacks)
{
	struct err e;

	cr_assert(loop_signal(l, SIGUSR1, on_signal, NULL, &e), "%s", e.msg);
	kill(getpid(), SIGUSR1);
	cr_assert_eq(loop_run(l), 1);
}

Test(loop, host_time_runs_while_the_machine_is_stopped)
{
	struct timer t;

	clock_stop(&m->clock);
	timer_init(&t, loop_host_clock(l), quit, NULL);
	timer_mod(&t, clock_now(loop_host_clock(l)) + 1000);
	loop_run(l);
}

/* ---- descriptors of libraries ---- */

static int pipes[2], poll_index, got;

static void fill(void *opaque, struct loop *in, uint64_t *max_ns)
{
	(void)opaque;
	cr_assert(machine_locked(m));
	poll_index = loop_poll_add(in, pipes[0], POLLIN);
	*max_ns = min_u64(*max_ns, 1000000);
}

static void done(void *opaque, struct loop *in, bool failed)
{
	(void)opaque;
	cr_assert_not(failed);
	got |= loop_poll_events(in, poll_index);
	cr_assert_eq(loop_poll_events(in, -1), 0);
	cr_assert_eq(loop_poll_events(in, 1000), 0);
	count++;
}

Test(loop, a_library_is_asked_each_round_and_told_afterwards)
{
	struct loop_poller p = { .fill = fill, .done = done };

	cr_assert_eq(pipe(pipes), 0);
	machine_lock(m);
	loop_poller_add(l, &p);
	machine_unlock(m);
	loop_step(l, TIME_NEVER);		/* it asked for a millisecond at most */
	cr_assert_eq(got, 0);
	cr_assert_eq(write(pipes[1], "x", 1), 1);
	loop_step(l, TIME_NEVER);
	cr_assert_eq(got, POLLIN);
	machine_lock(m);
	loop_poller_del(l, &p);
	machine_unlock(m);
	loop_step(l, 0);
	cr_assert_eq(count, 2);
}

#define HOUR	3600000000000ull

struct rearm {
	struct timer t;
	_Atomic int fired;
	bool past;			/* for moments long ago */
};

static void fired(void *opaque)
{
	atomic_fetch_add(&((struct rearm *)opaque)->fired, 1);
}

/* As a processor does with the timer of its local APIC. */
static void *arm_without_the_lock(void *opaque)
{
	struct rearm *r = opaque;

	for (int i = 1; i <= 2000; i++) {
		timer_mod(&r->t, r->past ? (unsigned)i : clock_now(&m->clock) + (unsigned)i * 1009 % 20000);
		while (atomic_load(&r->fired) < i)
			;
	}
	return opaque;
}

static void arm_from_two_threads(bool past)
{
	static struct rearm r[2];
	pthread_t thread[2];

	for (int k = 0; k < 2; k++) {
		timer_init(&r[k].t, &m->clock, fired, &r[k]);
		r[k].past = past;
	}
	for (int k = 0; k < 2; k++)
		pthread_create(&thread[k], NULL, arm_without_the_lock, &r[k]);
	while (atomic_load(&r[0].fired) < 2000 || atomic_load(&r[1].fired) < 2000)
		loop_step(l, HOUR);
	for (int k = 0; k < 2; k++)
		pthread_join(thread[k], NULL);
}

Test(loop, no_timer_is_slept_over_that_is_armed_without_the_lock)
{
	arm_from_two_threads(false);
}

/* The guest has lived longer than the host is up. */
Test(loop, timers_of_the_past_wake_it)
{
	atomic_store(&m->clock.base, 1ull << 60);
	arm_from_two_threads(true);
}

static void note_count(void *opaque)
{
	*(int *)opaque = ++count;
}

Test(loop, what_people_do_comes_before_what_the_guest_waits_for)
{
	struct clock *host = loop_host_clock(l);
	struct timer people, guest;
	int first = 0, second = 0;

	timer_init(&people, host, note_count, &first);
	timer_init(&guest, &m->clock, note_count, &second);
	machine_lock(m);
	timer_mod(&guest, clock_now(&m->clock) + 1000);
	timer_mod(&people, clock_now(host) + 1000);
	machine_unlock(m);
	usleep(1000);
	loop_step(l, 0);
	cr_expect_eq(first, 1);
	cr_expect_eq(second, 2);
	timer_del(&people);
	timer_del(&guest);
}
