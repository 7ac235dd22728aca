/*
 * Cutting a byte stream into JSON messages, without reading more of them than where
 * they end: brackets outside of strings.
 */
#ifndef UI_QMP_FRAME_H
#define UI_QMP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX	(4u << 20)	/* bytes of a message */
#define FRAME_DEPTH	128		/* brackets inside brackets */

enum frame_result {
	FRAME_MORE,		/* nothing is complete yet */
	FRAME_MESSAGE,		/* f->buf, f->n */
	FRAME_BAD,		/* f->why says what was wrong; it is skipped */
};

struct frame {
	char *buf;
	size_t n, cap;
	int depth;
	bool in_string, escaped, skipping;
	bool complete;		/* the message in buf was handed out */
	const char *why;
};

void frame_fini(struct frame *f);
/* Forget what came so far. */
void frame_reset(struct frame *f);
/* One more byte. A message is valid until the next call. */
enum frame_result frame_byte(struct frame *f, uint8_t v);

#endif
