/*
 * The software TLB (contract in cpu/mmu.h, data in cpu/tlb.h).
 *
 * A missed inline probe comes to mmu_fill(). It looks into the second-level
 * TLB, else walks the page tables; what was found is entered into the inline
 * tables of the access's mmu_idx. A read also enters the write table when a
 * write would be fine, and the other way round.
 *
 * Permissions are not part of a second-level entry's validity: it holds what
 * the tables say, and mmu_allowed() applies the access rules. A denied access
 * always walks again before it faults, so that a stale denial cannot fault.
 *
 * Walks are in mmu_walk.c, complete accesses in mmu_access.c, forgetting in
 * mmu_flush.c.
 *
 * A store that passed its probe before mmu_protect_ram_page() may reach memory after it:
 * tcg/cross_light.c sees to those.
 *
 * Source: Intel SDM vol. 3A 4.10.
 */
#include "cpu/tlb.h"

/* ---- second-level TLB ---- */

/* Given this, the set says the ten bits of the page number that are missing. */
static uint64_t l2_key(uint64_t va, uint32_t asid)
{
	return (va << 7 >> 29) | (uint64_t)asid << 35;
}

static struct l2_entry *l2_set(struct mmu *m, uint64_t va, uint32_t asid)
{
	uint64_t page = va >> 12;
	return m->l2[(page ^ page >> 10 ^ asid * 0x9e5u) & (L2_SETS - 1)];
}

struct l2_entry *mmu_l2_find(struct mmu *m, uint64_t va, uint32_t asid)
{
	struct l2_entry *set = l2_set(m, va, asid);
	uint64_t key = l2_key(va, asid);

