/*
 * What each option means: its argument into struct options. Disks are in
 * options_disk.c, networks in options_net.c, boards in options_machine.c.
 */
#include "ui/options_parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/spell.h"
#include "config.h"
#include "hw/core/chr.h"
#include "ui/command_text.h"
#include "ui/json.h"
#include "ui/keyval.h"
#include "ui/layout.h"
#include "ui/sdl.h"
#include "ui/plugins.h"

#define DEFAULT_RAM (128ull << 20)
#define MAX_RAM (1ull << 40)

static enum opt_result result(bool ok)
{
	return ok ? OPT_GO : OPT_BAD;
}

#define bad(e, ...) (err_set(e, __VA_ARGS__), OPT_BAD)

static bool asks_help(const char *arg)
{
	return !strcmp(arg, "help") || !strcmp(arg, "?");
}

/* ---- about the program ---- */

enum opt_result opt_help(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)o, (void)arg, (void)e;
	return opt_help_text(out);
}

enum opt_result opt_version(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)o, (void)arg, (void)e;
	fprintf(out, "Rhea version %s\n", CONFIG_VERSION);
	return OPT_DONE;
}

/* ---- machine, accelerator, processors, memory ---- */

static bool add_accel(struct options *o, const char *name, bool interp, struct err *e)
{
	static const char *const names[] = { "tcg", "kvm" };
	struct spell near;
	char hint[80];

	spell_init(&near, name);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		spell_try(&near, names[i]);
		if (strcmp(name, names[i]))
			continue;
		if (o->naccels == OPT_MAX_ACCELS)
			return err_set(e, "-accel: more than %d accelerators", OPT_MAX_ACCELS);
		o->accels[o->naccels++] = (struct opt_accel){ (enum opt_accel_kind)i, interp };
		return true;
	}
	return err_set(e, "no accelerator '%s'%s", name,
		       near.best ? spell_hint(&near, hint, sizeof(hint)) : "; there are tcg and kvm");
}

bool options_add_accels(struct options *o, const char *list, struct err *e)
{
	char *copy = strdup(list), *save = NULL;
	bool ok = copy;

	for (char *w = strtok_r(copy, ":", &save); w && ok; w = strtok_r(NULL, ":", &save))
		ok = add_accel(o, w, false, e);
	free(copy);
	return ok;
}

enum opt_result opt_accel(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const ignored[] = { "thread", "tb-size", "split-wx", "one-insn-per-tb", NULL };
	struct kv k;
	const char *name;
	bool interp;

	if (asks_help(arg)) {
		fputs("tcg             translate guest code\n"
		      "tcg,interp=on   run its micro-operations in plain C (slow, for comparison)\n"
		      "kvm             the host processor's own virtualisation: not there yet\n", out);
		return OPT_DONE;
	}
	kv_parse(&k, "-accel", arg, "accel", e);
	name = kv_str(&k, "accel", "tcg");
	interp = kv_bool(&k, "interp", false);
	kv_ignore(&k, ignored);
	if (!kv_done(&k))
		return OPT_BAD;
	return result(add_accel(o, name, interp, e));
}

enum opt_result opt_enable_kvm(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)arg, (void)out;
	return result(add_accel(o, "kvm", false, e));
}

enum opt_result opt_cpu(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out, (void)e;
	if (asks_help(arg))
		o->help = OPT_HELP_CPU;
	else
		o->cpu = arg;
	return OPT_GO;
}

/* What is not given follows from the rest: cores first, then sockets; one thread a core. */
static void complete_topology(struct pc_config *pc, uint64_t total)
{
	bool two_given = pc->sockets && pc->cores;

	if (!pc->threads)
		pc->threads = two_given ? (int)total / (pc->sockets * pc->cores) : 1;
	if (!pc->sockets && !pc->cores)
		pc->sockets = 1;
	if (!pc->cores)
		pc->cores = (int)total / (pc->sockets * pc->threads);
	if (!pc->sockets)
		pc->sockets = (int)total / (pc->cores * pc->threads);
}

