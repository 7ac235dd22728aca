/*
 * Runs one instruction on the host processor with chosen registers, vectors, flags and
 * memory. 64-bit code, CPL 3, x86-64 Linux only. Slower than host.h and without 32-bit
 * code, but with vector and x87 registers, any stack pointer, and faults in any state.
 *
 * A signal handler puts the state into its own frame and returns into the code; an INT3
 * behind the instruction, or a fault, leads to the handler again, which takes it out.
 *
 * Not possible: what ends in the kernel (syscall, int 80h), what changes FS or GS (thread
 * local storage), what sets TF.
 */
#ifndef TESTS_INSN_NATIVE_H
#define TESTS_INSN_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#define NATIVE_SCRATCH 8192	/* bytes of memory an instruction may reach */

struct native_state {
	uint64_t gpr[16];		/* RAX.. R15, numbers of cpu/cpu.h */
	uint64_t rip;			/* out: address behind what ran; of a fault, the instruction */
	uint32_t flags;			/* arithmetic flags and DF */
	int vector;			/* out: exception, or -1 */
	uint8_t x87[160];		/* start of an FXSAVE image: control, MXCSR, ST registers */
	uint8_t ymm[16][32];
	uint8_t mem[NATIVE_SCRATCH];	/* contents of native_scratch() */
};

/* Registers all zero, x87 and SSE as after FNINIT, exceptions masked. */
void native_state_init(struct native_state *s);

/* Install handlers, map code and scratch. Once a process; asserts that it works. */
void native_open(void);
/* Address of the memory that `mem` is copied to and from; below 2 GiB, page-aligned. Behind it nothing is mapped. */
uint64_t native_scratch(void);
/* Address the instruction starts at. */
uint64_t native_code(void);
/* Run the n bytes at code; *s is in and out. */
void native_run(const uint8_t *code, unsigned n, struct native_state *s);

#endif
