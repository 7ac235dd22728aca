/* -daemonize and -pidfile. The parent waits on a pipe that the child writes one byte to. */
#include "ui/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_child(int fd)
{
	char byte;
	ssize_t n;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	_exit(n == 1 ? 0 : 1);
}

bool daemon_fork(struct options *o, struct err *e)
{
	int fd[2];
	pid_t pid;

	if (!o->daemonize)
		return true;
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_errno(e, "-daemonize");
	pid = fork();
	if (pid < 0)
		return err_errno(e, "-daemonize");
	if (pid > 0) {
		close(fd[1]);
		wait_for_child(fd[0]);
	}
	close(fd[0]);
	setsid();
	o->ready_fd = fd[1];
	return true;
}

static bool write_pid(const char *path, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok;

	if (fd < 0)
		return err_errno(e, "-pidfile %s", path);
	ok = dprintf(fd, "%d\n", (int)getpid()) > 0 || err_errno(e, "-pidfile %s", path);
	close(fd);
	return ok;
}

static bool leave_terminal(struct options *o, struct err *e)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return err_errno(e, "-daemonize: /dev/null");
	if (write(o->ready_fd, "", 1) != 1)
		return err_errno(e, "-daemonize");
	close(o->ready_fd);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close(null);
	return true;
}

bool daemon_ready(struct options *o, struct err *e)
{
	if (o->pidfile && !write_pid(o->pidfile, e)) {
		o->pidfile = NULL;
		return false;
	}
	return !o->daemonize || leave_terminal(o, e);
}

void daemon_end(struct options *o)
{
	if (o->pidfile)
		unlink(o->pidfile);
}
