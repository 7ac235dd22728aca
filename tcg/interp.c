/*
 * The µop interpreter: blocks, memory operands, moves, exits, calls. Arithmetic
 * stands in interp_alu.c.
 *
 * Each µop is one function, found by its number. cpu->rip is kept at the
 * instruction a µop belongs to, so that anything may raise. A probe leaves M as a
 * host pointer: into guest memory where that is plain memory, else to
 * cpu->bounce, which is filled before and written back behind the consumer.
 * A locked µop works on a copy, and compare-and-swap puts it into place; one on the bounce
 * buffer or of 16 bytes runs while no other vCPU does.
 *
 * Source: the table tcg/uop.def.
 */
#include <string.h>

#include "cpu/fpu.h"
#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "cpu/vec.h"
#include "tcg/cache.h"
#include "tcg/interp_priv.h"
#include "tcg/plug.h"
#include "tcg/x64/env.h"

/* The interpreter runs blocks only, which have none of these. */
static void only_in_regions(struct run *x, const struct uop *u)
{
	(void)x;
	(void)u;
}

void do_label(struct run *x, const struct uop *u) { only_in_regions(x, u); }
void do_prove(struct run *x, const struct uop *u) { only_in_regions(x, u); }
void do_rounds(struct run *x, const struct uop *u) { only_in_regions(x, u); }

static do_fn *const do_fns[UOP_COUNT] = {
#define UOP(name, d, a, b, reads, writes, kind, meaning) [UOP_##name] = do_##name,
#include "tcg/uop.def"
#undef UOP
};

bool condition(const struct run *x, int cond)
{
	uint32_t f = get_flags(x);
	bool less = !(f & FL_SF) != !(f & FL_OF), r;

	switch (cond >> 1) {
	case CC_O >> 1: r = f & FL_OF; break;
	case CC_C >> 1: r = f & FL_CF; break;
	case CC_Z >> 1: r = f & FL_ZF; break;
	case CC_BE >> 1: r = f & (FL_CF | FL_ZF); break;
	case CC_S >> 1: r = f & FL_SF; break;
	case CC_P >> 1: r = f & FL_PF; break;
	case CC_L >> 1: r = less; break;
	default: r = less || f & FL_ZF; break;
	}
	return r != (cond & 1);
}

/* ---- memory ---- */

/* a + (b << scale) + imm, cut to the address size. */
static uint64_t effective(struct run *x, const struct uop *u)
{
	uint64_t a = u->a == OP_NONE ? 0 : rd(x, u, u->a, 8);
	uint64_t b = u->b == OP_NONE ? 0 : rd(x, u, u->b, 8);
	int ad = 2 << (u->c >> PROBE_ADSIZE & 3);

	return (a + (b << (u->c >> PROBE_SCALE & 3)) + (uint64_t)u->imm) & size_mask(ad);
}

static uint64_t linear(struct run *x, const struct uop *u)
{
	uint64_t off = effective(x, u);

	if (u->c & PROBE_NOSEG)
		return off;
	if (x->c->mode & MODE_FLAT && u->d != CS && u->d < FS && !cpu_is64(x->c) && off <= 0u - u->size)
		return off;
	return seg_check(x->c, u->d, off, u->size, u->c & PROBE_KIND);
}

static void check_alignment(struct run *x, const struct uop *u, uint64_t va)
{
	if (!(va & (uint64_t)(u->size - 1)))
		return;
	if (u->c & PROBE_ALIGN)
		cpu_raise_err(x->c, EXC_GP, 0);
	if (x->c->mode & MODE_AC && (u->size == 2 || u->size == 4 || u->size == 8))
		cpu_raise_err(x->c, EXC_AC, 0);
}

/* Host address of plain memory, or NULL. */
static uint8_t *plain(struct cpu *c, uint64_t va, int n, int how)
{
	enum mmu_idx idx = cpu_mmu_idx(c);
	const struct tlb_entry *e = tlb_entry(&c->tlb[idx], va, how & MMU_WRITE);
	bool code = false;
	uint64_t pa;
	uint8_t *p;

	if ((va ^ e->tag) <= 4096u - (unsigned)n)
		return (uint8_t *)e->host + (va & 4095);
	p = mmu_fill(c, va, n, (enum mmu_access)how, idx, &code, &pa);
	return code ? NULL : p;
}

/* One access of a device takes 1, 2, 4 or 8 bytes. */
static bool is_plain_size(int n)
{
	return n <= 8 && !(n & (n - 1));
}

