/*
 * Links between blocks, the lists of blocks on a RAM page, and taking a block
 * out of all of them. Light.
 */
#include "cpu/mmu.h"
#include "tcg/cache.h"

static void set_link(struct code_cache *k, const struct link *l, const uint8_t *target, uint16_t needs)
{
	struct x64_link x = link_exit(k, l);

	x64_set_link(&k->x, &x, target, needs);
}

void tcg_unlink(struct code_cache *k, uint32_t n)
{
	struct link *l = &k->links[n];

	if (l->to == NO_TB)
		return;
	if (l->prev)
		k->links[l->prev].next = l->next;
	else
		k->tbs[l->to].in = l->next;
	if (l->next)
		k->links[l->next].prev = l->prev;
	l->to = NO_TB;
	set_link(k, l, NULL, 0);
}

/* With the lock held. */
static void make_guard(struct tcg *t, struct tb *tb)
{
	struct code_cache *k = t->cache;
	uint8_t *at = tcg_new_guard(k), *end;

	if (!at)
		return;
	end = x64_make_guard(&k->x, at, ITLB_SLOT(tcg_linear(tb)), tcg_guard_id(t, tb, 0), (uint32_t)(tb - k->tbs),
			     tb_entry(k, tb));
	__atomic_store_n(&tb->guard_at, (uint32_t)(at - k->code_start), __ATOMIC_RELEASE);
	t->stats.host_bytes += (uint64_t)(end - at);
}

const uint8_t *tcg_guarded(struct tcg *t, struct tb *tb)
{
	struct code_cache *k = t->cache;
	uint32_t at;

	if (tb->guard)
		return tb_code(k, tb);
	at = __atomic_load_n(&tb->guard_at, __ATOMIC_ACQUIRE);
	if (!at) {
		tcg_lock(t);
		if (!tb->guard_at)
			make_guard(t, tb);
		at = tb->guard_at;
		tcg_unlock(t);
	}
	return at ? k->code_start + k->rx + at : NULL;
}

/*
 * From a block that several vCPUs may be in, no link leads to one that is thought to be its
 * maker's: the next one who takes such an exit finds the target, and makes it known for a
 * block of all.
 */
static void share(struct tcg *t, struct tb *tb)
{
	struct code_cache *k = t->cache;

	__atomic_store_n(&tb->shared, true, __ATOMIC_RELEASE);
	for (uint32_t n = tb->first_link; n < tb->first_link + tb->n_links; n++)
		if (k->links[n].to != NO_TB && !k->tbs[k->links[n].to].shared)
			tcg_unlink(k, n);
}

void tcg_meet(struct tcg *t, struct tb *tb)
{
	if (!tb->shared && tb->maker != t->number)
		share(t, tb);
}

bool tcg_stays(const struct code_cache *k, const struct link *l)
{
	const struct tb *from = &k->tbs[l->from];

	return PAGE_OF(link_rip(k, l) + from->cs_base) == PAGE_OF(from->rip + from->cs_base) && !l->far;
}

void tcg_link(struct tcg *t, uint32_t n, uint32_t to)
{
	struct code_cache *k = t->cache;
	struct link *l = &k->links[n];
	struct tb *from = &k->tbs[l->from], *tb = &k->tbs[to];
	bool sure = tcg_stays(k, l) && !tb_crosses(tb) && !tb->n_annexes;
	const uint8_t *target;

	if (from->dead || tb->dead || l->to != NO_TB)
		return;
	if (tb->needs & ~link_flags(l->live)) {	/* not what `from` was made for: make it anew */
		tcg_peek_was_wrong(t, from->ram);
		t->stats.mispeeks++;
		tcg_kill(t, l->from);
		return;
	}
	target = sure ? tb_entry(k, tb) : tcg_guarded(t, tb);
	if (!target)
		return;
	if (from->shared && !tb->shared)
		share(t, tb);
	l->to = to;
	l->prev = 0;
	l->next = tb->in;
	if (tb->in)
		k->links[tb->in].prev = n;
	tb->in = n;
	/* What is found instead if the guard fails may read flags that tb does not. */
	set_link(k, l, target, sure ? tb->needs : FL_ARITH);
}

struct code_page *tcg_code_page(const struct code_cache *k, uint64_t ram)
{
	uint64_t n = ram >> 12;
	struct code_page *l2 = n >> CP_BITS < CP_FANOUT ? __atomic_load_n(&k->cpages[n >> CP_BITS], __ATOMIC_ACQUIRE) : NULL;

	return l2 ? &l2[n & (CP_FANOUT - 1)] : NULL;
}

/* Bytes of the block on its first or second page: RAM address and count. */
static uint64_t part(const struct tb *tb, int which, uint64_t *n)
{
	uint64_t room = PAGE_SIZE - (tb->ram & (PAGE_SIZE - 1));

	if (which) {
		*n = tb->len - room;
		return tb_ram2(tb);
	}
	*n = tb->len < room ? tb->len : room;
	return tb->ram;
}

bool tcg_overlaps(const struct tb *tb, uint64_t ram, uint64_t n)
{
	for (int w = 0; w < (tb_crosses(tb) ? 2 : 1); w++) {
		uint64_t len, a = part(tb, w, &len);

		if (a < ram + n && ram < a + len)
			return true;
	}
	for (unsigned i = 1; i <= tb->n_annexes; i++)
		if (tcg_overlaps(tb + i, ram, n))
			return true;
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
	uint64_t a = tb->ram + (uint64_t)(int64_t)l->near, room = PAGE_SIZE - (a & (PAGE_SIZE - 1));

	*n = 0;
	if (link_flags(l->live) != FL_ARITH && PAGE_OF(a) == PAGE_OF(tb->ram))
		*n = room < PEEK_BYTES ? room : PEEK_BYTES;
	return a;
}

