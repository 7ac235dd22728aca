/*
 * A debugger's breakpoints, watchpoints and steps (cpu/debug.h) in running code:
 * where they stop, that the guest sees nothing of them, and that they go again.
 */
#include <criterion/criterion.h>

#include "cpu/seg.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

static enum accel_exit go(struct machine *m)
{
	m->c->dbg.why = DEBUG_NOTHING;
	return m->c->ops->run(m->c);
}

static enum accel_exit step(struct machine *m)
{
	m->c->dbg.step = true;
	return go(m);
}

GUEST(loop, "mov ecx, 100; 1: inc eax; inc ebx; dec ecx; jnz 1b; out 0xf4, al")
#define LOOP_INC (M_CODE + 5)

TEST_BOTH(break, a_breakpoint_in_the_middle_of_a_block_stops_before_it)
{
	GUEST_PUT(m, M_CODE, loop);
	m->c->rip = M_CODE;
	cr_assert(debug_add_break(m->c, LOOP_INC + 2));
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->dbg.why, DEBUG_BREAK);
	cr_expect_eq(m->c->rip, LOOP_INC + 2);
	cr_expect_eq(m->c->regs[RAX], 1);
	cr_expect_eq(m->c->regs[RBX], 0);
}

/* One that is met among many, on its own page and others. */
TEST_BOTH(break, there_may_be_any_number)
{
	GUEST_PUT(m, M_CODE, loop);
	m->c->rip = M_CODE;
	for (uint64_t i = 1; i <= 20000; i++)
		cr_assert(debug_add_break(m->c, M_CODE + 64 + 7 * i));
	for (uint64_t i = 0; i < 500; i++)
		cr_assert(debug_add_watch(m->c, &(struct debug_watch){ M_CODE + 0x100000 + 8 * i, 4, DEBUG_ACCESS }));
	cr_assert(debug_add_break(m->c, LOOP_INC + 2));
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->rip, LOOP_INC + 2);
	cr_expect_eq(m->c->regs[RAX], 1);
}

/* The loop runs translated before the breakpoint is set, and after it is taken away. */
TEST_BOTH(break, breakpoints_take_effect_in_code_that_is_translated_already)
{
	GUEST_PUT(m, M_CODE, loop);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_assert(debug_add_break(m->c, LOOP_INC + 4));
	machine_reset(m);
	m->c->rip = M_CODE;
	for (unsigned i = 1; i <= 3; i++) {
		cr_assert_eq(go(m), ACCEL_DEBUG);
		cr_expect_eq(m->c->regs[RBX], i);
		cr_expect_eq(m->c->rip, LOOP_INC + 4);
		cr_assert_eq(step(m), ACCEL_DEBUG);
		cr_expect_eq(m->c->dbg.why, DEBUG_STEP);
		cr_expect_eq(m->c->rip, LOOP_INC + 6);
	}
	cr_assert(debug_del_break(m->c, LOOP_INC + 4));
	cr_expect_not(debug_del_break(m->c, LOOP_INC + 4));
	go(m);
	cr_expect_eq(machine_vector(m), -1);
	cr_expect_eq(m->c->regs[RBX], 100);
}

TEST_BOTH(break, going_on_where_the_debugger_stands_does_not_stop_there_again)
{
	GUEST_PUT(m, M_CODE, loop);
	m->c->rip = M_CODE;
	debug_add_break(m->c, LOOP_INC);
	cr_assert_eq(go(m), ACCEL_DEBUG);
	m->c->dbg.seen = true;
	m->c->dbg.seen_pc = LOOP_INC;
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->regs[RCX], 99, "the next round");
}

GUEST(flags, "pushfq; pop rax; mov ebx, 1; out 0xf4, al")

TEST_BOTH(break, steps_are_invisible_in_pushed_flags)
{
	GUEST_PUT(m, M_CODE, flags);
	m->c->rip = M_CODE;
	for (int i = 0; i < 3; i++)
		cr_assert_eq(step(m), ACCEL_DEBUG);
	cr_expect_not(m->c->regs[RAX] & FL_TF);
	cr_expect_eq(m->c->regs[RBX], 1);
	cr_expect_eq(m->c->dr[6], 0xffff0ff0);
}

GUEST(faulting, "ud2")

