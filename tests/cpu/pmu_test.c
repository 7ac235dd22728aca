/* Performance counters' registers: both vendors' layouts, widths, what is refused, sleep. */
#include <criterion/criterion.h>

#include "cpu/cpuid.h"
#include "cpu/pmu.h"
#include "cpu/system.h"
#include "tests/cpu/harness.h"

static struct bench b;
static struct cpu *c;

static void init(void)
{
	bench_long(&b, 0);
	c = b.c;
}

static void fini(void) { bench_fini(&b); }
TestSuite(pmu, .init = init, .fini = fini);

static uint64_t rd(uint32_t msr)
{
	uint64_t v = ~0ull;

	cr_expect(msr_get(c, msr, &v), "%#x", msr);
	return v;
}

static void intel(void)
{
	struct err e;

	cr_assert(cpuid_configure(c, "Skylake-Client", false, &e), "%s", e.msg);
	cpu_reset(c);
}

Test(pmu, amds_legacy_registers_are_the_first_four)
{
	cr_expect(cpu_has(c, CPUID_PERFCTR_CORE));
	cr_expect(msr_set(c, 0xc0010203, 0xfffff123456789ab));
	cr_expect_eq(rd(0xc0010005), 0xf123456789ab, "48 bits");
	cr_expect(msr_set(c, 0xc0010001, ~0ull));
	cr_expect_eq(rd(0xc0010202), 0x30fffd7ffff);
	cr_expect(msr_set(c, 0xc001020b, 5));
	cr_expect_eq(cpu_rdpmc(c, 5), 5);
	cr_expect_eq(RAISED(&b, cpu_rdpmc(c, 6)), EXC(EXC_GP, 0));
	cr_expect_eq(RAISED(&b, cpu_rdpmc(c, 1u << 30)), EXC(EXC_GP, 0));
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0x38f)), EXC(EXC_GP, 0));
}

Test(pmu, rdpmc_obeys_cr4)
{
	bench_fini(&b);
	bench_long(&b, 3);
	c = b.c;
	cr_expect_eq(RAISED(&b, cpu_rdpmc(c, 0)), EXC(EXC_GP, 0));
	c->cr4 |= CR4_PCE;
	cr_expect_eq(RAISED(&b, cpu_rdpmc(c, 0)), -1);
}

Test(pmu, intels_leaf_says_what_there_is)
{
	uint32_t r[4];

	intel();
	cpu_cpuid(c, 10, 0, r);
	cr_expect_eq(r[0], 0x07300402);
	cr_expect_eq(r[1], 0x58);
	cr_expect_eq(r[3], 0x603);
	cr_expect_eq(rd(0x1a0) & 0x80, 0x80);
	cr_expect_eq(rd(0x38f), 15, "general counters are enabled at reset");
	cr_expect_eq(RAISED(&b, cpu_rdmsr(c, 0xc0010000)), EXC(EXC_GP, 0));
}

Test(pmu, intels_counters_have_48_bits_and_writes_32)
{
	intel();
	cr_expect(msr_set(c, 0xc2, 0x80000001));
	cr_expect_eq(cpu_rdpmc(c, 1), 0xffff80000001);
	cr_expect(msr_set(c, 0x30a, 0x7fff00000001));
	cr_expect_eq(cpu_rdpmc(c, 1u << 30 | 1), 0x7fff00000001);
	cr_expect_not(msr_set(c, 0x30a, 1ull << 48));
	cr_expect_eq(RAISED(&b, cpu_rdpmc(c, 4)), EXC(EXC_GP, 0));
	cr_expect_eq(RAISED(&b, cpu_rdpmc(c, 1u << 30 | 3)), EXC(EXC_GP, 0));
	cr_expect_not(msr_set(c, 0x186, 1ull << 21));
	cr_expect_not(msr_set(c, 0x38f, 1u << 4));
	cr_expect_not(msr_set(c, 0x38e, 0), "read only");
	cr_expect_not(msr_set(c, 0x38d, 0x4));
}

Test(pmu, a_global_bit_and_its_own_enable_a_counter)
{
	intel();
	cr_expect(msr_set(c, 0x38f, 0));
	cr_expect(msr_set(c, 0x186, 0x4300c0));
	cr_expect_not(c->mode & MODE_COUNT);
	cr_expect(msr_set(c, 0x38f, 1));
	cr_expect(c->mode & MODE_COUNT);
	c->pmu.left[0] -= 100;
	cr_expect_eq(cpu_rdpmc(c, 0), 100);
	cr_expect(msr_set(c, 0x186, 0x4100c0), "user code only");
	cr_expect_not(c->mode & MODE_COUNT);
}

Test(pmu, overflow_shows_in_the_status_until_cleared)
{
	intel();
	cr_expect(msr_set(c, 0x38f, 1ull << 32));
	cr_expect(msr_set(c, 0x38d, 0xb));
	cr_expect(msr_set(c, 0x309, (1ull << 48) - 10));
	c->pmu.left[0] -= 9;
	cr_expect_eq(rd(0x38e), 0);
	cr_expect_not(c->request & REQ_PMU);
	c->pmu.left[0] -= 1;
	cr_expect_eq(rd(0x38e), 1ull << 32);
	cr_expect(c->request & REQ_PMU);
	cr_expect(msr_set(c, 0x390, 1ull << 32));
	cr_expect_eq(rd(0x38e), 0);
}

Test(pmu, a_counter_of_both_classes_is_looked_at_in_time)
{
	cr_expect(msr_set(c, 0xc0010201, (1ull << 48) - 1000));
	cr_expect(msr_set(c, 0xc0010200, 0x5300c0));
	/* Whatever the classes' shares, no class may go further than what is missing together. */
	cr_expect_lt(c->pmu.left[0] + c->pmu.left[1], 1000);
	c->pmu.left[0] -= 600;
	c->pmu.left[1] -= 300;
	pmu_sync(c);
	cr_expect_lt(c->pmu.left[0] + c->pmu.left[1], 100);
	cr_expect_not(c->request & REQ_PMU);
}

Test(pmu, sleep_is_no_cycles)
{
	cr_expect(msr_set(c, 0xc0010200, 0x430076));
	uint64_t v = rd(0xc0010201);

	pmu_sleep(c);
	c->pmu.since -= 1ull << 40;		/* as if that long ago */
	pmu_wake(c);
	cr_expect_lt(rd(0xc0010201) - v, 1ull << 39);
	c->pmu.since -= 1ull << 40;
	cr_expect_gt(rd(0xc0010201) - v, 1ull << 39);
}
