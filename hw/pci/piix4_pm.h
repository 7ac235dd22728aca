/*
 * PIIX4 power management: ACPI fixed hardware, SMI command port, SMBus host.
 */
#ifndef HW_PCI_PIIX4_PM_H
#define HW_PCI_PIIX4_PM_H

#include "hw/pci/pci.h"

extern const struct dev_type piix4_pm_type;

/* The system control interrupt, and where an SMI goes; once. */
void piix4_pm_connect(struct dev *dev, struct irq sci, struct irq smi);
/* Somebody presses the power button. */
void piix4_pm_power_button(struct dev *dev);
/* A wake event while in S3. */
void piix4_pm_wake(struct dev *dev);

#endif
