/* Reading the guest's time-stamp counter. */
#include "cpu/tsc.h"

static uint64_t heavy_clock(uint64_t cpu, uint64_t b, uint64_t x, uint64_t y)
{
	struct cpu *c = (struct cpu *)cpu;
	(void)b, (void)x, (void)y;
	return c->board.now_ns(c->board.opaque);
}

/* Without any offset. */
static uint64_t ticks(struct cpu *c)
{
	if (!c->tsc_from_clock) {
		uint64_t t = __builtin_ia32_rdtsc();
		if (c->tsc_scale)
			t = (uint64_t)((unsigned __int128)t * c->tsc_scale >> 32);
		return t;
	}
	uint64_t ns = cpu_call_out(c, heavy_clock, (uint64_t)c, 0, 0, 0);
	return ns / 1000000 * c->tsc_khz + ns % 1000000 * c->tsc_khz / 1000000;
}

uint64_t tsc_now(struct cpu *c)
{
	return ticks(c) + c->tsc_offset;
}

uint64_t tsc_own(struct cpu *c)
{
	return ticks(c) + c->tsc_own_offset;
}
