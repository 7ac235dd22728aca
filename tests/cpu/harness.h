/*
 * A processor alone with 4 MiB of RAM at 0, for tests of cpu/: no accelerator,
 * no board but counters. Descriptor tables stand at fixed places.
 */
#ifndef TESTS_CPU_HARNESS_H
#define TESTS_CPU_HARNESS_H

#include <setjmp.h>

#include "cpu/cpu.h"
#include "cpu/phys.h"

enum {
	AT_GDT = 0x1000, AT_IDT = 0x2000, AT_TSS = 0x3000, AT_TSS2 = 0x3800, AT_LDT = 0x4000,
	AT_CODE = 0x6000, AT_STACK = 0x8000, AT_STACK3 = 0x9000, AT_PML4 = 0x10000, RAM_SIZE = 0x400000,
};

/* Selectors of the table that bench_protected() makes. */
enum {
	S_CODE = 0x08, S_DATA = 0x10, S_CODE3 = 0x1b, S_DATA3 = 0x23, S_TSS = 0x28, S_CODE16 = 0x30,
	S_DATA16 = 0x38, S_CONF = 0x40, S_CODE64 = 0x48, S_DATA1 = 0x51, S_CODE1 = 0x59, S_TSS64 = 0x60,
	S_CODE64_3 = 0x73, S_DOWN = 0x78, S_TSS2 = 0x80, S_LDT = 0x88, S_FREE = 0x90, S_FREE2 = 0x98,
	S_FREE3 = 0xa0, GDT_LIMIT = 0xff,
};

struct bench {
	struct phys *phys;
	struct ram *ram;
	struct cpu *c;
	jmp_buf env;
	int shutdowns, smm, ferrs;	/* calls of the board */
	int intr;			/* vector to acknowledge, or -1 */
};

void bench_init(struct bench *b);	/* reset state: real mode */
void bench_fini(struct bench *b);
void bench_real(struct bench *b);	/* real mode at 0:AT_CODE, stack 0:AT_STACK, vectors n -> 0x70:n */
void bench_protected(struct bench *b, int cpl);	/* 32-bit flat code at that CPL, ring-0 stack in the TSS */
void bench_long(struct bench *b, int cpl);	/* 64-bit code, identity-mapped */
void bench_vm86(struct bench *b, int iopl);	/* virtual-8086 at 0x100:0x10, stack 0x200:0x1000 */

void gdt_put(struct bench *b, unsigned sel, uint32_t base, uint32_t limit, uint32_t attr);
/* A gate at linear address va: type and DPL in attr (0x8e: interrupt gate of DPL 0). */
void gate_put(struct bench *b, uint64_t va, uint16_t sel, uint64_t off, uint32_t attr, int params);
void idt_put(struct bench *b, int vector, uint16_t sel, uint64_t off, uint32_t attr);
uint64_t mem(struct bench *b, uint64_t pa, int size);
void mem_put(struct bench *b, uint64_t pa, int size, uint64_t v);

/* The exception an expression raises, or -1. */
#define RAISED(b, expr) (setjmp((b)->env) ? take_exc((b)->c) : ((expr), -1))
/* Vector and error code as one number, for comparisons: EXC(EXC_GP, 0x18). */
#define EXC(v, e) ((v) * 0x10000 | (int)(e))
int take_exc(struct cpu *c);

#endif
