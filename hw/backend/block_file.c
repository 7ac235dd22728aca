/* The file under an image: whole transfers at byte offsets, locking, size. */
#include "hw/backend/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/backend/block.h"

int block_file_open(const struct block_options *o, struct err *e)
{
	bool writing = !o->readonly && !o->snapshot;
	int fd = open(o->file, (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	if (fd < 0) {
		err_errno(e, "'%s'", o->file);
		return -1;
	}
	if (!o->unlocked && flock(fd, (writing ? LOCK_EX : LOCK_SH) | LOCK_NB) && errno == EWOULDBLOCK) {
		err_set(e, "'%s' is in use by another program", o->file);
		close(fd);
		return -1;
	}
	return fd;
}

bool block_file_size(int fd, const char *name, uint64_t *bytes, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st))
		return err_errno(e, "'%s'", name);
	if (S_ISDIR(st.st_mode))
		return err_set(e, "'%s' is a folder", name);
	off_t n = S_ISREG(st.st_mode) ? st.st_size : lseek(fd, 0, SEEK_END);
	if (n < 0)
		return err_errno(e, "'%s'", name);
	*bytes = (uint64_t)n;
	return true;
}

bool block_file_read(int fd, const char *name, uint64_t at, void *buf, size_t n, struct err *e)
{
	uint8_t *p = buf;
	size_t got = 0;

	while (got < n) {
		ssize_t k = pread(fd, p + got, n - got, (off_t)(at + got));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_errno(e, "'%s': reading at byte %llu", name, (unsigned long long)at);
		if (k == 0)
			break;
		got += (size_t)k;
	}
	memset(p + got, 0, n - got);
	return true;
}

bool block_file_write(int fd, const char *name, uint64_t at, const void *buf, size_t n, struct err *e)
{
	const uint8_t *p = buf;

	for (size_t done = 0; done < n;) {
		ssize_t k = pwrite(fd, p + done, n - done, (off_t)(at + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_errno(e, "'%s': writing at byte %llu", name, (unsigned long long)at);
		done += (size_t)k;
	}
	return true;
}

bool block_file_sync(int fd, const char *name, struct err *e)
{
	if (fdatasync(fd) && errno != EINVAL && errno != EROFS)
		return err_errno(e, "'%s': flushing", name);
	return true;
}
