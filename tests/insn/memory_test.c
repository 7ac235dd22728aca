/*
 * The size of memory operands and the alignment attribute against the host processor: an
 * operand that ends with the last byte of mapped memory must not fault, one byte further on
 * it must; off alignment only rows with A_ALIGN raise #GP.
 *
 * Not checked: operands that ModRM does not address, those without a fixed size, accesses
 * that depend on a mask, a bit number or nothing at all (prefetches, NOP), indirect branches;
 * the alignment of SHA operands, which AMD processors do not demand.
 */
#include <criterion/criterion.h>

#include "cpu/cpu.h"
#include "cpu/disasm.h"
#include "tests/insn/state.h"

#define SEED 0xbe5466cf34e90c6cull

static const struct insn_env env64 = {
	.mode = MODE_CODE64 | MODE_PE | MODE_LMA, .feat = { ~0ull, ~0ull },
};

static bool accesses_always(const struct insn *in)
{
	static const uint16_t no[] = {
		DOES_nop, DOES_prefetch, DOES_vec_gather, DOES_vec_maskmem, DOES_vec_maskmov, DOES_ud,
		DOES_callind, DOES_jmpind,
	};
	unsigned does = insn_row(in)->does;
	bool bit_string = does >= DOES_bt && does <= DOES_bts && in->opd[1].kind == OPD_REG;

	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (does == no[i])
			return false;
	return !bit_string && state_can_run_insn(in);
}

static const struct opd *memory_operand(const struct insn *in)
{
	for (unsigned i = 0; i < in->nopd; i++)
		if (in->opd[i].kind == OPD_MEM && opd_info[insn_row(in)->opd[i]].place == PL_RM)
			return &in->opd[i];
	return NULL;
}

/* The exception when the operand starts at address. */
static int run_at(const uint8_t *code, const struct insn *in, const struct native_state *s, uint64_t address)
{
	struct native_state t = *s;

	t.gpr[STATE_BASE] = address - (uint64_t)in->disp;
	native_run(code, in->len, &t);
	return t.vector;
}

static void check(const uint8_t *code, const struct insn *in, const struct opd *o, const struct native_state *s)
{
	uint64_t end = native_scratch() + NATIVE_SCRATCH;
	bool aligned = insn_row(in)->attr & A_ALIGN;
	char text[96];

	if (run_at(code, in, s, end - o->size) == EXC_UD)
		return;
	insn_text(in, 0, text, sizeof(text));
	cr_expect_neq(run_at(code, in, s, end - o->size), EXC_PF, "%s: more than %d bytes", text, o->size);
	cr_expect_eq(run_at(code, in, s, end - o->size + (aligned ? o->size : 1)), EXC_PF,
		     "%s: less than %d bytes", text, o->size);
	if (o->size >= 16 && insn_row(in)->cpuid != F_SHA)
		cr_expect_eq(run_at(code, in, s, end - 2 * o->size + 8) == EXC_GP, aligned, "%s: alignment", text);
}

Test(memory, operand_sizes_agree_with_the_host)
{
	struct gen g = state_gen(SEED);
	struct native_state s;
	struct insn in;
	uint8_t code[15];
	unsigned checked = 0;

	g.form = GEN_MEM;
	g.lock = g.rep = false;
	native_open();
	for (unsigned row = 0; row < n_insn_rows; row++)
		for (int k = 0; k < 6; k++) {
			unsigned n = insn_gen(&g, row, code);
			if (!n || insn_decode(code, n, &env64, &in) != INSN_OK || !accesses_always(&in))
				continue;
			const struct opd *o = memory_operand(&in);
			if (!o || o->size == 0)
				continue;
			state_random(&g.rng, &in, &s);
			check(code, &in, o, &s);
			checked++;
		}
	cr_expect_gt(checked, 3000);
}
