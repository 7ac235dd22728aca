/*
 * PIIX4 (82371AB) function 3: power management.
 *
 * The fixed-hardware registers of ACPI stand in I/O space where configuration
 * register 0x40 says, if 0x80 bit 0 enables them:
 *
 *	0x00 PMSTS    events: timer carry, global lock, power button, RTC, wake
 *	0x02 PMEN     their enables
 *	0x04 PMCNTRL  SCI_EN, sleep type and enable
 *	0x08 PMTMR    24 bits at 3.579545 MHz
 *	0x0c GPSTS, 0x0e GPEN   general-purpose events
 *
 * The SCI follows status and enables while SCI_EN is set. A write to port 0xb2
 * stores a command for SMM code and raises an SMI; the two commands that switch
 * ACPI on and off are carried out here, so no SMM code has to do it.
 *
 * In S3 the power button and, if enabled, the real-time clock's interrupt ask
 * for a wake-up. Waking resets this function like all others; then the status
 * register says what it was.
 *
 * Not modelled: device monitors, processor clock control, SMI sources other
 * than the command port, S1; the SMBus has no devices, so every transaction
 * ends with a device error.
 * Source: Intel 82371AB data sheet, April 1997: 7 (PM), 7.3 (SMBus);
 * ACPI specification 6.3, 4.8.
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
#define SMI_PORT	0xb2

#define STS_TMR		0x0001u
#define STS_PWRBTN	0x0100u
#define STS_RTC		0x0400u
#define STS_WAK		0x8000u
#define STS_MASK	0x8531u
#define EN_MASK		0x0521u
#define CNT_SCI_EN	0x0001u
#define CNT_SLP_TYP(v)	((v) >> 10 & 7)
#define CNT_SLP_EN	0x2000u
enum { SLP_S5 = 0, SLP_S3 = 1, SLP_S4 = 2 };

#define TMR_HZ		3579545ull
#define TMR_MSB		(1u << 23)

#define CMD_ACPI_ENABLE	0xf1
#define CMD_ACPI_DISABLE 0xf0

#define SMB_DEV_ERR	0x04
#define SMB_START	0x40

struct piix4_pm {
	struct pci_dev pci;
	bool smm;			/* property: the processors have SMM */
	struct port_range *pm_ports, *smb_ports, *smi_ports;
	struct irq sci, smi;
	uint16_t sts, en, cnt, gpsts, gpen;
	uint8_t apmc, apms;		/* 0xb2, 0xb3 */
	uint8_t smb[SMB_LEN];
	uint64_t carry_at;		/* guest ns of the timer's next carry (bit 23 changes) */
	struct timer carry;
	bool asleep;			/* in S3 */
	uint16_t woken_by;		/* status bits of the events that end it; they outlive the reset */
};

/* ---- the PM timer ---- */

static uint64_t ticks(const struct piix4_pm *d)
{
	return muldiv64(clock_now(&d->pci.dev.m->clock), TMR_HZ, NS_PER_SEC);
}

static uint64_t next_carry(const struct piix4_pm *d)
{
	uint64_t t = (ticks(d) / TMR_MSB + 1) * TMR_MSB;
	return muldiv64(t, NS_PER_SEC, TMR_HZ) + 1;
}

/* Bring TMR_STS up to date. */
static void carry_check(struct piix4_pm *d)
{
	if (clock_now(&d->pci.dev.m->clock) >= d->carry_at) {
		d->sts |= STS_TMR;
		d->carry_at = next_carry(d);
	}
}

static void piix4_pm_update(void *dev)
{
	struct piix4_pm *d = dev;
	bool event = (d->sts & d->en & EN_MASK) || (d->gpsts & d->gpen);
	irq_set(d->sci, event && d->cnt & CNT_SCI_EN);
	if (d->en & STS_TMR && !(d->sts & STS_TMR))
		timer_mod(&d->carry, d->carry_at);
	else
		timer_del(&d->carry);
}

static void carry_fired(void *opaque)
{
	struct piix4_pm *d = opaque;
	carry_check(d);
	piix4_pm_update(d);
}

/* ---- PM registers ---- */

static uint32_t sts_lo_read(void *dev)
{
	struct piix4_pm *d = dev;
	carry_check(d);
	return d->sts & 0xff;
}

