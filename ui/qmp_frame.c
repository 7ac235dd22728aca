/*
 * Where JSON messages end. After an error everything up to the end of the line is
 * skipped; byte 0xff, which no JSON text contains, begins afresh at any time.
 */
#include "ui/qmp_frame.h"

#include <stdlib.h>
#include <string.h>

#define RESYNC 0xff

void frame_reset(struct frame *f)
{
	f->n = 0;
	f->depth = 0;
	f->in_string = f->escaped = f->skipping = f->complete = false;
}

void frame_fini(struct frame *f)
{
	free(f->buf);
	*f = (struct frame){ 0 };
}

static enum frame_result bad(struct frame *f, const char *why, uint8_t v)
{
	frame_reset(f);
	f->skipping = v != '\n';
	f->why = why;
	return FRAME_BAD;
}

static bool keep(struct frame *f, uint8_t v)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 512;
		char *buf = f->cap < FRAME_MAX ? realloc(f->buf, cap) : NULL;

		if (!buf)
			return false;
		f->buf = buf;
		f->cap = cap;
	}
	f->buf[f->n++] = (char)v;
	return true;
}

static bool is_blank(uint8_t v)
{
	return v == ' ' || v == '\t' || v == '\r' || v == '\n';
}

static enum frame_result complete(struct frame *f)
{
	f->complete = true;
	return FRAME_MESSAGE;
}

/* A byte inside a string. */
static void string_byte(struct frame *f, uint8_t v)
{
	if (f->escaped)
		f->escaped = false;
	else if (v == '\\')
		f->escaped = true;
	else if (v == '"')
		f->in_string = false;
}

/* Numbers and words outside of brackets end at a blank; they are messages, if bad ones. */
static enum frame_result outside(struct frame *f, uint8_t v)
{
	if (is_blank(v) && f->depth == 0) {
		if (f->n > 1)
			return complete(f);
		f->n = 0;
		return FRAME_MORE;
	}
	if (v == '"')
		f->in_string = true;
	else if ((v == '{' || v == '[') && ++f->depth > FRAME_DEPTH)
		return bad(f, "brackets are nested too deep", v);
	else if ((v == '}' || v == ']') && --f->depth < 0)
		return bad(f, "a closing bracket without an opening one", v);
	else if ((v == '}' || v == ']') && f->depth == 0)
		return complete(f);
	return FRAME_MORE;
}

enum frame_result frame_byte(struct frame *f, uint8_t v)
{
	if (f->complete || v == RESYNC)
		frame_reset(f);
	if (v == RESYNC)
		return FRAME_MORE;
	if (f->skipping) {
		f->skipping = v != '\n';
		return FRAME_MORE;
	}
	if (v < ' ' && (f->in_string || !is_blank(v)))
		return bad(f, "a control character", v);
	if (!keep(f, v))
		return bad(f, "the message is too long", v);
	if (f->in_string) {
		string_byte(f, v);
		return FRAME_MORE;
	}
	return outside(f, v);
}
