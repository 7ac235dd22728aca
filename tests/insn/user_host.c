/*
 * See user.h: the host's side.
 *
 * The prologue loads vector state, segment bases, flags and registers, and jumps to the
 * code; the epilogue stores them. Both reach the frame (struct frame) beyond 4 GiB
 * relative to RIP, and stand at addresses of their own; wild stores of 32-bit
 * code cannot hit anything, nor those of 64-bit code through 32-bit registers and FS. An exception's signal handler takes the state from its own
 * frame and returns from host_exec() by the stack pointer the prologue had noted.
 */
#include "tests/insn/user.h"

#ifdef __x86_64__

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The frame, and the prologue behind it. */
#define FRAME_AT	0x150000000ull
#define PROLOGUE_AT	0x150001000ull

struct frame {
	uint64_t regs[NGPR];		/* offset 0 */
	uint64_t flags;			/* 128 */
	uint64_t fs_base, gs_base;	/* 136, 144 */
	uint64_t host_rsp;		/* 152 */
	uint64_t host_fs, host_gs;	/* 160, 168 */
	uint64_t rip;			/* 176: also the far pointer's offset */
	uint64_t far;			/* 184: offset, selector */
	uint16_t ds, ss;		/* 192, 194 */
	uint16_t pad[2];
	uint32_t mxcsr, running;	/* 200, 204 */
	uint16_t out_ds, out_es, out_fs, out_gs;	/* 208 .. 214 */
	uint64_t pad2[5];
	uint8_t xsave[USER_XSAVE];	/* 256 */
};
_Static_assert(offsetof(struct frame, host_rsp) == 152 && offsetof(struct frame, far) == 184 &&
	       offsetof(struct frame, running) == 204 && offsetof(struct frame, out_ds) == 208 && offsetof(struct frame, xsave) == 256, "known to the code below");
#define frame ((struct frame *)(uintptr_t)FRAME_AT)

extern const uint8_t user_prologue[], user_prologue_end[], user_prologue_flat[];
extern const uint8_t user_epilogue[], user_epilogue_end[], user_epilogue32[], user_epilogue32_end[];
void user_handler(int sig, siginfo_t *info, void *context);
void __attribute__((noreturn)) user_return(void);

/*
 * fr, frs, frl are instructions with an operand in the frame, for code from `start` on that
 * is copied to `base`.
 */
