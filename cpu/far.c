/*
 * Far JMP, CALL and RET: real and virtual-8086 mode, code segments, call gates
 * of 16, 32 and 64 bits, and through TSS or task gate to cpu/task.c.
 * Source: SDM vol. 3A 5.8; vol. 2 JMP, CALL, RET.
 */
#include "cpu/desc.h"
#include "cpu/seg.h"

/* Where a transfer goes: the new CS and RIP, checked. */
struct target {
	struct seg cs;
	uint64_t rip;
};

static void commit(struct cpu *c, const struct target *t)
{
	c->segs[CS] = t->cs;
	c->rip = t->rip;
	cpu_update_mode(c);
}

/* ---- targets ---- */

static void target_real(struct cpu *c, uint16_t sel, uint64_t off, int opsize, struct target *t)
{
	seg_real(c, CS, sel, &t->cs);
	t->rip = off & size_mask(opsize);
	check_rip(c, &t->cs, t->rip, 0);
}

/* A code segment has both L and D set: reserved in long mode. */
static bool bad_long_cs(const struct cpu *c, const struct desc *d)
{
	return in_long(c) && (desc_attr(d) & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB);
}

/* Take a code descriptor as CS with this CPL as its RPL. */
static void target_take(struct cpu *c, uint16_t sel, struct desc *d, int cpl, uint64_t off, struct target *t)
{
	if (!desc_p(d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, 0));
	seg_from_desc(&t->cs, (sel & ~3u) | (unsigned)cpl, d);
	t->rip = off;
	check_rip(c, &t->cs, off, 0);
	desc_touch(c, d);
}

/* Straight to a code segment, without a gate: CPL stays. */
static void target_code(struct cpu *c, uint16_t sel, struct desc *d, uint64_t off, int opsize, struct target *t)
{
	int cpl = cpu_cpl(c);
	bool ok = attr_is_conforming(desc_attr(d)) ? desc_dpl(d) <= cpl
						   : (sel & 3) <= cpl && desc_dpl(d) == cpl;

	if (!ok || bad_long_cs(c, d))
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
	target_take(c, sel, d, cpl, off & size_mask(opsize), t);
}

/* What a call gate says. */
struct gate {
	uint16_t sel;
	uint64_t off;
	int size;		/* bytes of a push: 2, 4, 8 */
	int nparams;
	struct desc code;	/* the code segment behind it */
};

static void gate_read(struct cpu *c, uint16_t sel, const struct desc *d, struct gate *g)
{
	uint32_t hi = 0;

	if (in_long(c) && !desc_read_high(c, sel, d, &hi))
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
	if (!desc_p(d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, 0));
	g->size = in_long(c) ? 8 : desc_type(d) == SYS_CALL ? 4 : 2;
	g->sel = gate_sel(d);
	g->off = g->size == 2 ? gate_off(d) & 0xffff : gate_off(d) | (uint64_t)hi << 32;
	g->nparams = g->size == 8 ? 0 : d->hi & 31;
	if (sel_null(g->sel))
		cpu_raise_err(c, EXC_GP, 0);
	desc_get(c, g->sel, EXC_GP, 0, &g->code);
	if (!attr_is_code(desc_attr(&g->code)) || desc_dpl(&g->code) > cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, SEL_ERR(g->sel, 0));
	if (in_long(c) && (desc_attr(&g->code) & (SEG_L | SEG_DB)) != SEG_L)
		cpu_raise_err(c, EXC_GP, SEL_ERR(g->sel, 0));
}

static void gate_jmp(struct cpu *c, uint16_t sel, const struct desc *d)
{
	struct gate g;
	struct target t;

	gate_read(c, sel, d, &g);
	if (!attr_is_conforming(desc_attr(&g.code)) && desc_dpl(&g.code) != cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, SEL_ERR(g.sel, 0));
	target_take(c, g.sel, &g.code, cpu_cpl(c), g.off, &t);
	commit(c, &t);
}

/* Call gate, same privilege: return address on this stack. */
static void gate_call_same(struct cpu *c, struct gate *g, uint64_t next)
{
	struct target t;
	struct stack st;

	target_take(c, g->sel, &g->code, cpu_cpl(c), g->off, &t);
	stack_current(c, &st, 0);
	if (g->size == 8)	/* from compatibility mode, too: the gate's rules */
		stack_flat(&st, c->regs[RSP], cpu_mmu_idx(c), 0);
	stack_push(c, &st, g->size, c->segs[CS].sel);
	stack_push(c, &st, g->size, next);
	c->regs[RSP] = stack_rsp(c, &st);
	commit(c, &t);
}

