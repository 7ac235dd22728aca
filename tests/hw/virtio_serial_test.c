/* virtio-serial between its driver and streams: ring buffers, and one that the test plays. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/core/chr.h"
#include "hw/virtio/virtio_serial.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;

#define F_MULTIPORT	BIT(1)
enum { RX0, TX0, CRX, CTX, RX1, TX1 };
enum {
	DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME,
};

/* ---- a stream whose other end is the test ---- */

static struct chr far_end;
static uint8_t got[65536];
static size_t n_got, most = sizeof(got);
static unsigned n_accepted;

static void far_write(struct chr *c, const uint8_t *p, size_t n)
{
	(void)c;
	cr_assert_leq(n_got + n, sizeof(got));
	memcpy(got + n_got, p, n);
	n_got += n;
}
static void far_accept(struct chr *c) { (void)c; n_accepted++; }
static bool far_full(struct chr *c) { (void)c; return n_got >= most; }
static void far_free(struct chr *c) { (void)c; }
static const struct chr_ops far_ops = {
	.name = "far", .write = far_write, .accept_input = far_accept, .full = far_full, .free = far_free,
};

static struct dev *add(const char *type, const char *props)
{
	struct dev *d = dev_make(b.m, dev_type_find(b.m, type), NULL, props, &b.err);
	cr_assert(d, "%s", b.err.msg);
	return d;
}

static struct dev *controller;

static void setup(void)
{
	vt_machine(&b);
	far_end = (struct chr){ .ops = &far_ops, .m = b.m, .id = strdup("far"), .next = b.m->chrs };
	b.m->chrs = &far_end;
	controller = dev_make(b.m, &virtio_serial_type, "vs", "addr=4", &b.err);
	cr_assert(controller, "%s", b.err.msg);
}
static void teardown(void) { bench_close(&b); }
TestSuite(virtio_serial, .init = setup, .fini = teardown, .timeout = 20);

/* ---- the driver ---- */

#define AT(q, i)	(VT_BUF + 0x10000 * (q) + 0x1000 * (i))

static void offer(unsigned q, unsigned i, uint32_t n)
{
	vt_desc(&t, q, i, AT(q, i), n, D_WRITE, 0);
	vt_offer(&t, q, i);
	vt_kick(&t, q);
}

static void out_bytes(unsigned q, unsigned i, const void *p, uint32_t n)
{
	phys_write_buf(b.m->phys, AT(q, i), p, n);
	vt_desc(&t, q, i, AT(q, i), n, 0, 0);
	vt_offer(&t, q, i);
	vt_kick(&t, q);
}

static void say(uint32_t port, uint16_t event, uint16_t value)
{
	uint8_t m[8];

	st32(m, port);
	st16(m + 4, event);
	st16(m + 6, value);
	out_bytes(CTX, 0, m, 8);
}

/* The next message is this one; its buffer is offered again. */
static void hear(uint32_t port, uint16_t event, uint16_t value, const char *name)
{
	uint32_t id, len;
	uint8_t m[64];

	cr_assert(vt_take(&t, CRX, &id, &len), "no message, expected %u", event);
	phys_read_buf(b.m->phys, AT(CRX, id), m, sizeof(m));
	cr_expect_eq(ld32(m), port);
	cr_expect_eq(ld16(m + 4), event, "event %u, expected %u", ld16(m + 4), event);
	cr_expect_eq(ld16(m + 6), value);
	cr_expect_eq(len, 8 + (name ? strlen(name) + 1 : 0));
	if (name)
		cr_expect_str_eq((char *)m + 8, name);
	offer(CRX, id, 0x100);
}

static void silence(void)
{
	uint32_t id, len;
	cr_expect_not(vt_take(&t, CRX, &id, &len));
}

static void start(void)
{
	vt_start(&t, &b, controller, F_MULTIPORT, 6);
	offer(CRX, 0, 0x100);
	offer(CRX, 1, 0x100);
	say(0xffffffff, DEVICE_READY, 1);
}

static void start_port(void)
{
	add("virtserialport", "chardev=far,name=org.example.0");
	start();
	hear(1, DEVICE_ADD, 1, NULL);
	say(1, PORT_READY, 1);
	hear(1, PORT_NAME, 1, "org.example.0");
	hear(1, PORT_OPEN, 0, NULL);
	silence();
}

