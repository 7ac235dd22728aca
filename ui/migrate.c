/*
 * Snapshots in files. A file is written beside its place, made permanent, and renamed, so
 * what stands there is complete, whatever happens to the program.
 */
#include "ui/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool save(struct vm *vm, int fd, struct err *e)
{
	struct snapshot_sink sink = { fd_write, &fd };
	struct snapshot_out *o;
	bool ok;

	vm_freeze(vm);
	o = snapshot_begin(vm->m, &sink, e);
	ok = o && snapshot_ram(o, e) && snapshot_end(o, e);
	snapshot_out_free(o);
	vm_thaw(vm);
	return ok && (!fsync(fd) || err_errno(e, "writing"));
}

bool migrate_out(struct vm *vm, const char *uri, struct err *e)
{
	const char *path = path_of(uri, e);
	char *temp;

	if (!path)
		return false;
	if (asprintf(&temp, "%s.XXXXXX", path) < 0)
		return err_set(e, "no memory");
	int fd = mkostemp(temp, O_CLOEXEC);
	bool ok = fd >= 0 || err_errno(e, "'%s'", temp);
	ok = ok && save(vm, fd, e) && (!rename(temp, path) || err_errno(e, "'%s'", path));
	if (!ok && fd >= 0) {
		unlink(temp);
		err_prefix(e, "'%s'", path);
	}
	if (fd >= 0)
		close(fd);
	free(temp);
	if (ok)
		vm_stop(vm, VM_POSTMIGRATE);
	return ok;
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
	if (!path)
		return false;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "'%s'", path);
	bool ok = load(vm, fd, touched, e);
	close(fd);
	return ok || err_prefix(e, "'%s'", path);
}
