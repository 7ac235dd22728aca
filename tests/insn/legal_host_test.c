/*
 * Which bytes are an instruction, and how long it is: the host processor against the
 * decoder and the front end's own refusals, in 64-bit, 32-bit and 16-bit protected-mode
 * code at CPL 3.
 *
 * Enumerated: every opcode of every map, with all combinations of mandatory prefixes, LOCK
 * and REX.W, and every ModRM.mod, reg and (behind a fixed ModRM byte) rm; the same for
 * VEX with its L, W and vvvv; then random bytes and runs of prefixes. Only a part of them:
 * 2 per cent, or with CASES of the environment 1 for every 50 (all with 5000).
 *
 * `excused` lists what differs on purpose; instructions of ours that the host lacks by its
 * CPUID are passed over. An instruction that has no end within 15 bytes is #GP to a processor
 * even if its opcode is undefined; so #GP for an undefined one is accepted behind many
 * prefixes. The host is AMD's or Intel's, and so is the model.
 */
#include <cpuid.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/disasm.h"
#include "tcg/front.h"
#include "tests/insn/gen.h"
#include "tests/insn/probe.h"

#define SEED 0x452821e638d01377ull
#define PERCENT 2		/* of the enumerated cases, usually */
#define MAX_REPORTS 40
#define MAX_LOOKED_AT 20	/* opcode and ModRM behind 14 prefixes and VEX */
#define MAX_UNPREFIXED 4	/* bytes up to ModRM without any prefix */

struct test {
	struct probe probe;
	struct front f;
	struct ir ir;
	struct rng rng;
	bool is64;
	unsigned percent;
	long cases, differ, excused;
};

static const uint32_t mode_of[] = {
	[HOST_CODE16] = MODE_CODE16, [HOST_CODE32] = MODE_CODE32 | MODE_SS32, [HOST_CODE64] = MODE_CODE64,
};

/* ---- Rhea's opinion ---- */

enum opinion { LEGAL, ILLEGAL, TOO_LONG };

static bool intel(const struct test *t)
{
	return t->f.env.feat[F_INTEL >> 6] >> (F_INTEL & 63) & 1;
}

/* #UD that a helper raises: outside of SMM; in long mode on AMD's processors. */
static bool helper_refuses(const struct test *t, unsigned does)
{
	return does == DOES_rsm || (does == DOES_sysenter && !intel(t));
}

static enum opinion opinion(struct test *t, const uint8_t *b, struct insn *in)
{
	enum insn_result res = insn_decode(b, 15, &t->f.env, in);

	if (res == INSN_TOO_LONG || res == INSN_TRUNCATED)
		return TOO_LONG;
	if (res == INSN_INVALID || front_block(&t->f, b, 15, 1) != FRONT_OK)
		return ILLEGAL;
	for (unsigned i = 0; i < t->ir.n_uops; i++)
		if (t->ir.uops[i].op == UOP_raise && t->ir.uops[i].imm == EXC_UD)
			return ILLEGAL;
	return helper_refuses(t, insn_row(in)->does) ? ILLEGAL : LEGAL;
}

/* ---- the host's ---- */

static enum opinion host_opinion(struct test *t, const uint8_t *b, unsigned len, bool *same_length)
{
	enum probe_result r = probe_bytes(&t->probe, b, len);

	*same_length = r != PROBE_MORE && (len == 1 || probe_bytes(&t->probe, b, len - 1) == PROBE_MORE);
	return r == PROBE_UD ? ILLEGAL : LEGAL;
}

/* ---- what differs ---- */

