/*
 * What a guest flushed is there after a crash, and the image is consistent.
 *
 * A child writes to an image and is traced. After a number of its writes the
 * host "fails": what was synced stays, of the later writes a random part is
 * lost. Nothing but leaked clusters may be wrong then.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/qcow2.h"

#define NSECTORS	1024u
#define NOPS		160
#define FLUSH_EVERY	8
#define SHADOW		(16u << 20)
#define MAX_PENDING	4096

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

/* ---- what the child does: operation i is the same each time ---- */

struct op {
	uint32_t at, n;
	bool discard;
};

static struct op op_of(int i)
{
	uint64_t v = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15ull;
	struct op o = { (uint32_t)(v >> 40) % NSECTORS, 1 + (uint32_t)(v >> 20) % 24, (v >> 10) % 5 == 0 };
	o.n = (uint32_t)min_u64(o.n, NSECTORS - o.at);
	return o;
}

static void do_op(struct block *b, int i)
{
	static uint8_t data[24 * SECTOR];
	struct op o = op_of(i);
	bool ok = true;

	memset(data, i + 1, sizeof(data));
	if (i % 40 == 20)
		ok = qcow2_snapshot_create(b, "now", &e);
	if (i % 40 == 30)
		ok = qcow2_snapshot_delete(b, "now", &e);
	ok = ok && (o.discard ? block_write_zeroes(b, o.at, o.n, true, &e) : block_write(b, o.at, data, o.n, &e));
	if (!ok || (i % FLUSH_EVERY == FLUSH_EVERY - 1 && !block_flush(b, &e))) {
		fprintf(stderr, "%s\n", e.msg);
		_exit(1);
	}
}

static void child(int report)
{
	struct block_options o = { .file = path };
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	struct block *b = block_open(&o, &e);
	for (int i = 0; i < NOPS && b; i++) {
		do_op(b, i);
		if (write(report, &i, sizeof(i)) != sizeof(i))
			_exit(1);
	}
	block_close(b);
	_exit(!b);
}

/* ---- the host that fails ---- */

struct host {
	uint8_t *stored;		/* what is on the disk */
	struct { uint64_t at, n; uint8_t *data; } pending[MAX_PENDING];
	int npending;
};

static void store(struct host *h, int i)
{
	cr_assert(h->pending[i].at + h->pending[i].n <= SHADOW);
	memcpy(h->stored + h->pending[i].at, h->pending[i].data, h->pending[i].n);
}

static void sync_all(struct host *h)
{
	for (int i = 0; i < h->npending; i++) {
		store(h, i);
		free(h->pending[i].data);
	}
	h->npending = 0;
}

/* One piece of memory that goes to the file. */
static void remember_piece(struct host *h, pid_t pid, uint64_t at, struct iovec from)
{
	int i = h->npending++;
	cr_assert_lt(i, MAX_PENDING);
	h->pending[i].at = at;
	h->pending[i].n = from.iov_len;
	h->pending[i].data = malloc(from.iov_len);
	struct iovec to = { h->pending[i].data, from.iov_len };
	cr_assert_eq(process_vm_readv(pid, &to, 1, &from, 1, 0), (ssize_t)from.iov_len);
}

static void remember(struct host *h, pid_t pid, const struct user_regs_struct *r)
{
	struct iovec list[8], to = { list, r->rdx * sizeof(*list) }, from = { (void *)r->rsi, to.iov_len };
	uint64_t at = r->r10;

	if (r->orig_rax == SYS_pwrite64) {
		remember_piece(h, pid, at, (struct iovec){ (void *)r->rsi, r->rdx });
		return;
	}
	cr_assert_leq(r->rdx, 8);
	cr_assert_eq(process_vm_readv(pid, &to, 1, &from, 1, 0), (ssize_t)to.iov_len);
	for (unsigned i = 0; i < r->rdx; at += list[i++].iov_len)
		remember_piece(h, pid, at, list[i]);
}

/* Let the child run until it has made `limit` writes. True if it ended before. */
static bool run(struct host *h, pid_t pid, int limit)
{
	int status, writes = 0;
	bool entry = true;
	struct user_regs_struct r;

	for (waitpid(pid, &status, 0);; entry = !entry) {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status)) {
			cr_assert_eq(WEXITSTATUS(status), 0);
			return true;
		}
		ptrace(PTRACE_GETREGS, pid, NULL, &r);
		if (entry && r.orig_rax == SYS_fdatasync)
			sync_all(h);
		if (!entry || (r.orig_rax != SYS_pwrite64 && r.orig_rax != SYS_pwritev))
			continue;
		if (writes++ == limit)
			break;
		remember(h, pid, &r);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return false;
}

