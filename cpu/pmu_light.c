/*
 * Performance counters: AMD's core counters (four, or six with PerfCtrExtCore),
 * or Intel's architectural performance monitoring version 2, by vendor.
 *
 * Counters stand still in memory; what the accelerator has counted since, and the
 * time that has gone by, is added by pmu_sync() when somebody looks, when a
 * control register is written, and when privilege changes while cycles of one
 * privilege are counted.
 *
 * Exact: instructions and branches, of all code, by privilege; a repeated string
 * instruction is one. One that faults does not count, unless it is a jump
 * or return that faults by its target; software interrupts do not either.
 * Cycles are ticks of the time-stamp counter outside of HLT and MWAIT.
 *
 * A counter that interrupts has the accelerator ask again after so many instructions
 * as are missing (half of them, if two classes add to one counter; an eighth of
 * missing cycles). So instructions overflow at the end of the right straight run of code
 * and interrupt at the next poll behind it; cycles may overflow late.
 *
 * Not modelled: events other than instructions, cycles and branches (they count
 * nothing, as do threshold, inversion and edge detection); AMD's guest and host
 * filters; counters of northbridge and caches, IBS, PEBS, last-branch records,
 * freezing on an interrupt. Cycles between the last look and the writing of a snapshot are lost.
 * Source: AMD APM vol. 2 13.2; PPR for family 19h 2.1.13; Intel SDM vol. 3B 20.2.
 */
#include "cpu/pmu.h"

#include "cpu/cpuid.h"
#include "cpu/system.h"
#include "cpu/tsc.h"

/* PERF_CTL and IA32_PERFEVTSEL. */
#define CTL_USR		BIT(16)
#define CTL_OS		BIT(17)
#define CTL_EDGE	BIT(18)
#define CTL_INT		BIT(20)
#define CTL_EN		BIT(22)
#define CTL_INV		BIT(23)
#define CTL_CMASK	0xff000000ull
#define CTL_ALL		0xffdfffffull			/* Intel */
#define CTL_ALL_AMD	0x30fffd7ffffull

#define FIXED		PMU_NGP			/* index of the first fixed counter */
#define NFIXED		3
#define INTEL_NGP	4
#define INTEL_ALL	(0xfull | 7ull << 32)		/* GLOBAL_CTRL, and STATUS without its other bits */
#define FIXED_INT	8u				/* in a counter's four bits of FIXED_CTR_CTRL */
#define WIDTH		48
#define VALUE		((1ull << WIDTH) - 1)
#define FAR		(INT64_MAX / 2)			/* nobody waits */

enum { NOTHING, INSNS, BRANCHES, CYCLES };

bool pmu_is_architectural(const struct cpu *c)
{
	return cpuid_is_intel(c) && c->id.level >= 10;
}

/* ---- what a counter counts ---- */

static int amd_event(uint64_t ctl)
{
	switch ((ctl & 0xff) | (ctl >> 24 & 0xf00)) {
	case 0x76: return CYCLES;
	case 0xc0: return INSNS;
	case 0xc2: return BRANCHES;
	default: return NOTHING;
	}
}

static int intel_event(uint64_t ctl)
{
	switch (ctl & 0xffff) {
	case 0x003c: case 0x013c: return CYCLES;
	case 0x00c0: return INSNS;
	case 0x00c4: return BRANCHES;
	default: return NOTHING;
	}
}

static int event(const struct cpu *c, unsigned i)
{
	if (i >= FIXED)
		return i == FIXED ? INSNS : CYCLES;
	if (c->pmu.ctl[i] & (CTL_CMASK | CTL_INV | CTL_EDGE))
		return NOTHING;
	return cpuid_is_intel(c) ? intel_event(c->pmu.ctl[i]) : amd_event(c->pmu.ctl[i]);
}

static uint32_t fixed_bits(const struct cpu *c, unsigned i)
{
	return c->pmu.fixed_ctl >> 4 * (i - FIXED) & 15;
}

/* Classes that add to it, a bit each; 0: it is off. */
static uint32_t classes(const struct cpu *c, unsigned i)
{
	const struct pmu *p = &c->pmu;
	uint64_t global = i < FIXED ? p->global_ctl >> i : p->global_ctl >> (32 + i - FIXED);

	if (cpuid_is_intel(c) && !(global & 1))
		return 0;
	if (i >= FIXED)
		return fixed_bits(c, i) & 3;
	if (!(p->ctl[i] & CTL_EN))
		return 0;
	return (p->ctl[i] & CTL_OS ? 1 : 0) | (p->ctl[i] & CTL_USR ? 2 : 0);
}

