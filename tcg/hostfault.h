/*
 * Host exceptions that guest instructions cause when they run natively: divide
 * errors and unmasked x87 and SIMD floating-point exceptions arrive as SIGFPE.
 */
#ifndef TCG_HOSTFAULT_H
#define TCG_HOSTFAULT_H

#include "cpu/cpu.h"

/* Catch them on this thread, which runs that vCPU's translated code. */
void hostfault_init(struct cpu *c);

#endif
