/*
 * Plugin: what caches the guest's accesses would hit. Each vCPU has an L1 for instructions, one
 * for data, and a unified L2 behind both; set-associative, replaced by age of use, written to
 * by allocating. The instructions that miss most are listed.
 *
 * Not modelled: physical addresses (processes that share linear addresses share lines), L2 and memory
 * shared between vCPUs, coherence, prefetching, write-back traffic, page walks.
 */
#include <rhea-plugin.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const int rhea_plugin_abi = RHEA_PLUGIN_ABI;
const char rhea_plugin_help[] =
	"models L1I, L1D and L2 caches\n"
	"  l1i=SIZE/WAYS/LINE   of each vCPU, in bytes or with K, M [32K/8/64]\n"
	"  l1d=SIZE/WAYS/LINE   [32K/8/64]\n"
	"  l2=SIZE/WAYS/LINE    [512K/8/64]; l2=off\n"
	"  top=N                instructions with the most misses [20]\n";

enum { L1I, L1D, L2, N_LEVELS, MAX_VCPUS = 256, MAX_WAYS = 64 };
static const char *const level_names[] = { "l1i", "l1d", "l2" };

struct shape {
	bool off;
	unsigned sets, ways, line_bits;
};

/* Lines of a set stand in the order of their last use, the latest first. */
struct cache {
	uint64_t *line;			/* sets * ways; the line's number + 1, 0: empty */
	uint64_t hits, misses;
};

/* An instruction that was translated. */
struct place {
	uint64_t va;
	char text[56];
	uint64_t misses[N_LEVELS];	/* of all vCPUs */
};

#define CHUNK_BITS 12
#define MAX_CHUNKS 4096

struct model {
	struct rhea_plugin *self;
	const struct rhea_api *api;
	struct shape shape[N_LEVELS];
	unsigned top;
	rhea_stream stream;
	struct cache *caches[MAX_VCPUS];	/* N_LEVELS of each; its own thread's */
	pthread_mutex_t lock;			/* for what follows; places that are there stay */
	struct place *chunk[MAX_CHUNKS];
	uint32_t n_places;
	uint32_t *hash;				/* places by address; n_hash a power of two */
	uint32_t n_hash;
};

static struct place *place(struct model *m, uint32_t n)
{
	return &m->chunk[n >> CHUNK_BITS][n & ((1u << CHUNK_BITS) - 1)];
}

/* ---- the caches ---- */

static bool lookup(const struct shape *s, struct cache *c, uint64_t line)
{
	uint64_t *set = c->line + (line & (s->sets - 1)) * s->ways;
	unsigned i;

	if (set[0] == line + 1) {
		c->hits++;
		return true;
	}
	for (i = 0; i < s->ways - 1 && set[i] != line + 1; i++)
		;
	bool hit = set[i] == line + 1;

	memmove(set + 1, set, i * sizeof(*set));
	set[0] = line + 1;
	c->hits += hit;
	c->misses += !hit;
	return hit;
}

static void missed(struct model *m, uint32_t tag, int level)
{
	__atomic_fetch_add(&place(m, tag)->misses[level], 1, __ATOMIC_RELAXED);
}

static void touch(struct model *m, struct cache *c, int level, const struct rhea_trace *t)
{
	const struct shape *s = &m->shape[level], *s2 = &m->shape[L2];
	uint64_t last = (t->va + (t->size ? t->size - 1u : 0)) >> s->line_bits;

	for (uint64_t line = t->va >> s->line_bits; line <= last; line++) {
		if (lookup(s, &c[level], line))
			continue;
		missed(m, t->tag, level);
		if (!s2->off && !lookup(s2, &c[L2], line << s->line_bits >> s2->line_bits))
			missed(m, t->tag, L2);
	}
}

static void on_trace(struct rhea_vcpu *v, const struct rhea_trace *t, size_t n, void *data)
{
	struct model *m = data;
	struct cache *c = m->caches[m->api->vcpu_index(v)];

	for (size_t i = 0; c && i < n; i++)
		touch(m, c, t[i].how ? L1D : L1I, &t[i]);
}

static void on_vcpu(struct rhea_vcpu *v, void *data)
{
	struct model *m = data;
	unsigned n = m->api->vcpu_index(v);
	struct cache *c;

	if (n >= MAX_VCPUS || m->caches[n])
		return;
	c = calloc(N_LEVELS, sizeof(*c));
	for (int i = 0; c && i < N_LEVELS; i++) {
		c[i].line = calloc((size_t)m->shape[i].sets * m->shape[i].ways + 1, sizeof(uint64_t));
		if (!c[i].line)
			return;
	}
	m->caches[n] = c;
}

/* ---- instructions ---- */

static uint32_t slot(const struct model *m, uint64_t va)
{
	return (uint32_t)(va * 0x9e3779b97f4a7c15ull >> 32) & (m->n_hash - 1);
}

static bool grow(struct model *m)
{
	uint32_t n = m->n_hash ? 2 * m->n_hash : 1u << 14, *h = calloc(n, sizeof(*h));

	if (!h)
		return false;
	free(m->hash);
	m->hash = h;
	m->n_hash = n;
	for (uint32_t i = 0; i < m->n_places; i++) {
		uint32_t k = slot(m, place(m, i)->va);

		for (; h[k]; k = (k + 1) & (n - 1))
			;
		h[k] = i + 1;
	}
	return true;
}

