/*
 * User networking: a network with a router, a DHCP server and a name server that
 * are all libslirp; connections leave as the program's own sockets.
 *
 *	net 10.0.2.0/24   .2 the router (and the host)   .3 the name server   .15 the first lease
 *
 * libslirp runs on whichever thread holds the machine lock: sending vCPUs hand
 * frames in, the loop watches its sockets.
 *
 * Not modelled: smb shares, saving its state.
 * Source: libslirp.h.
 */
#include "config.h"
#ifdef CONFIG_SLIRP

#include <limits.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "hw/backend/net.h"
#include "hw/core/bus.h"
#include "hw/core/chr.h"
#include "hw/core/loop.h"

/* A socket that the loop watches. */
struct watched {
	int fd, want;			/* SLIRP_POLL_* */
	int index;			/* of loop_poll_add() */
};

/* An address in the network whose connection is a byte stream of the host. */
struct stream {
	Slirp *slirp;
	struct chr *chr;
	struct chr *own;		/* made for this, and goes with it; or NULL */
	struct in_addr addr;
	int port;
	struct stream *next;
};

struct user {
	struct net net;
	struct stream *streams;
	Slirp *slirp;
	struct loop *loop;		/* NULL in tests: nobody watches the sockets */
	struct loop_poller poller;
	struct machine *m;
	/* What libslirp wants watched, as of the loop's last round, and for how long. */
	struct watched *watched;
	unsigned n_watched, cap_watched;
	uint32_t ms;
	unsigned n_same;		/* sockets that it still wants so */
};

/* ---- what libslirp calls ---- */

static ssize_t to_guest(const void *frame, size_t len, void *opaque)
{
	struct user *u = opaque;

	net_deliver(&u->net, frame, len);
	return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque)
{
	(void)opaque;
	log_guest("user network: %s", msg);
}

static int64_t now_ns(void *opaque)
{
	return (int64_t)clock_now(&((struct user *)opaque)->m->clock);
}

static void *new_timer(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
	struct timer *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	timer_init(t, &((struct user *)opaque)->m->clock, fn, fn_opaque);
	return t;
}

static void free_timer(void *timer, void *opaque)
{
	(void)opaque;
	if (timer)
		timer_del(timer);
	free(timer);
}

static void set_timer(void *timer, int64_t ms, void *opaque)
{
	(void)opaque;
	timer_mod(timer, (uint64_t)ms * NS_PER_MS);
}

static void socket_changed(int fd, void *opaque)
{
	(void)fd, (void)opaque;		/* the poller asks every round */
}

static void look_again(void *opaque)
{
	struct user *u = opaque;

	if (u->loop)
		loop_poll_again(u->loop);
}

static const SlirpCb callbacks = {
	.send_packet = to_guest, .guest_error = guest_error, .clock_get_ns = now_ns,
	.timer_new = new_timer, .timer_free = free_timer, .timer_mod = set_timer,
	.register_poll_fd = socket_changed, .unregister_poll_fd = socket_changed, .notify = look_again,
};

/* ---- sockets ---- */

static const struct { int slirp; short poll; } events[] = {
	{ SLIRP_POLL_IN, POLLIN }, { SLIRP_POLL_OUT, POLLOUT }, { SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR }, { SLIRP_POLL_HUP, POLLHUP },
};

static void remember(struct user *u, struct watched w)
{
	if (u->n_watched == u->cap_watched) {
		u->cap_watched += 16;
		u->watched = realloc(u->watched, u->cap_watched * sizeof(*u->watched));
		if (!u->watched)
			abort();
	}
	u->watched[u->n_watched++] = w;
}

static int add_socket(int fd, int want, void *opaque)
{
	struct user *u = opaque;
	short ev = 0;
	int index;

	for (unsigned i = 0; i < ARRAY_LEN(events); i++)
		if (want & events[i].slirp)
			ev |= events[i].poll;
	index = loop_poll_add(u->loop, fd, ev & (POLLIN | POLLOUT | POLLPRI));
	remember(u, (struct watched){ fd, want, index });
	return index;
}

/* Behind the first difference sockets have no events in the round under way; the next one sees them. */
static int compare_socket(int fd, int want, void *opaque)
{
	struct user *u = opaque;
	const struct watched *w = &u->watched[u->n_same];

	if (u->n_same >= u->n_watched || w->fd != fd || w->want != want) {
		u->n_same = UINT_MAX;
		return -1;
	}
	u->n_same++;
	return w->index;
}

