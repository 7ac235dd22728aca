/* Segment registers, limits, far transfers: cpu/seg.c, cpu/far.c, cpu/syscall.c. */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "tests/cpu/harness.h"

static struct bench B;
#define C (B.c)
#define R(expr) RAISED(&B, expr)

static void fini(void)
{
	bench_fini(&B);
}
TestSuite(seg, .fini = fini);

/* ---- loading ---- */

Test(seg, real_mode_load_sets_base_and_keeps_limit)
{
	bench_real(&B);
	seg_set(C, DS, 0, 0, 0xffffffff, 0x8093);
	seg_load(C, DS, 0x1234);
	cr_assert_eq(C->segs[DS].base, 0x12340);
	cr_assert_eq(C->segs[DS].limit, 0xffffffff);
}

Test(seg, load_sets_accessed_bit_in_memory)
{
	bench_protected(&B, 0);
	cr_assert_eq(mem(&B, AT_GDT + S_DATA + 5, 1), 0x92);
	seg_load(C, DS, S_DATA);
	cr_assert_eq(mem(&B, AT_GDT + S_DATA + 5, 1), 0x93);
	cr_assert_eq(C->segs[DS].attr, 0xc093);
	cr_assert_eq(C->segs[DS].rlimit, 0x100000000);
	cr_assert_eq(C->segs[DS].wlimit, 0x100000000);
}

Test(seg, load_faults_name_the_selector)
{
	bench_protected(&B, 3);
	cr_assert_eq(R(seg_load(C, DS, S_DATA)), EXC(EXC_GP, S_DATA));
	cr_assert_eq(R(seg_load(C, DS, 0x4000 | 3)), EXC(EXC_GP, 0x4000));
	cr_assert_eq(R(seg_load(C, DS, S_TSS)), EXC(EXC_GP, S_TSS));
	cr_assert_eq(R(seg_load(C, DS, S_FREE | 4)), EXC(EXC_GP, S_FREE | 4));
	gdt_put(&B, S_FREE, 0, 0xfff, 0x72);
	cr_assert_eq(R(seg_load(C, DS, S_FREE | 3)), EXC(EXC_NP, S_FREE));
	cr_assert_eq(R(seg_load(C, DS, S_DATA3)), -1);
	cr_assert_eq(R(seg_load(C, ES, S_CONF)), -1);
	cr_assert_eq(C->segs[DS].sel, S_DATA3);
}

Test(seg, stack_segment_rules)
{
	bench_protected(&B, 0);
	cr_assert_eq(R(seg_load(C, SS, 0)), EXC(EXC_GP, 0));
	cr_assert_eq(R(seg_load(C, SS, S_DATA3)), EXC(EXC_GP, S_DATA3 & ~3));
	cr_assert_eq(R(seg_load(C, SS, S_CODE)), EXC(EXC_GP, S_CODE));
	gdt_put(&B, S_FREE, 0, 0xfff, 0x12);
	cr_assert_eq(R(seg_load(C, SS, S_FREE)), EXC(EXC_SS, S_FREE));
	cr_assert_eq(R(seg_load(C, SS, S_DATA16)), -1);
	cr_assert_not(C->mode & MODE_SS32);
}

Test(seg, null_ss_is_fine_in_64_bit_mode_below_ring_3)
{
	bench_long(&B, 0);
	cr_assert_eq(R(seg_load(C, SS, 0)), -1);
	cr_assert_eq(cpu_cpl(C), 0);
	cr_assert_eq(R(seg_load(C, SS, 1)), EXC(EXC_GP, 0));
	bench_fini(&B);
	bench_long(&B, 3);
	cr_assert_eq(R(seg_load(C, SS, 3)), EXC(EXC_GP, 0));
	cr_assert_eq(cpu_cpl(C), 3);
}

