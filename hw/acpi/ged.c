/*
 * Hardware-reduced ACPI: what a machine has instead of fixed hardware.
 *
 *	0  SLEEP_CONTROL  bits 4:2 sleep type, bit 5 enable: type 5 switches off
 *	1  SLEEP_STATUS   bit 7: woken (never)
 *	2  RESET          writing 1 resets
 *	4  EVENTS         what has happened; writing ones clears; the line is up while any is set
 *
 * Not modelled: sleep states other than S5.
 * Source: ACPI specification 6.3, 4.8.3.7 (sleep control and status), 4.8.3.6 (reset),
 * 5.6.9 (interrupt-signalled events); the event register is this board's own, which its
 * DSDT describes.
 */
#include "hw/acpi/ged.h"

#define SLP_EN		0x20u
#define SLP_TYP(v)	((v) >> 2 & 7)

struct ged {
	struct dev dev;
	struct mmio *mmio;
	struct irq irq;
	uint32_t events;
};

static void ged_update(void *dev)
{
	struct ged *d = dev;

	irq_set(d->irq, d->events != 0);
}

static void sleep_write(void *dev, uint32_t v, uint32_t old)
{
	struct ged *d = dev;

	(void)old;
	if (!(v & SLP_EN))
		return;
	if (SLP_TYP(v) == GED_SLEEP_OFF)
		machine_request(d->dev.m, MACHINE_POWEROFF, 0);
	else
		log_guest("ged: sleep type %u", SLP_TYP(v));
}

static void reset_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	if (v == GED_RESET_VALUE)
		machine_request(((struct ged *)dev)->dev.m, MACHINE_RESET, 0);
}

void ged_power_button(struct dev *dev)
{
	struct ged *d = (struct ged *)dev;

	d->events |= GED_POWER_BUTTON;
	ged_update(d);
}

void ged_place(struct dev *dev, uint64_t pa, struct irq irq)
{
	struct ged *d = (struct ged *)dev;

	d->irq = dev_own_irq(dev, irq);
	mmio_set(dev->m, d->mmio, pa, true);
}

static bool ged_init(void *dev, struct err *e)
{
	struct ged *d = dev;

	d->mmio = mmio_map(d->dev.m, 0, GED_SIZE, 1, &dev_mmio_ops, d, "acpi-ged", e);
	if (!d->mmio)
		return false;
	mmio_set(d->dev.m, d->mmio, 0, false);
	return true;
}

static void ged_fini(void *dev)
{
	mmio_unmap(((struct ged *)dev)->dev.m, ((struct ged *)dev)->mmio);
}

static const struct reg ged_regs[] = {
	/* off             bank     name             stored                     reset write clr on read on write size, 1 clears */
	{ GED_SLEEP_CONTROL, REG_ANY, "sleep_control", REG_NONE,                   0, 0, 0, NULL, sleep_write,  1 },
	{ GED_SLEEP_STATUS,  REG_ANY, "sleep_status",  REG_NONE,                   0, 0, 0, NULL, NULL,         1 },
	{ GED_RESET,         REG_ANY, "reset",         REG_NONE,                   0, 0, 0, NULL, reset_write,  1 },
	{ GED_EVENTS,        REG_ANY, "events",        offsetof(struct ged, events), 0, 0, 0, NULL, NULL,         4, 0xffffffff },
	{ 0 }
};

const struct dev_type ged_type = {
	.name = "acpi-ged", .bus = "system", .help = "sleep, reset and events of hardware-reduced ACPI",
	.size = sizeof(struct ged), .version = 1, .regs = ged_regs,
	.init = ged_init, .fini = ged_fini, .update = ged_update,
};
