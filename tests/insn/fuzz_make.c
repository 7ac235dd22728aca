/*
 * See fuzz.h: random blocks and states.
 *
 * A block of one instruction has operands of every form; each state aims its memory
 * operand by setting the registers of the address. In longer blocks memory is mostly
 * reached by one pointer register that most instructions leave alone, as in real code.
 */
#include "tests/insn/fuzz.h"

#include <string.h>

#include "tcg/run.h"

/* ---- numbers ---- */

static unsigned below(struct fuzz *f, unsigned n)
{
	return rng_below(&f->rng, n);
}

static uint64_t number(struct rng *r)
{
	static const uint64_t ints[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, 31, 32, 33, 63, 64, 0x100, 8, 16 };
	static const uint32_t f32[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc12345,
		0xffc00001, 0x7f812345, 0xff800001, 1, 0x80000003, 0x007fffff, 0x00800000, 0x7f7fffff, 0x4f000000,
		0xcf000000, 0x4effffff, 0x3f000000, 0x3fc00000, 0x40200000, 0x5f000000, 0x33800000, 0x477ff000,
		0x38800000, 0x387fe000 };
	static const uint64_t f64[] = { 0, 1ull << 63, 0x3ff0000000000000, 0xbff8000000000000, 0x7ff0000000000000,
		0xfff0000000000000, 0x7ff8000000012345, 0x7ff0000000000001, 0xfff4000000000000, 1, 0x800fffffffffffff,
		0x0010000000000000, 0x7fefffffffffffff, 0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000,
		0x43e0000000000000, 0x3fe0000000000000, 0x4004000000000000, 0x36a0000000000000, 0x47efffffe0000000 };
	uint64_t v = rng_next(r);

	switch (rng_below(r, 12)) {
	case 0: case 1: return ints[rng_below(r, ARRAY_LEN(ints))];
	case 2: return f32[rng_below(r, ARRAY_LEN(f32))] | (uint64_t)f32[rng_below(r, ARRAY_LEN(f32))] << 32;
	case 3: return f64[rng_below(r, ARRAY_LEN(f64))];
	case 4: return v & 0x0f0f0f0f0f0f0f0f;
	case 5: return (v & 0x807fffff807fffff) | 0x3f8000003f000000;	/* singles near 1 */
	case 6: return (v & 0x800fffffffffffff) | 0x3ff0000000000000;	/* a double near 1 */
	case 7: return (uint64_t)(int64_t)(int8_t)v;
	case 8: return (uint64_t)((int64_t)v >> (v & 63));
	case 9: return 1ull << (v & 63);
	default: return v;
	}
}

static uint64_t pooled(struct fuzz *f)
{
	return f->pool[below(f, FUZZ_POOL)];
}

/* n bytes, a multiple of 8, of the pool. */
static void from_pool(struct fuzz *f, void *to, unsigned n)
{
	memcpy(to, &f->pool[below(f, FUZZ_POOL - n / 8)], n);
}

/* ---- places ---- */

static uint64_t data_base(const struct fuzz *f)
{
	return f->bits == 16 ? 0 : USER_DATA;
}

/* Offset in the data segment: mostly in plain pages, else where something happens. */
static uint64_t place(struct fuzz *f)
{
	static const uint16_t edges[] = { 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x1000, 0x2000 };
	static const uint16_t middles[] = { 0x0000, 0x1000, 0x4000, 0x2000, 0x3000 };
	unsigned k = below(f, 32), fine = below(f, 64);
	uint64_t off;

	if (k < 24)
		off = (k < 20 ? 0x200 : 0x4200) + below(f, 0x80) * 16 + (fine < 16 ? fine : 0);
	else if (k < 28)
		off = edges[below(f, ARRAY_LEN(edges))] - fine;
	else if (k < 31 || f->bits != 64)
		off = middles[below(f, ARRAY_LEN(middles))] + 0x400 + 8 * fine;
	else
		return (below(f, 2) ? 0x7fffffffffc0 : 0xffffffffffffffc0) + fine;
	return data_base(f) + off;
}

