/*
 * The reset control register at port CF9h: bit 2 going from 0 to 1 resets the machine, whatever the
 * other bits say of hard and soft. Chipset functions hold it. Machine lock.
 *
 * Source: Intel 82371FB/82371SB data sheet, 2.4.1.3; ICH9 data sheet, 13.7.5 (RST_CNT).
 */
#ifndef HW_PCI_RESET_PORT_H
#define HW_PCI_RESET_PORT_H

#include "hw/core/bus.h"

struct reset_port {
	struct machine *m;
	struct port_range *range;
	uint8_t kept;			/* bits that read as written */
	uint8_t rcr;			/* saved by its holder; 0 after reset */
};

void reset_port_map(struct reset_port *r, struct machine *m, uint8_t kept);
void reset_port_unmap(struct reset_port *r);

#endif
