/*
 * Our disassembly against an assembler: what nasm makes of the text decodes to the same
 * text again. The bytes may differ, there are often several encodings.
 *
 * Left out: addresses without a base register (nasm writes those relative to RIP and of 64
 * bits in another way, and turns [index*2] into [index+index]), and the names in `unknown`.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/disasm.h"
#include "tests/insn/gen.h"

#define SEED 0x13198a2e03707344ull
#define SLOT 32			/* bytes between two instructions */
#define ORG 0x1000
#define MAX 6000

/* Undocumented encodings; forms nasm 2.16 refuses or encodes otherwise. */
static const char *const unknown[] = {
	"fstp1", "fcom2", "fcomp3", "fxch4", "fcomp5", "fxch7", "fstp8", "fstp9", "fnsetpm", "fneni",
	"fndisi", "bswap", "movsxd", "clflush", "clflushopt", "clwb", "pshufw", "pshufhw", "pshuflw",
	"punpcklbw", "punpckldq", "punpcklwd", "cmpsd", "pmuludq", "psubq", "pblendvb", "palignr", "paddq",
	"movzx", "movsx", "pshufd", "xchg", "sldt", "str", "smsw", "vcmpps", "vcmppd", "vcmpss", "vcmpsd",
	"movdir64b", "vpdpbusd", "vpdpbusds", "vpdpwssd", "vpdpwssds",
};

struct listing {
	unsigned n;
	char text[MAX][96];
};

static bool is_unknown(const char *text)
{
	size_t len = strcspn(text, " ");

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (strlen(unknown[i]) == len && !memcmp(unknown[i], text, len))
			return true;
	return false;
}

static struct insn_env env64(void)
{
	return (struct insn_env){ .mode = MODE_CODE64 | MODE_PE | MODE_LMA, .feat = { ~0ull, ~0ull } };
}

static uint64_t va_of(unsigned i)
{
	return ORG + (uint64_t)SLOT * i;
}

/* Addresses that nasm writes or encodes in another way. */
static bool nasm_writes(const struct insn *in)
{
	if (in->base == RIP_REG)
		return false;
	for (unsigned i = 0; i < in->nopd; i++)
		if (in->opd[i].kind == OPD_MEM && in->base == NO_REG)
			return in->index != NO_REG && in->scale > 1;
	return true;
}

static void add(struct listing *l, struct gen *g, unsigned row)
{
	uint8_t b[15];
	struct insn in;
	struct insn_env env = env64();
	unsigned n = insn_gen(g, row, b);

	if (!n || insn_decode(b, n, &env, &in) != INSN_OK || !nasm_writes(&in))
		return;
	insn_text(&in, va_of(l->n), l->text[l->n], sizeof(l->text[0]));
	if (!is_unknown(l->text[l->n]))
		l->n++;
}

/* Runs nasm over the listing; the size of the binary, or 0. */
static size_t assemble(const struct listing *l, uint8_t *out, size_t max)
{
	char dir[] = "/tmp/insn-text-XXXXXX", path[64], cmd[256];
	size_t n = 0;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a", dir);
	FILE *f = fopen(path, "w");
	fprintf(f, "bits 64\norg %d\n", ORG);
	for (unsigned i = 0; i < l->n; i++)
		fprintf(f, "align %d\n%s\ndb 0\n", SLOT, l->text[i]);
	fclose(f);
	snprintf(cmd, sizeof(cmd), "cd %s && nasm -w-all -O0 -f bin -o b a", dir);
	if (system(cmd) == 0) {
		snprintf(path, sizeof(path), "%s/b", dir);
		f = fopen(path, "r");
		n = fread(out, 1, max, f);
		fclose(f);
	}
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	cr_expect_eq(system(cmd), 0);
	return n;
}

Test(text, nasm_understands_it)
{
	struct gen g = { .rng = { SEED }, .mode = MODE_CODE64, .lock = true, .rep = true };
	struct insn_env env = env64();
	struct listing *l = calloc(1, sizeof(*l));
	uint8_t *bin = calloc(MAX + 1, SLOT);
	char text[96];
	struct insn in;

	if (system("nasm -v >/dev/null 2>&1") != 0)
		cr_skip_test("nasm is not installed");
	for (unsigned row = 0; row < n_insn_rows; row++)
		for (int k = 0; k < 3 && l->n < MAX; k++)
			add(l, &g, row);
	cr_assert(assemble(l, bin, MAX * SLOT), "nasm refuses the text, seed %#llx", SEED);
	for (unsigned i = 0; i < l->n; i++) {
		cr_expect_eq(insn_decode(bin + SLOT * i, 15, &env, &in), INSN_OK, "%s", l->text[i]);
		insn_text(&in, va_of(i), text, sizeof(text));
		cr_expect_str_eq(text, l->text[i]);
	}
	free(l);
	free(bin);
}
