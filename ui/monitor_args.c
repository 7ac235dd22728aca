/* What is typed in the human monitor as the arguments of a command of both syntaxes. */
#include <stdlib.h>
#include <string.h>

#include "ui/keyval.h"
#include "ui/monitor_priv.h"
#include "ui/schema.h"

static bool parse_switch(const char *word, bool *on)
{
	static const char *const yes[] = { "on", "yes", "true" }, *const no[] = { "off", "no", "false" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcmp(word, yes[i]))
			return *on = true, true;
		if (!strcmp(word, no[i]))
			return *on = false, true;
	}
	return false;
}

/* One word as a member's value; NULL: told why not. */
static struct value *make_value(struct monitor *mon, const struct member *m, const char *word, FILE *out)
{
	uint64_t v;
	bool on;

	if (!strcmp(m->type, "size") && parse_size(word, 1, &v))
		return val_int((int64_t)v);
	if (!strcmp(m->type, "int") || !strcmp(m->type, "size"))
		return mon_expr(mon, word, &v, out) ? val_int((int64_t)v) : NULL;
	if (strcmp(m->type, "bool"))
		return val_str(word);
	if (parse_switch(word, &on))
		return val_bool(on);
	fprintf(out, "%s: expected on or off\n", m->name);
	return NULL;
}

static bool add_word(struct monitor *mon, struct value *args, const struct member *m, const char *word,
		     FILE *out)
{
	struct value *v = make_value(mon, m, word, out);

	if (v)
		val_set(args, m->name, v);
	return v;
}

static bool find_letter(const struct command *row, char letter, struct member *m)
{
	const char *p = row->args;

	while (schema_next(&p, m))
		if (m->letter == letter)
			return true;
	return false;
}

static bool is_letter(const struct command *row, const char *word, struct member *m)
{
	return word[0] == '-' && word[1] && !word[2] && find_letter(row, word[1], m);
}

/* "-f" and its like, wherever they stand; the other words move up. */
static bool take_letters(struct monitor *mon, const struct command *row, struct mon_args *a, struct value *args,
			 FILE *out)
{
	struct member m;
	int n = 0;

	for (int i = 0; i < a->n; i++) {
		if (!is_letter(row, a->word[i], &m)) {
			a->word[n++] = a->word[i];
		} else if (!strcmp(m.type, "bool")) {
			val_set(args, m.name, val_bool(true));
		} else if (++i == a->n) {
			fprintf(out, "%s: -%c needs a %s\n", row->human, m.letter, m.name);
			return false;
		} else if (!add_word(mon, args, &m, a->word[i], out)) {
			return false;
		}
	}
	a->n = n;
	return true;
}

/* "driver,key=value": the first word is the first member's value. */
static bool take_pairs(const struct command *row, const char *text, struct value *args, FILE *out)
{
	const char *p = row->args;
	struct member first;
	struct err e = { "" };
	struct kv k;

	schema_next(&p, &first);
	kv_parse(&k, row->human, text, first.name, &e);
	for (int i = 0; i < k.n && !k.failed; i++)
		val_set(args, k.pair[i].key, val_str(k.pair[i].value));
	if (k.failed)
		fprintf(out, "%s\n", e.msg);
	else
		kv_free(&k);
	return !k.failed;
}

static bool complain(const struct command *row, FILE *out)
{
	char buf[256];
	const char *params = command_params(row, buf, sizeof(buf));

	fprintf(out, "%s: expected %s\n", row->human, *params ? params : "no arguments");
	return false;
}

static bool take_words(struct monitor *mon, const struct command *row, struct mon_args *a, struct value *args,
		       FILE *out)
{
	const char *p = row->args;
	struct member m;
	int i = 0;

	if (!take_letters(mon, row, a, args, out))
		return false;
	if (strchr(p, '*'))
		return (a->n == 1 || complain(row, out)) && take_pairs(row, a->word[0], args, out);
	while (schema_next(&p, &m)) {
		if (m.letter || !command_member_typed(&m))
			continue;
		if (i == a->n && !m.optional)
			return complain(row, out);
		if (i < a->n && !add_word(mon, args, &m, a->word[i++], out))
			return false;
	}
	return i == a->n || complain(row, out);
}

/* A letter that is not there means "no", even where programs have to say so. */
static void default_letters(const struct command *row, struct value *args)
{
	const char *p = row->args;
	struct member m;

	while (schema_next(&p, &m))
		if (m.letter && !m.optional && !strcmp(m.type, "bool") && !val_get(args, m.name))
			val_add_bool(args, m.name, false);
}

struct value *mon_make_args(struct monitor *mon, const struct command *row, const struct mon_args *a,
			    FILE *out)
{
	struct value *args = val_dict();
	struct mon_args words = *a;

	if (take_words(mon, row, &words, args, out)) {
		default_letters(row, args);
		return args;
	}
	val_free(args);
	return NULL;
}
