/*
 * Saving while the guest goes on.
 *
 *	loop	 vCPUs held: tracking begins; they go on
 *	thread	 all of memory; then what changed, until that is little or does not get less
 *	loop	 machine frozen: what changed last, small memories, devices; commit; it goes on,
 *		 or has gone to another program, with its disks
 */
#include "ui/save.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "ui/vm.h"

#define FEW_PAGES	512u		/* copied while the guest stands */
#define MANY_ROUNDS	12u

struct save_run {
	struct vm *vm;
	struct save s;
	struct snapshot_out *o;
	pthread_t thread;
	_Atomic bool cancel;
	bool threaded;			/* what is written now is written by the thread */
	uint64_t paced;			/* bytes written by it */
	struct {			/* for those who ask meanwhile */
		_Atomic uint64_t bytes, zero, data, round_pages, round_begun;
	} seen;
	bool ok;
	struct err err;
};

static uint64_t host_now(const struct vm *vm)
{
	return clock_now(loop_host_clock(vm->loop));
}

/* No faster than asked for, and never late to hear that it shall end. */
static void pace(struct save_run *r, size_t n)
{
	uint64_t begun = r->vm->saved_stats.started, due;

	r->paced += n;
	due = begun + (uint64_t)((double)r->paced * 1e9 / (double)r->s.rate);
	while (!atomic_load(&r->cancel) && host_now(r->vm) < due) {
		uint64_t us = (due - host_now(r->vm)) / 1000;
		usleep((useconds_t)(us < 50000 ? us + 1 : 50000));
	}
}

static void note(struct save_run *r)
{
	struct snapshot_stats st;

	if (!r->o)
		return;
	snapshot_stats(r->o, &st);
	atomic_store(&r->seen.bytes, st.bytes);
	atomic_store(&r->seen.zero, st.zero_pages);
	atomic_store(&r->seen.data, st.data_pages);
}

static bool checked_write(void *opaque, const void *p, size_t n, struct err *e)
{
	struct save_run *r = opaque;

	if (r->threaded && r->s.rate)
		pace(r, n);
	if (atomic_load(&r->cancel))
		return err_set(e, "cancelled");
	note(r);
	return r->s.sink.write(r->s.sink.opaque, p, n, e);
}

/* ---- at rest ---- */

static bool last_round(struct save_run *r)
{
	struct err *e = &r->err;

	snapshot_take_changed(r->o, true);
	return snapshot_put_changed(r->o, e) && snapshot_ram_rest(r->o, e);
}

/* The other program opens the disks when it has read the end. */
static bool give_disks(struct save_run *r)
{
	return !r->s.stays || drive_let_go(r->vm->m, &r->err);
}

/* Nobody else has taken them, or the machine waits for `cont`, which tries again. */
static void keep_disks(struct save_run *r)
{
	struct err e;

	if (!r->s.stays || drive_take_back(r->vm->m, &e))
		return;
	err_report(&e);
	vm_stop(r->vm, VM_POSTMIGRATE);
}

static void finish(struct save_run *r, bool live)
{
	struct vm *vm = r->vm;
	struct save_stats *st = &vm->saved_stats;
	struct save s = r->s;
	struct err err;

	uint64_t begun = host_now(vm);
	vm_freeze(vm);
	r->ok = r->ok && drive_can_save(vm->m, &r->err) && machine_can_save(vm->m, &r->err) && (live ? last_round(r) : snapshot_ram(r->o, &r->err)) &&
		give_disks(r) && snapshot_end(r->o, &r->err) && (!s.commit || s.commit(s.opaque, &r->err));
	if (r->o)
		snapshot_stats(r->o, &st->out);
	snapshot_out_free(r->o);
	if (r->ok && s.stays)
		vm_stop(vm, VM_POSTMIGRATE);
	else
		keep_disks(r);
	vm_thaw(vm);
	st->pause_ns = host_now(vm) - begun;
	st->total_ns = host_now(vm) - st->started;
	st->state = r->ok ? SAVE_COMPLETED : atomic_load(&r->cancel) ? SAVE_CANCELLED : SAVE_FAILED;
	st->err = err = r->err;
	bool ok = r->ok;
	vm->saving = NULL;
	free(r);
	s.done(s.opaque, ok, &err);
}

/* ---- meanwhile ---- */

static bool sync_now(struct save_run *r)
{
	return !r->s.sync || r->s.sync(r->s.opaque, &r->err);
}

/* How many pages may be left for the time when the guest stands, at the speed there was so far. */
static uint64_t few_pages(const struct save_run *r)
{
	uint64_t ms = (host_now(r->vm) - r->vm->saved_stats.started) / NS_PER_MS + 1;
	uint64_t done = atomic_load(&r->seen.zero) + atomic_load(&r->seen.data);

	return r->s.downtime_ms ? done * r->s.downtime_ms / ms : FEW_PAGES;
}

