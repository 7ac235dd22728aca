/*
 * Snapshots in files. A file is written beside its place, made permanent, and renamed, so
 * what stands there is complete, whatever happens to the program.
 *
 * Not modelled: exec:, tcp:, unix: and fd:, which cannot be read twice; -incoming defer.
 */
#include "ui/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/value.h"
#include "hw/core/bus.h"
#include "hw/core/snapshot.h"
#include "ui/snapshot.h"
#include "ui/vm.h"

static const char *path_of(const char *uri, struct err *e)
{
	if (!strncmp(uri, "file:", 5) && uri[5])
		return uri + 5;
	err_set(e, "'%s': expected file:PATH", uri);
	return NULL;
}

/* ---- files ---- */

static bool fd_write(void *opaque, const void *p, size_t n, struct err *e)
{
	int fd = *(int *)opaque;

	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_errno(e, "writing");
		p = (const char *)p + k;
		n -= (size_t)k;
	}
	return true;
}

static bool fd_read(void *opaque, uint64_t at, void *p, size_t n, struct err *e)
{
	int fd = *(int *)opaque;

	while (n) {
		ssize_t k = pread(fd, p, n, (off_t)at);

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

/* ---- out ---- */

struct out {
	struct vm *vm;
	int fd;
	char *path, *temp;
	void (*done)(void *opaque, bool ok, const struct err *e);
	void *opaque;
};

static void out_free(struct out *o)
{
	if (o->fd >= 0)
		close(o->fd);
	free(o->path);
	free(o->temp);
	free(o);
}

static bool sync_file(void *opaque, struct err *e)
{
	return !fsync(((struct out *)opaque)->fd) || err_errno(e, "writing");
}

static bool make_good(void *opaque, struct err *e)
{
	struct out *o = opaque;

	return sync_file(o, e) && (!rename(o->temp, o->path) || err_errno(e, "renaming"));
}

/* For programs that asked to be told. */
static void tell(struct vm *vm, const char *status)
{
	struct value *v;

	if (!vm->migration_events)
		return;
	v = val_dict();
	val_add_str(v, "status", status);
	machine_event(vm->m, "MIGRATION", v);
}

static void saved(void *opaque, bool ok, const struct err *e)
{
	struct out *o = opaque;
	struct err with = *e;

	if (!ok) {
		unlink(o->temp);
		err_prefix(&with, "'%s'", o->path);
	}
	tell(o->vm, ok ? "completed" : "failed");
	o->done(o->opaque, ok, &with);
	out_free(o);
}

static bool start(struct vm *vm, struct out *o, bool live, struct err *e)
{
	struct save save = {
		.sink = { fd_write, &o->fd }, .sync = sync_file, .commit = make_good, .done = saved, .opaque = o, .stays = true,
	};

	if (!o->path || asprintf(&o->temp, "%s.XXXXXX", o->path) < 0) {
		o->temp = NULL;
		return err_set(e, "no memory");
	}
	o->fd = mkostemp(o->temp, O_CLOEXEC);
	if (o->fd < 0)
		return err_errno(e, "'%s'", o->temp);
	if (save_start(vm, &save, live, e))
		return true;
	unlink(o->temp);
	return false;
}

bool migrate_out(struct vm *vm, const char *uri, bool live,
		 void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e)
{
	const char *path = path_of(uri, e);
	struct out *o = path ? calloc(1, sizeof(*o)) : NULL;

	if (!o)
		return path ? err_set(e, "no memory") : false;
	*o = (struct out){ .vm = vm, .fd = -1, .path = strdup(path), .done = done, .opaque = opaque };
	tell(vm, "active");
	if (start(vm, o, live, e))
		return true;
	tell(vm, "failed");
	out_free(o);
	return false;
}

/* ---- in ---- */

static bool load(struct vm *vm, int fd, bool *touched, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "reading");
	struct snapshot_source src = { fd_read, &fd, (uint64_t)st.st_size };
	return snapshot_become(vm, &src, NULL, NULL, touched, e);
}

bool migrate_in(struct vm *vm, const char *uri, bool *touched, struct err *e)
{
	const char *path = path_of(uri, e);

	*touched = false;
	if (save_busy(vm))
		return err_set(e, "the machine is being saved");
	if (!path)
		return false;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "'%s'", path);
	bool ok = load(vm, fd, touched, e);
	close(fd);
	return ok || err_prefix(e, "'%s'", path);
}
