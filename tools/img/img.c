/*
 * rhea-img: make, look at, copy and change disk images. Commands, options and
 * output are qemu-img's.
 *
 * Not modelled: amend, bitmap; --object and --image-opts;
 * formats other than raw and qcow2; commit into an image further down the chain.
 */
#include "tools/img/img.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/spell.h"
#include "config.h"

static const struct command {
	const char *name;
	const char *letters;		/* short options, as getopt() has them */
	int min, max;			/* files and sizes */
	int (*run)(const struct args *a);
	const char *usage;
} commands[] = {
	{ "bench",    "c:d:f:no:qs:S:t:i:wUh", 1, 1, cmd_bench,
	  "[-c COUNT] [-d DEPTH] [-f FMT] [--flush-interval=N] [-o OFFSET] [--pattern=N] [-s SIZE] [-S STEP] [-t CACHE] [-w] [-U] FILE" },
	{ "check",    "qf:r:T:Uh",         1, 1, cmd_check,    "[-q] [-f FMT] [--output=json] [-r leaks|all] [-U] FILE" },
	{ "commit",   "qf:t:b:dph",        1, 1, cmd_commit,   "[-q] [-f FMT] [-t CACHE] [-d] [-p] FILE" },
	{ "compare",  "f:F:T:pqsUh",       2, 2, cmd_compare,  "[-f FMT] [-F FMT] [-p] [-q] [-s] [-U] FILE1 FILE2" },
	{ "convert",  "Ucpqnf:t:T:O:B:F:o:l:S:m:Wh", 2, 64, cmd_convert,
	  "[-c] [-p] [-q] [-n] [-U] [-f FMT] [-t CACHE] [-O FMT] [-B BACKING [-F FMT]] [-o OPTIONS] "
	  "[-l SNAPSHOT] [-S SPARSE] [-m WORKERS] [-W] FILE... OUTPUT" },
	{ "create",   "qf:b:F:uo:h",       1, 2, cmd_create,   "[-q] [-f FMT] [-b BACKING -F FMT] [-u] [-o OPTIONS] FILE [SIZE]" },
	{ "dd",       "f:O:Uh",            0, 5, cmd_dd,
	  "[-f FMT] [-O FMT] [-U] [bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=INPUT of=OUTPUT" },
	{ "info",     "f:Uh",              1, 1, cmd_info,     "[-f FMT] [--output=json] [--backing-chain] [-U] FILE" },
	{ "map",      "f:s:l:Uh",          1, 1, cmd_map,      "[-f FMT] [--start-offset=N] [--max-length=N] [--output=json] [-U] FILE" },
	{ "measure",  "f:O:o:l:Uh",        0, 1, cmd_measure,  "[--output=json] [-O FMT] [-o OPTIONS] [-f FMT] [-U] --size=N | FILE" },
	{ "rebase",   "Uqf:t:T:pub:F:h",   1, 1, cmd_rebase,   "[-q] [-f FMT] [-p] [-u] -b BACKING [-F FMT] FILE" },
	{ "resize",   "qf:h",              1, 1, cmd_resize,   "[-q] [-f FMT] [--shrink] FILE [+|-]SIZE" },
	{ "snapshot", "Uqla:c:d:h",        1, 1, cmd_snapshot, "[-U] [-q] [-l | -a NAME | -c NAME | -d NAME] FILE" },
};

enum { OPT_OUTPUT = 256, OPT_CHAIN, OPT_SHRINK, OPT_START, OPT_LENGTH, OPT_PREALLOC, OPT_SIZE, OPT_FLUSH, OPT_PATTERN };

static const struct option long_options[] = {
	{ "output", required_argument, NULL, OPT_OUTPUT },	{ "backing-chain", no_argument, NULL, OPT_CHAIN },
	{ "shrink", no_argument, NULL, OPT_SHRINK },		{ "start-offset", required_argument, NULL, OPT_START },
	{ "max-length", required_argument, NULL, OPT_LENGTH },	{ "help", no_argument, NULL, 'h' },
	{ "force-share", no_argument, NULL, 'U' },		{ "preallocation", required_argument, NULL, OPT_PREALLOC },
	{ "size", required_argument, NULL, OPT_SIZE },		{ "flush-interval", required_argument, NULL, OPT_FLUSH },
	{ "pattern", required_argument, NULL, OPT_PATTERN },	{ 0 }
};

int fail(const struct err *e)
{
	fprintf(stderr, "rhea-img: %s\n", e->msg);
	return 1;
}

