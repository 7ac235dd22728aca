/* ui/sdl.c on SDL's dummy video driver: the window's own keys, and those it passes on. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "config.h"

#ifdef CONFIG_SDL2

#include <SDL2/SDL.h>

#include "tests/bench.h"

#include "hw/core/loop.h"
#include "hw/input/i8042.h"
#include "ui/display.h"
#include "ui/foot.h"
#include "ui/sdl.h"
#include "ui/vm.h"

static struct bench b;
static struct vm vm;
static struct display *display;
static struct sdl *sdl;

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
	SDL_Event down = { .key = { .type = SDL_KEYDOWN, .keysym = { .scancode = code, .mod = mod } } }, up = down;

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

#endif
