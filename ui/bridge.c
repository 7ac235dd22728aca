/*
 * Pictures to a viewer's thread, input back from it.
 */
#include "ui/bridge.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- pictures ---- */

static bool fit(struct bridge *b, const struct surface *s)
{
	if (b->picture.w == s->w && b->picture.h == s->h)
		return true;
	if (s->h > BRIDGE_ROWS || !surface_resize(&b->picture, s->w, s->h))
		return false;
	b->resized = true;
	return true;
}

static void on_rows(void *opaque, const struct surface *s, int first, int n)
{
	struct bridge *b = opaque;
	size_t at = (size_t)first * (size_t)s->w, len = (size_t)n * (size_t)s->w;

	pthread_mutex_lock(&b->lock);
	if (fit(b, s)) {
		memcpy(b->picture.px + at, s->px + at, len * sizeof(*s->px));
		memset(b->fresh + first, 1, (size_t)n);
		b->first = first < b->first ? first : b->first;
		b->last = first + n - 1 > b->last ? first + n - 1 : b->last;
	}
	pthread_mutex_unlock(&b->lock);
}

static void on_done(void *opaque)
{
	struct bridge *b = opaque;

	atomic_store(&b->wants_place, display_wants_place(b->display));
	b->wake(b->opaque);
}

static void on_leds(void *opaque, uint8_t leds)
{
	struct bridge *b = opaque;

	atomic_store(&b->leds, leds);
	b->wake(b->opaque);
}

static void none_fresh(struct bridge *b)
{
	b->first = BRIDGE_ROWS;
	b->last = -1;
	memset(b->fresh, 0, sizeof(b->fresh));
}

bool bridge_take(struct bridge *b, const struct bridge_taker *t, int *first, int *last)
{
	bool any = false;

	pthread_mutex_lock(&b->lock);
	if (b->first <= b->last && (!b->resized || t->resize(t->opaque, b->picture.w, b->picture.h))) {
		int end = b->last < b->picture.h ? b->last : b->picture.h - 1;

		*first = b->first;
		*last = end;
		for (int y = b->first; y <= end; y++)
			if (b->fresh[y])
				t->row(t->opaque, y, b->picture.px + (size_t)y * (size_t)b->picture.w,
				       b->picture.w);
		b->resized = false;
		none_fresh(b);
		any = true;
	}
	pthread_mutex_unlock(&b->lock);
	return any;
}

/* ---- input ---- */

void bridge_send(struct bridge *b, struct bridge_event ev)
{
	uint64_t one = 1;
	ssize_t r;

	pthread_mutex_lock(&b->lock);
	/* The last places are kept for what must not get lost. */
	if (b->n_events < (ev.kind >= BRIDGE_RELEASE ? BRIDGE_EVENTS : BRIDGE_EVENTS - 16))
		b->events[b->n_events++] = ev;
	pthread_mutex_unlock(&b->lock);
	r = write(b->event_fd, &one, sizeof(one));
	(void)r;
}

static void act(struct bridge *b, const struct bridge_event *ev)
{
	struct viewer *v = &b->viewer;

	switch (ev->kind) {
	case BRIDGE_KEY:	display_key(b->display, v, ev->a, ev->symbol, ev->b); break;
	case BRIDGE_SYMBOL:	display_symbol(b->display, v, (uint32_t)ev->a, ev->b); break;
	case BRIDGE_POINT:	display_point(b->display, v, &ev->pointer); break;
	case BRIDGE_RELEASE:	display_release_keys(b->display, v); break;
	case BRIDGE_PAGE:	display_show(b->display, v, ev->a); break;
	case BRIDGE_ACTIVE:	display_set_active(b->display, v, ev->b); break;
	case BRIDGE_CLOSE:
		if (b->close)
			b->close(b->opaque);
		break;
	}
}

static void on_event(void *opaque, int fd, unsigned what)
{
	struct bridge_event events[BRIDGE_EVENTS];
	struct bridge *b = opaque;
	uint64_t count;
	ssize_t r = read(fd, &count, sizeof(count));
	int n;

	(void)what, (void)r;
	pthread_mutex_lock(&b->lock);
	n = b->n_events;
	memcpy(events, b->events, sizeof(events[0]) * (size_t)n);
	b->n_events = 0;
	pthread_mutex_unlock(&b->lock);
	for (int i = 0; i < n; i++)
		act(b, &events[i]);
	atomic_store(&b->wants_place, display_wants_place(b->display));
}

/* ---- life ---- */

bool bridge_init(struct bridge *b, struct display *d, struct loop *l, struct err *e)
{
	b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->event_fd < 0)
		return err_errno(e, "eventfd");
	b->watch = loop_fd_add(l, b->event_fd, LOOP_READ, on_event, b);
	if (!b->watch) {
		close(b->event_fd);
		return err_set(e, "out of memory");
	}
	b->display = d;
	b->loop = l;
	pthread_mutex_init(&b->lock, NULL);
	none_fresh(b);
	b->viewer = (struct viewer){ .rows = on_rows, .done = on_done, .leds = on_leds, .opaque = b };
	display_add(d, &b->viewer);
	return true;
}

void bridge_fini(struct bridge *b)
{
	if (!b->watch)
		return;
	display_del(b->display, &b->viewer);
	loop_fd_del(b->loop, b->watch);
	close(b->event_fd);
	pthread_mutex_destroy(&b->lock);
	surface_fini(&b->picture);
	b->watch = NULL;
}