/* From one opcode and ModRM byte to another; map << 8 | byte. */
static const struct excuse {
	uint16_t opcode, last;
	uint8_t modrm, last_modrm;
	const char *why;
} excused[] = {
	{ 0x62, 0x62, 0, 0xff, "EVEX (AVX-512) or, in 32-bit code, BOUND with a register" },
	{ MAP_VEX_0F << 8 | 0x41, MAP_VEX_0F << 8 | 0x4b, 0, 0xff, "mask registers (AVX-512)" },
	{ MAP_VEX_0F << 8 | 0x90, MAP_VEX_0F << 8 | 0x99, 0, 0xff, "mask registers (AVX-512)" },
	{ MAP_VEX_0F3A << 8 | 0x30, MAP_VEX_0F3A << 8 | 0x33, 0, 0xff, "mask registers (AVX-512)" },
	{ MAP_VEX_0F3A << 8 | 0x00, MAP_VEX_0F3A << 8 | 0x01, 0, 0xff,
	  "vpermq, vpermpd: the manuals want VEX.W, AMD's processors do not look at it" },
	{ MAP_0F << 8 | 0x01, MAP_0F << 8 | 0x01, 0xc1, 0xc1, "VMCALL reaches the hypervisor below" },
	{ MAP_0F << 8 | 0x01, MAP_0F << 8 | 0x01, 0xd8, 0xdf, "SVM: VMMCALL as VMCALL; off unless the model has it" },
	{ MAP_0F << 8 | 0xb9, MAP_0F << 8 | 0xb9, 0, 0xff, "UD1 has a ModRM byte, but not on AMD's" },
	{ MAP_0F << 8 | 0xff, MAP_0F << 8 | 0xff, 0, 0xff, "UD0 has a ModRM byte, but not on AMD's" },
	{ MAP_0F << 8 | 0x01, MAP_0F << 8 | 0x01, 0xee, 0xef, "RDPKRU, WRPKRU: whether CR4.PKE is set is the system's" },
	{ MAP_0F << 8 | 0x01, MAP_0F << 8 | 0x01, 0xfa, 0xfb, "MONITORX, MWAITX: we have none" },
	{ MAP_0F << 8 | 0x01, MAP_0F << 8 | 0x01, 0xfd, 0xff, "RDPRU, INVLPGB and their like: we have none" },
};

/* Where the opcode stands in bytes that did or did not decode: its map, and its place. */
static unsigned opcode_at(const struct test *t, const uint8_t *b, unsigned *at)
{
	static const uint8_t prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3 };
	unsigned i = 0;

	while (i < 14 && (memchr(prefixes, b[i], sizeof(prefixes)) || (t->is64 && b[i] >> 4 == 4)))
		i++;
	*at = i;
	if ((b[i] & 0xfe) == 0xc4 && (t->is64 || b[i + 1] >= 0xc0)) {
		*at = i + 3 - (b[i] & 1);
		return b[i] & 1 ? MAP_VEX_0F : MAP_VEX_0F - 1 + (b[i + 1] & 31);
	}
	if (b[i] != 0x0f)
		return MAP_0;
	*at = ++i;
	if (b[i] != 0x38 && b[i] != 0x3a)
		return MAP_0F;
	++*at;
	return b[i] == 0x38 ? MAP_0F38 : MAP_0F3A;
}

static const struct excuse *excuse_for(const struct test *t, const uint8_t *b)
{
	unsigned at, op = opcode_at(t, b, &at) << 8 | b[at], modrm = b[at + 1];

	for (unsigned i = 0; i < ARRAY_LEN(excused); i++) {
		const struct excuse *x = &excused[i];
		if (op >= x->opcode && op <= x->last && modrm >= x->modrm && modrm <= x->last_modrm)
			return x;
	}
	return NULL;
}

/* ---- what is compared ---- */

static const char *hex(const uint8_t *b, unsigned n, char *buf)
{
	for (unsigned i = 0; i < n; i++)
		sprintf(buf + 3 * i, "%02x ", b[i]);
	return buf;
}

static void report(struct test *t, const uint8_t *b, const struct insn *in, enum opinion ours, const char *host)
{
	char bytes[64], text[96] = "";

	if (ours == LEGAL)
		insn_text(in, 0, text, sizeof(text));
	if (t->differ++ < MAX_REPORTS)
		cr_expect(false, "%s: we say %s %s, %u bytes; the host: %s", hex(b, 15, bytes),
			  ours == LEGAL ? "legal" : ours == ILLEGAL ? "illegal" : "too long", text, in->len, host);
}

/* XOP has a prefix of three bytes and immediates of four. */
static bool is_xop(const struct test *t, const uint8_t *b)
{
	unsigned at;

	return opcode_at(t, b, &at) == MAP_0 && b[at] == 0x8f && (b[at + 1] & 31) >= 8;
}

/* Undefined, or the host looked for its end first. */
static bool is_undefined(const struct test *t, const uint8_t *b, enum probe_result r, const struct insn *in)
{
	return r == PROBE_UD || (r == PROBE_GP && (in->len > MAX_UNPREFIXED || is_xop(t, b)));
}

