/* NVMe as a driver sees it: queues, phases, pages of data, errors. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/disk/nvme.h"
#include "hw/pci/pci.h"
#include "tests/bench.h"

static struct bench b;
static char path[32];

#define SECTORS	8192u
#define RAM	(8u << 20)
#define BAR	0xe0000000u
#define ASQ	0x10000u
#define ACQ	0x11000u
#define SQ	0x12000u
#define CQ	0x13000u
#define LIST	0x14000u
#define BUF	0x100000u
#define ENTRIES	16u
enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24 };

static struct { unsigned tail, head, phase; } queue[2];
static const uint32_t sq_base[2] = { ASQ, SQ }, cq_base[2] = { ACQ, CQ };

static uint32_t get(unsigned off)
{
	return (uint32_t)phys_read(b.m->phys, BAR + off, 4);
}

static void set(unsigned off, uint32_t v)
{
	phys_write(b.m->phys, BAR + off, 4, v);
}

static uint32_t mem(uint64_t pa)
{
	return (uint32_t)phys_read(b.m->phys, pa, 4);
}

static void make_disk(void)
{
	strcpy(path, "/tmp/rhea-nvme-XXXXXX");
	int fd = mkstemp(path);
	for (uint32_t i = 0; i < SECTORS * 128; i++)
		cr_assert_eq(write(fd, &i, 4), 4);
	close(fd);
	bench_drive(&b, "disk", path, false);
}

static bool line(void)
{
	return b.line[0].level || b.line[1].level || b.line[2].level || b.line[3].level;
}

/* Put a command into queue q; data at PRP1 and PRP2. */
static void put(unsigned q, uint32_t opcode, uint16_t id, uint32_t nsid, uint64_t prp1, uint64_t prp2, uint32_t d10, uint32_t d11,
		uint32_t d12)
{
	uint8_t e[64] = { 0 };

	st32(e, opcode | (uint32_t)id << 16);
	st32(e + 4, nsid);
	st64(e + 24, prp1);
	st64(e + 32, prp2);
	st32(e + 40, d10);
	st32(e + 44, d11);
	st32(e + 48, d12);
	dma_write(b.m, sq_base[q] + 64 * queue[q].tail, e, sizeof(e));
	queue[q].tail = (queue[q].tail + 1) % ENTRIES;
}

static void ring(unsigned q)
{
	set(0x1000 + 8 * q, queue[q].tail);
	bench_settle(&b);
}

/* The next completion's status, or -1: there is none. */
static int take(unsigned q, uint16_t *id, uint32_t *result)
{
	uint64_t at = cq_base[q] + 16 * queue[q].head;
	uint32_t last = mem(at + 12);

	if ((last >> 16 & 1) != queue[q].phase)
		return -1;
	if (id)
		*id = (uint16_t)last;
	if (result)
		*result = mem(at);
	queue[q].head = (queue[q].head + 1) % ENTRIES;
	if (!queue[q].head)
		queue[q].phase ^= 1;
	set(0x1004 + 8 * q, queue[q].head);
	return (int)(last >> 17);
}

static int admin(uint32_t opcode, uint32_t nsid, uint64_t prp1, uint32_t d10, uint32_t d11, uint32_t *result)
{
	put(0, opcode, 7, nsid, prp1, 0, d10, d11, 0);
	ring(0);
	return take(0, NULL, result);
}

static int io(uint32_t opcode, uint64_t prp1, uint64_t prp2, uint32_t lba, uint32_t count)
{
	put(1, opcode, 9, 1, prp1, prp2, lba, 0, count - 1);
	ring(1);
	return take(1, NULL, NULL);
}

