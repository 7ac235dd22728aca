/* Between gdbregs.c and gdbregs_system.c. */
#ifndef CPU_GDBREGS_PRIV_H
#define CPU_GDBREGS_PRIV_H

#include "cpu/regs.h"

/*
 * A selector into a segment register, a control register (or XCR0, EFER), a hidden limit or
 * attributes. False: refused, and nothing is changed. cpu_regs_loaded() has to follow.
 */
bool gdb_set_segment(struct cpu *c, int seg, uint64_t sel);
bool gdb_set_control(struct cpu *c, const struct cpu_reg *reg, uint64_t v);
bool gdb_set_hidden(struct cpu *c, const struct cpu_reg *reg, uint64_t v);

#endif
