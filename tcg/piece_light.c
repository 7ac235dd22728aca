/*
 * Where blocks lie: pieces of code memory, each with its numbers of blocks and exits and its bytes of side tables,
 * which one vCPU fills from the front and nobody else adds to. One vCPU alone has a single piece of everything.
 *
 * A full piece whose blocks have all been dropped is used again once all vCPUs have been in their run loops, where nobody is in
 * a block or knows one. Where few are left, as where code is made and patched all the time, or where pieces get
 * scarce, those are dropped, too: they are made anew when somebody comes to them.
 *
 * And which block an address lies in. Light.
 */
#include "tcg/cache.h"

/* Its share of everything; nothing in it yet. */
static void start(struct code_cache *k, uint32_t n)
{
	struct piece *p = &k->piece[n];
	uint32_t tbs = k->piece_tbs, links = MAX_LINKS / k->max_pieces, sides = MAX_SIDE / k->max_pieces;
	uint8_t *code;

	if (!k->interp) {
		code = k->code_start + n * k->piece_code;
		p->code = (struct code){ .p = n ? code : k->blocks_start, .end = code + k->piece_code, .rx = k->rx };
		code += k->cold_from;
		p->cold = (struct code){ .p = code, .end = code + k->piece_code, .rx = k->rx };
		p->code_ready = p->code.p;
		p->cold_ready = p->cold.p;
	}
	p->full = false;
	p->n_live = 0;
	p->first = n ? n * tbs : 1;
	p->n_tbs = p->first - 1;
	p->max_tbs = (n + 1) * tbs - 1;
	p->n_links = n * links;
	p->max_links = (n + 1) * links - 1;
	p->n_sides = n * sides;
	p->max_sides = (n + 1) * sides;
}

static bool fits(const struct code_cache *k, const struct piece *p)
{
	return p->n_tbs + (k->smp ? 0 : FRONT_CALLEES) < p->max_tbs && p->n_links + X64_MAX_LINKS < p->max_links &&
	       p->n_sides + X64_MAX_SWAPS + X64_MAX_SIDE * SIDE_BYTES + 1 + 2 * MAX_MOVES < p->max_sides &&
	       (k->interp || (p->code.end - p->code.p > (intptr_t)(X64_ROOM + 4096) &&
			      p->cold.end - p->cold.p > (intptr_t)(X64_ROOM + 4096)));
}

/* ---- pieces that are used again ---- */

#define SPARSE	16	/* of so many blocks of a piece one is left: better none */
#define SCARCE	16	/* of so many pieces one can be taken: some have to go */

static void push(struct code_cache *k, uint32_t *list, struct piece *p)
{
	p->next = *list;
	*list = (uint32_t)(p - k->piece) + 1;
}

static struct piece *pop(struct code_cache *k, uint32_t *list)
{
	struct piece *p = *list ? &k->piece[*list - 1] : NULL;

	if (p)
		*list = p->next;
	return p;
}

