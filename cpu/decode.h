/* Between the files of the decoder. */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include "cpu/insn.h"

/*
 * Decode an instruction of 32-bit or 64-bit code at p, where INSN_WIDE bytes can be read, into *in, which is
 * empty. False: it is none of the usual ones, and what is in *in by now is to be cleared.
 */
#define INSN_WIDE 23u
bool decode_usual(const uint8_t *p, const struct insn_env *env, struct insn *in);

#endif
