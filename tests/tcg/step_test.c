/*
 * What hangs on single instructions: breakpoints and RF, TF, the shadow of MOV SS,
 * SYSRET that sets TF; and instructions that treat their operands oddly.
 */
#include <criterion/criterion.h>

#include "cpu/cpuid.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define DR6_BS 0x4000u

static void arm(struct machine *m, int n, uint64_t va, unsigned kind)
{
	cpu_write_dr(m->c, n, va);
	cpu_write_dr(m->c, 7, 0x400 | 2u << 2 * n | (uint64_t)kind << (16 + 4 * n));
}

GUEST(count, "nop; inc eax; inc eax; out 0xf4, al")

TEST_BOTH(step, instruction_breakpoint_stops_before_the_instruction)
{
	GUEST_PUT(m, M_CODE, count);
	arm(m, 2, M_CODE + 3, 0);
	cr_assert_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 3);
	cr_expect_eq(m->c->dr[6], 0xffff0ff4);
	cr_expect_eq(m->c->regs[RAX], 1);
}

TEST_BOTH(step, rf_passes_one_breakpoint)
{
	GUEST_PUT(m, M_CODE, count);
	arm(m, 0, M_CODE + 1, 0);
	cpu_set_eflags(m->c, FL_RF);
	cr_expect_eq(machine_run(m, M_CODE + 1), -1);
	cr_expect_eq(m->c->regs[RAX], 2);
	cr_expect_not(cpu_get_eflags(m->c) & FL_RF);
}

GUEST(watched, "mov eax, [0x20000]; nop; out 0xf4, al")

TEST_BOTH(step, data_breakpoint_stops_behind_the_access)
{
	GUEST_PUT(m, M_CODE, watched);
	arm(m, 1, M_DATA, 0xf);
	cr_assert_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 7);
	cr_expect_eq(m->c->dr[6], 0xffff0ff2);
}

GUEST(watched_rep, "rep stosd; out 0xf4, al")

TEST_BOTH(step, data_breakpoint_stops_behind_its_iteration)
{
	GUEST_PUT(m, M_CODE, watched_rep);
	m->c->regs[RCX] = 16;
	m->c->regs[RDI] = M_DATA;
	arm(m, 0, M_DATA + 8, 0xd);
	cr_assert_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE);
	cr_expect_eq(m->c->regs[RCX], 13);
	cr_expect_eq(m->c->regs[RDI], M_DATA + 12);
}

TEST_BOTH(step, an_unfinished_rep_does_not_meet_its_breakpoint_again)
{
	GUEST_PUT(m, M_CODE, watched_rep);
	m->c->regs[RCX] = 16;
	m->c->regs[RDI] = M_DATA;
	cpu_write_dr(m->c, 0, M_CODE);
	cpu_write_dr(m->c, 1, M_DATA + 8);
	cpu_write_dr(m->c, 7, 0x400 | 2 | 8 | 0xd00000u);
	cpu_set_eflags(m->c, FL_RF);
	cr_assert_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(m->c->dr[6], 0xffff0ff2);
	cr_expect(machine_frame(m).flags & FL_RF);
	cpu_set_eflags(m->c, FL_RF);
	cr_assert_eq(machine_run(m, M_CODE), -1, "on to the end");
	cr_expect_not(cpu_get_eflags(m->c) & FL_RF);
}

GUEST(rep_lods, "rep lodsb; out 0xf4, al")

static uint32_t rf_between_elements(struct machine *m, uint32_t found)
{
	GUEST_PUT(m, M_CODE, rep_lods);
	m->c->regs[RCX] = 3;
	m->c->regs[RSI] = M_DATA;
	cpu_set_eflags(m->c, FL_TF | found);
	cr_assert_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(m->c->regs[RCX], 2);
	return machine_frame(m).flags & FL_RF;
}

TEST_BOTH(step, a_trap_between_elements_pushes_rf_on_intel_as_it_was_on_amd)
{
	struct err e = { 0 };

	cr_expect_eq(rf_between_elements(m, 0), 0);
	cr_expect_eq(rf_between_elements(m, FL_RF), FL_RF);
	cr_assert(cpuid_configure(m->c, "max,vendor=GenuineIntel", false, &e), "%s", e.msg);
	cr_expect_eq(rf_between_elements(m, 0), FL_RF);
}

GUEST(watched_push, "push qword ptr [0x20000]; out 0xf4, al")

