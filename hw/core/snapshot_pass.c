/*
 * Rounds through guest memory: all of it at rest, or while the guest goes on.
 *
 * Large memories are tracked by page. Small ones (ROM, flash, display memory) are left to
 * the end: devices write some of them without telling, and they take no time.
 */
#include <stdlib.h>

#include "hw/core/snapshot_priv.h"

#define LARGE	(32ull << 20)

static bool whole(struct snapshot_out *o, bool small, bool large, struct err *e)
{
	char name[STATE_NAME_MAX + 1];
	struct ram *r;

	for (unsigned i = 0; (r = snapshot_ram_nth(o->m, i, name, sizeof(name))); i++)
		if ((r->size < LARGE ? small : large) && !snapshot_put_pages(o, r, name, 0, r->size / SNAP_PAGE, e))
			return false;
	return true;
}

bool snapshot_ram(struct snapshot_out *o, struct err *e)
{
	return whole(o, true, true, e);
}

bool snapshot_put_tracked(struct snapshot_out *o, struct err *e)
{
	return whole(o, false, true, e);
}

bool snapshot_ram_rest(struct snapshot_out *o, struct err *e)
{
	return whole(o, true, false, e);
}

/* The round that goes on now and the one at rest may have all of memory again. */
bool snapshot_enough(const struct snapshot_out *o)
{
	struct snapshot_stats st;

	snapshot_stats(o, &st);
	return (st.zero_pages + st.data_pages) * SNAP_PAGE >= (SNAPSHOT_COPIES - 2) * st.ram_total;
}

/* ---- what changed ---- */

static unsigned count(struct machine *m)
{
	unsigned n = 0;

	while (phys_ram_nth(m->phys, n))
		n++;
	return n;
}

bool snapshot_track(struct snapshot_out *o, struct err *e)
{
	unsigned n = count(o->m);

	o->changed = calloc(n + 1, sizeof(*o->changed));
	if (!o->changed)
		return err_set(e, "no memory");
	for (unsigned i = 0; i < n; i++) {
		struct ram *r = phys_ram_nth(o->m->phys, i);

		if (r->size < LARGE)
			continue;
		o->changed[i] = calloc(r->size / SNAP_PAGE / 64 + 1, 8);
		if (!o->changed[i])
			return err_set(e, "no memory");
		phys_track(o->m->phys, r, true);
	}
	return true;
}

void snapshot_untrack(struct snapshot_out *o)
{
	struct ram *r;

	for (unsigned i = 0; o->changed && (r = phys_ram_nth(o->m->phys, i)); i++)
		if (o->changed[i]) {
			phys_track(o->m->phys, r, false);
			free(o->changed[i]);
		}
	free(o->changed);
	o->changed = NULL;
}

uint64_t snapshot_take_changed(struct snapshot_out *o, bool last)
{
	uint64_t n = 0;
	struct ram *r;

	if (last)
		phys_settle_writes(o->m->phys);
	for (unsigned i = 0; (r = phys_ram_nth(o->m->phys, i)); i++)
		if (o->changed[i])
			n += phys_take_changed(o->m->phys, r, o->changed[i]);
	return n;
}

static bool is_set(const uint64_t *bits, uint64_t i)
{
	return bits[i >> 6] >> (i & 63) & 1;
}

static bool put_set(struct snapshot_out *o, struct ram *r, const char *name, const uint64_t *bits, struct err *e)
{
	uint64_t pages = r->size / SNAP_PAGE;

	for (uint64_t i = 0, k; i < pages; i += k) {
		for (k = 0; i + k < pages && is_set(bits, i + k); k++)
			;
		if (k && !snapshot_put_pages(o, r, name, i, k, e))
			return false;
		k += !k;
	}
	return true;
}

bool snapshot_put_changed(struct snapshot_out *o, struct err *e)
{
	char name[STATE_NAME_MAX + 1];
	struct ram *r;

	for (unsigned i = 0; (r = snapshot_ram_nth(o->m, i, name, sizeof(name))); i++)
		if (o->changed[i] && !put_set(o, r, name, o->changed[i], e))
			return false;
	return true;
}
