/* The SATA controller as a driver sees it: command lists, FISes, queueing, errors. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/disk/ahci.h"
#include "hw/pci/pci.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *d;
static struct drive *disk, *disc;
static char path[2][32];

#define SECTORS		4096u
#define DISC_SECTORS	64u		/* of 2048 bytes */
#define RAM		(4u << 20)
#define BAR		0xe0000000u
#define LIST		0x10000u
#define RX		0x18000u
#define TABLE(slot)	(0x20000u + 0x1000u * (slot))
#define BUF		0x100000u
enum { GHC = 0x04, IS = 0x08, P_CLB = 0x00, P_FB = 0x08, P_IS = 0x10, P_IE = 0x14, P_CMD = 0x18, P_TFD = 0x20,
	P_SIG = 0x24, P_SSTS = 0x28, P_SCTL = 0x2c, P_SERR = 0x30, P_SACT = 0x34, P_CI = 0x38 };
#define DHRS 1u
#define PSS 2u
#define SDBS 8u
#define TFES 0x40000000u

static uint32_t reg(unsigned port, unsigned off)
{
	return (uint32_t)phys_read(b.m->phys, BAR + 0x100 + 0x80 * port + off, 4);
}

static void set(unsigned port, unsigned off, uint32_t v)
{
	phys_write(b.m->phys, BAR + 0x100 + 0x80 * port + off, 4, v);
}

static uint32_t mem(uint64_t pa)
{
	return (uint32_t)phys_read(b.m->phys, pa, 4);
}

/* An image in which every doubleword says where it is. */
static struct drive *image(int n, const char *id, uint32_t sectors, uint32_t tag, bool readonly)
{
	strcpy(path[n], "/tmp/rhea-ahci-XXXXXX");
	int fd = mkstemp(path[n]);
	for (uint32_t i = 0; i < sectors * 128; i++) {
		uint32_t v = tag + i;
		cr_assert_eq(write(fd, &v, 4), 4);
	}
	close(fd);
	struct drive_options o = { .id = id, .image = { .file = path[n], .format = "raw", .readonly = readonly }, .cdrom = readonly };
	struct drive *drive = drive_new(b.m, &o, &b.err);
	cr_assert(drive, "%s", b.err.msg);
	return drive;
}

static void start_port(unsigned port)
{
	set(port, P_CLB, LIST);
	set(port, P_FB, RX);
	set(port, P_CMD, 0x16);			/* FRE, powered, spun up */
	set(port, P_SERR, 0xffffffff);
	set(port, P_IS, 0xffffffff);
	set(port, P_IE, 0xffffffff);
	set(port, P_CMD, 0x17);
}

static void setup(void)
{
	bench_open_pci(&b, RAM);
	d = dev_make(b.m, &ahci_type, NULL, "addr=4", &b.err);
	cr_assert(d, "%s", b.err.msg);
	disk = image(0, "disk", SECTORS, 0, false);
	disc = image(1, "disc", DISC_SECTORS * 4, 0x10000000, true);
	cr_assert(ahci_attach(d, 0, disk, false, "SERIAL1", &b.err));
	cr_assert(ahci_attach(d, 1, disc, true, NULL, &b.err));
	pci_config_write(b.m->pci, 0, 4 * 8, 0x24, 4, BAR);
	pci_config_write(b.m->pci, 0, 4 * 8, 0x04, 2, 6);
	phys_write(b.m->phys, BAR + GHC, 4, 0x80000002);
	start_port(0);
	log_mask = 0;
}

static void teardown(void)
{
	bench_close(&b);
	for (int i = 0; i < 2; i++)
		unlink(path[i]);
}

TestSuite(ahci, .init = setup, .fini = teardown, .timeout = 30);

