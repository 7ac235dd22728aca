/*
 * rhea-img compare, commit, rebase: contents from image to image.
 *
 * What reads as zeros without being stored is not read; stored zeros are found
 * in units of -S bytes and not stored again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tools/img/img.h"

#define PIECE	4096u			/* sectors read at once: 2 MiB */

bool all_zero(const uint8_t *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* Sectors behind an image's end are zeros. */
static bool read_padded(struct block *b, uint64_t at, uint8_t *buf, uint32_t n, struct err *e)
{
	uint64_t have = b && at < block_sectors(b) ? min_u64(n, block_sectors(b) - at) : 0;
	memset(buf + have * SECTOR, 0, (n - have) * SECTOR);
	return !have || block_read(b, at, buf, (uint32_t)have, e);
}

/* What the sectors at `at` read as: all zeros, or to be looked at. n: how far. */
bool zeros_at(struct block *b, uint64_t at, uint64_t *n, bool *zero, struct err *e)
{
	struct block_extent x;
	*zero = true;
	if (!b || at >= block_sectors(b))
		return true;
	if (!block_map(b, at, *n, &x, e))
		return false;
	*n = min_u64(*n, x.sectors);
	*zero = x.zero;
	return true;
}

/* ---- compare ---- */

/* 0: the same, 1: different at *where, 2: failed. */
static int compare(const struct args *a, struct block *x, struct block *y, uint64_t *where, struct err *e)
{
	static uint8_t p[PIECE * SECTOR], q[PIECE * SECTOR];
	uint64_t all = max_u64(block_sectors(x), block_sectors(y));

	for (uint64_t at = 0, n; at < all; at += n) {
		bool zx, zy;
		n = all - at;
		if (!zeros_at(x, at, &n, &zx, e) || !zeros_at(y, at, &n, &zy, e))
			return 2;
		*where = at * SECTOR;
		if (a->strict && zx != zy)
			return 3;
		if (!zx || !zy) {
			n = min_u64(n, PIECE);
			if (!read_padded(x, at, p, (uint32_t)n, e) || !read_padded(y, at, q, (uint32_t)n, e))
				return 2;
			for (uint64_t i = 0; i < n; i++, *where += SECTOR)
				if (memcmp(p + i * SECTOR, q + i * SECTOR, SECTOR))
					return 1;
		}
		progress(a, at + n, all);
	}
	return 0;
}

int cmd_compare(const struct args *a)
{
	struct err e;
	uint64_t where = 0;
	struct block *x = open_image(a, a->file[0], a->f, false, &e);
	struct block *y = x ? open_image(a, a->file[1], a->F, false, &e) : NULL;
	int r = y ? 0 : 2;

	bool differ = y && block_sectors(x) != block_sectors(y);
	if (differ && a->strict) {
		if (!a->quiet)
			printf("Strict mode: Image size mismatch!\n");
		r = 1;
	}
	if (!r) {
		r = compare(a, x, y, &where, &e);
		/* As far as both go they are the same. */
		if (differ && !a->quiet && (!r || where / SECTOR >= min_u64(block_sectors(x), block_sectors(y))))
			printf("Warning: Image size mismatch!\n");
		const char *text = r == 1 ? "Content mismatch at offset %llu!\n"
			: r == 3 ? "Strict mode: Offset %llu block status mismatch!\n" : NULL;
		if (text && !a->quiet)
			printf(text, (unsigned long long)where);
		if (!r && !a->quiet)
			printf("Images are identical.\n");
	}
	block_close(x);
	block_close(y);
	if (r == 2)
		fail(&e);
	return r == 3 ? 1 : r;
}

/* ---- commit ---- */

static bool commit_range(struct block *top, struct block *base, uint64_t at, const struct block_extent *x,
			 uint8_t *buf, struct err *e)
{
	for (uint64_t done = 0, n; done < x->sectors; done += n) {
		n = min_u64(x->sectors - done, PIECE);
		if (x->zero ? !block_write_zeroes(base, at + done, (uint32_t)n, true, e)
		    : !block_read(top, at + done, buf, (uint32_t)n, e)
		      || !block_write(base, at + done, buf, (uint32_t)n, e))
			return false;
	}
	return true;
}

static bool commit(const struct args *a, struct block *top, struct err *e)
{
	struct block *base = block_backing(top);
	uint8_t *buf = malloc(PIECE * SECTOR);
	uint64_t all = block_sectors(top);
	bool ok = buf != NULL;

	if (ok && block_sectors(base) < all)
		ok = block_resize(base, all, e);
	for (uint64_t at = 0; ok && at < all;) {
		struct block_extent x;
		ok = block_status(top, at, all - at, &x, e) && (!x.allocated || commit_range(top, base, at, &x, buf, e));
		at += x.sectors;
		progress(a, at, all);
	}
	free(buf);
	return ok && block_flush(base, e) && (a->drop || qcow2_make_empty(top, e)) && block_flush(top, e);
}

int cmd_commit(const struct args *a)
{
	struct block_options o = open_options(a, a->file[0], a->f, true);
	struct qcow2_info i;
	struct err e = { "no memory" };

	o.backing_writable = true;
	struct block *b = block_open(&o, &e);
	if (!b)
		return fail(&e);
	bool ok = true;
	if (!block_backing(b))
		ok = err_set(&e, "'%s' has no backing image to commit to", a->file[0]);
	else if (a->b && qcow2_info(b, &i, &e) && strcmp(a->b, i.backing) && strcmp(a->b, i.backing_path))
		ok = err_set(&e, "'%s' is not the backing image of '%s'", a->b, a->file[0]);
	ok = ok && commit(a, b, &e);
	block_close(b);
	if (ok && !a->quiet)
		printf("Image committed.\n");
	return ok ? 0 : fail(&e);
}

/* ---- rebase ---- */

/* What the old chain showed and the new one does not is copied into the image. */
static bool keep_contents(const struct args *a, struct block *top, struct block *now, struct err *e)
{
	struct block *was = block_backing(top);
	uint64_t all = block_sectors(top);
	uint8_t *p = malloc(PIECE * SECTOR), *q = malloc(PIECE * SECTOR);
	bool ok = p && q;
	struct qcow2_info i;

	ok = ok && qcow2_info(top, &i, e);
	uint32_t unit = ok ? i.cluster_size / SECTOR : 1;
	for (uint64_t at = 0, n; ok && at < all; at += n) {
		struct block_extent x;
		ok = block_status(top, at, all - at, &x, e);
		n = x.sectors;
		progress(a, at + (ok ? n : 0), all);
		if (!ok || x.allocated)
			continue;
		n = min_u64(n, max_u64(unit, PIECE / unit * unit));
		n = min_u64(n, PIECE);
		ok = read_padded(was, at, p, (uint32_t)n, e) && read_padded(now, at, q, (uint32_t)n, e);
		for (uint64_t k = 0, len; ok && k < n; k += len) {
			len = min_u64(unit, n - k);
			if (memcmp(p + k * SECTOR, q + k * SECTOR, len * SECTOR))
				ok = block_write(top, at + k, p + k * SECTOR, (uint32_t)len, e);
		}
	}
	free(p);
	free(q);
	return ok;
}

static bool rebase(const struct args *a, struct block *top, struct err *e)
{
	bool any = *a->b;
	struct block *now = NULL;
	struct qcow2_info i;

	if (!qcow2_info(top, &i, e))
		return false;
	if (any && !a->unsafe) {
		char *path = block_backing_path(a->file[0], a->b);
		struct block_options o = { .file = path, .format = a->F, .readonly = true, .unlocked = a->shared };
		now = path ? block_open(&o, e) : NULL;
		free(path);
		if (!now)
			return err_prefix(e, "new backing image");
	}
	bool ok = a->unsafe || keep_contents(a, top, now, e);
	ok = ok && qcow2_set_backing(top, any ? a->b : NULL, a->F, e);
	block_close(now);
	return ok;
}

int cmd_rebase(const struct args *a)
{
	struct err e = { "no memory" };
	struct block_options o = open_options(a, a->file[0], a->f, true);

	if (!a->b)
		return fail_with("rebase: -b BACKING is missing (-b \"\": none)");
	o.no_backing = a->unsafe;
	struct block *b = block_open(&o, &e);
	bool ok = b && rebase(a, b, &e);
	block_close(b);
	return ok ? 0 : fail(&e);
}