asm(".pushsection .text\n"
    ".set FRAME, 0x150000000\n"
    ".macro fr op:req, off:req, star\n"
    "	\\op \\star start + (FRAME + \\off - base)(%rip)\n"
    ".endm\n"
    ".macro frs op:req, reg:req, off:req\n"
    "	\\op \\reg, start + (FRAME + \\off - base)(%rip)\n"
    ".endm\n"
    ".macro frl op:req, off:req, reg:req\n"
    "	\\op start + (FRAME + \\off - base)(%rip), \\reg\n"
    ".endm\n"
    ".macro load_regs\n"
    "	frl mov, 0, %rax\n	frl mov, 8, %rcx\n	frl mov, 16, %rdx\n	frl mov, 24, %rbx\n"
    "	frl mov, 32, %rsp\n	frl mov, 40, %rbp\n	frl mov, 48, %rsi\n	frl mov, 56, %rdi\n"
    "	frl mov, 64, %r8\n	frl mov, 72, %r9\n	frl mov, 80, %r10\n	frl mov, 88, %r11\n"
    "	frl mov, 96, %r12\n	frl mov, 104, %r13\n	frl mov, 112, %r14\n	frl mov, 120, %r15\n"
    ".endm\n"
    ".macro enter_code segments\n"
    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
    "	frs mov, %rsp, 152\n"
    "	mov $7, %eax\n"
    "	xor %edx, %edx\n"
    "	fr xrstor, 256\n"
    "	.if \\segments\n"
    "	mov %edx, %fs\n"
    "	mov %edx, %gs\n"
    "	frl movw, 192, %ax\n"
    "	mov %eax, %ds\n"
    "	mov %eax, %es\n"
    "	frl movw, 194, %ax\n"
    "	mov %eax, %ss\n"
    "	.endif\n"
    "	frl mov, 136, %rax\n"
    "	wrfsbase %rax\n"
    "	frl mov, 144, %rax\n"
    "	wrgsbase %rax\n"
    "	fr pushq, 128\n"
    "	popfq\n"
    ".endm\n"
    /* 64-bit code */
    "user_prologue_flat:\n"
    ".set base, 0x150001000\n"
    ".set start, user_prologue_flat\n"
    "	enter_code 0\n"
    "	load_regs\n"
    "	fr jmp, 176, *\n"
    /* any code, behind it */
    "user_prologue:\n"
    ".set base, 0x150001000 + user_prologue - user_prologue_flat\n"
    ".set start, user_prologue\n"
    "	enter_code 1\n"
    "	load_regs\n"
    "	fr ljmp, 184, *\n"
    "user_prologue_end:\n"
    "user_epilogue:\n"
    ".set base, 0xe0000000\n"
    ".set start, user_epilogue\n"
    "	frs mov, %rax, 0\n	frs mov, %rcx, 8\n	frs mov, %rdx, 16\n	frs mov, %rbx, 24\n"
    "	frs mov, %rsp, 32\n	frs mov, %rbp, 40\n	frs mov, %rsi, 48\n	frs mov, %rdi, 56\n"
    "	frs mov, %r8, 64\n	frs mov, %r9, 72\n	frs mov, %r10, 80\n	frs mov, %r11, 88\n"
    "	frs mov, %r12, 96\n	frs mov, %r13, 104\n	frs mov, %r14, 112\n	frs mov, %r15, 120\n"
    "	frl mov, 152, %rsp\n"
    "	pushfq\n"
    "	fr popq, 128\n"
    "	push $0x202\n"
    "	popfq\n"
    "	mov $0x2b, %eax\n"
    "	mov %eax, %ss\n"
    "	frs movw, %ds, 208\n"
    "	frs movw, %es, 210\n"
    "	frs movw, %fs, 212\n"
    "	frs movw, %gs, 214\n"
    "	rdfsbase %rax\n"
    "	frs mov, %rax, 136\n"
    "	rdgsbase %rax\n"
    "	frs mov, %rax, 144\n"
    "	frl mov, 160, %rax\n"
    "	wrfsbase %rax\n"
    "	frl mov, 168, %rax\n"
    "	wrgsbase %rax\n"
    "	mov $7, %eax\n"
    "	xor %edx, %edx\n"
    "	fr xsave, 256\n"
    "	fninit\n"
    "	fr ldmxcsr, 200\n"
    "	vzeroupper\n"
    "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
    "	ret\n"
    "user_epilogue_end:\n"
    ".code32\n"
    "user_epilogue32:\n"
    "	ljmp $0x33, $0xe0000000\n"
    "user_epilogue32_end:\n"
    ".code64\n"
    ".globl user_epilogue, user_epilogue_end, user_epilogue32, user_epilogue32_end\n"
    /* The signal handler: our own FS and GS come first. Neither flags nor red zone matter here. */
    "user_handler:\n"
    "	movabs $0x150000000, %rax\n"
    "	cmpl $0, 204(%rax)\n"
    "	je 1f\n"
    "	push $0x202\n"
    "	popfq\n"
    "	rdfsbase %rcx\n"
    "	mov %rcx, 136(%rax)\n"
    "	rdgsbase %rcx\n"
    "	mov %rcx, 144(%rax)\n"
    "	mov %ds, 208(%rax)\n"
    "	mov %es, 210(%rax)\n"
    "	mov %fs, 212(%rax)\n"
    "	mov %gs, 214(%rax)\n"
    "	mov 160(%rax), %rcx\n"
    "	wrfsbase %rcx\n"
    "	mov 168(%rax), %rcx\n"
    "	wrgsbase %rcx\n"
    "1:	jmp user_on_signal\n"
    "user_return:\n"
    "	movabs $0x150000000, %rax\n"
    "	mov 152(%rax), %rsp\n"
    "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
    "	ret\n"
    ".popsection\n");

/* Signal handlers have no argument of ours. */
static struct {
	struct user_state *out;
	int bits;
	uint8_t *code;
	uint64_t stack;			/* an address in it */
	struct sigaction before;	/* of SIGFPE */
} host;

