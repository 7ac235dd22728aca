/*
 * MMX, SSE and AVX instructions in C, on the image in cpu->xsave: what the µop
 * interpreter uses where there is no back end that runs them natively.
 */
#ifndef CPU_VEC_H
#define CPU_VEC_H

#include "cpu/cpu.h"
#include "cpu/insn.h"

/* Enter MMX mode, or raise the x87's pending error. */
void vec_enter_mmx(struct cpu *c);

/*
 * Execute a row whose `does` is vec, vec_gpr, vec_pcmpstr, emms or stmxcsr. mem
 * is the memory operand in host memory, or NULL if the instruction has none.
 * Raises #XM for unmasked floating-point exceptions and #MF for pending x87 ones
 * (MMX), with nothing written; #UD for a row that is not modelled. Not light.
 */
void vec_exec(struct cpu *c, const struct insn *in, uint8_t *mem);

#endif
