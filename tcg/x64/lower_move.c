/* Lowering of moves, extensions and conditions (lower_opd.h). */
#include "tcg/x64/lower_opd.h"

/* ---- moves ---- */

void lower_nop(struct lower *l, const struct uop *u) { (void)l; (void)u; }

/* Immediate to anything. */
static void mov_imm(struct lower *l, const struct uop *u)
{
	struct hop d = operand(l, u->d);

	if (u->d == l->tmp_slot)
		l->tmp_slot = OP_NONE;
	if (u->size == 8 || u->size == 4) {
		uint64_t v = (uint64_t)u->imm & size_mask(u->size);

		if (d.kind == HOP_REG) {
			mov_ri(C(l), d.reg, v);
		} else if (u->d == OP_M ? u->size == 4 || (int64_t)v == (int32_t)v : (int64_t)v == (int32_t)v) {
			store_imm(C(l), u->d == OP_M ? u->size : 8, d, (int32_t)v);
		} else {
			mov_ri(C(l), H_TMP, v);
			l->tmp_slot = OP_NONE;
			store(C(l), u->d == OP_M ? u->size : 8, d, H_TMP);
		}
		return;
	}
	store_imm(C(l), u->size, d, (int32_t)sext((uint64_t)u->imm, 8 * u->size));
}

/* 1 and 2 bytes: the rest of a register stays. */
static void mov_narrow(struct lower *l, const struct uop *u)
{
	struct hop d = operand(l, u->d);
	unsigned op = u->size == 1 ? 0x8a : 0x8b;

	if (is_hi(u->d) && !plain_byte(l, u->a)) {
		hi_down(l, u->d);
		ins(C(l), op, 1, u->d - OP_AH, operand(l, u->a));
		hi_up(l, u->d);
	} else if (is_hi(u->d)) {
		ins(C(l), op | X_HIREG, 1, u->d - OP_AH, operand(l, u->a));
	} else if (d.kind == HOP_REG && !(is_hi(u->a) && !plain_byte(l, u->d))) {
		ins(C(l), op, u->size, d.reg, operand(l, u->a));
	} else {
		int s = in_reg(l, u->size, u->a, 0, H_TMP);

		if (d.kind == HOP_REG)
			ins(C(l), op, u->size, d.reg, hop_reg(s));
		else
			store(C(l), u->size, d, s);
	}
}

void lower_mov(struct lower *l, const struct uop *u)
{
	struct hop d = operand(l, u->d);

	if (u->a == OP_IMM) {
		mov_imm(l, u);
	} else if (u->size < 4) {
		mov_narrow(l, u);
	} else if (d.kind == HOP_REG) {
		ins(C(l), 0x8b, u->size, d.reg, source(l, u->a));
	} else {
		int s = in_reg(l, u->size, u->a, 0, H_TMP);

		if (u->d != OP_M && u->size == 4) {	/* a slot: upper half cleared */
			mov_rr(C(l), 4, H_TMP, s);
			s = H_TMP;
		}
		store(C(l), u->d == OP_M ? u->size : 8, d, s);
		if (s == H_TMP && u->d != OP_M)
			l->tmp_slot = u->d;
		else if (u->d == l->tmp_slot)
			l->tmp_slot = OP_NONE;
	}
}

/* Narrow results (size 1, 2) are merged into the register. */
static void extend(struct lower *l, const struct uop *u, bool sign)
{
	struct hop s = source(l, u->a);
	int r = dest_reg(l, u);

	if (u->c >= u->size) {
		lower_mov(l, u);
		return;
	}
	if (is_hi(u->a)) {
		rorx(C(l), 4, H_TMP, hop_reg(u->a - OP_AH), 8);
		s = hop_reg(H_TMP);
		l->tmp_slot = OP_NONE;
	}
	if (u->size == 2 && is_slot(l, u->d)) {
		/* the old value is needed: work in r14, merge in memory */
		ins(C(l), X_0F | X_RM8 | (sign ? 0xbe : 0xb6), 4, H_M, s);
		store(C(l), 2, operand(l, u->d), H_M);
		return;
	}
	if (u->c == 1)
		ins(C(l), X_0F | X_RM8 | (sign ? 0xbe : 0xb6), u->size, r, s);
	else if (u->c == 2)
		ins(C(l), X_0F | (sign ? 0xbf : 0xb7), u->size, r, s);
	else if (sign)
		ins(C(l), 0x63, u->size, r, s);
	else
		load(C(l), 4, r, s);
	dest_done(l, u);
}

void lower_zext(struct lower *l, const struct uop *u) { extend(l, u, false); }
void lower_sext(struct lower *l, const struct uop *u) { extend(l, u, true); }

