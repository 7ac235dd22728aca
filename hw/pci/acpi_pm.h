/*
 * ACPI fixed hardware as Intel's south bridges have it: PM1 events, PM1 control,
 * PM timer; and the SMI command port. The PIIX4 and the ICH9 put it at an address
 * of their own and add general-purpose events.
 *
 * A chip embeds struct acpi_pm first, puts ACPI_PM_REGS, ACPI_PM_STATE and ACPI_PM_PROPS into
 * its tables, and calls the functions of the same names.
 */
#ifndef HW_PCI_ACPI_PM_H
#define HW_PCI_ACPI_PM_H

#include "hw/pci/pci.h"

#define ACPI_PM_STS_TMR	0x0001u
#define ACPI_PM_EN_MASK	0x0521u

struct acpi_pm {
	struct pci_dev pci;
	struct port_range *smi_ports;
	struct irq sci, smi;
	uint8_t no_s3, no_s4;		/* properties: firmware and guest are not told of that state */
	uint16_t sts, en, cnt;
	uint8_t apmc, apms;		/* 0xb2, 0xb3 */
	uint64_t carry_at;		/* guest ns of the timer's next carry (bit 23 changes) */
	struct timer carry;
	bool asleep;			/* in S3 */
	uint16_t woken_by;		/* status bits of the events that end it; they outlive the reset */
	bool (*gpe)(const struct acpi_pm *pm);		/* is a general-purpose event pending and enabled? */
	bool (*raise_gpe)(struct acpi_pm *pm, int n);	/* set its status bit; false: no such event */
	bool (*gpe_enabled)(const struct acpi_pm *pm, int n);
	bool (*smi_on_command)(struct acpi_pm *pm);	/* does a write to 0xb2 raise an SMI? */
};

#define ACPI_PM_F(f) offsetof(struct acpi_pm, f)
#define ACPI_PM_REGS \
	{ 0x00, REG_ANY, "pm1_sts_lo", ACPI_PM_F(sts),     0, 0, 0, acpi_pm_sts_read, acpi_pm_sts_lo_write, 1 }, \
	{ 0x01, REG_ANY, "pm1_sts_hi", ACPI_PM_F(sts) + 1, 0, 0, 0, NULL, acpi_pm_sts_hi_write, 1 }, \
	{ 0x02, REG_ANY, "pm1_en",  ACPI_PM_F(en),  0, ACPI_PM_EN_MASK, 0, NULL, acpi_pm_en_write, 2 }, \
	{ 0x04, REG_ANY, "pm1_cnt", ACPI_PM_F(cnt), 0, 0x1c03, 0, NULL, acpi_pm_cnt_write, 2 }, \
	{ 0x08, REG_ANY, "pm1_tmr", REG_NONE,       0, 0,      0, acpi_pm_tmr_read, NULL, 4 }
#define ACPI_PM_STATE \
	STATE(acpi_pm, apmc), STATE(acpi_pm, apms), STATE(acpi_pm, carry_at), STATE_TIMER(acpi_pm, carry), \
	STATE(acpi_pm, asleep), STATE(acpi_pm, woken_by)
#define ACPI_PM_PROPS \
	PROP(U8, acpi_pm, no_s3, "disable_s3", 0, "1: suspend to RAM is not offered"), \
	PROP(U8, acpi_pm, no_s4, "disable_s4", 0, "1: suspend to disk is not offered")

uint32_t acpi_pm_sts_read(void *dev);
void acpi_pm_sts_lo_write(void *dev, uint32_t v, uint32_t old);
void acpi_pm_sts_hi_write(void *dev, uint32_t v, uint32_t old);
void acpi_pm_en_write(void *dev, uint32_t v, uint32_t old);
void acpi_pm_cnt_write(void *dev, uint32_t v, uint32_t old);
uint32_t acpi_pm_tmr_read(void *dev);

void acpi_pm_init(struct acpi_pm *pm);
void acpi_pm_fini(struct acpi_pm *pm);
void acpi_pm_reset(struct acpi_pm *pm);
/* Drive the SCI; the chip's update. */
void acpi_pm_update(void *dev);

/* ---- for the board: any chip ---- */

/* The system control interrupt, and where an SMI goes; once. */
void acpi_pm_connect(struct dev *dev, struct irq sci, struct irq smi);
/* Somebody presses the power button. */
void acpi_pm_power_button(struct dev *dev);
/* Where the real-time clock's interrupt line (IRQ8#) goes as well. */
struct irq acpi_pm_rtc(struct dev *dev);
/* A general-purpose event: hot plug. */
void acpi_pm_raise_gpe(struct dev *dev, int n);
/* Does the guest take part: ACPI on, the event enabled? */
bool acpi_pm_listens(const struct dev *dev, int n);
/* Which sleep states are offered? */
bool acpi_pm_has_s3(const struct dev *dev);
bool acpi_pm_has_s4(const struct dev *dev);
/* S3 has ended and everything was reset: WAK_STS, and what caused it. */
void acpi_pm_woken(struct dev *dev);

#endif
