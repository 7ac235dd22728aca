/* What a kernel notices of the HPET. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "hw/timer/hpet.h"

static struct bench b;

#define R(off) (0xfed00000u + (off))
enum { CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0, T0 = 0x100, CMP0 = 0x108, T1 = 0x120, CMP1 = 0x128 };

static void setup(void)
{
	bench_open(&b, &hpet_type, NULL);
	for (int i = 0; i < MACHINE_N_GSIS; i++)
		b.m->gsi[i] = bench_line(&b, i);
}
static void teardown(void) { bench_close(&b); }
TestSuite(hpet, .init = setup, .fini = teardown);

Test(hpet, it_says_what_it_is)
{
	cr_assert_eq(rd(R(0)), 0x8086a201);
	cr_assert_eq(rd(R(4)), 10000000);
	cr_assert_eq(phys_read(b.m->phys, R(0), 8), 10000000ull << 32 | 0x8086a201);
}

Test(hpet, the_counter_runs_while_enabled)
{
	bench_run(&b, 1000);
	cr_assert_eq(rd(R(COUNTER)), 0);
	wr(R(CONFIG), 1);
	bench_run(&b, 1000);
	cr_assert_eq(rd(R(COUNTER)), 100);
	wr(R(CONFIG), 0);
	bench_run(&b, 1000);
	cr_assert_eq(rd(R(COUNTER)), 100);
	wr(R(COUNTER), 7);
	cr_assert_eq(rd(R(COUNTER)), 7);
}

Test(hpet, a_comparator_strikes_once)
{
	wr(R(CONFIG), 1);
	wr(R(T0), 20 << 9 | 4);
	wr(R(CMP0), 500);
	wr(R(CMP0 + 4), 0);
	bench_run(&b, 4999);
	cr_assert_eq(b.line[20].rises, 0);
	bench_run(&b, 1);
	cr_assert_eq(b.line[20].rises, 1);
	bench_run(&b, NS_PER_SEC);
	cr_assert_eq(b.line[20].rises, 1);
}

Test(hpet, a_periodic_comparator_keeps_its_period)
{
	wr(R(T0), 0x04c | 20 << 9);
	wr(R(CMP0), 100000);
	wr(R(CMP0 + 4), 0);
	wr(R(CMP0), 100000);
	wr(R(CONFIG), 1);
	bench_run(&b, NS_PER_SEC);
	cr_assert_eq(b.line[20].rises, 1000);
}

/* Linux leaves it so: the period goes on, without an interrupt. */
static void go_on_unheard(void)
{
	wr(R(T0), 0x04c | 20 << 9);
	wr(R(CMP0), 100000);
	wr(R(CMP0 + 4), 0);
	wr(R(CONFIG), 1);
	bench_run(&b, NS_PER_MS);
	cr_assert_eq(b.line[20].rises, 1);
	wr(R(T0), 0x008 | 20 << 9);
}

Test(hpet, a_period_without_an_interrupt_needs_no_timer_of_its_own)
{
	go_on_unheard();
	cr_assert_gt(clock_next(&b.m->clock), clock_now(&b.m->clock) + NS_PER_SEC / 2);
	wr(R(T1), 21 << 9);			/* and one without a period none at all */
	wr(R(CMP1), 300000);
	cr_assert_gt(clock_next(&b.m->clock), clock_now(&b.m->clock) + NS_PER_SEC / 2);
	bench_run(&b, 2 * NS_PER_MS + NS_PER_MS / 2);
	cr_assert_eq(rd(R(CMP0)), 400000);
	bench_run(&b, 20 * (uint64_t)NS_PER_SEC);
	cr_assert_eq(rd(R(CMP0)), 400000 + 20 * 100000000u);
	cr_assert_eq(b.line[20].rises, 1);
}

Test(hpet, a_period_is_kept_while_its_interrupt_is_disabled)
{
	go_on_unheard();
	bench_run(&b, 2 * NS_PER_MS + NS_PER_MS / 2);
	wr(R(T0), 0x00c | 20 << 9);
	cr_assert_eq(rd(R(CMP0)), 400000);
	bench_run(&b, NS_PER_MS / 2 - 1);
	cr_assert_eq(b.line[20].rises, 1);
	bench_run(&b, 1);
	cr_assert_eq(b.line[20].rises, 2);
	wr(R(T0), 0x008 | 20 << 9);
	bench_run(&b, 3 * NS_PER_MS);
	wr(R(CONFIG), 0);			/* halted, and what was passed is known */
	cr_assert_eq(rd(R(CMP0)), 800000);
}

Test(hpet, a_period_without_an_interrupt_is_loaded_as_it_stands)
{
	go_on_unheard();
	b.mono += 3 * NS_PER_MS;
	cr_assert(hpet_type.loaded(b.dev, &b.err));
	wr(R(T0), 0x00c | 20 << 9);
	bench_run(&b, NS_PER_MS);
	cr_assert_eq(b.line[20].rises, 2);
}

Test(hpet, legacy_replacement_takes_the_lines_of_8254_and_clock)
{
	irq_set(hpet_legacy_in(b.dev, 0), 1);
	cr_assert(b.isa[0].level);
	wr(R(CONFIG), 3);
	cr_assert_not(b.isa[0].level);
	irq_set(hpet_legacy_in(b.dev, 1), 1);
	cr_assert_not(b.isa[8].level);
	wr(R(T0), 4);
	wr(R(CMP0), 1000);
	wr(R(CMP0 + 4), 0);
	bench_run(&b, 20000);
	cr_assert_eq(b.isa[0].rises, 2);
	wr(R(CONFIG), 1);
	cr_assert(b.isa[8].level);
}

Test(hpet, a_level_interrupt_stays_until_status_is_cleared)
{
	wr(R(CONFIG), 1);
	wr(R(T1), 21 << 9 | 4 | 2);
	wr(R(CMP1), 100);
	wr(R(CMP1 + 4), 0);
	bench_run(&b, 1000);
	cr_assert(b.line[21].level);
	cr_assert_eq(rd(R(STATUS)), 2);
	wr(R(STATUS), 2);
	cr_assert_not(b.line[21].level);
}

Test(hpet, a_32_bit_comparator_wraps_with_the_low_half)
{
	wr(R(COUNTER), 0xffffff00u);
	wr(R(CONFIG), 1);
	wr(R(T0), 20 << 9 | 0x104);
	wr(R(CMP0), 0x100);
	bench_run(&b, 5119);
	cr_assert_eq(b.line[20].rises, 0);
	bench_run(&b, 1);
	cr_assert_eq(b.line[20].rises, 1);
}

Test(hpet, periods_missed_by_a_late_loop_are_made_up_for)
{
	wr(R(T0), 0x04c | 20 << 9);
	wr(R(CMP0), 100000);
	wr(R(CMP0 + 4), 0);
	wr(R(CONFIG), 1);
	b.mono += 5 * NS_PER_MS + 1000;
	clock_run(&b.m->clock);
	cr_assert_eq(b.line[20].rises, 5);
	bench_run(&b, NS_PER_MS);
	cr_assert_eq(b.line[20].rises, 6);
}

Test(hpet, a_comparator_written_just_too_late_strikes_at_once)
{
	wr(R(CONFIG), 1);
	bench_run(&b, 10000);
	wr(R(T0), 20 << 9 | 0x104);
	wr(R(CMP0), 990);
	cr_assert_eq(b.line[20].rises, 1);
}
