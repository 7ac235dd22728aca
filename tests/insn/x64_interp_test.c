/*
 * Translated code against the µop interpreter: every row, register and memory forms,
 * and short random blocks and loops, in 64, 32 and 16-bit code. The interpreter runs without any
 * pass, translated code with every pass on or some off.
 *
 * Both run on machines of their own with the same memory. Operands lie in plain pages,
 * across pages, in read-only, supervisor and missing pages, in a device, and at
 * non-canonical addresses; general addresses mostly fault, and CR2 tells how they were
 * computed. All of the state must agree: registers, vectors, memory, device accesses,
 * exception, error code, CR2, what delivery pushed. A faulting instruction must also
 * have changed nothing.
 *
 * Not checked: that jumps to addresses beyond the limit or not canonical fault before they
 * are taken. Not compared: flags the manual leaves undefined, or any behind a fault (a flag that is
 * overwritten later may be stale there); the x87's last instruction and operand; the
 * overflow, underflow and precision flags at an unmasked SIMD exception (see cpu/vec.c).
 *
 * From the environment: SEED, CASES (of each row, and hundredths of the blocks), ONLY
 * (a mnemonic).
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/disasm.h"
#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tcg/uop.h"
#include "tests/insn/gen.h"
#include "tests/machine.h"

#ifdef __x86_64__

enum { ROW_CASES = 40, BLOCK_CASES = 40, MAX_INSNS = 20, CODE_AT = M_CODE + 0x900, MAX_CODE = 352,
       DATA_PAGES = 8, DATA_BYTES = DATA_PAGES * 4096, COUNTER = 0x7ff0, N_XSAVE = 832,
       SYSCALL_VECTOR = 0x70 /* its handler is where SYSCALL goes */ };

/* What the data pages are. */
static const uint64_t page_pte[DATA_PAGES] = {
	M_DATA | 7, (M_DATA + 0x1000) | 7, (M_DATA + 0x2000) | 5, 0,
	(M_DATA + 0x4000) | 7, (M_DATA + 0x5000) | 3, M_DEVICE | 7, (M_DATA + 0x7000) | 7,
};

static const struct setup {
	int bits, cpl;
	bool flat;
	const char *name;
} setups[] = {
	{ 64, 3, true, "64-bit, CPL 3" }, { 64, 0, true, "64-bit, CPL 0" }, { 32, 3, true, "32-bit" },
	{ 32, 3, false, "32-bit, not flat" }, { 16, 3, false, "16-bit" },
};

struct state {
	uint64_t regs[NGPR];
	uint32_t flags;
	uint8_t xsave[N_XSAVE] __attribute__((aligned(64)));
	bool am, ts;			/* before: alignment checks, #NM */
	int vector;			/* after */
	struct machine_frame frame;
	uint64_t cr2, fs_base, gs_base, trace;
	unsigned writes;
	uint8_t data[DATA_BYTES];
};

struct walk {
	const struct setup *s;
	struct machine m[2];		/* interpreter, translated code */
	struct insn_env env;
	struct rng rng;
	uint64_t seed;
	unsigned cases;
	const char *only;
	uint8_t code[MAX_CODE + 16];
	unsigned n, old_n;
	uint16_t undefined;		/* flags at the end of the code */
	uint16_t undefined_inside;	/* or somewhere in it */
	unsigned bad, ran, faulted;
	struct state before, after[2];
};

static uint64_t from_env(const char *name, uint64_t value)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : value;
}

/* ---- machines ---- */

static uint64_t code_rip(const struct walk *w)
{
	return CODE_AT - (w->s->flat ? 0u : M_CODE);
}

/* Segments of code that is not flat: data at offset 0 of DS, ES, SS; odd bases for FS and GS. */
static void set_segments(const struct walk *w, struct cpu *c)
{
	uint32_t limit = w->s->bits == 16 ? 0xffff : 0x7fff;

	seg_set(c, FS, M_USER_DATA, w->s->bits == 64 ? 0x7fff00010000 : 0x10000, ~0u, c->segs[DS].attr);
	seg_set(c, GS, M_USER_DATA, M_DATA, ~0u, c->segs[DS].attr);
	if (!w->s->flat) {
		for (int s = ES; s <= DS; s++)
			if (s != CS)
				seg_set(c, s, M_USER_DATA, M_DATA, limit,
					(uint16_t)(c->segs[s].attr & (s == SS && w->s->bits == 16 ? ~SEG_DB : ~0u)));
		seg_set(c, CS, M_USER_CODE, M_CODE, limit, c->segs[CS].attr);
	}
}