/* A command in a slot with regions of `each` bytes at BUF + slot * 64 KiB; not yet issued. */
static void put(unsigned slot, const uint8_t *fis, const uint8_t *packet, unsigned regions, uint32_t each, bool write)
{
	uint8_t head[32] = { 0 }, prd[16] = { 0 };

	st32(head, 5u | (write ? 0x40u : 0) | (packet ? 0x20u : 0) | regions << 16);
	st64(head + 8, TABLE(slot));
	dma_write(b.m, LIST + 32 * slot, head, sizeof(head));
	dma_write(b.m, TABLE(slot), fis, 20);
	if (packet)
		dma_write(b.m, TABLE(slot) + 0x40, packet, 12);
	for (unsigned i = 0; i < regions; i++) {
		st64(prd, BUF + 0x10000 * slot + each * i);
		st32(prd + 12, each - 1);
		dma_write(b.m, TABLE(slot) + 0x80 + 16 * i, prd, sizeof(prd));
	}
}

static void put_ata(unsigned slot, uint8_t command, uint64_t lba, uint32_t count, unsigned regions, uint32_t each, bool write)
{
	uint8_t fis[20] = { 0x27, 0x80, command, 0, (uint8_t)lba, (uint8_t)(lba >> 8), (uint8_t)(lba >> 16), 0x40,
			    (uint8_t)(lba >> 24), 0, 0, 0, (uint8_t)count, (uint8_t)(count >> 8) };

	if (command == 0x60 || command == 0x61) {
		fis[3] = (uint8_t)count;
		fis[11] = (uint8_t)(count >> 8);
		fis[12] = (uint8_t)(slot << 3);
	}
	put(slot, fis, NULL, regions, each, write);
}

static void issue(unsigned port, uint32_t slots)
{
	set(port, P_CI, slots);
	bench_settle(&b);
}

static bool line(void)
{
	return b.line[0].level || b.line[1].level || b.line[2].level || b.line[3].level;
}

Test(ahci, ports_tell_what_is_there)
{
	cr_assert_eq(reg(0, P_SSTS), 0x113);
	cr_assert_eq(reg(0, P_SIG), 0x101);
	cr_assert_eq(reg(1, P_SIG), 0xeb140101);
	cr_assert_eq(reg(2, P_SSTS), 0);
	cr_assert_eq(mem(RX + 0x40) & 0xff, 0x34);
}

Test(ahci, identify_goes_to_memory)
{
	put_ata(0, 0xec, 0, 0, 1, 512, false);
	issue(0, 1);
	cr_assert_eq(reg(0, P_CI), 0);
	cr_assert_eq(reg(0, P_IS), PSS);
	cr_assert(line());
	cr_assert_eq(mem(BUF + 200), SECTORS);
	cr_assert_eq(mem(BUF + 150) >> 16 & 0x100, 0x100);	/* queueing */
	cr_assert_eq(mem(BUF + 96) & 0xffff, 0x4000, "no Trusted Computing, of which ATA-1 drives know nothing");
	cr_assert_eq(mem(BUF + 20), 0x52495345);		/* "SERIAL1", swapped */
	cr_assert_eq(mem(LIST + 4), 512);
	set(0, P_IS, PSS);
	phys_write(b.m->phys, BAR + IS, 4, 1);
	cr_assert_not(line());
}

Test(ahci, reads_and_writes_move_regions)
{
	uint8_t word[4];

	put_ata(0, 0x25, 8, 16, 4, 2048, false);
	issue(0, 1);
	cr_assert_eq(reg(0, P_IS), DHRS);
	cr_assert_eq(mem(BUF), 8 * 128);
	cr_assert_eq(mem(BUF + 8188), 8 * 128 + 2047);
	cr_assert_eq(mem(LIST + 4), 8192);
	st32(word, 0xdeadbeef);
	dma_write(b.m, BUF, word, 4);
	put_ata(0, 0x35, 100, 1, 1, 512, true);
	issue(0, 1);
	put_ata(1, 0x25, 100, 1, 1, 512, false);
	issue(0, 2);
	cr_assert_eq(mem(BUF + 0x10000), 0xdeadbeef);
}

