/*
 * Stores to code while it is being translated. Whoever stores drops what was made from the
 * old bytes, and no store may slip through while a translation comes about:
 *
 *   reader (the translator)				writer
 *   says which page it reads				says where it stores
 *   sets the page's code bit				fence
 *   takes the page out of all TLBs			is this page read, or code of these bytes there?
 *   fence: who stores there?				then, with the lock: spoils what is read, drops what is there
 *   reads; translates					stores
 *   with the lock: enters the block unless it is spoilt
 *
 * So either the writer sees the reader, who begins again; or the reader sees
 * the writer, whose store may come before or after its reads. It may also be under way if
 * it has found its page in the TLB before the page was taken out. Then the page is a *suspect*: the
 * reader keeps a copy from before, and until all such writers have been in their run loops whoever
 * serializes (SDM vol. 3A, 8.1.3 and 8.3), and everybody in its run loop, drops the blocks whose
 * bytes differ from the copy.
 *
 * Light.
 */
#include "cpu/mmu.h"
#include "tcg/cache.h"

/* ---- the reader ---- */

static void copy_words(uint8_t *to, const uint8_t *from, unsigned n)
{
	for (unsigned i = 0; i < n; i += 8)
		st64(to + i, ld64(from + i));
}

/* May a store of u's to that page be under way? If the page is fresh its code bit has just been set. */
static bool may_store(const struct tcg *u, uint64_t page, const uint8_t *host, bool fresh)
{
	return atomic_load(&u->cpu->inside) &&
	       (atomic_load(&u->seat->storing) == page || (fresh && mmu_may_write(u->cpu, host)));
}

static struct suspect *new_suspect(struct code_cache *k, uint64_t page, const uint8_t *host)
{
	struct suspect *s = &k->suspects[k->n_suspects];

	if (k->n_suspects == SUSPECTS)
		return NULL;
	s->ram = page;
	s->host = host;
	for (unsigned i = 0; i < TCG_USERS; i++)
		s->grace.waits[i] = false;
	return s;
}

/* Remember the page as it is, and ask those who may write to it to come through their run loops. False: no room. */
static bool look_for_writers(struct tcg *t, uint64_t page, const uint8_t *host, bool fresh)
{
	struct code_cache *k = t->cache;
	struct suspect *s = NULL;

	for (unsigned i = 0; i < k->n_users; i++) {
		struct tcg *u = k->user[i];

		if (u == t || !may_store(u, page, host, fresh))
			continue;
		if (!s && !(s = new_suspect(k, page, host)))
			return false;
		tcg_wait_for(&s->grace, u);
	}
	if (!s)
		return true;
	copy_words(s->copy, host, PAGE_SIZE);
	k->n_suspects++;
	return true;
}

bool tcg_may_read(const struct tcg *t)
{
	return t->cache->n_suspects + 4 <= SUSPECTS;
}

/* Has another vCPU's last store to a page with code gone there? */
static bool is_stored_to(const struct tcg *t, uint64_t page)
{
	const struct code_cache *k = t->cache;

	for (unsigned i = 0; i < k->n_seats; i++)
		if (&k->seat[i] != t->seat && atomic_load(&k->seat[i].storing) == page)
			return true;
	return false;
}

/* With the lock held. Others take the mark for a page that no TLB has, and whose writers are known. */
static void mark(struct tcg *t, int which, struct code_page *cp, struct ram *r, uint64_t page)
{
	bool fresh = !cp->marked;
	uint8_t *host = r->host + (page - r->id);

	if (fresh) {
		cp->idle = 0;
		cp->r = r;
		phys_set_code(t->cache->phys, r, page - r->id);
		mmu_protect_ram_page(t->cpu, host);
	}
	if (t->cache->smp) {
		atomic_thread_fence(memory_order_seq_cst);
		if (!look_for_writers(t, page, host, fresh)) {
			__atomic_store_n(&t->seat->spoilt[which], ~0ull, __ATOMIC_RELAXED);
			return;
		}
	}
	if (fresh)
		__atomic_store_n(&cp->marked, true, __ATOMIC_RELEASE);
}

void tcg_begin_read(struct tcg *t, int which, struct ram *r, uint64_t ram)
{
	struct code_page *cp = tcg_code_page(t->cache, ram);
	uint64_t page = PAGE_OF(ram);

	__atomic_store_n(&t->seat->spoilt[which], 0, __ATOMIC_RELAXED);
	atomic_store_explicit(&t->seat->reading[which], page, memory_order_relaxed);
	if (t->cache->smp)
		atomic_thread_fence(memory_order_seq_cst);
	if (__atomic_load_n(&cp->marked, __ATOMIC_ACQUIRE) && !(t->cache->smp && is_stored_to(t, page)))
		return;
	tcg_lock(t);
	mark(t, which, cp, r, page);
	tcg_unlock(t);
}

