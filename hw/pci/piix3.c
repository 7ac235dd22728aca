/*
 * PIIX3 (82371SB) function 0: PCI-to-ISA bridge.
 *
 * Each of the four PIRQ inputs is routed to one ISA interrupt by its register
 * (0x60-0x63: bits 3:0, bit 7 off). Port 0xcf9 resets: bit 2 going from 0 to 1,
 * bit 1 choosing hard or soft, which are the same here.
 *
 * The edge/level registers 0x4d0/0x4d1 belong to the interrupt controllers.
 *
 * Not modelled: ISA timing, positive decode of the BIOS, DMA routing, APM and
 * SMI sources (they are at the PIIX4 function).
 * Source: Intel 82371FB/82371SB data sheet, April 1997: 2.2 and 2.4.1.3 (RCR).
 */
#include "hw/pci/piix3.h"

#define PIRQ_ROUTE	0x60
#define PIRQ_OFF	0x80u
#define NPIRQ		4
#define NISA		16

#define PORT_RESET	0xcf9
#define RCR_CPU		0x04u
#define RCR_WMASK	0x06u

struct piix3 {
	struct pci_dev pci;
	struct port_range *reset_port;
	struct irq isa[NISA];
	uint8_t pirq_level;		/* bit per PIRQ input */
	uint16_t isa_level;		/* what is driven now */
	uint8_t rcr;
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

static uint32_t rcr_read(void *opaque, uint16_t off, int size)
{
	const struct piix3 *d = opaque;
	(void)off, (void)size;
	return d->rcr;
}

static void rcr_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct piix3 *d = opaque;
	bool reset = v & RCR_CPU && !(d->rcr & RCR_CPU);
	(void)off, (void)size;
	d->rcr = v & RCR_WMASK;
	if (reset)
		machine_request(d->pci.dev.m, MACHINE_RESET, 0);
}

static const struct port_ops rcr_ops = { rcr_read, rcr_write, 1, 1 };

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
	d->reset_port = port_map(d->pci.dev.m, PORT_RESET, 1, &rcr_ops, d, "reset-control");
	return true;
}

static void piix3_fini(void *dev)
{
	struct piix3 *d = dev;
	port_unmap(d->pci.dev.m, d->reset_port);
	pci_detach(&d->pci);
}

static void piix3_reset(void *dev)
{
	struct piix3 *d = dev;
	d->rcr = 0;
	pci_reset(&d->pci);
}

static bool piix3_loaded(void *dev, struct err *e)
{
	struct piix3 *d = dev;
	(void)e;
	return pci_loaded(&d->pci);
}

static const struct state piix3_state[] = {
	STATE(piix3, pirq_level), STATE(piix3, isa_level), STATE(piix3, rcr), { 0 }
};

const struct dev_type piix3_type = {
	.name = "PIIX3", .bus = "system", .help = "PIIX3 ISA bridge",
	.size = sizeof(struct piix3), .version = 1, .state = piix3_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = piix3_init, .fini = piix3_fini, .reset = piix3_reset,
	.update = piix3_update, .loaded = piix3_loaded,
};
