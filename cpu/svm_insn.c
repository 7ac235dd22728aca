/*
 * Instructions under SVM: what is asked before an instruction of a guest executes,
 * and VMRUN, VMLOAD, VMSAVE, VMMCALL, STGI, CLGI, INVLPGA (contract in cpu/svm.h).
 *
 * Exceptions that depend on privilege alone come before an intercept, those that
 * depend on operands behind it; the front end has asked for the former, except where
 * control registers matter.
 * Source: AMD APM vol. 2, table 15-7, 15.9 to 15.11, 15.14; vol. 3.
 */
#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/seg.h"
#include "cpu/svm.h"
#include "cpu/system.h"
#include "cpu/tlb.h"

static uint64_t next_rip(const struct cpu *c, uint64_t imm)
{
	uint64_t rip = c->rip + SVM_LEN(imm);

	return cpu_is64(c) ? rip : (uint32_t)rip;
}

static void gp_if(struct cpu *c, bool bad)
{
	if (bad)
		cpu_raise_err(c, EXC_GP, 0);
}

/* ---- before an instruction of a guest ---- */

/* What the instruction would raise whatever its operands are. */
static void exceptions_first(struct cpu *c, unsigned code)
{
	bool user = cpu_cpl(c);

	if (code == SVM_RDTSC || code == SVM_RDTSCP)
		gp_if(c, user && c->cr4 & CR4_TSD);
	if (code == SVM_RDPMC)
		gp_if(c, user && !(c->cr4 & CR4_PCE));
	if (code >= SVM_IDTR_READ && code <= SVM_TR_READ)
		gp_if(c, user && c->cr4 & CR4_UMIP);
}

static bool pause_passes(struct cpu *c)
{
	if (!c->svm.pause_count)
		return false;
	c->svm.pause_count--;
	return true;
}

void svm_insn(struct cpu *c, uint64_t info1, uint64_t imm)
{
	unsigned code = imm & 0xffff;

	if (code == SVM_MWAIT && c->monitoring && !svm_intercepts(c, code))
		code = SVM_MWAIT_ARMED;
	if (!svm_intercepts(c, code))
		return;
	exceptions_first(c, code);
	if (code == SVM_PAUSE && pause_passes(c))
		return;
	svm_exit(c, code, info1, 0, next_rip(c, imm));
}

void svm_invpcid(struct cpu *c, uint64_t va, uint64_t type, uint64_t imm)
{
	if (svm_intercepts(c, SVM_INVPCID))
		svm_exit(c, SVM_INVPCID, va, type, next_rip(c, imm));
}

/* Selective: anything but TS and MP changes. */
void svm_cr0_write(struct cpu *c, uint64_t v, uint64_t info1, uint64_t imm)
{
	svm_insn(c, info1, imm);
	if ((v ^ c->cr0) & ~(uint64_t)(CR0_TS | CR0_MP | CR0_ET) && svm_intercepts(c, SVM_CR0_SEL_WRITE))
		svm_exit(c, SVM_CR0_SEL_WRITE, info1, 0, next_rip(c, imm));
}

/* Two bits for each MSR, in three ranges of 2 KiB; MSRs outside of them exit always. */
static bool msr_intercepted(struct cpu *c, uint32_t msr, unsigned write)
{
	static const uint32_t base[] = { 0, 0xc0000000, 0xc0010000 };
	uint64_t map = c->svm.msrpm & ~0xfffull;

	for (unsigned i = 0; i < ARRAY_LEN(base); i++)
		if (msr - base[i] < 0x2000) {
			uint32_t bit = 2 * (msr - base[i]) + write;

			return phys_ld(c, map + 0x800 * i + bit / 8, 1) >> (bit & 7) & 1;
		}
	return true;
}

void svm_msr(struct cpu *c, uint64_t imm)
{
	unsigned write = imm >> 24 & 1;

	if (svm_intercepts(c, SVM_MSR) && msr_intercepted(c, (uint32_t)c->regs[RCX], write))
		svm_exit(c, SVM_MSR, write, 0, next_rip(c, imm));
}

static bool port_intercepted(struct cpu *c, unsigned port, unsigned size)
{
	uint64_t map = c->svm.iopm & ~0xfffull;

	for (unsigned i = 0; i < size; i++)		/* the last ports reach behind 8 KiB */
		if (phys_ld(c, map + (port + i) / 8, 1) >> ((port + i) & 7) & 1)
			return true;
	return false;
}

void svm_io(struct cpu *c, uint16_t port, uint64_t imm)
{
	uint64_t info = imm >> 24 & 0xffff;
	unsigned size = info >> 4 & 7;

	if (!svm_intercepts(c, SVM_IOIO))
		return;
	gp_if(c, !(c->mode & MODE_IOPL_OK) && !tss_io_allowed(c, port, (int)size));
	if (port_intercepted(c, port, size))
		svm_exit(c, SVM_IOIO, info | (uint64_t)port << 16, next_rip(c, imm), next_rip(c, imm));
}

/* ---- the instructions of SVM ---- */

/* #UD unless SVM is on. */
static void need_svm(struct cpu *c)
{
	if (!(c->efer & EFER_SVME) || !in_protected(c))
		cpu_raise(c, EXC_UD);
	gp_if(c, cpu_cpl(c));
}

/* The physical address in rAX of address size ad. */
static uint64_t vmcb_address(struct cpu *c, int ad)
{
	uint64_t pa = c->regs[RAX] & size_mask(ad);

	gp_if(c, pa & 0xfff || pa >> c->phys_bits);
	return pa;
}

static void set_gif(struct cpu *c, bool on)
{
	c->gif = on;
}

static void invlpga(struct cpu *c, int ad)
{
	uint64_t va = c->regs[RAX] & size_mask(ad);
	uint32_t asid = (uint32_t)c->regs[RCX];

	if (asid == (c->svm.guest ? c->svm.asid : 0))
		mmu_flush_page(c, va);
	else
		mmu_forget_space(c, asid);
}

void svm_instruction(struct cpu *c, unsigned code, int ad, uint64_t next)
{
	if (code != SVM_VMMCALL)
		need_svm(c);
	if (svm_intercepts(c, code))
		svm_exit(c, code, 0, 0, next);
	switch (code) {
	case SVM_VMRUN:
		svm_vmrun(c, vmcb_address(c, ad), next);
		return;
	case SVM_VMLOAD:
		svm_vmload(c, vmcb_address(c, ad));
		break;
	case SVM_VMSAVE:
		svm_vmsave(c, vmcb_address(c, ad));
		break;
	case SVM_STGI:
		set_gif(c, true);
		break;
	case SVM_CLGI:
		set_gif(c, false);
		break;
	case SVM_INVLPGA:
		invlpga(c, ad);
		break;
	default:		/* VMMCALL that nobody waits for; SKINIT is not there */
		cpu_raise(c, EXC_UD);
	}
	c->rip = next;
}
