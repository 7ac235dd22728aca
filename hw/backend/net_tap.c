/*
 * A network that is an interface of the host's (TAP), for bridges and routes of the
 * host. Making one needs CAP_NET_ADMIN, unless the interface exists and belongs to
 * the user, or open descriptors are handed over.
 *
 * The interface may have a queue, with a descriptor of its own, for each pair of queues
 * of the card. Linux sends what belongs to a flow to the queue that the flow's frames
 * came from, and spreads flows that it does not know.
 *
 * Frames have headers if the host's Linux can have them: what the card takes it need not do, so large segments of
 * TCP come and go whole, and 16 to 40 times less often.
 *
 * Not modelled: vhost.
 * Source: Linux, Documentation/networking/tuntap.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "hw/backend/net.h"
#include "hw/core/bus.h"
#include "hw/core/loop.h"

/* The card says when it takes frames again; only that the machine goes on is seen by looking. */
#define FULL_NS (20 * NS_PER_MS)

struct tap;

struct tap_queue {
	struct tap *t;
	int fd;
	struct loop_fd *watch;
};

struct tap {
	struct net net;
	struct machine *m;
	struct tap_queue queue[NET_MAX_QUEUES];
	unsigned n_queues;
	char ifname[IFNAMSIZ];
	char *down;			/* script, or NULL */
	uint8_t in[NET_HEADER + NET_MAX_FRAME];
};

