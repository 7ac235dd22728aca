/*
 * virtio-serial: a controller of up to 31 byte streams, each a console or a port with a
 * name. Port 0 has queues 0 (to the guest) and 1 (from it), port n queues 2n+2 and 2n+3.
 * On queues 2 and 3 both sides tell each other which ports there are and who has one
 * open: messages of port u32, event u16, value u16, behind PORT_NAME the name.
 *
 * What the driver is to be told waits as bits until it has offered a buffer, so nothing
 * is lost. Bytes from the guest stay in its buffers while the stream is full.
 *
 * Not modelled: the size of consoles.
 * Source: Virtio 1.2, 5.3.
 */
#include <stdio.h>
#include <string.h>

#include "base/value.h"
#include "hw/virtio/virtio_serial_priv.h"

#define F_MULTIPORT	BIT(1)
#define F_EMERG_WRITE	BIT(2)

enum { C_MAX_PORTS = 4, C_EMERG_WRITE = 8, C_LEN = 12 };
enum { CONTROL_RX = 2, CONTROL_TX = 3 };
#define QUEUE_SIZE	128u
#define MESSAGE		8u
#define MAX_NAME	256u
#define CHUNK		4096u
#define BURST		(1u << 20)	/* bytes of a port at once */

/* 5.3.6.2 */
enum {
	DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME,
};

static struct virtio_serial *serial(struct virtio *v)
{
	return (struct virtio_serial *)v;
}

static unsigned port_of(unsigned q)
{
	return q < CONTROL_RX ? 0 : q / 2 - 1;
}

/* ---- telling the driver ---- */

static unsigned compose(const struct virtio_serial *s, unsigned nr, uint8_t what, uint8_t *m)
{
	const struct vserial_port *p = s->port[nr];
	static const struct { uint8_t what; uint16_t event; } events[] = {
		{ VSERIAL_TELL_REMOVE, DEVICE_REMOVE }, { VSERIAL_TELL_ADD, DEVICE_ADD },
		{ VSERIAL_TELL_CONSOLE, CONSOLE_PORT }, { VSERIAL_TELL_NAME, PORT_NAME },
		{ VSERIAL_TELL_OPEN, PORT_OPEN },
	};
	unsigned n = MESSAGE, i = 0;

	while (events[i].what != what)
		i++;
	st32(m, nr);
	st16(m + 4, events[i].event);
	st16(m + 6, what != VSERIAL_TELL_OPEN || vserial_host_open(p));
	if (what == VSERIAL_TELL_NAME) {
		size_t k = strnlen(p->name, MAX_NAME - 1);
		memcpy(m + MESSAGE, p->name, k);
		m[MESSAGE + k] = 0;
		n += (unsigned)k + 1;
	}
	return n;
}

static bool tell_one(struct virtio_serial *s, unsigned nr)
{
	uint8_t what = s->tell[nr] & (uint8_t)-s->tell[nr], m[MESSAGE + MAX_NAME];
	struct virtio *v = &s->v;

	/* Nobody is there any more of whom more than the end could be told. */
	if (!s->port[nr] && what != VSERIAL_TELL_REMOVE) {
		s->tell[nr] = 0;
		return true;
	}
	if (!virtq_pop(v, CONTROL_RX, &v->buf))
		return false;
	unsigned n = (unsigned)min_u64(compose(s, nr, what, m), v->buf.in_len);
	if (!vbuf_write(v, &v->buf, 0, m, n))
		return false;
	virtq_push(v, CONTROL_RX, &v->buf, n);
	s->tell[nr] &= (uint8_t)~what;
	return true;
}

static void tell_all(struct virtio_serial *s)
{
	struct virtio *v = &s->v;
	uint16_t was = v->q[CONTROL_RX].used_idx;

	if (v->n_queues <= CONTROL_RX || !virtio_running(v) || !v->q[CONTROL_RX].enabled)
		return;
	for (unsigned i = 0; i < s->max_ports; i++)
		while (s->tell[i])
			if (!tell_one(s, i) && !(virtq_ask(v, CONTROL_RX, true) && tell_one(s, i)))
				goto out;
out:
	if (v->q[CONTROL_RX].used_idx != was)
		virtq_interrupt(v, CONTROL_RX);
}

void vserial_tell(struct virtio_serial *s, unsigned nr, uint8_t what)
{
	if (!virtio_has(&s->v, F_MULTIPORT))
		return;
	s->tell[nr] |= what;
	if (!s->v.running)		/* else at its end */
		tell_all(s);
}

/* ---- what the driver tells ---- */

