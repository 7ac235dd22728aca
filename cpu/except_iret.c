/*
 * IRET: from every mode to every mode it can go to.
 *
 * iret64() is a hot path: one probe for the frame, two descriptor reads.
 * Source: SDM vol. 2 IRET, vol. 3A 6.12, 6.14.3, 7.4; vol. 3B 20.2.7, 20.3.
 */
#include "cpu/desc.h"
#include "cpu/except.h"
#include "cpu/seg.h"

/* Flags that IRET replaces, seen from CPL cpl. */
static uint32_t iret_mask(const struct cpu *c, int cpl, int opsize)
{
	uint32_t m = FL_ARITH | FL_TF | FL_DF | FL_NT;

	if (opsize > 2)
		m |= FL_RF | FL_AC | FL_ID;
	if (cpl <= cpu_iopl(c))
		m |= FL_IF;
	if (cpl == 0) {
		m |= FL_IOPL;
		if (opsize > 2)
			m |= FL_VIF | FL_VIP;
	}
	return m;
}

/* RF counts only while breakpoints are armed: the next instruction clears it. */
static void load_flags(struct cpu *c, uint32_t v, uint32_t mask)
{
	if (!(c->mode & MODE_DEBUG))
		v &= ~FL_RF;
	put_eflags(c, (v & mask) | (cpu_get_eflags(c) & ~mask));
}

/* ---- real and virtual-8086 mode ---- */

static void iret_real(struct cpu *c, int opsize)
{
	bool vm = in_vm86(c);
	uint32_t fl, mask;
	uint64_t off;
	uint16_t sel;
	struct stack st;
	struct seg cs;

	stack_current(c, &st, 0);
	off = stack_pop(c, &st, opsize);
	sel = (uint16_t)stack_pop(c, &st, opsize);
	fl = (uint32_t)stack_pop(c, &st, opsize);
	mask = opsize == 2 ? FL_ALL & 0xffff : FL_ALL & ~(FL_VM | FL_VIF | FL_VIP);
	if (vm)
		mask &= ~FL_IOPL;
	if (vm && cpu_iopl(c) < 3) {	/* VME: IF means VIF */
		if (fl & FL_TF || (fl & FL_IF && c->eflags & FL_VIP))
			cpu_raise_err(c, EXC_GP, 0);
		mask = (mask & ~FL_IF) | FL_VIF;
		fl = (fl & ~FL_VIF) | (fl & FL_IF ? FL_VIF : 0);
	}
	seg_real(c, CS, sel, &cs);
	check_rip(c, &cs, off, 0);
	load_flags(c, fl, mask);
	c->regs[RSP] = stack_rsp(c, &st);
	c->segs[CS] = cs;
	c->rip = off;
	cpu_update_mode(c);
}

/* Protected mode at CPL 0 to virtual-8086 mode: nine doublewords on the stack. */
static void iret_to_vm86(struct cpu *c, struct stack *st, uint64_t ip, uint16_t cs, uint32_t fl)
{
	static const uint8_t order[] = { ES, DS, FS, GS };
	uint32_t esp = (uint32_t)stack_pop(c, st, 4);
	uint16_t ss = (uint16_t)stack_pop(c, st, 4), sel[4];

	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		sel[i] = (uint16_t)stack_pop(c, st, 4);
	if (ip > 0xffff)
		cpu_raise_err(c, EXC_GP, 0);
	load_flags(c, fl, ~0u);
	cpu_update_mode(c);		/* seg_real() below looks at it */
	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		seg_real(c, order[i], sel[i], &c->segs[order[i]]);
	seg_real(c, CS, cs, &c->segs[CS]);
	seg_real(c, SS, ss, &c->segs[SS]);
	c->regs[RSP] = esp;
	c->rip = ip;
	cpu_update_mode(c);
}

/* ---- protected mode, compatibility mode ---- */

