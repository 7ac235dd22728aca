/*
 * virtio-net's commands: which frames the card takes, its address, VLANs, how many pairs of
 * queues are in use; and which flow belongs to which pair.
 *
 * Source: Virtio 1.2, 5.1.6.5.
 */
#include <string.h>

#include "hw/virtio/virtio_net_priv.h"

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_ANNOUNCE = 3, CLASS_MQ = 4 };
enum { RX_PROMISC = 0, RX_ALLMULTI = 1, RX_ALLUNI = 2, RX_NOMULTI = 3, RX_NOUNI = 4, RX_NOBCAST = 5 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1, VLAN_ADD = 0, VLAN_DEL = 1, ANNOUNCE_ACK = 0, MQ_PAIRS_SET = 0 };
enum { ACK_OK = 0, ACK_ERR = 1 };

enum { M_ALLUNI = 1, M_NOMULTI = 2, M_NOUNI = 4, M_NOBCAST = 8 };

#define ETHER		14u
#define TAG		4u
enum { TYPE_IPV4 = 0x0800, TYPE_VLAN = 0x8100, TYPE_IPV6 = 0x86dd };
enum { TCP = 6, UDP = 17 };

/* ---- frames ---- */

static unsigned be16(const uint8_t *p) { return (unsigned)(p[0] << 8 | p[1]); }

void virtio_net_forget(struct virtio_net *d)
{
	d->promisc = 1;			/* until the driver says otherwise */
	d->allmulti = d->too_many = d->modes = 0;
	d->n_filters = 0;
	d->pairs = 1;
	memset(d->vlans, 0, sizeof(d->vlans));
	memset(d->flow, 0, sizeof(d->flow));
}

static bool in_table(const struct virtio_net *d, const uint8_t *to)
{
	for (uint32_t i = 0; i < d->n_filters; i++)
		if (!memcmp(to, d->filter[i], 6))
			return true;
	return false;
}

static bool vlan_wanted(const struct virtio_net *d, const uint8_t *frame, size_t n)
{
	if (!virtio_has(&d->v, F_CTRL_VLAN) || n < ETHER + TAG || be16(frame + 12) != TYPE_VLAN)
		return true;
	unsigned id = be16(frame + 14) & (N_VLANS - 1);
	return d->vlans[id / 8] >> id % 8 & 1;
}

bool virtio_net_wants(const struct virtio_net *d, const uint8_t *frame, size_t n)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (d->promisc)
		return true;
	if (!vlan_wanted(d, frame, n))
		return false;
	if (!memcmp(frame, broadcast, 6))
		return !(d->modes & M_NOBCAST);
	if (frame[0] & 1)
		return !(d->modes & M_NOMULTI) && (d->allmulti || d->too_many || in_table(d, frame));
	return !(d->modes & M_NOUNI) && (d->modes & M_ALLUNI || d->too_many || !memcmp(frame, d->v.config + C_MAC, 6)
					 || in_table(d, frame));
}

/* ---- flows: the same number for both directions ---- */

static uint32_t xor_words(const uint8_t *p, unsigned n)
{
	uint32_t x = 0;

	for (unsigned i = 0; i < n; i += 4)
		x ^= ld32(p + i);
	return x;
}

static unsigned flow_of(const uint8_t *f, size_t n)
{
	size_t at = ETHER;
	unsigned type = be16(f + 12), protocol, ports = 0;
	uint32_t h;

	if (type == TYPE_VLAN && n >= ETHER + TAG) {
		type = be16(f + 16);
		at += TAG;
	}
	if (type == TYPE_IPV4 && n >= at + 20) {
		h = xor_words(f + at + 12, 8);
		protocol = be16(f + at + 6) & 0x3fff ? 0 : f[at + 9];	/* fragments have no ports */
		at += (f[at] & 15u) * 4;
	} else if (type == TYPE_IPV6 && n >= at + 40) {
		h = xor_words(f + at + 8, 32);
		protocol = f[at + 6];
		at += 40;
	} else {
		return 0;
	}
	if ((protocol == TCP || protocol == UDP) && n >= at + 4)
		ports = be16(f + at) ^ be16(f + at + 2);
	h = (h ^ ports * 0x10001u ^ protocol) * 0x9e3779b1u;
	return h >> 24;
}
_Static_assert(N_FLOWS == 256, "a flow is eight bits");

void virtio_net_learn(struct virtio_net *d, const uint8_t *frame, size_t n, unsigned pair)
{
	if (d->pairs > 1 && n >= ETHER)
		d->flow[flow_of(frame, n)] = (uint8_t)pair;
}