static void map_pages(struct machine *m)
{
	for (uint64_t va = 0; va < M_RAM_SIZE; va += 4096) {
		uint64_t pte = va | PTE_P | PTE_W;

		if (va >= M_DATA && va < M_DATA + DATA_BYTES)
			pte = page_pte[(va - M_DATA) / 4096] ? page_pte[(va - M_DATA) / 4096] | PTE_NX : 0;
		else if (va == M_CODE)
			pte = va | PTE_P | PTE_U;
		else if (va == 0 || va >= M_FAULT_STACK)
			pte = 0;
		else if (va < M_HANDLERS + 0x1000)	/* code at CPL 0 must not hit the tables */
			pte = va | PTE_P;
		machine_map(m, va, pte);
	}
}

static void walk_init(struct walk *w, const struct setup *s, const char *without)
{
	static const struct accel_ops *const ops[] = { &tcg_interp_accel, &tcg_accel };
	struct err e = { "" };

	memset(w, 0, sizeof(*w));
	w->s = s;
	w->only = getenv("ONLY");
	w->seed = from_env("SEED", 0x8f1bbcdc5a827999);
	w->rng.s = w->seed ^ (uint64_t)(s - setups + 1) << 32;
	for (int k = 0; k < 2; k++) {
		struct machine *m = &w->m[k];

		machine_init(m, s->bits, s->cpl, ops[k]);
		machine_mem(m, M_IDT)[3 * (s->bits == 64 ? 16 : 8) + 5] |= 0x60;	/* int3 is for all */
		m->end_at_halt = true;		/* wild jumps find HLT inside a handler */
		map_pages(m);
		memset(machine_mem(m, M_CODE), 0xcc, 4096);
		m->c->lstar = m->c->cstar = M_HANDLERS + SYSCALL_VECTOR * 16;
		m->c->star = (uint64_t)M_CODE0 << 32 | (M_HANDLERS + SYSCALL_VECTOR * 16);
		cr_assert(tcg_without(m->c, k ? without : "flags+dead+mem", &e), "%s", e.msg);
	}
	w->env.mode = w->m[0].c->mode;
	w->env.feat[0] = w->m[0].c->insn_feat[0];
	w->env.feat[1] = w->m[0].c->insn_feat[1];
}

static void walk_fini(struct walk *w)
{
	fprintf(stderr, "%s: %u cases, %u faults, SEED=%#lx\n", w->s->name, w->ran, w->faulted, w->seed);
	cr_expect(w->ran);
	cr_expect(!w->bad, "%s: %u differences, SEED=%#lx", w->s->name, w->bad, w->seed);
	for (int k = 0; k < 2; k++)
		machine_fini(&w->m[k]);
	free(w);
}

/* ---- states ---- */

static uint64_t number(struct rng *r)
{
	uint64_t v = rng_next(r);

	switch (rng_below(r, 6)) {
	case 0: return v & 0xff;
	case 1: return (uint64_t)(int64_t)(int8_t)v;
	case 2: return v & 0xffffffff;
	case 3: return 1ull << (v & 63);
	default: return v;
	}
}

/* An offset from M_DATA, or any address in 64-bit code. */
static uint64_t place(struct walk *w, bool plain)
{
	static const uint64_t spots[] = {
		0x0400, 0x0800, 0x0ff0, 0x1000, 0x4400, 0x7400, 0x0fe0,		/* plain */
		0x1ff0, 0x1fe0, 0x2800, 0x2ff0, 0x3800, 0x3ff8, 0x4ff0, 0x5400, 0x5ff0, 0x6100, 0x6ff0,
	};
	struct rng *r = &w->rng;
	uint64_t off = spots[rng_below(r, plain ? 7 : ARRAY_LEN(spots))] + rng_below(r, 2) * rng_below(r, 32);

	if (!plain && w->s->bits == 64 && !rng_below(r, 16))
		return rng_below(r, 2) ? 0x7ffffffffff0u + rng_below(r, 32) : 0xfffffffffffffff0 + rng_below(r, 16);
	return off + (w->s->flat ? M_DATA : 0);
}

