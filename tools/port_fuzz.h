/*
 * What the fuzzers of ports share: numbers by chance, text and its damage, options, memory held.
 * A program of its own thread each; the state of chance is the only state.
 */
#ifndef TOOLS_PORT_FUZZ_H
#define TOOLS_PORT_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/core/chr.h"

struct text {
	char buf[40000];
	size_t n;
};

/* 0 to n - 1; the same numbers for the same seed. */
uint32_t roll(uint32_t n);
/* What does not fit is left out. */
void put(struct text *t, const char *s);
/* Up to three bytes changed, pieces cut out or repeated, or a word() more. */
void damage(struct text *t, const char *(*word)(void));
/* To the port, in pieces. */
void feed_port(struct chr *port, const char *p, size_t n);

/* --cases N, --seed N; false: something else, which is told. */
bool fuzz_options(int argc, char **argv, unsigned long long *cases);
/* Bytes of the heap in use; is that no more than a few megabytes beyond `before` (0: not known)? */
size_t held(void);
bool held_is_bounded(size_t before);

#endif