static void fail_host(struct host *h)
{
	for (int i = 0; i < h->npending; i++)
		if (rnd(2))
			store(h, i);
	int fd = open(path, O_RDWR | O_TRUNC);
	uint32_t n = SHADOW;
	while (n && !h->stored[n - 1])
		n--;
	n = (uint32_t)align_up(n, 65536);
	cr_assert_eq(write(fd, h->stored, n), (ssize_t)n);
	close(fd);
}

/* ---- afterwards ---- */

static uint8_t value(int i)
{
	return op_of(i).discard ? 0 : (uint8_t)(i + 1);
}

/* A sector holds what it held at the last flush, or what an operation since then wrote. */
static void check_sector(uint32_t sector, uint8_t v, int flushed, int last)
{
	uint8_t was = 0;
	bool ok = false;
	for (int i = 0; i <= last && i < NOPS; i++) {
		struct op o = op_of(i);
		if (sector < o.at || sector >= o.at + o.n)
			continue;
		if (i <= flushed)
			was = value(i);
		else
			ok |= value(i) == v;
	}
	cr_assert(ok || v == was, "sector %u is %u, was %u when flushed at %d", sector, v, was, flushed);
}

static void check_image(int done)
{
	static uint8_t buf[NSECTORS * SECTOR];
	struct block_options o = { .file = path, .readonly = true };
	struct qcow2_check c = { 0 };
	char command[128];

	struct block *b = block_open(&o, &e);
	cr_assert(b, "%s", e.msg);
	cr_assert(block_read(b, 0, buf, NSECTORS, &e), "%s", e.msg);
	int flushed = (done + 1) / FLUSH_EVERY * FLUSH_EVERY - 1;
	for (uint32_t i = 0; i < NSECTORS; i++)
		check_sector(i, buf[i * SECTOR], flushed, done + 1);
	/* Making a snapshot is not one step: a cluster may say that it must be copied though it is used once. */
	cr_assert(qcow2_check(b, QCOW2_FIX_NONE, &c, &e), "%s", e.msg);
	cr_expect_eq(c.lost, 0, "%d clusters count too few references", (int)c.lost);
	block_close(b);
	o.readonly = false;
	o.repairing = true;
	b = block_open(&o, &e);
	c = (struct qcow2_check){ 0 };
	cr_assert(b && qcow2_check(b, QCOW2_FIX_ALL, &c, &e), "%s", e.msg);
	block_close(b);
	snprintf(command, sizeof(command), "command -v qemu-img >/dev/null || exit 0; qemu-img check -q %s", path);
	cr_expect_eq(system(command), 0);
}

static int points[] = { 0, 1, 2, 3, 5, 8, 13, 21, 30, 41, 52, 60, 64, 70, 77, 85, 92, 101, 120, 140, 170, 200, 240,
			290, 350, 420, 500 };
ParameterizedTestParameters(qcow2_crash, what_was_flushed_survives)
{
	return cr_make_param_array(int, points, ARRAY_LEN(points));
}
ParameterizedTest(int *point, qcow2_crash, what_was_flushed_survives)
{
	struct qcow2_create c = { .size = NSECTORS * SECTOR, .version = 3, .refcount_bits = 16,
				  .cluster_size = *point % 2 ? 4096 : 1024 };
	struct host *h = calloc(1, sizeof(*h));
	int report[2], done = -1, i;

	seed = 77 + (uint64_t)*point;
	strcpy(path, "/tmp/rhea-crash-XXXXXX");
	close(mkstemp(path));
	cr_assert(qcow2_create(path, &c, &e), "%s", e.msg);
	h->stored = calloc(1, SHADOW);
	int fd = open(path, O_RDONLY);
	cr_assert_gt(read(fd, h->stored, SHADOW), 0);
	close(fd);
	cr_assert_eq(pipe(report), 0);
	pid_t pid = fork();
	if (!pid)
		child(report[1]);
	close(report[1]);
	if (run(h, pid, *point))
		sync_all(h);
	while (read(report[0], &i, sizeof(i)) == sizeof(i))
		done = i;
	fail_host(h);
	check_image(done);
	unlink(path);
}
