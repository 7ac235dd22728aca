/*
 * Networks that are sockets: machines are joined by a TCP or Unix connection, by
 * UDP, or by a multicast group.
 *
 * On a stream each frame has its length in front, four bytes, the highest first; a
 * datagram is a frame. What the other side does not take in time is lost, as on a
 * real wire.
 *
 * Not modelled: TLS.
 * Source: QEMU's documentation of -netdev socket, stream and dgram (the formats on the wire are observable).
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "hw/backend/char.h"
#include "hw/backend/net.h"
#include "hw/backend/sock.h"

#define PREFIX		4u
#define MOST_QUEUED	(1u << 20)	/* bytes waiting for a stream */

struct link {
	struct net net;
	struct machine *m;
	char *connect;			/* stream, client: where to */
	unsigned reconnect;		/* seconds until the next try; 0: none */
	int fd, listen_fd;		/* -1: none */
	int trying;			/* a connection that is being made; -1: none */
	struct loop_fd *watch, *listener;
	struct outq out;		/* stream */
	struct timer again;		/* stream, client: the next try */
	struct sockaddr_storage to;	/* datagrams */
	socklen_t to_len;
	char unlink_path[108];
	uint32_t n;			/* bytes of in[] */
	uint8_t in[PREFIX + NET_MAX_FRAME];
};

/* ---- addresses ---- */

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

/* "HOST:PORT" (no host: any) or "unix:PATH". */
static bool resolve(const char *text, bool passive, int type, struct address *a, struct err *e)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = type, .ai_flags = passive ? AI_PASSIVE : 0 }, *list;
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
	const char *colon = strrchr(text, ':');
	char host[256];
	int r;

	memset(a, 0, sizeof(*a));
	if (!strncmp(text, "unix:", 5)) {
		if (strlen(text + 5) >= sizeof(un->sun_path))
			return err_set(e, "%s: path too long for a socket", text + 5);
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, text + 5);
		a->len = sizeof(*un);
		return true;
	}
	if (!colon || !colon[1])
		return err_set(e, "'%s': expected HOST:PORT", text);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	sock_strip_brackets(host);
	r = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &list);
	if (r)
		return err_set(e, "%s: %s", text, gai_strerror(r));
	memcpy(&a->sa, list->ai_addr, list->ai_addrlen);
	a->len = list->ai_addrlen;
	freeaddrinfo(list);
	return true;
}

