/* CRC-32C (Castagnoli), as SSE4.2, iSCSI and ext4 have it. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of n more bytes, behind bytes whose sum is crc (0: none). */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