enum opt_result opt_smp(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;
	uint64_t cpus, maxcpus;

	(void)out;
	kv_parse(&k, "-smp", arg, "cpus", e);
	cpus = kv_num(&k, "cpus", 0, 1, PC_MAX_CPUS);
	o->pc.sockets = (int)kv_num(&k, "sockets", 0, 1, PC_MAX_CPUS);
	o->pc.cores = (int)kv_num(&k, "cores", 0, 1, PC_MAX_CPUS);
	o->pc.threads = (int)kv_num(&k, "threads", 0, 1, PC_MAX_CPUS);
	maxcpus = kv_num(&k, "maxcpus", cpus, 1, PC_MAX_CPUS);
	kv_num(&k, "dies", 1, 1, 1);
	kv_num(&k, "clusters", 1, 1, 1);
	if (!kv_done(&k))
		return OPT_BAD;
	if (!maxcpus)
		maxcpus = (uint64_t)(o->pc.sockets ? o->pc.sockets : 1) * (o->pc.cores ? o->pc.cores : 1) *
			  (o->pc.threads ? o->pc.threads : 1);
	if (!cpus)
		cpus = maxcpus;
	complete_topology(&o->pc, maxcpus);
	if (maxcpus > PC_MAX_CPUS || cpus > maxcpus ||
	    (uint64_t)o->pc.sockets * o->pc.cores * o->pc.threads != maxcpus) {
		return bad(e, "-smp %s: %d processors at most, and sockets * cores * threads must give "
			"their number (maxcpus, if given)", arg, PC_MAX_CPUS);
	}
	o->pc.ncpus = (int)maxcpus;
	o->pc.online = (int)cpus;
	return OPT_GO;
}

enum opt_result opt_m(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;
	uint64_t size;

	(void)out;
	kv_parse(&k, "-m", arg, "size", e);
	size = kv_size(&k, "size", o->pc.ram_size ? o->pc.ram_size : DEFAULT_RAM, 1 << 20);
	if (kv_str(&k, "maxmem", NULL) || kv_str(&k, "slots", NULL))
		warn("-m: memory cannot be added later; maxmem and slots have no effect");
	if (!kv_done(&k))
		return OPT_BAD;
	if (size < 1 << 20 || size > MAX_RAM) {
		return bad(e, "-m %s: expected 1M to 1T", arg);
	}
	o->pc.ram_size = align_up(size, 4096);
	return OPT_GO;
}

/* ---- identity and time ---- */

enum opt_result opt_name(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const ignored[] = { "process", "debug-threads", NULL };
	struct kv k;

	(void)out;
	kv_parse(&k, "-name", arg, "guest", e);
	o->pc.name = kv_str(&k, "guest", NULL);
	kv_ignore(&k, ignored);
	return result(kv_done(&k));
}

enum opt_result opt_uuid(struct options *o, const char *arg, FILE *out, struct err *e)
{
	int n = 0;

	(void)out;
	for (const char *p = arg; *p; p++) {
		static const char digits[] = "0123456789abcdef";
		const char *d = strchr(digits, tolower((unsigned char)*p));
		if (*p == '-' && (n == 8 || n == 12 || n == 16 || n == 20))
			continue;
		if (!d || n == 32)
			return bad(e, "-uuid %s: expected 32 hexadecimal digits, as in "
				   "550e8400-e29b-41d4-a716-446655440000", arg);
		o->pc.uuid[n / 2] = (uint8_t)(o->pc.uuid[n / 2] << 4 | (d - digits));
		n++;
	}
	if (n != 32)
		return bad(e, "-uuid %s: too few digits, there must be 32", arg);
	o->pc.has_uuid = true;
	return OPT_GO;
}

enum opt_result opt_rtc(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const clocks[] = { "host", "rt", "vm", NULL };
	static const char *const drift[] = { "none", "slew", NULL };
	struct kv k;

	(void)out;
	kv_parse(&k, "-rtc", arg, NULL, e);
	o->rtc_base = kv_str(&k, "base", "utc");
	kv_word(&k, "clock", 0, clocks);
	kv_word(&k, "driftfix", 0, drift);
	return result(kv_done(&k));
}