unsigned virtio_net_pair(const struct virtio_net *d, const uint8_t *frame, size_t n)
{
	return d->pairs > 1 ? d->flow[flow_of(frame, n)] % d->pairs : 0;
}

/* ---- commands ---- */

/* Two lists of addresses, unicast and multicast, each behind its length. */
static uint8_t set_filters(struct virtio_net *d, const struct vbuf *b)
{
	uint64_t at = 2;
	uint32_t n = 0;
	uint8_t count[4];

	d->n_filters = 0;
	d->too_many = 0;
	for (int list = 0; list < 2; list++) {
		if (at + 4 > b->out_len || !vbuf_read(&d->v, b, at, count, 4))
			return ACK_ERR;
		uint64_t k = ld32(count);
		at += 4;
		if (k * 6 > b->out_len - at)
			return ACK_ERR;
		if (n + k > MAX_FILTERS)
			d->too_many = 1;
		else if (!vbuf_read(&d->v, b, at, d->filter[n], k * 6))
			return ACK_ERR;
		else
			n += (uint32_t)k;
		at += k * 6;
	}
	d->n_filters = n;
	return ACK_OK;
}

static uint8_t set_mode(struct virtio_net *d, unsigned mode, uint8_t on)
{
	static const uint8_t bits[] = { [RX_ALLUNI] = M_ALLUNI, [RX_NOMULTI] = M_NOMULTI, [RX_NOUNI] = M_NOUNI, [RX_NOBCAST] = M_NOBCAST };

	on &= 1;
	if (mode == RX_PROMISC)
		d->promisc = on;
	else if (mode == RX_ALLMULTI)
		d->allmulti = on;
	else if (mode <= RX_NOBCAST)
		d->modes = (uint8_t)(on ? d->modes | bits[mode] : d->modes & ~bits[mode]);
	else
		return ACK_ERR;
	return ACK_OK;
}

static uint8_t set_vlan(struct virtio_net *d, unsigned command, unsigned id)
{
	uint8_t bit = (uint8_t)(1u << id % 8);

	if (id >= N_VLANS || command > VLAN_DEL)
		return ACK_ERR;
	d->vlans[id / 8] = (uint8_t)(command == VLAN_ADD ? d->vlans[id / 8] | bit : d->vlans[id / 8] & ~bit);
	return ACK_OK;
}

static uint8_t set_pairs(struct virtio_net *d, unsigned command, unsigned n)
{
	if (command != MQ_PAIRS_SET || !virtio_has(&d->v, F_MQ) || !n || n > d->max_pairs)
		return ACK_ERR;
	d->pairs = (uint16_t)n;
	memset(d->flow, 0, sizeof(d->flow));
	return ACK_OK;
}

static uint8_t announced(struct virtio_net *d, unsigned command)
{
	if (command != ANNOUNCE_ACK)
		return ACK_ERR;
	st16(d->v.config + C_STATUS, ld16(d->v.config + C_STATUS) & (uint16_t)~S_ANNOUNCE);
	return ACK_OK;
}

static uint8_t execute(struct virtio_net *d, const struct vbuf *b)
{
	uint8_t c[4] = { 0 };
	uint64_t n = min_u64(b->out_len, sizeof(c));

	if (n < 2 || !vbuf_read(&d->v, b, 0, c, n))
		return ACK_ERR;
	if (c[0] == CLASS_RX && n > 2)
		return set_mode(d, c[1], c[2]);
	if (c[0] == CLASS_MAC && c[1] == MAC_TABLE_SET)
		return set_filters(d, b);
	if (c[0] == CLASS_MAC && c[1] == MAC_ADDR_SET && b->out_len == 8)
		return vbuf_read(&d->v, b, 2, d->v.config + C_MAC, 6) ? ACK_OK : ACK_ERR;
	if (c[0] == CLASS_VLAN && n == 4)
		return set_vlan(d, c[1], ld16(c + 2));
	if (c[0] == CLASS_ANNOUNCE)
		return announced(d, c[1]);
	if (c[0] == CLASS_MQ && n == 4)
		return set_pairs(d, c[1], ld16(c + 2));
	return ACK_ERR;
}

bool virtio_net_command(struct virtio *v, unsigned q)
{
	struct virtio_net *d = (struct virtio_net *)v;

	if (!v->buf.in_len)
		return virtio_broken(v, "a command without room for the answer");
	uint8_t ack = execute(d, &v->buf);
	if (!vbuf_write(v, &v->buf, v->buf.in_len - 1, &ack, 1))
		return false;
	virtq_push(v, q, &v->buf, 1);
	/* Frames that waited may have other places to go to. */
	net_flush(d->net);
	return true;
}
