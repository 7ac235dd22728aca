/*
 * Guests are hostile: random registers, rings, contexts and descriptors must do no harm
 * to the USB controllers and devices (the sanitizers watch in `make check-all`) and must
 * not hang. Half of what is random is nearly right, so that it gets far.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/core/input.h"
#include "hw/pci/pci.h"
#include "hw/usb/ehci.h"
#include "hw/usb/hid.h"
#include "hw/usb/hub.h"
#include "hw/usb/storage.h"
#include "hw/usb/uhci.h"
#include "hw/usb/xhci.h"
#include "tests/bench.h"

#define BAR	0xe0000000u
#define IO	0xc000u
#define MEM	0x10000u		/* where structures are, 64 KiB */

static struct bench b;
static char path[32];
static uint64_t seed;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

static void setup(void)
{
	const char *given = getenv("RHEA_TEST_SEED");

	seed = given ? strtoull(given, NULL, 0) : 1;
	printf("RHEA_TEST_SEED=%llu\n", (unsigned long long)seed);
	bench_open_pci(&b, 2 << 20);
	strcpy(path, "/tmp/rhea-usb-XXXXXX");
	int fd = mkstemp(path);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	struct drive_options o = { .id = "d", .image = { .file = path, .format = "raw" } };
	cr_assert(drive_new(b.m, &o, &b.err), "%s", b.err.msg);
	log_mask = 0;
}

static void teardown(void)
{
	bench_close(&b);
	unlink(path);
}
TestSuite(usb_hostile, .init = setup, .fini = teardown, .timeout = 60);

static void plug(const struct dev_type *t, const char *props)
{
	cr_assert(dev_make(b.m, t, NULL, props, &b.err), "%s", b.err.msg);
}

static void some_input(void)
{
	switch (rnd() % 4) {
	case 0: input_key(b.m, (int)(rnd() % 0x300), rnd() & 1); break;
	case 1: input_rel(b.m, (int)rnd() - (1 << 30), (int)(rnd() % 99), (int)(rnd() % 9), rnd() & 31); break;
	case 2: input_abs(b.m, (int)rnd(), (int)rnd(), (int)(rnd() % 9) - 4, rnd() & 31); break;
	}
}

/* An address: mostly where structures are, at times anywhere. */
static uint32_t place(void)
{
	uint32_t r = rnd() % 32;

	return r == 0 ? rnd() : r == 1 ? BAR + rnd() % 0x4000 : (MEM + rnd() % 0x10000) & ~15u;
}

/* ---- control requests and command wrappers, which both controllers carry ---- */

static void setup_packet(uint8_t *p)
{
	static const uint8_t types[] = { 0x80, 0x00, 0x81, 0x01, 0x82, 0x02, 0x21, 0xa1, 0x23, 0xa3, 0xa0, 0x20 };

	p[0] = rnd() % 8 ? types[rnd() % sizeof(types)] : (uint8_t)rnd();
	p[1] = (uint8_t)(rnd() % 8 ? rnd() % 12 : rnd());
	st16(p + 2, (uint16_t)(rnd() & 1 ? rnd() % 64 : rnd()));
	st16(p + 4, (uint16_t)(rnd() & 1 ? rnd() % 8 : rnd()));
	st16(p + 6, (uint16_t)(rnd() & 1 ? rnd() % 64 : rnd()));
	if (rnd() % 4 == 0) {
		p[0] = 0;		/* SET_CONFIGURATION 1: or endpoints are never reached */
		p[1] = 9;
		st16(p + 2, 1);
		st32(p + 4, 0);
	}
}

