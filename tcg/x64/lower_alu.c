/* Lowering of arithmetic, shifts, exchanges and flags (lower_opd.h). */
#include "tcg/x64/lower_opd.h"

/* ---- two-operand arithmetic ---- */

/* d op= s for byte operands of which one is AH..BH. */
static void alu_hi(struct lower *l, int op, const struct uop *u)
{
	int d = u->a, s = u->b;

	if (s == OP_IMM) {
		alu_ri(C(l), op, 1, operand(l, d), (int8_t)u->imm);
	} else if (plain_byte(l, d) && plain_byte(l, s)) {
		if (is_hi(d))
			ins(C(l), (unsigned)(op << 3 | 2) | X_HIREG, 1, d - OP_AH, operand(l, s));
		else
			ins(C(l), (unsigned)(op << 3) | X_HIREG, 1, s - OP_AH, operand(l, d));
	} else if (is_hi(d)) {
		hi_down(l, d);
		alu_rm(C(l), op, 1, d - OP_AH, operand(l, s));
		hi_up(l, d);
	} else {
		rorx(C(l), 4, H_TMP, hop_reg(s - OP_AH), 8);
		ins(C(l), (unsigned)(op << 3) | (lock_of(u) ? X_LOCK : 0), 1, H_TMP, operand(l, d));
	}
}

static void alu2(struct lower *l, int op, const struct uop *u)
{
	struct hop d = operand(l, u->a);
	unsigned w = u->size > 1;
	unsigned lock = lock_of(u) ? X_LOCK : 0;

	flags_op(l, u);
	if (u->d != OP_NONE && u->d != u->a) {		/* three operands: d != b */
		struct uop mv = *u;

		mv.b = OP_NONE;
		lower_mov(l, &mv);
		d = operand(l, u->d);
	}
	if (u->size == 1 && (is_hi(u->a) || is_hi(u->b))) {
		alu_hi(l, op, u);
		return;
	}
	if (d.kind == HOP_REG) {
		if (u->b == OP_IMM)
			alu_ri(C(l), op, u->size, d, (int32_t)u->imm);
		else
			alu_rm(C(l), op, u->size, d.reg, source(l, u->b));
		return;
	}
	if (u->d == OP_NONE && u->a == l->tmp_slot && u->a != u->b)
		d = hop_reg(H_TMP);
	if (d.kind == HOP_MEM || u->d == OP_NONE) {	/* M, or a slot that is only read */
		if (u->b == OP_IMM) {
			if (lock)
				e8(C(l), 0xf0);
			alu_ri(C(l), op, u->size, d, (int32_t)u->imm);
		} else {
			int s;

			if (d.kind == HOP_REG) {	/* r15 against anything */
				alu_rm(C(l), op, u->size, H_TMP, operand(l, u->b));
				return;
			}
			s = in_reg(l, u->size, u->b, 0, H_TMP);
			ins(C(l), (unsigned)(op << 3) | w | lock, u->size, s, d);
		}
		return;
	}
	slot_to_tmp(l, u->d);
	if (u->b == OP_IMM)
		alu_ri(C(l), op, u->size, hop_reg(H_TMP), (int32_t)u->imm);
	else
		alu_rm(C(l), op, u->size, H_TMP, source(l, u->b));
	dest_done(l, u);
}

#define ALU2(name, op) void lower_##name(struct lower *l, const struct uop *u) { alu2(l, op, u); }
ALU2(add, ALU_ADD)
ALU2(adc, ALU_ADC)
ALU2(sub, ALU_SUB)
ALU2(sbb, ALU_SBB)
ALU2(and, ALU_AND)
ALU2(or, ALU_OR)
ALU2(xor, ALU_XOR)
ALU2(cmp, ALU_CMP)

void lower_test(struct lower *l, const struct uop *u)
{
	struct hop d = operand(l, u->a);

	flags_op(l, u);
	if (u->b == OP_IMM) {
		ins_imm(C(l), u->size == 1 ? 0xf6 : 0xf7, u->size, 0, d, u->size > 4 ? 4 : u->size, u->imm);
	} else if (is_hi(u->b) && plain_byte(l, u->a)) {
		ins(C(l), 0x84 | X_HIREG, 1, u->b - OP_AH, d);
	} else if (is_hi(u->a) && !plain_byte(l, u->b)) {
		int s = in_reg(l, 1, u->a, 0, H_TMP);

		ins(C(l), 0x84, 1, s, operand(l, u->b));
	} else {
		int s = in_reg(l, u->size, u->b, 0, H_TMP);

		ins(C(l), u->size == 1 ? 0x84 : 0x85, u->size, s, d);
	}
}

