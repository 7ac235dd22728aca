/* Drives: order, cancelling, draining, limits and what becomes of failures, with workers that are held. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive_priv.h"
#include "hw/core/loop.h"
#include "hw/core/sg.h"
#include "tests/bench.h"

static struct bench b;
static struct loop *l;
static struct drive *d;
static char path[40];
static int order[64], n_done;

#define SECTORS 2048u

struct mine {
	struct drive_req r;
	struct iovec v;
	int no;
	uint8_t buf[16 * SECTOR];
};

static void done(struct drive_req *r)
{
	order[n_done++] = ((struct mine *)r)->no;
}

static struct mine *request(int no, enum drive_op op, uint64_t at, uint32_t n, uint8_t fill)
{
	struct mine *q = calloc(1, sizeof(*q));
	memset(q->buf, fill, sizeof(q->buf));
	q->no = no;
	q->v = (struct iovec){ q->buf, n * SECTOR };
	q->r = (struct drive_req){ .op = op, .at = at, .n = n, .iov = &q->v, .niov = 1, .done = done };
	return q;
}

static struct mine *submit(int no, enum drive_op op, uint64_t at, uint32_t n, uint8_t fill)
{
	struct mine *q = request(no, op, at, n, fill);
	drive_submit(d, &q->r);
	return q;
}

static void make(struct drive_options o)
{
	bench_machine(&b);
	l = loop_new(b.m, &b.err);
	strcpy(path, "/tmp/rhea-drive-XXXXXX");
	int fd = mkstemp(path);
	cr_assert_eq(ftruncate(fd, SECTORS * SECTOR), 0);
	close(fd);
	o.id = "d";
	o.image.file = path;
	o.image.format = "raw";
	d = drive_new(b.m, &o, &b.err);
	cr_assert(d, "%s", b.err.msg);
}

static void setup(void)
{
	make((struct drive_options){ .werror = DRIVE_ENOSPC });
}

static void teardown(void)
{
	drive_free_all(b.m);
	loop_forget_machine(l);
	bench_close(&b);
	loop_free(l);
	unlink(path);
}
TestSuite(drive, .init = setup, .fini = teardown, .timeout = 20);
TestSuite(drive_bare, .fini = teardown, .timeout = 20);

/* The loop takes the lock itself. */
static void rounds_until(int n)
{
	machine_unlock(b.m);
	while (n_done < n)
		loop_step(l, 100 * NS_PER_MS);
	machine_lock(b.m);
}

Test(drive, requests_are_done_on_the_loop_and_not_by_submitting)
{
	submit(1, DRIVE_WRITE, 10, 2, 0x11);
	cr_assert_eq(n_done, 0);
	rounds_until(1);
	struct mine *q = submit(2, DRIVE_READ, 10, 2, 0);
	rounds_until(2);
	cr_assert(q->r.ok);
	cr_assert_eq(q->buf[0], 0x11);
	cr_assert_eq(q->buf[2 * SECTOR - 1], 0x11);
}

Test(drive, overlapping_requests_keep_their_order)
{
	drive_hold(b.m, true);
	for (int i = 0; i < 8; i++)
		submit(i, DRIVE_WRITE, 100 + (i & 1), 4, (uint8_t)(0x40 + i));
	struct mine *q = submit(8, DRIVE_READ, 100, 5, 0);
	drive_hold(b.m, false);
	rounds_until(9);
	for (int i = 0; i < 9; i++)
		cr_assert_eq(order[i], i);
	cr_assert_eq(q->buf[0], 0x46);
	cr_assert_eq(q->buf[SECTOR], 0x47);
}

Test(drive, others_pass_one_that_waits)
{
	drive_hold(b.m, true);
	struct mine *first = submit(0, DRIVE_WRITE, 0, 8, 1), *second = submit(1, DRIVE_WRITE, 4, 8, 2);
	struct mine *other = submit(2, DRIVE_WRITE, 64, 8, 3);
	cr_assert_eq(first->r.is_active, 1);
	cr_assert_eq(second->r.is_active, 0);
	cr_assert_eq(other->r.is_active, 1);
	drive_hold(b.m, false);
	rounds_until(3);
	cr_assert(second->r.ok);
}