Test(ahci, regions_need_not_end_with_sectors)
{
	put_ata(0, 0x25, 3, 3, 4, 384, false);		/* 1536 bytes in four parts */
	issue(0, 1);
	for (unsigned i = 0; i < 384; i++)
		cr_assert_eq(mem(BUF + 4 * i), 3 * 128 + i);
}

Test(ahci, queued_commands_run_side_by_side)
{
	for (unsigned s = 0; s < 8; s++)
		put_ata(s, s & 1 ? 0x61 : 0x60, 64 * s, 8, 1, 4096, s & 1);
	set(0, P_SACT, 0xff);
	drive_hold(b.m, true);
	set(0, P_CI, 0xff);
	cr_assert_eq(reg(0, P_CI), 0);			/* the device has them all */
	cr_assert_eq(reg(0, P_SACT), 0xff);
	drive_hold(b.m, false);
	bench_settle(&b);
	cr_assert_eq(reg(0, P_SACT), 0);
	cr_assert(reg(0, P_IS) & SDBS);
	for (unsigned s = 0; s < 8; s += 2)
		cr_assert_eq(mem(BUF + 0x10000 * s), 64 * s * 128);
	cr_assert_eq(mem(RX + 0x58) & 0xff, 0xa1);
}

Test(ahci, an_error_stops_the_port_until_it_is_restarted)
{
	put_ata(0, 0x25, SECTORS - 1, 2, 1, 1024, false);
	put_ata(1, 0x25, 0, 1, 1, 512, false);
	issue(0, 3);
	cr_assert(reg(0, P_IS) & TFES);
	cr_assert_eq(reg(0, P_TFD) & 1, 1);
	cr_assert_eq(reg(0, P_CI), 3);
	set(0, P_CMD, 0x16);
	cr_assert_eq(reg(0, P_CI), 0);
	set(0, P_IS, 0xffffffff);
	set(0, P_CMD, 0x17);
	issue(0, 2);
	cr_assert_eq(reg(0, P_CI), 0);
	cr_assert_not(reg(0, P_IS) & TFES);
}

/* AHCI 1.3.1, 3.3.7: the field reads as idle when the link has changed its state. */
Test(ahci, a_wish_for_a_link_state_is_fulfilled_at_once)
{
	set(0, P_CMD, 0x10000017);
	cr_assert_eq(reg(0, P_CMD), 0xc017);
}

Test(ahci, the_log_tells_which_queued_command_failed)
{
	put_ata(5, 0x60, SECTORS, 1, 1, 512, false);
	set(0, P_SACT, 0x20);
	issue(0, 0x20);
	cr_assert(reg(0, P_IS) & TFES);
	cr_assert_eq(reg(0, P_SACT), 0x20);
	set(0, P_CMD, 0x16);
	set(0, P_CMD, 0x17);
	put_ata(0, 0x2f, 0x10, 1, 1, 512, false);
	issue(0, 1);
	cr_assert_eq(mem(BUF) & 0xff, 5);
}

Test(ahci, more_sectors_than_memory_is_an_error)
{
	put_ata(0, 0x25, 0, 4, 1, 1024, false);
	issue(0, 1);
	cr_assert(reg(0, P_IS) & TFES);
	put_ata(0, 0x35, 0, 1, 0, 0, true);
	set(0, P_CMD, 0x16);
	set(0, P_CMD, 0x17);
	issue(0, 1);
	cr_assert_eq(reg(0, P_TFD) & 1, 1);
}

Test(ahci, resets_bring_the_signature_back)
{
	uint8_t fis[20] = { 0x27 };

	fis[15] = 4;
	put(0, fis, NULL, 0, 0, false);
	issue(0, 1);
	fis[15] = 0;
	put(0, fis, NULL, 0, 0, false);
	issue(0, 1);
	cr_assert_eq(reg(0, P_SIG), 0x101);
	cr_assert_eq(reg(0, P_CI), 0);
	set(0, P_SCTL, 0x301);
	set(0, P_SCTL, 0x300);
	cr_assert_eq(reg(0, P_SSTS), 0x113);
	cr_assert(reg(0, P_SERR) & 0x04000000);
}