TEST_BOTH(step, an_instruction_that_faults_has_met_no_data_breakpoint)
{
	GUEST_PUT(m, M_CODE, watched_push);
	arm(m, 0, M_DATA, 0xf);
	m->c->regs[RSP] = 1ull << 62;
	cr_assert_eq(machine_run(m, M_CODE), EXC_SS);
	cr_expect_eq(m->c->dr[6], 0xffff0ff0);
	cr_expect_eq(m->c->dr6_pending, 0);
}

GUEST(mov_ss, "mov ecx, ss; pushfq; or qword ptr [rsp], 0x100; popfq; mov ss, ecx; inc eax; inc eax; out 0xf4, al")

TEST_BOTH(step, no_trap_between_mov_ss_and_its_successor)
{
	GUEST_PUT(m, M_CODE, mov_ss);
	cr_assert_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(m->c->regs[RAX], 1);
	cr_expect_eq(m->c->dr[6] & DR6_BS, DR6_BS);
}

GUEST(watched_ss, "mov word ptr [0x20000], ss; mov ss, word ptr [0x20000]; .byte 0xf1; out 0xf4, al")

TEST_BOTH(step, int1_behind_mov_ss_takes_its_breakpoint_along)
{
	GUEST_PUT(m, M_CODE, watched_ss);
	st16(machine_mem(m, M_DATA), M_DATA0);
	arm(m, 0, M_DATA, 7);
	cr_assert_eq(machine_run(m, M_CODE + 7), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE + GUEST_SIZE(watched_ss) - 2);
	cr_expect_eq(m->c->dr[6], 0xffff0ff1);
}

TEST_BOTH(step, breakpoint_behind_mov_ss_takes_the_data_breakpoint_along)
{
	uint64_t at = M_CODE + GUEST_SIZE(watched_ss) - 3;

	GUEST_PUT(m, M_CODE, watched_ss);
	st16(machine_mem(m, M_DATA), M_DATA0);
	cpu_write_dr(m->c, 0, M_DATA);
	cpu_write_dr(m->c, 1, at);
	cpu_write_dr(m->c, 7, 0x400 | 2 | 8 | 7u << 16);
	cr_assert_eq(machine_run(m, M_CODE + 7), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, at);
	cr_expect_eq(m->c->dr[6], 0xffff0ff3);
	cr_expect_eq(m->c->dr6_pending, 0, "no second trap in the handler");
}

GUEST(sysret, "sysretq")
GUEST(user, "inc eax; out 0xf4, al")

TEST_BOTH(step, sysret_that_sets_tf_traps_at_its_target)
{
	GUEST_PUT(m, M_CODE, sysret);
	GUEST_PUT(m, M_CODE + 0x100, user);
	m->c->star = (uint64_t)(M_USER_CODE - 16) << 48;
	m->c->regs[RCX] = M_CODE + 0x100;
	m->c->regs[R11] = FL_TF | 2;
	cr_assert_eq(machine_run(m, M_CODE), EXC_DB);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 0x100);
	cr_expect_eq(m->c->regs[RAX], 0);
}

/* ---- 32-bit code ---- */

#define TEST_BOTH32(name)								\
	static void name(struct machine *m);						\
	static void name##_on(const struct accel_ops *ops)				\
	{										\
		struct machine m;							\
											\
		machine_init(&m, 32, 0, ops);						\
		name(&m);								\
		machine_fini(&m);							\
	}										\
	Test(step, name) { name##_on(&tcg_accel); }					\
	Test(step, name##_interpreted) { name##_on(&tcg_interp_accel); }		\
	static void name(struct machine *m)

GUEST(enter, ".code32; enter 8, 1; out 0xf4, al")

TEST_BOTH32(enter_on_a_16_bit_stack_keeps_the_upper_half)
{
	GUEST_PUT(m, M_CODE, enter);
	seg_set(m->c, SS, M_DATA0, 0, 0xffff, 0x93);
	m->c->regs[RSP] = 0x10000 + M_STACK;
	m->c->regs[RBP] = 0x12345678;
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->c->regs[RBP], 0x10000 + M_STACK - 4);
	cr_expect_eq(m->c->regs[RSP], 0x10000 + M_STACK - 16);
	cr_expect_eq(ld32(machine_mem(m, M_STACK - 8)), 0x10000 + M_STACK - 4);
}

GUEST(far_up, ".code16; nop; ud2; .code64")

TEST_BOTH32(code_of_16_bits_may_stand_above_64_kib)
{
	GUEST_PUT(m, M_CODE, far_up);
	seg_set(m->c, CS, M_CODE0, 0, ~0u, SEG_G | 0x9b);
	cr_assert_eq(machine_run(m, M_CODE), EXC_UD);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 1);
}

