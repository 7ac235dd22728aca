/*
 * Saving while the guest goes on.
 *
 *	loop	 vCPUs held: tracking begins; they go on
 *	thread	 all of memory; then what changed, until that is little or does not get less
 *	loop	 machine frozen: what changed last, small memories, devices; commit; it goes on
 */
#include "ui/save.h"

#include <pthread.h>
#include <stdlib.h>

#include "hw/backend/drive.h"
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
	bool ok;
	struct err err;
};

static uint64_t host_now(const struct vm *vm)
{
	return clock_now(loop_host_clock(vm->loop));
}

static bool checked_write(void *opaque, const void *p, size_t n, struct err *e)
{
	struct save_run *r = opaque;

	if (atomic_load(&r->cancel))
		return err_set(e, "cancelled");
	return r->s.sink.write(r->s.sink.opaque, p, n, e);
}

/* ---- at rest ---- */

static bool last_round(struct save_run *r)
{
	struct err *e = &r->err;

	snapshot_take_changed(r->o, true);
	return snapshot_put_changed(r->o, e) && snapshot_ram_rest(r->o, e);
}

static void finish(struct save_run *r, bool live)
{
	struct vm *vm = r->vm;
	struct save_stats *st = &vm->saved_stats;
	struct save s = r->s;
	struct err err;

	uint64_t begun = host_now(vm);
	vm_freeze(vm);
	r->ok = r->ok && drive_can_save(vm->m, &r->err) && (live ? last_round(r) : snapshot_ram(r->o, &r->err)) && snapshot_end(r->o, &r->err)
		&& (!s.commit || s.commit(s.opaque, &r->err));
	if (r->o)
		snapshot_stats(r->o, &st->out);
	snapshot_out_free(r->o);
	if (r->ok && s.stays)
		vm_stop(vm, VM_POSTMIGRATE);
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
		if (!snapshot_put_changed(r->o, &r->err) || !sync_now(r))
			return false;
		if (n <= FEW_PAGES || n > before / 4 * 3)
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
	if (ok && pthread_create(&r->thread, NULL, thread, r))
		return err_set(&r->err, "cannot start a thread");
	if (ok)
		pthread_setname_np(r->thread, "save");
	return ok;
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
	live = live && vm_running(vm);
	if (r->ok && live && start_thread(r))
		return true;
	r->ok = r->ok && !live;
	finish(r, false);
	return true;
}

void save_cancel(struct vm *vm)
{
	if (vm->saving)
		atomic_store(&vm->saving->cancel, true);
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
	if (r->ok)
		r->ok = err_set(&r->err, "cancelled");
	finish(r, true);
}
