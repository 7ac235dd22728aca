/*
 * The µop interpreter's arithmetic against the host's own instructions: random
 * and corner operands, every size, defined flags only. Memory operands, exits
 * and faults have tests of their own below.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tcg/interp.h"

#ifdef __x86_64__

/* ---- host instructions ---- */

/* r is destination and first operand, s the second (in CL for shifts), f the flags. */
struct operands {
	uint64_t r, s, f;
};
typedef void host_fn(struct operands *o, int size);

#define RUN(text)								\
	asm volatile("lea -128(%%rsp), %%rsp\n\tpush %[f]\n\tpopf\n\t" text	\
		     "\n\tpushf\n\tpop %[f]\n\tlea 128(%%rsp), %%rsp"		\
		     : [r] "+r"(o->r), [s] "+c"(o->s), [f] "+r"(o->f) : : "cc")

#define HOST(name, b1, b2, b4, b8)						\
static void host_##name(struct operands *o, int size)				\
{										\
	switch (size) {								\
	case 1: RUN(b1); break;							\
	case 2: RUN(b2); break;							\
	case 4: RUN(b4); break;							\
	default: RUN(b8); break;						\
	}									\
}
#define HOST2(name) HOST(name, #name "b %b[s], %b[r]", #name "w %w[s], %w[r]", #name "l %k[s], %k[r]", #name "q %[s], %[r]")
#define HOST1(name) HOST(name, #name "b %b[r]", #name "w %w[r]", #name "l %k[r]", #name "q %[r]")
#define HOSTC(name) HOST(name, #name "b %%cl, %b[r]", #name "w %%cl, %w[r]", #name "l %%cl, %k[r]", #name "q %%cl, %[r]")
#define HOSTW(name) HOST(name, "nop", #name "w %w[s], %w[r]", #name "l %k[s], %k[r]", #name "q %[s], %[r]")
#define HOST3(name) HOST(name, "nop", "nop", #name "l %k[s], %k[r], %k[r]", #name "q %[s], %[r], %[r]")
#define HOSTU(name) HOST(name, "nop", "nop", #name "l %k[r], %k[r]", #name "q %[r], %[r]")

HOST2(add) HOST2(adc) HOST2(sub) HOST2(sbb) HOST2(and) HOST2(or) HOST2(xor) HOST2(cmp) HOST2(test)
HOST1(inc) HOST1(dec) HOST1(neg) HOST1(not)
HOSTC(shl) HOSTC(shr) HOSTC(sar) HOSTC(rol) HOSTC(ror) HOSTC(rcl) HOSTC(rcr)
HOSTW(bt) HOSTW(bts) HOSTW(btr) HOSTW(btc) HOSTW(imul)
HOSTW(bsf) HOSTW(bsr)
HOST2(xadd)
HOST(tzcnt, "nop", "tzcntw %w[r], %w[r]", "tzcntl %k[r], %k[r]", "tzcntq %[r], %[r]")
HOST(lzcnt, "nop", "lzcntw %w[r], %w[r]", "lzcntl %k[r], %k[r]", "lzcntq %[r], %[r]")
HOST(popcnt, "nop", "popcntw %w[r], %w[r]", "popcntl %k[r], %k[r]", "popcntq %[r], %[r]")
HOST3(andn) HOST3(bextr) HOST3(bzhi) HOST3(pdep) HOST3(pext) HOST3(sarx) HOST3(shlx) HOST3(shrx)
HOSTU(blsi) HOSTU(blsr) HOSTU(blsmsk)
HOST(adcx, "nop", "nop", "adcxl %k[s], %k[r]", "adcxq %[s], %[r]")
HOST(adox, "nop", "nop", "adoxl %k[s], %k[r]", "adoxq %[s], %[r]")

/* ---- the table ---- */

#define SIZES_ALL	0xf	/* bit n: 1 << n bytes */
#define SIZES_W		0xe
#define SIZES_LQ	0xc
#define AP		(FL_AF | FL_PF)
#define SZAP		(FL_SF | FL_ZF | AP)
#define OSAP		(FL_OF | FL_SF | AP)

struct row {
	const char *name;
	enum uop_op op;
	host_fn *host;
	unsigned sizes;
	uint32_t undefined;	/* flags not compared */
	bool shift;		/* OF is defined for a count of 1 only, CF up to the width */
	bool swap;		/* the µop's b is r, its a is s */
};

