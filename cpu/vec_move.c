/*
 * Vector moves: whole registers, parts, shuffles, packing, widening, blends,
 * broadcasts, transfers to and from general registers.
 *
 * Source: SDM vol. 2; APM vol. 4 (SSE4a).
 */
#include "cpu/vec_priv.h"

/* ---- moves ---- */

void v_mov(struct vx *x) { x->r = x->b; }

void v_movlow(struct vx *x)
{
	uint64_t v = x->b.q[0];

	memset(&x->r, 0, sizeof(x->r));
	x->r.q[0] = v;
}

void v_movhigh(struct vx *x) { x->r.q[0] = x->b.q[1]; }

/* From memory the rest becomes 0, from a register it stays. */
void v_movss(struct vx *x)
{
	if (x->from_mem)
		v_movlow(x);
	else
		x->r.d[0] = x->b.d[0];
}

void v_movsd(struct vx *x)
{
	if (x->from_mem)
		v_movlow(x);
	else
		x->r.q[0] = x->b.q[0];
}

/* The register form is MOVHLPS. */
void v_movlps(struct vx *x) { x->r.q[0] = x->b.q[x->from_mem ? 0 : 1]; }
/* The register form is MOVLHPS. */
void v_movhps(struct vx *x) { x->r.q[1] = x->b.q[0]; }

/* VZEROUPPER and, with VEX.L, VZEROALL; in 32-bit code of registers 0..7 only. */
void v_vzero(struct vx *x)
{
	int n = cpu_is64(x->c) ? 16 : 8;

	memset(x->c->xsave + 576, 0, 16 * (size_t)n);
	if (x->in->vex_l)
		memset(xmm(x->c, 0), 0, 16 * (size_t)n);
	x->no_result = true;
}

/* One bit of each byte, or the sign of each number, as a mask. */
static uint64_t signs(const struct vx *x, int size)
{
	uint64_t r = 0;

	for (int i = 0; i < x->n; i += size)
		r |= (uint64_t)(x->b.b[i + size - 1] >> 7) << i / size;
	return r;
}

/* The vector length is that of the source. */
static void put_signs(struct vx *x, int size) { x->r.q[0] = signs(x, size); }
void v_pmovmskb(struct vx *x) { put_signs(x, 1); }
void v_movmskps(struct vx *x) { put_signs(x, 4); }
void v_movmskpd(struct vx *x) { put_signs(x, 8); }

/* ---- shuffles inside lanes of 16 bytes (8 with MMX) ---- */

#define EACH(x, i, size) for (int i = 0; i < (x)->n / (size); i++)

void v_movsldup(struct vx *x) { EACH(x, i, 4) x->r.d[i] = x->b.d[i & ~1]; }
void v_movshdup(struct vx *x) { EACH(x, i, 4) x->r.d[i] = x->b.d[i | 1]; }
void v_movddup(struct vx *x) { EACH(x, i, 8) x->r.q[i] = x->b.q[i & ~1]; }

/* Interleave the lower or upper halves of a and b, elements of size bytes. */
static void unpack(struct vx *x, int size, bool high)
{
	int m = lane(x);

	EACH_LANE(x, o)
		for (int i = 0; i < m / 2; i += size) {
			int from = o + (high ? m / 2 : 0) + i;
			memcpy(&x->r.b[o + 2 * i], &x->a.b[from], (size_t)size);
			memcpy(&x->r.b[o + 2 * i + size], &x->b.b[from], (size_t)size);
		}
}

void v_punpcklbw(struct vx *x) { unpack(x, 1, false); }
void v_punpcklwd(struct vx *x) { unpack(x, 2, false); }
void v_unpcklps(struct vx *x) { unpack(x, 4, false); }
void v_unpcklpd(struct vx *x) { unpack(x, 8, false); }
void v_punpckhbw(struct vx *x) { unpack(x, 1, true); }
void v_punpckhwd(struct vx *x) { unpack(x, 2, true); }
void v_unpckhps(struct vx *x) { unpack(x, 4, true); }
void v_unpckhpd(struct vx *x) { unpack(x, 8, true); }

