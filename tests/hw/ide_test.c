/* IDE as a driver sees it: identify, PIO, bus master, packet commands. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/disk/ide_priv.h"
#include "hw/pci/i440fx.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *d;
static struct drive *disk, *disc;
static char path[2][32];

/* What a write causes is done before the next look. */
#undef out
#define out(port, v)	out_n(port, 1, v)
static void out_n(uint16_t port, int size, uint32_t v)
{
	bench_out(&b, port, size, v);
	bench_settle(&b);
}

#define DISK_SECTORS	4096u
#define DISC_SECTORS	64u		/* of 2048 bytes */
#define RAM		(1u << 20)
#define PRD		0x1000u
#define BUF		0x10000u

/* An image in which every doubleword says where it is. */
static struct drive *image(int n, const char *id, uint32_t sectors, uint32_t tag, bool readonly)
{
	strcpy(path[n], "/tmp/rhea-ide-XXXXXX");
	int fd = mkstemp(path[n]);
	for (uint32_t i = 0; i < sectors * 128; i++) {
		uint32_t v = tag + i;
		cr_assert_eq(write(fd, &v, 4), 4);
	}
	close(fd);
	return bench_drive(&b, id, path[n], readonly);
}

static void packet(const uint8_t p[12], uint16_t limit, uint8_t feature)
{
	out(0x171, feature);
	out(0x174, limit);
	out(0x175, limit >> 8);
	out(0x176, 0xa0);
	out(0x177, 0xa0);
	cr_assert_eq(in(0x177), 0x58);
	cr_assert_eq(in(0x172), 1);		/* command phase */
	for (int i = 0; i < 12; i += 2)
		out_n(0x170, 2, ld16(p + i));
}

static void setup(void)
{
	bench_open(&b, &i440fx_type, "addr=0");
	struct ram *ram = phys_ram_new(b.m->phys, "ram", RAM, &b.err);
	struct phys_range all = { .pa = 0, .size = RAM, .rram = ram, .wram = ram, .name = "ram" };
	phys_map(b.m->phys, &all, &b.err);
	d = dev_make(b.m, &ide_type, NULL, "addr=1.1", &b.err);
	cr_assert(d, "%s", b.err.msg);
	disk = image(0, "disk", DISK_SECTORS, 0, false);
	disc = image(1, "disc", DISC_SECTORS * 4, 0x10000000, true);
	cr_assert(ide_attach(d, 0, disk, false, "SERIAL1", &b.err));
	cr_assert(ide_attach(d, 2, disc, true, NULL, &b.err));
	bench_out(&b, 0xcf8, 4, 0x80000920);
	bench_out(&b, 0xcfc, 4, 0xc000);
	bench_out(&b, 0xcf8, 4, 0x80000904);
	bench_out(&b, 0xcfc, 2, 5);
	packet((uint8_t[12]){ 0 }, 0, 0);	/* reports the power-on */
	cr_assert_eq(in(0x171) >> 4, 6);
}
static void teardown(void)
{
	bench_close(&b);
	unlink(path[0]);
	unlink(path[1]);
}
TestSuite(ide, .init = setup, .fini = teardown);

#define IRQ14 (b.isa[14].level)

static void command(uint16_t base, uint32_t lba, uint8_t count, uint8_t cmd)
{
	out(base + 2, count);
	out(base + 3, lba);
	out(base + 4, lba >> 8);
	out(base + 5, lba >> 16);
	out(base + 6, 0xe0 | (lba >> 24 & 15));
	out(base + 7, cmd);
}

static uint32_t word(uint16_t base) { return bench_in(&b, base, 2); }
static uint32_t dword(uint16_t base) { return bench_in(&b, base, 4); }

/* Descriptors for n bytes at BUF, and the command that waits for them. */
static void prd(uint32_t n)
{
	wr(PRD, BUF);
	wr(PRD + 4, (n & 0xffff) | 0x80000000);
	bench_out(&b, 0xc004, 4, PRD);
}

Test(ide, absent_drives_read_as_zero)
{
	out(0x1f6, 0xf0);
	cr_assert_eq(in(0x1f7), 0);
	out(0x1f6, 0xe0);
	cr_assert_eq(in(0x1f7), 0x50);
}

