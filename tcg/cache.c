/*
 * Making, emptying and freeing the code cache.
 *
 * Code memory is one piece of memory mapped twice: writable here, executable there
 * (W^X). All tables are reserved at their largest size and touched as they
 * fill; when one is full, everything is dropped at once.
 */
#include "tcg/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/alone.h"
#include "cpu/cpuid.h"
#include "cpu/decode.h"
#include "tcg/perfmap.h"
#include "tcg/plug.h"

#define HUGE_PAGE	((size_t)2 << 20)

/*
 * Zeroed memory. In huge pages as it is touched for tables that are used in no order:
 * with small ones every look-up would miss the host's TLB.
 */
static void *reserve(size_t n, bool huge)
{
	size_t room = align_up(n, 4096) + HUGE_PAGE;
	uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *start;

	if (p == MAP_FAILED)
		return NULL;
	start = (uint8_t *)align_up((uintptr_t)p, HUGE_PAGE);
	if (start > p)
		munmap(p, (size_t)(start - p));
	munmap(start + align_up(n, 4096), (size_t)(p + room - start) - align_up(n, 4096));
	if (huge)
		madvise(start, n, MADV_HUGEPAGE);
	return start;
}

static bool map_code(struct code_cache *k, struct err *e)
{
	/* Shared, so that a second mapping can show the same memory; no file, so that perf reads its map. */
	size_t size = k->code_size;
	uint8_t *w = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *x;

	if (w == MAP_FAILED)
		return err_errno(e, "code memory of %zu MiB", size >> 20);
	x = mremap(w, 0, size, MREMAP_MAYMOVE);
	if (x == MAP_FAILED || mprotect(x, size, PROT_READ | PROT_EXEC)) {
		munmap(w, size);
		return err_errno(e, "executable code memory");
	}
	k->code_start = w;
	k->rx = x - w;
	return true;
}

static bool host_has_avx(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx");
}

static bool host_suffices(struct err *e)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("bmi2"))
		return err_set(e, "this host has no BMI2 (Haswell, Zen or later is needed); use -accel tcg,interp=on");
	return true;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

double tcg_seconds(const struct tcg *t, uint64_t ticks)
{
	uint64_t passed = __builtin_ia32_rdtsc() - t->start_ticks;

	return passed ? (double)(now_ns() - t->start_ns) / 1e9 * (double)ticks / (double)passed : 0.0;
}

/* A copy that ends with the last µop: the arrays are mostly empty. */
bool tcg_keep_ir(struct code_cache *k, uint32_t n, const struct ir *ir)
{
	size_t size = offsetof(struct ir, uops) + ir->n_uops * sizeof(ir->uops[0]);

	k->irs[n] = malloc(size);
	if (!k->irs[n])
		return false;
	memcpy(k->irs[n], ir, size);
	return true;
}

void tcg_drop_ir(struct code_cache *k, uint32_t n)
{
	free(k->irs[n]);
	k->irs[n] = NULL;
}

static void unmap(void *p, size_t n)
{
	if (p)
		munmap(p, n);
}

static void free_irs(struct code_cache *k)
{
	for (uint32_t i = NO_TB; k->irs && (i = tcg_next_tb(k, i)) != NO_TB;)
		tcg_drop_ir(k, i);
}

uint64_t tcg_new_code_pages(uint64_t k, uint64_t n, uint64_t x, uint64_t y)
{
	(void)x, (void)y;
	__atomic_store_n(&((struct code_cache *)k)->cpages[n], calloc(CP_FANOUT, sizeof(struct code_page)), __ATOMIC_RELEASE);
	return 0;
}

static void forget_code_pages(struct code_cache *k, struct code_page *cp, uint64_t page)
{
	for (unsigned i = 0; i < CP_FANOUT; i++) {
		if (cp[i].marked)
			phys_clear_code(k->phys, cp[i].r, ((page + i) << 12) - cp[i].r->id);
		cp[i].chunks = 0;
		cp[i].marked = false;
		cp[i].vpages = 0;
		cp[i].more = 0;
	}
}

/* Nobody has a piece. */
static void empty_pieces(struct code_cache *k)
{
	for (unsigned u = 0; u < k->n_users; u++)
		k->user[u]->piece = NULL;
	k->n_pieces = k->free_pieces = k->dropped_pieces = k->leaving_pieces = 0;
	k->free_guard = NULL;
	if (!k->interp)
		k->next_guard = k->code_start + 2 * k->cold_from;
	memset(k->granule, 0, (k->code_size >> GRANULE_BITS) * sizeof(*k->granule));
}