static int open_socket(const struct address *a, int type)
{
	int one = 1, fd = socket(a->sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

/* ---- streams ---- */

static void stream_lost(struct link *l);

static void deliver_whole(struct link *l)
{
	uint32_t at = 0;

	while (l->n - at >= PREFIX) {
		uint32_t len = __builtin_bswap32(ld32(l->in + at));
		if (len > NET_MAX_FRAME) {
			warn("network '%s': the other side sent a frame of %u bytes; connection ended", l->net.id, len);
			stream_lost(l);
			return;
		}
		if (l->n - at < PREFIX + len)
			break;
		net_deliver(&l->net, l->in + at + PREFIX, len);
		at += PREFIX + len;
	}
	memmove(l->in, l->in + at, l->n - at);
	l->n -= at;
}

static void on_stream(void *opaque, int fd, unsigned events)
{
	struct link *l = opaque;
	ssize_t r = recv(fd, l->in + l->n, sizeof(l->in) - l->n, 0);

	(void)events;
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0) {
		stream_lost(l);
		return;
	}
	l->n += (uint32_t)r;
	deliver_whole(l);
}

static void stream_up(struct link *l, int fd)
{
	l->fd = fd;
	l->n = 0;
	outq_set_fd(&l->out, fd);
	if (l->m->loop)
		l->watch = loop_fd_add(l->m->loop, fd, LOOP_READ, on_stream, l);
	if (l->listener)
		loop_fd_want(l->m->loop, l->listener, 0);
}

static void try_again_later(struct link *l)
{
	if (l->reconnect && l->m->loop)
		timer_mod(&l->again, clock_now(l->again.clock) + l->reconnect * NS_PER_SEC);
}

static void stream_lost(struct link *l)
{
	if (l->fd < 0)
		return;
	outq_set_fd(&l->out, -1);
	if (l->watch)
		loop_fd_del(l->m->loop, l->watch);
	l->watch = NULL;
	close(l->fd);
	l->fd = -1;
	if (l->listener)
		loop_fd_want(l->m->loop, l->listener, LOOP_READ);
	else
		try_again_later(l);
}

static void on_listen(void *opaque, int fd, unsigned events)
{
	struct link *l = opaque;
	int c = sock_accept(l->m->loop, l->listener, fd);

	(void)events;
	if (c >= 0)
		stream_up(l, c);
}

static bool stream_listen(struct link *l, const char *where, struct err *e)
{
	struct address a;

	if (!resolve(where, true, SOCK_STREAM, &a, e))
		return false;
	if (a.sa.ss_family == AF_UNIX) {
		snprintf(l->unlink_path, sizeof(l->unlink_path), "%s", where + 5);
		if (!sock_make_way(l->unlink_path, e)) {
			*l->unlink_path = 0;
			return false;
		}
	}
	l->listen_fd = open_socket(&a, SOCK_STREAM);
	if (l->listen_fd < 0 || bind(l->listen_fd, (struct sockaddr *)&a.sa, a.len) || listen(l->listen_fd, 1))
		return err_errno(e, "cannot listen at %s", where);
	if (l->m->loop)
		l->listener = loop_fd_add(l->m->loop, l->listen_fd, LOOP_READ, on_listen, l);
	return true;
}

/* Connecting waits for a while: a network that is not there is told at start. */
static bool stream_connect(struct link *l, struct err *e)
{
	struct address a;
	int fd;

	if (!resolve(l->connect, false, SOCK_STREAM, &a, e))
		return false;
	fd = open_socket(&a, SOCK_STREAM);
	if (fd < 0)
		return err_errno(e, "cannot connect to %s", l->connect);
	if (!sock_connect(fd, (struct sockaddr *)&a.sa, a.len)) {
		err_errno(e, "cannot connect to %s", l->connect);
		close(fd);
		return false;
	}
	stream_up(l, fd);
	return true;
}

static void on_tried(void *opaque, int fd, unsigned events)
{
	struct link *l = opaque;
	int r = 0;
	socklen_t n = sizeof(r);

	(void)events;
	loop_fd_del(l->m->loop, l->watch);
	l->watch = NULL;
	l->trying = -1;
	if (!getsockopt(fd, SOL_SOCKET, SO_ERROR, &r, &n) && !r) {
		stream_up(l, fd);
	} else {
		close(fd);
		try_again_later(l);
	}
}

/* While the machine runs nothing waits for the other side, but the look-up of its name. */
static void on_again(void *opaque)
{
	struct link *l = opaque;
	struct address a;
	struct err e;
	int fd = resolve(l->connect, false, SOCK_STREAM, &a, &e) ? open_socket(&a, SOCK_STREAM) : -1;

	if (fd >= 0 && !connect(fd, (struct sockaddr *)&a.sa, a.len)) {
		stream_up(l, fd);
		return;
	}
	if (fd >= 0 && errno == EINPROGRESS) {
		l->trying = fd;
		l->watch = loop_fd_add(l->m->loop, fd, LOOP_WRITE, on_tried, l);
		return;
	}
	if (fd >= 0)
		close(fd);
	try_again_later(l);
}

static void stream_send(struct net *n, const uint8_t *frame, size_t len)
{
	struct link *l = (struct link *)n;
	uint8_t prefix[PREFIX];

	if (l->fd < 0 || l->out.n + PREFIX + len > MOST_QUEUED)
		return;
	st32(prefix, __builtin_bswap32((uint32_t)len));
	outq_write(&l->out, prefix, PREFIX);
	outq_write(&l->out, frame, len);
}

/* ---- datagrams ---- */

static void on_datagram(void *opaque, int fd, unsigned events)
{
	struct link *l = opaque;
	ssize_t r;

	(void)events;
	for (int i = 0; i < 64 && (r = recv(fd, l->in, sizeof(l->in), 0)) > 0; i++)
		net_deliver(&l->net, l->in, (size_t)r);
}

/* A full socket buffer loses frames, as a wire does. */
static void datagram_send(struct net *n, const uint8_t *frame, size_t len)
{
	struct link *l = (struct link *)n;
	ssize_t r = sendto(l->fd, frame, len, MSG_DONTWAIT, (struct sockaddr *)&l->to, l->to_len);

	(void)r;
}

static bool join_group(int fd, const struct address *group, const char *interface, struct err *e)
{
	struct ip_mreq r = { .imr_multiaddr = ((const struct sockaddr_in *)&group->sa)->sin_addr };
	struct address local;
	uint8_t loop = 1;
	char with_port[300];

	if (interface) {
		snprintf(with_port, sizeof(with_port), "%s:0", interface);
		if (!resolve(with_port, false, SOCK_DGRAM, &local, e))
			return false;
		r.imr_interface = ((struct sockaddr_in *)&local.sa)->sin_addr;
		setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &r.imr_interface, sizeof(r.imr_interface));
	}
	setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof(loop));
	return !setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof(r)) || err_errno(e, "cannot join the group");
}

