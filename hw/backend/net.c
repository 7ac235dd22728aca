/*
 * Networks: making them, and frames between card and back end.
 *
 * A back end may answer while the card is still sending; such answers wait until
 * the card has finished, so a card's code is never entered twice.
 */
#include "hw/backend/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "config.h"
#include "hw/core/bus.h"

#define MAX_WAITING 1024u

struct net_frame {
	struct net_frame *next;
	unsigned pair;
	uint8_t header[NET_HEADER];
	size_t len;
	uint8_t bytes[];
};

/* ---- kinds ---- */

static struct net *make_user(struct machine *m, const struct net_options *o, struct err *e)
{
#ifdef CONFIG_SLIRP
	return net_user_new(m, &o->user, e);
#else
	(void)m, (void)o;
	err_set(e, "this program was built without user networking (Debian package: libslirp-dev, then configure)");
	return NULL;
#endif
}

static struct net *make_socket(struct machine *m, const struct net_options *o, struct err *e)
{
	return net_socket_new(m, &o->socket, e);
}

static struct net *make_tap(struct machine *m, const struct net_options *o, struct err *e)
{
	return net_tap_new(m, &o->tap, o->queues, e);
}

static const struct net_kind {
	const char *name;
	struct net *(*make)(struct machine *m, const struct net_options *o, struct err *e);
} kinds[] = {
	{ "user", make_user }, { "socket", make_socket }, { "stream", make_socket }, { "dgram", make_socket }, { "tap", make_tap },
};

