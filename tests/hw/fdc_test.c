/* The floppy controller as a driver sees it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/disk/fdc.h"
#include "hw/dma/dma.h"
#include "tests/bench.h"

static struct bench b;
static struct drive *disk;

enum { DOR = 0x3f2, MSR = 0x3f4, DATA = 0x3f5, DIR = 0x3f7 };
#define BUF	0x12000u
#define LINE	(b.isa[6].level)

/* Every doubleword of the disk says where it is. */
static struct drive *make_disk(const char *id, uint32_t kb, bool readonly)
{
	char path[] = "/tmp/rhea-fdc-XXXXXX";
	int fd = mkstemp(path);
	uint32_t n = kb * 256, *p = malloc(4 * (size_t)n);

	for (uint32_t i = 0; i < n; i++)
		p[i] = i;
	cr_assert_eq(write(fd, p, 4 * (size_t)n), (ssize_t)(4 * (size_t)n));
	close(fd);
	free(p);
	struct drive *d = bench_drive(&b, id, path, readonly);
	unlink(path);
	return d;
}

/* Leave reset, and take the four messages of it. */
static void start(void)
{
	out(DOR, 0x08);
	out(DOR, 0x0c);
	cr_assert(LINE);
	for (unsigned i = 0; i < 4; i++) {
		out(DATA, 0x08);
		cr_assert_not(LINE);
		cr_assert_eq(in(DATA), 0xc0 | i);
		cr_assert_eq(in(DATA), 0);
	}
	cr_assert_eq(in(MSR), 0x80);
	out(DIR, 0);
}

static void open_kb(uint32_t kb, bool readonly)
{
	struct ram *ram;
	struct phys_range r = { .size = 0x40000, .name = "ram" };

	bench_open(&b, &dma_type, NULL);
	ram = phys_ram_new(b.m->phys, "ram", r.size, &b.err);
	r.rram = r.wram = ram;
	cr_assert(ram && phys_map(b.m->phys, &r, &b.err), "%s", b.err.msg);
	disk = make_disk("a", kb, readonly);
	b.dev = dev_make(b.m, &fdc_type, NULL, "driveA=a", &b.err);
	cr_assert(b.dev, "%s", b.err.msg);
	start();
}

static void setup(void) { open_kb(1440, false); }
static void teardown(void) { bench_close(&b); }
TestSuite(fdc, .init = setup, .fini = teardown, .timeout = 20);
TestSuite(fdc_bare, .fini = teardown, .timeout = 20);

/* Channel 2, single mode; mode 0x44: to memory, 0x48: from it. */
static void program(uint8_t mode, uint16_t n)
{
	out(0x0a, 0x06);
	out(0x0c, 0);
	out(0x0b, mode | 2);
	out(0x04, BUF & 0xff);
	out(0x04, BUF >> 8 & 0xff);
	out(0x81, BUF >> 16);
	out(0x05, (n - 1) & 0xff);
	out(0x05, (n - 1) >> 8);
	out(0x0a, 0x02);
}

static void command(const uint8_t *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		out(DATA, c[i]);
}
#define CMD(...) command((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static uint8_t st[10];

/* All that is to be read; how many. */
static unsigned results(void)
{
	unsigned n = 0;

	bench_settle(&b);
	while ((in(MSR) & 0xf0) == 0xd0 && n < sizeof(st))
		st[n++] = (uint8_t)in(DATA);
	cr_assert_eq(in(MSR), 0x80);
	return n;
}

static void expect(unsigned st0, unsigned st1, unsigned st2)
{
	cr_assert_eq(results(), 7);
	cr_assert_eq(st[0], st0, "ST0 %02x, ST1 %02x, ST2 %02x", st[0], st[1], st[2]);
	cr_assert_eq(st[1], st1, "ST1 %02x", st[1]);
	cr_assert_eq(st[2], st2, "ST2 %02x", st[2]);
}

static void seek(uint8_t cyl)
{
	CMD(0x0f, 0, cyl);
	cr_assert(LINE);
	CMD(0x08);
	cr_assert_not(LINE);
	cr_assert_eq(in(DATA), 0x20);
	cr_assert_eq(in(DATA), cyl);
}

#define READ(c, h, r)	CMD(0xe6, (h) << 2, c, h, r, 2, 18, 0x1b, 0xff)
#define WRITE(c, h, r)	CMD(0xc5, (h) << 2, c, h, r, 2, 18, 0x1b, 0xff)
static uint32_t first_of(unsigned c, unsigned h, unsigned r) { return ((c * 2 + h) * 18 + r - 1) * 128; }

