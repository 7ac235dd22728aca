/*
 * Buses, ports and packets.
 *
 * A control transfer is followed here token by token, as it is on the wire:
 *
 *	SETUP  --IN--->  PHASE_IN (answer is ready)	OUT: status, done
 *	       --OUT-->  PHASE_OUT (data collected)	IN: carried out, status
 *	       --none->  PHASE_OUT with no data
 *
 * Not modelled: data toggles and sequence numbers (nothing gets lost here), frame
 * timing, bus errors, isochronous devices.
 * Source: USB 2.0, 8.5.3 (control transfers), 9.1 (device states).
 */
#include "hw/usb/usb.h"

#include <stdlib.h>
#include <string.h>

enum { PHASE_IDLE, PHASE_IN, PHASE_OUT, PHASE_STALL };

const struct prop usb_props[] = {
	USB_PROPS, { 0 }
};
const struct state usb_state[] = {
	USB_STATE, { 0 }
};

const char *usb_speed_text(enum usb_speed s)
{
	static const char *const text[USB_NSPEEDS] = { "1.5", "12", "480", "5000" };

	return text[s];
}

/* ---- control transfers ---- */

static struct usb_setup parse(const uint8_t *b)
{
	return (struct usb_setup){ b[0], b[1], ld16(b + 2), ld16(b + 4), ld16(b + 6) };
}

static enum usb_result setup(struct usb_dev *d, struct usb_packet *p)
{
	int n = 0;

	if (p->len != sizeof(d->setup))
		return USB_STALL;
	memcpy(d->setup, p->buf, sizeof(d->setup));
	p->done = p->len;
	struct usb_setup s = parse(d->setup);
	bool in = s.type & USB_DIR_IN && s.length;
	if (in)
		n = usb_control(d, &s, d->data);
	d->phase = n < 0 || (!in && s.length > USB_DATA_MAX) ? PHASE_STALL : in ? PHASE_IN : PHASE_OUT;
	d->n_data = in && n > 0 && n < s.length ? (uint16_t)n : in && n <= 0 ? 0 : s.length;
	d->at_data = 0;
	return USB_OK;
}

static enum usb_result control_in(struct usb_dev *d, struct usb_packet *p)
{
	if (d->phase == PHASE_IN) {
		uint32_t n = (uint32_t)min_u64(p->len, d->n_data - d->at_data);
		memcpy(p->buf, d->data + d->at_data, n);
		d->at_data = (uint16_t)(d->at_data + n);
		p->done = n;
		return USB_OK;
	}
	if (d->phase != PHASE_OUT || d->at_data < d->n_data)
		return USB_STALL;
	struct usb_setup s = parse(d->setup);
	d->phase = PHASE_IDLE;
	return usb_control(d, &s, d->data) < 0 ? USB_STALL : USB_OK;
}

static enum usb_result control_out(struct usb_dev *d, struct usb_packet *p)
{
	if (d->phase == PHASE_IN) {
		d->phase = PHASE_IDLE;
		p->done = p->len;
		return USB_OK;
	}
	if (d->phase != PHASE_OUT || p->len > (uint32_t)(d->n_data - d->at_data))
		return USB_STALL;
	memcpy(d->data + d->at_data, p->buf, p->len);
	d->at_data = (uint16_t)(d->at_data + p->len);
	p->done = p->len;
	return USB_OK;
}

enum usb_result usb_transact(struct usb_dev *d, struct usb_packet *p)
{
	uint8_t addr = (uint8_t)(p->ep | (p->pid == USB_IN ? USB_DIR_IN : 0));

	p->done = 0;
	if (!d->port)
		return USB_GONE;
	if (p->ep == 0)
		return p->pid == USB_SETUP ? setup(d, p) : p->pid == USB_IN ? control_in(d, p) : control_out(d, p);
	if (p->pid == USB_SETUP || !usb_is_configured(d) || !usb_max_packet(d, addr))
		return USB_GONE;
	if (d->halted >> ((p->ep & 15) + (p->pid == USB_IN ? 16 : 0)) & 1)
		return USB_STALL;
	return d->class->data(d, p);
}