Test(virtio_serial, config_tells_how_many_ports_there_may_be)
{
	vt_map(&t, &b, controller);
	cr_assert_eq(vt_config(&t, 4, 4), 31);
	cr_assert_eq(vt_common(&t, 0x12, 2), 64);
}

Test(virtio_serial, a_console_introduces_itself)
{
	add("virtconsole", "chardev=far");
	start();
	hear(0, DEVICE_ADD, 1, NULL);
	say(0, PORT_READY, 1);
	hear(0, CONSOLE_PORT, 1, NULL);
	hear(0, PORT_OPEN, 1, NULL);
	silence();
}

Test(virtio_serial, opening_the_other_end_is_told)
{
	start_port();
	chr_event(&far_end, CHR_OPENED);
	hear(1, PORT_OPEN, 1, NULL);
	chr_event(&far_end, CHR_CLOSED);
	hear(1, PORT_OPEN, 0, NULL);
}

Test(virtio_serial, messages_wait_for_buffers)
{
	uint32_t id, len;

	add("virtserialport", "chardev=far,name=x");
	vt_start(&t, &b, controller, F_MULTIPORT, 6);
	say(0xffffffff, DEVICE_READY, 1);
	say(1, PORT_READY, 1);
	chr_event(&far_end, CHR_OPENED);
	cr_assert_not(vt_take(&t, CRX, &id, &len));
	offer(CRX, 0, 0x100);
	hear(1, DEVICE_ADD, 1, NULL);
	hear(1, PORT_NAME, 1, "x");
	hear(1, PORT_OPEN, 1, NULL);
	silence();
}

Test(virtio_serial, input_waits_until_the_guest_has_opened_the_port)
{
	uint32_t id, len;

	start_port();
	chr_event(&far_end, CHR_OPENED);
	offer(RX1, 0, 10);
	cr_assert_eq(chr_room(&far_end), 0);
	say(1, PORT_OPEN, 1);
	cr_assert_gt(n_accepted, 0);
	cr_assert_eq(chr_room(&far_end), 10);
	chr_input(&far_end, (const uint8_t *)"hello", 5);
	cr_assert(vt_take(&t, RX1, &id, &len));
	cr_assert_eq(len, 5);
	cr_assert_eq(phys_read(b.m->phys, AT(RX1, 0), 4), 0x6c6c6568);
	cr_assert_eq(chr_room(&far_end), 0);
	n_accepted = 0;
	offer(RX1, 1, 20);
	cr_assert_eq(n_accepted, 1);
	cr_assert_eq(chr_room(&far_end), 20);
	say(1, PORT_OPEN, 0);
	cr_assert_eq(chr_room(&far_end), 0);
}

Test(virtio_serial, output_leaves_at_once_and_goes_nowhere_if_nobody_is_there)
{
	uint32_t id, len;

	start_port();
	out_bytes(TX1, 0, "lost", 4);
	cr_assert(vt_take(&t, TX1, &id, &len));
	cr_assert_eq(n_got, 0);
	chr_event(&far_end, CHR_OPENED);
	out_bytes(TX1, 1, "found", 5);
	cr_assert(vt_take(&t, TX1, &id, &len));
	cr_assert_eq(n_got, 5);
	cr_assert(!memcmp(got, "found", 5));
}

Test(virtio_serial, output_waits_in_the_ring_while_the_stream_is_full)
{
	uint32_t id, len;
	uint8_t bytes[10000];

	start_port();
	chr_event(&far_end, CHR_OPENED);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	most = 4000;
	phys_write_buf(b.m->phys, AT(TX1, 0), bytes, sizeof(bytes));
	vt_desc(&t, TX1, 0, AT(TX1, 0), sizeof(bytes), 0, 0);
	vt_offer(&t, TX1, 0);
	vt_kick(&t, TX1);
	cr_assert_eq(n_got, 4096);
	cr_assert_not(vt_take(&t, TX1, &id, &len));
	vt_kick(&t, TX1);
	cr_assert_eq(n_got, 4096);
	most = sizeof(got);
	chr_event(&far_end, CHR_ROOM);
	cr_assert(vt_take(&t, TX1, &id, &len));
	cr_assert_eq(n_got, sizeof(bytes));
	cr_assert(!memcmp(got, bytes, sizeof(bytes)));
}

