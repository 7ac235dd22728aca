/*
 * See fuzz.h: running a block on all sides, and comparing.
 *
 * What is not compared between sides, and why: fuzz_rows.def, NOT_COMPARED.
 */
#include "tests/insn/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tcg/cache.h"
#include "tcg/run.h"

/* ---- life ---- */

bool fuzz_open(struct fuzz *f, int bits, bool host, uint64_t seed, struct err *e)
{
	memset(f, 0, sizeof(*f));
	f->bits = bits;
	f->rng.s = seed | 1;
	for (int i = 0; i < 8; i++)
		rng_next(&f->rng);
	if (!user_open(&f->u[FUZZ_INTERP], bits, &tcg_interp_accel, e) ||
	    !user_open(&f->u[FUZZ_X64], bits, &tcg_accel, e))
		return false;
	f->host = host && host_open(bits, e);
	f->absent = calloc(n_insn_rows, sizeof(*f->absent));
	f->env.mode = f->u[FUZZ_INTERP].c->mode;
	memcpy(f->env.feat, f->u[FUZZ_INTERP].c->insn_feat, sizeof(f->env.feat));
	return true;
}

void fuzz_close(struct fuzz *f)
{
	user_close(&f->u[FUZZ_INTERP]);
	user_close(&f->u[FUZZ_X64]);
	free(f->absent);
}

/* ---- running ---- */

static uint8_t *mem(const struct fuzz *f, enum fuzz_side side)
{
	return side == FUZZ_HOST ? host_mem() : user_mem(&f->u[side]);
}

const uint8_t *fuzz_mem(const struct fuzz *f, enum fuzz_side side)
{
	return mem(f, side);
}

static enum fuzz_side first_side(const struct fuzz *f)
{
	return f->host ? FUZZ_HOST : FUZZ_INTERP;
}

void fuzz_put(struct fuzz *f, const struct fuzz_block *b)
{
	uint8_t slot[FUZZ_CODE + 8];
	unsigned n;

	memcpy(slot, b->code, b->n);
	n = b->n + user_put_end(slot + b->n, b->bits, USER_CODE + b->at + b->n);
	for (int i = first_side(f); i < FUZZ_SIDES; i++)
		memcpy((i == FUZZ_HOST ? host_code() : user_code(&f->u[i])) + b->at, slot, n);
}

void fuzz_count_regions(const struct fuzz *f, uint64_t *regions, uint64_t *swapping)
{
	const struct tcg *t = tcg_of(f->u[FUZZ_X64].c);

	for (uint32_t i = NO_TB; (i = tcg_next_tb(t->cache, i)) != NO_TB;) {
		bool region = t->cache->tbs[i].mode & MODE_REGION && !t->cache->tbs[i].dead;

		*regions += region;
		*swapping += region && t->cache->tbs[i].n_swaps;
	}
}

/* The parts of the data pages that can be written. */
static const struct { unsigned at, n; } parts[] = { { 0, USER_RO }, { USER_LAST, 4096 } };

void fuzz_set_mem(struct fuzz *f, const uint8_t *from)
{
	for (int i = first_side(f); i < FUZZ_SIDES; i++)
		for (unsigned k = 0; k < ARRAY_LEN(parts); k++)
			if (mem(f, i) != from)
				memcpy(mem(f, i) + parts[k].at, from + parts[k].at, parts[k].n);
}

void fuzz_run(struct fuzz *f, const struct fuzz_block *b, const struct user_state *s)
{
	(void)b;
	f->elsewhere = false;
	for (int i = FUZZ_INTERP; i < FUZZ_SIDES; i++) {
		user_exec(&f->u[i], s, &f->out[i]);
		f->elsewhere |= f->host && f->out[i].vector == EXC_PF && host_owns(f->out[i].cr2);
	}
	if (fuzz_hosted(f))
		host_exec(s, &f->out[FUZZ_HOST]);
}

/* Is it another processor's instruction, and the host has none such? */
static bool is_absent(struct fuzz *f, struct fuzz_block *b, unsigned row)
{
	static struct user_state s;
	struct err e;

	for (int i = 0; i < 3; i++) {
		int tries = 0;

		b->at = (row * 3 + (unsigned)i) % FUZZ_SLOTS * FUZZ_SLOT;
		if (!b->at)
			fuzz_refresh(f, "", &e);
		while (tries < 10 && !fuzz_single(f, b, row))
			tries++;
		if (tries == 10)
			return false;
		fuzz_put(f, b);
		host_code_changed();
		fuzz_random_state(f, b, &s);
		fuzz_run(f, b, &s);
		if (f->elsewhere)
			continue;
		if (f->out[FUZZ_HOST].vector != EXC_UD || f->out[FUZZ_INTERP].vector == EXC_UD)
			return false;
	}
	return true;
}

