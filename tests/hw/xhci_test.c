/* The xHCI controller as its driver sees it: rings, contexts, events. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/input.h"
#include "hw/pci/pci.h"
#include "hw/usb/hid.h"
#include "hw/usb/xhci.h"
#include "tests/bench.h"

static struct bench b;

#define BAR	0xe0000000u
#define OP	(BAR + 0x40)
#define PORT(n)	(BAR + 0x440 + 16 * ((n) - 1))
#define INTR0	(BAR + 0x1020)
#define BELL(n)	(BAR + 0x2000 + 4 * (n))

/* Guest memory */
#define DCBAA	0x10000u
#define ERST	0x11000u
#define EVENTS	0x12000u
#define N_EV	16u
#define CMDS	0x14000u
#define INPUT	0x15000u
#define DEVICE	0x16000u
#define RING0	0x18000u	/* endpoint 0 */
#define RING3	0x19000u	/* endpoint 1 in */
#define BUF	0x20000u
#define OUTSIDE	0xf0000000u

static uint32_t ev_at, ev_cycle, cmd_at, ring_at[2];

static void wr64(uint64_t pa, uint64_t v)
{
	wr(pa, (uint32_t)v);
	wr(pa + 4, (uint32_t)(v >> 32));
}

static void trb(uint64_t at, uint64_t param, uint32_t status, uint32_t control)
{
	wr64(at, param);
	wr(at + 8, status);
	wr(at + 12, control);
}

static void setup(void)
{
	bench_open_pci(&b, 2 << 20);
	cr_assert(dev_make(b.m, &xhci_type, NULL, "addr=4", &b.err), "%s", b.err.msg);
	cr_assert(dev_make(b.m, &usb_kbd_type, NULL, NULL, &b.err), "%s", b.err.msg);
	pci_config_write(b.m->pci, 0, 0x20, 0x10, 4, BAR);
	pci_config_write(b.m->pci, 0, 0x20, 0x04, 2, 6);
	ev_at = 0;
	ev_cycle = 1;
	cmd_at = ring_at[0] = ring_at[1] = 0;
	wr(ERST, EVENTS);
	wr(ERST + 8, N_EV);
	wr(INTR0 + 8, 1);
	wr64(INTR0 + 0x10, ERST);
	wr64(INTR0 + 0x18, EVENTS);
	wr(INTR0, 2);
	wr64(OP + 0x30, DCBAA);
	wr64(OP + 0x18, CMDS | 1);
	wr(OP + 0x38, 8);
	wr(OP, 5);
}

static void teardown(void) { bench_close(&b); }
TestSuite(xhci, .init = setup, .fini = teardown, .timeout = 20);

struct event { uint64_t param; uint32_t status, control; };

/* The next event; false: none. */
static bool next_event(struct event *e)
{
	uint32_t at = EVENTS + 16 * ev_at;

	*e = (struct event){ rd(at) | (uint64_t)rd(at + 4) << 32, rd(at + 8), rd(at + 12) };
	if ((e->control & 1) != ev_cycle)
		return false;
	if (++ev_at == N_EV) {
		ev_at = 0;
		ev_cycle ^= 1;
	}
	return true;
}

static void seen(void)
{
	wr64(INTR0 + 0x18, (EVENTS + 16 * ev_at) | 8);
}

/* The event of a type; others before it are passed over. */
static struct event want(unsigned type)
{
	struct event e;

	while (next_event(&e))
		if ((e.control >> 10 & 63) == type) {
			seen();
			return e;
		}
	cr_assert(false, "no event of type %u", type);
	return e;
}

static unsigned code(const struct event *e) { return e->status >> 24; }

/* Completion code of a command. */
static unsigned command(uint64_t param, uint32_t control)
{
	trb(CMDS + 16 * cmd_at, param, 0, control | 1);
	wr(BELL(0), 0);
	struct event e = want(33);
	cr_assert_eq(e.param, CMDS + 16 * cmd_at);
	cmd_at++;
	return code(&e);
}

static void put(unsigned ring, uint64_t param, uint32_t status, uint32_t control)
{
	trb((ring ? RING3 : RING0) + 16 * ring_at[ring]++, param, status, control | 1);
}

