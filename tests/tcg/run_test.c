/*
 * The run loop with small guest programs: polls, interrupts and their shadows, single
 * steps, sleep, exceptions of the host's arithmetic, device accesses, operands across
 * pages, strings that fault. Each once translated and once interpreted.
 */
#include "tcg/run.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "tcg/cache.h"
#include "tests/guest_code.h"

#define DATA	"0x20000"
#define DEVICE	"0x60000"
#define END	"out 0xf4, al\n"

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

/* ---- interrupts ---- */

static void *interrupt_later(void *arg)
{
	struct machine *m = arg;
	struct timespec t = { 0, 2000000 };

	nanosleep(&t, NULL);
	cpu_request(m->c, REQ_INTR);
	return NULL;
}

/* Run with an interrupt that comes while it runs, or before: both must do. */
static int run_interrupted(struct machine *m, uint64_t rip)
{
	pthread_t t;
	int v;

	m->irq = 0x20;
	cr_assert_eq(pthread_create(&t, NULL, interrupt_later, m), 0);
	v = machine_run(m, rip);
	pthread_join(t, NULL);
	return v;
}

GUEST(loop_jmp, "sti\n nop\n 1: jmp 1b")
GUEST(loop_jcc, "sti\n xor eax, eax\n 1: test eax, eax\n jz 1b")
GUEST(loop_ind, "sti\n lea rax, [rip + 1f]\n 1: jmp rax")
GUEST(loop_call, "sti\n 1: call 2f\n jmp 1b\n 2: ret")
GUEST(loop_only_calls, "sti\n lea rbx, [rip + 1f]\n 1: add rsp, 8\n call rbx")
GUEST(loop_loop, "sti\n mov rcx, -1\n 1: loop 1b\n ud2")
GUEST(loop_far, "sti\n 1: jmp 2f\n .fill 8192, 1, 0x90\n 2: jmp 1b")
GUEST(loop_jrcxz, "sti\n xor ecx, ecx\n 1: jrcxz 1b\n ud2")

TEST_BOTH(run, every_loop_is_interruptible)
{
	static const struct { const uint8_t *code, *end; } loops[] = {
		{ guest_loop_jmp, guest_loop_jmp_end }, { guest_loop_jcc, guest_loop_jcc_end },
		{ guest_loop_ind, guest_loop_ind_end }, { guest_loop_call, guest_loop_call_end },
		{ guest_loop_only_calls, guest_loop_only_calls_end }, { guest_loop_loop, guest_loop_loop_end },
		{ guest_loop_far, guest_loop_far_end }, { guest_loop_jrcxz, guest_loop_jrcxz_end },
	};

	for (unsigned i = 0; i < ARRAY_LEN(loops); i++) {
		unsigned n = (unsigned)(loops[i].end - loops[i].code);

		machine_reset(m);
		machine_put(m, M_CODE, loops[i].code, n);
		cr_expect_eq(run_interrupted(m, M_CODE), 0x20, "loop %u", i);
		cr_expect(machine_frame(m).rip > M_CODE && machine_frame(m).rip < M_CODE + n, "loop %u", i);
	}
}

/* The loop at 2 is a region with registers of its own, left backward in its first round each time. */
GUEST(loop_around, "sti\n jmp 2f\n 1: mov r9d, 1\n jmp 2f\n .fill 8192, 1, 0x90\n"
      " 2: inc r8\n add r9, r8\n cmp r8, 0\n jne 1b\n jmp 2b\n")

TEST_BOTH(run, a_loop_around_a_region_is_interruptible)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, loop_around);
	cr_expect_eq(run_interrupted(m, M_CODE), 0x20);
}

GUEST(sti, "sti\n inc eax\n inc eax\n" END)
GUEST(sti_cli, "sti\n cli\n inc eax\n" END)

TEST_BOTH(run, sti_holds_interrupts_for_one_instruction)
{
	GUEST_PUT(m, M_CODE, sti);
	m->irq = 0x21;
	cpu_request(m->c, REQ_INTR);
	cr_expect_eq(machine_run(m, M_CODE), 0x21);
	cr_expect_eq(reg(m, RAX), 1);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 3);

	machine_reset(m);
	GUEST_PUT(m, M_CODE, sti_cli);
	m->irq = 0x21;
	cpu_request(m->c, REQ_INTR);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), 1);
	cr_expect_eq(m->irq, 0x21);
}

