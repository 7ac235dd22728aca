/* USB devices as a host sees them: descriptors, requests, reports, hubs. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/input.h"
#include "hw/usb/hid.h"
#include "hw/usb/hub.h"
#include "tests/hw/usb.h"

static struct bench b;
static struct ub u;

static void setup(void) { ub_open(&u, &b); }
static void teardown(void) { ub_close(&u); }
TestSuite(usb, .init = setup, .fini = teardown, .timeout = 20);

static const struct dev_type *const types[] = { &usb_kbd_type, &usb_mouse_type, &usb_tablet_type, &usb_hub_type };

static int get(struct usb_dev *d, uint8_t type, uint8_t index, uint8_t *buf, uint16_t n)
{
	return ub_control(d, USB_DIR_IN, USB_GET_DESCRIPTOR, (uint16_t)(type << 8 | index), 0, buf, n);
}

/* ---- chapter 9 ---- */

/* The lengths inside a configuration add up, and each endpoint it names exists. */
static void check_configuration(struct usb_dev *d)
{
	uint8_t c[512];
	int n = get(d, USB_DT_CONFIG, 0, c, sizeof(c)), eps = 0;

	cr_assert_geq(n, 9 + 9);
	cr_assert_eq(n, ld16(c + 2));
	for (int at = 0; at < n; at += c[at]) {
		cr_assert_geq(c[at], 2);
		cr_assert_leq(at + c[at], n);
		if (c[at + 1] != USB_DT_ENDPOINT)
			continue;
		cr_assert_eq(usb_max_packet(d, c[at + 2]), ld16(c + at + 4));
		cr_assert_gt(c[at + 6], 0, "an interval of an interrupt endpoint");
		eps++;
	}
	cr_assert_gt(eps, 0);
}

Test(usb, descriptors_hold_together)
{
	uint8_t d[256];

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct usb_dev *dev = ub_plug(&u, types[i], "port=1");
		cr_assert_eq(get(dev, USB_DT_DEVICE, 0, d, sizeof(d)), 18);
		cr_assert_eq(d[0], 18);
		check_configuration(dev);
		for (uint8_t s = 1; s <= 2; s++) {
			int n = get(dev, USB_DT_STRING, s, d, 255);
			cr_assert_gt(n, 2);
			cr_assert_eq(n, d[0]);
		}
		cr_assert_eq(get(dev, USB_DT_STRING, 3, d, 255), -1, "no serial number was given");
		cr_assert_eq(get(dev, USB_DT_CONFIG, 1, d, 255), -1);
		cr_assert_eq(get(dev, 77, 0, d, 255), -1);
		dev_free(&dev->dev);
	}
}

Test(usb, a_host_that_asks_for_less_gets_less)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, "serial=X");
	uint8_t buf[64];

	cr_assert_eq(get(d, USB_DT_DEVICE, 0, buf, 8), 8);
	cr_assert_eq(get(d, USB_DT_CONFIG, 0, buf, 9), 9);
	cr_assert_eq(get(d, USB_DT_STRING, 3, buf, 64), 4);
	cr_assert_eq(buf[2], 'X');
}

Test(usb, a_reset_takes_address_and_configuration)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);
	uint8_t v;

	cr_assert_eq(usb_find(&u.bus, 5), d);
	cr_assert_eq(ub_control(d, USB_DIR_IN, USB_GET_CONFIG, 0, 0, &v, 1), 1);
	cr_assert_eq(v, 1);
	usb_reset(d);
	cr_assert_null(usb_find(&u.bus, 5));
	cr_assert_eq(usb_find(&u.bus, 0), d);
	cr_assert_eq(ub_in(d, 1, &v, 1, NULL), USB_GONE, "no endpoint without a configuration");
}

