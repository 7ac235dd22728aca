/*
 * -display curses on a terminal of ours: a pseudo-terminal whose far end is ui/vt.c. The screen's
 * text and colours come, keys reach the guest, digits with Alt change pages, and the terminal is
 * as it was when the program ends or fails.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#include "config.h"
#include "tests/guest_code.h"
#include "ui/vt.h"

#ifdef CONFIG_NCURSES

#define BIOS	65536

/*
 * A firmware that only says what comes from the keyboard controller: to the serial port, a scan code in two letters.
 */
GUEST(echo, ".code16\n"
      "1: in al, 0x64\n test al, 1\n jz 1b\n in al, 0x60\n mov ah, al\n shr al, 4\n add al, 0x41\n mov dx, 0x3f8\n out dx, al\n"
      "mov al, ah\n and al, 15\n add al, 0x61\n out dx, al\n mov al, 0x20\n out dx, al\n jmp 1b\n")

struct term {
	int fd;
	pid_t pid;
	struct vt vt;
	struct termios before;
};

static void start(struct term *t, char *const argv[])
{
	struct winsize ws = { .ws_row = 24, .ws_col = 80 };
	int other;

	cr_assert(vt_init(&t->vt, 80, 24));
	cr_assert_eq(openpty(&t->fd, &other, NULL, NULL, &ws), 0);
	tcgetattr(other, &t->before);
	t->pid = fork();
	if (!t->pid) {
		setenv("TERM", "linux", 1);
		setenv("LC_ALL", "C.UTF-8", 1);
		login_tty(other);
		close(t->fd);
		execv(argv[0], argv);
		_exit(127);
	}
	close(other);
	fcntl(t->fd, F_SETFL, O_NONBLOCK);
}

/* Take what the program writes for some time. */
static void take(struct term *t, int ms)
{
	struct pollfd p = { t->fd, POLLIN, 0 };
	char buf[4096];
	ssize_t n;

	if (poll(&p, 1, ms) > 0 && (n = read(t->fd, buf, sizeof(buf))) > 0)
		vt_write(&t->vt, buf, (size_t)n);
	else if (p.revents & POLLHUP)
		usleep(1000);
}

/* The page in ASCII, a line ended by a newline. */
static const char *page(struct term *t)
{
	static char out[8192];
	size_t n = 0;

	for (int y = 0; y < t->vt.h; y++) {
		for (int x = 0; x < t->vt.w; x++) {
			uint32_t ch = t->vt.cell[y * t->vt.w + x].ch;

			out[n++] = ch ? ch < 0x7f ? (char)ch : '?' : ' ';
		}
		while (n && out[n - 1] == ' ')
			n--;
		out[n++] = '\n';
	}
	out[n] = 0;
	return out;
}

static bool shows(struct term *t, const char *text)
{
	for (int i = 0; i < 600; i++) {
		if (strstr(page(t), text))
			return true;
		take(t, 50);
	}
	fprintf(stderr, "no '%s' in:\n%s", text, page(t));
	return false;
}

