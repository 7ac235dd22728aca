/*
 * Links between blocks, the lists of blocks on a RAM page, and taking a block
 * out of all of them. Light.
 */
#include "cpu/mmu.h"
#include "tcg/cache.h"

static void unlink_one(struct tcg *t, uint32_t n)
{
	struct link *l = &t->cache->links[n];

	if (l->to == NO_TB)
		return;
	if (l->prev)
		t->cache->links[l->prev].next = l->next;
	else
		t->cache->tbs[l->to].in = l->next;
	if (l->next)
		t->cache->links[l->next].prev = l->prev;
	l->to = NO_TB;
	x64_set_link(&t->cache->x, &l->x, NULL, 0);
}

const uint8_t *tcg_guarded(struct tcg *t, struct tb *tb)
{
	uint8_t *at = t->cache->cold.p, *end;

	if (tb->guard)
		return tb->code;
	if (!tb->guard_at) {
		if (t->cache->cold.end - at < X64_GUARD_ROOM) {
			t->cache->flush_wanted = true;
			return NULL;
		}
		end = x64_make_guard(&t->cache->x, at, ITLB_SLOT(tcg_linear(tb)), tcg_guard_id(t, tb, 0),
				     (uint32_t)(tb - t->cache->tbs), tb_entry(tb));
		tb->guard_at = (uint32_t)(at - t->cache->code_start);
		tcg_take(t, t->cache->n_tbs, &t->cache->cold.p, end);
		t->cache->cold_kept = end;
		t->stats.host_bytes += (uint64_t)(end - at);
	}
	return t->cache->code_start + t->cache->code.rx + tb->guard_at;
}

bool tcg_stays(const struct tcg *t, const struct link *l)
{
	const struct tb *from = &t->cache->tbs[l->from];

	return PAGE_OF(l->x.rip + from->cs_base) == PAGE_OF(from->rip + from->cs_base) && !l->x.far;
}

void tcg_link(struct tcg *t, uint32_t n, uint32_t to)
{
	struct link *l = &t->cache->links[n];
	struct tb *from = &t->cache->tbs[l->from], *tb = &t->cache->tbs[to];
	bool sure = tcg_stays(t, l) && tb->ram2 == ~0ull;
	const uint8_t *target;

	if (from->dead || tb->dead || !tb->code || l->to != NO_TB)
		return;
	if (tb->needs & ~l->x.live) {	/* not what `from` was made for: make it anew */
		tcg_peek_was_wrong(t, from->ram);
		t->stats.mispeeks++;
		tcg_kill(t, l->from);
		return;
	}
	target = sure ? tb_entry(tb) : tcg_guarded(t, tb);
	if (!target)
		return;
	l->to = to;
	l->prev = 0;
	l->next = tb->in;
	if (tb->in)
		t->cache->links[tb->in].prev = n;
	tb->in = n;
	/* What is found instead if the guard fails may read flags that tb does not. */
	x64_set_link(&t->cache->x, &l->x, target, sure ? tb->needs : FL_ARITH);
}

struct code_page *tcg_code_page(struct tcg *t, uint64_t ram)
{
	uint64_t n = ram >> 12;
	struct code_page *l2 = n >> CP_BITS < CP_FANOUT ? t->cache->cpages[n >> CP_BITS] : NULL;

	return l2 ? &l2[n & (CP_FANOUT - 1)] : NULL;
}

/* Bytes of the block on its first or second page: RAM address and count. */
static uint64_t part(const struct tb *tb, int which, uint64_t *n)
{
	uint64_t room = PAGE_SIZE - (tb->ram & (PAGE_SIZE - 1));

	if (which) {
		*n = tb->len - room;
		return tb->ram2;
	}
	*n = tb->len < room ? tb->len : room;
	return tb->ram;
}

bool tcg_overlaps(const struct tb *tb, uint64_t ram, uint64_t n)
{
	for (int w = 0; w < (tb->ram2 == ~0ull ? 1 : 2); w++) {
		uint64_t len, a = part(tb, w, &len);

		if (a < ram + n && ram < a + len)
			return true;
	}
	return false;
}

static uint64_t chunk_mask(uint64_t off, uint64_t n)
{
	uint64_t lo = off >> 6, hi = (off + n - 1) >> 6;

	return (~0ull << lo) & (~0ull >> (63 - hi));
}

/* Bytes at an exit's target that were looked at: RAM address, or 0 bytes. */
static uint64_t peeked(const struct tb *tb, const struct link *l, uint64_t *n)
{
	uint64_t a = tb->ram + (l->x.rip - tb->rip), room = PAGE_SIZE - (a & (PAGE_SIZE - 1));

	*n = 0;
	if (l->x.live != FL_ARITH && PAGE_OF(a) == PAGE_OF(tb->ram))
		*n = room < PEEK_BYTES ? room : PEEK_BYTES;
	return a;
}

