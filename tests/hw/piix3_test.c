/* ISA bridge: PIRQ routing, reset port. */
#include <criterion/criterion.h>

#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *d;

static void setup(void)
{
	bench_open(&b, &i440fx_type, "addr=0");
	d = dev_make(b.m, &piix3_type, NULL, "addr=1", &b.err);
	cr_assert(d, "%s", b.err.msg);
	for (int i = 0; i < 16; i++)
		piix3_connect_isa(d, i, bench_line(&b, i));
}
static void teardown(void) { bench_close(&b); }
TestSuite(piix3, .init = setup, .fini = teardown);

static void route(int pirq, uint8_t v)
{
	bench_out(&b, 0xcf8, 4, 0x80000860);
	bench_out(&b, (uint16_t)(0xcfc + pirq), 1, v);
}

Test(piix3, an_unrouted_pirq_goes_nowhere)
{
	irq_set(piix3_pirq(d, 0), 1);
	for (int i = 0; i < 16; i++)
		cr_expect_not(b.line[i].level, "line %d", i);
}

Test(piix3, a_pirq_reaches_the_line_it_is_routed_to)
{
	route(2, 11);
	irq_set(piix3_pirq(d, 2), 1);
	cr_assert(b.line[11].level);
	irq_set(piix3_pirq(d, 2), 0);
	cr_assert_not(b.line[11].level);
}

Test(piix3, rerouting_an_asserted_pirq_moves_the_level)
{
	route(0, 10);
	irq_set(piix3_pirq(d, 0), 1);
	route(0, 5);
	cr_assert_not(b.line[10].level);
	cr_assert(b.line[5].level);
	route(0, 0x80);
	cr_assert_not(b.line[5].level);
}

Test(piix3, pirqs_that_share_a_line_are_ored)
{
	route(0, 10);
	route(1, 10);
	irq_set(piix3_pirq(d, 0), 1);
	irq_set(piix3_pirq(d, 1), 1);
	irq_set(piix3_pirq(d, 0), 0);
	cr_assert(b.line[10].level);
	irq_set(piix3_pirq(d, 1), 0);
	cr_assert_not(b.line[10].level);
}

Test(piix3, the_reset_port_acts_on_a_rising_bit_2)
{
	out(0xcf9, 0x02);
	cr_assert_eq(b.requests[MACHINE_RESET], 0);
	out(0xcf9, 0x06);
	cr_assert_eq(b.requests[MACHINE_RESET], 1);
	out(0xcf9, 0x06);
	cr_assert_eq(b.requests[MACHINE_RESET], 1);
	cr_assert_eq(in(0xcf9), 0x06);
}

Test(piix3, the_reset_port_leaves_the_address_port_alone)
{
	bench_out(&b, 0xcf8, 4, 0x80000600);
	cr_assert_eq(bench_in(&b, 0xcf8, 4), 0x80000600);
	cr_assert_eq(b.requests[MACHINE_RESET], 0);
}
