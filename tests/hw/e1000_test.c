/* The e1000 as a driver sees it, between memory and a network that the test plays. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/backend/net.h"
#include "hw/net/e1000.h"
#include "hw/pci/pci.h"
#include "tests/bench.h"

static struct bench b;
static struct net net;
static uint8_t sent[8][2048];
static size_t sent_len[8];
static int n_sent;
static bool echo;

#define BAR	0xe0000000u
#define RX	0x10000u
#define TX	0x20000u
#define BUF	0x100000u
#define NDESC	16u
#define R(off)	rd(BAR + (off))
#define W(off, v) wr(BAR + (off), v)
enum { ICR = 0xc0, ICS = 0xc8, IMS = 0xd0, IMC = 0xd8, RCTL = 0x100, TCTL = 0x400, RDH = 0x2810, RDT = 0x2818,
	TDH = 0x3810, TDT = 0x3818 };

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static void net_sent(struct net *n, const uint8_t *frame, size_t len)
{
	if (n_sent < 8) {
		memcpy(sent[n_sent], frame, len < 2048 ? len : 2048);
		sent_len[n_sent] = len;
	}
	n_sent++;
	if (echo)
		net_deliver(n, frame, len);
}

static const struct net_ops ops = { "test", net_sent, NULL };

static void setup(void)
{
	bench_open_pci(&b, 4 << 20);
	net = (struct net){ .ops = &ops, .m = b.m, .tail = &net.waiting };
	machine_add_backend(b.m, "netdev", "n", &net);
	cr_assert(dev_make(b.m, &e1000_type, NULL, "addr=4,netdev=n", &b.err), "%s", b.err.msg);
	pci_config_write(b.m->pci, 0, 32, 0x10, 4, BAR);
	pci_config_write(b.m->pci, 0, 32, 0x14, 4, 0xc000);
	pci_config_write(b.m->pci, 0, 32, 0x04, 4, 7);
	W(0x2800, RX); W(0x2808, NDESC * 16);
	W(0x3800, TX); W(0x3808, NDESC * 16);
	W(TCTL, 2);
	log_mask = 0;
}
static void teardown(void)
{
	net_detach(&net, net.front_opaque);
	bench_close(&b);
}
TestSuite(e1000, .init = setup, .fini = teardown, .timeout = 20);

static void arrive(const uint8_t *to, size_t n)
{
	uint8_t f[4096];

	for (size_t i = 0; i < n; i++)
		f[i] = (uint8_t)i;
	memcpy(f, to, 6);
	net_deliver(&net, f, n);
}

static void rx_on(uint32_t rctl)
{
	for (uint32_t i = 0; i < NDESC; i++)
		phys_write(b.m->phys, RX + 16 * i, 8, BUF + 0x1000 * i);
	W(RCTL, rctl | 2);
	W(RDT, NDESC - 1);
}

static void tx(uint32_t i, uint64_t lo, uint32_t d2, uint32_t d3)
{
	phys_write(b.m->phys, TX + 16 * i, 8, lo);
	wr(TX + 16 * i + 8, d2);
	wr(TX + 16 * i + 12, d3);
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint16_t sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i++)
		s += (uint32_t)p[i] << (i & 1 ? 0 : 8);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static uint16_t eeprom_bits(unsigned word)
{
	unsigned cmd = 6u << 6 | word, v = 0;

	W(0x10, 0x42);
	for (int i = 8; i >= 0; i--) {
		uint32_t di = 0x42 | (cmd >> i & 1) << 2;
		W(0x10, di);
		W(0x10, di | 1);
		W(0x10, di);
	}
	cr_assert_eq(R(0x10) >> 3 & 1, 0);	/* the zero in front */
	for (int i = 0; i < 16; i++) {
		W(0x10, 0x43);
		v = v << 1 | (R(0x10) >> 3 & 1);
		W(0x10, 0x42);
	}
	W(0x10, 0);
	return (uint16_t)v;
}

Test(e1000, the_eeprom_gives_the_address_and_adds_up)
{
	uint16_t s = 0;

	cr_assert_eq(eeprom_bits(0), 0x5452);
	cr_assert_eq(eeprom_bits(2), 0x5634);
	for (unsigned i = 0; i < 64; i++) {
		W(0x14, i << 8 | 1);
		s = (uint16_t)(s + (R(0x14) >> 16));
	}
	cr_assert_eq(s, 0xbaba);
	cr_assert_eq(R(0x5400), 0x12005452);
	cr_assert_eq(R(0x5404), 0x80005634);
}

