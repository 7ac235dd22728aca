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
	for (struct saved_ram *s = o->rams; s < o->rams + o->n_rams; s++)
		if ((s->ram->size < LARGE ? small : large)
		    && !snapshot_put_pages(o, s->ram, s->name, 0, s->ram->size / SNAP_PAGE, e))
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

bool snapshot_track(struct snapshot_out *o, struct err *e)
{
	for (struct saved_ram *s = o->rams; s < o->rams + o->n_rams; s++) {
		if (s->ram->size < LARGE)
			continue;
		s->changed = calloc(s->ram->size / SNAP_PAGE / 64 + 1, 8);
		if (!s->changed)
			return err_set(e, "no memory");
		phys_track(o->m->phys, s->ram, true);
	}
	return true;
}

void snapshot_untrack(struct snapshot_out *o)
{
	for (struct saved_ram *s = o->rams; s < o->rams + o->n_rams; s++) {
		if (s->changed)
			phys_track(o->m->phys, s->ram, false);
		free(s->changed);
		s->changed = NULL;
	}
}

uint64_t snapshot_take_changed(struct snapshot_out *o, bool last)
{
	uint64_t n = 0;

	if (last)
		phys_settle_writes(o->m->phys);
	for (struct saved_ram *s = o->rams; s < o->rams + o->n_rams; s++)
		if (s->changed)
			n += phys_take_changed(o->m->phys, s->ram, s->changed);
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
	for (struct saved_ram *s = o->rams; s < o->rams + o->n_rams; s++)
		if (s->changed && !put_set(o, s->ram, s->name, s->changed, e))
			return false;
	return true;
}
