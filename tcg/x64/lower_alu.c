/*
 * Lowering of moves, arithmetic, shifts, bit operations and flags.
 *
 * The pattern throughout: registers and M are operands of the host instruction
 * itself; a destination in a memory slot is loaded into r15, worked on, and
 * stored whole, so that later 8-byte loads forward from one store. AH..BH can
 * be named only beside operands that need no REX prefix; elsewhere the register
 * is rotated by 8 around the instruction (rorx leaves the flags alone).
 */
#include "tcg/x64/lower.h"

#include <assert.h>

static struct code *C(struct lower *l) { return &l->c; }

static bool lock_of(const struct uop *u) { return u->aux & U_LOCK && u->d == OP_M; }

/* Can this operand stand in an instruction without a REX prefix (byte size)? */
static bool plain_byte(const struct lower *l, int op)
{
	return op <= RBX || is_hi(op) || op == OP_IMM || is_slot(l, op);
}

/* Rotate a high byte into the low one / back. */
static void hi_down(struct lower *l, int op) { rorx(C(l), 8, op - OP_AH, hop_reg(op - OP_AH), 8); }
static void hi_up(struct lower *l, int op) { rorx(C(l), 8, op - OP_AH, hop_reg(op - OP_AH), 56); }

/* Operand as a source: a slot's copy in r15 is better than memory. */
static struct hop source(struct lower *l, int op)
{
	return op == l->tmp_slot ? hop_reg(H_TMP) : operand(l, op);
}

/* A slot's whole value into r15. */
static void slot_to_tmp(struct lower *l, int op)
{
	if (op != l->tmp_slot)
		load(C(l), 8, H_TMP, operand(l, op));
	l->tmp_slot = (uint8_t)op;
}

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

/* Into a register or, by r15, a slot: f emits `r = ...`. */
static int dest_reg(const struct lower *l, const struct uop *u)
{
	int r = host_reg(l, u->d);

	return r >= 0 ? r : H_TMP;
}

static void dest_done(struct lower *l, const struct uop *u)
{
	if (!is_slot(l, u->d))
		return;
	store(C(l), 8, operand(l, u->d), H_TMP);
	l->tmp_slot = u->d;
}

/* Narrow results (size 1, 2) are merged into the register. */
static void extend(struct lower *l, const struct uop *u, bool sign)
{
	struct hop s = operand(l, u->a);
	int r = dest_reg(l, u);

	if (u->c >= u->size) {
		lower_mov(l, u);
		return;
	}
	if (is_hi(u->a)) {
		rorx(C(l), 4, H_TMP, hop_reg(u->a - OP_AH), 8);
		s = hop_reg(H_TMP);
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
		load(C(l), 8, H_TMP, operand(l, u->d));
	ins(C(l), X_0F | 0x40 | u->c, u->size, r, operand(l, u->b));
	dest_done(l, u);
}

void lower_setcc(struct lower *l, const struct uop *u)
{
	flags_op(l, u);
	ins(C(l), X_0F | 0x90 | u->c, 1, 0, operand(l, u->d));
}

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

	if (lo < 0)
		lo = H_M;
	ins_vex(C(l), 2, 3, u->size == 8, 0, 0xf6, hi, lo, operand(l, u->a));
	if (is_slot(l, u->b))	/* first: when d == b, the high half wins */
		store(C(l), 8, operand(l, u->b), lo);
	dest_done(l, u);
}

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
		load(C(l), 8, H_TMP, operand(l, u->d));
	ins(C(l), op, u->size, dest_reg(l, u), operand(l, src));
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
	mov_rr(c, 4, H_M, s);
	store(c, 1, hop_gs(CPU_OFF(cc) + 1), H_M);
	ins_imm(c, 0xc1, 4, 5, hop_reg(H_M), 1, 11);
	alu_ri(c, ALU_AND, 4, hop_reg(H_M), 1);
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
