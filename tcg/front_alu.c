/*
 * Integer arithmetic, logic, shifts, multiply and divide, bits, BMI, decimal
 * adjustment: what works on registers, memory operands and the arithmetic flags.
 *
 * Internal address arithmetic uses only µops that leave the flags alone.
 *
 * Source: SDM vol. 2, one entry an instruction.
 */
#include "tcg/front.h"

/* Flags of the µop just made: locked if the prefix says so and it writes memory. */
static void lock(const struct insn *in, struct uop *u)
{
	if (in->pfx & PFX_LOCK && u->d == OP_M)
		u->aux = U_LOCK;
}

/* ---- two operands ---- */

/* dst = dst op src, where src is a register, memory or an immediate. */
static void binary(struct front *f, const struct insn *in, enum uop_op op)
{
	struct uop *u;
	int d, b;

	if (in->opd[1].kind == OPD_MEM) {
		b = use(f, in, 1, PROBE_R);
		d = in->opd[0].reg;
	} else {
		d = use(f, in, 0, PROBE_RW);
		b = use(f, in, 1, PROBE_R);
	}
	u = emit(f, op, in->opd[0].size, d, d, b);
	u->imm = signed_imm(in, in->opd[0].size);
	lock(in, u);
}

void front_add(struct front *f, const struct insn *in)	{ binary(f, in, UOP_add); }
void front_adc(struct front *f, const struct insn *in)	{ binary(f, in, UOP_adc); }
void front_sub(struct front *f, const struct insn *in)	{ binary(f, in, UOP_sub); }
void front_sbb(struct front *f, const struct insn *in)	{ binary(f, in, UOP_sbb); }
void front_and(struct front *f, const struct insn *in)	{ binary(f, in, UOP_and); }
void front_or(struct front *f, const struct insn *in)	{ binary(f, in, UOP_or); }
void front_xor(struct front *f, const struct insn *in)	{ binary(f, in, UOP_xor); }

/* Flags of two operands, of which one may be memory. */
static void compare(struct front *f, const struct insn *in, enum uop_op op)
{
	int k = in->opd[1].kind == OPD_MEM;
	int m = use(f, in, k, PROBE_R), other = use(f, in, !k, PROBE_R);

	emit(f, op, in->opd[0].size, OP_NONE, k ? other : m, k ? m : other)->imm =
		signed_imm(in, in->opd[0].size);
}

void front_cmp(struct front *f, const struct insn *in)	{ compare(f, in, UOP_cmp); }
void front_test(struct front *f, const struct insn *in)	{ compare(f, in, UOP_test); }

/* ---- one operand ---- */

static void unary(struct front *f, const struct insn *in, enum uop_op op)
{
	int d = use(f, in, 0, PROBE_RW);

	lock(in, emit(f, op, in->opd[0].size, d, d, OP_NONE));
}

void front_inc(struct front *f, const struct insn *in)	{ unary(f, in, UOP_inc); }
void front_dec(struct front *f, const struct insn *in)	{ unary(f, in, UOP_dec); }
void front_neg(struct front *f, const struct insn *in)	{ unary(f, in, UOP_neg); }
void front_not(struct front *f, const struct insn *in)	{ unary(f, in, UOP_not); }

static void accumulator(struct front *f, const struct insn *in, enum uop_op op)
{
	int a = use(f, in, 0, PROBE_R);

	emit(f, op, in->opd[0].size, OP_NONE, a, OP_NONE);
}

void front_mul(struct front *f, const struct insn *in)		{ accumulator(f, in, UOP_mul1); }
void front_imul1(struct front *f, const struct insn *in)	{ accumulator(f, in, UOP_imul1); }
void front_div(struct front *f, const struct insn *in)		{ accumulator(f, in, UOP_div1); }
void front_idiv(struct front *f, const struct insn *in)		{ accumulator(f, in, UOP_idiv1); }

void front_imul(struct front *f, const struct insn *in)
{
	int d = in->opd[0].reg, src = use(f, in, 1, PROBE_R);

	if (in->nopd == 3)
		emit_imm(f, UOP_imul2, in->opd[0].size, d, src, in->imm);
	else
		emit(f, UOP_imul2, in->opd[0].size, d, d, src);
}

/* ---- sign extension of the accumulator ---- */

void front_cbw(struct front *f, const struct insn *in)
{
	emit(f, UOP_sext, in->opsize, RAX, RAX, OP_NONE)->c = in->opsize / 2;
}

