/*
 * SSE and AVX floating-point arithmetic. NaN operands are chosen here, because C
 * may exchange the operands of an addition; everything else is the host's own
 * arithmetic with the guest's rounding (environment HOST of vec.def), or done on
 * the bits (SOFT).
 *
 * Source: SDM vol. 1, 4.8.3.5 and table 4-7 (NaNs), 11.5 (exceptions), 14.5 (FMA).
 */
#include <math.h>

#include "cpu/vec_env.h"
#include "cpu/vec_fp.h"

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

typedef float f32_fn(float a, float b);
typedef double f64_fn(double a, double b);

#define BOTH(name, expr)					\
static float name##32(float a, float b) { return expr; }	\
static double name##64(double a, double b) { return expr; }
BOTH(add, a + b)
BOTH(sub, a - b)
BOTH(mul, a * b)
BOTH(divide, a / b)

/* The first operand's NaN, else the second's, else f. */
static uint32_t op32(struct vx *x, uint32_t a, uint32_t b, f32_fn *f)
{
	uint32_t r;

	if (is_nan32(a) || is_nan32(b)) {
		if (is_snan32(a) || is_snan32(b))
			x->flags |= MXCSR_IE;
		return (is_nan32(a) ? a : b) | QUIET32;
	}
	r = of_f32(f(to_f32(a), to_f32(b)));
	return is_nan32(r) ? NAN32 : tiny32(x, r);
}

static uint64_t op64(struct vx *x, uint64_t a, uint64_t b, f64_fn *f)
{
	uint64_t r;

	if (is_nan64(a) || is_nan64(b)) {
		if (is_snan64(a) || is_snan64(b))
			x->flags |= MXCSR_IE;
		return (is_nan64(a) ? a : b) | QUIET64;
	}
	r = of_f64(f(to_f64(a), to_f64(b)));
	return is_nan64(r) ? NAN64 : tiny64(x, r);
}

/* Number of lanes: one, or all of the vector. */
static int lanes(const struct vx *x)
{
	return x->scalar ? 1 : x->n / (x->dbl ? 8 : 4);
}

static void arith(struct vx *x, f32_fn *f32, f64_fn *f64)
{
	for (int i = 0; i < lanes(x); i++)
		if (x->dbl)
			x->r.q[i] = op64(x, x->a.q[i], x->b.q[i], f64);
		else
			x->r.d[i] = op32(x, x->a.d[i], x->b.d[i], f32);
}

void v_add(struct vx *x) { arith(x, add32, add64); }
void v_sub(struct vx *x) { arith(x, sub32, sub64); }
void v_mul(struct vx *x) { arith(x, mul32, mul64); }
void v_div(struct vx *x) { arith(x, divide32, divide64); }

/* ---- square root, estimates ---- */

static uint32_t sqrt_f32(struct vx *x, uint32_t v)
{
	v = daz32(x, v);
	if (is_nan32(v))
		return quiet32(x, v);
	if (v & SIGN32 && v != SIGN32) {
		x->flags |= MXCSR_IE;
		return NAN32;
	}
	return v & ~SIGN32 ? of_f32(sqrtf(to_f32(v))) : v;
}

static uint64_t sqrt_f64(struct vx *x, uint64_t v)
{
	v = daz64(x, v);
	if (is_nan64(v))
		return quiet64(x, v);
	if (v & SIGN64 && v != SIGN64) {
		x->flags |= MXCSR_IE;
		return NAN64;
	}
	return v & ~SIGN64 ? of_f64(sqrt(to_f64(v))) : v;
}

void v_sqrt(struct vx *x)
{
	for (int i = 0; i < lanes(x); i++)
		if (x->dbl)
			x->r.q[i] = sqrt_f64(x, x->b.q[i]);
		else
			x->r.d[i] = sqrt_f32(x, x->b.d[i]);
}

/* Estimates of 12 bits: processors differ, so the host's own where it has one. */
#ifdef __SSE2__
static float estimate_rcp(float v) { return _mm_cvtss_f32(_mm_rcp_ss(_mm_set_ss(v))); }
static float estimate_rsqrt(float v) { return _mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(v))); }
#else
static float estimate_rcp(float v) { return 1 / v; }
static float estimate_rsqrt(float v) { return 1 / sqrtf(v); }
#endif

static void estimate(struct vx *x, float (*f)(float))
{
	for (int i = 0; i < lanes(x); i++)
		x->r.d[i] = of_f32(f(to_f32(x->b.d[i])));
}

void v_rcp(struct vx *x) { estimate(x, estimate_rcp); }
void v_rsqrt(struct vx *x) { estimate(x, estimate_rsqrt); }

/* ---- comparisons ---- */

enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 };

