/*
 * The screen in a window, by SDL 2. The library wants one thread for all it
 * does and may wait for the window system there, so it has one to itself; what
 * that and the main loop say to each other goes through ui/bridge.h.
 *
 * Keys for the window itself: Ctrl-Alt-F full screen, Ctrl-Alt-G gives the mouse
 * to the guest and back (so does a click into the window; a guest with a tablet needs
 * neither), Ctrl-Alt-U the guest's own size, Ctrl-Alt-S a line at the foot that says what the machine is doing,
 * Ctrl-Alt-2, -3.. text consoles and Ctrl-Alt-1 the screen again. Consoles get characters, as the host's keyboard
 * layout gives them, and keys that make none.
 *
 * Not modelled: the guest's pointer shape, clipboard, several screens.
 * Source: SDL 2 wiki, "API by name".
 */
#include "ui/sdl.h"

#include <stddef.h>

#include "config.h"

#ifdef CONFIG_SDL2

#include <SDL2/SDL.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/late.h"
#include "hw/core/input.h"
#include "ui/activity.h"
#include "ui/bridge.h"
#include "ui/consoles.h"
#include "ui/foot.h"
#include "ui/keymap.h"
#include "ui/vm.h"

#define MAX_TITLE	200
#define STATUS_PACE	NS_PER_SEC

struct sdl {
	struct bridge bridge;
	struct vm *vm;
	const char *name;
	bool full_screen;
	pthread_t thread;
	bool started;
	sem_t ready;			/* the window is there, or err says why not */
	bool ok;
	struct err err;
	uint32_t wake_event;		/* SDL's number for "look at the bridge" */
	struct timer look;		/* at what the machine is doing, */
	struct activity activity;
	atomic_bool wants_status;	/* if somebody wants to know */

	pthread_mutex_t lock;		/* for what follows */
	bool ending;
	char state[40], status[200];
	bool status_new;

	/* The thread's. */
	SDL_Window *window;
	SDL_Renderer *renderer;
	SDL_Texture *texture, *foot;	/* the picture, and the line below it if there is one */
	int w, h, foot_h;
	bool grabbed;
	bool pointer_shown;		/* the host's, in the window */
	int x, y;			/* it was last seen there, in pixels of the guest */
	unsigned buttons;
	uint32_t *pixels;		/* the guest's picture */
	const struct consoles *consoles;	/* their number and names */
	int page;			/* 0: the screen, or a console */
};

/* ---- the window ---- */

static void show_title(struct sdl *s)
{
	char title[MAX_TITLE + 200], note[100] = "";

	if (s->page)
		snprintf(note, sizeof(note), " - %s (Ctrl-Alt-1: the screen)", consoles_name(s->consoles, s->page));
	else if (s->grabbed)
		snprintf(note, sizeof(note), " - Ctrl-Alt-G gives the mouse back");
	pthread_mutex_lock(&s->lock);
	snprintf(title, sizeof(title), "%.*s [%s]%s", MAX_TITLE, s->name, s->state, note);
	pthread_mutex_unlock(&s->lock);
	SDL_SetWindowTitle(s->window, title);
}

static void grab(struct sdl *s, bool on)
{
	s->grabbed = on;
	SDL_SetRelativeMouseMode(on ? SDL_TRUE : SDL_FALSE);
	SDL_SetWindowGrab(s->window, on ? SDL_TRUE : SDL_FALSE);
	show_title(s);
}

static bool is_full(const struct sdl *s)
{
	return SDL_GetWindowFlags(s->window) & SDL_WINDOW_FULLSCREEN_DESKTOP;
}

