/*
 * Between the controller (virtio_serial.c: queues, and what is told about ports) and its
 * ports (virtio_serial_port.c: streams of the host).
 */
#ifndef HW_VIRTIO_VIRTIO_SERIAL_PRIV_H
#define HW_VIRTIO_VIRTIO_SERIAL_PRIV_H

#include "hw/core/chr.h"
#include "hw/virtio/virtio_serial.h"

#define VSERIAL_MAX_PORTS	31u
#define VSERIAL_BUS		"virtio-serial-bus"

struct vserial_port;

struct virtio_serial {
	struct virtio v;
	uint32_t max_ports;		/* property */
	char bus[64];
	struct vserial_port *port[VSERIAL_MAX_PORTS];
	/* What the driver is still to be told of each port, VSERIAL_TELL_ bits; the lowest first. */
	uint8_t tell[VSERIAL_MAX_PORTS];
	uint8_t guest_open[VSERIAL_MAX_PORTS];	/* a program of the guest has the port open */
	uint64_t sent[VSERIAL_MAX_PORTS];	/* bytes of the first waiting buffer that have left */
};

enum {
	VSERIAL_TELL_REMOVE = 1, VSERIAL_TELL_ADD = 2, VSERIAL_TELL_CONSOLE = 4, VSERIAL_TELL_NAME = 8,
	VSERIAL_TELL_OPEN = 16,
};

struct vserial_port {
	struct dev dev;
	struct virtio_serial *bus;	/* property; NULL: it is on none */
	struct chr *chr;		/* property */
	char *name;			/* property */
	uint32_t nr;			/* property */
	bool attached;
	bool room_asked;		/* for input, while the controller was busy */
};

static inline bool vserial_is_console(const struct vserial_port *p)
{
	return p->dev.type == &virtconsole_type;
}
/* Is somebody at the other end? A console always counts as connected. */
static inline bool vserial_host_open(const struct vserial_port *p)
{
	return vserial_is_console(p) || (p->chr && p->chr->open);
}

/* ---- for ports ---- */

/* Tell the driver, as soon as it has room. */
void vserial_tell(struct virtio_serial *s, unsigned nr, uint8_t what);
/* May bytes go to the guest? The queue for them. */
bool vserial_listens(const struct virtio_serial *s, unsigned nr);
static inline unsigned vserial_rx(unsigned nr) { return nr ? 2 * nr + 2 : 0; }
static inline unsigned vserial_tx(unsigned nr) { return vserial_rx(nr) + 1; }

/* ---- for the controller ---- */

/* The guest listens now, or has offered buffers. */
void vserial_port_changed(struct vserial_port *p);

#endif
