/*
 * One stream shared by several front ends: usually the first serial port and the
 * monitor on one terminal. All write to it; one at a time gets the keyboard.
 *
 * Ctrl-A is the escape: h help, x quit, b break, c next front end, t time stamps,
 * s flush, Ctrl-A the character itself. Input for a front end without room waits
 * in its own buffer, so that the escapes always work.
 */
#include "hw/backend/char.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PORTS	4
#define HELD_MAX	4096
#define ESCAPE		0x01

struct mux;

struct mux_port {
	struct chr chr;
	struct mux *mux;
	uint8_t held[HELD_MAX];		/* input that found no room */
	int head, n;
};

struct mux {
	struct chr chr;			/* what others know; its attach gives ports */
	struct chr *base;
	struct mux_port *port[MAX_PORTS];
	int n_ports, focus;
	bool escaped, stamps, line_start;
	uint64_t stamp_base;
};

/* ---- a port ---- */

static void stamp(struct mux *x)
{
	char buf[40];
	uint64_t ms = (clock_now(&x->chr.m->clock) - x->stamp_base) / NS_PER_MS;

	snprintf(buf, sizeof(buf), "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000), (int)(ms / 60000 % 60),
		 (int)(ms / 1000 % 60), (int)(ms % 1000));
	chr_puts(x->base, buf);
}

static void port_send(struct chr *c, const uint8_t *p, size_t n)
{
	struct mux *x = ((struct mux_port *)c)->mux;

	if (!x->stamps) {
		chr_write(x->base, p, n);
		return;
	}
	for (; n--; p++) {
		if (x->line_start)
			stamp(x);
		chr_putc(x->base, *p);
		x->line_start = *p == '\n';
	}
}

static bool port_full(struct chr *c)
{
	return chr_full(((struct mux_port *)c)->mux->base);
}

static void port_accept(struct chr *c)
{
	struct mux_port *p = (struct mux_port *)c;

	while (p->n && chr_room(c) > 0) {
		uint8_t v = p->held[p->head];

		p->head = (p->head + 1) % HELD_MAX;
		p->n--;
		chr_input(c, &v, 1);
	}
	chr_accept_input(p->mux->base);
}

static void port_give(struct mux_port *p, uint8_t v)
{
	port_accept(&p->chr);
	if (!p->n && chr_room(&p->chr) > 0)
		chr_input(&p->chr, &v, 1);
	else if (p->n < HELD_MAX)
		p->held[(p->head + p->n++) % HELD_MAX] = v;
}

/* Ports live as long as the mux. */
static void port_free(struct chr *c)
{
	(void)c;
}

static const char *port_describe(struct chr *c)
{
	struct chr *base = ((struct mux_port *)c)->mux->base;

	return base->ops->describe ? base->ops->describe(base) : base->ops->name;
}

static void port_terminal(struct chr *c, struct chr_terminal *t)
{
	chr_terminal(((struct mux_port *)c)->mux->base, t);
}

static const struct chr_ops port_ops = {
	.name = "mux-port", .write = port_send, .accept_input = port_accept, .free = port_free,
	.describe = port_describe, .full = port_full, .terminal = port_terminal,
};

/* ---- the escape commands ---- */

static void set_focus(struct mux *x, int i)
{
	if (x->n_ports == 0)
		return;
	chr_event(&x->port[x->focus]->chr, CHR_FOCUS_OUT);
	x->focus = i % x->n_ports;
	chr_event(&x->port[x->focus]->chr, CHR_FOCUS_IN);
}

static void help(struct mux *x)
{
	chr_puts(x->base,
		 "\r\n"
		 "C-a h    print this help\r\n"
		 "C-a x    exit emulator\r\n"
		 "C-a s    flush output\r\n"
		 "C-a t    toggle console timestamps\r\n"
		 "C-a b    send break\r\n"
		 "C-a c    switch between console and monitor\r\n"
		 "C-a C-a  sends C-a\r\n");
}