static void get_selectors(struct user_state *out)
{
	out->ds = frame->out_ds;
	out->es = frame->out_es;
	out->fs = frame->out_fs;
	out->gs = frame->out_gs;
}

static void from_context(const ucontext_t *uc, struct user_state *out)
{
	static const int greg[NGPR] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};
	const greg_t *g = uc->uc_mcontext.gregs;

	for (int r = 0; r < NGPR; r++)
		out->regs[r] = (uint64_t)g[greg[r]];
	out->flags = (uint64_t)g[REG_EFL];
	out->rip = (uint64_t)g[REG_RIP];
	out->vector = (int)g[REG_TRAPNO];
	out->error = (uint64_t)g[REG_ERR];
	out->cr2 = out->vector == EXC_PF ? (uint64_t)g[REG_CR2] : 0;
	out->fs_base = frame->fs_base;
	out->gs_base = frame->gs_base;
	get_selectors(out);
	memcpy(out->xsave, uc->uc_mcontext.fpregs, USER_XSAVE);
}

void __attribute__((used)) user_on_signal(int sig, siginfo_t *info, void *context);
void user_on_signal(int sig, siginfo_t *info, void *context)
{
	if (frame->running) {
		frame->running = 0;
		from_context(context, host.out);
		user_return();
	}
	if (sig == SIGFPE && host.before.sa_flags & SA_SIGINFO)
		host.before.sa_sigaction(sig, info, context);
	else
		signal(sig, SIG_DFL);
}

static void catch_signals(void)
{
	static const int sigs[] = { SIGILL, SIGSEGV, SIGBUS, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = user_handler, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO };
	stack_t ss = { .ss_sp = malloc(65536), .ss_size = 65536 };

	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	sigaction(SIGFPE, &sa, &host.before);
}

static bool map_at(uint64_t at, size_t n, int prot, struct err *e)
{
	void *p = mmap((void *)(uintptr_t)at, n, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);

	return p == (void *)(uintptr_t)at || err_errno(e, "mapping %zu bytes at %#lx", n, at);
}

