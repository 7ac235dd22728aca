/*
 * PIIX4 (82371AB) function 3: power management.
 *
 * The fixed-hardware registers of ACPI (acpi_pm.c) stand in I/O space where
 * configuration register 0x40 says, if 0x80 bit 0 enables them; behind them:
 *
 *	0x0c GPSTS, 0x0e GPEN   general-purpose events
 *
 * Not modelled: device monitors, SMI sources other than the command port; the
 * SMBus has no devices, so every transaction ends with a device error.
 * Source: Intel 82371AB data sheet, April 1997: 7 (PM), 7.3 (SMBus).
 */
#include "hw/pci/piix4_pm.h"

#define CFG_PMBA	0x40
#define CFG_DEVACTB	0x58
#define DEVACTB_APMC	BIT(25)		/* a write to 0xb2 raises an SMI */
#define CFG_PMREGMISC	0x80
#define CFG_SMBBA	0x90
#define CFG_SMBHSTCFG	0xd2

#define PM_LEN		0x40
#define SMB_LEN		0x10

#define SMB_DEV_ERR	0x04
#define SMB_START	0x40

struct piix4_pm {
	struct acpi_pm pm;
	bool smm;			/* property: the processors have SMM */
	struct port_range *pm_ports, *smb_ports;
	uint16_t gpsts, gpen;
	uint8_t smb[SMB_LEN];
};

/* ---- general-purpose events, SMI ---- */

static bool gpe(const struct acpi_pm *pm)
{
	const struct piix4_pm *d = (const struct piix4_pm *)pm;
	return d->gpsts & d->gpen;
}

static bool raise_gpe(struct acpi_pm *pm, int n)
{
	struct piix4_pm *d = (struct piix4_pm *)pm;
	d->gpsts |= (uint16_t)(1u << n);
	return n < 16;
}

static bool gpe_enabled(const struct acpi_pm *pm, int n)
{
	return n < 16 && ((const struct piix4_pm *)pm)->gpen >> n & 1;
}

static bool smi_on_command(struct acpi_pm *pm)
{
	const struct piix4_pm *d = (const struct piix4_pm *)pm;
	return d->smm && ld32(pm->pci.config + CFG_DEVACTB) & DEVACTB_APMC;
}

static void gpsts_lo_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	((struct piix4_pm *)dev)->gpsts &= (uint16_t)~(v & 0xff);
}

static void gpsts_hi_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	((struct piix4_pm *)dev)->gpsts &= (uint16_t)~((v & 0xff) << 8);
}

#define F(f) offsetof(struct piix4_pm, f)
static const struct reg piix4_pm_regs[] = {
	ACPI_PM_REGS,
	/* off  bank     name        stored        reset write   clr  on read       on write     size */
	{ 0x0c, REG_ANY, "gpsts_lo", F(gpsts),     0,    0,      0,   NULL,         gpsts_lo_write, 1 },
	{ 0x0d, REG_ANY, "gpsts_hi", F(gpsts) + 1, 0,    0,      0,   NULL,         gpsts_hi_write, 1 },
	{ 0x0e, REG_ANY, "gpen",     F(gpen),      0,    0xffff, 0,   NULL,         NULL,           2 },
	{ 0 }
};

/* ---- SMBus host: nobody answers ---- */

static uint32_t smb_read(void *opaque, uint16_t off, int size)
{
	const struct piix4_pm *d = opaque;
	(void)size;
	return d->smb[off];
}

static void smb_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct piix4_pm *d = opaque;
	(void)size;
	if (off == 0) {
		d->smb[0] &= (uint8_t)~v;
	} else {
		d->smb[off] = (uint8_t)v;
		if (off == 2 && v & SMB_START)
			d->smb[0] |= SMB_DEV_ERR;
	}
}

static const struct port_ops smb_ops = { smb_read, smb_write, 1, 1 };

/* ---- device ---- */

uint16_t piix4_pm_base(const struct dev *dev)
{
	const uint8_t *c = ((const struct piix4_pm *)dev)->pm.pci.config;

	return c[CFG_PMREGMISC] & 1 ? ld16(c + CFG_PMBA) & 0xffc0 : 0;
}

