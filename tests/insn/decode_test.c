/*
 * What the decoder has learnt (cpu/decode_known.c) gives the same as the general way, for every opcode of
 * the maps it knows, every ModRM byte, with prefixes and without.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
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

/* A look at it says the same, if it says anything. */
static bool skims_alike(const uint8_t *b, const struct insn_env *env, const struct insn *in)
{
	unsigned len;
	const struct insn_row *row = decode_skim(b, env, &len);

	return !row || (row == insn_row(in) && len == in->len);
}

/* INSN_WIDE bytes are enough for what is known, one less is not. */
static bool ways_differ(const uint8_t *b, const struct insn_env *env)
{
	struct insn a, g;
	enum insn_result rg = insn_decode(b, INSN_WIDE - 1, env, &g), ra = insn_decode(b, INSN_WIDE, env, &a);

	if (ra == rg)
		ra = insn_decode(b, INSN_WIDE, env, &a);	/* it may be known now */

	return ra != rg || a.len != g.len || (ra == INSN_OK && (memcmp(&a, &g, sizeof(a)) || !skims_alike(b, env, &g)));
}

static struct insn_env env_of(uint32_t mode, uint64_t feat0, uint64_t feat1)
{
	return (struct insn_env){ mode, { feat0, feat1 }, calloc(1, sizeof(struct decode_memo)) };
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

Test(decode, what_is_known_gives_what_the_general_one_gives)
{
	static const uint8_t prefixes[] = { 0x40, 0x41, 0x44, 0x48, 0x4f, 0x66, 0xf2, 0xf3, 0x64, 0xf0 };
	static const uint8_t pairs[][2] = { { 0x66, 0x48 }, { 0x66, 0x41 }, { 0xf3, 0x4c }, { 0xf2, 0x44 }, { 0x66, 0xf3 }, { 0x48, 0x66 } };
	static const uint32_t modes[] = { MODE_CODE64 | MODE_PE | MODE_LMA, MODE_CODE32 | MODE_PE, MODE_CODE32 };
	uint64_t rng = SEED;

	for (unsigned m = 0; m < ARRAY_LEN(modes); m++) {
		struct insn_env all = env_of(modes[m], ~0ull, ~0ull), none = env_of(modes[m], BIT(F_BASE), 0);
		struct insn_env amd = env_of(modes[m], ~BIT(F_INTEL), ~0ull);

		compare(prefixes, 0, &all, &rng);
		compare(prefixes, 0, &none, &rng);
		for (unsigned i = 0; i < ARRAY_LEN(prefixes); i++)
			compare(prefixes + i, 1, i & 1 ? &all : &amd, &rng);
		for (unsigned i = 0; i < ARRAY_LEN(pairs); i++)
			compare(pairs[i], 2, i & 1 ? &all : &amd, &rng);
		free(all.memo);
		free(none.memo);
		free(amd.memo);
	}
}

/* On AMD's models as well: see "Not modelled" in the decoder. */
Test(decode, far_pointers_with_rex_w_have_64_bits_of_offset)
{
	static const uint8_t far[][INSN_WIDE] = { { 0x48, 0xff, 0x2f }, { 0x48, 0xff, 0x1f }, { 0x48, 0x0f, 0xb5, 0x07 } };
	struct insn_env amd = env_of(MODE_CODE64 | MODE_PE | MODE_LMA, ~BIT(F_INTEL), ~0ull);
	struct insn in;

	for (unsigned i = 0; i < ARRAY_LEN(far); i++) {
		cr_assert_eq(insn_decode(far[i], INSN_WIDE, &amd, &in), INSN_OK);
		cr_expect_eq(in.opd[in.nopd - 1].size, 10);
	}
	free(amd.memo);
}

/* Most of what compilers make is decoded the short way the second time: not a test of speed, but that it is used. */
static void usual_is_learnt(struct insn_env *env)
{
	static const uint8_t usual[][INSN_WIDE] = {
		{ 0x48, 0x8b, 0x44, 0x24, 0x10 }, { 0x89, 0xd8 }, { 0x0f, 0xb6, 0x04, 0x0e }, { 0x41, 0x57 }, { 0x48, 0x83, 0xec, 0x18 },
		{ 0x74, 0x05 }, { 0xe8, 1, 2, 3, 4 }, { 0xc3 }, { 0x66, 0x0f, 0x6f, 0x00 }, { 0xd1, 0xe0 }, { 0x84, 0xe4 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(usual); i++) {
		struct insn a, b;
		unsigned len;

		cr_assert(!decode_skim(usual[i], env, &len), "%u", i);
		cr_assert_eq(insn_decode(usual[i], INSN_WIDE, env, &a), INSN_OK);
		cr_assert(decode_skim(usual[i], env, &len), "%u", i);
		cr_assert_eq(insn_decode(usual[i], INSN_WIDE, env, &b), INSN_OK);
		cr_assert(!memcmp(&a, &b, sizeof(a)), "%u", i);
	}
}

Test(decode, usual_instructions_are_known_the_second_time)
{
	struct insn_env env = env_of(MODE_CODE64 | MODE_PE | MODE_LMA, ~0ull, ~0ull);

	usual_is_learnt(&env);
	free(env.memo);
}

/* A kernel that boots through all modes leaves room for what its programs use, and whoever uses everything does, too. */
Test(decode, usual_instructions_are_learnt_however_much_is_known)
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3 };
	struct insn_env env = env_of(MODE_CODE32 | MODE_PE, ~0ull, ~0ull);
	uint64_t rng = SEED;

	compare(prefixes, 0, &env, &rng);
	for (unsigned i = 0; i < ARRAY_LEN(prefixes); i++)
		compare(prefixes + i, 1, &env, &rng);
	env.mode = MODE_CODE64 | MODE_PE | MODE_LMA;
	usual_is_learnt(&env);
	free(env.memo);
}
