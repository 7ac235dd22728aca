/*
 * virtio-net: a network card. Queue 0 holds buffers for frames that come in, queue 1
 * frames to send, and so on in pairs, as many as the network has (mq=on); the last one
 * has commands (virtio_net_ctrl.c). Of a card with one pair, or for a driver that knows
 * no more, that is queue 2. A frame that comes in goes to the pair on which its flow was
 * last sent; if the network has as many queues itself (tap), they belong to each other.
 *
 * Every frame has a header in front: 10 bytes, or 12 with merged buffers or for drivers
 * of the modern interface. Frames larger than a buffer go to several ones if the driver
 * can merge them.
 *
 * A driver may leave checksums and the cutting of large TCP segments to the card, and
 * is spared looking at the checksums of frames that no wire can have damaged. A network whose
 * frames have headers (tap) gets both as they are, and large segments from there come in whole.
 *
 * Not modelled: hashes for the driver (RSS).
 * Source: Virtio 1.2, 5.1.
 */
#include <string.h>

#include "hw/virtio/offload.h"
#include "hw/virtio/virtio_net_priv.h"

#define F_CSUM		BIT(0)
#define F_GUEST_CSUM	BIT(1)
#define F_MTU		BIT(3)
#define F_MAC		BIT(5)
#define F_GUEST_TSO4	BIT(7)
#define F_GUEST_TSO6	BIT(8)
#define F_GUEST_ECN	BIT(9)
#define F_HOST_TSO4	BIT(11)
#define F_HOST_TSO6	BIT(12)
#define F_HOST_ECN	BIT(13)
#define F_MRG_RXBUF	BIT(15)
#define F_STATUS	BIT(16)

#define QUEUE_SIZE	256u
#define HEADER		12u
#define HEADER_SHORT	10u
#define HEADER_NBUFS	10u		/* where the number of merged buffers is */

/* 5.1.6: flags (byte 0) and kinds of large segments (byte 1) of the header */
#define H_NEEDS_CSUM	0x01u
#define H_DATA_VALID	0x02u
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_ECN = 0x80 };

static unsigned rx(unsigned pair) { return 2 * pair; }

/* With one pair the driver's commands are where a second one would begin. */
static unsigned control_queue(const struct virtio_net *d)
{
	return virtio_has(&d->v, F_MQ) ? 2u * d->max_pairs : 2;
}

static unsigned header_len(const struct virtio_net *d)
{
	return virtio_has(&d->v, F_MRG_RXBUF | VIRTIO_VERSION_1) ? HEADER : HEADER_SHORT;
}

/* ---- receiving ---- */

/* One buffer's share of header and frame, from byte `at` of both together. */
static bool fill_buffer(struct virtio_net *d, uint64_t at, const uint8_t *header, unsigned hlen,
			const uint8_t *frame, uint64_t n)
{
	struct vbuf *b = &d->v.buf;

	if (at)
		return vbuf_write(&d->v, b, 0, frame + at - hlen, n);
	return vbuf_write(&d->v, b, 0, header, hlen) && vbuf_write(&d->v, b, hlen, frame, n - hlen);
}

#define USUAL_FRAME	1514u	/* a buffer has room for that, or the driver is wrong */
#define TOO_LONG	~0u

/*
 * Spread the frame over buffers; the first one's header, which says how many they are,
 * is written again at the end. Returns how many; 0: not enough buffers, or broken; TOO_LONG:
 * a frame of a length that nobody has agreed to, which is lost.
 */
static unsigned put_frame(struct virtio_net *d, unsigned q, const uint8_t *frame, size_t len)
{
	struct virtio *v = &d->v;
	unsigned hlen = header_len(d), n = 0;
	uint8_t header[HEADER] = { 0 };
	uint64_t all = hlen + len, count_at[2] = { 0 };
	bool merge = virtio_has(v, F_MRG_RXBUF);
	uint16_t place = virtq_place(v, q);

	st16(header + HEADER_NBUFS, 1);
	if (virtio_has(v, F_GUEST_CSUM))
		memcpy(header, net_coming_header(d->net), NET_HEADER);
	if (virtio_has(v, F_GUEST_CSUM) && net_is_sound(d->net))
		header[0] = H_DATA_VALID;
	for (uint64_t at = 0; at < all; n++) {
		if (!virtq_pop(v, q, &v->buf)) {
			virtq_rewind(v, q, place);
			return 0;
		}
		uint64_t k = min_u64(v->buf.in_len, all - at);
		if (!merge && k < all && k >= hlen + USUAL_FRAME) {
			virtq_rewind(v, q, place);
			return TOO_LONG;
		}
		if ((!n && k < hlen) || !k || (!merge && k < all)) {
			virtio_broken(v, "a receive buffer that is too small");
			return 0;
		}
		for (unsigned i = 0; !n && merge && i < 2; i++)
			count_at[i] = vbuf_in_address(&v->buf, HEADER_NBUFS + i);
		if (!fill_buffer(d, at, header, hlen, frame, k))
			return 0;
		virtq_fill(v, q, n, &v->buf, (uint32_t)k);
		at += k;
	}
	st16(header, (uint16_t)n);
	for (unsigned i = 0; n > 1 && i < 2; i++)
		if (!virtio_mem_write(v, count_at[i], header + i, 1))
			return 0;
	return n;
}

