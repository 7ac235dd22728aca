/*
 * Finding a block: instruction TLB, hash table, and what the stubs of generated
 * code ask. Light; never raises: what is not here is left to the run loop.
 *
 * Blocks and numbers of pages are found without the lock while others enter and drop some: what is
 * entered is complete by then (release, acquire), and what is dropped leads on to where it led. Only
 * a block that is its maker's alone may become another one meanwhile (tb->shared); so nothing of
 * it is looked at but that, and whoever may want it looks again with the lock.
 */
#include "cpu/except.h"
#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "tcg/cache.h"

struct itlb_entry *tcg_itlb(struct cpu *c, uint64_t va)
{
	struct tcg *t = tcg_of(c);
	struct itlb_entry *e = &t->itlb[ITLB_SLOT(va)];
	struct x64_env *env = x64_env(c);
	uint32_t user = cpu_cpl(c) == 3, pf;
	uint64_t page = PAGE_OF(va), pa;
	struct phys_page pp;
	bool global;

	if (e->va == page && e->user == user)
		return e;
	if (!mmu_fetch_page(c, page, &pa, &global, &pf))
		return NULL;
	phys_lookup(c->phys, PAGE_OF(pa), &pp);
	if (!pp.ram)
		return NULL;
	e->va = page;
	e->ram = pp.ram->id + pp.ram_off;
	e->r = pp.ram;
	e->host = pp.rhost;
	e->user = user;
	if (!(e->listed >> global & 1)) {
		e->listed |= (uint8_t)(1u << global);
		t->itlb_used[global].slot[t->itlb_used[global].n++] = (uint16_t)ITLB_SLOT(va);
	}
	env->itlb[ITLB_SLOT(va)] = tcg_vpage_comes(t, page, e->ram, user);
	return e;
}

static void forget_listed(struct cpu *c, int global)
{
	struct tcg *t = tcg_of(c);

	for (unsigned i = 0; i < t->itlb_used[global].n; i++) {
		unsigned slot = t->itlb_used[global].slot[i];

		t->itlb[slot].va = 1;
		t->itlb[slot].listed &= (uint8_t)~(1u << global);
		x64_env(c)->itlb[slot] = 0;
	}
	t->itlb_used[global].n = 0;
}

void tcg_itlb_flush(struct cpu *c, bool keep_global)
{
	forget_listed(c, 0);
	if (!keep_global)
		forget_listed(c, 1);
}

static uint64_t linear_rip(const struct cpu *c, uint64_t rip)
{
	uint64_t va = rip + (cpu_is64(c) ? 0 : c->segs[CS].base);

	return cpu_is64(c) ? va : (uint32_t)va;
}

/* A block at va that goes on on the next page: is that one mapped as it was? */
static bool next_is_mapped(struct cpu *c, const struct tb *tb, uint64_t va)
{
	const struct itlb_entry *e;

	if (!tb_crosses(tb))
		return true;
	e = tcg_itlb(c, PAGE_OF(va) + PAGE_SIZE);
	return e && e->ram == tb_ram2(tb);
}

/* The pages of the functions that a region goes into, too? */
static bool annexes_are_mapped(struct cpu *c, const struct tb *region)
{
	for (unsigned i = 1; i <= region->n_annexes; i++) {
		const struct itlb_entry *e = tcg_itlb(c, PAGE_OF(region[i].rip));

		if (!e || e->ram != PAGE_OF(region[i].ram))
			return false;
	}
	return true;
}

/* Another vCPU's own block, which nobody but that one and whoever has the lock may look at. */
static bool is_foreign(const struct tcg *t, const struct tb *tb)
{
	return !__atomic_load_n(&tb->shared, __ATOMIC_ACQUIRE) && __atomic_load_n(&tb->maker, __ATOMIC_RELAXED) != t->number;
}

/* What is asked for, and how. */
struct quest {
	uint64_t va, ram, cs_base;
	uint32_t mode;
	bool foreign;		/* foreign blocks count, too: the lock is held; otherwise: one has been passed */
};

/* May it be looked at? */
static bool pass(const struct tcg *t, const struct tb *tb, bool locked, struct quest *q)
{
	if (locked || !is_foreign(t, tb))
		return true;
	q->foreign = true;
	return false;
}

/* The region that runs instead of a block, or the block. */
static struct tb *best(struct cpu *c, struct tb *tb, bool locked, struct quest *q)
{
	struct tcg *t = tcg_of(c);
	uint32_t n = __atomic_load_n(&tb->region, __ATOMIC_ACQUIRE);
	struct tb *region = &t->cache->tbs[n];

