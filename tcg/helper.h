/*
 * The helpers of tcg/helper.def, one prototype each, and how the vector helpers
 * get their operands.
 */
#ifndef TCG_HELPER_H
#define TCG_HELPER_H

#include "tcg/uop.h"

#define HELPER(name, attr, what) helper_fn h_##name;
#include "tcg/helper.def"
#undef HELPER

/*
 * imm of maskmov, vmaskmov and gather: bit fields, lowest bit first. Register
 * numbers are those of the vector file.
 */
struct vmem {
	unsigned seg : 4;		/* segment register */
	unsigned ad : 2;		/* address size 2, 4, 8 -> 0, 1, 2 */
	unsigned wide : 1;		/* elements of 8 bytes, else 4 */
	unsigned store : 1;		/* to memory */
	unsigned reg : 4;		/* data register: destination, or source of a store */
	unsigned mask : 4;		/* mask register; the top bit of each element selects */
	unsigned bytes : 7;		/* 8 (MMX), 16, 32: vector length */
	unsigned index : 4;		/* gather: index register, */
	unsigned iwide : 1;		/* its elements of 8 bytes, else 4, */
	unsigned scale : 2;		/* shifted left by this */
};

static inline int64_t vmem_pack(struct vmem v)
{
	union { struct vmem v; uint32_t n; } u = { .n = 0 };

	u.v = v;
	return u.n;
}

static inline struct vmem vmem_unpack(uint64_t imm)
{
	union { uint32_t n; struct vmem v; } u = { .n = (uint32_t)imm };

	return u.v;
}
_Static_assert(sizeof(struct vmem) == 4, "fits the low half of an immediate");

#endif
