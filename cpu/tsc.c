/*
 * The rate of the guest's time-stamp counter, and how it stands while the machine does.
 *
 * All vCPUs are held and released at one instant of the host's counter, so their counters
 * keep the distances they have.
 */
#include "cpu/tsc.h"

#include <time.h>

#include "cpu/insn.h"
#include "cpu/phys.h"

#define TRIES	8
#define SPAN_NS	5000000

struct instant {
	uint64_t ns, tsc;
};

/* Both clocks at one time: of several readings the one that took shortest, as a busy host may stop us in between. */
static struct instant now(void)
{
	struct instant best = { 0, 0 };
	uint64_t took = ~0ull;
	struct timespec t;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = __builtin_ia32_rdtsc();

		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		uint64_t span = __builtin_ia32_rdtsc() - before;
		if (span >= took)
			continue;
		took = span;
		best = (struct instant){ (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec, before + span / 2 };
	}
	return best;
}

uint64_t tsc_host_khz(void)
{
	const struct timespec span = { 0, SPAN_NS };
	struct instant a = now(), b;

	do {
		nanosleep(&span, NULL);		/* a signal may end it */
		b = now();
	} while (b.ns - a.ns < SPAN_NS);
	uint64_t khz = (b.tsc - a.tsc) * 1000000 / (b.ns - a.ns);
	return (khz + 50) / 100 * 100;
}

/* Within a ten-thousandth of the host's rate, RDTSC stays the host's. All vCPUs have the first one's scale. */
void tsc_set_khz(struct cpu *c, uint64_t khz)
{
	const struct cpu *first = phys_cpu(c->phys, 0);

	c->tsc_khz = khz;
	if (first && first != c && first->tsc_khz == khz) {
		c->tsc_scale = first->tsc_scale;
		return;
	}
	uint64_t host = tsc_host_khz();
	int64_t off = (int64_t)(khz - host);
	c->tsc_scale = 0;
	if (!c->tsc_from_clock && (off > 0 ? off : -off) > (int64_t)host / 10000)
		c->tsc_scale = (khz << 32) / host;
}

void tsc_update_insn(struct cpu *c)
{
	c->insn_feat[F_HOST_TSC >> 6] &= ~BIT(F_HOST_TSC & 63);
	if (!c->tsc_from_clock && !c->tsc_scale)
		c->insn_feat[F_HOST_TSC >> 6] |= BIT(F_HOST_TSC & 63);
}

void tsc_hold(struct phys *p)
{
	struct cpu *c = phys_cpu(p, 0);
	uint64_t ticks = c ? tsc_own(c) - c->tsc_own_offset : 0;

	for (unsigned i = 0; (c = phys_cpu(p, i)); i++)
		if (!c->tsc_stands) {
			c->tsc_held = ticks + c->tsc_own_offset;
			c->tsc_stands = true;
		}
}

void tsc_goes_on(struct phys *p)
{
	struct cpu *c = phys_cpu(p, 0);
	uint64_t ticks = c ? tsc_own(c) - c->tsc_own_offset : 0;

	for (unsigned i = 0; (c = phys_cpu(p, i)); i++)
		if (c->tsc_stands) {
			uint64_t step = c->tsc_held - (ticks + c->tsc_own_offset);

			c->tsc_own_offset += step;
			c->tsc_offset += step;
		}
}

void tsc_release(struct phys *p)
{
	struct cpu *c;

	tsc_goes_on(p);
	for (unsigned i = 0; (c = phys_cpu(p, i)); i++)
		c->tsc_stands = false;
}