static void one(struct test *t, const uint8_t *b)
{
	struct insn in;
	enum opinion ours = opinion(t, b, &in);
	bool same_length;

	if (excuse_for(t, b)) {
		t->excused++;
		return;
	}
	t->cases++;
	if (ours == LEGAL) {
		bool host_lacks = host_opinion(t, b, in.len, &same_length) != LEGAL;
		if (host_lacks && !host_has(insn_row(&in)->cpuid))
			t->excused++;
		else if (host_lacks)
			report(t, b, &in, ours, "#UD");
		else if (!same_length)
			report(t, b, &in, ours, "another length");
	} else {
		enum probe_result r = probe_bytes(&t->probe, b, 16);
		if (ours == ILLEGAL && !is_undefined(t, b, r, &in))
			report(t, b, &in, ours, "legal");
		else if (ours == TOO_LONG && r != PROBE_GP)
			report(t, b, &in, ours, r == PROBE_UD ? "#UD" : "no #GP");
	}
}

/* ---- enumeration ---- */

static bool chosen(struct test *t)
{
	return rng_below(&t->rng, 100) < t->percent;
}

/* Bytes behind the opcode: any, but the ModRM byte's rm is one without SIB. */
static void fill(struct test *t, uint8_t *b, unsigned n, unsigned modrm)
{
	for (unsigned i = n; i < 16; i++)
		b[i] = (uint8_t)rng_next(&t->rng);
	b[n] = (uint8_t)modrm;
}

static unsigned put_map(uint8_t *b, unsigned map)
{
	static const uint8_t escape[] = { 0, 0, 0x38, 0x3a };

	if (!map)
		return 0;
	b[0] = 0x0f;
	if (map == MAP_0F)
		return 1;
	b[1] = escape[map];
	return 2;
}

static void modrms(struct test *t, uint8_t *b, unsigned n)
{
	for (unsigned modrm = 0; modrm < 8; modrm++)
		if (chosen(t)) {
			fill(t, b, n, modrm << 3 | 1);
			one(t, b);
		}
	for (unsigned modrm = 0xc0; modrm < 0x100; modrm++)
		if (chosen(t)) {
			fill(t, b, n, modrm);
			one(t, b);
		}
}

static void legacy(struct test *t)
{
	static const char *const prefixes[] = {
		"", "\x66", "\xf3", "\xf2", "\x66\xf3", "\x66\xf2", "\xf0", "\xf0\x66", "\xf0\xf3", "\xf0\xf2",
		"\x67", "\x2e",
	};
	uint8_t b[MAX_LOOKED_AT] = { 0 };

	for (unsigned p = 0; p < ARRAY_LEN(prefixes); p++)
		for (unsigned rex = 0; rex < (t->is64 ? 3 : 1); rex++)
			for (unsigned op = 0; op < 1024; op++) {
				unsigned n = (unsigned)strlen(prefixes[p]);
				memcpy(b, prefixes[p], n);
				if (rex)
					b[n++] = rex == 1 ? 0x48 : 0x45;
				n += put_map(b + n, op >> 8);
				b[n++] = (uint8_t)op;
				modrms(t, b, n);
			}
}

/* b[0..1] of the long form without map, X, B; b[2] without W, vvvv, L, pp. */
static void vex_op(struct test *t, unsigned map, unsigned b2)
{
	uint8_t b[MAX_LOOKED_AT] = { 0xc4, (uint8_t)(0xe0 | map), (uint8_t)b2 };

	for (unsigned op = 0; op < 256; op++) {
		b[3] = (uint8_t)op;
		modrms(t, b, 4);
	}
}

static void vex(struct test *t)
{
	static const uint8_t vvvv[] = { 0x78, 0x50 };

	for (unsigned map = 0; map < 32; map += map < 8 ? 1 : 7)
		for (unsigned w = 0; w < 256; w += 128)
			for (unsigned lpp = 0; lpp < 8; lpp++)
				for (unsigned v = 0; v < ARRAY_LEN(vvvv); v++)
					vex_op(t, map, w | vvvv[v] | lpp);
}

/* Bytes at random behind a run of prefixes, with the escapes more often than by chance. */
static void random_bytes(struct test *t)
{
	static const uint8_t starts[] = {
		0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x48, 0x41, 0x4f, 0x66, 0xf2, 0xf3, 0x0f, 0xc4, 0xc5,
	};
	uint8_t b[MAX_LOOKED_AT] = { 0 };

	for (unsigned i = 0; i < 20000 * t->percent; i++) {
		unsigned n = rng_below(&t->rng, 5);
		fill(t, b, 0, (unsigned)rng_next(&t->rng));
		for (unsigned k = 0; k < n; k++)
			b[k] = starts[rng_below(&t->rng, sizeof(starts))];
		if (rng_below(&t->rng, 4) == 0)
			b[n] = 0x0f;
		one(t, b);
	}
}

