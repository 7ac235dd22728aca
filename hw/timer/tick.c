/*
 * Late ticks: see tick.h.
 */
#include "hw/timer/tick.h"

static void set(void *opaque, int n, int level)
{
	struct tick *t = opaque;
	bool rises = level && !t->level;

	(void)n;
	if (rises && !t->open(t->opaque)) {
		t->owed = 0;
		t->waiting = false;
	} else if (rises && !t->waiting) {
		t->waiting = true;
		t->ran_before = t->ran(t->opaque);
	} else if (rises && t->owed < TICK_MAX_OWED && t->ran(t->opaque) - t->ran_before < TICK_DEAF_NS) {
		t->owed++;
	}
	t->level = level;
	irq_set(t->out, level);
}

struct irq tick_in(struct tick *t)
{
	return irq_make(set, t, 0);
}

void tick_taken(struct tick *t)
{
	t->waiting = t->owed && t->open(t->opaque);
	if (!t->waiting) {
		t->owed = 0;
		return;
	}
	t->owed--;
	t->ran_before = t->ran(t->opaque);
	irq_set(t->out, 0);
	irq_set(t->out, 1);
	irq_set(t->out, t->level);
}
