/*
 * The table of helpers, and those that need the vector state in memory or call
 * libc: state images, MXCSR, random numbers, vector loads and stores under a
 * mask. The back end puts the vector state into cpu->xsave around them.
 *
 * Masked and gathered elements are accessed one by one. Elements that are masked
 * out are not touched, so they cannot fault. A gather that faults has cleared the
 * mask of the elements it got, and goes on behind them when it is executed again.
 *
 * Source: SDM vol. 2 for each instruction; vol. 1, 13.4 (layout of cpu->xsave).
 */
#include "tcg/helper.h"

#include <sys/random.h>

#include "cpu/fpu.h"
#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "cpu/vec.h"

#define H(name) uint64_t h_##name(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm)
#define UNUSED (void)c, (void)a, (void)b, (void)imm

const struct helper_info helper_info[HELPER_COUNT] = {
#define HELPER(name, attr, what) [HELPER_##name] = { #name, h_##name, attr },
#include "tcg/helper.def"
#undef HELPER
};

/* ---- state images ---- */

#define OPSIZE(imm)	((int)((imm) >> 8 & 0xff))
#define KIND(imm)	((int)((imm) >> 16 & 0xff))
enum { FXSAVE_BYTES = 512, XSAVE_BYTES = 576 };

/* Linear address of an image at offset off; #GP(0) unless aligned. */
static uint64_t image(struct cpu *c, uint64_t off, uint64_t imm, int n, int how, unsigned align)
{
	uint64_t va = seg_check(c, imm & 0xff, off, n, how);

	if (va & (align - 1))
		cpu_raise_err(c, EXC_GP, 0);
	return va;
}

static uint64_t feature_mask(const struct cpu *c)
{
	return c->regs[RDX] << 32 | (uint32_t)c->regs[RAX];
}

/* CR0.EM does not matter. */
static void need_xsave(struct cpu *c)
{
	if (!(c->cr4 & CR4_OSXSAVE))
		cpu_raise(c, EXC_UD);
	if (c->cr0 & CR0_TS)
		cpu_raise(c, EXC_NM);
}

/* Length of FNSTENV's and FNSAVE's image. */
static int env_bytes(uint64_t imm)
{
	return (OPSIZE(imm) == 2 ? 14 : 28) + (KIND(imm) ? 80 : 0);
}

H(fxsave)
{
	UNUSED;
	cpu_fxsave(c, image(c, a, imm, FXSAVE_BYTES, MMU_WRITE, 16), OPSIZE(imm) == 8);
	return 0;
}

H(fxrstor)
{
	UNUSED;
	cpu_fxrstor(c, image(c, a, imm, FXSAVE_BYTES, MMU_READ, 16), OPSIZE(imm) == 8);
	return 0;
}

H(xsave)
{
	UNUSED;
	need_xsave(c);
	cpu_xsave(c, image(c, a, imm, XSAVE_BYTES, MMU_WRITE, 64), feature_mask(c), OPSIZE(imm) == 8, KIND(imm));
	return 0;
}

H(xrstor)
{
	UNUSED;
	need_xsave(c);
	cpu_xrstor(c, image(c, a, imm, XSAVE_BYTES, MMU_READ, 64), feature_mask(c), OPSIZE(imm) == 8, KIND(imm));
	return 0;
}

H(fstenv)
{
	UNUSED;
	cpu_fstenv(c, image(c, a, imm, env_bytes(imm), MMU_WRITE, 1), OPSIZE(imm), KIND(imm));
	return 0;
}

H(fldenv)
{
	UNUSED;
	fpu_check_pending(c);
	cpu_fldenv(c, image(c, a, imm, env_bytes(imm), MMU_READ, 1), OPSIZE(imm), KIND(imm));
	return 0;
}

H(ldmxcsr)
{
	UNUSED;
	if (a & 0xffff0000)
		cpu_raise_err(c, EXC_GP, 0);
	st32(c->xsave + 24, (uint32_t)a);
	return 0;
}

H(random)
{
	uint64_t v = 0;

	UNUSED;
	if (getrandom(&v, imm, GRND_NONBLOCK) != (ssize_t)imm) {
		c->cc = cc_from_eflags(0);	/* none to be had now: CF = 0, destination 0 */
		return 0;
	}
	c->cc = cc_from_eflags(FL_CF);
	return v;
}

/* ---- vectors under a mask ---- */

/* Byte i of vector register r. Upper halves of YMM stand apart. */
static uint8_t *vbyte(struct cpu *c, int r, int i)
{
	return i < 16 ? c->xsave + 160 + 16 * r + i : c->xsave + 576 + 16 * r + i - 16;
}

