/* Machine-check errors: what banks keep, when #MC comes, when the processor gives up. */
#include <criterion/criterion.h>

#include "cpu/cpuid.h"
#include "cpu/mce.h"
#include "cpu/system.h"
#include "tests/cpu/harness.h"

static struct bench B;
#define C (B.c)
#define VAL BIT(63)
#define OVER BIT(62)
#define UC BIT(61)

static void setup(void)
{
	bench_init(&B);
	bench_protected(&B, 0);
	C->cr4 |= CR4_MCE;
	C->mcg_ctl = C->mc_bank[4 * 3] = ~0ull;
}
static void teardown(void) { bench_fini(&B); }
TestSuite(mce, .init = setup, .fini = teardown);

static bool inject(unsigned bank, uint64_t status)
{
	struct mce m = { .bank = bank, .status = status, .mcg_status = 5, .addr = 0x1234, .misc = 0x8c };
	struct err e;

	return mce_inject(C, &m, &e);
}

Test(mce, a_corrected_error_is_only_noted)
{
	uint64_t v;

	cr_assert(inject(3, VAL | 0x151));
	cr_assert_eq(C->exc_vector, -1);
	cr_assert(msr_get(C, 0x400 + 4 * 3 + 1, &v));
	cr_assert_eq(v, VAL | 0x151);
	cr_assert(msr_get(C, 0x400 + 4 * 3 + 2, &v));
	cr_assert_eq(v, 0x1234);
	cr_assert(inject(3, VAL | 0x152));
	cr_assert_eq(C->mc_bank[13], VAL | OVER | 0x152);
}

Test(mce, an_uncorrected_error_raises_the_exception)
{
	cr_assert(inject(3, VAL | UC));
	cr_assert_eq(C->exc_vector, EXC_MC);
	cr_assert_not(C->exc_has_error);
	cr_assert_eq(C->mcg_status, 5);
	cr_assert_eq(B.shutdowns, 0);
}

Test(mce, an_uncorrected_error_stays_when_a_corrected_one_follows)
{
	cr_assert(inject(3, VAL | UC | 7));
	cr_assert(inject(3, VAL | 9));
	cr_assert_eq(C->mc_bank[13], VAL | OVER | UC | 7);
}

Test(mce, a_second_one_in_progress_or_no_mce_bit_shuts_down)
{
	C->cr4 &= ~CR4_MCE;
	cr_assert(inject(3, VAL | UC));
	cr_assert_eq(B.shutdowns, 1);
	C->cr4 |= CR4_MCE;
	C->mcg_status = 4;
	cr_assert(inject(3, VAL | UC));
	cr_assert_eq(B.shutdowns, 2);
	cr_assert_eq(C->exc_vector, -1);
}

Test(mce, what_the_guest_has_switched_off_is_dropped)
{
	C->mc_bank[12] = 0;
	cr_assert(inject(3, VAL | UC));
	cr_assert_eq(C->exc_vector, -1);
	cr_assert_eq(C->mc_bank[13], 0);
}

Test(mce, nonsense_is_refused)
{
	cr_assert_not(inject(MCE_BANKS, VAL));
	cr_assert_not(inject(0, 1));
}
