/* VGA: memory modes, palette, extensions, and the picture. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/display/vga_priv.h"
#include "hw/pci/i440fx.h"
#include "tests/bench.h"

static struct bench b;
static struct vga *v;
static struct surface s;

static void index_write(uint16_t port, uint8_t i, uint8_t value)
{
	out(port, i);
	out(port + 1, value);
}

static void attr(uint8_t i, uint8_t value)
{
	in(0x3da);
	out(0x3c0, i);
	out(0x3c0, value);
}

static void setup(void)
{
	bench_open(&b, &i440fx_type, "addr=0");
	v = (struct vga *)dev_make(b.m, &vga_type, NULL, "addr=2", &b.err);
	cr_assert(v, "%s", b.err.msg);
	out(0x3c2, 0x67);			/* colour, memory on */
	index_write(0x3c4, 2, 0x0f);
	index_write(0x3c4, 4, 0x06);		/* sequential */
	index_write(0x3ce, 6, 0x05);		/* graphics at a0000 */
	index_write(0x3ce, 8, 0xff);
	index_write(0x3ce, 7, 0x0f);
	for (uint8_t i = 0; i < 16; i++)
		attr(i, i);
	attr(0x12, 0x0f);
	in(0x3da);
	out(0x3c0, 0x20);			/* screen on */
}
static void teardown(void)
{
	surface_fini(&s);
	bench_close(&b);
}
TestSuite(vga, .init = setup, .fini = teardown);

static uint8_t peek(uint32_t pa) { return (uint8_t)phys_read(b.m->phys, pa, 1); }
static void poke(uint32_t pa, uint8_t x) { phys_write(b.m->phys, pa, 1, x); }

static uint8_t plane(int p, uint32_t pa)
{
	index_write(0x3ce, 4, (uint8_t)p);
	return peek(pa);
}

Test(vga, the_map_mask_chooses_planes)
{
	index_write(0x3c4, 2, 0x05);
	poke(0xa0010, 0x3c);
	cr_assert_eq(plane(0, 0xa0010), 0x3c);
	cr_assert_eq(plane(1, 0xa0010), 0);
	cr_assert_eq(plane(2, 0xa0010), 0x3c);
}

Test(vga, write_mode_0_combines_set_reset_rotate_and_mask)
{
	index_write(0x3ce, 0, 0x02);		/* set/reset: plane 1 gets ones */
	index_write(0x3ce, 1, 0x02);
	index_write(0x3ce, 3, 0x04);		/* rotate by 4 */
	index_write(0x3ce, 8, 0x0f);
	peek(0xa0000);				/* latches: zero */
	poke(0xa0000, 0xa5);			/* rotated: 5a */
	cr_assert_eq(plane(0, 0xa0000), 0x0a);
	cr_assert_eq(plane(1, 0xa0000), 0x0f);
}

Test(vga, write_mode_1_copies_latches)
{
	poke(0xa0000, 0x77);
	peek(0xa0000);
	index_write(0x3ce, 5, 0x01);
	poke(0xa0100, 0);
	index_write(0x3ce, 5, 0x00);
	cr_assert_eq(plane(3, 0xa0100), 0x77);
}

Test(vga, write_mode_2_writes_a_colour)
{
	index_write(0x3ce, 5, 0x02);
	poke(0xa0000, 0x09);
	index_write(0x3ce, 5, 0x00);
	cr_assert_eq(plane(0, 0xa0000), 0xff);
	cr_assert_eq(plane(1, 0xa0000), 0);
	cr_assert_eq(plane(3, 0xa0000), 0xff);
}

Test(vga, logical_operations_use_the_latches)
{
	poke(0xa0000, 0xf0);
	peek(0xa0000);
	index_write(0x3ce, 3, 0x18);		/* xor */
	poke(0xa0000, 0x3c);
	cr_assert_eq(plane(2, 0xa0000), 0xcc);
}

Test(vga, read_mode_1_compares_colours)
{
	index_write(0x3ce, 5, 0x02);
	index_write(0x3ce, 8, 0x81);
	poke(0xa0000, 0x06);
	index_write(0x3ce, 5, 0x08);
	index_write(0x3ce, 2, 0x06);
	cr_assert_eq(peek(0xa0000), 0x81);
	index_write(0x3ce, 7, 0x00);		/* no plane matters: all match */
	cr_assert_eq(peek(0xa0000), 0xff);
}

Test(vga, chain_4_is_linear)
{
	index_write(0x3c4, 4, 0x0e);
	for (uint32_t i = 0; i < 8; i++)
		poke(0xa0000 + i, (uint8_t)(0x10 + i));
	cr_assert_eq(rd(0xa0004), 0x17161514);
	index_write(0x3c4, 4, 0x06);
	cr_assert_eq(plane(2, 0xa0001), 0x16);
}

