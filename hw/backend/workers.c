/* A pool of threads: one queue of work, one of what is to be handed back. */
#include "hw/backend/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "hw/core/bus.h"
#include "hw/core/loop.h"

#define MOST	16

struct list {
	struct work *first, **end;
};

struct workers {
	struct machine *m;
	const char *name;
	int most, n, idle, busy;	/* threads: there may be, are, wait, work */
	unsigned queued;
	bool quit;
	bool handing_back;		/* the loop will call hand_back() */
	struct list waiting, over;
	pthread_mutex_t lock;
	pthread_cond_t work, finished;
	pthread_t thread[MOST];
};

static void append(struct list *l, struct work *w)
{
	w->next = NULL;
	*l->end = w;
	l->end = &w->next;
}

static struct work *take(struct list *l)
{
	struct work *w = l->first;

	if (w && !(l->first = w->next))
		l->end = &l->first;
	return w;
}

static struct work *take_over(struct workers *s)
{
	pthread_mutex_lock(&s->lock);
	struct work *w = take(&s->over);
	pthread_mutex_unlock(&s->lock);
	return w;
}

static void hand_back(void *opaque)
{
	struct workers *s = opaque;
	struct work *w;

	pthread_mutex_lock(&s->lock);
	s->handing_back = false;
	pthread_mutex_unlock(&s->lock);
	while ((w = take_over(s)))
		w->done(w);
}

static void *loop(void *arg)
{
	struct workers *s = arg;
	struct work *w;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!(w = take(&s->waiting)) && !s->quit) {
			s->idle++;
			pthread_cond_wait(&s->work, &s->lock);
			s->idle--;
		}
		if (!w)
			break;
		s->queued--;
		s->busy++;
		pthread_mutex_unlock(&s->lock);
		w->run(w);
		pthread_mutex_lock(&s->lock);
		s->busy--;
		append(&s->over, w);
		if (!s->handing_back)
			loop_call(s->m->loop, hand_back, s);
		s->handing_back = true;
		pthread_cond_broadcast(&s->finished);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Signals are the main loop's and the processors'. */
static void start_one(struct workers *s)
{
	sigset_t all, old;
	char name[16];

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&s->thread[s->n], NULL, loop, s)) {
		snprintf(name, sizeof(name), "%.10s %d", s->name, s->n);
		pthread_setname_np(s->thread[s->n++], name);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct workers *workers_new(struct machine *m, const char *name, int most)
{
	struct workers *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->m = m;
	s->name = name;
	s->most = most < MOST ? most : MOST;
	s->waiting.end = &s->waiting.first;
	s->over.end = &s->over.first;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->finished, NULL);
	return s;
}

void workers_add(struct workers *s, struct work *w)
{
	w->by = s;
	if (!s->m->loop) {
		w->run(w);
		w->done(w);
		return;
	}
	pthread_mutex_lock(&s->lock);
	append(&s->waiting, w);
	s->queued++;
	if ((int)s->queued > s->idle && s->n < s->most)
		start_one(s);
	pthread_cond_signal(&s->work);
	bool nobody = !s->n;
	pthread_mutex_unlock(&s->lock);
	if (nobody) {			/* the host has no more threads: here, then */
		pthread_mutex_lock(&s->lock);
		w = take(&s->waiting);
		s->queued--;
		pthread_mutex_unlock(&s->lock);
		w->run(w);
		w->done(w);
	}
}

bool workers_withdraw(struct workers *s, struct work *w)
{
	pthread_mutex_lock(&s->lock);
	struct work **at = &s->waiting.first;
	while (*at && *at != w)
		at = &(*at)->next;
	bool found = *at;
	if (found) {
		*at = w->next;
		if (!*at)
			s->waiting.end = at;
		s->queued--;
		pthread_cond_broadcast(&s->finished);
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

void workers_drain(struct workers *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->queued || s->busy)
		pthread_cond_wait(&s->finished, &s->lock);
	pthread_mutex_unlock(&s->lock);
	for (struct work *w; (w = take_over(s));)
		w->done(w);
}

void workers_free(struct workers *s)
{
	if (!s)
		return;
	workers_drain(s);
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < s->n; i++)
		pthread_join(s->thread[i], NULL);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->finished);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
