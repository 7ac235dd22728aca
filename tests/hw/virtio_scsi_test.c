/* virtio-scsi as its driver sees it: commands, addresses, task management, events. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/scsi/scsi_bus.h"
#include "hw/virtio/virtio_scsi.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;
static struct drive *disk;
static char path[32];

#define SECTORS		1024u
enum { CONTROL, EVENTS, REQUESTS };
enum { OK, OVERRUN, ABORTED, BAD_TARGET, RESET, FAILURE = 9, SUCCEEDED, REJECTED, INCORRECT_LUN };
/* Command k and its response; data of command k. */
#define COMMAND(k)	(VT_BUF + 0x400u * (k))
#define RESPONSE(k)	(VT_BUF + 0x400u * (k) + 0x200u)
#define DATA(k)		(VT_BUF + 0x10000u + 0x1000u * (k))
#define EVENT		(VT_BUF + 0x8000u)
#define COMMAND_LEN	51u
#define RESPONSE_LEN	108u

/* A disk in which every doubleword says where it is. */
static void make_disk(const char *id)
{
	strcpy(path, "/tmp/rhea-vscsi-XXXXXX");
	int fd = mkstemp(path);
	for (uint32_t i = 0; i < SECTORS * 128; i++)
		cr_assert_eq(write(fd, &i, 4), 4);
	close(fd);
	disk = bench_drive(&b, id, path, false);
	unlink(path);
}

static struct dev *add_unit(const struct dev_type *type, const char *props)
{
	return dev_make(b.m, type, NULL, props, &b.err);
}

/* Two units of target 3, the second one far up. */
static void setup(void)
{
	vt_machine(&b);
	struct dev *d = dev_make(b.m, &virtio_scsi_type, "s", "addr=4,num_queues=2", &b.err);
	cr_assert(d, "%s", b.err.msg);
	make_disk("two");
	cr_assert(add_unit(&scsi_hd_type, "drive=two,bus=s.0,scsi-id=3,lun=300"));
	make_disk("one");
	cr_assert(add_unit(&scsi_hd_type, "drive=one,scsi-id=3,serial=S123"), "%s", b.err.msg);
	vt_start(&t, &b, d, BIT(1) | BIT(2), 4);
}

static void teardown(void)
{
	bench_close(&b);
}
TestSuite(virtio_scsi, .init = setup, .fini = teardown, .timeout = 20);

static void put_lun(uint32_t at, unsigned target, unsigned lun)
{
	uint8_t p[8] = { 1, (uint8_t)target, (uint8_t)(0x40 | lun >> 8), (uint8_t)lun };

	phys_write_buf(b.m->phys, at, p, 8);
}

/* Offer command k; n bytes of data. */
static void offer(unsigned k, unsigned lun, const uint8_t *cdb, uint32_t n, bool in)
{
	uint8_t head[COMMAND_LEN] = { 0 };

	head[8] = (uint8_t)(0x70 + k);
	memcpy(head + 19, cdb, 16);
	phys_write_buf(b.m->phys, COMMAND(k), head, sizeof(head));
	put_lun(COMMAND(k), 3, lun);
	phys_write(b.m->phys, RESPONSE(k) + 11, 1, 0xee);
	vt_desc(&t, REQUESTS, 3 * k, COMMAND(k), COMMAND_LEN, D_NEXT, n && !in ? 3 * k + 2 : 3 * k + 1);
	vt_desc(&t, REQUESTS, 3 * k + 1, RESPONSE(k), RESPONSE_LEN, D_WRITE | (n && in ? D_NEXT : 0), 3 * k + 2);
	vt_desc(&t, REQUESTS, 3 * k + 2, DATA(k), n, D_NEXT * !in | D_WRITE * in, 3 * k + 1);
	vt_offer(&t, REQUESTS, 3 * k);
}

struct result { uint8_t response, status, key; uint32_t residual, used; };

static struct result result(unsigned k, uint32_t used)
{
	struct phys *p = b.m->phys;

	return (struct result){ (uint8_t)phys_read(p, RESPONSE(k) + 11, 1), (uint8_t)phys_read(p, RESPONSE(k) + 10, 1),
				rd(RESPONSE(k)) ? (uint8_t)phys_read(p, RESPONSE(k) + 14, 1) : 0,
				rd(RESPONSE(k) + 4), used };
}

#define CDB(...) (const uint8_t[16]){ __VA_ARGS__ }

static struct result run(unsigned lun, const uint8_t *cdb, uint32_t n, bool in)
{
	uint32_t id, used = 0;