static void command_wrapper(uint8_t *p)
{
	static const uint8_t ops[] = {
		0x00, 0x03, 0x12, 0x1a, 0x5a, 0x15, 0x55, 0x25, 0x28, 0x2a, 0x08, 0x0a, 0x35, 0x41, 0x42, 0x93, 0x9e,
		0xa0, 0x88, 0x8a, 0xa8, 0xaa, 0x2f, 0x1b, 0x43, 0x46,
	};

	memset(p, 0, 31);
	st32(p, rnd() % 16 ? 0x43425355 : rnd());
	st32(p + 8, rnd() & 1 ? rnd() % 4096 : rnd() % 16 ? 512 * (rnd() % 300) : rnd());
	p[12] = (uint8_t)(rnd() << 7);
	p[14] = (uint8_t)(rnd() % 16 ? 10 : rnd());
	for (int i = 0; i < 16; i++)
		p[15 + i] = (uint8_t)(rnd() & 1 ? 0 : rnd());
	p[15] = ops[rnd() % sizeof(ops)];
	if (rnd() & 1) {		/* within the disk */
		st32(p + 17, __builtin_bswap32(rnd() % 2048));
		st16(p + 22, __builtin_bswap16((uint16_t)(rnd() % 200)));
	}
}

/* ---- UHCI ---- */

static void fill_uhci(void)
{
	static const uint8_t pids[] = { 0x2d, 0x69, 0xe1 };

	for (uint32_t at = MEM; at < MEM + 0x4000; at += 16) {
		uint32_t link = place() | rnd() % 8;
		uint8_t d[31];
		wr(at, link & ~(rnd() & 1));
		if (rnd() & 1) {
			wr(at + 4, rnd() & 1 ? 0x18800000u | (rnd() & 0x29000000) : rnd());
			wr(at + 8, (rnd() % 16 ? pids[rnd() % 3] : rnd() & 0xff) | (rnd() % 4) << 8 | (rnd() % 3) << 15 |
					(rnd() & 1 ? 7u : rnd() & 1 ? 30u : rnd()) << 21);
			wr(at + 12, place());
		} else {
			wr(at + 4, place() | rnd() % 8);
		}
		if (rnd() & 1)
			setup_packet(d);
		else
			command_wrapper(d);
		if (rnd() % 4 == 0)
			phys_write_buf(b.m->phys, MEM + 0x8000 + (rnd() % 0x7f0 & ~15u) * 16, d, rnd() & 1 ? 8 : 31);
	}
}

Test(usb_hostile, uhci)
{
	plug(&uhci_type, "addr=1.2");
	plug(&usb_hub_type, "port=1");
	plug(&usb_tablet_type, "port=1.1");
	plug(&usb_kbd_type, "port=1.2");
	plug(&usb_storage_type, "drive=d,port=2");
	for (int i = 0; i < 400; i++) {
		pci_config_write(b.m->pci, 0, 0x0a, 0x20, 4, IO);
		pci_config_write(b.m->pci, 0, 0x0a, 0x04, 2, 5);
		fill_uhci();
		bench_out(&b, IO + 8, 4, MEM);
		for (int p = 0x10; p < 0x14 && rnd() & 1; p += 2) {
			bench_out(&b, (uint16_t)(IO + p), 2, 0x200);
			bench_out(&b, (uint16_t)(IO + p), 2, 4);
		}
		bench_out(&b, IO + 2, 2, 0x3f);
		bench_out(&b, IO, 2, 1);
		for (int k = 0; k < 4; k++) {
			bench_run(&b, 5 * NS_PER_MS);
			some_input();
		}
		bench_settle(&b);
		int size = 1 << rnd() % 3;
		bench_out(&b, (uint16_t)(IO + rnd() % 0x20), size, rnd());
		bench_in(&b, (uint16_t)(IO + rnd() % 0x20), size);
	}
}

/* ---- EHCI ---- */

static void random_overlay(uint32_t at)
{
	wr(at + 16, (place() & ~31u) | (rnd() % 8 == 0));
	wr(at + 20, (place() & ~31u) | (rnd() & 1));
	wr(at + 24, (rnd() & 1 ? 0x80 : 0) | (rnd() & 0x7f00) | (rnd() % 8 ? (rnd() & 1 ? 8u : rnd() % 600) : rnd() & 0x7fff) << 16);
	for (uint32_t i = 0; i < 5; i++)
		wr(at + 28 + 4 * i, place());
}

