/* Networks: the queue in front of a card, recording, and what -netdev user takes. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "hw/backend/net.h"
#include "hw/core/chr.h"
#include "hw/core/loop.h"
#include "tests/bench.h"

static struct bench b;
static int n_in, room;
static size_t last_len;

static bool input(void *opaque, const uint8_t *frame, size_t n)
{
	(void)opaque, (void)frame;
	if (!room)
		return false;
	room--;
	n_in++;
	last_len = n;
	return true;
}

static const struct net_front front = { input };

static void nowhere(struct net *n, const uint8_t *frame, size_t len)
{
	(void)n, (void)frame, (void)len;
}

static const struct net_ops ops = { "test", nowhere, NULL };
static struct net net;

static void setup(void)
{
	bench_machine(&b);
	net = (struct net){ .ops = &ops, .m = b.m, .tail = &net.waiting, .id = "n" };
}

static void teardown(void)
{
	net_detach(&net, net.front_opaque);
	net_dump_free(net.dumps);
	net_free_all(b.m);
	bench_close(&b);
}
TestSuite(net, .init = setup, .fini = teardown);

Test(net, frames_wait_in_order_until_there_is_room)
{
	uint8_t f[200] = { 0 };

	cr_assert(net_attach(&net, &front, NULL, &b.err));
	for (size_t n = 60; n < 64; n++)
		net_deliver(&net, f, n);
	cr_assert_eq(n_in, 0);
	room = 2;
	net_flush(&net);
	cr_assert_eq(last_len, 61);
	room = 9;
	net_flush(&net);
	cr_assert_eq(n_in, 4);
	cr_assert_eq(last_len, 63);
}

static uint8_t last_header[NET_HEADER];

static bool input_with_header(void *opaque, const uint8_t *frame, size_t n)
{
	if (!input(opaque, frame, n))
		return false;
	memcpy(last_header, net_coming_header(&net), NET_HEADER);
	return true;
}

Test(net, a_card_gets_what_it_takes_with_its_header)
{
	static const struct net_front front_with = { input_with_header };
	static const uint8_t tso4[NET_HEADER] = { 1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0 }, ecn[NET_HEADER] = { 1, 0x81 };
	static const uint8_t csum[NET_HEADER] = { 1, 0, 0, 0, 0, 0, 34, 0, 16, 0 }, udp[NET_HEADER] = { 0, 3 }, odd[NET_HEADER] = { 0, 9 };
	uint8_t f[200] = { 0 };

	cr_assert(net_attach(&net, &front_with, NULL, &b.err));
	room = 9;
	net_deliver_with_header(&net, 0, csum, f, 60);
	cr_assert_eq(n_in, 0);
	net_take_offloads(&net, NET_CSUM | NET_TSO4);
	net_deliver_with_header(&net, 0, csum, f, 60);
	cr_assert_arr_eq(last_header, csum, NET_HEADER);
	net_deliver_with_header(&net, 0, ecn, f, 60);
	net_deliver_with_header(&net, 0, udp, f, 60);
	net_deliver_with_header(&net, 0, odd, f, 60);
	cr_assert_eq(n_in, 1);
	room = 0;
	net_deliver_with_header(&net, 0, tso4, f, 61);
	net_deliver(&net, f, 62);
	room = 1;
	net_flush(&net);
	cr_assert_arr_eq(last_header, tso4, NET_HEADER, "it waited with its header");
	room = 1;
	net_flush(&net);
	cr_assert_eq(last_header[0], 0);
	room = 0;
	net_deliver_with_header(&net, 0, tso4, f, 61);
	net_take_offloads(&net, 0);
	room = 9;
	net_flush(&net);
	cr_assert_eq(n_in, 3, "what waited for a card that took it is gone");
}

static unsigned came_on[8];

static bool input_on_pair(void *opaque, const uint8_t *frame, size_t n)
{
	if (n_in == 8 || !input(opaque, frame, n))
		return false;
	came_on[n_in - 1] = net_coming(opaque);
	return true;
}

static const struct net_front front_of_pairs = { input_on_pair };

static void step(struct loop *l, int times)
{
	machine_unlock(b.m);
	while (times--)
		loop_step(l, NS_PER_MS);
	machine_lock(b.m);
}

/* Descriptors of somebody else's, here sockets, as those of an interface with two queues. */
Test(net, queues_of_a_tap_interface_belong_to_pairs_of_the_card)
{
	struct net_options o = { .kind = "tap", .id = "t", .queues = 2, .tap = { .n_fds = 2 } };
	uint8_t f[100] = { 0 };
	struct loop *l = loop_new(b.m, &b.err);
	int other[2];
	struct net *n;

	for (int i = 0; i < 2; i++) {
		int fd[2];

		cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
		o.tap.fds[i] = fd[0];
		other[i] = fd[1];
	}
	n = net_new(b.m, &o, &b.err);
	cr_assert(n, "%s", b.err.msg);
	cr_assert(net_steers(n));
	cr_assert(net_attach(n, &front_of_pairs, n, &b.err));
	net_send_on(n, 1, f, 61);
	net_send_on(n, 0, f, 62);
	cr_expect_eq(recv(other[1], f, sizeof(f), MSG_DONTWAIT), 61);
	cr_expect_eq(recv(other[0], f, sizeof(f), MSG_DONTWAIT), 62);
	room = 1;
	for (int i = 0; i < 3; i++)
		cr_assert_eq(send(other[1], f, 70, 0), 70);
	cr_assert_eq(send(other[0], f, 70, 0), 70);
	step(l, 4);
	cr_assert_eq(n->n_in, 2);	/* one is in, one waits: nobody reads more */
	room = 8;
	net_flush(n);			/* those that waited know it, too */
	step(l, 20);
	cr_assert_eq(n_in, 4);
	cr_expect_eq(came_on[0] + came_on[1] + came_on[2] + came_on[3], 3);
	net_detach(n, n);
	net_free(n);
	loop_free(l);
}

