/* "first,key=value,key2=value2": the arguments of command-line options. */
#include "ui/keyval.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bits.h"
#include "base/spell.h"
#include "ui/json.h"

static void fail(struct kv *k)
{
	k->failed = true;
}

/* Cut the next comma-separated word off *p, undoubling ",,". NULL at the end. */
static char *next_word(char **p)
{
	char *word = *p, *r = word, *w = word;

	if (!word)
		return NULL;
	for (; *r; r++) {
		if (*r == ',' && r[1] != ',')
			break;
		r += *r == ',';
		*w++ = *r;
	}
	*p = *r ? r + 1 : NULL;
	*w = 0;
	return word;
}

static void add(struct kv *k, const char *key, const char *value)
{
	if (k->n == KV_MAX) {
		err_set(k->e, "%s: more than %d values", k->option, KV_MAX);
		fail(k);
		return;
	}
	k->pair[k->n].key = key;
	k->pair[k->n++].value = value;
}

/* ---- JSON: {"driver": "x", "file": {"name": ..}} as driver=x,file.name=.. ---- */

static const char *value_text(const struct value *v, char buf[32])
{
	switch (v->kind) {
	case VAL_STR:	return v->s;
	case VAL_BOOL:	return v->b ? "on" : "off";
	case VAL_INT:	snprintf(buf, 32, "%lld", (long long)v->i); return buf;
	default:	return NULL;
	}
}

/* "key\0value\0" behind each other. */
static bool flatten(FILE *f, const char *key, const struct value *v)
{
	char buf[32], name[200];
	const char *text;

	for (size_t i = 0; i < v->n; i++) {
		if (v->kind == VAL_LIST)	/* a key given more than once */
			snprintf(name, sizeof(name), "%s", key);
		else
			snprintf(name, sizeof(name), "%.90s%s%.90s", key, *key ? "." : "", v->key[i]);
		if (!flatten(f, name, v->item[i]))
			return false;
	}
	if (v->kind == VAL_LIST || v->kind == VAL_DICT)
		return true;
	text = value_text(v, buf);
	return text && fprintf(f, "%s%c%s%c", key, 0, text, 0) > 0;
}

static void parse_json(struct kv *k, const char *text)
{
	struct value *v = json_parse(text, strlen(text), k->e);
	size_t n = 0;
	FILE *f = v && v->kind == VAL_DICT ? open_memstream(&k->text, &n) : NULL;

	if (!f || !flatten(f, "", v)) {
		if (v)
			err_set(k->e, "expected a JSON object of texts, numbers and switches");
		err_prefix(k->e, "%s", k->option);
		fail(k);
	}
	val_free(v);
	if (f)
		fclose(f);
	for (char *p = k->text; !k->failed && p < k->text + n;) {
		char *value = p + strlen(p) + 1;

		add(k, p, value);
		p = value + strlen(value) + 1;
	}
}

void kv_parse(struct kv *k, const char *option, const char *text, const char *implied, struct err *e)
{
	char *p, *word;

	memset(k, 0, sizeof(*k));
	k->option = option;
	k->e = e;
	if (*text == '{') {
		parse_json(k, text);
		return;
	}
	k->text = p = strdup(text);
	if (!p) {
		err_set(e, "out of memory");
		fail(k);
		return;
	}
	for (bool first = true; (word = next_word(&p)); first = false) {
		char *eq = strchr(word, '=');
		if (eq && (!first || !implied || eq > word)) {
			*eq = 0;
			add(k, word, eq + 1);
		} else if (first && implied) {
			add(k, implied, word);
		} else if (!strncmp(word, "no", 2) && word[2]) {
			add(k, word + 2, "off");
		} else if (*word) {
			add(k, word, "on");
		}
	}
}

void kv_free(struct kv *k)
{
	free(k->text);
	k->text = NULL;
}

static void list_asked(const struct kv *k, char *buf, size_t n)
{
	size_t at = 0;

	buf[0] = 0;
	for (int i = 0; i < k->n_asked && at < n; i++)
		at += (size_t)snprintf(buf + at, n - at, "%s%s", i ? ", " : "", k->asked[i]);
}

static bool unknown_key(struct kv *k, const char *key)
{
	char hint[80], all[300];
	struct spell near;

	spell_init(&near, key);
	for (int i = 0; i < k->n_asked; i++)
		spell_try(&near, k->asked[i]);
	if (near.best)
		return err_set(k->e, "%s: no key '%s'%s", k->option, key,
			       spell_hint(&near, hint, sizeof(hint)));
	list_asked(k, all, sizeof(all));
	return err_set(k->e, "%s: no key '%s'; it takes %s", k->option, key, *all ? all : "none");
}

bool kv_done(struct kv *k)
{
	for (int i = 0; i < k->n && !k->failed; i++) {
		if (!k->pair[i].taken) {
			unknown_key(k, k->pair[i].key);
			fail(k);
		}
	}
	return !k->failed;
}

