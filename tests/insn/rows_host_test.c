/*
 * Integer instructions on the host processor against front end, passes and µop
 * interpreter, and against translated code: random encodings of every row that
 * ordinary programs may execute, in 64-bit, flat 32-bit and segmented 16-bit code.
 *
 * The instruction is copied to one address in host and guest; a data area stands
 * at one address in both, too, as memory of its own. Registers, memory, defined
 * flags and the next address must agree, or both must raise the same exception in
 * the same state. A part of the walks has half of the data read-only or not present,
 * so that operands fault, and strings do in the middle. Translated code is written anew for every case, by a device
 * as it were, so that old translations must go.
 *
 * Not tested here: what the host does not let a program do, FS, GS.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/disasm.h"
#include "cpu/phys.h"
#include "tcg/front.h"
#include "tcg/interp.h"
#include "tcg/hostfault.h"
#include "tcg/pass.h"
#include "tcg/run.h"
#include "tests/insn/gen.h"
#include "tests/insn/guest.h"

#ifdef __x86_64__

/* Cases of a row, unless CASES of the environment says how many. */
#define INTERP_CASES	2000
#define X64_CASES	100
#define FAULT_CASES	60

/* ---- the guest ---- */

struct engine {
	struct guest g;
	struct ir *ir;
	struct front f;
	jmp_buf env;
	bool x64;		/* translated code, else the interpreter alone */
	unsigned extra;		/* bytes executed behind the instruction */
	uint64_t insn_rip;	/* of the instruction, which stands at INSN_AT */
};

static void __attribute__((noreturn)) unwind(struct cpu *c)
{
	struct guest *g = c->board.opaque;

	longjmp(((struct engine *)g->opaque)->env, 1);
}

static void engine_init(struct engine *e, enum host_code code, bool x64, enum host_protect protect)
{
	memset(e, 0, sizeof(*e));
	e->x64 = x64;
	e->extra = x64 ? GUEST_END_RIP : 0;
	e->g.opaque = e;
	guest_init(&e->g, code, protect, x64 ? &tcg_accel : NULL);
	if (!x64)
		e->g.c->unwind = unwind;
	e->ir = calloc(1, sizeof(*e->ir));
	e->f.ir = e->ir;
	e->f.cs_limit = code == HOST_CODE16 ? 0xffff : ~0u;
	e->insn_rip = code == HOST_CODE16 ? 0 : INSN_AT;
	e->f.env.mode = e->g.c->mode;
	e->f.env.feat[0] = e->f.env.feat[1] = ~0ull;
}

static uint16_t all_live(void *opaque, uint64_t rip)
{
	(void)opaque;
	(void)rip;
	return FL_ARITH;
}

/* Some exception, which the guest does not tell. */
#define SOME_EXC 256

static int run_x64(struct engine *e, const uint8_t *bytes, unsigned n)
{
	static const uint8_t end[] = { GUEST_END };
	uint8_t code[32];

	memcpy(code, bytes, n);
	memcpy(code + n, end, sizeof(end));
	phys_write_buf(e->g.phys, INSN_AT, code, n + sizeof(end));
	hostfault_init(e->g.c);
	guest_run(&e->g, e->insn_rip);
	host_catch();
	return e->g.shut_down ? SOME_EXC : -1;
}

/* The exception raised, or -1. Restarted instructions go on until rip leaves them. */
static int run_interp(struct engine *e, const uint8_t *bytes, unsigned n)
{
	static const bool never = false;
	struct cpu *c = e->g.c;
	struct ir *ir = e->ir;

	ir->rip = e->insn_rip;
	ir->mode = c->mode;
	cr_assert_eq(front_block(&e->f, bytes, n, 1), FRONT_OK);
	uop_verify(ir, "front");
	opt_flags(ir, all_live, NULL);
	opt_dead(ir);
	uop_verify(ir, "opt_dead");
	c->rip = e->insn_rip;
	if (setjmp(e->env)) {
		int v = c->exc_vector;

		c->exc_vector = -1;
		return v == EXC_PF || v == EXC_SS || v == EXC_BR ? EXC_GP : v;
	}
	do
		interp_run(c, ir, &never);
	while (c->rip == e->insn_rip);
	return -1;
}

