/*
 * The portable µop interpreter: executes struct ir directly on struct cpu.
 * Oracle of the back ends, and what runs where there is no back end.
 */
#ifndef TCG_INTERP_H
#define TCG_INTERP_H

#include "tcg/uop.h"

/* How a block was left; c->rip is where to go on. */
enum interp_exit { INTERP_NEXT, INTERP_EXIT };
/*
 * Run the block from µop 0. Raises by cpu_raise (c->rip set to the faulting
 * instruction). A store into the running block stops it behind the store
 * (`*stop`, set by the caller's code_written callback, is looked at after each).
 */
enum interp_exit interp_run(struct cpu *c, const struct ir *ir, const bool *stop);

/* Vector rows in C (cpu/vec.c): mem is the operand in host memory or NULL. */
#endif
