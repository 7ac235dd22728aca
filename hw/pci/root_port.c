/*
 * PCI Express root port with a hot-plug slot.
 *
 * What is plugged in or wants to leave shows in the slot status register and, as far
 * as the slot control register enables it, as an interrupt (MSI or INTA#):
 *
 *	a device comes   presence detect changed, and the attention button as if who
 *	                 put it in pressed it; link active once the slot has power
 *	one shall leave  attention button pressed; the guest lets go of the device and
 *	                 then switches the slot's power and its indicator off
 *
 * Commands to the slot are done at once (No Command Completed Support).
 *
 * Not modelled: power faults, latches and the interlock, surprise removal, errors and
 * power management events.
 * Source: PCI Express Base Specification 3.0, 6.7 (hot plug), 7.8.9-7.8.13.
 */
#include "hw/pci/root_port.h"

#define SLOT_BUTTON	0x0001u		/* slot capabilities */
#define SLOT_POWER	0x0002u
#define SLOT_INDICATORS	0x0018u
#define SLOT_SURPRISE	0x0020u
#define SLOT_HOTPLUG	0x0040u
#define SLOT_NO_CC	BIT(18)
#define SLOT_NUMBER	19

#define CTL_EVENTS	0x000fu		/* slot control: enables at the places of their status bits, */
#define CTL_HPIE	0x0020u
#define CTL_LINK	0x1000u		/* but this one */
#define CTL_PIC		0x0300u		/* power indicator */
#define CTL_PIC_ON	0x0100u
#define CTL_PIC_OFF	0x0300u
#define CTL_POWER_OFF	0x0400u
#define CTL_WMASK	0x1fffu
#define CTL_RESET	0x03c0u

#define STA_BUTTON	0x0001u		/* slot status */
#define STA_PRESENCE	0x0008u		/* presence detect changed */
#define STA_PRESENT	0x0040u
#define STA_LINK	0x0100u		/* data link layer state changed */
#define STA_W1C		0x011fu

#define LNKCAP_ACTIVE_REPORTING BIT(20)
#define LNKSTA_ACTIVE	0x2000u
#define CAPS_SLOT	0x0100u

struct root_port {
	struct pci_dev pci;
	struct pci_bus below;
	uint8_t port, chassis;		/* properties */
	uint16_t slot;
	bool hotplug;
	uint8_t cap;			/* offset of the Express capability */
	bool leaving;			/* the guest has been asked to let go of what is in the slot */
};

static uint16_t get(const struct root_port *d, unsigned reg)
{
	return ld16(d->pci.config + d->cap + reg);
}

static void put(struct root_port *d, unsigned reg, uint16_t v)
{
	st16(d->pci.config + d->cap + reg, v);
}

/* ---- events ---- */

static void update_irq(struct root_port *d)
{
	uint16_t ctl = get(d, PCI_EXP_SLTCTL), sta = get(d, PCI_EXP_SLTSTA);
	bool event = (ctl & sta & CTL_EVENTS) || (ctl & CTL_LINK && sta & STA_LINK);

	pci_set_irq(&d->pci, event && ctl & CTL_HPIE);
}

static void event(struct root_port *d, uint16_t bits)
{
	put(d, PCI_EXP_SLTSTA, get(d, PCI_EXP_SLTSTA) | bits);
	update_irq(d);
}

/* What the guest leaves behind at the end of a removal: while the indicator blinks it is still at work. */
static bool is_off(const struct root_port *d)
{
	uint16_t ctl = get(d, PCI_EXP_SLTCTL);

	return ctl & CTL_POWER_OFF && (ctl & CTL_PIC) == CTL_PIC_OFF;
}

/* The link is up while there is somebody on the other side who has power. */
static void update_link(struct root_port *d)
{
	uint16_t sta = get(d, PCI_EXP_LNKSTA);
	bool up = d->below.fn[0] && !(get(d, PCI_EXP_SLTCTL) & CTL_POWER_OFF);

	if (up == !!(sta & LNKSTA_ACTIVE))
		return;
	put(d, PCI_EXP_LNKSTA, (uint16_t)(sta ^ LNKSTA_ACTIVE));
	put(d, PCI_EXP_SLTSTA, get(d, PCI_EXP_SLTSTA) | STA_LINK);
}

static void update_presence(struct root_port *d)
{
	uint16_t sta = get(d, PCI_EXP_SLTSTA);

	if (!!d->below.fn[0] != !!(sta & STA_PRESENT))
		put(d, PCI_EXP_SLTSTA, (uint16_t)(sta ^ STA_PRESENT) | STA_PRESENCE);
	update_link(d);
}

/* ---- plugging ---- */

static void plugged(struct pci_bus *b, struct pci_dev *p)
{
	struct root_port *d = (struct root_port *)b->bridge;

	if (p->devfn & 7)
		return;			/* function 0, which comes last, announces all of them */
	update_presence(d);
	event(d, STA_BUTTON);		/* guests that have a button wait for it */
}

static void eject(struct root_port *d)
{
	d->leaving = false;
	pci_eject(&d->below, 0);
	update_presence(d);
}

