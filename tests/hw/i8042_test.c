/* What a keyboard driver notices of the controller and its devices. */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include "hw/core/input.h"
#include "hw/input/i8042.h"

static struct bench b;

/* The next byte, as a driver waits for it; -1: none comes. */
static int next(void)
{
	for (int i = 0; i < 10; i++) {
		if (in(0x64) & 1)
			return (int)in(0x60);
		bench_run(&b, 100 * NS_PER_US);
	}
	return -1;
}

static void command(uint8_t c, int data)
{
	out(0x64, c);
	if (data >= 0)
		out(0x60, (uint8_t)data);
}

static void expect(const int *bytes, int n)
{
	for (int i = 0; i < n; i++)
		cr_expect_eq(next(), bytes[i], "byte %d of %d", i, n);
	cr_expect_eq(next(), -1);
}
#define EXPECT(...) expect((const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

static void setup(void) { bench_open(&b, &i8042_type, NULL); }
static void teardown(void) { bench_close(&b); }
TestSuite(i8042, .init = setup, .fini = teardown);

Test(i8042, the_self_tests_pass)
{
	command(0xaa, -1);
	cr_assert_eq(next(), 0x55);
	cr_assert_eq(in(0x64) & 4, 4);
	command(0xab, -1);
	cr_assert_eq(next(), 0);
	command(0xa9, -1);
	cr_assert_eq(next(), 0);
}

Test(i8042, the_command_byte_reads_back)
{
	command(0x60, 0x47);
	command(0x20, -1);
	cr_assert_eq(next(), 0x47);
}

Test(i8042, keys_arrive_translated_to_set_1)
{
	input_key(b.m, 0x1e, true);
	input_key(b.m, 0x1e, false);
	input_key(b.m, KEY_EXT | 0x48, true);
	input_key(b.m, KEY_EXT | 0x48, false);
	EXPECT(0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8);
}

Test(i8042, a_key_or_button_wakes_from_s3_and_is_spent)
{
	b.m->asleep = true;
	input_key(b.m, 0x1e, false);
	input_rel(b.m, 3, 4, 0, 0);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 0);
	input_key(b.m, 0x1e, true);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 1);
	input_rel(b.m, 0, 0, 0, BTN_LEFT);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 2);
	b.m->asleep = false;
	cr_assert_eq(next(), -1);
	input_key(b.m, 0x1e, true);
	EXPECT(0x1e);
	cr_assert_eq(b.requests[MACHINE_WAKEUP], 2);
}

Test(i8042, without_translation_keys_are_set_2)
{
	command(0x60, 0x01);
	input_key(b.m, 0x1e, true);
	input_key(b.m, 0x1e, false);
	input_key(b.m, 0x41, true);
	EXPECT(0x1c, 0xf0, 0x1c, 0x83);
}

