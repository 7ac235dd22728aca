/* What an interrupt handler notices of the two 8259s. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "hw/intc/pic.h"

static struct bench b;

#define INT (b.line[0].level)

/* As every PC firmware does it: vectors 8 and 70h, cascade on 2. */
static void program(uint8_t icw4)
{
	out(0x20, 0x11); out(0x21, 0x08); out(0x21, 0x04); out(0x21, icw4);
	out(0xa0, 0x11); out(0xa1, 0x70); out(0xa1, 0x02); out(0xa1, icw4);
	out(0x21, 0x00); out(0xa1, 0x00);
}

static void set(int n, int level)
{
	irq_set(pic_in(b.dev, n), level);
}

static void setup(void)
{
	bench_open(&b, &pic_type, NULL);
	pic_connect(b.dev, bench_line(&b, 0));
	program(0x01);
}
static void teardown(void) { bench_close(&b); }
TestSuite(pic, .init = setup, .fini = teardown);

Test(pic, an_edge_raises_int_and_gives_its_vector)
{
	set(1, 1);
	cr_assert(INT);
	cr_assert_eq(pic_intack(b.dev), 0x09);
	cr_assert_not(INT);
}

Test(pic, a_line_that_stays_high_interrupts_once)
{
	set(1, 1);
	pic_intack(b.dev);
	out(0x20, 0x20);
	cr_assert_not(INT);
	set(1, 0);
	set(1, 1);
	cr_assert(INT);
}

Test(pic, a_lower_priority_waits_for_the_eoi)
{
	set(0, 1);
	pic_intack(b.dev);
	set(1, 1);
	cr_assert_not(INT);
	out(0x20, 0x20);
	cr_assert(INT);
	cr_assert_eq(pic_intack(b.dev), 0x09);
}

Test(pic, the_second_chip_comes_through_the_cascade)
{
	set(14, 1);
	cr_assert_eq(pic_intack(b.dev), 0x76);
	out(0x20, 0x0b);
	cr_assert_eq(in(0x20), 0x04);
	out(0xa0, 0x0b);
	cr_assert_eq(in(0xa0), 0x40);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	cr_assert_eq(in(0x20), 0);
}

Test(pic, a_masked_request_waits)
{
	out(0x21, 0x02);
	set(1, 1);
	cr_assert_not(INT);
	out(0x20, 0x0a);
	cr_assert_eq(in(0x20), 0x02);
	out(0x21, 0x00);
	cr_assert(INT);
}

Test(pic, a_request_that_is_gone_answers_as_spurious)
{
	cr_assert_eq(pic_intack(b.dev), 0x0f);
	out(0x20, 0x0b);
	cr_assert_eq(in(0x20), 0);
}

Test(pic, a_level_input_interrupts_again_while_it_is_high)
{
	out(0x4d1, 0x08);			/* input 11 */
	set(11, 1);
	cr_assert_eq(pic_intack(b.dev), 0x73);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	cr_assert(INT);
	set(11, 0);
	cr_assert_not(INT);
}

Test(pic, elcr_refuses_the_timer_keyboard_and_cascade)
{
	out(0x4d0, 0xff);
	out(0x4d1, 0xff);
	cr_assert_eq(in(0x4d0), 0xf8);
	cr_assert_eq(in(0x4d1), 0xde);
}

Test(pic, automatic_eoi_leaves_nothing_in_service)
{
	program(0x03);
	set(1, 1);
	pic_intack(b.dev);
	out(0x20, 0x0b);
	cr_assert_eq(in(0x20), 0);
	set(1, 0);
	set(1, 1);
	cr_assert(INT);
}

Test(pic, a_specific_eoi_ends_the_named_one)
{
	set(1, 1);
	pic_intack(b.dev);
	set(0, 1);
	pic_intack(b.dev);
	out(0x20, 0x61);
	out(0x20, 0x0b);
	cr_assert_eq(in(0x20), 0x01);
}

Test(pic, rotation_gives_the_served_input_the_lowest_priority)
{
	set(0, 1);
	pic_intack(b.dev);
	out(0x20, 0xa0);			/* rotate on EOI */
	set(0, 0);
	set(0, 1);
	set(1, 1);
	cr_assert_eq(pic_intack(b.dev), 0x09);
}

Test(pic, special_mask_mode_lets_lower_priorities_through)
{
	set(0, 1);
	pic_intack(b.dev);
	out(0x20, 0x68);
	out(0x21, 0x01);
	set(3, 1);
	cr_assert(INT);
	cr_assert_eq(pic_intack(b.dev), 0x0b);
}

Test(pic, a_poll_reads_the_request_and_acknowledges_it)
{
	set(3, 1);
	out(0x20, 0x0c);
	cr_assert_eq(in(0x20), 0x83);
	out(0x20, 0x0c);
	cr_assert_eq(in(0x20), 0x00);
	out(0x20, 0x0b);
	cr_assert_eq(in(0x20), 0x08);
}

Test(pic, two_requests_of_the_second_chip_come_one_after_the_other)
{
	program(0x03);				/* automatic EOI: nothing blocks the next one */
	set(11, 1);
	set(14, 1);
	cr_assert_eq(pic_intack(b.dev), 0x73);
	cr_assert(INT);
	cr_assert_eq(pic_intack(b.dev), 0x76);
	cr_assert_not(INT);
}
