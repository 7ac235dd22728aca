/*
 * xHCI commands: slots and the contexts in memory that describe devices and endpoints.
 *
 *	device context	32 bytes each: slot, endpoint 1 (both ways), 2 out, 2 in, ...
 *	input context	the same behind 32 bytes that say which are dropped and added
 *
 * Of an endpoint the guest reads back its state and dequeue pointer, which are written
 * when the state changes; what an endpoint is comes from the input context only once.
 *
 * Not modelled: 64-byte contexts, streams, bandwidth accounting, forced events and
 * headers, latency tolerance.
 * Source: xHCI 1.1, 4.6 (commands), 6.2 (contexts), 6.4.3 (command TRBs).
 */
#include "hw/usb/xhci_priv.h"

#include <string.h>

#define CONTEXT		32u
#define ADDED_SLOT	1u
#define ADDED_EP0	2u
#define BIT_BSR		(1u << 9)	/* Address Device: do not send SET_ADDRESS */
#define BIT_DC		(1u << 9)	/* Configure Endpoint: deconfigure */
#define NEC_FIRMWARE	0x3021u		/* the revision drivers see */

/* ---- contexts ---- */

struct context {
	uint32_t w[8];
};

static bool get_context(struct xhci *x, uint64_t at, struct context *c)
{
	uint8_t b[CONTEXT];

	if (!xhci_read(x, at, b, CONTEXT))
		return false;
	for (int i = 0; i < 8; i++)
		c->w[i] = ld32(b + 4 * i);
	return true;
}

static void put_context(struct xhci *x, uint64_t at, const struct context *c)
{
	uint8_t b[CONTEXT];

	for (int i = 0; i < 8; i++)
		st32(b + 4 * i, c->w[i]);
	xhci_write(x, at, b, CONTEXT);
}

/* The slot's own words of its context. */
static void slot_context(struct xhci *x, unsigned n, const struct context *from, unsigned entries)
{
	struct xhci_slot *s = &x->slot[n];
	struct context c;

	if (from)
		c = *from;
	else if (!get_context(x, s->context, &c))
		return;
	if (entries)
		c.w[0] = (c.w[0] & 0x07ffffff) | entries << 27;
	c.w[3] = (uint32_t)s->state << 27 | (s->state >= SLOT_ADDRESSED ? n : 0);
	put_context(x, s->context, &c);
}

static void ep_words(const struct xhci_ep *e, struct context *c)
{
	c->w[0] = (c->w[0] & ~7u) | e->state;
	c->w[2] = (uint32_t)e->at | (e->cycle & 1);
	c->w[3] = (uint32_t)(e->at >> 32);
}

void xhci_ep_context(struct xhci *x, unsigned n, unsigned dci)
{
	struct xhci_slot *s = &x->slot[n];
	struct context c;

	if (!get_context(x, s->context + CONTEXT * dci, &c))
		return;
	ep_words(&s->ep[dci], &c);
	put_context(x, s->context + CONTEXT * dci, &c);
}

/* An endpoint begins as an input context says; false: nonsense. */
static bool ep_begin(struct xhci *x, unsigned n, unsigned dci, struct context *c)
{
	struct xhci_slot *s = &x->slot[n];
	struct xhci_ep *e = &s->ep[dci];
	unsigned type = c->w[1] >> 3 & 7, max = c->w[1] >> 16;
	bool in = dci & 1;

	if (!type || (dci == 1) != (type == EP_CONTROL) || (type != EP_CONTROL && in != (type > EP_CONTROL)) ||
	    !max || max > 1024)
		return false;
	*e = (struct xhci_ep){
		.at = (ld64((uint8_t *)&c->w[2])) & ~15ull, .cycle = c->w[2] & 1,
		.max = (uint16_t)max, .type = (uint8_t)type, .state = EP_RUNNING,
	};
	ep_words(e, c);
	put_context(x, s->context + CONTEXT * dci, c);
	return true;
}