GUEST(sti_fault, "sti\n mov eax, [0x1ff000]\n ud2")

TEST_BOTH(run, a_fault_ends_the_shadow)
{
	machine_map(m, 0x1ff000, 0);
	GUEST_PUT(m, M_CODE, sti_fault);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 1);
	cr_expect_not(m->c->shadow);
}

GUEST(hlt, "sti\n hlt\n inc eax\n" END)
#define HANDLER_RETURNS 0xe6, 0x80, 0x48, 0xcf	/* out 0x80, al; iretq */

TEST_BOTH(run, hlt_sleeps_until_an_interrupt)
{
	GUEST_PUT(m, M_CODE, hlt);
	MACHINE_PUT(m, M_HANDLERS + 0x20 * 16, HANDLER_RETURNS);
	cr_expect_eq(run_interrupted(m, M_CODE), -1);
	cr_expect_eq(m->n_outs, 1);
	cr_expect_eq(reg(m, RAX), 1);
}

static void raise_on_out(struct machine *m, uint32_t v)
{
	m->irq = (int)v;
	cpu_request(m->c, REQ_INTR);
}

GUEST(count_irqs, "sti\n mov ecx, 1000\n 1: mov al, 0x30\n out 0x80, al\n inc rbx\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(run, the_board_hears_of_hlt)
{
	static const uint8_t hlt[] = { 0xf4 };

	m->end_at_halt = true;
	machine_put(m, M_CODE, hlt, sizeof(hlt));
	machine_run(m, M_CODE);
	cr_expect_eq(m->halts, 1);
	cr_expect(m->c->halted);
}

TEST_BOTH(run, interrupts_come_behind_the_instruction_that_raised_them)
{
	static const uint8_t handler[] = { 0x48, 0x39, 0xd3, 0x75, 0x03, 0x48, 0xff, 0xc2, 0x48, 0xcf };

	/* cmp rbx, rdx; jne over; inc rdx; over: iretq: each comes before its inc rbx */
	machine_put(m, M_HANDLERS + 0x30 * 16, handler, sizeof(handler));
	GUEST_PUT(m, M_CODE, count_irqs);
	m->on_out = raise_on_out;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RBX), 1000);
	cr_expect_eq(reg(m, RDX), 1000);
}

/* ---- single steps ---- */

GUEST(step, "pushfq\n or qword ptr [rsp], 0x100\n popfq\n inc eax\n inc eax\n" END)
GUEST(step_ss, "mov ecx, ss\n pushfq\n or qword ptr [rsp], 0x100\n popfq\n mov ss, ecx\n inc eax\n inc eax\n" END)
GUEST(step_rep, "lea rdi, [" DATA "]\n mov ecx, 3\n pushfq\n or qword ptr [rsp], 0x100\n popfq\n rep stosb\n ud2")
GUEST(step_jump, "pushfq\n or qword ptr [rsp], 0x100\n popfq\n jmp 1f\n ud2\n 1: inc eax\n" END)
GUEST(step_fault, "pushfq\n or qword ptr [rsp], 0x100\n popfq\n ud2")

#define DR6_BS 0x4000u

TEST_BOTH(run, tf_traps_behind_the_next_instruction)
{
	GUEST_PUT(m, M_CODE, step);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(reg(m, RAX), 1);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(step) - 4);
	cr_expect(machine_frame(m).flags & FL_TF);
	cr_expect(m->c->dr[6] & DR6_BS);
	cr_expect_not(m->c->eflags & FL_TF);
}

TEST_BOTH(run, tf_waits_for_the_shadow_of_mov_ss)
{
	GUEST_PUT(m, M_CODE, step_ss);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(reg(m, RAX), 1);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(step_ss) - 4);
}

TEST_BOTH(run, tf_traps_between_repetitions)
{
	GUEST_PUT(m, M_CODE, step_rep);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(step_rep) - 4);
	cr_expect_eq(reg(m, RCX), 2);
}

TEST_BOTH(run, tf_traps_at_the_target_of_a_jump)
{
	GUEST_PUT(m, M_CODE, step_jump);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(step_jump) - 4);
	cr_expect_eq(reg(m, RAX), 0);
}

