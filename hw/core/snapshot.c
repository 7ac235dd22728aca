/*
 * Writing a snapshot: the head, what machine it is, memory, the state of every part, the
 * end with a checksum over all checksums.
 */
#include "hw/core/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/crc32c.h"
#include "hw/core/dev.h"
#include "hw/core/snapshot_priv.h"

void machine_add_saved(struct machine *m, struct saved_part *p)
{
	p->next = m->saved;
	m->saved = p;
}

void machine_del_saved(struct machine *m, struct saved_part *p)
{
	for (struct saved_part **at = &m->saved; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			return;
		}
}

/* ---- the stream ---- */

static bool write_out(struct snapshot_out *o, const void *p, size_t n, struct err *e)
{
	o->stats.bytes += n;
	return o->sink.write(o->sink.opaque, p, n, e);
}

bool snapshot_put_section(struct snapshot_out *o, struct err *e)
{
	struct state_buf *b = &o->buf;

	if (b->failed)
		return err_set(e, "no memory");
	o->crc = crc32c(o->crc, b->p + b->n - 4, 4);
	o->sections++;
	bool ok = write_out(o, b->p, b->n, e);
	b->n = 0;
	return ok;
}

static bool put_head(struct snapshot_out *o, struct err *e)
{
	uint8_t head[SNAPSHOT_HEAD];

	memcpy(head, SNAPSHOT_MAGIC, 8);
	st32(head + 8, SNAPSHOT_FORMAT);
	return write_out(o, head, sizeof(head), e);
}

static bool put_machine(struct snapshot_out *o, struct err *e)
{
	char field[STATE_NAME_MAX];

	state_begin(&o->buf, "machine", "", 1);
	state_put_text(&o->buf, "board", o->m->board ? o->m->board : "");
	state_put32(&o->buf, "processors", (uint32_t)o->m->n_cpus);
	for (struct saved_ram *s = o->rams; s < o->rams + o->n_rams; s++) {
		snprintf(field, sizeof(field), "memory %s", s->name);
		state_put64(&o->buf, field, s->ram->size);
		o->stats.ram_total += s->ram->size;
	}
	state_end(&o->buf);
	return snapshot_put_section(o, e);
}

struct snapshot_out *snapshot_begin(struct machine *m, const struct snapshot_sink *sink, struct err *e)
{
	struct snapshot_out *o = calloc(1, sizeof(*o));

	if (!o) {
		err_set(e, "no memory");
		return NULL;
	}
	o->m = m;
	o->sink = *sink;
	if (snapshot_ram_init(o, e) && put_head(o, e) && put_machine(o, e))
		return o;
	snapshot_out_free(o);
	return NULL;
}

void snapshot_out_free(struct snapshot_out *o)
{
	if (!o)
		return;
	snapshot_untrack(o);
	snapshot_ram_fini(o);
	state_buf_free(&o->buf);
	free(o);
}

void snapshot_stats(const struct snapshot_out *o, struct snapshot_stats *s)
{
	*s = o->stats;
}

/* ---- everything else ---- */

static bool put_clock(struct snapshot_out *o, struct err *e)
{
	const struct clock *c = &o->m->clock;

	state_begin(&o->buf, "clock", "", 1);
	state_put64(&o->buf, "now", clock_now(c));
	state_put64(&o->buf, "wall_base", (uint64_t)c->wall_base);
	state_end(&o->buf);
	return snapshot_put_section(o, e);
}

static bool put_parts(struct snapshot_out *o, struct err *e)
{
	for (const struct saved_part *p = o->m->saved; p; p = p->next) {
		state_begin(&o->buf, "part", p->name, p->version);
		state_put_table(&o->buf, p->table, p->base);
		state_end(&o->buf);
		if (!snapshot_put_section(o, e))
			return false;
	}
	return true;
}

static bool put_devices(struct snapshot_out *o, struct err *e)
{
	for (struct dev *d = o->m->devs; d; d = d->next) {
		state_put_dev(&o->buf, d);
		if (!snapshot_put_section(o, e))
			return false;
	}
	return true;
}

static bool put_cpus(struct snapshot_out *o, struct err *e)
{
	for (int i = 0; i < o->m->n_cpus; i++) {
		snapshot_put_cpu(&o->buf, o->m->cpus[i]);
		if (!snapshot_put_section(o, e))
			return false;
	}
	return true;
}

static bool put_end(struct snapshot_out *o, struct err *e)
{
	state_begin(&o->buf, "end", "", 1);
	state_put32(&o->buf, "sections", o->sections);
	state_put32(&o->buf, "crc", o->crc);
	state_end(&o->buf);
	return snapshot_put_section(o, e);
}

bool snapshot_end(struct snapshot_out *o, struct err *e)
{
	return put_clock(o, e) && put_parts(o, e) && put_devices(o, e) && put_cpus(o, e) && put_end(o, e);
}
