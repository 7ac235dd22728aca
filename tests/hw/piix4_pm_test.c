/* ACPI fixed hardware: timer, events, SCI, sleep, SMI commands. */
#include <criterion/criterion.h>

#include "hw/pci/i440fx.h"
#include "hw/pci/piix4_pm.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *d;
#define PM 0x600
enum { SCI, SMI };

static void conf(unsigned reg, int n, uint32_t v)
{
	bench_out(&b, 0xcf8, 4, 0x80000b00 | (reg & 0xfc));
	bench_out(&b, (uint16_t)(0xcfc + (reg & 3)), n, v);
}
static void open_with(const char *props)
{
	bench_open(&b, &i440fx_type, "addr=0");
	d = dev_make(b.m, &piix4_pm_type, NULL, props, &b.err);
	cr_assert(d, "%s", b.err.msg);
	acpi_pm_connect(d, bench_line(&b, SCI), bench_line(&b, SMI));
	conf(0x40, 4, PM | 1);
	conf(0x80, 1, 1);
}
static void setup(void) { open_with("addr=1.3"); }
static void teardown(void) { bench_close(&b); }
TestSuite(piix4_pm, .init = setup, .fini = teardown);

static uint32_t in16(unsigned off) { return bench_in(&b, (uint16_t)(PM + off), 2); }
static void out16(unsigned off, uint32_t v) { bench_out(&b, (uint16_t)(PM + off), 2, v); }

Test(piix4_pm, the_block_is_where_configuration_says)
{
	conf(0x40, 4, 0x701);
	cr_assert_eq(bench_in(&b, PM + 4, 2), 0xffff);
	cr_assert_eq(bench_in(&b, 0x704, 2), 0);
	conf(0x80, 1, 0);
	cr_assert_eq(bench_in(&b, 0x704, 2), 0xffff);
}

Test(piix4_pm, the_timer_counts_at_3_58_mhz_in_24_bits)
{
	uint32_t t0 = bench_in(&b, PM + 8, 4);
	bench_run(&b, NS_PER_SEC);
	uint32_t n = (bench_in(&b, PM + 8, 4) - t0) & 0xffffff;
	cr_assert(n >= 3579544 && n <= 3579546, "%u ticks", n);
	bench_run(&b, 20 * NS_PER_SEC);
	cr_assert_eq(bench_in(&b, PM + 8, 4) >> 24, 0);
}

Test(piix4_pm, the_timer_carry_raises_the_sci_when_enabled)
{
	out16(4, 1);
	out16(2, 1);
	bench_run(&b, 2 * NS_PER_SEC);
	cr_assert_not(b.line[SCI].level);
	bench_run(&b, NS_PER_SEC);		/* bit 23 changes every 2.34 s */
	cr_assert(b.line[SCI].level);
	cr_assert_eq(in16(0) & 1, 1);
	out16(0, 1);
	cr_assert_not(b.line[SCI].level);
	bench_run(&b, 3 * NS_PER_SEC);
	cr_assert(b.line[SCI].level);
}

Test(piix4_pm, the_carry_status_is_set_without_an_interrupt)
{
	bench_run(&b, 3 * NS_PER_SEC);
	cr_assert_eq(in16(0) & 1, 1);
	cr_assert_not(b.line[SCI].level);
}

Test(piix4_pm, sleep_states_can_be_left_out)
{
	cr_expect(acpi_pm_has_s3(d) && acpi_pm_has_s4(d));
	teardown();
	open_with("addr=1.3,disable_s3=1");
	cr_expect(!acpi_pm_has_s3(d) && acpi_pm_has_s4(d));
	teardown();
	open_with("addr=1.3,disable_s4=1");
	cr_expect(acpi_pm_has_s3(d) && !acpi_pm_has_s4(d));
}

Test(piix4_pm, the_power_button_is_an_event)
{
	out16(2, 0x100);
	acpi_pm_power_button(d);
	cr_assert_not(b.line[SCI].level);	/* SCI_EN is clear */
	out16(4, 1);
	cr_assert(b.line[SCI].level);
	out16(0, 0x100);
	cr_assert_not(b.line[SCI].level);
}

Test(piix4_pm, writing_one_status_byte_leaves_the_other)
{
	bench_run(&b, 3 * NS_PER_SEC);
	acpi_pm_power_button(d);
	out(PM + 1, 0x01);
	cr_assert_eq(in16(0), 0x0001);
}

Test(piix4_pm, sleep_type_0_switches_off)
{
	out16(4, 0x0000);
	cr_assert_eq(b.requests[MACHINE_POWEROFF], 0);
	out16(4, 0x2000);
	cr_assert_eq(b.requests[MACHINE_POWEROFF], 1);
	out16(4, 0x2400);
	cr_assert_eq(b.requests[MACHINE_SUSPEND], 1);
}

static void pulse(struct irq q) { irq_set(q, 1); irq_set(q, 0); }

Test(piix4_pm, the_clock_wakes_from_s3_if_enabled)
{
	struct irq rtc = acpi_pm_rtc(d);
	out16(2, 0x400);
	pulse(rtc);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 0, "awake already");
	cr_assert_eq(in16(0), 0x400);
	out16(0, 0x400);
	out16(2, 0);
	out16(4, 0x2400);
	pulse(rtc);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 0, "not enabled");
	out16(2, 0x400);
	pulse(rtc);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 1);
}

Test(piix4_pm, after_a_wake_up_the_status_names_its_cause)
{
	out16(4, 0x2400);
	acpi_pm_power_button(d);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 1);
	machine_reset_devices(b.m);
	acpi_pm_woken(d);
	conf(0x40, 4, PM | 1);
	conf(0x80, 1, 1);
	cr_assert_eq(in16(0), 0x8100);
	out16(0, 0x8100);
	acpi_pm_power_button(d);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 1);
}

Test(piix4_pm, the_command_port_switches_acpi_on_and_off)
{
	out(0xb2, 0xf1);
	cr_assert_eq(in16(4) & 1, 1);
	cr_assert_eq(in(0xb2), 0xf1);
	out(0xb2, 0xf0);
	cr_assert_eq(in16(4) & 1, 0);
	out(0xb3, 0x77);
	cr_assert_eq(in(0xb3), 0x77);
}

Test(piix4_pm, without_smm_firmware_finds_smm_set_up)
{
	bench_out(&b, 0xcf8, 4, 0x80000b58);
	cr_assert(bench_in(&b, 0xcfc, 4) & BIT(25));
	out(0xb2, 0x01);
	cr_assert_eq(b.line[SMI].rises, 0);
}

Test(piix4_pm, with_smm_an_enabled_command_port_raises_smi)
{
	open_with("addr=1.3,smm=on");
	out(0xb2, 0x01);
	cr_assert_eq(b.line[SMI].rises, 0);
	conf(0x58, 4, 1 << 25);
	out(0xb2, 0x01);
	cr_assert_eq(b.line[SMI].rises, 1);
}

Test(piix4_pm, smbus_transactions_fail_for_lack_of_devices)
{
	conf(0x90, 4, 0x701);
	conf(0xd2, 1, 1);
	out(0x702, 0x40);
	cr_assert_eq(in(0x700), 0x04);
	out(0x700, 0x04);
	cr_assert_eq(in(0x700), 0);
}
