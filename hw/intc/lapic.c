/*
 * Local APIC: interrupts of one vCPU, in xAPIC and x2APIC mode.
 *
 *   I/O APIC, MSIs, other CPUs --message--> IRR --priority--> REQ_INTR --intack--> ISR
 *   8259 ------------ LINT0 (ExtINT) ----------------------/
 *
 * Registers are read and written through one table, whether by MMIO in the page
 * that the APIC base MSR names or by MSRs 800h-8FFh. An MMIO access belongs to the
 * vCPU on whose thread it happens (machine_current_cpu()).
 *
 * The request line of the processor is derived in update(): it is up while IRR
 * holds a vector above the processor priority or LINT0 brings an ExtINT. The
 * timer is worked out from guest time when its count is read.
 *
 * All APICs of a machine are under one lock (struct lapic_set), held for as long as it takes to
 * change some words; whoever has the machine lock, too, has taken that before. So what calls
 * out to other devices is done when it has been given back: the INTA cycle, the end of a
 * level-triggered interrupt (`ended`), mapping the registers elsewhere.
 *
 * LINT0 of the first processor is an open ExtINT after reset, as firmware leaves
 * it on real boards, so that the 8259 works before anybody programs the APIC.
 *
 * Not modelled: CMCI, focus
 * processor checking, suppressed EOI broadcasts, interrupt arbitration, the remote
 * read message, thermal interrupts (their LVT entry is storage).
 * Source: SDM vol. 3A chapter 11 "Advanced Programmable Interrupt Controller";
 * 11.12 for x2APIC.
 */
#include "hw/intc/lapic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/tsc.h"

enum {
	R_ID = 0x20, R_TPR = 0x80, R_EOI = 0xb0, R_LDR = 0xd0, R_DFR = 0xe0, R_SVR = 0xf0, R_ISR = 0x100,
	R_TMR = 0x180, R_IRR = 0x200, R_ESR = 0x280, R_ICR = 0x300, R_ICR2 = 0x310, R_LVT = 0x320,
	R_INITIAL = 0x380, R_CURRENT = 0x390, R_DIVIDE = 0x3e0, R_SELF_IPI = 0x3f0,

	VERSION = 0x14 | 5 << 16,
	SVR_ENABLE = 0x100,
	LVT_MASK = 0x10000, LVT_LEVEL = 0x8000, LVT_REMOTE_IRR = 0x4000,
	LVT_MODE_SHIFT = 17, ONE_SHOT = 0, PERIODIC = 1, TSC_DEADLINE = 2,
	ICR_LOGICAL = 0x800, ICR_PENDING = 0x1000, ICR_ASSERT = 0x4000, ICR_LEVEL = 0x8000,
	FIXED = 0, LOWEST = 1, SMI = 2, NMI = 4, INIT = 5, SIPI = 6, EXTINT = 7,
	ESR_SEND_ILLEGAL = 0x20, ESR_RECEIVE_ILLEGAL = 0x40, ESR_REGISTER = 0x80,

	MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800,
	MAX_CPUS = 256,
};

#define BASE_BSP	BIT(8)
#define BASE_X2APIC	BIT(10)
#define BASE_ENABLE	BIT(11)
#define BASE_DEFAULT	0xfee00000ull
#define MIN_PERIOD	(20 * NS_PER_US)	/* shorter periods would only stall the host */

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, N_LVT };

struct lapic;

/* A page with registers in it. */
struct window {
	struct lapic_set *set;
	uint64_t pa;
	struct mmio *mmio;
};

/* What the APICs of a machine share. */
struct lapic_set {
	pthread_mutex_t lock;
	struct lapic *all[MAX_CPUS];
	int n;
	int last_lowest;		/* lowest-priority delivery goes round */
	struct window window[4];
	int n_windows;
	void (*eoi)(void *opaque, uint8_t vector);
	void *eoi_opaque;
};

struct lapic {
	struct dev dev;
	bool x2apic;			/* property: may be in x2APIC mode, if CPUID has it */
	struct cpu *cpu;
	struct lapic_set *set;
	int index;			/* in set->all */
	int (*extint)(void *opaque);
	void *extint_opaque;

	uint64_t base;			/* IA32_APIC_BASE */
	uint32_t id, tpr, ldr, dfr, svr, esr, esr_pending, icr, icr2, divide, initial;
	uint32_t lvt[N_LVT];
	uint32_t isr[8], tmr[8], irr[8];
	uint8_t lint;			/* pin levels */
	uint64_t start;			/* guest ns at which the timer's count began */
	bool spent;			/* it reached zero in one-shot mode and waits for a new count */
	uint64_t tsc_deadline;
	struct timer timer;
	uint8_t ended;			/* level-triggered vector whose end is still to be told; 0: none */
};

static void lock(const struct lapic *l) { pthread_mutex_lock(&l->set->lock); }
static void unlock(const struct lapic *l) { pthread_mutex_unlock(&l->set->lock); }

