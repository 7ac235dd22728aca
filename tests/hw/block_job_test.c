/*
 * Jobs on a chain of three images while a guest writes and reads: the disk is always what the
 * guest has written, before, while and after images change places; a copy is of one moment.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/block_job.h"
#include "hw/backend/qcow2.h"
#include "hw/core/loop.h"
#include "tests/bench.h"

#define SECTORS		8192u
#define MOST		64u
#define DEPTH		3

static struct bench b;
static struct loop *l;
static struct drive *d;
static char dir[] = "/var/tmp/rhea-jobs-XXXXXX", path[DEPTH + 1][64];
static uint8_t *model, *frozen;
static uint64_t seed = 0x1234567;
static struct job {
	struct block_job *j;
	bool ready, over, cancelled;
	struct err err;
} job;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

static void must(bool ok)
{
	cr_assert(ok, "%s", b.err.msg);
}

/* ---- the chain ---- */

static void fill(struct block *k, uint32_t pieces)
{
	for (uint32_t i = 0; i < pieces; i++) {
		uint32_t n = 1 + rnd(MOST), at = rnd(SECTORS - n);
		uint8_t *p = model + (size_t)at * SECTOR;

		memset(p, rnd(5) ? 1 + (int)rnd(255) : 0, (size_t)n * SECTOR);
		must(rnd(5) ? block_write(k, at, p, n, &b.err)
			    : (memset(p, 0, (size_t)n * SECTOR), block_write_zeroes(k, at, n, true, &b.err)));
	}
}

static void make_chain(uint32_t cluster)
{
	must(mkdtemp(dir));
	model = calloc(SECTORS, SECTOR);
	frozen = calloc(SECTORS, SECTOR);
	for (int i = 0; i <= DEPTH; i++) {
		struct qcow2_create c = QCOW2_CREATE_DEFAULT;

		snprintf(path[i], sizeof(path[i]), "%s/%d", dir, i);
		c.size = SECTORS * SECTOR;
		c.cluster_size = i == 1 ? cluster : c.cluster_size;
		c.backing = i && i < DEPTH ? path[i - 1] : NULL;
		c.backing_format = "qcow2";
		must(qcow2_create(path[i], &c, &b.err));
		if (i == DEPTH)
			break;
		struct block *k = block_open(&(struct block_options){ .file = path[i], .format = "qcow2" }, &b.err);
		must(k);
		fill(k, 60);
		block_close(k);
	}
}

/* ---- the guest ---- */

struct mine {
	struct drive_req r;
	struct iovec v;
	uint8_t *buf, *expect;
	bool over;
};

static void done(struct drive_req *r)
{
	struct mine *q = (struct mine *)r;

	cr_assert(r->ok, "%s", r->err.msg);
	if (r->op == DRIVE_READ)
		cr_assert_arr_eq(q->buf, q->expect, (size_t)r->n * SECTOR, "sector %llu", (unsigned long long)r->at);
	q->over = true;
}

static void go(struct mine *q)
{
	static const enum drive_op ops[] = { DRIVE_READ, DRIVE_READ, DRIVE_WRITE, DRIVE_WRITE, DRIVE_ZERO };
	uint32_t n = 1 + rnd(MOST), at = rnd(SECTORS - n);
	size_t bytes = (size_t)n * SECTOR;
	uint8_t *there = model + (size_t)at * SECTOR;

	free(q->buf);
	free(q->expect);
	*q = (struct mine){ .r = { .op = ops[rnd(5)], .at = at, .n = n, .unmap = rnd(2), .done = done } };
	q->buf = malloc(bytes);
	q->expect = malloc(bytes);
	memset(q->buf, (int)rnd(256), bytes);
	q->v = (struct iovec){ q->buf, bytes };
	q->r.iov = &q->v;
	q->r.niov = 1;
	if (q->r.op == DRIVE_WRITE)
		memcpy(there, q->buf, bytes);
	if (q->r.op == DRIVE_ZERO)
		memset(there, 0, bytes);
	memcpy(q->expect, there, bytes);
	drive_submit(d, &q->r);
}

static void loop_works(void)
{
	machine_unlock(b.m);
	loop_step(l, NS_PER_MS);
	machine_lock(b.m);
}

/* Some requests at once, and what the loop has to do meanwhile. */
static void guest_works(void)
{
	static struct mine pool[8];
	static bool used;

	for (int i = 0; i < 8; i++)
		if (!used || pool[i].over)
			go(&pool[i]);
	used = true;
	loop_works();
}

/* ---- jobs ---- */

static void ready(void *opaque)
{
	((struct job *)opaque)->ready = true;
}

static void over(void *opaque, bool cancelled, const struct err *e)
{
	struct job *j = opaque;

	j->over = true;
	j->cancelled = cancelled;
	j->err = *e;
}