static void sts_lo_write(void *dev, uint32_t v, uint32_t old)
{
	struct piix4_pm *d = dev;
	(void)old;
	carry_check(d);
	d->sts &= (uint16_t)~(v & 0xff);
}

static void sts_hi_write(void *dev, uint32_t v, uint32_t old)
{
	struct piix4_pm *d = dev;
	(void)old;
	d->sts &= (uint16_t)~((v & 0xff) << 8);
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

static void en_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	carry_check(dev);
}

static void cnt_write(void *dev, uint32_t v, uint32_t old)
{
	struct piix4_pm *d = dev;
	(void)old;
	if (!(v & CNT_SLP_EN))
		return;
	switch (CNT_SLP_TYP(v)) {
	case SLP_S5:
	case SLP_S4:
		machine_request(d->pci.dev.m, MACHINE_POWEROFF, 0);
		break;
	case SLP_S3:
		d->asleep = true;
		d->woken_by = 0;
		machine_request(d->pci.dev.m, MACHINE_SUSPEND, 0);
		break;
	default:
		log_guest("piix4-pm: sleep type %u", CNT_SLP_TYP(v));
	}
}

static uint32_t tmr_read(void *dev)
{
	return ticks(dev) & (2 * TMR_MSB - 1);
}

#define F(f) offsetof(struct piix4_pm, f)
static const struct reg piix4_pm_regs[] = {
	/* off  bank     name        stored        reset write   clr  on read       on write     size */
	{ 0x00, REG_ANY, "pmsts_lo", F(sts),       0,    0,      0,   sts_lo_read,  sts_lo_write,   1 },
	{ 0x01, REG_ANY, "pmsts_hi", F(sts) + 1,   0,    0,      0,   NULL,         sts_hi_write,   1 },
	{ 0x02, REG_ANY, "pmen",     F(en),        0,    EN_MASK, 0,  NULL,         en_write,       2 },
	{ 0x04, REG_ANY, "pmcntrl",  F(cnt),       0,    0x1c03, 0,   NULL,         cnt_write,      2 },
	{ 0x08, REG_ANY, "pmtmr",    REG_NONE,     0,    0,      0,   tmr_read,     NULL,           4 },
	{ 0x0c, REG_ANY, "gpsts_lo", F(gpsts),     0,    0,      0,   NULL,         gpsts_lo_write, 1 },
	{ 0x0d, REG_ANY, "gpsts_hi", F(gpsts) + 1, 0,    0,      0,   NULL,         gpsts_hi_write, 1 },
	{ 0x0e, REG_ANY, "gpen",     F(gpen),      0,    0xffff, 0,   NULL,         NULL,           2 },
	{ 0 }
};

/* ---- events from outside ---- */

static void event(struct piix4_pm *d, uint16_t sts, bool wakes)
{
	d->sts |= sts;
	if (d->asleep && wakes) {
		d->woken_by |= sts;
		machine_request(d->pci.dev.m, MACHINE_WAKEUP, 0);
	}
	piix4_pm_update(d);
}

void piix4_pm_power_button(struct dev *dev)
{
	event((struct piix4_pm *)dev, STS_PWRBTN, true);
}

static void rtc_input(void *opaque, int n, int level)
{
	struct piix4_pm *d = opaque;
	(void)n;
	if (level)
		event(d, STS_RTC, d->en & STS_RTC);
}

struct irq piix4_pm_rtc(struct dev *dev)
{
	return irq_make(rtc_input, dev, 0);
}

void piix4_pm_woken(struct dev *dev)
{
	struct piix4_pm *d = (struct piix4_pm *)dev;
	d->sts |= STS_WAK | d->woken_by;
	d->asleep = false;
	d->woken_by = 0;
	piix4_pm_update(d);
}

void piix4_pm_connect(struct dev *dev, struct irq sci, struct irq smi)
{
	struct piix4_pm *d = (struct piix4_pm *)dev;
	d->sci = sci;
	d->smi = smi;
}

/* ---- SMI command port ---- */

static uint32_t smi_read(void *opaque, uint16_t off, int size)
{
	const struct piix4_pm *d = opaque;
	(void)size;
	return off ? d->apms : d->apmc;
}