Test(fdc, without_reset_bit_it_rests)
{
	out(DOR, 0x08);
	cr_assert_eq(in(MSR), 0);
	out(DATA, 0x10);
	out(DOR, 0x04);				/* the gate is closed: no interrupt */
	cr_assert_not(LINE);
	out(DOR, 0x0c);
	cr_assert(LINE);
	cr_assert_eq(in(MSR), 0x80);
}

/* What a driver does when the machine wakes from S3. */
Test(fdc, runs_after_a_reset_of_the_machine)
{
	machine_reset_devices(b.m);
	cr_assert_not(LINE);
	out(MSR, 0x80);
	cr_assert(LINE);
	CMD(0x08);
	cr_assert_eq(in(DATA), 0xc0);
}

Test(fdc, says_what_it_is)
{
	CMD(0x10);
	cr_assert_eq(in(DATA), 0x90);
	CMD(0x1f);				/* no command */
	cr_assert_eq(in(DATA), 0x80);
	CMD(0x08);				/* nothing to sense */
	cr_assert_eq(results(), 1);
	cr_assert_eq(st[0], 0x80);
}

Test(fdc, reads_until_terminal_count)
{
	seek(5);
	program(0x44, 1024);
	READ(5, 1, 17);
	cr_assert_eq(in(MSR), 0x10);
	bench_settle(&b);
	cr_assert(LINE);
	expect(0x04, 0, 0);
	cr_assert_not(LINE);
	cr_assert_eq(rd(BUF), first_of(5, 1, 17));
	cr_assert_eq(rd(BUF + 1020), first_of(5, 1, 18) + 127);
	cr_assert_eq(st[3], 6);			/* the next sector's address */
	cr_assert_eq(st[4], 0);
	cr_assert_eq(st[5], 1);
}

Test(fdc, both_sides_are_one_transfer)
{
	program(0x44, 36 * 512);
	READ(0, 0, 1);
	expect(0x04, 0, 0);
	cr_assert_eq(rd(BUF + 18 * 512), first_of(0, 1, 1));
}

Test(fdc, writes_and_fills_what_was_not_given)
{
	wr(BUF, 0xfeedface);
	program(0x48, 4);
	WRITE(0, 0, 3);
	expect(0, 0, 0);
	program(0x44, 512);
	READ(0, 0, 3);
	expect(0, 0, 0);
	cr_assert_eq(rd(BUF), 0xfeedface);
	cr_assert_eq(rd(BUF + 4), 0);
}

