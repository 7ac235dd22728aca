/*
 * Ways to other programs for the machine's state (ui/channel.h). Descriptors do not block:
 * whoever would wait looks ten times a second whether it shall end.
 */
#include "ui/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hw/backend/sock.h"
#include "ui/command.h"

#define TICK_MS		100
#define PATIENCE	(30 * 1000 / TICK_MS)	/* ticks without anything happening */

struct channel {
	char *uri;
	bool in;
	int fd;				/* -1: not connected yet */
	int listener;			/* -1: none */
	pid_t child;			/* 0: none */
	char *host, *port, *path;	/* whom to connect to */
	_Atomic bool cancel, patient;
};

/* ---- waiting ---- */

static bool wait_for(struct channel *c, int fd, short events, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (int tick = 0; atomic_load(&c->patient) || tick < PATIENCE; tick++) {
		if (atomic_load(&c->cancel))
			return err_set(e, "cancelled");
		int n = poll(&p, 1, TICK_MS);
		if (n < 0 && errno != EINTR)
			return err_errno(e, "waiting");
		if (n > 0)
			return true;
	}
	return err_set(e, "the other side does nothing");
}

static bool would_wait(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK;
}

/* ---- making ---- */

static void close_fd(struct channel *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static bool no_block(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	return (flags >= 0 && !fcntl(fd, F_SETFL, flags | O_NONBLOCK)) || err_errno(e, "fcntl");
}

static bool open_file(struct channel *c, const char *path, struct err *e)
{
	if (!c->in)
		return err_set(e, "files are not written this way");
	c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return c->fd >= 0 || err_errno(e, "'%s'", path);
}

static bool open_exec(struct channel *c, const char *command, struct err *e)
{
	int pair[2], theirs = c->in ? 1 : 0;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(e, "pipe");
	c->child = fork();
	if (!c->child) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		dup2(pair[theirs], theirs);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(pair[theirs]);
	c->fd = pair[!theirs];
	if (c->child > 0)
		return no_block(c->fd, e);
	c->child = 0;
	return err_errno(e, "fork");
}

static bool open_fd(struct channel *c, struct vm *vm, const char *name, struct err *e)
{
	char *end;
	long n = strtol(name, &end, 10);

	c->fd = commands_take_fd(vm, name);
	if (c->fd < 0 && *name && !*end && n > 2 && n < 65536)
		c->fd = fcntl((int)n, F_DUPFD_CLOEXEC, 3);
	if (c->fd < 0)
		return err_set(e, "there is no descriptor '%s': give it by getfd first", name);
	return no_block(c->fd, e);
}

static bool unix_address(const char *path, struct sockaddr_un *a, struct err *e)
{
	if (!*path || strlen(path) >= sizeof(a->sun_path))
		return err_set(e, "'%s' is no path for a socket: it has 1 to %zu bytes", path, sizeof(a->sun_path) - 1);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(a->sun_path, path);
	return true;
}

static bool open_unix(struct channel *c, const char *path, struct err *e)
{
	struct sockaddr_un a;

	if (!unix_address(path, &a, e) || (c->in && !sock_make_way(path, e)))
		return false;
	c->path = strdup(path);
	if (!c->in)
		return c->path || err_set(e, "no memory");
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&a, sizeof(a)) || listen(c->listener, 1))
		return err_errno(e, "'%s'", path);
	return true;
}

static struct addrinfo *resolve(const struct channel *c, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = c->in ? AI_PASSIVE : 0 }, *list;
	const char *host = *c->host && strcmp(c->host, "0") ? c->host : NULL;
	int r = getaddrinfo(host, c->port, &hints, &list);

	if (!r)
		return list;
	err_set(e, "%s port %s: %s", c->host, c->port, gai_strerror(r));
	return NULL;
}

static bool listen_tcp(struct channel *c, struct err *e)
{
	struct addrinfo *list = resolve(c, e);
	int on = 1;

	for (struct addrinfo *a = list; a && c->listener < 0; a = a->ai_next) {
		c->listener = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
		if (c->listener < 0)
			continue;
		setsockopt(c->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (!bind(c->listener, a->ai_addr, a->ai_addrlen) && !listen(c->listener, 1))
			break;
		err_errno(e, "%s port %s", c->host, c->port);
		close(c->listener);
		c->listener = -1;
	}
	if (list)
		freeaddrinfo(list);
	return c->listener >= 0;
}

static bool open_tcp(struct channel *c, const char *where, struct err *e)
{
	const char *colon = strrchr(where, ':'), *end = colon;
	bool brackets = colon && *where == '[' && colon[-1] == ']';

	if (!colon || !colon[1])
		return err_set(e, "'%s': expected tcp:HOST:PORT", c->uri);
	if (brackets)
		where++, end--;
	c->host = strndup(where, (size_t)(end - where));
	c->port = strndup(colon + 1, strcspn(colon + 1, ","));
	if (!c->host || !c->port)
		return err_set(e, "no memory");
	return !c->in || listen_tcp(c, e);
}

static bool open_uri(struct channel *c, struct vm *vm, struct err *e)
{
	const char *u = c->uri;

	if (!strncmp(u, "file:", 5) && u[5])
		return open_file(c, u + 5, e);
	if (!strncmp(u, "exec:", 5) && u[5])
		return open_exec(c, u + 5, e);
	if (!strncmp(u, "unix:", 5))
		return open_unix(c, u + 5, e);
	if (!strncmp(u, "tcp:", 4))
		return open_tcp(c, u + 4, e);
	if (!strncmp(u, "fd:", 3))
		return open_fd(c, vm, u + 3, e);
	return err_set(e, "'%s': expected file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:NAME", u);
}

struct channel *channel_new(struct vm *vm, const char *uri, bool in, struct err *e)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (c) {
		c->fd = c->listener = -1;
		c->in = in;
		c->uri = strdup(uri);
	}
	if (!c || !c->uri)
		err_set(e, "no memory");
	else if (open_uri(c, vm, e))
		return c;
	channel_free(c);
	return NULL;
}

