/*
 * AES, SHA-1, SHA-256, carry-less multiplication, GF(2^8). AES's substitution box
 * is computed: the inverse in GF(2^8), then an affine map.
 *
 * Source: SDM vol. 2; FIPS 197 (AES), FIPS 180-4 (SHA).
 */
#include "cpu/vec_priv.h"

/* ---- GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 ---- */

static uint8_t gf_mul(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (; b; b >>= 1) {
		if (b & 1)
			r ^= a;
		a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
	}
	return r;
}

/* a^254 */
static uint8_t gf_inverse(uint8_t a)
{
	uint8_t r = a;

	for (int i = 0; i < 6; i++)
		r = gf_mul(gf_mul(r, r), a);
	return gf_mul(r, r);
}

static uint8_t rotl8(uint8_t v, int n) { return (uint8_t)(v << n | v >> (8 - n)); }

static uint8_t sub_byte(uint8_t v)
{
	uint8_t i = gf_inverse(v);

	return i ^ rotl8(i, 1) ^ rotl8(i, 2) ^ rotl8(i, 3) ^ rotl8(i, 4) ^ 0x63;
}

static uint8_t inv_sub_byte(uint8_t v)
{
	return gf_inverse(rotl8(v, 1) ^ rotl8(v, 3) ^ rotl8(v, 6) ^ 0x05);
}

void v_gf2p8mulb(struct vx *x)
{
	for (int i = 0; i < x->n; i++)
		x->r.b[i] = gf_mul(x->a.b[i], x->b.b[i]);
}

/* Bit i of the result is the parity of row 7 - i of the matrix (a byte of b) and v. */
static uint8_t affine(uint64_t matrix, uint8_t v, uint8_t c)
{
	uint8_t r = 0;

	for (int i = 0; i < 8; i++)
		r |= (uint8_t)(__builtin_parity((matrix >> 8 * (7 - i) & 0xff & v)) << i);
	return r ^ c;
}

void v_gf2p8affineqb(struct vx *x)
{
	for (int i = 0; i < x->n; i++)
		x->r.b[i] = affine(x->b.q[i / 8], x->a.b[i], x->imm);
}

void v_gf2p8affineinvqb(struct vx *x)
{
	for (int i = 0; i < x->n; i++)
		x->r.b[i] = affine(x->b.q[i / 8], gf_inverse(x->a.b[i]), x->imm);
}

/* 64 x 64 -> 128 bits without carries. */
void v_pclmulqdq(struct vx *x)
{
	EACH_LANE(x, o) {
		uint64_t a = x->a.q[o / 8 + (x->imm & 1)], b = x->b.q[o / 8 + (x->imm >> 4 & 1)];
		uint64_t lo = 0, hi = 0;

		for (int i = 0; i < 64; i++)
			if (b >> i & 1) {
				lo ^= a << i;
				hi ^= i ? a >> (64 - i) : 0;
			}
		x->r.q[o / 8] = lo;
		x->r.q[o / 8 + 1] = hi;
	}
}

/* ---- AES: the state is four columns of four bytes ---- */

/* Row r moves by r columns, dir 1 or 3 (back), each byte through f. */
static void shift_sub(const uint8_t *s, uint8_t *r, int dir, uint8_t (*f)(uint8_t))
{
	for (int i = 0; i < 16; i++)
		r[i] = f(s[(i + 4 * dir * (i & 3)) & 15]);
}

/* Each column times the circulant matrix whose first row is m. */
static void mix(uint8_t *s, const uint8_t m[4])
{
	for (int c = 0; c < 16; c += 4) {
		uint8_t t[4] = { s[c], s[c + 1], s[c + 2], s[c + 3] };
		for (int i = 0; i < 4; i++)
			s[c + i] = gf_mul(t[i], m[0]) ^ gf_mul(t[(i + 1) & 3], m[1]) ^
				   gf_mul(t[(i + 2) & 3], m[2]) ^ gf_mul(t[(i + 3) & 3], m[3]);
	}
}

static const uint8_t mix_forward[4] = { 2, 3, 1, 1 }, mix_back[4] = { 14, 11, 13, 9 };

static void aes_round(struct vx *x, bool decrypt, bool last)
{
	EACH_LANE(x, o) {
		uint8_t s[16];
		shift_sub(&x->a.b[o], s, decrypt ? 3 : 1, decrypt ? inv_sub_byte : sub_byte);
		if (!last)
			mix(s, decrypt ? mix_back : mix_forward);
		for (int i = 0; i < 16; i++)
			x->r.b[o + i] = s[i] ^ x->b.b[o + i];
	}
}

void v_aesenc(struct vx *x) { aes_round(x, false, false); }
void v_aesenclast(struct vx *x) { aes_round(x, false, true); }
void v_aesdec(struct vx *x) { aes_round(x, true, false); }
void v_aesdeclast(struct vx *x) { aes_round(x, true, true); }

