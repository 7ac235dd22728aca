/*
 * The I/O port space: 65536 ports, a table from port to range.
 *
 * Ranges stand in a list in order of creation; `slot` holds for each port the
 * index of the newest enabled range there. A change rewrites the slots it
 * touches only. An access goes to one range whole if the range takes its width
 * and holds all of it; otherwise it is split, low port first, as the ISA bridge
 * splits a cycle.
 */
#include "hw/core/port.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hw/core/bus.h"
#include "hw/core/dev.h"

#define N_PORTS		65536u
#define MAX_RANGES	1024

struct port_range {
	uint32_t base, n;
	const struct port_ops *ops;
	void *opaque;
	const char *name;
	int max_size, min_size;
	int index;
	bool enabled;
};

struct ports {
	uint16_t slot[N_PORTS];			/* index + 1; 0: nobody */
	struct port_range *range[MAX_RANGES];	/* by index; NULL: free */
	int n;					/* highest index in use + 1 */
};

struct ports *ports_new(void)
{
	return calloc(1, sizeof(struct ports));
}

void ports_free(struct ports *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->n; i++)
		free(s->range[i]);
	free(s);
}

static bool covers(const struct port_range *r, uint32_t port)
{
	return r && r->enabled && port - r->base < r->n;
}

/* Who owns the ports in [base, base + n) now? */
static void refill(struct ports *s, uint32_t base, uint32_t n)
{
	for (uint32_t p = base; p < base + n && p < N_PORTS; p++) {
		int i = s->n;

		while (i > 0 && !covers(s->range[i - 1], p))
			i--;
		s->slot[p] = (uint16_t)i;
	}
}

struct port_range *port_map(struct machine *m, uint16_t base, unsigned n,
			    const struct port_ops *ops, void *opaque, const char *name)
{
	struct ports *s = m->ports;
	struct port_range *r = calloc(1, sizeof(*r));

	assert(r && s->n < MAX_RANGES && n >= 1 && n <= N_PORTS);
	*r = (struct port_range){ .base = base, .n = n, .ops = ops, .opaque = opaque,
				  .name = name, .index = s->n, .enabled = true };
	r->max_size = ops->max_size ? ops->max_size : 1;
	r->min_size = ops->min_size ? ops->min_size : 1;
	s->range[s->n++] = r;
	refill(s, base, n);
	return r;
}

void port_set(struct machine *m, struct port_range *r, uint16_t base, bool enable)
{
	uint32_t old = r->base;
	bool was = r->enabled;

	if (old == base && was == enable)
		return;
	r->base = base;
	r->enabled = enable;
	if (was)
		refill(m->ports, old, r->n);
	if (enable)
		refill(m->ports, base, r->n);
}

void port_unmap(struct machine *m, struct port_range *r)
{
	struct ports *s;

	if (!r)
		return;
	s = m->ports;
	port_set(m, r, (uint16_t)r->base, false);
	s->range[r->index] = NULL;
	while (s->n > 0 && !s->range[s->n - 1])
		s->n--;
	free(r);
}

static const struct port_range *owner(const struct ports *s, uint16_t port)
{
	unsigned i = s->slot[port];

	return i ? s->range[i - 1] : NULL;
}

/* Does the range take this access in one piece? */
static bool takes(const struct port_range *r, uint16_t port, int size)
{
	return size <= r->max_size && port - r->base + size <= r->n;
}

/* Rows of the device's register table have trace points of their own. */
static bool has_table(const struct port_range *r)
{
	return r->ops == &dev_port_ops || r->ops == &dev_port_ops_wide;
}

static uint32_t range_read(struct machine *m, const struct port_range *r, uint16_t port, int size)
{
	uint16_t off = (uint16_t)(port - r->base);
	const char *name = r->name;
	bool traced = trace_on(m) && !has_table(r);
	uint32_t v = r->ops->read(r->opaque, off, size) & (uint32_t)size_mask(size);

	if (traced)
		trace_access(m, name, false, off, size, v);
	return v;
}

static void range_write(struct machine *m, const struct port_range *r, uint16_t port, int size, uint32_t v)
{
	uint16_t off = (uint16_t)(port - r->base);

	if (trace_on(m) && !has_table(r))
		trace_access(m, r->name, true, off, size, v);
	r->ops->write(r->opaque, off, size, v);
}

