/*
 * Where does the guest spend its time? A timer sets REQ_SAMPLE; the next poll brings
 * the run loop the loop that was at work. Code that does not run for long costs nothing.
 *
 * The timer's clock is not the thread's processor time, which the host's kernel looks at
 * in its ticks only, every few milliseconds. So it is set for one time only, and again when it
 * was heard: a vCPU that sleeps is woken once.
 */
#ifndef TCG_SAMPLE_H
#define TCG_SAMPLE_H

#include <stdbool.h>

#include "tcg/cache.h"

/* Start and stop; on the vCPU's thread. Without a timer nothing proves hot, which is no error. */
bool sample_start(struct cpu *c);
void sample_stop(struct cpu *c);

/* Set the timer: REQ_SAMPLE was seen. */
void sample_next(struct cpu *c);
/* The vCPU has slept: a sample of that time says nothing. */
void sample_awake(struct cpu *c);

/* Is it a block that may become a region? */
static inline bool sample_may_heat(const struct tb *tb)
{
	return __atomic_load_n(&tb->heat, __ATOMIC_RELAXED) != HEAT_NEVER && !(tb->mode & MODE_TCG) && !tb_crosses(tb);
}

/*
 * REQ_SAMPLE was seen, and control is about to go on at c->rip: a block that is seen
 * often enough is translated again (tcg/region.c). Raises like tcg_translate().
 */
void sample_taken(struct cpu *c);

#endif
