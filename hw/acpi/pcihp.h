/*
 * Hot plug of PCI slots by ACPI: registers that the DSDT's methods read.
 */
#ifndef HW_ACPI_PCIHP_H
#define HW_ACPI_PCIHP_H

#include "hw/pci/pci.h"

extern const struct dev_type pcihp_type;

#define PCIHP_PORT	0xae00
#define PCIHP_LEN	12
enum { PCIHP_UP = 0, PCIHP_DOWN = 4, PCIHP_EJECT = 8 };	/* 32 bits each, one a slot */
#define PCIHP_GPE	1

/* Slots of this bus; events go to the power management function `pm` (struct acpi_pm). Once. */
void pcihp_connect(struct dev *d, struct pci_bus *bus, struct dev *pm);

#endif
