/*
 * Helpers for SVM: the thin layer between translated code and cpu/svm_insn.c.
 * Light. imm as in cpu/svm.h.
 */
#include "cpu/seg.h"
#include "cpu/svm.h"
#include "tcg/helper.h"

#define H(name) uint64_t h_##name(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm)
#define UNUSED (void)c, (void)a, (void)b, (void)imm

H(svm_insn) { UNUSED; svm_insn(c, a, imm); return 0; }
H(svm_cr0_write) { UNUSED; svm_cr0_write(c, a, b, imm); return 0; }
H(svm_msr) { UNUSED; svm_msr(c, imm); return 0; }
H(svm_io) { UNUSED; svm_io(c, (uint16_t)a, imm); return 0; }

static uint64_t linear(const struct cpu *c, unsigned seg, uint64_t off)
{
	uint64_t base = cpu_is64(c) && seg != FS && seg != GS ? 0 : c->segs[seg].base;

	return cpu_is64(c) ? base + off : (uint32_t)(base + off);
}

/* EXITINFO1 is the linear address. */
H(svm_invlpg)
{
	UNUSED;
	svm_insn(c, linear(c, imm >> 24 & 7, a), imm);
	return 0;
}

H(svm_invpcid)
{
	UNUSED;
	svm_invpcid(c, linear(c, imm >> 24 & 7, a), cpu_is64(c) ? b : (uint32_t)b, imm);
	return 0;
}

H(svm_instruction)
{
	uint64_t next = c->rip + SVM_LEN(imm);

	UNUSED;
	svm_instruction(c, imm & 0xffff, (int)(imm >> 24), cpu_is64(c) ? next : (uint32_t)next);
	return 0;
}
