/* Sockets of the back ends (hw/backend/sock.h). */
#include "hw/backend/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS	10000
#define TICK_MS		100

bool sock_make_way(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st))
		return true;		/* bind() says whatever else is wrong */
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, "%s exists and is no socket: remove it, or name another path", path);
	return !unlink(path) || err_errno(e, "cannot remove the old socket %s", path);
}

int sock_accept(struct loop *l, struct loop_fd *w, int fd)
{
	int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (c < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		loop_fd_rest(l, w, NS_PER_SEC);
	return c;
}

/* Under way: until the other side answers. */
static bool finish(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int why = ETIMEDOUT;
	socklen_t n = sizeof(why);

	if (poll(&p, 1, PATIENCE_MS) > 0)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n);
	errno = why;
	return !why;
}

bool sock_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	for (int ms = 0; ms < PATIENCE_MS; ms += TICK_MS) {
		if (!connect(fd, to, len))
			return true;
		if (errno == EINPROGRESS || errno == EINTR)
			return finish(fd);
		if (errno != EAGAIN)
			return false;
		usleep(TICK_MS * 1000);		/* a Unix socket's queue is full */
	}
	return false;
}

void sock_no_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void sock_strip_brackets(char *host)
{
	size_t n = strlen(host);

	if (n < 2 || *host != '[' || host[n - 1] != ']')
		return;
	host[n - 1] = 0;
	memmove(host, host + 1, n - 1);
}
