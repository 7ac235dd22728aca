/*
 * Plugins see every instruction and every access exactly once: the known numbers of known code,
 * what a processor that is stepped says, the same from both back ends; where instructions
 * fault, are begun again, repeat themselves, cross pages, meet devices, or change their own block.
 */
#include "tcg/plug.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tcg/run.h"
#include "tests/guest_code.h"
#undef PAGE_SIZE
#include "tcg/cache.h"

#define END	"out 0xf4, al\n"

enum { MAX_SEEN = 4096 };

/* What the test's plugin has seen. */
struct watch {
	struct rhea_plugin *self;
	const struct rhea_api *api;
	bool calls, block_calls, regs, traces, only_insns;	/* what it is to register besides counters */
	rhea_counter insns, reads, writes, entries;
	rhea_stream stream;
	unsigned n_calls, n_blocks, n_block_calls, n_flushes, n_events[RHEA_N_EVENTS];
	unsigned n_access, n_trace;
	struct rhea_access access[MAX_SEEN];
	struct rhea_trace trace[MAX_SEEN];
	uint64_t rax, eflags, rip;
	void (*on_call)(struct watch *w, struct rhea_vcpu *v);
};

static void on_access(struct rhea_vcpu *v, const struct rhea_access *a, void *data)
{
	struct watch *w = data;

	(void)v;
	if (w->n_access < MAX_SEEN)
		w->access[w->n_access] = *a;
	w->n_access++;
}

static void on_insn(struct rhea_vcpu *v, void *data)
{
	struct watch *w = data;

	w->n_calls++;
	if (w->on_call)
		w->on_call(w, v);
}

static void on_block_entry(struct rhea_vcpu *v, void *data)
{
	(void)v;
	((struct watch *)data)->n_block_calls++;
}

static void on_trace(struct rhea_vcpu *v, const struct rhea_trace *t, size_t n, void *data)
{
	struct watch *w = data;

	(void)v;
	for (size_t i = 0; i < n; i++, w->n_trace++)
		if (w->n_trace < MAX_SEEN)
			w->trace[w->n_trace] = t[i];
}

static void on_block(struct rhea_vcpu *v, const struct rhea_block *b, void *data)
{
	struct watch *w = data;
	const struct rhea_api *api = w->api;
	const struct rhea_insn *i;
	uint32_t tag;

	(void)v;
	w->n_blocks++;
	if (!w->only_insns)
		api->block_add(b, w->entries, 1);
	if (w->block_calls)
		api->block_call(b, on_block_entry, w, 0);
	for (unsigned k = 0; (i = api->block_insn(b, k)); k++) {
		api->insn_add(i, w->insns, 1);
		api->mem_add(i, RHEA_READ, w->reads, 1);
		api->mem_add(i, RHEA_WRITE, w->writes, 1);
		if (w->calls) {
			api->insn_call(i, on_insn, w, w->regs ? RHEA_REGS : 0);
			api->mem_call(i, RHEA_READ | RHEA_WRITE, on_access, w);
		}
		if (w->traces) {
			tag = api->insn_info(i).pa & 0xfff;	/* not k: a string instruction that stops begins a block */
			api->insn_trace(i, w->stream, tag);
			api->mem_trace(i, RHEA_READ | RHEA_WRITE, w->stream, 0x1000 + tag);
		}
	}
}

static void on_flush(struct rhea_vcpu *v, void *data)
{
	(void)v;
	((struct watch *)data)->n_flushes++;
}

#define EVENT(n) static void on_event_##n(struct rhea_vcpu *v, void *data) { (void)v; ((struct watch *)data)->n_events[n]++; }
EVENT(0) EVENT(1) EVENT(2) EVENT(3)

static struct watch the_watch;		/* install() has no argument for it */

