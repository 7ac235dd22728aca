/* Networks over sockets: two machines' ends in one test, joined by the host. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hw/backend/net.h"
#include "hw/core/loop.h"
#include "tests/bench.h"

static struct bench b;
static struct loop *loop;
static char path[80];

/* A card that keeps the last frame. */
struct card {
	struct net *net;
	uint8_t frame[2000];
	size_t len;
	int n;
};
static struct card one, two;

static bool input(void *opaque, const uint8_t *frame, size_t n)
{
	struct card *c = opaque;

	c->n++;
	c->len = n;
	memcpy(c->frame, frame, n < sizeof(c->frame) ? n : sizeof(c->frame));
	return true;
}

static const struct net_front front = { input };

static void setup(void)
{
	bench_machine(&b);
	loop = loop_new(b.m, &b.err);
	cr_assert(loop, "%s", b.err.msg);
	machine_unlock(b.m);
	snprintf(path, sizeof(path), "unix:/tmp/rhea-net-%d", (int)getpid());
}

static void teardown(void)
{
	machine_lock(b.m);
	net_detach(one.net, &one);
	net_detach(two.net, &two);
	net_free_all(b.m);
	loop_free(loop);
	b.m->loop = NULL;
	bench_close(&b);
}

TestSuite(net_socket, .init = setup, .fini = teardown, .timeout = 60);

static void join(struct card *c, const char *id, struct net_socket_options o)
{
	machine_lock(b.m);
	c->net = net_new(b.m, &(struct net_options){ .kind = "socket", .id = id, .socket = o }, &b.err);
	cr_assert(c->net, "%s", b.err.msg);
	cr_assert(net_attach(c->net, &front, c, &b.err));
	machine_unlock(b.m);
}

static void send_frame(struct card *c, const void *frame, size_t n)
{
	machine_lock(b.m);
	net_send(c->net, frame, n);
	machine_unlock(b.m);
}

static void run_until(const int *counter, int n)
{
	for (int i = 0; i < 2000 && *counter < n; i++) {
		b.mono += NS_PER_MS;		/* what waits for company leaves */
		loop_step(loop, NS_PER_MS);
	}
	cr_assert_eq(*counter, n, "%d of %d frames", *counter, n);
}

Test(net_socket, frames_cross_a_stream_in_both_directions)
{
	uint8_t f[1514] = { 1, 2, 3 };

	join(&one, "one", (struct net_socket_options){ .listen = path });
	join(&two, "two", (struct net_socket_options){ .connect = path });
	loop_step(loop, NS_PER_MS);
	send_frame(&two, f, 60);
	send_frame(&two, f, sizeof(f));
	run_until(&one.n, 2);
	cr_assert_eq(one.len, sizeof(f));
	cr_assert(!memcmp(one.frame, f, sizeof(f)));
	send_frame(&one, f, 99);
	run_until(&two.n, 1);
	cr_assert_eq(two.len, 99);
}

static int dial(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(un.sun_path, path + 5);
	cr_assert_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	loop_step(loop, NS_PER_MS);
	return fd;
}

