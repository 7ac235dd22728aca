/*
 * The program: from a command line to a running machine and back.
 *
 * Order: options, streams, board, vCPUs, monitors, threads; then the event loop
 * until somebody quits it; then everything in reverse. With -daemonize the part
 * up to the running machine happens in the child while the parent waits, so that
 * its exit status tells whether the machine came up.
 */
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "cpu/cpuid.h"
#include "hw/backend/audio.h"
#include "hw/backend/drive.h"
#include "hw/backend/net.h"
#include "hw/backend/share.h"
#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "hw/pc/pc.h"
#include "hw/pc/types.h"
#include "tcg/run.h"
#include "ui/command.h"
#include "ui/consoles.h"
#include "ui/curses.h"
#include "ui/daemon.h"
#include "ui/display.h"
#include "ui/gdb.h"
#include "ui/job.h"
#include "ui/migrate.h"
#include "ui/layout.h"
#include "ui/monitor.h"
#include "ui/options.h"
#include "ui/plugins.h"
#include "ui/qmp.h"
#include "ui/sdl.h"
#include "ui/snapshot.h"
#include "ui/trace.h"
#include "ui/vm.h"
#include "ui/vnc.h"
#include "ui/web.h"

struct app {
	struct options o;
	struct machine *m;
	struct loop *loop;
	struct pc *pc;
	struct cpu *cpus[PC_MAX_CPUS];
	struct vm vm;
	struct plugins *plugins;
	struct display *display;
	struct consoles *consoles;	/* NULL: nobody shows them */
	struct layout *layout;
	struct sdl *sdl;
	struct web *web;
	struct curses *curses;
	struct monitor *monitors[OPT_MAX_MONITORS + PC_MAX_SERIALS];	/* without those for programs */
	int nmonitors;
};

/* ---- lists ---- */

static bool list_devices(const char *about, struct err *e)
{
	struct machine *m = machine_new(dev_types, NULL, e);
	bool ok = m && (dev_help(m, about, stdout, e) || err_prefix(e, "-device %s,help", about));

	machine_free(m);
	return ok;
}

static void list_cpus(void)
{
	struct cpu_model_name m;
	int column = 0;

	puts("Models:");
	for (unsigned i = 0; cpuid_model_name(i, &m); i++)
		printf("  %-26s %s\n", m.name, *m.alias_of ? m.alias_of : m.brand);
	puts("\nOther words: check enforce vendor= family= model= stepping= model-id= level= xlevel= phys-bits= tsc-frequency=\n"
	     "\nFeatures, to be added by ,+NAME or taken away by ,-NAME:");
	for (unsigned i = 0; cpuid_feature_name(i); i++) {
		const char *name = cpuid_feature_name(i);
		if (column + (int)strlen(name) > 75) {
			putchar('\n');
			column = 0;
		}
		column += printf("%s%s", column ? " " : "  ", name);
	}
	putchar('\n');
}

static bool give_help(const struct options *o, struct err *e)
{
	if (o->help == OPT_HELP_CPU)
		list_cpus();
	else
		return list_devices(o->help_about, e);
	return true;
}

/* ---- streams ---- */

/* "none": no stream at all, and no port in front of it. */
static bool open_stream(struct app *a, const char *option, const char *id, const char *spec,
			struct chr **out, struct err *e)
{
	*out = NULL;
	if (!spec || !strcmp(spec, "none"))
		return true;
	*out = chr_find_or_new(a->m, id, spec, e);
	return *out || err_prefix(e, "%s %s", option, spec);
}

static bool open_streams(struct app *a, struct err *e)
{
	struct options *o = &a->o;
	char id[20];

	for (int i = 0; i < o->nchardevs; i++)
		if (!chr_new(a->m, o->chardevs[i].id, o->chardevs[i].spec, e))
			return err_prefix(e, "-chardev %s", o->chardevs[i].spec);
	for (int i = 0; i < o->nserials; i++) {
		snprintf(id, sizeof(id), "serial%d", i);
		if (!open_stream(a, "-serial", id, o->serials[i], &o->pc.serials[i], e))
			return false;
	}
	return open_stream(a, "-parallel", "parallel0", o->parallel, &o->pc.parallel, e) &&
	       open_stream(a, "-debugcon", "debugcon", o->debugcon, &o->pc.debugcon, e);
}

