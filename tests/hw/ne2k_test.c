/* NE2000 cards as a driver sees them, with a network that the test plays. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/backend/net.h"
#include "hw/net/ne2k.h"
#include "hw/pci/i440fx.h"
#include "tests/bench.h"

static struct bench b;
static struct net net;
static uint8_t sent[2048];
static size_t sent_len;
static unsigned base;
static const struct net_front *net_front;

enum { CR = 0, PSTART = 1, PSTOP = 2, BNRY = 3, TPSR = 4, TBCR0 = 5, TBCR1 = 6, ISR = 7, RSAR0 = 8, RSAR1 = 9,
       RBCR0 = 10, RBCR1 = 11, RCR = 12, TCR = 13, DCR = 14, IMR = 15, CURR = 7, DATA = 16, RESET = 31 };
static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static void net_sent(struct net *n, const uint8_t *frame, size_t len)
{
	(void)n;
	memcpy(sent, frame, len < sizeof(sent) ? len : sizeof(sent));
	sent_len = len;
}
static const struct net_ops ops = { "test", net_sent, NULL };

static uint8_t get(unsigned reg) { return (uint8_t)bench_in(&b, (uint16_t)(base + reg), 1); }
static void put(unsigned reg, unsigned v) { bench_out(&b, (uint16_t)(base + reg), 1, v); }

static void setup(void)
{
	bench_machine(&b);
	net = (struct net){ .ops = &ops, .m = b.m, .tail = &net.waiting };
	machine_add_backend(b.m, "netdev", "n", &net);
	b.m->isa_irq[9] = bench_line(&b, 0);
	b.dev = dev_make(b.m, &ne2k_isa_type, NULL, "netdev=n", &b.err);
	cr_assert(b.dev, "%s", b.err.msg);
	base = 0x300;
	net_front = net.front;
	log_mask = 0;
	clock_start(&b.m->clock);
}

static void teardown(void)
{
	net_detach(&net, net.front_opaque);
	bench_close(&b);
}
TestSuite(ne2k, .init = setup, .fini = teardown, .timeout = 20);

static void dma(unsigned cmd, unsigned at, unsigned n)
{
	put(RBCR0, n & 0xff);
	put(RBCR1, n >> 8);
	put(RSAR0, at & 0xff);
	put(RSAR1, at >> 8);
	put(CR, 0x02 | cmd);
}

/* Ring in pages 0x46 to 0x80, one page behind where the first frame goes, as Linux has it. */
static void start(unsigned rcr)
{
	put(CR, 0x21);
	put(DCR, 0x48);
	put(PSTART, 0x46);
	put(PSTOP, 0x80);
	put(BNRY, 0x7f);
	put(RCR, rcr);
	put(TCR, 0);
	put(CR, 0x61);
	for (unsigned i = 0; i < 6; i++)
		put(1 + i, mac[i]);
	put(CURR, 0x46);
	put(CR, 0x22);
	put(ISR, 0xff);
	put(IMR, 0x3f);
}

/* And what may come in has done so. */
static void arrive(const uint8_t *to, size_t n)
{
	uint8_t f[1600];

	for (size_t i = 0; i < n; i++)
		f[i] = (uint8_t)i;
	memcpy(f, to, 6);
	net_deliver(&net, f, n);
	bench_run(&b, 2 * NS_PER_MS);
}

static unsigned curr(void)
{
	put(CR, 0x62);
	unsigned v = get(CURR);
	put(CR, 0x22);
	return v;
}

Test(ne2k, the_prom_tells_the_address_twice)
{
	put(CR, 0x21);
	dma(0x08, 0, 32);
	for (unsigned i = 0; i < 6; i++) {
		cr_expect_eq(get(DATA), mac[i]);
		cr_expect_eq(get(DATA), mac[i]);
	}
	for (unsigned i = 12; i < 32; i++)
		cr_expect_eq(get(DATA), i >= 28 ? 'W' : 0);
	cr_assert(get(ISR) & 0x40);
}

