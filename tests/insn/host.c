/*
 * See host.h. The frame is made of host code at fixed addresses: it loads all
 * registers by absolute address, jumps to the code, and the code jumps back to
 * where they are stored.
 */
#include "tests/insn/host.h"

#include "cpu/cpuid.h"
#include "cpu/insn.h"

#ifdef __x86_64__
#include <asm/ldt.h>
#include <cpuid.h>
#endif
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __x86_64__

enum { PROLOGUE = AREA, EPILOGUE = AREA + 0x400 };

#define S_FIELD(f)	(AREA + 0x1000 + (int)offsetof(struct host_frame, f))
#define S_REG(r)	(S_FIELD(regs) + 8 * (r))

#define USER_CS32	0x23
#define USER_CS64	0x33
#define USER_DS		0x2b
#define LDT_CS16	0x07
#define LDT_DS16	0x0f

/* ---- the frame ---- */

static uint8_t *put(uint8_t *p, const char *bytes, int n)
{
	memcpy(p, bytes, n);
	return p + n;
}
#define PUT(p, ...) put(p, (const char []) { __VA_ARGS__ }, sizeof((const char []) { __VA_ARGS__ }))

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	st32(p, v);
	return p + 4;
}

/* mov between a register and the state; opcode 0x8b loads, 0x89 stores. */
static uint8_t *move_reg(uint8_t *p, bool is64, int opcode, int reg, uint32_t at)
{
	if (!is64) {
		*p++ = opcode;
		*p++ = (reg & 7) << 3 | 5;
		return put32(p, at);
	}
	*p++ = 0x48 | reg >> 3 << 2;
	*p++ = opcode;
	*p++ = (reg & 7) << 3 | 4;
	*p++ = 0x25;
	return put32(p, at);
}

/* mov sreg, [at]; from CS in 32-bit code with DS unknown. */
static uint8_t *load_seg(uint8_t *p, int seg, uint32_t at)
{
	p = PUT(p, 0x2e, 0x8e, (char)(seg << 3 | 5));
	return put32(p, at);
}

static void make_prologue(enum host_code code)
{
	bool is64 = code == HOST_CODE64;
	uint8_t *p = (uint8_t *)PROLOGUE;

	p = PUT(p, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);	/* push rbx rbp r12-r15 */
	p = move_reg(p, true, 0x89, RSP, S_FIELD(rsp));
	p = put32(PUT(p, 0xff, 0x34, 0x25), S_FIELD(flags));			/* push [flags] */
	p = PUT(p, 0x9d);							/* popfq */
	if (!is64) {
		p = put32(PUT(p, 0xff, 0x2c, 0x25), S_FIELD(far_off));		/* jmp far [far] */
		host_state->far_off = (uint32_t)(uintptr_t)p;
		host_state->far_sel = USER_CS32;
	}
	host_state->flat_sel = USER_DS;
	host_state->data_sel = LDT_DS16;
	if (code == HOST_CODE16)		/* an exception leaves it as it was */
		p = load_seg(p, DS, S_FIELD(flat_sel));
	for (int r = 0; r < (is64 ? 16 : 8); r++)
		p = move_reg(p, is64, 0x8b, r, S_REG(r));
	if (code == HOST_CODE16) {
		p = load_seg(p, ES, S_FIELD(data_sel));
		p = load_seg(p, DS, S_FIELD(data_sel));
		p = load_seg(p, SS, S_FIELD(data_sel));
		PUT(p, 0xea, 0, 0, 0, 0, LDT_CS16, 0);				/* jmp far */
	} else if (is64) {
		put32(PUT(p, 0xff, 0x24, 0x25), S_FIELD(entry));		/* jmp [entry] */
	} else {
		put32(PUT(p, 0xff, 0x25), S_FIELD(entry));
	}
}

