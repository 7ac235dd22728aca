/*
 * ICH9 (82801IR) function 1f.0: LPC bridge, with power management.
 *
 *	0x40 PMBASE, 0x44 ACPI_CNTL   128 bytes of I/O space: acpi_pm.c, and
 *	     0x20 GPE0_STS  0x28 GPE0_EN   general-purpose events, 64 bits each
 *	     0x30 SMI_EN    0x34 SMI_STS       0x60 watchdog (ich9_tco.c)
 *	0x60-0x63, 0x68-0x6b   routes of PIRQ A-D and E-H to ISA interrupts (bit 7: off);
 *	     each goes to an I/O APIC pin of its own as well
 *	0xf0 RCBA   16 KiB of chipset configuration
 *
 * Port 0xcf9 resets: bit 2 going from 0 to 1, bit 1 choosing hard or soft, which are
 * the same here.
 *
 * Not modelled: GPIO, LPC decode ranges and the chipset configuration
 * registers (they only store), other SMI sources than the command port, the SCI at
 * another line than 9.
 * Source: Intel ICH9 family data sheet (316972-004), 13 (LPC), 10 (chipset
 * configuration), 13.7.5 (RST_CNT).
 */
#include "hw/pci/ich9.h"
#include "hw/pci/ich9_tco.h"
#include "hw/pci/reset_port.h"

#include <string.h>

#define CFG_PMBASE	0x40
#define CFG_ACPI_CNTL	0x44
#define ACPI_CNTL_ON	0x80u
#define CFG_PIRQ_A	0x60
#define CFG_PIRQ_E	0x68
#define PIRQ_OFF	0x80u
#define CFG_GEN_PMCON_1	0xa0
#define SMI_LOCK	0x10u
#define CFG_RCBA	0xf0
#define RCBA_ON		1u

#define PM_LEN		0x80
#define RCRB_LEN	0x4000u
#define RCRB_GCS	0x3410		/* general control and status */
#define GCS_NO_REBOOT	0x20u
#define NISA		16
#define NGPE_BYTES	8

#define SMI_GBL_EN	0x0001u
#define SMI_APMC	0x0020u

#define RCR_WMASK	0x0eu

struct ich9 {
	struct acpi_pm pm;
	bool smm;			/* property: the processors have SMM */
	struct port_range *pm_ports;
	struct mmio *rcrb_mmio;
	struct irq isa[NISA], pirq[ICH9_NPIRQ];
	uint8_t pirq_level;		/* bit per PIRQ input */
	uint16_t isa_level;		/* what is driven now */
	uint8_t gpe_sts[NGPE_BYTES], gpe_en[NGPE_BYTES];
	uint32_t smi_en, smi_sts;
	struct ich9_tco tco;
	struct reset_port reset;
	uint8_t rcrb[RCRB_LEN];
};

/* ---- interrupt routing ---- */

static uint8_t route(const struct ich9 *d, int n)
{
	return d->pm.pci.config[(n < 4 ? CFG_PIRQ_A : CFG_PIRQ_E - 4) + n];
}

/* ISA interrupts that some asserted PIRQ is routed to. */
static void route_pirqs(struct ich9 *d)
{
	uint16_t level = 0;

	for (int i = 0; i < ICH9_NPIRQ; i++)
		if (d->pirq_level >> i & 1 && !(route(d, i) & PIRQ_OFF))
			level |= (uint16_t)(1 << (route(d, i) & 0x0f));
	uint16_t changed = level ^ d->isa_level;
	d->isa_level = level;
	for (int i = 0; i < NISA; i++)
		if (changed >> i & 1)
			irq_set(d->isa[i], level >> i & 1);
}

static void set_pirq(void *opaque, int n, int level)
{
	struct ich9 *d = opaque;

	d->pirq_level = (uint8_t)((d->pirq_level & ~(1u << n)) | (level ? 1u << n : 0));
	irq_set(d->pirq[n], level);
	route_pirqs(d);
}

struct irq ich9_pirq(struct dev *dev, int n)
{
	return irq_make(set_pirq, dev, n);
}

void ich9_connect_isa(struct dev *dev, int n, struct irq to)
{
	((struct ich9 *)dev)->isa[n] = to;
}

void ich9_connect_pirq(struct dev *dev, int n, struct irq to)
{
	((struct ich9 *)dev)->pirq[n] = to;
}

/* ---- general-purpose events, SMI ---- */

static bool gpe(const struct acpi_pm *pm)
{
	const struct ich9 *d = (const struct ich9 *)pm;
	return ld64(d->gpe_sts) & ld64(d->gpe_en);
}

