/* Lowering of bit operations, counts and BMI (lower_opd.h). */
#include "tcg/x64/lower_opd.h"

/* ---- bits ---- */

/*
 * Register bit numbers count modulo the operand size, but the host's memory
 * form would walk away from M: load M, or mask the number (pext: no flags).
 */
static void bit_mem_reg(struct lower *l, int digit, const struct uop *u)
{
	struct code *c = C(l);
	int s = in_reg(l, 8, u->b, 0, H_TMP);
	int k = u->size == 2 ? 0 : u->size == 4 ? 1 : 2;

	/* pext r15d, s, [mask] leaves the low bits of s */
	e8(c, 0xc4);
	e8(c, 0x62);
	e8(c, (unsigned)((~s & 15) << 3 | 2));
	e8(c, 0xf5);
	e8(c, 0x3d);
	e32(c, 0);
	fix32(c, c->p - 4, l->x->stubs.shift_mask + 8 * k);
	ins(c, X_0F | (unsigned)(0x83 | digit << 3) | (lock_of(u) ? X_LOCK : 0), u->size, H_TMP, operand(l, OP_M));
}

static void bit(struct lower *l, int digit, const struct uop *u)
{
	struct hop a = operand(l, u->a);
	unsigned lock = lock_of(u) ? X_LOCK : 0;

	flags_op(l, u);
	if (u->b == OP_IMM) {
		if (is_slot(l, u->a)) {
			load(C(l), 8, H_TMP, a);
			a = hop_reg(H_TMP);
		}
		ins_imm(C(l), X_0F | 0xba | lock, u->size, digit, a, 1, u->imm & (8 * u->size - 1));
		if (u->d != OP_NONE)
			dest_done(l, u);
		return;
	}
	if (u->a == OP_M) {
		bit_mem_reg(l, digit, u);
		return;
	}
	int s = in_reg(l, 8, u->b, 0, H_TMP);

	if (is_slot(l, u->a)) {
		load(C(l), 8, H_M, a);
		ins(C(l), X_0F | (unsigned)(0x83 | digit << 3), u->size, s, hop_reg(H_M));
		if (u->d != OP_NONE)
			store(C(l), 8, a, H_M);
	} else {
		ins(C(l), X_0F | (unsigned)(0x83 | digit << 3), u->size, s, a);
	}
}

void lower_bt(struct lower *l, const struct uop *u) { bit(l, 4, u); }
void lower_bts(struct lower *l, const struct uop *u) { bit(l, 5, u); }
void lower_btr(struct lower *l, const struct uop *u) { bit(l, 6, u); }
void lower_btc(struct lower *l, const struct uop *u) { bit(l, 7, u); }

/* d = f(s): 0F op, d's old value kept in part (bsf of 0, 16-bit results). */
static void unary(struct lower *l, unsigned op, const struct uop *u, int src)
{
	flags_op(l, u);
	if (is_slot(l, u->d))
		slot_to_tmp(l, u->d);
	ins(C(l), op, u->size, dest_reg(l, u), source(l, src));
	dest_done(l, u);
}

void lower_bsf(struct lower *l, const struct uop *u) { unary(l, X_0F | 0xbc, u, u->b); }
void lower_bsr(struct lower *l, const struct uop *u) { unary(l, X_0F | 0xbd, u, u->b); }
void lower_tzcnt(struct lower *l, const struct uop *u) { unary(l, X_0F | X_F3 | 0xbc, u, u->a); }
void lower_lzcnt(struct lower *l, const struct uop *u) { unary(l, X_0F | X_F3 | 0xbd, u, u->a); }
void lower_popcnt(struct lower *l, const struct uop *u) { unary(l, X_0F | X_F3 | 0xb8, u, u->a); }
void lower_adcx(struct lower *l, const struct uop *u) { unary(l, X_0F38 | X_66 | 0xf6, u, u->b); }
void lower_adox(struct lower *l, const struct uop *u) { unary(l, X_0F38 | X_F3 | 0xf6, u, u->b); }

void lower_crc32(struct lower *l, const struct uop *u)
{
	struct hop s = operand(l, u->b);
	int r = dest_reg(l, u);

	if (is_hi(u->b)) {
		rorx(C(l), 4, H_M, hop_reg(u->b - OP_AH), 8);
		s = hop_reg(H_M);
	}
	if (is_slot(l, u->d))
		load(C(l), 8, H_TMP, operand(l, u->d));
	if (u->c == 1)
		ins(C(l), X_0F38 | X_F2 | X_RM8 | 0xf0, u->size, r, s);
	else
		ins(C(l), X_0F38 | X_F2 | (u->c == 2 ? X_66 : 0) | 0xf1, u->size == 8 || u->c == 8 ? 8 : 4, r, s);
	dest_done(l, u);
}

/* ---- BMI ---- */

void lower_andn(struct lower *l, const struct uop *u)
{
	flags_op(l, u);
	int v = in_reg(l, 8, u->a, 0, H_TMP);

	ins_vex(C(l), 2, 0, u->size == 8, 0, 0xf2, dest_reg(l, u), v, operand(l, u->b));
	dest_done(l, u);
}

/* d = f(a in rm, b in vvvv) */
static void bmi_rmv(struct lower *l, int op, const struct uop *u)
{
	flags_op(l, u);
	int v = in_reg(l, 8, u->b, 0, H_TMP);

	ins_vex(C(l), 2, 0, u->size == 8, 0, op, dest_reg(l, u), v, operand(l, u->a));
	dest_done(l, u);
}

void lower_bextr(struct lower *l, const struct uop *u) { bmi_rmv(l, 0xf7, u); }
void lower_bzhi(struct lower *l, const struct uop *u) { bmi_rmv(l, 0xf5, u); }

/* Group 17: the destination is in vvvv. */
static void bls(struct lower *l, int digit, const struct uop *u)
{
	flags_op(l, u);
	ins_vex(C(l), 2, 0, u->size == 8, 0, 0xf3, digit, dest_reg(l, u), operand(l, u->a));
	dest_done(l, u);
}

void lower_blsr(struct lower *l, const struct uop *u) { bls(l, 1, u); }
void lower_blsmsk(struct lower *l, const struct uop *u) { bls(l, 2, u); }
void lower_blsi(struct lower *l, const struct uop *u) { bls(l, 3, u); }

/* d = f(a in vvvv, mask b in rm) */
static void pdep_pext(struct lower *l, int pp, const struct uop *u)
{
	int v = in_reg(l, 8, u->a, 0, H_TMP);

	ins_vex(C(l), 2, pp, u->size == 8, 0, 0xf5, dest_reg(l, u), v, operand(l, u->b));
	dest_done(l, u);
}

void lower_pext(struct lower *l, const struct uop *u) { pdep_pext(l, 2, u); }
void lower_pdep(struct lower *l, const struct uop *u) { pdep_pext(l, 3, u); }