static int install(struct rhea_plugin *self, const struct rhea_api *api, int argc, const char *const *argv)
{
	static void (*const on_event[])(struct rhea_vcpu *, void *) = { on_event_0, on_event_1, on_event_2, on_event_3 };
	struct watch *w = &the_watch;

	(void)argc;
	(void)argv;
	w->self = self;
	w->api = api;
	api->on_block(self, on_block, w);
	api->on_flush(self, on_flush, w);
	for (int i = 0; i < RHEA_N_EVENTS; i++)
		api->on_vcpu(self, (enum rhea_event)i, on_event[i], w);
	w->insns = api->counter_new(self, 1);
	w->reads = api->counter_new(self, 2);
	w->writes = w->reads + 8;
	w->entries = api->counter_new(self, 1);
	w->stream = api->stream_new(self, on_trace, w);
	return 0;
}

/* A machine with the test's plugin, which registers `what` besides counters. */
static struct watch *watched(struct machine *m, struct watch what)
{
	struct err e = { "" };

	the_watch = what;
	m->c->ops->destroy(m->c);
	m->c->plugins = plugins_new("test", 1);
	cr_assert(plugins_add(m->c->plugins, "watch", install, 0, NULL, &e), "%s", e.msg);
	cr_assert(m->c->ops->create(m->c, &e), "%s", e.msg);
	machine_reset(m);
	return &the_watch;
}

#define CALLS (struct watch){ .calls = true }

static uint64_t sum(struct watch *w, rhea_counter c) { return w->api->counter_sum(w->self, c); }

static void begin(struct machine *m, struct watch *w)
{
	machine_reset(m);
	memset(machine_mem(m, M_DATA), 0, 0x10000);
	memset(w->api->counter_of(w->self, w->insns, 0), 0, 32);
	plug_drain_all(m->c);
	w->n_calls = w->n_access = w->n_trace = w->n_blocks = w->n_block_calls = 0;
}

/* ---- known code ---- */

struct known {
	const uint8_t *code, *end;
	const char *name;
	unsigned insns, reads, writes;	/* with the final out */
};
#define KNOWN(name, ...) { guest_##name, guest_##name##_end, #name, __VA_ARGS__ }

GUEST(loop, "mov ebx, 1000\n 1: add rsi, rbx\n dec ebx\n jnz 1b\n" END)
GUEST(calls, "mov ebx, 100\n 1: call 2f\n lea rdi, [rip + 3f]\n jmp rdi\n 2: nop\n ret\n 3: dec ebx\n jnz 1b\n" END)
GUEST(stack, "mov ebx, 10\n 1: push rbx\n push rsi\n push rdi\n mov rax, [rsp + 8]\n pop rdi\n pop rsi\n pop rbx\n"
      "dec ebx\n jnz 1b\n" END)
GUEST(shared, "mov ebx, 0x20000\n mov ecx, 50\n 1: mov rax, [rbx]\n add rax, [rbx + 8]\n mov [rbx + 16], rax\n"
      "inc qword ptr [rbx + 24]\n add rdx, [rbx + 32]\n adc rdx, [rbx + 40]\n dec ecx\n jnz 1b\n" END)
GUEST(strings, "mov esi, 0x20000\n mov edi, 0x21000\n mov ecx, 1000\n rep movsb\n mov ecx, 10\n rep stosq\n movsd\n lodsw\n"
      "cmpsb\n scasb\n" END)
GUEST(vectors, "fninit\n mov ebx, 0x20000\n movups xmm0, [rbx]\n movaps [rbx + 32], xmm0\n vmovdqu ymm1, [rbx]\n vmovdqu [rbx + 64], ymm1\n"
      "fld qword ptr [rbx]\n fstp dword ptr [rbx + 8]\n addss xmm0, [rbx]\n" END)
GUEST(helpers, "mov ebx, 0x20000\n sgdt [rbx]\n sldt [rbx + 16]\n fxsave [rbx + 64]\n enter 32, 0\n leave\n pushf\n popf\n"
      "lock cmpxchg16b [rbx]\n bts qword ptr [rbx], 3\n mov ax, ss\n mov ss, ax\n" END)
GUEST(crossing, "mov ebx, 0x20ffe\n mov eax, [rbx]\n mov [rbx], eax\n add dword ptr [rbx], 1\n mov rsp, 0x21004\n push rax\n pop rcx\n"
      "mov esi, 0x20ffd\n mov edi, 0x22ffe\n mov ecx, 3\n rep movsd\n" END)
