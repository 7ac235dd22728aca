/*
 * Decoded instructions.
 *
 * insn_decode() turns bytes into a struct insn: which row of cpu/insn.def it is,
 * and its operands with every default resolved (operand size, address size,
 * stack size, segment, REX, RIP-relative). Nothing below decides semantics.
 * Source: SDM vol. 2 chapters 2 and appendix A (operand codes), AMD APM vol. 3.
 * Light: no libc, no allocation.
 */
#ifndef CPU_INSN_H
#define CPU_INSN_H

#include <stdbool.h>
#include <stdint.h>

/* Register numbers of byte registers AH, CH, DH, BH in struct opd.reg. */
enum { REG_AH = 16, REG_CH, REG_DH, REG_BH };

enum opd_kind {
	OPD_NONE,
	OPD_REG,	/* general register; reg 0..15, or REG_AH.. when size is 1 */
	OPD_MEM,	/* memory at insn.seg:[base + index << scale + disp] */
	OPD_IMM,	/* insn.imm, sign- or zero-extended as the row says */
	OPD_IMM2,	/* insn.imm2 (ENTER's second, selector of a far pointer) */
	OPD_SEG,	/* segment register ES.. GS */
	OPD_CR, OPD_DR,
	OPD_ST,		/* x87 stack register, reg 0..7 */
	OPD_MM, OPD_XMM, OPD_YMM,
	OPD_REL,	/* branch target: insn.imm is the displacement */
	OPD_FAR,	/* immediate far pointer: imm = offset, imm2 = selector */
};

/*
 * Memory that the opcode implies (strings, xlat, maskmov) has its base register in reg.
 * movs and cmps have two such operands: insn.base and insn.seg are the source's, the
 * destination is ES:rDI as always.
 */
struct opd {
	uint8_t kind;		/* enum opd_kind */
	uint8_t reg;
	uint8_t size;		/* bytes: 1, 2, 4, 8, 10, 16, 32; 0: no fixed size (lea, fxsave) */
};

#define INSN_MAX_OPDS 4
#define NO_REG 0xff
#define RIP_REG 0xfe		/* insn.base: RIP-relative, disp counts from the next instruction */

struct insn {
	uint16_t row;		/* index into insn_rows[] */
	uint8_t len;		/* bytes, 1..15 */
	uint8_t opsize;		/* effective operand size 2, 4, 8 */
	uint8_t adsize;		/* effective address size 2, 4, 8 */
	uint8_t nopd;
	struct opd opd[INSN_MAX_OPDS];
	/* Memory operand. */
	uint8_t seg;		/* ES..GS after defaults and overrides */
	uint8_t base, index;	/* 0..15, NO_REG, base also RIP_REG */
	uint8_t scale;		/* 0..3 */
	int64_t disp;
	int64_t imm, imm2;
	/* Raw pieces, for what re-encodes or logs. */
	uint8_t modrm;		/* valid if has_modrm */
	uint8_t rex;		/* 0, or 0x40..0x4f; with VEX its W R X B in REX's places */
	uint8_t pfx;		/* PFX_* seen */
	uint8_t seg_override;	/* ES..GS or NO_REG */
	uint8_t vex_l, vex_v;	/* VEX.L; VEX.vvvv as a register number */
	bool has_modrm, vex;
};
#define PFX_66		0x01
#define PFX_67		0x02
#define PFX_LOCK	0x04
#define PFX_REP		0x08	/* F3, the last of F2/F3 */
#define PFX_REPNE	0x10	/* F2 */

#define INSN_REG(i)	((i)->modrm >> 3 & 7)	/* without REX */
#define INSN_RM(i)	((i)->modrm & 7)
#define INSN_MOD(i)	((i)->modrm >> 6)

/* ---- the table ---- */

/* attr column */
#define A_LOCK		0x0001	/* LOCK allowed with a memory destination, or with CR0 */
#define A_VEX		0x0002	/* VEX-encoded */
#define A_NO64		0x0004	/* #UD in 64-bit code */
#define A_ONLY64	0x0008	/* only in 64-bit code */
#define A_D64		0x0010	/* operand size defaults to 64 bits in 64-bit code (push, near branch) */
#define A_F64		0x0020	/* operand size is 64 bits in 64-bit code, 66 ignored */
#define A_PRIV		0x0040	/* CPL 0 or #GP */
#define A_PE		0x0080	/* #UD in real and virtual-8086 mode */
#define A_MEM		0x0100	/* memory form only: mod = 3 is #UD or another row */
#define A_REGF		0x0200	/* register form only (mod = 3) */
#define A_END		0x0400	/* ends a block: transfers control or changes the mode */
#define A_REP		0x0800	/* REP/REPE/REPNE mean something */
#define A_FPU		0x1000	/* x87: #NM on EM or TS, checks pending #MF */
#define A_MMX		0x2000	/* MMX: #UD on EM, #NM on TS, enters MMX mode */
#define A_SSE		0x4000	/* SSE: #UD on EM or no OSFXSR, #NM on TS */
#define A_ALIGN		0x8000	/* memory operand must be aligned to its size or #GP */
#define A_HOST		0x10000	/* the host executes it as it is, operands re-encoded (vector, x87) */
#define A_WIG		0x20000	/* REX.W makes no difference */
#define A_I64		0x40000	/* REX.W is ignored / has no 64-bit form */
#define A_W0		0x80000	/* REX.W or VEX.W clear; outside 64-bit code REX.W counts as clear */
#define A_W1		0x100000 /* REX.W or VEX.W set */
#define A_L0		0x200000 /* VEX.L clear */
#define A_L1		0x400000 /* VEX.L set */
#define A_B0		0x800000 /* REX.B clear */
#define A_NEAR		0x1000000 /* near branch: in 64-bit code A_F64 on Intel's processors, A_D64 on AMD's */

