/*
 * Fast copies of loops: innermost loops of regions get a second copy of their body
 * in which addresses that stay the same, or move along with a register, are not looked
 * up. What they need is proven in front of a number of rounds (a *run*), for all of the
 * accesses at once:
 *
 *	label H			prove			if all pages are good go to *
 *				the body as it was, back to H
 *	(at the end) label H fast, rounds	do the registers keep to their bounds? else to H
 *				* the body again, back to H fast
 *
 * An address may have one register that changes in the loop: by constants, or by
 * registers that stay the same. The proof gives bounds for it, in which the accesses of a whole round
 * stay on their pages; the host's address minus that register is kept. So a round
 * costs a comparison a register, an access one load, and flags are left alone. At the end of the page,
 * and where a page cannot be used directly, one round of the ordinary body is run.
 *
 * What else the loop accesses is looked up as usual. Nothing in a fast copy may change
 * mappings: there is no C but for accesses that miss, and those that are not plain memory are begun
 * again alone. Whoever takes entries away from outside ends the run by its bounds
 * (mmu_drop_sites()).
 *
 * Not modelled: addresses with two registers that change, with FS or GS, in 16-bit or segmented
 * code; loops with calls of C or plugins, or with more than one way back into their middle.
 */
#include "tcg/pass.h"

#define MAX_RANGE	512	/* bytes of one proof: longer ones hold for few rounds */
#define MAX_MOVE	4096	/* of a register inside a round */
#define MAX_STRIDE	256	/* bytes in one step: longer ones leave their page after few rounds */
#define MAX_INNER	16	/* labels inside a loop */

/* How a register changes in the loop. */
struct change {
	bool by_constant, by_register, other;
	bool up, down;
	unsigned n;		/* how many µops change it */
	uint8_t step;		/* by_register: what one of them adds, or OP_NONE */
	uint64_t steps;		/* all constants or'ed: for alignment */
	int64_t longest;	/* of them */
};

/* Where registers are in a round, against its begin. */
struct place {
	int64_t off[NGPR];
	uint16_t unknown;	/* bit per register */
	uint16_t written;	/* since */
};

struct loop {
	struct ir *ir;
	unsigned first, last;	/* its label, its last jump back */
	struct change change[NGPR];
	struct place now;
	int16_t low[NGPR], high[NGPR];	/* of now.off while they are known */
	struct {
		int64_t rip;
		struct place at;
		bool met;
	} inner[MAX_INNER];
	unsigned n_inner;
	uint16_t advances;	/* registers that every round changes by constants, in one direction */
	uint16_t writes;	/* those that every round changes */
	struct fast_loop f;
	uint8_t proof_of[IR_MAX_UOPS];	/* by µop: number + 1, 0: none */
};

static bool is64(const struct ir *ir) { return (ir->mode & MODE_CODE) == MODE_CODE64; }

/* ---- which loops ---- */

static bool jumps_to(const struct uop *u, int64_t rip)
{
	return uop_jumps(u) && u->aux == U_INSIDE && u->imm == rip;
}

static int inner_label(const struct loop *l, int64_t rip)
{
	for (unsigned i = 0; i < l->n_inner; i++)
		if (l->inner[i].rip == rip)
			return (int)i;
	return -1;
}

/* Is it what a copy can be made of? */
static bool simple(const struct uop *u)
{
	switch (u->op) {
	case UOP_exit: case UOP_raise: case UOP_poll: case UOP_count: case UOP_call: case UOP_setrip:
	case UOP_stenv: case UOP_rdtsc: case UOP_plug_add: case UOP_plug_va: case UOP_plug_log: case UOP_plug_room:
		return false;
	case UOP_jmpind:
		return u->aux != U_INSIDE;
	case UOP_label:
		return u->aux != U_TABLE;
	default:
		return true;
	}
}

/* Its labels; false: it cannot be copied, or has a loop inside. */
static bool survey(struct loop *l)
{
	const struct uop *u = l->ir->uops;

	l->n_inner = 0;
	for (unsigned i = l->first + 1; i <= l->last; i++) {
		if (!simple(&u[i]))
			return false;
		if (u[i].op != UOP_label)
			continue;
		if (l->n_inner == MAX_INNER)
			return false;
		l->inner[l->n_inner].met = false;
		l->inner[l->n_inner++].rip = u[i].imm;
		for (unsigned j = i + 1; j < l->ir->n_uops; j++)	/* who jumps back to it? */
			if (jumps_to(&u[j], u[i].imm))
				return false;
	}
	return true;
}

