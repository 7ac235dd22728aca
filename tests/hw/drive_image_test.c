/*
 * Many requests at once on each kind of image: what is read is what was written by the
 * requests submitted before, and the image is sound afterwards.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/backend/qcow2.h"
#include "tests/bench.h"

#define SECTORS		4096u
#define MOST		48u
#define IN_FLIGHT	24
#define OPS		3000

static struct bench b;
static struct drive *d;
static char path[2][48];
static uint8_t *model;
static uint64_t seed;
static int in_flight;
static const char *kind_name;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

/* ---- images ---- */

static struct kind {
	char name[24];
	uint32_t cluster;		/* 0: raw */
	bool backing, compressed, lazy, snapshot, direct, zeroes, cor;
} kinds[] = {
	{ "raw" }, { "raw direct", .direct = true }, { "raw overlay", .snapshot = true },
	{ "qcow2", 65536 }, { "qcow2 512", 512 }, { "qcow2 2M", 2 << 20 }, { "qcow2 lazy", 4096, .lazy = true },
	{ "qcow2 backing", 65536, .backing = true }, { "qcow2 backing 1k", 1024, .backing = true },
	{ "qcow2 compressed", 4096, .compressed = true }, { "qcow2 direct", 16384, .direct = true },
	{ "qcow2 zeroes", 4096, .zeroes = true }, { "qcow2 copy on read", 4096, .backing = true, .cor = true },
	{ "qcow2 overlay", 65536, .backing = true, .snapshot = true },
};

static void must(bool ok)
{
	cr_assert(ok, "%s", b.err.msg);
}

static struct block *open_plain(const char *file, const char *format)
{
	struct block *k = block_open(&(struct block_options){ .file = file, .format = format, .no_flush = true }, &b.err);
	must(k);
	return k;
}

static void fill_image(const char *file, const char *format, bool compressed, uint32_t cluster)
{
	struct block *k = open_plain(file, format);
	uint32_t step = cluster / SECTOR;

	for (uint32_t i = 0; i < SECTORS * SECTOR; i++)
		model[i] = (uint8_t)(i / SECTOR * 7 + i % 13);
	for (uint32_t at = 0; at < SECTORS; at += step)
		must((compressed ? qcow2_write_compressed : block_write)(k, at, model + at * SECTOR, step, &b.err));
	block_close(k);
}

static void make_image(const struct kind *k)
{
	struct qcow2_create c = QCOW2_CREATE_DEFAULT;

	strcpy(path[0], "/var/tmp/rhea-many-XXXXXX");
	strcpy(path[1], "/var/tmp/rhea-base-XXXXXX");
	for (int i = 0; i < 2; i++) {
		int fd = mkstemp(path[i]);
		cr_assert(fd >= 0 && !ftruncate(fd, SECTORS * SECTOR));
		close(fd);
	}
	model = calloc(SECTORS, SECTOR);
	if (k->backing)
		fill_image(path[1], "raw", false, 4096);
	if (!k->cluster)
		return;
	c.cluster_size = k->cluster;
	c.size = SECTORS * SECTOR;
	c.lazy_refcounts = k->lazy;
	c.backing = k->backing ? path[1] : NULL;
	c.backing_format = "raw";
	must(qcow2_create(path[0], &c, &b.err));
	if (k->compressed)
		fill_image(path[0], "qcow2", true, k->cluster);
}

/* ---- requests ---- */

struct mine {
	struct drive_req r;
	struct iovec v[3];
	uint8_t *buf, *expect;
	bool over;
};

static void done(struct drive_req *r)
{
	struct mine *q = (struct mine *)r;

	cr_assert(r->ok, "%s", r->err.msg);
	if (r->op == DRIVE_READ)
		cr_assert_arr_eq(q->buf, q->expect, (size_t)r->n * SECTOR, "%s: sector %llu, %u of them",
				 kind_name, (unsigned long long)r->at, r->n);
	free(q->buf);
	free(q->expect);
	q->buf = q->expect = NULL;
	q->over = true;
	in_flight--;
}

