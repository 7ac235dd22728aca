/*
 * Regions: a loop that proves hot is translated again as one piece, with all the
 * blocks of its page and the next that direct jumps reach. Jumps inside are plain
 * jumps to labels, and the passes see across the borders of blocks.
 *
 * First the bytes are walked from the head along direct jumps: where instructions
 * begin and which of them begin a block. Blocks from which no way leads back to
 * the head are left out: they run once a visit, and would take registers away
 * from the loop. The others are translated in the order of their addresses, so
 * that falling through costs nothing. The head has the lowest address; what lies
 * below it, or behind the next page, is left by exits. Calls and returns are exits, too, but
 * a function that runs straight to its return becomes part of the loop at every call,
 * wherever it stands: the return address is pushed and compared with what is popped, and a conditional jump of the
 * function is an exit. One that has jumps inside is left alone.
 *
 * Indirect jumps may go to any block of the two pages that the jump cache knows, because
 * something has come there indirectly before. Those that are part of the loop are in
 * the region's table; any other target is an exit. A jump through a place that stays the same (a linkage table's)
 * leaves: it goes where it went before, to a function elsewhere, and its neighbours in the
 * table are no loop.
 */
#include <string.h>

#include "tcg/cache.h"
#include "tcg/front.h"

#define BEGIN	1u	/* an instruction begins here */
#define BLOCK	2u	/* and a block with it */
#define TARGET	4u	/* some jump comes here */
#define BACK	8u	/* from behind */
#define LOOP	16u	/* a way leads from the block back to the head */
#define TABLE	32u	/* indirect jumps may come here */
#define AWAY	64u	/* an indirect jump is here that leaves */

#define MAX_OPEN 64	/* blocks found and not walked yet; more are left out */

struct region {
	struct front *f;
	const uint8_t *bytes;
	unsigned n;
	uint8_t map[REGION_BYTES];
	uint16_t open[MAX_OPEN];
	unsigned n_open, n_insns;
	const uint64_t *met;	/* RIPs that indirect jumps have gone to */
	unsigned n_met;
	bool indirect;		/* there is an indirect jump, and it has been followed */
	bool failed;		/* what was to be gone into cannot be */
};

/* Offset of rip in the region's bytes, or n if it is outside. */
static unsigned offset(const struct region *r, uint64_t rip)
{
	uint64_t off = rip - r->f->ir->rip;

	return off < r->n ? (unsigned)off : r->n;
}

static void add_block(struct region *r, unsigned off, unsigned how)
{
	if (off >= r->n)
		return;
	r->map[off] |= BLOCK | how;
	if (!(r->map[off] & BEGIN) && r->n_open < MAX_OPEN)
		r->open[r->n_open++] = (uint16_t)off;
}

/* A conditional jump, which may also go on behind itself. */
static bool falls_through(const struct insn *in)
{
	switch (insn_row(in)->does) {
	case DOES_jcc: case DOES_loop: case DOES_loope: case DOES_loopne: case DOES_jcxz:
		return true;
	default:
		return false;
	}
}

/* A direct jump at `at` that ends behind at `next`. Does control go on there? */
static bool follow(struct region *r, const struct insn *in, unsigned at, unsigned next)
{
	unsigned to;

	r->f->next = front_cut(r->f, r->f->ir->rip + next);
	to = offset(r, front_target(r->f, in));
	add_block(r, to, TARGET | (to <= at ? BACK : 0));
	if (insn_row(in)->does == DOES_jmp)
		return false;
	if (next < r->n)
		r->map[next] |= BLOCK;
	return true;
}

/* An indirect jump: wherever any of them has gone. */
static void follow_table(struct region *r)
{
	for (unsigned i = 0; i < r->n_met && !r->indirect; i++)
		add_block(r, offset(r, r->met[i]), TARGET | BACK | TABLE);
	r->indirect = true;
}

/* jmpind: is its target read from a place that no register moves? */
static bool through_fixed_place(const struct insn *in)
{
	return in->opd[0].kind == OPD_MEM && in->index == NO_REG && (in->base == NO_REG || in->base == RIP_REG);
}

