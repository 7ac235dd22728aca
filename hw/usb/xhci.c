/*
 * xHCI controller: registers and the device.
 *
 *	0000 capabilities	0040 operational	0440 ports
 *	1000 runtime (interrupters)			2000 doorbells
 *
 * Not modelled: saving the controller's state (a restore reports an error, and drivers
 * begin anew), debug and virtualisation capabilities, scratchpad (none is needed).
 * Source: xHCI 1.1, 5 (registers), 7.2 (supported protocols).
 */
#include "hw/usb/xhci.h"

#include <stdlib.h>
#include <string.h>

#include "hw/usb/xhci_priv.h"

#define BAR_SIZE	0x4000u
#define OPERATIONAL	0x0040u
#define PORTS_AT	0x0440u
#define RUNTIME		0x1000u
#define INTRS_AT	0x1020u
#define DOORBELLS	0x2000u
#define EXTENDED	0x0020u		/* extended capabilities */

#define WORK_STEPS	256
#define WORK_PAUSE	(100 * NS_PER_US)	/* others get their turn */
#define MAX_LINKS	4		/* in a row; more lead nowhere */

enum {	/* operational registers */
	O_USBCMD = 0x00, O_USBSTS = 0x04, O_PAGESIZE = 0x08, O_DNCTRL = 0x14, O_CRCR = 0x18, O_DCBAAP = 0x30,
	O_CONFIG = 0x38,
};
#define CMD_WMASK	(CMD_RUN | CMD_INTE | 0x8 | 0x400)

/* ---- memory ---- */

void xhci_host_error(struct xhci *x, const char *why)
{
	if (!(x->sts & STS_SYSTEM))
		log_guest("xhci: %s; the controller stops", why);
	x->sts |= STS_SYSTEM | STS_HALTED;
	x->cmd &= ~(uint32_t)CMD_RUN;
	x->ring_running = false;
}

bool xhci_read(struct xhci *x, uint64_t pa, void *buf, uint32_t n)
{
	if (pci_ram_read(&x->pci, pa, buf, n))
		return true;
	xhci_host_error(x, "an address outside RAM");
	return false;
}

bool xhci_write(struct xhci *x, uint64_t pa, const void *buf, uint32_t n)
{
	if (pci_ram_write(&x->pci, pa, buf, n))
		return true;
	xhci_host_error(x, "an address outside RAM");
	return false;
}

enum xhci_found xhci_look(struct xhci *x, struct xhci_cursor *c, struct xhci_trb *t)
{
	uint8_t b[TRB_SIZE];

	for (int links = 0; links <= MAX_LINKS; links++) {
		if (!xhci_read(x, c->at, b, sizeof(b)))
			return XHCI_BROKEN;
		*t = (struct xhci_trb){ ld64(b), ld32(b + 8), ld32(b + 12) };
		if ((t->control & TRB_CYCLE) != c->cycle)
			return XHCI_EMPTY;
		if (trb_type(t) != T_LINK)
			return XHCI_FOUND;
		c->at = t->param & ~15ull;
		if (t->control & TRB_TOGGLE)
			c->cycle ^= 1;
	}
	return XHCI_BROKEN;
}

/* ---- work ---- */

/* One step of anything that is marked; false: nothing is. */
static bool step(struct xhci *x)
{
	if (x->ring_due) {
		x->ring_due = xhci_command(x);
		return true;
	}
	for (unsigned n = 1; n <= XHCI_SLOTS; n++) {
		struct xhci_slot *s = &x->slot[n];
		if (!s->enabled || !s->due)
			continue;
		unsigned dci = (unsigned)__builtin_ctz(s->due);
		s->due &= ~(1u << dci);
		if (dci && xhci_transfer(x, n, dci))
			s->due |= 1u << dci;
		return true;
	}
	return false;
}

void xhci_work(struct xhci *x)
{
	int steps = 0;

	if (x->busy || !xhci_running(x))
		return;
	x->busy = true;
	while (steps < WORK_STEPS && xhci_running(x) && step(x))
		steps++;
	x->busy = false;
	if (steps == WORK_STEPS)
		timer_mod(&x->later, clock_now(&x->pci.dev.m->clock) + WORK_PAUSE);
}

