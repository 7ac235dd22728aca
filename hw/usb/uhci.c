/*
 * UHCI controller (PIIX3 function 2): registers, two root ports, one interrupt.
 *
 * While it runs, a timer carries out a frame every millisecond (uhci_frame.c).
 *
 * Not modelled: over-current, the legacy keyboard traps (LEGSUP stores), software
 * debug mode.
 * Source: Intel UHCI Design Guide 1.1, 2 (registers); 82371SB data sheet, 2.5 and 2.6.
 */
#include "hw/usb/uhci.h"

#include "hw/usb/uhci_priv.h"

#define FRAME_NS	NS_PER_MS
#define LATE_FRAMES	8		/* caught up with after a delay; more are skipped */

enum {	/* PORTSC */
	PORT_CONNECT = 0x0001, PORT_CONNECT_CHANGE = 0x0002, PORT_ENABLE = 0x0004, PORT_ENABLE_CHANGE = 0x0008,
	PORT_RESUME = 0x0040, PORT_ONE = 0x0080, PORT_LOW_SPEED = 0x0100, PORT_RESET = 0x0200,
	PORT_SUSPEND = 0x1000,
	PORT_CHANGES = PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE,
	PORT_WMASK = PORT_ENABLE | PORT_RESUME | PORT_RESET | PORT_SUSPEND,
};
enum { INTR_ERROR = 1, INTR_RESUME = 2, INTR_COMPLETE = 4, INTR_SHORT = 8 };

static void uhci_update(void *dev)
{
	struct uhci *u = dev;
	bool level = (u->sts & STS_INT && ((u->on_complete && u->intr & INTR_COMPLETE) ||
					   (u->on_short && u->intr & INTR_SHORT))) ||
		     (u->sts & STS_ERROR && u->intr & INTR_ERROR) ||
		     (u->sts & STS_RESUME && u->intr & INTR_RESUME) || u->sts & (STS_SYSTEM | STS_PROCESS);

	pci_set_irq(&u->pci, level);
}

/* ---- ports ---- */

static void port_derive(struct uhci *u, int i)
{
	uint16_t v = u->portsc[i];

	u->ports[i].enabled = v & PORT_ENABLE && !(v & (PORT_RESET | PORT_SUSPEND));
}

static void on_changed(struct usb_port *p)
{
	struct uhci *u = p->opaque;
	uint16_t *sc = &u->portsc[p->number - 1];

	if (p->dev) {
		*sc = (uint16_t)(*sc | PORT_CONNECT | PORT_CONNECT_CHANGE);
		*sc = (uint16_t)((*sc & ~PORT_LOW_SPEED) | (p->dev->speed == USB_LOW ? PORT_LOW_SPEED : 0));
	} else {
		if (*sc & PORT_ENABLE)
			*sc |= PORT_ENABLE_CHANGE;
		*sc = (uint16_t)((*sc & ~(PORT_CONNECT | PORT_ENABLE | PORT_LOW_SPEED | PORT_SUSPEND)) | PORT_CONNECT_CHANGE);
	}
	port_derive(u, (int)p->number - 1);
	if (u->cmd & CMD_SUSPEND) {
		u->sts |= STS_RESUME;
		dev_update(&u->pci.dev);
	}
}

static void on_wake(struct usb_port *p)
{
	struct uhci *u = p->opaque;
	uint16_t *sc = &u->portsc[p->number - 1];

	if (!(*sc & PORT_SUSPEND) && !(u->cmd & CMD_SUSPEND))
		return;
	if (*sc & PORT_SUSPEND)
		*sc |= PORT_RESUME;
	u->sts |= STS_RESUME;
	dev_update(&u->pci.dev);
}

static void portsc_write(struct uhci *u, int i, uint16_t v, uint16_t old)
{
	uint16_t now = (uint16_t)((old & ~PORT_WMASK & ~(v & PORT_CHANGES)) | (v & PORT_WMASK));

	if (!(old & PORT_CONNECT))
		now &= (uint16_t)~PORT_ENABLE;
	if (v & PORT_RESET) {
		now &= (uint16_t)~(PORT_ENABLE | PORT_SUSPEND);
		if (!(old & PORT_RESET) && u->ports[i].dev)
			usb_reset(u->ports[i].dev);
	}
	if (old & PORT_RESUME && !(v & PORT_RESUME))
		now &= (uint16_t)~PORT_SUSPEND;
	u->portsc[i] = now | PORT_ONE;
	port_derive(u, i);
}

static void port1_write(void *dev, uint32_t v, uint32_t old)
{
	portsc_write(dev, 0, (uint16_t)v, (uint16_t)old);
}

static void port2_write(void *dev, uint32_t v, uint32_t old)
{
	portsc_write(dev, 1, (uint16_t)v, (uint16_t)old);
}

static void reset_ports(struct uhci *u)
{
	for (int i = 0; i < UHCI_PORTS; i++) {
		struct usb_dev *d = u->ports[i].dev;
		u->portsc[i] = (uint16_t)(PORT_ONE | (d ? PORT_CONNECT | PORT_CONNECT_CHANGE : 0) |
					  (d && d->speed == USB_LOW ? PORT_LOW_SPEED : 0));
		port_derive(u, i);
		if (d)
			usb_reset(d);
	}
}

/* ---- frames ---- */

static void next_frame(struct uhci *u, uint64_t at)
{
	u->due = at;
	timer_mod(&u->frame, at);
}

static void start_frames(struct uhci *u)
{
	if (!(u->cmd & CMD_RUN))
		timer_del(&u->frame);
	else if (!timer_pending(&u->frame))
		next_frame(u, clock_now(&u->pci.dev.m->clock) + FRAME_NS);
}

