/*
 * EHCI controller: registers, six ports at high speed, one interrupt.
 *
 * While a schedule is on, a timer carries out a frame every millisecond, and looks at the
 * asynchronous list more often as long as it brings something.
 *
 * Not modelled: companion controllers (devices that only know full speed do not fit its
 * ports), 64-bit addresses, the length of the frame list (1,024), debug port, park mode.
 * Source: EHCI 1.0, 2 (registers), 4.2-4.3 (ports).
 */
#include "hw/usb/ehci.h"

#include <stdlib.h>

#include "hw/usb/ehci_priv.h"

#define BAR_SIZE	0x1000u
#define CAP_LENGTH	0x20u
#define TICK		NS_PER_MS
#define TICK_BUSY	(125 * NS_PER_US)
#define LATE_FRAMES	8		/* caught up with after a delay; more are skipped */
#define STS_WRITABLE	0x3fu
#define FRINDEX_MASK	0x3fffu

enum {	/* PORTSC */
	PORT_CONNECT = 0x0001, PORT_CONNECT_CHANGE = 0x0002, PORT_ENABLE = 0x0004, PORT_ENABLE_CHANGE = 0x0008,
	PORT_OVER_CHANGE = 0x0020, PORT_RESUME = 0x0040, PORT_SUSPEND = 0x0080, PORT_RESET = 0x0100,
	PORT_POWER = 0x1000, PORT_WAKES = 0x700000,
	PORT_CHANGES = PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE | PORT_OVER_CHANGE,
};

static void ehci_update(void *dev)
{
	struct ehci *h = dev;

	h->sts &= ~(uint32_t)(STS_PERIODIC | STS_ASYNC);
	if (h->cmd & CMD_RUN)
		h->sts |= (h->cmd & CMD_PERIODIC ? STS_PERIODIC : 0) | (h->cmd & CMD_ASYNC ? STS_ASYNC : 0);
	pci_set_irq(&h->pci, h->sts & h->intr & STS_WRITABLE);
}

/* ---- ports ---- */

static void port_derive(struct ehci *h, int i)
{
	uint32_t v = h->portsc[i];

	h->ports[i].enabled = v & PORT_ENABLE && !(v & (PORT_RESET | PORT_SUSPEND));
}

static void on_changed(struct usb_port *p)
{
	struct ehci *h = p->opaque;
	uint32_t *sc = &h->portsc[p->number - 1];

	if (!p->dev && *sc & PORT_ENABLE)
		*sc |= PORT_ENABLE_CHANGE;
	*sc &= ~(uint32_t)(PORT_CONNECT | PORT_ENABLE | PORT_SUSPEND);
	*sc |= PORT_CONNECT_CHANGE | (p->dev ? PORT_CONNECT : 0);
	port_derive(h, (int)p->number - 1);
	h->sts |= STS_PORT;
	dev_update(&h->pci.dev);
}

static void on_wake(struct usb_port *p)
{
	struct ehci *h = p->opaque;
	uint32_t *sc = &h->portsc[p->number - 1];

	if (!(*sc & PORT_SUSPEND))
		return;
	*sc |= PORT_RESUME;
	h->sts |= STS_PORT;
	dev_update(&h->pci.dev);
}

static void portsc_write(struct ehci *h, int i, uint32_t v, uint32_t old)
{
	uint32_t now = old & ~(v & PORT_CHANGES) & ~(uint32_t)PORT_WAKES;

	now |= v & PORT_WAKES;
	if (!(v & PORT_ENABLE))			/* software can only disable */
		now &= ~(uint32_t)PORT_ENABLE;
	if (v & PORT_SUSPEND && now & PORT_ENABLE)
		now |= PORT_SUSPEND;
	if (old & PORT_RESUME && !(v & PORT_RESUME))
		now &= ~(uint32_t)PORT_SUSPEND;
	now = (now & ~(uint32_t)PORT_RESUME) | (now & PORT_SUSPEND ? v & PORT_RESUME : 0);
	if (v & PORT_RESET) {
		now = (now & ~(uint32_t)(PORT_ENABLE | PORT_SUSPEND | PORT_RESUME)) | PORT_RESET;
	} else if (old & PORT_RESET) {
		now &= ~(uint32_t)PORT_RESET;
		if (h->ports[i].dev) {
			usb_reset(h->ports[i].dev);
			now |= PORT_ENABLE;
		}
	}
	h->portsc[i] = now;
	port_derive(h, i);
}

#define PORT(n)									\
static void port##n##_write(void *dev, uint32_t v, uint32_t old)		\
{										\
	portsc_write(dev, n, v, old);						\
}
PORT(0) PORT(1) PORT(2) PORT(3) PORT(4) PORT(5)
#undef PORT

