/*
 * qcow2 images: a model in memory beside random operations, snapshots, backing
 * chains, crashes, hostile files; with qemu-img as a second opinion where it is
 * installed.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/qcow2.h"

#define DISK	(3u << 20)
#define NSECTORS (DISK / SECTOR)

static char dir[32], image[64], base[64], other[64];
static struct err e;
static uint8_t model[DISK], buf[DISK];
static uint64_t seed;

static void setup(void)
{
	strcpy(dir, "/tmp/rhea-qcow-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(base, sizeof(base), "%s/base", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
}
static void teardown(void)
{
	unlink(image);
	unlink(base);
	unlink(other);
	rmdir(dir);
}
TestSuite(qcow2, .init = setup, .fini = teardown);

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

static struct block *open_as(const char *file, const char *format, bool readonly)
{
	struct block_options o = { .file = file, .format = format, .readonly = readonly };
	struct block *b = block_open(&o, &e);
	cr_assert(b, "%s", e.msg);
	return b;
}

static void make(const char *file, uint32_t cluster, const char *backing, unsigned refcount_bits, int version)
{
	struct qcow2_create c = QCOW2_CREATE_DEFAULT;
	c.size = DISK;
	c.cluster_size = cluster;
	c.backing = backing;
	c.backing_format = backing ? "qcow2" : NULL;
	c.refcount_bits = refcount_bits;
	c.version = version;
	cr_assert(qcow2_create(file, &c, &e), "%s", e.msg);
}

/* Run qemu-img, if it is there. -1: it is not. */
static int qemu_img(const char *args)
{
	char command[512];
	if (system("command -v qemu-img >/dev/null"))
		return -1;
	snprintf(command, sizeof(command), "cd %s && qemu-img %s >%s/log 2>&1", dir, args, dir);
	int status = system(command);
	if (status) {
		snprintf(command, sizeof(command), "head -20 %s/log >&2", dir);
		cr_expect_eq(system(command), 0);
	}
	snprintf(command, sizeof(command), "%s/log", dir);
	unlink(command);
	return WEXITSTATUS(status);
}

static void check_clean(const char *file)
{
	char args[128];
	struct qcow2_check c = { 0 };
	struct block *b = open_as(file, "qcow2", true);
	cr_assert(qcow2_check(b, QCOW2_FIX_NONE, &c, &e), "%s", e.msg);
	cr_expect_eq(c.corruptions + c.leaks + c.errors, 0, "%s: %d corruptions, %d leaks", file, (int)c.corruptions,
		     (int)c.leaks);
	block_close(b);
	snprintf(args, sizeof(args), "check -f qcow2 %s", file);
	int r = qemu_img(args);
	cr_expect(r <= 0, "qemu-img check: %d", r);
}

static void check_contents(struct block *b)
{
	memset(buf, 0xa5, DISK);
	cr_assert(block_read(b, 0, buf, NSECTORS, &e), "%s", e.msg);
	for (uint32_t i = 0; i < DISK; i++)
		if (buf[i] != model[i])
			cr_assert_fail("byte 0x%x is %02x, should be %02x (seed %llx)", i, buf[i], model[i],
				       (unsigned long long)seed);
}

static void write_random(struct block *b)
{
	uint32_t at = rnd(NSECTORS), n = 1 + rnd(rnd(4) ? 9 : 400), what = rnd(10);
	n = (uint32_t)min_u64(n, NSECTORS - at);
	uint8_t *p = model + (size_t)at * SECTOR;
	if (what == 0) {
		memset(p, 0, (size_t)n * SECTOR);
		cr_assert(block_write_zeroes(b, at, n, true, &e), "%s", e.msg);
		return;
	}
	for (size_t i = 0; i < (size_t)n * SECTOR; i++)
		p[i] = (uint8_t)(i % 61 ? (uint32_t)p[i - 1] + 1 : rnd(256));
	cr_assert(block_write(b, at, p, n, &e), "%s", e.msg);
	if (what == 1)
		cr_assert(block_flush(b, &e), "%s", e.msg);
}

