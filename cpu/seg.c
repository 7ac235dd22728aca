/*
 * Segment registers and descriptors: loading with all checks, limit checks,
 * LAR, LSL, VERR and VERW, and stacks under segment rules.
 *
 * CPL has no register of its own: SS.DPL (also of a null SS in 64-bit mode, the
 * one exception to "null has attr 0") and CS.RPL both hold it.
 *
 * Not modelled: the bus lock of LTR around looking at the busy bit and setting it; that of accessed
 * and busy bits where the descriptor's page holds translated code.
 * Source: SDM vol. 3A chapters 3, 5; vol. 2 MOV, LLDT, LTR, LAR, LSL, VERR.
 */
#include "cpu/seg.h"

#include "cpu/desc.h"
#include "cpu/mmu.h"
#include "cpu/phys.h"

/* ---- descriptors ---- */

bool desc_read(struct cpu *c, uint16_t sel, struct desc *d)
{
	uint32_t off = sel & ~7u, limit = c->gdtr.limit;
	uint64_t base = c->gdtr.base, v;

	if (sel & 4) {
		if (!(c->segs[LDTR].attr & SEG_P))
			return false;
		base = c->segs[LDTR].base;
		limit = c->segs[LDTR].limit;
	}
	if (off + 7 > limit)
		return false;
	d->va = in_long(c) ? base + off : (uint32_t)(base + off);
	v = sys_ld(c, d->va, 8);
	d->lo = (uint32_t)v;
	d->hi = v >> 32;
	return true;
}

void desc_get(struct cpu *c, uint16_t sel, int vector, int ext, struct desc *d)
{
	if (!desc_read(c, sel, d))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
}

bool desc_read_high(struct cpu *c, uint16_t sel, const struct desc *d, uint32_t *hi)
{
	uint32_t limit = sel & 4 ? c->segs[LDTR].limit : c->gdtr.limit;
	uint64_t v;

	if ((sel & ~7u) + 15 > limit)
		return false;
	v = sys_ld(c, d->va + 8, 8);
	*hi = (uint32_t)v;
	return !(v >> 40 & 0x1f);
}

