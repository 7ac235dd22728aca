/* virtio-net between its driver and a network that the test plays. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "hw/backend/net.h"
#include "hw/virtio/virtio_net.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;
static struct net net;
static uint8_t sent[4096];
static size_t sent_len;
static int n_sent;
static bool echo;		/* the network answers every frame at once */
static bool with_headers;	/* the network's frames have some */
static uint8_t sent_header[NET_HEADER];

#define F_MRG		BIT(15)
#define F_CTRL		(BIT(17) | BIT(18) | BIT(23))
enum { RX, TX, CTRL };
static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static void net_sent(struct net *n, const uint8_t *frame, size_t len)
{
	memcpy(sent, frame, len < sizeof(sent) ? len : sizeof(sent));
	memcpy(sent_header, n->header, NET_HEADER);
	sent_len = len;
	n_sent++;
	if (echo)
		net_deliver(n, frame, len);
}

static const struct net_ops ops = { "test", net_sent, NULL };

static void start_with(const char *props, uint64_t features)
{
	vt_machine(&b);
	net = (struct net){ .ops = &ops, .m = b.m, .tail = &net.waiting, .headers = with_headers };
	machine_add_backend(b.m, "netdev", "n", &net);
	struct dev *d = dev_make(b.m, &virtio_net_type, NULL, props, &b.err);
	cr_assert(d, "%s", b.err.msg);
	vt_start(&t, &b, d, features, 3);
}

static void start(uint64_t features)
{
	start_with("addr=4,netdev=n", features);
}

static void teardown(void)
{
	net_detach(&net, net.front_opaque);
	bench_close(&b);
}
TestSuite(virtio_net, .fini = teardown, .timeout = 20);

/* Receive buffer i of n bytes. */
static void offer(unsigned i, uint32_t n)
{
	vt_desc(&t, RX, i, VT_BUF + 0x1000 * i, n, D_WRITE, 0);
	vt_offer(&t, RX, i);
}

static void frame_for(uint8_t *f, const uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		f[i] = (uint8_t)i;
	memcpy(f, to, 6);
}

static void arrive(const uint8_t *to, size_t n)
{
	uint8_t f[2048];

	frame_for(f, to, n);
	net_deliver(&net, f, n);
}

static uint8_t byte(uint64_t pa)
{
	return (uint8_t)phys_read(b.m->phys, pa, 1);
}

static int control(const void *c, uint32_t n)
{
	uint32_t id, len, at = VT_BUF + 0x20000;

	phys_write_buf(b.m->phys, at, c, n);
	vt_desc(&t, CTRL, 0, at, n, D_NEXT, 1);
	vt_desc(&t, CTRL, 1, at + 0x800, 1, D_WRITE, 0);
	vt_offer(&t, CTRL, 0);
	vt_kick(&t, CTRL);
	return vt_take(&t, CTRL, &id, &len) ? byte(at + 0x800) : -1;
}

Test(virtio_net, tells_its_address_and_that_the_link_is_up)
{
	start(0);
	cr_assert_eq(vt_config(&t, 0, 4), 0x12005452);
	cr_assert_eq(vt_config(&t, 4, 2), 0x5634);
	cr_assert_eq(vt_config(&t, 6, 2), 1);
}

Test(virtio_net, what_the_user_withholds_is_not_offered)
{
	start_with("addr=4,netdev=n,mrg_rxbuf=off,csum=off,ctrl_vq=off,host_mtu=1400", 0);
	cr_assert_eq(vt_offered(&t) & (F_MRG | F_CTRL | BIT(0) | BIT(11)), 0);
	cr_assert(vt_offered(&t) & BIT(1));
	cr_assert(vt_offered(&t) & BIT(3));
	cr_assert_eq(vt_config(&t, 10, 2), 1400);
}

Test(virtio_net, frames_are_sent_without_their_header)
{
	uint32_t id, len;

	start(0);
	phys_write_buf(b.m->phys, VT_BUF + 12, "abcdefghijklmnopqrst", 20);
	vt_desc(&t, TX, 3, VT_BUF, 32, 0, 0);
	vt_offer(&t, TX, 3);
	vt_kick(&t, TX);
	cr_assert_eq(sent_len, 20);
	cr_assert(!memcmp(sent, "abcdefghijklmnopqrst", 20));
	cr_assert(vt_take(&t, TX, &id, &len));
	cr_assert_eq(id, 3);
}

