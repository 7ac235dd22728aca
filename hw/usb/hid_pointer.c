/*
 * USB mouse (relative) and tablet (absolute position), both with five buttons and a
 * wheel.
 *
 * Clicks between two polls must not get lost: where buttons change, what was
 * collected before is queued as a report of its own; moves in between add up.
 *
 *	mouse	buttons, x, y, wheel: 8 bits each (boot protocol: without the wheel)
 *	tablet	buttons, x, y: 16 bits each, 0 .. 7fff; wheel: 8 bits
 *
 * Source: HID 1.11, appendices B.2 and E.10; HID Usage Tables, 4 (generic desktop).
 */
#include <string.h>

#include "hw/core/input.h"
#include "hw/usb/hid.h"

#define QUEUE	16u

struct event {
	int32_t x, y, dz;
	uint32_t buttons;
};

struct usb_pointer {
	struct hid hid;
	struct input_sink sink;
	struct event queue[QUEUE];	/* the oldest first; the last one may still grow */
	uint32_t n;
	struct event told;		/* the last report: buttons, and the tablet's place */
};

#define BUTTONS		\
	0x05, 0x09,		/*   usage page: buttons */ \
	0x19, 0x01, 0x29, 0x05,	\
	0x15, 0x00, 0x25, 0x01,	\
	0x95, 0x05, 0x75, 0x01,	\
	0x81, 0x02,		/*   input: five buttons */ \
	0x95, 0x01, 0x75, 0x03,	\
	0x81, 0x01,		/*   input: padding */ \
	0x05, 0x01		/*   usage page: generic desktop */

static const uint8_t mouse_report[] = {
	0x05, 0x01, 0x09, 0x02, 0xa1, 0x01,	/* a mouse */
	0x09, 0x01, 0xa1, 0x00,			/* a pointer */
	BUTTONS,
	0x09, 0x30, 0x09, 0x31, 0x09, 0x38,	/*   x, y, wheel */
	0x15, 0x81, 0x25, 0x7f,
	0x75, 0x08, 0x95, 0x03,
	0x81, 0x06,				/*   input: relative */
	0xc0, 0xc0,
};

static const uint8_t tablet_report[] = {
	0x05, 0x01, 0x09, 0x02, 0xa1, 0x01,
	0x09, 0x01, 0xa1, 0x00,
	BUTTONS,
	0x09, 0x30, 0x09, 0x31,			/*   x, y */
	0x15, 0x00, 0x26, 0xff, 0x7f,
	0x35, 0x00, 0x46, 0xff, 0x7f,
	0x75, 0x10, 0x95, 0x02,
	0x81, 0x02,				/*   input: absolute */
	0x09, 0x38,				/*   wheel */
	0x15, 0x81, 0x25, 0x7f,
	0x35, 0x00, 0x45, 0x00,
	0x75, 0x08, 0x95, 0x01,
	0x81, 0x06,
	0xc0, 0xc0,
};

static struct usb_pointer *pointer(struct hid *h)
{
	return (struct usb_pointer *)h;
}

/* ---- the queue ---- */

/* The event that input is added to: a new one where the buttons change. */
static struct event *event_for(struct usb_pointer *s, uint32_t buttons)
{
	struct event *last = s->n ? &s->queue[s->n - 1] : NULL;

	if ((!last || last->buttons != buttons) && s->n < QUEUE) {
		s->queue[s->n] = last ? *last : s->told;
		last = &s->queue[s->n++];
		last->dz = 0;
	}
	last->buttons = buttons;
	return last;
}

static void drop_first(struct usb_pointer *s)
{
	s->n--;
	memmove(s->queue, s->queue + 1, s->n * sizeof(s->queue[0]));
}

static void forget(struct hid *h)
{
	pointer(h)->n = 0;
	pointer(h)->told = (struct event){ 0 };
}

