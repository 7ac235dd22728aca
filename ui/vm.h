/*
 * The running machine: vCPU threads, and who may stop, reset or end it.
 *
 * Everything here is called on the main loop's thread under the machine lock,
 * unless it says otherwise. Functions that wait for the vCPUs give the lock up
 * meanwhile, because a vCPU may need it to come to rest.
 */
#ifndef UI_VM_H
#define UI_VM_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "cpu/accel.h"
#include "hw/core/bus.h"
#include "hw/core/snapshot.h"
#include "ui/migrate.h"
#include "ui/save.h"

struct gdb;
struct pc;
struct pc_config;
struct qmp;
struct loop;
struct vnc;
struct job;
struct options;

enum vm_status {
	VM_PRELAUNCH,		/* -S: nothing has run yet */
	VM_INMIGRATE,		/* -incoming: its state is still to come */
	VM_RUNNING,
	VM_PAUSED,		/* by the monitor */
	VM_SHUTDOWN,		/* the guest switched itself off, under -no-shutdown */
	VM_SUSPENDED,		/* ACPI S3 */
	VM_DEBUG,		/* breakpoint */
	VM_PANICKED,		/* the guest said that it has crashed */
	VM_POSTMIGRATE,		/* its state went elsewhere */
	VM_INTERNAL_ERROR,	/* the accelerator gave up */
	VM_WATCHDOG,		/* a watchdog stopped it */
	VM_IO_ERROR,		/* a drive failed and is told to stop the machine then */
};

/* Why it ends or is reset, as events tell. */
enum vm_cause {
	VM_BY_NOBODY,		/* the program itself at start: no event */
	VM_BY_ERROR, VM_BY_QUIT, VM_BY_COMMAND, VM_BY_SIGNAL, VM_BY_UI,
	VM_BY_GUEST_SHUTDOWN, VM_BY_GUEST_RESET, VM_BY_GUEST_PANIC,
};

/* What a watchdog that gives the guest up does. */
enum vm_watchdog {
	VM_WATCHDOG_RESET, VM_WATCHDOG_SHUTDOWN, VM_WATCHDOG_POWEROFF, VM_WATCHDOG_PAUSE, VM_WATCHDOG_DEBUG,
	VM_WATCHDOG_NONE, VM_WATCHDOG_NMI,
};

/* What becomes of a guest that says that it has crashed. */
enum vm_panic {
	VM_PANIC_SHUTDOWN,	/* switched off; paused where the machine stays when it is off */
	VM_PANIC_PAUSE, VM_PANIC_EXIT_FAILURE, VM_PANIC_NONE,
};

/* Their words, in QEMU's spelling; NULL-terminated. */
extern const char *const vm_watchdog_words[], *const vm_panic_words[], *const vm_reboot_words[], *const vm_shutdown_words[];

struct vm;
struct vcpu {
	struct vm *vm;
	struct cpu *cpu;
	pthread_t thread;
	int tid;		/* the kernel's number of the thread */
	bool started, parked;
	bool frozen;		/* by the debugger: stands while others run */
	bool failed;		/* accel_ops->create did; err says why */
	struct err err;
};

/* Keys and pointer as monitors hold them. */
struct vm_input {
	int keys[16];		/* to be let go of by the timer */
	int n_keys;
	struct timer release;
	unsigned buttons;
	int x, y;		/* of a tablet */
};

struct vm {
	struct machine *m;
	struct pc *pc;
	struct loop *loop;
	struct vnc *vnc;	/* or NULL */
	const struct accel_ops *ops;
	struct vcpu *vcpus;
	int ncpus;
	const struct pc_config *cfg;	/* what the machine was made from; NULL in tests */
	const char *cpu_model;
	struct options *options;	/* with the nodes of images, to which programs may add; NULL in tests */
	struct job *jobs;	/* ui/job.h */
	struct qmp *qmps;	/* sessions with programs (ui/qmp.h) */
	const char *name;	/* of the guest, or NULL */
	const char *boot_once;	/* boot order of the first start, or NULL */
	const char *boot_order;	/* and of those after it */
	char *boot_set;		/* of the monitor, or NULL */
	bool no_reboot, no_shutdown;
	enum vm_watchdog watchdog;
	enum vm_panic panic;
	enum vm_status status;
	void (*on_status)(void *opaque);	/* it has changed; may be NULL */
	void *status_opaque;
	struct gdb *gdb;	/* ui/gdb.h, or NULL */
	struct vm_fd *fds;	/* descriptors that programs gave, by name: ui/commands_fd.c */
	struct slow_event *slow;	/* at most one a second of each: ui/qmp.c */
	struct migration migration;
	struct vm_input input;	/* ui/commands_input.c */
	/* The machine ran and has stopped, and the program goes on; may be NULL. */
	void (*on_stop)(void *opaque, enum vm_status why);
	void *stop_opaque;

	struct saved_part saved;
	struct save_run *saving;	/* ui/save.h: under way, or NULL */
	struct save_stats saved_stats;
	uint8_t saved_suspended;	/* in snapshots: the machine was in ACPI S3 */
	bool asleep;			/* it stands, and will be in ACPI S3 when it goes on */

	_Atomic unsigned asked;		/* bit per enum machine_request not yet acted upon */
	_Atomic int exit_status;	/* of MACHINE_EXIT */

	pthread_mutex_t lock;		/* for what follows, and vcpu.parked, frozen, failed */
	pthread_cond_t changed;
	bool hold;			/* vCPUs are to park */
	bool quit;			/* vCPU threads are to end */
};

/*
 * Storage is the caller's. m, pc, loop and ops are set by the caller before;
 * this takes the vCPUs and makes itself the machine's listener.
 */
bool vm_init(struct vm *vm, struct cpu **cpus, int ncpus, struct err *e);
/* Start the threads, parked. False if the accelerator refuses a vCPU. Without the lock. */
bool vm_launch(struct vm *vm, struct err *e);
/* End the threads. Without the lock. */
void vm_fini(struct vm *vm);

static inline bool vm_running(const struct vm *vm)
{
	return vm->status == VM_RUNNING;
}
const char *vm_status_text(enum vm_status s);
const char *vm_status_word(enum vm_status s);		/* QEMU's RunState */

void vm_cont(struct vm *vm);
/* Before it, for who can say why not: the disks are the machine's own again, if a migration had let go of them. */
bool vm_may_cont(struct vm *vm, struct err *e);
void vm_stop(struct vm *vm, enum vm_status why);
/* The debugger's: only the vCPUs whose `runs` is set go on; without `time` guest time stands. */
void vm_cont_some(struct vm *vm, const bool *runs, bool time);
/* All vCPUs take part again. */
void vm_unfreeze(struct vm *vm);
void vm_reset(struct vm *vm, enum vm_cause why);
void vm_powerdown(struct vm *vm);	/* press the power button */
void vm_nmi(struct vm *vm);
void vm_quit(struct vm *vm, int exit_status, enum vm_cause why);

/*
 * Hold the vCPUs still while their state is read, without stopping guest time;
 * vm_release() lets them go on if they ran. Not nested.
 */
void vm_hold(struct vm *vm);
void vm_release(struct vm *vm);

/*
 * Hold the vCPUs and guest time, too, with nothing due left undone: the machine may be
 * saved, or become another by a snapshot. vm_thaw() lets go on what went on before.
 */
void vm_freeze(struct vm *vm);
void vm_thaw(struct vm *vm);
/* While it is frozen: a snapshot was loaded. */
void vm_loaded(struct vm *vm);

#endif
