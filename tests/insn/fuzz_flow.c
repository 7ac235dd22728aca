/*
 * See fuzz.h: what a block does. Which instructions it may have, which flags are defined
 * where, where its branches go, and that its loops end.
 */
#include "tests/insn/fuzz.h"

#include <string.h>

const char *fuzz_excluded(const struct insn_row *row)
{
	static const char *const why[N_DOES] = {
#define EXCLUDED(does, text) [DOES_##does] = text,
#include "tests/insn/fuzz_rows.def"
	};
	return why[row->does];
}

/* Not even our own two sides agree on these. */
static bool varies(const struct insn_row *row)
{
	static const bool does[N_DOES] = {
#define VARIES(name, text) [DOES_##name] = true,
#include "tests/insn/fuzz_rows.def"
	};
	return does[row->does];
}

bool fuzz_allowed(const struct fuzz *f, const struct insn *in)
{
	const struct insn_row *row = insn_row(in);

	if (varies(row) || (f->host && fuzz_excluded(row)))
		return false;
	if (f->host && f->absent[in->row])
		return false;
	return row->does != DOES_int || in->imm != 0x80;
}

/* ---- instructions ---- */

static uint16_t flags_read(const struct insn_row *row)
{
	return row->does == DOES_pushf ? FL_ARITH : insn_flags_read(row);
}

/* Flags undefined behind it; more than the row says where a shift may go beyond the operand. */
static uint16_t flags_undefined(const struct insn *in)
{
	const struct insn_row *r = insn_row(in);
	const struct opd *o = &in->opd[in->nopd ? in->nopd - 1 : 0];
	int size = 8 * in->opd[0].size;

	if (!insn_is_shift(r) || size >= 32 || (o->kind == OPD_IMM && (in->imm & 31) <= size))
		return r->fl_undef;
	switch (r->does) {
	case DOES_shld: case DOES_shrd: return FL_ARITH;
	case DOES_shl: case DOES_shr: return r->fl_undef | FL_CF;
	default: return r->fl_undef;
	}
}

bool fuzz_uses_segments(const struct insn *in)
{
	switch (insn_row(in)->does) {
	case DOES_mov_sreg_load: case DOES_pop_seg: case DOES_lds: case DOES_jmpf: case DOES_callf: case DOES_retf:
	case DOES_iret: case DOES_lar: case DOES_lsl: case DOES_verr: case DOES_verw:
		return true;
	default:
		return false;
	}
}

static bool goes_anywhere(enum insn_does does)
{
	return does == DOES_ret || does == DOES_callind || does == DOES_jmpind;
}

/*
 * Needs operands that only a single instruction is given: 16-bit double shifts by no more than
 * the operand, where processors differ; XRSTOR of components that both sides have; indirect
 * branches in 16-bit code, which would mostly go to where other blocks stand.
 */
static bool needs_care(const struct fuzz_block *b, const struct insn *in)
{
	if (fuzz_uses_segments(in))
		return true;
	if (goes_anywhere(insn_row(in)->does))
		return b->bits == 16;
	switch (insn_row(in)->does) {
	case DOES_xrstor:
		return true;
	case DOES_shld: case DOES_shrd:
		return in->opsize == 2 && (in->opd[2].kind != OPD_IMM || (in->imm & 31) > 16);
	default:
		return false;
	}
}

bool fuzz_has_memory(const struct insn *in)
{
	for (int k = 0; k < in->nopd; k++)
		if (in->opd[k].kind == OPD_MEM)
			return true;
	return false;
}

/* Does a register decide where the operand in memory is? */
static bool can_aim(const struct insn *in)
{
	return !fuzz_has_memory(in) || (in->base < NGPR && in->base != in->index && in->seg != CS);
}

/* Results without any meaning; far pointers of 10 bytes, which AMD does not have. */
static bool undefined_result(const struct insn *in)
{
	switch (insn_row(in)->does) {
	case DOES_lds: case DOES_jmpf: case DOES_callf:
		return in->opsize == 8;
	case DOES_shld: case DOES_shrd:
		return in->opsize == 2 && in->opd[2].kind == OPD_IMM && (in->imm & 31) > 16;
	case DOES_bswap:
		return in->opsize == 2;
	default:
		return false;
	}
}

