/* Delivery and return: cpu/except*.c, cpu/smm.c. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "cpu/except.h"
#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "cpu/start.h"
#include "tests/cpu/harness.h"

static struct bench B;
#define C (B.c)
#define R(expr) RAISED(&B, expr)

static void fini(void)
{
	bench_fini(&B);
}
TestSuite(except, .fini = fini);

/* What a run loop does: deliver until it works. */
static void deliver_all(int vector, uint32_t error)
{
	volatile bool again = false;

	C->exc_vector = vector;
	C->exc_has_error = true;
	C->exc_error = error;
	setjmp(B.env);
	if (again && C->exc_vector < 0)
		return;
	again = true;
	cpu_deliver_pending(C);
}

/* ---- real and virtual-8086 mode ---- */

Test(except, real_mode_interrupt_and_iret)
{
	bench_real(&B);
	cpu_set_eflags(C, FL_IF | FL_CF | FL_TF);
	cpu_soft_int(C, 0x21, 2, EVENT_SOFT_INT);
	cr_assert_eq(C->segs[CS].base, 0x700);
	cr_assert_eq(C->rip, 0x21);
	cr_assert_eq(cpu_get_eflags(C), FL_CF | 2);
	cr_assert_eq(mem(&B, AT_STACK - 6, 2), AT_CODE + 2);
	cr_assert_eq(mem(&B, AT_STACK - 2, 2), FL_IF | FL_CF | FL_TF | 2);
	cpu_iret(C, 2, 0);
	cr_assert_eq(C->rip, AT_CODE + 2);
	cr_assert_eq(cpu_get_eflags(C), FL_IF | FL_CF | FL_TF | 2);
	cr_assert_eq(C->regs[RSP], AT_STACK);
}

Test(except, real_mode_vector_beyond_the_table_escalates)
{
	bench_real(&B);
	C->idtr.limit = 8 * 4 + 3;	/* up to #DF */
	deliver_all(EXC_GP, 0);
	cr_assert_eq(C->rip, EXC_DF);
	C->idtr.limit = 3;
	deliver_all(EXC_GP, 0);
	cr_assert_eq(B.shutdowns, 1);
	cr_assert(C->halted);
}

Test(except, vm86_int_needs_iopl_3)
{
	bench_vm86(&B, 0);
	cr_assert_eq(R(cpu_soft_int(C, 0x10, 2, EVENT_SOFT_INT)), EXC(EXC_GP, 0));
	cr_assert_eq(R(cpu_iret(C, 2, 0)), EXC(EXC_GP, 0));
	idt_put(&B, 3, S_CODE, 0x7003, 0xee);
	cr_assert_eq(R(cpu_soft_int(C, 3, 1, EVENT_SOFT_INT)), -1, "INT3 needs none");
	cr_assert_eq(cpu_cpl(C), 0);
}

Test(except, vm86_to_ring_0_and_back)
{
	bench_vm86(&B, 3);
	cpu_deliver(C, EXC_GP, EVENT_EXCEPTION, true, 0x1234);
	cr_assert_eq(cpu_cpl(C), 0);
	cr_assert_not(C->mode & MODE_VM);
	cr_assert_eq(C->segs[DS].attr, 0);
	cr_assert_eq(C->regs[RSP], AT_STACK - 40);
	uint32_t fl = FL_VM | FL_IF | FL_IOPL | FL_RF | 2;
	const uint32_t frame[] = { 0x1234, 0x10, 0x100, fl, 0x1000, 0x200, 0x300, 0x303, 0x304, 0x305 };
	for (unsigned i = 0; i < ARRAY_LEN(frame); i++)
		cr_expect_eq(mem(&B, AT_STACK - 40 + 4 * i, 4), frame[i], "%u", i);
	C->regs[RSP] += 4;
	cpu_iret(C, 4, 0);
	cr_assert(C->mode & MODE_VM);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->segs[GS].base, 0x3050);
	cr_assert_eq(C->segs[SS].base, 0x2000);
	cr_assert_eq(C->segs[CS].base, 0x1000);
	cr_assert_eq(C->regs[RSP], 0x1000);
	cr_assert_eq(C->rip, 0x10);
}