Test(ne2k, of_words_a_byte_is_the_lower_half)
{
	put(DCR, 0x49);
	dma(0x08, 0, 32);
	for (unsigned i = 0; i < 16; i++)
		cr_expect_eq(get(DATA), i < 6 ? mac[i] : i >= 14 ? 'W' : 0);
	cr_assert(get(ISR) & 0x40);
}

Test(ne2k, reading_the_last_port_resets)
{
	start(4);
	cr_assert_not(get(ISR) & 0x80);
	get(RESET);
	cr_assert(get(ISR) & 0x80);
	cr_assert_eq(get(CR), 0x21);
}

Test(ne2k, memory_is_written_and_read_by_bytes_words_and_more)
{
	start(4);
	dma(0x10, 0x4000, 8);
	bench_out(&b, 0x310, 2, 0x2211);
	bench_out(&b, 0x310, 4, 0x66554433);
	bench_out(&b, 0x310, 1, 0x77);
	cr_assert_not(get(ISR) & 0x40);
	bench_out(&b, 0x310, 1, 0x88);
	cr_assert(get(ISR) & 0x40);
	bench_out(&b, 0x310, 1, 0x99);		/* nobody asked for it */
	dma(0x08, 0x4000, 8);
	cr_assert_eq(bench_in(&b, 0x310, 4), 0x44332211);
	cr_assert_eq(bench_in(&b, 0x310, 4), 0x88776655);
	cr_assert_eq(bench_in(&b, 0x310, 1), 0xff);
}

Test(ne2k, a_frame_is_sent)
{
	start(4);
	dma(0x10, 0x4000, 64);
	for (unsigned i = 0; i < 64; i++)
		put(DATA, i);
	put(ISR, 0xff);
	cr_assert_not(b.line[0].level);
	put(TPSR, 0x40);
	put(TBCR0, 64);
	put(TBCR1, 0);
	put(CR, 0x26);
	cr_assert_eq(sent_len, 64);
	cr_assert_eq(sent[63], 63);
	cr_assert_eq(get(CR), 0x22);
	cr_assert_eq(get(ISR), 2);
	cr_assert(b.line[0].level);
	put(ISR, 2);
	cr_assert_not(b.line[0].level);
	cr_assert_eq(get(TPSR), 1);
}

Test(ne2k, frames_arrive_in_the_ring)
{
	start(4);
	arrive(mac, 300);
	cr_assert_eq(get(ISR), 1);
	cr_assert_eq(curr(), 0x48);
	dma(0x08, 0x4600, 304);
	cr_assert_eq(bench_in(&b, 0x310, 4), 0x01 | 0x48 << 8 | 304u << 16);
	cr_assert_eq(get(DATA), 0x52);
	arrive(mac, 20);
	cr_assert_eq(curr(), 0x49);
	dma(0x08, 0x4802, 2);
	cr_assert_eq(bench_in(&b, 0x310, 2), 64, "padded");
}

Test(ne2k, a_full_ring_makes_frames_wait)
{
	unsigned n = 0, at = 0x46;

	start(4);
	for (int i = 0; i < 20; i++)
		arrive(mac, 1500);
	cr_assert_gt(net.n_waiting, 0);
	for (int i = 0; i < 100 && at != curr(); i++, n++) {
		dma(0x08, at << 8, 4);
		uint32_t header = bench_in(&b, 0x310, 4);
		cr_assert_eq(header >> 16, 1504);
		at = header >> 8 & 0xff;
		put(BNRY, at == 0x46 ? 0x7f : at - 1);
		cr_assert(get(ISR) & 0x10 || !net.n_waiting, "told that there is no room");
		bench_run(&b, 2 * NS_PER_MS);
	}
	cr_assert_eq(n, 20);
	cr_assert_eq(net.n_waiting, 0);
}