Test(virtio_net, frames_arrive_behind_a_header)
{
	uint32_t id, len;

	start(0);
	offer(0, 1526);
	arrive(mac, 100);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_assert_eq(len, 112);
	cr_assert_eq(byte(VT_BUF + 10), 1);	/* one buffer */
	cr_assert_eq(byte(VT_BUF + 12), 0x52);
	cr_assert_eq(byte(VT_BUF + 12 + 99), 99);
	cr_assert(vt_isr(&t) & 1);
}

Test(virtio_net, frames_wait_for_buffers)
{
	uint32_t id, len;

	start(0);
	arrive(mac, 60);
	arrive(mac, 70);
	offer(0, 1526);
	offer(1, 1526);
	cr_assert_not(vt_take(&t, RX, &id, &len));
	vt_kick(&t, RX);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_assert_eq(len, 72);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_assert_eq(len, 82);
}

Test(virtio_net, large_frames_are_merged_from_buffers)
{
	uint32_t id, len;

	start(F_MRG);
	offer(0, 64);
	offer(1, 64);
	arrive(mac, 150);			/* 162 with the header: three */
	cr_assert_not(vt_take(&t, RX, &id, &len));
	offer(2, 64);
	vt_kick(&t, RX);
	cr_assert_eq(t.used[RX], 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(vt_take(&t, RX, &id, &len));
		cr_assert_eq(id, i);
		cr_assert_eq(len, i < 2 ? 64 : 34);
	}
	cr_assert_eq(byte(VT_BUF + 10), 3);
	cr_assert_eq(byte(VT_BUF + 0x2000 + 33), 149);
}

Test(virtio_net, an_answer_while_sending_comes_afterwards)
{
	uint32_t id, len;
	uint8_t f[60];

	start(0);
	echo = true;
	frame_for(f, mac, sizeof(f));
	phys_write_buf(b.m->phys, VT_BUF + 0x8000 + 12, f, sizeof(f));
	for (unsigned i = 0; i < 2; i++) {
		offer(i, 1526);
		vt_desc(&t, TX, 5 + i, VT_BUF + 0x8000, 72, 0, 0);
		vt_offer(&t, TX, 5 + i);
	}
	vt_kick(&t, TX);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert(vt_take(&t, TX, &id, &len));
		cr_assert_eq(id, 5 + i);
		cr_assert(vt_take(&t, RX, &id, &len));
		cr_assert_eq(id, i);
		cr_assert_eq(len, 72);
	}
	cr_assert_eq(n_sent, 2);
}

Test(virtio_net, only_wanted_frames_are_taken_once_not_promiscuous)
{
	static const uint8_t other[6] = { 0x52, 0x54, 0, 1, 2, 3 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 };
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	uint8_t table[2 + 4 + 6 + 4] = { 1, 0, 1 };
	uint32_t id, len;

	start(F_CTRL);
	for (unsigned i = 0; i < 8; i++)
		offer(i, 1526);
	arrive(other, 60);
	cr_assert(vt_take(&t, RX, &id, &len), "promiscuous at first");
	cr_assert_eq(control("\0\0\0", 3), 0);
	arrive(other, 60);
	arrive(group, 60);
	cr_assert_not(vt_take(&t, RX, &id, &len));
	arrive(all, 60);
	arrive(mac, 60);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_assert(vt_take(&t, RX, &id, &len));
	memcpy(table + 6, other, 6);
	cr_assert_eq(control(table, sizeof(table)), 0);
	arrive(other, 60);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_assert_eq(control("\0\1\1", 3), 0);
	arrive(group, 60);
	cr_assert(vt_take(&t, RX, &id, &len));
}

Test(virtio_net, commands_that_make_no_sense_are_refused)
{
	start(F_CTRL);
	cr_assert_eq(control("\7\0\0", 3), 1);
	cr_assert_eq(control("\1\0\xff\xff\xff\xff", 6), 1);
	cr_assert_eq(control("\1\0\0\0\0\0\xff\xff\xff\x7f", 10), 1);
	cr_assert_eq(control("\1\1\1\2\3", 5), 1);
	cr_assert_not(vt_broken(&t));
}

