/* The file server: what is in files, folders and extended attributes, and what is known of them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hw/virtio/p9_priv.h"

/* Tgetattr, Tsetattr: what is asked for or given */
#define ATTR_BASIC	0x7ffull
enum {
	SET_MODE = 0x01, SET_UID = 0x02, SET_GID = 0x04, SET_SIZE = 0x08, SET_ATIME = 0x10, SET_MTIME = 0x20,
	SET_ATIME_TO = 0x80, SET_MTIME_TO = 0x100,
};
/* Flags of Tlopen have Linux's numbers; these mean something to the host. */
#define OPEN_FLAGS	(O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_DIRECTORY | O_EXCL)
#define READ_HEADER	11u		/* of Rread and Rreaddir: header and count */
#define WRITE_HEADER	23u		/* of Twrite */
#define DIRENT_MOST	4096u		/* bytes of the host's entries at once */
#define DT_ANY		0

/* ---- open files ---- */

static int open_fid(struct p9 *s, struct p9_fid *f, int flags, struct p9_out *out)
{
	int path = p9_fid_fd(s, f), r;
	struct stat st;

	if (path < 0)
		return path;
	r = share_stat(s->share, path, &st);
	if (!r && (r = share_open(s->share, path, flags)) >= 0) {
		f->is_dir = S_ISDIR(st.st_mode);
		f->fd = r;
		r = 0;
		const struct p9_qid q = p9_qid_of(&st);
		p9_put(out, "Qd", &q, 0u);
	}
	close(path);
	return r;
}

int p9_lopen(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t id, flags;
	int r;

	if (!p9_get(in, "dd", &id, &flags))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	pthread_mutex_lock(&f->lock);
	r = f->fd >= 0 || f->xattr ? -EBUSY : open_fid(s, f, (int)(flags & OPEN_FLAGS), out);
	pthread_mutex_unlock(&f->lock);
	p9_fid_put(s, f);
	return r;
}

/* The fid of the folder becomes that of the file. */
static int create(struct p9 *s, struct p9_fid *f, const char *name, int flags, mode_t mode, uint32_t gid, struct p9_out *out)
{
	int dir = p9_fid_fd(s, f), fd;
	struct p9_node *above = p9_node_of(s, f), *n = NULL;
	struct stat st;

	fd = dir < 0 ? dir : share_create(s->share, dir, name, flags, mode, (struct share_owner){ f->uid, gid });
	if (dir >= 0)
		close(dir);
	int r = fd < 0 ? fd : share_stat(s->share, fd, &st);
	if (!r && !(n = p9_node_child(s, above, name)))
		r = -ENOMEM;
	p9_node_put(s, above);
	if (r) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	p9_fid_set_node(s, f, n);
	f->fd = fd;
	const struct p9_qid q = p9_qid_of(&st);
	p9_put(out, "Qd", &q, 0u);
	return 0;
}

int p9_lcreate(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char name[NAME_MAX + 1];
	uint32_t id, flags, mode, gid;
	int r;

	if (!p9_get(in, "dsddd", &id, name, &flags, &mode, &gid))
		return -EPROTO;
	if (!share_name_is_good(name))
		return -EINVAL;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	pthread_mutex_lock(&f->lock);
	r = f->fd >= 0 || f->xattr ? -EBUSY : create(s, f, name, (int)(flags & OPEN_FLAGS), mode, gid, out);
	pthread_mutex_unlock(&f->lock);
	p9_fid_put(s, f);
	return r;
}

/* Bytes of an answer that counts them in front. */
static int read_into(struct p9_out *out, uint32_t count, ssize_t (*fn)(void *opaque, uint8_t *to, size_t n), void *opaque)
{
	size_t room = out->room < READ_HEADER ? 0 : out->room - READ_HEADER;

	if (!p9_put(out, "d", 0u))
		return -EMSGSIZE;
	ssize_t n = fn(opaque, out->p + out->n, min_u64(count, room));
	if (n < 0)
		return (int)n;
	st32(out->p + P9_HEADER, (uint32_t)n);
	out->n += (size_t)n;
	return 0;
}

struct reading {
	struct p9 *s;
	struct p9_fid *f;
	uint64_t at;
};

