/*
 * Vector rows on the host processor against cpu/vec.c: random encodings of every
 * row, register and memory forms, random MXCSR. All registers, memory, flags and
 * MXCSR must agree. Rows the host does not have are passed over.
 *
 * Not tested here: unmasked exceptions (see below for one that is), rows with a helper.
 */
#include <criterion/criterion.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/disasm.h"
#include "cpu/vec.h"
#include "tests/insn/gen.h"

#ifdef __x86_64__

#define CASES 300	/* of each row; SEED and CASES of the environment override */

enum { AREA = 0x20000000, AREA_SIZE = 0x8000, CODE = AREA, STATE = AREA + 0x1000, DATA = AREA + 0x4000, DATA_SIZE = 64 };
enum { AT_MXCSR = 24, AT_ST = 32, AT_XMM = 160, AT_XSTATE_BV = 512, AT_YMM = 576, XSAVE_BYTES = 832 };

struct state {
	uint64_t regs[NGPR];
	uint64_t flags, host_rsp;
	uint8_t xsave[XSAVE_BYTES] __attribute__((aligned(64)));
	uint8_t data[DATA_SIZE];
};
static struct state *const host = (struct state *)STATE;
#define AT(field) (uint32_t)(STATE + offsetof(struct state, field))

/* ---- the frame around the instruction ---- */

static uint8_t *put(uint8_t *p, const char *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}
#define PUT(p, ...) put(p, (const char []) { __VA_ARGS__ }, sizeof((const char []) { __VA_ARGS__ }))

/* The same with an absolute address behind. */
static uint8_t *at(uint8_t *p, uint32_t a)
{
	st32(p, a);
	return p + 4;
}

/* mov between register and state: 0x8b loads, 0x89 stores. */
static uint8_t *move_reg(uint8_t *p, int opcode, int reg, uint32_t a)
{
	return at(PUT(p, 0x48 | reg >> 3 << 2, opcode, (reg & 7) << 3 | 4, 0x25), a);
}

static void make_code(const uint8_t *insn, unsigned n)
{
	uint8_t *p = (uint8_t *)CODE;

	p = PUT(p, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);	/* push rbx rbp r12-r15 */
	p = move_reg(p, 0x89, RSP, AT(host_rsp));
	p = PUT(p, 0xb8, 7, 0, 0, 0, 0x31, 0xd2);				/* mov eax, 7; xor edx, edx */
	p = at(PUT(p, 0x0f, 0xae, 0x2c, 0x25), AT(xsave));			/* xrstor */
	p = at(PUT(p, 0xff, 0x34, 0x25), AT(flags));				/* push [flags]; popf */
	p = PUT(p, 0x9d);
	for (int r = 0; r < NGPR; r++)
		if (r != RSP)
			p = move_reg(p, 0x8b, r, AT(regs) + 8 * (uint32_t)r);
	p = put(p, (const char *)insn, n);
	for (int r = 0; r < NGPR; r++)
		if (r != RSP)
			p = move_reg(p, 0x89, r, AT(regs) + 8 * (uint32_t)r);
	p = at(PUT(p, 0x9c, 0x8f, 0x04, 0x25), AT(flags));			/* pushf; pop [flags] */
	p = PUT(p, 0xb8, 7, 0, 0, 0, 0x31, 0xd2);
	p = at(PUT(p, 0x0f, 0xae, 0x24, 0x25), AT(xsave));			/* xsave */
	p = PUT(p, 0xdb, 0xe3);							/* fninit */
	PUT(p, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

static sigjmp_buf host_env;

static void on_signal(int sig)
{
	siglongjmp(host_env, sig);
}

/* 0, or the signal. */
static int run_host(void)
{
	uint32_t mxcsr = 0x1f80;
	int sig = sigsetjmp(host_env, 1);

	if (!sig)
		((void (*)(void))CODE)();
	asm volatile("ldmxcsr %0\n\tfninit" : : "m"(mxcsr));
	return sig;
}

/* ---- operands ---- */

static uint64_t number(struct rng *r)
{
	static const uint32_t f32[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc12345,
		0xffc00001, 0x7f812345, 0xff800001, 1, 0x80000003, 0x007fffff, 0x00800000, 0x7f7fffff, 0x4f000000,
		0xcf000000, 0x4effffff, 0x3f000000, 0x3fc00000, 0x40200000, 0x5f000000, 0x33800000, 0x477ff000, 0x38800000, 0x387fe000 };
	static const uint64_t f64[] = { 0, 1ull << 63, 0x3ff0000000000000, 0xbff8000000000000, 0x7ff0000000000000,
		0xfff0000000000000, 0x7ff8000000012345, 0x7ff0000000000001, 0xfff4000000000000, 1, 0x800fffffffffffff,
		0x0010000000000000, 0x7fefffffffffffff, 0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000,
		0x43e0000000000000, 0x3fe0000000000000, 0x4004000000000000, 0x36a0000000000000, 0x47efffffe0000000 };
	uint64_t v = rng_next(r);

	switch (rng_below(r, 8)) {
	case 0: return f32[rng_below(r, ARRAY_LEN(f32))] | (uint64_t)f32[rng_below(r, ARRAY_LEN(f32))] << 32;
	case 1: return f64[rng_below(r, ARRAY_LEN(f64))];
	case 2: return v & 0x0f0f0f0f0f0f0f0f;
	case 3: return (v & 0x807fffff807fffff) | 0x3f8000003f000000;	/* singles near 1 */
	case 4: return (v & 0x800fffffffffffff) | 0x3ff0000000000000;	/* a double near 1 */
	case 5: return (uint64_t)(int64_t)(int8_t)v;
	default: return v;
	}
}

static void make_state(struct state *s, struct rng *r)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < NGPR; i++)
		s->regs[i] = number(r);
	s->regs[RBX] = DATA;
	s->flags = 0x202 | (rng_next(r) & FL_ARITH);
	st16(s->xsave, 0x37f);
	st16(s->xsave + 2, (uint16_t)(rng_below(r, 8) << 11));	/* TOP: MMX instructions make it 0 */
	s->xsave[4] = 0xff;
	st32(s->xsave + AT_MXCSR, (rng_below(r, 3) ? 0x1f80 : 0x1f80 | (rng_next(r) & 0xe07f)));
	st32(s->xsave + AT_MXCSR + 4, 0xffff);
	st64(s->xsave + AT_XSTATE_BV, 7);
	for (int i = 0; i < 8; i++) {
		st64(s->xsave + AT_ST + 16 * i, number(r));
		st16(s->xsave + AT_ST + 16 * i + 8, 0xffff);
	}
	for (int i = 0; i < 32; i++)
		st64(s->xsave + AT_XMM + 8 * i, number(r));
	for (int i = 0; i < 32; i++)
		st64(s->xsave + AT_YMM + 8 * i, number(r));
	for (int i = 0; i < DATA_SIZE; i += 8)
		st64(s->data + i, number(r));
}

