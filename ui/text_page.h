/*
 * A text console as a picture. Main loop's thread, machine lock.
 */
#ifndef UI_TEXT_PAGE_H
#define UI_TEXT_PAGE_H

#include <stdbool.h>

#include "hw/display/surface.h"
#include "ui/consoles.h"
#include "ui/font.h"

struct text_page {
	struct surface s;
	int w, h;			/* in characters */
	struct console_view view;	/* as drawn, */
	struct vt_cell *cell;
	uint8_t ascii[128][FONT_H];	/* the letters that are wanted most */
};

/*
 * Draw what has changed of console n since the last time. rows() is told of each row of characters that differs, as
 * `n` rows of pixels from `first` on. False: no memory. *resized: the picture has another size, and all is new.
 */
bool text_page_draw(struct text_page *p, const struct consoles *c, int n, bool *resized,
		    void (*rows)(void *opaque, int first, int n), void *opaque);
void text_page_fini(struct text_page *p);

#endif