/* GRUB as firmware (Debian package grub-firmware-qemu) leaves bit 1 clear and fills a text screen. */
Test(vga, memory_is_there_whatever_enable_ram_says)
{
	out(0x3c2, 0x65);
	poke(0xa0000, 0x5a);
	cr_assert_eq(peek(0xa0000), 0x5a);
}

/* The same firmware fills the plane of fonts with the sequencer left in odd/even mode. */
Test(vga, writes_alternate_between_planes_if_both_controllers_say_so)
{
	index_write(0x3c4, 2, 0x05);
	index_write(0x3c4, 4, 0x02);
	index_write(0x3ce, 5, 0x00);
	poke(0xa0001, 0x77);
	cr_expect_eq(plane(2, 0xa0001), 0x77);
	index_write(0x3ce, 5, 0x10);
	poke(0xa0002, 0x11);
	poke(0xa0003, 0x22);			/* for planes 1 and 3, which are masked */
	index_write(0x3ce, 5, 0x00);
	cr_expect_eq(plane(2, 0xa0002), 0x11);
	cr_expect_eq(plane(2, 0xa0003), 0);
}

/* Nothing but a video BIOS sets the register that enables planes. */
Test(vga, after_reset_all_planes_have_colours)
{
	in(0x3da);
	out(0x3c0, 0x12);
	vga_type.reset(v);
	in(0x3da);
	out(0x3c0, 0x12);
	cr_expect_eq(in(0x3c1), 0x0f);
}

Test(vga, the_window_moves)
{
	index_write(0x3ce, 6, 0x0c);		/* b8000, 32 KiB */
	cr_assert_eq(peek(0xa0000), 0xff);
	cr_assert_eq(peek(0xb8000), 0);
}

Test(vga, the_palette_is_written_and_read_in_threes)
{
	out(0x3c8, 5);
	out(0x3c9, 1); out(0x3c9, 2); out(0x3c9, 0xff);
	out(0x3c7, 5);
	cr_assert_eq(in(0x3c9), 1);
	cr_assert_eq(in(0x3c9), 2);
	cr_assert_eq(in(0x3c9), 0x3f);
	cr_assert_eq(in(0x3c7), 3);
}

Test(vga, status_shows_retrace_once_a_frame)
{
	int edges = 0, was = 0;
	for (int i = 0; i < 10000; i++) {
		int now = in(0x3da) & 8;
		edges += now && !was;
		was = now;
		bench_run(&b, 20 * NS_PER_US);
	}
	cr_assert(edges >= 11 && edges <= 13, "%d retraces in 200 ms", edges);
}

Test(vga, crtc_answers_at_one_of_two_places)
{
	index_write(0x3d4, 0x0e, 0x12);
	cr_assert_eq(in(0x3d5), 0x12);
	cr_assert_eq(in(0x3b5), 0xff);
	out(0x3c2, 0x66);
	cr_assert_eq(in(0x3b5), 0x12);
	cr_assert_eq(in(0x3d5), 0xff);
}

Test(vga, crtc_registers_0_to_7_can_be_locked)
{
	index_write(0x3d4, 0x01, 79);
	index_write(0x3d4, 0x11, 0x80);
	index_write(0x3d4, 0x01, 39);
	cr_assert_eq(in(0x3d5), 79);
}

/* ---- extensions ---- */

static void dispi(uint16_t i, uint16_t value)
{
	bench_out(&b, 0x1ce, 2, i);
	bench_out(&b, 0x1cf, 2, value);
}

static void vbe_mode(uint16_t w, uint16_t h, uint16_t bpp)
{
	dispi(4, 0);
	dispi(1, w);
	dispi(2, h);
	dispi(3, bpp);
	dispi(4, 0x41);
}

Test(vga, extensions_identify_themselves)
{
	bench_out(&b, 0x1ce, 2, 0);
	cr_assert_eq(bench_in(&b, 0x1cf, 2), 0xb0c5);
	bench_out(&b, 0x1ce, 2, 10);
	cr_assert_eq(bench_in(&b, 0x1cf, 2), 256);
}

Test(vga, a_true_colour_mode_is_drawn_from_the_frame_buffer)
{
	bench_out(&b, 0xcf8, 4, 0x80001010);
	bench_out(&b, 0xcfc, 4, 0xfd000000);
	bench_out(&b, 0xcf8, 4, 0x80001004);
	bench_out(&b, 0xcfc, 2, 2);
	vbe_mode(640, 480, 32);
	wr(0xfd000000 + 4 * (640 * 3 + 7), 0x123456);
	cr_assert(vga_render(v, &s));
	cr_assert_eq(s.w, 640);
	cr_assert_eq(s.h, 480);
	cr_assert_eq(s.px[640 * 3 + 7], 0x123456);
	dispi(9, 3);				/* pan down three lines */
	cr_assert(vga_render(v, &s));
	cr_assert_eq(s.px[7], 0x123456);
}

