/*
 * Guest writes to translated bytes. Every RAM page with code has a bit for each
 * 64-byte chunk that was translated; a write elsewhere costs that bit test, a
 * write to such a chunk drops the blocks it overlaps. A page whose last block went
 * stays marked for some more stores: to mark it again costs more than they do, and
 * what is patched is mostly run again. Blocks that looked at the bytes to
 * see which flags are needed there go, too, and do not look again for a while. Light.
 *
 * Not modelled: a block that writes to what it looked at has already thrown those flags
 * away; if the new code needs them it finds old ones, once.
 */
#include "tcg/cache.h"

#define PATIENCE 64	/* stores to a page without blocks until its mark goes */

/* ---- who may look at the bytes of others ---- */

/* About milliseconds of the host. */
#define NOW()		((uint32_t)(__builtin_ia32_rdtsc() >> 22))
#define IN_A_ROW	64
#define BAN		1024u

bool tcg_may_peek(const struct tcg *t, uint64_t ram)
{
	const struct code_page *cp = tcg_code_page(t->cache, ram);
	const struct no_peek *p = &t->cache->no_peek[NO_PEEK_SLOT(ram)];

	return (cp && !cp->no_peek) || p->ram != ram || !p->until || (int32_t)(NOW() - p->until) >= 0;
}

/* Whoever else has the place is forgiven. */
static struct no_peek *take_place(struct tcg *t, uint64_t ram)
{
	struct code_page *cp = tcg_code_page(t->cache, ram);
	struct no_peek *p = &t->cache->no_peek[NO_PEEK_SLOT(ram)];

	if (cp)
		cp->no_peek = true;
	if (p->ram != ram)
		*p = (struct no_peek){ .ram = ram };
	return p;
}

void tcg_peek_was_wrong(struct tcg *t, uint64_t ram)
{
	take_place(t, ram)->until = (NOW() + BAN) | 1;	/* 0: never */
}

void tcg_peek_was_hit(struct tcg *t, uint64_t ram)
{
	struct no_peek *p = take_place(t, ram);
	uint32_t now = NOW();

	if (p->hit && (int32_t)(now - p->hit) < IN_A_ROW)
		tcg_peek_was_wrong(t, ram);
	p->hit = now | 1;
}

/* ---- writes ---- */

static void found_nothing(struct code_cache *k, struct code_page *cp, uint64_t page)
{
	if (cp->chunks || !cp->marked || ++cp->idle < PATIENCE)
		return;
	__atomic_store_n(&cp->marked, false, __ATOMIC_RELAXED);
	cp->idle = 0;
	if (k->smp) {		/* who begins to read it sees that, or is seen */
		atomic_thread_fence(memory_order_seq_cst);
		if (tcg_is_read(k, page)) {
			__atomic_store_n(&cp->marked, true, __ATOMIC_RELEASE);
			return;
		}
	}
	phys_clear_code(k->phys, cp->r, page - cp->r->id);
}

/* Of the blocks of one list drop those that depend on [ram, ram + n), in those chunks; the chunks of the others. */
static uint64_t drop_written(struct tcg *t, uint32_t first, uint64_t ram, uint64_t n, uint64_t hit)
{
	struct code_cache *k = t->cache;
	uint64_t left = 0;
	uint32_t i, next;

	for (i = first; i; i = next) {
		struct tb *tb = &k->tbs[i >> 1];
		uint64_t chunks = tcg_chunks(tb, i & 1);

		next = *tb_page_next(tb, i & 1);
		if (chunks & hit && tcg_depends(k, tb, ram, n)) {
			if (t->current == (tb_is_annex(tb) ? tb->region : i >> 1))
				t->stop = true;
			if (!tcg_overlaps(tb, ram, n))
				tcg_peek_was_hit(t, tb->ram);
			tcg_kill(t, i >> 1);
		} else {
			left |= chunks;
		}
	}
	return left;
}

static void smc_page(struct tcg *t, uint64_t ram, uint64_t n)
{
	struct code_cache *k = t->cache;
	uint64_t page = PAGE_OF(ram);
	struct code_page *cp = tcg_code_page(k, ram);
	uint64_t lo = (ram - page) >> 6, hi = (ram + n - 1 - page) >> 6;
	uint64_t hit = (~0ull << lo) & (~0ull >> (63 - hi)), left = 0;
	uint32_t v;

	if (!cp)
		return;
	if (k->smp)
		tcg_spoil(k, page, hit);
	if (!(cp->chunks & hit)) {
		found_nothing(k, cp, page);
		return;
	}
	for (v = cp->vpages; v; v = k->vpages[v].of_ram)
		left |= drop_written(t, k->vpages[v].tbs, ram, n, hit);
	left |= drop_written(t, k->vpages[0].tbs, ram, n, hit);
	__atomic_store_n(&cp->chunks, left, __ATOMIC_RELEASE);
}

void tcg_smc(struct tcg *t, uint64_t ram, uint64_t n)
{
	while (n) {
		uint64_t room = PAGE_SIZE - (ram & (PAGE_SIZE - 1));
		uint64_t m = n < room ? n : room;

		smc_page(t, ram, m);
		ram += m;
		n -= m;
	}
}

void tcg_code_written(struct cpu *c, uint64_t pa, int n)
{
	struct tcg *t = tcg_of(c);
	struct phys_page pp;

	phys_lookup(c->phys, PAGE_OF(pa), &pp);
	if (!pp.ram)
		return;
	tcg_lock(t);
	tcg_smc(t, pp.ram->id + pp.ram_off + (pa & (PAGE_SIZE - 1)), (uint64_t)n);
	tcg_unlock(t);
}
