/*
 * -plugin and the plugins that ship, from outside: ./rhea with a firmware of a few bytes whose
 * instructions and accesses are known, and what is said of files that are no plugins.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest_code.h"

#define BIOS	65536

/* 100 rounds, each with a store and a load; 16-bit code, ended by isa-debug-exit with status 0 << 1 | 1. */
GUEST(rounds, ".code16\n mov cx, 100\n xor bx, bx\n mov ds, bx\n 1: mov [bx + 0x500], cx\n add ax, [bx + 0x500]\n dec cx\n jnz 1b\n"
      "mov al, 0\n out 0xf4, al\n hlt\n")
#define INSNS	(1 + 3 + 4 * 100 + 2)	/* and the far jump at the reset vector */

/* Run a shell line: $R is the program with that firmware, $P the plugins' folder. Its status and output. */
static int run(const char *line, char *out, size_t n_out)
{
	static const uint8_t jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
	static uint8_t rom[BIOS];
	char path[] = "/tmp/rhea-bios-XXXXXX", r[200];
	int fd = mkstemp(path);
	size_t got;
	FILE *p;

	memset(rom, 0xf4, sizeof(rom));
	memcpy(rom, guest_rounds, GUEST_SIZE(rounds));
	memcpy(rom + 0xfff0, jump, sizeof(jump));
	cr_assert_eq(write(fd, rom, sizeof(rom)), sizeof(rom));
	close(fd);
	snprintf(r, sizeof(r), "./rhea -vga none -display none -bios %s -device isa-debug-exit,iobase=0xf4", path);
	setenv("R", r, 1);
	setenv("P", "plugins", 1);
	p = popen(line, "r");
	got = fread(out, 1, n_out - 1, p);
	out[got] = 0;
	unlink(path);
	return WEXITSTATUS(pclose(p));
}

#define EXPECT(out, text) cr_expect(strstr(out, text), "no '%s' in:\n%s", text, out)

/* ---- loading ---- */

Test(plugins, what_does_not_load_is_told)
{
	char out[2000];

	cr_expect_eq(run("$R -plugin /nowhere/x.so 2>&1", out, sizeof(out)), 1);
	EXPECT(out, "-plugin /nowhere/x.so: it does not load: /nowhere/x.so");
	cr_expect_eq(run("$R -plugin ./rhea 2>&1", out, sizeof(out)), 1);
	EXPECT(out, "-plugin ./rhea: it does not load");
	cr_expect_eq(run("$R -plugin /lib/x86_64-linux-gnu/libc.so.6 2>&1", out, sizeof(out)), 1);
	EXPECT(out, "it is no plugin of Rhea");
	cr_expect_eq(run("$R -plugin ,x=1 2>&1", out, sizeof(out)), 1);
	EXPECT(out, "-plugin: which?");
	cr_expect_eq(run("$R -plugin $P/insns.so,cake=1 2>&1", out, sizeof(out)), 1);
	EXPECT(out, "-plugin plugins/insns.so: unknown argument 'cake=1'; it takes");
}

Test(plugins, another_version_is_refused)
{
	char out[2000];

	cr_expect_eq(run("D=$(mktemp -d); echo 'const int rhea_plugin_abi = 77;' | cc -shared -fPIC -x c -o $D/old.so - &&"
			 "$R -plugin $D/old.so 2>&1; S=$?; rm -r $D; exit $S", out, sizeof(out)), 1);
	EXPECT(out, "made for version 77 of the interface, this is version 1");
}

Test(plugins, help_lists_and_explains)
{
	char out[4000];

	cr_expect_eq(run("./rhea -plugin help", out, sizeof(out)), 0);
	EXPECT(out, "-plugin FILE[,ARG=VALUE...]");
	cr_expect_eq(run("./rhea -plugin $P/insns.so,help", out, sizeof(out)), 0);
	EXPECT(out, "mnemonics=on");
}

/* ---- insns ---- */

static void counts(const char *accel)
{
	char out[2000], line[300], expect[100];

	snprintf(line, sizeof(line), "$R %s -plugin $P/insns.so,mnemonics=on,top=3 2>&1", accel);
	cr_expect_eq(run(line, out, sizeof(out)), 1);
	snprintf(expect, sizeof(expect), "cpu 0: %d instructions\n", INSNS);
	EXPECT(out, expect);
	snprintf(expect, sizeof(expect), "kernel 16-bit  %16d  100.0%%", INSNS);
	EXPECT(out, expect);
	EXPECT(out, "\nmov                         103\nadd                         100\ndec                         100\n");
}

Test(plugins, insns_counts) { counts(""); }
Test(plugins, insns_counts_interpreted) { counts("-accel tcg,interp=on"); }

Test(plugins, the_report_goes_to_the_log_file)
{
	char out[2000];

	cr_expect_eq(run("F=$(mktemp); $R -plugin $P/insns.so -D $F 2>&1; cat $F; rm $F", out, sizeof(out)), 0);
	EXPECT(out, "cpu 0: ");
}