static void random_xsave(struct rng *r, uint8_t *x)
{
	memset(x, 0, N_XSAVE);
	st16(x, 0x37f);
	x[4] = (uint8_t)rng_next(r);
	st32(x + 24, 0x1f80 | (rng_below(r, 4) ? 0 : (uint32_t)rng_next(r) & 0xe040));
	st32(x + 28, 0x2ffff);
	for (int i = 0; i < 8; i++) {
		long double d = (double)(int64_t)rng_next(r) / (double)(1ull << rng_below(r, 63));

		memcpy(x + 32 + 16 * i, &d, 10);
	}
	for (int i = 160; i < 416; i += 4) {
		float f = (float)(int32_t)rng_next(r) / (float)(1u << rng_below(r, 30));
		uint32_t v = (uint32_t)number(r);

		memcpy(x + i, rng_below(r, 2) ? (void *)&v : (void *)&f, 4);
	}
	for (int i = 576; i < N_XSAVE; i += 8)
		st64(x + i, number(r));
	st64(x + 512, 7);
}

static void random_state(struct walk *w, bool plain)
{
	struct state *s = &w->before;
	struct rng *r = &w->rng;
	static const uint8_t pointers[] = { RBX, RBP, RSI, RDI };

	for (int i = 0; i < NGPR; i++)
		s->regs[i] = number(r) & (w->s->bits == 64 ? ~0ull : 0xffffffff);
	for (unsigned i = 0; i < ARRAY_LEN(pointers); i++)
		s->regs[pointers[i]] = place(w, plain || rng_below(r, 2));
	s->regs[RSP] = place(w, true) & ~7ull;
	if (!plain && !rng_below(r, 8))
		s->regs[RSP] = place(w, false);
	if (rng_below(r, 2))
		s->regs[RCX] &= 0x1f;
	s->flags = (rng_next(r) & FL_ARITH) | 2 | (rng_below(r, 8) ? 0 : FL_DF);
	s->am = !plain && !rng_below(r, 8);
	s->ts = !plain && !rng_below(r, 32);
	if (s->am)
		s->flags |= FL_AC;
	random_xsave(r, s->xsave);
}

static void load_state(struct walk *w, struct machine *m)
{
	const struct state *s = &w->before;
	struct cpu *c = m->c;

	machine_reset(m);
	c->cr4 |= CR4_FSGSBASE;
	c->cr0 |= (s->am ? CR0_AM : 0) | (s->ts ? CR0_TS : 0);
	set_segments(w, c);
	memcpy(c->regs, s->regs, sizeof(c->regs));
	cpu_set_eflags(c, s->flags);
	cpu_update_mode(c);
	memcpy(c->xsave, s->xsave, N_XSAVE);
	memcpy(machine_mem(m, M_DATA), s->data, DATA_BYTES);
	memcpy(m->device, s->data + 0x6000, 4096);
}

/* Components in their initial state are not in the image; what never counts is cleared, as are empty x87 registers. */
static void canonical_xsave(uint8_t *x)
{
	uint64_t bv = ld64(x + 512);

	if (!(bv & 1)) {
		uint32_t mxcsr = ld32(x + 24);

		memset(x, 0, 160);
		st16(x, 0x37f);
		st32(x + 24, mxcsr);
	}
	if (!(bv & 2))
		memset(x + 160, 0, 256);
	if (!(bv & 4))
		memset(x + 576, 0, 256);
	memset(x + 5, 0, 19);
	memset(x + 28, 0, 4);
	for (unsigned i = 0; i < 8; i++) {
		bool full = x[4] >> ((i + (x[3] >> 3)) & 7) & 1;

		memset(x + 32 + 16 * i + (full ? 10 : 0), 0, full ? 6 : 16);
	}
	memset(x + 416, 0, 160);
}