void do_probe(struct run *x, const struct uop *u)
{
	struct cpu *c = x->c;
	int how = u->c & PROBE_KIND;
	uint64_t va = linear(x, u);

	check_alignment(x, u, va);
	x->m_va = va;
	x->m_size = u->size;
	x->m = plain(c, va, u->size, how);
	x->m_bounce = !x->m;
	x->m_store = x->m_bounce && how & MMU_WRITE;
	if (c->ncpus > 1 && uop_locks(u + 1) && (x->m_bounce || u->size > 8))
		tcg_alone(c);
	if (!x->m_bounce)
		return;
	x->m = c->bounce;
	if (how & MMU_WRITE)
		mmu_check(c, va, u->size, (enum mmu_access)how, cpu_mmu_idx(c));
	if (!(how & MMU_READ))
		return;
	if (is_plain_size(u->size))
		st_n(c->bounce, u->size, mmu_ld(c, va, u->size, cpu_mmu_idx(c)));
	else
		mmu_ld_buf(c, va, c->bounce, u->size, cpu_mmu_idx(c));
}

static bool replace(uint8_t *p, int size, uint64_t old, uint64_t v)
{
	uint8_t o8 = (uint8_t)old;
	uint16_t o16 = (uint16_t)old;
	uint32_t o32 = (uint32_t)old;

	switch (size) {
#define CAS(type, o) __atomic_compare_exchange_n((type *)p, &o, (type)v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
	case 1: return CAS(uint8_t, o8);
	case 2: return CAS(uint16_t, o16);
	case 4: return CAS(uint32_t, o32);
	default: return CAS(uint64_t, old);
#undef CAS
	}
}

/* The µop on a copy of M, again until nobody else has written M meanwhile. */
static void locked(struct run *x, const struct uop *u)
{
	struct cpu *c = x->c;
	uint8_t *p = x->m, copy[8];
	uint64_t regs[NGPR], old, tmp = c->tmp[0];
	uint32_t cc = c->cc;

	memcpy(regs, c->regs, sizeof(regs));
	for (;;) {
		old = ld_n(p, x->m_size);
		st_n(copy, x->m_size, old);
		x->m = copy;
		do_fns[u->op](x, u);
		x->m = p;
		if (replace(p, x->m_size, old, ld_n(copy, x->m_size)))
			return;
		memcpy(c->regs, regs, sizeof(regs));
		c->tmp[0] = tmp;
		c->cc = cc;
	}
}

static void consume(struct run *x, const struct uop *u)
{
	if (uop_locks(u) && !x->m_bounce && x->m_size <= 8)
		locked(x, u);
	else
		do_fns[u->op](x, u);
	if (!x->m_store)
		return;
	if (is_plain_size(x->m_size))
		mmu_st(x->c, x->m_va, x->m_size, ld_n(x->c->bounce, x->m_size), cpu_mmu_idx(x->c));
	else
		mmu_st_buf(x->c, x->m_va, x->c->bounce, x->m_size, cpu_mmu_idx(x->c));
}

/* ---- blocks ---- */

static uint64_t insn_rip(const struct ir *ir, unsigned i)
{
	uint64_t rip = ir->rip + ir->off[i];

	return (ir->mode & MODE_CODE) == MODE_CODE64 ? rip : (uint32_t)rip;
}

enum interp_exit interp_run(struct cpu *c, const struct ir *ir, const bool *stop)
{
	struct run x = { .c = c, .ir = ir };
	unsigned insn = 0;

	c->rip = insn_rip(ir, 0);
	for (const struct uop *u = ir->uops; x.state == RUN_ON; u++) {
		if (u->insn != insn) {
			insn = u->insn;
			c->rip = insn_rip(ir, insn);
			if (*stop)
				return INTERP_EXIT;
		}
		if (uop_uses_m(u))
			consume(&x, u);
		else
			do_fns[u->op](&x, u);
	}
	return x.state == RUN_NEXT ? INTERP_NEXT : INTERP_EXIT;
}

/* ---- moves ---- */

#define DO(name) void do_##name(struct run *x, const struct uop *u)
#define UNUSED (void)x, (void)u

DO(nop) { UNUSED; }
DO(mov) { wr_d(x, u, rd_a(x, u)); }
DO(zext) { wr_d(x, u, rd(x, u, u->a, u->c)); }
DO(sext) { wr_d(x, u, (uint64_t)sext(rd(x, u, u->a, u->c), 8 * u->c)); }
DO(lea) { wr_d(x, u, effective(x, u)); }
DO(not) { wr_d(x, u, ~rd_a(x, u)); }

DO(cwd) { wr_d(x, u, (uint64_t)(sext(rd_a(x, u), 8 * u->size) >> 63)); }

DO(bswap)
{
	wr_d(x, u, __builtin_bswap64(rd_a(x, u)) >> (64 - 8 * u->size));
}

DO(xchg)
{
	uint64_t a = rd_a(x, u), b = rd_b(x, u);

	wr(x, u->b, u->size, a);
	wr_d(x, u, b);
}