static void begin(struct block_job_spec s)
{
	s.drive = d;
	s.ready = ready;
	s.done = over;
	s.opaque = &job;
	job = (struct job){ .over = false };
	must((job.j = block_job_start(&s, &b.err)));
}

/* A guest that writes faster than a job follows has to rest some time. */
static void until(const bool *flag)
{
	for (int i = 0; i < 30000 && !*flag; i++)
		(i < 500 ? guest_works : loop_works)();
	cr_assert(*flag, "the job does not come to an end");
}

static void expect_image(const char *file, const uint8_t *what)
{
	struct block *k = block_open(&(struct block_options){ .file = file, .format = "qcow2" }, &b.err);
	uint8_t *all = malloc(SECTORS * SECTOR);
	struct qcow2_check c = { 0 };

	must(k);
	must(block_read(k, 0, all, SECTORS, &b.err));
	for (uint32_t i = 0; i < SECTORS; i++)
		cr_assert_arr_eq(all + i * SECTOR, what + i * SECTOR, SECTOR, "%s: sector %u", file, i);
	must(qcow2_check(k, QCOW2_FIX_NONE, &c, &b.err));
	cr_assert_eq(c.corruptions + c.errors + c.leaks, 0, "%s", file);
	block_close(k);
	free(all);
}

static int depth(void)
{
	int n = 0;

	for (struct block *k = drive_image(d); k; k = k->backing)
		n++;
	return n;
}

static void setup(void)
{
	bench_machine(&b);
	machine_unlock(b.m);
	must((l = loop_new(b.m, &b.err)));
	machine_lock(b.m);
	make_chain(rnd(2) ? 2 << 20 : 4096);
	must((d = drive_new(b.m, &(struct drive_options){ .id = "d", .image = { .file = path[2], .format = "qcow2" } }, &b.err)));
	for (int i = 0; i < 5; i++)
		guest_works();
}

/* The disk is what the guest wrote, and the file that has it says so, too. */
static void teardown(void)
{
	char line[100];

	for (int i = 0; i < 20; i++)
		guest_works();
	drive_drain(b.m, d);
	snprintf(line, sizeof(line), "%s", block_file(drive_image(d)));
	drive_free_all(b.m);
	expect_image(line, model);
	bench_close(&b);
	loop_free(l);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	cr_assert_eq(system(line), 0);
}

TestSuite(block_job, .init = setup, .fini = teardown, .timeout = 60);

Test(block_job, what_is_in_the_middle_goes_down)
{
	struct block *top = drive_image(d);

	begin((struct block_job_spec){ .kind = BLOCK_COMMIT, .top = top->backing, .base = top->backing->backing });
	until(&job.over);
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
	cr_expect_eq(depth(), 2);
	cr_expect(block_readonly(drive_image(d)->backing), "nobody writes the base now");
}

Test(block_job, what_the_guest_writes_goes_down_and_the_base_takes_over)
{
	begin((struct block_job_spec){ .kind = BLOCK_COMMIT, .top = drive_image(d), .base = drive_image(d)->backing->backing,
				       .rate = 1 << 16 });
	cr_assert_not(block_job_complete(job.j, &b.err), "it has only begun");
	block_job_set_rate(job.j, 0);
	until(&job.ready);
	for (int i = 0; i < 50; i++)
		guest_works();
	must(block_job_complete(job.j, &b.err));
	until(&job.over);
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
	cr_expect_eq(depth(), 1);
	cr_assert_str_eq(block_file(drive_image(d)), path[0]);
}

Test(block_job, cancelled_it_changes_nothing)
{
	begin((struct block_job_spec){ .kind = BLOCK_COMMIT, .top = drive_image(d), .base = drive_image(d)->backing, .rate = 1 << 20 });
	for (int i = 0; i < 20; i++)
		guest_works();
	block_job_cancel(job.j, true);
	until(&job.over);
	cr_expect(job.cancelled);
	cr_expect_eq(depth(), 3);
	cr_expect(block_readonly(drive_image(d)->backing));
}

Test(block_job, all_comes_up)
{
	begin((struct block_job_spec){ .kind = BLOCK_STREAM });
	until(&job.over);
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
	cr_expect_eq(depth(), 1);
	cr_assert_str_eq(block_file(drive_image(d)), path[2]);
}

Test(block_job, what_is_above_a_base_comes_up)
{
	begin((struct block_job_spec){ .kind = BLOCK_STREAM, .base = drive_image(d)->backing->backing });
	until(&job.over);
	cr_expect(!*job.err.msg, "%s", job.err.msg);
	cr_expect_eq(depth(), 2);
}

static struct block *target(void)
{
	struct block *k = block_open(&(struct block_options){ .file = path[DEPTH], .format = "qcow2" }, &b.err);

	must(k);
	return k;
}

