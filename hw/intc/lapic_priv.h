/*
 * The local APIC's parts: lapic.c (registers, pins, the device), lapic_deliver.c (what arrives, and when it
 * reaches the processor), lapic_timer.c, lapic_access.c (how registers are reached: the page, MSRs).
 *
 * All APICs of a machine are under one lock (struct lapic_set), held for as long as it takes to change some
 * words; whoever has the machine lock, too, has taken that before. So what calls out to other devices is done
 * when it has been given back: the INTA cycle, the end of a level-triggered interrupt (`ended`), mapping the
 * registers elsewhere. The functions below want it held where nothing else is said.
 */
#ifndef HW_INTC_LAPIC_PRIV_H
#define HW_INTC_LAPIC_PRIV_H

#include <pthread.h>

#include "cpu/cpu.h"
#include "hw/intc/lapic.h"

/* Fields of registers, delivery modes. */
enum {
	SVR_ENABLE = 0x100,
	LVT_MASK = 0x10000, LVT_LEVEL = 0x8000, LVT_REMOTE_IRR = 0x4000,
	FIXED = 0, LOWEST = 1, SMI = 2, NMI = 4, INIT = 5, SIPI = 6, EXTINT = 7,
	MAX_CPUS = 256,
};

#define BASE_BSP	BIT(8)
#define BASE_X2APIC	BIT(10)
#define BASE_ENABLE	BIT(11)
#define BASE_DEFAULT	0xfee00000ull

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

static inline void lapic_lock(const struct lapic *l) { pthread_mutex_lock(&l->set->lock); }
static inline void lapic_unlock(const struct lapic *l) { pthread_mutex_unlock(&l->set->lock); }

/* Give the lock back, and tell the I/O APIC what has ended. */
void lapic_unlock_and_tell(struct lapic *l);

/* ---- modes ---- */

static inline bool lapic_exists(const struct lapic *l) { return !l->cpu || !l->cpu->absent; }
static inline bool lapic_hw_enabled(const struct lapic *l) { return l->base & BASE_ENABLE; }
static inline bool lapic_in_x2apic(const struct lapic *l) { return l->base & BASE_X2APIC; }
static inline bool lapic_sw_enabled(const struct lapic *l) { return lapic_hw_enabled(l) && l->svr & SVR_ENABLE; }
static inline unsigned lapic_mode(uint32_t v) { return v >> 8 & 7; }

static inline uint64_t lapic_now(const struct lapic *l)
{
	return clock_now(&l->dev.m->clock);
}

/* ---- delivery ---- */
/* The processor priority. */
unsigned lapic_ppr(const struct lapic *l);
/* Set or clear the processor's request line; `dev` is a struct lapic. */
void lapic_update(void *dev);
/* A vector arrives in IRR. */
void lapic_accept(struct lapic *l, unsigned vector, bool level);
/* A message of a delivery mode arrives. */
void lapic_receive(struct lapic *l, unsigned mode, unsigned vector, bool level);
void lapic_eoi_write(void *dev, uint32_t v, uint32_t old);
void lapic_icr_write(void *dev, uint32_t v, uint32_t old);

/* ---- timer ---- */
/* Arm the timer for the next interrupt, if one can come. */
void lapic_arm(struct lapic *l);
/* The MSR of that name is written; nothing in other modes of the timer. */
void lapic_set_deadline(struct lapic *l, uint64_t tsc);
/* Called without the lock. */
void lapic_on_timer(void *opaque);
uint32_t lapic_current_read(void *dev);
void lapic_initial_write(void *dev, uint32_t v, uint32_t old);
void lapic_divide_write(void *dev, uint32_t v, uint32_t old);
void lapic_lvt_timer_write(void *dev, uint32_t v, uint32_t old);

/* ---- registers ---- */
/* Everything but the APIC base and the pins; INIT does the same (SDM vol. 3A, 11.4.7). */
void lapic_reset_registers(struct lapic *l);
/* Entries of an APIC that is switched off are masked. */
void lapic_lvt_write(void *dev, uint32_t v, uint32_t old);
/* The id before software changed it. */
uint32_t lapic_first_id(const struct lapic *l);
/* The logical id in x2APIC mode. */
uint32_t lapic_x2apic_ldr(const struct lapic *l);

/* ---- access ---- */
/* Registers stand in the page at pa from now on, for whoever has his base there. Machine lock, not the APICs'. */
bool lapic_open_window(struct lapic *l, uint64_t pa, struct err *e);

#endif
