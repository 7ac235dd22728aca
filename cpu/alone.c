/*
 * One vCPU alone. Whoever wants to be holds a mutex, says so, and waits until all others are
 * outside; whoever comes inside says that first and then looks whether somebody wants to
 * be alone, so one of the two sees the other.
 */
#include "cpu/alone.h"

#include <sched.h>

#include "cpu/phys_view.h"

void cpu_inside(struct cpu *c)
{
	struct phys *p = c->phys;

	atomic_store(&c->inside, true);
	while (atomic_load(&p->alone_wanted)) {
		atomic_store(&c->inside, false);
		pthread_mutex_lock(&p->alone);
		pthread_mutex_unlock(&p->alone);
		atomic_store(&c->inside, true);
	}
}

void cpu_outside(struct cpu *c)
{
	atomic_store(&c->inside, false);
}

bool cpu_must_step_aside(const struct cpu *c)
{
	return atomic_load(&c->phys->alone_wanted);
}

void cpu_step_aside(struct cpu *c)
{
	cpu_outside(c);
	cpu_inside(c);
}

void cpu_alone_begin(struct cpu *c)
{
	struct phys *p = c->phys;
	struct cpu *o;

	cpu_outside(c);
	pthread_mutex_lock(&p->alone);
	atomic_store(&p->alone_wanted, true);
	for (unsigned i = 0; (o = phys_cpu(p, i)); i++)
		if (o != c && atomic_load(&o->inside))
			cpu_request(o, REQ_CALL);
	for (unsigned i = 0; (o = phys_cpu(p, i)); i++)
		while (o != c && atomic_load(&o->inside))
			sched_yield();
	atomic_store(&c->inside, true);
}

void cpu_alone_end(struct cpu *c)
{
	atomic_store(&c->phys->alone_wanted, false);
	pthread_mutex_unlock(&c->phys->alone);
}