/* Memory that is written here and executed there. */
static bool map_code(struct err *e)
{
	int fd = memfd_create("code", 0);

	if (fd < 0 || ftruncate(fd, USER_CODE_BYTES) < 0)
		return err_errno(e, "memory for code");
	host.code = mmap(NULL, USER_CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (host.code == MAP_FAILED ||
	    mmap((void *)(uintptr_t)USER_CODE, USER_CODE_BYTES, PROT_READ | PROT_EXEC,
		 MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0) == MAP_FAILED)
		return err_errno(e, "mapping code");
	close(fd);
	memset(host.code, 0xcc, USER_CODE_BYTES);
	return true;
}

static bool map_all(struct err *e)
{
	if (!map_at(USER_DATA, USER_DATA_BYTES, PROT_READ | PROT_WRITE, e) ||
	    !map_at(USER_EPI, 4096, PROT_READ | PROT_WRITE, e) ||
	    !map_at(FRAME_AT, 8192, PROT_READ | PROT_WRITE, e) || !map_code(e))
		return false;
	user_fill_ro(host_mem() + USER_RO);
	memcpy((void *)PROLOGUE_AT, user_prologue_flat, (size_t)(user_prologue_end - user_prologue_flat));
	memcpy((void *)(uintptr_t)USER_EPI, user_epilogue, (size_t)(user_epilogue_end - user_epilogue));
	memcpy((void *)(uintptr_t)USER_EPI32, user_epilogue32, (size_t)(user_epilogue32_end - user_epilogue32));
	mprotect(host_mem() + USER_RO, 4096, PROT_READ);
	mprotect(host_mem() + USER_HOLE, 4096, PROT_NONE);
	mprotect((void *)(uintptr_t)USER_EPI, 4096, PROT_READ | PROT_EXEC);
	mprotect((void *)PROLOGUE_AT, 4096, PROT_READ | PROT_EXEC);
	return true;
}

enum { STACK_SIZE = 8 << 20 };

/* The stack grows where it is touched: no further than host_owns() tells. */
static void limit_stack(void)
{
	struct rlimit r;

	host.stack = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	if (!getrlimit(RLIMIT_STACK, &r) && r.rlim_cur > STACK_SIZE) {
		r.rlim_cur = STACK_SIZE;
		setrlimit(RLIMIT_STACK, &r);
	}
}

bool host_owns(uint64_t va)
{
	unsigned char in;

	if (va >> 32 == 0 || va >> 47)
		return false;		/* what is below 4 GiB, both have */
	if (va < host.stack && host.stack - va < STACK_SIZE)
		return true;
	return mincore((void *)(uintptr_t)(va & ~4095ull), 4096, &in) == 0 || errno != ENOMEM;
}

static bool make_segment(unsigned entry, uint32_t base, int contents, struct err *e)
{
	struct user_desc d = { .entry_number = entry, .base_addr = base, .limit = 0xffff,
			       .contents = (unsigned)contents, .useable = 1 };

	return syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0 || err_errno(e, "16-bit segments");
}

bool host_open(int bits, struct err *e)
{
	host.bits = bits;
	if (!(getauxval(AT_HWCAP2) & 2))
		return err_set(e, "the kernel does not let programs set the FS base");
	if (bits == 16 && (!make_segment(0, USER_CODE, MODIFY_LDT_CONTENTS_CODE, e) ||
			   !make_segment(1, USER_DATA, MODIFY_LDT_CONTENTS_DATA, e)))
		return false;
	if (!map_all(e))
		return false;
	frame->mxcsr = 0x1f80;
	frame->ds = bits == 16 ? 0x0f : bits == 32 ? 0x2b : 0;
	frame->ss = bits == 16 ? 0x0f : 0x2b;
	limit_stack();
	catch_signals();
	return true;
}

uint8_t *host_code(void)
{
	return host.code;
}

/* Bytes changed by another linear address than they run at: only a serialising instruction makes them seen. */
void host_code_changed(void)
{
	unsigned a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static const uint16_t code_selector[] = { [1] = 0x07, [2] = 0x23, [4] = 0x33 };

static void enter(uint64_t prologue)
{
	((void (*)(void))(uintptr_t)prologue)();
}

/* Null selectors, with the bases our own code has in FS and GS. */
static void forget_selectors(void)
{
	asm volatile("mov %0, %%ds\n\tmov %0, %%es\n\tmov %0, %%fs\n\tmov %0, %%gs\n\t"
		     "wrfsbase %1\n\twrgsbase %2"
		     : : "r"(0), "r"(frame->host_fs), "r"(frame->host_gs));
}

void host_exec(const struct user_state *in, struct user_state *out)
{
	memcpy(frame->regs, in->regs, sizeof(frame->regs));
	memcpy(frame->xsave, in->xsave, USER_XSAVE);
	frame->flags = in->flags;
	frame->fs_base = in->fs_base;
	frame->gs_base = in->gs_base;
	frame->rip = in->rip;
	frame->far = (uint32_t)in->rip | (uint64_t)code_selector[host.bits / 16] << 32;
	asm volatile("rdfsbase %0\n\trdgsbase %1" : "=r"(frame->host_fs), "=r"(frame->host_gs));
	host.out = out;
	frame->running = 1;
	enter(PROLOGUE_AT + (host.bits != 64 || in->segments ? (uint64_t)(user_prologue - user_prologue_flat) : 0));
	if (in->segments)
		forget_selectors();
	if (frame->running) {
		frame->running = 0;
		memcpy(out->regs, frame->regs, sizeof(out->regs));
		memcpy(out->xsave, frame->xsave, USER_XSAVE);
		out->flags = frame->flags;
		out->rip = USER_EPI;
		out->fs_base = frame->fs_base;
		out->gs_base = frame->gs_base;
		get_selectors(out);
		out->vector = USER_END;
		out->error = out->cr2 = 0;
	}
	user_state_canonical(out, host.bits);
}

#else

const uint8_t user_epilogue[1], user_epilogue_end[1], user_epilogue32[1], user_epilogue32_end[1];
bool host_open(int bits, struct err *e) { (void)bits; return err_set(e, "only x86-64 hosts run guest code"); }
bool host_owns(uint64_t va) { (void)va; return false; }
uint8_t *host_code(void) { return NULL; }
void host_code_changed(void) { }
void host_exec(const struct user_state *in, struct user_state *out) { (void)in; (void)out; }

#endif
