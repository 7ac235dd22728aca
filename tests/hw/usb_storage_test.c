/* USB mass storage and the SCSI commands behind it, as a host's driver sees them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/usb/storage.h"
#include "tests/hw/usb.h"

#define SECTORS	1024u

static struct bench b;
static struct ub u;
static struct usb_dev *d;
static char path[32];
static uint8_t buf[128 << 10];

/* Each doubleword of the image says where it is. */
static void open_with(bool readonly, bool cdrom)
{
	ub_open(&u, &b);
	strcpy(path, "/tmp/rhea-usb-XXXXXX");
	int fd = mkstemp(path);
	for (uint32_t i = 0; i < SECTORS * 128; i++)
		cr_assert_eq(write(fd, &i, 4), 4);
	close(fd);
	struct drive_options o = {
		.id = "d", .image = { .file = path, .format = "raw", .readonly = readonly || cdrom }, .cdrom = cdrom,
	};
	cr_assert(drive_new(b.m, &o, &b.err), "%s", b.err.msg);
	d = ub_plug(&u, &usb_storage_type, "drive=d,port=1");
}

static void setup(void) { open_with(false, false); }

static void teardown(void)
{
	ub_close(&u);
	unlink(path);
}
TestSuite(usb_storage, .init = setup, .fini = teardown, .timeout = 20);
TestSuite(usb_storage_other, .fini = teardown, .timeout = 20);

/* ---- the transport ---- */

static enum usb_result command(const uint8_t *cdb, int n, uint32_t len, bool in)
{
	uint8_t c[31] = { 'U', 'S', 'B', 'C', 0x11, 0x22, 0x33, 0x44 };

	st32(c + 8, len);
	c[12] = in ? 0x80 : 0;
	c[14] = (uint8_t)n;
	memcpy(c + 15, cdb, (size_t)n);
	return ub_out(d, 2, c, 31, NULL);
}

/* The status byte; *residue may be NULL. */
static int status(uint32_t *residue)
{
	uint8_t s[13];
	uint32_t n;
	enum usb_result r;

	for (int i = 0; (r = ub_in(d, 1, s, 13, &n)) == USB_NAK && i < 100; i++)
		bench_settle(&b);
	cr_assert_eq(r, USB_OK);
	cr_assert_eq(n, 13);
	cr_assert_eq(ld32(s), 0x53425355);
	cr_assert_eq(ld32(s + 4), 0x44332211);
	if (residue)
		*residue = ld32(s + 8);
	return s[12];
}

/* Data to the host, in packets of `packet` bytes; how many came. */
static uint32_t take(uint8_t *to, uint32_t n, uint32_t packet)
{
	uint32_t at = 0, done;

	while (at < n) {
		uint32_t k = (uint32_t)min_u64(packet, n - at);
		enum usb_result r = ub_in(d, 1, to + at, k, &done);
		at += done;
		if (r == USB_NAK) {
			bench_settle(&b);
			continue;
		}
		cr_assert_eq(r, USB_OK);
		if (done < k)
			break;
	}
	return at;
}

static void give(const uint8_t *from, uint32_t n, uint32_t packet)
{
	uint32_t at = 0, done;

	while (at < n) {
		enum usb_result r = ub_out(d, 2, from + at, (uint32_t)min_u64(packet, n - at), &done);
		at += done;
		if (r == USB_NAK)
			bench_settle(&b);
		else
			cr_assert_eq(r, USB_OK);
	}
}

/* A command with data to the host: bytes that came, or -1: it failed. */
static int ask(const uint8_t *cdb, int n, uint32_t len)
{
	cr_assert_eq(command(cdb, n, len, true), USB_OK);
	uint32_t got = len ? take(buf, len, 512) : 0;
	return status(NULL) ? -1 : (int)got;
}

/* Sense key and code of the last command. */
static unsigned sense(void)
{
	static const uint8_t cdb[6] = { 3, 0, 0, 0, 18, 0 };

	cr_assert_eq(ask(cdb, 6, 18), 18);
	return (unsigned)(buf[2] << 16 | buf[12] << 8 | buf[13]);
}

static void calm(void)
{
	static const uint8_t ready[6] = { 0 };

	ask(ready, 6, 0);		/* power on */
}

