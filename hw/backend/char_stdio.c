/*
 * Standard input and output, pseudo-terminals, files and named pipes.
 *
 * A terminal on standard input is put into raw mode and back on every way out:
 * when the stream is freed, at exit() and on signals that kill. The saved
 * settings are the one static variable here, because neither atexit() nor a
 * signal handler has an argument to carry them. A terminal that is stopped, or whose other
 * side takes nothing, would make a write wait; what others have open stays as it is, so it
 * is opened once more, not to block. Standard input at its end, or
 * /dev/null, is no longer watched: the guest just gets no more input.
 */
#include "hw/backend/char.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static struct {
	struct termios saved;
	volatile sig_atomic_t raw;	/* standard input must be restored */
	bool hooked;			/* exit and signal hooks are in place */
	bool used;			/* a stream reads standard input */
} term;

static void restore_terminal(void)
{
	if (!term.raw)
		return;
	term.raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &term.saved);
}

static void on_fatal(int signo)
{
	restore_terminal();
	signal(signo, SIG_DFL);
	raise(signo);
}

/* Only where nobody else has a handler: an accelerator may own SIGSEGV. */
static void hook_exits(void)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTERM, SIGHUP, SIGQUIT, SIGINT };

	if (term.hooked)
		return;
	term.hooked = true;
	atexit(restore_terminal);
	for (unsigned i = 0; i < ARRAY_LEN(fatal); i++) {
		struct sigaction sa;

		if (!sigaction(fatal[i], NULL, &sa) && sa.sa_handler == SIG_DFL) {
			sa.sa_handler = on_fatal;
			sa.sa_flags = 0;
			sigaction(fatal[i], &sa, NULL);
		}
	}
}

/* Then the terminal is not ours to change. One that controls nobody has no background. */
static bool in_background(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group >= 0 && group != getpgrp();
}

