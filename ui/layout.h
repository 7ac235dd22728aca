/*
 * Keyboard layouts (-k): which key of the guest's keyboard gives a character, when the
 * guest is set to a layout other than the American one. The layouts are those of X
 * (libxkbcommon and the data it finds), made once at the start.
 */
#ifndef UI_LAYOUT_H
#define UI_LAYOUT_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct layout;

/* By the name other programs use (de, en-gb, fr-ch) or X's; NULL with err: there is none such. */
struct layout *layout_new(const char *name, struct err *e);
/* Some of those names, and where the others are. */
void layout_list(FILE *out);
void layout_free(struct layout *l);		/* NULL is fine */

/*
 * The key that gives an X keysym, 0: none; *need says what must be held with it, as
 * keymap_symbol() does. l NULL: the American layout. What a layout cannot give is
 * looked up there, too.
 */
int layout_symbol(const struct layout *l, uint32_t symbol, unsigned *need);

#endif