/* ---- what the monitor tells ---- */

static void map_bar2(void)
{
	pci_config_write(b.m->pci, 0, 0x10, 0x18, 4, 0xfe000000);
	pci_config_write(b.m->pci, 0, 0x10, 0x04, 2, 2);
}

static void other_card(const char *options)
{
	dev_free(&v->pci.dev);
	v = (struct vga *)dev_make(b.m, &vga_type, NULL, options, &b.err);
}

Test(vga, a_driver_finds_the_mode_that_the_monitor_prefers)
{
	static const uint8_t header[8] = { 0, 255, 255, 255, 255, 255, 255, 0 };
	uint8_t e[128], sum = 0;

	map_bar2();
	for (uint32_t i = 0; i < 128; i++)
		sum += e[i] = peek(0xfe000000 + i);
	cr_assert_arr_eq(e, header, 8);
	cr_assert_eq(sum, 0);
	cr_assert_eq(rd(0xfe000000 + 0x34) >> 16, e[0x37] << 8 | e[0x36], "wider reads give the same");
	cr_assert_eq(e[0x38] | (e[0x3a] & 0xf0) << 4, 1280);
	cr_assert_eq(e[0x3b] | (e[0x3d] & 0xf0) << 4, 800);
	/* CVT-R: 1440 pixels a line, 823 lines, 60 Hz: 71.1 MHz. */
	cr_assert_eq(e[0x39] | (e[0x3a] & 0x0f) << 8, 160);
	cr_assert_eq(e[0x3c] | (e[0x3d] & 0x0f) << 8, 23);
	cr_assert_eq(e[0x36] | e[0x37] << 8, 7110);
	cr_assert_eq(peek(0xfe000080), 0, "no extension behind it");
}

Test(vga, the_user_chooses_the_monitor)
{
	other_card("addr=2,xres=4095,yres=4000");
	cr_assert(v, "%s", b.err.msg);
	map_bar2();
	cr_assert_eq(peek(0xfe000038), 0xff);
	cr_assert_eq(peek(0xfe00003a) >> 4, 0x0f);
	other_card("addr=2,edid=off");
	map_bar2();
	cr_assert_eq(peek(0xfe000001), 0);
	other_card("addr=2,xres=4096");
	cr_assert_not(v);
	cr_assert(strstr(b.err.msg, "1 to 4095"), "%s", b.err.msg);
}

/* A machine that is copied while it runs takes the cleared memory along. */
Test(vga, clearing_for_a_mode_is_a_change)
{
	uint64_t changed[64];			/* 16 MiB */

	phys_track(b.m->phys, v->vram, true);
	cr_assert_eq(phys_take_changed(b.m->phys, v->vram, changed), 0);
	vbe_mode(640, 480, 32);
	cr_assert_eq(phys_take_changed(b.m->phys, v->vram, changed), 640 * 480 * 4 / 4096);
}

Test(vga, an_impossible_mode_of_a_saved_machine_is_refused)
{
	vbe_mode(640, 480, 32);
	cr_assert(vga_type.loaded(v, &b.err));
	v->vbe[VBE_BPP] = 9;
	cr_assert_not(vga_type.loaded(v, &b.err));
}

Test(vga, a_mode_larger_than_memory_is_cut)
{
	vbe_mode(4096, 4096, 32);
	cr_assert(vga_render(v, &s));
	cr_assert_leq((uint64_t)s.w * (uint64_t)s.h * 4, 16u << 20);
	dispi(9, 0xffff);
	dispi(8, 0xffff);
	cr_assert(vga_render(v, &s));
}

Test(vga, banks_move_the_window)
{
	index_write(0x3ce, 6, 0x0e);		/* text at b8000 */
	index_write(0x3c4, 2, 0x03);
	vbe_mode(640, 480, 8);			/* opens the window */
	poke(0xa0002, 0x77);
	cr_assert_eq(v->vram->host[2], 0x77);
	dispi(5, 2);
	poke(0xa0001, 0x99);
	dispi(5, 0);
	cr_assert_eq(peek(0xa0001), 0);
	dispi(5, 0xffff);			/* the last bank there is */
	poke(0xaffff, 1);
	cr_assert_eq(peek(0xaffff), 1);
}

/* ---- windows that are plain memory ---- */