/* ---- choosing operands ---- */

static uint64_t value(struct rng *r)
{
	static const uint64_t corners[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, 31, 32, 33, 64, 0x100, 8, 16 };
	unsigned k = rng_below(r, 8);

	if (!k)
		return corners[rng_below(r, ARRAY_LEN(corners))];
	if (k < 4)
		return rng_next(r);
	return (int64_t)rng_next(r) >> rng_below(r, 64);
}


/* How an instruction wants its registers. */
enum want { W_NONE = 1, W_STACK = 2, W_FRAME = 4, W_STRING = 8, W_BITS = 16, W_DIVIDE = 32, W_EQUAL = 64,
	    W_BLOCK = 128 };

static const uint8_t wanted[N_DOES] = {
#define PLAIN(x) [DOES_##x] = W_NONE,
	PLAIN(aaa) PLAIN(aad) PLAIN(aam) PLAIN(aas) PLAIN(adc) PLAIN(adcx) PLAIN(add) PLAIN(adox) PLAIN(and)
	PLAIN(andn) PLAIN(bextr) PLAIN(blsi) PLAIN(blsmsk) PLAIN(blsr) PLAIN(bound) PLAIN(bsf) PLAIN(bsr) PLAIN(bswap)
	PLAIN(bzhi) PLAIN(cbw) PLAIN(clc) PLAIN(cmc) PLAIN(cmovcc) PLAIN(cmp) PLAIN(crc32) PLAIN(cwd) PLAIN(daa)
	PLAIN(das) PLAIN(dec) PLAIN(imul) PLAIN(imul1) PLAIN(inc) PLAIN(lahf) PLAIN(lea) PLAIN(lzcnt) PLAIN(mov)
	PLAIN(movbe) PLAIN(movnti) PLAIN(movsx) PLAIN(movsxd) PLAIN(movzx) PLAIN(mul) PLAIN(mulx) PLAIN(neg) PLAIN(nop)
	PLAIN(not) PLAIN(or) PLAIN(pause) PLAIN(pdep) PLAIN(pext) PLAIN(popcnt) PLAIN(prefetch) PLAIN(rcl) PLAIN(rcr)
	PLAIN(rol) PLAIN(ror) PLAIN(rorx) PLAIN(sahf) PLAIN(salc) PLAIN(sar) PLAIN(sarx) PLAIN(sbb) PLAIN(setcc)
	PLAIN(shl) PLAIN(shld) PLAIN(shlx) PLAIN(shr) PLAIN(shrd) PLAIN(shrx) PLAIN(stc) PLAIN(sub) PLAIN(test)
	PLAIN(tzcnt) PLAIN(xadd) PLAIN(xchg) PLAIN(xlat) PLAIN(xor) PLAIN(fence) PLAIN(clflush)
	[DOES_push] = W_STACK, [DOES_pop] = W_STACK, [DOES_pusha] = W_STACK, [DOES_popa] = W_STACK,
	[DOES_enter] = W_STACK | W_FRAME, [DOES_leave] = W_STACK | W_FRAME,
	[DOES_bt] = W_BITS, [DOES_btc] = W_BITS, [DOES_btr] = W_BITS, [DOES_bts] = W_BITS,
	[DOES_div] = W_DIVIDE, [DOES_idiv] = W_DIVIDE,
	[DOES_cmpxchg] = W_EQUAL, [DOES_cmpxchg8b] = W_EQUAL,
	[DOES_movs] = W_STRING, [DOES_cmps] = W_STRING, [DOES_scas] = W_STRING, [DOES_stos] = W_STRING,
	[DOES_lods] = W_STRING, [DOES_clzero] = W_BLOCK, [DOES_movdir64b] = W_BLOCK,
};

