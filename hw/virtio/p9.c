/*
 * The file server: sessions, fids, names. What is inside files is p9_file.c's.
 *
 * Not modelled: 9P2000 and 9P2000.u; authentication; locks against programs of the host
 * (the guest's kernel keeps its own, and is told yes).
 * Source: 9P2000.L, https://github.com/chaos/diod/blob/master/protocol.md; plan 9 manual,
 * section 5.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hw/virtio/p9_priv.h"

#define RLERROR		7
#define LEAST_MSIZE	4096u
#define MAX_WALK	16u
#define NO_FID		0xffffffffu
#define AT_REMOVEDIR_9P	0x200u
#define VERSION		"9P2000.L"
#define STATFS_MAGIC	0x01021997u	/* V9FS_MAGIC: what the guest calls the file system */
enum { QID_DIR = 0x80, QID_LINK = 0x02 };
enum { LOCK_SUCCESS = 0, LOCK_UNLOCKED = 2 };

/* ---- sessions ---- */

struct p9 *p9_new(struct share *share)
{
	struct p9 *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->share = share;
	s->msize = P9_MSIZE;
	s->root = (struct p9_node){ .refs = 1, .fd = -1 };
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->rename_lock, NULL);
	return s;
}

void p9_free(struct p9 *s)
{
	if (!s)
		return;
	p9_forget_all(s);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->rename_lock);
	free(s);
}

static p9_request_fn *request_of(uint8_t type)
{
	switch (type) {
#define REQUEST(number, name) case number: return p9_##name;
#include "hw/virtio/p9.def"
#undef REQUEST
	default: return NULL;
	}
}

size_t p9_serve(struct p9 *s, const uint8_t *msg, size_t n, uint8_t *reply, size_t room)
{
	struct p9_in in = { .p = msg, .n = n, .at = P9_HEADER };
	struct p9_out out = { .p = reply, .room = room < s->msize ? room : s->msize, .n = P9_HEADER };
	p9_request_fn *fn = request_of(msg[4]);
	int r = ld32(msg) != n ? -EPROTO : fn ? fn(s, &in, &out) : -EOPNOTSUPP;

	reply[4] = (uint8_t)(msg[4] + 1);
	if (!r && out.full)
		r = -EMSGSIZE;
	if (r) {
		out = (struct p9_out){ .p = reply, .room = room, .n = P9_HEADER };
		p9_put(&out, "d", (unsigned)-r);
		reply[4] = RLERROR;
	}
	st32(reply, (uint32_t)out.n);
	memcpy(reply + 5, msg + 5, 2);
	return out.n;
}

int p9_version(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char version[NAME_MAX + 1];
	uint32_t msize;

	if (!p9_get(in, "ds", &msize, version))
		return -EPROTO;
	if (msize < LEAST_MSIZE)
		return -EMSGSIZE;
	s->msize = (uint32_t)min_u64(msize, P9_MSIZE);
	p9_put(out, "ds", s->msize, strcmp(version, VERSION) ? "unknown" : VERSION);
	return 0;
}

/* Served by whoever knows which messages are under way. */
int p9_flush(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint16_t tag;

	(void)s, (void)out;
	return p9_get(in, "w", &tag) ? 0 : -EPROTO;
}

/* ---- what a name stands for ---- */

struct p9_qid p9_qid_of(const struct stat *st)
{
	return (struct p9_qid){
		.type = S_ISDIR(st->st_mode) ? QID_DIR : S_ISLNK(st->st_mode) ? QID_LINK : 0,
		.version = (uint32_t)((uint64_t)st->st_mtim.tv_nsec ^ (uint64_t)st->st_mtim.tv_sec ^ (uint64_t)st->st_size << 8),
		/* File systems mounted inside count their files anew. */
		.path = st->st_ino ^ (uint64_t)st->st_dev << 48,
	};
}

int p9_stat_node(struct p9 *s, struct p9_node *n, struct stat *st)
{
	int fd = p9_node_fd(s, n), r;

	if (fd < 0)
		return fd;
	r = share_stat(s->share, fd, st);
	close(fd);
	return r;
}