void fuzz_find_absent(struct fuzz *f)
{
	struct fuzz_block b;
	struct err e;

	fuzz_refresh(f, "", &e);
	for (unsigned row = 0; row < n_insn_rows; row++) {
		unsigned feature = insn_rows[row].cpuid;

		if (!(f->env.feat[feature / 64] >> feature % 64 & 1))
			f->absent[row] = true;
		else if (f->host && feature != F_BASE)
			f->absent[row] = is_absent(f, &b, row);
	}
}

/* ---- comparing ---- */

/* The instruction an exception came from or behind, or count. */
static unsigned insn_at(const struct fuzz_block *b, uint64_t rip)
{
	uint64_t off = rip - user_rip(b->bits, b->at);
	unsigned i = 0;

	while (i < b->count && b->off[i] != off)
		i++;
	return i;
}

unsigned fuzz_executed(const struct fuzz *f, const struct fuzz_block *b)
{
	const struct user_state *o = &f->out[FUZZ_INTERP];
	unsigned last = o->vector == USER_END ? b->count : insn_at(b, o->rip) + 1, n = 0;

	for (unsigned i = 0; i < last && i < b->count; i++)
		n += !b->maybe[i];
	return n ? n : 1;
}

static bool is_fault(int vector)
{
	return vector != USER_END && vector != EXC_DB && vector != EXC_BP && vector != EXC_OF;
}

static uint32_t flags_mask(const struct fuzz_block *b, const struct user_state *o)
{
	if (o->vector == USER_END)
		return ~(uint32_t)b->undefined;
	if (is_fault(o->vector))
		return ~FL_ARITH;
	return ~(uint32_t)b->undefined_inside;
}

/* Memory in many pieces. */
static bool is_image(const struct insn_row *row)
{
	switch (row->does) {
	case DOES_fldenv: case DOES_frstor: case DOES_fxrstor: case DOES_xrstor: case DOES_fnstenv: case DOES_fnsave:
	case DOES_fxsave: case DOES_xsave: case DOES_xsavec: case DOES_xsaveopt: case DOES_enter:
	case DOES_retf: case DOES_iret: case DOES_lds: case DOES_jmpf: case DOES_callf:
		return true;
	default:
		return row->attr & A_FPU;	/* operands of 10 bytes */
	}
}

static int memory_size(const struct insn *in)
{
	for (int k = 0; k < in->nopd; k++)
		if (in->opd[k].kind == OPD_MEM)
			return in->opd[k].size;
	return 0;
}

static bool is_memory_fault(int v)
{
	return v == EXC_PF || v == EXC_GP || v == EXC_SS || v == EXC_AC;
}

/* The instruction that raised a memory fault, or NULL. */
static const struct insn *faulting(const struct fuzz_block *b, const struct user_state *o)
{
	unsigned i = insn_at(b, o->rip);

	return is_memory_fault(o->vector) && i < b->count ? &b->in[i] : NULL;
}

static bool is_maskmov(const struct insn *in)
{
	return in && insn_row(in)->does == DOES_vec_maskmov;
}

/* Does the fault of p, but not of q, come from an offset that is not canonical? */
static bool beyond_canonical(const struct insn *in, int v, int w)
{
	bool based = in && (in->seg == FS || in->seg == GS || in->seg_override == FS || in->seg_override == GS);

	return based && v == EXC_GP && w != EXC_GP;
}

/* A direct call out of the segment: is the stack or the target looked at first? */
static bool is_call(const struct insn *in)
{
	return in && insn_row(in)->does == DOES_call;
}

/* AMD's MXCSR has one bit more, that for misaligned operands. */
static bool loads_mxcsr(const struct insn *in)
{
	unsigned does = insn_row(in)->does;

	return does == DOES_ldmxcsr || does == DOES_fxrstor || does == DOES_xrstor;
}

/* A fault of one side that processors do not agree on; what follows it is not compared. */
static bool excused(const struct fuzz_block *b, const struct user_state *p, const struct user_state *q)
{
	const struct insn *in = faulting(b, p), *in2 = faulting(b, q);
	int v = p->vector, w = q->vector;

	if (is_maskmov(in) || is_maskmov(in2) || beyond_canonical(in, v, w) || beyond_canonical(in2, w, v))
		return true;
	if (in2 && insn_row(in2)->cpuid == F_SHA && w == EXC_GP)
		return true;
	if (in2 && loads_mxcsr(in2) && w == EXC_GP)
		return true;
	if (in && v == EXC_AC && (memory_size(in) > 8 || is_image(insn_row(in))) && (w != v || p->rip != q->rip))
		return true;
	if (in && insn_row(in)->does == DOES_movsxd && in->opsize == 2)
		return true;
	if (p->rip != q->rip || (!in && !in2))
		return false;
	if (v != w && (v == EXC_AC || w == EXC_AC))
		return in && in2;
	if ((v == EXC_SS && w == EXC_GP) || (v == EXC_GP && w == EXC_SS))
		return b->bits == 64 || (in && (insn_row(in)->attr & A_ALIGN || is_image(insn_row(in))));
	return in && in2 && (is_image(insn_row(in)) || is_call(in));
}