/* The relation of lane i of a and b; invalid for NaNs that signal, or for any if `strict`. */
static int relation(struct vx *x, int i, bool strict)
{
	double a, b;
	bool nan, snan, denormal;

	if (x->dbl) {
		uint64_t va = x->a.q[i], vb = x->b.q[i];
		nan = is_nan64(va) || is_nan64(vb);
		snan = is_snan64(va) || is_snan64(vb);
		denormal = is_denormal64(va) || is_denormal64(vb);
		a = to_f64(daz64(x, va));
		b = to_f64(daz64(x, vb));
	} else {
		uint32_t va = x->a.d[i], vb = x->b.d[i];
		nan = is_nan32(va) || is_nan32(vb);
		snan = is_snan32(va) || is_snan32(vb);
		denormal = is_denormal32(va) || is_denormal32(vb);
		a = nan ? 0 : to_f32(daz32(x, va));
		b = nan ? 0 : to_f32(daz32(x, vb));
	}
	if (snan || (nan && strict))
		x->flags |= MXCSR_IE;
	else if (denormal && !nan && !(x->mxcsr & MXCSR_DAZ))
		x->flags |= MXCSR_DE;
	return nan ? UNORDERED : a < b ? LESS : a > b ? GREATER : EQUAL;
}

/* Which relations each predicate accepts. */
static const uint8_t accepts[16] = {
	EQUAL, LESS, LESS | EQUAL, UNORDERED,
	LESS | GREATER | UNORDERED, EQUAL | GREATER | UNORDERED, GREATER | UNORDERED, LESS | EQUAL | GREATER,
	EQUAL | UNORDERED, LESS | UNORDERED, LESS | EQUAL | UNORDERED, 0,
	LESS | GREATER, EQUAL | GREATER, GREATER, LESS | EQUAL | GREATER | UNORDERED,
};

/* Predicates 1, 2, 5, 6 of each eight are strict; those from 16 on the other way round. */
void v_cmp(struct vx *x)
{
	int pred = x->imm & (x->vex ? 31 : 7);
	bool strict = (0x66 >> (pred & 7) & 1) != (pred >> 4);

	for (int i = 0; i < lanes(x); i++) {
		bool hit = accepts[pred & 15] & relation(x, i, strict);
		if (x->dbl)
			x->r.q[i] = -(uint64_t)hit;
		else
			x->r.d[i] = -(uint32_t)hit;
	}
}

static void compare_flags(struct vx *x, bool strict)
{
	switch (relation(x, 0, strict)) {
	case UNORDERED: put_flags(x, FL_ZF | FL_PF | FL_CF); break;
	case LESS: put_flags(x, FL_CF); break;
	case EQUAL: put_flags(x, FL_ZF); break;
	default: put_flags(x, 0); break;
	}
	x->no_result = true;
}

void v_comis(struct vx *x) { compare_flags(x, true); }
void v_ucomis(struct vx *x) { compare_flags(x, false); }

/* a if it is related to b so, else b: so b for NaNs and for zeros of either sign. */
static void choose(struct vx *x, int want)
{
	for (int i = 0; i < lanes(x); i++) {
		const union vec *v = relation(x, i, true) == want ? &x->a : &x->b;
		if (x->dbl)
			x->r.q[i] = daz64(x, v->q[i]);
		else
			x->r.d[i] = daz32(x, v->d[i]);
	}
}

void v_min(struct vx *x) { choose(x, LESS); }
void v_max(struct vx *x) { choose(x, GREATER); }

/* ---- horizontal ---- */

/* The 66 forms of these are double, the F2 forms packed single. */
static bool is_double(const struct vx *x) { return insn_row(x->in)->pfx == IP_66; }

static void horizontal(struct vx *x, f32_fn *f32, f64_fn *f64)
{
	EACH_LANE(x, o)
		for (int i = 0; i < 4; i++) {
			const union vec *v = i < 2 ? &x->a : &x->b;
			int p = o / 4 + 2 * (i & 1);
			if (!is_double(x))
				x->r.d[o / 4 + i] = op32(x, v->d[p], v->d[p + 1], f32);
			else if (!(i & 1))
				x->r.q[o / 8 + i / 2] = op64(x, v->q[o / 8], v->q[o / 8 + 1], f64);
		}
}

void v_hadd(struct vx *x) { horizontal(x, add32, add64); }
void v_hsub(struct vx *x) { horizontal(x, sub32, sub64); }

void v_addsub(struct vx *x)
{
	for (int i = 0; i < x->n / (is_double(x) ? 8 : 4); i++)
		if (is_double(x))
			x->r.q[i] = op64(x, x->a.q[i], x->b.q[i], i & 1 ? add64 : sub64);
		else
			x->r.d[i] = op32(x, x->a.d[i], x->b.d[i], i & 1 ? add32 : sub32);
}