static void open_changed(struct virtio_serial *s, unsigned nr, bool open)
{
	struct vserial_port *p = s->port[nr];

	if (s->guest_open[nr] == open)
		return;
	s->guest_open[nr] = open;
	if (!vserial_is_console(p)) {
		struct value *data = val_dict();
		val_add_bool(data, "open", open);
		val_add_str(data, "id", p->dev.id);
		machine_event(p->dev.m, "VSERPORT_CHANGE", data);
	}
	if (open)
		vserial_port_changed(p);
}

static void port_message(struct virtio_serial *s, unsigned nr, unsigned event, unsigned value)
{
	const struct vserial_port *p = nr < s->max_ports ? s->port[nr] : NULL;

	if (!p) {
		log_guest("%s: a message about port %u, which is not there", s->v.pci.dev.id, nr);
		return;
	}
	if (event == PORT_READY && value)
		s->tell[nr] |= (uint8_t)((vserial_is_console(p) ? VSERIAL_TELL_CONSOLE : 0)
					 | (p->name ? VSERIAL_TELL_NAME : 0) | VSERIAL_TELL_OPEN);
	else if (event == PORT_OPEN)
		open_changed(s, nr, value);
}

static bool take_message(struct virtio *v, unsigned q)
{
	struct virtio_serial *s = serial(v);
	uint8_t m[MESSAGE];

	if (v->buf.out_len < MESSAGE)
		return virtio_broken(v, "a control message that is too short");
	if (!vbuf_read(v, &v->buf, 0, m, MESSAGE))
		return false;
	virtq_push(v, q, &v->buf, 0);
	if (ld16(m + 4) == DEVICE_READY) {
		for (unsigned i = 0; ld16(m + 6) && i < s->max_ports; i++)
			if (s->port[i])
				s->tell[i] |= VSERIAL_TELL_ADD;
	} else {
		port_message(s, ld32(m), ld16(m + 4), ld16(m + 6));
	}
	return true;
}

/* ---- data ---- */

bool vserial_listens(const struct virtio_serial *s, unsigned nr)
{
	const struct virtio *v = &s->v;

	return virtio_running(v) && v->q[vserial_rx(nr)].enabled && !v->running
		&& (s->guest_open[nr] || !virtio_has(v, F_MULTIPORT));
}

/* The rest of the buffer, as far as the stream takes it; nobody there: it vanishes. */
static bool send(struct virtio *v, unsigned q)
{
	struct virtio_serial *s = serial(v);
	unsigned nr = port_of(q);
	struct vserial_port *p = nr < s->max_ports ? s->port[nr] : NULL;
	uint64_t end = v->buf.out_len, stop = s->sent[nr] + BURST;
	uint8_t bytes[CHUNK];

	while (p && p->chr && vserial_host_open(p) && s->sent[nr] < end) {
		if (s->sent[nr] >= stop || chr_full(p->chr)) {
			virtq_unpop(v, q, &v->buf);
			if (s->sent[nr] >= stop)
				virtio_serve_later(v, q);
			return false;
		}
		uint64_t n = min_u64(end - s->sent[nr], CHUNK);
		if (!vbuf_read(v, &v->buf, s->sent[nr], bytes, n))
			return false;
		s->sent[nr] += n;
		chr_write(p->chr, bytes, n);
	}
	s->sent[nr] = 0;
	virtq_push(v, q, &v->buf, 0);
	return true;
}

/* What the controller was too busy for. */
static void catch_up(struct virtio_serial *s)
{
	s->v.running = false;
	tell_all(s);
	for (unsigned i = 0; i < s->max_ports; i++)
		if (s->port[i] && s->port[i]->room_asked)
			vserial_port_changed(s->port[i]);
}

static void serial_run(struct virtio *v, unsigned q)
{
	struct virtio_serial *s = serial(v);

	if (q == CONTROL_RX)
		virtq_ask(v, q, false);		/* tell_all() asks when it runs out */
	else if (q == CONTROL_TX)
		virtio_serve(v, q, take_message);
	else if (q & 1)
		virtio_serve(v, q, send);
	else if (s->port[port_of(q)])
		s->port[port_of(q)]->room_asked = true;
	catch_up(s);
}

/* ---- life ---- */

static void fill_config(struct virtio_serial *s)
{
	memset(s->v.config, 0, C_LEN);
	st32(s->v.config + C_MAX_PORTS, s->max_ports);
}

/* A byte for the console, from who has no queues (yet). */
static void config_written(struct virtio *v, unsigned off, unsigned n)
{
	struct virtio_serial *s = serial(v);
	struct vserial_port *p = s->port[0];
	uint8_t byte = v->config[C_EMERG_WRITE];

	(void)n;
	fill_config(s);
	if (off == C_EMERG_WRITE && p)
		chr_write(p->chr, &byte, 1);
}