/* No vCPU is in it. */
static void drop_all(struct code_cache *k)
{
	for (unsigned i = 0; i < CP_FANOUT; i++)
		if (k->cpages[i])
			forget_code_pages(k, k->cpages[i], (uint64_t)i << CP_BITS);
	free_irs(k);
	empty_pieces(k);
	k->n_vpages = 0;
	k->vpages[0].tbs = 0;
	memset(k->hash, 0, sizeof(k->hash));
	memset(k->vhash, 0, sizeof(k->vhash));
	memset(k->jc_mode, 0, sizeof(k->jc_mode));
	k->n_suspects = 0;
	k->flush_wanted = false;
	k->trimmed = 0;
	pthread_mutex_lock(&k->writes_lock);
	k->n_writes = 0;
	pthread_mutex_unlock(&k->writes_lock);
	k->generation++;
	perfmap_reset(k->perf);
	plug_free_records(k);
}

static void cache_free(struct code_cache *k)
{
	if (!k)
		return;
	if (k->tbs)
		free_irs(k);
	for (unsigned i = 0; i < CP_FANOUT; i++)
		free(k->cpages[i]);
	if (k->code_start) {
		munmap(k->code_start + k->rx, k->code_size);
		munmap(k->code_start, k->code_size);
	}
	unmap(k->tbs, MAX_TBS * sizeof(*k->tbs));
	unmap(k->hash_next, MAX_TBS * sizeof(*k->hash_next));
	unmap(k->granule, (k->code_size >> GRANULE_BITS) * sizeof(*k->granule));
	unmap(k->links, MAX_LINKS * sizeof(*k->links));
	unmap(k->sides, MAX_SIDE);
	unmap(k->suspects, SUSPECTS * sizeof(*k->suspects));
	unmap(k->vpages, MAX_VPAGES * sizeof(*k->vpages));
	debug_list_free(&k->breaks);
	unmap(k->irs, MAX_TBS * sizeof(*k->irs));
	unmap(k->plug_left, MAX_TBS * sizeof(*k->plug_left));
	perfmap_free(k->perf);
	pthread_mutex_destroy(&k->writes_lock);
	munmap(k, sizeof(*k));
}

static bool make_code(struct code_cache *k, struct err *e)
{
	static const struct x64_callbacks callbacks = {
		.find = tcg_cb_find, .indirect = tcg_cb_indirect, .resolve = tcg_cb_resolve, .guard = tcg_cb_guard,
		.deliver = tcg_cb_deliver,
		.slow = tcg_cb_slow, .group = tcg_cb_group, .noshare = tcg_cb_noshare, .commit = tcg_cb_commit, .raise = tcg_cb_raise,
		.roam = tcg_cb_roam,
	};

	struct code c;

	if (!host_suffices(e) || !map_code(k, e))
		return false;
	k->x.host_avx = host_has_avx();
	c = (struct code){ .p = k->code_start, .end = k->code_start + k->piece_code, .rx = k->rx };
	x64_make_stubs(&k->x, &c, &callbacks);
	k->blocks_start = c.p;
	k->next_guard = k->code_start + 2 * k->cold_from;
	return true;
}

/* How memory is divided. */
static void divide(struct code_cache *k)
{
	k->max_pieces = k->smp ? PIECES : 1;
	k->cold_from = (k->smp ? CODE_SIZE_SMP : CODE_SIZE) / 2;
	k->piece_code = k->cold_from / k->max_pieces;
	k->piece_tbs = MAX_TBS / k->max_pieces;
	k->code_size = 2 * k->cold_from + GUARDS_SIZE;
}

static struct code_cache *cache_new(const struct cpu *c, bool interp, struct err *e)
{
	struct code_cache *k = reserve(sizeof(*k), true);

