/*
 * Shared folders (-fsdev): a folder of the host that a guest works in through a device.
 *
 * A guest names files by paths from the folder; the host kernel keeps what they lead to
 * inside it (no symbolic link is followed, no way leads out). A path gives a descriptor
 * that can only be asked about (O_PATH); everything else starts from such descriptors.
 *
 * All functions but share_new(), share_free() and share_find() may be called by any
 * thread, without the machine lock. They return what the system call gives (0 or more),
 * or minus errno. Names are one component: not empty, without '/', not "." or "..".
 */
#ifndef HW_BACKEND_SHARE_H
#define HW_BACKEND_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>

#include "base/error.h"

struct machine;

enum share_model {
	SHARE_PASSTHROUGH,	/* owners and modes are the host's; what fails, fails */
	SHARE_NONE,		/* the same, but that an owner cannot be set is no failure */
	SHARE_MAPPED,		/* owners, modes and special files are kept in extended attributes */
};

struct share {
	char *id, *path;
	enum share_model model;
	bool readonly;
	int root;		/* descriptor of the folder */
	struct workers *workers;	/* hw/backend/workers.h: they do what takes the host a while */
};

struct share_options {
	const char *id, *path;
	enum share_model model;
	bool readonly;
};

/* Devices find it as the back end "fsdev" of that id. Machine lock, as for the next two. */
struct share *share_new(struct machine *m, const struct share_options *o, struct err *e);
struct share *share_find(struct machine *m, const char *id);
/* All of the machine's, after their devices. */
void share_free_all(struct machine *m);

/* A descriptor to ask about what is at the path ("": the folder); not followed if it is a link. */
int share_walk(const struct share *s, const char *path);
bool share_name_is_good(const char *name);

/* ---- of what a descriptor stands for ---- */
int share_stat(const struct share *s, int fd, struct stat *st);
/* To read or write; files and folders only. */
int share_open(const struct share *s, int fd, int flags);
int share_readlink(const struct share *s, int fd, char *buf, size_t n);	/* not terminated */
int share_chmod(const struct share *s, int fd, mode_t mode);
int share_chown(const struct share *s, int fd, uid_t uid, gid_t gid);	/* -1: as it is */
int share_truncate(const struct share *s, int fd, off_t size);
int share_set_times(const struct share *s, int fd, const struct timespec t[2]);
ssize_t share_xattr_get(const struct share *s, int fd, const char *name, void *buf, size_t n);
ssize_t share_xattr_list(const struct share *s, int fd, char *buf, size_t n);
int share_xattr_set(const struct share *s, int fd, const char *name, const void *buf, size_t n, int flags);
int share_xattr_remove(const struct share *s, int fd, const char *name);

/* ---- of a name in a folder ---- */
struct share_owner {
	uid_t uid;
	gid_t gid;
};
/* A new file, open. */
int share_create(const struct share *s, int dir, const char *name, int flags, mode_t mode, struct share_owner o);
int share_mkdir(const struct share *s, int dir, const char *name, mode_t mode, struct share_owner o);
int share_symlink(const struct share *s, int dir, const char *name, const char *target, struct share_owner o);
int share_mknod(const struct share *s, int dir, const char *name, mode_t mode, dev_t dev, struct share_owner o);
int share_link(const struct share *s, int fd, int dir, const char *name);
int share_unlink(const struct share *s, int dir, const char *name, bool folder);
int share_rename(const struct share *s, int from, const char *old, int to, const char *name);

/* ---- the owners and modes of SHARE_MAPPED (share_map.c) ---- */

struct share_map {
	bool has_uid, has_gid, has_mode, has_rdev;
	uint32_t uid, gid, mode;
	uint64_t rdev;
};
/* Path by which functions that take one reach what fd stands for. */
struct share_fd_path { char text[32]; };
struct share_fd_path share_fd_path(int fd);
void share_map_stat(int fd, struct stat *st);
int share_map_set(int fd, const struct share_map *m);
/* Is it one of ours, which guests do not see? */
bool share_map_hides(const char *xattr);

#endif
