/*
 * What generated code asks C for: accesses that miss the inline probe, and
 * exceptions. Light.
 *
 * env->fault_pc tells the unwinder which instruction is under way.
 */
#include "cpu/except.h"
#include "cpu/mmu.h"
#include "cpu/phys.h"
#include "cpu/seen.h"
#include "cpu/seg.h"
#include "tcg/cache.h"

static void raise_segment(struct cpu *c, int seg)
{
	cpu_raise_err(c, seg == SS ? EXC_SS : EXC_GP, 0);
}

/* Run the instruction under way again, and nothing else. */
static void __attribute__((noreturn)) again_alone(struct cpu *c)
{
	tcg_of(c)->single_next = true;
	c->exc_vector = -1;
	c->unwind(c);
}

/*
 * A store to a page with code. Blocks made from those bytes go now, before the
 * store; if the running block is one of them the instruction is started again
 * alone, so that what follows it is translated from the new bytes.
 * False: there was no code.
 */
static bool store_to_code(struct cpu *c, uint64_t pa, int n, uint64_t ret)
{
	struct tcg *t = tcg_of(c);
	struct code_cache *k = t->cache;
	struct phys_page pp;
	uint32_t self;
	uint64_t ram;

	t->stats.smc_stores++;
	phys_lookup(c->phys, PAGE_OF(pa), &pp);
	if (!pp.ram)
		return false;
	ram = pp.ram->id + pp.ram_off + (pa & (PAGE_SIZE - 1));
	if (!tcg_will_store(t, ram, (uint64_t)n))
		return false;
	tcg_lock(t);
	self = t->single ? NO_TB : tcg_tb_near(t, ret);
	if (self != NO_TB && tcg_overlaps(&k->tbs[self], ram, (uint64_t)n))
		again_alone(c);
	tcg_smc(t, ram, (uint64_t)n);
	tcg_unlock(t);
	return true;
}

/*
 * A write to a device that may interrupt this processor: the instruction is
 * started again alone, so that the run loop sees the request right behind it.
 */
static void stand_alone(struct cpu *c, uint64_t va, enum mmu_idx idx)
{
	struct tcg *t = tcg_of(c);
	uint64_t pa;
	uint32_t pf;

	if (t->single || !mmu_translate(c, va, MMU_WRITE, idx, &pa, &pf) || !phys_alone(c->phys, pa))
		return;
	again_alone(c);
}

/* Page crossing or MMIO: the operand goes through cpu->bounce. */
static uint8_t *bounce(struct cpu *c, uint64_t va, int n, int kind, enum mmu_idx idx)
{
	struct tcg *t = tcg_of(c);
	struct x64_env *env = x64_env(c);

	t->stats.mmio++;
	if (kind & PROBE_W) {
		mmu_check(c, va, n, (enum mmu_access)kind, idx);
		stand_alone(c, va, idx);
		if (c->dbg.n_watches && !c->dbg.alone)
			debug_access(c, va, (uint64_t)n, true);
	}
	if (kind & PROBE_R) {
		if (n <= 8 && !(n & (n - 1)))
			st_n(c->bounce, n, mmu_ld(c, va, n, idx));
		else
			mmu_ld_buf(c, va, c->bounce, n, idx);
	}
	if (kind & PROBE_W) {
		env->pend = (uint32_t)n;
		env->pend_va = va;
		env->pend_idx = idx;
		env->pend_host[0] = NULL;
	}
	return c->bounce;
}

/* One access of a device takes 1, 2, 4 or 8 bytes. */
static bool is_dev_size(int n)
{
	return n <= 8 && !(n & (n - 1));
}

/* May a device's operand on one page be accessed by its physical address alone? */
static bool is_simple(const struct cpu *c, uint64_t pa, int n, int kind)
{
	return is_dev_size(n) && cpu_unwatched(c) && !(kind & PROBE_W && phys_alone(c->phys, pa));
}

/* As bounce(), without looking again for what mmu_fill() has found. */
static uint8_t *bounce_at(struct cpu *c, uint64_t pa, int n, int kind)
{
	struct x64_env *env = x64_env(c);

	tcg_of(c)->stats.mmio++;
	if (kind & PROBE_R)
		st_n(c->bounce, n, phys_ld(c, pa, n));
	if (kind & PROBE_W) {
		env->pend = (uint32_t)n;
		env->pend_va = pa;
		env->pend_idx = PEND_PHYSICAL;
		env->pend_host[0] = NULL;
	}
	return c->bounce;
}

