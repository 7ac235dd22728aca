/*
 * Registers of a region: guest registers that usually stand in memory get the
 * host registers of others that the region does not use, or uses much less.
 *
 * At the entry the others' values are put aside (env->aside) and the memory ones
 * loaded; every way out does the reverse. C that is called for a slow access
 * saves host registers as if nothing were swapped, and loads them again the same
 * way; only where it leaves for the run loop are they sorted out: x64_unswap().
 * Regions that call helpers, which work on cpu->regs, swap nothing.
 */
#include "tcg/x64/lower.h"

#define MIN_USES 2	/* less than that does not pay for the way in and out */
#define LOOP_WEIGHT 4	/* of a use in an inner loop, or on the first way back to the head; and as many times must a register be used to displace another */

struct uses {
	unsigned n[NGPR];
};

static void count_op(struct uses *s, int op, unsigned weight)
{
	if (op <= R15)
		s->n[op] += weight;
}

static void count_written(struct uses *s, uint32_t regs, unsigned weight)
{
	for (int r = 0; r < NGPR; r++)
		s->n[r] += regs >> r & 1 ? weight : 0;
}

static void count_uop(const struct ir *ir, const struct uop *u, struct uses *s, unsigned weight)
{
	count_op(s, u->a, weight);
	count_op(s, u->b, weight);
	if (u->op != UOP_probe)
		count_op(s, u->d, weight);
	count_written(s, uop_gprs_written(u, ir->insns), weight);
	if (u->op == UOP_vec)
		for (int k = 0; k < ir->insns[u->aux].nopd; k++)
			if (ir->insns[u->aux].opd[k].kind == OPD_REG)
				count_op(s, ir->insns[u->aux].opd[k].reg, weight);
}

/* The last jump back to the label at µop `at`, or `at` itself. */
static unsigned loop_end(const struct ir *ir, unsigned at)
{
	unsigned end = at, how = ir->uops[at].aux == U_FAST ? U_FAST : U_INSIDE;

	for (unsigned i = at + 1; i < ir->n_uops; i++)
		if (uop_jumps(&ir->uops[i]) && ir->uops[i].aux == how && ir->uops[i].imm == ir->uops[at].imm)
			end = i;
	return end;
}

/* The first jump back to the head, which is what proved hot, if no other loop stands in front of it; else 0. */
static unsigned first_jump_to_head(const struct ir *ir)
{
	unsigned n = 1, end;

	while (n < ir->n_uops && !(uop_jumps(&ir->uops[n]) && ir->uops[n].aux == U_INSIDE && ir->uops[n].imm == ir->uops[0].imm))
		n++;
	if (n == ir->n_uops)
		return 0;
	for (unsigned i = 1; i < n; i++)
		if (ir->uops[i].op == UOP_label && (end = loop_end(ir, i)) > i && end < n)
			return 0;
	return n;
}

/* Uses in a loop inside the loop, and in front of the first jump back, count LOOP_WEIGHT times. False: a helper is called. */
static bool count(const struct ir *ir, struct uses *s)
{
	unsigned weight = LOOP_WEIGHT, until = first_jump_to_head(ir), end;

	for (unsigned i = 0; i < ir->n_uops; i++) {
		if (uop_info[ir->uops[i].op].kind == K_CALL)
			return false;
		if (i > until)
			weight = 1;
		if (i && ir->uops[i].op == UOP_label && (end = loop_end(ir, i)) > i) {
			until = weight > 1 && end < until ? until : end;
			weight = LOOP_WEIGHT;
		}
		count_uop(ir, &ir->uops[i], s, weight);
	}
	return true;
}

/* Guest registers whose host registers have no role of their own and are reloaded after C. */
static const uint8_t movable[X64_MAX_SWAPS + 2] = { R15, R14, R13, R12, RDI, RSI };

static bool taken(const struct x64_block *o, unsigned r)
{
	for (unsigned i = 0; i < o->n_swaps; i++)
		if (o->swaps[i].out == r)
			return true;
	return false;
}

/*
 * Whose host register is guest register `in` to have? One that is not used, else the least
 * used if that is worth while: it stands in memory then. 0: none.
 */
static unsigned giver(const struct x64_block *o, const struct uses *uses, unsigned in)
{
	unsigned best = 0;

	for (unsigned i = 0; i < ARRAY_LEN(movable); i++) {
		unsigned r = movable[i];

		if (taken(o, r) || (r < R12 && uses->n[r]))	/* RSI and RDI have roles, if they are used */
			continue;
		if (!best || uses->n[r] < uses->n[best])
			best = r;
	}
	return best && (!uses->n[best] || uses->n[in] >= LOOP_WEIGHT * uses->n[best]) ? best : 0;
}

/* Of a region. */
static void choose(struct lower *l)
{
	struct x64_block *o = l->out;
	struct uses uses = { { 0 } };
	unsigned out;

	if (!count(l->ir, &uses))
		return;
	for (int r = 0; r < NGPR; r++)
		l->own_regs[r] = x64_usual_regs[r];
	for (int r = R8; r <= R11; r++) {
		if (uses.n[r] < MIN_USES || !(out = giver(o, &uses, (unsigned)r)))
			continue;
		o->swaps[o->n_swaps++] = (struct x64_swap){ (uint8_t)r, (uint8_t)out };
		l->own_regs[r] = x64_usual_regs[out];
		l->own_regs[out] = -1;
	}
	l->regs = l->own_regs;
}

void swaps_choose(struct lower *l)
{
	l->out->n_swaps = 0;
	l->regs = x64_usual_regs;
	if (l->ir->mode & MODE_REGION)
		choose(l);
}

struct hop swaps_slot(const struct lower *l, int r)
{
	for (unsigned i = 0; i < l->out->n_swaps; i++)
		if (l->out->swaps[i].out == r)
			return hop_gs(ENV_OFF(aside) + 8 * (int32_t)i);
	return hop_gs(CPU_OFF(regs) + 8 * r);
}

void swaps_enter(struct lower *l)
{
	part(l, PART_swap);
	for (unsigned i = 0; i < l->out->n_swaps; i++) {
		int r = l->regs[l->out->swaps[i].in];

		store(&l->c, 8, hop_gs(ENV_OFF(aside) + 8 * (int32_t)i), r);
		load(&l->c, 8, r, hop_gs(CPU_OFF(regs) + 8 * l->out->swaps[i].in));
	}
}

void swaps_leave(struct lower *l)
{
	enum x64_part was = part(l, PART_swap);

	for (unsigned i = 0; i < l->out->n_swaps; i++) {
		int r = l->regs[l->out->swaps[i].in];

		store(&l->c, 8, hop_gs(CPU_OFF(regs) + 8 * l->out->swaps[i].in), r);
		load(&l->c, 8, r, hop_gs(ENV_OFF(aside) + 8 * (int32_t)i));
	}
	part(l, was);
}
