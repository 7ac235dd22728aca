/* ide-hd and ide-cd: where drives may stand, and what is refused. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive_priv.h"
#include "hw/disk/ide.h"
#include "hw/pci/i440fx.h"
#include "tests/bench.h"

static struct bench b;
static char path[3][40];

static void setup(void)
{
	static const char *const ids[] = { "a", "b", "c" };

	bench_open(&b, &i440fx_type, "addr=0");
	for (int i = 0; i < 3; i++) {
		strcpy(path[i], "/tmp/rhea-ata-XXXXXX");
		int fd = mkstemp(path[i]);
		cr_assert_eq(ftruncate(fd, 1 << 20), 0);
		close(fd);
		bench_drive(&b, ids[i], path[i], false);
	}
	cr_assert(dev_make(b.m, &ide_type, NULL, "addr=1.1", &b.err), "%s", b.err.msg);
}
static void teardown(void)
{
	bench_close(&b);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
}
TestSuite(ata_bus, .init = setup, .fini = teardown);

static void good(const char *text) { cr_assert(dev_make_from(b.m, text, &b.err), "%s: %s", text, b.err.msg); }
static void bad(const char *text, const char *why)
{
	cr_assert_null(dev_make_from(b.m, text, &b.err), "%s", text);
	cr_assert(strstr(b.err.msg, why), "%s: %s", text, b.err.msg);
}

/* The serial number in IDENTIFY DEVICE of a drive; its bytes are swapped in each word. */
static const char *serial(uint16_t base, int unit)
{
	static char text[21];

	out(base + 6, 0xa0 | unit << 4);
	out(base + 7, 0xec);
	for (int i = 0; i < 20; i++) {
		uint32_t w = bench_in(&b, base, 2);
		if (i >= 10) {
			text[2 * (i - 10)] = (char)(w >> 8);
			text[2 * (i - 10) + 1] = (char)w;
		}
	}
	for (int i = 20; i && text[i - 1] == ' '; i--)
		text[i - 1] = 0;
	return text;
}

Test(ata_bus, a_device_says_what_becomes_of_failures)
{
	good("ide-hd,drive=a,werror=stop,rerror=ignore");
	bad("ide-hd,drive=b,rerror=enospc", "rerror=enospc: expected auto, report, ignore, stop");
	bad("ide-hd,drive=b,werror=never", "werror=never: expected auto, report, ignore, stop, enospc");
	cr_assert_eq(drive_find(b.m, "a")->werror, DRIVE_STOP);
	cr_assert_eq(drive_find(b.m, "a")->rerror, DRIVE_IGNORE);
}

Test(ata_bus, a_disk_stands_where_it_is_told)
{
	good("ide-hd,drive=a,bus=ide.1,unit=1,serial=THERE");
	cr_assert_str_eq(serial(0x170, 1), "THERE");
	cr_assert_eq(in(0x1f7), 0);
	cr_assert_eq(ide_disk(dev_find(b.m, "piix3-ide0"), 3), drive_find(b.m, "a"));
}

Test(ata_bus, the_first_free_place_is_the_default)
{
	good("ide-hd,drive=a,serial=ONE");
	good("ide-hd,drive=b,bus=piix3-ide0.0,serial=TWO");
	good("ide-hd,drive=c,serial=THREE");
	cr_assert_str_eq(serial(0x1f0, 0), "ONE");
	cr_assert_str_eq(serial(0x1f0, 1), "TWO");
	cr_assert_str_eq(serial(0x170, 0), "THREE");
}

Test(ata_bus, an_optical_drive_may_be_empty_and_a_disk_not)
{
	good("ide-cd,bus=ide.1,id=cd");
	cr_assert(drive_find(b.m, "cd"));
	out(0x176, 0xa0);
	cr_assert_eq(in(0x174), 0x14);
	cr_assert_eq(in(0x175), 0xeb);
	bad("ide-hd,bus=ide.1", "needs drive=ID");
}

Test(ata_bus, a_place_holds_one_drive)
{
	good("ide-hd,drive=a,bus=ide.0,unit=0");
	bad("ide-hd,drive=b,bus=ide.0,unit=0", "there is a drive at unit=0 of ide.0 already");
	bad("ide-hd,drive=b,bus=ide.0,unit=2", "ide.0 has unit 0 and 1 only");
	good("ide-hd,drive=b,bus=ide.0");
	bad("ide-hd,drive=c,bus=ide.0", "ide.0 has no free place");
	bad("ide-hd,drive=c,bus=ide.7", "there is no ide-bus called 'ide.7'");
	good("ide-hd,drive=c");
}

Test(ata_bus, a_card_has_ports_of_its_own)
{
	good("ahci,id=sata");
	good("ide-hd,drive=a,bus=sata.5");
	bad("ide-hd,drive=b,bus=sata.5", "sata.5 has no free place");
	good("ide-hd,drive=b,bus=ide.2");
	bad("ide-hd,drive=c,bus=sata.0", "sata.0 has no free place");
	bad("ide-hd,drive=c,bus=sata.1,unit=1", "has unit 0 only");
	dev_free(dev_find(b.m, "sata"));
	bad("ide-hd,drive=c,bus=sata.1", "there is no ide-bus");
}

Test(ata_bus, a_drive_that_goes_leaves_its_place)
{
	good("ide-hd,drive=a,id=disk,bus=ide.0,unit=0");
	dev_free(dev_find(b.m, "disk"));
	cr_assert_eq(in(0x1f7), 0);
	good("ide-hd,drive=a,bus=ide.0,unit=0");
}

Test(ata_bus, names_of_the_past_lead_to_todays)
{
	bad("ide-drive,drive=a", "say ide-hd, or ide-cd");
}
