/*
 * Blocks of a page that has come to another linear address (vpage_light.c). Light.
 *
 * In code of a block that moves RIP stands in eight-byte constants only, and in places of entries of the TLB that follow
 * from them (x64_block.move): they are rewritten where they are. Jumps inside the page stay linked; others are to be
 * found again, as nobody knows whether their targets have moved as far. What cannot move is dropped.
 *
 * Who returns into a block that has moved compares with constants that have moved, too.
 */
#include "tcg/cache.h"

bool tcg_may_move(uint64_t va)
{
	return va - X64_MOVES_FROM < X64_MOVES_TO - X64_MOVES_FROM;
}

static bool on_page(const struct tb *tb, uint64_t rip)
{
	return PAGE_OF(tb->rip) == PAGE_OF(rip);
}

static void cut_links(struct code_cache *k, const struct tb *tb)
{
	uint32_t n, next;

	for (n = tb->first_link; n < tb->first_link + tb->n_links; n++)
		if (!on_page(tb, link_rip(k, &k->links[n])))
			tcg_unlink(k, n);
	for (n = tb->in; n; n = next) {
		next = k->links[n].next;
		if (!on_page(tb, tb->rip - (uint64_t)(int64_t)k->links[n].near))
			tcg_unlink(k, n);
	}
}

static void forget_jump(struct tcg *t, const struct tb *tb)
{
	uint32_t s = jc_slot(tb->rip);
	uint64_t *tag;

	if (tb->jc < 0)
		return;
	tag = &x64_env(t->cpu)->jc_tag[tb->jc][s];
	if (*tag == tb->rip)
		*tag = JC_EMPTY(s);
}

static void move(struct tcg *t, uint32_t n, uint64_t by)
{
	struct code_cache *k = t->cache;
	struct tb *tb = &k->tbs[n];
	uint32_t guard = tb->guard ? tb->code_at : tb->guard_at;

	tcg_leave_hash(k, n);
	forget_jump(t, tb);
	tb->rip += by;
	tcg_enter_hash(k, n);
	x64_move(k->code_start + tb->code_at, k->code_start + tb->cold_at, k->sides + tb->side + tb->n_side, by);
	if (guard)
		x64_move_guard(k->code_start + guard, ITLB_SLOT(tb->rip));
	if (k->links[t->last_exit].from == n)
		t->last_exit = 0;
	t->stats.moves++;
}

void tcg_move(struct tcg *t, uint32_t vpage, uint64_t by)
{
	struct code_cache *k = t->cache;
	const uint32_t *first = &k->vpages[vpage].tbs;
	uint32_t i, next;

	for (i = *first; i; i = next) {
		struct tb *tb = &k->tbs[i >> 1];

		next = *tb_page_next(tb, i & 1);
		if (tb->moves)
			cut_links(k, tb);
		else
			tcg_kill(t, i >> 1);
	}
	for (i = *first; i; i = k->tbs[i >> 1].page_next)
		move(t, i >> 1, by);
	tcg_forget_fallbacks(t->cpu);
}