	if (!k) {
		err_set(e, "no memory for the code cache");
		return NULL;
	}
	k->smp = c->ncpus > 1;
	k->interp = interp;
	k->phys = c->phys;
	pthread_mutex_init(&k->writes_lock, NULL);
	cpuid_insn_features(c, k->feat);
	divide(k);
	k->tbs = reserve(MAX_TBS * sizeof(*k->tbs), false);
	k->hash_next = reserve(MAX_TBS * sizeof(*k->hash_next), false);
	k->granule = reserve((k->code_size >> GRANULE_BITS) * sizeof(*k->granule), false);
	k->links = reserve(MAX_LINKS * sizeof(*k->links), false);
	k->sides = reserve(MAX_SIDE, false);
	k->suspects = reserve(SUSPECTS * sizeof(*k->suspects), false);
	k->vpages = reserve(MAX_VPAGES * sizeof(*k->vpages), false);
	k->irs = interp ? reserve(MAX_TBS * sizeof(*k->irs), false) : NULL;
	k->plug_left = c->plugins ? reserve(MAX_TBS * sizeof(*k->plug_left), false) : NULL;
	for (unsigned i = 0; i < TCG_USERS; i++)
		k->seat[i].reading[0] = k->seat[i].reading[1] = k->seat[i].storing = NOWHERE;
	if (!k->tbs || !k->hash_next || !k->granule || !k->links || !k->sides || !k->suspects || !k->vpages ||
	    (interp && !k->irs) || (c->plugins && !k->plug_left))
		err_set(e, "no memory for the code cache");
	else if (interp || make_code(k, e))
		return k;
	cache_free(k);
	return NULL;
}

/* ---- vCPUs come and go ---- */

/* The machine's cache, which the first vCPU makes. */
static struct code_cache *machine_cache(const struct tcg *t, struct code_cache *k, struct err *e)
{
	if (!k)
		return cache_new(t->cpu, t->interp, e);
	if (k->interp == t->interp && k->n_users < TCG_USERS)
		return k;
	err_set(e, k->interp == t->interp ? "there are too many processors" :
					    "some processors are translated, others interpreted");
	return NULL;
}

/* A device wrote to memory that holds code. Any thread, machine lock held. */
static void device_wrote_code(void *opaque, struct ram *r, uint64_t off, uint64_t n)
{
	tcg_note_write(opaque, r->id + off, n);
}

static bool join(struct tcg *t, struct err *e)
{
	void **common = phys_common(t->cpu->phys);
	struct code_cache *k = t->cache = machine_cache(t, *common, e);

	if (k) {
		*common = k;
		phys_on_code_write(k->phys, device_wrote_code, k);
		tcg_lock(t);
		pthread_mutex_lock(&k->writes_lock);
		k->user[k->n_users++] = t;
		t->seat = &k->seat[t->number - 1];
		if (k->n_seats < t->number)
			k->n_seats = t->number;
		pthread_mutex_unlock(&k->writes_lock);
		for (int i = 0; i < JC_TABLES; i++)
			tcg_jc_name(t->cpu, (unsigned)i, k->jc_mode[i] - 1);
		t->generation = k->generation;
		tcg_unlock(t);
	}
	phys_common_done(t->cpu->phys);
	return k;
}

/* The last one takes the cache along. */
static void leave(struct tcg *t)
{
	void **common = phys_common(t->cpu->phys);
	struct code_cache *k = t->cache;
	unsigned i = 0;

	tcg_lock(t);
	pthread_mutex_lock(&k->writes_lock);
	while (k->user[i] != t)
		i++;
	k->user[i] = k->user[--k->n_users];
	pthread_mutex_unlock(&k->writes_lock);
	tcg_stop_waiting(t);
	tcg_leave_piece(t);
	tcg_unlock(t);
	if (!k->n_users) {
		*common = NULL;
		phys_on_code_write(k->phys, NULL, k);
		perfmap_free(k->perf);		/* keeps what it has */
		k->perf = NULL;
		drop_all(k);
		if (t->plug)
			plug_flushed(t);
		cache_free(k);
	}
	phys_common_done(t->cpu->phys);
}

struct tcg *tcg_new(struct cpu *c, bool interp, struct err *e)
{
	struct tcg *t = reserve(sizeof(*t), true);

	if (!t) {
		err_set(e, "no memory for the translator");
		return NULL;
	}
	t->cpu = c;
	t->stored.va = 1;
	t->number = (uint16_t)(c->index + 1);
	t->start_ns = now_ns();
	t->start_ticks = __builtin_ia32_rdtsc();
	for (unsigned i = 0; i < ITLB_SIZE; i++)
		t->itlb[i].va = 1;
	t->interp = interp;
	t->ir = malloc(sizeof(*t->ir));
	t->block = malloc(sizeof(*t->block));
	t->scratch = calloc(1, x64_scratch_size);
	t->memo = calloc(1, sizeof(*t->memo));
	if (!t->ir || !t->block || !t->scratch || !t->memo)
		err_set(e, "no memory for the translator");
	else if (join(t, e))
		return t;
	tcg_free(t);
	return NULL;
}