Test(seg, lldt_and_ltr_check_type_and_presence)
{
	bench_protected(&B, 0);
	cr_assert_eq(R(seg_lldt(C, S_LDT)), -1);
	cr_assert_eq(C->segs[LDTR].base, AT_LDT);
	cr_assert_eq(R(seg_lldt(C, S_DATA)), EXC(EXC_GP, S_DATA));
	cr_assert_eq(R(seg_ltr(C, 0)), EXC(EXC_GP, 0));
	cr_assert_eq(R(seg_ltr(C, S_TSS)), EXC(EXC_GP, S_TSS));	/* busy */
	cr_assert_eq(R(seg_ltr(C, S_TSS2)), -1);
	cr_assert_eq(mem(&B, AT_GDT + S_TSS2 + 5, 1), 0x8b);
	cr_assert_eq(C->segs[TR].attr, 0x8b);
	mem_put(&B, AT_LDT + 8, 8, 0x00cf92000000ffff);
	cr_assert_eq(R(seg_load(C, FS, 0xc)), -1);
	cr_assert_eq(R(seg_lldt(C, 0)), -1);
	cr_assert_eq(R(seg_load(C, FS, 0xc)), EXC(EXC_GP, 0xc));
}

Test(seg, long_mode_ltr_reads_16_bytes)
{
	bench_long(&B, 0);
	gdt_put(&B, S_TSS64, 0x12345678, 0x67, 0x89);
	mem_put(&B, AT_GDT + S_TSS64 + 8, 8, 0xffff8000);
	cr_assert_eq(R(seg_ltr(C, S_TSS64)), -1);
	cr_assert_eq(C->segs[TR].base, 0xffff800012345678);
	gdt_put(&B, S_TSS64, 0, 0x67, 0x89);
	mem_put(&B, AT_GDT + S_TSS64 + 8, 8, 0x01000000);
	cr_assert_eq(R(seg_ltr(C, S_TSS64)), EXC(EXC_GP, S_TSS64));
}

/* ---- limits ---- */

Test(seg, check_is_exact_at_the_limit)
{
	bench_protected(&B, 0);
	seg_set(C, DS, 8, 0x100, 0xfff, 0x4093);
	cr_assert_eq(seg_check(C, DS, 0xffc, 4, MMU_READ), 0x10fc);
	cr_assert_eq(R(seg_check(C, DS, 0xffd, 4, MMU_READ)), EXC(EXC_GP, 0));
	seg_set(C, SS, 0x10, 0x100, 0xfff, 0x4093);
	cr_assert_eq(R(seg_check(C, SS, 0x1000, 1, MMU_WRITE)), EXC(EXC_SS, 0));
}

Test(seg, check_knows_types)
{
	bench_protected(&B, 0);
	seg_set(C, DS, 8, 0, 0xffffffff, 0xc091);	/* read-only */
	cr_assert_eq(R(seg_check(C, DS, 0, 1, MMU_WRITE)), EXC(EXC_GP, 0));
	cr_assert_eq(R(seg_check(C, DS, 0, 1, MMU_READ)), -1);
	seg_set(C, DS, 8, 0, 0xffffffff, 0xc099);	/* execute-only */
	cr_assert_eq(R(seg_check(C, DS, 0, 1, MMU_READ)), EXC(EXC_GP, 0));
	seg_load(C, DS, 0);
	cr_assert_eq(R(seg_check(C, DS, 0, 1, MMU_READ)), EXC(EXC_GP, 0));
}

Test(seg, expand_down_is_valid_above_the_limit)
{
	bench_protected(&B, 0);
	seg_load(C, DS, S_DOWN);
	cr_assert_eq(C->segs[DS].wlimit, 0);
	cr_assert_eq(R(seg_check(C, DS, 0xfff, 1, MMU_READ)), EXC(EXC_GP, 0));
	cr_assert_eq(R(seg_check(C, DS, 0x1000, 4, MMU_READ)), -1);
	cr_assert_eq(R(seg_check(C, DS, 0xfffffffe, 4, MMU_READ)), EXC(EXC_GP, 0));
}

Test(seg, real_mode_word_at_ffff_faults)
{
	bench_real(&B);
	cr_assert_eq(R(seg_check(C, DS, 0xffff, 2, MMU_READ)), EXC(EXC_GP, 0));
	cr_assert_eq(R(seg_check(C, SS, 0xffff, 2, MMU_READ)), EXC(EXC_SS, 0));
	cr_assert_eq(R(seg_check(C, CS, 0xfffe, 2, MMU_WRITE)), -1);
}