static int32_t clamp(int32_t v, int32_t lo, int32_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static int32_t take(int32_t *left)
{
	int32_t v = clamp(*left, -127, 127);

	*left -= v;
	return v;
}

/* ---- mouse ---- */

static void mouse_now(struct hid *h, uint8_t *r)
{
	r[0] = (uint8_t)pointer(h)->told.buttons;
}

static bool mouse_next(struct hid *h, uint8_t *r)
{
	struct usb_pointer *s = pointer(h);
	struct event *ev = &s->queue[0];

	if (!s->n)
		return false;
	s->told = (struct event){ .buttons = ev->buttons };
	r[0] = (uint8_t)ev->buttons;
	r[1] = (uint8_t)take(&ev->x);
	r[2] = (uint8_t)take(&ev->y);
	r[3] = (uint8_t)take(&ev->dz);
	if (!ev->x && !ev->y && !ev->dz)
		drop_first(s);
	return true;
}

static void on_rel(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
	struct usb_pointer *s = opaque;
	bool fresh = !s->n || s->queue[s->n - 1].buttons != (buttons & 31);
	struct event *ev = event_for(s, buttons & 31);

	if (fresh && s->n < QUEUE)
		ev->x = ev->y = ev->dz = 0;
	ev->x = clamp(ev->x + dx, -65536, 65536);
	ev->y = clamp(ev->y + dy, -65536, 65536);
	ev->dz = clamp(ev->dz + dz, -256, 256);
	hid_changed(&s->hid);
}

/* ---- tablet ---- */

static void tablet_fill(const struct event *ev, uint8_t *r)
{
	r[0] = (uint8_t)ev->buttons;
	st16(r + 1, (uint16_t)ev->x);
	st16(r + 3, (uint16_t)ev->y);
}

static void tablet_now(struct hid *h, uint8_t *r)
{
	tablet_fill(&pointer(h)->told, r);
}

static bool tablet_next(struct hid *h, uint8_t *r)
{
	struct usb_pointer *s = pointer(h);
	struct event *ev = &s->queue[0];

	if (!s->n)
		return false;
	tablet_fill(ev, r);
	r[5] = (uint8_t)take(&ev->dz);
	s->told = *ev;
	if (!ev->dz)
		drop_first(s);
	return true;
}

static void on_abs(void *opaque, int x, int y, int dz, unsigned buttons)
{
	struct usb_pointer *s = opaque;
	struct event *ev = event_for(s, buttons & 31);

	ev->x = clamp(x, 0, 0x7fff);
	ev->y = clamp(y, 0, 0x7fff);
	ev->dz = clamp(ev->dz + dz, -256, 256);
	hid_changed(&s->hid);
}

/* ---- the devices ---- */

static bool listening(void *opaque)
{
	return ((struct usb_pointer *)opaque)->hid.listening;
}

static const uint8_t mouse_hid_desc[] = { HID_DESC(sizeof(mouse_report)) };
static const uint8_t tablet_hid_desc[] = { HID_DESC(sizeof(tablet_report)) };
static const struct usb_ep_desc mouse_eps[] = {
	{ HID_ENDPOINT, USB_INTERRUPT, { 4, 4, 4 }, { 10, 10, 7 } },
};
static const struct usb_ep_desc tablet_eps[] = {
	{ HID_ENDPOINT, USB_INTERRUPT, { 8, 8, 8 }, { 10, 10, 4 } },
};
static const struct usb_if_desc mouse_ifs[] = {
	{ 3, 1, 2, mouse_hid_desc, sizeof(mouse_hid_desc), mouse_eps, ARRAY_LEN(mouse_eps) },
};
static const struct usb_if_desc tablet_ifs[] = {
	{ 3, 0, 0, tablet_hid_desc, sizeof(tablet_hid_desc), tablet_eps, ARRAY_LEN(tablet_eps) },
};

#define DESC(title, interfaces) {								\
	.vendor = 0x0627, .product = 0x0001, .name = title, .max0 = 8,				\
	.speeds = USB_SPEED(USB_FULL) | USB_SPEED(USB_HIGH),					\
	.attributes = USB_ATTR_BUS | USB_ATTR_WAKE, .power = 50,				\
	.ifs = interfaces, .n_ifs = ARRAY_LEN(interfaces),					\
}
static const struct usb_desc mouse_desc = DESC("USB Mouse", mouse_ifs);
static const struct usb_desc tablet_desc = DESC("USB Tablet", tablet_ifs);

#define USB_CLASS_OF(d) {									\
	.desc = &d, .reset = hid_bus_reset, .control = hid_control, .data = hid_data,		\
	.configured = hid_configured,								\
}
static const struct usb_class mouse_usb = USB_CLASS_OF(mouse_desc);
static const struct usb_class tablet_usb = USB_CLASS_OF(tablet_desc);

static const struct hid_class mouse_hid = {
	.report_desc = mouse_report, .n_report_desc = sizeof(mouse_report), .n_report = 4, .n_boot = 3,
	.next = mouse_next, .now = mouse_now, .forget = forget,
};
static const struct hid_class tablet_hid = {
	.report_desc = tablet_report, .n_report_desc = sizeof(tablet_report), .n_report = 6,
	.next = tablet_next, .now = tablet_now, .forget = forget,
};

static bool mouse_init(void *dev, struct err *e)
{
	struct usb_pointer *s = dev;

	if (!hid_attach(&s->hid, &mouse_hid, &mouse_usb, e))
		return false;
	s->sink = (struct input_sink){ .name = "USB mouse", .rel = on_rel, .listening = listening, .opaque = s };
	input_add(s->hid.usb.dev.m, &s->sink);
	return true;
}

static bool tablet_init(void *dev, struct err *e)
{
	struct usb_pointer *s = dev;

	if (!hid_attach(&s->hid, &tablet_hid, &tablet_usb, e))
		return false;
	s->sink = (struct input_sink){ .name = "USB tablet", .abs = on_abs, .listening = listening, .opaque = s };
	input_add(s->hid.usb.dev.m, &s->sink);
	return true;
}

static void pointer_fini(void *dev)
{
	struct usb_pointer *s = dev;

	input_del(s->hid.usb.dev.m, &s->sink);
	hid_detach(&s->hid);
}

static void pointer_reset(void *dev)
{
	usb_reset(dev);
}

static bool pointer_loaded(void *dev, struct err *e)
{
	struct usb_pointer *s = dev;

	if (s->n > QUEUE)
		return err_set(e, "an impossible queue of moves");
	return hid_loaded(&s->hid, e);
}

static const struct state pointer_state[] = {
	HID_STATE, STATE(usb_pointer, queue), STATE(usb_pointer, n), STATE(usb_pointer, told), { 0 }
};

#define TYPE(type_name, title, start) {								\
	.name = type_name, .bus = "usb", .help = title,						\
	.size = sizeof(struct usb_pointer), .version = 1, .bus_props = usb_props, .state = pointer_state, \
	.init = start, .fini = pointer_fini, .reset = pointer_reset, .loaded = pointer_loaded,	\
}
const struct dev_type usb_mouse_type = TYPE("usb-mouse", "a mouse", mouse_init);
const struct dev_type usb_tablet_type = TYPE("usb-tablet", "a pointer at absolute positions", tablet_init);