static void map_blocks(struct piix4_pm *d)
{
	const uint8_t *c = d->pm.pci.config;
	struct machine *m = d->pm.pci.dev.m;
	port_set(m, d->pm_ports, ld16(c + CFG_PMBA) & 0xffc0, c[CFG_PMREGMISC] & 1);
	port_set(m, d->smb_ports, ld16(c + CFG_SMBBA) & 0xfff0, c[CFG_SMBHSTCFG] & 1);
}

static void piix4_pm_config_written(struct pci_dev *p, unsigned off, int n)
{
	(void)off, (void)n;
	map_blocks((struct piix4_pm *)p);
}

static bool piix4_pm_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x7113, 0x1af4, 0x1100, 0x068000, 0x03, 1, false };
	struct piix4_pm *d = dev;
	struct machine *m = d->pm.pci.dev.m;

	if (!pci_attach(&d->pm.pci, &ids, e))
		return false;
	acpi_pm_init(&d->pm);
	d->pm.gpe = gpe;
	d->pm.raise_gpe = raise_gpe;
	d->pm.gpe_enabled = gpe_enabled;
	d->pm.smi_on_command = smi_on_command;
	d->pm.pci.config_written = piix4_pm_config_written;
	pci_set_config(&d->pm.pci, PCI_STATUS, 2, 0x0280, 0);
	pci_set_config(&d->pm.pci, PCI_INT_LINE, 1, 9, 0xff);
	pci_set_config(&d->pm.pci, CFG_PMBA, 4, 1, 0xffc0);
	/* Firmware takes an enabled SMI port as a sign that SMM is set up already. */
	pci_set_config(&d->pm.pci, CFG_DEVACTB, 4, d->smm ? 0 : DEVACTB_APMC, 0xffffffff);
	pci_set_config(&d->pm.pci, CFG_PMREGMISC, 1, 0, 1);
	pci_set_config(&d->pm.pci, CFG_SMBBA, 4, 1, 0xfff0);
	pci_set_config(&d->pm.pci, CFG_SMBHSTCFG, 1, 0, 0x0f);
	d->pm_ports = port_map(m, 0, PM_LEN, &dev_port_ops_wide, d, "piix4-pm");
	d->smb_ports = port_map(m, 0, SMB_LEN, &smb_ops, d, "piix4-smbus");
	map_blocks(d);
	return true;
}

static void piix4_pm_fini(void *dev)
{
	struct piix4_pm *d = dev;
	acpi_pm_fini(&d->pm);
	port_unmap(d->pm.pci.dev.m, d->pm_ports);
	port_unmap(d->pm.pci.dev.m, d->smb_ports);
	pci_detach(&d->pm.pci);
}

static void piix4_pm_reset(void *dev)
{
	struct piix4_pm *d = dev;
	for (int i = 0; i < SMB_LEN; i++)
		d->smb[i] = 0;
	acpi_pm_reset(&d->pm);
	pci_reset(&d->pm.pci);
	map_blocks(d);
}

static bool piix4_pm_loaded(void *dev, struct err *e)
{
	struct piix4_pm *d = dev;
	(void)e;
	map_blocks(d);
	return pci_loaded(&d->pm.pci);
}

static const struct state piix4_pm_state[] = {
	ACPI_PM_STATE, STATE(piix4_pm, smb), { 0 }
};
static const struct prop piix4_pm_props[] = {
	PROP(BOOL, piix4_pm, smm, "smm", 0, "the SMI command port raises SMIs"),
	ACPI_PM_PROPS,
	{ 0 }
};

const struct dev_type piix4_pm_type = {
	.name = "PIIX4_PM", .bus = "system", .help = "PIIX4 power management",
	.size = sizeof(struct piix4_pm), .version = 1, .regs = piix4_pm_regs,
	.state = piix4_pm_state, .props = piix4_pm_props,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = piix4_pm_init, .fini = piix4_pm_fini, .reset = piix4_pm_reset,
	.update = acpi_pm_update, .loaded = piix4_pm_loaded,
};