static void iret_task(struct cpu *c, uint64_t next)
{
	uint16_t link;

	if (in_long(c))
		cpu_raise_err(c, EXC_GP, 0);
	link = (uint16_t)sys_ld(c, (uint32_t)c->segs[TR].base, 2);
	task_switch(c, link, TASK_IRET, next, false, 0);
}

static void iret_protected(struct cpu *c, int opsize)
{
	int cpl = cpu_cpl(c);
	struct stack st;
	struct seg cs, ss;
	uint64_t rip, sp;
	uint32_t fl, mask;
	uint16_t sel;

	stack_current(c, &st, 0);
	rip = stack_pop(c, &st, opsize);
	sel = (uint16_t)stack_pop(c, &st, opsize);
	fl = (uint32_t)stack_pop(c, &st, opsize);
	if (fl & FL_VM && opsize == 4 && cpl == 0 && !in_long(c)) {
		iret_to_vm86(c, &st, rip, sel, fl);
		return;
	}
	ret_target(c, sel, rip, &cs);
	mask = iret_mask(c, cpl, opsize);
	if ((sel & 3) == cpl) {
		c->regs[RSP] = stack_rsp(c, &st);
	} else {
		sp = stack_pop(c, &st, opsize);
		ret_stack(c, (uint16_t)stack_pop(c, &st, opsize), &cs, &ss);
		c->regs[RSP] = ret_rsp(c, &cs, &ss, sp, opsize);
		c->segs[SS] = ss;
		seg_drop_inner(c, sel & 3);
	}
	load_flags(c, fl, mask);
	c->segs[CS] = cs;
	c->rip = rip;
	cpu_update_mode(c);
}

/* ---- 64-bit mode: SS:RSP is always popped ---- */

/* The five words of the frame. */
static void pop_long(struct cpu *c, int opsize, uint64_t frame[5])
{
	uint64_t sp = c->regs[RSP];
	enum mmu_idx idx = cpu_mmu_idx(c);
	const uint8_t *p;

	if (!mmu_canonical(c, sp) || !mmu_canonical(c, sp + 5u * (unsigned)opsize - 1))
		cpu_raise_err(c, EXC_SS, 0);
	p = opsize == 8 ? acc_rptr(c, sp, 40, idx) : NULL;
	for (int i = 0; i < 5; i++) {
		if (p)
			cpu_see(c, sp + (uint64_t)(i * opsize), opsize, MMU_READ);
		frame[i] = p ? ld64(p + 8 * i) : acc_ld(c, sp + (uint64_t)(i * opsize), opsize, idx);
	}
}

static void iret64(struct cpu *c, int opsize)
{
	int cpl = cpu_cpl(c);
	struct seg cs, ss;
	uint64_t f[5];

	pop_long(c, opsize, f);
	ret_target(c, (uint16_t)f[1], f[0], &cs);
	ret_stack(c, (uint16_t)f[4], &cs, &ss);
	load_flags(c, (uint32_t)f[2], iret_mask(c, cpl, opsize));
	c->regs[RSP] = ret_rsp(c, &cs, &ss, f[3], opsize);
	c->rip = f[0];
	c->segs[CS] = cs;
	c->segs[SS] = ss;
	if ((cs.sel & 3) != cpl)
		seg_drop_inner(c, cs.sel & 3);
	cpu_update_mode(c);
}

void cpu_iret(struct cpu *c, int opsize, uint64_t next)
{
	if (in_vm86(c) && cpu_iopl(c) < 3 && !(c->cr4 & CR4_VME && opsize == 2))
		cpu_raise_err(c, EXC_GP, 0);
	c->nmi_blocked = false;		/* also if the rest faults */
	if (!in_protected(c))
		iret_real(c, opsize);
	else if (c->eflags & FL_NT)
		iret_task(c, next);
	else if (cpu_is64(c))
		iret64(c, opsize);
	else
		iret_protected(c, opsize);
}
