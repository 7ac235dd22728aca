/*
 * What the decoder has learnt: how opcodes go on.
 *
 * Which row an instruction is, and all that its operands have but register numbers and constants,
 * follows from prefix, opcode, REX.W, "ModRM.mod is 3" and, where it is part of the opcode, ModRM.reg. A
 * memo keeps that for what has been decoded before; the next one takes a quarter of the time.
 * Only 64-bit and protected 32-bit code, at most one of 66, F3, F2, opcodes of one byte
 * and behind 0F, and operands that are general or xmm registers, ModRM's memory, one constant or a target.
 */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include "cpu/insn.h"

/* So many bytes that can be read, if all of them are needed or not. */
#define INSN_WIDE 23u

struct decode_form {
	uint64_t word[2];		/* the first two of struct insn, registers that vary are 0; word[0] 0: not known */
	uint64_t tail;			/* its last one, without ModRM and REX */
	uint8_t sel[3];			/* which number is added to an operand's register, as a shift */
	uint8_t bytes;			/* operands that are byte registers, as bits */
	uint8_t imm_size;
	bool imm_signed, is_one;	/* shifts by 1 have a constant that takes no bytes */
};

#define DECODE_FORMS	8192u		/* a guest uses half of them */
#define DECODE_OPCODES	512u		/* the byte, 0F in front as bit 8 */
enum { DECODE_PREFIXES = 4 };		/* none, 66, F3, F2 */

/* Zeroed: empty. For one set of features, and one thread at a time. */
struct decode_memo {
	/* By code size (64, 32), prefix, opcode: its first form, and DECODE_MODRM, DECODE_GROUP; 0: not seen. */
	uint16_t first[2][DECODE_PREFIXES][DECODE_OPCODES];
	unsigned n_forms;
	struct decode_form form[DECODE_FORMS];
};
#define DECODE_MODRM	0x8000u
#define DECODE_GROUP	0x4000u		/* ModRM.reg is part of the opcode */
_Static_assert(DECODE_FORMS <= DECODE_GROUP, "a form's number leaves room for both");

/*
 * Which instruction stands there, and its length, if the memo knows it: all that is wanted of code that is only
 * looked at. INSN_WIDE bytes can be read. NULL: it does not.
 */
const struct insn_row *decode_skim(const uint8_t *p, const struct insn_env *env, unsigned *len);
/* insn_decode() without what has been learnt, which it adds to. */
enum insn_result decode_any(const uint8_t *p, unsigned n, const struct insn_env *env, struct insn *in);
/* Those bytes are *in: keep it if it is of that kind. If there is no room everything else is forgotten. */
void decode_remember(const uint8_t *p, const struct insn_env *env, const struct insn *in);

#endif