/* ---- how registers change ---- */

static bool constant_step(const struct ir *ir, const struct uop *u, int r, int64_t *step)
{
	return uop_constant_step(ir, u, r, step) && *step > -MAX_MOVE && *step < MAX_MOVE;
}

/* Changed by a register: which one, or OP_NONE. */
static int step_register(const struct ir *ir, const struct uop *u, int r)
{
	int size = is64(ir) ? 8 : 4;

	if (u->d != r || u->a != r || u->b > R15 || u->b == r || u->size != size)
		return OP_NONE;
	if (u->op == UOP_add || u->op == UOP_sub)
		return u->b;
	return u->op == UOP_lea && !(u->c >> PROBE_SCALE & 3) && !u->imm &&
	       (u->c >> PROBE_ADSIZE & 3) == (size == 8 ? 2 : 1) ? u->b : OP_NONE;
}

static void note_change(struct loop *l, const struct uop *u, int r)
{
	struct change *c = &l->change[r];
	int64_t step;

	c->n++;
	if (constant_step(l->ir, u, r, &step)) {
		c->by_constant = true;
		c->up |= step > 0;
		c->down |= step < 0;
		c->steps |= (uint64_t)step;
		step = step < 0 ? -step : step;
		c->longest = step > c->longest ? step : c->longest;
	} else if (step_register(l->ir, u, r) != OP_NONE) {
		c->by_register = true;
		c->step = (uint8_t)(u->op == UOP_sub ? OP_NONE : u->b);
	} else {
		c->other = true;
	}
}

static bool changes(const struct loop *l, int r)
{
	return r <= R15 && (l->change[r].by_constant || l->change[r].by_register || l->change[r].other);
}

static void find_changes(struct loop *l)
{
	for (int r = 0; r < NGPR; r++)
		l->change[r] = (struct change){ 0 };
	for (unsigned i = l->first + 1; i <= l->last; i++) {
		uint32_t w = uop_gprs_written(&l->ir->uops[i], l->ir->insns);

		for (int r = 0; w; r++, w >>= 1)
			if (w & 1)
				note_change(l, &l->ir->uops[i], r);
	}
	for (unsigned i = l->first + 1; i <= l->last; i++)	/* steps by registers that change themselves */
		for (int r = 0; r < NGPR; r++)
			if (changes(l, step_register(l->ir, &l->ir->uops[i], r)))
				l->change[r].other = true;
}

/* ---- which accesses ---- */

static int scale_of(const struct uop *u, int moving)
{
	return moving == u->b ? u->c >> PROBE_SCALE & 3 : 0;
}

/* The register of the address that changes, or OP_NONE. False: there is no proof for such an address. */
static bool one_moves(const struct loop *l, const struct uop *u, int *moving)
{
	bool a = changes(l, u->a), b = changes(l, u->b);
	const struct change *c;

	*moving = a ? u->a : b ? u->b : OP_NONE;
	if (a && b)
		return false;
	if (*moving == OP_NONE)
		return true;
	c = &l->change[*moving];
	return !c->other && !(l->now.unknown >> *moving & 1) && c->longest << scale_of(u, *moving) <= MAX_STRIDE;
}

static bool part(int op) { return op <= R15 || op == OP_NONE; }

/* An access that could be proven beforehand, by what kind it is. */
static bool plain(const struct ir *ir, const struct uop *u)
{
	int ad = u->c >> PROBE_ADSIZE & 3;

	if (u->op != UOP_probe || u->c & PROBE_NOSEG || u->size > 64 || u->imm != (int32_t)u->imm)
		return false;
	if (u->imm > (1 << 30) || u->imm < -(1 << 30) || (u->a == OP_NONE && u->b == OP_NONE) || !part(u->a) || !part(u->b))
		return false;
	if (u->d == FS || u->d == GS || (!is64(ir) && u->d == CS))
		return false;
	return is64(ir) ? ad == 2 : ad == 1 && ir->mode & MODE_FLAT;
}

/* The bytes [lo, hi) of a round must stay aligned as they are at its begin, whatever is added. */
static bool keeps_alignment(const struct loop *l, const struct uop *u, int moving)
{
	if (moving == OP_NONE)
		return true;
	return !l->change[moving].by_register && !((l->change[moving].steps << scale_of(u, moving)) & (u->size - 1u));
}

