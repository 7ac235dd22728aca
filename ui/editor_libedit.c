/*
 * libedit on a stack of its own (why: ui/editor_libedit.h).
 *
 * It keeps its settings in a terminal and draws nothing without one, so it gets a pseudo-terminal
 * that no byte ever passes: only its size and its modes are used. Keys come one by one through
 * next_key(), output goes to memory.
 *
 * Text is UTF-8, whatever the program's locale.
 *
 * Not modelled: the user's .editrc; numbers in front of commands (Esc 9 x), characters as they are
 * (Ctrl-V), and libedit's own command line (Esc x): a peer could make lines grow, have rows, or
 * keys call each other without end.
 * Source: editline(3), editline(7), editrc(5); makecontext(3), pts(4).
 */
#include "ui/editor_libedit.h"

#ifdef CONFIG_LIBEDIT

#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/core/chr.h"
#include "ui/monitor_complete.h"

#define STACK		(1 << 20)
#define GUARD		4096
#define HISTORY		64
/*
 * Each byte of what is searched for is a call inside another in libedit. So many fit the stack
 * several times over.
 */
#define SEARCH_MAX	512
/* Of a terminal that nobody knows: no line is wrapped. */
#define ANY_TERMINAL	"xterm"
#define ANY_COLUMNS	(4 * EDITOR_LINE)
/*
 * libedit writes beyond its rows when a line is larger than the screen. So it is told of as many rows
 * as the longest line can have, a character being eight columns wide at most.
 */
#define CELLS		(8 * 4 * EDITOR_LINE)

struct libedit {
	const char *prompt;
	const struct editor_user *user;
	void *opaque;
	EditLine *el;
	History *history;
	locale_t utf8;
	int master, slave;		/* the pseudo-terminal; -1: not open */
	struct winsize size;
	char type[64];
	/* What it shows. */
	FILE *out;
	char *text;
	size_t n_text;
	/* The two stacks. */
	ucontext_t caller, self;
	void *stack;
	enum { RESTS, READS, LINE } state;	/* between lines, inside one, one is ready */
	/* What goes in. */
	wchar_t key;
	bool gives_up;
	mbstate_t part;			/* of a character */
	int searched;
	bool cancelled;
	/* What comes out. */
	char line[EDITOR_LINE];
};

/* ---- from one stack to the other ---- */

static void enter(struct libedit *l)
{
	locale_t before = uselocale(l->utf8);

	swapcontext(&l->caller, &l->self);
	uselocale(before);
}

/* Hand over what has collected, or drop it. */
static void show(struct libedit *l, bool drop)
{
	fflush(l->out);
	if (!drop && l->n_text)
		l->user->write(l->opaque, l->text, l->n_text);
	rewind(l->out);
}

/* ---- keys ---- */

static struct libedit *self(EditLine *el)
{
	void *l = NULL;

	el_get(el, EL_CLIENTDATA, &l);
	return l;
}

/* A key that makes the line longer; Ctrl-Y brings what was cut out. */
static bool adds(wchar_t key)
{
	return (key >= L' ' && key != 0x7f) || key == CTRL('Y');
}

/* The line has become what no person types. */
static bool too_much(struct libedit *l, const LineInfoW *line)
{
	size_t n = (size_t)(line->lastchar - line->buffer);
	bool searching = n && wmemchr(line->buffer, L'\n', n);

	l->searched = searching ? l->searched + 1 : 0;
	return l->searched > SEARCH_MAX || n > 2 * EDITOR_LINE;
}

/* libedit reads: 1, or 0 for the end of all input. */
static int next_key(EditLine *el, wchar_t *key)
{
	struct libedit *l = self(el);
	const LineInfoW *line = el_wline(el);
	bool full = line->lastchar - line->buffer >= EDITOR_LINE - 1;

	if (too_much(l, line))
		return 0;
	do {
		swapcontext(&l->self, &l->caller);
		if (l->gives_up)
			return 0;
	} while (full && adds(l->key));
	*key = l->key;
	return 1;
}

/* One character from bytes; false: more must come, or they are none. */
static bool decode(struct libedit *l, uint8_t byte)
{
	locale_t before = uselocale(l->utf8);
	char ch = (char)byte;
	size_t n = mbrtowc(&l->key, &ch, 1, &l->part);

	uselocale(before);
	if (n == (size_t)-1)
		memset(&l->part, 0, sizeof(l->part));
	return n <= 1;
}

/* ---- commands of our own ---- */

static char *prompt(EditLine *el)
{
	return (char *)self(el)->prompt;
}

static unsigned char cancel(EditLine *el, int ch)
{
	(void)ch;
	self(el)->cancelled = true;
	el_push(el, "\n");
	return CC_NORM;
}

