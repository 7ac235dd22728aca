/*
 * Output queues and streams over descriptors.
 *
 * Descriptors that we did not open (standard output) are shared with other
 * programs, so they stay in blocking mode: poll() says whether there is room,
 * and a write of at most PIPE_BUF bytes to a pipe then does not block.
 *
 * Bytes wait at most FLUSH_NS for company. Past SOFT_LIMIT a writer is slowed
 * down, ten milliseconds a call, so that a guest cannot outrun a slow reader for
 * ever; past HARD_LIMIT, with nobody reading, bytes are lost. A front end that can
 * wait asks chr_full() first, and loses none.
 */
#include "hw/backend/char.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define FLUSH_NS	(300 * NS_PER_US)
#define BATCH		4096
#define FULL		(256u << 10)
#define SOFT_LIMIT	(1u << 20)
#define HARD_LIMIT	(64u << 20)

static bool has_room(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, timeout_ms) > 0;
}

static void watch(struct outq *q, bool on)
{
	if (q->watch)
		loop_fd_want(q->loop, q->watch, on ? LOOP_WRITE : 0);
}

static void tell_lost(struct outq *q)
{
	if (q->name && !q->told_lost)
		warn("%s: %s; output is lost", q->name, strerror(errno));
	q->told_lost = true;
}

