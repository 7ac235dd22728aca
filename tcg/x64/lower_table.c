/*
 * Indirect jumps inside a region, to targets that are blocks of the region: a
 * table beside its cold code has the host address of each, by distance from the
 * lowest of them. What stands between the targets, or outside, leaves the region
 * as any indirect jump does.
 *
 * Who leaves may need the guest's flags, the targets inside mostly do not. If the
 * instruction that made the flags is a plain one whose operands are still there,
 * nothing is saved on the way to a target; who leaves makes the flags again.
 */
#include "tcg/x64/lower.h"

struct range {
	uint64_t lo, span;
	uint16_t needs;		/* flags that targets read */
};

static struct range targets(const struct ir *ir)
{
	struct range t = { ~0ull, 0, 0 };
	uint64_t hi = 0;

	for (unsigned i = 0; i < ir->n_uops; i++) {
		const struct uop *u = &ir->uops[i];

		if (u->op != UOP_label || u->aux != U_TABLE)
			continue;
		t.lo = min_u64(t.lo, (uint64_t)u->imm);
		hi = max_u64(hi, (uint64_t)u->imm);
		t.needs |= u->fl;
	}
	t.span = hi - t.lo + 1;
	return t;
}

/* ---- flags ---- */

static bool is_register(int op) { return op <= R15; }

/* Can the flags of u be made again from what it leaves behind, and from which registers? */
static bool repeatable(const struct uop *u, uint32_t *from)
{
	if (u->size < 4 || !is_register(u->a) || !(is_register(u->b) || u->b == OP_IMM))
		return false;
	*from = (uint32_t)(BIT(u->a) | (is_register(u->b) ? BIT(u->b) : 0));
	switch (u->op) {
	case UOP_cmp: case UOP_test:
		return true;
	case UOP_add: case UOP_sub:
		return u->d == u->a && u->d != u->b;
	case UOP_and: case UOP_or: case UOP_xor:
		*from = (uint32_t)BIT(u->d);
		return is_register(u->d);
	default:
		return false;
	}
}

/* The µop whose flags stand in front of u, if they can be made again there. */
static const struct uop *maker(const struct lower *l, const struct uop *u)
{
	uint32_t written = 0, from;

	while (u-- > l->ir->uops && u->op != UOP_label) {
		if (uop_flags_written(u, l->ir->insns))
			return repeatable(u, &from) && !(from & written) ? u : NULL;
		written |= uop_gprs_written(u, l->ir->insns);
	}
	return NULL;
}

static void alu(struct lower *l, int op, const struct uop *m)
{
	if (m->b == OP_IMM)
		alu_ri(&l->c, op, m->size, hop_reg(H_TMP), (int32_t)m->imm);
	else
		alu_rm(&l->c, op, m->size, H_TMP, operand(l, m->b));
}

static void make_again(struct lower *l, const struct uop *m)
{
	load(&l->c, 8, H_TMP, operand(l, m->op == UOP_cmp || m->op == UOP_test ? m->a : m->d));
	switch (m->op) {
	case UOP_add:
		alu(l, ALU_SUB, m);
		alu(l, ALU_ADD, m);
		break;
	case UOP_sub:
		alu(l, ALU_ADD, m);
		alu(l, ALU_SUB, m);
		break;
	case UOP_cmp:
		alu(l, ALU_CMP, m);
		break;
	case UOP_test:
		alu(l, ALU_AND, m);
		break;
	default:
		ins(&l->c, 0x85, m->size, H_TMP, hop_reg(H_TMP));
	}
	l->flags = FLAGS_HOST;
}

/* ---- jumps ---- */

static void cold_miss(struct lower *l, struct cold *k)
{
	k->start = here(&l->c);
	cold_land(l, k);
	l->flags = FLAGS_MEM;
	if (k->maker) {
		make_again(l, k->maker);
		flags_save(l, FL_ARITH);
	}
	leave_indirect(l);
}

bool table_jump(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	struct labels *s = &l->labels;
	struct range t = targets(l->ir);
	const struct uop *m = NULL;
	struct cold *k;

	if (t.span * 8 > TABLE_ROOM / MAX_TABLES || s->n_tables == MAX_TABLES)
		return false;
	if (l->flags == FLAGS_HOST && !t.needs)
		m = maker(l, u);
	if (!m)
		flags_save(l, FL_ARITH);
	mov_rr(c, u->size, H_M, in_reg(l, u->size, u->a, 0, H_M));
	mov_ri(c, H_TMP, -t.lo);
	alu_rm(c, ALU_ADD, 8, H_TMP, hop_reg(H_M));
	alu_ri(c, ALU_CMP, 8, hop_reg(H_TMP), (int32_t)t.span);
	k = cold_new(l, cold_miss);
	k->at[0] = jcc_rel32(c, CC_NC);
	k->maker = m;
	lea_rip(c, H_T0);
	s->table[s->n_tables++] = (struct table){ c->p - 4, k, t.lo, (unsigned)t.span };
	ins(c, 0xff, 4, 4, hop_sib(H_T0, H_TMP, 3, 0));
	l->flags = FLAGS_MEM;
	return true;
}

void bind_tables(struct lower *l)
{
	const struct labels *s = &l->labels;

	for (unsigned i = 0; i < s->n_tables; i++) {
		const struct table *t = &s->table[i];
		uint8_t *at = (uint8_t *)align_up((uintptr_t)l->c.p, 64);

		fix32(&l->c, t->rel32, at + l->c.rx);
		for (unsigned k = 0; k < t->n; k++)
			st64(at + 8 * k, (uint64_t)(uintptr_t)t->miss->start);
		for (unsigned k = 0; k < s->n; k++)
			if (s->label[k].table)
				st64(at + 8 * (s->label[k].rip - t->lo), (uint64_t)(uintptr_t)(s->label[k].at + l->c.rx));
		l->c.p = at + 8 * t->n;
	}
}
