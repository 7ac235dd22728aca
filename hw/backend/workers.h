/*
 * Threads for work that may take the host a while. Who hands work over gets it back on
 * the main loop's thread, under the machine lock; in between only the worker touches it.
 */
#ifndef HW_BACKEND_WORKERS_H
#define HW_BACKEND_WORKERS_H

#include <stdbool.h>

struct machine;
struct workers;

struct work {
	void (*run)(struct work *w);	/* on a worker's thread, without the machine lock */
	void (*done)(struct work *w);	/* may free it */
	struct workers *by;		/* theirs from here on */
	struct work *next;
};

/* At most `most` threads, which start when there is more to do than idle ones. NULL: no memory. */
struct workers *workers_new(struct machine *m, const char *name, int most);
/* Everything is run and done before. */
void workers_free(struct workers *s);
/* Without a loop (tests) run() and done() are called at once. */
void workers_add(struct workers *s, struct work *w);
/* Take back what no thread has begun; done() is not called. False: it is begun, or over. */
bool workers_withdraw(struct workers *s, struct work *w);
/* Wait until all is run, and call its done(). */
void workers_drain(struct workers *s);

#endif
