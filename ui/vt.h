/*
 * A text terminal: bytes in, a page of characters out. What Linux consoles, shells and our monitor use
 * of ECMA-48 and of DEC's VT102.
 */
#ifndef UI_VT_H
#define UI_VT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Attribute of a character as in VGA text modes: foreground (bit 3: bright), background in bits 6..4. */
#define VT_PLAIN	0x07

struct vt_cell {
	uint32_t ch;			/* Unicode; 0: nothing */
	uint8_t attr;
};

struct vt {
	int w, h;
	struct vt_cell *cell;		/* h rows of w */
	/* Rows that went out at the top, in a ring; the newest stands before next_past. */
	struct vt_cell *past;
	int room_past, n_past, next_past;
	uint64_t kept;			/* how many have gone there so far */
	int x, y;			/* the cursor; x == w: the next character begins a new line */
	uint8_t attr;
	bool reverse, hidden;		/* colours are swapped; no cursor is shown */
	int top, bottom;		/* rows that scroll, the last one included */
	int saved_x, saved_y;
	/* The sequence under way. */
	enum { VT_TEXT, VT_ESC, VT_CSI, VT_SKIP /* one more byte */, VT_STRING /* up to BEL or ST */ } state;
	bool asks;			/* CSI ? */
	unsigned n_args, arg[16];
	uint32_t utf8;			/* bits so far, */
	int utf8_left;			/* bytes to come */
	/* The program asks where the cursor is, or whether anybody is there: what a terminal says. The owner's; may be NULL. */
	void (*answer)(void *opaque, const char *bytes, size_t n);
	void *opaque;
};

/* False: no memory. */
bool vt_init(struct vt *t, int w, int h);
void vt_fini(struct vt *t);
/* Another size; what fits stays. False: no memory, nothing has changed. */
bool vt_resize(struct vt *t, int w, int h);
/* Keep up to n rows to look back at. False: no memory, none are kept. */
bool vt_keep(struct vt *t, int n);
/* Row y of the page, 0 .. h - 1; of what went out before, -1 (the newest) .. -n_past. */
const struct vt_cell *vt_row(const struct vt *t, int y);
void vt_write(struct vt *t, const void *bytes, size_t n);

#endif