Test(block_job, a_backup_is_of_the_moment_it_began)
{
	drive_drain(b.m, d);
	memcpy(frozen, model, SECTORS * SECTOR);
	begin((struct block_job_spec){ .kind = BLOCK_BACKUP, .target = target(), .whole = true });
	until(&job.over);
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
	expect_image(path[DEPTH], frozen);
}

Test(block_job, a_mirror_takes_the_place_of_the_disk)
{
	begin((struct block_job_spec){ .kind = BLOCK_MIRROR, .target = target(), .whole = true });
	until(&job.ready);
	must(block_job_complete(job.j, &b.err));
	until(&job.over);
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
	cr_assert_str_eq(block_file(drive_image(d)), path[DEPTH]);
}

/* Most of it, so that the machine need not wait at the end. */
Test(block_job, what_was_written_meanwhile_is_copied_before_the_loop_is_asked_to_end_it)
{
	uint64_t at, all;

	begin((struct block_job_spec){ .kind = BLOCK_MIRROR, .target = target(), .whole = true });
	until(&job.ready);
	block_job_pause(job.j, true);
	for (int i = 0; i < 40; i++)
		guest_works();
	drive_drain(b.m, d);
	block_job_progress(job.j, &at, &all);
	cr_assert_gt(all - at, 2 << 20, "there is something to copy");
	must(block_job_complete(job.j, &b.err));
	for (int i = 0; i < 5000 && all - at > 1 << 20; i++) {
		usleep(1000);
		block_job_progress(job.j, &at, &all);
	}
	cr_assert_leq(all - at, 1 << 20);
	until(&job.over);
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
}

static void nothing_done(struct drive_req *r)
{
	cr_assert(r->ok, "%s", r->err.msg);
}

/* At the disk's end, where no chunk is. */
Test(block_job, a_guest_may_change_nothing)
{
	static const enum drive_op ops[] = { DRIVE_WRITE, DRIVE_ZERO, DRIVE_DISCARD };
	struct drive_req r[3];

	begin((struct block_job_spec){ .kind = BLOCK_MIRROR, .target = target(), .whole = true });
	until(&job.ready);
	for (int i = 0; i < 3; i++) {
		r[i] = (struct drive_req){ .op = ops[i], .at = SECTORS, .done = nothing_done };
		drive_submit(d, &r[i]);
	}
	drive_drain(b.m, d);
	must(block_job_complete(job.j, &b.err));
	until(&job.over);
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
}

Test(block_job, or_it_is_a_copy)
{
	begin((struct block_job_spec){ .kind = BLOCK_MIRROR, .target = target(), .whole = true });
	until(&job.ready);
	for (int i = 0; i < 20; i++)
		guest_works();
	block_job_cancel(job.j, false);
	while (!job.over)
		loop_works();
	cr_expect(!job.cancelled && !*job.err.msg, "%s", job.err.msg);
	expect_image(path[DEPTH], model);
}

Test(block_job, meanwhile_the_drive_is_nobody_elses)
{
	struct block_job_spec again = { .kind = BLOCK_STREAM, .drive = d, .done = over, .opaque = &job };

	begin((struct block_job_spec){ .kind = BLOCK_STREAM, .rate = 1 << 16 });
	cr_assert_not(block_job_start(&again, &b.err));
	cr_expect(strstr(b.err.msg, "a job works on drive 'd'"), "%s", b.err.msg);
	cr_assert_not(drive_resize(d, 1 << 20, &b.err));
	cr_assert_not(drive_commit(d, &b.err));
	block_job_cancel(job.j, false);
	until(&job.over);
}

Test(block_job, commit_at_once_empties_the_first_image)
{
	struct block_extent x;

	must(drive_commit(d, &b.err));
	cr_expect_eq(depth(), 3);
	must(block_status(drive_image(d), 0, SECTORS, &x, &b.err));
	cr_expect(!x.allocated && x.sectors == SECTORS);
	drive_drain(b.m, d);
	cr_expect(block_readonly(drive_image(d)->backing));
}

Test(block_job, what_a_drive_keeps_in_memory_can_be_committed)
{
	struct drive_options o = { .id = "e", .image = { .file = path[DEPTH], .format = "qcow2", .snapshot = true } };
	struct drive *e;
	uint8_t buf[SECTOR];
	struct block *k;

	must((e = drive_new(b.m, &o, &b.err)));
	memset(buf, 0x5a, sizeof(buf));
	must(drive_transfer(e, DRIVE_WRITE, 777, buf, 1, &b.err));
	must(drive_commit(e, &b.err));
	memset(buf, 0x66, sizeof(buf));
	must(drive_transfer(e, DRIVE_WRITE, 778, buf, 1, &b.err));
	drive_free(e);
	k = target();
	must(block_read(k, 777, buf, 1, &b.err));
	cr_expect_eq(buf[9], 0x5a);
	must(block_read(k, 778, buf, 1, &b.err));
	cr_expect_eq(buf[9], 0, "written after the commit");
	block_close(k);
}
