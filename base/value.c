/* Structured values: see value.h. Members of a dictionary keep their order. */
#include "base/value.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct value *make(enum value_kind kind)
{
	struct value *v = calloc(1, sizeof(*v));

	assert(v);
	v->kind = kind;
	return v;
}

struct value *val_null(void) { return make(VAL_NULL); }
struct value *val_list(void) { return make(VAL_LIST); }
struct value *val_dict(void) { return make(VAL_DICT); }

struct value *val_bool(bool b)
{
	struct value *v = make(VAL_BOOL);

	v->b = b;
	return v;
}

struct value *val_int(int64_t i)
{
	struct value *v = make(VAL_INT);

	v->i = i;
	return v;
}

struct value *val_num(double d)
{
	struct value *v = make(VAL_NUM);

	v->d = d;
	return v;
}

struct value *val_str(const char *s)
{
	struct value *v = make(VAL_STR);

	v->s = strdup(s);
	assert(v->s);
	return v;
}

struct value *val_strf(const char *fmt, ...)
{
	struct value *v = make(VAL_STR);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&v->s, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	return v;
}

void val_free(struct value *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++) {
		val_free(v->item[i]);
		if (v->kind == VAL_DICT)
			free(v->key[i]);
	}
	free(v->item);
	free(v->key);
	free(v->s);
	free(v);
}

static void grow(struct value *v)
{
	if (v->n < v->cap)
		return;
	v->cap = v->cap ? v->cap * 2 : 4;
	v->item = realloc(v->item, v->cap * sizeof(*v->item));
	assert(v->item);
	if (v->kind != VAL_DICT)
		return;
	v->key = realloc(v->key, v->cap * sizeof(*v->key));
	assert(v->key);
}

void val_append(struct value *list, struct value *v)
{
	assert(list->kind == VAL_LIST);
	grow(list);
	list->item[list->n++] = v;
}

struct value *val_add(struct value *dict, const char *key, struct value *v)
{
	assert(dict->kind == VAL_DICT);
	grow(dict);
	dict->key[dict->n] = strdup(key);
	assert(dict->key[dict->n]);
	dict->item[dict->n++] = v;
	return v;
}

void val_add_bool(struct value *dict, const char *key, bool b) { val_add(dict, key, val_bool(b)); }
void val_add_int(struct value *dict, const char *key, int64_t i) { val_add(dict, key, val_int(i)); }
void val_add_str(struct value *dict, const char *key, const char *s) { val_add(dict, key, val_str(s)); }

static ssize_t find(const struct value *dict, const char *key)
{
	if (dict && dict->kind == VAL_DICT)
		for (size_t i = 0; i < dict->n; i++)
			if (!strcmp(dict->key[i], key))
				return (ssize_t)i;
	return -1;
}

void val_set(struct value *dict, const char *key, struct value *v)
{
	ssize_t at = find(dict, key);

	if (at < 0) {
		val_add(dict, key, v);
		return;
	}
	val_free(dict->item[at]);
	dict->item[at] = v;
}

struct value *val_copy(const struct value *v)
{
	struct value *c;

	if (!v)
		return NULL;
	c = make(v->kind);
	c->b = v->b;
	c->i = v->i;
	c->d = v->d;
	c->s = v->s ? strdup(v->s) : NULL;
	for (size_t i = 0; i < v->n; i++) {
		if (v->kind == VAL_DICT)
			val_add(c, v->key[i], val_copy(v->item[i]));
		else
			val_append(c, val_copy(v->item[i]));
	}
	return c;
}

const struct value *val_get(const struct value *dict, const char *key)
{
	ssize_t at = find(dict, key);

	return at < 0 ? NULL : dict->item[at];
}

static const struct value *get(const struct value *dict, const char *key, enum value_kind kind)
{
	const struct value *v = val_get(dict, key);

	return v && v->kind == kind ? v : NULL;
}

const char *val_get_str(const struct value *dict, const char *key, const char *def)
{
	const struct value *v = get(dict, key, VAL_STR);

	return v ? v->s : def;
}

int64_t val_get_int(const struct value *dict, const char *key, int64_t def)
{
	const struct value *v = get(dict, key, VAL_INT);

	return v ? v->i : def;
}

bool val_get_bool(const struct value *dict, const char *key, bool def)
{
	const struct value *v = get(dict, key, VAL_BOOL);

	return v ? v->b : def;
}
