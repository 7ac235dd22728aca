/*
 * A growing array of bytes for tables that firmware and guests read. Storing
 * functions are little-endian. Running out of host memory ends the program:
 * tables are built once, at start.
 */
#ifndef HW_PC_BYTES_H
#define HW_PC_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	uint8_t *p;
	size_t n, cap;
};

/* Room for n more bytes, zeroed; the address of the first (valid until the next call). */
uint8_t *bytes_grow(struct bytes *b, size_t n);
void bytes_put(struct bytes *b, const void *p, size_t n);
void bytes_put8(struct bytes *b, uint8_t v);
void bytes_put16(struct bytes *b, uint16_t v);
void bytes_put32(struct bytes *b, uint32_t v);
void bytes_put64(struct bytes *b, uint64_t v);
/* A string with its terminator. */
void bytes_puts(struct bytes *b, const char *s);
/* Insert n bytes at offset `at`. */
void bytes_insert(struct bytes *b, size_t at, const void *p, size_t n);
/* Zeroes up to a multiple of `align` (a power of two). */
void bytes_align(struct bytes *b, size_t align);
/* Sum modulo 256 of a range, negated: what makes the range sum to zero. */
uint8_t bytes_checksum(const uint8_t *p, size_t n);
void bytes_fini(struct bytes *b);

#endif
