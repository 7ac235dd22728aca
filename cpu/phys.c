/*
 * Guest-physical address space (contract in cpu/phys.h).
 *
 * The maps the board made are flattened into a sorted array without overlaps,
 * a "view". Readers load the current view once and search it by bisection,
 * behind a small table of recent answers. Changing the map builds a new view
 * and swaps the pointer. Old views stay readable: they are kept, and used again
 * when the same layout comes back (SMRAM opening and closing); past VIEWS_KEPT
 * layouts the oldest goes.
 *
 * Look-ups and what else may run with vector state live: cpu/phys_light.c.
 *
 * Dirty bits of writes that a vCPU makes between phys_test_clear_dirty() and its
 * next poll are put back by its flush.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "cpu/phys_view.h"
#include "cpu/tlb.h"

#define VIEWS_KEPT	4096

/* ---- views ---- */

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static struct phys_map *winner(struct phys *p, uint64_t pa)
{
	struct phys_map *best = NULL;

	for (struct phys_map *m = p->maps; m; m = m->next) {
		if (!m->enabled || pa < m->r.pa || pa - m->r.pa >= m->r.size)
			continue;
		if (!best || m->r.prio > best->r.prio ||
		    (m->r.prio == best->r.prio && m->seq > best->seq))
			best = m;
	}
	return best;
}

static void span_of(struct span *s, const struct phys_map *m, uint64_t pa, uint64_t end)
{
	*s = (struct span){ .pa = pa, .end = end, .r = m->r };
	s->dev_off = pa - m->r.pa;
	s->r.pa = pa;
	s->r.size = end - pa;
	s->r.off = m->r.off + s->dev_off;
}

static bool same_layout(const struct view *a, const struct view *b)
{
	return a->n == b->n && memcmp(a->s, b->s, a->n * sizeof(a->s[0])) == 0;
}

static struct view *view_build(struct phys *p)
{
	unsigned nmaps = 0, nb = 0;
	for (struct phys_map *m = p->maps; m; m = m->next)
		nmaps++;
	uint64_t *bound = calloc(2 * nmaps + 1, sizeof(*bound));
	struct view *v = calloc(1, sizeof(*v) + 2 * nmaps * sizeof(v->s[0]));
	assert(bound && v);

	for (struct phys_map *m = p->maps; m; m = m->next)
		if (m->enabled && m->r.size) {
			bound[nb++] = m->r.pa;
			bound[nb++] = m->r.pa + m->r.size;
		}
	qsort(bound, nb, sizeof(*bound), by_address);
	struct phys_map *last = NULL;
	for (unsigned i = 0; i + 1 < nb; i++) {
		if (bound[i] == bound[i + 1])
			continue;
		struct phys_map *m = winner(p, bound[i]);
		if (m && m == last && v->s[v->n - 1].end == bound[i]) {
			v->s[v->n - 1].end = bound[i + 1];
			v->s[v->n - 1].r.size += bound[i + 1] - bound[i];
		} else if (m) {
			span_of(&v->s[v->n++], m, bound[i], bound[i + 1]);
		}
		last = m;
	}
	free(bound);
	return v;
}

static void view_drop_oldest(struct phys *p)
{
	struct view **at = &p->views;
	while ((*at)->next)
		at = &(*at)->next;
	if (*at == atomic_load(&p->view))
		return;
	free(*at);
	*at = NULL;
	p->nviews--;
}

/* Keep v, or free it and take the old one of the same layout. */
static struct view *view_intern(struct phys *p, struct view *v)
{
	for (struct view *o = p->views; o; o = o->next)
		if (same_layout(o, v)) {
			free(v);
			return o;
		}
	v->next = p->views;
	p->views = v;
	if (++p->nviews > VIEWS_KEPT)
		view_drop_oldest(p);
	return v;
}

static void flush_all(struct phys *p)
{
	for (unsigned i = 0; i < p->ncpus; i++)
		cpu_request(p->cpus[i], REQ_FLUSH);
}

