/* Paging: every format, permissions, faults, accessed and dirty bits, what stays and goes in the TLBs. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "cpu/system.h"
#include "cpu/tlb.h"
#include "tests/cpu/harness.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX BIT(63)
enum { T4 = 0x100000, T3 = 0x101000, T2 = 0x102000, T1 = 0x103000, T1B = 0x104000, T4B = 0x105000 };
#define RWX (P | W | U)
#define PF(code) EXC(EXC_PF, code)

static struct bench b;
static struct cpu *c;

/* Four-level tables: 0..2 MiB through T1, 2..4 MiB one large page. */
static void long_mode(void)
{
	bench_init(&b);
	c = b.c;
	mem_put(&b, T4, 8, T3 | RWX);
	mem_put(&b, T3, 8, T2 | RWX);
	mem_put(&b, T2, 8, T1 | RWX);
	mem_put(&b, T2 + 8, 8, 0x200000 | RWX | PS);
	for (int i = 0; i < 512; i++)
		mem_put(&b, T1 + 8 * i, 8, i << 12 | RWX);
	c->cr3 = T4;
	c->cr4 = CR4_PAE;
	c->efer = EFER_LME | EFER_LMA | EFER_NXE;
	c->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET;
	mmu_flush(c, false);
	cpu_update_mode(c);
}

static void pte(int page, uint64_t v)
{
	mem_put(&b, T1 + 8 * page, 8, v);
}

static bool in_table(struct tlb *t, uint64_t va, bool write)
{
	return tlb_entry(t, va, write)->tag == (va & ~0xfffull);
}

static int ld(uint64_t va, enum mmu_idx idx)
{
	return RAISED(&b, mmu_ld(c, va, 4, idx));
}

static int st(uint64_t va, uint64_t v, enum mmu_idx idx)
{
	return RAISED(&b, mmu_st(c, va, 4, v, idx));
}

Test(mmu, without_paging_linear_is_physical)
{
	bench_init(&b);
	c = b.c;
	mmu_st(c, 0x12345, 4, 0xdeadbeef, MMU_KERNEL_NOSMAP);
	cr_expect_eq(mem(&b, 0x12345, 4), 0xdeadbeef);
	cr_expect(in_table(&c->tlb[MMU_KERNEL_NOSMAP], 0x12345, true));
	cr_expect_eq(mmu_ld(c, 0x12344, 2, MMU_KERNEL_NOSMAP), 0xef00);
	bench_fini(&b);
}

Test(mmu, four_levels_translate_and_set_accessed_and_dirty)
{
	long_mode();
	pte(0x10, 0x55000 | RWX);
	mem_put(&b, 0x55678, 8, 0x1122334455667788);
	cr_expect_eq(mmu_ld(c, 0x10678, 8, MMU_USER), 0x1122334455667788);
	cr_expect_eq(mem(&b, T1 + 0x80, 8), 0x55000 | RWX | A);
	cr_expect(mem(&b, T4, 8) & A && mem(&b, T3, 8) & A && mem(&b, T2, 8) & A);
	cr_expect(in_table(&c->tlb[MMU_USER], 0x10000, false));
	cr_expect_not(in_table(&c->tlb[MMU_USER], 0x10000, true), "clean page: writes must set D");
	mmu_st(c, 0x10000, 1, 7, MMU_USER);
	cr_expect_eq(mem(&b, T1 + 0x80, 8), 0x55000 | RWX | A | D);
	cr_expect(in_table(&c->tlb[MMU_USER], 0x10000, true));
	cr_expect_eq(mem(&b, 0x55000, 1), 7);
	bench_fini(&b);
}

Test(mmu, large_page_translates_piecewise)
{
	long_mode();
	mem_put(&b, 0x345678, 4, 42);
	cr_expect_eq(mmu_ld(c, 0x345678, 4, MMU_USER), 42);
	cr_expect(mem(&b, T2 + 8, 8) & A);
	bench_fini(&b);
}

Test(mmu, gigabyte_page_translates)
{
	long_mode();
	mem_put(&b, T3 + 8, 8, 0 | RWX | PS);
	mem_put(&b, 0x234567, 1, 9);
	cr_expect_eq(mmu_ld(c, 0x40234567, 1, MMU_USER), 9);
	bench_fini(&b);
}

Test(mmu, faults_carry_the_architectural_code)
{
	long_mode();
	c->cr4 |= CR4_SMAP | CR4_SMEP;
	mmu_flush(c, false);
	pte(1, 0);
	pte(2, 0x2000 | P | U);			/* read-only user */
	pte(3, 0x3000 | P | W);			/* kernel */
	pte(4, 0x4000 | P | W | BIT(51));	/* reserved address bit */
	pte(5, 0x5000 | RWX | NX);
	cr_expect_eq(ld(0x1000, MMU_USER), PF(4));
	cr_expect_eq(c->exc_cr2, 0x1000);
	cr_expect_eq(ld(0x1000, MMU_KERNEL), PF(0));
	cr_expect_eq(st(0x1ffc, 0, MMU_KERNEL), PF(2));
	cr_expect_eq(st(0x2000, 0, MMU_USER), PF(7));
	cr_expect_eq(ld(0x2000, MMU_USER), -1);
	cr_expect_eq(ld(0x2000, MMU_KERNEL), PF(1), "SMAP");
	cr_expect_eq(ld(0x2000, MMU_KERNEL_NOSMAP), -1);
	cr_expect_eq(st(0x2000, 0, MMU_KERNEL_NOSMAP), PF(3), "WP");
	cr_expect_eq(ld(0x3000, MMU_USER), PF(5));
	cr_expect_eq(ld(0x3000, MMU_KERNEL), -1);
	cr_expect_eq(ld(0x4000, MMU_KERNEL), PF(9));
	uint64_t pa;
	uint32_t err;
	cr_expect_not(mmu_fetch_page(c, 0x5000, &pa, NULL, &err));
	cr_expect_eq(err, 0x11);
	cr_expect_not(mmu_fetch_page(c, 0x2000, &pa, NULL, &err), "SMEP");
	cr_expect_eq(err, 0x11);
	cr_expect(mmu_fetch_page(c, 0x3000, &pa, NULL, &err));
	cr_expect_eq(pa, 0x3000);
	cr_expect_eq(ld(0x400000000000 - 0x1000, MMU_KERNEL), PF(0));
	bench_fini(&b);
}