#define ROW(n, sizes, undef, shift) { #n, UOP_##n, host_##n, sizes, undef, shift, false }
static const struct row rows[] = {
	ROW(add, SIZES_ALL, 0, false), ROW(adc, SIZES_ALL, 0, false), ROW(sub, SIZES_ALL, 0, false),
	ROW(sbb, SIZES_ALL, 0, false), ROW(and, SIZES_ALL, FL_AF, false), ROW(or, SIZES_ALL, FL_AF, false),
	ROW(xor, SIZES_ALL, FL_AF, false), ROW(cmp, SIZES_ALL, 0, false), ROW(test, SIZES_ALL, FL_AF, false),
	ROW(inc, SIZES_ALL, 0, false), ROW(dec, SIZES_ALL, 0, false), ROW(neg, SIZES_ALL, 0, false),
	ROW(not, SIZES_ALL, 0, false),
	ROW(shl, SIZES_ALL, FL_AF, true), ROW(shr, SIZES_ALL, FL_AF, true), ROW(sar, SIZES_ALL, FL_AF, true),
	ROW(rol, SIZES_ALL, 0, true), ROW(ror, SIZES_ALL, 0, true), ROW(rcl, SIZES_ALL, 0, true),
	ROW(rcr, SIZES_ALL, 0, true),
	ROW(bt, SIZES_W, 0, false), ROW(bts, SIZES_W, 0, false), ROW(btr, SIZES_W, 0, false),
	ROW(btc, SIZES_W, 0, false), ROW(xadd, SIZES_ALL, 0, false),
	{ "imul2", UOP_imul2, host_imul, SIZES_W, SZAP, false, false },
	ROW(bsf, SIZES_W, OSAP | FL_CF, false), ROW(bsr, SIZES_W, OSAP | FL_CF, false),
	ROW(tzcnt, SIZES_W, OSAP, false), ROW(lzcnt, SIZES_W, OSAP, false), ROW(popcnt, SIZES_W, 0, false),
	{ "andn", UOP_andn, host_andn, SIZES_LQ, AP, false, false },
	ROW(bextr, SIZES_LQ, FL_SF | AP, false), ROW(bzhi, SIZES_LQ, AP, false),
	ROW(pdep, SIZES_LQ, 0, false), ROW(pext, SIZES_LQ, 0, false),
	ROW(sarx, SIZES_LQ, 0, false), ROW(shlx, SIZES_LQ, 0, false), ROW(shrx, SIZES_LQ, 0, false),
	ROW(blsi, SIZES_LQ, AP, false), ROW(blsr, SIZES_LQ, AP, false), ROW(blsmsk, SIZES_LQ, AP, false),
	ROW(adcx, SIZES_LQ, 0, false), ROW(adox, SIZES_LQ, 0, false),
};
#endif

/* ---- a vCPU with nothing around it, a block made by hand ---- */

static struct cpu *bare_cpu(void)
{
	struct cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~63ul);

	memset(c, 0, sizeof(*c));
	c->mode = MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT;
	c->eflags = 2;
	c->cc = cc_from_eflags(0);
	return c;
}

static struct uop *add_uop(struct ir *ir, enum uop_op op, int size, int d, int a, int b)
{
	struct uop *u = &ir->uops[ir->n_uops++];

	*u = (struct uop) { .op = op, .size = size, .d = d, .a = a, .b = b };
	return u;
}

static struct ir *new_ir(uint32_t mode)
{
	struct ir *ir = calloc(1, sizeof(*ir));

	ir->rip = 0x1000;
	ir->mode = mode;
	ir->n_insns = 1;
	ir->len = ir->off[1] = 4;
	return ir;
}

static const bool never = false;

