/*
 * The machine: lock, current vCPU, MMIO under the lock, and the named things
 * that devices refer to.
 *
 * An MMIO access comes either from a vCPU (without the lock) or from a device
 * that masters the bus (with it); the wrappers ask who holds the lock.
 */
#include "hw/core/bus.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/value.h"
#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "hw/core/mmio_priv.h"
#include "hw/core/port.h"

/* ---- life ---- */

struct machine *machine_new(const struct dev_type *const *types, const struct clock_host *host,
			    struct err *e)
{
	struct machine *m = calloc(1, sizeof(*m));
	pthread_mutexattr_t attr;

	if (!m) {
		err_set(e, "no memory for the machine");
		return NULL;
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&m->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	m->types = types;
	m->a20 = true;
	clock_init(&m->clock, host);
	m->ports = ports_new();
	m->phys = phys_new();
	if (!m->ports || !m->phys) {
		err_set(e, "no memory for the machine");
		machine_free(m);
		return NULL;
	}
	return m;
}

static void free_globals(struct machine *m)
{
	while (m->globals) {
		struct global_prop *g = m->globals;

		m->globals = g->next;
		free(g->driver);
		free(g->prop);
		free(g->value);
		free(g);
	}
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	while (m->devs) {
		struct dev *last = m->devs;

		while (last->next)
			last = last->next;
		dev_free(last);
	}
	chr_free_all(m);
	assert(!m->drives);	/* drive_free_all() */
	while (m->backends)
		machine_del_backend(m, m->backends->kind, m->backends->id);
	free_globals(m);
	ports_free(m->ports);
	if (m->phys)
		phys_free(m->phys);
	while (m->mmios) {
		struct mmio *r = m->mmios;

		m->mmios = r->next;
		free(r);
	}
	loop_forget_machine(m->loop);
	clock_fini(&m->clock);
	trace_fini(m);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- the lock ---- */

void machine_lock(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	atomic_store_explicit(&m->owner, pthread_self(), memory_order_relaxed);
}

void machine_unlock(struct machine *m)
{
	atomic_store_explicit(&m->owner, 0, memory_order_relaxed);
	pthread_mutex_unlock(&m->lock);
}

bool machine_trylock(struct machine *m)
{
	if (pthread_mutex_trylock(&m->lock))
		return false;
	atomic_store_explicit(&m->owner, pthread_self(), memory_order_relaxed);
	return true;
}

/* Only this thread can have stored its own id, so a relaxed load is exact. */
bool machine_locked(const struct machine *m)
{
	return atomic_load_explicit(&m->owner, memory_order_relaxed) == pthread_self();
}

bool machine_hold(struct machine *m)
{
	bool held = machine_locked(m);

	if (!held)
		machine_lock(m);
	return held;
}

void machine_let(struct machine *m, bool held)
{
	if (!held)
		machine_unlock(m);
}

static _Thread_local struct cpu *current_cpu;	/* whose thread this is; see bus.h */

struct cpu *machine_current_cpu(const struct machine *m)
{
	(void)m;
	return current_cpu;
}

void machine_set_current_cpu(struct cpu *c)
{
	current_cpu = c;
}

void machine_enter(struct machine *m)
{
	machine_lock(m);
	m->in_access = true;
}

void machine_leave(struct machine *m)
{
	void (*late)(void *opaque) = m->late, *opaque = m->late_opaque;

	m->in_access = false;
	m->late = NULL;
	machine_unlock(m);
	if (late)
		late(opaque);
}

bool machine_late(struct machine *m, void (*fn)(void *opaque), void *opaque)
{
	if (!m->in_access || !current_cpu || (m->late && (m->late != fn || m->late_opaque != opaque)))
		return false;
	m->late = fn;
	m->late_opaque = opaque;
	return true;
}

uint64_t machine_now_ns(void *opaque)
{
	return clock_now(&((struct machine *)opaque)->clock);
}

/* ---- lines ---- */

void machine_request(struct machine *m, enum machine_request what, int arg)
{
	if (m->on_request)
		m->on_request(m->request_opaque, what, arg);
}

void machine_event(struct machine *m, const char *name, struct value *data)
{
	if (m->on_event)
		m->on_event(m->event_opaque, name, data);
	else
		val_free(data);
}

void machine_set_a20(struct machine *m, bool on)
{
	if (m->a20 == on)
		return;
	m->a20 = on;
	phys_set_a20(m->phys, on);
}

void machine_msi(struct machine *m, uint64_t addr, uint32_t data)
{
	if (trace_on(m))
		trace_point(m, "msi", NULL, NULL, "0x%" PRIx64 " 0x%08x", addr, data);
	if (m->msi)
		m->msi(m->msi_opaque, addr, data);
}

int machine_dma(struct machine *m, int chan, void *buf, int n, bool to_mem, bool *tc)
{
	struct dma_chan *d = &m->dma[chan & 7];

	*tc = false;
	return d->move ? d->move(d->opaque, chan & 7, buf, n, to_mem, tc) : 0;
}

/* ---- named back ends, -global ---- */

static struct backend **find_backend(struct machine *m, const char *kind, const char *id)
{
	struct backend **p = &m->backends;

	while (*p && (strcmp((*p)->kind, kind) || strcmp((*p)->id, id)))
		p = &(*p)->next;
	return p;
}

void machine_add_backend(struct machine *m, const char *kind, const char *id, void *p)
{
	struct backend *b = calloc(1, sizeof(*b));

	assert(b);
	*b = (struct backend){ kind, strdup(id), p, m->backends };
	m->backends = b;
}

void *machine_find_backend(struct machine *m, const char *kind, const char *id)
{
	struct backend *b = *find_backend(m, kind, id);

	return b ? b->p : NULL;
}

void machine_del_backend(struct machine *m, const char *kind, const char *id)
{
	struct backend **p = find_backend(m, kind, id), *b = *p;

	if (!b)
		return;
	*p = b->next;
	free(b->id);
	free(b);
}

/* "driver=D,property=P,value=V", in this order: for drivers with a dot in their names. */
static bool split_long_global(const char *text, struct global_prop *g)
{
	const char *prop = strstr(text, ",property="), *value = strstr(text, ",value=");
	size_t driver_at = strlen("driver="), prop_at = strlen(",property="), value_at = strlen(",value=");

	if (strncmp(text, "driver=", driver_at) || !prop || !value || prop > value)
		return false;
	g->driver = strndup(text + driver_at, prop - text - driver_at);
	g->prop = strndup(prop + prop_at, value - prop - prop_at);
	g->value = strdup(value + value_at);
	return true;
}

static bool split_global(const char *text, struct global_prop *g)
{
	const char *eq = strchr(text, '='), *dot = NULL;

	for (const char *p = text; eq && p < eq; p++)	/* the last dot before '=' */
		if (*p == '.')
			dot = p;
	if (!eq || !dot)
		return false;
	g->driver = strndup(text, dot - text);
	g->prop = strndup(dot + 1, eq - dot - 1);
	g->value = strdup(eq + 1);
	return true;
}

bool machine_add_global(struct machine *m, const char *text, struct err *e)
{
	struct global_prop *g = calloc(1, sizeof(*g)), **tail = &m->globals;

	assert(g);
	if (!split_long_global(text, g) && !split_global(text, g)) {
		free(g);
		return err_set(e, "'%s' is neither driver.property=value nor driver=D,property=P,value=V", text);
	}
	while (*tail)
		tail = &(*tail)->next;
	*tail = g;
	return true;
}

/* ---- MMIO ---- */

/* Who needs no machine lock takes it while somebody traces. */
static bool enter(struct mmio *r)
{
	bool held = (r->locked.own_lock && !trace_on(r->m)) || machine_locked(r->m);

	if (!held)
		machine_enter(r->m);
	return held;
}

static void leave(struct machine *m, bool held)
{
	if (!held)
		machine_leave(m);
}

/* Rows of the device's register table have points of their own. */
static bool traced(const struct mmio *r)
{
	return trace_on(r->m) && machine_locked(r->m) && r->ops && r->ops != &dev_mmio_ops;
}

static uint64_t locked_read(void *opaque, uint64_t off, int size)
{
	struct mmio *r = opaque;
	bool held = enter(r);
	uint64_t v = r->ops ? r->ops->read(r->opaque, off, size) : size_mask(size);

	if (traced(r))
		trace_access(r->m, r->name, false, off, size, v);
	leave(r->m, held);
	return v;
}

static void locked_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct mmio *r = opaque;
	struct machine *m = r->m;
	bool held = enter(r);

	if (traced(r))
		trace_access(m, r->name, true, off, size, v);
	if (r->ops)
		r->ops->write(r->opaque, off, size, v);
	leave(m, held);
}

struct mmio *mmio_map(struct machine *m, uint64_t pa, uint64_t size, int prio,
		      const struct mmio_ops *ops, void *opaque, const char *name, struct err *e)
{
	struct mmio *r = calloc(1, sizeof(*r));
	struct phys_range range = { .pa = pa, .size = size, .prio = prio, .name = name };

	if (!r) {
		err_set(e, "no memory for %s", name);
		return NULL;
	}
	*r = (struct mmio){ .m = m, .ops = ops, .opaque = opaque, .name = name,
			    .locked = { locked_read, locked_write, ops->max_size, ops->alone, ops->dma, ops->own_lock } };
	if (ops->read_quick) {
		r->locked.read_quick = mmio_read_quick;
		r->locked.write_quick = mmio_write_quick;
	}
	range.ops = &r->locked;
	range.opaque = r;
	r->map = phys_map(m->phys, &range, e);
	if (!r->map) {
		free(r);
		return NULL;
	}
	r->next = m->mmios;
	m->mmios = r;
	return r;
}

void mmio_set(struct machine *m, struct mmio *r, uint64_t pa, bool enable)
{
	phys_map_set(m->phys, r->map, pa, enable);
}

void mmio_read_from(struct machine *m, struct mmio *r, struct ram *ram)
{
	struct phys_range to = { .rram = ram, .ops = &r->locked, .opaque = r };

	phys_map_redirect(m->phys, r->map, &to);
}

/*
 * Look-ups need no lock, so a vCPU may stand between finding the range and
 * calling it: the wrapper stays, leading nowhere, until the machine goes.
 */
void mmio_unmap(struct machine *m, struct mmio *r)
{
	if (!r)
		return;
	phys_unmap(m->phys, r->map);
	r->ops = NULL;
}

void mmio_trace_names(struct machine *m, struct trace_names *l)
{
	for (const struct mmio *r = m->mmios; r; r = r->next)
		if (r->ops && r->ops != &dev_mmio_ops) {
			trace_name(l, r->name, NULL, "read");
			trace_name(l, r->name, NULL, "write");
		}
}
