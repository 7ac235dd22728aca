/*
 * Steps of the stack pointer that nobody sees: pushes and pops in a row change it once.
 *
 * A step `lea rsp, [rsp + n]` is added to the next one, or to the return's, if nothing in
 * between can tell: reads or writes the register, faults, leaves, or joins. Accesses through the
 * stack pointer that share a proof (tcg/opt_mem.c) cannot fault; their displacements
 * grow by the steps that are taken later.
 *
 * Not modelled: regions of 32-bit code, where such an access adds the register to a host
 * address, and nobody has proved that the register's earlier value did not wrap.
 */
#include "tcg/pass.h"

#define MAX_DELAY (1 << 16)	/* opt_mem keeps displacements far enough from the edge of 32 bits */

/* Is that lea a step? */
static bool is_step(const struct ir *ir, const struct uop *u)
{
	bool is64 = (ir->mode & MODE_CODE) == MODE_CODE64;

	return u->d == RSP && u->a == RSP && u->b == OP_NONE && u->size == (is64 ? 8 : 4) &&
	       (u->c >> PROBE_ADSIZE & 3) == (is64 ? 2 : 1);
}

/* A return that takes its target from memory drops it from the stack by itself. */
static bool is_return(const struct ir *ir, const struct uop *u)
{
	return u->op == UOP_jmpind && u->a == OP_M && u->imm && u->size == ((ir->mode & MODE_CODE) == MODE_CODE64 ? 8 : 4);
}

/* Does it neither look at the stack pointer, nor change it, nor go elsewhere? */
static bool passes(const struct uop *u)
{
	unsigned kind = uop_info[u->op].kind;

	if (u->op == UOP_probe)
		return u->aux & PROBE_FOLLOWER && u->b != RSP;
	if ((kind != K_MOVE && kind != K_ALU) || u->op == UOP_div1 || u->op == UOP_idiv1)
		return false;
	return u->d != RSP && u->a != RSP && u->b != RSP;
}

static bool small(int64_t n) { return n <= MAX_DELAY && n >= -MAX_DELAY; }

/* The step at i into the one at j. */
static void merge(struct ir *ir, unsigned i, unsigned j)
{
	struct uop *u = &ir->uops[i];

	for (unsigned k = i + 1; k < j; k++)
		if (ir->uops[k].op == UOP_probe && ir->uops[k].a == RSP)
			ir->uops[k].imm += u->imm;
	ir->uops[j].imm += u->imm;
	*u = (struct uop){ .op = UOP_nop, .d = OP_NONE, .a = OP_NONE, .b = OP_NONE, .fl = u->fl, .insn = u->insn };
}

void opt_step(struct ir *ir)
{
	unsigned last = ir->n_uops;		/* the step that waits for another, if there is one */

	if ((ir->mode & MODE_CODE) != MODE_CODE64 && ir->mode & MODE_REGION)
		return;
	for (unsigned i = 0, n = ir->n_uops; i < n; i++) {
		const struct uop *u = &ir->uops[i];
		bool waits = last != n, step;

		if (!waits && u->op != UOP_lea)
			continue;
		step = u->op == UOP_lea && is_step(ir, u);
		if (waits && (step || is_return(ir, u)) && small(ir->uops[last].imm) && small(u->imm) &&
		    small(ir->uops[last].imm + u->imm))
			merge(ir, last, i);
		if (step)
			last = i;
		else if (waits && !passes(u))
			last = n;
	}
}
