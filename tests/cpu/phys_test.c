/* Guest-physical space: overlaps, RAM, MMIO pieces, A20, dirty and code bits. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/phys.h"
#include "tests/cpu/harness.h"

#define MB (1ull << 20)

struct dev {
	uint64_t off, v;
	int size, reads, writes;
};

static uint64_t dev_read(void *opaque, uint64_t off, int size)
{
	struct dev *d = opaque;
	d->off = off;
	d->size = size;
	d->reads++;
	return 0x1122334455667788ull >> 8 * (off & 7);
}

static void dev_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct dev *d = opaque;
	d->off = off;
	d->size = size;
	d->v = v;
	d->writes++;
}

static const struct mmio_ops dev_ops = { dev_read, dev_write, 4 };
static const struct mmio_ops wide_ops = { dev_read, dev_write, 8 };

struct space {
	struct phys *p;
	struct ram *ram, *rom;
	struct dev dev;
	struct phys_map *m_dev;
};

static void space_init(struct space *s)
{
	struct err e;
	memset(s, 0, sizeof(*s));
	s->p = phys_new();
	s->ram = phys_ram_new(s->p, "ram", 4 * MB, &e);
	s->rom = phys_ram_new(s->p, "rom", 0x10000, &e);
	memset(s->rom->host, 0xcc, s->rom->size);
	cr_assert(phys_map(s->p, &(struct phys_range){ .pa = 0, .size = 4 * MB, .rram = s->ram, .wram = s->ram,
						       .name = "ram" }, &e));
	cr_assert(phys_map(s->p, &(struct phys_range){ .pa = 0xf0000, .size = 0x10000, .prio = 1, .rram = s->rom,
						       .nowrite = true, .name = "rom" }, &e));
	s->m_dev = phys_map(s->p, &(struct phys_range){ .pa = 0xa0000, .size = 0x100, .prio = 1, .ops = &dev_ops,
							.opaque = &s->dev, .name = "dev" }, &e);
	cr_assert(s->m_dev);
}

static void space_fini(struct space *s)
{
	phys_free(s->p);
}

Test(phys, higher_priority_hides_lower)
{
	struct space s;
	space_init(&s);
	phys_write(s.p, 0xefffe, 4, 0xaabbccdd);	/* half into ROM: vanishes there */
	cr_expect_eq(phys_read(s.p, 0xefffe, 4), 0xccccccdd | 0xcc00);
	cr_expect_eq(phys_read(s.p, 0xf0000, 2), 0xcccc);
	cr_expect_eq(phys_read(s.p, 4 * MB, 4), 0xffffffff, "nothing there reads ones");
	phys_write(s.p, 4 * MB, 4, 1);
	space_fini(&s);
}

Test(phys, mmio_is_accessed_in_aligned_pieces_it_takes)
{
	struct space s;
	space_init(&s);
	cr_expect_eq(phys_read(s.p, 0xa0000, 8), 0x1122334455667788);
	cr_expect_eq(s.dev.reads, 2);
	cr_expect_eq(phys_read(s.p, 0xa0001, 4), 0x44556677);
	cr_expect_eq(s.dev.reads, 5, "1 + 2 + 1");
	phys_write(s.p, 0xa0010, 2, 0xbeef);
	cr_expect(s.dev.off == 0x10 && s.dev.size == 2 && s.dev.v == 0xbeef);
	cr_expect_eq(phys_read(s.p, 0xa00fe, 4) >> 16, 0, "RAM behind the small range");
	space_fini(&s);
}

Test(phys, eight_byte_devices_get_eight_bytes)
{
	struct space s;
	struct err e;
	space_init(&s);
	phys_map(s.p, &(struct phys_range){ .pa = 0xa1000, .size = 0x1000, .prio = 1, .ops = &wide_ops,
					    .opaque = &s.dev, .name = "wide" }, &e);
	phys_write(s.p, 0xa1008, 8, 0x0102030405060708);
	cr_expect(s.dev.writes == 1 && s.dev.size == 8 && s.dev.off == 8);
	space_fini(&s);
}

