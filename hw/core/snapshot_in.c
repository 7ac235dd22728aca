/*
 * Reading a snapshot, in two rounds: the first checks every byte and keeps what is small,
 * the second loads it. Only a source that changes in between can leave a machine half loaded.
 *
 * Devices check what they are given themselves (dev_type.loaded), after they have it. So
 * what the machine held is put aside first, and comes back if one of them objects; memory
 * follows when none does.
 */
#include "hw/core/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/crc32c.h"
#include "cpu/accel.h"
#include "cpu/regs.h"
#include "cpu/tsc.h"
#include "hw/core/dev.h"
#include "hw/core/snapshot_priv.h"

#define MAX_KEPT	(512u << 20)	/* bytes of sections that are not memory */

/* A section: kept in memory (bytes), or where it stands (memory). */
struct item {
	uint64_t at;
	uint32_t n;
	uint8_t *bytes;
	struct section s;		/* of a kept one */
};

struct snapshot_in {
	struct machine *m;
	struct snapshot_source src;
	struct item *item;
	size_t n, cap;
	uint64_t kept;
	uint32_t crc, sections;
	uint8_t *buf;			/* one section */
	size_t buf_cap;
	uint8_t room[SNAP_RUN * SNAP_PAGE];
};

/* ---- reading sections ---- */

static bool cut_short(struct err *e)
{
	return err_set(e, "it is cut short");
}

static bool read_at(struct snapshot_in *in, uint64_t at, void *p, size_t n, struct err *e)
{
	if (at > in->src.size || n > in->src.size - at)
		return cut_short(e);
	return in->src.read(in->src.opaque, at, p, n, e);
}

static bool make_room(struct snapshot_in *in, size_t n, struct err *e)
{
	if (n <= in->buf_cap)
		return true;
	uint8_t *p = realloc(in->buf, n);
	if (!p)
		return err_set(e, "no memory");
	in->buf = p;
	in->buf_cap = n;
	return true;
}

/* The section at `at` into in->buf. */
static bool read_section(struct snapshot_in *in, uint64_t at, struct section *s, uint32_t *n, struct err *e)
{
	uint8_t head[SECTION_HEAD];

	if (!read_at(in, at, head, sizeof(head), e))
		return false;
	*n = section_length(head);
	if (!*n)
		return err_set(e, "it is damaged: a section of impossible size");
	if (*n > in->src.size - at)
		return cut_short(e);
	return make_room(in, *n, e) && read_at(in, at, in->buf, *n, e) && section_parse(in->buf, *n, s, e);
}

static struct item *add_item(struct snapshot_in *in, struct err *e)
{
	if (in->n == in->cap) {
		size_t cap = in->cap ? 2 * in->cap : 256;
		struct item *p = realloc(in->item, cap * sizeof(*p));

		if (!p) {
			err_set(e, "no memory");
			return NULL;
		}
		in->item = p;
		in->cap = cap;
	}
	in->item[in->n] = (struct item){ 0 };
	return &in->item[in->n++];
}

/* Keep a copy of the section in in->buf. */
static bool keep(struct snapshot_in *in, uint32_t n, struct err *e)
{
	struct item *it = add_item(in, e);

	if (!it)
		return false;
	in->kept += n;
	if (in->kept > MAX_KEPT || !(it->bytes = malloc(n)))
		return err_set(e, "no memory for its %llu bytes of state", (unsigned long long)in->kept);
	memcpy(it->bytes, in->buf, n);
	it->n = n;
	return section_parse(it->bytes, n, &it->s, e);
}

static bool check_pages(struct snapshot_in *in, const struct section *s, uint64_t at, uint32_t n, struct err *e)
{
	struct ram_pages g;
	struct item *it;

	if (!snapshot_parse_pages(in->m, s, &g, e))
		return false;
	if (g.data && !snapshot_unpack(&g, in->room))
		return err_set(e, "it is damaged: pages that cannot be unpacked");
	it = add_item(in, e);
	if (it)
		*it = (struct item){ .at = at, .n = n };
	return it;
}

static bool check_end(struct snapshot_in *in, const struct section *s, uint64_t end, struct err *e)
{
	uint32_t sections, crc;

	if (!section_get32(s, "sections", &sections, e) || !section_get32(s, "crc", &crc, e))
		return false;
	if (sections != in->sections || crc != in->crc)
		return err_set(e, "it is damaged: sections are missing or stand in another order");
	return end == in->src.size || err_set(e, "it is damaged: there is something behind its end");
}

bool snapshot_begins(const void *p, size_t n, struct err *e)
{
	const uint8_t *head = p;

	if (memcmp(head, SNAPSHOT_MAGIC, n < 8 ? n : 8))
		return err_set(e, "it is no snapshot of this program");
	return n < SNAPSHOT_HEAD || ld32(head + 8) == SNAPSHOT_FORMAT
		|| err_set(e, "it has format %u, and this program knows format %u", ld32(head + 8), SNAPSHOT_FORMAT);
}