Test(except, vme_redirects_int_to_the_8086_handler)
{
	bench_vm86(&B, 0);
	C->cr4 |= CR4_VME;
	C->eflags = (C->eflags & ~FL_IF) | FL_VIF | FL_IF;
	mem_put(&B, 0x21 * 4, 4, 0x01230045);
	mem_put(&B, AT_TSS + 0x68 + 4, 4, 0);
	cr_assert_eq(R(cpu_soft_int(C, 0x21, 2, EVENT_SOFT_INT)), -1);
	cr_assert(C->mode & MODE_VM);
	cr_assert_eq(C->segs[CS].base, 0x1230);
	cr_assert_eq(C->rip, 0x45);
	cr_assert_not(C->eflags & FL_VIF);
	cr_assert(C->eflags & FL_IF, "the real IF stays");
	cr_assert_eq(mem(&B, 0x2ffe, 2) & (FL_IF | FL_IOPL), FL_IF | FL_IOPL);
	cr_assert_eq(R(cpu_iret(C, 2, 0)), -1);
	cr_assert(C->eflags & FL_VIF);
	cr_assert_eq(C->rip, 0x12);
	mem_put(&B, AT_TSS + 0x68 + 4, 4, 2);	/* bit of vector 0x21 */
	cr_assert_eq(R(cpu_soft_int(C, 0x21, 2, EVENT_SOFT_INT)), EXC(EXC_GP, 0));
}

/* ---- protected mode ---- */

Test(except, fault_from_ring_3_pushes_error_and_rf)
{
	bench_protected(&B, 3);
	cpu_set_eflags(C, FL_IF | FL_NT | FL_TF);
	C->exc_cr2 = 0xdeadbeef;
	deliver_all(EXC_PF, 6);
	cr_assert_eq(C->cr2, 0xdeadbeef);
	const uint32_t frame[] = { 6, AT_CODE, S_CODE3, FL_IF | FL_NT | FL_TF | FL_RF | 2, AT_STACK3, S_DATA3 };
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(mem(&B, AT_STACK - 24 + 4 * i, 4), frame[i], "%u", i);
	cr_assert_eq(C->rip, 0x700e);
	cr_assert_eq(cpu_get_eflags(C), 2);
	cr_assert_eq(C->exc_delivering, -1);
	C->regs[RSP] += 4;
	seg_load(C, DS, S_DATA);
	cpu_iret(C, 4, 0);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(cpu_get_eflags(C), frame[3] & ~FL_RF);
	cr_assert_eq(C->regs[RSP], AT_STACK3);
	cr_assert_eq(C->segs[DS].sel, 0);
}

Test(except, trap_gate_leaves_if_and_same_level_keeps_the_stack)
{
	bench_protected(&B, 0);
	cpu_set_eflags(C, FL_IF);
	idt_put(&B, 0x30, S_CODE, 0x7030, 0x8f);
	cpu_soft_int(C, 0x30, 2, EVENT_SOFT_INT);
	cr_assert(C->eflags & FL_IF);
	cr_assert_eq(C->regs[RSP], AT_STACK - 12);
	cr_assert_eq(mem(&B, AT_STACK - 12, 4), AT_CODE + 2);
}

Test(except, gate_of_16_bits)
{
	bench_protected(&B, 0);
	idt_put(&B, 0x30, S_CODE, 0xabcd7030, 0x86);
	cpu_deliver(C, 0x30, EVENT_INTERRUPT, false, 0);
	cr_assert_eq(C->rip, 0x7030);
	cr_assert_eq(C->regs[RSP], AT_STACK - 6);
	cpu_iret(C, 2, 0);
	cr_assert_eq(C->rip, AT_CODE);
}

