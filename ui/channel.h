/*
 * A way to what stands at a URI, for the machine's state: bytes in one direction.
 *
 *	file:PATH		a file (read only here: ui/migrate.c writes files beside their place)
 *	exec:COMMAND		standard input or output of a command; it must end well
 *	unix:PATH		a socket: out connects, in listens and takes the first that comes
 *	tcp:HOST:PORT		the same
 *	fd:NAME			a descriptor from getfd, or the number of one the program was started with
 *
 * channel_new() does what needs the program (main loop's thread); all else may be called by
 * another thread, without the machine lock. What waits ends at channel_cancel(), and with an
 * error if the other side does nothing for half a minute while `patient` is not set.
 */
#ifndef UI_CHANNEL_H
#define UI_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct channel;
struct vm;

struct channel *channel_new(struct vm *vm, const char *uri, bool in, struct err *e);
/* Until somebody is at the other end. */
bool channel_connect(struct channel *c, struct err *e);
void channel_set_patient(struct channel *c, bool patient);
bool channel_write(struct channel *c, const void *p, size_t n, struct err *e);
/* At most n bytes; *got 0: the end. */
bool channel_read(struct channel *c, void *p, size_t n, size_t *got, struct err *e);
/* May it be read at any place? Then `at` is where it stands and `size` what follows. */
bool channel_is_file(const struct channel *c, int *fd, uint64_t *at, uint64_t *size);
/* All is written: the other side hears the end, and a command must have ended well. */
bool channel_finish(struct channel *c, struct err *e);
/* Any thread, at any time. */
void channel_cancel(struct channel *c);
void channel_free(struct channel *c);		/* NULL is fine */

#endif
