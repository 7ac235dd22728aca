/*
 * The pair of 8259A interrupt controllers of an AT board.
 */
#ifndef HW_INTC_PIC_H
#define HW_INTC_PIC_H

#include "hw/core/dev.h"

extern const struct dev_type pic_type;

/* Interrupt input n, 0..15. Input 2 is the cascade and goes nowhere. */
struct irq pic_in(struct dev *d, int n);
/* Where INT of the first chip goes. */
void pic_connect(struct dev *d, struct irq out);
/* The INTA cycle: accepts the highest request and gives its vector (7 or 15 of a chip if it is gone). */
int pic_intack(struct dev *d);
/* The vector input n of the first chip has; -1 while it is masked. */
int pic_vector(const struct dev *d, int n);

#endif