bool tcg_depends(struct tcg *t, const struct tb *tb, uint64_t ram, uint64_t n)
{
	if (tcg_overlaps(tb, ram, n))
		return true;
	for (uint32_t i = 0; i < tb->n_links; i++) {
		uint64_t len, a = peeked(tb, &t->cache->links[tb->first_link + i], &len);

		if (a < ram + n && ram < a + len)
			return true;
	}
	return false;
}

static uint64_t peeked_chunks(struct tcg *t, const struct tb *tb)
{
	uint64_t chunks = 0;

	for (uint32_t i = 0; i < tb->n_links; i++) {
		uint64_t len, a = peeked(tb, &t->cache->links[tb->first_link + i], &len);

		if (len)
			chunks |= chunk_mask(a & (PAGE_SIZE - 1), len);
	}
	return chunks;
}

uint64_t tcg_chunks(const struct tb *tb, int second)
{
	uint64_t len, a;

	if (!second)
		return tb->chunks;
	a = part(tb, 1, &len);
	return chunk_mask(a & (PAGE_SIZE - 1), len);
}

void tcg_enter_pages(struct tcg *t, uint32_t n)
{
	struct tb *tb = &t->cache->tbs[n];
	uint64_t len, a = part(tb, 0, &len);

	tb->chunks = chunk_mask(a & (PAGE_SIZE - 1), len) | peeked_chunks(t, tb);
	for (int w = 0; w < (tb->ram2 == ~0ull ? 1 : 2); w++) {
		a = part(tb, w, &len);
		struct code_page *cp = tcg_code_page(t, a);

		cp->idle = 0;
		__atomic_store_n(&cp->chunks, cp->chunks | tcg_chunks(tb, w), __ATOMIC_RELEASE);
		tb->page_next[w] = cp->tbs;
		cp->tbs = n << 1 | (uint32_t)w;
	}
}

static void leave_page(struct tcg *t, uint32_t n, int w)
{
	struct tb *tb = &t->cache->tbs[n];
	uint64_t len, a = part(tb, w, &len);
	struct code_page *cp = tcg_code_page(t, a);
	uint32_t *p = &cp->tbs;

	while (*p != (n << 1 | (uint32_t)w))
		p = &t->cache->tbs[*p >> 1].page_next[*p & 1];
	*p = tb->page_next[w];
}

static void leave_hash(struct tcg *t, uint32_t n)
{
	const struct tb *tb = &t->cache->tbs[n];
	uint32_t *p = &t->cache->hash[tcg_hash(tb->ram, tb->rip, tb->mode).slot];

	while (*p && hash_tb(*p) != n)
		p = &t->cache->hash_next[hash_tb(*p)];
	if (*p)
		*p = t->cache->hash_next[n];
}

void tcg_forget_fallbacks(struct cpu *c)
{
	struct x64_env *env = x64_env(c);

	env->fallback_ret = 0;
	for (unsigned i = 0; env->n_fallbacks && i < ARRAY_LEN(env->fallback_at); i++)
		env->fallback_at[i] = 0;
	env->n_fallbacks = 0;
}

/* Nobody jumps to it from now on without asking. */
static void forget_ways(struct tcg *t, const struct tb *tb)
{
	struct x64_env *env = x64_env(t->cpu);
	uint32_t s = jc_slot(tb->rip);

	tcg_forget_fallbacks(t->cpu);
	while (tb->in)
		unlink_one(t, tb->in);
	if (tb->jc >= 0 && env->jc_tag[tb->jc][s] == tb->rip)
		env->jc_tag[tb->jc][s] = JC_EMPTY(s);
}

void tcg_prefer(struct tcg *t, uint32_t head, uint32_t region)
{
	t->cache->tbs[head].region = region;
	t->cache->tbs[region].region = head;
	forget_ways(t, &t->cache->tbs[head]);
}

void tcg_kill(struct tcg *t, uint32_t n)
{
	struct tb *tb = &t->cache->tbs[n];

	if (tb->dead)
		return;
	tb->dead = true;
	t->stats.killed++;
	leave_hash(t, n);
	leave_page(t, n, 0);
	if (tb->ram2 != ~0ull)
		leave_page(t, n, 1);
	forget_ways(t, tb);
	for (uint32_t i = 0; i < tb->n_links; i++)
		unlink_one(t, tb->first_link + i);
	if (!tb->region)
		return;
	t->cache->tbs[tb->region].region = NO_TB;
	if (!(tb->mode & MODE_REGION))
		tcg_kill(t, tb->region);
}
