/*
 * Byte streams: the machine's list of them, and joining front ends to back ends.
 */
#include "hw/core/chr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "hw/core/bus.h"

struct chr *chr_find(struct machine *m, const char *id)
{
	struct chr *c = m->chrs;

	while (c && strcmp(c->id, id))
		c = c->next;
	return c;
}

void chr_free(struct chr *c)
{
	if (!c)
		return;
	for (struct chr **p = &c->m->chrs; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	free(c->id);
	if (c->log)
		close(c->log);
	c->ops->free(c);
}

/* A log that cannot be written any more ends; the stream itself goes on. */
void chr_log(struct chr *c, const void *p, size_t n)
{
	if (write(c->log, p, n) == (ssize_t)n)
		return;
	warn("the log of '%s' takes no more: %s", c->id ? c->id : c->ops->name, strerror(errno));
	close(c->log);
	c->log = 0;
}

void chr_flush_all(struct machine *m)
{
	for (struct chr *c = m->chrs; c; c = c->next)
		if (c->ops->flush)
			c->ops->flush(c);
}

void chr_free_all(struct machine *m)
{
	chr_flush_all(m);
	while (m->chrs)
		chr_free(m->chrs);
}

struct chr *chr_attach(struct chr *c, const struct chr_front *f, void *opaque)
{
	if (!c)
		return NULL;
	if (c->ops->attach)
		c = c->ops->attach(c);
	if (!c || (f && c->front))
		return NULL;
	c->front = f;
	c->front_opaque = opaque;
	if (c->ops->front_changed)
		c->ops->front_changed(c);
	return c;
}

void chr_detach(struct chr *c)
{
	if (!c)
		return;
	c->front = NULL;
	c->front_opaque = NULL;
	if (c->ops->front_changed)
		c->ops->front_changed(c);
}

void chr_puts(struct chr *c, const char *s)
{
	chr_write(c, s, strlen(s));
}

void chr_event(struct chr *c, enum chr_event ev)
{
	if (ev == CHR_OPENED || ev == CHR_CLOSED)
		c->open = ev == CHR_OPENED;
	if (c->front && c->front->event)
		c->front->event(c->front_opaque, ev);
	if (ev == CHR_ROOM && c->front && c->front->answers)
		chr_accept_input(c);
}
