/*
 * Trace points: rules, names, lines (trace.h).
 *
 * Names of points that fire are made anew each time and looked up in the rules: tracing is
 * for people, and a table of names would have to follow every device that comes and goes.
 */
#include "hw/core/trace.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/spell.h"
#include "hw/core/bus.h"
#include "hw/core/dev.h"
#include "hw/core/port.h"

/* ---- rules ---- */

static bool matches(const char *pattern, const char *name)
{
	return !fnmatch(pattern, name, 0);
}

bool trace_is_name(const char *pattern)
{
	return !strpbrk(pattern, "*?[");
}

bool trace_enabled(const struct machine *m, const char *name)
{
	for (size_t i = m->trace.n; i-- > 0;)
		if (matches(m->trace.rules[i].pattern, name))
			return m->trace.rules[i].on;
	return false;
}

/* A rule for the same pattern, or any before one for everything, decides nothing any more. */
static void drop_overruled(struct trace *t, const char *pattern)
{
	bool all = !strcmp(pattern, "*");
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (all || !strcmp(t->rules[i].pattern, pattern))
			free(t->rules[i].pattern);
		else
			t->rules[kept++] = t->rules[i];
	}
	t->n = kept;
}

bool trace_set(struct machine *m, const char *pattern, bool on, struct err *e)
{
	struct trace *t = &m->trace;
	struct trace_rule *rules, rule = { NULL, on };

	if (*pattern == '-') {
		rule.on = false;
		pattern++;
	}
	rule.pattern = strdup(pattern);
	rules = rule.pattern ? realloc(t->rules, (t->n + 1) * sizeof(*rules)) : NULL;
	if (!rules) {
		free(rule.pattern);
		return err_set(e, "no memory for the trace pattern '%s'", pattern);
	}
	t->rules = rules;
	drop_overruled(t, pattern);
	rules[t->n++] = rule;
	t->on = false;
	for (size_t i = 0; i < t->n; i++)
		t->on |= rules[i].on;
	return true;
}

bool trace_set_from(struct machine *m, const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	bool ok = true;

	if (!f)
		return err_errno(e, "cannot read the list of trace points %s", path);
	while (ok && getline(&line, &room, f) >= 0) {
		char *word = line + strspn(line, " \t");

		word[strcspn(word, " \t\r\n")] = 0;
		if (*word && *word != '#')
			ok = trace_set(m, word, true, e);
	}
	free(line);
	fclose(f);
	return ok;
}

bool trace_exists(struct machine *m, const char *pattern, struct err *e)
{
	struct trace_names all = { 0 };
	struct spell near;
	char hint[TRACE_NAME + 40];
	bool found = false;

	pattern += *pattern == '-';
	trace_list(m, NULL, &all);
	spell_init(&near, pattern);
	for (size_t i = 0; i < all.n && !found; i++) {
		found = matches(pattern, all.name[i]);
		spell_try(&near, all.name[i]);
	}
	if (!found)
		err_set(e, "no trace point '%s'%s", pattern, trace_is_name(pattern) && near.best
			? spell_hint(&near, hint, sizeof(hint)) : " (see -trace help or info trace-events)");
	trace_names_free(&all);
	return found;
}

bool trace_open(struct machine *m, const char *path, struct err *e)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return err_errno(e, "cannot write the trace file %s", path);
	setvbuf(f, NULL, _IOLBF, 0);
	if (m->trace.file)
		fclose(m->trace.file);
	m->trace.file = f;
	return true;
}

void trace_fini(struct machine *m)
{
	struct trace *t = &m->trace;

	for (size_t i = 0; i < t->n; i++)
		free(t->rules[i].pattern);
	free(t->rules);
	if (t->file)
		fclose(t->file);
	*t = (struct trace){ 0 };
}

/* ---- names ---- */

static void make_name(char buf[TRACE_NAME], const char *who, const char *what, const char *how)
{
	snprintf(buf, TRACE_NAME, "%s%s%s%s%s", who, what ? "." : "", what ? what : "", how ? "." : "", how ? how : "");
}

void trace_name(struct trace_names *l, const char *who, const char *what, const char *how)
{
	char buf[TRACE_NAME];

	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		char **more = realloc(l->name, room * sizeof(*more));

		if (!more)
			return;
		l->name = more;
		l->room = room;
	}
	make_name(buf, who, what, how);
	l->name[l->n] = strdup(buf);
	l->n += l->name[l->n] != NULL;
}

static void name_devices(struct machine *m, struct trace_names *l)
{
	for (const struct dev *d = m->devs; d; d = d->next) {
		for (const struct reg *r = d->type->regs; r && r->name; r++) {
			trace_name(l, d->id, r->name, "read");
			trace_name(l, d->id, r->name, "write");
		}
		if (d->has_irq)
			trace_name(l, d->id, NULL, "irq");
	}
}

static void name_masters(struct machine *m, struct trace_names *l)
{
	(void)m;
	trace_name(l, "dma", NULL, "read");
	trace_name(l, "dma", NULL, "write");
	trace_name(l, "msi", NULL, NULL);
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sort, and keep of each name that matches one. */
static void tidy(struct trace_names *l, const char *pattern)
{
	size_t kept = 0;

	if (l->n)
		qsort(l->name, l->n, sizeof(l->name[0]), order);
	for (size_t i = 0; i < l->n; i++) {
		char *s = l->name[i];

		if ((kept && !strcmp(l->name[kept - 1], s)) || (pattern && !matches(pattern, s)))
			free(s);
		else
			l->name[kept++] = s;
	}
	l->n = kept;
}

void trace_list(struct machine *m, const char *pattern, struct trace_names *out)
{
	static trace_source *const own[] = { name_devices, port_trace_names, mmio_trace_names, name_masters };

	*out = (struct trace_names){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		own[i](m, out);
	for (int i = 0; i < TRACE_SOURCES && m->trace.source[i]; i++)
		m->trace.source[i](m, out);
	tidy(out, pattern);
}

void trace_names_free(struct trace_names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->name[i]);
	free(l->name);
	*l = (struct trace_names){ 0 };
}

void trace_add_source(struct machine *m, trace_source *s)
{
	for (int i = 0; i < TRACE_SOURCES; i++) {
		if (!m->trace.source[i])
			m->trace.source[i] = s;
		if (m->trace.source[i] == s)
			return;
	}
}

/* ---- lines ---- */

void trace_point(struct machine *m, const char *who, const char *what, const char *how, const char *fmt, ...)
{
	uint64_t now = clock_now(&m->clock);
	char when[40], name[TRACE_NAME], text[256];
	va_list ap;

	make_name(name, who, what, how);
	if (!trace_enabled(m, name))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(when, sizeof(when), "%llu.%09llu", now / NS_PER_SEC, now % NS_PER_SEC);
	if (m->trace.file)
		fprintf(m->trace.file, "%s %s %s\n", when, name, text);
	else
		log_always("%s %s %s\n", when, name, text);
}

void trace_access(struct machine *m, const char *range, bool write, uint64_t off, int size, uint64_t v)
{
	trace_point(m, range, NULL, write ? "write" : "read", "+0x%" PRIx64 " 0x%0*" PRIx64, off, 2 * size,
		    v & size_mask(size));
}
