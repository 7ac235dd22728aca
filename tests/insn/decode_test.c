/*
 * The decoder's short way (cpu/decode_usual.c) and the general one give the same, for every opcode of
 * the maps it knows, every ModRM byte, with prefixes and without.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/decode.h"

#define SEED 0x9e3779b97f4a7c15ull

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* INSN_WIDE bytes are enough for the short way, one less is not. */
static bool ways_differ(const uint8_t *b, const struct insn_env *env)
{
	struct insn a, g;
	enum insn_result ra = insn_decode(b, INSN_WIDE, env, &a), rg = insn_decode(b, INSN_WIDE - 1, env, &g);

	return ra != rg || a.len != g.len || (ra == INSN_OK && memcmp(&a, &g, sizeof(a)));
}

static void compare(const uint8_t *prefix, unsigned n, const struct insn_env *env, uint64_t *rng)
{
	uint8_t b[INSN_WIDE + 8];

	for (unsigned op = 0; op < 512; op++)
		for (unsigned m = 0; m < 256; m++) {
			unsigned at = n;

			for (unsigned i = 0; i < sizeof(b); i++)
				b[i] = (uint8_t)(next_random(rng) >> 32);
			memcpy(b, prefix, n);
			if (op >= 256)
				b[at++] = 0x0f;
			b[at++] = (uint8_t)op;
			b[at] = (uint8_t)m;
			if (ways_differ(b, env))
				cr_assert_fail("mode %#x, %u prefixes, first %#x: %#x %#x", env->mode, n, b[0], op, m);
		}
}

Test(decode, the_short_way_gives_what_the_general_one_gives)
{
	static const uint8_t prefixes[] = { 0x40, 0x41, 0x44, 0x48, 0x4f, 0x66, 0xf2, 0xf3, 0x64, 0xf0 };
	static const uint32_t modes[] = { MODE_CODE64 | MODE_PE | MODE_LMA, MODE_CODE32 | MODE_PE, MODE_CODE32 };
	uint64_t rng = SEED;

	for (unsigned m = 0; m < ARRAY_LEN(modes); m++) {
		struct insn_env all = { modes[m], { ~0ull, ~0ull } }, none = { modes[m], { BIT(F_BASE), 0 } };

		compare(prefixes, 0, &all, &rng);
		compare(prefixes, 0, &none, &rng);
		for (unsigned i = 0; i < ARRAY_LEN(prefixes); i++)
			compare(prefixes + i, 1, &all, &rng);
	}
}