GUEST(group_crossing, "mov ecx, 30\n mov ebx, 0x20fd0\n 1: inc rdx\n inc rdx\n mov rax, [rbx]\n add rax, [rbx + 8]\n mov [rbx + 16], rax\n"
      "add rbx, 4\n dec ecx\n jnz 1b\n" END)
GUEST(waits, "mov ecx, 100\n mov ebx, 0x20000\n fninit\n 1: inc rdx\n add rsi, rdx\n push rdx\n imul rsi, rdx\n mov eax, [rbx + rcx]\n"
      "xor edx, edx\n div ecx\n inc rdi\n fld1\n fstp qword ptr [rbx]\n pop rdx\n clc\n jc 2f\n inc r8\n 2: dec ecx\n jnz 1b\n" END)
GUEST(device, "mov ebx, 0x60000\n mov eax, [rbx]\n mov [rbx + 8], eax\n or dword ptr [rbx], 1\n mov eax, [rbx + 4]\n" END)
GUEST(indirect, "lea rax, [rip + 2f]\n mov [0x20000], rax\n mov ecx, 20\n 1: call [0x20000]\n dec ecx\n jnz 1b\n jmp 3f\n"
      "2: xlatb\n ret 0\n 3:" END)
GUEST(down, "std\n mov esi, 0x20100\n mov edi, 0x20200\n mov ecx, 20\n rep movsq\n mov ecx, 5\n xor eax, eax\n repe scasd\n cld\n" END)

static const struct known known[] = {
	KNOWN(loop, 1 + 1000 * 3 + 1, 0, 0),
	KNOWN(calls, 1 + 100 * 7 + 1, 100, 100),
	KNOWN(stack, 1 + 10 * 9 + 1, 40, 30),
	KNOWN(shared, 2 + 50 * 8 + 1, 5 * 50, 2 * 50),
	KNOWN(strings, 9 + 2, 1000 + 1 + 1 + 2 + 1, 1000 + 10 + 1),
	KNOWN(vectors, 9 + 1, 4, 3),
	KNOWN(helpers, 12 + 1, 1 + 1 + 1 + 1 + 1, 1 + 1 + 1 + 1 + 1 + 1 + 1),
	KNOWN(crossing, 11 + 1, 1 + 1 + 1 + 3, 1 + 1 + 1 + 3),
	KNOWN(group_crossing, 2 + 30 * 8 + 1, 60, 30),
	KNOWN(waits, 3 + 100 * 16 + 1, 200, 200),
	KNOWN(device, 5 + 1, 3, 2),
	KNOWN(indirect, 3 + 20 * 5 + 1 + 1, 20 * 3, 1 + 20),
	KNOWN(down, 9 + 1, 20 + 5, 20),
};

static void run_known(struct machine *m, struct watch *w, const struct known *k)
{
	begin(m, w);
	machine_put(m, M_CODE, k->code, (unsigned)(k->end - k->code));
	cr_expect_eq(machine_run(m, M_CODE), -1, "%s", k->name);
	plug_drain_all(m->c);
}

static void known_numbers(struct machine *m, struct watch what)
{
	struct watch *w = watched(m, what);

	for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
		const struct known *k = &known[i];

		run_known(m, w, k);
		cr_expect_eq(sum(w, w->insns), k->insns, "%s: %lu instructions", k->name, sum(w, w->insns));
		cr_expect_eq(sum(w, w->reads), k->reads, "%s: %lu reads", k->name, sum(w, w->reads));
		cr_expect_eq(sum(w, w->writes), k->writes, "%s: %lu writes", k->name, sum(w, w->writes));
		if (w->calls)
			cr_expect_eq(w->n_calls, k->insns, "%s: %u calls", k->name, w->n_calls);
	}
}

TEST_BOTH(plug, counters_have_the_known_numbers) { known_numbers(m, (struct watch){ 0 }); }
TEST_BOTH(plug, calls_have_the_known_numbers) { known_numbers(m, CALLS); }
TEST_BOTH(plug, calls_with_registers_have_them_too) { known_numbers(m, (struct watch){ .calls = true, .regs = true, .block_calls = true }); }
TEST_BOTH(plug, traces_do_not_change_them) { known_numbers(m, (struct watch){ .traces = true }); }