	if (!n || q->mode & MODE_REGION || !pass(t, region, locked, q))
		return tb;
	/* It may have gone, and its number may be another's, before it was seen to be shared. */
	if (__atomic_load_n(&tb->region, __ATOMIC_ACQUIRE) != n || !next_is_mapped(c, region, q->va) ||
	    !annexes_are_mapped(c, region))
		return tb;
	return region;
}

static struct tb *look_up(struct cpu *c, bool locked, struct quest *q)
{
	struct tcg *t = tcg_of(c);
	struct code_cache *k = t->cache;
	struct hash_key key = tcg_hash(q->ram, c->rip, q->mode);
	uint32_t i = __atomic_load_n(&k->hash[key.slot], __ATOMIC_ACQUIRE);

	for (; i; i = __atomic_load_n(&k->hash_next[hash_tb(i)], __ATOMIC_ACQUIRE)) {
		struct tb *tb = &k->tbs[hash_tb(i)];

		if (hash_tag(i) != key.tag || !pass(t, tb, locked, q))
			continue;
		if (tb->ram == q->ram && tb->rip == c->rip && tb->mode == q->mode && tb->cs_base == q->cs_base &&
		    tb->cs_limit == c->segs[CS].limit && next_is_mapped(c, tb, q->va))
			return best(c, tb, locked, q);
	}
	return NULL;
}

/* Among others' own blocks, too; the one that is found is no longer its maker's alone. */
static struct tb *look_up_locked(struct cpu *c, struct quest *q)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb;

	tcg_lock(t);
	tb = look_up(c, true, q);
	if (tb)
		tcg_meet(t, tb);
	tcg_unlock(t);
	return tb;
}

struct tb *tcg_find(struct cpu *c, uint32_t mode)
{
	struct quest q = { .va = linear_rip(c, c->rip), .mode = mode, .cs_base = cpu_is64(c) ? 0 : c->segs[CS].base };
	struct itlb_entry *e = tcg_itlb(c, q.va);
	struct tb *tb;

	if (!e)
		return NULL;
	q.ram = e->ram + (q.va & (PAGE_SIZE - 1));
	__builtin_prefetch(e->host + (q.va & (PAGE_SIZE - 1)));	/* its bytes, if it has to be translated */
	tb = look_up(c, !tcg_of(c)->cache->smp, &q);	/* alone there are no others' */
	return q.foreign ? look_up_locked(c, &q) : tb;
}

/* Found, or translated if that is possible from here. */
static struct tb *get(struct cpu *c, uint32_t mode)
{
	struct tb *tb = tcg_find(c, mode);

	return tb ? tb : tcg_translate_live(c, mode);
}

/* May generated code go on by itself? */
static bool must_stop(struct cpu *c)
{
	return tcg_of(c)->single || c->mode & (MODE_TF | MODE_DEBUG) || c->shadow || c->halted ||
	       c->exc_vector >= 0 || c->dbg.why;
}

void tcg_jc_name(struct cpu *c, unsigned t, uint32_t mode)
{
	x64_env(c)->jc_mode[t] = mode;
	for (unsigned i = 0; i < JC_SIZE && mode != JC_NO_MODE; i++)
		x64_env(c)->jc_tag[t][i] = JC_EMPTY(i);
}

/* Whoever drops it looks into all jump caches behind saying so. */
static void enter_jump_cache(struct cpu *c, struct tb *tb, bool met)
{
	struct x64_env *env = x64_env(c);
	uint32_t s = jc_slot(tb->rip), m = JC_MODE(c->mode);
	const uint8_t *code;

	if (tb->jc < 0 || !(code = tcg_guarded(tcg_of(c), tb)))
		return;
	env->jc_of[m].mode = c->mode;
	env->jc_of[m].first = (uint32_t)tb->jc * JC_SIZE;
	env->jc_code[tb->jc][s] = code;
	tcg_set_met(env, tb->jc, tb->rip, met);
	__atomic_store_n(&env->jc_tag[tb->jc][s], tb->rip, __ATOMIC_RELAXED);
	if (!tcg_of(c)->cache->smp)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	if (tcg_is_dead(tb))
		__atomic_store_n(&env->jc_tag[tb->jc][s], JC_EMPTY(s), __ATOMIC_RELAXED);
}

static const uint8_t *find(struct cpu *c, bool met)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb;

	t->stats.finds++;
	tcg_unhold(c);
	if (must_stop(c) || atomic_load_explicit(&c->request, memory_order_relaxed))
		return NULL;
	tb = get(c, c->mode);
	if (tb)
		enter_jump_cache(c, tb, met);
	return tb ? tb_entry(tcg_of(c)->cache, tb) : NULL;
}

/* Returns from interrupts come here, too, and say nothing about jumps to c->rip. */
const uint8_t *tcg_cb_find(struct cpu *c) { return find(c, false); }