/* Does the loop sleep for something else than what libslirp waits for now? */
static bool wants_change(struct user *u)
{
	uint32_t ms = UINT32_MAX;

	u->n_same = 0;
	slirp_pollfds_fill(u->slirp, &ms, compare_socket, u);
	return u->n_same != u->n_watched || ms < u->ms;
}

static int socket_events(int index, void *opaque)
{
	struct user *u = opaque;
	short ev = loop_poll_events(u->loop, index);
	int r = 0;

	for (unsigned i = 0; i < ARRAY_LEN(events); i++)
		if (ev & events[i].poll)
			r |= events[i].slirp;
	return r;
}

static void fill(void *opaque, struct loop *l, uint64_t *max_ns)
{
	struct user *u = opaque;
	uint32_t ms = *max_ns / NS_PER_MS >= UINT32_MAX ? UINT32_MAX : (uint32_t)(*max_ns / NS_PER_MS);
	uint32_t was = ms;

	(void)l;
	net_flush(&u->net);		/* the machine may have been stopped */
	u->n_watched = 0;
	slirp_pollfds_fill(u->slirp, &ms, add_socket, u);
	u->ms = ms;
	if (ms < was)
		*max_ns = ms * NS_PER_MS;
}

/* What a guest's connection has room for changes with frames that come and with time. */
static void streams_go_on(struct user *u)
{
	for (struct stream *s = u->streams; s; s = s->next)
		chr_accept_input(s->chr);
}

static void done(void *opaque, struct loop *l, bool failed)
{
	struct user *u = opaque;

	(void)l;
	slirp_pollfds_poll(u->slirp, failed, socket_events, u);
	streams_go_on(u);
}

/* ---- frames ---- */

static void user_send(struct net *n, const uint8_t *frame, size_t len)
{
	struct user *u = (struct user *)n;

	slirp_input(u->slirp, frame, (int)len);
	streams_go_on(u);
	if (u->loop && wants_change(u))		/* a thread that wakes costs more than the frame */
		loop_poll_again(u->loop);
}

static void stream_free(struct stream *s)
{
	chr_free(s->own);
	free(s);
}

static void user_free(struct net *n)
{
	struct user *u = (struct user *)n;

	if (u->loop)
		loop_poller_del(u->loop, &u->poller);
	for (struct stream *s = u->streams, *next; s; s = next) {
		next = s->next;
		chr_detach(s->chr);
		stream_free(s);
	}
	if (u->slirp)
		slirp_cleanup(u->slirp);
	free(u->watched);
	free(u);
}

static char *user_connections(struct net *n)
{
	return slirp_connection_info(((struct user *)n)->slirp);
}

/* ---- options ---- */

static bool address(const char *key, const char *text, struct in_addr *a, struct err *e)
{
	return !text || inet_pton(AF_INET, text, a) == 1 || err_set(e, "%s=%s: expected an address like 10.0.2.2", key, text);
}

static bool address6(const char *key, const char *text, struct in6_addr *a, struct err *e)
{
	return !text || inet_pton(AF_INET6, text, a) == 1 || err_set(e, "%s=%s: expected an address like fec0::2", key, text);
}

/* "10.0.2.0/24", "10.0.2.0/255.255.255.0" or "10.0.2.0" (/24, by class in older times). */
static bool network(SlirpConfig *c, const char *text, struct err *e)
{
	char addr[64], tail;
	const char *slash = strchr(text, '/');
	unsigned bits = 24;
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	snprintf(addr, sizeof(addr), "%.*s", (int)n, text);
	if (inet_pton(AF_INET, addr, &c->vnetwork) != 1)
		return err_set(e, "net=%s: expected a network like 10.0.2.0/24", text);
	if (slash && strchr(slash, '.')) {
		if (inet_pton(AF_INET, slash + 1, &c->vnetmask) != 1)
			return err_set(e, "net=%s: expected a mask like 255.255.255.0", text);
	} else {
		if (slash && (sscanf(slash + 1, "%u%c", &bits, &tail) != 1 || bits < 4 || bits > 30))
			return err_set(e, "net=%s: expected 4 to 30 bits of mask", text);
		c->vnetmask.s_addr = htonl(0xffffffffu << (32 - bits));
	}
	c->vnetwork.s_addr &= c->vnetmask.s_addr;
	return true;
}

