/* virtio-balloon: pages that go, sizes that are told, statistics. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/virtio/virtio_balloon.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;
static struct virtio_balloon *balloon;

enum { INFLATE, DEFLATE, STATS, REPORTING };
#define F_STATS		BIT(1)
#define F_REPORTING	BIT(5)
#define PAGE		4096u

static void setup(void)
{
	vt_machine(&b);
	struct dev *d = dev_make(b.m, &virtio_balloon_type, NULL, "addr=4,free-page-reporting=on", &b.err);
	cr_assert(d, "%s", b.err.msg);
	balloon = balloon_find(b.m);
	vt_start(&t, &b, d, F_STATS | F_REPORTING, 4);
}
static void teardown(void) { bench_close(&b); }
TestSuite(virtio_balloon, .init = setup, .fini = teardown, .timeout = 20);

static void fill(uint64_t pa, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += 8)
		phys_write(b.m->phys, pa + i, 8, 0x1122334455667788 + i);
}

static uint64_t at(uint64_t pa) { return phys_read(b.m->phys, pa, 8); }

static void list(unsigned q, const uint32_t *pages, unsigned n)
{
	uint32_t id, len;

	phys_write_buf(b.m->phys, VT_BUF, pages, 4 * n);
	vt_desc(&t, q, 0, VT_BUF, 4 * n, 0, 0);
	vt_offer(&t, q, 0);
	vt_kick(&t, q);
	cr_assert(vt_take(&t, q, &id, &len));
}

Test(virtio_balloon, pages_in_the_balloon_are_gone_and_others_stay)
{
	static const uint32_t pages[] = { 0x205, 0x204, 0x203, 0x208, 0x209, 0x20c };

	fill(0x200000, 16 * PAGE);
	list(INFLATE, pages, ARRAY_LEN(pages));
	for (unsigned i = 0; i < 16; i++) {
		bool gone = (i >= 3 && i <= 5) || i == 8 || i == 9 || i == 12;
		cr_expect_eq(at(0x200000 + i * PAGE) == 0, gone, "page %u", i);
		cr_expect_eq(at(0x200000 + i * PAGE + 4088) == 0, gone, "page %u", i);
	}
	list(DEFLATE, pages, ARRAY_LEN(pages));
}

Test(virtio_balloon, pages_that_are_no_ram_do_no_harm)
{
	static const uint32_t pages[] = { 0xffffffff, 0xe0000, 0xfffff, 0x400, 0x3ff };

	fill(0x3ff000, PAGE);
	list(INFLATE, pages, ARRAY_LEN(pages));
	cr_assert_eq(at(0x3ff000), 0);
}

Test(virtio_balloon, giving_back_is_seen_by_dirty_tracking)
{
	static const uint32_t page = 0x210;
	struct ram *r = phys_ram_nth(b.m->phys, 0);

	phys_log_dirty(b.m->phys, r, 0, r->size, true);
	phys_test_clear_dirty(b.m->phys, r, 0x210000);
	list(INFLATE, &page, 1);
	cr_assert(phys_test_clear_dirty(b.m->phys, r, 0x210000));
}

Test(virtio_balloon, sizes_are_told_both_ways)
{
	cr_assert_eq(balloon_actual(balloon), VT_RAM);
	balloon_set(balloon, VT_RAM - 10 * PAGE);
	cr_assert_eq(vt_config(&t, 0, 4), 10);
	cr_assert(vt_isr(&t) & 2);
	phys_write(b.m->phys, VT_BAR + 0x2000 + 4, 4, 7);
	cr_assert_eq(balloon_actual(balloon), VT_RAM - 7 * PAGE);
	phys_write(b.m->phys, VT_BAR + 0x2000, 4, 99);
	cr_assert_eq(vt_config(&t, 0, 4), 10, "the host's half is not the driver's to write");
	phys_write(b.m->phys, VT_BAR + 0x2000 + 4, 4, 0xffffffff);
	cr_assert_eq(balloon_actual(balloon), 0);
	balloon_set(balloon, 1ull << 50);
	cr_assert_eq(vt_config(&t, 0, 4), 0);
}

Test(virtio_balloon, there_is_one)
{
	cr_assert_null(dev_make(b.m, &virtio_balloon_type, NULL, NULL, &b.err));
}

static void offer_stat(unsigned i, uint16_t tag, uint64_t value)
{
	uint8_t s[10];

	st16(s, tag);
	st64(s + 2, value);
	phys_write_buf(b.m->phys, VT_BUF + 0x1000 * i, s, sizeof(s));
	vt_desc(&t, STATS, i, VT_BUF + 0x1000 * i, sizeof(s), 0, 0);
	vt_offer(&t, STATS, i);
	vt_kick(&t, STATS);
}

Test(virtio_balloon, statistics_are_asked_for_and_kept)
{
	uint64_t v[BALLOON_N_STATS];
	uint32_t id, len;

	cr_assert_eq(balloon_stats(balloon, v), 0);
	cr_assert_eq(v[BALLOON_FREE], BALLOON_UNKNOWN);
	offer_stat(0, 4, 12345);
	cr_assert_neq(balloon_stats(balloon, v), 0);
	cr_assert_eq(v[BALLOON_FREE], 12345);
	cr_assert_eq(v[BALLOON_TOTAL], BALLOON_UNKNOWN);
	cr_assert_not(vt_take(&t, STATS, &id, &len));
	balloon_set_interval(balloon, 2);
	bench_run(&b, 3 * NS_PER_SEC);
	cr_assert(vt_take(&t, STATS, &id, &len), "asked by giving the buffer back");
	offer_stat(1, 4, 777);
	balloon_stats(balloon, v);
	cr_assert_eq(v[BALLOON_FREE], 777);
	offer_stat(2, 999, 1);			/* nobody knows it */
	cr_assert_not(vt_broken(&t));
}