/* Give the lock back, and tell the I/O APIC what has ended. */
static void unlock_and_tell(struct lapic *l)
{
	struct lapic_set *s = l->set;
	uint8_t vector = l->ended;
	bool held;

	l->ended = 0;
	unlock(l);
	if (!vector || !s->eoi)
		return;
	held = machine_hold(l->dev.m);
	s->eoi(s->eoi_opaque, vector);
	machine_let(l->dev.m, held);
}

/* ---- bit vectors of 256 ---- */

static void set_vec(uint32_t *v, int n) { v[n >> 5] |= 1u << (n & 31); }
static void clear_vec(uint32_t *v, int n) { v[n >> 5] &= ~(1u << (n & 31)); }
static bool test_vec(const uint32_t *v, int n) { return v[n >> 5] >> (n & 31) & 1; }

static int highest(const uint32_t *v)
{
	for (int i = 7; i >= 0; i--)
		if (v[i])
			return 32 * i + 31 - __builtin_clz(v[i]);
	return -1;
}

/* ---- modes ---- */

static bool exists(const struct lapic *l) { return !l->cpu || !l->cpu->absent; }
static bool hw_enabled(const struct lapic *l) { return l->base & BASE_ENABLE; }
static bool in_x2apic(const struct lapic *l) { return l->base & BASE_X2APIC; }
static bool sw_enabled(const struct lapic *l) { return hw_enabled(l) && l->svr & SVR_ENABLE; }
static unsigned mode_of(uint32_t v) { return v >> 8 & 7; }

static uint64_t now(const struct lapic *l)
{
	return clock_now(&l->dev.m->clock);
}

/* ---- priority and the request line ---- */

static unsigned ppr(const struct lapic *l)
{
	int serving = highest(l->isr);
	unsigned isrv = serving < 0 ? 0 : (unsigned)serving & 0xf0;

	return (l->tpr & 0xf0) >= isrv ? l->tpr : isrv;
}

/* The vector that may interrupt now, or -1. */
static int deliverable(const struct lapic *l)
{
	int v = highest(l->irr);

	return v >= 0 && sw_enabled(l) && (unsigned)(v & 0xf0) > (ppr(l) & 0xf0) ? v : -1;
}

/* Does LINT0 bring an interrupt of the 8259? */
static bool extint_pending(const struct lapic *l)
{
	uint32_t lint0 = l->lvt[LVT_LINT0];

	if (!l->extint || !(l->lint & 1))
		return false;
	return !hw_enabled(l) || (!(lint0 & LVT_MASK) && mode_of(lint0) == EXTINT);
}

static void lapic_update(void *dev)
{
	struct lapic *l = dev;
	struct cpu *c = l->cpu;
	bool want, has;

	if (!c)
		return;
	want = extint_pending(l) || deliverable(l) >= 0;
	has = atomic_load(&c->request) & REQ_INTR;
	if (want && !has)
		cpu_request(c, REQ_INTR);
	else if (!want && has)
		cpu_clear_request(c, REQ_INTR);
}

/* The 8259 answers for the APIC. Its output cannot change under the machine lock. */
static int intack_8259(struct lapic *l)
{
	bool held = machine_hold(l->dev.m), pending;
	int v = -1;

	lock(l);
	pending = extint_pending(l);
	unlock(l);
	if (pending)
		v = l->extint(l->extint_opaque);
	machine_let(l->dev.m, held);
	return v;
}

static int intack(struct lapic *l)
{
	int v = deliverable(l);

	if (v >= 0) {
		clear_vec(l->irr, v);
		set_vec(l->isr, v);
	}
	lapic_update(l);
	return v;
}

int lapic_intack(struct dev *d)
{
	struct lapic *l = (struct lapic *)d;
	bool legacy;
	int v;

	lock(l);
	legacy = extint_pending(l);
	v = legacy ? -1 : intack(l);
	unlock(l);
	return legacy ? intack_8259(l) : v;
}

/* ---- receiving ---- */

static void accept(struct lapic *l, unsigned vector, bool level);

static void error(struct lapic *l, uint32_t bit)
{
	uint32_t e = l->lvt[LVT_ERROR];

	l->esr_pending |= bit;
	if (!(e & LVT_MASK) && (e & 0xff) >= 16)
		accept(l, e & 0xff, false);
}

/* A vector arrives in IRR. */
static void accept(struct lapic *l, unsigned vector, bool level)
{
	if (!sw_enabled(l))
		return;
	if (vector < 16) {
		error(l, ESR_RECEIVE_ILLEGAL);
		return;
	}
	set_vec(l->irr, (int)vector);
	if (level)
		set_vec(l->tmr, (int)vector);
	else
		clear_vec(l->tmr, (int)vector);
	lapic_update(l);
}

static void reset_registers(struct lapic *l);