static ssize_t read_file(void *opaque, uint8_t *to, size_t n)
{
	struct reading *r = opaque;
	ssize_t got = pread(r->f->fd, to, n, (off_t)r->at);

	return got < 0 ? -errno : got;
}

static ssize_t read_xattr(void *opaque, uint8_t *to, size_t n)
{
	struct reading *r = opaque;
	const struct p9_fid *f = r->f;

	n = r->at >= f->value_len ? 0 : min_u64(n, f->value_len - r->at);
	if (n)
		memcpy(to, f->value + r->at, n);
	return (ssize_t)n;
}

/* What Tread and Treaddir ask for; the fid is to be put. 0 or -errno. */
static int begin_reading(struct p9 *s, struct p9_in *in, struct reading *rd, uint32_t *count)
{
	uint32_t id;

	*rd = (struct reading){ .s = s };
	if (!p9_get(in, "dqd", &id, &rd->at, count))
		return -EPROTO;
	rd->f = p9_fid_get(s, id);
	return rd->f ? 0 : -EBADF;
}

int p9_read(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct reading rd;
	uint32_t count;
	int r = begin_reading(s, in, &rd, &count);
	struct p9_fid *f = rd.f;

	if (r)
		return r;
	pthread_mutex_lock(&f->lock);
	bool file = !f->xattr && f->fd >= 0 && !f->is_dir;
	r = f->xattr && !f->xwrite ? read_into(out, count, read_xattr, &rd) : f->is_dir ? -EISDIR : -EBADF;
	pthread_mutex_unlock(&f->lock);
	if (file)
		r = read_into(out, count, read_file, &rd);
	p9_fid_put(s, f);
	return r;
}

static ssize_t write_xattr(struct p9_fid *f, const uint8_t *p, uint64_t n, uint64_t at)
{
	if (at != f->value_at || n > f->value_len - f->value_at)
		return -ENOSPC;
	memcpy(f->value + at, p, n);
	f->value_at += n;
	return (ssize_t)n;
}

int p9_write(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t id, count;
	uint64_t at;
	ssize_t n;

	if (!p9_get(in, "dqd", &id, &at, &count) || count > in->n - in->at)
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	pthread_mutex_lock(&f->lock);
	bool xattr = f->xattr && f->xwrite;
	n = xattr ? write_xattr(f, in->p + WRITE_HEADER, count, at) : f->fd < 0 || f->is_dir ? -EBADF : 0;
	pthread_mutex_unlock(&f->lock);
	if (!xattr && !n && (n = pwrite(f->fd, in->p + WRITE_HEADER, count, (off_t)at)) < 0)
		n = -errno;
	p9_fid_put(s, f);
	if (n < 0)
		return (int)n;
	p9_put(out, "d", (unsigned)n);
	return 0;
}

int p9_fsync(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t id, data_only;

	(void)out;
	if (!p9_get(in, "dd", &id, &data_only))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	int r = f->fd < 0 ? -EBADF : (data_only ? fdatasync(f->fd) : fsync(f->fd)) ? -errno : 0;
	p9_fid_put(s, f);
	return r;
}

/* ---- folders ---- */

