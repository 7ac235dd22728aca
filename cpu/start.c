/* Start-up IPIs: see cpu/start.h. */
#include "cpu/start.h"

#include <time.h>

#include "cpu/phys_view.h"

enum { PATIENCE_NS = 1000000000, NAP_NS = 20000 };

/* Never 0. */
static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec) | 1;
}

void cpu_start_ipi(struct cpu *c, uint8_t vector)
{
	c->sipi_vector = vector;
	atomic_store(&c->starting, now());
	cpu_request(c, REQ_SIPI);
}

static bool another_is_starting(const struct cpu *c)
{
	uint64_t t = now(), since;
	struct cpu *o;

	for (unsigned i = 0; (o = phys_cpu(c->phys, i)); i++) {
		since = atomic_load(&o->starting);
		if (o != c && since && t - since < PATIENCE_NS)
			return true;
	}
	return false;
}

void cpu_await_started(struct cpu *c)
{
	struct timespec nap = { .tv_nsec = NAP_NS };

	while (another_is_starting(c)) {
		if (atomic_load(&c->request) & (REQ_EXIT | REQ_CALL))
			return;
		nanosleep(&nap, NULL);
	}
	cpu_clear_request(c, REQ_STARTED);
}
