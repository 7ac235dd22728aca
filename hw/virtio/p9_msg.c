/* Fields of 9P messages: little-endian numbers, and strings behind a u16 that counts their bytes. */
#include <stdarg.h>
#include <string.h>

#include "hw/virtio/p9_priv.h"

static int width(char field)
{
	return field == 'b' ? 1 : field == 'w' ? 2 : field == 'd' ? 4 : 8;
}

static uint64_t take(struct p9_in *in, int n)
{
	if (in->bad || in->n - in->at < (size_t)n) {
		in->bad = true;
		return 0;
	}
	in->at += (size_t)n;
	return ld_n(in->p + in->at - n, n);
}

/* A byte of zero ends it for the host, so it may hold none. */
static void take_text(struct p9_in *in, char *to, size_t room)
{
	size_t n = take(in, 2);

	*to = 0;
	if (in->bad || n >= room || in->n - in->at < n || memchr(in->p + in->at, 0, n)) {
		in->bad = true;
		return;
	}
	memcpy(to, in->p + in->at, n);
	to[n] = 0;
	in->at += n;
}

bool p9_get(struct p9_in *in, const char *fields, ...)
{
	va_list ap;

	va_start(ap, fields);
	for (; *fields; fields++) {
		void *to = va_arg(ap, void *);
		if (*fields == 's')
			take_text(in, to, NAME_MAX + 1);
		else if (*fields == 'S')
			take_text(in, to, PATH_MAX);
		else
			st_n(to, width(*fields), take(in, width(*fields)));
	}
	va_end(ap);
	return !in->bad;
}

static void append(struct p9_out *out, const void *p, size_t n)
{
	if (out->full || out->room - out->n < n) {
		out->full = true;
		return;
	}
	memcpy(out->p + out->n, p, n);
	out->n += n;
}

static void append_number(struct p9_out *out, int n, uint64_t v)
{
	uint8_t b[8];

	st_n(b, n, v);
	append(out, b, (size_t)n);
}

bool p9_put(struct p9_out *out, const char *fields, ...)
{
	va_list ap;

	va_start(ap, fields);
	for (; *fields; fields++) {
		if (*fields == 's') {
			const char *text = va_arg(ap, const char *);
			append_number(out, 2, strlen(text));
			append(out, text, strlen(text));
		} else if (*fields == 'Q') {
			const struct p9_qid *q = va_arg(ap, const struct p9_qid *);
			append_number(out, 1, q->type);
			append_number(out, 4, q->version);
			append_number(out, 8, q->path);
		} else if (*fields == 'q') {
			append_number(out, 8, va_arg(ap, uint64_t));
		} else {
			append_number(out, width(*fields), va_arg(ap, unsigned));
		}
	}
	va_end(ap);
	return !out->full;
}