void front_cwd(struct front *f, const struct insn *in)
{
	emit(f, UOP_cwd, in->opsize, RDX, RAX, OP_NONE);
}

/* ---- shifts and rotates ---- */

static bool count_is_imm(const struct insn *in)
{
	return in->opd[in->nopd - 1].kind == OPD_IMM;
}

static int64_t imm_count(const struct insn *in)
{
	return count_is_imm(in) ? in->imm & (in->opd[0].size == 8 ? 63 : 31) : 0;
}

/* A count of 0 changes nothing, but 4-byte destinations are still extended. */
static bool shifts_nothing(struct front *f, const struct insn *in)
{
	if (!count_is_imm(in) || in->opd[0].kind != OPD_REG || imm_count(in))
		return false;
	if (in->opd[0].size == 4)
		emit(f, UOP_mov, 4, in->opd[0].reg, in->opd[0].reg, OP_NONE);
	return true;
}

static void shift(struct front *f, const struct insn *in, enum uop_op op)
{
	int d;

	if (shifts_nothing(f, in))
		return;
	d = use(f, in, 0, PROBE_RW);
	emit(f, op, in->opd[0].size, d, d, count_is_imm(in) ? OP_IMM : RCX)->imm = imm_count(in);
}

void front_shl(struct front *f, const struct insn *in)	{ shift(f, in, UOP_shl); }
void front_shr(struct front *f, const struct insn *in)	{ shift(f, in, UOP_shr); }
void front_sar(struct front *f, const struct insn *in)	{ shift(f, in, UOP_sar); }
void front_rol(struct front *f, const struct insn *in)	{ shift(f, in, UOP_rol); }
void front_ror(struct front *f, const struct insn *in)	{ shift(f, in, UOP_ror); }
void front_rcl(struct front *f, const struct insn *in)	{ shift(f, in, UOP_rcl); }
void front_rcr(struct front *f, const struct insn *in)	{ shift(f, in, UOP_rcr); }

static void double_shift(struct front *f, const struct insn *in, enum uop_op op)
{
	struct uop *u;
	int d;

	if (shifts_nothing(f, in))
		return;
	d = use(f, in, 0, PROBE_RW);
	u = emit(f, op, in->opd[0].size, d, d, in->opd[1].reg);
	u->c = !count_is_imm(in);
	u->imm = imm_count(in);
}

void front_shld(struct front *f, const struct insn *in)	{ double_shift(f, in, UOP_shld); }
void front_shrd(struct front *f, const struct insn *in)	{ double_shift(f, in, UOP_shrd); }

/* ---- bit tests ---- */

static int log2_size(int size)
{
	return size == 8 ? 3 : size >> 1;	/* 1, 2, 4, 8 */
}

/* M = the element that holds bit `reg` of a bit string in memory; the offset is signed. */
static void probe_bit(struct front *f, const struct insn *in, int kind, int reg)
{
	int size = in->opd[0].size, log = log2_size(size);
	struct uop *u;

	emit(f, UOP_mov, 8, OP_T1, OP_IMM, OP_NONE)->imm = log + 3;
	if (size < 8)
		emit(f, UOP_sext, 8, OP_T0, reg, OP_NONE)->c = size;
	emit(f, UOP_sarx, 8, OP_T0, size < 8 ? OP_T0 : reg, OP_T1);
	emit_ea(f, in, OP_T1);
	u = emit(f, UOP_probe, size, in->seg, OP_T1, OP_T0);
	u->c = kind | log << PROBE_SCALE | (in->adsize >> 2) << PROBE_ADSIZE;
}

static void bit_test(struct front *f, const struct insn *in, enum uop_op op)
{
	int kind = op == UOP_bt ? PROBE_R : PROBE_RW, size = in->opd[0].size, a;
	bool imm = in->opd[1].kind == OPD_IMM;
	struct uop *u;

	if (in->opd[0].kind == OPD_MEM && !imm) {
		probe_bit(f, in, kind, in->opd[1].reg);
		a = OP_M;
	} else {
		a = use(f, in, 0, kind);
	}
	u = emit(f, op, size, op == UOP_bt ? OP_NONE : a, a, imm ? OP_IMM : in->opd[1].reg);
	if (imm)
		u->imm = in->imm & (8 * size - 1);
	lock(in, u);
}