static void ep_disable(struct xhci *x, unsigned n, unsigned dci)
{
	struct xhci_slot *s = &x->slot[n];

	if (s->ep[dci].state == EP_DISABLED)
		return;
	s->ep[dci] = (struct xhci_ep){ 0 };
	s->due &= ~(1u << dci);
	xhci_ep_context(x, n, dci);
}

struct usb_dev *xhci_device(struct xhci *x, const struct xhci_slot *s)
{
	struct usb_port *p = s->port && s->port <= xhci_n_ports(x) ? &x->ports[s->port - 1] : NULL;

	return p && p->enabled ? usb_route(p, s->route) : NULL;
}

/* ---- slots ---- */

static enum xhci_code enable_slot(struct xhci *x, unsigned *n)
{
	for (*n = 1; *n <= min_u64(x->config & 0xff, XHCI_SLOTS); ++*n)
		if (!x->slot[*n].enabled) {
			x->slot[*n] = (struct xhci_slot){ .enabled = true };
			return CC_SUCCESS;
		}
	*n = 0;
	return CC_NO_SLOTS;
}

static enum xhci_code disable_slot(struct xhci *x, unsigned n)
{
	if (x->slot[n].context) {
		x->slot[n].state = SLOT_ENABLED;
		slot_context(x, n, NULL, 0);
	}
	x->slot[n] = (struct xhci_slot){ 0 };
	return CC_SUCCESS;
}

static bool place_taken(const struct xhci *x, unsigned self, unsigned port, uint32_t route)
{
	for (unsigned i = 1; i <= XHCI_SLOTS; i++)
		if (i != self && x->slot[i].enabled && x->slot[i].port == port && x->slot[i].route == route)
			return true;
	return false;
}

/* Input contexts of slot and endpoint 0, as Address Device wants them. */
static enum xhci_code address_device(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
	struct context control, slot, ep0;
	struct xhci_slot *s = &x->slot[n];
	uint64_t in = t->param & ~15ull;
	bool no_request = t->control & BIT_BSR;
	uint8_t b[8];

	if (!get_context(x, in, &control) || !get_context(x, in + CONTEXT, &slot) ||
	    !get_context(x, in + 2 * CONTEXT, &ep0) || !xhci_read(x, x->dcbaap + 8 * n, b, 8))
		return CC_PARAMETER;
	unsigned port = slot.w[1] >> 16 & 0xff;
	if ((control.w[1] & 3) != (ADDED_SLOT | ADDED_EP0) || !port || port > xhci_n_ports(x) ||
	    place_taken(x, n, port, slot.w[0] & 0xfffff))
		return CC_TRB;
	if (s->state != SLOT_ENABLED && (no_request || s->state != SLOT_DEFAULT))
		return CC_CONTEXT_STATE;
	s->context = ld64(b) & ~63ull;
	s->port = (uint8_t)port;
	s->route = slot.w[0] & 0xfffff;
	struct usb_dev *d = xhci_device(x, s);
	if (!d || (!no_request && !usb_request(d, 0, USB_SET_ADDRESS, (uint16_t)n, 0)))
		return CC_TRANSACTION;
	if (!ep_begin(x, n, 1, &ep0))
		return CC_PARAMETER;
	s->state = no_request ? SLOT_DEFAULT : SLOT_ADDRESSED;
	slot_context(x, n, &slot, 1);
	return CC_SUCCESS;
}

static enum xhci_code reset_device(struct xhci *x, unsigned n)
{
	struct xhci_slot *s = &x->slot[n];

	if (s->state < SLOT_ADDRESSED)
		return CC_CONTEXT_STATE;
	for (unsigned dci = 2; dci < 32; dci++)
		ep_disable(x, n, dci);
	s->state = SLOT_DEFAULT;
	slot_context(x, n, NULL, 1);
	return CC_SUCCESS;
}

/* ---- endpoints ---- */

static unsigned last_entry(const struct xhci_slot *s)
{
	unsigned dci = 31;

	while (dci > 1 && s->ep[dci].state == EP_DISABLED)
		dci--;
	return dci;
}