static void random_qh(uint32_t at)
{
	wr(at, (place() & ~31u) | (rnd() & 7));
	wr(at + 4, rnd() % 4 | (rnd() % 3) << 8 | 2 << 12 | (rnd() & 3) << 14 | (rnd() & 0x7ff) << 16);
	wr(at + 8, rnd() & 0xff);
	wr(at + 12, place() & ~31u);
	for (int more = (int)(rnd() % 3); more >= 0; more--, at += 16)
		random_overlay(at);
}

Test(usb_hostile, ehci)
{
	plug(&ehci_type, "addr=4");
	plug(&usb_tablet_type, NULL);
	plug(&usb_kbd_type, NULL);
	plug(&usb_storage_type, "drive=d");
	for (int i = 0; i < 400; i++) {
		pci_config_write(b.m->pci, 0, 0x20, 0x10, 4, BAR);
		pci_config_write(b.m->pci, 0, 0x20, 0x04, 2, 6);
		for (uint32_t at = MEM; at < MEM + 0x10000; at += 0x80) {
			uint8_t d[31];
			random_qh(at);
			if (rnd() % 3)
				continue;
			if (rnd() & 1)
				setup_packet(d);
			else
				command_wrapper(d);
			phys_write_buf(b.m->phys, at, d, 31);
		}
		wr(BAR + 0x34, MEM);
		wr(BAR + 0x38, place() & ~31u);
		for (uint32_t p = 0; p < 3; p++) {
			wr(BAR + 0x64 + 4 * p, 0x1100);
			wr(BAR + 0x64 + 4 * p, 0x1000);
		}
		wr(BAR + 0x24, 0x3f);
		wr(BAR + 0x20, 0x31 | (rnd() & 0x40));
		for (int k = 0; k < 4; k++) {
			bench_run(&b, 3 * NS_PER_MS);
			some_input();
		}
		bench_settle(&b);
		wr(BAR + (rnd() % 0x80 & ~3u), rnd());
		(void)rd(BAR + (rnd() % 0x80 & ~3u));
	}
}

/* ---- devices, packet by packet ---- */

static void random_control(struct usb_dev *d)
{
	uint8_t p[8], data[64] = { 0 };

	setup_packet(p);
	if (rnd() % 8 == 0) {			/* descriptors of all kinds */
		p[0] = 0x80 | (rnd() & 1);
		p[1] = 6;
		p[2] = (uint8_t)(rnd() % 4);
		p[3] = (uint8_t)(rnd() & 1 ? rnd() % 16 : rnd() % 64);
	}
	struct usb_packet t = { USB_SETUP, 0, p, 8, 0 };
	usb_transact(d, &t);
	for (int i = (int)(rnd() % 6); i > 0; i--) {
		t = (struct usb_packet){ rnd() & 1 ? USB_IN : USB_OUT, 0, data, rnd() % 65, 0 };
		if (usb_transact(d, &t) != USB_OK)
			break;
	}
}

static void random_bulk(struct usb_dev *d)
{
	static uint8_t data[70000];
	struct usb_packet t = { rnd() & 1 ? USB_IN : USB_OUT, (uint8_t)(1 + rnd() % 2), data, rnd() % sizeof(data), 0 };

	if (t.pid == USB_OUT && rnd() % 4) {
		command_wrapper(data);
		t.len = 31;
		t.ep = 2;
	} else if (rnd() & 1) {
		t.len = rnd() & 1 ? 13 : 512 * (rnd() % 100);
	}
	for (int i = 0; i < 4 && usb_transact(d, &t) == USB_NAK; i++) {
		t.buf += t.done;
		t.len -= t.done;
		bench_settle(&b);
	}
}

