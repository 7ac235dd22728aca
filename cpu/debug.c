/* What a debugger asks of a vCPU, changed while that stands (contract in cpu/debug.h). */
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"

/* ---- lists ---- */

static bool list_room(struct debug_list *l, unsigned n)
{
	unsigned room = l->room ? l->room : 16;
	uint64_t *p;

	while (room < n)
		room *= 2;
	if (room == l->room)
		return true;
	p = realloc(l->at, room * sizeof(*p));
	if (!p)
		return false;
	l->at = p;
	l->room = room;
	return true;
}

bool debug_list_add(struct debug_list *l, uint64_t v)
{
	unsigned at = debug_place(l, v);

	if (debug_has(l, v))
		return true;
	if (!list_room(l, l->n + 1))
		return false;
	memmove(l->at + at + 1, l->at + at, (l->n++ - at) * sizeof(*l->at));
	l->at[at] = v;
	return true;
}

bool debug_list_del(struct debug_list *l, uint64_t v)
{
	unsigned at = debug_place(l, v);

	if (!debug_has(l, v))
		return false;
	memmove(l->at + at, l->at + at + 1, (--l->n - at) * sizeof(*l->at));
	return true;
}

bool debug_list_copy(struct debug_list *l, const struct debug_list *from)
{
	if (!list_room(l, from->n))
		return false;
	if (from->n)
		memcpy(l->at, from->at, from->n * sizeof(*l->at));
	l->n = from->n;
	return true;
}

void debug_list_free(struct debug_list *l)
{
	free(l->at);
	*l = (struct debug_list){ 0 };
}

/* ---- breakpoints ---- */

bool debug_add_break(struct cpu *c, uint64_t va)
{
	return debug_list_add(&c->dbg.breaks, va);
}

bool debug_del_break(struct cpu *c, uint64_t va)
{
	return debug_list_del(&c->dbg.breaks, va);
}

/* ---- watchpoints ---- */

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

static bool watch_room(struct cpu_debug *d)
{
	unsigned room = d->room_watches ? 2 * d->room_watches : 16;
	struct debug_watch *p;

	if (d->n_watches < d->room_watches)
		return true;
	p = realloc(d->watches, room * sizeof(*p));
	if (!p)
		return false;
	d->watches = p;
	d->room_watches = room;
	return true;
}

/* Pages that are watched must leave the inline tables; a flush is simple, and rare. */
bool debug_add_watch(struct cpu *c, const struct debug_watch *w)
{
	struct cpu_debug *d = &c->dbg;

	if (!w->n || w->va + (w->n - 1) < w->va)
		return false;
	if (find_watch(d, w) < d->n_watches)
		return true;
	if (!watch_room(d))
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

	d->breaks.n = d->n_watches = 0;
	d->step = d->step_irq = d->stepped = d->again = d->seen = false;
	d->why = DEBUG_NOTHING;
}

void debug_fini(struct cpu *c)
{
	debug_list_free(&c->dbg.breaks);
	free(c->dbg.watches);
}
