/* virtio-9p: messages in buffers, whose answers come when they are there. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/share.h"
#include "hw/virtio/virtio_9p.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;
static char dir[64];
static struct dev *dev;

static void setup(void)
{
	struct share_options o = { .id = "f", .path = dir, .model = SHARE_MAPPED };

	vt_machine(&b);
	strcpy(dir, "/tmp/rhea-9p-XXXXXX");
	cr_assert(mkdtemp(dir));
	cr_assert(share_new(b.m, &o, &b.err), "%s", b.err.msg);
	dev = dev_make(b.m, &virtio_9p_type, NULL, "addr=4,fsdev=f,mount_tag=tag", &b.err);
	cr_assert(dev, "%s", b.err.msg);
	vt_start(&t, &b, dev, 0, 1);
}

static void teardown(void)
{
	struct machine *m = b.m;

	dev_free(dev);
	share_free_all(m);
	bench_close(&b);
	rmdir(dir);
}
TestSuite(virtio_9p, .init = setup, .fini = teardown, .timeout = 20);

#define REPLY	(VT_BUF + 0x10000u)

/* A message with its answer's first 64 bytes; how long it is, 0: there is none. */
static uint32_t ask(const void *m, uint32_t n, uint32_t room, uint8_t *answer)
{
	uint32_t id, len = 0;

	phys_write_buf(b.m->phys, VT_BUF, m, n);
	vt_desc(&t, 0, 0, VT_BUF, n, D_NEXT, 1);
	vt_desc(&t, 0, 1, REPLY, room, D_WRITE, 0);
	vt_offer(&t, 0, 0);
	vt_kick(&t, 0);
	if (!vt_take(&t, 0, &id, &len))
		return 0;
	phys_read_buf(b.m->phys, REPLY, answer, 64);
	return len;
}

static const uint8_t version[] = { 21, 0, 0, 0, 100, 0xff, 0xff, 0, 0, 1, 0, 8, 0, '9', 'P', '2', '0', '0', '0', '.', 'L' };
static const uint8_t attach[] = {
	23, 0, 0, 0, 104, 1, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
};

Test(virtio_9p, the_tag_stands_in_the_configuration)
{
	cr_assert_eq(vt_config(&t, 0, 2), 3);
	cr_assert_eq(vt_config(&t, 2, 2), 't' | 'a' << 8);
	cr_assert(vt_offered(&t) & 1);
}

Test(virtio_9p, messages_are_answered)
{
	uint8_t r[64];

	cr_assert_eq(ask(version, sizeof(version), 4096, r), sizeof(version));
	cr_assert_eq(r[4], 101);
	cr_assert_eq(ld32(r + 7), 65536);
	cr_assert_eq(ask(attach, sizeof(attach), 4096, r), 20);
	cr_assert_eq(r[4], 105);
	cr_assert_eq(r[7], 0x80);
}

Test(virtio_9p, a_mounted_folder_keeps_the_machine_from_being_saved)
{
	uint8_t r[64];

	cr_assert(machine_can_save(b.m, &b.err));
	ask(version, sizeof(version), 4096, r);
	ask(attach, sizeof(attach), 4096, r);
	cr_assert_not(machine_can_save(b.m, &b.err));
	cr_assert(strstr(b.err.msg, "mount_tag tag"), "%s", b.err.msg);
	ask(version, sizeof(version), 4096, r);		/* a session that begins ends the one before */
	cr_assert(machine_can_save(b.m, &b.err));
	ask(attach, sizeof(attach), 4096, r);
	vt_set_common(&t, 0x14, 1, 0);
	cr_assert(machine_can_save(b.m, &b.err), "so does a reset");
}

Test(virtio_9p, flushing_what_is_not_under_way_is_answered)
{
	static const uint8_t flush[] = { 9, 0, 0, 0, 108, 5, 0, 77, 0 };
	uint8_t r[64];

	cr_assert_eq(ask(flush, sizeof(flush), 4096, r), 7);
	cr_assert_eq(r[4], 109);
	cr_assert_eq(ld16(r + 5), 5);
}

Test(virtio_9p, an_answer_that_does_not_fit_is_an_error)
{
	uint8_t r[64];

	cr_assert_eq(ask(version, sizeof(version), 12, r), 11);
	cr_assert_eq(r[4], 7);
}

Test(virtio_9p, messages_that_are_none_break_the_device)
{
	uint8_t r[64];

	cr_assert_eq(ask(version, 6, 4096, r), 0);
	cr_assert(vt_broken(&t));
}

Test(virtio_9p, what_it_needs_is_asked_for)
{
	cr_assert_null(dev_make(b.m, &virtio_9p_type, NULL, "mount_tag=x", &b.err));
	cr_assert(strstr(b.err.msg, "fsdev="), "%s", b.err.msg);
	cr_assert_null(dev_make(b.m, &virtio_9p_type, NULL, "fsdev=f", &b.err));
	cr_assert(strstr(b.err.msg, "mount_tag="), "%s", b.err.msg);
}

Test(virtio_9p, random_rings_do_no_harm)
{
	uint64_t x = 88172645463325252ull;

	for (int k = 0; k < 20000; k++) {
		for (unsigned i = 0; i < 4; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			vt_desc(&t, 0, i, VT_BUF + (x >> 20 & 0xffff), (uint32_t)(x >> 40) & (x & 1 ? 0xff : 0x3fffff),
				x >> 8 & 7, x >> 52 & 3);
		}
		phys_write_buf(b.m->phys, VT_BUF + (x >> 30 & 0xfff), version, sizeof(version));
		vt_offer(&t, 0, x & 3);
		vt_kick(&t, 0);
		if (vt_broken(&t)) {
			vt_set_common(&t, 0x14, 1, 0);
			phys_write(b.m->phys, VT_AVAIL(0) + 2, 2, 0);
			vt_start(&t, &b, dev, 0, 1);
		}
		bench_run(&b, 1000);
	}
}
