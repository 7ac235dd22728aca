/* Control and debug registers, flags, ports, descriptor-table registers: the rules of each instruction. */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "tests/cpu/harness.h"

static struct bench b;
static struct cpu *c;

#define GP0 EXC(EXC_GP, 0)
#define TRY(expr) RAISED(&b, expr)

static void at(void (*mode)(struct bench *, int), int arg)
{
	mode(&b, arg);
	c = b.c;
}

Test(system, reset_state_is_the_manuals)
{
	bench_init(&b);
	c = b.c;
	cr_expect(c->rip == 0xfff0 && c->segs[CS].base == 0xffff0000 && c->segs[CS].sel == 0xf000);
	cr_expect_eq(c->cr0, 0x60000010);
	cr_expect_eq(cpu_get_eflags(c), 2);
	cr_expect(c->dr[6] == 0xffff0ff0 && c->dr[7] == 0x400);
	cr_expect_eq(c->regs[RDX], cpuid_signature(c));
	cr_expect_eq(ld16(c->xsave), 0x40);
	cr_expect_eq(c->mode & (MODE_CODE | MODE_PE | MODE_CPL | MODE_FLAT), 0);
	c->lstar = 5;
	c->regs[RAX] = 1;
	c->cr0 = 0x11;
	cpu_request(c, REQ_SIPI);
	cpu_init_signal(c);
	cr_expect(c->request & REQ_SIPI, "one that came right behind is not lost");
	cr_expect(c->lstar == 5 && c->regs[RAX] == 0 && c->cr0 == 0x10, "INIT keeps MSRs");
	c->pkru = c->pkrs = 4;
	cpu_init_signal(c);
	cr_expect(c->pkru == 4 && c->pkrs == 4, "and keys' rights");
	cpu_reset(c);
	cr_expect(c->lstar == 0 && c->pkru == 0 && c->pkrs == 0);
}

Test(system, cr0_refuses_impossible_combinations)
{
	at(bench_protected, 0);
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PG)), GP0, "paging without protection");
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PE | CR0_NW)), GP0);
	cr_expect_eq(TRY(cpu_write_cr(c, 0, BIT(32) | CR0_PE)), GP0);
	cr_expect_eq(TRY(cpu_write_cr(c, 1, 0)), EXC(EXC_UD, 0));
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PE | CR0_TS)), -1);
	cr_expect_eq(c->cr0, CR0_PE | CR0_TS | CR0_ET);
	cr_expect(c->mode & MODE_TS);
	cpu_clts(c);
	cr_expect_not(c->mode & MODE_TS);
	cpu_lmsw(c, 0);
	cr_expect(c->cr0 & CR0_PE, "LMSW cannot leave protected mode");
	bench_fini(&b);
	at(bench_protected, 3);
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PE)), GP0);
	cr_expect_eq(TRY(cpu_read_cr(c, 0)), GP0);
	cr_expect_eq(TRY(cpu_clts(c)), GP0);
}

Test(system, long_mode_is_entered_and_left_with_paging)
{
	at(bench_protected, 0);
	mem_put(&b, AT_PML4, 8, (AT_PML4 + 0x1000) | 7);
	mem_put(&b, AT_PML4 + 0x1000, 8, (AT_PML4 + 0x2000) | 7);
	mem_put(&b, AT_PML4 + 0x2000, 8, 0x87);
	cpu_wrmsr(c, 0xc0000080, EFER_LME);
	cpu_write_cr(c, 3, AT_PML4);
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PE | CR0_PG)), GP0, "needs PAE");
	cpu_write_cr(c, 4, CR4_PAE);
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PE | CR0_PG)), -1);
	cr_expect(c->efer & EFER_LMA && c->mode & MODE_LMA && (c->mode & MODE_CODE) == MODE_CODE32);
	cr_expect_eq(TRY(cpu_write_cr(c, 4, 0)), GP0, "PAE stays in long mode");
	seg_set(c, CS, S_CODE64, 0, 0xffffffff, SEG_P | SEG_S | SEG_L | SEG_G | 0xb);
	cr_expect_eq(c->mode & (MODE_CODE | MODE_FLAT), MODE_CODE64 | MODE_FLAT);
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PE)), GP0, "not from 64-bit code");
	seg_set(c, CS, S_CODE, 0, 0xffffffff, SEG_P | SEG_S | SEG_DB | SEG_G | 0xb);
	cr_expect_eq(TRY(cpu_write_cr(c, 0, CR0_PE)), -1);
	cr_expect_not(c->efer & EFER_LMA);
	cr_expect(c->efer & EFER_LME);
}