static void toggle_full(struct sdl *s)
{
	SDL_SetWindowFullscreen(s->window, is_full(s) ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
}

/* The window's size is the program's to choose. */
static bool is_ours(struct sdl *s)
{
	return !is_full(s) && !(SDL_GetWindowFlags(s->window) & SDL_WINDOW_MAXIMIZED);
}

/* Black bars keep the picture's shape. */
static void draw(struct sdl *s)
{
	SDL_RenderClear(s->renderer);
	if (s->texture)
		SDL_RenderCopy(s->renderer, s->texture, NULL, &(SDL_Rect){ 0, 0, s->w, s->h });
	if (s->foot)
		SDL_RenderCopy(s->renderer, s->foot, NULL, &(SDL_Rect){ 0, s->h, s->w, s->foot_h });
	SDL_RenderPresent(s->renderer);
}

static SDL_Texture *new_texture(struct sdl *s, int w, int h)
{
	return SDL_CreateTexture(s->renderer, SDL_PIXELFORMAT_XRGB8888, SDL_TEXTUREACCESS_STREAMING, w, h);
}

static void fill_foot(struct sdl *s)
{
	uint32_t *px = s->foot ? calloc((size_t)s->w * (size_t)s->foot_h, sizeof(*px)) : NULL;
	char text[sizeof(s->status)];

	if (!px)
		return;
	pthread_mutex_lock(&s->lock);
	snprintf(text, sizeof(text), "%s", s->status);
	pthread_mutex_unlock(&s->lock);
	foot_draw(px, s->w, text);
	SDL_UpdateTexture(s->foot, NULL, px, s->w * (int)sizeof(*px));
	free(px);
}

/* Have a line below the picture, or none, as it is wanted; the picture keeps its place among the window's pixels. */
static void lay_out(struct sdl *s)
{
	if (s->foot)
		SDL_DestroyTexture(s->foot);
	s->foot_h = atomic_load(&s->wants_status) ? foot_rows(s->w) : 0;
	s->foot = s->foot_h ? new_texture(s, s->w, s->foot_h) : NULL;
	SDL_RenderSetLogicalSize(s->renderer, s->w, s->h + s->foot_h);
	fill_foot(s);
}

static void show_status(struct sdl *s)
{
	bool is_new;

	pthread_mutex_lock(&s->lock);
	is_new = s->status_new;
	s->status_new = false;
	pthread_mutex_unlock(&s->lock);
	if (!is_new || !s->foot)
		return;
	fill_foot(s);
	draw(s);
}

static void toggle_status(struct sdl *s)
{
	int w, h, before = s->foot_h;

	atomic_store(&s->wants_status, !atomic_load(&s->wants_status));
	if (!s->w)
		return;			/* resize() sees to it */
	lay_out(s);
	SDL_GetWindowSize(s->window, &w, &h);
	if (is_ours(s))
		SDL_SetWindowSize(s->window, w, h + (s->foot_h - before) * w / s->w);
	draw(s);
}

static void own_size(struct sdl *s)
{
	SDL_SetWindowSize(s->window, s->w, s->h + s->foot_h);
}

static bool resize(void *opaque, int w, int h)
{
	struct sdl *s = opaque;
	SDL_Texture *t = new_texture(s, w, h);
	uint32_t *px = calloc((size_t)w * (size_t)h, sizeof(*px));

	if (!t || !px) {
		if (t)
			SDL_DestroyTexture(t);
		free(px);
		return false;
	}
	if (s->texture)
		SDL_DestroyTexture(s->texture);
	free(s->pixels);
	s->texture = t;
	s->pixels = px;
	s->w = w;
	s->h = h;
	lay_out(s);
	if (is_ours(s))
		own_size(s);
	return true;
}

static void put_row(void *opaque, int y, const uint32_t *px, int w)
{
	struct sdl *s = opaque;

	memcpy(s->pixels + (size_t)y * (size_t)w, px, (size_t)w * sizeof(*px));
}

static void take_picture(struct sdl *s)
{
	struct bridge_taker taker = { .resize = resize, .row = put_row, .opaque = s };
	int first, last;

	if (!bridge_take(&s->bridge, &taker, &first, &last))
		return;
	SDL_UpdateTexture(s->texture, &(SDL_Rect){ 0, first, s->w, last - first + 1 },
			  s->pixels + (size_t)first * (size_t)s->w, s->w * (int)sizeof(*s->pixels));
	draw(s);
}

/* ---- input ---- */

static void send_active(struct sdl *s, bool on)
{
	bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_ACTIVE, .b = on });
}

/* The guest has a tablet: the pointer goes in and out of the window freely. */
static bool is_free(struct sdl *s)
{
	bool is = atomic_load(&s->bridge.wants_place) && !s->page;

	if (is && s->grabbed)
		grab(s, false);
	if (is == s->pointer_shown) {
		SDL_ShowCursor(is ? SDL_DISABLE : SDL_ENABLE);
		s->pointer_shown = !is;
	}
	return is;
}

static void send_move(struct sdl *s, int dx, int dy, int dz)
{
	bool known = !s->grabbed && s->w;

	bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_POINT, .pointer = {
		.dx = dx, .dy = dy, .dz = dz, .buttons = s->buttons,
		.x = known ? display_place(s->x, s->w) : -1, .y = known ? display_place(s->y, s->h) : -1,
	} });
}

