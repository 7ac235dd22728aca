/*
 * i440FX (82441FX) host bridge: PAM at 0x59-0x5f, SMRAM at 0x72.
 *
 * Not modelled: DRAM timing and row registers (they only store), ECC and error
 * reporting, the fixed hole at 15 MiB.
 * Source: Intel 82441FX (PMC) data sheet, October 1996: 3.2.
 */
#include "hw/pci/i440fx.h"

#define PAM0	0x59
#define SMRAM	0x72

struct i440fx {
	struct pci_host host;
};

static void i440fx_config_written(struct pci_dev *p, unsigned off, int n)
{
	pci_host_written((struct pci_host *)p, off, n);
}

static bool i440fx_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x1237, 0x1af4, 0x1100, 0x060000, 0x02, 0, false };
	struct i440fx *h = dev;
	struct pci_dev *p = &h->host.pci;

	if (!pci_host_init(&h->host, &ids, PAM0, SMRAM, false, e))
		return false;
	p->config_written = i440fx_config_written;
	pci_set_config(p, 0x50, 4, 0, 0xffffffff);	/* PMC configuration, DRAM control: stored */
	pci_set_config(p, 0x57, 2, 1, 0xffff);
	pci_set_config(p, 0x60, 4, 0, 0xffffffff);	/* DRAM row boundaries: stored */
	pci_set_config(p, 0x64, 4, 0, 0xffffffff);
	return true;
}

static void i440fx_fini(void *dev)
{
	pci_host_fini(dev);
}

static void i440fx_reset(void *dev)
{
	pci_host_reset(dev);
}

static bool i440fx_loaded(void *dev, struct err *e)
{
	(void)e;
	return pci_host_loaded(dev);
}

static const struct state i440fx_state[] = {
	PCI_HOST_STATE, { 0 }
};

const struct dev_type i440fx_type = {
	.name = "i440FX", .bus = "system", .help = "i440FX host bridge",
	.size = sizeof(struct i440fx), .version = 1, .state = i440fx_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = i440fx_init, .fini = i440fx_fini, .reset = i440fx_reset, .loaded = i440fx_loaded,
};
