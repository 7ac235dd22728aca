/* NE2000 network cards: ne2k_pci (Realtek RTL8029) and ne2k_isa. */
#ifndef HW_NET_NE2K_H
#define HW_NET_NE2K_H

#include "hw/pci/pci.h"

extern const struct dev_type ne2k_pci_type, ne2k_isa_type;

#endif
