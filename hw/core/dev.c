/*
 * Devices: making, finding, resetting and freeing them.
 */
#include "hw/core/dev.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/spell.h"
#include "base/value.h"
#include "hw/core/input.h"
#include "hw/core/prop.h"

/* ---- finding ---- */

static bool type_is_called(const struct dev_type *t, const char *name)
{
	return !strcmp(t->name, name) || (t->alias && !strcmp(t->alias, name));
}

const struct dev_type *dev_type_find(const struct machine *m, const char *name)
{
	for (const struct dev_type *const *p = m->types; p && *p; p++)
		if (type_is_called(*p, name))
			return *p;
	return NULL;
}

struct dev *dev_find(const struct machine *m, const char *id)
{
	struct dev *d = m->devs;

	while (d && strcmp(d->id, id))
		d = d->next;
	return d;
}

struct dev *dev_find_type(const struct machine *m, const struct dev_type *t)
{
	struct dev *d = m->devs;

	while (d && d->type != t)
		d = d->next;
	return d;
}

/* ---- making ---- */

static void each_prop(struct dev *d, void (*fn)(struct dev *d, const struct prop *p))
{
	for (const struct prop *p = d->type->props; p && p->name; p++)
		fn(d, p);
	for (const struct prop *p = d->type->bus_props; p && p->name; p++)
		fn(d, p);
}

/* The first of "type0", "type1", ... that is free. */
static char *make_id(const struct machine *m, const struct dev_type *t)
{
	char buf[80];

	for (int i = 0;; i++) {
		snprintf(buf, sizeof(buf), "%.64s%d", t->name, i);
		if (!dev_find(m, buf))
			return strdup(buf);
	}
}

static bool apply_globals(struct dev *d, struct err *e)
{
	for (struct global_prop *g = d->m->globals; g; g = g->next)
		if (type_is_called(d->type, g->driver) && !dev_set(d, g->prop, g->value, e))
			return err_prefix(e, "-global %s.%s", g->driver, g->prop);
	return true;
}

struct dev *dev_new(struct machine *m, const struct dev_type *t, const char *id, struct err *e)
{
	struct dev *d;

	if (id && dev_find(m, id)) {
		err_set(e, "there is a device '%s' already", id);
		return NULL;
	}
	d = aligned_alloc(64, align_up(t->size, 64));
	if (!d) {
		err_set(e, "no memory for %s", t->name);
		return NULL;
	}
	memset(d, 0, t->size);
	d->type = t;
	d->m = m;
	d->id = id ? strdup(id) : make_id(m, t);
	d->bootindex = -1;
	each_prop(d, prop_default);
	if (!apply_globals(d, e)) {
		dev_free(d);
		return NULL;
	}
	return d;
}

static void spell_props(struct spell *near, const struct prop *p)
{
	for (; p && p->name; p++)
		spell_try(near, p->name);
}

static bool unknown_prop(const struct dev_type *t, const char *prop, struct err *e)
{
	struct spell near;
	char hint[80];

	spell_init(&near, prop);
	spell_props(&near, t->props);
	spell_props(&near, t->bus_props);
	return err_set(e, "%s has no property '%s'%s", t->name, prop, spell_hint(&near, hint, sizeof(hint)));
}

bool dev_set(struct dev *d, const char *prop, const char *value, struct err *e)
{
	const struct prop *p = prop_find(d->type, prop);

	if (!p)
		return unknown_prop(d->type, prop, e);
	return prop_set(d, p, value, e) || err_prefix(e, "%s", d->id);
}

/* One "name=value" off the front of *s, unescaping ",,"; "name" alone means "name=on". */
static bool next_pair(const char **s, char *name, char *value, size_t n)
{
	size_t k = 0;
	const char *p = *s;
	char *to = name;

	if (!*p)
		return false;
	strcpy(value, "on");
	for (; *p; p++) {
		if (*p == ',') {
			if (p[1] != ',')
				break;
			p++;
		} else if (*p == '=' && to == name) {
			name[k] = 0;
			to = value;
			k = 0;
			value[0] = 0;
			continue;
		}
		if (k < n - 1)
			to[k++] = *p;
		to[k] = 0;
	}
	if (k == 0)
		to[0] = 0;
	*s = *p ? p + 1 : p;
	return true;
}

bool dev_set_all(struct dev *d, const char *list, struct err *e)
{
	char name[512], value[512];

	while (next_pair(&list, name, value, sizeof(name)))
		if (!dev_set(d, name, value, e))
			return false;
	return true;
}

static void link_last(struct dev *d)
{
	struct dev **p = &d->m->devs;

	while (*p)
		p = &(*p)->next;
	*p = d;
}

bool dev_start(struct dev *d, struct err *e)
{
	if (d->type->init && !d->type->init(d, e)) {
		err_prefix(e, "%s", d->id);
		d->live = true;		/* so that fini cleans up */
		dev_free(d);
		return false;
	}
	d->live = true;
	link_last(d);
	dev_reset(d);
	return true;
}

struct dev *dev_make(struct machine *m, const struct dev_type *t, const char *id, const char *props,
		     struct err *e)
{
	struct dev *d = dev_new(m, t, id, e);

	if (!d)
		return NULL;
	if (props && !dev_set_all(d, props, e)) {
		dev_free(d);
		return NULL;
	}
	return dev_start(d, e) ? d : NULL;
}

