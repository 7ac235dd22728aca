/* ICH9 LPC bridge: PIRQ routes, power management block, SMI, reset control. */
#include <criterion/criterion.h>

#include "hw/pci/ich9.h"
#include "hw/pci/mch.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *d;
#define PM 0x600
#define DEVFN (0x1f << 3)
enum { SCI, SMI, GSI };

static void conf(unsigned reg, int n, uint32_t v) { pci_config_write(b.m->pci, 0, DEVFN, reg, n, v); }

static void open_with(const char *props)
{
	bench_open(&b, &mch_type, "addr=0");
	d = dev_make(b.m, &ich9_type, NULL, props, &b.err);
	cr_assert(d, "%s", b.err.msg);
	acpi_pm_connect(d, bench_line(&b, SCI), bench_line(&b, SMI));
	for (int i = 0; i < 16; i++)
		ich9_connect_isa(d, i, b.m->isa_irq[i]);
	for (int i = 0; i < ICH9_NPIRQ; i++)
		ich9_connect_pirq(d, i, bench_line(&b, GSI + i));
	conf(0x40, 4, PM | 1);
	conf(0x44, 1, 0x80);
}
static void setup(void) { open_with("addr=1f.0,smm=on"); }
static void teardown(void) { bench_close(&b); }
TestSuite(ich9, .init = setup, .fini = teardown);

Test(ich9, a_pirq_goes_to_its_pin_and_to_the_isa_interrupt_it_is_routed_to)
{
	irq_set(ich9_pirq(d, 5), 1);
	cr_assert(b.line[GSI + 5].level);
	for (int i = 0; i < 16; i++)
		cr_assert_not(b.isa[i].level);
	conf(0x69, 1, 0x0b);
	cr_assert(b.isa[11].level);
	conf(0x60, 1, 0x0b);
	irq_set(ich9_pirq(d, 0), 1);
	irq_set(ich9_pirq(d, 5), 0);
	cr_assert(b.isa[11].level);
	conf(0x60, 1, 0x80);
	cr_assert_not(b.isa[11].level);
	cr_assert(b.line[GSI].level);
}

Test(ich9, the_block_is_where_configuration_says)
{
	cr_assert_eq(ich9_pm_base(d), PM);
	cr_assert_eq(bench_in(&b, PM + 4, 2), 0);
	conf(0x40, 4, 0xb001);
	cr_assert_eq(bench_in(&b, PM + 4, 2), 0xffff);
	cr_assert_eq(bench_in(&b, 0xb004, 2), 0);
	conf(0x44, 1, 0);
	cr_assert_eq(bench_in(&b, 0xb004, 2), 0xffff);
	cr_assert_eq(ich9_pm_base(d), 0);
}

/* SeaBIOS says where it is at a start only; without it a guest cannot sleep again. */
Test(ich9, the_block_is_still_there_after_s3)
{
	conf(0xf0, 4, 0xfed1c001);
	conf(0x60, 1, 0x0b);
	b.m->waking = true;
	machine_reset_devices(b.m);
	cr_assert_eq(bench_in(&b, PM + 4, 2), 0);
	cr_assert_eq(rd(0xfed1c000 + 0x3140), 0x32103210);
	cr_assert_eq(pci_config_read(b.m->pci, 0, DEVFN, 0x60, 1), 0x80);
	b.m->waking = false;
	machine_reset_devices(b.m);
	cr_assert_eq(bench_in(&b, PM + 4, 2), 0xffff);
}

Test(ich9, sleep_states_can_be_left_out)
{
	cr_expect(acpi_pm_has_s3(d) && acpi_pm_has_s4(d));
	teardown();
	open_with("addr=1f.0,disable_s3=1");
	cr_expect(!acpi_pm_has_s3(d) && acpi_pm_has_s4(d));
	teardown();
	open_with("addr=1f.0,disable_s4=1");
	cr_expect(acpi_pm_has_s3(d) && !acpi_pm_has_s4(d));
}

Test(ich9, the_power_button_raises_the_sci)
{
	bench_out(&b, PM + 2, 2, 0x100);
	bench_out(&b, 0xb2, 1, 0xf1);
	acpi_pm_power_button(d);
	cr_assert(b.line[SCI].level);
	bench_out(&b, PM, 2, 0x100);
	cr_assert_not(b.line[SCI].level);
}