bool usb_request(struct usb_dev *d, uint8_t type, uint8_t request, uint16_t value, uint16_t index)
{
	uint8_t b[8] = { type, request };
	struct usb_packet p = { USB_SETUP, 0, b, sizeof(b), 0 };

	st16(b + 2, value);
	st16(b + 4, index);
	if (usb_transact(d, &p) != USB_OK)
		return false;
	p = (struct usb_packet){ USB_IN, 0, b, 0, 0 };
	return usb_transact(d, &p) == USB_OK;
}

/* ---- what devices tell ---- */

void usb_ready(struct usb_dev *d, uint8_t addr)
{
	if (d->port && d->port->bus->ready)
		d->port->bus->ready(d->port->bus->opaque, d, addr);
}

void usb_wake(struct usb_dev *d)
{
	if (d->port && d->may_wake && d->port->wake)
		d->port->wake(d->port);
}

/* ---- finding devices ---- */

static bool reachable(const struct usb_port *p)
{
	for (; p; p = p->hub ? p->hub->port : NULL)
		if (!p->enabled || (p->hub && !p->hub->port))
			return false;
	return true;
}

struct usb_dev *usb_find(const struct usb_bus *b, uint8_t addr)
{
	for (const struct usb_port *p = b->ports; p; p = p->next)
		if (p->dev && p->dev->addr == addr && reachable(p))
			return p->dev;
	return NULL;
}

static struct usb_port *port_of_hub(const struct usb_bus *b, const struct usb_dev *hub, unsigned number)
{
	for (struct usb_port *p = b->ports; p; p = p->next)
		if (p->hub == hub && p->number == number)
			return p;
	return NULL;
}

struct usb_dev *usb_route(struct usb_port *root, uint32_t route)
{
	struct usb_port *p = root;

	for (; p && route; route >>= 4)
		p = p->dev ? port_of_hub(p->bus, p->dev, route & 15) : NULL;
	return p ? p->dev : NULL;
}

/* ---- plugging ---- */

static bool fits(const struct usb_dev *d, const struct usb_port *p)
{
	return p->speeds & d->class->desc->speeds;
}

/*
 * A port by its name, if nothing is in its socket: two ports, one of them SuperSpeed,
 * may share one, and the device takes the faster it can.
 */
static struct usb_port *port_at(const struct usb_dev *d, const struct usb_bus *b, const char *path)
{
	struct usb_port *best = NULL;

	for (struct usb_port *p = b->ports; p; p = p->next) {
		if (strcmp(p->path, path))
			continue;
		if (p->dev)
			return NULL;
		if (fits(d, p) && (!best || p->speeds > best->speeds))
			best = p;
	}
	return best;
}

static struct usb_port *free_port(const struct usb_dev *d, const struct usb_bus *b)
{
	struct usb_port *found = NULL;

	if (d->want_port)
		return port_at(d, b, d->want_port);
	for (struct usb_port *p = b->ports; p && !found; p = p->next)
		found = p->hub ? NULL : port_at(d, b, p->path);
	return found;
}

static bool find_port(struct usb_dev *d, struct usb_port **port, struct err *e)
{
	struct machine *m = d->dev.m;
	bool any = false;

	*port = d->bus ? free_port(d, d->bus) : NULL;
	/* The oldest bus first: it stands last. */
	for (const struct backend *b = d->bus ? NULL : m->backends; b; b = b->next) {
		struct usb_port *p = strcmp(b->kind, "usb-bus") ? NULL : free_port(d, b->p);
		any = any || !strcmp(b->kind, "usb-bus");
		if (p)
			*port = p;
	}
	if (*port)
		return true;
	if (!d->bus && !any)
		return err_set(e, "there is no USB controller; add -usb or -device qemu-xhci");
	return d->want_port ? err_set(e, "USB port %s is taken, does not exist, or is too slow", d->want_port)
			    : err_set(e, "no free USB port; add -device usb-hub or another controller");
}

