/*
 * A folder of the host for guests. Nothing here follows a symbolic link or a path out of
 * the folder: openat2() refuses to. What a path led to is reached again through
 * /proc/self/fd, so that it cannot be something else by then.
 *
 * Not modelled: POSIX access control lists in mapped folders; special treatment of file
 * systems mounted inside the folder.
 * Source: Linux man-pages, openat2(2), open(2) (O_PATH), symlink(7).
 */
#include "hw/backend/share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "hw/backend/workers.h"
#include "hw/core/bus.h"

#define KIND		"fsdev"
#define MAPPED_FILE	0600
#define MAPPED_FOLDER	0700
#define N_WORKERS	8
#define MANY_FILES	65536
#define KEPT_FILES	128		/* that no guest gets: monitors, displays and disks need some, too */

/* A descriptor that a guest has open: what open() gave, or -errno. */
static int granted(int fd)
{
	struct rlimit r;

	if (fd < 0)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &r) || (rlim_t)fd + KEPT_FILES < r.rlim_cur)
		return fd;
	close(fd);
	return -EMFILE;
}

/* ---- life ---- */

static int walk(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return granted((int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how)));
}

static void free_share(struct share *s)
{
	workers_free(s->workers);
	if (s->root >= 0)
		close(s->root);
	free(s->id);
	free(s->path);
	free(s);
}

static bool open_root(struct share *s, struct err *e)
{
	s->root = open(s->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return err_errno(e, "path=%s", s->path);
	int fd = walk(s->root, "");
	if (fd == -ENOSYS)
		return err_set(e, "path=%s: sharing folders needs Linux 5.6 or newer (openat2)", s->path);
	if (fd < 0)
		return err_set(e, "path=%s: %s", s->path, strerror(-fd));
	struct share_fd_path p = share_fd_path(fd);
	bool proc = !access(p.text, F_OK);
	close(fd);
	return proc || err_set(e, "path=%s: sharing folders needs /proc", s->path);
}

/* What a guest has open is open here. */
static void allow_many_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= MANY_FILES || r.rlim_cur >= r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max < MANY_FILES ? r.rlim_max : MANY_FILES;
	setrlimit(RLIMIT_NOFILE, &r);
}

struct share *share_new(struct machine *m, const struct share_options *o, struct err *e)
{
	if (share_find(m, o->id)) {
		err_set(e, "there is a folder '%s' already", o->id);
		return NULL;
	}
	struct share *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(e, "no memory for a folder");
		return NULL;
	}
	*s = (struct share){ .id = strdup(o->id), .path = strdup(o->path), .model = o->model, .readonly = o->readonly };
	s->root = -1;
	s->workers = workers_new(m, "share", N_WORKERS);
	allow_many_files();
	if (!s->workers || !open_root(s, e)) {
		free_share(s);
		return NULL;
	}
	machine_add_backend(m, KIND, s->id, s);
	return s;
}

struct share *share_find(struct machine *m, const char *id)
{
	return machine_find_backend(m, KIND, id);
}

void share_free_all(struct machine *m)
{
	for (struct backend *b = m->backends, *next; b; b = next) {
		struct share *s = b->p;
		next = b->next;
		if (strcmp(b->kind, KIND))
			continue;
		machine_del_backend(m, KIND, s->id);
		free_share(s);
	}
}

/* ---- names ---- */

int share_walk(const struct share *s, const char *path)
{
	return walk(s->root, path);
}

bool share_name_is_good(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..") && strlen(name) <= NAME_MAX;
}

/* ---- what a descriptor stands for ---- */

static int result(int r)
{
	return r < 0 ? -errno : r;
}

static bool mapped(const struct share *s)
{
	return s->model == SHARE_MAPPED;
}

int share_stat(const struct share *s, int fd, struct stat *st)
{
	if (fstat(fd, st))
		return -errno;
	if (mapped(s) && !S_ISLNK(st->st_mode))
		share_map_stat(fd, st);
	return 0;
}

