/* struct insn -> text in Intel syntax, from the rows of cpu/insn.def. Not light. */
#ifndef CPU_DISASM_H
#define CPU_DISASM_H

#include <stddef.h>

#include "cpu/insn.h"

/* Writes at most n bytes with the terminating zero; returns the length. va: address of the instruction. */
int insn_text(const struct insn *in, uint64_t va, char *buf, size_t n);

#endif