static bool unplug(struct pci_bus *b, struct pci_dev *p, struct err *e)
{
	struct root_port *d = (struct root_port *)b->bridge;

	if (is_off(d)) {
		eject(d);
		update_irq(d);
		return true;
	}
	if (d->leaving)
		return err_set(e, "the guest has been asked to let go of %s already", p->dev.id);
	d->leaving = true;
	event(d, STA_BUTTON);
	return true;
}

static const struct pci_slot_ops slot_ops = { plugged, unplug };

/* The guest has let go: power and its indicator are off. */
static void slot_written(struct root_port *d)
{
	if (d->leaving && is_off(d))
		eject(d);
	update_link(d);
	update_irq(d);
}

static void port_config_written(struct pci_dev *p, unsigned off, int n)
{
	struct root_port *d = (struct root_port *)p;
	unsigned slot = d->cap + PCI_EXP_SLTCTL;

	pci_bridge_written(p, off, n);
	if (d->hotplug && off < slot + 4 && off + (unsigned)n > slot)
		slot_written(d);
}

/* ---- device ---- */

static void fill_slot(struct root_port *d)
{
	struct pci_dev *p = &d->pci;
	uint32_t hot = d->hotplug ? SLOT_BUTTON | SLOT_POWER | SLOT_INDICATORS | SLOT_SURPRISE | SLOT_HOTPLUG
				  | SLOT_NO_CC : 0;

	pci_set_config(p, d->cap + PCI_EXP_CAPS, 2, get(d, PCI_EXP_CAPS) | CAPS_SLOT, 0);
	pci_set_config(p, d->cap + PCI_EXP_LNKCAP, 4, ld32(p->config + d->cap + PCI_EXP_LNKCAP)
		       | LNKCAP_ACTIVE_REPORTING | (uint32_t)d->port << 24, 0);
	pci_set_config(p, d->cap + PCI_EXP_SLTCAP, 4, hot | (uint32_t)d->slot << SLOT_NUMBER, 0);
	if (d->hotplug)
		pci_set_config(p, d->cap + PCI_EXP_SLTCTL, 2, CTL_RESET, CTL_WMASK);
	pci_set_config(p, d->cap + PCI_EXP_RTCTL, 2, 0, 0x001f);
	st16(p->w1c + d->cap + PCI_EXP_SLTSTA, d->hotplug ? STA_W1C : 0);
}

static bool port_init(void *dev, struct err *e)
{
	struct root_port *d = dev;
	struct pci_ids ids = { 0x1b36, 0x000c, 0, 0, 0x060400, 0x00, 1, false, true };

	struct pci_bus *bus = d->pci.parent ? d->pci.parent : d->pci.dev.m->pci;

	if (!bus || !bus->express || bus->bridge)
		return err_set(e, "a root port belongs on a PCI Express root bus (-M q35)");
	if (d->slot > 0x1fff)
		return err_set(e, "slot=%u: slots have numbers up to 8191", d->slot);
	if (!pci_attach(&d->pci, &ids, e))
		return false;
	pci_bridge_init(&d->pci, &d->below);
	d->below.express = true;
	d->below.n_slots = 1;
	d->below.slots = d->hotplug ? &slot_ops : NULL;
	pci_add_msi(&d->pci);
	d->cap = pci_add_express(&d->pci, PCI_EXP_ROOT_PORT);
	fill_slot(d);
	d->pci.config_written = port_config_written;
	return true;
}

static void port_fini(void *dev)
{
	struct root_port *d = dev;

	pci_bridge_fini(&d->pci);
	pci_detach(&d->pci);
}

/* What was there before the reset needs no announcement. */
static void port_reset(void *dev)
{
	struct root_port *d = dev;

	pci_reset(&d->pci);
	d->leaving = false;
	if (d->hotplug)
		put(d, PCI_EXP_SLTCTL, d->below.fn[0] ? (CTL_RESET & ~CTL_PIC) | CTL_PIC_ON : CTL_RESET | CTL_POWER_OFF);
	update_presence(d);
	put(d, PCI_EXP_SLTSTA, get(d, PCI_EXP_SLTSTA) & (uint16_t)~STA_W1C);
}

static bool port_loaded(void *dev, struct err *e)
{
	struct root_port *d = dev;

	(void)e;
	pci_bridge_written(&d->pci, PCI_COMMAND, 2);
	return pci_loaded(&d->pci);
}

static const struct state port_state[] = {
	STATE(root_port, leaving), { 0 }
};
static const struct prop port_props[] = {
	PROP(U8, root_port, port, "port", 0, "number of the link"),
	PROP(U8, root_port, chassis, "chassis", 0, "number of the chassis"),
	PROP(U16, root_port, slot, "slot", 0, "number of the slot"),
	PROP(BOOL, root_port, hotplug, "hotplug", 1, "devices can come and go"),
	{ 0 }
};

const struct dev_type root_port_type = {
	.name = "pcie-root-port", .bus = "pci", .help = "PCI Express root port with a slot",
	.size = sizeof(struct root_port), .version = 1, .state = port_state, .props = port_props,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = port_init, .fini = port_fini, .reset = port_reset, .loaded = port_loaded,
};