/* One operand, d == a: opcode byte / word and /digit. */
static void alu1(struct lower *l, unsigned op, int digit, const struct uop *u)
{
	struct hop d = operand(l, u->d);

	op |= u->size > 1;
	if (u->d != u->a) {
		struct uop mv = *u;

		lower_mov(l, &mv);
	}
	if (is_slot(l, u->d)) {
		slot_to_tmp(l, u->d);
		ins(C(l), op, u->size, digit, hop_reg(H_TMP));
		dest_done(l, u);
		return;
	}
	ins(C(l), op | (lock_of(u) ? X_LOCK : 0), u->size, digit, d);
}

void lower_not(struct lower *l, const struct uop *u) { alu1(l, 0xf6, 2, u); }
void lower_neg(struct lower *l, const struct uop *u) { flags_op(l, u); alu1(l, 0xf6, 3, u); }
void lower_inc(struct lower *l, const struct uop *u) { flags_op(l, u); alu1(l, 0xfe, 0, u); }
void lower_dec(struct lower *l, const struct uop *u) { flags_op(l, u); alu1(l, 0xfe, 1, u); }

/* ---- shifts ---- */

static void shift3(struct lower *l, int pp, const struct uop *u);

/* shl, shr, sar by CL whose flags nobody wants: shlx and its like touch none. */
static bool shift_without_flags(struct lower *l, int digit, const struct uop *u)
{
	static const int pp[8] = { [4] = 1, [5] = 3, [7] = 2 };

	if (u->b == OP_IMM || u->size < 4 || !pp[digit] || u->d == OP_M ||
	    u->fl & uop_flags_written(u, l->ir->insns))
		return false;
	struct uop x = *u;
	x.b = RCX;
	shift3(l, pp[digit], &x);
	return true;
}

static void shift(struct lower *l, int digit, const struct uop *u)
{
	struct hop d = operand(l, u->d);
	unsigned w = u->size > 1;

	if (shift_without_flags(l, digit, u))
		return;
	flags_op(l, u);
	if (u->d != u->a) {
		struct uop mv = *u;

		mv.b = OP_NONE;
		lower_mov(l, &mv);
	}
	if (is_slot(l, u->d)) {
		slot_to_tmp(l, u->d);
		d = hop_reg(H_TMP);
	}
	if (u->b == OP_IMM)
		ins_imm(C(l), 0xc0 | w, u->size, digit, d, 1, u->imm);
	else
		ins(C(l), 0xd2 | w, u->size, digit, d);
	dest_done(l, u);
}

#define SHIFT(name, digit) void lower_##name(struct lower *l, const struct uop *u) { shift(l, digit, u); }
SHIFT(rol, 0)
SHIFT(ror, 1)
SHIFT(rcl, 2)
SHIFT(rcr, 3)
SHIFT(shl, 4)
SHIFT(shr, 5)
SHIFT(sar, 7)

static void shift_double(struct lower *l, unsigned op, const struct uop *u)
{
	struct hop d = operand(l, u->d);
	int s;

	flags_op(l, u);
	s = host_reg(l, u->b);
	if (is_slot(l, u->d)) {
		load(C(l), 8, H_TMP, d);
		d = hop_reg(H_TMP);
		if (s < 0) {
			load(C(l), 8, H_M, operand(l, u->b));
			s = H_M;
		}
	} else if (s < 0) {
		load(C(l), 8, H_TMP, operand(l, u->b));
		s = H_TMP;
	}
	if (u->c)
		ins(C(l), X_0F | (op + 1), u->size, s, d);
	else
		ins_imm(C(l), X_0F | op, u->size, s, d, 1, u->imm);
	dest_done(l, u);
}

void lower_shld(struct lower *l, const struct uop *u) { shift_double(l, 0xa4, u); }
void lower_shrd(struct lower *l, const struct uop *u) { shift_double(l, 0xac, u); }

/* BMI shifts: a in rm, count in vvvv. */
static void shift3(struct lower *l, int pp, const struct uop *u)
{
	int n = in_reg(l, 8, u->b, 0, H_TMP);

	ins_vex(C(l), 2, pp, u->size == 8, 0, 0xf7, dest_reg(l, u), n, operand(l, u->a));
	dest_done(l, u);
}

void lower_shlx(struct lower *l, const struct uop *u) { shift3(l, 1, u); }
void lower_sarx(struct lower *l, const struct uop *u) { shift3(l, 2, u); }
void lower_shrx(struct lower *l, const struct uop *u) { shift3(l, 3, u); }