Test(virtio_balloon, reported_pages_go_whole_ones_only)
{
	uint32_t id, len;

	fill(0x300000, 4 * PAGE);
	vt_desc(&t, REPORTING, 0, 0x300800, 3 * PAGE, D_WRITE, 0);
	vt_offer(&t, REPORTING, 0);
	vt_kick(&t, REPORTING);
	cr_assert(vt_take(&t, REPORTING, &id, &len));
	cr_assert_neq(at(0x300000), 0);
	cr_assert_eq(at(0x301000), 0);
	cr_assert_eq(at(0x302000), 0);
	cr_assert_neq(at(0x303000), 0);
}

static bool reported(uint64_t pa, uint32_t n)
{
	uint32_t id, len;

	vt_desc(&t, REPORTING, 0, pa, n, D_WRITE, 0);
	vt_offer(&t, REPORTING, 0);
	vt_kick(&t, REPORTING);
	return vt_take(&t, REPORTING, &id, &len);
}

Test(virtio_balloon, reports_that_reach_behind_the_last_address_are_nothing)
{
	fill(0x300000, PAGE);
	cr_assert(reported(0xfffffffffffff001, 0xf00));
	cr_assert(reported(0xfffffffffffff000, 4 * PAGE));
	cr_assert(reported(0xffffffffffffffff, 0x400000));
	cr_assert_neq(at(0x300000), 0);
}

Test(virtio_balloon, nobody_has_more_free_memory_than_memory)
{
	fill(0x300000, PAGE);
	cr_assert_not(reported(0x100000, 0xfffff000));
	cr_assert(vt_broken(&t));
	cr_assert_neq(at(0x300000), 0);
}

Test(virtio_balloon, odd_lists_break_the_device)
{
	vt_desc(&t, INFLATE, 0, VT_BUF, 7, 0, 0);
	vt_offer(&t, INFLATE, 0);
	vt_kick(&t, INFLATE);
	cr_assert(vt_broken(&t));
}