	offer(0, lun, cdb, n, in);
	vt_kick(&t, REQUESTS);
	bench_settle(&b);
	cr_assert(vt_take(&t, REQUESTS, &id, &used));
	cr_assert_eq(id, 0);
	return result(0, used);
}

/* Units begin with an attention condition. */
static void calm(unsigned lun)
{
	struct result r = run(lun, CDB(0), 0, false);

	cr_assert_eq(r.status, SCSI_CHECK);
	cr_assert_eq(r.key, 6);
	cr_assert_eq(run(lun, CDB(0), 0, false).status, SCSI_GOOD);
}

Test(virtio_scsi, it_is_a_transitional_device_with_limits)
{
	cr_assert_eq(pci_config_read(b.m->pci, 0, 32, 0, 4), 0x10041af4);
	cr_assert_eq(vt_config(&t, 0, 4), 2);
	cr_assert_eq(vt_config(&t, 20, 4), 96);
	cr_assert_eq(vt_config(&t, 24, 4), 32);
	cr_assert_eq(vt_config(&t, 30, 2), 255);
	cr_assert_eq(vt_config(&t, 32, 4), 16383);
}

Test(virtio_scsi, reads_and_writes_with_residuals)
{
	calm(0);
	struct result r = run(0, CDB(0x28, 0, 0, 0, 0, 9, 0, 0, 2), 1024, true);
	cr_assert_eq(r.response, OK);
	cr_assert_eq(r.status, SCSI_GOOD);
	cr_assert_eq(r.residual, 0);
	cr_assert_eq(r.used, RESPONSE_LEN + 1024);
	cr_assert_eq(rd(DATA(0)), 9 * 128);
	cr_assert_eq(rd(DATA(0) + 1020), 11 * 128 - 1);
	r = run(0, CDB(0x28, 0, 0, 0, 0, 9, 0, 0, 1), 1024, true);	/* room for more */
	cr_assert_eq(r.residual, 512);
	wr(DATA(0), 0xfeedface);
	r = run(0, CDB(0x2a, 0, 0, 0, 0, 20, 0, 0, 1), 512, false);
	cr_assert_eq(r.status, SCSI_GOOD);
	cr_assert_eq(r.used, RESPONSE_LEN);
	wr(DATA(0), 0);
	run(0, CDB(0x28, 0, 0, 0, 0, 20, 0, 0, 1), 512, true);
	cr_assert_eq(rd(DATA(0)), 0xfeedface);
}

Test(virtio_scsi, without_a_write_cache_zeros_are_permanent_too)
{
	static const uint8_t mode[24] = { [4] = 8, 18 }, list[24] = { 0, 22, 0, 16, [15] = 8 };
	const struct drive_stats *s = drive_stats(drive_find(b.m, "one"));

	calm(0);
	phys_write_buf(b.m->phys, DATA(0), mode, sizeof(mode));
	cr_assert_eq(run(0, CDB(0x15, 0x10, 0, 0, 24), 24, false).status, SCSI_GOOD);
	phys_write_buf(b.m->phys, DATA(0), (const uint8_t[512]){ 0 }, 512);
	cr_assert_eq(run(0, CDB(0x41, 0, 0, 0, 0, 16, 0, 0, 8), 512, false).status, SCSI_GOOD);
	cr_assert_eq(s->op[DRIVE_ZERO].ops, 1);
	cr_assert_eq(s->op[DRIVE_FLUSH].ops, 1);
	phys_write(b.m->phys, DATA(0), 1, 1);
	cr_assert_eq(run(0, CDB(0x41, 0, 0, 0, 0, 16, 0, 0, 16), 512, false).status, SCSI_GOOD);
	cr_assert_eq(s->op[DRIVE_WRITE].ops, 2);
	cr_assert_eq(s->op[DRIVE_FLUSH].ops, 2);
	phys_write_buf(b.m->phys, DATA(0), list, sizeof(list));
	phys_write(b.m->phys, DATA(0) + 19, 1, 8);
	cr_assert_eq(run(0, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 24), 24, false).status, SCSI_GOOD);
	cr_assert_eq(s->op[DRIVE_DISCARD].ops, 1);
	cr_assert_eq(s->op[DRIVE_FLUSH].ops, 3);
}