void tcg_free(struct tcg *t)
{
	if (!t)
		return;
	if (t->cache)
		leave(t);
	free(t->memo);
	free(t->ir);
	free(t->block);
	free(t->scratch);
	munmap(t, sizeof(*t));
}

void tcg_jc_flush(struct cpu *c)
{
	for (unsigned t = 0; t < JC_TABLES; t++)
		tcg_jc_name(c, t, x64_env(c)->jc_mode[t]);
	for (unsigned i = 0; i < ARRAY_LEN(x64_env(c)->jc_of); i++)
		x64_env(c)->jc_of[i].mode = JC_NO_MODE;
}

void tcg_forget(struct tcg *t)
{
	t->generation = t->cache->generation;
	tcg_jc_flush(t->cpu);
	tcg_forget_fallbacks(t->cpu);
	tcg_itlb_flush(t->cpu, false);
	t->last_exit = 0;
	t->remake = NO_TB;
}

static void flush(struct tcg *t)
{
	t->stats.flushes++;
	drop_all(t->cache);
	if (t->plug)
		plug_flushed(t);
}

/* Another vCPU may have done it while this one waited. */
static void flush_alone(struct tcg *t)
{
	bool inside = atomic_load(&t->cpu->inside);
	uint32_t generation = t->cache->generation;

	cpu_alone_begin(t->cpu);
	if (t->cache->generation == generation)
		flush(t);
	cpu_alone_end(t->cpu);
	if (!inside)
		cpu_outside(t->cpu);
}

void tcg_flush(struct tcg *t)
{
	if (t->cache->smp && !t->alone)
		flush_alone(t);
	else
		flush(t);
	tcg_forget(t);
}

/* Filled code memory is seldom written again, to link: the pages of that mapping, which count twice, go. */
static void trim(uint8_t *from, const uint8_t *to)
{
	uint8_t *first = (uint8_t *)align_up((uintptr_t)from, 4096);

	if (to > first)
		madvise(first, align_down((size_t)(to - first), 4096), MADV_DONTNEED);
}

void tcg_trim(struct tcg *t, bool idle)
{
	struct code_cache *k = t->cache;
	uint8_t *code = k->blocks_start, *cold = k->code_start + k->cold_from;
	size_t filled = 0;
	bool enough;

	if (t->interp)
		return;
	tcg_lock(t);
	for (uint32_t i = 0; i < k->n_pieces; i++) {
		code = k->piece[i].code.p;
		cold = k->piece[i].cold.p;
		filled += (size_t)(code - k->code_start) % k->piece_code + (size_t)(cold - k->code_start) % k->piece_code;
	}
	if (filled < k->trimmed)		/* some of it is used again */
		k->trimmed = filled;
	enough = filled >= k->trimmed + (idle ? TRIM_STEP_IDLE : TRIM_STEP);
	if (enough)
		k->trimmed = filled;
	tcg_unlock(t);
	if (!enough)
		return;
	trim(k->blocks_start, code);
	trim(k->code_start + k->cold_from, cold);
}

uint32_t tcg_count_tbs(const struct code_cache *k)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->n_pieces; i++)
		n += k->piece[i].n_tbs + 1 - k->piece[i].first;
	return n;
}

/* A step from where code goes on. What the host does not have is not asked for: then the pages come one by one. */
static uint8_t *ready_from(const struct code *c, size_t step)
{
	uint8_t *start = (uint8_t *)((uintptr_t)c->p & ~(step - 1));

	if (start + step <= c->end)
		madvise(start, step, MADV_POPULATE_WRITE);
	return start + step;
}

uint64_t tcg_make_ready(uint64_t t, uint64_t x, uint64_t y, uint64_t z)
{
	struct piece *p = ((struct tcg *)t)->piece;
	size_t step = ((struct tcg *)t)->cache->smp ? READY_STEP / 4 : READY_STEP;

	(void)x, (void)y, (void)z;
	if (p->code.p >= p->code_ready)
		p->code_ready = ready_from(&p->code, step);
	if (p->cold.p >= p->cold_ready)
		p->cold_ready = ready_from(&p->cold, step);
	return 0;
}
