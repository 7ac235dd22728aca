/*
 * Plugins: their life, their vCPUs, and the events outside of translated code.
 */
#include "tcg/plug.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "cpu/except.h"
#include "tcg/cache.h"

/* ---- all of them ---- */

struct plugins *plugins_new(const char *machine_name, unsigned ncpus)
{
	struct plugins *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	snprintf(p->machine_name, sizeof(p->machine_name), "%s", machine_name ? machine_name : "");
	p->ncpus = ncpus;
	p->used = 64;			/* 0 is no counter */
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

bool plugins_add(struct plugins *p, const char *name, plugin_install_fn *install, int argc, const char *const *argv,
		 struct err *e)
{
	struct rhea_plugin *self;

	if (p->n == PLUG_MAX)
		return err_set(e, "more than %d plugins", PLUG_MAX);
	self = &p->list[p->n];
	*self = (struct rhea_plugin){ .all = p };
	snprintf(self->name, sizeof(self->name), "%s", name);
	if (install(self, &plug_api, argc, argv))
		return err_set(e, "%s", *self->err.msg ? self->err.msg : "it does not want to be installed");
	p->n++;
	return true;
}

void plugins_exit(struct plugins *p)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->list[i].on_exit)
			p->list[i].on_exit(p->list[i].exit_data);
}

void plugins_free(struct plugins *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < PLUG_MAX_CPUS; i++)
		if (p->memory[i])
			munmap(p->memory[i], PLUG_MEMORY);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- a vCPU ---- */

/* The memory of its counters, which outlives it. */
static uint8_t *memory(struct plugins *p, unsigned n, struct err *e)
{
	uint8_t *m = p->memory[n];

	if (m)
		return m;
	m = mmap(NULL, PLUG_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED) {
		err_errno(e, "memory for plugins");
		return NULL;
	}
	for (unsigned i = 0; i < p->n_streams; i++) {
		struct plug_stream *s = (struct plug_stream *)(void *)(m + p->stream[i].at);

		s->first = s->next = (struct rhea_trace *)(void *)(s + 1);
		s->limit = s->first + PLUG_ENTRIES;
	}
	pthread_mutex_lock(&p->lock);
	p->memory[n] = m;
	pthread_mutex_unlock(&p->lock);
	return m;
}

struct plug_chunk {
	struct plug_chunk *next;
	size_t used;
	uint8_t bytes[65536 - 16] __attribute__((aligned(16)));
};

void plug_free_records(struct code_cache *cache)
{
	for (struct plug_chunk *k = cache->plug_records, *next; k; k = next) {
		next = k->next;
		free(k);
	}
	cache->plug_records = NULL;
	cache->plug_bytes = 0;
}

void plug_cpu_free(struct plug_cpu *p)
{
	if (!p)
		return;
	free(p->block);
	free(p);
}

static void seen_full(struct cpu *c);

struct plug_cpu *plug_cpu_new(struct cpu *c, struct err *e)
{
	struct plug_cpu *p = calloc(1, sizeof(*p));

	if (!p)
		err_set(e, "out of memory");
	else if (c->index >= PLUG_MAX_CPUS)
		err_set(e, "plugins can watch %d processors", PLUG_MAX_CPUS);
	else if ((p->block = malloc(sizeof(*p->block))) &&
		 (p->memory = memory(c->plugins, (unsigned)c->index, e))) {
		p->seen.full = seen_full;
		x64_env(c)->plug = p->memory;
		return p;
	}
	plug_cpu_free(p);
	return NULL;
}

#define RECORDS_MOST (64u << 20)	/* then all translations go */

void *plug_alloc(struct tcg *t, size_t n)
{
	struct code_cache *cache = t->cache;
	struct plug_chunk *k = cache->plug_records;
	void *m;

	n = align_up(n, 16);
	if (!k || k->used + n > sizeof(k->bytes)) {
		k = malloc(sizeof(*k) + (n > sizeof(k->bytes) ? n : 0));
		if (!k) {
			warn("out of memory for plugins");
			abort();
		}
		k->next = cache->plug_records;
		k->used = 0;
		cache->plug_records = k;
		cache->plug_bytes += sizeof(*k);
		if (cache->plug_bytes > RECORDS_MOST)
			cache->flush_wanted = true;
	}
	m = k->bytes + k->used;
	k->used += n;
	return m;
}

void plug_flushed(struct tcg *t)
{
	struct plugins *p = t->cpu->plugins;

	plug_drain_all(t->cpu);
	for (unsigned i = 0; i < p->n; i++)
		if (p->list[i].on_flush)
			p->list[i].on_flush(plug_vcpu(t->cpu), p->list[i].flush_data);
}

/* ---- events ---- */

void plug_event(struct cpu *c, enum rhea_event what)
{
	struct plugins *p = c->plugins;

	plug_drain_all(c);
	for (unsigned i = 0; i < p->n; i++)
		if (p->list[i].on_vcpu[what])
			p->list[i].on_vcpu[what](plug_vcpu(c), p->list[i].vcpu_data[what]);
}

