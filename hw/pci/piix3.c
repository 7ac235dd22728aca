/*
 * PIIX3 (82371SB) function 0: PCI-to-ISA bridge.
 *
 * Each of the four PIRQ inputs is routed to one ISA interrupt by its register
 * (0x60-0x63: bits 3:0, bit 7 off). It holds the reset control register.
 *
 * The edge/level registers 0x4d0/0x4d1 belong to the interrupt controllers.
 *
 * Not modelled: ISA timing, positive decode of the BIOS, DMA routing, APM and
 * SMI sources (they are at the PIIX4 function).
 * Source: Intel 82371FB/82371SB data sheet, April 1997: 2.2 and 2.4.1.3 (RCR).
 */
#include "hw/pci/piix3.h"

#include "hw/pci/reset_port.h"

#define PIRQ_ROUTE	0x60
#define PIRQ_OFF	0x80u
#define NPIRQ		4
#define NISA		16

#define RCR_WMASK	0x06u

struct piix3 {
	struct pci_dev pci;
	struct irq isa[NISA];
	uint8_t pirq_level;		/* bit per PIRQ input */
	uint16_t isa_level;		/* what is driven now */
	struct reset_port reset;
};

/* ISA interrupts that some asserted PIRQ is routed to. */
static void piix3_update(void *dev)
{
	struct piix3 *d = dev;
	uint16_t level = 0;
	for (int i = 0; i < NPIRQ; i++) {
		uint8_t route = d->pci.config[PIRQ_ROUTE + i];
		if (d->pirq_level >> i & 1 && !(route & PIRQ_OFF))
			level |= (uint16_t)(1 << (route & 0x0f));
	}
	uint16_t changed = level ^ d->isa_level;
	d->isa_level = level;
	for (int i = 0; i < NISA; i++)
		if (changed >> i & 1)
			irq_set(d->isa[i], level >> i & 1);
}

static void set_pirq(void *opaque, int n, int level)
{
	struct piix3 *d = opaque;
	d->pirq_level = (uint8_t)((d->pirq_level & ~(1u << n)) | (level ? 1u << n : 0));
	piix3_update(d);
}

struct irq piix3_pirq(struct dev *dev, int n)
{
	return irq_make(set_pirq, dev, n);
}

void piix3_connect_isa(struct dev *dev, int n, struct irq to)
{
	((struct piix3 *)dev)->isa[n] = to;
}

static void piix3_config_written(struct pci_dev *p, unsigned off, int n)
{
	(void)off, (void)n;
	piix3_update(p);
}

static bool piix3_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x7000, 0x1af4, 0x1100, 0x060100, 0x00, 0, true };
	struct piix3 *d = dev;

	if (!pci_attach(&d->pci, &ids, e))
		return false;
	d->pci.config_written = piix3_config_written;
	pci_set_config(&d->pci, PCI_COMMAND, 2, 0x0007, 0x0108);
	pci_set_config(&d->pci, PCI_STATUS, 2, 0x0200, 0);
	pci_set_config(&d->pci, 0x4c, 1, 0x4d, 0xff);		/* ISA I/O recovery */
	pci_set_config(&d->pci, 0x4e, 2, 0x0003, 0xffff);	/* X-Bus chip select */
	for (unsigned i = 0; i < NPIRQ; i++)
		pci_set_config(&d->pci, PIRQ_ROUTE + i, 1, PIRQ_OFF, 0x8f);
	pci_set_config(&d->pci, 0x69, 1, 0x02, 0xfe);		/* top of memory */
	pci_set_config(&d->pci, 0x70, 2, 0x8080, 0xefef);	/* motherboard IRQ routes */
	pci_set_config(&d->pci, 0x76, 2, 0x0c0c, 0x8f8f);	/* motherboard DMA */
	pci_set_config(&d->pci, 0xa0, 1, 0x08, 0xff);		/* SMI control */
	reset_port_map(&d->reset, d->pci.dev.m, RCR_WMASK);
	return true;
}

static void piix3_fini(void *dev)
{
	struct piix3 *d = dev;
	reset_port_unmap(&d->reset);
	pci_detach(&d->pci);
}

static void piix3_reset(void *dev)
{
	struct piix3 *d = dev;
	d->reset.rcr = 0;
	pci_reset(&d->pci);
}

static bool piix3_loaded(void *dev, struct err *e)
{
	struct piix3 *d = dev;
	(void)e;
	return pci_loaded(&d->pci);
}

static const struct state piix3_state[] = {
	STATE(piix3, pirq_level), STATE(piix3, isa_level), STATE_AS(piix3, reset.rcr, "rcr"), { 0 }
};

const struct dev_type piix3_type = {
	.name = "PIIX3", .bus = "system", .help = "PIIX3 ISA bridge",
	.size = sizeof(struct piix3), .version = 1, .state = piix3_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = piix3_init, .fini = piix3_fini, .reset = piix3_reset,
	.update = piix3_update, .loaded = piix3_loaded,
};
