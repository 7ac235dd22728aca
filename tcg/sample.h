/*
 * Where does the guest spend its time? A timer that runs with the vCPU thread's
 * processor time sets REQ_SAMPLE; the next poll brings the run loop the loop that
 * was at work. Code that does not run for long costs nothing.
 */
#ifndef TCG_SAMPLE_H
#define TCG_SAMPLE_H

#include <stdbool.h>

#include "tcg/cache.h"

/* Start and stop; on the vCPU's thread. Without a timer nothing proves hot, which is no error. */
bool sample_start(struct cpu *c);
void sample_stop(struct cpu *c);

/* Is it a block that may become a region? */
static inline bool sample_may_heat(const struct tb *tb)
{
	return tb->code && tb->heat != HEAT_NEVER && !(tb->mode & MODE_TCG) && tb->ram2 == ~0ull;
}

/*
 * REQ_SAMPLE was seen, and control is about to go on at c->rip: a block that is seen
 * often enough is translated again (tcg/region.c). Raises like tcg_translate().
 */
void sample_taken(struct cpu *c);

#endif