static void show_page(struct sdl *s, int page)
{
	if (page > consoles_count(s->consoles))
		return;
	if (page && s->grabbed)
		grab(s, false);
	if (s->buttons) {
		s->buttons = 0;
		send_move(s, 0, 0, 0);
	}
	s->page = page;
	is_free(s);
	bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_PAGE, .a = page });
	show_title(s);
}

/* The page that a key chooses, be it there or not; -1: none. */
static int page_of(const struct sdl *s, SDL_Scancode code)
{
	bool is = consoles_count(s->consoles) && code >= SDL_SCANCODE_1 && code <= SDL_SCANCODE_9;

	return is ? (int)code - SDL_SCANCODE_1 : -1;
}

/* Ctrl-Alt and this. False: a key for the guest. */
static bool is_window_key(const struct sdl *s, SDL_Scancode code)
{
	return code == SDL_SCANCODE_F || code == SDL_SCANCODE_G || code == SDL_SCANCODE_S || code == SDL_SCANCODE_U ||
	       page_of(s, code) >= 0;
}

static bool window_key(struct sdl *s, const SDL_KeyboardEvent *k)
{
	if (!(k->keysym.mod & KMOD_CTRL) || !(k->keysym.mod & KMOD_ALT))
		return false;
	if (k->repeat)			/* held down: acts once, and is none of the guest's */
		return is_window_key(s, k->keysym.scancode);
	if (page_of(s, k->keysym.scancode) >= 0) {
		show_page(s, page_of(s, k->keysym.scancode));
		return true;
	}
	switch (k->keysym.scancode) {
	case SDL_SCANCODE_F:
		toggle_full(s);
		break;
	case SDL_SCANCODE_G:
		if (!s->page)
			grab(s, !s->grabbed);
		break;
	case SDL_SCANCODE_S:
		toggle_status(s);
		break;
	case SDL_SCANCODE_U:
		own_size(s);
		break;
	default:
		return false;
	}
	/* The guest has seen Ctrl and Alt go down, and may not see them go up. */
	bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_RELEASE });
	return true;
}

/* ---- typing into a console ---- */

static bool is_keypad_digit(SDL_Keycode sym)
{
	return sym >= SDLK_KP_1 && sym <= SDLK_KP_PERIOD;
}

/* SDL tells what the key types by SDL_TEXTINPUT, unless Ctrl is held. */
static bool is_text_key(const SDL_Keysym *k)
{
	if (is_keypad_digit(k->sym))
		return k->mod & KMOD_NUM;
	if (k->sym >= SDLK_KP_DIVIDE && k->sym <= SDLK_KP_PLUS)
		return true;
	return k->sym >= ' ' && k->sym != SDLK_DELETE && !(k->sym & SDLK_SCANCODE_MASK);
}

/* Ctrl makes control characters; with AltGr it is part of how some keyboards give a character. */
static bool with_ctrl(unsigned mod)
{
	return mod & KMOD_CTRL && !(mod & (KMOD_MODE | KMOD_RALT));
}

static void send_symbol(struct sdl *s, uint32_t symbol)
{
	bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_SYMBOL, .a = (int)symbol, .b = 1 });
}

static void console_key(struct sdl *s, const SDL_KeyboardEvent *k)
{
	const SDL_Keysym *y = &k->keysym;
	int key = keymap_usage((unsigned)y->scancode);

	if (!is_text_key(y))
		bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_KEY, .a = key, .b = k->type == SDL_KEYDOWN,
			    .symbol = keymap_key_symbol(key, is_keypad_digit(y->sym)) });
	else if (k->type == SDL_KEYDOWN && with_ctrl(y->mod))
		send_symbol(s, y->sym < 0x100 ? (uint32_t)y->sym : 0);
}

/* The first character of some UTF-8, which SDL vouches for. */
static uint32_t decode(const char **text)
{
	const uint8_t *p = (const uint8_t *)*text;
	int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
	uint32_t ch = more ? *p & (0x3fu >> more) : *p;

	for (p++; more && (*p & 0xc0) == 0x80; more--)
		ch = ch << 6 | (*p++ & 0x3f);
	*text = (const char *)p;
	return ch;
}

static void on_text(struct sdl *s, const char *text)
{
	if (!s->page || with_ctrl(SDL_GetModState()))
		return;
	while (*text) {
		uint32_t ch = decode(&text);

		send_symbol(s, ch < 0x100 ? ch : 0x1000000 | ch);
	}
}