Test(phys, bus_masters_reach_memory_and_what_is_like_it)
{
	static const struct mmio_ops window_ops = { dev_read, dev_write, 4, .dma = true };
	uint8_t b[16] = { 0 }, back[16];
	struct space s;
	struct err e;

	space_init(&s);
	phys_dma_write(s.p, 0xa0000 - 8, b, 16);
	cr_assert_eq(s.dev.writes, 0);
	memset(back, 0x55, sizeof(back));
	phys_dma_read(s.p, 0xa0000 - 8, back, 16);
	cr_assert_eq(ld64(back), 0);
	cr_assert_eq(ld64(back + 8), ~0ull);
	cr_assert(phys_map(s.p, &(struct phys_range){ .pa = 0xa0000, .size = 0x100, .prio = 2, .ops = &window_ops,
						      .opaque = &s.dev, .name = "window" }, &e));
	phys_dma_write(s.p, 0xa0000, b, 16);
	cr_assert_eq(s.dev.writes, 4);
	space_fini(&s);
}

Test(phys, moving_hiding_and_redirecting_take_effect)
{
	struct space s;
	struct err e;
	space_init(&s);
	phys_map_set(s.p, s.m_dev, 0xb0000, true);
	phys_read(s.p, 0xa0000, 1);
	cr_expect_eq(s.dev.reads, 0);
	phys_read(s.p, 0xb0004, 1);
	cr_expect(s.dev.reads == 1 && s.dev.off == 4);
	phys_map_set(s.p, s.m_dev, 0, false);
	phys_read(s.p, 0xb0004, 1);
	cr_expect_eq(s.dev.reads, 1);

	/* PAM: read ROM, write the RAM under it, then read the RAM. */
	struct phys_range pam = { .pa = 0xc0000, .size = 0x4000, .prio = 2, .rram = s.rom, .wram = s.ram, .name = "pam" };
	struct phys_map *m = phys_map(s.p, &pam, &e);
	phys_write(s.p, 0xc0000, 1, 0x55);
	cr_expect_eq(phys_read(s.p, 0xc0000, 1), 0xcc);
	pam.rram = s.ram;
	phys_map_redirect(s.p, m, &pam);
	cr_expect_eq(phys_read(s.p, 0xc0000, 1), 0x55);
	phys_unmap(s.p, m);
	cr_expect_eq(phys_read(s.p, 0xc0000, 1), 0);
	space_fini(&s);
}

Test(phys, a_transaction_takes_effect_at_its_end)
{
	struct space s;
	space_init(&s);
	phys_begin(s.p);
	phys_begin(s.p);
	phys_map_set(s.p, s.m_dev, 0xb0000, true);
	phys_end(s.p);
	phys_read(s.p, 0xb0000, 1);
	cr_expect_eq(s.dev.reads, 0);
	phys_end(s.p);
	phys_read(s.p, 0xb0000, 1);
	cr_expect_eq(s.dev.reads, 1);
	space_fini(&s);
}

Test(phys, a20_gate_wraps_odd_megabytes)
{
	struct space s;
	uint8_t b[4];
	space_init(&s);
	phys_write(s.p, 0x500, 1, 0x11);
	phys_write(s.p, 0x100500, 1, 0x22);
	phys_set_a20(s.p, false);
	cr_expect_not(phys_a20(s.p));
	cr_expect_eq(phys_read(s.p, 0x100500, 1), 0x11);
	phys_write(s.p, 0xffffe, 4, 0);
	phys_write(s.p, 0, 4, 0x44332211);
	phys_read_buf(s.p, 0xffffe, b, 4);
	cr_expect_eq(ld16(b + 2), 0x2211, "wraps to 0 inside a block");
	phys_set_a20(s.p, true);
	cr_expect_eq(phys_read(s.p, 0x100500, 1), 0x22);
	space_fini(&s);
}

Test(phys, lookup_tells_plain_pages_from_others)
{
	struct space s;
	struct phys_page pg;
	space_init(&s);
	phys_lookup(s.p, 0x1234, &pg);
	cr_expect(pg.rhost == s.ram->host + 0x1000 && pg.whost == pg.rhost && pg.ram == s.ram && pg.ram_off == 0x1000);
	phys_lookup(s.p, 0xf1000, &pg);
	cr_expect(pg.rhost == s.rom->host + 0x1000 && !pg.whost && pg.ram == s.rom);
	phys_lookup(s.p, 0xa0800, &pg);
	cr_expect(!pg.rhost && !pg.whost, "a page that is only partly RAM is not plain");
	phys_lookup(s.p, 1ull << 40, &pg);
	cr_expect(!pg.rhost && !pg.whost);
	space_fini(&s);
}

