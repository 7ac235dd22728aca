/*
 * Tests of two vCPUs that do something to each other: a writer at M_CODE on the first and a
 * runner at RUNNER on the second, in single blocks, in regions, and interpreted.
 *
 * Words of M_DATA, a cache line each: FLAG (what the writer has done), ACK (what the
 * runner has seen), BAD (results that must not be), SEEN (of a kind that must be).
 * ROUNDS in the environment is how often.
 */
#ifndef TESTS_TCG_TWO_CPUS_H
#define TESTS_TCG_TWO_CPUS_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"
#define FLAG	"0x20000"
#define ACK	"0x20040"
#define BAD	"0x20080"
#define SEEN	"0x200c0"
enum { AT_FLAG = M_DATA, AT_ACK = M_DATA + 0x40, AT_BAD = M_DATA + 0x80, AT_SEEN = M_DATA + 0xc0,
       RUNNER = M_CODE + 0x4000 };

static inline unsigned rounds(unsigned n)
{
	const char *s = getenv("ROUNDS");

	return s ? (unsigned)strtoul(s, NULL, 0) : n;
}

static inline void hot(struct cpu *c) { tcg_set_hot(c, 0); }

/* The writer at M_CODE on the first vCPU, the runner on the second; rbp = what changes, r15 = rounds. */
static inline void run_two(struct machine *m, uint64_t changing, unsigned n)
{
	for (int i = 0; i < 2; i++) {
		m->cpus[i]->regs[RBP] = changing;
		m->cpus[i]->regs[R15] = n;
		m->cpus[i]->rip = i ? RUNNER : M_CODE;
	}
	machine_run_smp(m);
}

static inline uint32_t word(const struct machine *m, uint64_t pa) { return ld32(machine_mem(m, pa)); }

#define TEST_TWO(suite, name)							\
	static void name(struct machine *m);					\
	static void name##_on(const struct accel_ops *ops, void (*begin)(struct cpu *c))	\
	{									\
		struct machine m;						\
										\
		machine_init_smp(&m, 2, ops);					\
		m.begin = begin;						\
		name(&m);							\
		cr_expect_eq(word(&m, AT_BAD), 0, "%u", word(&m, AT_BAD));	\
		machine_fini(&m);						\
	}									\
	Test(suite, name) { name##_on(&tcg_accel, NULL); }			\
	Test(suite, name##_in_regions) { name##_on(&tcg_accel, hot); }	\
	Test(suite, name##_interpreted) { name##_on(&tcg_interp_accel, NULL); } \
	static void name(struct machine *m)

#endif
