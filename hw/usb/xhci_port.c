/*
 * xHCI root ports: PORTSC and its changes.
 *
 * A USB 3 socket is two ports, one for USB 2 speeds and one for SuperSpeed, which a
 * device's choice of speed tells apart (usb_attach()). SuperSpeed links train by
 * themselves, USB 2 ports become enabled by a reset.
 *
 * Not modelled: link power management (U1, U2 store), over-current, compliance mode,
 * switching off a port's power.
 * Source: xHCI 1.1, 4.19 (ports), 5.4.8 (PORTSC).
 */
#include "hw/usb/xhci_priv.h"

enum {
	SC_CONNECT = 1 << 0, SC_ENABLED = 1 << 1, SC_RESET = 1 << 4, SC_POWER = 1 << 9, SC_LWS = 1 << 16,
	SC_CSC = 1 << 17, SC_PEC = 1 << 18, SC_WRC = 1 << 19, SC_OCC = 1 << 20, SC_PRC = 1 << 21, SC_PLC = 1 << 22,
	SC_CEC = 1 << 23, SC_WAKES = 7 << 25,
	SC_CHANGES = SC_CSC | SC_PEC | SC_WRC | SC_OCC | SC_PRC | SC_PLC | SC_CEC,
};
#define SC_WARM_RESET	(1u << 31)
#define LINK_SHIFT	5
#define SPEED_SHIFT	10
enum { LINK_U0 = 0, LINK_U3 = 3, LINK_DISABLED = 4, LINK_DETECT = 5, LINK_POLLING = 7, LINK_RESUME = 15 };

static bool is_super(const struct xhci *x, unsigned i)
{
	return i >= x->n_ports2;
}

static unsigned link_of(uint32_t sc)
{
	return sc >> LINK_SHIFT & 15;
}

static void set_link(struct xhci *x, unsigned i, unsigned state)
{
	x->portsc[i] = (x->portsc[i] & ~(15u << LINK_SHIFT)) | state << LINK_SHIFT;
}

static void derive(struct xhci *x, unsigned i)
{
	x->ports[i].enabled = x->portsc[i] & SC_ENABLED && link_of(x->portsc[i]) == LINK_U0;
}

void xhci_ports_derive(struct xhci *x)
{
	for (unsigned i = 0; i < xhci_n_ports(x); i++)
		derive(x, i);
}

/* ---- changes ---- */

static void send_event(struct xhci *x, unsigned i)
{
	struct xhci_trb ev = {
		(uint64_t)(i + 1) << 24, (uint32_t)CC_SUCCESS << 24, (uint32_t)E_PORT << 10,
	};

	if (!xhci_running(x) || !xhci_room(x, 0))
		return;
	x->port_event[i] = false;
	xhci_event(x, 0, &ev);
}

void xhci_port_events(struct xhci *x)
{
	for (unsigned i = 0; i < xhci_n_ports(x); i++)
		if (x->port_event[i])
			send_event(x, i);
}

/* A change that was not there before makes an event (4.19.2). */
static void changed(struct xhci *x, unsigned i, uint32_t bits)
{
	bool had_any = x->portsc[i] & SC_CHANGES;

	derive(x, i);
	if (!(bits & ~x->portsc[i]))
		return;
	x->portsc[i] |= bits;
	x->sts |= STS_PORT;
	if (!had_any || !x->port_event[i]) {
		x->port_event[i] = true;
		send_event(x, i);
	}
}

/* What a port shows once its link is as far as it gets by itself. */
static void settle(struct xhci *x, unsigned i)
{
	static const uint8_t id[USB_NSPEEDS] = { [USB_FULL] = 1, [USB_LOW] = 2, [USB_HIGH] = 3, [USB_SUPER] = 4 };
	const struct usb_dev *d = x->ports[i].dev;
	uint32_t keep = x->portsc[i] & (SC_CHANGES | SC_WAKES);

	x->portsc[i] = keep | SC_POWER;
	set_link(x, i, !d ? LINK_DETECT : is_super(x, i) ? LINK_U0 : LINK_POLLING);
	if (d)
		x->portsc[i] |= SC_CONNECT | (is_super(x, i) ? SC_ENABLED : 0) | (uint32_t)id[d->speed] << SPEED_SHIFT;
	derive(x, i);
}

static void on_changed(struct usb_port *p)
{
	struct xhci *x = p->opaque;
	unsigned i = (unsigned)(p - x->ports);
	bool was_enabled = x->portsc[i] & SC_ENABLED;

	settle(x, i);
	changed(x, i, SC_CSC | (was_enabled && !p->dev && !is_super(x, i) ? SC_PEC : 0));
}