/* script IFNAME */
static bool run_script(const char *script, const char *ifname, struct err *e)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl(script, script, ifname, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_errno(e, "%s", script);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	return err_set(e, "%s %s failed (status %d)", script, ifname, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* What was read: a frame, behind its header if it has one. */
static void deliver(struct tap_queue *q, size_t n)
{
	struct tap *t = q->t;
	unsigned pair = (unsigned)(q - t->queue);

	if (!t->net.headers)
		net_deliver_on(&t->net, pair, t->in, n);
	else if (n > NET_HEADER)
		net_deliver_with_header(&t->net, pair, t->in, t->in + NET_HEADER, n - NET_HEADER);
}

static void on_frames(void *opaque, int fd, unsigned events)
{
	struct tap_queue *q = opaque;
	struct tap *t = q->t;
	ssize_t r = 1;

	(void)events;
	net_flush(&t->net);
	for (int i = 0; i < 64 && !net_full(&t->net) && (r = read(fd, t->in, sizeof(t->in))) > 0; i++)
		deliver(q, (size_t)r);
	if (net_full(&t->net))		/* the interface's own queue is longer, and its senders see how full it is */
		loop_fd_rest(t->m->loop, q->watch, FULL_NS);
	if (r > 0 || (r < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	if (q == t->queue)
		warn("network '%s': the interface is gone", t->net.id);
	loop_fd_del(t->m->loop, q->watch);	/* or it would be reported for ever */
	q->watch = NULL;
}

static void tap_send(struct net *n, const uint8_t *frame, size_t len)
{
	struct tap *t = (struct tap *)n;
	struct iovec v[2] = { { (void *)(uintptr_t)n->header, n->headers ? NET_HEADER : 0 }, { (void *)(uintptr_t)frame, len } };
	ssize_t r = writev(t->queue[n->sending % t->n_queues].fd, v, 2);

	(void)r;		/* a full queue loses frames */
}

static void tap_ready(struct net *n)
{
	struct tap *t = (struct tap *)n;

	for (unsigned i = 0; i < t->n_queues; i++)
		if (t->queue[i].watch)
			loop_fd_rest(t->m->loop, t->queue[i].watch, 0);
}

static void tap_free(struct net *n)
{
	struct tap *t = (struct tap *)n;
	struct err e;

	for (unsigned i = 0; i < t->n_queues; i++)
		if (t->queue[i].watch)
			loop_fd_del(t->m->loop, t->queue[i].watch);
	if (t->down && *t->ifname && !run_script(t->down, t->ifname, &e))
		err_report(&e);
	for (unsigned i = 0; i < t->n_queues; i++)
		close(t->queue[i].fd);
	free(t->down);
	free(t);
}

/* The interface does for its frames what the card does not take. */
static void tap_offloads(struct net *n)
{
	static const struct { unsigned ours, tun; } bits[] = {
		{ NET_CSUM, TUN_F_CSUM }, { NET_TSO4, TUN_F_TSO4 }, { NET_TSO6, TUN_F_TSO6 }, { NET_ECN, TUN_F_TSO_ECN },
	};
	struct tap *t = (struct tap *)n;
	unsigned long f = 0;

	for (unsigned i = 0; i < ARRAY_LEN(bits); i++)
		if (n->offloads & bits[i].ours)
			f |= bits[i].tun;
	if (n->headers && ioctl(t->queue[0].fd, TUNSETOFFLOAD, f))
		log_guest("network '%s': the interface does not leave checksums and segments to the card", n->id);
}

static const struct net_ops tap_ops = {
	.name = "tap", .send = tap_send, .ready = tap_ready, .offloads = tap_offloads, .free = tap_free,
};

static void add_queue(struct tap *t, int fd)
{
	t->queue[t->n_queues++] = (struct tap_queue){ .t = t, .fd = fd };
}

static bool linux_has_headers(int fd)
{
	unsigned features;

	return !ioctl(fd, TUNGETFEATURES, &features) && features & IFF_VNET_HDR;
}

/* A queue of the interface t->ifname, which is made with the first if it is not there. */
static bool open_queue(struct tap *t, bool of_several, struct err *e)
{
	struct ifreq r = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (of_several ? IFF_MULTI_QUEUE : 0)) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(e, "/dev/net/tun");
	add_queue(t, fd);
	if (linux_has_headers(fd))
		r.ifr_flags |= IFF_VNET_HDR;
	memcpy(r.ifr_name, t->ifname, sizeof(r.ifr_name));
	if (!ioctl(fd, TUNSETIFF, &r)) {
		memcpy(t->ifname, r.ifr_name, sizeof(t->ifname));
		return true;
	}
	if (errno == EPERM)
		return err_set(e, "interface %s: not allowed; run as root, or make it beforehand: ip tuntap add dev %s mode tap%s user $USER",
			       t->ifname, strchr(t->ifname, '%') ? "tap0" : t->ifname, of_several ? " multi_queue" : "");
	if (errno == EINVAL && of_several)
		return err_set(e, "interface %s: it has one queue (ip tuntap add dev %s mode tap multi_queue makes one with several)",
			       t->ifname, t->ifname);
	return err_errno(e, "interface %s", t->ifname);
}

static bool open_interface(struct tap *t, const char *ifname, unsigned queues, struct err *e)
{
	if (ifname && strlen(ifname) >= IFNAMSIZ)
		return err_set(e, "ifname=%s: at most %d letters", ifname, IFNAMSIZ - 1);
	snprintf(t->ifname, sizeof(t->ifname), "%s", ifname ? ifname : "tap%d");
	for (unsigned i = 0; i < queues; i++)
		if (!open_queue(t, queues > 1, e)) {
			if (!i)
				*t->ifname = 0;		/* nothing that a script could see */
			return false;
		}
	return true;
}

/* Do the frames of its queues have headers, of the length they are to have? */
static bool has_headers(const struct tap *t)
{
	int size = NET_HEADER;

	for (unsigned i = 0; i < t->n_queues; i++) {
		struct ifreq r = { 0 };
		if (ioctl(t->queue[i].fd, TUNGETIFF, &r) || !(r.ifr_flags & IFF_VNET_HDR)
		    || ioctl(t->queue[i].fd, TUNSETVNETHDRSZ, &size))
			return false;
	}
	return true;
}

static bool tap_open(struct tap *t, const struct net_tap_options *o, unsigned queues, struct err *e)
{
	for (unsigned i = 0; i < o->n_fds; i++) {
		add_queue(t, o->fds[i]);
		if (fcntl(o->fds[i], F_SETFL, O_NONBLOCK))
			return err_errno(e, "fd=%d", o->fds[i]);
	}
	if (!o->n_fds && !open_interface(t, o->ifname, queues ? queues : 1, e))
		return false;
	if (o->script && *t->ifname && !run_script(o->script, t->ifname, e))
		return false;
	t->down = o->downscript ? strdup(o->downscript) : NULL;
	t->net.steers = t->n_queues > 1;
	t->net.headers = has_headers(t);
	tap_offloads(&t->net);			/* whoever had the interface before may have left others */
	for (unsigned i = 0; t->m->loop && i < t->n_queues; i++)
		t->queue[i].watch = loop_fd_add(t->m->loop, t->queue[i].fd, LOOP_READ, on_frames, &t->queue[i]);
	return true;
}

struct net *net_tap_new(struct machine *m, const struct net_tap_options *o, unsigned queues, struct err *e)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t) {
		err_set(e, "no memory for a network");
		return NULL;
	}
	t->net.ops = &tap_ops;
	t->m = m;
	if (tap_open(t, o, queues, e))
		return &t->net;
	tap_free(&t->net);
	return NULL;
}
