/*
 * CPUID. An APIC id has fields of bits for package, core and thread; an L3 cache
 * is shared by a package, the others by a core's threads. A leaf above the
 * highest answers as the highest basic leaf on Intel models, zero on AMD ones.
 *
 * Not modelled: dies and modules; cache sizes of the host.
 */
#include "cpu/cpuid.h"
#include "cpu/pmu.h"
#include "cpu/system.h"
#include "cpu/xstate.h"

enum { EAX, EBX, ECX, EDX };
#define MSR_APIC_BASE		0x1bu
#define APIC_BASE_ENABLE	0x800u

bool cpuid_is_intel(const struct cpu *c)
{
	return c->id.vendor[0] == 'G';
}

#define is_intel(c) cpuid_is_intel(c)

uint32_t cpuid_signature(const struct cpu *c)
{
	const struct cpu_id *m = &c->id;
	uint32_t family = m->family < 15 ? m->family : 15;

	return (uint32_t)(m->family - family) << 20 | (m->model >> 4 & 0xfu) << 16 | family << 8 |
	       (m->model & 0xfu) << 4 | m->stepping;
}

static uint64_t heavy_apic_base(uint64_t cpu, uint64_t b, uint64_t x, uint64_t y)
{
	struct cpu *c = (struct cpu *)cpu;
	uint64_t v = 0;

	(void)b, (void)x, (void)y;
	return c->board.msr_read(c->board.opaque, c, MSR_APIC_BASE, &v) ? v : APIC_BASE_ENABLE;
}

/* Switched off in its base register, the local APIC is not there (SDM vol. 3A, 11.4.3). */
static bool apic_off(struct cpu *c)
{
	return c->board.msr_read && !(cpu_call_out(c, heavy_apic_base, (uint64_t)c, 0, 0, 0) & APIC_BASE_ENABLE);
}

/* ---- topology ---- */

/* Bits that number n things. */
static uint32_t bits_for(uint32_t n)
{
	uint32_t bits = 0;
	while (1u << bits < n)
		bits++;
	return bits;
}

uint32_t cpuid_apic_id(unsigned n, unsigned cores, unsigned threads)
{
	uint32_t t = bits_for(threads), p = bits_for(cores) + t;

	return n / threads / cores << p | n / threads % cores << t | n % threads;
}

/* Bits of an APIC id below the core's number, and below the package's. */
static uint32_t thread_bits(const struct cpu *c) { return bits_for(c->threads); }
static uint32_t core_bits(const struct cpu *c) { return bits_for(c->cores) + thread_bits(c); }
static uint32_t per_package(const struct cpu *c) { return c->cores * c->threads; }
static uint32_t core_id(const struct cpu *c) { return (c->apic_id & ((1u << core_bits(c)) - 1)) >> thread_bits(c); }

/* ---- caches ---- */

/* type: 1 data, 2 code, 3 both */
static uint32_t cache_kind(const struct cpu *c, uint32_t type, uint32_t level, bool shared)
{
	return type | level << 5 | 1 << 8 | ((shared ? per_package(c) : c->threads) - 1) << 14;
}

static uint32_t cache_shape(uint32_t ways)
{
	return 63 | (ways - 1) << 22;
}

static uint32_t intel_cache(const struct cpu *c, uint32_t type, uint32_t level, bool shared)
{
	return cache_kind(c, type, level, shared) | ((1u << bits_for(c->cores)) - 1) << 26;
}

static uint32_t amd_cache(const struct cpu *c, uint32_t type, uint32_t level, bool shared)
{
	return cpu_has(c, CPUID_TOPOEXT) ? cache_kind(c, type, level, shared) : 0;
}

static uint32_t amd_shape(const struct cpu *c, uint32_t ways)
{
	return cpu_has(c, CPUID_TOPOEXT) ? cache_shape(ways) : 0;
}

/* Register reg of leaf 0DH's subleaf for a state component. */
static uint32_t xsave_component(const struct cpu *c, uint32_t bit, int reg)
{
	uint32_t out[3];

	xsave_leaf(c, bit, out);
	return out[reg];
}

static uint32_t known_leaf(const struct cpu *c, uint32_t leaf)
{
	bool hyper = leaf >= 0x40000000 && leaf <= 0x400000ff && cpu_has(c, CPUID_HYPERVISOR);

	if (leaf <= c->id.level || hyper || (leaf >= 0x80000000 && leaf <= c->id.xlevel))
		return leaf;
	if (leaf == 0x80000000)
		return leaf;
	return is_intel(c) ? c->id.level : 0x7fffffff;
}

static void brand(const struct cpu *c, uint32_t leaf, uint32_t out[4])
{
	for (int i = 0; i < 4; i++)
		out[i] = ld32(c->id.brand + 16 * (leaf - 0x80000002) + 4 * i);
}

void cpu_cpuid(struct cpu *c, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	leaf = known_leaf(c, leaf);
	out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
	if (leaf >= 0x80000002 && leaf <= 0x80000004)
		brand(c, leaf, out);
#define ANY		sub
#define ABOVE(n)	(sub > (n) ? sub : ~sub)
#define LEAF(l, s, reg, value)				\
	if (leaf == (l) && sub == (s))			\
		out[reg] = (uint32_t)(value);
#include "cpu/cpuid.def"
}
