/*
 * Every row, randomly encoded, in every kind of mode: what the front end makes of
 * it obeys the rules of tcg/uop.h, before and after the passes.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tcg/front.h"
#include "tcg/pass.h"
#include "tests/insn/gen.h"

#define CASES 100

static const uint32_t modes[] = {
	MODE_CODE16,						/* real mode */
	MODE_CODE16 | MODE_PE | MODE_VM | MODE_CPL,
	MODE_CODE32 | MODE_PE | MODE_SS32,
	MODE_CODE32 | MODE_PE | MODE_SS32 | MODE_FLAT | MODE_OSFXSR | MODE_IOPL_OK,
	MODE_CODE32 | MODE_PE | MODE_SS32 | MODE_FLAT | MODE_CPL | MODE_OSFXSR | MODE_OSXSAVE,
	MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT | MODE_OSFXSR | MODE_OSXSAVE | MODE_IOPL_OK,
	MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT | MODE_OSFXSR | MODE_OSXSAVE | MODE_CPL |
		MMU_USER << MODE_MMU_SHIFT,
	MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT | MODE_TS | MODE_EM | MODE_TF | MODE_DF,
};

static uint16_t all_live(void *opaque, uint64_t rip)
{
	(void)opaque, (void)rip;
	return FL_ARITH;
}

static void translate(struct front *f, struct gen *g, unsigned row, uint32_t mode)
{
	uint8_t bytes[15];
	unsigned n = insn_gen(g, row, bytes);

	if (!n)
		return;
	f->ir->mode = mode;
	f->ir->rip = (mode & MODE_CODE) == MODE_CODE16 ? 0x7c00 : 0x401000;
	f->cs_limit = (mode & MODE_CODE) == MODE_CODE16 ? 0xffff : 0xffffffff;
	cr_assert_eq(front_block(f, bytes, n, 1), FRONT_OK, "%s %s", insn_rows[row].name, insn_rows[row].opds);
	uop_verify(f->ir, insn_rows[row].name);
	opt_flags(f->ir, all_live, NULL);
	opt_dead(f->ir);
	uop_verify(f->ir, insn_rows[row].name);
}

Test(verify, every_row_obeys_the_rules)
{
	struct front f = { .ir = calloc(1, sizeof(struct ir)), .env.feat = { ~0ull, ~0ull } };

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		for (unsigned row = 0; row < n_insn_rows; row++) {
			struct gen g = {
				.rng = { 0xbead + row }, .mode = modes[i] & MODE_CODE, .lock = true, .rep = true,
			};
			for (int n = 0; n < CASES; n++)
				translate(&f, &g, row, modes[i]);
		}
	free(f.ir);
}
