/*
 * Last-branch records (contract in cpu/lbr.h): one branch, and the one before the
 * last exception or interrupt, as offsets in their code segments.
 *
 * Not modelled: the record stacks of Intel's processors, whose vCPUs have BTF alone;
 * the breakpoint pins (PB0 to PB3 are kept and do nothing).
 * Source: AMD APM vol. 2, 13.1.1.6, 13.5; SDM vol. 3B, sections on the P6 family's
 * last branch, interrupt and exception recording.
 */
#include "cpu/lbr.h"

#include "cpu/cpuid.h"

#define DEBUGCTL_PB	0x3cull

void lbr_set_control(struct cpu *c, uint64_t v)
{
	c->lbr.control = v & (cpuid_is_intel(c) ? DEBUGCTL_BTF : DEBUGCTL_LBR | DEBUGCTL_BTF | DEBUGCTL_PB);
	cpu_update_mode(c);
}

void lbr_branch(struct cpu *c, uint64_t from)
{
	if (!(c->lbr.control & DEBUGCTL_LBR))
		return;
	c->lbr.last[LBR_FROM] = from;
	c->lbr.last[LBR_TO] = c->rip;
}

void lbr_event(struct cpu *c, uint64_t from, bool debug_exception)
{
	if (debug_exception) {
		lbr_set_control(c, c->lbr.control & ~(DEBUGCTL_LBR | DEBUGCTL_BTF));
		return;
	}
	if (!(c->lbr.control & DEBUGCTL_LBR))
		return;
	c->lbr.last[LBR_EXC_FROM] = c->lbr.last[LBR_FROM];
	c->lbr.last[LBR_EXC_TO] = c->lbr.last[LBR_TO];
	lbr_branch(c, from);
}
