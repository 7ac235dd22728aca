/*
 * A program that is killed at any moment, with many requests under way: what was
 * flushed is in the image, and the image is sound but for leaks.
 *
 * A child writes and zeroes pieces of a disk, each write with a number larger than all
 * before, and says in shared memory which numbers a flush has made permanent. The
 * parent kills it, looks, and lets the next child go on with the same image.
 *
 * RHEA_KILLS says how often (make check-all: more); qemu-img looks, too, if it is there
 * and RHEA_KILLS is given.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/backend/qcow2.h"
#include "tests/bench.h"

#define SLOTS		512u
#define SLOT_SECTORS	8u
#define SLOT_BYTES	(SLOT_SECTORS * SECTOR)
#define IN_FLIGHT	16

/* By slot. Numbers count up over all children. */
static struct shared {
	uint64_t next;
	uint64_t submitted[SLOTS];	/* the last number */
	uint64_t zeroed[SLOTS];		/* the last that was zeros instead of a number */
	uint64_t durable[SLOTS];	/* the last that a flush covers */
} *shared;

static char path[40];
static struct err e;
static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

/* ---- the child ---- */

struct mine {
	struct drive_req r;
	struct iovec v;
	uint64_t number;
	uint64_t covers[SLOTS];		/* a flush: what was done when it was submitted */
	uint64_t buf[SLOT_BYTES / 8];
	bool busy;
};

static struct mine pool[IN_FLIGHT];
static uint64_t finished[SLOTS];

static void done(struct drive_req *r)
{
	struct mine *q = (struct mine *)r;
	uint64_t slot = r->at / SLOT_SECTORS;

	if (!r->ok)
		_exit(1);
	q->busy = false;
	if (r->op != DRIVE_FLUSH)
		finished[slot] = q->number;
	for (unsigned i = 0; r->op == DRIVE_FLUSH && i < SLOTS; i++)
		if (q->covers[i] > shared->durable[i])
			shared->durable[i] = q->covers[i];
}

static void submit(struct drive *d, struct mine *q)
{
	uint32_t slot = rnd(SLOTS);

	q->busy = true;
	q->r = (struct drive_req){ .op = DRIVE_FLUSH, .done = done };
	if (!rnd(12)) {
		memcpy(q->covers, finished, sizeof(finished));
	} else {
		q->number = ++shared->next;
		for (size_t i = 0; i < SLOT_BYTES / 8; i++)
			q->buf[i] = q->number;
		q->v = (struct iovec){ q->buf, SLOT_BYTES };
		q->r = (struct drive_req){ .op = rnd(4) ? DRIVE_WRITE : DRIVE_ZERO, .at = slot * SLOT_SECTORS,
					   .n = SLOT_SECTORS, .iov = &q->v, .niov = 1, .unmap = true, .done = done };
		if (q->r.op == DRIVE_ZERO)
			shared->zeroed[slot] = q->number;
		shared->submitted[slot] = q->number;
	}
	drive_submit(d, &q->r);
}

static void child(void)
{
	struct drive_options o = { .id = "d", .image = { .file = path, .format = "qcow2" } };
	struct bench b;

	bench_machine(&b);
	struct drive *d = drive_new(b.m, &o, &e);
	if (!d)
		_exit(2);
	memcpy(finished, shared->durable, sizeof(finished));
	for (;;) {
		for (int i = 0; i < IN_FLIGHT; i++)
			if (!pool[i].busy)
				submit(d, &pool[i]);
		usleep(rnd(100));
		drive_cancel(&pool[0].r);	/* takes what is finished along, too */
		pool[0].busy = false;
		drive_drain(b.m, d);
	}
}

/* ---- the parent ---- */

static void check_slot(uint64_t slot, const uint64_t *p)
{
	for (unsigned s = 0; s < SLOT_SECTORS; s++, p += SECTOR / 8) {
		for (unsigned i = 1; i < SECTOR / 8; i++)
			cr_assert_eq(p[i], p[0], "slot %lu: a torn sector", slot);
		bool there = p[0] ? p[0] >= shared->durable[slot] && p[0] <= shared->submitted[slot]
				  : !shared->durable[slot] || shared->zeroed[slot] >= shared->durable[slot];
		cr_assert(there, "slot %lu holds %lu, but %lu was flushed (last %lu, zeroed %lu)", slot, p[0],
			  shared->durable[slot], shared->submitted[slot], shared->zeroed[slot]);
	}
}

static void look(bool qemu)
{
	struct qcow2_check c = { 0 };
	char command[128];
	uint64_t p[SLOT_BYTES / 8];

	snprintf(command, sizeof(command), "qemu-img check -q %s >/dev/null 2>&1", path);
	if (qemu) {
		int status = WEXITSTATUS(system(command));
		cr_assert(status == 0 || status == 3, "qemu-img check: exit status %d", status);	/* 3: leaks */
	}
	struct block *k = block_open(&(struct block_options){ .file = path, .format = "qcow2" }, &e);
	cr_assert(k, "%s", e.msg);
	cr_assert(qcow2_check(k, QCOW2_FIX_LEAKS, &c, &e), "%s", e.msg);
	cr_assert_eq(c.corruptions + c.errors, 0, "%lu corruptions", c.corruptions);
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		cr_assert(block_read(k, slot * SLOT_SECTORS, p, SLOT_SECTORS, &e), "%s", e.msg);
		check_slot(slot, p);
	}
	block_close(k);
}

static struct kind { uint32_t cluster; bool lazy; } kinds[] = { { 4096 }, { 65536 }, { 512 }, { 16384, true } };

ParameterizedTestParameters(drive_kill, flushed_data_survive)
{
	return cr_make_param_array(struct kind, kinds, ARRAY_LEN(kinds));
}

ParameterizedTest(struct kind *k, drive_kill, flushed_data_survive, .timeout = 600)
{
	const char *given = getenv("RHEA_TEST_SEED"), *kills = getenv("RHEA_KILLS");
	bool qemu = kills && !k->lazy && !system("command -v qemu-img >/dev/null");
	struct qcow2_create c = QCOW2_CREATE_DEFAULT;
	int n = kills ? atoi(kills) : 8;

	seed = given ? strtoull(given, NULL, 0) : 42;
	printf("RHEA_TEST_SEED=%llu\n", (unsigned long long)seed);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(path, "/tmp/rhea-kill-XXXXXX");
	close(mkstemp(path));
	c.size = SLOTS * SLOT_BYTES;
	c.cluster_size = k->cluster;
	c.lazy_refcounts = k->lazy;
	cr_assert(qcow2_create(path, &c, &e), "%s", e.msg);
	for (int i = 0; i < n; i++) {
		int status;
		seed += (uint64_t)i;
		pid_t pid = fork();
		if (!pid)
			child();
		usleep(3000 + rnd(30000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		cr_assert(WIFSIGNALED(status), "the child ended by itself: %d", WEXITSTATUS(status));
		look(qemu);
	}
	printf("%llu writes, %d kills\n", (unsigned long long)shared->next, n);
	cr_assert_gt(shared->next, 0);
	unlink(path);
}