static enum xhci_code deconfigure(struct xhci *x, unsigned n)
{
	for (unsigned dci = 2; dci < 32; dci++)
		ep_disable(x, n, dci);
	x->slot[n].state = SLOT_ADDRESSED;
	slot_context(x, n, NULL, 1);
	return CC_SUCCESS;
}

static enum xhci_code configure(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
	struct xhci_slot *s = &x->slot[n];
	uint64_t in = t->param & ~15ull;
	struct context control, c;

	if (s->state < SLOT_ADDRESSED)
		return CC_CONTEXT_STATE;
	if (t->control & BIT_DC)
		return deconfigure(x, n);
	if (!get_context(x, in, &control))
		return CC_PARAMETER;
	if (control.w[0] & 3 || control.w[1] & ADDED_EP0)
		return CC_TRB;
	for (unsigned dci = 2; dci < 32; dci++) {
		if ((control.w[0] | control.w[1]) >> dci & 1)
			ep_disable(x, n, dci);
		if (!(control.w[1] >> dci & 1))
			continue;
		if (!get_context(x, in + CONTEXT * (dci + 1), &c) || !ep_begin(x, n, dci, &c))
			return CC_PARAMETER;
	}
	s->state = last_entry(s) > 1 ? SLOT_CONFIGURED : SLOT_ADDRESSED;
	slot_context(x, n, NULL, last_entry(s));
	return CC_SUCCESS;
}

/* A hub's properties and latencies in the slot context, the packet size of endpoint 0. */
static enum xhci_code evaluate(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
	struct xhci_slot *s = &x->slot[n];
	uint64_t in = t->param & ~15ull;
	struct context control, from, to;

	if (s->state < SLOT_DEFAULT)
		return CC_CONTEXT_STATE;
	if (!get_context(x, in, &control))
		return CC_PARAMETER;
	if (control.w[1] & ADDED_SLOT && get_context(x, in + CONTEXT, &from) && get_context(x, s->context, &to)) {
		to.w[1] = (to.w[1] & ~0xffffu) | (from.w[1] & 0xffff);
		to.w[2] = (to.w[2] & ~(0x3ffu << 22)) | (from.w[2] & 0x3ffu << 22);
		slot_context(x, n, &to, 0);
	}
	if (control.w[1] & ADDED_EP0 && get_context(x, in + 2 * CONTEXT, &from) &&
	    get_context(x, s->context + CONTEXT, &to)) {
		unsigned max = from.w[1] >> 16;
		if (!max || max > 1024)
			return CC_PARAMETER;
		s->ep[1].max = (uint16_t)max;
		to.w[1] = (to.w[1] & 0xffff) | max << 16;
		put_context(x, s->context + CONTEXT, &to);
	}
	return CC_SUCCESS;
}

static enum xhci_code reset_ep(struct xhci *x, unsigned n, unsigned dci)
{
	struct xhci_ep *e = &x->slot[n].ep[dci];

	if (e->state != EP_HALTED)
		return CC_CONTEXT_STATE;
	e->state = EP_STOPPED;
	xhci_ep_context(x, n, dci);
	return CC_SUCCESS;
}

static enum xhci_code stop_ep(struct xhci *x, unsigned n, unsigned dci)
{
	struct xhci_ep *e = &x->slot[n].ep[dci];

	if (e->state != EP_RUNNING)
		return CC_CONTEXT_STATE;
	xhci_report_stopped(x, n, dci);
	e->state = EP_STOPPED;
	x->slot[n].due &= ~(1u << dci);
	xhci_ep_context(x, n, dci);
	return CC_SUCCESS;
}

static enum xhci_code set_dequeue(struct xhci *x, unsigned n, unsigned dci, const struct xhci_trb *t)
{
	struct xhci_ep *e = &x->slot[n].ep[dci];

	if (e->state != EP_STOPPED && e->state != EP_ERROR)
		return CC_CONTEXT_STATE;
	e->at = t->param & ~15ull;
	e->cycle = t->param & 1;
	e->done = e->td_done = e->edtla = 0;
	e->state = EP_STOPPED;
	xhci_ep_context(x, n, dci);
	return CC_SUCCESS;
}

