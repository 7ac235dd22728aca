/* ui/vnc.c, ui/bridge.c, ui/display.c: a small RFB client at a Unix socket, and a keyboard behind. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"
#include "tests/bench.h"

#include "hw/core/input.h"
#include "hw/core/loop.h"
#include "hw/display/vga.h"
#include "hw/input/i8042.h"
#include "hw/pci/i440fx.h"
#include "ui/consoles.h"
#include "ui/display.h"
#include "ui/vnc.h"

static struct bench b;
static struct loop *loop;
static struct display *display;
static struct vnc *vnc;
static char path[64], spec[100];

static void setup(void)
{
	bench_open(&b, &i8042_type, NULL);
	loop = loop_new(b.m, &b.err);
	display = display_new(b.m, NULL, &b.err);
	cr_assert(loop && display, "%s", b.err.msg);
	snprintf(path, sizeof(path), "/tmp/rhea-vnc-test-%d", getpid());
}

static void teardown(void)
{
	vnc_free(vnc);
	display_free(display);
	unlink(path);
}

TestSuite(vnc, .init = setup, .fini = teardown);

static bool serve(const char *more)
{
	snprintf(spec, sizeof(spec), "unix:%s%s", path, more);
	vnc = vnc_new(display, loop, spec, "test", &b.err);
	return vnc;
}

#ifdef CONFIG_VNC

static int connect_viewer(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct timeval limit = { .tv_sec = 10 };

	strcpy(un.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void get(int fd, void *p, size_t n)
{
	cr_assert_eq(recv(fd, p, n, MSG_WAITALL), (ssize_t)n);
}

static void put(int fd, const void *p, size_t n)
{
	cr_assert_eq(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Returns the one security type offered. */
static int greet(int fd)
{
	char version[13] = "";
	uint8_t types[2];

	get(fd, version, 12);
	cr_assert_eq(strncmp(version, "RFB 003.", 8), 0);
	put(fd, "RFB 003.008\n", 12);
	get(fd, types, 2);
	cr_assert_eq(types[0], 1);
	put(fd, &types[1], 1);
	return types[1];
}

/* The rest of the handshake; the screen's size. */
static void enter(int fd, int *w, int *h)
{
	uint8_t result[4], init[24], name[4];

	get(fd, result, 4);
	cr_assert_eq(result[3], 0);
	put(fd, "\1", 1);
	get(fd, init, 24);
	*w = init[0] << 8 | init[1];
	*h = init[2] << 8 | init[3];
	get(fd, name, init[23]);
	cr_assert_eq(memcmp(name, "test", 4), 0);
}

static void key(int fd, uint8_t symbol, bool down)
{
	put(fd, (uint8_t[]){ 4, down, 0, 0, 0, 0, 0, symbol }, 8);
}

/* The next byte of the keyboard; what the thread sends takes host time to arrive. */
static int scan_code(void)
{
	for (int i = 0; i < 500; i++) {
		machine_unlock(b.m);
		loop_step(loop, 10 * NS_PER_MS);
		machine_lock(b.m);
		b.mono += 5 * NS_PER_MS;
		if (in(0x64) & 1)
			return (int)in(0x60);
	}
	return -1;
}

Test(vnc, a_viewer_sees_the_size_and_its_keys_reach_the_keyboard)
{
	int w, h, fd;

	cr_assert(serve(""), "%s", b.err.msg);
	fd = connect_viewer();
	cr_assert_eq(greet(fd), 1);
	enter(fd, &w, &h);
	cr_expect_eq(w, 640);
	cr_expect_eq(h, 480);
	key(fd, 'a', true);
	key(fd, 'a', false);
	cr_expect_eq(scan_code(), 0x1e);
	cr_expect_eq(scan_code(), 0x9e);
	key(fd, 'B', true);		/* no shift key came before it */
	cr_expect_eq(scan_code(), 0x2a);
	cr_expect_eq(scan_code(), 0x30);
	cr_expect_eq(scan_code(), 0xaa);
	close(fd);			/* lets go of what it held */
	cr_expect_eq(scan_code(), 0xb0);
}

/* A key by its place: the symbol does not matter. */
static void place(int fd, uint8_t xt, bool down)
{
	put(fd, (uint8_t[]){ 255, 0, 0, down, 0, 0, 0, 'x', 0, 0, 0, xt }, 12);
}

