/*
 * PIIX3 ISA bridge: PCI interrupt routing and the reset control port.
 */
#ifndef HW_PCI_PIIX3_H
#define HW_PCI_PIIX3_H

#include "hw/pci/pci.h"

extern const struct dev_type piix3_type;

/* Where routed interrupt n (0..15) goes; once. */
void piix3_connect_isa(struct dev *dev, int n, struct irq to);
/* PIRQ input 0..3 (A..D). */
struct irq piix3_pirq(struct dev *dev, int n);

#endif