static void on_later(void *opaque)
{
	xhci_work(opaque);
}

/* A device has something, or has room again. */
static void on_ready(void *opaque, struct usb_dev *d, uint8_t addr)
{
	struct xhci *x = opaque;
	unsigned dci = (addr & 15) * 2u + (addr & USB_DIR_IN ? 1 : 0);

	for (unsigned n = 1; n <= XHCI_SLOTS; n++)
		if (x->slot[n].enabled && xhci_device(x, &x->slot[n]) == d) {
			x->slot[n].due |= 1u << dci;
			xhci_work(x);
			return;
		}
}

static void doorbell(struct xhci *x, unsigned n, uint32_t v)
{
	unsigned dci = v & 0xff;
	struct xhci_slot *s = n <= XHCI_SLOTS ? &x->slot[n] : NULL;

	if (!xhci_running(x))
		return;
	if (n == 0 && dci == 0) {
		x->ring_running = x->ring_due = true;
	} else if (n && s && s->enabled && dci && dci < 32 && s->ep[dci].state != EP_DISABLED) {
		if (s->ep[dci].state == EP_STOPPED)
			s->ep[dci].state = EP_RUNNING;
		s->due |= 1u << dci;
	}
	xhci_work(x);
}

/* ---- capabilities ---- */

static uint32_t protocol(unsigned version, unsigned first, unsigned count, unsigned word)
{
	switch (word) {
	case 0: return version << 24 | 2 | (version == 2 ? 4u << 8 : 0);
	case 1: return 0x20425355;	/* "USB " */
	case 2: return count << 8 | first;
	default: return 0;
	}
}

static uint32_t capability(const struct xhci *x, unsigned off)
{
	if (off >= EXTENDED + 0x10)
		return protocol(3, x->n_ports2 + 1, x->n_ports3, off / 4 & 3);
	if (off >= EXTENDED)
		return protocol(2, 1, x->n_ports2, off / 4 & 3);
	switch (off) {
	case 0x00: return OPERATIONAL | 0x0100 << 16;
	case 0x04: return xhci_n_ports(x) << 24 | XHCI_INTRS << 8 | XHCI_SLOTS;
	case 0x08: return 4 << 4 | 0xf;		/* 16 event ring segments */
	case 0x10: return EXTENDED / 4 << 16 | 1;	/* 64-bit addresses */
	case 0x14: return DOORBELLS;
	case 0x18: return RUNTIME;
	default: return 0;
	}
}

/* ---- operational registers ---- */

static void controller_reset(struct xhci *x)
{
	x->cmd = x->dnctrl = x->config = 0;
	x->sts = STS_HALTED;
	x->dcbaap = x->ring_at = 0;
	x->ring_cycle = x->ring_running = x->ring_due = x->starved = false;
	memset(x->slot, 0, sizeof(x->slot));
	timer_del(&x->later);
	xhci_intr_reset(x);
	xhci_ports_reset(x);
}

static void cmd_write(struct xhci *x, uint32_t v)
{
	bool ran = x->cmd & CMD_RUN;

	if (v & (CMD_HCRST | CMD_LHCRST)) {
		controller_reset(x);
		return;
	}
	x->cmd = v & CMD_WMASK;
	if (v & CMD_RESTORE)
		x->sts |= STS_SRE;
	if (x->sts & STS_SYSTEM)
		x->cmd &= ~(uint32_t)CMD_RUN;
	if (x->cmd & CMD_RUN) {
		x->sts &= ~(uint32_t)STS_HALTED;
		if (!ran)
			xhci_port_events(x);
	} else {
		x->sts |= STS_HALTED;
		x->ring_running = false;
	}
	xhci_work(x);
}

static void crcr_low(struct xhci *x, uint32_t v)
{
	if (x->ring_running) {
		if (v & (CRCR_STOP | CRCR_ABORT))
			xhci_ring_stop(x);
		return;
	}
	x->ring_at = (x->ring_at & ~0xffffffffull) | (v & ~63u);
	x->ring_cycle = v & CRCR_CYCLE;
}