/* What stands at pa is display memory from here on; or NULL: a device. */
static const uint8_t *direct(uint32_t pa)
{
	struct phys_page pg;

	phys_lookup(b.m->phys, pa, &pg);
	cr_assert_eq(pg.rhost, pg.whost);
	return pg.whost;
}

static void use_window(void)
{
	for (uint32_t i = 0; i < 1000; i++)
		poke(0xa0000 + i, (uint8_t)i);
}

Test(vga, chain_4_becomes_memory_when_used)
{
	index_write(0x3c4, 4, 0x0e);
	poke(0xa0000, 1);
	cr_expect_not(direct(0xa0000), "not for a single access");
	use_window();
	cr_expect_eq(direct(0xa0000), v->vram->host);
	cr_expect_eq(direct(0xaf000), v->vram->host + 0xf000);
	cr_expect_not(direct(0xb0000));
	cr_expect_eq(peek(0xa03e7), 0xe7);
	index_write(0x3c4, 2, 0x02);		/* one plane: no memory */
	cr_expect_not(direct(0xa0000));
	poke(0xa0004, 0xaa);
	poke(0xa0005, 0xaa);
	cr_expect_eq(ld16(v->vram->host + 4), 0xaa04);
	index_write(0x3c4, 2, 0x0f);
	use_window();
	cr_expect(direct(0xa0000));
	index_write(0x3c4, 4, 0x06);		/* planes */
	cr_expect_not(direct(0xa0000));
	cr_expect_eq(plane(1, 0xa0001), 0x05);
}

Test(vga, whatever_changes_bytes_makes_chain_4_a_device)
{
	static const uint8_t change[][3] = {	/* register, value, what it was */
		{ 1, 0x01, 0 }, { 3, 0x08, 0 }, { 5, 0x01, 0 }, { 5, 0x08, 0 }, { 8, 0xfe, 0xff }, { 6, 0x09, 5 },
	};

	index_write(0x3c4, 4, 0x0e);
	for (size_t i = 0; i < ARRAY_LEN(change); i++) {
		use_window();
		cr_expect(direct(0xa0000), "%zu", i);
		index_write(0x3ce, change[i][0], change[i][1]);
		cr_expect_not(direct(0xa0000), "%zu", i);
		index_write(0x3ce, change[i][0], change[i][2]);
	}
}

Test(vga, the_graphics_controller_changes_bytes_in_chain_4_too)
{
	index_write(0x3c4, 4, 0x0e);
	poke(0xa0006, 0x5a);
	cr_expect_eq(peek(0xa0006), 0x5a);	/* fills the latches */
	index_write(0x3ce, 8, 0x0f);
	poke(0xa0006, 0xa7);
	cr_expect_eq(peek(0xa0006), 0x57);
	cr_expect_eq(ld32(v->vram->host + 4), 0x570000);
}

Test(vga, banks_become_memory_and_a_reset_ends_it)
{
	vbe_mode(640, 480, 8);
	use_window();
	cr_expect_eq(direct(0xa0000), v->vram->host);
	index_write(0x3ce, 8, 0x01);		/* nothing to banks */
	cr_expect_eq(direct(0xa0000), v->vram->host);
	dispi(5, 3);
	cr_expect_not(direct(0xa0000));
	use_window();
	cr_expect_eq(direct(0xa0000), v->vram->host + 0x30000);
	dispi(5, 0xffff);
	use_window();
	cr_expect_eq(direct(0xaf000), v->vram->host + v->vram_size - 0x1000);
	index_write(0x3ce, 6, 0x01);		/* 128 KiB from the last bank on: more than there is */
	use_window();
	cr_expect_not(direct(0xa0000));
	dispi(5, 1);
	use_window();
	cr_expect_eq(direct(0xbf000), v->vram->host + 0x2f000);
	vga_type.reset(v);
	cr_expect_not(direct(0xa0000));
}

Test(vga, a_machine_is_loaded_without_the_mapping_of_another)
{
	struct err e;

	vbe_mode(640, 480, 8);
	use_window();
	v->vbe[5] = 2;				/* as loading does */
	cr_assert(vga_type.loaded(v, &e));
	cr_expect_not(direct(0xa0000));
	poke(0xa0000, 0x77);
	cr_expect_eq(v->vram->host[0x20000], 0x77);
}

/* ---- the quick way ---- */

static bool quick_write(uint64_t off, uint8_t x)
{
	struct phys_dev d;

	return phys_quick(b.m->phys, 0xa0000, &d) && d.ops->write_quick(d.opaque, d.off + off, 1, x);
}

static bool quick_read(uint64_t off, uint64_t *x)
{
	struct phys_dev d;

	return phys_quick(b.m->phys, 0xa0000, &d) && d.ops->read_quick(d.opaque, d.off + off, 1, x);
}