/* Back to a blank, as paths want it. */
static unsigned char erase_word(EditLine *el, int ch)
{
	const LineInfoW *line = el_wline(el);
	const wchar_t *p = line->cursor;

	(void)ch;
	while (p > line->buffer && p[-1] == L' ')
		p--;
	while (p > line->buffer && p[-1] != L' ')
		p--;
	if (p < line->cursor)
		el_wdeletestr(el, (int)(line->cursor - p));
	return CC_REFRESH;
}

/* The candidates in columns, and the line again below them. */
static void list(struct libedit *l, const struct completion *c)
{
	int width = 0, columns;

	for (int i = 0; i < c->n; i++) {
		int n = (int)strlen(c->word[i]) + 2;
		width = n > width ? n : width;
	}
	columns = (l->size.ws_col < 80 ? l->size.ws_col : 80) / width;
	fputc('\n', l->out);
	for (int i = 0; i < c->n; i++) {
		bool last = columns < 2 || i % columns == columns - 1 || i + 1 == c->n;
		fprintf(l->out, "%*s%s", last ? 0 : -width, c->word[i], last ? "\n" : "");
	}
	el_set(l->el, EL_REFRESH);
}

/* Types what the candidates have in common, and a blank behind a whole word. */
static void type_common(EditLine *el, const struct completion *c, size_t have, size_t common)
{
	char text[EDITOR_LINE];
	size_t n = 0;

	while (n < common - have && n < sizeof(text) - 2 && (uint8_t)c->word[0][have + n] >= ' ') {
		text[n] = c->word[0][have + n];
		n++;
	}
	if (c->n == 1 && have + n == common && c->word[0][common - 1] != '/')
		text[n++] = ' ';
	text[n] = 0;
	el_push(el, text);
}

static unsigned char tab(EditLine *el, int ch)
{
	struct libedit *l = self(el);
	struct completion *c = calloc(1, sizeof(*c));
	const LineInfo *info = el_line(el);
	char line[EDITOR_LINE];
	size_t have, common;

	(void)ch;
	if (!c)
		return CC_ERROR;
	snprintf(line, sizeof(line), "%.*s", (int)(info->cursor - info->buffer), info->buffer);
	l->user->complete(l->opaque, line, c);
	have = strlen(c->stem);
	common = complete_common(c);
	if (c->n == 1 || common > have)
		type_common(el, c, have, common);
	else if (c->n > 1)
		list(l, c);
	complete_free(c);
	free(c);
	return CC_NORM;
}

static void bind_keys(EditLine *el)
{
	static const char *const keys[][2] = {
		{ "^I", "rhea-complete" }, { "^C", "rhea-cancel" }, { "^W", "rhea-erase-word" },
		{ "^U", "vi-kill-line-prev" }, { "^D", "ed-delete-next-char" }, { "^S", "em-inc-search-next" },
		{ "\033[3~", "ed-delete-next-char" },
		{ "\033[1~", "ed-move-to-beg" }, { "\033[7~", "ed-move-to-beg" },
		{ "\033[4~", "ed-move-to-end" }, { "\033[8~", "ed-move-to-end" },
	};
	static const char *const away[] = {
		"\0330", "\0331", "\0332", "\0333", "\0334", "\0335", "\0336", "\0337", "\0338", "\0339",
		"\033x", "\033X", "\033^_", "^V", "^@",
	};

	el_set(el, EL_EDITOR, "emacs");
	/* Its narrow form keeps a copy of each name for ever. */
	el_wset(el, EL_ADDFN, L"rhea-complete", L"complete the word", tab);
	el_wset(el, EL_ADDFN, L"rhea-cancel", L"begin another line", cancel);
	el_wset(el, EL_ADDFN, L"rhea-erase-word", L"erase back to a blank", erase_word);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
	for (size_t i = 0; i < ARRAY_LEN(away); i++)
		el_set(el, EL_BIND, "-r", away[i], NULL);
}

/* ---- lines ---- */

/* What el_gets() gave becomes the line; NULL, or one that was given up, an empty one. */
static void take(struct libedit *l, const char *got)
{
	size_t n = got && !l->cancelled ? strcspn(got, "\n") : 0;
	HistEvent ev;

	*l->line = 0;
	if (n >= sizeof(l->line))
		fputs("the line is too long\n", l->out);
	else if (n)
		snprintf(l->line, sizeof(l->line), "%.*s", (int)n, got);
	if (*l->line)
		history(l->history, &ev, H_ENTER, l->line);
}

/* The other stack's work. makecontext() hands over words, a pointer is two of them. */
static void work(unsigned high, unsigned low)
{
	struct libedit *l = (struct libedit *)((uintptr_t)high << 32 | low);

	for (;;) {
		int n;

		l->state = READS;
		l->cancelled = false;
		l->searched = 0;
		take(l, el_gets(l->el, &n));
		l->state = LINE;
		swapcontext(&l->self, &l->caller);
	}
}

/* Out of whatever is being typed. */
static void give_up(struct libedit *l)
{
	if (l->state != READS)
		return;
	l->gives_up = true;
	enter(l);
	l->gives_up = false;
	show(l, true);
}

