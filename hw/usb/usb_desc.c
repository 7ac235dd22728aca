/*
 * Descriptors from a device's table, for the speed it runs at.
 *
 * Strings: 1 is the manufacturer, 2 the product, 3 the serial number.
 * Source: USB 2.0, 9.5-9.6; USB 3.1, 9.6.2 (BOS), 9.6.7 (endpoint companion).
 */
#include <string.h>

#include "hw/usb/usb.h"

#define LANG_ENGLISH	0x0409
enum { STR_LANGS, STR_MAKER, STR_PRODUCT, STR_SERIAL };

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	st16(p, v);
	return p + 2;
}

static const struct usb_desc *desc(const struct usb_dev *d)
{
	return d->class->desc;
}

static uint16_t usb_version(const struct usb_dev *d, enum usb_speed speed)
{
	if (speed == USB_SUPER)
		return 0x0300;
	return desc(d)->speeds & USB_SPEED(USB_HIGH) ? 0x0200 : 0x0110;
}

/* SuperSpeed gives the power of two. */
static uint8_t max_packet0(const struct usb_dev *d, enum usb_speed speed)
{
	static const uint8_t max[USB_NSPEEDS] = { [USB_LOW] = 8, [USB_HIGH] = 64, [USB_SUPER] = 9 };

	return speed == USB_FULL ? desc(d)->max0 : max[speed];
}

static int device(const struct usb_dev *d, uint8_t *p)
{
	p[0] = 18;
	p[1] = USB_DT_DEVICE;
	put16(p + 2, usb_version(d, d->speed));
	p[4] = desc(d)->class;
	p[5] = desc(d)->subclass;
	p[6] = d->speed >= USB_HIGH && desc(d)->class == 9 ? 1 : desc(d)->protocol;
	p[7] = max_packet0(d, d->speed);
	put16(p + 8, desc(d)->vendor);
	put16(p + 10, desc(d)->product);
	put16(p + 12, desc(d)->release);
	p[14] = STR_MAKER;
	p[15] = STR_PRODUCT;
	p[16] = d->serial || desc(d)->serial ? STR_SERIAL : 0;
	p[17] = 1;
	return 18;
}

/* What the device is at its other speed; devices that have none stall. */
static bool other_speed(const struct usb_dev *d, enum usb_speed *other)
{
	*other = d->speed == USB_HIGH ? USB_FULL : USB_HIGH;
	return d->speed <= USB_HIGH && d->speed != USB_LOW && desc(d)->speeds & USB_SPEED(*other);
}

static int qualifier(const struct usb_dev *d, uint8_t *p)
{
	enum usb_speed other;

	if (!other_speed(d, &other))
		return -1;
	p[0] = 10;
	p[1] = USB_DT_QUALIFIER;
	put16(p + 2, usb_version(d, other));
	p[4] = desc(d)->class;
	p[5] = desc(d)->subclass;
	p[6] = desc(d)->protocol;
	p[7] = max_packet0(d, other);
	p[8] = 1;
	p[9] = 0;
	return 10;
}

/* ---- configuration ---- */

static uint8_t *endpoint(uint8_t *p, const struct usb_ep_desc *ep, enum usb_speed speed)
{
	p[0] = 7;
	p[1] = USB_DT_ENDPOINT;
	p[2] = ep->addr;
	p[3] = ep->type;
	put16(p + 4, ep->max[speed]);
	p[6] = ep->interval[speed];
	p += 7;
	if (speed != USB_SUPER)
		return p;
	p[0] = 6;
	p[1] = USB_DT_COMPANION;
	p[2] = ep->burst;
	p[3] = 0;
	put16(p + 4, ep->type == USB_INTERRUPT ? ep->max[speed] : 0);
	return p + 6;
}

static uint8_t *interface(uint8_t *p, const struct usb_if_desc *i, int number, enum usb_speed speed)
{
	p[0] = 9;
	p[1] = USB_DT_INTERFACE;
	p[2] = (uint8_t)number;
	p[3] = 0;
	p[4] = i->n_eps;
	p[5] = i->class;
	p[6] = i->subclass;
	p[7] = i->protocol;
	p[8] = 0;
	p += 9;
	if (i->n_extra)
		memcpy(p, i->extra, i->n_extra);
	p += i->n_extra;
	for (int k = 0; k < i->n_eps; k++)
		p = endpoint(p, &i->eps[k], speed);
	return p;
}

