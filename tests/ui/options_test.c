/* ui/options*.c: the command line. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "ui/json.h"
#include "ui/options.h"

static struct options o;
static struct err e;

/* Words of a command line without spaces inside words. */
static enum opt_result parse(const char *line)
{
	static char copy[1000];
	char *argv[40] = { (char *)"rhea" }, *save = NULL;
	int argc = 1;
	FILE *nowhere = fopen("/dev/null", "w");
	enum opt_result r;

	snprintf(copy, sizeof(copy), "-display none %s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	e.msg[0] = 0;
	r = options_parse(&o, argc, argv, nowhere, &e);
	fclose(nowhere);
	return r;
}

Test(options, defaults)
{
	cr_assert_eq(parse(""), OPT_GO);
	cr_assert_eq(o.pc.ram_size, 128 << 20);
	cr_assert_eq(o.pc.ncpus, 1);
	cr_assert_str_eq(o.cpu, "max");
	cr_assert_eq(o.naccels, 1);
	cr_assert_eq(o.accels[0].kind, OPT_ACCEL_TCG);
}

Test(options, one_dash_or_two)
{
	cr_assert_eq(parse("-m 256 --kernel k -append x"), OPT_GO);
	cr_assert_eq(o.pc.ram_size, 256 << 20);
	cr_assert_str_eq(o.pc.kernel, "k");
	cr_assert_str_eq(o.pc.append, "x");
}

Test(options, unknown_option_names_the_nearest)
{
	cr_assert_eq(parse("-kernl x"), OPT_BAD);
	cr_assert_str_eq(e.msg, "-kernl: no such option; did you mean -kernel?");
	cr_assert_eq(parse("-xyzzy"), OPT_BAD);
	cr_assert_str_eq(e.msg, "-xyzzy: no such option (see -help)");
}

Test(options, missing_argument_says_what_it_is)
{
	cr_assert_eq(parse("-kernel"), OPT_BAD);
	cr_assert_str_eq(e.msg, "-kernel needs an argument: FILE");
}

Test(options, memory_sizes)
{
	cr_assert_eq(parse("-m 1G"), OPT_GO);
	cr_assert_eq(o.pc.ram_size, 1ull << 30);
	cr_assert_eq(parse("-m size=64M"), OPT_GO);
	cr_assert_eq(o.pc.ram_size, 64ull << 20);
	cr_assert_eq(parse("-m 0"), OPT_BAD);
	cr_assert_eq(parse("-m lots"), OPT_BAD);
	cr_assert(strstr(e.msg, "expected a size"));
}

Test(options, smp_topology)
{
	cr_assert_eq(parse("-smp 4"), OPT_GO);
	cr_assert_eq(o.pc.ncpus, 4);
	cr_assert_eq(o.pc.sockets, 1);
	cr_assert_eq(o.pc.cores, 4);
	cr_assert_eq(parse("-smp 8,sockets=2,threads=2"), OPT_GO);
	cr_assert_eq(o.pc.cores, 2);
	cr_assert_eq(parse("-smp sockets=2,cores=3"), OPT_GO);
	cr_assert_eq(o.pc.ncpus, 6);
	cr_assert_eq(parse("-smp 4,cores=2"), OPT_GO);
	cr_assert(o.pc.sockets == 2 && o.pc.threads == 1);
	cr_assert_eq(parse("-smp 8,sockets=2,cores=2"), OPT_GO);
	cr_assert_eq(o.pc.threads, 2);
	cr_assert_eq(parse("-smp 2,maxcpus=4"), OPT_GO);
	cr_assert(o.pc.ncpus == 4 && o.pc.online == 2 && o.pc.cores == 4);
	cr_assert_eq(parse("-smp 4,maxcpus=2"), OPT_BAD);
	cr_assert_eq(parse("-smp 5,sockets=2"), OPT_BAD);
	cr_assert_eq(parse("-smp 0"), OPT_BAD);
	cr_assert_eq(parse("-smp 1000"), OPT_BAD);
}

Test(options, accelerators_fall_back_in_order)
{
	cr_assert_eq(parse("-accel kvm -accel tcg,interp=on"), OPT_GO);
	cr_assert_eq(o.naccels, 2);
	cr_assert_eq(o.accels[0].kind, OPT_ACCEL_KVM);
	cr_assert_eq(o.accels[1].kind, OPT_ACCEL_TCG);
	cr_assert(o.accels[1].interp);
	cr_assert_eq(parse("-machine pc,accel=kvm:tcg"), OPT_GO);
	cr_assert_eq(o.naccels, 2);
	cr_assert_eq(parse("-accel tgc"), OPT_BAD);
	cr_assert(strstr(e.msg, "did you mean tcg"));
}

Test(options, machine_names)
{
	cr_assert_eq(parse("-M pc-i440fx-7.2,usb=off"), OPT_GO);
	cr_assert_eq(parse("-machine vax"), OPT_BAD);
	cr_assert_eq(parse("-machine pc,acpi=off"), OPT_GO);
	cr_assert(o.pc.no_acpi);
}

Test(options, a_display_card_of_the_users_replaces_the_boards)
{
	cr_assert_eq(parse("-device VGA,addr=2"), OPT_GO);
	cr_assert_eq(o.pc.vga, PC_VGA_NONE);
	cr_assert_eq(parse("-device VGA,addr=5 -vga std"), OPT_GO);
	cr_assert_eq(o.pc.vga, PC_VGA_STD);
	cr_assert_eq(parse("-device e1000"), OPT_GO);
	cr_assert_eq(o.pc.vga, PC_VGA_STD);
}

Test(options, open_files_have_names)
{
	int fd = open("/dev/null", O_WRONLY);
	char line[200];

	snprintf(line, sizeof(line), "-add-fd fd=%d,set=7,opaque=x -chardev file,id=c,path=/dev/fdset/7,append=on", fd);
	cr_assert_eq(parse(line), OPT_GO, "%s", e.msg);
	snprintf(line, sizeof(line), "file,id=c,path=/dev/fd/%d,append=on", fd);
	cr_assert_str_eq(o.chardevs[0].spec, line);
	cr_assert_eq(parse("-chardev file,id=c,path=/dev/fdset/7"), OPT_BAD);
	cr_assert(strstr(e.msg, "set=7"), "%s", e.msg);
	close(fd);
	cr_assert_eq(parse("-add-fd fd=999,set=7"), OPT_BAD);
	cr_assert_eq(parse("-add-fd fd=1,set=7"), OPT_BAD);
}

Test(options, boards)
{
	cr_assert_eq(parse("-M pc-q35-7.2,kernel-irqchip=split,vmport=off -machine accel=tcg"), OPT_GO);
	cr_assert_eq(o.pc.board, PC_BOARD_Q35);
	cr_assert_eq(parse("-M q35 -M pc"), OPT_GO);
	cr_assert_eq(o.pc.board, PC_BOARD_I440FX);
	cr_assert_eq(parse("-M q36"), OPT_BAD);
	cr_assert_str_eq(e.msg, "-machine: no board 'q36'; did you mean q35?");
}

Test(options, flash)
{
	cr_assert_eq(parse("-drive if=pflash,readonly=on,file=code -pflash vars"), OPT_GO);
	cr_assert_eq(o.pc.drives[0].index, 0);
	cr_assert_eq(o.pc.drives[1].index, 1);
	cr_assert_eq(o.pc.drives[1].interface, PC_IF_PFLASH);
	cr_assert_eq(parse("-drive if=pflash,unit=1,file=vars -hdb x -M pc,pflash0=code"), OPT_GO);
	cr_assert_str_eq(o.pc.pflash[0], "code");
	cr_assert_eq(parse("-pflash a -pflash b -pflash c"), OPT_BAD);
	cr_assert(strstr(e.msg, "units 0 (code) and 1"));
	cr_assert_eq(parse("-drive if=pflash,unit=0,file=a -drive if=pflash,unit=0,file=b"), OPT_BAD);
}

Test(options, drives)
{
	cr_assert_eq(parse("-hda a -drive file=b,,c,format=raw,index=1,snapshot=on -cdrom d"), OPT_GO);
	cr_assert_eq(o.pc.ndrives, 3);
	cr_assert_str_eq(o.pc.drives[1].drive.image.file, "b,c");
	cr_assert(o.pc.drives[1].drive.image.snapshot);
	cr_assert(o.pc.drives[2].drive.cdrom);
	cr_assert_eq(o.pc.drives[2].index, 2);
	cr_assert_eq(parse("-drive file=a,bus=1,unit=1 -drive b"), OPT_GO);
	cr_assert_eq(o.pc.drives[0].index, 3);
	cr_assert_eq(o.pc.drives[1].index, -1);
}

Test(options, drives_of_other_interfaces_take_no_ide_position)
{
	cr_assert_eq(parse("-hda a -drive file=b,if=virtio,index=0 -drive file=c,if=none,id=x"), OPT_GO);
	cr_assert_eq(o.pc.drives[1].interface, PC_IF_VIRTIO);
	cr_assert_eq(o.pc.drives[2].interface, PC_IF_NONE);
	cr_assert_str_eq(o.pc.drives[2].drive.id, "x");
}

Test(options, nic_makes_a_network_and_a_card)
{
	cr_assert_eq(parse("-nic user,model=virtio,mac=52:54:00:00:00:01,hostfwd=tcp::2222-:22,hostfwd=udp::53-:53"), OPT_GO);
	cr_assert_eq(o.nnets, 1);
	cr_assert_str_eq(o.nets[0].user.hostfwd[1], "udp::53-:53");
	cr_assert_null(o.nets[0].user.hostfwd[2]);
	cr_assert_str_eq(o.pc.devices[0].driver, "virtio-net-pci");
	cr_assert_str_eq(o.pc.devices[0].options, "netdev=#net0,mac=52:54:00:00:00:01");
	cr_assert_eq(parse("-nic none"), OPT_GO);
	cr_assert_eq(o.nnets + o.pc.ndevices, 0);
}

Test(options, net_joins_a_card_and_a_network_in_any_order)
{
	static const char *const ways[] = {
		"-net nic,model=virtio -net user,restrict=on", "-net user,restrict=on -net nic,model=virtio",
	};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		cr_assert_eq(parse(ways[i]), OPT_GO);
		cr_assert(o.nets[0].user.restricted);
		cr_assert_str_eq(o.pc.devices[0].options, "netdev=#net0");
	}
}