static void write_some(const char *file, int count)
{
	struct block *b = open_as(file, "qcow2", false);
	while (count--)
		write_random(b);
	check_contents(b);
	block_close(b);
	b = open_as(file, NULL, true);
	check_contents(b);
	block_close(b);
}

struct shape {
	uint32_t cluster;
	unsigned refcount_bits;
	int version;
};
static struct shape shapes[] = {
	{ 512, 16, 3 }, { 512, 64, 3 }, { 512, 1, 3 }, { 1024, 32, 3 }, { 4096, 2, 3 }, { 4096, 16, 2 },
	{ 65536, 16, 3 }, { 65536, 4, 3 }, { 65536, 8, 3 }, { 65536, 16, 2 }, { 2u << 20, 16, 3 }, { 2u << 20, 64, 3 },
};
ParameterizedTestParameters(qcow2, random_writes_read_back)
{
	return cr_make_param_array(struct shape, shapes, ARRAY_LEN(shapes));
}
ParameterizedTest(struct shape *s, qcow2, random_writes_read_back)
{
	seed = 0x1234567 + s->cluster + s->refcount_bits;
	make(image, s->cluster, NULL, s->refcount_bits, s->version);
	check_clean(image);
	write_some(image, 150);
	check_clean(image);
}

ParameterizedTestParameters(qcow2, snapshots_keep_what_was)
{
	return cr_make_param_array(struct shape, shapes, ARRAY_LEN(shapes));
}
ParameterizedTest(struct shape *s, qcow2, snapshots_keep_what_was)
{
	static uint8_t kept[DISK];
	if (s->refcount_bits < 4)	/* so many references cannot be counted */
		return;
	seed = 0x765 + s->cluster;
	make(image, s->cluster, NULL, s->refcount_bits, s->version);
	write_some(image, 40);
	struct block *b = open_as(image, NULL, false);
	cr_assert(qcow2_snapshot_create(b, "first", &e), "%s", e.msg);
	memcpy(kept, model, DISK);
	for (int i = 0; i < 40; i++)
		write_random(b);
	cr_assert(qcow2_snapshot_create(b, "second", &e), "%s", e.msg);
	cr_assert_not(qcow2_snapshot_create(b, "second", &e));
	for (int i = 0; i < 10; i++)
		write_random(b);
	check_contents(b);
	block_close(b);
	check_clean(image);
	b = open_as(image, NULL, false);
	cr_assert_str_eq(qcow2_snapshot_get(b, 1)->name, "second");
	cr_assert(qcow2_snapshot_apply(b, "first", &e), "%s", e.msg);
	memcpy(model, kept, DISK);
	check_contents(b);
	block_close(b);
	check_clean(image);
	write_some(image, 20);
	b = open_as(image, NULL, false);
	cr_assert(qcow2_snapshot_delete(b, "1", &e), "%s", e.msg);
	check_contents(b);
	cr_assert(qcow2_snapshot_delete(b, "second", &e), "%s", e.msg);
	cr_assert_not(qcow2_snapshot_delete(b, "second", &e));
	block_close(b);
	check_clean(image);
	write_some(image, 20);
	check_clean(image);
}

/* ---- chains ---- */

Test(qcow2, changes_over_a_backing_image_leave_it_alone)
{
	seed = 99;
	make(base, 4096, NULL, 16, 3);
	write_some(base, 60);
	static uint8_t below[DISK];
	memcpy(below, model, DISK);
	make(image, 65536, "base", 16, 3);
	write_some(image, 60);
	check_clean(image);
	check_clean(base);
	memcpy(model, below, DISK);
	struct block *b = open_as(base, NULL, true);
	check_contents(b);
	block_close(b);
}

static bool is_free(const char *file)
{
	struct block_options o = { .file = file };
	struct block *b = block_open(&o, &e);

	block_close(b);
	return b;
}

/* The backing image, too: nobody writes it once the machine runs here. */
Test(qcow2, an_image_that_is_taken_back_has_its_chain_to_itself)
{
	struct block_options o = { .file = image, .let_go = true };
	struct block *b;

	make(base, 65536, NULL, 16, 3);
	make(image, 65536, "base", 16, 3);
	b = block_open(&o, &e);
	cr_assert(b, "%s", e.msg);
	cr_expect(is_free(image));
	for (int i = 0; i < 2; i++) {
		cr_assert(block_take_back(&b, &e), "%s", e.msg);
		cr_expect_not(is_free(image));
		cr_expect_not(is_free(base));
		cr_assert(block_let_go(&b, &e), "%s", e.msg);
		cr_expect(is_free(image));
	}
	block_close(b);
	cr_expect(is_free(base));
}

