/*
 * What C accesses for an instruction, for who wants to know all of its memory accesses
 * (plugins): loads and stores by linear address in cpu/mmu_access.c, cpu/access.h, and what works
 * with their pointers. Nobody sees page walks and accesses by physical address. Light.
 */
#ifndef CPU_SEEN_H
#define CPU_SEEN_H

#include "cpu/cpu.h"

#define SEEN_MAX 256

struct cpu_seen {
	unsigned n;
	unsigned kept;			/* the first so many have happened, whatever becomes of the instruction */
	void (*full)(struct cpu *c);	/* make room for another one. Light */
	struct seen {
		uint64_t va;
		uint16_t n;		/* bytes */
		uint8_t how;		/* MMU_READ or MMU_WRITE */
	} a[SEEN_MAX];
};

static inline void cpu_seen_add(struct cpu *c, uint64_t va, int n, int how)
{
	struct cpu_seen *s = c->seen;

	if (s->n == SEEN_MAX)
		s->full(c);
	s->a[s->n++] = (struct seen){ va, (uint16_t)n, (uint8_t)how };
}

static inline void cpu_see(struct cpu *c, uint64_t va, int n, int how)
{
	if (__builtin_expect(c->seen != NULL, 0))
		cpu_seen_add(c, va, n, how);
}

/* What was seen so far stays, even if the instruction faults: a repeated one has done an element. */
static inline void cpu_keep_seen(struct cpu *c)
{
	if (__builtin_expect(c->seen != NULL, 0))
		c->seen->kept = c->seen->n;
}

/* Nobody wants to know of each data access: no plugin, no debugger, no breakpoint of the guest. */
static inline bool cpu_unwatched(const struct cpu *c)
{
	return !c->seen && !c->dbg.n_watches && !(c->dr[7] & 0xff);
}

#endif
