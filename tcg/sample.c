/*
 * Sampling. See sample.h. The timer's signal only sets a bit, whatever it interrupts.
 */
#include "tcg/sample.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tcg/run.h"

#define PERIOD_NS	1000000
#define HOT		2	/* samples that a loop must be seen in (tcg_set_hot()) */

static void on_tick(int sig, siginfo_t *si, void *ctx)
{
	struct cpu *c = si->si_value.sival_ptr;

	(void)sig;
	(void)ctx;
	if (si->si_code == SI_TIMER)
		atomic_fetch_or(&c->request, REQ_SAMPLE);
}

void sample_next(struct cpu *c)
{
	struct itimerspec once = { { 0, 0 }, { 0, PERIOD_NS } };

	if (tcg_of(c)->has_timer)
		timer_settime(tcg_of(c)->timer, 0, &once, NULL);
}

void sample_awake(struct cpu *c)
{
	if (!(atomic_load(&c->request) & REQ_SAMPLE))
		return;
	cpu_clear_request(c, REQ_SAMPLE);
	sample_next(c);
}

bool sample_start(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	struct sigaction sa = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGVTALRM };

	ev.sigev_value.sival_ptr = c;
	ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGVTALRM, &sa, NULL) || timer_create(CLOCK_MONOTONIC, &ev, &t->timer))
		return false;
	t->has_timer = true;
	t->hot = HOT;
	sample_next(c);
	return true;
}

void sample_stop(struct cpu *c)
{
	if (tcg_of(c)->has_timer)
		timer_delete(tcg_of(c)->timer);
	tcg_of(c)->has_timer = false;
}

/* The region of block t->remake went. Control is somewhere in its loop. */
static void remake(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	struct tb *head = &t->cache->tbs[t->remake];
	uint64_t rip = c->rip;

	t->remake = NO_TB;
	if (head->dead || head->mode != c->mode)
		return;
	c->rip = head->rip;
	if (tcg_find(c, c->mode) == head)	/* so fetching its bytes does not fault */
		tcg_make_region(c, head);
	c->rip = rip;
}

static void heat(struct cpu *c)
{
	struct tb *tb = c->mode & (MODE_TF | MODE_DEBUG) ? NULL : tcg_find(c, c->mode);
	unsigned seen;

	if (!tb || !sample_may_heat(tb))
		return;
	seen = __atomic_load_n(&tb->heat, __ATOMIC_RELAXED) + 1u;	/* by this vCPU or others; some go unseen */
	if (seen >= tcg_of(c)->hot && !tcg_make_region(c, tb))
		seen = HEAT_NEVER;
	__atomic_store_n(&tb->heat, (uint8_t)seen, __ATOMIC_RELAXED);
}

void sample_taken(struct cpu *c)
{
	if (!tcg_may_read(tcg_of(c)))
		return;
	if (tcg_of(c)->remake)
		remake(c);
	else
		heat(c);
}

void tcg_set_hot(struct cpu *c, unsigned n)
{
	tcg_of(c)->hot = n < HEAT_NEVER ? n : HEAT_NEVER - 1;
	if (!n)
		sample_stop(c);
}