/* No drive moves more than 4 GiB at once, though a disk may be larger and a list of buffers may be as long. */
Test(virtio_scsi, a_command_moves_no_more_than_it_says)
{
	char large[] = "/tmp/rhea-vscsi-XXXXXX";
	int fd = mkstemp(large);

	cr_assert_eq(ftruncate(fd, 8ll << 30), 0);
	close(fd);
	bench_drive(&b, "large", large, false);
	unlink(large);
	cr_assert(add_unit(&scsi_hd_type, "drive=large,scsi-id=3,lun=1"), "%s", b.err.msg);
	calm(1);
	struct result r = run(1, CDB(0x12, 1, 0xb0, 0, 64), 64, true);
	cr_assert_eq(r.status, SCSI_GOOD);
	uint32_t most = __builtin_bswap32(rd(DATA(0) + 8));
	cr_assert(most && most < 1u << 23, "%u", most);
	r = run(1, CDB(0x88, [10] = 0, 0x80), 512, true);
	cr_assert_eq(r.status, SCSI_CHECK);
	cr_assert_eq(r.key, 5);
	cr_assert_eq(run(1, CDB(0x88, [13] = 1), 512, true).status, SCSI_GOOD);
}

Test(virtio_scsi, commands_that_want_more_than_there_is_overrun)
{
	calm(0);
	wr(DATA(0), 0x12345678);
	cr_assert_eq(run(0, CDB(0x28, 0, 0, 0, 0, 9, 0, 0, 2), 512, true).response, OVERRUN);
	cr_assert_eq(rd(DATA(0)), 0x12345678);
	cr_assert_eq(run(0, CDB(0x2a, 0, 0, 0, 0, 9, 0, 0, 2), 512, false).response, OVERRUN);
	cr_assert_eq(run(0, CDB(0x2a, 0, 0, 0, 0, 9, 0, 0, 1), 512, true).response, OVERRUN);
	cr_assert_eq(drive_stats(disk)->op[DRIVE_WRITE].ops, 0);
}

Test(virtio_scsi, errors_come_with_sense_data)
{
	calm(0);
	struct result r = run(0, CDB(0x28, 0, 0, 1, 0, 0, 0, 0, 1), 512, true);
	cr_assert_eq(r.response, OK);
	cr_assert_eq(r.status, SCSI_CHECK);
	cr_assert_eq(r.key, 5);
	cr_assert_eq(rd(RESPONSE(0)), SCSI_SENSE);
	cr_assert_eq(r.residual, 512);
	cr_assert_eq(phys_read(b.m->phys, RESPONSE(0) + 12 + 12, 1), 0x21);
}

Test(virtio_scsi, all_units_of_a_target_are_reported)
{
	struct result r = run(0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0), 256, true);

	cr_assert_eq(r.residual, 256 - 24);
	cr_assert_eq(rd(DATA(0)), 16u << 24);
	cr_assert_eq(rd(DATA(0) + 8), 0);
	cr_assert_eq(rd(DATA(0) + 16), 0x2c41);	/* unit 300 */
	r = run(77, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16), 16, true);	/* a unit there is not answers as well */
	cr_assert_eq(r.status, SCSI_GOOD);
	cr_assert_eq(run(0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15), 16, true).key, 5);
}

Test(virtio_scsi, missing_targets_and_units_differ)
{
	cr_assert_eq(run(5, CDB(0x12, 0, 0, 0, 36), 36, true).status, SCSI_GOOD);
	cr_assert_eq(rd(DATA(0)) & 0xff, 0x7f);
	cr_assert_eq(run(5, CDB(0), 0, false).key, 5);
	offer(0, 0, CDB(0), 0, false);
	put_lun(COMMAND(0), 4, 0);
	vt_kick(&t, REQUESTS);
	cr_assert_eq(result(0, 0).response, BAD_TARGET);
	offer(1, 0, CDB(0), 0, false);
	phys_write(b.m->phys, COMMAND(1), 1, 2);		/* no address of this kind */
	vt_kick(&t, REQUESTS);
	cr_assert_eq(result(1, 0).response, BAD_TARGET);
}

Test(virtio_scsi, commands_that_were_answered_make_room)
{
	calm(0);
	for (unsigned k = 0; k < 4 * 256; k++)
		cr_assert_eq(run(0, CDB(0), 0, false).status, SCSI_GOOD, "command %u", k);
}

Test(virtio_scsi, several_commands_are_under_way_at_once)
{
	uint32_t id, len, seen = 0;

	calm(0);
	calm(300);
	drive_hold(b.m, true);
	for (unsigned k = 0; k < 5; k++)
		offer(k, k % 2 ? 300 : 0, CDB(0x28, 0, 0, 0, 0, (uint8_t)(10 + k), 0, 0, 1), 512, true);
	vt_kick(&t, REQUESTS);
	cr_assert_not(vt_take(&t, REQUESTS, &id, &len));
	drive_hold(b.m, false);
	bench_settle(&b);
	while (vt_take(&t, REQUESTS, &id, &len))
		seen |= 1u << id / 3;
	cr_assert_eq(seen, 31);
	for (unsigned k = 0; k < 5; k++)
		cr_assert_eq(rd(DATA(k)), (10 + k) * 128);
}