int p9_stat_fid(struct p9 *s, struct p9_fid *f, struct stat *st)
{
	struct p9_node *n = p9_node_of(s, f);
	int r = p9_stat_node(s, n, st);

	p9_node_put(s, n);
	return r;
}

int p9_attach(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t fid, afid, uid;
	char user[NAME_MAX + 1], what[PATH_MAX];
	struct p9_fid *f = NULL;
	struct stat st;
	int r;

	if (!p9_get(in, "ddsSd", &fid, &afid, user, what, &uid))
		return -EPROTO;
	if (afid != NO_FID)
		return -EINVAL;
	if ((r = p9_stat_node(s, &s->root, &st)) || (r = p9_fid_new(s, fid, &s->root, uid, &f)))
		return r;
	p9_fid_put(s, f);
	const struct p9_qid q = p9_qid_of(&st);
	p9_put(out, "Q", &q);
	return 0;
}

/* One step; takes *n over, and gives the next. */
static int step(struct p9 *s, struct p9_node **n, const char *name, struct p9_qid *q)
{
	struct stat st;
	int r;

	if (strcmp(name, "..") && !share_name_is_good(name))
		return -ENOENT;
	/* A file has no names below it, and nobody above it asks for ".." from there. */
	if ((r = p9_stat_node(s, *n, &st)))
		return r;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	struct p9_node *to = p9_node_child(s, *n, name);
	if (!to)
		return -ENOMEM;
	p9_node_put(s, *n);
	*n = to;
	r = p9_stat_node(s, to, &st);
	if (!r)
		*q = p9_qid_of(&st);
	return r;
}

static int end_walk(struct p9 *s, struct p9_fid *f, uint32_t id, struct p9_node *n)
{
	struct p9_fid *made = NULL;

	if (id == f->id) {
		p9_fid_set_node(s, f, n);
		return 0;
	}
	int r = p9_fid_new(s, id, n, f->uid, &made);
	p9_fid_put(s, made);
	return r;
}

static int walk(struct p9 *s, struct p9_fid *f, uint32_t new_id, struct p9_in *in, unsigned count, struct p9_out *out)
{
	struct p9_node *n = p9_node_of(s, f);
	struct p9_qid q[MAX_WALK];
	char name[NAME_MAX + 1];
	unsigned done = 0;
	int r = 0;

	while (!r && done < count) {
		r = p9_get(in, "s", name) ? step(s, &n, name, &q[done]) : -EPROTO;
		done += !r;
	}
	if (done < count)
		p9_node_put(s, n);
	else
		r = end_walk(s, f, new_id, n);
	if (r && (!done || done == count))
		return r;
	p9_put(out, "w", done);
	for (unsigned i = 0; i < done; i++)
		p9_put(out, "Q", &q[i]);
	return 0;
}

int p9_walk(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t id, new_id;
	uint16_t count;

	if (!p9_get(in, "ddw", &id, &new_id, &count) || count > MAX_WALK)
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	/* An open fid stands for what is open. */
	int r = new_id == id && (f->fd >= 0 || f->xattr) ? -EBUSY : walk(s, f, new_id, in, count, out);
	p9_fid_put(s, f);
	return r;
}

int p9_clunk(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t id;

	(void)out;
	if (!p9_get(in, "d", &id))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	p9_fid_forget(s, f);
	int r = p9_end_xattr(s, f);
	p9_fid_put(s, f);
	return r;
}

int p9_statfs(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct statfs fs;
	uint32_t id;
	uint64_t fsid;

	if (!p9_get(in, "d", &id))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	int fd = p9_fid_fd(s, f), r = fd < 0 ? fd : fstatfs(fd, &fs) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	p9_fid_put(s, f);
	if (r)
		return r;
	memcpy(&fsid, &fs.f_fsid, sizeof(fsid));
	p9_put(out, "ddqqqqqqd", STATFS_MAGIC, (unsigned)fs.f_bsize, (uint64_t)fs.f_blocks, (uint64_t)fs.f_bfree,
	       (uint64_t)fs.f_bavail, (uint64_t)fs.f_files, (uint64_t)fs.f_ffree, fsid, (unsigned)fs.f_namelen);
	return 0;
}

/* ---- names that come, go and move ---- */

/* The folder a fid stands for, and a descriptor of it. */
struct place {
	struct p9_fid *fid;
	struct p9_node *node;
	int fd;
};

