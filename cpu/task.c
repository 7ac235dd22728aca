/*
 * Task-state segments: ring stacks, the I/O permission bitmap, and hardware
 * task switches between 16- and 32-bit tasks.
 *
 * A switch reads and checks everything it can while the old task is still
 * whole; from the commit point on, faults belong to the new task, whose
 * segment registers were filled with their selectors but are not usable yet.
 * Source: SDM vol. 3A chapter 7, figures 7-2, 7-10, 7-11; vol. 1 19.5.2.
 */
#include "cpu/desc.h"
#include "cpu/seg.h"
#include "cpu/svm.h"
#include "cpu/tlb.h"

#define TSS_LINK	0
#define TSS_IOBASE	0x66
#define TSS32_CR3	0x1c
#define TSS32_TRAP	0x64
#define NGENERAL	8	/* EAX ECX EDX EBX ESP EBP ESI EDI */

/* Where a TSS has its fields. */
struct tss_layout {
	int width;			/* bytes of a general field */
	int ip, flags, gprs;		/* offsets; gprs follow each other */
	int segs, seg_step, nsegs;	/* ES CS SS DS (FS GS) */
	int ldt;
	uint32_t min_limit;
};
static const struct tss_layout tss16 = { 2, 0x0e, 0x10, 0x12, 0x22, 2, 4, 0x2a, 0x2b };
static const struct tss_layout tss32 = { 4, 0x20, 0x24, 0x28, 0x48, 4, 6, 0x60, 0x67 };

static const struct tss_layout *layout_of(uint32_t type)
{
	return type & 8 ? &tss32 : &tss16;
}

static uint64_t tss_va(const struct cpu *c, uint32_t off)
{
	uint64_t va = c->segs[TR].base + off;

	return in_long(c) ? va : (uint32_t)va;
}

/* ---- ring stacks ---- */

/* n bytes at off of the current TSS, or #TS. */
static uint64_t tss_field(struct cpu *c, uint32_t off, int n, int ext)
{
	const struct seg *tr = &c->segs[TR];

	if (off + (uint32_t)n - 1 > tr->limit || !(tr->attr & SEG_P))
		cpu_raise_err(c, EXC_TS, SEL_ERR(tr->sel, ext));
	return sys_ld(c, tss_va(c, off), n);
}

void tss_ring_stack(struct cpu *c, int ring, int ext, struct seg *ss, uint32_t *sp)
{
	bool wide = c->segs[TR].attr & 8;
	int w = wide ? 4 : 2;
	uint32_t off = (uint32_t)(w + ring * 2 * w);
	uint16_t sel = (uint16_t)tss_field(c, off + (unsigned)w, 2, ext);

	*sp = (uint32_t)tss_field(c, off, w, ext);
	seg_fetch_stack(c, sel, ring, EXC_TS, ext, ss);
}

uint64_t tss_rsp(struct cpu *c, int ring, int ext)
{
	return tss_field(c, (uint32_t)(4 + ring * 8), 8, ext);
}

uint64_t tss_ist(struct cpu *c, int ist, int ext)
{
	return tss_field(c, (uint32_t)(0x24 + (ist - 1) * 8), 8, ext);
}

/* ---- I/O permission ---- */

bool tss_io_allowed(struct cpu *c, uint16_t port, int size)
{
	const struct seg *tr = &c->segs[TR];
	uint32_t byte, bitmap;

	if (!(tr->attr & SEG_P) || (SEG_TYPE(tr->attr) & ~TYPE_BUSY) != SYS_TSS || tr->limit < TSS_IOBASE + 1)
		return false;
	byte = (uint32_t)sys_ld(c, tss_va(c, TSS_IOBASE), 2) + port / 8;
	if (byte + 1 > tr->limit)
		return false;
	bitmap = (uint32_t)sys_ld(c, tss_va(c, byte), 2);
	return !(bitmap >> (port & 7) & ((1u << size) - 1));
}

/* ---- task switch ---- */

/* What is read from the new TSS before anything changes. */
struct task {
	struct desc d;
	uint16_t sel;
	const struct tss_layout *l;
	uint64_t base;
	uint32_t limit;
	uint32_t cr3, eip, eflags, gpr[NGENERAL];
	uint16_t seg[6], ldt;
	bool trap;
};

