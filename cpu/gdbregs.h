/* A vCPU's registers as a debugger numbers them (cpu/gdbregs.def). While the vCPU stands. */
#ifndef CPU_GDBREGS_H
#define CPU_GDBREGS_H

#include "cpu/cpu.h"

#define GDB_REG_MAX	16	/* bytes of the largest */

/*
 * As what a debugger sees the processor. Outside of 64-bit code registers keep their lower
 * halves; seen as i386 there are only those. I8086 is I386, disassembled as 16-bit code.
 */
enum gdb_view { GDB_X86_64, GDB_I386, GDB_I8086 };
/*
 * What it is doing: I386 in 32-bit protected mode (or without long mode), else X86_64, which
 * a guest in real mode may become.
 */
enum gdb_view gdb_view_now(const struct cpu *c);

/* How many there are. */
int gdb_regs(const struct cpu *c, enum gdb_view view);
/* Bytes of register n, which are written to buf; 0: there is none. */
int gdb_reg_get(struct cpu *c, enum gdb_view view, int n, uint8_t buf[GDB_REG_MAX]);
/* Bytes of register n without reading it. */
int gdb_reg_bytes(const struct cpu *c, enum gdb_view view, int n);
/* Change it. False: it cannot become that; nothing has changed. */
bool gdb_reg_set(struct cpu *c, enum gdb_view view, int n, const uint8_t *buf);
/* The target description as XML; the caller frees it. NULL: no memory. */
char *gdb_target_xml(const struct cpu *c, enum gdb_view view);

#endif
