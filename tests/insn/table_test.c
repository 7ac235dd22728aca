/*
 * Walks over cpu/insn*.def: the index finds every row, what a row generates decodes to it,
 * and the columns agree with each other.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/disasm.h"
#include "tests/insn/gen.h"

#define SEED 0x243f6a8885a308d3ull

static const uint32_t modes[] = {
	MODE_CODE16 | MODE_PE, MODE_CODE32 | MODE_PE, MODE_CODE64 | MODE_PE | MODE_LMA,
};

static struct insn_env env_of(uint32_t mode)
{
	return (struct insn_env){ .mode = mode, .feat = { ~0ull, ~0ull } };
}

static const char *hex(const uint8_t *p, unsigned n, char *buf)
{
	for (unsigned i = 0; i < n; i++)
		sprintf(buf + 3 * i, "%02x ", p[i]);
	return buf;
}

/* ---- the table itself ---- */

static bool same_place(const struct insn_row *a, const struct insn_row *b)
{
	const uint32_t where = A_NO64 | A_ONLY64 | A_W0 | A_W1 | A_L0 | A_L1 | A_B0 | A_MEM | A_REGF;

	return a->opcode == b->opcode && a->reg == b->reg && a->pfx == b->pfx &&
	       ((a->attr ^ b->attr) & (where | A_VEX)) == 0;
}

static bool same_condition(const struct insn_row *a, const struct insn_row *b)
{
	return same_place(a, b) && a->cpuid == b->cpuid;
}

Test(table, slots_are_unique)
{
	for (unsigned i = 0; i < n_insn_rows; i++)
		for (unsigned k = i + 1; k < n_insn_rows; k++)
			cr_expect_not(same_condition(&insn_rows[i], &insn_rows[k]), "rows %u %u: %s %s",
				      i, k, insn_rows[i].name, insn_rows[k].name);
}

Test(table, rows_of_one_opcode_stand_together)
{
	for (unsigned i = 0; i + 2 < n_insn_rows; i++)
		for (unsigned k = i + 2; k < n_insn_rows; k++)
			if (insn_same_slot(&insn_rows[i], &insn_rows[k]))
				cr_expect(insn_same_slot(&insn_rows[k - 1], &insn_rows[k]), "row %u %s", k,
					  insn_rows[k].name);
}

Test(table, every_function_is_named_by_a_row)
{
	bool used[N_DOES] = { 0 };

	for (unsigned i = 0; i < n_insn_rows; i++)
		used[insn_rows[i].does] = true;
	for (unsigned i = 0; i < N_DOES; i++)
		cr_expect(used[i], "does %u", i);
}

/* What rows are gated by is what CPUID can say, and the other way round. */
Test(table, every_feature_has_rows)
{
	bool used[F_NFEAT] = { 0 };

	for (unsigned i = 0; i < n_insn_rows; i++)
		used[insn_rows[i].cpuid] = true;
	for (unsigned f = 0; f < F_NFEAT; f++)
		cr_expect(used[f], "no row needs feature %u", f);
}

Test(table, every_row_has_a_feature_of_cpuid)
{
	bool known[F_NFEAT] = { [F_BASE] = true, [F_486] = true, [F_INTEL] = true };

#define FEAT(word, bit, id, name, how, insn) known[F_##insn] = true;
#include "cpu/cpuid.def"
	for (unsigned i = 0; i < n_insn_rows; i++)
		cr_expect(known[insn_rows[i].cpuid], "row %u %s", i, insn_rows[i].name);
}

Test(table, every_operand_code_is_used)
{
	bool used[N_OPD_CODES] = { 0 };

	for (unsigned i = 0; i < n_insn_rows; i++)
		for (unsigned k = 0; k < INSN_MAX_OPDS; k++)
			used[insn_rows[i].opd[k]] = true;
	for (unsigned i = 0; i < N_OPD_CODES; i++)
		cr_expect(used[i], "%s", opd_names[i]);
}

/* M needs memory, N and U a register; and the other way round. */
Test(table, operand_codes_agree_with_forms)
{
	for (unsigned i = 0; i < n_insn_rows; i++) {
		const struct insn_row *r = &insn_rows[i];
		for (unsigned k = 0; k < INSN_MAX_OPDS; k++) {
			const struct opd_info *oi = &opd_info[r->opd[k]];
			if (oi->place != PL_RM)
				continue;
			if (oi->class == CL_NONE)
				cr_expect(r->attr & A_MEM, "row %u %s: M without m", i, r->name);
			else if (oi->msize == 0)
				cr_expect(r->attr & A_REGF, "row %u %s: N or U without r", i, r->name);
		}
	}
}

Test(table, flags_are_not_both_written_and_undefined)
{
	for (unsigned i = 0; i < n_insn_rows; i++)
		cr_expect_eq(insn_rows[i].fl_written & insn_rows[i].fl_undef, 0, "row %u %s", i,
			     insn_rows[i].name);
}