Test(usb, a_halted_endpoint_stalls_until_cleared)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);
	uint8_t buf[8];

	cr_assert_eq(ub_in(d, 1, buf, 8, NULL), USB_NAK);
	cr_assert_eq(ub_control(d, USB_TO_ENDPOINT, USB_SET_FEATURE, 0, 0x81, NULL, 0), 0);
	cr_assert_eq(ub_in(d, 1, buf, 8, NULL), USB_STALL);
	cr_assert_eq(ub_control(d, USB_DIR_IN | USB_TO_ENDPOINT, USB_GET_STATUS, 0, 0x81, buf, 2), 2);
	cr_assert_eq(buf[0], 1);
	cr_assert_eq(ub_control(d, USB_TO_ENDPOINT, USB_CLEAR_FEATURE, 0, 0x81, NULL, 0), 0);
	cr_assert_eq(ub_in(d, 1, buf, 8, NULL), USB_NAK);
	cr_assert_eq(ub_control(d, USB_TO_ENDPOINT, USB_SET_FEATURE, 0, 0x85, NULL, 0), -1, "no such endpoint");
}

Test(usb, control_data_beyond_the_request_stall)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);
	uint8_t setup[8] = { USB_CLASS | USB_TO_INTERFACE, 9, 0, 2, 0, 0, 1, 0 }, data[64] = { 0 };
	struct usb_packet p = { USB_SETUP, 0, setup, 8, 0 };

	usb_transact(d, &p);
	cr_assert_eq(ub_out(d, 0, data, 2, NULL), USB_STALL);
	st16(setup + 6, 0xffff);
	p = (struct usb_packet){ USB_SETUP, 0, setup, 8, 0 };
	usb_transact(d, &p);
	cr_assert_eq(ub_out(d, 0, data, 64, NULL), USB_STALL);
	cr_assert_eq(ub_in(d, 0, data, 0, NULL), USB_STALL);
}

/* ---- ports ---- */

Test(usb, devices_take_the_fastest_common_speed_and_the_next_free_port)
{
	struct usb_dev *a = ub_plug(&u, &usb_kbd_type, NULL), *c = ub_plug(&u, &usb_tablet_type, NULL);
	struct err e;

	cr_assert_eq(a->port, &u.port[0]);
	cr_assert_eq(a->speed, USB_HIGH);
	cr_assert_eq(c->port, &u.port[1]);
	cr_assert_eq(c->speed, USB_FULL);
	cr_assert_null(dev_make(b.m, &usb_mouse_type, NULL, NULL, &e));
	cr_assert(strstr(e.msg, "no free USB port"), "%s", e.msg);
	dev_free(&a->dev);
	cr_assert_eq(u.n_changed, 3);
	cr_assert_eq(ub_plug(&u, &usb_mouse_type, "bus=usb-bus.0,port=1")->port, &u.port[0]);
	cr_assert_null(dev_make(b.m, &usb_mouse_type, NULL, "port=9", &e));
}

Test(usb, a_hub_tells_of_changes_and_lets_packets_through_enabled_ports)
{
	struct usb_dev *h = ub_plug(&u, &usb_hub_type, "port=1");
	uint8_t s[4], change[2];

	cr_assert_eq(ub_in(h, 1, change, 2, NULL), USB_NAK);
	struct usb_dev *k = (struct usb_dev *)dev_make(b.m, &usb_kbd_type, NULL, "port=1.3", &b.err);
	cr_assert(k, "%s", b.err.msg);
	cr_assert_eq(u.ready, 0x81);
	cr_assert_eq(ub_in(h, 1, change, 2, NULL), USB_OK);
	cr_assert_eq(change[0], 1 << 3);
	cr_assert_eq(ub_control(h, 0xa3, USB_GET_STATUS, 0, 3, s, 4), 4);
	cr_assert_eq(ld16(s), 0x0101);
	cr_assert_eq(ld16(s + 2), 0x0001);
	cr_assert_null(usb_find(&u.bus, 0), "the port is not enabled");
	cr_assert_eq(ub_control(h, 0x23, USB_SET_FEATURE, 4, 3, NULL, 0), 0);	/* reset */
	cr_assert_eq(usb_find(&u.bus, 0), k);
	cr_assert_eq(usb_route(&u.port[0], 3), k);
	cr_assert_eq(ub_control(h, 0x23, USB_CLEAR_FEATURE, 16, 3, NULL, 0), 0);
	cr_assert_eq(ub_control(h, 0x23, USB_CLEAR_FEATURE, 20, 3, NULL, 0), 0);
	cr_assert_eq(ub_in(h, 1, change, 2, NULL), USB_NAK);
	dev_free(&k->dev);
	cr_assert_eq(ub_control(h, 0xa3, USB_GET_STATUS, 0, 3, s, 4), 4);
	cr_assert_eq(ld32(s), 0x00010100);
	cr_assert_eq(ub_control(h, 0xa3, USB_GET_STATUS, 0, 9, s, 4), -1, "eight ports");
}

