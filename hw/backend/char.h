/*
 * Inside the byte-stream back ends: what hw/backend/char_*.c share. Everybody
 * else uses hw/core/chr.h.
 */
#ifndef HW_BACKEND_CHAR_H
#define HW_BACKEND_CHAR_H

#include <limits.h>

#include "hw/core/bus.h"
#include "hw/core/chr.h"
#include "hw/core/loop.h"

/* A stream's description, parsed from either form. */
struct chr_spec {
	char kind[16];
	char path[PATH_MAX];
	char host[256], port[32];
	bool server, wait, telnet, nodelay;
	bool mux, signal, append, log_append;
	char log[PATH_MAX];		/* a file that gets what goes out, too; may be empty */
	int fd;				/* of a socket that somebody else made; -1: none */
	uint64_t size;
	int columns, rows;		/* of a vc; 0: as who shows it likes */
};

/* One row per kind. */
struct chr_kind {
	const char *name, *alias;
	struct chr *(*make)(struct machine *m, const struct chr_spec *s, struct err *e);
	const char *help;
};

/*
 * Output waiting for a descriptor. Bytes collect for a moment and leave in one
 * write; what the descriptor does not take stays until the loop sees room.
 */
struct outq {
	struct loop *loop;		/* NULL: write at once */
	int fd;				/* -1: nobody there, bytes vanish */
	uint8_t *buf;
	size_t head, n, cap;
	struct loop_fd *watch;
	struct timer flush;
	bool told_full;			/* chr_full() said yes */
	const char *name;		/* of a file, to say that it takes no more; may be NULL */
	bool told_lost;
	bool stuck;			/* outq_drain() has given up, and nothing has moved since */
	void (*on_room)(struct outq *q);	/* and would say no now; may be NULL */
};
void outq_init(struct outq *q, struct machine *m, int fd);
void outq_fini(struct outq *q);
void outq_set_fd(struct outq *q, int fd);	/* drops what is queued */
void outq_write(struct outq *q, const uint8_t *p, size_t n);
bool outq_full(struct outq *q);
/* Everything out; gives up when the reader takes nothing for five seconds. */
void outq_drain(struct outq *q);

/* A stream over a pair of descriptors (which may be one, or -1). */
struct chr_fd {
	struct chr chr;
	int in_fd;
	struct loop_fd *in;
	struct outq out;
	bool eof;
	/* In place of read(); may be NULL. */
	ssize_t (*receive)(struct chr_fd *f, int fd, void *buf, size_t n);
	/* Take protocol bytes out of n input bytes; returns what is left. May be NULL. */
	int (*filter)(struct chr_fd *f, uint8_t *p, int n);
	void (*on_eof)(struct chr_fd *f);	/* may be NULL */
};
void chr_fd_init(struct chr_fd *f, struct machine *m, const struct chr_ops *ops, int in_fd, int out_fd);
void chr_fd_set(struct chr_fd *f, int in_fd, int out_fd);	/* other descriptors; old ones are not closed */
void chr_fd_fini(struct chr_fd *f);
void chr_fd_write(struct chr *c, const uint8_t *p, size_t n);
void chr_fd_accept_input(struct chr *c);
void chr_fd_flush(struct chr *c);
bool chr_fd_full(struct chr *c);

/* Makers. */
struct chr *chr_make_stdio(struct machine *m, const struct chr_spec *s, struct err *e);
struct chr *chr_make_pty(struct machine *m, const struct chr_spec *s, struct err *e);
struct chr *chr_make_file(struct machine *m, const struct chr_spec *s, struct err *e);
struct chr *chr_make_pipe(struct machine *m, const struct chr_spec *s, struct err *e);
struct chr *chr_make_vc(struct machine *m, const struct chr_spec *s, struct err *e);
struct chr *chr_make_socket(struct machine *m, const struct chr_spec *s, struct err *e);
/* Wraps base, which it owns from now on. */
struct chr *chr_mux_new(struct chr *base, struct err *e);
/* What is below a mux; any other stream is itself. */
struct chr *chr_mux_base(struct chr *c);

#endif
