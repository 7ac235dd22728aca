/* Guest time and its timers. */
#include <criterion/criterion.h>

#include <string.h>

#include "tests/bench.h"

static struct bench b;
static char order[64];
static struct timer t[4];

static void note(void *opaque)
{
	strcat(order, opaque);
}

static void setup(void)
{
	static char *const names[] = { "a", "b", "c", "d" };

	bench_machine(&b);
	for (int i = 0; i < 4; i++)
		timer_init(&t[i], &b.m->clock, note, names[i]);
}
static void teardown(void) { bench_close(&b); }
TestSuite(clock, .init = setup, .fini = teardown);

Test(clock, time_starts_at_zero_and_stands_while_stopped)
{
	cr_assert_eq(clock_now(&b.m->clock), 0);
	b.mono += 100;
	cr_assert_eq(clock_now(&b.m->clock), 100);
	clock_stop(&b.m->clock);
	b.mono += 1000;
	cr_assert_eq(clock_now(&b.m->clock), 100);
	clock_start(&b.m->clock);
	b.mono += 5;
	cr_assert_eq(clock_now(&b.m->clock), 105);
}

Test(clock, timers_fire_in_order_of_their_deadlines)
{
	timer_mod(&t[0], 300);
	timer_mod(&t[1], 100);
	timer_mod(&t[2], 200);
	timer_mod(&t[3], 50);
	timer_mod(&t[3], 400);
	bench_run(&b, 350);
	cr_assert_str_eq(order, "bca");
	bench_run(&b, 100);
	cr_assert_str_eq(order, "bcad");
}

Test(clock, a_deleted_timer_stays_silent)
{
	timer_mod(&t[0], 10);
	timer_mod(&t[1], 20);
	timer_mod(&t[2], 30);
	timer_del(&t[1]);
	timer_del(&t[1]);
	cr_assert_not(timer_pending(&t[1]));
	bench_run(&b, 100);
	cr_assert_str_eq(order, "ac");
}

Test(clock, no_timer_fires_before_its_time)
{
	timer_mod(&t[0], 1000);
	bench_run(&b, 999);
	cr_assert_str_empty(order);
	bench_run(&b, 1);
	cr_assert_str_eq(order, "a");
}

static void remember(void *opaque, uint64_t deadline)
{
	*(uint64_t *)opaque = deadline;
}

Test(clock, the_sleeper_hears_of_earlier_deadlines_only)
{
	uint64_t heard = 0;

	b.m->clock.on_earlier = remember;
	b.m->clock.on_earlier_opaque = &heard;
	timer_mod(&t[0], 1000);
	cr_assert_eq(heard, 1000);
	timer_mod(&t[1], 2000);
	cr_assert_eq(heard, 1000);
	timer_mod(&t[2], 500);
	cr_assert_eq(heard, 500);
	b.m->clock.on_earlier = NULL;
}

Test(clock, ten_thousand_random_changes_keep_the_heap_in_order)
{
	static struct timer many[100];
	uint64_t x = 1234567, last = 0;

	for (int i = 0; i < 100; i++)
		timer_init(&many[i], &b.m->clock, note, "");
	for (int i = 0; i < 10000; i++) {
		struct timer *one;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		one = &many[(x >> 33) % 100];
		if (x >> 60 < 4)
			timer_del(one);
		else
			timer_mod(one, x >> 40);
	}
	while (clock_next(&b.m->clock) != TIME_NEVER) {
		struct timer *first = b.m->clock.heap[0];

		cr_assert_geq(first->deadline, last);
		last = first->deadline;
		timer_del(first);
	}
}

Test(clock, the_wall_clock_takes_a_date)
{
	cr_assert(clock_set_wall(&b.m->clock, "2006-06-17T16:01:21", &b.err), "%s", b.err.msg);
	cr_assert_eq(clock_wall(&b.m->clock) / 1000000000, 1150560081);
	cr_assert(clock_set_wall(&b.m->clock, "2000-01-01", &b.err));
	cr_assert_eq(clock_wall(&b.m->clock) / 1000000000, 946684800);
	cr_assert_not(clock_set_wall(&b.m->clock, "yesterday", &b.err));
	cr_assert_not(clock_set_wall(&b.m->clock, "2000-01-01T12", &b.err));
	cr_assert_not(clock_set_wall(&b.m->clock, "2023-02-29", &b.err), "no leap year");
	cr_assert_not(clock_set_wall(&b.m->clock, "2020-01-01T24:00:00", &b.err));
	cr_assert(clock_set_wall(&b.m->clock, "2024-02-29T23:59:59", &b.err));
}