Test(e1000, the_phy_is_found_and_its_link_is_up)
{
	W(0x20, 1u << 21 | 2u << 16 | 2u << 26);
	cr_assert_eq(R(0x20) & 0x1000ffff, 0x10000141);
	W(0x20, 1u << 21 | 1u << 16 | 2u << 26);
	cr_assert(R(0x20) & 4);
	W(0x20, 7u << 21 | 2u << 26);
	cr_assert(R(0x20) & 0x40000000);
	cr_assert_eq(R(8) & 2, 2);
}

Test(e1000, interrupts_follow_cause_and_mask)
{
	W(ICS, 4);
	cr_assert_not(INTX);
	W(IMS, 4);
	cr_assert(INTX);
	W(IMC, 4);
	cr_assert_not(INTX);
	W(IMS, 4);
	cr_assert_eq(R(ICR), 4);
	cr_assert_not(INTX);
	cr_assert_eq(R(ICR), 0);
}

Test(e1000, ports_reach_the_registers)
{
	bench_out(&b, 0xc000, 4, 0x5400);
	cr_assert_eq(bench_in(&b, 0xc004, 4), 0x12005452);
	bench_out(&b, 0xc000, 4, 0xfffffff0);
	cr_assert_eq(bench_in(&b, 0xc004, 4), 0);
	bench_out(&b, 0xc004, 4, 1);
}

Test(e1000, a_frame_is_gathered_from_descriptors)
{
	phys_write_buf(b.m->phys, BUF, "hello, wide world of wires", 26);
	tx(0, BUF, 10, 0);
	tx(1, BUF + 10, 16 | 9u << 24, 0);
	W(TDT, 2);
	cr_assert_eq(n_sent, 1);
	cr_assert_eq(sent_len[0], 26);
	cr_assert(!memcmp(sent[0], "hello, wide world of wires", 26));
	cr_assert_eq(rd(TX + 28) & 1, 1);	/* done */
	cr_assert_eq(rd(TX + 12) & 1, 0);	/* did not ask */
	cr_assert_eq(R(TDH), 2);
	cr_assert_eq(R(ICR) & 3, 3);
}

Test(e1000, large_segments_are_cut_up)
{
	uint8_t f[54 + 2500] = { 0 };

	f[12] = 8;
	f[14] = 0x45;
	f[19] = 7;				/* identification */
	f[22] = 64, f[23] = 6;
	f[26] = 10, f[30] = 10;
	f[38 + 3] = 100;			/* sequence number */
	f[46] = 0x50;
	f[47] = 0x19;				/* ACK, PSH, FIN */
	for (int i = 0; i < 2500; i++)
		f[54 + i] = (uint8_t)(i * 7);
	uint16_t pseudo = sum(f + 26, 8, 6);
	f[50] = (uint8_t)(pseudo >> 8), f[51] = (uint8_t)pseudo;
	phys_write_buf(b.m->phys, BUF, f, sizeof(f));
	tx(0, 14 | 24 << 8 | 33u << 16 | (uint64_t)34 << 32 | (uint64_t)50 << 40, 2500 | 0x27u << 24, 54u << 8 | 1000u << 16);
	tx(1, BUF, sizeof(f) | 1 << 20 | 0x2du << 24, 3 << 8);
	W(TDT, 2);
	cr_assert_eq(n_sent, 3);
	for (int i = 0; i < 3; i++) {
		size_t n = i < 2 ? 1000 : 500;
		cr_assert_eq(sent_len[i], 54 + n);
		cr_assert_eq(be16(sent[i] + 16), 40 + n);
		cr_assert_eq(be16(sent[i] + 18), 7 + i);
		cr_assert_eq(be16(sent[i] + 40), 100 + 1000 * i);
		cr_assert_eq(sent[i][47], i < 2 ? 0x10 : 0x19);
		cr_assert_eq(sum(sent[i] + 14, 20, 0), 0xffff, "IP");
		cr_assert_eq(sum(sent[i] + 34, 20 + n, sum(sent[i] + 26, 8, 6 + 20 + (uint32_t)n)), 0xffff, "TCP");
		cr_assert(!memcmp(sent[i] + 54, f + 54 + 1000 * i, n));
	}
}

/* Sixty thousand frames of a descriptor: others get their turn in between. */
Test(e1000, segments_of_a_byte_are_not_all_cut_at_once)
{
	enum { DATA = 60000 };
	uint8_t head[54] = { [12] = 8, [14] = 0x45, [23] = 6, [46] = 0x50 };

	phys_write_buf(b.m->phys, BUF, head, sizeof(head));
	tx(0, 14 | 24 << 8 | 33u << 16 | (uint64_t)34 << 32 | (uint64_t)50 << 40, DATA | 0x27u << 24, 54u << 8 | 1u << 16);
	for (uint32_t i = 1; i < 5; i++)
		tx(i, BUF, (sizeof(head) + DATA) | 1 << 20 | 0x2du << 24, 3 << 8);
	W(TDT, 5);
	cr_assert(n_sent && n_sent <= DATA, "%d", n_sent);
	bench_run(&b, NS_PER_SEC / 1000);
	cr_assert_eq(R(TDH), 5);
	cr_assert_eq(n_sent, 4 * DATA);
	cr_assert(R(ICR) & 2);			/* nothing is left to send */
}