static uint64_t rng(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Corner values come up often. */
static uint64_t value(uint64_t *s)
{
	static const uint64_t corners[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, 31, 33, 0x100, 8, 16 };
	uint64_t r = rng(s);

	return r & 7 ? rng(s) >> (r >> 8 & 63) : corners[(r >> 8) % ARRAY_LEN(corners)];
}

#ifdef __x86_64__
static uint32_t comparable(const struct row *row, const struct operands *o, int size)
{
	uint32_t mask = FL_ARITH & ~row->undefined;
	unsigned n = o->s & (size == 8 ? 63 : 31);

	if (row->shift && n == 0)
		return FL_ARITH;
	if (row->shift && n != 1)
		mask &= ~FL_OF;
	if (row->shift && n > 8 * (unsigned)size && (row->op == UOP_shl || row->op == UOP_shr))
		mask &= ~FL_CF;
	return mask;
}

static void compare(struct cpu *c, struct ir *ir, const struct row *row, int size, uint64_t *seed)
{
	struct operands in = { value(seed), value(seed), 0x202 | (rng(seed) & FL_ARITH) }, out = in;

	ir->n_uops = 0;
	add_uop(ir, row->op, size, uop_info[row->op].d ? RBX : OP_NONE, RBX, uop_info[row->op].b ? RCX : OP_NONE);
	add_uop(ir, UOP_jmp, 8, OP_NONE, OP_NONE, OP_NONE)->imm = 0x2000;
	c->regs[RBX] = in.r;
	c->regs[RCX] = in.s;
	c->cc = cc_from_eflags((uint32_t)in.f);
	cr_assert_eq(interp_run(c, ir, &never), INTERP_NEXT);
	cr_assert_eq(c->rip, 0x2000);
	row->host(&out, size);

	uint32_t mask = comparable(row, &in, size), got = cpu_get_eflags(c);
	cr_assert_eq(c->regs[RBX], out.r, "%s.%d %lx %lx: %lx, host %lx", row->name, size, in.r, in.s,
		     c->regs[RBX], out.r);
	cr_assert_eq(c->regs[RCX], out.s, "%s.%d %lx %lx: second %lx, host %lx", row->name, size, in.r, in.s,
		     c->regs[RCX], out.s);
	cr_assert_eq((got ^ out.f) & mask, 0, "%s.%d %lx %lx: flags %x, host %lx, of %lx", row->name, size, in.r,
		     in.s, got, out.f, in.f);
}

Test(interp, arithmetic_equals_the_host)
{
	struct cpu *c = bare_cpu();
	struct ir *ir = new_ir(c->mode);
	uint64_t seed = 0x5eed;

	if (!__builtin_cpu_supports("bmi2"))
		cr_skip_test("host without BMI2");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int lg = 0; lg < 4; lg++)
			for (int n = 0; n < 2000 && rows[i].sizes >> lg & 1; n++)
				compare(c, ir, &rows[i], 1 << lg, &seed);
	free(ir);
	free(c);
}

/* ---- instructions with fixed registers ---- */

struct pair { uint64_t a, d, s, f; };

#define PAIR(name, suffix, form) \
	asm volatile("lea -128(%%rsp), %%rsp\n\tpush %[f]\n\tpopf\n\t" name suffix " " form \
		     "\n\tpushf\n\tpop %[f]\n\tlea 128(%%rsp), %%rsp" \
		     : "+a"(p->a), "+d"(p->d), [f] "+r"(p->f) : [s] "r"(p->s) : "cc")
