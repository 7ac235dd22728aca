/* The UHCI controller as its driver sees it: registers and schedules in memory. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/input.h"
#include "hw/pci/pci.h"
#include "hw/usb/hid.h"
#include "hw/usb/uhci.h"
#include "tests/bench.h"

static struct bench b;

#define IO	0xc000u
#define CMD	(IO + 0)
#define STS	(IO + 2)
#define INTR	(IO + 4)
#define FRNUM	(IO + 6)
#define BASE	(IO + 8)
#define PORT1	(IO + 0x10)
#define FRAMES	0x10000u
#define TD(n)	(0x20000u + 0x20u * (n))
#define QH(n)	(0x30000u + 0x20u * (n))
#define BUF	0x40000u
#define ACTIVE	(1u << 23)
#define IOC	(1u << 24)
#define SPD	(1u << 29)
#define END	1u
#define IS_QH	2u
#define DEPTH	4u

static void setup(void)
{
	bench_open_pci(&b, 2 << 20);
	cr_assert(dev_make(b.m, &uhci_type, NULL, "addr=1.2", &b.err), "%s", b.err.msg);
	cr_assert(dev_make(b.m, &usb_kbd_type, NULL, NULL, &b.err), "%s", b.err.msg);
	pci_config_write(b.m->pci, 0, 0x0a, 0x20, 4, IO);
	pci_config_write(b.m->pci, 0, 0x0a, 0x04, 2, 5);
	for (uint32_t i = 0; i < 1024; i++)
		wr(FRAMES + 4 * i, END);
	bench_out(&b, BASE, 4, FRAMES);
	bench_out(&b, PORT1, 2, 0x0200);
	bench_out(&b, PORT1, 2, 0x0000);
	bench_out(&b, PORT1, 2, 0x0004 | 0x000a);
	bench_out(&b, INTR, 2, 0xf);
}

static void teardown(void) { bench_close(&b); }
TestSuite(uhci, .init = setup, .fini = teardown, .timeout = 20);

static void td(unsigned n, uint32_t link, uint32_t status, uint8_t pid, uint8_t addr, unsigned len, uint32_t buf)
{
	wr(TD(n), link);
	wr(TD(n) + 4, status);
	wr(TD(n) + 8, pid | (uint32_t)addr << 8 | ((len - 1) & 0x7ff) << 21);
	wr(TD(n) + 12, buf);
}

static void qh(unsigned n, uint32_t next, uint32_t element)
{
	wr(QH(n), next);
	wr(QH(n) + 4, element);
}

static void run_frames(unsigned n)
{
	bench_out(&b, CMD, 2, 1);
	bench_run(&b, n * NS_PER_MS + NS_PER_MS / 2);
}

static void all_frames(uint32_t link)
{
	for (uint32_t i = 0; i < 1024; i++)
		wr(FRAMES + 4 * i, link);
}

static uint32_t td_status(unsigned n) { return rd(TD(n) + 4); }

/* GET_DESCRIPTOR(device) by setup, data, status. */
static void get_descriptor(uint32_t data_flags, unsigned len)
{
	wr(BUF, 0x01000680);
	wr(BUF + 4, 18 << 16);
	td(0, TD(1) | DEPTH, ACTIVE | 3 << 27, 0x2d, 0, 8, BUF);
	td(1, TD(2) | DEPTH, ACTIVE | data_flags | 3 << 27, 0x69, 0, len, BUF + 0x100);
	td(2, END, ACTIVE | IOC | 3 << 27, 0xe1, 0, 0, 0);
	qh(0, END, TD(0));
	all_frames(QH(0) | IS_QH);
}

Test(uhci, a_control_transfer_ends_with_an_interrupt)
{
	get_descriptor(0, 18);
	cr_assert_not(INTX);
	run_frames(2);
	cr_assert_eq(td_status(0) & (ACTIVE | 0x7ff), 7);
	cr_assert_eq(td_status(1) & (ACTIVE | 0x7ff), 17);
	cr_assert_eq(td_status(2) & (ACTIVE | 0x7ff), 0x7ff);
	cr_assert_eq(rd(BUF + 0x100) & 0xffff, 0x0112);
	cr_assert_eq(rd(QH(0) + 4), END);
	cr_assert(INTX);
	cr_assert_eq(bench_in(&b, STS, 2) & 0x3f, 1);
	bench_out(&b, STS, 2, 1);
	cr_assert_not(INTX);
}

Test(uhci, a_short_packet_stops_its_queue_if_asked_to)
{
	get_descriptor(SPD, 64);
	run_frames(2);
	cr_assert_eq(td_status(1) & (ACTIVE | 0x7ff), 17);
	cr_assert(td_status(2) & ACTIVE);
	cr_assert_eq(rd(QH(0) + 4) & ~15u, TD(1));
	cr_assert(INTX);
}

Test(uhci, an_endpoint_with_nothing_stays_active)
{
	td(0, END, ACTIVE | IOC, 0x69, 0, 8, BUF);
	wr(TD(0) + 8, rd(TD(0) + 8) | 0u << 15);
	td(0, END, ACTIVE | IOC, 0x69, 9, 8, BUF);	/* nobody there */
	qh(0, END, TD(0));
	all_frames(QH(0) | IS_QH);
	run_frames(5);
	cr_assert(td_status(0) & ACTIVE, "no error count: tried for ever");
	cr_assert(td_status(0) & 1 << 18);
	td(0, END, ACTIVE | IOC | 3u << 27, 0x69, 9, 8, BUF);
	run_frames(5);
	cr_assert_not(td_status(0) & ACTIVE);
	cr_assert(td_status(0) & 1 << 22);
	cr_assert_eq(bench_in(&b, STS, 2) & 2, 2);
	cr_assert(INTX);
}

Test(uhci, circles_of_queues_and_of_descriptors_end)
{
	qh(0, QH(1) | IS_QH, END);
	qh(1, QH(2) | IS_QH, END);
	qh(2, QH(1) | IS_QH, END);
	all_frames(QH(0) | IS_QH);
	run_frames(3);
	td(0, TD(1), 0, 0x69, 0, 8, BUF);
	td(1, TD(0), 0, 0x69, 0, 8, BUF);
	all_frames(TD(0));
	run_frames(3);
	cr_assert_geq(bench_in(&b, FRNUM, 2), 6);
}

Test(uhci, lists_outside_memory_and_bad_tokens_halt_it)
{
	all_frames(0xfffff000 | IS_QH);
	run_frames(2);
	cr_assert_eq(bench_in(&b, STS, 2) & 0x28, 0x28);
	bench_out(&b, STS, 2, 0x3f);
	td(0, END, ACTIVE, 0x55, 0, 8, BUF);
	all_frames(TD(0));
	run_frames(2);
	cr_assert_eq(bench_in(&b, STS, 2) & 0x30, 0x30);
}

Test(uhci, a_device_that_goes_changes_its_port)
{
	cr_assert_eq(bench_in(&b, PORT1, 2) & 0x0f, 0x05);
	dev_free(dev_find_type(b.m, &usb_kbd_type));
	cr_assert_eq(bench_in(&b, PORT1, 2) & 0x0f, 0x0a);
	bench_out(&b, PORT1 + 1, 1, 0x02);	/* reset, by its byte alone */
	cr_assert_eq(bench_in(&b, PORT1, 2) & 0x20f, 0x20a);
	bench_out(&b, PORT1, 2, 0x0a);
	cr_assert_eq(bench_in(&b, PORT1, 2) & 0x0f, 0x00);
}