static bool fits(const struct loop_proof *p, const struct uop *u, int64_t lo)
{
	int64_t hi = lo + u->size, start = lo < p->lo ? lo : p->lo, end = p->lo + p->range;

	if (p->seg != u->d || p->a != u->a || p->b != u->b || p->c != (u->c & ~(PROBE_KIND | PROBE_ALIGN)))
		return false;
	if ((hi > end ? hi : end) - start > MAX_RANGE)
		return false;
	return !(u->c & PROBE_ALIGN) || !p->align || !((lo - p->lo - p->align_at) & ((u->size < p->align ? u->size : p->align) - 1));
}

static void widen(struct loop_proof *p, const struct uop *u, int32_t lo)
{
	int32_t end = p->lo + p->range;

	if (lo + u->size > end)
		end = lo + u->size;
	if (lo < p->lo) {
		p->align_at = (uint16_t)(p->align_at + p->lo - lo);
		p->lo = lo;
	}
	p->range = (uint16_t)(end - p->lo);
	p->write |= (u->c & PROBE_W) != 0;
	if (u->c & PROBE_ALIGN && u->size > p->align) {
		p->align = u->size;
		p->align_at = (uint16_t)(lo - p->lo);
	}
}

/* The one register that is added to this one, and nothing else is; or OP_NONE. In 64-bit code. */
static int only_step(const struct loop *l, int r)
{
	const struct change *c = &l->change[r];

	return c->by_register && c->n == 1 && is64(l->ir) ? c->step : OP_NONE;
}

/* The bounds of a register; false: too many. */
static bool bound(struct loop *l, int r)
{
	const struct change *c = &l->change[r];
	int step = only_step(l, r);
	bool either = c->by_register && step == OP_NONE;
	unsigned i;

	for (i = 0; i < l->f.n_regs; i++)
		if (l->f.reg[i].reg == r)
			return true;
	if (i == RUN_REGS)
		return false;
	l->f.reg[l->f.n_regs++] = (struct loop_reg){
		.reg = (uint8_t)r, .up = !c->down || c->up || either || !is64(l->ir), .down = c->down || either,
		.step = (uint8_t)step,
	};
	return true;
}

/* A register of an address that must be as it was if the run is to go on later; false: too many. */
static bool keep(struct loop *l, int r)
{
	for (unsigned i = 0; i < l->f.n_same; i++)
		if (l->f.same[i] == r)
			return true;
	if (l->f.n_same == RUN_SAME)
		return false;
	l->f.same[l->f.n_same++] = (uint8_t)r;
	return true;
}

static bool settle(struct loop *l, int r, int moving)
{
	return r == OP_NONE || (r == moving ? bound(l, r) : keep(l, r));
}

static bool new_proof(struct loop *l, const struct uop *u, int32_t lo, int moving)
{
	unsigned n_regs = l->f.n_regs, n_same = l->f.n_same;

	if (l->f.n_proofs == RUN_PROOFS)
		return false;
	if (!settle(l, u->a, moving) || !settle(l, u->b, moving)) {	/* no bounds that nothing is proven for */
		l->f.n_regs = n_regs;
		l->f.n_same = n_same;
		return false;
	}
	l->f.proof[l->f.n_proofs++] = (struct loop_proof){
		.seg = u->d, .a = u->a, .b = u->b, .c = (uint8_t)(u->c & ~(PROBE_KIND | PROBE_ALIGN)),
		.moving = (uint8_t)moving, .lo = lo, .range = u->size,
	};
	return true;
}

/* A proof for the access at i, if there can be one. */
static void take_access(struct loop *l, unsigned i)
{
	const struct uop *u = &l->ir->uops[i];
	int64_t lo = u->imm;
	unsigned k = 0;
	int moving;

	if (!plain(l->ir, u) || !one_moves(l, u, &moving) || (u->c & PROBE_ALIGN && !keeps_alignment(l, u, moving)))
		return;
	if (moving != OP_NONE)
		lo += l->now.off[moving] * (1 << scale_of(u, moving));
	while (k < l->f.n_proofs && !fits(&l->f.proof[k], u, lo))
		k++;
	if (k == l->f.n_proofs && !new_proof(l, u, (int32_t)lo, moving))
		return;
	widen(&l->f.proof[k], u, (int32_t)lo);
	l->proof_of[i] = (uint8_t)(k + 1);
}

