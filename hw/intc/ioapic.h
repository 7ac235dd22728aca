/*
 * I/O APIC with 24 inputs.
 */
#ifndef HW_INTC_IOAPIC_H
#define HW_INTC_IOAPIC_H

#include "hw/core/dev.h"

extern const struct dev_type ioapic_type;

#define IOAPIC_PINS 24

/* Input pin n. */
struct irq ioapic_in(struct dev *d, int n);
/*
 * ISA interrupt n of an AT board: IRQ 0 is at pin 2, IRQ 2 nowhere, the others at
 * the pin of the same number.
 */
struct irq ioapic_isa(struct dev *d, int n);
/*
 * How messages leave: address and data as in an MSI (SDM vol. 3A, 11.11). NULL:
 * machine_msi(). ExtINT messages are not sent; the virtual wire is the LAPIC's.
 */
void ioapic_connect(struct dev *d, void (*send)(void *opaque, uint64_t addr, uint32_t data), void *opaque);
/* The vector edges at pin n have; -1 while it is masked or level-triggered. */
int ioapic_vector(const struct dev *d, int n);
/* EOI for a vector came from a local APIC. */
void ioapic_eoi(struct dev *d, uint8_t vector);

#endif