Test(mmu, a_global_bit_at_the_top_is_reserved_by_amd)
{
	long_mode();
	mem_put(&b, T3, 8, mem(&b, T3, 8) | G);
	cr_expect_eq(ld(0x1000, MMU_KERNEL), -1);
	mem_put(&b, T4, 8, mem(&b, T4, 8) | G);
	mmu_flush(c, false);
	cr_expect_eq(ld(0x1000, MMU_KERNEL), PF(9));
	strcpy(c->id.vendor, "GenuineIntel");
	mmu_flush(c, false);
	cr_expect_eq(ld(0x1000, MMU_KERNEL), -1);
	bench_fini(&b);
}

Test(mmu, nx_without_nxe_is_reserved)
{
	long_mode();
	c->efer &= ~EFER_NXE;
	mmu_flush(c, false);
	pte(1, 0x1000 | RWX | NX);
	cr_expect_eq(ld(0x1000, MMU_KERNEL), PF(9));
	bench_fini(&b);
}

Test(mmu, supervisor_writes_read_only_pages_without_wp)
{
	long_mode();
	c->cr0 &= ~(uint64_t)CR0_WP;
	mmu_flush(c, false);
	pte(1, 0x1000 | P);
	cr_expect_eq(st(0x1000, 5, MMU_KERNEL), -1);
	cr_expect_eq(mem(&b, 0x1000, 4), 5);
	bench_fini(&b);
}

Test(mmu, upper_levels_restrict)
{
	long_mode();
	mem_put(&b, T2, 8, T1 | P | U);
	mmu_flush(c, false);
	cr_expect_eq(ld(0x6000, MMU_USER), -1, "remembers the table");
	cr_expect_eq(st(0x7000, 0, MMU_USER), PF(7));
	mem_put(&b, T3, 8, T2 | P | W);
	mmu_flush(c, false);
	cr_expect_eq(ld(0x7000, MMU_USER), PF(5));
	bench_fini(&b);
}

Test(mmu, failed_accesses_change_nothing)
{
	long_mode();
	pte(1, 0x1000 | P | U);
	cr_expect_eq(st(0x1000, 1, MMU_USER), PF(7));
	cr_expect_eq(mem(&b, T1 + 8, 8), 0x1000 | P | U);
	cr_expect_eq(mem(&b, T4, 8), T3 | RWX);
	bench_fini(&b);
}

Test(mmu, a_write_across_pages_checks_both_first)
{
	long_mode();
	pte(8, 0x20000 | RWX);
	pte(9, 0x9000 | P | U);
	mem_put(&b, 0x20ffc, 4, 0x11111111);
	cr_expect_eq(RAISED(&b, mmu_st(c, 0x8ffe, 4, 0xaaaaaaaa, MMU_USER)), PF(7));
	cr_expect_eq(c->exc_cr2, 0x9000);
	cr_expect_eq(mem(&b, 0x20ffc, 4), 0x11111111);
	pte(9, 0x30000 | RWX);
	mmu_flush_page(c, 0x9000);
	mmu_st(c, 0x8ffe, 4, 0xaabbccdd, MMU_USER);
	cr_expect_eq(mem(&b, 0x20ffe, 2), 0xccdd);
	cr_expect_eq(mem(&b, 0x30000, 2), 0xaabb);
	cr_expect_eq(mmu_ld(c, 0x8ffe, 4, MMU_USER), 0xaabbccdd);
	bench_fini(&b);
}

Test(mmu, buffers_cross_pages)
{
	uint8_t out[4096], in[4096];
	long_mode();
	pte(8, 0x20000 | RWX);
	pte(9, 0x30000 | RWX);
	for (int i = 0; i < 4096; i++)
		out[i] = (uint8_t)(i * 7);
	mmu_st_buf(c, 0x8123, out, 4096, MMU_USER);
	mmu_ld_buf(c, 0x8123, in, 4096, MMU_USER);
	cr_expect_eq(memcmp(in, out, 4096), 0);
	cr_expect_eq(mem(&b, 0x30122, 1), out[4095]);
	bench_fini(&b);
}

Test(mmu, stale_translations_stay_until_invlpg)
{
	long_mode();
	pte(8, 0x20000 | RWX);
	mem_put(&b, 0x20000, 1, 1);
	mem_put(&b, 0x30000, 1, 2);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_KERNEL), 1);
	pte(8, 0x30000 | RWX);
	mmu_flush_page(c, 0x9000);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1, "another page");
	mmu_flush_page(c, 0x8fff);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 2);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_KERNEL), 2);
	bench_fini(&b);
}