static void signal_cpu(struct lapic *l, uint32_t bits)
{
	if (l->cpu)
		cpu_request(l->cpu, bits);
}

static void receive(struct lapic *l, unsigned mode, unsigned vector, bool level)
{
	switch (mode) {
	case FIXED: case LOWEST:
		accept(l, vector, level);
		break;
	case SMI:
		signal_cpu(l, REQ_SMI);
		break;
	case NMI:
		if (l->cpu)
			cpu_nmi(l->cpu);
		break;
	case INIT:
		reset_registers(l);
		if (l->cpu)			/* a start-up before the INIT does not count */
			cpu_clear_request(l->cpu, REQ_SIPI);
		signal_cpu(l, REQ_INIT);
		break;
	case SIPI:
		if (l->cpu)
			l->cpu->sipi_vector = (uint8_t)vector;
		signal_cpu(l, REQ_SIPI);
		break;
	}
}

/* ---- addressing ---- */

static bool is_addressed(const struct lapic *l, uint32_t dest, bool logical)
{
	if (!hw_enabled(l) || !exists(l))
		return false;
	if (in_x2apic(l)) {
		if (dest == 0xffffffffu || (!logical && dest == 0xff))
			return true;
		return logical ? dest >> 16 == l->ldr >> 16 && dest & l->ldr & 0xffff : dest == l->id;
	}
	if (!logical)
		return dest == l->id || (dest & 0xff) == 0xff;
	if (l->dfr >> 28 == 0xf)				/* flat */
		return (dest & 0xff) & l->ldr >> 24;
	return (dest >> 4 & 0xf) == l->ldr >> 28 && (dest & l->ldr >> 24 & 0xf);	/* cluster */
}

/* Least busy of those addressed, beginning behind the last one chosen. */
static struct lapic *choose(struct lapic_set *set, uint32_t dest, bool logical)
{
	struct lapic *best = NULL;

	for (int i = 1; i <= set->n; i++) {
		struct lapic *l = set->all[(set->last_lowest + i) % set->n];

		if (is_addressed(l, dest, logical) && sw_enabled(l) && (!best || ppr(l) < ppr(best)))
			best = l;
	}
	if (best)
		set->last_lowest = best->index;
	return best;
}

static void send(struct lapic_set *set, uint32_t dest, bool logical, unsigned mode, unsigned vector, bool level)
{
	if (mode == LOWEST) {
		struct lapic *l = choose(set, dest, logical);

		if (l)
			receive(l, FIXED, vector, level);
		return;
	}
	for (int i = 0; i < set->n; i++)
		if (is_addressed(set->all[i], dest, logical))
			receive(set->all[i], mode, vector, level);
}

/* SDM vol. 3A, 11.11: destination in the address, the rest in the data. */
void lapic_message(void *opaque, uint64_t addr, uint32_t data)
{
	struct lapic *l = opaque;
	unsigned mode = mode_of(data);
	uint32_t dest = addr >> 12 & 0xff;

	if (addr >> 20 != 0xfee) {
		log_guest("lapic: message to %llx", (unsigned long long)addr);
		return;
	}
	/* Redirection hint: any one of a logical destination. */
	if (mode == FIXED && addr & 8 && addr & 4)
		mode = LOWEST;
	lock(l);
	send(l->set, dest, addr & 4, mode, data & 0xff, data >> 15 & 1);
	unlock(l);
}

/* ---- interprocessor interrupts ---- */

static void to_all(struct lapic *l, bool self, unsigned mode, unsigned vector)
{
	for (int i = 0; i < l->set->n; i++)
		if ((self || l->set->all[i] != l) && exists(l->set->all[i]))
			receive(l->set->all[i], mode, vector, false);
}

void lapic_command(struct dev *d, uint32_t icr)
{
	struct lapic *l = (struct lapic *)d;

	lock(l);
	receive(l, mode_of(icr), icr & 0xff, false);
	unlock(l);
}

static void send_ipi(struct lapic *l, uint32_t icr, uint32_t dest)
{
	unsigned mode = mode_of(icr), vector = icr & 0xff;

	if (mode == INIT && !(icr & ICR_ASSERT))	/* INIT level de-assert: nothing to do */
		return;
	if ((mode == FIXED || mode == LOWEST) && vector < 16) {
		error(l, ESR_SEND_ILLEGAL);
		return;
	}
	switch (icr >> 18 & 3) {
	case 0:
		send(l->set, dest, icr & ICR_LOGICAL, mode, vector, false);
		break;
	case 1:
		receive(l, mode == LOWEST ? FIXED : mode, vector, false);
		break;
	default:
		to_all(l, (icr >> 18 & 3) == 2, mode == LOWEST ? FIXED : mode, vector);
	}
}

static void icr_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	(void)old;
	l->icr = v & 0xccfff & ~ICR_PENDING;
	send_ipi(l, l->icr, in_x2apic(l) ? l->icr2 : l->icr2 >> 24);
}