static uint64_t plain_place(struct fuzz *f)
{
	return data_base(f) + 0x200 + below(f, 0x80) * 16;
}

/* ---- encodings ---- */

static uint32_t gen_mode(const struct fuzz *f)
{
	return f->bits == 64 ? MODE_CODE64 : f->bits == 32 ? MODE_CODE32 : MODE_CODE16;
}

/* Now and then a prefix more, whether it means something or not. */
static unsigned add_prefix(struct fuzz *f, uint8_t *p, unsigned n)
{
	static const uint8_t prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3 };

	if (n == 15 || below(f, 12))
		return n;
	memmove(p + 1, p, n);
	p[0] = prefixes[below(f, ARRAY_LEN(prefixes))];
	return n + 1;
}

/* Put another displacement into the encoding: the last place that holds the old one. */
static bool patch_disp(uint8_t *p, struct insn *in, int n, uint64_t disp)
{
	for (int at = in->len - n; at > 0; at--)
		if (!memcmp(p + at, &in->disp, (size_t)n)) {
			memcpy(p + at, &disp, (size_t)n);
			in->disp = n == 4 ? (int32_t)disp : (int64_t)disp;
			return true;
		}
	return false;
}

/* An address without base register is made to lie in the data pages. */
static void patch_address(struct fuzz *f, struct fuzz_block *b, uint8_t *p, struct insn *in)
{
	uint64_t to = place(f);

	if (in->base == RIP_REG)
		patch_disp(p, in, 4, to - (user_rip(b->bits, b->at) + b->n + in->len));
	else if (in->base == NO_REG && in->has_modrm)
		patch_disp(p, in, in->adsize == 2 ? 2 : 4, to);
	else if (in->base == NO_REG)
		patch_disp(p, in, in->adsize, to);	/* moffs */
}

/* Branches go forward a little or far away. */
static void patch_branch(struct fuzz *f, uint8_t *p, struct insn *in)
{
	int n = in->opd[0].kind == OPD_REL ? in->opd[0].size : 0;

	if (n == 1)
		p[in->len - 1] = (uint8_t)below(f, 4);
	else if (n && below(f, 4))
		st_n(p + in->len - n, n, below(f, 3));
}

/* Selectors of descriptors that Linux has, of none, and others; not of its processor number's. */
static uint16_t selector(struct fuzz *f)
{
	static const uint16_t some[] = { 0, 1, 2, 3, 0x23, 0x23, 0x2b, 0x2b, 0x2b, 0x33, 0x33, 0x20, 0x28, 0x2a, 0x30, 0x10,
		0x08, 0x18, 0x40, 0x43, 0x48, 0x50, 0x63, 0x80, 0xffff, 0x07, 0x0f, 0x0c, 0x17 };
	uint16_t sel = (uint16_t)rng_next(&f->rng);

	if (below(f, 16) || (sel & ~7) == 0x78)
		sel = some[below(f, ARRAY_LEN(some))];
	/* From 16-bit code on, the host's RSP has in its upper half what the kernel has left there. */
	return f->bits == 16 && (sel & ~7) == 0x30 ? sel ^ 0x10 : sel;
}

/* A far pointer in the instruction: its selector, and the next instruction. */
static void patch_far(struct fuzz *f, const struct fuzz_block *b, uint8_t *p, struct insn *in)
{
	st16(p + in->len - 2, selector(f));
	st_n(p + in->len - 2 - in->opsize, in->opsize, user_rip(b->bits, b->at) + b->n + in->len);
}