static void one_frame(struct uhci *u)
{
	uhci_frame(u);
	u->frnum = (uint16_t)((u->frnum + 1) & 0x7ff);
	if (u->on_complete || u->on_short)
		u->sts |= STS_INT;
}

static void on_frame(void *opaque)
{
	struct uhci *u = opaque;
	uint64_t now = clock_now(&u->pci.dev.m->clock), next = u->due;

	if (now - next > LATE_FRAMES * FRAME_NS)
		next = now;
	do {
		one_frame(u);
		next += FRAME_NS;
	} while (next <= now && u->cmd & CMD_RUN);
	if (u->cmd & CMD_RUN)
		next_frame(u, next);
	uhci_update(u);
}

/* ---- registers ---- */

static void controller_reset(struct uhci *u)
{
	u->cmd = u->intr = u->frnum = 0;
	u->sts = STS_HALTED;
	u->base = 0;
	u->sof = 0x40;
	u->on_complete = u->on_short = false;
	timer_del(&u->frame);
	reset_ports(u);
}

static void cmd_write(void *dev, uint32_t v, uint32_t old)
{
	struct uhci *u = dev;

	if (v & CMD_HCRESET) {
		controller_reset(u);
		return;
	}
	if (v & CMD_GRESET && !(old & CMD_GRESET)) {
		reset_ports(u);
		u->frnum = 0;
	}
	/* The end of a global resume also ends the suspend state of the ports. */
	if (old & CMD_RESUME && !(v & CMD_RESUME))
		u->cmd &= (uint16_t)~CMD_SUSPEND;
	if (v & CMD_RUN)
		u->sts &= (uint16_t)~STS_HALTED;
	else
		u->sts |= STS_HALTED;
	start_frames(u);
}

static void sts_write(void *dev, uint32_t v, uint32_t old)
{
	struct uhci *u = dev;

	(void)old;
	if (v & STS_INT)
		u->on_complete = u->on_short = false;
}

static void frnum_write(void *dev, uint32_t v, uint32_t old)
{
	struct uhci *u = dev;

	if (u->cmd & CMD_RUN)
		u->frnum = (uint16_t)old;	/* only while halted */
	(void)v;
}

#define F(f) offsetof(struct uhci, f)
static const struct reg uhci_regs[] = {
	/*off   bank name       stored       reset       write        clears on read  on write     size, 1 clears */
	{ 0x00, 0,   "usbcmd",  F(cmd),      0,          0x00ff,      0,     NULL,    cmd_write,   2 },
	{ 0x02, 0,   "usbsts",  F(sts),      STS_HALTED, 0,           0,     NULL,    sts_write,   2, 0x1f },
	{ 0x04, 0,   "usbintr", F(intr),     0,          0x000f,      0,     NULL,    NULL,        2 },
	{ 0x06, 0,   "frnum",   F(frnum),    0,          0x07ff,      0,     NULL,    frnum_write, 2 },
	{ 0x08, 0,   "flbase",  F(base),     0,          0xfffff000u, 0,     NULL,    NULL,        4 },
	{ 0x0c, 0,   "sofmod",  F(sof),      0x40,       0x7f,        0,     NULL,    NULL,        1 },
	{ 0x10, 0,   "portsc1", F(portsc[0]), PORT_ONE,  0,           0,     NULL,    port1_write, 2, PORT_CHANGES },
	{ 0x12, 0,   "portsc2", F(portsc[1]), PORT_ONE,  0,           0,     NULL,    port2_write, 2, PORT_CHANGES },
	{ 0 }
};

/* ---- the device ---- */

static bool uhci_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x7020, 0x1af4, 0x1100, 0x0c0300, 0x01, 4, false };
	struct uhci *u = dev;

	timer_init(&u->frame, &u->pci.dev.m->clock, on_frame, u);
	if (!pci_attach(&u->pci, &ids, e) || !pci_bar_io(&u->pci, 4, 32, &dev_port_ops_wide, u, e))
		return false;
	pci_set_config(&u->pci, 0x60, 1, 0x10, 0);		/* USB release 1.0 */
	pci_set_config(&u->pci, 0xc0, 2, 0x2000, 0xafff);	/* LEGSUP */
	usb_bus_init(&u->bus, &u->pci.dev);
	for (unsigned i = 0; i < UHCI_PORTS; i++) {
		u->ports[i] = (struct usb_port){
			.speeds = USB_SPEED(USB_LOW) | USB_SPEED(USB_FULL), .changed = on_changed,
			.wake = on_wake, .opaque = u,
		};
		usb_port_add(&u->bus, &u->ports[i], NULL, i + 1);
	}
	return true;
}

static void uhci_fini(void *dev)
{
	struct uhci *u = dev;

	timer_del(&u->frame);
	usb_bus_fini(&u->bus);
	pci_detach(&u->pci);
}

static void uhci_reset(void *dev)
{
	struct uhci *u = dev;

	pci_reset(&u->pci);
	controller_reset(u);
}

static bool uhci_loaded(void *dev, struct err *e)
{
	struct uhci *u = dev;

	(void)e;
	for (int i = 0; i < UHCI_PORTS; i++)
		port_derive(u, i);
	return pci_loaded(&u->pci);
}

static const struct state uhci_state[] = {
	STATE(uhci, on_complete), STATE(uhci, on_short), STATE(uhci, due), STATE_TIMER(uhci, frame), { 0 }
};

const struct dev_type uhci_type = {
	.name = "piix3-usb-uhci", .bus = "pci", .help = "a USB 1.1 controller with two ports",
	.size = sizeof(struct uhci), .version = 1, .regs = uhci_regs, .state = uhci_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = uhci_init, .fini = uhci_fini, .reset = uhci_reset, .update = uhci_update, .loaded = uhci_loaded, .boot_path = pci_boot_path,
};