static bool open_shares(struct app *a, struct err *e)
{
	const struct options *o = &a->o;

	for (int i = 0; i < o->nshares; i++)
		if (!share_new(a->m, &o->shares[i], e))
			return err_prefix(e, "-%s local,id=%s", o->mount_tags[i] ? "virtfs" : "fsdev", o->shares[i].id);
	return true;
}

/* ---- networks ---- */

static bool open_nets(struct app *a, struct err *e)
{
	const struct options *o = &a->o;

	for (int i = 0; i < o->nnets; i++)
		if (!net_new(a->m, &o->nets[i], e))
			return err_prefix(e, "-netdev %s,id=%s", o->nets[i].kind, o->nets[i].id);
	for (int i = 0; i < o->ndumps; i++) {
		struct net *n = net_find(a->m, o->dumps[i].net);
		if (!n)
			return err_set(e, "-object filter-dump: there is no network '%s'", o->dumps[i].net);
		if (!net_dump(n, o->dumps[i].file, o->dumps[i].most, e))
			return err_prefix(e, "-object filter-dump");
	}
	return true;
}

/* ---- sound ---- */

static bool open_audios(struct app *a, struct err *e)
{
	for (int i = 0; i < a->o.naudios; i++)
		if (!audio_new(a->m, &a->o.audios[i], e))
			return err_prefix(e, "-audiodev %s,id=%s", a->o.audios[i].driver, a->o.audios[i].id);
	return true;
}

/* ---- monitors ---- */

static bool add_monitor(struct app *a, struct chr *c, struct err *e)
{
	struct monitor *mon = monitor_new(&a->vm, c, e);

	if (mon)
		a->monitors[a->nmonitors++] = mon;
	return mon;
}

static bool open_monitor(struct app *a, const struct opt_monitor *o, const char *id, struct err *e)
{
	const char *option = o->qmp ? "-qmp" : "-monitor";
	struct chr *c;

	if (!open_stream(a, option, id, o->spec, &c, e))
		return false;
	if (!c || !o->qmp)
		return !c || add_monitor(a, c, e);
	return qmp_new(&a->vm, c, o->pretty, e) || err_prefix(e, "%s %s", option, o->spec);
}

static bool open_monitors(struct app *a, struct err *e)
{
	struct options *o = &a->o;
	char id[40];

	for (int i = 0; i < o->nserials; i++)
		if (!strncmp(o->serials[i], "mon:", 4) && !add_monitor(a, o->pc.serials[i], e))
			return false;
	for (int i = 0; i < o->nmonitors; i++) {
		snprintf(id, sizeof(id), "compat_monitor%d", i);
		if (!open_monitor(a, &o->monitors[i], id, e))
			return false;
	}
	return true;
}

/* ---- the screen ---- */

/* It shows what VNC viewers would see, whether there is a port for those or not. */
static struct web *open_web(struct app *a, const char *title, struct err *e)
{
	struct web *w;

	if (!a->vm.vnc && pc_vga(a->pc)) {
		a->vm.vnc = vnc_new(a->display, a->loop, "nowhere", title, e);
		if (!a->vm.vnc)
			return NULL;
	}
	w = web_new(&a->vm, a->vm.vnc, a->o.web, title, e);
	if (w && !a->o.nfiles)
		fprintf(stderr, "rhea: console at %s\n", web_address(w));
	return w;
}

/* Somebody can look at text consoles; a browser has terminals of its own. */
static bool has_viewers(const struct options *o)
{
	return o->display != OPT_DISPLAY_WEB && (o->vnc || o->display == OPT_DISPLAY_SDL || o->display == OPT_DISPLAY_CURSES);
}

