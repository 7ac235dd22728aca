/* The order of boot devices as firmware is told it, and the ROMs it boots from networks with. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/disk/ide.h"
#include "hw/pc/firmware.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/mch.h"
#include "hw/timer/rtc.h"
#include "tests/bench.h"

static struct bench b;
static struct dev *fw, *rtc;
static struct pc_config cfg;
static char path[40], other[40];

static void make_image(char *name)
{
	strcpy(name, "/tmp/rhea-boot-XXXXXX");
	int fd = mkstemp(name);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
}

static void open_board(const struct dev_type *host)
{
	bench_open(&b, host, "addr=0");
	fw = dev_make(b.m, &fwcfg_type, NULL, NULL, &b.err);
	rtc = dev_make(b.m, &rtc_type, NULL, NULL, &b.err);
	cr_assert(fw && rtc, "%s", b.err.msg);
	make_image(path);
	make_image(other);
	bench_drive(&b, "a", path, false);
	bench_drive(&b, "b", other, false);
}
static void setup(void) { open_board(&i440fx_type); }
static void setup_express(void) { open_board(&mch_type); }
static void teardown(void)
{
	bench_close(&b);
	unlink(path);
	unlink(other);
}
TestSuite(firmware, .init = setup, .fini = teardown);
TestSuite(firmware_express, .init = setup_express, .fini = teardown);

static struct dev *card(const char *text)
{
	struct dev *d = dev_make_from(b.m, text, &b.err);

	cr_assert(d, "%s", b.err.msg);
	return d;
}

/* The file's lines; the last one ends with a zero byte. */
static const char *order(void)
{
	static char text[1024];
	unsigned n = 0;

	firmware_boot_order(&cfg, (struct fwcfg *)fw, rtc);
	bench_out(&b, 0x510, 2, FWCFG_FILE_FIRST);
	while (n < sizeof(text) - 1 && (text[n] = (char)in(0x511)))
		n++;
	text[n] = 0;
	return text;
}

Test(firmware, the_lowest_boot_index_comes_first)
{
	card("virtio-net-pci,addr=3,bootindex=7");
	card("virtio-blk-pci,drive=a,addr=4,bootindex=0");
	card("e1000,addr=6.1,bootindex=1,multifunction=on");
	cr_assert_str_eq(order(), "/pci@i0cf8/scsi@4/disk@0,0\n/pci@i0cf8/ethernet@6,1/ethernet-phy@0\n"
			 "/pci@i0cf8/ethernet@3/ethernet-phy@0");
}

Test(firmware, a_device_without_an_index_comes_behind_those_with_one)
{
	card("virtio-blk-pci,drive=a,addr=1");
	card("virtio-blk-pci,drive=b,addr=2,bootindex=5");
	cr_assert_str_eq(order(), "/pci@i0cf8/scsi@2/disk@0,0\n/pci@i0cf8/scsi@1/disk@0,0");
}

Test(firmware, a_strict_order_ends_with_halt)
{
	cfg.boot_strict = true;
	card("virtio-blk-pci,drive=a,addr=4,bootindex=3");
	cr_assert_str_eq(order(), "/pci@i0cf8/scsi@4/disk@0,0\nHALT");
}

Test(firmware, usb_disks_are_found_by_controller_and_port)
{
	card("qemu-xhci,addr=5,id=x");
	card("usb-hub,bus=x.0,port=2");
	card("usb-storage,drive=a,bus=x.0,port=2.3,bootindex=2");
	card("usb-storage,drive=b,bus=x.0,port=1,bootindex=1");
	cr_assert_str_eq(order(), "/pci@i0cf8/usb@5/storage@1/channel@0/disk@0,0\n"
			 "/pci@i0cf8/usb@5/hub@2/storage@3/channel@0/disk@0,0");
}

Test(firmware_express, devices_behind_bridges_are_found)
{
	card("pcie-root-port,id=port,addr=4");
	card("virtio-blk-pci,drive=a,bus=port,bootindex=1");
	cr_assert_str_eq(order(), "/pci@i0cf8/pci-bridge@4/scsi@0/disk@0,0");
}

Test(firmware, nvme_disks_are_known_by_their_ids)
{
	card("nvme,drive=a,serial=1,addr=5,bootindex=1");
	cr_assert_str_eq(order(), "/pci@i0cf8/pci1b36,0010@5/namespace@1,0");
}

