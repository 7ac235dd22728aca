/*
 * How the front end tells the helpers of tcg/rep_light.c which string
 * instruction they are to perform: bit fields of the helper's imm.
 */
#ifndef TCG_REP_H
#define TCG_REP_H

#include <stdint.h>

struct rep {
	unsigned size : 4;		/* bytes of an element */
	unsigned adsize : 4;		/* address size 2, 4, 8 */
	unsigned seg : 4;		/* segment of the source */
	unsigned down : 1;		/* DF is set */
	unsigned until_equal : 1;	/* REPNE: cmps and scas stop at equality */
	unsigned once : 1;		/* ins and outs: no REP */
};

static inline int64_t rep_pack(struct rep r)
{
	return r.size | r.adsize << 4 | r.seg << 8 | r.down << 12 | r.until_equal << 13 | r.once << 14;
}

static inline struct rep rep_unpack(uint64_t imm)
{
	return (struct rep) {
		.size = imm & 15, .adsize = imm >> 4 & 15, .seg = imm >> 8 & 15,
		.down = imm >> 12 & 1, .until_equal = imm >> 13 & 1, .once = imm >> 14 & 1,
	};
}

#endif
