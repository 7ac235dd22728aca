/* Byte streams: specifications, queues, the mux, sockets on loopback. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench.h"
#include "hw/core/loop.h"

static struct bench b;
static char got[65536];
static int n_got, room = 1 << 20;
static int events[8];

static int front_room(void *opaque) { (void)opaque; return room; }
static void front_input(void *opaque, const uint8_t *p, int n)
{
	(void)opaque;
	memcpy(got + n_got, p, n);
	n_got += n;
	room -= n;
}
static void front_event(void *opaque, enum chr_event ev) { (void)opaque; events[ev]++; }
static const struct chr_front front = { front_room, front_input, front_event };

static struct loop *l;

static void setup(void)
{
	bench_machine(&b);
	b.m->clock.host = clock_host_real;
	l = loop_new(b.m, &b.err);
}
static void teardown(void)
{
	bench_close(&b);
	loop_free(l);
}
TestSuite(char, .init = setup, .fini = teardown, .timeout = 20);

static struct chr *make(const char *spec)
{
	struct chr *c = chr_new(b.m, "x", spec, &b.err);

	cr_assert(c, "%s", b.err.msg);
	return c;
}

/* Rounds of the loop, which wants the lock free. */
static void rounds(int n)
{
	machine_unlock(b.m);
	while (n--)
		loop_step(l, NS_PER_MS);
	machine_lock(b.m);
}

