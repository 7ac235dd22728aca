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

/* ---- not light ---- */

/* The host's rate, measured over a few milliseconds and rounded to 100 kHz. */
uint64_t tsc_host_khz(void);
/* The guest's counter runs at this rate from now on; call tsc_update_insn() then. */
void tsc_set_khz(struct cpu *c, uint64_t khz);
/* Whether RDTSC may be the host's, in c->insn_feat. */
void tsc_update_insn(struct cpu *c);

/*
 * All counters of a machine stand (c->tsc_held), and go on from there. Between the two
 * RDTSC would not know, but nobody executes it; tsc_goes_on() puts the counters back to
 * what is held without letting them go. vCPUs at rest; repeated calls do nothing.
 */
void tsc_hold(struct phys *p);
void tsc_goes_on(struct phys *p);
void tsc_release(struct phys *p);

#endif