/* Ring pages 0x4c to 0x80: eight frames of six pages, and four pages that a ninth would need two more of. */
Test(ne2k, the_ring_is_never_filled_to_its_boundary)
{
	for (unsigned start_at = 0x4c; start_at < 0x80; start_at++) {
		start(4);
		put(PSTART, 0x4c);
		put(BNRY, start_at == 0x4c ? 0x7f : start_at - 1);
		put(CR, 0x62);
		put(CURR, start_at);
		put(CR, 0x22);
		for (int i = 0; i < 12; i++)
			arrive(mac, i & 1 ? 1514 : 1000);
		cr_assert_neq(curr(), get(BNRY), "from page %#x", start_at);
		net_detach(&net, b.dev);		/* what waits is forgotten */
		cr_assert(net_attach(&net, net_front, b.dev, &b.err));
	}
}

Test(ne2k, frames_come_one_by_one)
{
	uint8_t f[60] = { 0 };

	start(4);
	memcpy(f, mac, 6);
	bench_run(&b, NS_PER_MS);
	for (int i = 0; i < 10; i++)
		net_deliver(&net, f, sizeof(f));
	cr_assert_eq(curr(), 0x47);
	bench_run(&b, 300 * NS_PER_US);		/* 67 each */
	cr_assert_eq(curr(), 0x4b);
	put(TCR, 2);				/* loopback: the network is not heard */
	bench_run(&b, NS_PER_MS);
	cr_assert_eq(curr(), 0x4b);
	put(TCR, 0);
	bench_run(&b, NS_PER_MS);
	cr_assert_eq(curr(), 0x50);
}

/* The driver that acknowledges is done with the ring: what waits comes at once, but no more than it looks for. */
Test(ne2k, what_waits_comes_with_the_acknowledgement)
{
	uint8_t f[60] = { 0 };

	start(4);
	memcpy(f, mac, 6);
	bench_run(&b, NS_PER_MS);
	for (int i = 0; i < 20; i++)
		net_deliver(&net, f, sizeof(f));
	cr_assert_eq(curr(), 0x47);
	put(BNRY, 0x46);
	cr_assert_eq(curr(), 0x47);
	put(ISR, 2);				/* something else */
	cr_assert_eq(curr(), 0x47);
	put(ISR, 1);
	cr_assert_eq(curr(), 0x4f);
	cr_assert_eq(get(ISR) & 1, 1);
	cr_assert(b.line[0].level);
	bench_run(&b, 500 * NS_PER_US);		/* the wire would need 8 * 67 for them */
	cr_assert_eq(curr(), 0x4f);
	bench_run(&b, 50 * NS_PER_US);
	cr_assert_eq(curr(), 0x50);
	put(ISR, 1);
	cr_assert_eq(curr(), 0x58);
	put(ISR, 1);
	cr_assert_eq(curr(), 0x5a);
	put(ISR, 1);
	net_deliver(&net, f, sizeof(f));	/* nothing is pending: it need not wait */
	cr_assert_eq(curr(), 0x5b);
}

/* Frames that come early do not overflow the ring. */
Test(ne2k, what_comes_early_waits_for_room)
{
	uint8_t f[1500] = { 0 };

	start(4);
	memcpy(f, mac, 6);
	bench_run(&b, NS_PER_MS);
	put(PSTOP, 0x56);			/* two of six pages, and some */
	put(BNRY, 0x55);
	for (int i = 0; i < 6; i++)
		net_deliver(&net, f, sizeof(f));
	put(ISR, 1);
	cr_assert_eq(curr(), 0x52);
	cr_assert_eq(get(ISR), 1);
	bench_run(&b, 10 * NS_PER_MS);
	cr_assert_eq(get(ISR), 0x11, "but what the wire brings does");
}