static void input_slot(void)
{
	for (uint32_t i = 0; i < 0x420; i += 4)
		wr(INPUT + i, 0);
	wr(INPUT + 4, 3);
	wr(INPUT + 0x20, 1u << 27 | 3u << 20);		/* one entry, high speed */
	wr(INPUT + 0x24, 1u << 16);			/* root port 1 */
	wr(INPUT + 0x44, 4 << 3 | 64u << 16);		/* control, 64 bytes */
	wr(INPUT + 0x48, RING0 | 1);
}

static void address_device(void)
{
	wr(PORT(1), 0x210);
	struct event e = want(34);
	cr_assert_eq(e.param >> 24, 1);
	wr(PORT(1), 0x200 | 0xfe0000);
	cr_assert_eq(command(0, 9u << 10), 1);
	input_slot();
	wr64(DCBAA + 8, DEVICE);
	cr_assert_eq(command(INPUT, 11u << 10 | 1u << 24), 1);
}

/* Setup, data in, status. */
static void get_descriptor(uint32_t len, uint32_t data_flags, uint64_t to)
{
	put(0, 0x01000680 | (uint64_t)len << 48, 8, 2u << 10 | 3u << 16 | 1 << 6);
	put(0, to, len, 3u << 10 | 1u << 16 | data_flags);
	put(0, 0, 0, 4u << 10 | 1 << 5);
	wr(BELL(1), 1);
}

static void configure_keyboard(void)
{
	address_device();
	put(0, 0x00010900, 8, 2u << 10 | 1 << 6);	/* SET_CONFIGURATION 1 */
	put(0, 0, 0, 4u << 10 | 1u << 16 | 1 << 5);
	wr(BELL(1), 1);
	struct event e = want(32);
	cr_assert_eq(code(&e), 1);
	input_slot();
	wr(INPUT + 4, 1 | 1 << 3);
	wr(INPUT + 0x20, 3u << 27 | 3u << 20);
	wr(INPUT + 0x84, 7 << 3 | 8u << 16);		/* interrupt in, 8 bytes */
	wr(INPUT + 0x88, RING3 | 1);
	cr_assert_eq(command(INPUT, 12u << 10 | 1u << 24), 1);
}

/* ---- capabilities ---- */

Test(xhci, capabilities_lead_to_the_rest)
{
	uint32_t caps = rd(BAR), p1 = rd(BAR + 4), x = rd(BAR + 0x10) >> 16 << 2;

	cr_assert_eq(caps & 0xff, 0x40);
	cr_assert_eq(p1 >> 24, 8);
	cr_assert_eq(rd(BAR + 0x14), 0x2000);
	cr_assert_eq(rd(BAR + 0x18), 0x1000);
	cr_assert_eq(rd(BAR + x), 0x02000402);
	cr_assert_eq(rd(BAR + x + 8), 0x401);
	cr_assert_eq(rd(BAR + x + 0x10), 0x03000002);
	cr_assert_eq(rd(BAR + x + 0x18), 0x405);
}

/* ---- commands ---- */

Test(xhci, a_device_gets_an_address)
{
	address_device();
	cr_assert_eq(rd(DEVICE + 12), 2u << 27 | 1);
	cr_assert_eq(rd(DEVICE + 32) & 7, 1);
	cr_assert_eq(command(INPUT, 11u << 10 | 1u << 24), 19, "addressed already");
}

Test(xhci, commands_for_what_is_not_there_fail)
{
	cr_assert_eq(command(0, 10u << 10 | 5u << 24), 11);
	cr_assert_eq(command(0, 15u << 10 | 200u << 24 | 1 << 16), 11);
	cr_assert_eq(command(0, 60u << 10), 5);
	cr_assert_eq(command(0, 23u << 10), 1);
	address_device();
	cr_assert_eq(command(0, 15u << 10 | 1u << 24 | 7 << 16), 12);
	cr_assert_eq(command(RING0 | 1, 16u << 10 | 1u << 24 | 1 << 16), 19, "it runs");
}

