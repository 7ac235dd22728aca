/*
 * Local APIC: interrupts of one vCPU, in xAPIC and x2APIC mode.
 *
 *   I/O APIC, MSIs, other CPUs --message--> IRR --priority--> REQ_INTR --intack--> ISR
 *   8259 ------------ LINT0 (ExtINT) ----------------------/
 *
 * LINT0 of the first processor is an open ExtINT after reset, as firmware leaves
 * it on real boards, so that the 8259 works before anybody programs the APIC.
 *
 * Not modelled: CMCI, focus processor checking, suppressed EOI broadcasts, interrupt
 * arbitration, the remote read message, thermal interrupts (their LVT entry is storage).
 * Source: SDM vol. 3A chapter 11 "Advanced Programmable Interrupt Controller".
 */
#include "hw/intc/lapic_priv.h"

#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"

enum { VERSION = 0x14 | 5 << 16 };

/* ---- registers ---- */

void lapic_lvt_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	(void)v, (void)old;
	if (lapic_sw_enabled(l))
		return;
	for (int i = 0; i < N_LVT; i++)
		l->lvt[i] |= LVT_MASK;
}

static void svr_write(void *dev, uint32_t v, uint32_t old)
{
	if (!(v & SVR_ENABLE)) {
		lapic_lvt_write(dev, v, old);
		lapic_arm(dev);
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
	lapic_receive(dev, FIXED, v & 0xff, false);
}

static uint32_t id_read(void *dev)
{
	struct lapic *l = dev;

	return lapic_in_x2apic(l) ? l->id : l->id << 24;
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
	return lapic_ppr(dev);
}

static uint32_t zero_read(void *dev)
{
	(void)dev;
	return 0;
}

/* The id before software changed it. */
uint32_t lapic_first_id(const struct lapic *l)
{
	return l->cpu ? l->cpu->apic_id : (uint32_t)l->index;
}

uint32_t lapic_x2apic_ldr(const struct lapic *l)
{
	return l->id >> 4 << 16 | 1u << (l->id & 15);
}

/* ---- pins ---- */

static void lint_changed(struct lapic *l, int n, int level)
{
	uint32_t *e = &l->lvt[LVT_LINT0 + n];
	bool rises = level && !(l->lint >> n & 1);

	if ((l->lint >> n & 1) == (level != 0))
		return;
	l->lint = (uint8_t)((l->lint & ~(1u << n)) | (level ? 1u << n : 0));
	if (rises && !(*e & LVT_MASK) && lapic_hw_enabled(l)) {
		if (lapic_mode(*e) == NMI) {
			lapic_receive(l, NMI, 0, false);
		} else if (lapic_mode(*e) == FIXED && !(*e & LVT_REMOTE_IRR)) {
			if (*e & LVT_LEVEL)
				*e |= LVT_REMOTE_IRR;
			lapic_accept(l, *e & 0xff, *e & LVT_LEVEL);
		}
	}
	lapic_update(l);
}

static void lint_set(void *opaque, int n, int level)
{
	struct lapic *l = opaque;

	lapic_lock(l);
	lint_changed(l, n, level);
	lapic_unlock(l);
}

/* Intel's entries mask themselves (SDM vol. 3A, 11.5.1). */
static void perf_due(struct lapic *l)
{
	uint32_t *e = &l->lvt[LVT_PERF];

	if (*e & LVT_MASK || !lapic_hw_enabled(l))
		return;
	if (lapic_mode(*e) == FIXED || lapic_mode(*e) == NMI || lapic_mode(*e) == SMI)
		lapic_receive(l, lapic_mode(*e), *e & 0xff, false);
	if (cpuid_is_intel(l->cpu))
		*e |= LVT_MASK;
	lapic_update(l);
}

void lapic_perf(struct dev *d)
{
	struct lapic *l = (struct lapic *)d;

	lapic_lock(l);
	perf_due(l);
	lapic_unlock(l);
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

	timer_init(&l->timer, &l->dev.m->clock, lapic_on_timer, l);
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
	return lapic_open_window(l, BASE_DEFAULT, e);
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
void lapic_reset_registers(struct lapic *l)
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
	l->start = lapic_now(l);
	l->spent = false;
	if (lapic_in_x2apic(l))
		l->ldr = lapic_x2apic_ldr(l);
	timer_del(&l->timer);
	lapic_update(l);
}

static void lapic_reset(void *dev)
{
	struct lapic *l = dev;

	lapic_lock(l);
	l->base = BASE_DEFAULT | BASE_ENABLE | (l->index == 0 ? BASE_BSP : 0);
	l->id = lapic_first_id(l);
	lapic_reset_registers(l);
	lapic_unlock(l);
}

static bool lapic_loaded(void *dev, struct err *e)
{
	struct lapic *l = dev;

	if (!lapic_open_window(l, l->base & ~0xfffull, e))
		return false;
	lapic_lock(l);
	lapic_arm(l);
	lapic_unlock(l);
	return true;
}

#define F(f) offsetof(struct lapic, f)
#define BITS(at, f, i)	{ at + 16 * i, REG_ANY, #f #i, F(f[i]), 0, 0, 0, NULL, NULL, 4 }
#define BITS8(at, f)	BITS(at, f, 0), BITS(at, f, 1), BITS(at, f, 2), BITS(at, f, 3), \
			BITS(at, f, 4), BITS(at, f, 5), BITS(at, f, 6), BITS(at, f, 7)
#define ANY REG_ANY
static const struct reg lapic_regs[] = {
	/*off    bank name          stored         reset       write       clears read          write       size */
	{ 0x0b0, ANY, "eoi",        REG_NONE,      0,          0,          0, zero_read,    lapic_eoi_write,       4 },
	{ 0x080, ANY, "tpr",        F(tpr),        0,          0xff,       0, NULL,         NULL,            4 },
	{ 0x300, ANY, "icr",        F(icr),        0,          0,          0, NULL,         lapic_icr_write,       4 },
	{ 0x310, ANY, "icr2",       F(icr2),       0,          0xff000000, 0, NULL,         NULL,            4 },
	{ 0x380, ANY, "initial",    F(initial),    0,          0xffffffff, 0, NULL,         lapic_initial_write,   4 },
	{ 0x390, ANY, "current",    REG_NONE,      0,          0,          0, lapic_current_read, NULL,            4 },
	{ 0x020, ANY, "id",         REG_NONE,      0,          0,          0, id_read,      id_write,        4 },
	{ 0x030, ANY, "version",    REG_NONE,      0,          0,          0, version_read, NULL,            4 },
	{ 0x090, ANY, "apr",        REG_NONE,      0,          0,          0, ppr_read,     NULL,            4 },
	{ 0x0a0, ANY, "ppr",        REG_NONE,      0,          0,          0, ppr_read,     NULL,            4 },
	{ 0x0d0, ANY, "ldr",        F(ldr),        0,          0xff000000, 0, NULL,         NULL,            4 },
	{ 0x0e0, ANY, "dfr",        F(dfr),        0xffffffff, 0xf0000000, 0, NULL,         NULL,            4 },
	{ 0x0f0, ANY, "svr",        F(svr),        0xff,       0x1ff,      0, NULL,         svr_write,       4 },
	{ 0x280, ANY, "esr",        F(esr),        0,          0,          0, NULL,         esr_write,       4 },
	{ 0x320, ANY, "lvt_timer",  F(lvt[0]),     LVT_MASK,   0x710ff,    0, NULL,         lapic_lvt_timer_write, 4 },
	{ 0x330, ANY, "lvt_thermal", F(lvt[1]),    LVT_MASK,   0x107ff,    0, NULL,         lapic_lvt_write,       4 },
	{ 0x340, ANY, "lvt_perf",   F(lvt[2]),     LVT_MASK,   0x107ff,    0, NULL,         lapic_lvt_write,       4 },
	{ 0x350, ANY, "lvt_lint0",  F(lvt[3]),     LVT_MASK,   0x1a7ff,    0, NULL,         lapic_lvt_write,       4 },
	{ 0x360, ANY, "lvt_lint1",  F(lvt[4]),     LVT_MASK,   0x1a7ff,    0, NULL,         lapic_lvt_write,       4 },
	{ 0x370, ANY, "lvt_error",  F(lvt[5]),     LVT_MASK,   0x100ff,    0, NULL,         lapic_lvt_write,       4 },
	{ 0x3e0, ANY, "divide",     F(divide),     0,          0xb,        0, NULL,         lapic_divide_write,    4 },
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
