/*
 * Conversions between integers and floating point, and between formats; rounding.
 * An integer that does not fit becomes the indefinite one (only the top bit set)
 * and is invalid.
 *
 * Source: SDM vol. 2; vol. 1, 4.8.4.2 (rounding), 14.4 (half precision).
 */
#include <math.h>

#include "cpu/vec_fp.h"

enum { NEAREST, DOWN, UP, ZERO };

double round_to_integer(double v, int mode)
{
	double t, rest;

	if (!(fabs(v) < 0x1p52))
		return v;
	t = (double)(int64_t)v;
	rest = fabs(v - t);
	if (mode == NEAREST && (rest > 0.5 || (rest == 0.5 && (int64_t)t & 1)))
		t += v < 0 ? -1 : 1;
	else if (mode == DOWN && t > v)
		t -= 1;
	else if (mode == UP && t < v)
		t += 1;
	return copysign(t, v);
}

/* Lane i of b as a double; a denormal is 0 under DAZ. */
static double lane_value(const struct vx *x, int i, bool dbl)
{
	return dbl ? to_f64(daz64(x, x->b.q[i])) : (double)to_f32(daz32(x, x->b.d[i]));
}

/* ---- to integers ---- */

static int64_t integer(struct vx *x, double v, int mode, int size)
{
	double limit = size == 8 ? 0x1p63 : 0x1p31, r;

	r = v == v ? round_to_integer(v, mode) : 0;
	if (v != v || r < -limit || r >= limit) {
		x->flags |= MXCSR_IE;
		return size == 8 ? INT64_MIN : INT32_MIN;
	}
	if (r != v)
		x->flags |= MXCSR_PE;
	return (int64_t)r;
}

static void to_gpr(struct vx *x, bool dbl, int mode)
{
	x->r.q[0] = (uint64_t)integer(x, lane_value(x, 0, dbl), mode, x->in->opd[0].size);
}

void v_cvtss2si(struct vx *x) { to_gpr(x, false, (int)MXCSR_RC(x->mxcsr)); }
void v_cvtsd2si(struct vx *x) { to_gpr(x, true, (int)MXCSR_RC(x->mxcsr)); }
void v_cvttss2si(struct vx *x) { to_gpr(x, false, ZERO); }
void v_cvttsd2si(struct vx *x) { to_gpr(x, true, ZERO); }

/* n numbers to dwords; what is above them becomes 0. */
static void to_dwords(struct vx *x, int n, bool dbl, int mode)
{
	union vec r = { 0 };

	for (int i = 0; i < n; i++)
		r.d[i] = (uint32_t)integer(x, lane_value(x, i, dbl), mode, 4);
	x->r = r;
}

void v_cvtps2dq(struct vx *x) { to_dwords(x, x->n / 4, false, (int)MXCSR_RC(x->mxcsr)); }
void v_cvttps2dq(struct vx *x) { to_dwords(x, x->n / 4, false, ZERO); }
void v_cvtpd2dq(struct vx *x) { to_dwords(x, x->n / 8, true, (int)MXCSR_RC(x->mxcsr)); }
void v_cvttpd2dq(struct vx *x) { to_dwords(x, x->n / 8, true, ZERO); }
void v_cvtps2pi(struct vx *x) { to_dwords(x, 2, false, (int)MXCSR_RC(x->mxcsr)); }
void v_cvttps2pi(struct vx *x) { to_dwords(x, 2, false, ZERO); }
void v_cvtpd2pi(struct vx *x) { to_dwords(x, 2, true, (int)MXCSR_RC(x->mxcsr)); }
void v_cvttpd2pi(struct vx *x) { to_dwords(x, 2, true, ZERO); }

/* ---- from integers ---- */

void v_cvtdq2ps(struct vx *x)
{
	for (int i = 0; i < x->n / 4; i++)
		x->r.d[i] = of_f32((float)x->b.sd[i]);
}

void v_cvtdq2pd(struct vx *x)
{
	for (int i = 0; i < x->n / 8; i++)
		x->r.q[i] = of_f64((double)x->b.sd[i]);
}

void v_cvtpi2pd(struct vx *x) { v_cvtdq2pd(x); }

void v_cvtpi2ps(struct vx *x)
{
	for (int i = 0; i < 2; i++)
		x->r.d[i] = of_f32((float)x->b.sd[i]);
}

/* The last operand, 4 or 8 bytes, as a signed number. */
static int64_t gpr_source(const struct vx *x)
{
	return x->in->opd[x->in->nopd - 1].size == 8 ? x->b.sq[0] : x->b.sd[0];
}

void v_cvtsi2ss(struct vx *x) { x->r.d[0] = of_f32((float)gpr_source(x)); }
void v_cvtsi2sd(struct vx *x) { x->r.q[0] = of_f64((double)gpr_source(x)); }

/* ---- between single and double ---- */

static uint64_t widen(struct vx *x, uint32_t v)
{
	if (is_nan32(v)) {
		v = quiet32(x, v);
		return (uint64_t)(v >> 31) << 63 | 0x7ffull << 52 | (uint64_t)(v & 0x7fffff) << 29;
	}
	if (is_denormal32(v) && !(x->mxcsr & MXCSR_DAZ))
		x->flags |= MXCSR_DE;
	return of_f64(to_f32(daz32(x, v)));
}