static void get_state(struct walk *w, struct machine *m, struct state *s)
{
	struct cpu *c = m->c;

	memcpy(s->regs, c->regs, sizeof(s->regs));
	if (w->s->bits != 64)
		memset(s->regs + 8, 0, 64);
	s->vector = m->shut_down ? 999 : machine_vector(m);
	s->frame = s->vector >= 0 ? machine_frame(m) : (struct machine_frame){ 0 };
	if (s->vector == EXC_PF)
		s->frame.error &= 0x1f;
	if (s->vector == SYSCALL_VECTOR)
		memset(&s->frame, 0, sizeof(s->frame));
	s->flags = (uint32_t)(s->frame.rip ? s->frame.flags : cpu_get_eflags(c));
	s->regs[RSP] = s->frame.rip ? s->frame.rsp : s->regs[RSP];
	memcpy(s->xsave, c->xsave, N_XSAVE);
	canonical_xsave(s->xsave);
	if (s->vector == EXC_XM)
		s->xsave[24] &= (uint8_t)~0x38;
	s->cr2 = c->cr2;
	s->fs_base = c->segs[FS].base;
	s->gs_base = c->segs[GS].base;
	s->trace = m->trace;
	s->writes = m->n_writes;
	memcpy(s->data, machine_mem(m, M_DATA), DATA_BYTES);
}

/* ---- comparing ---- */

static bool is_fault(int vector)
{
	static const uint32_t faults = BIT(EXC_DE) | BIT(EXC_BR) | BIT(EXC_UD) | BIT(EXC_NM) | BIT(EXC_TS) |
				       BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) | BIT(EXC_MF) |
				       BIT(EXC_AC) | BIT(EXC_XM);
	return vector >= 0 && vector < 32 && faults >> vector & 1;
}

static bool equal(const struct walk *w)
{
	const struct state *a = &w->after[0], *b = &w->after[1];
	bool at_end = a->frame.rip == code_rip(w) + w->n + 1, dead = is_fault(a->vector) || a->vector < 0;
	uint32_t mask = ~(dead ? FL_ARITH : at_end ? w->undefined : w->undefined_inside);

	return !memcmp(a->regs, b->regs, sizeof(a->regs)) && !((a->flags ^ b->flags) & mask) &&
	       !memcmp(a->xsave, b->xsave, N_XSAVE) && a->vector == b->vector && a->cr2 == b->cr2 &&
	       a->frame.rip == b->frame.rip && a->frame.error == b->frame.error && a->fs_base == b->fs_base &&
	       a->gs_base == b->gs_base && a->trace == b->trace && !memcmp(a->data, b->data, DATA_BYTES);
}

/* One instruction that faulted has done nothing, and will be done again. */
static bool precise(const struct walk *w, const struct insn *in)
{
	const struct state *s = &w->before, *a = &w->after[1];
	static uint8_t x[N_XSAVE];
	bool partial = insn_row(in)->attr & A_REP || insn_row(in)->does == DOES_vec_gather;
	bool gone = a->frame.rip != code_rip(w);
	bool leaves = insn_row(in)->does == DOES_callind || insn_row(in)->does == DOES_syscall;

	if (!is_fault(a->vector) || partial || gone || leaves)
		return true;
	memcpy(x, s->xsave, N_XSAVE);
	canonical_xsave(x);
	for (int i = 0; i < (w->s->bits == 64 ? 16 : 8); i++)
		if (s->regs[i] != a->regs[i])
			return false;
	if (insn_row(in)->does == DOES_enter || insn_row(in)->does == DOES_pusha)	/* have pushed some */
		return true;
	return !memcmp(s->data, a->data, DATA_BYTES) && !a->writes &&
	       (a->vector == EXC_XM || a->vector == EXC_MF || !memcmp(x + 24, a->xsave + 24, N_XSAVE - 24));
}

static void show_code(const struct walk *w)
{
	struct insn in;
	char line[128];

	for (unsigned off = 0; off < w->n; off += in.len) {
		fprintf(stderr, "   ");
		if (insn_decode(w->code + off, w->n - off, &w->env, &in) != INSN_OK) {
			fprintf(stderr, " %02x ..\n", w->code[off]);
			return;
		}
		for (unsigned i = 0; i < in.len; i++)
			fprintf(stderr, " %02x", w->code[off + i]);
		insn_text(&in, code_rip(w) + off, line, sizeof(line));
		fprintf(stderr, "\t%s\n", line);
	}
}

static void show_bytes(const char *what, const uint8_t *before, const uint8_t *a, const uint8_t *b, int n)
{
	for (int i = 0, shown = 0; i < n && shown < 4; i++)
		if (a[i] != b[i]) {
			fprintf(stderr, "  %s+%#x before %02x interp %02x x64 %02x\n", what, i, before[i], a[i], b[i]);
			shown++;
		}
}

