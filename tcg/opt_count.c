/*
 * Counting for performance counters (MODE_COUNT): inserts `count` µops, which say
 * that so many instructions more are done. One stands in front of every exit
 * that ends its instruction, and counts that, too; one in front of every call that may
 * raise or look at the counters, and counts those before. Between them nothing
 * is lost: what stops at a memory access is put right by the side table, which knows
 * how many instructions since the last `count` are done (uop_uncounted()).
 *
 * The µop interpreter has no side table: there every instruction counts for itself.
 * A repeated string instruction starts itself again after an interrupt, and is one.
 */
#include "cpu/insn.h"
#include "tcg/pass.h"

struct point {
	unsigned at;			/* µop to stand in front of */
	unsigned done;			/* instructions that are counted then, from the block's start */
	unsigned n;
	bool branch;
};

/* Back to itself, as not all is done. */
static bool repeats(const struct ir *ir, const struct uop *u)
{
	return u->op == UOP_jrz && u > ir->uops && u[-1].op == UOP_call && u[-1].insn == u->insn;
}

/* Does the µop end its instruction as it should? */
static bool ends(const struct ir *ir, const struct uop *u)
{
	return uop_info[u->op].kind == K_EXIT && u->op != UOP_raise && !repeats(ir, u);
}

static bool looks(const struct uop *u)
{
	return uop_info[u->op].kind == K_EXIT ||
	       (u->op == UOP_call && !(helper_info[u->aux].attr & H_NORAISE));
}

static unsigned find_points(const struct ir *ir, bool each, struct point *p)
{
	unsigned n = 0, done = 0;

	for (unsigned i = 0; i < ir->n_uops; i++) {
		const struct uop *u = &ir->uops[i];
		bool first = !i || u[-1].insn != u->insn;
		unsigned upto = u->insn + ends(ir, u);

		if (!looks(u) && !(each && first))
			continue;
		if (upto <= done)
			continue;
		p[n++] = (struct point){ i - uop_uses_m(u), upto, upto - done,
					 ends(ir, u) && insn_flow(&ir->insns[u->insn]) != FLOW_NEXT };
		done = upto;
	}
	return n;
}

void opt_count(struct ir *ir, bool each)
{
	struct point p[2 * COUNT_MAX_INSNS];
	unsigned k = find_points(ir, each, p), to = ir->n_uops + k;

	ir->n_uops = to;
	while (k-- > 0) {
		for (unsigned from = to - k - 1; from-- > p[k].at;)
			ir->uops[--to] = ir->uops[from];
		to--;
		ir->uops[to] = (struct uop){
			.op = UOP_count, .d = OP_NONE, .a = OP_NONE, .b = OP_NONE, .c = p[k].branch,
			.aux = (uint16_t)p[k].done, .imm = p[k].n, .insn = ir->uops[to + 1].insn,
		};
	}
}

int uop_uncounted(const struct ir *ir, const struct uop *u)
{
	const struct uop *v = u;

	while (v >= ir->uops && v->op != UOP_count)
		v--;
	return (int)u->insn - (v >= ir->uops ? v->aux : 0);
}
