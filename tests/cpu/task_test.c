/* Hardware task switches: cpu/task.c. */
#include <criterion/criterion.h>

#include "cpu/except.h"
#include "cpu/seg.h"
#include "tests/cpu/harness.h"

static struct bench B;
#define C (B.c)
#define R(expr) RAISED(&B, expr)

static void fini(void)
{
	bench_fini(&B);
}
TestSuite(task, .fini = fini);

/* A second task of 32 bits at ring 0, ready to run. */
static void new_task(uint32_t eflags, uint16_t cs, uint16_t ss)
{
	mem_put(&B, AT_TSS2 + 0x20, 4, 0x5000);
	mem_put(&B, AT_TSS2 + 0x24, 4, eflags);
	for (unsigned i = 0; i < 8; i++)
		mem_put(&B, AT_TSS2 + 0x28 + 4 * i, 4, i == RSP ? 0xa000 : 0x100 + i);
	for (unsigned i = 0; i < 6; i++)
		mem_put(&B, AT_TSS2 + 0x48 + 4 * i, 4, i == CS ? cs : ss);
	mem_put(&B, AT_TSS2 + 0x60, 4, S_LDT);
}

static int busy(unsigned sel)
{
	return mem(&B, AT_GDT + sel + 5, 1) >> 1 & 1;
}

Test(task, call_links_and_iret_returns)
{
	bench_protected(&B, 0);
	new_task(FL_IF, S_CODE, S_DATA);
	C->regs[RAX] = 0xaaaa;
	C->regs[RSI] = 0x5151;
	cpu_set_eflags(C, FL_CF);
	cr_assert_eq(R(far_call(C, S_TSS2, 0, 4, 0x6007)), -1);
	cr_assert_eq(C->rip, 0x5000);
	cr_assert_eq(C->regs[RSP], 0xa000);
	cr_assert_eq(C->regs[RDI], 0x107);
	cr_assert_eq(cpu_get_eflags(C), FL_IF | FL_NT | 2);
	cr_assert_eq(C->segs[TR].sel, S_TSS2);
	cr_assert_eq(C->segs[LDTR].base, AT_LDT);
	cr_assert(C->cr0 & CR0_TS);
	cr_assert(C->mode & MODE_TS);
	cr_assert(busy(S_TSS) && busy(S_TSS2));
	cr_assert_eq(mem(&B, AT_TSS2, 2), S_TSS);
	cr_assert_eq(mem(&B, AT_TSS + 0x20, 4), 0x6007);
	cr_assert_eq(mem(&B, AT_TSS + 0x24, 4), FL_CF | 2);
	cr_assert_eq(mem(&B, AT_TSS + 0x28, 4), 0xaaaa);
	cr_assert_eq(mem(&B, AT_TSS + 0x4c, 2), S_CODE);

	C->rip = 0x5010;
	cr_assert_eq(R(cpu_iret(C, 4, 0)), -1);
	cr_assert_eq(C->rip, 0x6007);
	cr_assert_eq(C->regs[RSI], 0x5151);
	cr_assert_eq(cpu_get_eflags(C), FL_CF | 2);
	cr_assert(busy(S_TSS) && !busy(S_TSS2));
	cr_assert_eq(mem(&B, AT_TSS2 + 0x24, 4) & FL_NT, 0);
}

Test(task, jmp_does_not_nest)
{
	bench_protected(&B, 0);
	new_task(0, S_CODE, S_DATA);
	far_jmp(C, S_TSS2, 0, 4, 0x6007);
	cr_assert_not(C->eflags & FL_NT);
	cr_assert(!busy(S_TSS) && busy(S_TSS2));
	cr_assert_eq(R(far_jmp(C, S_TSS2, 0, 4, 0)), EXC(EXC_GP, S_TSS2), "busy");
}

Test(task, checks_come_before_the_switch)
{
	bench_protected(&B, 0);
	new_task(0, S_CODE, S_DATA);
	gdt_put(&B, S_TSS2, AT_TSS2, 0x66, 0x89);
	cr_assert_eq(R(far_jmp(C, S_TSS2, 0, 4, 0)), EXC(EXC_TS, S_TSS2));
	gdt_put(&B, S_TSS2, AT_TSS2, 0x67, 0x09);
	cr_assert_eq(R(far_jmp(C, S_TSS2, 0, 4, 0)), EXC(EXC_NP, S_TSS2));
	cr_assert_eq(C->segs[TR].sel, S_TSS);
	cr_assert_eq(C->rip, AT_CODE);
}

