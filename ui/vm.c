/*
 * The running machine: one thread per vCPU around accel_ops->run, and the
 * transitions between running, stopped and ended.
 *
 * A vCPU thread parks when `hold` is set. Whoever sets it then raises REQ_EXIT
 * on every vCPU; a vCPU clears that request before it looks at `hold`, so none
 * is lost. What the guest asks for (reset, power-off) arrives on a vCPU's thread
 * in the middle of an instruction: the vCPUs are held at once, and the loop's
 * thread does the rest when all are parked.
 */
#include "ui/vm.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "hw/backend/drive.h"
#include "hw/backend/net.h"
#include "base/value.h"
#include "cpu/tsc.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "hw/pc/pc.h"
#include "ui/command.h"
#include "ui/qmp.h"

/* ---- vCPU threads ---- */

static void failed_on_loop(void *opaque)
{
	struct vm *vm = opaque;

	if (loop_quitting(vm->loop))
		return;
	warn("the accelerator %s cannot go on", vm->ops->name);
	vm_stop(vm, VM_INTERNAL_ERROR);
	vm_quit(vm, 1, VM_BY_ERROR);
}

static void debug_on_loop(void *opaque)
{
	struct vm *vm = opaque;
	bool any = false;

	for (int i = 0; i < vm->ncpus; i++)
		any |= vm->vcpus[i].cpu->dbg.why != DEBUG_NOTHING;
	if (any && vm_running(vm))
		vm_stop(vm, VM_DEBUG);
	else
		vm_release(vm);		/* the debugger has seen to it meanwhile */
}

/* Sit out a hold. False: the thread is to end. */
static bool may_run(struct vcpu *v)
{
	struct vm *vm = v->vm;
	bool go;

	pthread_mutex_lock(&vm->lock);
	while ((vm->hold || v->frozen) && !vm->quit) {
		if (!v->parked) {
			v->parked = true;
			pthread_cond_broadcast(&vm->changed);
		}
		pthread_cond_wait(&vm->changed, &vm->lock);
	}
	v->parked = false;
	go = !vm->quit;
	pthread_mutex_unlock(&vm->lock);
	return go;
}

/* Nothing more to run here: hold everybody and let the loop decide. */
static void give_up(struct vcpu *v, void (*fn)(void *opaque))
{
	struct vm *vm = v->vm;

	pthread_mutex_lock(&vm->lock);
	vm->hold = true;
	pthread_mutex_unlock(&vm->lock);
	loop_call(vm->loop, fn, vm);
}

