/* drive_commit() (block_job.h): while nothing else happens to the disk. */
#include <stdlib.h>

#include "base/bits.h"
#include "hw/backend/block_job.h"
#include "hw/backend/drive_priv.h"
#include "hw/backend/qcow2.h"

#define PIECE 2048u			/* sectors */

static bool copy(struct block *from, struct block *to, uint64_t at, const struct block_extent *x, uint8_t *buf,
		 struct err *e)
{
	for (uint64_t done = 0, n; done < x->sectors; done += n) {
		n = min_u64(x->sectors - done, PIECE);
		if (x->zero ? !block_write_zeroes(to, at + done, (uint32_t)n, true, e)
		    : !block_read(from, at + done, buf, (uint32_t)n, e) ||
		      !block_write(to, at + done, buf, (uint32_t)n, e))
			return false;
	}
	return true;
}

/* What the image itself holds; of one with changes in memory, those. */
static bool copy_own(struct block *from, struct block *to, struct err *e)
{
	uint64_t all = block_sectors(from);
	uint8_t *buf = malloc(PIECE * SECTOR);
	bool ok = buf || err_set(e, "no memory");

	for (uint64_t at = 0; ok && at < all;) {
		struct block_extent x = { 0 };

		if (from->overlay) {
			x.sectors = block_overlay_extent(from, at, &x.allocated);
		} else {
			ok = block_status(from, at, all - at, &x, e);
		}
		ok = ok && (!x.allocated || copy(from, to, at, &x, buf, e));
		at += x.sectors;
	}
	free(buf);
	return ok && block_flush(to, e);
}

/* The changes go to the file, through another opening of it; then it is opened as it was. */
static bool commit_overlay(struct drive *d, struct err *e)
{
	struct block *b = drive_image(d), *w, *again;
	struct block_options o = b->opened;
	bool ok;

	o.node = b->node;
	o.file_node = b->file_node;
	o.snapshot = false;
	o.unlocked = true;
	w = block_open(&o, e);
	if (!w)
		return false;
	ok = copy_own(b, w, e);
	block_close(w);
	o.snapshot = true;
	o.unlocked = b->opened.unlocked;
	again = ok ? block_open(&o, e) : NULL;
	if (!again)
		return false;
	block_close(drive_swap_image(d, again));
	return true;
}

static bool commit_chain(struct block *first, struct err *e)
{
	struct err ignored;
	bool ok;

	if (!block_reopen(&first->backing, true, e))
		return false;
	ok = block_sectors(first->backing) >= block_sectors(first) ||
	     block_resize(first->backing, block_sectors(first), e);
	ok = ok && copy_own(first, first->backing, e) && qcow2_make_empty(first, e) && block_flush(first, e);
	block_reopen(&first->backing, false, &ignored);
	return ok;
}

bool drive_commit(struct drive *d, struct err *e)
{
	struct block *b = drive_image(d);

	if (!b)
		return err_set(e, "there is no medium");
	if (!drive_may_work_on(d, e))
		return false;
	drive_drain(d->set->m, d);
	if (b->overlay)
		return commit_overlay(d, e);
	if (!b->backing)
		return err_set(e, "'%s' has no backing image to commit to", block_file(b));
	if (block_readonly(b))
		return err_set(e, "'%s' is read-only", block_file(b));
	return commit_chain(b, e);
}