static bool raise_gpe(struct acpi_pm *pm, int n)
{
	struct ich9 *d = (struct ich9 *)pm;

	if (n >= 8 * NGPE_BYTES)
		return false;
	d->gpe_sts[n / 8] |= (uint8_t)(1 << n % 8);
	return true;
}

static bool gpe_enabled(const struct acpi_pm *pm, int n)
{
	return n < 8 * NGPE_BYTES && ((const struct ich9 *)pm)->gpe_en[n / 8] >> n % 8 & 1;
}

static bool smi_on_command(struct acpi_pm *pm)
{
	struct ich9 *d = (struct ich9 *)pm;

	if (!d->smm || !(d->smi_en & SMI_APMC) || !(d->smi_en & SMI_GBL_EN))
		return false;
	d->smi_sts |= SMI_APMC;
	return true;
}

/* 13.8.3.9: GBL_SMI_EN stays as it is while SMI_LOCK is set. */
static void smi_en_write(void *dev, uint32_t v, uint32_t old)
{
	struct ich9 *d = dev;

	(void)v;
	if (d->pm.pci.config[CFG_GEN_PMCON_1] & SMI_LOCK)
		d->smi_en = (d->smi_en & ~SMI_GBL_EN) | (old & SMI_GBL_EN);
}

/* ---- the watchdog ---- */

static uint32_t rld_read(void *dev)
{
	return tco_left(&((struct ich9 *)dev)->tco);
}

static void rld_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	tco_reload(&((struct ich9 *)dev)->tco);
}

static void cnt1_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v;
	tco_control(&((struct ich9 *)dev)->tco, (uint16_t)old);
}

#define F(f) offsetof(struct ich9, f)
#define GPE_STS(n) { 0x20 + n, REG_ANY, "gpe0_sts" #n, F(gpe_sts[n]), 0, 0, 0, NULL, NULL, 1, 0xff }
#define GPE_EN(n)  { 0x28 + n, REG_ANY, "gpe0_en" #n, F(gpe_en[n]), 0, 0xff, 0, NULL, NULL, 1 }
static const struct reg ich9_regs[] = {
	ACPI_PM_REGS,
	GPE_STS(0), GPE_STS(1), GPE_STS(2), GPE_STS(3), GPE_STS(4), GPE_STS(5), GPE_STS(6), GPE_STS(7),
	GPE_EN(0), GPE_EN(1), GPE_EN(2), GPE_EN(3), GPE_EN(4), GPE_EN(5), GPE_EN(6), GPE_EN(7),
	{ 0x30, REG_ANY, "smi_en",  F(smi_en),  0, 0x0003ffff, 0, NULL, smi_en_write,  4 },
	{ 0x34, REG_ANY, "smi_sts", F(smi_sts), 0, 0,          0, NULL, NULL,          4, 0xffffffff },
	ICH9_TCO_REGS(F(tco), rld_read, rld_write, cnt1_write),
	{ 0 }
};

/* ---- chipset configuration ---- */

static uint64_t rcrb_read(void *opaque, uint64_t off, int size)
{
	return ld_n(((struct ich9 *)opaque)->rcrb + off, size);
}

static void rcrb_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct ich9 *d = opaque;

	st_n(d->rcrb + off, size, v);
	d->tco.no_reboot = d->rcrb[RCRB_GCS] & GCS_NO_REBOOT;
}

static const struct mmio_ops rcrb_ops = { rcrb_read, rcrb_write, 4, false };

/* 10.1: where the interrupt pins of devices 25 to 31 go: A to PIRQA, and so on. */
static void rcrb_reset(struct ich9 *d)
{
	memset(d->rcrb, 0, sizeof(d->rcrb));
	for (unsigned at = 0x3140; at <= 0x3150; at += 2)
		st16(d->rcrb + at, 0x3210);
	d->rcrb[RCRB_GCS] = GCS_NO_REBOOT;
}

/* ---- device ---- */

uint16_t ich9_pm_base(const struct dev *dev)
{
	const uint8_t *c = ((const struct ich9 *)dev)->pm.pci.config;

	return c[CFG_ACPI_CNTL] & ACPI_CNTL_ON ? ld16(c + CFG_PMBASE) & 0xff80 : 0;
}

static void map_blocks(struct ich9 *d)
{
	struct machine *m = d->pm.pci.dev.m;
	const uint8_t *c = d->pm.pci.config;
	uint16_t pm = ich9_pm_base(&d->pm.pci.dev);

	port_set(m, d->pm_ports, pm, pm);
	mmio_set(m, d->rcrb_mmio, ld32(c + CFG_RCBA) & 0xffffc000, c[CFG_RCBA] & RCBA_ON);
}

static void ich9_config_written(struct pci_dev *p, unsigned off, int n)
{
	struct ich9 *d = (struct ich9 *)p;

	(void)off, (void)n;
	map_blocks(d);
	route_pirqs(d);
}

