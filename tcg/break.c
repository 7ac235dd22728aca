/*
 * A debugger's breakpoints (cpu/debug.h) in translated code.
 *
 * There is no block at the address of a breakpoint, so control comes to the run
 * loop there, which stops instead of translating; and no block goes on behind one.
 * Code elsewhere knows nothing of them. On a page with breakpoints no block
 * relies on what its targets do to flags, and none is part of a region, so that
 * the debugger sees all flags as they are.
 *
 * A debugger takes its breakpoints out whenever the guest stops and puts them in
 * again before it goes on: only the difference between two runs costs anything.
 */
#include <stdlib.h>

#include "base/log.h"
#include "tcg/cache.h"

bool tcg_breaks_page(const struct tcg *t, uint64_t va)
{
	unsigned i = debug_place(&t->cache->breaks, PAGE_OF(va));

	return i < t->cache->breaks.n && PAGE_OF(t->cache->breaks.at[i]) == PAGE_OF(va);
}

/* Single instructions stop behind themselves anyway. */
static void drop_pages(struct tcg *t, const struct debug_list *pages)
{
	struct code_cache *k = t->cache;

	for (uint32_t i = NO_TB; (i = tcg_next_tb(k, i)) != NO_TB;) {
		const struct tb *tb = &k->tbs[i];
		uint64_t first = tb->rip + tb->cs_base;

		if ((tb->mode & MODE_CODE) != MODE_CODE64)
			first = (uint32_t)first;
		if (!tb->dead && (debug_has(pages, PAGE_OF(first)) || debug_has(pages, PAGE_OF(first + tb->len - 1))))
			tcg_kill(t, i);
	}
}

/* The pages of those in `list` that are not in `other`. False: no memory. */
static bool add_changed(struct debug_list *pages, const struct debug_list *list, const struct debug_list *other)
{
	for (unsigned i = 0; i < list->n; i++)
		if (!debug_has(other, list->at[i]) && !debug_list_add(pages, PAGE_OF(list->at[i])))
			return false;
	return true;
}

void tcg_take_breaks(struct tcg *t)
{
	const struct debug_list *now = &t->cpu->dbg.breaks;
	struct debug_list *before = &t->cache->breaks, pages = { 0 };

	if (t->cpu->dbg.step || (!before->n && !now->n))
		return;
	tcg_lock(t);
	if (!add_changed(&pages, before, now) || !add_changed(&pages, now, before) || !debug_list_copy(before, now)) {
		warn("out of memory for breakpoints");
		abort();
	}
	if (pages.n) {
		t->cache->terms++;
		drop_pages(t, &pages);
	}
	tcg_unlock(t);
	debug_list_free(&pages);
}