Test(system, cr4_takes_what_cpuid_has)
{
	at(bench_long, 0);
	cr_expect_eq(TRY(cpu_write_cr(c, 4, CR4_PAE | CR4_LA57)), GP0);
	cr_expect_eq(TRY(cpu_write_cr(c, 4, CR4_PAE | BIT(13))), GP0);
	cr_expect_eq(TRY(cpu_write_cr(c, 4, CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_FSGSBASE)), -1);
	cr_expect_eq(cpu_mmu_idx(c), MMU_KERNEL);
	cpu_set_eflags(c, FL_AC);
	cr_expect_eq(cpu_mmu_idx(c), MMU_KERNEL_NOSMAP);
	cpu_write_cr(c, 3, AT_PML4 | 0x18);
	cr_expect_eq(TRY(cpu_write_cr(c, 4, CR4_PAE | CR4_PCIDE)), GP0, "CR3's low bits must be clear");
	cr_expect_eq(TRY(cpu_write_cr(c, 3, BIT(63) | AT_PML4)), GP0);
	cpu_write_cr(c, 3, AT_PML4);
	cr_expect_eq(TRY(cpu_write_cr(c, 4, CR4_PAE | CR4_PCIDE)), -1);
	cr_expect_eq(TRY(cpu_write_cr(c, 3, BIT(45) | AT_PML4)), GP0, "beyond the physical width");
	cr_expect_eq(TRY(cpu_write_cr(c, 8, 16)), GP0);
}

Test(system, flat_mode_needs_all_four_segments)
{
	at(bench_protected, 0);
	cr_expect(c->mode & MODE_FLAT);
	seg_set(c, DS, S_DATA, 0x10, 0xffffffff, SEG_P | SEG_S | SEG_DB | SEG_G | 3);
	cr_expect_not(c->mode & MODE_FLAT);
	seg_set(c, DS, S_DATA, 0, 0xffffffff, SEG_P | SEG_S | SEG_DB | SEG_G | 1);
	cr_expect_not(c->mode & MODE_FLAT, "read-only");
	seg_set(c, DS, S_DATA, 0, 0xffffffff, SEG_P | SEG_S | SEG_DB | SEG_G | 3);
	cr_expect(c->mode & MODE_FLAT);
	seg_set(c, ES, 0, 0, 0, 0);
	cr_expect_not(c->mode & MODE_FLAT, "null");
}

Test(system, debug_registers_force_their_fixed_bits)
{
	at(bench_protected, 0);
	cpu_write_dr(c, 6, 0);
	cr_expect_eq(cpu_read_dr(c, 6), 0xffff0ff0);
	cpu_write_dr(c, 7, 0xffffffff & ~0x2000);
	cr_expect_eq(cpu_read_dr(c, 7), 0xffff07ff);
	cr_expect(c->mode & MODE_DEBUG);
	cpu_write_dr(c, 4, 1);
	cr_expect_eq(c->dr[6], 0xffff0ff1, "DR4 is DR6 without CR4.DE");
	c->cr4 |= CR4_DE;
	cr_expect_eq(TRY(cpu_read_dr(c, 4)), EXC(EXC_UD, 0));
	cpu_write_dr(c, 7, 0x2000);
	cr_expect_eq(TRY(cpu_read_dr(c, 0)), EXC(EXC_DB, 0));
	cr_expect(c->dr[6] & 0x2000 && !(c->dr[7] & 0x2000));
}

Test(system, instruction_breakpoints_fault_unless_resumed)
{
	at(bench_protected, 0);
	cpu_write_dr(c, 2, 0x6000);
	cpu_write_dr(c, 7, 1 << 4);
	cr_expect_eq(TRY(cpu_check_breakpoint(c, 0x6001)), -1);
	cr_expect_eq(TRY(cpu_check_breakpoint(c, 0x6000)), EXC(EXC_DB, 0));
	cr_expect_eq(c->dr[6], 0xffff0ff4);
	c->eflags |= FL_RF;
	cr_expect_eq(TRY(cpu_check_breakpoint(c, 0x6000)), -1);
}