/* ---- functions ---- */

#define MAX_STRAIGHT	24	/* instructions of one */
#define MAX_AWAY	(1 << 22)	/* bytes from the head: struct x64_side */

static struct front_callee *callee_at(struct front *f, uint64_t rip)
{
	for (unsigned i = 0; i < f->n_callees; i++)
		if (f->callee[i].rip == rip)
			return &f->callee[i];
	return NULL;
}

/* Does it come to its return straight? Conditional jumps are to go behind that, or back beyond its begin. */
static bool is_straight(struct region *r, struct front_callee *c, unsigned room)
{
	uint64_t nearest = UINT64_MAX, to;
	struct insn in;

	for (unsigned i = 0; i < MAX_STRAIGHT; i++) {
		c->ret = c->n;
		if (insn_decode(c->bytes + c->n, room - c->n, &r->f->env, &in) != INSN_OK)
			return false;
		c->n += in.len;
		if (insn_row(&in)->does == DOES_ret)
			return in.opsize == 8 && !in.nopd && nearest >= c->n;
		if (insn_row(&in)->does == DOES_jcc) {
			r->f->next = c->rip + c->n;
			to = front_target(r->f, &in) - c->rip;
			if (to < nearest)
				nearest = to;
		} else if (insn_row(&in)->attr & A_END) {
			return false;
		}
	}
	return false;
}

/* The function that the call in front of `next` goes into, if it may be part of the region. */
static struct front_callee *callee_of(struct region *r, const struct insn *in, unsigned next)
{
	struct front *f = r->f;
	uint64_t rip;

	if (insn_row(in)->does != DOES_call || in->opsize != 8 || next >= r->n)
		return NULL;
	f->next = f->ir->rip + next;
	rip = front_target(f, in);
	return callee_at(f, rip);
}

static bool may_go_into(struct region *r, const struct insn *in, unsigned next)
{
	struct front *f = r->f;
	struct front_callee c = { 0 };
	unsigned room;

	if (!f->elsewhere || insn_row(in)->does != DOES_call || in->opsize != 8 || next >= r->n)
		return false;
	if (callee_of(r, in, next))
		return true;
	c.rip = front_target(f, in);
	if (f->n_callees == FRONT_CALLEES || c.rip - f->ir->rip + MAX_AWAY > 2 * MAX_AWAY ||
	    !(c.bytes = f->elsewhere(f->opaque, c.rip, &room)) || !is_straight(r, &c, room))
		return false;
	f->callee[f->n_callees++] = c;
	return true;
}

static void walk(struct region *r, unsigned off)
{
	struct insn in;

	while (off < r->n && r->n_insns < IR_MAX_REGION) {
		unsigned at = off;

		if (r->map[off] & BEGIN) {		/* runs into a block from above */
			r->map[off] |= BLOCK;
			return;
		}
		if (insn_decode(r->bytes + off, r->n - off, &r->f->env, &in) != INSN_OK)
			return;
		r->map[at] |= BEGIN;
		r->n_insns++;
		off += in.len;
		if (falls_through(&in) || insn_row(&in)->does == DOES_jmp) {
			if (!follow(r, &in, at, off))
				return;
		} else if (may_go_into(r, &in, off)) {
			r->map[off] |= BLOCK | TARGET;
		} else if (insn_row(&in)->attr & A_END) {
			if (insn_row(&in)->does == DOES_jmpind && through_fixed_place(&in))
				r->map[at] |= AWAY;
			else if (insn_row(&in)->does == DOES_jmpind)
				follow_table(r);
			return;
		}
	}
}

/* ---- which blocks are the loop ---- */

static bool is_block(const struct region *r, unsigned off)
{
	return (r->map[off] & (BLOCK | BEGIN)) == (BLOCK | BEGIN);
}

/* Does an indirect jump lead to the head, or to a block known to lead there? */
static bool table_leads_back(const struct region *r)
{
	for (unsigned i = 0; i < r->n_met; i++) {
		unsigned to = offset(r, r->met[i]);

		if (to < r->n && is_block(r, to) && r->map[to] & LOOP)
			return true;
	}
	return false;
}

