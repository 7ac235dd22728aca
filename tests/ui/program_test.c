/*
 * The program as a whole, from outside: ./rhea with a firmware of a few bytes
 * that writes ports, so neither a kernel nor a firmware package is needed.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pty.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM	"./rhea"
#define BIOS	65536

/* A ROM with code at f000:0000 and a jump to it at the reset vector. */
static void make_bios(char *path, const uint8_t *code, size_t n)
{
	static uint8_t rom[BIOS];
	static const uint8_t jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
	int fd = mkstemp(path);

	memset(rom, 0xf4, sizeof(rom));
	memcpy(rom, code, n);
	memcpy(rom + 0xfff0, jump, sizeof(jump));
	cr_assert_eq(write(fd, rom, sizeof(rom)), sizeof(rom));
	close(fd);
}

/* Run a shell line, $B being the ROM; its status and the start of its output. */
static int run(const char *line, const uint8_t *code, size_t n, char *out, size_t n_out)
{
	char path[] = "/tmp/rhea-bios-XXXXXX";
	size_t got;
	FILE *p;

	make_bios(path, code, n);
	setenv("B", path, 1);
	setenv("R", PROGRAM " -vga none -display none", 1);
	p = popen(line, "r");
	got = fread(out, 1, n_out - 1, p);
	out[got] = 0;
	unlink(path);
	return WEXITSTATUS(pclose(p));
}

static const uint8_t debug_exit[] = {
	0xb0, 0x15,		/* mov al, 0x15 */
	0xe6, 0xf4,		/* out 0xf4, al */
	0xf4,			/* hlt */
};
static const uint8_t hello[] = {
	0xba, 0xf8, 0x03,	/* mov dx, 0x3f8 */
	0xb0, 'o', 0xee,	/* mov al, 'o'; out dx, al */
	0xb0, 'k', 0xee,
	0xb0, 0x00, 0xe6, 0xf4,	/* end with status 1 */
	0xf4,
};
static const uint8_t reboot[] = {
	0xba, 0xf8, 0x03, 0xb0, '.', 0xee,
	0xb0, 0xfe, 0xe6, 0x64,	/* reset through the keyboard controller */
	0xf4,
};
static const uint8_t triple_fault[] = {
	0x0f, 0x01, 0x1e, 0x10, 0x00,	/* lidt [0x10]: the contents are zero */
	0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0,	/* mov eax, cr0; or al, 1; mov cr0, eax */
	0xcc,			/* int3 */
	0xf4,
};
static const uint8_t sleep_forever[] = { 0xf4, 0xeb, 0xfd };

Test(program, debug_exit_is_the_exit_status)
{
	char out[200];

	cr_assert_eq(run("$R -bios $B -device isa-debug-exit,iobase=0xf4 2>&1", debug_exit,
			 sizeof(debug_exit), out, sizeof(out)), 0x15 << 1 | 1, "%s", out);
}

Test(program, a_changed_floppy_disk_can_be_written_to)
{
	char out[2000];

	run("truncate -s 720K $B.img; printf 'eject floppy0\nchange floppy0 %s\ninfo block\nquit\n' $B.img | "
	    "$R -bios $B -drive if=floppy -monitor stdio 2>&1; rm $B.img", sleep_forever, sizeof(sleep_forever), out,
	    sizeof(out));
	cr_assert(strstr(out, ".img (raw)"), "%s", out);
}

/* What `info block` says of a machine with these options. */
static void blocks(const char *options, char *out, size_t size)
{
	char line[300];

	snprintf(line, sizeof(line), "printf 'info block\nquit\n' | $R -bios $B -S -monitor stdio %s 2>&1", options);
	run(line, sleep_forever, sizeof(sleep_forever), out, size);
}

Test(program, a_cd_and_a_floppy_drive_are_there_unless_their_places_are_taken)
{
	char out[2000];

	blocks("", out, sizeof(out));
	cr_assert(strstr(out, "ide1-cd0: [not inserted]") && strstr(out, "floppy0: [not inserted]"), "%s", out);
	blocks("-M q35", out, sizeof(out));
	cr_assert(strstr(out, "ide2-cd0: [not inserted]") && !strstr(out, "floppy0"), "%s", out);
	blocks("-nodefaults", out, sizeof(out));
	cr_assert(!strstr(out, "not inserted"), "%s", out);
	blocks("-hdc $B -device isa-fdc", out, sizeof(out));
	cr_assert(strstr(out, "ide1-hd0: ") && !strstr(out, "not inserted"), "%s", out);
	blocks("-device ide-cd,id=own", out, sizeof(out));
	cr_assert(strstr(out, "own: [not inserted]") && !strstr(out, "ide1-cd0"), "%s", out);
}

Test(program, the_empty_drives_give_way_to_drives_of_their_names)
{
	char out[2000];

	blocks("-drive if=none,id=ide1-cd0,file=$B,format=raw,readonly=on -drive if=none,id=floppy0", out, sizeof(out));
	cr_assert(strstr(out, "ide1-cd0: /") && strstr(out, "floppy0: [not inserted]"), "%s", out);
}