static bool gather_faulted(const struct fuzz_block *b, const struct user_state *o)
{
	unsigned i = o->vector == USER_END ? b->count : insn_at(b, o->rip);

	return i < b->count && insn_row(&b->in[i])->does == DOES_vec_gather;
}

static bool popa_faulted(const struct fuzz_block *b, const struct user_state *o)
{
	const struct insn *in = faulting(b, o);

	return in && insn_row(in)->does == DOES_popa;
}

/* Any interrupt's return makes a null selector of 1 to 3 0. */
static bool same_selector(uint16_t a, uint16_t b)
{
	return a == b || (!(a & ~3) && !(b & ~3));
}

/* An indirect call to an impossible address: the vCPU has written below the stack. */
static bool has_pushed(const struct fuzz_block *b, const struct user_state *o)
{
	const struct insn *in = faulting(b, o);

	return in && o->vector == EXC_GP && insn_row(in)->does == DOES_callind;
}

static const char *vector_difference(const struct user_state *a, const struct user_state *b)
{
	const uint8_t *x = a->xsave, *y = b->xsave;
	uint32_t mask = a->vector == EXC_XM ? ~0x38u : ~0u;	/* see cpu/vec.c */

	if ((ld32(x + X_MXCSR) ^ ld32(y + X_MXCSR)) & mask)
		return "mxcsr";
	if (memcmp(x + X_XMM, y + X_XMM, 256))
		return "xmm";
	if (memcmp(x + X_YMM, y + X_YMM, 256))
		return "ymm";
	if (memcmp(x, y, 5))
		return "x87 control, status, tag";
	return memcmp(x + X_ST, y + X_ST, 128) ? "x87 stack" : NULL;
}

const char *fuzz_difference(const struct fuzz *f, const struct fuzz_block *b, const struct user_state *s,
			    enum fuzz_side x, enum fuzz_side y)
{
	const struct user_state *p = &f->out[x], *q = &f->out[y];

	if (excused(b, p, q))
		return NULL;
	if (p->vector != q->vector)
		return "exception";
	if (p->rip != q->rip)
		return "rip";
	if (p->error != q->error)
		return "error code";
	if (p->cr2 != q->cr2)
		return "cr2";
	if (memcmp(p->regs, q->regs, sizeof(p->regs)) && !popa_faulted(b, p))
		return "registers";
	if ((p->flags ^ q->flags) & flags_mask(b, p))
		return "flags";
	if (b->bits == 64 && (p->fs_base != q->fs_base || p->gs_base != q->gs_base))
		return "segment base";
	if (s->segments && !(same_selector(p->ds, q->ds) && same_selector(p->es, q->es) &&
			     same_selector(p->fs, q->fs) && same_selector(p->gs, q->gs)))
		return "segment selector";
	for (unsigned k = 0; k < ARRAY_LEN(parts) && !has_pushed(b, p); k++)
		if (memcmp(mem(f, x) + parts[k].at, mem(f, y) + parts[k].at, parts[k].n))
			return "memory";
	return gather_faulted(b, p) ? NULL : vector_difference(p, q);
}

const char *fuzz_verdict(const struct fuzz *f, const struct fuzz_block *b, const struct user_state *s)
{
	const char *d = NULL;

	if (fuzz_hosted(f))
		d = fuzz_difference(f, b, s, FUZZ_HOST, FUZZ_INTERP);
	return d ? d : fuzz_difference(f, b, s, fuzz_hosted(f) ? FUZZ_HOST : FUZZ_INTERP, FUZZ_X64);
}

const char *fuzz_replay(struct fuzz *f, const struct fuzz_case *c, const char *without)
{
	struct err e = { "" };
	const char *d;

	if (!tcg_without(f->u[FUZZ_INTERP].c, "flags+dead+mem", &e) || !tcg_without(f->u[FUZZ_X64].c, without, &e))
		return "no such pass";
	fuzz_put(f, &c->b);
	host_code_changed();
	for (int i = 0; i < 2; i++) {		/* just translated, and found again */
		fuzz_set_mem(f, c->mem);
		fuzz_run(f, &c->b, &c->s);
		d = fuzz_verdict(f, &c->b, &c->s);
		if (d)
			return d;
	}
	return NULL;
}