static void log_view(struct phys *p)
{
	const struct view *v = atomic_load(&p->view);

	if (!log_on(LOG_PAGE))
		return;
	log_to(LOG_PAGE, "physical map:\n");
	for (unsigned i = 0; i < v->n; i++) {
		const struct span *s = &v->s[i];

		log_to(LOG_PAGE, "  %012lx-%012lx %s%s%s\n", (unsigned long)s->pa, (unsigned long)(s->end - 1),
		       s->r.name ? s->r.name : "?", s->r.rram ? " r" : "", s->r.wram ? " w" : "");
	}
}

static void rebuild(struct phys *p)
{
	p->stale = false;
	struct view *v = view_intern(p, view_build(p));
	if (v == atomic_load(&p->view))
		return;
	atomic_store_explicit(&p->view, v, memory_order_release);
	log_view(p);
	flush_all(p);
}

static void changed(struct phys *p)
{
	p->stale = true;
	if (!p->depth)
		rebuild(p);
}

/* ---- life and mapping ---- */

struct phys *phys_new(void)
{
	struct phys *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	atomic_store(&p->a20_mask, ~0ull);
	pthread_mutex_init(&p->alone, NULL);
	pthread_mutex_init(&p->common_lock, NULL);
	p->next_id = PAGE;
	atomic_store(&p->view, view_intern(p, view_build(p)));
	return p;
}

static void free_rams(struct ram_list *l)
{
	for (struct ram_list *next; l; l = next) {
		next = l->next;
		munmap(l->area, l->area_size);
		free(l->ram.page);
		free(l->ram.holders);
		free(l);
	}
}

