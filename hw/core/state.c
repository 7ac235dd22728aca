/*
 * Sections of named fields, and devices as such.
 *
 * A device's section holds what its tables name (dev_each_saved), its type and the
 * properties a guest can notice; those must be the same where it is loaded.
 */
#include "hw/core/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/crc32c.h"
#include "hw/core/dev.h"

#define CRC_BYTES	4u
#define PROP_PREFIX	"property "

/* ---- writing ---- */

void state_buf_free(struct state_buf *b)
{
	free(b->p);
	*b = (struct state_buf){ 0 };
}

static void append(struct state_buf *b, const void *p, size_t n)
{
	if (b->failed || b->n + n > STATE_MAX_SECTION * 4ull) {
		b->failed = true;
		return;
	}
	if (b->n + n > b->cap) {
		size_t cap = max_u64(b->n + n, 2 * b->cap + 4096);
		uint8_t *q = realloc(b->p, cap);
		if (!q) {
			b->failed = true;
			return;
		}
		b->p = q;
		b->cap = cap;
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void append32(struct state_buf *b, uint32_t v)
{
	append(b, &v, sizeof(v));
}

static void append_name(struct state_buf *b, const char *name)
{
	uint8_t n = (uint8_t)min_u64(strlen(name), STATE_NAME_MAX);

	append(b, &n, 1);
	append(b, name, n);
}

void state_begin(struct state_buf *b, const char *tag, const char *instance, uint32_t version)
{
	b->begun = b->n;
	append32(b, 0);
	append_name(b, tag);
	append_name(b, instance);
	append32(b, version);
}

void state_put(struct state_buf *b, const char *name, const void *p, uint32_t size)
{
	append_name(b, name);
	append32(b, size);
	append(b, p, size);
}

void state_put32(struct state_buf *b, const char *name, uint32_t v)
{
	state_put(b, name, &v, sizeof(v));
}

void state_put64(struct state_buf *b, const char *name, uint64_t v)
{
	state_put(b, name, &v, sizeof(v));
}

void state_put_text(struct state_buf *b, const char *name, const char *text)
{
	state_put(b, name, text, (uint32_t)strlen(text));
}

void state_end(struct state_buf *b)
{
	if (b->failed)
		return;
	st32(b->p + b->begun, (uint32_t)(b->n - b->begun + CRC_BYTES));
	append32(b, crc32c(0, b->p + b->begun, b->n - b->begun));
}

/* ---- reading ---- */

uint32_t section_length(const uint8_t *p)
{
	uint32_t n = ld32(p);

	return n >= SECTION_HEAD + 2 + 4 + CRC_BYTES && n <= STATE_MAX_SECTION ? n : 0;
}

/* A name off the front; NULL: it goes beyond the end. */
static const uint8_t *take_name(const uint8_t *p, const uint8_t *end, char *name)
{
	if (p >= end || p[0] > end - p - 1)
		return NULL;
	memcpy(name, p + 1, p[0]);
	name[p[0]] = 0;
	return p + 1 + p[0];
}

struct field {
	const uint8_t *name, *p;
	uint8_t name_len;
	uint32_t size;
};

/* The field at p; where the next one is, or NULL. */
static const uint8_t *field_at(const uint8_t *p, const uint8_t *end, struct field *f)
{
	if (p >= end || p[0] + 5 > end - p)
		return NULL;
	*f = (struct field){ p + 1, p + 1 + p[0] + 4, p[0], ld32(p + 1 + p[0]) };
	return f->size > (size_t)(end - f->p) ? NULL : f->p + f->size;
}

bool section_parse(const uint8_t *p, uint32_t n, struct section *s, struct err *e)
{
	const uint8_t *end = p + n - CRC_BYTES, *at = p + SECTION_HEAD;
	struct field f;

	s->crc = crc32c(0, p, n - CRC_BYTES);
	if (s->crc != ld32(end))
		return err_set(e, "it is damaged: a checksum is wrong");
	if (!(at = take_name(at, end, s->tag)) || !(at = take_name(at, end, s->instance)) || end - at < 4)
		return err_set(e, "it is damaged: a section without a head");
	s->version = ld32(at);
	s->fields = at + 4;
	s->end = end;
	for (at = s->fields; at < end;)
		if (!(at = field_at(at, end, &f)))
			return err_set(e, "it is damaged: a field of '%s' goes beyond its end", s->tag);
	return true;
}

const uint8_t *section_field(const struct section *s, const char *name, uint32_t *size)
{
	size_t n = strlen(name);
	struct field f;

	for (const uint8_t *at = s->fields; at < s->end;) {
		at = field_at(at, s->end, &f);
		if (!at)
			return NULL;
		if (f.name_len == n && !memcmp(f.name, name, n)) {
			*size = f.size;
			return f.p;
		}
	}
	return NULL;
}

bool section_get(const struct section *s, const char *name, void *p, uint32_t size, struct err *e)
{
	uint32_t n;
	const uint8_t *q = section_field(s, name, &n);

	if (!q)
		return err_set(e, "'%s' of '%s %s' is not there", name, s->tag, s->instance);
	if (n != size)
		return err_set(e, "'%s' of '%s %s' has %u bytes, not %u", name, s->tag, s->instance, n, size);
	memcpy(p, q, size);
	return true;
}

bool section_get32(const struct section *s, const char *name, uint32_t *v, struct err *e)
{
	return section_get(s, name, v, sizeof(*v), e);
}

bool section_get64(const struct section *s, const char *name, uint64_t *v, struct err *e)
{
	return section_get(s, name, v, sizeof(*v), e);
}

bool section_version_ok(const struct section *s, uint32_t known, struct err *e)
{
	return s->version <= known
		|| err_set(e, "'%s %s' is of version %u, and this program knows version %u: it was saved by a newer one",
			   s->tag, s->instance, s->version, known);
}

/* May a field that a table names be loaded from here? An older section may lack it. */
static bool field_ok(const struct section *s, const char *name, uint32_t size, uint32_t version, struct err *e)
{
	uint32_t n;
	const uint8_t *q = section_field(s, name, &n);

	if (!q && s->version < version)
		return true;
	if (!q)
		return err_set(e, "'%s' of '%s %s' is not there", name, s->tag, s->instance);
	return n == size || err_set(e, "'%s' of '%s %s' has %u bytes, not %u", name, s->tag, s->instance, n, size);
}

/* ---- tables ---- */

void state_put_table(struct state_buf *b, const struct state *table, const void *base)
{
	for (; table->name; table++)
		state_put(b, table->name, (const char *)base + table->off, table->size);
}

bool section_get_table(const struct section *s, const struct state *table, void *base, uint32_t version,
		       struct err *e)
{
	uint32_t n;

	for (; table->name; table++) {
		assert(table->kind != STATE_TIMER_KIND);
		if (!field_ok(s, table->name, table->size, version, e))
			return false;
		const uint8_t *q = section_field(s, table->name, &n);
		if (q && base)
			memcpy((char *)base + table->off, q, table->size);
		for (uint32_t i = 0; base && table->kind == STATE_BOOLS && i < table->size; i++)
			fix_bool((bool *)((char *)base + table->off) + i);
	}
	return true;
}

/* ---- devices ---- */

/* Properties that a guest can tell; names of files and back ends may differ. */
static bool guest_sees(const struct prop *p)
{
	return p->type != PROP_STR && p->type != PROP_CHR && p->type != PROP_BACKEND && p->type != PROP_IRQ
		&& p->type != PROP_BOOT;
}

static void put_props(struct state_buf *b, const struct dev *d, const struct prop *p)
{
	char name[STATE_NAME_MAX + 1], text[512];

	for (; p && p->name; p++)
		if (guest_sees(p)) {
			snprintf(name, sizeof(name), PROP_PREFIX "%s", p->name);
			dev_prop_text(d, p, text, sizeof(text));
			state_put_text(b, name, text);
		}
}

static void put_field(void *opaque, const char *name, void *p, uint32_t size)
{
	state_put(opaque, name, p, size);
}

void state_put_dev(struct state_buf *b, struct dev *d)
{
	state_begin(b, "dev", d->id, d->type->version);
	state_put_text(b, "type", d->type->name);
	put_props(b, d, d->type->props);
	put_props(b, d, d->type->bus_props);
	dev_each_saved(d, put_field, b);
	state_end(b);
}

static bool props_agree(const struct section *s, const struct dev *d, const struct prop *p, struct err *e)
{
	char name[STATE_NAME_MAX + 1], text[512];
	uint32_t n;

	for (; p && p->name; p++) {
		if (!guest_sees(p))
			continue;
		snprintf(name, sizeof(name), PROP_PREFIX "%s", p->name);
		dev_prop_text(d, p, text, sizeof(text));
		const uint8_t *q = section_field(s, name, &n);
		if (q && (n != strlen(text) || memcmp(q, text, n)))
			return err_set(e, "device %s: %s is %s here and was %.*s", d->id, p->name, text,
				       (int)min_u64(n, 64), (const char *)q);
	}
	return true;
}

struct fit {
	const struct section *s;
	uint32_t version;
	bool ok;
	struct err *e;
};

static void fit_field(void *opaque, const char *name, void *p, uint32_t size)
{
	struct fit *f = opaque;

	(void)p;
	f->ok = f->ok && field_ok(f->s, name, size, f->version, f->e);
}

bool section_fits_dev(const struct section *s, struct dev *d, struct err *e)
{
	struct fit f = { s, d->type->version, true, e };
	uint32_t n = 0;
	const uint8_t *type = section_field(s, "type", &n);

	if (!type || n != strlen(d->type->name) || memcmp(type, d->type->name, n))
		return err_set(e, "device %s is a %s here and was a %.*s", d->id, d->type->name,
			       type ? (int)min_u64(n, 64) : 1, type ? (const char *)type : "?");
	if (!section_version_ok(s, d->type->version, e) || !props_agree(s, d, d->type->props, e)
	    || !props_agree(s, d, d->type->bus_props, e))
		return false;
	dev_each_saved(d, fit_field, &f);
	return f.ok;
}

static void load_field(void *opaque, const char *name, void *p, uint32_t size)
{
	uint32_t n;
	const uint8_t *q = section_field(opaque, name, &n);

	if (q && n == size)
		memcpy(p, q, size);
}

void section_load_dev(const struct section *s, struct dev *d)
{
	dev_each_saved(d, load_field, (void *)(uintptr_t)s);
}
