/*
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: compare two strings of up to 16 bytes
 * or 8 words. imm: bit 0 words, bit 1 signed, bits 3..2 the kind of comparison,
 * bits 5..4 what becomes of the result bits, bit 6 which end counts or that the
 * mask is expanded.
 *
 * Source: SDM vol. 1, 4.1 in vol. 2B "Imm8 control byte operation".
 */
#include "cpu/vec_priv.h"

enum { EQUAL_ANY, RANGES, EQUAL_EACH, EQUAL_ORDERED };

struct strings {
	int n;			/* elements in a register: 16 or 8 */
	int na, nb;		/* valid ones of a (first operand) and b */
	bool words, is_signed;
};

static int element(const struct strings *s, const union vec *v, int i)
{
	if (s->words)
		return s->is_signed ? v->sw[i] : v->w[i];
	return s->is_signed ? v->sb[i] : v->b[i];
}

/* Elements before the first zero. */
static int implicit_length(const struct strings *s, const union vec *v)
{
	int i = 0;

	while (i < s->n && (s->words ? v->w[i] : v->b[i]))
		i++;
	return i;
}

/* |register|, at most n. */
static int explicit_length(const struct vx *x, int reg, int n)
{
	bool wide = x->in->rex & 8 && cpu_is64(x->c);
	int64_t v = wide ? (int64_t)x->c->regs[reg] : (int32_t)x->c->regs[reg];

	return v > n || v < -n ? n : (int)(v < 0 ? -v : v);
}

/* Does element j of b fall into a set or one of the ranges of a? */
static bool in_set(const struct vx *x, const struct strings *s, int j)
{
	int v = element(s, &x->b, j);

	for (int i = 0; i < s->na; i++)
		if (v == element(s, &x->a, i))
			return true;
	return false;
}

static bool in_ranges(const struct vx *x, const struct strings *s, int j)
{
	int v = element(s, &x->b, j);

	for (int i = 0; i + 1 < s->na; i += 2)
		if (v >= element(s, &x->a, i) && v <= element(s, &x->a, i + 1))
			return true;
	return false;
}

/* Both invalid counts as equal. */
static bool equal_at(const struct vx *x, const struct strings *s, int j)
{
	if (j >= s->na || j >= s->nb)
		return j >= s->na && j >= s->nb;
	return element(s, &x->a, j) == element(s, &x->b, j);
}

/* Does a stand in b at j, as far as the register reaches? */
static bool stands_at(const struct vx *x, const struct strings *s, int j)
{
	for (int i = 0; i < s->na && j + i < s->n; i++)
		if (j + i >= s->nb || element(s, &x->a, i) != element(s, &x->b, j + i))
			return false;
	return true;
}

static unsigned compare(const struct vx *x, const struct strings *s)
{
	unsigned r = 0;

	for (int j = 0; j < s->n; j++) {
		bool hit;
		switch (x->imm >> 2 & 3) {
		case EQUAL_ANY: hit = j < s->nb && in_set(x, s, j); break;
		case RANGES: hit = j < s->nb && in_ranges(x, s, j); break;
		case EQUAL_EACH: hit = equal_at(x, s, j); break;
		default: hit = stands_at(x, s, j); break;
		}
		r |= (unsigned)hit << j;
	}
	return r;
}

/* Bit 4 inverts, bit 5 spares the bits behind the end of b. */
static unsigned polarity(const struct vx *x, const struct strings *s, unsigned r)
{
	unsigned all = (1u << s->n) - 1;

	if (!(x->imm & 0x10))
		return r;
	return r ^ (x->imm & 0x20 ? (1u << s->nb) - 1 : all);
}

static unsigned run(struct vx *x, struct strings *s, bool is_explicit)
{
	unsigned r;

	s->words = x->imm & 1;
	s->is_signed = x->imm & 2;
	s->n = s->words ? 8 : 16;
	s->na = is_explicit ? explicit_length(x, RAX, s->n) : implicit_length(s, &x->a);
	s->nb = is_explicit ? explicit_length(x, RDX, s->n) : implicit_length(s, &x->b);
	r = polarity(x, s, compare(x, s));
	put_flags(x, (r ? FL_CF : 0) | (s->nb < s->n ? FL_ZF : 0) | (s->na < s->n ? FL_SF : 0) |
		  (r & 1 ? FL_OF : 0));
	x->no_result = true;
	return r;
}

static void put_index(struct vx *x, bool is_explicit)
{
	struct strings s;
	unsigned r = run(x, &s, is_explicit);

	if (!r)
		x->c->regs[RCX] = (unsigned)s.n;
	else
		x->c->regs[RCX] = (unsigned)(x->imm & 0x40 ? 31 - __builtin_clz(r) : __builtin_ctz(r));
}

static void put_mask(struct vx *x, bool is_explicit)
{
	struct strings s;
	unsigned r = run(x, &s, is_explicit);
	union vec v = { 0 };

	for (int i = 0; i < s.n && x->imm & 0x40; i++) {
		if (s.words)
			v.w[i] = (uint16_t)-(r >> i & 1);
		else
			v.b[i] = (uint8_t)-(r >> i & 1);
	}
	if (!(x->imm & 0x40))
		v.d[0] = r;
	memcpy(xmm(x->c, 0), &v, 16);
	if (x->vex)
		memset(x->c->xsave + 576, 0, 16);
}

void v_pcmpestri(struct vx *x) { put_index(x, true); }
void v_pcmpistri(struct vx *x) { put_index(x, false); }
void v_pcmpestrm(struct vx *x) { put_mask(x, true); }
void v_pcmpistrm(struct vx *x) { put_mask(x, false); }