bool tcg_depends(struct code_cache *k, const struct tb *tb, uint64_t ram, uint64_t n)
{
	if (tcg_overlaps(tb, ram, n))
		return true;
	for (uint32_t i = 0; i < tb->n_links; i++) {
		uint64_t len, a = peeked(tb, &k->links[tb->first_link + i], &len);

		if (a < ram + n && ram < a + len)
			return true;
	}
	return false;
}

static uint64_t peeked_chunks(struct code_cache *k, const struct tb *tb)
{
	uint64_t chunks = 0;

	for (uint32_t i = 0; i < tb->n_links; i++) {
		uint64_t len, a = peeked(tb, &k->links[tb->first_link + i], &len);

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

void tcg_note_chunks(struct code_cache *k, struct tb *tb)
{
	uint64_t len, a = part(tb, 0, &len);

	tb->chunks = chunk_mask(a & (PAGE_SIZE - 1), len) | peeked_chunks(k, tb);
}

void tcg_enter_pages(struct tcg *t, uint32_t n)
{
	struct code_cache *k = t->cache;
	struct tb *tb = &k->tbs[n];

	for (int w = 0; w < (tb_crosses(tb) ? 2 : 1); w++) {
		struct code_page *cp = tcg_code_page(k, w ? tb_ram2(tb) : tb->ram);

		cp->idle = 0;
		__atomic_store_n(&cp->chunks, cp->chunks | tcg_chunks(tb, w), __ATOMIC_RELEASE);
		tcg_enter_page(t, n, w);
	}
}

void tcg_enter_hash(struct code_cache *k, uint32_t n)
{
	const struct tb *tb = &k->tbs[n];
	struct hash_key key = tcg_hash(tb->ram, tb->rip, tb->mode);

	k->hash_next[n] = k->hash[key.slot];
	__atomic_store_n(&k->hash[key.slot], n | key.tag, __ATOMIC_RELEASE);
}

void tcg_leave_hash(struct code_cache *k, uint32_t n)
{
	const struct tb *tb = &k->tbs[n];
	uint32_t *p = &k->hash[tcg_hash(tb->ram, tb->rip, tb->mode).slot];

	while (*p && hash_tb(*p) != n)
		p = &k->hash_next[hash_tb(*p)];
	if (*p)
		__atomic_store_n(p, k->hash_next[n], __ATOMIC_RELEASE);
}

/* vCPUs that may have come to the block: its maker, or all of them. */
static bool may_know(const struct tcg *u, const struct tb *tb)
{
	return tb->shared || tb->maker == u->number;
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
static void forget_ways(struct code_cache *k, const struct tb *tb)
{
	uint32_t s = jc_slot(tb->rip);

	while (tb->in)
		tcg_unlink(k, tb->in);
	for (unsigned i = 0; i < k->n_users; i++) {
		struct cpu *c = k->user[i]->cpu;

		if (!may_know(k->user[i], tb))
			continue;
		tcg_forget_fallbacks(c);
		if (tb->jc >= 0 && __atomic_load_n(&x64_env(c)->jc_tag[tb->jc][s], __ATOMIC_RELAXED) == tb->rip)
			__atomic_store_n(&x64_env(c)->jc_tag[tb->jc][s], JC_EMPTY(s), __ATOMIC_RELAXED);
	}
}

void tcg_prefer(struct code_cache *k, uint32_t head, uint32_t region)
{
	k->tbs[region].region = head;
	__atomic_store_n(&k->tbs[head].region, region, __ATOMIC_RELEASE);
	forget_ways(k, &k->tbs[head]);
}

/* Other vCPUs that may be in it are to come by their run loops. */
static void call_out(struct tcg *t, const struct tb *tb)
{
	for (unsigned i = 0; i < t->cache->n_users && (tb->shared || tb->maker != t->number); i++) {
		struct tcg *u = t->cache->user[i];

		if (u != t && may_know(u, tb) && atomic_load(&u->cpu->inside) &&
		    !(atomic_load_explicit(&u->cpu->request, memory_order_relaxed) & REQ_CALL))
			atomic_fetch_or(&u->cpu->request, REQ_CALL);
	}
}

static void drop_annex(struct tcg *t, uint32_t n)
{
	struct code_cache *k = t->cache;

	k->tbs[n].dead = true;
	tcg_count_live(k, n, false);
	tcg_leave_page(t, n, 0);
}

void tcg_kill(struct tcg *t, uint32_t n)
{
	struct code_cache *k = t->cache;
	struct tb *tb = &k->tbs[n];

	if (tb->dead)
		return;
	if (tb_is_annex(tb)) {
		tcg_kill(t, tb->region);
		return;
	}
	__atomic_store_n(&tb->dead, true, __ATOMIC_RELAXED);
	t->stats.killed++;
	tcg_count_live(k, n, false);
	tcg_leave_hash(k, n);
	tcg_leave_page(t, n, 0);
	if (tb_crosses(tb))
		tcg_leave_page(t, n, 1);
	for (unsigned i = 1; i <= tb->n_annexes; i++)
		drop_annex(t, n + i);
	if (k->smp)		/* who finds it yet is seen inside, and its jump cache, or sees that it is dead */
		atomic_thread_fence(memory_order_seq_cst);
	forget_ways(k, tb);
	for (uint32_t i = 0; i < tb->n_links; i++)
		tcg_unlink(k, tb->first_link + i);
	call_out(t, tb);
	if (!tb->region)
		return;
	__atomic_store_n(&k->tbs[tb->region].region, NO_TB, __ATOMIC_RELEASE);
	if (!(tb->mode & MODE_REGION))
		tcg_kill(t, tb->region);
}
