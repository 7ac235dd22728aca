/*
 * Logging: areas switched by name at run time (-d), one destination (-D).
 *
 * log_mask is the one piece of global state the program has; the destination,
 * the address filter and the rate limit stand beside it, behind one lock.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/spell.h"

const struct log_area_info log_areas[LOG_NAREAS] = {
	[LOG_IN_ASM]	   = { "in_asm",       "guest code of each translated block" },
	[LOG_UOP]	   = { "uop",	       "micro-operations as the front end makes them" },
	[LOG_UOP_OPT]	   = { "uop_opt",      "micro-operations after the passes" },
	[LOG_OUT_ASM]	   = { "out_asm",      "host code of each translated block" },
	[LOG_INT]	   = { "int",	       "exceptions and interrupts, with the registers" },
	[LOG_EXEC]	   = { "exec",	       "each block that is entered" },
	[LOG_MMU]	   = { "mmu",	       "page walks and TLB flushes" },
	[LOG_GUEST_ERRORS] = { "guest_errors", "things the guest does that make no sense" },
	[LOG_UNIMP]	   = { "unimp",	       "things the guest uses that are not modelled" },
	[LOG_CPU_RESET]	   = { "cpu_reset",    "the registers at every reset" },
	[LOG_PAGE]	   = { "page",	       "changes of the physical memory map" },
	[LOG_STATS]	   = { "stats",	       "counters of the translator at exit" },
	[LOG_PLUGIN]	   = { "plugin",       "what plugins have to say" },
};

uint32_t log_mask;

#define MAX_RANGES 16
struct range {
	uint64_t first, last;
};

static struct {
	pthread_mutex_t lock;
	FILE *file;			/* NULL: standard error */
	struct range range[MAX_RANGES];
	int nranges;
	/* log_guest() in the second `second`: lines written and lines left out. */
	time_t second;
	int written, dropped;
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

enum { GUEST_LINES_PER_SECOND = 20 };

static bool find_area(const char *word, uint32_t *mask, struct err *e)
{
	struct spell near;
	char hint[80];

	if (!strcmp(word, "all")) {
		*mask = BIT(LOG_NAREAS) - 1;
		return true;
	}
	spell_init(&near, word);
	for (int i = 0; i < LOG_NAREAS; i++) {
		if (!strcmp(word, log_areas[i].name)) {
			*mask = 1u << i;
			return true;
		}
		spell_try(&near, log_areas[i].name);
	}
	return err_set(e, "unknown log area '%s'%s", word, spell_hint(&near, hint, sizeof(hint)));
}

bool log_set_areas(const char *list, struct err *e)
{
	char *copy = strdup(list), *save = NULL;
	uint32_t mask = 0, one = 0;
	bool ok = copy || err_set(e, "out of memory");

	for (char *w = ok ? strtok_r(copy, ",", &save) : NULL; w && ok; w = strtok_r(NULL, ",", &save)) {
		if (!strcmp(w, "none"))
			mask = 0;
		else if ((ok = find_area(w, &one, e)))
			mask |= one;
	}
	free(copy);
	if (ok)
		log_mask = mask;
	return ok;
}

bool log_open(const char *path, struct err *e)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return err_errno(e, "cannot write the log file %s", path);
	setvbuf(f, NULL, _IOLBF, 0);
	pthread_mutex_lock(&state.lock);
	if (state.file)
		fclose(state.file);
	state.file = f;
	pthread_mutex_unlock(&state.lock);
	return true;
}

static bool number(const char **p, uint64_t *v)
{
	char *end;

	errno = 0;
	*v = strtoull(*p, &end, 0);
	if (end == *p || errno || **p == '-')
		return false;
	*p = end;
	return true;
}

/* One "start..end" (both in), "start+size" or "start-size" (the bytes before start). */
static bool parse_range(const char *text, struct range *r)
{
	const char *p = text;
	uint64_t a, b;
	char how;

	if (!number(&p, &a))
		return false;
	how = *p;
	p += how == '.' && p[1] == '.' ? 2 : 1;
	if (!how || !number(&p, &b) || *p)
		return false;
	switch (how) {
	case '.': *r = (struct range){ a, b }; return b >= a;
	case '+': *r = (struct range){ a, a + b - 1 }; return b && a + b - 1 >= a;
	case '-': *r = (struct range){ a - b + 1, a }; return b && b - 1 <= a;
	default: return false;
	}
}

bool log_set_filter(const char *ranges, struct err *e)
{
	struct range found[MAX_RANGES];
	char *copy = strdup(ranges), *save = NULL;
	bool ok = copy || err_set(e, "out of memory");
	int n = 0;

	for (char *w = ok ? strtok_r(copy, ",", &save) : NULL; w && ok; w = strtok_r(NULL, ",", &save)) {
		if (n == MAX_RANGES)
			ok = err_set(e, "more than %d address ranges", MAX_RANGES);
		else if (!parse_range(w, &found[n++]))
			ok = err_set(e, "'%s' is no range: write start..end, start+size or start-size", w);
	}
	free(copy);
	if (ok) {
		memcpy(state.range, found, sizeof(found[0]) * (size_t)n);
		state.nranges = n;
	}
	return ok;
}

bool log_in_range(uint64_t va)
{
	for (int i = 0; i < state.nranges; i++)
		if (va >= state.range[i].first && va <= state.range[i].last)
			return true;
	return !state.nranges;
}

static FILE *destination(void)
{
	return state.file ? state.file : stderr;
}

static void write_whole(const char *fmt, va_list ap)
{
	pthread_mutex_lock(&state.lock);
	vfprintf(destination(), fmt, ap);
	pthread_mutex_unlock(&state.lock);
}

void log_to(enum log_area a, const char *fmt, ...)
{
	va_list ap;

	if (!log_on(a))
		return;
	va_start(ap, fmt);
	write_whole(fmt, ap);
	va_end(ap);
}

void log_always(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_whole(fmt, ap);
	va_end(ap);
}

/* May one more line go out this second? Says how many did not when the next begins. */
static bool admit(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (ts.tv_sec != state.second) {
		if (state.dropped)
			fprintf(destination(), "guest: %d more lines left out\n", state.dropped);
		state.second = ts.tv_sec;
		state.written = state.dropped = 0;
	}
	if (state.written < GUEST_LINES_PER_SECOND) {
		state.written++;
		return true;
	}
	state.dropped++;
	return false;
}

void log_guest(const char *fmt, ...)
{
	va_list ap;
	size_t n = strlen(fmt);

	if (!log_on(LOG_GUEST_ERRORS))
		return;
	pthread_mutex_lock(&state.lock);
	if (admit()) {
		fputs("guest: ", destination());
		va_start(ap, fmt);
		vfprintf(destination(), fmt, ap);
		va_end(ap);
		if (!n || fmt[n - 1] != '\n')
			fputc('\n', destination());
	}
	pthread_mutex_unlock(&state.lock);
}

void warn(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "rhea: %s\n", line);
}
