/* virtio-blk as its driver sees it, and what it makes of rings that break the rules. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/virtio/virtio_blk.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;
static struct drive *disk;
static char path[32];

#define DISK_SECTORS	1024u
#define HEADER		VT_BUF
#define DATA		(VT_BUF + 0x1000u)
#define STATUS		(VT_BUF + 0x800u)

/* A disk in which every doubleword says where it is. */
static struct dev *make(const char *props)
{
	char all[128];

	vt_machine(&b);
	strcpy(path, "/tmp/rhea-vblk-XXXXXX");
	int fd = mkstemp(path);
	for (uint32_t i = 0; i < DISK_SECTORS * 128; i++)
		cr_assert_eq(write(fd, &i, 4), 4);
	close(fd);
	disk = bench_drive(&b, "d", path, !strcmp(props, "ro"));
	snprintf(all, sizeof(all), "addr=4,drive=d,serial=S123,%s", strcmp(props, "ro") ? props : "");
	struct dev *d = dev_make(b.m, &virtio_blk_type, NULL, all, &b.err);
	cr_assert(d, "%s", b.err.msg);
	return d;
}

static void setup(void)
{
	vt_start(&t, &b, make(""), VIRTIO_INDIRECT_DESC | BIT(9) | BIT(13) | BIT(14), 1);
}

static void teardown(void)
{
	bench_close(&b);
	unlink(path);
}
TestSuite(virtio_blk, .init = setup, .fini = teardown, .timeout = 20);
TestSuite(virtio_blk_bare, .fini = teardown, .timeout = 20);

/* Tell the device, and let it finish. */
static void kick(void)
{
	vt_kick(&t, 0);
	bench_settle(&b);
}

static void header(uint32_t type, uint64_t sector)
{
	wr(HEADER, type);
	wr(HEADER + 4, 0);
	wr(HEADER + 8, (uint32_t)sector);
	wr(HEADER + 12, (uint32_t)(sector >> 32));
	phys_write(b.m->phys, STATUS, 1, 0xee);
}

/* Header, n bytes at DATA, status: the status, or -1 if the request was not answered. */
static int ask(uint32_t type, uint64_t sector, uint32_t n, bool in, uint32_t *used)
{
	uint32_t id, len;

	header(type, sector);
	vt_desc(&t, 0, 0, HEADER, 16, D_NEXT, n ? 1 : 2);
	vt_desc(&t, 0, 1, DATA, n, D_NEXT | (in ? D_WRITE : 0), 2);
	vt_desc(&t, 0, 2, STATUS, 1, D_WRITE, 0);
	vt_offer(&t, 0, 0);
	kick();
	if (!vt_take(&t, 0, &id, &len))
		return -1;
	cr_assert_eq(id, 0);
	if (used)
		*used = len;
	return (int)phys_read(b.m->phys, STATUS, 1);
}

/* ---- the transport ---- */

Test(virtio_blk, configuration_space_leads_to_the_parts)
{
	unsigned seen = 0;
	uint32_t at = pci_config_read(b.m->pci, 0, 32, 0x34, 1);

	cr_assert_eq(pci_config_read(b.m->pci, 0, 32, 0, 4), 0x10011af4);
	cr_assert_eq(pci_config_read(b.m->pci, 0, 32, 0x2e, 2), 2);
	for (; at; at = pci_config_read(b.m->pci, 0, 32, at + 1, 1))
		if (pci_config_read(b.m->pci, 0, 32, at, 1) == 9)
			seen |= 1u << pci_config_read(b.m->pci, 0, 32, at + 3, 1);
	cr_assert_eq(seen, 0x3e);		/* common, notify, isr, device, pci */
}

Test(virtio_blk, the_window_reaches_registers_without_a_bar)
{
	uint32_t at = pci_config_read(b.m->pci, 0, 32, 0x34, 1);

	while (pci_config_read(b.m->pci, 0, 32, at, 1) != 9 || pci_config_read(b.m->pci, 0, 32, at + 3, 1) != 5)
		at = pci_config_read(b.m->pci, 0, 32, at + 1, 1);
	pci_config_write(b.m->pci, 0, 32, at + 4, 1, 4);
	pci_config_write(b.m->pci, 0, 32, at + 8, 4, 0x2000);
	pci_config_write(b.m->pci, 0, 32, at + 12, 4, 4);
	cr_assert_eq(pci_config_read(b.m->pci, 0, 32, at + 16, 4), DISK_SECTORS);
	pci_config_write(b.m->pci, 0, 32, at + 8, 4, 0xfffffffc);
	pci_config_read(b.m->pci, 0, 32, at + 16, 4);
}