Test(mmu, invlpg_of_a_large_page_drops_all_its_pieces)
{
	long_mode();
	mem_put(&b, 0x201000, 1, 1);
	mem_put(&b, 0x1000, 1, 2);
	cr_expect_eq(mmu_ld(c, 0x201000, 1, MMU_USER), 1);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 0);
	mem_put(&b, T2 + 8, 8, 0 | RWX | PS);
	mem_put(&b, 0x3ff000, 1, 3);
	mem_put(&b, 0x1ff000, 1, 4);
	mmu_flush_page(c, 0x3ff000);
	cr_expect_eq(mmu_ld(c, 0x201000, 1, MMU_USER), 2);
	cr_expect_eq(mmu_ld(c, 0x3ff000, 1, MMU_USER), 4);
	bench_fini(&b);
}

Test(mmu, invlpg_forgets_page_tables_too)
{
	long_mode();
	cr_expect_eq(ld(0x6000, MMU_USER), -1);
	for (int i = 0; i < 512; i++)
		mem_put(&b, T1B + 8 * i, 8, 0x50000 | RWX);
	mem_put(&b, T2, 8, T1B | RWX);
	mem_put(&b, 0x50000, 1, 3);
	mmu_flush_page(c, 0x100000);
	cr_expect_eq(mmu_ld(c, 0x7000, 1, MMU_USER), 3);
	bench_fini(&b);
}

Test(mmu, global_pages_outlive_cr3_loads)
{
	long_mode();
	c->cr4 |= CR4_PGE;
	mmu_flush(c, false);
	pte(8, 0x20000 | RWX | G);
	pte(9, 0x21000 | RWX);
	mem_put(&b, 0x20000, 1, 1);
	mem_put(&b, 0x21000, 1, 2);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1);
	cr_expect_eq(mmu_ld(c, 0x9000, 1, MMU_USER), 2);
	pte(8, 0x30000 | RWX | G);
	pte(9, 0x30000 | RWX);
	cpu_write_cr(c, 3, T4);
	cr_expect(in_table(&c->tlb[MMU_USER], 0x8000, false));
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1);
	cr_expect_eq(mmu_ld(c, 0x9000, 1, MMU_USER), 0);
	cpu_write_cr(c, 4, c->cr4 & ~CR4_PGE);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 0);
	bench_fini(&b);
}

/* A second space whose page 8 is 0x30000. */
static void second_space(void)
{
	memcpy(b.ram->host + T4B, b.ram->host + T4, 4096);
	mem_put(&b, T4B, 8, (T4B + 0x1000) | RWX);
	mem_put(&b, T4B + 0x1000, 8, (T4B + 0x2000) | RWX);
	mem_put(&b, T4B + 0x2000, 8, T1B | RWX);
	memcpy(b.ram->host + T1B, b.ram->host + T1, 4096);
	mem_put(&b, T1B + 64, 8, 0x30000 | RWX);
	pte(8, 0x20000 | RWX);
	mem_put(&b, 0x20000, 1, 1);
	mem_put(&b, 0x30000, 1, 2);
	mem_put(&b, 0x31000, 1, 3);
}

Test(mmu, pcids_keep_their_translations)
{
	long_mode();
	second_space();
	cpu_write_cr(c, 4, c->cr4 | CR4_PCIDE);
	cpu_write_cr(c, 3, T4 | 1);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1);
	cpu_write_cr(c, 3, T4B | 2);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 2);
	pte(8, 0x31000 | RWX);
	cpu_write_cr(c, 3, T4 | 1 | BIT(63));
	cr_expect_eq(c->cr3, T4 | 1);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1, "kept");
	cpu_write_cr(c, 3, T4B | 2 | BIT(63));
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 2);
	cpu_write_cr(c, 3, T4 | 1);
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 3, "not kept");
	bench_fini(&b);
}

Test(mmu, invpcid_forgets_what_it_says)
{
	long_mode();
	second_space();
	cpu_write_cr(c, 4, c->cr4 | CR4_PCIDE);
	cpu_write_cr(c, 3, T4 | 1);
	mmu_ld(c, 0x8000, 1, MMU_USER);
	cpu_write_cr(c, 3, T4B | 2);
	mmu_ld(c, 0x8000, 1, MMU_USER);
	pte(8, 0x31000 | RWX);
	cr_expect(mmu_invpcid(c, 0, 1, 0x9000));
	cpu_write_cr(c, 3, T4 | 1 | BIT(63));
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1, "another address");
	cpu_write_cr(c, 3, T4B | 2 | BIT(63));
	cr_expect(mmu_invpcid(c, 0, 1, 0x8000));
	cpu_write_cr(c, 3, T4 | 1 | BIT(63));
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 3);
	pte(8, 0x20000 | RWX);
	cr_expect(mmu_invpcid(c, 1, 1, 0));
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 1, "the current one");
	pte(8, 0x31000 | RWX);
	cr_expect(mmu_invpcid(c, 3, 0, 0));
	cr_expect_eq(mmu_ld(c, 0x8000, 1, MMU_USER), 3);
	cr_expect_not(mmu_invpcid(c, 4, 0, 0));
	cr_expect_not(mmu_invpcid(c, 0, 0x1000, 0));
	cr_expect_not(mmu_invpcid(c, 0, 1, 1ull << 57));
	bench_fini(&b);
}