Test(firmware, scsi_disks_are_known_by_target_and_unit)
{
	card("virtio-scsi-pci,addr=7,id=s");
	card("scsi-hd,drive=a,bus=s.0,scsi-id=2,lun=3,bootindex=1");
	cr_assert_str_eq(order(), "/pci@i0cf8/scsi@7/channel@0/disk@2,3");
}

Test(firmware, ide_drives_are_known_by_channel_and_unit)
{
	cr_assert(dev_make(b.m, &ide_type, NULL, "addr=1.1", &b.err));
	card("ide-cd,bus=ide.1,unit=0");
	card("ide-hd,drive=b,bus=ide.1");
	card("ide-hd,drive=a,bus=ide.0,unit=1,bootindex=1");
	cr_assert_str_eq(order(), "/pci@i0cf8/ide@1,1/drive@0/disk@1\n/pci@i0cf8/ide@1,1/drive@1/disk@1\n"
			 "/pci@i0cf8/ide@1,1/drive@1/disk@0");
	cfg.boot_order = "d";
	cr_assert_str_eq(order(), "/pci@i0cf8/ide@1,1/drive@0/disk@1\n/pci@i0cf8/ide@1,1/drive@1/disk@0");
}

Test(firmware, a_letter_stands_for_all_drives_of_its_kind)
{
	cr_assert(dev_make(b.m, &ide_type, NULL, "addr=1.1", &b.err));
	card("ide-cd,bus=ide.1,unit=0");
	card("virtio-blk-pci,drive=a,addr=5");
	card("virtio-net-pci,addr=6");
	cr_assert_str_eq(order(), "/pci@i0cf8/scsi@5/disk@0,0\n/pci@i0cf8/ide@1,1/drive@1/disk@0");
	cfg.boot_order = "nc";
	cr_assert_str_eq(order(), "/pci@i0cf8/ethernet@6/ethernet-phy@0\n/pci@i0cf8/scsi@5/disk@0,0");
}

Test(firmware, sata_drives_are_known_by_port)
{
	card("ahci,id=sata,addr=9.2,multifunction=on");
	card("ide-hd,drive=a,bus=sata.3,bootindex=2");
	card("ide-cd,bus=sata.0,bootindex=1");
	cr_assert_str_eq(order(), "/pci@i0cf8/pci8086,2922@9,2/drive@0/disk@0\n"
			 "/pci@i0cf8/pci8086,2922@9,2/drive@3/disk@0");
	dev_free(dev_find(b.m, "sata"));
	cr_assert_str_eq(order(), "", "drives whose controller has gone");
}

Test(firmware, no_two_devices_have_the_same_index)
{
	card("virtio-blk-pci,drive=a,bootindex=1,id=first");
	cr_assert_null(dev_make_from(b.m, "virtio-blk-pci,drive=b,bootindex=1", &b.err));
	cr_assert(strstr(b.err.msg, "'first' has that place already"), "%s", b.err.msg);
	cr_assert_null(dev_make_from(b.m, "virtio-blk-pci,drive=b,bootindex=-2", &b.err));
	cr_assert_null(dev_make_from(b.m, "virtio-blk-pci,drive=b,bootindex=x", &b.err));
	cr_assert(strstr(b.err.msg, "not a number"), "%s", b.err.msg);
	dev_free(dev_find(b.m, "first"));
	card("virtio-blk-pci,drive=a,bootindex=1");
}

/* A file of fw_cfg; its size. */
static uint32_t file(const char *name, char *buf, uint32_t max)
{
	uint8_t entry[64];
	uint32_t n, size = 0, key = 0;

	bench_out(&b, 0x510, 2, 0x19);
	for (int i = 0; i < 4; i++)
		entry[i] = (uint8_t)in(0x511);
	for (n = entry[3]; n; n--) {
		for (size_t i = 0; i < sizeof(entry); i++)
			entry[i] = (uint8_t)in(0x511);
		if (!strcmp((char *)entry + 8, name)) {
			size = (uint32_t)entry[2] << 8 | entry[3];
			key = (uint32_t)entry[4] << 8 | entry[5];
		}
	}
	cr_assert(key && size <= max, "%s", name);
	bench_out(&b, 0x510, 2, key);
	for (uint32_t i = 0; i < size; i++)
		buf[i] = (char)in(0x511);
	return size;
}

