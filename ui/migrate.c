/*
 * The machine's state to a file or another program. A file is written beside its place,
 * made permanent, and renamed, so what stands there is complete, whatever happens to the
 * program. To others a thread connects before the machine is looked at.
 */
#include "ui/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/value.h"
#include "hw/core/bus.h"
#include "hw/core/loop.h"
#include "ui/channel.h"
#include "ui/vm.h"

struct migrate_out {
	struct vm *vm;
	char *uri;
	int fd;				/* of a file */
	char *path, *temp;
	struct channel *c;		/* or the way to others */
	pthread_t thread;
	bool connecting, live, connected;
	struct err err;
	void (*done)(void *opaque, bool ok, const struct err *e);
	void *opaque;
};

void migrate_tell(struct vm *vm, enum save_state state)
{
	struct value *v;

	if (!vm->migration.events)
		return;
	v = val_dict();
	val_add_str(v, "status", save_state_word(state));
	machine_event(vm->m, "MIGRATION", v);
}

static void set_state(struct vm *vm, enum save_state state)
{
	vm->migration.out_state = state;
	migrate_tell(vm, state);
}

static void out_free(struct migrate_out *o)
{
	if (o->fd >= 0)
		close(o->fd);
	channel_free(o->c);
	free(o->path);
	free(o->temp);
	free(o->uri);
	free(o);
}

static void over(struct migrate_out *o, bool ok, const struct err *e)
{
	struct vm *vm = o->vm;
	bool cancelled = vm->migration.out_state == SAVE_CANCELLING;

	vm->migration.out = NULL;
	vm->migration.out_err = *e;
	set_state(vm, ok ? SAVE_COMPLETED : cancelled ? SAVE_CANCELLED : SAVE_FAILED);
	o->done(o->opaque, ok, e);
	out_free(o);
}

/* ---- files ---- */

static bool file_write(void *opaque, const void *p, size_t n, struct err *e)
{
	const struct migrate_out *o = opaque;

	while (n) {
		ssize_t k = write(o->fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_errno(e, "writing");
		p = (const char *)p + k;
		n -= (size_t)k;
	}
	return true;
}

static bool file_sync(void *opaque, struct err *e)
{
	return !fsync(((struct migrate_out *)opaque)->fd) || err_errno(e, "writing");
}

static bool file_commit(void *opaque, struct err *e)
{
	struct migrate_out *o = opaque;

	return file_sync(o, e) && (!rename(o->temp, o->path) || err_errno(e, "renaming"));
}

static bool file_open(struct migrate_out *o, struct err *e)
{
	o->path = strdup(o->uri + 5);
	if (!o->path || asprintf(&o->temp, "%s.XXXXXX", o->path) < 0) {
		o->temp = NULL;
		return err_set(e, "no memory");
	}
	o->fd = mkostemp(o->temp, O_CLOEXEC);
	return o->fd >= 0 || err_errno(e, "'%s'", o->temp);
}

/* ---- others ---- */

/* While the machine stands for it, the other side has half a minute for each piece. */
static bool channel_sink(void *opaque, const void *p, size_t n, struct err *e)
{
	struct migrate_out *o = opaque;

	channel_set_patient(o->c, save_has_time(o->vm));
	return channel_write(o->c, p, n, e);
}

static bool channel_commit(void *opaque, struct err *e)
{
	return channel_finish(((struct migrate_out *)opaque)->c, e);
}

static void saved(void *opaque, bool ok, const struct err *e)
{
	struct migrate_out *o = opaque;
	struct err with = *e;

	if (!ok && o->temp)
		unlink(o->temp);
	if (!ok)
		err_prefix(&with, "'%s'", o->path ? o->path : o->uri);
	over(o, ok, &with);
}

static bool save(struct migrate_out *o, struct err *e)
{
	const struct migration *m = &o->vm->migration;
	struct save s = {
		.sink = { o->c ? channel_sink : file_write, o }, .sync = o->c ? NULL : file_sync,
		.commit = o->c ? channel_commit : file_commit, .done = saved, .opaque = o, .stays = true,
		.rate = m->max_bandwidth, .downtime_ms = m->downtime_ms,
	};

	set_state(o->vm, SAVE_ACTIVE);
	return save_start(o->vm, &s, o->live, e);
}

static void connected(void *opaque)
{
	struct migrate_out *o = opaque;
	struct err e;

	if (o->vm->migration.out != o || !o->connecting)	/* abandoned */
		return;
	pthread_join(o->thread, NULL);
	o->connecting = false;
	e = o->err;
	if (!o->connected || !save(o, &e))
		over(o, false, &e);
}

static void *connect_thread(void *opaque)
{
	struct migrate_out *o = opaque;

	o->connected = channel_connect(o->c, &o->err);
	loop_call(o->vm->loop, connected, o);
	return NULL;
}

static bool start(struct migrate_out *o, struct err *e)
{
	if (!strncmp(o->uri, "file:", 5) && o->uri[5])
		return file_open(o, e) && save(o, e);
	o->c = channel_new(o->vm, o->uri, false, e);
	if (!o->c)
		return false;
	if (!o->live)
		return channel_connect(o->c, e) && save(o, e);
	o->connecting = !pthread_create(&o->thread, NULL, connect_thread, o);
	return o->connecting || err_set(e, "cannot start a thread");
}

/* ---- from outside ---- */

bool migrate_out(struct vm *vm, const char *uri, bool live,
		 void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e)
{
	struct migrate_out *o;

	if (vm->migration.out || save_busy(vm))
		return err_set(e, "the machine is being saved already");
	if (vm->status == VM_INMIGRATE)
		return err_set(e, "the guest is waiting for an incoming migration");
	o = calloc(1, sizeof(*o));
	if (o)
		*o = (struct migrate_out){ .vm = vm, .fd = -1, .live = live, .done = done, .opaque = opaque, .uri = strdup(uri) };
	if (!o || !o->uri) {
		free(o);
		return err_set(e, "no memory");
	}
	vm->migration.out = o;
	vm->migration.out_err.msg[0] = 0;
	vm->saved_stats = (struct save_stats){ 0 };
	set_state(vm, SAVE_SETUP);
	if (start(o, e))
		return true;
	if (o->temp)
		unlink(o->temp);
	vm->migration.out = NULL;
	vm->migration.out_err = *e;
	set_state(vm, SAVE_FAILED);
	out_free(o);
	return false;
}

void migrate_cancel(struct vm *vm)
{
	struct migrate_out *o = vm->migration.out;

	save_cancel(vm);
	if (!o || vm->migration.out_state == SAVE_CANCELLING)
		return;
	if (o->c)
		channel_cancel(o->c);
	set_state(vm, SAVE_CANCELLING);
}

void migrate_out_abandon(struct vm *vm)
{
	struct migrate_out *o = vm->migration.out;
	struct err e = { "cancelled" };

	if (!o)
		return;
	migrate_cancel(vm);
	if (!o->connecting)
		return;			/* save_abandon() ends it */
	machine_unlock(vm->m);
	pthread_join(o->thread, NULL);
	machine_lock(vm->m);
	o->connecting = false;
	over(o, false, &e);
}