Test(xhci, slots_run_out)
{
	for (int i = 0; i < 8; i++)
		cr_assert_eq(command(0, 9u << 10), 1);
	cr_assert_eq(command(0, 9u << 10), 9);
}

/* ---- transfers ---- */

Test(xhci, a_control_transfer_moves_its_data)
{
	address_device();
	get_descriptor(18, 0, BUF);
	struct event e = want(32);
	cr_assert_eq(code(&e), 1);
	cr_assert_eq(e.param, RING0 + 32);
	cr_assert_eq(e.control >> 24, 1);
	cr_assert_eq(rd(BUF) & 0xffff, 0x0112);
}

Test(xhci, a_short_packet_is_told_with_what_is_missing)
{
	address_device();
	get_descriptor(64, 1 << 2, BUF);
	struct event e = want(32);
	cr_assert_eq(code(&e), 13);
	cr_assert_eq(e.param, RING0 + 16);
	cr_assert_eq(e.status & 0xffffff, 64 - 18);
	e = want(32);
	cr_assert_eq(code(&e), 1);
}

/* A TD over several TRBs, with an Event Data TRB behind them. */
Test(xhci, pieces_of_memory_and_event_data)
{
	address_device();
	put(0, 0x01000680 | 64ull << 48, 8, 2u << 10 | 3u << 16 | 1 << 6);
	put(0, BUF, 10, 3u << 10 | 1u << 16 | 1 << 4);
	put(0, BUF + 0x1000, 20, 1u << 10 | 1 << 4);
	put(0, BUF + 0x2000, 34, 1u << 10 | 1 << 4);
	put(0, 0x123456789abcull, 0, 7u << 10 | 1 << 5);
	put(0, 0, 0, 4u << 10 | 1 << 5);
	wr(BELL(1), 1);
	struct event e = want(32);
	cr_assert_eq(code(&e), 13);
	cr_assert_eq(e.param, 0x123456789abcull);
	cr_assert(e.control & 4);
	cr_assert_eq(e.status & 0xffffff, 18);
	cr_assert_eq(rd(BUF) & 0xffff, 0x0112);
	cr_assert_eq(rd(BUF + 0x1004) >> 24, 1, "one configuration");
	e = want(32);
	cr_assert_eq(code(&e), 1);
}

Test(xhci, a_stall_halts_the_endpoint_until_it_is_reset)
{
	address_device();
	put(0, 0x77000680 | 18ull << 48, 8, 2u << 10 | 3u << 16 | 1 << 6);
	put(0, BUF, 18, 3u << 10 | 1u << 16);
	put(0, 0, 0, 4u << 10 | 1 << 5);
	wr(BELL(1), 1);
	struct event e = want(32);
	cr_assert_eq(code(&e), 6);
	cr_assert_eq(e.param, RING0 + 16);
	cr_assert_eq(rd(DEVICE + 32) & 7, 2);
	wr(BELL(1), 1);
	cr_assert_not(next_event(&e));
	cr_assert_eq(command(0, 14u << 10 | 1u << 24 | 1 << 16), 1);
	cr_assert_eq(rd(DEVICE + 32) & 7, 3);
	cr_assert_eq(command((RING0 + 48) | 1, 16u << 10 | 1u << 24 | 1 << 16), 1);
	get_descriptor(18, 0, BUF);
	e = want(32);
	cr_assert_eq(code(&e), 1);
}

Test(xhci, a_key_completes_the_waiting_transfer)
{
	struct event e;

	configure_keyboard();
	put(1, BUF, 8, 1u << 10 | 1 << 5);
	wr(BELL(1), 3);
	cr_assert_not(next_event(&e));
	input_key(b.m, 0x1e, true);
	e = want(32);
	cr_assert_eq(code(&e), 1);
	cr_assert_eq(e.control >> 16 & 31, 3);
	cr_assert_eq(rd(BUF), 4u << 16);
	input_key(b.m, 0x1e, false);		/* nothing waits: kept */
	cr_assert_not(next_event(&e));
	put(1, BUF, 8, 1u << 10 | 1 << 5);
	wr(BELL(1), 3);
	e = want(32);
	cr_assert_eq(rd(BUF), 0);
}

