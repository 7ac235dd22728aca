/*
 * Map of generated code for Linux perf: lines of "start size name". The name of
 * a piece of a block is the guest address of the block and what the piece is
 * there for (tcg/x64/parts.def); that of a stub its own. tools/perf-report makes
 * sums of them. See tools/perf/Documentation/jit-interface.txt in the Linux sources
 * for the format.
 */
#include "tcg/perfmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct perfmap {
	FILE *f;
	char path[64];
	long stubs_end;			/* what stays when all blocks go */
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

static const char *const part_names[PART_COUNT] = {
#define PART(name, word) [PART_##name] = word,
#include "tcg/x64/parts.def"
#undef PART
};

/* n parts of `size` bytes of code at `at`. */
static void add_parts(struct perfmap *p, const struct tb *tb, const uint8_t *at, uint32_t size,
		      const struct x64_part_at *parts, unsigned n)
{
	const char *user = (tb->mode & MODE_CPL) == MODE_CPL ? "(user)" : "";
	const char *region = tb->mode & MODE_REGION ? "region:" : "guest:";

	for (unsigned i = 0; i < n; i++) {
		uint32_t end = i + 1 < n ? parts[i + 1].host_off : size;

		fprintf(p->f, "%lx %x %s%lx%s %s\n", (unsigned long)(uintptr_t)(at + parts[i].host_off),
			end - parts[i].host_off, region, (unsigned long)(tb->rip + tb->cs_base), user,
			part_names[parts[i].part]);
	}
}

void perfmap_add(struct perfmap *p, const struct tb *tb, const struct x64_block *b)
{
	if (!p)
		return;
	add_parts(p, tb, b->guarded, b->size, b->parts, b->n_hot_parts);
	add_parts(p, tb, b->cold, b->cold_size, b->parts + b->n_hot_parts, b->n_parts - b->n_hot_parts);
	fflush(p->f);
}

/* ---- stubs ---- */

#define MAX_STUBS (2 * JC_TABLES + 5 * NMMU + HELPER_COUNT + 16)

struct stub {
	const uint8_t *at;
	const char *kind, *name;
};

static int by_address(const void *a, const void *b)
{
	const struct stub *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static unsigned list_stubs(const struct x64_stubs *s, struct stub *l)
{
	const struct stub some[] = {
		{ s->leave, "", "leave" }, { s->go_on, "", "go_on" }, { (const uint8_t *)(uintptr_t)s->deliver, "", "deliver" }, { s->dispatch, "", "dispatch" },
		{ s->indirect, "", "indirect" },
		{ s->link, "", "link" }, { s->guard, "", "guard" }, { s->host_fault, "", "host_fault" },
		{ s->probe_slow, "", "probe_slow" }, { s->commit, "", "commit" },
		{ s->save_flags[0], "", "save_flags" }, { s->save_flags[1], "", "save_flags" },
		{ s->noshare, "", "noshare" }, { s->raise, "", "raise" },
	};
	unsigned n = 0;

	for (; n < ARRAY_LEN(some); n++)
		l[n] = some[n];
	for (int i = 0; i < NMMU; i++)
		for (unsigned kind = PROBE_R; kind <= PROBE_RW; kind++)
			l[n++] = (struct stub){ s->halves[i][kind], "", "halves" };
	for (int i = 0; i < 2 * NMMU; i++)
		l[n++] = (struct stub){ s->group[i / 2][i % 2], "", "group" };
	for (int i = 0; i < JC_TABLES; i++) {
		l[n++] = (struct stub){ s->return_miss[i], "", "return_miss" };
		l[n++] = (struct stub){ s->deep[i], "", "deep" };
	}
	for (int i = 0; i < HELPER_COUNT; i++)
		l[n++] = (struct stub){ s->thunk[i], "helper:", helper_info[i].name };
	return n;
}

void perfmap_stubs(struct perfmap *p, const struct x64 *x, const uint8_t *end)
{
	struct stub l[MAX_STUBS + 1];
	unsigned n = list_stubs(&x->stubs, l);

	l[n++] = (struct stub){ x->thunk_code.p + x->thunk_code.rx, "", "probe_thunks" };
	qsort(l, n, sizeof(l[0]), by_address);
	for (unsigned i = 0; i < n; i++)
		fprintf(p->f, "%lx %x stub:%s%s\n", (unsigned long)(uintptr_t)l[i].at,
			(unsigned)((i + 1 < n ? l[i + 1].at : end) - l[i].at), l[i].kind, l[i].name);
	p->stubs_end = ftell(p->f);
}

void perfmap_reset(struct perfmap *p)
{
	if (!p)
		return;
	fflush(p->f);
	if (!ftruncate(fileno(p->f), p->stubs_end))
		fseek(p->f, p->stubs_end, SEEK_SET);
}