/* Who shows it starts once the machine is complete. */
static bool open_displays(struct app *a, struct err *e)
{
	struct options *o = &a->o;
	struct sdl_options window = { o->pc.name ? o->pc.name : "Rhea", o->full_screen, o->status };
	bool ok = true;

	if (o->layout && !(a->layout = layout_new(o->layout, e)))
		return err_prefix(e, "-k %s", o->layout);
	machine_lock(a->m);
	a->display = display_new(a->m, pc_vga(a->pc), e);
	if (a->display)
		display_set_layout(a->display, a->layout);
	if (a->display && has_viewers(o)) {
		a->consoles = consoles_new(a->m, e);
		ok = a->consoles;
		display_set_consoles(a->display, a->consoles);
	}
	if (a->display && ok && o->vnc) {
		a->vm.vnc = vnc_new(a->display, a->loop, o->vnc, window.name, e);
		ok = a->vm.vnc || err_prefix(e, "-vnc %s", o->vnc);
	}
	if (a->display && ok && o->display == OPT_DISPLAY_SDL) {
		a->sdl = sdl_new(a->display, &a->vm, &window, e);
		ok = a->sdl || err_prefix(e, "-display sdl");
	}
	if (a->display && ok && o->display == OPT_DISPLAY_WEB) {
		a->web = open_web(a, window.name, e);
		ok = a->web || err_prefix(e, "-display web");
	}
	if (a->display && ok && o->display == OPT_DISPLAY_CURSES) {
		a->curses = curses_new(a->display, pc_vga(a->pc), &a->vm, a->consoles, e);
		ok = a->curses || err_prefix(e, "-display curses");
	}
	machine_unlock(a->m);
	return a->display && ok;
}

static void close_displays(struct app *a)
{
	machine_lock(a->m);
	curses_free(a->curses);
	sdl_free(a->sdl);
	web_free(a->web);
	vnc_free(a->vm.vnc);
	display_free(a->display);
	consoles_free(a->consoles);
	layout_free(a->layout);
	machine_unlock(a->m);
}

/* ---- the machine ---- */

static void on_signal(void *opaque, int signo)
{
	struct app *a = opaque;

	if (signo == SIGINT && gdb_on_stdio(&a->vm))
		vm_stop(&a->vm, VM_PAUSED);
	else
		vm_quit(&a->vm, 0, VM_BY_SIGNAL);
}

static bool take_signals(struct app *a, struct err *e)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (!loop_signal(a->loop, signals[i], on_signal, a, e))
			return false;
	return true;
}

static const struct accel_ops *choose_accel(const struct options *o, struct err *e)
{
	for (int i = 0; i < o->naccels; i++) {
		if (o->accels[i].kind == OPT_ACCEL_TCG)
			return o->accels[i].interp ? &tcg_interp_accel : &tcg_accel;
		if (i + 1 < o->naccels)
			warn("-accel kvm is not there yet; trying the next");
	}
	err_set(e, "-accel kvm is not there yet; add -accel tcg to fall back to");
	return NULL;
}

static bool make_cpus(struct app *a, struct err *e)
{
	struct cpu_config cfg = {
		.model = a->o.cpu, .phys = pc_phys(a->pc), .board = pc_cpu_board(a->pc),
		.ncpus = (unsigned)a->o.pc.ncpus, .cores = (unsigned)a->o.pc.cores,
		.threads = (unsigned)a->o.pc.threads, .x2apic = true,
	};

	for (int i = 0; i < a->o.pc.ncpus; i++) {
		cfg.index = i;
		cfg.apic_id = cpuid_apic_id((unsigned)i, cfg.cores, cfg.threads);
		a->cpus[i] = cpu_new(&cfg, e);
		if (!a->cpus[i])
			return err_prefix(e, "-cpu %s", a->o.cpu);
		a->cpus[i]->plugins = a->plugins;
	}
	pc_set_cpus(a->pc, a->cpus, a->o.pc.ncpus);
	return true;
}

