/* Hardware-reduced ACPI: off, reset, the power button. */
#include <criterion/criterion.h>

#include "hw/acpi/ged.h"
#include "tests/bench.h"

static struct bench b;
#define PA 0xfea00000u

static void setup(void)
{
	bench_open(&b, &ged_type, NULL);
	ged_place(b.dev, PA, bench_line(&b, 0));
}
static void teardown(void) { bench_close(&b); }
TestSuite(ged, .init = setup, .fini = teardown);

static void wr8(unsigned reg, uint8_t v) { phys_write(b.m->phys, PA + reg, 1, v); }

Test(ged, sleep_type_5_switches_off)
{
	wr8(GED_SLEEP_CONTROL, 5 << 2);
	cr_assert_eq(b.requests[MACHINE_POWEROFF], 0);
	wr8(GED_SLEEP_CONTROL, 3 << 2 | 0x20);
	cr_assert_eq(b.requests[MACHINE_POWEROFF], 0);
	wr8(GED_SLEEP_CONTROL, 5 << 2 | 0x20);
	cr_assert_eq(b.requests[MACHINE_POWEROFF], 1);
}

Test(ged, the_reset_register_resets)
{
	wr8(GED_RESET, 0);
	cr_assert_eq(b.requests[MACHINE_RESET], 0);
	wr8(GED_RESET, GED_RESET_VALUE);
	cr_assert_eq(b.requests[MACHINE_RESET], 1);
}

Test(ged, the_power_button_holds_the_line_until_it_is_seen)
{
	ged_power_button(b.dev);
	cr_assert(b.line[0].level);
	cr_assert_eq(rd(PA + GED_EVENTS), GED_POWER_BUTTON);
	wr(PA + GED_EVENTS, GED_POWER_BUTTON);
	cr_assert_not(b.line[0].level);
}