/* Append an encoding of that row at the end; false if there is none that may stay. */
static bool append(struct fuzz *f, struct fuzz_block *b, struct gen *g, unsigned row)
{
	uint8_t *p = b->code + b->n;
	struct insn in;
	unsigned n;

	if (b->n + 16 > FUZZ_CODE)
		return false;
	g->rng = f->rng;
	n = insn_gen(g, row, p);
	f->rng = g->rng;
	if (!n)
		return false;
	n = add_prefix(f, p, n);
	if (insn_decode(p, n, &f->env, &in) != INSN_OK || in.len != n)
		return false;
	if (fuzz_has_memory(&in))
		patch_address(f, b, p, &in);
	if (in.opd[0].kind == OPD_REL)
		patch_branch(f, p, &in);
	if (in.opd[0].kind == OPD_FAR)
		patch_far(f, b, p, &in);
	if (insn_row(&in)->does == DOES_retf && in.nopd)
		p[n - 1] = 0;
	b->n += n;
	return true;
}

static void start(struct fuzz *f, struct fuzz_block *b)
{
	b->bits = f->bits;
	b->n = b->count = 0;
}

bool fuzz_single(struct fuzz *f, struct fuzz_block *b, unsigned row)
{
	struct gen g = { .mode = gen_mode(f), .lock = true, .rep = true };

	start(f, b);
	return append(f, b, &g, row) && fuzz_analyse(f, b) && b->count == 1;
}

/* What compilers put between accesses: stack traffic and pointers that move by constants. */
static void pointer_step(struct fuzz *f, struct fuzz_block *b, int base)
{
	static const struct { uint8_t n, reg_at, b[4]; } steps[] = {
		{ 3, 1, { 0x83, 0xc0, 8 } },		/* add base, 8 */
		{ 3, 1, { 0x83, 0xe8, 16 } },		/* sub base, 16 */
		{ 2, 1, { 0xff, 0xc0 } },		/* inc base */
		{ 1, 0, { 0x50 } },			/* push base */
		{ 1, 0, { 0x58 } },			/* pop base */
	};
	unsigned k = below(f, ARRAY_LEN(steps));
	uint8_t *p = b->code + b->n;

	if (b->bits == 64 && k < 3)
		*p++ = 0x48;
	memcpy(p, steps[k].b, 4);
	p[steps[k].reg_at] |= (uint8_t)base;
	b->n = (unsigned)(p + steps[k].n - b->code);
}

/* A branch around the next instruction. Its distance is filled in later. */
static unsigned open_branch(struct fuzz *f, struct fuzz_block *b)
{
	b->code[b->n] = (uint8_t)(0x70 | below(f, 16));
	b->code[b->n + 1] = 0;
	b->n += 2;
	return b->n;
}

/* What the instructions of a block have in common. */
struct style {
	struct gen g;
	uint32_t avoid;			/* registers that are no operands */
	bool plain;			/* only what fuzz_is_plain(), mostly of general registers */
};

static bool fits(struct fuzz *f, const struct style *y, const struct insn_row *row)
{
	bool wide = row->attr & (A_VEX | A_SSE | A_MMX | A_FPU);

	if (row->attr & A_PRIV || (row->attr & A_END && below(f, 8)))
		return false;
	if (y->plain)
		return fuzz_is_plain(row->does) && !(wide && below(f, 12));
	return !wide || !below(f, 3);
}

static void random_insns(struct fuzz *f, struct fuzz_block *b, struct style *y, unsigned count)
{
	struct gen *g = &y->g;

	while (count-- && b->n < FUZZ_CODE - 96) {
		unsigned row = below(f, n_insn_rows), open = 0, at;
		struct fuzz_block before = *b;

		if (!fits(f, y, &insn_rows[row])) {
			count++;
			continue;
		}
		if (!below(f, y->plain ? 4 : 8))
			open = open_branch(f, b);
		at = b->n;
		g->scratch = below(f, 8);
		g->form = below(f, 2) ? GEN_MEM : GEN_ANY;
		g->avoid = y->avoid | (below(f, 8) ? 1u << g->base : 0);
		if (!below(f, 5) && g->base < R8)
			pointer_step(f, b, g->base);
		else
			append(f, b, g, row);
		if (open)
			b->code[open - 1] = (uint8_t)(b->n - open);
		if (b->n == at || !fuzz_analyse(f, b))
			*b = before;
	}
}