static bool interrupts(const struct cpu *c, unsigned i)
{
	return i >= FIXED ? fixed_bits(c, i) & FIXED_INT : c->pmu.ctl[i] & CTL_INT;
}

/* ---- counting ---- */

/* Time that guests cannot move. */
static uint64_t ticks(struct cpu *c)
{
	return tsc_own(c) - c->tsc_own_offset;
}

static int class_now(const struct cpu *c)
{
	return cpu_cpl(c) != 0;
}

/* How far code of one class may run until the counter has to be looked at. */
static int64_t distance(uint64_t value, int ev, uint32_t cl)
{
	int64_t d = (int64_t)(VALUE - value);		/* so many more do not overflow it */

	if (ev == CYCLES)
		return d / 8 > 500 ? d / 8 : 500;
	return cl == 3 ? d / 2 : d;
}

static void nearer(struct pmu *p, uint32_t cl, int64_t d)
{
	for (int k = 0; k < 2; k++)
		if (cl >> k & 1 && d < p->budget[k])
			p->budget[k] = d;
}

/* From the control registers and counters: what the accelerator has to do. */
static void arm(struct cpu *c)
{
	struct pmu *p = &c->pmu;

	p->on = p->split = false;
	p->classes = 0;
	p->budget[0] = p->budget[1] = FAR;
	for (unsigned i = 0; i < PMU_NCTR; i++) {
		uint32_t cl = classes(c, i);
		int ev = event(c, i);

		if (!cl || ev == NOTHING)
			continue;
		p->on = true;
		p->split |= ev == CYCLES && cl != 3;
		if (ev != CYCLES || interrupts(c, i))
			p->classes |= (uint8_t)cl;
		if (interrupts(c, i))
			nearer(p, cl, distance(p->ctr[i], ev, cl));
	}
	p->left[0] = p->budget[0];
	p->left[1] = p->budget[1];
}

static void overflow(struct cpu *c, unsigned i)
{
	if (cpuid_is_intel(c))
		c->pmu.global_status |= i < FIXED ? BIT(i) : BIT(32 + i - FIXED);
	if (!interrupts(c, i))
		return;
	c->pmu.interrupt = true;
	atomic_fetch_or(&c->request, REQ_PMU);
}

static void count(struct cpu *c, unsigned i, uint64_t n)
{
	uint64_t v = c->pmu.ctr[i] + n;

	c->pmu.ctr[i] = v & VALUE;
	if (v >> WIDTH)
		overflow(c, i);
}

void pmu_sync(struct cpu *c)
{
	struct pmu *p = &c->pmu;
	uint64_t n[4][2] = { 0 }, now;

	if (!p->on)
		return;
	now = ticks(c);
	for (int k = 0; k < 2; k++) {
		n[INSNS][k] = (uint64_t)(p->budget[k] - p->left[k]);
		n[BRANCHES][k] = p->branches[k];
		p->branches[k] = 0;
	}
	n[CYCLES][class_now(c)] = now - p->since;
	p->since = now;
	for (unsigned i = 0; i < PMU_NCTR; i++) {
		uint32_t cl = classes(c, i);
		int ev = event(c, i);

		count(c, i, (cl & 1 ? n[ev][0] : 0) + (cl & 2 ? n[ev][1] : 0));
	}
	arm(c);
}

/* Behind pmu_sync() and a change of control registers or counters. */
static void changed(struct cpu *c)
{
	c->pmu.since = ticks(c);
	c->pmu.branches[0] = c->pmu.branches[1] = 0;
	arm(c);
	cpu_update_mode(c);
}

static uint64_t heavy_interrupt(uint64_t cpu, uint64_t b, uint64_t x, uint64_t y)
{
	struct cpu *c = (struct cpu *)cpu;

	(void)b, (void)x, (void)y;
	c->board.perf_interrupt(c->board.opaque, c);
	return 0;
}

void pmu_request(struct cpu *c)
{
	pmu_sync(c);
	cpu_clear_request(c, REQ_PMU);
	if (!c->pmu.interrupt)
		return;
	c->pmu.interrupt = false;
	if (c->board.perf_interrupt)
		cpu_call_out(c, heavy_interrupt, (uint64_t)c, 0, 0, 0);
}

/* ---- life ---- */