static int configuration(const struct usb_dev *d, enum usb_speed speed, uint8_t type, uint8_t *buf)
{
	uint8_t *p = buf + 9;

	for (int i = 0; i < desc(d)->n_ifs; i++)
		p = interface(p, &desc(d)->ifs[i], i, speed);
	buf[0] = 9;
	buf[1] = type;
	put16(buf + 2, (uint16_t)(p - buf));
	buf[4] = desc(d)->n_ifs;
	buf[5] = 1;
	buf[6] = 0;
	buf[7] = desc(d)->attributes;
	buf[8] = desc(d)->power;
	return (int)(p - buf);
}

static int other_configuration(const struct usb_dev *d, uint8_t *buf)
{
	enum usb_speed other;

	return other_speed(d, &other) ? configuration(d, other, USB_DT_OTHER_SPEED, buf) : -1;
}

/* ---- the rest ---- */

/* Capabilities: USB 2.0 extension, SuperSpeed. */
static int bos(const struct usb_dev *d, uint8_t *p)
{
	unsigned slowest = desc(d)->speeds & USB_SPEED(USB_FULL) ? 1 : desc(d)->speeds & USB_SPEED(USB_HIGH) ? 2 : 3;
	static const uint8_t fixed[22] = {
		5, USB_DT_BOS, 22, 0, 2,
		7, USB_DT_CAPABILITY, 2, 0x02, 0, 0, 0,	/* link power management, which nothing here uses */
		10, USB_DT_CAPABILITY, 3, 0, 0x0e, 0, 3, 0x0a, 0x20, 0,
	};

	if (!(desc(d)->speeds & USB_SPEED(USB_SUPER)))
		return -1;
	memcpy(p, fixed, sizeof(fixed));
	p[16] = (uint8_t)(0x08 | (slowest <= 1 ? 0x02 : 0) | (slowest <= 2 ? 0x04 : 0));
	p[18] = (uint8_t)slowest;
	return sizeof(fixed);
}

/* The default one tells devices of one kind apart by their ports. */
static const char *serial_number(const struct usb_dev *d, char *buf, size_t n)
{
	if (d->serial || !desc(d)->serial)
		return d->serial;
	snprintf(buf, n, "%s-%s", desc(d)->serial, d->port ? d->port->path : "");
	return buf;
}

static int string(const struct usb_dev *d, uint8_t index, uint8_t *p)
{
	char serial[64];
	const char *text = index == STR_MAKER ? "Rhea" : index == STR_PRODUCT ? desc(d)->name :
			   index == STR_SERIAL ? serial_number(d, serial, sizeof(serial)) : NULL;
	size_t n;

	p[1] = USB_DT_STRING;
	if (index == STR_LANGS) {
		p[0] = 4;
		put16(p + 2, LANG_ENGLISH);
		return 4;
	}
	if (!text)
		return -1;
	n = min_u64(strlen(text), 126);
	for (size_t i = 0; i < n; i++)
		put16(p + 2 + 2 * i, (uint8_t)text[i]);
	p[0] = (uint8_t)(2 + 2 * n);
	return p[0];
}

int usb_descriptor(const struct usb_dev *d, uint8_t type, uint8_t index, uint8_t *buf)
{
	switch (type) {
	case USB_DT_DEVICE:	return index ? -1 : device(d, buf);
	case USB_DT_CONFIG:	return index ? -1 : configuration(d, d->speed, USB_DT_CONFIG, buf);
	case USB_DT_STRING:	return string(d, index, buf);
	case USB_DT_QUALIFIER:	return qualifier(d, buf);
	case USB_DT_OTHER_SPEED: return index ? -1 : other_configuration(d, buf);
	case USB_DT_BOS:	return bos(d, buf);
	default:		return -1;
	}
}

unsigned usb_max_packet(const struct usb_dev *d, uint8_t addr)
{
	for (int i = 0; i < desc(d)->n_ifs; i++)
		for (int k = 0; k < desc(d)->ifs[i].n_eps; k++)
			if (desc(d)->ifs[i].eps[k].addr == addr)
				return desc(d)->ifs[i].eps[k].max[d->speed];
	return 0;
}
