/*
 * A line of text to stand below the guest's picture, in letters of its own: no font of the host's is wanted
 * for it.
 */
#ifndef UI_FOOT_H
#define UI_FOOT_H

#include <stdint.h>

/* How many rows the line has below a picture of this width. */
int foot_rows(int w);
/*
 * w * foot_rows(w) pixels (0x00rrggbb) of `text`, as large as has room. Characters that are not printable ASCII
 * are spaces, and what goes beyond the right edge is left off.
 */
void foot_draw(uint32_t *px, int w, const char *text);

#endif
