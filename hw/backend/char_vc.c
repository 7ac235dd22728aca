/*
 * A virtual console: a stream that a display shows, if it can. Until one has
 * opened it, bytes vanish.
 */
#include "hw/backend/char.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct chr_vc {
	struct chr_fd f;
	int fd;				/* our end; -1: not opened */
	int columns, rows;		/* the page's; 0: not known */
};

static void vc_free(struct chr *c)
{
	struct chr_vc *v = (struct chr_vc *)c;

	chr_fd_fini(&v->f);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

static void vc_terminal(struct chr *c, struct chr_terminal *t)
{
	struct chr_vc *v = (struct chr_vc *)c;

	t->columns = v->columns;
	t->rows = v->rows;
}

static const struct chr_ops vc_ops = {
	.name = "vc", .write = chr_fd_write, .accept_input = chr_fd_accept_input, .flush = chr_fd_flush, .full = chr_fd_full,
	.front_changed = chr_fd_accept_input, .free = vc_free, .terminal = vc_terminal,
};

/* The display has gone. */
static void closed(struct chr_fd *f)
{
	struct chr_vc *v = (struct chr_vc *)f;

	chr_fd_set(f, -1, -1);
	close(v->fd);
	v->fd = -1;
	chr_event(&f->chr, CHR_CLOSED);
}

#define CELL_W		8		/* sizes in pixels count such cells */
#define CELL_H		16
#define SIZE_MAX_CELLS	1000

/* "80Cx24C" or "640x384", or columns= and rows=. */
static bool take_size(struct chr_vc *v, const struct chr_spec *s, struct err *e)
{
	int w = s->columns, h = s->rows, end = 0;

	if (*s->path && sscanf(s->path, "%4dCx%4dC%n", &w, &h, &end) == 2 && end)
		;
	else if (*s->path && sscanf(s->path, "%5dx%5d%n", &w, &h, &end) == 2 && end) {
		w /= CELL_W;
		h /= CELL_H;
	}
	if (s->path[end] || (*s->path && (w < 1 || h < 1)) || !w != !h || w > SIZE_MAX_CELLS || h > SIZE_MAX_CELLS)
		return err_set(e, "a console's size is columns and rows, as in vc:80Cx24C, or pixels, as in vc:640x384");
	v->columns = w;
	v->rows = h;
	return true;
}

struct chr *chr_make_vc(struct machine *m, const struct chr_spec *s, struct err *e)
{
	struct chr_vc *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, "no memory");
		return NULL;
	}
	if (!take_size(v, s, e)) {
		free(v);
		return NULL;
	}
	v->fd = -1;
	v->f.on_eof = closed;
	chr_fd_init(&v->f, m, &vc_ops, -1, -1);
	v->f.chr.open = false;
	return &v->f.chr;
}

static struct chr_vc *vc_of(struct chr *c)
{
	c = c ? chr_mux_base(c) : NULL;
	return c && c->ops == &vc_ops ? (struct chr_vc *)c : NULL;
}

int chr_vc_open(struct chr *c, int *columns, int *rows)
{
	struct chr_vc *v = vc_of(c);
	int pair[2];

	if (!v || v->fd >= 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -1;
	v->fd = pair[0];
	chr_fd_set(&v->f, v->fd, v->fd);
	if (v->columns) {
		*columns = v->columns;
		*rows = v->rows;
	}
	chr_event(&v->f.chr, CHR_OPENED);
	return pair[1];
}

void chr_vc_resized(struct chr *c, int columns, int rows)
{
	struct chr_vc *v = vc_of(c);

	if (v) {
		v->columns = columns;
		v->rows = rows;
	}
}
