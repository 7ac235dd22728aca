/*
 * The file under an image.
 *
 * Locks are those of open files (F_OFD_SETLK) on single bytes, the way QEMU uses them, so
 * that its programs and ours keep each other off: byte 100 + p is held shared by whoever
 * uses permission p, byte 200 + p by whoever does not suffer others to use it. Nothing at
 * these bytes is read or written by it.
 */
#include "hw/backend/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/block.h"
#include "hw/backend/iov.h"

/* ---- locks ---- */

enum { PERM_READ = 0, PERM_WRITE = 1, PERM_RESIZE = 3 };
#define USED	100
#define DENIED	200

static int byte_lock(int fd, int cmd, short type, off_t at)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

	if (fcntl(fd, cmd, &l))
		return -errno;
	return cmd == F_OFD_GETLK && l.l_type != F_UNLCK ? -EAGAIN : 0;
}

/* What is used and what is denied to others; then the other way round: does it clash with anybody? */
static int take_locks(int fd, bool writing)
{
	static const int used[] = { PERM_READ, PERM_WRITE, PERM_RESIZE }, denied[] = { PERM_WRITE, PERM_RESIZE };
	int n = writing ? 3 : 1, r = 0;

	for (int i = 0; i < n && !r; i++)
		r = byte_lock(fd, F_OFD_SETLK, F_RDLCK, USED + used[i]);
	for (int i = 0; i < 2 && !r; i++)
		r = byte_lock(fd, F_OFD_SETLK, F_RDLCK, DENIED + denied[i]);
	for (int i = 0; i < n && !r; i++)
		r = byte_lock(fd, F_OFD_GETLK, F_WRLCK, DENIED + used[i]);
	for (int i = 0; i < 2 && !r; i++)
		r = byte_lock(fd, F_OFD_GETLK, F_WRLCK, USED + denied[i]);
	return r;
}

bool block_file_lock(int fd, const char *name, bool writing, struct err *e)
{
	int r = take_locks(fd, writing);

	if (r == -EAGAIN || r == -EACCES)
		return err_set(e, "'%s' is in use by another program", name);
	return true;		/* a file system without locks */
}

static bool lock_as_asked(int fd, const struct block_options *o, bool writing, struct err *e)
{
	if (o->unlocked || o->locking == BLOCK_LOCK_OFF)
		return true;
	if (o->locking == BLOCK_LOCK_ON && byte_lock(fd, F_OFD_GETLK, F_WRLCK, USED) == -EINVAL)
		return err_set(e, "'%s': locking=on, but the file system has no locks", o->file);
	return block_file_lock(fd, o->file, writing, e);
}

/* ---- opening ---- */

static uint32_t alignment(int fd)
{
	struct stat st;
	int size = 0;

	if (!fstat(fd, &st) && S_ISBLK(st.st_mode) && !ioctl(fd, BLKSSZGET, &size) && size >= 512)
		return (uint32_t)size;
	return 4096;		/* what every file system takes */
}

static int open_fd(const struct block_options *o, bool *writing)
{
	int flags = O_CLOEXEC | (o->direct ? O_DIRECT : 0);
	int fd = open(o->file, flags | (*writing ? O_RDWR : O_RDONLY));

	if (fd < 0 && *writing && o->auto_readonly && (errno == EACCES || errno == EROFS || errno == EPERM)) {
		*writing = false;
		fd = open(o->file, flags | O_RDONLY);
	}
	return fd;
}

bool block_file_open(struct block_file *f, const char *name, const struct block_options *o, struct err *e)
{
	bool writing = !o->readonly && !o->snapshot;
	int fd = open_fd(o, &writing);

	f->fd = -1;
	if (fd < 0 && errno == EINVAL && o->direct)
		return err_set(e, "'%s': its file system cannot do without the page cache; use cache=writeback "
			       "instead of none or directsync", name);
	if (fd < 0)
		return err_errno(e, "'%s'", name);
	if (!lock_as_asked(fd, o, writing, e)) {
		close(fd);
		return false;
	}
	block_file_adopt(f, name, fd);
	f->writing = writing;
	f->direct = o->direct;
	f->align = f->direct ? alignment(fd) : 1;
	return true;
}

void block_file_adopt(struct block_file *f, const char *name, int fd)
{
	*f = (struct block_file){ .fd = fd, .name = name, .writing = true, .align = 1 };
	pthread_mutex_init(&f->partial, NULL);
}

void block_file_close(struct block_file *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	pthread_mutex_destroy(&f->partial);
	f->fd = -1;
}

bool block_file_size(struct block_file *f, uint64_t *bytes, struct err *e)
{
	struct stat st;
	if (fstat(f->fd, &st))
		return err_errno(e, "'%s'", f->name);
	if (S_ISDIR(st.st_mode))
		return err_set(e, "'%s' is a folder", f->name);
	off_t n = S_ISREG(st.st_mode) ? st.st_size : lseek(f->fd, 0, SEEK_END);
	if (n < 0)
		return err_errno(e, "'%s'", f->name);
	*bytes = (uint64_t)n;
	return true;
}

/* ---- transfers ---- */

/* One system call; a single piece goes without a list. */
static ssize_t transfer(int fd, uint64_t at, const struct iovec *iov, int niov, bool writing)
{
	ssize_t k;

	do {
		if (niov == 1)
			k = writing ? pwrite(fd, iov->iov_base, iov->iov_len, (off_t)at)
				    : pread(fd, iov->iov_base, iov->iov_len, (off_t)at);
		else
			k = writing ? pwritev(fd, iov, niov, (off_t)at) : preadv(fd, iov, niov, (off_t)at);
	} while (k < 0 && errno == EINTR);
	return k;
}

