/*
 * Register tables: finding the row that an access means, masks and side effects.
 *
 * Rows are searched in order; tables are short and the registers that are used
 * most stand first. An access that is not exactly one register is put together
 * from the rows its bytes belong to, each row touched once.
 */
#include "hw/core/dev.h"

#include <string.h>

static void *field(const struct dev *d, uint32_t off)
{
	return (char *)d + off;
}

uint32_t reg_peek(const struct dev *d, const struct reg *r)
{
	return r->stored == REG_NONE ? 0 : (uint32_t)ld_n(field(d, r->stored), reg_size(r));
}

void reg_poke(struct dev *d, const struct reg *r, uint32_t v)
{
	if (r->stored != REG_NONE)
		st_n(field(d, r->stored), reg_size(r), v);
}

static uint32_t get(struct dev *d, const struct reg *r)
{
	uint32_t v;

	if (r->on_read)
		return r->on_read(d) & (uint32_t)size_mask(reg_size(r));
	v = reg_peek(d, r);
	if (r->clear)
		reg_poke(d, r, v & ~r->clear);
	return v;
}

/* Whoever has come here without the machine lock began before somebody traced. */
static void trace(struct dev *d, const struct reg *r, const char *how, uint32_t v)
{
	if (machine_locked(d->m))
		trace_point(d->m, d->id, r->name, how, "0x%0*x", 2 * reg_size(r), v & (uint32_t)size_mask(reg_size(r)));
}

uint32_t reg_get(struct dev *d, const struct reg *r)
{
	uint32_t v = get(d, r);

	if (trace_on(d->m))
		trace(d, r, "read", v);
	return v;
}

void reg_put(struct dev *d, const struct reg *r, uint32_t v)
{
	uint32_t old = reg_peek(d, r);

	if (trace_on(d->m))
		trace(d, r, "write", v);
	reg_poke(d, r, ((old & ~r->wmask) | (v & r->wmask)) & ~(v & r->w1c));
	if (r->on_write)
		r->on_write(d, v & (uint32_t)size_mask(reg_size(r)), old);
}

/* The row that holds the byte at off. */
static const struct reg *row_at(struct dev *d, unsigned off)
{
	const struct dev_type *t = d->type;
	unsigned bank = t->bank ? t->bank(d, off) : 0;

	for (const struct reg *r = t->regs; r && r->name; r++)
		if (off - r->off < (unsigned)reg_size(r) && (r->bank == bank || r->bank == REG_ANY))
			return r;
	return NULL;
}

/* How many of the access's bytes from `off` on lie in the row. */
static int overlap(const struct reg *r, unsigned off, int left)
{
	int room = r ? r->off + reg_size(r) - (int)off : 1;

	return left < room ? left : room;
}

static uint32_t read_pieces(struct dev *d, unsigned off, int size)
{
	uint32_t v = 0;

	for (int at = 0; at < size;) {
		const struct reg *r = row_at(d, off + at);
		int n = overlap(r, off + at, size - at);
		uint32_t part = r ? reg_get(d, r) >> 8 * (off + at - r->off) : 0xff;

		v |= (part & (uint32_t)size_mask(n)) << 8 * at;
		at += n;
	}
	return v;
}

/* What the bytes that an access leaves out are taken to hold: as they are, but no ones that would clear something. */
static uint32_t unwritten(const struct dev *d, const struct reg *r)
{
	return reg_peek(d, r) & ~r->w1c;
}

static void write_pieces(struct dev *d, unsigned off, int size, uint32_t v)
{
	for (int at = 0; at < size;) {
		const struct reg *r = row_at(d, off + at);
		int n = overlap(r, off + at, size - at);

		if (r) {
			int shift = 8 * (off + at - r->off);
			uint32_t mask = (uint32_t)size_mask(n) << shift;

			reg_put(d, r, (unwritten(d, r) & ~mask) | (v >> 8 * at << shift & mask));
		}
		at += n;
	}
}

uint32_t dev_reg_read(struct dev *d, unsigned off, int size)
{
	const struct reg *r = row_at(d, off);
	uint32_t v;

	if (r && r->off == off && reg_size(r) == size)
		v = reg_get(d, r);
	else
		v = read_pieces(d, off, size);
	dev_update(d);
	return v;
}

void dev_reg_write(struct dev *d, unsigned off, int size, uint32_t v)
{
	const struct reg *r = row_at(d, off);

	if (r && r->off == off && reg_size(r) == size)
		reg_put(d, r, v);
	else
		write_pieces(d, off, size, v);
	dev_update(d);
}

/* ---- as bus callbacks ---- */

static uint32_t port_in(void *opaque, uint16_t off, int size)
{
	return dev_reg_read(opaque, off, size);
}

static void port_out(void *opaque, uint16_t off, int size, uint32_t v)
{
	dev_reg_write(opaque, off, size, v);
}

static uint64_t mmio_in(void *opaque, uint64_t off, int size)
{
	return dev_reg_read(opaque, (unsigned)off, size);
}

static void mmio_out(void *opaque, uint64_t off, int size, uint64_t v)
{
	dev_reg_write(opaque, (unsigned)off, size, (uint32_t)v);
}

const struct port_ops dev_port_ops = { port_in, port_out, 1, 1 };
const struct port_ops dev_port_ops_wide = { port_in, port_out, 4, 1 };
const struct mmio_ops dev_mmio_ops = { mmio_in, mmio_out, 4 };

/* ---- what is saved ---- */

typedef void saved_fn(void *opaque, const char *name, void *p, uint32_t size);

/* Did an earlier row already store into the same field? */
static bool seen(const struct reg *regs, const struct reg *r)
{
	for (const struct reg *q = regs; q < r; q++)
		if (q->stored == r->stored)
			return true;
	return false;
}

static void each_state(struct dev *d, const struct state *s, saved_fn *fn, void *opaque)
{
	for (; s && s->name; s++) {
		if (s->kind == STATE_TIMER_KIND) {
			struct timer *t = field(d, s->off);
			uint64_t deadline = t->deadline;

			fn(opaque, s->name, &deadline, sizeof(deadline));
			if (deadline != t->deadline)
				timer_mod(t, deadline);
		} else {
			fn(opaque, s->name, field(d, s->off), s->size);
			for (uint32_t i = 0; s->kind == STATE_BOOLS && i < s->size; i++)
				fix_bool((bool *)field(d, s->off) + i);
		}
	}
}

void dev_each_saved(struct dev *d, saved_fn *fn, void *opaque)
{
	for (const struct reg *r = d->type->regs; r && r->name; r++)
		if (r->stored != REG_NONE && !seen(d->type->regs, r))
			fn(opaque, r->name, field(d, r->stored), reg_size(r));
	each_state(d, d->type->state, fn, opaque);
	each_state(d, d->type->bus_state, fn, opaque);
}

bool dev_loaded(struct dev *d, struct err *e)
{
	if (d->type->loaded && !d->type->loaded(d, e))
		return err_prefix(e, "%s", d->id);
	dev_update(d);
	return true;
}

void dev_dump(const struct dev *d, FILE *out)
{
	fprintf(out, "%s (%s)\n", d->id, d->type->name);
	for (const struct reg *r = d->type->regs; r && r->name; r++)
		if (r->stored != REG_NONE)
			fprintf(out, "  %-12s %0*x\n", r->name, 2 * reg_size(r), reg_peek(d, r));
}
