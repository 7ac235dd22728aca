/*
 * How cpu/phys.c and cpu/phys_light.c keep the guest-physical map. Private to them.
 */
#ifndef CPU_PHYS_VIEW_H
#define CPU_PHYS_VIEW_H

#include <pthread.h>

#include "cpu/phys.h"

#define PAGE		4096ull
#define MAX_CPUS	256
#define NHINTS		16

struct phys_map {
	struct phys_map *next;
	struct phys_range r;
	bool enabled;
	unsigned seq;			/* later maps win among equal priorities */
};

/* A piece of the flattened space: [pa, end) answers as `r` says. */
struct span {
	uint64_t pa, end;
	struct phys_range r;		/* pa, size and off adjusted to the span */
	uint64_t dev_off;		/* offset for callbacks of the span's first byte */
};

struct view {
	struct view *next;		/* newest first */
	unsigned n;
	_Atomic uint32_t hint[NHINTS];	/* recent answers, by pa >> 16 */
	struct span s[];
};

struct phys {
	_Atomic(struct view *) view;
	_Atomic uint64_t a20_mask;
	struct view *views;		/* every view there is */
	unsigned nviews;
	struct phys_map *maps;
	unsigned seq;
	int depth;			/* phys_begin() nesting */
	bool stale;			/* maps changed since the view was built */
	struct ram_list {
		struct ram_list *next;
		struct ram ram;
		void *area;
		size_t area_size;
	} *rams, *dropped;		/* newest first */
	uint64_t next_id;
	struct cpu *cpus[MAX_CPUS];
	_Atomic unsigned ncpus;
	struct code_listener {
		void (*fn)(void *opaque, struct ram *r, uint64_t off, uint64_t n);
		void *opaque;
	} code[MAX_CPUS];
	_Atomic unsigned ncode;
	_Atomic bool holders_busy;	/* guards ram.holders and PAGE_CODE, and who is in cpus[] and code[] */
	pthread_mutex_t alone;		/* held by the vCPU that runs alone (cpu/alone.h) */
	pthread_mutex_t common_lock;	/* see phys_common() */
	void *common;
	_Atomic bool alone_wanted;
};

/* The span pa (behind the A20 gate) lies in, or NULL: nothing there. Light. */
const struct span *phys_span(struct phys *p, uint64_t pa);

/* The largest access that the device there takes. */
static inline int span_max_size(const struct span *s)
{
	return s->r.ops->max_size ? s->r.ops->max_size : 4;
}

/* Short: whoever waits for it spins. Light. */
static inline void phys_hold(struct phys *p)
{
	while (atomic_exchange_explicit(&p->holders_busy, true, memory_order_acquire))
		__builtin_ia32_pause();
}

static inline void phys_let(struct phys *p)
{
	atomic_store_explicit(&p->holders_busy, false, memory_order_release);
}

static inline uint64_t phys_gate(struct phys *p, uint64_t pa)
{
	return pa & atomic_load_explicit(&p->a20_mask, memory_order_relaxed);
}

static inline _Atomic uint8_t *page_flags(struct ram *r, uint64_t off)
{
	return &r->page[off / PAGE];
}

/*
 * Bytes of r were just written: keep the dirty bit; is there code? Whoever translates sets the
 * code bit, then reads the bytes; so here they are written, then the bit is read.
 */
static inline bool mark_written(struct ram *r, uint64_t off)
{
	_Atomic uint8_t *f = page_flags(r, off);

	atomic_thread_fence(memory_order_seq_cst);
	uint8_t v = atomic_load_explicit(f, memory_order_relaxed);

	if (v & PAGE_LOGS && (v & PAGE_WRITTEN) != PAGE_WRITTEN)
		atomic_fetch_or(f, PAGE_WRITTEN);
	return v & PAGE_CODE;
}

#endif