/* Takes "id=..." out of a property list; the rest goes to `rest`. */
static void split_id(const char *list, char *id, size_t n_id, char *rest, size_t n)
{
	size_t k = 0;

	id[0] = 0;
	while (*list) {
		const char *end = list;

		while (*end && (*end != ',' || end[1] == ','))
			end += *end == ',' ? 2 : 1;
		if (!strncmp(list, "id=", 3))
			snprintf(id, n_id, "%.*s", (int)(end - list - 3), list + 3);
		else if (k < n)
			k += snprintf(rest + k, n - k, "%s%.*s", k ? "," : "", (int)(end - list), list);
		list = *end ? end + 1 : end;
	}
	if (!k)
		rest[0] = 0;
}

/* Names that old scripts have. */
static const struct { const char *name, *now; } removed[] = {
	{ "ide-drive", "ide-hd, or ide-cd for an optical drive" },
};

bool dev_type_unknown(const struct machine *m, const char *name, struct err *e)
{
	struct spell near;
	char hint[80];

	for (unsigned i = 0; i < ARRAY_LEN(removed); i++)
		if (!strcmp(name, removed[i].name))
			return err_set(e, "'%s' is not a device type any more; say %s", name, removed[i].now);
	spell_init(&near, name);
	for (const struct dev_type *const *p = m->types; p && *p; p++)
		if (!(*p)->bus || strcmp((*p)->bus, "system"))
			spell_try(&near, (*p)->name);
	return err_set(e, "'%s' is not a device type%s", name,
		       near.best ? spell_hint(&near, hint, sizeof(hint)) : " (see -device help)");
}

struct dev *dev_make_from(struct machine *m, const char *text, struct err *e)
{
	char name[128], id[512], rest[2048];
	size_t n = strcspn(text, ",");
	const struct dev_type *t;

	snprintf(name, sizeof(name), "%.*s", (int)n, text);
	t = dev_type_find(m, name);
	if (!t) {
		dev_type_unknown(m, name, e);
		return NULL;
	}
	if (t->bus && !strcmp(t->bus, "system")) {
		err_set(e, "'%s' is part of the board", name);
		return NULL;
	}
	split_id(text[n] ? text + n + 1 : "", id, sizeof(id), rest, sizeof(rest));
	struct dev *d = dev_make(m, t, id[0] ? id : NULL, rest, e);
	if (d)
		d->user = true;
	return d;
}

void dev_free(struct dev *d)
{
	if (!d)
		return;
	for (struct dev **p = &d->m->devs; *p; p = &(*p)->next)
		if (*p == d) {
			*p = d->next;
			break;
		}
	if (d->live && d->type->fini)
		d->type->fini(d);
	each_prop(d, prop_free);
	free(d->id);
	free(d);
}

void dev_boot_path_add(char *buf, const char *fmt, ...)
{
	size_t n = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + n, BOOT_PATH - n, fmt, ap);
	va_end(ap);
}

void dev_unplug(struct dev *d)
{
	struct value *told = val_dict();

	val_add_str(told, "device", d->id);
	val_add(told, "path", val_strf("/machine/peripheral/%s", d->id));
	struct machine *m = d->m;
	dev_free(d);
	machine_event(m, "DEVICE_DELETED", told);
}

/* ---- interrupt lines ---- */

/* Bits of lines_up. */
enum { ISA_BITS = 0, GSI_BITS = MACHINE_N_ISA_IRQS, OWN_BITS = GSI_BITS + MACHINE_N_GSIS };

static void note(struct dev *d, int bit, int level, const char *kind, int n)
{
	if ((d->lines_up >> bit & 1) == (level != 0))
		return;
	d->lines_up ^= BIT(bit);
	if (trace_on(d->m))
		trace_point(d->m, d->id, NULL, "irq", "%d %s %d", level != 0, kind, n);
}

static void isa_line(void *opaque, int n, int level)
{
	struct dev *d = opaque;

	note(d, ISA_BITS + n, level, "line", n);
	irq_set(d->m->isa_irq[n], level);
}

static void gsi_line(void *opaque, int n, int level)
{
	struct dev *d = opaque;

	note(d, GSI_BITS + n, level, "pin", n);
	irq_set(d->m->gsi[n], level);
}

static void own_line(void *opaque, int n, int level)
{
	struct dev *d = opaque;

	note(d, OWN_BITS + n, level, "output", n);
	irq_set(d->own[n], level);
}

struct irq dev_isa_irq(struct dev *d, int n)
{
	assert(n >= 0 && n < MACHINE_N_ISA_IRQS);
	d->has_irq = true;
	return irq_make(isa_line, d, n);
}

struct irq dev_gsi(struct dev *d, int n)
{
	assert(n >= 0 && n < MACHINE_N_GSIS);
	d->has_irq = true;
	return irq_make(gsi_line, d, n);
}

struct irq dev_own_irq(struct dev *d, struct irq to)
{
	assert(d->n_own < DEV_OWN_LINES);
	d->has_irq = true;
	d->own[d->n_own] = to;
	return irq_make(own_line, d, d->n_own++);
}

/* ---- reset ---- */

void dev_reset(struct dev *d)
{
	for (const struct reg *r = d->type->regs; r && r->name; r++)
		reg_poke(d, r, r->reset);
	if (d->type->reset)
		d->type->reset(d);
	dev_update(d);
}

void machine_reset_devices(struct machine *m)
{
	phys_begin(m->phys);
	input_forget(m);
	for (struct dev *d = m->devs; d; d = d->next)
		dev_reset(d);
	phys_end(m->phys);
}

bool machine_can_save(struct machine *m, struct err *e)
{
	for (struct dev *d = m->devs; d; d = d->next)
		if (d->type->can_save && !d->type->can_save(d, e))
			return false;
	return true;
}
