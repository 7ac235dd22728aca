/*
 * Guest memory in a snapshot: runs of pages, each zero, as it is, or packed.
 *
 * A long run of zero pages is a section without data. Others are packed, SNAP_RUN pages
 * at most at once, so that neither side needs much room; what packing does not make
 * smaller stays as it is. Packed by zstd where the build has it, else by zlib; reading
 * knows both, as far as the build does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "config.h"
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif

#include "hw/core/snapshot_priv.h"

enum { HOW_ZERO, HOW_PLAIN, HOW_ZLIB, HOW_ZSTD };

#define LEVEL		1
#define ZERO_RUN	8u		/* fewer zero pages in a row are packed with the others */
#define RUN_BYTES	(SNAP_RUN * SNAP_PAGE)

/* ---- which memories ---- */

static unsigned namesakes(struct machine *m, unsigned n, const char *name)
{
	unsigned before = 0;

	for (unsigned i = 0; i < n; i++)
		before += !strcmp(phys_ram_nth(m->phys, i)->name, name);
	return before;
}

struct ram *snapshot_ram_nth(struct machine *m, unsigned n, char *name, size_t size)
{
	struct ram *r = phys_ram_nth(m->phys, n);

	if (r) {
		unsigned k = namesakes(m, n, r->name);

		snprintf(name, size, k ? "%.100s#%u" : "%.100s", r->name, k);
	}
	return r;
}

static struct ram *find(struct machine *m, const char *name)
{
	char other[STATE_NAME_MAX + 1];
	struct ram *r;

	for (unsigned i = 0; (r = snapshot_ram_nth(m, i, other, sizeof(other))); i++)
		if (!strcmp(name, other))
			return r;
	return NULL;
}

/* ---- packing ---- */

static bool list_rams(struct snapshot_out *o, struct err *e)
{
	unsigned n = 0;

	while (phys_ram_nth(o->m->phys, n))
		n++;
	o->rams = calloc(n + 1, sizeof(*o->rams));
	if (!o->rams)
		return err_set(e, "no memory");
	for (o->n_rams = 0; o->n_rams < n; o->n_rams++) {
		struct saved_ram *s = &o->rams[o->n_rams];

		s->ram = snapshot_ram_nth(o->m, o->n_rams, s->name, sizeof(s->name));
	}
	return true;
}

bool snapshot_ram_init(struct snapshot_out *o, struct err *e)
{
	if (!list_rams(o, e))
		return false;
#ifdef CONFIG_ZSTD
	o->zstd = ZSTD_createCCtx();
	if (!o->zstd)
		return err_set(e, "no memory");
#endif
	o->copy = malloc(RUN_BYTES);
	o->packed = malloc(RUN_BYTES);
	return (o->copy && o->packed) || err_set(e, "no memory");
}

void snapshot_ram_fini(struct snapshot_out *o)
{
#ifdef CONFIG_ZSTD
	ZSTD_freeCCtx(o->zstd);
#endif
	free(o->rams);
	free(o->copy);
	free(o->packed);
}

/* Into o->packed; 0: not worth it. */
static size_t pack(struct snapshot_out *o, const uint8_t *p, size_t n, uint8_t *how)
{
	size_t room = n - n / 8;
#ifdef CONFIG_ZSTD
	size_t k = ZSTD_compressCCtx(o->zstd, o->packed, room, p, n, LEVEL);

	*how = HOW_ZSTD;
	return ZSTD_isError(k) ? 0 : k;
#else
	uLongf k = room;

	*how = HOW_ZLIB;
	return compress2(o->packed, &k, p, n, LEVEL) == Z_OK ? k : 0;
#endif
}

static bool unpack(uint8_t how, const uint8_t *p, size_t size, uint8_t *to, size_t n)
{
	uLongf k = n;

	if (how == HOW_ZLIB)
		return uncompress(to, &k, p, size) == Z_OK && k == n;
#ifdef CONFIG_ZSTD
	return how == HOW_ZSTD && ZSTD_decompress(to, n, p, size) == n;
#else
	return false;
#endif
}

/* ---- writing ---- */

static bool is_zero(const uint8_t *page)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < SNAP_PAGE; i += 64) {
		for (unsigned k = 0; k < 64; k += 8)
			any |= ld64(page + i + k);
		if (any)
			return false;
	}
	return true;
}