/* Write while the descriptor takes bytes; wait for it at most timeout_ms at first. */
static void pump(struct outq *q, int timeout_ms)
{
	while (q->n && has_room(q->fd, timeout_ms)) {
		size_t k = min_u64(min_u64(q->n, BATCH), q->cap - q->head);
		ssize_t r = write(q->fd, q->buf + q->head, k);

		timeout_ms = 0;
		if (r < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (r < 0) {		/* nobody will ever read it */
			tell_lost(q);
			q->n = 0;
			break;
		}
		q->stuck = false;
		q->head = (q->head + (size_t)r) % q->cap;
		q->n -= (size_t)r;
	}
	watch(q, q->n > 0);
}

static void tell_room(struct outq *q)
{
	if (!q->told_full || q->n > FULL / 2)
		return;
	q->told_full = false;
	if (q->on_room)
		q->on_room(q);
}

bool outq_full(struct outq *q)
{
	q->told_full = q->loop && q->n >= FULL;
	return q->told_full;
}

static void on_room(void *opaque, int fd, unsigned events)
{
	struct outq *q = opaque;

	(void)fd;
	if (events & LOOP_HUP && !(events & LOOP_WRITE))
		q->n = 0;
	pump(q, 0);
	tell_room(q);
}

static void on_flush(void *opaque)
{
	pump(opaque, 0);
	tell_room(opaque);
}

void outq_init(struct outq *q, struct machine *m, int fd)
{
	*q = (struct outq){ .loop = m->loop, .fd = -1 };
	if (q->loop)
		timer_init(&q->flush, loop_host_clock(q->loop), on_flush, q);
	outq_set_fd(q, fd);
}

void outq_set_fd(struct outq *q, int fd)
{
	if (q->watch)
		loop_fd_del(q->loop, q->watch);
	q->watch = NULL;
	q->n = 0;
	q->fd = fd;
	if (fd >= 0 && q->loop)
		q->watch = loop_fd_add(q->loop, fd, 0, on_room, q);
	tell_room(q);
}

void outq_fini(struct outq *q)
{
	outq_set_fd(q, -1);
	timer_del(&q->flush);
	free(q->buf);
	q->buf = NULL;
}

static bool grow(struct outq *q, size_t need)
{
	size_t cap = q->cap ? q->cap : 8192;
	uint8_t *buf;

	if (need <= q->cap)
		return true;
	while (cap < need)
		cap *= 2;
	buf = malloc(cap);
	if (!buf)
		return false;
	for (size_t i = 0; i < q->n; i++)
		buf[i] = q->buf[(q->head + i) % q->cap];
	free(q->buf);
	q->buf = buf;
	q->head = 0;
	q->cap = cap;
	return true;
}

void outq_write(struct outq *q, const uint8_t *p, size_t n)
{
	bool small;

	if (q->fd < 0 || !n)
		return;
	if (q->n + n > SOFT_LIMIT)
		pump(q, 10);
	if (q->n + n > HARD_LIMIT || !grow(q, q->n + n))
		return;
	for (size_t i = 0, at = q->head + q->n; i < n; i++, at++)
		q->buf[at % q->cap] = p[i];
	q->n += n;
	small = q->loop && q->n < BATCH;
	if (!small)
		pump(q, 0);
	/* To send them, or to tell that there is room again: not from here, whoever writes now would write more. */
	if ((small || q->told_full) && !timer_pending(&q->flush))
		timer_mod(&q->flush, clock_now(q->flush.clock) + FLUSH_NS);
}

void outq_drain(struct outq *q)
{
	size_t before;

	do {
		before = q->n;
		pump(q, q->stuck ? 0 : 5000);
	} while (q->n && q->n < before);
	q->stuck = q->n;
}

/* ---- streams over descriptors ---- */

static void input_over(struct chr_fd *f)
{
	f->eof = true;
	loop_fd_want(f->chr.m->loop, f->in, 0);
	if (f->on_eof)
		f->on_eof(f);
}

static void on_input(void *opaque, int fd, unsigned events)
{
	struct chr_fd *f = opaque;
	uint8_t buf[1024];
	int room = chr_room(&f->chr);
	ssize_t n;

	(void)events;
	if (room <= 0) {
		loop_fd_want(f->chr.m->loop, f->in, 0);
		return;
	}
	n = (ssize_t)min_u64((uint64_t)room, sizeof(buf));
	n = f->receive ? f->receive(f, fd, buf, (size_t)n) : read(fd, buf, (size_t)n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		input_over(f);
		return;
	}
	if (f->filter)
		n = f->filter(f, buf, (int)n);
	if (n > 0)
		chr_input(&f->chr, buf, (int)n);
}

void chr_fd_accept_input(struct chr *c)
{
	struct chr_fd *f = (struct chr_fd *)c;

	if (f->in && !f->eof && chr_room(c) > 0)
		loop_fd_want(c->m->loop, f->in, LOOP_READ);
}

void chr_fd_set(struct chr_fd *f, int in_fd, int out_fd)
{
	struct loop *l = f->chr.m->loop;

	if (f->in)
		loop_fd_del(l, f->in);
	f->in = l && in_fd >= 0 ? loop_fd_add(l, in_fd, 0, on_input, f) : NULL;
	f->in_fd = in_fd;
	f->eof = false;
	outq_set_fd(&f->out, out_fd);
	chr_fd_accept_input(&f->chr);
}

static void fd_room(struct outq *q)
{
	chr_event(&container_of(q, struct chr_fd, out)->chr, CHR_ROOM);
}

void chr_fd_init(struct chr_fd *f, struct machine *m, const struct chr_ops *ops, int in_fd, int out_fd)
{
	f->chr.ops = ops;
	f->chr.m = m;
	f->chr.open = true;
	outq_init(&f->out, m, -1);
	f->out.on_room = fd_room;
	chr_fd_set(f, in_fd, out_fd);
}

void chr_fd_fini(struct chr_fd *f)
{
	outq_drain(&f->out);
	if (f->in)
		loop_fd_del(f->chr.m->loop, f->in);
	outq_fini(&f->out);
}

void chr_fd_write(struct chr *c, const uint8_t *p, size_t n)
{
	outq_write(&((struct chr_fd *)c)->out, p, n);
}

bool chr_fd_full(struct chr *c)
{
	return outq_full(&((struct chr_fd *)c)->out);
}

void chr_fd_flush(struct chr *c)
{
	outq_drain(&((struct chr_fd *)c)->out);
}