static void reset_ports(struct ehci *h)
{
	for (int i = 0; i < EHCI_PORTS; i++) {
		struct usb_dev *d = h->ports[i].dev;
		h->portsc[i] = PORT_POWER | (d ? PORT_CONNECT | PORT_CONNECT_CHANGE : 0);
		port_derive(h, i);
		if (d)
			usb_reset(d);
	}
}

/* ---- frames ---- */

static bool is_at_work(const struct ehci *h)
{
	return h->cmd & CMD_RUN && h->cmd & (CMD_PERIODIC | CMD_ASYNC);
}

static void start_ticking(struct ehci *h)
{
	if (!is_at_work(h)) {
		timer_del(&h->tick);
	} else if (!timer_pending(&h->tick)) {
		h->due = clock_now(&h->pci.dev.m->clock) + TICK;
		timer_mod(&h->tick, h->due);
	}
}

static void one_frame(struct ehci *h)
{
	uint32_t before = h->frindex;

	if (h->cmd & CMD_PERIODIC)
		ehci_periodic(h);
	h->frindex = (h->frindex + 8) & FRINDEX_MASK;
	if ((before ^ h->frindex) & 0x2000)
		h->sts |= STS_ROLLOVER;
}

static void on_tick(void *opaque)
{
	struct ehci *h = opaque;
	uint64_t now = clock_now(&h->pci.dev.m->clock);
	bool any = false;

	if (now - h->due > LATE_FRAMES * TICK && now > h->due)
		h->due = now;
	for (; h->due <= now && h->cmd & CMD_RUN; h->due += TICK)
		one_frame(h);
	if (h->cmd & CMD_ASYNC && h->cmd & CMD_RUN)
		any = ehci_async(h);
	if (h->cmd & CMD_DOORBELL) {
		h->cmd &= ~(uint32_t)CMD_DOORBELL;
		h->sts |= STS_ADVANCE;
	}
	if (is_at_work(h))
		timer_mod(&h->tick, any ? min_u64(h->due, now + TICK_BUSY) : h->due);
	ehci_update(h);
}

/* A device has something: sooner than at the next frame. */
static void on_ready(void *opaque, struct usb_dev *d, uint8_t addr)
{
	struct ehci *h = opaque;

	(void)d, (void)addr;
	if (is_at_work(h))
		timer_mod(&h->tick, clock_now(&h->pci.dev.m->clock));
}

/* ---- registers ---- */

static uint32_t frindex_read(void *dev)
{
	struct ehci *h = dev;
	uint64_t now = clock_now(&h->pci.dev.m->clock);

	if (!(h->cmd & CMD_RUN))
		return h->frindex;
	if (!is_at_work(h))		/* nobody ticks: the clock tells */
		return (uint32_t)(now / (125 * NS_PER_US)) & FRINDEX_MASK;
	uint64_t left = h->due > now ? h->due - now : 0;
	return (h->frindex + 7 - (uint32_t)min_u64(left / (125 * NS_PER_US), 7)) & FRINDEX_MASK;
}

static void controller_reset(struct ehci *h)
{
	h->cmd = 0x00080000;
	h->sts = STS_HALTED;
	h->intr = h->frindex = h->segment = h->periodic = h->async = h->configured = 0;
	timer_del(&h->tick);
	reset_ports(h);
}

static void cmd_write(void *dev, uint32_t v, uint32_t old)
{
	struct ehci *h = dev;

	(void)old;
	if (v & CMD_HCRESET) {
		controller_reset(h);
		return;
	}
	if (v & CMD_RUN)
		h->sts &= ~(uint32_t)STS_HALTED;
	else
		h->sts |= STS_HALTED;
	start_ticking(h);
	if (h->cmd & CMD_DOORBELL && !is_at_work(h)) {
		h->cmd &= ~(uint32_t)CMD_DOORBELL;
		h->sts |= STS_ADVANCE;
	}
}

