/* Descriptions of types, and checking values against them: see schema.h. */
#include "ui/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"

/* QKeyCode: the names of keys, as one list of words. */
static const char schema_key_names[] =
#define KEY(name, code, usage, symbol, shifted) name " "
#define ALIAS(name, code) name " "
#define SYMBOL(symbol, code)
#include "hw/core/keys.def"
#undef KEY
#undef ALIAS
#undef SYMBOL
	;

const struct schema_type schema_types[] = {
#define ENUM(name, values)			{ SCHEMA_ENUM, name, values, NULL, NULL },
#define STRUCT(name, members)			{ SCHEMA_STRUCT, name, members, NULL, NULL },
#define UNION(name, members, tag, variants)	{ SCHEMA_UNION, name, members, tag, variants },
#define ALTERNATE(name, types)			{ SCHEMA_ALTERNATE, name, types, NULL, NULL },
#include "ui/schema.def"
#undef ENUM
#undef STRUCT
#undef UNION
#undef ALTERNATE
};
const unsigned n_schema_types = ARRAY_LEN(schema_types);

const struct schema_type *schema_find(const char *name)
{
	for (unsigned i = 0; i < n_schema_types; i++)
		if (!strcmp(schema_types[i].name, name))
			return &schema_types[i];
	return NULL;
}

/* ---- reading descriptions ---- */

bool schema_next(const char **p, struct member *m)
{
	const char *s = *p + strspn(*p, " "), *colon;
	size_t n = strcspn(s, " "), k;

	*p = s;
	if (!n || *s == '*')
		return false;
	*p = s + n;
	colon = memchr(s, ':', n);
	k = colon ? (size_t)(colon - s) : n;
	m->letter = 0;
	m->optional = s[n - 1] == '?';
	snprintf(m->type, sizeof(m->type), "%.*s", (int)(n - k - 1 - m->optional), colon ? colon + 1 : "");
	if (k > 3 && s[k - 3] == '=' && s[k - 2] == '-') {
		m->letter = s[k - 1];
		k -= 3;
	}
	snprintf(m->name, sizeof(m->name), "%.*s", (int)k, s);
	return true;
}

static bool is_word_of(const char *word, const char *list)
{
	size_t k = strlen(word);

	for (const char *s = list; *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");
		if (n == k && !memcmp(s, word, n))
			return true;
		s += n;
	}
	return false;
}

/* ---- checking ---- */

static const struct { const char *name, *json; enum value_kind kind; } builtins[] = {
	{ "str", "string", VAL_STR }, { "int", "integer", VAL_INT }, { "size", "integer", VAL_INT },
	{ "number", "number", VAL_NUM }, { "bool", "boolean", VAL_BOOL }, { "null", "null", VAL_NULL },
};

static bool wrong(const char *path, const char *expected, struct err *e)
{
	return err_set(e, "Invalid parameter type for '%s', expected: %s", path, expected);
}

static bool check_builtin(const struct value *v, const char *type, const char *path, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
		if (strcmp(builtins[i].name, type))
			continue;
		if (v->kind == builtins[i].kind || (builtins[i].kind == VAL_NUM && v->kind == VAL_INT))
			return true;
		return wrong(path, builtins[i].json, e);
	}
	return err_set(e, "there is no type '%s'", type);
}

/* The members that a union has under its tag's value; "" if none. */
static const char *variant(const struct schema_type *t, const struct value *v)
{
	const char *p = t->variants, *which = val_get_str(v, t->tag, "");
	struct member m;

	while (schema_next(&p, &m))
		if (!strcmp(m.name, which)) {
			const struct schema_type *s = schema_find(m.type);
			return s ? s->body : "";
		}
	return "";
}

static bool is_member(const char *name, const char *members)
{
	struct member m;

	while (schema_next(&members, &m))
		if (!strcmp(m.name, name))
			return true;
	return *members == '*';
}

static bool check_present(const struct value *v, const char *members, const char *path, struct err *e)
{
	struct member m;
	char name[256];

	while (schema_next(&members, &m)) {
		const struct value *x = val_get(v, m.name);

		snprintf(name, sizeof(name), "%s%s%s", path, *path ? "." : "", m.name);
		if (!x && !m.optional)
			return err_set(e, "Parameter '%s' is missing", name);
		if (x && !schema_check(x, m.type, name, e))
			return false;
	}
	return true;
}

static bool check_dict(const struct value *v, const char *members, const char *more, const char *path,
		       struct err *e)
{
	if (v->kind != VAL_DICT)
		return wrong(path, "object", e);
	for (size_t i = 0; i < v->n; i++)
		if (!is_member(v->key[i], members) && !is_member(v->key[i], more))
			return err_set(e, "Parameter '%s%s%.100s' is unexpected", path, *path ? "." : "", v->key[i]);
	return check_present(v, members, path, e) && check_present(v, more, path, e);
}

static bool check_list(const struct value *v, const char *type, const char *path, struct err *e)
{
	char item[SCHEMA_WORD], name[256];

	if (v->kind != VAL_LIST)
		return wrong(path, "array", e);
	snprintf(item, sizeof(item), "%.*s", (int)strlen(type) - 2, type + 1);
	for (size_t i = 0; i < v->n; i++) {
		snprintf(name, sizeof(name), "%s[%zu]", path, i);
		if (!schema_check(v->item[i], item, name, e))
			return false;
	}
	return true;
}

static bool check_enum(const struct value *v, const char *values, const char *path, struct err *e)
{
	if (v->kind != VAL_STR)
		return wrong(path, "string", e);
	return is_word_of(v->s, values) ||
	       err_set(e, "Parameter '%s' does not accept value '%.100s'", path, v->s);
}

static bool check_alternate(const struct value *v, const char *types, const char *path, struct err *e)
{
	char type[SCHEMA_WORD];

	for (const char *s = types; *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");
		snprintf(type, sizeof(type), "%.*s", (int)n, s);
		if (schema_check(v, type, path, e))
			return true;
		s += n;
	}
	return err_set(e, "Invalid parameter type for '%s', expected: %s", path, types);
}

bool schema_check_members(const struct value *v, const char *members, const char *path, struct err *e)
{
	return check_dict(v, members, "", path, e);
}

bool schema_check(const struct value *v, const char *type, const char *path, struct err *e)
{
	const struct schema_type *t;

	if (*type == '[')
		return check_list(v, type, path, e);
	if (!strcmp(type, "any"))
		return true;
	t = schema_find(type);
	if (!t)
		return check_builtin(v, type, path, e);
	switch (t->kind) {
	case SCHEMA_ENUM:	return check_enum(v, t->body, path, e);
	case SCHEMA_ALTERNATE:	return check_alternate(v, t->body, path, e);
	case SCHEMA_UNION:	return check_dict(v, t->body, variant(t, v), path, e);
	default:		return check_dict(v, t->body, "", path, e);
	}
}