Test(except, error_codes_name_idt_entry_and_external_origin)
{
	bench_protected(&B, 3);
	cr_assert_eq(R(cpu_soft_int(C, 3, 1, EVENT_SOFT_TRAP)), EXC(EXC_GP, 3 * 8 + 2));
	cr_assert_eq(R(cpu_soft_int(C, 0x50, 2, EVENT_SOFT_INT)), EXC(EXC_GP, 0x50 * 8 + 2));
	cr_assert_eq(R(cpu_deliver(C, 0x50, EVENT_INTERRUPT, false, 0)), EXC(EXC_GP, 0x50 * 8 + 3));
	idt_put(&B, 0x50, S_CODE, 0, 0x6e);
	cr_assert_eq(R(cpu_soft_int(C, 0x50, 2, EVENT_SOFT_INT)), EXC(EXC_NP, 0x50 * 8 + 2));
	idt_put(&B, 0x50, S_DATA, 0, 0xee);
	cr_assert_eq(R(cpu_soft_int(C, 0x50, 2, EVENT_SOFT_INT)), EXC(EXC_GP, S_DATA));
	cr_assert_eq(R(cpu_deliver(C, 0x50, EVENT_INTERRUPT, false, 0)), EXC(EXC_GP, S_DATA | 1));
	mem_put(&B, AT_TSS + 8, 4, S_CODE);
	idt_put(&B, 0x50, S_CODE, 0, 0xee);
	cr_assert_eq(R(cpu_deliver(C, 0x50, EVENT_INTERRUPT, false, 0)), EXC(EXC_TS, S_CODE | 1));
	C->idtr.limit = 0x50 * 8 + 6;
	cr_assert_eq(R(cpu_soft_int(C, 0x50, 2, EVENT_SOFT_INT)), EXC(EXC_GP, 0x50 * 8 + 2));
	cr_assert_eq(C->rip, AT_CODE);
	cr_assert_eq(C->regs[RSP], AT_STACK3);
}

Test(except, contributory_pairs_become_double_faults)
{
	bench_protected(&B, 3);
	idt_put(&B, EXC_GP, S_CODE, 0, 0x0e);	/* not present: #NP while #GP is delivered */
	deliver_all(EXC_GP, 0x10);
	cr_assert_eq(C->rip, 0x7008);
	cr_assert_eq(mem(&B, AT_STACK - 24, 4), 0, "error code 0");
	cr_assert_eq(mem(&B, AT_STACK - 20, 4), AT_CODE);
	cr_assert_eq(B.shutdowns, 0);
}

Test(except, benign_then_contributory_is_delivered_in_turn)
{
	bench_protected(&B, 3);
	idt_put(&B, EXC_UD, S_CODE, 0, 0x0e);
	deliver_all(EXC_UD, 0);
	cr_assert_eq(C->rip, 0x700b);
	cr_assert_eq(mem(&B, AT_STACK - 24, 4), EXC_UD * 8 + 3);
}

Test(except, page_fault_then_contributory_is_a_double_fault_but_not_the_reverse)
{
	bench_protected(&B, 3);
	idt_put(&B, EXC_PF, S_CODE, 0, 0x0e);
	deliver_all(EXC_PF, 0);
	cr_assert_eq(C->rip, 0x7008);
}

Test(except, third_fault_shuts_down)
{
	bench_protected(&B, 3);
	C->idtr.limit = 0;
	deliver_all(EXC_GP, 0);
	cr_assert_eq(B.shutdowns, 1);
	cr_assert(C->halted);
	cr_assert_not(cpu_has_work(C));
}

Test(except, debug_trap_clears_gd_and_leaves_rf)
{
	bench_protected(&B, 0);
	C->dr[7] = 0x2400;
	cpu_set_eflags(C, FL_TF);
	cpu_single_step_trap(C);
	cr_assert_eq(C->rip, 0x7001);
	cr_assert_eq(C->dr[7], 0x400);
	cr_assert(C->dr[6] & 0x4000);
	cr_assert_eq(mem(&B, AT_STACK - 4, 4), FL_TF | 2);
	C->dr6_pending = 2;
	C->dr[6] = 0xffff0ff0;
	cpu_single_step_trap(C);
	cr_assert_eq(C->dr[6], 0xffff0ff2);
}

Test(except, int_under_tf_is_not_followed_by_a_trap)
{
	bench_protected(&B, 0);
	cpu_set_eflags(C, FL_TF);
	cpu_soft_int(C, 5, 2, EVENT_SOFT_INT);
	cr_assert_eq(C->rip, 0x7005);
	cpu_single_step_trap(C);	/* the run loop, as TF was set before */
	cr_assert_eq(C->rip, 0x7005);
	cr_assert_eq(C->dr6_pending, 0);
}

Test(except, debug_traps_wait_behind_mov_ss)
{
	bench_protected(&B, 0);
	cpu_set_eflags(C, FL_TF);
	C->shadow_db = true;
	C->dr6_pending = 2;
	cpu_single_step_trap(C);
	cr_assert_eq(C->rip, AT_CODE);
	C->shadow_db = false;
	cpu_set_eflags(C, 0);
	cpu_soft_int(C, EXC_DB, 1, EVENT_EXCEPTION);	/* INT1 takes them along */
	cr_assert_eq(C->rip, 0x7001);
	cr_assert_eq(C->dr[6], 0xffff0ff2);
	cr_assert_eq(C->dr6_pending, 0);
}

