/*
 * One error message, with context added on the way up.
 *
 * A function that can fail because of the world (a file, memory, a socket)
 * takes a `struct err *` last, returns false or NULL and fills it. The caller
 * adds context with err_prefix() or prints it with err_report().
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

struct err {
	char msg[512];		/* without a newline; empty: no error */
	int code;		/* errno behind it, or 0 */
};

/* Set the message (printf style). Always returns false, so `return err_set(...)`. */
bool err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same with ": strerror(errno)" behind it, and errno in code. */
bool err_errno(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "context: " before the message. Returns false. */
bool err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Print "rhea: message" on standard error. */
void err_report(const struct err *e);

#endif