/* Linux 2.4 takes a channel whose select register reads back for one with drives, and probes for their interrupts. */
Test(ide, a_channel_without_drives_keeps_nothing)
{
	struct dev *empty;

	out(0x176, 0xb0);
	cr_expect_eq(in(0x176), 0xb0, "device 0 answers for device 1");
	dev_free(d);
	empty = dev_make(b.m, &ide_type, NULL, "addr=1.1", &b.err);
	cr_assert(empty, "%s", b.err.msg);
	out(0x176, 0xb0);
	out(0x172, 0x55);
	cr_expect_eq(in(0x176), 0);
	cr_expect_eq(in(0x172), 0);
}

Test(ide, signatures_tell_disks_from_packet_devices)
{
	out(0x3f6, 4); out(0x3f6, 0);
	out(0x376, 4); out(0x376, 0);
	cr_assert_eq(in(0x1f4), 0);
	cr_assert_eq(in(0x174), 0x14);
	cr_assert_eq(in(0x175), 0xeb);
	cr_assert_eq(in(0x1f1), 1);
}

Test(ide, identify_tells_capacity_and_serial_number)
{
	uint16_t id[256];
	command(0x1f0, 0, 0, 0xec);
	cr_assert(IRQ14);
	cr_assert_eq(in(0x1f7), 0x58);
	cr_assert_not(IRQ14);			/* reading the status acknowledges */
	for (int i = 0; i < 256; i++)
		id[i] = (uint16_t)word(0x1f0);
	cr_assert_eq(in(0x1f7), 0x50);
	cr_assert_eq(id[60] | (uint32_t)id[61] << 16, DISK_SECTORS);
	cr_assert_eq(id[10], 'S' << 8 | 'E');
}

/* Firmware boots from a lone boot sector only if the disk has cylinders. */
Test(ide, a_disk_of_one_sector_has_cylinders_and_one_sector)
{
	uint16_t id[256];

	unlink(path[1]);		/* the disc's, which is open */
	cr_assert(ide_attach(d, 1, image(1, "small", 1, 0, false), false, NULL, &b.err), "%s", b.err.msg);
	out(0x1f6, 0xf0);
	out(0x1f7, 0xec);
	for (int i = 0; i < 256; i++)
		id[i] = (uint16_t)word(0x1f0);
	cr_expect(id[1] >= 1 && id[54] >= 1 && id[3] && id[6]);
	cr_expect_eq(id[57], 1);
	cr_expect_eq(id[60], 1);
	cr_expect_eq(id[0], 0x40);
}

Test(ide, pio_read_interrupts_for_every_sector)
{
	command(0x1f0, 5, 2, 0x20);
	for (uint32_t s = 5; s < 7; s++) {
		cr_assert(IRQ14);
		cr_assert_eq(in(0x1f7), 0x58);
		for (uint32_t i = 0; i < 128; i++)
			cr_assert_eq(dword(0x1f0), s * 128 + i);
	}
	cr_assert_not(IRQ14);
	cr_assert_eq(in(0x1f7), 0x50);
}

Test(ide, read_multiple_takes_several_sectors_an_interrupt)
{
	command(0x1f0, 0, 4, 0xc6);
	in(0x1f7);
	command(0x1f0, 8, 6, 0xc4);
	for (uint32_t i = 0; i < 6 * 128; i++)
		cr_assert_eq(dword(0x1f0), 8 * 128 + i);
	cr_assert_eq(b.isa[14].rises, 2);	/* set multiple, first block; the second came unacknowledged */
	cr_assert_eq(in(0x1f7), 0x50);
}

Test(ide, pio_write_reaches_the_image)
{
	uint32_t back[128];
	command(0x1f0, 9, 1, 0x30);
	cr_assert_not(IRQ14);
	cr_assert_eq(in(0x1f7), 0x58);
	for (uint32_t i = 0; i < 128; i++)
		out_n(0x1f0, 4, 0xa5000000 + i);
	cr_assert(IRQ14);
	cr_assert_eq(in(0x1f7), 0x50);
	cr_assert(drive_transfer(disk, DRIVE_READ, 9, back, 1, &b.err));
	cr_assert_eq(back[77], 0xa5000000 + 77);
}

