/*
 * Keys by name, by USB usage and by X keysym: the rows of hw/core/keys.def.
 */
#ifndef UI_KEYMAP_H
#define UI_KEYMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/spell.h"

/* The key of a `sendkey` name; 0: none, and what is near goes to *near. */
int keymap_name(const char *name, struct spell *near);
/* The key of a USB usage (SDL scan code); 0: none. */
int keymap_usage(unsigned usage);

enum keymap_shift {
	KEYMAP_ANY,		/* the same key with and without shift */
	KEYMAP_PLAIN,		/* a character that needs shift up */
	KEYMAP_SHIFTED,		/* one that needs it down */
};
/* The key that gives a keysym on an American keyboard; 0: none. */
int keymap_symbol(uint32_t symbol, enum keymap_shift *shift);

#endif