/* ---- task management ---- */

static int tmf(uint32_t what, unsigned target, unsigned lun, uint64_t id)
{
	uint32_t head, len, at = VT_BUF + 0x9000;

	wr(at, 0);
	wr(at + 4, what);
	put_lun(at + 8, target, lun);
	wr(at + 16, (uint32_t)id);
	wr(at + 20, (uint32_t)(id >> 32));
	vt_desc(&t, CONTROL, 0, at, 24, D_NEXT, 1);
	vt_desc(&t, CONTROL, 1, at + 0x100, 1, D_WRITE, 0);
	vt_offer(&t, CONTROL, 0);
	vt_kick(&t, CONTROL);
	if (!vt_take(&t, CONTROL, &head, &len))
		return -1;
	return (int)phys_read(b.m->phys, at + 0x100, 1);
}

static void hold_reads(unsigned n)
{
	calm(0);
	drive_hold(b.m, true);
	for (unsigned k = 0; k < n; k++)
		offer(k, 0, CDB(0x28, 0, 0, 0, 0, (uint8_t)(10 + k), 0, 0, 1), 512, true);
	vt_kick(&t, REQUESTS);
}

Test(virtio_scsi, a_task_can_be_asked_for_and_aborted)
{
	uint32_t id, len;

	hold_reads(2);
	cr_assert_eq(tmf(6, 3, 0, 0x71), SUCCEEDED);
	cr_assert_eq(tmf(6, 3, 0, 0x79), OK);
	cr_assert_eq(tmf(0, 3, 0, 0x71), OK);
	cr_assert(vt_take(&t, REQUESTS, &id, &len));
	cr_assert_eq(id, 3);
	cr_assert_eq(result(1, 0).response, ABORTED);
	cr_assert_eq(tmf(6, 3, 0, 0x71), OK);
	cr_assert_not(vt_take(&t, REQUESTS, &id, &len));
	drive_hold(b.m, false);
	bench_settle(&b);
	cr_assert(vt_take(&t, REQUESTS, &id, &len));
	cr_assert_eq(rd(DATA(0)), 10 * 128);
}

Test(virtio_scsi, a_unit_reset_ends_its_tasks_and_is_told_of)
{
	hold_reads(2);
	cr_assert_eq(tmf(5, 3, 300, 0), OK);		/* another unit's */
	cr_assert_eq(result(0, 0).response, 0xee);
	cr_assert_eq(tmf(5, 3, 0, 0), OK);
	cr_assert_eq(result(0, 0).response, RESET);
	cr_assert_eq(result(1, 0).response, RESET);
	cr_assert_not(drive_busy(disk));
	drive_hold(b.m, false);
	t.used[REQUESTS] = (uint16_t)(t.used[REQUESTS] + 2);
	calm(0);
}

Test(virtio_scsi, task_management_checks_addresses)
{
	cr_assert_eq(tmf(5, 4, 0, 0), BAD_TARGET);
	cr_assert_eq(tmf(5, 3, 9, 0), INCORRECT_LUN);
	cr_assert_eq(tmf(4, 3, 9, 0), OK);
	cr_assert_eq(tmf(2, 3, 0, 0), REJECTED);
	cr_assert_eq(tmf(99, 3, 0, 0), REJECTED);
}

/* ---- events ---- */

static void offer_event(void)
{
	vt_desc(&t, EVENTS, 0, EVENT, 16, D_WRITE, 0);
	vt_offer(&t, EVENTS, 0);
	vt_kick(&t, EVENTS);
}

Test(virtio_scsi, units_come_and_go)
{
	uint32_t id, len;

	offer_event();
	make_disk("three");
	struct dev *d = add_unit(&scsi_cd_type, "drive=three,scsi-id=7");
	cr_assert(d, "%s", b.err.msg);
	cr_assert(vt_take(&t, EVENTS, &id, &len));
	cr_assert_eq(len, 16);
	cr_assert_eq(rd(EVENT), 1);
	cr_assert_eq(rd(EVENT + 4), 0x0701);
	cr_assert_eq(rd(EVENT + 12), 1);
	dev_unplug(d);				/* no buffer: it is missed */
	cr_assert_not(vt_take(&t, EVENTS, &id, &len));
	offer_event();
	cr_assert(vt_take(&t, EVENTS, &id, &len));
	cr_assert_eq(rd(EVENT), 0x80000000);
	offer(0, 0, CDB(0), 0, false);
	put_lun(COMMAND(0), 7, 0);
	vt_kick(&t, REQUESTS);
	cr_assert_eq(result(0, 0).response, BAD_TARGET);
}