Test(xhci, a_stopped_endpoint_tells_of_what_waits)
{
	struct event e;

	configure_keyboard();
	put(1, BUF, 8, 1u << 10 | 1 << 5);
	wr(BELL(1), 3);
	trb(CMDS + 16 * cmd_at++, 0, 0, 15u << 10 | 1u << 24 | 3 << 16 | 1);
	wr(BELL(0), 0);
	e = want(32);
	cr_assert_eq(code(&e), 26);
	cr_assert_eq(e.param, RING3);
	e = want(33);
	cr_assert_eq(code(&e), 1);
	cr_assert_eq(rd(DEVICE + 3 * 32) & 7, 3);
	cr_assert_eq(rd(DEVICE + 3 * 32 + 8), RING3 | 1);
	input_key(b.m, 0x1e, true);
	cr_assert_not(next_event(&e));
	wr(BELL(1), 3);
	e = want(32);
	cr_assert_eq(code(&e), 1);
}

/* ---- interrupts, events ---- */


Test(xhci, interrupts_come_once_until_the_guest_has_looked)
{
	struct event e;

	command(0, 23u << 10);
	cr_assert(INTX);
	cr_assert(rd(INTR0) & 1);
	wr(INTR0, 3);
	cr_assert_not(INTX);
	cr_assert_eq(rd(OP + 4) & 8, 8);
	trb(CMDS + 16 * cmd_at++, 0, 0, 23u << 10 | 1);
	wr(BELL(0), 0);
	cr_assert(INTX);
	wr(INTR0, 3);
	trb(CMDS + 16 * cmd_at++, 0, 0, 23u << 10 | 1);	/* the busy bit stands */
	wr(BELL(0), 0);
	cr_assert_not(INTX);
	next_event(&e);
	seen();					/* one of two: raised again */
	cr_assert(INTX);
}

Test(xhci, a_full_event_ring_holds_commands_back)
{
	struct event e;
	int n = 0;

	for (int i = 0; i < 40; i++)
		trb(CMDS + 16 * i, 0, 0, 23u << 10 | 1);
	wr(BELL(0), 0);
	for (int round = 0; round < 10; round++, seen())
		while (next_event(&e)) {
			if ((e.control >> 10 & 63) == 34)
				continue;
			cr_assert_eq(e.param, CMDS + 16 * n);
			n++;
		}
	cr_assert_eq(n, 40);
}

/* ---- hostile guests ---- */

Test(xhci, rings_that_lead_in_circles_end)
{
	struct event e;

	configure_keyboard();
	trb(RING3, RING3, 0, 6u << 10 | 1);		/* a link to itself */
	wr(BELL(1), 3);
	cr_assert_eq(rd(DEVICE + 3 * 32) & 7, 4);
	trb(CMDS + 16 * cmd_at, CMDS + 16 * cmd_at, 0, 6u << 10 | 1);
	wr(BELL(0), 0);
	cr_assert_eq(rd(OP + 4) & 5, 5);
	cr_assert_not(next_event(&e));
}

Test(xhci, memory_that_is_none_stops_the_controller)
{
	address_device();
	get_descriptor(18, 0, OUTSIDE);
	cr_assert_eq(rd(OP + 4) & 5, 5);
	wr(OP, 2);				/* a reset helps */
	cr_assert_eq(rd(OP + 4) & 5, 1);
	cr_assert_eq(rd(PORT(1)) & 0x20001, 0x20001);
}

Test(xhci, its_own_registers_are_no_memory)
{
	address_device();
	get_descriptor(18, 0, BELL(0));
	cr_assert_eq(rd(OP + 4) & 5, 5);
}

Test(xhci, a_device_that_goes_ends_its_transfers)
{
	configure_keyboard();
	put(1, BUF, 8, 1u << 10 | 1 << 5);
	wr(BELL(1), 3);
	dev_free(dev_find_type(b.m, &usb_kbd_type));
	struct event e = want(34);
	cr_assert_eq(e.param >> 24, 1);
	cr_assert_eq(rd(PORT(1)) & 3, 0);
	wr(BELL(1), 3);
	e = want(32);
	cr_assert_eq(code(&e), 4);
}
