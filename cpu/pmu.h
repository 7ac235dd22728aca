/*
 * Performance counters. Light; on the vCPU's thread.
 *
 * The accelerator counts instructions and branches where c->mode has MODE_COUNT:
 * it takes them off pmu.left, and adds branches to pmu.branches, each by class
 * (0: CPL 0, 1: others). pmu_sync() moves what has come together into the counters.
 * When `left` goes below 0 the accelerator makes a REQ_PMU: a counter that
 * interrupts may have overflowed.
 */
#ifndef CPU_PMU_H
#define CPU_PMU_H

#include "cpu/cpu.h"

/* This model has the architectural counters of leaf 0AH. */
bool pmu_is_architectural(const struct cpu *c);

/* Counters become what they are now; those that overflow raise their interrupt. */
void pmu_sync(struct cpu *c);
/* Answer to REQ_PMU. */
void pmu_request(struct cpu *c);
void pmu_reset(struct cpu *c);
/* Registers have been loaded from outside. */
void pmu_loaded(struct cpu *c);
/* The processor goes to sleep, and comes back: no cycles in between. */
void pmu_sleep(struct cpu *c);
void pmu_wake(struct cpu *c);

/* RDPMC's counter n; false: there is none. */
bool pmu_read(struct cpu *c, uint32_t n, uint64_t *v);
/* MSRs of counters and their control; false: #GP. */
bool pmu_msr_read(struct cpu *c, uint32_t msr, uint64_t *v);
bool pmu_msr_write(struct cpu *c, uint32_t msr, uint64_t v);

#endif