static void make_epilogue(enum host_code code)
{
	bool is64 = code == HOST_CODE64;
	uint8_t *p = (uint8_t *)EPILOGUE;

	if (code == HOST_CODE16) {
		p = load_seg(p, DS, S_FIELD(flat_sel));
		p = load_seg(p, ES, S_FIELD(flat_sel));
		p = load_seg(p, SS, S_FIELD(flat_sel));
	}

	for (int r = 0; r < (is64 ? 16 : 8); r++)
		p = move_reg(p, is64, 0x89, r, S_REG(r));
	if (!is64) {
		*p++ = 0xea;							/* jmp far */
		p = put32(p, (uint32_t)(uintptr_t)p + 6);
		p = PUT(p, USER_CS64, 0);
	}
	p = move_reg(p, true, 0x8b, RSP, S_FIELD(rsp));
	p = PUT(p, 0x9c);							/* pushfq */
	p = put32(PUT(p, 0x8f, 0x04, 0x25), S_FIELD(flags));			/* pop [flags] */
	p = PUT(p, 0xfc);							/* cld */
	PUT(p, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

static bool code16;

void host_put(uint32_t at, const uint8_t *bytes, unsigned n)
{
	uint8_t *p = (uint8_t *)(uintptr_t)at;

	memcpy(p, bytes, n);
	p += n;
	if (code16) {							/* jmp far to 32-bit code */
		p = put32(PUT(p, 0x66, 0xea), EPILOGUE);
		PUT(p, USER_CS32, 0);
	} else {
		*p = 0xe9;
		st32(p + 1, EPILOGUE - (at + n + 5));
	}
}

/* ---- exceptions ---- */

static sigjmp_buf env;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	static const int greg[NGPR] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)info;
	for (int r = 0; r < NGPR; r++)
		host_state->regs[r] = (uint64_t)g[greg[r]];
	host_state->flags = (uint64_t)g[REG_EFL];
	host_state->rip = (uint64_t)g[REG_RIP];
	siglongjmp(env, sig);
}

void host_catch(void)
{
	static const int sigs[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO };

	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
}

int host_run(uint32_t at)
{
	int sig = sigsetjmp(env, 0);

	if (!sig) {
		host_state->entry = at;
		((void (*)(void))PROLOGUE)();
		return -1;
	}
	__asm__ volatile("cld");
	return sig == SIGFPE ? EXC_DE : sig == SIGILL ? EXC_UD : EXC_GP;
}

static uint8_t *alias;		/* of AREA */

uint8_t *host_data(void)
{
	return alias + (DATA - AREA);
}

void host_protect(enum host_protect how)
{
	static const int prot[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };

	mprotect((void *)(DATA + DATA_SIZE / 2), DATA_SIZE / 2 < 4096 ? 4096 : DATA_SIZE / 2, prot[how]);
}

/* The area is one memory file, mapped twice. */
static bool map_area(void)
{
	int fd = memfd_create("area", 0);

	if (fd < 0 || ftruncate(fd, AREA_SIZE) < 0)
		return false;
	alias = mmap(NULL, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return alias != MAP_FAILED &&
	       mmap((void *)AREA, AREA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE,
		    fd, 0) != MAP_FAILED;
}

static bool make_segment(unsigned entry, uint32_t base, bool exec)
{
	struct user_desc d = { .entry_number = entry, .base_addr = base, .limit = 0xffff,
			       .contents = exec ? MODIFY_LDT_CONTENTS_CODE : MODIFY_LDT_CONTENTS_DATA, .useable = 1 };

	return syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0;
}

bool host_init(enum host_code code)
{
	stack_t ss = { .ss_sp = malloc(65536), .ss_size = 65536 };

	if (!map_area())
		return false;
	code16 = code == HOST_CODE16;
	if (code16 && !(make_segment(0, CODE_BASE16, true) && make_segment(1, DATA_BASE16, false)))
		return false;
	make_prologue(code);
	make_epilogue(code);
	sigaltstack(&ss, NULL);
	host_catch();
	if (code != HOST_CODE64)
		__asm__ volatile("mov %0, %%ds; mov %0, %%es" :: "r"(USER_DS));
	return true;
}

bool host_has(unsigned feature)
{
	enum { EAX, EBX, ECX, EDX };
	static const struct {
		uint32_t leaf, sub;
		int reg;
	} words[] = {
#define WORD(word, text, leaf, sub, reg) { leaf, sub, reg },
#include "cpu/cpuid.def"
	};
	static const struct {
		uint8_t word, bit, insn;
	} features[] = {
#define FEAT(word, bit, id, name, how, insn) { FEAT_##word, bit, F_##insn },
#include "cpu/cpuid.def"
	};

	for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
		uint32_t r[4] = { 0 }, w = features[i].word;
		if (features[i].insn != feature || !words[w].leaf)
			continue;
		__get_cpuid_count(words[w].leaf, words[w].sub, &r[EAX], &r[EBX], &r[ECX], &r[EDX]);
		if (r[words[w].reg] >> features[i].bit & 1)
			return true;
	}
	return feature == F_BASE || feature == F_486;
}

#else

bool host_init(enum host_code code) { (void)code; return false; }
void host_catch(void) { }
static bool code16;

void host_put(uint32_t at, const uint8_t *bytes, unsigned n) { (void)at; (void)bytes; (void)n; }
int host_run(uint32_t at) { (void)at; return -1; }
bool host_has(unsigned feature) { (void)feature; return false; }
uint8_t *host_data(void) { return NULL; }
void host_protect(enum host_protect how) { (void)how; }

#endif