Test(mmu, many_flushes_do_not_mix_spaces)
{
	long_mode();
	for (int i = 0; i < 20000; i++) {
		pte(8, (0x20000 + (i & 3) * 0x1000) | RWX);
		mem_put(&b, 0x20000 + (i & 3) * 0x1000, 1, i & 3);
		switch (i % 3) {
		case 0: mmu_flush(c, i & 1); break;
		case 1: cpu_write_cr(c, 3, T4); break;
		default: mmu_flush_page(c, 0x8000);
		}
		cr_assert_eq(mmu_ld(c, 0x8000, 1, MMU_USER), (uint64_t)(i & 3));
	}
	bench_fini(&b);
}

static int code_calls;
static uint64_t code_pa;

static void code_written(struct cpu *cpu, uint64_t pa, int n)
{
	(void)cpu, (void)n;
	code_calls++;
	code_pa = pa;
}

Test(mmu, a_write_across_pages_tells_of_the_code_on_one)
{
	long_mode();
	c->code_written = code_written;
	pte(8, 0x20000 | RWX);
	pte(9, 0x30000 | RWX);
	for (int i = 0; i < 2; i++) {		/* the second time the table knows the pages */
		mmu_st(c, 0x8ffa, 8, 0x8877665544332211, MMU_USER);
		cr_expect_eq(mmu_ld(c, 0x8ffa, 8, MMU_USER), 0x8877665544332211);
	}
	cr_expect_eq(code_calls, 0);
	phys_set_code(b.phys, b.ram, 0x30000);
	mmu_protect_ram_page(c, b.ram->host + 0x30000);
	mmu_st(c, 0x8ffd, 8, 0x1122334455667788, MMU_USER);
	cr_expect_eq(mmu_ld(c, 0x8ffd, 8, MMU_USER), 0x1122334455667788);
	cr_expect(code_calls == 5 && code_pa == 0x30004);
	bench_fini(&b);
}

Test(mmu, code_pages_never_enter_the_write_table)
{
	bool code;
	uint64_t pa;
	long_mode();
	c->code_written = code_written;
	mmu_st(c, 0x8000, 1, 1, MMU_USER);
	cr_expect(in_table(&c->tlb[MMU_USER], 0x8000, true));
	phys_set_code(b.phys, b.ram, 0x8000);
	mmu_protect_ram_page(c, b.ram->host + 0x8000);
	cr_expect_not(in_table(&c->tlb[MMU_USER], 0x8000, true));
	mmu_st(c, 0x8010, 4, 0x12345678, MMU_USER);
	cr_expect(code_calls == 1 && code_pa == 0x8010);
	cr_expect_not(in_table(&c->tlb[MMU_USER], 0x8000, true));
	cr_expect(in_table(&c->tlb[MMU_USER], 0x8000, false));
	uint8_t *p = mmu_fill(c, 0x8010, 4, MMU_WRITE, MMU_USER, &code, &pa);
	cr_expect(p == b.ram->host + 0x8010 && code && pa == 0x8010);
	phys_clear_code(b.phys, b.ram, 0x8000);
	mmu_st(c, 0x8010, 4, 0, MMU_USER);
	cr_expect(in_table(&c->tlb[MMU_USER], 0x8000, true));
	cr_expect_eq(code_calls, 1);
	bench_fini(&b);
}

Test(mmu, tracked_pages_become_dirty_again_after_clearing)
{
	long_mode();
	phys_log_dirty(b.phys, b.ram, 0x8000, 0x1000, true);
	mmu_flush(c, false);
	mmu_ld(c, 0x8000, 1, MMU_USER);
	cr_expect_not(phys_test_clear_dirty(b.phys, b.ram, 0x8000));
	mmu_st(c, 0x8000, 1, 1, MMU_USER);
	cr_expect(in_table(&c->tlb[MMU_USER], 0x8000, true), "dirty: writes may go straight");
	cr_expect(phys_test_clear_dirty(b.phys, b.ram, 0x8000));
	cr_expect(c->request & REQ_FLUSH);
	mmu_flush(c, false);
	cr_expect(phys_test_clear_dirty(b.phys, b.ram, 0x8000), "may have been written before the flush");
	mmu_flush(c, false);
	cr_expect_not(phys_test_clear_dirty(b.phys, b.ram, 0x8000));
	mmu_st(c, 0x8000, 1, 1, MMU_USER);
	cr_expect(phys_test_clear_dirty(b.phys, b.ram, 0x8000));
	bench_fini(&b);
}

/* Has the page changed since this was asked last? */
static bool changed(uint64_t pa)
{
	uint64_t bits[1024];

	phys_take_changed(b.phys, b.ram, bits);
	return bits[pa >> 18] >> (pa >> 12 & 63) & 1;
}

Test(mmu, snapshots_and_the_display_track_apart)
{
	long_mode();
	phys_log_dirty(b.phys, b.ram, 0x8000, 0x1000, true);
	phys_track(b.phys, b.ram, true);
	mmu_flush(c, false);
	cr_expect_not(changed(0x8000));
	mmu_st(c, 0x8000, 1, 1, MMU_USER);
	cr_expect(phys_test_clear_dirty(b.phys, b.ram, 0x8000));
	cr_expect(changed(0x8000));
	phys_settle_writes(b.phys);
	cr_expect(changed(0x8000), "a write through the table may have come until the entry went");
	phys_settle_writes(b.phys);
	cr_expect_not(changed(0x8000));
	phys_write(b.phys, 0x9000, 4, 7);
	cr_expect(changed(0x9000), "a device's");
	phys_track(b.phys, b.ram, false);
	mmu_st(c, 0x8000, 1, 1, MMU_USER);
	cr_expect(phys_test_clear_dirty(b.phys, b.ram, 0x8000), "the display goes on");
	bench_fini(&b);
}

