/*
 * Values nobody reads. Inside an instruction a temporary that is overwritten or
 * dropped is not computed, and a register that the same instruction writes again
 * in full is not written before. µops become `nop`; nothing moves.
 *
 * Only µops are dropped that do nothing but write d: no memory operand, no flags,
 * no exit in between that could see the value.
 */
#include "tcg/pass.h"

static bool is_pure(const struct uop *u)
{
	const struct uop_info *info = &uop_info[u->op];

	if (info->kind != K_MOVE || !info->d || u->op == UOP_xchg || u->op == UOP_mulx)
		return false;
	return u->d != OP_M && u->a != OP_M && u->b != OP_M;
}

/* Registers a µop reads; those with implicit operands, exits and calls read all. */
static uint32_t reads(const struct uop *u)
{
	uint32_t r = uop_operand_bit[u->a] | uop_operand_bit[u->b];

	switch (uop_info[u->op].kind) {
	case K_MOVE:
	case K_MEM:
		break;
	case K_ALU:
		r |= UOP_GPRS;
		break;
	default:
		return r | UOP_GPRS;
	}
	/* Narrow writes keep the rest of the register. */
	if (u->op != UOP_probe && (u->size < 4 || u->op == UOP_setcc))
		r |= uop_operand_bit[u->d];
	if (u->op == UOP_mulx)
		r |= 1u << RDX;
	return r;
}

void opt_dead(struct ir *ir)
{
	uint32_t live = 0;
	unsigned insn = ~0u;

	for (unsigned i = ir->n_uops; i-- > 0;) {
		struct uop *u = &ir->uops[i];
		uint32_t written;

		if (u->insn != insn) {		/* from here on the instruction before */
			insn = u->insn;
			live = UOP_GPRS;
			if (u->d < OP_T0 || u->d > OP_T3) {	/* not for a temporary: somebody may want it */
				if (!i || u[-1].insn != insn)
					continue;
				if (u[-1].op == UOP_probe && (i == 1 || u[-2].insn != insn)) {
					i--;
					continue;
				}
			}
		}
		written = uop_info[u->op].d && u->op != UOP_probe ? uop_operand_bit[u->d] : 0;
		if (is_pure(u) && !(live & written)) {
			*u = (struct uop) {
				.op = UOP_nop, .d = OP_NONE, .a = OP_NONE, .b = OP_NONE,
				.fl = u->fl, .insn = u->insn,
			};
			continue;
		}
		live &= ~written;
		live |= reads(u);
	}
}