Test(except, iret_loads_rf_only_while_breakpoints_are_armed)
{
	for (int armed = 0; armed < 2; armed++) {
		bench_protected(&B, 0);
		C->dr[7] = armed ? 0x401 : 0x400;
		cpu_update_mode(C);
		C->regs[RSP] = AT_STACK - 12;
		mem_put(&B, AT_STACK - 12, 4, 0x5000);
		mem_put(&B, AT_STACK - 8, 4, S_CODE);
		mem_put(&B, AT_STACK - 4, 4, FL_RF);
		cpu_iret(C, 4, 0);
		cr_assert_eq(cpu_get_eflags(C), armed ? FL_RF | 2 : 2);
	}
}

Test(except, iret_flag_rights)
{
	bench_protected(&B, 3);
	cpu_set_eflags(C, FL_IF);
	C->regs[RSP] = AT_STACK3 - 12;
	mem_put(&B, AT_STACK3 - 12, 4, 0x5000);
	mem_put(&B, AT_STACK3 - 8, 4, S_CODE3);
	mem_put(&B, AT_STACK3 - 4, 4, FL_IOPL | FL_VM | FL_VIF | FL_ID | FL_OF);
	cpu_iret(C, 4, 0);
	cr_assert_eq(cpu_get_eflags(C), FL_IF | FL_ID | FL_OF | 2);
}

Test(except, iret_to_bad_code_changes_nothing)
{
	bench_protected(&B, 3);
	C->nmi_blocked = true;
	C->regs[RSP] = AT_STACK3 - 12;
	mem_put(&B, AT_STACK3 - 8, 4, S_CODE);
	cr_assert_eq(R(cpu_iret(C, 4, 0)), EXC(EXC_GP, S_CODE));
	mem_put(&B, AT_STACK3 - 8, 4, 0);
	cr_assert_eq(R(cpu_iret(C, 4, 0)), EXC(EXC_GP, 0));
	cr_assert_eq(C->regs[RSP], AT_STACK3 - 12);
	cr_assert_eq(C->rip, AT_CODE);
	cr_assert_not(C->nmi_blocked);
}

/* ---- long mode ---- */

static void expect_frame(uint64_t top, const uint64_t *frame, int n)
{
	cr_expect_eq(C->regs[RSP], top - 8 * (unsigned)n);
	for (int i = 0; i < n; i++)
		cr_expect_eq(mem(&B, top - 8 * (unsigned)(n - i), 8), frame[i], "%d", i);
}

Test(except, long_mode_from_ring_3_and_back)
{
	bench_long(&B, 3);
	cpu_set_eflags(C, FL_IF | FL_ZF);
	for (int pass = 0; pass < 2; pass++) {		/* TLB empty, then filled */
		C->regs[RSP] = AT_STACK3 + 5;
		cpu_deliver(C, EXC_GP, EVENT_EXCEPTION, true, 0x77);
		const uint64_t frame[] = { 0x77, AT_CODE, S_CODE64_3, FL_IF | FL_ZF | FL_RF | 2, AT_STACK3 + 5, S_DATA3 };
		expect_frame(AT_STACK, frame, 6);
		cr_assert_eq(C->segs[SS].sel, 0);
		cr_assert_eq(cpu_cpl(C), 0);
		cr_assert_eq(C->rip, 0x700d);
		C->regs[RSP] += 8;
		cpu_iret(C, 8, 0);
		cr_assert_eq(cpu_cpl(C), 3);
		cr_assert_eq(C->regs[RSP], AT_STACK3 + 5);
		cr_assert_eq(cpu_get_eflags(C), FL_IF | FL_ZF | 2);
	}
}

Test(except, long_mode_same_level_aligns_the_stack)
{
	bench_long(&B, 0);
	C->regs[RSP] = AT_STACK - 3;
	cpu_deliver(C, 0x12, EVENT_INTERRUPT, false, 0);
	const uint64_t frame[] = { AT_CODE, S_CODE64, 2, AT_STACK - 3, S_DATA };
	expect_frame(AT_STACK - 16, frame, 5);
	cr_assert_eq(C->segs[SS].sel, S_DATA);
	cpu_iret(C, 8, 0);
	cr_assert_eq(C->regs[RSP], AT_STACK - 3);
	cr_assert_eq(C->rip, AT_CODE);
}