Test(system, popf_obeys_cpl_and_iopl)
{
	at(bench_protected, 0);
	cpu_popf(c, FL_IF | FL_IOPL | FL_ID | FL_VM | FL_VIF | FL_RF | FL_CF | 0x8028, 4);
	cr_expect_eq(cpu_get_eflags(c), FL_IF | FL_IOPL | FL_ID | FL_CF | 2);
	cpu_popf(c, FL_ZF, 2);
	cr_expect_eq(cpu_get_eflags(c), FL_ID | FL_ZF | 2, "16 bits leave the upper half");
	bench_fini(&b);
	at(bench_protected, 3);
	cpu_popf(c, FL_IF | FL_IOPL | FL_AC, 4);
	cr_expect_eq(cpu_get_eflags(c), FL_AC | 2);
	cr_expect_eq(TRY(cpu_cli(c)), GP0);
	cr_expect_eq(TRY(cpu_sti(c)), GP0);
	cpu_set_eflags(c, FL_IOPL);
	cpu_popf(c, FL_IF, 4);
	cr_expect_eq(cpu_get_eflags(c), FL_IF | FL_IOPL | 2);
	cpu_cli(c);
	cr_expect_not(c->eflags & FL_IF);
	cpu_sti(c);
	cr_expect(c->eflags & FL_IF && c->shadow);
}

Test(system, vm86_flags_use_vif_under_vme)
{
	at(bench_vm86, 0);
	cr_expect_eq(TRY(cpu_pushf_image(c, 2)), GP0);
	cr_expect_eq(TRY(cpu_popf(c, 0, 2)), GP0);
	cr_expect_eq(TRY(cpu_cli(c)), GP0);
	c->cr4 |= CR4_VME;
	cpu_popf(c, FL_IF | FL_ZF, 2);
	cr_expect(c->eflags & FL_VIF);
	cr_expect_eq(cpu_pushf_image(c, 2) & 0xffff, FL_IF | FL_ZF | FL_IOPL | 2);
	cpu_cli(c);
	cr_expect_not(c->eflags & FL_VIF);
	cr_expect(c->eflags & FL_IF, "the real one stays");
	cr_expect_eq(cpu_pushf_image(c, 2) & FL_IF, 0);
	cr_expect_eq(TRY(cpu_popf(c, 0, 4)), GP0);
	cr_expect_eq(TRY(cpu_popf(c, FL_TF, 2)), GP0);
	c->eflags |= FL_VIP;
	cr_expect_eq(TRY(cpu_sti(c)), GP0);
	cr_expect_eq(TRY(cpu_popf(c, FL_IF, 2)), GP0);
	bench_fini(&b);
	at(bench_vm86, 3);
	cr_expect_eq(cpu_pushf_image(c, 4) & (FL_VM | FL_IF | FL_IOPL), FL_IF | FL_IOPL);
	cpu_cli(c);
	cr_expect_not(c->eflags & FL_IF);
}

static uint32_t port_in(void *opaque, uint16_t port, int size)
{
	(void)opaque, (void)size;
	return 0xabcd0000u | port;
}

Test(system, ports_are_guarded_by_iopl_and_bitmap)
{
	at(bench_protected, 0);
	c->board.port_in = port_in;
	cr_expect_eq(cpu_in(c, 0x70, 4), 0xabcd0070);
	cr_expect_eq(cpu_in(c, 0x170, 1), 0x70);
	bench_fini(&b);
	at(bench_protected, 3);
	memset(b.ram->host + AT_TSS + 0x88, 0xff, 0x100);
	c->board.port_in = port_in;
	cr_expect_eq(TRY(cpu_in(c, 0x70, 1)), GP0);
	mem_put(&b, AT_TSS + 0x88 + 0xe, 1, 0xfe);
	cr_expect_eq(TRY(cpu_in(c, 0x70, 1)), -1);
	cr_expect_eq(TRY(cpu_in(c, 0x70, 2)), GP0, "every byte's bit counts");
	cpu_set_eflags(c, FL_IOPL);
	cr_expect_eq(TRY(cpu_in(c, 0x71, 4)), -1);
}

