/*
 * Flags that can be made again later, as what they were made from, or what came of it, is still in registers.
 *
 * Not modelled: increments, which keep CF from before, shifts, and comparisons with memory.
 */
#include "tcg/uop.h"

static bool is_register(int op) { return op <= R15; }

/* Can the flags of u be made again from what it leaves behind, and from which registers? */
static bool repeatable(const struct uop *u, uint32_t *from)
{
	bool two = is_register(u->b);

	*from = (uint32_t)(BIT(u->d & 15) | (two ? BIT(u->b) : 0));
	switch (u->op) {
	case UOP_cmp: case UOP_test:
		*from = (uint32_t)(BIT(u->a & 15) | (two ? BIT(u->b) : 0));
		return is_register(u->a) && (two || u->b == OP_IMM);
	case UOP_add: case UOP_sub:
		return is_register(u->d) && u->d == u->a && u->d != u->b && (two || u->b == OP_IMM || u->b == OP_M);
	case UOP_and: case UOP_or: case UOP_xor:
		*from = (uint32_t)BIT(u->d & 15);
		return is_register(u->d);
	default:
		return false;
	}
}

const struct uop *flags_maker(const struct ir *ir, const struct uop *u, int64_t *step)
{
	uint32_t written = 0, from;

	*step = 0;
	while (u-- > ir->uops && u->op != UOP_label) {
		uint32_t w = uop_gprs_written(u, ir->insns);
		int64_t by;

		if (uop_flags_written(u, ir->insns))
			return repeatable(u, &from) && !(from & written) && !(*step && u->b == RSP) ? u : NULL;
		if (w & BIT(RSP) && uop_constant_step(ir, u, RSP, &by)) {
			w &= ~(uint32_t)BIT(RSP);
			*step += by;
		}
		written |= w;
	}
	return NULL;
}

bool flags_read_behind(const struct ir *ir, const struct uop *u)
{
	for (; u < ir->uops + ir->n_uops; u++) {
		uint16_t written = uop_flags_written(u, ir->insns);

		if (uop_flags_read(u, ir->insns) || (written && u->fl & ~written))
			return true;
		if (!u->fl || written)
			return false;
	}
	return false;
}