Test(seg, long_mode_checks_only_canonical_form)
{
	bench_long(&B, 0);
	cr_assert_eq(R(seg_check(C, DS, 0x800000000000, 1, MMU_READ)), EXC(EXC_GP, 0));
	cr_assert_eq(R(seg_check(C, SS, 0x7fffffffffff, 2, MMU_READ)), EXC(EXC_SS, 0));
	C->segs[FS].base = 0x7ffffffff000;
	cr_assert_eq(R(seg_check(C, FS, 0x1000, 1, MMU_READ)), EXC(EXC_GP, 0));
	cr_assert_eq(seg_check(C, FS, 8, 8, MMU_READ), 0x7ffffffff008);
}

/* ---- far transfers ---- */

Test(seg, real_far_call_and_return)
{
	bench_real(&B);
	far_call(C, 0x800, 0x10, 2, AT_CODE + 5);
	cr_assert_eq(C->segs[CS].base, 0x8000);
	cr_assert_eq(C->rip, 0x10);
	cr_assert_eq(mem(&B, AT_STACK - 4, 4), AT_CODE + 5);
	far_ret(C, 2, 6);
	cr_assert_eq(C->rip, AT_CODE + 5);
	cr_assert_eq(C->regs[RSP], AT_STACK + 6);
	cr_assert_eq(C->segs[CS].sel, 0);
}

Test(seg, far_jmp_privilege_rules)
{
	bench_protected(&B, 3);
	cr_assert_eq(R(far_jmp(C, 0, 0, 4, 0)), EXC(EXC_GP, 0));
	cr_assert_eq(R(far_jmp(C, S_CODE, 0, 4, 0)), EXC(EXC_GP, S_CODE));
	cr_assert_eq(R(far_jmp(C, S_DATA3, 0, 4, 0)), EXC(EXC_GP, S_DATA3 & ~3));
	cr_assert_eq(R(far_jmp(C, S_CONF, 0x1234, 4, 0)), -1);
	cr_assert_eq(C->segs[CS].sel, S_CONF | 3);
	cr_assert_eq(C->rip, 0x1234);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(R(far_jmp(C, S_CODE3, 0x12345678, 2, 0)), -1);
	cr_assert_eq(C->rip, 0x5678);
	gdt_put(&B, S_FREE, 0, 0xff, 0x40fa);
	cr_assert_eq(R(far_jmp(C, S_FREE | 3, 0x100, 4, 0)), EXC(EXC_GP, 0));
	cr_assert_eq(C->rip, 0x5678);
}

Test(seg, far_jmp_switches_between_64_bit_and_compatibility_mode)
{
	bench_long(&B, 0);
	far_jmp(C, S_CODE, 0x1000, 4, 0);
	cr_assert_eq(C->mode & MODE_CODE, MODE_CODE32);
	far_jmp(C, S_CODE64, 0x2000, 4, 0);
	cr_assert_eq(C->mode & MODE_CODE, MODE_CODE64);
	gdt_put(&B, S_FREE, 0, 0xffffffff, 0xe09a);
	cr_assert_eq(R(far_jmp(C, S_FREE, 0, 4, 0)), EXC(EXC_GP, S_FREE));
	cr_assert_eq(R(far_jmp(C, S_CODE64, 0x800000000000, 8, 0)), EXC(EXC_GP, 0));
}

Test(seg, call_gate_changes_stack_and_copies_parameters)
{
	bench_protected(&B, 3);
	gate_put(&B, AT_GDT + S_FREE, S_CODE, 0x7654, 0xec, 2);
	mem_put(&B, AT_STACK3, 4, 0x11111111);
	mem_put(&B, AT_STACK3 + 4, 4, 0x22222222);
	cr_assert_eq(R(far_call(C, S_FREE | 3, 0, 4, 0x6007)), -1);
	cr_assert_eq(cpu_cpl(C), 0);
	cr_assert_eq(C->segs[CS].sel, S_CODE);
	cr_assert_eq(C->segs[SS].sel, S_DATA);
	cr_assert_eq(C->rip, 0x7654);
	cr_assert_eq(C->regs[RSP], AT_STACK - 24);
	static const uint32_t frame[] = { 0x6007, S_CODE3, 0x11111111, 0x22222222, AT_STACK3, S_DATA3 };
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(mem(&B, AT_STACK - 24 + 4 * i, 4), frame[i], "%u", i);
	seg_load(C, DS, S_DATA);
	seg_load(C, ES, S_DATA3);
	seg_load(C, FS, 3);
	far_ret(C, 4, 8);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->regs[RSP], AT_STACK3 + 8);
	cr_assert_eq(C->rip, 0x6007);
	cr_assert_eq(C->segs[DS].attr, 0, "ring-0 data is dropped");
	cr_assert_eq(C->segs[ES].sel, S_DATA3);
	cr_assert_eq(C->segs[FS].sel, 0, "a null selector loses its RPL");
}

