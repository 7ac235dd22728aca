/*
 * Helpers for integer instructions that are too long or too rare for µops: decimal
 * adjustment, BOUND, ENTER, POPA, far transfers, interrupts, flags, selectors.
 *
 * Light. Source: SDM vol. 2, one entry an instruction.
 */
#include "cpu/except.h"
#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/helper.h"

#define H(name) uint64_t h_##name(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm)
#define UNUSED (void)c, (void)a, (void)b, (void)imm

/* ---- decimal adjustment: a = RAX; the new AX comes back ---- */

/* SF, ZF, PF of AL, and the flags given; OF is undefined and 0. */
static void set_flags(struct cpu *c, uint8_t al, bool af, bool cf)
{
	c->cc = cc_from_eflags((al & 0x80 ? FL_SF : 0) | (al ? 0 : FL_ZF) |
			       (__builtin_parity(al) ? 0 : FL_PF) | (af ? FL_AF : 0) | (cf ? FL_CF : 0));
}

static bool flag(const struct cpu *c, uint32_t fl)
{
	return cc_to_eflags(c->cc) & fl;
}

static uint64_t set_al(uint64_t ax, uint8_t al)
{
	return (ax & 0xff00) | al;
}

H(daa)
{
	uint8_t old = (uint8_t)a, al = old;
	bool af = (old & 15) > 9 || flag(c, FL_AF), cf = old > 0x99 || flag(c, FL_CF);

	UNUSED;
	al += (af ? 6 : 0) + (cf ? 0x60 : 0);
	set_flags(c, al, af, cf);
	return set_al(a, al);
}

H(das)
{
	uint8_t old = (uint8_t)a, al = old;
	bool af = (old & 15) > 9 || flag(c, FL_AF), high = old > 0x99 || flag(c, FL_CF);

	UNUSED;
	al -= (af ? 6 : 0) + (high ? 0x60 : 0);
	set_flags(c, al, af, high || (af && old < 6));
	return set_al(a, al);
}

H(aaa)
{
	bool af = (a & 15) > 9 || flag(c, FL_AF);
	uint64_t ax = (a + (af ? 0x106 : 0)) & 0xff0f;

	UNUSED;
	set_flags(c, (uint8_t)ax, af, af);
	return ax;
}

H(aas)
{
	bool af = (a & 15) > 9 || flag(c, FL_AF);
	uint64_t ax = (a - (af ? 0x106 : 0)) & 0xff0f;

	UNUSED;
	set_flags(c, (uint8_t)ax, af, af);
	return ax;
}

H(aam)
{
	uint8_t al = (uint8_t)a, base = (uint8_t)imm;

	UNUSED;
	if (!base)
		cpu_raise(c, EXC_DE);
	set_flags(c, al % base, false, false);
	return al / base << 8 | al % base;
}

H(aad)
{
	uint8_t al = (uint8_t)(a + (a >> 8) * imm);

	UNUSED;
	set_flags(c, al, false, false);
	return al;
}

/* ---- BOUND ---- */

H(bound)
{
	int seg = imm & 0xff, n = imm >> 8 & 0xff;
	uint64_t mask = size_mask(imm >> 16 & 0xff);
	int64_t index = (int64_t)a, lower, upper;

	lower = sext(mmu_ld(c, seg_check(c, seg, b & mask, n, MMU_READ), n, cpu_mmu_idx(c)), 8 * n);
	upper = sext(mmu_ld(c, seg_check(c, seg, (b + n) & mask, n, MMU_READ), n, cpu_mmu_idx(c)), 8 * n);
	if (index < lower || index > upper)
		cpu_raise(c, EXC_BR);
	return 0;
}

/* ---- stack frames ---- */

static int stack_size(const struct cpu *c)
{
	return cpu_is64(c) ? 8 : c->mode & MODE_SS32 ? 4 : 2;
}

static uint64_t stack_ld(struct cpu *c, uint64_t off, int n)
{
	uint64_t va = seg_check(c, SS, off & size_mask(stack_size(c)), n, MMU_READ);

	return mmu_ld(c, va, n, cpu_mmu_idx(c));
}

static void stack_st(struct cpu *c, uint64_t off, int n, uint64_t v)
{
	uint64_t va = seg_check(c, SS, off & size_mask(stack_size(c)), n, MMU_WRITE);

	mmu_st(c, va, n, v, cpu_mmu_idx(c));
}

/* Raise what a write would raise. */
static void stack_check(struct cpu *c, uint64_t off, int n)
{
	uint64_t va = seg_check(c, SS, off & size_mask(stack_size(c)), n, MMU_WRITE);

	mmu_check(c, va, n, MMU_WRITE, cpu_mmu_idx(c));
}

