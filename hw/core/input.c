/*
 * Keys and pointer events: of the devices that take a kind of event and have a driver
 * in the guest, the newest gets it. A guest that does not drive its USB keyboard (yet)
 * still has the PS/2 one.
 */
#include "hw/core/input.h"

#include <stddef.h>

#include "base/bits.h"
#include "hw/core/bus.h"

static bool is_mouse(const struct input_sink *s)
{
	return s->rel || s->abs;
}

static bool listens(const struct input_sink *s)
{
	return !s->listening || s->listening(s->opaque);
}

static void link_first(struct machine *m, struct input_sink *s)
{
	s->next = m->inputs;
	m->inputs = s;
}

void input_add(struct machine *m, struct input_sink *s)
{
	s->index = 0;
	for (const struct input_sink *o = m->inputs; o; o = o->next)
		if (is_mouse(o) && o->index >= s->index)
			s->index = o->index + 1;
	link_first(m, s);
}

void input_del(struct machine *m, struct input_sink *s)
{
	for (struct input_sink **p = &m->inputs; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			return;
		}
}

/* ---- events ---- */

#define PRESSED		0x8000u
#define FOR_RELEASES	64u		/* room that presses leave: no key stays down for lack of it */

static struct input_sink *keyboard(struct machine *m)
{
	struct input_sink *s = m->inputs;

	while (s && !(s->key && listens(s)))
		s = s->next;
	return s;
}

static bool has_room(const struct input_sink *s)
{
	return !s->key_room || s->key_room(s->opaque);
}

/* The release of a press that found no room is lost with it. */
static void wait(struct machine *m, int key, bool down)
{
	unsigned size = ARRAY_LEN(m->typed.key), k = (unsigned)key % (8 * sizeof(m->typed.lost));
	uint8_t *byte = &m->typed.lost[k / 8], bit = (uint8_t)(1u << k % 8);
	bool lost = down ? m->typed.n >= size - FOR_RELEASES : *byte & bit || m->typed.n == size;

	*byte = (uint8_t)(down && lost ? *byte | bit : *byte & ~bit);
	if (!lost)
		m->typed.key[(m->typed.first + m->typed.n++) % size] = (uint16_t)((unsigned)key | (down ? PRESSED : 0));
}

/* In S3 no device has power; that somebody presses something is all that is seen. */
static bool asleep(struct machine *m, bool pressed)
{
	if (m->asleep && pressed)
		machine_request(m, MACHINE_WAKEUP, 0);
	return m->asleep;
}

void input_key(struct machine *m, int key, bool down)
{
	struct input_sink *s = keyboard(m);

	if (!s || asleep(m, down))
		return;
	if (m->typed.n || !has_room(s))
		wait(m, key, down);
	else
		s->key(s->opaque, key, down);
}

void input_go_on(struct machine *m)
{
	struct input_sink *s;

	if (m->typed.going_on)
		return;
	m->typed.going_on = true;
	while (m->typed.n && (s = keyboard(m)) && has_room(s)) {
		unsigned v = m->typed.key[m->typed.first];
		m->typed.first = (m->typed.first + 1) % ARRAY_LEN(m->typed.key);
		m->typed.n--;
		s->key(s->opaque, (int)(v & ~PRESSED), v & PRESSED);
	}
	m->typed.going_on = false;
}

void input_forget(struct machine *m)
{
	m->typed.n = 0;
}

void input_rel(struct machine *m, int dx, int dy, int dz, unsigned buttons)
{
	if (asleep(m, buttons))
		return;
	for (struct input_sink *s = m->inputs; s; s = s->next)
		if (s->rel && listens(s)) {
			s->rel(s->opaque, dx, dy, dz, buttons);
			return;
		}
}

void input_abs(struct machine *m, int x, int y, int dz, unsigned buttons)
{
	if (asleep(m, buttons))
		return;
	for (struct input_sink *s = m->inputs; s; s = s->next)
		if (s->abs && listens(s)) {
			s->abs(s->opaque, x, y, dz, buttons);
			return;
		}
}

static const struct input_sink *current_mouse(const struct machine *m)
{
	const struct input_sink *s = m->inputs;

	while (s && !(is_mouse(s) && listens(s)))
		s = s->next;
	return s;
}

bool input_has_abs(const struct machine *m)
{
	const struct input_sink *s = current_mouse(m);

	return s && s->abs;
}

uint8_t input_leds(const struct machine *m)
{
	for (const struct input_sink *s = m->inputs; s; s = s->next)
		if (s->key && listens(s))
			return s->leds ? s->leds(s->opaque) : 0;
	return 0;
}

/* ---- choosing ---- */

void input_each_mouse(const struct machine *m, void (*fn)(void *opaque, const struct input_sink *s, bool current),
		      void *opaque)
{
	for (const struct input_sink *s = m->inputs; s; s = s->next)
		if (is_mouse(s))
			fn(opaque, s, s == current_mouse(m));
}

bool input_choose_mouse(struct machine *m, int index, struct err *e)
{
	for (struct input_sink *s = m->inputs; s; s = s->next)
		if (is_mouse(s) && s->index == index) {
			input_del(m, s);
			link_first(m, s);
			return true;
		}
	return err_set(e, "there is no mouse %d (see info mice)", index);
}
