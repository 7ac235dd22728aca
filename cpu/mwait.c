/*
 * What PAUSE does when it has been executed often: let other threads run. What
 * MWAIT does while it waits: sleep until the monitored line reads
 * otherwise than at MONITOR, or something is requested of this vCPU.
 *
 * Nobody is told of stores to the line, so it is looked at every now and then,
 * and the wait ends after a millisecond in any case: waking up for no reason is
 * allowed. A value that changes and changes back in between is such a case.
 * Source: SDM vol. 2 MONITOR, MWAIT.
 */
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu/phys.h"
#include "cpu/pmu.h"
#include "cpu/system.h"

#define LINE	64
#define SLICES	20
#define SLICE_NS 50000

uint64_t monitor_sum(struct cpu *c, uint64_t pa)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < LINE; i += 8)
		sum = (sum ^ phys_read(c->phys, (pa & ~(uint64_t)(LINE - 1)) + i, 8)) * 0x9e3779b97f4a7c15ull;
	return sum;
}

void mwait_sleep(struct cpu *c)
{
	static const struct timespec slice = { 0, SLICE_NS };
	uint32_t seen;

	pmu_sleep(c);
	atomic_store(&c->sleeping, true);
	for (int i = 0; i < SLICES; i++) {
		seen = atomic_load(&c->request);
		if (seen || monitor_sum(c, c->monitor_pa) != c->monitor_line)
			break;
		syscall(SYS_futex, &c->request, FUTEX_WAIT_PRIVATE, seen, &slice, NULL, 0);
	}
	atomic_store(&c->sleeping, false);
	pmu_wake(c);
}

void pause_yield(void)
{
	sched_yield();
}
