/* Bits of IEEE numbers, for cpu/vec_fp.c and cpu/vec_cvt.c. */
#ifndef CPU_VEC_FP_H
#define CPU_VEC_FP_H

#include "cpu/vec_priv.h"

#define NAN32	0xffc00000u		/* "default NaN": what an invalid operation gives */
#define NAN64	0xfff8000000000000ull
#define QUIET32	0x00400000u
#define QUIET64	0x0008000000000000ull
#define SIGN32	0x80000000u
#define SIGN64	0x8000000000000000ull

static inline bool is_nan32(uint32_t v) { return (v & ~SIGN32) > 0x7f800000; }
static inline bool is_nan64(uint64_t v) { return (v & ~SIGN64) > 0x7ff0000000000000; }
static inline bool is_snan32(uint32_t v) { return is_nan32(v) && !(v & QUIET32); }
static inline bool is_snan64(uint64_t v) { return is_nan64(v) && !(v & QUIET64); }
static inline bool is_denormal32(uint32_t v) { return v & 0x007fffff && !(v & 0x7f800000); }
static inline bool is_denormal64(uint64_t v) { return v & 0x000fffffffffffff && !(v & 0x7ff0000000000000); }

static inline float to_f32(uint32_t v) { float f; memcpy(&f, &v, 4); return f; }
static inline double to_f64(uint64_t v) { double f; memcpy(&f, &v, 8); return f; }
static inline uint32_t of_f32(float f) { uint32_t v; memcpy(&v, &f, 4); return v; }
static inline uint64_t of_f64(double f) { uint64_t v; memcpy(&v, &f, 8); return v; }

/* A denormal operand: 0 under DAZ. */
/* An unmasked underflow is one although the result is exact (SDM vol. 1, 4.9.1.5). */
static inline uint32_t tiny32(struct vx *x, uint32_t r)
{
	if (is_denormal32(r) && !(x->mxcsr >> 7 & MXCSR_UE))
		x->flags |= MXCSR_UE;
	return r;
}

static inline uint64_t tiny64(struct vx *x, uint64_t r)
{
	if (is_denormal64(r) && !(x->mxcsr >> 7 & MXCSR_UE))
		x->flags |= MXCSR_UE;
	return r;
}

static inline uint32_t daz32(const struct vx *x, uint32_t v)
{
	return x->mxcsr & MXCSR_DAZ && is_denormal32(v) ? v & SIGN32 : v;
}

static inline uint64_t daz64(const struct vx *x, uint64_t v)
{
	return x->mxcsr & MXCSR_DAZ && is_denormal64(v) ? v & SIGN64 : v;
}

/* A NaN operand as a result: quiet, and invalid if it was not. */
static inline uint32_t quiet32(struct vx *x, uint32_t v)
{
	if (is_snan32(v))
		x->flags |= MXCSR_IE;
	return v | QUIET32;
}

static inline uint64_t quiet64(struct vx *x, uint64_t v)
{
	if (is_snan64(v))
		x->flags |= MXCSR_IE;
	return v | QUIET64;
}

/* v to an integer, mode as in MXCSR.RC. Not NaN; large ones are integers already. */
double round_to_integer(double v, int mode);

#endif
