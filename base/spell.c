/*
 * The nearest right spelling of a wrong word, for error messages.
 *
 * Edit distance over three rolling rows (optimal string alignment). A candidate
 * is near enough if at most a third of its letters are edited, or if the word
 * is its beginning.
 */
#include "base/spell.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LONGEST 63

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

int spell_distance(const char *a, const char *b)
{
	int rows[3][LONGEST + 1];
	int na = (int)strnlen(a, LONGEST), nb = (int)strnlen(b, LONGEST);

	for (int i = 0; i <= na; i++) {
		int *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		for (int j = 0; j <= nb; j++) {
			if (!i || !j) {
				row[j] = i + j;
				continue;
			}
			row[j] = min3(up[j] + 1, row[j - 1] + 1,
				      up[j - 1] + !same(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])
			    && up2[j - 2] + 1 < row[j])
				row[j] = up2[j - 2] + 1;
		}
	}
	return rows[na % 3][nb];
}

void spell_init(struct spell *s, const char *word)
{
	*s = (struct spell){ .word = word };
}

void spell_try(struct spell *s, const char *candidate)
{
	int nw = (int)strlen(s->word), nc = (int)strlen(candidate);
	int d = spell_distance(s->word, candidate);

	if (nw >= 3 && nc > nw && !strncasecmp(s->word, candidate, (size_t)nw) && d > 1)
		d = 1;
	else if (d > (nc > nw ? nc : nw) / 3 && !(d == 1 && nw > 1))
		return;
	if (!s->best || d < s->distance) {
		s->best = candidate;
		s->distance = d;
	}
}

const char *spell_hint(const struct spell *s, char *buf, size_t n)
{
	if (s->best)
		snprintf(buf, n, "; did you mean %s?", s->best);
	else if (n)
		buf[0] = 0;
	return buf;
}
