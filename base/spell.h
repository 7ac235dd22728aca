/* The nearest right spelling of a wrong word, for error messages. */
#ifndef BASE_SPELL_H
#define BASE_SPELL_H

#include <stddef.h>

/* Insertions, deletions, changed letters and swapped neighbours between a and b, case ignored. */
int spell_distance(const char *a, const char *b);

/* Collects candidates one at a time; `best` is the nearest, NULL if none is near enough to be meant. */
struct spell {
	const char *word;	/* the wrong one */
	const char *best;
	int distance;
};
void spell_init(struct spell *s, const char *word);
void spell_try(struct spell *s, const char *candidate);

/* "; did you mean best?" in buf, or "" without a candidate. Returns buf. */
const char *spell_hint(const struct spell *s, char *buf, size_t n);

#endif