static void class_reset(struct virtio *v)
{
	struct virtio_serial *s = serial(v);

	for (unsigned i = 0; i < s->max_ports; i++)
		if (s->port[i])
			open_changed(s, i, false);
	memset(s->guest_open, 0, sizeof(s->guest_open));
	memset(s->tell, 0, sizeof(s->tell));
	memset(s->sent, 0, sizeof(s->sent));
}

static const struct virtio_class serial_class = {
	.id = 3, .legacy_id = 0x1003, .pci_class = 0x078000, .features = F_EMERG_WRITE,
	.queue_size = QUEUE_SIZE, .config_len = C_LEN, .run = serial_run, .reset = class_reset,
	.config_written = config_written,
};

static bool serial_init(void *dev, struct err *e)
{
	struct virtio_serial *s = dev;
	bool many = s->max_ports > 1;

	if (!s->max_ports || s->max_ports > VSERIAL_MAX_PORTS)
		return err_set(e, "max_ports=%u: there may be 1 to %u", s->max_ports, VSERIAL_MAX_PORTS);
	s->v.n_queues = many ? vserial_tx(s->max_ports - 1) + 1 : CONTROL_RX;
	fill_config(s);
	if (!virtio_init(&s->v, &serial_class, many ? F_MULTIPORT : 0, e))
		return false;
	snprintf(s->bus, sizeof(s->bus), "%.60s.0", s->v.pci.dev.id);
	machine_add_backend(s->v.pci.dev.m, VSERIAL_BUS, s->bus, s);
	return true;
}

/* Ports that are there stay without a controller. */
static void serial_fini(void *dev)
{
	struct virtio_serial *s = dev;

	for (unsigned i = 0; i < VSERIAL_MAX_PORTS; i++)
		if (s->port[i]) {
			s->port[i]->attached = false;
			s->port[i]->bus = NULL;
		}
	if (s->bus[0])
		machine_del_backend(s->v.pci.dev.m, VSERIAL_BUS, s->bus);
	if (s->v.class)
		virtio_fini(&s->v);
}

static void serial_reset(void *dev)
{
	virtio_reset(dev);
}

static bool serial_loaded(void *dev, struct err *e)
{
	struct virtio_serial *s = dev;

	fill_config(s);
	for (unsigned i = 0; i < VSERIAL_MAX_PORTS; i++) {
		s->guest_open[i] = s->guest_open[i] && s->port[i];
		s->tell[i] &= VSERIAL_TELL_REMOVE | VSERIAL_TELL_ADD | VSERIAL_TELL_CONSOLE | VSERIAL_TELL_NAME | VSERIAL_TELL_OPEN;
		if (!s->port[i] || !s->port[i]->name)
			s->tell[i] &= (uint8_t)~VSERIAL_TELL_NAME;
		/* Somebody else may be at the other end now. */
		if (s->port[i] && s->guest_open[i] && virtio_has(&s->v, F_MULTIPORT))
			s->tell[i] |= VSERIAL_TELL_OPEN;
	}
	return virtio_loaded(&s->v, e);
}

static const struct prop serial_props[] = {
	PROP(U32, virtio_serial, max_ports, "max_ports", VSERIAL_MAX_PORTS, "how many ports there may be, 1 to 31"),
	{ 0 }
};
static const struct state serial_state[] = {
	STATE(virtio_serial, tell), STATE(virtio_serial, guest_open), STATE(virtio_serial, sent), { 0 }
};

const struct dev_type virtio_serial_type = {
	.name = "virtio-serial-pci", .alias = "virtio-serial", .bus = "pci",
	.help = "a controller for virtconsole and virtserialport",
	.size = sizeof(struct virtio_serial), .version = 1, .props = serial_props, .state = serial_state,
	.bus_props = virtio_props, .bus_state = virtio_state,
	.init = serial_init, .fini = serial_fini, .reset = serial_reset, .loaded = serial_loaded,
};

const struct dev_type virtio_serial_bus_type = {
	.name = "virtio-serial-device", .bus = "virtio-bus", .help = "a controller for virtconsole and virtserialport",
	.size = sizeof(struct virtio_serial), .version = 1, .props = serial_props, .state = serial_state,
	.bus_props = virtio_bus_props, .bus_state = virtio_bus_state,
	.init = serial_init, .fini = serial_fini, .reset = serial_reset, .loaded = serial_loaded,
};
