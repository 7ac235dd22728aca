/*
 * The screen in a window. Main loop's thread, machine lock.
 */
#ifndef UI_SDL_H
#define UI_SDL_H

#include <stdbool.h>

#include "base/error.h"

struct display;
struct vm;
struct sdl;

struct sdl_options {
	const char *name;		/* for the title */
	bool full_screen;
	bool status;			/* begin with the line at the foot */
};

/* Was this program built with windows? */
bool sdl_built_in(void);
/* Closing the window ends the program. The title follows the machine's state. */
struct sdl *sdl_new(struct display *d, struct vm *vm, const struct sdl_options *o, struct err *e);
void sdl_free(struct sdl *s);

#endif