Test(usb, what_hangs_on_a_hub_that_goes_is_unplugged)
{
	struct usb_dev *h = ub_plug(&u, &usb_hub_type, "port=1");
	struct usb_dev *k = (struct usb_dev *)dev_make(b.m, &usb_kbd_type, NULL, "port=1.1", &b.err);
	uint8_t buf[8];

	dev_free(&h->dev);
	cr_assert_null(k->port);
	cr_assert_eq(ub_in(k, 1, buf, 8, NULL), USB_GONE);
	input_key(b.m, 0x1e, true);
	dev_free(&k->dev);
}

Test(usb, hubs_in_a_row_have_an_end)
{
	struct dev *d = NULL;
	char port[32] = "port=1";
	int n = 0;

	while (n < 8 && (d = dev_make(b.m, &usb_hub_type, NULL, port, &b.err))) {
		strcat(port, ".1");
		n++;
	}
	cr_assert_eq(n, 5);
}

/* ---- the HID devices ---- */

Test(usb, keys_become_reports_one_at_a_time)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);
	uint8_t r[8];

	input_key(b.m, 0x2a, true);		/* shift, A, and both go */
	input_key(b.m, 0x1e, true);
	input_key(b.m, 0x1e, true);		/* a display that repeats */
	input_key(b.m, 0x1e, false);
	input_key(b.m, 0x2a, false);
	cr_assert_eq(u.ready, 0x81);
	static const uint8_t want[4][3] = { { 2, 0, 0 }, { 2, 0, 4 }, { 2, 0, 0 }, { 0, 0, 0 } };
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_OK);
		cr_assert_arr_eq(r, want[i], 3, "report %d", i);
	}
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_NAK);
}

Test(usb, seven_keys_roll_over)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);
	uint8_t r[8];

	for (int k = 0; k < 7; k++) {
		input_key(b.m, 0x10 + k, true);
		cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_OK);
		cr_assert_eq(r[7], k < 5 ? 0 : k == 5 ? r[7] : 1);
	}
	cr_assert_eq(r[2], 1);
}

Test(usb, leds_and_idle_reports)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);
	uint8_t v = 3, r[8];

	cr_assert_eq(ub_control(d, USB_CLASS | USB_TO_INTERFACE, 9, 0x0200, 0, &v, 1), 1);
	cr_assert_eq(input_leds(b.m), LED_NUM | LED_CAPS);
	cr_assert_eq(ub_control(d, USB_CLASS | USB_TO_INTERFACE, 10, 0x0500, 0, NULL, 0), 0);	/* 20 ms */
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_NAK);
	bench_run(&b, 21 * NS_PER_MS);
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_OK);
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_NAK);
}

Test(usb, input_goes_to_devices_with_a_driver)
{
	struct usb_dev *d = (struct usb_dev *)dev_make(b.m, &usb_tablet_type, NULL, NULL, &b.err);

	cr_assert_not(input_has_abs(b.m));
	usb_reset(d);
	cr_assert_eq(ub_control(d, 0, USB_SET_CONFIG, 1, 0, NULL, 0), 0);
	cr_assert(input_has_abs(b.m));
	usb_reset(d);
	cr_assert_not(input_has_abs(b.m));
}

