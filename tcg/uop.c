/*
 * The µop table in memory, and which arithmetic flags a µop reads and writes.
 *
 * The reads and writes columns of uop.def are flag masks, or words that say where
 * to look: C the condition in field c, R a shift count that may leave every
 * written flag alone, H the helper's attributes, V the instruction's row.
 */
#include "tcg/uop.h"

const struct uop_info uop_info[UOP_COUNT] = {
#define _ false
#define v true
#define UOP(name, d, a, b, reads, writes, kind, meaning) [UOP_##name] = { #name, d, a, b, kind, meaning },
#include "tcg/uop.def"
#undef UOP
#undef v
#undef _
};

/* Words in the flag columns; none is an arithmetic flag, all are UOP_FLAGS_ASK. */
#define C	0x8000u
#define R	0x4000u
#define H	0x2000u
#define V	0x1000u
_Static_assert((C | R | H | V) == UOP_FLAGS_ASK && !(UOP_FLAGS_ASK & FL_ARITH), "words and flags share a column");

#define FCF	FL_CF
#define FOF	FL_OF
#define FZF	FL_ZF
#define OC	(FL_OF | FL_CF)
#define OSAPC	(FL_ARITH & ~FL_ZF)
#define OSZAP	(FL_ARITH & ~FL_CF)
#define SZAPC	(FL_ARITH & ~FL_OF)
#define OSZAPC	FL_ARITH
#define RC	(R | FL_CF)

const struct uop_flags uop_flags[UOP_COUNT] = {
#define UOP(name, d, a, b, reads, writes, kind, meaning) [UOP_##name] = { reads, writes },
#include "tcg/uop.def"
#undef UOP
};

static const uint16_t cond_flags[8] = {
	FL_OF, FL_CF, FL_ZF, FL_CF | FL_ZF, FL_SF, FL_PF, FL_SF | FL_OF, FL_SF | FL_OF | FL_ZF,
};

uint16_t cc_flags(int cond)
{
	return cond_flags[cond >> 1 & 7];
}

/* Does the shift certainly happen? A count in CL or one that is masked to 0 may leave all flags alone. */
static bool count_is_nonzero(const struct uop *u)
{
	if (u->op == UOP_shld || u->op == UOP_shrd) {
		if (u->c)
			return false;
	} else if (u->b != OP_IMM) {
		return false;
	}
	return u->imm & (u->size == 8 ? 63 : 31);
}

uint16_t uop_ask_flags_read(const struct uop *u, const struct insn *insns)
{
	uint16_t r = uop_flags[u->op].reads;

	if (r & C)
		return cc_flags(u->c);
	if (r & R)	/* what survives is read only if somebody wants it afterwards */
		return (count_is_nonzero(u) ? 0 : uop_flags[u->op].writes & u->fl) | (r & FL_ARITH);
	if (r & H)
		return helper_info[u->aux].attr & H_FL_IN ? FL_ARITH : 0;
	return insn_row(&insns[u->aux])->fl_read;
}

uint16_t uop_ask_flags_written(const struct uop *u, const struct insn *insns)
{
	const struct insn_row *row;

	if (uop_flags[u->op].writes & H)
		return helper_info[u->aux].attr & H_FL_OUT ? FL_ARITH : 0;
	row = insn_row(&insns[u->aux]);
	return row->fl_written | row->fl_undef;
}

/* Registers written although no operand names them. */
const uint32_t uop_implicit_writes[UOP_COUNT] = {
	[UOP_mul1] = 1 << RAX | 1 << RDX, [UOP_imul1] = 1 << RAX | 1 << RDX,
	[UOP_div1] = 1 << RAX | 1 << RDX, [UOP_idiv1] = 1 << RAX | 1 << RDX, [UOP_rdtsc] = 1 << RAX | 1 << RDX,
	[UOP_cmpxchg8b] = 1 << RAX | 1 << RDX, [UOP_cmpxchg16b] = 1 << RAX | 1 << RDX,
	[UOP_cmpxchg] = 1 << RAX, [UOP_lahf] = 1 << RAX, [UOP_call] = UOP_GPRS,
	[UOP_jmpind] = UOP_WRITES_ASK, [UOP_vec] = UOP_WRITES_ASK, [UOP_x87] = UOP_WRITES_ASK,
	[UOP_xchg] = UOP_WRITES_B, [UOP_xadd] = UOP_WRITES_B, [UOP_mulx] = UOP_WRITES_B,
};

uint32_t uop_ask_implicit_writes(const struct uop *u, const struct insn *insns)
{
	const struct insn *in;
	uint32_t m = 0;

	if (u->op == UOP_jmpind)
		return u->imm ? 1 << RSP : 0;
	in = &insns[u->aux];
	for (int k = 0; k < in->nopd; k++)
		if (in->opd[k].kind == OPD_REG)
			m |= 1u << (in->opd[k].reg & 15);
	return insn_row(in)->does == DOES_vec_pcmpstr ? m | 1 << RCX : m;
}

#define BITS4(n) [n] = 1u << (n), 1u << ((n) + 1), 1u << ((n) + 2), 1u << ((n) + 3)
const uint32_t uop_operand_bit[256] = {
	BITS4(RAX), BITS4(RSP), BITS4(R8), BITS4(R12), [OP_AH] = 1 << RAX, 1 << RCX, 1 << RDX, 1 << RBX, BITS4(OP_T0),
};
#undef BITS4

bool uop_constant_step(const struct ir *ir, const struct uop *u, int base, int64_t *step)
{
	int size = (ir->mode & MODE_CODE) == MODE_CODE64 ? 8 : 4;

	if (u->d != base || u->a != base || u->size != size)
		return false;
	switch (u->op) {
	case UOP_lea:
		*step = u->imm;
		return u->b == OP_NONE && (u->c >> PROBE_ADSIZE & 3) == (size == 8 ? 2 : 1);
	case UOP_add: *step = u->imm; return u->b == OP_IMM;
	case UOP_sub: *step = -u->imm; return u->b == OP_IMM;
	case UOP_inc: *step = 1; return true;
	case UOP_dec: *step = -1; return true;
	default: return false;
	}
}
