/*
 * ACPI fixed hardware:
 *
 *	0x00 PM1_STS  events: timer carry, global lock, power button, RTC, wake
 *	0x02 PM1_EN   their enables
 *	0x04 PM1_CNT  SCI_EN, sleep type and enable
 *	0x08 PM1_TMR  24 bits at 3.579545 MHz
 *
 * The SCI follows status and enables while SCI_EN is set. A write to port 0xb2
 * stores a command for SMM code and raises an SMI; the two commands that switch
 * ACPI on and off are carried out here, so no SMM code has to do it.
 *
 * In S3 the power button and, if enabled, the real-time clock's interrupt ask
 * for a wake-up. Waking resets this function like all others; then the status
 * register says what it was. Sleep types are those of the PIIX4, which firmware
 * expects of an ICH9 as well: 0 soft off, 1 suspend to RAM, 2 S4; 7 is the ICH9's S5.
 *
 * Not modelled: device monitors, processor clock control, S1.
 * Source: Intel 82371AB data sheet, April 1997: 7.1 (PM); Intel ICH9 data sheet
 * (316972), 13.8.3; ACPI specification 6.3, 4.8.
 */
#include "hw/pci/acpi_pm.h"

#define SMI_PORT	0xb2

#define STS_TMR		ACPI_PM_STS_TMR
#define STS_PWRBTN	0x0100u
#define STS_RTC		0x0400u
#define STS_WAK		0x8000u
#define CNT_SCI_EN	0x0001u
#define CNT_SLP_TYP(v)	((v) >> 10 & 7)
#define CNT_SLP_EN	0x2000u
enum { SLP_OFF = 0, SLP_S3 = 1, SLP_S4 = 2, SLP_S5 = 7 };

#define TMR_HZ		3579545ull
#define TMR_MSB		(1u << 23)

#define CMD_ACPI_ENABLE	0xf1
#define CMD_ACPI_DISABLE 0xf0

/* ---- the PM timer ---- */

static uint64_t ticks(const struct acpi_pm *d)
{
	return muldiv64(clock_now(&d->pci.dev.m->clock), TMR_HZ, NS_PER_SEC);
}

static uint64_t next_carry(const struct acpi_pm *d)
{
	uint64_t t = (ticks(d) / TMR_MSB + 1) * TMR_MSB;
	return muldiv64(t, NS_PER_SEC, TMR_HZ) + 1;
}

/* Bring TMR_STS up to date. */
static void carry_check(struct acpi_pm *d)
{
	if (clock_now(&d->pci.dev.m->clock) >= d->carry_at) {
		d->sts |= STS_TMR;
		d->carry_at = next_carry(d);
	}
}

void acpi_pm_update(void *dev)
{
	struct acpi_pm *d = dev;
	bool event = (d->sts & d->en & ACPI_PM_EN_MASK) || (d->gpe && d->gpe(d));
	irq_set(d->sci, event && d->cnt & CNT_SCI_EN);
	if (d->en & STS_TMR && !(d->sts & STS_TMR))
		timer_mod(&d->carry, d->carry_at);
	else
		timer_del(&d->carry);
}

static void carry_fired(void *opaque)
{
	struct acpi_pm *d = opaque;
	carry_check(d);
	acpi_pm_update(d);
}

/* ---- PM registers ---- */

uint32_t acpi_pm_sts_read(void *dev)
{
	struct acpi_pm *d = dev;
	carry_check(d);
	return d->sts & 0xff;
}

void acpi_pm_sts_lo_write(void *dev, uint32_t v, uint32_t old)
{
	struct acpi_pm *d = dev;
	(void)old;
	carry_check(d);
	d->sts &= (uint16_t)~(v & 0xff);
}

void acpi_pm_sts_hi_write(void *dev, uint32_t v, uint32_t old)
{
	struct acpi_pm *d = dev;
	(void)old;
	d->sts &= (uint16_t)~((v & 0xff) << 8);
}

void acpi_pm_en_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	carry_check(dev);
}