int share_open(const struct share *s, int fd, int flags)
{
	struct share_fd_path p = share_fd_path(fd);
	struct stat st;

	if (s->readonly && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
		return -EROFS;
	if (fstat(fd, &st))
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	/* Opening anything else would do something. */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return -ENXIO;
	return granted(open(p.text, (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECT)) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
}

int share_readlink(const struct share *s, int fd, char *buf, size_t n)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISLNK(st.st_mode))
		return result((int)readlinkat(fd, "", buf, n));
	if (!mapped(s) || share_stat(s, fd, &st) || !S_ISLNK(st.st_mode))
		return -EINVAL;
	/* The file's contents are where it leads. */
	int file = share_open(s, fd, O_RDONLY);
	if (file < 0)
		return file;
	int r = result((int)pread(file, buf, n, 0));
	close(file);
	return r;
}

int share_chmod(const struct share *s, int fd, mode_t mode)
{
	struct share_fd_path p = share_fd_path(fd);
	struct stat st;

	if (s->readonly)
		return -EROFS;
	if (!mapped(s))
		return result(chmod(p.text, mode & 07777));
	if (share_stat(s, fd, &st))
		return -errno;
	return share_map_set(fd, &(struct share_map){ .has_mode = true, .mode = (st.st_mode & S_IFMT) | (mode & 07777) });
}

/* What may fail under SHARE_NONE. */
static int owner_result(const struct share *s, int r)
{
	return r == -EPERM && s->model == SHARE_NONE ? 0 : r;
}

int share_chown(const struct share *s, int fd, uid_t uid, gid_t gid)
{
	const struct share_map m = {
		.has_uid = uid != (uid_t)-1, .uid = uid, .has_gid = gid != (gid_t)-1, .gid = gid,
	};

	if (s->readonly)
		return -EROFS;
	if (mapped(s))
		return share_map_set(fd, &m);
	return owner_result(s, result(fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)));
}

int share_truncate(const struct share *s, int fd, off_t size)
{
	struct share_fd_path p = share_fd_path(fd);

	return s->readonly ? -EROFS : result(truncate(p.text, size));
}

int share_set_times(const struct share *s, int fd, const struct timespec t[2])
{
	struct share_fd_path p = share_fd_path(fd);

	return s->readonly ? -EROFS : result(utimensat(AT_FDCWD, p.text, t, 0));
}

/* ---- extended attributes ---- */

/* Of a mapped folder the guest has those that any user may set, and not ours. */
static bool may_have(const struct share *s, const char *name)
{
	return !mapped(s) || (!strncmp(name, "user.", 5) && !share_map_hides(name));
}

static ssize_t xresult(ssize_t r)
{
	return r < 0 ? -errno : r;
}

ssize_t share_xattr_get(const struct share *s, int fd, const char *name, void *buf, size_t n)
{
	struct share_fd_path p = share_fd_path(fd);

	return may_have(s, name) ? xresult(getxattr(p.text, name, buf, n)) : -EOPNOTSUPP;
}

ssize_t share_xattr_list(const struct share *s, int fd, char *buf, size_t n)
{
	struct share_fd_path p = share_fd_path(fd);
	ssize_t all = xresult(listxattr(p.text, buf, n)), kept = 0;

	for (ssize_t at = 0, k; at < all; at += k) {
		k = (ssize_t)strlen(buf + at) + 1;
		if (!may_have(s, buf + at))
			continue;
		memmove(buf + kept, buf + at, (size_t)k);
		kept += k;
	}
	return all < 0 ? all : kept;
}

int share_xattr_set(const struct share *s, int fd, const char *name, const void *buf, size_t n, int flags)
{
	struct share_fd_path p = share_fd_path(fd);

	if (s->readonly)
		return -EROFS;
	return may_have(s, name) ? result(setxattr(p.text, name, buf, n, flags)) : -EOPNOTSUPP;
}

int share_xattr_remove(const struct share *s, int fd, const char *name)
{
	struct share_fd_path p = share_fd_path(fd);

	if (s->readonly)
		return -EROFS;
	return may_have(s, name) ? result(removexattr(p.text, name)) : -EOPNOTSUPP;
}

/* ---- names in a folder ---- */

