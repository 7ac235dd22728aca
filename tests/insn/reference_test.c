/*
 * The decoder against capstone, on random bytes and on the host's C library: lengths, and
 * which bytes are instructions at all.
 *
 * Capstone 4 is laxer than processors and knows nothing newer than itself. Where it
 * accepts and we refuse, these are left out (excused_refusal): LOCK, mandatory prefixes
 * that fit no row, VEX.W, VEX.L and VEX.vvvv that must have one value, CR1 and CR5-7, CS as
 * destination, SWAPGS outside 64-bit code, EVEX and other instructions we lack. Where we
 * accept and it refuses: the names in `newer`, and mandatory prefixes in 16-bit code. Lengths differ by design
 * for near branches with 66 in 64-bit code, UD0 and UD1.
 */
#include "config.h"

#include <criterion/criterion.h>

#ifdef CONFIG_CAPSTONE
#include <capstone/capstone.h>
#include <link.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/disasm.h"
#include "tests/insn/gen.h"

#define SEED 0xa4093822299f31d0ull

struct pair {
	csh cs;
	cs_insn *ref;
	struct insn_env env;
	struct insn in;
	long agreed;
};

static const struct {
	cs_mode cs;
	uint32_t mode;
} modes[] = {
	{ CS_MODE_16, MODE_CODE16 | MODE_PE }, { CS_MODE_32, MODE_CODE32 | MODE_PE },
	{ CS_MODE_64, MODE_CODE64 | MODE_PE | MODE_LMA },
};

static const char *const newer[] = {
	"nop", "ud0", "ud1", "prefetchw", "vaesenc", "vaesenclast", "vaesdec", "vaesdeclast", "gf2p8mulb",
	"gf2p8affineqb", "gf2p8affineinvqb", "vgf2p8mulb", "vgf2p8affineqb", "vgf2p8affineinvqb",
	"vpclmulqdq", "rdpid", "rdpkru", "wrpkru", "clwb", "lfence", "mfence", "sfence", "fnsetpm",
	"xsavec", "xsaves", "xrstors", "xsavec64", "xsaves64", "xrstors64", "mov", "sahf", "lahf", "pause",
	"vpdpbusd", "vpdpbusds", "vpdpwssd", "vpdpwssds", "movdir64b", "movdiri", "serialize", "clzero",
};

static void open_pair(struct pair *p, unsigned m)
{
	*p = (struct pair){ .env = { .mode = modes[m].mode, .feat = { ~0ull, ~0ull } } };
	cr_assert_eq(cs_open(CS_ARCH_X86, modes[m].cs, &p->cs), CS_ERR_OK);
	p->ref = cs_malloc(p->cs);
}

static void close_pair(struct pair *p)
{
	cs_free(p->ref, 1);
	cs_close(&p->cs);
}

static bool is_newer(const struct insn *in)
{
	for (size_t i = 0; i < sizeof(newer) / sizeof(newer[0]); i++)
		if (!strcmp(newer[i], insn_row(in)->name))
			return true;
	return false;
}

static bool names_a_row(const char *name)
{
	for (unsigned i = 0; i < n_insn_rows; i++)
		if (!strcmp(insn_rows[i].name, name))
			return true;
	return false;
}

static bool excused_refusal(const struct pair *p)
{
	const struct insn *in = &p->in;

	if (in->pfx & (PFX_LOCK | PFX_66 | PFX_REP | PFX_REPNE) || in->vex || p->ref->bytes[0] == 0x62)
		return true;
	if (!strcmp(p->ref->mnemonic, "mov"))	/* control and segment registers */
		return strstr(p->ref->op_str, "cr") || !strncmp(p->ref->op_str, "cs", 2);
	return !strcmp(p->ref->mnemonic, "swapgs") || !names_a_row(p->ref->mnemonic);
}

static bool excused_acceptance(const struct pair *p)
{
	bool code16 = (p->env.mode & MODE_CODE) == MODE_CODE16;

	return is_newer(&p->in) || (code16 && p->in.pfx && !p->in.vex);
}