#define F(f) offsetof(struct ehci, f)
static const struct reg ehci_regs[] = {
	/*off   bank name          stored         reset       write        clears on read      on write     size, 1 clears */
	{ 0x20, 0,   "usbcmd",     F(cmd),        0x00080000, 0x00ff0071,  0,     NULL,        cmd_write,   4 },
	{ 0x24, 0,   "usbsts",     F(sts),        STS_HALTED, 0,           0,     NULL,        NULL,        4, STS_WRITABLE },
	{ 0x28, 0,   "usbintr",    F(intr),       0,          0x3f,        0,     NULL,        NULL,        4 },
	{ 0x2c, 0,   "frindex",    F(frindex),    0,          FRINDEX_MASK, 0,    frindex_read, NULL,       4 },
	{ 0x30, 0,   "segment",    F(segment),    0,          0,           0,     NULL,        NULL,        4 },
	{ 0x34, 0,   "periodic",   F(periodic),   0,          0xfffff000u, 0,     NULL,        NULL,        4 },
	{ 0x38, 0,   "async",      F(async),      0,          0xffffffe0u, 0,     NULL,        NULL,        4 },
	{ 0x60, 0,   "configflag", F(configured), 0,          1,           0,     NULL,        NULL,        4 },
	{ 0x64, 0,   "portsc1",    F(portsc[0]),  PORT_POWER, 0,           0,     NULL,        port0_write, 4, PORT_CHANGES },
	{ 0x68, 0,   "portsc2",    F(portsc[1]),  PORT_POWER, 0,           0,     NULL,        port1_write, 4, PORT_CHANGES },
	{ 0x6c, 0,   "portsc3",    F(portsc[2]),  PORT_POWER, 0,           0,     NULL,        port2_write, 4, PORT_CHANGES },
	{ 0x70, 0,   "portsc4",    F(portsc[3]),  PORT_POWER, 0,           0,     NULL,        port3_write, 4, PORT_CHANGES },
	{ 0x74, 0,   "portsc5",    F(portsc[4]),  PORT_POWER, 0,           0,     NULL,        port4_write, 4, PORT_CHANGES },
	{ 0x78, 0,   "portsc6",    F(portsc[5]),  PORT_POWER, 0,           0,     NULL,        port5_write, 4, PORT_CHANGES },
	{ 0 }
};

/* Capabilities are read-only and stand before the registers of the table. */
static uint64_t bar_read(void *opaque, uint64_t off, int size)
{
	static const uint8_t caps[CAP_LENGTH] = { CAP_LENGTH, 0, 0x00, 0x01, [4] = EHCI_PORTS };

	if (off + (unsigned)size <= CAP_LENGTH)
		return ld_n(caps + off, size);
	return dev_reg_read(opaque, (unsigned)off, size);
}

static void bar_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	if (off >= CAP_LENGTH)
		dev_reg_write(opaque, (unsigned)off, size, (uint32_t)v);
}

static const struct mmio_ops bar_ops = { bar_read, bar_write, 4 };

/* ---- the device ---- */

static bool start(struct ehci *h, const struct pci_ids *ids, struct err *e)
{
	timer_init(&h->tick, &h->pci.dev.m->clock, on_tick, h);
	h->buf = malloc(EHCI_BUF);
	if (!h->buf)
		return err_set(e, "no memory");
	if (!pci_attach(&h->pci, ids, e) || !pci_bar_mmio(&h->pci, 0, BAR_SIZE, &bar_ops, h, e))
		return false;
	pci_set_config(&h->pci, 0x60, 1, 0x20, 0);		/* release of USB: 2.0 */
	pci_set_config(&h->pci, 0x61, 1, 0x20, 0x3f);		/* frame length */
	usb_bus_init(&h->bus, &h->pci.dev);
	h->bus.ready = on_ready;
	h->bus.opaque = h;
	for (unsigned i = 0; i < EHCI_PORTS; i++) {
		h->ports[i] = (struct usb_port){
			.speeds = USB_SPEED(USB_HIGH), .changed = on_changed, .wake = on_wake, .opaque = h,
		};
		usb_port_add(&h->bus, &h->ports[i], NULL, i + 1);
	}
	return true;
}

static bool ehci_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x24cd, 0x1af4, 0x1100, 0x0c0320, 0x10, 4, false };

	return start(dev, &ids, e);
}

static bool ich9_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x293a, 0x1af4, 0x1100, 0x0c0320, 0x03, 4, false };

	return start(dev, &ids, e);
}

static void ehci_fini(void *dev)
{
	struct ehci *h = dev;

	timer_del(&h->tick);
	usb_bus_fini(&h->bus);
	pci_detach(&h->pci);
	free(h->buf);
	h->buf = NULL;
}

static void ehci_reset(void *dev)
{
	struct ehci *h = dev;

	pci_reset(&h->pci);
	controller_reset(h);
}

static bool ehci_loaded(void *dev, struct err *e)
{
	struct ehci *h = dev;

	(void)e;
	for (int i = 0; i < EHCI_PORTS; i++)
		port_derive(h, i);
	return pci_loaded(&h->pci);
}

static const struct state ehci_state[] = {
	STATE(ehci, due), STATE_TIMER(ehci, tick), { 0 }
};

#define TYPE(type_name, title, begin) {								\
	.name = type_name, .bus = "pci", .help = title,						\
	.size = sizeof(struct ehci), .version = 1, .regs = ehci_regs, .state = ehci_state,	\
	.bus_props = pci_props, .bus_state = pci_state,						\
	.init = begin, .fini = ehci_fini, .reset = ehci_reset, .update = ehci_update, .loaded = ehci_loaded, .boot_path = pci_boot_path, \
}
const struct dev_type ehci_type = TYPE("usb-ehci", "a USB 2 controller for high speed", ehci_init);
const struct dev_type ich9_ehci_type = TYPE("ich9-usb-ehci1", "the same, as the ICH9 has it", ich9_init);