Test(program, both_accelerators_agree)
{
	char out[200];

	cr_assert_eq(run("$R -accel tcg,interp=on -bios $B -device isa-debug-exit,iobase=0xf4 2>&1", debug_exit,
			 sizeof(debug_exit), out, sizeof(out)), 0x15 << 1 | 1, "%s", out);
}

Test(program, serial_output_is_complete_at_exit)
{
	char out[200];

	cr_assert_eq(run("$R -bios $B -serial stdio -device isa-debug-exit,iobase=0xf4 </dev/null", hello,
			 sizeof(hello), out, sizeof(out)), 1);
	cr_assert_str_eq(out, "ok");
}

Test(program, no_reboot_ends_at_a_reset)
{
	char out[200];

	cr_assert_eq(run("$R -no-reboot -bios $B -serial stdio </dev/null", reboot, sizeof(reboot), out,
			 sizeof(out)), 0);
	cr_assert_str_eq(out, ".");
}

/* A crash told to pvpanic; then the end with status 3, or nothing more. */
static const uint8_t crash_and_end[] = {
	0xba, 0x05, 0x05,	/* mov dx, 0x505 */
	0xb0, 0x01, 0xee,	/* mov al, 1; out dx, al */
	0xe6, 0xf4,		/* out 0xf4, al */
	0xf4,
};
static const uint8_t crash_and_stand[] = { 0xba, 0x05, 0x05, 0xb0, 0x01, 0xee, 0xf4 };

#define CRASH(code, action) \
	run("$R -bios $B -device pvpanic -device isa-debug-exit,iobase=0xf4 " action " 2>&1", code, sizeof(code), \
	    out, sizeof(out))

Test(program, what_a_crash_leads_to_is_told_by_action)
{
	char out[200];

	cr_expect_eq(CRASH(crash_and_end, "-action panic=none"), 3, "%s", out);
	cr_expect_eq(CRASH(crash_and_stand, "-action panic=exit-failure"), 1, "%s", out);
	cr_expect_eq(CRASH(crash_and_stand, "-action panic=shutdown"), 0, "%s", out);
	cr_expect_eq(CRASH(crash_and_stand, ""), 0, "%s", out);
}

Test(program, a_triple_fault_is_a_reset)
{
	char out[200];

	cr_assert_eq(run("$R -no-reboot -bios $B 2>&1", triple_fault, sizeof(triple_fault), out, sizeof(out)), 0,
		     "%s", out);
}

Test(program, terminates_cleanly_on_a_signal)
{
	char out[200];

	cr_assert_eq(run("$R -bios $B & sleep 0.3; kill $!; wait $!", sleep_forever, sizeof(sleep_forever), out,
			 sizeof(out)), 0);
}

Test(program, monitor_on_standard_input)
{
	char out[4000];

	cr_assert_eq(run("{ sleep 0.2; echo info status; echo stop; echo info status; echo quit; } | "
			 "$R -bios $B -monitor stdio", sleep_forever, sizeof(sleep_forever), out, sizeof(out)), 0);
	cr_assert(strstr(out, "VM status: running"), "%s", out);
	cr_assert(strstr(out, "VM status: paused"), "%s", out);
}

Test(program, stopped_until_told_to_go_on)
{
	char out[4000];

	cr_assert_eq(run("{ echo info status; echo cont; sleep 2; } | "
			 "$R -S -bios $B -monitor stdio -device isa-debug-exit,iobase=0xf4", debug_exit,
			 sizeof(debug_exit), out, sizeof(out)), 0x15 << 1 | 1);
	cr_assert(strstr(out, "prelaunch"), "%s", out);
}

Test(program, daemon_writes_its_number_and_removes_it)
{
	char out[4000];

	cr_assert_eq(run("f=$(mktemp) && $R -daemonize -pidfile $f -bios $B && p=$(cat $f) && kill -0 $p && kill $p && "
			 "for i in 1 2 3 4 5 6 7 8 9; do [ -e $f ] || exit 7; sleep 0.2; done", sleep_forever,
			 sizeof(sleep_forever), out, sizeof(out)), 7);
}

Test(program, a_daemon_that_fails_says_so)
{
	char out[4000];

	cr_assert_eq(run("$R -daemonize -bios $B -hda /nonexistent/disk 2>&1", sleep_forever,
			 sizeof(sleep_forever), out, sizeof(out)), 1);
	cr_assert(strstr(out, "/nonexistent/disk"), "%s", out);
}

Test(program, mistakes_are_one_line_and_status_1)
{
	static const char *const lines[] = {
		"$R -kernl x 2>&1", "$R -m 2>&1", "$R -kernel /nonexistent 2>&1", "$R -accel kvm 2>&1",
		"$R -device isa-debug-exti 2>&1", "$R -serial stdoi 2>&1", "$R -cpu mx 2>&1", "$R -d itn 2>&1",
	};
	char out[1000], *end;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		cr_expect_eq(run(lines[i], sleep_forever, sizeof(sleep_forever), out, sizeof(out)), 1, "%s", lines[i]);
		end = strchr(out, '\n');
		cr_expect(end && !end[1] && !strncmp(out, "rhea: ", 6), "%s: %s", lines[i], out);
	}
}

