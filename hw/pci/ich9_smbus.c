/*
 * ICH9 function 1f.3: SMBus host controller. Nobody is on the bus, so every
 * transaction ends with a device error.
 *
 *	0x00 HST_STS   bits are cleared by writing ones
 *	0x02 HST_CNT   bit 6 starts a transaction
 *
 * Not modelled: interrupts, the slave interface, block buffers (one byte stores).
 * Source: Intel ICH9 family data sheet (316972-004), 18.
 */
#include "hw/pci/ich9.h"

#define BAR_IO		4
#define SMB_LEN		32
#define CFG_HOSTC	0x40
#define STS		0
#define CNT		2
#define STS_DEV_ERR	0x04u
#define STS_IN_USE	0x40u
#define CNT_START	0x40u

struct ich9_smbus {
	struct pci_dev pci;
	uint8_t reg[SMB_LEN];
};

static uint32_t smb_read(void *opaque, uint16_t off, int size)
{
	struct ich9_smbus *d = opaque;
	uint8_t v = d->reg[off];

	(void)size;
	if (off == STS)
		d->reg[STS] |= STS_IN_USE;	/* a semaphore: whoever reads 0 has it */
	return v;
}

static void smb_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct ich9_smbus *d = opaque;

	(void)size;
	if (off == STS)
		d->reg[STS] &= (uint8_t)~v;
	else
		d->reg[off] = (uint8_t)(off == CNT ? v & ~CNT_START : v);
	if (off == CNT && v & CNT_START)
		d->reg[STS] |= STS_DEV_ERR;
}

static const struct port_ops smb_ops = { smb_read, smb_write, 1, 1 };

static bool smbus_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x2930, 0x1af4, 0x1100, 0x0c0500, 0x02, 1, false };
	struct ich9_smbus *d = dev;

	if (!pci_attach(&d->pci, &ids, e))
		return false;
	pci_set_config(&d->pci, CFG_HOSTC, 1, 0, 0x1f);
	return pci_bar_io(&d->pci, BAR_IO, SMB_LEN, &smb_ops, d, e);
}

static void smbus_fini(void *dev)
{
	pci_detach(&((struct ich9_smbus *)dev)->pci);
}

static void smbus_reset(void *dev)
{
	struct ich9_smbus *d = dev;

	for (int i = 0; i < SMB_LEN; i++)
		d->reg[i] = 0;
	pci_reset(&d->pci);
}

static bool smbus_loaded(void *dev, struct err *e)
{
	(void)e;
	return pci_loaded(&((struct ich9_smbus *)dev)->pci);
}

static const struct state smbus_state[] = {
	STATE(ich9_smbus, reg), { 0 }
};

const struct dev_type ich9_smbus_type = {
	.name = "ICH9-SMB", .bus = "system", .help = "ICH9 SMBus host controller",
	.size = sizeof(struct ich9_smbus), .version = 1, .state = smbus_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = smbus_init, .fini = smbus_fini, .reset = smbus_reset, .loaded = smbus_loaded,
};
