/*
 * MC146818 real-time clock and its CMOS memory.
 */
#ifndef HW_TIMER_RTC_H
#define HW_TIMER_RTC_H

#include "hw/core/dev.h"

extern const struct dev_type rtc_type;

/* Where the interrupt goes instead of ISA line 8. */
void rtc_connect(struct dev *d, struct irq out);
/* CMOS bytes that the board fills in for the firmware; index 14..127. */
void rtc_cmos_set(struct dev *d, unsigned index, uint8_t v);

#endif
