/* What each kind of network takes: the keys of -netdev, -nic and -net into struct net_options. */
#include "ui/options_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "ui/keyval.h"

static const char *net6(const char *prefix, unsigned bits)
{
	char *text;

	return asprintf(&text, "%s/%u", prefix, bits) < 0 ? NULL : text;
}

static bool user_options(struct kv *k, struct net_options *o, struct err *e)
{
	struct net_user_options *u = &o->user;
	const char *prefix;

	o->queues = (unsigned)kv_num(k, "queues", 1, 1, NET_MAX_QUEUES);
	u->restricted = kv_bool(k, "restrict", false);
	u->no_ipv4 = !kv_bool(k, "ipv4", true);
	u->no_ipv6 = !kv_bool(k, "ipv6", true);
	u->net = kv_str(k, "net", NULL);
	u->host = kv_str(k, "host", NULL);
	u->dhcpstart = kv_str(k, "dhcpstart", NULL);
	u->dns = kv_str(k, "dns", NULL);
	u->ipv6_net = kv_str(k, "ipv6-net", NULL);
	prefix = kv_str(k, "ipv6-prefix", NULL);	/* the same in two keys */
	if (!u->ipv6_net && prefix)
		u->ipv6_net = net6(prefix, (unsigned)kv_num(k, "ipv6-prefixlen", 64, 0, 126));
	else
		kv_num(k, "ipv6-prefixlen", 64, 0, 126);
	u->ipv6_host = kv_str(k, "ipv6-host", NULL);
	u->ipv6_dns = kv_str(k, "ipv6-dns", NULL);
	u->hostname = kv_str(k, "hostname", NULL);
	u->domainname = kv_str(k, "domainname", NULL);
	u->tftp = kv_str(k, "tftp", NULL);
	u->tftp_server_name = kv_str(k, "tftp-server-name", NULL);
	u->bootfile = kv_str(k, "bootfile", NULL);
	kv_all(k, "dnssearch", u->dnssearch, NET_MAX_FORWARDS);
	kv_all(k, "hostfwd", u->hostfwd, NET_MAX_FORWARDS);
	kv_all(k, "guestfwd", u->guestfwd, NET_MAX_FORWARDS);
	return !(u->no_ipv4 && u->no_ipv6) || err_set(e, "user: ipv4=off and ipv6=off leave nothing");
}

/* How many of the pointers are not NULL. */
static int n_given(const char *const *p, int n)
{
	int given = 0;

	for (int i = 0; i < n; i++)
		given += p[i] != NULL;
	return given;
}

static bool socket_options(struct kv *k, struct net_options *o, struct err *e)
{
	struct net_socket_options *s = &o->socket;

	s->listen = kv_str(k, "listen", NULL);
	s->connect = kv_str(k, "connect", NULL);
	s->mcast = kv_str(k, "mcast", NULL);
	s->udp = kv_str(k, "udp", NULL);
	s->local = kv_str(k, "localaddr", NULL);
	if (n_given((const char *const []){ s->listen, s->connect, s->mcast, s->udp }, 4) != 1)
		return err_set(e, "socket: expected one of listen=, connect=, mcast= and udp=");
	if (s->udp && !s->local)
		return err_set(e, "socket: udp= needs localaddr=HOST:PORT to receive at");
	return true;
}

/* PREFIX.type=inet,PREFIX.host=,PREFIX.port= or PREFIX.type=unix,PREFIX.path=, as resolve() takes it; NULL: absent or bad. */
static const char *address(struct kv *k, const char *prefix, bool unix_too, struct err *e)
{
	static const char *const types[] = { "inet", "unix", NULL };
	char key[4][32], *text = NULL;
	const char *host, *port, *path;
	int type, r;

	for (int i = 0; i < 4; i++)
		snprintf(key[i], sizeof(key[i]), "%s.%s", prefix, ((const char *const []){ "type", "host", "port", "path" })[i]);
	type = kv_word(k, key[0], 0, types);
	host = kv_str(k, key[1], NULL);
	port = kv_str(k, key[2], NULL);
	path = kv_str(k, key[3], NULL);
	if (!host && !port && !path)
		return NULL;
	if (type ? !unix_too || !path : !host || !port) {
		err_set(e, "%s: expected %s.host= and %s.port=%s", prefix, prefix, prefix, unix_too ? ", or type=unix and path=" : "");
		return NULL;
	}
	r = type ? asprintf(&text, "unix:%s", path) : asprintf(&text, "%s:%s", host, port);
	return r < 0 ? NULL : text;
}

