/*
 * The text consoles beside the guest's screen: streams of kind vc, each behind a terminal (ui/vt.h).
 * They have numbers from 1 on, monitors first; 0 is the guest's screen wherever a number is kept.
 * Who shows one is told when it has changed, and gives it what is typed. Main loop's thread, machine lock.
 */
#ifndef UI_CONSOLES_H
#define UI_CONSOLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "ui/vt.h"

#define MAX_CONSOLES	8		/* with the screen as many as there are digits */

struct machine;
struct consoles;

/* Takes all streams of kind vc that nobody shows yet. */
struct consoles *consoles_new(struct machine *m, struct err *e);
void consoles_free(struct consoles *c);
int consoles_count(const struct consoles *c);		/* c NULL: none */
/* What its stream is called: "monitor", "serial0". Stays. */
const char *consoles_name(const struct consoles *c, int n);
/* Another size for those that were not given one of their own. */
void consoles_resize(struct consoles *c, int w, int h);

struct console_watcher {
	void (*changed)(void *opaque, int n);
	void *opaque;
	struct console_watcher *next;
};
void consoles_watch(struct consoles *c, struct console_watcher *w);
void consoles_unwatch(struct consoles *c, struct console_watcher *w);

/* ---- what is to be seen of one ---- */
struct console_view {
	int w, h;
	int x, y;			/* the cursor; x < 0: not to be seen */
};
struct console_view consoles_view(const struct consoles *c, int n);
const struct vt_cell *consoles_row(const struct consoles *c, int n, int y);
/* Look `rows` further back, or (negative) less far. */
void consoles_scroll(struct consoles *c, int n, int rows);

/* ---- what is typed into it ---- */
enum { HOLD_SHIFT = 1, HOLD_CTRL = 2, HOLD_ALT = 4 };
/* A key by its X keysym, with what is held. Shift or Ctrl with Page Up and Down, and Ctrl with Up and Down, look back. */
void consoles_key(struct consoles *c, int n, uint32_t symbol, unsigned hold);
/* A character (Unicode) as it is. */
void consoles_character(struct consoles *c, int n, uint32_t ch, bool alt);

#endif
