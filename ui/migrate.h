/*
 * The machine's state to another program or a file and from one, in QEMU's words: `migrate`,
 * -incoming. URIs are those of ui/channel.h; a file is there complete or not at all.
 *
 * Main loop's thread, machine lock.
 */
#ifndef UI_MIGRATE_H
#define UI_MIGRATE_H

#include "base/error.h"
#include "ui/save.h"

struct vm;
struct migrate_out;
struct migrate_in;

/* In struct vm; all zero at first. */
struct migration {
	bool events;			/* a program wants to be told by MIGRATION */
	uint64_t max_bandwidth;		/* bytes a second, 0: any number */
	unsigned downtime_ms;		/* 0: not set */
	struct migrate_out *out;	/* under way */
	struct migrate_in *in;
	enum save_state out_state;	/* of the last one; while it is active ui/save.h knows more */
	enum save_state in_state;
	struct err out_err, in_err;
	bool go_on;			/* `cont` was said while it came in */
};

/*
 * Save to a URI; the machine stands afterwards, as the other side goes on. live: return at
 * once; else it is over when this returns. done is called unless this returns false.
 */
bool migrate_out(struct vm *vm, const char *uri, bool live,
		 void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e);
void migrate_cancel(struct vm *vm);

/*
 * Become what the URI holds. *touched false: the machine is as it was. It waits until all of
 * it has come, and gives up when nothing does for half a minute.
 */
bool migrate_in(struct vm *vm, const char *uri, bool *touched, struct err *e);
/* The same while the loop goes on. done is called unless this returns false. */
bool migrate_in_start(struct vm *vm, const char *uri,
		      void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e);
/*
 * -incoming: the machine waits for it, and goes on as it was told to by then. "defer": a command
 * will say from where. If it fails the program ends.
 */
bool migrate_in_wait(struct vm *vm, const char *uri, bool go_on, struct err *e);

/* The program ends. save_abandon() follows. */
void migrate_out_abandon(struct vm *vm);
void migrate_in_abandon(struct vm *vm);
/* MIGRATION, if anybody wants to know. */
void migrate_tell(struct vm *vm, enum save_state state);

#endif