static void make_raw(bool keep_signals)
{
	struct termios t;

	if (term.raw || !isatty(STDIN_FILENO) || in_background() || tcgetattr(STDIN_FILENO, &term.saved))
		return;
	t = term.saved;
	t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
	if (!keep_signals)
		t.c_lflag &= ~(tcflag_t)ISIG;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	term.raw = 1;
	hook_exits();
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static void no_memory(struct err *e)
{
	err_set(e, "no memory");
}

/* A terminal by a description of our own, where the host lets us; else fd itself. */
static int own_terminal(int fd, int mode)
{
	char path[32];
	int own;

	if (!isatty(fd))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return own >= 0 ? own : fd;
}

static void close_own(int fd, int theirs)
{
	if (fd != theirs)
		close(fd);
}

static void stdio_free(struct chr *c)
{
	struct chr_fd *f = (struct chr_fd *)c;
	int in = f->in_fd, out = f->out.fd;

	chr_fd_fini(f);
	close_own(in, STDIN_FILENO);
	close_own(out, STDOUT_FILENO);
	restore_terminal();
	term.used = false;
	free(c);
}

static void terminal_size(int fd, struct chr_terminal *t)
{
	struct winsize w;

	if (!ioctl(fd, TIOCGWINSZ, &w)) {
		t->columns = w.ws_col;
		t->rows = w.ws_row;
	}
}

static void stdio_terminal(struct chr *c, struct chr_terminal *t)
{
	(void)c;
	if (!isatty(STDOUT_FILENO))
		return;
	t->type = getenv("TERM");
	terminal_size(STDOUT_FILENO, t);
}

static const struct chr_ops stdio_ops = {
	.name = "stdio", .write = chr_fd_write, .accept_input = chr_fd_accept_input, .flush = chr_fd_flush, .full = chr_fd_full,
	.front_changed = chr_fd_accept_input, .free = stdio_free, .terminal = stdio_terminal,
};

struct chr *chr_make_stdio(struct machine *m, const struct chr_spec *s, struct err *e)
{
	struct chr_fd *f;

	if (term.used) {
		err_set(e, "standard input is in use by another stream: mon:stdio shares it");
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		no_memory(e);
		return NULL;
	}
	term.used = true;
	chr_fd_init(f, m, &stdio_ops, own_terminal(STDIN_FILENO, O_RDONLY), own_terminal(STDOUT_FILENO, O_WRONLY));
	make_raw(s->signal && !s->mux);
	return &f->chr;
}

/* ---- files and pipes ---- */

struct chr_file {
	struct chr_fd f;
	char path[PATH_MAX];
};

static void file_free(struct chr *c)
{
	struct chr_fd *f = (struct chr_fd *)c;
	int in = f->in_fd, out = f->out.fd;

	chr_fd_fini(f);
	if (in >= 0)
		close(in);
	if (out >= 0 && out != in)
		close(out);
	free(f);
}

static const char *file_describe(struct chr *c)
{
	return ((struct chr_file *)c)->path;
}

static const struct chr_ops file_ops = {
	.name = "file", .write = chr_fd_write, .accept_input = chr_fd_accept_input, .flush = chr_fd_flush, .full = chr_fd_full,
	.front_changed = chr_fd_accept_input, .free = file_free, .describe = file_describe,
};

static struct chr *file_new(struct machine *m, const char *path, int in, int out, struct err *e)
{
	struct chr_file *f = calloc(1, sizeof(*f));

	if (!f) {
		no_memory(e);
		return NULL;
	}
	snprintf(f->path, sizeof(f->path), "%s", path);
	chr_fd_init(&f->f, m, &file_ops, in, out);
	f->f.out.name = f->path;
	return &f->f.chr;
}

/* A named pipe would be opened when somebody reads; opened for reading, too, it keeps what comes before that. */
static int open_file(const struct chr_spec *s)
{
	int flags = O_CREAT | O_CLOEXEC | (s->append ? O_APPEND : O_TRUNC);
	struct stat st;

	if (!stat(s->path, &st) && S_ISFIFO(st.st_mode))
		return open(s->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return open(s->path, O_WRONLY | flags, 0666);
}

struct chr *chr_make_file(struct machine *m, const struct chr_spec *s, struct err *e)
{
	int fd, n;
	char tail;

	if (!*s->path) {
		err_set(e, "a path is missing");
		return NULL;
	}
	/* A file that is open: its owner need not let anybody open it again. */
	if (sscanf(s->path, "/dev/fd/%d%c", &n, &tail) == 1)
		fd = fcntl(n, F_DUPFD_CLOEXEC, 0);
	else
		fd = open_file(s);
	if (fd < 0) {
		err_errno(e, "cannot open %s", s->path);
		return NULL;
	}
	return file_new(m, s->path, -1, fd, e);
}

struct chr *chr_make_pipe(struct machine *m, const struct chr_spec *s, struct err *e)
{
	char name[PATH_MAX + 8];
	int in, out;

	snprintf(name, sizeof(name), "%s.in", s->path);
	in = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(name, sizeof(name), "%s.out", s->path);
	out = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (in < 0 || out < 0) {
		if (in >= 0)
			close(in);
		if (out >= 0)
			close(out);
		in = out = open(s->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (in < 0) {
		err_errno(e, "cannot open %s", s->path);
		return NULL;
	}
	return file_new(m, s->path, in, out, e);
}

/* ---- pseudo-terminals ---- */

/*
 * While no program has the other side open, the descriptor reports a hang-up
 * all the time; then it is looked at ten times a second instead of watched, and
 * output vanishes.
 */
#define PTY_POLL (100 * NS_PER_MS)

struct chr_pty {
	struct chr_fd f;
	int fd;
	struct timer timer;
	char path[128];
};

static void pty_connect(struct chr_pty *p, bool on)
{
	chr_fd_set(&p->f, on ? p->fd : -1, on ? p->fd : -1);
	chr_event(&p->f.chr, on ? CHR_OPENED : CHR_CLOSED);
	if (!on)
		timer_mod(&p->timer, clock_now(p->timer.clock) + PTY_POLL);
}

static void pty_look(void *opaque)
{
	struct chr_pty *p = opaque;
	struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };

	if (poll(&pfd, 1, 0) > 0 && !(pfd.revents & POLLHUP))
		pty_connect(p, true);
	else
		timer_mod(&p->timer, clock_now(p->timer.clock) + PTY_POLL);
}

static void pty_eof(struct chr_fd *f)
{
	pty_connect((struct chr_pty *)f, false);
}

static void pty_free(struct chr *c)
{
	struct chr_pty *p = (struct chr_pty *)c;

	timer_del(&p->timer);
	chr_fd_fini(&p->f);
	close(p->fd);
	free(p);
}

static const char *pty_describe(struct chr *c)
{
	return ((struct chr_pty *)c)->path;
}

static void pty_terminal(struct chr *c, struct chr_terminal *t)
{
	terminal_size(((struct chr_pty *)c)->fd, t);
}

static const struct chr_ops pty_ops = {
	.name = "pty", .write = chr_fd_write, .accept_input = chr_fd_accept_input, .flush = chr_fd_flush, .full = chr_fd_full,
	.front_changed = chr_fd_accept_input, .free = pty_free, .describe = pty_describe, .terminal = pty_terminal,
};

static void raw_slave(const char *path)
{
	struct termios t;
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (!tcgetattr(fd, &t)) {
		cfmakeraw(&t);
		tcsetattr(fd, TCSANOW, &t);
	}
	close(fd);
}

struct chr *chr_make_pty(struct machine *m, const struct chr_spec *s, struct err *e)
{
	struct chr_pty *p = calloc(1, sizeof(*p));

	(void)s;
	if (!p) {
		no_memory(e);
		return NULL;
	}
	p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (p->fd < 0 || grantpt(p->fd) || unlockpt(p->fd)
	    || ptsname_r(p->fd, p->path, sizeof(p->path))) {
		err_errno(e, "cannot make a pseudo-terminal");
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return NULL;
	}
	raw_slave(p->path);
	p->f.on_eof = pty_eof;
	chr_fd_init(&p->f, m, &pty_ops, -1, -1);
	p->f.chr.open = false;
	if (m->loop) {
		timer_init(&p->timer, loop_host_clock(m->loop), pty_look, p);
		timer_mod(&p->timer, clock_now(p->timer.clock) + PTY_POLL);
	}
	return &p->f.chr;
}
