/* Ticks that come while their forerunner waits. */
#include <criterion/criterion.h>

#include "hw/timer/tick.h"

static struct tick t;
static struct irq in;
static int rises, level;
static bool reaches;
static uint64_t has_run;

static void line(void *opaque, int n, int l)
{
	(void)opaque, (void)n;
	rises += l && !level;
	level = l;
}

static bool open(void *opaque) { return *(bool *)opaque; }

static uint64_t ran(void *opaque) { (void)opaque; return has_run; }

static void setup(void)
{
	reaches = true;
	t = (struct tick){ .out = irq_make(line, NULL, 0), .open = open, .ran = ran, .opaque = &reaches };
	in = tick_in(&t);
}

TestSuite(tick, .init = setup);

Test(tick, one_taken_in_time_passes)
{
	for (int i = 1; i < 5; i++) {
		irq_pulse(in);
		cr_assert_eq(rises, i);
		tick_taken(&t);
		cr_assert_eq(rises, i);
	}
}

Test(tick, those_not_taken_come_later)
{
	for (int i = 0; i < 5; i++)
		irq_pulse(in);
	rises = 0;
	for (int i = 0; i < 10; i++)
		tick_taken(&t);
	cr_assert_eq(rises, 4);
	cr_assert_not(level);
}

Test(tick, those_that_a_running_processor_would_not_take_are_lost)
{
	irq_pulse(in);
	has_run += TICK_DEAF_NS / 2;
	irq_pulse(in);
	for (int i = 0; i < 5; i++) {
		has_run += TICK_DEAF_NS;
		irq_pulse(in);
	}
	rises = 0;
	for (int i = 0; i < 10; i++)
		tick_taken(&t);
	cr_assert_eq(rises, 1);
}

Test(tick, the_line_keeps_its_level)
{
	irq_set(in, 1);
	irq_set(in, 0);
	irq_set(in, 1);
	rises = 0;
	tick_taken(&t);
	cr_assert_eq(rises, 1);
	cr_assert(level);
}

Test(tick, a_masked_line_owes_nothing)
{
	reaches = false;
	for (int i = 0; i < 5; i++)
		irq_pulse(in);
	reaches = true;
	irq_pulse(in);
	rises = 0;
	tick_taken(&t);
	cr_assert_eq(rises, 0);
	irq_pulse(in);
	irq_pulse(in);
	rises = 0;
	reaches = false;
	tick_taken(&t);
	cr_assert_eq(rises, 0);
}

Test(tick, a_deaf_guest_is_not_flooded)
{
	for (int i = 0; i < 1000; i++)
		irq_pulse(in);
	rises = 0;
	for (int i = 0; i < 1000; i++)
		tick_taken(&t);
	cr_assert_eq(rises, TICK_MAX_OWED);
}
