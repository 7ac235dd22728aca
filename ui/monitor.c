/*
 * The monitor: lines from a byte stream (ui/editor.h), and finding the command. A command prints into
 * memory first, so that its output leaves in one piece.
 *
 * Not modelled: commands with answers typed later (passwords).
 */
#include "ui/monitor.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/spell.h"
#include "config.h"
#include "hw/core/loop.h"
#include "ui/commands.h"
#include "ui/monitor_complete.h"
#include "ui/monitor_priv.h"
#include "ui/trace.h"

#define PROMPT "(rhea) "

struct cpu *mon_cpu(struct monitor *mon)
{
	return mon->vm->vcpus[mon->cpu].cpu;
}

void monitor_choose_cpu(struct monitor *mon, int index)
{
	mon->cpu = index;
}

/* ---- finding and running a command ---- */

static void explain(const struct command *c, FILE *out)
{
	char buf[256];
	const char *params = command_params(c, buf, sizeof(buf));
	int used = fprintf(out, "%s%s%s%s%s%s", c->subject ? "info " : "", c->human, c->alias ? "|" : "",
			   c->alias ? c->alias : "", *params == '/' || !*params ? "" : " ", params);

	fprintf(out, "%*s -- %s\n", used < 30 ? 30 - used : 0, "", c->help);
}

static void list(bool subjects, FILE *out)
{
	for (unsigned i = 0; i < n_commands; i++)
		if (commands[i].human && commands[i].subject == subjects)
			explain(&commands[i], out);
}

void mon_help(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct spell near;
	char hint[80];
	const struct command *c;

	(void)mon;
	if (!a->n) {
		list(false, out);
		return;
	}
	c = command_find_human(a->word[0], false, &near);
	if (!c)
		fprintf(out, "no command '%s'%s\n", a->word[0], spell_hint(&near, hint, sizeof(hint)));
	else if (c->words == mon_info)
		list(true, out);
	else
		explain(c, out);
}

/* A command both syntaxes have: words to arguments, and the value to text. */
static void run_row(struct monitor *mon, const struct command *row, const struct mon_args *a, FILE *out)
{
	struct cmd c = { .vm = mon->vm, .mon = mon, .cpu = mon->cpu };
	struct value *args = mon_make_args(mon, row, a, out), *result;

	if (!args)
		return;
	result = command_run(&c, row, args);
	if (!result)
		fprintf(out, "%s: %s\n", row->human, c.err.msg);
	else if (row->show)
		row->show(result, out);
	val_free(result);
	val_free(args);
}

static void run_command(struct monitor *mon, const struct command *row, const struct mon_args *a, FILE *out)
{
	if (row->fn)
		run_row(mon, row, a, out);
	else if (a->n < row->min)
		fprintf(out, "%s: expected %s\n", row->human, row->params);
	else
		row->words(mon, a, out);
}

void mon_info(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct spell near;
	char hint[80];
	const struct command *c;
	struct mon_args rest = *a;

	if (!a->n) {
		list(true, out);
		return;
	}
	c = command_find_human(a->word[0], true, &near);
	if (!c) {
		fprintf(out, "no subject '%s'%s\n", a->word[0], spell_hint(&near, hint, sizeof(hint)));
		return;
	}
	rest.n--;
	memmove(rest.word, rest.word + 1, sizeof(rest.word[0]) * (size_t)rest.n);
	run_command(mon, c, &rest, out);
}

/* Words separated by blanks, "quoted" ones whole; cuts the text up. */
static int split(char *p, char **word, int max)
{
	int n = 0;

	for (;;) {
		char *w;

		while (isspace((unsigned char)*p))
			p++;
		if (!*p || n == max)
			return n;
		word[n++] = w = p;
		for (bool quoted = false; *p && (quoted || !isspace((unsigned char)*p)); p++) {
			if (*p == '"')
				quoted = !quoted;
			else
				*w++ = *p;
		}
		if (*p)
			p++;
		*w = 0;
	}
}

/* Cut "/fmt" off the command's name. */
static const char *cut_format(char *name)
{
	char *slash = strchr(name, '/');

	if (!slash)
		return "";
	*slash = 0;
	return slash + 1;
}

/* Take "/fmt" from in front of the other arguments ("x /10i $rip"); others may be paths. */
static const char *take_format(const struct command *c, char **rest)
{
	char *p = *rest + strspn(*rest, " \t");

	if (!c->params || *c->params != '/' || *p != '/')
		return "";
	*rest = p + strcspn(p, " \t");
	if (**rest)
		*(*rest)++ = 0;
	return p + 1;
}

void monitor_execute(struct monitor *mon, const char *line, FILE *out)
{
	char copy[MON_LINE], words[MON_LINE], *name = copy, *rest;
	struct mon_args a = { 0 };
	struct spell near;
	char hint[80];
	const struct command *c;

	snprintf(copy, sizeof(copy), "%s", line);
	name += strspn(name, " \t");
	if (!*name || *name == '#')
		return;
	rest = name + strcspn(name, " \t");
	if (*rest)
		*rest++ = 0;
	a.fmt = cut_format(name);
	c = command_find_human(name, false, &near);
	if (!c) {
		fprintf(out, "unknown command: '%s'%s\n", name, spell_hint(&near, hint, sizeof(hint)));
		return;
	}
	if (!*a.fmt)
		a.fmt = take_format(c, &rest);
	a.rest = rest + strspn(rest, " \t");
	snprintf(words, sizeof(words), "%s", a.rest);
	if (trace_on(mon->vm->m))
		trace_command(mon->vm->m, "monitor", c->human, a.rest);
	a.n = split(words, a.word, MON_ARGS);
	run_command(mon, c, &a, out);
}

