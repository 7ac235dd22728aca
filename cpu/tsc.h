/*
 * The guest's time-stamp counter: the host's plus an offset, or made from the
 * board's clock where that decides about time (counted mode). Light.
 */
#ifndef CPU_TSC_H
#define CPU_TSC_H

#include "cpu/cpu.h"

/* What RDTSC returns now, without its privilege check. */
uint64_t tsc_now(struct cpu *c);

/*
 * The processor's own counter: while a guest of VMRUN runs, RDTSC has an offset
 * that the local APIC and the host do not see. Any thread.
 */
uint64_t tsc_own(struct cpu *c);

#endif