/* Both registers are the host's own. */
void lower_cwd(struct lower *l, const struct uop *u)
{
	if (u->size != 4)
		e8(C(l), u->size == 2 ? 0x66 : 0x48);
	e8(C(l), 0x99);
}

void lower_bswap(struct lower *l, const struct uop *u)
{
	int r = dest_reg(l, u);

	if (u->size == 2) {	/* movbe: ror r16, 8 without the flags */
		int s = in_reg(l, 2, u->a, 0, H_TMP);

		if (s != H_TMP)
			mov_rr(C(l), 8, H_TMP, s);
		e8(C(l), 0x41);
		e8(C(l), 0x0f);
		e8(C(l), 0xc8 | (H_TMP & 7));		/* bswap r15d */
		rorx(C(l), 4, H_TMP, hop_reg(H_TMP), 16);
		ins(C(l), 0x89, 2, H_TMP, operand(l, u->d));
		return;
	}
	if (u->d != u->a || is_slot(l, u->d)) {
		int s = in_reg(l, u->size, u->a, 0, H_TMP);

		mov_rr(C(l), u->size, r, s);
	}
	e8(C(l), (unsigned)((u->size == 8 ? 0x48 : 0x40) | r >> 3));
	e8(C(l), 0x0f);
	e8(C(l), (unsigned)(0xc8 | (r & 7)));
	if (u->d == OP_M)
		store(C(l), u->size, operand(l, OP_M), r);
	dest_done(l, u);
}

void lower_xchg(struct lower *l, const struct uop *u)
{
	unsigned op = u->size == 1 ? 0x86 : 0x87;
	bool hd = is_hi(u->d), hb = is_hi(u->b);

	if (hb && !plain_byte(l, u->d)) {		/* M or a REX register with AH..BH */
		hi_down(l, u->b);
		ins(C(l), op, 1, u->b - OP_AH, operand(l, u->d));
		hi_up(l, u->b);
	} else if (hd && !plain_byte(l, u->b)) {
		hi_down(l, u->d);
		ins(C(l), op, 1, host_reg(l, u->b), hop_reg(u->d - OP_AH));
		hi_up(l, u->d);
	} else if (hb) {
		ins(C(l), op | X_HIREG, 1, u->b - OP_AH, operand(l, u->d));
	} else if (is_slot(l, u->b)) {
		load(C(l), 8, H_TMP, operand(l, u->b));
		if (is_slot(l, u->d)) {
			load(C(l), 8, H_M, operand(l, u->d));
			ins(C(l), op, u->size, H_TMP, hop_reg(H_M));
			store(C(l), 8, operand(l, u->d), H_M);
		} else {
			ins(C(l), op, u->size, H_TMP, operand(l, u->d));
		}
		store(C(l), 8, operand(l, u->b), H_TMP);
	} else if (is_slot(l, u->d)) {
		load(C(l), 8, H_TMP, operand(l, u->d));
		ins(C(l), op, u->size, host_reg(l, u->b), hop_reg(H_TMP));
		store(C(l), 8, operand(l, u->d), H_TMP);
	} else {
		ins(C(l), op, u->size, host_reg(l, u->b), operand(l, u->d));
	}
}

void lower_ldenv(struct lower *l, const struct uop *u)
{
	int r = dest_reg(l, u);

	if (u->size == 2 && u->d < OP_T0) {	/* 16-bit destinations are asked for by zext */
		load(C(l), 2, H_TMP, hop_gs((int32_t)u->imm));
		ins(C(l), 0x89, 2, H_TMP, operand(l, u->d));
		return;
	}
	load(C(l), u->size, r, hop_gs((int32_t)u->imm));
	dest_done(l, u);
}

void lower_stenv(struct lower *l, const struct uop *u)
{
	if (u->a == OP_IMM)
		store_imm(C(l), u->size, hop_gs((int32_t)u->imm), (int16_t)u->aux);
	else
		store(C(l), u->size, hop_gs((int32_t)u->imm), in_reg(l, u->size, u->a, 0, H_TMP));
}

void lower_setrip(struct lower *l, const struct uop *u)
{
	if (u->a != OP_NONE)
		store(C(l), 8, hop_gs(CPU_OFF(rip)), in_reg(l, 8, u->a, 0, H_TMP));
	else
		set_rip(l, (uint64_t)u->imm);
}

/* ---- conditions ---- */

void lower_cmov(struct lower *l, const struct uop *u)
{
	int r = dest_reg(l, u);

	flags_op(l, u);
	if (is_slot(l, u->d))
		slot_to_tmp(l, u->d);
	ins(C(l), X_0F | 0x40 | u->c, u->size, r, source(l, u->b));
	dest_done(l, u);
}

void lower_setcc(struct lower *l, const struct uop *u)
{
	flags_op(l, u);
	ins(C(l), X_0F | 0x90 | u->c, 1, 0, operand(l, u->d));
}