int fail_with(const char *fmt, ...)
{
	va_list ap;
	fputs("rhea-img: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

static void usage(FILE *out)
{
	fprintf(out, "rhea-img version " CONFIG_VERSION "\nUsage: rhea-img COMMAND [OPTIONS] FILE...\n\n");
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %s %s\n", commands[i].name, commands[i].usage);
	fprintf(out, "\nFormats: raw qcow2. Sizes are bytes, or have a suffix: k M G T P E. Options: -o help\n");
}

/* ---- arguments ---- */

static bool set_cache(struct args *a, const char *word, struct err *e)
{
	if (block_cache_mode(&a->cache, word))
		return true;
	return err_set(e, "cache mode '%s' is not known", word);
}

static bool join_options(struct args *a, const char *more, struct err *e)
{
	char *s;
	if (!a->o) {
		a->o = more;
		return true;
	}
	if (asprintf(&s, "%s,%s", a->o, more) < 0)	/* lives as long as the program */
		return err_set(e, "no memory");
	a->o = s;
	return true;
}

static bool is(const struct args *a, const char *command)
{
	return !strcmp(a->command, command);
}

static bool snapshot_action(struct args *a, int letter, const char *name, struct err *e)
{
	if (a->snapshot)
		return err_set(e, "snapshot: only one of -l, -a, -c, -d");
	a->snapshot = (char)letter;
	a->name = name;
	return true;
}

static bool take_number(const char *v, long min, long max, int *out, struct err *e)
{
	char *end;
	long n = strtol(v, &end, 10);

	if (!*v || *end || n < min || n > max)
		return err_set(e, "'%s': expected a number from %ld to %ld", v, min, max);
	*out = (int)n;
	return true;
}

static bool take_long(struct args *a, int letter, const char *v, struct err *e)
{
	enum qcow2_prealloc p;
	switch (letter) {
	case OPT_OUTPUT:
		if (strcmp(v, "json") && strcmp(v, "human"))
			return err_set(e, "--output must be used with human or json as argument");
		a->json = !strcmp(v, "json");
		return true;
	case OPT_CHAIN:		a->chain = true; return true;
	case OPT_SHRINK:	a->shrink = true; return true;
	case OPT_START:		return parse_size(v, &a->start, e);
	case OPT_LENGTH:	return parse_size(v, &a->length, e);
	case OPT_SIZE:
		a->has_length = true;
		return parse_size(v, &a->length, e);
	case OPT_FLUSH:		return take_number(v, 1, 1 << 30, &a->flush_interval, e);
	case OPT_PATTERN:	return take_number(v, 0, 255, &a->pattern, e);
	case OPT_PREALLOC:
		if (!parse_prealloc(v, &p, e))
			return false;
		return p == QCOW2_PREALLOC_OFF || err_set(e, "resize makes room only when it is written to");
	default:
		return err_set(e, "%s: see rhea-img --help", a->command);
	}
}

static bool take_bench(struct args *a, int letter, const char *v, struct err *e)
{
	switch (letter) {
	case 'c': return take_number(v, 1, 1 << 30, &a->count, e);
	case 'd': return take_number(v, 1, 256, &a->depth, e);
	case 'o': return parse_size(v, &a->start, e);
	case 's':
		return parse_size(v, &a->buffer, e) && ((a->buffer && a->buffer <= 64u << 20)
			|| err_set(e, "-s: expected 512 bytes to 64M"));
	case 'S': return parse_size(v, &a->step, e);
	case 'n': case 'i': return true;	/* threads do it anyhow */
	default: a->write = true; return true;
	}
}

static bool take(struct args *a, int letter, const char *v, struct err *e)
{
	if (is(a, "snapshot") && strchr("lacd", letter))
		return snapshot_action(a, letter, v, e);
	if (is(a, "bench") && strchr("cdosSniw", letter))
		return take_bench(a, letter, v, e);
	switch (letter) {
	case 'f': a->f = v; return true;
	case 'F': a->F = v; return true;
	case 'O': a->O = v; return true;
	case 'b': case 'B': a->b = v; return true;
	case 'o': return join_options(a, v, e);
	case 'l': if (is(a, "map")) return parse_size(v, &a->length, e); a->l = v; return true;
	case 's': if (is(a, "map")) return parse_size(v, &a->start, e); a->strict = true; return true;
	case 'r': a->repair = v; return true;
	case 'c': a->compress = true; return true;
	case 'p': a->progress = true; return true;
	case 'q': a->quiet = true; return true;
	case 'u': a->unsafe = true; return true;
	case 'n': a->no_create = true; return true;
	case 'd': a->drop = true; return true;
	case 'U': a->shared = true; return true;
	case 'S': return parse_size(v, &a->sparse, e);
	case 't': return set_cache(a, v, e);
	case 'h': a->help = true; return true;
	case 'm': return take_number(v, 1, 16, &a->workers, e);
	case 'W': a->out_of_order = true; return true;
	case 'T': return true;		/* how fast, not what */
	default: return take_long(a, letter, v, e);
	}
}

/* resize FILE -1G: not an option. */
static int take_size(struct args *a, int argc, char **argv)
{
	if (is(a, "resize") && argc > 2)
		a->size = argv[--argc];
	return argc;
}

static int run(const struct command *c, int argc, char **argv)
{
	struct args a = { .command = c->name, .length = UINT64_MAX, .sparse = 4096 };
	struct err e;
	int letter;

	argc = take_size(&a, argc, argv);
	while ((letter = getopt_long(argc, argv, c->letters, long_options, NULL)) != -1)
		if (letter == '?' || !take(&a, letter, optarg, &e))
			return letter == '?' ? fail_with("%s: see rhea-img --help", c->name) : fail(&e);
	a.n = argc - optind;
	a.file = argv + optind;
	if (a.help) {
		printf("Usage: rhea-img %s %s\n", c->name, c->usage);
		return 0;
	}
	if (a.o && (!strcmp(a.o, "help") || !strcmp(a.o, "?"))) {
		list_options(a.O ? a.O : a.f ? a.f : "raw");
		return 0;
	}
	if (a.n < c->min || a.n > c->max || (is(&a, "resize") && !a.size))
		return fail_with("usage: rhea-img %s %s", c->name, c->usage);
	return c->run(&a);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	struct spell s;
	char hint[64];

	if (!strcmp(name, "-h") || !strcmp(name, "--help") || !strcmp(name, "-help") || !strcmp(name, "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(name, "-V") || !strcmp(name, "--version")) {
		printf("rhea-img version " CONFIG_VERSION "\n");
		return 0;
	}
	spell_init(&s, name);
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
		if (!strcmp(name, commands[i].name))
			return run(&commands[i], argc - 1, argv + 1);
		spell_try(&s, commands[i].name);
	}
	if (!*name)
		return fail_with("a command is missing; see rhea-img --help");
	return fail_with("command '%s' is not known%s; see rhea-img --help", name, spell_hint(&s, hint, sizeof(hint)));
}