static void show(const struct walk *w, const char *why)
{
	const struct state *s = &w->before, *a = &w->after[0], *b = &w->after[1];

	fprintf(stderr, "%s: %s\n", w->s->name, why);
	show_code(w);
	for (int i = 0; i < NGPR; i++)
		if (a->regs[i] != b->regs[i] || s->regs[i] != a->regs[i])
			fprintf(stderr, "  r%-2d before %16lx interp %16lx x64 %16lx\n", i, s->regs[i], a->regs[i], b->regs[i]);
	fprintf(stderr, "  flags before %x interp %x x64 %x undefined %x\n", s->flags, a->flags, b->flags, w->undefined);
	fprintf(stderr, "  vector %d %d error %lx %lx rip %lx %lx cr2 %lx %lx device %lx %lx\n", a->vector, b->vector,
		a->frame.error, b->frame.error, a->frame.rip, b->frame.rip, a->cr2, b->cr2, a->trace, b->trace);
	show_bytes("xsave", s->xsave, a->xsave, b->xsave, N_XSAVE);
	show_bytes("data", s->data, a->data, b->data, DATA_BYTES);
}

static void run_code(struct walk *w)
{
	unsigned n = w->n > w->old_n ? w->n : w->old_n;

	memset(w->code + w->n, 0xcc, sizeof(w->code) - w->n);
	for (int k = 0; k < 2; k++) {
		machine_put(&w->m[k], CODE_AT, w->code, n + 1);
		load_state(w, &w->m[k]);
		machine_run(&w->m[k], code_rip(w));
		get_state(w, &w->m[k], &w->after[k]);
	}
	w->old_n = w->n;
	w->ran++;
	w->faulted += is_fault(w->after[0].vector);
	if (!equal(w)) {
		show(w, "the interpreter and translated code differ");
		w->bad++;
	}
}

/* ---- what is run ---- */

static bool usable(const struct walk *w, const struct insn_row *row)
{
	switch (row->does) {
	case DOES_rdtsc: case DOES_rdtscp: case DOES_rdrand: case DOES_rdseed: case DOES_rdpmc:
	case DOES_hlt: case DOES_monitor: case DOES_mwait:
		return false;		/* not the same twice */
	case DOES_fxsave: case DOES_xsave: case DOES_xsavec: case DOES_xsaveopt: case DOES_fnsave: case DOES_fnstenv:
		return false;		/* the x87's last instruction */
	case DOES_xgetbv:
		return false;		/* what is in use: translated code may say more */
	case DOES_iret: case DOES_retf: case DOES_sysret: case DOES_sysexit: case DOES_mov_sreg_load: case DOES_lds:
	case DOES_pop_seg:
		return w->s->cpl == 3;
	default:
		return !(w->only && strcmp(w->only, row->name)) && !(w->s->cpl == 0 && row->attr & A_PRIV);
	}
}

static bool in_code(const struct walk *w, uint64_t rip)
{
	return rip >= code_rip(w) && rip < code_rip(w) + MAX_CODE;
}

/* Jumps into the code under test may never end. Double shifts by more than the width have no defined result. */
static bool suits(const struct walk *w, const struct insn *in, unsigned at)
{
	uint64_t next = code_rip(w) + at + in->len, to = next + (uint64_t)in->imm;

	if ((insn_row(in)->does == DOES_shld || insn_row(in)->does == DOES_shrd) && in->opsize == 2)
		return in->opd[2].kind == OPD_IMM && (in->imm & 31) <= 16;
	return in->opd[0].kind != OPD_REL || to == next || (!in_code(w, to) && !in_code(w, to & 0xffff));
}

static unsigned gen_mode(const struct walk *w)
{
	return w->s->bits == 64 ? MODE_CODE64 : w->s->bits == 32 ? MODE_CODE32 : MODE_CODE16;
}

/* Append an encoding of that row, if there is one that suits. */
static bool append(struct walk *w, struct gen *g, unsigned row, struct insn *in)
{
	const struct insn_row *r = &insn_rows[row];
	uint8_t *to = w->code + w->n;
	unsigned n;

	if (insn_flags_read(r) & w->undefined)
		return false;
	g->rng = w->rng;
	n = insn_gen(g, row, to);
	w->rng = g->rng;
	if (!n || insn_decode(to, n, &w->env, in) != INSN_OK || !suits(w, in, w->n))
		return false;
	w->n += n;
	w->undefined = (uint16_t)((insn_is_shift(r) ? w->undefined : w->undefined & ~r->fl_written) | r->fl_undef);
	w->undefined_inside |= w->undefined;
	return true;
}

