/* Processors that come and go: what the DSDT's methods see, and who may be reached. */
#include <criterion/criterion.h>

#include "hw/acpi/cpuhp.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix4_pm.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *hp;
static uint64_t there;
#define PM 0x600

static void changed(void *opaque, int cpu, bool present)
{
	(void)opaque;
	there = (there & ~BIT(cpu)) | (present ? BIT(cpu) : 0);
}

static void setup(void)
{
	bench_open(&b, &i440fx_type, "addr=0");
	struct dev *pm = dev_make(b.m, &piix4_pm_type, NULL, "addr=1.3", &b.err);
	hp = dev_make(b.m, &cpuhp_type, NULL, NULL, &b.err);
	cr_assert(pm && hp, "%s", b.err.msg);
	acpi_pm_connect(pm, bench_line(&b, 0), bench_line(&b, 1));
	cpuhp_connect(hp, pm, 40, 2, changed, NULL);
	there = 3;
	pci_config_write(b.m->pci, 0, 0x0b, 0x40, 4, PM | 1);
	pci_config_write(b.m->pci, 0, 0x0b, 0x80, 1, 1);
}
static void teardown(void) { bench_close(&b); }
TestSuite(cpuhp, .init = setup, .fini = teardown);

/* ACPI on, the event enabled. */
static void listen(void)
{
	bench_out(&b, 0xb2, 1, 0xf1);
	bench_out(&b, PM + 0x0e, 2, 1 << CPUHP_GPE);
}

static uint32_t get(int reg) { return bench_in(&b, (uint16_t)(CPUHP_PORT + reg), 4); }
static void eject(uint32_t n) { bench_out(&b, CPUHP_PORT + CPUHP_EJECT, 4, n); }

Test(cpuhp, a_processor_that_comes_is_announced)
{
	listen();
	char id[CPUHP_ID];

	cr_assert_not(cpuhp_id(hp, 35, id));
	cpuhp_plug(hp, 35, "more");
	cr_assert(cpuhp_id(hp, 35, id));
	cr_assert_str_eq(id, "more");
	cr_assert_eq(there, BIT(35) | 3);
	cr_assert(b.line[0].level);
	cr_assert_eq(get(CPUHP_PRESENT), 3);
	cr_assert_eq(get(CPUHP_PRESENT + 4), 1 << 3);
	cr_assert_eq(get(CPUHP_UP + 4), 1 << 3);
	cr_assert_eq(get(CPUHP_UP + 4), 0);
	bench_out(&b, PM + 0x0c, 2, 1 << CPUHP_GPE);
	cr_assert_not(b.line[0].level);
}

Test(cpuhp, a_processor_leaves_when_the_guest_ejects_it)
{
	listen();
	cpuhp_unplug(hp, 1);
	cr_assert_eq(there, 3);
	cr_assert_eq(get(CPUHP_DOWN), 2);
	cr_assert_eq(get(CPUHP_DOWN), 0);
	eject(1);
	cr_assert_eq(there, 1);
	cr_assert_not(cpuhp_present(hp, 1));
	cpuhp_plug(hp, 1, "again");
	eject(1);
	cr_assert_not(cpuhp_id(hp, 1, (char [CPUHP_ID]){ 0 }));
}

Test(cpuhp, a_guest_that_does_not_listen_is_not_asked)
{
	cpuhp_unplug(hp, 1);
	cr_assert_eq(there, 1);
}

Test(cpuhp, the_first_processor_and_none_at_all_stay)
{
	eject(0);
	eject(7);
	eject(40);
	eject(~0u);
	cr_assert_eq(there, 3);
}
