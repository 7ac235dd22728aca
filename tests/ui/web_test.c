/* ui/web_server.c: the page is for who has the token; WebSockets are byte streams. */
#include "config.h"
#ifdef CONFIG_WEB

#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ui/web_server.h"

#define TOKEN	"0123456789abcdef"
#define PAGE	"<p>the page"

static struct web_server *server;
static int machine_end;			/* of the shared stream */
static int screen_end;			/* of the last viewer's screen */

static int screen(void *opaque)
{
	int pair[2];

	(void)opaque;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
		return -1;
	screen_end = pair[0];
	return pair[1];
}

static void setup(void)
{
	static const struct web_folder folders[] = { { NULL, NULL } };
	struct web_config c = {
		.address = "127.0.0.1", .port = 20000 + (int)getpid() % 20000, .token = TOKEN, .page = PAGE,
		.page_len = sizeof(PAGE) - 1, .folders = folders, .screen = screen, .n_streams = 1,
	};
	struct err e;
	int pair[2];

	c.last_port = c.port + 1000;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	machine_end = pair[0];
	c.streams[0].fd = pair[1];
	strcpy(c.streams[0].name, "serial0");
	server = web_server_new(&c, &e);
	cr_assert(server, "%s", e.msg);
}

static void teardown(void)
{
	web_server_free(server);
}

TestSuite(web, .init = setup, .fini = teardown, .timeout = 60);

static int dial(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)web_server_port(server)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* Read until `end` is there, or the other side has ended. */
static void read_until(int fd, char *text, size_t n, const char *end)
{
	size_t got = 0;

	text[0] = 0;
	while (got + 1 < n && !strstr(text, end)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, 20000) > 0 ? read(fd, text + got, n - 1 - got) : 0;
		if (r <= 0)
			break;
		got += (size_t)r;
		text[got] = 0;
	}
}

static void ask(const char *path, const char *headers, char *answer, size_t n, const char *end, int *fd)
{
	char request[600];

	*fd = dial();
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, headers);
	cr_assert_eq(write(*fd, request, strlen(request)), (ssize_t)strlen(request));
	read_until(*fd, answer, n, end);
}

Test(web, the_page_is_for_who_has_the_token)
{
	char a[1000];
	int fd;

	ask("/", "", a, sizeof(a), "started", &fd);
	cr_assert(strstr(a, " 403 "), "%s", a);
	ask("/?token=0123456789abcdee", "", a, sizeof(a), "started", &fd);
	cr_assert(strstr(a, " 403 "), "%s", a);
	cr_assert_not(strstr(a, PAGE));
	ask("/?token=" TOKEN, "", a, sizeof(a), PAGE, &fd);
	cr_assert(strstr(a, " 200 ") && strstr(a, PAGE), "%s", a);
	ask("/etc/passwd?token=" TOKEN, "", a, sizeof(a), "here", &fd);
	cr_assert(strstr(a, " 404 "), "%s", a);
}

#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static int web_socket(const char *path)
{
	char a[1000];
	int fd;

	ask(path, UPGRADE, a, sizeof(a), "\r\n\r\n", &fd);
	if (!strstr(a, " 101 ")) {
		close(fd);
		return -1;
	}
	/* RFC 6455's own example. */
	cr_assert(strstr(a, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "%s", a);
	return fd;
}

/* A short binary message, masked with zeros. */
static void send_message(int fd, const char *text)
{
	uint8_t m[140] = { 0x82, (uint8_t)(0x80 | strlen(text)) };

	memcpy(m + 6, text, strlen(text));
	cr_assert_eq(write(fd, m, 6 + strlen(text)), (ssize_t)(6 + strlen(text)));
}

Test(web, streams_are_for_who_has_the_token)
{
	cr_assert_lt(web_socket("/stream/serial0"), 0);
	cr_assert_lt(web_socket("/screen"), 0);
	cr_assert_lt(web_socket("/stream/other?token=" TOKEN), 0);
	cr_assert_geq(web_socket("/stream/serial0?token=" TOKEN), 0);
}

Test(web, a_stream_goes_both_ways_and_tells_latecomers_what_was)
{
	char text[100];
	int one = web_socket("/stream/serial0?token=" TOKEN), two;

	send_message(one, "typed");
	read_until(machine_end, text, sizeof(text), "typed");
	cr_assert_str_eq(text, "typed");
	cr_assert_eq(write(machine_end, "login:", 6), 6);
	read_until(one, text, sizeof(text), "login:");
	cr_assert_eq((uint8_t)text[0], 0x82);
	cr_assert_str_eq(text + 2, "login:");
	two = web_socket("/stream/serial0?token=" TOKEN);
	read_until(two, text, sizeof(text), "login:");
	cr_assert_str_eq(text + 2, "login:");
}

Test(web, each_viewer_has_a_screen_of_its_own_until_it_goes)
{
	char text[100];
	int fd = web_socket("/screen?token=" TOKEN);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(screen_end, "RFB", 3), 3);
	read_until(fd, text, sizeof(text), "RFB");
	cr_assert_str_eq(text + 2, "RFB");
	close(fd);
	read_until(screen_end, text, sizeof(text), "x");
	cr_assert_str_eq(text, "");
}

Test(web, a_server_that_ends_closes_its_streams)
{
	char text[10];

	web_server_free(server);
	server = NULL;
	read_until(machine_end, text, sizeof(text), "x");
	cr_assert_str_eq(text, "");
}

#else
typedef int nothing_to_test;
#endif