/* Parameters of a call gate, from the outer stack to the inner. */
static void copy_params(struct cpu *c, struct stack *to, const struct gate *g)
{
	struct stack from;
	uint64_t param[31];

	stack_current(c, &from, 0);
	for (int i = 0; i < g->nparams; i++)
		param[i] = stack_pop(c, &from, g->size);
	for (int i = g->nparams; i > 0; i--)
		stack_push(c, to, g->size, param[i - 1]);
}

/* Call gate to more privilege: a new stack from the TSS. */
static void gate_call_inner(struct cpu *c, struct gate *g, uint64_t next)
{
	int cpl = desc_dpl(&g->code);
	struct target t;
	struct stack st;
	struct seg ss;
	uint32_t sp;

	if (!desc_p(&g->code))
		cpu_raise_err(c, EXC_NP, SEL_ERR(g->sel, 0));
	if (g->size == 8) {
		seg_null_ss(&ss, cpl);
		stack_flat(&st, tss_rsp(c, cpl, 0), sys_idx(c), 0);
	} else {
		tss_ring_stack(c, cpl, 0, &ss, &sp);
		stack_in(c, &st, &ss, sp, cpl, SEL_ERR(ss.sel, 0));
	}
	target_take(c, g->sel, &g->code, cpl, g->off, &t);
	stack_push(c, &st, g->size, c->segs[SS].sel);
	stack_push(c, &st, g->size, c->regs[RSP]);
	copy_params(c, &st, g);
	stack_push(c, &st, g->size, c->segs[CS].sel);
	stack_push(c, &st, g->size, next);
	c->regs[RSP] = stack_rsp(c, &st);
	c->segs[SS] = ss;
	commit(c, &t);
}

static void gate_call(struct cpu *c, uint16_t sel, const struct desc *d, uint64_t next)
{
	struct gate g;

	gate_read(c, sel, d, &g);
	if (!attr_is_conforming(desc_attr(&g.code)) && desc_dpl(&g.code) < cpu_cpl(c))
		gate_call_inner(c, &g, next);
	else
		gate_call_same(c, &g, next);
}

/* ---- JMP and CALL ---- */

/* Task gate or TSS as target of JMP or CALL. */
static void far_task(struct cpu *c, uint16_t sel, const struct desc *d, enum task_why why, uint64_t next)
{
	if (desc_type(d) == SYS_TASK_GATE) {
		if (!desc_p(d))
			cpu_raise_err(c, EXC_NP, SEL_ERR(sel, 0));
		sel = gate_sel(d);
	}
	task_switch(c, sel, why, next, false, 0);
}

/* The target is a system descriptor: gate, TSS, or an error. */
static void far_system(struct cpu *c, uint16_t sel, const struct desc *d, enum task_why why, uint64_t next)
{
	if (desc_dpl(d) < cpu_cpl(c) || desc_dpl(d) < (sel & 3))
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
	switch (desc_type(d)) {
	case SYS_CALL16:
		if (in_long(c))
			break;
		/* fall through */
	case SYS_CALL:
		if (why == TASK_JMP)
			gate_jmp(c, sel, d);
		else
			gate_call(c, sel, d, next);
		return;
	case SYS_TASK_GATE: case SYS_TSS16: case SYS_TSS:
		if (in_long(c))
			break;
		far_task(c, sel, d, why, next);
		return;
	}
	cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
}

void far_jmp(struct cpu *c, uint16_t sel, uint64_t off, int opsize, uint64_t next)
{
	struct target t;
	struct desc d;

	if (!in_protected(c)) {
		target_real(c, sel, off, opsize, &t);
		commit(c, &t);
		return;
	}
	if (sel_null(sel))
		cpu_raise_err(c, EXC_GP, 0);
	desc_get(c, sel, EXC_GP, 0, &d);
	if (!desc_s(&d)) {
		far_system(c, sel, &d, TASK_JMP, next);
		return;
	}
	if (!attr_is_code(desc_attr(&d)))
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
	target_code(c, sel, &d, off, opsize, &t);
	commit(c, &t);
}

