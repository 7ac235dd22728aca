/* Threads for slow work: what is done, what is handed back, what can be taken back. */
#include "hw/backend/workers.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "hw/core/bus.h"
#include "hw/core/loop.h"
#include "tests/bench.h"

static struct bench b;
static struct loop *l;
static struct workers *pool;
static sem_t begun, go_on;
static _Atomic int n_run;
static int n_done;

static void run(struct work *w)
{
	(void)w;
	n_run++;
	sem_post(&begun);
	sem_wait(&go_on);
}

static void done(struct work *w)
{
	(void)w;
	n_done++;
}

static void setup(void)
{
	bench_machine(&b);
	machine_unlock(b.m);
	l = loop_new(b.m, &b.err);
	cr_assert(l, "%s", b.err.msg);
	machine_lock(b.m);
	pool = workers_new(b.m, "test", 1);
	sem_init(&begun, 0, 0);
	sem_init(&go_on, 0, 0);
}

static void teardown(void)
{
	workers_free(pool);
	bench_close(&b);
	loop_free(l);
}
TestSuite(workers, .init = setup, .fini = teardown, .timeout = 20);

Test(workers, what_is_not_begun_can_be_taken_back)
{
	struct work w[4];

	for (int i = 0; i < 4; i++) {
		w[i] = (struct work){ .run = run, .done = done };
		workers_add(pool, &w[i]);
	}
	sem_wait(&begun);
	cr_assert_not(workers_withdraw(pool, &w[0]), "a thread is at it");
	cr_assert(workers_withdraw(pool, &w[1]));
	cr_assert_not(workers_withdraw(pool, &w[1]));
	cr_assert(workers_withdraw(pool, &w[3]), "the last one");
	workers_add(pool, &w[1]);
	for (int i = 0; i < 3; i++)
		sem_post(&go_on);
	workers_drain(pool);
	cr_assert_eq(n_run, 3);
	cr_assert_eq(n_done, 3);
	cr_assert_not(workers_withdraw(pool, &w[2]), "it is over");
}