/* Its number; -1: there are too many. With the lock. */
static int64_t find(struct model *m, const struct rhea_insn *i, uint64_t va)
{
	struct place *p;
	uint32_t k, n = m->n_places;

	if (2 * n >= m->n_hash && !grow(m))
		return -1;
	for (k = slot(m, va); m->hash[k]; k = (k + 1) & (m->n_hash - 1))
		if (place(m, m->hash[k] - 1)->va == va)
			return m->hash[k] - 1;
	if (n >> CHUNK_BITS == MAX_CHUNKS)
		return -1;
	if (!m->chunk[n >> CHUNK_BITS] && !(m->chunk[n >> CHUNK_BITS] = calloc(1u << CHUNK_BITS, sizeof(*p))))
		return -1;
	p = place(m, n);
	p->va = va;
	m->api->insn_text(i, p->text, sizeof(p->text));
	m->hash[k] = ++m->n_places;
	return n;
}

static void on_block(struct rhea_vcpu *v, const struct rhea_block *b, void *data)
{
	struct model *m = data;
	const struct rhea_insn *i;

	(void)v;
	pthread_mutex_lock(&m->lock);
	for (unsigned k = 0; (i = m->api->block_insn(b, k)); k++) {
		int64_t n = find(m, i, m->api->insn_info(i).va);

		if (n < 0)
			continue;
		m->api->insn_trace(i, m->stream, (uint32_t)n);
		m->api->mem_trace(i, RHEA_READ | RHEA_WRITE, m->stream, (uint32_t)n);
	}
	pthread_mutex_unlock(&m->lock);
}

/* ---- the report ---- */

static void print_level(struct model *m, unsigned vcpu, int level)
{
	const struct cache *c = &m->caches[vcpu][level];
	uint64_t all = c->hits + c->misses;

	if (!m->shape[level].off)
		m->api->print("cpu %u  %-4s %16llu accesses %14llu misses  %6.2f%%\n", vcpu, level_names[level],
			      (unsigned long long)all, (unsigned long long)c->misses,
			      all ? 100.0 * (double)c->misses / (double)all : 0.0);
}

/* The next of the worst, after what was printed: at most `most` misses, and behind number `from` if as many. */
static int64_t worst(struct model *m, int level, uint64_t most, int64_t from)
{
	int64_t best = -1;

	for (uint32_t i = 0; i < m->n_places; i++) {
		uint64_t n = place(m, i)->misses[level];

		if (n && (n < most || (n == most && i > from)) && (best < 0 || n > place(m, (uint32_t)best)->misses[level]))
			best = i;
	}
	return best;
}

static void print_worst(struct model *m, int level)
{
	uint64_t most = ~0ull;
	int64_t at = -1;

	if (m->shape[level].off)
		return;
	m->api->print("%s misses by instruction:\n", level_names[level]);
	for (unsigned i = 0; i < m->top && (at = worst(m, level, most, at)) >= 0; i++) {
		const struct place *p = place(m, (uint32_t)at);

		most = p->misses[level];
		m->api->print("  %14llu  %#llx  %s\n", (unsigned long long)most, (unsigned long long)p->va, p->text);
	}
}

static void on_exit_(void *data)
{
	struct model *m = data;

	for (unsigned i = 0; i < MAX_VCPUS; i++)
		for (int k = 0; k < N_LEVELS && m->caches[i]; k++)
			print_level(m, i, k);
	for (int k = 0; k < N_LEVELS; k++)
		print_worst(m, k);
}

/* ---- the beginning ---- */

static bool power_of_two(uint64_t n) { return n && !(n & (n - 1)); }

static bool parse_shape(struct shape *s, const char *text)
{
	unsigned long long size;
	unsigned ways, line;
	char unit[2] = "", rest;

	if (sscanf(text, "%llu%1[KkMm]/%u/%u%c", &size, unit, &ways, &line, &rest) != 4 &&
	    (*unit || sscanf(text, "%llu/%u/%u%c", &size, &ways, &line, &rest) != 3))
		return false;
	size <<= *unit == 'K' || *unit == 'k' ? 10 : *unit ? 20 : 0;
	if (!ways || ways > MAX_WAYS || !power_of_two(line) || line < 4 || size > 1u << 30 || size % ((uint64_t)ways * line) ||
	    !power_of_two(size / ways / line))
		return false;
	*s = (struct shape){ .sets = (unsigned)(size / ways / line), .ways = ways,
			     .line_bits = (unsigned)__builtin_ctz(line) };
	return true;
}

static bool argument(struct model *m, const char *arg)
{
	char *end;

	if (!strcmp(arg, "l2=off")) {
		m->shape[L2].off = true;
		return true;
	}
	for (int i = 0; i < N_LEVELS; i++) {
		size_t n = strlen(level_names[i]);

		if (!strncmp(arg, level_names[i], n) && arg[n] == '=')
			return parse_shape(&m->shape[i], arg + n + 1);
	}
	if (strncmp(arg, "top=", 4))
		return false;
	m->top = (unsigned)strtoul(arg + 4, &end, 10);
	return arg[4] && !*end;
}

int rhea_plugin_install(struct rhea_plugin *self, const struct rhea_api *api, int argc, const char *const *argv)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return 1;
	*m = (struct model){ .self = self, .api = api, .top = 20, .lock = PTHREAD_MUTEX_INITIALIZER,
			     .shape = { { false, 64, 8, 6 }, { false, 64, 8, 6 }, { false, 1024, 8, 6 } } };
	for (int i = 0; i < argc; i++)
		if (!argument(m, argv[i])) {
			api->error(self, "'%s' is no argument of it; it takes l1i, l1d, l2=SIZE/WAYS/LINE with powers of two for "
				   "SIZE / WAYS and LINE, l2=off, top=N", argv[i]);
			free(m);
			return 1;
		}
	m->stream = api->stream_new(self, on_trace, m);
	api->on_vcpu(self, RHEA_VCPU_INIT, on_vcpu, m);
	api->on_block(self, on_block, m);
	api->on_exit(self, on_exit_, m);
	return 0;
}