static struct dev_page *dev_page(struct cpu *c, uint64_t va, int kind)
{
	return &tcg_of(c)->dev_page[kind & PROBE_W ? 1 : 0][(va >> 12) % DEV_PAGES];
}

/*
 * Where a device has a quick way, the page is remembered for accesses to come. Rights that may go without entries being
 * taken away are not relied on.
 */
static void remember_device(struct cpu *c, uint64_t va, uint64_t pa, int kind, enum mmu_idx idx)
{
	struct dev_page d = { .va = PAGE_OF(va), .pa = PAGE_OF(pa), .drops = c->drops, .idx = idx, .pkru = c->pkru,
			      .pkrs = (uint32_t)c->pkrs };

	if (kind & PROBE_W && idx != MMU_USER && (c->cr0 & (CR0_PG | CR0_WP)) == CR0_PG)
		return;
	if (!phys_quick(c->phys, pa, &d.dev))
		return;
	d.max_size = (unsigned)d.dev.max_size;
	*dev_page(c, va, kind) = d;
}

/* One more access there: through cpu->bounce, or NULL. */
static uint8_t *at_device(struct cpu *c, uint64_t va, int n, int kind, enum mmu_idx idx)
{
	const struct dev_page *d = dev_page(c, va, kind);
	struct x64_env *env = x64_env(c);
	uint64_t at = va & (PAGE_SIZE - 1), v;

	if (PAGE_OF(va) != d->va || (unsigned)n > d->max_size || idx != d->idx || c->drops != d->drops ||
	    c->pkru != d->pkru || (uint32_t)c->pkrs != d->pkrs || at & (unsigned)(n - 1) || !is_dev_size(n) ||
	    !cpu_unwatched(c))
		return NULL;
	if (kind & PROBE_R) {
		if (!d->dev.ops->read_quick(d->dev.opaque, d->dev.off + at, n, &v))
			return NULL;
		st_n(c->bounce, n, v);
	}
	if (kind & PROBE_W) {
		env->pend = (uint32_t)n;
		env->pend_va = at;
		env->pend_idx = PEND_DEVICE;
		env->pend_host[0] = NULL;
		tcg_of(c)->pend_dev = d;
	}
	tcg_of(c)->stats.mmio++;
	return c->bounce;
}

static void commit_to_device(struct cpu *c, const struct dev_page *d, uint64_t at, int n)
{
	uint64_t v = ld_n(c->bounce, n);

	if (!d->dev.ops->write_quick(d->dev.opaque, d->dev.off + at, n, v))
		phys_st(c, d->pa + at, n, v);
}

/* Is [va, va + n) on one page that the inline table knows? Its host address. */
static uint8_t *in_tlb(struct cpu *c, uint64_t va, unsigned n, bool write, enum mmu_idx idx)
{
	const struct tlb_entry *e = tlb_entry(&c->tlb[idx], va, write);

	return (va ^ e->tag) <= PAGE_SIZE - n ? (uint8_t *)(uintptr_t)(e->host + (va ^ e->tag)) : NULL;
}

/*
 * Data that stand beside code are stored to time and again. What was found for the last such store holds until entries
 * are taken away, as it does for a site; rights that may go without that are not relied on. Whether
 * there is code now is asked each time.
 */
static void remember_store(struct cpu *c, uint64_t va, uint64_t pa, enum mmu_idx idx)
{
	struct phys_page pp;

	if (idx != MMU_USER && !(c->cr0 & CR0_WP))
		return;
	phys_lookup(c->phys, PAGE_OF(pa), &pp);
	if (pp.ram)
		tcg_of(c)->stored = (struct code_store){ PAGE_OF(va), pp.ram->id + pp.ram_off,
							 &pp.ram->page[pp.ram_off >> 12], c->drops, idx };
}