static int find_place(struct p9 *s, uint32_t id, struct place *p)
{
	*p = (struct place){ .fid = p9_fid_get(s, id), .fd = -1 };
	if (!p->fid)
		return -EBADF;
	p->node = p9_node_of(s, p->fid);
	p->fd = p9_node_fd(s, p->node);
	return p->fd < 0 ? p->fd : 0;
}

static void leave_place(struct p9 *s, struct place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->node)
		p9_node_put(s, p->node);
	p9_fid_put(s, p->fid);
}

/* What was made there, into the answer. */
static int tell_made(struct p9 *s, int dir, const char *name, struct p9_out *out)
{
	struct stat st;
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), r = fd < 0 ? -errno : share_stat(s->share, fd, &st);

	if (fd >= 0)
		close(fd);
	if (r)
		return r;
	const struct p9_qid q = p9_qid_of(&st);
	p9_put(out, "Q", &q);
	return 0;
}

/* What the makers below have in common. */
struct making {
	char name[NAME_MAX + 1], target[PATH_MAX];
	uint32_t mode, major, minor;
};
typedef int make_fn(const struct share *s, int dir, const struct making *m, struct share_owner o);

static int make(struct p9 *s, uint32_t id, const struct making *m, uint32_t gid, make_fn *fn, struct p9_out *out)
{
	struct place p;
	int r;

	if (!share_name_is_good(m->name))
		return -EINVAL;
	r = find_place(s, id, &p);
	if (!r)
		r = fn(s->share, p.fd, m, (struct share_owner){ p.fid->uid, gid });
	if (!r)
		r = tell_made(s, p.fd, m->name, out);
	leave_place(s, &p);
	return r;
}

static int make_folder(const struct share *s, int dir, const struct making *m, struct share_owner o)
{
	return share_mkdir(s, dir, m->name, m->mode, o);
}

static int make_link(const struct share *s, int dir, const struct making *m, struct share_owner o)
{
	return share_symlink(s, dir, m->name, m->target, o);
}

static int make_node(const struct share *s, int dir, const struct making *m, struct share_owner o)
{
	return share_mknod(s, dir, m->name, m->mode, makedev(m->major, m->minor), o);
}

int p9_mkdir(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct making m;
	uint32_t id, gid;

	return p9_get(in, "dsdd", &id, m.name, &m.mode, &gid) ? make(s, id, &m, gid, make_folder, out) : -EPROTO;
}

int p9_symlink(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct making m;
	uint32_t id, gid;

	return p9_get(in, "dsSd", &id, m.name, m.target, &gid) ? make(s, id, &m, gid, make_link, out) : -EPROTO;
}

int p9_mknod(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	struct making m;
	uint32_t id, gid;

	return p9_get(in, "dsdddd", &id, m.name, &m.mode, &m.major, &m.minor, &gid)
		? make(s, id, &m, gid, make_node, out) : -EPROTO;
}

int p9_link(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char name[NAME_MAX + 1];
	uint32_t dir_id, id;
	struct place dir, what;
	int r;

	(void)out;
	if (!p9_get(in, "dds", &dir_id, &id, name))
		return -EPROTO;
	if (!share_name_is_good(name))
		return -EINVAL;
	r = find_place(s, dir_id, &dir);
	if (!r) {
		r = find_place(s, id, &what);
		if (!r)
			r = share_link(s->share, what.fd, dir.fd, name);
		leave_place(s, &what);
	}
	leave_place(s, &dir);
	return r;
}

static int unlink_at(struct p9 *s, struct p9_node *dir, int fd, const char *name, bool folder)
{
	pthread_mutex_lock(&s->rename_lock);
	int was = p9_name_fd(s, dir, name), r = share_unlink(s->share, fd, name, folder);
	if (!r)
		p9_name_gone(s, dir, name, was);
	else if (was >= 0)
		close(was);
	pthread_mutex_unlock(&s->rename_lock);
	return r;
}

