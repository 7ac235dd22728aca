/* fw_cfg as firmware uses it: ports, directory, DMA. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hw/pc/fwcfg.h"
#include "tests/bench.h"

static struct bench b;
static struct fwcfg *f;

static void setup(void)
{
	bench_open(&b, &fwcfg_type, NULL);
	f = (struct fwcfg *)b.dev;
	struct ram *ram = phys_ram_new(b.m->phys, "ram", 1 << 20, &b.err);
	struct phys_range all = { .pa = 0, .size = 1 << 20, .rram = ram, .wram = ram, .name = "ram" };
	phys_map(b.m->phys, &all, &b.err);
}
static void teardown(void) { bench_close(&b); }
TestSuite(fwcfg, .init = setup, .fini = teardown);

static void sel(uint16_t key) { bench_out(&b, 0x510, 2, key); }

static uint32_t dma(uint32_t control, uint32_t n, uint64_t to)
{
	uint8_t d[16];
	st32(d, __builtin_bswap32(control));
	st32(d + 4, __builtin_bswap32(n));
	st64(d + 8, __builtin_bswap64(to));
	phys_write_buf(b.m->phys, 0x8000, d, sizeof(d));
	bench_out(&b, 0x514, 4, 0);
	bench_out(&b, 0x518, 4, __builtin_bswap32(0x8000));
	return __builtin_bswap32(rd(0x8000));
}

Test(fwcfg, the_signature_is_there)
{
	sel(0);
	cr_assert_eq(in(0x511), 'Q');
	cr_assert_eq(in(0x511), 'E');
	cr_assert_eq(in(0x511), 'M');
	cr_assert_eq(in(0x511), 'U');
	cr_assert_eq(in(0x511), 0);
	sel(1);
	cr_assert_eq(in(0x511), 3);
}

Test(fwcfg, the_dma_port_says_so)
{
	cr_assert_eq(bench_in(&b, 0x514, 4), __builtin_bswap32(0x51454d55));
	cr_assert_eq(bench_in(&b, 0x518, 4), __builtin_bswap32(0x20434647));
}

Test(fwcfg, absent_items_are_empty)
{
	sel(0x7f);
	cr_assert_eq(in(0x511), 0);
	sel(0xffff);
	cr_assert_eq(in(0x511), 0);
}

Test(fwcfg, files_are_listed)
{
	uint16_t key = fwcfg_add_file(f, "etc/answer", "42", 2);
	uint8_t dir[4 + 64];
	sel(FWCFG_FILE_DIR);
	for (size_t i = 0; i < sizeof(dir); i++)
		dir[i] = (uint8_t)in(0x511);
	cr_assert_eq(__builtin_bswap32(ld32(dir)), 1);
	cr_assert_eq(__builtin_bswap32(ld32(dir + 4)), 2);
	cr_assert_eq(__builtin_bswap16(ld16(dir + 8)), key);
	cr_assert_str_eq((char *)dir + 12, "etc/answer");
}

Test(fwcfg, dma_reads_an_item_and_zeros_behind_it)
{
	fwcfg_add(f, 0x30, "hello", 5);
	wr(0x9004, 0xffffffff);
	cr_assert_eq(dma(0x30u << 16 | FWCFG_DMA_SELECT | FWCFG_DMA_READ, 8, 0x9000), 0);
	cr_assert_eq(rd(0x9000), 0x6c6c6568);
	cr_assert_eq(rd(0x9004), 0x0000006f);
}

Test(fwcfg, dma_goes_on_where_the_last_access_ended)
{
	fwcfg_add(f, 0x30, "abcdefgh", 8);
	sel(0x30);
	in(0x511);
	dma(FWCFG_DMA_SKIP, 2, 0);
	dma(FWCFG_DMA_READ, 4, 0x9000);
	cr_assert_eq(rd(0x9000), 0x67666564);
	cr_assert_eq(in(0x511), 'h');
}

Test(fwcfg, dma_writes_are_refused)
{
	cr_assert_eq(dma(FWCFG_DMA_WRITE, 4, 0x9000), FWCFG_DMA_ERROR);
}

Test(fwcfg, skipping_far_does_not_wrap)
{
	fwcfg_add(f, 0x30, "abcd", 4);
	sel(0x30);
	dma(FWCFG_DMA_SKIP, 0xffffffff, 0);
	dma(FWCFG_DMA_SKIP, 0xffffffff, 0);
	cr_assert_eq(in(0x511), 0);
}

static void count(void *opaque)
{
	int *n = opaque;
	char text[4] = { 'n', '=', (char)('0' + ++*n), 0 };

	fwcfg_add_file(f, "counted", text, 4);
}

Test(fwcfg, a_file_can_be_made_when_it_is_selected)
{
	uint16_t key = fwcfg_add_file(f, "counted", "n=0", 4);
	int n = 0;

	fwcfg_on_select(f, "counted", count, &n);
	sel(key);
	in(0x511);
	in(0x511);
	cr_assert_eq(in(0x511), '1');
	cr_assert_eq(n, 1);
	dma((uint32_t)key << 16 | FWCFG_DMA_SELECT | FWCFG_DMA_READ, 4, 0x9000);
	cr_assert_eq(rd(0x9000) >> 16 & 0xff, '2');
}

Test(fwcfg, an_item_can_stay_in_its_file)
{
	char path[] = "/tmp/fwcfg_test.XXXXXX", text[40000];
	int fd = mkstemp(path);

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 >> 3);
	cr_assert_eq(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
	cr_assert(fwcfg_give_file(f, 0x30, path, 100, 39000, &b.err), "%s", b.err.msg);
	unlink(path);
	sel(0x30);
	cr_assert_eq(in(0x511), (uint8_t)text[100]);
	cr_assert_eq(in(0x511), (uint8_t)text[101]);
	cr_assert_eq(dma(0x30u << 16 | FWCFG_DMA_SELECT | FWCFG_DMA_READ, 39010, 0x10000), 0);
	for (unsigned i = 0; i < 39010; i++)
		cr_assert_eq((uint8_t)phys_read(b.m->phys, 0x10000 + i, 1), i < 39000 ? (uint8_t)text[100 + i] : 0, "byte %u", i);

	cr_assert_eq(ftruncate(fd, 200), 0);		/* what is gone reads as zeros */
	dma(0x30u << 16 | FWCFG_DMA_SELECT | FWCFG_DMA_READ, 200, 0x10000);
	cr_assert_eq((uint8_t)phys_read(b.m->phys, 0x10000 + 99, 1), (uint8_t)text[199]);
	cr_assert_eq((uint8_t)phys_read(b.m->phys, 0x10000 + 100, 1), 0);
	close(fd);
	cr_assert_not(fwcfg_give_file(f, 0x30, path, 0, 1, &b.err));
}