/* Does the block at off go on to the head, or to a block known to lead there? */
static bool leads_back(struct region *r, unsigned off)
{
	struct insn in;
	unsigned to;

	do {
		insn_decode(r->bytes + off, r->n - off, &r->f->env, &in);
		off += in.len;
		r->f->next = front_cut(r->f, r->f->ir->rip + off);
		if (in.opd[0].kind == OPD_REL && insn_row(&in)->does != DOES_call) {
			to = offset(r, front_target(r->f, &in));
			if (to < r->n && r->map[to] & LOOP)
				return true;
		}
		if (insn_row(&in)->attr & A_END && !falls_through(&in) && !callee_of(r, &in, off))
			return insn_row(&in)->does == DOES_jmpind && !through_fixed_place(&in) && table_leads_back(r);
	} while (off < r->n && r->map[off] & BEGIN && !(r->map[off] & BLOCK));
	return off < r->n && is_block(r, off) && r->map[off] & LOOP;
}

static void find_loop(struct region *r)
{
	bool more = true;

	r->map[0] |= LOOP;
	while (more) {
		more = false;
		for (unsigned off = r->n; off-- > 0;)	/* ways mostly lead down the page: few rounds */
			if (is_block(r, off) && !(r->map[off] & LOOP) && leads_back(r, off)) {
				r->map[off] |= LOOP;
				more = true;
			}
	}
}

/* ---- translation ---- */

static void emit_label(struct region *r, unsigned off)
{
	struct uop *u = emit(r->f, UOP_label, 0, OP_NONE, OP_NONE, OP_NONE);

	u->insn = (uint16_t)r->f->ir->n_insns;		/* the one that comes now */
	u->imm = (int64_t)front_cut(r->f, r->f->ir->rip + off);
	u->c = (r->map[off] & BACK) != 0;
	u->aux = r->map[off] & TABLE ? U_TABLE : 0;
}

/* A jump to the place right behind it is none. */
static void drop_jump(struct region *r, unsigned off)
{
	struct ir *ir = r->f->ir;
	const struct uop *u = ir->uops + ir->n_uops - 1;

	if (ir->n_uops && u->op == UOP_jmp && u->c == 0 && (uint64_t)u->imm == front_cut(r->f, ir->rip + off))
		ir->n_uops--;
}

/* Room for one more instruction with a label and an exit. */
static bool room(const struct ir *ir)
{
	return ir->n_insns < IR_MAX_REGION && ir->n_uops < IR_MAX_UOPS - 2 * FRONT_MAX_UOPS;
}

/* An instruction of a function, at offset `at` of it; false: it is not what it seemed to be. */
static bool insn_of(struct region *r, const struct front_callee *c, unsigned at)
{
	struct front *f = r->f;
	struct uop *last;
	bool ends = false;

	if (!room(f->ir) ||
	    front_insn_at(f, c->bytes + at, c->n - at, (int32_t)(c->rip - f->ir->rip + at), &ends) == FRONT_TRUNCATED)
		return false;
	if (!ends)
		return true;
	last = f->ir->uops + f->ir->n_uops - 1;
	if (at == c->ret)
		return last->op == UOP_jmpind;
	if (last->op != UOP_jmp || last->c || (uint64_t)last->imm != f->next || last[-1].op != UOP_jcc)
		return false;
	f->ir->n_uops--;	/* jcc: go on behind it */
	f->done = false;
	return true;
}

/*
 * The last instruction was a call in front of offset next: its function instead of the jump there, and instead of its
 * return's jump one to the label at next, if that is what it returns to.
 */
