/*
 * Flags, the mode word, and raising exceptions: the light part of cpu/cpu.h.
 *
 * The current privilege level is SS.DPL in protected mode, as both vendors'
 * virtual-machine state defines it: it is right while PE has just been set and
 * CS still holds a real-mode paragraph.
 */
#include "cpu/cpuid.h"
#include "cpu/lbr.h"
#include "cpu/pmu.h"
#include "cpu/svm.h"
#include "cpu/tlb.h"

#define FL_OTHER (FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)

/* Of the result d of x and y, whose carry and overflow are known. */
static uint32_t cc_of(uint64_t x, uint64_t y, uint64_t d, int size, bool carry, bool overflow)
{
	uint32_t fl = (x ^ y ^ d) & FL_AF;

	fl |= carry ? FL_CF : 0;
	fl |= d ? 0 : FL_ZF;
	fl |= d >> (8 * size - 1) & 1 ? FL_SF : 0;
	fl |= overflow ? FL_OF : 0;
	fl |= __builtin_parity(d & 0xff) ? 0 : FL_PF;
	return cc_from_eflags(fl);
}

uint32_t cc_of_sub(uint64_t x, uint64_t y, int size)
{
	uint64_t d = (x - y) & size_mask(size);

	return cc_of(x, y, d, size, x < y, ((x ^ y) & (x ^ d)) >> (8 * size - 1) & 1);
}

uint32_t cc_of_add(uint64_t x, uint64_t y, int size)
{
	uint64_t d = (x + y) & size_mask(size);

	return cc_of(x, y, d, size, d < x, ((x ^ d) & (y ^ d)) >> (8 * size - 1) & 1);
}

uint32_t cpu_noted_cc(const struct cpu *c)
{
	int size = 1 << (c->cc >> NOTE_SIZE & 3);
	uint64_t mask = size_mask(size), a = c->note[0] & mask;
	uint64_t b = (c->cc & NOTE_B ? c->note[1] : (uint64_t)(int16_t)(c->cc >> 16)) & mask;

	switch (c->cc & 7) {
	case NOTE_AND: return cc_of_sub(a & b, 0, size);
	case NOTE_SUB: return cc_of_sub(a, b, size);
	case NOTE_DIFFERENCE: return cc_of_sub((a + b) & mask, b, size);
	case NOTE_SUM: return cc_of_add((a - b) & mask, b, size);
	case NOTE_TAKEN: return cc_of_sub(a, (a - b) & mask, size);
	default: return cc_of_add(a, (b - a) & mask, size);
	}
}

void cpu_set_eflags(struct cpu *c, uint32_t v)
{
	uint32_t old = c->eflags;

	c->cc = cc_from_eflags(v);
	c->eflags = (v & FL_OTHER) | 2;
	if ((old ^ c->eflags) & (FL_TF | FL_VM | FL_AC | FL_IOPL | FL_DF))
		cpu_update_mode(c);
}

/* Expand-up, writable, present data over all 4 GiB from 0. */
static bool flat_data(const struct seg *s)
{
	return s->base == 0 && s->limit == 0xffffffffu &&
	       (s->attr & (SEG_P | SEG_S | 0xe)) == (SEG_P | SEG_S | 0x2);
}

/* Readable, present code over all 4 GiB from 0. */
static bool flat_code(const struct seg *s)
{
	return s->base == 0 && s->limit == 0xffffffffu &&
	       (s->attr & (SEG_P | SEG_S | 0xa)) == (SEG_P | SEG_S | 0xa);
}

static uint32_t code_size(const struct cpu *c)
{
	if (c->efer & EFER_LMA && c->segs[CS].attr & SEG_L)
		return MODE_CODE64;
	return c->segs[CS].attr & SEG_DB ? MODE_CODE32 : MODE_CODE16;
}

static uint32_t privilege(const struct cpu *c)
{
	if (!(c->cr0 & CR0_PE))
		return 0;
	return c->eflags & FL_VM ? 3 : SEG_DPL(c->segs[SS].attr);
}

static enum mmu_idx data_idx(const struct cpu *c, uint32_t cpl)
{
	if (cpl == 3)
		return MMU_USER;
	return c->cr4 & CR4_SMAP && !(c->eflags & FL_AC) ? MMU_KERNEL : MMU_KERNEL_NOSMAP;
}