/* ---- end of interrupt ---- */

static void eoi_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;
	int n = highest(l->isr);

	(void)v, (void)old;
	if (n < 0)
		return;
	clear_vec(l->isr, n);
	if (!test_vec(l->tmr, n))
		return;
	if (l->lvt[LVT_LINT0] & LVT_REMOTE_IRR && (int)(l->lvt[LVT_LINT0] & 0xff) == n)
		l->lvt[LVT_LINT0] &= ~LVT_REMOTE_IRR;
	l->ended = (uint8_t)n;
}

/* ---- timer ---- */

static unsigned timer_mode(const struct lapic *l)
{
	return l->lvt[LVT_TIMER] >> LVT_MODE_SHIFT & 3;
}

static unsigned divide_shift(const struct lapic *l)
{
	return (((l->divide & 3) | (l->divide >> 1 & 4)) + 1) & 7;
}

/* Nanoseconds of one count. */
static uint64_t count_ns(const struct lapic *l)
{
	return (uint64_t)(NS_PER_SEC / LAPIC_HZ) << divide_shift(l);
}

static uint64_t period(const struct lapic *l)
{
	return l->initial * count_ns(l);
}

/* Nanoseconds until the TSC reaches the deadline. */
static uint64_t until_deadline(const struct lapic *l)
{
	int64_t left;

	if (!l->cpu || !l->cpu->tsc_khz)
		return 0;
	left = (int64_t)(l->tsc_deadline - tsc_own(l->cpu));
	if (left <= 0)
		return 0;
	return muldiv64((uint64_t)left, 1000000, l->cpu->tsc_khz) + 1;
}

/* Arm the timer for the next interrupt, if one can come. */
static void arm(struct lapic *l)
{
	uint64_t t = TIME_NEVER, p = period(l);

	if (l->lvt[LVT_TIMER] & LVT_MASK || l->spent)
		goto out;
	switch (timer_mode(l)) {
	case ONE_SHOT:
		if (p && now(l) < l->start + p)
			t = l->start + p;
		break;
	case PERIODIC:
		if (p)
			t = l->start + ((now(l) - l->start) / p + 1) * p;
		if (p && p < MIN_PERIOD)
			t = max_u64(t, now(l) + MIN_PERIOD);
		break;
	case TSC_DEADLINE:
		if (l->tsc_deadline)
			t = now(l) + until_deadline(l);
	}
out:
	timer_mod(&l->timer, t);
}

static void timer_due(struct lapic *l)
{
	if (timer_mode(l) == TSC_DEADLINE) {
		if (!l->tsc_deadline)
			return;
		if (until_deadline(l)) {	/* the two clocks differ by a little */
			arm(l);
			return;
		}
		l->tsc_deadline = 0;
	} else if (timer_mode(l) == PERIODIC) {
		arm(l);
	}
	if (!(l->lvt[LVT_TIMER] & LVT_MASK))
		accept(l, l->lvt[LVT_TIMER] & 0xff, false);
}

/* The processor may have set or stopped its timer since it was due. */
static void on_timer(void *opaque)
{
	struct lapic *l = opaque;

	lock(l);
	if (!timer_pending(&l->timer) && (l->initial || timer_mode(l) == TSC_DEADLINE))
		timer_due(l);
	unlock(l);
}

static uint32_t current_read(void *dev)
{
	struct lapic *l = dev;
	uint64_t gone = (now(l) - l->start) / count_ns(l);

	if (!l->initial || l->spent || timer_mode(l) == TSC_DEADLINE)
		return 0;
	if (timer_mode(l) == PERIODIC)
		return l->initial - (uint32_t)(gone % l->initial);
	return gone >= l->initial ? 0 : l->initial - (uint32_t)gone;
}

static void initial_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	(void)v, (void)old;
	if (timer_mode(l) == TSC_DEADLINE)
		return;
	l->start = now(l);
	l->spent = false;
	arm(l);
}

static void divide_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	/* The count goes on from where it is, at the new rate. */
	if ((v ^ old) & 0xb) {
		uint32_t new_divide = l->divide;
		uint64_t gone;

		l->divide = old;
		gone = l->initial ? l->initial - current_read(l) : 0;
		l->divide = new_divide;
		l->start = now(l) - gone * count_ns(l);
		arm(l);
	}
}

/* ---- other registers ---- */

static void lvt_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	(void)v, (void)old;
	if (sw_enabled(l))
		return;
	for (int i = 0; i < N_LVT; i++)
		l->lvt[i] |= LVT_MASK;
}

/* Between one-shot and periodic the count goes on from where it is. */
static void keep_count(struct lapic *l, bool was_periodic)
{
	uint64_t gone = now(l) - l->start;

	if (was_periodic)
		l->start += gone / period(l) * period(l);
	else if (gone >= period(l))
		l->spent = true;
}