Test(seg, call_gate_of_16_bits)
{
	bench_protected(&B, 3);
	gate_put(&B, AT_GDT + S_FREE, S_CODE, 0xdead7654, 0xe4, 0);
	far_call(C, S_FREE, 0, 4, 0x6007);
	cr_assert_eq(C->rip, 0x7654);
	cr_assert_eq(C->regs[RSP], AT_STACK - 8);
	cr_assert_eq(mem(&B, AT_STACK - 8, 2), 0x6007);
}

Test(seg, call_gate_errors_leave_registers_alone)
{
	bench_protected(&B, 3);
	gate_put(&B, AT_GDT + S_FREE, S_CODE, 0x7654, 0x8c, 0);
	cr_assert_eq(R(far_call(C, S_FREE, 0, 4, 0)), EXC(EXC_GP, S_FREE));	/* gate's DPL */
	gate_put(&B, AT_GDT + S_FREE, S_CODE, 0x7654, 0x6c, 0);
	cr_assert_eq(R(far_call(C, S_FREE, 0, 4, 0)), EXC(EXC_NP, S_FREE));
	gate_put(&B, AT_GDT + S_FREE, S_DATA, 0x7654, 0xec, 0);
	cr_assert_eq(R(far_call(C, S_FREE, 0, 4, 0)), EXC(EXC_GP, S_DATA));
	gate_put(&B, AT_GDT + S_FREE, S_CODE, 0x7654, 0xec, 0);
	cr_assert_eq(R(far_jmp(C, S_FREE, 0, 4, 0)), EXC(EXC_GP, S_CODE));	/* JMP can't change CPL */
	mem_put(&B, AT_TSS + 8, 4, S_DATA3);
	cr_assert_eq(R(far_call(C, S_FREE, 0, 4, 0)), EXC(EXC_TS, S_DATA3 & ~3));
	C->segs[TR].limit = 8;
	cr_assert_eq(R(far_call(C, S_FREE, 0, 4, 0)), EXC(EXC_TS, S_TSS));
	cr_assert_eq(C->regs[RSP], AT_STACK3);
	cr_assert_eq(C->rip, AT_CODE);
	cr_assert_eq(cpu_cpl(C), 3);
}

Test(seg, call_gate_of_64_bits)
{
	bench_long(&B, 3);
	gate_put(&B, AT_GDT + S_FREE, S_CODE64, 0x7654, 0xec, 0);
	far_call(C, S_FREE, 0, 4, 0x6007);
	cr_assert_eq(cpu_cpl(C), 0);
	cr_assert_eq(C->segs[SS].sel, 0);
	cr_assert_eq(C->regs[RSP], AT_STACK - 32);
	cr_assert_eq(mem(&B, AT_STACK - 32, 8), 0x6007);
	cr_assert_eq(mem(&B, AT_STACK - 16, 8), AT_STACK3);
	far_ret(C, 8, 0);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->regs[RSP], AT_STACK3);
}

Test(seg, far_call_faults_before_it_changes_anything)
{
	bench_protected(&B, 0);
	seg_set(C, SS, S_DATA, 0, 0xfff, 0x4093);
	C->regs[RSP] = 4;
	cr_assert_eq(R(far_call(C, S_CODE, 0x1234, 4, 0x6007)), EXC(EXC_SS, 0));
	cr_assert_eq(C->regs[RSP], 4);
	cr_assert_eq(C->rip, AT_CODE);
}

Test(seg, fs_base_of_a_null_selector_survives_a_return_to_ring_3)
{
	bench_long(&B, 0);
	seg_load(C, FS, 0);
	C->segs[FS].base = 0x7fff12345000;
	C->regs[RSP] = AT_STACK - 32;
	mem_put(&B, AT_STACK - 32, 8, 0x5000);
	mem_put(&B, AT_STACK - 24, 8, S_CODE64_3);
	mem_put(&B, AT_STACK - 16, 8, 0x4000);
	mem_put(&B, AT_STACK - 8, 8, S_DATA3);
	far_ret(C, 8, 0);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->segs[FS].base, 0x7fff12345000);
}

