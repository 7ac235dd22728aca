/*
 * A vCPU with an accelerator, page tables, descriptor tables and a device, for tests
 * that run guest code: 16, 32 or 64-bit, at CPL 0 or 3.
 *
 * Linear addresses below 2 MiB are mapped by one page table, which tests may change.
 * Every exception ends the run at a handler of its own, on a stack of its own, unless
 * the test puts other code there; so does an `out` to port 0xf4 (MACHINE_END).
 *
 *	0x01000  GDT           0x04000  handlers, 16 bytes each     0x20000 data pages
 *	0x02000  IDT           0x08000  stack of code at CPL 0      0x40000 code pages
 *	0x03000  TSS           0x09000  stack of handlers           0x60000 device
 *
 * One machine of a process may run translated code; interpreted ones are not limited.
 */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include "cpu/accel.h"
#include "cpu/phys.h"

enum {
	M_GDT = 0x1000, M_IDT = 0x2000, M_TSS = 0x3000, M_HANDLERS = 0x4000, M_STACK = 0x8000,
	M_FAULT_STACK = 0xa000, M_DATA = 0x20000, M_CODE = 0x40000, M_DEVICE = 0x60000,
	M_TABLES = 0x100000, M_RAM_SIZE = 0x200000, M_MAX_CPUS = 4,
};
/* Selectors. */
enum { M_CODE0 = 0x08, M_DATA0 = 0x10, M_USER_CODE = 0x1b, M_USER_DATA = 0x23, M_TSS_SEL = 0x30 };

/* Page table entry bits. */
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_G = 0x100 };
#define PTE_NX BIT(63)

struct machine {
	struct cpu *c;
	struct phys *phys;
	struct ram *ram;
	int bits, cpl;
	bool shut_down;
	int irq;			/* vector to acknowledge, or -1 */
	unsigned ferrs, halts;
	bool end_at_halt;		/* HLT ends machine_run(), too */

	/* The device: memory that counts and notes accesses. */
	uint8_t device[4096];
	unsigned n_reads, n_writes;
	uint64_t trace;			/* of kind, offset, size and value of each access */

	/* Values written to port 0x80. */
	unsigned n_outs;
	uint32_t outs[64];
	void (*on_out)(struct machine *m, uint32_t v);	/* may be NULL */
	void *opaque;			/* the test's */

	/* machine_init_smp(): all vCPUs, the first of them is c. */
	const struct accel_ops *ops;
	struct cpu *cpus[M_MAX_CPUS];
	int n_cpus;
	void (*begin)(struct cpu *c);	/* on its thread, before it runs; may be NULL */
	void (*end)(struct machine *m);	/* when all have run, before the accelerator goes; may be NULL */
};

/* bits 16, 32 or 64. Aborts the test if that is not possible. */
void machine_init(struct machine *m, int bits, int cpl, const struct accel_ops *ops);
void machine_fini(struct machine *m);
/* Registers, flags, segments, pending events as machine_init() makes them. */
void machine_reset(struct machine *m);

/* Guest memory by physical address, seen by nobody. */
static inline uint8_t *machine_mem(const struct machine *m, uint64_t pa)
{
	return m->ram->host + pa;
}
/* Write as a device does: translations of what was there go. */
void machine_put(struct machine *m, uint64_t pa, const void *bytes, unsigned n);
#define MACHINE_PUT(m, pa, ...) machine_put(m, pa, (const uint8_t []){ __VA_ARGS__ }, \
					    sizeof((const uint8_t []){ __VA_ARGS__ }))
/* Change a page's mapping, and forget the old one as INVLPG does. */
void machine_map(struct machine *m, uint64_t va, uint64_t pte);

/* Run from rip until a handler, MACHINE_END or shutdown. The exception, or -1. */
int machine_run(struct machine *m, uint64_t rip);
/* The exception whose handler ended the last run, or -1. */
int machine_vector(const struct machine *m);

/*
 * The same machine, 64-bit at CPL 0, with n vCPUs; vCPU i has its stack 2 KiB below that of the one
 * before. machine_run_smp() runs them all, each on a thread of its own from its rip on, until
 * each has ended. Accelerators live only as long as that.
 */
void machine_init_smp(struct machine *m, int n, const struct accel_ops *ops);
void machine_run_smp(struct machine *m);

/* What delivery of that exception pushed. */
struct machine_frame {
	uint64_t rip, flags, rsp, error;
};
struct machine_frame machine_frame(const struct machine *m);

#define MACHINE_END 0xe6, 0xf4		/* out 0xf4, al */

#endif