void lower_rorx(struct lower *l, const struct uop *u)
{
	rorx(C(l), u->size, dest_reg(l, u), operand(l, u->a), (int)u->imm);
	dest_done(l, u);
}

/* ---- multiply, divide ---- */

static void muldiv(struct lower *l, int digit, const struct uop *u)
{
	flags_op(l, u);
	side_mark(l, u);	/* #DE */
	ins(C(l), u->size == 1 ? 0xf6 : 0xf7, u->size, digit, operand(l, u->a));
}

void lower_mul1(struct lower *l, const struct uop *u) { muldiv(l, 4, u); }
void lower_imul1(struct lower *l, const struct uop *u) { muldiv(l, 5, u); }
void lower_div1(struct lower *l, const struct uop *u) { muldiv(l, 6, u); }
void lower_idiv1(struct lower *l, const struct uop *u) { muldiv(l, 7, u); }

void lower_imul2(struct lower *l, const struct uop *u)
{
	int r = dest_reg(l, u);
	bool byte = u->imm == (int8_t)u->imm;

	flags_op(l, u);
	if (r == H_TMP)
		l->tmp_slot = OP_NONE;
	if (is_slot(l, u->d) && (u->size == 2 || u->b != OP_IMM))
		load(C(l), 8, H_TMP, operand(l, u->d));
	if (u->b == OP_IMM) {
		ins_imm(C(l), byte ? 0x6b : 0x69, u->size, r, operand(l, u->a),
			byte ? 1 : u->size > 4 ? 4 : u->size, u->imm);
	} else {
		if (u->d != u->a) {
			int s = in_reg(l, 8, u->a, 0, r);

			mov_rr(C(l), 8, r, s);
		}
		ins(C(l), X_0F | 0xaf, u->size, r, operand(l, u->b));
	}
	dest_done(l, u);
}

void lower_mulx(struct lower *l, const struct uop *u)
{
	int hi = dest_reg(l, u), lo = host_reg(l, u->b);

	if (lo < 0) {
		lo = H_M;
		l->at_in_m = -1;
	}
	ins_vex(C(l), 2, 3, u->size == 8, 0, 0xf6, hi, lo, source(l, u->a));
	if (hi == H_TMP || u->b == l->tmp_slot)
		l->tmp_slot = OP_NONE;
	if (is_slot(l, u->b))	/* first: when d == b, the high half wins */
		store(C(l), 8, operand(l, u->b), lo);
	dest_done(l, u);
}

/* ---- exchanges ---- */

/* A byte operand AH..BH is rotated down around `op`; b then has a plain number. */
static void exchange(struct lower *l, unsigned op, const struct uop *u, bool writes_b)
{
	struct hop d = operand(l, u->d);
	unsigned o = X_0F | op | (u->size > 1) | (lock_of(u) ? X_LOCK : 0);
	int s = host_reg(l, u->b);

	flags_op(l, u);
	if (is_hi(u->b) || is_hi(u->d)) {
		if (plain_byte(l, u->d) && plain_byte(l, u->b) && !is_slot(l, u->b)) {
			ins(C(l), o | (is_hi(u->b) ? X_HIREG : 0), 1, is_hi(u->b) ? u->b - OP_AH : u->b, d);
		} else if (is_hi(u->b)) {
			hi_down(l, u->b);
			ins(C(l), o, 1, u->b - OP_AH, d);
			hi_up(l, u->b);
		} else {
			if (s < 0)
				load(C(l), 8, H_TMP, operand(l, u->b));
			hi_down(l, u->d);
			ins(C(l), o, 1, s < 0 ? H_TMP : s, hop_reg(u->d - OP_AH));
			hi_up(l, u->d);
			if (s < 0 && writes_b)
				store(C(l), 8, operand(l, u->b), H_TMP);
		}
		return;
	}
	if (is_slot(l, u->d)) {
		load(C(l), 8, H_M, d);
		d = hop_reg(H_M);
	}
	if (s < 0)
		load(C(l), 8, H_TMP, operand(l, u->b));
	ins(C(l), o, u->size, s < 0 ? H_TMP : s, d);
	if (s < 0 && writes_b)
		store(C(l), 8, operand(l, u->b), H_TMP);
	if (is_slot(l, u->d))	/* last: for xadd d == b, the sum wins */
		store(C(l), 8, operand(l, u->d), H_M);
}

/*
 * AH..BH beside REX operands: RAX is compared with as it stands, so nothing may
 * be rotated before; copies in r14 and r15 stand in.
 */
