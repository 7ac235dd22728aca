/*
 * TCP and Unix sockets as byte streams, as server (one client at a time, the
 * next may come when it has gone) or as client.
 *
 * Not modelled: reconnecting, TLS; telnet options beyond
 * offering echo, no go-ahead and binary.
 * Source for telnet: RFC 854 "Telnet Protocol Specification".
 */
#include "hw/backend/char.h"
#include "hw/backend/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { IAC = 255, SB = 250, WILL = 251, DONT = 254, SE = 240 };

struct chr_sock {
	struct chr_fd f;
	int listen_fd, fd;		/* -1: none */
	int passed;			/* a descriptor that came in and nobody has taken; -1: none */
	struct loop_fd *listener;
	bool telnet, nodelay;
	int tel_state;			/* 0 text, 1 after IAC, 2 after an option verb, 3 inside SB, 4 IAC in SB */
	char unlink_path[108];
	char name[400];
};

/* ---- telnet ---- */

static int telnet_filter(struct chr_fd *f, uint8_t *p, int n)
{
	struct chr_sock *s = (struct chr_sock *)f;
	int k = 0;

	for (int i = 0; i < n; i++) {
		uint8_t v = p[i];

		switch (s->tel_state) {
		case 0:
			if (v == IAC)
				s->tel_state = 1;
			else if (v)		/* CR NUL stands for CR */
				p[k++] = v;
			break;
		case 1:
			if (v == IAC)
				p[k++] = v;
			s->tel_state = v == SB ? 3 : v >= WILL && v <= DONT ? 2 : 0;
			break;
		case 2:
			s->tel_state = 0;
			break;
		case 3:
			if (v == IAC)
				s->tel_state = 4;
			break;
		case 4:
			s->tel_state = v == SE ? 0 : 3;
			break;
		}
	}
	return k;
}

static void telnet_hello(struct chr_sock *s)
{
	static const uint8_t hello[] = { IAC, WILL, 1, IAC, WILL, 3, IAC, WILL, 0, IAC, 253, 0 };

	chr_fd_write(&s->f.chr, hello, sizeof(hello));
}

/* The escape itself is sent twice. */
static void sock_write(struct chr *c, const uint8_t *p, size_t n)
{
	static const uint8_t escape = IAC;
	const uint8_t *at;

	while (((struct chr_sock *)c)->telnet && (at = memchr(p, IAC, n))) {
		chr_fd_write(c, p, (size_t)(at - p) + 1);
		chr_fd_write(c, &escape, 1);
		n -= (size_t)(at - p) + 1;
		p = at + 1;
	}
	chr_fd_write(c, p, n);
}

/* ---- descriptors that come along ---- */

static void keep_passed(struct chr_sock *s, int fd)
{
	if (s->passed >= 0)
		close(s->passed);
	s->passed = fd;
}

static ssize_t receive(struct chr_fd *f, int fd, void *buf, size_t n)
{
	union { char bytes[CMSG_SPACE(4 * sizeof(int))]; struct cmsghdr align; } control;
	struct iovec iov = { buf, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

	for (struct cmsghdr *h = got < 0 ? NULL : CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		int *list = (int *)CMSG_DATA(h);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
			keep_passed((struct chr_sock *)f, list[i]);
	}
	return got;
}

static int take_passed(struct chr *c)
{
	struct chr_sock *s = (struct chr_sock *)c;
	int fd = s->passed;

	s->passed = -1;
	return fd;
}

static bool is_local(int fd)
{
	int domain = 0;
	socklen_t n = sizeof(domain);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) && domain == AF_UNIX;
}

/* ---- connections ---- */

static void connected(struct chr_sock *s, int fd)
{
	int one = 1;

	s->fd = fd;
	if (s->nodelay)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (s->listener)
		loop_fd_want(s->f.chr.m->loop, s->listener, 0);
	s->tel_state = 0;
	chr_fd_set(&s->f, fd, fd);
	if (s->telnet)
		telnet_hello(s);
	chr_event(&s->f.chr, CHR_OPENED);
}

static void disconnected(struct chr_fd *f)
{
	struct chr_sock *s = (struct chr_sock *)f;

	chr_fd_set(f, -1, -1);
	close(s->fd);
	s->fd = -1;
	keep_passed(s, -1);
	if (s->listener)
		loop_fd_want(f->chr.m->loop, s->listener, LOOP_READ);
	chr_event(&f->chr, CHR_CLOSED);
}

static void on_listen(void *opaque, int fd, unsigned events)
{
	struct chr_sock *s = opaque;
	int c = sock_accept(s->f.chr.m->loop, s->listener, fd);

	(void)events;
	if (c >= 0)
		connected(s, c);
}

static void sock_free(struct chr *c)
{
	struct chr_sock *s = (struct chr_sock *)c;

	chr_fd_fini(&s->f);
	keep_passed(s, -1);
	if (s->listener)
		loop_fd_del(c->m->loop, s->listener);
	if (s->fd >= 0)
		close(s->fd);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (*s->unlink_path)
		unlink(s->unlink_path);
	free(s);
}

static const char *sock_describe(struct chr *c)
{
	return ((struct chr_sock *)c)->name;
}