DO(cmov)
{
	wr_d(x, u, condition(x, u->c) ? rd_b(x, u) : rd_a(x, u));
}

DO(setcc) { wr(x, u->d, 1, condition(x, u->c)); }

DO(ldenv)
{
	uint64_t v = ld_n((uint8_t *)x->c + u->imm, u->size);

	wr(x, u->d, u->d == OP_M ? u->size : 8, v);
}

DO(stenv)
{
	uint64_t v = u->a == OP_IMM ? (uint64_t)(int64_t)(int16_t)u->aux : rd_a(x, u);

	st_n((uint8_t *)x->c + u->imm, u->size, v);
}

/* ---- leaving ---- */

static void go(struct run *x, uint64_t rip)
{
	x->c->rip = rip;
	x->state = RUN_NEXT;
}

DO(jmp) { go(x, (uint64_t)u->imm); }

DO(jmpind)
{
	uint64_t rip = rd(x, u, u->a, u->size), *rsp = &x->c->regs[RSP];

	if (u->imm)
		*rsp = u->size == 8 ? *rsp + (uint64_t)u->imm : (uint32_t)(*rsp + (uint64_t)u->imm);
	if (!seg_target_ok(x->c, rip))
		seg_bad_target(x->c, x->c->rip);
	go(x, rip);
}

DO(jcc)
{
	if (condition(x, u->c))
		go(x, (uint64_t)u->imm);
}

DO(jrz)
{
	if (!rd_a(x, u))
		go(x, (uint64_t)u->imm);
}

DO(jrnz)
{
	if (rd_a(x, u))
		go(x, (uint64_t)u->imm);
}

DO(count)
{
	struct pmu *p = &x->c->pmu;
	bool user = x->ir->mode & MODE_CPL;

	p->branches[user] += u->c;
	p->left[user] -= u->imm;
	if (p->left[user] < 0)
		atomic_fetch_or(&x->c->request, REQ_PMU);
}

DO(setrip) { x->c->rip = u->a == OP_NONE ? (uint64_t)u->imm : rd(x, u, u->a, 8); }

DO(exit)
{
	UNUSED;
	x->state = RUN_EXIT;
}

DO(raise)
{
	if (u->c)
		cpu_raise_err(x->c, (int)u->imm, u->aux);
	cpu_raise(x->c, (int)u->imm);
}

DO(poll)
{
	if (!atomic_load_explicit(&x->c->request, memory_order_relaxed))
		return;
	x->c->rip = (uint64_t)u->imm;
	x->state = RUN_EXIT;
}

/* ---- C, and the instruction itself ---- */

DO(call)
{
	uint64_t a = u->a == OP_NONE ? 0 : rd(x, u, u->a, 8);
	uint64_t b = u->b == OP_NONE ? 0 : rd(x, u, u->b, 8);
	uint64_t v = helper_info[u->aux].fn(x->c, a, b, (uint64_t)u->imm);

	if (u->d != OP_NONE)
		wr_d(x, u, v);
}

DO(plug_add)
{
	uint64_t *n = (uint64_t *)(void *)(x64_env(x->c)->plug + (uint32_t)u->imm);

	*n += (uint64_t)(u->imm >> 32);
}

DO(plug_va)
{
	uint64_t va = effective(x, u);

	if (!(u->c & PROBE_NOSEG) && (!cpu_is64(x->c) || u->pad == FS || u->pad == GS))
		va += x->c->segs[u->pad].base;
	x64_env(x->c)->plug_va[u->aux] = cpu_is64(x->c) ? va : (uint32_t)va;
}

DO(plug_log)
{
	const struct plug_entry *e = (const struct plug_entry *)(uintptr_t)u->imm;
	struct plug_stream *s = (struct plug_stream *)(void *)(x64_env(x->c)->plug + e->stream);

	*s->next = e->t;
	if (e->slot >= 0)
		s->next->va = x64_env(x->c)->plug_va[e->slot];
	s->next++;
}

DO(plug_room)
{
	struct plug_stream *s = (struct plug_stream *)(void *)(x64_env(x->c)->plug + u->imm);

	if (s->next >= s->limit)
		helper_info[HELPER_plug_drain].fn(x->c, 0, 0, (uint64_t)u->imm);
}

DO(vec) { vec_exec(x->c, &x->ir->insns[u->aux], u->a == OP_M ? x->m : NULL); }
DO(x87) { x87_exec(x->c, &x->ir->insns[u->aux], u->a == OP_M ? x->m : NULL); }

DO(rdtsc)
{
	uint64_t v = cpu_rdtsc(x->c);

	(void)u;
	x->c->regs[RAX] = (uint32_t)v;
	x->c->regs[RDX] = v >> 32;
}

DO(fence)
{
	UNUSED;
	atomic_thread_fence(memory_order_seq_cst);
}