Test(qcow2, a_chain_that_loops_is_an_error)
{
	make(image, 65536, "image", 16, 3);
	struct block_options o = { .file = image, .readonly = true };
	cr_assert_null(block_open(&o, &e));
	cr_assert(strstr(e.msg, "backing"), "%s", e.msg);
}

Test(qcow2, a_missing_backing_image_is_named)
{
	make(image, 65536, "nowhere", 16, 3);
	struct block_options o = { .file = image };
	cr_assert_null(block_open(&o, &e));
	cr_assert(strstr(e.msg, "nowhere"), "%s", e.msg);
}

Test(qcow2, a_raw_disk_does_not_become_qcow2)
{
	static const uint8_t magic[SECTOR] = { 'Q', 'F', 'I', 0xfb, 0, 0, 0, 3 };
	int fd = open(image, O_CREAT | O_RDWR, 0600);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	struct block *b = open_as(image, NULL, false);
	cr_assert_not(block_write(b, 0, magic, 1, &e));
	cr_assert(block_write(b, 1, magic, 1, &e));
	block_close(b);
	b = open_as(image, "raw", false);
	cr_assert(block_write(b, 0, magic, 1, &e));
	block_close(b);
}

Test(qcow2, a_transfer_may_be_longer_than_four_gigabytes, .timeout = 20)
{
	enum { PIECE = 4 << 20, PIECES = 1024 };
	struct qcow2_create c = QCOW2_CREATE_DEFAULT;
	struct iovec v[PIECES];
	uint8_t *to = malloc(PIECE);

	c.size = 8ull << 30;
	cr_assert(qcow2_create(image, &c, &e), "%s", e.msg);
	struct block *b = open_as(image, "qcow2", false);
	memset(to, 0xff, PIECE);
	for (int i = 0; i < PIECES; i++)
		v[i] = (struct iovec){ to, PIECE };
	cr_assert(block_readv(b, 0, v, PIECES, (uint32_t)(PIECE / SECTOR * PIECES), &e), "%s", e.msg);
	cr_assert_eq(to[PIECE - 1], 0);
	block_close(b);
	free(to);
}

Test(qcow2, compressed_clusters_read_back_and_can_be_written)
{
	seed = 4;
	for (uint32_t i = 0; i < DISK; i++)
		model[i] = (uint8_t)(i >> 9 ^ i % 7);
	make(image, 65536, NULL, 16, 3);
	struct block *b = open_as(image, NULL, false);
	for (uint32_t at = 0; at < NSECTORS; at += 128)
		cr_assert(qcow2_write_compressed(b, at, model + (size_t)at * SECTOR, 128, &e), "%s", e.msg);
	check_contents(b);
	block_close(b);
	check_clean(image);
	struct stat st;
	cr_assert_eq(stat(image, &st), 0);
	cr_expect_lt(st.st_size, DISK / 3);
	write_some(image, 60);
	check_clean(image);
}

Test(qcow2, one_bit_counts_refuse_snapshots)
{
	make(image, 4096, NULL, 1, 3);
	struct block *b = open_as(image, NULL, false);
	cr_assert_not(qcow2_snapshot_create(b, "s", &e));
	block_close(b);
	check_clean(image);
}

Test(qcow2, size_changes_keep_contents)
{
	seed = 5;
	make(image, 512, NULL, 16, 3);
	write_some(image, 30);
	struct block *b = open_as(image, NULL, false);
	cr_assert(block_resize(b, 40 * NSECTORS, &e), "%s", e.msg);
	check_contents(b);
	cr_assert(block_read(b, 39 * NSECTORS, buf, 1, &e));
	cr_assert(block_resize(b, 8, &e), "%s", e.msg);
	cr_assert(block_resize(b, NSECTORS, &e), "%s", e.msg);
	memset(model + 8 * SECTOR, 0, DISK - 8 * SECTOR);
	check_contents(b);
	block_close(b);
	check_clean(image);
}