static void lvt_timer_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	lvt_write(dev, v, old);
	if ((v ^ old) >> LVT_MODE_SHIFT & 2) {		/* to or from TSC deadline: disarmed */
		l->tsc_deadline = 0;
		l->initial = 0;
	} else if ((v ^ old) >> LVT_MODE_SHIFT & 1 && l->initial) {
		keep_count(l, old >> LVT_MODE_SHIFT & 1);
	}
	arm(l);
}

static void svr_write(void *dev, uint32_t v, uint32_t old)
{
	if (!(v & SVR_ENABLE)) {
		lvt_write(dev, v, old);
		arm(dev);
	}
}

static void esr_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	(void)v, (void)old;
	l->esr = l->esr_pending;
	l->esr_pending = 0;
}

static void self_ipi_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	receive(dev, FIXED, v & 0xff, false);
}

static uint32_t id_read(void *dev)
{
	struct lapic *l = dev;

	return in_x2apic(l) ? l->id : l->id << 24;
}

static void id_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	((struct lapic *)dev)->id = v >> 24;
}

static uint32_t version_read(void *dev)
{
	(void)dev;
	return VERSION;
}

static uint32_t ppr_read(void *dev)
{
	return ppr(dev);
}

static uint32_t zero_read(void *dev)
{
	(void)dev;
	return 0;
}

/* ---- pins ---- */

static void lint_changed(struct lapic *l, int n, int level)
{
	uint32_t *e = &l->lvt[LVT_LINT0 + n];
	bool rises = level && !(l->lint >> n & 1);

	if ((l->lint >> n & 1) == (level != 0))
		return;
	l->lint = (uint8_t)((l->lint & ~(1u << n)) | (level ? 1u << n : 0));
	if (rises && !(*e & LVT_MASK) && hw_enabled(l)) {
		if (mode_of(*e) == NMI) {
			receive(l, NMI, 0, false);
		} else if (mode_of(*e) == FIXED && !(*e & LVT_REMOTE_IRR)) {
			if (*e & LVT_LEVEL)
				*e |= LVT_REMOTE_IRR;
			accept(l, *e & 0xff, *e & LVT_LEVEL);
		}
	}
	lapic_update(l);
}

static void lint_set(void *opaque, int n, int level)
{
	struct lapic *l = opaque;

	lock(l);
	lint_changed(l, n, level);
	unlock(l);
}

/* Intel's entries mask themselves (SDM vol. 3A, 11.5.1). */
static void perf_due(struct lapic *l)
{
	uint32_t *e = &l->lvt[LVT_PERF];

	if (*e & LVT_MASK || !hw_enabled(l))
		return;
	if (mode_of(*e) == FIXED || mode_of(*e) == NMI || mode_of(*e) == SMI)
		receive(l, mode_of(*e), *e & 0xff, false);
	if (cpuid_is_intel(l->cpu))
		*e |= LVT_MASK;
	lapic_update(l);
}

void lapic_perf(struct dev *d)
{
	struct lapic *l = (struct lapic *)d;

	lock(l);
	perf_due(l);
	unlock(l);
}

/* ---- MMIO ---- */

static struct lapic *accessing(const struct window *w)
{
	struct cpu *c = machine_current_cpu(w->set->all[0]->dev.m);
	struct lapic *l = c && c->index < w->set->n ? w->set->all[c->index] : NULL;

	/* Only this processor changes its base, or one that stops it first. */
	if (!l || !hw_enabled(l) || in_x2apic(l) || (l->base & ~0xfffull) != w->pa)
		return NULL;
	return l;
}

static uint64_t window_read(void *opaque, uint64_t off, int size)
{
	struct lapic *l = accessing(opaque);
	uint64_t v;

	if (!l)
		return size_mask(size);
	if (off & 0xc)				/* between registers */
		return 0;
	lock(l);
	v = dev_reg_read(&l->dev, (unsigned)off, size);
	unlock(l);
	return v;
}

static void window_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct lapic *l = accessing(opaque);

	if (!l || off & 0xf || off == R_SELF_IPI)
		return;
	lock(l);
	dev_reg_write(&l->dev, (unsigned)off, size, (uint32_t)v);
	unlock_and_tell(l);
}

static const struct mmio_ops window_ops = {
	.read = window_read, .write = window_write, .max_size = 4, .alone = true, .own_lock = true,
};

/* Registers stand in the page at pa from now on, for whoever has his base there. */
static bool open_window(struct lapic *l, uint64_t pa, struct err *e)
{
	struct lapic_set *s = l->set;
	struct window *w;

	for (int i = 0; i < s->n_windows; i++)
		if (s->window[i].pa == pa)
			return true;
	if (s->n_windows == ARRAY_LEN(s->window))
		return err_set(e, "too many places for local APICs");
	w = &s->window[s->n_windows];
	*w = (struct window){ .set = s, .pa = pa };
	w->mmio = mmio_map(l->dev.m, pa, 0x1000, 10, &window_ops, w, "lapic", e);
	if (!w->mmio)
		return false;
	s->n_windows++;
	return true;
}

