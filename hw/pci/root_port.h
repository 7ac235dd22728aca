/*
 * PCI Express root port; its bus is known by the port's id.
 */
#ifndef HW_PCI_ROOT_PORT_H
#define HW_PCI_ROOT_PORT_H

#include "hw/pci/pci.h"

extern const struct dev_type root_port_type;

#endif
