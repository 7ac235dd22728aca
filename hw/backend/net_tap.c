/*
 * A network that is an interface of the host's (TAP), for bridges and routes of the
 * host. Making one needs CAP_NET_ADMIN, unless the interface exists and belongs to
 * the user, or an open descriptor is handed over.
 *
 * Not modelled: vhost, offloads; of an interface with several queues one is used.
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
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "hw/backend/net.h"
#include "hw/core/bus.h"
#include "hw/core/loop.h"

struct tap {
	struct net net;
	struct machine *m;
	int fd;
	struct loop_fd *watch;
	char ifname[IFNAMSIZ];
	char *down;			/* script, or NULL */
	uint8_t in[NET_MAX_FRAME];
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

static void on_frames(void *opaque, int fd, unsigned events)
{
	struct tap *t = opaque;
	ssize_t r = 0;

	(void)events;
	for (int i = 0; i < 64 && (r = read(fd, t->in, sizeof(t->in))) > 0; i++)
		net_deliver(&t->net, t->in, (size_t)r);
	if (r > 0 || (r < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	warn("network '%s': the interface is gone", t->net.id);	/* and would be reported for ever */
	loop_fd_del(t->m->loop, t->watch);
	t->watch = NULL;
}

static void tap_send(struct net *n, const uint8_t *frame, size_t len)
{
	ssize_t r = write(((struct tap *)n)->fd, frame, len);

	(void)r;		/* a full queue loses frames */
}

static void tap_free(struct net *n)
{
	struct tap *t = (struct tap *)n;
	struct err e;

	if (t->watch)
		loop_fd_del(t->m->loop, t->watch);
	if (t->down && *t->ifname && !run_script(t->down, t->ifname, &e))
		err_report(&e);
	if (t->fd >= 0)
		close(t->fd);
	free(t->down);
	free(t);
}

static const struct net_ops tap_ops = { .name = "tap", .send = tap_send, .free = tap_free };

static bool open_interface(struct tap *t, const char *ifname, bool multi_queue, struct err *e)
{
	struct ifreq r = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (multi_queue ? IFF_MULTI_QUEUE : 0)) };

	if (ifname && strlen(ifname) >= IFNAMSIZ)
		return err_set(e, "ifname=%s: at most %d letters", ifname, IFNAMSIZ - 1);
	t->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0)
		return err_errno(e, "/dev/net/tun");
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname ? ifname : "tap%d");
	if (ioctl(t->fd, TUNSETIFF, &r)) {
		err_errno(e, "interface %s", ifname ? ifname : "tap");
		return errno == EPERM ? err_set(e, "interface %s: not allowed; run as root, or make it beforehand: ip tuntap add dev %s mode tap user $USER",
						ifname ? ifname : "tap", ifname ? ifname : "tap0") : false;
	}
	snprintf(t->ifname, sizeof(t->ifname), "%s", r.ifr_name);
	return true;
}

static bool tap_open(struct tap *t, const struct net_tap_options *o, struct err *e)
{
	if (o->fd >= 0) {
		t->fd = o->fd;
		if (fcntl(t->fd, F_SETFL, O_NONBLOCK))
			return err_errno(e, "fd=%d", t->fd);
	} else if (!open_interface(t, o->ifname, o->multi_queue, e)) {
		return false;
	}
	if (o->script && *t->ifname && !run_script(o->script, t->ifname, e))
		return false;
	t->down = o->downscript ? strdup(o->downscript) : NULL;
	if (t->m->loop)
		t->watch = loop_fd_add(t->m->loop, t->fd, LOOP_READ, on_frames, t);
	return true;
}

struct net *net_tap_new(struct machine *m, const struct net_tap_options *o, struct err *e)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t) {
		err_set(e, "no memory for a network");
		return NULL;
	}
	t->net.ops = &tap_ops;
	t->m = m;
	t->fd = -1;
	if (tap_open(t, o, e))
		return &t->net;
	tap_free(&t->net);
	return NULL;
}