static void setup(void)
{
	bench_open_pci(&b, RAM);
	make_disk();
	cr_assert(dev_make(b.m, &nvme_type, NULL, "addr=4,drive=disk,serial=S1", &b.err), "%s", b.err.msg);
	pci_config_write(b.m->pci, 0, 4 * 8, 0x10, 4, BAR);
	pci_config_write(b.m->pci, 0, 4 * 8, 0x04, 2, 6);
	set(AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	set(0x28, ASQ);
	set(0x30, ACQ);
	set(CC, 0x00460001);
	queue[0].phase = queue[1].phase = 1;
	log_mask = 0;
}

static void make_queues(void)
{
	cr_assert_eq(admin(0x05, 0, CQ, (ENTRIES - 1) << 16 | 1, 3, NULL), 0);
	cr_assert_eq(admin(0x01, 0, SQ, (ENTRIES - 1) << 16 | 1, 1 << 16 | 1, NULL), 0);
}

static void teardown(void)
{
	bench_close(&b);
	unlink(path);
}

TestSuite(nvme, .init = setup, .fini = teardown, .timeout = 30);

Test(nvme, a_disk_that_is_refused_leaves_the_drive_with_its_disk)
{
	cr_assert_not(dev_make(b.m, &nvme_type, NULL, "addr=5,drive=disk", &b.err));
	cr_assert_not_null(drive_user(drive_find(b.m, "disk")));
}

Test(nvme, zeros_are_permanent_when_writes_are)
{
	const struct drive_stats *s = drive_stats(drive_find(b.m, "disk"));

	make_queues();
	cr_assert_eq(io(0x08, 0, 0, 8, 8), 0);
	cr_assert_eq(s->op[DRIVE_FLUSH].ops, 0);
	put(1, 0x08, 9, 1, 0, 0, 8, 0, 1u << 30 | 7);		/* forced unit access */
	ring(1);
	cr_assert_eq(take(1, NULL, NULL), 0);
	cr_assert_eq(s->op[DRIVE_FLUSH].ops, 1);
	cr_assert_eq(admin(0x09, 0, 0, 6, 0, NULL), 0);		/* no write cache */
	cr_assert_eq(io(0x08, 0, 0, 8, 8), 0);
	cr_assert_eq(s->op[DRIVE_FLUSH].ops, 2);
	cr_assert_eq(s->op[DRIVE_ZERO].ops, 3);
}

Test(nvme, comes_up_and_goes_down)
{
	cr_assert_eq(get(CSTS), 1);
	drive_hold(b.m, true);
	set(CC, 0x00464001);			/* shut down: what is written becomes permanent */
	cr_assert_eq(get(CSTS), 5);
	drive_hold(b.m, false);
	bench_settle(&b);
	cr_assert_eq(get(CSTS), 9);
	cr_assert_eq(drive_stats(drive_find(b.m, "disk"))->op[DRIVE_FLUSH].ops, 1);
	set(CC, 0);
	cr_assert_eq(get(CSTS), 0);
	set(CC, 0x00450001);			/* completion entries of 2^4, submission entries of 2^5 bytes */
	cr_assert_eq(get(CSTS), 2);
}

Test(nvme, identifies_controller_and_namespace)
{
	cr_assert_eq(admin(0x06, 0, BUF, 1, 0, NULL), 0);
	cr_assert_eq(mem(BUF) & 0xffff, 0x1b36);
	cr_assert_eq(mem(BUF + 4) & 0xffff, 0x3153);	/* S1 */
	cr_assert_eq(mem(BUF + 516), 1);
	cr_assert_eq(admin(0x06, 1, BUF, 0, 0, NULL), 0);
	cr_assert_eq(mem(BUF), SECTORS);
	cr_assert_eq(admin(0x06, 2, BUF, 0, 0, NULL), 0x00b);
	cr_assert_eq(admin(0x77, 0, 0, 0, 0, NULL), 0x001);
}

Test(nvme, the_pin_follows_the_doorbell)
{
	put(0, 0x06, 1, 0, BUF, 0, 1, 0, 0);
	ring(0);
	cr_assert(line());
	cr_assert_eq(take(0, NULL, NULL), 0);
	cr_assert_not(line());
}

Test(nvme, queues_are_made_and_deleted_in_order)
{
	cr_assert_eq(admin(0x01, 0, SQ, (ENTRIES - 1) << 16 | 1, 1 << 16 | 1, NULL), 0x100);
	cr_assert_eq(admin(0x05, 0, CQ, (ENTRIES - 1) << 16 | 99, 3, NULL), 0x101);
	make_queues();
	cr_assert_eq(admin(0x05, 0, CQ, (ENTRIES - 1) << 16 | 1, 3, NULL), 0x101);
	cr_assert_eq(admin(0x04, 0, 0, 1, 0, NULL), 0x10c);
	cr_assert_eq(admin(0x00, 0, 0, 1, 0, NULL), 0);
	cr_assert_eq(admin(0x04, 0, 0, 1, 0, NULL), 0);
}

Test(nvme, reads_through_one_two_and_many_pages)
{
	uint8_t entry[8];

	make_queues();
	cr_assert_eq(io(2, BUF + 512, 0, 3, 1), 0);
	cr_assert_eq(mem(BUF + 512), 3 * 128);
	cr_assert_eq(io(2, BUF + 0xe00, BUF + 0x5000, 8, 8), 0);	/* 512 bytes, then a page less 512 */
	cr_assert_eq(mem(BUF + 0xe00), 8 * 128);
	cr_assert_eq(mem(BUF + 0x5000), 9 * 128);
	for (unsigned i = 0; i < 15; i++) {			/* pages in reverse */
		st64(entry, BUF + 0x40000 - 0x1000 * i);
		dma_write(b.m, LIST + 8 * i, entry, 8);
	}
	cr_assert_eq(io(2, BUF, LIST, 0, 128), 0);
	cr_assert_eq(mem(BUF), 0);
	for (unsigned i = 0; i < 15; i++)
		cr_assert_eq(mem(BUF + 0x40000 - 0x1000 * i), (i + 1) * 1024);
}

/* 64 pages by a list with room for so many entries in its first page, the last of which leads on. */
static void read_by_list(unsigned room)
{
	uint8_t entry[8];
	uint32_t list = LIST + 0x1000 - 8 * room;

	for (unsigned i = 0; i < 63; i++) {
		st64(entry, BUF + 0x1000 * (i + 1));
		dma_write(b.m, i < room - 1 ? list + 8 * i : LIST + 0x1000 + 8 * (i - (room - 1)), entry, 8);
	}
	st64(entry, LIST + 0x1000);
	dma_write(b.m, LIST + 0xff8, entry, 8);
	cr_assert_eq(io(2, BUF, list, 0, 512), 0);
	for (unsigned i = 0; i < 64; i++)
		cr_assert_eq(mem(BUF + 0x1000 * i), i * 1024, "page %u: %x", i, mem(BUF + 0x1000 * i));
}

Test(nvme, a_list_goes_on_in_another_page)
{
	make_queues();
	read_by_list(32);
}

Test(nvme, a_list_may_begin_with_the_end_of_its_page)
{
	make_queues();
	read_by_list(1);
}

Test(nvme, writes_zeroes_and_deallocations_change_the_disk)
{
	uint8_t word[4], range[16] = { 0 };

	make_queues();
	st32(word, 0xfeedf00d);
	dma_write(b.m, BUF, word, 4);
	cr_assert_eq(io(1, BUF, 0, 50, 1), 0);
	cr_assert_eq(io(2, BUF + 0x1000, 0, 50, 1), 0);
	cr_assert_eq(mem(BUF + 0x1000), 0xfeedf00d);
	cr_assert_eq(io(8, 0, 0, 50, 1), 0);
	cr_assert_eq(io(2, BUF + 0x1000, 0, 50, 1), 0);
	cr_assert_eq(mem(BUF + 0x1000), 0);
	st32(range + 4, 8);
	st64(range + 8, 60);
	dma_write(b.m, BUF, range, sizeof(range));
	put(1, 9, 1, 1, BUF, 0, 0, 4, 0);
	ring(1);
	cr_assert_eq(take(1, NULL, NULL), 0);
	st64(range + 8, SECTORS);
	dma_write(b.m, BUF, range, sizeof(range));
	put(1, 9, 1, 1, BUF, 0, 0, 4, 0);
	ring(1);
	cr_assert_eq(take(1, NULL, NULL), 0x080);
	cr_assert_eq(io(0, 0, 0, 0, 1), 0);
}

/* Whoever cancels it waits for one piece. */
Test(nvme, a_long_range_is_deallocated_in_pieces)
{
	struct drive *d = drive_find(b.m, "disk");
	uint8_t range[16] = { 0 };

	make_queues();
	cr_assert(drive_resize(d, 8ull << 30, &b.err), "%s", b.err.msg);
	st32(range + 4, 1u << 24);
	phys_write_buf(b.m->phys, BUF, range, sizeof(range));
	put(1, 0x09, 9, 1, BUF, 0, 0, 4, 0);
	ring(1);
	cr_assert_eq(take(1, NULL, NULL), 0);
	cr_assert_gt(drive_stats(d)->op[DRIVE_DISCARD].ops, 1);
	cr_assert_eq(drive_stats(d)->op[DRIVE_DISCARD].bytes, 8ull << 30);
}

Test(nvme, what_is_outside_the_disk_fails)
{
	make_queues();
	cr_assert_eq(io(2, BUF, 0, SECTORS - 1, 2), 0x080);
	cr_assert_eq(io(2, BUF, 0, 0xffffffff, 1), 0x080);
	put(1, 2, 1, 2, BUF, 0, 0, 0, 0);
	ring(1);
	cr_assert_eq(take(1, NULL, NULL), 0x00b);
}

Test(nvme, phases_turn_when_a_queue_wraps)
{
	uint16_t id = 0;

	make_queues();
	for (unsigned i = 0; i < 3 * ENTRIES; i++) {
		put(1, 0, (uint16_t)i, 1, 0, 0, 0, 0, 0);
		ring(1);
		cr_assert_eq(take(1, &id, NULL), 0);
		cr_assert_eq(id, i);
	}
}

/* Completions have no room until the driver takes some: commands wait. */
Test(nvme, a_full_completion_queue_holds_commands_back)
{
	unsigned n = 0;

	cr_assert_eq(admin(0x05, 0, CQ, 3 << 16 | 1, 3, NULL), 0);	/* four entries */
	cr_assert_eq(admin(0x01, 0, SQ, (ENTRIES - 1) << 16 | 1, 1 << 16 | 1, NULL), 0);
	for (unsigned i = 0; i < 10; i++)		/* of no known kind: over at once */
		put(1, 0x77, (uint16_t)i, 1, 0, 0, 0, 0, 0);
	ring(1);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(mem(CQ + 16 * i + 12) & 0x1ffff, 0x10000 | i);
	cr_assert_eq(mem(CQ + 16 * 3 + 12), 0);
	for (unsigned head = 1; head < 11; head++, n++) {
		set(0x100c, head % 4);
		bench_settle(&b);
	}
	cr_assert_eq(mem(CQ + 16 * 1 + 12) & 0xffff, 9);
}

Test(nvme, features_and_logs)
{
	uint32_t result = 0;

	cr_assert_eq(admin(0x0a, 0, 0, 7, 0, &result), 0);
	cr_assert_eq(result, 15 << 16 | 15);
	cr_assert_eq(admin(0x09, 0, 0, 6, 0, NULL), 0);
	cr_assert_eq(admin(0x0a, 0, 0, 6, 0, &result), 0);
	cr_assert_eq(result, 0);
	cr_assert_eq(admin(0x02, 0xffffffff, BUF, 127 << 16 | 2, 0, NULL), 0);
	cr_assert_eq(mem(BUF) >> 8 & 0xffff, 303);
	cr_assert_eq(admin(0x02, 0, BUF, 0x99, 0, NULL), 0x109);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(admin(0x0c, 0, 0, 0, 0, NULL), -1);
	cr_assert_eq(admin(0x0c, 0, 0, 0, 0, NULL), 0x105);
}

/* Its second completion would clear CC, and with it the queue that is being written to. */
Test(nvme, its_own_registers_are_no_queue)
{
	set(CC, 0);
	set(0x30, BAR);
	set(CC, 0x00460001);
	queue[0].tail = 0;
	for (int i = 0; i < 4; i++) {
		put(0, 0x77, 7, 0, 0, 0, 0, 0, 0);
		ring(0);
	}
	cr_assert_eq(get(CSTS), 1);
	cr_assert_eq(get(CC), 0x00460001);
}

Test(nvme, random_commands_do_no_harm)
{
	uint64_t seed = 5;

	make_queues();
	for (int i = 0; i < 30000; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		uint32_t v = (uint32_t)(seed >> 32);
		if (i % 3)
			phys_write(b.m->phys, (v & 1 ? SQ : v & 2 ? ASQ : LIST) + (v >> 8 & 0xffc), 4, v & 4 ? v >> 16 : (uint32_t)(seed >> 24));
		else
			set(0x1000 + 4 * (v >> 4 & 3), v >> 12 & 15);
		if (i % 500 == 0) {
			bench_settle(&b);
			set(CC, 0);
			set(CC, 0x00460001);
		}
	}
	bench_settle(&b);
}