/* The new thing gets its owner, and under SHARE_MAPPED all that the host's file does not say. */
static int own(const struct share *s, int fd, mode_t mode, dev_t dev, struct share_owner o)
{
	const struct share_map m = {
		.has_uid = true, .uid = o.uid, .has_gid = true, .gid = o.gid, .has_mode = true, .mode = mode,
		.has_rdev = S_ISCHR(mode) || S_ISBLK(mode), .rdev = dev,
	};

	if (mapped(s))
		return share_map_set(fd, &m);
	int r = owner_result(s, result(fchownat(fd, "", o.uid, o.gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)));
	/* This program's umask has taken bits away, and the change of owner others. */
	if (!r && !S_ISLNK(mode))
		r = share_chmod(s, fd, mode);
	return r;
}

/* The name was made; give it its owner, or take it away again. */
static int own_name(const struct share *s, int dir, const char *name, mode_t mode, dev_t dev, struct share_owner o)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = own(s, fd, mode, dev, o);
	close(fd);
	if (r)
		unlinkat(dir, name, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
	return r;
}

int share_create(const struct share *s, int dir, const char *name, int flags, mode_t mode, struct share_owner o)
{
	int access = flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_DIRECT | O_DIRECTORY | O_PATH);
	int fd, r;

	if (s->readonly)
		return -EROFS;
	fd = openat(dir, name, access | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
		    mapped(s) ? MAPPED_FILE : mode & 07777);
	if (fd < 0 && errno == EEXIST && !(flags & O_EXCL)) {
		/* Somebody was faster: it is an open. */
		int old = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		r = old < 0 ? -errno : share_open(s, old, access | (flags & O_TRUNC));
		if (old >= 0)
			close(old);
		return r;
	}
	if (fd < 0)
		return -errno;
	r = own(s, fd, S_IFREG | (mode & 07777), 0, o);
	if (!r)
		r = granted(fd);
	else
		close(fd);
	if (r >= 0)
		return r;
	unlinkat(dir, name, 0);
	return r;
}

int share_mkdir(const struct share *s, int dir, const char *name, mode_t mode, struct share_owner o)
{
	if (s->readonly)
		return -EROFS;
	if (mkdirat(dir, name, mapped(s) ? MAPPED_FOLDER : mode & 07777))
		return -errno;
	return own_name(s, dir, name, S_IFDIR | (mode & 07777), 0, o);
}

/* A plain file with these contents, for what the host's file system does not get to see. */
static int make_mapped(const struct share *s, int dir, const char *name, const char *text, mode_t mode, dev_t dev,
		       struct share_owner o)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MAPPED_FILE);
	size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	int r = n && write(fd, text, n) != (ssize_t)n ? -ENOSPC : own(s, fd, mode, dev, o);
	close(fd);
	if (r)
		unlinkat(dir, name, 0);
	return r;
}

int share_symlink(const struct share *s, int dir, const char *name, const char *target, struct share_owner o)
{
	if (s->readonly)
		return -EROFS;
	if (mapped(s))
		return make_mapped(s, dir, name, target, S_IFLNK | 0777, 0, o);
	return symlinkat(target, dir, name) ? -errno : own_name(s, dir, name, S_IFLNK, 0, o);
}

int share_mknod(const struct share *s, int dir, const char *name, mode_t mode, dev_t dev, struct share_owner o)
{
	if (s->readonly)
		return -EROFS;
	if (mapped(s))
		return make_mapped(s, dir, name, "", mode & (S_IFMT | 07777), dev, o);
	return mknodat(dir, name, mode & (S_IFMT | 07777), dev) ? -errno : own_name(s, dir, name, mode, dev, o);
}

int share_link(const struct share *s, int fd, int dir, const char *name)
{
	struct share_fd_path p = share_fd_path(fd);

	return s->readonly ? -EROFS : result(linkat(AT_FDCWD, p.text, dir, name, AT_SYMLINK_FOLLOW));
}

int share_unlink(const struct share *s, int dir, const char *name, bool folder)
{
	return s->readonly ? -EROFS : result(unlinkat(dir, name, folder ? AT_REMOVEDIR : 0));
}

int share_rename(const struct share *s, int from, const char *old, int to, const char *name)
{
	return s->readonly ? -EROFS : result(renameat(from, old, to, name));
}