/* ---- MSRs ---- */

/* The id before software changed it. */
static uint32_t first_id(const struct lapic *l)
{
	return l->cpu ? l->cpu->apic_id : (uint32_t)l->index;
}

static uint32_t x2apic_ldr(const struct lapic *l)
{
	return l->id >> 4 << 16 | 1u << (l->id & 15);
}

static bool has_x2apic(const struct lapic *l)
{
	return l->x2apic && l->cpu && cpu_has(l->cpu, CPUID_X2APIC);
}

static bool base_write(struct lapic *l, uint64_t v)
{
	uint64_t old = l->base, limit = BIT(l->cpu && l->cpu->phys_bits ? l->cpu->phys_bits : 36);

	if (v >= limit || v & 0x2ff || (v & BASE_X2APIC && !has_x2apic(l)))
		return false;
	if (v & BASE_X2APIC && !(v & BASE_ENABLE))
		return false;
	if (old & BASE_X2APIC && v & BASE_ENABLE && !(v & BASE_X2APIC))
		return false;			/* x2APIC ends only by disabling */
	if (v & BASE_X2APIC && !(old & BASE_ENABLE))
		return false;			/* disabled to x2APIC in one step */
	l->base = v | (old & BASE_BSP);
	if (!(v & BASE_ENABLE) || v & ~old & BASE_X2APIC)
		l->id = first_id(l);
	if (v & ~old & BASE_X2APIC)
		l->ldr = x2apic_ldr(l);
	if (!(v & BASE_ENABLE))
		reset_registers(l);
	lapic_update(l);
	return true;
}

/* The registers' page is mapped after the base is set: nobody else asks at that address. */
static bool move(struct lapic *l, uint64_t v)
{
	struct err e;
	bool ok, held;

	lock(l);
	ok = base_write(l, v);
	unlock(l);
	if (!ok || !(v & BASE_ENABLE))
		return ok;
	held = machine_hold(l->dev.m);
	if (!open_window(l, v & ~0xfffull, &e))
		log_guest("lapic: %s", e.msg);
	machine_let(l->dev.m, held);
	return true;
}

/* Registers of x2APIC mode, bit per offset / 16: what reads and writes without #GP. */
static bool x2apic_has(unsigned off, bool write)
{
	switch (off) {
	case R_TPR: case R_SVR: case R_ESR: case R_ICR: case R_INITIAL: case R_DIVIDE:
	case R_LVT: case R_LVT + 0x10: case R_LVT + 0x20: case R_LVT + 0x30: case R_LVT + 0x40: case R_LVT + 0x50:
		return true;
	case R_EOI: case R_SELF_IPI:
		return write;
	case R_ID: case 0x30: case 0xa0: case R_LDR: case R_CURRENT:
		return !write;
	default:
		return !write && off >= R_ISR && off < R_ESR;
	}
}

static bool x2apic_read(struct lapic *l, unsigned off, uint64_t *v)
{
	if (!in_x2apic(l) || !x2apic_has(off, false))
		return false;
	*v = dev_reg_read(&l->dev, off, 4);
	if (off == R_ICR)
		*v |= (uint64_t)l->icr2 << 32;
	return true;
}

static bool x2apic_write(struct lapic *l, unsigned off, uint64_t v)
{
	if (!in_x2apic(l) || !x2apic_has(off, true))
		return false;
	if ((off != R_ICR && v >> 32) || ((off == R_EOI || off == R_ESR) && v))
		return false;
	if ((off == R_TPR || off == R_SELF_IPI) && v >> 8)
		return false;
	if (off == R_ICR)
		l->icr2 = (uint32_t)(v >> 32);
	dev_reg_write(&l->dev, off, 4, (uint32_t)v);
	return true;
}

static bool msr_read(struct lapic *l, uint32_t msr, uint64_t *v)
{
	switch (msr) {
	case MSR_APIC_BASE:
		*v = l->base;
		return true;
	case MSR_TSC_DEADLINE:
		*v = l->tsc_deadline;
		return true;
	default:
		return msr - MSR_X2APIC < 0x100 && x2apic_read(l, (msr - MSR_X2APIC) << 4, v);
	}
}

/* Tracing wants the machine lock. */
static bool enter(struct lapic *l)
{
	bool held = !trace_on(l->dev.m) || machine_hold(l->dev.m);

	lock(l);
	return held;
}

static void leave(struct lapic *l, bool held)
{
	unlock_and_tell(l);
	machine_let(l->dev.m, held);
}

