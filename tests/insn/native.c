/*
 * One instruction on the host processor; see native.h. The handler's state is global because
 * signal handlers have no argument of ours.
 * Source: Linux struct ucontext and the xstate layout (SDM vol. 1, 13.4) behind fpregs.
 */
#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "cpu/cpu.h"
#include "tests/insn/native.h"

#define CODE_SIZE 4096
#define GUARD 4096
#define FX_XMM 160		/* offsets in the frame's xsave image */
#define XSTATE_BV 512
#define XSTATE_YMM 576

enum phase { IDLE, ENTER, RUNNING };

static struct {
	volatile sig_atomic_t phase;
	struct native_state *s;
	gregset_t saved;
	uint8_t fp_saved[XSTATE_YMM + 256];
	uint8_t *code, *scratch;
	uint8_t stack[1 << 16];
} host;

/* Position in gregset_t of register number i. */
static const int greg_of[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void put_vectors(uint8_t *fp, const struct native_state *s)
{
	memcpy(fp, s->x87, sizeof(s->x87));
	for (int i = 0; i < 16; i++) {
		memcpy(fp + FX_XMM + 16 * i, s->ymm[i], 16);
		memcpy(fp + XSTATE_YMM + 16 * i, s->ymm[i] + 16, 16);
	}
	st64(fp + XSTATE_BV, ld64(fp + XSTATE_BV) | 7);
}

/* A component whose bit is clear has its initial value, whatever stands in memory. */
static void get_vectors(const uint8_t *fp, struct native_state *s)
{
	uint64_t bv = ld64(fp + XSTATE_BV);

	memset(s->ymm, 0, sizeof(s->ymm));
	memcpy(s->x87, fp, sizeof(s->x87));
	for (int i = 0; i < 16; i++) {
		if (bv & 2)
			memcpy(s->ymm[i], fp + FX_XMM + 16 * i, 16);
		if (bv & 4)
			memcpy(s->ymm[i] + 16, fp + XSTATE_YMM + 16 * i, 16);
	}
}

static void enter(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;

	memcpy(host.saved, g, sizeof(host.saved));
	memcpy(host.fp_saved, uc->uc_mcontext.fpregs, sizeof(host.fp_saved));
	for (int i = 0; i < 16; i++)
		g[greg_of[i]] = (greg_t)host.s->gpr[i];
	g[REG_RIP] = (greg_t)native_code();
	g[REG_EFL] = (greg_t)(host.s->flags | 0x202);
	put_vectors((uint8_t *)uc->uc_mcontext.fpregs, host.s);
}

static void leave(ucontext_t *uc, int sig)
{
	greg_t *g = uc->uc_mcontext.gregs;
	bool trap = sig == SIGTRAP && g[REG_TRAPNO] == EXC_BP;

	for (int i = 0; i < 16; i++)
		host.s->gpr[i] = (uint64_t)g[greg_of[i]];
	host.s->rip = (uint64_t)g[REG_RIP] - trap;
	host.s->flags = (uint32_t)g[REG_EFL] & (FL_ARITH | FL_DF);
	host.s->vector = trap ? -1 : (int)g[REG_TRAPNO];
	get_vectors((uint8_t *)uc->uc_mcontext.fpregs, host.s);
	memcpy(g, host.saved, sizeof(host.saved));
	memcpy(uc->uc_mcontext.fpregs, host.fp_saved, sizeof(host.fp_saved));
}

static void handler(int sig, siginfo_t *info, void *opaque)
{
	(void)info;
	if (host.phase == ENTER && sig == SIGUSR1) {
		host.phase = RUNNING;
		enter(opaque);
	} else if (host.phase == RUNNING) {
		host.phase = IDLE;
		leave(opaque, sig);
	} else {
		signal(sig, SIG_DFL);
	}
}

void native_open(void)
{
	static const int signals[] = { SIGUSR1, SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	stack_t ss = { .ss_sp = host.stack, .ss_size = sizeof(host.stack) };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	host.code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	host.scratch = mmap(NULL, NATIVE_SCRATCH + GUARD, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	assert(host.code != MAP_FAILED && host.scratch != MAP_FAILED);
	assert(mprotect(host.scratch + NATIVE_SCRATCH, GUARD, PROT_NONE) == 0);
	assert(sigaltstack(&ss, NULL) == 0);
	sigfillset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		assert(sigaction(signals[i], &sa, NULL) == 0);
}

uint64_t native_scratch(void)
{
	return (uintptr_t)host.scratch;
}

/* In the middle of the page: short branches stay inside and meet an INT3. */
uint64_t native_code(void)
{
	return (uintptr_t)host.code + CODE_SIZE / 2;
}

void native_state_init(struct native_state *s)
{
	memset(s, 0, sizeof(*s));
	st16(s->x87, 0x37f);
	st32(s->x87 + 24, 0x1f80);
	s->vector = -1;
}

void native_run(const uint8_t *code, unsigned n, struct native_state *s)
{
	memset(host.code, 0xcc, CODE_SIZE);
	memcpy(host.code + CODE_SIZE / 2, code, n);
	memcpy(host.scratch, s->mem, NATIVE_SCRATCH);
	host.s = s;
	host.phase = ENTER;
	raise(SIGUSR1);
	memcpy(s->mem, host.scratch, NATIVE_SCRATCH);
}