/* ---- loops ---- */

static void put_bytes(struct fuzz_block *b, const void *bytes, unsigned n)
{
	memcpy(b->code + b->n, bytes, n);
	b->n += n;
}

/* An instruction with a ModRM byte that has reg in its lowest bits. */
static void put_counter(struct fuzz_block *b, uint8_t opcode, uint8_t modrm, unsigned reg)
{
	if (reg >= R8)
		put_bytes(b, "\x41", 1);
	put_bytes(b, &opcode, 1);
	put_bytes(b, (uint8_t[]){ (uint8_t)(modrm | (reg & 7)) }, 1);
}

/* mov reg, n; 16 or 32 bits */
static void put_rounds(struct fuzz_block *b, unsigned reg, unsigned n)
{
	put_counter(b, 0xc7, 0xc0, reg);
	put_bytes(b, (uint8_t[]){ (uint8_t)n, 0, 0, 0 }, b->bits == 16 ? 2 : 4);
}

/* Branch with a long offset: jmp, or jcc of that condition. */
static void put_branch(struct fuzz_block *b, int cond, unsigned to)
{
	unsigned n = b->bits == 16 ? 2 : 4;

	if (cond >= 0)
		put_bytes(b, (uint8_t[]){ 0x0f, (uint8_t)(0x80 | cond) }, 2);
	else
		put_bytes(b, "\xe9", 1);
	st_n(b->code + b->n, (int)n, (uint64_t)to - (b->n + n));
	b->n += n;
}

/* Count down and go back; the flags behind DEC are all defined if clc was before it. */
static void put_back(struct fuzz *f, struct fuzz_block *b, unsigned reg, unsigned to)
{
	unsigned form = below(f, 6);

	if (reg == RCX) {
		put_bytes(b, (uint8_t[]){ 0xf8, 0xe2, (uint8_t)(to - (b->n + 3)) }, 3);
		return;
	}
	if (form < 2) {
		put_counter(b, 0x83, form ? 0xe8 : 0xc0, reg);		/* sub reg, 1; add reg, -1 */
		put_bytes(b, form ? "\x01" : "\xff", 1);
	} else {
		if (below(f, 4))
			put_bytes(b, "\xf8", 1);
		put_counter(b, 0xff, 0xc8, reg);			/* dec */
	}
	if (form == 2) {
		put_bytes(b, (uint8_t[]){ 0x74, b->bits == 16 ? 3 : 5 }, 2);
		put_branch(b, -1, to);
	} else {
		put_branch(b, form == 3 ? 15 : 5, to);			/* jg, jnz */
	}
}

/* A loop: from its first byte on, perhaps with another inside, perhaps left in the middle. */
static bool put_loop(struct fuzz *f, struct fuzz_block *b, struct style *y, unsigned reg, unsigned inner)
{
	unsigned top = b->n, out = 0;
	uint32_t avoid = y->avoid;

	y->avoid |= 1u << reg;
	random_insns(f, b, y, 1 + below(f, 5));
	if (!below(f, 3))
		out = open_branch(f, b);
	if (inner != NO_REG) {
		put_rounds(b, inner, 1 + below(f, 3));
		if (!put_loop(f, b, y, inner, NO_REG))
			return false;
	}
	if (!out || below(f, 2))
		random_insns(f, b, y, 1 + below(f, 4));
	put_back(f, b, reg, top);
	if (out && b->n - out > 127)
		return false;
	if (out)
		b->code[out - 1] = (uint8_t)(b->n - out);
	y->avoid = avoid;
	return fuzz_analyse(f, b);
}

