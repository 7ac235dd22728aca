/* The port space: widths, overlaps, moves. */
#include <criterion/criterion.h>
#include <string.h>

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

/* ---- runs ---- */

static uint8_t run_data[64];
static unsigned run_at, run_most, run_calls;

static uint32_t run_in(void *opaque, uint16_t off, int size)
{
	(void)opaque, (void)off;
	uint32_t v = (uint32_t)ld_n(run_data + run_at, size);
	run_at += (unsigned)size;
	n_calls++;
	return v;
}

static unsigned read_run(void *opaque, uint16_t off, int size, uint8_t *buf, unsigned n)
{
	(void)opaque, (void)off;
	n = n < run_most ? n : run_most;
	memcpy(buf, run_data + run_at, n * (size_t)size);
	run_at += n * (unsigned)size;
	run_calls++;
	return n;
}

static const struct port_ops run_ops = { .read = run_in, .write = wr_cb, .max_size = 4, .read_run = read_run };

Test(port, a_run_is_what_its_accesses_would_be)
{
	uint8_t buf[64];

	bench_cpus(&b, 1);
	for (unsigned i = 0; i < sizeof(run_data); i++)
		run_data[i] = (uint8_t)(i * 3);
	port_map(b.m, 0x100, 4, &run_ops, NULL, "x");
	run_most = 5;
	cr_assert_eq(bench_in_run(&b, 0x100, 2, buf, 32), 32);
	cr_assert_arr_eq(buf, run_data, 64);
	cr_assert_eq(run_calls, 6);
	cr_assert_eq(n_calls, 5, "between two of the device's a plain one, but for the last");
	port_map(b.m, 0x200, 4, &byte_ops, NULL, "y");
	cr_assert_eq(bench_in_run(&b, 0x200, 4, buf, 3), 3);
	cr_assert_eq(ld32(buf + 8), 0x44332211u, "split, as in an access of its own");
	cr_assert_eq(bench_in_run(&b, 0x5555, 4, buf, 2), 2);
	cr_assert_eq(ld64(buf), ~0ull);
}

static void ask(void *opaque, uint16_t off, int size, uint32_t v)
{
	wr_cb(opaque, off, size, v);
	if (v == 3)
		cpu_request(b.cpu[0], REQ_INTR);
}

static void later(void *opaque)
{
	*(unsigned *)opaque = (unsigned)n_calls;
}

static void put_off(void *opaque, uint16_t off, int size, uint32_t v)
{
	wr_cb(opaque, off, size, v);
	if (v == 2)
		machine_late(b.m, later, &run_at);
}

Test(port, a_run_ends_where_something_has_to_come_between)
{
	static const struct port_ops asking = { rd_cb, ask, 1, 1 }, putting_off = { rd_cb, put_off, 1, 1 };
	static const uint8_t bytes[] = { 0, 1, 2, 3, 4, 5 };

	bench_cpus(&b, 1);
	port_map(b.m, 0x100, 1, &asking, NULL, "x");
	port_map(b.m, 0x101, 1, &putting_off, NULL, "y");
	cr_assert_eq(bench_out_run(&b, 0x100, 1, bytes, 6), 4);
	cr_assert_eq(last_v, 3);
	cpu_clear_request(b.cpu[0], REQ_INTR);
	n_calls = 0;
	cr_assert_eq(bench_out_run(&b, 0x101, 1, bytes, 6), 3);
	cr_assert_eq(run_at, 3, "what was put off has been done");
}