static bool network6(SlirpConfig *c, const char *text, struct err *e)
{
	char addr[64], tail;
	const char *slash = strchr(text, '/');
	unsigned bits = 64;

	snprintf(addr, sizeof(addr), "%.*s", (int)(slash ? slash - text : (int)strlen(text)), text);
	if (inet_pton(AF_INET6, addr, &c->vprefix_addr6) != 1 ||
	    (slash && (sscanf(slash + 1, "%u%c", &bits, &tail) != 1 || bits > 126)))
		return err_set(e, "ipv6-net=%s: expected a network like fec0::/64", text);
	c->vprefix_len = (uint8_t)bits;
	return true;
}

static struct in_addr in_network(const SlirpConfig *c, uint32_t last)
{
	return (struct in_addr){ c->vnetwork.s_addr | htonl(last) };
}

static struct in6_addr in_network6(const SlirpConfig *c, uint8_t last)
{
	struct in6_addr a = c->vprefix_addr6;
	a.s6_addr[15] |= last;
	return a;
}

static bool inside(const SlirpConfig *c, const char *key, struct in_addr a, struct err *e)
{
	return !c->in_enabled || (a.s_addr & c->vnetmask.s_addr) == c->vnetwork.s_addr ||
	       err_set(e, "%s is not in the network", key);
}

static bool configure(SlirpConfig *c, const struct net_user_options *o, struct err *e)
{
	*c = (SlirpConfig){
		.version = 3, .restricted = o->restricted, .in_enabled = !o->no_ipv4, .in6_enabled = !o->no_ipv6,
		.vhostname = o->hostname, .vdomainname = o->domainname, .tftp_path = o->tftp,
		.tftp_server_name = o->tftp_server_name, .bootfile = o->bootfile,
		.vdnssearch = o->dnssearch[0] ? (const char **)o->dnssearch : NULL,
	};
	if (!network(c, o->net ? o->net : "10.0.2.0/24", e) || !network6(c, o->ipv6_net ? o->ipv6_net : "fec0::/64", e))
		return false;
	c->vhost = in_network(c, 2);
	c->vnameserver = in_network(c, 3);
	c->vdhcp_start = in_network(c, 15 & ~ntohl(c->vnetmask.s_addr));
	c->vhost6 = in_network6(c, 2);
	c->vnameserver6 = in_network6(c, 3);
	return address("host", o->host, &c->vhost, e) && address("dns", o->dns, &c->vnameserver, e)
		&& address("dhcpstart", o->dhcpstart, &c->vdhcp_start, e)
		&& address6("ipv6-host", o->ipv6_host, &c->vhost6, e)
		&& address6("ipv6-dns", o->ipv6_dns, &c->vnameserver6, e)
		&& inside(c, "host", c->vhost, e) && inside(c, "dns", c->vnameserver, e)
		&& inside(c, "dhcpstart", c->vdhcp_start, e)
		&& (c->vhost.s_addr != c->vnameserver.s_addr || err_set(e, "host and dns are the same address"));
}

/* "[addr]:port" up to `end`; an empty address stays as it is. */
static bool endpoint(const char *text, size_t n, struct in_addr *addr, int *port)
{
	char buf[80], tail;
	char *colon;
	unsigned p;

	snprintf(buf, sizeof(buf), "%.*s", (int)n, text);
	colon = strrchr(buf, ':');
	if (n >= sizeof(buf) || !colon || sscanf(colon + 1, "%u%c", &p, &tail) != 1 || p > 65535)
		return false;
	*colon = 0;
	*port = (int)p;
	return !*buf || inet_pton(AF_INET, buf, addr) == 1;
}

static bool add_hostfwd(struct user *u, const char *text, struct err *e)
{
	struct in_addr host = { INADDR_ANY }, guest = { 0 };
	int host_port, guest_port;
	bool udp = !strncmp(text, "udp:", 4);
	const char *p = strchr(text, ':'), *dash = p ? strchr(p, '-') : NULL;

	if (!dash || !(udp || p == text || !strncmp(text, "tcp:", 4))
	    || !endpoint(p + 1, (size_t)(dash - p - 1), &host, &host_port)
	    || !endpoint(dash + 1, strlen(dash + 1), &guest, &guest_port) || !guest_port)
		return err_set(e, "hostfwd=%s: expected tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT", text);
	if (slirp_add_hostfwd(u->slirp, udp, host, host_port, guest, guest_port) < 0)
		return err_set(e, "hostfwd=%s: cannot listen there (is the port in use?)", text);
	return true;
}

