/*
 * USB keyboard: reports of modifiers and six keys, LEDs.
 *
 * Keys wait in a queue and are told one a report, so that a burst of presses and
 * releases between two polls is not lost. More than six at once are reported as a
 * roll-over error.
 *
 * Source: HID 1.11, appendices B.1 (boot keyboard) and E.6 (its report descriptor);
 * HID Usage Tables, 10.
 */
#include <string.h>

#include "hw/core/input.h"
#include "hw/usb/hid.h"

#define N_KEYS		6
#define ROLL_OVER	0x01
#define QUEUE		32u
#define FIRST_MODIFIER	0xe0u
#define DOWN		0x100u

struct usb_kbd {
	struct hid hid;
	struct input_sink sink;
	uint8_t leds;
	uint8_t down[32];		/* by usage, as told to the host */
	uint8_t held[32];		/* and as they are now */
	uint16_t queue[QUEUE];		/* usage, DOWN */
	uint32_t first, n;
};

static const uint8_t usage_of[0x300] = {
#define KEY(name, code, usage, symbol, shifted) [code] = usage,
#define ALIAS(name, code)
#define SYMBOL(symbol, code)
#include "hw/core/keys.def"
#undef KEY
#undef ALIAS
#undef SYMBOL
};

static const uint8_t report_desc[] = {
	0x05, 0x01,		/* usage page: generic desktop */
	0x09, 0x06,		/* usage: keyboard */
	0xa1, 0x01,		/* collection: application */
	0x75, 0x01, 0x95, 0x08,	/*   8 fields of 1 bit */
	0x05, 0x07,		/*   usage page: key codes */
	0x19, 0xe0, 0x29, 0xe7,	/*   the modifiers */
	0x15, 0x00, 0x25, 0x01,
	0x81, 0x02,		/*   input: data, variable */
	0x95, 0x01, 0x75, 0x08,
	0x81, 0x01,		/*   input: constant, reserved byte */
	0x95, 0x05, 0x75, 0x01,
	0x05, 0x08,		/*   usage page: LEDs */
	0x19, 0x01, 0x29, 0x05,
	0x91, 0x02,		/*   output: data, variable */
	0x95, 0x01, 0x75, 0x03,
	0x91, 0x01,		/*   output: padding */
	0x95, 0x06, 0x75, 0x08,
	0x15, 0x00, 0x25, 0xff,
	0x05, 0x07,
	0x19, 0x00, 0x29, 0xff,
	0x81, 0x00,		/*   input: data, array of six keys */
	0xc0,
};

static bool is_set(const uint8_t *keys, unsigned usage)
{
	return keys[usage / 8] >> usage % 8 & 1;
}

static void set(uint8_t *keys, unsigned usage, bool on)
{
	keys[usage / 8] = (uint8_t)((keys[usage / 8] & ~(1u << usage % 8)) | (unsigned)on << usage % 8);
}

static void fill(struct hid *h, uint8_t *report)
{
	struct usb_kbd *k = (struct usb_kbd *)h;
	int n = 0;

	report[0] = k->down[FIRST_MODIFIER / 8];
	for (unsigned u = 4; u < FIRST_MODIFIER; u++)
		if (is_set(k->down, u) && n++ < N_KEYS)
			report[1 + n] = (uint8_t)u;
	if (n > N_KEYS)
		memset(report + 2, ROLL_OVER, N_KEYS);
}

static bool next(struct hid *h, uint8_t *report)
{
	struct usb_kbd *k = (struct usb_kbd *)h;

	if (!k->n)
		return false;
	unsigned ev = k->queue[k->first % QUEUE], usage = ev & 0xff;
	k->first = (k->first + 1) % QUEUE;
	k->n--;
	set(k->down, usage, ev & DOWN);
	fill(h, report);
	input_go_on(k->hid.usb.dev.m);
	return true;
}

static void forget(struct hid *h)
{
	struct usb_kbd *k = (struct usb_kbd *)h;

	k->first = k->n = 0;
	memset(k->down, 0, sizeof(k->down));
	memset(k->held, 0, sizeof(k->held));
	k->leds = 0;
}

