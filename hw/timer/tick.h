/*
 * Between a periodic timer and the interrupt controllers: ticks that come while
 * the one before is still waiting are not lost, but sent when it is taken.
 *
 * An edge that meets its own request bit still set leaves no trace. On a real
 * board that takes a processor that is deaf for a whole period; here it is enough
 * that the host lets the processor's thread wait. Linux counts ticks against the
 * TSC at start-up, and stops if too few come.
 *
 * A processor that has run all the while with interrupts off is owed nothing: small
 * kernels enable interrupts inside their handler, and would drown in a burst of ticks
 * that no board sends.
 */
#ifndef HW_TIMER_TICK_H
#define HW_TIMER_TICK_H

#include "hw/core/irq.h"

#define TICK_MAX_OWED 64	/* a guest that is deaf for longer wants it so */
#define TICK_DEAF_NS 500000	/* one that runs for so long could have taken it */

struct tick {
	struct irq out;
	/* Would an edge reach a processor? Otherwise nothing is owed. */
	bool (*open)(void *opaque);
	/* Nanoseconds for which the processor's thread has run. */
	uint64_t (*ran)(void *opaque);
	void *opaque;
	uint64_t ran_before;	/* when the waiting one was sent */
	bool level;
	_Atomic bool waiting;	/* sent and not yet taken; who reads it without the lock has taken a later interrupt */
	int owed;
};

/* Where the timer's output goes. */
struct irq tick_in(struct tick *t);
/* A processor has acknowledged the tick's interrupt. Nothing to do unless one is waiting. */
void tick_taken(struct tick *t);

#endif