static bool remove_hostfwd(struct user *u, const char *text, struct err *e)
{
	struct in_addr host = { INADDR_ANY };
	bool udp = !strncmp(text, "udp:", 4);
	const char *p = strchr(text, ':');
	int port;

	if (!p || !endpoint(p + 1, strcspn(p + 1, "-"), &host, &port))
		return err_set(e, "hostfwd=%s: expected tcp|udp:[HOSTADDR]:HOSTPORT", text);
	return !slirp_remove_hostfwd(u->slirp, udp, host, port) ||
	       err_set(e, "host forwarding rule for %s not found", text);
}

static bool user_forward(struct net *n, const char *text, bool begin, struct err *e)
{
	return (begin ? add_hostfwd : remove_hostfwd)((struct user *)n, text, e);
}

/* ---- streams behind an address ---- */

static int stream_room(void *opaque)
{
	struct stream *s = opaque;
	size_t n = slirp_socket_can_recv(s->slirp, s->addr, s->port);	/* 0 while nobody is connected */

	return (int)min_u64(n, INT_MAX);
}

static void stream_input(void *opaque, const uint8_t *p, int n)
{
	struct stream *s = opaque;

	slirp_socket_recv(s->slirp, s->addr, s->port, p, n);
}

static ssize_t stream_write(const void *p, size_t n, void *opaque)
{
	chr_write(((struct stream *)opaque)->chr, p, n);
	return (ssize_t)n;
}

static const struct chr_front stream_front = { stream_room, stream_input };

static bool add_stream(struct user *u, struct in_addr addr, int port, const char *spec, struct err *e)
{
	bool made = strncmp(spec, "chardev:", 8) && !chr_find(u->m, spec);
	struct stream *s = calloc(1, sizeof(*s));
	struct chr *c;
	char id[32];

	if (!s)
		return err_set(e, "no memory");
	snprintf(id, sizeof(id), "guestfwd.tcp.%d", port);
	c = chr_find_or_new(u->m, id, spec, e);
	*s = (struct stream){ .slirp = u->slirp, .own = made ? c : NULL, .addr = addr, .port = port };
	if (!c || slirp_add_guestfwd(u->slirp, stream_write, s, &s->addr, port) < 0) {
		stream_free(s);
		return c && err_set(e, "the address is not in the network, or taken");
	}
	s->chr = chr_attach(c, &stream_front, s);
	s->next = u->streams;
	u->streams = s;
	return s->chr || err_set(e, "'%s' is in use", c->id);
}

static bool add_guestfwd(struct user *u, const char *text, struct err *e)
{
	struct in_addr server = { 0 };
	const char *dash = strchr(text, '-');
	int port;

	if (strncmp(text, "tcp:", 4) || !dash
	    || !endpoint(text + 4, (size_t)(dash - text - 4), &server, &port) || !port)
		return err_set(e, "guestfwd=%s: expected tcp:ADDR:PORT-cmd:COMMAND or tcp:ADDR:PORT-chardev:ID", text);
	if (strncmp(dash, "-cmd:", 5))
		return add_stream(u, server, port, dash + 1, e) || err_prefix(e, "guestfwd=%s", text);
	if (slirp_add_exec(u->slirp, dash + 5, &server, port) < 0)
		return err_set(e, "guestfwd=%s: the address is not in the network, or taken", text);
	return true;
}

static const struct net_ops user_ops = { "user", user_send, user_free, user_forward, user_connections };

struct net *net_user_new(struct machine *m, const struct net_user_options *o, struct err *e)
{
	SlirpConfig c;
	struct user *u;
	bool ok = true;

	if (!configure(&c, o, e))
		return NULL;
	u = calloc(1, sizeof(*u));
	if (!u) {
		err_set(e, "no memory");
		return NULL;
	}
	u->net.ops = &user_ops;
	u->net.sound = true;
	u->net.m = u->m = m;
	u->slirp = slirp_new(&c, &callbacks, u);
	if (!u->slirp) {
		err_set(e, "libslirp does not start");
		free(u);
		return NULL;
	}
	for (int i = 0; ok && o->hostfwd[i]; i++)
		ok = add_hostfwd(u, o->hostfwd[i], e);
	for (int i = 0; ok && o->guestfwd[i]; i++)
		ok = add_guestfwd(u, o->guestfwd[i], e);
	if (!ok) {
		user_free(&u->net);
		return NULL;
	}
	u->loop = m->loop;
	u->poller = (struct loop_poller){ fill, done, u, NULL };
	if (u->loop)
		loop_poller_add(u->loop, &u->poller);
	return &u->net;
}

#endif
