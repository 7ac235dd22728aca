/*
 * The console on a text terminal (-display curses): text modes of the screen, and the text
 * consoles. Main loop's thread, machine lock.
 */
#ifndef UI_CURSES_H
#define UI_CURSES_H

#include <stdbool.h>

#include "base/error.h"

struct display;
struct vm;
struct vga;
struct consoles;
struct curses;

/* Was this program built with it? */
bool curses_built_in(void);
/* Takes the terminal over. vga NULL: there is no screen; consoles NULL: no others either. */
struct curses *curses_new(struct display *d, struct vga *vga, struct vm *vm, struct consoles *consoles, struct err *e);
/* The terminal is again as it was. NULL is fine. */
void curses_free(struct curses *c);

#endif