static uint32_t op_read(const struct xhci *x, unsigned off)
{
	switch (off) {
	case O_USBCMD:	return x->cmd;
	case O_USBSTS:	return x->sts;
	case O_PAGESIZE: return 1;
	case O_DNCTRL:	return x->dnctrl;
	case O_CRCR:	return x->ring_running ? CRCR_RUNNING : 0;	/* pointers read as zero */
	case O_DCBAAP:	return (uint32_t)x->dcbaap;
	case O_DCBAAP + 4: return (uint32_t)(x->dcbaap >> 32);
	case O_CONFIG:	return x->config;
	default:	return 0;
	}
}

static void op_write(struct xhci *x, unsigned off, uint32_t v)
{
	switch (off) {
	case O_USBCMD:
		cmd_write(x, v);
		break;
	case O_USBSTS:
		x->sts &= ~(v & (STS_SYSTEM | STS_EINT | STS_PORT | STS_SRE));
		break;
	case O_DNCTRL:
		x->dnctrl = v & 0xffff;
		break;
	case O_CRCR:
		crcr_low(x, v);
		break;
	case O_CRCR + 4:
		if (!x->ring_running)
			x->ring_at = (x->ring_at & 0xffffffffull) | (uint64_t)v << 32;
		break;
	case O_DCBAAP:
		x->dcbaap = (x->dcbaap & ~0xffffffffull) | (v & ~63u);
		break;
	case O_DCBAAP + 4:
		x->dcbaap = (x->dcbaap & 0xffffffffull) | (uint64_t)v << 32;
		break;
	case O_CONFIG:
		x->config = v & 0x3ff;
		break;
	}
	xhci_update_irq(x);
}

/* ---- the BAR ---- */

/* Microframes of 125 microseconds. */
static uint32_t mfindex(const struct xhci *x)
{
	return (uint32_t)(clock_now(&x->pci.dev.m->clock) / 125000) & 0x3fff;
}

static uint32_t read_word(struct xhci *x, unsigned off)
{
	if (off < OPERATIONAL)
		return capability(x, off);
	if (off < PORTS_AT)
		return op_read(x, off - OPERATIONAL);
	if (off < RUNTIME)
		return xhci_port_read(x, off - PORTS_AT);
	if (off == RUNTIME)
		return mfindex(x);
	if (off >= INTRS_AT && off < INTRS_AT + 32 * XHCI_INTRS)
		return xhci_intr_read(x, off - INTRS_AT);
	return 0;
}

static uint64_t bar_read(void *opaque, uint64_t off, int size)
{
	uint32_t v = read_word(opaque, (unsigned)off & ~3u);

	return v >> 8 * (off & 3) & size_mask(size);
}

static void bar_write(void *opaque, uint64_t at, int size, uint64_t value)
{
	struct xhci *x = opaque;
	unsigned off = (unsigned)at;
	uint32_t v = (uint32_t)value;

	if (size != 4 || off & 3)
		log_guest("xhci: a write of %d bytes at %#x", size, off);
	else if (off >= DOORBELLS && off < DOORBELLS + 4 * 256)
		doorbell(x, (off - DOORBELLS) / 4, v);
	else if (off >= INTRS_AT && off < INTRS_AT + 32 * XHCI_INTRS)
		xhci_intr_write(x, off - INTRS_AT, v);
	else if (off >= PORTS_AT && off < RUNTIME)
		xhci_port_write(x, off - PORTS_AT, v);
	else if (off >= OPERATIONAL && off < PORTS_AT)
		op_write(x, off - OPERATIONAL, v);
}

static const struct mmio_ops bar_ops = { bar_read, bar_write, 4 };

/* ---- the device ---- */