/* The image has x87 registers in stack order. */
static uint8_t *mmbyte(struct cpu *c, int r, int i)
{
	int top = ld16(c->xsave + 2) >> 11 & 7;

	return c->xsave + 32 + 16 * ((r - top) & 7) + i;
}

/* Offset, cut to address size, to a checked linear address. Elements need no alignment: ends are checked as bytes. */
static uint64_t velement(struct cpu *c, struct vmem v, uint64_t off, int n, int how)
{
	off &= size_mask(2 << v.ad);
	seg_check(c, v.seg, off + (unsigned)n - 1, 1, how);
	return seg_check(c, v.seg, off, 1, how);
}

/* The same for byte i of an operand that starts at off: it may go beyond the address size. */
static uint64_t vpiece(struct cpu *c, struct vmem v, uint64_t off, unsigned i, int n, int how)
{
	uint64_t at = (off & size_mask(2 << v.ad)) + i;

	seg_check(c, v.seg, at + (unsigned)n - 1, 1, how);
	return seg_check(c, v.seg, at, 1, how);
}

/* One pass over the selected bytes: 0 checks, 1 stores. */
static void maskmov_pass(struct cpu *c, struct vmem v, uint64_t off, int pass)
{
	uint8_t *(*byte)(struct cpu *, int, int) = v.bytes == 8 ? mmbyte : vbyte;

	for (int i = 0; i < (int)v.bytes; i++) {
		if (!(*byte(c, v.mask, i) & 0x80))
			continue;
		uint64_t va = vpiece(c, v, off, (unsigned)i, 1, MMU_WRITE);
		if (pass == 0)
			mmu_check(c, va, 1, MMU_WRITE, cpu_mmu_idx(c));
		else
			mmu_st(c, va, 1, *byte(c, v.reg, i), cpu_mmu_idx(c));
	}
}

/* An unselected store must not happen; one that faults leaves everything as it was. */
H(maskmov)
{
	struct vmem v = vmem_unpack(imm);
	bool mmx = v.bytes == 8;

	UNUSED;
	if (mmx)
		fpu_check_pending(c);
	maskmov_pass(c, v, a, 0);
	if (mmx)
		vec_enter_mmx(c);
	maskmov_pass(c, v, a, 1);
	return 0;
}

static bool selected(struct cpu *c, struct vmem v, int i)
{
	int n = v.wide ? 8 : 4;

	return *vbyte(c, v.mask, i * n + n - 1) & 0x80;
}

static void vmask_load(struct cpu *c, struct vmem v, uint64_t off)
{
	int n = v.wide ? 8 : 4;
	uint64_t val[8] = { 0 };

	for (int i = 0; i < (int)v.bytes / n; i++)
		if (selected(c, v, i))
			val[i] = mmu_ld(c, vpiece(c, v, off, (unsigned)(i * n), n, MMU_READ), n, cpu_mmu_idx(c));
	for (int i = 0; i < 32 / n; i++)
		st_n(vbyte(c, v.reg, i * n), n, val[i]);
}

static void vmask_store(struct cpu *c, struct vmem v, uint64_t off)
{
	int n = v.wide ? 8 : 4;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < (int)v.bytes / n; i++) {
			if (!selected(c, v, i))
				continue;
			uint64_t va = vpiece(c, v, off, (unsigned)(i * n), n, MMU_WRITE);
			if (pass == 0)
				mmu_check(c, va, n, MMU_WRITE, cpu_mmu_idx(c));
			else
				mmu_st(c, va, n, ld_n(vbyte(c, v.reg, i * n), n), cpu_mmu_idx(c));
		}
}

H(vmaskmov)
{
	struct vmem v = vmem_unpack(imm);

	UNUSED;
	if (v.store)
		vmask_store(c, v, a);
	else
		vmask_load(c, v, a);
	return 0;
}

/* Elements: as many as there are indices and data; what is above them becomes 0, the whole mask too. */
H(gather)
{
	struct vmem v = vmem_unpack(imm);
	int n = v.wide ? 8 : 4, in = v.iwide ? 8 : 4;
	int count = (int)v.bytes / (n > in ? n : in);

	UNUSED;
	for (int i = 0; i < count; i++) {
		if (!selected(c, v, i))
			continue;
		int64_t index = sext(ld_n(vbyte(c, v.index, i * in), in), 8 * in);
		uint64_t va = velement(c, v, a + ((uint64_t)index << v.scale), n, MMU_READ);
		uint64_t val = mmu_ld(c, va, n, cpu_mmu_idx(c));
		st_n(vbyte(c, v.reg, i * n), n, val);
		st_n(vbyte(c, v.mask, i * n), n, 0);
	}
	for (int i = 0; i < 32; i++) {
		if (i >= count * n)
			*vbyte(c, v.reg, i) = 0;
		*vbyte(c, v.mask, i) = 0;
	}
	return 0;
}
