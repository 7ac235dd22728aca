/* A vCPU's registers as text, for logs and the monitor. Not light. */
#ifndef CPU_DUMP_H
#define CPU_DUMP_H

#include <stdio.h>

#include "cpu/cpu.h"

/* General, segment and system registers; x87 and SSE too if `fpu` (not while vec_live). */
void cpu_dump(const struct cpu *c, FILE *out, bool fpu);

/* A register by its name in the manual ("rax", "ah", "cs", "cr0", "eip"). False: no such. */
bool cpu_reg_by_name(const struct cpu *c, const char *name, uint64_t *v);
/* The nth such name, NULL past the end. */
const char *cpu_reg_name(unsigned n);

#endif