uint32_t port_read(struct machine *m, uint16_t port, int size)
{
	const struct port_range *r = owner(m->ports, port);
	uint32_t lo, hi;
	int half = size / 2;

	if (r && takes(r, port, size)) {
		if (size < r->min_size)
			return (uint32_t)size_mask(size);
		return range_read(m, r, port, size);
	}
	if (size == 1)
		return 0xff;
	lo = port_read(m, port, half);
	hi = port_read(m, (uint16_t)(port + half), half);
	return lo | hi << (8 * half);
}

void port_write(struct machine *m, uint16_t port, int size, uint32_t v)
{
	const struct port_range *r = owner(m->ports, port);
	int half = size / 2;

	v &= size_mask(size);
	if (r && takes(r, port, size)) {
		if (size >= r->min_size)
			range_write(m, r, port, size, v);
		return;
	}
	if (size == 1)
		return;
	port_write(m, port, half, v);
	port_write(m, (uint16_t)(port + half), half, v >> (8 * half));
}

uint32_t machine_port_in(void *opaque, uint16_t port, int size)
{
	struct machine *m = opaque;
	uint32_t v;

	machine_enter(m);
	v = port_read(m, port, size);
	machine_leave(m);
	return v;
}

void machine_port_out(void *opaque, uint16_t port, int size, uint32_t v)
{
	struct machine *m = opaque;

	machine_enter(m);
	port_write(m, port, size, v);
	machine_leave(m);
}

/* May the next access of a run follow at once? */
static bool goes_on(const struct machine *m, const struct cpu *c)
{
	return !m->late && !atomic_load_explicit(&c->request, memory_order_relaxed);
}

/* The range whose device may do several accesses at once; traced ones are done one by one. */
static const struct port_range *run_range(struct machine *m, uint16_t port, int size)
{
	const struct port_range *r = owner(m->ports, port);

	return r && !trace_on(m) && takes(r, port, size) && size >= r->min_size ? r : NULL;
}

unsigned machine_port_in_run(void *opaque, const struct cpu *c, uint16_t port, int size, uint8_t *buf, unsigned n)
{
	struct machine *m = opaque;
	unsigned i = 0;

	machine_enter(m);
	do {
		const struct port_range *r = run_range(m, port, size);

		if (r && r->ops->read_run)
			i += r->ops->read_run(r->opaque, (uint16_t)(port - r->base), size, buf + i * (unsigned)size, n - i);
		if (i < n) {
			st_n(buf + i * (unsigned)size, size, port_read(m, port, size));
			i++;
		}
	} while (i < n && goes_on(m, c));
	machine_leave(m);
	return i;
}

unsigned machine_port_out_run(void *opaque, const struct cpu *c, uint16_t port, int size, const uint8_t *buf, unsigned n)
{
	struct machine *m = opaque;
	unsigned i = 0;

	machine_enter(m);
	do {
		const struct port_range *r = run_range(m, port, size);

		if (r && r->ops->write_run)
			i += r->ops->write_run(r->opaque, (uint16_t)(port - r->base), size, buf + i * (unsigned)size, n - i);
		if (i < n) {
			port_write(m, port, size, (uint32_t)ld_n(buf + i * (unsigned)size, size));
			i++;
		}
	} while (i < n && goes_on(m, c));
	machine_leave(m);
	return i;
}

void port_each(struct machine *m, void (*fn)(void *opaque, uint16_t base, unsigned n, const char *name),
	       void *opaque)
{
	for (int i = 0; i < m->ports->n; i++) {
		const struct port_range *r = m->ports->range[i];

		if (r && r->enabled)
			fn(opaque, (uint16_t)r->base, r->n, r->name);
	}
}

void port_trace_names(struct machine *m, struct trace_names *l)
{
	for (int i = 0; i < m->ports->n; i++) {
		const struct port_range *r = m->ports->range[i];

		if (r && !has_table(r)) {
			trace_name(l, r->name, NULL, "read");
			trace_name(l, r->name, NULL, "write");
		}
	}
}