enum insn_cpuid {
	F_BASE, F_FPU, F_TSC, F_MSR, F_CX8, F_SEP, F_CMOV, F_CLFSH, F_MMX, F_FXSR, F_SSE, F_SSE2,
	F_SSE3, F_MONITOR, F_SSSE3, F_CX16, F_SSE41, F_SSE42, F_MOVBE, F_POPCNT, F_PCLMUL, F_AES,
	F_XSAVE, F_AVX, F_F16C, F_RDRAND, F_FMA, F_FSGSBASE, F_BMI1, F_AVX2, F_BMI2,
	F_INVPCID, F_RDSEED, F_ADX, F_SMAP, F_CLFLUSHOPT, F_CLWB, F_SHA, F_PKU, F_RDPID,
	F_GFNI, F_VAES, F_VPCLMUL, F_SYSCALL, F_RDTSCP, F_LM, F_LAHF, F_SVM, F_LZCNT, F_SSE4A,
	F_3DNOWPF, F_XSAVEOPT, F_XSAVEC, F_XSAVES, F_CLZERO, F_486 /* cpuid, cmpxchg, xadd, bswap */,
	F_CR8LEGACY, F_AVX_VNNI, F_MOVDIRI, F_MOVDIR64B, F_SERIALIZE, F_HYPERCALL, F_INTEL /* no feature: the vendor */,
	F_NFEAT,
	F_HOST_TSC = F_NFEAT	/* of no row: RDTSC is the host's plus an offset */
};

/* Arithmetic flags in the rows: bit order of EFLAGS is FL_*; these are the text letters o s z a p c. */
struct insn_row {
	uint32_t opcode;	/* 0x00..0xff, 0x0f00.., 0x0f3800.., 0x0f3a00..; 0xd9e0, 0x0f01c8: with ModRM */
	int8_t reg;		/* ModRM.reg for groups, else -1 */
	uint8_t pfx;		/* mandatory prefix: IP_* */
	uint8_t cpuid;		/* enum insn_cpuid */
	uint8_t opd[INSN_MAX_OPDS];	/* enum opd_code */
	const char *name;	/* mnemonic, Intel syntax */
	const char *opds;	/* the operand codes as text, for messages */
	uint16_t fl_read, fl_written, fl_undef;	/* FL_* */
	uint32_t attr;
	uint16_t does;		/* index of the front-end function: enum insn_does */
};
enum { IP_ANY, IP_NONE, IP_66, IP_F3, IP_F2, IP_OPSIZE /* neither F3 nor F2; 66 is the operand size */ };

extern const struct insn_row insn_rows[];
extern const unsigned n_insn_rows;

/* OC_<code>: operand codes. DOES_<name>: the does column. */
#include "cpu/insn_ids.h"

/* Two neighbouring rows that are candidates for one slot. */
static inline bool insn_same_slot(const struct insn_row *a, const struct insn_row *b)
{
	return OP_BASE(a->opcode) == OP_BASE(b->opcode) && !((a->attr ^ b->attr) & A_VEX);
}

enum insn_result {
	INSN_OK,
	INSN_INVALID,		/* #UD */
	INSN_TOO_LONG,		/* more than 15 bytes: #GP */
	INSN_TRUNCATED,		/* needs more than `n` bytes */
};

/* Bits of `feat`: which enum insn_cpuid features exist. */
struct insn_env {
	uint32_t mode;		/* MODE_* of cpu/cpu.h; code size, PE, VM matter */
	uint64_t feat[2];	/* bit F_x */
	struct decode_memo *memo;	/* what has been learnt with these features (cpu/decode.h), or NULL */
};

/* Decode up to n bytes at p. *in is complete on INSN_OK; len is set otherwise too where known. */
enum insn_result insn_decode(const uint8_t *p, unsigned n, const struct insn_env *env, struct insn *in);

static inline const struct insn_row *insn_row(const struct insn *in)
{
	return &insn_rows[in->row];
}

/* Does the instruction branch? Interrupts, and returns from SMM or to a VMM, are none. */
enum insn_flow { FLOW_NEXT, FLOW_IF /* or goes on */, FLOW_AWAY };
enum insn_flow insn_flow(const struct insn *in);

/* Shifts and rotates: their rows list the flags that a count of 0 leaves alone as read. */
bool insn_is_shift(const struct insn_row *row);
/* The flags whose values an instruction of this row uses. */
uint16_t insn_flags_read(const struct insn_row *row);

#endif
