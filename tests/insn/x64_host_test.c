/*
 * Short random sequences of integer instructions on the host processor against
 * translated code: a few instructions, with conditional jumps over some of them,
 * run from the same registers, flags and memory, and must leave the same. Where
 * one divides by 0 or touches a protected page, everything before it must have
 * happened and nothing after.
 *
 * No instruction reads a flag that the manual leaves undefined, and those undefined
 * at the end are not compared; behind an exception none is.
 *
 * The host's part of all sequences comes first, since both sides want the signals.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/disasm.h"
#include "tcg/run.h"
#include "tcg/uop.h"
#include "tests/insn/gen.h"
#include "tests/insn/guest.h"

#ifdef __x86_64__

#define SEQS		3000
#define MAX_INSNS	8
#define SLOT		256		/* bytes a sequence may take */

struct regs {
	uint64_t r[NGPR];
	uint32_t flags;
	int exc;			/* exception, or -1 */
	uint64_t rip;			/* where it happened */
};

struct seq {
	uint32_t at;
	uint8_t bytes[SLOT];
	unsigned n;
	uint16_t undefined;		/* flags at the end */
	struct regs before, after;
	uint8_t data[DATA_SIZE];	/* afterwards */
};

/* ---- making sequences ---- */

/* Rows whose instruction needs nothing but registers and [base + disp]. */
static const bool usable[N_DOES] = {
#define U(x) [DOES_##x] = true,
	U(adc) U(adcx) U(add) U(adox) U(and) U(andn) U(bextr) U(blsi) U(blsmsk) U(blsr) U(bsf) U(bsr) U(bzhi) U(cbw)
	U(clc) U(cmc) U(cmovcc) U(cmp) U(cmpxchg) U(cmpxchg8b) U(crc32) U(cwd) U(dec) U(div) U(idiv) U(imul) U(imul1)
	U(inc) U(lahf) U(lea) U(lzcnt) U(mov) U(movbe) U(movnti) U(movsx) U(movsxd) U(movzx) U(mul) U(mulx) U(neg)
	U(not) U(or) U(pdep) U(pext) U(pop) U(popcnt) U(push) U(rcl) U(rcr) U(rol) U(ror) U(rorx) U(sahf) U(sar)
	U(sarx) U(sbb) U(setcc) U(shl) U(shld) U(shlx) U(shr) U(shrd) U(shrx) U(stc) U(sub) U(test) U(tzcnt) U(xadd)
	U(xchg) U(xor) U(bt) U(btc) U(btr) U(bts) U(bswap)
};

static bool fits(const struct insn *in)
{
	switch (insn_row(in)->does) {
	case DOES_bt: case DOES_btc: case DOES_btr: case DOES_bts:
		return in->opd[0].kind != OPD_MEM || in->opd[1].kind == OPD_IMM;
	case DOES_mov:
		return in->has_modrm || in->opd[1].kind == OPD_IMM;	/* no absolute addresses */
	case DOES_bswap:
		return in->opsize > 2;
	default:
		return true;
	}
}

static uint64_t value(struct rng *r)
{
	return rng_below(r, 3) ? rng_next(r) : (uint64_t)((int64_t)rng_next(r) >> rng_below(r, 64));
}

/* One instruction that reads no flag of *undefined, which follows. */
static unsigned one_insn(struct gen *g, const struct insn_env *env, uint16_t *undefined, uint8_t *out)
{
	const struct insn_row *row;
	struct insn in;
	unsigned n;

	do {
		unsigned k = rng_below(&g->rng, n_insn_rows);

		row = &insn_rows[k];
		n = usable[row->does] && !(insn_flags_read(row) & *undefined) ? insn_gen(g, k, out) : 0;
	} while (!n || insn_decode(out, n, env, &in) != INSN_OK || !fits(&in));
	*undefined = (insn_is_shift(row) ? *undefined : *undefined & ~row->fl_written) | row->fl_undef;
	return n;
}

static void make_seq(struct gen *g, const struct insn_env *env, struct seq *s)
{
	static const uint8_t bases[] = { RBX, RSI, RDI, RBP };
	unsigned count = 1 + rng_below(&g->rng, MAX_INSNS);

	g->base = bases[rng_below(&g->rng, 4)];
	g->avoid = 1u << g->base | 1u << RSP;
	s->n = s->undefined = 0;
	while (count--) {
		uint8_t *p = s->bytes + s->n;
		uint16_t skipped = s->undefined;
		int cond = rng_below(&g->rng, 64);

		if (cond < 16 && !(cc_flags(cond) & s->undefined)) {	/* jcc over the instruction */
			p[0] = 0x70 | cond;
			p[1] = one_insn(g, env, &s->undefined, p + 2);
			s->undefined |= skipped;
			s->n += 2 + p[1];
		} else {
			s->n += one_insn(g, env, &s->undefined, p);
		}
	}
	for (int r = 0; r < NGPR; r++)
		s->before.r[r] = value(&g->rng) & (g->mode == MODE_CODE64 ? ~0ull : 0xffffffff);
	s->before.r[g->base] = DATA + 0x100 + rng_below(&g->rng, 0x700) / 16 * 16;
	s->before.r[RSP] = DATA + 0xd00 + rng_below(&g->rng, 8) * 8;
	s->before.flags = rng_next(&g->rng) & FL_ARITH;
}

/* ---- the host ---- */