void pmu_reset(struct cpu *c)
{
	c->pmu = (struct pmu){ .global_ctl = pmu_is_architectural(c) ? (1u << INTEL_NGP) - 1 : 0 };
	arm(c);
	cpu_clear_request(c, REQ_PMU);
}

void pmu_loaded(struct cpu *c)
{
	struct pmu counted = c->pmu;

	arm(c);
	c->pmu.since = ticks(c);
	for (int k = 0; k < 2; k++) {
		c->pmu.left[k] -= counted.budget[k] - counted.left[k];
		c->pmu.branches[k] = counted.branches[k];
	}
}

void pmu_sleep(struct cpu *c)
{
	pmu_sync(c);
}

void pmu_wake(struct cpu *c)
{
	if (c->pmu.on)
		c->pmu.since = ticks(c);
}

/* ---- registers ---- */

/* General counters there are. */
static unsigned n_general(const struct cpu *c)
{
	if (cpuid_is_intel(c))
		return pmu_is_architectural(c) ? INTEL_NGP : 0;
	return cpu_has(c, CPUID_PERFCTR_CORE) ? PMU_NGP : 4;
}

bool pmu_read(struct cpu *c, uint32_t n, uint64_t *v)
{
	if (pmu_is_architectural(c) && n >> 30 == 1 && (n & 0x3fffffff) < NFIXED)
		n = FIXED + (n & 3);
	else if (n >= n_general(c))
		return false;
	pmu_sync(c);
	*v = c->pmu.ctr[n];
	return true;
}

/* Where an MSR is; `counter`: it holds one. NULL: it is no plain register. */
static uint64_t *where(struct cpu *c, uint32_t msr, bool *counter)
{
	struct pmu *p = &c->pmu;

	*counter = false;
	if (msr - 0xc0010000 < 4 || msr - 0x186 < INTEL_NGP)
		return &p->ctl[msr - (msr >> 31 ? 0xc0010000 : 0x186)];
	if (msr - 0xc0010200 < 2 * PMU_NGP && !(msr & 1))
		return &p->ctl[(msr - 0xc0010200) / 2];
	if (msr == 0x38d)
		return &p->fixed_ctl;
	if (msr == 0x38f)
		return &p->global_ctl;
	*counter = true;
	if (msr - 0xc0010004 < 4)
		return &p->ctr[msr - 0xc0010004];
	if (msr - 0xc1 < INTEL_NGP)
		return &p->ctr[msr - 0xc1];
	if (msr - 0xc0010200 < 2 * PMU_NGP)
		return &p->ctr[(msr - 0xc0010200) / 2];
	return msr - 0x309 < NFIXED ? &p->ctr[FIXED + msr - 0x309] : NULL;
}

bool pmu_msr_read(struct cpu *c, uint32_t msr, uint64_t *v)
{
	bool counter;
	const uint64_t *p = where(c, msr, &counter);

	pmu_sync(c);
	if (msr == 0x38e)
		*v = c->pmu.global_status;
	else
		*v = p ? *p : 0;		/* IA32_PERF_GLOBAL_OVF_CTRL */
	return true;
}

/* Bits that stay when v is written to that register; false: #GP. */
static bool accept(uint32_t msr, uint64_t *v)
{
	if (msr >> 31) {			/* AMD: reserved bits are dropped */
		bool control = msr < 0xc0010200 ? !(msr & 4) : !(msr & 1);

		*v &= control ? CTL_ALL_AMD : VALUE;
		return true;
	}
	if (msr < 0x186) {			/* only 32 bits can be written */
		*v = (uint64_t)(int32_t)*v & VALUE;
		return true;
	}
	if (msr < 0x200)
		return !(*v & ~CTL_ALL);
	if (msr < 0x38d)
		return !(*v & ~VALUE);
	return !(*v & ~(msr == 0x38d ? 0xbbbull : INTEL_ALL));
}

bool pmu_msr_write(struct cpu *c, uint32_t msr, uint64_t v)
{
	bool counter;
	uint64_t *p = where(c, msr, &counter);

	if (msr == 0x38e)
		return false;
	if (msr == 0x390) {
		if (v & ~(INTEL_ALL | 3ull << 62))
			return false;
		pmu_sync(c);
		c->pmu.global_status &= ~v;
		return true;
	}
	if (!p || !accept(msr, &v))
		return false;
	pmu_sync(c);
	*p = v;
	changed(c);
	return true;
}
