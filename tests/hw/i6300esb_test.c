/* The 6300ESB watchdog as a driver sees it. */
#include <criterion/criterion.h>

#include "hw/pci/pci.h"
#include "hw/timer/i6300esb.h"
#include "tests/bench.h"

static struct bench b;

#define BAR	0xe0000000u
#define MS	NS_PER_MS
enum { PRELOAD1 = BAR, PRELOAD2 = BAR + 4, GINTSR = BAR + 8, RELOAD = BAR + 12 };

static void config(unsigned off, int n, uint32_t v)
{
	pci_config_write(b.m->pci, 0, 4 * 8, off, n, v);
}

static void unlock(void)
{
	phys_write(b.m->phys, RELOAD, 2, 0x80);
	phys_write(b.m->phys, RELOAD, 2, 0x86);
}

static void setup(void)
{
	bench_open_pci(&b, 0);
	cr_assert(dev_make(b.m, &i6300esb_type, NULL, "addr=4", &b.err), "%s", b.err.msg);
	config(0x10, 4, BAR);
	config(0x04, 2, 6);
	unlock();
	phys_write(b.m->phys, PRELOAD1, 4, 100);
	unlock();
	phys_write(b.m->phys, PRELOAD2, 4, 200);
}

static void teardown(void)
{
	bench_close(&b);
}

TestSuite(i6300esb, .init = setup, .fini = teardown);

static bool line(void)
{
	return b.line[0].level || b.line[1].level || b.line[2].level || b.line[3].level;
}

Test(i6300esb, stages_interrupt_and_then_ask_for_a_reset)
{
	config(0x68, 1, 2);
	bench_run(&b, 95 * MS);
	cr_assert_not(line());
	bench_run(&b, 10 * MS);
	cr_assert(line());
	phys_write(b.m->phys, GINTSR, 4, 1);
	cr_assert_not(line());
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 0);
	bench_run(&b, 205 * MS);
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 1);
	cr_assert_eq(phys_read(b.m->phys, RELOAD, 2), 0x200);
	machine_reset_devices(b.m);
	config(0x10, 4, BAR);
	config(0x04, 2, 6);
	cr_assert_eq(phys_read(b.m->phys, RELOAD, 2), 0x200);
	unlock();
	phys_write(b.m->phys, RELOAD, 2, 0x200);
	cr_assert_eq(phys_read(b.m->phys, RELOAD, 2), 0);
}

Test(i6300esb, reloading_in_time_keeps_it_quiet)
{
	config(0x60, 2, 3);
	config(0x68, 1, 2);
	for (int i = 0; i < 20; i++) {
		bench_run(&b, 80 * MS);
		unlock();
		phys_write(b.m->phys, RELOAD, 2, 0x100);
	}
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 0);
	bench_run(&b, 400 * MS);
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 1);
}

Test(i6300esb, a_reload_without_the_sequence_is_not_taken)
{
	config(0x68, 1, 2);
	bench_run(&b, 80 * MS);
	phys_write(b.m->phys, RELOAD, 2, 0x80);
	phys_write(b.m->phys, RELOAD, 2, 0x100);
	bench_run(&b, 25 * MS);
	cr_assert(line());
}

Test(i6300esb, when_locked_it_cannot_be_switched_off)
{
	config(0x68, 1, 3);
	config(0x68, 1, 0);
	cr_assert_eq(pci_config_read(b.m->pci, 0, 4 * 8, 0x68, 1), 3);
	bench_run(&b, 400 * MS);
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 1);
}

Test(i6300esb, disabled_it_stands)
{
	config(0x68, 1, 2);
	config(0x68, 1, 0);
	bench_run(&b, 1000 * MS);
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 0);
	cr_assert_not(line());
}