static enum usb_speed fastest(unsigned speeds)
{
	int s = USB_NSPEEDS - 1;

	while (s > 0 && !(speeds >> s & 1))
		s--;
	return (enum usb_speed)s;
}

bool usb_attach(struct usb_dev *d, const struct usb_class *c, struct err *e)
{
	struct usb_port *p;

	d->class = c;
	if (!find_port(d, &p, e))
		return false;
	d->bus = p->bus;
	d->port = p;
	d->speed = fastest(p->speeds & c->desc->speeds);
	p->dev = d;
	p->changed(p);
	return true;
}

void usb_boot_path(const struct usb_dev *d, const char *kind, char *buf)
{
	const char *at = d->port ? d->port->path : "";

	if (!*at)
		return;
	d->bus->owner->type->boot_path(d->bus->owner, buf);
	while (*at) {
		char *end;
		unsigned long port = strtoul(at, &end, 10);
		dev_boot_path_add(buf, "/%s@%lx", *end ? "hub" : kind, port);
		at = end + (*end == '.');
	}
}

void usb_detach(struct usb_dev *d)
{
	struct usb_port *p = d->port;

	d->port = NULL;
	if (!p)
		return;
	p->dev = NULL;
	p->changed(p);
}

void usb_reset(struct usb_dev *d)
{
	d->addr = d->config = 0;
	d->may_wake = false;
	d->halted = 0;
	d->phase = PHASE_IDLE;
	d->n_data = d->at_data = 0;
	if (d->class->reset)
		d->class->reset(d);
	if (d->class->configured)
		d->class->configured(d);
}

bool usb_loaded(struct usb_dev *d, struct err *e)
{
	if (d->addr > 127 || d->config > 1 || d->phase > PHASE_STALL || d->at_data > d->n_data ||
	    (d->n_data > USB_DATA_MAX && d->phase != PHASE_STALL))
		return err_set(e, "an impossible state of a USB device");
	if (d->class->configured)
		d->class->configured(d);
	return true;
}

/* ---- buses ---- */

void usb_bus_init(struct usb_bus *b, struct dev *owner)
{
	struct machine *m = owner->m;
	int n = 0;

	*b = (struct usb_bus){ .m = m, .owner = owner };
	do
		snprintf(b->names[0], sizeof(b->names[0]), "usb-bus.%d", n++);
	while (machine_find_backend(m, "usb-bus", b->names[0]));
	snprintf(b->names[1], sizeof(b->names[1]), "%.60s.0", owner->id);
	for (int i = 0; i < 2; i++)
		machine_add_backend(m, "usb-bus", b->names[i], b);
}

void usb_bus_fini(struct usb_bus *b)
{
	if (!b->m)
		return;
	for (int i = 0; i < 2; i++)
		machine_del_backend(b->m, "usb-bus", b->names[i]);
	while (b->ports)
		usb_port_del(b->ports);
	b->m = NULL;
}

void usb_port_add(struct usb_bus *b, struct usb_port *p, struct usb_dev *hub, unsigned number)
{
	struct usb_port **tail = &b->ports;

	p->bus = b;
	p->hub = hub;
	p->number = number;
	if (hub)
		snprintf(p->path, sizeof(p->path), "%.15s.%u", hub->port->path, number);
	else
		snprintf(p->path, sizeof(p->path), "%u", number);
	while (*tail)
		tail = &(*tail)->next;
	p->next = NULL;
	*tail = p;
}

void usb_port_del(struct usb_port *p)
{
	if (!p->bus)
		return;
	for (struct usb_port **q = &p->bus->ports; *q; q = &(*q)->next)
		if (*q == p) {
			*q = p->next;
			break;
		}
	if (p->dev) {
		p->dev->port = NULL;
		p->dev->bus = NULL;
		p->dev = NULL;
	}
	p->bus = NULL;
}
