/*
 * µops: the intermediate form between guest instructions and host code.
 *
 * They look like x86 instructions with the addressing taken out: registers are
 * the guest's own, named directly; a memory operand is made by a `probe`, which
 * translates the address once and leaves M, the operand in host memory, for the
 * very next µop. So `add [rbx+8], rcx` is
 *
 *	probe.8  rw ds:[rbx + 8]
 *	add.8    M, M, rcx
 *
 * and lowers to an inline TLB look-up and `add [r14], rcx`. A probe for writing
 * whose access is slow (MMIO, page crossing, translated code) is completed
 * behind its consumer; nobody but the back ends needs to know.
 *
 * Rules (tcg/verify.c checks them): M is used only by the µop right behind its
 * probe. Guest registers are written after the last µop of the instruction that
 * can fault. Temporaries live inside one instruction.
 */
#ifndef TCG_UOP_H
#define TCG_UOP_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/cpu.h"
#include "cpu/insn.h"

/* Operand codes. 0..15: the guest's general registers. */
enum {
	OP_AH = 16, OP_CH, OP_DH, OP_BH,	/* size 1 only */
	OP_T0 = 20, OP_T1, OP_T2, OP_T3,	/* T0 is a host register, the others memory: prefer T0 */
	OP_M = 32,
	OP_IMM = 33,
	OP_NONE = 0xff,
};

struct uop {
	uint8_t op;		/* enum uop_op */
	uint8_t size;		/* bytes */
	uint8_t d, a, b;	/* operand codes; probe: d = segment */
	uint8_t c;		/* condition, source size, PROBE_* */
	uint16_t aux;		/* helper, instruction index, U_LOCK */
	uint16_t fl;		/* arithmetic flags live behind this µop (on the path that goes on) */
	uint16_t flx;		/* exits: arithmetic flags live at the target */
	uint16_t insn;		/* index of the instruction it belongs to */
	uint16_t pad;		/* probe in a group: its offset in the group's range, of a leader's flx bytes */
	int64_t imm;
};

/* field c of probe and lea */
#define PROBE_R		1u
#define PROBE_W		2u
#define PROBE_RW	3u
#define PROBE_KIND	3u
#define PROBE_SCALE	2	/* shift: scale in bits 3..2 */
#define PROBE_ADSIZE	4	/* shift: address size 2, 4, 8 -> 0, 1, 2 in bits 5..4 */
#define PROBE_NOSEG	0x40u	/* the address is linear already: no segment base, no limit check */
#define PROBE_ALIGN	0x80u	/* #GP(0) unless aligned to size (SSE) */

#define U_LOCK		1u	/* aux of arithmetic on M */
#define U_INSIDE	1u	/* aux of jmp, jcc, jrz, jrnz: to a label of the same region; of jmpind: maybe */
#define U_TABLE		1u	/* aux of label: one that jmpind may go to */
#define U_FAST		2u	/* aux of label, and of those jumps: in the fast copy of a loop, see tcg/opt_loop.c */

/* aux of probe: shared proofs, see tcg/opt_mem.c. A follower's imm is less by the range's start. */
#define PROBE_LEADER	1u
#define PROBE_FOLLOWER	2u
#define PROBE_GROUP_W	4u	/* leader: somebody in the group writes */
#define PROBE_PROVEN	8u	/* in a fast loop: proof PROBE_PLACE of it; `pad` is the register that moves, or OP_NONE */
#define PROBE_PLACE	8	/* shift: where the proof is kept, 0 T0's register, else memory */
#define PROBE_PLACES	7u

/* Conditions are the low nibble of Jcc: CC_O .. CC_G, the lowest bit inverts. */
enum { CC_O, CC_NO, CC_C, CC_NC, CC_Z, CC_NZ, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };
/* FL_* bits a condition reads. */
uint16_t cc_flags(int cond);

enum uop_op {
#define UOP(name, d, a, b, reads, writes, kind, meaning) UOP_##name,
#include "tcg/uop.def"
#undef UOP
	UOP_COUNT
};

enum uop_kind { K_MOVE, K_ALU, K_MEM, K_EXIT, K_CALL, K_HOST };

struct uop_info {
	const char *name;
	bool d, a, b;
	uint8_t kind;
	const char *meaning;
};
extern const struct uop_info uop_info[UOP_COUNT];

/* Helpers: C functions that translated code may call. */
enum helper {
#define HELPER(name, attr, what) HELPER_##name,
#include "tcg/helper.def"
#undef HELPER
	HELPER_COUNT
};
#define H_LIGHT		0x01	/* light code: vector state may stay live */
#define H_FL_IN		0x02	/* reads the arithmetic flags (cpu->cc) */
#define H_FL_OUT	0x04	/* writes all of them */
#define H_NORAISE	0x08	/* never raises, does not look at cpu->rip */
typedef uint64_t helper_fn(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm);
struct helper_info {
	const char *name;
	helper_fn *fn;
	uint8_t attr;
};
extern const struct helper_info helper_info[HELPER_COUNT];

/* The flag columns of uop.def: masks, or where to look. */
struct uop_flags {
	uint16_t reads, writes;
};
extern const struct uop_flags uop_flags[UOP_COUNT];
#define UOP_FLAGS_ASK	0xf000u
uint16_t uop_ask_flags_read(const struct uop *u, const struct insn *insns);
uint16_t uop_ask_flags_written(const struct uop *u, const struct insn *insns);

/*
 * Flags a µop reads and writes (FL_* masks); `insns` for vec and x87. Undefined
 * counts as written. A shift whose count may be 0 reads those of its flags that
 * are live behind it, so u->fl must be right.
 */
