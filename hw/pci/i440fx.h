/*
 * i440FX host bridge (hw/pci/host.h says what bridges do).
 */
#ifndef HW_PCI_I440FX_H
#define HW_PCI_I440FX_H

#include "hw/pci/host.h"

extern const struct dev_type i440fx_type;

#endif
