/*
 * The KVM interface: a clock in guest memory, hypercalls.
 *
 * The clock is a formula over the time-stamp counter that all vCPUs share:
 * system time 0 is TSC 0 of a machine whose guest never wrote the counter. What a
 * vCPU's guest added to its counter (tsc_written) is taken off through the
 * structure's time stamp, so all vCPUs agree, and the structure changes only when
 * a guest writes its counter.
 *
 * A yield to a vCPU gives up the host's processor to whoever the host's scheduler chooses.
 *
 * Not modelled: asynchronous page faults, steal time and what rests on it (the flush
 * of vCPUs that do not run), PV EOI, clock pairing. Hypercalls do not
 * rewrite the guest's instruction: both encodings work on models of any vendor.
 * Source: Linux Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst.
 */
#include "cpu/cpuid.h"
#include "cpu/phys.h"
#include "cpu/pv.h"
#include "cpu/system.h"
#include "cpu/tsc.h"

#define CLOCK_ENABLE	1u
#define CLOCK_STABLE	1u	/* flags: all vCPUs tell the same time */

enum { HC_VAPIC_POLL_IRQ = 1, HC_KICK_CPU = 5, HC_SEND_IPI = 10, HC_SCHED_YIELD = 11 };
enum { E_PERM = 1, E_INVAL = 22, E_NOSYS = 1000 };

/* ---- clock ---- */

/* Nanoseconds are (ticks << shift) * mul >> 32; shift below 0 goes right. */
struct scale {
	uint32_t mul;
	int8_t shift;
};

static struct scale scale_of(uint64_t khz)
{
	struct scale s = { 0, 0 };
	uint64_t ns = 1000000ull << 32;

	for (; ns / khz >> 32; s.shift++)
		ns >>= 1;
	for (; !(ns / khz >> 31) && s.shift > -11; s.shift--)
		ns <<= 1;
	s.mul = (uint32_t)(ns / khz);
	return s;
}

uint64_t pv_clock_ns(struct cpu *c)
{
	struct scale s = scale_of(c->tsc_khz);
	uint64_t ticks = tsc_own(c) - c->tsc_written;

	ticks = s.shift < 0 ? ticks >> -s.shift : ticks << s.shift;
	return (uint64_t)((unsigned __int128)ticks * s.mul >> 32);
}

void pv_write_clock(struct cpu *c)
{
	struct scale s = scale_of(c->tsc_khz);
	uint64_t pa = c->pv_clock & ~3ull;
	uint32_t stable = cpu_has(c, CPUID_KVM_STABLE) ? CLOCK_STABLE : 0;

	if (!(c->pv_clock & CLOCK_ENABLE))
		return;
	uint32_t version = (uint32_t)phys_ld(c, pa, 4) | 1;
	phys_st(c, pa, 4, version);		/* odd: being written */
	phys_st(c, pa + 4, 4, 0);
	phys_st(c, pa + 8, 8, c->tsc_written);
	phys_st(c, pa + 16, 8, 0);
	phys_st(c, pa + 24, 4, s.mul);
	phys_st(c, pa + 28, 4, (uint8_t)s.shift | stable << 8);
	phys_st(c, pa, 4, version + 1);
}

static uint64_t heavy_wall(uint64_t cpu, uint64_t b, uint64_t x, uint64_t y)
{
	struct cpu *c = (struct cpu *)cpu;
	(void)b, (void)x, (void)y;
	return c->board.wall_ns(c->board.opaque);
}

void pv_write_wall(struct cpu *c, uint64_t pa)
{
	uint64_t wall = c->board.wall_ns ? cpu_call_out(c, heavy_wall, (uint64_t)c, 0, 0, 0) : 0;
	uint64_t up = pv_clock_ns(c), start = wall > up ? wall - up : 0;
	uint32_t version = (uint32_t)phys_ld(c, pa, 4) | 1;

	phys_st(c, pa, 4, version);
	phys_st(c, pa + 4, 4, start / 1000000000);
	phys_st(c, pa + 8, 4, start % 1000000000);
	phys_st(c, pa, 4, version + 1);
}