/* ---- regions ---- */

/* Nested loops with calls of helpers, accesses that share a look-up, and jumps out. */
GUEST(nested, "mov ebx, 0x20000\n mov r15d, 300\n 1: mov ecx, 40\n 2: mov rax, [rbx]\n add [rbx + 8], rax\n test cl, 3\n jnz 3f\n"
      "inc rdx\n 3: dec ecx\n jnz 2b\n cpuid\n mov ebx, 0x20000\n dec r15d\n jnz 1b\n" END)

Test(plug, regions_count_what_blocks_count)
{
	struct machine m;
	struct watch *w;

	machine_init(&m, 64, 0, &tcg_accel);
	w = watched(&m, (struct watch){ .only_insns = true });
	tcg_of(m.c)->hot = 0;				/* regions at once */
	for (int i = 0; i < 2; i++) {
		begin(&m, w);
		GUEST_PUT(&m, M_CODE, nested);
		cr_expect_eq(machine_run(&m, M_CODE), -1);
		cr_expect_eq(sum(w, w->insns), 2 + 300 * (1 + 40 * 6 + 10 + 4) + 1, "%lu", sum(w, w->insns));
		cr_expect_eq(sum(w, w->reads), 300 * 80, "%lu", sum(w, w->reads));
		cr_expect_eq(sum(w, w->writes), 300 * 40);
	}
	cr_expect_gt(tcg_of(m.c)->stats.regions, 0);
	machine_fini(&m);
}

/* ---- both back ends ---- */

/* Accesses and streams of the interpreter and of translated code are the same, entry by entry. */
Test(plug, both_back_ends_see_the_same)
{
	static struct watch first;
	struct machine a, b;
	struct watch what = { .calls = true, .traces = true }, *w;

	machine_init(&a, 64, 0, &tcg_interp_accel);
	machine_init(&b, 64, 0, &tcg_accel);
	for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
		w = watched(&a, what);
		run_known(&a, w, &known[i]);
		first = *w;
		w = watched(&b, what);
		run_known(&b, w, &known[i]);
		cr_expect_eq(w->n_access, first.n_access, "%s: %u, %u", known[i].name, w->n_access, first.n_access);
		cr_expect_eq(w->n_trace, first.n_trace, "%s: %u, %u", known[i].name, w->n_trace, first.n_trace);
		cr_expect_eq(w->n_trace, w->n_access + w->n_calls, "%s", known[i].name);
		for (unsigned j = 0; j < w->n_access && j < MAX_SEEN; j++)
			if (memcmp(&w->access[j], &first.access[j], sizeof(w->access[j]))) {
				cr_expect(false, "%s: access %u: %lx %u %u of %lx, %lx %u %u of %lx", known[i].name, j,
					  w->access[j].va, w->access[j].size, w->access[j].how, w->access[j].rip,
					  first.access[j].va, first.access[j].size, first.access[j].how, first.access[j].rip);
				break;
			}
		for (unsigned j = 0; j < w->n_trace && j < MAX_SEEN; j++)
			if (memcmp(&w->trace[j], &first.trace[j], sizeof(w->trace[j]))) {
				cr_expect(false, "%s: entry %u of %u: %lx %x %u %u, %lx %x %u %u", known[i].name, j, w->n_trace,
					  w->trace[j].va, w->trace[j].tag, w->trace[j].size, w->trace[j].how,
					  first.trace[j].va, first.trace[j].tag, first.trace[j].size, first.trace[j].how);
				break;
			}
	}
}

/* ---- a real processor ---- */

/* Ends with int3 on the host, with #BP in the guest. Data at 0x20000, the stack above. */
GUEST(fib, "mov esp, 0x28000\n mov edi, 12\n call 1f\n int3\n 1: cmp edi, 2\n jb 2f\n push rdi\n dec edi\n call 1b\n pop rdi\n"
      "push rax\n sub edi, 2\n call 1b\n pop rcx\n add eax, ecx\n ret\n 2: mov eax, edi\n ret\n")