Test(options, network_mistakes)
{
	static const char *const bad[] = {
		"-netdev user", "-netdev pigeon,id=x", "-netdev user,id=x,nett=1", "-nic user,model=ne3000",
		"-netdev user,id=x,ipv4=off,ipv6=off", "-net nic", "-net user", "-net nic -net nic", "-object filter-dump,id=f", "-object pigeon,id=f",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_eq(parse(bad[i]), OPT_BAD, "%s", bad[i]);
}

Test(options, scsi_drives_get_the_first_free_target)
{
	cr_assert_eq(parse("-drive if=scsi,file=a,unit=1 -drive if=scsi,file=b -drive if=scsi,file=c -hda d"), OPT_GO);
	cr_assert_eq(o.pc.drives[0].index, 1);
	cr_assert_eq(o.pc.drives[1].index, 0);
	cr_assert_eq(o.pc.drives[2].index, 2);
}

Test(options, drive_mistakes)
{
	static const char *const bad[] = {
		"-hda a -drive file=b,index=0", "-drive format=raw", "-drive file=a,index=9",
		"-drive file=a,if=scsi,bus=1", "-drive file=a,if=scsi,unit=256",
		"-drive file=a,if=scsi,unit=0 -drive file=b,if=scsi,index=0", "-drive file=a,if=sd",
		"-drive file=a,if=none", "-drive if=virtio,media=cdrom",
		"-drive file=a,index=1,bus=0", "-drive file=a,readnoly=on",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_eq(parse(bad[i]), OPT_BAD, "%s", bad[i]);
}

Test(options, snapshot_is_for_all_drives)
{
	cr_assert_eq(parse("-snapshot -hda a"), OPT_GO);
	cr_assert(o.pc.drives[0].drive.image.snapshot);
}

Test(options, shared_folders)
{
	static const char *const bad[] = {
		"-fsdev local,path=/x,security_model=none", "-fsdev local,id=a,security_model=none", "-fsdev local,id=a,path=/x",
		"-virtfs local,path=/x,security_model=none", "-virtfs proxy,path=/x,mount_tag=t,security_model=none",
		"-virtfs local,path=/x,mount_tag=t,security_model=some",
	};

	cr_assert_eq(parse("-nodefaults -virtfs local,path=/x,mount_tag=t,security_model=mapped-xattr,readonly=on -M microvm"), OPT_GO);
	cr_assert_eq(o.nshares, 1);
	cr_assert_eq(o.shares[0].model, SHARE_MAPPED);
	cr_assert(o.shares[0].readonly);
	cr_assert_str_eq(o.pc.devices[0].driver, "virtio-9p-device");
	cr_assert_str_eq(o.pc.devices[0].options, "fsdev=t,mount_tag=t");
	cr_assert_eq(parse("-nodefaults -fsdev local,id=a,path=/x,security_model=none"), OPT_GO);
	cr_assert_eq(o.pc.ndevices, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_eq(parse(bad[i]), OPT_BAD, "%s", bad[i]);
}

Test(options, uuid)
{
	cr_assert_eq(parse("-uuid 00112233-4455-6677-8899-aabbccddeeff"), OPT_GO);
	cr_assert(o.pc.has_uuid);
	cr_assert_eq(o.pc.uuid[0], 0);
	cr_assert_eq(o.pc.uuid[15], 0xff);
	cr_assert_eq(parse("-uuid 00112233"), OPT_BAD);
	cr_assert_eq(parse("-uuid 0011-2233"), OPT_BAD);
}

Test(options, boot)
{
	cr_assert_eq(parse("-boot cd"), OPT_GO);
	cr_assert_str_eq(o.pc.boot_order, "cd");
	cr_assert_eq(parse("-boot order=d,menu=on,splash-time=500"), OPT_GO);
	cr_assert(o.pc.boot_menu);
	cr_assert_eq(o.pc.boot_splash_time, 500);
	cr_assert_eq(o.pc.reboot_timeout, -1);
	cr_assert_eq(parse("-boot z"), OPT_BAD);
}

Test(options, devices_keep_their_properties)
{
	cr_assert_eq(parse("-device isa-debug-exit,iobase=0xf4,iosize=4"), OPT_GO);
	cr_assert_str_eq(o.pc.devices[0].driver, "isa-debug-exit");
	cr_assert_str_eq(o.pc.devices[0].options, "iobase=0xf4,iosize=4");
	cr_assert_eq(parse("-device help"), OPT_GO);
	cr_assert_eq(o.help, OPT_HELP_DEVICE);
}

Test(options, nographic_puts_serial_and_monitor_on_the_terminal)
{
	cr_assert_eq(parse("-nographic"), OPT_GO);
	cr_assert_eq(o.nserials, 1);
	cr_assert_str_eq(o.serials[0], "mon:stdio");
	cr_assert_eq(parse("-nographic -serial null"), OPT_GO);
	cr_assert_str_eq(o.serials[0], "null");
	cr_assert_eq(o.nserials, 1);
	cr_assert_eq(parse("-nographic -monitor null"), OPT_GO);
	cr_assert_str_eq(o.serials[0], "stdio");
}

Test(options, harmless_options_are_accepted)
{
	cr_assert_eq(parse("-net none -nic none -nodefaults -no-user-config -no-hpet -no-acpi -k de "
			   "-msg timestamp=on -sandbox off -rtc base=utc,clock=host -name x,process=y"), OPT_GO,
		     "%s", e.msg);
	cr_assert_str_eq(o.pc.name, "x");
}

Test(options, initrd_without_kernel_is_refused)
{
	cr_assert_eq(parse("-initrd x"), OPT_BAD);
}

Test(options, log_areas_are_checked)
{
	cr_assert_eq(parse("-d itn"), OPT_BAD);
	cr_assert(strstr(e.msg, "did you mean int"));
	cr_assert_eq(parse("-d help"), OPT_DONE);
}

/* What an option prints about itself; "-boot help" and the like. */
static const char *about(const char *option, const char *argument)
{
	static char text[3000];
	char *argv[] = { (char *)"rhea", (char *)option, (char *)argument, NULL };
	FILE *out = fmemopen(memset(text, 0, sizeof(text)), sizeof(text), "w");

	cr_expect_eq(options_parse(&o, 3, argv, out, &e), OPT_DONE, "%s %s", option, argument);
	fclose(out);
	return text;
}

Test(options, each_option_with_an_argument_that_it_checks_has_help)
{
	cr_expect(strstr(about("-boot", "help"), "-boot [order=]"));
	cr_expect(strstr(about("-object", "filter-dump,help"), "pcap"));
	cr_expect(strstr(about("-usbdevice", "?"), "tablet"));
	cr_expect(strstr(about("-nic", "help"), "user ") && strstr(about("-nic", "help"), "ne2k_pci"));
	cr_expect(strstr(about("-net", "nic,model=help"), "ne2k_pci"));
	cr_expect(strstr(about("-audio", "model=help"), "hda "));
	cr_expect(strstr(about("-audio", "wav,model=help"), "ac97 "));
	cr_expect(strlen(about("-k", "help")));
	cr_expect_eq(parse("-boot helf"), OPT_BAD);
}

Test(options, that_the_screen_is_not_shown_is_told_with_the_machine_there)
{
	char *argv[] = { (char *)"rhea", (char *)"-m", (char *)"64", NULL };

	unsetenv("DISPLAY");
	unsetenv("WAYLAND_DISPLAY");
	cr_assert_eq(options_parse(&o, 3, argv, stdout, &e), OPT_GO, "%s", e.msg);
	cr_expect(o.screen_note && strstr(o.screen_note, "Ctrl-A h"));
	cr_assert_eq(parse(""), OPT_GO);
	cr_expect_null(o.screen_note, "-display none");
}

Test(options, the_screen_of_this_machine_needs_no_name)
{
	struct in_addr a;
	char host[64];

	snprintf(host, sizeof(host), "%.*s", (int)strcspn(OPT_VNC_HERE, ":"), OPT_VNC_HERE);
	cr_assert_eq(inet_pton(AF_INET, host, &a), 1);
	cr_assert_eq(ntohl(a.s_addr), INADDR_LOOPBACK);
}

Test(options, ways_to_show_the_screen)
{
	cr_assert_eq(parse("-display sdl,full-screen=on,gl=off"), OPT_GO, "%s", e.msg);
	cr_assert_eq(o.display, OPT_DISPLAY_SDL);
	cr_assert(o.full_screen);
	cr_assert_eq(parse("-vnc :1,password=on"), OPT_GO);
	cr_assert_eq(o.display, OPT_DISPLAY_VNC);
	cr_assert_str_eq(o.vnc, ":1,password=on");
	cr_assert_eq(parse("-display vnc=unix:/x"), OPT_GO);
	cr_assert_str_eq(o.vnc, "unix:/x");
	cr_assert_eq(parse("-vnc none"), OPT_GO);
	cr_assert_eq(o.vnc, NULL);
	cr_assert_eq(parse("-display gtk"), OPT_BAD);
	cr_assert(strstr(e.msg, "-display help"));
}

Test(options, a_window_has_consoles_for_what_nobody_connects)
{
	cr_assert_eq(parse("-display sdl"), OPT_GO, "%s", e.msg);
	cr_expect_eq(o.nserials, 1);
	cr_expect_str_eq(o.serials[0], "vc");
	cr_expect_eq(o.nmonitors, 1);
	cr_expect_str_eq(o.monitors[0].spec, "vc");
	cr_assert_eq(parse("-display sdl -serial stdio"), OPT_GO);
	cr_expect_str_eq(o.serials[0], "stdio");
	cr_expect_str_eq(o.monitors[0].spec, "vc");
	cr_assert_eq(parse("-display sdl -monitor stdio"), OPT_GO);
	cr_expect_str_eq(o.serials[0], "vc");
	cr_expect_eq(o.nmonitors, 1);
	cr_assert_eq(parse("-display sdl -nodefaults"), OPT_GO);
	cr_expect_eq(o.nserials + o.nmonitors, 0);
	cr_assert_eq(parse("-display sdl -nographic"), OPT_GO);
	cr_expect_str_eq(o.serials[0], "mon:stdio");
}

Test(options, vnc_viewers_have_consoles_as_well)
{
	cr_assert_eq(parse("-vnc :1"), OPT_GO, "%s", e.msg);
	cr_expect_eq(o.nserials, 1);
	cr_expect_str_eq(o.serials[0], "vc");
	cr_expect_str_eq(o.monitors[0].spec, "vc");
	cr_assert_eq(parse("-vnc :1 -monitor stdio"), OPT_GO);
	cr_expect_eq(o.nmonitors, 1);
	cr_expect_str_eq(o.monitors[0].spec, "stdio");
	cr_assert_eq(parse("-vnc :1 -nographic"), OPT_GO);
	cr_expect_str_eq(o.serials[0], "mon:stdio");
	cr_assert_eq(parse("-display none"), OPT_GO);
	cr_expect_eq(o.nserials + o.nmonitors, 0);
}

/* ---- files without an option ---- */

/* A file of n bytes with some of them at an offset. */
static void make_file(const char *path, size_t size, size_t at, const char *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");

	cr_assert(f);
	cr_assert_eq(ftruncate(fileno(f), (off_t)size), 0);
	fseek(f, (long)at, SEEK_SET);
	fwrite(bytes, 1, n, f);
	fclose(f);
}

static const char *scratch(const char *name)
{
	static char path[3][60];
	static int turn;
	char *p = path[turn++ % 3];

	snprintf(p, sizeof(path[0]), "/tmp/rhea-%d-%s", (int)getpid(), name);
	return p;
}

Test(files, each_kind_goes_where_it_belongs)
{
	const char *disk = scratch("a"), *cd = scratch("b"), *kernel = scratch("c");
	char line[300];

	make_file(disk, 4096, 0, "QFI\xfb", 4);
	make_file(cd, 0x9000, 0x8001, "CD001", 5);
	make_file(kernel, 4096, 0x202, "HdrS", 4);
	snprintf(line, sizeof(line), "%s %s %s", disk, cd, kernel);
	cr_assert_eq(parse(line), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.pc.kernel, kernel);
	cr_assert_eq(o.pc.ndrives, 2);
	cr_assert_str_eq(o.pc.drives[0].drive.image.file, disk);
	cr_assert_not(o.pc.drives[0].drive.cdrom);
	cr_assert_str_eq(o.pc.drives[1].drive.image.file, cd);
	cr_assert(o.pc.drives[1].drive.cdrom);
	cr_assert_geq(o.pc.ram_size, 256ull << 20);
	cr_assert_str_eq(parse(disk) == OPT_GO ? o.file_kinds[0] : "", "qcow2 disk");
	cr_assert_eq(parse("-m 64") == OPT_GO ? o.pc.ram_size >> 20 : 0, 64);
	unlink(disk), unlink(cd), unlink(kernel);
}

Test(files, an_unknown_file_is_a_raw_disk)
{
	const char *disk = scratch("a");

	make_file(disk, 4096, 510, "\x55\xaa", 2);
	cr_assert_eq(parse(disk), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.file_kinds[0], "raw disk");
	unlink(disk);
}

Test(files, a_raw_file_of_a_floppys_size_is_a_floppy)
{
	const char *disk = scratch("a");

	make_file(disk, 1474560, 510, "\x55\xaa", 2);
	cr_assert_eq(parse(disk), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.file_kinds[0], "floppy disk");
	cr_assert_eq(o.pc.drives[0].interface, PC_IF_FLOPPY);
	cr_assert_eq(o.pc.drives[0].index, 0);
	unlink(disk);
}

Test(options, there_are_two_floppy_drives)
{
	cr_assert_eq(parse("-fdb b -drive if=floppy,file=a"), OPT_GO);
	cr_assert_eq(o.pc.drives[0].index, 1);
	cr_assert_eq(o.pc.drives[1].index, 0);
	cr_assert_eq(parse("-drive if=floppy"), OPT_GO);	/* an empty one */
	cr_assert_eq(parse("-fda a -fdb b -drive if=floppy,file=c"), OPT_BAD);
	cr_assert_eq(parse("-fda a -drive if=floppy,index=0,file=c"), OPT_BAD);
}

Test(files, what_cannot_start_is_refused_with_advice)
{
	const char *path = scratch("a"), *other = scratch("b");
	char line[200];

	make_file(path, 4096, 0, "KDMV", 4);
	cr_assert_eq(parse(path), OPT_BAD);
	cr_assert(strstr(e.msg, "VMDK image; convert it: qemu-img"), "%s", e.msg);
	make_file(path, 0, 0, "", 0);
	cr_assert_eq(parse(path), OPT_BAD);
	cr_assert(strstr(e.msg, "is empty; rhea-img create"), "%s", e.msg);
	make_file(path, 4096, 0, "070701", 6);
	cr_assert_eq(parse(path), OPT_BAD);
	cr_assert(strstr(e.msg, "a RAM disk starts with a kernel"), "%s", e.msg);
	make_file(path, 4096, 0x202, "HdrS", 4);
	make_file(other, 4096, 0x202, "HdrS", 4);
	snprintf(line, sizeof(line), "%s %s", path, other);
	cr_assert_eq(parse(line), OPT_BAD);
	cr_assert(strstr(e.msg, "a Linux kernel, and there is"), "%s", e.msg);
	make_file(path, 1000, 0, "Read me first", 13);
	cr_assert_eq(parse(path), OPT_BAD);
	cr_assert(strstr(e.msg, "what is it?"), "%s", e.msg);
	cr_assert_eq(parse("/nonexistent/disk"), OPT_BAD);
	cr_assert(strstr(e.msg, "No such file"), "%s", e.msg);
	cr_assert_eq(parse("/tmp"), OPT_BAD);
	cr_assert(strstr(e.msg, "is a folder"), "%s", e.msg);
	unlink(other);
	cr_assert_eq(mkfifo(other, 0600), 0);
	cr_assert_eq(parse(other), OPT_BAD);
	cr_assert(strstr(e.msg, "no block device"), "%s", e.msg);
	unlink(path), unlink(other);
}

Test(files, nothing_given_gives_a_hint)
{
	char *argv[] = { (char *)"rhea", NULL }, text[600] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	cr_assert_eq(options_parse(&o, 1, argv, out, &e), OPT_DONE);
	fclose(out);
	cr_assert(strstr(text, "rhea disk.qcow2"));
}

Test(options, a_card_is_there_unless_networks_were_named)
{
	cr_assert_eq(parse(""), OPT_GO);
	cr_assert_eq(o.nnets, net_user_built_in() ? 1 : 0);
	cr_assert_eq(parse("-nic none"), OPT_GO);
	cr_assert_eq(o.nnets, 0);
	cr_assert_eq(parse("-nodefaults"), OPT_GO);
	cr_assert_eq(o.nnets, 0);
}

Test(options, nodefaults_means_no_screen_either)
{
	cr_assert_eq(parse("-nodefaults"), OPT_GO);
	cr_expect_eq(o.pc.vga, PC_VGA_NONE);
	cr_assert_eq(parse("-nodefaults -vga std"), OPT_GO);
	cr_expect_eq(o.pc.vga, PC_VGA_STD);
	cr_assert_eq(parse("-vga cirrus"), OPT_BAD);
	cr_expect(strstr(e.msg, "-vga cirrus: expected std or none"), "%s", e.msg);
}

Test(options, what_a_watchdog_does)
{
	cr_assert_eq(parse(""), OPT_GO);
	cr_assert_eq(o.watchdog, VM_WATCHDOG_RESET);
	cr_assert_eq(parse("-watchdog-action inject-nmi"), OPT_GO);
	cr_assert_eq(o.watchdog, VM_WATCHDOG_NMI);
	cr_assert_eq(parse("-action watchdog=poweroff"), OPT_GO);
	cr_assert_eq(o.watchdog, VM_WATCHDOG_POWEROFF);
	cr_assert_eq(parse("-watchdog-action explode"), OPT_BAD);
}

Test(options, what_becomes_of_a_guest_that_crashes)
{
	cr_assert_eq(parse(""), OPT_GO);
	cr_assert_eq(o.panic, VM_PANIC_SHUTDOWN);
	cr_assert_eq(parse("-action panic=none"), OPT_GO);
	cr_assert_eq(o.panic, VM_PANIC_NONE);
	cr_assert_eq(parse("-action reboot=shutdown,panic=exit-failure"), OPT_GO);
	cr_assert(o.pc.no_reboot && o.panic == VM_PANIC_EXIT_FAILURE);
	cr_assert_eq(parse("-action panic=scream"), OPT_BAD);
}

Test(options, monitors_for_people_and_programs)
{
	cr_assert_eq(parse("-monitor null -qmp unix:/x,server=on -mon chardev=c,mode=control,pretty=on -mon d"), OPT_GO);
	cr_assert_eq(o.nmonitors, 4);
	cr_assert(!o.monitors[0].qmp && o.monitors[1].qmp && !o.monitors[1].pretty);
	cr_assert(o.monitors[2].qmp && o.monitors[2].pretty);
	cr_assert_str_eq(o.monitors[2].spec, "c");
	cr_assert_not(o.monitors[3].qmp);
	cr_assert_eq(parse("-mon mode=control"), OPT_BAD);
}

Test(options, devices_as_json)
{
	if (!json_built_in())
		cr_skip_test("built without jansson");
	cr_assert_eq(parse("-nic none -device {\"driver\":\"isa-serial\",\"index\":1,\"chardev\":\"a,b\"}"), OPT_GO);
	cr_assert_str_eq(o.pc.devices[o.pc.ndevices - 1].driver, "isa-serial");
	cr_assert_str_eq(o.pc.devices[o.pc.ndevices - 1].options, "index=1,chardev=a,,b");
}

Test(options, background_without_devices_of_its_own)
{
	cr_assert_eq(parse("-daemonize -nographic -nodefaults -machine none"), OPT_GO);
	cr_assert_eq(o.pc.board, PC_BOARD_NONE);
	cr_assert_eq(o.nserials, 0);
	cr_assert_eq(parse("-daemonize -nographic"), OPT_BAD);
}

Test(options, networks_over_sockets)
{
	cr_assert_eq(parse("-netdev socket,id=n,listen=:1234"), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.nets[0].socket.listen, ":1234");
	cr_assert_eq(parse("-netdev stream,id=n,server=off,addr.type=inet,addr.host=h,addr.port=5,reconnect=3"), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.nets[0].socket.connect, "h:5");
	cr_assert_eq(o.nets[0].socket.reconnect, 3);
	cr_assert_eq(parse("-netdev stream,id=n,server=on,addr.type=unix,addr.path=/p"), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.nets[0].socket.listen, "unix:/p");
	cr_assert_eq(parse("-netdev dgram,id=n,remote.type=inet,remote.host=230.0.0.1,remote.port=9"), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.nets[0].socket.mcast, "230.0.0.1:9");
	cr_assert_eq(parse("-nic tap,ifname=tap7,script=no"), OPT_GO, "%s", e.msg);
	cr_assert_str_eq(o.nets[0].tap.ifname, "tap7");
	cr_assert_null(o.nets[0].tap.script);
	cr_assert_eq(o.nets[0].tap.n_fds, 0);
	cr_assert_eq(parse("-netdev tap,id=n,fds=5:7:9"), OPT_GO, "%s", e.msg);
	cr_assert_eq(o.nets[0].tap.n_fds, 3);
	cr_assert_eq(o.nets[0].tap.fds[2], 9);
	cr_assert_eq(o.nets[0].queues, 3);
	cr_assert_eq(parse("-netdev tap,id=n,fd=5"), OPT_GO, "%s", e.msg);
	cr_assert_eq(o.nets[0].tap.fds[0], 5);
	cr_assert_eq(parse("-netdev tap,id=n,fds=5:"), OPT_BAD);
	cr_assert_eq(parse("-netdev tap,id=n,fds=5:7,queues=4"), OPT_BAD);
	cr_assert(strstr(e.msg, "there are 2 descriptors"), "%s", e.msg);
	cr_assert_eq(parse("-netdev tap,id=n,fds=5:7,fd=4"), OPT_BAD);
	cr_assert_eq(parse("-netdev socket,id=n"), OPT_BAD);
	cr_assert(strstr(e.msg, "expected one of listen="), "%s", e.msg);
	cr_assert_eq(parse("-netdev dgram,id=n,remote.type=inet,remote.host=10.0.0.1,remote.port=9"), OPT_BAD);
	cr_assert_eq(parse("-netdev tap,id=n,listen=:1"), OPT_BAD);
}

/* ---- drives in detail ---- */

Test(options, what_a_drive_says_of_its_image)
{
	cr_assert_eq(parse("-drive file=a,cache=none,discard=unmap,detect-zeroes=unmap,werror=stop,rerror=ignore,aio=threads"), OPT_GO);
	const struct drive_options *d = &o.pc.drives[0].drive;
	cr_assert(d->image.direct && !d->image.writethrough && !d->image.no_flush);
	cr_assert_not(d->image.no_discard);
	cr_assert_eq(d->image.detect_zeroes, BLOCK_ZEROES_UNMAP);
	cr_assert_eq(d->werror, DRIVE_STOP);
	cr_assert_eq(d->rerror, DRIVE_IGNORE);
	cr_assert_eq(parse("-drive file=a,bps=1M,iops_rd=100,iops_rd_max=200,throttling.iops-write=5"), OPT_GO);
	cr_assert_eq(d->limits.bps[0], 1048576);
	cr_assert_eq(d->limits.iops[1], 100);
	cr_assert_eq(d->limits.iops_max[1], 200);
	cr_assert_eq(d->limits.iops[2], 5);
	cr_assert_eq(parse("-drive file=a"), OPT_GO);
	cr_assert(d->image.no_discard);
}

Test(options, images_by_nested_keys_and_by_prefixes)
{
	const struct drive_options *d = &o.pc.drives[0].drive;

	cr_assert_eq(parse("-drive driver=qcow2,file.driver=file,file.filename=a,l2-cache-size=1M,file.cache.direct=on"), OPT_GO);
	cr_assert_str_eq(d->image.file, "a");
	cr_assert_str_eq(d->image.format, "qcow2");
	cr_assert(d->image.direct);
	cr_assert_eq(parse("-drive file=file:a:b"), OPT_GO);
	cr_assert_str_eq(d->image.file, "a:b");
	cr_assert_eq(parse("-drive file=null-co://,format=raw,size=1M,if=virtio"), OPT_GO);
	cr_assert(d->image.null_co && !d->image.file);
	cr_assert_eq(d->image.size, 1 << 20);
	cr_assert_eq(parse("-drive file.driver=nbd,file.filename=a"), OPT_BAD);
	cr_assert(strstr(e.msg, "file.driver=nbd"), "%s", e.msg);
}

Test(options, a_drive_for_a_device_may_be_empty)
{
	cr_assert_eq(parse("-drive if=none,id=x -device ide-cd,drive=x"), OPT_GO);
	cr_assert_eq(parse("-drive if=ide"), OPT_BAD);
}

Test(options, bursts_have_lengths)
{
	cr_assert_eq(parse("-drive file=a,throttling.iops-total=10,throttling.iops-total-max=20,throttling.iops-total-max-length=5"), OPT_GO);
	cr_assert_eq(o.pc.drives[0].drive.limits.iops_length[0], 5);
}

Test(options, drives_that_cannot_be)
{
	cr_assert_eq(parse("-drive file=a,cache=some"), OPT_BAD);
	cr_assert_eq(parse("-drive file=a,rerror=enospc"), OPT_BAD);
	cr_assert_eq(parse("-drive file=a,detect-zeroes=unmap"), OPT_BAD);
	cr_assert(strstr(e.msg, "discard=unmap"));
	cr_assert_eq(parse("-drive file=a,readonly=on,copy-on-read=on"), OPT_BAD);
	cr_assert_eq(parse("-drive driver=null-co,file=a,if=none,id=x"), OPT_BAD);
	cr_assert_eq(parse("-drive file=null-co://,format=qcow2"), OPT_BAD);
	cr_assert(strstr(e.msg, "qcow2"), "%s", e.msg);
}

Test(options, block_nodes)
{
	if (!json_built_in())
		cr_skip_test("built without jansson");
	cr_assert_eq(parse("-blockdev driver=file,node-name=f,filename=x,cache.direct=on "
			   "-blockdev driver=qcow2,node-name=q,file=f,read-only=on"), OPT_GO);
	cr_assert_eq(o.pc.ndrives, 1);			/* the file is no drive of its own */
	const struct drive_options *d = &o.pc.drives[0].drive;
	cr_assert_str_eq(d->id, "q");
	cr_assert_str_eq(d->image.file, "x");
	cr_assert_str_eq(d->image.format, "qcow2");
	cr_assert(d->image.direct && d->image.readonly);
	cr_assert_eq(parse("-blockdev {\"driver\":\"raw\",\"node-name\":\"r\",\"discard\":\"unmap\","
			   "\"file\":{\"driver\":\"file\",\"filename\":\"a,b\"}}"), OPT_GO);
	cr_assert_str_eq(d->image.file, "a,b");
	cr_assert_not(d->image.no_discard);
	cr_assert_eq(parse("-blockdev null-co,node-name=n,size=1M"), OPT_GO);
	cr_assert(d->image.null_co);
	cr_assert_eq(d->image.size, 1 << 20);
}

Test(options, block_nodes_that_cannot_be)
{
	cr_assert_eq(parse("-blockdev driver=raw,node-name=a,file=b"), OPT_BAD);
	cr_assert(strstr(e.msg, "must be given before"));
	cr_assert_eq(parse("-blockdev driver=nbd,node-name=a"), OPT_BAD);
	cr_assert_eq(parse("-blockdev driver=file,filename=x"), OPT_BAD);
	cr_assert(strstr(e.msg, "node-name"));
	cr_assert_eq(parse("-blockdev driver=file,node-name=f,filename=x -blockdev driver=raw,node-name=a,file=f "
			   "-blockdev driver=raw,node-name=b,file=f"), OPT_BAD);
	cr_assert(strstr(e.msg, "under another"));
	cr_assert_eq(parse("-blockdev driver=file,node-name=f,filename=x,nonsense=1"), OPT_BAD);
	cr_assert_eq(parse("-blockdev {broken"), OPT_BAD);
}

Test(options, kinds_of_streams_are_listed)
{
	char *argv[] = { (char *)"rhea", (char *)"-chardev", (char *)"help", NULL }, text[2000] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	cr_assert_eq(options_parse(&o, 3, argv, out, &e), OPT_DONE);
	fclose(out);
	cr_assert(strstr(text, "socket ") && strstr(text, "ringbuf "), "%s", text);
}
