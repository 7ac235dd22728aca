/*
 * Making byte streams from text, and the kinds that need no descriptor: null
 * and ringbuf.
 *
 * Not modelled: udp, spice, braille, parallel and serial ports of the host,
 * reconnecting clients, TLS.
 */
#include "hw/backend/char.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/spell.h"
#include "hw/backend/sock.h"
#include "hw/core/prop.h"

/* ---- null ---- */

static void null_write(struct chr *c, const uint8_t *p, size_t n)
{
	(void)c, (void)p, (void)n;
}

static void plain_free(struct chr *c)
{
	free(c);
}

static const struct chr_ops null_ops = { .name = "null", .write = null_write, .free = plain_free };

static struct chr *make_null(struct machine *m, const struct chr_spec *s, struct err *e)
{
	struct chr *c = calloc(1, sizeof(*c));

	(void)s;
	if (!c) {
		err_set(e, "no memory");
		return NULL;
	}
	c->ops = &null_ops;
	c->m = m;
	return c;
}

/* ---- ringbuf: the last bytes written, for tests and the monitor ---- */

struct ring {
	struct chr chr;
	size_t size, head, n;
	uint8_t buf[];
};

static void ring_write(struct chr *c, const uint8_t *p, size_t n)
{
	struct ring *r = (struct ring *)c;

	for (; n--; p++) {
		r->buf[(r->head + r->n) % r->size] = *p;
		if (r->n < r->size)
			r->n++;
		else
			r->head = (r->head + 1) % r->size;
	}
}

static const struct chr_ops ring_ops = { .name = "ringbuf", .write = ring_write, .free = plain_free };

static struct chr *make_ring(struct machine *m, const struct chr_spec *s, struct err *e)
{
	size_t size = s->size ? s->size : 65536;
	struct ring *r = size <= 1u << 30 ? calloc(1, sizeof(*r) + size) : NULL;

	if (!r) {
		err_set(e, "no memory for a ring of %zu bytes", size);
		return NULL;
	}
	r->chr.ops = &ring_ops;
	r->chr.m = m;
	r->chr.open = true;
	r->size = size;
	return &r->chr;
}

int chr_ring_read(struct chr *c, void *buf, int n)
{
	struct ring *r = (struct ring *)c;
	uint8_t *to = buf;
	int got = 0;

	if (c->ops != &ring_ops)
		return -1;
	for (; got < n && r->n; got++, r->n--) {
		to[got] = r->buf[r->head];
		r->head = (r->head + 1) % r->size;
	}
	return got;
}

/* ---- kinds ---- */

static const struct chr_kind kinds[] = {
	{ "stdio",   NULL,     chr_make_stdio,  "standard input and output" },
	{ "pty",     NULL,     chr_make_pty,    "a new pseudo-terminal" },
	{ "null",    "none",   make_null,       "nothing" },
	{ "vc",      NULL,     chr_make_vc,     "a console beside the screen: in a window Ctrl-Alt-2, Ctrl-Alt-3.." },
	{ "file",    NULL,     chr_make_file,   "output to a file" },
	{ "pipe",    NULL,     chr_make_pipe,   "a named pipe, or the pair PATH.in and PATH.out" },
	{ "socket",  "tcp",    chr_make_socket, "TCP or Unix socket" },
	{ "telnet",  NULL,     chr_make_socket, "TCP socket with telnet negotiation" },
	{ "unix",    NULL,     chr_make_socket, "Unix socket" },
	{ "ringbuf", "memory", make_ring,       "the last bytes, in memory" },
};

static const struct chr_kind *find_kind(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(kinds[i].name, name) || (kinds[i].alias && !strcmp(kinds[i].alias, name)))
			return &kinds[i];
	return NULL;
}

void chr_help(FILE *out)
{
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		fprintf(out, "%-8s %s\n", kinds[i].name, kinds[i].help);
}

