/* virtio-input: what devices say they are, and events on their way. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/input.h"
#include "hw/virtio/virtio_input.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;

enum { EVENTS, STATUS };

static void start(const struct dev_type *type)
{
	vt_machine(&b);
	struct dev *d = dev_make(b.m, type, NULL, "addr=4,serial=S1", &b.err);
	cr_assert(d, "%s", b.err.msg);
	vt_start(&t, &b, d, 0, 2);
}
static void teardown(void) { bench_close(&b); }
TestSuite(virtio_input, .fini = teardown, .timeout = 20);

#define AT(i)	(VT_BUF + 16u * (i))

static void offer(unsigned i)
{
	vt_desc(&t, EVENTS, i, AT(i), 8, D_WRITE, 0);
	vt_offer(&t, EVENTS, i);
}

static void offer_all(void)
{
	for (unsigned i = 0; i < VT_QSIZE; i++)
		offer(i);
	vt_kick(&t, EVENTS);
}

/* The next event is this one; its buffer is offered again. */
static void expect(unsigned type, unsigned code, int value)
{
	uint32_t id, len;

	cr_assert(vt_take(&t, EVENTS, &id, &len), "no event, expected %u %u %d", type, code, value);
	cr_expect_eq(len, 8);
	uint64_t e = phys_read(b.m->phys, AT(id), 8);
	cr_expect_eq(e & 0xffff, type);
	cr_expect_eq(e >> 16 & 0xffff, code);
	cr_expect_eq((int32_t)(e >> 32), value);
	offer(id);
	vt_kick(&t, EVENTS);
}

static void expect_none(void)
{
	uint32_t id, len;
	cr_expect_not(vt_take(&t, EVENTS, &id, &len));
}

static unsigned choose(unsigned select, unsigned subsel)
{
	phys_write(b.m->phys, VT_BAR + 0x2000, 1, select);
	phys_write(b.m->phys, VT_BAR + 0x2001, 1, subsel);
	return vt_config(&t, 2, 1);
}

Test(virtio_input, there_is_no_transitional_device)
{
	start(&virtio_keyboard_type);
	cr_assert_eq(pci_config_read(b.m->pci, 0, 4 * 8, 0, 4), 0x10521af4);
}

Test(virtio_input, a_keyboard_says_what_it_is)
{
	start(&virtio_keyboard_type);
	cr_assert_eq(choose(1, 0), strlen("Rhea Virtio Keyboard"));
	cr_assert_eq(vt_config(&t, 8, 4), 0x61656852);
	cr_assert_eq(choose(2, 0), 2);
	cr_assert_eq(choose(3, 0), 8);
	cr_assert_eq(vt_config(&t, 8, 4), 0x06270006);
	cr_assert_eq(choose(0x11, 1), 16);
	cr_assert_eq(vt_config(&t, 8, 1), 0xfe);	/* no key 0 */
	cr_assert_eq(choose(0x11, 0x11), 1);
	cr_assert_eq(vt_config(&t, 8, 1), 7);
	cr_assert_eq(choose(0x11, 0x14), 1);
	cr_assert_eq(choose(0x11, 2), 0);
	cr_assert_eq(choose(0x12, 0), 0);
	cr_assert_eq(choose(0x77, 0xff), 0);
}

Test(virtio_input, a_tablet_says_how_far_it_goes)
{
	start(&virtio_tablet_type);
	cr_assert_eq(choose(0x12, 1), 20);
	cr_assert_eq(vt_config(&t, 8, 4), 0);
	cr_assert_eq(vt_config(&t, 12, 4), 0x7fff);
	cr_assert_eq(choose(0x12, 2), 0);
	cr_assert_eq(choose(0x11, 3), 1);
}

Test(virtio_input, the_driver_writes_the_selection_only)
{
	start(&virtio_mouse_type);
	choose(1, 0);
	phys_write(b.m->phys, VT_BAR + 0x2002, 1, 0xff);
	phys_write(b.m->phys, VT_BAR + 0x2008, 4, 0);
	cr_assert_eq(vt_config(&t, 2, 1), strlen("Rhea Virtio Mouse"));
	cr_assert_eq(vt_config(&t, 8, 4), 0x61656852);
}