static bool failed(const struct block_file *f, uint64_t at, bool writing, struct err *e)
{
	return err_errno(e, "'%s': %s at byte %llu", f->name, writing ? "writing" : "reading",
			 (unsigned long long)at);
}

static bool buffered(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n, bool writing,
		     struct err *e)
{
	struct iovec rest[IOV_PIECES];

	for (size_t done = 0; done < n;) {
		int k = done ? iov_slice(iov, niov, done, n - done, rest) : niov;
		ssize_t moved = transfer(f->fd, at + done, done ? rest : iov, k, writing);
		if (moved == 0 && writing)
			errno = ENOSPC;
		if (moved < 0 || (moved == 0 && writing))
			return failed(f, at + done, writing, e);
		if (moved == 0) {		/* behind the end of the file */
			k = iov_slice(iov, niov, done, n - done, rest);
			iov_zero(rest, k);
			break;
		}
		done += (size_t)moved;
	}
	return true;
}

/* ---- past the page cache ---- */

#define BOUNCE (1u << 20)

static bool aligned(const struct block_file *f, uint64_t at, const struct iovec *iov, int niov)
{
	uint64_t bits = at;

	for (int i = 0; i < niov; i++)
		bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return !(bits & (f->align - 1));
}

/* A window of whole units around [at, at + n), in memory of its own. */
static bool through_window(struct block_file *f, uint8_t *buf, uint64_t at, const struct iovec *iov, int niov,
			   size_t n, bool writing, struct err *e)
{
	uint64_t from = align_down(at, f->align), to = align_up(at + n, f->align);
	struct iovec all = { buf, to - from };
	bool part = from != at || to != at + n, ok;

	if (!writing) {
		ok = buffered(f, from, &all, 1, to - from, false, e);
		if (ok)
			iov_put(iov, niov, buf + (at - from));
		return ok;
	}
	if (part)
		pthread_mutex_lock(&f->partial);
	ok = !part || buffered(f, from, &all, 1, to - from, false, e);
	if (ok) {
		iov_get(iov, niov, buf + (at - from));
		ok = buffered(f, from, &all, 1, to - from, true, e);
	}
	/* What was written behind the end only to fill a unit is no part of the file. */
	if (ok && f->keep && to > f->keep && ftruncate(f->fd, (off_t)f->keep))
		ok = errno == EINVAL || err_errno(e, "'%s'", f->name);
	if (part)
		pthread_mutex_unlock(&f->partial);
	return ok;
}

static bool direct(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n, bool writing,
		   struct err *e)
{
	struct iovec part[IOV_PIECES];
	size_t most = BOUNCE - 2 * f->align;
	void *buf;
	bool ok = true;

	if (posix_memalign(&buf, f->align, BOUNCE))
		return err_set(e, "'%s': no memory", f->name);
	for (size_t done = 0, k; done < n && ok; done += k) {
		/* All pieces but the first begin at whole units. */
		k = min_u64(n - done, most - (at + done) % f->align);
		ok = through_window(f, buf, at + done, part, iov_slice(iov, niov, done, k, part), k, writing, e);
	}
	free(buf);
	return ok;
}

static bool move(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n, bool writing,
		 struct err *e)
{
	if (niov > IOV_PIECES)
		return err_set(e, "'%s': a transfer of too many pieces", f->name);
	if (f->direct && !aligned(f, at, iov, niov))
		return direct(f, at, iov, niov, n, writing, e);
	return buffered(f, at, iov, niov, n, writing, e);
}

bool block_file_readv(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n, struct err *e)
{
	return move(f, at, iov, niov, n, false, e);
}

bool block_file_writev(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n,
		       struct err *e)
{
	return move(f, at, iov, niov, n, true, e);
}

bool block_file_read(struct block_file *f, uint64_t at, void *buf, size_t n, struct err *e)
{
	struct iovec v = { buf, n };
	return block_file_readv(f, at, &v, 1, n, e);
}

bool block_file_write(struct block_file *f, uint64_t at, const void *buf, size_t n, struct err *e)
{
	struct iovec v = { (void *)buf, n };
	return block_file_writev(f, at, &v, 1, n, e);
}

/* tmpfs knows no RWF_NOWAIT (Linux 6.18), nor needs it. */
static bool on_tmpfs(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC;
}

bool block_file_read_now(struct block_file *f, uint64_t at, const struct iovec *iov, int niov, size_t n)
{
	if (f->direct || f->no_now)
		return false;
	ssize_t k = preadv2(f->fd, iov, niov, (off_t)at, f->in_memory ? 0 : RWF_NOWAIT);
	if (k >= 0 || errno == EAGAIN || errno == EINTR)
		return k == (ssize_t)n;
	if (f->in_memory || errno != EOPNOTSUPP || !on_tmpfs(f->fd)) {
		f->no_now = true;
		return false;
	}
	f->in_memory = true;
	return block_file_read_now(f, at, iov, niov, n);
}

bool block_file_sync(struct block_file *f, struct err *e)
{
	if (fdatasync(f->fd) && errno != EINVAL && errno != EROFS)
		return err_errno(e, "'%s': flushing", f->name);
	return true;
}

bool block_file_zero(struct block_file *f, uint64_t at, uint64_t n, bool unmap)
{
	int how = (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;
	bool part = f->direct && (at | n) & (f->align - 1);

	if (part)
		pthread_mutex_lock(&f->partial);
	bool ok = !fallocate(f->fd, how, (off_t)at, (off_t)n);
	if (part)
		pthread_mutex_unlock(&f->partial);
	return ok;
}