static void all_devices(int rounds)
{
	struct usb_dev *d[16];
	int n = 0;

	for (struct dev *p = b.m->devs; p; p = p->next)
		if (!strcmp(p->type->bus, "usb"))
			d[n++] = (struct usb_dev *)p;
	for (int i = 0; i < rounds; i++) {
		struct usb_dev *one = d[rnd() % (unsigned)n];
		switch (rnd() % 8) {
		case 0: case 1: case 2: random_control(one); break;
		case 3: some_input(); break;
		case 4: bench_run(&b, rnd() % (20 * NS_PER_MS)); break;
		default: random_bulk(one);
		}
		if (rnd() % 500 == 0)
			usb_reset(one);
		if (!one->config && rnd() % 4 == 0)
			usb_request(one, 0, USB_SET_CONFIG, 1, 0);
	}
}

Test(usb_hostile, devices)
{
	struct drive_options o = { .id = "c", .image = { .file = path, .format = "raw", .readonly = true, .unlocked = true },
				   .cdrom = true };

	plug(&xhci_type, "addr=4");
	cr_assert(drive_new(b.m, &o, &b.err), "%s", b.err.msg);
	plug(&usb_hub_type, "port=1");
	plug(&usb_tablet_type, "port=1.1");
	plug(&usb_kbd_type, "port=1.2");
	plug(&usb_mouse_type, "port=1.3");
	plug(&usb_storage_type, "drive=d,port=2");
	plug(&usb_storage_type, "drive=c,port=3,removable=on");
	all_devices(30000);
}

/* ---- xHCI ---- */

static void random_trb(uint32_t at, bool is_command)
{
	unsigned type = is_command ? 6 + rnd() % 20 : 1 + rnd() % 8;
	uint32_t control = type << 10 | (rnd() % 8 != 0) | (rnd() & 0x00010236) | (is_command ? (1 + rnd() % 4) << 24 |
			   (rnd() % 6) << 16 : 0);

	wr(at, place());
	wr(at + 4, rnd() % 64 ? 0 : rnd());
	wr(at + 8, rnd() & 1 ? rnd() % 600 : rnd() & 0x1ffff);
	if (!is_command && type == 2) {
		uint8_t p[8];
		setup_packet(p);
		phys_write_buf(b.m->phys, at, p, 8);
		wr(at + 8, 8);
		control |= 1 << 6;
	}
	wr(at + 12, rnd() % 32 ? control : rnd());
}

/* Contexts that could be: slot, endpoint 0, a few others of fitting types. */
static void input_context(uint32_t at)
{
	wr(at, rnd() % 4 ? 0 : rnd() & 0xfc);
	wr(at + 4, rnd() % 4 ? 3 | (rnd() & 0x38) : rnd());
	wr(at + 0x20, (1 + rnd() % 5) << 27 | (rnd() & 1 ? 0 : rnd() % 20));
	wr(at + 0x24, (1 + rnd() % 8) << 16);
	for (unsigned dci = 1; dci < 6; dci++) {
		uint32_t type = dci == 1 ? 4 : dci & 1 ? 6 + rnd() % 2 : 2;
		uint32_t c = at + 0x20 * (dci + 1);
		wr(c + 4, (rnd() % 16 ? type : rnd() & 7) << 3 | (rnd() % 16 ? 64u : rnd() & 0xfff) << 16);
		wr(c + 8, place() | 1);
		wr(c + 12, 0);
	}
}

static void fill_xhci(void)
{
	for (uint32_t at = MEM; at < MEM + 0x10000; at += 0x100) {
		uint8_t d[31];
		switch (rnd() % 4) {
		case 0:
			input_context(at);
			break;
		case 1:
			command_wrapper(d);
			phys_write_buf(b.m->phys, at, d, 31);
			break;
		default:
			for (uint32_t k = 0; k < 0x100; k += 16)
				random_trb(at + k, false);
		}
	}
	for (uint32_t k = 0; k < 0x400; k += 16)
		random_trb(MEM + k, true);
	for (uint32_t k = 0; k < 64; k++) {
		wr(0x8000 + 8 * k, place() & ~63u);
		wr(0x8004 + 8 * k, 0);
	}
	wr(0x9000, 0xa000);
	wr(0x9004, 0);
	wr(0x9008, rnd() % 8 ? 64 : rnd());
}

