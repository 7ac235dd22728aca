/* A vCPU's registers as a debugger numbers them (cpu/gdbregs.def). While the vCPU stands. */
#ifndef CPU_GDBREGS_H
#define CPU_GDBREGS_H

#include "cpu/cpu.h"

#define GDB_REG_MAX	16	/* bytes of the largest */

/* How many there are. */
int gdb_regs(const struct cpu *c);
/* Bytes of register n, which are written to buf; 0: there is none. */
int gdb_reg_get(struct cpu *c, int n, uint8_t buf[GDB_REG_MAX]);
/* Bytes of register n without reading it. */
int gdb_reg_bytes(const struct cpu *c, int n);
/* Change it. False: it cannot become that; nothing has changed. */
bool gdb_reg_set(struct cpu *c, int n, const uint8_t *buf);
/* The target description as XML; the caller frees it. NULL: no memory. */
char *gdb_target_xml(const struct cpu *c);

#endif