Test(ide, chs_and_lba_name_the_same_sectors)
{
	out(0x1f2, 1); out(0x1f3, 2); out(0x1f4, 1); out(0x1f5, 0); out(0x1f6, 0xa3);
	out(0x1f7, 0x20);
	cr_assert_eq(dword(0x1f0), ((1 * 16 + 3) * 63 + 1) * 128);
}

Test(ide, sectors_behind_the_end_are_an_error)
{
	command(0x1f0, DISK_SECTORS - 1, 2, 0x20);
	cr_assert_eq(in(0x1f7) & 1, 1);
	cr_assert(in(0x1f1) & 0x10);
	command(0x1f0, DISK_SECTORS - 1, 1, 0x20);
	cr_assert_eq(in(0x1f7), 0x58);
}

Test(ide, unknown_commands_are_aborted)
{
	command(0x1f0, 0, 0, 0xff);
	cr_assert_eq(in(0x1f7) & 1, 1);
	cr_assert_eq(in(0x1f1), 4);
}

Test(ide, dma_read_fills_memory_and_interrupts_once)
{
	prd(4 * 512);
	command(0x1f0, 16, 4, 0xc8);
	cr_assert_not(IRQ14);
	out(0xc000, 0x09);
	cr_assert(IRQ14);
	cr_assert_eq(in(0xc002) & 7, 4);	/* interrupt, not active, no error */
	for (uint32_t i = 0; i < 512; i++)
		cr_assert_eq(rd(BUF + 4 * i), 16 * 128 + i);
}

Test(ide, dma_write_with_48_bit_address)
{
	uint32_t back[128];
	prd(512);
	wr(BUF, 0x12345678);
	for (int i = 0; i < 2; i++) {
		out(0x1f2, i); out(0x1f3, i ? 33 : 0); out(0x1f4, 0); out(0x1f5, 0);
	}
	out(0x1f6, 0xe0);
	out(0x1f7, 0x35);
	out(0xc000, 0x01);
	cr_assert(IRQ14);
	cr_assert(drive_transfer(disk, DRIVE_READ, 33, back, 1, &b.err));
	cr_assert_eq(back[0], 0x12345678);
}

Test(ide, running_out_of_descriptors_is_an_error)
{
	prd(512);
	command(0x1f0, 0, 2, 0xc8);
	out(0xc000, 0x09);
	cr_assert_eq(in(0xc002) & 2, 2);
	cr_assert_eq(in(0x1f7) & 1, 1);
}

Test(ide, nien_holds_the_line)
{
	out(0x3f6, 2);
	command(0x1f0, 0, 0, 0xec);
	cr_assert_not(IRQ14);
	out(0x3f6, 0);
	cr_assert(IRQ14);
}

/* ---- packets ---- */

Test(ide, inquiry_says_cd_rom)
{
	packet((uint8_t[12]){ 0x12, 0, 0, 0, 36 }, 36, 0);
	cr_assert(b.isa[15].level);
	cr_assert_eq(in(0x172), 2);		/* data to the host */
	cr_assert_eq(in(0x174), 36);
	cr_assert_eq(word(0x170), 0x8005);
	for (int i = 0; i < 17; i++)
		word(0x170);
	cr_assert_eq(in(0x177), 0x50);
	cr_assert_eq(in(0x172), 3);
}

Test(ide, capacity_is_in_2048_byte_sectors)
{
	packet((uint8_t[12]){ 0x25 }, 8, 0);
	cr_assert_eq(__builtin_bswap32(dword(0x170)), DISC_SECTORS - 1);
	cr_assert_eq(__builtin_bswap32(dword(0x170)), 2048);
}

