/*
 * What is at work: the timer asks once, and again when it was heard.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tcg/sample.h"
#include "tests/guest_code.h"

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Is a sample asked for within so many seconds? */
static bool asked(struct cpu *c, double seconds)
{
	double end = now() + seconds;

	while (now() < end)
		if (atomic_load(&c->request) & REQ_SAMPLE)
			return true;
	return false;
}

#define TEST_SAMPLE(name)					\
	static void name(struct machine *m);			\
	Test(sample, name)					\
	{							\
		struct machine m;				\
								\
		machine_init(&m, 64, 0, &tcg_accel);		\
		name(&m);					\
		machine_fini(&m);				\
	}							\
	static void name(struct machine *m)

TEST_SAMPLE(a_sample_is_asked_for_once_until_it_is_taken)
{
	cr_assert(asked(m->c, 10));
	cpu_clear_request(m->c, REQ_SAMPLE);
	cr_expect_not(asked(m->c, 0.02), "who sleeps is not woken again and again");
	sample_next(m->c);
	cr_expect(asked(m->c, 10));
}

TEST_SAMPLE(a_sample_of_the_time_a_guest_slept_is_none)
{
	sigset_t tick;

	cr_assert(asked(m->c, 10));
	sigemptyset(&tick);
	sigaddset(&tick, SIGVTALRM);
	pthread_sigmask(SIG_BLOCK, &tick, NULL);	/* the next one, too, may be there at once */
	sample_awake(m->c);
	cr_expect_not(atomic_load(&m->c->request) & REQ_SAMPLE);
	pthread_sigmask(SIG_UNBLOCK, &tick, NULL);
	cr_expect(asked(m->c, 10), "but then the timer goes on");
}

/* A loop of some milliseconds. */
GUEST(busy, "mov ecx, 100000000\n 1: dec ecx\n jnz 1b\n out 0xf4, al\n")

TEST_SAMPLE(a_loop_that_goes_on_becomes_a_region)
{
	GUEST_PUT(m, M_CODE, busy);
	for (int i = 0; i < 500 && !tcg_of(m->c)->stats.regions; i++)
		machine_run(m, M_CODE);
	cr_expect_geq(tcg_of(m->c)->stats.regions, 1);
}