void tcg_end_read(struct tcg *t)
{
	for (int i = 0; i < 2; i++)
		atomic_store_explicit(&t->seat->reading[i], NOWHERE, memory_order_release);
}

bool tcg_is_spoilt(const struct tcg *t, const struct tb *tb)
{
	const struct seat *s = t->seat;

	return __atomic_load_n(&s->spoilt[0], __ATOMIC_RELAXED) & tb->chunks ||
	       (tb_crosses(tb) && __atomic_load_n(&s->spoilt[1], __ATOMIC_RELAXED) & tcg_chunks(tb, 1));
}

void tcg_wait_for(struct grace *g, struct tcg *u)
{
	g->waits[u->number - 1] = true;
	g->rounds[u->number - 1] = atomic_load(&u->rounds);
	atomic_fetch_or(&u->cpu->request, REQ_CALL);
}

bool tcg_has_passed(const struct code_cache *k, const struct grace *g)
{
	for (unsigned i = 0; i < k->n_users; i++) {
		const struct tcg *u = k->user[i];

		if (g->waits[u->number - 1] && atomic_load(&u->cpu->inside) &&
		    atomic_load(&u->rounds) == g->rounds[u->number - 1])
			return false;
	}
	return true;
}

void tcg_stop_waiting(const struct tcg *t)
{
	struct code_cache *k = t->cache;

	for (unsigned i = 0; i < k->n_suspects; i++)
		k->suspects[i].grace.waits[t->number - 1] = false;
	k->leaving.waits[t->number - 1] = false;
	t->seat->storing = NOWHERE;
}

static void compare(struct tcg *t, struct suspect *s)
{
	for (unsigned at = 0; at < PAGE_SIZE; at += 64) {
		uint64_t differ = 0;

		for (unsigned i = 0; i < 64; i += 8)
			differ |= ld64(s->copy + at + i) ^ ld64(s->host + at + i);
		if (!differ)
			continue;
		copy_words(s->copy + at, s->host + at, 64);
		tcg_smc(t, s->ram + at, 64);
		atomic_fetch_or(&t->cpu->request, REQ_CALL);	/* it may be in one of them itself */
	}
}

void tcg_recheck(struct tcg *t)
{
	struct code_cache *k = t->cache;
	unsigned n = 0;

	for (unsigned i = 0; i < k->n_suspects; i++) {
		bool cleared = tcg_has_passed(k, &k->suspects[i].grace);

		compare(t, &k->suspects[i]);
		if (cleared)
			continue;
		if (n != i)
			copy_words((uint8_t *)&k->suspects[n], (const uint8_t *)&k->suspects[i], sizeof(struct suspect));
		n++;
	}
	k->n_suspects = n;
}

/* ---- the writer ---- */

static uint64_t chunks_hit(uint64_t off, uint64_t n)
{
	uint64_t lo = (off & (PAGE_SIZE - 1)) >> 6, hi = ((off & (PAGE_SIZE - 1)) + n - 1) >> 6;

	return (~0ull << lo) & (hi < 63 ? ~0ull >> (63 - hi) : ~0ull);
}

bool tcg_is_read(const struct code_cache *k, uint64_t page)
{
	for (unsigned i = 0; i < k->n_seats; i++)
		for (int w = 0; w < 2; w++)
			if (atomic_load_explicit(&k->seat[i].reading[w], memory_order_acquire) == page)
				return true;
	return false;
}

void tcg_spoil(struct code_cache *k, uint64_t page, uint64_t chunks)
{
	for (unsigned i = 0; i < k->n_seats; i++)
		for (int w = 0; w < 2; w++)
			if (atomic_load_explicit(&k->seat[i].reading[w], memory_order_acquire) == page)
				__atomic_fetch_or(&k->seat[i].spoilt[w], chunks, __ATOMIC_RELAXED);
}

bool tcg_will_store(struct tcg *t, uint64_t ram, uint64_t n)
{
	const struct code_cache *k = t->cache;
	const struct code_page *cp = tcg_code_page(k, ram);
	uint64_t chunks;

	if (k->smp) {
		atomic_store(&t->seat->storing, PAGE_OF(ram));
		if (tcg_is_read(k, PAGE_OF(ram)))
			return true;
	}
	chunks = cp ? __atomic_load_n(&cp->chunks, __ATOMIC_ACQUIRE) : 0;
	return !chunks || chunks & chunks_hit(ram, n);	/* without any the page's mark is to go in the end */
}

/* ---- locked accesses that the host cannot make ---- */

void tcg_alone(struct cpu *c)
{
	struct tcg *t = tcg_of(c);

	if (t->alone)
		return;
	t->alone_next = t->single_next = true;
	c->exc_vector = -1;
	c->unwind(c);
}