static void go_into(struct region *r, struct front_callee *c, unsigned next)
{
	struct front *f = r->f;
	int64_t rip = (int64_t)(f->ir->rip + next);
	unsigned i = f->ir->n_insns;

	c->used = true;
	f->ir->n_uops--;
	f->done = false;
	for (unsigned at = 0; at < c->n && !r->failed; at = (unsigned)f->ir->off[f->ir->n_insns] - (unsigned)f->ir->off[i])
		r->failed = !insn_of(r, c, at);
	if (r->failed)
		return;
	f->ir->n_uops--;
	emit(f, UOP_mov, 8, OP_T0, OP_M, OP_NONE);
	emit_add_rsp(f, 8);
	emit_add(f, 8, OP_T0, OP_T0, -rip);
	emit(f, UOP_jrz, 8, OP_NONE, OP_T0, OP_NONE)->imm = rip;
	emit_add(f, 8, OP_T0, OP_T0, rip);
	emit(f, UOP_jmpind, 8, OP_NONE, OP_T0, OP_NONE);
	f->done = true;
}

/* The function called by the last instruction, which ends at offset next, if it was a call that did not fault. */
static struct front_callee *called(struct region *r, unsigned next)
{
	const struct ir *ir = r->f->ir;
	const struct uop *last = ir->uops + ir->n_uops - 1;

	return last->op == UOP_jmp && last->c == 1 ? callee_of(r, &ir->insns[ir->n_insns - 1], next) : NULL;
}

/* One block from off on; false: no room, nothing done. */
static bool block(struct region *r, unsigned off)
{
	struct front *f = r->f;
	struct ir *ir = f->ir;
	struct front_callee *c;
	bool ends = false;

	if (!room(ir))
		return false;
	drop_jump(r, off);
	if (r->map[off] & TARGET)
		emit_label(r, off);
	f->done = f->poll_next = f->shadow = false;
	do {
		if (front_insn(f, r->bytes, r->n, &off, &ends) == FRONT_TRUNCATED)
			break;
	} while (!ends && room(ir) && !(off < r->n && r->map[off] & BLOCK));
	if (off > ir->len)
		ir->len = off;
	if (ends && (c = called(r, off)))
		go_into(r, c, off);
	front_end(f, off);
	return true;
}

/* ---- where requests are looked at ---- */

#define MAX_NODES	64	/* labels; in regions with more, all that jumps from behind reach look */

/* The labels as a graph. */
struct flow {
	unsigned n;
	struct uop *label[MAX_NODES];
	uint64_t to[MAX_NODES];		/* a bit for each label it goes on to */
};

static int label_of(const struct flow *g, int64_t rip)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->label[i]->imm == rip)
			return (int)i;
	return -1;
}

static bool draw(struct flow *g, struct ir *ir)
{
	uint64_t table = 0;
	int at = -1, to;

	g->n = 0;
	for (unsigned i = 0; i < ir->n_uops; i++)
		if (ir->uops[i].op == UOP_label) {
			if (g->n == MAX_NODES)
				return false;
			g->to[g->n] = 0;
			table |= ir->uops[i].aux == U_TABLE ? BIT(g->n) : 0;
			g->label[g->n++] = &ir->uops[i];
		}
	for (unsigned i = 0; i < ir->n_uops; i++) {
		const struct uop *u = &ir->uops[i];

		if (u->op == UOP_label) {
			to = label_of(g, u->imm);
			if (at >= 0 && !uop_leaves(u - 1))
				g->to[at] |= BIT(to);
			at = to;
		} else if (at >= 0 && uop_jumps(u) && u->aux == U_INSIDE) {
			g->to[at] |= BIT(label_of(g, u->imm));
		} else if (at >= 0 && u->op == UOP_jmpind && u->aux == U_INSIDE) {
			g->to[at] |= table;
		}
	}
	return true;
}

/* Is there a round without a look at requests? Labels that lead nowhere are taken away until none is left. */
static bool looks_nowhere(const struct flow *g)
{
	uint64_t left = 0, gone;

	for (unsigned i = 0; i < g->n; i++)
		if (!g->label[i]->c)
			left |= BIT(i);
	do {
		gone = 0;
		for (unsigned i = 0; i < g->n; i++)
			if (left & BIT(i) && !(g->to[i] & left))
				gone |= BIT(i);
		left &= ~gone;
	} while (gone);
	return left;
}

