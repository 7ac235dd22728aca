/*
 * The machine's state from a file or another program. Everything is checked before the
 * machine is touched, so what comes as a stream goes to a file without a name first; a
 * thread waits for it.
 *
 * Not modelled: an answer to the side that sends. If the state is refused here, the machine
 * over there stands as it was and can go on.
 */
#include "ui/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/core/bus.h"
#include "hw/core/loop.h"
#include "hw/core/snapshot.h"
#include "ui/channel.h"
#include "ui/snapshot.h"
#include "ui/vm.h"

struct source {
	int fd;
	uint64_t base;
};

struct migrate_in {
	struct vm *vm;
	char *uri;
	struct channel *c;
	struct source src;
	uint64_t size;
	uint64_t most;			/* of a stream */
	bool spooled;			/* src.fd is our own */
	pthread_t thread;
	bool started, ok;
	struct err err;
	void (*done)(void *opaque, bool ok, const struct err *e);
	void *opaque;
};

static void set_state(struct vm *vm, enum save_state state)
{
	vm->migration.in_state = state;
	migrate_tell(vm, state);
}

static void in_free(struct migrate_in *in)
{
	if (in->spooled)
		close(in->src.fd);
	channel_free(in->c);
	free(in->uri);
	free(in);
}

/* ---- taking it in ---- */

static bool source_read(void *opaque, uint64_t at, void *p, size_t n, struct err *e)
{
	const struct source *s = opaque;

	while (n) {
		ssize_t k = pread(s->fd, p, n, (off_t)(s->base + at));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_errno(e, "reading");
		if (!k)
			return err_set(e, "it is cut short");
		p = (char *)p + k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return true;
}

static bool write_all(int fd, const char *p, size_t n, struct err *e)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_errno(e, "a temporary file");
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool open_spool(struct migrate_in *in, struct err *e)
{
	const char *dir = getenv("TMPDIR");

	in->src.fd = open(dir && *dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	in->spooled = in->src.fd >= 0;
	return in->spooled || err_errno(e, "a temporary file in %s", dir && *dir ? dir : "/var/tmp");
}

static bool spool(struct migrate_in *in, struct err *e)
{
	char buf[65536];
	size_t n;

	if (!open_spool(in, e))
		return false;
	while (channel_read(in->c, buf, sizeof(buf), &n, e)) {
		if (!n)
			return true;
		if ((!in->size && !snapshot_begins(buf, n, e)) || !write_all(in->src.fd, buf, n, e))
			return false;
		in->size += n;
		if (in->size > in->most)
			return err_set(e, "it is larger than this machine can be");
	}
	return false;
}

/* Any thread; patient: whoever sends may come late. */
static bool receive(struct migrate_in *in, bool patient, struct err *e)
{
	channel_set_patient(in->c, patient);
	return channel_connect(in->c, e) &&
	       (channel_is_file(in->c, &in->src.fd, &in->src.base, &in->size) || spool(in, e)) &&
	       (in->spooled ? channel_finish(in->c, e) : true);
}

static bool become(struct migrate_in *in, bool *touched, struct err *e)
{
	struct snapshot_source src = { source_read, &in->src, in->size };

	return snapshot_become(in->vm, &src, NULL, NULL, touched, e) && drive_take_back(in->vm->m, e);
}

/* ---- from outside ---- */

static struct migrate_in *in_new(struct vm *vm, const char *uri, struct err *e)
{
	struct migrate_in *in = NULL;

	if (save_busy(vm) || vm->migration.out)
		err_set(e, "the machine is being saved");
	else if (vm->migration.in)
		err_set(e, "there is an incoming migration already");
	else if (!(in = calloc(1, sizeof(*in))) || !(in->uri = strdup(uri)))
		err_set(e, "no memory");
	else if ((in->c = channel_new(vm, uri, true, e))) {
		in->vm = vm;
		in->most = snapshot_most(vm->m);
		vm->migration.in_err.msg[0] = 0;
		return in;
	}
	if (in)
		in_free(in);
	return NULL;
}

static bool settle(struct migrate_in *in, bool ok, struct err *e)
{
	struct vm *vm = in->vm;

	if (!ok)
		err_prefix(e, "'%s'", strncmp(in->uri, "file:", 5) ? in->uri : in->uri + 5);
	vm->migration.in = NULL;
	vm->migration.in_err = *e;
	set_state(vm, ok ? SAVE_COMPLETED : SAVE_FAILED);
	in_free(in);
	return ok;
}

bool migrate_in(struct vm *vm, const char *uri, bool *touched, struct err *e)
{
	struct migrate_in *in = in_new(vm, uri, e);

	*touched = false;
	if (!in)
		return false;
	set_state(vm, SAVE_ACTIVE);
	return settle(in, receive(in, false, e) && become(in, touched, e), e);
}

static void received(void *opaque)
{
	struct migrate_in *in = opaque;
	struct vm *vm = in->vm;
	bool touched, ok;
	struct err e;

	if (vm->migration.in != in)	/* abandoned */
		return;
	pthread_join(in->thread, NULL);
	void (*done)(void *, bool, const struct err *) = in->done;
	void *to = in->opaque;
	e = in->err;
	if (in->ok)
		set_state(vm, SAVE_ACTIVE);
	ok = settle(in, in->ok && become(in, &touched, &e), &e);
	done(to, ok, &e);
}

static void *thread(void *opaque)
{
	struct migrate_in *in = opaque;

	in->ok = receive(in, true, &in->err);
	loop_call(in->vm->loop, received, in);
	return NULL;
}

bool migrate_in_start(struct vm *vm, const char *uri,
		      void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e)
{
	struct migrate_in *in = in_new(vm, uri, e);

	if (!in)
		return false;
	in->done = done;
	in->opaque = opaque;
	if (pthread_create(&in->thread, NULL, thread, in)) {
		in_free(in);
		return err_set(e, "cannot start a thread");
	}
	vm->migration.in = in;
	set_state(vm, SAVE_SETUP);
	return true;
}

void migrate_in_abandon(struct vm *vm)
{
	struct migrate_in *in = vm->migration.in;
	struct err e = { "cancelled" };

	if (!in)
		return;
	channel_cancel(in->c);
	machine_unlock(vm->m);
	pthread_join(in->thread, NULL);
	machine_lock(vm->m);
	void (*done)(void *, bool, const struct err *) = in->done;
	void *to = in->opaque;
	settle(in, false, &e);
	done(to, false, &e);
}

/* ---- -incoming ---- */

static void came(void *opaque, bool ok, const struct err *e)
{
	struct vm *vm = opaque;
	struct err with = *e;

	if (ok && vm->migration.go_on)
		vm_cont(vm);
	if (ok || loop_quitting(vm->loop))
		return;
	err_prefix(&with, "-incoming");
	err_report(&with);
	vm_quit(vm, 1, VM_BY_ERROR);
}

bool migrate_in_wait(struct vm *vm, const char *uri, bool go_on, struct err *e)
{
	vm->status = VM_INMIGRATE;
	vm->migration.go_on = go_on;
	return !strcmp(uri, "defer") || migrate_in_start(vm, uri, came, vm, e);
}
