/*
 * User-mode code on two sides: on the host processor, and in a vCPU whose page tables,
 * descriptor tables and control registers look to a program as 64-bit Linux's do. Both
 * have the same bytes at the same linear addresses, so that a program can tell neither
 * by an address, a fault or an error code.
 *
 *	DATA + 0x0000  two pages		CODE  code, readable and executable
 *	DATA + 0x2000  a page to read		EPI   where code ends, executable
 *	DATA + 0x3000  nothing
 *	DATA + 0x4000  a page			all else: nothing, and the kernel's upper half
 *
 * Code ends with a jump to EPI (EPI32 in 32-bit code), which stores registers beyond
 * 4 GiB: on the host that is the way back, in the vCPU it faults, and that is the end, too.
 * 16-bit code runs in segments of 64 KiB based at CODE and DATA, made by modify_ldt(),
 * 32-bit code flat in compatibility mode.
 *
 * The host's side takes over the process: signals (all of exceptions; SIGFPE goes on to
 * who had it while no code runs), the bases of FS and GS while code runs. One thread.
 *
 * Not modelled: code that enters the kernel, or looks at where the tables are.
 * Source: Linux arch/x86 (selectors, what signals tell of exceptions: trap number, error
 * code, CR2), SDM vol. 1 13.4 (XSAVE area).
 */
#ifndef TESTS_INSN_USER_H
#define TESTS_INSN_USER_H

#include "cpu/accel.h"
#include "cpu/phys.h"

enum { USER_DATA = 0x10020000, USER_CODE = 0x70000000 };
#define USER_EPI	0xe0000000u
#define USER_EPI32	0xe0000800u
enum { USER_DATA_PAGES = 5, USER_DATA_BYTES = USER_DATA_PAGES * 4096, USER_CODE_BYTES = 0xc000,
       USER_RO = 0x2000, USER_HOLE = 0x3000, USER_LAST = 0x4000 };

enum { USER_XSAVE = 832 };	/* legacy region, header, upper halves of YMM */
enum { X_FCW = 0, X_FSW = 2, X_FTW = 4, X_MXCSR = 24, X_ST = 32, X_XMM = 160, X_BV = 512, X_YMM = 576 };

#define USER_END	(-1)	/* vector: the code came to its end */
#define USER_LOST	999	/* vector: the vCPU shut down */

struct user_state {
	uint64_t regs[NGPR];
	uint64_t flags, rip;		/* rip 32 or 16 bits wide in such code */
	uint64_t fs_base, gs_base;	/* 64-bit code */
	bool segments;			/* the code may change segment registers */
	uint8_t xsave[USER_XSAVE] __attribute__((aligned(64)));
	/* afterwards */
	int vector;			/* exception, or USER_END */
	uint64_t error, cr2;		/* 0 where they mean nothing */
	uint16_t ds, es, fs, gs;	/* selectors, if `segments` */
};

/* A zero state with x87 and SSE as after a reset, exceptions masked. */
void user_state_init(struct user_state *s);
/* The x87's error summary as its flags and masks demand. */
void user_state_summary(struct user_state *s);
/* What must not be compared is cleared: see user.c. */
void user_state_canonical(struct user_state *s, int bits);

/* RIP of the code at that offset into USER_CODE. */
static inline uint64_t user_rip(int bits, unsigned off)
{
	return (bits == 16 ? 0 : USER_CODE) + off;
}
/* Bytes of the jump to the end, for code at linear address `at`; returns how many (at most 8). */
unsigned user_put_end(uint8_t *p, int bits, uint32_t at);
/* Fill the page that can only be read. */
void user_fill_ro(uint8_t *page);

/* ---- the host's side ---- */

/* False: this host cannot, e->msg says why. After the vCPUs have been created. */
bool host_open(int bits, struct err *e);
/* The data pages: the program's own addresses. The third can only be read. */
static inline uint8_t *host_mem(void)
{
	return (uint8_t *)(uintptr_t)USER_DATA;
}
/* Writable address of what stands at USER_CODE; say so behind writing. */
uint8_t *host_code(void);
void host_code_changed(void);
/* Does the process have memory of its own at va, which vCPUs do not have? */
bool host_owns(uint64_t va);
void host_exec(const struct user_state *in, struct user_state *out);

/* ---- a vCPU's side ---- */

#define USER_IRQ	0x30	/* what REQ_INTR brings: a handler that returns at once */

struct user {
	struct cpu *c;
	struct phys *phys;
	struct ram *ram;
	int bits;
	bool shut_down;
	unsigned irqs;			/* delivered */
	struct seg segs[NSEG];
	uint64_t cr0;
};

bool user_open(struct user *u, int bits, const struct accel_ops *ops, struct err *e);
/* One of several vCPUs, as far as its code is concerned: there are no others. */
bool user_open_of(struct user *u, int bits, unsigned ncpus, const struct accel_ops *ops, struct err *e);
void user_close(struct user *u);
uint8_t *user_mem(const struct user *u);
uint8_t *user_code(const struct user *u);
void user_exec(struct user *u, const struct user_state *in, struct user_state *out);

#endif