Test(fdc, without_terminal_count_the_track_ends)
{
	program(0x44, 1024);
	CMD(0x66, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
	expect(0x40, 0x80, 0);
}

Test(fdc, a_dma_controller_that_does_not_listen_overruns)
{
	out(0x0a, 0x06);
	READ(0, 0, 1);
	expect(0x40, 0x10, 0);
}

Test(fdc, wrong_addresses_are_not_found)
{
	program(0x44, 512);
	READ(1, 0, 1);				/* the head is at 0 */
	expect(0x40, 0x04, 0x10);
	READ(0, 0, 19);
	expect(0x40, 0x04, 0);
	READ(0, 0, 0);
	expect(0x40, 0x04, 0);
	CMD(0xe6, 0, 0, 0, 1, 3, 18, 0x1b, 0xff);	/* 1024 bytes */
	expect(0x40, 0x04, 0);
	seek(80);
	READ(80, 0, 1);
	expect(0x40, 0x01, 0);
	CMD(0xa6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);	/* FM */
	expect(0x40, 0x01, 0);
}

Test(fdc, the_data_rate_must_fit)
{
	out(DIR, 2);
	CMD(0x4a, 0);
	expect(0x40, 0x01, 0);
	out(DIR, 0);
	CMD(0x4a, 0);
	expect(0, 0, 0);
}

Test(fdc, ids_come_by_one_after_the_other)
{
	seek(7);
	CMD(0x4a, 0x04);
	expect(0x04, 0, 0);
	cr_assert_eq(st[3], 7);
	cr_assert_eq(st[4], 1);
	cr_assert_eq(st[6], 2);
	uint8_t r = st[5];
	CMD(0x4a, 0x04);
	expect(0x04, 0, 0);
	cr_assert_eq(st[5], r + 1);
}

Test(fdc, recalibrate_finds_track_0_where_there_is_a_drive)
{
	seek(9);
	CMD(0x07, 0);
	CMD(0x08);
	cr_assert_eq(results(), 2);
	cr_assert_eq(st[0], 0x20);
	cr_assert_eq(st[1], 0);
	CMD(0x07, 1);
	CMD(0x08);
	cr_assert_eq(results(), 2);
	cr_assert_eq(st[0], 0x71);
}

Test(fdc, relative_seeks_add)
{
	seek(9);
	CMD(0xcf, 0, 3);
	CMD(0x08);
	results();
	cr_assert_eq(st[1], 12);
	CMD(0x8f, 0, 20);
	CMD(0x08);
	results();
	cr_assert_eq(st[1], 0);
}

Test(fdc, implied_seeks_are_a_setting_that_lock_keeps)
{
	program(0x44, 512);
	CMD(0x13, 0, 0x57, 3);
	READ(33, 0, 1);
	expect(0, 0, 0);
	cr_assert_eq(rd(BUF), first_of(33, 0, 1));
	CMD(0x94);
	cr_assert_eq(in(DATA), 0x10);
	out(DOR, 0x08);
	out(DOR, 0x0c);
	cr_assert_not(LINE);			/* polling is off */
	CMD(0x0e);
	cr_assert_eq(results(), 10);
	cr_assert_eq(st[7], 0x80);
	cr_assert_eq(st[8], 0x57);
	cr_assert_eq(st[9], 3);
	CMD(0x14);
	results();
	out(MSR, 0x80);				/* reset by the other register */
	CMD(0x0e);
	results();
	cr_assert_eq(st[8], 0x20);
}

Test(fdc, sense_drive_shows_track_0)
{
	CMD(0x04, 0);
	results();
	cr_assert_eq(st[0], 0x38);
	seek(1);
	CMD(0x04, 0x04);
	results();
	cr_assert_eq(st[0], 0x2c);
}

Test(fdc, format_fills_a_track)
{
	for (uint32_t r = 0; r < 18; r++)
		wr(BUF + 4 * r, 2u << 24 | (r + 1) << 16 | 1u << 8 | 3u);
	seek(3);
	program(0x48, 72);
	CMD(0x4d, 4, 2, 18, 0x54, 0xf6);
	expect(0x04, 0, 0);
	program(0x44, 18 * 512);
	READ(3, 1, 1);
	expect(0x04, 0, 0);
	cr_assert_eq(rd(BUF), 0xf6f6f6f6);
	cr_assert_eq(rd(BUF + 18 * 512 - 4), 0xf6f6f6f6);
	program(0x44, 512);
	READ(3, 0, 18);
	expect(0, 0, 0);
	cr_assert_eq(rd(BUF), first_of(3, 0, 18));
}

Test(fdc, verify_moves_nothing)
{
	CMD(0xd6, 0x80, 0, 0, 1, 2, 18, 0x1b, 5);
	expect(0, 0, 0);
	cr_assert_eq(st[5], 6);
}

Test(fdc, deleted_data_is_not_there)
{
	program(0x44, 1024);
	CMD(0x4c, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	expect(0, 0, 0x40);
	cr_assert_eq(st[5], 2);			/* one sector, and no more */
}

Test(fdc, the_processor_may_move_data)
{
	CMD(0x03, 0xdf, 0x03);
	CMD(0xe6, 0, 0, 0, 17, 2, 17, 0x1b, 0xff);
	bench_settle(&b);
	for (unsigned i = 0; i < 512; i++) {
		cr_assert(LINE);
		cr_assert_eq(in(MSR), 0xf0);
		cr_assert_eq(in(DATA), (first_of(0, 0, 17) + i / 4) >> 8 * (i % 4) & 0xff);
	}
	bench_settle(&b);			/* the other side, from its first sector */
	cr_assert_eq(in(MSR), 0xf0);
	cr_assert_eq(in(DATA), first_of(0, 1, 1) & 0xff);
	out(DOR, 0x08);
	out(DOR, 0x0c);
	CMD(0x03, 0xdf, 0x03);
	CMD(0x45, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
	for (unsigned i = 0; i < 512; i++) {
		cr_assert_eq(in(MSR), 0xb0);
		out(DATA, i & 0xff);
	}
	expect(0x40, 0x80, 0);			/* nobody says that it was the last one */
	CMD(0x03, 0xdf, 0x02);
	program(0x44, 512);
	READ(0, 0, 1);
	expect(0, 0, 0);
	cr_assert_eq(rd(BUF + 4), 0x07060504);
}

Test(fdc, reset_ends_a_command)
{
	drive_hold(b.m, true);
	program(0x44, 512);
	READ(0, 0, 1);
	cr_assert(drive_busy(disk));
	out(DOR, 0x08);
	cr_assert_not(drive_busy(disk));
	drive_hold(b.m, false);
	out(DOR, 0x0c);
	cr_assert_eq(in(MSR), 0x80);
}

Test(fdc_bare, a_protected_disk_refuses_writes)
{
	open_kb(1440, true);
	program(0x48, 512);
	WRITE(0, 0, 1);
	expect(0x40, 0x02, 0);
	CMD(0x4d, 0, 2, 18, 0x54, 0xf6);
	expect(0x40, 0x02, 0);
	CMD(0x04, 0);
	results();
	cr_assert_eq(st[0], 0x78);
}

/* ---- disks that come and go ---- */

Test(fdc, the_change_line_falls_when_the_head_steps)
{
	struct block_options none = { 0 };

	cr_assert_eq(in(DIR) & 0x80, 0);	/* the motor is off */
	out(DOR, 0x1c);
	cr_assert_eq(in(DIR) & 0x80, 0x80);
	seek(1);
	cr_assert_eq(in(DIR) & 0x80, 0);
	cr_assert(drive_change(disk, &none, false, &b.err), "%s", b.err.msg);
	cr_assert_eq(in(DIR) & 0x80, 0x80);
	seek(2);
	cr_assert_eq(in(DIR) & 0x80, 0x80);	/* there is still no disk */
	program(0x44, 512);
	READ(2, 0, 1);
	expect(0x40, 0x01, 0);
}

Test(fdc_bare, every_format_is_known_by_its_size)
{
	static const struct { uint16_t kb; uint8_t sectors, heads, last, rate, kind; } f[] = {
		{ 160, 8, 1, 39, 2, 1 }, { 180, 9, 1, 39, 2, 1 }, { 320, 8, 2, 39, 2, 1 }, { 360, 9, 2, 39, 2, 1 },
		{ 720, 9, 2, 79, 2, 4 }, { 1200, 15, 2, 79, 0, 2 }, { 1440, 18, 2, 79, 0, 4 },
		{ 2880, 36, 2, 79, 3, 5 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(f); i++) {
		uint8_t h = f[i].heads - 1;
		open_kb(f[i].kb, false);
		cr_assert_eq(fdc_drive_kind(b.dev, 0), f[i].kind);
		cr_assert_eq(fdc_drive_kind(b.dev, 1), 0);
		out(DIR, f[i].rate);
		seek(f[i].last);
		program(0x44, 512);
		CMD(0x46, (uint8_t)(h << 2), f[i].last, h, f[i].sectors, 2, f[i].sectors, 0x1b, 0xff);
		expect(h << 2, 0, 0);
		cr_assert_eq(rd(BUF + 508), f[i].kb * 256u - 1);
		if (i + 1 < ARRAY_LEN(f))
			bench_close(&b);
	}
}

Test(fdc, larger_images_are_refused)
{
	make_disk("big", 3000, false);
	cr_assert_not(dev_make(b.m, &fdc_type, "other", "driveA=big,iobase=0x370", &b.err));
	cr_assert(strstr(b.err.msg, "larger than a floppy"), "%s", b.err.msg);
}

Test(fdc, random_bytes_do_no_harm)
{
	static const uint16_t ports[] = { DOR, 0x3f3, MSR, DATA, DATA, DATA, DATA, DATA, DIR };
	uint64_t x = 88172645463325252ull;

	for (unsigned i = 0; i < 60000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		uint16_t port = ports[x % ARRAY_LEN(ports)];
		if (i % 64 == 0) {
			out(DOR, 0x1c);
			program(x >> 20 & 1 ? 0x44 : 0x48, (uint16_t)(x >> 24));
		}
		if (x >> 9 & 3 && (port == DATA || i % 7 == 0))
			out(port, (uint32_t)(x >> 16 & 0xff) >> (x >> 40 & 7));
		else
			in(port);
		if (x >> 48 & 1)
			bench_settle(&b);
	}
}