static enum xhci_code endpoint_command(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
	unsigned dci = t->control >> 16 & 31;

	if (!dci)
		return CC_TRB;
	if (x->slot[n].ep[dci].state == EP_DISABLED)
		return CC_EP_DISABLED;
	switch (trb_type(t)) {
	case C_RESET_EP:	return reset_ep(x, n, dci);
	case C_STOP_EP:		return stop_ep(x, n, dci);
	default:		return set_dequeue(x, n, dci, t);
	}
}

/* Every port has most of its bandwidth left. */
static enum xhci_code port_bandwidth(struct xhci *x, const struct xhci_trb *t)
{
	uint8_t b[1 + 2 * XHCI_PORTS];

	memset(b, 90, sizeof(b));
	b[0] = 0;
	return xhci_write(x, t->param & ~15ull, b, 1 + xhci_n_ports(x)) ? CC_SUCCESS : CC_PARAMETER;
}

/* ---- the command ring ---- */

static enum xhci_code slot_command(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
	if (n < 1 || n > XHCI_SLOTS || !x->slot[n].enabled)
		return CC_SLOT_DISABLED;
	switch (trb_type(t)) {
	case C_DISABLE_SLOT:	return disable_slot(x, n);
	case C_ADDRESS:		return address_device(x, n, t);
	case C_CONFIGURE:	return configure(x, n, t);
	case C_EVALUATE:	return evaluate(x, n, t);
	case C_RESET_DEVICE:	return reset_device(x, n);
	default:		return endpoint_command(x, n, t);
	}
}

static void completed(struct xhci *x, uint64_t at, enum xhci_code code, unsigned n, unsigned type, uint32_t extra)
{
	struct xhci_trb ev = { at, (uint32_t)code << 24 | extra, (uint32_t)n << 24 | type << 10 };

	xhci_event(x, 0, &ev);
}

static void carry_out(struct xhci *x, uint64_t at, const struct xhci_trb *t)
{
	enum xhci_code code = CC_TRB;
	unsigned n = t->control >> 24;

	switch (trb_type(t)) {
	case C_ENABLE_SLOT:	code = enable_slot(x, &n); break;
	case C_NOOP:		code = CC_SUCCESS; break;
	case C_PORT_BANDWIDTH:	code = port_bandwidth(x, t); break;
	case C_NEC_FIRMWARE:
		if (ld16(x->pci.config + PCI_VENDOR) == 0x1033) {
			completed(x, at, CC_SUCCESS, n, E_NEC, NEC_FIRMWARE);
			return;
		}
		break;
	case C_DISABLE_SLOT: case C_ADDRESS: case C_CONFIGURE: case C_EVALUATE: case C_RESET_EP: case C_STOP_EP:
	case C_SET_DEQUEUE: case C_RESET_DEVICE:
		code = slot_command(x, n, t);
		break;
	default:
		log_guest("xhci: no command %u", trb_type(t));
	}
	completed(x, at, code, n, E_COMMAND, 0);
}

bool xhci_command(struct xhci *x)
{
	struct xhci_trb t;

	if (!x->ring_running || !xhci_room(x, 0))
		return false;
	struct xhci_cursor c = { x->ring_at, x->ring_cycle };
	enum xhci_found found = xhci_look(x, &c, &t);
	x->ring_at = c.at;
	x->ring_cycle = c.cycle;
	if (found == XHCI_BROKEN)
		xhci_host_error(x, "a command ring leads nowhere");
	if (found != XHCI_FOUND)
		return false;
	x->ring_at += TRB_SIZE;
	carry_out(x, c.at, &t);
	return true;
}

void xhci_ring_stop(struct xhci *x)
{
	if (!x->ring_running)
		return;
	x->ring_running = x->ring_due = false;
	completed(x, x->ring_at, CC_RING_STOPPED, 0, E_COMMAND, 0);
}
