/* The monitor as a person has it: ./rhea on a terminal, keys in, rows of the screen out. */
#include <criterion/criterion.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "ui/vt.h"

#ifdef CONFIG_LIBEDIT

static struct vt screen;
static int terminal = -1;
static pid_t pid;

static void set_size(int columns, int rows)
{
	struct winsize size = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows };

	ioctl(terminal, TIOCSWINSZ, &size);
	vt_resize(&screen, columns, rows);
}

static void start(const char *option, const char *stream, const char *type)
{
	struct winsize size = { .ws_col = 60, .ws_row = 24 };

	cr_assert(vt_init(&screen, 60, 24));
	pid = forkpty(&terminal, NULL, NULL, &size);
	cr_assert_geq(pid, 0);
	if (!pid) {
		if (type)
			setenv("TERM", type, 1);
		else
			unsetenv("TERM");
		execl("./rhea", "./rhea", "-S", "-nodefaults", "-display", "none", option, stream, (char *)NULL);
		_exit(127);
	}
}

static void end(void)
{
	int status;

	cr_assert_eq(write(terminal, "\005\025quit\r", 7), 7);
	waitpid(pid, &status, 0);
	cr_expect_eq(status, 0);
	close(terminal);
	vt_fini(&screen);
}

static const char *row(int y)
{
	static char text[200];
	int n = 0;

	for (int x = 0; x < screen.w; x++) {
		uint32_t ch = screen.cell[y * screen.w + x].ch;
		text[x] = (char)(ch ?: ' ');
		n = text[x] == ' ' ? n : x + 1;
	}
	text[n] = 0;
	return text;
}

/* Until the cursor stands in column x of this row. */
static void wait_for(const char *text, int x)
{
	while (strcmp(row(screen.y), text) || screen.x != x) {
		struct pollfd p = { .fd = terminal, .events = POLLIN };
		char buf[512];
		ssize_t n;

		cr_assert_eq(poll(&p, 1, 20000), 1, "'%s' (cursor %d), not '%s' (%d)", row(screen.y), screen.x, text, x);
		n = read(terminal, buf, sizeof(buf));
		cr_assert_gt(n, 0);
		vt_write(&screen, buf, (size_t)n);
	}
}

/* The row with the cursor, and where that stands in it, after these keys. */
static void keys(const char *typed, const char *text, int x)
{
	cr_assert_eq(write(terminal, typed, strlen(typed)), (ssize_t)strlen(typed));
	wait_for(text, x);
}

static void edit(void)
{
	wait_for("(rhea)", 7);
	keys("print 1\rprint 2\rprint 3\r", "(rhea)", 7);
	keys("info stat\t", "(rhea) info status", 19);
	keys("\b", "(rhea) info status", 18);
	keys("\001", "(rhea) info status", 7);
	keys("\033[C\033[C\033[3~\033[3~b", "(rhea) inb status", 10);
	keys("\005\033[D\033OD" "x", "(rhea) inb statxus", 16);
	keys("\013", "(rhea) inb statx", 16);
	keys("\027", "(rhea) inb", 11);
	keys("\002\002\025", "(rhea) b", 7);
	keys("\005\025", "(rhea)", 7);
	keys("\033[A\033[A", "(rhea) print 2", 14);
	keys("\033[B", "(rhea) print 3", 14);
	keys("\005\025", "(rhea)", 7);
	keys("\022nt 1", "(rhea) print 1", 10);
	keys("\033", "(rhea) print 1", 10);
	keys("\005", "(rhea) print 1", 14);
	keys("\025", "(rhea)", 7);
}

Test(terminal, lines_are_edited_on_xterm, .timeout = 60)
{
	start("-monitor", "stdio", "xterm");
	edit();
	end();
}

Test(terminal, lines_are_edited_on_a_terminal_without_a_name, .timeout = 60)
{
	start("-monitor", "stdio", NULL);
	edit();
	end();
}

Test(terminal, lines_are_edited_where_nothing_but_characters_can_be_shown, .timeout = 60)
{
	start("-monitor", "stdio", "dumb");
	edit();
	end();
}

Test(terminal, lines_wrap_at_the_size_the_terminal_has_now, .timeout = 60)
{
	start("-monitor", "stdio", "xterm");
	wait_for("(rhea)", 7);
	keys("# 3456789 123456789 123456789 123456789 123456789 123456789", "456789", 6);
	keys("\001", "(rhea) # 3456789 123456789 123456789 123456789 123456789 123", 7);
	keys("\005\025", "(rhea)", 7);
	set_size(30, 24);
	keys("# 3456789 123456789 123456789", "456789", 6);
	keys("\005\025", "(rhea)", 7);
	end();
}

Test(terminal, the_line_is_there_again_when_the_monitor_has_the_keyboard_again, .timeout = 60)
{
	start("-serial", "mon:stdio", "xterm");
	keys("\001c", "(rhea)", 7);
	keys("print 1\rinfo sta", "(rhea) info sta", 15);
	keys("\001c\001c", "(rhea) info sta", 15);
	keys("\002\002\002u\022nt", "(rhea) print 1", 10);
	keys("\033", "(rhea) print 1", 10);
	end();
}

#endif