/* mcast=GROUP:PORT, or udp=TO with local=WHERE. */
static bool datagram_open(struct link *l, const struct net_socket_options *o, struct err *e)
{
	const char *to = o->mcast ? o->mcast : o->udp;
	struct address peer, own;

	if (!resolve(to, false, SOCK_DGRAM, &peer, e))
		return false;
	own = peer;
	if (!o->mcast && !resolve(o->local, true, SOCK_DGRAM, &own, e))
		return false;
	l->fd = open_socket(&own, SOCK_DGRAM);
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&own.sa, own.len))
		return err_errno(e, "cannot receive at %s", o->mcast ? to : o->local);
	if (o->mcast && !join_group(l->fd, &peer, o->local, e))
		return false;
	l->to = peer.sa;
	l->to_len = peer.len;
	if (l->m->loop)
		l->watch = loop_fd_add(l->m->loop, l->fd, LOOP_READ, on_datagram, l);
	return true;
}

/* ---- life ---- */

static void link_free(struct net *n)
{
	struct link *l = (struct link *)n;

	outq_fini(&l->out);
	timer_del(&l->again);
	if (l->watch)
		loop_fd_del(l->m->loop, l->watch);
	if (l->listener)
		loop_fd_del(l->m->loop, l->listener);
	if (l->fd >= 0)
		close(l->fd);
	if (l->trying >= 0)
		close(l->trying);
	if (l->listen_fd >= 0)
		close(l->listen_fd);
	if (*l->unlink_path)
		unlink(l->unlink_path);
	free(l->connect);
	free(l);
}

static const struct net_ops stream_ops = { .name = "stream", .send = stream_send, .free = link_free };
static const struct net_ops datagram_ops = { .name = "dgram", .send = datagram_send, .free = link_free };

static bool link_open(struct link *l, const struct net_socket_options *o, struct err *e)
{
	if (o->listen)
		return stream_listen(l, o->listen, e);
	if (!o->connect)
		return datagram_open(l, o, e);
	l->connect = strdup(o->connect);
	l->reconnect = o->reconnect;
	if (stream_connect(l, e))
		return true;
	if (!l->reconnect)
		return false;
	try_again_later(l);
	return true;
}

struct net *net_socket_new(struct machine *m, const struct net_socket_options *o, struct err *e)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, "no memory for a network");
		return NULL;
	}
	l->m = m;
	l->fd = l->listen_fd = l->trying = -1;
	l->net.ops = o->listen || o->connect ? &stream_ops : &datagram_ops;
	outq_init(&l->out, m, -1);
	if (m->loop)
		timer_init(&l->again, loop_host_clock(m->loop), on_again, l);
	if (link_open(l, o, e))
		return &l->net;
	link_free(&l->net);
	return NULL;
}
