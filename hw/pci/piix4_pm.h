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
/* Where the real-time clock's interrupt line (IRQ8#) goes as well. */
struct irq piix4_pm_rtc(struct dev *dev);
/* S3 has ended and everything was reset: WAK_STS, and what caused it. */
void piix4_pm_woken(struct dev *dev);

#endif