Test(qcow2, discarded_clusters_are_used_again)
{
	struct stat st;
	make(image, 65536, NULL, 16, 3);
	struct block *b = open_as(image, NULL, false);
	memset(buf, 0x77, DISK);
	for (int i = 0; i < 5; i++) {
		cr_assert(block_write(b, 0, buf, NSECTORS, &e), "%s", e.msg);
		cr_assert(block_discard(b, 0, NSECTORS, &e), "%s", e.msg);
		cr_assert(block_flush(b, &e));
	}
	check_contents(b);			/* zeros */
	block_close(b);
	check_clean(image);
	cr_assert_eq(stat(image, &st), 0);
	cr_expect_lt(st.st_size, 2 * DISK);
}

Test(qcow2, an_image_that_was_not_closed_is_repaired)
{
	struct qcow2_create c = { .size = DISK, .version = 3, .cluster_size = 4096, .refcount_bits = 16,
				  .lazy_refcounts = true };
	struct qcow2_info i;
	cr_assert(qcow2_create(image, &c, &e), "%s", e.msg);
	seed = 8;
	uint64_t first = seed;
	pid_t child = fork();
	if (!child) {
		struct block *b = open_as(image, NULL, false);
		for (int k = 0; k < 40; k++)
			write_random(b);
		_exit(!block_flush(b, &e));
	}
	int status;
	waitpid(child, &status, 0);
	cr_assert_eq(status, 0);
	struct block *b = open_as(image, NULL, true);
	cr_assert(qcow2_info(b, &i, &e));
	cr_assert(i.dirty);
	block_close(b);
	b = open_as(image, NULL, false);
	cr_assert(qcow2_info(b, &i, &e));
	cr_assert_not(i.dirty);
	block_close(b);
	make(other, 4096, NULL, 16, 3);		/* the same operations, for the model */
	seed = first;
	write_some(other, 40);
	b = open_as(image, NULL, true);
	check_contents(b);
	block_close(b);
	check_clean(image);
}

/* Blocks of 512 bytes that a file has on the host. */
static long host_blocks(const char *file)
{
	struct stat st;
	cr_assert_eq(stat(file, &st), 0);
	return (long)st.st_blocks;
}

Test(qcow2, what_is_discarded_is_given_back_to_the_host)
{
	make(image, 65536, NULL, 16, 3);
	struct block *b = open_as(image, NULL, false);
	memset(buf, 1, DISK);
	cr_assert(block_write(b, 0, buf, NSECTORS, &e) && block_flush(b, &e), "%s", e.msg);
	long full = host_blocks(image);
	cr_assert(block_discard(b, 0, NSECTORS, &e) && block_flush(b, &e), "%s", e.msg);
	block_close(b);
	cr_assert_lt(host_blocks(image), full - (long)NSECTORS / 2);
	struct block_options o = { .file = image, .format = "qcow2", .no_discard = true };
	b = block_open(&o, &e);
	cr_assert(b && block_write(b, 0, buf, NSECTORS, &e) && block_flush(b, &e), "%s", e.msg);
	full = host_blocks(image);
	cr_assert(block_discard(b, 0, NSECTORS, &e) && block_flush(b, &e), "%s", e.msg);
	cr_assert_eq(host_blocks(image), full);		/* discard=ignore */
	block_close(b);
}

/* ---- hostile images ---- */

static void use(struct block *b)
{
	struct qcow2_info i;
	uint32_t n = (uint32_t)min_u64(block_sectors(b), NSECTORS);
	bool ignored = block_read(b, 0, buf, n, &e);
	(void)ignored;
	cr_assert(qcow2_info(b, &i, &e));
	for (int k = 0; k < 12 && n > 40; k++) {
		uint32_t at = rnd(n - 40);
		if (!(k % 3 ? block_write(b, at, buf, 40, &e) : block_discard(b, at, 40, &e)))
			break;
	}
	switch (rnd(5)) {
	case 0: qcow2_snapshot_create(b, "new", &e); break;
	case 1: qcow2_snapshot_apply(b, "s", &e); break;
	case 2: qcow2_snapshot_delete(b, "s", &e); break;
	case 3: block_flush(b, &e); break;
	}
}

