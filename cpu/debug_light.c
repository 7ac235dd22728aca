/*
 * A debugger's breakpoints and watchpoints where code runs (contract in cpu/debug.h;
 * cpu/debug.c changes them). Light.
 */
#include "cpu/cpu.h"

#define PAGE 4096ull

uint64_t debug_pc(const struct cpu *c)
{
	return cpu_is64(c) ? c->rip : (uint32_t)(c->rip + c->segs[CS].base);
}

/* ---- breakpoints ---- */

unsigned debug_place(const struct debug_list *l, uint64_t v)
{
	unsigned lo = 0, n = l->n;

	while (lo < n) {
		unsigned mid = lo + (n - lo) / 2;

		if (l->at[mid] < v)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

bool debug_has(const struct debug_list *l, uint64_t v)
{
	unsigned i = debug_place(l, v);

	return i < l->n && l->at[i] == v;
}

bool debug_at_break(const struct cpu_debug *d, uint64_t va)
{
	return debug_has(&d->breaks, va);
}

unsigned debug_next_break(const struct cpu_debug *d, uint64_t va, unsigned n)
{
	const struct debug_list *l = &d->breaks;
	unsigned i = debug_place(l, va + 1);

	if (i == l->n)			/* addresses wrap */
		i = 0;
	return l->n && l->at[i] - va - 1 < n ? (unsigned)(l->at[i] - va) : n;
}

/* ---- watchpoints ---- */

bool debug_watches_page(const struct cpu_debug *d, uint64_t va)
{
	va &= ~(PAGE - 1);
	for (unsigned i = 0; i < d->n_watches; i++)
		if (d->watches[i].va <= va + (PAGE - 1) && d->watches[i].va + (d->watches[i].n - 1) >= va)
			return true;
	return false;
}

static void meet(struct cpu *c, const struct debug_watch *w, uint64_t va)
{
	struct cpu_debug *d = &c->dbg;

	if (!d->alone) {
		d->again = true;
		c->exc_vector = -1;
		c->unwind(c);
	}
	if (d->why == DEBUG_WATCH)		/* the first one counts */
		return;
	d->why = DEBUG_WATCH;
	d->met.va = w->va;
	d->met.n = w->n;
	d->met.kind = w->kind;
	d->met_at = va > w->va ? va : w->va;
}

void debug_access(struct cpu *c, uint64_t va, uint64_t n, bool write)
{
	const struct cpu_debug *d = &c->dbg;

	for (unsigned i = 0; i < d->n_watches; i++) {
		const struct debug_watch *w = &d->watches[i];

		if (w->kind & (write ? DEBUG_WRITE : DEBUG_READ) && va <= w->va + (w->n - 1) &&
		    w->va <= va + (n - 1))
			meet(c, w, va);
	}
}