Test(task, bad_segments_fault_in_the_new_task)
{
	bench_protected(&B, 0);
	new_task(0, S_CODE, S_DATA3);
	cr_assert_eq(R(far_jmp(C, S_TSS2, 0, 4, 0)), EXC(EXC_TS, S_DATA3 & ~3));
	cr_assert_eq(C->segs[TR].sel, S_TSS2);
	cr_assert_eq(C->rip, 0x5000);
}

Test(task, gate_in_the_idt_pushes_the_error_code)
{
	bench_protected(&B, 3);
	new_task(0, S_CODE, S_DATA);
	idt_put(&B, EXC_DF, S_TSS2, 0, 0x85);
	cpu_deliver(C, EXC_DF, EVENT_EXCEPTION, true, 0);
	cr_assert_eq(C->rip, 0x5000);
	cr_assert_eq(cpu_cpl(C), 0);
	cr_assert_eq(C->regs[RSP], 0xa000 - 4);
	cr_assert_eq(mem(&B, AT_TSS + 0x20, 4), AT_CODE);
	cr_assert(C->eflags & FL_NT);
	cpu_iret(C, 4, 0);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->rip, AT_CODE);
}

Test(task, a_fault_leaves_rf_in_the_old_task)
{
	bench_protected(&B, 3);
	new_task(0, S_CODE, S_DATA);
	idt_put(&B, EXC_NP, S_TSS2, 0, 0x85);
	cpu_deliver(C, EXC_NP, EVENT_EXCEPTION, true, 0x18);
	cr_assert_eq(C->rip, 0x5000);
	cr_assert_eq(mem(&B, AT_TSS + 0x24, 4) & FL_RF, FL_RF);
	cr_assert_not(C->eflags & FL_RF);
}

Test(task, gate_in_the_gdt)
{
	bench_protected(&B, 3);
	new_task(0, S_CODE, S_DATA);
	gate_put(&B, AT_GDT + S_FREE, S_TSS2, 0, 0xe5, 0);
	cr_assert_eq(R(far_call(C, S_TSS2, 0, 4, 0x6007)), EXC(EXC_GP, S_TSS2), "the TSS is for ring 0");
	cr_assert_eq(R(far_call(C, S_FREE, 0, 4, 0x6007)), -1);
	cr_assert_eq(C->segs[TR].sel, S_TSS2);
}

Test(task, switch_to_vm86)
{
	bench_protected(&B, 0);
	new_task(FL_VM | FL_IF, 0x1234, 0x2000);
	far_jmp(C, S_TSS2, 0, 4, 0);
	cr_assert(C->mode & MODE_VM);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->segs[CS].base, 0x12340);
	cr_assert_eq(C->segs[SS].limit, 0xffff);
}

Test(task, tss_of_16_bits)
{
	bench_protected(&B, 0);
	gdt_put(&B, S_TSS2, AT_TSS2, 0x2b, 0x81);
	mem_put(&B, AT_TSS2 + 0x0e, 2, 0x5000);
	mem_put(&B, AT_TSS2 + 0x10, 2, FL_IF);
	mem_put(&B, AT_TSS2 + 0x12, 2, 0x1234);
	mem_put(&B, AT_TSS2 + 0x1a, 2, 0x9000);
	for (unsigned i = 0; i < 4; i++)
		mem_put(&B, AT_TSS2 + 0x22 + 2 * i, 2, i == CS ? S_CODE16 : S_DATA16);
	far_call(C, S_TSS2, 0, 4, 0x6007);
	cr_assert_eq(C->rip, 0x5000);
	cr_assert_eq(C->regs[RAX] & 0xffff, 0x1234);
	cr_assert_eq(C->mode & MODE_CODE, MODE_CODE16);
	cr_assert_eq(C->segs[FS].attr, 0);
	cpu_iret(C, 2, 0x5001);
	cr_assert_eq(mem(&B, AT_TSS2 + 0x0e, 2), 0x5001, "the task goes on behind its IRET");
	cr_assert_eq(C->rip, 0x6007);
	cr_assert_eq(mem(&B, AT_TSS2 + 0x22 + 2, 2), S_CODE16);
}

Test(task, trap_bit_raises_debug)
{
	bench_protected(&B, 0);
	new_task(0, S_CODE, S_DATA);
	mem_put(&B, AT_TSS2 + 0x64, 2, 1);
	cr_assert_eq(R(far_jmp(C, S_TSS2, 0, 4, 0)), EXC(EXC_DB, 0));
	cr_assert(C->dr[6] & 0x8000);
	cr_assert_eq(C->rip, 0x5000);
}