TEST_BOTH(break, a_step_into_a_fault_stops_at_its_handler)
{
	GUEST_PUT(m, M_CODE, faulting);
	m->c->rip = M_CODE;
	cr_assert_eq(step(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->rip, M_HANDLERS + 16 * EXC_UD);
	cr_expect_eq(m->c->dbg.why, DEBUG_STEP);
}

TEST_BOTH(break, interrupts_wait_while_stepping)
{
	GUEST_PUT(m, M_CODE, loop);
	m->c->rip = M_CODE;
	m->irq = 0x20;
	cpu_set_eflags(m->c, FL_IF);
	cpu_request(m->c, REQ_INTR);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(step(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->rip, LOOP_INC + 4);
	cr_expect(atomic_load(&m->c->request) & REQ_INTR);
}

/* ---- watchpoints ---- */

GUEST(stores, "mov dword ptr [0x20008], 1; mov eax, [0x20010]; mov byte ptr [0x20013], 2; nop; out 0xf4, al")
#define STORES_LOAD 11		/* offsets of its instructions */
#define STORES_BYTE 18
#define STORES_NOP  26

static void watch(struct machine *m, uint64_t n, enum debug_kind kind)
{
	GUEST_PUT(m, M_CODE, stores);
	m->c->rip = M_CODE;
	cr_assert(debug_add_watch(m->c, &(struct debug_watch){ M_DATA + 0x10, n, kind }));
}

TEST_BOTH(break, a_write_watchpoint_stops_behind_the_store_to_one_of_its_bytes)
{
	watch(m, 4, DEBUG_WRITE);
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->dbg.why, DEBUG_WATCH);
	cr_expect_eq(m->c->dbg.met_at, M_DATA + 0x13);
	cr_expect_eq(m->c->rip, M_CODE + STORES_NOP);
	cr_expect_eq(*machine_mem(m, M_DATA + 0x13), 2, "the store is done");
	go(m);
	cr_expect_eq(machine_vector(m), -1);
}

TEST_BOTH(break, a_read_watchpoint_ignores_stores)
{
	watch(m, 4, DEBUG_READ);
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->dbg.met_at, M_DATA + 0x10);
	cr_expect_eq(m->c->rip, M_CODE + STORES_BYTE);
	cr_expect_neq(go(m), ACCEL_DEBUG);
}

TEST_BOTH(break, bytes_beside_the_watched_ones_do_not_stop)
{
	watch(m, 3, DEBUG_WRITE);
	cr_expect_neq(go(m), ACCEL_DEBUG);
	cr_expect_eq(*machine_mem(m, M_DATA + 0x13), 2);
}

TEST_BOTH(break, watchpoints_take_effect_where_the_page_was_used_before)
{
	GUEST_PUT(m, M_CODE, stores);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	machine_reset(m);
	watch(m, 4, DEBUG_ACCESS);
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->rip, M_CODE + STORES_BYTE);
}

GUEST(push, "mov eax, 5; push rax; call 1f; 1: pop rbx; out 0xf4, al")

/* The return address of a call is written by other code than plain stores. */
TEST_BOTH(break, pushes_and_calls_meet_watchpoints)
{
	uint64_t top;

	GUEST_PUT(m, M_CODE, push);
	m->c->rip = M_CODE;
	top = m->c->regs[RSP];
	debug_add_watch(m->c, &(struct debug_watch){ top - 16, 8, DEBUG_WRITE });
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->rip, M_CODE + 11);
	cr_expect_eq(m->c->regs[RSP], top - 16);
	cr_expect_eq(ld64(machine_mem(m, top - 16)), M_CODE + 11);
}

/* Pushing the frame of an exception cannot be begun again; it is only noted. */
TEST_BOTH(break, delivery_of_an_exception_meets_watchpoints_and_is_complete)
{
	GUEST_PUT(m, M_CODE, faulting);
	m->c->rip = M_CODE;
	debug_add_watch(m->c, &(struct debug_watch){ M_FAULT_STACK - 64, 64, DEBUG_WRITE });
	cr_assert_eq(go(m), ACCEL_DEBUG);
	cr_expect_eq(m->c->dbg.why, DEBUG_WATCH);
	cr_expect_eq(m->c->rip, M_HANDLERS + 16 * EXC_UD);
	cr_expect_eq(machine_frame(m).rip, M_CODE);
}