static int clamp(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

/* Words to bytes: a's to the lower half of a lane, b's to the upper. */
static void pack_words(struct vx *x, int lo, int hi)
{
	int h = lane(x) / 2;

	EACH_LANE(x, o)
		for (int i = 0; i < h; i++) {
			x->r.b[o + i] = (uint8_t)clamp(x->a.sw[o / 2 + i], lo, hi);
			x->r.b[o + h + i] = (uint8_t)clamp(x->b.sw[o / 2 + i], lo, hi);
		}
}

static void pack_dwords(struct vx *x, int lo, int hi)
{
	int h = lane(x) / 4;

	EACH_LANE(x, o)
		for (int i = 0; i < h; i++) {
			x->r.w[o / 2 + i] = (uint16_t)clamp(x->a.sd[o / 4 + i], lo, hi);
			x->r.w[o / 2 + h + i] = (uint16_t)clamp(x->b.sd[o / 4 + i], lo, hi);
		}
}

void v_packsswb(struct vx *x) { pack_words(x, -128, 127); }
void v_packuswb(struct vx *x) { pack_words(x, 0, 255); }
void v_packssdw(struct vx *x) { pack_dwords(x, -32768, 32767); }
void v_packusdw(struct vx *x) { pack_dwords(x, 0, 65535); }

/* Four elements picked by two bits each. */
static int pick(const struct vx *x, int i) { return x->imm >> 2 * (i & 3) & 3; }

void v_pshufd(struct vx *x) { EACH(x, i, 4) x->r.d[i] = x->b.d[(i & ~3) + pick(x, i)]; }
void v_pshufw(struct vx *x) { EACH(x, i, 2) x->r.w[i] = x->b.w[(i & ~3) + pick(x, i)]; }

void v_pshuflw(struct vx *x)
{
	EACH(x, i, 2)
		x->r.w[i] = i & 4 ? x->b.w[i] : x->b.w[(i & ~3) + pick(x, i)];
}

void v_pshufhw(struct vx *x)
{
	EACH(x, i, 2)
		x->r.w[i] = i & 4 ? x->b.w[(i & ~3) + pick(x, i)] : x->b.w[i];
}

void v_shufps(struct vx *x)
{
	EACH(x, i, 4)
		x->r.d[i] = (i & 2 ? &x->b : &x->a)->d[(i & ~3) + pick(x, i)];
}

void v_shufpd(struct vx *x)
{
	EACH(x, i, 8)
		x->r.q[i] = (i & 1 ? &x->b : &x->a)->q[(i & ~1) + (x->imm >> i & 1)];
}

void v_pshufb(struct vx *x)
{
	int m = lane(x);

	EACH(x, i, 1)
		x->r.b[i] = x->b.b[i] & 0x80 ? 0 : x->a.b[(i & ~(m - 1)) + (x->b.b[i] & (m - 1))];
}

void v_palignr(struct vx *x)
{
	int m = lane(x);

	EACH_LANE(x, o)
		for (int i = 0; i < m; i++) {
			int from = i + x->imm;
			x->r.b[o + i] = from < m ? x->b.b[o + from] : from < 2 * m ? x->a.b[o + from - m] : 0;
		}
}

void v_vpermilps(struct vx *x) { EACH(x, i, 4) x->r.d[i] = x->a.d[(i & ~3) + (x->b.d[i] & 3)]; }
void v_vpermilpd(struct vx *x) { EACH(x, i, 8) x->r.q[i] = x->a.q[(i & ~1) + (x->b.q[i] >> 1 & 1)]; }
void v_vpermilpd_imm(struct vx *x) { EACH(x, i, 8) x->r.q[i] = x->b.q[(i & ~1) + (x->imm >> i & 1)]; }

/* ---- across lanes ---- */

void v_vpermd(struct vx *x) { EACH(x, i, 4) x->r.d[i] = x->b.d[x->a.d[i] & 7]; }
void v_vpermq(struct vx *x) { EACH(x, i, 8) x->r.q[i] = x->b.q[pick(x, i)]; }

void v_vperm2x128(struct vx *x)
{
	for (int i = 0; i < 2; i++) {
		int sel = x->imm >> 4 * i;
		const union vec *v = sel & 2 ? &x->b : &x->a;

		x->r.q[2 * i] = sel & 8 ? 0 : v->q[2 * (sel & 1)];
		x->r.q[2 * i + 1] = sel & 8 ? 0 : v->q[2 * (sel & 1) + 1];
	}
}

void v_vinsert128(struct vx *x) { memcpy(&x->r.q[2 * (x->imm & 1)], &x->b, 16); }
void v_vextract128(struct vx *x) { memcpy(&x->r, &x->b.q[2 * (x->imm & 1)], 16); }
void v_broadcastb(struct vx *x) { EACH(x, i, 1) x->r.b[i] = x->b.b[0]; }
void v_broadcastw(struct vx *x) { EACH(x, i, 2) x->r.w[i] = x->b.w[0]; }
void v_broadcastd(struct vx *x) { EACH(x, i, 4) x->r.d[i] = x->b.d[0]; }
void v_broadcastq(struct vx *x) { EACH(x, i, 8) x->r.q[i] = x->b.q[0]; }
void v_broadcast128(struct vx *x) { EACH(x, i, 8) x->r.q[i] = x->b.q[i & 1]; }

/* ---- blends: b where the mask says so ---- */

void v_blendps(struct vx *x) { EACH(x, i, 4) x->r.d[i] = (x->imm >> i & 1 ? &x->b : &x->a)->d[i]; }
void v_blendpd(struct vx *x) { EACH(x, i, 8) x->r.q[i] = (x->imm >> i & 1 ? &x->b : &x->a)->q[i]; }
void v_pblendw(struct vx *x) { EACH(x, i, 2) x->r.w[i] = (x->imm >> (i & 7) & 1 ? &x->b : &x->a)->w[i]; }
void v_pblendvb(struct vx *x) { EACH(x, i, 1) x->r.b[i] = (x->d.sb[i] < 0 ? &x->b : &x->a)->b[i]; }
void v_blendvps(struct vx *x) { EACH(x, i, 4) x->r.d[i] = (x->d.sd[i] < 0 ? &x->b : &x->a)->d[i]; }
void v_blendvpd(struct vx *x) { EACH(x, i, 8) x->r.q[i] = (x->d.sq[i] < 0 ? &x->b : &x->a)->q[i]; }

/* ---- widening ---- */

#define WIDEN(name, to, from, size) void v_##name(struct vx *x) { EACH(x, i, size) x->r.to[i] = x->b.from[i]; }
WIDEN(pmovsxbw, sw, sb, 2)
WIDEN(pmovsxbd, sd, sb, 4)
WIDEN(pmovsxbq, sq, sb, 8)
WIDEN(pmovsxwd, sd, sw, 4)
WIDEN(pmovsxwq, sq, sw, 8)
WIDEN(pmovsxdq, sq, sd, 8)
WIDEN(pmovzxbw, w,  b,  2)
WIDEN(pmovzxbd, d,  b,  4)
WIDEN(pmovzxbq, q,  b,  8)
WIDEN(pmovzxwd, d,  w,  4)
WIDEN(pmovzxwq, q,  w,  8)
WIDEN(pmovzxdq, q,  d,  8)

/* ---- single elements ---- */

/* Quadwords with REX.W or VEX.W. */
static bool wide(const struct vx *x) { return insn_row(x->in)->attr & A_W1; }

void v_pextrb(struct vx *x) { x->r.q[0] = x->b.b[x->imm & 15]; }
void v_pextrw(struct vx *x) { x->r.q[0] = x->b.w[x->imm & (x->n / 2 - 1) & 7]; }
void v_pextrd(struct vx *x) { x->r.q[0] = wide(x) ? x->b.q[x->imm & 1] : x->b.d[x->imm & 3]; }
void v_extractps(struct vx *x) { x->r.q[0] = x->b.d[x->imm & 3]; }
void v_pinsrb(struct vx *x) { x->r.b[x->imm & 15] = x->b.b[0]; }
void v_pinsrw(struct vx *x) { x->r.w[x->imm & (x->n / 2 - 1) & 7] = x->b.w[0]; }

void v_pinsrd(struct vx *x)
{
	if (wide(x))
		x->r.q[x->imm & 1] = x->b.q[0];
	else
		x->r.d[x->imm & 3] = x->b.d[0];
}

/* imm: element of b in bits 7..6 (a register's), place 5..4, zeroes 3..0. */
void v_insertps(struct vx *x)
{
	x->r.d[x->imm >> 4 & 3] = x->b.d[x->from_mem ? 0 : x->imm >> 6];
	for (int i = 0; i < 4; i++)
		if (x->imm >> i & 1)
			x->r.d[i] = 0;
}

/* ---- SSE4a: bit fields of the low quadword; a length of 0 is 64. The upper one is undefined: 0 ---- */

static uint64_t field_mask(uint64_t len) { return ~0ull >> (-len & 63); }

static void extract(struct vx *x, uint64_t len, uint64_t at)
{
	x->r.q[0] = x->a.q[0] >> (at & 63) & field_mask(len);
	x->r.q[1] = 0;
}

static void insert(struct vx *x, uint64_t len, uint64_t at)
{
	uint64_t m = field_mask(len) << (at & 63);

	x->r.q[0] = (x->a.q[0] & ~m) | (x->b.q[0] << (at & 63) & m);
	x->r.q[1] = 0;
}

void v_extrq(struct vx *x) { extract(x, x->b.q[0], x->b.q[0] >> 8); }
void v_extrq_imm(struct vx *x) { extract(x, x->imm, (uint64_t)x->in->imm2); }
void v_insertq(struct vx *x) { insert(x, x->b.q[1], x->b.q[1] >> 8); }
void v_insertq_imm(struct vx *x) { insert(x, x->imm, (uint64_t)x->in->imm2); }