Test(virtio_net, a_frame_shorter_than_its_header_breaks_the_device)
{
	start(0);
	vt_desc(&t, TX, 0, VT_BUF, 11, 0, 0);
	vt_offer(&t, TX, 0);
	vt_kick(&t, TX);
	cr_assert(vt_broken(&t));
	cr_assert_eq(n_sent, 0);
}

Test(virtio_net, giant_frames_vanish)
{
	uint32_t id, len;

	start(0);
	vt_desc(&t, TX, 0, VT_BUF, 0xffffffff, 0, 0);
	vt_offer(&t, TX, 0);
	vt_kick(&t, TX);
	cr_assert(vt_take(&t, TX, &id, &len));
	cr_assert_eq(n_sent, 0);
}

Test(virtio_net, receive_buffers_without_room_break_the_device)
{
	start(0);
	offer(0, 20);
	arrive(mac, 60);
	cr_assert(vt_broken(&t));
	arrive(mac, 60);			/* nobody is there */
	cr_assert_eq(net.n_waiting, 0);
}

/* Whoever else is on the wire may send what a driver without mergeable buffers has no room for. */
Test(virtio_net, frames_longer_than_a_buffer_are_lost)
{
	uint32_t id, len;

	start(0);
	offer(0, 1526);
	arrive(mac, 1515);
	cr_assert_not(vt_broken(&t));
	cr_assert_eq(net.n_waiting, 0);
	cr_assert_not(vt_take(&t, RX, &id, &len));
	arrive(mac, 1514);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_assert_eq(len, 1526);
}

Test(virtio_net, a_flood_is_bounded)
{
	start(0);
	for (int i = 0; i < 5000; i++)
		arrive(mac, 60);
	cr_assert_leq(net.n_waiting, 1024);
}

/* Random rings on all queues. The seed is fixed. */
Test(virtio_net, random_rings_do_no_harm)
{
	uint64_t x = 88172645463325252ull;

	start(F_MRG | F_CTRL | VIRTIO_INDIRECT_DESC);
	echo = true;
	for (int k = 0; k < 3000; k++) {
		unsigned q = (unsigned)k % 3;
		for (unsigned i = 0; i < VT_QSIZE; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			vt_desc(&t, q, i, VT_BUF + (x >> 20 & (x & 1 ? 0x1fffff : 0x3fffffff)), (uint32_t)(x >> 3) & 0x7ff,
				(x >> 8 & 7), (x >> 12) % (VT_QSIZE + 1));
		}
		vt_offer(&t, q, (x >> 52) % VT_QSIZE);
		vt_kick(&t, q);
		arrive(x & 4 ? mac : sent, 60 + (x >> 33) % 1400);
		if (vt_broken(&t)) {
			vt_set_common(&t, 0x14, 1, 0);
			for (q = 0; q < 3; q++)
				phys_write(b.m->phys, VT_AVAIL(q) + 2, 2, 0);
			vt_start(&t, &b, &t.v->pci.dev, F_MRG | F_CTRL | VIRTIO_INDIRECT_DESC, 3);
		}
		bench_run(&b, 1000);
	}
}

/* ---- what the card does for its driver ---- */

#define F_CSUM		BIT(0)
#define F_GUEST_CSUM	BIT(1)
#define F_TSO4		BIT(11)

/* RFC 1071, byte by byte. */
static uint16_t sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

/* A TCP segment over IPv4 with n bytes of data; lengths and checksums left as a driver leaves them. */
static size_t tcp_segment(uint8_t *f, size_t n)
{
	static const uint8_t head[54] = {
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2,
		0x10, 0, 0, 80, 0, 0, 0xff, 0xf0, 0, 0, 0, 1, 0x50, 0x99, 1, 0, 0, 0, 0, 0,	/* CWR, ACK, PSH, FIN */
	};

	memcpy(f, head, sizeof(head));
	for (size_t i = 0; i < n; i++)
		f[54 + i] = (uint8_t)(i * 7);
	return 54 + n;
}

