/* Root ports: a bus behind a function, its windows, interrupts and hot plug. */
#include <criterion/criterion.h>

#include "hw/pci/mch.h"
#include "hw/pci/root_port.h"
#include "hw/virtio/virtio_rng.h"
#include "tests/bench.h"

static struct bench b;
static struct pci_dev *port;
static unsigned slot;			/* offset of the slot registers' capability */
#define PORT (2 << 3)

static int straight(int n, int pin) { return (n + pin) & 3; }

static uint32_t get(int bus, int devfn, unsigned reg, int n) { return pci_config_read(b.m->pci, bus, devfn, reg, n); }
static void put(int bus, int devfn, unsigned reg, int n, uint32_t v)
{
	pci_config_write(b.m->pci, bus, devfn, reg, n, v);
}

/* As firmware leaves it: bus 1 behind, memory at 0xfe000000, I/O at 0x1000. */
static void setup(void)
{
	bench_open(&b, &mch_type, "addr=0");
	b.m->pci->map_irq = straight;
	for (int i = 0; i < 4; i++)
		b.m->pci->irq[i] = bench_line(&b, i);
	port = (struct pci_dev *)dev_make(b.m, &root_port_type, "rp", "addr=2,slot=5", &b.err);
	cr_assert(port, "%s", b.err.msg);
	put(0, PORT, 0x18, 4, 0x00010100);
	put(0, PORT, 0x1c, 2, 0x1010);
	put(0, PORT, 0x20, 4, 0xfe00fe00);
	put(0, PORT, 0x04, 2, 7);
	for (slot = get(0, PORT, 0x34, 1); get(0, PORT, slot, 1) != 0x10; slot = get(0, PORT, slot + 1, 1))
		;
}
static void teardown(void) { bench_close(&b); }
TestSuite(root_port, .init = setup, .fini = teardown);

static struct pci_dev *plug(void)
{
	struct pci_dev *p = (struct pci_dev *)dev_make(b.m, &virtio_rng_type, "rng", "bus=rp", &b.err);

	cr_assert(p, "%s", b.err.msg);
	return p;
}

Test(root_port, what_is_behind_answers_on_the_secondary_bus)
{
	cr_assert_eq(get(1, 0, 0, 4), 0xffffffff);
	plug();
	cr_assert_eq(get(1, 0, 0, 4), 0x10441af4);	/* no legacy interface there */
	cr_assert_eq(get(2, 0, 0, 4), 0xffffffff);
	put(0, PORT, 0x18, 4, 0x00030300);
	cr_assert_eq(get(1, 0, 0, 4), 0xffffffff);
	cr_assert_eq(get(3, 0, 0, 4), 0x10441af4);
}

Test(root_port, there_is_one_slot)
{
	plug();
	cr_assert_null(dev_make(b.m, &virtio_rng_type, NULL, "bus=rp", &b.err));
	cr_assert_null(dev_make(b.m, &virtio_rng_type, NULL, "bus=rp,addr=1", &b.err));
}

Test(root_port, memory_behind_answers_inside_the_window_only)
{
	plug();
	put(1, 0, 0x20, 4, 0xfe004000);
	put(1, 0, 0x04, 2, 2);
	cr_assert_eq(rd(0xfe004012) & 0xffff, 1);	/* number of queues */
	put(0, PORT, 0x20, 4, 0xfd00fd00);
	cr_assert_eq(rd(0xfe004012), 0xffffffff);
	put(0, PORT, 0x20, 4, 0xfe00fe00);
	cr_assert_eq(rd(0xfe004012) & 0xffff, 1);
	put(0, PORT, 0x04, 2, 0);
	cr_assert_eq(rd(0xfe004012), 0xffffffff);
}

Test(root_port, pins_are_rotated_on_the_way_up)
{
	struct pci_dev *p = plug();

	pci_set_irq(p, true);
	cr_assert(b.line[2].level);			/* port in slot 2, pin A */
	pci_set_irq(p, false);
	cr_assert_not(b.line[2].level);
}

Test(root_port, extended_space_is_there_for_express_functions)
{
	plug();
	cr_assert_eq(get(1, 0, 0x100, 4), 0);
	cr_assert_eq(get(0, 0, 0x100, 4), 0xffffffff);
}

