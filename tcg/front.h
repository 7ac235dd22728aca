/*
 * The front end: guest bytes to µops. Each instruction's meaning is written
 * once, as the function front_<does>() its row in cpu/insn.def names.
 */
#ifndef TCG_FRONT_H
#define TCG_FRONT_H

#include "tcg/uop.h"

struct front {
	struct ir *ir;
	struct insn_env env;		/* mode and features for the decoder */
	uint64_t next;			/* RIP behind the current instruction, cut to code size */
	bool done;			/* the block ends with this instruction */
	bool poll_next;			/* sti, mov ss: end with a poll behind the next instruction */
	bool shadow;			/* the current instruction is in such a shadow */
	uint32_t cs_limit;
	bool straight;			/* blocks do not go on behind conditional jumps */
	bool alone;			/* there are no other vCPUs */
	unsigned stop;			/* no instruction at this offset or behind it; 0: anywhere */
	/* For regions: the bytes from rip to the end of its page, to stay until the region is made; NULL: they are not to be had. */
	const uint8_t *(*elsewhere)(void *opaque, uint64_t rip, unsigned *n);
	void *opaque;
	/* Functions that the region goes into. */
	struct front_callee {
		uint64_t rip;
		const uint8_t *bytes;
		unsigned n, ret;	/* its length; offset of its return */
		bool used;
	} callee[FRONT_CALLEES];
	unsigned n_callees;
};

#define FRONT_MAX_UOPS 40	/* no instruction makes more µops */

enum front_result {
	FRONT_OK,		/* ir is complete */
	FRONT_TRUNCATED,	/* the first instruction needs more than n bytes */
};
/*
 * Translate from `bytes` (n readable) at ir->rip in ir->mode, ir->cs_base, at
 * most max instructions; ends before an instruction that needs bytes beyond n.
 * Illegal instructions become `raise`. The caller sets rip, cs_base, mode.
 */
enum front_result front_block(struct front *f, const uint8_t *bytes, unsigned n, unsigned max);

#define REGION_BYTES	8192u	/* of guest code that one may reach over */

/*
 * The region whose head is at ir->rip: the blocks that direct jumps reach from
 * there without leaving the n bytes, up to IR_MAX_REGION instructions. met has
 * RIPs that indirect jumps have gone to. False: no jump in it goes back to another
 * block of it, so there is nothing to gain; or a loop inside is better off as a region of its own.
 */
bool front_region(struct front *f, const uint8_t *bytes, unsigned n, const uint64_t *met, unsigned n_met);

/* ---- pieces of both ---- */

/* Start and continue: see front_insn(). */
void front_start(struct front *f);
/*
 * Translate the instruction at offset *off from ir->rip and step over it.
 * FRONT_TRUNCATED: it is not completely there, nothing was done. *ends: control
 * does not simply go on behind it.
 */
enum front_result front_insn(struct front *f, const uint8_t *bytes, unsigned n, unsigned *off, bool *ends);
/* The same for one that stands elsewhere, `at` bytes from ir->rip: its bytes are p[0..n). */
enum front_result front_insn_at(struct front *f, const uint8_t *p, unsigned n, int32_t at, bool *ends);
/* A block of instructions ends at offset off: go on there, if control does. */
void front_end(struct front *f, unsigned off);
/* The target of a direct jump in front of f->next. */
uint64_t front_target(const struct front *f, const struct insn *in);
/* An address of code, cut to the code size. */
uint64_t front_cut(const struct front *f, uint64_t rip);

/* ---- for the emitters (front_*.c) ---- */

typedef void front_fn(struct front *f, const struct insn *in);
#define DOES(name) front_fn front_##name;
#include "cpu/does.def"
#undef DOES

/* Append a µop; the result may be completed. Operands OP_NONE where it has none. */
struct uop *emit(struct front *f, enum uop_op op, int size, int d, int a, int b);
/* The same with b = OP_IMM and a value. */
struct uop *emit_imm(struct front *f, enum uop_op op, int size, int d, int a, int64_t imm);
/* Make M from the instruction's memory operand; kind PROBE_R/W/RW, n bytes. */
void emit_probe(struct front *f, const struct insn *in, int kind, int n);
/* M at a plain base + disp with explicit segment and address size. */
void emit_probe_at(struct front *f, int kind, int n, int seg, int base, int64_t disp, int adsize);
/*
 * Operand k as an operand code: its register, OP_IMM, or OP_M after a probe of
 * that kind. The µop that uses it must be the next one emitted.
 */
int use(struct front *f, const struct insn *in, int k, int kind);
/* The instruction's immediate, sign-extended from size bytes. */
int64_t signed_imm(const struct insn *in, int size);
/* Effective address of the memory operand into d (size 8, no segment base). */
void emit_ea(struct front *f, const struct insn *in, int d);
/* d = base + disp at address size `size`, cut to it: moves a pointer without touching flags. */
void emit_add(struct front *f, int size, int d, int base, int64_t disp);
/* The same with rsp at the mode's stack size. */
void emit_add_rsp(struct front *f, int64_t n);
/* Call a helper; d, a, b operand codes. */
struct uop *emit_call(struct front *f, enum helper h, int d, int a, int b, int64_t imm);
/* Raise an exception here; the block ends. */
void emit_raise(struct front *f, int vector);
void emit_raise_err(struct front *f, int vector, uint16_t error);
/* Go to rip and end the block. */
void emit_jmp(struct front *f, uint64_t rip);
/* Behind a helper that may have changed the mode: rip = next, leave, end. */
void emit_exit_next(struct front *f);
/* MODE_SVM: ask whether this instruction is intercepted (front_svm.c). */
void front_intercept(struct front *f, const struct insn *in);
/* Stack size 2, 4 or 8 of the mode. */
int stack_size(const struct front *f);

#endif