Test(i8042, pause_and_print_have_their_own_sequences)
{
	input_key(b.m, KEY_PAUSE, true);
	input_key(b.m, KEY_PAUSE, false);
	EXPECT(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	input_key(b.m, KEY_PRINT, true);
	input_key(b.m, KEY_PRINT, false);
	EXPECT(0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
}

Test(i8042, a_key_raises_line_1_until_it_is_read)
{
	input_key(b.m, 0x1e, true);
	bench_run(&b, NS_PER_MS);
	cr_assert(b.isa[1].level);
	cr_assert_eq(in(0x60), 0x1e);
	cr_assert_not(b.isa[1].level);
	cr_assert_eq(in(0x60), 0x1e);		/* the byte stays in the buffer */
}

Test(i8042, a_disabled_keyboard_keeps_its_bytes)
{
	command(0xad, -1);
	input_key(b.m, 0x1e, true);
	cr_assert_eq(next(), -1);
	command(0xae, -1);
	EXPECT(0x1e);
}

Test(i8042, the_keyboard_answers_commands)
{
	out(0x60, 0xff);
	EXPECT(0xfa, 0xaa);
	out(0x60, 0xf2);
	EXPECT(0xfa, 0xab, 0x41);
	out(0x60, 0xed);
	EXPECT(0xfa);
	out(0x60, 0x02);
	EXPECT(0xfa);
	out(0x60, 0xee);
	EXPECT(0xee);
	out(0x60, 0x10);
	EXPECT(0xfe);
}

Test(i8042, scan_code_set_1_needs_no_translation)
{
	command(0x60, 0x01);
	out(0x60, 0xf0);
	EXPECT(0xfa);
	out(0x60, 0x01);
	EXPECT(0xfa);
	input_key(b.m, 0x1e, true);
	input_key(b.m, 0x1e, false);
	EXPECT(0x1e, 0x9e);
}

Test(i8042, the_mouse_reports_moves_on_line_12)
{
	command(0xa8, -1);
	command(0x60, 0x03);
	command(0xd4, 0xf4);
	EXPECT(0xfa);
	input_rel(b.m, 5, 3, 0, BTN_LEFT);
	bench_run(&b, NS_PER_MS);
	cr_assert(b.isa[12].level);
	cr_assert_eq(in(0x64) & 0x21, 0x21);
	EXPECT(0x29, 0x05, 0xfd);
	cr_assert_not(b.isa[12].level);
}

Test(i8042, the_mouse_says_nothing_until_enabled)
{
	command(0xa8, -1);
	input_rel(b.m, 5, 3, 0, 0);
	cr_assert_eq(next(), -1);
}

static void mouse(uint8_t v)
{
	command(0xd4, v);
	cr_assert_eq(next(), 0xfa);
}

Test(i8042, three_sample_rates_turn_on_the_wheel)
{
	command(0xa8, -1);
	mouse(0xf3); mouse(200); mouse(0xf3); mouse(100); mouse(0xf3); mouse(80);
	mouse(0xf2);
	cr_assert_eq(next(), 3);
	mouse(0xf4);
	input_rel(b.m, 0, 0, 1, 0);
	EXPECT(0x08, 0x00, 0x00, 0xff);
}

Test(i8042, long_moves_are_split_into_packets)
{
	command(0xa8, -1);
	mouse(0xf4);
	input_rel(b.m, 300, 0, 0, 0);
	EXPECT(0x08, 0xff, 0x00, 0x08, 45, 0x00);
}

Test(i8042, the_output_port_and_port_92_move_a20)
{
	cr_assert(b.m->a20);
	command(0xd1, 0xdd);
	cr_assert_not(b.m->a20);
	cr_assert_eq(in(0x92) & 2, 0);
	out(0x92, 0x02);
	cr_assert(b.m->a20);
	command(0xd0, -1);
	cr_assert_eq(next() & 3, 3);
	command(0xdd, -1);
	cr_assert_not(b.m->a20);
	command(0xdf, -1);
	cr_assert(b.m->a20);
}

Test(i8042, three_ways_to_reset_the_machine)
{
	command(0xfe, -1);
	cr_assert_eq(b.requests[MACHINE_RESET], 1);
	out(0x92, 0x03);
	cr_assert_eq(b.requests[MACHINE_RESET], 2);
	command(0xd1, 0xfe);
	cr_assert_eq(b.requests[MACHINE_RESET], 3);
}

Test(i8042, a_flood_of_keys_keeps_whole_codes)
{
	for (int i = 0; i < 1000; i++)
		input_key(b.m, KEY_EXT | 0x48, i & 1);
	for (int i = 0; i < 4; i++) {
		cr_expect_eq(next(), 0xe0);
		next();
	}
}

Test(i8042, an_answer_waits_behind_an_unread_key)
{
	input_key(b.m, 0x1e, true);
	bench_run(&b, NS_PER_MS);
	command(0x20, -1);
	cr_assert_eq(in(0x60), 0x1e);
	cr_assert_eq(next() & 0x40, 0x40);
}

/* ---- scan code sets, repeating ---- */

static void keyboard(uint8_t c)
{
	out(0x60, c);
	cr_assert_eq(next(), 0xfa);
}

/* No translation, set n. */
static void choose_set(uint8_t n)
{
	command(0x60, 0x07);
	keyboard(0xf0);
	keyboard(n);
}

Test(i8042, set_3_has_one_code_a_key)
{
	choose_set(3);
	keyboard(0xf0);
	out(0x60, 0);
	EXPECT(0xfa, 3);
	input_key(b.m, 0x1d, true);		/* Ctrl tells both */
	input_key(b.m, 0x1d, false);
	EXPECT(0x11, 0xf0, 0x11);
	input_key(b.m, 0x1e, true);		/* A only its make code */
	input_key(b.m, 0x1e, false);
	EXPECT(0x1c);
	input_key(b.m, KEY_PAUSE, true);
	EXPECT(0x62);
	input_key(b.m, KEY_EXT | 0x48, true);
	EXPECT(0x63);
}

Test(i8042, set_3_keys_do_what_the_host_wants)
{
	choose_set(3);
	keyboard(0xf8);				/* all: make and break */
	input_key(b.m, 0x1e, true);
	input_key(b.m, 0x1e, false);
	EXPECT(0x1c, 0xf0, 0x1c);
	keyboard(0xfd);				/* A and the left Windows key: make only */
	keyboard(0x1c);
	keyboard(0x8b);
	keyboard(0xf4);
	input_key(b.m, 0x1e, true);
	input_key(b.m, 0x1e, false);
	EXPECT(0x1c);
	input_key(b.m, 0x1f, true);
	input_key(b.m, 0x1f, false);
	EXPECT(0x1b, 0xf0, 0x1b);
}

Test(i8042, a_held_key_repeats_at_the_rate_the_host_set)
{
	int n = 0;

	input_key(b.m, 0x1e, true);
	cr_assert_eq(next(), 0x1e);
	input_key(b.m, 0x1e, true);		/* a display that repeats */
	bench_run(&b, 490 * NS_PER_MS);
	cr_assert_eq(next(), -1);
	bench_run(&b, 10 * NS_PER_MS);
	cr_assert_eq(next(), 0x1e);
	keyboard(0xf3);
	keyboard(0x00);				/* 250 ms, 30 a second */
	input_key(b.m, 0x1f, true);
	cr_assert_eq(next(), 0x1f);
	for (int i = 0; i < 650; i++) {		/* next() waits for another millisecond */
		bench_run(&b, NS_PER_MS);
		n += next() == 0x1f;
	}
	cr_assert(n >= 29 && n <= 33, "%d", n);
	input_key(b.m, 0x1e, false);		/* another one comes up: it goes on */
	cr_assert_eq(next(), 0x9e);
	bench_run(&b, 40 * NS_PER_MS);
	cr_assert_eq(next(), 0x1f);
	input_key(b.m, 0x1f, false);
	while ((n = next()) == 0x1f)
		;
	cr_assert_eq(n, 0x9f);
	bench_run(&b, NS_PER_SEC);
	cr_assert_eq(next(), -1);
}

Test(i8042, modifiers_make_break_and_sysrq)
{
	input_key(b.m, 0x1d, true);
	input_key(b.m, KEY_PAUSE, true);
	input_key(b.m, KEY_PAUSE, false);
	EXPECT(0x1d, 0xe0, 0x46, 0xe0, 0xc6);
	input_key(b.m, KEY_PRINT, true);
	input_key(b.m, KEY_PRINT, false);
	EXPECT(0xe0, 0x37, 0xe0, 0xb7);
	input_key(b.m, 0x1d, false);
	EXPECT(0x9d);
	input_key(b.m, 0x38, true);
	input_key(b.m, KEY_PRINT, true);
	input_key(b.m, KEY_PRINT, false);
	EXPECT(0x38, 0x54, 0xd4);
}

Test(i8042, keys_typed_ahead_wait)
{
	choose_set(1);
	for (int i = 0; i < 90; i++) {
		input_key(b.m, 0x10 + i % 40, true);
		input_key(b.m, 0x10 + i % 40, false);
	}
	for (int i = 0; i < 90; i++) {
		cr_assert_eq(next(), 0x10 + i % 40, "key %d", i);
		cr_assert_eq(next(), 0x90 + i % 40, "key %d", i);
	}
	cr_assert_eq(next(), -1);
}

Test(i8042, a_guest_that_never_reads_loses_presses_but_no_release)
{
	choose_set(1);
	input_key(b.m, 0x1e, true);
	for (int i = 0; i < 1000; i++)
		input_key(b.m, 0x30, i & 1 ? false : true);
	input_key(b.m, 0x1e, false);
	int last = 0;
	for (int v; (v = next()) != -1; last = v)
		;
	cr_assert_eq(last, 0x9e);
}

Test(i8042, a_reset_forgets_what_was_typed)
{
	for (int i = 0; i < 50; i++)
		input_key(b.m, 0x30, !(i & 1));
	machine_reset_devices(b.m);
	cr_assert_eq(next(), -1);
}

Test(i8042, too_many_keys_are_an_overrun)
{
	choose_set(1);
	const struct input_sink *s = b.m->inputs;

	while (!s->key)
		s = s->next;
	for (int i = 0; i < 20; i++)		/* past the queue in front of it */
		s->key(s->opaque, 0x10 + i, true);
	for (int i = 0; i < 16; i++)
		cr_assert_eq(next(), 0x10 + i);
	EXPECT(0xff);
}

Test(i8042, scaling_changes_moves)
{
	command(0xd4, 0xe7);
	cr_assert_eq(next(), 0xfa);
	command(0xd4, 0xf4);
	cr_assert_eq(next(), 0xfa);
	input_rel(b.m, 3, -5, 0, 0);
	EXPECT(0x08, 3, 9);
	input_rel(b.m, 10, 100, 0, 0);
	EXPECT(0x28, 20, 0x38);
}
