/*
 * The machine's state to a stream and from one, in QEMU's words: `migrate`, -incoming.
 *
 *	file:PATH	a file, which is there complete or not at all
 *
 * Main loop's thread, machine lock.
 */
#ifndef UI_MIGRATE_H
#define UI_MIGRATE_H

#include <stdio.h>

#include "base/error.h"

struct vm;

/*
 * Save to a URI; the machine stands afterwards, as the other side goes on. live and done:
 * as in save_start(); done is called unless this returns false.
 */
bool migrate_out(struct vm *vm, const char *uri, bool live,
		 void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e);
/* Become what the URI holds. *touched false: the machine is as it was. */
bool migrate_in(struct vm *vm, const char *uri, bool *touched, struct err *e);

#endif