bool fuzz_is_plain(unsigned does)
{
	switch (does) {
	case DOES_adc: case DOES_add: case DOES_and: case DOES_andn: case DOES_bextr: case DOES_blsi: case DOES_blsmsk:
	case DOES_blsr: case DOES_bsf: case DOES_bsr: case DOES_bswap: case DOES_bt: case DOES_btc: case DOES_btr:
	case DOES_bts: case DOES_bzhi: case DOES_clc: case DOES_cmc: case DOES_cmovcc: case DOES_cmp: case DOES_dec:
	case DOES_imul: case DOES_inc: case DOES_jcc: case DOES_jmp: case DOES_lea: case DOES_lzcnt: case DOES_mov:
	case DOES_movbe: case DOES_movsx: case DOES_movsxd: case DOES_movzx: case DOES_neg: case DOES_nop:
	case DOES_not: case DOES_or: case DOES_pdep: case DOES_pext: case DOES_popcnt: case DOES_rcl: case DOES_rcr:
	case DOES_rol: case DOES_ror: case DOES_rorx: case DOES_sar: case DOES_sarx: case DOES_sbb: case DOES_setcc:
	case DOES_shl: case DOES_shld: case DOES_shlx: case DOES_shr: case DOES_shrd: case DOES_shrx: case DOES_stc:
	case DOES_sub: case DOES_test: case DOES_tzcnt: case DOES_vec: case DOES_vec_gpr: case DOES_xadd:
	case DOES_xchg: case DOES_xor:
		return true;
	default:
		return false;
	}
}

/* ---- branches ---- */

/* Where a branch goes if that is in the block, else ~0. */
static unsigned branch_to(const struct fuzz_block *b, unsigned i)
{
	const struct insn *in = &b->in[i];
	uint64_t mask = b->bits == 64 && in->opsize != 2 ? ~0ull : b->bits == 16 || in->opsize == 2 ? 0xffff : 0xffffffff;
	uint64_t to = (user_rip(b->bits, b->at) + b->off[i + 1] + (uint64_t)in->imm) & mask;

	if (in->opd[0].kind != OPD_REL || to - user_rip(b->bits, b->at) > b->n)
		return ~0u;
	return (unsigned)(to - user_rip(b->bits, b->at));
}

/* Does it go where other blocks stand? */
static bool wild(const struct fuzz_block *b, unsigned i)
{
	const struct insn *in = &b->in[i];
	uint64_t to = user_rip(b->bits, b->at) + b->off[i + 1] + (uint64_t)in->imm;

	return in->opd[0].kind == OPD_REL && branch_to(b, i) == ~0u &&
	       (b->bits == 16 || in->opsize == 2 ? (to & 0xffff) < USER_CODE_BYTES :
		(uint32_t)to - USER_CODE < USER_CODE_BYTES);
}

enum { MAX_LOOPS = 8 };

struct flow {
	uint16_t pending[FUZZ_CODE + 16];	/* flags undefined at a branch to there */
	uint16_t from[FUZZ_CODE + 16];		/* lowest branch forward to there, 1 + its offset; 0: none */
	bool target[FUZZ_CODE + 16];
	uint16_t left;				/* flags undefined where an indirect branch may leave the block */
	unsigned skip_to, n_loops;
	struct { unsigned first, last; } loops[MAX_LOOPS];	/* instructions */
};

/* ---- loops ---- */

/* The register that it counts down by one, or NO_REG. */
static unsigned counts_down(const struct insn *in)
{
	unsigned does = insn_row(in)->does;

	if (in->opd[0].kind != OPD_REG || in->opd[0].size < 2)
		return NO_REG;
	if (does == DOES_dec || (in->opd[1].kind == OPD_IMM && ((does == DOES_sub && in->imm == 1) ||
								(does == DOES_add && in->imm == -1))))
		return in->opd[0].reg;
	return NO_REG;
}

/* Instructions from first to before last leave it alone. */
static bool keep(const struct fuzz_block *b, unsigned first, unsigned last, unsigned reg)
{
	bool free = reg >= R8 || reg == RBP || reg == RBX;	/* implied operands of few instructions */

	for (unsigned i = first; i < last; i++) {
		unsigned does = insn_row(&b->in[i])->does;

		if (does == DOES_enter || does == DOES_leave || does == DOES_popa || does == DOES_cpuid ||
		    (!free && !fuzz_is_plain(does)))
			return false;
		for (int k = 0; k < b->in[i].nopd; k++)
			if (b->in[i].opd[k].kind == OPD_REG && (b->in[i].opd[k].reg & 15) == reg)
				return false;
	}
	return true;
}

/* Who comes to instruction first has few rounds in the counter: a state's, or those of the MOV before. */
static bool counter_is_set(const struct fuzz_block *b, unsigned first, unsigned reg, int size)
{
	const struct insn *in;

	if (!first)
		return reg == FUZZ_COUNTER(b->bits);
	in = &b->in[first - 1];
	return insn_row(in)->does == DOES_mov && in->opd[0].kind == OPD_REG && in->opd[0].reg == reg &&
	       in->opd[1].kind == OPD_IMM && in->imm > 0 && in->imm <= 8 &&
	       (in->opd[0].size >= 4 || in->opd[0].size == size);
}