static const struct net_kind *find_kind(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

bool net_kind_exists(const char *kind)
{
	return find_kind(kind);
}

bool net_user_built_in(void)
{
#ifdef CONFIG_SLIRP
	return true;
#else
	return false;
#endif
}

/* ---- life ---- */

struct net *net_find(struct machine *m, const char *id)
{
	return machine_find_backend(m, "netdev", id);
}

static void trace_names(struct machine *m, struct trace_names *l)
{
	for (const struct backend *b = m->backends; b; b = b->next)
		if (!strcmp(b->kind, "netdev")) {
			trace_name(l, b->id, NULL, "in");
			trace_name(l, b->id, NULL, "out");
		}
}

struct net *net_new(struct machine *m, const struct net_options *o, struct err *e)
{
	const struct net_kind *k = find_kind(o->kind);
	struct net *n;

	if (!k) {
		err_set(e, "no kind of network '%s'; there are user, socket, stream, dgram and tap", o->kind);
		return NULL;
	}
	if (net_find(m, o->id)) {
		err_set(e, "there is a network '%s' already", o->id);
		return NULL;
	}
	n = k->make(m, o, e);
	if (!n)
		return NULL;
	n->m = m;
	n->id = strdup(o->id);
	n->tail = &n->waiting;
	n->queues = o->queues;
	machine_add_backend(m, "netdev", o->id, n);
	trace_add_source(m, trace_names);
	return n;
}

static void drop_waiting(struct net *n)
{
	while (n->waiting) {
		struct net_frame *f = n->waiting;
		n->waiting = f->next;
		free(f);
	}
	n->tail = &n->waiting;
	n->n_waiting = 0;
}

static struct net *any(struct machine *m)
{
	for (struct backend *b = m->backends; b; b = b->next)
		if (!strcmp(b->kind, "netdev"))
			return b->p;
	return NULL;
}

void net_free(struct net *n)
{
	machine_del_backend(n->m, "netdev", n->id);
	drop_waiting(n);
	net_dump_free(n->dumps);
	free(n->id);
	n->ops->free(n);
}

void net_free_all(struct machine *m)
{
	struct net *n;

	while ((n = any(m)))
		net_free(n);
}

void net_set_up(struct net *n, bool up)
{
	if (n->down == !up)
		return;
	n->down = !up;
	drop_waiting(n);
	if (n->front && n->front->link)
		n->front->link(n->front_opaque);
}

bool net_up(const struct net *n)
{
	return n && !n->down;
}

void net_announce_all(struct machine *m)
{
	for (const struct backend *b = m->backends; b; b = b->next) {
		const struct net *n = b->p;
		if (!strcmp(b->kind, "netdev") && n->front && n->front->announce)
			n->front->announce(n->front_opaque);
	}
}

unsigned net_queues(const struct net *n)
{
	return n && n->queues ? n->queues : 1;
}

bool net_forward(struct net *n, const char *text, bool begin, struct err *e)
{
	if (!n->ops->forward)
		return err_set(e, "network '%s' (%s) forwards nothing", n->id, n->ops->name);
	return n->ops->forward(n, text, begin, e);
}

bool net_attach(struct net *n, const struct net_front *f, void *opaque, struct err *e)
{
	if (n->front)
		return err_set(e, "network '%s' has a card already", n->id);
	n->front = f;
	n->front_opaque = opaque;
	return true;
}

void net_detach(struct net *n, const void *opaque)
{
	if (!n || n->front_opaque != opaque)
		return;
	n->front = NULL;
	n->front_opaque = NULL;
	drop_waiting(n);
	net_take_offloads(n, 0);
}

void net_default_mac(struct machine *m, uint8_t mac[6])
{
	static const uint8_t first[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

	memcpy(mac, first, 6);
	mac[5] = (uint8_t)(mac[5] + m->n_macs++);
}

bool net_is_sound(const struct net *n)
{
	return n && n->sound;
}

bool net_steers(const struct net *n)
{
	return n && n->steers;
}

unsigned net_coming(const struct net *n)
{
	return n->coming;
}

/* ---- headers ---- */

static const uint8_t no_header[NET_HEADER];

bool net_has_headers(const struct net *n)
{
	return n && n->headers;
}

const uint8_t *net_coming_header(const struct net *n)
{
	return n->header ? n->header : no_header;
}

/* What a header leaves to the card. */
static unsigned left_to_do(const uint8_t *header)
{
	static const unsigned by_kind[] = { 0, NET_TSO4, ~0u, ~0u, NET_TSO6 };	/* 3: UDP, which no card takes */
	unsigned kind = header[1] & 0x7f;

	return (header[0] & 1 ? NET_CSUM : 0) | (header[1] & 0x80 ? NET_ECN : 0) | (kind < ARRAY_LEN(by_kind) ? by_kind[kind] : ~0u);
}

void net_take_offloads(struct net *n, unsigned offloads)
{
	if (!n || n->offloads == offloads)
		return;
	n->offloads = offloads;
	drop_waiting(n);
	if (n->ops->offloads)
		n->ops->offloads(n);
}

/* ---- frames ---- */

static void trace_frame(struct net *n, const char *way, uint64_t count, size_t len)
{
	trace_point(n->m, n->id, NULL, way, "frame %" PRIu64 " length %zu", count, len);
}

static bool give(struct net *n, unsigned pair, const uint8_t *header, const uint8_t *frame, size_t len)
{
	n->busy = true;
	n->coming = pair;
	n->header = header;
	bool taken = n->front->input(n->front_opaque, frame, len);
	n->busy = false;
	n->header = NULL;
	return taken;
}

static void keep(struct net *n, unsigned pair, const uint8_t *header, const uint8_t *frame, size_t len)
{
	struct net_frame *f = n->n_waiting < MAX_WAITING ? malloc(sizeof(*f) + len) : NULL;

	if (!f)
		return;
	f->next = NULL;
	f->pair = pair;
	f->len = len;
	memcpy(f->header, header, NET_HEADER);
	memcpy(f->bytes, frame, len);
	*n->tail = f;
	n->tail = &f->next;
	n->n_waiting++;
}

void net_deliver_with_header(struct net *n, unsigned pair, const uint8_t *header, const uint8_t *frame, size_t len)
{
	if (len > NET_MAX_FRAME || !n->front || n->down || left_to_do(header) & ~n->offloads)
		return;
	n->n_in++;
	if (trace_on(n->m))
		trace_frame(n, "in", n->n_in, len);
	if (n->dumps)
		net_dump_frame(n->dumps, n->m, frame, len);
	if (n->busy || n->waiting || !clock_running(&n->m->clock) || !give(n, pair, header, frame, len))
		keep(n, pair, header, frame, len);
}

void net_deliver_on(struct net *n, unsigned pair, const uint8_t *frame, size_t len)
{
	net_deliver_with_header(n, pair, no_header, frame, len);
}

void net_deliver(struct net *n, const uint8_t *frame, size_t len)
{
	net_deliver_on(n, 0, frame, len);
}

void net_flush(struct net *n)
{
	if (!n || n->busy || !clock_running(&n->m->clock))
		return;
	while (n->waiting && n->front && give(n, n->waiting->pair, n->waiting->header, n->waiting->bytes, n->waiting->len)) {
		struct net_frame *f = n->waiting;
		n->waiting = f->next;
		if (!n->waiting)
			n->tail = &n->waiting;
		n->n_waiting--;
		free(f);
		if (!n->waiting && n->ops->ready)
			n->ops->ready(n);
	}
}

bool net_full(const struct net *n)
{
	return n->waiting;
}

void net_send_with_header(struct net *n, unsigned pair, const uint8_t *header, const uint8_t *frame, size_t len)
{
	if (!n || n->busy || n->down || len > NET_MAX_FRAME)
		return;
	n->n_out++;
	if (trace_on(n->m))
		trace_frame(n, "out", n->n_out, len);
	if (n->dumps)
		net_dump_frame(n->dumps, n->m, frame, len);
	n->busy = true;
	n->sending = pair;
	n->header = header;
	n->ops->send(n, frame, len);
	n->header = NULL;
	n->busy = false;
	net_flush(n);
}

void net_send_on(struct net *n, unsigned pair, const uint8_t *frame, size_t len)
{
	net_send_with_header(n, pair, no_header, frame, len);
}

void net_send(struct net *n, const uint8_t *frame, size_t len)
{
	net_send_on(n, 0, frame, len);
}