Test(drive, a_cancelled_request_is_not_done)
{
	drive_hold(b.m, true);
	struct mine *q[3];
	for (int i = 0; i < 3; i++)
		q[i] = submit(i, DRIVE_WRITE, 0, 1, (uint8_t)i);	/* one queued, two waiting */
	drive_cancel(&q[1]->r);
	drive_cancel(&q[0]->r);
	cr_assert_eq(q[2]->r.is_active, 1);
	drive_hold(b.m, false);
	rounds_until(1);
	cr_assert_eq(order[0], 2);
	cr_assert_not(drive_busy(d));
	drive_cancel(&q[2]->r);			/* nothing to cancel: harmless */
}

Test(drive, cancelling_between_the_end_and_done)
{
	struct mine *q = submit(0, DRIVE_FLUSH, 0, 0, 0);
	usleep(20000);				/* likely done by now; right in either case */
	drive_cancel(&q->r);
	machine_unlock(b.m);
	loop_step(l, 0);
	machine_lock(b.m);
	cr_assert_eq(n_done, 0);
	cr_assert_not(drive_busy(d));
}

Test(drive, draining_does_all_without_the_loop)
{
	drive_hold(b.m, true);
	for (int i = 0; i < 20; i++)
		submit(i, DRIVE_WRITE, (uint64_t)(i % 3), 2, (uint8_t)i);
	drive_drain(b.m, d);
	cr_assert_eq(n_done, 20);
	cr_assert_not(drive_busy(d));
}

/* ---- requests of a vCPU's access to a device ---- */

enum { ONLY_SUBMIT, DRAIN_TOO, CANCEL_TOO };

static void access_submits(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct mine *q = opaque;

	(void)off, (void)size;
	drive_submit(d, &q->r);
	cr_assert_eq(n_done, 0);
	if (v == DRAIN_TOO)
		drive_drain(b.m, d);
	if (v == CANCEL_TOO)
		drive_cancel(&q->r);
}

static void access_device(struct mine *q, uint32_t how)
{
	static const struct port_ops ops = { .write = access_submits, .max_size = 1 };
	struct port_range *p = port_map(b.m, 0x500, 1, &ops, q, "submits");

	machine_unlock(b.m);
	machine_port_out(b.m, 0x500, 1, how);
	machine_lock(b.m);
	port_unmap(b.m, p);
}

static struct mine *write_by_access(uint32_t how)
{
	struct mine *q = request(7, DRIVE_WRITE, 8, 8, 0x77);

	bench_cpus(&b, 1);
	access_device(q, how);
	return q;
}

static uint8_t byte_on_disk(off_t at)
{
	FILE *f = fopen(path, "r");
	fseek(f, at, SEEK_SET);
	int c = fgetc(f);
	fclose(f);
	return (uint8_t)c;
}

Test(drive, a_short_write_is_done_behind_the_access_by_the_vcpu)
{
	struct mine *q = write_by_access(ONLY_SUBMIT);
	cr_assert_eq(n_done, 1);
	cr_assert(q->r.ok);
	cr_assert_eq(byte_on_disk(8 * SECTOR), 0x77);
	cr_assert_eq(drive_stats(d)->op[DRIVE_WRITE].ops, 1);
	cr_assert_not(drive_busy(d));
}

/* By the vCPU, if the host says that it has them in memory; by a worker otherwise. */
Test(drive, a_vcpu_reads_what_was_just_written)
{
	struct mine *q = request(1, DRIVE_READ, 10, 4, 0);

	write_by_access(ONLY_SUBMIT);
	n_done = 0;
	access_device(q, ONLY_SUBMIT);
	drive_drain(b.m, d);
	cr_assert_eq(n_done, 1);
	cr_assert(q->r.ok);
	cr_assert_eq(q->buf[4 * SECTOR - 1], 0x77);
	cr_assert_eq(drive_stats(d)->op[DRIVE_READ].ops, 1);
}