struct host_entry {			/* getdents64(2) */
	uint64_t ino;
	int64_t next;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* Whole entries only: { qid, offset of the next u64, type u8, name }. */
static ssize_t entries(void *opaque, uint8_t *to, size_t room)
{
	struct reading *r = opaque;
	struct p9_out out = { .p = to, .room = room };
	bool mapped = r->s->share->model == SHARE_MAPPED;
	_Alignas(8) uint8_t buf[DIRENT_MOST];
	struct stat st;

	if (lseek(r->f->fd, (off_t)r->at, SEEK_SET) < 0 || fstat(r->f->fd, &st))
		return -errno;
	for (;;) {
		long n = syscall(SYS_getdents64, r->f->fd, buf, sizeof(buf));
		if (n <= 0)
			return n < 0 && !out.n ? -errno : (ssize_t)out.n;
		for (long at = 0; at < n;) {
			const struct host_entry *d = (const struct host_entry *)(buf + at);
			struct stat of = { .st_ino = d->ino, .st_dev = st.st_dev, .st_mode = DTTOIF(d->type) };
			const struct p9_qid q = p9_qid_of(&of);
			size_t was = out.n;
			/* Of a mapped folder only the file itself knows what it is. */
			if (!p9_put(&out, "Qqbs", &q, (uint64_t)d->next, mapped && d->type != DT_DIR ? DT_ANY : d->type, d->name))
				return was ? (ssize_t)was : -EINVAL;
			at += d->len;
		}
	}
}

int p9_readdir(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct reading rd;
	uint32_t count;
	int r = begin_reading(s, in, &rd, &count);
	struct p9_fid *f = rd.f;

	if (r)
		return r;
	pthread_mutex_lock(&f->lock);
	r = f->fd < 0 ? -EBADF : !f->is_dir ? -ENOTDIR : read_into(out, count, entries, &rd);
	pthread_mutex_unlock(&f->lock);
	p9_fid_put(s, f);
	return r;
}

int p9_readlink(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char target[PATH_MAX];
	uint32_t id;

	if (!p9_get(in, "d", &id))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	int fd = p9_fid_fd(s, f), r = fd;
	if (fd >= 0) {
		r = share_readlink(s->share, fd, target, sizeof(target) - 1);
		close(fd);
	}
	p9_fid_put(s, f);
	if (r < 0)
		return r;
	target[r] = 0;
	p9_put(out, "s", target);
	return 0;
}

/* ---- what is known of files ---- */

static int stat_fid(struct p9 *s, struct p9_fid *f, struct stat *st)
{
	return f->fd >= 0 ? share_stat(s->share, f->fd, st) : p9_stat_fid(s, f, st);
}

int p9_getattr(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint64_t wanted;
	struct stat st;
	uint32_t id;

	if (!p9_get(in, "dq", &id, &wanted))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	int r = stat_fid(s, f, &st);
	p9_fid_put(s, f);
	if (r)
		return r;
	const struct p9_qid q = p9_qid_of(&st);
	p9_put(out, "qQdddqqqqq", ATTR_BASIC, &q, st.st_mode, st.st_uid, st.st_gid, (uint64_t)st.st_nlink,
	       (uint64_t)st.st_rdev, (uint64_t)st.st_size, (uint64_t)st.st_blksize, (uint64_t)st.st_blocks);
	p9_put(out, "qqqqqqqqqq", (uint64_t)st.st_atim.tv_sec, (uint64_t)st.st_atim.tv_nsec,
	       (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec, (uint64_t)st.st_ctim.tv_sec,
	       (uint64_t)st.st_ctim.tv_nsec, 0ull, 0ull, 0ull, 0ull);
	return 0;
}

struct changes {
	uint32_t valid, mode, uid, gid;
	uint64_t size;
	uint64_t time[4];		/* last access, last change: seconds, nanoseconds */
};

static struct timespec time_of(const struct changes *c, int which)
{
	uint32_t now = which ? SET_MTIME : SET_ATIME, to = which ? SET_MTIME_TO : SET_ATIME_TO;

	if (c->valid & to)
		return (struct timespec){ (time_t)c->time[2 * which], (long)c->time[2 * which + 1] };
	return (struct timespec){ .tv_nsec = c->valid & now ? UTIME_NOW : UTIME_OMIT };
}

static int change(struct p9 *s, struct p9_fid *f, int fd, const struct changes *c)
{
	const struct timespec t[2] = { time_of(c, 0), time_of(c, 1) };
	const struct share *sh = s->share;
	int r = 0;

	/* By the open file it may be cut even if its mode says no. */
	if (c->valid & SET_SIZE)
		r = f->fd < 0 || sh->readonly || ftruncate(f->fd, (off_t)c->size) ? share_truncate(sh, fd, (off_t)c->size) : 0;
	if (!r && c->valid & (SET_UID | SET_GID))
		r = share_chown(sh, fd, c->valid & SET_UID ? c->uid : (uid_t)-1, c->valid & SET_GID ? c->gid : (gid_t)-1);
	if (!r && c->valid & SET_MODE)
		r = share_chmod(sh, fd, c->mode);
	if (!r && c->valid & (SET_ATIME | SET_MTIME | SET_ATIME_TO | SET_MTIME_TO))
		r = share_set_times(sh, fd, t);
	return r;
}

int p9_setattr(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct changes c;
	uint32_t id;

	(void)out;
	if (!p9_get(in, "dddddqqqqq", &id, &c.valid, &c.mode, &c.uid, &c.gid, &c.size, &c.time[0], &c.time[1],
		    &c.time[2], &c.time[3]))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	int fd = p9_fid_fd(s, f), r = fd;
	if (fd >= 0) {
		r = change(s, f, fd, &c);
		close(fd);
	}
	p9_fid_put(s, f);
	return r;
}

/* ---- extended attributes ---- */

/* One attribute's value, or with no name the list of names. */
static ssize_t fetch_xattr(struct p9 *s, struct p9_fid *f, const char *name, uint8_t *value)
{
	int fd = p9_fid_fd(s, f);

	if (fd < 0)
		return fd;
	ssize_t k = *name ? share_xattr_get(s->share, fd, name, value, XATTR_SIZE_MAX)
		: share_xattr_list(s->share, fd, (char *)value, XATTR_LIST_MAX);
	close(fd);
	return k;
}

/* Takes *value over. Who used the number before it was told that it is one finds it in use, and so do we. */
static int show_xattr(struct p9_fid *f, const char *name, uint8_t **value, size_t n)
{
	if (f->fd >= 0 || f->value)
		return -EBUSY;
	f->xattr = strdup(name);
	if (!f->xattr)
		return -ENOMEM;
	uint8_t *less = realloc(*value, n + 1);
	f->value = less ? less : *value;
	f->value_len = n;
	*value = NULL;
	return 0;
}

int p9_xattrwalk(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct p9_fid *made = NULL;
	char name[NAME_MAX + 1];
	uint32_t id, new_id;
	int r;

	if (!p9_get(in, "dds", &id, &new_id, name))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	uint8_t *value = malloc(XATTR_SIZE_MAX);
	ssize_t n = !f ? -EBADF : !value ? -ENOMEM : fetch_xattr(s, f, name, value);
	r = n < 0 ? (int)n : p9_fid_new(s, new_id, p9_node_of(s, f), f->uid, &made);
	if (!r) {
		pthread_mutex_lock(&made->lock);
		r = show_xattr(made, name, &value, (size_t)n);
		pthread_mutex_unlock(&made->lock);
		p9_put(out, "q", (uint64_t)n);
	}
	free(value);
	p9_fid_put(s, made);
	p9_fid_put(s, f);
	return r;
}

static int begin_xattr(struct p9_fid *f, const char *name, uint64_t size, uint32_t flags)
{
	if (f->fd >= 0 || f->xattr)
		return -EBUSY;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	f->value = calloc(size + 1, 1);
	f->xattr = f->value ? strdup(name) : NULL;
	if (!f->xattr)
		return -ENOMEM;
	f->value_len = size;
	f->value_at = 0;
	f->xflags = (int)(flags & (XATTR_CREATE | XATTR_REPLACE));
	f->xwrite = true;
	return 0;
}

int p9_xattrcreate(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char name[NAME_MAX + 1];
	uint32_t id, flags;
	uint64_t size;

	(void)out;
	if (!p9_get(in, "dsqd", &id, name, &size, &flags) || !*name)
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	pthread_mutex_lock(&f->lock);
	int r = begin_xattr(f, name, size, flags);
	pthread_mutex_unlock(&f->lock);
	p9_fid_put(s, f);
	return r;
}

/* Nothing in the place of what is there takes it away: there is no other message for that. */
static int set_xattr(struct p9 *s, struct p9_fid *f, int fd)
{
	if (f->value_at != f->value_len)
		return -EIO;
	if (!f->value_len && f->xflags == XATTR_REPLACE)
		return share_xattr_remove(s->share, fd, f->xattr);
	return share_xattr_set(s->share, fd, f->xattr, f->value, f->value_len, f->xflags);
}

int p9_end_xattr(struct p9 *s, struct p9_fid *f)
{
	int r = 0, fd;

	pthread_mutex_lock(&f->lock);
	if (f->xattr && f->xwrite) {
		r = fd = p9_fid_fd(s, f);
		if (fd >= 0) {
			r = set_xattr(s, f, fd);
			close(fd);
		}
	}
	pthread_mutex_unlock(&f->lock);
	return r;
}