static void one_row(struct walk *w, unsigned row)
{
	static const uint8_t bases[] = { RBX, RBP, RSI, RDI };
	struct gen g = {
		.mode = gen_mode(w), .scratch = rng_below(&w->rng, 4), .base = bases[rng_below(&w->rng, 4)],
		.max_disp = 32, .avoid = 1u << RSP, .lock = true, .rep = true,
	};
	struct insn in;

	random_state(w, !rng_below(&w->rng, 3));
	w->n = w->undefined = w->undefined_inside = 0;
	if (!append(w, &g, row, &in))
		return;
	run_code(w);
	if (!precise(w, &in)) {
		show(w, "changed something before it faulted");
		w->bad++;
	}
}

static void fill_data(struct walk *w)
{
	for (int i = 0; i < DATA_BYTES; i += 8)
		st64(w->before.data + i, number(&w->rng));
	w->before.data[COUNTER] = 3;
}

ParameterizedTestParameters(x64_interp, x64_equals_interp)
{
	static int params[] = { 0, 1, 2, 3, 4 };

	return cr_make_param_array(int, params, ARRAY_LEN(params));
}

ParameterizedTest(int *k, x64_interp, x64_equals_interp)
{
	struct walk *w = aligned_alloc(64, (sizeof(*w) + 63) & ~63ul);

	walk_init(w, &setups[*k], "");
	w->cases = (unsigned)from_env("CASES", ROW_CASES);
	fill_data(w);
	for (unsigned row = 0; row < n_insn_rows; row++) {
		unsigned bad = w->bad;

		for (unsigned i = 0; usable(w, &insn_rows[row]) && i < w->cases && w->bad == bad && w->bad < 20; i++)
			one_row(w, row);
	}
	walk_fini(w);
}

/* ---- blocks ---- */

/* What compilers put between accesses: stack traffic and pointers that move by constants. */
static void pointer_step(struct walk *w, int base)
{
	static const uint8_t steps[][4] = {
		{ 0x83, 0xc0, 8 },	/* add base, 8 */
		{ 0x83, 0xe8, 16 },	/* sub base, 16 */
		{ 0x8d, 0x40, 0x24 },	/* lea base, [base + 36] */
		{ 0x50 },		/* push base */
		{ 0x58 },		/* pop base */
		{ 0xff, 0xc0 },		/* inc base */
	};
	static const uint8_t lengths[] = { 3, 3, 3, 1, 1, 2 };
	unsigned k = rng_below(&w->rng, w->s->bits == 16 ? 5 : 6);
	uint8_t *p = w->code + w->n;

	if (w->s->bits == 16 && k == 2)
		return;
	if (w->s->bits == 64 && k != 3 && k != 4)
		*p++ = 0x48;
	memcpy(p, steps[k], lengths[k]);
	if (k == 2)
		p[1] = (uint8_t)(0x40 | base << 3 | base);
	else
		p[lengths[k] == 1 ? 0 : 1] |= (uint8_t)base;
	w->n = (unsigned)(p + lengths[k] - w->code);
	if (k < 2 || k == 5)
		w->undefined &= k == 5 ? FL_CF : 0;
}

/* dec byte [COUNTER]; jnz to the start. The flags that code at the start reads are defined. */
static void append_loop(struct walk *w)
{
	uint32_t at = COUNTER + (w->s->flat ? M_DATA : 0), size = w->s->bits == 16 ? 2 : 4;
	uint8_t *p = w->code + w->n;

	if (w->undefined & FL_CF)
		*p++ = 0xf8;			/* clc */
	*p++ = 0xfe;
	*p++ = w->s->bits == 64 ? 0x0c : w->s->bits == 32 ? 0x0d : 0x0e;
	if (w->s->bits == 64)
		*p++ = 0x25;
	st_n(p, (int)size, at);
	p += size;
	*p++ = 0x0f;
	*p++ = 0x85;
	st_n(p, (int)size, (uint64_t)(w->code - p) - size);
	w->n = (unsigned)(p + size - w->code);
	w->undefined = 0;
}

