/* See command_text.h. */
#include "ui/command_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == ',')
			fputc(',', f);
		fputc(*s, f);
	}
}

static bool put_value(FILE *f, const char *key, const struct value *v)
{
	if (v->kind == VAL_LIST) {
		for (size_t i = 0; i < v->n; i++)
			if (v->item[i]->kind == VAL_LIST || !put_value(f, key, v->item[i]))
				return false;
		return true;
	}
	if (v->kind == VAL_DICT) {
		v = val_get(v, "str");
		if (!v || v->kind != VAL_STR)
			return false;
	}
	fprintf(f, ",%s=", key);
	if (v->kind == VAL_STR)
		put_escaped(f, v->s);
	else if (v->kind == VAL_INT)
		fprintf(f, "%lld", (long long)v->i);
	else if (v->kind == VAL_BOOL)
		fputs(v->b ? "on" : "off", f);
	return v->kind == VAL_STR || v->kind == VAL_INT || v->kind == VAL_BOOL;
}

char *command_text(const struct value *args, const char *first, struct err *e)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	bool ok = f || err_set(e, "no memory");

	if (!f)
		return NULL;
	put_escaped(f, val_get_str(args, first, ""));
	for (size_t i = 0; i < args->n && ok; i++) {
		const char *key = args->key[i];

		if (strcmp(key, first) && (strpbrk(key, ",=") || !put_value(f, key, args->item[i])))
			ok = err_set(e, "Invalid parameter type for '%.100s', expected: string", key);
	}
	fclose(f);
	if (ok)
		return text;
	free(text);
	return NULL;
}