/* ---- start ---- */

static bool boot_letters(const char *key, const char *order, struct err *e)
{
	for (const char *p = order; *p; p++)
		if (!strchr("abcdnp", *p))
			return err_set(e, "-boot: %s=%s: expected letters a and b (floppy), c (disk), d (CD), "
				       "n (network)", key, order);
	return true;
}

enum opt_result opt_boot(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;
	const char *once;

	(void)out;
	kv_parse(&k, "-boot", arg, "order", e);
	o->pc.boot_order = kv_str(&k, "order", o->pc.boot_order);
	once = kv_str(&k, "once", NULL);
	o->pc.boot_menu = kv_bool(&k, "menu", o->pc.boot_menu);
	o->pc.boot_strict = kv_bool(&k, "strict", o->pc.boot_strict);
	o->pc.boot_splash_time = (int)kv_num(&k, "splash-time", 0, 0, 65535);
	o->pc.reboot_timeout = (int)kv_num(&k, "reboot-timeout", UINT64_MAX, 0, 65535);
	if (kv_str(&k, "splash", NULL))
		warn("-boot: splash pictures are not shown");
	if (!kv_done(&k))
		return OPT_BAD;
	if (once && !boot_letters("once", once, e))
		return OPT_BAD;
	if (once)
		o->boot_once = once;
	return result(!o->pc.boot_order || boot_letters("order", o->pc.boot_order, e));
}

enum opt_result opt_dir(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	if (o->ndirs == OPT_MAX_DIRS) {
		return bad(e, "-L: more than %d folders", OPT_MAX_DIRS);
	}
	o->dirs[o->ndirs++] = arg;
	return OPT_GO;
}

/* ---- devices ---- */

/* A JSON object as the text that it stands for. */
static char *device_text(const char *json, struct err *e)
{
	struct value *v = json_parse(json, strlen(json), e);
	char *text = v ? command_text(v, "driver", e) : NULL;

	val_free(v);
	if (!text)
		err_prefix(e, "-device");
	return text;
}

enum opt_result opt_layout(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)e;
	if (asks_help(arg)) {
		layout_list(out);
		return OPT_DONE;
	}
	o->layout = arg;
	return OPT_GO;
}

enum opt_result opt_device(struct options *o, const char *arg, FILE *out, struct err *e)
{
	char *driver = *arg == '{' ? device_text(arg, e) : strdup(arg), *rest;

	(void)out;
	if (!driver)
		return OPT_BAD;
	rest = strchr(driver, ',');
	if (rest)
		*rest++ = 0;
	if (asks_help(driver) || (rest && asks_help(rest))) {
		o->help = OPT_HELP_DEVICE;
		o->help_about = asks_help(driver) ? NULL : driver;
		return OPT_GO;
	}
	if (!*driver)
		return bad(e, "-device %s: expected DRIVER[,key=value..] (see -device help)", arg);
	if (o->pc.ndevices == PC_MAX_DEVICES) {
		return bad(e, "-device: more than %d devices", PC_MAX_DEVICES);
	}
	o->pc.devices[o->pc.ndevices++] = (struct pc_device){ driver, rest };
	return OPT_GO;
}

