/*
 * What reaches a processor: messages of the I/O APIC, devices and other processors become bits of IRR,
 * priorities say when they interrupt, INTA and EOI move them on.
 *
 * The request line of the processor is derived in lapic_update(): it is up while IRR holds a vector above the
 * processor priority or LINT0 brings an ExtINT.
 *
 * Source: SDM vol. 3A, 11.6 "Issuing Interprocessor Interrupts", 11.8 "Handling Interrupts", 11.11 "Message
 * Signalled Interrupts".
 */
#include "hw/intc/lapic_priv.h"

#include "cpu/start.h"

enum {
	ICR_LOGICAL = 0x800, ICR_PENDING = 0x1000, ICR_ASSERT = 0x4000,
	ESR_SEND_ILLEGAL = 0x20, ESR_RECEIVE_ILLEGAL = 0x40,
};

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

/* ---- priority and the request line ---- */

unsigned lapic_ppr(const struct lapic *l)
{
	int serving = highest(l->isr);
	unsigned isrv = serving < 0 ? 0 : (unsigned)serving & 0xf0;

	return (l->tpr & 0xf0) >= isrv ? l->tpr : isrv;
}

/* The vector that may interrupt now, or -1. */
static int deliverable(const struct lapic *l)
{
	int v = highest(l->irr);

	return v >= 0 && lapic_sw_enabled(l) && (unsigned)(v & 0xf0) > (lapic_ppr(l) & 0xf0) ? v : -1;
}

/* Does LINT0 bring an interrupt of the 8259? */
static bool extint_pending(const struct lapic *l)
{
	uint32_t lint0 = l->lvt[LVT_LINT0];

	if (!l->extint || !(l->lint & 1))
		return false;
	return !lapic_hw_enabled(l) || (!(lint0 & LVT_MASK) && lapic_mode(lint0) == EXTINT);
}

void lapic_update(void *dev)
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

	lapic_lock(l);
	pending = extint_pending(l);
	lapic_unlock(l);
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

	lapic_lock(l);
	legacy = extint_pending(l);
	v = legacy ? -1 : intack(l);
	lapic_unlock(l);
	return legacy ? intack_8259(l) : v;
}

/* ---- receiving ---- */

static void error(struct lapic *l, uint32_t bit)
{
	uint32_t e = l->lvt[LVT_ERROR];

	l->esr_pending |= bit;
	if (!(e & LVT_MASK) && (e & 0xff) >= 16)
		lapic_accept(l, e & 0xff, false);
}

/* A vector arrives in IRR. */
void lapic_accept(struct lapic *l, unsigned vector, bool level)
{
	if (!lapic_sw_enabled(l))
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

static void signal_cpu(struct lapic *l, uint32_t bits)
{
	if (l->cpu)
		cpu_request(l->cpu, bits);
}

void lapic_receive(struct lapic *l, unsigned mode, unsigned vector, bool level)
{
	switch (mode) {
	case FIXED: case LOWEST:
		lapic_accept(l, vector, level);
		break;
	case SMI:
		signal_cpu(l, REQ_SMI);
		break;
	case NMI:
		if (l->cpu)
			cpu_nmi(l->cpu);
		break;
	case INIT:
		lapic_reset_registers(l);
		if (l->cpu) {			/* a start-up before the INIT does not count */
			cpu_clear_request(l->cpu, REQ_SIPI);
			cpu_end_start_ipi(l->cpu);
		}
		signal_cpu(l, REQ_INIT);
		break;
	case SIPI:
		if (l->cpu)
			cpu_start_ipi(l->cpu, (uint8_t)vector);
		break;
	}
}

/* ---- addressing ---- */

static bool is_addressed(const struct lapic *l, uint32_t dest, bool logical)
{
	if (!lapic_hw_enabled(l) || !lapic_exists(l))
		return false;
	if (lapic_in_x2apic(l)) {
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

		if (is_addressed(l, dest, logical) && lapic_sw_enabled(l) && (!best || lapic_ppr(l) < lapic_ppr(best)))
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
			lapic_receive(l, FIXED, vector, level);
		return;
	}
	for (int i = 0; i < set->n; i++)
		if (is_addressed(set->all[i], dest, logical))
			lapic_receive(set->all[i], mode, vector, level);
}

/* SDM vol. 3A, 11.11: destination in the address, the rest in the data. */
void lapic_message(void *opaque, uint64_t addr, uint32_t data)
{
	struct lapic *l = opaque;
	unsigned mode = lapic_mode(data);
	uint32_t dest = addr >> 12 & 0xff;

	if (addr >> 20 != 0xfee) {
		log_guest("lapic: message to %llx", (unsigned long long)addr);
		return;
	}
	/* Redirection hint: any one of a logical destination. */
	if (mode == FIXED && addr & 8 && addr & 4)
		mode = LOWEST;
	lapic_lock(l);
	send(l->set, dest, addr & 4, mode, data & 0xff, data >> 15 & 1);
	lapic_unlock(l);
}

/* ---- interprocessor interrupts ---- */

static void to_all(struct lapic *l, bool self, unsigned mode, unsigned vector)
{
	for (int i = 0; i < l->set->n; i++)
		if ((self || l->set->all[i] != l) && lapic_exists(l->set->all[i]))
			lapic_receive(l->set->all[i], mode, vector, false);
}

void lapic_command(struct dev *d, uint32_t icr)
{
	struct lapic *l = (struct lapic *)d;

	lapic_lock(l);
	lapic_receive(l, lapic_mode(icr), icr & 0xff, false);
	lapic_unlock(l);
}

static void send_ipi(struct lapic *l, uint32_t icr, uint32_t dest)
{
	unsigned mode = lapic_mode(icr), vector = icr & 0xff;

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
		lapic_receive(l, mode == LOWEST ? FIXED : mode, vector, false);
		break;
	default:
		to_all(l, (icr >> 18 & 3) == 2, mode == LOWEST ? FIXED : mode, vector);
	}
	if (mode == SIPI)
		signal_cpu(l, REQ_STARTED);
}

void lapic_icr_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	(void)old;
	l->icr = v & 0xccfff & ~ICR_PENDING;
	send_ipi(l, l->icr, lapic_in_x2apic(l) ? l->icr2 : l->icr2 >> 24);
}

/* ---- end of interrupt ---- */

void lapic_eoi_write(void *dev, uint32_t v, uint32_t old)
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

void lapic_unlock_and_tell(struct lapic *l)
{
	struct lapic_set *s = l->set;
	uint8_t vector = l->ended;
	bool held;

	l->ended = 0;
	lapic_unlock(l);
	if (!vector || !s->eoi)
		return;
	held = machine_hold(l->dev.m);
	s->eoi(s->eoi_opaque, vector);
	machine_let(l->dev.m, held);
}
