/*
 * The console in a browser: the screen, power buttons, and a terminal for each
 * stream of kind vc. Main loop's thread, machine lock.
 */
#ifndef UI_WEB_H
#define UI_WEB_H

#include <stdbool.h>

#include "base/error.h"

struct vm;
struct vnc;
struct web;

/* Was this program built with it, and are noVNC and xterm.js here? */
bool web_available(void);
/*
 * Serve at `spec`: "", "PORT", "ADDRESS:PORT" [127.0.0.1, the first free port from 8080
 * on]. screen (NULL: none) outlives it. title: the guest's name.
 */
struct web *web_new(struct vm *vm, struct vnc *screen, const char *spec, const char *title, struct err *e);
void web_free(struct web *w);
/* Where to go with a browser; with the token. */
const char *web_address(const struct web *w);

#endif
