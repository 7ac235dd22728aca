/* PCI functions on a bus: configuration space, BARs, interrupts. */
#include <criterion/criterion.h>

#include "hw/pci/pci.h"
#include "tests/bench.h"

static struct bench b;
static struct pci_dev *d;

/* A function with one BAR of each kind and MSI. */
static uint32_t port_value(void *opaque, uint16_t off, int size)
{
	(void)opaque, (void)size;
	return 0x40u + off;
}
static void port_ignore(void *opaque, uint16_t off, int size, uint32_t v)
{
	(void)opaque, (void)off, (void)size, (void)v;
}
static uint64_t mem_value(void *opaque, uint64_t off, int size)
{
	(void)opaque, (void)size;
	return 0x5a000000 | off;
}
static void mem_ignore(void *opaque, uint64_t off, int size, uint64_t v)
{
	(void)opaque, (void)off, (void)size, (void)v;
}
static const struct port_ops ports = { port_value, port_ignore, 1, 1 };
static const struct mmio_ops mem = { mem_value, mem_ignore, 4 };

static bool fn_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x1234, 0x5678, 1, 2, 0x020000, 3, 1, false };
	struct pci_dev *p = dev;
	if (!pci_attach(p, &ids, e) || !pci_bar_io(p, 0, 32, &ports, p, e)
	    || !pci_bar_mmio(p, 1, 0x2000, &mem, p, e))
		return false;
	pci_add_msi(p);
	return true;
}
static void fn_fini(void *dev) { pci_detach(dev); }
static void fn_reset(void *dev) { pci_reset(dev); }

static const struct dev_type fn_type = {
	.name = "test-fn", .bus = "pci", .size = sizeof(struct pci_dev), .version = 1,
	.bus_props = pci_props, .bus_state = pci_state, .init = fn_init, .fini = fn_fini, .reset = fn_reset,
};

static void setup(void)
{
	bench_open_pci(&b, 0);
	d = (struct pci_dev *)dev_make(b.m, &fn_type, NULL, "addr=4", &b.err);
	cr_assert(d, "%s", b.err.msg);
}
static void teardown(void) { bench_close(&b); }
TestSuite(pci, .init = setup, .fini = teardown);

static uint32_t conf(unsigned reg)
{
	bench_out(&b, 0xcf8, 4, 0x80000000u | 4 << 11 | reg);
	return bench_in(&b, 0xcfc, 4);
}
static void set_conf(unsigned reg, uint32_t v)
{
	bench_out(&b, 0xcf8, 4, 0x80000000u | 4 << 11 | reg);
	bench_out(&b, 0xcfc, 4, v);
}

Test(pci, identifies_itself)
{
	cr_assert_eq(conf(0), 0x56781234);
	cr_assert_eq(conf(8), 0x02000003);
	cr_assert_eq(conf(0x2c), 0x00020001);
}

Test(pci, absent_functions_read_as_ones)
{
	bench_out(&b, 0xcf8, 4, 0x80000000u | 9 << 11);
	cr_assert_eq(bench_in(&b, 0xcfc, 4), 0xffffffff);
	bench_out(&b, 0xcf8, 4, 0x80010000u | 4 << 11);
	cr_assert_eq(bench_in(&b, 0xcfc, 4), 0xffffffff);
}

Test(pci, address_port_takes_doublewords_only)
{
	bench_out(&b, 0xcf8, 4, 0x80002000);
	bench_out(&b, 0xcf8, 1, 0xff);
	cr_assert_eq(bench_in(&b, 0xcf8, 4), 0x80002000);
}

Test(pci, data_port_takes_bytes_and_words)
{
	conf(0);
	cr_assert_eq(bench_in(&b, 0xcfd, 1), 0x12);
	cr_assert_eq(bench_in(&b, 0xcfe, 2), 0x5678);
}

Test(pci, ids_are_read_only)
{
	set_conf(0, 0);
	cr_assert_eq(conf(0), 0x56781234);
}