static void check_tcp(const uint8_t *f, size_t len)
{
	uint32_t pseudo = 6 + (uint32_t)(len - 34);

	cr_expect_eq((size_t)(f[16] << 8 | f[17]), len - 14);
	cr_expect_eq(sum(f + 14, 20, 0), 0xffff);
	cr_expect_eq(sum(f + 34, len - 34, sum(f + 26, 8, pseudo)), 0xffff);
}

/* Header and frame in one buffer. */
static void send_with(const uint8_t *header, const uint8_t *f, size_t n)
{
	phys_write_buf(b.m->phys, VT_BUF, header, 12);
	phys_write_buf(b.m->phys, VT_BUF + 12, f, n);
	vt_desc(&t, TX, 0, VT_BUF, (uint32_t)n + 12, 0, 0);
	vt_offer(&t, TX, 0);
	vt_kick(&t, TX);
}

Test(virtio_net, a_checksum_is_put_in)
{
	static const uint8_t header[12] = { 1, 0, 0, 0, 0, 0, 34, 0, 16, 0 };
	uint8_t f[200];
	size_t n = tcp_segment(f, 101);
	uint16_t pseudo = sum(f + 26, 8, 6 + (uint32_t)(n - 34));

	start(F_CSUM);
	f[50] = (uint8_t)(pseudo >> 8);		/* the driver's share: the pseudo header's sum */
	f[51] = (uint8_t)pseudo;
	send_with(header, f, n);
	cr_assert_eq(sent_len, n);
	cr_assert_eq(sum(sent + 34, n - 34, sum(sent + 26, 8, 6 + (uint32_t)(n - 34))), 0xffff);
}

static uint8_t pieces[8][2000];
static size_t piece_len[8];

static void net_pieces(struct net *n, const uint8_t *frame, size_t len)
{
	(void)n;
	if (n_sent < 8) {
		memcpy(pieces[n_sent], frame, len);
		piece_len[n_sent] = len;
	}
	n_sent++;
}

Test(virtio_net, a_large_segment_is_cut)
{
	static const struct net_ops cut = { "test", net_pieces, NULL };
	static const uint8_t header[12] = { 1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0 };	/* 1000 bytes each */
	uint8_t f[3000], data[2500];
	size_t n = tcp_segment(f, 2500);

	start(F_CSUM | F_TSO4);
	net.ops = &cut;
	send_with(header, f, n);
	cr_assert_eq(n_sent, 3);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(piece_len[i], i < 2 ? 1054 : 554);
		check_tcp(pieces[i], piece_len[i]);
		cr_expect_eq(pieces[i][19], 0x34 + i);
		cr_expect_eq(pieces[i][47], i == 0 ? 0x90 : i == 1 ? 0x10 : 0x19);	/* CWR first, PSH and FIN last */
		memcpy(data + 1000 * i, pieces[i] + 54, piece_len[i] - 54);
	}
	cr_assert(!memcmp(data, f + 54, 2500));
	cr_assert_eq(pieces[1][38] << 24 | pieces[1][39] << 16 | pieces[1][40] << 8 | pieces[1][41], 0xfff0 + 1000);
}

Test(virtio_net, segments_of_a_byte_are_not_all_cut_at_once)
{
	enum { DATA = 60000 };
	static const struct net_ops cut = { "test", net_pieces, NULL };
	static const uint8_t header[12] = { 1, 1, 54, 0, 1, 0, 34, 0, 16, 0 };
	static uint8_t f[54 + DATA];
	uint32_t n = (uint32_t)tcp_segment(f, DATA);

	start(F_CSUM | F_TSO4);
	net.ops = &cut;
	phys_write_buf(b.m->phys, VT_BUF, header, 12);
	phys_write_buf(b.m->phys, VT_BUF + 12, f, n);
	for (unsigned i = 0; i < 4; i++) {
		vt_desc(&t, TX, i, VT_BUF, 12 + n, 0, 0);
		vt_offer(&t, TX, i);
	}
	vt_kick(&t, TX);
	cr_assert(n_sent && n_sent <= DATA, "%d", n_sent);
	bench_run(&b, NS_PER_SEC / 1000);
	cr_assert_eq(n_sent, 4 * DATA);
}

