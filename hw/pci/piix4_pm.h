/*
 * PIIX4 power management (hw/pci/acpi_pm.h), SMBus host.
 */
#ifndef HW_PCI_PIIX4_PM_H
#define HW_PCI_PIIX4_PM_H

#include "hw/pci/acpi_pm.h"

extern const struct dev_type piix4_pm_type;

/* I/O address of the power management block, or 0: off. */
uint16_t piix4_pm_base(const struct dev *dev);

#endif