static void set_leds(struct hid *h, uint8_t v)
{
	((struct usb_kbd *)h)->leds = v & 7;
}

static bool key_room(void *opaque)
{
	return ((struct usb_kbd *)opaque)->n < QUEUE;
}

static bool listening(void *opaque)
{
	return ((struct usb_kbd *)opaque)->hid.listening;
}

static void on_key(void *opaque, int key, bool down)
{
	struct usb_kbd *k = opaque;
	unsigned usage = key >= 0 && key < (int)ARRAY_LEN(usage_of) ? usage_of[key] : 0;

	/* What a display repeats is no news: the guest repeats by itself. */
	if (!usage || k->n == QUEUE || is_set(k->held, usage) == down)
		return;
	set(k->held, usage, down);
	k->queue[(k->first + k->n++) % QUEUE] = (uint16_t)(usage | (down ? DOWN : 0));
	hid_changed(&k->hid);
}

/* ---- the device ---- */

static const uint8_t hid_desc[] = { HID_DESC(sizeof(report_desc)) };
static const struct usb_ep_desc eps[] = {
	{ HID_ENDPOINT, USB_INTERRUPT, { 8, 8, 8 }, { 10, 10, 7 } },
};
static const struct usb_if_desc ifs[] = {
	{ 3, 1, 1, hid_desc, sizeof(hid_desc), eps, ARRAY_LEN(eps) },
};
static const struct usb_desc desc = {
	.vendor = 0x0627, .product = 0x0001, .name = "USB Keyboard", .max0 = 8,
	.speeds = USB_SPEED(USB_FULL) | USB_SPEED(USB_HIGH), .attributes = USB_ATTR_BUS | USB_ATTR_WAKE,
	.power = 50, .ifs = ifs, .n_ifs = ARRAY_LEN(ifs),
};
static const struct usb_class kbd_usb = {
	.desc = &desc, .reset = hid_bus_reset, .control = hid_control, .data = hid_data,
	.configured = hid_configured,
};
static const struct hid_class kbd_hid = {
	.report_desc = report_desc, .n_report_desc = sizeof(report_desc), .n_report = 8,
	.next = next, .now = fill, .output = set_leds, .forget = forget,
};

static uint8_t leds(void *opaque)
{
	return ((struct usb_kbd *)opaque)->leds;
}

static bool kbd_init(void *dev, struct err *e)
{
	struct usb_kbd *k = dev;

	if (!hid_attach(&k->hid, &kbd_hid, &kbd_usb, e))
		return false;
	k->sink = (struct input_sink){
		.name = "USB keyboard", .key = on_key, .key_room = key_room, .leds = leds, .listening = listening, .opaque = k,
	};
	input_add(k->hid.usb.dev.m, &k->sink);
	return true;
}

static void kbd_fini(void *dev)
{
	struct usb_kbd *k = dev;

	input_del(k->hid.usb.dev.m, &k->sink);
	hid_detach(&k->hid);
}

static void kbd_reset(void *dev)
{
	usb_reset(dev);
}

static bool kbd_loaded(void *dev, struct err *e)
{
	struct usb_kbd *k = dev;

	if (k->first >= QUEUE || k->n > QUEUE)
		return err_set(e, "an impossible queue of keys");
	return hid_loaded(&k->hid, e);
}

static const struct state kbd_state[] = {
	HID_STATE, STATE(usb_kbd, leds), STATE(usb_kbd, down), STATE(usb_kbd, held), STATE(usb_kbd, queue), STATE(usb_kbd, first),
	STATE(usb_kbd, n), { 0 }
};

const struct dev_type usb_kbd_type = {
	.name = "usb-kbd", .bus = "usb", .help = "a keyboard",
	.size = sizeof(struct usb_kbd), .version = 1, .bus_props = usb_props, .state = kbd_state,
	.init = kbd_init, .fini = kbd_fini, .reset = kbd_reset, .loaded = kbd_loaded,
};
