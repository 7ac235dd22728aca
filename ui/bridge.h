/*
 * Between the main loop and a viewer that runs on a thread of its own, so that
 * nothing slow at the viewer's end holds up the machine. Pictures go one way,
 * input the other; the lock is held only for copying.
 */
#ifndef UI_BRIDGE_H
#define UI_BRIDGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "hw/core/loop.h"
#include "ui/display.h"

#define BRIDGE_ROWS	16384	/* the tallest surface */
#define BRIDGE_EVENTS	1024

struct bridge_event {
	enum {
		BRIDGE_KEY,		/* a: key code, symbol: of it or 0, b: down */
		BRIDGE_SYMBOL,		/* a: keysym, b: down */
		BRIDGE_POINT,		/* pointer */
		BRIDGE_RELEASE,		/* all keys */
		BRIDGE_PAGE,		/* a: which */
		BRIDGE_ACTIVE,		/* b: somebody looks */
		BRIDGE_CLOSE,		/* the user wants the end */
	} kind;
	int a, b;
	uint32_t symbol;
	struct pointer pointer;
};

struct bridge {
	struct display *display;
	struct loop *loop;
	struct viewer viewer;
	atomic_bool wants_place;	/* display_wants_place(), for the thread */
	_Atomic uint8_t leds;		/* LED_ bits of the guest's keyboard, for the thread */
	void (*wake)(void *opaque);	/* the thread has a picture waiting, or leds changed; any thread */
	void (*close)(void *opaque);	/* BRIDGE_CLOSE, on the main loop; may be NULL */
	void *opaque;
	int event_fd;
	struct loop_fd *watch;

	pthread_mutex_t lock;		/* for what follows */
	struct surface picture;
	bool resized;
	int first, last;		/* rows that may be new; first > last: none */
	uint8_t fresh[BRIDGE_ROWS];	/* and those that are */
	struct bridge_event events[BRIDGE_EVENTS];
	int n_events;
};

/* Set wake, close and opaque before. Machine lock. */
bool bridge_init(struct bridge *b, struct display *d, struct loop *l, struct err *e);
/* After the thread has ended. Machine lock. */
void bridge_fini(struct bridge *b);

/* ---- the thread's side ---- */
void bridge_send(struct bridge *b, struct bridge_event ev);
/*
 * Hand over what is new: resize(w, h) first if the size changed (false: cannot,
 * nothing is handed over), then rows. Both under the bridge's lock.
 */
struct bridge_taker {
	bool (*resize)(void *opaque, int w, int h);
	void (*row)(void *opaque, int y, const uint32_t *px, int w);
	void *opaque;
};
/* True: rows *first .. *last hold something new. */
bool bridge_take(struct bridge *b, const struct bridge_taker *t, int *first, int *last);

#endif
