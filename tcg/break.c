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
#include <string.h>

#include "tcg/cache.h"

static bool has(const uint64_t *list, unsigned n, uint64_t va)
{
	unsigned i = debug_place(list, n, va);

	return i < n && list[i] == va;
}

bool tcg_breaks_page(const struct tcg *t, uint64_t va)
{
	unsigned i = debug_place(t->cache->breaks, t->cache->n_breaks, PAGE_OF(va));

	return i < t->cache->n_breaks && PAGE_OF(t->cache->breaks[i]) == PAGE_OF(va);
}

/* Single instructions stop behind themselves anyway. */
static void drop_page(struct tcg *t, uint64_t page)
{
	for (uint32_t i = 1; i <= t->cache->n_tbs; i++) {
		const struct tb *tb = &t->cache->tbs[i];
		uint64_t first = tb->rip + tb->cs_base;

		if ((tb->mode & MODE_CODE) != MODE_CODE64)
			first = (uint32_t)first;
		if (!tb->dead && (PAGE_OF(first) == page || PAGE_OF(first + tb->len - 1) == page))
			tcg_kill(t, i);
	}
}

/* The pages of those in `list` that are not in `other`. */
static void drop_changed(struct tcg *t, const uint64_t *list, unsigned n, const uint64_t *other, unsigned n_other)
{
	uint64_t last = 1;		/* no page */

	for (unsigned i = 0; i < n; i++)
		if (PAGE_OF(list[i]) != last && !has(other, n_other, list[i])) {
			last = PAGE_OF(list[i]);
			drop_page(t, last);
		}
}

void tcg_take_breaks(struct tcg *t)
{
	const struct cpu_debug *d = &t->cpu->dbg;
	uint64_t before[DEBUG_MAX_BREAKS];
	unsigned n = t->cache->n_breaks;

	if (d->step || (!n && !d->n_breaks))
		return;
	memcpy(before, t->cache->breaks, n * sizeof(*before));
	memcpy(t->cache->breaks, d->breaks, d->n_breaks * sizeof(*before));
	t->cache->n_breaks = d->n_breaks;
	drop_changed(t, before, n, t->cache->breaks, t->cache->n_breaks);
	drop_changed(t, t->cache->breaks, t->cache->n_breaks, before, n);
}
