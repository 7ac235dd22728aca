/* The bus that USB device tests stand on. */
#include <criterion/criterion.h>

#include "tests/hw/usb.h"

#include <string.h>

static const struct dev_type owner_type = { .name = "toy-controller" };

static void on_changed(struct usb_port *p) { ((struct ub *)p->opaque)->n_changed++; }
static void on_wake(struct usb_port *p) { ((struct ub *)p->opaque)->n_woken++; }

static void on_ready(void *opaque, struct usb_dev *d, uint8_t addr)
{
	struct ub *u = opaque;

	(void)d;
	u->n_ready++;
	u->ready = addr;
}

void ub_open(struct ub *u, struct bench *b)
{
	bench_machine(b);
	memset(u, 0, sizeof(*u));
	u->b = b;
	u->owner = (struct dev){ .type = &owner_type, .m = b->m, .id = (char *)"toy" };
	usb_bus_init(&u->bus, &u->owner);
	u->bus.ready = on_ready;
	u->bus.opaque = u;
	for (unsigned i = 0; i < 2; i++) {
		u->port[i] = (struct usb_port){
			.speeds = i ? USB_SPEED(USB_SUPER) | USB_SPEED(USB_FULL) : 7,
			.enabled = true, .changed = on_changed, .wake = on_wake, .opaque = u,
		};
		usb_port_add(&u->bus, &u->port[i], NULL, i + 1);
	}
}

void ub_close(struct ub *u)
{
	bench_close(u->b);
}

enum usb_result ub_in(struct usb_dev *d, uint8_t ep, void *buf, uint32_t n, uint32_t *done)
{
	struct usb_packet p = { USB_IN, ep, buf, n, 0 };
	enum usb_result r = usb_transact(d, &p);

	if (done)
		*done = p.done;
	return r;
}

enum usb_result ub_out(struct usb_dev *d, uint8_t ep, const void *buf, uint32_t n, uint32_t *done)
{
	struct usb_packet p = { USB_OUT, ep, (uint8_t *)buf, n, 0 };
	enum usb_result r = usb_transact(d, &p);

	if (done)
		*done = p.done;
	return r;
}

int ub_control(struct usb_dev *d, uint8_t type, uint8_t request, uint16_t value, uint16_t index, void *data,
	       uint16_t n)
{
	uint8_t setup[8] = { type, request }, *p = data;
	uint32_t done = 0, at = 0;

	st16(setup + 2, value);
	st16(setup + 4, index);
	st16(setup + 6, n);
	struct usb_packet first = { USB_SETUP, 0, setup, 8, 0 };
	cr_assert_eq(usb_transact(d, &first), USB_OK);
	while (at < n) {
		uint32_t k = (uint32_t)min_u64(8, n - at);
		if ((type & USB_DIR_IN ? ub_in(d, 0, p + at, k, &done) : ub_out(d, 0, p + at, k, &done)) != USB_OK)
			return -1;
		at += done;
		if (done < k)
			break;
	}
	bool in = type & USB_DIR_IN && n;
	return (in ? ub_out(d, 0, NULL, 0, NULL) : ub_in(d, 0, NULL, 0, NULL)) == USB_OK ? (int)at : -1;
}

struct usb_dev *ub_plug(struct ub *u, const struct dev_type *t, const char *props)
{
	struct usb_dev *d = (struct usb_dev *)dev_make(u->b->m, t, NULL, props, &u->b->err);

	cr_assert(d, "%s", u->b->err.msg);
	usb_reset(d);
	cr_assert_eq(ub_control(d, 0, USB_SET_ADDRESS, 5, 0, NULL, 0), 0);
	cr_assert_eq(ub_control(d, 0, USB_SET_CONFIG, 1, 0, NULL, 0), 0);
	return d;
}
