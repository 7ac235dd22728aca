/*
 * xHCI transfer rings.
 *
 * A transfer descriptor (TD) is a chain of TRBs, each with a piece of memory. What a
 * device gets is a packet over as many pieces as fit into XHCI_BUF, in whole packets of
 * the wire unless the TD ends: gather() collects, advance() moves on by what the
 * device took or gave and tells the guest. The position (TRB and bytes of it that are
 * done) is all there is between two steps.
 *
 * After a short packet the rest of the TD is skipped; one event tells of it, at the TRB
 * where it happened if that wants to know, else at the first behind it that does; Event
 * Data TRBs always do.
 *
 * Not modelled: streams, isochronous timing (packets go at once), intervals: an
 * interrupt endpoint is asked when its device has something.
 * Source: xHCI 1.1, 4.9 (rings), 4.10 (completions), 4.11 (TDs), 6.4.1 (TRBs).
 */
#include "hw/usb/xhci_priv.h"

#include <string.h>

#define MAX_PIECES	64
#define MAX_SKIP	1024		/* TRBs of a TD behind a short packet */

/* ---- one piece of memory of a TD ---- */

struct piece {
	struct xhci_trb trb;
	struct xhci_cursor here;
	uint32_t skip, len;		/* bytes done before; bytes this time */
};

struct td {
	struct piece p[MAX_PIECES];
	int n;
	uint32_t total;
	bool whole;			/* reaches the end of the TD */
	bool in;
	enum xhci_found found;
};

static uint32_t trb_len(const struct xhci_trb *t)
{
	return trb_type(t) == T_EVENT_DATA ? 0 : t->status & 0x1ffff;
}

static bool in_td(const struct xhci_trb *t)
{
	unsigned type = trb_type(t);

	return type == T_NORMAL || type == T_EVENT_DATA || type == T_NOOP;
}

/* Leave only whole packets. */
static void trim(struct td *td, uint32_t total)
{
	uint32_t left = total;

	for (int i = 0; i < td->n; i++) {
		uint32_t n = (uint32_t)min_u64(td->p[i].len, left);
		left -= n;
		td->whole &= n == td->p[i].len;
		td->p[i].len = n;
	}
	td->total = total;
}

static void gather(struct xhci *x, const struct xhci_ep *e, struct td *td)
{
	struct xhci_cursor c = { e->at, e->cycle };
	uint32_t skip = e->done;
	bool single = e->type == EP_INTERRUPT_IN || e->type == EP_INTERRUPT_OUT;

	td->n = 0;
	td->total = 0;
	td->whole = false;
	while (td->n < MAX_PIECES && td->total < XHCI_BUF && !td->whole) {
		struct piece *p = &td->p[td->n];
		td->found = xhci_look(x, &c, &p->trb);
		if (td->found != XHCI_FOUND || (td->n && !in_td(&p->trb)))
			break;
		uint32_t len = trb_len(&p->trb);
		p->here = c;
		p->skip = (uint32_t)min_u64(skip, len);
		p->len = (uint32_t)min_u64(len - p->skip, XHCI_BUF - td->total);
		skip = 0;
		td->total += p->len;
		td->whole = !(p->trb.control & TRB_CHAIN) && p->skip + p->len == len;
		td->n++;
		c.at += TRB_SIZE;
	}
	if (single && td->total > e->max)
		trim(td, e->max);
	else if (!td->whole)
		trim(td, td->total - td->total % e->max);
}

/* ---- memory ---- */

static bool from_memory(struct xhci *x, struct td *td)
{
	uint32_t at = 0;

	for (int i = 0; i < td->n; at += td->p[i++].len) {
		const struct piece *p = &td->p[i];
		uint8_t now[8];
		st64(now, p->trb.param);
		if (p->trb.control & TRB_IMMEDIATE && p->skip + p->len <= 8)
			memcpy(x->buf + at, now + p->skip, p->len);
		else if (p->len && !xhci_read(x, p->trb.param + p->skip, x->buf + at, p->len))
			return false;
	}
	return true;
}

static bool to_memory(struct xhci *x, struct td *td, uint32_t n)
{
	uint32_t at = 0;

	for (int i = 0; i < td->n && at < n; i++) {
		const struct piece *p = &td->p[i];
		uint32_t k = (uint32_t)min_u64(p->len, n - at);
		if (k && !xhci_write(x, p->trb.param + p->skip, x->buf + at, k))
			return false;
		at += k;
	}
	return true;
}

/* ---- telling the guest ---- */

