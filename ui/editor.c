/* Lines typed on a byte stream (contract in ui/editor.h): libedit's, or plain ones. */
#include "ui/editor.h"

#include <stdlib.h>
#include <string.h>

#include "ui/editor_libedit.h"

struct editor {
	const char *prompt;
	const struct editor_user *user;
	void *opaque;
	struct libedit *lib;		/* NULL: lines are plain */
	char line[EDITOR_LINE];
	size_t n;
};

struct editor *editor_new(const char *prompt, const struct editor_user *user, void *opaque)
{
	struct editor *ed = calloc(1, sizeof(*ed));

	if (!ed)
		return NULL;
	ed->prompt = prompt;
	ed->user = user;
	ed->opaque = opaque;
	ed->lib = libedit_new(prompt, user, opaque);
	return ed;
}

void editor_free(struct editor *ed)
{
	if (!ed)
		return;
	libedit_free(ed->lib);
	free(ed);
}

void editor_set_terminal(struct editor *ed, const struct chr_terminal *t)
{
	if (ed->lib)
		libedit_set_terminal(ed->lib, t);
}

static void say(struct editor *ed, const char *text, size_t n)
{
	ed->user->write(ed->opaque, text, n);
}

void editor_show(struct editor *ed)
{
	if (ed->lib) {
		libedit_show(ed->lib);
		return;
	}
	say(ed, ed->prompt, strlen(ed->prompt));
	say(ed, ed->line, ed->n);
}

void editor_begin(struct editor *ed)
{
	ed->n = 0;
	if (ed->lib)
		libedit_begin(ed->lib);
	else
		editor_show(ed);
}

const char *editor_remembered(struct editor *ed, int n)
{
	return ed && ed->lib ? libedit_remembered(ed->lib, n) : NULL;
}

/* A character's last byte and those that only continue it. */
static size_t last_character(const struct editor *ed)
{
	size_t n = ed->n > 0;

	while (n < ed->n && ((uint8_t)ed->line[ed->n - n] & 0xc0) == 0x80)
		n++;
	return n;
}

static const char *plain_type(struct editor *ed, uint8_t byte)
{
	if (byte == '\r' || byte == '\n') {
		say(ed, "\n", 1);
		ed->line[ed->n] = 0;
		return ed->line;
	}
	if ((byte == '\b' || byte == 0x7f) && ed->n) {
		ed->n -= last_character(ed);
		say(ed, "\b \b", 3);
	} else if (byte >= ' ' && byte != 0x7f && ed->n < sizeof(ed->line) - 1) {
		ed->line[ed->n++] = (char)byte;
		say(ed, &ed->line[ed->n - 1], 1);
	}
	return NULL;
}

const char *editor_type(struct editor *ed, uint8_t byte)
{
	return ed->lib ? libedit_type(ed->lib, byte) : plain_type(ed, byte);
}
