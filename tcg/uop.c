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

/* Words in the flag columns; none is an arithmetic flag. */
#define C	0x8000u
#define R	0x4000u
#define H	0x2000u
#define V	0x1000u
_Static_assert(!((C | R | H | V) & FL_ARITH), "words and flags share a column");

#define FCF	FL_CF
#define FOF	FL_OF
#define FZF	FL_ZF
#define OC	(FL_OF | FL_CF)
#define OSAPC	(FL_ARITH & ~FL_ZF)
#define OSZAP	(FL_ARITH & ~FL_CF)
#define SZAPC	(FL_ARITH & ~FL_OF)
#define OSZAPC	FL_ARITH
#define RC	(R | FL_CF)

static const struct {
	uint16_t reads, writes;
} flag_columns[UOP_COUNT] = {
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

uint16_t uop_flags_read(const struct uop *u, const struct insn *insns)
{
	uint16_t r = flag_columns[u->op].reads;

	if (!(r & (C | R | H | V)))
		return r;
	if (r & C)
		return cc_flags(u->c);
	if (r & R)
		return count_is_nonzero(u) ? r & FL_ARITH : flag_columns[u->op].writes | (r & FL_ARITH);
	if (r & H)
		return helper_info[u->aux].attr & H_FL_IN ? FL_ARITH : 0;
	return insn_row(&insns[u->aux])->fl_read;
}

uint16_t uop_flags_written(const struct uop *u, const struct insn *insns)
{
	uint16_t w = flag_columns[u->op].writes;
	const struct insn_row *row;

	if (!(w & (H | V)))
		return w;
	if (w & H)
		return helper_info[u->aux].attr & H_FL_OUT ? FL_ARITH : 0;
	row = insn_row(&insns[u->aux]);
	return row->fl_written | row->fl_undef;
}
