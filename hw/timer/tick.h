/*
 * Between a periodic timer and the interrupt controllers: ticks that come while
 * the one before is still waiting are not lost, but sent when it is taken.
 *
 * An edge that meets its own request bit still set leaves no trace. On a real
 * board that takes a processor that is deaf for a whole period; here it is enough
 * that the host lets the processor's thread wait. Linux counts ticks against the
 * TSC at start-up, and stops if too few come.
 */
#ifndef HW_TIMER_TICK_H
#define HW_TIMER_TICK_H

#include "hw/core/irq.h"

#define TICK_MAX_OWED 64	/* a guest that is deaf for longer wants it so */

struct tick {
	struct irq out;
	/* Would an edge reach a processor? Otherwise nothing is owed. */
	bool (*open)(void *opaque);
	void *opaque;
	bool level, waiting;	/* waiting: sent and not yet taken */
	int owed;
};

/* Where the timer's output goes. */
struct irq tick_in(struct tick *t);
/* A processor has acknowledged the tick's interrupt. */
void tick_taken(struct tick *t);

#endif