Test(vnc, keys_may_be_told_by_their_place)
{
	static const int pause[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
	uint8_t agreed[16];
	int w, h, fd;

	cr_assert(serve(""), "%s", b.err.msg);
	fd = connect_viewer();
	cr_assert_eq(greet(fd), 1);
	enter(fd, &w, &h);
	put(fd, (uint8_t[]){ 2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xfe, 0xfe }, 12);	/* raw, extended keys */
	get(fd, agreed, 16);
	cr_expect_arr_eq(agreed, ((uint8_t[]){ 0, 0, 0, 1, 0, 0, 0, 0, 2, 0x80, 1, 0xe0, 0xff, 0xff, 0xfe, 0xfe }), 16);
	place(fd, 0x56, true);			/* beside the left shift */
	place(fd, 0x56, false);
	cr_expect_eq(scan_code(), 0x56);
	cr_expect_eq(scan_code(), 0xd6);
	place(fd, 0x9d, true);			/* right control */
	cr_expect_eq(scan_code(), 0xe0);
	cr_expect_eq(scan_code(), 0x1d);
	place(fd, 0x9d, false);
	cr_expect_eq(scan_code(), 0xe0);
	cr_expect_eq(scan_code(), 0x9d);
	place(fd, 0xc6, true);
	for (size_t i = 0; i < ARRAY_LEN(pause); i++)
		cr_expect_eq(scan_code(), pause[i]);
	close(fd);
}

/* The bits a viewer is told next: 0 scroll, 1 num, 2 caps. */
static int told_leds(int fd)
{
	static const uint8_t head[] = { 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0xff, 0xff, 0xfe, 0xfb };
	uint8_t m[17];

	for (int i = 0; i < 500 && recv(fd, m, 1, MSG_PEEK | MSG_DONTWAIT) <= 0; i++) {
		machine_unlock(b.m);
		loop_step(loop, 10 * NS_PER_MS);
		machine_lock(b.m);
		b.mono += 5 * NS_PER_MS;
	}
	get(fd, m, sizeof(m));
	cr_expect_arr_eq(m, head, sizeof(head));
	return m[16];
}

static void set_leds(uint8_t bits)
{
	out(0x60, 0xed);
	cr_assert_eq(scan_code(), 0xfa);
	out(0x60, bits);
	cr_assert_eq(scan_code(), 0xfa);
}

Test(vnc, the_guests_leds_are_told_to_viewers_that_ask)
{
	int w, h, fd;

	cr_assert(serve(""), "%s", b.err.msg);
	fd = connect_viewer();
	cr_assert_eq(greet(fd), 1);
	enter(fd, &w, &h);
	put(fd, (uint8_t[]){ 2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xfe, 0xfb }, 12);
	cr_expect_eq(told_leds(fd), 0);
	for (int bits = 1; bits <= 4; bits *= 2) {
		set_leds((uint8_t)bits);
		cr_expect_eq(told_leds(fd), bits);
	}
	close(fd);
	fd = connect_viewer();		/* a newcomer sees what is lit */
	cr_assert_eq(greet(fd), 1);
	enter(fd, &w, &h);
	put(fd, (uint8_t[]){ 2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xfe, 0xfb }, 12);
	cr_expect_eq(told_leds(fd), 4);
	close(fd);
}

static char typed[100];
static int n_typed;

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

static void await_typed(const char *text)
{
	for (int i = 0; i < 500 && strcmp(typed, text); i++) {
		machine_unlock(b.m);
		loop_step(loop, 10 * NS_PER_MS);
		machine_lock(b.m);
		b.mono += 5 * NS_PER_MS;
	}
	cr_expect_str_eq(typed, text);
}

static void symbol(int fd, uint16_t symbol, bool down)
{
	put(fd, (uint8_t[]){ 4, down, 0, 0, 0, 0, (uint8_t)(symbol >> 8), (uint8_t)symbol }, 8);
}

enum { CTRL = 0xffe3, ALT = 0xffe9 };

static void choose(int fd, char digit)
{
	symbol(fd, CTRL, true);
	symbol(fd, ALT, true);
	key(fd, (uint8_t)digit, true);
	key(fd, (uint8_t)digit, false);
	symbol(fd, ALT, false);
	symbol(fd, CTRL, false);
}

Test(vnc, ctrl_alt_and_a_digit_lead_to_text_consoles_and_back)
{
	static const struct chr_front front = { .room = room, .input = input };
	struct chr *serial = chr_new(b.m, "serial0", "vc", &b.err);
	struct consoles *consoles;
	uint8_t agreed[16];
	int w, h, fd;

	cr_assert(serial, "%s", b.err.msg);
	chr_attach(serial, &front, NULL);
	consoles = consoles_new(b.m, &b.err);
	cr_assert(consoles, "%s", b.err.msg);
	display_set_consoles(display, consoles);
	cr_assert(serve(""), "%s", b.err.msg);
	fd = connect_viewer();
	cr_assert_eq(greet(fd), 1);
	enter(fd, &w, &h);
	choose(fd, '1');			/* there is no screen, so a console was shown first */
	key(fd, 'a', true);
	key(fd, 'a', false);
	cr_expect_eq(scan_code(), 0x1e);
	cr_expect_eq(scan_code(), 0x9e);
	choose(fd, '2');
	key(fd, 'b', true);
	key(fd, 'b', false);
	symbol(fd, CTRL, true);
	key(fd, 'c', true);
	key(fd, 'c', false);
	symbol(fd, CTRL, false);
	symbol(fd, 0xff52, true);
	await_typed("b\003\033[A");
	put(fd, (uint8_t[]){ 2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xfe, 0xfe }, 12);
	get(fd, agreed, 16);
	place(fd, 0x15, true);			/* 'x' at its end, whatever is there on other keyboards */
	await_typed("b\003\033[Ax");
	cr_expect_eq(scan_code(), 0x1d, "Ctrl and Alt of the choice, let go of");
	cr_expect_eq(scan_code(), 0x38);
	cr_expect_eq(scan_code(), 0x9d);
	cr_expect_eq(scan_code(), 0xb8);
	cr_expect_eq(in(0x64) & 1, 0);
	close(fd);
	vnc_free(vnc);
	vnc = NULL;
	display_free(display);
	display = NULL;
	consoles_free(consoles);
	chr_free_all(b.m);
}

static void pass(int ms)
{
	for (int i = 0; i < ms / 10; i++) {
		machine_unlock(b.m);
		loop_step(loop, 10 * NS_PER_MS);
		machine_lock(b.m);
	}
}

static void vbe(uint8_t index, uint16_t value)
{
	bench_out(&b, 0x1ce, 2, index);
	bench_out(&b, 0x1cf, 2, value);
}

/* Its size is that of the last viewer's time until the main loop has drawn a new picture. */
Test(vnc, a_size_that_changes_before_a_viewer_lists_its_encodings_is_told)
{
	int w, h, fd;
	uint8_t head[4], rect[12];

	struct dev *vga;

	cr_assert(dev_make(b.m, &i440fx_type, NULL, "addr=0", &b.err), "%s", b.err.msg);
	vga = dev_make(b.m, &vga_type, NULL, "addr=2", &b.err);
	cr_assert(vga, "%s", b.err.msg);
	vbe(1, 320);
	vbe(2, 240);
	vbe(3, 32);
	vbe(4, 0x41);
	display_free(display);
	display = display_new(b.m, (struct vga *)vga, &b.err);
	cr_assert(serve(""), "%s", b.err.msg);
	fd = connect_viewer();
	cr_assert_eq(greet(fd), 1);
	enter(fd, &w, &h);
	cr_expect_eq(w, 640);
	pass(300);
	put(fd, (uint8_t[]){ 2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21 }, 12);	/* raw, DesktopSize */
	put(fd, (uint8_t[]){ 3, 0, 0, 0, 0, 0, 0, 16, 0, 16 }, 10);
	get(fd, head, 4);
	get(fd, rect, 12);
	cr_expect_eq(rect[4] << 8 | rect[5], 320);
	cr_expect_eq(rect[6] << 8 | rect[7], 240);
	cr_expect_arr_eq(rect + 8, ((uint8_t[]){ 0xff, 0xff, 0xff, 0x21 }), 4);
	close(fd);
}

/* ---- what programs are told ---- */

static char told[500];

static void note(void *opaque, const char *name, struct value *data)
{
	size_t n = strlen(told);

	(void)opaque;
	snprintf(told + n, sizeof(told) - n, "%s %s; ", name,
		 val_get_str(val_get(data, "server"), "family", "?"));
	val_free(data);
}

static void await_event(const char *text)
{
	for (int i = 0; i < 500 && !strstr(told, text); i++) {
		machine_unlock(b.m);
		loop_step(loop, 10 * NS_PER_MS);
		machine_lock(b.m);
	}
}

Test(vnc, viewers_that_come_and_go_are_told)
{
	int w, h, fd;

	b.m->on_event = note;
	cr_assert(serve(""), "%s", b.err.msg);
	fd = connect_viewer();
	cr_assert_eq(greet(fd), 1);
	enter(fd, &w, &h);
	await_event("VNC_CONNECTED");
	put(fd, (uint8_t[]){ 3, 0, 0, 0, 0, 0, 0, 16, 0, 16 }, 10);	/* asks for a picture */
	await_event("VNC_INITIALIZED");
	close(fd);
	await_event("VNC_DISCONNECTED");
	cr_assert_str_eq(told, "VNC_CONNECTED unix; VNC_INITIALIZED unix; VNC_DISCONNECTED unix; ");
}

/* ---- pointers ---- */

static struct { int x, y, dz, dx, dy, n_abs, n_rel; unsigned buttons; bool tablet; } seen;

static void on_abs(void *opaque, int x, int y, int dz, unsigned buttons)
{
	(void)opaque;
	seen.x = x;
	seen.y = y;
	seen.dz += dz;
	seen.buttons = buttons;
	seen.n_abs++;
}

static void on_rel(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
	(void)opaque, (void)dz, (void)buttons;
	seen.dx += dx;
	seen.dy += dy;
	seen.n_rel++;
}

static bool listening(void *opaque)
{
	(void)opaque;
	return seen.tablet;
}

static void point(int fd, uint8_t mask, int x, int y)
{
	put(fd, (uint8_t[]){ 5, mask, (uint8_t)(x >> 8), (uint8_t)x, (uint8_t)(y >> 8), (uint8_t)y }, 6);
}

static void wait_for(const int *count, int n)
{
	for (int i = 0; i < 500 && *count < n; i++) {
		machine_unlock(b.m);
		loop_step(loop, 10 * NS_PER_MS);
		machine_lock(b.m);
	}
	cr_assert_geq(*count, n);
}

Test(vnc, a_tablet_gets_places_a_mouse_moves)
{
	struct input_sink mouse = { .rel = on_rel }, tablet = { .abs = on_abs, .listening = listening };
	int w, h, fd;

	input_add(b.m, &mouse);
	input_add(b.m, &tablet);
	cr_assert(serve(""), "%s", b.err.msg);
	fd = connect_viewer();
	greet(fd);
	enter(fd, &w, &h);
	point(fd, 0, 100, 100);
	point(fd, 0, 110, 90);			/* the guest has no driver for its tablet yet */
	wait_for(&seen.n_rel, 2);
	cr_expect_eq(seen.dx, 10);
	cr_expect_eq(seen.dy, -10);
	cr_expect_eq(seen.n_abs, 0);
	seen.tablet = true;
	point(fd, 1, w - 1, 0);
	wait_for(&seen.n_abs, 1);
	cr_expect_eq(seen.x, INPUT_ABS_MAX);
	cr_expect_eq(seen.y, 0);
	cr_expect_eq(seen.buttons, BTN_LEFT);
	point(fd, 8, w - 1, 0);			/* the wheel, away */
	wait_for(&seen.n_abs, 2);
	cr_expect_eq(seen.dz, 1);
	close(fd);
	input_del(b.m, &tablet);
	input_del(b.m, &mouse);
}

Test(vnc, without_the_password_nobody_comes_in)
{
	uint8_t challenge[16], result[4];
	int fd;

	cr_assert(serve(",password=on"), "%s", b.err.msg);
	fd = connect_viewer();
	cr_assert_eq(greet(fd), 2);
	get(fd, challenge, 16);
	put(fd, challenge, 16);
	get(fd, result, 4);
	cr_expect_eq(result[3], 1);
	close(fd);
}

Test(vnc, a_browser_comes_in_at_the_same_port)
{
	static const char hello[] = "GET /websockify HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary\r\n"
		"Sec-WebSocket-Version: 13\r\nOrigin: http://x\r\n\r\n";
	char answer[400] = "";
	int fd;

	cr_assert(serve(",websocket=on"), "%s", b.err.msg);
	fd = connect_viewer();
	put(fd, hello, sizeof(hello) - 1);
	for (size_t n = 0; n < sizeof(answer) - 1 && !strstr(answer, "RFB 003.008"); n++)
		get(fd, answer + n, 1);
	cr_expect(strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "%s", answer);	/* RFC 6455's own example */
	close(fd);
}

Test(vnc, bad_addresses_are_refused)
{
	static const char *const bad[] = { "5900", ":x", ":70000", "unix:", ":1,passwort=on", ":1,websocket=5700" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		b.err.msg[0] = 0;
		cr_expect_not(vnc_new(display, loop, bad[i], "test", &b.err), "%s", bad[i]);
		cr_expect(*b.err.msg, "%s", bad[i]);
	}
}

#else

Test(vnc, a_build_without_it_says_so)
{
	cr_expect_not(serve(""));
	cr_expect(strstr(b.err.msg, "libvncserver-dev"));
}

#endif
