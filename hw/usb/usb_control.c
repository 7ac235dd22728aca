/*
 * The requests every USB device answers.
 *
 * Not modelled: test modes, alternate settings (no device has one), power states U1
 * and U2 (accepted, never entered), latency tolerance messages.
 * Source: USB 2.0, 9.4; USB 3.1, 9.4.
 */
#include "hw/usb/usb.h"

enum { FEATURE_HALT = 0, FEATURE_WAKE = 1, FEATURE_U1 = 48, FEATURE_LTM = 50 };

static uint32_t ep_bit(uint16_t addr)
{
	return 1u << ((addr & 15) + (addr & USB_DIR_IN ? 16 : 0));
}

static bool ep_exists(const struct usb_dev *d, uint16_t addr)
{
	return !(addr & 0x7f) || (usb_is_configured(d) && usb_max_packet(d, (uint8_t)addr));
}

/* ---- to the device ---- */

static int set_config(struct usb_dev *d, uint16_t value)
{
	if (value > 1)
		return -1;
	d->config = (uint8_t)value;
	d->halted = 0;
	if (d->class->configured)
		d->class->configured(d);
	return 0;
}

static int device_feature(struct usb_dev *d, uint16_t feature, bool on)
{
	if (feature == FEATURE_WAKE && d->class->desc->attributes & USB_ATTR_WAKE) {
		d->may_wake = on;
		return 0;
	}
	return d->speed == USB_SUPER && feature >= FEATURE_U1 && feature <= FEATURE_LTM ? 0 : -1;
}

static int to_device(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
	switch (s->request) {
	case USB_GET_STATUS:
		st16(data, (uint16_t)((d->class->desc->attributes & USB_ATTR_SELF ? 1 : 0) | (d->may_wake ? 2 : 0)));
		return 2;
	case USB_CLEAR_FEATURE: case USB_SET_FEATURE:
		return device_feature(d, s->value, s->request == USB_SET_FEATURE);
	case USB_SET_ADDRESS:
		if (s->value > 127)
			return -1;
		d->addr = (uint8_t)s->value;
		return 0;
	case USB_GET_DESCRIPTOR:
		return usb_descriptor(d, (uint8_t)(s->value >> 8), (uint8_t)s->value, data);
	case USB_GET_CONFIG:
		data[0] = d->config;
		return 1;
	case USB_SET_CONFIG:
		return set_config(d, s->value);
	case USB_SET_SEL: case USB_SET_ISOCH_DELAY:
		return d->speed == USB_SUPER ? 0 : -1;
	default:
		return -1;
	}
}

/* ---- to an interface ---- */

static int to_interface(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
	if ((s->index & 0xff) >= d->class->desc->n_ifs)
		return -1;
	switch (s->request) {
	case USB_GET_STATUS:
		st16(data, 0);
		return 2;
	case USB_GET_INTERFACE:
		data[0] = 0;
		return 1;
	case USB_SET_INTERFACE:
		return s->value ? -1 : 0;
	case USB_CLEAR_FEATURE: case USB_SET_FEATURE:
		return d->speed == USB_SUPER && !s->value ? 0 : -1;	/* function suspend */
	default:
		return d->class->control(d, s, data);
	}
}

/* ---- to an endpoint ---- */

static int clear_halt(struct usb_dev *d, uint16_t addr)
{
	d->halted &= ~ep_bit(addr);
	if (d->class->unhalted)
		d->class->unhalted(d, (uint8_t)addr);
	return 0;
}

static int to_endpoint(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
	if (!ep_exists(d, s->index))
		return -1;
	switch (s->request) {
	case USB_GET_STATUS:
		st16(data, d->halted & ep_bit(s->index) ? 1 : 0);
		return 2;
	case USB_CLEAR_FEATURE:
		return s->value == FEATURE_HALT ? clear_halt(d, s->index) : -1;
	case USB_SET_FEATURE:
		if (s->value != FEATURE_HALT)
			return -1;
		if (s->index & 15)
			d->halted |= ep_bit(s->index);
		return 0;
	default:
		return -1;
	}
}

int usb_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
	if (s->type & USB_TYPE_MASK)
		return d->class->control(d, s, data);
	switch (s->type & USB_TO_MASK) {
	case USB_TO_DEVICE:	return to_device(d, s, data);
	case USB_TO_INTERFACE:	return to_interface(d, s, data);
	case USB_TO_ENDPOINT:	return to_endpoint(d, s, data);
	default:		return -1;
	}
}

void usb_halt(struct usb_dev *d, uint8_t addr)
{
	d->halted |= ep_bit(addr);
}