static void tell(struct xhci *x, unsigned slot, unsigned dci, const struct xhci_trb *t, uint64_t at, enum xhci_code code,
		 uint32_t left)
{
	struct xhci_ep *e = &x->slot[slot].ep[dci];
	bool data = trb_type(t) == T_EVENT_DATA;
	struct xhci_trb ev = {
		data ? t->param : at, (uint32_t)code << 24 | ((data ? e->edtla : left) & 0xffffff),
		(uint32_t)slot << 24 | dci << 16 | (uint32_t)E_TRANSFER << 10 | (data ? TRB_EVENT_DATA : 0) |
			(t->control & TRB_BEI),
	};

	if (data)
		e->edtla = 0;
	xhci_event(x, t->status >> 22 & 0x3ff, &ev);
}

static void move_to(struct xhci_ep *e, const struct xhci_cursor *c)
{
	e->at = c->at;
	e->cycle = c->cycle;
	e->done = 0;
}

/* On behind a TRB; links are followed when the next one is looked at. */
static void pass(struct xhci_ep *e, const struct xhci_cursor *c, const struct xhci_trb *t)
{
	move_to(e, &(struct xhci_cursor){ c->at + TRB_SIZE, c->cycle });
	if (!(t->control & TRB_CHAIN))
		e->td_done = e->edtla = 0;
}

static void stop_with(struct xhci *x, unsigned slot, unsigned dci, const struct xhci_trb *t, enum xhci_code code)
{
	struct xhci_ep *e = &x->slot[slot].ep[dci];

	e->state = code == CC_TRB ? EP_ERROR : EP_HALTED;
	tell(x, slot, dci, t, e->at, code, trb_len(t) - (uint32_t)min_u64(e->done, trb_len(t)));
	xhci_ep_context(x, slot, dci);
}

/* The rest of a TD behind a short packet; told: the guest knows already. */
static void skip_rest(struct xhci *x, unsigned slot, unsigned dci, struct xhci_cursor c, bool told)
{
	struct xhci_ep *e = &x->slot[slot].ep[dci];
	struct xhci_trb t;

	for (int i = 0; i < MAX_SKIP; i++) {
		if (xhci_look(x, &c, &t) != XHCI_FOUND || !in_td(&t))
			break;
		bool data = trb_type(&t) == T_EVENT_DATA;
		if (data || (!told && t.control & TRB_IOC)) {
			tell(x, slot, dci, &t, c.at, CC_SHORT, trb_len(&t));
			told |= !data;
		}
		c.at += TRB_SIZE;
		if (!(t.control & TRB_CHAIN))
			break;
	}
	move_to(e, &c);
	e->td_done = e->edtla = 0;
}

/* n bytes moved; is_short: and the transfer is over. */
static void advance(struct xhci *x, unsigned slot, unsigned dci, struct td *td, uint32_t n, bool is_short)
{
	struct xhci_ep *e = &x->slot[slot].ep[dci];

	for (int i = 0; i < td->n; i++) {
		struct piece *p = &td->p[i];
		uint32_t k = (uint32_t)min_u64(p->len, n), len = trb_len(&p->trb);
		n -= k;
		e->edtla += k;
		e->td_done += k;
		move_to(e, &p->here);
		e->done = p->skip + k;
		if (e->done < len) {
			if (!is_short)
				return;
			bool told = p->trb.control & (TRB_ISP | TRB_IOC);
			if (told)
				tell(x, slot, dci, &p->trb, p->here.at, CC_SHORT, len - e->done);
			struct xhci_cursor next = { p->here.at + TRB_SIZE, p->here.cycle };
			if (p->trb.control & TRB_CHAIN)
				skip_rest(x, slot, dci, next, told);
			else
				pass(e, &p->here, &p->trb);
			return;
		}
		if (trb_type(&p->trb) == T_EVENT_DATA || p->trb.control & TRB_IOC)
			tell(x, slot, dci, &p->trb, p->here.at, CC_SUCCESS, 0);
		pass(e, &p->here, &p->trb);
	}
}

/* ---- packets ---- */

static enum usb_result transact(struct xhci *x, const struct xhci_slot *s, unsigned dci, enum usb_pid pid, uint32_t len,
				uint32_t *done)
{
	struct usb_dev *d = xhci_device(x, s);
	struct usb_packet p = { pid, (uint8_t)(dci / 2), x->buf, len, 0 };
	enum usb_result r = d ? usb_transact(d, &p) : USB_GONE;

	*done = p.done;
	return r;
}

static bool is_in(const struct xhci_ep *e, unsigned dci, const struct xhci_trb *t)
{
	if (dci > 1)
		return dci & 1;
	if (trb_type(t) == T_DATA || trb_type(t) == T_STATUS)
		return t->control & TRB_IN;
	return e->in;
}