static void on_key(struct sdl *s, const SDL_KeyboardEvent *k)
{
	bool down = k->type == SDL_KEYDOWN;
	int key = keymap_usage((unsigned)k->keysym.scancode);

	if (down && window_key(s, k))
		return;
	if (s->page)
		console_key(s, k);
	else if (key)
		bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_KEY, .a = key, .b = down });
}

/* ---- the pointer ---- */

static unsigned button_bit(uint8_t button)
{
	switch (button) {
	case SDL_BUTTON_LEFT:	return BTN_LEFT;
	case SDL_BUTTON_MIDDLE:	return BTN_MIDDLE;
	case SDL_BUTTON_RIGHT:	return BTN_RIGHT;
	case SDL_BUTTON_X1:	return BTN_SIDE;
	case SDL_BUTTON_X2:	return BTN_EXTRA;
	default:		return 0;
	}
}

static void on_button(struct sdl *s, const SDL_MouseButtonEvent *b)
{
	bool down = b->type == SDL_MOUSEBUTTONDOWN;

	if (s->page)
		return;
	if (!is_free(s) && !s->grabbed) {
		if (down && b->button == SDL_BUTTON_LEFT)
			grab(s, true);
		return;
	}
	s->x = b->x;
	s->y = b->y;
	if (down)
		s->buttons |= button_bit(b->button);
	else
		s->buttons &= ~button_bit(b->button);
	send_move(s, 0, 0, 0);
}

static void on_window(struct sdl *s, const SDL_WindowEvent *w)
{
	switch (w->event) {
	case SDL_WINDOWEVENT_EXPOSED: case SDL_WINDOWEVENT_SIZE_CHANGED:
		draw(s);
		break;
	case SDL_WINDOWEVENT_MINIMIZED: case SDL_WINDOWEVENT_HIDDEN:
		send_active(s, false);
		break;
	case SDL_WINDOWEVENT_RESTORED: case SDL_WINDOWEVENT_SHOWN:
		send_active(s, true);
		break;
	case SDL_WINDOWEVENT_FOCUS_LOST:
		if (s->grabbed)
			grab(s, false);
		bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_RELEASE });
		break;
	}
}

static void on_event(struct sdl *s, const SDL_Event *ev)
{
	switch (ev->type) {
	case SDL_KEYDOWN: case SDL_KEYUP:
		on_key(s, &ev->key);
		break;
	case SDL_TEXTINPUT:
		on_text(s, ev->text.text);
		break;
	case SDL_MOUSEMOTION:
		s->x = ev->motion.x;
		s->y = ev->motion.y;
		if (is_free(s) || s->grabbed)
			send_move(s, ev->motion.xrel, ev->motion.yrel, 0);
		break;
	case SDL_MOUSEBUTTONDOWN: case SDL_MOUSEBUTTONUP:
		on_button(s, &ev->button);
		break;
	case SDL_MOUSEWHEEL:
		if (is_free(s) || s->grabbed || s->page)
			send_move(s, 0, 0, ev->wheel.y);
		break;
	case SDL_WINDOWEVENT:
		on_window(s, &ev->window);
		break;
	case SDL_RENDER_TARGETS_RESET: case SDL_RENDER_DEVICE_RESET:
		send_active(s, true);		/* everything once more */
		break;
	case SDL_QUIT:
		bridge_send(&s->bridge, (struct bridge_event){ .kind = BRIDGE_CLOSE });
		break;
	default:
		if (ev->type == s->wake_event) {
			show_title(s);
			show_status(s);
			take_picture(s);
		}
	}
}

/* ---- the thread ---- */

static bool open_window(struct sdl *s)
{
	uint32_t flags = SDL_WINDOW_RESIZABLE | (s->full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);

	SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
	SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
	SDL_SetHint(SDL_HINT_GRAB_KEYBOARD, "1");
	SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
	if (SDL_Init(SDL_INIT_VIDEO))
		return false;
	s->wake_event = SDL_RegisterEvents(1);
	s->window = SDL_CreateWindow(s->name, SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 720, 400, flags);
	s->renderer = s->window ? SDL_CreateRenderer(s->window, -1, 0) : NULL;
	return s->renderer;
}

