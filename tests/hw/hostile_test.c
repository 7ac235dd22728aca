/*
 * Guests are hostile: random accesses to the PCI devices must not do harm (the
 * sanitizers watch in `make check-all`) and must not hang.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/disk/ide.h"
#include "hw/display/vga.h"
#include "hw/pc/fwcfg.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "hw/pci/piix4_pm.h"
#include "tests/bench.h"

static struct bench b;
static char path[32];
static uint64_t seed;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

static void setup(void)
{
	const char *given = getenv("RHEA_TEST_SEED");
	seed = given ? strtoull(given, NULL, 0) : 1;
	printf("RHEA_TEST_SEED=%llu\n", (unsigned long long)seed);
	struct ram *ram = bench_open_pci(&b, 2 << 20);
	struct ram *rom = phys_ram_new(b.m->phys, "rom", 256 << 10, &b.err);
	pci_host_connect(b.dev, ram, rom, ram->size, &b.err);
	struct dev *ide = dev_make(b.m, &ide_type, NULL, "addr=1.1", &b.err);
	cr_assert(dev_make(b.m, &piix3_type, NULL, "addr=1.0", &b.err));
	cr_assert(dev_make(b.m, &piix4_pm_type, NULL, "addr=1.3", &b.err));
	cr_assert(dev_make(b.m, &vga_type, NULL, "addr=2,vgamem_mb=1", &b.err));
	cr_assert(dev_make(b.m, &fwcfg_type, NULL, NULL, &b.err));
	strcpy(path, "/tmp/rhea-fuz-XXXXXX");
	int fd = mkstemp(path);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	struct drive_options disk = { .id = "disk", .image = { .file = path, .format = "raw", .no_flush = true, .unlocked = true } };
	struct drive_options disc = { .id = "disc", .image = { .file = path, .format = "raw", .readonly = true, .unlocked = true } };
	cr_assert(ide_attach(ide, 0, drive_new(b.m, &disk, &b.err), false, NULL, &b.err));
	cr_assert(ide_attach(ide, 2, drive_new(b.m, &disc, &b.err), true, NULL, &b.err));
	log_mask = 0;
}
static void teardown(void)
{
	bench_close(&b);
	unlink(path);
}
TestSuite(hostile, .init = setup, .fini = teardown, .timeout = 60);

static void access_port(uint16_t port)
{
	int size = 1 << rnd() % 3;
	if (rnd() & 1)
		bench_in(&b, port, size);
	else
		bench_out(&b, port, size, rnd() & 1 ? rnd() : rnd() & 0xff);
}

static void each(const uint16_t (*range)[2], int n, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		int k = (int)(rnd() % (unsigned)n);
		access_port((uint16_t)(range[k][0] + rnd() % range[k][1]));
	}
}

Test(hostile, ide)
{
	static const uint16_t r[][2] = { { 0x1f0, 8 }, { 0x170, 8 }, { 0x3f6, 1 }, { 0x376, 1 }, { 0xc000, 16 } };
	bench_out(&b, 0xcf8, 4, 0x80000920);
	bench_out(&b, 0xcfc, 4, 0xc000);
	bench_out(&b, 0xcf8, 4, 0x80000904);
	bench_out(&b, 0xcfc, 2, 5);
	each(r, 5, 50000);
}

Test(hostile, ide_packets)
{
	for (int i = 0; i < 3000; i++) {
		out(0x171, rnd() & 1);
		out(0x174, rnd());
		out(0x175, rnd());
		out(0x176, 0xa0);
		out(0x177, 0xa0);
		for (int k = 0; k < 6; k++)
			bench_out(&b, 0x170, 2, rnd() & 3 ? rnd() & 0x0303 : rnd());
		for (int k = 0; k < 100; k++)
			bench_in(&b, 0x170, 4);
		in(0x177);
	}
}

Test(hostile, vga)
{
	static const uint16_t r[][2] = { { 0x3b0, 48 }, { 0x3c0, 32 }, { 0x1ce, 4 } };
	struct surface s = { 0 };
	struct vga *v = (struct vga *)dev_find_type(b.m, &vga_type);
	for (int i = 0; i < 200; i++) {
		each(r, 3, 500);
		for (int k = 0; k < 500; k++) {
			uint64_t pa = 0xa0000 + rnd() % 0x20000;
			if (rnd() & 1)
				phys_write(b.m->phys, pa, 1 << rnd() % 4, rnd());
			else
				phys_read(b.m->phys, pa, 1 << rnd() % 4);
		}
		vga_render(v, &s);
	}
	surface_fini(&s);
}

Test(hostile, configuration_space)
{
	for (int i = 0; i < 20000; i++) {
		bench_out(&b, 0xcf8, 4, 0x80000000u | (rnd() % 24 << 8) | (rnd() & 0xfc));
		access_port((uint16_t)(0xcfc + rnd() % 4));
		if (rnd() % 4 == 0)
			access_port((uint16_t)rnd());
	}
}

Test(hostile, fw_cfg)
{
	for (int i = 0; i < 3000; i++) {
		uint8_t d[16];
		st32(d, __builtin_bswap32(rnd() & 0x3fff001f));
		st32(d + 4, __builtin_bswap32(i % 64 ? rnd() & 0xfff : rnd()));
		st64(d + 8, __builtin_bswap64(rnd() & 0x3fffff));
		phys_write_buf(b.m->phys, 0x100000, d, sizeof(d));
		bench_out(&b, 0x518, 4, __builtin_bswap32(0x100000));
		access_port((uint16_t)(0x510 + rnd() % 4));
	}
}
