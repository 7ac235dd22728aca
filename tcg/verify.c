/*
 * Checks the rules of tcg/uop.h on a block. A broken one is our mistake, so it
 * ends the program with a listing.
 *
 *   operands     a µop has the operands its row in uop.def says, of known codes
 *   M            is used only by the µop behind its probe, and is used there
 *   sharing      d == b != a does not occur
 *   temporaries  are written before they are read, inside one instruction
 *   faults       a guest register is written after the last µop of its
 *                instruction that can fault
 *   end          the last µop leaves for certain
 */
#include <stdio.h>
#include <stdlib.h>

#include "tcg/uop.h"

struct check {
	const struct ir *ir;
	const struct uop *u;		/* the one looked at */
	const char *after;
	const struct uop *written;	/* first of this instruction that wrote a guest register */
	unsigned temps;			/* written ones: bit 0 = T0 */
};

static void __attribute__((noreturn)) broken(const struct check *k, const char *rule)
{
	char line[256];

	for (unsigned i = 0; i < k->ir->n_uops; i++) {
		uop_text(k->ir, &k->ir->uops[i], line, sizeof(line));
		fprintf(stderr, "%s %4u  %s\n", &k->ir->uops[i] == k->u ? "->" : "  ", i, line);
	}
	fprintf(stderr, "µop rule broken after %s: %s\n", k->after, rule);
	abort();
}

static bool is_gpr(int op) { return op < OP_T0; }
static bool is_temp(int op) { return op >= OP_T0 && op <= OP_T3; }

static bool op_known(int op)
{
	return op < OP_AH + 4 || is_temp(op) || op == OP_M || op == OP_IMM || op == OP_NONE;
}

static void operand(const struct check *k, int op, bool has, bool read)
{
	if (!op_known(op))
		broken(k, "unknown operand code");
	if (!has && op != OP_NONE)
		broken(k, "operand that the row does not have");
	if (op >= OP_AH && op < OP_T0 && k->u->size != 1 && k->u->op != UOP_zext && k->u->op != UOP_sext)
		broken(k, "high byte register in a wider operation");
	if (read && is_temp(op) && !(k->temps >> (op - OP_T0) & 1))
		broken(k, "temporary read before it is written");
}

static void operands(const struct check *k)
{
	const struct uop *u = k->u;
	const struct uop_info *info = &uop_info[u->op];

	if (u->op == UOP_probe) {		/* d is a segment */
		operand(k, u->a, true, true);
		operand(k, u->b, true, true);
		return;
	}
	operand(k, u->a, info->a, true);
	operand(k, u->b, info->b, u->op != UOP_mulx);
	operand(k, u->d, info->d, false);
	if (u->d == OP_IMM)
		broken(k, "immediate destination");
	if (info->d && u->d == u->b && u->d != u->a && u->d != OP_M && u->d != OP_NONE &&
	    info->b && info->kind != K_CALL && u->op != UOP_lea && u->op != UOP_bsf && u->op != UOP_bsr)
		broken(k, "destination is the second operand");
}

static void memory(const struct check *k)
{
	const struct uop *prev = k->u == k->ir->uops ? NULL : k->u - 1;
	bool probed = prev && prev->op == UOP_probe && prev->insn == k->u->insn;

	if (uop_uses_m(k->u) && !probed)
		broken(k, "M without a probe right before");
	if (probed && !uop_uses_m(k->u))
		broken(k, "probe whose M is not used");
	if (k->u->op == UOP_probe && !(k->u->c & PROBE_KIND))
		broken(k, "probe that neither reads nor writes");
}

static bool can_fault(const struct uop *u)
{
	switch (u->op) {
	case UOP_probe: case UOP_div1: case UOP_idiv1:
		return true;
	case UOP_call:
		return !(helper_info[u->aux].attr & H_NORAISE);
	default:
		return false;
	}
}

static void faults(struct check *k)
{
	const struct uop *u = k->u;

	if (k->written && can_fault(u))
		broken(k, "may fault after a guest register was written");
	if (uop_info[u->op].d && u->op != UOP_probe && is_gpr(u->d) && !k->written)
		k->written = u;
}

void uop_verify(const struct ir *ir, const char *after)
{
	struct check k = { .ir = ir, .after = after };

	for (unsigned i = 0; i < ir->n_uops; i++) {
		k.u = &ir->uops[i];
		if (i && (k.u->insn != k.u[-1].insn || k.u->op == UOP_label)) {
			k.written = NULL;
			k.temps = 0;
		}
		if (k.u->op >= UOP_COUNT)
			broken(&k, "unknown µop");
		if (k.u->insn >= ir->n_insns)
			broken(&k, "belongs to no instruction");
		operands(&k);
		memory(&k);
		faults(&k);
		if (uop_info[k.u->op].d && is_temp(k.u->d))
			k.temps |= 1u << (k.u->d - OP_T0);
	}
	k.u = ir->n_uops ? &ir->uops[ir->n_uops - 1] : NULL;
	if (!k.u || !uop_leaves(k.u))
		broken(&k, "block without an end");
}
