/*
 * Indirect jumps inside a region, to targets that are blocks of the region: a
 * table beside its cold code has the host address of each, by distance from the
 * lowest of them. What stands between the targets, or outside, leaves the region
 * as any indirect jump does.
 *
 * Who leaves may need the guest's flags, the targets inside mostly do not. If the
 * instruction that made the flags is a plain one whose operands are still there,
 * nothing is saved on the way to a target; who leaves notes them (lower_note.c).
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

/* ---- jumps ---- */

static void cold_miss(struct lower *l, struct cold *k)
{
	k->start = here(&l->c);
	cold_land(l, k);
	mov_rr(&l->c, 8, H_M, k->base);
	l->flags = FLAGS_MEM;
	if (k->maker)
		lower_note(l, k->maker, k->step);
	lower_tally(l, ROAM_TABLE);
	leave_indirect(l);
}

bool table_jump(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	struct labels *s = &l->labels;
	struct range t = targets(l->ir);
	const struct uop *m = NULL;
	int64_t step = 0;
	struct cold *k;
	int to;

	if (t.span * 8 > TABLE_ROOM / MAX_TABLES || s->n_tables == MAX_TABLES)
		return false;
	if (l->flags == FLAGS_HOST && !t.needs)
		m = note_maker(l, &step);
	if (!m)
		flags_save(l, FL_ARITH);
	to = in_reg(l, u->size, u->a, 0, H_M);
	if (u->size != 8 || to == H_TMP || to == H_T0) {	/* who misses needs it yet */
		mov_rr(c, u->size, H_M, to);
		to = H_M;
	}
	if (t.lo <= INT32_MAX || -t.lo <= INT32_MAX) {
		ins(c, 0x8d, 8, H_TMP, hop_mem(to, (int32_t)-t.lo));
	} else {
		mov_ri(c, H_TMP, -t.lo);
		alu_rm(c, ALU_ADD, 8, H_TMP, hop_reg(to));
	}
	alu_ri(c, ALU_CMP, 8, hop_reg(H_TMP), (int32_t)t.span);
	k = cold_new(l, cold_miss);
	k->at[0] = jcc_rel32(c, CC_NC);
	k->base = to;
	k->maker = m;
	k->step = step;
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