void front_bt(struct front *f, const struct insn *in)	{ bit_test(f, in, UOP_bt); }
void front_bts(struct front *f, const struct insn *in)	{ bit_test(f, in, UOP_bts); }
void front_btr(struct front *f, const struct insn *in)	{ bit_test(f, in, UOP_btr); }
void front_btc(struct front *f, const struct insn *in)	{ bit_test(f, in, UOP_btc); }

/* ---- counting, BMI ---- */

/* bsf and bsr keep the destination if the source is 0. */
static void bit_scan(struct front *f, const struct insn *in, enum uop_op op)
{
	int d = in->opd[0].reg, b = use(f, in, 1, PROBE_R);

	emit(f, op, in->opd[0].size, d, d, b);
}

void front_bsf(struct front *f, const struct insn *in)	{ bit_scan(f, in, UOP_bsf); }
void front_bsr(struct front *f, const struct insn *in)	{ bit_scan(f, in, UOP_bsr); }

/* d = op(a) */
static void map(struct front *f, const struct insn *in, enum uop_op op)
{
	int a = use(f, in, 1, PROBE_R);

	emit(f, op, in->opd[0].size, in->opd[0].reg, a, OP_NONE);
}

void front_tzcnt(struct front *f, const struct insn *in)	{ map(f, in, UOP_tzcnt); }
void front_lzcnt(struct front *f, const struct insn *in)	{ map(f, in, UOP_lzcnt); }
void front_popcnt(struct front *f, const struct insn *in)	{ map(f, in, UOP_popcnt); }
void front_blsi(struct front *f, const struct insn *in)		{ map(f, in, UOP_blsi); }
void front_blsmsk(struct front *f, const struct insn *in)	{ map(f, in, UOP_blsmsk); }
void front_blsr(struct front *f, const struct insn *in)		{ map(f, in, UOP_blsr); }

void front_rorx(struct front *f, const struct insn *in)
{
	int a = use(f, in, 1, PROBE_R), size = in->opd[0].size;

	emit(f, UOP_rorx, size, in->opd[0].reg, a, OP_NONE)->imm = in->imm & (8 * size - 1);
}

/* d = a op b with operands ka, kb; one may be memory. d == b is made two-operand through T0. */
static void ternary(struct front *f, const struct insn *in, enum uop_op op, int ka, int kb)
{
	int d = in->opd[0].reg, size = in->opd[0].size, a, b;

	if (in->opd[kb].kind == OPD_REG && in->opd[kb].reg == d &&
	    !(in->opd[ka].kind == OPD_REG && in->opd[ka].reg == d)) {
		emit(f, UOP_mov, size, OP_T0, d, OP_NONE);
		b = OP_T0;
		a = use(f, in, ka, PROBE_R);
	} else {
		a = use(f, in, ka, PROBE_R);
		b = use(f, in, kb, PROBE_R);
	}
	emit(f, op, size, d, a, b);
}

void front_andn(struct front *f, const struct insn *in)		{ ternary(f, in, UOP_andn, 1, 2); }
void front_pdep(struct front *f, const struct insn *in)		{ ternary(f, in, UOP_pdep, 1, 2); }
void front_pext(struct front *f, const struct insn *in)		{ ternary(f, in, UOP_pext, 1, 2); }
void front_bextr(struct front *f, const struct insn *in)	{ ternary(f, in, UOP_bextr, 1, 2); }
void front_bzhi(struct front *f, const struct insn *in)		{ ternary(f, in, UOP_bzhi, 1, 2); }
void front_sarx(struct front *f, const struct insn *in)		{ ternary(f, in, UOP_sarx, 1, 2); }
void front_shlx(struct front *f, const struct insn *in)		{ ternary(f, in, UOP_shlx, 1, 2); }
void front_shrx(struct front *f, const struct insn *in)		{ ternary(f, in, UOP_shrx, 1, 2); }

/* High half to operand 0, low half to operand 1; if they are the same, the high half stays. */
void front_mulx(struct front *f, const struct insn *in)
{
	int hi = in->opd[0].reg, lo = in->opd[1].reg, a = use(f, in, 2, PROBE_R);

	emit(f, UOP_mulx, in->opd[0].size, hi, a, lo == hi ? OP_T0 : lo);
}