static void smi_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct piix4_pm *d = opaque;
	(void)size;
	if (off) {
		d->apms = (uint8_t)v;
		return;
	}
	d->apmc = (uint8_t)v;
	if (v == CMD_ACPI_ENABLE)
		d->cnt |= CNT_SCI_EN;
	else if (v == CMD_ACPI_DISABLE)
		d->cnt &= (uint16_t)~CNT_SCI_EN;
	if (d->smm && ld32(d->pci.config + CFG_DEVACTB) & DEVACTB_APMC)
		irq_pulse(d->smi);
	piix4_pm_update(d);
}

static const struct port_ops smi_ops = { smi_read, smi_write, 1, 1 };

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

static void map_blocks(struct piix4_pm *d)
{
	const uint8_t *c = d->pci.config;
	struct machine *m = d->pci.dev.m;
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
	struct machine *m = d->pci.dev.m;

	timer_init(&d->carry, &m->clock, carry_fired, d);
	if (!pci_attach(&d->pci, &ids, e))
		return false;
	d->pci.config_written = piix4_pm_config_written;
	pci_set_config(&d->pci, PCI_STATUS, 2, 0x0280, 0);
	pci_set_config(&d->pci, PCI_INT_LINE, 1, 9, 0xff);
	pci_set_config(&d->pci, CFG_PMBA, 4, 1, 0xffc0);
	/* Firmware takes an enabled SMI port as a sign that SMM is set up already. */
	pci_set_config(&d->pci, CFG_DEVACTB, 4, d->smm ? 0 : DEVACTB_APMC, 0xffffffff);
	pci_set_config(&d->pci, CFG_PMREGMISC, 1, 0, 1);
	pci_set_config(&d->pci, CFG_SMBBA, 4, 1, 0xfff0);
	pci_set_config(&d->pci, CFG_SMBHSTCFG, 1, 0, 0x0f);
	d->pm_ports = port_map(m, 0, PM_LEN, &dev_port_ops_wide, d, "piix4-pm");
	d->smb_ports = port_map(m, 0, SMB_LEN, &smb_ops, d, "piix4-smbus");
	d->smi_ports = port_map(m, SMI_PORT, 2, &smi_ops, d, "smi-command");
	map_blocks(d);
	return true;
}

static void piix4_pm_fini(void *dev)
{
	struct piix4_pm *d = dev;
	timer_del(&d->carry);
	port_unmap(d->pci.dev.m, d->pm_ports);
	port_unmap(d->pci.dev.m, d->smb_ports);
	port_unmap(d->pci.dev.m, d->smi_ports);
	pci_detach(&d->pci);
}

static void piix4_pm_reset(void *dev)
{
	struct piix4_pm *d = dev;
	d->apmc = d->apms = 0;
	for (int i = 0; i < SMB_LEN; i++)
		d->smb[i] = 0;
	d->carry_at = next_carry(d);
	pci_reset(&d->pci);
	map_blocks(d);
}

static bool piix4_pm_loaded(void *dev, struct err *e)
{
	struct piix4_pm *d = dev;
	(void)e;
	map_blocks(d);
	return pci_loaded(&d->pci);
}

static const struct state piix4_pm_state[] = {
	STATE(piix4_pm, apmc), STATE(piix4_pm, apms), STATE(piix4_pm, smb),
	STATE(piix4_pm, carry_at), STATE_TIMER(piix4_pm, carry),
	STATE(piix4_pm, asleep), STATE(piix4_pm, woken_by), { 0 }
};
static const struct prop piix4_pm_props[] = {
	PROP(BOOL, piix4_pm, smm, "smm", 0, "the SMI command port raises SMIs"),
	{ 0 }
};

const struct dev_type piix4_pm_type = {
	.name = "PIIX4_PM", .bus = "system", .help = "PIIX4 power management",
	.size = sizeof(struct piix4_pm), .version = 1, .regs = piix4_pm_regs,
	.state = piix4_pm_state, .props = piix4_pm_props,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = piix4_pm_init, .fini = piix4_pm_fini, .reset = piix4_pm_reset,
	.update = piix4_pm_update, .loaded = piix4_pm_loaded,
};