/* Nobody is in it or knows it any more. But exits that led to a run loop are remembered across some rounds. */
static void recycle(struct code_cache *k, struct piece *p)
{
	for (uint32_t n = p->first; n <= p->n_tbs; n++) {
		if (k->interp)
			tcg_drop_ir(k, n);
		else
			tcg_free_guard(k, &k->tbs[n]);
	}
	for (unsigned u = 0; u < k->n_users; u++) {
		uint32_t exit = __atomic_load_n(&k->user[u]->last_exit, __ATOMIC_RELAXED);

		if (exit / (MAX_LINKS / k->max_pieces) == (uint32_t)(p - k->piece))
			__atomic_compare_exchange_n(&k->user[u]->last_exit, &exit, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&p->n_tbs, p->first - 1, __ATOMIC_RELEASE);
	push(k, &k->free_pieces, p);
}

/* Those whose time has passed can be used, and that of the next ones begins. */
static void collect(struct code_cache *k)
{
	struct piece *p;

	if (k->leaving_pieces && !tcg_has_passed(k, &k->leaving))
		return;
	while ((p = pop(k, &k->leaving_pieces)))
		recycle(k, p);
	if (!k->dropped_pieces)
		return;
	k->leaving_pieces = k->dropped_pieces;
	k->dropped_pieces = 0;
	atomic_thread_fence(memory_order_seq_cst);	/* who comes inside from now on finds none of them */
	for (unsigned u = 0; u < k->n_users; u++) {
		k->leaving.waits[k->user[u]->number - 1] = false;
		if (atomic_load(&k->user[u]->cpu->inside))
			tcg_wait_for(&k->leaving, k->user[u]);
	}
}

void tcg_count_live(struct code_cache *k, uint32_t n, bool lives)
{
	struct piece *p = &k->piece[n / k->piece_tbs];

	p->n_live += lives ? 1 : -1u;
	if (p->full && !p->n_live)
		push(k, &k->dropped_pieces, p);
}

void tcg_leave_piece(struct tcg *t)
{
	struct piece *p = t->piece;

	t->piece = NULL;
	if (!p)
		return;
	p->full = true;
	if (!p->n_live)
		push(t->cache, &t->cache->dropped_pieces, p);
}

static bool can_go(const struct piece *p) { return p->full && p->n_live; }

/* The full piece with the fewest blocks. */
static struct piece *emptiest(struct code_cache *k)
{
	struct piece *best = NULL;

	for (uint32_t i = 0; i < k->n_pieces; i++) {
		struct piece *p = &k->piece[i];

		if (can_go(p) && (!best || p->n_live < best->n_live))
			best = p;
	}
	return best;
}

/* The next full piece in turn: what programs have left that are gone is complete, and would stay for ever if others went first. */
static struct piece *next_full(struct code_cache *k)
{
	for (uint32_t i = 0; i < k->n_pieces; i++) {
		struct piece *p = &k->piece[k->hand++ % k->n_pieces];

		if (can_go(p))
			return p;
	}
	return NULL;
}

static uint32_t length(const struct code_cache *k, uint32_t list)
{
	uint32_t n = 0;

	for (; list; list = k->piece[list - 1].next)
		n++;
	return n;
}

/* Are there few that can be taken, now or soon? */
static bool are_scarce(const struct code_cache *k)
{
	return k->max_pieces - k->n_pieces + length(k, k->free_pieces) + length(k, k->dropped_pieces) +
	       length(k, k->leaving_pieces) <= k->max_pieces / SCARCE;
}

/* Make room in time. */
static void evict(struct tcg *t)
{
	struct code_cache *k = t->cache;
	struct piece *p = emptiest(k);

	if (p && p->n_live > k->piece_tbs / SPARSE)
		p = are_scarce(k) ? next_full(k) : NULL;
	if (!p)
		return;
	for (uint32_t n = p->first; n <= p->n_tbs; n++)
		tcg_kill(t, n);
}

static struct piece *unused(struct code_cache *k)
{
	struct piece *p = pop(k, &k->free_pieces);

	if (!p && k->n_pieces < k->max_pieces)
		p = &k->piece[k->n_pieces++];
	if (p)
		start(k, (uint32_t)(p - k->piece));
	return p;
}

static bool next_piece(struct tcg *t)
{
	struct code_cache *k = t->cache;

	tcg_lock(t);
	tcg_leave_piece(t);
	if (k->smp) {
		evict(t);
		collect(k);
	}
	t->piece = unused(k);
	t->must_flush = !t->piece && !k->leaving_pieces;
	tcg_unlock(t);
	return t->piece;
}

bool tcg_room(struct tcg *t)
{
	const struct code_cache *k = t->cache;

	t->must_flush = k->n_vpages + 8 >= MAX_VPAGES || k->flush_wanted;
	if (t->must_flush)
		return false;
	return (t->piece && fits(k, t->piece)) || (next_piece(t) && fits(k, t->piece));
}

/* The block was its piece's last. */
void tcg_give_back(struct tcg *t, struct tb *tb)
{
	struct piece *p = t->piece;

	if (t->interp) {
		tcg_drop_ir(t->cache, (uint32_t)(tb - t->cache->tbs));
		return;
	}
	p->n_links = tb->first_link - 1;
	p->n_sides = tb->side - tb->n_swaps;
	p->code.p = t->cache->code_start + tb->code_at;
	p->cold.p = t->cache->code_start + tb->cold_at;
	tcg_free_guard(t->cache, tb);
}

static bool is_back(const struct tcg *t, const struct tb *tb, bool live)
{
	return tcg_is_dead(tb) && !tb->shared && tb->maker == t->number && !(live && tb->calls);
}

void tcg_take_back(struct tcg *t, bool live)
{
	struct code_cache *k = t->cache;
	struct piece *p = t->piece;

	if (!p || p->n_tbs < p->first || !tcg_is_dead(&k->tbs[p->n_tbs]))
		return;
	tcg_lock(t);			/* whoever drops it is through with it */
	for (; p->n_tbs >= p->first && is_back(t, &k->tbs[p->n_tbs], live); p->n_tbs--)
		tcg_give_back(t, &k->tbs[p->n_tbs]);
	tcg_unlock(t);
	if (t->last_exit > p->n_links && t->last_exit <= p->max_links)
		t->last_exit = 0;
}

uint32_t tcg_next_tb(const struct code_cache *k, uint32_t n)
{
	n++;
	for (uint32_t i = n / k->piece_tbs; i < k->n_pieces; i++) {
		if (n < k->piece[i].first)
			n = k->piece[i].first;
		if (n <= k->piece[i].n_tbs)
			return n;
	}
	return NO_TB;
}

/* ---- addresses ---- */

void tcg_take(struct code_cache *k, uint32_t n, uint8_t **p, uint8_t *end)
{
	size_t unit = (size_t)1 << GRANULE_BITS;

	for (size_t at = align_up((size_t)(*p - k->code_start), unit); at < (size_t)(end - k->code_start); at += unit)
		k->granule[at >> GRANULE_BITS] = n;
	*p = end;
}

/* at: from the start of code memory. */
static bool contains(const struct tb *tb, size_t at, bool cold)
{
	return cold ? at - tb->cold_at < tb->cold_size : at - tb->code_at < tb->size;
}

/*
 * In another vCPU's piece blocks behind the one that is looked for may go and come meanwhile, but none
 * in front of it, and it is found before those are looked at.
 */
uint32_t tcg_tb_near(struct tcg *t, uint64_t ret)
{
	const struct code_cache *k = t->cache;
	size_t at = (size_t)(ret - 1 - (uintptr_t)k->code_start - (uintptr_t)k->rx);
	bool cold = at >= k->cold_from;
	const struct piece *p = &k->piece[(cold ? at - k->cold_from : at) / k->piece_code];
	uint32_t n, last;

	if (at >= 2 * k->cold_from || p >= &k->piece[k->n_pieces])
		return NO_TB;
	last = __atomic_load_n(&p->n_tbs, __ATOMIC_ACQUIRE);
	if (p == t->piece && last >= p->first && contains(&k->tbs[last], at, cold))
		return last;		/* code that is new leads to code that is new */
	n = t->near;
	if (!k->smp && n >= p->first && n <= last && contains(&k->tbs[n], at, cold))
		return n;
	n = k->granule[at >> GRANULE_BITS];
	for (n = n ? n : p->first; n <= last; n++)
		if (contains(&k->tbs[n], at, cold))
			return t->near = n;
	return NO_TB;
}

const struct tb *tcg_tb_at(struct tcg *t, uint64_t ret, struct x64_side *side)
{
	const struct code_cache *k = t->cache;
	size_t at = (size_t)(ret - 1 - (uintptr_t)k->code_start - (uintptr_t)k->rx);
	const uint8_t *p;
	uint32_t n = tcg_tb_near(t, ret);
	const struct tb *tb = &k->tbs[n];
	bool cold;

	if (n == NO_TB)
		return NULL;
	cold = contains(tb, at, true);
	p = k->sides + tb->side;
	*side = tcg_side_find(p + (cold ? tb->n_hot_side : 0), p + (cold ? tb->n_side : tb->n_hot_side),
			      (uint32_t)at - (cold ? tb->cold_at : tb->code_at), tb->mode & MODE_COUNT);
	return tb;
}

/* ---- guards that are made later ---- */

/* Few blocks need one, so they have memory of their own; those that are free are a list by their first words. */
uint8_t *tcg_new_guard(struct code_cache *k)
{
	uint8_t *at = k->free_guard;

	if (at) {
		k->free_guard = ld32(at) ? k->code_start + ld32(at) : NULL;
		return at;
	}
	if (k->next_guard == k->code_start + k->code_size) {
		k->flush_wanted = true;
		return NULL;
	}
	at = k->next_guard;
	k->next_guard += X64_GUARD_ROOM;
	return at;
}

void tcg_free_guard(struct code_cache *k, struct tb *tb)
{
	uint8_t *at = k->code_start + tb->guard_at;

	if (tb->guard || !tb->guard_at)
		return;
	st32(at, k->free_guard ? (uint32_t)(k->free_guard - k->code_start) : 0);
	k->free_guard = at;
	tb->guard_at = 0;
}
