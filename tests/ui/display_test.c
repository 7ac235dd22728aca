/* What a viewer is told while nothing but a blinking cursor moves. */
#include <criterion/criterion.h>

#include "hw/core/loop.h"
#include "hw/display/vga.h"
#include "hw/pci/i440fx.h"
#include "tests/bench.h"
#include "ui/consoles.h"
#include "ui/display.h"

static struct bench b;
static struct loop *loop;
static struct display *display;
static int n_rows, first_row, n_frames;

static void rows(void *opaque, const struct surface *s, int first, int n)
{
	(void)opaque, (void)s;
	first_row = first;
	n_rows += n;
}

static void done(void *opaque)
{
	(void)opaque;
	n_frames++;
}

static struct viewer viewer = { .rows = rows, .done = done };

static void setup(void)
{
	struct dev *vga;

	bench_open(&b, &i440fx_type, "addr=0");
	loop = loop_new(b.m, &b.err);
	vga = dev_make(b.m, &vga_type, NULL, "addr=2", &b.err);
	cr_assert(loop && vga, "%s", b.err.msg);
	display = display_new(b.m, (struct vga *)vga, &b.err);
	cr_assert(display, "%s", b.err.msg);
	clock_stop(loop_host_clock(loop));
}

static void teardown(void)
{
	display_free(display);
}

TestSuite(display, .init = setup, .fini = teardown);

static void crtc(uint8_t i, uint8_t value)
{
	out(0x3d4, i);
	out(0x3d5, value);
}

/* 80 by 25 characters, white on black, the cursor in lines 13 and 14 of the first. */
static void text_screen(void)
{
	static const uint8_t rows_of[][2] = {
		{ 0x11, 0 }, { 0x01, 79 }, { 0x07, 0x1f }, { 0x09, 0x4f }, { 0x12, 0x8f }, { 0x13, 40 },
		{ 0x14, 0x1f }, { 0x17, 0xa3 }, { 0x18, 0xff }, { 0x0a, 0x0d }, { 0x0b, 0x0e },
	};

	out(0x3c2, 0x67);
	out(0x3c4, 2); out(0x3c5, 0x03);
	out(0x3c4, 4); out(0x3c5, 0x02);
	out(0x3ce, 5); out(0x3cf, 0x10);
	out(0x3ce, 6); out(0x3cf, 0x0e);
	out(0x3ce, 8); out(0x3cf, 0xff);
	for (size_t i = 0; i < ARRAY_LEN(rows_of); i++)
		crtc(rows_of[i][0], rows_of[i][1]);
	in(0x3da);
	out(0x3c0, 7); out(0x3c0, 7);
	out(0x3c0, 0x20);
	out(0x3c8, 7);
	out(0x3c9, 0x3f); out(0x3c9, 0x3f); out(0x3c9, 0x3f);
	phys_write(b.m->phys, 0xb8000, 2, 0x0700);
}

static void refresh_at(uint64_t ms)
{
	n_rows = n_frames = 0;
	clock_set(loop_host_clock(loop), ms * NS_PER_MS);
	display_refresh(display);
}

Test(display, a_cursor_blinks_and_nothing_else_is_told)
{
	text_screen();
	clock_set(loop_host_clock(loop), 1000 * NS_PER_MS);
	display_add(display, &viewer);
	display_set_active(display, &viewer, true);
	refresh_at(1000);
	cr_expect_eq(n_rows, 400);
	refresh_at(1100);
	cr_expect_eq(n_frames, 0);
	refresh_at(1140);			/* eight frames of a sixtieth */
	cr_expect_eq(n_rows, 2);
	cr_expect_eq(first_row, 13);
	cr_expect_eq(n_frames, 1);
	refresh_at(1200);
	cr_expect_eq(n_frames, 0);
	refresh_at(1270);
	cr_expect_eq(n_rows, 2);
	crtc(0x0a, 0x20);			/* off */
	refresh_at(1280);
	refresh_at(1290);
	for (uint64_t ms = 1300; ms < 3000; ms += 100) {
		refresh_at(ms);
		cr_expect_eq(n_frames, 0, "nothing blinks");
	}
	display_del(display, &viewer);
}

Test(display, a_viewer_of_a_console_is_told_of_that_alone)
{
	struct consoles *consoles;

	text_screen();
	cr_assert(chr_new(b.m, "serial0", "vc", &b.err), "%s", b.err.msg);
	consoles = consoles_new(b.m, &b.err);
	cr_assert(consoles, "%s", b.err.msg);
	display_set_consoles(display, consoles);
	clock_set(loop_host_clock(loop), 1000 * NS_PER_MS);
	display_add(display, &viewer);
	display_set_active(display, &viewer, true);
	refresh_at(1000);
	cr_expect_eq(n_rows, 400);
	display_show(display, &viewer, 1);
	refresh_at(1100);
	cr_expect_eq(n_rows, 24 * 16, "all of the console");
	cr_expect_eq(n_frames, 1);
	phys_write(b.m->phys, 0xb8000, 2, 0x0741);
	crtc(0x0a, 0x20);
	refresh_at(1200);
	cr_expect_eq(n_frames, 0, "nothing of the screen");
	display_show(display, &viewer, 2);
	cr_expect_eq(viewer.page, 1, "there is no such page");
	display_show(display, &viewer, 0);
	refresh_at(1300);
	cr_expect_eq(n_rows, 400, "all of the screen");
	display_del(display, &viewer);
	display_free(display);
	display = NULL;
	consoles_free(consoles);
	chr_free_all(b.m);
}