/* A store to code is marked before it happens; taken in between, it must not be forgotten. */
Test(mmu, a_store_to_code_that_is_under_way_counts_for_the_next_time)
{
	uint64_t pa;
	bool code;

	long_mode();
	phys_set_code(b.phys, b.ram, 0x8000);
	phys_track(b.phys, b.ram, true);
	mmu_flush(c, false);
	cr_expect(mmu_fill(c, 0x8010, 4, MMU_WRITE, MMU_USER, &code, &pa) && code);
	cr_expect(changed(0x8000));
	mmu_flush(c, false);
	cr_expect(changed(0x8000), "the store followed the mark");
	phys_clear_code(b.phys, b.ram, 0x8000);
	bench_fini(&b);
}

Test(mmu, watched_pages_take_the_slow_path)
{
	bool code;
	uint64_t pa;
	long_mode();
	mmu_st(c, 0x8000, 1, 1, MMU_USER);
	cpu_write_dr(c, 0, 0x8010);
	cpu_write_dr(c, 7, 1 | 1 << 16 | 3 << 18);	/* writes, 4 bytes */
	cr_expect_null(mmu_fill(c, 0x8000, 4, MMU_WRITE, MMU_USER, &code, &pa));
	cr_expect_not(in_table(&c->tlb[MMU_USER], 0x8000, true));
	mmu_st(c, 0x800c, 4, 0, MMU_USER);
	cr_expect_eq(c->dr6_pending, 0);
	mmu_ld(c, 0x8010, 4, MMU_USER);
	cr_expect_eq(c->dr6_pending, 0);
	mmu_st(c, 0x800d, 4, 0, MMU_USER);
	cr_expect_eq(c->dr6_pending, 1);
	bench_fini(&b);
}

/* ---- 32-bit formats ---- */

static void legacy(void)
{
	bench_init(&b);
	c = b.c;
	mem_put(&b, T2, 4, T1 | RWX);
	for (int i = 0; i < 1024; i++)
		mem_put(&b, T1 + 4 * i, 4, i << 12 | RWX);
	c->cr3 = T2;
	c->cr4 = CR4_PSE;
	c->cr0 = CR0_PE | CR0_PG | CR0_ET;
	mmu_flush(c, false);
	cpu_update_mode(c);
}

Test(mmu, two_levels_translate)
{
	legacy();
	mem_put(&b, T1 + 4 * 8, 4, 0x20000 | RWX);
	mem_put(&b, 0x20004, 4, 77);
	cr_expect_eq(mmu_ld(c, 0x8004, 4, MMU_USER), 77);
	mmu_st(c, 0x8004, 4, 78, MMU_USER);
	cr_expect_eq(mem(&b, T1 + 4 * 8, 4), 0x20000 | RWX | A | D);
	bench_fini(&b);
}

Test(mmu, pse_pages_translate_and_check_reserved_bits)
{
	legacy();
	mem_put(&b, T2 + 4, 4, 0 | RWX | PS);
	mem_put(&b, 0x312345, 1, 5);
	cr_expect_eq(mmu_ld(c, 0x712345, 1, MMU_USER), 5);
	mem_put(&b, T2 + 8, 4, 0 | RWX | PS | BIT(21));
	cr_expect_eq(ld(0x800000, MMU_USER), PF(0xd));
	mem_put(&b, T2 + 8, 4, RWX | PS | BIT(13));	/* bit 32: nothing there */
	cr_expect_eq(mmu_ld(c, 0x800000, 4, MMU_USER), 0xffffffff);
	c->cr4 = 0;
	mmu_flush(c, false);
	cr_expect_eq(ld(0x712345, MMU_USER), PF(4), "without PSE it is a table, at 0");
	bench_fini(&b);
}

Test(mmu, three_levels_use_loaded_pointers)
{
	bench_init(&b);
	c = b.c;
	mem_put(&b, T3 + 8, 8, T2 | P);
	mem_put(&b, T2, 8, T1 | RWX);
	mem_put(&b, T1, 8, 0x20000 | RWX | NX);
	mem_put(&b, T1 + 8, 8, 0x20000 | RWX | BIT(52));
	mem_put(&b, 0x20000, 1, 6);
	c->efer = EFER_NXE;
	c->cr4 = CR4_PAE;
	c->cr0 |= CR0_PE;
	cpu_write_cr(c, 3, T3);
	cr_expect_eq(RAISED(&b, cpu_write_cr(c, 0, CR0_PE | CR0_PG)), -1);
	cr_expect_eq(c->pdpte[1], T2 | P);
	cr_expect_eq(mmu_ld(c, 0x40000000, 1, MMU_USER), 6);
	cr_expect_eq(ld(0x40001000, MMU_USER), PF(0xd));
	cr_expect_eq(ld(0, MMU_USER), PF(4));
	mem_put(&b, T3 + 8, 8, 0);
	mmu_flush(c, false);
	cr_expect_eq(mmu_ld(c, 0x40000000, 1, MMU_USER), 6, "pointers reload with CR3 only");
	mem_put(&b, T3 + 8, 8, T2 | P | W);
	cr_expect_eq(RAISED(&b, cpu_write_cr(c, 3, T3)), EXC(EXC_GP, 0));
	bench_fini(&b);
}

/* ---- everything at random against a plain walk ---- */

