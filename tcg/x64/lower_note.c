/*
 * Flags noted instead of saved: where they have to leave the host's, and this code reads them no more, two or three
 * stores say what they come from (cpu/cpu.h, NOTE_*), which is cheaper than LAHF, SETO and a store. Hardly anybody ever
 * asks: most flags at calls, returns and exits are overwritten before somebody reads them. Who does finds the note by
 * bit 3 of cpu->cc, and has it worked out.
 *
 * Inside regions flags are saved: their labels are come to often, from wherever.
 */
#include "tcg/x64/lower.h"

#define CC_HIGH	(CPU_OFF(cc) + 1)

/* RSP has been moved by step since the flags were made. Destroys r15. */
static void store_operand(struct lower *l, unsigned i, int op, int64_t step)
{
	struct hop at = hop_gs(CPU_OFF(note) + 8 * (int32_t)i);
	int r = host_reg(l, op);

	if (op == RSP && step) {
		ins(&l->c, 0x8d, 8, H_TMP, hop_mem(r, (int32_t)-step));
		r = H_TMP;
	} else if (r < 0) {
		r = H_TMP;
		load(&l->c, 8, r, operand(l, op));
	}
	store(&l->c, 8, at, r);
}

static bool compares(const struct uop *maker) { return maker->op == UOP_cmp || maker->op == UOP_test; }

static uint32_t kind_of(const struct uop *maker)
{
	bool memory = maker->b == OP_M;

	switch (maker->op) {
	case UOP_cmp: return NOTE_SUB;
	case UOP_sub: return memory ? NOTE_TAKEN : NOTE_DIFFERENCE;
	case UOP_add: return memory ? NOTE_GIVEN : NOTE_SUM;
	default: return NOTE_AND;
	}
}

/* b of the note: the part of it that stands in cpu->cc. */
static uint32_t note_b(struct lower *l, const struct uop *maker, uint32_t kind, int64_t step)
{
	if (kind == NOTE_AND && (!compares(maker) || maker->a == maker->b))
		return 0xffff0000;		/* a is the result */
	if (maker->b == OP_IMM && maker->imm == (int16_t)maker->imm)
		return (uint32_t)maker->imm << 16;
	if (maker->b == OP_IMM)
		store_imm(&l->c, 8, hop_gs(CPU_OFF(note) + 8), (int32_t)maker->imm);
	else if (maker->b == OP_M)
		store_operand(l, 1, maker->d, step);
	else
		store_operand(l, 1, maker->b, 0);
	return NOTE_B;
}

void lower_note(struct lower *l, const struct uop *maker, int64_t step)
{
	uint32_t kind = kind_of(maker), note = NOTE | kind | (uint32_t)__builtin_ctz(maker->size) << NOTE_SIZE;

	if (maker != l->ahead)
		store_operand(l, 0, compares(maker) ? maker->a : maker->d, step);
	note |= note_b(l, maker, kind, step);
	store_imm(&l->c, 4, hop_gs(CPU_OFF(cc)), (int32_t)note);
	l->tmp_slot = OP_NONE;
	l->noted = true;
}

const struct uop *note_maker(struct lower *l, int64_t *step)
{
	const struct uop *maker = flags_maker(l->ir, l->u, step);
	bool sums = maker && (maker->op == UOP_add || maker->op == UOP_sub);

	return maker && *step == (int32_t)*step && (!sums || maker->b != OP_M || maker == l->ahead) ? maker : NULL;
}

void note_ahead(struct lower *l, const struct uop *u)
{
	if (!(u->fl & ~FL_CF) || u->a != u->d ||
	    u->a > R15 || host_reg(l, u->a) < 0 || l->ir->mode & MODE_REGION || flags_read_behind(l->ir, u + 1))
		return;
	store_operand(l, 0, u->a, 0);
	l->ahead = u;
}

static bool note(struct lower *l)
{
	int64_t step;
	const struct uop *maker = note_maker(l, &step);

	if (maker)
		lower_note(l, maker, step);
	return maker;
}

bool note_inside(struct lower *l)
{
	return !(l->ir->mode & MODE_REGION) && !flags_read_behind(l->ir, l->u) && note(l);
}

bool note_leaving(struct lower *l)
{
	return !l->out->n_swaps && note(l);
}

static void cold_work_out(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	call_to(&l->c, l->x->stubs.work_out);
	jmp_to(&l->c, k->back + l->c.rx);
}

void flags_work_out(struct lower *l)
{
	struct cold *k;

	if (!l->noted)
		return;
	ins_imm(&l->c, 0xf6, 1, 0, hop_gs(CC_HIGH), 1, NOTE >> 8);	/* test */
	k = cold_new(l, cold_work_out);
	k->at[0] = jcc_rel32(&l->c, CC_NZ);
	k->back = l->c.p;
	l->noted = false;
}