Test(root_port, a_device_that_comes_is_announced)
{
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x1021 | 0x0400);
	struct pci_dev *p = plug();
	p->bus->slots->plugged(p->bus, p);
	cr_assert_eq(get(0, PORT, slot + PCI_EXP_SLTSTA, 2), 0x49);
	cr_assert(b.line[2].level);
	put(0, PORT, slot + PCI_EXP_SLTSTA, 2, 0x09);
	cr_assert_not(b.line[2].level);
	cr_assert_eq(get(0, PORT, slot + PCI_EXP_LNKSTA, 2) & 0x2000, 0);
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x1021);		/* power on */
	cr_assert_eq(get(0, PORT, slot + PCI_EXP_LNKSTA, 2) & 0x2000, 0x2000);
	cr_assert_eq(get(0, PORT, slot + PCI_EXP_SLTSTA, 2), 0x140);
	cr_assert(b.line[2].level);
}

Test(root_port, a_device_leaves_when_the_guest_has_let_go)
{
	struct pci_dev *p = plug();

	dev_reset(&port->dev);
	put(0, PORT, 0x18, 4, 0x00010100);
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0121);
	cr_assert(p->bus->slots->unplug(p->bus, p, &b.err));
	cr_assert_eq(get(0, PORT, slot + PCI_EXP_SLTSTA, 2), 0x41);
	cr_assert_not(p->bus->slots->unplug(p->bus, p, &b.err));
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0721);
	cr_assert_null(dev_find(b.m, "rng"));
	cr_assert_eq(get(1, 0, 0, 4), 0xffffffff);
	cr_assert_eq(get(0, PORT, slot + PCI_EXP_SLTSTA, 2) & 0x40, 0);
}

/*
 * A driver switches power off, waits a second and then switches the indicator off. Who asks again meanwhile must
 * not pull the device out: the end of that removal would take what is plugged in next.
 */
Test(root_port, asking_again_does_not_overtake_a_removal)
{
	struct pci_dev *p = plug();
	const struct pci_slot_ops *ops = p->bus->slots;

	dev_reset(&port->dev);
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0121);
	cr_assert(ops->unplug(p->bus, p, &b.err));
	put(0, PORT, slot + PCI_EXP_SLTSTA, 2, 0x11f);
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0221);		/* blinks */
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0621);		/* no power */
	cr_assert_not(ops->unplug(p->bus, p, &b.err));
	cr_assert(dev_find(b.m, "rng"));
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0721);
	cr_assert_null(dev_find(b.m, "rng"));

	p = plug();
	ops->plugged(p->bus, p);
	put(0, PORT, slot + PCI_EXP_SLTSTA, 2, 0x11f);
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0121);
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0721);
	cr_assert(dev_find(b.m, "rng"));			/* nobody asked for this one */
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0121);
	cr_assert(ops->unplug(p->bus, p, &b.err));
}

Test(root_port, what_is_pulled_out_of_a_slot_without_power_shows)
{
	struct pci_dev *p = plug();

	dev_reset(&port->dev);
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0728);
	put(0, PORT, slot + PCI_EXP_SLTSTA, 2, 0x11f);
	cr_assert_not(b.line[2].level);
	cr_assert(p->bus->slots->unplug(p->bus, p, &b.err));
	cr_assert_null(dev_find(b.m, "rng"));
	cr_assert_eq(get(0, PORT, slot + PCI_EXP_SLTSTA, 2), 0x08);
	cr_assert(b.line[2].level);
}

/* A guest may switch a slot off and on again: what is in it stays. */
Test(root_port, power_off_alone_ejects_nothing)
{
	plug();
	put(0, PORT, slot + PCI_EXP_SLTCTL, 2, 0x0700);
	cr_assert(dev_find(b.m, "rng"));
}

Test(root_port, the_bus_goes_with_the_port)
{
	plug();
	dev_free(&port->dev);
	cr_assert_null(dev_find(b.m, "rng"));
	cr_assert_null(machine_find_backend(b.m, "pci-bus", "rp"));
}

Test(root_port, any_bus_numbers_do_no_harm)
{
	plug();
	for (uint32_t i = 0; i < 0x10000; i += 0x101) {
		put(0, PORT, 0x18, 4, i << 8);
		for (int bus = 0; bus < 256; bus += 15)
			get(bus, 0, 0, 4);
	}
}