int p9_unlinkat(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char name[NAME_MAX + 1];
	uint32_t id, flags;
	struct place p;
	int r;

	(void)out;
	if (!p9_get(in, "dsd", &id, name, &flags))
		return -EPROTO;
	if (!share_name_is_good(name))
		return -EINVAL;
	r = find_place(s, id, &p);
	if (!r)
		r = unlink_at(s, p.node, p.fd, name, flags & AT_REMOVEDIR_9P);
	leave_place(s, &p);
	return r;
}

/* The folder that a fid's name is in, and the name. */
static int find_parent(struct p9 *s, struct p9_fid *f, struct place *p, char name[NAME_MAX + 1])
{
	struct p9_node *n = p9_node_of(s, f);

	*p = (struct place){ .fd = -1 };
	bool ok = p9_node_place(s, n, &p->node, name);
	p9_node_put(s, n);
	if (!ok)
		return -ENOENT;
	p->fd = p9_node_fd(s, p->node);
	return p->fd < 0 ? p->fd : 0;
}

/* It ends the fid whether the file goes or not. */
int p9_remove(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char name[NAME_MAX + 1];
	struct place p;
	struct stat st;
	uint32_t id;
	int r;

	(void)out;
	if (!p9_get(in, "d", &id))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	r = find_parent(s, f, &p, name);
	if (!r && !(r = p9_stat_fid(s, f, &st)))
		r = unlink_at(s, p.node, p.fd, name, S_ISDIR(st.st_mode));
	leave_place(s, &p);
	p9_fid_forget(s, f);
	p9_fid_put(s, f);
	return r;
}

static int rename_at(struct p9 *s, struct place *from, const char *old, struct place *to, const char *name)
{
	if (from->node == to->node && !strcmp(old, name))
		return 0;
	pthread_mutex_lock(&s->rename_lock);
	int was = p9_name_fd(s, to->node, name), r = share_rename(s->share, from->fd, old, to->fd, name);
	if (!r) {
		p9_name_gone(s, to->node, name, was);
		p9_name_moved(s, from->node, old, to->node, name);
	} else if (was >= 0) {
		close(was);
	}
	pthread_mutex_unlock(&s->rename_lock);
	return r;
}

int p9_renameat(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char old[NAME_MAX + 1], name[NAME_MAX + 1];
	uint32_t from_id, to_id;
	struct place from, to;
	int r;

	(void)out;
	if (!p9_get(in, "dsds", &from_id, old, &to_id, name))
		return -EPROTO;
	if (!share_name_is_good(old) || !share_name_is_good(name))
		return -EINVAL;
	r = find_place(s, from_id, &from);
	if (!r) {
		r = find_place(s, to_id, &to);
		if (!r)
			r = rename_at(s, &from, old, &to, name);
		leave_place(s, &to);
	}
	leave_place(s, &from);
	return r;
}

int p9_rename(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	char old[NAME_MAX + 1], name[NAME_MAX + 1];
	uint32_t id, to_id;
	struct place from, to;
	int r;

	(void)out;
	if (!p9_get(in, "dds", &id, &to_id, name))
		return -EPROTO;
	if (!share_name_is_good(name))
		return -EINVAL;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	r = find_place(s, to_id, &to);
	if (!r) {
		r = find_parent(s, f, &from, old);
		if (!r)
			r = rename_at(s, &from, old, &to, name);
		leave_place(s, &from);
	}
	leave_place(s, &to);
	p9_fid_put(s, f);
	return r;
}

/* ---- locks ---- */

int p9_lock(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t id, flags, pid;
	uint64_t start, length;
	uint8_t type;
	char client[NAME_MAX + 1];

	if (!p9_get(in, "dbdqqds", &id, &type, &flags, &start, &length, &pid, client))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	p9_fid_put(s, f);
	p9_put(out, "b", LOCK_SUCCESS);
	return 0;
}

int p9_getlock(struct p9 *s, struct p9_in *in, struct p9_out *out)
{
	uint32_t id, pid;
	uint64_t start, length;
	uint8_t type;
	char client[NAME_MAX + 1];

	if (!p9_get(in, "dbqqds", &id, &type, &start, &length, &pid, client))
		return -EPROTO;
	struct p9_fid *f = p9_fid_get(s, id);
	if (!f)
		return -EBADF;
	p9_fid_put(s, f);
	p9_put(out, "bqqds", LOCK_UNLOCKED, start, length, pid, client);
	return 0;
}