/* ---- ours ---- */

struct ours {
	struct cpu *c;
	jmp_buf env;
	uint8_t data[DATA_SIZE] __attribute__((aligned(32)));
};

static void __attribute__((noreturn)) unwind(struct cpu *c)
{
	longjmp(((struct ours *)c->board.opaque)->env, 1);
}

/* The memory operand in our copy of the data. */
static uint8_t *operand(struct ours *o, const struct insn *in)
{
	for (int k = 0; k < in->nopd; k++)
		if (in->opd[k].kind == OPD_MEM)
			return o->data + in->disp;
	return NULL;
}

/* False if it raised. */
static bool run_ours(struct ours *o, const struct state *s, const struct insn *in)
{
	struct cpu *c = o->c;

	memcpy(c->regs, s->regs, sizeof(c->regs));
	memcpy(c->xsave, s->xsave, sizeof(s->xsave));
	memcpy(o->data, s->data, sizeof(o->data));
	c->cc = cc_from_eflags((uint32_t)s->flags);
	if (setjmp(o->env))
		return false;
	vec_exec(c, in, operand(o, in));
	return true;
}

static struct ours *new_ours(void)
{
	struct ours *o = aligned_alloc(64, (sizeof(*o) + 63) & ~63ul);

	memset(o, 0, sizeof(*o));
	o->c = aligned_alloc(64, (sizeof(*o->c) + 63) & ~63ul);
	memset(o->c, 0, sizeof(*o->c));
	o->c->mode = MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT;
	o->c->cr0 = CR0_PE | CR0_NE;
	o->c->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
	o->c->unwind = unwind;
	o->c->board.opaque = o;
	return o;
}

/* ---- the walk ---- */

static void show(char *text, size_t n, const struct state *s)
{
	size_t k = 0;

	for (int i = 0; i < 16 && k < n; i++)
		k += (size_t)snprintf(text + k, n - k, "  %2d %016lx %016lx %016lx %016lx\n", i, ld64(s->xsave + AT_YMM + 16 * i + 8),
				      ld64(s->xsave + AT_YMM + 16 * i), ld64(s->xsave + AT_XMM + 16 * i + 8),
				      ld64(s->xsave + AT_XMM + 16 * i));
}

/* The first difference as text, or NULL. */
static const char *difference(const struct ours *o, const struct insn *in)
{
	static char text[300];
	uint32_t defined = FL_ARITH & ~(uint32_t)insn_row(in)->fl_undef;
	const uint8_t *a = o->c->xsave, *b = host->xsave;

	for (int i = 0; i < 32; i++) {
		int off = i < 16 ? AT_XMM + 16 * i : AT_YMM + 16 * (i - 16);
		if (!memcmp(a + off, b + off, 16))
			continue;
		sprintf(text, "%s %d: %016lx %016lx, host %016lx %016lx", i < 16 ? "xmm" : "ymm upper", i & 15,
			ld64(a + off + 8), ld64(a + off), ld64(b + off + 8), ld64(b + off));
		return text;
	}
	for (int i = 0; i < 8; i++)
		if (memcmp(a + AT_ST + 16 * i, b + AT_ST + 16 * i, 10)) {
			sprintf(text, "mm %d: %016lx, host %016lx", i, ld64(a + AT_ST + 16 * i), ld64(b + AT_ST + 16 * i));
			return text;
		}
	for (int i = 0; i < NGPR; i++)
		if (o->c->regs[i] != host->regs[i] && i != RSP) {
			sprintf(text, "gpr %d: %lx, host %lx", i, o->c->regs[i], host->regs[i]);
			return text;
		}
	sprintf(text, "mxcsr %x, host %x; flags %x, host %lx; fsw, ftw %x %x, host %x %x", ld32(a + AT_MXCSR), ld32(b + AT_MXCSR),
		cpu_get_eflags(o->c), host->flags, ld16(a + 2), a[4], ld16(b + 2), b[4]);
	if (ld32(a + AT_MXCSR) != ld32(b + AT_MXCSR) || (cpu_get_eflags(o->c) ^ host->flags) & defined ||
	    ld16(a + 2) != ld16(b + 2) || a[4] != b[4])
		return text;
	return memcmp(o->data, (void *)DATA, DATA_SIZE) ? "memory" : NULL;
}

