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
	struct block_options o = { .file = file, .format = format, .readonly = readonly, .cache = BLOCK_UNSAFE };
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
		cr_assert(block_write_zeroes(b, at, n, &e), "%s", e.msg);
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
ParameterizedTest(struct shape *s, qcow2, random_writes_read_back, .init = setup, .fini = teardown)
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
ParameterizedTest(struct shape *s, qcow2, snapshots_keep_what_was, .init = setup, .fini = teardown)
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