/* Other bits of that byte may change meanwhile. */
static void put_type_bit(struct cpu *c, struct desc *d, uint8_t bit, bool on)
{
	uint8_t *p = acc_wptr(c, d->va + 5, 1, sys_idx(c));

	d->hi = (d->hi & ~((uint32_t)bit << 8)) | (on ? (uint32_t)bit << 8 : 0);
	if (!p)
		sys_st(c, d->va + 5, 1, d->hi >> 8 & 0xff);
	else if (on)
		__atomic_fetch_or(p, bit, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(p, (uint8_t)~bit, __ATOMIC_SEQ_CST);
}

void desc_touch(struct cpu *c, struct desc *d)
{
	if (!(d->hi & TYPE_ACCESSED << 8))
		put_type_bit(c, d, TYPE_ACCESSED, true);
}

void desc_set_busy(struct cpu *c, struct desc *d, bool busy)
{
	put_type_bit(c, d, TYPE_BUSY, busy);
}

/* ---- segment registers ---- */

/* Simple bounds for generated code; 0 where seg_check() must decide. */
static void derive(struct seg *s)
{
	s->rlimit = s->wlimit = 0;
	if (!(s->attr & SEG_P) || !(s->attr & SEG_S))
		return;
	if (s->attr & TYPE_CODE) {
		if (s->attr & TYPE_R)
			s->rlimit = s->limit + 1ull;
	} else if (!(s->attr & TYPE_E)) {
		s->rlimit = s->limit + 1ull;
		if (s->attr & TYPE_W)
			s->wlimit = s->rlimit;
	}
}

void seg_make(struct seg *s, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr)
{
	s->sel = sel;
	s->base = base;
	s->limit = limit;
	s->attr = (uint16_t)attr;
	derive(s);
}

void seg_update(struct cpu *c, int seg)
{
	derive(&c->segs[seg]);
}

void seg_set(struct cpu *c, int seg, uint16_t sel, uint64_t base, uint32_t limit, uint16_t attr)
{
	seg_make(&c->segs[seg], sel, base, limit, attr);
	if (seg <= DS)
		cpu_update_mode(c);
}

void seg_real(const struct cpu *c, int seg, uint16_t sel, struct seg *s)
{
	const struct seg *old = &c->segs[seg];

	if (in_vm86(c))
		seg_make(s, sel, (uint64_t)sel << 4, 0xffff, ATTR_VM86);
	else	/* limit and size stay what they were ("unreal mode") */
		seg_make(s, sel, (uint64_t)sel << 4, old->limit, (old->attr & (SEG_DB | SEG_G)) | ATTR_DATA);
}

void seg_fetch_stack(struct cpu *c, uint16_t sel, int cpl, int vector, int ext, struct seg *s)
{
	struct desc d;

	if (sel_null(sel))
		cpu_raise_err(c, vector, (uint32_t)ext);
	desc_get(c, sel, vector, ext, &d);
	if ((sel & 3) != cpl || desc_dpl(&d) != cpl || !attr_is_wdata(desc_attr(&d)))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	if (!desc_p(&d))
		cpu_raise_err(c, EXC_SS, SEL_ERR(sel, ext));
	desc_touch(c, &d);
	seg_from_desc(s, sel, &d);
}

void seg_fetch_data(struct cpu *c, uint16_t sel, int cpl, int vector, int ext, struct seg *s)
{
	struct desc d;
	uint32_t a;

	if (sel_null(sel)) {
		seg_make(s, sel, 0, 0, 0);
		return;
	}
	desc_get(c, sel, vector, ext, &d);
	a = desc_attr(&d);
	if (!(a & SEG_S) || (a & TYPE_CODE && !(a & TYPE_R)))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	if (!attr_is_conforming(a) && ((sel & 3) > desc_dpl(&d) || cpl > desc_dpl(&d)))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	if (!desc_p(&d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, ext));
	desc_touch(c, &d);
	seg_from_desc(s, sel, &d);
}

void seg_load(struct cpu *c, int seg, uint16_t sel)
{
	int cpl = cpu_cpl(c);
	struct seg s;

	if (!in_protected(c))
		seg_real(c, seg, sel, &s);
	else if (seg != SS)
		seg_fetch_data(c, sel, cpl, EXC_GP, 0, &s);
	else if (sel_null(sel) && cpu_is64(c) && cpl < 3 && (sel & 3) == cpl)
		seg_null_ss(&s, cpl);
	else
		seg_fetch_stack(c, sel, cpl, EXC_GP, 0, &s);
	c->segs[seg] = s;
	if (seg <= DS)
		cpu_update_mode(c);
}

void seg_drop_inner(struct cpu *c, int cpl)
{
	static const uint8_t regs[] = { ES, DS, FS, GS };

	for (unsigned i = 0; i < ARRAY_LEN(regs); i++) {
		struct seg *s = &c->segs[regs[i]];

		if (s->attr & SEG_P && SEG_DPL(s->attr) < cpl && !attr_is_conforming(s->attr))
			seg_make(s, 0, s->base, 0, 0);
		else if (sel_null(s->sel))
			s->sel = 0;	/* 1 to 3 are null too, and would tell user code what it has no right to */
	}
}

/* ---- LDTR and TR ---- */

static void need_system(struct cpu *c)
{
	if (!in_protected(c))
		cpu_raise(c, EXC_UD);
	if (cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, 0);
}

/* Base of a system descriptor: 64 bits in long mode. Raises `vector` if it is no good one. */
static uint64_t system_base(struct cpu *c, uint16_t sel, const struct desc *d, int vector, int ext)
{
	uint32_t hi;
	uint64_t base = desc_base(d);

	if (!in_long(c))
		return base;
	if (!desc_read_high(c, sel, d, &hi))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	base |= (uint64_t)hi << 32;
	if (!mmu_canonical_reg(c, base))
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	return base;
}

void seg_fetch_ldt(struct cpu *c, uint16_t sel, int vector, int ext, struct seg *s)
{
	struct desc d;

	if (sel_null(sel)) {
		seg_make(s, sel, 0, 0, 0);
		return;
	}
	if (sel & 4)
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	desc_get(c, sel, vector, ext, &d);
	if (desc_s(&d) || desc_type(&d) != SYS_LDT)
		cpu_raise_err(c, vector, SEL_ERR(sel, ext));
	if (!desc_p(&d))
		cpu_raise_err(c, vector == EXC_TS ? EXC_TS : EXC_NP, SEL_ERR(sel, ext));
	seg_make(s, sel, system_base(c, sel, &d, vector, ext), desc_limit(&d), desc_attr(&d));
}

void seg_lldt(struct cpu *c, uint16_t sel)
{
	struct seg s;

	need_system(c);
	seg_fetch_ldt(c, sel, EXC_GP, 0, &s);
	c->segs[LDTR] = s;
}

void seg_ltr(struct cpu *c, uint16_t sel)
{
	struct desc d;
	uint64_t base;

	need_system(c);
	if (sel_null(sel))
		cpu_raise_err(c, EXC_GP, 0);
	if (sel & 4)
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
	desc_get(c, sel, EXC_GP, 0, &d);
	if (desc_s(&d) || (desc_type(&d) != SYS_TSS && (in_long(c) || desc_type(&d) != SYS_TSS16)))
		cpu_raise_err(c, EXC_GP, SEL_ERR(sel, 0));
	if (!desc_p(&d))
		cpu_raise_err(c, EXC_NP, SEL_ERR(sel, 0));
	base = system_base(c, sel, &d, EXC_GP, 0);
	desc_set_busy(c, &d, true);
	seg_make(&c->segs[TR], sel, base, desc_limit(&d), desc_attr(&d));
}

/* ---- limits ---- */

bool seg_within(const struct seg *s, uint64_t off, int n)
{
	uint64_t last = off + (uint64_t)n - 1;

	if (attr_is_data(s->attr) && s->attr & TYPE_E)
		return off > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffu : 0xffffu);
	return last <= s->limit;	/* around the end of 4 GiB, too: up to the processor (SDM vol. 3A, 5.3), AMD's do */
}

