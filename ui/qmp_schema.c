/*
 * query-qmp-schema: the rows of commands.def and schema.def as programs read them.
 *
 * Types keep their names; what has none (arguments of a command, lists) gets one
 * that no row can have.
 */
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "ui/commands.h"
#include "ui/schema.h"

#define NAME 128
#define EMPTY "0"		/* the object without members */

static struct value *entry(const char *name, const char *meta)
{
	struct value *v = val_dict();

	val_add_str(v, "name", name);
	val_add_str(v, "meta-type", meta);
	return v;
}

/* "size" is an integer with units for people. */
static const char *type_name(const char *type)
{
	return !strcmp(type, "size") ? "int" : type;
}

static struct value *members_of(const char *members)
{
	struct value *list = val_list();
	struct member m;

	while (schema_next(&members, &m)) {
		struct value *v = val_dict();

		val_add_str(v, "name", m.name);
		val_add_str(v, "type", type_name(m.type));
		if (m.optional)
			val_add(v, "default", val_null());
		val_append(list, v);
	}
	return list;
}

static void add_object(struct value *all, const char *name, const char *members)
{
	struct value *v = entry(name, "object");

	val_add(v, "members", members_of(members));
	val_append(all, v);
}

static void add_union(struct value *all, const struct schema_type *t)
{
	struct value *v = entry(t->name, "object"), *list = val_list();
	const char *p = t->variants;
	struct member m;

	while (schema_next(&p, &m)) {
		struct value *x = val_dict();

		val_add_str(x, "case", m.name);
		val_add_str(x, "type", m.type);
		val_append(list, x);
	}
	val_add(v, "members", members_of(t->body));
	val_add_str(v, "tag", t->tag);
	val_add(v, "variants", list);
	val_append(all, v);
}

/* Calls fn for every word of a list. */
static void each_word(const char *words, void (*fn)(const char *word, void *opaque), void *opaque)
{
	char word[NAME];

	for (const char *s = words; *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");
		snprintf(word, sizeof(word), "%.*s", (int)n, s);
		fn(word, opaque);
		s += n;
	}
}

struct lists {
	struct value *members, *values;
};

static void enum_value(const char *word, void *opaque)
{
	struct lists *l = opaque;
	struct value *m = val_dict();

	val_add_str(m, "name", word);
	val_append(l->members, m);
	val_append(l->values, val_str(word));
}

static void alternate_type(const char *word, void *opaque)
{
	struct value *m = val_dict();

	val_add_str(m, "type", type_name(word));
	val_append(opaque, m);
}

static void add_enum(struct value *all, const struct schema_type *t)
{
	struct value *v = entry(t->name, "enum");
	struct lists l = { val_add(v, "members", val_list()), val_add(v, "values", val_list()) };

	each_word(t->body, enum_value, &l);
	val_append(all, v);
}

static void add_alternate(struct value *all, const struct schema_type *t)
{
	struct value *v = entry(t->name, "alternate");

	each_word(t->body, alternate_type, val_add(v, "members", val_list()));
	val_append(all, v);
}

static void add_type(struct value *all, const struct schema_type *t)
{
	switch (t->kind) {
	case SCHEMA_ENUM:	add_enum(all, t); break;
	case SCHEMA_ALTERNATE:	add_alternate(all, t); break;
	case SCHEMA_UNION:	add_union(all, t); break;
	case SCHEMA_STRUCT:	add_object(all, t->name, t->body); break;
	}
}

static void add_builtins(struct value *all)
{
	static const struct { const char *name, *json; } builtins[] = {
		{ "str", "string" }, { "int", "int" }, { "number", "number" }, { "bool", "boolean" },
		{ "null", "null" }, { "any", "value" },
	};

	for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
		struct value *v = entry(builtins[i].name, "builtin");
		val_add_str(v, "json-type", builtins[i].json);
		val_append(all, v);
	}
	add_object(all, EMPTY, "");
}

/* The object that arguments are; it is listed if there are any. */
static void add_arguments(struct value *all, struct value *v, const char *name, const char *members)
{
	char type[NAME];

	if (!*members) {
		val_add_str(v, "arg-type", EMPTY);
		return;
	}
	snprintf(type, sizeof(type), "q_obj_%s-arg", name);
	val_add_str(v, "arg-type", type);
	add_object(all, type, members);
}

static void add_command(struct value *all, const struct command *c)
{
	struct value *v = entry(c->qmp, "command");

	add_arguments(all, v, c->qmp, c->args);
	val_add_str(v, "ret-type", c->returns ? c->returns : EMPTY);
	val_add_bool(v, "allow-oob", false);
	val_append(all, v);
}

/* ---- lists: each that is named somewhere, once ---- */

static void add_array(struct value *all, const char *type)
{
	char element[SCHEMA_WORD];
	struct value *v;

	if (*type != '[')
		return;
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(val_get_str(all->item[i], "name", ""), type))
			return;
	v = entry(type, "array");
	snprintf(element, sizeof(element), "%.*s", (int)strlen(type) - 2, type + 1);
	val_add_str(v, "element-type", type_name(element));
	val_append(all, v);
	add_array(all, element);
}

static void arrays_in(struct value *all, const char *members)
{
	struct member m;

	while (schema_next(&members, &m))
		add_array(all, m.type);
}

static void add_arrays(struct value *all)
{
	for (unsigned i = 0; i < n_commands; i++) {
		if (!commands[i].qmp)
			continue;
		arrays_in(all, commands[i].args);
		if (commands[i].returns)
			add_array(all, commands[i].returns);
	}
	for (unsigned i = 0; i < n_command_events; i++)
		arrays_in(all, command_events[i].members);
	for (unsigned i = 0; i < n_schema_types; i++)
		if (schema_types[i].kind == SCHEMA_STRUCT || schema_types[i].kind == SCHEMA_UNION)
			arrays_in(all, schema_types[i].body);
}

struct value *cmd_query_qmp_schema(struct cmd *c, const struct value *args)
{
	struct value *all = val_list();

	(void)c, (void)args;
	add_builtins(all);
	for (unsigned i = 0; i < n_commands; i++)
		if (commands[i].qmp)
			add_command(all, &commands[i]);
	for (unsigned i = 0; i < n_command_events; i++) {
		struct value *v = entry(command_events[i].name, "event");
		add_arguments(all, v, command_events[i].name, command_events[i].members);
		val_append(all, v);
	}
	for (unsigned i = 0; i < n_schema_types; i++)
		add_type(all, &schema_types[i]);
	add_arrays(all);
	return all;
}