/* No branch comes from before the loop into it, nor between counting and the branch back. */
static bool entered_at_top(const struct fuzz_block *b, const struct flow *w, unsigned first, unsigned count, unsigned last)
{
	for (unsigned i = first; i <= last; i++) {
		unsigned from = w->from[b->off[i]];

		if (from && (i > count || from - 1 < b->off[first]))
			return false;
	}
	for (unsigned k = 0; k < w->n_loops; k++)
		if (w->loops[k].first < first && w->loops[k].last >= first)
			return false;
	return true;
}

/*
 * Instruction i goes back to first. Does it as often as a counter says? Forms:
 * dec, jnz or jg; dec, jz over a jmp; loop.
 */
static bool loop_ends(const struct fuzz_block *b, unsigned i, unsigned first, const struct flow *w)
{
	const struct insn_row *r = insn_row(&b->in[i]);
	unsigned count = i - 1, reg;

	if (r->does == DOES_loop)
		return entered_at_top(b, w, first, i, i) && keep(b, first, i, RCX) &&
		       counter_is_set(b, first, RCX, b->in[i].adsize);
	if (i < first + 2)
		return false;
	if (r->does == DOES_jmp) {
		const struct insn_row *over = insn_row(&b->in[--count]);

		if (over->does != DOES_jcc || (over->opcode & 15) != 4 || branch_to(b, count--) != b->off[i + 1] || count < first)
			return false;
	} else if (r->does != DOES_jcc || ((r->opcode & 15) != 5 && (r->opcode & 15) != 15)) {
		return false;
	}
	reg = counts_down(&b->in[count]);
	return reg != NO_REG && entered_at_top(b, w, first, count, i) && keep(b, first, count, reg) &&
	       counter_is_set(b, first, reg, b->in[count].opd[0].size);
}

static bool follow_back(struct fuzz_block *b, unsigned i, unsigned to, struct flow *w)
{
	unsigned first = 0;

	while (b->off[first] < to)
		first++;
	if (b->off[first] != to || b->undefined || w->n_loops == MAX_LOOPS || !loop_ends(b, i, first, w))
		return false;
	w->loops[w->n_loops].first = first;
	w->loops[w->n_loops++].last = i;
	b->counted |= !first;
	return true;
}

static bool follow_branch(struct fuzz_block *b, unsigned i, struct flow *w)
{
	unsigned to = branch_to(b, i);

	if (to == ~0u)
		return !wild(b, i);
	if (to <= b->off[i])
		return follow_back(b, i, to, w);
	w->pending[to] |= b->undefined;
	w->target[to] = true;
	if (!w->from[to])
		w->from[to] = (uint16_t)(b->off[i] + 1);
	w->skip_to = to > w->skip_to ? to : w->skip_to;
	return true;
}

static bool follow(const struct fuzz *f, struct fuzz_block *b, struct flow *w)
{
	unsigned i = b->count, off = b->off[i];
	struct insn *in = &b->in[i];
	const struct insn_row *r;

	if (i == ARRAY_LEN(b->in) || insn_decode(b->code + off, b->n - off, &f->env, in) != INSN_OK ||
	    !fuzz_allowed(f, in))
		return false;
	if (undefined_result(in) || (needs_care(b, in) && (in->len != b->n || !can_aim(in))))
		return false;
	r = insn_row(in);
	b->off[++b->count] = (uint16_t)(off + in->len);
	b->maybe[i] = off < w->skip_to;
	b->undefined |= w->pending[off];
	w->target[off] = false;
	if (flags_read(r) & b->undefined)
		return false;
	b->undefined = (uint16_t)((insn_is_shift(r) ? b->undefined : b->undefined & ~r->fl_written) | flags_undefined(in));
	b->undefined_inside |= b->undefined;
	if (goes_anywhere(r->does))
		w->left |= b->undefined;
	return follow_branch(b, i, w);
}

bool fuzz_analyse(const struct fuzz *f, struct fuzz_block *b)
{
	struct flow w = { .skip_to = 0 };

	b->count = b->undefined = b->undefined_inside = b->off[0] = 0;
	b->counted = false;
	while (b->off[b->count] < b->n)
		if (!follow(f, b, &w))
			return false;
	b->undefined |= w.pending[b->n] | w.left;
	w.target[b->n] = false;
	for (unsigned k = 0; k < b->n; k++)
		if (w.target[k])
			return false;		/* into an instruction */
	return b->count > 0;
}