enum opt_result opt_usbdevice(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const names[][2] = {
		{ "tablet", "usb-tablet" }, { "mouse", "usb-mouse" }, { "keyboard", "usb-kbd" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(arg, names[i][0])) {
			o->pc.usb = true;
			return opt_device(o, names[i][1], out, e);
		}
	return bad(e, "-usbdevice %s: expected tablet, mouse or keyboard (others: -device usb-..)", arg);
}

enum opt_result opt_global(struct options *o, const char *arg, FILE *out, struct err *e)
{
	const char *dot = strchr(arg, '.');

	(void)out;
	if (!dot || dot == arg || !strchr(dot, '='))
		return bad(e, "-global %s: expected DRIVER.KEY=VALUE", arg);
	if (o->nglobals == OPT_MAX_GLOBALS) {
		return bad(e, "-global: more than %d", OPT_MAX_GLOBALS);
	}
	o->globals[o->nglobals++] = arg;
	return OPT_GO;
}

enum opt_result opt_smbios(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	if (o->pc.nsmbios == PC_MAX_SMBIOS) {
		return bad(e, "-smbios: more than %d", PC_MAX_SMBIOS);
	}
	o->pc.smbios[o->pc.nsmbios++] = arg;
	return OPT_GO;
}

enum opt_result opt_fw_cfg(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;
	const char *name, *file, *string;

	(void)out;
	kv_parse(&k, "-fw_cfg", arg, "name", e);
	name = kv_str(&k, "name", NULL);
	file = kv_str(&k, "file", NULL);
	string = kv_str(&k, "string", NULL);
	if (!kv_done(&k))
		return OPT_BAD;
	if (!name || !file == !string)
		return bad(e, "-fw_cfg %s: expected name=NAME and one of file=FILE and string=TEXT", arg);
	if (o->pc.nfwcfg == PC_MAX_FWCFG) {
		return bad(e, "-fw_cfg: more than %d items", PC_MAX_FWCFG);
	}
	o->pc.fwcfg[o->pc.nfwcfg].name = name;
	o->pc.fwcfg[o->pc.nfwcfg].file = file;
	o->pc.fwcfg[o->pc.nfwcfg++].string = string;
	return OPT_GO;
}

enum opt_result opt_overcommit(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;

	(void)o, (void)out;
	kv_parse(&k, "-overcommit", arg, NULL, e);
	if (kv_bool(&k, "mem-lock", false))
		warn("-overcommit: the guest's memory is not locked");
	kv_bool(&k, "cpu-pm", false);
	return result(kv_done(&k));
}

enum opt_result opt_sandbox(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)o, (void)out;
	return strcmp(arg, "off") ? bad(e, "-sandbox %s: there is no sandbox yet; use off", arg) : OPT_GO;
}

/* ---- consoles ---- */

static enum opt_result display_sdl(struct options *o, const char *arg, struct err *e)
{
	static const char *const ignored[] = { "gl", "grab-mod", "show-cursor", "window-close", NULL };
	struct kv k;

	kv_parse(&k, "-display", arg, "type", e);
	kv_str(&k, "type", NULL);
	o->full_screen = kv_bool(&k, "full-screen", o->full_screen);
	o->status = kv_bool(&k, "status", o->status);
	kv_ignore(&k, ignored);
	o->display = OPT_DISPLAY_SDL;
	return result(kv_done(&k));
}

enum opt_result opt_display(struct options *o, const char *arg, FILE *out, struct err *e)
{
	if (asks_help(arg)) {
		fputs("none            not shown; 'screendump' of the monitor still works\n"
		      "sdl             in a window; Ctrl-Alt-F full screen, Ctrl-Alt-G frees the mouse, Ctrl-Alt-S tells below what it does,\n"
		      "                Ctrl-Alt-2 the monitor, Ctrl-Alt-3 the serial port, Ctrl-Alt-1 the screen\n"
		      "curses          on this terminal: text modes, serial port and monitor; Alt-1, Alt-2.. change between them\n"
		      "web[=ADDR:PORT] in a browser, with a terminal for each serial port [127.0.0.1, from 8080 on]\n"
		      "vnc=HOST:N      to VNC viewers, at TCP port 5900 + N\n"
		      "vnc=unix:PATH   to VNC viewers, at a Unix socket\n", out);
		return OPT_DONE;
	}
	if (!strncmp(arg, "sdl", 3) && (!arg[3] || arg[3] == ','))
		return display_sdl(o, arg, e);
	if (!strcmp(arg, "web") || !strncmp(arg, "web=", 4)) {
		o->web = arg[3] ? arg + 4 : "";
		o->display = OPT_DISPLAY_WEB;
		return OPT_GO;
	}
	if (!strcmp(arg, "curses")) {
		o->display = OPT_DISPLAY_CURSES;
		return OPT_GO;
	}
	if (!strncmp(arg, "curses,", 7))
		return bad(e, "-display %s: curses takes no arguments; characters are those of code page 437", arg);
	if (!strncmp(arg, "vnc=", 4))
		return opt_vnc(o, arg + 4, out, e);
	if (strcmp(arg, "none"))
		return bad(e, "-display %s: expected none, sdl, curses, web or vnc=HOST:N (see -display help)", arg);
	o->display = OPT_DISPLAY_NONE;
	return OPT_GO;
}

