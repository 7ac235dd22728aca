/*
 * Random programs of many blocks, for tools/prog-fuzz.c.
 *
 * A program has up to PROG_BLOCKS blocks over twelve pages. Each makes and reads flags, and goes on by
 * a jump, a call, a return, through a table or where it falls. RBP points to data, RDI walks over it;
 * R15 (ESI in 32-bit code) is fuel: whoever may go around takes one of it without touching flags, and
 * ends if there is none. The stack is full of addresses of blocks, so whoever returns once too often
 * gets somewhere, too. Some functions run straight to their return, but for jumps to blocks, and some
 * of these return to a block. Some loads and stores fault, and control is to go on behind them.
 *
 * Not generated: code that changes itself, vector instructions but for those that write flags,
 * multiplications and bit scans, segment registers.
 */
#ifndef TESTS_INSN_PROG_H
#define TESTS_INSN_PROG_H

#include "tests/insn/gen.h"
#include "tests/insn/user.h"

enum { PROG_BLOCKS = 40, PROG_FUNCS = 4, PROG_PIECES = 2000, PROG_FIXES = 400 };

struct prog {
	struct rng rng;
	int bits;				/* 32 or 64 */
	unsigned n_blocks, n_pieces, n_fixes;
	uint16_t at[PROG_BLOCKS + PROG_FUNCS];	/* offset of each block, then of each function */
	bool pays[PROG_BLOCKS];			/* takes fuel at its start */
	struct {
		uint16_t at, n;
		bool fixed;			/* stays when the program is made smaller */
	} piece[PROG_PIECES];			/* instructions */
	struct {
		uint16_t at;
		int16_t to;			/* block, PROG_BLOCKS and a function, or -1: the end */
	} fix[PROG_FIXES];			/* displacements of four bytes */
	uint16_t behind[USER_CODE_BYTES];	/* of an instruction that may fault: where to go on, else 0 */
	uint8_t code[USER_CODE_BYTES];
	/* while it is made */
	unsigned pc;
	int block;
	bool dense;				/* all blocks side by side */
	bool paid;				/* since control may have come from elsewhere */
};

/* From rng and bits on. */
void prog_make(struct prog *p);
/* Registers, flags, data for the parts that can be written; where to begin: a block that pays. */
void prog_state(struct prog *p, struct user_state *s, uint8_t data[USER_DATA_BYTES]);

#endif