/* ---- LAR, LSL, VERR, VERW ---- */

Test(seg, lar_lsl_and_verify)
{
	uint32_t v = 0;

	bench_protected(&B, 3);
	cr_assert(seg_lar(C, S_DATA3, &v));
	cr_assert_eq(v, 0x00cff200);
	cr_assert(seg_lsl(C, S_DATA3, &v));
	cr_assert_eq(v, 0xffffffff);
	cr_assert_not(seg_lar(C, S_DATA, &v));
	cr_assert_not(seg_lar(C, 0, &v));
	cr_assert(seg_lar(C, S_CONF, &v));
	cr_assert(seg_verify(C, S_DATA3, true));
	cr_assert_not(seg_verify(C, S_CODE3, true));
	cr_assert(seg_verify(C, S_CODE3, false));
	cr_assert_not(seg_verify(C, S_TSS, false));
}

/* ---- I/O permission ---- */

Test(seg, io_bitmap)
{
	bench_protected(&B, 3);
	mem_put(&B, AT_TSS + 0x88, 4, 0x00008002);	/* ports 1 and 15 denied */
	cr_assert(tss_io_allowed(C, 0, 1));
	cr_assert_not(tss_io_allowed(C, 0, 2));
	cr_assert_not(tss_io_allowed(C, 15, 1));
	cr_assert_not(tss_io_allowed(C, 14, 4));
	cr_assert(tss_io_allowed(C, 16, 4));
	C->segs[TR].limit = 0x8a;
	cr_assert(tss_io_allowed(C, 8, 4));
	cr_assert_not(tss_io_allowed(C, 16, 1), "both bytes must be there");
}

/* ---- SYSCALL and SYSENTER ---- */

Test(seg, syscall_and_sysret_64)
{
	bench_long(&B, 3);
	C->star = (uint64_t)0x63 << 48 | (uint64_t)S_CODE64 << 32;
	C->lstar = 0xffffffff81000000;
	C->sfmask = FL_IF | FL_DF;
	cpu_set_eflags(C, FL_IF | FL_CF | FL_DF | FL_RF);
	cpu_syscall(C, 0x1002);
	cr_assert_eq(C->rip, 0xffffffff81000000);
	cr_assert_eq(C->regs[RCX], 0x1002);
	cr_assert_eq(C->regs[R11], FL_IF | FL_CF | FL_DF | 2);
	cr_assert_eq(cpu_get_eflags(C), FL_CF | 2);
	cr_assert_eq(cpu_cpl(C), 0);
	cr_assert_eq(C->segs[SS].sel, S_CODE64 + 8);
	cpu_sysret(C, 8);
	cr_assert_eq(C->rip, 0x1002);
	cr_assert_eq(C->segs[CS].sel, 0x73);
	cr_assert_eq(C->segs[SS].sel, 0x6b);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert(cpu_is64(C));
	cr_assert_eq(cpu_get_eflags(C), FL_IF | FL_CF | FL_DF | 2);
	cr_assert_eq(R(cpu_sysret(C, 8)), EXC(EXC_GP, 0));
}

Test(seg, sysret_of_amd_leaves_a_bad_address_to_the_fetch)
{
	bench_long(&B, 0);
	strcpy(C->id.vendor, "AuthenticAMD");
	C->regs[RCX] = 0x800000000000;
	cr_assert_eq(R(cpu_sysret(C, 8)), -1);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->rip, 0x800000000000);
}

Test(seg, sysret_of_amd_keeps_what_ss_was)
{
	static const char *const vendor[] = { "AuthenticAMD", "GenuineIntel" };

	for (int intel = 0; intel < 2; intel++) {
		bench_long(&B, 0);
		strcpy(C->id.vendor, vendor[intel]);
		C->star = (uint64_t)0x63 << 48;
		C->regs[RCX] = 0x1000;
		C->segs[SS] = (struct seg){ 0 };	/* as an interrupt from CPL 3 leaves it */
		cpu_sysret(C, 4);
		cr_expect_eq(cpu_cpl(C), 3);
		cr_expect_eq(C->segs[SS].sel, 0x6b);
		cr_expect_eq(!(C->segs[SS].attr & SEG_P), !intel, "null stays unusable on AMD's");
		cr_expect_eq(!C->segs[SS].wlimit, !intel);
		bench_fini(&B);
	}
	bench_init(&B);
}