static uint32_t narrow(struct vx *x, uint64_t v)
{
	if (is_nan64(v)) {
		v = quiet64(x, v);
		return (uint32_t)(v >> 63) << 31 | 0xffu << 23 | (uint32_t)(v >> 29 & 0x7fffff);
	}
	return tiny32(x, of_f32((float)to_f64(v)));
}

void v_cvtps2pd(struct vx *x)
{
	for (int i = 0; i < x->n / 8; i++)
		x->r.q[i] = widen(x, x->b.d[i]);
}

void v_cvtpd2ps(struct vx *x)
{
	union vec r = { 0 };

	for (int i = 0; i < x->n / 8; i++)
		r.d[i] = narrow(x, x->b.q[i]);
	x->r = r;
}

void v_cvtss2sd(struct vx *x) { x->r.q[0] = widen(x, x->b.d[0]); }
void v_cvtsd2ss(struct vx *x) { x->r.d[0] = narrow(x, x->b.q[0]); }

/* ---- half precision ---- */

static uint32_t half_to_single(struct vx *x, uint16_t h)
{
	uint32_t sign = (uint32_t)(h >> 15) << 31, e = h >> 10 & 31, m = h & 0x3ff;

	if (e == 31 && m)
		return quiet32(x, sign | 0x7f800000 | m << 13);
	if (e == 31)
		return sign | 0x7f800000;
	if (e == 0)
		return sign | of_f32((float)m * 0x1p-24f);
	return sign | (e + 112) << 23 | m << 13;
}

/* Half of magnitude v (finite, not 0) rounded; the sign decides where DOWN and UP lead. */
static uint16_t round_half(struct vx *x, double v, bool negative, int mode)
{
	int e = ilogb(v) < -14 ? -14 : ilogb(v);
	double t = scalbn(v, 10 - e), r = fabs(round_to_integer(negative ? -t : t, mode));
	bool to_max = mode == ZERO || mode == (negative ? UP : DOWN);

	if (r != t)
		x->flags |= MXCSR_PE | (v < 0x1p-14 ? MXCSR_UE : 0);
	if (v < 0x1p-14 && !(x->mxcsr >> 7 & MXCSR_UE))
		x->flags |= MXCSR_UE;
	if (r == 2048) {
		r = 1024;
		e++;
	}
	if (e > 15) {
		x->flags |= MXCSR_OE | MXCSR_PE;
		return to_max ? 0x7bff : 0x7c00;
	}
	return (uint16_t)((r < 1024 ? 0 : e + 15) << 10 | ((int)r & 0x3ff));
}

static uint16_t single_to_half(struct vx *x, uint32_t v, int mode)
{
	uint16_t sign = (uint16_t)(v >> 31 << 15);

	if (is_nan32(v))
		return (uint16_t)(sign | 0x7c00 | (quiet32(x, v) >> 13 & 0x3ff));
	if (is_denormal32(v) && !(x->mxcsr & MXCSR_DAZ))
		x->flags |= MXCSR_DE;
	v = daz32(x, v);
	if (!(v & ~SIGN32) || (v & ~SIGN32) == 0x7f800000)
		return (uint16_t)(sign | (v & ~SIGN32 ? 0x7c00 : 0));
	return sign | round_half(x, fabs((double)to_f32(v)), v >> 31, mode);
}

void v_vcvtph2ps(struct vx *x)
{
	for (int i = 0; i < x->n / 4; i++)
		x->r.d[i] = half_to_single(x, x->b.w[i]);
}

void v_vcvtps2ph(struct vx *x)
{
	int mode = x->imm & 4 ? (int)MXCSR_RC(x->mxcsr) : x->imm & 3;
	union vec r = { 0 };

	for (int i = 0; i < x->n / 4; i++)
		r.w[i] = single_to_half(x, x->b.d[i], mode);
	x->r = r;
}

/* ---- ROUND: imm bits 1..0 the mode, 2 the mode of MXCSR instead, 3 no precision exception ---- */

static double rounded(struct vx *x, double v)
{
	double r = round_to_integer(v, x->imm & 4 ? (int)MXCSR_RC(x->mxcsr) : x->imm & 3);

	if (r != v && !(x->imm & 8))
		x->flags |= MXCSR_PE;
	return r;
}

static void round_lanes(struct vx *x, int n, bool dbl)
{
	for (int i = 0; i < n; i++) {
		if (dbl)
			x->r.q[i] = is_nan64(x->b.q[i]) ? quiet64(x, x->b.q[i])
							: of_f64(rounded(x, lane_value(x, i, true)));
		else
			x->r.d[i] = is_nan32(x->b.d[i]) ? quiet32(x, x->b.d[i])
							: of_f32((float)rounded(x, lane_value(x, i, false)));
	}
}

void v_roundps(struct vx *x) { round_lanes(x, x->n / 4, false); }
void v_roundpd(struct vx *x) { round_lanes(x, x->n / 8, true); }
void v_roundss(struct vx *x) { round_lanes(x, 1, false); }
void v_roundsd(struct vx *x) { round_lanes(x, 1, true); }