void v_aesimc(struct vx *x)
{
	x->r = x->b;
	mix(x->r.b, mix_back);
}

static uint32_t ror32(uint32_t v, int n) { return v >> n | v << (32 - n); }
static uint32_t rol32(uint32_t v, int n) { return v << n | v >> (32 - n); }

static uint32_t sub_word(uint32_t v)
{
	uint32_t r = 0;

	for (int i = 0; i < 32; i += 8)
		r |= (uint32_t)sub_byte((uint8_t)(v >> i)) << i;
	return r;
}

void v_aeskeygenassist(struct vx *x)
{
	uint32_t s1 = sub_word(x->b.d[1]), s3 = sub_word(x->b.d[3]);

	x->r.d[0] = s1;
	x->r.d[1] = ror32(s1, 8) ^ x->imm;
	x->r.d[2] = s3;
	x->r.d[3] = ror32(s3, 8) ^ x->imm;
}

/* ---- SHA-1; words count from the top ---- */

void v_sha1nexte(struct vx *x)
{
	x->r = x->b;
	x->r.d[3] += rol32(x->a.d[3], 30);
}

void v_sha1msg1(struct vx *x)
{
	const uint32_t w[6] = { x->a.d[3], x->a.d[2], x->a.d[1], x->a.d[0], x->b.d[3], x->b.d[2] };

	for (int i = 0; i < 4; i++)
		x->r.d[3 - i] = w[i] ^ w[i + 2];
}

void v_sha1msg2(struct vx *x)
{
	uint32_t w16 = rol32(x->a.d[3] ^ x->b.d[2], 1);

	x->r.d[3] = w16;
	x->r.d[2] = rol32(x->a.d[2] ^ x->b.d[1], 1);
	x->r.d[1] = rol32(x->a.d[1] ^ x->b.d[0], 1);
	x->r.d[0] = rol32(x->a.d[0] ^ w16, 1);
}

static uint32_t sha1_f(int kind, uint32_t b, uint32_t c, uint32_t d)
{
	switch (kind) {
	case 0: return (b & c) ^ (~b & d);
	case 2: return (b & c) ^ (b & d) ^ (c & d);
	default: return b ^ c ^ d;
	}
}

void v_sha1rnds4(struct vx *x)
{
	static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
	uint32_t a = x->a.d[3], b = x->a.d[2], c = x->a.d[1], d = x->a.d[0], e = 0;
	int kind = x->imm & 3;

	for (int i = 0; i < 4; i++) {
		uint32_t t = sha1_f(kind, b, c, d) + rol32(a, 5) + x->b.d[3 - i] + e + k[kind];
		e = d;
		d = c;
		c = rol32(b, 30);
		b = a;
		a = t;
	}
	x->r.d[3] = a;
	x->r.d[2] = b;
	x->r.d[1] = c;
	x->r.d[0] = d;
}

/* ---- SHA-256 ---- */

static uint32_t sigma0(uint32_t v) { return ror32(v, 7) ^ ror32(v, 18) ^ v >> 3; }
static uint32_t sigma1(uint32_t v) { return ror32(v, 17) ^ ror32(v, 19) ^ v >> 10; }

void v_sha256msg1(struct vx *x)
{
	const uint32_t w[5] = { x->a.d[0], x->a.d[1], x->a.d[2], x->a.d[3], x->b.d[0] };

	for (int i = 0; i < 4; i++)
		x->r.d[i] = w[i] + sigma0(w[i + 1]);
}

void v_sha256msg2(struct vx *x)
{
	x->r.d[0] = x->a.d[0] + sigma1(x->b.d[2]);
	x->r.d[1] = x->a.d[1] + sigma1(x->b.d[3]);
	x->r.d[2] = x->a.d[2] + sigma1(x->r.d[0]);
	x->r.d[3] = x->a.d[3] + sigma1(x->r.d[1]);
}

/* b holds A B E F, a C D G H, from the top; XMM0 two words with their constants. */
void v_sha256rnds2(struct vx *x)
{
	uint32_t a = x->b.d[3], b = x->b.d[2], e = x->b.d[1], f = x->b.d[0];
	uint32_t c = x->a.d[3], d = x->a.d[2], g = x->a.d[1], h = x->a.d[0];

	for (int i = 0; i < 2; i++) {
		uint32_t t = h + ((e & f) ^ (~e & g)) + (ror32(e, 6) ^ ror32(e, 11) ^ ror32(e, 25)) + x->d.d[i];
		uint32_t u = ((a & b) ^ (a & c) ^ (b & c)) + (ror32(a, 2) ^ ror32(a, 13) ^ ror32(a, 22));
		h = g;
		g = f;
		f = e;
		e = d + t;
		d = c;
		c = b;
		b = a;
		a = t + u;
	}
	x->r.d[3] = a;
	x->r.d[2] = b;
	x->r.d[1] = e;
	x->r.d[0] = f;
}