#define PIECES	100

static pthread_t vcpu;
static int n_by_vcpu;

static void submit_next(struct drive_req *r)
{
	n_by_vcpu += !!pthread_equal(pthread_self(), vcpu);
	if (++n_done < PIECES)
		drive_submit(d, r);
}

/* As a device does that moves much in pieces. A vCPU that did them all would be a vCPU that does nothing else. */
Test(drive, a_vcpu_goes_on_with_what_done_submits_for_a_while)
{
	struct mine *q = request(0, DRIVE_READ, 10, 4, 0);

	write_by_access(ONLY_SUBMIT);
	n_done = 0;
	q->r.done = submit_next;
	vcpu = pthread_self();
	access_device(q, ONLY_SUBMIT);
	if (!n_by_vcpu)
		cr_skip_test("this file system does not tell what it has in memory");
	cr_assert_gt(n_by_vcpu, 1);
	cr_assert_lt(n_by_vcpu, PIECES);		/* though the workers may be as quick as it */
	drive_drain(b.m, d);
	cr_assert_eq(n_done, PIECES);
	cr_assert_eq(drive_stats(d)->op[DRIVE_READ].ops, PIECES);
}

/* Its place in the order is that of the submission: the first one is held, the second one waits for it. */
Test(drive, a_vcpu_does_not_overtake_the_workers)
{
	struct mine *q = request(2, DRIVE_WRITE, 8, 1, 0x22);

	bench_cpus(&b, 1);
	drive_hold(b.m, true);
	submit(1, DRIVE_WRITE, 8, 1, 0x11);
	access_device(q, ONLY_SUBMIT);
	cr_assert_eq(n_done, 0);
	drive_hold(b.m, false);
	drive_drain(b.m, d);
	cr_assert_eq(order[1], 2);
	cr_assert_eq(byte_on_disk(8 * SECTOR), 0x22);
}

Test(drive, what_a_vcpu_owes_can_be_drained_inside_the_access)
{
	write_by_access(DRAIN_TOO);
	cr_assert_eq(n_done, 1);
	cr_assert_eq(byte_on_disk(8 * SECTOR), 0x77);
}

Test(drive, what_a_vcpu_owes_can_be_cancelled_inside_the_access)
{
	write_by_access(CANCEL_TOO);
	cr_assert_eq(n_done, 0);
	cr_assert_eq(byte_on_disk(8 * SECTOR), 0);
	cr_assert_not(drive_busy(d));
}

#define VCPUS	4
#define ROUNDS	200

static struct vcpu {
	pthread_t thread;
	struct cpu *cpu;
	struct mine *q;
	atomic_bool over;
	atomic_int wrong;
	atomic_bool ended;
} vcpus[VCPUS];

static void vcpu_done(struct drive_req *r)
{
	atomic_store(&vcpus[((struct mine *)r)->no].over, true);
}

static void vcpu_access(void *opaque, uint16_t off, int size, uint32_t v)
{
	(void)opaque, (void)size, (void)v;
	drive_submit(d, &vcpus[off].q->r);
}

/* Writes and reads in turns at places of its own, waiting for each. */
static void *vcpu_runs(void *opaque)
{
	struct vcpu *c = opaque;
	uint16_t no = (uint16_t)(c - vcpus);

	machine_set_current_cpu(c->cpu);
	for (int i = 0; i < ROUNDS; i++) {
		bool reading = i & 1;
		uint8_t byte = (uint8_t)(no * 50 + i / 2);
		memset(c->q->buf, reading ? 0 : byte, sizeof(c->q->buf));
		c->q->r.op = reading ? DRIVE_READ : DRIVE_WRITE;
		c->q->r.at = 64u * no + (unsigned)i / 2 % 3 * 8;
		atomic_store(&c->over, false);
		machine_port_out(b.m, (uint16_t)(0x500 + no), 1, 0);
		while (!atomic_load(&c->over))
			usleep(10);
		machine_lock(b.m);	/* what done() has seen is seen here, too */
		if (!c->q->r.ok || c->q->buf[0] != byte || c->q->buf[8 * SECTOR - 1] != byte)
			c->wrong++;
		machine_unlock(b.m);
	}
	machine_set_current_cpu(NULL);
	atomic_store(&c->ended, true);
	return NULL;
}

