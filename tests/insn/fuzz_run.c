/*
 * See fuzz.h: running a block on all sides, and comparing.
 *
 * Not compared: which of #AC and another fault of the same access comes first (vendors
 * differ); vectors where a gather faults (which elements came first); arithmetic flags that the manual leaves undefined, and behind a fault in the
 * middle of a block (a flag that a later instruction overwrites may be stale in translated
 * code); results the manual leaves undefined (undefined_result); what
 * user_state_canonical() clears.
 */
#include "tests/insn/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tcg/run.h"

/* ---- life ---- */

bool fuzz_open(struct fuzz *f, int bits, bool host, uint64_t seed, struct err *e)
{
	memset(f, 0, sizeof(*f));
	f->bits = bits;
	f->host = host;
	f->rng.s = seed | 1;
	for (int i = 0; i < 8; i++)
		rng_next(&f->rng);
	if (!user_open(&f->u[FUZZ_INTERP], bits, &tcg_interp_accel, e) ||
	    !user_open(&f->u[FUZZ_X64], bits, &tcg_accel, e) || (host && !host_open(bits, e)))
		return false;
	f->env.mode = f->u[FUZZ_INTERP].c->mode;
	memcpy(f->env.feat, f->u[FUZZ_INTERP].c->insn_feat, sizeof(f->env.feat));
	return true;
}

void fuzz_close(struct fuzz *f)
{
	user_close(&f->u[FUZZ_INTERP]);
	user_close(&f->u[FUZZ_X64]);
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
	for (int i = FUZZ_INTERP; i < FUZZ_SIDES; i++)
		user_exec(&f->u[i], s, &f->out[i]);
	if (f->host)
		host_exec(s, &f->out[FUZZ_HOST]);
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
	if (is_fault(o->vector) && o->rip != user_rip(b->bits, b->at))
		return ~FL_ARITH;
	return ~(uint32_t)b->undefined_inside;
}

/* Vendors differ in whether #AC goes before #PF. */
static bool excused(int v, int w)
{
	return v != w && (v == EXC_AC || w == EXC_AC) && (v == EXC_PF || w == EXC_PF || v == EXC_GP || w == EXC_GP ||
							  v == EXC_SS || w == EXC_SS);
}

static bool gather_faulted(const struct fuzz_block *b, const struct user_state *o)
{
	unsigned i = o->vector == USER_END ? b->count : insn_at(b, o->rip);

	return i < b->count && insn_row(&b->in[i])->does == DOES_vec_gather;
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

	(void)s;
	if (excused(p->vector, q->vector))
		return NULL;
	if (p->vector != q->vector)
		return "exception";
	if (p->rip != q->rip)
		return "rip";
	if (p->error != q->error)
		return "error code";
	if (p->cr2 != q->cr2)
		return "cr2";
	if (memcmp(p->regs, q->regs, sizeof(p->regs)))
		return "registers";
	if ((p->flags ^ q->flags) & flags_mask(b, p))
		return "flags";
	if (b->bits == 64 && (p->fs_base != q->fs_base || p->gs_base != q->gs_base))
		return "segment base";
	for (unsigned k = 0; k < ARRAY_LEN(parts); k++)
		if (memcmp(mem(f, x) + parts[k].at, mem(f, y) + parts[k].at, parts[k].n))
			return "memory";
	return gather_faulted(b, p) ? NULL : vector_difference(p, q);
}

const char *fuzz_verdict(const struct fuzz *f, const struct fuzz_block *b, const struct user_state *s)
{
	const char *d = NULL;

	if (f->host)
		d = fuzz_difference(f, b, s, FUZZ_HOST, FUZZ_INTERP);
	return d ? d : fuzz_difference(f, b, s, first_side(f), FUZZ_X64);
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
