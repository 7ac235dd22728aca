/* A vCPU's registers as a table (cpu/regs.def). */
#ifndef CPU_REGS_H
#define CPU_REGS_H

#include "cpu/cpu.h"

enum reg_class {
	REG_GENERAL, REG_FLAGS, REG_SEGMENT, REG_CONTROL, REG_MODEL, REG_VECTOR, REG_EVENT,
};

struct cpu_reg {
	const char *name;
	uint16_t bytes;
	uint16_t where;		/* offset in struct cpu */
	uint8_t class;		/* enum reg_class */
};
extern const struct cpu_reg cpu_regs[];
extern const unsigned n_cpu_regs;

/* By name, or NULL. */
const struct cpu_reg *cpu_reg_find(const char *name);

/*
 * Rows were written directly (a state file, another accelerator): derive what
 * depends on them, forget translations. On the vCPU's thread or while it stands.
 */
void cpu_regs_loaded(struct cpu *c);

#endif
