/* The x87 in C, on the image in cpu->xsave: for the µop interpreter. Not light. */
#ifndef CPU_FPU_H
#define CPU_FPU_H

#include "cpu/cpu.h"
#include "cpu/insn.h"

/* Execute an x87 row; mem is the memory operand in host memory, or NULL. Raises #MF as the host would. */
void x87_exec(struct cpu *c, const struct insn *in, uint8_t *mem);

#endif