/* The descriptor of the new task; `vector` for what is wrong with it (#TS for IRET). */
static void task_find(struct cpu *c, uint16_t sel, int why, int ext, struct task *t)
{
	int vector = why == TASK_IRET ? EXC_TS : EXC_GP;
	int busy = why == TASK_IRET ? (int)TYPE_BUSY : 0;

	if (sel & 4 || sel_null(sel))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	desc_get(c, sel, vector, ext, &t->d);
	if (desc_s(&t->d) || (desc_type(&t->d) & ~8) != (SYS_TSS16 | busy))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	if (!desc_p(&t->d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, ext));
	t->sel = sel;
	t->l = layout_of((uint32_t)desc_type(&t->d));
	t->base = desc_base(&t->d);
	t->limit = desc_limit(&t->d);
	if (t->limit < t->l->min_limit)
		cpu_raise_err(c, EXC_TS, SEL_ERR(sel, ext));
}

static uint32_t task_ld(struct cpu *c, const struct task *t, int off, int n)
{
	return (uint32_t)sys_ld(c, (uint32_t)(t->base + (uint32_t)off), n);
}

static void task_read(struct cpu *c, struct task *t)
{
	const struct tss_layout *l = t->l;
	uint32_t high = l->width == 2 ? 0xffff0000 : 0;	/* 16-bit tasks leave the upper halves set */

	t->cr3 = l->width == 4 ? task_ld(c, t, TSS32_CR3, 4) : 0;
	t->eip = task_ld(c, t, l->ip, l->width);
	t->eflags = task_ld(c, t, l->flags, l->width);
	for (int i = 0; i < NGENERAL; i++)
		t->gpr[i] = task_ld(c, t, l->gprs + i * l->width, l->width) | high;
	for (int i = 0; i < 6; i++)
		t->seg[i] = i < l->nsegs ? (uint16_t)task_ld(c, t, l->segs + i * l->seg_step, 2) : 0;
	t->ldt = (uint16_t)task_ld(c, t, l->ldt, 2);
	t->trap = l->width == 4 && task_ld(c, t, TSS32_TRAP, 2) & 1;
}

/* The old task's registers into its TSS. */
static void task_save(struct cpu *c, uint32_t eflags, uint64_t next)
{
	const struct seg *tr = &c->segs[TR];
	const struct tss_layout *l = layout_of(SEG_TYPE(tr->attr));

	sys_st(c, tss_va(c, (uint32_t)l->ip), l->width, next);
	sys_st(c, tss_va(c, (uint32_t)l->flags), l->width, eflags);
	for (int i = 0; i < NGENERAL; i++)
		sys_st(c, tss_va(c, (uint32_t)(l->gprs + i * l->width)), l->width, c->regs[i]);
	for (int i = 0; i < l->nsegs; i++)
		sys_st(c, tss_va(c, (uint32_t)(l->segs + i * l->seg_step)), 2, c->segs[i].sel);
}

/* Are both TSSs writable as far as the switch will write them? Raises while the old task is whole. */
static void task_check_pages(struct cpu *c, const struct task *t, int ext)
{
	const struct seg *tr = &c->segs[TR];
	const struct tss_layout *l = layout_of(SEG_TYPE(tr->attr));

	if (!(tr->attr & SEG_P) || tr->limit < l->min_limit)
		cpu_raise_err(c, EXC_TS, SEL_ERR(tr->sel, ext));
	mmu_check(c, tss_va(c, 0), (int)l->min_limit + 1, MMU_WRITE, sys_idx(c));
	mmu_check(c, (uint32_t)t->base, (int)t->l->min_limit + 1, MMU_WRITE, sys_idx(c));
}

/* Busy bits, link and NT: who came from where. */
static void task_link(struct cpu *c, struct task *t, int why)
{
	struct desc old;

	if ((why == TASK_JMP || why == TASK_IRET) && desc_read(c, c->segs[TR].sel, &old))
		desc_set_busy(c, &old, false);
	if (why == TASK_CALL || why == TASK_GATE) {
		sys_st(c, (uint32_t)t->base + TSS_LINK, 2, c->segs[TR].sel);
		t->eflags |= FL_NT;
	}
	if (why != TASK_IRET)
		desc_set_busy(c, &t->d, true);
}

/* Commit point: general registers and selectors; no segment is usable yet. */
static void task_take(struct cpu *c, const struct task *t)
{
	seg_make(&c->segs[TR], t->sel, t->base, t->limit, desc_attr(&t->d) | TYPE_BUSY);
	c->cr0 |= CR0_TS;
	c->rip = t->eip;
	put_eflags(c, t->eflags);
	for (int i = 0; i < NGENERAL; i++)
		c->regs[i] = t->gpr[i];
	for (int i = 0; i < 6; i++)
		seg_make(&c->segs[i], t->seg[i], 0, 0, 0);
	seg_make(&c->segs[LDTR], t->ldt, 0, 0, 0);
	c->segs[SS].attr = (uint16_t)ATTR_DPL(t->eflags & FL_VM ? 3 : t->seg[CS] & 3);
	c->dr[7] &= ~0x155ull;		/* local breakpoints and LE */
	mmu_update_watch(c);
	cpu_update_mode(c);
}

