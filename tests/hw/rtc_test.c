/* What software notices of the real-time clock. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "base/value.h"
#include "hw/timer/rtc.h"

static struct bench b;

#define LINE (b.isa[8].level)

static uint8_t get(uint8_t i) { out(0x70, i); return (uint8_t)in(0x71); }
static void put(uint8_t i, uint8_t v) { out(0x70, i); out(0x71, v); }

static void setup(void)
{
	bench_machine(&b);
	clock_set_wall(&b.m->clock, "2006-06-17T23:59:58", &b.err);
	b.dev = dev_make(b.m, &rtc_type, NULL, NULL, &b.err);
	cr_assert(b.dev, "%s", b.err.msg);
}
static void teardown(void) { bench_close(&b); }
TestSuite(rtc, .init = setup, .fini = teardown);

Test(rtc, the_date_reads_as_bcd)
{
	cr_assert_eq(get(0), 0x58);
	cr_assert_eq(get(2), 0x59);
	cr_assert_eq(get(4), 0x23);
	cr_assert_eq(get(6), 7);		/* a Saturday */
	cr_assert_eq(get(7), 0x17);
	cr_assert_eq(get(8), 0x06);
	cr_assert_eq(get(9), 0x06);
	cr_assert_eq(get(0x32), 0x20);
}

Test(rtc, the_date_carries_over_midnight)
{
	bench_run(&b, 3 * NS_PER_SEC);
	cr_assert_eq(get(0), 0x01);
	cr_assert_eq(get(4), 0x00);
	cr_assert_eq(get(7), 0x18);
}

Test(rtc, binary_and_twelve_hour_formats)
{
	put(11, 0x06);
	cr_assert_eq(get(4), 23);
	put(11, 0x00);
	cr_assert_eq(get(4), 0x91);
	put(11, 0x02);
}

Test(rtc, a_date_that_is_set_runs_on)
{
	put(11, 0x82);
	put(0, 0x30); put(2, 0x15); put(4, 0x08); put(7, 0x29); put(8, 0x02); put(9, 0x24); put(0x32, 0x20);
	bench_run(&b, 5 * NS_PER_SEC);
	cr_assert_eq(get(0), 0x30);		/* it stands while SET is on */
	put(11, 0x02);
	bench_run(&b, 2 * NS_PER_SEC);
	cr_assert_eq(get(0), 0x32);
	cr_assert_eq(get(7), 0x29);
	cr_assert_eq(get(6), 5);		/* a Thursday, whatever was written */
}

Test(rtc, the_update_interrupt_comes_every_second)
{
	put(11, 0x12);
	bench_run(&b, NS_PER_SEC);
	cr_assert(LINE);
	cr_assert_eq(get(12) & 0xb0, 0x90);
	cr_assert_not(LINE);
	cr_assert_eq(get(12) & 0xb0, 0);
	bench_run(&b, NS_PER_SEC);
	cr_assert(LINE);
}

Test(rtc, the_periodic_interrupt_keeps_its_rate)
{
	put(10, 0x26);				/* 1024 Hz */
	put(11, 0x42);
	for (int i = 0; i < 1024; i++) {
		bench_run(&b, NS_PER_SEC / 1024 + 1);
		cr_assert(LINE);
		cr_assert_eq(get(12) & 0xc0, 0xc0);
	}
	cr_assert_eq(b.isa[8].rises, 1024);
}

Test(rtc, the_alarm_strikes_at_its_time)
{
	put(1, 0x05); put(3, 0x00); put(5, 0x00);
	put(11, 0x22);
	bench_run(&b, 6 * NS_PER_SEC);
	cr_assert_not(LINE);
	bench_run(&b, NS_PER_SEC);
	cr_assert(LINE);
	cr_assert_eq(get(12) & 0xa0, 0xa0);
}

Test(rtc, an_alarm_may_match_anything)
{
	put(1, 0xff); put(3, 0xff); put(5, 0xff);
	put(11, 0x22);
	for (int i = 0; i < 3; i++) {
		bench_run(&b, NS_PER_SEC);
		cr_assert_eq(get(12) & 0xa0, 0xa0);
	}
}

Test(rtc, flags_can_be_polled_without_interrupts)
{
	get(12);
	bench_run(&b, NS_PER_SEC);
	cr_assert_eq(get(12) & 0xf0, 0x50);
	cr_assert_not(LINE);
	cr_assert_eq(clock_next(&b.m->clock), TIME_NEVER);
}

Test(rtc, update_in_progress_shows_before_the_second_turns)
{
	cr_assert_eq(get(10) & 0x80, 0);
	bench_run(&b, NS_PER_SEC - 100 * NS_PER_US);
	cr_assert_eq(get(10) & 0x80, 0x80);
	bench_run(&b, 101 * NS_PER_US);
	cr_assert_eq(get(10) & 0x80, 0);
}

Test(rtc, cmos_memory_survives_a_reset)
{
	put(0x40, 0xa5);
	machine_reset_devices(b.m);
	cr_assert_eq(get(0x40), 0xa5);
	cr_assert_eq(get(13), 0x80);
}

static int64_t told;
static int n_told;

static void note(void *opaque, const char *name, struct value *data)
{
	(void)opaque;
	cr_assert_str_eq(name, "RTC_CHANGE");
	told = val_get_int(data, "offset", -1);
	n_told++;
	val_free(data);
}

Test(rtc, programs_are_told_how_far_the_guest_moved_it)
{
	b.m->on_event = note;
	put(2, 0x29);				/* half an hour back */
	cr_assert_eq(n_told, 1);
	cr_assert_eq(told, -1800);
	put(2, 0x29);				/* the same again is no change */
	cr_assert_eq(n_told, 1);
}