struct test_case {
	struct rng *rng;
	enum host_code code;
	bool is64;
	uint8_t bytes[16];
	unsigned n;
	struct insn in;
	uint64_t regs[NGPR], ea;
	uint32_t flags;
};

/* An offset into the segment of the data. */
static uint64_t data_offset(struct test_case *t)
{
	uint32_t base = t->code == HOST_CODE16 ? DATA_BASE16 : 0;

	return DATA - base + DATA_SIZE / 4 + rng_below(t->rng, DATA_SIZE / 2);
}

/* The same for a pointer of n bytes: what is above them does not matter. */
static uint64_t pointer(struct test_case *t, int n)
{
	uint64_t garbage = t->is64 ? value(t->rng) : (uint32_t)value(t->rng);

	return data_offset(t) | (garbage & ~size_mask(n));
}

static int stack_bytes(const struct test_case *t)
{
	return t->code == HOST_CODE64 ? 8 : t->code == HOST_CODE32 ? 4 : 2;
}

static bool has_memory(const struct insn *in)
{
	for (int k = 0; k < in->nopd; k++)
		if (in->opd[k].kind == OPD_MEM)
			return true;
	return false;
}

/* Put another displacement into the encoding: the last place that holds the old one. */
static bool patch_disp(struct test_case *t, int n, uint64_t disp)
{
	for (int at = (int)t->n - n; at > 0; at--)
		if (!memcmp(t->bytes + at, &t->in.disp, n)) {
			memcpy(t->bytes + at, &disp, n);
			t->in.disp = n == 4 ? (int32_t)disp : (int64_t)disp;
			return true;
		}
	return false;
}

/* Make the memory operand lie in the data area. */
static bool aim(struct test_case *t)
{
	struct insn *in = &t->in;
	uint64_t to = data_offset(t), scaled = 0;

	if ((in->adsize == 2 && t->code != HOST_CODE16) || in->seg == FS || in->seg == GS || in->seg == CS)
		return false;
	if (insn_row(in)->attr & A_ALIGN)
		to &= ~15ull;
	t->ea = to + (t->code == HOST_CODE16 ? DATA_BASE16 : 0);
	if (in->index != NO_REG && in->base != NO_REG && in->index == in->base)
		return false;
	if (in->base == RIP_REG)
		return patch_disp(t, 4, to - INSN_AT - t->n);
	if (in->index != NO_REG)
		scaled = t->regs[in->index] << in->scale;
	if (in->base != NO_REG) {
		t->regs[in->base] = (to - scaled - in->disp) & size_mask(in->adsize);
		if (!in->has_modrm)	/* xlat */
			t->regs[in->base] = to;
		return true;
	}
	if (!in->has_modrm)		/* moffs */
		return patch_disp(t, in->adsize, to);
	if (in->index == NO_REG)
		return patch_disp(t, in->adsize == 2 ? 2 : 4, to);
	t->regs[in->index] &= 0xffff;
	return patch_disp(t, 4, to - (t->regs[in->index] << in->scale));
}

/* 64 bytes at rAX, or, mostly aligned, at the register that operand 0 is. */
static bool prepare_block(struct test_case *t)
{
	struct insn *in = &t->in;
	int r = in->nopd ? in->opd[0].reg : RAX;

	if (in->adsize == 2 && t->code != HOST_CODE16)
		return false;
	if (in->seg_override == FS || in->seg_override == GS || in->seg_override == CS)
		return false;
	if (in->nopd && (r == in->base || r == in->index))
		return false;
	t->regs[r] = pointer(t, in->adsize) & ~(rng_below(t->rng, 8) ? 63ull : 0);
	return true;
}