enum opt_result opt_vnc(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out, (void)e;
	o->vnc = strcmp(arg, "none") ? arg : NULL;
	o->display = o->vnc ? OPT_DISPLAY_VNC : OPT_DISPLAY_NONE;
	return OPT_GO;
}

enum opt_result opt_vga(struct options *o, const char *arg, FILE *out, struct err *e)
{
	if (asks_help(arg)) {
		fputs("std    VGA with VESA extensions\nnone   no display adapter\n", out);
		return OPT_DONE;
	}
	o->vga_given = true;
	if (!strcmp(arg, "std"))
		o->pc.vga = PC_VGA_STD;
	else if (!strcmp(arg, "none"))
		o->pc.vga = PC_VGA_NONE;
	else
		return bad(e, "-vga %s: expected std or none (there is no other adapter; guests drive std by VESA, Linux by its bochs driver)", arg);
	return OPT_GO;
}

enum opt_result opt_chardev(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;
	const char *id = NULL;

	if (asks_help(arg)) {
		chr_help(out);
		return OPT_DONE;
	}
	arg = options_named_fds(o, arg, e);
	if (!arg)
		return OPT_BAD;
	kv_parse(&k, "-chardev", arg, "backend", e);
	id = kv_str(&k, "id", NULL);
	if (!id)
		return bad(e, "-chardev %s: id=ID is missing", arg);
	if (o->nchardevs == OPT_MAX_CHARDEVS) {
		return bad(e, "-chardev: more than %d", OPT_MAX_CHARDEVS);
	}
	o->chardevs[o->nchardevs++] = (struct opt_chardev){ id, arg };
	return OPT_GO;
}

enum opt_result opt_serial(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	if (o->nserials == PC_MAX_SERIALS) {
		return bad(e, "-serial: more than %d ports", PC_MAX_SERIALS);
	}
	o->serials[o->nserials++] = arg;
	return OPT_GO;
}

static enum opt_result add_monitor(struct options *o, const char *spec, bool qmp, bool pretty, struct err *e)
{
	if (o->nmonitors == OPT_MAX_MONITORS)
		return bad(e, "-monitor, -qmp: more than %d", OPT_MAX_MONITORS);
	o->monitors[o->nmonitors++] = (struct opt_monitor){ spec, qmp, pretty };
	return OPT_GO;
}

enum opt_result opt_monitor(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_monitor(o, arg, false, false, e);
}

enum opt_result opt_qmp(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_monitor(o, arg, true, false, e);
}

enum opt_result opt_qmp_pretty(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_monitor(o, arg, true, true, e);
}

enum opt_result opt_mon(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const modes[] = { "readline", "control", NULL };
	static const char *const ignored[] = { "id", NULL };
	struct kv k;
	const char *id;
	bool qmp, pretty;

	(void)out;
	kv_parse(&k, "-mon", arg, "chardev", e);
	id = kv_str(&k, "chardev", NULL);
	qmp = kv_word(&k, "mode", 0, modes) == 1;
	pretty = kv_bool(&k, "pretty", false);
	kv_ignore(&k, ignored);
	if (!kv_done(&k))
		return OPT_BAD;
	return id ? add_monitor(o, id, qmp, pretty, e) : bad(e, "-mon %s: chardev=ID is missing", arg);
}

/* ---- running and logging ---- */

enum opt_result opt_action(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;

	(void)out;
	kv_parse(&k, "-action", arg, NULL, e);
	o->pc.no_reboot = kv_word(&k, "reboot", o->pc.no_reboot, vm_reboot_words);
	o->pc.no_shutdown = kv_word(&k, "shutdown", o->pc.no_shutdown, vm_shutdown_words);
	o->watchdog = (enum vm_watchdog)kv_word(&k, "watchdog", (int)o->watchdog, vm_watchdog_words);
	o->panic = (enum vm_panic)kv_word(&k, "panic", (int)o->panic, vm_panic_words);
	return result(kv_done(&k));
}