/* One more store there, and it meets no code: its host address; or NULL. */
static uint8_t *store_beside_code(struct cpu *c, uint64_t va, int n, enum mmu_idx idx)
{
	struct tcg *t = tcg_of(c);
	const struct code_store *s = &t->stored;
	uint8_t *p;

	if (PAGE_OF(va) != s->va || idx != s->idx || c->drops != s->drops || c->dbg.n_watches ||
	    (atomic_load_explicit(s->flags, memory_order_relaxed) & (PAGE_CODE | PAGE_LOGS)) != PAGE_CODE)
		return NULL;
	p = in_tlb(c, va, (unsigned)n, false, idx);
	if (!p || tcg_will_store(t, s->ram + (va & (PAGE_SIZE - 1)), (uint64_t)n))
		return NULL;
	t->stats.smc_stores++;
	return p;
}

/* Host address of a part of an access, NULL if it is not plain memory without code. Raises. */
static uint8_t *plain_part(struct cpu *c, uint64_t va, int n, int kind, enum mmu_idx idx)
{
	uint8_t *p = in_tlb(c, va, (unsigned)n, kind & PROBE_W, idx);
	bool code = false;
	uint64_t pa;

	if (!p)
		p = mmu_fill(c, va, n, (enum mmu_access)kind, idx, &code, &pa);
	return code ? NULL : p;
}

/* An access that crosses a page's end; the inline table knows both pages. */
struct halves {
	uint8_t *p, *q;
	int first;		/* bytes at p, the others are at q */
};

static bool known_halves(struct cpu *c, uint64_t va, unsigned n, bool write, enum mmu_idx idx, struct halves *h)
{
	unsigned first = (unsigned)(PAGE_SIZE - (va & (PAGE_SIZE - 1)));

	if (first >= n || (!cpu_is64(c) && va + n > 1ull << 32))
		return false;
	h->first = (int)first;
	h->p = in_tlb(c, va, first, write, idx);
	h->q = in_tlb(c, va + first, n - first, write, idx);
	return h->p && h->q;
}

/* Has the host both pages side by side? (Guests mostly hand out pages one behind the other.) */
static bool adjacent(const struct halves *h) { return h->q == h->p + h->first; }

static void copy(uint8_t *to, const uint8_t *from, int n)
{
	while (n--)
		*to++ = *from++;
}

/* n bytes to `to`, which has room for eight. */
static void join(uint8_t *to, const struct halves *h, int n)
{
	if (n <= 8) {		/* in one piece: it is read in one right away */
		st64(to, ld64(h->p + h->first - 8) >> (64 - 8 * h->first) | ld64(h->q) << 8 * h->first);
		return;
	}
	copy(to, h->p, h->first);
	copy(to + h->first, h->q, n - h->first);
}

/* Both are plain memory: through cpu->bounce. */
static void bounce_halves(struct cpu *c, uint64_t va, int n, int kind, const struct halves *h)
{
	struct x64_env *env = x64_env(c);

	if (kind & PROBE_R)
		join(c->bounce, h, n);
	if (kind & PROBE_W) {
		env->pend = (uint32_t)n;
		env->pend_va = va;
		env->pend_host[0] = h->p;
		env->pend_host[1] = h->q;
	}
}

/*
 * The common page crossing: both pages are plain memory. False: do it the long way. Whoever begins to translate
 * a page asks the table who may be storing to it, so both must stand there until it is done: to fill
 * the second may have emptied it.
 */
static bool crossing(struct cpu *c, uint64_t va, int n, int kind, enum mmu_idx idx)
{
	struct halves h = { .first = (int)(PAGE_SIZE - (va & (PAGE_SIZE - 1))) };
	uint64_t va2 = va + (unsigned)h.first;

	if (h.first >= n)
		return false;
	h.p = plain_part(c, va, h.first, kind, idx);
	h.q = plain_part(c, cpu_is64(c) ? va2 : (uint32_t)va2, n - h.first, kind, idx);
	if (!h.p || !h.q || (kind & PROBE_W && !in_tlb(c, va, (unsigned)h.first, true, idx)))
		return false;
	bounce_halves(c, va, n, kind, &h);
	return true;
}

/* A store that crosses pages may hit the running block, too. */
static void check_crossing(struct cpu *c, uint64_t va, int n, enum mmu_idx idx, uint64_t ret)
{
	int first = (int)(PAGE_SIZE - (va & (PAGE_SIZE - 1)));
	uint64_t pa;
	uint32_t pf;

	if (first >= n)
		return;
	if (mmu_translate(c, va, MMU_WRITE, idx, &pa, &pf))
		store_to_code(c, pa, first, ret);
	if (mmu_translate(c, va + (unsigned)first, MMU_WRITE, idx, &pa, &pf))
		store_to_code(c, pa, n - first, ret);
}