static void cdb10(uint8_t *c, uint8_t op, uint32_t lba, uint16_t n)
{
	memset(c, 0, 10);
	c[0] = op;
	st32(c + 2, __builtin_bswap32(lba));
	st16(c + 7, __builtin_bswap16(n));
}

/* ---- tests ---- */

Test(usb_storage, the_first_command_hears_of_power_on)
{
	static const uint8_t ready[6] = { 0 };

	cr_assert_eq(ask(ready, 6, 0), -1);
	cr_assert_eq(sense(), 0x062900);
	cr_assert_eq(ask(ready, 6, 0), 0);
	cr_assert_eq(sense(), 0);
}

Test(usb_storage, identity_and_capacity)
{
	static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 36, 0 }, capacity[10] = { 0x25 };

	cr_assert_eq(ask(inquiry, 6, 36), 36);
	cr_assert_arr_eq(buf + 8, "RHEA    HARDDISK", 16);
	calm();
	cr_assert_eq(ask(capacity, 10, 8), 8);
	cr_assert_eq(__builtin_bswap32(ld32(buf)), SECTORS - 1);
	cr_assert_eq(__builtin_bswap32(ld32(buf + 4)), 512);
}

Test(usb_storage, sectors_are_read_and_written)
{
	uint8_t c[10];

	calm();
	for (uint32_t packet = 64; packet <= 65536; packet *= 32) {	/* 200 sectors: more than a piece */
		cdb10(c, 0x28, 7, 200);
		cr_assert_eq(command(c, 10, 200 * 512, true), USB_OK);
		cr_assert_eq(take(buf, 200 * 512, packet), 200 * 512);
		cr_assert_eq(status(NULL), 0);
		for (uint32_t i = 0; i < 200 * 128; i++)
			cr_assert_eq(ld32(buf + 4 * i), 7 * 128 + i);
		cdb10(c, 0x2a, 700, 200);
		cr_assert_eq(command(c, 10, 200 * 512, false), USB_OK);
		give(buf, 200 * 512, packet);
		cr_assert_eq(status(NULL), 0);
		memset(buf, 0, 512);
		cdb10(c, 0x28, 899, 1);
		cr_assert_eq(ask(c, 10, 512), 512);
		cr_assert_eq(ld32(buf), 206 * 128);
	}
}

/* Between any two packets. */
static void can_be_loaded(void)
{
	drive_drain(b.m, NULL);
	cr_assert(dev_loaded(&d->dev, &b.err), "%s", b.err.msg);
}

Test(usb_storage, a_machine_is_loaded_while_much_is_read_and_written)
{
	uint8_t c[10];

	calm();
	for (int in = 0; in < 2; in++) {
		cdb10(c, in ? 0x28 : 0x2a, 0, 200);
		cr_assert_eq(command(c, 10, 200 * 512, in), USB_OK);
		for (uint32_t i = 0; i < 200 * 512; i += 512) {
			can_be_loaded();
			if (in)
				cr_assert_eq(take(buf + i, 512, 512), 512);
			else
				give(buf + i, 512, 512);
		}
		can_be_loaded();
		cr_assert_eq(status(NULL), 0);
		can_be_loaded();
	}
}

Test(usb_storage, commands_outside_the_disk_or_unknown_fail)
{
	uint8_t c[10];

	calm();
	cdb10(c, 0x28, SECTORS, 1);
	cr_assert_eq(ask(c, 10, 512), -1);
	cr_assert_eq(sense(), 0x052100);
	cdb10(c, 0x28, 0xffffffff, 0xffff);
	cr_assert_eq(ask(c, 10, 512), -1);
	cdb10(c, 0xf7, 0, 0);
	cr_assert_eq(ask(c, 10, 0), -1);
	cr_assert_eq(sense(), 0x052000);
	cdb10(c, 0x42, 0, 24);		/* UNMAP beyond the end */
	memset(buf, 0, 24);
	buf[3] = 16;
	st64(buf + 8, __builtin_bswap64(SECTORS - 1));
	st32(buf + 16, __builtin_bswap32(2));
	cr_assert_eq(command(c, 10, 24, false), USB_OK);
	give(buf, 24, 64);
	cr_assert_eq(status(NULL), 1);
	cr_assert_eq(sense(), 0x052100);
}