static bool seg_allows(const struct cpu *c, const struct seg *s, int how)
{
	if (!(c->mode & MODE_PE))
		return true;
	if (!(s->attr & SEG_P))
		return false;
	if (how & MMU_WRITE && !attr_is_wdata(s->attr))
		return false;
	return !(how & MMU_READ) || !(s->attr & TYPE_CODE) || s->attr & TYPE_R;
}

uint64_t seg_check(struct cpu *c, int seg, uint64_t off, int n, int how)
{
	const struct seg *s = &c->segs[seg];
	int vector = seg == SS ? EXC_SS : EXC_GP;
	uint64_t va;

	if (cpu_is64(c)) {
		va = seg >= FS ? s->base + off : off;
		if (!mmu_canonical(c, va) || !mmu_canonical(c, va + (uint64_t)n - 1))
			cpu_raise_err(c, vector, 0);
	} else {
		if (!seg_allows(c, s, how) || !seg_within(s, off, n))
			cpu_raise_err(c, vector, 0);
		va = (uint32_t)(s->base + off);
	}
	if (c->mode & MODE_AC && va & (unsigned)(n - 1) && (n == 2 || n == 4 || n == 8))
		cpu_raise_err(c, EXC_AC, 0);
	return va;
}

void check_rip(struct cpu *c, const struct seg *cs, uint64_t rip, int ext)
{
	bool ok = in_long(c) && cs->attr & SEG_L ? mmu_canonical(c, rip) : rip <= cs->limit;

	if (!ok)
		cpu_raise_err(c, EXC_GP, (uint32_t)ext);
}

/* ---- stacks ---- */

void stack_flat(struct stack *st, uint64_t sp, enum mmu_idx idx, uint32_t err)
{
	*st = (struct stack){ .ss = NULL, .base = 0, .sp = sp, .mask = ~0ull, .idx = idx, .err = err };
}

static void stack_seg(struct stack *st, const struct seg *ss, uint64_t sp, enum mmu_idx idx, uint32_t err)
{
	uint64_t mask = ss->attr & SEG_DB ? 0xffffffff : 0xffff;

	*st = (struct stack){ .ss = ss, .base = ss->base, .sp = sp & mask, .mask = mask, .idx = idx, .err = err };
}

void stack_current(const struct cpu *c, struct stack *st, uint32_t err)
{
	if (cpu_is64(c))
		stack_flat(st, c->regs[RSP], cpu_mmu_idx(c), err);
	else
		stack_seg(st, &c->segs[SS], c->regs[RSP], cpu_mmu_idx(c), err);
}

void stack_in(const struct cpu *c, struct stack *st, const struct seg *ss, uint64_t sp, int cpl, uint32_t err)
{
	stack_seg(st, ss, sp, cpl == 3 ? MMU_USER : sys_idx(c), err);
}

/* Linear address of n bytes of stack at offset off, or #SS. */
static uint64_t stack_va(struct cpu *c, const struct stack *st, uint64_t off, int n)
{
	bool ok = st->ss ? seg_within(st->ss, off, n)
			 : mmu_canonical(c, off) && mmu_canonical(c, off + (uint64_t)n - 1);

	if (!ok)
		cpu_raise_err(c, EXC_SS, st->err);
	return st->ss ? (uint32_t)(st->base + off) : off;
}

void stack_push(struct cpu *c, struct stack *st, int n, uint64_t v)
{
	uint64_t off = (st->sp - (uint64_t)n) & st->mask;

	acc_st(c, stack_va(c, st, off, n), n, v, st->idx);
	st->sp = off;
}