Test(char, wrong_specifications_are_refused)
{
	static const char *const wrong[] = {
		"nonsense", "file", "file,colour=red", "ringbuf:xyz", "tcp:localhost:notaport-",
		"file:/nonexistent/folder/file", "unix:/nonexistent", "socket",
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		cr_expect_null(chr_new(b.m, "x", wrong[i], &b.err), "%s", wrong[i]);
	cr_expect_null(chr_new(b.m, NULL, "null", &b.err), "no id");
	cr_expect_null(chr_new(b.m, "bench", "null", &b.err), "the id exists");
}

Test(char, the_long_form_names_its_id)
{
	cr_assert(chr_new(b.m, NULL, "ringbuf,id=log,size=16", &b.err), "%s", b.err.msg);
	cr_assert(chr_find(b.m, "log"));
}

Test(char, a_ring_keeps_the_last_bytes)
{
	struct chr *c = make("ringbuf:8");
	char buf[16];

	chr_puts(c, "0123456789");
	cr_assert_eq(chr_ring_read(c, buf, 16), 8);
	cr_assert_arr_eq(buf, "23456789", 8);
	cr_assert_eq(chr_ring_read(c, buf, 16), 0);
}

Test(char, a_file_is_complete_after_the_flush)
{
	char path[] = "/tmp/rhea-char-XXXXXX", spec[64], buf[32] = { 0 };
	int fd = mkstemp(path);

	snprintf(spec, sizeof(spec), "file:%s", path);
	chr_puts(make(spec), "hello");
	chr_flush_all(b.m);
	cr_assert_eq(read(fd, buf, sizeof(buf)), 5);
	cr_assert_str_eq(buf, "hello");
	unlink(path);
}

/* Standard output becomes a pipe that is too small for what is written. */
Test(char, a_full_pipe_loses_nothing)
{
	int p[2], keep = dup(STDOUT_FILENO);
	const int total = 300000;
	uint8_t *all = malloc(total);
	int n = 0;
	struct chr *c;

	cr_assert_eq(pipe(p), 0);
	dup2(p[1], STDOUT_FILENO);
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	c = make("stdio");
	for (int i = 0; i < total; i++)
		chr_putc(c, (uint8_t)(i * 31 >> 3));
	while (n < total) {
		struct pollfd pfd = { .fd = p[0], .events = POLLIN };

		rounds(1);
		if (poll(&pfd, 1, 0) > 0)
			n += (int)read(p[0], all + n, total - n);
	}
	for (int i = 0; i < total; i++)
		cr_assert_eq(all[i], (uint8_t)(i * 31 >> 3), "byte %d", i);
	dup2(keep, STDOUT_FILENO);
	free(all);
}

Test(char, standard_input_at_its_end_does_not_spin)
{
	int keep = dup(STDIN_FILENO);
	struct clock *hc = loop_host_clock(l);
	uint64_t t;
	struct chr *c;

	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	c = make("stdio");
	chr_attach(c, &front, NULL);
	rounds(2);
	t = clock_now(hc);
	rounds(3);				/* nothing to do: each sleeps its millisecond */
	cr_assert_geq(clock_now(hc) - t, 2 * NS_PER_MS);
	dup2(keep, STDIN_FILENO);
}

Test(char, input_waits_for_room)
{
	int p[2], keep = dup(STDIN_FILENO);
	struct chr *c;

	cr_assert_eq(pipe(p), 0);
	dup2(p[0], STDIN_FILENO);
	c = make("stdio");
	room = 2;
	chr_attach(c, &front, NULL);
	cr_assert_eq(write(p[1], "abcdef", 6), 6);
	rounds(3);
	cr_assert_eq(n_got, 2);
	room = 10;
	chr_accept_input(c);
	rounds(3);
	cr_assert_eq(n_got, 6);
	cr_assert_arr_eq(got, "abcdef", 6);
	dup2(keep, STDIN_FILENO);
}

static int dial(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

Test(char, a_socket_server_takes_one_client_after_another)
{
	char path[64], spec[96], buf[16];
	struct chr *c;
	int fd;

	snprintf(path, sizeof(path), "/tmp/rhea-sock-%d", getpid());
	snprintf(spec, sizeof(spec), "unix:%s,server=on,wait=off", path);
	c = make(spec);
	chr_attach(c, &front, NULL);
	chr_puts(c, "nobody hears this");
	for (int i = 1; i <= 2; i++) {
		fd = dial(path);
		cr_assert_eq(write(fd, "hi", 2), 2);
		rounds(4);
		cr_assert_eq(events[CHR_OPENED], i);
		cr_assert_eq(n_got, 2 * i);
		chr_puts(c, "there");
		rounds(3);
		cr_assert_eq(read(fd, buf, sizeof(buf)), 5);
		close(fd);
		rounds(3);
		cr_assert_eq(events[CHR_CLOSED], i);
	}
}

/* ---- the mux ---- */

static int in_fd, out_fd;

static struct chr *mux(void)
{
	int pin[2], pout[2];
	struct chr *c;

	cr_assert_eq(pipe(pin), 0);
	cr_assert_eq(pipe(pout), 0);
	dup2(pin[0], STDIN_FILENO);
	dup2(pout[1], STDOUT_FILENO);
	in_fd = pin[1];
	out_fd = pout[0];
	c = make("mon:stdio");
	return c;
}

static void press(const char *s)
{
	cr_assert_eq(write(in_fd, s, strlen(s)), (ssize_t)strlen(s));
	rounds(3);
}

static char other[64];
static void other_input(void *opaque, const uint8_t *p, int n)
{
	(void)opaque;
	strncat(other, (const char *)p, n);
}
static const struct chr_front other_front = { front_room, other_input, NULL };

Test(char, the_mux_switches_between_its_front_ends)
{
	struct chr *c = mux(), *serial = chr_attach(c, &front, NULL), *monitor = chr_attach(c, &other_front, NULL);

	cr_assert(serial && monitor && serial != monitor);
	press("ab");
	cr_assert_arr_eq(got, "ab", 2);
	press("\001cxy");
	cr_assert_str_eq(other, "xy");
	press("\001ccd");
	cr_assert_eq(n_got, 4);
	press("\001\001");
	cr_assert_eq(got[4], 1);
}

Test(char, the_mux_quits_breaks_and_helps)
{
	struct chr *c = mux();
	char buf[512] = { 0 };

	chr_attach(c, &front, NULL);
	press("\001b");
	cr_assert_eq(events[CHR_BREAK], 1);
	press("\001h");
	cr_assert_gt(read(out_fd, buf, sizeof(buf) - 1), 0);
	cr_assert(strstr(buf, "C-a x"));
	press("\001x");
	cr_assert_eq(b.requests[MACHINE_EXIT], 1);
}

Test(char, escapes_work_although_the_guest_does_not_read)
{
	struct chr *c = mux();

	room = 0;
	chr_attach(c, &front, NULL);
	press("ignored\001x");
	cr_assert_eq(b.requests[MACHINE_EXIT], 1);
}

Test(char, a_socket_somebody_else_made)
{
	int pair[2];
	char spec[60], buf[8];

	cr_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	snprintf(spec, sizeof(spec), "socket,fd=%d,server=on,wait=off", pair[0]);
	cr_assert_not(chr_new(b.m, "y", spec, &b.err));
	cr_assert(strstr(b.err.msg, "does not listen"), "%s", b.err.msg);
	cr_assert_not(chr_new(b.m, "y", "socket,fd=1000", &b.err));
	snprintf(spec, sizeof(spec), "socket,fd=%d", pair[0]);
	struct chr *c = make(spec);
	chr_attach(c, &front, NULL);
	chr_puts(c, "out");
	cr_assert_eq(write(pair[1], "in", 2), 2);
	rounds(5);
	cr_assert_eq(read(pair[1], buf, sizeof(buf)), 3);
	cr_assert_eq(n_got, 2);
}

Test(char, descriptors_come_along)
{
	union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	struct iovec iov = { (char *)"x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	int pair[2], pin[2], fd;
	char spec[60], byte;

	cr_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !pipe(pin));
	snprintf(spec, sizeof(spec), "socket,fd=%d", pair[0]);
	struct chr *c = make(spec);
	chr_attach(c, &front, NULL);
	memset(&control, 0, sizeof(control));
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &pin[1], sizeof(int));
	cr_assert_eq(sendmsg(pair[1], &m, 0), 1);
	rounds(5);
	fd = chr_take_fd(c);
	cr_assert_geq(fd, 0);
	cr_assert_eq(chr_take_fd(c), -1);
	cr_assert_eq(write(fd, "y", 1), 1);
	cr_assert(read(pin[0], &byte, 1) == 1 && byte == 'y');
}

/* A stream whose reader has fallen behind, and that reader. */
static struct chr *full_stream(int pair[2])
{
	static const struct chr_front answering = { front_room, front_input, front_event, .answers = true };
	static const char zeros[400 << 10];
	char spec[60];
	struct chr *c;

	signal(SIGPIPE, SIG_IGN);
	cr_assert(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	snprintf(spec, sizeof(spec), "socket,fd=%d", pair[0]);
	c = make(spec);
	chr_attach(c, &answering, NULL);
	chr_write(c, zeros, sizeof(zeros));
	chr_write(c, zeros, sizeof(zeros));
	rounds(5);
	cr_assert(chr_full(c));
	return c;
}

Test(char, who_answers_hears_nothing_while_nobody_reads)
{
	static char buf[64 << 10];
	int pair[2];

	full_stream(pair);
	cr_assert_eq(write(pair[1], "in", 2), 2);
	rounds(5);
	cr_assert_eq(n_got, 0);
	for (int i = 0; i < 100; i++) {
		while (read(pair[1], buf, sizeof(buf)) > 0)
			;
		rounds(1);
	}
	cr_assert_eq(n_got, 2);
}

Test(char, a_reader_that_goes_makes_room)
{
	int pair[2];
	struct chr *c = full_stream(pair);

	cr_assert_eq(write(pair[1], "in", 2), 2);
	rounds(5);			/* which it does not take, */
	close(pair[1]);
	chr_puts(c, "more");		/* and this finds out that nobody reads */
	for (int i = 0; i < 1000 && !events[CHR_ROOM]; i++) {
		usleep(100);
		rounds(1);
	}
	cr_assert_geq(events[CHR_ROOM], 1);
	cr_assert_not(chr_full(c));
}

/* ---- what the host refuses or makes wait ---- */

Test(char, a_pipe_nobody_reads_stops_nobody)
{
	char path[64], spec[96], buf[16];
	struct chr *c;
	int fd;

	snprintf(path, sizeof(path), "/tmp/rhea-fifo-%d", getpid());
	cr_assert_eq(mkfifo(path, 0600), 0);
	snprintf(spec, sizeof(spec), "file:%s", path);
	c = make(spec);
	chr_puts(c, "kept");
	rounds(3);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	cr_assert_eq(read(fd, buf, sizeof(buf)), 4);
	unlink(path);
}

Test(char, a_terminal_that_shows_nothing_stops_nobody)
{
	static const char lines[300000];
	int master = posix_openpt(O_RDWR | O_NOCTTY), keep = dup(STDOUT_FILENO), slave;
	struct chr *c;

	cr_assert(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	dup2(slave, STDOUT_FILENO);
	c = make("stdio");
	for (int i = 0; i < 5; i++)
		chr_write(c, lines, sizeof(lines) / 5);
	rounds(3);
	cr_assert(chr_full(c));
	cr_assert_not(fcntl(slave, F_GETFL) & O_NONBLOCK, "others use it as well");
	dup2(keep, STDOUT_FILENO);
}

Test(char, standard_input_has_one_reader)
{
	make("stdio");
	cr_assert_null(chr_new(b.m, "y", "stdio", &b.err));
	cr_assert(strstr(b.err.msg, "in use"), "%s", b.err.msg);
	chr_free(chr_find(b.m, "x"));
	make("stdio");
}

Test(char, only_a_socket_makes_way_for_a_socket)
{
	char path[] = "/tmp/rhea-char-XXXXXX", spec[96];
	int fd = mkstemp(path);

	snprintf(spec, sizeof(spec), "unix:%s,server=on,wait=off", path);
	cr_assert_null(chr_new(b.m, "x", spec, &b.err));
	cr_assert_eq(access(path, F_OK), 0, "somebody's file");
	unlink(path);
	chr_free(make(spec));
	close(fd);
}

Test(char, addresses_of_version_6_stand_in_brackets)
{
	struct chr *c = chr_new(b.m, "x", "tcp:[::1]:0,server=on,wait=off", &b.err);

	cr_assert(c || !strstr(b.err.msg, "not known"), "%s", b.err.msg);
}

Test(char, a_doubled_comma_is_one_of_the_path)
{
	char path[64], spec[96];

	snprintf(path, sizeof(path), "/tmp/rhea-char-%d,a", getpid());
	snprintf(spec, sizeof(spec), "file,path=/tmp/rhea-char-%d,,a", getpid());
	make(spec);
	cr_assert_eq(unlink(path), 0);
}

/* A server whose program has no descriptors left is not asked again at once. */
Test(char, a_caller_that_finds_no_descriptor_waits)
{
	struct rlimit few, keep;
	struct clock *hc = loop_host_clock(l);
	char path[64], spec[96];
	uint64_t t;
	int fd;

	snprintf(path, sizeof(path), "/tmp/rhea-sock-%d", getpid());
	snprintf(spec, sizeof(spec), "unix:%s,server=on,wait=off", path);
	chr_attach(make(spec), &front, NULL);
	fd = dial(path);
	getrlimit(RLIMIT_NOFILE, &keep);
	few = (struct rlimit){ (rlim_t)fd + 1, keep.rlim_max };
	for (int i = 0; i < fd; i++)
		if (fcntl(i, F_GETFD) < 0)
			dup2(fd, i);
	setrlimit(RLIMIT_NOFILE, &few);
	rounds(2);
	t = clock_now(hc);
	rounds(5);			/* each sleeps its millisecond */
	cr_expect_geq(clock_now(hc) - t, 4 * NS_PER_MS);
	setrlimit(RLIMIT_NOFILE, &keep);
	machine_unlock(b.m);
	for (int i = 0; i < 300 && !events[CHR_OPENED]; i++)
		loop_step(l, 10 * NS_PER_MS);
	machine_lock(b.m);
	cr_assert_eq(events[CHR_OPENED], 1, "and gets in later");
	close(fd);
}

Test(char, whoever_waits_for_a_caller_can_be_ended)
{
	char spec[96];
	pid_t child;
	sigset_t term;
	int status;

	snprintf(spec, sizeof(spec), "unix:/tmp/rhea-sock-%d,server=on", getpid());
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);	/* as the program does, which reads its signals in the loop */
	child = fork();
	if (!child) {
		signal(SIGTERM, SIG_DFL);
		make(spec);
		_exit(0);
	}
	usleep(100000);
	kill(child, SIGTERM);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

Test(char, what_goes_out_is_written_to_the_log_as_well)
{
	char path[] = "/tmp/rhea-char-XXXXXX", spec[96], buf[32] = { 0 };
	int fd = mkstemp(path);

	cr_assert_eq(write(fd, "before ", 7), 7);
	snprintf(spec, sizeof(spec), "null,logfile=%s,logappend=on", path);
	chr_puts(make(spec), "hello");
	cr_assert_eq(pread(fd, buf, sizeof(buf), 0), 12);
	cr_assert_str_eq(buf, "before hello");
	unlink(path);
}

Test(char, a_full_disk_is_told_once)
{
	struct chr *c = make("file:/dev/full");
	char text[64] = "";
	int p[2], keep = dup(STDERR_FILENO);

	cr_assert_eq(pipe2(p, O_NONBLOCK), 0);
	dup2(p[1], STDERR_FILENO);
	for (int i = 0; i < 3; i++) {
		chr_puts(c, "lost");
		chr_flush_all(b.m);
	}
	dup2(keep, STDERR_FILENO);
	cr_assert_gt(read(p[0], text, sizeof(text) - 1), 0);
	cr_assert(strstr(text, "/dev/full"), "%s", text);
	cr_assert_lt(read(p[0], text, sizeof(text) - 1), 0);
}

Test(char, telnet_doubles_its_escape)
{
	struct chr *c;
	uint8_t buf[64];
	char spec[96];
	int pair[2];

	cr_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	snprintf(spec, sizeof(spec), "socket,fd=%d,telnet=on", pair[0]);
	c = make(spec);
	rounds(3);
	cr_assert_eq(read(pair[1], buf, sizeof(buf)), 12, "what it offers");
	chr_write(c, "a\xff" "b", 3);
	rounds(3);
	cr_assert_eq(read(pair[1], buf, sizeof(buf)), 4);
	cr_assert_arr_eq(buf, "a\xff\xff" "b", 4);
}
