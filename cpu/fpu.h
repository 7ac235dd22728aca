/* The x87 in C, on the image in cpu->xsave: for the µop interpreter. Not light. */
#ifndef CPU_FPU_H
#define CPU_FPU_H

#include "cpu/cpu.h"
#include "cpu/insn.h"

#define FSW_ES		0x0080u	/* an unmasked exception is pending */

/*
 * A memory operand raised #PF, #GP, #SS or #AC (c->exc_vector, c->rip at the instruction): if
 * the instruction is one that looks at the x87's pending error, #MF comes first. Behind any
 * unwinding, before delivery.
 */
void fpu_error_first(struct cpu *c);

/* What every waiting instruction does first: raise #MF, or FERR#, for a pending error. */
void fpu_check_pending(struct cpu *c);

/* Execute an x87 row; mem is the memory operand in host memory, or NULL. Raises #MF as the host would. */
void x87_exec(struct cpu *c, const struct insn *in, uint8_t *mem);

#endif
