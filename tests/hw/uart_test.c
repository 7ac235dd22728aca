/* What a serial driver notices of a 16550A. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "hw/char/uart.h"

static struct bench b;

enum { BASE = 0x3f8, DATA = BASE, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define LINE (b.isa[4].level)

static void setup(void) { bench_open(&b, &uart_type, "chardev=bench"); }
static void teardown(void) { bench_close(&b); }
TestSuite(uart, .init = setup, .fini = teardown);

Test(uart, bytes_written_leave_at_once)
{
	out(DATA, 'h');
	out(DATA, 'i');
	cr_assert_eq(b.n_sent, 2);
	cr_assert_arr_eq(b.sent, "hi", 2);
	cr_assert_eq(in(LSR), 0x60);
}

Test(uart, reading_iir_acknowledges_transmitter_empty)
{
	out(IER, 0x02);
	cr_assert(LINE);
	cr_assert_eq(in(IIR) & 0x0f, 0x02);
	cr_assert_not(LINE);
	cr_assert_eq(in(IIR) & 0x0f, 0x01);
}

Test(uart, each_byte_written_makes_an_edge_even_without_reading_iir)
{
	int before;

	out(IER, 0x02);
	before = b.isa[4].rises;
	out(DATA, 'a');
	out(DATA, 'b');
	cr_assert_eq(b.isa[4].rises, before + 2);
}

Test(uart, received_bytes_interrupt_until_they_are_read)
{
	out(0x3fa, 0x01);
	out(IER, 0x01);
	cr_assert_eq(bench_type(&b, "xy", 2), 2);
	cr_assert(LINE);
	cr_assert_eq(in(LSR) & 1, 1);
	cr_assert_eq(in(DATA), 'x');
	cr_assert(LINE);
	cr_assert_eq(in(DATA), 'y');
	cr_assert_not(LINE);
	cr_assert_eq(in(LSR) & 1, 0);
}

Test(uart, below_the_trigger_level_the_cause_is_the_time_out)
{
	out(0x3fa, 0x81);			/* fifo on, 8 bytes */
	out(IER, 0x01);
	bench_type(&b, "1234567", 7);
	cr_assert_eq(in(IIR), 0xcc);
	bench_type(&b, "8", 1);
	cr_assert_eq(in(IIR), 0xc4);
}

Test(uart, the_fifo_holds_sixteen_bytes_and_one_when_off)
{
	cr_assert_eq(bench_type(&b, "0123456789abcdefgh", 18), 1);
	out(0x3fa, 0x07);
	cr_assert_eq(bench_type(&b, "0123456789abcdefgh", 18), 16);
	cr_assert_eq(bench_type(&b, "x", 1), 0);
}

Test(uart, the_divisor_latch_hides_data_and_ier)
{
	out(LCR, 0x83);
	out(DATA, 0x01);
	out(IER, 0x02);
	cr_assert_eq(b.n_sent, 0);
	out(LCR, 0x03);
	cr_assert_eq(in(IER), 0);
	out(LCR, 0x83);
	cr_assert_eq(in(DATA), 1);
	cr_assert_eq(in(IER), 2);
}

Test(uart, loopback_returns_bytes_and_modem_lines)
{
	out(MCR, 0x1a);
	cr_assert_eq(in(MSR) & 0xf0, 0x90);
	out(DATA, 0x5a);
	cr_assert_eq(b.n_sent, 0);
	cr_assert_eq(in(DATA), 0x5a);
}

Test(uart, reading_msr_clears_its_deltas)
{
	out(IER, 0x08);
	chr_event(&b.chr, CHR_CLOSED);
	cr_assert(LINE);
	cr_assert_eq(in(MSR), 0x0b);
	cr_assert_not(LINE);
	cr_assert_eq(in(MSR), 0x00);
}

Test(uart, a_break_shows_in_lsr_with_a_zero_byte)
{
	out(IER, 0x04);
	chr_event(&b.chr, CHR_BREAK);
	cr_assert(LINE);
	cr_assert_eq(in(IIR) & 0x0f, 0x06);
	cr_assert_eq(in(LSR) & 0x11, 0x11);
	cr_assert_eq(in(DATA), 0);
	cr_assert_not(LINE);
}

Test(uart, fifo_bits_in_iir_show_a_16550a)
{
	cr_assert_eq(in(IIR) & 0xc0, 0);
	out(0x3fa, 0x01);
	cr_assert_eq(in(IIR) & 0xc0, 0xc0);
}

Test(uart, the_index_says_which_port)
{
	struct err e;
	struct dev *d = dev_make(b.m, &uart_type, "second", "index=1", &e);

	cr_assert(d, "%s", e.msg);
	port_write(b.m, 0x2f8 + 7, 1, 0x5a);
	cr_assert_eq(port_read(b.m, 0x2f8 + 7, 1), 0x5a);
	cr_assert_not(dev_make(b.m, &uart_type, "fifth", "index=4", &e));
}