TEST_BOTH(run, a_fault_comes_before_its_trap)
{
	GUEST_PUT(m, M_CODE, step_fault);
	cr_expect_eq(machine_run(m, M_CODE), EXC_UD);
	cr_expect(machine_frame(m).flags & FL_TF);
	cr_expect_not(m->c->dr[6] & DR6_BS);
}

/* ---- the host's arithmetic faults ---- */

GUEST(far_away, "inc ebx\n mov eax, 1\n shl rax, 48\n jmp rax\n ud2")

TEST_BOTH(run, a_jump_to_a_non_canonical_address_faults_itself)
{
	GUEST_PUT(m, M_CODE, far_away);
	cr_expect_eq(machine_run(m, M_CODE), EXC_GP);
	cr_expect_eq(reg(m, RBX), 1);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(far_away) - 4);
}

GUEST(far_call, "mov eax, 1\n shl rax, 48\n push rax\n call rax\n ud2")
GUEST(far_ret, "mov eax, 1\n shl rax, 48\n push rax\n ret 8\n ud2")
GUEST(paired_far_ret, "mov eax, 1\n shl rax, 48\n call 1f\n ud2\n 1: mov [rsp], rax\n ret\n ud2")
GUEST(far_mem_call, "mov eax, 1\n shl rax, 48\n push rax\n call [rsp]\n ud2")

/* Two bytes of the instruction, ud2 behind it; one value on the stack. */
static void expect_fault_at_itself(struct machine *m, const uint8_t *code, unsigned size, unsigned len)
{
	machine_put(m, M_CODE, code, size);
	for (int i = 0; i < 2; i++) {
		machine_reset(m);
		cr_expect_eq(machine_run(m, M_CODE), EXC_GP);
		cr_expect_eq(machine_frame(m).rip, M_CODE + size - 2 - len, "%llx", (long long)machine_frame(m).rip);
		cr_expect_eq(machine_frame(m).rsp, M_STACK - 8, "%llx", (long long)machine_frame(m).rsp);
		cr_expect_eq(machine_frame(m).error, 0);
	}
}

TEST_BOTH(run, a_call_to_a_non_canonical_address_faults_itself)
{
	expect_fault_at_itself(m, guest_far_call, GUEST_SIZE(far_call), 2);
	expect_fault_at_itself(m, guest_far_mem_call, GUEST_SIZE(far_mem_call), 3);
}

TEST_BOTH(run, a_return_to_a_non_canonical_address_faults_itself)
{
	expect_fault_at_itself(m, guest_far_ret, GUEST_SIZE(far_ret), 3);
	expect_fault_at_itself(m, guest_paired_far_ret, GUEST_SIZE(paired_far_ret), 1);
}

GUEST(far_sysret, "mov ecx, 1\n shl rcx, 48\n mov r11d, 2\n sysretq")

TEST_BOTH(run, behind_sysret_of_amd_the_fetch_faults)
{
	memcpy(m->c->id.vendor, "AuthenticAMD", 12);
	m->c->star = 0x8ull << 48;
	GUEST_PUT(m, M_CODE, far_sysret);
	cr_expect_eq(machine_run(m, M_CODE), EXC_GP);
	cr_expect_eq(machine_frame(m).rip, 1ull << 48);
	cr_expect_eq(m->c->dr6_pending, 0);
}

GUEST(div, "mov eax, 100\n mov ecx, 3\n 1: xor edx, edx\n inc rbx\n dec ecx\n div ecx\n jmp 1b")
GUEST(idiv, "inc rbx\n mov edx, 0x80000000\n xor eax, eax\n or ecx, -1\n idiv ecx\n ud2")

TEST_BOTH(run, division_by_zero_is_at_its_instruction)
{
	GUEST_PUT(m, M_CODE, div);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DE);
	cr_expect_eq(reg(m, RBX), 3);
	cr_expect_eq(reg(m, RAX), 50);
	cr_expect_eq(reg(m, RDX), 0);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(div) - 4);

	machine_reset(m);
	GUEST_PUT(m, M_CODE, idiv);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DE);
	cr_expect_eq(reg(m, RBX), 1);
	cr_expect_eq(reg(m, RDX), 0x80000000);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(idiv) - 4);
}

