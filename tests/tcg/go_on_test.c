/*
 * Instructions behind which the vCPU may be in another mode: generated code goes on by itself where it
 * was before (stubs.go_on), but only if nothing else has to be done first.
 */
#include <criterion/criterion.h>

#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define KERNEL	(M_CODE + 0x1000)

/* ---- system calls ---- */

GUEST(calls, "1: syscall; inc eax; dec ebx; jnz 1b; out 0xf4, al")
GUEST(serve, "inc edx; sysretq")

static void enter_user(struct machine *m, uint64_t rounds)
{
	machine_reset(m);
	m->c->lstar = KERNEL;
	m->c->star = (uint64_t)(M_USER_CODE - 16) << 48 | (uint64_t)M_CODE0 << 32;
	m->c->sfmask = FL_IF;
	cpu_set_eflags(m->c, 2 | FL_IF);
	m->c->regs[RBX] = rounds;
}

static void on(const struct accel_ops *ops, int cpl, void (*test)(struct machine *m))
{
	struct machine m;

	machine_init(&m, 64, cpl, ops);
	test(&m);
	machine_fini(&m);
}

static void finds_both_ways(struct machine *m)
{
	struct tcg *t = tcg_of(m->c);

	GUEST_PUT(m, M_CODE, calls);
	GUEST_PUT(m, KERNEL, serve);
	enter_user(m, 1000);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->c->regs[RAX], 1000);
	cr_expect_eq(m->c->regs[RDX], 1000);
	cr_expect_lt(t->stats.finds, 20);
}

Test(go_on, a_system_call_and_its_return_are_found_without_c) { on(&tcg_accel, 3, finds_both_ways); }

/* An interrupt that came while IF was clear waits, put aside, for the SYSRET that sets IF. */
static void raise_interrupt(struct machine *m, uint32_t v)
{
	if (v != 3)
		return;
	m->irq = 0x40;
	cpu_request(m->c, REQ_INTR);
}

GUEST(serve_and_tell, "inc edx; mov eax, edx; out 0x80, al; nop; sysretq")

static void interrupt_at_sysret(struct machine *m)
{
	GUEST_PUT(m, M_CODE, calls);
	GUEST_PUT(m, KERNEL, serve_and_tell);
	enter_user(m, 10);
	m->on_out = raise_interrupt;
	cr_assert_eq(machine_run(m, M_CODE), 0x40);
	cr_expect_eq(m->c->regs[RDX], 3);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 2);
}

Test(go_on, an_interrupt_put_aside_comes_where_sysret_sets_if) { on(&tcg_accel, 3, interrupt_at_sysret); }
Test(go_on, an_interrupt_comes_where_sysret_sets_if_interpreted) { on(&tcg_interp_accel, 3, interrupt_at_sysret); }

/* A request that nothing but the way to another mode would meet. */
static void signal_self(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct machine *m = opaque;

	(void)off, (void)size;
	if (v == 3)
		cpu_nmi(m->c);
}

static const struct mmio_ops signal_ops = { NULL, signal_self, 4 };

GUEST(serve_and_store, "inc edx; mov [0x61000], edx; sysretq")

static void request_at_sysret(struct machine *m)
{
	struct phys_range r = { .pa = 0x61000, .size = 0x1000, .prio = 1, .ops = &signal_ops, .opaque = m, .name = "signal" };
	struct err e;

	cr_assert(phys_map(m->phys, &r, &e));
	GUEST_PUT(m, M_CODE, calls);
	GUEST_PUT(m, KERNEL, serve_and_store);
	enter_user(m, 10);
	cr_assert_eq(machine_run(m, M_CODE), EXC_NMI);
	cr_expect_eq(m->c->regs[RDX], 3);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 2);
}

Test(go_on, requests_are_looked_at) { on(&tcg_accel, 3, request_at_sysret); }

/* ---- what stops ---- */

/* The code behind has been jumped to before, so the jump cache has it. */
GUEST(halts, "lea rsi, [rip + 1f]; jmp rsi; 2: hlt; 1: inc eax; cmp eax, 1; je 2b; out 0xf4, al")

TEST_BOTH(go_on, hlt_sleeps)
{
	GUEST_PUT(m, M_CODE, halts);
	m->end_at_halt = true;
	machine_run(m, M_CODE);
	cr_expect_eq(m->halts, 1);
	cr_expect_eq(m->c->regs[RAX], 1);
}

GUEST(shadows, "mov edi, ss; lea rsi, [rip + 1f]; jmp rsi; 2: mov ss, edi; 1: inc eax; cmp eax, 100; jne 2b; out 0xf4, al")

TEST_BOTH(go_on, the_shadow_of_mov_ss_is_one_instruction)
{
	GUEST_PUT(m, M_CODE, shadows);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->c->regs[RAX], 100);
	cr_expect_eq(tcg_of(m->c)->stats.singles, 99);
}

/* ---- STAC and CLAC ---- */

/* User pages but for what the processor itself reads and writes. */
static void with_smap(struct machine *m)
{
	for (uint64_t va = M_GDT; va < M_FAULT_STACK; va += 0x1000)
		machine_map(m, va, va | PTE_P | PTE_W);
	m->c->cr4 |= CR4_SMAP;
	cpu_update_mode(m->c);
}

static void expect_mode(struct machine *m)
{
	uint32_t mode = m->c->mode;

	cpu_update_mode(m->c);
	cr_expect_eq(mode, m->c->mode, "%x, not %x", mode, m->c->mode);
}

