/*
 * Local APIC of one vCPU. The board makes one device for each, in order of the
 * vCPUs' indices, and connects them; all find each other.
 *
 * The APICs of a machine have a lock of their own, so what a processor asks of its APIC needs
 * no machine lock (it may be held). The I/O APIC, the 8259 and the map of memory are reached
 * with it. Wiring, and what dev.h calls, wants the machine lock.
 */
#ifndef HW_INTC_LAPIC_H
#define HW_INTC_LAPIC_H

#include "cpu/cpuid.h"
#include "hw/core/dev.h"

struct cpu;

extern const struct dev_type lapic_type;

/* ---- wiring ---- */
/* The processor this APIC belongs to; cpu->index and cpu->apic_id count from now on. */
void lapic_connect_cpu(struct dev *d, struct cpu *c);
/* Who answers the INTA cycle when LINT0 is an ExtINT: the 8259. */
void lapic_connect_extint(struct dev *d, int (*ack)(void *opaque), void *opaque);
/* Who hears that a level-triggered vector is finished: the I/O APIC. Once for all. */
void lapic_connect_eoi(struct dev *d, void (*eoi)(void *opaque, uint8_t vector), void *opaque);
/* Pins LINT0 and LINT1. */
struct irq lapic_lint(struct dev *d, int n);
/* A message: machine->msi and the I/O APIC's; opaque is any one of the local APICs. */
void lapic_message(void *opaque, uint64_t addr, uint32_t data);

/* ---- what the processor asks: the halves of struct cpu_board ---- */
/* Take the highest pending interrupt: vector, or -1. */
int lapic_intack(struct dev *d);
/* Another processor's interrupt command reaches this one: the low word of ICR. */
void lapic_command(struct dev *d, uint32_t icr);
uint64_t lapic_get_cr8(struct dev *d);
void lapic_set_cr8(struct dev *d, uint64_t v);
/* A performance counter of this processor has overflowed. */
void lapic_perf(struct dev *d);
/* APIC base (1Bh), TSC deadline (6E0h), x2APIC (800h-8FFh). False: #GP. */
bool lapic_msr_read(struct dev *d, uint32_t msr, uint64_t *v);
bool lapic_msr_write(struct dev *d, uint32_t msr, uint64_t v);

/*
 * LAPIC timer ticks a second before the divider: a bus clock. Not faster than on
 * real boards: software that watches the count go by needs it to last longer
 * than the host may take the processor away.
 */
#define LAPIC_HZ (CPUID_BUS_KHZ * 1000)

#endif