/* A linear address outside 64-bit code. Where all segments are flat it is an offset that nobody has checked. */
static uint64_t flat_va(struct cpu *c, uint64_t va, int n, int kind, int seg, uint64_t info)
{
	va = (uint32_t)va;
	if (va > 0u - (unsigned)n && c->mode & MODE_FLAT && !(info & (SLOW_NOSEG | SLOW_SEGCHECK)) && seg <= DS)
		return seg_check(c, seg, va, n, kind);
	return va;
}

/* The access under way came with an address that is none: again. */
static void check_address(struct cpu *c)
{
	struct x64_env *env = x64_env(c);

	if (!env->raced)
		return;
	env->raced = 0;
	again_alone(c);
}

uint8_t *tcg_cb_slow(struct cpu *c, uint64_t va, uint64_t info, uint64_t ret)
{
	struct tcg *t = tcg_of(c);
	struct x64_env *env = x64_env(c);
	int n = info & SLOW_SIZE, kind = info >> SLOW_KIND & 3, seg = info >> SLOW_SEG & 15;
	enum mmu_idx idx = (enum mmu_idx)(info >> SLOW_IDX & 3);
	uint32_t drops = c->drops;
	struct halves h;
	bool code = false;
	uint64_t pa;
	uint8_t *p;

	env->fault_pc = ret;
	check_address(c);
	env->pend = 0;
	if (kind & PROBE_W)
		t->stats.slow_writes++;
	else
		t->stats.slow_reads++;
	if (!(info & (SLOW_SEGCHECK | SLOW_ALIGN | SLOW_LOCK | SLOW_IN_RUN)) &&
	    (p = at_device(c, cpu_is64(c) ? va : (uint32_t)va, n, kind, idx))) {
		env->fault_pc = 0;
		return p;
	}
	if (!(info & (SLOW_SEGCHECK | SLOW_ALIGN | SLOW_LOCK)) && known_halves(c, va, (unsigned)n, kind & PROBE_W, idx, &h)) {
		env->fault_pc = 0;
		if (adjacent(&h))
			return h.p;
		bounce_halves(c, va, n, kind, &h);
		return c->bounce;
	}
	if (info & SLOW_SEGCHECK) {
		va = seg_check(c, seg, va, n, kind);
		if (va & (unsigned)(n - 1) && (info & SLOW_SSE || (c->mode & MODE_AC && n <= 8)))
			info |= SLOW_ALIGN;
	}
	if (cpu_is64(c)) {
		if (!mmu_canonical(c, va) || !mmu_canonical(c, va + (unsigned)n - 1))
			raise_segment(c, info & SLOW_NOSEG ? DS : seg);
	} else {
		va = flat_va(c, va, n, kind, seg, info);
	}
	if (info & SLOW_ALIGN)
		cpu_raise_err(c, info & SLOW_SSE ? EXC_GP : EXC_AC, 0);
	if (kind & PROBE_W && (p = store_beside_code(c, va, n, idx))) {
		env->fault_pc = 0;
		return p;
	}
	if (crossing(c, va, n, kind, idx)) {
		if (info & SLOW_LOCK && c->ncpus > 1)
			tcg_alone(c);
		if (info & SLOW_IN_RUN && c->drops != drops)
			again_alone(c);
		env->fault_pc = 0;
		return c->bounce;
	}
	p = mmu_fill(c, va, n, (enum mmu_access)kind, idx, &code, &pa);
	if (info & SLOW_IN_RUN && (!p || c->drops != drops))
		again_alone(c);
	if (!p && !(info & SLOW_LOCK) && (va & (PAGE_SIZE - 1)) + n <= PAGE_SIZE && is_simple(c, pa, n, kind)) {
		remember_device(c, va, pa, kind, idx);
		p = bounce_at(c, pa, n, kind);
	} else if (!p) {
		if (info & SLOW_LOCK && c->ncpus > 1)
			tcg_alone(c);
		if (kind & PROBE_W)
			check_crossing(c, va, n, idx, ret);
		p = bounce(c, va, n, kind, idx);
	} else if (code && !store_to_code(c, pa, n, ret)) {
		remember_store(c, va, pa, idx);
	}
	env->fault_pc = 0;
	return p;
}

