/*
 * Runs guest instructions on the host processor: registers, flags and memory are
 * loaded, a few instructions execute, everything is stored again. 32-bit code runs
 * in a compatibility-mode segment, flat; 16-bit code in segments of 64 KiB with
 * their own bases, made by modify_ldt(), with a 16-bit stack.
 *
 * Code and data stand in one area of host memory below 4 GiB, so that a guest can
 * have the same at the same addresses. Only for a process of its own: it takes
 * over signals and, outside 64-bit code, segment registers.
 *
 * x86-64 Linux only; elsewhere, or if the kernel forbids it, host_init() is false.
 */
#ifndef TESTS_INSN_HOST_H
#define TESTS_INSN_HOST_H

#include "cpu/cpu.h"

enum {
	AREA = 0x10000000, AREA_SIZE = 0x100000,
	INSN_AT = AREA + 0x20000,			/* code from here to the area's end */
	DATA = AREA + 0xf800, DATA_SIZE = 0x1000,	/* its middle is a page's end */
	/* 16-bit segments */
	CODE_BASE16 = INSN_AT, DATA_BASE16 = AREA + 0x8000,
};

enum host_code { HOST_CODE16, HOST_CODE32, HOST_CODE64 };

struct host_frame {
	uint64_t regs[NGPR];
	uint64_t flags;
	uint64_t rip;		/* after an exception: where it happened */
	/* of the frame around the code */
	uint64_t rsp;
	uint64_t entry;
	uint32_t far_off;
	uint16_t far_sel, flat_sel, data_sel;
};
/* The data area by another address, at which it can always be read and written. */
uint8_t *host_data(void);
/* Forbid or allow the code all access to the second half of the data, or writing there. */
enum host_protect { HOST_ALL, HOST_READ_ONLY, HOST_NOTHING };
void host_protect(enum host_protect how);

/* What host_run() loads and stores. */
#define host_state ((struct host_frame *)(AREA + 0x1000))

/* False: this host cannot. */
bool host_init(enum host_code code);
/* Catch the signals of exceptions again, after somebody else did. */
void host_catch(void);
/* Put code there, and behind it the jump back. 16-bit code stands at CODE_BASE16. */
void host_put(uint32_t at, const uint8_t *bytes, unsigned n);
/* Run from there. The exception raised (EXC_GP for all that end in SIGSEGV), or -1. */
int host_run(uint32_t at);

/* Does CPUID say so of the host? enum insn_cpuid. */
bool host_has(unsigned feature);

#endif
