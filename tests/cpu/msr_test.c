/* MSRs: every row obeys its mask and gate; the ones that do something do it. */
#include <criterion/criterion.h>

#include "cpu/cpuid.h"
#include "cpu/system.h"
#include "tests/cpu/harness.h"

static struct bench b;
static struct cpu *c;

static void init(void)
{
	bench_long(&b, 0);
	c = b.c;
}

static void fini(void)
{
	bench_fini(&b);
}

TestSuite(msr, .init = init, .fini = fini);

#define GP0 EXC(EXC_GP, 0)

static int wr(uint32_t msr, uint64_t v)
{
	return RAISED(&b, cpu_wrmsr(c, msr, v));
}

static uint64_t rd(uint32_t msr)
{
	uint64_t v = 0;
	cr_assert(msr_get(c, msr, &v), "%#x", msr);
	return v;
}

static const struct {
	uint32_t first, count;
	const char *name;
} rows[] = {
#define MSR(first, count, name, where, writable, other, needs, read, write) { first, count, name },
#include "cpu/msr.def"
#undef MSR
};

Test(msr, rows_ascend_without_overlap)
{
	for (size_t i = 1; i < ARRAY_LEN(rows); i++)
		cr_expect_geq(rows[i].first, rows[i - 1].first + rows[i - 1].count, "%s", rows[i].name);
}

Test(msr, what_can_be_read_can_be_written_back)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (uint32_t k = 0; k < rows[i].count; k++) {
			uint64_t v, again;
			uint32_t n = rows[i].first + k;
			if (!msr_get(c, n, &v) || n == 0x10)
				continue;
			if (msr_set(c, n, v))
				cr_expect(msr_get(c, n, &again) && again == v, "%s", rows[i].name);
		}
}

Test(msr, privilege_and_unknown_numbers_are_gp)
{
	cr_expect_eq(wr(0x12345, 0), GP0);
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0x12345)), GP0);
	bench_fini(&b);
	bench_long(&b, 3);
	c = b.c;
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0xc0000080)), GP0);
}

Test(msr, efer_keeps_lma_and_refuses_what_is_not_there)
{
	cr_expect_eq(wr(0xc0000080, EFER_LME | EFER_SCE | EFER_NXE), -1);
	cr_expect_eq(rd(0xc0000080), EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE);
	cr_expect_eq(wr(0xc0000080, EFER_LME | EFER_SVME), -1);
	cr_expect_eq(wr(0xc0000080, EFER_LME | BIT(13)), GP0);
	cr_expect_eq(wr(0xc0000080, EFER_SCE), GP0, "LME while paging");
}

/* Processors with 5-level paging take 57 bits whether it is on or not. */
Test(msr, addresses_must_be_canonical)
{
	static const uint32_t msrs[] = { 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176 };
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
		cr_expect_eq(wr(msrs[i], 1ull << 56), GP0);
		c->virt_bits = 57;
		cr_expect_eq(wr(msrs[i], 1ull << 47), -1);
		c->virt_bits = 48;
		cr_expect_eq(wr(msrs[i], 1ull << 47), GP0);
		cr_expect_eq(wr(msrs[i], 0xffff800000001234), -1);
		cr_expect_eq(rd(msrs[i]), 0xffff800000001234);
	}
	cr_expect_eq(c->segs[FS].base, 0xffff800000001234);
	cr_expect_eq(c->sysenter_eip, 0xffff800000001234);
}

Test(msr, pat_and_mtrrs_take_memory_types_only)
{
	cr_expect_eq(rd(0x277), 0x0007040600070406);
	cr_expect_eq(wr(0x277, 0x0007010600070106), -1);
	cr_expect_eq(wr(0x277, 2), GP0);
	cr_expect_eq(wr(0x200, 0x80000006), -1);
	cr_expect_eq(wr(0x200, 0x80000002), GP0);
	cr_expect_eq(wr(0x201, 0xff80000800), -1);
	cr_expect_eq(wr(0x201, 1ull << 50), GP0);
	cr_expect_eq(wr(0x26f, 0x0606060606060606), -1);
	cr_expect_eq(c->mtrr_fixed[10], 0x0606060606060606);
	cr_expect_eq(wr(0x2ff, 0xc06), -1);
	cr_expect_eq(wr(0x2ff, 0x1c06), GP0);
	cr_expect_eq(rd(0xfe), 0x508);
}

Test(msr, tsc_and_its_adjustment_move_together)
{
	cr_expect_eq(wr(0x10, 1ull << 40), -1);
	uint64_t t = rd(0x10);
	cr_expect(t >= 1ull << 40 && t < (1ull << 40) + (1ull << 34));
	uint64_t adjust = rd(0x3b);
	cr_expect_eq(wr(0x3b, adjust + (1ull << 41)), -1);
	t = rd(0x10);
	cr_expect(t >= 3ull << 40 && t < (3ull << 40) + (1ull << 34));
}

Test(msr, machine_check_banks)
{
	cr_expect_eq(rd(0x179) & 0xff, 10);
	cr_expect_eq(wr(0x400, ~0ull), -1);
	cr_expect_eq(wr(0x401, 0), -1);
	cr_expect_eq(wr(0x401, 5), GP0);
	cr_expect_eq(wr(0x402, ~0ull), -1);
	cr_expect_eq(wr(0x427, 0), -1);
	cr_expect_eq(wr(0x428, 0), GP0);
	cr_expect_eq(wr(0x17b, ~0ull), -1);
	cr_expect_eq(wr(0x17b, 1), GP0);
}

Test(msr, vendors_have_their_own)
{
	struct err e;
	cr_expect_eq(wr(0xc0010015, 0), -1);
	cr_expect_eq(rd(0xc0010000), 0);
	cr_expect_eq(wr(0xc0010000, 0x530076), -1);
	cr_expect_eq(rd(0xc0010000), 0x530076);
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0x1a0)), GP0);
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0x10a)), GP0);
	cr_assert(cpuid_configure(c, "Nehalem", false, &e));
	cr_expect_eq(rd(0x1a0), 0x1801);
	cr_expect_eq(rd(0x10a) & 0x31, 0x31);
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0xc0010015)), GP0);
	cr_expect_eq(wr(0x3a, 1), -1);
	cr_expect_eq(wr(0x3a, 5), GP0, "locked");
	cr_expect_eq(wr(0x1d9, 3), -1);
	cr_expect_eq(rd(0x1d9), 2, "steps on branches, no records of AMD's kind");
}

Test(msr, barriers_exist_only_if_advertised)
{
	struct err e;
	cr_expect_eq(wr(0x49, 1), GP0);
	cr_expect_eq(wr(0x48, 1), GP0);
	cr_assert(cpuid_configure(c, "max,+ibpb,+ibrs", false, &e));
	cr_expect_eq(wr(0x49, 1), -1);
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0x49)), GP0);
	cr_expect_eq(wr(0x48, 1), -1);
	cr_expect_eq(rd(0x48), 1);
	cr_expect_eq(wr(0x48, 0x100), GP0);
}

Test(msr, tsc_aux_takes_32_bits)
{
	cr_expect_eq(wr(0xc0000103, 0xffffffff), -1);
	cr_expect_eq(wr(0xc0000103, 1ull << 32), GP0);
}
