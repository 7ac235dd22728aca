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

/* ---- cache ---- */

static void misses(const char *accel)
{
	char out[4000], line[300], expect[100];

	snprintf(line, sizeof(line), "$R %s -plugin $P/cache.so,l1d=1K/2/64,l2=off,top=1 2>&1", accel);
	cr_expect_eq(run(line, out, sizeof(out)), 1);
	snprintf(expect, sizeof(expect), "l1i  %16d accesses              2 misses", INSNS);
	EXPECT(out, expect);
	EXPECT(out, "l1d               200 accesses              1 misses    0.50%");
	EXPECT(out, "l1d misses by instruction:\n               1  0xf0007  mov word [bx+0x500], cx\n");
	cr_expect_not(strstr(out, "l2 "));
}

Test(plugins, cache_has_the_known_misses) { misses(""); }
Test(plugins, cache_has_the_known_misses_interpreted) { misses("-accel tcg,interp=on"); }

Test(plugins, cache_shapes_are_looked_at)
{
	char out[2000];

	cr_expect_eq(run("for s in 32K 3K/1/64 32K/8/63 32K/0/64 2G/8/64 x; do $R -plugin $P/cache.so,l1i=$s 2>&1; done", out, sizeof(out)), 1);
	EXPECT(out, "'l1i=32K' is no argument");
	EXPECT(out, "'l1i=3K/1/64' is no argument");
	EXPECT(out, "'l1i=32K/8/63' is no argument");
	EXPECT(out, "'l1i=32K/0/64' is no argument");
	EXPECT(out, "'l1i=2G/8/64' is no argument");
	EXPECT(out, "'l1i=x' is no argument");
}

/* ---- lcov ---- */

Test(plugins, lcov_counts_instructions_without_a_program)
{
	char out[4000];

	cr_expect_eq(run("D=$(mktemp -d); $R -plugin $P/lcov.so,file=$D/x.info,from=0xf0000,to=0xf0fff 2>&1; cat $D/x.info $D/x.info.lst;"
			 "rm -r $D", out, sizeof(out)), 0);
	EXPECT(out, "TN:rhea\nSF:/");
	EXPECT(out, "x.info.lst\nDA:1,1\nDA:2,1\nDA:3,1\nDA:4,100\nDA:5,100\nDA:6,100\nDA:7,100\nDA:8,1\nDA:9,1\n");
	EXPECT(out, "LH:9\nend_of_record\n");
	EXPECT(out, "\n0xf0007  mov word [bx+0x500], cx\n");
}

/* A kernel with line numbers: what gcov would say of it. */
static const char kernel[] =
	"__asm__(\".section .mb,\\\"a\\\"\\n.long 0x1badb002, 0, -0x1badb002\\n.text\\n.globl _start\\n\"\n"		/* 1 */
	"	\"_start: mov $0x9000, %esp\\n jmp kmain\\n\");\n"
	"static volatile int sum;\n"
	"static int never(int x)\n"
	"{\n"									/* 5 */
	"	return x * 3;\n"
	"}\n"
	"void kmain(void)\n"
	"{\n"
	"	for (int i = 0; i < 10; i++)\n"				/* 10 */
	"		sum += i;\n"
	"	if (sum == 1)\n"
	"		sum = never(sum);\n"
	"	__asm__ volatile(\"outb %0, %1\" :: \"a\"((char)0), \"Nd\"((short)0xf4));\n"
	"}\n";
static const char layout[] = "ENTRY(_start) SECTIONS { . = 0x100000; .text : { *(.mb) *(.text*) } .data : { *(.data*) *(.bss*) } }";

Test(plugins, lcov_counts_lines)
{
	char out[4000];
	int status;

	setenv("K", kernel, 1);
	setenv("L", layout, 1);
	status = run("D=$(mktemp -d); printf %s \"$K\" >$D/k.c; printf %s \"$L\" >$D/k.ld;"
		     "echo | cc -m32 -c -x c -o /dev/null - 2>/dev/null || { rm -r $D; exit 4; };"
		     "cc -m32 -g -O0 -ffreestanding -fno-pic -no-pie -fno-stack-protector -nostdlib -static -Wl,-T,$D/k.ld -o $D/k.elf $D/k.c 2>$D/log ||"
		     "{ cat $D/log; rm -r $D; exit 3; };"
		     "./rhea -vga none -display none -device isa-debug-exit,iobase=0xf4 -kernel $D/k.elf -plugin $P/lcov.so,file=$D/x.info,elf=$D/k.elf 2>&1; cat $D/x.info 2>&1; rm -r $D",
		     out, sizeof(out));
	if (status == 4 || strstr(out, "needs libdw"))		/* no compiler for 32-bit code, or no libdw */
		return;
	EXPECT(out, "k.c\n");
	EXPECT(out, "DA:5,0\nDA:6,0\nDA:7,0\nDA:9,1\nDA:10,11\nDA:11,10\nDA:12,1\nDA:13,0\nDA:14,1\nDA:15,0\nLF:10\nLH:5\nend_of_record");
}

Test(plugins, lcov_wants_line_numbers)
{
	char out[2000];

	cr_expect_eq(run("$R -plugin $P/lcov.so,elf=/nowhere/k 2>&1", out, sizeof(out)), 1);
	cr_expect(strstr(out, "elf=/nowhere/k: No such file") || strstr(out, "needs libdw"), "%s", out);
	cr_expect_eq(run("$R -plugin $P/lcov.so,elf=/etc/passwd 2>&1", out, sizeof(out)), 1);
	cr_expect(strstr(out, "no line numbers") || strstr(out, "needs libdw"), "%s", out);
}
