/*
 * Bit fields, sign extension, alignment and unaligned little-endian access.
 * Everything is inline and uses general registers only, so it may be used on
 * every path.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1ull << (n))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

/* Bits `hi` down to `lo` (inclusive) of v. */
static inline uint64_t bits(uint64_t v, int hi, int lo)
{
	return v >> lo & (~0ull >> (63 - hi + lo));
}

/* v, sign-extended from its low n bits (1..64). */
static inline int64_t sext(uint64_t v, int n)
{
	return (int64_t)(v << (64 - n)) >> (64 - n);
}

/* All ones in the low n bytes (1, 2, 4, 8). */
static inline uint64_t size_mask(int nbytes)
{
	return ~0ull >> (64 - 8 * nbytes);
}

static inline uint64_t align_down(uint64_t v, uint64_t a) { return v & ~(a - 1); }
static inline uint64_t align_up(uint64_t v, uint64_t a) { return (v + a - 1) & ~(a - 1); }
static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* A bool out of a file: any byte but 0 is true, and only 0 and 1 may be read as one. */
static inline void fix_bool(bool *b)
{
	unsigned char v;

	__builtin_memcpy(&v, b, 1);
	*b = v != 0;
}

/* Little-endian loads and stores at any alignment. */
#define BITS_ACCESS(w)								\
static inline uint##w##_t ld##w(const void *p)					\
{										\
	uint##w##_t v;								\
	__builtin_memcpy(&v, p, sizeof(v));					\
	return v;								\
}										\
static inline void st##w(void *p, uint##w##_t v)				\
{										\
	__builtin_memcpy(p, &v, sizeof(v));					\
}
BITS_ACCESS(8)
BITS_ACCESS(16)
BITS_ACCESS(32)
BITS_ACCESS(64)
#undef BITS_ACCESS

/* n bytes (1, 2, 4, 8) as an unsigned number. */
static inline uint64_t ld_n(const void *p, int n)
{
	switch (n) {
	case 1: return ld8(p);
	case 2: return ld16(p);
	case 4: return ld32(p);
	default: return ld64(p);
	}
}

static inline void st_n(void *p, int n, uint64_t v)
{
	switch (n) {
	case 1: st8(p, (uint8_t)v); break;
	case 2: st16(p, (uint16_t)v); break;
	case 4: st32(p, (uint32_t)v); break;
	default: st64(p, v); break;
	}
}

#endif