uint64_t snapshot_most(const struct machine *m)
{
	uint64_t most = MAX_KEPT;
	struct ram *r;

	for (unsigned i = 0; (r = phys_ram_nth(m->phys, i)); i++)
		most += SNAPSHOT_COPIES * (r->size + r->size / 16);	/* with what pages are wrapped in */
	return most;
}

static bool check_head(struct snapshot_in *in, struct err *e)
{
	uint8_t head[SNAPSHOT_HEAD];

	if (in->src.size < sizeof(head) || !read_at(in, 0, head, sizeof(head), e))
		return err_set(e, "it is no snapshot of this program");
	return snapshot_begins(head, sizeof(head), e);
}

static bool check_sections(struct snapshot_in *in, struct err *e)
{
	uint64_t at = SNAPSHOT_HEAD;
	struct section s;
	uint32_t n;

	for (;; at += n) {
		if (!read_section(in, at, &s, &n, e))
			return false;
		if (!strcmp(s.tag, "end"))
			return check_end(in, &s, at + n, e);
		in->crc = crc32c(in->crc, in->buf + n - 4, 4);
		in->sections++;
		if (!(strcmp(s.tag, "ram") ? keep(in, n, e) : check_pages(in, &s, at, n, e)))
			return false;
	}
}

/* ---- does it fit? ---- */

static const struct section *find(const struct snapshot_in *in, const char *tag, const char *instance)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct item *it = &in->item[i];

		if (it->bytes && !strcmp(it->s.tag, tag) && !strcmp(it->s.instance, instance))
			return &it->s;
	}
	return NULL;
}

static const struct section *find_cpu(const struct snapshot_in *in, int i)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", i);
	return find(in, "cpu", name);
}

static const struct saved_part *find_part(const struct machine *m, const char *name)
{
	const struct saved_part *p = m->saved;

	while (p && strcmp(p->name, name))
		p = p->next;
	return p;
}

static bool memory_fits(const struct snapshot_in *in, const struct section *s, struct err *e)
{
	char name[STATE_NAME_MAX - 8], field[STATE_NAME_MAX];
	uint64_t size;
	struct ram *r;

	for (unsigned i = 0; (r = snapshot_ram_nth(in->m, i, name, sizeof(name))); i++) {
		snprintf(field, sizeof(field), "memory %s", name);
		if (!section_get64(s, field, &size, e))
			return err_set(e, "the machine had no memory '%s'", name);
		if (size != r->size)
			return err_set(e, "memory '%s' had %llu KiB and has %llu: use the same -m and devices", name,
				       (unsigned long long)size >> 10, (unsigned long long)r->size >> 10);
	}
	return true;
}

static bool machine_fits(const struct snapshot_in *in, struct err *e)
{
	const struct section *s = find(in, "machine", "");
	const char *board = in->m->board ? in->m->board : "";
	uint32_t n, cpus;
	const uint8_t *p;

	if (!s || !section_version_ok(s, 1, e) || !(p = section_field(s, "board", &n))
	    || !section_get32(s, "processors", &cpus, e))
		return err_set(e, "it does not say what machine it is of");
	if (n != strlen(board) || memcmp(p, board, n))
		return err_set(e, "the machine was '%.*s' and is '%s': use the same -machine", (int)min_u64(n, 64),
			       (const char *)p, board);
	if (cpus != (uint32_t)in->m->n_cpus)
		return err_set(e, "there were %u processors and are %d: use the same -smp", cpus, in->m->n_cpus);
	return memory_fits(in, s, e);
}

static bool parts_fit(const struct snapshot_in *in, struct err *e)
{
	const struct section *s;

	for (const struct saved_part *p = in->m->saved; p; p = p->next) {
		if (!(s = find(in, "part", p->name)))
			return err_set(e, "'%s' of this machine is not in it", p->name);
		if (!section_version_ok(s, p->version, e) || !section_get_table(s, p->table, NULL, p->version, e))
			return false;
	}
	for (int i = 0; i < in->m->n_cpus; i++)
		if (!(s = find_cpu(in, i)) || !snapshot_cpu_fits(s, in->m->cpus[i], e))
			return s ? false : err_set(e, "processor %d is not in it", i);
	s = find(in, "clock", "");
	uint64_t v;
	if (!s)
		return err_set(e, "what time it was is not in it");
	return section_version_ok(s, 1, e) && section_get64(s, "now", &v, e) && section_get64(s, "wall_base", &v, e);
}

static bool devices_fit(const struct snapshot_in *in, struct err *e)
{
	for (struct dev *d = in->m->devs; d; d = d->next) {
		const struct section *s = find(in, "dev", d->id);

		if (!s)
			return err_set(e, "device '%s' (%s) of this machine is not in it", d->id, d->type->name);
		if (!section_fits_dev(s, d, e))
			return false;
	}
	return true;
}

/* Nothing in it that this machine does not have. */
static bool nothing_left_over(const struct snapshot_in *in, struct err *e)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct section *s = &in->item[i].s;
		bool is_dev = in->item[i].bytes && !strcmp(s->tag, "dev");

		if (is_dev && !dev_find(in->m, s->instance))
			return err_set(e, "its device '%s' is not in this machine", s->instance);
		if (in->item[i].bytes && !strcmp(s->tag, "part") && !find_part(in->m, s->instance))
			return err_set(e, "its part '%s' is not in this machine", s->instance);
	}
	return true;
}