/* Write n bytes of a register as an instruction would. */
static void reg_put(struct cpu *c, int reg, int n, uint64_t v)
{
	c->regs[reg] = (n == 2 ? c->regs[reg] & ~0xffffull : 0) | (v & size_mask(n));
}

H(popa)
{
	uint64_t v[8];
	int n = (int)imm;

	UNUSED;
	for (int i = 0; i < 8; i++)
		v[i] = stack_ld(c, c->regs[RSP] + i * n, n);
	for (int i = 0; i < 8; i++)
		if (RDI - i != RSP)
			reg_put(c, RDI - i, n, v[i]);
	reg_put(c, RSP, stack_size(c), c->regs[RSP] + 8 * n);
	return 0;
}

H(enter)
{
	int level = imm >> 16 & 31, n = imm >> 24 & 0xff;
	uint64_t sp = c->regs[RSP] - n, bp = c->regs[RBP], mask = size_mask(stack_size(c));
	uint64_t frame = (c->regs[RSP] & ~mask) | (sp & mask);	/* with 16-bit stacks ESP keeps its upper half */

	UNUSED;
	stack_st(c, sp, n, bp);
	for (int i = 1; i < level; i++) {
		bp -= n;
		sp -= n;
		stack_st(c, sp, n, stack_ld(c, bp, n));
	}
	sp -= n;
	stack_st(c, sp, n, frame);
	sp -= imm & 0xffff;
	stack_check(c, sp, n);
	reg_put(c, RBP, n, frame);
	reg_put(c, RSP, stack_size(c), sp);
	return 0;
}

/* ---- far transfers, interrupts: cpu->rip is the instruction's, then the target's ---- */

/* Address behind the instruction. */
static uint64_t next_rip(const struct cpu *c, uint64_t len)
{
	uint64_t rip = c->rip + len;

	return cpu_is64(c) ? rip : (uint32_t)rip;
}

H(jmpf)
{
	far_jmp(c, (uint16_t)b, a, imm >> 8 & 0xff, next_rip(c, imm & 0xff));
	return 0;
}

H(callf)
{
	far_call(c, (uint16_t)b, a, imm >> 8 & 0xff, next_rip(c, imm & 0xff));
	return 0;
}

H(retf)
{
	UNUSED;
	far_ret(c, imm & 0xff, (uint16_t)(imm >> 8));
	return 0;
}

H(iret)
{
	UNUSED;
	cpu_iret(c, imm >> 8 & 0xff, next_rip(c, imm & 0xff));
	tcg_serialize(c);
	return 0;
}

H(int)
{
	UNUSED;
	cpu_soft_int(c, imm & 0xff, imm >> 8 & 0xff, (enum event_kind)(imm >> 16));
	return 0;
}

/* ---- flags ---- */

H(sti)
{
	UNUSED;
	cpu_sti(c);
	return 0;
}

H(cli)
{
	UNUSED;
	cpu_cli(c);
	return 0;
}

H(set_df)
{
	UNUSED;
	c->eflags = (c->eflags & ~FL_DF) | (uint32_t)imm;
	cpu_update_mode(c);
	return 0;
}

H(pushf)
{
	UNUSED;
	return cpu_pushf_image(c, (int)imm);
}

H(popf)
{
	uint32_t mode = c->mode, old = c->eflags;

	UNUSED;
	cpu_popf(c, (uint32_t)a, (int)imm);
	return c->mode != mode || (c->eflags & ~old & FL_IF && c->request);
}

H(set_shadow)
{
	UNUSED;
	c->shadow = true;
	c->shadow_db = imm;
	return 0;
}

/* ---- segment registers ---- */

H(arpl)
{
	bool lower = (a & 3) < (b & 3);

	UNUSED;
	c->cc = (c->cc & ~(FL_ZF << 8)) | (lower ? FL_ZF << 8 : 0);
	return lower ? (a & ~3ull) | (b & 3) : a;
}

/* A selector that stays is not written: it may be read-only. */
H(arpl_mem)
{
	enum mmu_idx idx = cpu_mmu_idx(c);
	uint64_t sel = mmu_ld(c, seg_check(c, (int)imm, a, 2, MMU_READ), 2, idx);

	if ((sel & 3) < (b & 3))
		mmu_st(c, seg_check(c, (int)imm, a, 2, MMU_WRITE), 2, (sel & ~3ull) | (b & 3), idx);
	h_arpl(c, sel, b, 0);
	return 0;
}

H(seg_load)
{
	uint32_t mode = c->mode;

	UNUSED;
	seg_load(c, (int)imm, (uint16_t)a);
	return c->mode != mode;
}
