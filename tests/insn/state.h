/*
 * Random register, flag and memory contents that suit an instruction: addresses that the
 * row implies lie in the scratch memory, counts are small.
 */
#ifndef TESTS_INSN_STATE_H
#define TESTS_INSN_STATE_H

#include "tests/insn/gen.h"
#include "tests/insn/native.h"

#define STATE_BASE 5		/* RBP: base register of generated memory operands */
#define STATE_MAX_DISP 1024

/* Settings for insn_gen() that go with state_random(). */
struct gen state_gen(uint64_t seed);
void state_random(struct rng *r, const struct insn *in, struct native_state *s);

/* Runs on the host in user mode, with results that do not vary. */
bool state_can_run(const struct insn_row *row);
/* The same of one encoding: a branch into itself might never end. */
bool state_can_run_insn(const struct insn *in);

#endif