void plug_wait(struct cpu *c)
{
	struct plug_cpu *p = tcg_of(c)->plug;

	if (!p->asleep)
		plug_event(c, RHEA_VCPU_IDLE);
	p->asleep = true;
	cpu_wait(c);
	if (!cpu_has_work(c))
		return;
	p->asleep = false;
	plug_event(c, RHEA_VCPU_RESUME);
}

/* ---- callbacks of blocks and instructions ---- */

#define H(name) uint64_t h_##name(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm)
#define UNUSED (void)a, (void)b

H(plug_call)
{
	const struct plug_call *k = (const struct plug_call *)(uintptr_t)imm;

	UNUSED;
	k->fn(plug_vcpu(c), k->data);
	return 0;
}

H(plug_regs)
{
	return h_plug_call(c, a, b, imm);
}

/* ---- streams ---- */

static struct plug_stream *stream(struct cpu *c, uint64_t at)
{
	return (struct plug_stream *)(void *)(tcg_of(c)->plug->memory + at);
}

static void drain(struct cpu *c, const struct plugin_stream *to)
{
	struct plug_stream *s = stream(c, to->at);
	size_t n = (size_t)(s->next - s->first);

	s->next = s->first;
	if (n)
		to->fn(plug_vcpu(c), s->first, n, to->data);
}

H(plug_drain)
{
	struct plugins *p = c->plugins;

	UNUSED;
	for (unsigned i = 0; i < p->n_streams; i++)
		if (p->stream[i].at == imm)
			drain(c, &p->stream[i]);
	return 0;
}

void plug_drain_all(struct cpu *c)
{
	for (unsigned i = 0; i < c->plugins->n_streams; i++)
		drain(c, &c->plugins->stream[i]);
}

/* One entry from C; the block's own may still come. */
static void append(struct cpu *c, uint64_t at, const struct rhea_trace *t)
{
	struct plug_stream *s = stream(c, at);

	if (s->next >= s->limit)
		h_plug_drain(c, 0, 0, at);
	*s->next++ = *t;
}

/* ---- accesses ---- */

static void tell(struct cpu *c, const struct plug_mem *m, const struct rhea_access *a, bool calls_only)
{
	struct plug_cpu *p = tcg_of(c)->plug;

	p->rip = m->rip;
	p->has_rip = true;
	for (unsigned i = 0; i < m->n; i++) {
		const struct plug_memhook *k = &m->hook[i];
		struct rhea_trace t = { a->va, k->arg, (uint16_t)a->size, (uint16_t)a->how };

		if (!(k->how & a->how) || (calls_only && k->kind != PLUG_CALL))
			continue;
		if (k->kind == PLUG_CALL)
			k->fn(plug_vcpu(c), a, k->data);
		else if (k->kind == PLUG_ADD)
			*(uint64_t *)(void *)(p->memory + k->at) += (uint64_t)(int64_t)(int32_t)k->arg;
		else
			append(c, k->at, &t);
	}
	p->has_rip = false;
}

H(plug_mem)
{
	const struct plug_access *k = (const struct plug_access *)(uintptr_t)imm;
	struct rhea_access x = { x64_env(c)->plug_va[k->slot], k->size, k->how, k->mem->rip };

	UNUSED;
	tell(c, k->mem, &x, true);
	return 0;
}

/* The first n of what C has accessed. */
static void tell_seen(struct cpu *c, unsigned n)
{
	struct plug_cpu *p = tcg_of(c)->plug;
	struct cpu_seen *s = &p->seen;

	for (unsigned i = 0; i < n; i++) {
		struct rhea_access x = { s->a[i].va, s->a[i].n, s->a[i].how, p->mem->rip };

		tell(c, p->mem, &x, false);
	}
	for (unsigned i = n; i < s->n; i++)
		s->a[i - n] = s->a[i];
	s->n -= n;
	s->kept -= s->kept < n ? s->kept : n;
}

static uint64_t tell_heavy(uint64_t c, uint64_t n, uint64_t x, uint64_t y)
{
	(void)x;
	(void)y;
	tell_seen((struct cpu *)c, (unsigned)n);
	return 0;
}

/* What has happened for certain is told first; an instruction that cannot make room so is not exact. */
static void seen_full(struct cpu *c)
{
	struct cpu_seen *s = c->seen;

	c->seen = NULL;
	cpu_heavy(c, tell_heavy, (uint64_t)c, s->kept ? s->kept : s->n, 0, 0);
	c->seen = s;
}

H(plug_done)
{
	struct plug_cpu *p = tcg_of(c)->plug;

	UNUSED;
	p->mem = (const struct plug_mem *)(uintptr_t)imm;
	tell_seen(c, p->seen.n);
	return 0;
}

void plug_unwound(struct cpu *c, bool restart)
{
	struct plug_cpu *p = tcg_of(c)->plug;

	if (c->seen) {
		c->seen = NULL;
		tell_seen(c, p->seen.kept);
	}
	p->again = restart;
	if (!restart)
		p->open = false;
	p->again_rip = c->rip;
}

uint32_t plug_mode(struct cpu *c)
{
	struct plug_cpu *p = tcg_of(c)->plug;
	bool again = p->again && p->again_rip == c->rip;

	p->again = p->open = false;
	return again ? MODE_AGAIN : 0;
}
