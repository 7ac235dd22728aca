/*
 * USB hub: eight ports for low and full speed.
 *
 * The status-change endpoint tells which ports (bit 1 ..) have a change to acknowledge.
 *
 * Not modelled: power switching and over-current (ports are always powered), port
 * indicators, transaction translators (the hub runs at full speed).
 * Source: USB 2.0, 11.23 (descriptors), 11.24 (requests).
 */
#include "hw/usb/hub.h"

#include <string.h>

#include "hw/usb/usb.h"

#define N_PORTS		8u
#define MAX_DEPTH	5		/* hubs between a device and the root (4.1.1) */
#define EP_CHANGE	(1 | USB_DIR_IN)
#define DT_HUB		0x29

enum {	/* port features, 11.24.2 */
	PORT_CONNECTION = 0, PORT_ENABLE = 1, PORT_SUSPEND = 2, PORT_RESET = 4, PORT_POWER = 8,
	PORT_LOW_SPEED = 9, C_FIRST = 16, C_CONNECTION = 16, C_ENABLE = 17, C_SUSPEND = 18, C_RESET = 20, C_LAST = 20,
};

struct usb_hub {
	struct usb_dev usb;
	struct usb_port ports[N_PORTS];
	uint16_t status[N_PORTS], change[N_PORTS];	/* bits by feature number */
};

static struct usb_hub *hub_of(struct usb_dev *d)
{
	return (struct usb_hub *)d;
}

static void derive(struct usb_hub *h, unsigned i)
{
	h->ports[i].enabled = h->status[i] >> PORT_ENABLE & 1 && !(h->status[i] >> PORT_SUSPEND & 1);
}

static void changed(struct usb_hub *h, unsigned i, unsigned feature)
{
	derive(h, i);
	h->change[i] |= (uint16_t)(1u << (feature - C_FIRST));
	usb_ready(&h->usb, EP_CHANGE);
}

/* ---- ports ---- */

static void plug(struct usb_hub *h, unsigned i)
{
	const struct usb_dev *d = h->ports[i].dev;

	h->status[i] = (uint16_t)(1u << PORT_POWER | (d ? 1u << PORT_CONNECTION : 0) |
				  (d && d->speed == USB_LOW ? 1u << PORT_LOW_SPEED : 0));
	derive(h, i);
}

static void on_changed(struct usb_port *p)
{
	struct usb_hub *h = p->opaque;

	plug(h, p->number - 1);
	changed(h, p->number - 1, C_CONNECTION);
	usb_wake(&h->usb);
}

static void on_wake(struct usb_port *p)
{
	struct usb_hub *h = p->opaque;
	unsigned i = p->number - 1;

	if (h->status[i] >> PORT_SUSPEND & 1) {
		h->status[i] &= (uint16_t)~(1u << PORT_SUSPEND);
		changed(h, i, C_SUSPEND);
	}
	usb_wake(&h->usb);
}

static int set_port(struct usb_hub *h, unsigned i, unsigned feature)
{
	struct usb_dev *d = h->ports[i].dev;

	switch (feature) {
	case PORT_SUSPEND:
		if (h->status[i] >> PORT_ENABLE & 1)
			h->status[i] |= 1u << PORT_SUSPEND;
		break;
	case PORT_RESET:
		if (!d)
			break;
		usb_reset(d);
		plug(h, i);
		h->status[i] |= 1u << PORT_ENABLE;
		changed(h, i, C_RESET);
		break;
	case PORT_POWER:
		break;
	default:
		return -1;
	}
	derive(h, i);
	return 0;
}

static int clear_port(struct usb_hub *h, unsigned i, unsigned feature)
{
	if (feature >= C_FIRST && feature <= C_LAST) {
		h->change[i] &= (uint16_t)~(1u << (feature - C_FIRST));
		return 0;
	}
	switch (feature) {
	case PORT_ENABLE:
		h->status[i] &= (uint16_t)~(1u << PORT_ENABLE);
		break;
	case PORT_SUSPEND:
		if (h->status[i] >> PORT_SUSPEND & 1) {
			h->status[i] &= (uint16_t)~(1u << PORT_SUSPEND);
			changed(h, i, C_SUSPEND);
		}
		break;
	case PORT_POWER:
		break;
	default:
		return -1;
	}
	derive(h, i);
	return 0;
}

/* ---- requests ---- */

static int descriptor(uint8_t *p)
{
	static const uint8_t hub[] = {
		9 + (N_PORTS + 8) / 8 - 1, DT_HUB, N_PORTS,
		0x0a, 0x00,		/* no power switching, no over-current protection */
		1,			/* 2 ms until power is good */
		0,			/* no current of its own */
		0, 0,			/* all removable (9 bits) */
		0xff, 0xff,
	};

	memcpy(p, hub, sizeof(hub));
	p[0] = sizeof(hub);
	return sizeof(hub);
}