Test(ide, packet_reads_come_in_pieces_of_the_host_s_choice)
{
	packet((uint8_t[12]){ 0x28, 0, 0, 0, 0, 7, 0, 0, 2 }, 1024, 0);
	for (uint32_t i = 0; i < 4; i++) {
		cr_assert_eq(in(0x177), 0x58);
		cr_assert_eq(in(0x175) << 8 | in(0x174), 1024);
		for (uint32_t k = 0; k < 256; k++)
			cr_assert_eq(dword(0x170), 0x10000000 + 7 * 512 + i * 256 + k);
	}
	cr_assert_eq(in(0x177), 0x50);
}

Test(ide, packet_reads_by_dma)
{
	wr(PRD, BUF);
	wr(PRD + 4, 0x80000000 | 40 * 2048 % 65536);
	wr(PRD + 4, 0);				/* 64 KiB, then 16 more */
	wr(PRD + 8, BUF + 0x10000);
	wr(PRD + 12, 0x80000000 | 16384);
	bench_out(&b, 0xc00c, 4, PRD);
	packet((uint8_t[12]){ 0x28, 0, 0, 0, 0, 1, 0, 0, 40 }, 0, 1);
	out(0xc008, 0x09);
	cr_assert_eq(in(0x177), 0x50);
	cr_assert_eq(in(0xc00a) & 7, 4);
	cr_assert_eq(rd(BUF + 39 * 2048), 0x10000000 + 40 * 512);
}

Test(ide, reading_behind_the_disc_fails_with_sense)
{
	packet((uint8_t[12]){ 0x28, 0, 0, 0, 0, DISC_SECTORS, 0, 0, 1 }, 2048, 0);
	cr_assert_eq(in(0x177) & 1, 1);
	cr_assert_eq(in(0x171) >> 4, 5);
	packet((uint8_t[12]){ 0x03, 0, 0, 0, 18 }, 18, 0);
	word(0x170);
	cr_assert_eq(word(0x170) & 0xff, 5);
}

Test(ide, a_changed_disc_is_reported_once)
{
	cr_assert(drive_change(disc, &(struct block_options){ .file = path[1], .readonly = true }, false, &b.err));
	packet((uint8_t[12]){ 0 }, 0, 0);
	cr_assert_eq(in(0x171) >> 4, 6);
	packet((uint8_t[12]){ 0 }, 0, 0);
	cr_assert_eq(in(0x177) & 1, 0);
}

Test(ide, without_a_disc_the_drive_is_not_ready)
{
	cr_assert(drive_change(disc, &(struct block_options){ 0 }, false, &b.err));
	packet((uint8_t[12]){ 0 }, 0, 0);
	packet((uint8_t[12]){ 0 }, 0, 0);
	cr_assert_eq(in(0x171) >> 4, 2);
}

Test(ide, parameters_of_a_mode_select_arrive)
{
	packet((uint8_t[12]){ 0x55, 0x10, 0, 0, 0, 0, 0, 0, 20 }, 8, 0);
	for (int piece = 0; piece < 3; piece++) {
		cr_assert_eq(in(0x177), 0x58);
		cr_assert_eq(in(0x172), 0);	/* data to the device */
		cr_assert_eq(in(0x174), piece < 2 ? 8 : 4);
		for (int i = 0; i < (piece < 2 ? 4 : 2); i++)
			out_n(0x170, 2, 0);
	}
	cr_assert_eq(in(0x177) & 0x88, 0);
	cr_assert_eq(in(0x172), 3);
}

Test(ide, an_answer_longer_than_the_host_s_memory_is_cut)
{
	wr(PRD, BUF);
	wr(PRD + 4, 0x80000000 | 8);
	wr(BUF + 8, 0x12345678);
	bench_out(&b, 0xc00c, 4, PRD);
	packet((uint8_t[12]){ 0x12, 0, 0, 0, 36 }, 0, 1);
	out(0xc008, 0x09);
	cr_assert_eq(in(0x177), 0x50);
	cr_assert_eq(rd(BUF) & 0xffff, 0x8005);
	cr_assert_eq(rd(BUF + 8), 0x12345678);
	cr_assert_eq(in(0xc00a) & 3, 0);
}