static void close_window(struct sdl *s)
{
	if (s->texture)
		SDL_DestroyTexture(s->texture);
	if (s->foot)
		SDL_DestroyTexture(s->foot);
	if (s->renderer)
		SDL_DestroyRenderer(s->renderer);
	if (s->window)
		SDL_DestroyWindow(s->window);
	free(s->pixels);
	SDL_Quit();
}

static bool is_ending(struct sdl *s)
{
	bool ending;

	pthread_mutex_lock(&s->lock);
	ending = s->ending;
	pthread_mutex_unlock(&s->lock);
	return ending;
}

static void *serve(void *opaque)
{
	struct sdl *s = opaque;
	bool ok = open_window(s);
	SDL_Event ev;

	s->ok = ok || err_set(&s->err, "no window: %s", SDL_GetError());
	if (ok) {
		show_title(s);
		send_active(s, true);
	}
	sem_post(&s->ready);
	while (ok && !is_ending(s))
		if (SDL_WaitEvent(&ev))
			on_event(s, &ev);
	close_window(s);
	return NULL;
}

/* ---- the main loop's side ---- */

static void wake(void *opaque)
{
	struct sdl *s = opaque;
	SDL_Event ev = { .type = s->wake_event };

	SDL_PushEvent(&ev);
}

static void on_close(void *opaque)
{
	struct sdl *s = opaque;

	vm_quit(s->vm, 0, VM_BY_UI);
}

static void on_status(void *opaque)
{
	struct sdl *s = opaque;

	pthread_mutex_lock(&s->lock);
	snprintf(s->state, sizeof(s->state), "%s", vm_status_text(s->vm->status));
	pthread_mutex_unlock(&s->lock);
	if (s->ok)
		wake(s);
}

static void look(void *opaque)
{
	struct sdl *s = opaque;
	bool wants = atomic_load(&s->wants_status);
	char text[sizeof(s->status)];

	timer_mod(&s->look, clock_now(s->look.clock) + STATUS_PACE);
	if (!wants) {
		s->activity = (struct activity){ 0 };
		return;
	}
	activity_text(s->vm, &s->activity, text, sizeof(text));
	pthread_mutex_lock(&s->lock);
	snprintf(s->status, sizeof(s->status), "%s", text);
	s->status_new = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
}

bool sdl_built_in(void)
{
	return true;
}

static bool start(struct sdl *s, struct err *e)
{
	if (pthread_create(&s->thread, NULL, serve, s))
		return err_set(e, "cannot start a thread for the window");
	s->started = true;
	pthread_setname_np(s->thread, "window");
	while (sem_wait(&s->ready))
		;
	if (!s->ok)
		*e = s->err;
	return s->ok;
}

struct sdl *sdl_new(struct display *d, struct vm *vm, const struct sdl_options *o, struct err *e)
{
	struct sdl *s;

	if (!late_load(LATE_SDL2, e))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(e, "no memory for the window");
		return NULL;
	}
	s->vm = vm;
	s->name = o->name;
	s->full_screen = o->full_screen;
	atomic_store(&s->wants_status, o->status);
	s->pointer_shown = true;
	s->bridge.wake = wake;
	s->bridge.close = on_close;
	s->bridge.opaque = s;
	pthread_mutex_init(&s->lock, NULL);
	sem_init(&s->ready, 0, 0);
	on_status(s);
	s->consoles = display_consoles(d);
	if (!bridge_init(&s->bridge, d, vm->loop, e)) {
		sdl_free(s);
		return NULL;
	}
	s->page = s->bridge.viewer.page;
	if (!start(s, e)) {
		sdl_free(s);
		return NULL;
	}
	vm->on_status = on_status;
	vm->status_opaque = s;
	timer_init(&s->look, loop_host_clock(vm->loop), look, s);
	look(s);
	return s;
}

void sdl_free(struct sdl *s)
{
	if (!s)
		return;
	s->vm->on_status = NULL;
	timer_del(&s->look);
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_mutex_unlock(&s->lock);
	if (s->ok)
		wake(s);
	if (s->started)
		pthread_join(s->thread, NULL);
	bridge_fini(&s->bridge);
	sem_destroy(&s->ready);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

#else

bool sdl_built_in(void)
{
	return false;
}

struct sdl *sdl_new(struct display *d, struct vm *vm, const struct sdl_options *o, struct err *e)
{
	(void)d, (void)vm, (void)o;
	err_set(e, "this program was built without windows (Debian package libsdl2-dev, then configure again)");
	return NULL;
}

void sdl_free(struct sdl *s)
{
	(void)s;
}

#endif