Test(virtio_blk_bare, features_ok_needs_version_1)
{
	vt_map(&t, &b, make(""));
	vt_set_common(&t, 0x14, 1, 3);
	vt_set_common(&t, 0x14, 1, 0x0b);
	cr_assert_eq(vt_common(&t, 0x14, 1), 3);
}

Test(virtio_blk_bare, a_driver_of_version_1_is_ready_after_features_ok)
{
	vt_map(&t, &b, make(""));
	vt_set_common(&t, 0x14, 1, 3);
	vt_set_common(&t, 0x08, 4, 1);
	vt_set_common(&t, 0x0c, 4, (uint32_t)(VIRTIO_VERSION_1 >> 32));
	vt_set_common(&t, 0x14, 1, 0x07);
	cr_assert_eq(vt_common(&t, 0x14, 1), 3);
	vt_set_common(&t, 0x14, 1, 0x0f);
	cr_assert_eq(vt_common(&t, 0x14, 1), 0x0f);
}

Test(virtio_blk_bare, features_that_are_not_offered_are_not_accepted)
{
	vt_map(&t, &b, make("ro"));
	cr_assert(vt_offered(&t) & BIT(5));
	cr_assert_not(vt_offered(&t) & BIT(13));
	vt_set_common(&t, 0x08, 4, 0);
	vt_set_common(&t, 0x0c, 4, 0xffffffff);
	vt_set_common(&t, 0x08, 4, 1);
	vt_set_common(&t, 0x0c, 4, 0xffffffff);
	cr_assert_eq(t.v->features, vt_offered(&t));
}

Test(virtio_blk, queue_sizes_are_powers_of_two_up_to_the_maximum)
{
	static const uint16_t wrong[] = { 0, 3, 512, 0xffff };

	vt_set_common(&t, 0x14, 1, 0);
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		vt_set_common(&t, 0x18, 2, wrong[i]);
		cr_assert_eq(vt_common(&t, 0x18, 2), 256);
	}
	vt_set_common(&t, 0x18, 2, 64);
	cr_assert_eq(vt_common(&t, 0x18, 2), 64);
	vt_set_common(&t, 0x16, 2, 1);		/* no such queue */
	cr_assert_eq(vt_common(&t, 0x18, 2), 0);
}

Test(virtio_blk, reading_isr_acknowledges)
{
	cr_assert_not(INTX);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
	cr_assert(INTX);
	cr_assert_eq(vt_isr(&t), 1);
	cr_assert_not(INTX);
	cr_assert_eq(vt_isr(&t), 0);
}

Test(virtio_blk, the_driver_may_ask_for_no_interrupts)
{
	phys_write(b.m->phys, VT_AVAIL(0), 2, 1);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
	cr_assert_not(INTX);
}

Test(virtio_blk, masked_vectors_stay_pending)
{
	uint32_t at = pci_config_read(b.m->pci, 0, 32, 0x34, 1), table = VT_BAR + 0x10000;

	while (pci_config_read(b.m->pci, 0, 32, at, 1) != 0x11)
		at = pci_config_read(b.m->pci, 0, 32, at + 1, 1);
	pci_config_write(b.m->pci, 0, 32, at + 2, 2, 0x8000);
	vt_set_common(&t, 0x16, 2, 0);
	vt_set_common(&t, 0x1a, 2, 7);
	cr_assert_eq(vt_common(&t, 0x1a, 2), 0xffff);	/* there are two */
	vt_set_common(&t, 0x1a, 2, 1);
	wr(table + 16, 0xfee00000);
	wr(table + 24, 0x4041);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
	cr_assert_eq(b.n_msi, 0);
	cr_assert_eq(rd(table + 0x800), 2);
	wr(table + 28, 0);
	cr_assert_eq(b.n_msi, 1);
	cr_assert_eq(b.msi_data, 0x4041);
	cr_assert_eq(rd(table + 0x800), 0);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
	cr_assert_eq(b.n_msi, 2);
	cr_assert_not(INTX);
}

/* ---- the disk ---- */

