/* What software notices of the 8254. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "hw/timer/pit.h"

static struct bench b;

#define IRQ0 (b.isa[0])
/* First nanosecond after n ticks. */
#define TICKS(n) (((n) * 1000000000ull + PIT_HZ - 1) / PIT_HZ)

static void program(int ch, uint8_t control, uint16_t n)
{
	out(0x43, (uint8_t)(ch << 6 | control));
	out(0x40 + ch, n & 0xff);
	out(0x40 + ch, n >> 8);
}

static uint16_t latched(int ch)
{
	uint8_t lo;

	out(0x43, (uint8_t)(ch << 6));
	lo = (uint8_t)in(0x40 + ch);
	return (uint16_t)(lo | in(0x40 + ch) << 8);
}

static void setup(void) { bench_open(&b, &pit_type, NULL); }
static void teardown(void) { bench_close(&b); }
TestSuite(pit, .init = setup, .fini = teardown);

Test(pit, rate_generator_interrupts_once_a_period_without_drift)
{
	int before;

	program(0, 0x34, 11932);
	before = IRQ0.rises;
	bench_run(&b, TICKS(11932) - 1);
	cr_assert_eq(IRQ0.rises, before);
	bench_run(&b, 1);
	cr_assert_eq(IRQ0.rises, before + 1);
	bench_run(&b, TICKS(11932ull * 999));
	cr_assert_eq(IRQ0.rises, before + 1000);
}

Test(pit, periods_missed_by_a_late_loop_are_made_up_for)
{
	int before;

	program(0, 0x34, 11932);
	before = IRQ0.rises;
	b.mono += TICKS(11932 * 5 + 100);
	clock_run(&b.m->clock);
	cr_assert_eq(IRQ0.rises, before + 5);
	bench_run(&b, TICKS(11932 - 100));
	cr_assert_eq(IRQ0.rises, before + 6);
}

Test(pit, interrupt_on_terminal_count_comes_once)
{
	program(0, 0x30, 1000);
	cr_assert_not(IRQ0.level);
	bench_run(&b, TICKS(1000) - 1);
	cr_assert_not(IRQ0.level);
	bench_run(&b, 1);
	cr_assert(IRQ0.level);
	bench_run(&b, NS_PER_SEC);
	cr_assert_eq(IRQ0.rises, 1);
}

Test(pit, the_count_goes_down_with_time)
{
	program(0, 0x34, 10000);
	bench_run(&b, TICKS(2500));
	cr_assert_eq(latched(0), 7500);
	bench_run(&b, TICKS(10000));
	cr_assert_eq(latched(0), 7500);
}

Test(pit, a_latched_count_stays_until_read)
{
	uint8_t lo;

	program(0, 0x34, 0x2000);
	out(0x43, 0x00);
	bench_run(&b, TICKS(100));
	lo = (uint8_t)in(0x40);
	cr_assert_eq(lo | in(0x40) << 8, 0x2000);
	lo = (uint8_t)in(0x40);
	cr_assert_eq(lo | in(0x40) << 8, 0x2000 - 100);
}

Test(pit, square_wave_counts_by_two)
{
	program(2, 0x36, 1000);
	out(0x61, 0x01);
	bench_run(&b, TICKS(100));
	cr_assert_eq(latched(2), 800);
	cr_assert(in(0x61) & 0x20);
	bench_run(&b, TICKS(450));
	cr_assert_not(in(0x61) & 0x20);
}

Test(pit, bcd_counts_decimal_digits)
{
	program(0, 0x31, 0x1000);
	bench_run(&b, TICKS(1));
	cr_assert_eq(latched(0), 0x0999);
}

Test(pit, the_gate_of_counter_2_stops_and_resumes_mode_0)
{
	out(0x61, 0x00);
	program(2, 0x30, 1000);
	bench_run(&b, TICKS(5000));
	cr_assert_not(in(0x61) & 0x20);
	out(0x61, 0x01);
	bench_run(&b, TICKS(600));
	out(0x61, 0x00);
	bench_run(&b, TICKS(5000));
	cr_assert_not(in(0x61) & 0x20);
	out(0x61, 0x01);
	bench_run(&b, TICKS(400));
	cr_assert(in(0x61) & 0x20);
}

Test(pit, a_new_count_takes_over_at_the_end_of_the_period)
{
	int before;

	program(0, 0x34, 1000);
	bench_run(&b, TICKS(5500));
	out(0x40, 2000 & 0xff);
	out(0x40, 2000 >> 8);
	before = IRQ0.rises;
	bench_run(&b, TICKS(500) + 2);		/* the period under way ends as it began */
	cr_assert_eq(IRQ0.rises, before + 1);
	bench_run(&b, TICKS(1990));
	cr_assert_eq(IRQ0.rises, before + 1);
	bench_run(&b, TICKS(20));
	cr_assert_eq(IRQ0.rises, before + 2);
}

Test(pit, read_back_latches_status)
{
	program(0, 0x34, 1000);
	out(0x43, 0xe2);			/* status of counter 0 */
	cr_assert_eq(in(0x40), 0x80 | 0x34);
	out(0x43, 0x30);			/* mode 0, no count yet */
	out(0x43, 0xe2);
	cr_assert_eq(in(0x40), 0x40 | 0x30);
}

Test(pit, the_refresh_bit_toggles)
{
	uint8_t a = in(0x61) & 0x10;

	bench_run(&b, 15085);
	cr_assert_neq(in(0x61) & 0x10, a);
}

Test(pit, the_speaker_moves_with_gate_and_data)
{
	uint64_t t;

	program(2, 0x36, 1193);
	cr_assert_not(pit_speaker_level(b.dev, clock_now(&b.m->clock)));
	out(0x61, 0x03);
	t = clock_now(&b.m->clock);
	cr_assert(pit_speaker_level(b.dev, t + 100000));
	cr_assert_not(pit_speaker_level(b.dev, t + 600000));
	cr_assert(pit_speaker_level(b.dev, t + 1100000));
}