Test(net, a_stopped_machine_gets_its_frames_later)
{
	uint8_t f[60] = { 0 };

	cr_assert(net_attach(&net, &front, NULL, &b.err));
	room = 9;
	clock_stop(&b.m->clock);
	net_deliver(&net, f, sizeof(f));
	net_flush(&net);
	cr_assert_eq(n_in, 0);
	clock_start(&b.m->clock);
	net_flush(&net);
	cr_assert_eq(n_in, 1);
}

Test(net, a_network_takes_one_card)
{
	cr_assert(net_attach(&net, &front, NULL, &b.err));
	cr_assert_not(net_attach(&net, &front, &b, &b.err));
	net_detach(&net, &b);			/* not its card */
	cr_assert_not(net_attach(&net, &front, &b, &b.err));
	net_detach(&net, NULL);
	cr_assert(net_attach(&net, &front, NULL, &b.err));
}

Test(net, cards_get_different_addresses)
{
	uint8_t a[6], c[6];

	net_default_mac(b.m, a);
	net_default_mac(b.m, c);
	cr_assert_eq(a[5], 0x56);
	cr_assert_eq(c[5], 0x57);
}

Test(net, recording_has_both_directions)
{
	char path[] = "/tmp/rhea-pcap-XXXXXX";
	uint8_t f[100] = { 1, 2, 3 }, all[300];
	int fd = mkstemp(path);

	cr_assert(net_attach(&net, &front, NULL, &b.err));
	room = 1;
	cr_assert(net_dump(&net, path, 64, &b.err), "%s", b.err.msg);
	net_send(&net, f, 60);
	net_deliver(&net, f, 100);
	cr_assert_eq(read(fd, all, sizeof(all)), 24 + 16 + 60 + 16 + 64);
	cr_assert_eq(ld32(all), 0xa1b2c3d4);
	cr_assert_eq(ld32(all + 20), 1);
	cr_assert_eq(ld32(all + 24), 1150000000);
	cr_assert_eq(ld32(all + 24 + 8), 60);
	cr_assert_eq(ld32(all + 100 + 8), 64);
	cr_assert_eq(ld32(all + 100 + 12), 100);
	close(fd);
	unlink(path);
	cr_assert_not(net_dump(&net, "/nonexistent/x", 64, &b.err));
}

#ifdef CONFIG_SLIRP

static struct net *user(struct net_user_options u)
{
	return net_new(b.m, &(struct net_options){ .kind = "user", .id = "u", .user = u }, &b.err);
}

static uint8_t heard[1600];
static size_t heard_len;

static bool hear(void *opaque, const uint8_t *frame, size_t n)
{
	(void)opaque;
	if (n <= sizeof(heard) && ld16(frame + 12) == 0x0608)
		memcpy(heard, frame, heard_len = n);
	return true;
}

