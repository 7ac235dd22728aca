/*
 * The e1000's transmitter: descriptors become frames, with checksums put in and large
 * TCP segments cut up as the driver asked.
 *
 *	legacy   address u64, length u16, CSO, CMD, STA, CSS, special
 *	context  where checksums are and how to segment; moves no data
 *	data     address u64, length 20 bits, type, DCMD, STA, POPTS, special
 *
 * Not modelled: VLAN tags, transmit delays (IDE), padding of short frames.
 * Source: Intel 8254x manual, 3.3 (descriptors), 3.5 (TCP segmentation).
 */
#include <string.h>

#include "hw/net/e1000_priv.h"

#define CMD_EOP		0x01u
#define CMD_IC		0x04u		/* legacy: insert a checksum */
#define CMD_TSE		0x04u		/* data: segment */
#define CMD_RS		0x08u		/* report status */
#define CMD_DEXT	0x20u
#define STA_DD		1u
#define TUCMD_TCP	1u
#define TUCMD_IP	2u
#define POPTS_IXSM	1u
#define POPTS_TXSM	2u
#define TCTL_EN		2u

#define AT_ONCE		1024		/* descriptors a run ... */
#define CUT_AT_ONCE	(1u << 14)	/* ... as long as no more frames were cut, but those of the last one */

/* ---- checksums ---- */