/* Jcc over one more instruction of the row, on a flag that is defined. */
static void append_skip(struct walk *w, struct gen *g, unsigned row)
{
	unsigned at = w->n, cond = rng_below(&w->rng, 16);
	uint16_t undefined = w->undefined;
	struct insn in;

	if (cc_flags((int)cond) & undefined)
		return;
	w->n += 2;
	if (!append(w, g, row, &in)) {
		w->n = at;
		return;
	}
	w->code[at] = (uint8_t)(0x70 | cond);
	w->code[at + 1] = (uint8_t)(w->n - at - 2);
	w->undefined |= undefined;
	w->undefined_inside |= w->undefined;
}

/* With `region`: conditional jumps in it, and back to its start. */
static void random_block(struct walk *w, bool region)
{
	static const uint8_t bases[] = { RBX, RBP, RSI, RDI };
	unsigned count = 1 + rng_below(&w->rng, MAX_INSNS);
	int base = bases[rng_below(&w->rng, 4)];
	struct gen g = { .mode = gen_mode(w), .scratch = true, .max_disp = 128, .lock = true, .rep = true };
	struct insn in;

	w->n = w->undefined = w->undefined_inside = 0;
	while (count-- && w->n < MAX_CODE - 48) {
		unsigned row = rng_below(&w->rng, n_insn_rows);

		if (!rng_below(&w->rng, 4)) {
			pointer_step(w, rng_below(&w->rng, 6) ? base : bases[rng_below(&w->rng, 4)]);
			continue;
		}
		g.base = (uint8_t)(rng_below(&w->rng, 4) ? base : bases[rng_below(&w->rng, 4)]);
		g.avoid = 1u << RSP | (rng_below(&w->rng, 8) ? 1u << base : 0);
		g.form = rng_below(&w->rng, 2) ? GEN_MEM : GEN_ANY;
		/* many rows fault or leave: take the plain ones more often */
		if (!usable(w, &insn_rows[row]) || insn_rows[row].attr & A_PRIV ||
		    (insn_rows[row].attr & A_END && rng_below(&w->rng, 8)) ||
		    (insn_rows[row].attr & (A_VEX | A_SSE | A_MMX | A_FPU) && rng_below(&w->rng, 3)))
			count++;
		else if (region && !rng_below(&w->rng, 3))
			append_skip(w, &g, row);
		else
			append(w, &g, row, &in);
	}
	if (region || !rng_below(&w->rng, 3))
		append_loop(w);
}

static const char *const without[] = { "", "flags", "dead", "mem", "flags+dead+mem" };

ParameterizedTestParameters(x64_interp, blocks_equal_with_every_pass_on_and_off)
{
	static int params[25];

	for (int i = 0; i < 25; i++)
		params[i] = i;
	return cr_make_param_array(int, params, 25);
}

ParameterizedTest(int *k, x64_interp, blocks_equal_with_every_pass_on_and_off)
{
	struct walk *w = aligned_alloc(64, (sizeof(*w) + 63) & ~63ul);

	walk_init(w, &setups[*k % 5], without[*k / 5]);
	w->cases = 100 * (unsigned)from_env("CASES", BLOCK_CASES) / (*k / 5 ? 4 : 1);
	fill_data(w);
	for (unsigned i = 0; i < w->cases && w->bad < 5; i++) {
		random_state(w, rng_below(&w->rng, 4));
		random_block(w, false);
		run_code(w);
	}
	walk_fini(w);
}

/* The same for loops that are translated as one piece. */
ParameterizedTestParameters(x64_interp, regions_equal)
{
	static int params[10];

	for (int i = 0; i < 10; i++)
		params[i] = i;
	return cr_make_param_array(int, params, 10);
}

ParameterizedTest(int *k, x64_interp, regions_equal)
{
	struct walk *w = aligned_alloc(64, (sizeof(*w) + 63) & ~63ul);

	walk_init(w, &setups[*k % 5], *k < 5 ? "" : "mem");
	tcg_set_hot(w->m[1].c, 0);
	w->cases = 100 * (unsigned)from_env("CASES", BLOCK_CASES) / (*k < 5 ? 1 : 4);
	fill_data(w);
	for (unsigned i = 0; i < w->cases && w->bad < 5; i++) {
		random_state(w, rng_below(&w->rng, 4));
		random_block(w, true);
		run_code(w);
	}
	cr_expect_gt(tcg_of(w->m[1].c)->stats.regions, w->cases / 4, "hardly any regions");
	walk_fini(w);
}

#endif