static const struct net_front ear = { hear };

/* Who has 10.9.8.7? Tell 10.9.8.15. */
static const uint8_t arp[42] = {
	255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6,
	0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 9, 8, 15,
	0, 0, 0, 0, 0, 0, 10, 9, 8, 7,
};

Test(net, the_router_of_a_user_network_answers)
{
	struct net *n = user((struct net_user_options){ .net = "10.9.8.0/24", .host = "10.9.8.7" });

	cr_assert(n, "%s", b.err.msg);
	cr_assert(net_attach(n, &ear, NULL, &b.err));
	net_send(n, arp, sizeof(arp));
	cr_assert_geq(heard_len, 42);
	cr_assert_eq(heard[21], 2);		/* a reply */
	cr_assert(!memcmp(heard + 28, "\x0a\x09\x08\x07", 4));
}

/* From 10.9.8.15:5000 to 10.9.8.7:9, nothing. */
static const uint8_t datagram[42] = {
	0x52, 0x55, 10, 9, 8, 7, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0,
	0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0x56, 0xaa, 10, 9, 8, 15, 10, 9, 8, 7,
	0x13, 0x88, 0, 9, 0, 8, 0, 0,
};

static atomic_int rounds;

static void *one_round(void *loop)
{
	loop_step(loop, 20 * NS_PER_SEC);
	rounds++;
	return NULL;
}

/* A thread that wakes for each frame costs more than the frame. */
Test(net, a_frame_wakes_the_loop_if_there_is_something_else_to_watch, .timeout = 60)
{
	struct loop *l = loop_new(b.m, &b.err);
	struct net *n = user((struct net_user_options){ .net = "10.9.8.0/24", .host = "10.9.8.7" });
	pthread_t thread;

	cr_assert(n, "%s", b.err.msg);
	cr_assert(net_attach(n, &ear, NULL, &b.err));
	step(l, 3);
	pthread_create(&thread, NULL, one_round, l);
	machine_unlock(b.m);
	usleep(50000);				/* long enough to fall asleep */
	machine_lock(b.m);
	net_send(n, arp, sizeof(arp));
	cr_assert_geq(heard_len, 42);
	machine_unlock(b.m);
	usleep(50000);
	cr_assert_eq(rounds, 0);
	machine_lock(b.m);
	net_send(n, datagram, sizeof(datagram));
	machine_unlock(b.m);
	pthread_join(thread, NULL);
	cr_assert_eq(rounds, 1);
	machine_lock(b.m);
	net_detach(n, NULL);
	net_free(n);
	loop_free(l);
}

/* ---- a stream behind an address ---- */

static uint8_t tcp_heard[200], stream_got[16];
static size_t stream_n;

static bool hear_tcp(void *opaque, const uint8_t *frame, size_t n)
{
	(void)opaque;
	if (n <= sizeof(tcp_heard) && frame[12] == 8 && !frame[13] && frame[23] == 6)
		memcpy(tcp_heard, frame, n);
	return true;
}

static void stream_write(struct chr *c, const uint8_t *p, size_t n)
{
	(void)c;
	cr_assert_leq(stream_n + n, sizeof(stream_got));
	memcpy(stream_got + stream_n, p, n);
	stream_n += n;
}

static void stream_free(struct chr *c) { (void)c; }

