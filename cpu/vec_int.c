/*
 * Integer vector arithmetic: the same operation on every lane, mostly. Each line
 * of the first part is one instruction: lane type, and the result from lanes a, b.
 *
 * Source: SDM vol. 2.
 */
#include <stdlib.h>

#include "cpu/vec_priv.h"

/* r.F[i] = expr of a = a.F[i], b = b.F[i]. */
#define LANES(name, F, expr) void v_##name(struct vx *x) LANE_BODY(F, expr)
#define LANE_BODY(F, expr)							\
{										\
	for (int i = 0; i < x->n / (int)sizeof(x->r.F[0]); i++) {		\
		__typeof__(x->r.F[0]) a = x->a.F[i], b = x->b.F[i];		\
		(void)a;							\
		x->r.F[i] = (__typeof__(a))(expr);				\
	}									\
}

static int clamp(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }
#define SB(v) clamp(v, -128, 127)
#define UB(v) clamp(v, 0, 255)
#define SW(v) clamp(v, -32768, 32767)
#define UW(v) clamp(v, 0, 65535)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- logic ---- */
LANES(pand,    q,  a & b)
LANES(pandn,   q,  ~a & b)
LANES(por,     q,  a | b)
LANES(pxor,    q,  a ^ b)

/* ---- add, subtract ---- */
LANES(paddb,   b,  a + b)
LANES(paddw,   w,  a + b)
LANES(paddd,   d,  a + b)
LANES(paddq,   q,  a + b)
LANES(psubb,   b,  a - b)
LANES(psubw,   w,  a - b)
LANES(psubd,   d,  a - b)
LANES(psubq,   q,  a - b)
LANES(paddsb,  sb, SB(a + b))
LANES(paddsw,  sw, SW(a + b))
LANES(paddusb, b,  UB(a + b))
LANES(paddusw, w,  UW(a + b))
LANES(psubsb,  sb, SB(a - b))
LANES(psubsw,  sw, SW(a - b))
LANES(psubusb, b,  UB(a - b))
LANES(psubusw, w,  UW(a - b))
LANES(pavgb,   b,  (a + b + 1) >> 1)
LANES(pavgw,   w,  (a + b + 1) >> 1)

/* ---- compare, minimum, maximum, sign ---- */
LANES(pcmpeqb, b,  -(a == b))
LANES(pcmpeqw, w,  -(a == b))
LANES(pcmpeqd, d,  -(a == b))
LANES(pcmpeqq, q,  -(uint64_t)(a == b))
LANES(pcmpgtb, sb, -(a > b))
LANES(pcmpgtw, sw, -(a > b))
LANES(pcmpgtd, sd, -(a > b))
LANES(pcmpgtq, sq, -(int64_t)(a > b))
LANES(pminub,  b,  MIN(a, b))
LANES(pminsb,  sb, MIN(a, b))
LANES(pminuw,  w,  MIN(a, b))
LANES(pminsw,  sw, MIN(a, b))
LANES(pminud,  d,  MIN(a, b))
LANES(pminsd,  sd, MIN(a, b))
LANES(pmaxub,  b,  MAX(a, b))
LANES(pmaxsb,  sb, MAX(a, b))
LANES(pmaxuw,  w,  MAX(a, b))
LANES(pmaxsw,  sw, MAX(a, b))
LANES(pmaxud,  d,  MAX(a, b))
LANES(pmaxsd,  sd, MAX(a, b))
LANES(pabsb,   sb, b < 0 ? -b : b)
LANES(pabsw,   sw, b < 0 ? -b : b)
LANES(pabsd,   d,  b >> 31 ? 0u - b : b)
LANES(psignb,  sb, b < 0 ? -a : b ? a : 0)
LANES(psignw,  sw, b < 0 ? -a : b ? a : 0)
LANES(psignd,  d,  b >> 31 ? 0u - a : b ? a : 0u)

/* ---- multiply ---- */
LANES(pmullw,  w,  (uint32_t)a * b)
LANES(pmulld,  d,  a * b)
LANES(pmulhw,  sw, (a * b) >> 16)
LANES(pmulhuw, w,  ((uint32_t)a * b) >> 16)
LANES(pmulhrsw, sw, ((a * b >> 14) + 1) >> 1)
LANES(pmuludq, q,  (uint64_t)(uint32_t)a * (uint32_t)b)
LANES(pmuldq,  sq, (int64_t)(int32_t)a * (int32_t)b)

