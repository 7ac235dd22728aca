/*
 * Keys and pointer events: the newest device that takes a kind of event gets it.
 */
#include "hw/core/input.h"

#include "hw/core/bus.h"

void input_add(struct machine *m, struct input_sink *s)
{
	s->next = m->inputs;
	m->inputs = s;
}

void input_del(struct machine *m, struct input_sink *s)
{
	for (struct input_sink **p = &m->inputs; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			return;
		}
}

void input_key(struct machine *m, int key, bool down)
{
	for (struct input_sink *s = m->inputs; s; s = s->next)
		if (s->key) {
			s->key(s->opaque, key, down);
			return;
		}
}

void input_rel(struct machine *m, int dx, int dy, int dz, unsigned buttons)
{
	for (struct input_sink *s = m->inputs; s; s = s->next)
		if (s->rel) {
			s->rel(s->opaque, dx, dy, dz, buttons);
			return;
		}
}

void input_abs(struct machine *m, int x, int y, int dz, unsigned buttons)
{
	for (struct input_sink *s = m->inputs; s; s = s->next)
		if (s->abs) {
			s->abs(s->opaque, x, y, dz, buttons);
			return;
		}
}

bool input_has_abs(const struct machine *m)
{
	for (struct input_sink *s = m->inputs; s; s = s->next)
		if (s->abs)
			return true;
	return false;
}
