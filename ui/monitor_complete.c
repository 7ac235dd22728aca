/*
 * Completion in the human monitor: what a word may become follows from the command's
 * row, by the name of the parameter that stands in its place.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hw/backend/drive.h"
#include "hw/core/dev.h"
#include "ui/keymap.h"
#include "ui/monitor_complete.h"
#include "ui/monitor_priv.h"
#include "ui/schema.h"

/* ---- candidates ---- */

void complete_free(struct completion *c)
{
	for (int i = 0; i < c->n; i++)
		free(c->word[i]);
	c->n = 0;
}

/* `name` fits if it begins with what stands there. */
static void offer(struct completion *c, const char *name)
{
	size_t have = strlen(c->stem);

	if (c->n == COMPLETE_MAX || strncmp(name, c->stem, have))
		return;
	for (int i = 0; i < c->n; i++)
		if (!strcmp(c->word[i], name))
			return;
	c->word[c->n] = strdup(name);
	c->n += c->word[c->n] != NULL;
}

static void offer_commands(struct completion *c, bool subjects)
{
	for (unsigned i = 0; i < n_commands; i++)
		if (commands[i].human && commands[i].subject == subjects)
			offer(c, commands[i].human);
}

static void offer_drives(struct monitor *mon, struct completion *c)
{
	for (struct drive *d = NULL; (d = drive_next(mon->vm->m, d));)
		offer(c, drive_id(d));
}

static void offer_devices(struct monitor *mon, struct completion *c)
{
	for (const struct dev *d = mon->vm->m->devs; d; d = d->next)
		if (d->user)
			offer(c, d->id);
}

static void offer_types(struct monitor *mon, struct completion *c)
{
	for (const struct dev_type *const *t = mon->vm->m->types; *t; t++)
		if (!(*t)->bus || strcmp((*t)->bus, "system"))
			offer(c, (*t)->name);
}

static void offer_chardevs(struct monitor *mon, struct completion *c)
{
	for (const struct chr *s = mon->vm->m->chrs; s; s = s->next)
		offer(c, s->id);
}

static void offer_networks(struct monitor *mon, struct completion *c)
{
	for (const struct backend *b = mon->vm->m->backends; b; b = b->next)
		if (!strcmp(b->kind, "netdev"))
			offer(c, b->id);
}

/* Only what stands behind the last of these characters is completed. */
static void behind(struct completion *c, char separator)
{
	char *last = strrchr(c->stem, separator);

	if (last)
		memmove(c->stem, last + 1, strlen(last + 1) + 1);
}

static void offer_keys(struct monitor *mon, struct completion *c)
{
	const char *name;

	(void)mon;
	behind(c, '-');
	for (unsigned i = 0; (name = keymap_nth(i)); i++)
		offer(c, name);
}

static void offer_areas(struct monitor *mon, struct completion *c)
{
	(void)mon;
	behind(c, ',');
	for (int i = 0; i < LOG_NAREAS; i++)
		offer(c, log_areas[i].name);
}

static void offer_trace_points(struct monitor *mon, struct completion *c)
{
	struct trace_names l;

	trace_list(mon->vm->m, NULL, &l);
	for (size_t i = 0; i < l.n; i++)
		offer(c, l.name[i]);
	trace_names_free(&l);
}

static void offer_files(struct monitor *mon, struct completion *c)
{
	const char *slash = strrchr(c->stem, '/');
	char folder[MON_LINE], name[MON_LINE + 300];
	struct dirent *entry;
	DIR *dir;

	(void)mon;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash + 1 - c->stem) : 0, c->stem);
	dir = opendir(*folder ? folder : ".");
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(name, sizeof(name), "%s%s%s", folder, entry->d_name, entry->d_type == DT_DIR ? "/" : "");
		offer(c, name);
	}
	if (dir)
		closedir(dir);
}

static void offer_command_names(struct monitor *mon, struct completion *c)
{
	(void)mon;
	offer_commands(c, false);
}

static void offer_subjects(struct monitor *mon, struct completion *c)
{
	(void)mon;
	offer_commands(c, true);
}

/* ---- which of them ---- */

