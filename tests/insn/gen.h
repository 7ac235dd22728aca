/*
 * Makes encodings from rows of cpu/insn*.def: the decoder's inverse, with everything a row
 * leaves open chosen at random. Tests that walk the table use it, for round trips and to
 * run an instruction on the host and in the translator.
 *
 * Not generated: prefixes that mean nothing for the row, a second prefix of one kind,
 * three-byte VEX where two bytes do is as likely as the short form.
 */
#ifndef TESTS_INSN_GEN_H
#define TESTS_INSN_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/insn.h"

/* xorshift*; any seed but 0. */
struct rng {
	uint64_t s;
};
static inline uint64_t rng_next(struct rng *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * 0x2545f4914f6cdd1dull;
}
static inline unsigned rng_below(struct rng *r, unsigned n)
{
	return (unsigned)((rng_next(r) >> 33) % n);
}

enum gen_form { GEN_ANY, GEN_REG, GEN_MEM };

struct gen {
	struct rng rng;
	uint32_t mode;		/* MODE_CODE16, MODE_CODE32, MODE_CODE64 */
	enum gen_form form;	/* GEN_REG, GEN_MEM: a row without that form yields nothing */
	/*
	 * Addresses: all forms at random, or, with `scratch`, only [base + disp] without
	 * segment and address-size prefix, 0 <= disp <= max_disp, disp a multiple of 32.
	 */
	bool scratch;
	uint8_t base;		/* RAX..R11, not RSP */
	unsigned max_disp;
	/* General registers that shall not be operands, bit n for register n (scratch, RSP). */
	uint32_t avoid;
	bool lock, rep;		/* may use LOCK, REP and REPNE where they mean something */
};

/* An encoding of insn_rows[row]; its length, or 0 if it has none in this mode and form. */
unsigned insn_gen(struct gen *g, unsigned row, uint8_t buf[15]);

#endif