static void fill_config(struct pci_dev *p)
{
	pci_set_config(p, PCI_COMMAND, 2, 0x0007, 0x0108);
	pci_set_config(p, PCI_STATUS, 2, 0x0200, 0);
	pci_set_config(p, CFG_PMBASE, 4, 1, 0xff80);
	pci_set_config(p, CFG_ACPI_CNTL, 1, 0, 0x87);
	pci_keep_config(p, CFG_PMBASE, CFG_ACPI_CNTL + 1 - CFG_PMBASE);
	pci_set_config(p, 0x48, 4, 1, 0xffc0);			/* GPIO base: stored */
	pci_set_config(p, 0x4c, 1, 0, 0x10);
	for (unsigned i = 0; i < 4; i++) {
		pci_set_config(p, CFG_PIRQ_A + i, 1, PIRQ_OFF, 0x8f);
		pci_set_config(p, CFG_PIRQ_E + i, 1, PIRQ_OFF, 0x8f);
	}
	pci_set_config(p, 0x64, 1, 0x10, 0xc3);			/* serial IRQ control */
	pci_set_config(p, 0x80, 4, 0, 0xffffffff);		/* LPC decode ranges: stored */
	pci_set_config(p, CFG_GEN_PMCON_1, 2, 0, 0x07ff);
	pci_set_config(p, 0xdc, 1, 0, 0x03);			/* BIOS control */
	pci_set_config(p, CFG_RCBA, 4, 0, 0xffffc001);
	pci_keep_config(p, CFG_RCBA, 4);
}

static bool ich9_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x2918, 0x1af4, 0x1100, 0x060100, 0x02, 0, true };
	struct ich9 *d = dev;
	struct pci_dev *p = &d->pm.pci;
	struct machine *m = p->dev.m;

	if (!pci_attach(p, &ids, e))
		return false;
	acpi_pm_init(&d->pm);
	tco_init(&d->tco, m);
	d->pm.gpe = gpe;
	d->pm.raise_gpe = raise_gpe;
	d->pm.gpe_enabled = gpe_enabled;
	d->pm.smi_on_command = smi_on_command;
	p->config_written = ich9_config_written;
	fill_config(p);
	d->pm_ports = port_map(m, 0, PM_LEN, &dev_port_ops_wide, d, "ich9-pm");
	reset_port_map(&d->reset, m, RCR_WMASK);
	d->rcrb_mmio = mmio_map(m, 0, RCRB_LEN, 1, &rcrb_ops, d, "ich9-rcrb", e);
	if (!d->rcrb_mmio)
		return false;
	map_blocks(d);
	return true;
}

static void ich9_fini(void *dev)
{
	struct ich9 *d = dev;
	struct machine *m = d->pm.pci.dev.m;

	acpi_pm_fini(&d->pm);
	tco_fini(&d->tco);
	port_unmap(m, d->pm_ports);
	reset_port_unmap(&d->reset);
	mmio_unmap(m, d->rcrb_mmio);
	pci_detach(&d->pm.pci);
}

static void ich9_reset(void *dev)
{
	struct ich9 *d = dev;

	d->reset.rcr = 0;
	rcrb_reset(d);
	acpi_pm_reset(&d->pm);
	tco_reset(&d->tco);
	pci_reset(&d->pm.pci);
	/* Firmware takes an enabled SMI port as a sign that SMM is set up already. */
	if (!d->smm)
		d->smi_en = SMI_APMC | SMI_GBL_EN;
	map_blocks(d);
}

static bool ich9_loaded(void *dev, struct err *e)
{
	struct ich9 *d = dev;

	(void)e;
	map_blocks(d);
	return pci_loaded(&d->pm.pci);
}

static void ich9_update(void *dev)
{
	acpi_pm_update(dev);
	route_pirqs(dev);
}

static const struct state ich9_state[] = {
	ACPI_PM_STATE, STATE(ich9, pirq_level), STATE(ich9, isa_level), STATE_AS(ich9, reset.rcr, "rcr"),
	STATE(ich9, rcrb),
	ICH9_TCO_STATE(ich9, tco), { 0 }
};
static const struct prop ich9_props[] = {
	PROP(BOOL, ich9, smm, "smm", 0, "the SMI command port raises SMIs"),
	ACPI_PM_PROPS,
	{ 0 }
};

const struct dev_type ich9_type = {
	.name = "ICH9-LPC", .bus = "system", .help = "ICH9 LPC bridge",
	.size = sizeof(struct ich9), .version = 1, .regs = ich9_regs,
	.state = ich9_state, .props = ich9_props,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = ich9_init, .fini = ich9_fini, .reset = ich9_reset,
	.update = ich9_update, .loaded = ich9_loaded,
};