/* ---- a driver that knows what it does, but for some bits ---- */

#define IN_ADDRESS(n)	(0x30000u + 0x800 * (n))
#define IN_CONFIGURE(n)	(0x34000u + 0x800 * (n))
#define CONTEXT(n)	(0x38000u + 0x400 * (n))
#define RING(n, dci)	(0x40000u + 0x1000 * (n) + 0x200 * (dci))
#define N_SLOTS		5u
#define BUFFERS		0x50000u

static const uint8_t port_of[N_SLOTS + 1] = { 0, 1, 2, 7, 4, 1 };

static void put_trb(uint32_t at, uint32_t param, uint32_t status, uint32_t control)
{
	wr(at, param);
	wr(at + 4, 0);
	wr(at + 8, status);
	wr(at + 12, control | 1);
}

static void slot_contexts(uint32_t n)
{
	for (uint32_t i = 0; i < 0x800; i += 4)
		wr(IN_ADDRESS(n) + i, 0), wr(IN_CONFIGURE(n) + i, 0);
	wr(IN_ADDRESS(n) + 4, 3);
	wr(IN_ADDRESS(n) + 0x20, 1u << 27 | (n == 5 ? 1 : 0));
	wr(IN_ADDRESS(n) + 0x24, (rnd() % 16 ? port_of[n] : rnd() % 10) << 16);
	wr(IN_ADDRESS(n) + 0x44, 4 << 3 | 64u << 16);
	wr(IN_ADDRESS(n) + 0x48, RING(n, 1) | 1);
	wr(IN_CONFIGURE(n) + 4, 1 | 1 << 3 | (n == 3 ? 1 << 4 : 0));
	wr(IN_CONFIGURE(n) + 0x20, 4u << 27);
	wr(IN_CONFIGURE(n) + 0x84, (n == 3 ? 6 : 7) << 3 | (n == 3 ? 1024u : 8) << 16);
	wr(IN_CONFIGURE(n) + 0x88, RING(n, 3) | 1);
	wr(IN_CONFIGURE(n) + 0xa4, 2 << 3 | 1024u << 16);
	wr(IN_CONFIGURE(n) + 0xa8, RING(n, 4) | 1);
	wr(0x8000 + 8 * n, CONTEXT(n));
}

/* Control transfers, the first one SET_CONFIGURATION. */
static void control_ring(uint32_t at)
{
	for (int i = 0; i < 8; i++) {
		uint8_t p[8] = { 0, 9, 1 };
		if (i)
			setup_packet(p);
		bool in = p[0] & 0x80;
		put_trb(at, ld32(p), 8, 2u << 10 | 1 << 6);
		wr(at + 4, ld32(p + 4));
		at += 16;
		if (ld16(p + 6)) {
			put_trb(at, BUFFERS + rnd() % 0x8000, rnd() & 1 ? ld16(p + 6) : rnd() % 0x2000,
				3u << 10 | (uint32_t)in << 16 | (rnd() & 0x36));
			at += 16;
		}
		put_trb(at, 0, 0, 4u << 10 | (uint32_t)!in << 16 | (rnd() & 0x20));
		at += 16;
	}
	wr(at + 12, 0);
}