Test(virtio_input, keys_come_with_linux_codes)
{
	start(&virtio_keyboard_type);
	offer_all();
	input_key(b.m, 0x1e, true);
	input_key(b.m, 0x1e, true);		/* repeated by the display */
	input_key(b.m, 0x1e, false);
	input_key(b.m, KEY_EXT | 0x48, true);
	expect(1, 30, 1);
	expect(0, 0, 0);
	expect(1, 30, 0);
	expect(0, 0, 0);
	expect(1, 103, 1);
	expect(0, 0, 0);
	expect_none();
	cr_assert(vt_isr(&t) & 1);
}

Test(virtio_input, keys_wait_for_buffers_and_none_is_lost)
{
	start(&virtio_keyboard_type);
	for (int i = 0; i < 100; i++) {
		input_key(b.m, 0x10 + i % 8, true);
		input_key(b.m, 0x10 + i % 8, false);
	}
	offer_all();
	for (unsigned i = 0; i < 90; i++) {	/* what waits here and in front of it: 64 keys and 192 */
		expect(1, 0x10 + i % 8, 1);
		expect(0, 0, 0);
		expect(1, 0x10 + i % 8, 0);
		expect(0, 0, 0);
	}
}

Test(virtio_input, moves_of_a_mouse_and_clicks)
{
	start(&virtio_mouse_type);
	offer_all();
	input_rel(b.m, 3, -4, 0, 0);
	expect(2, 0, 3);
	expect(2, 1, -4);
	expect(0, 0, 0);
	input_rel(b.m, 0, 0, 1, BTN_RIGHT);
	expect(1, 0x111, 1);
	expect(2, 8, 1);
	expect(0, 0, 0);
	input_rel(b.m, 0, 0, 0, 0);
	expect(1, 0x111, 0);
	expect(0, 0, 0);
	expect_none();
}

Test(virtio_input, moves_without_buffers_add_up)
{
	long sum = 0;

	start(&virtio_mouse_type);
	for (int i = 0; i < 1000; i++)
		input_rel(b.m, 1, 0, 0, 0);
	offer_all();
	for (;;) {
		uint32_t id, len;
		if (!vt_take(&t, EVENTS, &id, &len))
			break;
		uint64_t e = phys_read(b.m->phys, AT(id), 8);
		if ((e & 0xffffffff) == 2)
			sum += (int32_t)(e >> 32);
		offer(id);
		vt_kick(&t, EVENTS);
	}
	cr_assert_eq(sum, 1000);
}

Test(virtio_input, positions_of_a_tablet)
{
	start(&virtio_tablet_type);
	offer_all();
	cr_assert(input_has_abs(b.m));
	input_abs(b.m, 100, 0x9000, 0, BTN_LEFT);
	expect(1, 0x110, 1);
	expect(3, 0, 100);
	expect(3, 1, 0x7fff);
	expect(0, 0, 0);
	expect_none();
}

Test(virtio_input, leds_are_what_the_driver_says)
{
	uint32_t id, len;

	start(&virtio_keyboard_type);
	phys_write(b.m->phys, VT_BUF + 0x8000, 8, 0x0000000100010011);
	vt_desc(&t, STATUS, 0, VT_BUF + 0x8000, 8, 0, 0);
	vt_offer(&t, STATUS, 0);
	vt_kick(&t, STATUS);
	cr_assert(vt_take(&t, STATUS, &id, &len));
	cr_assert_eq(input_leds(b.m), LED_CAPS);
}

Test(virtio_input, buffers_that_are_too_short_break_the_device)
{
	start(&virtio_keyboard_type);
	vt_desc(&t, EVENTS, 0, AT(0), 7, D_WRITE, 0);
	vt_offer(&t, EVENTS, 0);
	vt_kick(&t, EVENTS);
	input_key(b.m, 0x1e, true);
	cr_assert(vt_broken(&t));
}