void acpi_pm_cnt_write(void *dev, uint32_t v, uint32_t old)
{
	struct acpi_pm *d = dev;
	(void)old;
	if (!(v & CNT_SLP_EN))
		return;
	switch (CNT_SLP_TYP(v)) {
	case SLP_OFF:
	case SLP_S4:
	case SLP_S5:
		machine_request(d->pci.dev.m, MACHINE_POWEROFF, 0);
		break;
	case SLP_S3:
		d->asleep = true;
		d->woken_by = 0;
		machine_request(d->pci.dev.m, MACHINE_SUSPEND, 0);
		break;
	default:
		log_guest("acpi-pm: sleep type %u", CNT_SLP_TYP(v));
	}
}

uint32_t acpi_pm_tmr_read(void *dev)
{
	return ticks(dev) & (2 * TMR_MSB - 1);
}

/* ---- events from outside ---- */

static void event(struct acpi_pm *d, uint16_t sts, bool wakes)
{
	d->sts |= sts;
	if (d->asleep && wakes) {
		d->woken_by |= sts;
		machine_request(d->pci.dev.m, MACHINE_WAKEUP, 0);
	}
	acpi_pm_update(d);
}

void acpi_pm_power_button(struct dev *dev)
{
	event((struct acpi_pm *)dev, STS_PWRBTN, true);
}

static void rtc_input(void *opaque, int n, int level)
{
	struct acpi_pm *d = opaque;
	(void)n;
	if (level)
		event(d, STS_RTC, d->en & STS_RTC);
}

struct irq acpi_pm_rtc(struct dev *dev)
{
	return irq_make(rtc_input, dev, 0);
}

void acpi_pm_raise_gpe(struct dev *dev, int n)
{
	struct acpi_pm *d = (struct acpi_pm *)dev;
	if (d->raise_gpe(d, n))
		acpi_pm_update(d);
}

bool acpi_pm_listens(const struct dev *dev, int n)
{
	const struct acpi_pm *d = (const struct acpi_pm *)dev;
	return d->cnt & CNT_SCI_EN && d->gpe_enabled(d, n);
}

bool acpi_pm_has_s3(const struct dev *dev)
{
	return !((const struct acpi_pm *)dev)->no_s3;
}

bool acpi_pm_has_s4(const struct dev *dev)
{
	return !((const struct acpi_pm *)dev)->no_s4;
}

void acpi_pm_woken(struct dev *dev)
{
	struct acpi_pm *d = (struct acpi_pm *)dev;
	d->sts |= STS_WAK | d->woken_by;
	d->asleep = false;
	d->woken_by = 0;
	acpi_pm_update(d);
}

void acpi_pm_connect(struct dev *dev, struct irq sci, struct irq smi)
{
	struct acpi_pm *d = (struct acpi_pm *)dev;
	d->sci = dev_own_irq(dev, sci);
	d->smi = smi;
}

/* ---- SMI command port ---- */

static uint32_t smi_read(void *opaque, uint16_t off, int size)
{
	const struct acpi_pm *d = opaque;
	(void)size;
	return off ? d->apms : d->apmc;
}

static void smi_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct acpi_pm *d = opaque;
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
	if (d->smi_on_command(d))
		irq_pulse(d->smi);
	acpi_pm_update(d);
}

static const struct port_ops smi_ops = { smi_read, smi_write, 1, 1 };

/* ---- life ---- */

void acpi_pm_init(struct acpi_pm *d)
{
	struct machine *m = d->pci.dev.m;

	timer_init(&d->carry, &m->clock, carry_fired, d);
	d->smi_ports = port_map(m, SMI_PORT, 2, &smi_ops, d, "smi-command");
}

void acpi_pm_fini(struct acpi_pm *d)
{
	timer_del(&d->carry);
	port_unmap(d->pci.dev.m, d->smi_ports);
}

void acpi_pm_reset(struct acpi_pm *d)
{
	d->apmc = d->apms = 0;
	d->carry_at = next_carry(d);
}
