/*
 * How a vCPU is driven. An accelerator is a table of functions; everything
 * architectural stays in struct cpu, so that one accelerator can stop and
 * another go on with the same guest.
 */
#ifndef CPU_ACCEL_H
#define CPU_ACCEL_H

#include "cpu/cpu.h"

/* Why run() came back. */
enum accel_exit {
	ACCEL_REQUEST,		/* REQ_EXIT was set */
	ACCEL_HALT_FOREVER,	/* cannot happen to go on: HLT with no wake-up source known */
	ACCEL_DEBUG,		/* breakpoint, watchpoint or step (c->dr[6] style cause) */
	ACCEL_FAILED,		/* the accelerator cannot go on; state is written back */
};

struct accel_ops {
	const char *name;
	/* Prepare a vCPU for this accelerator. On its thread. */
	bool (*create)(struct cpu *c, struct err *e);
	void (*destroy)(struct cpu *c);
	/* Run guest code until there is a reason to stop. On the vCPU's thread. */
	enum accel_exit (*run)(struct cpu *c);
	/* Make a running vCPU look at c->request soon. Any thread, signal-safe. */
	void (*kick)(struct cpu *c);
	/* Bring state the accelerator holds elsewhere into struct cpu / back. */
	void (*get)(struct cpu *c);
	void (*put)(struct cpu *c);
};

#endif
