/*
 * The host's floating-point environment set as the guest's MXCSR says, around
 * the functions of cpu/vec_fp.c. On an x86 host that is its own MXCSR, so rounding,
 * flags, denormals and flush to zero come out exactly; elsewhere fenv.h, without
 * the denormal flag, DAZ and FTZ.
 */
#ifndef CPU_VEC_ENV_H
#define CPU_VEC_ENV_H

#include <stdint.h>

#ifdef __SSE2__
#include <xmmintrin.h>

struct host_env {
	uint32_t mxcsr;
};

/* All exceptions masked, no flag set. */
static inline void host_env_enter(struct host_env *saved, uint32_t mxcsr)
{
	saved->mxcsr = _mm_getcsr();
	_mm_setcsr((mxcsr & 0xe040) | 0x1f80);
}

/* The flags raised so far. */
static inline uint32_t host_env_flags(void)
{
	return _mm_getcsr() & 0x3f;
}

/* The same at the end. */
static inline uint32_t host_env_leave(const struct host_env *saved)
{
	uint32_t flags = host_env_flags();

	_mm_setcsr(saved->mxcsr);
	return flags;
}

#else
#include <fenv.h>

struct host_env {
	fenv_t env;
};

static inline void host_env_enter(struct host_env *saved, uint32_t mxcsr)
{
	static const int modes[4] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };

	feholdexcept(&saved->env);
	fesetround(modes[mxcsr >> 13 & 3]);
}

static inline uint32_t host_env_flags(void)
{
	static const struct { int host; uint32_t flag; } flags[] = {
		{ FE_INVALID, 0x01 }, { FE_DIVBYZERO, 0x04 }, { FE_OVERFLOW, 0x08 },
		{ FE_UNDERFLOW, 0x10 }, { FE_INEXACT, 0x20 },
	};
	uint32_t r = 0;

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (fetestexcept(flags[i].host))
			r |= flags[i].flag;
	return r;
}

static inline uint32_t host_env_leave(const struct host_env *saved)
{
	uint32_t r = host_env_flags();

	fesetenv(&saved->env);
	return r;
}
#endif
#endif
