/*
 * Runs guest instructions on the host processor: registers, flags and memory are
 * loaded, a few instructions execute, everything is stored again. 32-bit code runs
 * in a compatibility-mode segment.
 *
 * Code and data stand in one area of host memory below 4 GiB, so that a guest can
 * have the same at the same addresses. Only for a process of its own: it takes
 * over signals and, for 32-bit code, DS and ES.
 *
 * x86-64 Linux only; elsewhere host_init() is false.
 */
#ifndef TESTS_INSN_HOST_H
#define TESTS_INSN_HOST_H

#include "cpu/cpu.h"

enum {
	AREA = 0x10000000, AREA_SIZE = 0x100000,
	INSN_AT = AREA + 0x20000,			/* code from here to the area's end */
	DATA = AREA + 0xf800, DATA_SIZE = 0x1000,	/* its middle is a page's end */
};

struct host_frame {
	uint64_t regs[NGPR];
	uint64_t flags;
	uint64_t rip;		/* after an exception: where it happened */
	/* of the frame around the code */
	uint64_t rsp;
	uint64_t entry;
	uint32_t far_off;
	uint16_t far_sel;
};
/* The data area by another address, at which it can always be read and written. */
uint8_t *host_data(void);
/* Forbid or allow the code all access to the second half of the data, or writing there. */
enum host_protect { HOST_ALL, HOST_READ_ONLY, HOST_NOTHING };
void host_protect(enum host_protect how);

/* What host_run() loads and stores. */
#define host_state ((struct host_frame *)(AREA + 0x1000))

/* False: this host cannot. */
bool host_init(bool is64);
/* Catch the signals of exceptions again, after somebody else did. */
void host_catch(void);
/* Put code there, and behind it the jump back. */
void host_put(uint32_t at, const uint8_t *bytes, unsigned n);
/* Run from there. The exception raised (EXC_GP for all that end in SIGSEGV), or -1. */
int host_run(uint32_t at);

#endif