/* What the tables say, without any memory of earlier walks. */
static bool oracle(uint64_t cr3, uint64_t va, bool write, enum mmu_idx idx, uint64_t *pa)
{
	uint64_t e, at = cr3 & 0xffffff000, rights = RWX;
	for (int shift = 39; ; shift -= 9) {
		e = mem(&b, at + (va >> shift & 511) * 8, 8);
		if (!(e & P))
			return false;
		rights &= e;
		if (shift == 12 || (shift == 21 && e & PS))
			break;
		at = e & 0xffffff000;
	}
	uint64_t mask = e & PS ? 0x1fffff : 0xfff;
	*pa = (e & 0xffffff000 & ~mask) | (va & mask);
	if (idx == MMU_USER && !(rights & U))
		return false;
	return !write || rights & W;
}

static void random_pte(unsigned i)
{
	uint64_t v = (uint64_t)(rand() % 64 + 32) << 12;
	pte((int)i, v | (rand() % 8 ? P : 0) | (rand() & (W | U)));
	mmu_flush_page(c, i << 12);
}

Test(mmu, random_accesses_agree_with_a_plain_walk)
{
	static unsigned n_ok;	/* static: setjmp */
	static uint64_t pa;
	static bool want;
	unsigned seed = 7;

	cr_log_info("seed %u", seed);
	srand(seed);
	long_mode();
	cpu_write_cr(c, 4, c->cr4 | CR4_PCIDE | CR4_PGE);
	memcpy(b.ram->host + T4B, b.ram->host + T4, 4096);
	for (int step = 0; step < 60000; step++) {
		unsigned page = rand() % 64;
		uint64_t va = ((uint64_t)page << 12) + (rand() & 0xff8);
		enum mmu_idx idx = rand() & 1 ? MMU_USER : MMU_KERNEL;
		bool write = rand() & 1;
		switch (rand() % 16) {
		case 0:
			random_pte(page);
			for (int p = 1; p < 4; p++)
				mmu_invpcid(c, 0, p, page << 12);
			break;
		case 1:
			cpu_write_cr(c, 3, (rand() & 1 ? T4 : T4B) | (1 + rand() % 3) | (rand() & 1 ? BIT(63) : 0));
			break;
		default:
			break;
		}
		want = oracle(c->cr3, va, write, idx, &pa);
		uint64_t v = rand();
		int exc = write ? RAISED(&b, mmu_st(c, va, 8, v, idx)) : ld(va, idx);
		cr_assert_eq(exc == -1, want, "step %d", step);
		if (want && write)
			cr_assert_eq(mem(&b, pa, 8), v, "step %d", step);
		if (want && !write)
			cr_assert_eq(mmu_ld(c, va, 8, idx), mem(&b, pa, 8), "step %d", step);
		n_ok += want;
	}
	cr_expect_gt(n_ok, 10000);
	bench_fini(&b);
}

/* ---- protection keys ---- */

#define KEY(k) ((uint64_t)(k) << 59)
#define AD(k) (1u << 2 * (k))
#define WD(k) (2u << 2 * (k))

static void wrpkru(uint32_t v)
{
	c->regs[RAX] = v;
	c->regs[RCX] = c->regs[RDX] = 0;
	cpu_wrpkru(c);
}

static void with_keys(void)
{
	long_mode();
	cpu_write_cr(c, 4, c->cr4 | CR4_PKE | CR4_PKS);
	pte(8, 0x8000 | RWX | KEY(3));
	pte(9, 0x9000 | RWX | KEY(4));
	pte(10, 0xa000 | P | W | KEY(5));	/* supervisor */
	pte(11, 0xb000 | RWX);
}

Test(mmu, user_keys_forbid_data_accesses)
{
	with_keys();
	cr_expect_eq(st(0x8000, 1, MMU_USER), -1);
	wrpkru(WD(3));
	cr_expect_eq(ld(0x8000, MMU_USER), -1);
	cr_expect_eq(st(0x8000, 1, MMU_USER), PF(0x27));
	cr_expect_eq(st(0x8000, 1, MMU_KERNEL_NOSMAP), PF(0x23), "WP: supervisors obey");
	wrpkru(AD(3));
	cr_expect_eq(ld(0x8000, MMU_USER), PF(0x25));
	cr_expect_eq(ld(0x8000, MMU_KERNEL_NOSMAP), PF(0x21));
	uint64_t pa;
	uint32_t err;
	cr_expect(mmu_fetch_page(c, 0x8000, &pa, NULL, &err), "instructions have no keys");
	pte(8, 0x8000 | P | U | KEY(3));
	mmu_flush_page(c, 0x8000);
	cr_expect_eq(st(0x8000, 1, MMU_USER), PF(0x27), "the key is named besides another reason");
	pte(8, 0);
	mmu_flush_page(c, 0x8000);
	cr_expect_eq(ld(0x8000, MMU_USER), PF(4));
	wrpkru(0);
	cr_expect_eq(ld(0x9000, MMU_USER), -1);
	bench_fini(&b);
}

Test(mmu, a_write_disabled_key_does_not_bind_supervisors_without_wp)
{
	with_keys();
	cpu_write_cr(c, 0, c->cr0 & ~(uint64_t)CR0_WP);
	wrpkru(WD(3));
	cr_expect_eq(st(0x8000, 1, MMU_KERNEL_NOSMAP), -1);
	cr_expect_eq(st(0x8000, 1, MMU_USER), PF(0x27));
	cr_expect(in_table(&c->tlb[MMU_KERNEL_NOSMAP], 0x8000, true));
	cpu_write_cr(c, 0, c->cr0 | CR0_WP);
	cr_expect_eq(st(0x8000, 1, MMU_KERNEL_NOSMAP), PF(0x23));
	bench_fini(&b);
}