/* ---- one round ---- */

static void meet(struct place *a, const struct place *b)
{
	a->unknown |= b->unknown;
	a->written &= b->written;
	for (int r = 0; r < NGPR; r++)
		if (a->off[r] != b->off[r])
			a->unknown |= (uint16_t)BIT(r);
}

static void pass_jump(struct loop *l, const struct uop *u)
{
	int n;

	if (u->imm == l->ir->uops[l->first].imm) {
		l->writes &= l->now.written;
		for (int r = 0; r < NGPR; r++)
			if (l->now.unknown >> r & 1 || !l->now.off[r])
				l->advances &= (uint16_t)~BIT(r);
		return;
	}
	n = inner_label(l, u->imm);
	if (n < 0)
		return;
	if (l->inner[n].met)
		meet(&l->inner[n].at, &l->now);
	else
		l->inner[n].at = l->now;
	l->inner[n].met = true;
}

static void pass_label(struct loop *l, const struct uop *u)
{
	int n = inner_label(l, u->imm);

	if (!l->inner[n].met)
		return;
	if (uop_leaves(u - 1))
		l->now = l->inner[n].at;
	else
		meet(&l->now, &l->inner[n].at);
}

static void pass_writes(struct loop *l, const struct uop *u)
{
	uint32_t w = uop_gprs_written(u, l->ir->insns);
	int64_t step;

	for (int r = 0; w; r++, w >>= 1) {
		if (!(w & 1))
			continue;
		l->now.written |= (uint16_t)BIT(r);
		if (!constant_step(l->ir, u, r, &step)) {
			l->now.unknown |= (uint16_t)BIT(r);
			continue;
		}
		l->now.off[r] += step;
		if (l->now.off[r] >= MAX_MOVE || l->now.off[r] <= -MAX_MOVE)
			l->now.unknown |= (uint16_t)BIT(r);
		if (l->now.unknown >> r & 1)
			continue;
		if (l->now.off[r] < l->low[r])
			l->low[r] = (int16_t)l->now.off[r];
		if (l->now.off[r] > l->high[r])
			l->high[r] = (int16_t)l->now.off[r];
	}
}

/* All ways through the loop: what can be proven in front of them. */
static void walk(struct loop *l)
{
	l->f = (struct fast_loop){ 0 };
	l->now = (struct place){ 0 };
	l->advances = l->writes = 0xffff;
	for (int r = 0; r < NGPR; r++)
		l->low[r] = l->high[r] = 0;
	for (unsigned i = l->first + 1; i <= l->last; i++) {
		const struct uop *u = &l->ir->uops[i];

		l->proof_of[i] = 0;
		if (u->op == UOP_label)
			pass_label(l, u);
		if (u->op == UOP_probe)
			take_access(l, i);
		if (uop_jumps(u) && u->aux == U_INSIDE)
			pass_jump(l, u);
		pass_writes(l, u);
	}
}

/* A register that may go up and down, or not at all, may stay inside its bounds for ever. */
static bool goes_on(const struct loop *l)
{
	for (unsigned i = 0; i < l->f.n_regs; i++) {
		const struct change *c = &l->change[l->f.reg[i].reg];

		if (l->f.reg[i].step != OP_NONE && l->writes >> l->f.reg[i].reg & 1)
			return true;
		if (l->advances >> l->f.reg[i].reg & 1 && !c->by_register && c->up != c->down)
			return true;
	}
	return false;
}

/* A register may come back to its bounds from elsewhere. */
static void keep_alignments(struct loop *l)
{
	for (unsigned k = 0; k < l->f.n_proofs; k++)
		for (unsigned i = 0; i < l->f.n_regs; i++)
			if (l->f.proof[k].align && l->f.proof[k].moving == l->f.reg[i].reg)
				l->f.reg[i].align |= (uint8_t)(l->f.proof[k].align - 1);
}

/*
 * In 32-bit code what ends a run leaves 0 inside the upper bound, so a register that may stand there
 * has the other one, too.
 */
static void keep_moves(struct loop *l)
{
	for (unsigned i = 0; i < l->f.n_regs; i++) {
		struct loop_reg *r = &l->f.reg[i];

		r->above = (uint16_t)l->high[r->reg];
		r->below = (uint16_t)-l->low[r->reg];
		r->down |= !is64(l->ir) && !(l->advances >> r->reg & 1);
	}
}