static void run_on_host(struct seq *s)
{
	host_put(s->at, s->bytes, s->n);
	memcpy(host_state->regs, s->before.r, sizeof(s->before.r));
	host_state->flags = s->before.flags | 0x202;
	s->after.exc = host_run(s->at);
	memcpy(s->after.r, host_state->regs, sizeof(s->after.r));
	s->after.flags = host_state->flags & FL_ARITH;
	s->after.rip = host_state->rip;
	memcpy(s->data, host_data(), DATA_SIZE);
}

/* ---- the guest ---- */

static void load_seq(struct guest *g, const struct seq *s)
{
	static const uint8_t end[] = { GUEST_END };
	uint8_t *p = g->ram->host + (s->at - AREA);

	memcpy(p, s->bytes, s->n);
	memcpy(p + s->n, end, sizeof(end));
}

static void run_in_guest(struct guest *g, const struct seq *s, struct regs *out)
{
	struct cpu *c = g->c;

	memcpy(c->regs, s->before.r, sizeof(c->regs));
	cpu_set_eflags(c, s->before.flags | 2);
	guest_run(g, s->at);
	memcpy(out->r, c->regs, sizeof(out->r));
	out->flags = cc_to_eflags(c->cc);
	out->exc = g->shut_down ? 0 : -1;
	out->rip = c->rip;
}

/* ---- comparing ---- */

static bool agree(const struct seq *s, const struct guest *g, const struct regs *got, bool is64)
{
	for (int r = 0; r < (is64 ? 16 : 8); r++)
		if ((s->after.r[r] ^ got->r[r]) & (is64 ? ~0ull : 0xffffffff))
			return false;
	if ((s->after.exc < 0) != (got->exc < 0) || memcmp(s->data, guest_data(g), DATA_SIZE))
		return false;
	return got->exc >= 0 ? got->rip == s->after.rip : !((got->flags ^ s->after.flags) & ~s->undefined);
}

static void show(const struct seq *s, const struct guest *g, const struct regs *got, const struct insn_env *env)
{
	struct insn in;
	char line[128];

	fprintf(stderr, "sequence at %#x, exception: host %d, guest %d\n", s->at, s->after.exc, got->exc);
	for (unsigned off = 0; off < s->n; off += in.len) {
		if (insn_decode(s->bytes + off, s->n - off, env, &in) != INSN_OK)
			break;
		insn_text(&in, s->at + off, line, sizeof(line));
		fprintf(stderr, "    %-40s", line);
		for (unsigned i = 0; i < in.len; i++)
			fprintf(stderr, " %02x", s->bytes[off + i]);
		fprintf(stderr, "\n");
	}
	for (int r = 0; r < NGPR; r++)
		if (s->after.r[r] != got->r[r])
			fprintf(stderr, "  r%d before %#lx host %#lx guest %#lx\n", r, s->before.r[r], s->after.r[r], got->r[r]);
	for (int i = 0; i < DATA_SIZE; i++)
		if (s->data[i] != guest_data(g)[i]) {
			fprintf(stderr, "  memory differs first at %#x\n", DATA + i);
			break;
		}
	fprintf(stderr, "  flags before %#x host %#x guest %#x undefined %#x; rip host %#lx guest %#lx\n",
		s->before.flags, s->after.flags, got->flags, s->undefined, s->after.rip, got->rip);
}

static void walk(bool is64, enum host_protect protect)
{
	const char *text = getenv("SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 0x9e3779b97f4a7c15;
	struct insn_env env = { .mode = (is64 ? MODE_CODE64 | MODE_LMA : MODE_CODE32) | MODE_PE, .feat = { ~0ull, ~0ull } };
	struct gen gen = { .rng.s = seed, .mode = is64 ? MODE_CODE64 : MODE_CODE32, .lock = true,
			   .scratch = true, .max_disp = 0x200 };
	struct seq *seqs = calloc(SEQS, sizeof(*seqs));
	uint8_t first[DATA_SIZE];
	struct guest g = { 0 };
	unsigned bad = 0;

	if (!host_init(is64 ? HOST_CODE64 : HOST_CODE32))
		cr_skip_test("no memory that may be written and executed");
	for (int i = 0; i < DATA_SIZE; i += 8)
		st64(first + i, value(&gen.rng));
	memcpy(host_data(), first, DATA_SIZE);
	host_protect(protect);
	for (unsigned i = 0; i < SEQS; i++) {
		seqs[i].at = INSN_AT + i * SLOT;
		make_seq(&gen, &env, &seqs[i]);
		run_on_host(&seqs[i]);
	}
	guest_init(&g, is64 ? HOST_CODE64 : HOST_CODE32, protect, &tcg_accel);
	for (unsigned i = 0; i < SEQS; i++)
		load_seq(&g, &seqs[i]);
	memcpy(guest_data(&g), first, DATA_SIZE);
	for (unsigned i = 0; i < SEQS && bad < 5; i++) {
		struct regs got;

		run_in_guest(&g, &seqs[i], &got);
		if (!agree(&seqs[i], &g, &got, is64)) {
			show(&seqs[i], &g, &got, &env);
			bad++;
		}
		memcpy(guest_data(&g), seqs[i].data, DATA_SIZE);
	}
	cr_expect(!bad, "SEED=%#lx", seed);
	free(seqs);
}

/* is64, and three kinds of protection, as one number. */
ParameterizedTestParameters(x64_host, sequences_equal_those_of_the_host)
{
	static int params[] = { 0, 1, 2, 3, 4, 5 };

	return cr_make_param_array(int, params, ARRAY_LEN(params));
}

ParameterizedTest(int *k, x64_host, sequences_equal_those_of_the_host)
{
	walk(*k & 1, (enum host_protect)(*k >> 1));
}

#endif