Test(mmu, supervisor_keys_forbid_data_accesses)
{
	with_keys();
	cr_expect_eq(st(0xa000, 1, MMU_KERNEL), -1);
	cr_expect_eq(RAISED(&b, cpu_wrmsr(c, 0x6e1, BIT(32))), EXC(EXC_GP, 0));
	cpu_wrmsr(c, 0x6e1, WD(5));
	cr_expect_eq(ld(0xa000, MMU_KERNEL), -1);
	cr_expect_eq(st(0xa000, 1, MMU_KERNEL), PF(0x23));
	cpu_wrmsr(c, 0x6e1, AD(5));
	cr_expect_eq(ld(0xa000, MMU_KERNEL), PF(0x21));
	cr_expect_eq(ld(0xa000, MMU_USER), PF(5), "not a key's fault");
	cr_expect_eq(ld(0x8000, MMU_USER), -1, "user pages have the other register");
	cpu_write_cr(c, 4, c->cr4 & ~(uint64_t)CR4_PKS);
	cr_expect_eq(ld(0xa000, MMU_KERNEL), -1);
	bench_fini(&b);
}

Test(mmu, wrpkru_drops_only_what_it_forbids)
{
	with_keys();
	for (int page = 8; page < 12; page++)
		st((uint64_t)page << 12, 1, page == 10 ? MMU_KERNEL : MMU_USER);
	wrpkru(WD(4));
	cr_expect(in_table(&c->tlb[MMU_USER], 0x8000, true), "another key");
	cr_expect(in_table(&c->tlb[MMU_USER], 0xb000, true), "key 0");
	cr_expect(in_table(&c->tlb[MMU_KERNEL], 0xa000, true), "a supervisor page");
	cr_expect(in_table(&c->tlb[MMU_USER], 0x9000, false), "reads are allowed");
	cr_expect_not(in_table(&c->tlb[MMU_USER], 0x9000, true));
	wrpkru(0);
	st(0x9000, 1, MMU_USER);
	wrpkru(AD(4));
	cr_expect_not(in_table(&c->tlb[MMU_USER], 0x9000, false));
	wrpkru(AD(0));
	cr_expect_not(in_table(&c->tlb[MMU_USER], 0xb000, false));
	cr_expect_eq(ld(0xb000, MMU_USER), PF(0x25));
	bench_fini(&b);
}

/* More pages of a key than a list of slots holds. */
Test(mmu, wrpkru_forbids_any_number_of_pages)
{
	with_keys();
	for (int i = 0; i < 512; i++)
		pte(i, i << 12 | RWX | (i >= 64 ? KEY(1) : 0));
	for (int round = 0; round < 3; round++) {
		wrpkru(0);
		for (int i = 64; i < 64 + 220 * (round + 1) && i < 512; i++)
			cr_assert_eq(ld((uint64_t)i << 12, MMU_USER), -1);
		wrpkru(AD(1));
		for (int i = 64; i < 512; i++)
			cr_assert_eq(ld((uint64_t)i << 12, MMU_USER), PF(0x25), "%d", i);
		cpu_write_cr(c, 3, T4);
	}
	bench_fini(&b);
}

Test(mmu, keys_need_long_mode_and_their_control_bit)
{
	with_keys();
	wrpkru(AD(3));
	cpu_write_cr(c, 4, c->cr4 & ~(uint64_t)CR4_PKE);
	cr_expect_eq(ld(0x8000, MMU_USER), -1);
	cr_expect_eq(RAISED(&b, cpu_wrpkru(c)), EXC(EXC_UD, 0));
	cr_expect_eq(RAISED(&b, cpu_rdpkru(c)), EXC(EXC_UD, 0));
	cpu_write_cr(c, 4, c->cr4 | CR4_PKE);
	cr_expect_eq(ld(0x8000, MMU_USER), PF(0x25));
	cr_expect_eq(cpu_rdpkru(c), AD(3));
	c->regs[RCX] = 1;
	cr_expect_eq(RAISED(&b, cpu_rdpkru(c)), EXC(EXC_GP, 0));
	c->regs[RCX] = 0;
	c->regs[RDX] = 1;
	cr_expect_eq(RAISED(&b, cpu_wrpkru(c)), EXC(EXC_GP, 0));
	bench_fini(&b);
}

/* ---- CR0.WP ---- */

Test(mmu, setting_wp_drops_only_what_it_forbids)
{
	long_mode();
	pte(8, 0x8000 | P | U);
	cpu_write_cr(c, 0, c->cr0 & ~(uint64_t)CR0_WP);
	st(0x8000, 1, MMU_KERNEL);
	st(0x9000, 1, MMU_KERNEL);
	st(0x9000, 1, MMU_USER);
	cr_expect(in_table(&c->tlb[MMU_KERNEL], 0x8000, true));
	cpu_write_cr(c, 0, c->cr0 | CR0_WP);
	cr_expect_not(in_table(&c->tlb[MMU_KERNEL], 0x8000, true));
	cr_expect(in_table(&c->tlb[MMU_KERNEL], 0x8000, false));
	cr_expect(in_table(&c->tlb[MMU_KERNEL], 0x9000, true) && in_table(&c->tlb[MMU_USER], 0x9000, true));
	cr_expect_eq(st(0x8000, 1, MMU_KERNEL), PF(3));
	cpu_write_cr(c, 0, c->cr0 & ~(uint64_t)CR0_WP);
	cr_expect_eq(st(0x8000, 1, MMU_KERNEL), -1);
	bench_fini(&b);
}

/* ---- five levels ---- */