/* Runs of accesses to the data port end up where accesses one by one do: at the ring's end, outside memory, in word mode. */
Test(ne2k, runs_of_accesses_are_like_single_ones)
{
	static const uint16_t starts[] = { 0, 0x1e, 0x3ff0, 0x4000, 0x4601, 0x7ff0, 0x7fff, 0x55f3 };
	uint8_t one[512], run[512];

	bench_cpus(&b, 1);
	for (unsigned k = 0; k < ARRAY_LEN(starts) * 12; k++) {
		unsigned at = starts[k / 12], size = 1u << k % 3, n = 100 / size, left = k / 3 % 2 ? 90 : 300;

		start(4);
		put(PSTOP, k % 2 ? 0x80 : 0x56);
		put(DCR, k / 6 % 2 ? 0x49 : 0x48);
		dma(0x10, at, left);
		for (unsigned i = 0; i < sizeof(run); i++)
			run[i] = (uint8_t)(i * 7 + k);
		cr_assert_eq(bench_out_run(&b, 0x310, (int)size, run, n), n);
		dma(0x08, at, left);
		for (unsigned i = 0; i < n; i++)
			st_n(one + i * size, (int)size, bench_in(&b, 0x310, (int)size));
		unsigned rsar = get(RSAR0) | get(RSAR1) << 8, isr = get(ISR);
		put(ISR, 0x40);
		dma(0x08, at, left);
		memset(run, 0, sizeof(run));
		cr_assert_eq(bench_in_run(&b, 0x310, (int)size, run, n), n);
		cr_assert_arr_eq(run, one, n * size, "%u bytes of %u at %#x", n, size, at);
		cr_assert_eq((unsigned)(get(RSAR0) | get(RSAR1) << 8), rsar);
		cr_assert_eq((unsigned)get(ISR), isr);
	}
}

Test(ne2k, filters)
{
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 }, other[6] = { 2, 0, 0, 0, 0, 9 };
	static const uint8_t group[6] = { 1, 0, 0x5e, 0, 0, 1 };

	start(0);
	arrive(all, 60);
	arrive(other, 60);
	arrive(group, 60);
	cr_assert_eq(curr(), 0x46);
	put(RCR, 4);
	arrive(all, 60);
	cr_assert_eq(curr(), 0x47);
	put(RCR, 8);
	arrive(group, 60);
	cr_assert_eq(curr(), 0x47);
	put(CR, 0x62);
	put(8 + 3, 0x80);			/* 01:00:5e:00:00:01 is bit 31: the upper bits of zlib's crc32, reversed */
	put(CR, 0x22);
	arrive(group, 60);
	cr_assert_eq(curr(), 0x48);
	put(RCR, 0x10);
	arrive(other, 60);
	cr_assert_eq(curr(), 0x49);
	put(RCR, 0x30);
	arrive(mac, 60);
	cr_assert_eq(curr(), 0x49);
}

Test(ne2k, page_2_shows_what_page_0_was_told)
{
	start(4);
	put(CR, 0xa2);
	cr_assert_eq(get(PSTART), 0x46);
	cr_assert_eq(get(PSTOP), 0x80);
	cr_assert_eq(get(DCR), 0xc8);
	cr_assert_eq(get(IMR), 0xbf);
}

Test(ne2k, on_pci_it_is_a_realtek)
{
	struct bench p;

	bench_open(&p, &i440fx_type, "addr=0");
	struct dev *d = dev_make(p.m, &ne2k_pci_type, NULL, "addr=5", &p.err);
	cr_assert(d, "%s", p.err.msg);
	cr_assert_eq(pci_config_read(p.m->pci, 0, 5 * 8, 0, 4), 0x802910ec);
	pci_config_write(p.m->pci, 0, 5 * 8, 0x10, 4, 0xc000);
	pci_config_write(p.m->pci, 0, 5 * 8, 4, 2, 1);
	cr_assert_eq(port_read(p.m, 0xc00a, 1), 'P');
	cr_assert_eq(port_read(p.m, 0xc00b, 1), 'C');
	bench_close(&p);
}

/* The seed is fixed. */
Test(ne2k, random_accesses_do_no_harm)
{
	uint64_t x = 88172645463325252ull;

	for (int k = 0; k < 200000; k++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		int size = 1 << (x & 3) % 3;
		if (x & 4)
			bench_out(&b, (uint16_t)(0x300 + (x >> 8 & 31)), size, (uint32_t)(x >> 16) & (x & 8 ? 0xffffffff : 0x7f));
		else
			bench_in(&b, (uint16_t)(0x300 + (x >> 8 & 31)), size);
		if (k % 50 == 0)
			arrive(mac, 14 + (x >> 40) % 1500);
	}
}
