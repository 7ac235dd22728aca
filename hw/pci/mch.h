/*
 * Q35 memory controller hub: the host bridge of the q35 board (hw/pci/host.h says
 * what bridges do).
 */
#ifndef HW_PCI_MCH_H
#define HW_PCI_MCH_H

#include "hw/pci/host.h"

extern const struct dev_type mch_type;

/* pci_host_connect(), and TSEG with it. */
bool mch_connect(struct dev *dev, struct ram *ram, struct ram *rom, uint64_t low, struct err *e);
/* Where configuration space is mapped now, and how many buses of it. False: nowhere. */
bool mch_ecam(const struct dev *dev, uint64_t *base, unsigned *buses);

#endif
