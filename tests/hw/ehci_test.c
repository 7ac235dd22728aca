/* The EHCI controller as its driver sees it: ports, queues, descriptors. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/input.h"
#include "hw/pci/pci.h"
#include "hw/usb/ehci.h"
#include "hw/usb/hid.h"
#include "tests/bench.h"

static struct bench b;

#define BAR	0xe0000000u
#define CMD	(BAR + 0x20)
#define STS	(BAR + 0x24)
#define INTR	(BAR + 0x28)
#define FRINDEX	(BAR + 0x2c)
#define PERIODIC (BAR + 0x34)
#define ASYNC	(BAR + 0x38)
#define PORT1	(BAR + 0x64)
#define FRAMES	0x10000u
#define QH(n)	(0x20000u + 0x40u * (n))
#define TD(n)	(0x30000u + 0x20u * (n))
#define BUF	0x40000u
#define END	1u
#define IS_QH	2u
#define ACTIVE	0x80u
#define HALTED	0x40u
#define IOC	0x8000u
#define PID_OUT	(0u << 8)
#define PID_IN	(1u << 8)
#define PID_SETUP (2u << 8)

static void setup(void)
{
	bench_open_pci(&b, 2 << 20);
	cr_assert(dev_make(b.m, &ehci_type, NULL, "addr=4", &b.err), "%s", b.err.msg);
	cr_assert(dev_make(b.m, &usb_kbd_type, NULL, NULL, &b.err), "%s", b.err.msg);
	pci_config_write(b.m->pci, 0, 0x20, 0x10, 4, BAR);
	pci_config_write(b.m->pci, 0, 0x20, 0x04, 2, 6);
	for (uint32_t i = 0; i < 1024; i++)
		wr(FRAMES + 4 * i, END);
	wr(PERIODIC, FRAMES);
	wr(ASYNC, QH(0));
	wr(INTR, 0x3f);
	wr(PORT1, 0x1102);
	wr(PORT1, 0x1000);
	wr(STS, 0x3f);
}

static void teardown(void) { bench_close(&b); }
TestSuite(ehci, .init = setup, .fini = teardown, .timeout = 20);

static void td(unsigned n, uint32_t next, uint32_t alt, uint32_t token, unsigned len, uint32_t buf)
{
	wr(TD(n), next);
	wr(TD(n) + 4, alt);
	wr(TD(n) + 8, token | 3 << 10 | len << 16);
	for (uint32_t i = 0; i < 5; i++)
		wr(TD(n) + 12 + 4 * i, i ? (buf & ~0xfffu) + 0x1000 * i : buf);
}

static void qh(unsigned n, uint32_t link, uint32_t endpoint, uint32_t mask, uint32_t first)
{
	for (uint32_t i = 0; i < 48; i += 4)
		wr(QH(n) + i, 0);
	wr(QH(n), link);
	wr(QH(n) + 4, endpoint | 2 << 12 | 64u << 16);
	wr(QH(n) + 8, mask | 1u << 30);
	wr(QH(n) + 16, first);
	wr(QH(n) + 20, END);
}

/* Setup, data in, status at device 0, by a queue that is the head. */
static void get_descriptor(unsigned len)
{
	wr(BUF, 0x01000680);
	wr(BUF + 4, 18 << 16);
	td(0, TD(1), END, ACTIVE | PID_SETUP, 8, BUF);
	td(1, TD(2), TD(2), ACTIVE | PID_IN, len, BUF + 0xff8);		/* over a page border */
	td(2, END, END, ACTIVE | PID_OUT | IOC, 0, 0);
	qh(0, QH(0) | IS_QH, 1u << 15 | 1u << 14, 0, TD(0));
}

static void run_ms(unsigned n, uint32_t schedules)
{
	wr(CMD, 1 | schedules);
	bench_run(&b, n * NS_PER_MS + NS_PER_MS / 2);
}

static uint32_t token(unsigned n) { return rd(TD(n) + 8); }

Test(ehci, a_port_is_enabled_by_a_reset)
{
	cr_assert_eq(rd(BAR), 0x01000020);
	cr_assert_eq(rd(BAR + 4) & 15, 6);
	cr_assert_eq(rd(PORT1), 0x1005);
	wr(PORT1, 0x1000);
	cr_assert_eq(rd(PORT1), 0x1001);
	dev_free(dev_find_type(b.m, &usb_kbd_type));
	cr_assert_eq(rd(PORT1), 0x1002);
	cr_assert_eq(rd(STS) & 4, 4);
	cr_assert(INTX);
}