static bool stream_options(struct kv *k, struct net_options *o, struct err *e)
{
	bool server = kv_bool(k, "server", false);
	const char *where;

	e->msg[0] = 0;
	where = address(k, "addr", true, e);
	o->socket.reconnect = (unsigned)kv_num(k, "reconnect", 0, 0, 3600);
	if (!where)
		return e->msg[0] ? false : err_set(e, "stream: addr.type= and what belongs to it are missing");
	*(server ? &o->socket.listen : &o->socket.connect) = where;
	return true;
}

static bool is_multicast(const char *address)
{
	unsigned first = 0;

	return sscanf(address, "%u.", &first) == 1 && first >= 224 && first <= 239;
}

static bool dgram_options(struct kv *k, struct net_options *o, struct err *e)
{
	const char *remote, *local;

	e->msg[0] = 0;
	remote = address(k, "remote", false, e);
	local = address(k, "local", false, e);
	if (e->msg[0])
		return false;
	if (!remote)
		return err_set(e, "dgram: remote.host= and remote.port= are missing");
	if (is_multicast(remote)) {
		o->socket.mcast = remote;
		return true;
	}
	if (!local)
		return err_set(e, "dgram: local.host= and local.port= are missing");
	o->socket.udp = remote;
	o->socket.local = local;
	return true;
}

static const char *script(struct kv *k, const char *key)
{
	const char *v = kv_str(k, key, "no");

	return strcmp(v, "no") && *v ? v : NULL;
}

/* fd=N, or fds=N:N.. with one for each queue. */
static bool tap_fds(struct kv *k, struct net_tap_options *t, struct err *e)
{
	uint64_t one = kv_num(k, "fd", UINT64_MAX, 0, 1 << 20);
	const char *list = kv_str(k, "fds", NULL);

	if (one != UINT64_MAX && list)
		return err_set(e, "fd= and fds= are the same for one queue and for several");
	if (one != UINT64_MAX)
		t->fds[t->n_fds++] = (int)one;
	while (list) {
		char *end;
		unsigned long fd = strtoul(list, &end, 10);

		if (end == list || (*end && *end != ':') || fd > 1 << 20)
			return err_set(e, "fds=%s: expected numbers with colons between them", list);
		if (t->n_fds == NET_MAX_QUEUES)
			return err_set(e, "fds=: more than %d queues", NET_MAX_QUEUES);
		t->fds[t->n_fds++] = (int)fd;
		list = *end ? end + 1 : NULL;
	}
	return true;
}

static bool tap_options(struct kv *k, struct net_options *o, struct err *e)
{
	static const char *const ignored[] = { "vhost", "vhostforce", "sndbuf", "vnet_hdr", "poll-us", "helper", "br", NULL };

	if (!tap_fds(k, &o->tap, e))
		return false;
	o->queues = (unsigned)kv_num(k, "queues", o->tap.n_fds ? o->tap.n_fds : 1, 1, NET_MAX_QUEUES);
	if (o->tap.n_fds && o->queues != o->tap.n_fds)
		return err_set(e, "queues=%u, and there are %u descriptors", o->queues, o->tap.n_fds);
	o->tap.ifname = kv_str(k, "ifname", NULL);
	o->tap.script = script(k, "script");
	o->tap.downscript = script(k, "downscript");
	kv_ignore(k, ignored);
	return true;
}

bool options_net_kind(struct kv *k, struct net_options *o, struct err *e)
{
	static const struct {
		const char *kind;
		bool (*take)(struct kv *k, struct net_options *o, struct err *e);
	} kinds[] = {
		{ "user", user_options }, { "socket", socket_options }, { "stream", stream_options },
		{ "dgram", dgram_options }, { "tap", tap_options },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(kinds[i].kind, o->kind))
			return kinds[i].take(k, o, e) && kv_done(k);
	return kv_done(k);
}