Test(virtio_blk, reads_sectors)
{
	uint32_t used;

	cr_assert_eq(ask(0, 5, 1024, true, &used), 0);
	cr_assert_eq(used, 1025);
	for (uint32_t i = 0; i < 256; i++)
		cr_assert_eq(rd(DATA + 4 * i), 5 * 128 + i);
}

Test(virtio_blk, writes_sectors_and_flushes)
{
	uint32_t back[128];

	wr(DATA + 8, 0x12345678);
	cr_assert_eq(ask(1, 9, 512, false, NULL), 0);
	cr_assert_eq(ask(4, 0, 0, false, NULL), 0);
	cr_assert(drive_transfer(disk, DRIVE_READ, 9, back, 1, &b.err));
	cr_assert_eq(back[2], 0x12345678);
}

Test(virtio_blk, requests_outside_the_disk_fail)
{
	cr_assert_eq(ask(0, DISK_SECTORS - 1, 1024, true, NULL), 1);
	cr_assert_eq(ask(0, ~0ull, 512, true, NULL), 1);
	cr_assert_eq(ask(1, DISK_SECTORS, 512, false, NULL), 1);
	cr_assert_eq(ask(0, 0, 100, true, NULL), 1);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
}

Test(virtio_blk, unknown_requests_are_unsupported)
{
	cr_assert_eq(ask(77, 0, 512, true, NULL), 2);
}

Test(virtio_blk, tells_its_serial_number)
{
	cr_assert_eq(ask(8, 0, 20, true, NULL), 0);
	cr_assert_eq(rd(DATA), 0x33323153);	/* "S123" */
	cr_assert_eq(rd(DATA + 4), 0);
}

Test(virtio_blk, write_zeroes_clears_ranges)
{
	uint32_t back[256];

	wr(DATA, 3);
	wr(DATA + 4, 0);
	wr(DATA + 8, 1);
	wr(DATA + 12, 0);
	cr_assert_eq(ask(13, 0, 16, false, NULL), 0);
	cr_assert(drive_transfer(disk, DRIVE_READ, 3, back, 2, &b.err));
	cr_assert_eq(back[0] | back[127], 0);
	cr_assert_eq(back[128], 4 * 128);
	wr(DATA + 8, DISK_SECTORS);
	cr_assert_eq(ask(13, 0, 16, false, NULL), 1);
	wr(DATA + 12, 0x80);
	cr_assert_eq(ask(13, 0, 16, false, NULL), 2);
	cr_assert_eq(ask(11, 0, 15, false, NULL), 1);
}

Test(virtio_blk_bare, a_read_only_disk_refuses_writes)
{
	vt_start(&t, &b, make("ro"), 0, 1);
	cr_assert_eq(ask(1, 0, 512, false, NULL), 1);
	cr_assert_eq(ask(13, 0, 16, false, NULL), 1);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
}

Test(virtio_blk, indirect_tables_hold_a_request)
{
	uint32_t id, len, table = VT_BUF + 0x8000;

	header(0, 7);
	vt_desc(&t, 0, 0, HEADER, 16, D_NEXT, 1);
	vt_desc(&t, 0, 1, DATA, 512, D_NEXT | D_WRITE, 2);
	vt_desc(&t, 0, 2, STATUS, 1, D_WRITE, 0);
	for (unsigned i = 0; i < 12; i++)
		wr(table + 4 * i, rd(VT_DESC(0) + 4 * i));
	vt_desc(&t, 0, 5, table, 48, D_INDIRECT, 0);
	vt_offer(&t, 0, 5);
	kick();
	cr_assert(vt_take(&t, 0, &id, &len));
	cr_assert_eq(id, 5);
	cr_assert_eq(rd(DATA), 7 * 128);
}

Test(virtio_blk_bare, event_indices_hold_interrupts_and_notifications)
{
	vt_start(&t, &b, make(""), VIRTIO_EVENT_IDX, 1);
	phys_write(b.m->phys, VT_AVAIL(0) + 4 + 2 * VT_QSIZE, 2, 1);	/* at the second one */
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
	vt_isr(&t);
	cr_assert_eq(phys_read(b.m->phys, VT_USED(0) + 4 + 8 * VT_QSIZE, 2), 1);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
	cr_assert(INTX);
	vt_isr(&t);
	cr_assert_eq(ask(0, 0, 512, true, NULL), 0);
	cr_assert_not(INTX);			/* used_event stands behind */
	cr_assert_eq(phys_read(b.m->phys, VT_USED(0) + 4 + 8 * VT_QSIZE, 2), 3);
}

