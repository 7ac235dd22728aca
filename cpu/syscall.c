/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT.
 *
 * Where Intel and AMD differ: SYSCALL and SYSRET work in compatibility and legacy
 * mode on AMD's models only, SYSENTER and SYSEXIT in long mode on Intel's only.
 * Either vendor's kernels leave the registers of the other's instructions at 0, so
 * one that does not fault runs user code's choice at CPL 0. SYSRET and SYSEXIT check
 * the return address before they leave CPL 0 (Intel); behind AMD's SYSRET the fetch faults.
 * AMD's SYSRET loads SS' selector only: a null SS of the kernel stays unusable.
 * Source: SDM vol. 2; APM vol. 3 SYSCALL, SYSRET; vol. 2 6.1.
 */
#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/seg.h"

#define FLAT	0xffffffffu

/* CS and SS as these instructions set them: flat, whatever the tables say. */
static void set_flat(struct cpu *c, uint16_t cs, uint16_t ss, int cpl, uint32_t size_attr)
{
	seg_make(&c->segs[CS], (cs & ~3u) | (unsigned)cpl, 0, FLAT,
		 ATTR_CODE | ATTR_DPL(cpl) | SEG_G | size_attr);
	seg_make(&c->segs[SS], (ss & ~3u) | (unsigned)cpl, 0, FLAT,
		 ATTR_DATA | ATTR_DPL(cpl) | SEG_G | SEG_DB);
}

/* The selector is new, the rest of SS as it was; the privilege level is its DPL here. */
static void keep_ss(struct cpu *c, struct seg old, int cpl)
{
	seg_make(&c->segs[SS], c->segs[SS].sel, old.base, old.limit,
		 (old.attr & ~(unsigned)ATTR_DPL(3)) | ATTR_DPL(cpl));
}

/* SYSCALL and SYSRET exist here and now. */
static void need_syscall(struct cpu *c)
{
	if (!(c->efer & EFER_SCE) || (cpuid_is_intel(c) && !cpu_is64(c)))
		cpu_raise(c, EXC_UD);
}

void cpu_syscall(struct cpu *c, uint64_t next)
{
	uint16_t cs = (uint16_t)(c->star >> 32);
	uint32_t fl = cpu_get_eflags(c);

	need_syscall(c);
	if (!(c->mode & MODE_PE))
		cpu_raise(c, EXC_UD);
	if (in_long(c)) {
		c->regs[RCX] = next;
		c->regs[R11] = fl & ~FL_RF;
		c->rip = cpu_is64(c) ? c->lstar : c->cstar;
		put_eflags(c, fl & ~(uint32_t)c->sfmask & ~FL_RF);
		set_flat(c, cs, cs + 8, 0, SEG_L);
	} else {
		c->regs[RCX] = (uint32_t)next;
		c->rip = (uint32_t)c->star;
		put_eflags(c, fl & ~(FL_VM | FL_IF | FL_RF));
		set_flat(c, cs, cs + 8, 0, SEG_DB);
	}
	if (fl & FL_TF && !(c->eflags & FL_TF))
		c->dr6_pending |= NO_STEP;
	cpu_update_mode(c);
}

void cpu_sysret(struct cpu *c, int opsize)
{
	uint16_t sel = (uint16_t)(c->star >> 48);
	struct seg ss = c->segs[SS];
	bool to64 = opsize == 8;

	need_syscall(c);
	if (!in_protected(c) || cpu_cpl(c) || (to64 && cpuid_is_intel(c) && !mmu_canonical(c, c->regs[RCX])))
		cpu_raise_err(c, EXC_GP, 0);
	c->rip = to64 ? c->regs[RCX] : (uint32_t)c->regs[RCX];
	if (in_long(c))
		put_eflags(c, (uint32_t)c->regs[R11] & ~(FL_RF | FL_VM));
	else
		c->eflags |= FL_IF;
	set_flat(c, to64 ? sel + 16 : sel, sel + 8, 3, to64 ? SEG_L : SEG_DB);
	if (!cpuid_is_intel(c))
		keep_ss(c, ss, 3);
	if (c->eflags & FL_TF)
		c->dr6_pending |= STEP_NOW;
	cpu_update_mode(c);
}

void cpu_sysenter(struct cpu *c)
{
	uint16_t cs = (uint16_t)c->sysenter_cs & ~3u;
	bool lng = in_long(c);

	if (lng && !cpuid_is_intel(c))
		cpu_raise(c, EXC_UD);
	if (!(c->mode & MODE_PE) || !cs)
		cpu_raise_err(c, EXC_GP, 0);
	c->regs[RSP] = lng ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
	c->rip = lng ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
	c->eflags &= ~(FL_VM | FL_IF | FL_RF);
	set_flat(c, cs, cs + 8, 0, lng ? SEG_L : SEG_DB);
	cpu_update_mode(c);
}

void cpu_sysexit(struct cpu *c, int opsize)
{
	uint16_t cs = (uint16_t)c->sysenter_cs & ~3u;
	bool to64 = opsize == 8;
	uint64_t rsp = c->regs[RCX], rip = c->regs[RDX];

	if (!in_protected(c) || cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, 0);
	if (in_long(c) && !cpuid_is_intel(c))
		cpu_raise(c, EXC_UD);
	if (!cs)
		cpu_raise_err(c, EXC_GP, 0);
	if (to64 && (!mmu_canonical(c, rsp) || !mmu_canonical(c, rip)))
		cpu_raise_err(c, EXC_GP, 0);
	c->regs[RSP] = to64 ? rsp : (uint32_t)rsp;
	c->rip = to64 ? rip : (uint32_t)rip;
	cs += to64 ? 32 : 16;
	set_flat(c, cs, cs + 8, 3, to64 ? SEG_L : SEG_DB);
	cpu_update_mode(c);
}