/* Each of them, changed after others: what was worked out from the registers follows. */
Test(vga, planes_are_reached_the_quick_way_with_the_registers_of_now)
{
	uint64_t x;

	for (unsigned p = 0; p < 4; p++) {
		index_write(0x3c4, 2, (uint8_t)(1 << p));
		cr_assert(quick_write(0x10, (uint8_t)(0x11 * (p + 1))));
	}
	cr_expect_eq(ld32(v->vram->host + 0x40), 0x44332211);
	for (unsigned p = 0; p < 4; p++) {
		index_write(0x3ce, 4, (uint8_t)p);
		cr_assert(quick_read(0x10, &x));
		cr_expect_eq(x, 0x11 * (p + 1));
	}
	index_write(0x3c4, 2, 0x0f);
	index_write(0x3ce, 8, 0x0f);
	cr_assert(quick_write(0x10, 0xff));	/* the latches have what was read last */
	cr_expect_eq(ld32(v->vram->host + 0x40), 0x4f3f2f1f);
	index_write(0x3ce, 8, 0xff);
	index_write(0x3ce, 1, 0x0f);
	index_write(0x3ce, 0, 0x05);
	cr_assert(quick_write(0x11, 0));
	cr_expect_eq(ld32(v->vram->host + 0x44), 0x00ff00ff);
	index_write(0x3ce, 0, 0x0a);
	cr_assert(quick_write(0x11, 0));
	cr_expect_eq(ld32(v->vram->host + 0x44), 0xff00ff00);
	index_write(0x3ce, 5, 0x01);
	cr_assert(quick_write(0x12, 0));
	cr_expect_eq(ld32(v->vram->host + 0x48), 0x44332211);
}

Test(vga, the_quick_way_is_closed_where_memory_is_to_be_mapped_and_to_who_comes_second)
{
	uint64_t x;

	vga_hold(v);
	cr_expect_not(quick_write(0, 1));
	cr_expect_not(quick_read(0, &x));
	vga_let(v);
	cr_expect(quick_write(0, 1));
	index_write(0x3c4, 4, 0x0e);
	cr_expect_not(quick_write(0, 1));
	cr_expect_not(quick_read(0, &x));
	index_write(0x3ce, 8, 0x0f);		/* bytes are changed on their way */
	cr_expect(quick_write(0, 1));
	index_write(0x3ce, 8, 0xff);
	cr_expect_not(quick_write(0, 1));
}

Test(vga, who_traces_sees_all_accesses)
{
	atomic_store(&b.m->trace.on, true);
	cr_expect_not(quick_write(0, 1));
	atomic_store(&b.m->trace.on, false);
	cr_expect(quick_write(0, 1));
}

Test(vga, quick_writes_are_changes)
{
	uint64_t *bits = calloc(v->vram_size / 4096 / 64, 8);

	vga_watch(v, true);
	vga_changed(v);
	vga_changed(v);
	for (int i = 0; i < 3; i++) {
		cr_expect_not(vga_changed(v));
		cr_assert(quick_write(0x400, 1));
		cr_assert(quick_write(0x401, 1));
		cr_expect(vga_changed(v));
	}
	phys_track(b.m->phys, v->vram, true);
	cr_expect_eq(phys_take_changed(b.m->phys, v->vram, bits), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert(quick_write(0x400, 1));
		cr_expect_eq(phys_take_changed(b.m->phys, v->vram, bits), 1);
		cr_expect_eq(bits[0], 2);
	}
	free(bits);
}

static uint64_t code_written[2];

static void on_code_write(void *opaque, struct ram *r, uint64_t off, uint64_t n)
{
	(void)opaque;
	if (r == v->vram && n) {
		code_written[0] = off;
		code_written[1] = off + n;
	}
}

/* A program ran from plain memory, and changes it by the planes. */
Test(vga, whoever_has_translated_display_memory_is_told_of_writes_to_planes)
{
	phys_on_code_write(b.m->phys, on_code_write, &b);
	phys_set_code(b.m->phys, v->vram, 0x1000);
	cr_expect_not(quick_write(0x404, 1));
	poke(0xa0404, 1);
	cr_expect(code_written[0] <= 0x1010 && code_written[1] >= 0x1014, "%lx", code_written[0]);
	code_written[1] = 0;
	cr_expect(quick_write(0x3ff, 1), "another page");
	phys_clear_code(b.m->phys, v->vram, 0x1000);
	cr_expect(quick_write(0x404, 1));
	cr_expect_not(code_written[1]);
}

Test(vga, writes_to_mapped_memory_are_changes)
{
	index_write(0x3c4, 4, 0x0e);
	use_window();
	vga_watch(v, true);
	vga_changed(v);
	vga_changed(v);
	cr_expect_not(vga_changed(v));
	poke(0xa8000, 0x55);
	cr_expect(vga_changed(v));
	cr_expect_not(vga_changed(v));
}

