/*
 * Power management of hardware-reduced ACPI: sleep and reset registers, and a generic
 * event device.
 */
#ifndef HW_ACPI_GED_H
#define HW_ACPI_GED_H

#include "hw/core/dev.h"

extern const struct dev_type ged_type;

#define GED_SIZE	0x1000u		/* of its registers */
enum { GED_SLEEP_CONTROL = 0, GED_SLEEP_STATUS = 1, GED_RESET = 2, GED_EVENTS = 4 };
#define GED_RESET_VALUE	0x01u
#define GED_SLEEP_OFF	5		/* sleep type of S5 */
#define GED_POWER_BUTTON 0x01u		/* in GED_EVENTS */

/* Where the registers are, and the line of events. Once. */
void ged_place(struct dev *d, uint64_t pa, struct irq irq);
void ged_power_button(struct dev *d);

#endif