static bool make_board(struct app *a, struct err *e)
{
	struct options *o = &a->o;
	const char *boot_order = o->pc.boot_order;
	bool ok;

	if (o->boot_once)
		o->pc.boot_order = o->boot_once;
	for (int i = 0; i < o->nglobals; i++)
		if (!machine_add_global(a->m, o->globals[i], e))
			return err_prefix(e, "-global %s", o->globals[i]);
	if (!clock_set_wall(&a->m->clock, o->rtc_base, e))
		return err_prefix(e, "-rtc");
	machine_lock(a->m);
	ok = open_streams(a, e) && open_nets(a, e) && open_shares(a, e) && open_audios(a, e);
	machine_unlock(a->m);
	if (!ok)
		return false;
	a->pc = pc_new(&o->pc, a->m, e);
	if (!a->pc || !make_cpus(a, e))
		return false;
	a->vm = (struct vm){
		.m = a->m, .pc = a->pc, .loop = a->loop, .ops = choose_accel(o, e), .name = o->pc.name, .cfg = &o->pc, .cpu_model = o->cpu,
		.boot_once = o->boot_once, .boot_order = boot_order, .no_reboot = o->pc.no_reboot, .no_shutdown = o->pc.no_shutdown,
		.watchdog = o->watchdog, .panic = o->panic, .options = o,
	};
	if (!a->vm.ops || !vm_init(&a->vm, a->cpus, o->pc.ncpus, e))
		return false;
	machine_lock(a->m);
	commands_watch_drives(&a->vm);
	commands_trace(&a->vm);
	ok = open_monitors(a, e) && (!o->gdb || gdb_serve(&a->vm, o->gdb, e) || err_prefix(e, "-gdb %s", o->gdb));
	machine_unlock(a->m);
	return ok;
}

/* With everything on the board: do the trace points exist that were asked for? */
static bool check_traces(struct app *a, struct err *e)
{
	bool ok;

	machine_lock(a->m);
	ok = trace_check(a->m, a->o.traces, a->o.ntraces, e);
	machine_unlock(a->m);
	return ok;
}

static void list_traces(struct app *a)
{
	machine_lock(a->m);
	trace_print(a->m, NULL, stdout);
	machine_unlock(a->m);
}

static bool load_plugins(struct app *a, struct err *e)
{
	if (!a->o.nplugins)
		return true;
	a->plugins = plugins_new(a->o.pc.name, (unsigned)a->o.pc.ncpus);
	if (!a->plugins)
		return err_set(e, "out of memory");
	for (int i = 0; i < a->o.nplugins; i++)
		if (!plugins_load(a->plugins, a->o.plugins[i], e))
			return false;
	return true;
}

static bool make_machine(struct app *a, struct err *e)
{
	if ((a->o.log_file && !log_open(a->o.log_file, e)) || !load_plugins(a, e))
		return false;
	a->m = machine_new(dev_types, NULL, e);
	a->loop = a->m ? loop_new(a->m, e) : NULL;
	return a->loop && trace_begin(a->m, a->o.traces, a->o.ntraces, e) && take_signals(a, e) &&
		(!a->o.incoming || drive_begin_elsewhere(a->m, e)) && make_board(a, e);
}

static bool map_for_perf(struct app *a, struct err *e)
{
	return !a->o.perfmap || tcg_perfmap(a->cpus[0], e) || err_prefix(e, "-perfmap");
}

/* -d stats */
static void log_statistics(struct app *a)
{
	char text[2048];

	if (!log_on(LOG_STATS))
		return;
	machine_lock(a->m);
	vm_hold(&a->vm);
	tcg_stats_text(a->cpus[0], text, sizeof(text));
	log_to(LOG_STATS, "%s", text);
	machine_unlock(a->m);
}

/* " (Ctrl-Alt-2: monitor, Ctrl-Alt-3: serial0)" */
static void tell_consoles(const struct app *a, char *text, size_t n)
{
	size_t at = 0;

	*text = 0;
	for (int i = 1; i <= consoles_count(a->consoles) && at < n; i++)
		at += (size_t)snprintf(text + at, n - at, "%sCtrl-Alt-%d: %s", i == 1 ? " (" : ", ", i + 1, consoles_name(a->consoles, i));
	if (at && at < n)
		snprintf(text + at, n - at, ")");
}

