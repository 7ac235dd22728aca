/* The small devices for firmware and test programs. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "hw/char/debug.h"
#include "hw/char/parallel.h"

static struct bench b;

Test(debug, the_console_port_prints_and_identifies_itself)
{
	bench_open(&b, &debugcon_type, "iobase=0x402,chardev=bench");
	cr_assert_eq(in(0x402), 0xe9);
	out(0x402, 'S');
	cr_assert_eq(b.sent[0], 'S');
	bench_close(&b);
}

Test(debug, the_exit_port_gives_an_odd_status)
{
	bench_open(&b, &debug_exit_type, "iobase=0xf4,iosize=4");
	bench_out(&b, 0xf4, 4, 0x10);
	cr_assert_eq(b.requests[MACHINE_EXIT], 1);
	cr_assert_eq(b.request_arg, 0x21);
	bench_close(&b);
}

Test(debug, a_panic_is_reported)
{
	bench_open(&b, &pvpanic_type, NULL);
	cr_assert_eq(in(0x505), 3);
	out(0x505, 1);
	cr_assert_eq(b.requests[MACHINE_PANIC], 1);
	cr_assert_eq(b.requests[MACHINE_CRASH_LOADED], 0);
	out(0x505, 2);
	cr_assert(b.requests[MACHINE_PANIC] == 1 && b.requests[MACHINE_CRASH_LOADED] == 1);
	bench_close(&b);
}

Test(debug, the_test_device_sets_lines_and_remembers)
{
	bench_open(&b, &testdev_type, NULL);
	b.m->gsi[20] = bench_line(&b, 3);
	out(0x2014, 1);
	cr_assert(b.line[3].level);
	out(0x2004, 1);
	cr_assert(b.isa[4].level);
	bench_out(&b, 0xe0, 4, 0x11223344);
	cr_assert_eq(bench_in(&b, 0xe1, 2), 0x2233);
	wr(0xff000010, 0xcafe);
	cr_assert_eq(rd(0xff000010), 0xcafe);
	bench_close(&b);
}

Test(debug, the_parallel_port_prints_on_the_strobe)
{
	bench_open(&b, &parallel_type, "chardev=bench");
	out(0x378, 'p');
	cr_assert_eq(b.n_sent, 0);
	out(0x37a, 0x1d);
	out(0x37a, 0x1c);
	cr_assert_eq(b.n_sent, 1);
	cr_assert_eq(b.isa[7].rises, 1);
	cr_assert_eq(in(0x379) & 0xf8, 0xd8);
	bench_close(&b);
}