void v_pmaddwd(struct vx *x)
{
	for (int i = 0; i < x->n / 4; i++)
		x->r.d[i] = (uint32_t)(x->a.sw[2 * i] * x->b.sw[2 * i]) +
			    (uint32_t)(x->a.sw[2 * i + 1] * x->b.sw[2 * i + 1]);
}

void v_pmaddubsw(struct vx *x)
{
	for (int i = 0; i < x->n / 2; i++)
		x->r.sw[i] = (int16_t)SW(x->a.b[2 * i] * x->b.sb[2 * i] + x->a.b[2 * i + 1] * x->b.sb[2 * i + 1]);
}

/* ---- sums of products, added to the destination ---- */

static int64_t busd(const struct vx *x, int i)
{
	int64_t sum = x->d.sd[i];

	for (int k = 4 * i; k < 4 * i + 4; k++)
		sum += x->a.b[k] * x->b.sb[k];
	return sum;
}

static int64_t wssd(const struct vx *x, int i)
{
	return x->d.sd[i] + (int64_t)x->a.sw[2 * i] * x->b.sw[2 * i] + (int64_t)x->a.sw[2 * i + 1] * x->b.sw[2 * i + 1];
}

static int32_t saturate32(int64_t v)
{
	return (int32_t)(v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v);
}

#define DOT(name, expr) void v_##name(struct vx *x)		\
{								\
	for (int i = 0; i < x->n / 4; i++)			\
		x->r.sd[i] = (int32_t)(expr);			\
}
DOT(pdpbusd,   busd(x, i))
DOT(pdpbusds,  saturate32(busd(x, i)))
DOT(pdpwssd,   wssd(x, i))
DOT(pdpwssds,  saturate32(wssd(x, i)))

void v_psadbw(struct vx *x)
{
	for (int i = 0; i < x->n / 8; i++) {
		unsigned sum = 0;
		for (int k = 8 * i; k < 8 * i + 8; k++)
			sum += (unsigned)(x->a.b[k] > x->b.b[k] ? x->a.b[k] - x->b.b[k] : x->b.b[k] - x->a.b[k]);
		x->r.q[i] = sum;
	}
}

/* ---- neighbours: the lower half from a, the upper from b, in each lane of 16 bytes ---- */

#define NEIGHBOURS(name, F, expr)						\
void v_##name(struct vx *x)							\
{										\
	int h = lane(x) / (int)sizeof(x->r.F[0]) / 2;				\
	for (int o = 0; o < x->n / (int)sizeof(x->r.F[0]); o += 2 * h)		\
		for (int i = 0; i < 2 * h; i++) {				\
			const union vec *v = i < h ? &x->a : &x->b;		\
			__typeof__(x->r.F[0]) a = v->F[o + 2 * (i % h)], b = v->F[o + 2 * (i % h) + 1]; \
			x->r.F[o + i] = (__typeof__(a))(expr);			\
		}								\
}
NEIGHBOURS(phaddw,  w,  a + b)
NEIGHBOURS(phaddd,  d,  a + b)
NEIGHBOURS(phaddsw, sw, SW(a + b))
NEIGHBOURS(phsubw,  w,  a - b)
NEIGHBOURS(phsubd,  d,  a - b)
NEIGHBOURS(phsubsw, sw, SW(a - b))

/* ---- shifts: too large a count gives 0, or the sign ---- */

#define SHIFT(name, F, n, expr)							\
static void name##_by(struct vx *x, const union vec *s, uint64_t n)		\
{										\
	for (int i = 0; i < x->n / (int)sizeof(x->r.F[0]); i++) {		\
		__typeof__(x->r.F[0]) a = s->F[i];				\
		x->r.F[i] = (__typeof__(a))(expr);				\
	}									\
}										\
void v_##name(struct vx *x) { name##_by(x, &x->a, x->b.q[0]); }
SHIFT(psrlw, w,  n, n > 15 ? 0 : a >> n)
SHIFT(psrld, d,  n, n > 31 ? 0 : a >> n)
SHIFT(psrlq, q,  n, n > 63 ? 0 : a >> n)
SHIFT(psllw, w,  n, n > 15 ? 0 : a << n)
SHIFT(pslld, d,  n, n > 31 ? 0 : a << n)
SHIFT(psllq, q,  n, n > 63 ? 0 : a << n)
SHIFT(psraw, sw, n, a >> (n > 15 ? 15 : n))
SHIFT(psrad, sd, n, a >> (n > 31 ? 31 : n))