void far_call(struct cpu *c, uint16_t sel, uint64_t off, int opsize, uint64_t next)
{
	struct target t;
	struct stack st;
	struct desc d;

	if (!in_protected(c)) {
		target_real(c, sel, off, opsize, &t);
	} else {
		if (sel_null(sel))
			cpu_raise_err(c, EXC_GP, 0);
		desc_get(c, sel, EXC_GP, 0, &d);
		if (!desc_s(&d)) {
			far_system(c, sel, &d, TASK_CALL, next);
			return;
		}
		if (!attr_is_code(desc_attr(&d)))
			cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
		target_code(c, sel, &d, off, opsize, &t);
	}
	stack_current(c, &st, 0);
	stack_push(c, &st, opsize, c->segs[CS].sel);
	stack_push(c, &st, opsize, next);
	c->regs[RSP] = stack_rsp(c, &st);
	commit(c, &t);
}

/* ---- RET ---- */

static void ret_real(struct cpu *c, int opsize, uint16_t pop_bytes)
{
	struct target t;
	struct stack st;
	uint64_t off;
	uint16_t sel;

	stack_current(c, &st, 0);
	off = stack_pop(c, &st, opsize);
	sel = (uint16_t)stack_pop(c, &st, opsize);
	target_real(c, sel, off, opsize, &t);
	st.sp += pop_bytes;
	c->regs[RSP] = stack_rsp(c, &st);
	commit(c, &t);
}

/* The code segment a RET or IRET goes back to, with its checks. */
void ret_target(struct cpu *c, uint16_t sel, uint64_t rip, struct seg *cs)
{
	struct desc d;
	int rpl = sel & 3;
	uint32_t a;

	if (sel_null(sel))
		cpu_raise_err(c, EXC_GP, 0);
	desc_get(c, sel, EXC_GP, 0, &d);
	a = desc_attr(&d);
	if (!attr_is_code(a) || rpl < cpu_cpl(c) || bad_long_cs(c, &d) ||
	    (attr_is_conforming(a) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
	if (!desc_p(&d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, 0));
	seg_from_desc(cs, sel, &d);
	check_rip(c, cs, rip, 0);
	desc_touch(c, &d);
}

/* The stack segment a RET or IRET to code segment cs goes back to. */
void ret_stack(struct cpu *c, uint16_t sel, const struct seg *cs, struct seg *ss)
{
	int cpl = cs->sel & 3;

	if (sel_null(sel) && in_long(c) && cs->attr & SEG_L && cpl < 3 && (sel & 3) == cpl)
		seg_null_ss(ss, cpl);
	else
		seg_fetch_stack(c, sel, cpl, EXC_GP, 0, ss);
}

/* RSP behind a return to cs with stack segment ss. */
uint64_t ret_rsp(const struct cpu *c, const struct seg *cs, const struct seg *ss, uint64_t sp, int opsize)
{
	if (in_long(c) && cs->attr & SEG_L)
		return sp;
	if (ss->attr & SEG_DB)
		return opsize == 2 ? sp & 0xffff : (uint32_t)sp;
	return (c->regs[RSP] & 0xffff0000ull) | (sp & 0xffff);
}

void far_ret(struct cpu *c, int opsize, uint16_t pop_bytes)
{
	struct target t;
	struct stack st;
	struct seg ss;
	uint64_t sp;
	uint16_t sel;

	if (!in_protected(c)) {
		ret_real(c, opsize, pop_bytes);
		return;
	}
	stack_current(c, &st, 0);
	t.rip = stack_pop(c, &st, opsize);
	sel = (uint16_t)stack_pop(c, &st, opsize);
	ret_target(c, sel, t.rip, &t.cs);
	st.sp += pop_bytes;
	if ((sel & 3) == cpu_cpl(c)) {
		c->regs[RSP] = stack_rsp(c, &st);
		commit(c, &t);
		return;
	}
	st.sp &= st.mask;
	sp = stack_pop(c, &st, opsize);
	sel = (uint16_t)stack_pop(c, &st, opsize);
	ret_stack(c, sel, &t.cs, &ss);
	c->regs[RSP] = ret_rsp(c, &t.cs, &ss, sp + pop_bytes, opsize);
	c->segs[SS] = ss;
	seg_drop_inner(c, t.cs.sel & 3);
	commit(c, &t);
}
