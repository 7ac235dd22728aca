/* Intel 82540EM, a gigabit network card: e1000. */
#ifndef HW_NET_E1000_H
#define HW_NET_E1000_H

#include "hw/pci/pci.h"

extern const struct dev_type e1000_type;

#endif
