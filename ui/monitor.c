/*
 * The monitor: a line editor on a byte stream, and finding the command.
 *
 * Keys: backspace, Ctrl-A/E/B/F/U/K/W, arrows, Home, End, Ctrl-P/N for the
 * lines before, Tab to complete a word. A command prints into memory first, so that its output leaves
 * in one piece.
 *
 * The editor is the monitor's own: a library's wants a terminal, and this one's lines
 * come from sockets and multiplexed streams as well.
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
#define CTRL(ch) ((ch) & 0x1f)

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
	while (n) {
		const char *lf = memchr(s, '\n', n);
		size_t part = lf ? (size_t)(lf - s) : n;

		chr_write(mon->chr, s, part);
		if (lf) {
			chr_write(mon->chr, "\r\n", 2);
			part++;
		}
		s += part;
		n -= part;
	}
}

static void puts_to(struct monitor *mon, const char *s)
{
	put(mon, s, strlen(s));
}

static void greet(struct monitor *mon)
{
	if (!mon->greeted)
		puts_to(mon, "Rhea " CONFIG_VERSION " monitor - type 'help' for more information\n");
	mon->greeted = true;
	puts_to(mon, PROMPT);
	put(mon, mon->line, (size_t)mon->n);
}

static void run_line(struct monitor *mon)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (!out)
		return;
	monitor_execute(mon, mon->line, out);
	fclose(out);
	put(mon, text, n);
	free(text);
}

/* ---- line editing ---- */

/* Show the line from position `from` on again and put the cursor back to pos. */
static void redraw(struct monitor *mon, int from)
{
	put(mon, mon->line + from, (size_t)(mon->n - from));
	puts_to(mon, "\033[K");
	for (int i = mon->n; i > mon->pos; i--)
		puts_to(mon, "\b");
}

static void move_to(struct monitor *mon, int pos)
{
	while (mon->pos > pos) {
		puts_to(mon, "\b");
		mon->pos--;
	}
	if (mon->pos < pos) {
		put(mon, mon->line + mon->pos, (size_t)(pos - mon->pos));
		mon->pos = pos;
	}
}

/* Take out what stands from `from` up to the cursor. */
static void erase_back(struct monitor *mon, int from)
{
	int to = mon->pos;

	if (from < 0)
		return;
	move_to(mon, from);
	memmove(mon->line + from, mon->line + to, (size_t)(mon->n - to));
	mon->n -= to - from;
	redraw(mon, from);
}

static void insert(struct monitor *mon, char ch)
{
	if (mon->n >= MON_LINE - 1)
		return;
	memmove(mon->line + mon->pos + 1, mon->line + mon->pos, (size_t)(mon->n - mon->pos));
	mon->line[mon->pos++] = ch;
	mon->n++;
	if (mon->pos == mon->n)
		put(mon, &ch, 1);
	else
		redraw(mon, mon->pos - 1);
}

static void replace_line(struct monitor *mon, const char *text)
{
	move_to(mon, 0);
	mon->n = mon->pos = (int)strnlen(text, MON_LINE - 1);
	memcpy(mon->line, text, (size_t)mon->n);
	redraw(mon, 0);
}

static void browse(struct monitor *mon, int by)
{
	int to = mon->browse + by;

	if (to < 0 || to > mon->n_history)
		return;
	mon->browse = to;
	replace_line(mon, to == mon->n_history ? "" : mon->history[to]);
}

static void remember(struct monitor *mon)
{
	bool repeated = mon->n_history && !strcmp(mon->history[mon->n_history - 1], mon->line);

	if (*mon->line && !repeated) {
		if (mon->n_history == MON_HISTORY) {
			free(mon->history[0]);
			memmove(mon->history, mon->history + 1, sizeof(mon->history[0]) * (MON_HISTORY - 1));
			mon->n_history--;
		}
		mon->history[mon->n_history] = strdup(mon->line);
		mon->n_history += mon->history[mon->n_history] != NULL;
	}
	mon->browse = mon->n_history;
}

static void enter(struct monitor *mon)
{
	puts_to(mon, "\n");
	mon->line[mon->n] = 0;
	remember(mon);
	run_line(mon);
	mon->n = mon->pos = 0;
	if (!mon->waits && !loop_quitting(mon->vm->loop))
		puts_to(mon, PROMPT);
}

/* The candidates in columns, and the line again below them. */
static void show_candidates(struct monitor *mon, const struct completion *c)
{
	char text[64];
	int width = 0, columns;

	for (int i = 0; i < c->n; i++) {
		int n = (int)strlen(c->word[i]) + 2;
		width = n > width ? n : width;
	}
	columns = width < 80 ? 80 / width : 1;
	puts_to(mon, "\n");
	for (int i = 0; i < c->n; i++) {
		bool last = i % columns == columns - 1 || i + 1 == c->n;

		puts_to(mon, c->word[i]);
		snprintf(text, sizeof(text), "%*s", last ? 0 : (int)(width - (int)strlen(c->word[i])) % 60, "");
		puts_to(mon, last ? "\n" : text);
	}
	puts_to(mon, PROMPT);
	put(mon, mon->line, (size_t)mon->n);
	for (int i = mon->n; i > mon->pos; i--)
		puts_to(mon, "\b");
}