static void quit(struct mux *x)
{
	chr_puts(x->base, "Rhea: Terminated\r\n");
	machine_request(x->chr.m, MACHINE_EXIT, 0);
}

static void command(struct mux *x, uint8_t v)
{
	struct mux_port *p = x->n_ports ? x->port[x->focus] : NULL;

	switch (v) {
	case ESCAPE:
		if (p)
			port_give(p, v);
		break;
	case 'h': case '?':
		help(x);
		break;
	case 'x':
		quit(x);
		break;
	case 's':
		chr_flush_all(x->chr.m);
		break;
	case 't':
		x->stamps = !x->stamps;
		x->line_start = true;
		x->stamp_base = clock_now(&x->chr.m->clock);
		break;
	case 'b':
		if (p)
			chr_event(&p->chr, CHR_BREAK);
		break;
	case 'c':
		set_focus(x, x->focus + 1);
		break;
	}
}

/* ---- towards the base stream ---- */

static int base_room(void *opaque)
{
	struct mux *x = opaque;
	struct mux_port *p = x->n_ports ? x->port[x->focus] : NULL;

	return p ? HELD_MAX - p->n : 1;
}

static void base_input(void *opaque, const uint8_t *p, int n)
{
	struct mux *x = opaque;

	for (; n-- > 0; p++) {
		if (x->escaped) {
			x->escaped = false;
			command(x, *p);
		} else if (*p == ESCAPE) {
			x->escaped = true;
		} else if (x->n_ports) {
			port_give(x->port[x->focus], *p);
		}
	}
}

static void base_event(void *opaque, enum chr_event ev)
{
	struct mux *x = opaque;

	if (ev == CHR_OPENED || ev == CHR_CLOSED)
		x->chr.open = ev == CHR_OPENED;
	for (int i = 0; i < x->n_ports; i++)
		chr_event(&x->port[i]->chr, ev);
}

static const struct chr_front base_front = { base_room, base_input, base_event };

/* ---- the mux as a stream ---- */

static struct chr *mux_attach(struct chr *c)
{
	struct mux *x = (struct mux *)c;
	struct mux_port *p;

	for (int i = 0; i < x->n_ports; i++)
		if (!x->port[i]->chr.front)
			return &x->port[i]->chr;
	if (x->n_ports == MAX_PORTS || !(p = calloc(1, sizeof(*p))))
		return NULL;
	p->mux = x;
	p->chr.ops = &port_ops;
	p->chr.m = c->m;
	p->chr.id = c->id;
	p->chr.open = x->base->open;
	x->port[x->n_ports++] = p;
	return &p->chr;
}

static void mux_write(struct chr *c, const uint8_t *p, size_t n)
{
	chr_write(((struct mux *)c)->base, p, n);
}

static void mux_flush(struct chr *c)
{
	struct chr *base = ((struct mux *)c)->base;

	if (base->ops->flush)
		base->ops->flush(base);
}

static void mux_free(struct chr *c)
{
	struct mux *x = (struct mux *)c;

	for (int i = 0; i < x->n_ports; i++)
		free(x->port[i]);
	chr_free(x->base);
	free(x);
}

static const char *mux_describe(struct chr *c)
{
	struct chr *base = ((struct mux *)c)->base;

	return base->ops->describe ? base->ops->describe(base) : base->ops->name;
}

static const struct chr_ops mux_ops = {
	.name = "mux", .write = mux_write, .flush = mux_flush, .free = mux_free, .attach = mux_attach,
	.describe = mux_describe,
};

struct chr *chr_mux_new(struct chr *base, struct err *e)
{
	struct mux *x = calloc(1, sizeof(*x));

	if (!x) {
		err_set(e, "no memory");
		chr_free(base);
		return NULL;
	}
	x->chr.ops = &mux_ops;
	x->chr.m = base->m;
	x->base = base;
	x->chr.open = base->open;
	chr_attach(base, &base_front, x);
	return &x->chr;
}

struct chr *chr_mux_base(struct chr *c)
{
	return c->ops == &mux_ops ? ((struct mux *)c)->base : c;
}