/* ---- the copy ---- */

static void insert(struct ir *ir, unsigned at, const struct uop *u)
{
	for (unsigned i = ir->n_uops++; i > at; i--)
		ir->uops[i] = ir->uops[i - 1];
	ir->uops[at] = *u;
}

/* What comes behind the loop must be reached from the copy, too: a label there if it needs one. How many µops more. */
static unsigned open_end(struct loop *l)
{
	const struct uop *end = &l->ir->uops[l->last], *next = end + 1;

	if (uop_leaves(end) || uop_leaves(next) || next->op == UOP_label)
		return 0;
	insert(l->ir, l->last + 1, &(struct uop){
		.op = UOP_label, .d = OP_NONE, .a = OP_NONE, .b = OP_NONE, .fl = end->fl, .insn = next->insn,
		.imm = (int64_t)(l->ir->rip + l->ir->off[next->insn]),
	});
	return 1;
}

static void append_end(struct loop *l)
{
	struct ir *ir = l->ir;
	const struct uop *end = &ir->uops[l->last], *next = end + 1;
	struct uop u = *next;

	if (uop_leaves(end))
		return;
	if (next->op == UOP_label)
		u = (struct uop){ .op = UOP_jmp, .size = 8, .d = OP_NONE, .a = OP_NONE, .b = OP_NONE,
				  .aux = U_INSIDE, .flx = next->fl, .insn = end->insn, .imm = next->imm };
	ir->uops[ir->n_uops++] = u;
}

static void append_body(struct loop *l)
{
	struct ir *ir = l->ir;
	int64_t head = ir->uops[l->first].imm;

	for (unsigned i = l->first + 1; i <= l->last; i++) {
		struct uop *u = &ir->uops[ir->n_uops++];

		*u = ir->uops[i];
		if (l->proof_of[i]) {
			const struct loop_proof *p = &l->f.proof[l->proof_of[i] - 1];

			u->aux = (uint16_t)(PROBE_PROVEN | (l->proof_of[i] - 1) << PROBE_PLACE);
			u->pad = p->moving;
		}
		if (u->op == UOP_label || (uop_jumps(u) && u->aux == U_INSIDE && (u->imm == head || inner_label(l, u->imm) >= 0)))
			u->aux = U_FAST;
	}
}

static bool room(const struct loop *l)
{
	return l->ir->n_loops < IR_MAX_LOOPS && l->ir->n_uops + (l->last - l->first) + 8 < IR_MAX_UOPS;
}

/* Appends it; how many µops more stand in front of it now. */
static unsigned make_copy(struct loop *l)
{
	struct ir *ir = l->ir;
	unsigned n = ir->n_loops++, more;
	struct uop head = ir->uops[l->first], u = head;

	l->f.looks = !goes_on(l);
	keep_alignments(l);
	keep_moves(l);
	ir->loops[n] = l->f;
	more = open_end(l);
	head.aux = U_FAST;
	head.c = 0;
	ir->uops[ir->n_uops++] = head;
	u.op = UOP_rounds;
	u.c = (uint8_t)n;
	ir->uops[ir->n_uops++] = u;
	append_body(l);
	append_end(l);
	u.op = UOP_prove;
	insert(ir, l->first + 1, &u);
	return more + 1;
}

/* The last of the first n µops that jumps back to the label at `first`, or `first`. */
static unsigned last_jump(const struct ir *ir, unsigned first, unsigned n)
{
	unsigned last = first;

	for (unsigned i = first + 1; i < n; i++)
		if (jumps_to(&ir->uops[i], ir->uops[first].imm))
			last = i;
	return last;
}

void opt_loop(struct ir *ir, const bool *tired)
{
	struct loop l = { .ir = ir };
	unsigned n = ir->n_uops;

	ir->n_loops = 0;
	if (ir->mode & MODE_AC)			/* every access checks its alignment */
		return;
	for (unsigned i = 0; i < n; i++) {
		if (ir->uops[i].op != UOP_label || tired[ir->uops[i].insn])
			continue;
		l.first = i;
		l.last = last_jump(ir, i, n);
		if (l.last == i || !room(&l) || !survey(&l))
			continue;
		find_changes(&l);
		walk(&l);
		if (l.f.n_proofs)
			n += make_copy(&l);
	}
}