GUEST(x87, "fninit\n fldcw [" DATA "]\n fld1\n fldz\n fdivp st(1), st\n inc eax\n nop\n fwait\n inc eax\n" END)

TEST_BOTH(run, x87_exceptions_wait_for_the_next_x87_instruction)
{
	st16(machine_mem(m, M_DATA), 0x37b);		/* divide by zero unmasked */
	GUEST_PUT(m, M_CODE, x87);
	cr_expect_eq(machine_run(m, M_CODE), EXC_MF);
	cr_expect_eq(reg(m, RAX), 1);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(x87) - 5);
	cr_expect_eq(m->ferrs, 0);

	machine_reset(m);
	memset(m->c->xsave, 0, 576);
	st16(m->c->xsave, 0x37f);
	st32(m->c->xsave + 24, 0x1f80);
	m->c->cr0 &= ~(uint64_t)CR0_NE;
	cpu_update_mode(m->c);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->ferrs, 1);
}

GUEST(sse, "ldmxcsr [" DATA "]\n mov ecx, 1\n cvtsi2ss xmm0, ecx\n xorps xmm1, xmm1\n inc eax\n"
      " divss xmm0, xmm1\n inc eax\n" END)

TEST_BOTH(run, sse_exceptions_are_at_their_instruction)
{
	st32(machine_mem(m, M_DATA), 0x1d80);		/* divide by zero unmasked */
	GUEST_PUT(m, M_CODE, sse);
	cr_expect_eq(machine_run(m, M_CODE), EXC_XM);
	cr_expect_eq(reg(m, RAX), 1);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(sse) - 8);
	cr_expect_eq(ld32(m->c->xsave + 160), 0x3f800000);
	cr_expect_eq(ld32(m->c->xsave + 24), 0x1d84);

	machine_reset(m);
	m->c->cr4 &= ~CR4_OSXMMEXCPT;
	cr_expect_eq(machine_run(m, M_CODE), EXC_UD);
}

/* ---- devices ---- */

GUEST(dev_add, "add dword ptr [" DEVICE "], -1\n adc eax, 0\n" END)
GUEST(dev_xchg, "mov eax, 7\n xchg eax, [" DEVICE "]\n" END)
GUEST(dev_xadd, "mov eax, 7\n lock xadd [" DEVICE "], eax\n" END)
GUEST(dev_cmpxchg, "mov ecx, 9\n lock cmpxchg [" DEVICE "], ecx\n" END)
GUEST(dev_load, "mov eax, [" DEVICE "]\n" END)
GUEST(dev_store, "mov eax, 3\n mov [" DEVICE "], eax\n" END)
GUEST(dev_push, "push qword ptr [" DEVICE "]\n pop rax\n" END)
GUEST(dev_movs, "mov esi, " DEVICE "\n mov edi, " DATA "\n mov ecx, 4\n rep movsd\n" END)
GUEST(dev_bts, "bts dword ptr [" DEVICE "], 9\n" END)
GUEST(dev_shl, "shl dword ptr [" DEVICE "], 1\n adc ebx, 0\n" END)

TEST_BOTH(run, devices_see_each_access_once)
{
#define ROW(name, r, w, after, rax) { guest_##name, guest_##name##_end, r, w, after, rax }
	static const struct {
		const uint8_t *code, *end;
		unsigned reads, writes;
		uint32_t after, rax;
	} rows[] = {
		ROW(dev_add, 1, 1, 0x81234566, 1), ROW(dev_xchg, 1, 1, 7, 0x81234567),
		ROW(dev_xadd, 1, 1, 0x8123456e, 0x81234567), ROW(dev_cmpxchg, 1, 1, 0x81234567, 0x81234567),
		ROW(dev_load, 1, 0, 0x81234567, 0x81234567), ROW(dev_store, 0, 1, 3, 3),
		ROW(dev_push, 1, 0, 0x81234567, 0x81234567), ROW(dev_movs, 4, 0, 0x81234567, 0),
		ROW(dev_bts, 1, 1, 0x81234767, 0), ROW(dev_shl, 1, 1, 0x02468ace, 0),
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		machine_reset(m);
		st64(m->device, 0x81234567);
		machine_put(m, M_CODE, rows[i].code, (unsigned)(rows[i].end - rows[i].code));
		cr_expect_eq(machine_run(m, M_CODE), -1, "row %u", i);
		cr_expect_eq(m->n_reads, rows[i].reads, "row %u: %u reads", i, m->n_reads);
		cr_expect_eq(m->n_writes, rows[i].writes, "row %u: %u writes", i, m->n_writes);
		cr_expect_eq(ld32(m->device), rows[i].after, "row %u: %x", i, ld32(m->device));
		cr_expect_eq(reg(m, RAX), rows[i].rax, "row %u: %lx", i, reg(m, RAX));
	}
	cr_expect_eq(reg(m, RBX), 1);		/* of the last */
}