static bool put_run(struct snapshot_out *o, const char *name, uint64_t first, uint64_t n, uint8_t how,
		    const uint8_t *p, size_t size, struct err *e)
{
	state_begin(&o->buf, "ram", name, 1);
	state_put64(&o->buf, "first", first);
	state_put64(&o->buf, "pages", n);
	state_put(&o->buf, "how", &how, 1);
	if (how != HOW_ZERO)
		state_put(&o->buf, "data", p, (uint32_t)size);
	state_end(&o->buf);
	*(how == HOW_ZERO ? &o->stats.zero_pages : &o->stats.data_pages) += n;
	return snapshot_put_section(o, e);
}

/* The guest may go on writing meanwhile (the pages are sent again then): packing wants bytes that stand. */
static bool put_data(struct snapshot_out *o, struct ram *r, const char *name, uint64_t first, uint64_t n,
		     struct err *e)
{
	uint8_t how;
	size_t k;

	memcpy(o->copy, r->host + first * SNAP_PAGE, n * SNAP_PAGE);
	k = pack(o, o->copy, n * SNAP_PAGE, &how);
	return k ? put_run(o, name, first, n, how, o->packed, k, e)
		 : put_run(o, name, first, n, HOW_PLAIN, o->copy, n * SNAP_PAGE, e);
}

static uint64_t zeros_from(const struct ram *r, uint64_t first, uint64_t n)
{
	uint64_t k = 0;

	while (k < n && is_zero(r->host + (first + k) * SNAP_PAGE))
		k++;
	return k;
}

/* How many pages go together: up to a long run of zero ones. */
static uint64_t data_from(const struct ram *r, uint64_t first, uint64_t n)
{
	uint64_t k = 0;

	while (k < n && k < SNAP_RUN) {
		uint64_t zeros = zeros_from(r, first + k, min_u64(n - k, ZERO_RUN));

		if (zeros == ZERO_RUN)
			break;
		k += zeros + 1;
	}
	return min_u64(k, min_u64(n, SNAP_RUN));
}

bool snapshot_put_pages(struct snapshot_out *o, struct ram *r, const char *name, uint64_t first, uint64_t n,
			struct err *e)
{
	while (n) {
		uint64_t k = zeros_from(r, first, n);
		bool zero = k >= ZERO_RUN || k == n;

		if (!zero)
			k = data_from(r, first, n);
		if (!(zero ? put_run(o, name, first, k, HOW_ZERO, NULL, 0, e) : put_data(o, r, name, first, k, e)))
			return false;
		first += k;
		n -= k;
	}
	return true;
}

/* ---- reading ---- */

bool snapshot_parse_pages(struct machine *m, const struct section *s, struct ram_pages *g, struct err *e)
{
	*g = (struct ram_pages){ .ram = find(m, s->instance) };
	if (!g->ram)
		return err_set(e, "this machine has no memory '%s'", s->instance);
	if (!section_version_ok(s, 1, e) || !section_get64(s, "first", &g->first, e)
	    || !section_get64(s, "pages", &g->n, e) || !section_get(s, "how", &g->how, 1, e))
		return false;
	if (g->first > g->ram->size / SNAP_PAGE || g->n > g->ram->size / SNAP_PAGE - g->first)
		return err_set(e, "memory '%s' is smaller here than it was", s->instance);
	if (g->how == HOW_ZERO)
		return true;
	g->data = section_field(s, "data", &g->size);
	if (!g->data || g->n > SNAP_RUN || (g->how == HOW_PLAIN && g->size != g->n * SNAP_PAGE))
		return err_set(e, "it is damaged: a run of pages");
#ifndef CONFIG_ZSTD
	if (g->how == HOW_ZSTD)
		return err_set(e, "it is packed by zstd, which this program was built without");
#endif
	return true;
}

const uint8_t *snapshot_unpack(const struct ram_pages *g, uint8_t *room)
{
	if (g->how == HOW_PLAIN)
		return g->data;
	return unpack(g->how, g->data, g->size, room, g->n * SNAP_PAGE) ? room : NULL;
}

/* A page that is zero already stays untouched, so that the host need not give memory for it. */
static void clear_page(struct machine *m, struct ram *r, uint64_t off)
{
	if (is_zero(r->host + off))
		return;
	memset(r->host + off, 0, SNAP_PAGE);
	phys_ram_written(m->phys, r, off, SNAP_PAGE);
}

void snapshot_load_pages(struct machine *m, const struct ram_pages *g, const uint8_t *bytes)
{
	uint64_t off = g->first * SNAP_PAGE;

	if (g->how == HOW_ZERO) {
		for (uint64_t i = 0; i < g->n; i++)
			clear_page(m, g->ram, off + i * SNAP_PAGE);
		return;
	}
	memcpy(g->ram->host + off, bytes, g->n * SNAP_PAGE);
	phys_ram_written(m->phys, g->ram, off, g->n * SNAP_PAGE);
}