Test(table, all_rows_of_an_opcode_agree_about_modrm)
{
	for (unsigned i = 0; i < n_insn_rows; i++) {
		const struct insn_row *r = &insn_rows[i];
		bool needs = r->reg >= 0 || OP_IS_FIXED(r->opcode);
		for (unsigned k = 0; k < INSN_MAX_OPDS; k++)
			needs |= PL_HAS_MODRM(opd_info[r->opd[k]].place);
		cr_expect_eq(needs, insn_has_modrm[SLOT_OPCODE(OP_BASE(r->opcode), r->attr & A_VEX)],
			     "row %u %s", i, r->name);
	}
}

/* ---- bytes ---- */

/* Another row may win only because it is more special: same opcode, later in the table. */
static bool is_specialisation(unsigned got, unsigned row)
{
	return got > row && insn_same_slot(&insn_rows[got], &insn_rows[row]);
}

/* All features, but those of rows that take this one's place where they exist. */
static struct insn_env env_for(unsigned row, uint32_t mode)
{
	struct insn_env env = env_of(mode);

	for (unsigned i = row + 1; i < n_insn_rows && same_place(&insn_rows[i], &insn_rows[row]); i++)
		env.feat[insn_rows[i].cpuid >> 6] &= ~(1ull << (insn_rows[i].cpuid & 63));
	return env;
}

static bool round_trip(unsigned row, struct gen *g, uint32_t mode)
{
	uint8_t b[15];
	char text[64];
	struct insn in;
	struct insn_env env = env_for(row, mode);
	unsigned n = insn_gen(g, row, b);

	if (n == 0)
		return false;
	enum insn_result res = insn_decode(b, n, &env, &in);
	if (res == INSN_OK && in.row != row && is_specialisation(in.row, row))
		return false;
	cr_expect(res == INSN_OK && in.row == row && in.len == n,
		  "%s(mode %#x, row %u %s %s): result %d, row %u, length %d", hex(b, n, text), mode, row,
		  insn_rows[row].name, insn_rows[row].opds, res, in.row, in.len);
	return true;
}

Test(table, bytes_round_trip)
{
	struct gen g = { .rng = { SEED }, .lock = true, .rep = true };

	for (unsigned row = 0; row < n_insn_rows; row++) {
		bool reached = false;
		for (unsigned k = 0; k < 3 * 40; k++) {
			g.mode = modes[k % 3] & MODE_CODE;
			reached |= round_trip(row, &g, modes[k % 3]);
		}
		cr_expect(reached, "row %u %s is never reached", row, insn_rows[row].name);
	}
}

Test(table, missing_bytes_are_reported)
{
	struct gen g = { .rng = { SEED }, .mode = MODE_CODE64 };
	struct insn_env env = env_of(modes[2]);
	struct insn in;
	uint8_t b[15];

	for (unsigned row = 0; row < n_insn_rows; row++) {
		unsigned n = insn_gen(&g, row, b);
		for (unsigned k = 0; k < n; k++)
			cr_expect_eq(insn_decode(b, k, &env, &in), INSN_TRUNCATED, "row %u %s, %u of %u bytes",
				     row, insn_rows[row].name, k, n);
	}
}

/* Without its feature a row is #UD, or the bytes mean what they meant before it. */
Test(table, rows_need_their_feature)
{
	struct gen g = { .rng = { SEED } };
	uint8_t b[15];
	struct insn in;

	for (unsigned row = 0; row < n_insn_rows; row++)
		for (unsigned m = 0; m < 3; m++) {
			struct insn_env env = env_of(modes[m]);
			unsigned f = insn_rows[row].cpuid;
			g.mode = modes[m] & MODE_CODE;
			unsigned n = insn_gen(&g, row, b);
			if (n == 0)
				continue;
			env.feat[f >> 6] &= ~(1ull << (f & 63));
			if (insn_decode(b, n, &env, &in) == INSN_OK)
				cr_expect(in.row != row && insn_same_slot(&insn_rows[in.row], &insn_rows[row]),
					  "row %u %s", row, insn_rows[row].name);
		}
}

Test(table, text_of_every_row_fits)
{
	struct gen g = { .rng = { SEED }, .mode = MODE_CODE64, .rep = true };
	struct insn_env env = env_of(modes[2]);
	struct insn in;
	uint8_t b[15];
	char text[128];

	for (unsigned row = 0; row < n_insn_rows; row++) {
		unsigned n = insn_gen(&g, row, b);
		if (n == 0 || insn_decode(b, n, &env, &in) != INSN_OK)
			continue;
		int len = insn_text(&in, 0x1000, text, sizeof(text));
		cr_expect(len > 0 && len < (int)sizeof(text) - 1 && len == (int)strlen(text), "%s", text);
		cr_expect_eq(insn_text(&in, 0x1000, text, 4), len);
		cr_expect_eq(strlen(text), 3);
	}
}
