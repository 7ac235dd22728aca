/* The port space: widths, overlaps, moves. */
#include <criterion/criterion.h>

#include "tests/bench.h"

static struct bench b;
static uint32_t last_v;
static int last_off, last_size, n_calls;

static uint32_t rd_cb(void *opaque, uint16_t off, int size)
{
	(void)opaque;
	n_calls++;
	last_size = size;
	return 0x11111111u * (off + 1u);
}

static void wr_cb(void *opaque, uint16_t off, int size, uint32_t v)
{
	(void)opaque;
	n_calls++;
	last_off = off;
	last_size = size;
	last_v = v;
}

static const struct port_ops byte_ops = { rd_cb, wr_cb, 1, 1 };
static const struct port_ops wide_ops = { rd_cb, wr_cb, 4, 1 };
static const struct port_ops dword_only = { rd_cb, wr_cb, 4, 4 };

static void setup(void) { bench_machine(&b); }
static void teardown(void) { bench_close(&b); }
TestSuite(port, .init = setup, .fini = teardown);

Test(port, nobody_answers_with_all_ones)
{
	cr_assert_eq(in(0x1234), 0xff);
	cr_assert_eq(bench_in(&b, 0x1234, 4), 0xffffffffu);
	out(0x1234, 1);
}

Test(port, wide_accesses_are_split_for_byte_devices)
{
	port_map(b.m, 0x100, 4, &byte_ops, NULL, "x");
	cr_assert_eq(bench_in(&b, 0x100, 4), 0x44332211u);
	cr_assert_eq(n_calls, 4);
	cr_assert_eq(bench_in(&b, 0x102, 4), 0xffff4433u);
}

Test(port, wide_devices_get_the_access_whole)
{
	port_map(b.m, 0x100, 8, &wide_ops, NULL, "x");
	bench_out(&b, 0x104, 4, 0xcafebabe);
	cr_assert_eq(n_calls, 1);
	cr_assert_eq(last_v, 0xcafebabeu);
	cr_assert_eq(last_off, 4);
	bench_out(&b, 0x106, 4, 0xcafebabe);		/* half of it is outside */
	cr_assert_eq(last_size, 2);
	cr_assert_eq(last_v, 0xbabe);
}

Test(port, narrow_accesses_do_not_reach_a_dword_register)
{
	port_map(b.m, 0xcf8, 4, &dword_only, NULL, "x");
	out(0xcf9, 6);
	cr_assert_eq(n_calls, 0);
	cr_assert_eq(in(0xcf9), 0xff);
}

Test(port, the_newer_range_wins_and_uncovers_the_older_one)
{
	struct port_range *over;

	port_map(b.m, 0x100, 8, &byte_ops, NULL, "under");
	over = port_map(b.m, 0x102, 1, &wide_ops, NULL, "over");
	cr_assert_eq(in(0x102), 0x11);
	port_set(b.m, over, 0x104, true);
	cr_assert_eq(in(0x102), 0x33);
	cr_assert_eq(in(0x104), 0x11);
	port_unmap(b.m, over);
	cr_assert_eq(in(0x104), 0x55);
}

Test(port, an_access_wraps_at_the_end_of_the_space)
{
	port_map(b.m, 0xffff, 1, &byte_ops, NULL, "last");
	port_map(b.m, 0x0000, 1, &byte_ops, NULL, "first");
	cr_assert_eq(bench_in(&b, 0xffff, 2), 0x1111);
}
