/*
 * See probe.h. Source: ptrace(2), PTRACE_SYSEMU_SINGLESTEP; Linux's signals for exceptions.
 */
#include "tests/insn/probe.h"

#ifdef __x86_64__
#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, USER_CS32 = 0x23, USER_CS64 = 0x33, USER_DS = 0x2b, LDT_CS16 = 0x07 };

/* The second page is data for the instructions; it is the child's own. */
static bool protect(const struct probe *p)
{
	struct user_desc d = { .base_addr = (uint32_t)(uintptr_t)p->page, .limit = 0xffff,
			       .contents = MODIFY_LDT_CONTENTS_CODE, .useable = 1 };

	if (p->code == HOST_CODE16 && syscall(SYS_modify_ldt, 1, &d, sizeof(d)) < 0)
		return false;
	return mprotect(p->page, PAGE, PROT_READ | PROT_EXEC) == 0 &&
	       mmap(p->page + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
	       MAP_FAILED;
}

static bool start(struct probe *p)
{
	int status;

	p->child = fork();
	if (p->child == 0) {
		if (!protect(p) || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		_exit(1);
	}
	return p->child > 0 && waitpid(p->child, &status, 0) == p->child && WIFSTOPPED(status) &&
	       ptrace(PTRACE_SETOPTIONS, p->child, NULL, PTRACE_O_EXITKILL) == 0;
}

bool probe_open(struct probe *p, enum host_code code)
{
	*p = (struct probe) { .code = code };
	p->page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (p->page == MAP_FAILED)
		return false;
	p->end = (uintptr_t)p->page + PAGE;
	return start(p);
}

void probe_close(struct probe *p)
{
	int status;

	if (p->child > 0) {
		kill(p->child, SIGKILL);
		waitpid(p->child, &status, 0);
	}
	munmap(p->page, 2 * PAGE);
}

/* Registers point into the data, so that most instructions can do what they do. */
static struct user_regs_struct registers(const struct probe *p, unsigned n)
{
	unsigned long long d = p->end + PAGE / 2, s = p->code == HOST_CODE64 ? 0 : USER_DS;

	return (struct user_regs_struct) {
		.rax = d, .rcx = d, .rdx = d, .rbx = d, .rsp = d, .rbp = d, .rsi = d, .rdi = d,
		.r8 = d, .r9 = d, .r10 = d, .r11 = d, .r12 = d, .r13 = d, .r14 = d, .r15 = d,
		.orig_rax = ~0ull, .eflags = 0x202, .ds = s, .es = s, .ss = USER_DS,
		.cs = p->code == HOST_CODE64 ? USER_CS64 : p->code == HOST_CODE32 ? USER_CS32 : LDT_CS16,
		.rip = p->code == HOST_CODE16 ? PAGE - n : p->end - n,
	};
}

uint64_t probe_rip(const struct probe *p)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, p->child, offsetof(struct user_regs_struct, rip), NULL);
}

/* Stopped by a signal: what it says. */
static enum probe_result result(const struct probe *p, int sig)
{
	siginfo_t si;

	if (ptrace(PTRACE_GETSIGINFO, p->child, NULL, &si) < 0)
		return PROBE_OTHER;
	if (sig == SIGILL)
		return PROBE_UD;
	if (sig != SIGSEGV)
		return PROBE_OTHER;
	if (si.si_code == SI_KERNEL)
		return PROBE_GP;
	/* Data there can be reached, so it was the fetch; of the next instruction, if RIP is there. */
	if ((uintptr_t)si.si_addr == p->end) {
		uint64_t rip = probe_rip(p);
		return (p->code == HOST_CODE16 ? rip & (PAGE - 1) : rip != p->end) ? PROBE_MORE : PROBE_OTHER;
	}
	return PROBE_OTHER;
}

enum probe_result probe_bytes(struct probe *p, const uint8_t *bytes, unsigned n)
{
	struct user_regs_struct r = registers(p, n);
	int status;

	memcpy(p->page + PAGE - n, bytes, n);
	if (ptrace(PTRACE_SETREGS, p->child, NULL, &r) < 0 ||
	    ptrace(PTRACE_SYSEMU_SINGLESTEP, p->child, NULL, NULL) < 0 ||
	    waitpid(p->child, &status, 0) != p->child || !WIFSTOPPED(status)) {
		start(p);	/* it took its process with it, so it did something */
		return PROBE_OTHER;
	}
	return WSTOPSIG(status) == SIGTRAP ? PROBE_OTHER : result(p, WSTOPSIG(status));
}

#else

bool probe_open(struct probe *p, enum host_code code) { (void)p; (void)code; return false; }
void probe_close(struct probe *p) { (void)p; }
enum probe_result probe_bytes(struct probe *p, const uint8_t *bytes, unsigned n)
{
	(void)p; (void)bytes; (void)n;
	return PROBE_OTHER;
}
uint64_t probe_rip(const struct probe *p) { (void)p; return 0; }

#endif
