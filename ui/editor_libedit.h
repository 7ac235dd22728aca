/*
 * libedit as something that is fed: it wants to read when it likes, even in the middle of a command
 * (what Ctrl-R searches for), so it runs on a stack of its own and rests there until the next byte.
 * Contracts as in ui/editor.h; what it shows collects until it rests.
 */
#ifndef UI_EDITOR_LIBEDIT_H
#define UI_EDITOR_LIBEDIT_H

#include "config.h"
#include "ui/editor.h"

struct libedit;

#ifdef CONFIG_LIBEDIT
/* NULL: it cannot be had here. */
struct libedit *libedit_new(const char *prompt, const struct editor_user *user, void *opaque);
void libedit_free(struct libedit *l);		/* NULL is fine */
void libedit_set_terminal(struct libedit *l, const struct chr_terminal *t);
void libedit_begin(struct libedit *l);
void libedit_show(struct libedit *l);
const char *libedit_remembered(struct libedit *l, int n);
const char *libedit_type(struct libedit *l, uint8_t byte);
#else
static inline struct libedit *libedit_new(const char *prompt, const struct editor_user *user, void *opaque)
{
	(void)prompt, (void)user, (void)opaque;
	return NULL;
}
static inline void libedit_free(struct libedit *l) { (void)l; }
static inline void libedit_set_terminal(struct libedit *l, const struct chr_terminal *t) { (void)l, (void)t; }
static inline void libedit_begin(struct libedit *l) { (void)l; }
static inline void libedit_show(struct libedit *l) { (void)l; }
static inline const char *libedit_remembered(struct libedit *l, int n) { (void)l, (void)n; return NULL; }
static inline const char *libedit_type(struct libedit *l, uint8_t byte) { (void)l, (void)byte; return NULL; }
#endif

#endif