static void cmpxchg_hi(struct lower *l, const struct uop *u)
{
	struct code *c = C(l);
	int s;

	flags_op(l, u);
	s = in_reg(l, 1, u->b, 0, H_TMP);
	if (!is_hi(u->d)) {
		ins(c, X_0F | 0xb0 | (lock_of(u) ? X_LOCK : 0), 1, s, operand(l, u->d));
		return;
	}
	rorx(c, 4, H_M, hop_reg(u->d - OP_AH), 8);
	ins(c, X_0F | 0xb0, 1, s, hop_reg(H_M));
	hi_down(l, u->d);
	ins(c, 0x8a, 1, u->d - OP_AH, hop_reg(H_M));
	hi_up(l, u->d);
}

void lower_cmpxchg(struct lower *l, const struct uop *u)
{
	if ((is_hi(u->d) || is_hi(u->b)) && !(plain_byte(l, u->d) && plain_byte(l, u->b) && !is_slot(l, u->b)))
		cmpxchg_hi(l, u);
	else
		exchange(l, 0xb0, u, false);
}
void lower_xadd(struct lower *l, const struct uop *u) { exchange(l, 0xc0, u, true); }

void lower_cmpxchg8b(struct lower *l, const struct uop *u)
{
	flags_op(l, u);
	ins(C(l), X_0F | 0xc7 | (lock_of(u) ? X_LOCK : 0), 4, 1, operand(l, OP_M));
}

void lower_cmpxchg16b(struct lower *l, const struct uop *u)
{
	flags_op(l, u);
	ins(C(l), X_0F | 0xc7 | (lock_of(u) ? X_LOCK : 0), 8, 1, operand(l, OP_M));
}

/* ---- flags ---- */

static void flag_byte(struct lower *l, unsigned op, const struct uop *u)
{
	flags_op(l, u);
	e8(C(l), op);
}

void lower_clc(struct lower *l, const struct uop *u) { flag_byte(l, 0xf8, u); }
void lower_stc(struct lower *l, const struct uop *u) { flag_byte(l, 0xf9, u); }
void lower_cmc(struct lower *l, const struct uop *u) { flag_byte(l, 0xf5, u); }
void lower_lahf(struct lower *l, const struct uop *u) { flag_byte(l, 0x9f, u); }
void lower_sahf(struct lower *l, const struct uop *u) { flag_byte(l, 0x9e, u); }

void lower_getfl(struct lower *l, const struct uop *u)
{
	struct code *c = C(l);
	int r = dest_reg(l, u);

	flags_save(l, FL_ARITH);
	flags_work_out(l);
	load(c, 1, H_M, hop_gs(CPU_OFF(cc) + 1));
	load(c, 1, H_TMP, hop_gs(CPU_OFF(cc)));
	alu_ri(c, ALU_AND, 4, hop_reg(H_M), FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF);
	alu_ri(c, ALU_AND, 4, hop_reg(H_TMP), 1);
	ins_imm(c, 0xc1, 4, 4, hop_reg(H_TMP), 1, 11);		/* OF */
	alu_rm(c, ALU_OR, 4, H_TMP, hop_reg(H_M));
	alu_rm(c, ALU_OR, 4, H_TMP, hop_gs(CPU_OFF(eflags)));
	mov_rr(c, 4, r, H_TMP);
	dest_done(l, u);
}

void lower_putfl(struct lower *l, const struct uop *u)
{
	struct code *c = C(l);
	int s = in_reg(l, 4, u->a, u->imm, H_TMP);

	l->flags = FLAGS_MEM;
	l->noted = false;
	mov_rr(c, 4, H_M, s);
	alu_ri(c, ALU_AND, 4, hop_reg(H_M), FL_ARITH);
	store(c, 1, hop_gs(CPU_OFF(cc) + 1), H_M);
	ins_imm(c, 0xc1, 4, 5, hop_reg(H_M), 1, 11);
	store(c, 1, hop_gs(CPU_OFF(cc)), H_M);
}

void lower_andfl(struct lower *l, const struct uop *u)
{
	flags_clobber(l, u);
	alu_ri(C(l), ALU_AND, 4, hop_gs(CPU_OFF(eflags)), (int32_t)u->imm);
}

void lower_orfl(struct lower *l, const struct uop *u)
{
	flags_clobber(l, u);
	alu_ri(C(l), ALU_OR, 4, hop_gs(CPU_OFF(eflags)), (int32_t)u->imm);
	if (u->imm & FL_IF) {		/* polls look at held interrupts again */
		load(C(l), 4, H_TMP, hop_gs(ENV_OFF(held)));
		ins(C(l), 0x09 | X_LOCK, 4, H_TMP, hop_gs(CPU_OFF(request)));
	}
}
