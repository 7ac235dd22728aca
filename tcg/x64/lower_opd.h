/*
 * Operands of integer µops, for the files that lower them.
 *
 * The pattern throughout: registers and M are operands of the host instruction
 * itself; a destination in a memory slot is loaded into r15, worked on, and
 * stored whole, so that later 8-byte loads forward from one store. AH..BH can
 * be named only beside operands that need no REX prefix; elsewhere the register
 * is rotated by 8 around the instruction (rorx leaves the flags alone).
 */
#ifndef TCG_X64_LOWER_OPD_H
#define TCG_X64_LOWER_OPD_H

#include "tcg/x64/lower.h"

static inline struct code *C(struct lower *l) { return &l->c; }

static inline bool lock_of(const struct uop *u) { return u->aux & U_LOCK && u->d == OP_M; }

/* Can this operand stand in an instruction without a REX prefix (byte size)? */
static inline bool plain_byte(const struct lower *l, int op)
{
	return op <= RBX || is_hi(op) || op == OP_IMM || is_slot(l, op);
}

/* Rotate a high byte into the low one / back. */
static inline void hi_down(struct lower *l, int op) { rorx(C(l), 8, op - OP_AH, hop_reg(op - OP_AH), 8); }
static inline void hi_up(struct lower *l, int op) { rorx(C(l), 8, op - OP_AH, hop_reg(op - OP_AH), 56); }

/* Operand as a source: a slot's copy in r15 is better than memory. */
static inline struct hop source(struct lower *l, int op)
{
	return op == l->tmp_slot ? hop_reg(H_TMP) : operand(l, op);
}

/* A slot's whole value into r15. */
static inline void slot_to_tmp(struct lower *l, int op)
{
	if (op != l->tmp_slot)
		load(C(l), 8, H_TMP, operand(l, op));
	l->tmp_slot = (uint8_t)op;
}

/* Into a register or, by r15, a slot: f emits `r = ...`. */
static inline int dest_reg(const struct lower *l, const struct uop *u)
{
	int r = host_reg(l, u->d);

	return r >= 0 ? r : H_TMP;
}

static inline void dest_done(struct lower *l, const struct uop *u)
{
	if (!is_slot(l, u->d))
		return;
	store(C(l), 8, operand(l, u->d), H_TMP);
	l->tmp_slot = u->d;
}

#endif