static bool unknown_kind(const char *name, struct err *e)
{
	struct spell near;
	char hint[80];

	spell_init(&near, name);
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		spell_try(&near, kinds[i].name);
	return err_set(e, "'%s' is no kind of character device%s", name,
		       near.best ? spell_hint(&near, hint, sizeof(hint))
				 : "; expected stdio, pty, file:.., tcp:.., unix:.., null or another");
}

/* ---- text to struct chr_spec ---- */

static bool is_on(const char *v)
{
	return !*v || !strcmp(v, "on") || !strcmp(v, "yes") || !strcmp(v, "true");
}

static void copy_text(char *to, size_t n, const char *from)
{
	snprintf(to, n, "%.*s", (int)n - 1, from);
}

static bool set_option(struct chr_spec *s, char *id, size_t n_id, const char *k, const char *v, struct err *e)
{
	if (!strcmp(k, "id"))
		copy_text(id, n_id, v);
	else if (!strcmp(k, "path"))
		copy_text(s->path, sizeof(s->path), v);
	else if (!strcmp(k, "host"))
		copy_text(s->host, sizeof(s->host), v);
	else if (!strcmp(k, "port"))
		copy_text(s->port, sizeof(s->port), v);
	else if (!strcmp(k, "server"))
		s->server = is_on(v);
	else if (!strcmp(k, "wait"))
		s->wait = is_on(v);
	else if (!strcmp(k, "nowait"))
		s->wait = !is_on(v);
	else if (!strcmp(k, "telnet"))
		s->telnet = is_on(v);
	else if (!strcmp(k, "nodelay"))
		s->nodelay = is_on(v);
	else if (!strcmp(k, "delay"))
		s->nodelay = !is_on(v);
	else if (!strcmp(k, "mux"))
		s->mux = is_on(v);
	else if (!strcmp(k, "signal"))
		s->signal = is_on(v);
	else if (!strcmp(k, "append"))
		s->append = is_on(v);
	else if (!strcmp(k, "logfile"))
		copy_text(s->log, sizeof(s->log), v);
	else if (!strcmp(k, "logappend"))
		s->log_append = is_on(v);
	else if (!strcmp(k, "fd")) {
		uint64_t fd;
		if (!prop_parse_size(v, &fd) || fd > INT_MAX)
			return err_set(e, "fd=%s is no number of a descriptor", v);
		s->fd = (int)fd;
	} else if (!strcmp(k, "size")) {
		if (!prop_parse_size(v, &s->size))
			return err_set(e, "size=%s is no size", v);
	} else if (!strcmp(k, "cols") || !strcmp(k, "rows") || !strcmp(k, "width") || !strcmp(k, "height")) {
		int *to = *k == 'c' || *k == 'w' ? &s->columns : &s->rows, cell = *k == 'w' ? 8 : *k == 'h' ? 16 : 1;
		uint64_t n;
		if (strcmp(s->kind, "vc") || !prop_parse_size(v, &n) || n < (uint64_t)cell || n > 16000)
			return err_set(e, "%s=%s is no size of a console", k, v);
		*to = (int)n / cell;
	} else if (strcmp(k, "ipv4") && strcmp(k, "ipv6"))
		return err_set(e, "unknown option '%s'", k);
	return true;
}

/* Text to the next comma, or the end; ",," stands for one that belongs to it. What follows is the result. */
static const char *take_text(char *to, size_t n, const char *p)
{
	size_t k = 0;

	for (; *p && (*p != ',' || p[1] == ','); p++) {
		p += *p == ',';
		if (k + 1 < n)
			to[k++] = *p;
	}
	to[k] = 0;
	return p + (*p == ',');
}

static bool set_options(struct chr_spec *s, char *id, size_t n_id, const char *list, struct err *e)
{
	while (*list) {
		size_t k = strcspn(list, "=,");
		char key[64], val[PATH_MAX];

		snprintf(key, sizeof(key), "%.*s", (int)k, list);
		list = take_text(val, sizeof(val), list + k + (list[k] == '='));
		if (*key && !set_option(s, id, n_id, key, val, e))
			return false;
	}
	return true;
}