Test(net_socket, a_stream_is_cut_into_frames_wherever_it_breaks)
{
	static const uint8_t bytes[] = { 0, 0, 0, 14, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n' };
	int fd;

	join(&one, "one", (struct net_socket_options){ .listen = path });
	fd = dial();
	for (size_t i = 0; i < sizeof(bytes); i++) {
		cr_assert_eq(write(fd, bytes + i, 1), 1);
		loop_step(loop, NS_PER_MS);
	}
	run_until(&one.n, 1);
	cr_assert(one.len == 14 && !memcmp(one.frame, "abcdefghijklmn", 14));
	close(fd);
}

Test(net_socket, an_impossible_length_ends_the_connection_and_the_next_may_come)
{
	static const uint8_t huge[] = { 0x7f, 0, 0, 0, 1 }, fine[] = { 0, 0, 0, 14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };
	char c;
	int fd;

	join(&one, "one", (struct net_socket_options){ .listen = path });
	fd = dial();
	cr_assert_eq(write(fd, huge, sizeof(huge)), sizeof(huge));
	for (int i = 0; i < 200 && recv(fd, &c, 1, MSG_DONTWAIT) < 0; i++)
		loop_step(loop, 10 * NS_PER_MS);
	cr_assert_leq(recv(fd, &c, 1, MSG_DONTWAIT), 0);
	close(fd);
	fd = dial();
	cr_assert_eq(write(fd, fine, sizeof(fine)), sizeof(fine));
	run_until(&one.n, 1);
	close(fd);
}

Test(net_socket, datagrams_cross)
{
	char to_one[40], to_two[40];
	uint8_t f[100] = { 7 };
	int port = 30000 + (int)getpid() % 15000 * 2;

	snprintf(to_one, sizeof(to_one), "127.0.0.1:%d", port);
	snprintf(to_two, sizeof(to_two), "127.0.0.1:%d", port + 1);
	join(&one, "one", (struct net_socket_options){ .udp = to_two, .local = to_one });
	join(&two, "two", (struct net_socket_options){ .udp = to_one, .local = to_two });
	send_frame(&one, f, 64);
	run_until(&two.n, 1);
	send_frame(&two, f, 65);
	run_until(&one.n, 1);
	cr_assert_eq(one.len, 65);
}

/* Who does not take connections would stop the machine until the host gives up. */
Test(net_socket, trying_again_does_not_wait, .timeout = 20)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM, 0), full[8], n = 0, c;
	static const uint8_t fine[] = { 0, 0, 0, 14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };

	strcpy(a.sun_path, path + 5);
	unlink(a.sun_path);
	cr_assert_eq(bind(server, (struct sockaddr *)&a, sizeof(a)) || listen(server, 0), 0);
	join(&one, "one", (struct net_socket_options){ .connect = path, .reconnect = 1 });
	c = accept(server, NULL, NULL);
	while (n < 8 && (full[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0
	       && !connect(full[n], (struct sockaddr *)&a, sizeof(a)))
		n++;
	cr_assert(n < 8);
	close(c);
	for (int i = 0; i < 30; i++) {
		b.mono += NS_PER_SEC / 10;
		loop_step(loop, NS_PER_MS);
	}
	for (int i = 0; i < n; i++)
		close(accept(server, NULL, NULL));
	for (int i = 0; i < 20; i++) {
		b.mono += NS_PER_SEC / 10;
		loop_step(loop, NS_PER_MS);
	}
	c = accept(server, NULL, NULL);
	cr_assert_eq(write(c, fine, sizeof(fine)), sizeof(fine));
	run_until(&one.n, 1);
	cr_assert_eq(one.len, 14);
	for (int i = 0; i <= n; i++)
		close(full[i]);
	close(c);
	close(server);
	unlink(a.sun_path);
}

/* Somebody takes a TAP interface away: the loop sleeps as before. */
Test(net_socket, an_interface_that_is_gone_is_not_watched)
{
	struct net_options o = { .kind = "tap", .id = "one" };
	struct timespec from, to;
	uint8_t f[60] = { 7 };
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	o.tap.fds[o.tap.n_fds++] = pair[0];
	machine_lock(b.m);
	one.net = net_new(b.m, &o, &b.err);
	cr_assert(one.net && net_attach(one.net, &front, &one, &b.err), "%s", b.err.msg);
	machine_unlock(b.m);
	cr_assert_eq(write(pair[1], f, sizeof(f)), sizeof(f));
	run_until(&one.n, 1);
	close(pair[1]);
	for (int i = 0; i < 4; i++)
		loop_step(loop, NS_PER_MS);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 4; i++)
		loop_step(loop, 10 * NS_PER_MS);
	clock_gettime(CLOCK_MONOTONIC, &to);
	cr_assert_gt((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec, 30000000);
}

Test(net_socket, what_cannot_be_reached_is_told)
{
	machine_lock(b.m);
	cr_assert_null(net_new(b.m, &(struct net_options){ .kind = "socket", .id = "x", .socket.connect = "unix:/nonexistent/x" }, &b.err));
	cr_assert(strstr(b.err.msg, "cannot connect to unix:/nonexistent/x"), "%s", b.err.msg);
	cr_assert_null(net_new(b.m, &(struct net_options){ .kind = "socket", .id = "x", .socket.connect = "nowhere" }, &b.err));
	cr_assert(strstr(b.err.msg, "expected HOST:PORT"), "%s", b.err.msg);
	machine_unlock(b.m);
}
