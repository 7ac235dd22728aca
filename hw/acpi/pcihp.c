/*
 * PCI hot plug without help of a bridge, for the slots of a conventional bus:
 *
 *	0xae00  UP     slots with new devices; reading clears
 *	0xae04  DOWN   slots whose devices shall go; reading clears
 *	0xae08  EJECT  write: the guest has let go of these slots' devices
 *
 * A change raises a general-purpose event; the DSDT's handler notifies slot devices,
 * and their _EJ0 writes EJECT. A guest that has not enabled the event is not asked: a
 * device is pulled out at once. Devices of the board stay whatever the guest writes.
 *
 * Source: ACPI specification 6.3, 6.3 (device insertion and removal), 5.6.4; ports as
 * firmware and guests know them of QEMU's pc board.
 */
#include "hw/acpi/pcihp.h"

#include "hw/pci/acpi_pm.h"

struct pcihp {
	struct dev dev;
	struct pci_bus *bus;
	struct dev *pm;
	struct port_range *ports;
	uint32_t up, down;
};

static struct pcihp *owner(const struct pci_bus *b)
{
	return (struct pcihp *)b->slots_owner;
}

static void plugged(struct pci_bus *b, struct pci_dev *p)
{
	struct pcihp *d = owner(b);

	if (p->devfn & 7)
		return;			/* function 0, which comes last, announces all of them */
	d->up |= 1u << (p->devfn >> 3);
	acpi_pm_raise_gpe(d->pm, PCIHP_GPE);
}

static bool unplug(struct pci_bus *b, struct pci_dev *p, struct err *e)
{
	struct pcihp *d = owner(b);
	int slot = p->devfn >> 3;

	(void)e;
	if (!acpi_pm_listens(d->pm, PCIHP_GPE)) {
		pci_eject(b, slot);
		return true;
	}
	d->down |= 1u << slot;
	acpi_pm_raise_gpe(d->pm, PCIHP_GPE);
	return true;
}

static const struct pci_slot_ops slot_ops = { plugged, unplug };

static void eject_write(void *dev, uint32_t v, uint32_t old)
{
	struct pcihp *d = dev;

	(void)old;
	for (int slot = 0; slot < 32 && d->bus; slot++) {
		const struct pci_dev *p = d->bus->fn[slot * 8];
		if (!(v >> slot & 1) || !p)
			continue;
		if (p->dev.user)
			pci_eject(d->bus, slot);
		else
			log_guest("pcihp: %s is part of the board", p->dev.id);
	}
}

void pcihp_connect(struct dev *dev, struct pci_bus *bus, struct dev *pm)
{
	struct pcihp *d = (struct pcihp *)dev;

	d->bus = bus;
	d->pm = pm;
	bus->slots = &slot_ops;
	bus->slots_owner = dev;
}

static bool pcihp_init(void *dev, struct err *e)
{
	struct pcihp *d = dev;

	(void)e;
	d->ports = port_map(d->dev.m, PCIHP_PORT, PCIHP_LEN, &dev_port_ops_wide, d, "acpi-pci-hotplug");
	return true;
}

static void pcihp_fini(void *dev)
{
	struct pcihp *d = dev;

	port_unmap(d->dev.m, d->ports);
	if (d->bus) {
		d->bus->slots = NULL;
		d->bus->slots_owner = NULL;
	}
}

#define F(f) offsetof(struct pcihp, f)
static const struct reg pcihp_regs[] = {
	/* off          bank     name     stored    reset write clear on read on write     size */
	{ PCIHP_UP,    REG_ANY, "up",    F(up),     0,    0,    ~0u,  NULL,   NULL,        4 },
	{ PCIHP_DOWN,  REG_ANY, "down",  F(down),   0,    0,    ~0u,  NULL,   NULL,        4 },
	{ PCIHP_EJECT, REG_ANY, "eject", REG_NONE,  0,    0,    0,    NULL,   eject_write, 4 },
	{ 0 }
};

const struct dev_type pcihp_type = {
	.name = "acpi-pci-hotplug", .bus = "system", .help = "PCI slots that ACPI knows of",
	.size = sizeof(struct pcihp), .version = 1, .regs = pcihp_regs,
	.init = pcihp_init, .fini = pcihp_fini,
};