/* One to four damaged places in the tables, where the structure is. */
static void damage(const uint8_t *good, size_t n, size_t tables)
{
	static const uint8_t evil[] = { 0x00, 0x01, 0x02, 0x7f, 0x80, 0xff };
	int fd = open(other, O_CREAT | O_TRUNC | O_RDWR, 0600);
	cr_assert_eq(write(fd, good, n), (ssize_t)n);
	for (uint32_t i = 1 + rnd(4); i; i--) {
		uint8_t v = rnd(2) ? evil[rnd(sizeof(evil))] : (uint8_t)rnd(256);
		off_t at = rnd(3) ? rnd(112) : rnd((uint32_t)tables);
		cr_assert_eq(pwrite(fd, &v, 1, at), 1);
	}
	close(fd);
}

Test(qcow2, damaged_images_are_refused_or_used_without_harm, .timeout = 60)
{
	static uint8_t good[4u << 20];
	struct qcow2_check c;

	seed = 2024;
	make(image, 1024, NULL, 16, 3);
	struct block *b = open_as(image, NULL, false);
	for (int i = 0; i < 6; i++)
		write_random(b);
	cr_assert(qcow2_snapshot_create(b, "s", &e), "%s", e.msg);
	cr_assert(qcow2_write_compressed(b, 10, model + 10 * SECTOR, 2, &e), "%s", e.msg);
	block_close(b);
	int fd = open(image, O_RDONLY);
	ssize_t n = read(fd, good, sizeof(good));
	close(fd);
	int opened = 0;
	for (int i = 0; i < 80; i++) {
		damage(good, (size_t)n, 16384);
		struct block_options o = { .file = other, .format = "qcow2", .no_flush = true };
		if ((b = block_open(&o, &e))) {
			opened++;
			use(b);
			block_close(b);
		}
		o.repairing = true;
		o.no_flush = true;
		if ((b = block_open(&o, &e))) {
			c = (struct qcow2_check){ 0 };
			qcow2_check(b, i % 2 ? QCOW2_FIX_ALL : QCOW2_FIX_NONE, &c, &e);
			block_close(b);
		}
	}
	cr_expect_gt(opened, 10);
}

Test(qcow2, tables_are_never_written_as_data)
{
	struct qcow2_info i;
	uint8_t entry[8] = { 0x80, 0, 0, 0, 0, 1, 0, 0 };	/* copied, in place at 0x10000: the refcount table */
	seed = 3;
	make(image, 65536, NULL, 16, 3);
	struct block *b = open_as(image, NULL, false);
	memset(buf, 1, SECTOR);
	cr_assert(block_write(b, 0, buf, 1, &e), "%s", e.msg);
	block_close(b);
	int fd = open(image, O_RDWR);
	uint8_t l1[8], h[8];
	cr_assert_eq(pread(fd, h, 8, 40), 8);
	cr_assert_eq(pread(fd, l1, 8, h[5] << 16), 8);
	cr_assert_eq(pwrite(fd, entry, 8, l1[5] << 16), 8);
	close(fd);
	b = open_as(image, NULL, false);
	cr_assert_not(block_write(b, 0, buf, 1, &e));
	cr_assert(strstr(e.msg, "corrupt"), "%s", e.msg);
	cr_assert_not(block_write(b, 2000, buf, 1, &e));
	block_close(b);
	struct block_options o = { .file = image };
	cr_assert_null(block_open(&o, &e));
	b = open_as(image, NULL, true);
	cr_assert(qcow2_info(b, &i, &e));
	cr_assert(i.corrupt);
	block_close(b);
}

/* ---- a host that is full ---- */

#define WIDE_SECTORS	(24u << 11)
#define CHUNK		8u

static void fill_chunk(uint64_t at, uint8_t *p)
{
	for (uint32_t i = 0; i < CHUNK * SECTOR; i++)
		p[i] = (uint8_t)(at * 7 + i / SECTOR + i);
}

