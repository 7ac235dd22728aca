/* Passes over a block's µops. Each is one file, one exported function, and can be switched off by name. */
#ifndef TCG_PASS_H
#define TCG_PASS_H

#include "tcg/uop.h"

enum pass { PASS_FLAGS, PASS_DEAD, PASS_MEM, PASS_REGION /* no pass, but switched like one */, PASS_COUNT };
extern const char *const pass_names[PASS_COUNT];
/* Passes named in a list like "mem+dead", as bits; false: there is no such pass. */
bool pass_list(const char *list, uint32_t *passes);
/* Instead of opt_flags(): every flag is live everywhere. */
void opt_flags_none(struct ir *ir);

/*
 * Flags nobody reads: sets `fl` of every µop to the arithmetic flags live
 * behind it, and `flx` of exits. live_at(opaque, rip) tells which flags the
 * code at a direct target reads before writing (FL_ARITH if unknown).
 * Faults do not count as readers: a flag that is overwritten later in the block
 * may be stale in the EFLAGS image of a fault in between.
 */
void opt_flags(struct ir *ir, uint16_t (*live_at)(void *opaque, uint64_t rip), void *opaque);
/* Values nobody reads: temporaries and registers overwritten before use, inside an instruction. */
void opt_dead(struct ir *ir);

/*
 * Counting instructions, first of all passes; the block has at most COUNT_MAX_INSNS.
 * `each`: every instruction for itself.
 */
#define COUNT_MAX_INSNS	16
void opt_count(struct ir *ir, bool each);
/*
 * Fast copies of innermost loops. Of regions, after bind() has marked jumps inside. tired: by instruction, loops
 * that begin there are left as they are.
 */
void opt_loop(struct ir *ir, const bool *tired);
/* Shared page proofs. Passes behind it have to know about followers. */
void opt_mem(struct ir *ir);
/* Steps of the stack pointer that nobody sees. Behind opt_mem(), of which it is a part by name. */
void opt_step(struct ir *ir);

/*
 * Flags that straight-line code reads before it writes them, from decoded bytes: the usual live_at.
 * The answer depends on n bytes at most; `room` can be read.
 */
uint16_t flags_needed(const struct insn_env *env, const uint8_t *bytes, unsigned n, unsigned room);

#endif