/* The handler goes on in generated code, as no more is to be done (delivers_live() in tcg/run.c). */
const uint8_t *tcg_cb_deliver(struct cpu *c)
{
	tcg_of(c)->last_exit = 0;
	cpu_deliver_pending(c);
	c->dbg.alone = false;
	return tcg_cb_find(c);
}

/* Not in the jump cache; the target may be one that the jump, call or return refuses. */
const uint8_t *tcg_cb_indirect(struct cpu *c, uint64_t at)
{
	struct tcg *t = tcg_of(c);
	struct x64_side side;
	const struct tb *tb;

	if (seg_target_ok(c, c->rip))
		return find(c, true);
	tb = tcg_tb_at(t, at, &side);
	if (tb)
		seg_bad_target(c, tb->rip + side.off);
	return NULL;
}

/*
 * Block tb goes on without sharing behind the slow path that has said so. Each of the two may have been dropped
 * since: other code may stand there before the next is. With the lock held.
 */
static void note_fallback(struct cpu *c, const struct tb *tb)
{
	struct x64_env *env = x64_env(c);
	const struct code_cache *k = tcg_of(c)->cache;
	uint64_t slot = FALLBACK_SLOT(env->fallback_ret);
	uint32_t from;

	if (!env->fallback_ret || tb_crosses(tb) || tb->dead)
		return;
	from = tcg_tb_near(tcg_of(c), env->fallback_ret);
	if (from == NO_TB || k->tbs[from].dead)
		return;
	env->fallback_at[slot] = env->fallback_ret;
	env->fallback_code[slot] = tb_entry(k, tb);
	env->n_fallbacks++;
}

const uint8_t *tcg_cb_noshare(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb;

	t->stats.noshare++;
	if (must_stop(c))
		return NULL;
	tb = get(c, c->mode | MODE_NOSHARE);
	if (!tb)
		return NULL;
	tcg_lock(t);
	note_fallback(c, tb);
	tcg_unlock(t);
	return tb_entry(tcg_of(c)->cache, tb);
}

/* The exit whose call returns to `ret`, or 0. */
static uint32_t link_at(struct tcg *t, uint64_t ret)
{
	const struct code_cache *k = t->cache;
	uint32_t n = tcg_tb_near(t, ret);
	const struct tb *tb = &k->tbs[n];

	for (uint32_t i = tb->first_link; n != NO_TB && i < tb->first_link + tb->n_links; i++)
		if (tcg_link_ret(k, i) == (const uint8_t *)(uintptr_t)ret)
			return i;
	return 0;
}

/* An exit that stays on its page goes to a RAM address that is known: its place will be looked at. */
static void announce(const struct tcg *t, const struct link *l, uint64_t rip, uint32_t mode)
{
	const struct code_cache *k = t->cache;

	if (tcg_stays(k, l))
		__builtin_prefetch(&k->hash[tcg_hash(k->tbs[l->from].ram + (uint64_t)(int64_t)l->near, rip, mode).slot]);
}

/* The block that exit n goes to, from now on by itself. */
static struct tb *resolve(struct cpu *c, uint32_t n)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb = get(c, c->mode);

	if (tb && t->last_exit) {	/* it may have been taken back */
		tcg_lock(t);
		tcg_link(t, n, (uint32_t)(tb - t->cache->tbs));
		tcg_unlock(t);
	}
	return tb;
}

const uint8_t *tcg_cb_resolve(struct cpu *c, uint64_t ret)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb = NULL;
	uint32_t n;

	t->stats.resolves++;
	n = link_at(t, ret);
	c->rip = link_rip(t->cache, &t->cache->links[n]);
	t->last_exit = t->single ? 0 : n;
	announce(t, &t->cache->links[n], c->rip, c->mode);
	if (!must_stop(c) && !atomic_load_explicit(&c->request, memory_order_relaxed))
		tb = resolve(c, n);
	if (tb)
		t->last_exit = 0;
	return tb ? tb_entry(tcg_of(c)->cache, tb) : NULL;
}

/* Is the page of a block that is all on one mapped as it was? */
static bool stands(struct cpu *c, const struct tb *tb)
{
	const struct itlb_entry *e;

	if (tcg_is_dead(tb) || tb_crosses(tb) || tb->n_annexes || must_stop(c))
		return false;
	e = tcg_itlb(c, linear_rip(c, c->rip));
	return e && e->ram == PAGE_OF(tb->ram);
}

/* The slot was forgotten, which is the usual case, or the page is another one now. */
const uint8_t *tcg_cb_guard(struct cpu *c, uint64_t n)
{
	struct tcg *t = tcg_of(c);
	const struct tb *tb = &t->cache->tbs[n];

	t->stats.guards++;
	c->rip = tb->rip;
	return stands(c, tb) ? tb_entry(tcg_of(c)->cache, tb) : tcg_cb_find(c);
}
