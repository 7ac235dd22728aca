/*
 * What USB keyboards, mice and tablets share: the requests of the HID class, one
 * interrupt endpoint, and when a report is due.
 *
 * A device embeds struct hid first and gives a struct hid_class. It calls
 * hid_changed() whenever next() may have something to tell.
 *
 * Source: USB Device Class Definition for Human Interface Devices 1.11.
 */
#ifndef HW_USB_HID_H
#define HW_USB_HID_H

#include "hw/usb/usb.h"

struct hid;

struct hid_class {
	const uint8_t *report_desc;
	uint16_t n_report_desc;
	uint8_t n_report;		/* bytes of an input report */
	uint8_t n_boot;			/* and in the boot protocol; 0: the same */
	/* The next report if something has changed; false: nothing has. */
	bool (*next)(struct hid *h, uint8_t *report);
	/* The present state as a report, once more. */
	void (*now)(struct hid *h, uint8_t *report);
	void (*output)(struct hid *h, uint8_t v);	/* an output report of one byte; may be NULL */
	void (*forget)(struct hid *h);			/* drop what was not told; may be NULL */
};

struct hid {
	struct usb_dev usb;
	const struct hid_class *class;
	struct timer idle_timer;
	uint8_t protocol;		/* 0 boot, 1 report */
	uint8_t idle;			/* units of 4 ms; 0: only changes are reported */
	bool repeat;			/* the idle time is over */
	bool listening;			/* configured: takes input */
};

#define HID_STATE \
	USB_STATE, STATE(hid, protocol), STATE(hid, idle), STATE(hid, repeat), STATE_TIMER(hid, idle_timer)

#define HID_REPORT_MAX	8

/* In place of the usb_* ones. */
bool hid_attach(struct hid *h, const struct hid_class *c, const struct usb_class *u, struct err *e);
void hid_detach(struct hid *h);
bool hid_loaded(struct hid *h, struct err *e);

void hid_changed(struct hid *h);

/* For struct usb_class. */
void hid_bus_reset(struct usb_dev *d);
int hid_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data);
enum usb_result hid_data(struct usb_dev *d, struct usb_packet *p);
void hid_configured(struct usb_dev *d);

/* The descriptor that stands in front of the endpoint; n: of the report descriptor. */
#define HID_DESC(n)	9, 0x21, 0x11, 0x01, 0, 1, 0x22, (n) & 0xff, (n) >> 8
#define HID_ENDPOINT	(1 | USB_DIR_IN)

extern const struct dev_type usb_kbd_type, usb_mouse_type, usb_tablet_type;

#endif