static bool net_input(void *opaque, const uint8_t *frame, size_t len)
{
	struct virtio_net *d = opaque;
	struct virtio *v = &d->v;

	if (!virtio_running(v) || len < 14 || !virtio_net_wants(d, frame, len))
		return true;
	unsigned q = rx(net_steers(d->net) ? net_coming(d->net) % d->pairs : virtio_net_pair(d, frame, len));
	if (!v->q[q].enabled)
		return true;
	unsigned n = put_frame(d, q, frame, len);
	if (!n && virtq_ask(v, q, true))	/* buffers came while the driver was not asked */
		n = put_frame(d, q, frame, len);
	if (n == TOO_LONG)
		return true;
	if (!n)
		return v->status & VIRTIO_NEEDS_RESET;
	virtq_show(v, q, n);
	virtq_interrupt(v, q);
	return true;
}

static void fill_status(struct virtio_net *d)
{
	uint16_t announce = ld16(d->v.config + C_STATUS) & S_ANNOUNCE;

	st16(d->v.config + C_STATUS, net_up(d->net) ? S_LINK_UP | announce : 0);
}

static void net_link(void *opaque)
{
	fill_status(opaque);
	virtio_config_changed(opaque);
}

/* The machine is somewhere else now, and the guest is to say where: it acknowledges by a command. */
static void net_announce(void *opaque)
{
	struct virtio_net *d = opaque;

	if (!virtio_running(&d->v) || !virtio_has(&d->v, F_GUEST_ANNOUNCE) || !net_up(d->net))
		return;
	st16(d->v.config + C_STATUS, S_LINK_UP | S_ANNOUNCE);
	virtio_config_changed(&d->v);
}

static const struct net_front front = { net_input, net_link, net_announce };

/* ---- sending ---- */

struct sender {
	struct virtio_net *d;
	unsigned pair;
};

static void send_piece(void *opaque, const uint8_t *frame, size_t len)
{
	const struct sender *s = opaque;

	s->d->v.extra++;
	net_send_on(s->d->net, s->pair, frame, len);
}

/* d->frame, as its header wants it. False: it asks for what cannot be. */
static bool send_with_header(struct virtio_net *d, unsigned pair, const uint8_t *h, size_t n)
{
	struct sender s = { d, pair };
	unsigned kind = h[1] & ~(unsigned)GSO_ECN;

	if (kind != GSO_NONE && kind != GSO_TCPV4 && kind != GSO_TCPV6)
		return false;
	if (net_has_headers(d->net)) {
		net_send_with_header(d->net, pair, h, d->frame, n);
		return true;
	}
	if (kind == GSO_TCPV4 || kind == GSO_TCPV6)
		return offload_segment(d->frame, n, ld16(h + 4), send_piece, &s);
	if (h[0] & H_NEEDS_CSUM && !offload_checksum(d->frame, n, ld16(h + 6), ld16(h + 8)))
		return false;
	net_send_on(d->net, pair, d->frame, n);
	return true;
}

static bool send_frame(struct virtio *v, unsigned q)
{
	struct virtio_net *d = (struct virtio_net *)v;
	unsigned hlen = header_len(d);
	uint64_t n = v->buf.out_len - hlen;

	if (v->buf.out_len < hlen)
		return virtio_broken(v, "a frame without a header");
	bool fits = n <= sizeof(d->frame);
	uint8_t header[HEADER];

	if (!vbuf_read(v, &v->buf, 0, header, hlen) || (fits && !vbuf_read(v, &v->buf, hlen, d->frame, n)))
		return false;
	/* Given back first: an answer may come, and use v->buf, while the frame is sent. */
	virtq_push(v, q, &v->buf, 0);
	if (fits)
		virtio_net_learn(d, d->frame, n, q / 2);
	if (!fits || !send_with_header(d, q / 2, header, n))
		log_guest("%s: a frame of %llu bytes, flags %u, kind %u, that cannot be sent", v->pci.dev.id,
			  (unsigned long long)n, header[0], header[1]);
	return true;
}

