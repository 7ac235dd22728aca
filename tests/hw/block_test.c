/* Raw images: bounds, odd lengths, the overlay of -snapshot, locking. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/backend/block.h"

static char path[32];
static struct err e;
static uint8_t buf[4 * SECTOR];

static void setup(void)
{
	strcpy(path, "/tmp/rhea-blk-XXXXXX");
	int fd = mkstemp(path);
	for (int i = 0; i < 1000; i++) {
		memset(buf, i, SECTOR);
		cr_assert_eq(write(fd, buf, SECTOR), (ssize_t)SECTOR);
	}
	close(fd);
}
static void teardown(void) { unlink(path); }
TestSuite(block, .init = setup, .fini = teardown);

static struct block *open_it(bool readonly, bool snapshot)
{
	struct block_options o = { .file = path, .readonly = readonly, .snapshot = snapshot };
	struct block *b = block_open(&o, &e);
	cr_assert(b, "%s", e.msg);
	return b;
}

static uint8_t on_disk(int sector)
{
	uint8_t v = 0;
	int fd = open(path, O_RDONLY);
	cr_assert_eq(pread(fd, &v, 1, sector * (int)SECTOR), 1);
	close(fd);
	return v;
}

static const char qcow2_magic[] = "QFI\xfb";

static void put_magic(void)
{
	memset(buf, 0, sizeof(buf));
	memcpy(buf, qcow2_magic, 4);
}

/* However often it is opened anew, for writing or to change hands. */
Test(block, a_format_that_was_found_out_once_is_never_changed)
{
	struct block_options o = { .file = path, .let_go = true }, s = { .file = path, .snapshot = true };
	struct block *b = block_open(&o, &e);

	put_magic();
	cr_assert(b, "%s", e.msg);
	cr_assert(block_take_back(&b, &e), "%s", e.msg);
	cr_expect_not(block_write(b, 0, buf, 1, &e));
	cr_assert(block_reopen(&b, false, &e), "%s", e.msg);
	cr_assert(block_reopen(&b, true, &e), "%s", e.msg);
	cr_expect_not(block_write(b, 0, buf, 1, &e));
	block_close(b);
	b = block_open(&s, &e);
	cr_assert(b, "%s", e.msg);
	cr_expect(b->opened.probed, "what commit opens is looked at as well");
	block_close(b);
	cr_expect_eq(on_disk(0), 0);
}

/* A guest whose other processor changes the bytes all the time. */
static _Atomic bool changes, looked_at;

static void *change(void *unused)
{
	volatile uint8_t *p = buf;

	(void)unused;
	for (unsigned i = 0; !looked_at; i++) {
		p[0] = i & 64 ? (uint8_t)qcow2_magic[0] : 0;
		changes = true;
	}
	return NULL;
}

Test(block, what_is_written_is_what_was_looked_at)
{
	struct block *b = open_it(false, false);
	pthread_t t;

	put_magic();
	cr_assert_eq(pthread_create(&t, NULL, change, NULL), 0);
	while (!changes)
		sched_yield();
	for (int i = 0; i < 5000; i++) {
		block_write(b, 0, buf, 4, &e);
		cr_assert_eq(on_disk(0), 0);
	}
	looked_at = true;
	pthread_join(t, NULL);
	block_close(b);
}

/* A guest's own bytes must not decide that the next start takes its disk for something else. */
Test(block, other_formats_are_named_and_no_guest_makes_them)
{
	static const struct { unsigned at; const char *bytes; } row[] = {
		{ 0, "KDMV" }, { 0, "conectix" }, { 0, "vhdxfile" }, { 0x40, "\x7f\x10\xda\xbe" }, { 0, "QFI\xfb" },
	};
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		struct block_options raw = { .file = path, .format = "raw" };
		struct block *b = open_it(false, false);

		memset(buf, 0, SECTOR);
		memcpy(buf + row[i].at, row[i].bytes, strlen(row[i].bytes));
		cr_expect_not(block_write(b, 0, buf, 1, &e));
		cr_expect(block_write(b, 1, buf, 1, &e));
		block_close(b);

		b = block_open(&raw, &e);
		cr_assert(b);
		cr_expect(block_write(b, 0, buf, 1, &e));
		block_close(b);
		b = block_open(&(struct block_options){ .file = path }, &e);
		cr_expect_not(b);
		b = block_open(&raw, &e);
		memset(buf, 0, SECTOR);
		cr_expect(block_write(b, 0, buf, 1, &e));
		block_close(b);
	}
}

Test(block, a_protocol_is_no_file)
{
	cr_assert_not(block_open(&(struct block_options){ .file = "nbd://localhost" }, &e));
	cr_expect(strstr(e.msg, "'nbd:' is no protocol"), "%s", e.msg);
	cr_assert_not(block_open(&(struct block_options){ .file = "/nonexistent/a:b" }, &e));
	cr_expect_not(strstr(e.msg, "protocol"), "%s", e.msg);
}

Test(block, reads_what_is_there)
{
	struct block *b = open_it(false, false);
	cr_assert_eq(block_sectors(b), 1000);
	cr_assert(block_read(b, 7, buf, 2, &e));
	cr_assert_eq(buf[0], 7);
	cr_assert_eq(buf[SECTOR], 8);
	block_close(b);
}