static void five_levels(void)
{
	long_mode();
	c->cr0 &= ~(uint64_t)CR0_PG;
	mem_put(&b, 0x106000, 8, T4 | RWX);
	mem_put(&b, 0x106000 + 8 * 511, 8, T4 | RWX);
	c->cr3 = 0x106000;
	c->cr4 |= CR4_LA57;
	c->cr0 |= CR0_PG;
	mmu_flush(c, false);
	cpu_update_mode(c);
}

Test(mmu, five_levels_translate_57_bits)
{
	five_levels();
	mem_put(&b, 0x20000, 1, 9);
	mem_put(&b, 0x345678, 4, 42);
	cr_expect_eq(mmu_ld(c, 0x20000, 1, MMU_USER), 9);
	cr_expect_eq(mmu_ld(c, 0xffff000000020000, 1, MMU_USER), 9);
	cr_expect_eq(mmu_ld(c, 0xffff000000345678, 4, MMU_USER), 42);
	cr_expect(mem(&b, 0x106000, 8) & A);
	cr_expect_eq(ld(0x0001000000020000, MMU_USER), PF(4), "another entry of the fifth level");
	cr_expect_eq(ld(0x0100000000000000, MMU_USER), EXC(EXC_GP, 0), "not canonical");
	mem_put(&b, 0x106008, 8, T4 | RWX | PS);
	cr_expect_eq(ld(0x0001000000020000, MMU_USER), PF(0xd));
	mem_put(&b, 0x106008, 8, T4 | RWX);
	pte(0x20, 0x30000 | RWX);
	mmu_flush_page(c, 0x0001000000020000);
	cr_expect_eq(mmu_ld(c, 0x0001000000020000, 1, MMU_USER), 0, "two addresses that differ in bit 48");
	cr_expect_eq(mmu_ld(c, 0x20000, 1, MMU_USER), 9);
	cr_expect(cpu_cpl(c) != 3 && !mmu_canonical(c, 1ull << 56) && mmu_canonical(c, 1ull << 55));
	bench_fini(&b);
}

Test(mmu, la57_changes_outside_long_mode_only)
{
	long_mode();
	cr_expect_eq(RAISED(&b, cpu_write_cr(c, 4, c->cr4 | CR4_LA57)), EXC(EXC_GP, 0));
	cr_expect_eq(ld(0x0001000000020000, MMU_USER), EXC(EXC_GP, 0), "four levels: 48 bits");
	bench_fini(&b);
	bench_init(&b);
	c = b.c;
	cr_expect_eq(RAISED(&b, cpu_write_cr(c, 4, CR4_LA57 | CR4_PAE)), EXC(EXC_GP, 0), "this model has it not");
	c->feat[FEAT_7_ECX] |= BIT(CPUID_LA57 & 31);
	cpu_write_cr(c, 4, CR4_LA57 | CR4_PAE);
	cr_expect_eq(c->cr4, CR4_LA57 | CR4_PAE);
	bench_fini(&b);
}

/* A program that writes to ever more pages must not make the search for one page slow or wrong. */
Test(mmu, a_page_is_found_in_the_write_tables_after_thousands_of_others)
{
	bench_init(&b);
	c = b.c;
	for (uint64_t pa = 0; pa < RAM_SIZE; pa += 4096)
		mmu_st(c, pa, 1, 1, MMU_KERNEL_NOSMAP);
	for (uint64_t pa = RAM_SIZE - 512 * 4096; pa < RAM_SIZE; pa += 4096) {
		cr_assert(in_table(&c->tlb[MMU_KERNEL_NOSMAP], pa, true));
		b.ram->page[pa >> 12] |= PAGE_CODE;
		mmu_protect_ram_page(c, b.ram->host + pa);
		cr_assert_not(in_table(&c->tlb[MMU_KERNEL_NOSMAP], pa, true));
	}
	bench_fini(&b);
}

/* The same in two tables, and others of its place in the filter, before and behind the filter was made anew. */
Test(mmu, a_page_is_found_in_all_places_it_has)
{
	const uint64_t more = 128 << 20, same_bit = FILTER_BITS * 4096;
	struct phys_range range = { .pa = more, .size = more, .name = "more" };
	struct err e = { "" };
	struct ram *r;

	bench_init(&b);
	c = b.c;
	r = range.rram = range.wram = phys_ram_new(b.phys, "more", more, &e);
	cr_assert(r && phys_map(b.phys, &range, &e));
	for (uint64_t i = 0; i < 8; i++) {
		uint64_t pages[2] = { i * 4096, i * 4096 + same_bit };

		mmu_st(c, more + pages[0], 1, 1, MMU_USER);
		if (i & 1)
			mmu_st(c, more + pages[1], 1, 1, MMU_KERNEL);
		for (uint64_t pa = 1 << 20; i & 2 && pa < 32 << 20; pa += 4096)	/* the filter is made anew */
			mmu_st(c, more + pa, 1, 1, MMU_KERNEL);
		mmu_st(c, more + pages[0], 1, 1, MMU_KERNEL_NOSMAP);
		for (unsigned k = 0; k <= (i & 1); k++) {
			struct tlb *t = &c->tlb[k ? MMU_KERNEL : MMU_USER];

			cr_assert(in_table(t, more + pages[k], true));
			r->page[pages[k] >> 12] |= PAGE_CODE;
			mmu_protect_ram_page(c, r->host + pages[k]);
			cr_assert_not(in_table(t, more + pages[k], true));
		}
		cr_assert_not(in_table(&c->tlb[MMU_KERNEL_NOSMAP], more + pages[0], true));
	}
	bench_fini(&b);
}