static const struct chr_ops sock_ops = {
	.name = "socket", .write = sock_write, .accept_input = chr_fd_accept_input, .flush = chr_fd_flush, .full = chr_fd_full,
	.front_changed = chr_fd_accept_input, .free = sock_free, .describe = sock_describe,
	.take_fd = take_passed,
};

/* ---- opening ---- */

static int open_one(int family, const struct sockaddr *sa, socklen_t len, bool server)
{
	int one = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (server)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (server ? bind(fd, sa, len) || listen(fd, 1) : !sock_connect(fd, sa, len)) {
		int keep = errno;

		close(fd);
		errno = keep;
		return -1;
	}
	return fd;
}

static int open_unix(const struct chr_spec *spec, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(spec->path) >= sizeof(un.sun_path)) {
		err_set(e, "%s: path too long for a socket", spec->path);
		return -1;
	}
	strcpy(un.sun_path, spec->path);
	if (spec->server && !sock_make_way(spec->path, e))
		return -1;
	fd = open_one(AF_UNIX, (struct sockaddr *)&un, sizeof(un), spec->server);
	if (fd < 0)
		err_errno(e, "cannot %s %s", spec->server ? "listen on" : "connect to", spec->path);
	return fd;
}

static int open_tcp(const struct chr_spec *spec, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = spec->server ? AI_PASSIVE : 0 };
	struct addrinfo *list;

	if (!*spec->port) {
		err_set(e, "a socket needs path=FILE, or port=N (and host=NAME)");
		return -1;
	}
	int r = getaddrinfo(*spec->host ? spec->host : NULL, spec->port, &hints, &list), fd = -1;

	if (r) {
		err_set(e, "%s:%s: %s", spec->host, spec->port, gai_strerror(r));
		return -1;
	}
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = open_one(a->ai_family, a->ai_addr, a->ai_addrlen, spec->server);
	if (fd < 0)
		err_errno(e, "cannot %s %s:%s", spec->server ? "listen on" : "connect to", spec->host, spec->port);
	freeaddrinfo(list);
	return fd;
}

/* A socket that whoever started the program has made, and for a server listens already. */
static int take_fd(const struct chr_spec *spec, struct err *e)
{
	int listening = 0;
	socklen_t n = sizeof(listening);

	if (getsockopt(spec->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n)) {
		err_errno(e, "fd=%d is no socket", spec->fd);
		return -1;
	}
	if (listening != spec->server) {
		err_set(e, "fd=%d %s", spec->fd, spec->server ? "does not listen" : "is a server's");
		return -1;
	}
	fcntl(spec->fd, F_SETFD, FD_CLOEXEC);
	sock_no_block(spec->fd);
	return spec->fd;
}

/* At start only. The loop, which reads the signals later, does not run yet: they end the program here. */
static void wait_for_client(struct chr_sock *s)
{
	struct pollfd p = { .fd = s->listen_fd, .events = POLLIN };
	sigset_t none;
	int c;

	sigemptyset(&none);
	fprintf(stderr, "rhea: waiting for connection on: %s\n", s->name);
	do {
		ppoll(&p, 1, NULL, &none);
		c = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (c < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED));
	if (c >= 0)
		connected(s, c);
}

static void start_server(struct chr_sock *s, bool wait)
{
	struct machine *m = s->f.chr.m;

	if (m->loop)
		s->listener = loop_fd_add(m->loop, s->listen_fd, LOOP_READ, on_listen, s);
	if (wait)
		wait_for_client(s);
}

struct chr *chr_make_socket(struct machine *m, const struct chr_spec *spec, struct err *e)
{
	struct chr_sock *s = calloc(1, sizeof(*s));
	bool is_unix = *spec->path != 0;
	int fd;

	if (!s) {
		err_set(e, "no memory");
		return NULL;
	}
	s->fd = s->listen_fd = s->passed = -1;
	fd = spec->fd >= 0 ? take_fd(spec, e) : is_unix ? open_unix(spec, e) : open_tcp(spec, e);
	if (fd < 0) {
		free(s);
		return NULL;
	}
	if (spec->fd >= 0)
		snprintf(s->name, sizeof(s->name), "fd:%d%s", spec->fd, spec->server ? ",server" : "");
	else if (is_unix)
		snprintf(s->name, sizeof(s->name), "unix:%.300s%s", spec->path, spec->server ? ",server" : "");
	else
		snprintf(s->name, sizeof(s->name), "%s:%s:%s%s", spec->telnet ? "telnet" : "tcp", spec->host,
			 spec->port, spec->server ? ",server" : "");
	s->telnet = spec->telnet;
	s->nodelay = spec->nodelay && !is_unix;
	s->f.on_eof = disconnected;
	s->f.receive = is_local(fd) ? receive : NULL;
	s->f.filter = s->telnet ? telnet_filter : NULL;
	chr_fd_init(&s->f, m, &sock_ops, -1, -1);
	s->f.chr.open = false;
	if (spec->server) {
		s->listen_fd = fd;
		if (is_unix)
			snprintf(s->unlink_path, sizeof(s->unlink_path), "%.107s", spec->path);
		start_server(s, spec->wait);
	} else {
		connected(s, fd);
	}
	return &s->f.chr;
}
