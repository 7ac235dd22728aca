/*
 * Where blocks lie: pieces of code memory, each with its numbers of blocks and exits and its bytes of side tables,
 * which one vCPU fills from the front and nobody else adds to. One vCPU alone has a single piece of everything.
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
	return p->n_tbs < p->max_tbs && p->n_links + X64_MAX_LINKS < p->max_links &&
	       p->n_sides + X64_MAX_SWAPS + X64_MAX_SIDE * SIDE_BYTES < p->max_sides &&
	       (k->interp || (p->code.end - p->code.p > (intptr_t)(X64_ROOM + 4096) &&
			      p->cold.end - p->cold.p > (intptr_t)(X64_ROOM + 4096)));
}

static bool next_piece(struct tcg *t)
{
	struct code_cache *k = t->cache;

	tcg_lock(t);
	t->piece = NULL;
	if (k->n_pieces < k->max_pieces) {
		start(k, k->n_pieces);
		t->piece = &k->piece[k->n_pieces++];
	}
	tcg_unlock(t);
	return t->piece;
}

bool tcg_room(struct tcg *t)
{
	const struct code_cache *k = t->cache;

	if (k->n_vpages + 8 >= MAX_VPAGES || k->flush_wanted)
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
uint32_t tcg_tb_near(const struct tcg *t, uint64_t ret)
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
	n = k->granule[at >> GRANULE_BITS];
	for (n = n ? n : p->first; n <= last; n++)
		if (contains(&k->tbs[n], at, cold))
			return n;
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
