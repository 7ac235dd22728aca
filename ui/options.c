/*
 * Walks the command line over the rows of options.def: finds the row, stores
 * flags and plain texts itself, calls the handler of the others
 * (options_parse.c), and prints -help from the same rows.
 */
#include "ui/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/spell.h"
#include "ui/options_parse.h"

enum store { STORE_NOTHING, STORE_TEXT, STORE_FLAG, STORE_CALL, STORE_HEAD };

struct row {
	const char *name, *alias, *arg;
	enum store store;
	size_t off;
	opt_fn *fn;
	const char *help;
};

#define TEXT(field)	STORE_TEXT, offsetof(struct options, field), NULL
#define FLAG(field)	STORE_FLAG, offsetof(struct options, field), NULL
#define CALL(fn)	STORE_CALL, 0, opt_##fn
#define NOTHING		STORE_NOTHING, 0, NULL
#define HEAD(text)	{ NULL, NULL, NULL, STORE_HEAD, 0, NULL, text },
#define OPT(name, alias, arg, how, help) { name, alias, arg, how, help },
static const struct row rows[] = {
#include "ui/options.def"
};

static void print_row(const struct row *r, FILE *out)
{
	int n = fprintf(out, "  -%s%s%s%s%s", r->name, r->alias ? ", -" : "",
			r->alias ? r->alias : "", r->arg ? " " : "", r->arg ? r->arg : "");

	if (n > 25)
		fprintf(out, "\n%25s %s\n", "", r->help);
	else
		fprintf(out, "%*s %s\n", 25 - n, "", r->help);
}

enum opt_result opt_help_text(FILE *out)
{
	fputs("Usage: rhea [options] [disk, CD or kernel image]..\n", out);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].store == STORE_HEAD)
			fprintf(out, "\n%s:\n", rows[i].help);
		else
			print_row(&rows[i], out);
	}
	return OPT_DONE;
}

bool options_row(unsigned n, const char **name, const char **arg)
{
	if (n >= ARRAY_LEN(rows))
		return false;
	*name = rows[n].name;
	*arg = rows[n].arg;
	return true;
}

static const struct row *find(const char *name, struct err *e)
{
	struct spell near;

	spell_init(&near, name);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		if (r->store == STORE_HEAD)
			continue;
		if (!strcmp(name, r->name) || (r->alias && !strcmp(name, r->alias)))
			return r;
		spell_try(&near, r->name);
	}
	if (near.best)
		err_set(e, "-%s: no such option; did you mean -%s?", name, near.best);
	else
		err_set(e, "-%s: no such option (see -help)", name);
	return NULL;
}

static enum opt_result store(struct options *o, const struct row *r, const char *arg, FILE *out,
			     struct err *e)
{
	char *field = (char *)o + r->off;

	switch (r->store) {
	case STORE_TEXT:
		memcpy(field, &arg, sizeof(arg));
		return OPT_GO;
	case STORE_FLAG:
		*(bool *)field = true;
		return OPT_GO;
	case STORE_CALL:
		return r->fn(o, arg, out, e);
	default:
		return OPT_GO;
	}
}

/* "help", or "help" behind what an argument begins with. */
static bool asks_help(const char *arg)
{
	const char *last = strrchr(arg, ',');

	return !strcmp(last ? last + 1 : arg, "help") || !strcmp(arg, "?");
}

enum opt_result options_parse(struct options *o, int argc, char **argv, FILE *out, struct err *e)
{
	enum opt_result res;

	options_defaults(o);
	if (argc < 2) {
		options_hint(out);
		return OPT_DONE;
	}
	for (int i = 1; i < argc; i++) {
		const struct row *r;
		const char *name = argv[i], *arg = NULL;

		if (*name != '-' || !name[1]) {
			res = options_add_file(o, name, e) ? OPT_GO : OPT_BAD;
		} else {
			name += name[1] == '-' ? 2 : 1;
			r = find(name, e);
			if (!r)
				return OPT_BAD;
			if (r->arg && i + 1 == argc) {
				err_set(e, "-%s needs an argument: %s", name, r->arg);
				return OPT_BAD;
			}
			if (r->arg)
				arg = argv[++i];
			res = store(o, r, arg, out, e);
			if (res == OPT_BAD && arg && asks_help(arg)) {	/* an option without a list of its own */
				print_row(r, out);
				res = OPT_DONE;
			}
		}
		if (res != OPT_GO)
			return res;
	}
	return options_complete(o, e) ? OPT_GO : OPT_BAD;
}
