/*
 * Owners, modes and kinds of files that only the guest knows: kept in extended
 * attributes of plain files and folders, so that the host needs no privilege. The names
 * and their little-endian contents are QEMU's, so that it can use the folder as well.
 *
 *	user.virtfs.uid  user.virtfs.gid  user.virtfs.mode	u32
 *	user.virtfs.rdev					u64
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/bits.h"
#include "hw/backend/share.h"

#define PREFIX	"user.virtfs."

struct share_fd_path share_fd_path(int fd)
{
	struct share_fd_path p;

	snprintf(p.text, sizeof(p.text), "/proc/self/fd/%d", fd);
	return p;
}

bool share_map_hides(const char *xattr)
{
	return !strncmp(xattr, PREFIX, strlen(PREFIX));
}

static bool get(const char *path, const char *name, int n, uint64_t *v)
{
	uint8_t b[8];

	if (getxattr(path, name, b, sizeof(b)) != n)
		return false;
	*v = ld_n(b, n);
	return true;
}

void share_map_stat(int fd, struct stat *st)
{
	struct share_fd_path p = share_fd_path(fd);
	uint64_t v;

	if (get(p.text, PREFIX "uid", 4, &v))
		st->st_uid = (uid_t)v;
	if (get(p.text, PREFIX "gid", 4, &v))
		st->st_gid = (gid_t)v;
	if (get(p.text, PREFIX "mode", 4, &v))
		st->st_mode = (mode_t)v;
	if (get(p.text, PREFIX "rdev", 8, &v))
		st->st_rdev = (dev_t)v;
}

static int set(const char *path, const char *name, int n, uint64_t v)
{
	uint8_t b[8];

	st_n(b, n, v);
	return setxattr(path, name, b, (size_t)n, 0) ? -errno : 0;
}

int share_map_set(int fd, const struct share_map *m)
{
	struct share_fd_path p = share_fd_path(fd);
	int r = 0;

	if (m->has_uid)
		r = set(p.text, PREFIX "uid", 4, m->uid);
	if (!r && m->has_gid)
		r = set(p.text, PREFIX "gid", 4, m->gid);
	if (!r && m->has_mode)
		r = set(p.text, PREFIX "mode", 4, m->mode);
	if (!r && m->has_rdev)
		r = set(p.text, PREFIX "rdev", 8, m->rdev);
	return r;
}