Test(ide, sectors_beyond_the_host_s_memory_are_an_error)
{
	wr(PRD, BUF);
	wr(PRD + 4, 0x80000000 | 2048);
	bench_out(&b, 0xc00c, 4, PRD);
	packet((uint8_t[12]){ 0x28, 0, 0, 0, 0, 1, 0, 0, 40 }, 0, 1);
	out(0xc008, 0x09);
	cr_assert_eq(in(0x177), 0x51);
	cr_assert_eq(in(0xc00a) & 2, 2);
}

/* ---- while the disk is at work ---- */

Test(ide, a_drive_is_busy_until_its_sectors_are_there)
{
	drive_hold(b.m, true);
	bench_out(&b, 0x1f2, 1, 1);
	bench_out(&b, 0x1f3, 1, 7);
	bench_out(&b, 0x1f4, 1, 0);
	bench_out(&b, 0x1f5, 1, 0);
	bench_out(&b, 0x1f6, 1, 0xe0);
	bench_out(&b, 0x1f7, 1, 0x20);
	cr_assert_eq(in(0x1f7), 0x80);
	cr_assert_not(IRQ14);
	bench_out(&b, 0x1f7, 1, 0xec);		/* refused: it is busy */
	bench_out(&b, 0x1f3, 1, 9);
	cr_assert_eq(in(0x1f3), 7);
	drive_hold(b.m, false);
	bench_settle(&b);
	cr_assert(IRQ14);
	cr_assert_eq(dword(0x1f0), 7 * 128);
}

Test(ide, a_reset_forgets_what_is_under_way)
{
	drive_hold(b.m, true);
	prd(4 * 512);
	drive_hold(b.m, true);
	bench_out(&b, 0x1f2, 1, 4);
	bench_out(&b, 0x1f6, 1, 0xe0);
	bench_out(&b, 0x1f7, 1, 0xc8);
	bench_out(&b, 0xc000, 1, 0x09);
	cr_assert_eq(in(0xc002) & 1, 1);
	wr(BUF, 0x5555aaaa);
	bench_out(&b, 0x3f6, 1, 4);
	bench_out(&b, 0x3f6, 1, 0);
	cr_assert_not(drive_busy(disk));
	drive_hold(b.m, false);
	bench_settle(&b);
	cr_assert_not(IRQ14);
	cr_assert_eq(in(0x1f7), 0x50);
	cr_assert_eq(rd(BUF), 0x5555aaaa);
}

/* Nobody sets the timing registers again after a wake from S3, and without them drivers take no channel for used. */
Test(ide, the_timing_registers_outlive_s3)
{
	bench_out(&b, 0xcf8, 4, 0x80000940);
	bench_out(&b, 0xcfc, 4, 0x80008003);
	b.m->waking = true;
	machine_reset_devices(b.m);
	bench_out(&b, 0xcf8, 4, 0x80000940);
	cr_assert_eq(bench_in(&b, 0xcfc, 4), 0x80008003);
	bench_out(&b, 0xcf8, 4, 0x80000920);
	cr_assert_eq(bench_in(&b, 0xcfc, 4), 1, "and all others go");
}

Test(ide, diagnostics_end_what_the_other_drive_has_under_way)
{
	char other[] = "/tmp/rhea-ide-XXXXXX";
	int fd = mkstemp(other);

	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	struct drive *second = bench_drive(&b, "second", other, false);
	unlink(other);
	cr_assert(ide_attach(d, 1, second, false, NULL, &b.err));
	drive_hold(b.m, true);
	bench_out(&b, 0x1f6, 1, 0xf0);
	bench_out(&b, 0x1f2, 1, 1);
	bench_out(&b, 0x1f7, 1, 0x20);
	cr_assert(drive_busy(second));
	bench_out(&b, 0x1f6, 1, 0xe0);
	bench_out(&b, 0x1f7, 1, 0x90);
	cr_assert_not(drive_busy(second));
	drive_hold(b.m, false);
	bench_settle(&b);
	out(0x1f6, 0xf0);
	cr_assert_eq(in(0x1f7), 0x50);
}

Test(ide, a_saved_transfer_of_an_absent_drive_is_refused)
{
	struct ide *ide = (struct ide *)d;

	cr_assert(ide_type.loaded(ide, &b.err), "%s", b.err.msg);
	ide->drive[1].xfer = XFER_WRITE;
	cr_assert_not(ide_type.loaded(ide, &b.err));
}