Test(virtio_scsi, commands_of_a_unit_that_goes_are_given_back)
{
	hold_reads(1);
	dev_unplug(&scsi_bus_find(machine_find_backend(b.m, "scsi-bus", "s.0"), 3, 0)->dev);
	cr_assert_eq(result(0, 0).response, BAD_TARGET);
	drive_hold(b.m, false);
}

Test(virtio_scsi, another_size_is_an_event_and_an_attention)
{
	calm(0);
	offer_event();
	cr_assert(drive_resize(disk, 2 * SECTORS * SECTOR, &b.err), "%s", b.err.msg);
	cr_assert_eq(rd(EVENT), 3);
	cr_assert_eq(rd(EVENT + 4), 0x0301);
	cr_assert_eq(rd(EVENT + 12), 0x092a);
	cr_assert_eq(run(0, CDB(0), 0, false).key, 6);
}

/* ---- places ---- */

Test(virtio_scsi, places_are_checked)
{
	make_disk("x");
	cr_assert_not(add_unit(&scsi_hd_type, "drive=x,scsi-id=3,lun=300"));
	cr_assert_not(add_unit(&scsi_hd_type, "drive=x,scsi-id=256"));
	cr_assert_not(add_unit(&scsi_hd_type, "drive=x,scsi-id=1,lun=16384"));
	cr_assert_not(add_unit(&scsi_hd_type, "drive=x,channel=1"));
	cr_assert_not(add_unit(&scsi_hd_type, "drive=x,bus=nowhere.0"));
	struct dev *d = add_unit(&scsi_disk_type, "drive=x,scsi-id=3");	/* the next unit of it */
	cr_assert(d, "%s", b.err.msg);
	cr_assert_eq(((struct scsi_dev *)d)->lun, 1);
}

/* ---- drivers that break the rules ---- */

Test(virtio_scsi, commands_need_header_and_response)
{
	offer(0, 0, CDB(0), 0, false);
	vt_desc(&t, REQUESTS, 0, COMMAND(0), COMMAND_LEN - 1, D_NEXT, 1);
	vt_kick(&t, REQUESTS);
	cr_assert(vt_broken(&t));
}

Test(virtio_scsi, impossible_sizes_break_it)
{
	phys_write(b.m->phys, VT_BAR + 0x2000 + 24, 4, 0x7fffffff);
	cr_assert_eq(vt_config(&t, 24, 4), 0x7fffffff);
	offer(0, 0, CDB(0), 0, false);
	vt_kick(&t, REQUESTS);
	cr_assert(vt_broken(&t));
}

Test(virtio_scsi, the_same_command_for_ever_breaks_it)
{
	hold_reads(1);
	for (unsigned k = 0; k < 1100 && !vt_broken(&t); k++) {
		vt_offer(&t, REQUESTS, 0);
		vt_kick(&t, REQUESTS);
	}
	cr_assert(vt_broken(&t));
	drive_hold(b.m, false);
}

Test(virtio_scsi, random_commands_do_no_harm)
{
	uint64_t x = 88172645463325252ull;

	for (unsigned round = 0; round < 3000; round++) {
		unsigned q = (unsigned)(x >> 9) % 4;
		for (unsigned i = 0; i < 15; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			wr(COMMAND(0) + 4 * i, (uint32_t)(x >> (x >> 59)));
			vt_desc(&t, q, i, x >> 20 & 3 ? VT_BUF + (x >> 30 & 0xffff) : x >> (x >> 58),
				(uint32_t)(x >> 40 & (x >> 62 ? 0xff : 0xffff)), x >> 56 & 3, i + 1);
		}
		if (x >> 13 & 3)
			put_lun(COMMAND(0), 3, x >> 15 & 1 ? 300 : 0);
		vt_desc(&t, q, 0, COMMAND(0), (x >> 17 & 7) ? COMMAND_LEN : (uint32_t)(x >> 20 & 63), D_NEXT, 1);
		vt_offer(&t, q, 0);
		vt_kick(&t, q);
		if (x >> 23 & 1)
			bench_settle(&b);
		if (vt_broken(&t)) {
			struct dev *d = &t.v->pci.dev;
			vt_set_common(&t, 0x14, 1, 0);
			memset(t.avail, 0, sizeof(t.avail));
			phys_write_buf(b.m->phys, VT_AVAIL(0), (uint8_t[0xc000]){ 0 }, 0xb000);
			vt_start(&t, &b, d, BIT(1) | BIT(2), 4);
		}
	}
	bench_settle(&b);
}