Test(block, accesses_behind_the_end_fail)
{
	struct block *b = open_it(false, false);
	cr_assert_not(block_read(b, 999, buf, 2, &e));
	cr_assert_not(block_write(b, 1000, buf, 1, &e));
	cr_assert_not(block_read(b, UINT64_MAX, buf, 1, &e));
	cr_assert(block_read(b, 999, buf, 1, &e));
	block_close(b);
}

Test(block, writes_reach_the_file)
{
	struct block *b = open_it(false, false);
	memset(buf, 0xee, SECTOR);
	cr_assert(block_write(b, 3, buf, 1, &e));
	cr_assert(block_flush(b, &e));
	cr_assert_eq(on_disk(3), 0xee);
	cr_assert_eq(on_disk(4), 4);
	block_close(b);
}

Test(block, read_only_images_refuse_writes)
{
	struct block *b = open_it(true, false);
	cr_assert_not(block_write(b, 3, buf, 1, &e));
	cr_assert(block_flush(b, &e));
	block_close(b);
}

Test(block, a_snapshot_keeps_writes_to_itself)
{
	struct block *b = open_it(false, true);
	memset(buf, 0xee, 2 * SECTOR);
	cr_assert(block_write(b, 127, buf, 2, &e));	/* in two chunks */
	cr_assert(block_read(b, 126, buf, 4, &e));
	cr_assert_eq(buf[0], 126);
	cr_assert_eq(buf[SECTOR], 0xee);
	cr_assert_eq(buf[2 * SECTOR], 0xee);
	cr_assert_eq(buf[3 * SECTOR], 129);
	cr_assert(block_write(b, 999, buf, 1, &e));	/* the last, partial chunk */
	block_close(b);
	cr_assert_eq(on_disk(127), 127);
}

Test(block, a_partial_last_sector_reads_as_zeros_and_does_not_grow)
{
	struct stat st;
	cr_assert_eq(truncate(path, 5 * SECTOR + 10), 0);
	struct block *b = open_it(false, false);
	cr_assert_eq(block_sectors(b), 6);
	cr_assert(block_read(b, 5, buf, 1, &e));
	cr_assert_eq(buf[9], 5);
	cr_assert_eq(buf[10], 0);
	memset(buf, 0xee, SECTOR);
	cr_assert(block_write(b, 5, buf, 1, &e));
	block_close(b);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, 5 * (off_t)SECTOR + 10);
}

Test(block, an_image_is_written_by_one_program_only)
{
	struct block *b = open_it(false, false);
	struct block_options o = { .file = path };
	cr_assert_null(block_open(&o, &e));
	cr_assert(strstr(e.msg, "in use"), "%s", e.msg);
	block_close(b);
}

Test(block, unknown_formats_and_missing_files_are_errors)
{
	struct block_options o = { .file = path, .format = "qcow2" };
	cr_assert_null(block_open(&o, &e));
	o = (struct block_options){ .file = "/nonexistent/disk.img" };
	cr_assert_null(block_open(&o, &e));
	cr_assert(strstr(e.msg, "nonexistent"));
}

/* Nobody is at the other end of the pipe. */
Test(block, a_pipe_is_no_image)
{
	struct block_options o = { .file = path }, raw = { .file = path, .format = "raw", .readonly = true };

	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_null(block_open(&o, &e));
	cr_expect(strstr(e.msg, "no block device"), "%s", e.msg);
	cr_expect_null(block_open(&raw, &e));
	cr_expect(strstr(e.msg, "no block device"), "%s", e.msg);
}

/* What auto-read-only makes read-only stays so on the way from one program to another. */
Test(block, an_image_that_nobody_can_write_is_not_let_go_of)
{
	struct block_options o = { .file = path, .auto_readonly = true, .let_go = true };
	struct block *b = block_open(&o, &e);

	cr_assert(b, "%s", e.msg);
	cr_expect_not(block_readonly(b));
	block_close(b);
	chmod(path, 0444);
	if (!geteuid() && setuid(65534))
		cr_skip_test("root can write everything");
	b = block_open(&o, &e);
	cr_assert(b, "%s", e.msg);
	cr_expect(block_readonly(b));
	cr_expect(block_take_back(&b, &e), "%s", e.msg);
	cr_expect(block_readonly(b));
	block_close(b);
}

/* An image on tmpfs is in memory, and a vCPU reads it at once. */
Test(block, what_lies_on_tmpfs_is_read_now)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	uint8_t got[2 * SECTOR] = { 0 };
	struct iovec v = { got, sizeof(got) };

	memset(buf, 0x5a, sizeof(buf));
	cr_assert(fd >= 0 && write(fd, buf, sizeof(buf)) == (ssize_t)sizeof(buf));
	unlink(path);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct block *b = open_it(true, false);
	cr_expect(block_read_now(b, 1, &v, 1, 2));
	cr_expect_eq(got[sizeof(got) - 1], 0x5a);
	cr_expect_not(block_read_now(b, 3, &v, 1, 2), "half of it is behind the end");
	block_close(b);
	b = open_it(false, true);
	memset(got, 0xa5, sizeof(got));
	cr_assert(block_write(b, 2, got, 1, &e), "%s", e.msg);
	cr_expect(block_read_now(b, 1, &v, 1, 2));
	cr_expect_eq(got[0], 0x5a);
	cr_expect_eq(got[sizeof(got) - 1], 0xa5, "-snapshot's changes are in memory, too");
	block_close(b);
	close(fd);
}
