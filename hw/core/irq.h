/*
 * Interrupt lines: a value that knows whom to tell.
 *
 * A struct irq is copied freely; {0} is a line to nowhere. Setting a level that
 * the line already has is allowed and costs a call, so receivers compare.
 * Everything here runs under the machine lock.
 */
#ifndef HW_CORE_IRQ_H
#define HW_CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

typedef void irq_fn(void *opaque, int n, int level);

struct irq {
	irq_fn *fn;
	void *opaque;
	long n;			/* its number there; as wide as the others, so that equal lines are equal bytes */
};

static inline struct irq irq_make(irq_fn *fn, void *opaque, int n)
{
	return (struct irq){ fn, opaque, n };
}

static inline void irq_set(struct irq q, int level)
{
	if (q.fn)
		q.fn(q.opaque, q.n, level);
}

/* A short pulse for edge-triggered inputs. */
static inline void irq_pulse(struct irq q)
{
	irq_set(q, 1);
	irq_set(q, 0);
}

/* One input, up to four outputs that follow it. Zero it, then irq_split_add(). */
struct irq_split {
	struct irq out[4];
	int n_out;
};
void irq_split_add(struct irq_split *s, struct irq out);
struct irq irq_split_in(struct irq_split *s);

/* Up to 64 inputs; the output is high while any input is. The owner saves `level`. */
struct irq_or {
	uint64_t level;		/* bit per input */
	struct irq out;
};
struct irq irq_or_in(struct irq_or *g, int input);


#endif