enum opt_result opt_watchdog_action(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;

	(void)out;
	kv_parse(&k, "-watchdog-action", arg, "action", e);
	o->watchdog = (enum vm_watchdog)kv_word(&k, "action", (int)o->watchdog, vm_watchdog_words);
	return result(kv_done(&k));
}

enum opt_result opt_s(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)arg, (void)out, (void)e;
	o->gdb = "tcp::1234";
	return OPT_GO;
}

enum opt_result opt_d(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)e;
	o->log_areas = arg;
	if (!asks_help(arg))
		return OPT_GO;
	for (int i = 0; i < LOG_NAREAS; i++)
		fprintf(out, "%-14s %s\n", log_areas[i].name, log_areas[i].help);
	fprintf(out, "%-14s %s\n", "all", "everything");
	return OPT_DONE;
}

enum opt_result opt_trace(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct opt_trace *t = &o->traces[o->ntraces];
	struct kv k;

	(void)out;
	if (asks_help(arg)) {
		o->list_traces = true;
		return OPT_GO;
	}
	if (o->ntraces == OPT_MAX_TRACES)
		return bad(e, "-trace may be given %d times; events=FILE takes any number of patterns", OPT_MAX_TRACES);
	kv_parse(&k, "-trace", arg, "enable", e);
	t->pattern = kv_str(&k, "enable", NULL);
	t->events = kv_str(&k, "events", NULL);
	t->file = kv_str(&k, "file", NULL);
	o->ntraces++;
	return result(kv_done(&k));
}

enum opt_result opt_plugin(struct options *o, const char *arg, FILE *out, struct err *e)
{
	size_t n = strlen(arg);

	if (asks_help(arg)) {
		plugins_list(out);
		return OPT_DONE;
	}
	if (n > 5 && !strcmp(arg + n - 5, ",help"))
		return plugins_help(arg, out, e) ? OPT_DONE : OPT_BAD;
	if (o->nplugins == OPT_MAX_PLUGINS)
		return bad(e, "-plugin may be given %d times", OPT_MAX_PLUGINS);
	o->plugins[o->nplugins++] = arg;
	return OPT_GO;
}

/* ---- before the first option and behind the last ---- */

void options_defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->cpu = "max";
	o->rtc_base = "utc";
	o->pc.ncpus = o->pc.online = o->pc.sockets = o->pc.cores = o->pc.threads = 1;
	o->pc.reboot_timeout = -1;
}

static bool check_kernel(const struct options *o, struct err *e)
{
	if (o->pc.kernel)
		return true;
	if (o->pc.initrd)
		return err_set(e, "-initrd needs -kernel");
	if (o->pc.append)
		return err_set(e, "-append needs -kernel");
	return true;
}

bool options_desktop(void)
{
	return sdl_built_in() && (getenv("DISPLAY") || getenv("WAYLAND_DISPLAY"));
}

/* A window, where there can be one, if nobody asks for something else. */
static void default_display(struct options *o)
{
	bool quiet = o->nographic || o->daemonize || o->nodefaults || o->pc.vga == PC_VGA_NONE;

	if (o->display == OPT_DISPLAY_DEFAULT && options_desktop() && !quiet)
		o->display = OPT_DISPLAY_SDL;
}

#define NOT_SHOWN "the screen is not shown (-display sdl shows it in a window, -vnc :0 to VNC viewers)"