static bool start(struct xhci *x, const struct pci_ids *ids, struct err *e)
{
	if (!x->n_ports2 || x->n_ports2 > XHCI_PORTS || x->n_ports3 > XHCI_PORTS)
		return err_set(e, "p2 must be 1 to %u, p3 0 to %u", XHCI_PORTS, XHCI_PORTS);
	timer_init(&x->later, &x->pci.dev.m->clock, on_later, x);
	x->buf = malloc(XHCI_BUF);
	if (!x->buf)
		return err_set(e, "no memory");
	if (!pci_attach(&x->pci, ids, e) || !pci_bar_mmio(&x->pci, 0, BAR_SIZE, &bar_ops, x, e))
		return false;
	pci_set_config(&x->pci, 0x60, 1, 0x30, 0);		/* release of USB: 3.0 */
	x->pci.cap_end = 0x70;
	pci_add_msi(&x->pci);
	if (!pci_add_msix(&x->pci, 1, XHCI_INTRS, e))
		return false;
	usb_bus_init(&x->bus, &x->pci.dev);
	x->bus.ready = on_ready;
	x->bus.opaque = x;
	xhci_ports_init(x);
	return true;
}

static bool qemu_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x1b36, 0x000d, 0x1af4, 0x1100, 0x0c0330, 0x01, 1, false };

	return start(dev, &ids, e);
}

static bool nec_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x1033, 0x0194, 0x1af4, 0x1100, 0x0c0330, 0x03, 1, false };

	return start(dev, &ids, e);
}

static void xhci_fini(void *dev)
{
	struct xhci *x = dev;

	timer_del(&x->later);
	usb_bus_fini(&x->bus);
	pci_detach(&x->pci);
	free(x->buf);
	x->buf = NULL;
}

static void xhci_reset(void *dev)
{
	struct xhci *x = dev;

	pci_reset(&x->pci);
	controller_reset(x);
}

static void xhci_update(void *dev)
{
	xhci_update_irq(dev);
}

static bool intr_is_sane(const struct xhci_intr *v)
{
	return v->size <= 4096 && (v->index < v->size || !v->size) && v->erstsz <= 16;
}

static bool xhci_loaded(void *dev, struct err *e)
{
	struct xhci *x = dev;

	for (unsigned i = 0; i < XHCI_INTRS; i++)
		if (!intr_is_sane(&x->intr[i]))
			return err_set(e, "an impossible event ring");
	for (unsigned n = 1; n <= XHCI_SLOTS; n++)
		for (unsigned dci = 1; dci < 32; dci++)
			if (x->slot[n].ep[dci].state != EP_DISABLED && !x->slot[n].ep[dci].max)
				return err_set(e, "an impossible endpoint");
	xhci_ports_derive(x);
	return pci_loaded(&x->pci);
}

static const struct state xhci_state[] = {
	STATE(xhci, cmd), STATE(xhci, sts), STATE(xhci, dnctrl), STATE(xhci, config),
	STATE(xhci, dcbaap), STATE(xhci, ring_at), STATE(xhci, ring_cycle), STATE(xhci, ring_running),
	STATE(xhci, ring_due), STATE(xhci, starved), STATE(xhci, portsc), STATE(xhci, port_event),
	STATE(xhci, intr), STATE(xhci, slot), STATE_TIMER(xhci, later), { 0 }
};
static const struct prop xhci_props[] = {
	PROP(U32, xhci, n_ports2, "p2", 4, "ports for USB 1 and 2"),
	PROP(U32, xhci, n_ports3, "p3", 4, "ports for USB 3"),
	{ 0 }
};

#define TYPE(type_name, title, begin) {								\
	.name = type_name, .bus = "pci", .help = title,						\
	.size = sizeof(struct xhci), .version = 1, .state = xhci_state, .props = xhci_props,	\
	.bus_props = pci_props, .bus_state = pci_state,						\
	.init = begin, .fini = xhci_fini, .reset = xhci_reset, .update = xhci_update, .loaded = xhci_loaded, .boot_path = pci_boot_path, \
}
const struct dev_type xhci_type = TYPE("qemu-xhci", "a USB 3 controller", qemu_init);
const struct dev_type nec_xhci_type = TYPE("nec-usb-xhci", "a USB 3 controller with NEC's ids", nec_init);
