/*
 * rhea-img dd: a piece of an image, counted in blocks, as a new image.
 *
 * As with qemu-img, count= says where in the input to stop, not how much comes out:
 * skip= takes its blocks off that.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tools/img/img.h"

#define PIECE	4096u			/* sectors at once: 2 MiB */

struct dd {
	const char *in, *out;
	uint64_t bs, count, skip;	/* count: UINT64_MAX: all */
};

static bool operand(struct dd *d, const char *text, struct err *e)
{
	const char *eq = strchr(text, '=');
	size_t n = eq ? (size_t)(eq - text) : 0;
	const struct { const char *name; const char **text; uint64_t *number; } known[] = {
		{ "if", &d->in }, { "of", &d->out },
		{ "bs", .number = &d->bs }, { "count", .number = &d->count }, { "skip", .number = &d->skip },
	};

	for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
		if (n != strlen(known[i].name) || memcmp(text, known[i].name, n))
			continue;
		if (known[i].number)
			return parse_size(eq + 1, known[i].number, e) || err_prefix(e, "%s", text);
		*known[i].text = eq + 1;
		return true;
	}
	return err_set(e, "unrecognized operand %s", text);
}

static bool operands(const struct args *a, struct dd *d, struct err *e)
{
	for (int i = 0; i < a->n; i++)
		if (!operand(d, a->file[i], e))
			return false;
	if (!d->in || !d->out)
		return err_set(e, "Must specify both input and output files");
	return (d->bs && d->bs <= INT_MAX) || err_set(e, "bs must be between 1 and %d", INT_MAX);
}

static uint64_t times(uint64_t blocks, uint64_t bs)
{
	return blocks > UINT64_MAX / bs ? UINT64_MAX : blocks * bs;
}

/* n bytes from byte `at` of the input; the last sector is filled up with zeros. */
static bool copy(struct block *from, struct block *to, uint64_t at, uint64_t n, struct err *e)
{
	uint32_t shift = at % SECTOR;
	uint8_t *buf = malloc((PIECE + 1) * SECTOR);
	bool ok = buf || err_set(e, "no memory");

	for (uint64_t done = 0, k; ok && done < n; done += k) {
		k = min_u64(n - done, PIECE * SECTOR);
		uint32_t out = (uint32_t)((k + SECTOR - 1) / SECTOR);
		ok = block_read(from, (at + done) / SECTOR, buf, (uint32_t)((shift + k + SECTOR - 1) / SECTOR), e);
		memset(buf + shift + k, 0, out * SECTOR - k);
		ok = ok && (all_zero(buf + shift, k) || block_write(to, done / SECTOR, buf + shift, out, e));
	}
	free(buf);
	return ok;
}

static bool dd(const struct args *a, const struct dd *d, struct block *from, struct err *e)
{
	uint64_t skip = times(d->skip, d->bs), end = min_u64(block_sectors(from) * SECTOR, times(d->count, d->bs));
	struct new_image n = { .file = d->out, .format = a->O ? a->O : "raw", .size = end - min_u64(skip, end), .quiet = true };
	struct block *to;
	bool ok;

	if (skip > end)			/* no failure for qemu-img either */
		fail_with("%s: cannot skip to specified offset", d->in);
	if (!new_image(&n, e) || !(to = open_image(a, n.file, n.format, true, e)))
		return false;
	ok = copy(from, to, skip, n.size, e) && block_flush(to, e);
	block_close(to);
	return ok;
}

int cmd_dd(const struct args *a)
{
	struct dd d = { .bs = SECTOR, .count = UINT64_MAX };
	struct err e;

	if (!operands(a, &d, &e))
		return fail(&e);
	struct block *from = open_image(a, d.in, a->f, false, &e);
	bool ok = from && dd(a, &d, from, &e);
	block_close(from);
	return ok ? 0 : fail(&e);
}
