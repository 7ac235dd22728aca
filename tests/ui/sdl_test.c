/* ui/sdl.c on SDL's dummy video driver: the window's own keys, and those it passes on. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#ifdef CONFIG_SDL2

#include <SDL2/SDL.h>

#include "tests/bench.h"

#include "hw/core/loop.h"
#include "hw/input/i8042.h"
#include "ui/consoles.h"
#include "ui/display.h"
#include "ui/foot.h"
#include "ui/sdl.h"
#include "ui/vm.h"

static struct bench b;
static struct vm vm;
static struct display *display;
static struct sdl *sdl;
static struct consoles *consoles;
static char typed[100];
static int n_typed;

static void setup(void)
{
	setenv("SDL_VIDEODRIVER", "dummy", 1);
	bench_open(&b, &i8042_type, NULL);
	vm.m = b.m;
	vm.loop = loop_new(b.m, &b.err);
	display = display_new(b.m, NULL, &b.err);
	cr_assert(vm.loop && display, "%s", b.err.msg);
}

static void teardown(void)
{
	sdl_free(sdl);
	display_free(display);
	consoles_free(consoles);
	chr_free_all(b.m);
}

TestSuite(sdl, .init = setup, .fini = teardown);

static void open_window(struct sdl_options o)
{
	o.name = "test";
	sdl = sdl_new(display, &vm, &o, &b.err);
	cr_assert(sdl, "%s", b.err.msg);
}

static void step(void)
{
	machine_unlock(b.m);
	loop_step(vm.loop, 10 * NS_PER_MS);
	machine_lock(b.m);
	b.mono += 5 * NS_PER_MS;
}

static int window_height(void)
{
	int w, h = 0;

	SDL_GetWindowSize(SDL_GetWindowFromID(1), &w, &h);
	return h;
}

static void await_height(int want)
{
	for (int i = 0; i < 500 && window_height() != want; i++)
		step();
	cr_expect_eq(window_height(), want, "%d, not %d", window_height(), want);
}

static void key(SDL_Scancode code, uint16_t mod)
{
	int sym = code >= SDL_SCANCODE_A && code <= SDL_SCANCODE_Z ? 'a' + (int)code - SDL_SCANCODE_A :
		  code >= SDL_SCANCODE_1 && code <= SDL_SCANCODE_9 ? '1' + (int)code - SDL_SCANCODE_1 :
		  (int)code | SDLK_SCANCODE_MASK;
	SDL_Event down = { .key = { .type = SDL_KEYDOWN, .keysym = { .scancode = code, .mod = mod, .sym = sym } } }, up = down;

	up.type = SDL_KEYUP;
	SDL_PushEvent(&down);
	SDL_PushEvent(&up);
}

static int scan_code(void)
{
	for (int i = 0; i < 500; i++) {
		step();
		if (in(0x64) & 1)
			return (int)in(0x60);
	}
	return -1;
}

Test(sdl, ctrl_alt_s_puts_a_line_below_the_picture_and_takes_it_away)
{
	int foot = foot_rows(640);

	open_window((struct sdl_options){ 0 });
	await_height(480);
	key(SDL_SCANCODE_S, KMOD_LCTRL | KMOD_LALT);
	await_height(480 + foot);
	key(SDL_SCANCODE_S, KMOD_LCTRL | KMOD_LALT);
	await_height(480);
	key(SDL_SCANCODE_S, 0);
	cr_expect_eq(scan_code(), 0x1f, "the guest's letter");
}

Test(sdl, a_key_of_the_window_that_is_held_acts_once_and_types_nothing)
{
	SDL_Event again = { .key = { .type = SDL_KEYDOWN, .repeat = 1, .keysym = { .scancode = SDL_SCANCODE_S,
							      .mod = KMOD_LCTRL | KMOD_LALT } } };

	open_window((struct sdl_options){ 0 });
	await_height(480);
	SDL_PushEvent(&again);
	SDL_PushEvent(&again);
	key(SDL_SCANCODE_A, 0);
	cr_expect_eq(scan_code(), 0x1e, "the first that the guest sees");
	cr_expect_eq(window_height(), 480);
}

Test(sdl, the_line_can_be_there_from_the_start)
{
	open_window((struct sdl_options){ .status = true });
	await_height(480 + foot_rows(640));
}

Test(sdl, closing_the_window_ends_the_program)
{
	SDL_Event quit = { .type = SDL_QUIT };

	open_window((struct sdl_options){ 0 });
	SDL_PushEvent(&quit);
	for (int i = 0; i < 500 && !loop_quitting(vm.loop); i++)
		step();
	cr_expect(loop_quitting(vm.loop));
}

/* ---- text consoles ---- */