Test(virtio_net, headers_that_lie_send_nothing)
{
	static const uint8_t headers[][12] = {
		{ 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0 },		/* a checksum behind the frame */
		{ 1, 0, 0, 0, 0, 0, 10, 0, 0xff, 0xff },
		{ 1, 1, 0, 0, 0, 0, 34, 0, 16, 0 },		/* segments without data */
		{ 0, 9, 0, 0, 100, 0, 0, 0, 0, 0 },		/* an unknown kind */
		{ 0, 4, 0, 0, 100, 0, 0, 0, 0, 0 },
	};
	uint8_t f[200];
	size_t n = tcp_segment(f, 100);

	start(F_CSUM | F_TSO4);
	for (size_t i = 0; i < 4; i++)
		send_with(headers[i], f, n);
	cr_assert_eq(n_sent, 0);
	f[46] = 0xf0;					/* a TCP header longer than the frame */
	send_with(headers[4], f, 60);
	cr_assert_eq(n_sent, 0);
}

Test(virtio_net, sound_frames_are_marked_for_drivers_that_ask)
{
	start(F_GUEST_CSUM);
	net.sound = true;
	offer(0, 2000);
	arrive(mac, 100);
	cr_assert_eq(byte(VT_BUF), 2);
}

Test(virtio_net, frames_of_a_wire_are_not)
{
	start(F_GUEST_CSUM);
	offer(0, 2000);
	arrive(mac, 100);
	cr_assert_eq(byte(VT_BUF), 0);
}

/* ---- a network whose frames have headers ---- */

#define F_GUEST_TSO4	BIT(7)
#define F_GUEST_TSO6	BIT(8)

Test(virtio_net, large_segments_go_whole_where_they_can)
{
	static const uint8_t header[12] = { 1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0 }, udp[12] = { 1, 3, 54, 0, 0xe8, 3 };
	uint8_t f[3000];
	size_t n = tcp_segment(f, 2500);

	with_headers = true;
	start(F_CSUM | F_TSO4);
	send_with(header, f, n);
	cr_assert_eq(n_sent, 1);
	cr_assert_eq(sent_len, n);
	cr_assert_arr_eq(sent, f, n);
	cr_assert_arr_eq(sent_header, header, NET_HEADER);
	send_with(udp, f, n);
	cr_assert_eq(n_sent, 1, "no such kind was offered");
}

Test(virtio_net, large_segments_come_in_for_drivers_that_take_them)
{
	static const uint8_t header[NET_HEADER] = { 1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0 }, six[NET_HEADER] = { 1, 4, 54 };
	static const uint8_t valid[NET_HEADER] = { 2 };
	uint8_t f[3000];
	uint32_t id, len;

	with_headers = true;
	start(F_GUEST_CSUM | F_GUEST_TSO4);
	cr_assert_eq(net.offloads, NET_CSUM | NET_TSO4);
	for (unsigned i = 0; i < 3; i++)
		offer(i, 4096);
	frame_for(f, mac, 2600);
	net_deliver_with_header(&net, 0, header, f, 2600);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_assert_eq(len, 2612);
	for (unsigned i = 0; i < NET_HEADER; i++)
		cr_expect_eq(byte(VT_BUF + i), header[i]);
	cr_expect_eq(byte(VT_BUF + 10), 1);
	cr_expect_eq(byte(VT_BUF + 12 + 2599), (uint8_t)2599);
	net_deliver_with_header(&net, 0, six, f, 2600);
	cr_assert_not(vt_take(&t, RX, &id, &len), "nobody takes that");
	net_deliver_with_header(&net, 0, valid, f, 100);
	cr_assert(vt_take(&t, RX, &id, &len));
	cr_expect_eq(byte(VT_BUF + 0x1000), 2);
	vt_set_common(&t, 0x14, 1, 0);
	cr_assert_eq(net.offloads, 0, "a reset takes it back");
}

Test(virtio_net, without_headers_nothing_large_is_offered)
{
	start(F_GUEST_CSUM | F_GUEST_TSO4);
	cr_assert_eq(vt_offered(&t) & (F_GUEST_TSO4 | F_GUEST_TSO6 | BIT(9)), 0);
	cr_assert_eq(net.offloads, 0);
}