/* Which registers the loops count in; `inner` may be the same as none. */
static void choose_counters(struct fuzz *f, const struct style *y, unsigned *outer, unsigned *inner)
{
	static const uint8_t some[] = { R8, R9, R10, R11, R12, R14 };

	*outer = FUZZ_COUNTER(f->bits);
	*inner = f->bits == 64 ? some[below(f, ARRAY_LEN(some))] : RBX;
	if (y->plain && !below(f, 6))
		*inner = RCX;
	if (*inner == y->g.base || below(f, 3))
		*inner = NO_REG;
}

/*
 * A loop that leaves most registers alone, so that those which stand in memory can have
 * their host registers: a few of R8 to R11, RAX and others.
 */
static void starve(struct fuzz *f, struct style *y)
{
	uint32_t used = 1u << RAX | 1u << y->g.base;

	for (unsigned n = 1 + below(f, 4); n--;)
		used |= 1u << (f->bits == 64 && below(f, 4) ? R8 + below(f, 4) : below(f, 8));
	y->avoid |= 0xffff & ~used;
	y->plain = true;
}

static bool loop_block(struct fuzz *f, struct fuzz_block *b, struct style *y)
{
	unsigned outer, inner;

	start(f, b);
	if (below(f, 3))
		starve(f, y);
	choose_counters(f, y, &outer, &inner);
	if (!below(f, 2)) {		/* not from the block's first instruction on */
		random_insns(f, b, y, below(f, 3));
		outer = f->bits == 64 && below(f, 2) ? R8 + below(f, 4) : outer;
		outer = outer == y->g.base || outer == inner ? FUZZ_COUNTER(f->bits) : outer;
		put_rounds(b, outer, 1 + below(f, 4));
	}
	if (!put_loop(f, b, y, outer, inner))
		return false;
	if (!below(f, 3))
		random_insns(f, b, y, 1 + below(f, 2));
	return fuzz_analyse(f, b);
}

void fuzz_random_block(struct fuzz *f, struct fuzz_block *b)
{
	static const uint8_t bases[] = { RBX, RSI, RDI, RBP, R8, R9, R10, R11 };
	bool loop = !below(f, 3);

	do {
		struct style y = { .g = { .mode = gen_mode(f), .max_disp = 128, .lock = true, .rep = true } };

		y.g.base = bases[below(f, f->bits == 64 ? 8 : loop ? 3 : 4)];
		y.avoid = 1u << RSP;
		start(f, b);
		if (loop && !loop_block(f, b, &y))
			b->n = 0;
		else if (!loop)
			random_insns(f, b, &y, 1 + below(f, FUZZ_INSNS - 3));
	} while (!b->n || !fuzz_analyse(f, b));
}

/* ---- states ---- */

static void x87_state(struct fuzz *f, uint8_t *x)
{
	uint16_t exps[] = { 0, 0x3fff, 0x7fff, 0x4000, 0x3ffe, 0x3fff, 0x403e, 1, 0x4005, 0x3c00, 0x43fe };
	unsigned k = below(f, 8);

	st16(x + X_FCW, (uint16_t)(k < 5 ? 0x37f : k < 7 ? 0x7f | (rng_next(&f->rng) & 0xf00) :
				   (rng_next(&f->rng) & 0xf3f) | 0x40));
	st16(x + X_FSW, (uint16_t)(rng_next(&f->rng) & (below(f, 4) ? 0x7f00 : 0x7f7f)));
	x[X_FTW] = (uint8_t)(below(f, 2) ? 0xff : rng_next(&f->rng));
	for (int i = 0; i < 8; i++) {
		uint64_t r = rng_next(&f->rng), m = below(f, 4) ? r | 1ull << 63 : pooled(f);

		if (!(r & 7))
			m = r & 8 ? 0 : 1ull << 63;
		st64(x + X_ST + 16 * i, m);
		st16(x + X_ST + 16 * i + 8, (uint16_t)(exps[below(f, ARRAY_LEN(exps))] | (r & 0x8000)));
	}
}

