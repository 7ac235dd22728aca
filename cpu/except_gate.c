/*
 * Entering a handler: the real-mode vector table, and interrupt, trap and task
 * gates of 16, 32 and 64 bits.
 *
 * deliver_long() is a hot path (every page fault and timer tick of a 64-bit
 * guest): three or four table reads and one probe for the whole stack frame.
 * Source: SDM vol. 3A 6.12-6.14, vol. 2 INT n, 20.1.4.
 */
#include "cpu/desc.h"
#include "cpu/except.h"
#include "cpu/seg.h"

/* Flags a gate clears; an interrupt gate clears IF, too. */
#define FL_GATE	(FL_TF | FL_NT | FL_RF | FL_VM)

/* Error code that names an entry of the IDT. */
static uint32_t idt_err(const struct event *e)
{
	return (uint32_t)e->vector << 3 | 2 | (uint32_t)e->ext;
}

/* ---- real mode ---- */

/* Also for redirected INT n of virtual-8086 mode: then IF stays and VIF is cleared if IOPL < 3. */
void deliver_real(struct cpu *c, const struct event *e, uint16_t image)
{
	bool vm = in_vm86(c), virt = vm && cpu_iopl(c) < 3;
	uint32_t off = (uint32_t)e->vector * 4, fl;
	struct stack st;
	struct seg cs;
	uint32_t entry;

	if (!vm && off + 3 > c->idtr.limit)
		cpu_raise_err(c, EXC_GP, idt_err(e));
	entry = (uint32_t)acc_ld(c, vm ? off : (uint32_t)(c->idtr.base + off), 4, cpu_mmu_idx(c));
	seg_real(c, CS, entry >> 16, &cs);
	stack_current(c, &st, (uint32_t)e->ext);
	stack_push(c, &st, 2, image);
	stack_push(c, &st, 2, c->segs[CS].sel);
	stack_push(c, &st, 2, e->ret);
	fl = cpu_get_eflags(c) & ~(FL_TF | FL_RF | (virt ? FL_VIF : FL_IF));
	put_eflags(c, vm ? fl & ~FL_NT : fl & ~FL_AC);
	c->regs[RSP] = stack_rsp(c, &st);
	c->segs[CS] = cs;
	c->rip = entry & 0xffff;
	cpu_update_mode(c);
}

/* ---- protected mode ---- */

/* Code segment behind a gate: CPL may stay or shrink. */
static void gate_code(struct cpu *c, const struct event *e, uint16_t sel, struct desc *d)
{
	uint32_t a;

	if (sel_null(sel))
		cpu_raise_err(c, EXC_GP, (uint32_t)e->ext);
	desc_get(c, sel, EXC_GP, e->ext, d);
	a = desc_attr(d);
	if (!attr_is_code(a) || desc_dpl(d) > cpu_cpl(c) ||
	    (in_long(c) && (a & (SEG_L | SEG_DB)) != SEG_L))
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, e->ext));
	if (!desc_p(d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, e->ext));
	desc_touch(c, d);
}

static void deliver_task(struct cpu *c, const struct event *e, uint16_t tss_sel)
{
	task_switch_ext(c, tss_sel, TASK_GATE, e->ret, e->flags, e->has_error, e->error, e->ext);
}

/* Out of virtual-8086 mode, the segment registers go on the ring-0 stack and become null. */
static void push_vm86(struct cpu *c, struct stack *st, int size)
{
	static const uint8_t order[] = { GS, FS, DS, ES };

	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		stack_push(c, st, size, c->segs[order[i]].sel);
}

static void push_frame(struct cpu *c, struct stack *st, const struct event *e, int size)
{
	stack_push(c, st, size, e->flags);
	stack_push(c, st, size, c->segs[CS].sel);
	stack_push(c, st, size, e->ret);
	if (e->has_error)
		stack_push(c, st, size, e->error);
}

static void enter(struct cpu *c, const struct seg *cs, uint64_t rip, const struct stack *st, bool is_int)
{
	c->eflags &= ~(FL_GATE | (is_int ? FL_IF : 0));
	c->regs[RSP] = stack_rsp(c, st);
	c->segs[CS] = *cs;
	c->rip = rip;
	cpu_update_mode(c);
}

static void gate_inner(struct cpu *c, const struct event *e, const struct seg *cs, uint32_t off, int size, bool is_int)
{
	int cpl = cs->sel & 3;
	bool vm = in_vm86(c);
	struct stack st;
	struct seg ss;
	uint32_t sp;

	tss_ring_stack(c, cpl, e->ext, &ss, &sp);
	stack_in(c, &st, &ss, sp, cpl, SEL_ERR(ss.sel, e->ext));
	check_rip(c, cs, off, e->ext);
	if (vm)
		push_vm86(c, &st, size);
	stack_push(c, &st, size, c->segs[SS].sel);
	stack_push(c, &st, size, c->regs[RSP]);
	push_frame(c, &st, e, size);
	if (vm) {
		seg_make(&c->segs[ES], 0, 0, 0, 0);
		seg_make(&c->segs[DS], 0, 0, 0, 0);
		seg_make(&c->segs[FS], 0, 0, 0, 0);
		seg_make(&c->segs[GS], 0, 0, 0, 0);
	}
	c->segs[SS] = ss;
	enter(c, cs, off, &st, is_int);
}

static void gate_same(struct cpu *c, const struct event *e, const struct seg *cs, uint32_t off, int size, bool is_int)
{
	struct stack st;

	check_rip(c, cs, off, e->ext);
	stack_current(c, &st, (uint32_t)e->ext);
	push_frame(c, &st, e, size);
	enter(c, cs, off, &st, is_int);
}

