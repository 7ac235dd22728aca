/*
 * Differential testing of instructions: blocks of random encodings are run from random
 * states on the host processor, on the µop interpreter and on translated code, and all that
 * a program can see is compared. tools/insn-fuzz.c and fuzz_test.c are built on it.
 *
 * A block is up to FUZZ_INSNS instructions, with branches forward and loops that end. It is
 * translated once and run from many states. No instruction in it reads a flag that the manual
 * leaves undefined, and those undefined at the end are not compared.
 *
 * Excluded, with reasons: fuzz_rows.def.
 */
#ifndef TESTS_INSN_FUZZ_H
#define TESTS_INSN_FUZZ_H

#include <stdio.h>

#include "tests/insn/gen.h"
#include "tests/insn/user.h"

enum { FUZZ_INSNS = 20, FUZZ_CODE = 384, FUZZ_SLOT = 704, FUZZ_SLOTS = USER_CODE_BYTES / FUZZ_SLOT, FUZZ_POOL = 1024 };

/* Counts the loop of a whole block; other loops have a MOV to their counter before them. */
#define FUZZ_COUNTER(bits) ((bits) == 64 ? R15 : RBP)

struct fuzz_block {
	int bits;
	unsigned at;			/* offset into USER_CODE */
	unsigned n, count;		/* bytes, instructions */
	uint8_t code[FUZZ_CODE];
	/* what fuzz_analyse() finds */
	struct insn in[FUZZ_INSNS + 4];
	uint16_t off[FUZZ_INSNS + 5];
	bool maybe[FUZZ_INSNS + 4];	/* a branch may go around it */
	uint16_t undefined;		/* flags at the end */
	uint16_t undefined_inside;	/* or somewhere before */
	bool counted;			/* a loop back to the start: FUZZ_COUNTER must be small */
};

/* What to start from. */
struct fuzz_case {
	struct fuzz_block b;
	struct user_state s;
	uint8_t mem[USER_DATA_BYTES];
};

enum fuzz_side { FUZZ_HOST, FUZZ_INTERP, FUZZ_X64, FUZZ_SIDES };

struct fuzz {
	int bits;
	bool host;			/* the host takes part */
	struct user u[FUZZ_SIDES];	/* [FUZZ_HOST] is not used */
	struct insn_env env;
	struct rng rng;
	uint64_t pool[FUZZ_POOL];	/* numbers worth trying */
	struct user_state out[FUZZ_SIDES];
	bool elsewhere;			/* the last run met the tool's own memory; the host took no part */
	bool *absent;			/* by row: one of the processors does not have it */
};

/* Why a row is not compared with the host, or NULL. */
const char *fuzz_excluded(const struct insn_row *row);
/* The same for one encoding. */
bool fuzz_allowed(const struct fuzz *f, const struct insn *in);

/* If the host cannot take part, e->msg says why, and f->host is false. */
bool fuzz_open(struct fuzz *f, int bits, bool host, uint64_t seed, struct err *e);
void fuzz_close(struct fuzz *f);
/* New numbers, and all translations forgotten; passes off as tcg_without() has them. */
bool fuzz_refresh(struct fuzz *f, const char *without, struct err *e);

/* ---- making (fuzz_make.c, fuzz_flow.c) ---- */

/* An encoding of that row alone; false if there is none. */
bool fuzz_single(struct fuzz *f, struct fuzz_block *b, unsigned row);
void fuzz_random_block(struct fuzz *f, struct fuzz_block *b);
/* Registers, flags, vectors for the block, and a piece of memory near its operands. */
void fuzz_random_state(struct fuzz *f, const struct fuzz_block *b, struct user_state *s);
/* Does it load segment registers, or look at descriptors? Such an instruction is alone in its block. */
bool fuzz_uses_segments(const struct insn *in);
bool fuzz_has_memory(const struct insn *in);
/* Has it no operands but those it names, and no helper? */
bool fuzz_is_plain(unsigned does);
/* Decode the bytes and follow the flags. False: something is not to be run or reads undefined flags. */
bool fuzz_analyse(const struct fuzz *f, struct fuzz_block *b);

/* ---- running and comparing (fuzz_run.c) ---- */

/* Find out which rows the host or the vCPU's model do not have. */
void fuzz_find_absent(struct fuzz *f);
/* Add the translations there are now that are regions, and those of them with swapped registers. */
void fuzz_count_regions(const struct fuzz *f, uint64_t *regions, uint64_t *swapping);
/* Put the block's code where all sides execute it. */
void fuzz_put(struct fuzz *f, const struct fuzz_block *b);
/* Give all sides this memory. */
void fuzz_set_mem(struct fuzz *f, const uint8_t *mem);
/* Run from s; the outcomes are in f->out and the sides' memory. */
void fuzz_run(struct fuzz *f, const struct fuzz_block *b, const struct user_state *s);
/* What differs between two sides as text, or NULL. */
const char *fuzz_difference(const struct fuzz *f, const struct fuzz_block *b, const struct user_state *s,
			    enum fuzz_side x, enum fuzz_side y);
/* The first difference among all sides. */
const char *fuzz_verdict(const struct fuzz *f, const struct fuzz_block *b, const struct user_state *s);
/* Instructions surely executed in the last run. */
unsigned fuzz_executed(const struct fuzz *f, const struct fuzz_block *b);
/* Did the host take part in the last run? */
static inline bool fuzz_hosted(const struct fuzz *f)
{
	return f->host && !f->elsewhere;
}
const uint8_t *fuzz_mem(const struct fuzz *f, enum fuzz_side side);
/* Start over with that case, and judge. */
const char *fuzz_replay(struct fuzz *f, const struct fuzz_case *c, const char *without);

/* ---- failures (fuzz_case.c) ---- */

/* Make it smaller as long as it fails. */
void fuzz_minimise(struct fuzz *f, struct fuzz_case *c, const char *without);
void fuzz_case_write(const struct fuzz_case *c, const char *comment, FILE *to);
/* False with e->msg naming the line. */
bool fuzz_case_read(struct fuzz_case *c, FILE *from, struct err *e);
void fuzz_show(const struct fuzz *f, const struct fuzz_case *c, FILE *to);

#endif