struct snapshot_in *snapshot_open(struct machine *m, const struct snapshot_source *src, struct err *e)
{
	struct snapshot_in *in = calloc(1, sizeof(*in));

	if (!in) {
		err_set(e, "no memory");
		return NULL;
	}
	in->m = m;
	in->src = *src;
	if (check_head(in, e) && check_sections(in, e) && machine_fits(in, e) && parts_fit(in, e)
	    && devices_fit(in, e) && nothing_left_over(in, e))
		return in;
	snapshot_in_free(in);
	return NULL;
}

void snapshot_in_free(struct snapshot_in *in)
{
	if (!in)
		return;
	for (size_t i = 0; i < in->n; i++)
		free(in->item[i].bytes);
	free(in->item);
	free(in->buf);
	free(in);
}

/* ---- loading ---- */

/* A guest's clock that is bound to the host's stays so; one that began at a date goes on from where it was. */
static void load_clock(struct clock *c, const struct section *s)
{
	uint64_t now = 0, wall = 0;
	struct err ignored;

	section_get64(s, "now", &now, &ignored);
	section_get64(s, "wall_base", &wall, &ignored);
	clock_set(c, now);
	if (c->wall_vm || c->wall_date)
		c->wall_base = (int64_t)wall;
}

/* Everything but memory. False: a device objects. */
static bool load_state(struct snapshot_in *in, struct err *e)
{
	struct machine *m = in->m;
	struct err ignored;
	bool ok = true;

	load_clock(&m->clock, find(in, "clock", ""));
	phys_begin(m->phys);
	for (int i = 0; i < m->n_cpus; i++)
		snapshot_load_cpu(find_cpu(in, i), m->cpus[i]);
	tsc_goes_on(m->phys);
	for (const struct saved_part *p = m->saved; p; p = p->next)
		section_get_table(find(in, "part", p->name), p->table, p->base, p->version, &ignored);
	for (struct dev *d = m->devs; d; d = d->next)
		section_load_dev(find(in, "dev", d->id), d);
	for (const struct saved_part *p = m->saved; p; p = p->next)
		if (p->loaded)
			p->loaded(p->base);
	for (struct dev *d = m->devs; d; d = d->next)
		ok = dev_loaded(d, e) && ok;
	phys_end(m->phys);
	for (int i = 0; i < m->n_cpus; i++) {
		cpu_regs_loaded(m->cpus[i]);
		if (m->cpus[i]->ops)
			m->cpus[i]->ops->put(m->cpus[i]);
	}
	return ok;
}

static bool load_memory(struct snapshot_in *in, struct err *e)
{
	struct section s;
	struct ram_pages g;
	uint32_t n;

	for (size_t i = 0; i < in->n; i++) {
		const uint8_t *bytes = NULL;

		if (in->item[i].bytes)
			continue;
		if (!read_section(in, in->item[i].at, &s, &n, e) || strcmp(s.tag, "ram")
		    || !snapshot_parse_pages(in->m, &s, &g, e) || (g.data && !(bytes = snapshot_unpack(&g, in->room))))
			return err_set(e, "it changed while it was loaded");
		snapshot_load_pages(in->m, &g, bytes);
	}
	return true;
}

/* ---- putting aside what is there ---- */

static bool aside_write(void *opaque, const void *p, size_t n, struct err *e)
{
	struct state_buf *b = opaque;
	uint8_t *q = realloc(b->p, b->n + n);

	if (!q)
		return err_set(e, "no memory");
	b->p = q;
	memcpy(q + b->n, p, n);
	b->n += n;
	return true;
}

static bool aside_read(void *opaque, uint64_t at, void *p, size_t n, struct err *e)
{
	const struct state_buf *b = opaque;

	(void)e;
	memcpy(p, b->p + at, n);
	return true;
}

static bool put_aside(struct machine *m, struct state_buf *b, struct err *e)
{
	struct snapshot_sink sink = { aside_write, b };
	struct snapshot_out *o = snapshot_begin(m, &sink, e);
	bool ok = o && snapshot_end(o, e);

	snapshot_out_free(o);
	return ok;
}

static void bring_back(struct machine *m, struct state_buf *b)
{
	struct snapshot_source src = { aside_read, b, b->n };
	struct err e;
	struct snapshot_in *in = snapshot_open(m, &src, &e);

	if (in)
		load_state(in, &e);
	snapshot_in_free(in);
}

bool snapshot_load(struct snapshot_in *in, bool (*commit)(void *opaque, struct err *e), void *opaque,
		   bool *touched, struct err *e)
{
	struct state_buf before = { 0 };

	*touched = false;
	bool ok = put_aside(in->m, &before, e);
	if (ok && !(load_state(in, e) && (!commit || commit(opaque, e)))) {
		bring_back(in->m, &before);
		ok = false;
	}
	state_buf_free(&before);
	if (!ok)
		return false;
	*touched = true;
	return load_memory(in, e);
}