void phys_free(struct phys *p)
{
	if (!p)
		return;
	for (struct view *v = p->views, *next; v; v = next) {
		next = v->next;
		free(v);
	}
	for (struct phys_map *m = p->maps, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	free_rams(p->rams);
	free_rams(p->dropped);
	free(p);
}

/*
 * From this size on memory is put at a multiple of the host's huge pages and asks for them, so that
 * pages that are near for the guest (its own huge pages are aligned as well) share one. Less, as
 * a display's memory, is mostly touched here and there.
 */
#define HUGE_PAGE	(2ull << 20)
#define HUGE_FROM	(64ull << 20)

static struct ram *ram_made(struct phys *p, const char *name, uint64_t room, struct err *e)
{
	struct ram_list *l = calloc(1, sizeof(*l));
	_Atomic uint8_t *flags = calloc(room / PAGE + 1, 1);
	uint16_t *holders = calloc(room / PAGE + 1, 2);
	uint64_t huge;

	if (!room || !l || !flags || !holders) {
		err_set(e, "memory '%s': no room for its tables", name);
		goto fail;
	}
	huge = room >= HUGE_FROM ? HUGE_PAGE : PAGE;
	l->area_size = room + 2 * huge;
	l->area = mmap(NULL, l->area_size, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (l->area == MAP_FAILED) {
		err_errno(e, "memory '%s' of %llu bytes", name, (unsigned long long)room);
		goto fail;
	}
	uint8_t *host = (uint8_t *)align_up((uintptr_t)l->area + PAGE, huge);
	if (mprotect(host, room, PROT_READ | PROT_WRITE) < 0) {
		err_errno(e, "memory '%s'", name);
		munmap(l->area, l->area_size);
		goto fail;
	}
	if (huge > PAGE)
		madvise(host, room, MADV_HUGEPAGE);
	l->ram = (struct ram){ .name = name, .host = host, .size = room, .page = flags, .id = p->next_id,
			       .holders = holders };
	p->next_id += room + PAGE;
	l->next = p->rams;
	p->rams = l;
	return &l->ram;
fail:
	free(flags);
	free(holders);
	free(l);
	return NULL;
}

/* Take *at out of its list and make it the newest of *to. */
static struct ram *move_ram(struct ram_list **at, struct ram_list **to)
{
	struct ram_list *l = *at;

	*at = l->next;
	l->next = *to;
	*to = l;
	return &l->ram;
}

void phys_ram_drop(struct phys *p, struct ram *r)
{
	struct ram_list **at = &p->rams;

	if (!r)
		return;
	while (&(*at)->ram != r)
		at = &(*at)->next;
	move_ram(at, &p->dropped);
	phys_ram_discard(p, r, 0, r->size);
}

/* A dropped memory of that size, as new; or NULL. A vCPU may have written to it until its TLB was flushed. */
static struct ram *ram_again(struct phys *p, const char *name, uint64_t room)
{
	struct ram_list **at = &p->dropped;
	struct ram *r;

	while (*at && (*at)->ram.size != room)
		at = &(*at)->next;
	if (!*at)
		return NULL;
	r = move_ram(at, &p->rams);
	r->name = name;
	phys_ram_discard(p, r, 0, r->size);
	return r;
}

struct ram *phys_ram_new(struct phys *p, const char *name, uint64_t size, struct err *e)
{
	uint64_t room = align_up(size, PAGE);
	struct ram *again = ram_again(p, name, room);

	return again ? again : ram_made(p, name, room, e);
}

void phys_ram_clear(struct ram *r)
{
	if (madvise(r->host, r->size, MADV_DONTNEED))
		memset(r->host, 0, r->size);
	for (uint64_t off = 0; off < r->size; off += PAGE)
		mark_written(r, off);
}

/* The list has the newest first. */
struct ram *phys_ram_nth(struct phys *p, unsigned n)
{
	unsigned all = 0;

	for (struct ram_list *l = p->rams; l; l = l->next)
		all++;
	if (n >= all)
		return NULL;
	struct ram_list *l = p->rams;
	for (unsigned back = all - 1 - n; back; back--)
		l = l->next;
	return &l->ram;
}

static bool range_ok(const struct phys_range *r, struct err *e)
{
	if (!r->size || r->pa + r->size < r->pa)
		return err_set(e, "range '%s' is empty or wraps", r->name);
	if ((r->rram || r->wram) && ((r->pa | r->size | r->off) & (PAGE - 1)))
		return err_set(e, "memory range '%s' is not page-aligned", r->name);
	if ((r->rram && (r->off > r->rram->size || r->size > r->rram->size - r->off)) ||
	    (r->wram && (r->off > r->wram->size || r->size > r->wram->size - r->off)))
		return err_set(e, "range '%s' is larger than its memory", r->name);
	return true;
}

struct phys_map *phys_map(struct phys *p, const struct phys_range *r, struct err *e)
{
	if (!range_ok(r, e))
		return NULL;
	struct phys_map *m = calloc(1, sizeof(*m));
	if (!m) {
		err_set(e, "out of memory");
		return NULL;
	}
	m->r = *r;
	m->enabled = true;
	m->seq = p->seq++;
	m->next = p->maps;
	p->maps = m;
	changed(p);
	return m;
}

void phys_unmap(struct phys *p, struct phys_map *m)
{
	if (!m)
		return;
	struct phys_map **at = &p->maps;
	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	bool seen = m->enabled;
	free(m);
	if (seen)
		changed(p);
}

void phys_map_set(struct phys *p, struct phys_map *m, uint64_t pa, bool enable)
{
	if (pa + m->r.size < pa)	/* a BAR the guest put across the end */
		enable = false;
	if (m->enabled == enable && (m->r.pa == pa || !enable)) {
		m->r.pa = enable ? pa : m->r.pa;
		return;
	}
	m->enabled = enable;
	if (enable)
		m->r.pa = pa;
	changed(p);
}

void phys_map_redirect(struct phys *p, struct phys_map *m, const struct phys_range *r)
{
	struct err e;
	struct phys_range n = m->r;

	n.rram = r->rram;
	n.wram = r->wram;
	n.off = r->off;
	n.ops = r->ops;
	n.opaque = r->opaque;
	n.nowrite = r->nowrite;
	if (!range_ok(&n, &e) || memcmp(&n, &m->r, sizeof(n)) == 0)
		return;
	m->r = n;
	if (m->enabled)
		changed(p);
}

void phys_begin(struct phys *p)
{
	p->depth++;
}

void phys_end(struct phys *p)
{
	assert(p->depth > 0);
	if (--p->depth == 0 && p->stale)
		rebuild(p);
}

void phys_set_a20(struct phys *p, bool on)
{
	uint64_t mask = on ? ~0ull : ~(1ull << 20);
	if (atomic_exchange(&p->a20_mask, mask) != mask)
		flush_all(p);
}

bool phys_a20(const struct phys *p)
{
	return atomic_load(&p->a20_mask) == ~0ull;
}

void phys_add_cpu(struct phys *p, struct cpu *c)
{
	unsigned i = 0, n = p->ncpus;

	phys_hold(p);
	while (i < n && p->cpus[i] != c)
		i++;
	if (i == n) {
		assert(n < MAX_CPUS);
		p->cpus[n] = c;
		p->ncpus = n + 1;
	}
	phys_let(p);
}

void phys_del_cpu(struct phys *p, struct cpu *c)
{
	phys_hold(p);
	for (unsigned i = 0; i < p->ncpus; i++)
		if (p->cpus[i] == c) {
			p->cpus[i--] = p->cpus[p->ncpus - 1];
			p->ncpus--;
		}
	phys_let(p);
}

void phys_each(struct phys *p, void (*fn)(void *opaque, const struct phys_range *r), void *opaque)
{
	struct view *v = atomic_load(&p->view);
	for (unsigned i = 0; i < v->n; i++)
		fn(opaque, &v->s[i].r);
}

void **phys_common(struct phys *p)
{
	pthread_mutex_lock(&p->common_lock);
	return &p->common;
}

void phys_common_done(struct phys *p)
{
	pthread_mutex_unlock(&p->common_lock);
}

void phys_on_code_write(struct phys *p, void (*fn)(void *opaque, struct ram *r, uint64_t ram_off, uint64_t n),
			void *opaque)
{
	unsigned n = 0;

	phys_hold(p);
	for (unsigned i = 0; i < p->ncode; i++)
		if (opaque ? p->code[i].opaque != opaque : fn != NULL)
			p->code[n++] = p->code[i];
	if (fn) {
		assert(n < MAX_CPUS);
		p->code[n++] = (struct code_listener){ fn, opaque };
	}
	p->ncode = n;
	phys_let(p);
}

void phys_tell_code_write(struct phys *p, const void *self, struct ram *r, uint64_t ram_off, uint64_t n)
{
	for (unsigned i = 0; i < p->ncode; i++)
		if (p->code[i].opaque != self)
			p->code[i].fn(p->code[i].opaque, r, ram_off, n);
}

void phys_log_dirty(struct phys *p, struct ram *r, uint64_t off, uint64_t n, bool on)
{
	for (uint64_t o = off & ~(PAGE - 1); o < off + n && o < r->size; o += PAGE) {
		if (on)
			atomic_fetch_or(page_flags(r, o), PAGE_LOG);
		else
			atomic_fetch_and(page_flags(r, o), (uint8_t)~(PAGE_LOG | PAGE_DIRTY));
	}
	flush_all(p);
}

bool phys_test_clear_dirty(struct phys *p, struct ram *r, uint64_t off)
{
	uint8_t old = atomic_load(page_flags(r, off));
	if (!(old & PAGE_DIRTY))
		return false;
	atomic_fetch_and(page_flags(r, off), (uint8_t)~PAGE_DIRTY);
	flush_all(p);
	return true;
}

void phys_track(struct phys *p, struct ram *r, bool on)
{
	for (uint64_t o = 0; o < r->size; o += PAGE) {
		atomic_fetch_and(page_flags(r, o), (uint8_t)~(PAGE_TRACK | PAGE_CHANGED));
		if (on)
			atomic_fetch_or(page_flags(r, o), PAGE_TRACK);
	}
	flush_all(p);
}

uint64_t phys_take_changed(struct phys *p, struct ram *r, uint64_t *bits)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < r->size / PAGE; i++) {
		if (!(i & 63))
			bits[i >> 6] = 0;
		if (!(atomic_load_explicit(&r->page[i], memory_order_relaxed) & PAGE_CHANGED))
			continue;
		atomic_fetch_and(&r->page[i], (uint8_t)~PAGE_CHANGED);
		bits[i >> 6] |= BIT(i & 63);
		n++;
	}
	if (n)
		flush_all(p);
	return n;
}