#define HOST_PAIR(name) static void pair_##name(struct pair *p, int size) \
{ \
	switch (size) { \
	case 1: PAIR(#name, "b", "%b[s]"); break; \
	case 2: PAIR(#name, "w", "%w[s]"); break; \
	case 4: PAIR(#name, "l", "%k[s]"); break; \
	default: PAIR(#name, "q", "%[s]"); break; \
	} \
}
HOST_PAIR(mul) HOST_PAIR(imul) HOST_PAIR(div) HOST_PAIR(idiv)

/* A dividend that gives a quotient of the size: product of two numbers, a bit more. */
static void make_dividend(struct pair *p, int size, bool is_signed, uint64_t *seed)
{
	int w = 8 * size;
	int64_t q = sext(value(seed), w), d;

	p->s = value(seed) | 1;
	d = sext(p->s, w);
	unsigned __int128 n = is_signed ? (unsigned __int128)((__int128)q * d)
					: (unsigned __int128)((uint64_t)q & size_mask(size)) * (p->s & size_mask(size));
	if (size == 1) {
		p->a = (uint64_t)n & 0xffff;
		return;
	}
	p->a = (uint64_t)n;
	p->d = (uint64_t)(n >> w);
}

Test(interp, multiply_and_divide_equal_the_host)
{
	static const struct { enum uop_op op; void (*host)(struct pair *, int); bool div, is_signed; } ops[] = {
		{ UOP_mul1, pair_mul, false, false }, { UOP_imul1, pair_imul, false, true },
		{ UOP_div1, pair_div, true, false }, { UOP_idiv1, pair_idiv, true, true },
	};
	struct cpu *c = bare_cpu();
	struct ir *ir = new_ir(c->mode);
	uint64_t seed = 0xd1f;

	for (int n = 0; n < 40000; n++) {
		int k = n & 3, size = 1 << (n >> 2 & 3);
		struct pair in = { value(&seed), value(&seed), value(&seed), 0x202 }, out;
		if (ops[k].div)
			make_dividend(&in, size, ops[k].is_signed, &seed);
		out = in;
		ops[k].host(&out, size);
		ir->n_uops = 0;
		add_uop(ir, ops[k].op, size, OP_NONE, RBX, OP_NONE);
		add_uop(ir, UOP_jmp, 8, OP_NONE, OP_NONE, OP_NONE);
		c->regs[RAX] = in.a;
		c->regs[RDX] = in.d;
		c->regs[RBX] = in.s;
		interp_run(c, ir, &never);
		cr_assert_eq(c->regs[RAX], out.a, "%s.%d: %lx, host %lx", uop_info[ops[k].op].name, size,
			     c->regs[RAX], out.a);
		cr_assert_eq(c->regs[RDX], out.d, "%s.%d", uop_info[ops[k].op].name, size);
		if (!ops[k].div)
			cr_assert_eq((cpu_get_eflags(c) ^ out.f) & (FL_CF | FL_OF), 0);
	}
}
#endif

/* ---- memory, exits ---- */

/* A page of plain memory at va in the read and write tables. */
static void map_page(struct cpu *c, uint64_t va, uint8_t *host)
{
	for (int w = 0; w < 2; w++) {
		struct tlb_entry *e = tlb_entry(&c->tlb[0], va, w);
		e->tag = va;
		e->host = (uint64_t)host;
	}
}

Test(interp, locked_add_reaches_guest_memory)
{
	static uint8_t page[4096];
	struct cpu *c = bare_cpu();
	struct ir *ir = new_ir(c->mode);
	struct uop *u = add_uop(ir, UOP_probe, 4, DS, RBX, OP_NONE);

	map_page(c, 0x7000, page);
	u->c = PROBE_RW | 2 << PROBE_ADSIZE;
	u->imm = 8;
	add_uop(ir, UOP_xadd, 4, OP_M, OP_M, RCX)->aux = U_LOCK;
	add_uop(ir, UOP_jmp, 8, OP_NONE, OP_NONE, OP_NONE);
	st32(page + 0x18, 40);
	c->regs[RBX] = 0x7010;
	c->regs[RCX] = 2;
	interp_run(c, ir, &never);
	cr_assert_eq(ld32(page + 0x18), 42);
	cr_assert_eq(c->regs[RCX], 40);
}

Test(interp, poll_leaves_only_for_a_request)
{
	struct cpu *c = bare_cpu();
	struct ir *ir = new_ir(c->mode);

	add_uop(ir, UOP_poll, 8, OP_NONE, OP_NONE, OP_NONE)->imm = 0x3000;
	add_uop(ir, UOP_jmp, 8, OP_NONE, OP_NONE, OP_NONE)->imm = 0x4000;
	cr_assert_eq(interp_run(c, ir, &never), INTERP_NEXT);
	cr_assert_eq(c->rip, 0x4000);
	atomic_store(&c->request, REQ_INTR);
	cr_assert_eq(interp_run(c, ir, &never), INTERP_EXIT);
	cr_assert_eq(c->rip, 0x3000);
}

Test(interp, conditions_follow_the_flags)
{
	struct cpu *c = bare_cpu();
	struct ir *ir = new_ir(c->mode);

	for (uint32_t f = 0; f < 0x1000; f++) {
		bool o = f & FL_OF, s = f & FL_SF, z = f & FL_ZF, p = f & FL_PF, cy = f & FL_CF;
		bool want[8] = { o, cy, z, cy || z, s, p, s != o, z || s != o };
		if (f & ~FL_ARITH)
			continue;
		for (int cond = 0; cond < 16; cond++) {
			ir->n_uops = 0;
			add_uop(ir, UOP_setcc, 1, OP_AH, OP_NONE, OP_NONE)->c = (uint8_t)cond;
			add_uop(ir, UOP_jmp, 8, OP_NONE, OP_NONE, OP_NONE);
			c->cc = cc_from_eflags(f);
			interp_run(c, ir, &never);
			cr_assert_eq(c->regs[RAX] >> 8, want[cond >> 1] != (cond & 1), "%x %d", f, cond);
		}
	}
}
