/*
 * Libraries that few runs need are loaded when somebody asks for them: those of the window, of VNC
 * and of the browser's console come with sixty others, and would take 8 MiB and 8 ms of every start.
 * Their functions (late.def) are called by their own names, but not before late_load() has succeeded.
 */
#ifndef BASE_LATE_H
#define BASE_LATE_H

#include "base/error.h"

enum late { LATE_CAPSTONE, LATE_SDL2, LATE_VNC, LATE_WEB };

/* Any thread; again is no error. It stays. */
bool late_load(enum late library, struct err *e);

#endif