void libedit_begin(struct libedit *l)
{
	give_up(l);
	memset(&l->part, 0, sizeof(l->part));
	enter(l);
	show(l, false);
}

const char *libedit_type(struct libedit *l, uint8_t byte)
{
	if (l->state != READS || !decode(l, byte))
		return NULL;
	enter(l);
	show(l, false);
	return l->state == LINE ? l->line : NULL;
}

void libedit_show(struct libedit *l)
{
	locale_t before = uselocale(l->utf8);

	if (l->state == READS)
		el_set(l->el, EL_REFRESH);
	uselocale(before);
	show(l, false);
}

const char *libedit_remembered(struct libedit *l, int n)
{
	HistEvent ev;

	/* The first of libedit's is the newest. */
	if (history(l->history, &ev, H_LAST) < 0)
		return NULL;
	while (n--)
		if (history(l->history, &ev, H_PREV) < 0)
			return NULL;
	return ev.str;
}

/* ---- the terminal ---- */

void libedit_set_terminal(struct libedit *l, const struct chr_terminal *t)
{
	const char *type = t->type && *t->type ? t->type : ANY_TERMINAL;
	int columns = t->columns > 1 && t->columns < ANY_COLUMNS ? t->columns : ANY_COLUMNS;
	struct winsize size = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)(CELLS / columns + 8) };
	bool other_type = strcmp(type, l->type), other_size = memcmp(&size, &l->size, sizeof(size));
	locale_t before;

	if (!other_type && !other_size)
		return;
	before = uselocale(l->utf8);
	l->size = size;
	ioctl(l->slave, TIOCSWINSZ, &size);
	if (other_type) {
		snprintf(l->type, sizeof(l->type), "%s", type);
		el_set(l->el, EL_TERMINAL, l->type);
		show(l, true);		/* that it does not know this one */
	} else {
		el_resize(l->el);
	}
	if (l->state == READS) {	/* it took what it had shown for gone */
		fputc('\r', l->out);
		el_set(l->el, EL_REFRESH);
		show(l, false);
	}
	uselocale(before);
}

static bool open_terminal(struct libedit *l)
{
	char path[128];

	l->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (l->master < 0 || grantpt(l->master) || unlockpt(l->master) || ptsname_r(l->master, path, sizeof(path)))
		return false;
	l->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return l->slave >= 0;
}

/* ---- beginning and end ---- */

static bool open_library(struct libedit *l)
{
	locale_t before = uselocale(l->utf8);
	HistEvent ev;

	l->el = el_init_fd("rhea", l->out, l->out, l->out, l->slave, l->slave, l->slave);
	l->history = history_init();
	if (l->el && l->history) {
		history(l->history, &ev, H_SETSIZE, HISTORY);
		history(l->history, &ev, H_SETUNIQUE, 1);
		el_set(l->el, EL_CLIENTDATA, l);
		el_set(l->el, EL_SIGNAL, 0);
		el_set(l->el, EL_PROMPT, prompt);
		el_set(l->el, EL_HIST, history, l->history);
		el_set(l->el, EL_GETCFN, next_key);
		bind_keys(l->el);
	}
	uselocale(before);
	show(l, true);
	return l->el && l->history;
}

static bool make_stack(struct libedit *l)
{
	uintptr_t p = (uintptr_t)l;

	l->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (l->stack == MAP_FAILED) {
		l->stack = NULL;
		return false;
	}
	mprotect(l->stack, GUARD, PROT_NONE);
	getcontext(&l->self);
	l->self.uc_stack.ss_sp = l->stack;
	l->self.uc_stack.ss_size = STACK;
	l->self.uc_link = NULL;
	makecontext(&l->self, (void (*)(void))work, 2, (unsigned)(p >> 32), (unsigned)p);
	return true;
}

struct libedit *libedit_new(const char *prompt_text, const struct editor_user *user, void *opaque)
{
	struct libedit *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->prompt = prompt_text;
	l->user = user;
	l->opaque = opaque;
	l->master = l->slave = -1;
	l->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	l->out = open_memstream(&l->text, &l->n_text);
	if (l->utf8 && l->out && open_terminal(l) && open_library(l) && make_stack(l)) {
		libedit_set_terminal(l, &(struct chr_terminal){ 0 });
		return l;
	}
	libedit_free(l);
	return NULL;
}

void libedit_free(struct libedit *l)
{
	if (!l)
		return;
	if (l->stack) {
		give_up(l);
		munmap(l->stack, STACK);
	}
	if (l->el)
		el_end(l->el);
	if (l->history)
		history_end(l->history);
	if (l->slave >= 0)
		close(l->slave);
	if (l->master >= 0)
		close(l->master);
	if (l->out)
		fclose(l->out);
	if (l->utf8)
		freelocale(l->utf8);
	free(l->text);
	free(l);
}

#endif