GUEST(arpl, ".code32; arpl word ptr [eax], cx; out 0xf4, al")

TEST_BOTH32(arpl_writes_only_what_changes)
{
	GUEST_PUT(m, M_CODE, arpl);
	st16(machine_mem(m, M_DATA), 0x0b);
	seg_set(m->c, DS, M_DATA0, 0, ~0u, SEG_G | SEG_DB | 0x91);
	m->c->regs[RAX] = M_DATA;
	m->c->regs[RCX] = 2;
	cpu_set_eflags(m->c, FL_ZF);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_not(cpu_get_eflags(m->c) & FL_ZF);
	st16(machine_mem(m, M_DATA), 0x09);
	cr_assert_eq(machine_run(m, M_CODE), EXC_GP);
	cr_expect_not(cpu_get_eflags(m->c) & FL_ZF, "a fault changes no flags");
}

/* ---- devices that interrupt the processor that writes to them ---- */

static void signal_self(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct machine *m = opaque;

	(void)off, (void)size, (void)v;
	m->n_writes++;
	cpu_nmi(m->c);
}

static const struct mmio_ops signal_ops = { NULL, signal_self, 4, true };

GUEST(to_itself, "mov dword ptr [0x61000], 1; inc eax; inc eax; out 0xf4, al")

Test(step, nmi_that_a_store_causes_comes_right_behind_it)
{
	struct machine m;
	struct err e;

	machine_init(&m, 64, 0, &tcg_accel);
	struct phys_range r = { .pa = 0x61000, .size = 0x1000, .prio = 1, .ops = &signal_ops, .opaque = &m, .name = "signal" };
	cr_assert(phys_map(m.phys, &r, &e));
	GUEST_PUT(&m, M_CODE, to_itself);
	for (unsigned i = 1; i < 4; i++) {
		m.c->nmi_blocked = false;
		cr_assert_eq(machine_run(&m, M_CODE), EXC_NMI);
		cr_expect_eq(m.n_writes, i);
		cr_expect_eq(m.c->regs[RAX], 0);
		cr_expect_eq(machine_frame(&m).rip, M_CODE + 11);
	}
	machine_fini(&m);
}

/* ---- an interrupt's handler at the offset where the interrupted code was about to jump ---- */

#define HANDLER_SEL	0x38
#define HANDLER_BASE	(M_CODE + 0x1000)
#define OFFSET		0x100

GUEST(jumps, ".code32; mov dword ptr [0x61000], 1; jmp 1f; .skip 0x100 - (. - guest_jumps); 1: mov eax, 1; out 0xf4, al")
GUEST(handles, ".code32; mov eax, 2; out 0xf4, al")

static void signal_once(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct machine *m = opaque;
	int *signals = m->opaque;

	(void)off, (void)size, (void)v;
	if ((*signals)++ == 0)
		cpu_nmi(m->c);
}

static const struct mmio_ops once_ops = { NULL, signal_once, 4 };

/* The exit that met the request leads to the offset, but not to the handler, whose segment has another base. */
Test(step, an_exit_is_not_linked_to_another_segments_code)
{
	static const uint64_t descriptor = 0x00cf9b0000000000 | (HANDLER_BASE & 0xffff) << 16 | (uint64_t)(HANDLER_BASE >> 16) << 32;
	struct machine m;
	struct err e;
	int signals = 0;

	machine_init(&m, 32, 0, &tcg_accel);
	m.opaque = &signals;
	struct phys_range r = { .pa = 0x61000, .size = 0x1000, .prio = 1, .ops = &once_ops, .opaque = &m, .name = "once" };
	cr_assert(phys_map(m.phys, &r, &e));
	GUEST_PUT(&m, M_CODE, jumps);
	GUEST_PUT(&m, HANDLER_BASE + OFFSET, handles);
	st64(machine_mem(&m, M_GDT + HANDLER_SEL), descriptor | 0xffff);
	st64(machine_mem(&m, M_IDT + 8 * EXC_NMI), 0x00008e0000000000 | HANDLER_SEL << 16 | OFFSET);
	for (unsigned i = 0; i < 3; i++) {
		machine_reset(&m);
		seg_set(m.c, CS, M_CODE0, M_CODE, ~0u, SEG_G | SEG_DB | 0x9b);
		cr_assert_eq(machine_run(&m, 0), -1);
		cr_expect_eq(m.c->regs[RAX], i ? 1 : 2);
	}
	cr_expect_eq(signals, 3);
	machine_fini(&m);
}