static void on_wake(struct usb_port *p)
{
	struct xhci *x = p->opaque;
	unsigned i = (unsigned)(p - x->ports);

	if (link_of(x->portsc[i]) != LINK_U3)
		return;
	set_link(x, i, LINK_RESUME);
	changed(x, i, SC_PLC);
}

/* ---- PORTSC ---- */

static void reset_port(struct xhci *x, unsigned i, bool warm)
{
	struct usb_dev *d = x->ports[i].dev;

	if (!d)
		return;
	usb_reset(d);
	settle(x, i);
	x->portsc[i] |= SC_ENABLED;
	set_link(x, i, LINK_U0);
	changed(x, i, SC_PRC | (warm && is_super(x, i) ? SC_WRC : 0));
}

static void link_write(struct xhci *x, unsigned i, unsigned to)
{
	unsigned from = link_of(x->portsc[i]);

	switch (to) {
	case LINK_U0:
		if (!(x->portsc[i] & SC_ENABLED) || from == LINK_U0)
			return;
		set_link(x, i, LINK_U0);
		changed(x, i, from == LINK_U3 || from == LINK_RESUME ? SC_PLC : 0);
		return;
	case LINK_U3:
		if (!(x->portsc[i] & SC_ENABLED))
			return;
		set_link(x, i, LINK_U3);
		break;
	case LINK_RESUME:
		if (from != LINK_U3 || is_super(x, i))
			return;
		set_link(x, i, LINK_RESUME);
		break;
	case LINK_DISABLED:
		if (!is_super(x, i))
			return;
		x->portsc[i] &= ~(uint32_t)(SC_ENABLED | SC_CONNECT);
		set_link(x, i, LINK_DISABLED);
		break;
	case LINK_DETECT:
		if (!is_super(x, i) || from != LINK_DISABLED)
			return;
		settle(x, i);
		changed(x, i, x->ports[i].dev ? SC_CSC : 0);
		return;
	}
	derive(x, i);
}

static void portsc_write(struct xhci *x, unsigned i, uint32_t v)
{
	x->portsc[i] &= ~(v & SC_CHANGES);
	x->portsc[i] = (x->portsc[i] & ~(uint32_t)SC_WAKES) | (v & SC_WAKES);
	if (v & (SC_RESET | SC_WARM_RESET)) {
		reset_port(x, i, v & SC_WARM_RESET);
		return;
	}
	if (v & SC_ENABLED && x->portsc[i] & SC_ENABLED) {	/* writing 1 disables */
		x->portsc[i] &= ~(uint32_t)SC_ENABLED;
		set_link(x, i, is_super(x, i) ? LINK_DISABLED : LINK_POLLING);
		derive(x, i);
	}
	if (v & SC_LWS)
		link_write(x, i, link_of(v));
}

uint32_t xhci_port_read(struct xhci *x, unsigned off)
{
	return off / 16 < xhci_n_ports(x) && off % 16 == 0 ? x->portsc[off / 16] : 0;
}

void xhci_port_write(struct xhci *x, unsigned off, uint32_t v)
{
	if (off / 16 < xhci_n_ports(x) && off % 16 == 0)
		portsc_write(x, off / 16, v);
}

/* ---- life ---- */

void xhci_ports_reset(struct xhci *x)
{
	for (unsigned i = 0; i < xhci_n_ports(x); i++) {
		x->portsc[i] = 0;
		x->port_event[i] = false;
		if (x->ports[i].dev)
			usb_reset(x->ports[i].dev);
		settle(x, i);
		if (x->ports[i].dev) {
			x->portsc[i] |= SC_CSC;
			x->port_event[i] = true;
		}
	}
}

void xhci_ports_init(struct xhci *x)
{
	unsigned slow = USB_SPEED(USB_LOW) | USB_SPEED(USB_FULL) | USB_SPEED(USB_HIGH);

	for (unsigned i = 0; i < xhci_n_ports(x); i++) {
		x->ports[i] = (struct usb_port){
			.speeds = is_super(x, i) ? USB_SPEED(USB_SUPER) : slow,
			.changed = on_changed, .wake = on_wake, .opaque = x,
		};
		usb_port_add(&x->bus, &x->ports[i], NULL, 1 + (is_super(x, i) ? i - x->n_ports2 : i));
	}
}