Test(seg, sysret_checks_rcx_and_can_go_to_compatibility_mode)
{
	bench_long(&B, 0);
	C->regs[RCX] = 0x800000000000;
	strcpy(C->id.vendor, "GenuineIntel");
	cr_assert_eq(R(cpu_sysret(C, 8)), EXC(EXC_GP, 0));
	cr_assert_eq(cpu_cpl(C), 0);
	strcpy(C->id.vendor, "AuthenticAMD");
	C->regs[R11] |= FL_TF;
	cpu_sysret(C, 4);
	cr_assert_neq(C->dr6_pending, 0, "a trap before the next instruction");
	cr_assert_eq(C->mode & MODE_CODE, MODE_CODE32);
	cr_assert_eq(C->rip, 0);
	C->efer &= ~EFER_SCE;
	cr_assert_eq(R(cpu_syscall(C, 0)), EXC(EXC_UD, 0));
}

Test(seg, intel_has_syscall_in_64_bit_mode_only)
{
	bench_long(&B, 0);
	strcpy(C->id.vendor, "GenuineIntel");
	C->star = (uint64_t)0x63 << 48 | (uint64_t)S_CODE64 << 32;
	C->regs[RCX] = 0x1000;
	cpu_sysret(C, 4);
	cr_assert_eq(C->mode & MODE_CODE, MODE_CODE32);
	cr_assert_eq(R(cpu_syscall(C, 0x1002)), EXC(EXC_UD, 0), "CSTAR is not Intel's");
	cr_assert_eq(cpu_cpl(C), 3);
}

Test(seg, amd_has_sysenter_outside_long_mode_only)
{
	bench_long(&B, 0);
	strcpy(C->id.vendor, "AuthenticAMD");
	C->sysenter_cs = S_CODE64;
	cr_assert_eq(R(cpu_sysenter(C)), EXC(EXC_UD, 0));
	cr_assert_eq(R(cpu_sysexit(C, 8)), EXC(EXC_UD, 0));
}

Test(seg, fast_calls_outside_protected_mode)
{
	bench_vm86(&B, 0);
	C->efer |= EFER_SCE;
	strcpy(C->id.vendor, "AuthenticAMD");
	C->sysenter_cs = S_CODE;
	C->sysenter_eip = 0x5100;
	cr_assert_eq(R(cpu_sysret(C, 4)), EXC(EXC_GP, 0));
	cr_assert_eq(R(cpu_sysexit(C, 4)), EXC(EXC_GP, 0));
	cr_assert_eq(R(cpu_sysenter(C)), -1);
	cr_assert_eq(C->mode & (MODE_VM | MODE_CPL), 0);
	cr_assert_eq(C->rip, 0x5100);
	bench_fini(&B);
	bench_real(&B);
	C->sysenter_cs = S_CODE;
	C->efer |= EFER_SCE;
	strcpy(C->id.vendor, "AuthenticAMD");
	cr_assert_eq(R(cpu_sysenter(C)), EXC(EXC_GP, 0));
	cr_assert_eq(R(cpu_sysret(C, 4)), EXC(EXC_GP, 0));
	cr_assert_eq(R(cpu_syscall(C, 0x100)), EXC(EXC_UD, 0));
}

Test(seg, sysenter_and_sysexit_32)
{
	bench_protected(&B, 3);
	cr_assert_eq(R(cpu_sysenter(C)), EXC(EXC_GP, 0));
	C->sysenter_cs = S_CODE;
	C->sysenter_esp = 0x5000;
	C->sysenter_eip = 0x5100;
	cpu_sysenter(C);
	cr_assert_eq(cpu_cpl(C), 0);
	cr_assert_eq(C->rip, 0x5100);
	cr_assert_eq(C->segs[SS].sel, S_DATA);
	C->regs[RCX] = 0x9000;
	C->regs[RDX] = 0x6000;
	cpu_sysexit(C, 4);
	cr_assert_eq(cpu_cpl(C), 3);
	cr_assert_eq(C->segs[CS].sel, S_CODE3);
	cr_assert_eq(C->segs[SS].sel, S_DATA3);
	cr_assert_eq(C->regs[RSP], 0x9000);
	cr_assert_eq(R(cpu_sysexit(C, 4)), EXC(EXC_GP, 0));
}