/* ---- life ---- */

static void net_run(struct virtio *v, unsigned q)
{
	struct virtio_net *d = (struct virtio_net *)v;

	if (q == control_queue(d)) {
		virtio_serve(v, q, virtio_net_command);
	} else if (q & 1) {
		virtio_serve(v, q, send_frame);
	} else {
		virtq_ask(v, q, false);
		net_flush(d->net);
	}
}

/* Only legacy drivers set the address here. */
static void net_config_written(struct virtio *v, unsigned off, unsigned n)
{
	struct virtio_net *d = (struct virtio_net *)v;

	(void)off, (void)n;
	if (virtio_has(v, VIRTIO_VERSION_1))
		memcpy(v->config + C_MAC, d->mac, 6);
	st16(v->config + C_MAX_PAIRS, d->max_pairs);
	st16(v->config + C_MTU, d->host_mtu);
	fill_status(d);
}

/* What the driver has accepted comes in from now on. */
static void net_started(struct virtio *v)
{
	static const struct { uint64_t feature; unsigned offload; } taken[] = {
		{ F_GUEST_CSUM, NET_CSUM }, { F_GUEST_TSO4, NET_TSO4 }, { F_GUEST_TSO6, NET_TSO6 }, { F_GUEST_ECN, NET_ECN },
	};
	struct virtio_net *d = (struct virtio_net *)v;
	unsigned offloads = 0;

	for (size_t i = 0; i < ARRAY_LEN(taken) && virtio_has(v, F_GUEST_CSUM); i++)
		offloads |= virtio_has(v, taken[i].feature) ? taken[i].offload : 0;
	if (net_has_headers(d->net))
		net_take_offloads(d->net, offloads);
}

static void net_class_reset(struct virtio *v)
{
	struct virtio_net *d = (struct virtio_net *)v;

	if (d->attached)
		net_take_offloads(d->net, 0);
	memcpy(v->config + C_MAC, d->mac, 6);
	st16(v->config + C_STATUS, 0);
	fill_status(d);
	st16(v->config + C_MAX_PAIRS, d->max_pairs);
	st16(v->config + C_MTU, d->host_mtu);
	virtio_net_forget(d);
}

#define F_CONTROL (F_CTRL_VQ | F_CTRL_RX | F_CTRL_VLAN | F_CTRL_RX_EXTRA | F_GUEST_ANNOUNCE | F_CTRL_MAC_ADDR | F_MQ)
#define F_GUEST_LARGE (F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN)
/* Large segments cannot be left to a card that makes no checksums, nor pairs be chosen without commands. */
static const uint64_t offers[N_OFFERS] = {
	F_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN, F_GUEST_CSUM | F_GUEST_LARGE, F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN, F_MRG_RXBUF,
	F_STATUS | F_GUEST_ANNOUNCE, F_CONTROL, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN,
};

static const struct virtio_class net_class = {
	.id = 1, .legacy_id = 0x1000, .pci_class = 0x020000,
	.features = F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_MAC | F_MRG_RXBUF
		| F_STATUS | (F_CONTROL & ~F_MQ),
	.queue_size = QUEUE_SIZE, .config_len = C_LEN,
	.run = net_run, .reset = net_class_reset, .config_written = net_config_written, .started = net_started,
};

static bool net_init(void *dev, struct err *e)
{
	static const uint8_t none[6];
	struct virtio_net *d = dev;

	if (!memcmp(d->mac, none, 6))
		net_default_mac(d->v.pci.dev.m, d->mac);
	d->max_pairs = (uint16_t)(d->mq ? net_queues(d->net) : 1);
	d->v.n_queues = 2u * d->max_pairs + 1;
	if (!virtio_init(&d->v, &net_class, (d->max_pairs > 1 ? F_MQ : 0) | (d->host_mtu ? F_MTU : 0)
			 | (net_has_headers(d->net) ? F_GUEST_LARGE : 0), e)
	    || !pci_romfile(&d->v.pci, e))
		return false;
	for (size_t i = 0; i < N_OFFERS; i++)
		if (!d->offer[i])
			d->v.offered &= ~offers[i];
	d->attached = d->net && net_attach(d->net, &front, d, e);
	return !d->net || d->attached;
}