/* ---- text ---- */

static void crtc(const uint8_t (*rows)[2], size_t n)
{
	for (size_t i = 0; i < n; i++)
		index_write(0x3d4, rows[i][0], rows[i][1]);
}

/* 80 columns, 400 lines, rows of 16 */
static const uint8_t text_80[][2] = {
	{ 0x11, 0 }, { 0x01, 79 }, { 0x07, 0x1f }, { 0x09, 0x4f }, { 0x12, 0x8f }, { 0x13, 40 },
	{ 0x14, 0x1f }, { 0x17, 0xa3 }, { 0x18, 0xff }, { 0x0a, 0x20 },
};

Test(vga, text_is_drawn_from_the_font_in_plane_2)
{
	char text[4096];
	index_write(0x3c4, 1, 1);		/* eight dots a character */
	index_write(0x3c4, 2, 0x04);
	poke(0xa0000 + 'A' * 32 + 3, 0x81);	/* a glyph: two dots in line 3 */
	index_write(0x3c4, 2, 0x03);
	index_write(0x3c4, 4, 0x02);		/* odd/even */
	index_write(0x3ce, 5, 0x10);
	index_write(0x3ce, 6, 0x0e);
	crtc(text_80, ARRAY_LEN(text_80));
	out(0x3c8, 7);
	out(0x3c9, 0x3f); out(0x3c9, 0); out(0x3c9, 0);
	phys_write(b.m->phys, 0xb8000 + 2 * 81, 2, 0x0700 | 'A');

	cr_assert(vga_render(v, &s));
	cr_assert_eq(s.w, 640);
	cr_assert_eq(s.h, 400);
	cr_assert_eq(s.px[(16 + 3) * 640 + 8], 0xff0000);
	cr_assert_eq(s.px[(16 + 3) * 640 + 15], 0xff0000);
	cr_assert_eq(s.px[(16 + 3) * 640 + 9], 0);
	cr_assert(vga_text(v, text, sizeof(text)));
	cr_assert_eq(strncmp(text, "\n A\n", 4), 0, "%.10s", text);

	static struct vga_cells cells;
	cr_assert(vga_cells(v, &cells));
	cr_expect_eq(cells.w, 80);
	cr_expect_eq(cells.h, 25);
	cr_expect_eq(cells.cell[81], 0x0700 | 'A');
	cr_expect_eq(cells.cursor, -1, "switched off");
	index_write(0x3d4, 0x0a, 0x0d);
	index_write(0x3d4, 0x0f, 85);
	cr_assert(vga_cells(v, &cells));
	cr_expect_eq(cells.cursor, 85);
	index_write(0x3ce, 6, 0x05);
	cr_expect_not(vga_cells(v, &cells), "graphics");
}

/* A glyph that is one dot: the leftmost of its line 3. */
static void text_with_dots(void)
{
	index_write(0x3c4, 1, 1);
	index_write(0x3c4, 2, 0x04);
	poke(0xa0000 + 'A' * 32 + 3, 0x80);
	index_write(0x3c4, 2, 0x03);
	index_write(0x3c4, 4, 0x02);
	index_write(0x3ce, 5, 0x10);
	index_write(0x3ce, 6, 0x0e);
	crtc(text_80, ARRAY_LEN(text_80));
	out(0x3c8, 7);
	out(0x3c9, 0x3f); out(0x3c9, 0); out(0x3c9, 0);
	phys_write(b.m->phys, 0xb8000 + 2 * (80 + 5), 2, 0x0700 | 'A');
}

/* Where the first red dot is, as x + 1000 * y; -1: none. */
static int red_dot(void)
{
	cr_assert(vga_render(v, &s));
	for (int i = 0; i < s.w * s.h; i++)
		if (s.px[i] == 0xff0000)
			return i % s.w + 1000 * (i / s.w);
	return -1;
}