/* Maps what the device answered; false: the endpoint waits or has stopped. */
static bool went_well(struct xhci *x, unsigned slot, unsigned dci, const struct xhci_trb *t, enum usb_result r)
{
	switch (r) {
	case USB_OK:	return true;
	case USB_NAK:	return false;
	case USB_STALL:	stop_with(x, slot, dci, t, CC_STALL); return false;
	case USB_BABBLE: stop_with(x, slot, dci, t, CC_BABBLE); return false;
	default:	stop_with(x, slot, dci, t, CC_TRANSACTION); return false;
	}
}

static bool data(struct xhci *x, unsigned slot, unsigned dci, const struct xhci_trb *first)
{
	struct xhci_slot *s = &x->slot[slot];
	struct xhci_ep *e = &s->ep[dci];
	struct td td;
	uint32_t done;

	td.in = is_in(e, dci, first);
	e->in = td.in;
	gather(x, e, &td);
	if (!td.n || td.found == XHCI_BROKEN || (!td.total && !td.whole)) {
		log_guest("xhci: a transfer that cannot be carried out at %#llx", (unsigned long long)e->at);
		stop_with(x, slot, dci, first, CC_TRB);
		return false;
	}
	if (!td.total && e->td_done) {	/* nothing but TRBs without memory is left of the TD */
		advance(x, slot, dci, &td, 0, false);
		return true;
	}
	if (!td.in && !from_memory(x, &td))
		return false;
	enum usb_result r = transact(x, s, dci, td.in ? USB_IN : USB_OUT, td.total, &done);
	if (td.in && !to_memory(x, &td, done))
		return false;
	if (r == USB_OK || done)
		advance(x, slot, dci, &td, done, r == USB_OK && done < td.total);
	return went_well(x, slot, dci, first, r);
}

/* ---- the stages of a control transfer ---- */

static bool stage(struct xhci *x, unsigned slot, const struct xhci_trb *t)
{
	struct xhci_ep *e = &x->slot[slot].ep[1];
	bool setup = trb_type(t) == T_SETUP;
	struct xhci_cursor here = { e->at, e->cycle };
	uint32_t done;

	if (setup)
		st64(x->buf, t->param);
	enum usb_pid pid = setup ? USB_SETUP : is_in(e, 1, t) ? USB_IN : USB_OUT;
	if (!went_well(x, slot, 1, t, transact(x, &x->slot[slot], 1, pid, setup ? 8 : 0, &done)))
		return false;
	if (t->control & TRB_IOC)
		tell(x, slot, 1, t, e->at, CC_SUCCESS, 0);
	pass(e, &here, t);
	return true;
}

/* TRBs that move nothing. */
static bool nothing(struct xhci *x, unsigned slot, unsigned dci, const struct xhci_trb *t)
{
	struct xhci_ep *e = &x->slot[slot].ep[dci];
	struct xhci_cursor here = { e->at, e->cycle };

	if (trb_type(t) == T_EVENT_DATA || t->control & TRB_IOC)
		tell(x, slot, dci, t, e->at, CC_SUCCESS, 0);
	pass(e, &here, t);
	return true;
}

bool xhci_transfer(struct xhci *x, unsigned slot, unsigned dci)
{
	struct xhci_ep *e = &x->slot[slot].ep[dci];
	struct xhci_cursor c = { e->at, e->cycle };
	struct xhci_trb t;

	if (e->state != EP_RUNNING)
		return false;
	enum xhci_found found = xhci_look(x, &c, &t);
	if (found == XHCI_BROKEN) {
		log_guest("xhci: a transfer ring leads nowhere at %#llx", (unsigned long long)c.at);
		e->state = EP_ERROR;
		xhci_ep_context(x, slot, dci);
		return false;
	}
	if (c.at != e->at)
		move_to(e, &c);
	if (found == XHCI_EMPTY || !xhci_room(x, t.status >> 22 & 0x3ff))
		return false;
	switch (trb_type(&t)) {
	case T_NORMAL: case T_DATA: case T_ISOCH:
		return data(x, slot, dci, &t);
	case T_SETUP: case T_STATUS:
		if (dci == 1)
			return stage(x, slot, &t);
		break;
	case T_EVENT_DATA: case T_NOOP:
		return nothing(x, slot, dci, &t);
	}
	log_guest("xhci: no transfer of type %u", trb_type(&t));
	stop_with(x, slot, dci, &t, CC_TRB);
	return false;
}

void xhci_report_stopped(struct xhci *x, unsigned slot, unsigned dci)
{
	struct xhci_ep *e = &x->slot[slot].ep[dci];
	struct xhci_cursor c = { e->at, e->cycle };
	struct xhci_trb t;

	if (xhci_look(x, &c, &t) == XHCI_FOUND)
		tell(x, slot, dci, &t, c.at, CC_STOPPED, trb_len(&t) - (uint32_t)min_u64(e->done, trb_len(&t)));
}
