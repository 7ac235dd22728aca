/*
 * Which XSAVE state components there are and where they stand (contract in
 * cpu/xstate.h).
 * Source: Intel SDM vol. 1, 13.2, 13.4; vol. 2A CPUID, leaf 0DH.
 */
#include "cpu/xstate.h"

#include "cpu/cpuid.h"

static const struct xcomp {
	uint16_t bit, bytes, intel, amd;
	bool align;
	enum cpuid_feature needs;
} comps[] = {
#define XCOMP(bit, id, bytes, intel, amd, align, needs) { bit, bytes, intel, amd, align, CPUID_##needs },
#include "cpu/xstate.def"
};

uint64_t xsave_features(const struct cpu *c)
{
	uint64_t v = XF_X87 | XF_SSE;

	if (!cpu_has(c, CPUID_XSAVE))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(comps); i++)
		if (cpu_has(c, comps[i].needs))
			v |= BIT(comps[i].bit);
	return v;
}

static uint32_t standard_offset(const struct cpu *c, const struct xcomp *x)
{
	return cpuid_is_intel(c) ? x->intel : x->amd;
}

uint32_t xsave_offset(const struct cpu *c, int bit, uint64_t comp_bv)
{
	uint32_t at = XSAVE_HEADER_END;

	for (unsigned i = 0; i < ARRAY_LEN(comps); i++) {
		if (!(comp_bv & XCOMP_COMPACT)) {
			if (comps[i].bit == bit)
				return standard_offset(c, &comps[i]);
			continue;
		}
		if (comps[i].align && comp_bv & BIT(comps[i].bit))
			at = (at + 63) & ~63u;
		if (comps[i].bit == bit)
			break;
		if (comp_bv & BIT(comps[i].bit))
			at += comps[i].bytes;
	}
	return at;
}

uint32_t xsave_bytes(const struct cpu *c, uint64_t comp_bv)
{
	uint32_t end = XSAVE_HEADER_END;

	for (unsigned i = 0; i < ARRAY_LEN(comps); i++) {
		uint32_t e = xsave_offset(c, comps[i].bit, comp_bv) + comps[i].bytes;
		if (comp_bv & BIT(comps[i].bit) && e > end)
			end = e;
	}
	return end;
}

void xsave_leaf(const struct cpu *c, uint32_t bit, uint32_t out[3])
{
	out[0] = out[1] = out[2] = 0;
	for (unsigned i = 0; i < ARRAY_LEN(comps); i++)
		if (comps[i].bit == bit && xsave_features(c) >> bit & 1) {
			out[0] = comps[i].bytes;
			out[1] = standard_offset(c, &comps[i]);
			out[2] = comps[i].align ? 2 : 0;
		}
}

static bool any_set(const uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i += 8)
		if (ld64(p + i))
			return true;
	return false;
}

uint64_t xsave_in_use(const struct cpu *c)
{
	return XF_X87 | XF_SSE | (c->vec_live || any_set(c->xsave + XSAVE_YMM, 256) ? XF_AVX : 0) |
	       (c->pkru ? XF_PKRU : 0);
}