Test(ide, stopping_the_bus_master_ends_what_is_under_way)
{
	prd(4 * 512);
	drive_hold(b.m, true);
	bench_out(&b, 0x1f2, 1, 4);
	bench_out(&b, 0x1f3, 1, 16);
	bench_out(&b, 0x1f4, 1, 0);
	bench_out(&b, 0x1f5, 1, 0);
	bench_out(&b, 0x1f6, 1, 0xe0);
	bench_out(&b, 0x1f7, 1, 0xc8);
	bench_out(&b, 0xc000, 1, 0x09);
	bench_out(&b, 0xc000, 1, 0x00);
	cr_assert_eq(in(0x1f7), 0x50);
	cr_assert_eq(rd(BUF), 16 * 128);
}

Test(ide, long_pio_transfers_go_through_the_buffer_several_times)
{
	uint32_t back[128];

	command(0x1f0, 0, 0, 0x30);		/* 256 sectors */
	for (uint32_t i = 0; i < 256 * 128; i++)
		out_n(0x1f0, 4, ~i);
	cr_assert_eq(in(0x1f7), 0x50);
	cr_assert(drive_transfer(disk, DRIVE_READ, 255, back, 1, &b.err));
	cr_assert_eq(back[127], ~(256u * 128 - 1));
	command(0x1f0, 0, 0, 0x20);
	for (uint32_t i = 0; i < 256 * 128; i++) {
		cr_assert_eq(dword(0x1f0), ~i);
		bench_settle(&b);
	}
	cr_assert_eq(in(0x1f7), 0x50);
}

Test(ide, dma_of_scattered_pieces_that_end_inside_sectors)
{
	for (uint32_t i = 0; i < 8; i++) {
		wr(PRD + 8 * i, BUF + i * 0x1000 + 2 * i);
		wr(PRD + 8 * i + 4, 512 + (i & 1 ? 2u : -2u) + (i == 7 ? 0x80000000 : 0));
	}
	bench_out(&b, 0xc004, 4, PRD);
	command(0x1f0, 100, 8, 0xc8);
	out(0xc000, 0x09);
	cr_assert_eq(in(0xc002) & 7, 4);
	uint8_t all[8 * 512];
	for (uint32_t i = 0, at = 0; i < 8; i++) {
		uint32_t n = 512 + (i & 1 ? 2u : -2u);
		phys_read_buf(b.m->phys, BUF + i * 0x1000 + 2 * i, all + at, n);
		at += n;
	}
	for (uint32_t i = 0; i < 8 * 128; i++)
		cr_assert_eq(ld32(all + 4 * i), 100 * 128 + i);
}

/* REP OUTSW and INSW: many words at once, over the ends of data requests, and not a byte more. */
Test(ide, runs_of_words_move_sectors)
{
	uint32_t data[256], back[512];
	unsigned n = 0;

	bench_cpus(&b, 1);
	for (uint32_t i = 0; i < ARRAY_LEN(data); i++)
		data[i] = 0x5a000000 + i;
	command(0x1f0, 20, 2, 0x30);
	for (unsigned k; n < 512; n += k)
		k = bench_out_run(&b, 0x1f0, 2, (uint16_t *)data + n, 512 - n);
	bench_settle(&b);
	cr_assert_eq(in(0x1f7), 0x50);
	cr_assert(drive_transfer(disk, DRIVE_READ, 20, back, 2, &b.err));
	cr_assert_arr_eq(back, data, 1024);
	command(0x1f0, 20, 3, 0x20);
	for (n = 0; n < 768;) {
		bench_settle(&b);
		n += bench_in_run(&b, 0x1f0, 2, (uint16_t *)back + n, n < 512 ? 256 : 300);
	}
	cr_assert_arr_eq(back, data, 1024);
	cr_assert_eq(back[256], 22 * 128);
	cr_assert_eq(back[383], 22 * 128 + 127);
	cr_assert_eq(back[384], 0, "behind the last sector there is nothing");
	cr_assert_eq(in(0x1f7), 0x50);
}