Test(except, ist_switches_stack_without_privilege_change)
{
	bench_long(&B, 0);
	gate_put(&B, AT_IDT + 2 * 16, S_CODE64, 0xffffffff80001000, 0x8e, 1);
	cpu_deliver(C, EXC_NMI, EVENT_NMI, false, 0);
	cr_assert_eq(C->regs[RSP], AT_STACK - 0x400 - 40);
	cr_assert_eq(C->rip, 0xffffffff80001000);
	cr_assert(C->nmi_blocked);
	cpu_iret(C, 8, 0);
	cr_assert_not(C->nmi_blocked);
}

Test(except, long_mode_errors)
{
	bench_long(&B, 3);
	idt_put(&B, 5, S_CODE, 0, 0x8e);
	cr_assert_eq(R(cpu_deliver(C, 5, EVENT_INTERRUPT, false, 0)), EXC(EXC_GP, S_CODE | 1), "32-bit target");
	idt_put(&B, 5, S_CODE64, 0x800000000000, 0x8e);
	cr_assert_eq(R(cpu_deliver(C, 5, EVENT_INTERRUPT, false, 0)), EXC(EXC_GP, 1));
	mem_put(&B, AT_TSS + 4, 8, 0x8000000000000000);
	cr_assert_eq(R(cpu_deliver(C, 6, EVENT_INTERRUPT, false, 0)), EXC(EXC_SS, 1));
	idt_put(&B, 5, S_CODE64, 0, 0x85);
	cr_assert_eq(R(cpu_deliver(C, 5, EVENT_INTERRUPT, false, 0)), EXC(EXC_GP, 5 * 8 + 3), "no task gates");
	C->eflags |= FL_NT;
	cr_assert_eq(R(cpu_iret(C, 8, 0)), EXC(EXC_GP, 0));
}

Test(except, iretq_to_compatibility_mode)
{
	bench_long(&B, 0);
	C->regs[RSP] = AT_STACK - 40;
	const uint64_t frame[] = { 0x5000, S_CODE3, FL_IF, 0xffffffff00004000, S_DATA3 };
	for (unsigned i = 0; i < 5; i++)
		mem_put(&B, AT_STACK - 40 + 8 * i, 8, frame[i]);
	cpu_iret(C, 8, 0);
	cr_assert_eq(C->mode & MODE_CODE, MODE_CODE32);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->regs[RSP], 0x4000);
	cpu_deliver(C, 0x12, EVENT_INTERRUPT, false, 0);
	cr_assert(cpu_is64(C));
	cr_assert_eq(C->regs[RSP], AT_STACK - 40);
}

Test(except, iretq_to_a_null_ss)
{
	bench_long(&B, 0);
	C->regs[RSP] = AT_STACK - 40;
	const uint64_t frame[] = { 0x5000, S_CODE64, FL_IF, AT_STACK, 0 };
	for (unsigned i = 0; i < 5; i++)
		mem_put(&B, AT_STACK - 40 + 8 * i, 8, frame[i]);
	cpu_iret(C, 8, 0);
	cr_assert_eq(C->segs[SS].sel, 0);
	cr_assert_eq(cpu_cpl(C), 0);
}

Test(except, double_fault_keeps_the_address_of_the_page_fault)
{
	bench_long(&B, 0);
	C->regs[RSP] = 0x40000000;	/* not mapped: pushing faults */
	gate_put(&B, AT_IDT + EXC_DF * 16, S_CODE64, 0x7008, 0x8e, 1);
	C->exc_cr2 = 0x1234;
	deliver_all(EXC_PF, 2);
	cr_assert_eq(C->rip, 0x7008);
	cr_assert_eq(C->cr2 & ~0xfffull, 0x3ffff000);
}

/* ---- requests ---- */

Test(except, interrupt_waits_for_if_and_shadow)
{
	bench_protected(&B, 0);
	idt_put(&B, 0x40, S_CODE, 0x7040, 0x8e);
	B.intr = 0x40;
	atomic_fetch_or(&C->request, REQ_INTR);
	cr_assert_not(cpu_handle_requests(C));
	cr_assert_not(cpu_has_work(C));
	cpu_set_eflags(C, FL_IF);
	cr_assert(cpu_has_work(C));
	C->shadow = true;
	cr_assert_not(cpu_handle_requests(C));
	C->shadow = false;
	C->halted = true;
	cr_assert(cpu_handle_requests(C));
	cr_assert_eq(C->rip, 0x7040);
	cr_assert_not(C->halted);
	cpu_set_eflags(C, FL_IF);
	cr_assert_not(cpu_handle_requests(C));
	cr_assert_not(C->request & REQ_INTR, "nothing pending: the request is dropped");
}

