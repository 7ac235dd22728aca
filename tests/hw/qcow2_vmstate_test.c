/* A machine's state behind the disk's end of a qcow2 image. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/qcow2.h"

#define DISK	(3u << 20)
#define STATE_LEN 1234567u

static char image[] = "/tmp/rhea-vmstate-XXXXXX";
static struct err e;
static uint8_t state[STATE_LEN], got[STATE_LEN], sector[SECTOR];

static struct block *open_image(void)
{
	struct block_options o = { .file = image, .format = "qcow2" };
	struct block *b = block_open(&o, &e);

	cr_assert(b, "%s", e.msg);
	return b;
}

static struct block *make(uint32_t cluster)
{
	struct qcow2_create c = QCOW2_CREATE_DEFAULT;
	int fd = mkstemp(image);

	cr_assert(fd >= 0);
	close(fd);
	c.size = DISK;
	c.cluster_size = cluster;
	cr_assert(qcow2_create(image, &c, &e), "%s", e.msg);
	for (unsigned i = 0; i < STATE_LEN; i++)
		state[i] = (uint8_t)(i * 2654435761u >> 13);
	return open_image();
}

static void write_sector(struct block *b, uint64_t at, uint8_t v)
{
	memset(sector, v, SECTOR);
	cr_assert(block_write(b, at, sector, 1, &e), "%s", e.msg);
}

static uint8_t read_sector(struct block *b, uint64_t at)
{
	cr_assert(block_read(b, at, sector, 1, &e), "%s", e.msg);
	return sector[17];
}

/* In uneven pieces, as a stream comes. */
static void write_state(struct block *b)
{
	cr_assert(qcow2_vmstate_begin(b, &e), "%s", e.msg);
	for (uint32_t at = 0, k; at < STATE_LEN; at += k) {
		k = (uint32_t)min_u64(STATE_LEN - at, 1 + at % 100003);
		cr_assert(qcow2_vmstate_write(b, at, state + at, k, &e), "%s", e.msg);
	}
}

static void check_state(struct block *b, const char *which)
{
	uint64_t size = 0;
	struct qcow2_vmstate *v = qcow2_vmstate_open(b, which, &size, &e);

	cr_assert(v, "%s", e.msg);
	cr_assert_eq(size, STATE_LEN);
	memset(got, 0, sizeof(got));
	cr_assert(qcow2_vmstate_read(v, 0, got, STATE_LEN, &e), "%s", e.msg);
	cr_expect_arr_eq(got, state, STATE_LEN);
	cr_expect_not(qcow2_vmstate_read(v, STATE_LEN - 3, got, 4, &e));
	qcow2_vmstate_close(v);
}

static void check_clean(void)
{
	struct qcow2_check c = { 0 };
	struct block *b = open_image();
	char command[128];

	cr_assert(qcow2_check(b, QCOW2_FIX_NONE, &c, &e), "%s", e.msg);
	cr_expect_eq(c.corruptions + c.leaks + c.errors, 0);
	block_close(b);
	snprintf(command, sizeof(command), "! command -v qemu-img >/dev/null || qemu-img check -q %s", image);
	cr_expect_eq(system(command), 0);
}

static void state_and_disk(uint32_t cluster)
{
	struct block *b = make(cluster);

	write_sector(b, 5, 1);
	write_state(b);
	write_sector(b, 6, 1);
	cr_assert(qcow2_snapshot_create_vm(b, "one", STATE_LEN, 42, &e), "%s", e.msg);
	cr_assert(qcow2_vmstate_end(b, &e), "%s", e.msg);
	write_sector(b, 5, 2);
	cr_expect_eq(qcow2_snapshot_find(b, "one", &e)->vm_clock_nsec, 42);
	check_state(b, "one");
	block_close(b);
	check_clean();

	b = open_image();
	check_state(b, "1");
	cr_assert(qcow2_snapshot_apply(b, "one", &e), "%s", e.msg);
	cr_expect_eq(read_sector(b, 5), 1);
	cr_expect_eq(read_sector(b, 6), 1);
	check_state(b, "one");
	cr_assert(qcow2_snapshot_delete(b, "one", &e), "%s", e.msg);
	block_close(b);
	check_clean();
	unlink(image);
}

Test(qcow2_vmstate, it_comes_back_and_the_disk_with_it) { state_and_disk(65536); }
Test(qcow2_vmstate, small_clusters_need_a_larger_table) { state_and_disk(512); }

Test(qcow2_vmstate, what_no_snapshot_names_is_dropped)
{
	struct block *b = make(4096);

	write_state(b);
	block_close(b);				/* the program ended in the middle */
	b = open_image();
	cr_assert(qcow2_snapshot_create(b, "disk only", &e), "%s", e.msg);
	cr_expect_eq(qcow2_snapshot_find(b, "disk only", &e)->vm_state_size, 0);
	write_state(b);
	cr_assert(block_resize(b, (DISK + (64u << 20)) / SECTOR, &e), "%s", e.msg);
	for (uint64_t at = DISK / SECTOR; at < (DISK + (64u << 20)) / SECTOR; at += 1024)
		cr_assert_eq(read_sector(b, at), 0, "a state shows in the disk");
	block_close(b);
	check_clean();
	unlink(image);
}