Test(virtio_serial, a_port_that_goes_is_told)
{
	start_port();
	dev_free(dev_find(b.m, "virtserialport0"));
	hear(1, DEVICE_REMOVE, 1, NULL);
	add("virtserialport", "chardev=far,name=y");
	hear(1, DEVICE_ADD, 1, NULL);
	silence();
}

/* The driver has no buffers, so all of it waits. */
Test(virtio_serial, what_was_to_be_told_of_a_port_is_not_told_of_the_next_one)
{
	add("virtserialport", "chardev=far,name=x");
	vt_start(&t, &b, controller, F_MULTIPORT, 6);
	say(1, PORT_READY, 1);
	dev_free(dev_find(b.m, "virtserialport0"));
	add("virtserialport", "chardev=far");
	offer(CRX, 0, 0x100);
	offer(CRX, 1, 0x100);
	hear(1, DEVICE_REMOVE, 1, NULL);
	hear(1, DEVICE_ADD, 1, NULL);
	silence();
}

Test(virtio_serial, the_end_of_a_port_is_told_though_its_successor_has_gone_as_well)
{
	add("virtserialport", "chardev=far,name=x");
	vt_start(&t, &b, controller, F_MULTIPORT, 6);
	dev_free(dev_find(b.m, "virtserialport0"));
	add("virtserialport", "chardev=far");
	dev_free(dev_find(b.m, "virtserialport0"));
	offer(CRX, 0, 0x100);
	offer(CRX, 1, 0x100);
	hear(1, DEVICE_REMOVE, 1, NULL);
	silence();
}

Test(virtio_serial, without_multiport_there_is_one_console)
{
	uint32_t id, len;

	add("virtconsole", "chardev=far");
	vt_start(&t, &b, controller, 0, 2);
	offer(RX0, 0, 64);
	cr_assert_eq(chr_room(&far_end), 64);
	out_bytes(TX0, 0, "x", 1);
	cr_assert(vt_take(&t, TX0, &id, &len));
	cr_assert_eq(n_got, 1);
}

Test(virtio_serial, an_emergency_byte_needs_no_queue)
{
	add("virtconsole", "chardev=far");
	vt_map(&t, &b, controller);
	phys_write(b.m->phys, VT_BAR + 0x2000 + 8, 4, 'E');
	cr_assert_eq(n_got, 1);
	cr_assert_eq(got[0], 'E');
}

Test(virtio_serial, odd_wishes_are_refused)
{
	static const struct { const char *type, *props; } bad[] = {
		{ "virtserialport", "nr=0" }, { "virtserialport", "nr=31" }, { "virtconsole", "nr=5" },
		{ "virtserialport", "name=a" }, { "virtio-serial-pci", "max_ports=32" },
	};

	add("virtconsole", "nr=5");
	add("virtserialport", "name=a");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_expect_null(dev_make(b.m, dev_type_find(b.m, bad[i].type), NULL, bad[i].props, &b.err),
			       "%s,%s", bad[i].type, bad[i].props);
}

/* Messages about any port, and rings of any content. The seed is fixed. */
Test(virtio_serial, random_messages_and_rings_do_no_harm)
{
	uint64_t x = 88172645463325252ull;

	start_port();
	add("virtconsole", NULL);
	chr_event(&far_end, CHR_OPENED);
	for (int k = 0; k < 20000; k++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		unsigned q = x % 6;
		n_got = 0;
		if (x & 0x100)
			say(x >> 20 & 3, x >> 24 & 7, x >> 30 & 1);
		vt_desc(&t, q, x >> 12 & 15, VT_BUF + (x >> 20 & 0xfffff), (uint32_t)(x >> 40) & 0xfff, x >> 9 & 7, x >> 52 & 15);
		vt_offer(&t, q, x >> 12 & 15);
		vt_kick(&t, q);
		if (x & 0x200 && chr_room(&far_end) > 0)
			chr_input(&far_end, (const uint8_t *)"abc", 1);
		if (vt_broken(&t)) {
			vt_set_common(&t, 0x14, 1, 0);
			for (q = 0; q < 6; q++)
				phys_write(b.m->phys, VT_AVAIL(q) + 2, 2, 0);
			vt_start(&t, &b, controller, F_MULTIPORT, 6);
		}
		bench_run(&b, 1000);
	}
}