Test(vga, what_blinks_is_drawn_or_not)
{
	const size_t cursor = 14 * 640 + 5 * 8, letter = (16 + 3) * 640 + 8;

	text_with_dots();
	out(0x3c8, 7);
	out(0x3c9, 0x3f); out(0x3c9, 0); out(0x3c9, 0);
	phys_write(b.m->phys, 0xb8000 + 2 * 81, 2, 0x8700 | 'A');
	phys_write(b.m->phys, 0xb8000 + 2 * 5, 2, 0x0700);
	cr_expect_eq(vga_blinking(v), 0, "no cursor, and attribute bit 7 is a colour");
	attr(0x10, 0x08);
	in(0x3da);
	out(0x3c0, 0x20);
	cr_expect_eq(vga_blinking(v), VGA_TEXT);
	index_write(0x3d4, 0x0a, 0x0d);		/* the cursor, lines 13 and 14 */
	index_write(0x3d4, 0x0b, 0x0e);
	index_write(0x3d4, 0x0f, 5);
	cr_expect_eq(vga_blinking(v), VGA_TEXT | VGA_CURSOR);
	for (unsigned hidden = 0; hidden < 4; hidden++) {
		cr_assert(vga_render_phase(v, &s, hidden));
		cr_expect_eq(s.px[cursor], hidden & VGA_CURSOR ? 0 : 0xff0000);
		cr_expect_eq(s.px[letter], hidden & VGA_TEXT ? 0 : 0xff0000);
	}
	cr_assert(vga_render(v, &s));
	cr_expect_eq(s.px[cursor] & s.px[letter], 0xff0000, "a picture taken once has all");
	index_write(0x3ce, 6, 0x05);
	cr_expect_eq(vga_blinking(v), 0, "graphics");
}

Test(vga, text_moves_by_lines_and_pixels)
{
	text_with_dots();
	cr_expect_eq(red_dot(), 40 + 1000 * 19);
	index_write(0x3d4, 8, 5);		/* the first row begins with its line 5 */
	cr_expect_eq(red_dot(), 40 + 1000 * 14);
	attr(0x33, 3);
	cr_expect_eq(red_dot(), 37 + 1000 * 14);
	index_write(0x3d4, 8, 0x25);		/* and with its second character */
	cr_expect_eq(red_dot(), 29 + 1000 * 14);
	index_write(0x3c4, 1, 0);		/* nine dots: 8 is none, 0 is one */
	cr_expect_eq(red_dot(), 4 * 9 - 4 + 1000 * 14);
	attr(0x33, 8);
	cr_expect_eq(red_dot(), 4 * 9 + 1000 * 14);
}

Test(vga, below_the_compared_line_memory_begins_again)
{
	text_with_dots();
	index_write(0x3d4, 0x0d, 160);		/* shown from its third row on */
	cr_expect_eq(red_dot(), -1);
	index_write(0x3d4, 7, 0x0f);
	index_write(0x3d4, 9, 0x0f);
	index_write(0x3d4, 0x18, 99);		/* but the first again from line 100 */
	cr_expect_eq(red_dot(), 40 + 1000 * 119);
	attr(0x33, 3);
	cr_expect_eq(red_dot(), 37 + 1000 * 119);
	attr(0x30, 0x20);			/* panning is for what is above */
	cr_expect_eq(red_dot(), 40 + 1000 * 119);
	index_write(0x3d4, 0x18, 95);		/* a whole row: by characters, too */
	char text[4096];
	cr_assert(vga_text(v, text, sizeof(text)));
	cr_expect_str_eq(text, "\n\n\n\n\n\n\n     A\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n");
}

Test(vga, scan_lines_and_dots_are_shown_twice_where_a_screen_does)
{
	text_with_dots();
	index_write(0x3d4, 9, 0xc7);		/* rows of eight, each line twice */
	index_write(0x3c4, 1, 9);		/* a pixel is two dots */
	index_write(0x3d4, 1, 39);
	cr_expect_eq(red_dot(), 80 + 1000 * 22);
	cr_expect_eq(s.w, 640);
	cr_expect_eq(s.h, 400);
	cr_expect_eq(s.px[81 + 640 * 23], 0xff0000);
	cr_expect_eq(s.px[82 + 640 * 23], 0);
	cr_expect_eq(s.px[81 + 640 * 24], 0);
}

Test(vga, monochrome_text_is_underlined)
{
	text_with_dots();
	phys_write(b.m->phys, 0xb8000 + 2 * 85, 2, 0x0100);
	out(0x3c8, 1);
	out(0x3c9, 0x3f); out(0x3c9, 0); out(0x3c9, 0);
	index_write(0x3d4, 0x14, 0x0c);
	cr_expect_eq(red_dot(), -1);
	attr(0x30, 0x02);
	cr_expect_eq(red_dot(), 40 + 1000 * 28);
	cr_expect_eq(s.px[28 * 640 + 47], 0xff0000);
}

/* ---- graphics ---- */

/* 320 by 200 in 640 by 400: every scan line twice */
static const uint8_t graphics_320[][2] = {
	{ 0x11, 0 }, { 0x01, 79 }, { 0x07, 0x1f }, { 0x09, 0x41 }, { 0x12, 0x8f }, { 0x13, 40 },
	{ 0x14, 0x40 }, { 0x17, 0xa3 }, { 0x18, 0xff },
};