static const struct {
	const char *command;		/* NULL: any */
	const char *parameter;
	void (*offer)(struct monitor *mon, struct completion *c);
} sources[] = {
	{ "device_del",		"id",		offer_devices },
	{ "chardev-remove",	"id",		offer_chardevs },
	{ "chardev-send-break",	"id",		offer_chardevs },
	{ "ringbuf_read",	"device",	offer_chardevs },
	{ "ringbuf_write",	"device",	offer_chardevs },
	{ "netdev_del",		"id",		offer_networks },
	{ "trace-event",	"name",		offer_trace_points },
	{ "drive_del",		"id",		offer_drives },
	{ NULL,			"network",	offer_networks },
	{ NULL,			"device",	offer_drives },
	{ NULL,			"driver",	offer_types },
	{ NULL,			"filename",	offer_files },
	{ NULL,			"protocol",	offer_files },
	{ NULL,			"file",		offer_files },
	{ NULL,			"keys",		offer_keys },
	{ NULL,			"areas",	offer_areas },
	{ NULL,			"command",	offer_command_names },
	{ NULL,			"subject",	offer_subjects },
};

/* The nth parameter of a row for people: "[network]", "file". */
static bool nth_word(const char *params, int n, char *buf, size_t size)
{
	for (const char *s = params; *s; s += strspn(s, " ")) {
		size_t k = strcspn(s, " ");

		if (n-- == 0) {
			const char *from = s + strspn(s, "[");
			snprintf(buf, size, "%.*s", (int)strcspn(from, " ],|"), from);
			return true;
		}
		s += k;
	}
	return false;
}

static bool nth_member(const char *members, int n, struct member *m)
{
	while (schema_next(&members, m))
		if (!m->letter && command_member_typed(m) && n-- == 0)
			return true;
	return false;
}

static void offer_values(struct completion *c, const char *type)
{
	const struct schema_type *t = schema_find(type);
	char word[SCHEMA_WORD];

	for (const char *s = t && t->kind == SCHEMA_ENUM ? t->body : ""; *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");
		snprintf(word, sizeof(word), "%.*s", (int)n, s);
		offer(c, word);
		s += n;
	}
}

static void by_parameter(struct monitor *mon, const struct command *row, int n, struct completion *c)
{
	struct member m = { .name = "" };

	if (n < 0 || (row->params ? !nth_word(row->params, n, m.name, sizeof(m.name)) : !nth_member(row->args, n, &m)))
		return;
	offer_values(c, m.type);
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		if (!strcmp(sources[i].parameter, m.name) &&
		    (!sources[i].command || !strcmp(sources[i].command, row->human))) {
			sources[i].offer(mon, c);
			return;
		}
}

/* Does "-f" take the next word as its value? */
static bool takes_value(const struct command *row, const char *word)
{
	const char *p = row && row->args ? row->args : "";
	struct member m;

	while (schema_next(&p, &m))
		if (m.letter == word[1] && strcmp(m.type, "bool"))
			return true;
	return false;
}

/* Which parameter stands behind these words. */
static int parameter_after(const struct command *row, char *words)
{
	char *save = NULL;
	bool value = false;
	int n = 0;

	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		n += !value && *w != '-';
		value = !value && *w == '-' && takes_value(row, w);
	}
	return value ? -1 : n;
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void complete(struct monitor *mon, const char *line, struct completion *c)
{
	char copy[MON_LINE], *rest;
	const char *last;
	const struct command *row;
	struct spell near;

	line += strspn(line, " ");
	last = strrchr(line, ' ');
	c->n = 0;
	snprintf(c->stem, sizeof(c->stem), "%s", last ? last + 1 : line);
	if (!last) {
		offer_commands(c, false);
	} else {
		snprintf(copy, sizeof(copy), "%.*s", (int)(last - line), line);
		rest = copy + strcspn(copy, " ");
		if (*rest)
			*rest++ = 0;
		row = command_find_human(copy, false, &near);
		if (row)
			by_parameter(mon, row, parameter_after(row, rest), c);
	}
	qsort(c->word, (size_t)c->n, sizeof(c->word[0]), order);
}

size_t complete_common(const struct completion *c)
{
	size_t n = c->n ? strlen(c->word[0]) : 0;

	for (int i = 1; i < c->n; i++)
		while (strncmp(c->word[0], c->word[i], n))
			n--;
	return n;
}
