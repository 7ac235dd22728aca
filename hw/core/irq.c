/*
 * Interrupt lines: splitters, OR gates and inverters.
 */
#include "hw/core/irq.h"

#include <assert.h>

#include "base/bits.h"

static void split_set(void *opaque, int n, int level)
{
	struct irq_split *s = opaque;

	(void)n;
	for (int i = 0; i < s->n_out; i++)
		irq_set(s->out[i], level);
}

void irq_split_add(struct irq_split *s, struct irq out)
{
	assert(s->n_out < (int)ARRAY_LEN(s->out));
	s->out[s->n_out++] = out;
}

struct irq irq_split_in(struct irq_split *s)
{
	return irq_make(split_set, s, 0);
}

static void or_set(void *opaque, int n, int level)
{
	struct irq_or *g = opaque;

	g->level = level ? g->level | BIT(n) : g->level & ~BIT(n);
	irq_set(g->out, g->level != 0);
}

struct irq irq_or_in(struct irq_or *g, int input)
{
	assert(input >= 0 && input < 64);
	return irq_make(or_set, g, input);
}