/* The file may have that many bytes; 0: any. */
static void set_limit(rlim_t bytes)
{
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ bytes ? bytes : RLIM_INFINITY, RLIM_INFINITY });
}

/* Chunks from..to, each again where the host was full; how often it was. */
static int write_chunks(struct block *b, uint64_t from, uint64_t to)
{
	uint8_t p[CHUNK * SECTOR];
	int full = 0;

	for (uint64_t at = from; at < to; at += CHUNK) {
		fill_chunk(at, p);
		if (block_write(b, at, p, CHUNK, &e))
			continue;
		cr_assert(full++ < 5, "%s", e.msg);
		if (full == 3)			/* it fails more than once before there is room */
			set_limit(0);
		at -= CHUNK;
	}
	return full;
}

static void expect_chunks(struct block *b, uint64_t to)
{
	uint8_t p[CHUNK * SECTOR], got[CHUNK * SECTOR];

	for (uint64_t at = 0; at < to; at += CHUNK) {
		fill_chunk(at, p);
		cr_assert(block_read(b, at, got, CHUNK, &e), "%s", e.msg);
		cr_assert_arr_eq(p, got, sizeof(p), "sector %llu", (unsigned long long)at);
	}
}

static void expect_no_corruption(uint64_t sectors)
{
	struct qcow2_check c = { 0 };
	struct block *b = open_as(image, "qcow2", true);

	expect_chunks(b, sectors);
	cr_assert(qcow2_check(b, QCOW2_FIX_NONE, &c, &e), "%s", e.msg);
	cr_expect_eq(c.corruptions + c.errors, 0, "%d corruptions", (int)c.corruptions);
	block_close(b);
}

static void make_wide(void)
{
	struct qcow2_create c = QCOW2_CREATE_DEFAULT;

	c.size = (uint64_t)WIDE_SECTORS * SECTOR;
	c.cluster_size = 512;
	cr_assert(qcow2_create(image, &c, &e), "%s", e.msg);
	signal(SIGXFSZ, SIG_IGN);
}

Test(qcow2, a_full_host_harms_no_counts, .timeout = 60)
{
	const uint64_t all = 4096;

	for (rlim_t limit = 150016; limit < 2300000; limit += 150 * SECTOR) {
		make_wide();
		struct block *b = open_as(image, "qcow2", false);
		set_limit(limit);
		write_chunks(b, 0, all);
		set_limit(0);
		block_close(b);
		expect_no_corruption(all);
	}
}

/* The table of refcount blocks has no entry left when the file has eight megabytes. */
Test(qcow2, a_full_host_harms_no_larger_table, .timeout = 60)
{
	const uint64_t before = 15360, all = 16640;
	char command[200];
	int full = 0;

	make_wide();
	struct block *b = open_as(image, "qcow2", false);
	write_chunks(b, 0, before);
	block_close(b);
	snprintf(command, sizeof(command), "cp %s %s", image, base);
	cr_assert_eq(system(command), 0);
	for (rlim_t limit = (8u << 20) - 10 * SECTOR; limit < (8u << 20) + 60 * SECTOR; limit += 3 * SECTOR) {
		snprintf(command, sizeof(command), "cp %s %s", base, image);
		cr_assert_eq(system(command), 0);
		b = open_as(image, "qcow2", false);
		set_limit(limit);
		full += write_chunks(b, before, all);
		set_limit(0);
		block_close(b);
		expect_no_corruption(all);
	}
	cr_assert_gt(full, 0);
}

Test(qcow2, a_full_host_harms_no_larger_disk, .timeout = 60)
{
	const uint64_t all = 4096, grown = 4ull * WIDE_SECTORS;

	for (rlim_t more = 0; more < 40000; more += 3800) {
		struct stat st;

		make_wide();
		struct block *b = open_as(image, "qcow2", false);
		write_chunks(b, 0, all / 2);
		cr_assert(block_flush(b, &e));
		stat(image, &st);
		set_limit((rlim_t)st.st_size + more);
		block_resize(b, grown, &e);
		set_limit(0);
		write_chunks(b, all / 2, all);
		block_close(b);
		expect_no_corruption(all);
	}
}