static int room(void *opaque)
{
	(void)opaque;
	return (int)sizeof(typed) - 1 - n_typed;
}

static void input(void *opaque, const uint8_t *p, int n)
{
	(void)opaque;
	memcpy(typed + n_typed, p, (size_t)n);
	n_typed += n;
}

static const struct chr_front front = { .room = room, .input = input };

/* serial0, of 80 by 24 characters: 384 pixels in height, where the screen that there is not has 480. */
static void add_console(void)
{
	struct chr *c = chr_new(b.m, "serial0", "vc", &b.err);

	cr_assert(c, "%s", b.err.msg);
	chr_attach(c, &front, NULL);
	consoles = consoles_new(b.m, &b.err);
	cr_assert(consoles, "%s", b.err.msg);
	display_set_consoles(display, consoles);
}

static void await_typed(const char *text)
{
	for (int i = 0; i < 500 && strcmp(typed, text); i++)
		step();
	cr_expect_str_eq(typed, text);
}

static void type(const char *text)
{
	SDL_Event ev = { .type = SDL_TEXTINPUT };

	snprintf(ev.text.text, sizeof(ev.text.text), "%s", text);
	SDL_PushEvent(&ev);
}

#define CTRL_ALT	(KMOD_LCTRL | KMOD_LALT)

Test(sdl, ctrl_alt_and_a_digit_show_consoles_and_the_screen)
{
	add_console();
	open_window((struct sdl_options){ 0 });
	await_height(384);			/* without a screen the first console comes first */
	key(SDL_SCANCODE_1, CTRL_ALT);
	await_height(480);
	key(SDL_SCANCODE_2, CTRL_ALT);
	await_height(384);
	key(SDL_SCANCODE_3, CTRL_ALT);		/* there is none */
	key(SDL_SCANCODE_1, CTRL_ALT);
	await_height(480);
	key(SDL_SCANCODE_A, 0);
	cr_expect_eq(scan_code(), 0x1e, "the first that the guest sees");
	cr_expect_eq(n_typed, 0);
}

Test(sdl, without_consoles_the_guest_has_the_digits)
{
	open_window((struct sdl_options){ 0 });
	await_height(480);
	key(SDL_SCANCODE_2, CTRL_ALT);
	cr_expect_eq(scan_code(), 0x03);
}

Test(sdl, a_console_gets_text_as_the_hosts_keyboard_gives_it)
{
	add_console();
	open_window((struct sdl_options){ 0 });
	await_height(384);
	type("a");
	key(SDL_SCANCODE_B, 0);			/* its text comes by itself */
	type("\xc3\xa4\xe2\x82\xac");
	key(SDL_SCANCODE_UP, 0);
	key(SDL_SCANCODE_C, KMOD_LCTRL);
	await_typed("a\xc3\xa4\xe2\x82\xac\033[A" "c");
	cr_expect_eq(in(0x64) & 1, 0, "the guest sees none of it");
}

Test(sdl, ctrl_makes_control_characters_for_a_console)
{
	SDL_Event ctrl = { .key = { .type = SDL_KEYDOWN, .keysym = { .scancode = SDL_SCANCODE_LCTRL, .sym = SDLK_LCTRL } } };

	add_console();
	open_window((struct sdl_options){ 0 });
	await_height(384);
	SDL_PushEvent(&ctrl);
	key(SDL_SCANCODE_C, KMOD_LCTRL);
	ctrl.type = SDL_KEYUP;
	SDL_PushEvent(&ctrl);
	key(SDL_SCANCODE_RETURN, 0);
	key(SDL_SCANCODE_KP_7, 0);
	key(SDL_SCANCODE_KP_7, KMOD_NUM);
	type("7");
	await_typed("\003\r\033[H7");
}

#endif