/* Data, at times with event data behind, links, and things that do not belong there. */
static void data_ring(uint32_t at, bool out)
{
	for (int i = 0; i < 24; i++, at += 16) {
		uint32_t flags = rnd() & 0x226;
		if (rnd() % 4 == 0) {
			uint8_t d[31];
			command_wrapper(d);
			phys_write_buf(b.m->phys, BUFFERS + 0x40 * (uint32_t)i, d, 31);
		}
		if (rnd() % 16 == 0)
			random_trb(at, false);
		else if (rnd() % 8 == 0)
			put_trb(at, rnd(), 0, 7u << 10 | (rnd() & 0x230));
		else if (out && rnd() & 1)
			put_trb(at, BUFFERS + 0x40 * (uint32_t)i, 31, 1u << 10 | (flags & 0x220));
		else
			put_trb(at, BUFFERS + 0x1000 + rnd() % 0x8000,
				rnd() % 4 == 0 ? 13 : rnd() & 1 ? 512 * (rnd() % 64) : rnd() % 0x20000,
				1u << 10 | flags | (rnd() & 0x10));
	}
	put_trb(at, at - 16 * 24, 0, 6u << 10 | (rnd() & 2));
}

static void good_driver(void)
{
	uint32_t at = MEM;

	for (uint32_t n = 1; n <= N_SLOTS; n++)
		put_trb(at, 0, 0, 9u << 10), at += 16;
	for (uint32_t n = 1; n <= N_SLOTS; n++) {
		slot_contexts(n);
		control_ring(RING(n, 1));
		data_ring(RING(n, 3), false);
		data_ring(RING(n, 4), true);
		put_trb(at, IN_ADDRESS(n), 0, 11u << 10 | n << 24), at += 16;
		put_trb(at, IN_CONFIGURE(n), 0, 12u << 10 | n << 24), at += 16;
	}
}

static void start_xhci(void)
{
	wr(BAR + 0x40, 2);
	wr(BAR + 0x44, ~0u);
	wr(BAR + 0x58, MEM | 1);
	wr(BAR + 0x5c, 0);
	wr(BAR + 0x70, 0x8000);
	wr(BAR + 0x74, 0);
	wr(BAR + 0x78, 4 + rnd() % 70);
	wr(BAR + 0x1028, 1);
	wr(BAR + 0x1030, 0x9000);
	wr(BAR + 0x1034, 0);
	wr(BAR + 0x1020, 2);
	wr(BAR + 0x40, 5);
	for (unsigned p = 0; p < 8; p++)
		wr(BAR + 0x440 + 16 * p, 0x210);
}

Test(usb_hostile, xhci)
{
	plug(&xhci_type, "addr=4");
	plug(&usb_hub_type, "port=1");
	plug(&usb_tablet_type, "port=1.1");
	plug(&usb_kbd_type, "port=2");
	plug(&usb_storage_type, "drive=d,port=3");
	plug(&usb_mouse_type, "port=4");
	for (int i = 0; i < 1500; i++) {
		pci_config_write(b.m->pci, 0, 0x20, 0x10, 4, BAR);
		pci_config_write(b.m->pci, 0, 0x20, 0x04, 2, 6);
		fill_xhci();
		if (i % 4)
			good_driver();
		start_xhci();
		wr(BAR + 0x1038, 0xa000 + 16 * 40 + 8);
		wr(BAR + 0x2000, 0);
		for (uint32_t n = 1; n <= N_SLOTS && i % 4; n++)
			wr(BAR + 0x2000 + 4 * n, 1);
		for (int k = 0; k < 60; k++) {
			switch (rnd() % 8) {
			case 0: wr(BAR + 0x2000, 0); break;
			case 1: case 2: case 3: wr(BAR + 0x2000 + 4 * (1 + rnd() % N_SLOTS), rnd() % 16 ? 1 + rnd() % 4 : rnd()); break;
			case 4: wr(BAR + 0x1038, 0xa000 + 16 * (rnd() % 64) + 8); break;
			case 5: some_input(); break;
			case 6: bench_run(&b, rnd() % (4 * NS_PER_MS)); break;
			default:
				wr(BAR + (rnd() % 0x2100 & ~3u), rnd() & 1 ? rnd() : place());
				(void)rd(BAR + (rnd() % 0x4000 & ~3u));
			}
			if (rnd() % 16 == 0)
				bench_settle(&b);
		}
	}
}