Test(usb, a_mouse_sums_moves_and_keeps_clicks)
{
	struct usb_dev *d = ub_plug(&u, &usb_mouse_type, NULL);
	uint8_t r[4];

	input_rel(b.m, 100, -3, 0, 0);
	input_rel(b.m, 100, 0, 1, 0);
	input_rel(b.m, 0, 0, 0, BTN_LEFT);
	input_rel(b.m, 1, 0, 0, 0);
	static const uint8_t want[4][4] = { { 0, 127, 0xfd, 1 }, { 0, 73, 0, 0 }, { 1, 0, 0, 0 }, { 0, 1, 0, 0 } };
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(ub_in(d, 1, r, 4, NULL), USB_OK);
		cr_assert_arr_eq(r, want[i], 4, "report %d", i);
	}
	cr_assert_eq(ub_in(d, 1, r, 4, NULL), USB_NAK);
	/* Boot protocol: no wheel. */
	uint32_t n;
	cr_assert_eq(ub_control(d, USB_CLASS | USB_TO_INTERFACE, 11, 0, 0, NULL, 0), 0);
	input_rel(b.m, 1, 1, 0, 0);
	cr_assert_eq(ub_in(d, 1, r, 4, &n), USB_OK);
	cr_assert_eq(n, 3);
}

Test(usb, a_tablet_tells_the_last_place_and_every_click)
{
	struct usb_dev *d = ub_plug(&u, &usb_tablet_type, NULL);
	uint8_t r[8];

	input_abs(b.m, 1, 2, 0, 0);
	input_abs(b.m, 0x1234, 0x7fff, 0, 0);
	input_abs(b.m, 0x1234, 0x7fff, 0, BTN_RIGHT);
	input_abs(b.m, 0x1234, 0x9999, -1, 0);
	static const uint8_t want[3][6] = {
		{ 0, 0x34, 0x12, 0xff, 0x7f, 0 }, { 2, 0x34, 0x12, 0xff, 0x7f, 0 }, { 0, 0x34, 0x12, 0xff, 0x7f, 0xff },
	};
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_OK);
		cr_assert_arr_eq(r, want[i], 6, "report %d", i);
	}
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_NAK);
	for (int i = 0; i < 100; i++)		/* a host that does not ask */
		input_abs(b.m, i, i, 0, i & 1);
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_OK);
}

Test(usb, a_key_wakes_a_host_that_wants_it)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);

	input_key(b.m, 0x1e, true);
	cr_assert_eq(u.n_woken, 0);
	cr_assert_eq(ub_control(d, 0, USB_SET_FEATURE, 1, 0, NULL, 0), 0);
	input_key(b.m, 0x1e, false);
	cr_assert_eq(u.n_woken, 1);
}

/* ---- state ---- */

struct image {
	uint8_t buf[4096];
	size_t n, at;
};

static void save(void *opaque, const char *name, void *p, uint32_t size)
{
	struct image *im = opaque;

	(void)name;
	memcpy(im->buf + im->n, p, size);
	im->n += size;
}

static void load(void *opaque, const char *name, void *p, uint32_t size)
{
	struct image *im = opaque;

	(void)name;
	memcpy(p, im->buf + im->at, size);
	im->at += size;
}

Test(usb, a_loaded_keyboard_goes_on_where_it_was)
{
	struct usb_dev *d = ub_plug(&u, &usb_kbd_type, NULL);
	struct image im = { 0 };
	uint8_t r[8];

	input_key(b.m, 0x1e, true);
	dev_each_saved(&d->dev, save, &im);
	dev_free(&d->dev);
	d = (struct usb_dev *)dev_make(b.m, &usb_kbd_type, NULL, NULL, &b.err);
	dev_each_saved(&d->dev, load, &im);
	cr_assert(dev_loaded(&d->dev, &b.err));
	cr_assert_eq(d->addr, 5);
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_OK);
	cr_assert_eq(r[2], 4);
	input_key(b.m, 0x1e, false);
	cr_assert_eq(ub_in(d, 1, r, 8, NULL), USB_OK);
	memset(im.buf, 0xff, sizeof(im.buf));
	im.at = 0;
	dev_each_saved(&d->dev, load, &im);
	cr_assert_not(dev_loaded(&d->dev, &b.err), "nonsense is refused");
}
