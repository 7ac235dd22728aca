/*
 * Byte streams: what a serial port, a monitor or a debug console is connected to.
 *
 * A struct chr joins a front end (a device or the monitor, which attaches) with
 * a back end (hw/backend/char*.c, made from a string). Output is never lost: what
 * the host does not take at once is queued and sent by the loop; a queue beyond
 * its bound makes the writer wait a bounded time. Input comes only while the
 * front end says that it has room. Machine lock.
 */
#ifndef HW_CORE_CHR_H
#define HW_CORE_CHR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct machine;
struct chr;

enum chr_event {
	CHR_OPENED,		/* somebody is at the other end now */
	CHR_CLOSED,		/* nobody is any more */
	CHR_BREAK,		/* a break condition came in */
	CHR_ROOM,		/* chr_full() said yes, and would say no now */
	CHR_FOCUS_IN, CHR_FOCUS_OUT,	/* mux: this front end gets, loses the keyboard */
};

/* The front end's half. Any may be NULL. */
struct chr_front {
	int (*room)(void *opaque);			/* how many bytes it can take now */
	void (*input)(void *opaque, const uint8_t *p, int n);	/* n <= room */
	void (*event)(void *opaque, enum chr_event ev);
	/* What comes in makes it say something: nothing comes while chr_full(). */
	bool answers;
};

/* Serial line parameters, for back ends that are real ports. */
struct chr_line {
	uint32_t baud;
	uint8_t data_bits, stop_bits;
	char parity;		/* 'N', 'E', 'O' */
};

/* The terminal that a person sits at; NULL, 0: unknown. */
struct chr_terminal {
	const char *type;	/* as in $TERM */
	int columns, rows;
};

/* The back end's half; for implementers. */
struct chr_ops {
	const char *name;
	void (*write)(struct chr *c, const uint8_t *p, size_t n);
	void (*accept_input)(struct chr *c);	/* front end has room again; may be NULL */
	void (*flush)(struct chr *c);		/* everything out, now (exit); may be NULL */
	void (*front_changed)(struct chr *c);	/* attached or detached; may be NULL */
	void (*free)(struct chr *c);		/* frees the whole back end */
	struct chr *(*attach)(struct chr *c);	/* a port for one more front end (mux); may be NULL */
	int (*take_fd)(struct chr *c);		/* see chr_take_fd(); may be NULL */
	bool (*full)(struct chr *c);		/* see chr_full(); NULL: never */
	void (*terminal)(struct chr *c, struct chr_terminal *t);	/* see chr_terminal(); may be NULL */
	/* What this stream is, for `info chardev`; NULL: the name. */
	const char *(*describe)(struct chr *c);
};

struct chr {
	const struct chr_ops *ops;
	struct machine *m;
	char *id;
	const struct chr_front *front;
	void *front_opaque;
	bool open;		/* somebody is at the other end */
	int log;		/* a file that gets what goes out, whoever hears it; 0: none */
	struct chr *next;	/* machine's list */
};

/*
 * Make a stream and list it in the machine under `id` (copied). `spec` is either
 * the short form (-serial): stdio, mon:stdio, mon:SPEC, pty, null, none, file:PATH,
 * pipe:PATH, tcp:HOST:PORT[,server][,nowait], telnet:..., unix:PATH[,server][,nowait],
 * vc[:80Cx24C], ringbuf[:SIZE]; or the long form (-chardev): socket,host=..,port=..,server=on,
 * file,path=.., ringbuf,size=.., stdio,mux=on,signal=off, ...; "id=" inside wins.
 */
struct chr *chr_new(struct machine *m, const char *id, const char *spec, struct err *e);
/* `-chardev help`: the kinds there are. */
void chr_help(FILE *out);
/* By id, or NULL. */
struct chr *chr_find(struct machine *m, const char *id);
/* An existing id, or a short form that makes a new stream called `id`. */
struct chr *chr_find_or_new(struct machine *m, const char *id, const char *spec, struct err *e);
void chr_free(struct chr *c);
/* Write out everything that is queued, of every stream; restore terminals. On every way out. */
void chr_flush_all(struct machine *m);
void chr_free_all(struct machine *m);

/*
 * Connect a front end (NULL: disconnect). A stream takes one; a mux hands out a
 * port per caller: use what chr_attach returns from then on. NULL: already taken.
 */
struct chr *chr_attach(struct chr *c, const struct chr_front *f, void *opaque);
void chr_detach(struct chr *c);

/* ---- front end to back end; c may be NULL: bytes vanish ---- */
void chr_log(struct chr *c, const void *p, size_t n);	/* inside chr_write() */
static inline void chr_write(struct chr *c, const void *p, size_t n)
{
	if (c && c->log)
		chr_log(c, p, n);
	if (c)
		c->ops->write(c, p, n);
}
static inline void chr_putc(struct chr *c, uint8_t v)
{
	chr_write(c, &v, 1);
}
void chr_puts(struct chr *c, const char *s);
/* So much is queued that a front end which can wait should: CHR_ROOM says until when. */
static inline bool chr_full(struct chr *c)
{
	return c && c->ops->full && c->ops->full(c);
}
/* What the host knows of the terminal at the other end, now: its size changes. */
static inline void chr_terminal(struct chr *c, struct chr_terminal *t)
{
	*t = (struct chr_terminal){ 0 };
	if (c && c->ops->terminal)
		c->ops->terminal(c, t);
}
static inline void chr_accept_input(struct chr *c)
{
	if (c && c->ops->accept_input)
		c->ops->accept_input(c);
}
/*
 * A vc's far end, for who shows it: a socket that does not block, the caller's from
 * then on. *columns and *rows are the page's size if one was asked for, else they stay.
 * -1: not a vc, or shown already.
 */
int chr_vc_open(struct chr *c, int *columns, int *rows);
/* Who shows a vc tells how large its page is. NULL, or another stream: nothing happens. */
void chr_vc_resized(struct chr *c, int columns, int rows);
/* A descriptor that came with the last input of a Unix socket: the caller's from now on; -1: none. */
static inline int chr_take_fd(struct chr *c)
{
	return c && c->ops->take_fd ? c->ops->take_fd(c) : -1;
}
/* What is in a ringbuf stream: takes up to n bytes, returns how many; -1: not a ringbuf. */
int chr_ring_read(struct chr *c, void *buf, int n);

/* ---- back end to front end ---- */
static inline int chr_room(struct chr *c)
{
	if (!c->front || !c->front->room || (c->front->answers && chr_full(c)))
		return 0;
	return c->front->room(c->front_opaque);
}
static inline void chr_input(struct chr *c, const uint8_t *p, int n)
{
	if (c->front && c->front->input)
		c->front->input(c->front_opaque, p, n);
}
void chr_event(struct chr *c, enum chr_event ev);

#endif