/* What stands behind the first serial port and the monitor if nobody says. */
static void default_consoles(struct options *o)
{
	bool silent = o->display == OPT_DISPLAY_NONE || o->nodefaults || o->daemonize;
	bool viewers = o->display == OPT_DISPLAY_SDL || (o->vnc && !o->vnc_chosen);
	bool has_vcs = o->display == OPT_DISPLAY_WEB || o->display == OPT_DISPLAY_CURSES || (viewers && !o->nographic);
	bool terminal = (o->nographic && !o->nodefaults) || (!silent && !has_vcs && !o->nserials && !o->nmonitors);

	if (o->display == OPT_DISPLAY_DEFAULT && !silent && !o->nographic)
		o->screen_note = terminal ? NOT_SHOWN ": serial port and monitor are on this terminal (Ctrl-A h for help)" : NOT_SHOWN;
	if (has_vcs && !o->nserials && !o->nodefaults)
		o->serials[o->nserials++] = "vc";
	if (has_vcs && !o->nmonitors && !o->nodefaults)
		o->monitors[o->nmonitors++] = (struct opt_monitor){ .spec = "vc" };
	if (terminal && !o->nserials)
		o->serials[o->nserials++] = o->nmonitors ? "stdio" : "mon:stdio";
}

/* A terminal that the screen is shown on is nobody else's. */
static bool check_terminal(const struct options *o, struct err *e)
{
	if (o->display != OPT_DISPLAY_CURSES)
		return true;
	if (o->nographic || o->daemonize)
		return err_set(e, "-display curses and %s exclude each other", o->nographic ? "-nographic" : "-daemonize");
	for (int i = 0; i < o->nserials; i++)
		if (strstr(o->serials[i], "stdio"))
			return err_set(e, "-serial %s: -display curses has the terminal; use vc, which Alt-3 shows", o->serials[i]);
	for (int i = 0; i < o->nmonitors; i++)
		if (strstr(o->monitors[i].spec, "stdio"))
			return err_set(e, "a monitor at %s: -display curses has the terminal; use vc, which Alt-2 shows", o->monitors[i].spec);
	return true;
}

/* A -device VGA is instead of the board's, and -nodefaults takes that away, unless -vga wants it. */
static void own_display_card(struct options *o)
{
	if (o->nodefaults && !o->vga_given)
		o->pc.vga = PC_VGA_NONE;
	for (int i = 0; i < o->pc.ndevices && !o->vga_given; i++)
		if (!strcmp(o->pc.devices[i].driver, "VGA"))
			o->pc.vga = PC_VGA_NONE;
}

static bool has_device(const struct options *o, const char *const *drivers)
{
	for (int i = 0; i < o->pc.ndevices; i++)
		for (const char *const *d = drivers; *d; d++)
			if (!strcmp(o->pc.devices[i].driver, *d))
				return true;
	return false;
}

/* An empty CD drive, and on the older board a floppy drive, unless the user says what drives there are. */
static void default_drives(struct options *o)
{
	static const char *const disks[] = { "ide-cd", "ide-hd", "scsi-cd", "scsi-hd", NULL };
	static const char *const floppies[] = { "isa-fdc", NULL };

	o->pc.empty_cd = !o->nodefaults && !has_device(o, disks);
	o->pc.empty_floppy = !o->nodefaults && o->pc.board == PC_BOARD_I440FX && !has_device(o, floppies);
}

bool options_complete(struct options *o, struct err *e)
{
	if (o->help != OPT_HELP_NONE)
		return true;
	if (!options_place_files(o, e) || !check_kernel(o, e) || !options_complete_nets(o, e) || !options_complete_shares(o, e) ||
	    !options_place_nodes(o, e))
		return false;
	if (!o->pc.ram_size)
		o->pc.ram_size = DEFAULT_RAM;
	if (o->daemonize && o->nographic && !o->nodefaults)
		return err_set(e, "-daemonize and -nographic exclude each other (without -nodefaults)");
	if (!o->naccels)
		o->accels[o->naccels++] = (struct opt_accel){ OPT_ACCEL_TCG, false };
	for (int i = 0; i < o->pc.ndrives && o->snapshot; i++)
		o->pc.drives[i].drive.image.snapshot = true;
	o->pc.dirs = o->dirs;
	default_display(o);
	default_consoles(o);
	own_display_card(o);
	default_drives(o);
	if (!check_terminal(o, e))
		return false;
	if (o->log_areas && !log_set_areas(o->log_areas, e))
		return err_prefix(e, "-d");
	if (o->log_filter && !log_set_filter(o->log_filter, e))
		return err_prefix(e, "-dfilter");
	return true;
}
