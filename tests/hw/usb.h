/*
 * A USB bus without a controller: the test is the host, packet by packet.
 *
 * Tests include this after tests/bench.h and keep one `static struct bench b`.
 */
#ifndef TESTS_HW_USB_H
#define TESTS_HW_USB_H

#include "hw/usb/usb.h"
#include "tests/bench.h"

struct ub {
	struct bench *b;
	struct dev owner;
	struct usb_bus bus;
	struct usb_port port[2];	/* 1: all speeds but SuperSpeed, 2: SuperSpeed and full speed */
	int n_changed, n_woken, n_ready;
	uint8_t ready;			/* the last endpoint that was */
};

/* A machine with such a bus. */
void ub_open(struct ub *u, struct bench *b);
void ub_close(struct ub *u);
/* Plug a device in, reset the bus, and configure it; fails the test if that does not work. */
struct usb_dev *ub_plug(struct ub *u, const struct dev_type *t, const char *props);
/* A control transfer, in packets of endpoint 0's size; bytes moved, or -1: a stall. */
int ub_control(struct usb_dev *d, uint8_t type, uint8_t request, uint16_t value, uint16_t index, void *data,
	       uint16_t n);
/* One packet; *done may be NULL. */
enum usb_result ub_in(struct usb_dev *d, uint8_t ep, void *buf, uint32_t n, uint32_t *done);
enum usb_result ub_out(struct usb_dev *d, uint8_t ep, const void *buf, uint32_t n, uint32_t *done);

#endif
