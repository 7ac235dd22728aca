/* rhea-img map: where a disk's contents stand, over the whole chain. */
#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "tools/img/img.h"

struct run {
	uint64_t start, length;		/* sectors */
	struct block_extent x;
};

static bool joins(const struct run *r, const struct block_extent *x)
{
	const struct block_extent *p = &r->x;
	return r->length && p->allocated == x->allocated && p->data == x->data && p->zero == x->zero
		&& p->image == x->image && p->compressed == x->compressed && p->has_offset == x->has_offset
		&& (!x->has_offset || x->offset == p->offset + r->length * SECTOR);
}

static int print_human(const struct run *r)
{
	if (!r->x.data || r->x.zero)
		return 0;
	if (!r->x.has_offset)
		return fail_with("File contains external, encrypted or compressed clusters.");
	printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", r->start * SECTOR, r->length * SECTOR,
	       r->x.offset, block_file(r->x.image));
	return 0;
}

static int print_json(const struct run *r)
{
	printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %d, \"present\": %s, \"zero\": %s, "
	       "\"data\": %s", r->start ? "" : "[", r->start * SECTOR, r->length * SECTOR, r->x.depth,
	       r->x.allocated ? "true" : "false", r->x.zero ? "true" : "false", r->x.data ? "true" : "false");
	if (r->x.has_offset)
		printf(", \"offset\": %" PRIu64, r->x.offset);
	printf("}");
	return 0;
}

int cmd_map(const struct args *a)
{
	struct run r = { 0 };
	struct err e;
	struct block *b = open_image(a, a->file[0], a->f, false, &e);
	int (*print)(const struct run *) = a->json ? print_json : print_human;
	int status = 0;

	if (!b)
		return fail(&e);
	uint64_t at = min_u64(a->start / SECTOR, block_sectors(b));
	uint64_t end = at + min_u64(a->length / SECTOR, block_sectors(b) - at);
	if (a->json && at)
		printf("[");
	if (!a->json)
		printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
	while (at < end && !status) {
		struct block_extent x;
		if (!block_map(b, at, end - at, &x, &e)) {
			status = fail(&e);
			break;
		}
		if (!joins(&r, &x)) {
			status = r.length ? print(&r) : 0;
			if (r.length && a->json)
				printf(",\n");
			r = (struct run){ at, 0, x };
		}
		r.length += x.sectors;
		at += x.sectors;
	}
	if (!status && r.length)
		status = print(&r);
	if (a->json)
		printf(r.length ? "]\n" : "[]\n");
	block_close(b);
	return status;
}