/* docs/rhea.bash asks the program itself, so it knows what this one knows. */
Test(program, completion_offers_what_there_is)
{
	static const char want[] = "-kernel\nisa-debug-exit\nin_asm\nConroe Conroe-v1\nx,romfile=\n"
				   "q35,accel= q35,acpi=\nmax,+avx2\non,rdpid=\nx,serial=\nclock=\na,hostfwd=\n\n/";
	char script[sizeof(__FILE__) + 40], line[2400], out[300];

	snprintf(script, sizeof(script), "%.*sdocs/rhea.bash", (int)(sizeof(__FILE__) - sizeof("tests/ui/program_test.c")), __FILE__);
	snprintf(line, sizeof(line), "bash -c '. %s; try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_LINE=\"$*\"; "
		 "COMP_POINT=${#COMP_LINE}; COMPREPLY=(); _rhea; "
		 "echo \"${COMPREPLY[*]}\"; }; try " PROGRAM " -kern; try " PROGRAM " -device isa-debug-e; "
		 "try " PROGRAM " -nographic -d in_a; try " PROGRAM " -cpu Conr; try " PROGRAM " -device e1000,mac=x,rom; "
		 "try " PROGRAM " -machine q35,ac; try " PROGRAM " -cpu max,+avx2; try " PROGRAM " -cpu max,aes=on,rdp; "
		 "try " PROGRAM " -drive file=x,se; try " PROGRAM " -rtc cl; try " PROGRAM " -netdev user,id=a,hostf; "
		 "try " PROGRAM " -append x,y; "
		 "touch $B.qcow2; try " PROGRAM " -drive if=none,file=$B.q; rm $B.qcow2' 2>/dev/null", script);
	cr_assert_eq(run(line, sleep_forever, sizeof(sleep_forever), out, sizeof(out)), 0, "%s", out);
	cr_assert_eq(strncmp(out, want, strlen(want)), 0, "%s", out);
	cr_assert(strstr(out, ".qcow2\n"), "%s", out);
}

Test(program, trace_points_fire_from_the_first_instruction_on)
{
	char out[4000];

	run("$R -bios $B -device isa-debug-exit,iobase=0xf4 -serial null -trace 'isa-serial0.data.*' -trace file=$B.t 2>&1; "
	    "cat $B.t; rm $B.t", hello, sizeof(hello), out, sizeof(out));
	cr_assert(strstr(out, " isa-serial0.data.write 0x6f\n"), "%s", out);
	cr_assert(strstr(out, " isa-serial0.data.write 0x6b\n"), "%s", out);
}

Test(program, a_trace_point_that_is_not_there_names_the_nearest)
{
	char out[4000];

	cr_assert_eq(run("$R -bios $B -serial null -trace isa-serial0.ie.write 2>&1", sleep_forever, sizeof(sleep_forever),
			 out, sizeof(out)), 1);
	cr_assert(strstr(out, "did you mean isa-serial0.ier.write?"), "%s", out);
}

Test(program, trace_help_lists_the_points_of_this_machine)
{
	char out[65536];

	cr_assert_eq(run("$R -bios $B -serial null -trace help 2>&1", sleep_forever, sizeof(sleep_forever), out,
			 sizeof(out)), 0);
	cr_assert(strstr(out, "isa-serial0.ier.write : state 0\n"), "%s", out);
}

/*
 * The monitor on a terminal that controls no process, as programs that drive one make it: typed bytes
 * come at once, so that TAB completes a word.
 */
Test(program, the_monitor_edits_lines_on_any_terminal, .timeout = 60)
{
	char *const argv[] = { (char *)PROGRAM, (char *)"-S", (char *)"-nodefaults", (char *)"-display", (char *)"none",
			       (char *)"-monitor", (char *)"stdio", NULL };
	char said[8192] = "";
	size_t n = 0;
	int fd, other;
	pid_t pid;
	ssize_t k;

	cr_assert_eq(openpty(&fd, &other, NULL, NULL, NULL), 0);
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 3; i++)
			dup2(other, i);
		execv(argv[0], argv);
		_exit(127);
	}
	close(other);
	for (bool typed = false; !strstr(said, "info status ") && n < sizeof(said) - 1;) {
		k = read(fd, said + n, sizeof(said) - 1 - n);
		cr_assert(k > 0, "%s", said);
		n += (size_t)k;
		said[n] = 0;
		if (!typed && strstr(said, "(rhea) "))
			typed = write(fd, "info stat\t", 10) == 10;
	}
	cr_expect_eq(write(fd, "\x15quit\r", 6), 6);
	waitpid(pid, NULL, 0);
	close(fd);
}