static void net_fini(void *dev)
{
	struct virtio_net *d = dev;

	net_detach(d->net, d);
	d->attached = false;
	virtio_fini(&d->v);
}

static void net_reset(void *dev)
{
	virtio_reset(dev);
}

static bool net_loaded(void *dev, struct err *e)
{
	struct virtio_net *d = dev;

	if (d->n_filters > MAX_FILTERS || !d->pairs || d->pairs > d->max_pairs)
		return err_set(e, "the saved address filters or queue pairs are damaged");
	if (!virtio_loaded(&d->v, e))
		return false;
	if (virtio_running(&d->v))
		net_started(&d->v);
	return true;
}

static const struct state net_state[] = {
	STATE(virtio_net, promisc), STATE(virtio_net, allmulti), STATE(virtio_net, too_many),
	STATE(virtio_net, n_filters), STATE(virtio_net, filter), STATE(virtio_net, modes), STATE(virtio_net, vlans),
	STATE(virtio_net, pairs), STATE(virtio_net, flow), { 0 }
};
#define NET_PROPS \
	PROP_REF("netdev", virtio_net, net, "netdev", "the network, a -netdev's id"), \
	PROP(MAC, virtio_net, mac, "mac", 0, "the card's address; default: 52:54:00:12:34:56 and up"), \
	PROP(BOOL, virtio_net, mq, "mq", 0, "a pair of queues for each of the network's queues=N"), \
	PROP(BOOL, virtio_net, offer[0], "csum", 1, "offer to make checksums (and with that to cut large segments)"), \
	PROP(BOOL, virtio_net, offer[1], "guest_csum", 1, "tell which checksums are right"), \
	PROP(BOOL, virtio_net, offer[2], "host_tso4", 1, "offer to cut large segments of TCP over IPv4"), \
	PROP(BOOL, virtio_net, offer[3], "host_tso6", 1, "... over IPv6"), \
	PROP(BOOL, virtio_net, offer[4], "host_ecn", 1, "... with congestion notification"), \
	PROP(BOOL, virtio_net, offer[5], "mrg_rxbuf", 1, "put large frames into several buffers"), \
	PROP(BOOL, virtio_net, offer[6], "status", 1, "tell whether the cable is in"), \
	PROP(BOOL, virtio_net, offer[7], "ctrl_vq", 1, "take commands: filters, address, pairs of queues"), \
	PROP(BOOL, virtio_net, offer[8], "guest_tso4", 1, "let in large segments of TCP over IPv4, if the network has some"), \
	PROP(BOOL, virtio_net, offer[9], "guest_tso6", 1, "... over IPv6"), \
	PROP(BOOL, virtio_net, offer[10], "guest_ecn", 1, "... with congestion notification"), \
	PROP(U16, virtio_net, host_mtu, "host_mtu", 0, "the longest packet the driver is to send; 0: it chooses")
static const struct prop net_props[] = {
	NET_PROPS, PROP_BOOTINDEX, PCI_PROP_ROMFILE, { 0 }
};
static const struct prop net_bus_props[] = {
	NET_PROPS, { 0 }
};

static void net_boot_path(const void *dev, char *buf)
{
	pci_boot_path(dev, buf);
	dev_boot_path_add(buf, "/ethernet-phy@0");
}

const struct dev_type virtio_net_type = {
	.name = "virtio-net-pci", .alias = "virtio-net", .bus = "pci", .help = "a network card",
	.size = sizeof(struct virtio_net), .version = 2, .state = net_state, .props = net_props,
	.bus_props = virtio_props, .bus_state = virtio_state,
	.init = net_init, .fini = net_fini, .reset = net_reset, .loaded = net_loaded,
	.boot_path = net_boot_path, .boot_letter = 'n', .boot_rom = "pxe-virtio.rom",
};

const struct dev_type virtio_net_bus_type = {
	.name = "virtio-net-device", .bus = "virtio-bus", .help = "a network card",
	.size = sizeof(struct virtio_net), .version = 2, .state = net_state, .props = net_bus_props,
	.bus_props = virtio_bus_props, .bus_state = virtio_bus_state,
	.init = net_init, .fini = net_fini, .reset = net_reset, .loaded = net_loaded,
};