Test(ich9, a_general_purpose_event_raises_the_sci)
{
	bench_out(&b, PM + 4, 2, 1);
	acpi_pm_raise_gpe(d, 33);
	cr_assert_not(b.line[SCI].level);
	cr_assert_eq(bench_in(&b, PM + 0x24, 1), 2);
	bench_out(&b, PM + 0x2c, 1, 2);
	cr_assert(b.line[SCI].level);
	bench_out(&b, PM + 0x24, 1, 2);
	cr_assert_not(b.line[SCI].level);
	acpi_pm_raise_gpe(d, 64);
	cr_assert_eq(bench_in(&b, PM + 0x20, 4), 0);
}

Test(ich9, the_command_port_raises_an_smi_when_enabled)
{
	bench_out(&b, 0xb2, 1, 1);
	cr_assert_eq(b.line[SMI].rises, 0);
	bench_out(&b, PM + 0x30, 4, 0x21);
	bench_out(&b, 0xb2, 1, 1);
	cr_assert_eq(b.line[SMI].rises, 1);
	cr_assert_eq(bench_in(&b, PM + 0x34, 4), 0x20);
	bench_out(&b, PM + 0x34, 4, 0x20);
	cr_assert_eq(bench_in(&b, PM + 0x34, 4), 0);
}

Test(ich9, a_locked_smi_enable_stays)
{
	bench_out(&b, PM + 0x30, 4, 0x21);
	conf(0xa0, 2, 0x10);
	bench_out(&b, PM + 0x30, 4, 0);
	cr_assert_eq(bench_in(&b, PM + 0x30, 4), 1);
}

/* So SeaBIOS leaves SMM alone. */
Test(ich9, without_smm_the_smi_seems_to_be_set_up_already)
{
	bench_close(&b);
	open_with("addr=1f.0,smm=off");
	cr_assert_eq(bench_in(&b, PM + 0x30, 4), 0x21);
	bench_out(&b, 0xb2, 1, 1);
	cr_assert_eq(b.line[SMI].rises, 0);
}

Test(ich9, reset_control_resets_on_a_rising_bit_2)
{
	bench_out(&b, 0xcf9, 1, 2);
	cr_assert_eq(b.requests[MACHINE_RESET], 0);
	bench_out(&b, 0xcf9, 1, 6);
	cr_assert_eq(b.requests[MACHINE_RESET], 1);
}

Test(ich9, chipset_configuration_says_where_pins_go)
{
	conf(0xf0, 4, 0xfed1c001);
	cr_assert_eq(phys_read(b.m->phys, 0xfed1f140, 2), 0x3210);
	wr(0xfed1fffc, 5);
	cr_assert_eq(rd(0xfed1fffc), 5);
}

Test(ich9, nobody_is_on_the_smbus)
{
	struct dev *smb = dev_make(b.m, &ich9_smbus_type, NULL, "addr=1f.3", &b.err);

	cr_assert(smb);
	pci_config_write(b.m->pci, 0, DEVFN | 3, 0x20, 4, 0x700);
	pci_config_write(b.m->pci, 0, DEVFN | 3, 4, 2, 1);
	out(0x704, 0xa1);
	out(0x702, 0x48);
	cr_assert_eq(in(0x700) & 0x05, 0x04);
	out(0x700, 0xff);
	cr_assert_eq(in(0x700), 0);
}

#define TCO (PM + 0x60)

Test(ich9, the_watchdog_gives_up_when_it_runs_out_twice)
{
	conf(0xf0, 4, 0xfed1c001);
	wr(0xfed1f410, rd(0xfed1f410) & ~0x20u);		/* reboots are allowed */
	bench_out(&b, TCO + 0x12, 2, 10);
	bench_out(&b, TCO, 2, 1);
	bench_run(&b, 5 * NS_PER_SEC);
	bench_out(&b, TCO, 2, 1);
	cr_assert_eq(bench_in(&b, TCO, 2), 10);
	bench_run(&b, 7 * NS_PER_SEC);
	cr_assert_eq(bench_in(&b, TCO + 4, 2), 8);
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 0);
	bench_run(&b, 6 * NS_PER_SEC);
	cr_assert_eq(bench_in(&b, TCO + 6, 2), 2);
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 1);
}

Test(ich9, a_halted_watchdog_rests)
{
	bench_out(&b, TCO + 0x12, 2, 10);
	bench_out(&b, TCO, 2, 1);
	bench_out(&b, TCO + 8, 2, 0x800);
	bench_run(&b, 60 * NS_PER_SEC);
	cr_assert_eq(bench_in(&b, TCO + 4, 2), 0);
}

Test(ich9, the_no_reboot_strap_holds_the_watchdog_back)
{
	bench_out(&b, TCO, 2, 1);
	bench_run(&b, 60 * NS_PER_SEC);
	cr_assert_eq(bench_in(&b, TCO + 4, 2), 8);
	cr_assert_eq(b.requests[MACHINE_WATCHDOG], 0);
}
