/*
 * Last-branch records and single stepping on branches: what MSR DEBUGCTL turns on.
 *
 * Recording is done by who makes a transfer: the accelerator calls lbr_branch()
 * behind a taken branch, event delivery lbr_event(). While LBR is set c->mode has
 * MODE_DEBUG, so that instructions run one by one; else nothing of this is asked for.
 * Light.
 */
#ifndef CPU_LBR_H
#define CPU_LBR_H

#include "cpu/cpu.h"

/* MSR DEBUGCTL. */
#define DEBUGCTL_LBR	BIT(0)		/* record */
#define DEBUGCTL_BTF	BIT(1)		/* EFLAGS.TF traps behind branches only */

/* Writing DEBUGCTL: bits that this vCPU has, the mode word follows. */
void lbr_set_control(struct cpu *c, uint64_t v);
/* A branch from offset `from` has been taken to c->rip. */
void lbr_branch(struct cpu *c, uint64_t from);
/* A handler has been entered at c->rip, from offset `from`. A debug exception is not recorded: it turns all off. */
void lbr_event(struct cpu *c, uint64_t from, bool debug_exception);

#endif