GUEST(copies, "1: stac; mov eax, [0x20000]; clac; inc ebx; dec ecx; jnz 1b; mov eax, [0x20000]; nop")

TEST_BOTH(go_on, stac_opens_user_pages_and_clac_closes_them)
{
	GUEST_PUT(m, M_CODE, copies);
	with_smap(m);
	m->c->regs[RCX] = 100;
	cr_assert_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(m->c->regs[RBX], 100);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 19);
	cr_expect_leq(tcg_of(m->c)->stats.finds, 1, "both are linked to what is behind them");
	expect_mode(m);
}

GUEST(opens, "stac; clac; stac; stac; out 0xf4, al")

TEST_BOTH(go_on, the_mode_behind_stac_and_clac_is_what_the_registers_say)
{
	GUEST_PUT(m, M_CODE, opens);
	for (int i = 0; i < 4; i++) {
		machine_reset(m);
		if (i & 1)
			with_smap(m);
		cr_assert_eq(machine_run(m, M_CODE), -1);
		cr_expect(m->c->eflags & FL_AC);
		expect_mode(m);
	}
}

TEST_BOTH(go_on, steps_over_stac_and_clac_leave_the_mode_right)
{
	GUEST_PUT(m, M_CODE, opens);
	with_smap(m);
	m->c->rip = M_CODE;
	for (uint64_t i = 1; i < 5; i++) {
		m->c->dbg.why = DEBUG_NOTHING;
		m->c->dbg.step = true;
		m->c->ops->run(m->c);
		cr_expect_eq(m->c->rip, M_CODE + 3 * i);
		cr_expect_eq(!!(m->c->eflags & FL_AC), i != 2);
		expect_mode(m);
	}
}

GUEST(refused, "clac")

Test(go_on, clac_is_not_for_programs)
{
	struct machine m;

	machine_init(&m, 64, 3, &tcg_accel);
	GUEST_PUT(&m, M_CODE, refused);
	cr_expect_eq(machine_run(&m, M_CODE), EXC_UD);
	machine_fini(&m);
}

/* ---- exceptions ---- */

GUEST(faults, "fninit; mov eax, 3; movd xmm1, eax; pxor xmm0, xmm0; fld1; fldz; mov ecx, 200\n"
	      "1: mov eax, [0x28000]; paddd xmm0, xmm1; fadd st(0), st(1); ud2; inc ebx; dec ecx; jnz 1b\n"
	      "movd edx, xmm0; fistp dword ptr [0x20000]; out 0xf4, al")
GUEST(skip_7, "add rsp, 8; add qword ptr [rsp], 7; iretq")
GUEST(skip_2, "add qword ptr [rsp], 2; iretq")

static void put_faults(struct machine *m)
{
	GUEST_PUT(m, M_CODE, faults);
	GUEST_PUT(m, M_HANDLERS + 16 * EXC_PF, skip_7);
	GUEST_PUT(m, M_HANDLERS + 16 * EXC_UD, skip_2);
	machine_map(m, 0x28000, 0);
}

static uint64_t exits(const struct tcg *t)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(t->stats.exits); i++)
		n += t->stats.exits[i];
	return n;
}

TEST_BOTH(go_on, exceptions_leave_neither_generated_code_nor_vector_registers)
{
	put_faults(m);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->c->regs[RBX], 200);
	cr_expect_eq(m->c->regs[RDX], 600);
	cr_expect_eq(ld32(machine_mem(m, M_DATA)), 200);
	cr_expect_eq(m->c->cr2, 0x28000);
	cr_expect_lt(exits(tcg_of(m->c)), 20);
}

/* Delivery faults as well: what comes of both is delivered, and at the third one the machine shuts down. */
TEST_BOTH(go_on, exceptions_while_exceptions_are_delivered)
{
	put_faults(m);
	st64(machine_mem(m, M_IDT + 16 * EXC_PF), 0);
	cr_assert_eq(machine_run(m, M_CODE), EXC_DF);
	machine_reset(m);
	st64(machine_mem(m, M_IDT + 16 * EXC_DF), 0);
	machine_run(m, M_CODE);
	cr_expect(m->shut_down);
}

/* An instruction that looks at the x87's error raises that first, whatever its operand would raise. */
GUEST(errs, "fninit; fldcw [0x20010]; fld1; fldz; fdivp; fld dword ptr [0x28000]; out 0xf4, al")

TEST_BOTH(go_on, a_pending_x87_error_comes_before_a_page_fault)
{
	put_faults(m);
	GUEST_PUT(m, M_CODE, errs);
	st16(machine_mem(m, M_DATA + 0x10), 0x37b);
	cr_expect_eq(machine_run(m, M_CODE), EXC_MF);
}

/* ---- modes get other jump caches ---- */

/* DF changes with every round, and with it where LODSB goes. */
GUEST(turns, "1: pushfq; xor dword ptr [rsp], 0x400; popfq; lodsb; dec ecx; jnz 1b; cld; out 0xf4, al")

static void turn(struct machine *m, uint32_t df)
{
	machine_reset(m);
	m->c->regs[RCX] = 100;
	m->c->regs[RSI] = M_DATA + 0x100;
	cpu_set_eflags(m->c, 2 | df);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->c->regs[RSI], M_DATA + 0x100);
}

TEST_BOTH(go_on, a_flush_forgets_which_jump_cache_a_mode_has)
{
	GUEST_PUT(m, M_CODE, turns);
	for (int i = 0; i < 4; i++) {
		turn(m, i & 1 ? FL_DF : 0);
		tcg_flush(tcg_of(m->c));
	}
}