static void psrldq(struct vx *x, int n)
{
	EACH_LANE(x, o)
		for (int i = 0; i < 16; i++)
			x->r.b[o + i] = i + n < 16 ? x->b.b[o + i + n] : 0;
}

static void pslldq(struct vx *x, int n)
{
	EACH_LANE(x, o)
		for (int i = 0; i < 16; i++)
			x->r.b[o + i] = i >= n ? x->b.b[o + i - n] : 0;
}

void v_shift_w_imm(struct vx *x)
{
	switch (INSN_REG(x->in)) {
	case 2: psrlw_by(x, &x->b, x->imm); break;
	case 4: psraw_by(x, &x->b, x->imm); break;
	default: psllw_by(x, &x->b, x->imm); break;
	}
}

void v_shift_d_imm(struct vx *x)
{
	switch (INSN_REG(x->in)) {
	case 2: psrld_by(x, &x->b, x->imm); break;
	case 4: psrad_by(x, &x->b, x->imm); break;
	default: pslld_by(x, &x->b, x->imm); break;
	}
}

void v_shift_q_imm(struct vx *x)
{
	switch (INSN_REG(x->in)) {
	case 2: psrlq_by(x, &x->b, x->imm); break;
	case 3: psrldq(x, x->imm); break;
	case 6: psllq_by(x, &x->b, x->imm); break;
	default: pslldq(x, x->imm); break;
	}
}

static bool wide(const struct vx *x) { return insn_row(x->in)->attr & A_W1; }

static void vpsrld(struct vx *x) LANE_BODY(d, b > 31 ? 0 : a >> b)
static void vpsrlq(struct vx *x) LANE_BODY(q, b > 63 ? 0 : a >> b)
static void vpslld(struct vx *x) LANE_BODY(d, b > 31 ? 0 : a << b)
static void vpsllq(struct vx *x) LANE_BODY(q, b > 63 ? 0 : a << b)
LANES(vpsravd, sd, a >> ((uint32_t)b > 31 ? 31 : b))
void v_vpsrlv(struct vx *x) { wide(x) ? vpsrlq(x) : vpsrld(x); }
void v_vpsllv(struct vx *x) { wide(x) ? vpsllq(x) : vpslld(x); }

/* ---- the rest ---- */

/* ZF: a & b has none of the bits, CF: ~a & b has none. */
static void test_bits(struct vx *x, uint64_t mask)
{
	uint64_t both = 0, only_b = 0;

	for (int i = 0; i < x->n / 8; i++) {
		both |= x->a.q[i] & x->b.q[i] & mask;
		only_b |= ~x->a.q[i] & x->b.q[i] & mask;
	}
	put_flags(x, (both ? 0 : FL_ZF) | (only_b ? 0 : FL_CF));
	x->no_result = true;
}

void v_ptest(struct vx *x) { test_bits(x, ~0ull); }
void v_vtestps(struct vx *x) { test_bits(x, 0x8000000080000000); }
void v_vtestpd(struct vx *x) { test_bits(x, 0x8000000000000000); }

void v_phminposuw(struct vx *x)
{
	int best = 0;

	for (int i = 1; i < 8; i++)
		if (x->b.w[i] < x->b.w[best])
			best = i;
	memset(&x->r, 0, sizeof(x->r));
	x->r.w[0] = x->b.w[best];
	x->r.w[1] = (uint16_t)best;
}

/* Sums of differences of four bytes of b with sliding bytes of a; imm bits 5..3 are for the upper lane. */
void v_mpsadbw(struct vx *x)
{
	EACH_LANE(x, o) {
		int sel = x->imm >> (o ? 3 : 0), at = sel & 4, bt = (sel & 3) * 4;
		for (int i = 0; i < 8; i++) {
			unsigned sum = 0;
			for (int k = 0; k < 4; k++)
				sum += (unsigned)abs(x->a.b[o + at + i + k] - x->b.b[o + bt + k]);
			x->r.w[o / 2 + i] = (uint16_t)sum;
		}
	}
}