static int to_hub(const struct usb_setup *s, uint8_t *data)
{
	switch (s->request) {
	case USB_GET_STATUS:
		st32(data, 0);
		return 4;
	case USB_CLEAR_FEATURE: case USB_SET_FEATURE:
		return s->value <= 1 ? 0 : -1;
	case USB_GET_DESCRIPTOR:
		return descriptor(data);
	default:
		return -1;
	}
}

static int to_port(struct usb_hub *h, const struct usb_setup *s, uint8_t *data)
{
	unsigned i = (s->index & 0xff) - 1u;

	if (i >= N_PORTS)
		return -1;
	switch (s->request) {
	case USB_GET_STATUS:
		st16(data, h->status[i]);
		st16(data + 2, h->change[i]);
		return 4;
	case USB_SET_FEATURE:
		return set_port(h, i, s->value);
	case USB_CLEAR_FEATURE:
		return clear_port(h, i, s->value);
	default:
		return -1;
	}
}

static int hub_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
	if ((s->type & USB_TYPE_MASK) != USB_CLASS)
		return -1;
	switch (s->type & USB_TO_MASK) {
	case USB_TO_DEVICE:	return to_hub(s, data);
	case USB_TO_OTHER:	return to_port(hub_of(d), s, data);
	default:		return -1;
	}
}

static enum usb_result hub_data(struct usb_dev *d, struct usb_packet *p)
{
	struct usb_hub *h = hub_of(d);
	uint32_t bits = 0;

	for (unsigned i = 0; i < N_PORTS; i++)
		if (h->change[i])
			bits |= 2u << i;
	if (!bits)
		return USB_NAK;
	p->done = (uint32_t)min_u64(p->len, 2);
	for (uint32_t i = 0; i < p->done; i++)
		p->buf[i] = (uint8_t)(bits >> 8 * i);
	return USB_OK;
}

static void bus_reset(struct usb_dev *d)
{
	struct usb_hub *h = hub_of(d);

	for (unsigned i = 0; i < N_PORTS; i++) {
		if (h->ports[i].dev)
			usb_reset(h->ports[i].dev);
		plug(h, i);
		h->change[i] = h->ports[i].dev ? 1u << (C_CONNECTION - C_FIRST) : 0;
	}
}

/* ---- the device ---- */

static const struct usb_ep_desc eps[] = {
	{ EP_CHANGE, USB_INTERRUPT, { [USB_FULL] = 2 }, { [USB_FULL] = 255 } },
};
static const struct usb_if_desc ifs[] = {
	{ 9, 0, 0, NULL, 0, eps, ARRAY_LEN(eps) },
};
static const struct usb_desc desc = {
	.vendor = 0x0409, .product = 0x55aa, .release = 0x0101, .class = 9, .name = "USB Hub", .max0 = 8,
	.speeds = USB_SPEED(USB_FULL), .attributes = USB_ATTR_BUS | USB_ATTR_SELF | USB_ATTR_WAKE,
	.ifs = ifs, .n_ifs = ARRAY_LEN(ifs),
};
static const struct usb_class hub_class = {
	.desc = &desc, .reset = bus_reset, .control = hub_control, .data = hub_data,
};

static int depth(const struct usb_port *p)
{
	int n = 1;

	for (; p->hub && p->hub->port; p = p->hub->port)
		n++;
	return n;
}

static bool hub_init(void *dev, struct err *e)
{
	struct usb_hub *h = dev;

	if (!usb_attach(&h->usb, &hub_class, e))
		return false;
	if (depth(h->usb.port) > MAX_DEPTH)
		return err_set(e, "more than %d hubs in a row", MAX_DEPTH);
	for (unsigned i = 0; i < N_PORTS; i++) {
		h->ports[i] = (struct usb_port){
			.speeds = USB_SPEED(USB_LOW) | USB_SPEED(USB_FULL), .changed = on_changed,
			.wake = on_wake, .opaque = h,
		};
		usb_port_add(h->usb.bus, &h->ports[i], &h->usb, i + 1);
	}
	return true;
}

static void hub_fini(void *dev)
{
	struct usb_hub *h = dev;

	for (unsigned i = 0; i < N_PORTS; i++)
		usb_port_del(&h->ports[i]);
	usb_detach(&h->usb);
}

static void hub_reset(void *dev)
{
	usb_reset(dev);
}

static bool hub_loaded(void *dev, struct err *e)
{
	struct usb_hub *h = dev;

	for (unsigned i = 0; i < N_PORTS; i++)
		derive(h, i);
	return usb_loaded(&h->usb, e);
}

static const struct state hub_state[] = {
	STATE(usb_hub, status), STATE(usb_hub, change), USB_STATE, { 0 }
};

const struct dev_type usb_hub_type = {
	.name = "usb-hub", .bus = "usb", .help = "a hub with eight ports",
	.size = sizeof(struct usb_hub), .version = 1, .bus_props = usb_props, .state = hub_state,
	.init = hub_init, .fini = hub_fini, .reset = hub_reset, .loaded = hub_loaded,
};