bool lapic_msr_read(struct dev *d, uint32_t msr, uint64_t *v)
{
	struct lapic *l = (struct lapic *)d;
	bool held = enter(l), ok = msr_read(l, msr, v);

	leave(l, held);
	return ok;
}

static bool msr_write(struct lapic *l, uint32_t msr, uint64_t v)
{
	if (msr != MSR_TSC_DEADLINE)
		return msr - MSR_X2APIC < 0x100 && x2apic_write(l, (msr - MSR_X2APIC) << 4, v);
	if (timer_mode(l) == TSC_DEADLINE) {
		l->tsc_deadline = v;
		if (v && !until_deadline(l))
			timer_due(l);
		arm(l);
	}
	return true;
}

bool lapic_msr_write(struct dev *d, uint32_t msr, uint64_t v)
{
	struct lapic *l = (struct lapic *)d;
	bool held, ok;

	if (msr == MSR_APIC_BASE)
		return move(l, v);
	held = enter(l);
	ok = msr_write(l, msr, v);
	leave(l, held);
	return ok;
}

uint64_t lapic_get_cr8(struct dev *d)
{
	struct lapic *l = (struct lapic *)d;
	uint64_t v;

	lock(l);
	v = l->tpr >> 4;
	unlock(l);
	return v;
}

void lapic_set_cr8(struct dev *d, uint64_t v)
{
	struct lapic *l = (struct lapic *)d;

	lock(l);
	l->tpr = (uint32_t)(v & 0xf) << 4;
	lapic_update(l);
	unlock(l);
}

/* ---- wiring ---- */

void lapic_connect_cpu(struct dev *d, struct cpu *c)
{
	struct lapic *l = (struct lapic *)d;

	l->cpu = c;
	l->id = c->apic_id;
	l->base = (l->base & ~BASE_BSP) | (c->is_bsp ? BASE_BSP : 0);
	lapic_update(l);
}

void lapic_connect_extint(struct dev *d, int (*ack)(void *opaque), void *opaque)
{
	struct lapic *l = (struct lapic *)d;

	l->extint = ack;
	l->extint_opaque = opaque;
}

void lapic_connect_eoi(struct dev *d, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
	struct lapic_set *s = ((struct lapic *)d)->set;

	s->eoi = eoi;
	s->eoi_opaque = opaque;
}

struct irq lapic_lint(struct dev *d, int n)
{
	return irq_make(lint_set, d, n);
}

/* ---- the device ---- */

static bool lapic_init(void *dev, struct err *e)
{
	struct lapic *l = dev;
	struct lapic *first = (struct lapic *)dev_find_type(l->dev.m, &lapic_type);

	timer_init(&l->timer, &l->dev.m->clock, on_timer, l);
	l->set = first ? first->set : calloc(1, sizeof(*l->set));
	if (!l->set)
		return err_set(e, "no memory");
	if (!first)
		pthread_mutex_init(&l->set->lock, NULL);
	if (l->set->n == MAX_CPUS)
		return err_set(e, "too many processors");
	l->index = l->set->n;
	l->set->all[l->set->n++] = l;
	l->id = (uint32_t)l->index;
	return open_window(l, BASE_DEFAULT, e);
}

/* Devices go in reverse order, so the first one takes the common part with it. */
static void lapic_fini(void *dev)
{
	struct lapic *l = dev;

	timer_del(&l->timer);
	if (!l->set)
		return;
	if (l->set->n > l->index && l->set->all[l->index] == l)
		l->set->n = l->index;
	if (l->index)
		return;
	for (int i = 0; i < l->set->n_windows; i++)
		mmio_unmap(l->dev.m, l->set->window[i].mmio);
	pthread_mutex_destroy(&l->set->lock);
	free(l->set);
}

/* Everything but the APIC base and the pins; INIT does the same (SDM vol. 3A, 11.4.7). */
static void reset_registers(struct lapic *l)
{
	l->tpr = l->ldr = l->esr = l->esr_pending = l->icr = l->icr2 = l->divide = l->initial = 0;
	l->dfr = 0xffffffffu;
	l->svr = 0xff;
	for (int i = 0; i < N_LVT; i++)
		l->lvt[i] = LVT_MASK;
	if (l->base & BASE_BSP)
		l->lvt[LVT_LINT0] = EXTINT << 8;
	memset(l->isr, 0, sizeof(l->isr));
	memset(l->tmr, 0, sizeof(l->tmr));
	memset(l->irr, 0, sizeof(l->irr));
	l->tsc_deadline = 0;
	l->start = now(l);
	l->spent = false;
	if (in_x2apic(l))
		l->ldr = x2apic_ldr(l);
	timer_del(&l->timer);
	lapic_update(l);
}

static void lapic_reset(void *dev)
{
	struct lapic *l = dev;

	lock(l);
	l->base = BASE_DEFAULT | BASE_ENABLE | (l->index == 0 ? BASE_BSP : 0);
	l->id = first_id(l);
	reset_registers(l);
	unlock(l);
}