static inline uint16_t uop_flags_read(const struct uop *u, const struct insn *insns)
{
	uint16_t r = uop_flags[u->op].reads;

	return r & UOP_FLAGS_ASK ? uop_ask_flags_read(u, insns) : r;
}
static inline uint16_t uop_flags_written(const struct uop *u, const struct insn *insns)
{
	uint16_t w = uop_flags[u->op].writes;

	return w & UOP_FLAGS_ASK ? uop_ask_flags_written(u, insns) : w;
}

/* Registers (AH..BH as the one they belong to) and temporaries as bits, by operand code; 0 for others. */
extern const uint32_t uop_operand_bit[256];
#define UOP_GPRS	0xffffu

/* Jumps whose target may be a label of the same region. */
static inline bool uop_jumps(const struct uop *u)
{
	return (u->op == UOP_jmp && !u->c) || u->op == UOP_jcc || u->op == UOP_jrz || u->op == UOP_jrnz;
}

/* An access to M that is one piece for all vCPUs. */
static inline bool uop_locks(const struct uop *u)
{
	return u->d == OP_M && (u->op == UOP_xchg || (uop_info[u->op].kind == K_ALU && u->aux & U_LOCK));
}

static inline bool uop_uses_m(const struct uop *u)
{
	return u->op != UOP_probe && (u->d == OP_M || u->a == OP_M || u->b == OP_M);
}

/* Does control never go on behind it? */
static inline bool uop_leaves(const struct uop *u)
{
	return u->op == UOP_jmp || u->op == UOP_jmpind || u->op == UOP_exit || u->op == UOP_raise;
}

/* Registers written although no operand is said to be. */
extern const uint32_t uop_implicit_writes[UOP_COUNT];
#define UOP_WRITES_B	0x40000000u	/* b, too */
#define UOP_WRITES_ASK	0x80000000u	/* that depends on more than the op */
uint32_t uop_ask_implicit_writes(const struct uop *u, const struct insn *insns);

/* Guest general registers a µop writes, implicit ones included, as a bit mask. */
static inline uint32_t uop_gprs_written(const struct uop *u, const struct insn *insns)
{
	uint32_t m = uop_implicit_writes[u->op];

	if (m & ~UOP_GPRS)
		m = m & UOP_WRITES_B ? m | uop_operand_bit[u->b] : uop_ask_implicit_writes(u, insns);
	if (uop_info[u->op].d && u->op != UOP_probe)
		m |= uop_operand_bit[u->d];
	return m & UOP_GPRS;
}

/*
 * One block of guest code, or a region: several blocks of one page that jump to
 * each other (tcg/region.c). The arrays belong to the translator thread and are reused.
 */
#define IR_MAX_INSNS	64		/* of a block */
#define IR_MAX_REGION	192
#define IR_MAX_UOPS	1024
#define IR_MAX_LOOPS	8
#define FRONT_CALLEES	3		/* functions that a region goes into (tcg/region.c) */
/* What the fast copy of a loop has to prove before a number of rounds (tcg/opt_loop.c). */
struct fast_loop {
	struct loop_proof {
		uint8_t seg, a, b, c;	/* the address, as in its probes */
		uint8_t moving;		/* the one of a and b that changes in the loop, or OP_NONE */
		uint8_t align;		/* bytes it must be aligned to, or 0 */
		bool write;
		uint16_t range;		/* bytes accessed, */
		uint16_t align_at;	/* offset in them of one that must be aligned */
		int32_t lo;		/* displacement of the first */
	} proof[RUN_PROOFS];
	struct loop_reg {
		uint8_t reg;
		bool up, down;		/* where it may go to; one alone: by constant steps, or by */
		uint8_t step;		/* this register, which is to be above 0; or OP_NONE */
		uint8_t align;		/* what must be 0 in its change between two runs, as a mask */
		uint16_t above, below;	/* where a round takes it, against its begin */
	} reg[RUN_REGS];
	uint8_t same[RUN_SAME];		/* other registers in addresses */
	unsigned n_proofs, n_regs, n_same;
	bool looks;			/* rounds may go on for long: look at requests */
};
struct ir {
	uint64_t rip;			/* of the first instruction */
	uint64_t cs_base;
	uint32_t mode;			/* MODE_* */
	uint32_t len;			/* guest bytes covered, in a region with gaps */
	unsigned n_insns, n_uops, n_loops;
	struct fast_loop loops[IR_MAX_LOOPS];
	struct insn insns[IR_MAX_REGION];
	int32_t off[IR_MAX_REGION + 1];	/* instruction's distance from rip; only in regions less than 0, or behind len */
	struct uop uops[IR_MAX_UOPS];
};

/* Does u change register `base`, all of it, by a constant? By how much. */
bool uop_constant_step(const struct ir *ir, const struct uop *u, int base, int64_t *step);

/*
 * The µop whose flags stand in front of u, all of them, if they can be made again there from what is in registers by
 * then, or NULL. step: what RSP has been moved by since. If it has added or subtracted memory that has to be known, or what
 * was there before.
 */
const struct uop *flags_maker(const struct ir *ir, const struct uop *u, int64_t *step);
/* Does u, or what comes behind it in this code, read flags that stand in front of u? Of exits' targets nothing is said. */
bool flags_read_behind(const struct ir *ir, const struct uop *u);

/* Instructions done before u that no `count` has counted; -1: u's own is counted already. */
int uop_uncounted(const struct ir *ir, const struct uop *u);

/* One µop per line; returns the length written (always terminated). Not light. */
int uop_text(const struct ir *ir, const struct uop *u, char *buf, int n);
/* The reverse, for file tests: false if the line is no µop. What stands in {} is ignored. */
bool uop_parse(const char *line, struct uop *u);
/* Abort with a listing if a rule is broken. Debug builds, after every pass. */
void uop_verify(const struct ir *ir, const char *after);

#endif