	for (unsigned i = 0; i < L2_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

void mmu_l2_drop_1024(struct mmu *m, uint64_t va, uint32_t asid)
{
	struct l2_entry *e = m->l2[(l2_set(m, va, asid) - m->l2[0]) / L2_WAYS & ~1023u];
	uint64_t key = l2_key(va, asid);

	_Static_assert(L2_SETS % 1024 == 0, "ten bits of the page number order 1024 sets");
	for (unsigned i = 0; i < 1024 * L2_WAYS; i++)
		if (e[i].key == key)
			e[i].key = 0;
}

static struct l2_entry *l2_find(struct mmu *m, uint64_t va)
{
	struct l2_entry *e = mmu_l2_find(m, va, m->asid);
	return e ? e : mmu_l2_find(m, va, m->global_asid);
}

static struct l2_entry *l2_enter(struct cpu *c, const struct walk *w)
{
	struct mmu *m = c->mmu;
	uint32_t asid = w->attr & TR_G ? m->global_asid : m->asid;
	struct l2_entry *e = mmu_l2_find(m, w->va, asid);
	struct phys_page pg;

	if (!e)
		e = &l2_set(m, w->va, asid)[m->victim++ % L2_WAYS];
	phys_lookup(c->phys, w->pa, &pg);
	e->key = l2_key(w->va, asid);
	e->pa = w->pa | w->attr;
	e->host = pg.rhost;
	e->ram = pg.whost == pg.rhost ? pg.wram : NULL;
	e->flags = e->ram ? &e->ram->page[pg.ram_off >> 12] : NULL;
	if (w->attr & (TR_LARGE | TR_HUGE)) {
		uint64_t *seen = w->attr & TR_LARGE ? m->large_seen : m->huge_seen;
		unsigned bit = mmu_seen_bit(w->va, w->attr & TR_LARGE ? 22 : 30);
		seen[bit >> 6] |= 1ull << (bit & 63);
	}
	return e;
}

/* e is a translation that does not do for this access, or NULL. Apart, for the sake of hits. */
static __attribute__((noinline)) struct l2_entry *walk_anew(struct cpu *c, struct l2_entry *e, uint64_t va,
							    enum mmu_access how, enum mmu_idx idx,
							    uint32_t *pf_error)
{
	struct walk w;

	w.va = va;
	w.quiet = false;
	if (!mmu_walk(c, &w, how, idx, pf_error))
		return NULL;
	if (e)
		e->key = 0;
	return l2_enter(c, &w);
}

static struct l2_entry *look_up(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx,
				uint32_t *pf_error)
{
	struct l2_entry *e = l2_find(c->mmu, va);

	if (e && mmu_allowed(c, (unsigned)e->pa, how, idx) && (!(how & MMU_WRITE) || e->pa & TR_D))
		return e;
	return walk_anew(c, e, va, how, idx, pf_error);
}

bool mmu_fetch_page(struct cpu *c, uint64_t va, uint64_t *pa, bool *global, uint32_t *pf_error)
{
	enum mmu_idx idx = cpu_cpl(c) == 3 ? MMU_USER : MMU_KERNEL;
	const struct l2_entry *e = look_up(c, va, MMU_FETCH, idx, pf_error);

	if (!e)
		return false;
	*pa = e->pa & ~(PAGE - 1);
	if (global)
		*global = e->pa & TR_G;
	return true;
}
/* ---- the inline tables ---- */

static bool watched(const struct cpu *c, uint64_t va)
{
	const struct mmu *m = c->mmu;

	for (int i = 0; i < m->nwatch; i++)
		if (m->watch[i] == (va & ~(PAGE - 1)))
			return true;
	return c->dbg.n_watches && debug_watches_page(&c->dbg, va);
}

static void log_slot(struct slot_log *l, unsigned slot)
{
	uint64_t bit = 1ull << (slot & 63);

	if (l->logged[slot >> 6] & bit)
		return;
	l->logged[slot >> 6] |= bit;
	l->slot[l->n++] = (uint16_t)slot;
}

static void drop_some_sites(struct cpu *c, unsigned idx, unsigned write)
{
	for (unsigned i = 0; i < TLB_SITES; i++)
		if (c->site_used[idx][write][i / SITE_CHUNK])
			__atomic_store_n(&c->site[idx][write][i].tag, c->nowhere, __ATOMIC_RELAXED);
		else
			i += SITE_CHUNK - 1;
}

static void end_run(struct tlb_run *r)
{
	for (unsigned i = 0; i < RUN_REGS; i++) {
		__atomic_store_n(&r->most[i], RUN_OVER_MOST, __ATOMIC_RELAXED);
		__atomic_store_n(&r->least[i], RUN_OVER_LEAST, __ATOMIC_RELAXED);
	}
}

void mmu_end_runs(struct cpu *c)
{
	__atomic_store_n(&c->drops, c->drops + 1, __ATOMIC_RELAXED);
	for (unsigned n = 0; n < TLB_RUNS; n++)
		if (n % 8 == 0 && !ld64(c->run_used + n))	/* the usual case */
			n += 7;
		else if (c->run_used[n])
			end_run(&c->run[n]);
}

void mmu_drop_sites(struct cpu *c)
{
	mmu_end_runs(c);
	for (unsigned i = 0; i < TLB_RUNS; i += 8)
		st64(c->run_used + i, 0);
	for (unsigned i = 0; i < 2 * NMMU; i++) {
		uint8_t *used = c->site_used[i / 2][i % 2];
		uint64_t any = 0;

		for (unsigned k = 0; k < TLB_SITES / SITE_CHUNK; k += 8)
			any |= ld64(used + k);
		if (!any)		/* the usual case where pages are given back one by one */
			continue;
		drop_some_sites(c, i / 2, i % 2);
		for (unsigned k = 0; k < TLB_SITES / SITE_CHUNK; k += 8)
			st64(used + k, 0);
	}
}

/* The same for writes. Any thread: what is filled meanwhile is checked again by who fills it. */
static void drop_write_sites(struct cpu *c)
{
	mmu_end_runs(c);
	for (unsigned idx = 0; idx < NMMU; idx++)
		drop_some_sites(c, idx, 1);
}

static unsigned filter_bit(uint64_t host)
{
	return (unsigned)(host >> 12 & (FILTER_BITS - 1));
}

static bool filter_has(const struct mmu *m, const uint8_t *host)
{
	unsigned bit = filter_bit((uint64_t)host);
	return m->wfilter[bit >> 6] >> (bit & 63) & 1;
}

static void renew_places(struct cpu *c, const uint64_t *many)
{
	for (int idx = 0; idx < NMMU; idx++)
		for (unsigned s = 0; s < TLB_SIZE; s++)
			if (c->tlb[idx].w[s].tag != TLB_EMPTY(s)) {
				unsigned bit = filter_bit(c->tlb[idx].w[s].host);
				bool one = !(many[bit >> 6] >> (bit & 63) & 1);

				__atomic_store_n(&c->mmu->wplace[bit], one ? idx << TLB_BITS | s : MANY_PLACES, __ATOMIC_RELAXED);
			}
}

/* What is in the tables now. Another vCPU that looks meanwhile finds all of it in either version. */
static void filter_renew(struct cpu *c)
{
	struct mmu *m = c->mmu;
	uint64_t fresh[FILTER_BITS / 64], many[FILTER_BITS / 64];

	drop_write_sites(c);		/* they may have what is in no table any more */
	zero64(fresh, ARRAY_LEN(fresh));
	zero64(many, ARRAY_LEN(many));
	for (int idx = 0; idx < NMMU; idx++)
		for (unsigned s = 0; s < TLB_SIZE; s++)
			if (c->tlb[idx].w[s].tag != TLB_EMPTY(s)) {
				unsigned bit = filter_bit(c->tlb[idx].w[s].host);
				many[bit >> 6] |= fresh[bit >> 6] & 1ull << (bit & 63);
				fresh[bit >> 6] |= 1ull << (bit & 63);
			}
	renew_places(c, many);
	for (unsigned i = 0; i < ARRAY_LEN(fresh); i++)
		__atomic_store_n(&m->wfilter[i], fresh[i], __ATOMIC_RELAXED);
	m->filter_room = FILTER_BITS / 4;
}

static void filter_add(struct cpu *c, const uint8_t *host, enum mmu_idx idx, unsigned slot)
{
	uint16_t place = (uint16_t)(idx << TLB_BITS | slot);
	struct mmu *m = c->mmu;
	unsigned bit = filter_bit((uint64_t)host);

	if (!filter_has(m, host) && !m->filter_room--)
		filter_renew(c);
	if (!filter_has(m, host))
		__atomic_store_n(&m->wplace[bit], place, __ATOMIC_RELAXED);
	else if (m->wplace[bit] != place)
		__atomic_store_n(&m->wplace[bit], MANY_PLACES, __ATOMIC_RELAXED);
	m->wfilter[bit >> 6] |= 1ull << (bit & 63);
}

void mmu_drop_writes(struct cpu *c)
{
	struct mmu *m = c->mmu;

	drop_write_sites(c);
	for (int idx = 0; idx < NMMU; idx++)
		for (unsigned s = 0; s < TLB_SIZE; s++)
			c->tlb[idx].w[s].tag = TLB_EMPTY(s);
	for (unsigned i = 0; i < m->nlog_pages; i++)
		if (atomic_load(m->log_pages[i]) & PAGE_LOGS)
			atomic_fetch_or(m->log_pages[i], PAGE_WRITTEN);
	m->nlog_pages = 0;
	zero64(m->wfilter, ARRAY_LEN(m->wfilter));
	m->filter_room = FILTER_BITS / 4;
}

static void log_page(struct cpu *c, _Atomic uint8_t *flags)
{
	struct mmu *m = c->mmu;

	if (m->nlog_pages && m->log_pages[m->nlog_pages - 1] == flags)
		return;
	if (m->nlog_pages == LOG_PAGES)
		mmu_drop_writes(c);
	m->log_pages[m->nlog_pages++] = flags;
}

/* May writes go straight to e's page from now on? A write that is happening marks it dirty. */
static bool writes_plain(struct cpu *c, const struct l2_entry *e, enum mmu_access how, enum mmu_idx idx)
{
	if (!e->flags || !(e->pa & TR_D) || !mmu_allowed(c, (unsigned)e->pa, MMU_WRITE, idx))
		return false;
	uint8_t f = atomic_load_explicit(e->flags, memory_order_relaxed);
	if (f & PAGE_LOGS && (f & PAGE_WRITTEN) != PAGE_WRITTEN) {
		if (!(how & MMU_WRITE))
			return false;
		atomic_fetch_or(e->flags, PAGE_WRITTEN);
	}
	/* The write follows the mark, also one to code that takes the slow path: until the next flush it may be missing. */
	if (f & PAGE_LOGS)
		log_page(c, e->flags);
	return !(f & PAGE_CODE);
}

/* Another vCPU sets the code bit, then looks for entries; this looks the other way round. */
static bool code_since(const struct l2_entry *e)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(e->flags) & PAGE_CODE;
}

static void note_revocable(struct mmu *m, unsigned list, enum mmu_idx idx, unsigned slot, bool global)
{
	struct revocable *r = &m->revocable[list];

	m->revocable_any |= BIT(list);
	r->global |= global;
	if (r->n < REVOKE_ROOM)
		r->slot[r->n++] = (uint16_t)(idx << TLB_BITS | slot);
	else
		r->n = REVOKE_ROOM + 1;
}

static void enter(struct cpu *c, const struct l2_entry *e, uint64_t va, enum mmu_access how, enum mmu_idx idx)
{
	struct mmu *m = c->mmu;
	unsigned slot = TLB_SLOT(va);
	struct tlb *t = &c->tlb[idx];
	uint64_t tag = va & ~(PAGE - 1);
	unsigned key = e->pa >> TR_KEY & 15;

	if (key && t->r[slot].tag != tag)
		note_revocable(m, (e->pa & TR_U ? REVOKE_USER : 0) + key, idx, slot, e->pa & TR_G);
	t->r[slot].tag = tag;
	t->r[slot].host = (uint64_t)e->host;
	if (writes_plain(c, e, how, idx)) {
		filter_add(c, e->host, idx, slot);
		t->w[slot].host = (uint64_t)e->host;
		t->w[slot].tag = tag;
		if (c->ncpus > 1 && code_since(e))
			t->w[slot].tag = TLB_EMPTY(slot);
		if (!(c->cr0 & CR0_WP) && idx != MMU_USER && (key || !(e->pa & TR_W)))
			note_revocable(m, REVOKE_WP, idx, slot, e->pa & TR_G);
	}
	if (!(e->pa & TR_G))
		log_slot(&m->log[idx], slot);
	else if (m->log_global)
		log_slot(&m->global_log[idx], slot);
}

const struct l2_entry *mmu_enter(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx)
{
	uint32_t err;

	/* Bases may be canonical for 5-level paging only (mmu_canonical_reg). */
	if (c->mmu->levels >= 4 && !mmu_canonical(c, va))
		cpu_raise_err(c, EXC_GP, 0);
	const struct l2_entry *e = look_up(c, va, how, idx, &err);
	if (!e)
		cpu_raise_pf(c, va, err);
	if (e->host && !watched(c, va))
		enter(c, e, va, how, idx);
	return e;
}

uint8_t *mmu_fill(struct cpu *c, uint64_t va, int n, enum mmu_access how, enum mmu_idx idx,
		  bool *code, uint64_t *pa)
{
	if (code)
		*code = false;
	if ((va & (PAGE - 1)) + n > PAGE)
		return NULL;
	const struct l2_entry *e = mmu_enter(c, va, how, idx);
	*pa = (e->pa & ~(PAGE - 1)) | (va & (PAGE - 1));
	if (!e->host || watched(c, va))
		return NULL;
	if (how & MMU_WRITE) {
		if (!e->flags)
			return NULL;
		if (code)
			*code = atomic_load_explicit(e->flags, memory_order_relaxed) & PAGE_CODE;
	}
	return e->host + (va & (PAGE - 1));
}

bool mmu_may_write(const struct cpu *c, const uint8_t *host_page)
{
	return c->mmu && filter_has(c->mmu, host_page);
}

static void protect_entry(struct tlb *t, unsigned slot, const uint8_t *host_page)
{
	if (__atomic_load_n(&t->w[slot].host, __ATOMIC_RELAXED) == (uint64_t)host_page)
		__atomic_store_n(&t->w[slot].tag, TLB_EMPTY(slot), __ATOMIC_RELAXED);
}

/* c may be running on another thread: what it loses by a race it will fill again. */
static void protect_in(struct cpu *c, const uint8_t *host_page)
{
	unsigned place;

	if (!c->mmu || !filter_has(c->mmu, host_page))
		return;
	place = __atomic_load_n(&c->mmu->wplace[filter_bit((uint64_t)host_page)], __ATOMIC_RELAXED);
	if (place != MANY_PLACES)
		protect_entry(&c->tlb[place >> TLB_BITS], place & (TLB_SIZE - 1), host_page);
	else
		for (int idx = 0; idx < NMMU; idx++)
			for (unsigned s = 0; s < TLB_SIZE; s++)
				protect_entry(&c->tlb[idx], s, host_page);
	atomic_thread_fence(memory_order_seq_cst);	/* who fills a site looks the other way round */
	drop_write_sites(c);
}

void mmu_protect_ram_page(struct cpu *c, const uint8_t *host_page)
{
	struct cpu *o;

	protect_in(c, host_page);
	for (unsigned i = 0; c->ncpus > 1 && (o = phys_cpu(c->phys, i)); i++)
		if (o != c)
			protect_in(o, host_page);
}
void mmu_update_watch(struct cpu *c)
{
	struct mmu *m = c->mmu;
	int n = 0;

	for (int i = 0; i < 4; i++)
		if (c->dr[7] >> 2 * i & 3 && c->dr[7] >> (16 + 4 * i) & 1)
			m->watch[n++] = c->dr[i] & ~(PAGE - 1);
	m->nwatch = n;
	if (n)
		mmu_drop_sites(c);
	for (int i = 0; i < n; i++)
		for (int idx = 0; idx < NMMU; idx++) {
			unsigned s = TLB_SLOT(m->watch[i]);
			c->tlb[idx].r[s].tag = TLB_EMPTY(s);
			c->tlb[idx].w[s].tag = TLB_EMPTY(s);
		}
}
