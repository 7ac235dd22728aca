/*
 * A debugger's breakpoints and watchpoints (contract in cpu/debug.h). Light.
 */
#include "cpu/cpu.h"

#define PAGE 4096ull

uint64_t debug_pc(const struct cpu *c)
{
	return cpu_is64(c) ? c->rip : (uint32_t)(c->rip + c->segs[CS].base);
}

/* ---- breakpoints ---- */

unsigned debug_place(const uint64_t *list, unsigned n, uint64_t va)
{
	unsigned lo = 0;

	while (lo < n) {
		unsigned mid = lo + (n - lo) / 2;

		if (list[mid] < va)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

bool debug_at_break(const struct cpu_debug *d, uint64_t va)
{
	unsigned i = debug_place(d->breaks, d->n_breaks, va);

	return i < d->n_breaks && d->breaks[i] == va;
}

unsigned debug_next_break(const struct cpu_debug *d, uint64_t va, unsigned n)
{
	unsigned i = debug_place(d->breaks, d->n_breaks, va + 1);

	if (i == d->n_breaks)		/* addresses wrap */
		i = 0;
	return d->n_breaks && d->breaks[i] - va - 1 < n ? (unsigned)(d->breaks[i] - va) : n;
}

bool debug_add_break(struct cpu *c, uint64_t va)
{
	struct cpu_debug *d = &c->dbg;
	unsigned at = debug_place(d->breaks, d->n_breaks, va);

	if (debug_at_break(d, va))
		return true;
	if (d->n_breaks == DEBUG_MAX_BREAKS)
		return false;
	for (unsigned i = d->n_breaks++; i > at; i--)
		d->breaks[i] = d->breaks[i - 1];
	d->breaks[at] = va;
	return true;
}

bool debug_del_break(struct cpu *c, uint64_t va)
{
	struct cpu_debug *d = &c->dbg;

	if (!debug_at_break(d, va))
		return false;
	d->n_breaks--;
	for (unsigned i = debug_place(d->breaks, d->n_breaks + 1, va); i < d->n_breaks; i++)
		d->breaks[i] = d->breaks[i + 1];
	return true;
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

static bool same(const struct debug_watch *a, const struct debug_watch *b)
{
	return a->va == b->va && a->n == b->n && a->kind == b->kind;
}

static unsigned find_watch(const struct cpu_debug *d, const struct debug_watch *w)
{
	unsigned i = 0;

	while (i < d->n_watches && !same(&d->watches[i], w))
		i++;
	return i;
}

/* Pages that are watched must leave the inline tables; a flush is simple, and rare. */
bool debug_add_watch(struct cpu *c, const struct debug_watch *w)
{
	struct cpu_debug *d = &c->dbg;

	if (!w->n || w->va + (w->n - 1) < w->va)
		return false;
	if (find_watch(d, w) < d->n_watches)
		return true;
	if (d->n_watches == DEBUG_MAX_WATCHES)
		return false;
	d->watches[d->n_watches++] = *w;
	cpu_request(c, REQ_FLUSH);
	return true;
}

bool debug_del_watch(struct cpu *c, const struct debug_watch *w)
{
	struct cpu_debug *d = &c->dbg;
	unsigned i = find_watch(d, w);

	if (i == d->n_watches)
		return false;
	d->watches[i] = d->watches[--d->n_watches];
	return true;
}

void debug_clear(struct cpu *c)
{
	struct cpu_debug *d = &c->dbg;

	d->n_breaks = d->n_watches = 0;
	d->step = d->step_irq = d->stepped = d->again = d->seen = false;
	d->why = DEBUG_NOTHING;
}