void phys_settle_writes(struct phys *p)
{
	for (unsigned i = 0; i < p->ncpus; i++)
		mmu_drop_writes(p->cpus[i]);
}

/* ---- accesses ---- */

/* The largest naturally aligned piece of an access that the device takes. */
static int mmio_piece(const struct span *s, uint64_t pa, uint64_t n)
{
	int max = span_max_size(s), piece = 8;

	while (piece > max || (uint64_t)piece > n || ((s->dev_off + (pa - s->pa)) & (piece - 1)))
		piece >>= 1;
	return piece;
}

/* An access of a size that it takes to the device in s. */
static uint64_t dev_read(const struct span *s, uint64_t pa, int size)
{
	uint64_t off = s->dev_off + (pa - s->pa), v;

	if (s->r.ops->read_quick && s->r.ops->read_quick(s->r.opaque, off, size, &v))
		return v;
	return s->r.ops->read(s->r.opaque, off, size);
}

static void dev_write(const struct span *s, uint64_t pa, int size, uint64_t v)
{
	uint64_t off = s->dev_off + (pa - s->pa);

	if (!s->r.ops->write_quick || !s->r.ops->write_quick(s->r.opaque, off, size, v))
		s->r.ops->write(s->r.opaque, off, size, v);
}

/* Callbacks that this access may reach, or NULL. */
static const struct mmio_ops *reached(const struct span *s, bool dma)
{
	const struct mmio_ops *ops = s->r.ops;

	if (dma && ops && !ops->dma) {
		log_guest("a bus master at %#llx, where %s has registers", (unsigned long long)s->pa, s->r.name);
		return NULL;
	}
	return ops;
}

