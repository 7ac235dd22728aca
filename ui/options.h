/*
 * The command line, in QEMU's dialect: options.def says what there is, this
 * turns argv into one struct that main.c builds the machine from.
 */
#ifndef UI_OPTIONS_H
#define UI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "hw/backend/audio.h"
#include "hw/backend/net.h"
#include "hw/backend/share.h"
#include "hw/pc/pc.h"
#include "ui/trace.h"
#include "ui/vm.h"

/* A screen for this machine only, where a system need not know the name localhost (a chroot). */
#define OPT_VNC_HERE "127.0.0.1:0,to=99"

#define OPT_MAX_ACCELS		4
#define OPT_MAX_CHARDEVS	16
#define OPT_MAX_MONITORS	16
#define OPT_MAX_GLOBALS		32
#define OPT_MAX_DIRS		8
#define OPT_MAX_NETS		8
#define OPT_MAX_NODES		32
#define OPT_MAX_FILES		8
#define OPT_MAX_AUDIOS		4
#define OPT_MAX_SHARES		16
#define OPT_MAX_FDS		16
#define OPT_MAX_TRACES		32
#define OPT_MAX_PLUGINS		16

enum opt_accel_kind { OPT_ACCEL_TCG, OPT_ACCEL_KVM };
struct opt_accel {
	enum opt_accel_kind kind;
	bool interp;			/* tcg: run micro-operations in C */
};

/* A named stream (-chardev), or what -serial and its like say. */
struct opt_chardev {
	const char *id;
	const char *spec;
};

/* A monitor (-monitor, -mon) or, for programs, QMP (-qmp, -mon mode=control). */
struct opt_monitor {
	const char *spec;
	bool qmp, pretty;
};

/* What `-OPTION help` asks to list once the machine's tables are at hand. */
enum opt_help { OPT_HELP_NONE, OPT_HELP_DEVICE, OPT_HELP_CPU };

/* -blockdev */
struct opt_node {
	struct drive_options drive;	/* id: the node's name */
	bool is_file;			/* no format: others may stand on it */
	bool below;			/* one does */
};

/* -object filter-dump */
struct opt_dump {
	const char *net, *file;
	uint32_t most;			/* bytes of each frame */
};

/* -add-fd */
struct opt_fd {
	int fd;
	unsigned set;
};

enum opt_display { OPT_DISPLAY_DEFAULT, OPT_DISPLAY_NONE, OPT_DISPLAY_VNC, OPT_DISPLAY_SDL, OPT_DISPLAY_WEB,
		   OPT_DISPLAY_CURSES };

struct options {
	struct pc_config pc;
	const char *files[OPT_MAX_FILES];	/* named without an option */
	const char *file_kinds[OPT_MAX_FILES];	/* what each is, for people */
	int nfiles;
	const char *cpu;		/* model and features */
	struct opt_accel accels[OPT_MAX_ACCELS];	/* in order of preference */
	int naccels;

	struct opt_fd fds[OPT_MAX_FDS];
	int nfds;
	struct opt_chardev chardevs[OPT_MAX_CHARDEVS];
	int nchardevs;
	const char *serials[PC_MAX_SERIALS];
	int nserials;
	const char *parallel, *debugcon;
	struct opt_monitor monitors[OPT_MAX_MONITORS];
	int nmonitors;
	const char *globals[OPT_MAX_GLOBALS];
	int nglobals;
	const char *dirs[OPT_MAX_DIRS + 1];
	int ndirs;

	struct opt_node nodes[OPT_MAX_NODES];
	int nnodes;
	struct net_options nets[OPT_MAX_NETS];
	int nnets;
	struct opt_dump dumps[OPT_MAX_NETS];
	int ndumps;
	const char *card_without_net, *net_without_card;	/* -net: the halves not joined yet */
	bool net_given;			/* -nic, -netdev or -net, whatever it said */

	struct share_options shares[OPT_MAX_SHARES];
	const char *mount_tags[OPT_MAX_SHARES];	/* -virtfs: the device to be made for it, or NULL */
	int nshares;

	struct audio_options audios[OPT_MAX_AUDIOS];
	int naudios;

	enum opt_display display;
	const char *vnc;		/* as vnc_new() takes it, or NULL */
	bool vnc_chosen;		/* nobody asked for it */
	const char *web;		/* as web_new() takes it */
	bool full_screen, status;
	const char *screen_note;	/* for people who have not chosen a screen, or NULL */
	const char *layout;		/* of the keyboard, or NULL */
	bool vga_given;			/* by -vga */
	bool nographic, nodefaults;
	enum vm_watchdog watchdog;	/* what it does when the guest hangs */
	enum vm_panic panic;		/* what becomes of a guest that crashes */
	bool stopped;			/* -S */
	const char *loadvm;		/* a snapshot of the images to begin with, or NULL */
	const char *incoming;		/* a snapshot to begin with, or NULL */
	const char *gdb;		/* where a debugger connects, or NULL */
	bool daemonize, perfmap;
	int ready_fd;			/* daemon.c: tells the waiting parent */
	bool snapshot;			/* -snapshot: for every drive */
	const char *pidfile, *log_areas, *log_file, *log_filter;
	struct opt_trace traces[OPT_MAX_TRACES];
	int ntraces;
	const char *plugins[OPT_MAX_PLUGINS];	/* as plugins_load() takes them */
	int nplugins;
	bool list_traces;		/* -trace help: this machine's, and no more */
	const char *boot_once;		/* order of the first boot only, or NULL */
	const char *rtc_base;		/* "utc", "localtime" or a date */

	enum opt_help help;
	const char *help_about;		/* -device NAME,help: NAME */
};

enum opt_result {
	OPT_GO,			/* start the machine */
	OPT_DONE,		/* -help and its like: printed; exit 0 */
	OPT_BAD,		/* err filled; exit 1 */
};

/* The boards -machine takes: the nth; false past the end. */
struct opt_board {
	const char *name, *alias, *help;
	int max_cpus;
	bool acpi;
};
bool options_board(int n, struct opt_board *out);
/* The nth row of options.def: name (NULL: a heading) and argument (may be NULL); false past the end. */
bool options_row(unsigned n, const char **name, const char **arg);
struct value;
/* The keys in such a text, as a list of {name, type}: ui/commands_models.c. */
struct value *options_keys(const char *arg);
/* Make the network that a -netdev argument describes. */
struct net *options_make_net(struct machine *m, const char *arg, struct err *e);

/*
 * Strings of *o point into argv or are allocated for the program's life.
 * Text asked for (help, version) goes to `out`.
 */
enum opt_result options_parse(struct options *o, int argc, char **argv, FILE *out, struct err *e);

/* What to do with the program, for who gave nothing. */
void options_hint(FILE *out);
/* One line: the files that were given and what was chosen for them. */
void options_tell(const struct options *o, const char *screen, FILE *out);

#endif