/* ---- the terminal's side ---- */

/* Text with LF as CR LF. */
static void put(struct monitor *mon, const char *s, size_t n)
{
	char buf[4096];
	size_t k = 0;

	for (; n--; s++) {
		if (*s == '\n')
			buf[k++] = '\r';
		buf[k++] = *s;
		if (k > sizeof(buf) - 2 || !n) {
			chr_write(mon->chr, buf, k);
			k = 0;
		}
	}
}

static void puts_to(struct monitor *mon, const char *s)
{
	put(mon, s, strlen(s));
}

static void look_at_terminal(struct monitor *mon)
{
	struct chr_terminal t;

	chr_terminal(mon->chr, &t);
	editor_set_terminal(mon->editor, &t);
}

static void begin(struct monitor *mon)
{
	if (loop_quitting(mon->vm->loop))
		return;
	look_at_terminal(mon);
	mon->begun = true;
	editor_begin(mon->editor);
}

static void greet(struct monitor *mon)
{
	if (!mon->greeted)
		puts_to(mon, "Rhea " CONFIG_VERSION " monitor - type 'help' for more information\n");
	mon->greeted = true;
	if (mon->waits)
		return;
	if (mon->begun)
		editor_show(mon->editor);
	else
		begin(mon);
}

static void run_line(struct monitor *mon, const char *line)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (!out)
		return;
	monitor_execute(mon, line, out);
	fclose(out);
	put(mon, text, n);
	free(text);
}

static void show(void *opaque, const char *text, size_t n)
{
	put(opaque, text, n);
}

static void candidates(void *opaque, const char *line, struct completion *c)
{
	complete(opaque, line, c);
}

static const struct editor_user editor_user = { show, candidates };

/* ---- the stream ---- */

static int room(void *opaque)
{
	const struct monitor *mon = opaque;

	return mon->waits || mon->n_ahead ? 0 : MON_LINE;
}

static void type(struct monitor *mon, uint8_t byte)
{
	const char *line = editor_type(mon->editor, byte);

	if (!line)
		return;
	run_line(mon, line);
	if (!mon->waits)
		begin(mon);
}

static void input(void *opaque, const uint8_t *p, int n)
{
	struct monitor *mon = opaque;

	look_at_terminal(mon);
	for (; n > 0 && !mon->waits && !chr_full(mon->chr); n--)
		type(mon, *p++);
	if (n > MON_LINE)
		n = MON_LINE;
	memmove(mon->ahead, p, (size_t)n);
	mon->n_ahead = n;
}

bool mon_wait(struct monitor *mon)
{
	return mon->waits = mon->chr != NULL;
}

void mon_goes_on(struct monitor *mon, const char *text)
{
	puts_to(mon, text);
	if (!mon->waits || loop_quitting(mon->vm->loop))
		return;
	mon->waits = false;
	begin(mon);
	input(mon, mon->ahead, mon->n_ahead);
	chr_accept_input(mon->chr);
}

static void event(void *opaque, enum chr_event ev)
{
	struct monitor *mon = opaque;

	if (ev == CHR_OPENED)
		mon->greeted = mon->begun = false;
	if (ev == CHR_ROOM && !mon->waits)
		input(mon, mon->ahead, mon->n_ahead);
	if (ev == CHR_FOCUS_IN)
		puts_to(mon, "\n");
	if (ev == CHR_OPENED || ev == CHR_FOCUS_IN)
		greet(mon);
}

static const struct chr_front front = { room, input, event, .answers = true };

struct monitor *monitor_new_silent(struct vm *vm)
{
	struct monitor *mon = calloc(1, sizeof(*mon));

	if (!mon)
		return NULL;
	mon->vm = vm;
	return mon;
}

struct monitor *monitor_new(struct vm *vm, struct chr *c, struct err *e)
{
	struct monitor *mon = monitor_new_silent(vm);
	bool shared = !strcmp(c->ops->name, "mux");

	if (!mon || !(mon->editor = editor_new(PROMPT, &editor_user, mon))) {
		err_set(e, "no memory");
		monitor_free(mon);
		return NULL;
	}
	mon->chr = chr_attach(c, &front, mon);
	if (!mon->chr) {
		err_set(e, "monitor: the stream '%s' is in use", c->id);
		monitor_free(mon);
		return NULL;
	}
	if (mon->chr->open && !shared)
		greet(mon);
	chr_accept_input(mon->chr);
	return mon;
}

void monitor_free(struct monitor *mon)
{
	if (!mon)
		return;
	if (mon->chr)
		chr_detach(mon->chr);
	editor_free(mon->editor);
	free(mon);
}
