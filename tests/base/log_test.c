/* base/log.c: areas, filter, rate limit. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static size_t lines_of(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n = 0;

	for (int ch; (ch = fgetc(f)) != EOF;)
		n += ch == '\n';
	fclose(f);
	return n;
}

Test(log, areas_are_switched_by_name)
{
	struct err e;

	cr_assert(log_set_areas("int,exec", &e));
	cr_assert_eq(log_mask, 1u << LOG_INT | 1u << LOG_EXEC);
	cr_assert(log_set_areas("all", &e));
	cr_assert_eq(log_mask, (1u << LOG_NAREAS) - 1);
	cr_assert(log_set_areas("none", &e));
	cr_assert_eq(log_mask, 0);
}

Test(log, unknown_area_names_the_nearest_and_changes_nothing)
{
	struct err e;

	log_mask = 1u << LOG_MMU;
	cr_assert_not(log_set_areas("int,guest_error", &e));
	cr_assert(strstr(e.msg, "guest_errors"));
	cr_assert_eq(log_mask, 1u << LOG_MMU);
}

Test(log, filter_takes_three_forms)
{
	struct err e;

	cr_assert(log_in_range(0x1234));
	cr_assert(log_set_filter("0x1000..0x1fff,0x8000+0x10,0x9000-0x10", &e));
	cr_assert(log_in_range(0x1000));
	cr_assert(log_in_range(0x1fff));
	cr_assert_not(log_in_range(0x2000));
	cr_assert(log_in_range(0x800f));
	cr_assert_not(log_in_range(0x8010));
	cr_assert(log_in_range(0x8ff1));
	cr_assert_not(log_in_range(0x8ff0));
}

Test(log, malformed_ranges_are_refused)
{
	static const char *const bad[] = { "x", "1..", "5..1", "1+0", "1*2", "1..2z", "-1..2" };
	struct err e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_not(log_set_filter(bad[i], &e), "%s", bad[i]);
}

Test(log, guest_lines_are_limited)
{
	char path[] = "/tmp/rhea-log-XXXXXX";
	struct err e;

	close(mkstemp(path));
	cr_assert(log_open(path, &e), "%s", e.msg);
	cr_assert(log_set_areas("guest_errors", &e));
	for (int i = 0; i < 1000; i++)
		log_guest("odd %d", i);
	cr_assert_leq(lines_of(path), 43);
	cr_assert_geq(lines_of(path), 20);
	unlink(path);
}