Test(usb_storage, unmap_and_write_same_make_zeros)
{
	uint8_t c[10];

	calm();
	cdb10(c, 0x42, 0, 40);
	memset(buf, 0, 40);
	buf[3] = 32;
	st64(buf + 8, __builtin_bswap64(10));
	st32(buf + 16, __builtin_bswap32(8));
	st64(buf + 24, __builtin_bswap64(20));
	st32(buf + 32, __builtin_bswap32(8));
	cr_assert_eq(command(c, 10, 40, false), USB_OK);
	give(buf, 40, 64);
	cr_assert_eq(status(NULL), 0);
	cdb10(c, 0x41, 30, 100);	/* WRITE SAME, a pattern */
	memset(buf, 0x5a, 512);
	cr_assert_eq(command(c, 10, 512, false), USB_OK);
	give(buf, 512, 64);
	cr_assert_eq(status(NULL), 0);
	cdb10(c, 0x28, 29, 102);
	cr_assert_eq(ask(c, 10, 102 * 512), 102 * 512);
	cr_assert_eq(ld32(buf), 29 * 128);
	for (uint32_t i = 512; i < 101 * 512; i += 4)
		cr_assert_eq(ld32(buf + i), 0x5a5a5a5a);
	cr_assert_eq(ld32(buf + 101 * 512), 130 * 128);
}

/* The thirteen cases of the specification's 6.7 that differ. */
Test(usb_storage, host_and_device_may_disagree)
{
	static const uint8_t ready[6] = { 0 }, inquiry[6] = { 0x12, 0, 0, 0, 36, 0 };
	uint32_t left;
	uint8_t c[10];

	calm();
	cr_assert_eq(command(inquiry, 6, 0, true), USB_OK);	/* 2: Hn < Di */
	cr_assert_eq(status(&left), 2);
	cr_assert_eq(command(ready, 6, 100, true), USB_OK);	/* 4: Hi > Dn */
	cr_assert_eq(take(buf, 100, 64), 0);
	cr_assert_eq(status(&left), 0);
	cr_assert_eq(left, 100);
	cr_assert_eq(command(inquiry, 6, 64, true), USB_OK);	/* 5: Hi > Di */
	cr_assert_eq(take(buf, 64, 64), 36);
	cr_assert_eq(status(&left), 0);
	cr_assert_eq(left, 28);
	cr_assert_eq(command(inquiry, 6, 8, true), USB_OK);	/* 7: Hi < Di */
	cr_assert_eq(take(buf, 8, 64), 8);
	cr_assert_eq(status(&left), 2);
	cdb10(c, 0x2a, 0, 1);
	cr_assert_eq(command(c, 10, 512, true), USB_OK);	/* 8: Hi <> Do */
	cr_assert_eq(take(buf, 512, 64), 0);
	cr_assert_eq(status(&left), 2);
	cr_assert_eq(command(ready, 6, 700, false), USB_OK);	/* 9: Ho > Dn */
	give(buf, 700, 512);
	cr_assert_eq(status(&left), 0);
	cr_assert_eq(left, 700);
	cr_assert_eq(command(inquiry, 6, 36, false), USB_OK);	/* 10: Ho <> Di */
	give(buf, 36, 512);
	cr_assert_eq(status(&left), 2);
	cr_assert_eq(command(c, 10, 1024, false), USB_OK);	/* 11: Ho > Do */
	give(buf, 1024, 512);
	cr_assert_eq(status(&left), 0);
	cr_assert_eq(left, 512);
	cdb10(c, 0x2a, 0, 2);
	cr_assert_eq(command(c, 10, 512, false), USB_OK);	/* 13: Ho < Do */
	give(buf, 512, 512);
	cr_assert_eq(status(&left), 2);
}