static uint16_t sum_of(const uint8_t *p, size_t n)
{
	uint32_t s = 0;

	for (; n > 1; n -= 2, p += 2)
		s += (uint32_t)p[0] << 8 | p[1];
	if (n)
		s += (uint32_t)p[0] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

/* The checksum of [from, to] (0: to the end) into `at`; what is there now counts. */
static void checksum(uint8_t *f, size_t n, unsigned from, unsigned at, unsigned to)
{
	size_t end = to && to + 1 < n ? to + 1u : n;

	if (from < end && at + 2u <= n)
		put_be16(f + at, (uint16_t)~sum_of(f + from, end - from));
}

static void insert_checksums(const struct e1000_context *c, uint8_t popts, uint8_t *f, size_t n)
{
	if (popts & POPTS_TXSM)
		checksum(f, n, c->tucss, c->tucso, c->tucse);
	if (popts & POPTS_IXSM)
		checksum(f, n, c->ipcss, c->ipcso, c->ipcse);
}

/* ---- segmentation ---- */

/* Headers of one segment: lengths, identification, sequence number, flags (3.5.8). */
static void segment_headers(const struct e1000_context *c, uint8_t *f, size_t n, uint32_t done, unsigned number,
			    bool last)
{
	uint8_t *ip = f + c->ipcss, *l4 = f + c->tucss;

	if (c->ip) {
		put_be16(ip + 2, (uint32_t)n - c->ipcss);
		put_be16(ip + 4, be16(ip + 4) + number);
	} else {
		put_be16(ip + 4, (uint32_t)n - c->ipcss - 40);
	}
	if (c->tcp) {
		put_be32(l4 + 4, ((uint32_t)be16(l4 + 4) << 16 | be16(l4 + 6)) + done);
		if (!last)
			l4[13] &= (uint8_t)~0x09u;	/* PSH and FIN belong to the last one */
	} else {
		put_be16(l4 + 4, (uint32_t)n - c->tucss);
	}
	/* The driver left the pseudo header's sum there, without the length. */
	if (c->tucso + 2u <= n) {
		uint32_t s = be16(f + c->tucso) + (uint32_t)n - c->tucss;
		put_be16(f + c->tucso, (s & 0xffff) + (s >> 16));
	}
}

static bool can_segment(const struct e1000 *d, const struct e1000_context *c)
{
	return c->mss && c->hdrlen && c->hdrlen <= d->frame_len && c->ipcss + 20u <= c->hdrlen
		&& c->tucss + (c->tcp ? 20u : 8u) <= c->hdrlen && c->tucss >= c->ipcss + 8u;
}

/* How many frames it became. */
static unsigned send_segments(struct e1000 *d)
{
	const struct e1000_context *c = &d->tso;
	uint32_t hdr = c->hdrlen, payload = d->frame_len - hdr;
	uint8_t out[256 + 65536];

	if (!can_segment(d, c)) {
		log_guest("%s: a segmentation context that makes no sense", d->pci.dev.id);
		return 0;
	}
	unsigned number = 0;
	for (uint32_t done = 0; done < payload || !number; number++) {
		uint32_t k = (uint32_t)min_u64(c->mss, payload - done);
		memcpy(out, d->frame, hdr);
		memcpy(out + hdr, d->frame + hdr + done, k);
		segment_headers(c, out, hdr + k, done, number, done + k == payload);
		insert_checksums(c, d->popts, out, hdr + k);
		net_send(d->net, out, hdr + k);
		done += k;
	}
	return number;
}

static void send_frame(struct e1000 *d)
{
	if (d->too_long)
		log_guest("%s: a frame that is too long", d->pci.dev.id);
	else if (d->segment)
		d->cut += send_segments(d);
	else if (d->frame_len) {
		insert_checksums(&d->sum, d->popts, d->frame, d->frame_len);
		net_send(d->net, d->frame, d->frame_len);
	}
}

/* ---- descriptors ---- */

static void take_context(struct e1000 *d, const uint8_t *p)
{
	uint8_t cmd = p[11];
	struct e1000_context *c = cmd & CMD_TSE ? &d->tso : &d->sum;

	*c = (struct e1000_context){
		.ipcss = p[0], .ipcso = p[1], .ipcse = ld16(p + 2), .tucss = p[4], .tucso = p[5], .tucse = ld16(p + 6),
		.paylen = ld32(p + 8) & 0xfffff, .tcp = cmd & TUCMD_TCP, .ip = cmd & TUCMD_IP,
		.hdrlen = p[13], .mss = ld16(p + 14),
	};
}

static void take_bytes(struct e1000 *d, uint64_t pa, uint32_t n)
{
	if (n > NET_MAX_FRAME - d->frame_len) {
		d->too_long = 1;
		return;
	}
	pci_dma_read(&d->pci, pa, d->frame + d->frame_len, n);
	d->frame_len += n;
}

static void begin_frame(struct e1000 *d)
{
	d->in_frame = 1;
	d->frame_len = 0;
	d->segment = d->popts = d->too_long = 0;
}

static void take_data(struct e1000 *d, const uint8_t *p)
{
	bool extended = p[11] & CMD_DEXT;

	if (!d->in_frame) {
		begin_frame(d);
		d->segment = extended && p[11] & CMD_TSE;
		d->popts = extended ? p[13] : 0;
	}
	take_bytes(d, ld64(p), extended ? ld32(p + 8) & 0xfffff : ld16(p + 8));
	if (!(p[11] & CMD_EOP))
		return;
	if (!extended && p[11] & CMD_IC && !d->too_long)
		checksum(d->frame, d->frame_len, p[13], p[10], 0);
	send_frame(d);
	d->in_frame = 0;
}

static void one_descriptor(struct e1000 *d, uint64_t at)
{
	uint8_t p[E1000_DESC];

	pci_dma_read(&d->pci, at, p, sizeof(p));
	if (p[11] & CMD_DEXT && (ld32(p + 8) >> 20 & 15) == 0)
		take_context(d, p);
	else
		take_data(d, p);
	if (p[11] & CMD_RS) {
		p[12] |= STA_DD;
		pci_dma_write(&d->pci, at + 12, p + 12, 1);
		d->icr |= E1000_TXDW;
	}
}

void e1000_send(struct e1000 *d)
{
	struct e1000_ring *r = &d->tx;
	uint32_t n = r->len / E1000_DESC, done = 0;

	if (d->sending || !(d->tctl & TCTL_EN) || !n || !(pci_command(&d->pci) & PCI_CMD_MASTER))
		return;
	d->sending = true;
	d->cut = 0;
	r->head = r->head < n ? r->head : 0;
	for (; r->head != r->tail && r->tail < n && done < AT_ONCE && d->cut < CUT_AT_ONCE; done++) {
		one_descriptor(d, ((uint64_t)r->base_hi << 32 | r->base_lo) + E1000_DESC * r->head);
		r->head = r->head + 1 < n ? r->head + 1 : 0;
	}
	d->sending = false;
	if (r->head != r->tail && r->tail < n)
		timer_mod(&d->later, clock_now(&d->pci.dev.m->clock));
	else if (done)
		e1000_cause(d, E1000_TXQE);
}