/* ---- operands across pages ---- */

GUEST(cross, "mov rax, 0x1122334455667788\n mov rbx, [rdi]\n mov [rdi], rax\n lock add dword ptr [rdi + 2], 1\n" END)

TEST_BOTH(run, operands_may_cross_pages)
{
	GUEST_PUT(m, M_CODE, cross);
	machine_map(m, M_DATA + 0x1000, (M_DATA + 0x5000) | 3);
	st32(machine_mem(m, M_DATA + 0xffc), 0xaaaaaaaa);
	st32(machine_mem(m, M_DATA + 0x5000), 0xbbbbbbbb);
	m->c->regs[RDI] = M_DATA + 0xffc;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RBX), 0xbbbbbbbbaaaaaaaa);
	cr_expect_eq(ld32(machine_mem(m, M_DATA + 0xffc)), 0x55677788);
	cr_expect_eq(ld32(machine_mem(m, M_DATA + 0x5000)), 0x11223344);
}

TEST_BOTH(run, a_store_across_pages_writes_all_or_nothing)
{
	GUEST_PUT(m, M_CODE, cross);
	machine_map(m, M_DATA + 0x1000, (M_DATA + 0x1000) | 1);
	st32(machine_mem(m, M_DATA + 0xffc), 0xaaaaaaaa);
	m->c->regs[RDI] = M_DATA + 0xffc;
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(machine_frame(m).error, 3);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 13);
	cr_expect_eq(m->c->cr2, M_DATA + 0x1000);
	cr_expect_eq(ld32(machine_mem(m, M_DATA + 0xffc)), 0xaaaaaaaa);
}

GUEST(cx16, "lock cmpxchg16b [rdi]\n setz sil\n" END)

TEST_BOTH(run, cmpxchg16b_compares_and_swaps)
{
	uint8_t *p = machine_mem(m, M_DATA);

	GUEST_PUT(m, M_CODE, cx16);
	for (int equal = 0; equal < 2; equal++) {
		machine_reset(m);
		st64(p, 5);
		st64(p + 8, 6);
		m->c->regs[RDI] = M_DATA;
		m->c->regs[RAX] = 5;
		m->c->regs[RDX] = equal ? 6 : 7;
		m->c->regs[RBX] = 8;
		m->c->regs[RCX] = 9;
		cr_expect_eq(machine_run(m, M_CODE), -1);
		cr_expect_eq(reg(m, RSI), (uint64_t)equal);
		cr_expect_eq(ld64(p), equal ? 8 : 5);
		cr_expect_eq(ld64(p + 8), equal ? 9 : 6);
		cr_expect_eq(reg(m, RDX), 6);
	}
	machine_reset(m);
	m->c->regs[RDI] = M_DATA + 8;
	cr_expect_eq(machine_run(m, M_CODE), EXC_GP);
	cr_expect_eq(machine_frame(m).rip, M_CODE);
}

/* ---- spinning ---- */

enum { ROUNDS = 200 };

/* The other vCPU: waits for odd numbers, answers with the next. */
static void *answer(void *arg)
{
	_Atomic uint32_t *word = arg;

	for (uint32_t n = 1; n < 2 * ROUNDS; n += 2) {
		while (*word != n)
			sched_yield();
		*word = n + 1;
	}
	return NULL;
}

GUEST(spin, "1: inc eax\n mov [rdi], eax\n inc eax\n 2: pause\n cmp [rdi], eax\n jne 2b\n"
      " dec ecx\n jnz 1b\n" END)

