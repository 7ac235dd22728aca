/*
 * SIGFPE inside generated code becomes an exit of the block: the handler notes
 * what happened and makes the thread go on at a stub that leaves the cache with
 * all registers as they are. Anywhere else it is our own fault and ends the
 * program as usual. See hostfault.h.
 */
#include "tcg/hostfault.h"

#include <signal.h>
#include <ucontext.h>

#include "tcg/cache.h"

static _Thread_local struct cpu *running;	/* a signal handler has no argument of ours */

static void on_sigfpe(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;
	struct x64_side side;
	struct cpu *c = running;

	(void)si;
	if (!c || !tcg_tb_at(tcg_of(c), (uint64_t)g[REG_RIP] + 1, &side)) {
		signal(sig, SIG_DFL);
		return;
	}
	x64_env(c)->fault_pc = (uint64_t)g[REG_RIP] + 1;
	x64_env(c)->fault_trap = (int)g[REG_TRAPNO];
	x64_env(c)->fault_flags = (uint64_t)g[REG_EFL];
	g[REG_RIP] = (greg_t)(uintptr_t)tcg_of(c)->cache->x.stubs.host_fault;
}

void hostfault_init(struct cpu *c)
{
	struct sigaction sa = { .sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO };

	running = c;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGFPE, &sa, NULL);
}