static int code_writes;
static uint64_t code_off, code_n;

static void on_code(void *opaque, struct ram *r, uint64_t off, uint64_t n)
{
	(void)opaque, (void)r;
	code_writes++;
	code_off = off;
	code_n = n;
}

Test(phys, device_writes_to_code_are_told)
{
	struct space s;
	uint8_t block[0x3000] = { 0 };
	space_init(&s);
	phys_on_code_write(s.p, on_code, NULL);
	phys_set_code(s.p, s.ram, 0x2000);
	phys_write_buf(s.p, 0x1800, block, sizeof(block));
	cr_expect(code_writes == 1 && code_off == 0x2000 && code_n == 0x1000);
	phys_on_code_write(s.p, on_code, &s);
	phys_write(s.p, 0x2010, 4, 0);
	cr_expect(code_writes == 3 && code_off == 0x2010 && code_n == 4, "both are told");
	phys_on_code_write(s.p, NULL, &s);
	phys_write(s.p, 0x2010, 4, 0);
	cr_expect_eq(code_writes, 4);
	phys_clear_code(s.p, s.ram, 0x2000);
	phys_write_buf(s.p, 0x1800, block, sizeof(block));
	cr_expect_eq(code_writes, 4);
	space_fini(&s);
}

Test(phys, the_code_bit_stays_until_the_last_holder_goes)
{
	struct space s;
	space_init(&s);
	phys_on_code_write(s.p, on_code, &s.ram);
	phys_on_code_write(s.p, on_code, &s.rom);
	phys_set_code(s.p, s.ram, 0x3000);
	phys_set_code(s.p, s.ram, 0x3000);
	phys_clear_code(s.p, s.ram, 0x3000);
	cr_expect(s.ram->page[3] & PAGE_CODE);
	phys_tell_code_write(s.p, &s.ram, s.ram, 0x3000, 8);
	cr_expect(code_writes == 1 && code_n == 8, "only the other one is told");
	phys_clear_code(s.p, s.ram, 0x3000);
	cr_expect_not(s.ram->page[3] & PAGE_CODE);
	space_fini(&s);
}

Test(phys, dirty_bits_follow_writes_while_tracking)
{
	struct space s;
	space_init(&s);
	phys_write(s.p, 0x5000, 1, 1);
	cr_expect_not(phys_test_clear_dirty(s.p, s.ram, 0x5000), "no tracking, no bit");
	phys_log_dirty(s.p, s.ram, 0x5000, 0x2000, true);
	phys_write(s.p, 0x5fff, 2, 1);
	cr_expect(phys_test_clear_dirty(s.p, s.ram, 0x5000));
	cr_expect(phys_test_clear_dirty(s.p, s.ram, 0x6000));
	cr_expect_not(phys_test_clear_dirty(s.p, s.ram, 0x5000));
	phys_log_dirty(s.p, s.ram, 0x5000, 0x2000, false);
	phys_write(s.p, 0x5000, 1, 1);
	cr_expect_not(phys_test_clear_dirty(s.p, s.ram, 0x5000));
	space_fini(&s);
}

static void count(void *opaque, const struct phys_range *r)
{
	uint64_t *n = opaque;
	n[0]++;
	n[1] += r->size;
}

Test(phys, flattened_map_covers_each_byte_once)
{
	struct space s;
	uint64_t n[2] = { 0 };
	space_init(&s);
	phys_each(s.p, count, n);
	cr_expect_eq(n[0], 5, "ram dev ram rom ram");
	cr_expect_eq(n[1], 4 * MB);
	space_fini(&s);
}

Test(phys, bad_ranges_are_refused)
{
	struct space s;
	struct err e;
	space_init(&s);
	cr_expect_null(phys_map(s.p, &(struct phys_range){ .pa = 0, .size = 5 * MB, .rram = s.ram, .name = "x" }, &e));
	cr_expect_null(phys_map(s.p, &(struct phys_range){ .pa = 0x800, .size = 0x1000, .rram = s.ram, .name = "x" }, &e));
	cr_expect_null(phys_map(s.p, &(struct phys_range){ .pa = -0x1000ull, .size = 0x2000, .name = "x" }, &e));
	space_fini(&s);
}

