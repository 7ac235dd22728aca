/*
 * The rows' flag columns against the host processor. Each instruction runs with random
 * operands, and again with one flag of the input flipped: a flag that the row does not read
 * must change nothing but itself, one it does not write must come through, and one it claims
 * to read must matter once.
 *
 * Not checked: rows that cannot run in user mode, and those the host lacks (#UD).
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/disasm.h"
#include "tests/insn/state.h"

#define SEED 0x452821e638d01377ull
#define TRIALS 60

static const uint32_t all_flags[] = { FL_OF, FL_SF, FL_ZF, FL_AF, FL_PF, FL_CF };

static const struct insn_env env64 = {
	.mode = MODE_CODE64 | MODE_PE | MODE_LMA, .feat = { ~0ull, ~0ull },
};

/* Apart from the arithmetic flags. */
static bool same_results(const struct native_state *a, const struct native_state *b)
{
	return a->vector == b->vector && a->rip == b->rip && !memcmp(a->gpr, b->gpr, sizeof(a->gpr)) &&
	       !memcmp(a->ymm, b->ymm, sizeof(a->ymm)) && !memcmp(a->mem, b->mem, sizeof(a->mem)) &&
	       !memcmp(a->x87, b->x87, sizeof(a->x87));
}

/* Flips flag f of `in`; *mattered is set if that makes a difference. */
static bool flag_is_unread(const struct insn_row *row, const uint8_t *code, unsigned n,
			   const struct native_state *in, const struct native_state *out, uint32_t f, bool *mattered)
{
	struct native_state s = *in;
	uint32_t touched = row->fl_written | row->fl_undef, ignore = row->fl_undef;

	s.flags ^= f;
	native_run(code, n, &s);
	if (!(touched & f))
		ignore |= f;
	bool same = same_results(&s, out) && !((s.flags ^ out->flags) & ~ignore);
	*mattered |= !same || (s.flags ^ out->flags) & touched & f;	/* survived although it may be written */
	return same || row->fl_read & f;
}

static void check_once(const struct insn_row *row, struct gen *g, unsigned index, uint32_t *mattered, bool *ran)
{
	struct native_state before, after;
	struct insn in;
	uint8_t code[15];
	char text[96];
	unsigned n = insn_gen(g, index, code);

	if (!n || insn_decode(code, n, &env64, &in) != INSN_OK || in.row != index ||
	    !state_can_run_insn(&in))
		return;
	insn_text(&in, 0, text, sizeof(text));
	state_random(&g->rng, &in, &before);
	after = before;
	native_run(code, n, &after);
	if (after.vector == EXC_UD || after.vector == EXC_GP || after.vector == EXC_PF)
		return;
	*ran = true;
	if (after.vector >= 0)
		return;
	cr_expect_eq((before.flags ^ after.flags) & FL_ARITH & ~(row->fl_written | row->fl_undef), 0,
		     "%s: changes flags %#x", text, before.flags ^ after.flags);
	for (size_t i = 0; i < ARRAY_LEN(all_flags); i++) {
		bool matters = false;
		cr_expect(flag_is_unread(row, code, n, &before, &after, all_flags[i], &matters),
			  "%s: depends on flag %#x", text, all_flags[i]);
		if (matters)
			*mattered |= all_flags[i];
	}
}

Test(flags, columns_agree_with_the_host)
{
	struct gen g = state_gen(SEED);
	unsigned n_ran = 0;

	native_open();
	for (unsigned i = 0; i < n_insn_rows; i++) {
		const struct insn_row *row = &insn_rows[i];
		bool ran = false;
		uint32_t mattered = 0;

		if (!state_can_run(row))
			continue;
		/* rows without flags cannot be wrong in many ways */
		bool plain = !(row->fl_read | row->fl_written | row->fl_undef);
		for (int k = 0; k < (plain ? 3 : row->attr & A_REP ? 4 * TRIALS : TRIALS); k++)
			check_once(row, &g, i, &mattered, &ran);
		n_ran += ran;
		if (ran)
			cr_expect_eq(row->fl_read & ~mattered, 0, "row %u %s %s: reads %#x in vain", i, row->name,
				     row->opds, row->fl_read & ~mattered);
	}
	cr_expect_gt(n_ran, 1000);
}
