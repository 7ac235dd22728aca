/* The software accelerators: translated code, and the µop interpreter. */
#ifndef TCG_RUN_H
#define TCG_RUN_H

#include "cpu/accel.h"

extern const struct accel_ops tcg_accel;
extern const struct accel_ops tcg_interp_accel;

/* Text for `info jit` and -d stats, about all vCPUs of c's machine. None runs. Returns the length. */
int tcg_stats_text(struct cpu *c, char *buf, int n);
/* Translate from now on without these passes (tcg/pass.h): "mem+dead"; "" means with all. */
bool tcg_without(struct cpu *c, const char *passes, struct err *e);
/*
 * Loops become regions once they were seen at work in n samples; 0: when they
 * are run first, without a timer, so that a run does not depend on time. Set
 * before the vCPU runs, on its thread.
 */
void tcg_set_hot(struct cpu *c, unsigned n);
/* Write a perf map (/tmp/perf-PID.map) of all vCPUs' code from now on. */
bool tcg_perfmap(struct cpu *c, struct err *e);

#endif
