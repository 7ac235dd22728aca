/*
 * A vCPU in flat 32 or 64-bit or segmented 16-bit code with the memory of tests/insn/host.h at the same
 * addresses, paged, so that the same accesses fault. There is no IDT: an exception
 * shuts it down. An `out` asks it to leave run().
 */
#ifndef TESTS_INSN_GUEST_H
#define TESTS_INSN_GUEST_H

#include "cpu/accel.h"
#include "cpu/phys.h"
#include "tests/insn/host.h"

struct guest {
	struct cpu *c;
	struct phys *phys;
	struct ram *ram;	/* from AREA on */
	bool shut_down;
	void *opaque;		/* the test's */
};

/* ops NULL: no accelerator; the caller sets c->unwind. */
void guest_init(struct guest *g, enum host_code code, enum host_protect protect, const struct accel_ops *ops);
/* Go on at rip until an `out` or an exception, which is told by g->shut_down. */
void guest_run(struct guest *g, uint64_t rip);
/* The data area in guest memory. */
static inline uint8_t *guest_data(const struct guest *g)
{
	return g->ram->host + (DATA - AREA);
}

/* Code to put behind what is tested: `out`, and a loop to be stopped in. */
#define GUEST_END	0xe6, 0x80, 0xeb, 0xfe
#define GUEST_END_RIP	2	/* where in it rip is found */

#endif