uint64_t stack_pop(struct cpu *c, struct stack *st, int n)
{
	uint64_t v = acc_ld(c, stack_va(c, st, st->sp, n), n, st->idx);

	st->sp = (st->sp + (uint64_t)n) & st->mask;
	return v;
}

/* ---- LAR, LSL, VERR, VERW ---- */

/* Types of system descriptors that LAR and LSL know, a bit each. */
#define LAR_LEGACY	(BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(9) | BIT(11) | BIT(12))
#define LAR_LONG	(BIT(2) | BIT(9) | BIT(11) | BIT(12))
#define LSL_LEGACY	(BIT(1) | BIT(2) | BIT(3) | BIT(9) | BIT(11))
#define LSL_LONG	(BIT(2) | BIT(9) | BIT(11))

/* Is the selector's descriptor visible from here, and of a type in the mask? */
static bool desc_visible(struct cpu *c, uint16_t sel, uint64_t legacy, uint64_t lng, struct desc *d)
{
	uint32_t hi;

	if (sel_null(sel) || !desc_read(c, sel, d))
		return false;
	if (!desc_s(d)) {
		if (!((in_long(c) ? lng : legacy) >> desc_type(d) & 1))
			return false;
		if (in_long(c) && !desc_read_high(c, sel, d, &hi))
			return false;
	}
	if (attr_is_conforming(desc_attr(d)))
		return true;
	return desc_dpl(d) >= cpu_cpl(c) && desc_dpl(d) >= (sel & 3);
}

bool seg_lar(struct cpu *c, uint16_t sel, uint32_t *out)
{
	struct desc d;

	if (!desc_visible(c, sel, LAR_LEGACY, LAR_LONG, &d))
		return false;
	*out = d.hi & 0x00ffff00;	/* the limit's bits, too: undefined to Intel, so with AMD (APM vol. 3, LAR) */
	return true;
}

bool seg_lsl(struct cpu *c, uint16_t sel, uint32_t *out)
{
	struct desc d;

	if (!desc_visible(c, sel, LSL_LEGACY, LSL_LONG, &d))
		return false;
	*out = desc_limit(&d);
	return true;
}

bool seg_verify(struct cpu *c, uint16_t sel, bool write)
{
	struct desc d;
	uint32_t a;

	if (!desc_visible(c, sel, 0, 0, &d))
		return false;
	a = desc_attr(&d);
	if (write)
		return attr_is_wdata(a);
	return !attr_is_code(a) || a & TYPE_R;
}

/* ---- near targets ---- */

bool seg_target_ok(const struct cpu *c, uint64_t rip)
{
	return cpu_is64(c) ? mmu_canonical(c, rip) : rip <= c->segs[CS].limit;
}

static unsigned code_byte(struct cpu *c, uint64_t rip)
{
	uint64_t va = cpu_is64(c) ? rip : (uint32_t)(rip + c->segs[CS].base), pa;
	uint32_t pf;

	return mmu_fetch_page(c, va, &pa, NULL, &pf) ? (unsigned)phys_ld(c, (pa & ~0xfffull) | (va & 0xfff), 1) : 0x90;
}

/* By how much the near jump, call or return at rip has moved RSP. */
static int rsp_change(struct cpu *c, uint64_t rip)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0xf0, 0xf2, 0xf3 };
	bool is64 = cpu_is64(c), wide = (c->mode & MODE_CODE) != MODE_CODE16, o16 = false;
	unsigned op, i = 0, k;

	for (; i < 15; i++) {
		op = code_byte(c, rip + i);
		for (k = 0; k < sizeof(prefixes) && prefixes[k] != op; k++)
			;
		if (k == sizeof(prefixes) && !(is64 && (op & 0xf0) == 0x40))
			break;
		o16 |= op == 0x66;
	}
	int n = is64 ? 8 : wide == o16 ? 2 : 4;	/* two bytes are never out of 64-bit code's reach */
	if (op == 0xc3)
		return n;
	if (op == 0xc2)
		return n + (int)(code_byte(c, rip + i + 1) | code_byte(c, rip + i + 2) << 8);
	return op == 0xff && (code_byte(c, rip + i + 1) >> 3 & 7) == 2 ? -n : 0;
}

void seg_bad_target(struct cpu *c, uint64_t at)
{
	uint64_t *rsp = &c->regs[RSP], old = *rsp - (uint64_t)(int64_t)rsp_change(c, at);

	if (cpu_is64(c))
		*rsp = old;
	else
		st_n(rsp, c->mode & MODE_SS32 ? 4 : 2, old);
	c->rip = at;
	cpu_raise_err(c, EXC_GP, 0);
}