/* Instructions of up to 15 bytes are legal; prefixes make them that long. */
static void lengths(struct test *t)
{
	static const uint8_t prefixes[] = { 0x66, 0x2e, 0xf3, 0x67 };
	uint8_t b[MAX_LOOKED_AT] = { 0 };

	for (unsigned i = 0; i < 10000 * t->percent; i++) {
		unsigned n = 7 + rng_below(&t->rng, 9);
		fill(t, b, n, (unsigned)rng_next(&t->rng));
		memset(b, prefixes[rng_below(&t->rng, sizeof(prefixes))], n);
		one(t, b);
	}
}

static bool host_is_amd(void)
{
	uint32_t a, b = 0, c, d;

	return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx;
}

static struct test *open_test(enum host_code code)
{
	const char *given = getenv("CASES");
	struct test *t = calloc(1, sizeof(*t));
	struct cpu *c = calloc(1, sizeof(*c));
	struct err e;

	t->is64 = code == HOST_CODE64;
	t->percent = given ? (unsigned)atoi(given) / 50 + 1 : PERCENT;
	if (t->percent > 100)
		t->percent = 100;
	t->rng.s = SEED + code;
	if (!probe_open(&t->probe, code))
		cr_skip_test("the host does not let us trace");
	cr_assert(cpuid_configure(c, host_is_amd() ? "max" : "max,vendor=GenuineIntel,-cr8legacy", false, &e));
	t->ir.mode = mode_of[code] | MODE_PE | MODE_LMA | MODE_CPL | MODE_FLAT | MODE_OSFXSR | MODE_OSXSAVE;
	t->f.ir = &t->ir;
	t->f.env.mode = t->ir.mode;
	t->f.cs_limit = ~0u;
	cpuid_insn_features(c, t->f.env.feat);
	free(c);
	return t;
}

static void close_test(struct test *t)
{
	probe_close(&t->probe);
	free(t);
}

static void run(enum host_code code, void (*walk)(struct test *t))
{
	struct test *t = open_test(code);

	walk(t);
	if (getenv("CASES"))
		fprintf(stderr, "%ld cases agree, %ld excused\n", t->cases - t->differ, t->excused);
	cr_expect_eq(t->differ, 0);
	close_test(t);
}

/* ---- near branches with an operand-size prefix: AMD's cut RIP to 16 bits ---- */

static void goes_where_the_host_goes(struct test *t, const uint8_t *b, unsigned n)
{
	const struct uop *u = t->ir.uops;
	char text[64];

	t->ir.rip = t->probe.end - n;
	cr_assert_eq(front_block(&t->f, b, n, 1), FRONT_OK);
	probe_bytes(&t->probe, b, n);
	while (u->op != UOP_jmp && u->op != UOP_jcc)
		u++;
	cr_expect_eq((uint64_t)u->imm, probe_rip(&t->probe), "%s", hex(b, n, text));
}

Test(legal_host, near_branches_with_66)
{
	static const uint8_t code[][8] = {
		{ 0x66, 0xeb, 0x10 }, { 0x66, 0x75, 0xf0 }, { 0x66, 0x48, 0x75, 0x07 },
		{ 0x66, 0x0f, 0x85, 0x34, 0x12 }, { 0x66, 0xe9, 0x34, 0x12 }, { 0x66, 0xe8, 0x34, 0x12 },
		{ 0x66, 0x48, 0xe9, 0x34, 0x12, 1, 0 },
	};
	static const unsigned length[] = { 3, 3, 4, 5, 4, 4, 7 };
	struct test *t = open_test(HOST_CODE64);

	for (unsigned i = 0; i < ARRAY_LEN(code); i++)
		goes_where_the_host_goes(t, code[i], length[i] + (intel(t) && code[i][1] != 0x48 && length[i] > 3 ? 2 : 0));
	close_test(t);
}

/* ---- the walks ---- */

#define WALKS(bits) \
	Test(legal_host, legacy_##bits) { run(HOST_CODE##bits, legacy); } \
	Test(legal_host, vex_##bits) { run(HOST_CODE##bits, vex); } \
	Test(legal_host, random_##bits) { run(HOST_CODE##bits, random_bytes); } \
	Test(legal_host, lengths_##bits) { run(HOST_CODE##bits, lengths); }
WALKS(64)
WALKS(32)
WALKS(16)
