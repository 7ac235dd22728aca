/* Virtio over MMIO: registers of both layouts, and a device that works behind them. */
#include <criterion/criterion.h>

#include "hw/virtio/virtio_mmio.h"
#include "hw/virtio/virtio_rng.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *rng;
static struct ram *ram;
#define PA	0xfeb00000u
#define LINE	(b.line[0].level)

enum {
	FEATURES_SEL = 0x14, ACCEPTED = 0x20, ACCEPTED_SEL = 0x24, PAGE_SIZE = 0x28, SEL = 0x30, MOST = 0x34,
	NUM = 0x38, ALIGN = 0x3c, PFN = 0x40, READY = 0x44, NOTIFY = 0x50, ISR = 0x60, ACK = 0x64, STATUS = 0x70,
	DESC = 0x80, AVAIL = 0x90, USED = 0xa0,
};

static uint32_t get(unsigned reg) { return rd(PA + reg); }
static void put(unsigned reg, uint32_t v) { wr(PA + reg, v); }

static void open_with(const char *props)
{
	bench_open(&b, &virtio_mmio_type, props);
	virtio_mmio_place(b.dev, PA, "virtio-mmio-bus.0", bench_line(&b, 0));
	ram = phys_ram_new(b.m->phys, "ram", 1 << 20, &b.err);
	struct phys_range r = { .size = 1 << 20, .rram = ram, .wram = ram, .name = "ram" };
	cr_assert(phys_map(b.m->phys, &r, &b.err));
}

static void add_rng(void)
{
	rng = dev_make(b.m, &virtio_rng_bus_type, NULL, "bus=virtio-mmio-bus.0", &b.err);
	cr_assert(rng, "%s", b.err.msg);
}

static void setup(void) { open_with(NULL); }
static void teardown(void) { bench_close(&b); }
TestSuite(virtio_mmio, .init = setup, .fini = teardown);

/* One buffer of 8 bytes at 0x5000, to be written by the device. */
static void offer(uint32_t desc, uint32_t avail)
{
	st64(ram->host + desc, 0x5000);
	st32(ram->host + desc + 8, 8);
	st32(ram->host + desc + 12, 2);
	st16(ram->host + avail + 4, 0);
	st16(ram->host + avail + 2, (uint16_t)(ld16(ram->host + avail + 2) + 1));
	put(NOTIFY, 0);
}

static void start_modern(void)
{
	put(STATUS, 3);
	put(ACCEPTED_SEL, 1);
	put(ACCEPTED, 1);			/* version 1 */
	put(STATUS, 11);
	cr_assert_eq(get(STATUS), 11);
	put(SEL, 0);
	put(NUM, 8);
	put(DESC, 0x1000);
	put(AVAIL, 0x2000);
	put(USED, 0x3000);
	put(READY, 1);
	put(STATUS, 15);
}

Test(virtio_mmio, an_empty_transport_says_so)
{
	cr_assert_eq(get(0), 0x74726976);
	cr_assert_eq(get(4), 2);
	cr_assert_eq(get(8), 0);
	put(STATUS, 15);
	cr_assert_eq(get(STATUS), 0);
	cr_assert_eq(rd(PA + 0x100), 0xffffffff);
}

Test(virtio_mmio, a_device_is_found_by_its_type)
{
	add_rng();
	cr_assert_eq(get(8), 4);
	put(FEATURES_SEL, 1);
	cr_assert_eq(get(0x10), 1);
	put(SEL, 1);
	cr_assert_eq(get(MOST), 0);
	put(SEL, 0);
	cr_assert_gt(get(MOST), 0);
}

Test(virtio_mmio, a_buffer_is_filled_and_interrupts)
{
	add_rng();
	start_modern();
	offer(0x1000, 0x2000);
	bench_run(&b, NS_PER_SEC);
	cr_assert_eq(ld16(ram->host + 0x3002), 1);
	cr_assert_eq(ld32(ram->host + 0x3008), 8);
	cr_assert_neq(ld64(ram->host + 0x5000), 0);
	cr_assert(LINE);
	cr_assert_eq(get(ISR), 1);
	put(ACK, 1);
	cr_assert_not(LINE);
	cr_assert_eq(get(ISR), 0);
}

Test(virtio_mmio, reset_takes_the_line_down)
{
	add_rng();
	start_modern();
	offer(0x1000, 0x2000);
	bench_run(&b, NS_PER_SEC);
	cr_assert(LINE);
	put(STATUS, 0);
	cr_assert_not(LINE);
	cr_assert_eq(get(READY), 0);
}

Test(virtio_mmio, the_legacy_layout_places_a_queue_by_its_page)
{
	bench_close(&b);
	open_with("force-legacy=on");
	add_rng();
	cr_assert_eq(get(4), 1);
	put(PAGE_SIZE, 4096);
	put(SEL, 0);
	put(NUM, 8);
	put(ALIGN, 4096);
	put(PFN, 1);
	cr_assert_eq(get(PFN), 1);
	put(STATUS, 7);
	offer(0x1000, 0x1000 + 8 * 16);
	bench_run(&b, NS_PER_SEC);
	cr_assert_eq(ld16(ram->host + 0x2002), 1);
	cr_assert(LINE);
}

Test(virtio_mmio, there_is_room_for_one_device)
{
	add_rng();
	cr_assert_null(dev_make(b.m, &virtio_rng_bus_type, NULL, NULL, &b.err));
	cr_assert_null(dev_make(b.m, &virtio_rng_bus_type, NULL, "bus=virtio-mmio-bus.0", &b.err));
	dev_free(rng);
	cr_assert_eq(get(8), 0);
	add_rng();
}

Test(virtio_mmio, odd_accesses_do_no_harm)
{
	add_rng();
	for (unsigned at = 0; at < VIRTIO_MMIO_SIZE; at += 3)
		for (int size = 1; size <= 8; size *= 2) {
			phys_write(b.m->phys, PA + at, size, 0xdeadbeefcafef00d);
			phys_read(b.m->phys, PA + at, size);
		}
}
