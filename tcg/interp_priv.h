/*
 * Between the files of the µop interpreter: one block under way, operands, and
 * the functions that execute one µop each, do_<name>().
 */
#ifndef TCG_INTERP_PRIV_H
#define TCG_INTERP_PRIV_H

#include "base/bits.h"
#include "tcg/interp.h"

enum run_state { RUN_ON, RUN_NEXT, RUN_EXIT };

struct run {
	struct cpu *c;
	const struct ir *ir;
	uint8_t *m;			/* M: operand of the last probe in host memory */
	uint64_t m_va;
	int m_size;
	bool m_bounce;			/* m is c->bounce, */
	bool m_store;			/* to be written back to m_va behind the consumer */
	enum run_state state;
};

typedef void do_fn(struct run *x, const struct uop *u);
#define UOP(name, d, a, b, reads, writes, kind, meaning) do_fn do_##name;
#include "tcg/uop.def"
#undef UOP

/* Operand of size bytes, zero-extended. */
static inline uint64_t rd(struct run *x, const struct uop *u, int op, int size)
{
	uint64_t v;

	if (op < NGPR)
		v = x->c->regs[op];
	else if (op < OP_T0)
		v = x->c->regs[op - OP_AH] >> 8;
	else if (op < OP_M)
		v = x->c->tmp[op - OP_T0];
	else if (op == OP_M)
		return ld_n(x->m, size);
	else
		v = op == OP_IMM ? (uint64_t)u->imm : 0;
	return v & size_mask(size);
}

/* Register rules: 1 and 2 bytes keep the rest, 4 clear the upper half. */
static inline void put(uint64_t *r, int size, uint64_t v)
{
	if (size < 4)
		*r = (*r & ~size_mask(size)) | (v & size_mask(size));
	else
		*r = v & size_mask(size);
}

static inline void wr(struct run *x, int op, int size, uint64_t v)
{
	if (op < NGPR)
		put(&x->c->regs[op], size, v);
	else if (op < OP_T0)
		x->c->regs[op - OP_AH] = (x->c->regs[op - OP_AH] & ~0xff00ull) | (v & 0xff) << 8;
	else if (op < OP_M)
		put(&x->c->tmp[op - OP_T0], size, v);
	else if (op == OP_M)
		st_n(x->m, size, v);
}

static inline uint64_t rd_a(struct run *x, const struct uop *u) { return rd(x, u, u->a, u->size); }
static inline uint64_t rd_b(struct run *x, const struct uop *u) { return rd(x, u, u->b, u->size); }
static inline void wr_d(struct run *x, const struct uop *u, uint64_t v) { wr(x, u->d, u->size, v); }

/* Arithmetic flags as bits of EFLAGS. */
static inline uint32_t get_flags(const struct run *x)
{
	return cc_to_eflags(x->c->cc);
}

/* Replace those in mask. */
static inline void set_flags(struct run *x, uint32_t mask, uint32_t v)
{
	x->c->cc = cc_from_eflags((get_flags(x) & ~mask) | (v & mask));
}

bool condition(const struct run *x, int cond);

#endif