static bool other_length(const struct pair *p)
{
	bool branch = p->in.opd[0].kind == OPD_REL && p->in.pfx & PFX_66 &&
		      (p->env.mode & MODE_CODE) == MODE_CODE64;

	return branch || insn_row(&p->in)->does == DOES_ud;
}

/* Compares what both make of the bytes; returns how far to go on. */
static unsigned compare(struct pair *p, const uint8_t *b)
{
	const uint8_t *code = b;
	size_t room = 15;
	uint64_t va = 0x1000;
	char text[96] = "refused";
	bool ref = cs_disasm_iter(p->cs, &code, &room, &va, p->ref);
	bool ours = insn_decode(b, 15, &p->env, &p->in) == INSN_OK, same;

	if (ref && ours)
		same = p->in.len == p->ref->size || other_length(p);
	else
		same = ref == ours || (ref ? excused_refusal(p) : excused_acceptance(p));
	if (ours)
		insn_text(&p->in, 0x1000, text, sizeof(text));
	cr_expect(same, "mode %#x, %02x %02x %02x %02x %02x %02x: %s, %d; capstone: %s %s, %d", p->env.mode, b[0],
		  b[1], b[2], b[3], b[4], b[5], text, p->in.len, ref ? p->ref->mnemonic : "refused",
		  ref ? p->ref->op_str : "", ref ? p->ref->size : 0);
	p->agreed += ref && ours;
	return ref ? p->ref->size : 1;
}

/* Random bytes, most of them behind something that leads to a crowded part of the map. */
static void random_bytes(struct rng *r, uint8_t b[16])
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0x48, 0x41, 0x67, 0x2e, 0xf0 };
	unsigned k = 0;

	for (unsigned i = 0; i < 16; i++)
		b[i] = (uint8_t)rng_below(r, 256);
	if (!rng_below(r, 3))
		b[k++] = prefixes[rng_below(r, 8)];
	switch (rng_below(r, 6)) {
	case 0: case 1:
		b[k] = 0x0f;
		break;
	case 2:
		b[k] = 0x0f;
		b[k + 1] = rng_below(r, 2) ? 0x38 : 0x3a;
		b[k + 2] &= 0x7f;
		break;
	case 3:
		b[0] = 0xc4;
		b[1] = (b[1] & 0xe0) | (1 + rng_below(r, 3));
		break;
	case 4:
		b[0] = 0xc5;
		break;
	}
}

static void random_walk(unsigned m)
{
	struct rng r = { SEED + m };
	struct pair p;
	uint8_t b[16];

	open_pair(&p, m);
	for (int i = 0; i < 100000; i++) {
		random_bytes(&r, b);
		compare(&p, b);
	}
	cr_expect_gt(p.agreed, 30000);
	close_pair(&p);
}

Test(reference, random_bytes_in_16_bit_code) { random_walk(0); }
Test(reference, random_bytes_in_32_bit_code) { random_walk(1); }
Test(reference, random_bytes_in_64_bit_code) { random_walk(2); }

/* ---- real code ---- */

struct code {
	const uint8_t *p;
	size_t n;
};

static int find_libc(struct dl_phdr_info *info, size_t size, void *opaque)
{
	struct code *c = opaque;

	(void)size;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
			c->p = (const uint8_t *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
			c->n = info->dlpi_phdr[i].p_filesz;
		}
	return 1;
}

Test(reference, code_of_the_c_library)
{
	struct code c = { 0 };
	struct pair p;

	dl_iterate_phdr(find_libc, &c);
	if (!c.p)
		cr_skip_test("the C library is not a shared object");
	open_pair(&p, 2);
	for (size_t at = 0; at + 15 < c.n; )
		at += compare(&p, c.p + at);
	cr_expect_gt(p.agreed, 100000);
	close_pair(&p);
}
#else
Test(reference, capstone)
{
	cr_skip_test("built without capstone");
}
#endif