static void begin_round(struct save_run *r, uint64_t pages)
{
	atomic_store(&r->seen.round_begun, atomic_load(&r->seen.zero) + atomic_load(&r->seen.data));
	atomic_store(&r->seen.round_pages, pages);
}

static bool rounds(struct save_run *r)
{
	struct save_stats *st = &r->vm->saved_stats;
	uint64_t before = UINT64_MAX;

	if (!snapshot_put_tracked(r->o, &r->err) || !sync_now(r))
		return false;
	for (st->rounds = 1; st->rounds < MANY_ROUNDS; st->rounds++) {
		machine_lock(r->vm->m);
		uint64_t n = snapshot_take_changed(r->o, false);
		machine_unlock(r->vm->m);
		begin_round(r, n);
		if (!snapshot_put_changed(r->o, &r->err) || !sync_now(r))
			return false;
		if (n <= few_pages(r) || n > before / 4 * 3 || snapshot_enough(r->o))
			break;
		before = n;
	}
	return true;
}

static void finish_on_loop(void *opaque)
{
	struct save_run *r = opaque;

	if (r->vm->saving != r)		/* abandoned */
		return;
	pthread_join(r->thread, NULL);
	r->threaded = false;
	finish(r, true);
}

static void *thread(void *opaque)
{
	struct save_run *r = opaque;

	r->ok = rounds(r);
	loop_call(r->vm->loop, finish_on_loop, r);
	return NULL;
}

static bool start_thread(struct save_run *r)
{
	bool ok;

	vm_hold(r->vm);
	ok = snapshot_track(r->o, &r->err);
	vm_release(r->vm);
	if (!ok)
		return false;
	r->threaded = true;
	begin_round(r, r->vm->saved_stats.out.ram_total / 4096);
	if (pthread_create(&r->thread, NULL, thread, r)) {
		r->threaded = false;
		return err_set(&r->err, "cannot start a thread");
	}
	pthread_setname_np(r->thread, "save");
	return true;
}

/* ---- from outside ---- */

bool save_busy(const struct vm *vm)
{
	return vm->saving;
}

bool save_start(struct vm *vm, const struct save *s, bool live, struct err *e)
{
	struct save_run *r = save_busy(vm) ? NULL : calloc(1, sizeof(*r));
	struct snapshot_sink sink = { checked_write, r };

	if (!r)
		return err_set(e, save_busy(vm) ? "the machine is being saved already" : "no memory");
	r->vm = vm;
	r->s = *s;
	vm->saving = r;
	vm->saved_stats = (struct save_stats){ .state = SAVE_ACTIVE, .started = host_now(vm) };
	r->o = snapshot_begin(vm->m, &sink, &r->err);
	r->ok = r->o != NULL;
	if (r->ok)
		snapshot_stats(r->o, &vm->saved_stats.out);
	if (r->ok && live && start_thread(r))
		return true;
	r->ok = r->ok && !live;
	finish(r, false);
	return true;
}

void save_cancel(struct vm *vm)
{
	if (!vm->saving)
		return;
	atomic_store(&vm->saving->cancel, true);
	vm->saved_stats.state = SAVE_CANCELLING;
}

bool save_has_time(const struct vm *vm)
{
	return vm->saving && vm->saving->threaded;
}

const char *save_state_word(enum save_state s)
{
	static const char *const words[] = {
		[SAVE_NONE] = "none", [SAVE_SETUP] = "setup", [SAVE_ACTIVE] = "active", [SAVE_CANCELLING] = "cancelling",
		[SAVE_COMPLETED] = "completed", [SAVE_FAILED] = "failed", [SAVE_CANCELLED] = "cancelled",
	};

	return words[s];
}

struct save_stats save_progress(const struct vm *vm, uint64_t *left)
{
	struct save_run *r = vm->saving;
	struct save_stats st = vm->saved_stats;

	*left = 0;
	if (!r)
		return st;
	st.total_ns = host_now(vm) - st.started;
	st.out.bytes = atomic_load(&r->seen.bytes);
	st.out.zero_pages = atomic_load(&r->seen.zero);
	st.out.data_pages = atomic_load(&r->seen.data);
	uint64_t done = st.out.zero_pages + st.out.data_pages - atomic_load(&r->seen.round_begun);
	uint64_t all = atomic_load(&r->seen.round_pages);
	*left = done < all ? (all - done) * 4096 : 0;
	return st;
}

void save_abandon(struct vm *vm)
{
	struct save_run *r = vm->saving;

	if (!r)
		return;
	save_cancel(vm);
	machine_unlock(vm->m);
	pthread_join(r->thread, NULL);
	machine_lock(vm->m);
	r->threaded = false;
	if (r->ok)
		r->ok = err_set(&r->err, "cancelled");
	finish(r, true);
}
