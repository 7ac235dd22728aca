/* The q35 host bridge: configuration space in memory, TSEG, high SMRAM. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/pci/mch.h"
#include "tests/bench.h"

static struct bench b;
static struct ram *ram, *rom;
#define LOW	(32u << 20)

static void setup(void)
{
	bench_open(&b, &mch_type, "addr=0");
	ram = phys_ram_new(b.m->phys, "ram", LOW, &b.err);
	rom = phys_ram_new(b.m->phys, "rom", 256 << 10, &b.err);
	memset(ram->host, 0x11, ram->size);
	struct phys_range all = { .pa = 0, .size = LOW, .rram = ram, .wram = ram, .name = "ram" };
	phys_map(b.m->phys, &all, &b.err);
	cr_assert(mch_connect(b.dev, ram, rom, LOW, &b.err), "%s", b.err.msg);
}
static void teardown(void) { bench_close(&b); }
TestSuite(mch, .init = setup, .fini = teardown);

static void conf(unsigned reg, int n, uint32_t v) { pci_config_write(b.m->pci, 0, 0, reg, n, v); }
static uint32_t get(unsigned reg, int n) { return pci_config_read(b.m->pci, 0, 0, reg, n); }

Test(mch, identifies_itself)
{
	bench_out(&b, 0xcf8, 4, 0x80000000);
	cr_assert_eq(bench_in(&b, 0xcfc, 4), 0x29c08086);
}

Test(mch, configuration_space_is_where_pciexbar_says)
{
	cr_assert_eq(rd(0xb0000000), 0xffffffff);
	conf(0x64, 4, 0);
	conf(0x60, 4, 0xb0000001);
	cr_assert_eq(rd(0xb0000000), 0x29c08086);
	cr_assert_eq(phys_read(b.m->phys, 0xb0000002, 2), 0x29c0);
	cr_assert_eq(rd(0xb0000000 + (1 << 20)), 0xffffffff);	/* bus 1 */
	cr_assert_eq(rd(0xb0000100), 0xffffffff);		/* no extended space here */
	wr(0xb0000060, 0xe0000005);				/* 64 buses elsewhere */
	cr_assert_eq(rd(0xb0000000), 0xffffffff);
	cr_assert_eq(rd(0xe0000000), 0x29c08086);
	cr_assert_eq(rd(0xe4000000), 0xffffffff);
	uint64_t base;
	unsigned buses;
	cr_assert(mch_ecam(b.dev, &base, &buses));
	cr_assert_eq(base, 0xe0000000);
	cr_assert_eq(buses, 64);
}

Test(mch, configuration_space_is_where_it_was_after_s3)
{
	conf(0x60, 4, 0xb0000001);
	wr(0xb0000060, 0);			/* as SeaBIOS does when it wakes */
	cr_assert_eq(rd(0xb0000000), 0xffffffff);
	b.m->waking = true;
	machine_reset_devices(b.m);
	cr_assert_eq(rd(0xb0000000), 0x29c08086);
	b.m->waking = false;
	machine_reset_devices(b.m);
	cr_assert_eq(rd(0xb0000000), 0xffffffff);
}

Test(mch, pam_is_at_0x90)
{
	conf(0x90, 1, 0x30);
	wr(0xf0000, 0x12345678);
	cr_assert_eq(rd(0xf0000), 0x12345678);
}

Test(mch, tseg_is_for_smm_code)
{
	conf(0x9d, 1, 0x0a);
	conf(0x9e, 1, 0x03);			/* T_EN, 2 MiB */
	wr(LOW - 4, 0);
	cr_assert_eq(rd(LOW - 4), 0xffffffff);
	cr_assert_eq(rd(LOW - (2 << 20)), 0xffffffff);
	cr_assert_eq(rd(LOW - (2 << 20) - 4), 0x11111111);
	pci_host_smm(b.dev, true);
	cr_assert_eq(rd(LOW - 4), 0x11111111);
	wr(LOW - 4, 5);
	pci_host_smm(b.dev, false);
	cr_assert_eq(rd(LOW - 4), 0xffffffff);
	cr_assert_eq(ld32(ram->host + LOW - 4), 5);
	dev_reset(b.dev);
	cr_assert_eq(rd(LOW - 4), 5);
}

Test(mch, locking_makes_esmramc_read_only)
{
	conf(0x9e, 1, 0x03);
	conf(0x9d, 1, 0x1a);
	conf(0x9e, 1, 0x00);
	cr_assert_eq(get(0x9e, 1) & 7, 3);
	conf(0x9d, 1, 0x48);
	cr_assert_eq(get(0x9d, 1), 0x1a);
	dev_reset(b.dev);
	conf(0x9e, 1, 0x01);
	cr_assert_eq(get(0x9e, 1) & 7, 1);
}

Test(mch, high_smram_takes_the_window_s_place)
{
	conf(0x9d, 1, 0x0a);
	conf(0x9e, 1, 0x80);
	cr_assert_eq(rd(0xfeda0000), 0xffffffff);
	st32(ram->host + 0xa0000, 0xcafe);
	struct phys_range hole = { .pa = 0xa0000, .size = 0x20000, .prio = 1, .nowrite = true, .name = "hole" };
	phys_map(b.m->phys, &hole, &b.err);
	pci_host_smm(b.dev, true);
	cr_assert_eq(rd(0xfeda0000), 0xcafe);
	cr_assert_eq(rd(0xa0000), 0xffffffff);
	conf(0x9e, 1, 0);
	cr_assert_eq(rd(0xa0000), 0xcafe);
}

/* What firmware writes to find out about a larger TSEG must read back. */
Test(mch, there_is_no_extended_tseg)
{
	conf(0x50, 2, 0xffff);
	cr_assert_eq(get(0x50, 2), 0xffff);
}

/* Firmware's SMM drivers read back where its first stage has put TSEG. */
Test(mch, the_base_of_tseg_is_kept)
{
	conf(0xac, 4, 0x3f800000);
	cr_assert_eq(get(0xac, 4), 0x3f800000);
	conf(0xb0, 2, 0x4000);
	cr_assert_eq(get(0xb0, 2), 0x4000);
}
