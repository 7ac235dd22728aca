/*
 * The packed side table gives back what was put in: every place between two entries
 * belongs to the first of them.
 */
#include <criterion/criterion.h>

#include "tcg/cache.h"

static const struct x64_side table[] = {
	{ 0, { { 0, false, 0 } } },
	{ 3, { { 2, false, 0 } } },
	{ 130, { { 17, true, 0 } } },		/* a distance of two bytes */
	{ 131, { { 1000, true, 3 } } },
	{ 400, { { 4000, false, -1 } } },
	{ 40000, { { 3, true, 63 } } },		/* back in the guest's code, as slow paths go */
	{ 40001, { { 3, true, 63 } } },		/* says nothing new */
	{ 40002, { { 0, false, 0 } } },
};
enum { N = ARRAY_LEN(table) };

static void check(bool counts)
{
	uint8_t packed[N * SIDE_BYTES];
	unsigned n = tcg_side_pack(packed, table, N, counts);

	cr_assert_leq(n, sizeof(packed));
	for (unsigned i = 0; i < N; i++)
		for (uint32_t at = table[i].host_off; at < (i + 1 < N ? table[i + 1].host_off : table[i].host_off + 9); at++) {
			struct x64_side s = tcg_side_find(packed, packed + n, at, counts);

			cr_assert_eq(s.off, table[i].off, "at %u: %u", at, s.off);
			cr_assert_eq(s.flags_host, table[i].flags_host, "at %u", at);
			cr_assert_eq(s.uncounted, counts ? table[i].uncounted : 0, "at %u", at);
		}
}

Test(side_light, every_place_is_found)		{ check(false); }
Test(side_light, with_counts_as_well)		{ check(true); }

Test(side_light, usual_entries_are_two_bytes)
{
	static const struct x64_side usual[] = { { 0, { { 0, false, 0 } } }, { 12, { { 3, true, 0 } } }, { 60, { { 18, false, 0 } } } };
	uint8_t packed[3 * SIDE_BYTES];

	cr_expect_eq(tcg_side_pack(packed, usual, 3, false), 6);
}