static bool all_ended(void)
{
	for (int i = 0; i < VCPUS; i++)
		if (!atomic_load(&vcpus[i].ended))
			return false;
	return true;
}

Test(drive, vcpus_workers_and_the_loop_get_along)
{
	static const struct port_ops ops = { .write = vcpu_access, .max_size = 1 };

	bench_cpus(&b, VCPUS);
	struct port_range *p = port_map(b.m, 0x500, VCPUS, &ops, NULL, "submits");
	for (int i = 0; i < VCPUS; i++) {
		vcpus[i] = (struct vcpu){ .cpu = b.cpu[i], .q = request(i, DRIVE_WRITE, 0, 8, 0) };
		vcpus[i].q->r.done = vcpu_done;
	}
	machine_unlock(b.m);
	for (int i = 0; i < VCPUS; i++)
		pthread_create(&vcpus[i].thread, NULL, vcpu_runs, &vcpus[i]);
	while (!all_ended())
		loop_step(l, NS_PER_MS);
	machine_lock(b.m);
	for (int i = 0; i < VCPUS; i++) {
		pthread_join(vcpus[i].thread, NULL);
		cr_assert_eq(vcpus[i].wrong, 0, "vCPU %d", i);
	}
	cr_assert_eq(drive_stats(d)->op[DRIVE_READ].ops + drive_stats(d)->op[DRIVE_WRITE].ops, VCPUS * ROUNDS);
	port_unmap(b.m, p);
}

Test(drive, impossible_requests_fail_and_are_counted)
{
	struct mine *q = submit(0, DRIVE_READ, SECTORS - 1, 2, 0), *w = submit(1, DRIVE_WRITE, UINT64_MAX, 1, 0);
	cr_assert_eq(n_done, 0);
	rounds_until(2);
	cr_assert_not(q->r.ok);
	cr_assert_not(w->r.ok);
	cr_assert_eq(drive_stats(d)->op[DRIVE_READ].invalid, 1);
	cr_assert_eq(drive_stats(d)->op[DRIVE_WRITE].invalid, 1);
}

Test(drive, statistics_count_operations_and_bytes)
{
	submit(0, DRIVE_WRITE, 4, 8, 0);
	submit(1, DRIVE_READ, 100, 2, 0);
	submit(2, DRIVE_FLUSH, 0, 0, 0);
	drive_drain(b.m, NULL);
	const struct drive_stats *s = drive_stats(d);
	cr_assert_eq(s->op[DRIVE_WRITE].ops, 1);
	cr_assert_eq(s->op[DRIVE_WRITE].bytes, 8 * SECTOR);
	cr_assert_eq(s->op[DRIVE_READ].bytes, 2 * SECTOR);
	cr_assert_eq(s->op[DRIVE_FLUSH].ops, 1);
	cr_assert_eq(s->wr_highest, 12 * SECTOR);
}

/* ---- the host fails ---- */

static int n_errors;
static enum drive_policy last_action;
static void on_error(void *opaque, struct drive *which, const struct drive_req *r, enum drive_policy action)
{
	(void)opaque, (void)which, (void)r;
	n_errors++;
	last_action = action;
}

/* An image whose next writes fail. */
static int fail_writes, fail_with;
static const struct block_ops *real;
static bool failing_write(struct block *k, uint64_t at, const struct iovec *v, int nv, uint32_t n, struct err *e)
{
	if (!fail_writes)
		return real->writev(k, at, v, nv, n, e);
	fail_writes--;
	errno = fail_with;
	return err_errno(e, "as the test wants it");
}
static struct block_ops failing;

