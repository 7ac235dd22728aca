/* PCI slots that ACPI knows of: what the DSDT's methods see. */
#include <criterion/criterion.h>

#include "hw/acpi/pcihp.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix4_pm.h"
#include "hw/virtio/virtio_rng.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *pm;
#define PM 0x600

static void setup(void)
{
	bench_open(&b, &i440fx_type, "addr=0");
	pm = dev_make(b.m, &piix4_pm_type, NULL, "addr=1.3", &b.err);
	struct dev *d = dev_make(b.m, &pcihp_type, NULL, NULL, &b.err);
	cr_assert(pm && d, "%s", b.err.msg);
	acpi_pm_connect(pm, bench_line(&b, 0), bench_line(&b, 1));
	pcihp_connect(d, b.m->pci, pm);
	pci_config_write(b.m->pci, 0, 0x0b, 0x40, 4, PM | 1);
	pci_config_write(b.m->pci, 0, 0x0b, 0x80, 1, 1);
}
static void teardown(void) { bench_close(&b); }
TestSuite(pcihp, .init = setup, .fini = teardown);

/* ACPI on, the event enabled. */
static void listen(void)
{
	bench_out(&b, 0xb2, 1, 0xf1);
	bench_out(&b, PM + 0x0e, 2, 1 << PCIHP_GPE);
}

static struct pci_dev *card(void)
{
	struct pci_dev *p = (struct pci_dev *)dev_make_from(b.m, "virtio-rng-pci,id=rng,addr=5", &b.err);

	cr_assert(p, "%s", b.err.msg);
	return p;
}

static uint32_t get(int reg) { return bench_in(&b, (uint16_t)(PCIHP_PORT + reg), 4); }
static void eject(uint32_t v) { bench_out(&b, PCIHP_PORT + PCIHP_EJECT, 4, v); }

Test(pcihp, a_card_that_comes_is_announced)
{
	listen();
	struct pci_dev *p = card();
	p->bus->slots->plugged(p->bus, p);
	cr_assert(b.line[0].level);
	cr_assert_eq(get(PCIHP_UP), 1 << 5);
	cr_assert_eq(get(PCIHP_UP), 0);
	bench_out(&b, PM + 0x0c, 2, 1 << PCIHP_GPE);
	cr_assert_not(b.line[0].level);
}

Test(pcihp, a_card_leaves_when_the_guest_ejects_it)
{
	listen();
	struct pci_dev *p = card();
	cr_assert(p->bus->slots->unplug(p->bus, p, &b.err));
	cr_assert(dev_find(b.m, "rng"));
	cr_assert_eq(get(PCIHP_DOWN), 1 << 5);
	cr_assert_eq(get(PCIHP_DOWN), 0);
	eject(1 << 5);
	cr_assert_null(dev_find(b.m, "rng"));
}

Test(pcihp, a_guest_that_does_not_listen_is_not_asked)
{
	struct pci_dev *p = card();
	cr_assert(p->bus->slots->unplug(p->bus, p, &b.err));
	cr_assert_null(dev_find(b.m, "rng"));
}

Test(pcihp, the_board_s_own_functions_stay)
{
	eject(0xffffffff);
	cr_assert_eq(pci_config_read(b.m->pci, 0, 0, 0, 4), 0x12378086);
	cr_assert_eq(pci_config_read(b.m->pci, 0, 0x0b, 0, 4), 0x71138086);
}

Test(pcihp, a_display_stays)
{
	struct dev *d = dev_make_from(b.m, "VGA,id=screen,addr=6", &b.err);

	cr_assert(d && d->user, "%s", b.err.msg);
	eject(0xffffffff);
	cr_assert_eq(dev_find(b.m, "screen"), d);
}
