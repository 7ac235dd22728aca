/*
 * Saving the machine while it goes on: memory is written by a thread in rounds, then the
 * machine rests for the last of it. One at a time.
 *
 * Main loop's thread, machine lock, unless it says otherwise.
 */
#ifndef UI_SAVE_H
#define UI_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hw/core/snapshot.h"

struct vm;

struct save {
	/* Takes the bytes; on the loop's thread or another one, with or without the machine lock. */
	struct snapshot_sink sink;
	/* Most of it is written: make that permanent now, so that it does not take its time at the end. Like write. */
	bool (*sync)(void *opaque, struct err *e);
	/* All is written and the machine rests: make it good. May be NULL. */
	bool (*commit)(void *opaque, struct err *e);
	/* It is over; err is empty if it went well. The machine goes on, unless `stays`. */
	void (*done)(void *opaque, bool ok, const struct err *e);
	void *opaque;
	bool stays;			/* afterwards the machine stands, if all went well */
	uint64_t rate;			/* bytes a second while the guest goes on, 0: any number */
	unsigned downtime_ms;		/* what is left by then may take so long; 0: a few hundred pages */
};

enum save_state { SAVE_NONE, SAVE_SETUP, SAVE_ACTIVE, SAVE_CANCELLING, SAVE_COMPLETED, SAVE_FAILED, SAVE_CANCELLED };
/* As QEMU calls it. */
const char *save_state_word(enum save_state s);

/* Of the last one. */
struct save_stats {
	enum save_state state;
	uint64_t started, total_ns;	/* host time */
	uint64_t pause_ns;		/* the guest stood for so long */
	unsigned rounds;
	struct snapshot_stats out;
	struct err err;
};
/* The last one, or how far the one under way is. left: bytes of memory this round has yet to send. */
struct save_stats save_progress(const struct vm *vm, uint64_t *left);

/*
 * False: one is under way, and done() is not called. live: return at once, done() follows;
 * otherwise it is over when this returns.
 */
bool save_start(struct vm *vm, const struct save *s, bool live, struct err *e);
bool save_busy(const struct vm *vm);
/* Ask the one under way to end, in failure. */
void save_cancel(struct vm *vm);
/* For its sink: is this written while the guest may go on? Then there is time. */
bool save_has_time(const struct vm *vm);
/* The same at the end of the program: it is over when this returns. */
void save_abandon(struct vm *vm);

#endif
