/* What a kernel notices of the I/O APIC. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "hw/intc/ioapic.h"

static struct bench b;

#define BASE 0xfec00000u

static uint32_t get(uint8_t i) { wr(BASE, i); return rd(BASE + 0x10); }
static void put(uint8_t i, uint32_t v) { wr(BASE, i); wr(BASE + 0x10, v); }
static void entry(int n, uint64_t v)
{
	put((uint8_t)(0x11 + 2 * n), (uint32_t)(v >> 32));
	put((uint8_t)(0x10 + 2 * n), (uint32_t)v);
}
static void pin(int n, int level) { irq_set(ioapic_in(b.dev, n), level); }

static void setup(void) { bench_open(&b, &ioapic_type, NULL); }
static void teardown(void) { bench_close(&b); }
TestSuite(ioapic, .init = setup, .fini = teardown);

Test(ioapic, version_and_id)
{
	cr_assert_eq(get(1), 0x00170020);
	put(0, 0x0f000000);
	cr_assert_eq(get(0), 0x0f000000);
	cr_assert_eq(get(0x10), 0x00010000);
}

Test(ioapic, an_edge_sends_one_message)
{
	entry(4, 3ull << 56 | 0x34);
	pin(4, 1);
	pin(4, 1);
	cr_assert_eq(b.n_msi, 1);
	cr_assert_eq(b.msi_addr, 0xfee03000u);
	cr_assert_eq(b.msi_data, 0x34);
	pin(4, 0);
	pin(4, 1);
	cr_assert_eq(b.n_msi, 2);
}

Test(ioapic, a_masked_edge_is_lost)
{
	pin(4, 1);
	entry(4, 0x34);
	cr_assert_eq(b.n_msi, 0);
}

Test(ioapic, a_level_waits_for_the_eoi_and_comes_again)
{
	entry(10, 0x8000 | 0x800 | 0x45);
	pin(10, 1);
	cr_assert_eq(b.n_msi, 1);
	cr_assert_eq(b.msi_addr, 0xfee00004u);
	cr_assert_eq(b.msi_data, 0xc045);
	cr_assert_eq(get(0x10 + 20), 0xc845);
	ioapic_eoi(b.dev, 0x45);
	cr_assert_eq(b.n_msi, 2);
	pin(10, 0);
	ioapic_eoi(b.dev, 0x45);
	cr_assert_eq(b.n_msi, 2);
	cr_assert_eq(get(0x10 + 20), 0x8845);
}

Test(ioapic, an_active_level_is_sent_when_unmasked)
{
	entry(10, 0x18045);
	pin(10, 1);
	cr_assert_eq(b.n_msi, 0);
	entry(10, 0x8045);
	cr_assert_eq(b.n_msi, 1);
}

Test(ioapic, switching_to_edge_clears_remote_irr)
{
	entry(10, 0x8045);
	pin(10, 1);
	entry(10, 0x10045);
	cr_assert_eq(get(0x10 + 20), 0x10045);
}

Test(ioapic, the_eoi_register_works_without_a_local_apic)
{
	entry(10, 0x8045);
	pin(10, 1);
	wr(BASE + 0x40, 0x45);
	cr_assert_eq(b.n_msi, 2);
}

Test(ioapic, isa_lines_stand_at_their_pins_but_the_timer)
{
	entry(2, 0x30);
	irq_set(ioapic_isa(b.dev, 0), 1);
	cr_assert_eq(b.msi_data, 0x30);
	cr_assert_null(ioapic_isa(b.dev, 2).fn);
}