Test(virtio_net, large_segments_can_be_withheld)
{
	with_headers = true;
	start_with("addr=4,netdev=n,guest_tso4=off", F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6);
	cr_assert_eq(vt_offered(&t) & (F_GUEST_TSO4 | F_GUEST_TSO6), F_GUEST_TSO6);
	cr_assert_eq(net.offloads, NET_CSUM | NET_TSO6);
}

/* ---- commands beyond promiscuous, address filters ---- */

#define F_VLAN		BIT(19)
#define F_EXTRA		BIT(20)
#define F_ANNOUNCE	BIT(21)
#define F_MQ		BIT(22)

static bool taken(const uint8_t *to, unsigned vlan)
{
	uint32_t id, len;
	uint8_t f[64];

	frame_for(f, to, sizeof(f));
	f[12] = vlan ? 0x81 : 8;
	f[13] = 0;
	f[14] = (uint8_t)(vlan >> 8);
	f[15] = (uint8_t)vlan;
	net_deliver(&net, f, sizeof(f));
	if (!vt_take(&t, RX, &id, &len))
		return false;
	offer(id, 1526);
	return true;
}

Test(virtio_net, vlans_are_filtered)
{
	start(F_CTRL | F_VLAN);
	offer(0, 1526);
	cr_assert(taken(mac, 5), "promiscuous at first");
	cr_assert_eq(control("\0\0\0", 3), 0);
	cr_assert(taken(mac, 0), "no tag");
	cr_assert_not(taken(mac, 5));
	cr_assert_eq(control("\2\0\5\0", 4), 0);
	cr_assert(taken(mac, 5));
	cr_assert_not(taken(mac, 6));
	cr_assert_eq(control("\2\1\5\0", 4), 0);
	cr_assert_not(taken(mac, 5));
	cr_assert_eq(control("\2\0\0\x10", 4), 1, "there is no VLAN 4096");
}

/* What is behind the frame cannot be read. */
Test(virtio_net, a_frame_may_end_before_the_tag_that_it_announces)
{
	uint8_t *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *f = p + 4096 - 14;
	uint32_t id, len;

	cr_assert_neq(p, MAP_FAILED);
	cr_assert_eq(mprotect(p + 4096, 4096, PROT_NONE), 0);
	start(F_CTRL | F_VLAN);
	offer(0, 1526);
	cr_assert_eq(control("\0\0\0", 3), 0);
	memcpy(f, mac, 6);
	f[12] = 0x81;
	net_deliver(&net, f, 14);
	cr_assert(vt_take(&t, RX, &id, &len));
	munmap(p, 8192);
}