static void tab(struct monitor *mon)
{
	struct completion *c = calloc(1, sizeof(*c));
	char line[MON_LINE];
	size_t have, common;

	if (!c)
		return;
	snprintf(line, sizeof(line), "%.*s", mon->pos, mon->line);
	complete(mon, line, c);
	have = strlen(c->stem);
	common = complete_common(c);
	for (size_t i = have; i < common; i++)
		insert(mon, c->word[0][i]);
	if (c->n == 1 && common && c->word[0][common - 1] != '/')
		insert(mon, ' ');
	else if (c->n > 1 && common <= have)
		show_candidates(mon, c);
	complete_free(c);
	free(c);
}

static int word_start(const struct monitor *mon)
{
	int i = mon->pos;

	while (i > 0 && mon->line[i - 1] == ' ')
		i--;
	while (i > 0 && mon->line[i - 1] != ' ')
		i--;
	return i;
}

static void control(struct monitor *mon, uint8_t ch)
{
	switch (ch) {
	case '\r': case '\n':	enter(mon); break;
	case 0x7f: case '\b':	erase_back(mon, mon->pos - 1); break;
	case CTRL('A'):		move_to(mon, 0); break;
	case CTRL('E'):		move_to(mon, mon->n); break;
	case CTRL('B'):		move_to(mon, mon->pos - (mon->pos > 0)); break;
	case CTRL('F'):		move_to(mon, mon->pos + (mon->pos < mon->n)); break;
	case CTRL('U'):		erase_back(mon, 0); break;
	case CTRL('W'):		erase_back(mon, word_start(mon)); break;
	case CTRL('K'):		mon->n = mon->pos; redraw(mon, mon->pos); break;
	case CTRL('P'):		browse(mon, -1); break;
	case CTRL('N'):		browse(mon, 1); break;
	case CTRL('C'):		puts_to(mon, "\n" PROMPT); mon->n = mon->pos = 0; break;
	case '\t':		tab(mon); break;
	case 0x1b:		mon->escape = 1; break;
	}
}

/* The last character of ESC [ n x. */
static void cursor_key(struct monitor *mon, uint8_t ch)
{
	static const struct { char final, arg, as; } keys[] = {
		{ 'A', 0, CTRL('P') }, { 'B', 0, CTRL('N') }, { 'C', 0, CTRL('F') }, { 'D', 0, CTRL('B') },
		{ 'H', 0, CTRL('A') }, { 'F', 0, CTRL('E') }, { '~', '1', CTRL('A') }, { '~', '4', CTRL('E') },
	};

	if (isdigit(ch)) {
		mon->escape_arg = (char)ch;
		return;
	}
	mon->escape = 0;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].final == ch && keys[i].arg == mon->escape_arg)
			control(mon, (uint8_t)keys[i].as);
	if (ch == '~' && mon->escape_arg == '3' && mon->pos < mon->n) {	/* delete */
		move_to(mon, mon->pos + 1);
		erase_back(mon, mon->pos - 1);
	}
}

static void type(struct monitor *mon, uint8_t ch)
{
	if (mon->escape == 1) {
		mon->escape = ch == '[' || ch == 'O' ? 2 : 0;
		mon->escape_arg = 0;
	} else if (mon->escape == 2) {
		cursor_key(mon, ch);
	} else if (ch >= ' ' && ch != 0x7f) {
		insert(mon, (char)ch);
	} else {
		control(mon, ch);
	}
}

/* ---- the stream ---- */

static int room(void *opaque)
{
	const struct monitor *mon = opaque;

	return mon->waits ? 0 : MON_LINE;
}

static void input(void *opaque, const uint8_t *p, int n)
{
	struct monitor *mon = opaque;

	for (; n > 0 && !mon->waits; n--)
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
	puts_to(mon, PROMPT);
	input(mon, mon->ahead, mon->n_ahead);
	if (!mon->waits)
		chr_accept_input(mon->chr);
}

static void event(void *opaque, enum chr_event ev)
{
	struct monitor *mon = opaque;

	if (ev == CHR_OPENED)
		mon->greeted = false;
	if (ev == CHR_FOCUS_IN)
		puts_to(mon, "\n");
	if (ev == CHR_OPENED || ev == CHR_FOCUS_IN)
		greet(mon);
}

static const struct chr_front front = { room, input, event };

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

	if (!mon || !(mon->chr = chr_attach(c, &front, mon))) {
		err_set(e, "monitor: the stream '%s' is in use", c->id);
		free(mon);
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
	for (int i = 0; i < mon->n_history; i++)
		free(mon->history[i]);
	free(mon);
}
