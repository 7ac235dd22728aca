/* What a floppy or sound driver notices of the DMA controllers. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include <string.h>

#include "hw/dma/dma.h"

static struct bench b;

static void setup(void)
{
	struct ram *ram;
	struct phys_range r = { .size = 0x40000, .name = "ram" };

	bench_open(&b, &dma_type, NULL);
	ram = phys_ram_new(b.m->phys, "ram", r.size, &b.err);
	cr_assert(ram, "%s", b.err.msg);
	r.rram = r.wram = ram;
	cr_assert(phys_map(b.m->phys, &r, &b.err), "%s", b.err.msg);
}
static void teardown(void) { bench_close(&b); }
TestSuite(dma, .init = setup, .fini = teardown);

/* Channel 2 as a floppy driver sets it up. */
static void program(uint8_t mode, uint32_t pa, uint16_t n)
{
	out(0x0a, 0x06);
	out(0x0c, 0);
	out(0x0b, mode | 2);
	out(0x04, pa & 0xff); out(0x04, pa >> 8 & 0xff);
	out(0x81, pa >> 16);
	out(0x05, (n - 1) & 0xff); out(0x05, (n - 1) >> 8);
	out(0x0a, 0x02);
}

Test(dma, a_device_writes_to_memory_until_terminal_count)
{
	uint8_t data[600], back[512];
	bool tc;

	for (int i = 0; i < 600; i++)
		data[i] = (uint8_t)(i * 7);
	program(0x44, 0x12300, 512);
	cr_assert_eq(machine_dma(b.m, 2, data, 100, true, &tc), 100);
	cr_assert_not(tc);
	cr_assert_eq(machine_dma(b.m, 2, data + 100, 500, true, &tc), 412);
	cr_assert(tc);
	dma_read(b.m, 0x12300, back, 512);
	cr_assert_arr_eq(back, data, 512);
	cr_assert_eq(in(0x08) & 0x0f, 0x04);
	cr_assert_eq(in(0x08) & 0x0f, 0x00);
	cr_assert_eq(machine_dma(b.m, 2, data, 1, true, &tc), 0, "masked by terminal count");
}

Test(dma, auto_init_starts_over)
{
	uint8_t data[8] = { 0 };
	bool tc;

	program(0x58, 0x1000, 4);
	cr_assert_eq(machine_dma(b.m, 2, data, 8, false, &tc), 4);
	cr_assert(tc);
	cr_assert_eq(machine_dma(b.m, 2, data, 8, false, &tc), 4);
}

Test(dma, the_address_wraps_inside_its_page)
{
	uint8_t data[4] = { 1, 2, 3, 4 }, back[2];
	bool tc;

	program(0x44, 0x1fffe, 4);
	machine_dma(b.m, 2, data, 4, true, &tc);
	dma_read(b.m, 0x10000, back, 2);
	cr_assert_eq(back[0], 3);
	cr_assert_eq(back[1], 4);
}

Test(dma, the_wrong_direction_moves_nothing)
{
	uint8_t v = 1;
	bool tc;

	program(0x48, 0x1000, 4);
	cr_assert_eq(machine_dma(b.m, 2, &v, 1, true, &tc), 0);
}

Test(dma, word_channels_count_words)
{
	uint8_t data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, back[8];
	bool tc;

	out(0xd8, 0);
	out(0xd6, 0x45);
	out(0xc4, 0x00); out(0xc4, 0x08);		/* word address 800h: byte 1000h */
	out(0x8b, 0x02);
	out(0xc6, 0x03); out(0xc6, 0x00);
	out(0xd4, 0x01);
	cr_assert_eq(machine_dma(b.m, 5, data, 8, true, &tc), 8);
	cr_assert(tc);
	dma_read(b.m, 0x21000, back, 8);
	cr_assert_arr_eq(back, data, 8);
}

Test(dma, counts_and_addresses_read_back)
{
	program(0x44, 0x12345, 0x200);
	out(0x0c, 0);
	cr_assert_eq(in(0x04), 0x45);
	cr_assert_eq(in(0x04), 0x23);
	cr_assert_eq(in(0x05), 0xff);
	cr_assert_eq(in(0x05), 0x01);
	cr_assert_eq(in(0x81), 0x01);
}