static uint32_t segment_bits(const struct cpu *c)
{
	uint32_t code = code_size(c);

	if (code == MODE_CODE64)
		return code | MODE_FLAT;
	bool flat = flat_code(&c->segs[CS]) && flat_data(&c->segs[DS]) &&
		    flat_data(&c->segs[ES]) && flat_data(&c->segs[SS]);
	return code | (c->segs[SS].attr & SEG_DB ? MODE_SS32 : 0) | (flat ? MODE_FLAT : 0);
}

static uint32_t control_bits(const struct cpu *c)
{
	return (c->cr0 & CR0_PE ? MODE_PE : 0) | (c->cr0 & CR0_EM ? MODE_EM : 0) |
	       (c->cr0 & CR0_TS ? MODE_TS : 0) | (c->cr0 & CR0_MP ? MODE_MP : 0) |
	       (c->cr4 & CR4_OSFXSR ? MODE_OSFXSR : 0) |
	       (c->cr4 & CR4_OSXSAVE && (c->xcr0 & 6) == 6 ? MODE_OSXSAVE : 0) |
	       (c->efer & EFER_LMA ? MODE_LMA | (c->cr4 & CR4_LA57 ? MODE_LA57 : 0) : 0) | (c->eflags & FL_TF ? MODE_TF : 0) |
	       (c->eflags & FL_DF ? MODE_DF : 0) | (c->dr[7] & 0xff || c->lbr.control & DEBUGCTL_LBR ? MODE_DEBUG : 0);
}

void cpu_update_mode(struct cpu *c)
{
	uint32_t cpl = privilege(c), iopl = (c->eflags & FL_IOPL) >> 12;
	bool vm = c->cr0 & CR0_PE && c->eflags & FL_VM;
	uint32_t m = segment_bits(c) | control_bits(c) | cpl << MODE_CPL_SHIFT |
		     data_idx(c, cpl) << MODE_MMU_SHIFT;

	if (vm)
		m |= MODE_VM;
	if (cpl == 3 && c->cr0 & CR0_AM && c->eflags & FL_AC)
		m |= MODE_AC;
	if (!vm && cpl <= iopl)
		m |= MODE_IOPL_OK;
	if (cpl != 3 && c->cr4 & CR4_SMAP)
		m |= MODE_SMAP;
	if (c->svm.guest)
		m |= MODE_SVM;
	if (c->pmu.on) {
		if (c->pmu.split && !cpl != !cpu_cpl(c))
			pmu_sync(c);
		if (c->pmu.classes >> (cpl != 0) & 1)
			m |= MODE_COUNT;
	}
	c->mode = m;
}

/* ---- exceptions ---- */

static void __attribute__((noreturn)) raise(struct cpu *c, int vector, bool has_error, uint32_t error)
{
	c->exc_vector = vector;
	c->exc_has_error = has_error;
	c->exc_error = error;
	c->unwind(c);
}

void cpu_raise(struct cpu *c, int vector)
{
	raise(c, vector, false, 0);
}

void cpu_raise_err(struct cpu *c, int vector, uint32_t error)
{
	raise(c, vector, true, error);
}

void cpu_raise_pf(struct cpu *c, uint64_t va, uint32_t error)
{
	if (error & PF_NESTED)
		svm_exit(c, SVM_NPF, c->mmu->npf_info, c->mmu->npf_gpa, 0);
	c->exc_cr2 = va;
	raise(c, EXC_PF, true, error);
}

uint64_t cpu_heavy(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
		   uint64_t a, uint64_t b, uint64_t x, uint64_t y)
{
	return c->vec_live ? c->heavy(c, fn, a, b, x, y) : fn(a, b, x, y);
}

uint64_t cpu_call_out(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
		      uint64_t a, uint64_t b, uint64_t x, uint64_t y)
{
	return c->vec_live ? c->call_out(c, fn, a, b, x, y) : fn(a, b, x, y);
}

void cpu_note_unfinished(struct cpu *c)
{
	/* Without breakpoints or TF nobody would clear it. */
	if (c->mode & (MODE_TF | MODE_DEBUG) && (c->rf_found || cpuid_is_intel(c)))
		c->eflags |= FL_RF;
}
