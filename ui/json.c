/* Values as JSON text and back: see json.h. The caller bounds nesting and length. */
#include "ui/json.h"

#include "config.h"

#ifdef CONFIG_JANSSON
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool json_built_in(void)
{
	return true;
}

/* ---- text to value ---- */

static struct value *from_json(json_t *j);

static struct value *from_object(json_t *j)
{
	struct value *v = val_dict();
	const char *key;
	json_t *item;

	json_object_foreach(j, key, item)
		val_add(v, key, from_json(item));
	return v;
}

static struct value *from_array(json_t *j)
{
	struct value *v = val_list();
	json_t *item;
	size_t i;

	json_array_foreach(j, i, item)
		val_append(v, from_json(item));
	return v;
}

static struct value *from_json(json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:	return from_object(j);
	case JSON_ARRAY:	return from_array(j);
	case JSON_STRING:	return val_str(json_string_value(j));
	case JSON_INTEGER:	return val_int(json_integer_value(j));
	case JSON_REAL:		return val_num(json_real_value(j));
	case JSON_TRUE:		return val_bool(true);
	case JSON_FALSE:	return val_bool(false);
	default:		return val_null();
	}
}

struct value *json_parse(const char *text, size_t n, struct err *e)
{
	json_error_t why;
	json_t *j = json_loadb(text, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
	struct value *v;

	if (!j) {
		err_set(e, "JSON parse error, %s", why.text);
		return NULL;
	}
	v = from_json(j);
	json_decref(j);
	return v;
}

/* ---- value to text ---- */

/* Bytes that are not ASCII become '?': only text that is no UTF-8 comes here. */
static json_t *cleaned(const char *s)
{
	char *copy = strdup(s);
	json_t *j;

	for (char *p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	j = copy ? json_string(copy) : NULL;
	free(copy);
	return j;
}

static json_t *to_json(const struct value *v)
{
	json_t *j;

	switch (v->kind) {
	case VAL_BOOL:	return json_boolean(v->b);
	case VAL_INT:	return json_integer(v->i);
	case VAL_NUM:	return json_real(v->d);
	case VAL_STR:
		j = json_string(v->s);
		return j ? j : cleaned(v->s);
	case VAL_LIST:
		j = json_array();
		for (size_t i = 0; i < v->n; i++)
			json_array_append_new(j, to_json(v->item[i]));
		return j;
	case VAL_DICT:
		j = json_object();
		for (size_t i = 0; i < v->n; i++)
			json_object_set_new(j, v->key[i], to_json(v->item[i]));
		return j;
	default:
		return json_null();
	}
}

char *json_text(const struct value *v, bool pretty)
{
	json_t *j = to_json(v);
	char *text = json_dumps(j, JSON_ENCODE_ANY | (pretty ? JSON_INDENT(4) : 0));

	json_decref(j);
	return text;
}

#else

bool json_built_in(void)
{
	return false;
}

struct value *json_parse(const char *text, size_t n, struct err *e)
{
	(void)text, (void)n;
	err_set(e, "this program was built without jansson");
	return NULL;
}

char *json_text(const struct value *v, bool pretty)
{
	(void)v, (void)pretty;
	return NULL;
}

#endif