/* Registers the instruction uses without naming them. False: try another encoding. */
static bool prepare(struct test_case *t, unsigned want)
{
	struct insn *in = &t->in;
	bool memory = has_memory(in);

	if (memory && !(want & W_STRING) && insn_row(in)->does != DOES_lea && insn_row(in)->does != DOES_nop && !aim(t))
		return false;
	if (want & W_STACK) {
		if (memory && (in->base == RSP || in->base == RBP || in->index == RBP))
			return false;
		t->regs[RSP] = pointer(t, stack_bytes(t));
	}
	if (want & W_FRAME)
		t->regs[RBP] = pointer(t, stack_bytes(t));
	if (insn_row(in)->does == DOES_enter) {		/* to stay in the data area */
		t->bytes[t->n - 2] &= 1;
		in->imm &= 0x1ff;
	}
	if (want & W_STRING) {
		if ((in->adsize == 2 && t->code != HOST_CODE16) || in->seg == FS || in->seg == GS || in->seg == CS)
			return false;
		t->regs[RSI] = pointer(t, in->adsize);
		t->regs[RDI] = rng_below(t->rng, 4) ? pointer(t, in->adsize) : t->regs[RSI] + rng_below(t->rng, 17) - 8;
		t->regs[RCX] = rng_below(t->rng, 40) | (in->adsize == 2 ? value(t->rng) & 0xffff0000 : 0);
		if (rng_below(t->rng, 3) == 0)
			t->flags |= FL_DF;
	}
	if (want & W_BLOCK && !prepare_block(t))
		return false;
	if (want & W_BITS && memory && in->opd[1].kind == OPD_REG) {
		int r = in->opd[1].reg;

		if (r == in->base || r == in->index)
			return false;
		t->regs[r] = (t->regs[r] & ~size_mask(in->opsize)) | ((rng_below(t->rng, 8192) - 4096ull) & size_mask(in->opsize));
	}
	if (want & W_DIVIDE && rng_below(t->rng, 8) && !(memory && (in->base == RDX || in->index == RDX)))
		t->regs[RDX] = rng_below(t->rng, 2) ? 0 : (uint64_t)((int64_t)t->regs[RAX] >> 63);
	return true;
}

/* Now and then memory or register holds what cmpxchg compares with. */
static void make_equal(struct test_case *t, uint8_t *data)
{
	struct insn *in = &t->in;

	if (rng_below(t->rng, 2))
		return;
	if (in->opd[0].kind != OPD_MEM)
		t->regs[RAX] = t->regs[in->opd[0].reg & 15];
	else if (in->opd[0].size <= 8)
		memcpy(data + (t->ea - DATA), &t->regs[RAX], 8);
	if (insn_row(in)->does == DOES_cmpxchg8b) {
		int half = in->opd[0].size / 2;

		memcpy(data + (t->ea - DATA), &t->regs[RAX], half);
		memcpy(data + (t->ea - DATA) + half, &t->regs[RDX], half);
	}
}

/* ---- comparing ---- */

/* Count of a shift as the processor masks it, or -1 if it is none. */
static int shift_count(const struct test_case *t)
{
	const struct insn *in = &t->in;
	const struct opd *o = &in->opd[in->nopd ? in->nopd - 1 : 0];

	switch (insn_row(in)->does) {
	case DOES_shl: case DOES_shr: case DOES_sar: case DOES_rol: case DOES_ror: case DOES_rcl: case DOES_rcr:
	case DOES_shld: case DOES_shrd:
		return (o->kind == OPD_IMM ? in->imm : (int64_t)t->regs[RCX]) & (in->opd[0].size == 8 ? 63 : 31);
	default:
		return -1;
	}
}

/* Flags that the manual leaves undefined for these operands. */
static uint32_t undefined_flags(const struct test_case *t)
{
	const struct insn_row *row = insn_row(&t->in);
	int count = shift_count(t);
	uint32_t undef = row->fl_undef;

	if (count == 0)
		return 0;
	if (count > 8 * t->in.opd[0].size)
		undef |= FL_CF;		/* shl, shr: more than the operand's bits */
	return undef;
}