static void task_load_cr3(struct cpu *c, const struct task *t, int ext)
{
	uint64_t old = c->cr3;

	if (t->l->width != 4 || !(c->cr0 & CR0_PG))
		return;
	c->cr3 = t->cr3;
	if (c->cr4 & CR4_PAE && !mmu_load_pdptes(c)) {
		c->cr3 = old;
		cpu_raise_err(c, EXC_TS, SEL_ERR(t->sel, ext));
	}
	mmu_set_cr3(c, t->cr3);
}

static void task_load_cs(struct cpu *c, uint16_t sel, int ext)
{
	struct desc d;
	uint32_t a;

	if (sel_null(sel))
		cpu_raise_err(c, EXC_TS, SEL_ERR(sel, ext));
	desc_get(c, sel, EXC_TS, ext, &d);
	a = desc_attr(&d);
	if (!attr_is_code(a) || (attr_is_conforming(a) ? desc_dpl(&d) > (sel & 3) : desc_dpl(&d) != (sel & 3)))
		cpu_raise_err(c, EXC_TS, SEL_ERR(sel, ext));
	if (!desc_p(&d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, ext));
	desc_touch(c, &d);
	seg_from_desc(&c->segs[CS], sel, &d);
}

/* The hidden parts, in the new task's context. */
static void task_load_segs(struct cpu *c, const struct task *t, int ext)
{
	static const uint8_t data[] = { ES, DS, FS, GS };
	int cpl = t->seg[CS] & 3;

	seg_fetch_ldt(c, t->ldt, EXC_TS, ext, &c->segs[LDTR]);
	if (in_vm86(c)) {
		for (int i = 0; i < 6; i++)
			seg_real(c, i, t->seg[i], &c->segs[i]);
		return;
	}
	task_load_cs(c, t->seg[CS], ext);
	seg_fetch_stack(c, t->seg[SS], cpl, EXC_TS, ext, &c->segs[SS]);
	for (unsigned i = 0; i < ARRAY_LEN(data); i++)
		seg_fetch_data(c, t->seg[data[i]], cpl, EXC_TS, ext, &c->segs[data[i]]);
}

static void task_push_error(struct cpu *c, const struct task *t, uint32_t err, int ext)
{
	struct stack st;

	stack_current(c, &st, (uint32_t)ext);
	stack_push(c, &st, t->l->width, err);
	c->regs[RSP] = stack_rsp(c, &st);
}

/* EXITINFO2 of an intercepted task switch (APM vol. 2, 15.14.1). */
static uint64_t task_exit_info(int why, bool push_err, uint32_t err, uint32_t eflags)
{
	return (push_err ? err | BIT(44) : 0) | (why == TASK_IRET ? BIT(36) : 0) |
	       (why == TASK_JMP ? BIT(38) : 0) | (eflags & FL_RF ? BIT(48) : 0);
}

void task_switch_ext(struct cpu *c, uint16_t tss_sel, int why, uint64_t next, uint32_t eflags, bool push_err,
		     uint32_t err, int ext)
{
	struct task t;

	task_find(c, tss_sel, why, ext, &t);
	if (svm_intercepts(c, SVM_TASK_SWITCH))
		svm_exit(c, SVM_TASK_SWITCH, tss_sel, task_exit_info(why, push_err, err, eflags), 0);
	task_check_pages(c, &t, ext);
	task_read(c, &t);
	if (why == TASK_IRET)
		eflags &= ~FL_NT;
	task_save(c, eflags, next);
	task_link(c, &t, why);
	task_take(c, &t);
	task_load_cr3(c, &t, ext);
	task_load_segs(c, &t, ext);
	cpu_update_mode(c);
	if (push_err)
		task_push_error(c, &t, err, ext);
	check_rip(c, &c->segs[CS], c->rip, ext);
	if (t.trap) {
		c->dr[6] |= 0x8000;	/* BT */
		cpu_raise(c, EXC_DB);
	}
}

void task_switch(struct cpu *c, uint16_t tss_sel, enum task_why why, uint64_t next, bool push_err, uint32_t err)
{
	task_switch_ext(c, tss_sel, why, next, cpu_get_eflags(c), push_err, err, 0);
}