/* Read up to n bytes at pa into buf from one span; returns how many. */
static uint64_t read_piece(struct phys *p, uint64_t pa, uint8_t *buf, uint64_t n, bool dma)
{
	const struct span *s = phys_span(p, pa);

	if (!s) {
		memset(buf, 0xff, 1);
		return 1;
	}
	n = min_u64(n, s->end - pa);
	uint64_t at = pa - s->pa;
	if (s->r.rram) {
		memcpy(buf, s->r.rram->host + s->r.off + at, n);
		return n;
	}
	const struct mmio_ops *ops = reached(s, dma);
	if (!ops || !ops->read) {
		memset(buf, 0xff, n);
		return n;
	}
	int piece = mmio_piece(s, pa, n);
	st_n(buf, piece, dev_read(s, pa, piece));
	return piece;
}

void phys_ram_written(struct phys *p, struct ram *r, uint64_t off, uint64_t n)
{
	for (uint64_t o = off & ~(PAGE - 1); o < off + n; o += PAGE) {
		if (!mark_written(r, o))
			continue;
		uint64_t from = max_u64(o, off), len = min_u64(off + n, o + PAGE) - from;
		for (unsigned i = 0; i < p->ncode; i++)
			p->code[i].fn(p->code[i].opaque, r, from, len);
	}
}

void phys_host_written(struct phys *p, const void *host, uint64_t n)
{
	for (struct ram_list *l = p->rams; l; l = l->next) {
		uint64_t off = (uint64_t)((const uint8_t *)host - l->ram.host);

		if (off < l->ram.size)
			phys_ram_written(p, &l->ram, off, min_u64(n, l->ram.size - off));
	}
}

void phys_ram_discard(struct phys *p, struct ram *r, uint64_t off, uint64_t n)
{
	if (madvise(r->host + off, n, MADV_DONTNEED))
		memset(r->host + off, 0, n);
	phys_ram_written(p, r, off, n);
}

void phys_ram_write(struct phys *p, struct ram *r, uint64_t off, const void *buf, uint64_t n)
{
	memcpy(r->host + off, buf, n);
	phys_ram_written(p, r, off, n);
}

