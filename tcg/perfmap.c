/*
 * Map of translated blocks for Linux perf: one line a block, "start size name",
 * the name being the guest address. See tools/perf/Documentation/jit-interface.txt
 * in the Linux sources for the format.
 */
#include "tcg/perfmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct perfmap {
	FILE *f;
	char path[64];
};

struct perfmap *perfmap_new(struct err *e)
{
	struct perfmap *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, "no memory for the perf map");
		return NULL;
	}
	snprintf(p->path, sizeof(p->path), "/tmp/perf-%ld.map", (long)getpid());
	p->f = fopen(p->path, "w");
	if (!p->f) {
		err_errno(e, "%s", p->path);
		free(p);
		return NULL;
	}
	return p;
}

void perfmap_free(struct perfmap *p)
{
	if (!p)
		return;
	fclose(p->f);
	free(p);
}

void perfmap_add(struct perfmap *p, const struct tb *tb)
{
	const char *user = (tb->mode & MODE_CPL) == MODE_CPL ? "(user)" : "";
	unsigned long va = (unsigned long)(tb->rip + tb->cs_base);

	if (!p || !tb->code)
		return;
	fprintf(p->f, "%lx %x guest:%lx%s\n%lx %x guest:%lx%s cold\n", (unsigned long)(uintptr_t)tb->code, tb->size,
		va, user, (unsigned long)(uintptr_t)tb_cold(tb), tb->cold_size, va, user);
	fflush(p->f);
}

void perfmap_reset(struct perfmap *p)
{
	if (!p)
		return;
	rewind(p->f);
	if (ftruncate(fileno(p->f), 0))
		rewind(p->f);
}