GUEST(sort, "mov esp, 0x28000\n mov ecx, 40\n mov eax, 12345\n 1: imul eax, eax, 1103515245\n add eax, 12345\n mov [0x20000 + rcx * 4], eax\n"
      "dec ecx\n jnz 1b\n 2: xor edx, edx\n mov ecx, 1\n 3: mov eax, [0x20000 + rcx * 4]\n cmp eax, [0x20004 + rcx * 4]\n jbe 4f\n"
      "xchg eax, [0x20004 + rcx * 4]\n mov [0x20000 + rcx * 4], eax\n inc edx\n 4: inc ecx\n cmp ecx, 40\n jb 3b\n test edx, edx\n jnz 2b\n int3\n")
GUEST(sieve, "mov esp, 0x28000\n mov ebx, 2\n 1: cmp byte ptr [0x20000 + rbx], 0\n jne 3f\n lea ecx, [rbx + rbx]\n 2: cmp ecx, 2000\n jae 3f\n"
      "mov byte ptr [0x20000 + rcx], 1\n add ecx, ebx\n jmp 2b\n 3: inc ebx\n cmp ebx, 2000\n jb 1b\n"
      "lea rdi, [rip + 4f]\n xor edx, edx\n 5: call rdi\n inc edx\n cmp edx, 30\n jb 5b\n int3\n 4: movups xmm0, [0x20000]\n paddb xmm1, xmm0\n"
      "mov r8d, edx\n loop 6f\n 6: ret\n")