/*
 * May code that missed here go on without sharing by itself next time (struct x64_env)? There must be nothing to put right,
 * and both blocks are on one page, so what let this one be entered lets the other. A region, which it then leaves, only
 * if the pages are known to be `apart`.
 */
static bool falls_back(const struct tcg *t, const struct tb *tb, const struct x64_side *side, bool apart)
{
	if (tb->mode & MODE_REGION && !apart)
		return false;
	return !(tb->mode & MODE_COUNT) && !tb->n_swaps && !tb->n_annexes && !tb_crosses(tb) && !side->flags_host && !t->plug;
}

/*
 * A leader's probe missed. Do what its own access does to the TLB (raising its
 * fault), then see whether the range can be shared after all. If it crosses a page and the host does not have both side
 * by side it cannot, and code that does not share makes that access.
 */
uint8_t *tcg_cb_group(struct cpu *c, uint64_t va, uint64_t info, uint64_t ret)
{
	struct x64_env *env = x64_env(c);
	int n = info & GROUP_SIZE, kind = info >> SLOW_KIND & 3;
	enum mmu_idx idx = (enum mmu_idx)(info >> SLOW_IDX & 3);
	uint64_t lead = va + (info >> GROUP_LEAD & 0xff), pa;
	struct x64_side side;
	struct halves h;
	unsigned range = info >> GROUP_RANGE & 0x1ff;
	bool crosses = (va & (PAGE_SIZE - 1)) + range > PAGE_SIZE, write = info & GROUP_WRITES;
	const struct tb *tb;
	uint32_t drops = c->drops;
	bool code = false, apart = false;
	uint8_t *p;

	tcg_of(c)->stats.groups++;
	env->fallback_ret = 0;
	env->fault_pc = ret;
	check_address(c);
	if (!cpu_is64(c))
		lead = flat_va(c, lead, n, kind, info >> GROUP_SEG & 7, 0);
	else if (!mmu_canonical(c, lead) || !mmu_canonical(c, lead + (unsigned)n - 1))
		raise_segment(c, info >> GROUP_SEG & 7);
	if (known_halves(c, va, range, write, idx, &h)) {
		apart = !adjacent(&h);
		p = apart ? NULL : h.p;
	} else {
		mmu_fill(c, lead, n, (enum mmu_access)kind, idx, &code, &pa);
		p = in_tlb(c, va, range, write, idx);
	}
	env->fault_pc = 0;
	if (c->drops != drops)		/* the run of a loop has ended, perhaps of the one that asks */
		p = NULL;
	if (!p && (tb = tcg_tb_at(tcg_of(c), ret, &side))) {
		tcg_stop_at(c, tb, &side);
		if (crosses && falls_back(tcg_of(c), tb, &side, apart))
			env->fallback_ret = ret;
	}
	return p;
}

void tcg_cb_commit(struct cpu *c)
{
	struct x64_env *env = x64_env(c);
	int n = (int)env->pend;

	env->pend = 0;
	if (env->pend_host[0]) {
		int first = (int)(PAGE_SIZE - (env->pend_va & (PAGE_SIZE - 1)));

		copy(env->pend_host[0], c->bounce, first);
		copy(env->pend_host[1], c->bounce + first, n - first);
		return;
	}
	if (env->pend_idx == PEND_DEVICE)
		commit_to_device(c, tcg_of(c)->pend_dev, env->pend_va, n);
	else if (env->pend_idx == PEND_PHYSICAL)
		phys_st(c, env->pend_va, n, ld_n(c->bounce, n));
	else if (n <= 8 && !(n & (n - 1)))
		mmu_st(c, env->pend_va, n, ld_n(c->bounce, n), (enum mmu_idx)env->pend_idx);
	else
		mmu_st_buf(c, env->pend_va, c->bounce, n, (enum mmu_idx)env->pend_idx);
}

/* imm: vector, bit 8 "has an error code", error code from bit 16. */
void tcg_cb_raise(struct cpu *c, uint64_t imm)
{
	if (imm & 0x100)
		cpu_raise_err(c, (int)(imm & 0xff), (uint32_t)(imm >> 16));
	cpu_raise(c, (int)(imm & 0xff));
}
