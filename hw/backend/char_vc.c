/*
 * A virtual console: a stream that a display shows, if it can. Until one has
 * opened it, bytes vanish.
 */
#include "hw/backend/char.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct chr_vc {
	struct chr_fd f;
	int fd;				/* our end; -1: not opened */
};

static void vc_free(struct chr *c)
{
	struct chr_vc *v = (struct chr_vc *)c;

	chr_fd_fini(&v->f);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

static const struct chr_ops vc_ops = {
	.name = "vc", .write = chr_fd_write, .accept_input = chr_fd_accept_input, .flush = chr_fd_flush, .full = chr_fd_full,
	.front_changed = chr_fd_accept_input, .free = vc_free,
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

struct chr *chr_make_vc(struct machine *m, const struct chr_spec *s, struct err *e)
{
	struct chr_vc *v = calloc(1, sizeof(*v));

	(void)s;
	if (!v) {
		err_set(e, "no memory");
		return NULL;
	}
	v->fd = -1;
	v->f.on_eof = closed;
	chr_fd_init(&v->f, m, &vc_ops, -1, -1);
	v->f.chr.open = false;
	return &v->f.chr;
}

int chr_vc_open(struct chr *c)
{
	struct chr_vc *v = (struct chr_vc *)c;
	int pair[2];

	if (c->ops != &vc_ops || v->fd >= 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -1;
	v->fd = pair[0];
	chr_fd_set(&v->f, v->fd, v->fd);
	chr_event(c, CHR_OPENED);
	return pair[1];
}
