/*
 * Registers of a region: guest registers that usually stand in memory get the
 * host registers of others that the region does not use.
 *
 * At the entry the others' values are put aside (env->aside) and the memory ones
 * loaded; every way out does the reverse. C that is called for a slow access
 * saves host registers as if nothing were swapped, and loads them again the same
 * way; only where it leaves for the run loop are they sorted out: x64_unswap().
 * Regions that call helpers, which work on cpu->regs, swap nothing.
 */
#include "tcg/x64/lower.h"

#define MIN_USES 2	/* less than that does not pay for the way in and out */

struct uses {
	unsigned n[NGPR];
};

static void count_op(struct uses *s, int op)
{
	if (op <= R15)
		s->n[op]++;
}

static void count_written(struct uses *s, uint32_t regs)
{
	for (int r = 0; r < NGPR; r++)
		s->n[r] += regs >> r & 1;
}

/* False: a helper is called. */
static bool count(const struct ir *ir, struct uses *s)
{
	for (unsigned i = 0; i < ir->n_uops; i++) {
		const struct uop *u = &ir->uops[i];

		if (uop_info[u->op].kind == K_CALL)
			return false;
		count_op(s, u->a);
		count_op(s, u->b);
		if (u->op != UOP_probe)
			count_op(s, u->d);
		count_written(s, uop_gprs_written(u, ir->insns));
		if (u->op == UOP_vec)
			for (int k = 0; k < ir->insns[u->aux].nopd; k++)
				if (ir->insns[u->aux].opd[k].kind == OPD_REG)
					count_op(s, ir->insns[u->aux].opd[k].reg);
	}
	return true;
}

/* Guest registers whose host registers have no role of their own and are reloaded after C. */
static const uint8_t movable[X64_MAX_SWAPS + 2] = { R15, R14, R13, R12, RDI, RSI };

void swaps_choose(struct lower *l)
{
	struct x64_block *o = l->out;
	struct uses uses = { { 0 } };
	unsigned next = 0;

	o->n_swaps = 0;
	l->regs = x64_usual_regs;
	if (!(l->ir->mode & MODE_REGION) || !count(l->ir, &uses))
		return;
	for (int r = 0; r < NGPR; r++)
		l->own_regs[r] = x64_usual_regs[r];
	for (int r = R8; r <= R11; r++) {
		if (uses.n[r] < MIN_USES)
			continue;
		while (next < ARRAY_LEN(movable) && uses.n[movable[next]])
			next++;
		if (next == ARRAY_LEN(movable))
			break;
		o->swaps[o->n_swaps++] = (struct x64_swap){ (uint8_t)r, movable[next] };
		l->own_regs[r] = x64_usual_regs[movable[next]];
		l->own_regs[movable[next++]] = -1;
	}
	l->regs = l->own_regs;
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