Test(usb_storage, nonsense_stalls_until_the_reset_recovery)
{
	static const uint8_t ready[6] = { 0 };

	calm();
	cr_assert_eq(ub_out(d, 2, "nonsense", 8, NULL), USB_STALL);
	cr_assert_eq(ub_in(d, 1, buf, 13, NULL), USB_STALL);
	cr_assert_eq(ub_control(d, USB_TO_ENDPOINT, USB_CLEAR_FEATURE, 0, 0x81, NULL, 0), 0);
	cr_assert_eq(ub_in(d, 1, buf, 13, NULL), USB_STALL, "only the reset ends it");
	cr_assert_eq(ub_control(d, USB_CLASS | USB_TO_INTERFACE, 0xff, 0, 0, NULL, 0), 0);
	cr_assert_eq(ub_control(d, USB_TO_ENDPOINT, USB_CLEAR_FEATURE, 0, 0x81, NULL, 0), 0);
	cr_assert_eq(ub_control(d, USB_TO_ENDPOINT, USB_CLEAR_FEATURE, 0, 2, NULL, 0), 0);
	cr_assert_eq(ask(ready, 6, 0), 0);
}

Test(usb_storage, a_reset_in_the_middle_cancels)
{
	uint8_t c[10];

	calm();
	cdb10(c, 0x28, 0, 200);
	drive_hold(b.m, true);
	cr_assert_eq(command(c, 10, 200 * 512, true), USB_OK);
	cr_assert_eq(ub_in(d, 1, buf, 512, NULL), USB_NAK);
	usb_reset(d);
	drive_hold(b.m, false);
	bench_settle(&b);
	cr_assert_eq(ub_control(d, 0, USB_SET_CONFIG, 1, 0, NULL, 0), 0);
	calm();
	cr_assert_eq(ask(c, 10, 200 * 512), 200 * 512);
}

Test(usb_storage, unplugged_while_the_drive_is_at_work)
{
	uint8_t c[10];

	calm();
	cdb10(c, 0x28, 0, 200);
	drive_hold(b.m, true);
	command(c, 10, 200 * 512, true);
	ub_in(d, 1, buf, 512, NULL);
	dev_free(&d->dev);
	drive_hold(b.m, false);
	bench_settle(&b);
}

Test(usb_storage, mode_pages_and_the_write_cache)
{
	static const uint8_t sense6[6] = { 0x1a, 0, 8, 0, 192, 0 }, all[6] = { 0x1a, 8, 0x3f, 0, 192, 0 };
	static const uint8_t select[6] = { 0x15, 0x10, 0, 0, 24, 0 };

	calm();
	cr_assert_eq(ask(sense6, 6, 192), 4 + 8 + 20);
	cr_assert_eq(buf[0], 4 + 8 + 20 - 1);
	cr_assert_eq(buf[12], 8);
	cr_assert(buf[14] & 4);
	cr_assert_gt(ask(all, 6, 192), 24);
	memset(buf, 0, 24);
	buf[4] = 8;
	buf[5] = 18;
	cr_assert_eq(command(select, 6, 24, false), USB_OK);
	give(buf, 24, 64);
	cr_assert_eq(status(NULL), 0);
	ask(sense6, 6, 192);
	cr_assert_not(buf[14] & 4);
}

Test(usb_storage_other, a_read_only_disk_says_so)
{
	uint8_t c[10];

	open_with(true, false);
	calm();
	cdb10(c, 0x2a, 0, 1);
	cr_assert_eq(command(c, 10, 512, false), USB_OK);
	give(buf, 512, 512);
	cr_assert_eq(status(NULL), 1);
	cr_assert_eq(sense(), 0x072700);
}

Test(usb_storage_other, a_disc_has_a_table_of_contents)
{
	uint8_t c[10];

	open_with(false, true);
	calm();
	cdb10(c, 0x25, 0, 0);
	cr_assert_eq(ask(c, 10, 8), 8);
	cr_assert_eq(__builtin_bswap32(ld32(buf)), SECTORS / 4 - 1);
	cr_assert_eq(__builtin_bswap32(ld32(buf + 4)), 2048);
	cdb10(c, 0x28, 3, 2);
	cr_assert_eq(ask(c, 10, 4096), 4096);
	cr_assert_eq(ld32(buf), 3 * 512);
	cdb10(c, 0x43, 0, 100);
	cr_assert_eq(ask(c, 10, 100), 20);
	cr_assert_eq(__builtin_bswap32(ld32(buf + 16)), SECTORS / 4);
	static const uint8_t eject[6] = { 0x1b, 0, 0, 0, 2, 0 }, ready[6] = { 0 };
	cr_assert_eq(ask(eject, 6, 0), 0);
	cr_assert_eq(ask(ready, 6, 0), -1);
	cr_assert_eq(sense(), 0x023a02);
}
