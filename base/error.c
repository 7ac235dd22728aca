/* One error message, with context added on the way up. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	e->code = 0;
	return false;
}

static void append(struct err *e, const char *text)
{
	size_t n = strlen(e->msg);

	snprintf(e->msg + n, sizeof(e->msg) - n, "%s", text);
}

bool err_errno(struct err *e, const char *fmt, ...)
{
	int why = errno;
	char buf[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	append(e, ": ");
	append(e, strerror_r(why, buf, sizeof(buf)));
	e->code = why;
	return false;
}

bool err_prefix(struct err *e, const char *fmt, ...)
{
	struct err inner = *e;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	append(e, ": ");
	append(e, inner.msg);
	return false;
}

void err_report(const struct err *e)
{
	fprintf(stderr, "rhea: %s\n", e->msg);
}
