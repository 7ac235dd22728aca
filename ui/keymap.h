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
/* The nth name, NULL past the end. */
const char *keymap_nth(unsigned n);
/* The key of a USB usage (SDL scan code); 0: none. */
int keymap_usage(unsigned usage);

/* What must be held with a key for a symbol. */
enum {
	KEYMAP_SHIFT = 1, KEYMAP_ALTGR = 2,
	KEYMAP_ANY = 4,			/* does not matter */
};
/* The key that gives a keysym on an American keyboard, 0: none; *need: KEYMAP_ bits. */
int keymap_symbol(uint32_t symbol, unsigned *need);
/* The keysym of a key on an American keyboard, alone or with Shift (on the keypad: without num lock); 0: none. */
uint32_t keymap_key_symbol(int code, bool shifted);
/* Does the key make characters? */
bool keymap_is_character(int code);

#endif