Test(except, nmi_is_blocked_until_iret)
{
	bench_protected(&B, 0);
	cpu_nmi(C);
	cr_assert(cpu_handle_requests(C));
	cr_assert_eq(C->rip, 0x7002);
	cpu_nmi(C);
	cr_assert_not(cpu_handle_requests(C));
	cpu_iret(C, 4, 0);
	cr_assert(cpu_handle_requests(C));
}

static int nmis_taken(void)
{
	int n = 0;

	for (; cpu_handle_requests(C); n++) {
		cr_assert_eq(C->rip, 0x7002);
		cpu_iret(C, 4, 0);
	}
	return n;
}

Test(except, one_nmi_waits_behind_the_one_in_service)
{
	bench_protected(&B, 0);
	cpu_nmi(C);
	cr_assert_eq(nmis_taken(), 1);
	cpu_nmi(C);
	cpu_nmi(C);
	cr_assert_eq(nmis_taken(), 2);
	for (int i = 0; i < 5; i++)
		cpu_nmi(C);
	cr_assert_eq(nmis_taken(), 2);
	cr_assert_not(C->request & REQ_NMI);
	cpu_request(C, REQ_NMI);
	cr_assert_eq(nmis_taken(), 0, "a late request for one that is done");
}

Test(except, only_one_nmi_is_remembered_while_one_is_in_service)
{
	bench_protected(&B, 0);
	cpu_nmi(C);
	cr_assert(cpu_handle_requests(C));
	for (int i = 0; i < 5; i++)
		cpu_nmi(C);
	cr_assert_not(cpu_handle_requests(C));
	cpu_iret(C, 4, 0);
	cr_assert_eq(nmis_taken(), 1);
}

enum { NMI_ROUNDS = 100000 };
static _Atomic int nmi_go, nmi_sent;

static void *send_nmis(void *unused)
{
	for (int i = 1; i <= NMI_ROUNDS; i++) {
		while (atomic_load(&nmi_go) < i)
			sched_yield();
		cpu_nmi(C);
		atomic_store(&nmi_sent, i);
	}
	return unused;
}

/* Its own and another processor's, whenever that one comes. */
Test(except, an_nmi_is_not_lost_while_another_one_is_taken)
{
	pthread_t t;
	int bad = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return;
	bench_protected(&B, 0);
	cr_assert_eq(pthread_create(&t, NULL, send_nmis, NULL), 0);
	for (int i = 1; i <= NMI_ROUNDS; i++) {
		int n = 0;

		atomic_store(&nmi_go, i);
		cpu_nmi(C);
		n = nmis_taken();
		while (atomic_load(&nmi_sent) < i)
			sched_yield();
		bad += n + nmis_taken() != 2;
	}
	pthread_join(t, NULL);
	cr_expect_eq(bad, 0, "%d of %d", bad, NMI_ROUNDS);
}

Test(except, sipi_starts_a_waiting_processor_once)
{
	bench_real(&B);
	C->sipi_vector = 0x9a;
	atomic_fetch_or(&C->request, REQ_SIPI);
	cr_assert_not(cpu_handle_requests(C));
	C->wait_sipi = C->halted = true;
	atomic_fetch_or(&C->request, REQ_SIPI);
	cr_assert(cpu_handle_requests(C));
	cr_assert_eq(C->segs[CS].base, 0x9a000);
	cr_assert_eq(C->rip, 0);
	cr_assert_not(C->halted);
}

Test(except, who_starts_others_waits_until_they_have_dealt_with_it)
{
	struct err e = { "" };
	struct cpu_config cfg = { .model = "max", .index = 1, .apic_id = 1, .ncpus = 2 };
	struct cpu *o;

	bench_real(&B);
	cfg.phys = C->phys;
	o = cpu_new(&cfg, &e);
	cr_assert(o, "%s", e.msg);
	cr_assert(o->wait_sipi);
	cpu_start_ipi(o, 0x9a);
	atomic_store(&C->request, REQ_STARTED | REQ_CALL);
	cpu_await_started(C);
	cr_expect_eq(C->request, REQ_STARTED | REQ_CALL, "something else comes first");
	cr_assert(cpu_handle_requests(o));
	cr_expect(o->first && o->starting, "it has done no instruction yet");
	cpu_end_start_ipi(o);
	atomic_store(&C->request, REQ_STARTED);
	cpu_await_started(C);
	cr_expect_eq(C->request, 0);
	cpu_start_ipi(o, 0x9b);
	cr_expect_not(cpu_handle_requests(o));
	cr_expect_not(o->starting, "one that runs ignores it");
	cpu_free(o);
}

