/*
 * What the fuzzers of ports share.
 */
#include "tools/port_fuzz.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAY_GROW	(8u << 20)

static uint64_t state = 1;

uint32_t roll(uint32_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((state >> 33) % n);
}

void put(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (t->n + n < sizeof(t->buf)) {
		memcpy(t->buf + t->n, s, n);
		t->n += n;
	}
}

void damage(struct text *t, const char *(*word)(void))
{
	for (uint32_t i = 0, n = roll(4); i < n && t->n; i++) {
		size_t at = roll((uint32_t)t->n), len = roll((uint32_t)(t->n - at)) + 1;

		switch (roll(5)) {
		case 0:			/* another byte */
			t->buf[at] = (char)roll(256);
			break;
		case 1:			/* cut something out */
			memmove(t->buf + at, t->buf + at + len, t->n - at - len);
			t->n -= len;
			break;
		case 2:			/* cut the end off */
			t->n = at;
			break;
		case 3:			/* say something twice */
			if (t->n + len < sizeof(t->buf)) {
				memcpy(t->buf + t->n, t->buf + at, len);
				t->n += len;
			}
			break;
		default:
			put(t, word());
			break;
		}
	}
}

void feed_port(struct chr *port, const char *p, size_t n)
{
	for (size_t part; n; p += part, n -= part) {
		part = roll((uint32_t)n) + 1;
		chr_input(port, (const uint8_t *)p, (int)part);
	}
}

bool fuzz_options(int argc, char **argv, unsigned long long *cases)
{
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--cases")) {
			*cases = strtoull(argv[i + 1], NULL, 0);
		} else if (i + 1 < argc && !strcmp(argv[i], "--seed")) {
			state = strtoull(argv[i + 1], NULL, 0);
		} else {
			fprintf(stderr, "usage: %s [--cases N] [--seed N]\n", argv[0]);
			return false;
		}
	}
	return true;
}

size_t held(void)
{
	return mallinfo2().uordblks;
}

bool held_is_bounded(size_t before)
{
	return !before || held() < before + MAY_GROW;
}
