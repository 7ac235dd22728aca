/*
 * How a processor reaches its local APIC: by the page that the APIC base MSR names, by MSRs 800h-8FFh in x2APIC
 * mode, and by CR8.
 *
 * Registers are read and written through one table (lapic.c) either way. An MMIO access belongs to the vCPU on
 * whose thread it happens (machine_current_cpu()).
 *
 * Source: SDM vol. 3A, 11.4.4 "Local APIC Status and Location", 11.12 "Extended XAPIC (x2APIC)".
 */
#include "hw/intc/lapic_priv.h"

/* Offsets of registers. */
enum {
	R_ID = 0x20, R_VERSION = 0x30, R_TPR = 0x80, R_PPR = 0xa0, R_EOI = 0xb0, R_LDR = 0xd0, R_SVR = 0xf0, R_ISR = 0x100,
	R_ESR = 0x280, R_ICR = 0x300, R_LVT = 0x320, R_INITIAL = 0x380, R_CURRENT = 0x390, R_DIVIDE = 0x3e0,
	R_SELF_IPI = 0x3f0,
};
enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };

/* ---- MMIO ---- */

static struct lapic *accessing(const struct window *w)
{
	struct cpu *c = machine_current_cpu(w->set->all[0]->dev.m);
	struct lapic *l = c && c->index < w->set->n ? w->set->all[c->index] : NULL;

	/* Only this processor changes its base, or one that stops it first. */
	if (!l || !lapic_hw_enabled(l) || lapic_in_x2apic(l) || (l->base & ~0xfffull) != w->pa)
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
	lapic_lock(l);
	v = dev_reg_read(&l->dev, (unsigned)off, size);
	lapic_unlock(l);
	return v;
}

static void window_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct lapic *l = accessing(opaque);

	if (!l || off & 0xf || off == R_SELF_IPI)
		return;
	lapic_lock(l);
	dev_reg_write(&l->dev, (unsigned)off, size, (uint32_t)v);
	lapic_unlock_and_tell(l);
}

static const struct mmio_ops window_ops = {
	.read = window_read, .write = window_write, .max_size = 4, .alone = true, .own_lock = true,
};

/* Registers stand in the page at pa from now on, for whoever has his base there. */
bool lapic_open_window(struct lapic *l, uint64_t pa, struct err *e)
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
		l->id = lapic_first_id(l);
	if (v & ~old & BASE_X2APIC)
		l->ldr = lapic_x2apic_ldr(l);
	if (!(v & BASE_ENABLE))
		lapic_reset_registers(l);
	lapic_update(l);
	return true;
}

/* The registers' page is mapped after the base is set: nobody else asks at that address. */
static bool move(struct lapic *l, uint64_t v)
{
	struct err e;
	bool ok, held;

	lapic_lock(l);
	ok = base_write(l, v);
	lapic_unlock(l);
	if (!ok || !(v & BASE_ENABLE))
		return ok;
	held = machine_hold(l->dev.m);
	if (!lapic_open_window(l, v & ~0xfffull, &e))
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
	case R_ID: case R_VERSION: case R_PPR: case R_LDR: case R_CURRENT:
		return !write;
	default:
		return !write && off >= R_ISR && off < R_ESR;
	}
}

static bool x2apic_read(struct lapic *l, unsigned off, uint64_t *v)
{
	if (!lapic_in_x2apic(l) || !x2apic_has(off, false))
		return false;
	*v = dev_reg_read(&l->dev, off, 4);
	if (off == R_ICR)
		*v |= (uint64_t)l->icr2 << 32;
	return true;
}

static bool x2apic_write(struct lapic *l, unsigned off, uint64_t v)
{
	if (!lapic_in_x2apic(l) || !x2apic_has(off, true))
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

	lapic_lock(l);
	return held;
}

static void leave(struct lapic *l, bool held)
{
	lapic_unlock_and_tell(l);
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
	lapic_set_deadline(l, v);
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

	lapic_lock(l);
	v = l->tpr >> 4;
	lapic_unlock(l);
	return v;
}

void lapic_set_cr8(struct dev *d, uint64_t v)
{
	struct lapic *l = (struct lapic *)d;

	lapic_lock(l);
	l->tpr = (uint32_t)(v & 0xf) << 4;
	lapic_update(l);
	lapic_unlock(l);
}