static void red(uint8_t i)
{
	out(0x3c8, i);
	out(0x3c9, 0x3f); out(0x3c9, 0); out(0x3c9, 0);
}

Test(vga, mode_13h_and_mode_x_show_bytes_as_pixels)
{
	crtc(graphics_320, ARRAY_LEN(graphics_320));
	index_write(0x3c4, 4, 0x0e);
	index_write(0x3ce, 5, 0x40);
	red(200);
	poke(0xa0000 + 320 * 7 + 9, 200);
	cr_expect_eq(red_dot(), 18 + 1000 * 14);
	cr_expect_eq(s.w, 640);
	cr_expect_eq(s.h, 400);
	attr(0x33, 4);				/* two pixels */
	cr_expect_eq(red_dot(), 14 + 1000 * 14);
	attr(0x33, 0);
	poke(0xa0000 + 320 * 7 + 9, 0);

	index_write(0x3c4, 4, 0x06);		/* mode X: by planes, 480 lines, a byte for four pixels */
	index_write(0x3d4, 0x14, 0);
	index_write(0x3d4, 0x17, 0xe3);
	index_write(0x3d4, 0x07, 0x1f);
	index_write(0x3d4, 0x12, 0xdf);
	index_write(0x3c4, 2, 0x02);		/* plane 1: pixels 1, 5, 9.. */
	poke(0xa0000 + 80 * 239 + 2, 200);
	cr_expect_eq(red_dot(), 18 + 1000 * 478);
	cr_expect_eq(s.h, 480);
}

Test(vga, sixteen_colours_are_drawn_from_the_planes_and_panned)
{
	crtc(graphics_320, ARRAY_LEN(graphics_320));
	index_write(0x3d4, 9, 0x40);		/* 640 by 400 */
	index_write(0x3d4, 0x14, 0);
	index_write(0x3d4, 0x17, 0xe3);
	red(10);
	index_write(0x3c4, 2, 0x0a);
	poke(0xa0000 + 80 * 50 + 3, 0x20);
	cr_expect_eq(red_dot(), 26 + 1000 * 50);
	attr(0x33, 5);
	cr_expect_eq(red_dot(), 21 + 1000 * 50);
}

Test(vga, cga_modes_take_odd_lines_from_elsewhere)
{
	crtc(graphics_320, ARRAY_LEN(graphics_320));
	index_write(0x3d4, 1, 39);
	index_write(0x3d4, 9, 0xc1);		/* two rows of addresses, each line twice */
	index_write(0x3d4, 0x13, 20);
	index_write(0x3d4, 0x14, 0);
	index_write(0x3d4, 0x17, 0xa2);
	index_write(0x3c4, 1, 9);
	index_write(0x3c4, 2, 0x03);
	index_write(0x3c4, 4, 0x02);
	index_write(0x3ce, 5, 0x30);
	index_write(0x3ce, 6, 0x0f);
	red(2);
	poke(0xb8000 + 80 * 3 + 5, 0x20);	/* line 6, pixel 21: colour 2 */
	cr_expect_eq(red_dot(), 42 + 1000 * 12);
	poke(0xb8000 + 80 * 3 + 5, 0);
	poke(0xba000 + 80 * 3 + 5, 0x20);	/* line 7 */
	cr_expect_eq(red_dot(), 42 + 1000 * 14);
	cr_expect_eq(s.w, 640);
	cr_expect_eq(s.h, 400);
}

Test(vga, the_largest_true_colour_mode_is_shown_whole)
{
	vbe_mode(2560, 1600, 32);
	for (uint32_t bank = 0, at = 0; bank < 250; bank++) {
		dispi(5, (uint16_t)bank);
		for (uint32_t i = 0; i < 0x10000; i += 0x1000, at += 0x1000)
			phys_write(b.m->phys, 0xa0000 + i, 4, at);
	}
	cr_assert(vga_render(v, &s));
	cr_expect_eq(s.w, 2560);
	cr_expect_eq(s.h, 1600);
	for (uint32_t at = 0; at < 2560u * 1600 * 4; at += 0x1000)
		cr_expect_eq(s.px[at / 4], at & 0xffffff);
}

Test(vga, a_change_shows_once)
{
	vga_watch(v, true);
	cr_expect(vga_changed(v), "at first");
	vga_changed(v);
	cr_expect_not(vga_changed(v));
	index_write(0x3c4, 2, 0x0f);
	vga_changed(v);
	poke(0xa0000, 0x55);
	cr_expect(vga_changed(v), "memory");
	cr_expect_not(vga_changed(v));
	index_write(0x3d4, 0x0f, 0x12);
	cr_expect(vga_changed(v), "the cursor");
	cr_expect_not(vga_changed(v));
}