Test(ehci, a_control_transfer_goes_over_pages)
{
	get_descriptor(18);
	run_ms(2, 0x20);
	cr_assert_eq(rd(STS) & 0x8001, 0x8001);
	cr_assert(INTX);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(token(i) & (0x7fff0000 | ACTIVE | HALTED), 0, "%u", i);
	cr_assert_eq(rd(BUF + 0xff8) & 0xffff, 0x0112);
	cr_assert_eq(rd(BUF + 0x1000), 0x00010627, "vendor and product are on the next page");
	wr(STS, 1);
	cr_assert_not(INTX);
}

Test(ehci, a_short_packet_takes_the_other_way)
{
	get_descriptor(64);
	wr(TD(1), TD(3));			/* after a full one */
	td(3, END, END, ACTIVE | PID_IN, 64, BUF);
	run_ms(2, 0x20);
	cr_assert_eq(token(1) >> 16 & 0x7fff, 64 - 18);
	cr_assert_eq(token(2) & ACTIVE, 0);
	cr_assert_eq(token(3) & ACTIVE, ACTIVE);
}

Test(ehci, a_stall_halts_the_queue)
{
	get_descriptor(18);
	wr(BUF, 0x77000680);
	run_ms(2, 0x20);
	cr_assert_eq(token(1) & (ACTIVE | HALTED), HALTED);
	cr_assert_eq(token(2) & ACTIVE, ACTIVE);
	cr_assert_eq(rd(QH(0) + 24) & HALTED, HALTED);
	cr_assert_eq(rd(STS) & 2, 2);
}

Test(ehci, nobody_at_an_address_is_an_error)
{
	get_descriptor(18);
	wr(QH(0) + 4, rd(QH(0) + 4) | 9);
	run_ms(2, 0x20);
	cr_assert_eq(token(0) & (ACTIVE | HALTED | 8), HALTED | 8);
}

Test(ehci, a_key_ends_an_interrupt_transfer)
{
	wr(BUF, 0x00010900);			/* SET_CONFIGURATION 1 */
	wr(BUF + 4, 0);
	td(0, TD(1), END, ACTIVE | PID_SETUP, 8, BUF);
	td(1, END, END, ACTIVE | PID_IN | IOC, 0, 0);
	qh(0, QH(0) | IS_QH, 1u << 15 | 1u << 14, 0, TD(0));
	td(4, END, END, ACTIVE | PID_IN | IOC, 8, BUF + 0x100);
	qh(1, END, 1 << 8, 1, TD(4));
	for (uint32_t i = 0; i < 1024; i++)
		wr(FRAMES + 4 * i, QH(1) | IS_QH);
	run_ms(2, 0x20);
	run_ms(3, 0x30);
	wr(STS, 0x3f);
	cr_assert_eq(token(4) & ACTIVE, ACTIVE);
	input_key(b.m, 0x1e, true);
	bench_run(&b, 2 * NS_PER_MS);
	cr_assert_eq(token(4) & (ACTIVE | HALTED), 0);
	cr_assert_eq(rd(BUF + 0x100), 4u << 16);
	cr_assert_eq(rd(STS) & 1, 1);
}

Test(ehci, the_doorbell_is_answered_after_a_round)
{
	get_descriptor(18);
	run_ms(2, 0x20);
	wr(CMD, 0x61);
	bench_run(&b, 2 * NS_PER_MS);
	cr_assert_eq(rd(STS) & 0x20, 0x20);
	cr_assert_eq(rd(CMD) & 0x40, 0);
	wr(STS, 0x20);
	wr(CMD, 0x41);				/* and at once when there is no list */
	cr_assert_eq(rd(STS) & 0x20, 0x20);
}

Test(ehci, circles_end_and_what_is_no_memory_halts_it)
{
	qh(0, QH(1) | IS_QH, 0, 0, END);	/* no head anywhere */
	qh(1, QH(2) | IS_QH, 0, 0, END);
	qh(2, QH(1) | IS_QH, 0, 0, END);
	wr(FRAMES, QH(1) | IS_QH);
	td(0, TD(0), TD(0), ACTIVE | PID_IN, 0, BUF);
	qh(3, END, 0, 1, TD(0));
	wr(FRAMES + 4, QH(3) | IS_QH);
	run_ms(5, 0x30);
	cr_assert_gt(rd(FRINDEX), 16);
	wr(QH(2), 0xf0000002);
	run_ms(5, 0x30);
	cr_assert_eq(rd(STS) & 0x1010, 0x1010);
	wr(CMD, 2);
	cr_assert_eq(rd(STS), 0x1000);
}