/* Results that the manual leaves undefined. */
static bool undefined_result(const struct test_case *t)
{
	switch (insn_row(&t->in)->does) {
	case DOES_shld: case DOES_shrd:
		return shift_count(t) > 8 * t->in.opd[0].size;
	case DOES_bsf: case DOES_bsr:
		return t->in.opd[0].size == 4;
	case DOES_bswap:
		return t->in.opsize == 2;
	default:
		return false;
	}
}

static void show(const struct test_case *t, const struct engine *e, int host_exc, int guest_exc)
{
	char line[256];

	insn_text(&t->in, e->insn_rip, line, sizeof(line));
	fprintf(stderr, "%s-bit %s:", t->code == HOST_CODE64 ? "64" : t->code == HOST_CODE32 ? "32" : "16", line);
	for (unsigned i = 0; i < t->n; i++)
		fprintf(stderr, " %02x", t->bytes[i]);
	fprintf(stderr, "\n  exception: host %d, interpreter %d; flags before %#x\n", host_exc, guest_exc, t->flags);
	for (int r = 0; r < NGPR; r++)
		if (host_state->regs[r] != e->g.c->regs[r])
			fprintf(stderr, "  r%d before %#lx host %#lx interpreter %#lx\n", r, t->regs[r],
				host_state->regs[r], e->g.c->regs[r]);
	fprintf(stderr, "  flags: host %#lx interpreter %#x, undefined %#x\n", host_state->flags & FL_ARITH,
		cc_to_eflags(e->g.c->cc), undefined_flags(t));
	for (unsigned i = 0; i < e->ir->n_uops && !e->x64; i++) {
		uop_text(e->ir, &e->ir->uops[i], line, sizeof(line));
		fprintf(stderr, "    %s\n", line);
	}
}

static bool agree(const struct test_case *t, const struct engine *e, int host_exc, int guest_exc)
{
	uint64_t mask = t->is64 ? ~0ull : 0xffffffff;

	if (host_exc != guest_exc && (host_exc < 0 || guest_exc != SOME_EXC))
		return false;
	if (undefined_result(t))
		return true;
	if (memcmp(host_data(), guest_data(&e->g), DATA_SIZE))
		return false;
	if (host_exc >= 0 && insn_row(&t->in)->does == DOES_popa)
		return true;		/* AMD processors have popped some registers */
	for (int r = 0; r < (t->is64 ? 16 : 8); r++)
		if ((host_state->regs[r] ^ e->g.c->regs[r]) & mask)
			return false;
	if (host_exc >= 0)
		return e->g.c->rip == e->insn_rip && host_state->rip == e->insn_rip;
	if (e->g.c->rip != e->insn_rip + t->n + e->extra)
		return false;
	return !((host_state->flags ^ cc_to_eflags(e->g.c->cc)) & FL_ARITH & ~undefined_flags(t));
}

/* ---- the walk ---- */

static bool make_case(struct test_case *t, struct gen *gen, struct engine *e, unsigned row)
{
	memset(t->bytes, 0, sizeof(t->bytes));
	t->n = insn_gen(gen, row, t->bytes);
	if (!t->n || insn_decode(t->bytes, t->n, &e->f.env, &t->in) != INSN_OK || t->in.row != row)
		return false;
	for (int r = 0; r < NGPR; r++)
		t->regs[r] = value(t->rng) & (t->is64 ? ~0ull : 0xffffffff);
	t->flags = rng_next(t->rng) & FL_ARITH;
	return prepare(t, wanted[insn_row(&t->in)->does]);
}

