/*
 * USB between controllers and devices: ports, packets, and what all devices share.
 *
 * A controller owns a bus and its root ports, a hub owns ports, a device sits at a
 * port. A packet never outlives the call that carries it: a device that has nothing
 * to say yet (or no room) answers USB_NAK and calls usb_ready() once that has
 * changed, so nothing is in flight between calls and all state can be saved.
 *
 * A packet may be longer than the endpoint's packet size; it then stands for
 * several packets of the wire, whole ones but for the last of a transfer:
 *
 *	USB_OK	done == len	everything moved, the transfer may go on
 *		done < len	(IN) a short packet ended the transfer
 *	USB_NAK	done >= 0	so much moved, in whole packets; nothing more now
 *
 * A device embeds struct usb_dev first, names usb_props and usb_state in its
 * dev_type and calls
 *
 *	init	-> usb_attach()		fini	-> usb_detach() (also after a failed init)
 *	reset	-> usb_reset()		loaded	-> usb_loaded()
 *
 * Everything runs under the machine lock.
 *
 * Source: USB 2.0, chapters 5, 8, 9; USB 3.1, chapter 9.
 */
#ifndef HW_USB_USB_H
#define HW_USB_USB_H

#include "hw/core/dev.h"

enum usb_speed { USB_LOW, USB_FULL, USB_HIGH, USB_SUPER, USB_NSPEEDS };
#define USB_SPEED(s)	(1u << (s))

enum usb_pid { USB_OUT = 0xe1, USB_IN = 0x69, USB_SETUP = 0x2d };
enum usb_result { USB_OK, USB_NAK, USB_STALL, USB_BABBLE, USB_GONE };

struct usb_packet {
	enum usb_pid pid;
	uint8_t ep;			/* number, without the direction */
	uint8_t *buf;
	uint32_t len, done;
};

/* ---- descriptors: what a device says about itself ---- */

enum usb_ep_type { USB_CONTROL, USB_ISOCH, USB_BULK, USB_INTERRUPT };
#define USB_DIR_IN	0x80u

struct usb_ep_desc {
	uint8_t addr;			/* with USB_DIR_IN */
	uint8_t type;
	uint16_t max[USB_NSPEEDS];	/* packet size at each speed */
	uint8_t interval[USB_NSPEEDS];
	uint8_t burst;			/* SuperSpeed: packets in a burst, less one */
};

struct usb_if_desc {
	uint8_t class, subclass, protocol;
	const uint8_t *extra;		/* class descriptors, before the endpoints */
	uint8_t n_extra;
	const struct usb_ep_desc *eps;
	uint8_t n_eps;
};

struct usb_desc {
	uint16_t vendor, product, release;
	uint8_t class, subclass, protocol;
	uint8_t max0;			/* packet size of endpoint 0 at full speed */
	const char *name;
	const char *serial;		/* beginning of the default serial number, or NULL: none */
	unsigned speeds;		/* USB_SPEED() of what it can do */
	uint8_t attributes;		/* of the configuration: USB_ATTR_ */
	uint8_t power;			/* units of 2 mA */
	const struct usb_if_desc *ifs;
	uint8_t n_ifs;
};
#define USB_ATTR_BUS	0x80u		/* always set */
#define USB_ATTR_SELF	0x40u
#define USB_ATTR_WAKE	0x20u

enum {
	USB_DT_DEVICE = 1, USB_DT_CONFIG = 2, USB_DT_STRING = 3, USB_DT_INTERFACE = 4, USB_DT_ENDPOINT = 5,
	USB_DT_QUALIFIER = 6, USB_DT_OTHER_SPEED = 7, USB_DT_BOS = 15, USB_DT_CAPABILITY = 16,
	USB_DT_COMPANION = 48,
};
enum {
	USB_GET_STATUS = 0, USB_CLEAR_FEATURE = 1, USB_SET_FEATURE = 3, USB_SET_ADDRESS = 5,
	USB_GET_DESCRIPTOR = 6, USB_GET_CONFIG = 8, USB_SET_CONFIG = 9, USB_GET_INTERFACE = 10,
	USB_SET_INTERFACE = 11, USB_SET_SEL = 48, USB_SET_ISOCH_DELAY = 49,
};
/* bmRequestType without the direction: kind and recipient */
#define USB_TYPE_MASK	0x60u
#define USB_CLASS	0x20u
#define USB_VENDOR	0x40u
#define USB_TO_MASK	0x1fu
enum { USB_TO_DEVICE = 0, USB_TO_INTERFACE = 1, USB_TO_ENDPOINT = 2, USB_TO_OTHER = 3 };

struct usb_setup {
	uint8_t type, request;
	uint16_t value, index, length;
};

/* ---- devices ---- */

struct usb_dev;

struct usb_class {
	const struct usb_desc *desc;
	void (*reset)(struct usb_dev *d);		/* the bus was reset; may be NULL */
	/*
	 * A request that is not one of chapter 9. data holds length bytes (OUT) or has
	 * room for USB_DATA_MAX (IN). Bytes of the answer, or -1: a stall.
	 */
	int (*control)(struct usb_dev *d, const struct usb_setup *s, uint8_t *data);
	/* A packet of an endpoint but 0 that exists and is not halted. */
	enum usb_result (*data)(struct usb_dev *d, struct usb_packet *p);
	/* Another configuration was chosen (0: none); may be NULL. */
	void (*configured)(struct usb_dev *d);
	/* CLEAR_FEATURE(ENDPOINT_HALT) arrived for addr; may be NULL. */
	void (*unhalted)(struct usb_dev *d, uint8_t addr);
};

