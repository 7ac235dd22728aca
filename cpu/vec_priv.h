/*
 * Between the files of cpu/vec*.c: operands of one vector instruction, and the
 * functions v_<name>() that execute it, listed in cpu/vec.def.
 */
#ifndef CPU_VEC_PRIV_H
#define CPU_VEC_PRIV_H

#include <string.h>

#include "cpu/vec.h"

union vec {
	uint8_t b[32];
	uint16_t w[16];
	uint32_t d[8];
	uint64_t q[4];
	int8_t sb[32];
	int16_t sw[16];
	int32_t sd[8];
	int64_t sq[4];
};

/* MXCSR: exception flags in bits 5..0, their masks in 12..7. */
#define MXCSR_IE	0x01u
#define MXCSR_DE	0x02u
#define MXCSR_ZE	0x04u
#define MXCSR_OE	0x08u
#define MXCSR_UE	0x10u
#define MXCSR_PE	0x20u
#define MXCSR_FLAGS	0x3fu
#define MXCSR_DAZ	0x40u
#define MXCSR_MASKS	0x1f80u
#define MXCSR_RC(m)	((m) >> 13 & 3)

/*
 * One instruction. In the SSE form a is the old destination and b the source; in
 * the VEX form with three operands a and b are the two sources. d is the third
 * source: XMM0, VEX.is4, or the old destination. General registers and memory
 * come zero-extended. r goes to the destination; it starts out as a.
 */
struct vx {
	struct cpu *c;
	const struct insn *in;
	union vec a, b, d, r;
	int n;			/* vector length: 8 (MMX), 16, 32 */
	bool dbl, scalar;	/* by mandatory prefix: 66, F2 double; F3, F2 scalar */
	bool vex;
	bool from_mem;		/* b is memory */
	bool no_result;		/* only flags, or written already */
	uint8_t imm;
	uint32_t mxcsr;		/* of the guest */
	uint32_t flags;		/* MXCSR flags this instruction raised */
	bool sets_eflags;
	uint32_t eflags;	/* arithmetic flags then */
};

typedef void vec_fn(struct vx *x);
#define V(op, pfx, name, env) vec_fn v_##name;
#include "cpu/vec.def"
#undef V

/* Lanes of 16 bytes (8 with MMX), at byte o. */
#define EACH_LANE(x, o) for (int o = 0; o < (x)->n; o += 16)
static inline int lane(const struct vx *x) { return x->n < 16 ? 8 : 16; }

/* XMM register n of the guest as bytes. */
static inline uint8_t *xmm(struct cpu *c, int n) { return c->xsave + 160 + 16 * n; }

/* The arithmetic flags, all of them; they take effect when no exception is raised. */
static inline void put_flags(struct vx *x, uint32_t fl)
{
	x->sets_eflags = true;
	x->eflags = fl;
}

#endif