static void make_failing(enum drive_policy werror, int code)
{
	make((struct drive_options){ .werror = werror });
	real = d->image->ops;
	failing = *real;
	failing.writev = failing_write;
	d->image->ops = &failing;
	fail_writes = 1;
	fail_with = code;
	drive_on_error(b.m, on_error, NULL);
}

Test(drive_bare, report_tells_the_device)
{
	make_failing(DRIVE_REPORT, EIO);
	struct mine *q = submit(0, DRIVE_WRITE, 0, 1, 0);
	drive_drain(b.m, NULL);
	cr_assert_not(q->r.ok);
	cr_assert_eq(q->r.error, EIO);
	cr_assert_eq(n_errors, 1);
	cr_assert_eq(last_action, DRIVE_REPORT);
	cr_assert_eq(drive_stats(d)->op[DRIVE_WRITE].failed, 1);
	cr_assert(strstr(drive_last_error(d), "as the test wants it"));
}

static bool failing_read(struct block *k, uint64_t at, const struct iovec *v, int nv, uint32_t n, struct err *e)
{
	(void)k, (void)at, (void)nv, (void)n;
	memset(v[0].iov_base, 0x55, 100);
	return err_set(e, "as the test wants it");
}

/* What a failed or cancelled read left in the guest's memory is a change of it. */
Test(drive_bare, a_read_that_ends_too_soon_has_changed_memory)
{
	uint64_t changed[1];

	make_failing(DRIVE_REPORT, EIO);
	failing.readv = failing_read;
	struct ram *ram = phys_ram_new(b.m->phys, "r", 4 * 4096, &b.err);
	struct iovec v = { ram->host + 4096, 8 * SECTOR };
	struct mine *q = request(0, DRIVE_READ, 0, 8, 0);

	phys_track(b.m->phys, ram, true);
	phys_take_changed(b.m->phys, ram, changed);
	q->r.iov = &v;
	drive_submit(d, &q->r);
	drive_drain(b.m, NULL);
	cr_assert_not(q->r.ok);
	cr_assert_eq(phys_take_changed(b.m->phys, ram, changed), 1);
	cr_assert_eq(changed[0], 2);
	drive_submit(d, &q->r);
	drive_cancel(&q->r);
	cr_assert_eq(phys_take_changed(b.m->phys, ram, changed), 1);
}

Test(drive_bare, ignore_tells_the_device_that_all_is_well)
{
	make_failing(DRIVE_IGNORE, EIO);
	struct mine *q = submit(0, DRIVE_WRITE, 0, 1, 0);
	drive_drain(b.m, NULL);
	cr_assert(q->r.ok);
	cr_assert_eq(n_errors, 1);
}

Test(drive_bare, enospc_stops_the_machine_and_cont_tries_again)
{
	make_failing(DRIVE_ENOSPC, ENOSPC);
	struct mine *q = submit(0, DRIVE_WRITE, 0, 1, 0x77), *r;
	drive_drain(b.m, NULL);
	cr_assert_eq(n_done, 0);
	cr_assert(drive_stopped(d));
	cr_assert_not(drive_busy(d));
	cr_assert_not(drive_can_save(b.m, &b.err));
	cr_assert_eq(b.requests[MACHINE_IO_ERROR], 1);
	drive_retry(b.m);
	rounds_until(1);
	cr_assert(q->r.ok);
	cr_assert(drive_can_save(b.m, &b.err));
	cr_assert_not(drive_stopped(d));
	r = submit(1, DRIVE_READ, 0, 1, 0);
	rounds_until(2);
	cr_assert_eq(r->buf[5], 0x77);
}