Test(phys, random_layouts_agree_with_a_painted_array)
{
	enum { PAGES = 64, MAPS = 12 };
	struct phys *p = phys_new();
	struct dev dev[MAPS];
	struct phys_map *m[MAPS];
	int prio[MAPS], at[MAPS], len[MAPS];
	bool on[MAPS];
	struct err e;
	unsigned seed = 1;

	cr_log_info("seed %u", seed);
	srand(seed);
	memset(dev, 0, sizeof(dev));
	for (int i = 0; i < MAPS; i++) {
		prio[i] = i;
		at[i] = rand() % 48;
		len[i] = 1 + rand() % 16;
		on[i] = true;
		m[i] = phys_map(p, &(struct phys_range){ .pa = at[i] * 0x1000, .size = len[i] * 0x1000, .prio = prio[i],
							 .ops = &dev_ops, .opaque = &dev[i], .name = "d" }, &e);
	}
	for (int round = 0; round < 200; round++) {
		int k = rand() % MAPS;
		at[k] = rand() % 48;
		on[k] = rand() & 1;
		phys_map_set(p, m[k], at[k] * 0x1000, on[k]);
		for (int page = 0; page < PAGES; page++) {
			int best = -1;
			for (int i = 0; i < MAPS; i++)
				if (on[i] && page >= at[i] && page < at[i] + len[i])
					best = i;
			int before = best < 0 ? 0 : dev[best].reads;
			phys_read(p, page * 0x1000, 1);
			if (best >= 0)
				cr_assert(dev[best].reads == before + 1 && dev[best].off == (page - at[best]) * 0x1000ull);
		}
	}
	phys_free(p);
}

Test(phys, cleared_memory_is_zero_and_given_back)
{
	struct err e = { "" };
	struct phys *p = phys_new();
	struct ram *r = phys_ram_new(p, "ram", 64 * 4096, &e);
	unsigned char there[64];

	cr_assert(r);
	memset(r->host, 0x5a, r->size);
	cr_assert_eq(mincore(r->host, r->size, there), 0);
	cr_assert(there[63] & 1);
	phys_ram_clear(r);
	cr_assert_eq(mincore(r->host, r->size, there), 0);
	cr_expect_not(there[63] & 1);
	for (uint64_t i = 0; i < r->size; i++)
		cr_assert_eq(r->host[i], 0);
	phys_free(p);
}

static void note_page(void *opaque, struct ram *r, uint64_t off, uint64_t n)
{
	(void)n;
	*(uint64_t *)opaque |= 1ull << off / 4096;
	cr_expect(!(r->host[off] | r->host[off + 1]));
}

/* vCPUs may still hold translations of it and pointers to it. */
Test(phys, dropped_memory_is_given_out_again_without_its_past)
{
	struct err e = { "" };
	uint64_t told = 0;
	struct phys *p = phys_new();
	struct ram *a = phys_ram_new(p, "a", 4 * 4096, &e), *b = phys_ram_new(p, "b", 8 * 4096, &e);

	phys_on_code_write(p, note_page, &told);
	memset(a->host, 0x5a, a->size);
	phys_set_code(p, a, 2 * 4096);
	phys_ram_drop(p, a);
	phys_ram_drop(p, NULL);
	cr_expect_eq(told, 4);
	cr_expect_eq(phys_ram_nth(p, 0), b);
	cr_expect_null(phys_ram_nth(p, 1));
	a->host[2 * 4096] = 1;		/* a vCPU that has not looked at its requests yet */
	told = 0;
	cr_expect_neq(phys_ram_new(p, "other", 2 * 4096, &e), a);
	cr_expect_eq(phys_ram_new(p, "again", 4 * 4096, &e), a);
	cr_expect_eq(told, 4);
	cr_expect_str_eq(a->name, "again");
	cr_expect_eq(phys_ram_nth(p, 2), a);
	for (uint64_t i = 0; i < a->size; i++)
		cr_assert_eq(a->host[i], 0);
	phys_on_code_write(p, NULL, NULL);
	phys_free(p);
}
