/*
 * ICH9 LPC bridge: interrupt routing, power management, reset control.
 */
#ifndef HW_PCI_ICH9_H
#define HW_PCI_ICH9_H

#include "hw/pci/acpi_pm.h"

extern const struct dev_type ich9_type;		/* struct acpi_pm first */
extern const struct dev_type ich9_smbus_type;

#define ICH9_NPIRQ 8

/* Where routed ISA interrupt n (0..15) goes, and where PIRQ n (A..H) goes undivided; once. */
void ich9_connect_isa(struct dev *dev, int n, struct irq to);
void ich9_connect_pirq(struct dev *dev, int n, struct irq to);
/* PIRQ input 0..7 (A..H). */
struct irq ich9_pirq(struct dev *dev, int n);
/* I/O address of the power management block, or 0: off. */
uint16_t ich9_pm_base(const struct dev *dev);

#endif