static void vector_state(struct fuzz *f, uint8_t *x)
{
	unsigned k = below(f, 8);

	st32(x + X_MXCSR, 0x1f80 | (k < 4 ? 0 : (uint32_t)rng_next(&f->rng) & 0xe07f));
	if (k == 7)
		st32(x + X_MXCSR, (uint32_t)rng_next(&f->rng) & 0xffff);
	from_pool(f, x + X_XMM, 256);
	from_pool(f, x + X_YMM, 256);
}

/* Set the registers of the address so that it is to, an offset into its segment. */
static void aim(struct fuzz *f, struct user_state *s, const struct insn *in, uint64_t to)
{
	uint64_t scaled = 0;

	if (f->bits == 64 && (in->seg == FS || in->seg == GS))
		to -= in->seg == FS ? s->fs_base : s->gs_base;
	if (insn_row(in)->does == DOES_vec_gather) {
		for (int i = 0; i < 32; i += 8)
			st64(s->xsave + (i < 16 ? X_XMM : X_YMM - 16) + 16 * in->index + i, below(f, 64));
	} else if (in->index != NO_REG && in->index != in->base) {
		scaled = s->regs[in->index] << in->scale;
	}
	if (in->base < NGPR)
		s->regs[in->base] = in->has_modrm ? (to - scaled - (uint64_t)in->disp) & size_mask(in->adsize) : to;
	else if (in->base == NO_REG && in->index != NO_REG && insn_row(in)->does != DOES_vec_gather)
		s->regs[in->index] = below(f, 64);
}

/* The same for a pointer of n bytes: what is above them does not matter. */
static uint64_t pointer(struct fuzz *f, int n)
{
	return place(f) | (below(f, 4) ? 0 : rng_next(&f->rng) & ~size_mask(n));
}

/* What far returns find on the stack: offset, selector, flags, stack pointer, its selector. */
static void far_frame(struct fuzz *f, struct user_state *s, const struct fuzz_block *b, uint8_t *mem)
{
	const struct insn *in = &b->in[0];
	unsigned n = in->opsize, at = (unsigned)(s->regs[RSP] - data_base(f));

	st_n(mem + at, (int)n, user_rip(b->bits, b->at) + b->n);
	st_n(mem + at + n, (int)n, selector(f) | (rng_next(&f->rng) & ~0xffffull));
	if (insn_row(in)->does != DOES_iret)
		return;
	st_n(mem + at + 2 * n, (int)n, (rng_next(&f->rng) & (FL_ARITH | (below(f, 4) ? 0 : FL_DF | FL_AC | FL_NT | FL_IOPL | FL_IF | FL_RF | FL_ID))) | 2);
	st_n(mem + at + 3 * n, (int)n, place(f));
	st_n(mem + at + 4 * n, (int)n, selector(f));
}

/* Operands of an instruction that has to do with segments; `to` is where its memory operand is, plain memory. */
static void segment_operands(struct fuzz *f, struct user_state *s, const struct fuzz_block *b, uint64_t to)
{
	const struct insn *in = &b->in[0];
	uint8_t *mem = f->host ? host_mem() : user_mem(&f->u[FUZZ_INTERP]), *p = mem + (to - data_base(f));
	unsigned does = insn_row(in)->does;

	for (int k = 0; k < in->nopd && !fuzz_has_memory(in); k++)
		if (in->opd[k].kind == OPD_REG)
			s->regs[in->opd[k].reg & 15] = (s->regs[in->opd[k].reg & 15] & ~0xffffull) | selector(f);
	if (does == DOES_retf || does == DOES_iret) {
		far_frame(f, s, b, mem);
	} else if (does == DOES_pop_seg) {
		st16(mem + (s->regs[RSP] - data_base(f)), selector(f));
	} else if (does == DOES_lds || does == DOES_jmpf || does == DOES_callf) {
		st_n(p, in->opsize, user_rip(b->bits, b->at) + b->n);
		st16(p + in->opsize, selector(f));
	} else {
		st16(p, selector(f));
	}
}