static void type(struct term *t, const char *text)
{
	cr_assert_eq(write(t->fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Wait for its end, reading on; the status. */
static int end(struct term *t)
{
	struct termios after;
	int status = 0;

	for (int i = 0; i < 600 && !waitpid(t->pid, &status, WNOHANG); i++)
		take(t, 50);
	for (int i = 0; i < 4; i++)
		take(t, 10);
	cr_expect_eq(tcgetattr(t->fd, &after), 0);
	cr_expect_eq(after.c_lflag & (ICANON | ECHO | ISIG), t->before.c_lflag & (ICANON | ECHO | ISIG), "the terminal is not restored");
	cr_expect_eq(after.c_iflag & ICRNL, t->before.c_iflag & ICRNL);
	close(t->fd);
	vt_fini(&t->vt);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void make_bios(char *path)
{
	static const uint8_t jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
	static uint8_t rom[BIOS];
	int fd = mkstemp(path);

	memset(rom, 0xf4, sizeof(rom));
	memcpy(rom, guest_echo, GUEST_SIZE(echo));
	memcpy(rom + 0xfff0, jump, sizeof(jump));
	cr_assert_eq(write(fd, rom, sizeof(rom)), sizeof(rom));
	close(fd);
}

#define RUN(...) ((char *[]){ "./rhea", "-display", "curses", __VA_ARGS__, NULL })

Test(curses, firmware_shows_text_and_the_monitor_answers)
{
	struct term t;

	if (access("/usr/share/seabios/bios-256k.bin", R_OK))
		return;
	start(&t, RUN("-boot", "menu=on", "-net", "none"));
	cr_expect(shows(&t, "SeaBIOS (version"));
	type(&t, "\0332");				/* Alt-2 */
	cr_expect(shows(&t, "(rhea)") || shows(&t, "(qemu)"));
	type(&t, "info status\r");
	cr_expect(shows(&t, "VM status: running"));
	type(&t, "\0331");
	cr_expect(shows(&t, "SeaBIOS (version"));
	type(&t, "\0332quit\r");
	cr_expect_eq(end(&t), 0);
}

Test(curses, keys_reach_the_guest)
{
	char bios[] = "/tmp/rhea-bios-XXXXXX";
	struct term t;

	make_bios(bios);
	start(&t, RUN("-bios", bios, "-vga", "none"));
	cr_expect(shows(&t, "(rhea)") || shows(&t, "(qemu)"));	/* no screen: the monitor */
	type(&t, "\0331");
	cr_expect(shows(&t, "no screen"));
	type(&t, "aB\033x\001\033[A\033[[A\r");
	type(&t, "\0333");				/* the serial port's page, of 80 columns without blanks at line ends */
	/* a; shift b; alt x; ctrl a; up; F1; return (scan code set 1) */
	cr_expect(shows(&t, "Bo Jo"), "a: 1e 9e");
	cr_expect(shows(&t, "Ck Da Kk La"), "B: 2a 30 aa b0");
	cr_expect(shows(&t, "Di Cn Kn Li"), "Alt-x: 38 2d ad b8");
	cr_expect(shows(&t, "Bn Bo Jo Jn"), "Ctrl-A: 1d 1e 9e 9d");
	cr_expect(shows(&t, "Oa Ei Oa Mi Dl Ll"), "up and F1: e0 48 e0 c8, 3b bb");
	cr_expect(shows(&t, "Bm Jm"), "return: 1c 9c");
	kill(t.pid, SIGTERM);
	cr_expect_eq(end(&t), 0);
	unlink(bios);
}

Test(curses, a_smaller_terminal_is_noticed)
{
	char bios[] = "/tmp/rhea-bios-XXXXXX";
	struct term t;

	make_bios(bios);
	start(&t, RUN("-bios", bios, "-vga", "none"));
	cr_expect(shows(&t, "(rhea)") || shows(&t, "(qemu)"));
	cr_assert(vt_resize(&t.vt, 40, 10));
	cr_assert_eq(ioctl(t.fd, TIOCSWINSZ, &(struct winsize){ .ws_row = 10, .ws_col = 40 }), 0);
	type(&t, "\0331");
	cr_expect(shows(&t, "               no screen\n"));	/* in the middle of 40 columns */
	type(&t, "\0332quit\r");
	cr_expect_eq(end(&t), 0);
	unlink(bios);
}

Test(curses, errors_are_told_on_a_terminal_that_is_restored)
{
	struct term t;

	start(&t, RUN("-loadvm", "nothing", "-vga", "none"));
	cr_expect(shows(&t, "rhea: -loadvm"));
	cr_expect_eq(end(&t), 1);
}

/* What a shell line says. */
static const char *said(const char *line)
{
	static char out[2000];
	FILE *p = popen(line, "r");

	out[fread(out, 1, sizeof(out) - 1, p)] = 0;
	pclose(p);
	return out;
}

#define EXPECT(line, text) cr_expect(strstr(said(line), text), "%s: %s", line, said(line))

Test(curses, it_wants_a_terminal_to_itself)
{
	EXPECT("./rhea -display curses </dev/null 2>&1", "-display curses: standard input and output are no terminal");
	EXPECT("./rhea -display curses -serial stdio 2>&1", "-display curses has the terminal; use vc, which Alt-3 shows");
	EXPECT("./rhea -display curses -monitor stdio 2>&1", "use vc, which Alt-2 shows");
	EXPECT("./rhea -display curses -nographic 2>&1", "-display curses and -nographic exclude each other");
	EXPECT("./rhea -display curses,charset=x 2>&1", "curses takes no arguments");
}

#endif
