/*
 * CRC-32C by the host's instruction, or by a table of 16 entries where there is none.
 *
 * Source: RFC 3720, 12.1 and B.4; polynomial 1EDC6F41h, reflected.
 */
#include "base/crc32c.h"

#include <stdbool.h>

#include "base/bits.h"

#define POLYNOMIAL 0x82f63b78u

static uint32_t by_nibbles(uint32_t crc, const uint8_t *p, size_t n)
{
	uint32_t table[16];

	for (uint32_t i = 0; i < 16; i++) {
		table[i] = i;
		for (int k = 0; k < 4; k++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? POLYNOMIAL : 0);
	}
	while (n--) {
		crc ^= *p++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; n -= 8, p += 8)
		c = __builtin_ia32_crc32di(c, ld64(p));
	for (; n; n--, p++)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p);
	return (uint32_t)c;
}

static bool has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
#define by_instruction	by_nibbles
static bool has_instruction(void)
{
	return false;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	return ~(has_instruction() ? by_instruction : by_nibbles)(~crc, p, n);
}