Test(e1000, frames_arrive_with_their_check_sequence)
{
	rx_on(0x8000);
	W(IMS, 0x80);
	arrive(mac, 100);
	cr_assert(INTX);
	cr_assert_eq(rd(RX + 8), 104);
	cr_assert_eq(rd(RX + 12) & 0xff, 7);
	cr_assert_eq(rd(BUF), 0x12005452);
	cr_assert_eq(R(RDH), 1);
	W(RCTL, 0x04008002);			/* stripped */
	arrive(mac, 20);
	cr_assert_eq(rd(RX + 16 + 8), 60);
}

Test(e1000, frames_spread_over_buffers_and_wait_for_them)
{
	rx_on(0x8000 | 3u << 16);		/* 256 bytes each */
	W(RDT, 3);
	arrive(mac, 1000);
	cr_assert_eq(R(RDH), 0);
	cr_assert(R(ICR) & 0x40);
	W(RDT, 4);
	cr_assert_eq(R(RDH), 4);
	cr_assert_eq(rd(RX + 12) & 3, 1);
	cr_assert_eq(rd(RX + 48 + 12) & 3, 3);
	cr_assert_eq(rd(RX + 48 + 8), 1004 - 768);
}

Test(e1000, filters_take_what_the_driver_asked_for)
{
	static const uint8_t other[6] = { 0x52, 1, 2, 3, 4, 5 }, all[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t group[6] = { 1, 0, 0x5e, 0, 0, 0xfb };
	uint32_t hash = 0xfb00 >> 4;

	rx_on(0);
	arrive(other, 60);
	arrive(all, 60);
	arrive(group, 60);
	cr_assert_eq(R(RDH), 0);
	W(0x5200 + 4 * (hash >> 5), 1u << (hash & 31));
	arrive(group, 60);
	W(RCTL, 0x800a);
	arrive(other, 60);
	arrive(all, 60);
	cr_assert_eq(R(RDH), 3);
	arrive(mac, 2000);			/* too long, not asked for */
	cr_assert_eq(R(RDH), 3);
}

Test(e1000, reset_brings_the_registers_back)
{
	W(IMS, 0xff);
	W(0x5400, 0);
	W(0, 1u << 26);
	cr_assert_eq(R(IMS), 0);
	cr_assert_eq(R(0x5400), 0x12005452);
	cr_assert_eq(R(TDT), 0);
}

/* A ring among the card's own registers, nonsense in descriptors: the seed is fixed. */
Test(e1000, random_descriptors_do_no_harm)
{
	static const uint16_t regs[] = { RCTL, TCTL, RDT, TDT, RDH, TDH, 0x2808, 0x3808, 0x3800, 0x10, 0x20, 0 };
	uint64_t x = 88172645463325252ull;

	echo = true;
	for (int k = 0; k < 3000; k++) {
		for (uint32_t i = 0; i < NDESC; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			tx(i, x & 1 ? BAR + (x >> 20 & 0x3fff) : x & 2 ? x : x >> 20 & 0x3fffff,
			   (uint32_t)(x >> 7) & 0xfff0ffff, (uint32_t)(x >> 30));
			phys_write(b.m->phys, RX + 16 * i, 8, x & 4 ? BAR + (x >> 20 & 0x3fff) : x >> 25 & 0x3fffff);
		}
		W(0x3800, k % 8 ? TX : BAR + 0x3800);
		W(RCTL, (uint32_t)x | 2);
		W(RDT, x >> 33 & 31);
		W(TDT, x >> 40 & 31);
		W(regs[(x >> 50) % ARRAY_LEN(regs)], (uint32_t)(x >> 8));
		arrive(mac, 60 + x % 1500);
		bench_run(&b, 1000);
	}
}

Test(e1000, the_cable_can_be_pulled)
{
	W(IMS, 4);
	net_set_up(&net, false);
	cr_assert_eq(R(8) & 2, 0);
	W(0x20, 1u << 21 | 1u << 16 | 2u << 26);
	cr_assert_eq(R(0x20) & 4, 0);
	cr_assert(INTX);
	cr_assert_eq(R(ICR), 4);
	net_set_up(&net, true);
	W(0x20, 1u << 21 | 1u << 16 | 2u << 26);
	cr_assert(R(0x20) & 4);
	cr_assert_eq(R(8) & 2, 2);
}