Test(drive_bare, what_overlaps_a_stopped_request_goes_on_behind_it)
{
	make_failing(DRIVE_ENOSPC, ENOSPC);
	submit(0, DRIVE_WRITE, 0, 1, 0x11);
	submit(1, DRIVE_WRITE, 0, 1, 0x22);
	drive_drain(b.m, NULL);
	submit(2, DRIVE_WRITE, 0, 2, 0x33);
	submit(3, DRIVE_WRITE, 8, 1, 0x44);
	struct mine *q = submit(4, DRIVE_READ, 0, 2, 0);
	drive_drain(b.m, NULL);
	cr_assert_eq(n_done, 1);
	cr_assert_eq(order[0], 3);
	cr_assert_not(drive_busy(d));
	drive_retry(b.m);
	rounds_until(5);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(order[1 + i], i);
	cr_assert_eq(q->buf[0], 0x33);
	cr_assert_not(drive_stopped(d));
}

Test(drive_bare, enospc_reports_other_failures)
{
	make_failing(DRIVE_ENOSPC, EIO);
	struct mine *q = submit(0, DRIVE_WRITE, 0, 1, 0);
	drive_drain(b.m, NULL);
	cr_assert_eq(n_done, 1);
	cr_assert_not(q->r.ok);
}

Test(drive_bare, a_stopped_request_can_be_cancelled)
{
	make_failing(DRIVE_STOP, EIO);
	struct mine *q = submit(0, DRIVE_WRITE, 0, 1, 0);
	drive_drain(b.m, NULL);
	drive_cancel(&q->r);
	cr_assert_not(drive_stopped(d));
	drive_retry(b.m);
	drive_drain(b.m, NULL);
	cr_assert_eq(n_done, 0);
}

/* ---- limits ---- */

Test(drive_bare, operations_wait_for_their_limit)
{
	make((struct drive_options){ .limits = { .iops = { 10 } } });
	for (int i = 0; i < 4; i++)
		submit(i, DRIVE_READ, (uint64_t)i, 1, 0);
	rounds_until(2);			/* a tenth of a second's worth: one, and one that overflows it */
	machine_unlock(b.m);
	for (int i = 0; i < 10; i++)
		loop_step(l, 0);
	machine_lock(b.m);
	cr_assert_eq(n_done, 2);
	b.mono += 150 * NS_PER_MS;
	rounds_until(3);
	b.mono += 150 * NS_PER_MS;
	rounds_until(4);
}

Test(drive_bare, a_burst_lasts_as_long_as_it_may)
{
	make((struct drive_options){ .limits = { .iops = { 1 }, .iops_max = { 2 }, .iops_length = { 5 } } });
	for (int i = 0; i < 20; i++)
		submit(i, DRIVE_READ, (uint64_t)i, 1, 0);
	rounds_until(11);			/* twice five, and one that overflows it */
	machine_unlock(b.m);
	for (int i = 0; i < 10; i++)
		loop_step(l, 0);
	machine_lock(b.m);
	cr_assert_eq(n_done, 11);
}

Test(drive_bare, draining_does_not_wait_for_limits)
{
	make((struct drive_options){ .limits = { .bps = { 0, 0, 1 } } });
	for (int i = 0; i < 4; i++)
		submit(i, DRIVE_WRITE, (uint64_t)i, 1, 0);
	drive_drain(b.m, NULL);
	cr_assert_eq(n_done, 4);
}

Test(drive, limits_that_contradict_each_other_are_refused)
{
	cr_assert_not(drive_set_limits(d, &(struct drive_limits){ .bps = { 1, 1, 0 } }, &b.err));
	cr_assert_not(drive_set_limits(d, &(struct drive_limits){ .iops_max = { 5 } }, &b.err));
	cr_assert_not(drive_set_limits(d, &(struct drive_limits){ .iops = { 9 }, .iops_max = { 5 } }, &b.err));
	cr_assert(drive_set_limits(d, &(struct drive_limits){ .iops = { 9 }, .iops_max = { 50 } }, &b.err));
	cr_assert_not(drive_set_limits(d, &(struct drive_limits){ .iops = { 9 }, .iops_length = { 5 } }, &b.err));
	cr_assert_not(drive_set_limits(d, &(struct drive_limits){ .iops_size = 4096 }, &b.err));
}