/* Both on one host processor: who spins through his time slice spends milliseconds a round. */
TEST_BOTH(run, a_spinning_vcpu_gives_way_to_another)
{
	cpu_set_t before, one;
	struct timespec begin, end;
	pthread_t t;

	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	GUEST_PUT(m, M_CODE, spin);
	m->c->ncpus = 2;
	m->c->regs[RDI] = M_DATA;
	m->c->regs[RCX] = ROUNDS;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	cr_assert_eq(pthread_create(&t, NULL, answer, machine_mem(m, M_DATA)), 0);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	pthread_join(t, NULL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	sched_setaffinity(0, sizeof(before), &before);
	cr_expect_lt((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000, ROUNDS / 2);
}

/* ---- strings ---- */

GUEST(movs, "rep movsq\n" END)

TEST_BOTH(run, rep_movs_goes_on_where_it_faulted)
{
	GUEST_PUT(m, M_CODE, movs);
	for (int i = 0; i < 0x2000; i++)
		*machine_mem(m, M_DATA + (unsigned)i) = (uint8_t)(i * 7 + (i >> 8));
	machine_map(m, M_DATA + 0x5000, 0);
	m->c->regs[RSI] = M_DATA;
	m->c->regs[RDI] = M_DATA + 0x4010;
	m->c->regs[RCX] = 0x1000 / 8;
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(m->c->cr2, M_DATA + 0x5000);
	cr_expect_eq(machine_frame(m).rip, M_CODE);
	cr_expect_eq(reg(m, RCX), 2);
	cr_expect_eq(reg(m, RSI), M_DATA + 0xff0);
	cr_expect_eq(reg(m, RDI), M_DATA + 0x5000);
	machine_map(m, M_DATA + 0x5000, (M_DATA + 0x5000) | 3);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RCX), 0);
	cr_expect_arr_eq(machine_mem(m, M_DATA + 0x4010), machine_mem(m, M_DATA), 0x1000);
}

/* ---- vector and x87 registers across calls of the board ---- */

#define EACH(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define TAKE_YMM(n) "vmovdqu ymm" #n ", [rdi + 32 * " #n "]\n"
#define GIVE_YMM(n) "vmovdqu [rdi + 32 * " #n " + 1024], ymm" #n "\n"
#define CLOBBER(n) "vpxor %%ymm" #n ", %%ymm" #n ", %%ymm" #n "\n"

GUEST(vectors,
      "mov rax, cr4\n or eax, 0x40600\n mov cr4, rax\n mov eax, 7\n xor edx, edx\n xor ecx, ecx\n xsetbv\n"
      " fninit\n fldpi\n mov dword ptr [rdi + 512], 0x3f81\n ldmxcsr [rdi + 512]\n" EACH(TAKE_YMM)
      " out 0x80, al\n mov rax, [0x60000]\n mov [0x60000], rax\n"
      EACH(GIVE_YMM) " stmxcsr [rdi + 516]\n fldpi\n fsubp\n fstp qword ptr [rdi + 520]\n" END)

__attribute__((target("avx2"))) static void spoil_vectors(struct machine *m, uint32_t v)
{
	uint32_t mxcsr;

	(void)m, (void)v;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	cr_expect_eq(mxcsr & 0xffc0, 0x1f80, "the host's own rounding");
	__asm__ volatile(EACH(CLOBBER) : : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

TEST_BOTH(run, the_board_may_use_vector_registers)
{
	if (!__builtin_cpu_supports("avx2"))
		return;
	GUEST_PUT(m, M_CODE, vectors);
	for (unsigned i = 0; i < 512; i++)
		*machine_mem(m, M_DATA + i) = (uint8_t)(i * 13 + (i >> 8) + 1);
	m->c->regs[RDI] = M_DATA;
	m->on_out = spoil_vectors;
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->n_outs, 1);
	cr_expect_eq(m->n_reads + m->n_writes, 2);
	cr_expect_arr_eq(machine_mem(m, M_DATA + 1024), machine_mem(m, M_DATA), 512);
	cr_expect_eq(ld32(machine_mem(m, M_DATA + 516)), 0x3f81, "the guest's flags and rounding");
	cr_expect_eq(ld64(machine_mem(m, M_DATA + 520)), 0, "its x87 stack");
}