/* Checks of the gate itself: is there one, may INT n use it, is it present? */
static void gate_check(struct cpu *c, const struct event *e, const struct desc *g, uint32_t types)
{
	if (desc_s(g) || !(types >> desc_type(g) & 1))
		cpu_raise_err(c, EXC_GP, idt_err(e));
	if (e->soft && desc_dpl(g) < cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, idt_err(e));
	if (!desc_p(g))
		cpu_raise_err(c, EXC_NP, idt_err(e));
}

void deliver_legacy(struct cpu *c, const struct event *e)
{
	uint32_t off = (uint32_t)e->vector * 8;
	struct desc g, d;
	struct seg cs;
	uint64_t v;
	int size, cpl = cpu_cpl(c);
	bool inner, is_int;

	if (off + 7 > c->idtr.limit)
		cpu_raise_err(c, EXC_GP, idt_err(e));
	v = sys_ld(c, (uint32_t)(c->idtr.base + off), 8);
	g = (struct desc){ .lo = (uint32_t)v, .hi = v >> 32 };
	gate_check(c, e, &g, BIT(SYS_TASK_GATE) | BIT(SYS_INT16) | BIT(SYS_TRAP16) | BIT(SYS_INT) | BIT(SYS_TRAP));
	if (desc_type(&g) == SYS_TASK_GATE) {
		deliver_task(c, e, gate_sel(&g));
		return;
	}
	size = desc_type(&g) & 8 ? 4 : 2;
	is_int = !(desc_type(&g) & 1);
	off = size == 4 ? gate_off(&g) : gate_off(&g) & 0xffff;
	gate_code(c, e, gate_sel(&g), &d);
	inner = !attr_is_conforming(desc_attr(&d)) && desc_dpl(&d) < cpl;
	if (in_vm86(c) && (!inner || desc_dpl(&d) != 0))
		cpu_raise_err(c, EXC_GP, SEL_ERR(gate_sel(&g), e->ext));
	seg_from_desc(&cs, (uint16_t)((gate_sel(&g) & ~3) | (inner ? desc_dpl(&d) : cpl)), &d);
	if (inner)
		gate_inner(c, e, &cs, off, size, is_int);
	else
		gate_same(c, e, &cs, off, size, is_int);
}

/* ---- long mode ---- */

/* SS, RSP, RFLAGS, CS, RIP and the error code, at sp. The rip at the lower end, or the error code. */
static void push_long(struct cpu *c, const struct event *e, uint64_t sp, enum mmu_idx idx)
{
	int n = e->has_error ? 48 : 40;
	uint64_t rsp = cpu_is64(c) ? c->regs[RSP] : (uint32_t)c->regs[RSP];	/* 32 bits of compatibility mode */
	uint64_t frame[6] = { e->error, e->ret, c->segs[CS].sel, e->flags, rsp, c->segs[SS].sel };
	const uint64_t *from = frame + (e->has_error ? 0 : 1);
	uint8_t *p;

	sp -= (uint64_t)n;
	if (!mmu_canonical(c, sp) || !mmu_canonical(c, sp + (uint64_t)n - 1))
		cpu_raise_err(c, EXC_SS, (uint32_t)e->ext);
	p = acc_wptr(c, sp, n, idx);
	if (!p) {
		for (int i = n - 8; i >= 0; i -= 8)
			acc_st(c, sp + (uint64_t)i, 8, from[i / 8], idx);
		return;
	}
	for (int i = n - 8; i >= 0; i -= 8) {
		cpu_see(c, sp + (uint64_t)i, 8, MMU_WRITE);
		st64(p + i, from[i / 8]);
	}
}

void deliver_long(struct cpu *c, const struct event *e)
{
	uint32_t off = (uint32_t)e->vector * 16;
	struct desc g, d;
	struct seg cs;
	uint64_t v, hi, sp, rip;
	int ist, cpl = cpu_cpl(c), new_cpl;

	if (off + 15 > c->idtr.limit)
		cpu_raise_err(c, EXC_GP, idt_err(e));
	v = sys_ld(c, c->idtr.base + off, 8);
	g = (struct desc){ .lo = (uint32_t)v, .hi = v >> 32 };
	gate_check(c, e, &g, BIT(SYS_INT) | BIT(SYS_TRAP));
	hi = sys_ld(c, c->idtr.base + off + 8, 8);
	rip = gate_off(&g) | (hi & 0xffffffff) << 32;
	gate_code(c, e, gate_sel(&g), &d);
	new_cpl = attr_is_conforming(desc_attr(&d)) ? cpl : desc_dpl(&d);
	ist = g.hi & 7;
	if (ist)
		sp = tss_ist(c, ist, e->ext);
	else
		sp = new_cpl < cpl ? tss_rsp(c, new_cpl, e->ext) : c->regs[RSP];
	if (!mmu_canonical(c, rip))
		cpu_raise_err(c, EXC_GP, (uint32_t)e->ext);
	sp &= ~15ull;
	push_long(c, e, sp, new_cpl < cpl ? sys_idx(c) : cpu_mmu_idx(c));
	seg_from_desc(&cs, (uint16_t)((gate_sel(&g) & ~3) | new_cpl), &d);
	c->segs[CS] = cs;
	if (new_cpl < cpl)
		seg_null_ss(&c->segs[SS], new_cpl);
	c->regs[RSP] = sp - (e->has_error ? 48 : 40);
	c->rip = rip;
	c->eflags &= ~(FL_GATE | (desc_type(&g) == SYS_INT ? FL_IF : 0));
	cpu_update_mode(c);
}