/* One look a round is enough: outer loops leave it to the inner ones that they always pass. */
static void drop_looks(struct ir *ir)
{
	struct flow g;

	if (!draw(&g, ir))
		return;
	for (unsigned i = 0; i < g.n; i++)
		if (g.label[i]->c) {
			g.label[i]->c = 0;
			g.label[i]->c = looks_nowhere(&g);
		}
}

/* Jumps to blocks that are there need not leave. Is any of them a loop? */
static bool bind(struct region *r, const uint8_t *have)
{
	struct ir *ir = r->f->ir;
	bool loop = false, table = false;

	for (unsigned i = 0; i < ir->n_uops; i++)
		table |= ir->uops[i].op == UOP_label && ir->uops[i].aux == U_TABLE;
	for (unsigned i = 0; i < ir->n_uops; i++) {
		struct uop *u = &ir->uops[i];
		unsigned to = offset(r, (uint64_t)u->imm);

		if (u->op == UOP_jmpind && !u->c && table && (unsigned)ir->off[u->insn] < r->n &&
		    !(r->map[ir->off[u->insn]] & AWAY)) {
			u->aux = U_INSIDE;
			loop = true;
		}
		if (!uop_jumps(u) || to == r->n || !have[to])
			continue;
		u->aux = U_INSIDE;
		loop |= (int32_t)to <= ir->off[u->insn] && (unsigned)ir->off[u->insn] < r->n;
	}
	return loop;
}

/* ---- loops that are better off alone ---- */

/* Does it work on registers that stand in memory, unless a region has chosen others (tcg/x64/lower_swap.c)? */
static bool works_in_memory(const struct uop *u)
{
	return (u->a >= R8 && u->a <= R11) || (u->b >= R8 && u->b <= R11) ||
	       (u->op != UOP_probe && u->d >= R8 && u->d <= R11);
}

/* Does a loop that begins at µop `at` want its choice of registers, and calls no helper, which would forbid it? */
static bool may_choose(const struct ir *ir, unsigned at)
{
	bool wants = false, wants_so_far = false;

	for (unsigned i = at; i < ir->n_uops && uop_info[ir->uops[i].op].kind != K_CALL; i++) {
		const struct uop *u = &ir->uops[i];

		wants_so_far |= works_in_memory(u);
		if (i > at && uop_jumps(u) && u->aux == U_INSIDE && u->imm == ir->uops[at].imm)
			wants = wants_so_far;
	}
	return wants;
}

/* A region that calls helpers, around a loop that could choose its registers were it a region of its own? */
static bool holds_back_a_loop(const struct ir *ir)
{
	bool calls = false;

	for (unsigned i = 0; i < ir->n_uops; i++)
		calls |= uop_info[ir->uops[i].op].kind == K_CALL;
	for (unsigned i = 1; i < ir->n_uops && calls; i++)
		if (ir->uops[i].op == UOP_label && may_choose(ir, i))
			return true;
	return false;
}

static bool make(struct front *f, const uint8_t *bytes, unsigned n, const uint64_t *met, unsigned n_met, bool *failed)
{
	struct region r = { .f = f, .bytes = bytes, .n = n < REGION_BYTES ? n : REGION_BYTES, .met = met, .n_met = n_met };
	uint8_t have[REGION_BYTES] = { 0 };

	front_start(f);
	f->ir->len = f->n_callees = 0;
	add_block(&r, 0, 0);
	while (r.n_open)
		walk(&r, r.open[--r.n_open]);
	find_loop(&r);
	for (unsigned off = 0; off < r.n; off++)
		if (is_block(&r, off) && r.map[off] & LOOP) {
			if (!block(&r, off))
				break;
			have[off] = r.map[off] & TARGET;
		}
	*failed = r.failed;
	if (!bind(&r, have) || holds_back_a_loop(f->ir))
		return false;
	drop_looks(f->ir);
	return true;
}

bool front_region(struct front *f, const uint8_t *bytes, unsigned n, const uint64_t *met, unsigned n_met)
{
	bool failed, made = make(f, bytes, n, met, n_met, &failed);

	if (failed) {
		f->elsewhere = NULL;
		made = make(f, bytes, n, met, n_met, &failed);
	}
	return made;
}