/* An unmasked exception in one step of several: the next ones are not done and raise nothing. */
static bool step_raises(const struct vx *x)
{
	return (x->flags | host_env_flags()) & ~(x->mxcsr >> 7) & MXCSR_FLAGS;
}

/* imm: products that count in the upper half, places of the sum in the lower. */
void v_dpps(struct vx *x)
{
	uint32_t t[8], s[4];
	int n = x->n / 4;

	for (int i = 0; i < n; i++)
		t[i] = x->imm >> (4 + (i & 3)) & 1 ? op32(x, x->a.d[i], x->b.d[i], mul32) : 0;
	if (step_raises(x))
		return;
	for (int i = 0; i < n / 2; i++)
		s[i] = op32(x, t[2 * i], t[2 * i + 1], add32);
	if (step_raises(x))
		return;
	for (int i = 0; i < n / 4; i++)
		s[i] = op32(x, s[2 * i], s[2 * i + 1], add32);
	for (int i = 0; i < n; i++)
		x->r.d[i] = x->imm >> (i & 3) & 1 ? s[i / 4] : 0;
}

void v_dppd(struct vx *x)
{
	uint64_t t[2], sum;

	for (int i = 0; i < 2; i++)
		t[i] = x->imm >> (4 + i) & 1 ? op64(x, x->a.q[i], x->b.q[i], mul64) : 0;
	if (step_raises(x))
		return;
	sum = op64(x, t[0], t[1], add64);
	for (int i = 0; i < 2; i++)
		x->r.q[i] = x->imm >> i & 1 ? sum : 0;
}

/* ---- fused multiply-add ---- */

struct fma {
	bool dbl, scalar;
	int form;		/* 0: 132, 1: 213, 2: 231 */
	int kind;		/* low nibble of the opcode */
};

/* Operands 0 (destination), 1, 2 of the form in the order factor, factor, addend. */
static const uint8_t fma_order[3][3] = { { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 } };

/* Is the addend subtracted in lane i? Kinds 6 and 7 alternate. */
static bool subtracts(const struct fma *f, int i)
{
	if (f->kind < 8)
		return (i & 1) == (f->kind & 1);
	return f->kind & 2;
}

static bool negates(const struct fma *f) { return f->kind >= 12; }

static uint64_t fma_f64(struct vx *x, const struct fma *f, int i)
{
	const uint64_t op[3] = { x->d.q[i], x->a.q[i], x->b.q[i] };
	const uint8_t *k = fma_order[f->form];
	uint64_t p = op[k[0]], q = op[k[1]], s = op[k[2]], r;

	if (is_nan64(p) || is_nan64(q) || is_nan64(s)) {
		if (is_snan64(p) || is_snan64(q) || is_snan64(s))
			x->flags |= MXCSR_IE;
		for (int n = 0; n < 3; n++)
			if (is_nan64(op[k[n]]))
				return op[k[n]] | QUIET64;
	}
	r = of_f64(fma(to_f64(negates(f) ? p ^ SIGN64 : p), to_f64(q), to_f64(subtracts(f, i) ? s ^ SIGN64 : s)));
	return is_nan64(r) ? NAN64 : tiny64(x, r);
}

static uint32_t fma_f32(struct vx *x, const struct fma *f, int i)
{
	const uint32_t op[3] = { x->d.d[i], x->a.d[i], x->b.d[i] };
	const uint8_t *k = fma_order[f->form];
	uint32_t p = op[k[0]], q = op[k[1]], s = op[k[2]], r;

	if (is_nan32(p) || is_nan32(q) || is_nan32(s)) {
		if (is_snan32(p) || is_snan32(q) || is_snan32(s))
			x->flags |= MXCSR_IE;
		for (int n = 0; n < 3; n++)
			if (is_nan32(op[k[n]]))
				return op[k[n]] | QUIET32;
	}
	r = of_f32(fmaf(to_f32(negates(f) ? p ^ SIGN32 : p), to_f32(q), to_f32(subtracts(f, i) ? s ^ SIGN32 : s)));
	return is_nan32(r) ? NAN32 : tiny32(x, r);
}

/* A scalar form keeps the rest of the destination. */
void v_fma(struct vx *x)
{
	uint32_t op = insn_row(x->in)->opcode & 0xff;
	struct fma f = {
		.dbl = insn_row(x->in)->attr & A_W1, .kind = op & 15, .form = (int)(op >> 4) - 9,
		.scalar = (op & 15) > 8 && op & 1,
	};
	int n = f.scalar ? 1 : x->n / (f.dbl ? 8 : 4);

	x->r = x->d;
	for (int i = 0; i < n; i++)
		if (f.dbl)
			x->r.q[i] = fma_f64(x, &f, i);
		else
			x->r.d[i] = fma_f32(x, &f, i);
}