static bool is_indirect(const struct insn *in)
{
	unsigned does = insn_row(in)->does;

	return does == DOES_ret || does == DOES_callind || does == DOES_jmpind;
}

/* An indirect branch in 16-bit code goes behind all code. */
static void lead_away(struct fuzz *f, struct user_state *s, const struct insn *in, uint64_t to)
{
	uint8_t *mem = f->host ? host_mem() : user_mem(&f->u[FUZZ_INTERP]);
	uint16_t target = (uint16_t)(USER_CODE_BYTES + below(f, 0x10000 - USER_CODE_BYTES));

	if (in->opd[0].kind == OPD_REG)
		s->regs[in->opd[0].reg] = target | (s->regs[in->opd[0].reg] & 0xffff0000);
	else if (insn_row(in)->does == DOES_ret)
		st16(mem + s->regs[RSP], target);
	else
		st16(mem + to, target);
}

static void implied_registers(struct fuzz *f, struct user_state *s, const struct insn *in)
{
	unsigned does = insn_row(in)->does;

	switch (does) {
	case DOES_movs: case DOES_cmps: case DOES_scas: case DOES_stos: case DOES_lods: case DOES_ins: case DOES_outs:
		s->regs[RSI] = pointer(f, in->adsize);
		s->regs[RDI] = below(f, 4) ? pointer(f, in->adsize) : s->regs[RSI] + below(f, 17) - 8;
		s->regs[RCX] = below(f, 40) | (in->adsize == 8 ? 0 : rng_next(&f->rng) & ~size_mask(in->adsize));
		s->flags |= below(f, 3) ? 0 : FL_DF;
		break;
	case DOES_bt: case DOES_bts: case DOES_btr: case DOES_btc:
		if (in->opd[0].kind == OPD_MEM && in->opd[1].kind == OPD_REG && in->opd[1].reg != in->base &&
		    in->opd[1].reg != in->index && below(f, 8))
			s->regs[in->opd[1].reg] = (s->regs[in->opd[1].reg] & ~size_mask(in->opsize)) |
				((below(f, 8192) - 4096ull) & size_mask(in->opsize));
		break;
	case DOES_div: case DOES_idiv:
		if (below(f, 8) && in->base != RDX && in->index != RDX)
			s->regs[RDX] = below(f, 2) ? 0 : (uint64_t)((int64_t)s->regs[RAX] >> 63);
		break;
	case DOES_loop: case DOES_loope: case DOES_loopne: case DOES_jcxz:
		s->regs[RCX] = below(f, 3) | (rng_next(&f->rng) & ~size_mask(in->adsize));
		break;
	case DOES_shld: case DOES_shrd:		/* alone in its block: see needs_care() */
		if (in->opsize == 2)
			s->regs[RCX] = (s->regs[RCX] & ~31ull) | below(f, 17);
		break;
	case DOES_xrstor:
		s->regs[RAX] &= 7;
		s->regs[RDX] &= ~0xffffffffull;
		break;
	case DOES_enter: case DOES_leave:
		s->regs[RBP] = pointer(f, f->bits / 8);
		break;
	case DOES_cmpxchg:
		if (below(f, 2) && in->opd[0].kind == OPD_REG)
			s->regs[RAX] = s->regs[in->opd[0].reg & 15];
		break;
	default:
		break;
	}
}

/* Memory near the operand is new; now and then it holds what cmpxchg compares with. */
static void touch_memory(struct fuzz *f, const struct user_state *s, const struct insn *in, uint64_t to)
{
	uint64_t off = (to - data_base(f)) & ~15ull;
	uint8_t *p = f->host ? host_mem() : user_mem(&f->u[FUZZ_INTERP]);

	if (off > USER_RO - 64)
		return;
	from_pool(f, p + off, 64);
	if (below(f, 2))
		return;
	if (insn_row(in)->does == DOES_cmpxchg) {
		st64(p + (to - data_base(f)), s->regs[RAX]);
	} else if (insn_row(in)->does == DOES_cmpxchg8b) {
		st_n(p + (to - data_base(f)), in->opd[0].size / 2, s->regs[RAX]);
		st_n(p + (to - data_base(f)) + in->opd[0].size / 2, in->opd[0].size / 2, s->regs[RDX]);
	}
}