/* ---- SMM ---- */

Test(except, smi_and_rsm_round_trip)
{
	bench_long(&B, 3);
	C->smbase = 0x30000;
	for (unsigned i = 0; i < NGPR; i++)
		C->regs[i] = 0x1111111111111111u * i;
	cpu_set_eflags(C, FL_IF | FL_SF);
	C->segs[FS].base = 0x7fff00000000;
	C->halted = true;
	C->cr4 |= CR4_LA57 | CR4_UMIP | CR4_PCIDE | CR4_PKE | CR4_PKS;
	uint64_t cr0 = C->cr0, cr4 = C->cr4, efer = C->efer;
	atomic_fetch_or(&C->request, REQ_SMI);
	cr_assert(cpu_handle_requests(C));
	cr_assert_eq(B.smm, 1);
	cr_assert_eq(C->mode & (MODE_PE | MODE_LMA), 0);
	cr_assert_eq(C->segs[CS].base, 0x30000);
	cr_assert_eq(C->rip, 0x8000);
	cr_assert_eq(mem(&B, 0x3fefc, 4), 0x20064);
	cr_assert_eq(mem(&B, 0x3ff00, 4), 0x30000);
	cr_assert_eq(mem(&B, 0x3ff78, 8), AT_CODE);
	cr_assert_eq(mem(&B, 0x3fff8, 8), C->regs[RAX]);
	cr_assert_eq(mem(&B, 0x3fff0, 8), C->regs[RCX]);
	mem_put(&B, 0x3ff00, 4, 0x40000);
	mem_put(&B, 0x3ff60, 8, 0xffffffff0000dc00);
	C->regs[RBX] = 0;
	smm_rsm(C);
	cr_assert_eq(B.smm, 0x101);
	cr_assert_eq(C->smbase, 0x40000);
	cr_assert_eq(C->regs[RBX], 0x3333333333333333);
	cr_assert_eq(C->cr0, cr0);
	cr_assert_eq(C->cr4, cr4);
	cr_assert_eq(C->efer, efer);
	cr_assert_eq(C->dr[7], 0x400, "reserved bits are dropped");
	cr_assert_eq(cpu_get_eflags(C), FL_IF | FL_SF | 2);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert(cpu_is64(C));
	cr_assert_eq(C->segs[FS].base, 0x7fff00000000);
	cr_assert(C->halted);
	cr_assert_eq(C->gdtr.base, AT_GDT);
	cr_assert_eq(R(smm_rsm(C)), EXC(EXC_UD, 0));
}

Test(except, save_area_of_a_processor_without_long_mode)
{
	bench_protected(&B, 0);
	cr_assert(cpu_has(C, CPUID_LM));
	C->feat[CPUID_LM / 32] &= ~(1u << CPUID_LM % 32);
	C->smbase = 0x30000;
	C->regs[RSI] = 0x51515151;
	smm_enter(C);
	cr_assert_eq(mem(&B, 0x3fefc, 4), 0x20000);
	cr_assert_eq(mem(&B, 0x3fef8, 4), 0x30000);
	cr_assert_eq(mem(&B, 0x3ffe8, 4), 0x51515151);
	cr_assert_eq(mem(&B, 0x3fff0, 4), AT_CODE);
	C->regs[RSI] = 0;
	smm_rsm(C);
	cr_assert_eq(C->regs[RSI], 0x51515151);
	cr_assert_eq(C->rip, AT_CODE);
	cr_assert_eq(C->segs[CS].attr, 0xc09b);
	cr_assert_eq(C->segs[TR].base, AT_TSS);
	cr_assert(C->mode & MODE_FLAT);
}

Test(except, leaving_smm_into_an_impossible_state_shuts_down)
{
	bench_protected(&B, 0);
	C->smbase = 0x30000;
	smm_enter(C);
	mem_put(&B, 0x3ff58, 8, CR0_PG);
	smm_rsm(C);
	cr_assert_eq(B.shutdowns, 1);
}