Test(virtio_blk_bare, the_legacy_interface_works)
{
	uint32_t pfn = 0x20, base = pfn << 12, used = align_up(base + 256 * 16 + 6 + 512, 4096);

	vt_map(&t, &b, make("disable-modern=on"));
	cr_assert_eq(bench_in(&b, 0xc000, 4) >> 9 & 1, 1);
	cr_assert_eq(bench_in(&b, 0xc014, 4), DISK_SECTORS);
	bench_out(&b, 0xc012, 1, 3);
	bench_out(&b, 0xc004, 4, 1 << 9);
	bench_out(&b, 0xc00e, 2, 0);
	cr_assert_eq(bench_in(&b, 0xc00c, 2), 256);
	bench_out(&b, 0xc008, 4, pfn);
	bench_out(&b, 0xc012, 1, 7);
	header(0, 2);
	static const uint32_t d[3][4] = {
		{ HEADER, 0, 16, D_NEXT | 1 << 16 }, { DATA, 0, 512, D_NEXT | D_WRITE | 2 << 16 },
		{ STATUS, 0, 1, D_WRITE },
	};
	phys_write_buf(b.m->phys, base, d, sizeof(d));
	phys_write(b.m->phys, base + 256 * 16 + 2, 2, 1);
	bench_out(&b, 0xc010, 2, 0);
	bench_settle(&b);
	cr_assert_eq(phys_read(b.m->phys, used + 2, 2), 1);
	cr_assert_eq(rd(DATA), 256);
	cr_assert(INTX);
	cr_assert_eq(bench_in(&b, 0xc013, 1), 1);
	cr_assert_not(INTX);
}

/* ---- hostile drivers ---- */

static void broken_by_chain(void)
{
	vt_offer(&t, 0, 0);
	kick();
	cr_assert(vt_broken(&t));
	kick();				/* and rests */
	cr_assert_eq(phys_read(b.m->phys, VT_USED(0) + 2, 2), 0);
}

Test(virtio_blk, a_loop_of_descriptors_ends)
{
	header(0, 0);
	vt_desc(&t, 0, 0, HEADER, 16, D_NEXT, 1);
	vt_desc(&t, 0, 1, HEADER, 16, D_NEXT, 0);
	broken_by_chain();
}

Test(virtio_blk, a_descriptor_outside_the_table_is_refused)
{
	vt_desc(&t, 0, 0, HEADER, 16, D_NEXT, VT_QSIZE);
	broken_by_chain();
}

Test(virtio_blk, a_head_outside_the_table_is_refused)
{
	vt_offer(&t, 0, 0xffff);
	kick();
	cr_assert(vt_broken(&t));
}

Test(virtio_blk, readable_parts_come_first)
{
	vt_desc(&t, 0, 0, STATUS, 1, D_WRITE | D_NEXT, 1);
	vt_desc(&t, 0, 1, HEADER, 16, 0, 0);
	broken_by_chain();
}

Test(virtio_blk, a_request_needs_header_and_status)
{
	vt_desc(&t, 0, 0, HEADER, 15, D_NEXT, 1);
	vt_desc(&t, 0, 1, STATUS, 1, D_WRITE, 0);
	broken_by_chain();
}

Test(virtio_blk, buffers_outside_memory_are_refused)
{
	static const uint64_t wrong[] = { VT_RAM, VT_RAM - 256, VT_BAR, VT_BAR + 0x3000, 1ull << 52, ~0ull - 100 };

	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		vt_start(&t, &b, &t.v->pci.dev, 0, 1);
		phys_write(b.m->phys, VT_AVAIL(0) + 2, 2, 0);
		phys_write(b.m->phys, VT_USED(0) + 2, 2, 0);
		header(0, 0);
		vt_desc(&t, 0, 0, HEADER, 16, D_NEXT, 1);
		vt_desc(&t, 0, 1, wrong[i], 512, D_NEXT | D_WRITE, 2);
		vt_desc(&t, 0, 2, STATUS, 1, D_WRITE, 0);
		vt_offer(&t, 0, 0);
		kick();
		cr_assert(vt_broken(&t), "%u", i);
		vt_set_common(&t, 0x14, 1, 0);
		cr_assert_eq(vt_common(&t, 0x14, 1), 0);
	}
}