/* ---- connecting ---- */

static bool accept_one(struct channel *c, struct err *e)
{
	while (c->fd < 0) {
		if (!wait_for(c, c->listener, POLLIN, e))
			return false;
		c->fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (c->fd < 0 && !would_wait() && errno != EINTR && errno != ECONNABORTED)
			return err_errno(e, "accept");
	}
	close(c->listener);
	c->listener = -1;
	return true;
}

static bool connect_to(struct channel *c, const struct sockaddr *a, socklen_t n, struct err *e)
{
	socklen_t size = sizeof(errno);

	close_fd(c);
	c->fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return err_errno(e, "socket");
	if (!connect(c->fd, a, n))
		return true;
	if (errno == EINPROGRESS) {
		int why = 0;

		if (!wait_for(c, c->fd, POLLOUT, e))
			return false;
		if (!getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &why, &size) && !why)
			return true;
		errno = why ? why : errno;
	}
	return err_errno(e, "connecting to %s", c->uri);
}

static bool connect_tcp(struct channel *c, struct err *e)
{
	struct addrinfo *list = resolve(c, e);
	bool ok = false;

	for (struct addrinfo *a = list; a && !ok && !atomic_load(&c->cancel); a = a->ai_next)
		ok = connect_to(c, a->ai_addr, a->ai_addrlen, e);
	if (list)
		freeaddrinfo(list);
	return ok;
}

bool channel_connect(struct channel *c, struct err *e)
{
	struct sockaddr_un a;

	if (c->fd >= 0)
		return true;
	if (c->listener >= 0)
		return accept_one(c, e);
	if (c->host)
		return connect_tcp(c, e);
	return unix_address(c->path, &a, e) && connect_to(c, (struct sockaddr *)&a, sizeof(a), e);
}

void channel_set_patient(struct channel *c, bool patient)
{
	atomic_store(&c->patient, patient);
}

/* ---- bytes ---- */

bool channel_write(struct channel *c, const void *p, size_t n, struct err *e)
{
	while (n) {
		ssize_t k = write(c->fd, p, n);

		if (k < 0 && would_wait()) {
			if (!wait_for(c, c->fd, POLLOUT, e))
				return false;
			continue;
		}
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_errno(e, "writing to %s", c->uri);
		p = (const char *)p + k;
		n -= (size_t)k;
	}
	return true;
}

bool channel_read(struct channel *c, void *p, size_t n, size_t *got, struct err *e)
{
	for (;;) {
		if (!wait_for(c, c->fd, POLLIN, e))
			return false;
		ssize_t k = read(c->fd, p, n);

		if (k < 0 && (would_wait() || errno == EINTR))
			continue;
		if (k < 0)
			return err_errno(e, "reading from %s", c->uri);
		*got = (size_t)k;
		return true;
	}
}

bool channel_is_file(const struct channel *c, int *fd, uint64_t *at, uint64_t *size)
{
	struct stat st;
	off_t here = lseek(c->fd, 0, SEEK_CUR);

	if (c->fd < 0 || fstat(c->fd, &st) || !S_ISREG(st.st_mode) || here < 0 || here > st.st_size)
		return false;
	*fd = c->fd;
	*at = (uint64_t)here;
	*size = (uint64_t)(st.st_size - here);
	return true;
}

/* ---- the end ---- */

static bool child_ends(struct channel *c, int *status, int ms)
{
	for (int i = 0; i < ms / 10 && !atomic_load(&c->cancel); i++) {
		if (waitpid(c->child, status, WNOHANG) == c->child) {
			c->child = 0;
			return true;
		}
		usleep(10000);
	}
	return false;
}

bool channel_finish(struct channel *c, struct err *e)
{
	int status = 0;

	close_fd(c);
	if (!c->child)
		return true;
	/* By itself, when its input or output has ended. */
	if (!child_ends(c, &status, PATIENCE * TICK_MS))
		return err_set(e, "%s: the command does not end", c->uri);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	return err_set(e, "%s: the command ended with %s %d", c->uri, WIFEXITED(status) ? "status" : "signal",
		       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

void channel_cancel(struct channel *c)
{
	atomic_store(&c->cancel, true);
}

void channel_free(struct channel *c)
{
	if (!c)
		return;
	close_fd(c);
	if (c->listener >= 0)
		close(c->listener);
	if (c->in && c->path)
		unlink(c->path);
	if (c->child) {
		int status;

		atomic_store(&c->cancel, false);
		kill(c->child, SIGTERM);
		if (!child_ends(c, &status, 500)) {
			kill(c->child, SIGKILL);
			waitpid(c->child, NULL, 0);
		}
	}
	free(c->uri);
	free(c->host);
	free(c->port);
	free(c->path);
	free(c);
}