static bool is_ours(unsigned row)
{
	switch (insn_rows[row].does) {
	case DOES_vec: case DOES_vec_gpr: case DOES_vec_pcmpstr: case DOES_emms: case DOES_stmxcsr:
		return true;
	default:
		return false;
	}
}

/* 1 if it was compared, 0 if there was nothing to compare, -1 if the host does not have it. */
static int one_case(struct ours *o, struct gen *g, unsigned row)
{
	struct insn_env env = { .mode = MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT, .feat = { ~0ull, ~0ull } };
	uint8_t bytes[15];
	struct state s;
	struct insn in;
	char text[100], regs[4000];
	unsigned n = insn_gen(g, row, bytes);
	const char *diff;

	if (!n || insn_decode(bytes, n, &env, &in) != INSN_OK || in.row != row)
		return 0;
	make_state(&s, &g->rng);
	memcpy(host, &s, sizeof(s));
	memcpy((void *)DATA, s.data, DATA_SIZE);
	make_code(bytes, n);
	if (run_host())
		return -1;
	bool ok = run_ours(o, &s, &in);
	diff = ok ? difference(o, &in) : "raised";
	if (!diff)
		return 1;
	insn_text(&in, 0, text, sizeof(text));
	show(regs, sizeof(regs), &s);
	cr_assert(false, "%s, mxcsr %x, imm %lx: %s\n%s  data %016lx %016lx %016lx %016lx", text, ld32(s.xsave + AT_MXCSR),
		  in.imm, diff, regs, ld64(s.data + in.disp % 64 + 24), ld64(s.data + in.disp % 64 + 16),
		  ld64(s.data + in.disp % 64 + 8), ld64(s.data + in.disp % 64));
	return 1;
}

static void setup(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };

	cr_assert_eq(mmap((void *)AREA, AREA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), (void *)AREA);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
}

static unsigned long from_env(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

Test(vec_host, every_row_equals_the_host, .init = setup)
{
	struct ours *o = new_ours();
	unsigned long seed = from_env("SEED", 0x7ec), cases = from_env("CASES", CASES);
	unsigned tested = 0;

	if (!__builtin_cpu_supports("avx"))
		cr_skip_test("host without XSAVE of AVX state");
	for (unsigned row = 0; row < n_insn_rows; row++) {
		struct gen g = {
			.rng = { seed + row }, .mode = MODE_CODE64, .scratch = true, .base = RBX, .max_disp = 32,
			.avoid = 1u << RSP | 1u << RBX,
		};
		unsigned long compared = 0;
		int r = 0;
		if (!is_ours(row))
			continue;
		for (unsigned long i = 0; i < cases && r >= 0; i++) {
			r = one_case(o, &g, row);
			compared += r > 0;
		}
		tested += compared > 0;
		if (!compared)
			cr_log_info("not compared: %s %s", insn_rows[row].name, insn_rows[row].opds);
	}
	cr_log_info("%u rows, seed %lx", tested, seed);
	cr_assert_gt(tested, 250);
}

/* ---- exceptions ---- */

Test(vec_host, an_unmasked_exception_writes_nothing, .init = setup)
{
	static const uint8_t divss[] = { 0xf3, 0x0f, 0x5e, 0xc1 };	/* divss xmm0, xmm1 */
	struct insn_env env = { .mode = MODE_CODE64 | MODE_PE | MODE_LMA, .feat = { ~0ull, ~0ull } };
	struct ours *o = new_ours();
	struct state s = { 0 };
	struct insn in;

	cr_assert_eq(insn_decode(divss, sizeof(divss), &env, &in), INSN_OK);
	st32(s.xsave + AT_MXCSR, 0x1f80 & ~0x200);	/* divide by zero unmasked */
	st32(s.xsave + AT_XMM, 0x3f800000);
	cr_assert_not(run_ours(o, &s, &in));
	cr_assert_eq(o->c->exc_vector, EXC_XM);
	cr_assert_eq(ld32(o->c->xsave + AT_XMM), 0x3f800000);
	cr_assert_eq(ld32(o->c->xsave + AT_MXCSR), (0x1f80 & ~0x200) | 4);
}
#endif