#define USB_DATA_MAX	1024u

struct usb_dev {
	struct dev dev;
	const struct usb_class *class;
	struct usb_bus *bus;		/* property */
	char *want_port;		/* property "port" */
	char *serial;			/* property */
	struct usb_port *port;		/* NULL: not plugged in */
	enum usb_speed speed;

	uint8_t addr, config;
	bool may_wake;			/* the host asked for remote wake-up */
	uint32_t halted;		/* bit ep, OUT; bit 16 + ep, IN */
	/* the control transfer that goes on */
	uint8_t phase;			/* usb.c's */
	uint8_t setup[8];
	uint16_t n_data, at_data;
	uint8_t data[USB_DATA_MAX];
};

extern const struct prop usb_props[];
extern const struct state usb_state[];
#define USB_PROPS \
	PROP_REF("usb-bus", usb_dev, bus, "bus", "the controller's bus; default: the first with a free port"), \
	PROP(STR, usb_dev, want_port, "port", 0, "where: 2, or 1.3 for port 3 of the hub at 1"), \
	PROP(STR, usb_dev, serial, "serial", 0, "serial number")
#define USB_STATE \
	STATE_AS(usb_dev, addr, "usb addr"), STATE_AS(usb_dev, config, "usb config"), \
	STATE_AS(usb_dev, may_wake, "usb may_wake"), STATE_AS(usb_dev, halted, "usb halted"), \
	STATE_AS(usb_dev, phase, "usb phase"), STATE_AS(usb_dev, setup, "usb setup"), \
	STATE_AS(usb_dev, n_data, "usb n_data"), STATE_AS(usb_dev, at_data, "usb at_data"), \
	STATE_AS(usb_dev, data, "usb data")

bool usb_attach(struct usb_dev *d, const struct usb_class *c, struct err *e);
void usb_detach(struct usb_dev *d);
/* The path of a plugged-in device for firmware, which ends in its kind, or nothing: "/pci@i0cf8/usb@1,2/hub@1/storage@3". */
void usb_boot_path(const struct usb_dev *d, const char *kind, char *buf);
/* Power on, and a reset by the bus. */
void usb_reset(struct usb_dev *d);
bool usb_loaded(struct usb_dev *d, struct err *e);

static inline bool usb_is_configured(const struct usb_dev *d)
{
	return d->config != 0;
}
/* An endpoint (address with direction) can do something now: whoever waits for it is told. */
void usb_ready(struct usb_dev *d, uint8_t addr);
/* Something happened while the bus may sleep: wake the host if it wants to be woken. */
void usb_wake(struct usb_dev *d);
/* An endpoint stalls until the host clears that. */
void usb_halt(struct usb_dev *d, uint8_t addr);

/* ---- ports and buses ---- */

struct usb_port {
	struct usb_bus *bus;
	struct usb_dev *hub;		/* that it belongs to; NULL: a root port */
	unsigned number;		/* from 1 */
	char path[20];			/* "1.3" */
	unsigned speeds;		/* USB_SPEED() of what can be plugged in */
	bool enabled;			/* lets packets pass; the owner sets it */
	struct usb_dev *dev;
	void (*changed)(struct usb_port *p);	/* a device came or went */
	void (*wake)(struct usb_port *p);	/* the device wakes the bus */
	void *opaque;
	struct usb_port *next;
};

struct usb_bus {
	struct machine *m;
	struct dev *owner;
	char names[2][64];		/* "usb-bus.0" and "ID.0" */
	struct usb_port *ports;		/* hubs' ports are in it, too */
	void (*ready)(void *opaque, struct usb_dev *d, uint8_t addr);
	void *opaque;
};

/* The bus gets its names; devices can be plugged in as soon as it has ports. */
void usb_bus_init(struct usb_bus *b, struct dev *owner);
/* Devices still there are unplugged, not freed. */
void usb_bus_fini(struct usb_bus *b);
/* Fill speeds, changed, wake, opaque before. hub NULL: a root port. */
void usb_port_add(struct usb_bus *b, struct usb_port *p, struct usb_dev *hub, unsigned number);
void usb_port_del(struct usb_port *p);

/* The device with that address behind enabled ports, or NULL. */
struct usb_dev *usb_find(const struct usb_bus *b, uint8_t addr);
/* Down from a port by a route string: 4 bits a hub, the first one lowest. */
struct usb_dev *usb_route(struct usb_port *root, uint32_t route);

/* One packet to a device. USB_GONE: it does not answer. */
enum usb_result usb_transact(struct usb_dev *d, struct usb_packet *p);
/* A request without data, done at once (controllers that set addresses). */
bool usb_request(struct usb_dev *d, uint8_t type, uint8_t request, uint16_t value, uint16_t index);

/* In Mb/s: "12" */
const char *usb_speed_text(enum usb_speed s);
/* How many bytes a packet of an endpoint holds at the device's speed; 0: no such endpoint. */
unsigned usb_max_packet(const struct usb_dev *d, uint8_t addr);

/* ---- usb_desc.c, usb_control.c: for usb.c ---- */

/* A descriptor into buf (USB_DATA_MAX bytes); its length, or -1. */
int usb_descriptor(const struct usb_dev *d, uint8_t type, uint8_t index, uint8_t *buf);
/* A request to chapter 9 or the class, all data there. As usb_class.control. */
int usb_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data);

#endif