static uint64_t write_piece(struct phys *p, uint64_t pa, const uint8_t *buf, uint64_t n, bool dma)
{
	const struct span *s = phys_span(p, pa);

	if (!s)
		return 1;
	n = min_u64(n, s->end - pa);
	uint64_t at = pa - s->pa;
	if (s->r.nowrite)
		return n;
	if (s->r.wram) {
		uint64_t off = s->r.off + at;
		memcpy(s->r.wram->host + off, buf, n);
		phys_ram_written(p, s->r.wram, off, n);
		return n;
	}
	const struct mmio_ops *ops = reached(s, dma);
	if (!ops || !ops->write)
		return n;
	int piece = mmio_piece(s, pa, n);
	dev_write(s, pa, piece, ld_n(buf, piece));
	return piece;
}

/* Bytes up to where the A20 mask can change the next address. */
static uint64_t run_length(uint64_t pa, uint64_t n)
{
	return min_u64(n, (1u << 20) - (pa & ((1u << 20) - 1)));
}

static void read_buf(struct phys *p, uint64_t pa, uint8_t *b, uint64_t n, bool dma)
{
	for (uint64_t done; n; pa += done, b += done, n -= done)
		done = read_piece(p, phys_gate(p, pa), b, run_length(pa, n), dma);
}

static void write_buf(struct phys *p, uint64_t pa, const uint8_t *b, uint64_t n, bool dma)
{
	for (uint64_t done; n; pa += done, b += done, n -= done)
		done = write_piece(p, phys_gate(p, pa), b, run_length(pa, n), dma);
}

void phys_read_buf(struct phys *p, uint64_t pa, void *buf, uint64_t n) { read_buf(p, pa, buf, n, false); }
void phys_dma_read(struct phys *p, uint64_t pa, void *buf, uint64_t n) { read_buf(p, pa, buf, n, true); }

void phys_write_buf(struct phys *p, uint64_t pa, const void *buf, uint64_t n) { write_buf(p, pa, buf, n, false); }
void phys_dma_write(struct phys *p, uint64_t pa, const void *buf, uint64_t n) { write_buf(p, pa, buf, n, true); }

void phys_fill(struct phys *p, uint64_t pa, uint64_t pattern, uint64_t n)
{
	uint8_t buf[64];

	for (unsigned i = 0; i < sizeof(buf); i += 8)
		st64(buf + i, pattern);
	for (uint64_t done = 0; done < n; done += sizeof(buf))
		phys_write_buf(p, pa + done, buf, min_u64(n - done, sizeof(buf)));
}

/* From device to device an element is read when the one before it has been written. */
void phys_copy(struct phys *p, const struct phys_copy *x)
{
	uint64_t bytes = x->n * (unsigned)x->size;

	if (x->from)
		phys_write_buf(p, x->to_pa, x->from, bytes);
	else if (x->to)
		phys_read_buf(p, x->from_pa, x->to, bytes);
	else
		for (uint64_t i = 0; i < bytes; i += (unsigned)x->size)
			phys_write(p, x->to_pa + i, x->size, phys_read(p, x->from_pa + i, x->size));
}

/* The device that takes this access whole, or NULL. */
static const struct span *whole(struct phys *p, uint64_t pa, int size)
{
	const struct span *s = phys_span(p, pa);

	if (!s || !s->r.ops || s->end - pa < (unsigned)size || (s->dev_off + (pa - s->pa)) & (unsigned)(size - 1))
		return NULL;
	return size <= span_max_size(s) ? s : NULL;
}

uint64_t phys_read(struct phys *p, uint64_t pa, int size)
{
	uint64_t at = phys_gate(p, pa);
	const struct span *s = whole(p, at, size);
	uint8_t b[8];

	if (s && !s->r.rram && s->r.ops->read)
		return dev_read(s, at, size);
	phys_read_buf(p, pa, b, size);
	return ld_n(b, size);
}

void phys_write(struct phys *p, uint64_t pa, int size, uint64_t v)
{
	uint64_t at = phys_gate(p, pa);
	const struct span *s = whole(p, at, size);
	uint8_t b[8];

	if (s && !s->r.wram && !s->r.nowrite && s->r.ops->write) {
		dev_write(s, at, size, v & size_mask(size));
		return;
	}
	st_n(b, size, v);
	phys_write_buf(p, pa, b, size);
}

