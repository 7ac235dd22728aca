/*
 * One vCPU alone: no other executes guest code meanwhile. For what a host cannot do in one
 * piece, such as a locked access to two pages, and as rare as that.
 *
 * A vCPU is `inside` (struct cpu) while it may touch guest memory by itself: from
 * cpu_inside() to cpu_outside(), which stand around an accelerator's run loop and its
 * sleep. In between the loop steps aside when REQ_CALL comes. Devices are not held off.
 *
 * All by the vCPU's own thread, without the machine lock.
 */
#ifndef CPU_ALONE_H
#define CPU_ALONE_H

#include "cpu/cpu.h"

void cpu_inside(struct cpu *c);
void cpu_outside(struct cpu *c);
/* Does another vCPU want to be alone, or is it? */
bool cpu_must_step_aside(const struct cpu *c);
/* Wait until it no longer is. */
void cpu_step_aside(struct cpu *c);

/* From here to cpu_alone_end() all others are outside. Others may be alone before. */
void cpu_alone_begin(struct cpu *c);
void cpu_alone_end(struct cpu *c);

#endif