/* ---- media and devices ---- */

static int n_changed;
static bool door_locked;
static void changed(void *opaque) { (void)opaque; n_changed++; }
static bool locked(void *opaque) { (void)opaque; return door_locked; }
static const struct drive_user cd = { .name = "cd", .removable = true, .changed = changed, .locked = locked };
static const struct drive_user disk = { .name = "disk" };

Test(drive, one_device_has_a_drive)
{
	cr_assert(drive_attach(d, &cd, NULL, &b.err));
	cr_assert_not(drive_attach(d, &disk, NULL, &b.err));
	cr_assert(strstr(b.err.msg, "in use by cd"));
	drive_detach(d);
	cr_assert(drive_attach(d, &disk, NULL, &b.err));
	cr_assert_not(drive_change(d, &(struct block_options){ 0 }, false, &b.err));
}

Test(drive, media_come_and_go_unless_the_guest_holds_them)
{
	drive_attach(d, &cd, NULL, &b.err);
	door_locked = true;
	cr_assert_not(drive_change(d, &(struct block_options){ 0 }, false, &b.err));
	cr_assert_eq(n_changed, 0);
	submit(0, DRIVE_WRITE, 0, 1, 0);
	cr_assert(drive_change(d, &(struct block_options){ 0 }, true, &b.err));
	cr_assert_eq(n_done, 1);		/* drained before the medium went */
	cr_assert_eq(n_changed, 1);
	cr_assert_not(drive_present(d));
	struct mine *q = submit(1, DRIVE_READ, 0, 1, 0);
	drive_drain(b.m, NULL);
	cr_assert_not(q->r.ok);
	door_locked = false;
	cr_assert(drive_change(d, &(struct block_options){ .file = path, .format = "raw" }, false, &b.err));
	cr_assert_eq(drive_sectors(d), SECTORS);
	cr_assert_not(drive_change(d, &(struct block_options){ .file = "/nowhere" }, false, &b.err));
	cr_assert(drive_present(d));		/* what cannot be opened changes nothing */
}

/* ---- guest memory ---- */

Test(drive, guest_memory_is_one_piece_where_it_is_and_registers_are_bounced)
{
	struct ram *ram = phys_ram_new(b.m->phys, "ram", 1 << 20, &b.err);
	struct phys_range all = { .pa = 0, .size = 1 << 20, .rram = ram, .wram = ram, .name = "ram" };
	struct sg s = { 0 };
	uint8_t buf[8192];

	phys_map(b.m->phys, &all, &b.err);
	sg_begin(&s, b.m, true);
	cr_assert(sg_add(&s, 0x1ffe, 0x4002));
	cr_assert_eq(s.n, 1);
	cr_assert_eq((uint8_t *)s.iov[0].iov_base, ram->host + 0x1ffe);
	cr_assert(sg_add(&s, (1 << 20) - 16, 32));	/* half of it is nothing */
	cr_assert_eq(s.n, 3);
	memset(buf, 0x5a, sizeof(buf));
	sg_put(&s, 0x4002, buf, 32);
	phys_log_dirty(b.m->phys, ram, 0, 1 << 20, true);
	sg_written(&s, 0x4002 + 32);
	cr_assert(phys_test_clear_dirty(b.m->phys, ram, 0x1000));
	cr_assert(phys_test_clear_dirty(b.m->phys, ram, 0x5000));
	cr_assert_not(phys_test_clear_dirty(b.m->phys, ram, 0x6000));
	cr_assert_eq(ram->host[(1 << 20) - 1], 0x5a);
	cr_assert_not(sg_add(&s, 1 << 20, SG_MAX_BOUNCE));
	cr_assert_eq(s.bytes, 0x4002 + 32);
	sg_fini(&s);
}