static uint16_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }
static void put32(uint8_t *p, uint32_t v) { put16(p, (uint16_t)(v >> 16)); put16(p + 2, (uint16_t)v); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

/* From 10.9.8.15:5000 to 10.9.8.100:80. */
static void tcp(struct net *n, uint8_t flags, uint32_t seq, uint32_t ack, const char *data)
{
	static const uint8_t head[34] = {
		0x52, 0x55, 10, 9, 8, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0,
		0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 9, 8, 15, 10, 9, 8, 100,
	};
	uint8_t f[80] = { 0 };
	size_t len = 20 + strlen(data);

	memcpy(f, head, sizeof(head));
	put16(f + 16, (uint16_t)(20 + len));
	put16(f + 24, sum16(f + 14, 20, 0));
	put16(f + 34, 5000);
	put16(f + 36, 80);
	put32(f + 38, seq);
	put32(f + 42, ack);
	f[46] = 0x50;
	f[47] = flags;
	put16(f + 48, 8192);
	memcpy(f + 54, data, strlen(data));
	put16(f + 50, sum16(f + 26, 8 + len, 6 + (uint32_t)len));
	net_send(n, f, 34 + len);
}

Test(net, a_stream_of_the_host_is_behind_an_address)
{
	static const struct chr_ops stream_ops = { "test", stream_write, .free = stream_free };
	static const struct net_front ears = { hear_tcp };
	enum { SYN = 2, PSH = 8, ACK = 16 };
	struct chr c = { .ops = &stream_ops, .m = b.m, .id = strdup("c") };
	struct net *n;
	uint8_t who_has[sizeof(arp)];
	uint32_t seq;

	memcpy(who_has, arp, sizeof(arp));
	who_has[41] = 100;
	b.m->chrs = &c;
	n = user((struct net_user_options){ .net = "10.9.8.0/24", .guestfwd = { "tcp:10.9.8.100:80-chardev:c" } });
	cr_assert(n, "%s", b.err.msg);
	cr_assert(net_attach(n, &ears, NULL, &b.err));
	cr_assert_eq(chr_room(&c), 0, "nobody is connected");
	net_send(n, who_has, sizeof(who_has));
	tcp(n, SYN, 100, 0, "");
	cr_assert_eq(tcp_heard[47], SYN | ACK);
	seq = get32(tcp_heard + 38) + 1;
	tcp(n, ACK, 101, seq, "");
	tcp(n, PSH | ACK, 101, seq, "hello");
	cr_assert_eq(stream_n, 5);
	cr_assert_arr_eq(stream_got, "hello", 5);
	cr_assert_gt(chr_room(&c), 3);
	chr_input(&c, (const uint8_t *)"you", 3);
	cr_assert_arr_eq(tcp_heard + 54, "you", 3);
	cr_assert_null(user((struct net_user_options){ .guestfwd = { "tcp:10.0.2.9:1-chardev:c" } }), "it is taken");
	net_detach(n, NULL);
	net_free(n);
	cr_assert_null(c.front);
	chr_free(&c);
}

Test(net, a_stream_made_for_an_address_goes_with_its_network)
{
	static const struct net_user_options o = { .guestfwd = { "tcp:10.0.2.9:1-null" } };

	for (int i = 0; i < 2; i++) {
		struct net *n = user(o);

		cr_assert(n, "%s", b.err.msg);
		cr_expect(chr_find(b.m, "guestfwd.tcp.1"));
		net_free(n);
		cr_expect_null(chr_find(b.m, "guestfwd.tcp.1"));
	}
	cr_expect_null(user((struct net_user_options){ .guestfwd = { "tcp:10.0.3.9:1-null" } }), "it is elsewhere");
	cr_expect_null(chr_find(b.m, "guestfwd.tcp.1"));
}

Test(net, mistakes_in_user_networks_are_told)
{
	static const struct net_user_options wrong[] = {
		{ .net = "10.0.2" }, { .net = "10.0.2.0/40" }, { .host = "10.0.3.1" }, { .host = "x" },
		{ .dns = "10.0.2.2" }, { .ipv6_net = "fec0::/200" }, { .hostfwd = { "tcp:80" } },
		{ .hostfwd = { "sctp::1-:2" } }, { .hostfwd = { "tcp::99999-:22" } }, { .hostfwd = { "tcp::0-:0" } },
		{ .guestfwd = { "tcp:10.0.2.9:1-nothing" } }, { .guestfwd = { "tcp:10.0.2.9:1-chardev:none" } },
		{ .guestfwd = { "tcp:10.0.3.9:1-null" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		b.err.msg[0] = 0;
		cr_expect_null(user(wrong[i]), "%zu", i);
		cr_expect(*b.err.msg, "%zu", i);
	}
	cr_assert_null(net_new(b.m, &(struct net_options){ .kind = "carrier-pigeon", .id = "x" }, &b.err));
}

#endif

Test(net, without_a_cable_frames_vanish)
{
	uint8_t f[64] = { 0 };

	room = 9;
	cr_assert(net_attach(&net, &front, NULL, &b.err));
	net_set_up(&net, false);
	cr_assert_not(net_up(&net));
	net_deliver(&net, f, sizeof(f));
	net_set_up(&net, true);
	net_flush(&net);
	cr_assert_eq(n_in, 0);
	cr_assert_not(net_up(NULL));
}