Test(virtio_blk, giant_lengths_are_refused)
{
	header(0, 0);
	vt_desc(&t, 0, 0, HEADER, 16, D_NEXT, 1);
	vt_desc(&t, 0, 1, DATA, 0xffffffff, D_NEXT | D_WRITE, 2);
	vt_desc(&t, 0, 2, STATUS, 1, D_WRITE, 0);
	vt_offer(&t, 0, 0);
	kick();
	cr_assert_eq(phys_read(b.m->phys, STATUS, 1), 1);
}

Test(virtio_blk, an_avail_index_beyond_the_queue_is_refused)
{
	phys_write(b.m->phys, VT_AVAIL(0) + 2, 2, VT_QSIZE + 1);
	kick();
	cr_assert(vt_broken(&t));
}

Test(virtio_blk, indirect_tables_do_not_nest)
{
	uint32_t table = VT_BUF + 0x8000;

	vt_desc(&t, 0, 1, table, 16, D_INDIRECT, 0);
	for (unsigned i = 0; i < 4; i++)
		wr(table + 4 * i, rd(VT_DESC(0) + 16 + 4 * i));
	vt_desc(&t, 0, 0, table, 16, D_INDIRECT, 0);
	broken_by_chain();
}

Test(virtio_blk, indirect_tables_have_whole_lengths)
{
	vt_desc(&t, 0, 0, VT_BUF, 20, D_INDIRECT, 0);
	broken_by_chain();
}

Test(virtio_blk, rings_in_registers_are_refused)
{
	vt_set_common(&t, 0x14, 1, 0);
	vt_set_common(&t, 0x16, 2, 0);
	vt_set_common(&t, 0x20, 4, VT_BAR);
	vt_set_common(&t, 0x28, 4, VT_BAR + 0x3000);
	vt_set_common(&t, 0x30, 4, VT_BAR + 0x3000);
	vt_set_common(&t, 0x1c, 2, 1);
	vt_set_common(&t, 0x08, 4, 1);
	vt_set_common(&t, 0x0c, 4, 1);
	vt_set_common(&t, 0x14, 1, 0x0f);
	kick();
	cr_assert(vt_broken(&t));
}

/* Random rings, random registers: whatever comes, it ends. The seed is fixed. */
Test(virtio_blk, random_rings_do_no_harm)
{
	uint64_t x = 88172645463325252ull;

	for (int k = 0; k < 4000; k++) {
		for (unsigned i = 0; i < VT_QSIZE; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			vt_desc(&t, 0, i, x >> 20 & (x & 1 ? 0x3fffff : ~0ull), (uint32_t)x & (x & 2 ? 0xfff : ~0u),
				(x >> 8 & 7), (x >> 12) % (VT_QSIZE + 1));
		}
		header(x >> 3 & 15, x >> 30 & 0x7ff);
		vt_desc(&t, 0, 0, HEADER, 16, D_NEXT, 1);
		vt_offer(&t, 0, x >> 50 & 3 ? 0 : (unsigned)(x >> 52));
		kick();
		if (k % 16 == 0)
			vt_set_common(&t, (unsigned)(x >> 40) % 0x38, 1 << (x >> 60) % 3, (uint32_t)x);
		if (vt_broken(&t) || k % 64 == 63) {
			vt_set_common(&t, 0x14, 1, 0);
			phys_write(b.m->phys, VT_AVAIL(0) + 2, 2, 0);
			vt_start(&t, &b, &t.v->pci.dev, VIRTIO_INDIRECT_DESC | (x & 8 ? VIRTIO_EVENT_IDX : 0), 1);
		}
		bench_run(&b, 1000);
	}
}

/* ---- several at once ---- */

/* Request k reads sector s to its own place. */
static void offer_read(unsigned k, uint64_t s)
{
	uint32_t h = HEADER + 32 * k, data = DATA + 0x1000 * k, status = STATUS + k;

	wr(h, 0);
	wr(h + 4, 0);
	wr(h + 8, (uint32_t)s);
	wr(h + 12, 0);
	phys_write(b.m->phys, status, 1, 0xee);
	vt_desc(&t, 0, 3 * k, h, 16, D_NEXT, 3 * k + 1);
	vt_desc(&t, 0, 3 * k + 1, data, 512, D_NEXT | D_WRITE, 3 * k + 2);
	vt_desc(&t, 0, 3 * k + 2, status, 1, D_WRITE, 0);
	vt_offer(&t, 0, 3 * k);
}