static bool lapic_loaded(void *dev, struct err *e)
{
	struct lapic *l = dev;

	if (!open_window(l, l->base & ~0xfffull, e))
		return false;
	lock(l);
	arm(l);
	unlock(l);
	return true;
}

#define F(f) offsetof(struct lapic, f)
#define BITS(at, f, i)	{ at + 16 * i, REG_ANY, #f #i, F(f[i]), 0, 0, 0, NULL, NULL, 4 }
#define BITS8(at, f)	BITS(at, f, 0), BITS(at, f, 1), BITS(at, f, 2), BITS(at, f, 3), \
			BITS(at, f, 4), BITS(at, f, 5), BITS(at, f, 6), BITS(at, f, 7)
#define ANY REG_ANY
static const struct reg lapic_regs[] = {
	/*off    bank name          stored         reset       write       clears read          write       size */
	{ 0x0b0, ANY, "eoi",        REG_NONE,      0,          0,          0, zero_read,    eoi_write,       4 },
	{ 0x080, ANY, "tpr",        F(tpr),        0,          0xff,       0, NULL,         NULL,            4 },
	{ 0x300, ANY, "icr",        F(icr),        0,          0,          0, NULL,         icr_write,       4 },
	{ 0x310, ANY, "icr2",       F(icr2),       0,          0xff000000, 0, NULL,         NULL,            4 },
	{ 0x380, ANY, "initial",    F(initial),    0,          0xffffffff, 0, NULL,         initial_write,   4 },
	{ 0x390, ANY, "current",    REG_NONE,      0,          0,          0, current_read, NULL,            4 },
	{ 0x020, ANY, "id",         REG_NONE,      0,          0,          0, id_read,      id_write,        4 },
	{ 0x030, ANY, "version",    REG_NONE,      0,          0,          0, version_read, NULL,            4 },
	{ 0x090, ANY, "apr",        REG_NONE,      0,          0,          0, ppr_read,     NULL,            4 },
	{ 0x0a0, ANY, "ppr",        REG_NONE,      0,          0,          0, ppr_read,     NULL,            4 },
	{ 0x0d0, ANY, "ldr",        F(ldr),        0,          0xff000000, 0, NULL,         NULL,            4 },
	{ 0x0e0, ANY, "dfr",        F(dfr),        0xffffffff, 0xf0000000, 0, NULL,         NULL,            4 },
	{ 0x0f0, ANY, "svr",        F(svr),        0xff,       0x1ff,      0, NULL,         svr_write,       4 },
	{ 0x280, ANY, "esr",        F(esr),        0,          0,          0, NULL,         esr_write,       4 },
	{ 0x320, ANY, "lvt_timer",  F(lvt[0]),     LVT_MASK,   0x710ff,    0, NULL,         lvt_timer_write, 4 },
	{ 0x330, ANY, "lvt_thermal", F(lvt[1]),    LVT_MASK,   0x107ff,    0, NULL,         lvt_write,       4 },
	{ 0x340, ANY, "lvt_perf",   F(lvt[2]),     LVT_MASK,   0x107ff,    0, NULL,         lvt_write,       4 },
	{ 0x350, ANY, "lvt_lint0",  F(lvt[3]),     LVT_MASK,   0x1a7ff,    0, NULL,         lvt_write,       4 },
	{ 0x360, ANY, "lvt_lint1",  F(lvt[4]),     LVT_MASK,   0x1a7ff,    0, NULL,         lvt_write,       4 },
	{ 0x370, ANY, "lvt_error",  F(lvt[5]),     LVT_MASK,   0x100ff,    0, NULL,         lvt_write,       4 },
	{ 0x3e0, ANY, "divide",     F(divide),     0,          0xb,        0, NULL,         divide_write,    4 },
	{ 0x3f0, ANY, "self_ipi",   REG_NONE,      0,          0,          0, zero_read,    self_ipi_write,  4 },
	BITS8(0x100, isr), BITS8(0x180, tmr), BITS8(0x200, irr),
	{ 0 }
};
static const struct state lapic_state[] = {
	STATE(lapic, base), STATE(lapic, id), STATE(lapic, esr_pending), STATE(lapic, lint), STATE(lapic, start),
	STATE(lapic, spent), STATE(lapic, tsc_deadline), { 0 }
};
static const struct prop lapic_props[] = {
	PROP(BOOL, lapic, x2apic, "x2apic", true, "allow x2APIC mode"),
	{ 0 }
};

const struct dev_type lapic_type = {
	.name = "apic", .bus = "system", .help = "local APIC",
	.size = sizeof(struct lapic), .version = 1,
	.regs = lapic_regs, .state = lapic_state, .props = lapic_props,
	.init = lapic_init, .fini = lapic_fini, .reset = lapic_reset, .update = lapic_update,
	.loaded = lapic_loaded,
};
