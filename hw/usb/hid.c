/*
 * The HID class: its requests and the interrupt endpoint.
 *
 * Not modelled: report ids (each device has one report), feature reports, physical
 * descriptors.
 * Source: HID 1.11, 7.1 and 7.2 (requests), appendix B (boot protocol).
 */
#include "hw/usb/hid.h"

#include <string.h>

#define DT_HID		0x21
#define DT_REPORT	0x22
#define IDLE_UNIT	(4 * NS_PER_MS)

enum {
	GET_REPORT = 1, GET_IDLE = 2, GET_PROTOCOL = 3, SET_REPORT = 9, SET_IDLE = 10, SET_PROTOCOL = 11,
};
enum { REPORT_INPUT = 1, REPORT_OUTPUT = 2 };

static unsigned report_size(const struct hid *h)
{
	return !h->protocol && h->class->n_boot ? h->class->n_boot : h->class->n_report;
}

static void start_idle(struct hid *h)
{
	if (h->idle)
		timer_mod(&h->idle_timer, clock_now(&h->usb.dev.m->clock) + h->idle * IDLE_UNIT);
	else
		timer_del(&h->idle_timer);
}

static void on_idle(void *opaque)
{
	struct hid *h = opaque;

	h->repeat = true;
	usb_ready(&h->usb, HID_ENDPOINT);
}

void hid_changed(struct hid *h)
{
	usb_wake(&h->usb);
	usb_ready(&h->usb, HID_ENDPOINT);
}

enum usb_result hid_data(struct usb_dev *d, struct usb_packet *p)
{
	struct hid *h = (struct hid *)d;
	uint8_t report[HID_REPORT_MAX] = { 0 };
	unsigned n = report_size(h);

	if (!h->class->next(h, report)) {
		if (!h->repeat)
			return USB_NAK;
		h->class->now(h, report);
	}
	h->repeat = false;
	start_idle(h);
	p->done = (uint32_t)min_u64(n, p->len);
	memcpy(p->buf, report, p->done);
	return n > p->len ? USB_BABBLE : USB_OK;
}

/* ---- requests ---- */

static int get_descriptor(struct hid *h, const struct usb_setup *s, uint8_t *data)
{
	const struct usb_if_desc *i = h->usb.class->desc->ifs;

	switch (s->value >> 8) {
	case DT_HID:
		memcpy(data, i->extra, i->n_extra);
		return i->n_extra;
	case DT_REPORT:
		memcpy(data, h->class->report_desc, h->class->n_report_desc);
		return h->class->n_report_desc;
	default:
		return -1;
	}
}

static int get(struct hid *h, const struct usb_setup *s, uint8_t *data)
{
	switch (s->request) {
	case GET_REPORT:
		if (s->value >> 8 != REPORT_INPUT)
			return -1;
		memset(data, 0, HID_REPORT_MAX);
		h->class->now(h, data);
		return (int)report_size(h);
	case GET_IDLE:
		data[0] = h->idle;
		return 1;
	case GET_PROTOCOL:
		data[0] = h->protocol;
		return 1;
	default:
		return -1;
	}
}

static int set(struct hid *h, const struct usb_setup *s, const uint8_t *data)
{
	switch (s->request) {
	case SET_REPORT:
		if (s->value >> 8 != REPORT_OUTPUT || !h->class->output || !s->length)
			return -1;
		h->class->output(h, data[0]);
		return 0;
	case SET_IDLE:
		h->idle = (uint8_t)(s->value >> 8);
		h->repeat = false;
		start_idle(h);
		return 0;
	case SET_PROTOCOL:
		if (s->value > 1 || !h->usb.class->desc->ifs->subclass)
			return -1;
		h->protocol = (uint8_t)s->value;
		return 0;
	default:
		return -1;
	}
}

int hid_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
	struct hid *h = (struct hid *)d;

	if ((s->type & USB_TO_MASK) != USB_TO_INTERFACE || s->index)
		return -1;
	if (!(s->type & USB_TYPE_MASK))
		return s->request == USB_GET_DESCRIPTOR ? get_descriptor(h, s, data) : -1;
	return s->type & USB_DIR_IN ? get(h, s, data) : set(h, s, data);
}

/* ---- life ---- */

void hid_bus_reset(struct usb_dev *d)
{
	struct hid *h = (struct hid *)d;

	h->protocol = 1;
	h->idle = 0;
	h->repeat = false;
	timer_del(&h->idle_timer);
}

void hid_configured(struct usb_dev *d)
{
	struct hid *h = (struct hid *)d;

	h->listening = usb_is_configured(d);
	if (!h->listening && h->class->forget)
		h->class->forget(h);
}

bool hid_attach(struct hid *h, const struct hid_class *c, const struct usb_class *u, struct err *e)
{
	h->class = c;
	timer_init(&h->idle_timer, &h->usb.dev.m->clock, on_idle, h);
	return usb_attach(&h->usb, u, e);
}

void hid_detach(struct hid *h)
{
	timer_del(&h->idle_timer);
	usb_detach(&h->usb);
}

bool hid_loaded(struct hid *h, struct err *e)
{
	return usb_loaded(&h->usb, e);
}