/* What stands behind "kind:" in the short form; the options begin at the result. */
static const char *short_argument(struct chr_spec *s, const char *arg, bool is_tcp)
{
	size_t n = strcspn(arg, ",");
	const char *colon = memrchr(arg, ':', n);

	if (!is_tcp)
		return take_text(s->path, sizeof(s->path), arg);
	if (colon) {
		snprintf(s->host, sizeof(s->host), "%.*s", (int)(colon - arg), arg);
		snprintf(s->port, sizeof(s->port), "%.*s", (int)(arg + n - colon - 1), colon + 1);
		sock_strip_brackets(s->host);
	} else {
		snprintf(s->port, sizeof(s->port), "%.*s", (int)n, arg);
	}
	return arg + n + (arg[n] == ',');
}

static bool parse_spec(struct chr_spec *s, const char *text, char *id, size_t n_id, struct err *e)
{
	size_t n;
	bool is_tcp;

	memset(s, 0, sizeof(*s));
	s->wait = true;
	s->fd = -1;
	s->signal = true;
	if (!strncmp(text, "mon:", 4)) {
		s->mux = true;
		s->signal = false;
		text += 4;
	}
	n = strcspn(text, ":,");
	snprintf(s->kind, sizeof(s->kind), "%.*s", (int)n, text);
	if (!find_kind(s->kind))
		return unknown_kind(s->kind, e);
	s->telnet = !strcmp(s->kind, "telnet");
	is_tcp = s->telnet || !strcmp(s->kind, "tcp");
	text += n;
	if (*text == ':') {
		if (!strcmp(s->kind, "ringbuf") || !strcmp(s->kind, "memory"))
			return prop_parse_size(text + 1, &s->size) || err_set(e, "'%s' is no size", text + 1);
		text = short_argument(s, text + 1, is_tcp);
	} else if (*text) {
		text++;
	}
	return set_options(s, id, n_id, text, e);
}

/* ---- making ---- */

/* 0: none. */
static bool open_log(const struct chr_spec *s, int *fd, struct err *e)
{
	*fd = 0;
	if (!*s->log)
		return true;
	*fd = open(s->log, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | (s->log_append ? O_APPEND : O_TRUNC), 0666);
	return *fd >= 0 || err_errno(e, "cannot open the log %s", s->log);
}

static struct chr *make(struct machine *m, const struct chr_spec *s, struct err *e)
{
	struct chr *c;
	int log;

	if (!open_log(s, &log, e))
		return NULL;
	c = find_kind(s->kind)->make(m, s, e);
	if (c)
		c->log = log;
	else if (log)
		close(log);
	return c && s->mux ? chr_mux_new(c, e) : c;
}

struct chr *chr_new(struct machine *m, const char *id, const char *text, struct err *e)
{
	char name[128];
	struct chr_spec *s = malloc(sizeof(*s));
	struct chr *c = NULL;

	snprintf(name, sizeof(name), "%s", id ? id : "");
	if (!s || !parse_spec(s, text, name, sizeof(name), e))
		goto out;
	if (!*name) {
		err_set(e, "a character device needs an id");
		goto out;
	}
	if (chr_find(m, name)) {
		err_set(e, "there is a character device '%s' already", name);
		goto out;
	}
	c = make(m, s, e);
	if (!c)
		goto out;
	c->id = strdup(name);
	c->next = m->chrs;
	m->chrs = c;
	if (c->ops->describe && !strcmp(s->kind, "pty"))
		fprintf(stderr, "char device redirected to %s (label %s)\n", c->ops->describe(c), name);
out:
	if (!c)
		err_prefix(e, "%s", text);
	free(s);
	return c;
}

struct chr *chr_find_or_new(struct machine *m, const char *id, const char *spec, struct err *e)
{
	struct chr *c;

	if (!strncmp(spec, "chardev:", 8)) {
		c = chr_find(m, spec + 8);
		if (!c)
			err_set(e, "there is no chardev called '%s'", spec + 8);
		return c;
	}
	c = chr_find(m, spec);
	return c ? c : chr_new(m, id, spec, e);
}