/* In three pieces at odd places. */
static void cut(struct mine *q, size_t n)
{
	size_t a = rnd((uint32_t)n), k = a + rnd((uint32_t)(n - a));

	q->v[0] = (struct iovec){ q->buf, a };
	q->v[1] = (struct iovec){ q->buf + a, k - a };
	q->v[2] = (struct iovec){ q->buf + k, n - k };
	q->r.iov = q->v;
	q->r.niov = 3;
}

static void go(struct mine *q)
{
	static const enum drive_op ops[] = { DRIVE_READ, DRIVE_READ, DRIVE_WRITE, DRIVE_WRITE, DRIVE_WRITE, DRIVE_ZERO };
	uint32_t hot = rnd(4) ? 400 : SECTORS - MOST, at = rnd(hot), n = 1 + rnd(rnd(4) ? 8 : MOST);
	size_t bytes = (size_t)n * SECTOR;
	uint8_t *there = model + (size_t)at * SECTOR;

	*q = (struct mine){ .r = { .op = rnd(40) ? ops[rnd(6)] : DRIVE_FLUSH, .at = at, .n = n, .unmap = rnd(2), .done = done } };
	q->buf = malloc(bytes);
	q->expect = malloc(bytes);
	memset(q->buf, rnd(4) ? (int)rnd(256) : 0, bytes);
	cut(q, bytes);
	if (q->r.op == DRIVE_WRITE)
		memcpy(there, q->buf, bytes);
	if (q->r.op == DRIVE_ZERO)
		memset(there, 0, bytes);
	memcpy(q->expect, there, bytes);
	in_flight++;
	drive_submit(d, &q->r);
}

ParameterizedTestParameters(drive_image, many_at_once)
{
	return cr_make_param_array(struct kind, kinds, ARRAY_LEN(kinds));
}

ParameterizedTest(struct kind *k, drive_image, many_at_once, .timeout = 60)
{
	static struct mine pool[IN_FLIGHT];
	const char *given = getenv("RHEA_TEST_SEED");
	struct drive_options o = { .id = "d" };

	seed = given ? strtoull(given, NULL, 0) : 0x1234567;
	printf("RHEA_TEST_SEED=%llu\n", (unsigned long long)seed);
	kind_name = k->name;
	bench_machine(&b);
	make_image(k);
	o.image = (struct block_options){ .file = path[0], .format = k->cluster ? "qcow2" : "raw", .no_flush = !k->lazy,
					  .snapshot = k->snapshot, .direct = k->direct, .copy_on_read = k->cor,
					  .detect_zeroes = k->zeroes ? BLOCK_ZEROES_UNMAP : BLOCK_ZEROES_OFF };
	must((d = drive_new(b.m, &o, &b.err)));
	for (int i = 0; i < IN_FLIGHT; i++)
		pool[i].over = true;
	for (int left = OPS; left;) {
		int burst = 1 + (int)rnd(IN_FLIGHT);
		for (int i = 0; i < IN_FLIGHT && burst && left; i++)
			if (pool[i].over) {
				go(&pool[i]);
				burst--;
				left--;
			}
		drive_drain(b.m, d);
		cr_assert_eq(in_flight, 0);
	}
	drive_free_all(b.m);
	bench_close(&b);
	if (k->cluster && !k->snapshot) {
		struct qcow2_check c = { 0 };
		struct block *i = open_plain(path[0], "qcow2");
		uint8_t *all = malloc(SECTORS * SECTOR);
		must(block_read(i, 0, all, SECTORS, &b.err));
		cr_assert_arr_eq(all, model, SECTORS * SECTOR);
		must(qcow2_check(i, QCOW2_FIX_NONE, &c, &b.err));
		cr_assert_eq(c.corruptions + c.errors, 0);
		cr_assert_eq(c.leaks, 0);
		block_close(i);
	}
	unlink(path[0]);
	unlink(path[1]);
}