void front_adcx(struct front *f, const struct insn *in)	{ binary(f, in, UOP_adcx); }
void front_adox(struct front *f, const struct insn *in)	{ binary(f, in, UOP_adox); }

void front_crc32(struct front *f, const struct insn *in)
{
	int d = in->opd[0].reg, b = use(f, in, 1, PROBE_R);

	if (b >= OP_AH && b < OP_T0) {		/* the µop's size is not that of b */
		emit(f, UOP_zext, 8, OP_T0, b, OP_NONE)->c = 1;
		b = OP_T0;
	}
	emit(f, UOP_crc32, in->opd[0].size, d, d, b)->c = in->opd[1].size;
}

/* ---- compare and exchange ---- */

/* AH is a part of the accumulator, so it cannot be an operand beside it. */
static int away_from_accumulator(struct front *f, int op, int temp)
{
	if (op != OP_AH)
		return op;
	emit(f, UOP_mov, 1, temp, OP_AH, OP_NONE);
	return temp;
}

void front_cmpxchg(struct front *f, const struct insn *in)
{
	int b = away_from_accumulator(f, in->opd[1].reg, OP_T1);
	int d = away_from_accumulator(f, use(f, in, 0, PROBE_RW), OP_T0);

	lock(in, emit(f, UOP_cmpxchg, in->opd[0].size, d, d, b));
	if (d == OP_T0)
		emit(f, UOP_mov, 1, OP_AH, OP_T0, OP_NONE);
}

void front_xadd(struct front *f, const struct insn *in)
{
	int d = use(f, in, 0, PROBE_RW);

	lock(in, emit(f, UOP_xadd, in->opd[0].size, d, d, in->opd[1].reg));
}

void front_cmpxchg8b(struct front *f, const struct insn *in)
{
	int size = in->opd[0].size;

	emit_probe(f, in, PROBE_RW | (size == 16 ? PROBE_ALIGN : 0), size);
	lock(in, emit(f, size == 16 ? UOP_cmpxchg16b : UOP_cmpxchg8b, size, OP_M, OP_M, OP_NONE));
}

/* ---- flags ---- */

static void flags_only(struct front *f, enum uop_op op)
{
	emit(f, op, 0, OP_NONE, OP_NONE, OP_NONE);
}

void front_clc(struct front *f, const struct insn *in)	{ (void)in; flags_only(f, UOP_clc); }
void front_stc(struct front *f, const struct insn *in)	{ (void)in; flags_only(f, UOP_stc); }
void front_cmc(struct front *f, const struct insn *in)	{ (void)in; flags_only(f, UOP_cmc); }
void front_lahf(struct front *f, const struct insn *in)	{ (void)in; flags_only(f, UOP_lahf); }
void front_sahf(struct front *f, const struct insn *in)	{ (void)in; flags_only(f, UOP_sahf); }

/* ---- decimal adjustment: AX in, AX out, in C ---- */

static void adjust(struct front *f, enum helper h, int64_t imm)
{
	emit_call(f, h, OP_T0, RAX, OP_NONE, imm);
	emit(f, UOP_mov, 2, RAX, OP_T0, OP_NONE);
}

void front_daa(struct front *f, const struct insn *in)	{ (void)in; adjust(f, HELPER_daa, 0); }
void front_das(struct front *f, const struct insn *in)	{ (void)in; adjust(f, HELPER_das, 0); }
void front_aaa(struct front *f, const struct insn *in)	{ (void)in; adjust(f, HELPER_aaa, 0); }
void front_aas(struct front *f, const struct insn *in)	{ (void)in; adjust(f, HELPER_aas, 0); }
void front_aam(struct front *f, const struct insn *in)	{ adjust(f, HELPER_aam, in->imm & 0xff); }
void front_aad(struct front *f, const struct insn *in)	{ adjust(f, HELPER_aad, in->imm & 0xff); }

/* SALC, undocumented: AL = CF ? 0xff : 0, flags untouched. */
void front_salc(struct front *f, const struct insn *in)
{
	(void)in;
	emit(f, UOP_mov, 8, OP_T0, OP_IMM, OP_NONE)->imm = 0;
	emit(f, UOP_mov, 8, OP_T1, OP_IMM, OP_NONE)->imm = 0xff;
	emit(f, UOP_cmov, 4, OP_T0, OP_T0, OP_T1)->c = CC_C;
	emit(f, UOP_mov, 1, RAX, OP_T0, OP_NONE);
}