/* Processors differ in whether wide operands are subject to alignment checks. */
static bool wide_memory(const struct fuzz_block *b)
{
	for (unsigned i = 0; i < b->count; i++)
		for (int k = 0; k < b->in[i].nopd; k++)
			if (b->in[i].opd[k].kind == OPD_MEM && (b->in[i].opd[k].size > 8 || !b->in[i].opd[k].size))
				return true;
	return false;
}

static void random_flags(struct fuzz *f, const struct fuzz_block *b, struct user_state *s)
{
	uint64_t v = rng_next(&f->rng);

	s->flags = (v & FL_ARITH) | 0x202;
	if (!(v & 0x700000000))
		s->flags |= FL_DF;
	if (!(v & 0xf000000000) && !wide_memory(b))
		s->flags |= FL_AC;
	if (!(v & 0x1f0000000000))
		s->flags |= v & (FL_ID | FL_NT);
}

void fuzz_random_state(struct fuzz *f, const struct fuzz_block *b, struct user_state *s)
{
	static const uint8_t pointers[] = { RBX, RBP, RSI, RDI, R8, R9, R10, R11 };
	uint64_t to = place(f);

	user_state_init(s);
	from_pool(f, s->regs, sizeof(s->regs));
	random_flags(f, b, s);
	s->rip = user_rip(b->bits, b->at);
	/* Processors differ where an offset is not canonical, but with the base is again; CLZERO aligns either. */
	s->fs_base = f->bits != 64 ? 0 : USER_DATA + 64 * below(f, 64);
	s->gs_base = f->bits != 64 ? 0 : below(f, 2) ? 64 * below(f, 64) : -64ull * below(f, 1 << 20);
	x87_state(f, s->xsave);
	user_state_summary(s);
	vector_state(f, s->xsave);
	s->regs[RSP] = below(f, 8) ? plain_place(f) : pointer(f, f->bits / 8);
	s->segments = b->count == 1 && fuzz_uses_segments(&b->in[0]);
	if (s->segments || (b->count == 1 && f->bits == 16 && is_indirect(&b->in[0]))) {
		s->regs[RSP] = plain_place(f);
		to = plain_place(f);
	}
	if (b->count == 1) {
		if (fuzz_has_memory(&b->in[0]))
			aim(f, s, &b->in[0], to);
		implied_registers(f, s, &b->in[0]);
		touch_memory(f, s, &b->in[0], to);
		if (f->bits == 16 && is_indirect(&b->in[0]))
			lead_away(f, s, &b->in[0], to);
		if (s->segments)
			segment_operands(f, s, b, to);
	} else {
		unsigned n = f->bits == 64 && below(f, 2) ? ARRAY_LEN(pointers) : 4;

		for (unsigned i = 0; i < n; i++)
			s->regs[pointers[i]] = below(f, 2) ? plain_place(f) : place(f);
		if (below(f, 2))
			s->regs[RCX] &= 0x1f;
		touch_memory(f, s, &b->in[0], to);
		if (b->counted)
			s->regs[FUZZ_COUNTER(f->bits)] = 1 + below(f, 3);
	}
	for (int i = 0; f->bits != 64 && i < NGPR; i++)
		s->regs[i] = i < 8 ? (uint32_t)s->regs[i] : 0;
}

static void fill_pool(struct fuzz *f)
{
	for (int i = 0; i < FUZZ_POOL; i++)
		f->pool[i] = number(&f->rng);
}

bool fuzz_refresh(struct fuzz *f, const char *without, struct err *e)
{
	fill_pool(f);
	return tcg_without(f->u[FUZZ_INTERP].c, "flags+dead+mem", e) && tcg_without(f->u[FUZZ_X64].c, without, e);
}
