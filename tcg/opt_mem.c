/*
 * Shared page proofs: probes through the same base register, or the same two registers, in a small range
 * of displacements, need one look-up between them.
 *
 * The first probe of such a group (the leader) proves the whole range, in one
 * comparison; the back end then keeps the range's host address (or, in regions, "host
 * address minus linear address"), and the other probes (followers) become plain memory
 * operands, which leave flags alone.
 * A base alone may change by known constants in between, as the stack pointer does.
 * One proof at a time is kept in T0's register, where it costs nothing; groups
 * that overlap with it keep theirs in memory.
 *
 * In 32-bit code the sum of base and displacement wraps, the host address does
 * not: there the range includes the base itself, before and after each change,
 * so that the base cannot have wrapped either.
 *
 * If the range crosses a page, or the page cannot be used directly, the leader
 * leaves for a variant of the code from its instruction on that shares nothing
 * (MODE_NOSHARE). So a leader must be the first access of its instruction, with
 * no register of it written yet.
 *
 * A group ends where a register of the address gets an unknown value, C is called, another way joins
 * (a label), or the place of its proof is used: T0.
 */
#include "tcg/pass.h"

#define MAX_RANGE 256		/* a longer range crosses pages too often, and the back end keeps it in nine bits */
#define NONE	  UINT16_MAX
#define MAX_STEP  (1 << 30)	/* of the base: follower displacements fit 32 bits */

/* Can probe u share at all? */
static inline bool plain(const struct ir *ir, const struct uop *u)
{
	bool is64 = (ir->mode & MODE_CODE) == MODE_CODE64;
	int ad = u->c >> PROBE_ADSIZE & 3;

	if (u->a > R15 || (u->b > R15 && u->b != OP_NONE) || u->c & (PROBE_ALIGN | PROBE_NOSEG))
		return false;
	if (u->imm != (int32_t)u->imm || u->size > 64)
		return false;
	if (u->a == RSP && (u->imm > MAX_STEP || u->imm < -MAX_STEP))	/* opt_step adds to it */
		return false;
	if (u->d == FS || u->d == GS || (!is64 && u->d == CS && u->c & PROBE_W))	/* code cannot be written */
		return false;
	return is64 ? ad == 2 : ad == 1 && ir->mode & MODE_FLAT;
}

/* But for displacements. */
static bool same_address(const struct uop *u, const struct uop *v)
{
	return u->a == v->a && u->b == v->b && (u->b == OP_NONE || !((u->c ^ v->c) >> PROBE_SCALE & 3));
}

static bool uses_t0(const struct uop *u)
{
	return (uop_operand_bit[u->d] | uop_operand_bit[u->a] | uop_operand_bit[u->b]) & BIT(OP_T0);
}

struct group {
	int64_t lo, hi;		/* displacements from the leader's base value */
	unsigned last, n;
	bool write;
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* The range grown by one access, the base having moved by `off`. */
static struct group joined(const struct ir *ir, const struct group *g, const struct uop *u, unsigned i, int64_t off)
{
	struct group j = *g;