static void run(struct vcpu *v)
{
	struct cpu *c = v->cpu;

	for (;;) {
		cpu_clear_request(c, REQ_EXIT);
		if (!may_run(v))
			return;
		switch (v->vm->ops->run(c)) {
		case ACCEL_REQUEST:
			break;
		case ACCEL_HALT_FOREVER:
			cpu_wait(c);
			break;
		case ACCEL_DEBUG:
			give_up(v, debug_on_loop);
			break;
		case ACCEL_FAILED:
			give_up(v, failed_on_loop);
			break;
		}
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct vm *vm = v->vm;
	bool ok;

	machine_set_current_cpu(v->cpu);
	v->tid = gettid();
	ok = !vm->ops->create || vm->ops->create(v->cpu, &v->err);
	if (!ok) {
		pthread_mutex_lock(&vm->lock);
		v->failed = true;
		pthread_cond_broadcast(&vm->changed);
		pthread_mutex_unlock(&vm->lock);
		return NULL;
	}
	run(v);
	if (vm->ops->destroy)
		vm->ops->destroy(v->cpu);
	return NULL;
}

/* ---- holding ---- */

static void ask_to_park(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->hold = true;
	pthread_mutex_unlock(&vm->lock);
	for (int i = 0; i < vm->ncpus; i++)
		cpu_request(vm->vcpus[i].cpu, REQ_EXIT);
}

static bool all_parked(const struct vm *vm)
{
	for (int i = 0; i < vm->ncpus; i++)
		if (vm->vcpus[i].started && !vm->vcpus[i].parked && !vm->vcpus[i].failed)
			return false;
	return true;
}

static void wait_parked(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	while (!all_parked(vm))
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
}

void vm_hold(struct vm *vm)
{
	ask_to_park(vm);
	machine_unlock(vm->m);
	wait_parked(vm);
	machine_lock(vm->m);
}

void vm_release(struct vm *vm)
{
	/* What the guest asked for comes first: it holds the vCPUs itself. */
	if (!vm_running(vm) || atomic_load(&vm->asked) || loop_quitting(vm->loop))
		return;
	pthread_mutex_lock(&vm->lock);
	vm->hold = false;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

/* ---- transitions ---- */

const char *vm_status_text(enum vm_status s)
{
	static const char *const text[] = {
		[VM_PRELAUNCH] = "paused (prelaunch)", [VM_INMIGRATE] = "paused (inmigrate)", [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
		[VM_SHUTDOWN] = "paused (shutdown)", [VM_SUSPENDED] = "paused (suspended)",
		[VM_DEBUG] = "paused (debug)", [VM_PANICKED] = "paused (guest-panicked)",
		[VM_POSTMIGRATE] = "paused (postmigrate)",
		[VM_INTERNAL_ERROR] = "paused (internal-error)", [VM_IO_ERROR] = "paused (io-error)",
		[VM_WATCHDOG] = "paused (watchdog)",
	};

	return text[s];
}

const char *vm_status_word(enum vm_status s)
{
	static const char *const word[] = {
		[VM_PRELAUNCH] = "prelaunch", [VM_INMIGRATE] = "inmigrate", [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
		[VM_SHUTDOWN] = "shutdown", [VM_SUSPENDED] = "suspended", [VM_DEBUG] = "debug",
		[VM_PANICKED] = "guest-panicked", [VM_POSTMIGRATE] = "postmigrate",
		[VM_INTERNAL_ERROR] = "internal-error", [VM_IO_ERROR] = "io-error", [VM_WATCHDOG] = "watchdog",
	};

	return word[s];
}

/* SHUTDOWN and RESET say who wanted it. */
static void tell(struct vm *vm, const char *event, enum vm_cause why)
{
	static const char *const reason[] = {
		[VM_BY_NOBODY] = "none", [VM_BY_ERROR] = "host-error", [VM_BY_QUIT] = "host-qmp-quit",
		[VM_BY_COMMAND] = "host-qmp-system-reset", [VM_BY_SIGNAL] = "host-signal",
		[VM_BY_UI] = "host-ui", [VM_BY_GUEST_SHUTDOWN] = "guest-shutdown",
		[VM_BY_GUEST_RESET] = "guest-reset", [VM_BY_GUEST_PANIC] = "guest-panic",
	};
	struct value *v;

	if (why == VM_BY_NOBODY)
		return;
	v = val_dict();
	val_add_bool(v, "guest", why >= VM_BY_GUEST_SHUTDOWN);
	val_add_str(v, "reason", reason[why]);
	qmp_event(vm, event, v);
}

static void set_status(struct vm *vm, enum vm_status s)
{
	vm->status = s;
	vm->m->asleep = s == VM_SUSPENDED;
	if (vm->on_status)
		vm->on_status(vm->status_opaque);
}

static void stop_time(struct vm *vm)
{
	clock_stop(&vm->m->clock);
	tsc_hold(vm->m->phys);
}

static void start_time(struct vm *vm)
{
	tsc_release(vm->m->phys);
	clock_start(&vm->m->clock);
}

void vm_stop(struct vm *vm, enum vm_status why)
{
	bool ran = vm_running(vm) || vm->status == VM_SUSPENDED;

	vm_hold(vm);
	drive_drain(vm->m, NULL);
	if (ran)
		stop_time(vm);
	vm->asleep |= vm->status == VM_SUSPENDED;
	set_status(vm, why);
	if (ran && !loop_quitting(vm->loop))
		qmp_event(vm, "STOP", NULL);
	if (ran && vm->on_stop && !loop_quitting(vm->loop))
		vm->on_stop(vm->stop_opaque, why);
}

/* In S3 time goes on: the real-time clock may end it. */
static void suspend(struct vm *vm)
{
	vm_hold(vm);
	if (!vm_running(vm))
		return;
	set_status(vm, VM_SUSPENDED);
	qmp_event(vm, "SUSPEND", NULL);
}

bool vm_may_cont(struct vm *vm, struct err *e)
{
	return vm->status == VM_INMIGRATE || drive_take_back(vm->m, e);
}

static void cont(struct vm *vm, bool time)
{
	struct err e;

	if (vm_running(vm) || vm->status == VM_SUSPENDED)
		return;
	if (vm->status == VM_INMIGRATE) {
		vm->migration.go_on = true;
		return;
	}
	if (!vm_may_cont(vm, &e)) {
		err_report(&e);
		return;
	}
	/* A machine that switched itself off starts again from the beginning; one that crashed goes on. */
	if (vm->status == VM_SHUTDOWN)
		vm_reset(vm, VM_BY_COMMAND);
	if (time)
		start_time(vm);
	else
		tsc_release(vm->m->phys);
	set_status(vm, vm->asleep ? VM_SUSPENDED : VM_RUNNING);
	vm->asleep = false;
	drive_retry(vm->m);
	qmp_event(vm, "RESUME", NULL);
	vm_release(vm);
}

void vm_cont(struct vm *vm)
{
	cont(vm, true);
}

void vm_cont_some(struct vm *vm, const bool *runs, bool time)
{
	pthread_mutex_lock(&vm->lock);
	for (int i = 0; i < vm->ncpus; i++)
		vm->vcpus[i].frozen = !runs[i];
	pthread_mutex_unlock(&vm->lock);
	cont(vm, time);
}

void vm_unfreeze(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	for (int i = 0; i < vm->ncpus; i++)
		vm->vcpus[i].frozen = false;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static void reset_cpus(struct vm *vm)
{
	for (int i = 0; i < vm->ncpus; i++)
		cpu_reset(vm->vcpus[i].cpu);
}

void vm_reset(struct vm *vm, enum vm_cause why)
{
	vm_hold(vm);
	reset_cpus(vm);
	if (vm->boot_once && vm->status != VM_PRELAUNCH) {
		pc_set_boot_order(vm->pc, vm->boot_order);
		vm->boot_once = NULL;
	}
	pc_reset(vm->pc);
	vm->asleep = false;
	tell(vm, "RESET", why);
	if (vm->status == VM_SUSPENDED)
		set_status(vm, VM_RUNNING);
	if (vm->status == VM_SHUTDOWN || vm->status == VM_PANICKED)
		set_status(vm, VM_PAUSED);
	vm_release(vm);
}

void vm_powerdown(struct vm *vm)
{
	pc_power_button(vm->pc);
	qmp_event(vm, "POWERDOWN", NULL);
}

void vm_nmi(struct vm *vm)
{
	pc_nmi(vm->pc);
}

void vm_quit(struct vm *vm, int exit_status, enum vm_cause why)
{
	if (!loop_quitting(vm->loop))
		tell(vm, "SHUTDOWN", why);
	loop_quit(vm->loop, exit_status);
}

/* The machine is switched off, or is to behave as if. */
static void power_off(struct vm *vm, enum vm_status status, enum vm_cause why)
{
	if (vm->no_shutdown)
		tell(vm, "SHUTDOWN", why);
	else
		vm_quit(vm, 0, why);
	vm_stop(vm, status);
}

static void wake_up(struct vm *vm)
{
	if (vm->status != VM_SUSPENDED)
		return;
	vm_hold(vm);
	reset_cpus(vm);
	pc_wake(vm->pc);
	set_status(vm, VM_RUNNING);
	qmp_event(vm, "WAKEUP", NULL);
	vm_release(vm);
}

const char *const vm_reboot_words[] = { "reset", "shutdown", NULL };
const char *const vm_shutdown_words[] = { "poweroff", "pause", NULL };
const char *const vm_panic_words[] = { "shutdown", "pause", "exit-failure", "none", NULL };

static void crash_event(struct vm *vm, const char *event, const char *action)
{
	struct value *v = val_dict();

	val_add_str(v, "action", action);
	qmp_event(vm, event, v);
}

static void panic(struct vm *vm)
{
	enum vm_panic what = vm->panic;

	if (what == VM_PANIC_SHUTDOWN && vm->no_shutdown)
		what = VM_PANIC_PAUSE;
	crash_event(vm, "GUEST_PANICKED",
		    what == VM_PANIC_NONE ? "run" : what == VM_PANIC_PAUSE ? "pause" : "poweroff");
	if (what == VM_PANIC_PAUSE)
		vm_stop(vm, VM_PANICKED);
	if (what == VM_PANIC_PAUSE || what == VM_PANIC_NONE)
		return;
	if (vm->no_shutdown) {
		power_off(vm, VM_SHUTDOWN, VM_BY_GUEST_PANIC);
		return;
	}
	vm_quit(vm, what == VM_PANIC_EXIT_FAILURE, VM_BY_GUEST_PANIC);
	vm_stop(vm, VM_PANICKED);
}

const char *const vm_watchdog_words[] = {
	"reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi", NULL
};

static void act(struct vm *vm, enum machine_request what);

static void watchdog(struct vm *vm)
{
	struct value *v = val_dict();

	val_add_str(v, "action", vm_watchdog_words[vm->watchdog]);
	qmp_event(vm, "WATCHDOG", v);
	switch (vm->watchdog) {
	case VM_WATCHDOG_RESET:
		act(vm, MACHINE_RESET);
		break;
	case VM_WATCHDOG_SHUTDOWN:
		vm_powerdown(vm);
		break;
	case VM_WATCHDOG_POWEROFF:
		vm_quit(vm, 0, VM_BY_GUEST_SHUTDOWN);
		break;
	case VM_WATCHDOG_PAUSE:
		vm_stop(vm, VM_WATCHDOG);
		break;
	case VM_WATCHDOG_DEBUG:
		warn("the watchdog has given the guest up; it goes on (-watchdog-action debug)");
		break;
	case VM_WATCHDOG_NMI:
		vm_nmi(vm);
		break;
	case VM_WATCHDOG_NONE:
		break;
	}
}

static void act(struct vm *vm, enum machine_request what)
{
	switch (what) {
	case MACHINE_RESET:
		if (vm->no_reboot)
			power_off(vm, VM_SHUTDOWN, VM_BY_GUEST_RESET);
		else
			vm_reset(vm, VM_BY_GUEST_RESET);
		break;
	case MACHINE_POWEROFF:
		power_off(vm, VM_SHUTDOWN, VM_BY_GUEST_SHUTDOWN);
		break;
	case MACHINE_PANIC:
		panic(vm);
		break;
	case MACHINE_CRASH_LOADED:
		crash_event(vm, "GUEST_CRASHLOADED", "run");
		break;
	case MACHINE_SUSPEND:
		suspend(vm);
		break;
	case MACHINE_WAKEUP:
		wake_up(vm);
		break;
	case MACHINE_EXIT:
		vm_quit(vm, atomic_load(&vm->exit_status), VM_BY_GUEST_SHUTDOWN);
		break;
	case MACHINE_WATCHDOG:
		watchdog(vm);
		break;
	case MACHINE_POWERDOWN:
		vm_powerdown(vm);
		break;
	case MACHINE_IO_ERROR:
		if (vm_running(vm))
			vm_stop(vm, VM_IO_ERROR);
		break;
	}
}

static void act_on_requests(void *opaque)
{
	struct vm *vm = opaque;
	unsigned asked = atomic_exchange(&vm->asked, 0);

	for (int what = 0; asked >> what; what++)
		if (asked >> what & 1)
			act(vm, (enum machine_request)what);
	vm_release(vm);
}

/* The guest or a device asks: machine lock held, any thread. */
static void on_request(void *opaque, enum machine_request what, int arg)
{
	struct vm *vm = opaque;

	if (what == MACHINE_EXIT)
		atomic_store(&vm->exit_status, arg);
	atomic_fetch_or(&vm->asked, 1u << what);
	if (what != MACHINE_POWERDOWN && what != MACHINE_WAKEUP)
		ask_to_park(vm);
	loop_call(vm->loop, act_on_requests, vm);
}

/* A device tells: machine lock held, any thread. */
static void on_event(void *opaque, const char *name, struct value *data)
{
	qmp_event(opaque, name, data);
}

/* ---- snapshots ---- */

static bool time_runs(const struct vm *vm)
{
	return vm_running(vm) || vm->status == VM_SUSPENDED;
}

void vm_freeze(struct vm *vm)
{
	vm_hold(vm);
	drive_drain(vm->m, NULL);
	if (time_runs(vm)) {
		stop_time(vm);
		clock_settle(&vm->m->clock);
	}
	vm->saved_suspended = vm->status == VM_SUSPENDED || vm->asleep;
}

void vm_loaded(struct vm *vm)
{
	if (vm->saved_suspended && vm_running(vm))
		set_status(vm, VM_SUSPENDED);
	else if (!vm->saved_suspended && vm->status == VM_SUSPENDED)
		set_status(vm, VM_RUNNING);
	else if (vm->status != VM_RUNNING && vm->status != VM_SUSPENDED)
		set_status(vm, VM_PAUSED);
	vm->asleep = vm->saved_suspended && vm->status == VM_PAUSED;
	atomic_store(&vm->asked, 0);	/* by a guest that is no more */
	net_announce_all(vm->m);
}

void vm_thaw(struct vm *vm)
{
	if (time_runs(vm))
		start_time(vm);
	vm_release(vm);
}

/* ---- life ---- */

static const struct state saved_table[] = { STATE(vm, saved_suspended), { 0 } };

bool vm_init(struct vm *vm, struct cpu **cpus, int ncpus, struct err *e)
{
	vm->vcpus = calloc((size_t)ncpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return err_set(e, "out of memory");
	vm->ncpus = ncpus;
	vm->status = VM_PRELAUNCH;
	vm->hold = true;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	for (int i = 0; i < ncpus; i++) {
		vm->vcpus[i] = (struct vcpu){ .vm = vm, .cpu = cpus[i] };
		cpus[i]->ops = vm->ops;
	}
	vm->saved = (struct saved_part){ .name = "run", .version = 1, .table = saved_table, .base = vm };
	machine_add_saved(vm->m, &vm->saved);
	tsc_hold(vm->m->phys);		/* until the first cont */
	vm->m->on_request = on_request;
	vm->m->request_opaque = vm;
	vm->m->on_event = on_event;
	vm->m->event_opaque = vm;
	return true;
}

static bool start_thread(struct vcpu *v, struct err *e)
{
	char name[16];
	int r = pthread_create(&v->thread, NULL, vcpu_thread, v);

	if (r)
		return err_set(e, "cannot start a thread for processor %d", v->cpu->index);
	v->started = true;
	pthread_getcpuclockid(v->thread, &v->cpu->thread_clock);
	snprintf(name, sizeof(name), "cpu %d", v->cpu->index);
	pthread_setname_np(v->thread, name);
	return true;
}

bool vm_launch(struct vm *vm, struct err *e)
{
	for (int i = 0; i < vm->ncpus; i++)
		if (!start_thread(&vm->vcpus[i], e))
			return false;
	wait_parked(vm);
	for (int i = 0; i < vm->ncpus; i++) {
		if (vm->vcpus[i].failed) {
			*e = vm->vcpus[i].err;
			return err_prefix(e, "%s", vm->ops->name);
		}
	}
	return true;
}

void vm_fini(struct vm *vm)
{
	if (!vm->vcpus)
		return;
	machine_del_saved(vm->m, &vm->saved);
	ask_to_park(vm);
	wait_parked(vm);		/* none tells another of code when that one's translator has gone */
	pthread_mutex_lock(&vm->lock);
	vm->quit = true;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	timer_del(&vm->input.release);
	free(vm->boot_set);
	commands_close_fds(vm);
	qmp_forget_events(vm);
	for (int i = 0; i < vm->ncpus; i++)
		if (vm->vcpus[i].started)
			pthread_join(vm->vcpus[i].thread, NULL);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
	free(vm->vcpus);
	vm->vcpus = NULL;
}