Test(system, descriptor_table_registers)
{
	at(bench_long, 0);
	mem_put(&b, 0x20000, 2, 0x123);
	mem_put(&b, 0x20002, 8, 0xffff888000001000);
	cpu_load_dt(c, &c->idtr, 0x20000, 8);
	cr_expect(c->idtr.limit == 0x123 && c->idtr.base == 0xffff888000001000);
	mem_put(&b, 0x20002, 8, 1ull << 56);
	cr_expect_eq(TRY(cpu_load_dt(c, &c->idtr, 0x20000, 8)), GP0);
	cpu_store_dt(c, &c->idtr, 0x20100, 8);
	cr_expect_eq(mem(&b, 0x20102, 8), 0xffff888000001000);
	bench_fini(&b);
	at(bench_protected, 0);
	mem_put(&b, 0x20002, 4, 0x12345678);
	cpu_load_dt(c, &c->gdtr, 0x20000, 2);
	cr_expect_eq(c->gdtr.base, 0x345678, "16-bit operand: 24 bits");
	bench_fini(&b);
	at(bench_long, 3);
	cr_expect_eq(TRY(cpu_store_dt(c, &c->idtr, 0x20100, 8)), -1);
	c->cr4 |= CR4_UMIP;
	cr_expect_eq(TRY(cpu_store_dt(c, &c->idtr, 0x20100, 8)), GP0);
	cr_expect_eq(TRY(cpu_str_sldt_smsw(c, 4)), GP0);
}

Test(system, xcr0_and_counters)
{
	at(bench_long, 0);
	cr_expect_eq(TRY(cpu_xgetbv(c, 0)), EXC(EXC_UD, 0));
	cpu_write_cr(c, 4, CR4_PAE | CR4_OSXSAVE);
	cr_expect_eq(TRY(cpu_xsetbv(c, 0, 2)), GP0);
	cr_expect_eq(TRY(cpu_xsetbv(c, 0, 5)), GP0);
	cr_expect_eq(TRY(cpu_xsetbv(c, 0, 15)), GP0);
	cr_expect_eq(TRY(cpu_xsetbv(c, 1, 1)), GP0);
	cpu_xsetbv(c, 0, 3);
	cr_expect_eq(cpu_xgetbv(c, 0), 3);
	cr_expect_not(c->mode & MODE_OSXSAVE);
	uint64_t t = cpu_rdtsc(c);
	cr_expect_geq(cpu_rdtsc(c), t);
	bench_fini(&b);
	at(bench_long, 3);
	c->cr4 |= CR4_TSD;
	cr_expect_eq(TRY(cpu_rdtsc(c)), GP0);
	cr_expect_eq(TRY(cpu_rdpmc(c, 0)), GP0);
	cr_expect_eq(TRY(cpu_hlt(c)), GP0);
	cr_expect_eq(TRY(cpu_invlpg(c, 0)), GP0);
	cr_expect_eq(TRY(cpu_swapgs(c)), GP0);
}

Test(system, a_clock_of_the_board_makes_the_tsc)
{
	struct err e;
	extern uint64_t board_ns(void *opaque);
	bench_init(&b);
	struct cpu_config cfg = { .model = "max", .phys = phys_new(), .tsc_khz = 2000000, .tsc_from_clock = true,
				  .board = { .now_ns = board_ns } };
	struct cpu *o = cpu_new(&cfg, &e);
	cr_assert(o);
	cr_expect_eq(cpu_rdtsc(o), 3000000002468);
	cpu_free(o);
	phys_free(cfg.phys);
}

uint64_t board_ns(void *opaque);
uint64_t board_ns(void *opaque)
{
	(void)opaque;
	return 1500000001234;
}
/* ---- MONITOR ---- */

Test(system, monitor_sees_whether_its_line_changes)
{
	at(bench_protected, 0);
	c->feat[CPUID_MONITOR >> 5] |= 1u << (CPUID_MONITOR & 31);
	c->regs[RCX] = 0;
	cpu_monitor(c, 0x5010);
	cr_assert_eq(monitor_sum(c, c->monitor_pa), c->monitor_line);
	mem_put(&b, 0x503f, 1, 1);
	cr_assert_neq(monitor_sum(c, c->monitor_pa), c->monitor_line);
	cpu_mwait(c);
	c->regs[RCX] = 2;
	cr_assert_eq(RAISED(&b, cpu_mwait(c)), EXC(EXC_GP, 0));
	cr_assert_eq(RAISED(&b, cpu_monitor(c, 0x5010)), EXC(EXC_GP, 0));
}