	j.lo = least(j.lo, u->imm + off);
	j.hi = most(j.hi, u->imm + off + u->size);
	if (off && (ir->mode & MODE_CODE) != MODE_CODE64) {
		j.lo = least(j.lo, least(off, 0));
		j.hi = most(j.hi, most(off, 0) + 1);
	}
	j.last = i;
	j.n++;
	j.write |= (u->c & PROBE_W) != 0;
	return j;
}

/* What is asked of each µop up to the last probe more than once. Bits 0 to 15: general registers that it writes. */
#define W_PLAIN	0x10000u	/* see plain() */
#define W_T0	0x20000u	/* uses T0 */
#define W_ENDS	0x40000u	/* no group goes on behind it */
struct walk {
	struct ir *ir;
	uint32_t what[IR_MAX_UOPS];
};

static uint32_t what(const struct ir *ir, const struct uop *u)
{
	return uop_gprs_written(u, ir->insns) | (uses_t0(u) ? W_T0 : 0) | (u->op == UOP_call || u->op == UOP_label ? W_ENDS : 0);
}

/* Range g, which goes from the leader to g->last, is proven: what its members have to know. */
static void follow(struct uop *u, const struct group *g, unsigned place, int64_t off)
{
	u->aux = (uint16_t)(PROBE_FOLLOWER | place << PROBE_PLACE);
	u->pad = (uint16_t)(u->imm + off - g->lo);
	u->imm -= g->lo;
}

/*
 * Which accesses up to number `end` can share the proof of probe `first`? All of them, and those in front of
 * the first use of T0. Or, without in_t0, note in them that the proof is kept in `place`.
 */
static void walk(struct walk *w, unsigned first, unsigned end, struct group *g, struct group *in_t0, unsigned place)
{
	struct ir *ir = w->ir;
	const struct uop *l = &ir->uops[first];
	uint32_t regs = (uint32_t)(BIT(l->a) | (l->b == OP_NONE ? 0 : BIT(l->b)));
	uint32_t want = regs | W_PLAIN | W_ENDS | (in_t0 ? W_T0 : 0);
	int64_t off = 0, step;

	for (unsigned i = first + 1; i <= end; i++) {
		struct uop *u = &ir->uops[i];
		uint32_t is = w->what[i] & want;

		if (!is)
			continue;
		if (is & W_ENDS)
			break;
		if (is & W_T0) {
			*in_t0 = *g;
			want &= ~W_T0;
		}
		if (is & regs && l->b == OP_NONE && uop_constant_step(ir, u, l->a, &step)) {
			off += step;
			if (off > MAX_STEP || off < -MAX_STEP)
				break;
		} else if (is & W_PLAIN && same_address(u, l) && !u->aux) {
			struct group j = joined(ir, g, u, i, off);

			if (j.hi - j.lo > MAX_RANGE)
				continue;
			if (in_t0)
				*g = j;
			else
				follow(u, g, place, off);
		} else if (is & regs) {
			break;
		}
	}
	if (want & W_T0)
		*in_t0 = *g;
}

/* Nothing of the leader's instruction has happened yet. */
static bool at_start(const struct walk *w, unsigned i)
{
	const struct ir *ir = w->ir;
	unsigned insn = ir->uops[i].insn;

	while (i-- && ir->uops[i].insn == insn)
		if (ir->uops[i].op == UOP_probe || w->what[i] & 0xffff ||
		    uop_info[ir->uops[i].op].kind == K_CALL || ir->uops[i].op == UOP_plug_add || ir->uops[i].op == UOP_plug_log)
			return false;
	return true;
}

/*
 * The place for a group led by probe i, and the group; until[] is the last µop
 * that needs what is kept there. T0's register if no member is lost by that.
 */
static unsigned choose(struct walk *w, unsigned i, unsigned end, const unsigned *until, struct group *g)
{
	const struct uop *u = &w->ir->uops[i];
	struct group in_t0;
	unsigned place = 1;

	while (place < PROBE_PLACES && until[place] > i)
		place++;
	*g = (struct group){ u->imm, u->imm + u->size, i, 1, u->c & PROBE_W };
	walk(w, i, end, g, &in_t0, 0);
	if (until[0] > i)
		in_t0.n = 0;
	if (place < PROBE_PLACES && in_t0.n < g->n)
		return place;
	*g = in_t0;
	return 0;
}

/*
 * The last probe that could share with others of that base register, and the number behind all of those: 0 if no
 * base has two. Notes what probes are.
 */
static unsigned find_last(struct walk *w, uint16_t *last)
{
	const struct ir *ir = w->ir;
	unsigned end = 0;
	bool two = false;

	for (unsigned i = 0; i < ir->n_uops; i++) {
		const struct uop *u = &ir->uops[i];

		if (u->op != UOP_probe)
			continue;
		w->what[i] = uses_t0(u) ? W_T0 : 0;
		if (!plain(ir, u))
			continue;
		w->what[i] |= W_PLAIN;
		two |= last[u->a] != NONE;
		last[u->a] = (uint16_t)i;
		end = i + 1;
	}
	return two ? end : 0;
}

void opt_mem(struct ir *ir)
{
	unsigned until[PROBE_PLACES] = { 0 }, place, end;
	uint16_t last[NGPR];
	struct walk w;

	if (ir->mode & MODE_AC)		/* every access checks its alignment */
		return;
	w.ir = ir;
	for (unsigned i = 0; i < NGPR; i++)
		last[i] = NONE;
	end = find_last(&w, last);
	for (unsigned i = 0; i < end; i++)
		if (ir->uops[i].op != UOP_probe)
			w.what[i] = what(ir, &ir->uops[i]);
	for (unsigned i = 0; i < end; i++) {
		struct uop *u = &ir->uops[i];
		struct group g;

		if (!(w.what[i] & W_PLAIN) || u->aux || last[u->a] <= i || !at_start(&w, i))
			continue;
		place = choose(&w, i, last[u->a], until, &g);
		if (g.n < 2)
			continue;
		walk(&w, i, g.last, &g, NULL, place);
		u->aux = (uint16_t)(PROBE_LEADER | (g.write ? PROBE_GROUP_W : 0) | place << PROBE_PLACE);
		u->pad = (uint16_t)(u->imm - g.lo);
		u->flx = (uint16_t)(g.hi - g.lo);
		until[place] = g.last;
	}
}
