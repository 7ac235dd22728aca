/* Host bridge: PAM and SMRAM decide what stands below 1 MiB. */
#include <criterion/criterion.h>

#include "hw/pci/i440fx.h"
#include "tests/bench.h"

static struct bench b;
static struct ram *ram, *rom;

static void setup(void)
{
	bench_open(&b, &i440fx_type, "addr=0");
	ram = phys_ram_new(b.m->phys, "ram", 1 << 20, &b.err);
	rom = phys_ram_new(b.m->phys, "rom", 256 << 10, &b.err);
	memset(ram->host, 0x11, ram->size);
	for (uint32_t i = 0; i < rom->size; i += 4)
		st32(rom->host + i, 0xb0000000 | i);
	struct phys_range all = { .pa = 0, .size = 1 << 20, .rram = ram, .wram = ram, .name = "ram" };
	phys_map(b.m->phys, &all, &b.err);
	cr_assert(pci_host_connect(b.dev, ram, rom, ram->size, &b.err), "%s", b.err.msg);
}
static void teardown(void) { bench_close(&b); }
TestSuite(i440fx, .init = setup, .fini = teardown);

static void conf8(unsigned reg, uint8_t v)
{
	bench_out(&b, 0xcf8, 4, 0x80000000u | (reg & 0xfc));
	bench_out(&b, (uint16_t)(0xcfc + (reg & 3)), 1, v);
}
static uint8_t get8(unsigned reg)
{
	bench_out(&b, 0xcf8, 4, 0x80000000u | (reg & 0xfc));
	return (uint8_t)bench_in(&b, (uint16_t)(0xcfc + (reg & 3)), 1);
}

Test(i440fx, at_reset_the_rom_is_seen_and_writes_are_lost)
{
	cr_assert_eq(rd(0xffff0), 0xb003fff0);
	cr_assert_eq(rd(0xe0000), 0xb0020000);
	wr(0xf0000, 0);
	cr_assert_eq(rd(0xf0000), 0xb0030000);
	cr_assert_eq(rd(0xc0000), 0xffffffff);
}

Test(i440fx, pam0_opens_the_bios_segment_to_ram)
{
	conf8(0x59, 0x30);
	wr(0xf0000, 0x12345678);
	cr_assert_eq(rd(0xf0000), 0x12345678);
	cr_assert_eq(rd(0xe0000), 0xb0020000);
	conf8(0x59, 0x10);			/* read-only */
	wr(0xf0000, 0);
	cr_assert_eq(rd(0xf0000), 0x12345678);
	conf8(0x59, 0);
	cr_assert_eq(rd(0xf0000), 0xb0030000);
	cr_assert_eq(ld32(ram->host + 0xf0000), 0x12345678);
}

Test(i440fx, each_pam_nibble_has_its_16_kib)
{
	for (int i = 0; i < 12; i++) {
		uint32_t base = 0xc0000 + 0x4000 * (uint32_t)i;
		unsigned reg = 0x5a + (unsigned)i / 2;
		conf8(reg, i % 2 ? 0x30 : 0x03);
		wr(base, 0xabc00000u + (uint32_t)i);
		cr_expect_eq(rd(base), 0xabc00000u + (uint32_t)i, "area %d", i);
		cr_expect_neq(rd(base ^ 0x4000), 0x11111111, "area %d's neighbour", i);
		conf8(reg, 0);
		cr_expect_neq(rd(base), 0xabc00000u + (uint32_t)i, "area %d closed", i);
	}
}

Test(i440fx, waking_from_s3_leaves_pam_as_it_is)
{
	conf8(0x5a, 0x33);
	conf8(0x72, 0x4a);
	wr(0xc0000, 0x12345678);
	b.m->waking = true;
	machine_reset_devices(b.m);
	cr_assert_eq(get8(0x5a), 0x33);
	cr_assert_eq(rd(0xc0000), 0x12345678);
	cr_assert_eq(get8(0x72), 0x02);
	b.m->waking = false;
	machine_reset_devices(b.m);
	cr_assert_eq(get8(0x5a), 0);
	cr_assert_neq(rd(0xc0000), 0x12345678);
}

Test(i440fx, pam_registers_keep_only_their_bits)
{
	conf8(0x5a, 0xff);
	cr_assert_eq(get8(0x5a), 0x33);
}

Test(i440fx, smram_opens_for_all_or_for_smm)
{
	struct phys_range hole = { .pa = 0xa0000, .size = 0x20000, .prio = 3, .nowrite = true, .name = "vga" };
	phys_map(b.m->phys, &hole, &b.err);
	cr_assert_eq(rd(0xa0000), 0xffffffff);
	conf8(0x72, 0x4a);			/* open, enabled */
	cr_assert_eq(rd(0xa0000), 0x11111111);
	conf8(0x72, 0x0a);
	cr_assert_eq(rd(0xa0000), 0xffffffff);
	pci_host_smm(b.dev, true);
	cr_assert_eq(rd(0xa0000), 0x11111111);
	pci_host_smm(b.dev, false);
	cr_assert_eq(rd(0xa0000), 0xffffffff);
}

Test(i440fx, a_locked_smram_cannot_be_opened_before_reset)
{
	conf8(0x72, 0x5a);
	cr_assert_eq(get8(0x72), 0x1a);
	conf8(0x72, 0x4a);
	cr_assert_eq(get8(0x72), 0x1a);
	dev_reset(b.dev);
	conf8(0x72, 0x4a);
	cr_assert_eq(get8(0x72), 0x4a);
}