static void put_packet(unsigned slot, const uint8_t *cdb, unsigned regions, uint32_t each)
{
	static const uint8_t fis[20] = { 0x27, 0x80, 0xa0, 1 };

	put(slot, fis, cdb, regions, each, false);
}

Test(ahci, an_optical_drive_takes_packets)
{
	static const uint8_t ready[12] = { 0x00 }, read[12] = { 0x28, 0, 0, 0, 0, 5, 0, 0, 2 }, inquiry[12] = { 0x12, 0, 0, 0, 96 };
	static const uint8_t bad[12] = { 0x28, 0, 0, 1, 0, 0, 0, 0, 1 }, sense[12] = { 0x03, 0, 0, 0, 18 };

	start_port(1);
	put_packet(0, ready, 0, 0);			/* a unit attention comes first */
	issue(1, 1);
	set(1, P_CMD, 0x16), set(1, P_CMD, 0x17);
	put_packet(0, read, 2, 2048);
	issue(1, 1);
	cr_assert_eq(reg(1, P_TFD) & 1, 0);
	cr_assert_eq(mem(BUF), 0x10000000 + 5 * 512, "%x, tfd %x, ci %x, is %x", mem(BUF), reg(1, P_TFD), reg(1, P_CI), reg(1, P_IS));
	cr_assert_eq(mem(BUF + 4092), 0x10000000 + 5 * 512 + 1023);
	put_packet(0, inquiry, 1, 36);			/* less room than asked for */
	issue(1, 1);
	cr_assert_eq(reg(1, P_TFD) & 1, 0);
	cr_assert_eq(mem(BUF + 8), 0x41454852);		/* RHEA */
	put_packet(0, bad, 1, 2048);
	issue(1, 1);
	cr_assert_eq(reg(1, P_TFD) & 1, 1);
	cr_assert_eq(reg(1, P_TFD) >> 12 & 15, 5);	/* illegal request */
	set(1, P_CMD, 0x16), set(1, P_CMD, 0x17);
	put_packet(0, sense, 1, 18);
	issue(1, 1);
	cr_assert_eq(mem(BUF + 12) & 0xff, 0x21);
}

Test(ahci, trim_gives_sectors_back)
{
	uint8_t ranges[512] = { 0 };

	st64(ranges, 200 | 8ull << 48);
	dma_write(b.m, BUF, ranges, sizeof(ranges));
	put_ata(0, 0x06, 0, 1, 1, 512, true);
	phys_write(b.m->phys, TABLE(0) + 3, 1, 1);
	issue(0, 1);
	cr_assert_eq(reg(0, P_TFD) & 1, 0);
	put_ata(0, 0x06, 0, 9, 1, 512, true);
	phys_write(b.m->phys, TABLE(0) + 3, 1, 1);
	issue(0, 1);
	cr_assert_eq(reg(0, P_TFD) & 1, 1);
}

Test(ahci, random_accesses_do_no_harm)
{
	uint64_t seed = 99;

	for (int i = 0; i < 60000; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		uint32_t v = (uint32_t)(seed >> 32), off = (uint32_t)(seed >> 8) & 0x3fc;
		if (i % 50 == 0)
			phys_write(b.m->phys, BAR + 0x100 + (v & 1 ? 0x80 : 0) + P_CMD, 4, 0x17);
		else if (i % 7 == 0)
			phys_write(b.m->phys, (v & 1 ? LIST : TABLE(v >> 4 & 31)) + (off & 0xfc), 4, (uint32_t)(seed >> 20));
		else
			phys_write(b.m->phys, BAR + off, 4, v & 3 ? v : v & 0x1ffff);
		if (i % 1000 == 0)
			bench_settle(&b);
	}
	bench_settle(&b);
}
