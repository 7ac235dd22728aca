/*
 * Lines typed on a byte stream, with keys that edit them. One byte goes in at a time and nothing
 * ever waits: what is to be shown comes out by write(), a whole line as the answer.
 *
 * libedit edits (ui/editor_libedit.h). Where it is not, or has no pseudo-terminal to keep its settings
 * in, lines are plain: characters, Backspace, Enter.
 */
#ifndef UI_EDITOR_H
#define UI_EDITOR_H

#include <stddef.h>
#include <stdint.h>

#define EDITOR_LINE	1024		/* the longest line and a NUL */

struct chr_terminal;
struct completion;
struct editor;

struct editor_user {
	/* Lines end with LF alone. */
	void (*write)(void *opaque, const char *text, size_t n);
	/* What the word at the end of the line may become; the editor frees it. */
	void (*complete)(void *opaque, const char *line, struct completion *c);
};

/* The prompt and what is behind the pointers stay the caller's. NULL: no memory. */
struct editor *editor_new(const char *prompt, const struct editor_user *user, void *opaque);
void editor_free(struct editor *ed);
/* The terminal at the other end. */
void editor_set_terminal(struct editor *ed, const struct chr_terminal *t);
/* A new line, with its prompt. One under way is given up. */
void editor_begin(struct editor *ed);
/* Others have written: prompt and line again. */
void editor_show(struct editor *ed);
/* The nth line remembered, from the oldest on, or NULL: valid until another is typed. */
const char *editor_remembered(struct editor *ed, int n);
/* The line, if this ends it: valid until the next call, which is editor_begin(). */
const char *editor_type(struct editor *ed, uint8_t byte);

#endif