/* ---- hypercalls ---- */

/* End the target's HLT, or the next one it is about to execute. */
static int64_t kick(struct cpu *c, uint32_t apic_id)
{
	struct cpu *o;

	for (unsigned i = 0; (o = phys_cpu(c->phys, i)); i++)
		if (o->apic_id == apic_id) {
			atomic_store(&o->pv_kicked, true);
			cpu_request(o, REQ_KICK);
		}
	return 0;
}

/* The caller waits for the target: if that one is not asleep it may want the host's processor. */
static int64_t yield_to(struct cpu *c, uint32_t apic_id)
{
	struct cpu *o;

	for (unsigned i = 0; (o = phys_cpu(c->phys, i)); i++)
		if (o->apic_id == apic_id && o != c && !atomic_load(&o->sleeping))
			cpu_yield(c);
	return 0;
}

struct ipi {
	struct cpu *c;
	uint64_t map[2];
	uint32_t first, width, icr;
};

static uint64_t heavy_ipi(uint64_t ipi, uint64_t b, uint64_t x, uint64_t y)
{
	const struct ipi *p = (const struct ipi *)ipi;
	uint64_t n = 0;
	struct cpu *o;

	(void)b, (void)x, (void)y;
	for (unsigned i = 0; (o = phys_cpu(p->c->phys, i)); i++) {
		uint32_t bit = o->apic_id - p->first;
		if (!o->absent && o->apic_id >= p->first && bit < 2 * p->width && p->map[bit / p->width] >> bit % p->width & 1) {
			p->c->board.send_ipi(p->c->board.opaque, o, p->icr);
			n++;
		}
	}
	return n;
}

/* One interrupt command for all processors of a bitmap, which starts at an APIC id. */
static int64_t send_ipi(struct cpu *c, const uint64_t a[4])
{
	struct ipi ipi = {
		.c = c, .map = { a[0], a[1] }, .first = (uint32_t)a[2],
		.width = cpu_is64(c) ? 64 : 32, .icr = (uint32_t)a[3],
	};

	if (!c->board.send_ipi)
		return -E_NOSYS;
	if (ipi.icr & ~0x47ffu)		/* a vector, a delivery mode, "assert"; no shorthand */
		return -E_INVAL;
	return (int64_t)cpu_call_out(c, heavy_ipi, (uint64_t)&ipi, 0, 0, 0);
}

static int64_t call(struct cpu *c, uint64_t nr, const uint64_t a[4])
{
	switch (nr) {
	case HC_VAPIC_POLL_IRQ:
		return 0;
	case HC_KICK_CPU:
		return cpu_has(c, CPUID_KVM_UNHALT) ? kick(c, (uint32_t)a[1]) : -E_NOSYS;
	case HC_SEND_IPI:
		return cpu_has(c, CPUID_KVM_IPI) ? send_ipi(c, a) : -E_NOSYS;
	case HC_SCHED_YIELD:
		return cpu_has(c, CPUID_KVM_YIELD) ? yield_to(c, (uint32_t)a[0]) : -E_NOSYS;
	default:
		return -E_NOSYS;
	}
}

void cpu_hypercall(struct cpu *c)
{
	uint64_t mask = cpu_is64(c) ? ~0ull : 0xffffffffu;
	uint64_t a[4] = { c->regs[RBX] & mask, c->regs[RCX] & mask, c->regs[RDX] & mask, c->regs[RSI] & mask };

	if (!cpu_has(c, CPUID_KVM))
		cpu_raise(c, EXC_UD);
	int64_t r = cpu_cpl(c) ? -E_PERM : call(c, c->regs[RAX] & mask, a);
	c->regs[RAX] = (uint64_t)r & mask;
}
