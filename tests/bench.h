/*
 * A device alone: a machine with nothing but the device, lines that are only
 * watched, a byte stream that records, and time that moves when told to.
 *
 * Tests include this after <criterion/criterion.h>, keep one `static struct bench b`
 * and speak through the bus: in(), out() at ports, rd(), wr() at addresses.
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include "cpu/cpu.h"
#include "hw/core/bus.h"
#include "hw/core/chr.h"
#include "hw/core/dev.h"

struct bench_line {
	struct irq irq;		/* connect this */
	bool level;
	int rises;		/* how often it went up */
};

struct bench {
	struct machine *m;
	struct dev *dev;
	uint64_t mono, wall;		/* the host's clocks */
	struct bench_line isa[MACHINE_N_ISA_IRQS];
	struct bench_line line[32];	/* free for the test; watch with bench_line() */
	struct chr chr;			/* stream "bench" */
	uint8_t sent[4096];		/* what the device wrote to it */
	int n_sent;
	int requests[16];		/* machine_request() by kind */
	int request_arg;		/* of the last one */
	uint64_t msi_addr;		/* the last message, and how many */
	uint32_t msi_data;
	int n_msi;
	struct cpu *cpu[4];		/* storage only; bench_cpus() */
	struct err err;
};

/* An empty machine. */
void bench_machine(struct bench *b);
/* With one device; props as in -device, or NULL. Fails the test if it cannot be made. */
void bench_open(struct bench *b, const struct dev_type *t, const char *props);
/*
 * A PCI bus with i440FX's host bridge; INTx of slot s, pin p is line (s + p) & 3, recording. ram: bytes of memory
 * from address 0, or 0 for none, which gives NULL.
 */
struct ram *bench_open_pci(struct bench *b, uint64_t ram);
void bench_close(struct bench *b);

/* Line i of b->line, recording. */
struct irq bench_line(struct bench *b, int i);
/* Is any of the four INTx lines of bench_open_pci() up? */
bool bench_intx(const struct bench *b);
/* n processors without an accelerator; the first one is current. */
void bench_cpus(struct bench *b, int n);
/* A drive "id" on a file. */
struct drive *bench_drive(struct bench *b, const char *id, const char *path, bool readonly);
/* All that drives have under way is done. */
void bench_settle(struct bench *b);
/* Let time pass, timers and all. */
void bench_run(struct bench *b, uint64_t ns);
/* Bytes arrive at the device, as far as it has room. Returns how many it took. */
int bench_type(struct bench *b, const void *p, int n);

static inline uint32_t bench_in(struct bench *b, uint16_t port, int size)
{
	return port_read(b->m, port, size);
}
static inline void bench_out(struct bench *b, uint16_t port, int size, uint32_t v)
{
	port_write(b->m, port, size, v);
}

/* REP INS and OUTS of processor 0 (bench_cpus()); the test holds the machine's lock, a processor does not. */
static inline unsigned bench_in_run(struct bench *b, uint16_t port, int size, void *buf, unsigned n)
{
	machine_unlock(b->m);
	n = machine_port_in_run(b->m, b->cpu[0], port, size, buf, n);
	machine_lock(b->m);
	return n;
}
static inline unsigned bench_out_run(struct bench *b, uint16_t port, int size, const void *buf, unsigned n)
{
	machine_unlock(b->m);
	n = machine_port_out_run(b->m, b->cpu[0], port, size, buf, n);
	machine_lock(b->m);
	return n;
}

/* For tests with a `static struct bench b`. */
#define in(port)	bench_in(&b, port, 1)
#define out(port, v)	bench_out(&b, port, 1, v)
#define rd(pa)		((uint32_t)phys_read(b.m->phys, pa, 4))
#define wr(pa, v)	phys_write(b.m->phys, pa, 4, v)
#define INTX		bench_intx(&b)

#endif
