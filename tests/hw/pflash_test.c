/* What a flash driver notices, and what is in the image afterwards. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/flash/pflash.h"
#include "tests/bench.h"

#define BASE	0xfff00000u
#define SIZE	0x20000u

static struct bench b;
static char path[] = "/tmp/rhea-flash-XXXXXX";

static void open_flash(bool readonly, const char *props)
{
	bench_machine(&b);
	bench_drive(&b, "code", path, readonly);
	b.dev = dev_make(b.m, &pflash_type, NULL, props, &b.err);
	cr_assert(b.dev, "%s", b.err.msg);
	pflash_place(b.dev, BASE);
}

static void setup(void)
{
	static uint8_t bytes[SIZE];
	int fd = mkstemp(path);

	memset(bytes, 0xff, sizeof(bytes));
	memcpy(bytes, "firmware", 8);
	cr_assert_eq(write(fd, bytes, SIZE), SIZE);
	close(fd);
	open_flash(false, "drive=code");
}

static void shut(void)
{
	bench_close(&b);
}

static void teardown(void)
{
	shut();
	unlink(path);
}
TestSuite(pflash, .init = setup, .fini = teardown);

static uint8_t rd8(uint32_t off) { return (uint8_t)phys_read(b.m->phys, BASE + off, 1); }
static void wr8(uint32_t off, uint8_t v) { phys_write(b.m->phys, BASE + off, 1, v); }

static uint8_t in_image(uint32_t off)
{
	uint8_t sector[SECTOR];

	cr_assert(drive_transfer(drive_find(b.m, "code"), DRIVE_READ, off / SECTOR, sector, 1, &b.err));
	return sector[off % SECTOR];
}

Test(pflash, reads_as_memory_at_first)
{
	cr_assert_eq(rd8(0), 'f');
	cr_assert_eq(phys_read(b.m->phys, BASE, 4), 0x6d726966u);
	struct phys_page pg;
	phys_lookup(b.m->phys, BASE, &pg);
	cr_assert(pg.rhost && !pg.whost);
}

/* The steps by which OVMF's driver knows it for flash. */
Test(pflash, a_cleared_status_reads_as_zero)
{
	wr8(16, 0x50);
	cr_assert_eq(rd8(16), 0xff);
	wr8(16, 0x70);
	cr_assert_eq(rd8(16), 0x00);
	wr8(16, 0xff);
	cr_assert_eq(rd8(16), 0xff);
}

Test(pflash, programming_clears_bits_and_reaches_the_image)
{
	wr8(100, 0x10);
	wr8(100, 0xf5);
	cr_assert_eq(rd8(100), 0x80);		/* status: ready */
	wr8(100, 0x40);
	wr8(100, 0x5f);
	wr8(0, 0xff);
	cr_assert_eq(rd8(100), 0x55);
	cr_assert_eq(in_image(100), 0x55);
	cr_assert_eq(in_image(101), 0xff);
}

static bool no_write(struct block *image, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	(void)image, (void)at, (void)iov, (void)niov, (void)n;
	return err_set(e, "as the test wants it");
}

Test(pflash, what_the_host_could_not_write_is_written_with_the_next_command)
{
	struct block *image = drive_image(drive_find(b.m, "code"));
	const struct block_ops *good = image->ops;
	struct block_ops bad = *good;

	bad.writev = no_write;
	image->ops = &bad;
	wr8(0x100, 0x40);
	wr8(0x100, 0x12);
	wr8(0, 0xff);
	bench_settle(&b);
	image->ops = good;
	cr_assert_eq(in_image(0x100), 0xff);
	wr8(0, 0xff);
	bench_settle(&b);
	cr_assert_eq(in_image(0x100), 0x12);
}

Test(pflash, erasing_sets_a_block_of_4_kib)
{
	for (uint32_t at = 4095; at <= 8192; at += 4097 / 2) {
		wr8(at, 0x10);
		wr8(at, 0);
	}
	wr8(0x1000, 0x20);
	wr8(0x1000, 0xd0);
	wr8(0, 0xff);
	cr_assert_eq(rd8(4095), 0);
	cr_assert_eq(rd8(6143), 0xff);
	cr_assert_eq(in_image(4095), 0);
	cr_assert_eq(in_image(6143), 0xff);
}

Test(pflash, an_erase_that_is_not_confirmed_is_a_sequence_error)
{
	wr8(0, 0x20);
	wr8(0, 0xff);
	cr_assert_eq(rd8(0), 0xb0);
	wr8(0, 0xff);
	cr_assert_eq(rd8(0), 'f');
}

Test(pflash, a_buffer_is_programmed_at_once)
{
	static const uint8_t text[] = "buffered";

	wr8(0x200, 0xe8);
	cr_assert_eq(rd8(0x200), 0x80);
	wr8(0x200, 7);
	for (uint32_t i = 0; i < 8; i++)
		wr8(0x200 + i, text[i]);
	wr8(0x200, 0xd0);
	wr8(0, 0xff);
	for (uint32_t i = 0; i < 8; i++)
		cr_assert_eq(rd8(0x200 + i), text[i]);
	cr_assert_eq(in_image(0x207), 'd');
}

Test(pflash, a_buffer_that_would_leave_the_chip_is_refused)
{
	wr8(SIZE - 1, 0xe8);
	wr8(SIZE - 1, 255);
	for (int i = 0; i < 256; i++)
		wr8(SIZE - 1, 0);
	wr8(SIZE - 1, 0xd0);
	cr_assert_eq(rd8(0), 0x90);
	wr8(0, 0xff);
	cr_assert_eq(rd8(SIZE - 1), 0xff);
}

Test(pflash, the_query_tells_sizes)
{
	wr8(0x55, 0x98);
	cr_assert_eq(rd8(0x10), 'Q');
	cr_assert_eq(rd8(0x11), 'R');
	cr_assert_eq(rd8(0x12), 'Y');
	cr_assert_eq(rd8(0x13), 1);
	cr_assert_eq(1u << rd8(0x27), SIZE);
	cr_assert_eq(rd8(0x2d) + 1, SIZE / 4096);
	cr_assert_eq(rd8(0x2f) + (rd8(0x30) << 8), 4096 / 256);
	wr8(0, 0x90);
	cr_assert_eq(rd8(0), 0x89);
}

Test(pflash, a_read_only_image_does_not_change)
{
	shut();
	open_flash(true, "drive=code");
	wr8(100, 0x10);
	wr8(100, 0);
	cr_assert_eq(rd8(0), 0x90);		/* ready, program error */
	wr8(0, 0x20);
	wr8(0, 0xd0);
	cr_assert_eq(rd8(0), 0xb0);
	wr8(0, 0xff);
	cr_assert_eq(rd8(100), 0xff);
	cr_assert_eq(rd8(0), 'f');
}

Test(pflash, secure_flash_changes_in_smm_only)
{
	shut();
	open_flash(false, "drive=code,secure=on");
	bench_cpus(&b, 1);
	wr8(100, 0x10);
	wr8(100, 0);
	cr_assert_eq(rd8(0), 0x90);
	b.cpu[0]->in_smm = true;
	wr8(100, 0x10);
	wr8(100, 0);
	wr8(0, 0xff);
	cr_assert_eq(rd8(100), 0);
}

Test(pflash, reset_ends_a_command_and_writes_back)
{
	wr8(100, 0x10);
	wr8(100, 0);
	dev_reset(b.dev);
	cr_assert_eq(rd8(0), 'f');
	cr_assert_eq(in_image(100), 0);
}
