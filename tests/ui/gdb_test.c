/*
 * The installed gdb against ./rhea, with a firmware of a few bytes: what a user
 * types, end to end. Skipped where there is no gdb.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIOS 65536

/* At f000:0000, 16-bit: counts in memory at 0000:0600 for ever. */
static const uint8_t counter[] = {
	0x31, 0xc0,			/* 0: xor ax, ax */
	0x8e, 0xd8,			/* 2: mov ds, ax */
	0x40,				/* 4: inc ax */
	0xa3, 0x00, 0x06,		/* 5: mov [0x600], ax */
	0x89, 0xc3,			/* 8: mov bx, ax */
	0xeb, 0xf8,			/* a: jmp 4 */
};

static void make_bios(char *path)
{
	static uint8_t rom[BIOS];
	static const uint8_t jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
	int fd = mkstemp(path);

	memset(rom, 0xf4, sizeof(rom));
	memcpy(rom, counter, sizeof(counter));
	memcpy(rom + 0xfff0, jump, sizeof(jump));
	cr_assert_eq(write(fd, rom, sizeof(rom)), sizeof(rom));
	close(fd);
}

/* What gdb prints for these commands behind "target remote". */
static const char *session(const char *options, const char *commands)
{
	static char out[20000];
	char bios[] = "/tmp/rhea-bios-XXXXXX", line[4000];
	size_t n;
	FILE *p;

	if (system("command -v gdb >/dev/null 2>&1"))
		cr_skip_test("no gdb here");
	make_bios(bios);
	snprintf(line, sizeof(line),
		 "timeout 20 gdb -q -nx -batch -ex 'set pagination off' -ex 'set confirm off' "
		 "-ex 'target remote | exec ./rhea -vga none -display none -serial none -monitor none "
		 "-bios %s %s -gdb stdio 2>&1' %s -ex kill 2>&1", bios, options, commands);
	p = popen(line, "r");
	n = fread(out, 1, sizeof(out) - 1, p);
	out[n] = 0;
	pclose(p);
	unlink(bios);
	return out;
}
#define EXPECT(out, text) cr_expect(strstr(out, text), "'%s' in:\n%s", text, out)

Test(gdb, starts_at_the_reset_vector_and_steps)
{
	const char *out = session("-S", "-ex 'p/x $rip' -ex 'p/x $cs' -ex stepi -ex 'p/x $rip' -ex stepi -ex stepi "
					"-ex 'p/x $rip' -ex 'info threads'");

	EXPECT(out, "$1 = 0xfff0\n");
	EXPECT(out, "$2 = 0xf000\n");
	EXPECT(out, "$3 = 0x0\n");
	EXPECT(out, "$4 = 0x4\n");
	EXPECT(out, "\"CPU#0\" (running)");
}

/* A breakpoint's address is linear, the program counter that gdb shows is an offset. */
Test(gdb, breakpoints_in_16_bit_code_stop_each_time_round)
{
	const char *out = session("-S", "-ex 'hbreak *0xf0008' -ex c -ex 'p $rip' -ex 'p $rax' -ex c -ex 'p $rax' "
					"-ex 'x/1hd 0x600' -ex delete -ex 'break *0xf000a' -ex c -ex 'p $rbx'");

	EXPECT(out, "$1 = (void (*)()) 0x8");
	EXPECT(out, "$2 = 1\n");
	EXPECT(out, "$3 = 2\n");
	EXPECT(out, "0x600:\t2\n");
	EXPECT(out, "$4 = 2\n");
}

Test(gdb, watchpoints_stop_behind_the_store)
{
	const char *out = session("-S", "-ex 'watch *(short *)0x600' -ex c -ex 'p $rip' -ex c -ex 'p *(short *)0x600'");

	EXPECT(out, "Hardware watchpoint");
	EXPECT(out, "Old value = 0\nNew value = 1\n");
	EXPECT(out, "$1 = (void (*)()) 0x8");
	EXPECT(out, "$2 = 2\n");
}

Test(gdb, registers_memory_and_the_monitor_can_be_used)
{
	const char *out = session("-S -smp 2", "-ex 'set $rbx = 0x1234' -ex 'p/x $ebx' -ex 'set *(int *)0x700 = 99' "
					"-ex 'x/1wd 0x700' -ex 'set $xmm3.v2_int64[1] = 5' -ex 'p $xmm3.v2_int64' "
					"-ex 'monitor info status' -ex 'info threads' -ex 'thread 2' -ex 'info registers cr0' -ex 'monitor gdbserver none'");

	EXPECT(out, "$1 = 0x1234\n");
	EXPECT(out, "0x700:\t99\n");
	EXPECT(out, "$2 = {0, 5}\n");
	EXPECT(out, "VM status: paused");
	EXPECT(out, "\"CPU#1\" (not started)");
	EXPECT(out, "cr0            0x60000010");
	EXPECT(out, "a debugger cannot end its own connection");
}

Test(gdb, one_of_two_processors_can_be_stepped_off_a_breakpoint)
{
	const char *out = session("-S -smp 2", "-ex 'hbreak *0xf0008' -ex c -ex 'set scheduler-locking on' -ex stepi "
					"-ex 'p $rip' -ex 'p $rbx'");

	EXPECT(out, "$1 = (void (*)()) 0xa");
	EXPECT(out, "$2 = 1\n");
}

/* The debugger writes ROM: mov al, 0x15; out 0xf4, al. It is told how the program ended. */
Test(gdb, code_can_be_patched_and_the_end_is_reported)
{
	const char *out = session("-S -device isa-debug-exit,iobase=0xf4,iosize=1", "-ex 'stepi' "
					"-ex 'set *(int *)0xf0000 = 0xf4e615b0' -ex 'x/4xb 0xf0000' -ex c");

	EXPECT(out, "0xb0\t0x15\t0xe6\t0xf4");
	EXPECT(out, "exited with code 053");
}