const char *kv_str(struct kv *k, const char *key, const char *def)
{
	if (k->n_asked < (int)ARRAY_LEN(k->asked))
		k->asked[k->n_asked++] = key;
	for (int i = 0; i < k->n; i++) {
		if (!strcmp(k->pair[i].key, key)) {
			k->pair[i].taken = true;
			def = k->pair[i].value;
		}
	}
	return def;
}

int kv_all(struct kv *k, const char *key, const char **out, int max)
{
	int n = 0;

	kv_str(k, key, NULL);
	for (int i = 0; i < k->n && !k->failed; i++) {
		if (strcmp(k->pair[i].key, key))
			continue;
		if (n == max) {
			err_set(k->e, "%s: %s: more than %d", k->option, key, max);
			fail(k);
		} else {
			out[n++] = k->pair[i].value;
		}
	}
	return n;
}

void kv_ignore(struct kv *k, const char *const keys[])
{
	for (; *keys; keys++)
		kv_str(k, *keys, NULL);
}

static void wrong(struct kv *k, const char *key, const char *value, const char *expected)
{
	if (!k->failed)
		err_set(k->e, "%s: %s=%s: expected %s", k->option, key, value, expected);
	fail(k);
}

int kv_word(struct kv *k, const char *key, int def, const char *const words[])
{
	const char *v = kv_str(k, key, NULL);
	char expected[200] = "", hint[80];
	struct spell near;
	size_t at = 0;

	if (!v)
		return def;
	spell_init(&near, v);
	for (int i = 0; words[i]; i++) {
		if (!strcmp(v, words[i]))
			return i;
		spell_try(&near, words[i]);
		if (at < sizeof(expected))
			at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s%s",
					       i ? ", " : "", words[i]);
	}
	if (at < sizeof(expected))
		snprintf(expected + at, sizeof(expected) - at, "%s",
			 spell_hint(&near, hint, sizeof(hint)));
	wrong(k, key, v, expected);
	return def;
}

bool kv_bool(struct kv *k, const char *key, bool def)
{
	static const char *const words[] = { "off", "on", "no", "yes", "false", "true", NULL };

	return kv_word(k, key, def, words) & 1;
}

uint64_t kv_num(struct kv *k, const char *key, uint64_t def, uint64_t min, uint64_t max)
{
	const char *v = kv_str(k, key, NULL);
	char expected[80];
	uint64_t n;

	if (!v)
		return def;
	if (parse_num(v, &n) && n >= min && n <= max)
		return n;
	snprintf(expected, sizeof(expected), "a number from %llu to %llu",
		 (unsigned long long)min, (unsigned long long)max);
	wrong(k, key, v, expected);
	return def;
}

uint64_t kv_size(struct kv *k, const char *key, uint64_t def, uint64_t unit)
{
	const char *v = kv_str(k, key, NULL);
	uint64_t n;

	if (!v)
		return def;
	if (parse_size(v, unit, &n))
		return n;
	wrong(k, key, v, "a size such as 512M or 2G");
	return def;
}

bool parse_num(const char *s, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	*out = strtoull(s, &end, 0);
	return !errno && !*end;
}

/* Bytes a suffix stands for; 0: none that we know. */
static uint64_t suffix_unit(const char *s, uint64_t unit)
{
	static const char letters[] = "BKMGTP";
	const char *at = *s ? strchr(letters, toupper((unsigned char)*s)) : NULL;

	if (!*s)
		return unit;
	if (!at)
		return 0;
	if (s[1] && strcasecmp(s + 1, "B") && strcasecmp(s + 1, "iB"))
		return 0;
	return 1ull << (10 * (at - letters));
}

/* The fraction ".ddd" at *s of one unit, in bytes; moves *s behind it. */
static uint64_t fraction(const char **s, uint64_t unit)
{
	uint64_t num = 0, den = 1;

	for (++*s; isdigit((unsigned char)**s); ++*s) {
		if (den < 1000000) {
			num = num * 10 + (uint64_t)(**s - '0');
			den *= 10;
		}
	}
	return (uint64_t)((unsigned __int128)num * unit / den);
}

bool parse_size(const char *s, uint64_t unit, uint64_t *out)
{
	const char *frac = NULL, *p;
	uint64_t whole, extra = 0;
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	whole = strtoull(s, &end, 0);
	if (errno)
		return false;
	p = end;
	if (*p == '.')
		for (frac = p++; isdigit((unsigned char)*p);)
			p++;
	unit = suffix_unit(p, unit);
	if (!unit)
		return false;
	if (frac)
		extra = fraction(&frac, unit);
	if (whole > UINT64_MAX / unit || whole * unit > UINT64_MAX - extra)
		return false;
	*out = whole * unit + extra;
	return true;
}