/* Where the guest's screen is, for the line that tells what was chosen. */
static void tell_choices(const struct app *a)
{
	char screen[800] = "no screen", consoles[300];

	if (a->o.screen_note)
		warn("%s", a->o.screen_note);
	if (!a->o.nfiles)
		return;
	tell_consoles(a, consoles, sizeof(consoles));
	if (a->sdl)
		snprintf(screen, sizeof(screen), "screen in a window%s", consoles);
	else if (a->web)
		snprintf(screen, sizeof(screen), "console at %s", web_address(a->web));
	else if (a->curses)
		snprintf(screen, sizeof(screen), "screen on this terminal");
	else if (a->vm.vnc)
		snprintf(screen, sizeof(screen), "screen for VNC viewers at %s%s", vnc_address(a->vm.vnc), consoles);
	else if (a->o.nographic)
		snprintf(screen, sizeof(screen), "serial port on this terminal (Ctrl-A x ends, Ctrl-A h helps)");
	options_tell(&a->o, screen, stderr);
}

static bool start(struct app *a, struct err *e)
{
	bool ok, touched;

	tell_choices(a);
	machine_lock(a->m);
	vm_reset(&a->vm, VM_BY_NOBODY);
	ok = !a->o.incoming || migrate_in_wait(&a->vm, a->o.incoming, !a->o.stopped, e) || err_prefix(e, "-incoming");
	ok = ok && (!a->o.loadvm || snapshot_load_vm(&a->vm, a->o.loadvm, NULL, &touched, e) || err_prefix(e, "-loadvm"));
	if (ok && !a->o.stopped && !a->o.incoming)
		vm_cont(&a->vm);
	machine_unlock(a->m);
	return ok;
}

static void unmake_machine(struct app *a, int status)
{
	bool ran = a->vm.vcpus;

	if (a->m) {
		machine_lock(a->m);
		gdb_end(&a->vm, status);
		migrate_in_abandon(&a->vm);
		migrate_out_abandon(&a->vm);
		save_abandon(&a->vm);
		jobs_abandon(&a->vm);
		machine_unlock(a->m);
	}
	vm_fini(&a->vm);
	if (ran && a->plugins)
		plugins_exit(a->plugins);
	if (!a->m)
		return;
	close_displays(a);
	machine_lock(a->m);
	while (a->nmonitors)
		monitor_free(a->monitors[--a->nmonitors]);
	while (a->vm.qmps)
		qmp_free(a->vm.qmps);
	machine_unlock(a->m);
	pc_free(a->pc);
	for (int i = 0; i < PC_MAX_CPUS; i++)
		cpu_free(a->cpus[i]);
	machine_lock(a->m);
	net_free_all(a->m);
	share_free_all(a->m);
	audio_free_all(a->m);
	chr_free_all(a->m);
	machine_unlock(a->m);
	loop_free(a->loop);
	machine_free(a->m);
	plugins_free(a->plugins);
}

static void fail(struct app *a, const struct err *e)
{
	if (a->m) {
		machine_lock(a->m);
		curses_free(a->curses);		/* or nobody would see the message */
		a->curses = NULL;
		machine_unlock(a->m);
		chr_flush_all(a->m);
	}
	err_report(e);
}

static int run(struct app *a, struct err *e)
{
	int status = 1;

	if (!make_machine(a, e)) {
		fail(a, e);
	} else if (a->o.list_traces) {
		list_traces(a);
		status = 0;
	} else if (check_traces(a, e) && open_displays(a, e) && vm_launch(&a->vm, e) && map_for_perf(a, e) && start(a, e) && daemon_ready(&a->o, e)) {
		status = loop_run(a->loop);
		log_statistics(a);
	} else {
		fail(a, e);
	}
	unmake_machine(a, status);
	daemon_end(&a->o);
	return status;
}

int main(int argc, char **argv)
{
	static struct app app;
	struct err e = { "" };

	switch (options_parse(&app.o, argc, argv, stdout, &e)) {
	case OPT_DONE:
		return 0;
	case OPT_BAD:
		err_report(&e);
		return 1;
	case OPT_GO:
		break;
	}
	if ((app.o.help ? !give_help(&app.o, &e) : !daemon_fork(&app.o, &e))) {
		err_report(&e);
		return 1;
	}
	return app.o.help ? 0 : run(&app, &e);
}