/* Steps that a child process takes through the code, int3 not counted; -1: the host does not let us. */
static long host_steps(const uint8_t *code, size_t n)
{
	struct user_regs_struct regs;
	long steps = 0;
	int status;
	pid_t pid = fork();

	if (!pid) {
		uint8_t *data = mmap((void *)0x20000, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		uint8_t *text = mmap((void *)0x40000, 0x10000, PROT_READ | PROT_WRITE | PROT_EXEC,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		if (data == MAP_FAILED || text == MAP_FAILED || ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(1);
		memcpy(text, code, n);
		raise(SIGSTOP);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	cr_assert_eq(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
	regs.rip = 0x40000;
	regs.orig_rax = ~0ull;
	cr_assert_eq(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
	while (ptrace(PTRACE_PEEKTEXT, pid, regs.rip, 0) % 256 != (long)0xcc - 256 &&
	       (ptrace(PTRACE_PEEKTEXT, pid, regs.rip, 0) & 0xff) != 0xcc) {
		cr_assert_eq(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		steps++;
		ptrace(PTRACE_GETREGS, pid, 0, &regs);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return steps;
}

TEST_BOTH(plug, the_host_takes_as_many_steps)
{
	static const struct known rows[] = { KNOWN(fib, 0), KNOWN(sort, 0), KNOWN(sieve, 0) };
	struct watch *w = watched(m, (struct watch){ .calls = true, .traces = true });

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = (size_t)(rows[i].end - rows[i].code);
		long steps = host_steps(rows[i].code, n);

		if (steps < 0)
			continue;
		begin(m, w);
		machine_put(m, M_CODE, rows[i].code, (unsigned)n);
		cr_expect_eq(machine_run(m, M_CODE), EXC_BP, "%s", rows[i].name);
		/* int3 and the handler's out */
		cr_expect_eq(sum(w, w->insns), (uint64_t)steps + 2, "%s: %ld, %lu", rows[i].name, steps, sum(w, w->insns));
		cr_expect_eq(w->n_calls, steps + 2, "%s: %ld, %u", rows[i].name, steps, w->n_calls);
	}
}

/* ---- instructions that fault, and are begun again ---- */

/* The handler of #PF maps the page and returns. */
GUEST(handler, "add rsp, 8\n out 0x80, al\n iretq\n")
GUEST(faults, "mov ebx, 0x1ff000\n mov ecx, 5\n push qword ptr [rbx]\n mov eax, 1\n add [rbx + 4096 - 4], eax\n" END)
GUEST(second_faults, "mov esi, 0x20000\n mov edi, 0x1ff000\n push rax\n movsq\n" END)
GUEST(rep_faults, "mov esi, 0x20000\n mov edi, 0x1fefe0\n mov ecx, 8\n rep movsq\n" END)

static void map_it(struct machine *m, uint32_t v)
{
	(void)v;
	machine_map(m, 0x1ff000, 0x30000 | PTE_P | PTE_W);
}

static struct watch *run_faulting(struct machine *m, const uint8_t *code, unsigned n)
{
	struct watch *w = m->c->plugins ? &the_watch : watched(m, (struct watch){ .calls = true, .traces = true });

	begin(m, w);
	machine_map(m, 0x1ff000, 0);
	machine_put(m, M_HANDLERS + 16 * EXC_PF, guest_handler, GUEST_SIZE(handler));
	m->on_out = map_it;
	machine_put(m, M_CODE, code, n);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	plug_drain_all(m->c);
	return w;
}

/* The handler: three instructions, iretq reads five words and two descriptors. */
TEST_BOTH(plug, what_faults_is_complete_once)
{
	struct watch *w = run_faulting(m, guest_faults, GUEST_SIZE(faults));

	cr_expect_eq(sum(w, w->insns), 6 + 3);
	cr_expect_eq(w->n_calls, 7 + 3, "one was begun twice: %u", w->n_calls);
	cr_expect_eq(sum(w, w->reads), 2 + 7, "%lu", sum(w, w->reads));
	cr_expect_eq(sum(w, w->writes), 2);

	w = run_faulting(m, guest_second_faults, GUEST_SIZE(second_faults));
	cr_expect_eq(sum(w, w->insns), 5 + 3);
	cr_expect_eq(sum(w, w->reads), 1 + 7, "its first access counts once: %lu", sum(w, w->reads));
	cr_expect_eq(sum(w, w->writes), 2);

	w = run_faulting(m, guest_rep_faults, GUEST_SIZE(rep_faults));
	cr_expect_eq(sum(w, w->insns), 5 + 3);
	cr_expect_eq(sum(w, w->reads), 8 + 7, "elements that are done count once: %lu", sum(w, w->reads));
	cr_expect_eq(sum(w, w->writes), 8);
	cr_expect_eq(w->n_access, 16 + 7);
	cr_expect_eq(w->n_trace, w->n_access + w->n_calls, "%u %u", w->n_trace, w->n_calls);
}

GUEST(divides, "mov ebx, 5\n inc ebx\n xor ecx, ecx\n div ecx\n inc ebx\n")

TEST_BOTH(plug, the_hosts_faults_are_not_complete_either)
{
	struct watch *w = watched(m, CALLS);

	begin(m, w);
	GUEST_PUT(m, M_CODE, divides);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DE);
	cr_expect_eq(sum(w, w->insns), 3 + 1, "and the out of the handler");
	cr_expect_eq(w->n_calls, 4 + 1);
}

/* ---- what Rhea begins again by itself ---- */

GUEST(ahead, "lea rdi, [rip + 1f]\n mov byte ptr [rdi + 1], 5\n 1: mov al, 1\n" END)
GUEST(behind, "xor ebx, ebx\n mov ecx, 50\n 1: mov al, 0\n add bl, al\n inc byte ptr [rip + 1b + 1]\n dec ecx\n jnz 1b\n" END)

static void changes_itself(struct machine *m, struct watch what)
{
	struct watch *w = watched(m, what);

	begin(m, w);
	GUEST_PUT(m, M_CODE, ahead);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(sum(w, w->insns), 4, "%lu", sum(w, w->insns));
	cr_expect_eq(sum(w, w->writes), 1);
	cr_expect_eq(w->n_calls, what.calls ? 4 : 0, "%u", w->n_calls);
	begin(m, w);
	GUEST_PUT(m, M_CODE, behind);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(sum(w, w->insns), 2 + 50 * 5 + 1, "%lu", sum(w, w->insns));
	cr_expect_eq(sum(w, w->writes), 50);
	cr_expect_eq(w->n_calls, what.calls ? 2 + 50 * 5 + 1 : 0, "%u", w->n_calls);
	plug_drain_all(m->c);
	cr_expect_eq(w->n_trace, w->n_access + w->n_calls);
}

TEST_BOTH(plug, code_that_changes_itself_counts_once) { changes_itself(m, (struct watch){ .calls = true, .traces = true }); }
TEST_BOTH(plug, without_calls_it_does_as_well) { changes_itself(m, (struct watch){ .only_insns = true }); }

/* A device that interrupts the processor that writes to it. */
static struct machine *the_machine;
static void ring(void *opaque, uint64_t off, int size, uint64_t v)
{
	(void)opaque, (void)off, (void)size, (void)v;
	cpu_request(the_machine->c, REQ_INTR);
}
static uint64_t silent(void *opaque, uint64_t off, int size)
{
	(void)opaque, (void)off, (void)size;
	return 0;
}
static const struct mmio_ops bell = { silent, ring, 8, true };

GUEST(rings, "sti\n mov ebx, 0x61000\n mov eax, 7\n mov [rbx], eax\n nop\n nop\n" END)

/* (The interpreter takes the interrupt at the end of the block.) */
Test(plug, a_store_that_is_executed_alone_counts_once)
{
	struct machine storage, *m = &storage;
	struct phys_range dev = { .pa = 0x61000, .size = 4096, .prio = 1, .ops = &bell, .name = "bell" };
	struct watch *w;
	struct err e;

	machine_init(m, 64, 0, &tcg_accel);
	w = watched(m, CALLS);
	the_machine = m;
	cr_assert(phys_map(m->phys, &dev, &e));
	begin(m, w);
	m->irq = 0x20;
	GUEST_PUT(m, M_CODE, rings);
	cr_expect_eq(machine_run(m, M_CODE), 0x20);
	cr_expect_eq(sum(w, w->insns), 4 + 1);
	cr_expect_eq(w->n_calls, 4 + 1, "%u", w->n_calls);
	cr_expect_eq(sum(w, w->writes), 1);
}

/* A repeated string instruction looks for requests between its runs. */
GUEST(long_rep, "mov esi, 0x20000\n mov edi, 0x28000\n mov ecx, 0x6000\n rep movsb\n" END)

static void disturb(struct watch *w, struct rhea_vcpu *v)
{
	(void)v;
	if (w->n_calls == 4)
		cpu_request(the_machine->c, REQ_SAMPLE);
}

TEST_BOTH(plug, a_string_that_is_interrupted_by_nothing_is_one)
{
	struct watch *w = watched(m, (struct watch){ .calls = true, .on_call = disturb });

	the_machine = m;
	begin(m, w);
	GUEST_PUT(m, M_CODE, long_rep);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(sum(w, w->insns), 5);
	cr_expect_eq(w->n_calls, 5, "%u", w->n_calls);
	cr_expect_eq(sum(w, w->reads), 0x6000, "%lu", sum(w, w->reads));
	cr_expect_eq(sum(w, w->writes), 0x6000);
}

/* ---- 16 and 32-bit code ---- */

GUEST(old, ".code32\n mov ebx, 0x20000\n pusha\n popa\n push fs\n pop fs\n mov eax, [ebx]\n add [ebx + 4], eax\n les esi, [ebx + 8]\n"
      "call 1f\n out 0xf4, al\n 1: enter 8, 1\n leave\n ret\n")

static void in_32_bits(const struct accel_ops *ops)
{
	struct machine m;
	struct watch *w;

	machine_init(&m, 32, 0, ops);
	w = watched(&m, (struct watch){ .calls = true, .traces = true });
	begin(&m, w);
	machine_put(&m, M_DATA + 12, (const uint8_t []){ M_DATA0, 0 }, 2);
	GUEST_PUT(&m, M_CODE, old);
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(sum(w, w->insns), 13, "%lu", sum(w, w->insns));
	/* popa 8 (the word of ESP is skipped), pop fs 1 and its descriptor, 2 (one of them add), les 2 and descriptor, enter 0, leave, ret */
	cr_expect_eq(sum(w, w->writes), 8 + 1 + 1 + 1 + 2, "%lu", sum(w, w->writes));
	for (unsigned i = 0; i < w->n_access; i++)
		cr_expect(w->access[i].va < M_RAM_SIZE && w->access[i].size <= 8, "%lx", w->access[i].va);
	machine_fini(&m);
}

Test(plug, old_code_is_seen) { in_32_bits(&tcg_accel); }
Test(plug, old_code_is_seen_interpreted) { in_32_bits(&tcg_interp_accel); }

/* ---- what a callback may ask ---- */

GUEST(asks, "mov eax, 0x1234\n cmp eax, eax\n nop\n" END)

static void look(struct watch *w, struct rhea_vcpu *v)
{
	uint64_t pa;
	uint8_t byte;
	bool device;

	if (w->n_calls != 3)
		return;
	cr_expect_eq(w->api->reg_read(v, "rax", &w->rax, 8), 8);
	cr_expect_eq(w->api->reg_read(v, "eflags", &w->eflags, 8), 8);
	cr_expect_eq(w->api->reg_read(v, "rip", &w->rip, 8), 8);
	cr_expect_eq(w->api->reg_read(v, "nothing", &pa, 8), 0);
	cr_expect(w->api->mem_read(v, M_CODE, &byte, 1) && byte == 0xb8);
	cr_expect_not(w->api->mem_read(v, 0x7fff00000000, &byte, 1));
	cr_expect(w->api->va_to_pa(v, M_DEVICE + 5, &pa, &device) && pa == M_DEVICE + 5 && device);
}

TEST_BOTH(plug, a_callback_reads_registers_and_memory)
{
	struct watch *w = watched(m, (struct watch){ .calls = true, .regs = true, .on_call = look });

	begin(m, w);
	GUEST_PUT(m, M_CODE, asks);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(w->rax, 0x1234);
	cr_expect(w->eflags & FL_ZF);
	cr_expect_eq(w->rip, M_CODE + 7);
}

/* ---- life ---- */

TEST_BOTH(plug, events_come_in_pairs)
{
	struct watch *w = watched(m, (struct watch){ 0 });

	cr_expect_eq(w->n_events[RHEA_VCPU_INIT], 1);
	GUEST_PUT(m, M_CODE, loop);
	machine_run(m, M_CODE);
	m->c->ops->destroy(m->c);
	cr_expect_eq(w->n_events[RHEA_VCPU_EXIT], 1);
	cr_expect_eq(w->n_flushes, 1);
	cr_expect_eq(sum(w, w->insns), 3002, "counters stay");
	cr_assert(m->c->ops->create(m->c, &(struct err){ "" }));
	cr_expect_eq(w->n_events[RHEA_VCPU_INIT], 2);
}

static void *wake_sleeper(void *arg)
{
	struct machine *m = arg;

	while (!atomic_load(&m->c->sleeping))
		usleep(100);
	cpu_request(m->c, REQ_INTR);
	return NULL;
}

GUEST(sleeps, "sti\n hlt\n nop\n" END)

TEST_BOTH(plug, sleep_is_told)
{
	struct watch *w = watched(m, (struct watch){ 0 });
	pthread_t t;

	begin(m, w);
	m->irq = 0x20;
	GUEST_PUT(m, M_CODE, sleeps);
	cr_assert_eq(pthread_create(&t, NULL, wake_sleeper, m), 0);
	cr_expect_eq(machine_run(m, M_CODE), 0x20);
	pthread_join(t, NULL);
	cr_expect_eq(w->n_events[RHEA_VCPU_IDLE], 1);
	cr_expect_eq(w->n_events[RHEA_VCPU_RESUME], 1);
	cr_expect_eq(sum(w, w->insns), 2 + 1, "and the out of the handler");
}

static int refuse(struct rhea_plugin *self, const struct rhea_api *api, int argc, const char *const *argv)
{
	api->error(self, "no %s, %d", argv[0], argc);
	return 1;
}

Test(plug, a_plugin_may_refuse)
{
	static const char *const args[] = { "cake" };
	struct plugins *p = plugins_new(NULL, 1);
	struct err e = { "" };

	cr_expect_not(plugins_add(p, "x", refuse, 1, args, &e));
	cr_expect_str_eq(e.msg, "no cake, 1");
	plugins_free(p);
}