Test(firmware, smbios_names_the_board)
{
	static const struct { enum pc_board board; const char *product, *version; } rows[] = {
		{ PC_BOARD_I440FX, "Standard PC (i440FX + PIIX)", "pc" }, { PC_BOARD_Q35, "Standard PC (Q35 + ICH9)", "q35" },
	};
	char text[4096];

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct pc_config c = { .board = rows[i].board, .ram_size = 64 << 20, .ncpus = 1 };

		cr_assert(firmware_config(&c, (struct fwcfg *)fw, c.ram_size, &b.err), "%s", b.err.msg);
		uint32_t n = file("etc/smbios/smbios-tables", text, sizeof(text));
		cr_expect(memmem(text, n, rows[i].product, strlen(rows[i].product) + 1), "%s", rows[i].product);
		cr_expect(memmem(text, n, rows[i].version, strlen(rows[i].version) + 1), "%s", rows[i].version);
		dev_free(fw);
		fw = dev_make(b.m, &fwcfg_type, NULL, NULL, &b.err);
	}
}

/* ---- ROMs to boot from a network with ---- */

static void write_image(const char *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");

	cr_assert_eq(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

/* A card's own bytes of configuration space. */
static void conf(int slot, unsigned reg, uint32_t v)
{
	bench_out(&b, 0xcf8, 4, 0x80000000u | (unsigned)slot << 11 | reg);
	bench_out(&b, 0xcfc, 4, v);
}

Test(firmware, network_cards_show_the_rom_of_their_file)
{
	static const char *const cards[] = { "e1000", "ne2k_pci", "virtio-net-pci" };
	char text[96];

	write_image("\x55\xaa\x08" "code", 7);
	for (int i = 0; i < 3; i++) {
		uint32_t at = 0xe0000000u + 0x100000u * (unsigned)i;
		snprintf(text, sizeof(text), "%s,addr=%d,romfile=%s", cards[i], i + 3, path);
		card(text);
		conf(i + 3, 0x30, at | 1);
		conf(i + 3, 0x04, 2);
		cr_expect_eq(rd(at), 0x6308aa55, "%s", cards[i]);
		cr_expect_eq(rd(at + 4), 0x65646f, "%s", cards[i]);
	}
}

Test(firmware, what_is_no_rom_is_named)
{
	struct err e = { 0 };
	char text[96];

	cr_expect_not(dev_make_from(b.m, "e1000,romfile=/nowhere/x.rom", &e));
	cr_expect(strstr(e.msg, "/nowhere/x.rom"), "%s", e.msg);
	write_image("", 0);
	snprintf(text, sizeof(text), "e1000,romfile=%s", path);
	e = (struct err){ 0 };
	cr_expect_not(dev_make_from(b.m, text, &e));
	cr_expect(strstr(e.msg, path), "%s", e.msg);
	cr_expect(dev_make_from(b.m, "e1000,romfile=", &e), "%s", e.msg);
}

Test(firmware, a_rom_s_path_may_have_commas)
{
	char at[64] = "/tmp/firmware,test,.rom", text[96], tight[4] = "a,b";

	write_image("\x55\xaa\x08" "code", 7);
	cr_assert_eq(rename(path, at), 0);
	snprintf(text, sizeof(text), "%s", at);
	cr_assert(firmware_quote(text, sizeof(text), &b.err));
	cr_expect_str_eq(text, "/tmp/firmware,,test,,.rom");
	snprintf(text, sizeof(text), "e1000,romfile=%s", "/tmp/firmware,,test,,.rom");
	cr_expect(dev_make_from(b.m, text, &b.err), "%s", b.err.msg);
	unlink(at);
	cr_expect_not(firmware_quote(tight, sizeof(tight), &b.err));
	cr_expect_str_eq(tight, "a,b");
}

Test(firmware, the_rom_is_looked_for_by_who_boots_from_a_network)
{
	static const char *const here[] = { "/tmp", NULL };
	const char *name = path + strlen("/tmp/");
	struct pc_config c = { .dirs = here };
	char found[128];

	cr_expect_not(firmware_find_boot_rom(&c, name, NULL, found, sizeof(found)));
	cr_expect_not(firmware_find_boot_rom(&c, name, "netdev=n", found, sizeof(found)));
	cr_expect(firmware_find_boot_rom(&c, name, "netdev=n,bootindex=1", found, sizeof(found)));
	cr_expect_str_eq(found, path);
	c.boot_order = "cn";
	cr_expect(firmware_find_boot_rom(&c, name, NULL, found, sizeof(found)));
	c = (struct pc_config){ .dirs = here, .boot_menu = true };
	cr_expect(firmware_find_boot_rom(&c, name, NULL, found, sizeof(found)));
	cr_expect_not(firmware_find_boot_rom(&c, "no-such.rom", NULL, found, sizeof(found)));
}
