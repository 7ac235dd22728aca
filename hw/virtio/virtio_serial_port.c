/*
 * Ports of a virtio-serial controller: virtconsole (hvc0 in a Linux guest) and
 * virtserialport (/dev/virtio-ports/NAME), each joined to a stream of the host.
 *
 * Bytes for the guest come one buffer at a time, when a program of the guest has the
 * port open; until then the host's end waits.
 *
 * Source: Virtio 1.2, 5.3.
 */
#include <string.h>

#include "hw/virtio/virtio_serial_priv.h"

#define ANY	0xffffffffu
#define MOST	4096u			/* bytes of input at once */

/* ---- input ---- */

static bool next_buffer(struct virtio *v, unsigned q)
{
	return virtq_pop(v, q, &v->buf) || (virtq_ask(v, q, true) && virtq_pop(v, q, &v->buf));
}

static int room(void *opaque)
{
	struct vserial_port *p = opaque;
	struct virtio_serial *s = p->bus;

	if (!p->attached)
		return 0;
	p->room_asked = s->v.running;
	if (!vserial_listens(s, p->nr) || !next_buffer(&s->v, vserial_rx(p->nr)))
		return 0;
	virtq_unpop(&s->v, vserial_rx(p->nr), &s->v.buf);
	if (!s->v.buf.in_len)
		virtio_broken(&s->v, "a receive buffer without room");
	return (int)min_u64(s->v.buf.in_len, MOST);
}

static void input(void *opaque, const uint8_t *bytes, int n)
{
	struct vserial_port *p = opaque;
	unsigned q = vserial_rx(p->nr);
	struct virtio *v = p->attached ? &p->bus->v : NULL;

	if (!v || !virtq_pop(v, q, &v->buf) || !vbuf_write(v, &v->buf, 0, bytes, (unsigned)n))
		return;
	virtq_push(v, q, &v->buf, (uint32_t)n);
	virtq_interrupt(v, q);
}

void vserial_port_changed(struct vserial_port *p)
{
	p->room_asked = false;
	virtq_ask(&p->bus->v, vserial_rx(p->nr), false);
	chr_accept_input(p->chr);
}

static void event(void *opaque, enum chr_event ev)
{
	struct vserial_port *p = opaque;

	if (!p->attached)
		return;
	if ((ev == CHR_OPENED || ev == CHR_CLOSED) && !vserial_is_console(p))
		vserial_tell(p->bus, p->nr, VSERIAL_TELL_OPEN);
	/* Bytes that wait leave, or there is nobody for them any more. */
	if (ev == CHR_ROOM || ev == CHR_CLOSED)
		virtio_run(&p->bus->v, vserial_tx(p->nr));
}

static const struct chr_front front = { room, input, event };

/* ---- finding a place ---- */

/* The oldest controller: it stands last. */
static struct virtio_serial *first_bus(struct machine *m)
{
	struct virtio_serial *found = NULL;

	for (const struct backend *b = m->backends; b; b = b->next)
		if (!strcmp(b->kind, VSERIAL_BUS))
			found = b->p;
	return found;
}

static bool choose_place(struct vserial_port *p, struct err *e)
{
	const struct virtio_serial *s = p->bus;
	uint32_t first = vserial_is_console(p) ? 0 : 1;

	if (p->nr == ANY)
		for (p->nr = first; p->nr < s->max_ports && s->port[p->nr]; p->nr++)
			;
	if (p->nr < first)
		return err_set(e, "nr=0: the first port of a controller is a console; say nr=1 or more");
	if (p->nr >= s->max_ports)
		return err_set(e, "%s has no free port; its max_ports is %u", s->bus, s->max_ports);
	return !s->port[p->nr] || err_set(e, "there is a port nr=%u of %s already", p->nr, s->bus);
}

static bool name_is_free(const struct vserial_port *p, struct err *e)
{
	for (unsigned i = 0; p->name && i < p->bus->max_ports; i++)
		if (p->bus->port[i] && p->bus->port[i]->name && !strcmp(p->bus->port[i]->name, p->name))
			return err_set(e, "%s has a port named '%s' already", p->bus->bus, p->name);
	return true;
}

/* ---- life ---- */

static bool init(void *dev, struct err *e)
{
	struct vserial_port *p = dev;

	if (!p->bus && !(p->bus = first_bus(p->dev.m)))
		return err_set(e, "there is no virtio-serial controller; add -device virtio-serial-pci before it");
	if (!choose_place(p, e) || !name_is_free(p, e))
		return false;
	if (p->chr) {
		struct chr *mine = chr_attach(p->chr, &front, p);

		if (!mine)
			return err_set(e, "chardev '%s' is in use", p->chr->id);
		p->chr = mine;
	}
	p->attached = true;
	p->bus->port[p->nr] = p;
	vserial_tell(p->bus, p->nr, VSERIAL_TELL_ADD);
	return true;
}

static void fini(void *dev)
{
	struct vserial_port *p = dev;
	struct virtio_serial *s = p->bus;

	if (p->chr && p->chr->front_opaque == p)
		chr_detach(p->chr);
	if (!p->attached)
		return;
	s->port[p->nr] = NULL;
	s->guest_open[p->nr] = 0;
	/* Of what was never there the end is not told; that of one before it may wait still. */
	bool known = !(s->tell[p->nr] & VSERIAL_TELL_ADD);
	s->tell[p->nr] &= VSERIAL_TELL_REMOVE;
	if (known)
		vserial_tell(s, p->nr, VSERIAL_TELL_REMOVE);
	/* What waits to be sent goes nowhere. */
	virtio_run(&s->v, vserial_tx(p->nr));
}

static const struct prop props[] = {
	PROP_REF(VSERIAL_BUS, vserial_port, bus, "bus", "the controller's bus, ID.0; default: the first controller's"),
	PROP(CHR, vserial_port, chr, "chardev", 0, "byte stream on the other end"),
	PROP_TEXT(vserial_port, name, "name", NULL, "what the guest finds the port by, as /dev/virtio-ports/NAME"),
	PROP(U32, vserial_port, nr, "nr", ANY, "the port's number; default: the first free one"),
	{ 0 }
};

#define TYPE(n, text) \
	{ .name = n, .bus = "virtio-serial", .help = text, .size = sizeof(struct vserial_port), .version = 1, \
	  .props = props, .init = init, .fini = fini }

const struct dev_type virtconsole_type = TYPE("virtconsole", "a console (hvc0 in a Linux guest)");
const struct dev_type virtserialport_type = TYPE("virtserialport", "a byte stream with a name");