Test(virtio_blk, several_requests_are_under_way_at_once)
{
	uint32_t id, len;
	bool seen[5] = { false };

	drive_hold(b.m, true);
	for (unsigned k = 0; k < 5; k++)
		offer_read(k, 10 + k);
	vt_kick(&t, 0);
	cr_assert_not(vt_take(&t, 0, &id, &len));
	cr_assert_not(INTX);
	drive_hold(b.m, false);
	bench_settle(&b);
	for (unsigned k = 0; k < 5; k++) {
		cr_assert(vt_take(&t, 0, &id, &len));
		cr_assert_eq(len, 513);
		seen[id / 3] = true;
	}
	for (unsigned k = 0; k < 5; k++) {
		cr_assert(seen[k]);
		cr_assert_eq(rd(DATA + 0x1000 * k), (10 + k) * 128);
	}
	cr_assert(INTX);
}

Test(virtio_blk, requests_that_were_answered_make_room)
{
	for (unsigned k = 0; k < 2 * 256; k++)
		cr_assert_eq(ask(0, 0, 512, true, NULL), 0, "request %u", k);
}

Test(virtio_blk, a_reset_by_the_driver_forgets_what_is_under_way)
{
	uint32_t id, len;

	drive_hold(b.m, true);
	offer_read(0, 10);
	wr(DATA, 0x12345678);
	vt_kick(&t, 0);
	cr_assert(drive_busy(disk));
	vt_set_common(&t, 0x14, 1, 0);
	cr_assert_not(drive_busy(disk));
	drive_hold(b.m, false);
	bench_settle(&b);
	cr_assert_eq(rd(DATA), 0x12345678);
	cr_assert_not(vt_take(&t, 0, &id, &len));
}

Test(virtio_blk, the_same_buffer_offered_for_ever_breaks_the_device)
{
	drive_hold(b.m, true);
	offer_read(0, 10);
	vt_kick(&t, 0);
	for (unsigned k = 0; k < 300 && !vt_broken(&t); k++) {
		vt_offer(&t, 0, 0);
		vt_kick(&t, 0);
	}
	cr_assert(vt_broken(&t));
}

Test(virtio_blk_bare, there_may_be_several_queues)
{
	uint32_t id, len;

	vt_start(&t, &b, make("num-queues=4"), BIT(12), 4);
	cr_assert_eq(vt_config(&t, 34, 2), 4);
	header(0, 7);
	vt_desc(&t, 3, 0, HEADER, 16, D_NEXT, 1);
	vt_desc(&t, 3, 1, DATA, 512, D_NEXT | D_WRITE, 2);
	vt_desc(&t, 3, 2, STATUS, 1, D_WRITE, 0);
	vt_offer(&t, 3, 0);
	vt_kick(&t, 3);
	bench_settle(&b);
	cr_assert(vt_take(&t, 3, &id, &len));
	cr_assert_eq(rd(DATA), 7 * 128);
}

Test(virtio_blk_bare, a_disk_that_is_refused_leaves_the_drive_with_its_disk)
{
	make("");
	cr_assert_not(dev_make(b.m, &virtio_blk_type, NULL, "drive=d,num-queues=0", &b.err));
	cr_assert_not(dev_make(b.m, &virtio_blk_type, NULL, "drive=d", &b.err));
	cr_assert_not_null(drive_user(disk));
}

Test(virtio_blk_bare, without_a_write_cache_writes_are_flushed)
{
	vt_start(&t, &b, make(""), BIT(9) | BIT(11), 1);
	cr_assert_eq(vt_config(&t, 32, 1), 1);
	cr_assert_eq(ask(1, 0, 512, false, NULL), 0);
	cr_assert_eq(drive_stats(disk)->op[DRIVE_FLUSH].ops, 0);
	phys_write(b.m->phys, VT_BAR + 0x2000 + 32, 1, 0);
	cr_assert_eq(ask(1, 0, 512, false, NULL), 0);
	cr_assert_eq(drive_stats(disk)->op[DRIVE_FLUSH].ops, 1);
}