Test(pci, bars_tell_their_size)
{
	set_conf(0x10, 0xffffffff);
	set_conf(0x14, 0xffffffff);
	cr_assert_eq(conf(0x10), 0xffffffe1);
	cr_assert_eq(conf(0x14), 0xffffe000);
	set_conf(0x18, 0xffffffff);
	cr_assert_eq(conf(0x18), 0);
}

Test(pci, a_bar_answers_where_it_is_put_once_enabled)
{
	set_conf(0x10, 0xc100);
	cr_assert_eq(in(0xc102), 0xff);
	set_conf(4, PCI_CMD_IO);
	cr_assert_eq(in(0xc102), 0x42);
	set_conf(0x10, 0xc200);
	cr_assert_eq(in(0xc102), 0xff);
	cr_assert_eq(in(0xc203), 0x43);
	set_conf(4, 0);
	cr_assert_eq(in(0xc203), 0xff);
}

Test(pci, a_memory_bar_moves)
{
	set_conf(0x14, 0xfebf0000);
	set_conf(4, PCI_CMD_MEM);
	cr_assert_eq(rd(0xfebf0010), 0x5a000010);
	set_conf(0x14, 0xfeb00000);
	cr_assert_eq(rd(0xfebf0010), 0xffffffff);
	cr_assert_eq(rd(0xfeb01000), 0x5a001000);
}

Test(pci, sizing_an_enabled_bar_maps_nothing_there)
{
	set_conf(4, PCI_CMD_MEM);
	set_conf(0x14, 0xffffffff);
	cr_assert_eq(rd(0xffffe000), 0xffffffff);
}

Test(pci, the_line_goes_where_the_board_routes_it)
{
	pci_set_irq(d, true);
	cr_assert(b.line[0].level);		/* (4 + 0) & 3 */
	cr_assert(conf(4) >> 16 & PCI_STATUS_INTX);
	pci_set_irq(d, false);
	cr_assert_not(b.line[0].level);
}

Test(pci, a_shared_line_stays_up_until_both_let_go)
{
	struct pci_dev *other = (struct pci_dev *)dev_make(b.m, &fn_type, NULL, "addr=8", &b.err);
	pci_set_irq(d, true);
	pci_set_irq(other, true);
	pci_set_irq(d, false);
	cr_assert(b.line[0].level);
	pci_set_irq(other, false);
	cr_assert_not(b.line[0].level);
	cr_assert_eq(b.line[0].rises, 1);
}

Test(pci, interrupt_disable_masks_the_pin)
{
	pci_set_irq(d, true);
	set_conf(4, PCI_CMD_NOINTX);
	cr_assert_not(b.line[0].level);
	set_conf(4, 0);
	cr_assert(b.line[0].level);
}

Test(pci, msi_replaces_the_pin)
{
	unsigned cap = conf(0x34) & 0xff;
	cr_assert_eq(conf(cap) & 0xff, 5);
	set_conf(4, PCI_CMD_MASTER);
	set_conf(cap + 4, 0xfee01000);
	set_conf(cap + 12, 0x4041);
	set_conf(cap, 0x00010000);
	pci_set_irq(d, true);
	cr_assert_eq(b.n_msi, 1);
	cr_assert_eq(b.msi_addr, 0xfee01000);
	cr_assert_eq(b.msi_data, 0x4041);
	cr_assert_not(b.line[0].level);
}

Test(pci, dma_needs_bus_mastering)
{
	uint32_t v = 0;
	cr_assert_not(pci_dma_read(d, 0, &v, 4));
	cr_assert_eq(v, 0xffffffff);
	set_conf(4, PCI_CMD_MASTER);
	cr_assert(pci_dma_read(d, 0, &v, 4));
}

Test(pci, reset_takes_the_bars_away)
{
	set_conf(0x10, 0xc100);
	set_conf(4, PCI_CMD_IO);
	dev_reset(&d->dev);
	cr_assert_eq(in(0xc100), 0xff);
	cr_assert_eq(conf(4) & 0xffff, 0);
}

Test(pci, a_place_is_given_once)
{
	cr_assert_null(dev_make(b.m, &fn_type, NULL, "addr=4", &b.err));
	cr_assert_not_null(strstr(b.err.msg, "taken"));
}