static bool run_case(struct test_case *t, struct engine *e)
{
	int host_exc, guest_exc;

	if (wanted[insn_row(&t->in)->does] & W_EQUAL)
		make_equal(t, host_data());
	memcpy(guest_data(&e->g), host_data(), DATA_SIZE);
	host_put(INSN_AT, t->bytes, t->n);
	memcpy(host_state->regs, t->regs, sizeof(t->regs));
	host_state->flags = t->flags | 0x202;
	memcpy(e->g.c->regs, t->regs, sizeof(t->regs));
	cpu_set_eflags(e->g.c, t->flags | 0x202);
	guest_exc = e->x64 ? run_x64(e, t->bytes, t->n) : run_interp(e, t->bytes, t->n);
	host_exc = host_run(INSN_AT);
	if (host_exc == EXC_UD && !host_has(insn_row(&t->in)->cpuid))
		return true;
	if (agree(t, e, host_exc, guest_exc))
		return true;
	show(t, e, host_exc, guest_exc);
	return false;
}

static void walk(enum host_code code, bool x64, enum host_protect protect)
{
	const char *env = getenv("SEED"), *given = getenv("CASES");
	uint64_t seed = env ? strtoull(env, NULL, 0) : 0x9e3779b97f4a7c15;
	struct gen gen = { .rng.s = seed, .mode = (uint32_t)code, .lock = true, .rep = true };
	bool is64 = code == HOST_CODE64;
	struct engine e;
	struct test_case t = { .rng = &gen.rng, .code = code, .is64 = is64 };
	unsigned failed = 0, n_rows = 0, cases = protect ? FAULT_CASES : x64 ? X64_CASES : INTERP_CASES;

	if (given)
		cases = (unsigned)strtoul(given, NULL, 0);

	if (!host_init(code))
		cr_skip_test("no memory that may be written and executed");
	engine_init(&e, code, x64, protect);
	host_protect(protect);
	gen.avoid = is64 ? 0 : 1u << RSP;
	for (int i = 0; i < DATA_SIZE; i += 8)
		st64(host_data() + i, value(&gen.rng));
	for (unsigned row = 0; row < n_insn_rows; row++) {
		unsigned done = 0, bad = 0;

		if (!wanted[insn_rows[row].does])
			continue;
		for (int tries = 0; done < cases && tries < 8 * (int)cases && bad < 2; tries++) {
			if (!make_case(&t, &gen, &e, row))
				continue;
			bad += !run_case(&t, &e);
			done++;
		}
		failed += bad > 0;
		n_rows += done > 0;
	}
	cr_expect(!failed, "%u of %u rows differ; SEED=%#lx", failed, n_rows, seed);
	cr_expect(n_rows > (is64 ? 300u : 250u), "%u rows", n_rows);
}

Test(rows_host, interpreted_code64_equals_host)
{
	walk(HOST_CODE64, false, HOST_ALL);
}

Test(rows_host, interpreted_code32_equals_host)
{
	walk(HOST_CODE32, false, HOST_ALL);
}

Test(rows_host, translated_code64_equals_host)
{
	walk(HOST_CODE64, true, HOST_ALL);
}

Test(rows_host, translated_code32_equals_host)
{
	walk(HOST_CODE32, true, HOST_ALL);
}

Test(rows_host, interpreted_code16_equals_host)
{
	walk(HOST_CODE16, false, HOST_ALL);
}

Test(rows_host, translated_code16_equals_host)
{
	walk(HOST_CODE16, true, HOST_ALL);
}

/* What is protected, x64, and code size, as one number. */
static void faults(int k)
{
	walk((enum host_code)(k / 4), k & 2, k & 1 ? HOST_NOTHING : HOST_READ_ONLY);
}

ParameterizedTestParameters(rows_host, faults_equal_those_of_the_host)
{
	static int params[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };

	return cr_make_param_array(int, params, ARRAY_LEN(params));
}

ParameterizedTest(int *k, rows_host, faults_equal_those_of_the_host)
{
	faults(*k);
}

#endif
