/* Last-branch records and steps from branch to branch (MSR DEBUGCTL), by guest code. */
#include <criterion/criterion.h>

#include "cpu/lbr.h"
#include "cpu/system.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define MSR_DEBUGCTL	0x1d9u
#define MSR_LAST	0x1dbu		/* from, to, exception's from, exception's to */
#define DR6_BS		0x4000u

static uint64_t rd(struct machine *m, uint32_t msr)
{
	uint64_t v = 0;

	cr_assert(msr_get(m->c, msr, &v));
	return v;
}

static void expect_last(struct machine *m, unsigned which, uint64_t from, uint64_t to)
{
	cr_expect_eq(rd(m, MSR_LAST + which), from, "from %#llx", (unsigned long long)rd(m, MSR_LAST + which));
	cr_expect_eq(rd(m, MSR_LAST + which + 1), to, "to %#llx", (unsigned long long)rd(m, MSR_LAST + which + 1));
}

/* Handlers end with a branch-free `out`, so what the run left is what the test sees. */
static int run(struct machine *m, uint64_t debugctl)
{
	cr_assert(msr_set(m->c, MSR_DEBUGCTL, debugctl));
	return machine_run(m, M_CODE);
}

/* The test is at 0, the jump at 2, its target at 6; then what does not branch. */
GUEST(jumps, "xor eax, eax; jz 1f; nop; nop; 1: jnz 1b; mov ecx, 3; mov edi, 0x20000; cld; rep stosb; out 0xf4, al")

TEST_BOTH(lbr, a_taken_branch_is_recorded_and_nothing_else)
{
	GUEST_PUT(m, M_CODE, jumps);
	cr_assert_eq(run(m, DEBUGCTL_LBR), -1);
	expect_last(m, LBR_FROM, M_CODE + 2, M_CODE + 6);
	expect_last(m, LBR_EXC_FROM, 0, 0);
	cr_expect(m->c->mode & MODE_DEBUG);
}

TEST_BOTH(lbr, off_means_off)
{
	GUEST_PUT(m, M_CODE, jumps);
	cr_assert_eq(run(m, 0), -1);
	expect_last(m, LBR_FROM, 0, 0);
	cr_expect_not(m->c->mode & MODE_DEBUG);
}

GUEST(switched, "mov ecx, 0x1d9; xor edx, edx; mov eax, 1; wrmsr; jmp 1f; nop; 1: xor eax, eax; wrmsr; jmp 2f; nop; 2: out 0xf4, al")

TEST_BOTH(lbr, wrmsr_turns_it_on_and_off)
{
	GUEST_PUT(m, M_CODE, switched);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	expect_last(m, LBR_FROM, M_CODE + 14, M_CODE + 17);
	cr_expect_eq(rd(m, MSR_DEBUGCTL), 0);
}

/* A call to the next instruction is a branch, too. */
GUEST(calls, "call 1f; 1: pop rax; out 0xf4, al")

TEST_BOTH(lbr, call_to_the_next_instruction)
{
	GUEST_PUT(m, M_CODE, calls);
	cr_assert_eq(run(m, DEBUGCTL_LBR), -1);
	expect_last(m, LBR_FROM, M_CODE, M_CODE + 5);
}

GUEST(faults, "jmp 1f; nop; 1: nop; ud2")

TEST_BOTH(lbr, an_exception_keeps_the_branch_before_it)
{
	GUEST_PUT(m, M_CODE, faults);
	cr_assert_eq(run(m, DEBUGCTL_LBR), EXC_UD);
	expect_last(m, LBR_FROM, M_CODE + 4, M_HANDLERS + 16 * EXC_UD);
	expect_last(m, LBR_EXC_FROM, M_CODE, M_CODE + 3);
	cr_expect_eq(rd(m, MSR_DEBUGCTL), DEBUGCTL_LBR);
}

GUEST(interrupts, "jmp 1f; nop; 1: int 0x40")

TEST_BOTH(lbr, an_interrupt_is_recorded_once)
{
	GUEST_PUT(m, M_CODE, interrupts);
	cr_assert_eq(run(m, DEBUGCTL_LBR), 0x40);
	expect_last(m, LBR_FROM, M_CODE + 3, M_HANDLERS + 16 * 0x40);
	expect_last(m, LBR_EXC_FROM, M_CODE, M_CODE + 3);
}

GUEST(icebp, "jmp 1f; nop; 1: nop; .byte 0xf1")

TEST_BOTH(lbr, a_debug_exception_ends_it_and_is_not_recorded)
{
	GUEST_PUT(m, M_CODE, icebp);
	cr_assert_eq(run(m, DEBUGCTL_LBR), EXC_DB);
	expect_last(m, LBR_FROM, M_CODE, M_CODE + 3);
	expect_last(m, LBR_EXC_FROM, 0, 0);
	cr_expect_eq(rd(m, MSR_DEBUGCTL), 0);
	cr_expect_not(m->c->mode & MODE_DEBUG);
}

/* ---- BTF ---- */

GUEST(steps, "pushfq; or qword ptr [rsp], 0x100; popfq; nop; inc eax; jmp 1f; nop; 1: inc eax; out 0xf4, al")

TEST_BOTH(lbr, with_btf_tf_traps_behind_the_branch)
{
	GUEST_PUT(m, M_CODE, steps);
	cr_assert_eq(run(m, DEBUGCTL_BTF), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 16);
	cr_expect_eq(m->c->regs[RAX], 1);
	cr_expect_eq(m->c->dr[6], 0xffff0ff0 | DR6_BS);
	cr_expect_eq(rd(m, MSR_DEBUGCTL), 0, "the trap has cleared it");
	expect_last(m, LBR_FROM, 0, 0);
}

GUEST(branchless, "pushfq; or qword ptr [rsp], 0x100; popfq; xor eax, eax; jnz 1f; 1: mov eax, [0x20000]; inc eax; out 0xf4, al")

TEST_BOTH(lbr, with_btf_a_breakpoint_is_no_step)
{
	GUEST_PUT(m, M_CODE, branchless);
	cpu_write_dr(m->c, 0, M_DATA);
	cpu_write_dr(m->c, 7, 0x400 | 2 | 0xf << 16);
	cr_assert_eq(run(m, DEBUGCTL_BTF), EXC_DB);
	cr_expect_eq(m->c->dr[6], 0xffff0ff1);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 21);
}

GUEST(calls_watched, "pushfq; or qword ptr [rsp], 0x100; popfq; call [0x20000]")

TEST_BOTH(lbr, with_btf_a_branch_may_meet_a_breakpoint)
{
	GUEST_PUT(m, M_CODE, calls_watched);
	st64(machine_mem(m, M_DATA), M_CODE + 0x100);
	cpu_write_dr(m->c, 1, M_DATA);
	cpu_write_dr(m->c, 7, 0x400 | 8 | 0xf << 20);
	cr_assert_eq(run(m, DEBUGCTL_BTF), EXC_DB);
	cr_expect_eq(m->c->dr[6], 0xffff0ff2 | DR6_BS);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 0x100);
}