Test(virtio_net, kinds_of_frames_are_switched_off_and_on)
{
	static const uint8_t group[6] = { 1, 0, 0x5e, 0, 0, 1 }, all[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t other[6] = { 0x52, 0x54, 0, 1, 2, 3 };

	start(F_CTRL | F_EXTRA);
	offer(0, 1526);
	cr_assert_eq(control("\0\0\0", 3), 0);
	cr_assert_not(taken(other, 0));
	cr_assert_eq(control("\0\2\1", 3), 0);	/* all unicast */
	cr_assert(taken(other, 0));
	cr_assert_eq(control("\0\4\1", 3), 0);	/* no unicast */
	cr_assert_not(taken(mac, 0));
	cr_assert_eq(control("\0\1\1", 3), 0);	/* all multicast */
	cr_assert(taken(group, 0));
	cr_assert_eq(control("\0\3\1", 3), 0);	/* no multicast */
	cr_assert_not(taken(group, 0));
	cr_assert(taken(all, 0));
	cr_assert_eq(control("\0\5\1", 3), 0);	/* no broadcast */
	cr_assert_not(taken(all, 0));
	cr_assert_eq(control("\0\6\1", 3), 1);
}

Test(virtio_net, a_guest_that_was_moved_is_asked_to_say_so)
{
	start(F_CTRL | F_ANNOUNCE);
	vt_isr(&t);
	net_announce_all(b.m);
	cr_assert_eq(vt_config(&t, 6, 2), 3);
	cr_assert_eq(vt_isr(&t), 2);
	cr_assert_eq(control("\3\0", 2), 0);
	cr_assert_eq(vt_config(&t, 6, 2), 1);
}

/* Four pairs: commands are on queue 8. */
static void start_pairs(void)
{
	vt_machine(&b);
	net = (struct net){ .ops = &ops, .m = b.m, .tail = &net.waiting, .queues = 4 };
	machine_add_backend(b.m, "netdev", "n", &net);
	struct dev *d = dev_make(b.m, &virtio_net_type, NULL, "addr=4,netdev=n,mq=on", &b.err);
	cr_assert(d, "%s", b.err.msg);
	vt_start(&t, &b, d, F_CTRL | F_MQ, 9);
}

static int pairs(uint16_t n)
{
	uint8_t c[4] = { 4, 0, (uint8_t)n, (uint8_t)(n >> 8) };
	uint32_t id, len, at = VT_BUF + 0x20000;

	phys_write_buf(b.m->phys, at, c, 4);
	vt_desc(&t, 8, 0, at, 4, D_NEXT, 1);
	vt_desc(&t, 8, 1, at + 0x800, 1, D_WRITE, 0);
	vt_offer(&t, 8, 0);
	vt_kick(&t, 8);
	return vt_take(&t, 8, &id, &len) ? byte(at + 0x800) : -1;
}

/* TCP between two addresses and ports, one way or the other. */
static void flow_frame(uint8_t *f, uint8_t port, bool out)
{
	memset(f, 0, 60);
	memcpy(f, mac, 6);
	f[12] = 8;
	f[14] = 0x45;
	f[23] = 6;
	f[29] = out ? 15 : 2;
	f[33] = out ? 2 : 15;
	f[out ? 35 : 37] = port;
	f[out ? 37 : 35] = 80;
}

Test(virtio_net, answers_come_on_the_pair_of_their_flow)
{
	uint32_t id, len;
	uint8_t f[60];

	start_pairs();
	cr_assert_eq(vt_config(&t, 8, 2), 4);
	cr_assert_eq(pairs(0), 1);
	cr_assert_eq(pairs(5), 1);
	cr_assert_eq(pairs(4), 0);
	for (unsigned p = 0; p < 4; p++) {
		vt_desc(&t, 2 * p, 0, VT_BUF + 0x40000 + 0x1000 * p, 1526, D_WRITE, 0);
		vt_offer(&t, 2 * p, 0);
		vt_kick(&t, 2 * p);
		flow_frame(f, (uint8_t)(100 + p), true);
		phys_write_buf(b.m->phys, VT_BUF + 12, f, sizeof(f));
		vt_desc(&t, 2 * p + 1, 0, VT_BUF, 72, 0, 0);
		vt_offer(&t, 2 * p + 1, 0);
		vt_kick(&t, 2 * p + 1);
		cr_assert(vt_take(&t, 2 * p + 1, &id, &len));
	}
	for (unsigned p = 0; p < 4; p++) {
		flow_frame(f, (uint8_t)(100 + p), false);
		net_deliver(&net, f, sizeof(f));
		for (unsigned other = 0; other < 4; other++)
			cr_expect_eq(vt_take(&t, 2 * other, &id, &len), other == p, "flow %u on pair %u", p, other);
	}
}

Test(virtio_net, pairs_belong_to_the_network_s_own_queues)
{
	uint32_t id, len;
	uint8_t f[60];

	start_pairs();
	net.steers = true;
	cr_assert_eq(pairs(2), 0);
	flow_frame(f, 100, true);
	phys_write_buf(b.m->phys, VT_BUF + 12, f, sizeof(f));
	vt_desc(&t, 3, 0, VT_BUF, 72, 0, 0);
	vt_offer(&t, 3, 0);
	vt_kick(&t, 3);
	cr_expect_eq(net.sending, 1);
	for (unsigned p = 0; p < 2; p++) {
		vt_desc(&t, 2 * p, 0, VT_BUF + 0x40000 + 0x1000 * p, 1526, D_WRITE, 0);
		vt_offer(&t, 2 * p, 0);
		vt_kick(&t, 2 * p);
	}
	flow_frame(f, 100, false);		/* was sent on pair 1, but now comes from queue 2 */
	net_deliver_on(&net, 2, f, sizeof(f));
	cr_expect(vt_take(&t, 0, &id, &len));
	net_deliver_on(&net, 1, f, sizeof(f));
	cr_expect(vt_take(&t, 2, &id, &len));
}
